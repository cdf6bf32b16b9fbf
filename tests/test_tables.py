"""Activation tables, against the contract's text: every input, every format, every rounding corner."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxsim.contract import TABLE_POINTS, TableRule, expand_table, lookup, stored_points
from tests import oracle
from tests.strategies import int8_arrays, table_formats, tables

INTERPOLATED = (TableRule.CLAMP, TableRule.HOLD, TableRule.ENDPOINT)
FORMATS = [(points, rule) for rule in INTERPOLATED for points in TABLE_POINTS] + [(256, TableRule.FULL)]
EVERY_INPUT = np.arange(-128, 128)

Int8 = npt.NDArray[np.int8]
Int64 = npt.NDArray[np.int64]


@st.composite
def formatted_tables(draw: st.DrawFn, rules: tuple[TableRule, ...] = tuple(TableRule)) -> tuple[int, TableRule, Int8]:
    """Points, rule, and a table of three channels."""
    points, rule = draw(table_formats().filter(lambda pair: pair[1] in rules))
    return points, rule, draw(tables(3, points, rule))


def every_output(table: Int8, rule: TableRule) -> Int64:
    """The function of each channel at all 256 inputs, int64 [C, 256], read one input after another."""
    x = np.repeat(EVERY_INPUT.astype(np.int8)[:, None], table.shape[0], axis=1)
    return lookup(x, table, rule).T.astype(np.int64)


@pytest.mark.slow
@pytest.mark.parametrize(("points", "rule"), FORMATS)
@given(data=st.data())
def test_interpolation_follows_the_contract(points: int, rule: TableRule, data: st.DataObject) -> None:
    """A lookup equals the contract's formula in exact arithmetic at all 256 inputs, in every format."""
    table = data.draw(int8_arrays((1, stored_points(points, rule))))
    expected = [oracle.interpolate(table[0].tolist(), rule, x) for x in range(-128, 128)]
    assert every_output(table, rule)[0].tolist() == expected


@pytest.mark.parametrize("fraction_bits", range(7))
def test_every_rounding_corner(fraction_bits: int) -> None:
    """All 65,536 pairs of neighbouring points at every fraction of a segment round as floor(t0 + d * f / 2^l + 1/2)."""
    points, step = 256 >> fraction_bits, 1 << fraction_bits
    segment = points // 2
    t0, t1 = (v.ravel() for v in np.meshgrid(EVERY_INPUT, EVERY_INPUT))
    # One channel a pair. Points around the segment are extreme: reading a wrong one shows.
    table = np.empty((65536, points), np.int8)
    table[:, ::2], table[:, 1::2] = 127, -128
    table[:, segment], table[:, segment + 1] = t0, t1
    for f in range(step):
        code = (segment << fraction_bits) + f
        y = lookup(np.full(65536, code - 128, np.int8), table, TableRule.HOLD)
        expected = t0 + np.floor_divide(2 * (t1 - t0) * f + step, 2 * step)
        np.testing.assert_array_equal(y, expected, f"l = {fraction_bits}, f = {f}")
        assert (np.minimum(t0, t1) <= expected).all()
        assert (expected <= np.maximum(t0, t1)).all()


@given(formatted_tables())
def test_expansion_equals_direct_interpolation(case: tuple[int, TableRule, Int8]) -> None:
    """The full table read off an interpolated one gives the same value at all 256 inputs."""
    _, rule, table = case
    full = expand_table(table, rule)
    assert full.shape == (3, 256)
    np.testing.assert_array_equal(full, every_output(table, rule))
    np.testing.assert_array_equal(every_output(full, TableRule.FULL), every_output(table, rule))


