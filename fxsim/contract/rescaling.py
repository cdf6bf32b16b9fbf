"""Products with a multiplier, shifted and rounded: how scales that are no power of two are brought to another."""

from enum import StrEnum

import numpy as np

from fxsim.contract.arithmetic import Int64, Integers, UInt8, round_shift, saturate
from fxsim.contract.number import INT8, Number

RESCALE_SHIFT_MAX = 62
"""Largest shift of a rescale: every product has at most 62 bits, so that nothing but 0 and -1 would be left of it."""

HIGH_MULTIPLY_BITS = 31
"""Bits that the first of gemmlowp's two roundings cuts off."""


class Rounding(StrEnum):
    """The rounding of a product that is shifted."""

    HALF_UP = "half_up"
    """To the nearest; ties towards plus infinity."""
    HALF_EVEN = "half_even"
    """To the nearest; ties to the even one."""
    HALF_AWAY = "half_away"
    """To the nearest; ties away from zero."""
    FLOOR = "floor"
    """Towards minus infinity."""
    DOUBLE = "double"
    """Twice, as gemmlowp does: of the first 31 places half up, of what is left of the shift half away from zero."""


def rounded(v: Integers, shift: Integers, rounding: Rounding) -> Int64:
    """`v` / 2^`shift`, rounded to a whole number, int64.

    `v`: integers of at most 62 bits; `shift`: 0 to 62, broadcast against `v`.
    """
    value, places = np.asarray(v, np.int64), np.asarray(shift, np.int64)
    if rounding is Rounding.HALF_UP:
        return round_shift(value, places)
    if rounding is Rounding.HALF_AWAY:
        away: Int64 = np.sign(value) * round_shift(np.abs(value), places)
        return away
    if rounding is Rounding.DOUBLE:
        first = np.minimum(places, HIGH_MULTIPLY_BITS)
        return rounded(round_shift(value, first), places - first, Rounding.HALF_AWAY)
    floor = value >> places
    if rounding is Rounding.FLOOR:
        return floor
    nearest = round_shift(value, places)
    # A tie was rounded up: where that is odd, the other one is even.
    tie = (places > 0) & ((value - (floor << places)) << 1 == np.int64(1) << places)
    return np.where(tie & (nearest & 1 == 1), floor, nearest)


def rescale(
    x: Integers,
    addend: Integers,
    multiplier: Integers,
    shift: UInt8,
    bias: Integers,
    rounding: Rounding,
    out: Number = INT8,
) -> Integers:
    """y[..., c] = saturate(round((x[..., c] + addend[c]) * multiplier[c] / 2^shift[c]) + bias[c]).

    `addend`, `multiplier`, `shift`, `bias` are [C].
    """
    product = (x.astype(np.int64) + addend) * multiplier.astype(np.int64)
    return saturate(rounded(product, shift, rounding) + bias, out)
