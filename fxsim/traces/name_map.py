"""Maps: which signal, column, array or file of a trace holds which tap, and how its values lie there."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from fxsim.contract import Number, Sign, Tensor
from fxsim.errors import FileError
from fxsim.formats.text import decode_toml, read_bounded, short
from fxsim.graph import Model

MAP_BYTES_MAX = 1 << 20
IMAGE = "image"
"""Name of the images among the axes of an order."""

_EXPECTED = "a map of a trace"
_Name = Annotated[str, Meta(min_length=1, max_length=1000)]
_Count = Annotated[int, Meta(ge=0, le=1 << 40)]


class TapMap(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The place of one tap in a trace.

    `signal`: name of the signal, column, array or file; several are one word, the lowest bits first. A wave's or
    column's `name[7:0]` is a part of its bits. `lanes` values of `width` bits lie in one word, `lane_order` says which
    is the first. `order` has the tap's axes, slowest first, and may have `image`; `-axis` runs from the last index to
    the first. The first `first` samples are passed over, and `count` of them taken. `valid` and `ready`: signals that
    are 1 where there is a value.
    """

    name: _Name
    signal: _Name | Annotated[tuple[_Name, ...], Meta(min_length=1, max_length=4096)] | None = None
    lanes: Annotated[int, Meta(ge=1, le=4096)] | None = None
    width: Annotated[int, Meta(ge=1, le=32)] | None = None
    signed: bool | None = None
    lane_order: Literal["low-first", "high-first"] = "low-first"
    order: Annotated[tuple[str, ...], Meta(min_length=1, max_length=9)] | None = None
    first: _Count = 0
    count: _Count | None = None
    valid: _Name | None = None
    ready: _Name | None = None
    radix: Literal[2, 8, 10, 16] | None = None

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of all signals, the lowest bits first."""
        names = (self.name,) if self.signal is None else self.signal
        return (names,) if isinstance(names, str) else names

    @property
    def stated_axes(self) -> tuple[str, ...] | None:
        """The axes of `order`, whichever way they run; None where none is stated."""
        return None if self.order is None else tuple(axis.removeprefix("-") for axis in self.order)

    @property
    def flat(self) -> bool:
        """Whether it says how values lie, so that an array's own shape says nothing."""
        return self.order is not None or self.lanes not in (None, 1) or self.first > 0 or self.count is not None

    def number(self, tensor: Tensor) -> Number:
        """Format of the values: the tap's own, where the map does not say another."""
        own = tensor.number
        if own.bipolar and self.width is None and self.signed is None:
            return own
        signed = own.signed if self.signed is None else self.signed
        return Number(self.width or own.bits, Sign.SIGNED if signed else Sign.UNSIGNED)


class TraceMap(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A map file. `clock` and `edge`: samples are what signals hold just before that edge of the clock.

    `reset`: a signal; while it is `active`, or not known yet, nothing is sampled.
    """

    clock: _Name | None = None
    edge: Literal["rising", "falling"] = "rising"
    reset: _Name | None = None
    active: Literal["high", "low"] = "high"
    tap: Annotated[tuple[TapMap, ...], Meta(min_length=1, max_length=10_000)]


def read_map(path: Path, model: Model) -> TraceMap:
    """The map in a TOML file. FileError where it is none, or names a tap, or an axis, that the model has not."""
    found = decode_toml(str(path), read_bounded(path, MAP_BYTES_MAX, _EXPECTED), TraceMap, _EXPECTED)
    seen: set[str] = set()
    for place, tap in enumerate(found.tap):
        where = f"{path}: tap[{place}] '{short(tap.name)}'"
        if tap.name not in model.graph.tensors:
            raise FileError(f"{where}: model '{model.name}' has no such tap; it has: {', '.join(model.graph.taps)}")
        if tap.name in seen:
            raise FileError(f"{where}: stands twice, expected once")
        seen.add(tap.name)
        axes = model.graph.tensors[tap.name].axes
        stated = tap.stated_axes
        if stated is not None and sorted({*stated, IMAGE}) != sorted((*axes, IMAGE)):
            raise FileError(f"{where}: order is {list(tap.order or ())}, expected the axes {list(axes)}, each once")
        if stated is not None and tap.order is not None and len(set(stated)) != len(stated):
            raise FileError(f"{where}: order is {list(tap.order)}, expected each axis once")
        if (tap.valid or tap.ready) and tap.ready and not tap.valid:
            raise FileError(f"{where}: has ready and no valid, expected both or valid alone")
    return found


def map_text(content: TraceMap, heading: str = "") -> str:
    """A map as TOML; `heading` has lines of comment that come first."""
    lines = [f"# {line}" for line in heading.splitlines()]
    fields = msgspec.to_builtins(content)
    lines += [f"{name} = {_toml(value)}" for name, value in fields.items() if name != "tap"]
    for tap in fields["tap"]:
        lines += ["", "[[tap]]", *(f"{name} = {_toml(value)}" for name, value in tap.items())]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    # Text, numbers, truth values and lists of text: the same in JSON, but for the letter that TOML wants escaped.
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