@given(formatted_tables())
def test_exact_at_the_points(case: tuple[int, TableRule, Int8]) -> None:
    """At each point's own input the value is the point; only under `clamp` at the last it is the one before."""
    points, rule, table = case
    at_points = every_output(table, rule)[:, :: 256 // points]
    if rule is TableRule.CLAMP:
        np.testing.assert_array_equal(at_points[:, :-1], table[:, : points - 1])
        np.testing.assert_array_equal(at_points[:, -1], table[:, points - 2])
    else:
        np.testing.assert_array_equal(at_points, table[:, :points])


@pytest.mark.slow
@given(formatted_tables(INTERPOLATED))
def test_between_the_points_of_its_segment(case: tuple[int, TableRule, Int8]) -> None:
    """Every value lies between the two points its segment is drawn from, and so inside int8."""
    points, rule, table = case
    y = every_output(table, rule)
    for x in range(256):
        m = x // (256 // points)
        if rule is TableRule.CLAMP:
            m = min(m, points - 2)
        ends = table[:, [m, m if rule is TableRule.HOLD and m == points - 1 else m + 1]]
        assert (ends.min(axis=1) <= y[:, x]).all()
        assert (y[:, x] <= ends.max(axis=1)).all()


@st.composite
def monotone_tables(draw: st.DrawFn, rules: tuple[TableRule, ...]) -> tuple[int, TableRule, Int8]:
    """Tables whose points never fall, or never rise, from left to right."""
    points, rule, table = draw(formatted_tables(rules))
    rising = np.sort(table, axis=1)
    return points, rule, rising if draw(st.booleans()) else np.ascontiguousarray(rising[:, ::-1])


@pytest.mark.slow
@given(monotone_tables((TableRule.HOLD, TableRule.ENDPOINT, TableRule.FULL)))
def test_monotone_tables_give_monotone_functions(case: tuple[int, TableRule, Int8]) -> None:
    """Under `hold`, `endpoint` and `full` a function never turns where its points do not."""
    _, rule, table = case
    steps = np.diff(every_output(table, rule), axis=1)
    direction = np.sign(table[:, -1].astype(int) - table[:, 0])[:, None]
    assert (steps * direction >= 0).all()
    assert (steps[direction[:, 0] == 0] == 0).all()


@given(monotone_tables((TableRule.CLAMP,)))
def test_clamp_is_monotone_up_to_its_last_segment(case: tuple[int, TableRule, Int8]) -> None:
    """Under `clamp` monotone points give a function that turns nowhere but into the last segment, stepping back."""
    points, rule, table = case
    y = every_output(table, rule)
    last = 256 - 256 // points
    direction = np.sign(table[:, -1].astype(int) - table[:, 0])[:, None]
    assert (np.diff(y[:, :last], axis=1) * direction >= 0).all()
    assert (np.diff(y[:, last:], axis=1) * direction >= 0).all()
    step = y[:, last] - y[:, last - 1]
    np.testing.assert_array_equal(step, table[:, points - 2] - y[:, last - 1])
    assert (step * direction[:, 0] <= 0).all()


@given(formatted_tables((TableRule.CLAMP,)))
def test_clamp_repeats_the_segment_before_the_last(case: tuple[int, TableRule, Int8]) -> None:
    """Under `clamp` the last segment is the one before it over again; of 256 points the last is never read."""
    points, rule, table = case
    step = 256 // points
    y = every_output(table, rule)
    np.testing.assert_array_equal(y[:, -step:], y[:, -2 * step : -step])
    if points == 256:
        other = table.copy()
        other[:, -1] = ~other[:, -1]
        np.testing.assert_array_equal(every_output(other, rule), y)


def test_clamp_step_has_a_witness() -> None:
    """Rising points 0, 10, 20, 30 under `clamp`: 10 to 20 is drawn twice, and 30 never reached."""
    y = every_output(np.array([[0, 10, 20, 30]], np.int8), TableRule.CLAMP)[0]
    assert (y[128], y[191], y[192], y[255]) == (20, 30, 20, 30)
    assert y[191] - y[192] == 10


def test_edge_rules_differ_only_in_the_last_segment() -> None:
    """One table under the three edge rules: the same up to the last segment, and there three different lines."""
    points = [0, 40, 80, 120]
    clamp = every_output(np.array([points], np.int8), TableRule.CLAMP)[0]
    hold = every_output(np.array([points], np.int8), TableRule.HOLD)[0]
    endpoint = every_output(np.array([[*points, 127]], np.int8), TableRule.ENDPOINT)[0]
    np.testing.assert_array_equal(clamp[:192], hold[:192])
    np.testing.assert_array_equal(hold[:192], endpoint[:192])
    assert (hold[192:] == 120).all()
    assert clamp[192] == 80
    assert endpoint[192] == 120
    assert endpoint[255] == 127
    assert endpoint[223] == 123


def test_endpoint_is_drawn_one_code_beyond_the_last_input() -> None:
    """Under `endpoint` the line ends at code 256, one beyond the inputs; beside 256 points the extra is never read."""
    y = every_output(np.array([[0, 0, 0, 0, 64]], np.int8), TableRule.ENDPOINT)[0]
    assert y[255] == 63
    table = np.zeros((1, 257), np.int8)
    table[0, 256] = 100
    assert (every_output(table, TableRule.ENDPOINT) == 0).all()


def test_entries_of_32_bits_are_exact() -> None:
    """Between entries at both ends of 32 bits, signed or not, the values are those of whole numbers of any size."""
    x = np.arange(-128, 128).astype(np.int8)[:, None]
    for dtype, low, high in ((np.uint32, 0, 2**32 - 1), (np.int32, -(2**31), 2**31 - 1)):
        for table in ([low, high, low, high, high], [high, low, high, low, low]):
            y = lookup(x, np.array([table], dtype), TableRule.ENDPOINT)
            assert y.dtype == dtype
            # Four segments of 64 codes; halves are rounded up.
            expected = [table[m] + ((table[m + 1] - table[m]) * f + 32) // 64 for m in range(4) for f in range(64)]
            assert y[:, 0].tolist() == expected
