"""The loops of `compression`: dynamic programming over the points of one table after another.

Numba computes int32 with int32 in int64; the `np.int32(...)` around every step keeps the inner loops in 32 bits, which
lets LLVM vectorise them. With at most 256 codes and values and points in int8, every term below is less than 2^27.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# Numba infers its own types: annotations would be a second, unchecked statement of them.

import functools
from collections.abc import Callable

import numpy as np

from fxsim.jit import compile_function, njit, types

NEVER = 1 << 29
"""More than any sum of squares; twice it still fits 32 bits."""


@functools.cache
def choose_points_function() -> Callable[..., None]:
    """The compiled `_choose_points`."""
    tables = types.Array(types.int32, 2, "C")
    ends = types.Array(types.int64, 1, "C")
    signature = types.void(tables, tables, ends, tables, types.int64, types.int64, types.boolean, tables)
    return compile_function(_choose_points, signature)


@njit
def _bound(bounds, y, ends, radius, low, high):
    """Least and greatest value of each point. One that some code reads unchanged is within `radius` of that entry."""
    for m in range(len(bounds)):
        bounds[m, 0], bounds[m, 1] = low, high
        if ends[m] < len(y):
            bounds[m, 0] = max(low, y[ends[m]] - radius)
            bounds[m, 1] = min(high, y[ends[m]] + radius)


@njit
def _segment_errors(y, begin, end, t, d, rounded, span):
    """Sum of squares and maximum of the errors of codes `begin` to `end` between the points t and t + d."""
    total, worst = 0, 0
    for code in range(begin, end):
        error = abs(t + rounded[(code - begin) & (len(rounded) - 1), d + span] - y[code])
        total += error * error
        worst = max(worst, error)
    return total, worst


@njit
def _errors(y, points, ends, rounded, span):
    """Sum of squares and maximum of the errors of a whole table."""
    last = len(points) - 1
    total, worst = _segment_errors(y, ends[last], len(y), points[last], 0, rounded, span)
    for m in range(last):
        d = points[m + 1] - points[m]
        more, greatest = _segment_errors(y, ends[m], ends[m + 1], points[m], d, rounded, span)
        total += more
        worst = max(worst, greatest)
    return total, worst


@njit
def _study_segment(y, begin, end, rounded, first, last, sums, squares, above, below):
    """For the differences at `first` to `last`, with r - y over the codes from `begin` to `end`, r the rounded one.

    Its sum, its sum of squares, its greatest value, and the greatest of y - r.
    """
    one, two, up, down = (
        sums[first : last + 1],
        squares[first : last + 1],
        above[first : last + 1],
        below[first : last + 1],
    )
    one[:], two[:], up[:], down[:] = 0, 0, -NEVER, -NEVER
    for code in range(begin, end):
        r = rounded[(code - begin) & (len(rounded) - 1), first : last + 1]
        for d in range(len(r)):
            error = np.int32(r[d] - y[code])
            one[d] = np.int32(one[d] + error)
            two[d] = np.int32(two[d] + np.int32(error * error))
            up[d] = max(up[d], error)
            down[d] = max(down[d], np.int32(-error))


@njit
def _least_maximum(best, bounds, y, ends, rounded, low, high, sums, squares, above, below):
    """Fill `best` with the least maximum error."""
    span, last = high - low, len(bounds) - 1
    for t in range(bounds[last, 0], bounds[last, 1] + 1):
        best[last, t - low] = _segment_errors(y, ends[last], len(y), t, 0, rounded, span)[1]
    for m in range(last - 1, -1, -1):
        (t_first, t_last), (u_first, u_last) = bounds[m], bounds[m + 1]
        first, final = u_first - t_last + span, u_last - t_first + span
        _study_segment(y, ends[m], ends[m + 1], rounded, first, final, sums, squares, above, below)
        following = best[m + 1, u_first - low : u_last - low + 1]
        for t in range(t_first, t_last + 1):
            t32 = np.int32(t)
            up = above[u_first - t + span : u_last - t + span + 1]
            down = below[u_first - t + span : u_last - t + span + 1]
            least = np.int32(NEVER)
            for j in range(len(following)):
                error = max(max(np.int32(up[j] + t32), np.int32(down[j] - t32)), following[j])
                least = min(least, error)
            best[m, t - low] = least


@njit
def _least_squares(best, bounds, y, ends, rounded, low, high, limit, sums, squares, above, below):
    """Fill `best` with the least sum of squares in which no error is greater than `limit`."""
    span, last = high - low, len(bounds) - 1
    for t in range(bounds[last, 0], bounds[last, 1] + 1):
        total, worst = _segment_errors(y, ends[last], len(y), t, 0, rounded, span)
        best[last, t - low] = total if worst <= limit else NEVER
    for m in range(last - 1, -1, -1):
        (t_first, t_last), (u_first, u_last) = bounds[m], bounds[m + 1]
        first, final = u_first - t_last + span, u_last - t_first + span
        _study_segment(y, ends[m], ends[m + 1], rounded, first, final, sums, squares, above, below)
        # sum (t + r - y)^2 = n t^2 + 2 t sum (r - y) + sum (r - y)^2.
        following = best[m + 1, u_first - low : u_last - low + 1]
        for t in range(t_first, t_last + 1):
            t32, twice = np.int32(t), np.int32(2 * t)
            own = np.int32((ends[m + 1] - ends[m]) * t * t)
            at = u_first - t + span
            until = u_last - t + span + 1
            one, two, up, down = sums[at:until], squares[at:until], above[at:until], below[at:until]
            least = np.int32(NEVER)
            for j in range(len(following)):
                worst = max(np.int32(up[j] + t32), np.int32(down[j] - t32))
                total = np.int32(np.int32(np.int32(twice * one[j]) + two[j]) + following[j])
                least = min(least, np.int32(total + own) if worst <= limit else np.int32(NEVER))
            best[m, t - low] = least


@njit
def _take(out, best, bounds, y, ends, rounded, low, high, limit, at_hand):
    """From the first point on, the value that leads to the least sum; of several the nearest to the one at hand."""
    span = high - low
    for m in range(len(out)):
        found, distance = np.int64(NEVER), np.int64(NEVER)
        # Ascending: of two equally near values the lower is met first and stays.
        for t in range(bounds[m, 0], bounds[m, 1] + 1):
            total = np.int64(best[m, t - low])
            if m > 0:
                before = out[m - 1]
                more, worst = _segment_errors(y, ends[m - 1], ends[m], before, t - before, rounded, span)
                total += more
                if worst > limit:
                    continue
            away = abs(t - at_hand[m])
            if total < found or (total == found and away < distance):
                found, distance = total, away
                out[m] = t


def _choose_points(full, nearest, ends, rounded, low, high, minimax, out):
    """The optimal points of every table: `full` int32 [tables, codes] to `out` int32 [tables, stored].

    `nearest` int32 [tables, stored]: the points at hand, whose error bounds the search and which ties are broken
    towards. `ends` int64 [stored]: point m and the next are read at codes `ends[m]` to `ends[m + 1]`, at fraction
    `code - ends[m]` modulo the rows of `rounded`, the last point alone from its end on. `rounded` int32
    [2^l, 2 * (high - low) + 1]: round_shift(d * f, l) for every difference d of two values from `low` to `high`.
    """
    stored = nearest.shape[1]
    values = high - low + 1
    bounds = np.empty((stored, 2), np.int64)
    # best[m, t - low]: least error of the codes that points m, m + 1, ... are read at, with point m at t.
    best = np.empty((stored, values), np.int32)
    # By d - (low - high): what a segment's error needs to know of the difference of its points.
    # Four arrays, not rows unpacked from one, of which Numba would not know that they are contiguous.
    sums, squares = np.empty(2 * values - 1, np.int32), np.empty(2 * values - 1, np.int32)
    above, below = np.empty(2 * values - 1, np.int32), np.empty(2 * values - 1, np.int32)
    for i in range(len(full)):
        y, at_hand = full[i], nearest[i]
        total, worst = _errors(y, at_hand, ends, rounded, high - low)
        if total == 0:
            out[i] = at_hand
            continue
        if minimax:
            _bound(bounds, y, ends, worst, low, high)
            _least_maximum(best, bounds, y, ends, rounded, low, high, sums, squares, above, below)
            limit = best[0, bounds[0, 0] - low : bounds[0, 1] - low + 1].min()
            radius = np.int64(limit)
        else:
            limit = np.int32(high - low)
            radius = np.int64(np.ceil(np.sqrt(total)))
        _bound(bounds, y, ends, radius, low, high)
        _least_squares(best, bounds, y, ends, rounded, low, high, limit, sums, squares, above, below)
        _take(out[i], best, bounds, y, ends, rounded, low, high, limit, at_hand)
