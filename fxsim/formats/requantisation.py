"""Rules that bring sums to 8 bits, as boundaries: a multiplier and a shift, or weights of two, that have the same.

Other programs compute such rules in floats or by several roundings. Where a rule never falls as the sum grows it is 255
boundaries at most, which are found by bisection; what has the same boundaries is equal for every sum that can be.
"""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from fxsim.contract import Number, Rounding, Sign
from fxsim.contract.number import INT32
from fxsim.operators import Rescale, Threshold

Int64 = npt.NDArray[np.int64]

_MULTIPLIER_BITS = 29
"""Bits of a multiplier: with a sum of 32 bits and a bias the product has at most 62."""
_SHIFT_MAX = 62

_WEIGHT_MAX = (1 << 15) - 1
_TRIED = 64
"""Most pairs of whole weights that are tried for two scales."""


def boundaries(low: Int64, high: Int64, rule: Callable[[Int64], Int64], number: Number) -> Int64:
    """The least sum that a rule brings to each level but the first, [channel, level]; `high` + 1 where none does.

    `low`, `high` [channel]: the sums that can be; `rule`: the levels of sums [channel, any], those of each channel,
    of the format `number`. By bisection: the rule may never fall as the sum grows.
    """
    levels = np.arange(number.low + 1, number.high + 1)
    count = len(levels)
    below = np.repeat(low[:, None] - 1, count, axis=1)  # every sum up to here stays below the level
    reached = np.repeat(high[:, None] + 1, count, axis=1)  # from here on it is reached
    while (reached - below > 1).any():
        middle = below + (reached - below) // 2
        # The ends are no sums: a middle is one of those between, or nothing is left to be found.
        found = rule(middle) >= levels
        open_ = reached - below > 1
        reached = np.where(open_ & found, middle, reached)
        below = np.where(open_ & ~found, middle, below)
    return reached


def multiplier_for(low: int, high: int, reached: list[int], zero: int, number: Number) -> tuple[int, int] | None:
    """Whole number of at most 29 bits and shift of 0 to 62 that have these boundaries; None where none is found.

    `reached`: for each level but the first the least sum, from `low` to `high` + 1, that reaches it. Such a sum times
    the quotient must reach level - 1/2, and the sum before it must not: each is a bound of the quotient.
    """
    least, most = Fraction(0), Fraction(1 << 31)
    for level, first in zip(range(number.low + 1 - zero, number.high + 1 - zero), reached, strict=True):
        edge = Fraction(2 * level - 1, 2)
        for acc, inside in ((first, True), (first - 1, False)):
            if not low <= acc <= high:
                continue
            if acc == 0:
                if (edge <= 0) != inside:
                    return None
            elif (acc > 0) == inside:
                least = max(least, edge / acc)
            else:
                most = min(most, edge / acc)
    if least > most:
        return None
    middle = (least + most) / 2
    shift = min(
        _SHIFT_MAX, _MULTIPLIER_BITS - 1 - (math.floor(middle).bit_length() - 1 if middle >= 1 else -_zeros(middle))
    )
    if shift < 0:
        return None
    factor = round(middle * (1 << shift)), shift
    if not 0 < factor[0] < 1 << _MULTIPLIER_BITS:
        return None
    return factor if rational_boundaries(low, high, factor, zero, number) == reached else None


def _zeros(value: Fraction) -> int:
    """Zeros behind the point before the first one of a number below 1, and that one: 1 for a half."""
    return (value.denominator // value.numerator).bit_length() if value else _SHIFT_MAX


def rational_boundaries(low: int, high: int, factor: tuple[int, int], zero: int, number: Number) -> list[int]:
    """The same of acc * M / 2^s to the nearest, ties to the even one, in whole numbers."""
    m, shift = factor
    found = []
    for level in range(number.low + 1 - zero, number.high + 1 - zero):
        # 2 acc M reaches (2 level - 1) 2^s, and is beyond it where the tie goes to the lower one, which is even.
        edge, step = (2 * level - 1) << shift, 2 * m
        least = edge // step + 1 if level % 2 else -(-edge // step)
        found.append(min(max(least, low), high + 1))
    return found


def finisher(
    ends: tuple[Int64, Int64], addends: Int64, reached: Int64, zero: int, number: Number, moved: int = 0
) -> Rescale | Threshold:  # fmt: skip
    """The operator that brings sums to codes at these boundaries: multipliers and shifts, or thresholds.

    `ends`: least and greatest of the sums with their `addends`, each channel's; `reached` [channel, level]: see
    `boundaries`. Codes are of the format `number`, less `moved`: 0, or the least code, so that they have no sign.
    """
    pairs = [
        multiplier_for(int(low), int(high), row.tolist(), zero, number)
        for low, high, row in zip(*ends, reached, strict=True)
    ]
    out = Number(number.bits, Sign.UNSIGNED) if moved else number
    channels = len(addends)
    if all(pairs):
        ms = np.array([pair[0] for pair in pairs if pair], np.int32)
        shifts = np.array([pair[1] for pair in pairs if pair], np.uint8)
        bias = np.full(channels, zero - moved, np.int16 if not out.signed else np.int8)
        return Rescale(addends.astype(np.int32), ms, shifts, bias, Rounding.HALF_EVEN, out=out)
    levels = np.arange(number.low, number.high + 1) - moved
    # Above every sum where no sum reaches the level.
    thresholds = np.clip(reached - addends[:, None], INT32.low + 1, INT32.high)
    return Threshold(thresholds.astype(np.int32), np.ones(channels, np.uint8), levels.astype(out.dtype), out)


def weights_near(ratio: Fraction) -> Iterator[tuple[int, int]]:
    """Whole weights of at most 15 bits whose quotient is near a ratio, the nearest first, then multiples of others."""
    largest = _WEIGHT_MAX if ratio <= 1 else max(1, int(_WEIGHT_MAX / ratio))
    seen = set()
    for step in range(_TRIED):
        near = ratio.limit_denominator(max(1, largest - step * max(1, largest // _TRIED)))
        if near and near not in seen and max(near.numerator, near.denominator) <= _WEIGHT_MAX:
            seen.add(near)
            yield near.numerator, near.denominator


def parted(totals: Int64, levels: Int64, number: Number) -> list[int] | None:
    """The least sum of each level but the first; None where a sum has two levels, or a greater sum a lower one."""
    order = np.argsort(totals, axis=None, kind="stable")
    sums, made = totals.ravel()[order], levels.ravel()[order]
    if (np.diff(made) < 0).any() or ((np.diff(sums) == 0) & (np.diff(made) != 0)).any():
        return None
    at = np.searchsorted(made, np.arange(number.low + 1, number.high + 1))
    return [int(sums[i]) if i < len(sums) else int(sums[-1]) + 1 for i in at]
