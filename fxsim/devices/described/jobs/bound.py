"""A description of a design that works off jobs, with a model on it: its memories and what lies in them."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fxsim.devices.described.jobs.parts import Axi4, Ram
from fxsim.devices.described.packing import Beats, turned

LITE: dict[str, tuple[str, int | None]] = {
    "awaddr": ("in", None), "awprot": ("in", 3), "awvalid": ("in", 1), "awready": ("out", 1),
    "wdata": ("in", 32), "wstrb": ("in", 4), "wvalid": ("in", 1), "wready": ("out", 1),
    "bresp": ("out", 2), "bvalid": ("out", 1), "bready": ("in", 1),
    "araddr": ("in", None), "arprot": ("in", 3), "arvalid": ("in", 1), "arready": ("out", 1),
    "rdata": ("out", 32), "rresp": ("out", 2), "rvalid": ("out", 1), "rready": ("in", 1),
}  # fmt: skip
"""Ports of an AXI4-Lite slave: their direction and width (None: of an address)."""
AXI4_READ: dict[str, tuple[str, int | None]] = {
    "arid": ("out", None), "araddr": ("out", None), "arlen": ("out", 8), "arsize": ("out", 3), "arburst": ("out", 2),
    "arlock": ("out", 1), "arcache": ("out", 4), "arprot": ("out", 3), "arvalid": ("out", 1), "arready": ("in", 1),
    "rid": ("in", None), "rdata": ("in", None), "rresp": ("in", 2), "rlast": ("in", 1), "rvalid": ("in", 1),
    "rready": ("out", 1),
}  # fmt: skip
"""Ports of an AXI4 master's read channels: their direction and width (None: of an address, of data, or of an id)."""
AXI4_WRITE: dict[str, tuple[str, int | None]] = {
    "awid": ("out", None), "awaddr": ("out", None), "awlen": ("out", 8), "awsize": ("out", 3), "awburst": ("out", 2),
    "awlock": ("out", 1), "awcache": ("out", 4), "awprot": ("out", 3), "awvalid": ("out", 1), "awready": ("in", 1),
    "wdata": ("out", None), "wstrb": ("out", None), "wlast": ("out", 1), "wvalid": ("out", 1), "wready": ("in", 1),
    "bid": ("in", None), "bresp": ("in", 2), "bvalid": ("in", 1), "bready": ("out", 1),
}  # fmt: skip
"""Ports of its write channels."""
AXI4_SIDES = (AXI4_READ, AXI4_WRITE)
AXI4_OPTIONAL = frozenset(
    {
        *("arid", "arsize", "arburst", "arlock", "arcache", "arprot", "rid", "rresp", "rlast"),
        *("awid", "awsize", "awburst", "awlock", "awcache", "awprot", "wstrb", "bid", "bresp"),
    }
)
"""Ports that a master may lack: it then asks for whole words in INCR bursts with id 0, or does not look."""
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
class BoundAxi4:
    """An AXI4 master; `ports`, and their bits: by names in AXI. `offset`: of its data in the wrapper's, in bytes."""

    said: Axi4
    memory: str
    ports: dict[str, str]
    widths: dict[str, int]
    data_bits: int
    address_bits: int
    offset: int

    @property
    def bytes(self) -> int:
        """Bytes of a beat."""
        return self.data_bits // 8

    @property
    def reads(self) -> bool:
        """Whether it has the channels of reads."""
        return "araddr" in self.ports

    @property
    def writes(self) -> bool:
        """Whether it has the channels of writes."""
        return "awaddr" in self.ports


@dataclass(frozen=True)
class Space:
    """A memory as regions see it, `where` it is described: its words, and the addresses that every port reaches.

    `word_bits`: of a RAM's word; None where bytes are addressed, and a region's words have any whole number of them.
    `unit`: addresses of a word or byte; `bytes`: of the narrowest port's data.
    """

    name: str
    word_bits: int | None
    unit: int
    cells: int
    bytes: int
    inside: bool
    reads: bool
    writes: bool


@dataclass(frozen=True)
class BoundRegion:
    """A region of a memory, from its cell `first` on. `beats`: of its tensor (None: none). `tap`: whose values.

    A cell is a RAM's word, or a byte; `cells`: of a word. `label`: by which steps know it. `content`: the words of a
    parameter.
    """

    name: str
    label: str | None
    role: str
    memory: str
    first: int
    cells: int
    words: int
    word_bytes: int
    beats: Beats | None
    tap: str | None
    content: bytes = field(default=b"", repr=False)

    @property
    def end(self) -> int:
        """The cell behind it."""
        return self.first + self.words * self.cells


@dataclass(frozen=True)
class Area:
    """A run of cells in a memory, which regions share that overlap."""

    memory: str
    first: int
    cells: int
    cell_bytes: int


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
            coded = value & ((1 << bits) - 1)
            word |= (turned(coded, bits) if beats.big_endian else coded) << shift
        out += word.to_bytes(word_bytes, "little")
    return bytes(out)
