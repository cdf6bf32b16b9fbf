"""Accumulator widths: the contract's defaults, and what given weights can reach."""

import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Int64
from fxsim.contract.number import INT8, Number

AFFINE_ACC_BITS = 16
ADD_ACC_BITS = 9

ACC_BITS_MAX = 62
"""Widest accumulator, in bits: what 64-bit integers round exactly."""


def linear_acc_bits(inputs: int, x: Number = INT8, weight: Number = INT8) -> int:
    """Accumulator width of a linear of K inputs, enough for any weights: 16 + ceil(log2 K) where both are int8."""
    return x.bits + weight.bits + (inputs - 1).bit_length()


def affine_acc_bits(x: Number = INT8, weight: Number = INT8) -> int:
    """Width of one product: 16 where both are int8."""
    return linear_acc_bits(1, x, weight)


def add_acc_bits(x: Number = INT8, r: Number = INT8) -> int:
    """Width of the sum of two values: 9 where both are int8."""
    return bits_needed(x.low + r.low, x.high + r.high)


def pool_acc_bits(tokens: int, x: Number = INT8) -> int:
    """Accumulator width of the average over T = 2^t tokens: 8 + t where they are int8."""
    return x.bits + (not x.signed) + (tokens - 1).bit_length()


def bits_needed(low: int, high: int) -> int:
    """Bits of the narrowest two's complement number that holds both `low` and `high`."""
    # A negative v and ~v = -v - 1 need the same bits.
    return max((v if v >= 0 else ~v).bit_length() for v in (int(low), int(high))) + 1


def worst_case_sums(weight: npt.NDArray[np.integer], x: Number = INT8) -> tuple[Int64, Int64]:
    """The least and greatest sum_k x[k] * weight[n, k] over all x of a format, int64 [N] each; `weight` [N, K].

    Each input takes whichever end of its range moves the sum furthest, so the bounds are reached. Partial sums, in any
    order of summation, stay within them too, if 0 is in the range: leaving terms out moves either bound towards zero.
    """
    # Summed by sign, in place of every product: the weights may fill most of the memory there is.
    positive = np.maximum(weight, 0).sum(axis=-1, dtype=np.int64)
    negative = np.minimum(weight, 0).sum(axis=-1, dtype=np.int64)
    return positive * x.low + negative * x.high, positive * x.high + negative * x.low
