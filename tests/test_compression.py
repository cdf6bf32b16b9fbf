"""The points of interpolated tables: optimal by exhaustive search where that is possible, and properties everywhere."""

import itertools
import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxsim.contract import TABLE_POINTS, TableRule, expand_table, stored_points
from fxsim.errors import ModelError
from fxsim.tables.points import PointMethod, choose, compress_tables
from tests.conftest import SEED
from tests.oracle import nearest
from tests.strategies import int8_arrays, int8_from, tables

RULES = (TableRule.CLAMP, TableRule.HOLD, TableRule.ENDPOINT)
OPTIMAL = (PointMethod.LEAST_SQUARES, PointMethod.MINIMAX)

# Codes, points, least and greatest value: small enough that every vector of points can be tried.
TINY = [(16, 4, -2, 2), (16, 4, -3, 3), (8, 4, -2, 3), (16, 2, -8, 7), (4, 4, -3, 3), (8, 2, 0, 9)]


def read(points: tuple[int, ...], codes: int, count: int, rule: TableRule) -> list[int]:
    """The function that points give, as docs/arithmetic.md states it, in exact integers: `count` is P."""
    width = codes // count
    values = []
    for code in range(codes):
        m, f = divmod(code, width)
        if rule is TableRule.CLAMP:
            m = min(m, count - 2)
        right = points[m] if rule is TableRule.HOLD and m == count - 1 else points[m + 1] if f else points[m]
        values.append(points[m] + nearest((right - points[m]) * f, width))
    return values


