"""The arithmetic of a contract: accumulators to results, averages and sums of two, on int64 and exact.

A requantisation multiplies by multiplier / 2^30 / 2^shift; the multiplier is `ONE` where scales are powers of two.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

from fxsim.contract import Number
from fxsim.contract.arithmetic import Int64
from fxsim.errors import ModelError
from fxsim.explain.rules import Rounding, cut, wrapped

ONE = 1 << 30
"""The multiplier of a factor that is a power of two."""
FLOAT32_BITS = 24
"""Significant bits of a float32."""
_HIGH_MUL_BITS = 31
_PRODUCT_BITS = 32
"""Signed width of what a multiplier is multiplied with, so that products have at most 62 bits and a sign."""


class Overflow(StrEnum):
    """The ways to treat a result that its format does not hold."""

    SATURATE = "saturate"
    SYMMETRIC = "symmetric"
    """Clamped to +-high, so that the least value of a signed format never comes."""
    ZERO = "zero"
    WRAP = "wrap"


@dataclass(frozen=True)
class Contract:
    """A named arithmetic: how sums become results.

    `rounding`: of the division. `high_mul`: first a doubling high multiplication (the upper half of twice the 64-bit
    product, half up), then the shift that is left, rounded on its own. `float32`: sum, factor and their product are
    rounded to 24 bits, half to even. `bias`: added `before` the division, in units of the accumulator, or `after` it.
    `mean`: rounding of averages. `sum_bits`: signed width that a sum with its bias must fit; `shift_max`: largest
    shift; `multiplies`: factors need not be powers of two. `source`: where it is stated; `held`: what it was compared
    with, empty where nothing that runs here has it.
    """

    name: str
    rounding: Rounding
    source: str
    held: str
    high_mul: bool = False
    float32: bool = False
    bias: Literal["before", "after"] = "before"
    overflow: Overflow = Overflow.SATURATE
    mean: Rounding = Rounding.HALF_UP
    sum_bits: int = 32
    shift_max: int = 31
    multiplies: bool = True

    @property
    def arithmetic(self) -> tuple[object, ...]:
        """All that decides values: contracts with the same give the same, everywhere where both take the operator."""
        return (*self.formula, self.mean, self.sum_bits, self.shift_max)

    @property
    def formula(self) -> tuple[object, ...]:
        """All that decides results of sums that both take."""
        return (self.rounding, self.high_mul, self.float32, self.bias, self.overflow)

    @property
    def averaging(self) -> "Contract":
        """The contract of averages of a power of two of values: sums, shifted. They cannot leave their format."""
        return replace(
            self,
            rounding=self.mean,
            high_mul=False,
            float32=False,
            overflow=Overflow.SATURATE,
            sum_bits=60,
            shift_max=40,
        )

    @property
    def adding(self) -> "Contract":
        """The contract of sums of two, which are not divided."""
        return replace(self, rounding=Rounding.FLOOR, high_mul=False, float32=False, sum_bits=60)

    def check(self, low: int, high: int, shift: int, bias: int, multiplier: int = ONE) -> None:
        """ModelError where it cannot take accumulators of `low` to `high` with this shift, bias and multiplier."""
        if not ONE <= multiplier < 2 * ONE:
            raise ModelError(f"multiplier is {multiplier}, expected 2^30 to 2^31 - 1, the factor times 2^(30 + shift)")
        if multiplier != ONE and not self.multiplies:
            raise ModelError(f"{self.name} has factors that are powers of two, not multiplier {multiplier}")
        most = self.shift_max if multiplier == ONE else min(self.shift_max, _PRODUCT_BITS - 1)
        if not 0 <= shift <= most:
            raise ModelError(f"{self.name} takes shifts of 0 to {most}, not {shift}")
        added = (bias << shift if multiplier == ONE else bias) if self.bias == "before" else 0
        # The high multiplication takes a factor below one: without a shift the sum is doubled first.
        bits = self.sum_bits if multiplier == ONE else min(self.sum_bits, _PRODUCT_BITS)
        bits -= self.high_mul and shift == 0
        for total in (low + added, high + added):
            if not -(1 << bits - 1) <= total < 1 << bits - 1:
                raise ModelError(f"{self.name} takes sums, their bias included, of {bits} bits, not {total}")

    def unlimited(self, acc: Int64, shift: npt.ArrayLike, bias: npt.ArrayLike, multiplier: int = ONE) -> Int64:
        """The result before its format limits it, of what `check` lets pass; broadcast.

        It never falls where `acc` rises: each step, a sum, a product with a positive number, a rounding, keeps order.
        """
        shift, bias = np.asarray(shift, np.int64), np.asarray(bias, np.int64)
        if self.bias == "after":
            after: Int64 = self._divided(acc, shift, multiplier) + bias
            return after
        return self._divided(acc + (bias << shift if multiplier == ONE else bias), shift, multiplier)

    def _divided(self, total: Int64, shift: Int64, multiplier: int) -> Int64:
        if self.high_mul:
            doubled = total << (shift == 0)
            return cut(
                cut(doubled * multiplier, _HIGH_MUL_BITS, Rounding.HALF_UP), np.maximum(shift - 1, 0), self.rounding
            )
        if self.float32:
            extra = 31 - FLOAT32_BITS
            factor = int(to_float32(np.array([multiplier]))[0]) >> extra
            product = to_float32(to_float32(total) * factor)
            return cut(product, 30 - extra + shift, self.rounding)
        return (
            cut(total, shift, self.rounding)
            if multiplier == ONE
            else cut(total * multiplier, 30 + shift, self.rounding)
        )

    def limited(self, values: Int64, out: Number) -> Int64:
        """Values as the format `out` holds them."""
        match self.overflow:
            case Overflow.WRAP:
                return wrapped(values, out)
            case Overflow.ZERO:
                inside: Int64 = np.where((values < out.low) | (values > out.high), 0, values)
                return inside
            case Overflow.SYMMETRIC:
                low = -out.high if out.signed else out.low
            case Overflow.SATURATE:
                low = out.low
        clamped: Int64 = np.clip(values, low, out.high)
        return clamped

    def requantise(
        self, acc: Int64, shift: npt.ArrayLike, bias: npt.ArrayLike, out: Number, multiplier: int = ONE
    ) -> Int64:
        """Results of the format `out`, of what `check` lets pass; broadcast."""
        return self.limited(self.unlimited(acc, shift, bias, multiplier), out)


def to_float32(values: Int64) -> Int64:
    """Integers, below 2^62 in magnitude, rounded to what float32 holds: 24 bits, half to even."""
    left, bits = np.abs(values), np.zeros(values.shape, np.int64)
    for step in (32, 16, 8, 4, 2, 1):
        more = left >> step > 0
        bits += np.where(more, step, 0)
        left = np.where(more, left >> step, left)
    spare = np.maximum(bits + 1 - FLOAT32_BITS, 0)
    rounded: Int64 = cut(values, spare, Rounding.HALF_EVEN) << spare
    return rounded
