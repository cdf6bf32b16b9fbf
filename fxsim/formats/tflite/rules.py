"""The rules by which TensorFlow Lite's kernels bring sums to 8 bits, as LiteRT 2.3 computes them.

The reference kernels round twice in a convolution, as gemmlowp does (`SaturatingRoundingDoublingHighMul`, then
`RoundingDivideByPOT`), and once, in float64, in a fully connected. The optimised kernels round twice, half up both
times, in vectors (on x86-64), and as the reference where a vector is not filled. XNNPACK multiplies in float32 and
rounds once, ties to the even one.
"""

import math
from collections.abc import Callable
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fxsim.contract import Number
from fxsim.contract.arithmetic import round_shift
from fxsim.contract.number import INT8
from fxsim.contract.rescaling import HIGH_MULTIPLY_BITS, Rounding, rounded

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


VECTOR = 8
"""Channels that the optimised depthwise convolution computes together: what is left over is as the reference."""


class Kernels(StrEnum):
    """The kernels whose values a model gives."""

    REFERENCE = "reference"
    OPTIMISED = "optimised"
    XNNPACK = "xnnpack"


def multiplier_of(real: float) -> tuple[int, int]:
    """Whole number of 31 bits and shift of a factor above 0, as `QuantizeMultiplier`: factor = M / 2^shift.

    M is 0 where the factor is below 2^-32.
    """
    mantissa, exponent = math.frexp(real)
    m = math.floor(Fraction(mantissa) * (1 << HIGH_MULTIPLY_BITS) + Fraction(1, 2))
    if m == 1 << HIGH_MULTIPLY_BITS:
        m, exponent = m // 2, exponent + 1
    if exponent < -HIGH_MULTIPLY_BITS:
        return 0, HIGH_MULTIPLY_BITS
    return m, HIGH_MULTIPLY_BITS - exponent


def twice_half_up(acc: Int64, multipliers: Int64, shifts: Int64) -> Int64:
    """The optimised kernels' rule: the first 31 places are rounded half up, and what is left of the shift once more."""
    first = np.minimum(shifts, HIGH_MULTIPLY_BITS)
    return round_shift(round_shift(acc * multipliers, first), shifts - first)


def once_in_float64(acc: Int64, factors: Float64) -> Int64:
    """The reference rule of a fully connected: the product in float64, to the nearest, ties away from zero."""
    product = acc.astype(np.float64) * factors
    found: Int64 = np.trunc(product).astype(np.int64)
    # What is left of a product is exact, where a half that is added would not be.
    return found + (np.abs(product - found) >= 0.5) * np.sign(product).astype(np.int64)


def once_in_float32(acc: Int64, factors: Float32) -> Int64:
    """XNNPACK's rule: the product in float32, to the nearest, ties to the even one."""
    product: Int64 = np.rint(acc.astype(np.float32) * factors).astype(np.int64)
    return product


def codes_of(values: Int64, zero: int, number: Number = INT8) -> Int64:
    """Whole numbers plus a zero point, within a format."""
    found: Int64 = np.clip(values + zero, number.low, number.high)
    return found


def averages(totals: Int64, count: int) -> Int64:
    """Sums of codes divided by their number, to the nearest, ties away from zero: of every kind of kernels."""
    found: Int64 = np.sign(totals) * ((np.abs(totals) + count // 2) // count)
    return found


def mean_multiplier(real: float, count: int) -> tuple[int, int]:
    """Multiplier and shift of the mean of so many values, of a factor between its scales."""
    m, shift = multiplier_of(real)
    more = min(count.bit_length() - 1, 32, 2 * HIGH_MULTIPLY_BITS - shift)
    return (m << more) // count, shift + more


_ADD_SHIFT = 20
"""Places that are put behind the codes of a sum."""


class Sum(NamedTuple):
    """The sum of two codes less their zero points: what each adds, by its 256 codes, and how that becomes a result.

    `apply`: the result less its zero point of whatever is added up; it never falls. Sums have less than 32 bits.
    """

    first: Int64
    second: Int64
    apply: Callable[[Int64], Int64]


def sum_of(
    scales: tuple[np.float32, np.float32, np.float32], zeros: tuple[int, int], kernels: Kernels, vectors: bool = False
) -> Sum:
    """The rule of a sum of codes of two scales in a third one; `zeros`: zero points of the two.

    `vectors`: as the optimised kernels compute what fills their vectors, while the rest is as the reference.
    """
    a, b = (np.arange(INT8.low, INT8.high + 1) - zero for zero in zeros)
    if kernels is Kernels.XNNPACK:
        ratios = [np.float32(scale) / scales[2] for scale in scales[:2]]
        places = np.array(_ADD_SHIFT - (math.frexp(float(max(ratios)))[1] - 1))
        weights = [round(float(ratio) * 2.0 ** int(places)) for ratio in ratios]
        return Sum(a * weights[0], b * weights[1], lambda total: round_shift(total, places))
    first, second, result = (float(scale) for scale in scales)
    twice = 2 * max(first, second)

    def scaled(value: Int64, real: float) -> Int64:
        m, shift = multiplier_of(real)
        if vectors:
            return twice_half_up(value, np.array(m), np.array(shift))
        return rounded(value * m, np.array(shift), Rounding.DOUBLE)

    last = twice / ((1 << _ADD_SHIFT) * result)
    one, other = scaled(a << _ADD_SHIFT, first / twice), scaled(b << _ADD_SHIFT, second / twice)
    return Sum(one, other, lambda total: scaled(total, last))


def clamped_range(activation: str, scale: np.float32, zero: int) -> tuple[int, int]:
    """The codes to which an activation limits a result: `NONE`, `RELU`, `RELU6`, `RELU_N1_TO_1`."""
    ends = {"NONE": (None, None), "RELU": (0, None), "RELU6": (0, 6), "RELU_N1_TO_1": (-1, 1)}[activation]
    low, high = (None if end is None else zero + _away(float(np.float32(end) / scale)) for end in ends)
    return max(INT8.low, INT8.low if low is None else low), min(INT8.high, INT8.high if high is None else high)


def _away(value: float) -> int:
    return math.floor(abs(value) + 0.5) * (1 if value >= 0 else -1)
