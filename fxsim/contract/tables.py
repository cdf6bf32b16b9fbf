"""Activation tables: one 1-D function a channel, stored whole or at P points with linear interpolation between them."""

from enum import StrEnum

import numpy as np

from fxsim.contract.arithmetic import Integers, round_shift
from fxsim.contract.number import INT8, Number

TABLE_POINTS = (4, 8, 16, 32, 64, 128, 256)
"""Numbers of points that a table over 8-bit inputs may have."""


class TableRule(StrEnum):
    """The way a table is read; for an interpolated one, the rule of its last segment, m = P - 1 (the edge rule)."""

    FULL = "full"
    """An entry for each input code (256 for 8 bits), read directly."""
    CLAMP = "clamp"
    """m = min(m, P - 2), the fraction unchanged: the published models' rule."""
    HOLD = "hold"
    """t[P] reads as t[P - 1]."""
    ENDPOINT = "endpoint"
    """P + 1 points are stored; the last is the function's value at the greatest input code."""


def legal_points(rule: TableRule, x: Number = INT8) -> tuple[int, ...]:
    """Numbers of points P that a table over inputs of a format may have: powers of two from 4 to 2^bits."""
    return (x.codes,) if rule is TableRule.FULL else tuple(1 << p for p in range(2, x.bits + 1))


def stored_points(points: int, rule: TableRule) -> int:
    """Entries stored a channel: P, or P + 1 under `endpoint`."""
    return points + 1 if rule is TableRule.ENDPOINT else points


def lookup(x: Integers, table: Integers, rule: TableRule, number: Number = INT8) -> Integers:
    """Apply each channel's function: `x` [..., C] of the format `number`, `table` [C, stored points].

    The result is [..., C] of the table's type. With i = x - least value (x + 128 for int8), l = bits - log2 P,
    m = i >> l, f = i mod 2^l: y = t[m] + round_shift((t[m + 1] - t[m]) * f, l). y lies between t[m] and t[m + 1], so
    that it needs no saturation.
    """
    code = x.astype(np.int64) - number.low
    channel = np.arange(table.shape[0])
    if rule is TableRule.FULL:
        full: Integers = table[channel, code]
        return full
    points = table.shape[1] - (rule is TableRule.ENDPOINT)
    fraction_bits = number.bits - (points.bit_length() - 1)
    segment = code >> fraction_bits
    fraction = code & ((1 << fraction_bits) - 1)
    if rule is TableRule.CLAMP:
        segment = np.minimum(segment, points - 2)
    upper = segment + 1
    if rule is TableRule.HOLD:
        upper = np.minimum(upper, points - 1)
    t0 = table[channel, segment].astype(np.int64)
    t1 = table[channel, upper].astype(np.int64)
    y: Integers = (t0 + round_shift((t1 - t0) * fraction, fraction_bits)).astype(table.dtype)
    return y


def expand_table(table: Integers, rule: TableRule, number: Number = INT8) -> Integers:
    """The full table [C, 2^bits] of a table [C, stored points]: entry [c, x - least value] is c's value at x."""
    every_input = np.arange(number.codes, dtype=np.int64)[:, None] + number.low
    codes = np.broadcast_to(every_input, (number.codes, table.shape[0]))
    return np.ascontiguousarray(lookup(codes, table, rule, number).T)
