"""Accumulator widths: the contract's defaults, and what given weights can reach."""

import numpy as np

from fxsim.contract.arithmetic import INT8_MAX, INT8_MIN, Int8, Int64

AFFINE_ACC_BITS = 16
ADD_ACC_BITS = 9


def linear_acc_bits(inputs: int) -> int:
    """Accumulator width of a linear of K inputs: 16 + ceil(log2 K), enough for any int8 weights."""
    return 16 + (inputs - 1).bit_length()


def pool_acc_bits(tokens: int) -> int:
    """Accumulator width of the average over T = 2^t tokens: 8 + t."""
    return 8 + (tokens - 1).bit_length()


def bits_needed(low: int, high: int) -> int:
    """Bits of the narrowest two's complement number that holds both `low` and `high`."""
    # A negative v and ~v = -v - 1 need the same bits.
    return max((v if v >= 0 else ~v).bit_length() for v in (int(low), int(high))) + 1


def worst_case_sums(weight: Int8) -> tuple[Int64, Int64]:
    """The least and greatest sum_k x[k] * weight[n, k] over all int8 x, int64 [N] each; `weight` [N, K].

    Each input takes whichever end of int8 moves the sum furthest, so the bounds are reached. Partial sums, in any order
    of summation, stay within them too: leaving terms out moves either bound towards zero.
    """
    # Summed by sign, in place of every product: the weights may fill most of the memory there is.
    positive = np.maximum(weight, 0).sum(axis=-1, dtype=np.int64)
    negative = np.minimum(weight, 0).sum(axis=-1, dtype=np.int64)
    return positive * INT8_MIN + negative * INT8_MAX, positive * INT8_MAX + negative * INT8_MIN
