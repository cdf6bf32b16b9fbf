"""Activation tables: one 1-D function a channel, stored whole or at P points with linear interpolation between them."""

from enum import StrEnum

import numpy as np

from fxsim.contract.arithmetic import INT8_MIN, Int8, round_shift

TABLE_POINTS = (4, 8, 16, 32, 64, 128, 256)


class TableRule(StrEnum):
    """How a table is read; for an interpolated one, what happens in its last segment, m = P - 1 (the edge rule)."""

    FULL = "full"
    """256 entries, read directly."""
    CLAMP = "clamp"
    """m = min(m, P - 2), the fraction unchanged: the published models' rule."""
    HOLD = "hold"
    """t[P] reads as t[P - 1]."""
    ENDPOINT = "endpoint"
    """P + 1 points are stored; the last is the function's value at input code 255."""


def stored_points(points: int, rule: TableRule) -> int:
    """Entries stored a channel: P, or P + 1 under `endpoint`."""
    return points + 1 if rule is TableRule.ENDPOINT else points


def lookup(x: Int8, table: Int8, rule: TableRule) -> Int8:
    """Apply each channel's function: `x` int8 [..., C], `table` int8 [C, stored points]; result int8 [..., C].

    With i = x + 128, l = 8 - log2 P, m = i >> l, f = i mod 2^l:
    y = t[m] + round_shift((t[m + 1] - t[m]) * f, l). y lies between t[m] and t[m + 1], so that it needs no saturation.
    """
    code = x.astype(np.int64) - INT8_MIN
    channel = np.arange(table.shape[0])
    if rule is TableRule.FULL:
        full: Int8 = table[channel, code]
        return full
    points = table.shape[1] - (rule is TableRule.ENDPOINT)
    fraction_bits = 8 - (points.bit_length() - 1)
    segment = code >> fraction_bits
    fraction = code & ((1 << fraction_bits) - 1)
    if rule is TableRule.CLAMP:
        segment = np.minimum(segment, points - 2)
    upper = segment + 1
    if rule is TableRule.HOLD:
        upper = np.minimum(upper, points - 1)
    t0 = table[channel, segment].astype(np.int64)
    t1 = table[channel, upper].astype(np.int64)
    y: Int8 = (t0 + round_shift((t1 - t0) * fraction, fraction_bits)).astype(np.int8)
    return y


def expand_table(table: Int8, rule: TableRule) -> Int8:
    """The full table, int8 [C, 256], of a table [C, stored points]: entry [c, x + 128] is channel c's value at x."""
    every_input = np.arange(256, dtype=np.int64)[:, None] + INT8_MIN
    codes = np.broadcast_to(every_input, (256, table.shape[0])).astype(np.int8)
    return np.ascontiguousarray(lookup(codes, table, rule).T)
