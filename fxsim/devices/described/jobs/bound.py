"""A description of a design that works off jobs, with a model on it: its memories and what lies in them."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fxsim.devices.described.jobs.parts import Ram
from fxsim.devices.described.packing import Beats

LITE: dict[str, tuple[str, int | None]] = {
    "awaddr": ("in", None), "awprot": ("in", 3), "awvalid": ("in", 1), "awready": ("out", 1),
    "wdata": ("in", 32), "wstrb": ("in", 4), "wvalid": ("in", 1), "wready": ("out", 1),
    "bresp": ("out", 2), "bvalid": ("out", 1), "bready": ("in", 1),
    "araddr": ("in", None), "arprot": ("in", 3), "arvalid": ("in", 1), "arready": ("out", 1),
    "rdata": ("out", 32), "rresp": ("out", 2), "rvalid": ("out", 1), "rready": ("in", 1),
}  # fmt: skip
"""Ports of an AXI4-Lite slave: their direction and width (None: of an address)."""
LITE_OPTIONAL = frozenset({"awprot", "arprot", "wstrb", "bresp", "rresp"})
"""Ports that a slave may lack."""


@dataclass(frozen=True)
class BoundStep:
    """A step of a sequence: `write`, `read`, `poll` of a register, or `wait` for a port; `name` says it in words."""

    kind: str
    address: int
    value: int
    mask: int
    wait: str | None
    timeout: int | None
    name: str


@dataclass(frozen=True)
class BoundRam:
    """A port to a RAM; `offset`: of its word in the wrapper's data, in bytes; `unit`: what addresses count a word."""

    said: Ram
    memory: str
    word_bits: int
    address_bits: int
    strobes: int
    offset: int

    @property
    def word_bytes(self) -> int:
        """Bytes of a word, the last of which may have bits that are none of it."""
        return -(-self.word_bits // 8)

    @property
    def unit(self) -> int:
        """Addresses of a word."""
        return self.word_bytes if self.said.unit == "bytes" else 1

    @property
    def words(self) -> int:
        """Words that its addresses reach."""
        return (1 << self.address_bits) // self.unit

    @property
    def checked(self) -> bool:
        """Whether every read must find something."""
        return self.said.reads == "checked" or (self.said.reads is None and self.said.enable is not None)


@dataclass(frozen=True)
class BoundRegion:
    """A region of a memory, from its word `first` on. `beats`: of its tensor (None: scratch). `tap`: whose values.

    `content`: the words of a parameter.
    """

    name: str
    role: str
    memory: str
    first: int
    words: int
    word_bytes: int
    beats: Beats | None
    tap: str | None
    content: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Area:
    """A run of words in a memory, which regions share that overlap."""

    memory: str
    first: int
    words: int
    word_bytes: int


def encode(beats: Beats, values: npt.NDArray[np.integer]) -> bytes:
    """The words of a tensor, little endian, bits of empty lanes 0."""
    bits, lanes = beats.number.bits, beats.lanes
    word_bytes = -(-bits * lanes // 8)
    places = beats.places.reshape(-1)
    flat = np.where(places < 0, 0, values.reshape(-1)[places]).reshape(-1, lanes)
    shifts = [bits * (lane if beats.low_first else lanes - 1 - lane) for lane in range(lanes)]
    out = bytearray()
    for row in flat.tolist():
        word = 0
        for value, shift in zip(row, shifts, strict=True):
            word |= (value & ((1 << bits) - 1)) << shift
        out += word.to_bytes(word_bytes, "little")
    return bytes(out)
