"""Signals of a bus: data, valid, ready, last, keep, given one by one or found by a prefix."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cocotb.handle import LogicArrayObject, LogicObject, PackedObject
from cocotb.types import Logic

from fxsim.errors import ComparisonError

_STYLES = ("_t{}", "_T{}", "_{}")
"""Ways in which a prefix and a signal's name are joined: AXI4-Stream, the same in capitals, and plain names."""

_SIGNALS = (LogicObject, LogicArrayObject, PackedObject)

_HANDSHAKE = ("valid", "ready", "last", "keep")


class UnknownError(Exception):
    """A signal of a handshake is neither 0 nor 1."""


@dataclass(frozen=True, eq=False)
class Bus:
    """The signals over which a tensor passes, as handles of the design under test.

    `data`: one signal with all lanes, or a sequence of signals, a lane each, the first lane first. `valid`: a signal,
    or a function that says, once all signals of a cycle have settled, whether a value passes. `ready`: without it, a
    value passes in every cycle in which it is valid. `last`, `keep`: as in AXI4-Stream. `name` is used in messages.

    ComparisonError names a signal that is no vector or scalar of bits.
    """

    data: Any
    valid: Any
    ready: Any = None
    last: Any = None
    keep: Any = None
    name: str = ""

    def __post_init__(self) -> None:
        """Refuse signals whose bits cannot be read."""
        if self.valid is None:
            raise ComparisonError("a bus has no valid, expected a signal, or a function that says when a value passes")
        handles = {f"data[{i}]" if self.by_lane else "data": handle for i, handle in enumerate(self.parts)}
        handles |= {role: handle for role in _HANDSHAKE if (handle := getattr(self, role)) is not None}
        for role, handle in handles.items():
            if role != "valid" or not self.has_function:
                check_signal(handle, f"{role} of a bus", 1 if role in ("valid", "ready", "last") else None)
        if not self.parts or len({width_of(handle) for handle in self.parts}) != 1:
            raise ComparisonError("data of a bus is a sequence of signals, expected at least one, all of one width")
        if not self.name:
            object.__setattr__(self, "name", self.parts[0]._name)

    @classmethod
    def at(cls, dut: Any, prefix: str) -> "Bus":
        """The bus whose signals are called `{prefix}_tdata`, `{prefix}_tvalid` and so on, or `{prefix}_data`, ...

        Of ready, last and keep those that are there. ComparisonError where data or valid is not.
        """
        for style in _STYLES:
            joined = {role: prefix + style.format(_cased(style, role)) for role in ("data", *_HANDSHAKE)}
            found = {role: getattr(dut, name) for role, name in joined.items() if hasattr(dut, name)}
            if "data" in found and "valid" in found:
                return cls(**found, name=prefix)
        looked = ", ".join(
            " and ".join(prefix + style.format(_cased(style, role)) for role in ("data", "valid")) for style in _STYLES
        )
        raise ComparisonError(f"{dut._name} has no bus '{prefix}', expected one of the pairs {looked}")

    @property
    def has_function(self) -> bool:
        """Whether valid is a function."""
        return callable(self.valid) and not isinstance(self.valid, _SIGNALS)

    @property
    def by_lane(self) -> bool:
        """Whether each lane is a signal of its own."""
        return isinstance(self.data, Sequence)

    @property
    def parts(self) -> tuple[Any, ...]:
        """The signals of data, the least significant first."""
        return tuple(self.data) if self.by_lane else (self.data,)

    @property
    def width(self) -> int:
        """Bits of all data together."""
        return sum(map(width_of, self.parts))

    def word(self) -> str:
        """The bits of data as they are now, most significant first."""
        return "".join(bits_of(handle) for handle in reversed(self.parts))

    def set_word(self, word: int) -> None:
        """Drive data."""
        for handle in self.parts:
            width = width_of(handle)
            handle.value = word & ((1 << width) - 1)
            word >>= width

    def is_valid(self) -> bool:
        """Whether data is valid now; `UnknownError` where that cannot be told."""
        if not self.has_function:
            return self._known("valid")
        said = self.valid()
        if isinstance(said, Logic):
            said = {"0": False, "1": True}.get(str(said), said)
        if not isinstance(said, bool) and said not in (0, 1):
            raise UnknownError(f"valid of {self.name} is {said!r}, expected True or False of its function")
        return bool(said)

    def is_ready(self) -> bool:
        """Whether a value that is valid passes now; `UnknownError` where that cannot be told."""
        return self.ready is None or self._known("ready")

    def _known(self, role: str) -> bool:
        bits = bits_of(getattr(self, role))
        if bits not in ("0", "1"):
            raise UnknownError(f"{role} of {self.name} is {bits.lower()}, expected 0 or 1")
        return bits == "1"


def check_signal(handle: Any, what: str, width: int | None = None) -> None:
    """ComparisonError unless a handle is a signal of bits, of so many where that is given."""
    if not isinstance(handle, _SIGNALS):
        raise ComparisonError(f"{what} is {handle!r}, expected a signal of bits")
    if width is not None and width_of(handle) != width:
        raise ComparisonError(f"{what}, {handle._name}, has {width_of(handle)} bits, expected {width}")


def bits_of(handle: Any) -> str:
    """The bits of a signal as they are now, most significant first, whatever a testbench has unknown ones read as."""
    return str(handle.value)


def width_of(handle: Any) -> int:
    """Bits of a signal."""
    return 1 if isinstance(handle, LogicObject) else len(handle)


def _cased(style: str, role: str) -> str:
    return role.upper() if "T" in style else role
