"""The parts of a description of a design that works off jobs: its start, its memories, and what lies in them."""

from typing import Annotated, Literal

from msgspec import Meta

from fxsim.devices.described.parts import Packing, Part, Text

ADDRESS_MAX = 1 << 62
"""Largest address, in cells."""
CYCLES_MAX = 1_000_000_000
"""Longest time to wait for one thing, in cycles."""
READ_LATENCY_MAX = 64
"""Most cycles from a RAM's address to its data."""
WORDS_MAX = 1 << 26
"""Most words of a region."""
AXI4_BITS_MAX = 1024
"""Widest data of an AXI4 master, in bits."""
AXI4_LATENCY_MAX = 10_000
"""Longest that a memory behind AXI4 takes to answer, in cycles."""

Address = Annotated[int, Meta(ge=0, le=ADDRESS_MAX)]
Word = Annotated[int, Meta(ge=0, lt=1 << 32)]
Timeout = Annotated[int, Meta(ge=1, le=CYCLES_MAX)]


class Control(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The start and the end of a job: ports of the design.

    `start_kind`: a `pulse` of one cycle, or a `level` held until the job is done. `done_kind`: a `pulse` of one cycle,
    or a `level` that stays until the next start. `busy`: high while a job runs; a job starts only where it is low.
    `timeout`: most cycles of a job.
    """

    start: Text
    done: Text
    start_kind: Literal["pulse", "level"] = "pulse"
    done_kind: Literal["pulse", "level"] = "pulse"
    busy: Text | None = None
    timeout: Timeout | None = None


class Registers(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An AXI4-Lite slave of the design, 32 bits wide: ports `PREFIX_awaddr` and so on, or the same in capitals."""

    prefix: Text


class Step(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step of the sequence that sets the design up, or runs a job.

    One of: `write` (a register's address) with a `value`; `read`, whose bits under `mask` must be `value`; `poll`, the
    same until they are; `wait`, a port of one bit that is waited for to be high. `value`: a number, or
    `"TENSOR.AXIS"`: that axis's size in the model, or `"REGION.words"` or `"REGION.bytes"`: a region's size. `timeout`:
    most cycles of the step.
    """

    write: Word | None = None
    read: Word | None = None
    poll: Word | None = None
    wait: Text | None = None
    value: Word | Text | None = None
    mask: Word | None = None
    timeout: Timeout | None = None

    def __post_init__(self) -> None:
        kinds = [name for name in ("write", "read", "poll", "wait") if getattr(self, name) is not None]
        if len(kinds) != 1:
            there = " and ".join(kinds) or "none"
            raise ValueError(f"a step has {there} of write, read, poll and wait, expected one")
        if (self.value is None) != (kinds[0] == "wait"):
            raise ValueError(f"a step '{kinds[0]}' " + ("has no value" if self.value is not None else "needs a value"))
        if self.mask is not None and kinds[0] in {"write", "wait"}:
            raise ValueError(f"a step '{kinds[0]}' has no mask")

    @property
    def kind(self) -> str:
        """The kind: write, read, poll or wait."""
        return next(name for name in ("write", "read", "poll", "wait") if getattr(self, name) is not None)


class Ram(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A port between the design and a RAM; the RAM is the harness's, or the design's own (`inside`).

    `memory`: the RAM's name, where several ports lead to one; by default the port's. `read`: data that is read,
    `latency` cycles after its address; `write`: data that is written where `write_enable` is high (a bit, or a bit a
    byte). `enable`: without it a RAM reads in every cycle. `unit`: what an address counts. `reads`: whether every read
    must be of a word that holds something (`checked`, as by default with an enable); else such a word reads as random.
    """

    name: Text
    address: Text
    memory: Text | None = None
    inside: bool = False
    enable: Text | None = None
    read: Text | None = None
    write: Text | None = None
    write_enable: Text | None = None
    latency: Annotated[int, Meta(ge=0, le=READ_LATENCY_MAX)] = 1
    unit: Literal["words", "bytes"] = "words"
    reads: Literal["checked", "unchecked"] | None = None

    def __post_init__(self) -> None:
        if self.read is None and self.write is None:
            raise ValueError(f"ram '{self.name}' needs read or write data")
        if (self.write is None) != (self.write_enable is None):
            raise ValueError(f"ram '{self.name}' needs both write and write_enable, or neither")
        if self.inside and self.reads is not None:
            raise ValueError(f"ram '{self.name}': 'reads' is of a RAM of the harness, not of one inside the design")
        if self.inside and self.memory is not None:
            raise ValueError(f"ram '{self.name}' is inside the design, where one port leads to it")


class Axi4(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An AXI4 master of the design, `PREFIX_araddr` and so on, or the same in capitals; the memory is the harness's.

    A master may have the channels of reads alone, or those of writes. `memory`: the memory's name, where several ports
    lead to one; by default the port's. `width`: bits of its data, which the ports must have. `latency`: cycles from a
    read's address to its first beat, and from a write's last beat to its answer. `reads`: whether every beat that is
    read must hold something (`checked`, as by default); else such a beat reads as random.
    """

    name: Text
    prefix: Text
    memory: Text | None = None
    width: Annotated[int, Meta(ge=8, le=AXI4_BITS_MAX)] | None = None
    latency: Annotated[int, Meta(ge=1, le=AXI4_LATENCY_MAX)] = 64
    reads: Literal["checked", "unchecked"] = "checked"


class Region(Packing, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a memory, from address `base` on: words of `lanes` values each.

    `role`: `input` (by default the model's), `output` (by default the model's; else the tap that `tensor` names),
    `parameter` (`tensor`: operator and parameter, e.g. `fc1.weight`; or `file`, whose bytes lie there), or `scratch`:
    so many `words` that the design may use as it likes. `memory`: its name. `name`: by which steps know the region:
    `NAME.words` and `NAME.bytes` are its size.
    """

    memory: Text
    role: Literal["input", "output", "parameter", "scratch"]
    base: Address = 0
    name: Text | None = None
    tensor: Text | None = None
    file: Text | None = None
    words: Annotated[int, Meta(ge=1, le=WORDS_MAX)] | None = None

    def __post_init__(self) -> None:
        where = f"{self.role} region in '{self.memory}'"
        if self.file is not None and self.role != "parameter":
            raise ValueError(f"{where}: only a parameter lies in a file")
        if (self.words is None) == (self.role == "scratch"):
            raise ValueError(f"{where}: a scratch region states its words, and no other does")
        if self.role == "scratch" and self.tensor is not None:
            raise ValueError(f"{where}: it holds no tensor")
        if self.role == "parameter" and (self.tensor is None) == (self.file is None):
            raise ValueError(f"{where}: it needs a tensor, e.g. 'fc1.weight', or a file")
