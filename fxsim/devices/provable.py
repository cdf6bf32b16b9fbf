"""Designs to prove, a device or one of its modules: Verilog, ROM contents, ports, and what their streams carry."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

Places = tuple[tuple[int | None, int], ...]
"""Token (None without tokens) and channel of each value of an image in a stream, in its order."""


class Port(NamedTuple):
    """Some bits of a port: `width` of them from `low` on."""

    name: str
    low: int = 0
    width: int = 1


class ProofFeed(NamedTuple):
    """An input stream: it carries the tensor `tensor`, in this order; `last`: its tlast, if any."""

    data: Port
    valid: Port
    ready: Port
    tensor: str
    order: Places
    last: Port | None = None


class ProofWatch(NamedTuple):
    """A stream that is proved: it carries the values of a tap, in this order.

    `same`: values that another stream has shown before, or that were given, and that are passed on as they are.
    `last`: is 1 with an image's last value and with no other; `zero`: is 0 with every value.
    """

    name: str
    tap: str
    data: Port
    valid: Port
    ready: Port
    order: Places
    same: bool = False
    last: Port | None = None
    zero: Port | None = None


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

    `files`: what it reads ($readmemh). `reset`: high for a cycle at first. `takes`: readies that it is given. `quiet`:
    outputs that are 0 throughout. `idle`: cycles in which nothing passes after which nothing will. `whole`: whether it
    is the whole device.
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
