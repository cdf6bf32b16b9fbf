"""Waves: VCD, FST and GHW files, sampled at an edge of a clock. Needs the extra `traces`, which brings pywellen."""

import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from fxsim import temporary
from fxsim.errors import FileError, ToolError
from fxsim.formats.text import short
from fxsim.process import run
from fxsim.traces.name_map import TapMap, TraceMap
from fxsim.traces.wave_process import MEMORY_BYTES_MAX, Answer, Request, Sampled
from fxsim.traces.words import Words

SUFFIXES = (".vcd", ".fst", ".ghw")
FILE_BYTES_MAX = {".ghw": 1 << 28}
"""Bytes of a file that must be held in memory; VCD and FST are read as a stream, however long."""


_PROGRAM = "from fxsim.traces.wave_process import main; main()"


def missing() -> str | None:
    """The reason why no wave can be read here, or None where one can."""
    return None if find_spec("pywellen") else "the extra 'traces' is not installed: there is no pywellen here"


def list_signals(path: Path) -> dict[str, int]:
    """Widths of all signals by full name. Errors as `read_wave`'s."""
    with temporary.folder("wave") as folder:
        return _ask(Request(_checked(path), memory=MEMORY_BYTES_MAX), folder).signals or {}


def read_wave(path: Path, content: TraceMap, taps: Sequence[TapMap], most: Sequence[int | None]) -> list[Words]:
    """Words of the taps' signals, as they are just before each edge of the clock at which valid and ready hold.

    At most so many of each as `most` says. ToolError where pywellen is not installed; FileError where the file is
    missing, damaged or cut off, has no such signals or no edge, where valid is unknown, or memory does not suffice.
    """
    if content.clock is None:
        raise FileError(f"{path}: a wave is sampled at a clock, expected 'clock' in a map (--map)")
    with temporary.folder("wave") as folder:
        request = Request(
            _checked(path),
            content.clock,
            content.edge,
            content.reset,
            content.active,
            tuple(taps),
            tuple(most),
            MEMORY_BYTES_MAX,
        )
        found = _ask(request, folder)
        if not found.edges:
            raise FileError(f"{path}: clock '{content.clock}' has no {content.edge} edge, expected one a sample")
        return [
            _words(folder, place, sampled, f"{path}: '{'+'.join(tap.signals)}'")
            for place, (tap, sampled) in enumerate(zip(taps, found.sampled, strict=True))
        ]


def _checked(path: Path) -> str:
    if reason := missing():
        raise ToolError(f"{path} cannot be read: {reason}")
    if not path.is_file():
        raise FileError(f"{path}: {'is not a regular file' if path.exists() else 'there is no such file'}")
    limit = FILE_BYTES_MAX.get(path.suffix.lower())
    if limit is not None and path.stat().st_size > limit:
        raise FileError(
            f"{path}: has {path.stat().st_size:,} bytes, expected at most {limit:,}: this kind is held in memory; "
            "VCD and FST are not"
        )
    return str(path)


def _ask(request: Request, folder: Path) -> Answer:
    """The answer of the process that reads waves, in a folder of its own."""
    (folder / "request.json").write_bytes(msgspec.json.encode(request))
    done = run([sys.executable, "-P", "-W", "ignore", "-c", _PROGRAM, str(folder)], env=_environment())
    said = " ".join(line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip())
    file = folder / "answer.json"
    if done.returncode != 0 or not file.exists():
        how = f"was ended by {signal.Signals(-done.returncode).name}" if done.returncode < 0 else "failed"
        raise FileError(
            f"{request.path}: is damaged, cut off, or needs more than {request.memory:,} bytes of memory: "
            f"reading it {how}: {short(said, 300) or 'without a word'}"
        )
    found = msgspec.json.decode(file.read_bytes(), type=Answer)
    if found.error is not None:
        raise FileError(found.error)
    if said:
        # The library goes on where time goes back, say, and leaves values out.
        raise FileError(f"{request.path}: is damaged: {short(said, 300)}")
    return found


def _environment() -> dict[str, str]:
    import os

    import fxsim

    # Nothing is taken from the folder that the user stands in; this package must be found as it is here.
    package = str(Path(fxsim.__file__).parent.parent)
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "RUST_BACKTRACE": "0"}


def _words(folder: Path, place: int, sampled: Sampled, origin: str) -> Words:
    shape = (sampled.count, -(-sampled.bits // 8))

    def read(kind: str) -> npt.NDArray[np.uint8]:
        return np.fromfile(folder / f"{place}.{kind}", np.uint8).reshape(shape)

    return Words(origin, sampled.bits, read("values"), None if sampled.known else read("unknown"))
