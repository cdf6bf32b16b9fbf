"""Reading a trace of whatever kind: a file, or a folder with a file a tap, with a map or by the taps' own names."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from fxsim.compare import FourState, Values
from fxsim.contract import Tensor
from fxsim.errors import ComparisonError, FileError
from fxsim.formats.headers import read_header_arrays
from fxsim.formats.npy import map_array, read_archive
from fxsim.formats.text import short
from fxsim.graph import INPUT, Model
from fxsim.traces.name_map import TapMap, TraceMap, read_map
from fxsim.traces.table import read_table
from fxsim.traces.text import RADIX, read_text
from fxsim.traces.trace import Raw, Trace, arrange
from fxsim.traces.waves import SUFFIXES as WAVES
from fxsim.traces.waves import read_wave

ARCHIVE, ARRAY, HEADER, TABLE = ".npz", ".npy", ".h", ".csv"
SUFFIXES = (ARCHIVE, ARRAY, HEADER, TABLE, *RADIX, *WAVES)
"""Endings of the names of files that are read, lower case."""

_OF_A_TAP = (ARRAY, HEADER, *RADIX)
"""Endings of files that hold one tap."""
_UNUSED_SHOWN = 50
_FILES_MAX = 100_000

Found = dict[str, Values | FourState]


def read_trace(
    path: Path, model: Model, images: int, content: TraceMap | None = None, taps: Iterable[str] | None = None
) -> Trace:
    """The values of a model's taps for so many images, from a trace.

    The file name's ending says the kind: .npz and .npy; text (.hex, .mem, .dat, .txt, .coe, ...) and C headers; waves
    (.vcd, .fst, .ghw); .csv. A folder has a file for each tap, in it or in its folder `taps`. Without a map, arrays and
    files are those of the taps that they are called after; waves and tables need one. `taps`: only these, all of which
    there must be.

    FileError or ComparisonError, in one line, where something is missing, damaged, cut off, of another shape, or has
    more or fewer images; ToolError where a wave cannot be read here.
    """
    wanted = None if taps is None else tuple(taps)
    content = _only(content, wanted, path)
    kind = path.suffix.lower()
    if path.exists() and not path.is_dir():
        _existing(path)
    if path.is_dir():
        found, unused = _folder(path, model, images, content, wanted)
    elif kind in (*WAVES, TABLE):
        found, unused = _sampled(path, model, images, content), ()
    elif kind == ARCHIVE:
        found, unused = _arrays(path, read_archive(_existing(path)), model, images, content, wanted)
    elif kind == HEADER and (content is not None or not _named(path, model, wanted)):
        found, unused = _arrays(path, dict(read_header_arrays(_existing(path))), model, images, content, wanted)
    elif kind in _OF_A_TAP:
        found, unused = _single(path, model, images, content, wanted), ()
    else:
        raise FileError(f"{path}: is of no kind that is read, expected a folder or {_list(SUFFIXES)}")
    for name in wanted or ():
        if name not in found:
            raise ComparisonError(f"{path}: has no tap '{name}'; it has: {_list((*found, *unused))}")
    if not found:
        raise ComparisonError(
            f"{path}: has nothing called as a tap of model '{model.name}' ({_list(model.graph.taps)}); "
            f"it has: {_list(unused)}; a map (--map) says which is which, `fxsim trace match` proposes one"
        )
    order = {name: place for place, name in enumerate((INPUT, *model.graph.taps))}
    return Trace(str(path), dict(sorted(found.items(), key=lambda item: order[item[0]])), unused)


def _only(content: TraceMap | None, wanted: Sequence[str] | None, path: Path) -> TraceMap | None:
    """The map of the taps that are wanted alone."""
    if content is None or wanted is None:
        return content
    for name in wanted:
        if name not in {tap.name for tap in content.tap}:
            raise ComparisonError(f"{path}: its map has no tap '{name}'; it has: {_list(t.name for t in content.tap)}")
    return replace(content, tap=tuple(t for t in content.tap if t.name in wanted))


def _existing(path: Path) -> Path:
    """The path of a file; FileError where there is none, or a pipe or device, which may have no end."""
    if not path.is_file():
        raise FileError(f"{path}: {'is not a regular file' if path.exists() else 'there is no such file'}")
    return path


def _arrays(
    path: Path,
    arrays: dict[str, npt.NDArray[Any]],
    model: Model,
    images: int,
    content: TraceMap | None,
    wanted: Sequence[str] | None,
) -> tuple[Found, tuple[str, ...]]:
    """Named arrays of one file."""
    if content is None:
        names = [n for n in arrays if n in model.graph.tensors and (wanted is None or n in wanted or n == INPUT)]
        maps = tuple(TapMap(name=name) for name in names)
    else:
        maps = content.tap
    found: Found = {}
    for tap in maps:
        (signal,) = _one_signal(path, tap)
        if signal not in arrays:
            raise FileError(f"{path}: has no array '{short(signal)}'; it has: {_list(arrays)}")
        tensor = model.graph.tensors[tap.name]
        found[tap.name] = arrange(arrays[signal], tap, tensor, images, f"{path}: array '{short(signal)}'")
    used = {signal for tap in maps for signal in tap.signals}
    return found, tuple(short(name) for name in arrays if name not in used)


def _folder(
    path: Path, model: Model, images: int, content: TraceMap | None, wanted: Sequence[str] | None
) -> tuple[Found, tuple[str, ...]]:
    """A folder with a file a tap."""
    if content is not None:
        maps = [(tap, _inside(path, _one_signal(path, tap)[0])) for tap in content.tap]
        unused: tuple[str, ...] = ()
    else:
        files = [file for folder in (path, path / "taps") if folder.is_dir() for file in _files(folder)]
        by_tap: dict[str, Path] = {}
        others = []
        for file in files:
            tap = file.name.removesuffix(file.suffix)
            if tap not in model.graph.by_name or file.suffix.lower() not in _OF_A_TAP:
                others.append(str(file.relative_to(path)))
            elif tap in by_tap:
                raise FileError(f"{path}: tap '{tap}' is in {by_tap[tap].name} and in {file.name}, expected one file")
            elif wanted is None or tap in wanted:
                by_tap[tap] = file
        maps = [(TapMap(name=tap), file) for tap, file in by_tap.items()]
        unused = tuple(map(short, others))
    found: Found = {}
    for entry, file in maps:
        found[entry.name] = _one_file(file, entry, model, images)
    return found, unused


def _files(folder: Path) -> list[Path]:
    files = []
    for file in folder.iterdir():
        if file.is_file():
            files.append(file)
        if len(files) > _FILES_MAX:
            raise FileError(f"{folder}: has more than {_FILES_MAX:,} files, the most that are looked at")
    return sorted(files)


def _inside(folder: Path, name: str) -> Path:
    file = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise FileError(f"{folder}: the map names '{short(name)}', expected a file inside the folder")
    return file


def _named(path: Path, model: Model, wanted: Sequence[str] | None) -> str | None:
    """The tap that a single file is of: by its name, or the only one that is wanted."""
    stem = path.name.removesuffix(path.suffix)
    if stem in model.graph.by_name:
        return stem
    return wanted[0] if wanted is not None and len(wanted) == 1 else None


def _single(path: Path, model: Model, images: int, content: TraceMap | None, wanted: Sequence[str] | None) -> Found:
    """A file of one tap."""
    if content is not None:
        if len(content.tap) != 1:
            raise FileError(f"{path}: is the file of one tap, but its map has {len(content.tap)}; expected a folder")
        tap = content.tap[0]
    else:
        name = _named(path, model, wanted)
        if name is None:
            raise ComparisonError(
                f"{path}: is not called after a tap of model '{model.name}', expected --taps with one name, or a map"
            )
        tap = TapMap(name=name)
    return {tap.name: _one_file(path, tap, model, images)}


def _one_file(path: Path, tap: TapMap, model: Model, images: int) -> Values | FourState:
    tensor, origin, kind = model.graph.tensors[tap.name], str(path), path.suffix.lower()
    raw: Raw
    if kind == ARRAY:
        raw = map_array(path)
    elif kind == HEADER:
        raw = _only_array(path)
    elif kind in RADIX:
        number, lanes = tap.number(tensor), tap.lanes or 1
        raw = read_text(_existing(path), number.bits * lanes, tap.radix, _most(tap, tensor, images, lanes))
    else:
        raise FileError(f"{path}: is of no kind that holds one tap, expected a name that ends in {_list(_OF_A_TAP)}")
    return arrange(raw, tap, tensor, images, origin)


def _only_array(path: Path) -> npt.NDArray[Any]:
    arrays = read_header_arrays(_existing(path))
    if len(arrays) != 1:
        raise FileError(f"{path}: has arrays {_list(arrays)}, expected one: that of the tap")
    # Written flat by `fxsim vectors`: a one-dimensional array is what the tap's shape makes of it.
    return next(iter(arrays.values()))


def _most(tap: TapMap, tensor: Tensor, images: int, lanes: int) -> int:
    """Words after which it is clear that there are more than there should be."""
    return tap.first + (-(-images * tensor.size // lanes) + 1 if tap.count is None else tap.count)


def _sampled(path: Path, model: Model, images: int, content: TraceMap | None) -> Found:
    """A wave, or a table of a logic analyser."""
    if content is None:
        raise FileError(f"{path}: its signals are not taps, expected a map (--map) that says which is which")
    _existing(path)
    tensors = [model.graph.tensors[tap.name] for tap in content.tap]
    lanes = [tap.lanes or 1 for tap in content.tap]
    most = [_most(tap, tensor, images, n) for tap, tensor, n in zip(content.tap, tensors, lanes, strict=True)]
    if path.suffix.lower() == TABLE:
        widths = [tap.number(tensor).bits * n for tap, tensor, n in zip(content.tap, tensors, lanes, strict=True)]
        words = read_table(path, content, content.tap, widths, most)
    else:
        words = read_wave(path, content, content.tap, most)
    found: Found = {}
    for tap, tensor, raw in zip(content.tap, tensors, words, strict=True):
        found[tap.name] = arrange(raw, tap, tensor, images, raw.origin)
    return found


def _one_signal(path: Path, tap: TapMap) -> tuple[str]:
    if len(tap.signals) != 1:
        raise FileError(f"{path}: tap '{tap.name}' has {len(tap.signals)} signals, expected one array or file")
    return (tap.signals[0],)


def _list(names: Iterable[str]) -> str:
    known = list(names)
    shown = ", ".join(map(str, known[:_UNUSED_SHOWN]))
    return (shown + (f" and {len(known) - _UNUSED_SHOWN:,} more" if len(known) > _UNUSED_SHOWN else "")) or "nothing"


def open_trace(
    path: Path, map_file: Path | None, model: Model, x: npt.NDArray[np.generic], taps: Sequence[str] | None = None
) -> Trace:
    """The taps of a trace of images `x`, without its own input, which must be `x`. Errors as `read_trace`'s.

    ComparisonError where there is another input, or no tap. `map_file`: its map, TOML; `taps`: those wanted.
    """
    content = None if map_file is None else read_map(map_file, model)
    trace = check_input(read_trace(path, model, len(x), content, taps), x)
    if not trace.taps:
        raise ComparisonError(f"{path}: has the model's input and none of its taps, expected at least one")
    return trace


def check_input(trace: Trace, x: npt.NDArray[np.generic]) -> Trace:
    """The trace without its values of the model's input; ComparisonError where these are not `x`."""
    given = trace.arrays.get(INPUT)
    if given is None:
        return trace
    step = 256
    for start in range(0, len(x), step):
        part = slice(start, start + step)
        values = given.values[part] if isinstance(given, FourState) else given[part]
        wrong = values != x[part]
        if isinstance(given, FourState):
            wrong |= given.mask[part]
        if wrong.any():
            image = start + int(np.argwhere(wrong)[0][0])
            raise ComparisonError(
                f"{trace.name}: its own input differs from the images given, first in image {image:,}: "
                "expected a trace of the same images"
            )
    return Trace(trace.name, {tap: v for tap, v in trace.arrays.items() if tap != INPUT}, trace.unused)
