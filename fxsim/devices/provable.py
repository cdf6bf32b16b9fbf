"""Designs to prove, a device or one of its modules: Verilog, ROM contents, ports, and what their streams carry."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

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
    `last`: is 1 with an image's last value and with no other, or with the beats `lasts`; `zero`: is 0 with every value.
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


class Provable(NamedTuple):
    """A design to prove, alone or as part of another: `name` says which one.

    `files`: what it reads ($readmemh). `reset`: high for `reset_cycles` at first; `idle_reset`: whether nothing is
    offered meanwhile. `takes`: readies that it is given. `quiet`: outputs that are 0 throughout. `idle`: cycles in
    which nothing passes after which nothing will. `whole`: whether it is the whole device. `verilog`: its own, where
    it is not fxsim's; its registers must all be clocked by the rising edge of the port `clock`.
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
    reset_cycles: int = 1
    idle_reset: bool = False
    verilog: OwnVerilog | None = None
    clock: str = ""
