"""Designs to prove, a device or one of its modules: Verilog, ROM contents, ports, and what their streams carry."""

from collections.abc import Mapping
from typing import NamedTuple

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


class Provable(NamedTuple):
    """A design to prove, alone or as part of another: `name` says which one.

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
