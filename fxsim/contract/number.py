"""Number formats: how many bits a value has, and which integers they stand for."""

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
    BIPOLAR = "bipolar"
    """-1 and 1, and nothing between: the one bit 0 and the one bit 1."""


RANGED = (Sign.SIGNED, Sign.UNSIGNED)
"""Signs whose formats have 1 to 32 bits and hold every number between their ends."""


@dataclass(frozen=True)
class Number:
    """A format of whole numbers: `bits` 1 to 32, signed or unsigned, or 1, bipolar; `int8`, `uint4`, `bipolar` in text.

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
        if self.bipolar and self.bits != 1:
            raise ModelError(f"a bipolar number has {self.bits} bits, expected 1")

    @classmethod
    def parse(cls, text: str) -> "Number":
        """The format that `int8`, `uint4`, `bipolar` name; ModelError where there is none of that name."""
        if text == Sign.BIPOLAR:
            return cls(1, Sign.BIPOLAR)
        match = _TEXT.match(text) if isinstance(text, str) else None
        if match is None or int(match[2]) > BITS_MAX:
            raise ModelError(
                f"number format is {text!r}, expected int1 to int{BITS_MAX}, uint1 to uint{BITS_MAX} or {Sign.BIPOLAR}"
            )
        return cls(int(match[2]), Sign.UNSIGNED if match[1] else Sign.SIGNED)

    def __str__(self) -> str:
        return str(self.sign) if self.bipolar else f"{'int' if self.signed else 'uint'}{self.bits}"

    @property
    def signed(self) -> bool:
        """Whether values may be negative."""
        return self.sign is not Sign.UNSIGNED

    @property
    def bipolar(self) -> bool:
        """Whether the values are -1 and 1 alone."""
        return self.sign is Sign.BIPOLAR

    @property
    def low(self) -> int:
        """The least value."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """The greatest value."""
        return 1 if self.bipolar else (1 << (self.bits - self.signed)) - 1

    @property
    def codes(self) -> int:
        """Number of values, 2^bits; the code of a value is its distance from the least, half of that in bipolar."""
        return 1 << self.bits

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """The narrowest numpy type that holds every value: one of (u)int8, 16, 32."""
        width = 8 if self.bits <= 8 else 16 if self.bits <= 16 else 32
        return np.dtype(f"{'i' if self.signed else 'u'}{width // 8}")

    def holds(self, values: npt.NDArray[np.integer]) -> bool:
        """Whether every one of some integers has this format."""
        if values.size == 0:
            return True
        return int(values.min()) >= self.low and int(values.max()) <= self.high and not (self.bipolar and 0 in values)

    def held(self, values: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
        """The integers that have this format, each True or False."""
        within: npt.NDArray[np.bool_] = (values >= self.low) & (values <= self.high)
        return within & (values != 0) if self.bipolar else within


INT8 = Number(8)
INT16 = Number(16)
INT32 = Number(32)
UINT8 = Number(8, Sign.UNSIGNED)
BIPOLAR = Number(1, Sign.BIPOLAR)


def bias_number(result: Number) -> Number:
    """The signed format of a bias: wide enough to move any value of `result` to any other, at least 8 bits."""
    return Number(min(BITS_MAX, max(8, result.bits + (not result.signed))))
