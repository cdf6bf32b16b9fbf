"""Number formats: how many bits a value has, and whether one of them is a sign."""

import re
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from fxsim.errors import ModelError

BITS_MAX = 32
"""Widest number format, in bits."""

_TEXT = re.compile(r"(u?)int([1-9][0-9]?)\Z")


class Sign(StrEnum):
    """The integers that the bits of a number stand for."""

    SIGNED = "signed"
    """Two's complement: -2^(bits - 1) to 2^(bits - 1) - 1."""
    UNSIGNED = "unsigned"
    """0 to 2^bits - 1."""


@dataclass(frozen=True)
class Number:
    """A format of whole numbers: `bits` 1 to 32, signed or unsigned; `int8`, `uint4` in text.

    ModelError where the width is none of these.
    """

    bits: int
    sign: Sign = Sign.SIGNED

    def __post_init__(self) -> None:
        if type(self.bits) is not int or not 1 <= self.bits <= BITS_MAX:
            raise ModelError(f"a number has {self.bits!r} bits, expected 1 to {BITS_MAX}")
        if self.sign not in tuple(Sign):
            raise ModelError(f"a number is {self.sign!r}, expected {' or '.join(Sign)}")
        object.__setattr__(self, "sign", Sign(self.sign))

    @classmethod
    def parse(cls, text: str) -> "Number":
        """The format that `int8`, `uint4` and the like name; ModelError where there is none of that name."""
        match = _TEXT.match(text) if isinstance(text, str) else None
        if match is None or int(match[2]) > BITS_MAX:
            raise ModelError(f"number format is {text!r}, expected int1 to int{BITS_MAX} or uint1 to uint{BITS_MAX}")
        return cls(int(match[2]), Sign.UNSIGNED if match[1] else Sign.SIGNED)

    def __str__(self) -> str:
        return f"{'int' if self.signed else 'uint'}{self.bits}"

    @property
    def signed(self) -> bool:
        """Whether values may be negative."""
        return self.sign is Sign.SIGNED

    @property
    def low(self) -> int:
        """The least value."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """The greatest value."""
        return (1 << (self.bits - self.signed)) - 1

    @property
    def codes(self) -> int:
        """Number of values, 2^bits; the code of a value is its distance from the least."""
        return 1 << self.bits

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """The narrowest numpy type that holds every value: one of (u)int8, 16, 32."""
        width = 8 if self.bits <= 8 else 16 if self.bits <= 16 else 32
        return np.dtype(f"{'i' if self.signed else 'u'}{width // 8}")

    def holds(self, values: npt.NDArray[np.integer]) -> bool:
        """Whether every one of some integers has this format."""
        return values.size == 0 or (int(values.min()) >= self.low and int(values.max()) <= self.high)


INT8 = Number(8)
INT16 = Number(16)
INT32 = Number(32)
UINT8 = Number(8, Sign.UNSIGNED)


def bias_number(result: Number) -> Number:
    """The signed format of a bias: wide enough to move any value of `result` to any other, at least 8 bits."""
    return Number(min(BITS_MAX, max(8, result.bits + (not result.signed))))
