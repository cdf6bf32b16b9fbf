"""The description of somebody's RTL: a TOML file of names, widths and orders. `docs/bring-your-own-rtl.md` explains it.

Everything in it is text, numbers and lists; expressions over signals are read by `expressions`, files lie in the folder
of the description.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from fxsim.devices.described.jobs.parts import Axi4, Control, Ram, Region, Registers, Step
from fxsim.devices.described.parts import LATENCY_MAX, ByteOrder, Cycles, Lanes, Packing, Part, Text, check_texts
from fxsim.errors import FileError
from fxsim.formats.text import decode_toml, read_bounded, short

INPUTS_MAX = 8
"""Most input streams of a design."""
BYTES_MAX = 1 << 20
"""Largest description, in bytes."""
EXPECTED = "a description of RTL"
"""The kind of file that is expected, for messages."""
_SIGNAL = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*\Z")


class Reset(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The reset: its port, the level that resets, and for how many cycles it is held at power-on."""

    signal: Text
    active: Literal["high", "low"] = "high"
    cycles: Annotated[int, Meta(ge=1, le=10_000)] = 4


class Signals(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ports of a stream by what they do; `start` is high with the first beat of an image, and with no other."""

    data: Text
    valid: Text | None = None
    ready: Text | None = None
    last: Text | None = None
    keep: Text | None = None
    start: Text | None = None


class Stream(Packing, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The input or output of a design: its ports, by a common `prefix` or each by its name.

    `tensor`: of the model, by default its input or output: a design may compute a part of the model. An input may carry
    several of one shape; they then have a further axis `operand`, the last.

    `last`: where the last signal is high: with the last beat of an image, of a run of the fastest axis (`row`), or
    nobody looks (`none`); by default `image` where there is such a port. `latency` (output without a valid signal):
    cycles from an image's first beat in to its first beat out, or `find`: as the output reacts to its input.
    `interval` (input without ready): fewest cycles between the first beats of images, by default the beats of an
    image. `protocol`: `axi4-stream` keeps its rules, which are checked: what waits stays, and valid does not wait for
    ready; by default so where a prefix finds `tdata`.
    """

    role: Literal["input", "output"]
    tensor: Text | Annotated[tuple[Text, ...], Meta(min_length=1, max_length=8)] | None = None
    prefix: Text | None = None
    signals: Signals | None = None
    last: Literal["image", "row", "none"] | None = None
    latency: Cycles | Literal["find"] | None = None
    interval: Annotated[int, Meta(ge=1, le=LATENCY_MAX)] | None = None
    protocol: Literal["axi4-stream", "valid-ready"] | None = None

    @property
    def ports(self) -> str | None:
        """The name that tells it from other streams: the prefix of its ports, or the port of its data."""
        return self.prefix if self.signals is None else self.signals.data

    def __post_init__(self) -> None:
        if (self.prefix is None) == (self.signals is None):
            raise ValueError(f"{self.role} stream needs either a prefix or signals")
        if self.role == "input" and self.latency is not None:
            raise ValueError("input stream states a latency, which only an output or a tap can have")
        if self.role == "output" and self.interval is not None:
            raise ValueError("output stream states an interval, which only the input can have")
        if self.role == "input" and self.protocol is not None:
            raise ValueError("input stream states a protocol, whose rules only an output can break")


class Tap(Packing, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tap of the model inside the design: expressions over its signals, by hierarchical names below the top.

    `name` and the expressions may hold `{i}` (or another word): then it stands for every tap of the model whose name
    has a whole number there, which replaces it everywhere. `multiplex`: of several taps the same word, where in each
    job, or of each image of a design of streams, they come one after the other on the same signals, in the order of the
    model.
    """

    name: Text
    data: Text
    valid: Text | None = None
    ready: Text | None = None
    latency: Cycles | None = None
    multiplex: Text | None = None

    def __post_init__(self) -> None:
        if (self.valid is None) == (self.latency is None):
            raise ValueError(f"tap '{self.name}' needs either a valid expression or a latency")
        if self.ready is not None and self.valid is None:
            raise ValueError(f"tap '{self.name}' has ready, but no valid")


class Memory(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A memory file that the design reads with `$readmemh` where it runs, from a parameter of the model.

    `tensor`: operator and parameter, e.g. `fc1.weight`. `word`: a value (by default), or a row (all of the last of two
    axes). `first`: whether a row's first value is in the least (`low`) or most significant bits (`high`). `bits`: of a
    value. `lanes`: values a word, in place of `word`. `order`: the array's axes `out` and `in`, slowest first, as of
    streams. `address`: of the first word; entries that state one may share a file. `byte_order`: of a value, as of
    streams.
    """

    file: Text
    tensor: Text
    word: Literal["value", "row"] | None = None
    first: Literal["low", "high"] = "low"
    bits: Annotated[int, Meta(ge=1, le=32)] = 8
    lanes: Lanes | None = None
    order: tuple[Text, ...] | None = None
    address: Annotated[int, Meta(ge=0, lt=2**32)] | None = None
    byte_order: ByteOrder = "little"

    def __post_init__(self) -> None:
        if self.word is not None and self.lanes is not None:
            raise ValueError(f"memory '{self.file}' states both a word and lanes, expected one of them")


class Description(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A design: its sources, and what its ports and signals mean.

    `sources`: names or globs of Verilog and SystemVerilog files or file lists (`.f`), in this order; `include`:
    folders; `files`: names or globs of files it reads while it runs. `parameters`: numbers, or `"TENSOR.AXIS"`: that
    axis's size in the model. `tie`: input ports that hold a value. `command`: words of a program that writes further
    files from the model. `nodes`: descriptions of modules of it, each of which computes a part of the model. All files
    lie in the description's folder or below. A design has either input streams and one output, or works off jobs,
    whose input and output lie in memories: `control` starts them, or the steps of `run` do, after those of `setup`, and
    those of `error` where a transfer is answered with an error.
    """

    top: Text
    sources: Text | Annotated[tuple[Text, ...], Meta(min_length=1, max_length=1000)]
    stream: Annotated[tuple[Stream, ...], Meta(max_length=64)] = ()
    include: tuple[Text, ...] = ()
    files: tuple[Text, ...] = ()
    defines: dict[Text, int | str] = field(default_factory=dict)
    parameters: dict[Text, int | str] = field(default_factory=dict)
    clock: Text | tuple[Text, ...] | None = None
    reset: Reset | None = None
    tie: dict[Text, int] = field(default_factory=dict)
    command: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=100)] | None = None
    nodes: tuple[Text, ...] = ()
    tap: tuple[Tap, ...] = ()
    memory: tuple[Memory, ...] = ()
    control: Control | None = None
    registers: Registers | None = None
    setup: Annotated[tuple[Step, ...], Meta(max_length=10_000)] = ()
    run: Annotated[tuple[Step, ...], Meta(max_length=10_000)] = ()
    error: Annotated[tuple[Step, ...], Meta(max_length=10_000)] = ()
    ram: Annotated[tuple[Ram, ...], Meta(max_length=64)] = ()
    axi4: Annotated[tuple[Axi4, ...], Meta(max_length=8)] = ()
    region: Annotated[tuple[Region, ...], Meta(max_length=1000)] = ()

    def __post_init__(self) -> None:
        if self.has_jobs:
            if self.stream:
                raise ValueError("a design that is started job by job has its input and output in memories, no streams")
            if self.control is not None and self.run:
                raise ValueError("a job is run by a control or by steps, not by both")
            if self.error and not (self.run and self.axi4):
                raise ValueError(
                    "'error' has the steps, in place of those of 'run', of a job in which a transfer of an AXI4 master "
                    "is answered with an error: expected run and axi4"
                )
            steps = [step.kind for step in (*self.setup, *self.run, *self.error) if step.kind != "wait"]
            if steps and self.registers is None:
                raise ValueError(f"a step '{steps[0]}' needs registers")
        elif late := [tap.name for tap in self.tap if tap.multiplex is not None and tap.valid is None]:
            raise ValueError(f"tap '{late[0]}' is multiplexed, and has no valid: expected one in a design of streams")
        elif self.ram or self.axi4 or self.region or self.registers is not None or self.setup or self.error:
            raise ValueError("memories and registers need a control or run, which say how a job runs")
        else:
            self._check_streams()
        names = (self.top, *self.clocks, *self.tie, *self.parameters, *self.defines)
        names += () if self.reset is None else (self.reset.signal,)
        for name in names:
            if not _SIGNAL.match(name):
                raise ValueError(f"{name!r} is no name in Verilog")

    def _check_streams(self) -> None:
        """ValueError unless there is an output stream, and one input or several that each state their tensor."""
        roles = [stream.role for stream in self.stream]
        inputs = [stream for stream in self.stream if stream.role == "input"]
        if not inputs or roles.count("output") != 1:
            hint = ", one of each or several inputs" if len(roles) > 2 else ""
            if roles.count("output") > 1:
                hint += "; a further output is shown as a [[tap]] at its ports, its ready under 'tie'"
            raise ValueError(f"streams are {' and '.join(roles) or 'none'}, expected input and output{hint}")
        if len(inputs) > INPUTS_MAX:
            raise ValueError(f"{len(inputs)} streams are inputs, expected at most {INPUTS_MAX}")
        if len(inputs) > 1:
            for number, stream in enumerate(inputs, 1):
                if stream.tensor is None:
                    called = "" if stream.ports is None else f" ('{stream.ports}')"
                    raise ValueError(
                        f"input stream {number}{called} of {len(inputs)} states no tensor: expected of each the one "
                        "that it carries, as tensor = 'NODE'"
                    )

    @property
    def has_jobs(self) -> bool:
        """Whether the design works off jobs, one after the other."""
        return self.control is not None or bool(self.run)

    @property
    def source_names(self) -> tuple[str, ...]:
        """The sources' names and globs."""
        return (self.sources,) if isinstance(self.sources, str) else self.sources

    @property
    def clocks(self) -> tuple[str, ...]:
        """Ports of the clock, all of which tick together."""
        return () if self.clock is None else (self.clock,) if isinstance(self.clock, str) else self.clock

    @property
    def inputs(self) -> tuple[Stream, ...]:
        """The input streams, in the order of the description."""
        return tuple(stream for stream in self.stream if stream.role == "input")

    @property
    def output(self) -> Stream:
        """The output stream."""
        return next(stream for stream in self.stream if stream.role == "output")


def read_description(path: Path) -> Description:
    """The description in a file; FileError, one line, with the place of what is wrong."""
    description = decode_toml(str(path), read_bounded(path, BYTES_MAX, EXPECTED), Description, EXPECTED)
    try:
        check_texts(msgspec.to_builtins(description))
    except ValueError as error:
        raise FileError(f"{path}: {short(str(error), 500)}") from None
    return description