def decimate(function: list[int], count: int, rule: TableRule) -> list[int]:
    """Every value at a segment's start, and under `endpoint` the last."""
    points = function[:: len(function) // count]
    return [*points, function[-1]] if rule is TableRule.ENDPOINT else points


def errors(a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[int, int]:
    """Sum of squares and maximum of the differences."""
    difference = np.abs(np.asarray(a, np.int64) - np.asarray(b, np.int64))
    return int((difference**2).sum()), int(difference.max())


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("codes", "count", "low", "high"), TINY)
def test_points_are_those_of_an_exhaustive_search(codes: int, count: int, low: int, high: int, rule: TableRule) -> None:
    """Of all vectors of points, the one of least error, and of several the one nearest to the decimated, is chosen."""
    stored = stored_points(count, rule)
    candidates = list(itertools.product(range(low, high + 1), repeat=stored))
    functions = np.array([read(points, codes, count, rule) for points in candidates])
    rng = np.random.default_rng([SEED, codes, count, high])
    # Ties are rare: many tables where there are few candidates.
    many = 8 if len(candidates) > 500 else 150
    wild = rng.integers(low, high + 1, (many, codes))
    smooth = np.clip(np.cumsum(rng.integers(-1, 2, (many, codes)), axis=1), low, high)
    full = np.concatenate([wild, smooth])
    for method in OPTIMAL:
        chosen = choose(full, count, rule, method, low, high)
        assert chosen.shape == (len(full), stored)
        for function, points in zip(full.tolist(), chosen.tolist(), strict=True):
            difference = np.abs(functions - np.array(function))
            total, worst = (difference**2).sum(axis=1), difference.max(axis=1)
            if method is PointMethod.MINIMAX:
                total = np.where(worst == worst.min(), total, total.max() + 1)
            at_hand = decimate(function, count, rule)
            best = [candidates[i] for i in np.flatnonzero(total == total.min())]
            assert tuple(points) == min(best, key=lambda v: [(abs(a - b), a) for a, b in zip(v, at_hand, strict=True)])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("points", TABLE_POINTS)
def test_decimation_keeps_every_so_manieth_value(points: int, rule: TableRule) -> None:
    """Point m is the value at code m * 256 / P; under `endpoint` the last is the value at code 255."""
    full = int8_from(np.random.default_rng([SEED, points]), (3, 256), "full")
    found = compress_tables(full, points, rule, PointMethod.DECIMATE)
    assert found.dtype == np.int8
    assert found.tolist() == [decimate(row, points, rule) for row in full.tolist()]


@pytest.mark.slow
@settings(max_examples=60)
@given(st.data())
def test_each_method_is_best_by_its_own_measure(data: st.DataObject) -> None:
    """Least squares has the least sum of squares of all three methods, minimax the least maximum error, per channel."""
    rule, points = data.draw(st.sampled_from(RULES)), data.draw(st.sampled_from(TABLE_POINTS))
    steps = data.draw(int8_arrays((2, 256))).astype(np.int64)
    walk = np.clip(np.cumsum(steps // 16, axis=1), -128, 127).astype(np.int8)
    full = data.draw(st.sampled_from([walk, steps.astype(np.int8)]))
    found = []
    for method in PointMethod:
        given = expand_table(compress_tables(full, points, rule, method), rule)
        found.append([errors(*rows) for rows in zip(given, full, strict=True)])
    for decimated, squares, minimax in zip(*found, strict=True):
        assert squares[0] <= min(decimated[0], minimax[0])
        assert minimax[1] <= min(decimated[1], squares[1])
        # Where least squares is no worse by the maximum, minimax has no excuse to be worse by the sum.
        if squares[1] == minimax[1]:
            assert squares[0] == minimax[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "rule"), [(8, TableRule.CLAMP), (8, TableRule.HOLD), (8, TableRule.ENDPOINT), (64, TableRule.CLAMP)]
)
def test_tables_of_256_codes_reach_the_least_error(count: int, rule: TableRule) -> None:
    """The errors are the least that a search over all 256 values of every point finds, nothing left out."""
    rng = np.random.default_rng([SEED, count])
    walk = np.clip(np.cumsum(rng.integers(-9, 10, 256)), -128, 127)
    walk[253:] = -128
    full = np.stack([walk, rng.integers(-128, 128, 256)]).astype(np.int8)
    t, width = np.arange(-128, 128, dtype=np.int32), 256 // count
    for row, squares, minimax in zip(full, *(compress_tables(full, count, rule, m) for m in OPTIMAL), strict=True):
        total = worst = np.zeros(256, np.int32)
        for m in reversed(range(count)):
            if rule is TableRule.CLAMP and m == count - 1:
                continue
            codes = np.arange(
                m * width, (m + (2 if rule is TableRule.CLAMP and m == count - 2 else 1)) * width, dtype=np.int32
            )
            right = t[:, None] if rule is TableRule.HOLD and m == count - 1 else t[None, :]
            step = (right - t[:, None])[..., None] * (codes % width)
            error = np.abs(t[:, None, None] + (2 * step + width) // (2 * width) - row[codes])
            total = ((error**2).sum(axis=2) + total).min(axis=1)
            worst = np.maximum(error.max(axis=2), worst).min(axis=1)
        assert errors(expand_table(squares[None], rule)[0], row)[0] == total.min()
        assert errors(expand_table(minimax[None], rule)[0], row)[1] == worst.min()


@settings(max_examples=40)
@given(st.data())
def test_no_single_point_can_be_improved(data: st.DataObject) -> None:
    """Changing any one point of an optimal table of 256 codes, to any other value, makes it no better."""
    rule, points = data.draw(st.sampled_from(RULES)), data.draw(st.sampled_from([4, 8, 16, 64]))
    full = data.draw(int8_arrays((1, 256)))
    m = data.draw(st.integers(0, stored_points(points, rule) - 1))
    for method in OPTIMAL:
        chosen = compress_tables(full, points, rule, method)
        varied = np.repeat(chosen, 256, axis=0)
        varied[:, m] = np.arange(-128, 128)
        found = [errors(row, full[0]) for row in expand_table(varied, rule)]
        own = errors(expand_table(chosen, rule)[0], full[0])
        if method is PointMethod.LEAST_SQUARES:
            assert own[0] == min(total for total, _ in found)
        else:
            assert own[::-1] == min((worst, total) for total, worst in found)


@settings(max_examples=60)
@given(st.data())
def test_functions_that_points_can_give_are_given_exactly(data: st.DataObject) -> None:
    """The full table read off any interpolated one is compressed without error by both optimal methods."""
    rule, points = data.draw(st.sampled_from(RULES)), data.draw(st.sampled_from(TABLE_POINTS))
    full = expand_table(data.draw(tables(3, points, rule)), rule)
    for method in OPTIMAL:
        assert np.array_equal(expand_table(compress_tables(full, points, rule, method), rule), full)


@settings(max_examples=30)
@given(int8_arrays((2, 256)), st.sampled_from(PointMethod))
def test_256_points_are_the_table(full: npt.NDArray[np.int8], method: PointMethod) -> None:
    """With P = 256 every rule but `clamp`, whose codes 254 and 255 share a point, gives the full table."""
    for rule in (TableRule.HOLD, TableRule.ENDPOINT, TableRule.FULL):
        assert np.array_equal(expand_table(compress_tables(full, 256, rule, method), rule), full)
    clamped = compress_tables(full, 256, TableRule.CLAMP, method)
    given = expand_table(clamped, TableRule.CLAMP)
    assert np.array_equal(given[:, :254], full[:, :254])
    gap = np.abs(full[:, 255].astype(np.int64) - full[:, 254])
    for code in (254, 255):
        off = np.abs(given[:, code].astype(np.int64) - full[:, code])
        # Halfway, or at the value of code 254.
        assert (off <= (gap if method is PointMethod.DECIMATE else (gap + 1) // 2)).all()


def test_extreme_tables_do_not_wrap() -> None:
    """Tables of -128 and 127 alone, whose sums of squares are the greatest there are, are compressed as any other."""
    rng = np.random.default_rng(SEED)
    full = rng.choice(np.array([-128, 127], np.int8), (4, 256))
    full[0], full[1, ::2], full[1, 1::2] = 127, -128, 127
    for rule, points in itertools.product(RULES, (4, 8)):
        for method in OPTIMAL:
            chosen = compress_tables(full, points, rule, method)
            assert errors(expand_table(chosen, rule)[0], full[0]) == (0, 0)
            # Of codes that alternate, nothing is nearer than 128 to both, and a flat line reaches that.
            worst = errors(expand_table(chosen, rule)[1], full[1])[1]
            assert worst == 128 if method is PointMethod.MINIMAX else worst >= 128


def test_channels_do_not_influence_each_other() -> None:
    """Each channel's points are those it has alone, in whatever order the channels come."""
    full = int8_from(np.random.default_rng(SEED), (5, 256), "small")
    for method, rule in itertools.product(PointMethod, RULES):
        together = compress_tables(full, 16, rule, method)
        alone = [compress_tables(row[None], 16, rule, method)[0] for row in full]
        assert np.array_equal(together, alone)
        assert np.array_equal(compress_tables(full[::-1], 16, rule, method), together[::-1])


@pytest.mark.parametrize(
    ("full", "points", "rule", "method", "message"),
    [
        (np.zeros((2, 256), np.int16), 64, "clamp", "decimate", "expected int8"),
        (np.zeros((2, 255), np.int8), 64, "clamp", "decimate", r"expected int8 \(channels, 256\)"),
        (np.zeros(256, np.int8), 64, "clamp", "decimate", r"int8 \(256,\), expected"),
        ([[0] * 256], 64, "clamp", "decimate", "full tables are list"),
        (np.zeros((2, 256), np.int8), 48, "clamp", "decimate", "48 points .* expected 4, 8, 16"),
        (np.zeros((2, 256), np.int8), 64, "full", "decimate", "stores all 256"),
        (np.zeros((2, 256), np.int8), 64, "mirror", "decimate", "table rule is 'mirror'"),
        (np.zeros((2, 256), np.int8), 64, "clamp", "guess", "method to choose points is 'guess'"),
    ],
)
def test_what_does_not_fit_is_refused(full: object, points: int, rule: str, method: str, message: str) -> None:
    """Wrong types, shapes, numbers of points, rules and methods are named in the error."""
    with pytest.raises(ModelError, match=message):
        compress_tables(full, points, rule, method)  # type: ignore[arg-type]


def test_importing_costs_nothing_until_it_computes() -> None:
    """Neither fxsim nor this module imports Numba; decimation does without it."""
    code = (
        "import sys, numpy as np, fxsim; from fxsim.tables.points import compress_tables; "
        "compress_tables(np.zeros((1, 256), np.int8), 64, 'clamp', 'decimate'); sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
