"""Designs to prove, a device or one of its modules: Verilog, ROM contents, ports, and what their streams carry."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from fxsim.simulate.sources import Sources

Places = tuple[tuple[int | None, int], ...]
"""Token (None without tokens) and channel of each value of an image in a stream, in its order."""


class Port(NamedTuple):
    """Some bits of a port: `width` of them from `low` on."""

    name: str
    low: int = 0
    width: int = 1


@dataclass(frozen=True)
class OwnVerilog:
    """The Verilog and SystemVerilog of a design that is not fxsim's own: one compilation unit, in this `order`.

    `include`: folders; `defines`: macros. `sha256`: of all that it was made of.
    """

    sources: Sources
    order: tuple[str, ...]
    include: tuple[str, ...]
    defines: Mapping[str, int | str]
    sha256: str


class Beats(NamedTuple):
    """The values of an image in beats of some lanes: how many each beat has, in its first lanes; `counts`."""

    lanes: int
    counts: tuple[int, ...]


class ProofFeed(NamedTuple):
    """An input stream: it carries the tensor `tensor`, in this order; `last`: its tlast, if any.

    `beats`: None where a beat is a value. `tensors`: of each value its tensor, where it carries several. `valid`,
    `ready`: None where it has none; a beat is then taken in each cycle. `lasts`: the beats with which last is 1, the
    image's last where nothing is said. `keep`, `start`, `interval`, `whole`: see `fxsim.prove.streams.Feed`.
    """

    data: Port
    valid: Port | None
    ready: Port | None
    tensor: str
    order: Places
    last: Port | None = None
    beats: Beats | None = None
    tensors: tuple[str, ...] = ()
    lasts: frozenset[int] | None = None
    keep: Port | None = None
    start: Port | None = None
    interval: int = 0
    whole: bool = False


class ProofWatch(NamedTuple):
    """A stream that is proved: it carries the values of a tap, in this order.

    `same`: values that another stream has shown before, or that were given, and that are passed on as they are.
    `last`: is 1 with an image's last value and with no other, or with the beats `lasts`; `start`: with an image's first
    beat and with no other; `zero`: is 0 with every value.
    `beats`: None where a beat is a value; `keep`: a bit a lane, 1 where it holds one. `valid`: None where beats come
    `latency` cycles after an image's first beat in. `ready`: None where every beat is taken. `cut`: see
    `fxsim.prove.streams.Watch`.
    """

    name: str
    tap: str
    data: Port
    valid: Port | None
    ready: Port | None
    order: Places
    same: bool = False
    last: Port | None = None
    zero: Port | None = None
    beats: Beats | None = None
    lasts: frozenset[int] | None = None
    keep: Port | None = None
    latency: int = 0
    cut: bool = True
    start: Port | None = None


LANE_BITS = 8


class Lane(NamedTuple):
    """A byte of a word: the value of a tensor at a place or, with `holds`, a constant where the tensor has no value."""

    tap: str
    token: int | None
    channel: int
    holds: int | None = None


class ProofMonitor(NamedTuple):
    """A monitor that is proved: while it is valid it shows a word, and of each image these, in this order."""

    name: str
    data: Port
    valid: Port
    words: tuple[tuple[Lane, ...], ...]


class Access(NamedTuple):
    """A step of what drives registers: `write` a value, `read` and expect it, or `wait` for the interrupt.

    The value is `value` and `each` for every image of the run.
    """

    kind: Literal["write", "read", "wait"]
    address: int = 0
    value: int = 0
    each: int = 0


class ProofRegion(NamedTuple):
    """A part of memory, `base` the address of its first byte: bytes, or of each image these, `stride` bytes apart.

    None stands for a byte that may be anything.
    """

    name: str
    base: int
    content: bytes | tuple[Lane | None, ...]
    stride: int = 0


class ProofBus(NamedTuple):
    """The surroundings of a design that has registers (AXI4-Lite) and reads and writes memory (AXI4).

    `registers`, `memory`: prefixes of the ports. `irq`: the interrupt, high from the end of a job until the program
    clears it. `reads`: all that may be read. `writes`: what must be written, each word once, and nothing else; its
    values have been proved at taps. `latency`: cycles from an address to the first beat, and from the last beat of a
    write to its response.
    """

    registers: str
    memory: str
    irq: Port
    program: tuple[Access, ...]
    reads: tuple[ProofRegion, ...]
    writes: ProofRegion
    latency: int


class Provable(NamedTuple):
    """A design to prove, alone or as part of another: `name` says which one. Around it stand streams, or a bus.

    `files`: what it reads ($readmemh). `reset`: high for `reset_cycles` at first; `idle_reset`: whether nothing is
    offered meanwhile. `takes`: readies that it is given. `quiet`: outputs that are 0 throughout. `idle`: cycles in
    which nothing passes after which nothing will. `whole`: whether it is the whole device. `verilog`: its own, where
    it is not fxsim's. Its registers must all be clocked by the rising edge of the port `clock`.
    """

    name: str
    top: str
    parameters: Mapping[str, int | str]
    files: Mapping[str, bytes]
    feeds: tuple[ProofFeed, ...]
    watches: tuple[ProofWatch, ...]
    reset: Port
    takes: tuple[Port, ...]
    quiet: tuple[Port, ...]
    idle: int
    whole: bool = False
    monitors: tuple[ProofMonitor, ...] = ()
    bus: ProofBus | None = None
    reset_cycles: int = 1
    idle_reset: bool = False
    verilog: OwnVerilog | None = None
    clock: str = "clk"

    def tensors(self) -> set[str]:
        """The tensors whose values stand at places of the design: those that it is given, and those that it shows."""
        given = {tensor for feed in self.feeds for tensor in (feed.tensor, *feed.tensors)}
        shown = {watch.tap for watch in self.watches if watch.cut}
        words = {lane.tap for monitor in self.monitors for word in monitor.words for lane in word}
        read = () if self.bus is None else self.bus.reads
        values = {
            lane.tap for region in read if not isinstance(region.content, bytes) for lane in region.content if lane
        }
        return given | shown | words | values

    def proved(self) -> set[str]:
        """The taps whose values are proved, and not only passed on as they are."""
        shown = {watch.tap for watch in self.watches if not watch.same}
        return shown | {lane.tap for monitor in self.monitors for word in monitor.words for lane in word}
