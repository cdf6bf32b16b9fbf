"""The parts of a composed accelerator: streams, modules between them, and what a node gets."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fxsim.devices.composed.depth import Depth
from fxsim.graph import Node

UNSIGNED, SIGNED, BIPOLAR = 1, 0, 2
"""Kinds of values as the Verilog has them in X_KIND."""


@dataclass(frozen=True)
class Stream:
    """A stream of the design: `name` begins the names of its signals, which carry `lanes` values of `bits` bits."""

    name: str
    lanes: int
    bits: int

    @property
    def width(self) -> int:
        """Bits of a beat."""
        return self.lanes * self.bits


@dataclass(frozen=True)
class Instance:
    """A module in the design: its parameters in Verilog, the streams that it takes and gives, and its ROM file.

    `note`: what a reader of the Verilog may want to know of it.
    """

    module: str
    name: str
    parameters: Mapping[str, str]
    sources: tuple[Stream, ...]
    targets: tuple[Stream, ...]
    rom: str = ""
    words: tuple[str, ...] = field(default=(), repr=False)
    note: str = ""

    @property
    def ports(self) -> Iterator[tuple[str, Stream]]:
        """Its ports' prefixes, each with the stream that is connected to it."""
        for letter, streams in (("s", self.sources), ("m", self.targets)):
            for number, stream in enumerate(streams):
                yield f"{letter}{number if len(streams) > 1 else ''}_axis", stream


@dataclass(frozen=True)
class Part:
    """A node's part of the design: its instances, in the order of the data, and the cycles that it takes an image.

    `stream`: that of its results, which is the node's tap; of a node without instances that of what it reads. `depths`:
    of a join, those of the FIFOs at the ends of its two paths. `taps`: of a node of a loop, the nodes of all steps
    whose images come on the stream in turn, itself the last; else itself alone. `cycles` are of all of them.
    """

    node: Node
    instances: tuple[Instance, ...]
    stream: Stream
    cycles: int
    depths: tuple[Depth, ...] = ()
    taps: tuple[str, ...] = ()
