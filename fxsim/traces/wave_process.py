"""The process that reads a wave: a child, because the library that does ends the process on damaged files.

It is started by `fxsim.traces.waves`, which gives it a folder. There it reads `request.json`, and writes `answer.json`
and files of words for each group. What the library itself says is on standard output and error.
"""

import heapq
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from fxsim.errors import FileError, FxsimError
from fxsim.traces.name_map import TapMap
from fxsim.traces.sampling import Bits, Edges, Group, Sampler, select
from fxsim.traces.words import WORD_BITS_MAX, parse_bits

MEMORY_BYTES_MAX = 3 << 30
"""Bytes that this process may allocate."""
SIGNALS_MAX = 2_000_000
"""Most signals of a wave."""

_GHW = "GHW"


class Request(Struct, frozen=True):
    """A request: taps of a file; without any, the list of its signals. `most` words of each tap are enough.

    `memory`: bytes that may be allocated; a file that is mapped does not count.
    """

    path: str
    clock: str | None = None
    edge: str = "rising"
    reset: str | None = None
    active: str = "high"
    taps: tuple[TapMap, ...] = ()
    most: tuple[int | None, ...] = ()
    memory: int = MEMORY_BYTES_MAX


class Sampled(Struct, frozen=True):
    """One group's words: how many, their width, whether all bits are known."""

    count: int
    bits: int
    known: bool


class Answer(Struct, frozen=True):
    """The answer, or `error`: one line. `edges`: how many edges the clock has."""

    error: str | None = None
    signals: dict[str, int] | None = None
    sampled: tuple[Sampled, ...] = ()
    edges: int = 0


def answer(request: Request, folder: Path) -> Answer:
    """The answer to a request; words are written into files `N.values` and `N.unknown` in a folder."""
    wave = _open(request.path)
    signals = _signals(wave, request.path)
    widths = {name: width for name, (width, _) in signals.items()}
    if request.clock is None:
        return Answer(signals=widths)
    clock, width = select(request.clock, widths, request.path)
    if width != 1:
        raise FileError(f"{request.path}: clock '{request.clock}' has {width} bits, expected 1")
    groups = tuple(_group(tap, widths, request, most) for tap, most in zip(request.taps, request.most, strict=True))
    reset = None if request.reset is None else select(request.reset, widths, request.path)
    if reset is not None and reset[1] != 1:
        raise FileError(f"{request.path}: reset '{request.reset}' has {reset[1]} bits, expected 1")
    sampler = Sampler(groups, request.path, None if reset is None else reset[0], request.active)
    parts = [] if reset is None else [reset[0]]
    parts += [part for g in groups for part in (*g.parts, g.valid, g.ready) if part is not None]
    wanted = dict.fromkeys([clock.signal, *(part.signal for part in parts)])
    clock_id = signals[clock.signal][1]
    names: dict[str, list[str]] = {}
    for name in wanted:
        names.setdefault(signals[name][1], []).append(name)
    walk = _Walk(sampler, Edges(request.edge), clock.of, clock_id, names, widths)
    for time, signal, value in _changes(wave, list(wanted), signals, walk):
        walk.change(time, signal, value)
    walk.end()
    sampled = []
    for place, writer in enumerate(sampler.writers):
        words = writer.words()
        words.values.tofile(folder / f"{place}.values")
        if words.unknown is not None:
            words.unknown.tofile(folder / f"{place}.unknown")
        sampled.append(Sampled(len(words), words.bits, words.unknown is None))
    return Answer(sampled=tuple(sampled), edges=sampler.edges)


