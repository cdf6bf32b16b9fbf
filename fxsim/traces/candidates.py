"""Candidates for taps: every signal, array, column or file of a trace, with the handshakes that it may have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fxsim.errors import FileError
from fxsim.formats.headers import read_header_arrays
from fxsim.formats.npy import map_array, read_archive
from fxsim.traces.name_map import TapMap, TraceMap
from fxsim.traces.read import ARCHIVE, ARRAY, HEADER, TABLE
from fxsim.traces.table import list_columns, read_table
from fxsim.traces.text import RADIX, first_word, read_text
from fxsim.traces.trace import Raw
from fxsim.traces.waves import SUFFIXES as WAVES
from fxsim.traces.waves import list_signals, read_wave
from fxsim.traces.words import Words

SIGNALS_MAX = 2_000
"""Most signals of a wave that are looked at together."""
SAMPLES_BYTES_MAX = 1 << 28
"""Bytes of all their samples, at most."""
HANDSHAKES_MAX = 24
"""Signals of one bit in a scope that may be valid or ready, at most; of more, only those whose names say so."""

_NUMBER_BITS = 32
_CLOCKS = ("clk", "clock", "aclk", "ap_clk", "clk_i", "i_clk", "clk_in")
_HANDSHAKE = ("valid", "vld", "ready", "rdy", "en", "_v", "_r", "ap_ce", "write", "we")


@dataclass(frozen=True)
class Sampling:
    """The sampling of signals, as a map says it."""

    clock: str | None = None
    edge: Literal["rising", "falling"] = "rising"
    reset: str | None = None
    active: Literal["high", "low"] = "high"

    def map_of(self, taps: Sequence[TapMap]) -> TraceMap:
        """The map of some taps that are sampled so."""
        return TraceMap(clock=self.clock, edge=self.edge, reset=self.reset, active=self.active, tap=tuple(taps))


SAMPLING = Sampling()
"""Nothing is clocked."""


@dataclass(frozen=True)
class Candidate:
    """Values that may be a tap's: the signal, and its handshake. `mask`: the samples at which it holds; None: all."""

    signal: str
    raw: Raw
    valid: str | None = None
    ready: str | None = None
    mask: npt.NDArray[np.bool_] | None = field(default=None, compare=False)

    def __len__(self) -> int:
        """Number of samples, or of values of an array."""
        if self.mask is not None:
            return int(np.count_nonzero(self.mask))
        return len(self.raw) if isinstance(self.raw, Words) else self.raw.size

    def words(self) -> Raw:
        """The samples at which the handshake holds."""
        if self.mask is None or not isinstance(self.raw, Words):
            return self.raw
        unknown = None if self.raw.unknown is None else self.raw.unknown[self.mask]
        return Words(self.raw.origin, self.raw.bits, self.raw.values[self.mask], unknown)


def candidates(
    path: Path, counts: Sequence[int], sampling: Sampling = SAMPLING, scope: str = ""
) -> tuple[Sampling, Iterator[Candidate]]:
    """Everything in a trace that may be a tap, and how it is sampled: with the clock that was found, if none was named.

    `counts`: numbers of values that taps have; handshakes are tried that give a part of one. `scope`: only signals
    whose names begin so. FileError where the trace cannot be read, or has too many signals.
    """
    kind = path.suffix.lower()
    if not path.exists():
        raise FileError(f"{path}: there is no such file")
    if path.is_dir():
        return SAMPLING, _files(path, scope)
    if kind in WAVES:
        return _wave(path, counts, sampling, scope)
    if kind == TABLE:
        return sampling, _table(path, counts, sampling, scope)
    if kind == ARCHIVE:
        arrays: dict[str, npt.NDArray[Any]] = read_archive(path)
        return SAMPLING, (Candidate(name, values) for name, values in arrays.items() if name.startswith(scope))
    return SAMPLING, iter([_file(path, path.name)])


def _files(path: Path, scope: str) -> Iterator[Candidate]:
    for folder in (path, path / "taps"):
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            name = file.relative_to(path).as_posix()
            if file.is_file() and name.startswith(scope) and file.suffix.lower() in (ARRAY, HEADER, *RADIX):
                yield _file(file, name)


def _file(file: Path, name: str) -> Candidate:
    kind = file.suffix.lower()
    if kind == ARRAY:
        return Candidate(name, map_array(file))
    if kind == HEADER:
        arrays = read_header_arrays(file)
        if len(arrays) != 1:
            raise FileError(f"{file}: has {len(arrays)} arrays, expected one")
        return Candidate(name, next(iter(arrays.values())))
    if kind not in RADIX:
        raise FileError(f"{file}: is of no kind that is read")
    radix, digits = first_word(file)
    if radix == 10:
        return Candidate(name, _numbers(read_text(file, _NUMBER_BITS)))
    return Candidate(name, read_text(file, digits * {2: 1, 8: 3, 16: 4}[radix]))


def _numbers(words: Words) -> npt.NDArray[np.int32] | Words:
    """Words of 32 bits as numbers; as words where not all is known."""
    return words if words.unknown is not None else words.values.view("<i4").reshape(-1)


