"""Interpolated tables from full ones: which P points to store, given a function's value at all 256 codes.

Two of the methods are optimal: no int8 points whatever give a smaller error under the contract's own integer
interpolation, its rounding and the edge rule included.

Why: code i is read between two neighbouring points, t[m] and t[m + 1], so that the error of segment m's codes depends
on these two alone, and the error of the table is the sum (or the maximum) over segments. With

    best[m][t] = min over u of ( error of segment m with t[m] = t, t[m + 1] = u ) + best[m + 1][u]        (or max for +)

best[0] holds the least error of the whole table for each t[0], and following the minima from left to right gives points
that reach it: dynamic programming over the points, with the 256 values of a point as states, misses nothing.

Values are left out of the search only where they cannot be optimal. Some vector of points is known from the start, the
decimated one; let its sum of squares be S and its maximum error E. Wherever a code reads a point unchanged (the code
m * 2^l, fraction 0), the point's distance to that entry is the error of that code, so no optimal point is more than
sqrt S from it, or E for the maximum. Points that no code reads unchanged, which are the last of `clamp` and
`endpoint`, keep all 256 values.

The least maximum E* is found first and alone; then the sum of squares is minimised over the vectors whose every error
is at most E*, which in each segment depends on its two points alone again. So `minimax` is, of all points with the
least maximum error, one with the least sum of squares.

What is still equal is decided point by point from the left: the value nearest to the decimated point, the lower of two.
So the result is unique, a decimated table that is optimal is returned as it is, and a point that is never read is the
decimated one.
"""

from enum import StrEnum

import numpy as np
import numpy.typing as npt

from fxsim.contract import INT8_MAX, INT8_MIN, TABLE_POINTS, TableRule, round_shift, stored_points
from fxsim.contract.arithmetic import Int8, Int64
from fxsim.errors import ModelError
from fxsim.operators.base import choice

Int32 = npt.NDArray[np.int32]

CODES = 256
"""Entries of a full table."""


class PointMethod(StrEnum):
    """The rule that chooses the stored points from the 256 values of a function."""

    DECIMATE = "decimate"
    """Every 2^l-th value; under `endpoint` the last point is the value at code 255. What the paper does."""
    LEAST_SQUARES = "least-squares"
    """The points of the least sum of squared errors over all 256 codes."""
    MINIMAX = "minimax"
    """The points of the least maximum error over all 256 codes; among these of the least sum of squares."""


def compress_tables(full: Int8, points: int, rule: TableRule, method: PointMethod) -> Int8:
    """The points to store of full tables: int8 [C, 256] to int8 [C, stored_points(points, rule)], channel by channel.

    Entry [c, x + 128] of `full` is channel c's value at x; what the result gives at every x is
    `fxsim.contract.expand_table`. `full` is returned as it is under rule `full`, which needs 256 points. ModelError
    where the tables are not int8 [C, 256], or points, rule and method are not ones there are.
    """
    rule, method = choice(rule, TableRule, "table rule"), choice(method, PointMethod, "method to choose points")
    if not isinstance(full, np.ndarray) or full.dtype != np.int8 or full.ndim != 2 or full.shape[1] != CODES:
        found = f"{full.dtype} {full.shape}" if isinstance(full, np.ndarray) else type(full).__name__
        raise ModelError(f"full tables are {found}, expected int8 (channels, {CODES})")
    if points not in TABLE_POINTS:
        raise ModelError(f"a table of {points} points was asked for, expected {', '.join(map(str, TABLE_POINTS))}")
    if rule is TableRule.FULL:
        if points != CODES:
            raise ModelError(f"a full table of {points} points was asked for: rule 'full' stores all {CODES}")
        return np.array(full, order="C")
    return choose(full, points, rule, method, INT8_MIN, INT8_MAX).astype(np.int8)


def choose(
    full: npt.NDArray[np.integer], points: int, rule: TableRule, method: PointMethod, low: int, high: int
) -> Int32:
    """`compress_tables` for any number of codes and any range of values: [C, codes] to int32 [C, stored points].

    `codes` is `points` times a power of two, at most 256; entries and points are `low` to `high`, within int8.
    """
    codes = full.shape[1]
    step = codes // points
    # The last code stands in for the value one beyond it, which no table has.
    kept = np.minimum(np.arange(stored_points(points, rule)) * step, codes - 1)
    decimated = np.ascontiguousarray(full[:, kept], np.int32)
    if method is PointMethod.DECIMATE:
        return decimated
    # Numba takes half a second to import: only whoever computes with it pays.
    from fxsim.tables.points_kernels import choose_points_function

    differences = np.arange(low - high, high - low + 1)
    rounded = round_shift(differences * np.arange(step)[:, None], step.bit_length() - 1)
    out = np.empty_like(decimated)
    choose_points_function()(
        np.ascontiguousarray(full, np.int32), decimated, _ends(codes, points, rule),
        rounded.astype(np.int32), low, high, method is PointMethod.MINIMAX, out,
    )  # fmt: skip
    return out


def _ends(codes: int, points: int, rule: TableRule) -> Int64:
    """At m: the first code that is read from point m, and where point m - 1 ends; `codes` where there is none."""
    ends = np.arange(stored_points(points, rule), dtype=np.int64) * (codes // points)
    if rule is TableRule.CLAMP:
        # The last two segments are one pair of points, at fractions that repeat.
        ends[-1] = codes
    return ends