class _Walk:
    """Goes through changes in the order of time; at an edge, signals are as they were before that time."""

    def __init__(
        self,
        sampler: Sampler,
        edges: Edges,
        clock_bit: Any,
        clock_id: str,
        names: dict[str, list[str]],
        widths: dict[str, int],
    ) -> None:
        self.error: BaseException | None = None
        self._sampler = sampler
        self._edges = edges
        self._clock_bit = clock_bit
        self._clock_id = clock_id
        self._names = names
        self._widths = widths
        self._values: dict[str, Bits] = {}
        self._time = 0
        self._edge = False
        self._pending: list[tuple[str, Any]] = []

    def change(self, time: int, signal: str, value: Any) -> None:
        if time != self._time:
            if time < self._time:
                raise FileError(f"time goes back from {self._time:,} to {time:,}, expected the order of time")
            self._apply()
            self._time = time
        if signal == self._clock_id and self._edges.moved(self._clock_bit(self._bits(signal, value))):
            self._edge = True
        self._pending.append((signal, value))

    def end(self) -> None:
        if self.error is not None:
            raise self.error
        self._apply()

    def callback(self, time: int, signal: Any, value: Any) -> None:
        # The library drops what is raised here, and goes on.
        if self.error is None and not self._sampler.full:
            try:
                self.change(time, str(signal), value)
            except BaseException as error:
                self.error = error

    def _apply(self) -> None:
        if self._edge:
            self._sampler.edge(self._values, f"at time {self._time:,}")
            self._edge = False
        for signal, value in self._pending:
            bits = self._bits(signal, value)
            for name in self._names.get(signal, ()):
                self._values[name] = bits
        self._pending.clear()

    def _bits(self, signal: str, value: Any) -> Bits:
        width = self._widths[self._names[signal][0]]
        if isinstance(value, str):
            # Fewer letters than bits: VCD leaves out what X and Z repeat, and zeros.
            letter = value[:1] if value[:1] not in ("1", "h", "l") else "0"
            return parse_bits(value.rjust(width, letter or "x"))
        if isinstance(value, int) and not value >> width:
            return value, 0
        raise FileError(f"'{self._names[signal][0]}' is {value!r} at time {self._time:,}, expected {width} bits")


def _changes(
    wave: Any, wanted: list[str], signals: dict[str, tuple[int, str]], walk: _Walk
) -> Iterator[tuple[int, str, Any]]:
    """Changes of GHW, which is held in memory, as one list; those of other files go straight to the walk."""
    if wave.file_format != _GHW:
        wave.stream_changes(walk.callback, wanted)
        return
    variables = {v.full_name: v for v in wave.all_vars() if v.full_name in set(wanted)}
    ids = dict.fromkeys(signals[name][1] for name in wanted)
    by_id = {signals[name][1]: variables[name].signal for name in wanted}
    yield from heapq.merge(*(_named(i, by_id[i]) for i in ids), key=lambda change: change[0])


def _named(signal: str, changes: Any) -> Iterator[tuple[int, str, Any]]:
    for time, value in changes:
        yield time, signal, value


def _group(tap: TapMap, widths: dict[str, int], request: Request, most: int | None) -> Group:
    parts = [select(name, widths, request.path) for name in tap.signals]
    handshake = []
    for name in (tap.valid, tap.ready):
        found = None if name is None else select(name, widths, request.path)
        if found is not None and found[1] != 1:
            raise FileError(f"{request.path}: '{name}' has {found[1]} bits, expected 1")
        handshake.append(None if found is None else found[0])
    return Group(
        tap.name, tuple(part for part, _ in parts), tuple(width for _, width in parts), handshake[0], handshake[1], most
    )


def _open(path: str) -> Any:
    import pywellen

    wave = pywellen.Waveform(path, multi_threaded=False, stream_only=True)
    # Streaming is not there for GHW.
    return pywellen.Waveform(path, multi_threaded=False) if wave.file_format == _GHW else wave


def _signals(wave: Any, path: str) -> dict[str, tuple[int, str]]:
    """Width and number of each signal that has bits, by full name; FileError where one name has two."""
    found: dict[str, tuple[int, str]] = {}
    for variable in wave.all_vars():
        width = variable.bitwidth
        if variable.is_real or variable.is_string or not width or width > WORD_BITS_MAX:
            continue
        if variable.var_type == "Integer" and width == 1:
            continue  # FST files of GHDL: an integer of which only one bit is read
        name, number = variable.full_name, str(variable.signal_ref)
        if found.setdefault(name, (width, number)) != (width, number):
            raise FileError(f"{path}: has two signals '{name}', expected one of a name")
        if len(found) > SIGNALS_MAX:
            raise FileError(f"{path}: has more than {SIGNALS_MAX:,} signals, the most that are read")
    return found


def main() -> None:
    """Read the request, write the answer."""
    folder = Path(sys.argv[1])
    request = msgspec.json.decode((folder / "request.json").read_bytes(), type=Request)
    resource.setrlimit(resource.RLIMIT_DATA, (request.memory, request.memory))
    try:
        found = answer(request, folder)
    except FxsimError as error:
        text = str(error)
        found = Answer(error=text if text.startswith(request.path) else f"{request.path}: {text}")
    except MemoryError:
        found = Answer(error=f"{request.path}: takes more than {request.memory:,} bytes of memory to read")
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        found = Answer(error=f"{request.path}: is damaged, cut off, or no VCD, FST or GHW file: {reason[:300]}")
    (folder / "answer.json").write_bytes(msgspec.json.encode(found))