def _wave(path: Path, counts: Sequence[int], sampling: Sampling, scope: str) -> tuple[Sampling, Iterator[Candidate]]:
    widths, clock = list_signals(path), sampling.clock
    if clock is None:
        named = [name for name, width in widths.items() if width == 1 and name.rpartition(".")[2].lower() in _CLOCKS]
        shortest = min((name.count(".") for name in named), default=0)
        top = [name for name in named if name.count(".") == shortest]
        if len(top) != 1:
            found = ", ".join(named[:8]) or "no signal called like one"
            raise FileError(f"{path}: which signal is the clock is not clear ({found}), expected --clock NAME")
        clock = top[0]
    sampling = replace(sampling, clock=clock)
    names = [name for name in widths if name.startswith(scope) and name != clock]
    if len(names) > SIGNALS_MAX:
        raise FileError(
            f"{path}: has {len(names):,} signals, expected at most {SIGNALS_MAX:,}; --scope NAME takes those below it"
        )
    if not names:
        raise FileError(f"{path}: has no signal whose name begins with '{scope}'")
    most = SAMPLES_BYTES_MAX // sum(-(-widths[name] // 8) for name in names)
    taps = [TapMap(name=name) for name in names]
    words = read_wave(path, sampling.map_of(taps), taps, [most + 1] * len(taps))
    if max(map(len, words)) > most:
        raise FileError(
            f"{path}: has more than {most:,} samples of {len(names):,} signals, the most that are looked at; "
            "--scope NAME takes fewer signals"
        )
    return sampling, _with_handshakes(dict(zip(names, words, strict=True)), counts)


def _table(path: Path, counts: Sequence[int], sampling: Sampling, scope: str) -> Iterator[Candidate]:
    columns = list_columns(path)
    names = [name for name in columns if name.startswith(scope) and name != sampling.clock]
    taps, bits = [TapMap(name=name) for name in names], [columns[name] or _NUMBER_BITS for name in names]
    most = SAMPLES_BYTES_MAX // max(1, sum(-(-width // 8) for width in bits))
    content = sampling.map_of(taps)
    read = read_table(path, content, taps, bits, [most] * len(taps), lenient=True)
    found: dict[str, Words] = {}
    for name, words in zip(names, read, strict=True):
        narrow = (
            words.unknown is None and words.bits > 1 and not (words.values[:, 1:].any() or (words.values > 1).any())
        )
        found[name] = Words(words.origin, 1, words.values[:, :1]) if narrow else words
    for candidate in _with_handshakes(found, counts):
        unstated = columns[candidate.signal] is None and isinstance(candidate.raw, Words) and candidate.raw.bits > 1
        words_of = candidate.words()
        if unstated and isinstance(words_of, Words):
            yield Candidate(candidate.signal, _numbers(words_of), candidate.valid, candidate.ready)
        else:
            yield candidate


def _with_handshakes(words: dict[str, Words], counts: Sequence[int]) -> Iterator[Candidate]:
    """Each signal without a handshake, and with those of its scope that leave as many samples as taps could have."""
    by_scope: dict[str, list[str]] = {}
    for name in words:
        by_scope.setdefault(_scope(name), []).append(name)
    for names in by_scope.values():
        bits = [name for name in names if words[name].bits == 1]
        if len(bits) > HANDSHAKES_MAX:
            bits = [name for name in bits if any(word in _leaf(name) for word in _HANDSHAKE)][:HANDSHAKES_MAX]
        ones = {name: _ones(words[name]) for name in bits}
        pairs = [(v, None, ones[v]) for v in bits] + [(v, r, ones[v] & ones[r]) for v, r in permutations(bits, 2)]
        # Handshakes that hold at the same samples are one, and those that leave no tap's number of samples none.
        masks: dict[bytes, tuple[npt.NDArray[np.bool_], list[tuple[str, str | None]]]] = {}
        for valid, ready, mask in pairs:
            count = int(np.count_nonzero(mask))
            if count and any(wanted % count == 0 for wanted in counts):
                masks.setdefault(mask.tobytes(), (mask, []))[1].append((valid, ready))
        for name in names:
            yield Candidate(name, words[name])
            for mask, same in masks.values():
                others = [pair for pair in same if name not in pair]
                if others:
                    best, ready = max(others, key=lambda pair: _likeness(name, *pair))
                    yield Candidate(name, words[name], best, ready, mask)


def _likeness(name: str, valid: str, ready: str | None) -> tuple[int, int, int]:
    """Likeness of a handshake's names to a signal's: greater is better; of equals, the one of fewer signals."""
    alike = [_shared(_leaf(name), _leaf(other)) for other in (valid, ready) if other is not None]
    words = ("v" in _leaf(valid)) + (ready is not None and "r" in _leaf(ready))
    return min(alike), words, -len(alike)


def _shared(one: str, other: str) -> int:
    """Letters with which both begin."""
    ends = (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(ends, min(len(one), len(other)))


def _scope(name: str) -> str:
    return name.rpartition(".")[0] or name.rpartition("/")[0]


def _leaf(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _ones(words: Words) -> npt.NDArray[np.bool_]:
    known: npt.NDArray[np.bool_] = words.values[:, 0] & 1 == 1
    if words.unknown is not None:
        known &= words.unknown[:, 0] & 1 == 0
    return known
