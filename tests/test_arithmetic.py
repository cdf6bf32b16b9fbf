"""Rounding, saturation and the operators, against exact rational arithmetic; and the page that states their rules."""

import re
from fractions import Fraction
from itertools import product
from math import floor

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxsim import contract
from fxsim.contract import RANGED, Number, Sign, TableRule
from tests import oracle
from tests.conftest import ROOT, SEED
from tests.strategies import int8_arrays, shift_arrays, shift_values

INT62 = st.one_of(st.integers(-(2**62), 2**62 - 1), st.integers(-300, 300), st.integers(0, 61).map(lambda k: -(2**k)))


def halves_up(a: npt.NDArray[np.int64], s: int) -> npt.NDArray[np.int64]:
    """floor(a / 2^s + 1/2) as floor((2a + 2^s) / 2^(s + 1)): numpy's floor division, no shift of a sum. s up to 40."""
    return np.floor_divide(2 * a + 2**s, 2 ** (s + 1))


@given(st.integers(), st.integers(1, 2**256))
def test_the_oracle_rounds_as_fractions_do(a: int, b: int) -> None:
    """The integers by which tests round are floor(a / b + 1/2) in rational arithmetic, for ties and either sign."""
    for value in (a, 2 * a + 1, a * b, a * b + b // 2, a * b - b // 2):
        assert oracle.nearest(value, b) == floor(Fraction(value, b) + Fraction(1, 2))
    assert oracle.nearest(2 * a + 1, 2) == a + 1


@given(INT62, st.one_of(shift_values(), st.integers(55, 70)))
def test_round_shift_is_exact(a: int, s: int) -> None:
    """round_shift equals floor(a / 2^s + 1/2) in rational arithmetic, for either sign and every shift from 0 to 255."""
    assert int(contract.round_shift(a, s)) == floor(Fraction(a, 2**s) + Fraction(1, 2))


def test_round_shift_of_every_16_bit_value() -> None:
    """round_shift equals exact floor division for every 16-bit value under every shift from 0 to 40."""
    a = np.arange(-(2**15), 2**15, dtype=np.int64)
    for s in range(41):
        np.testing.assert_array_equal(contract.round_shift(a, s), halves_up(a, s), f"shift {s}")


def test_round_shift_takes_ties_up() -> None:
    """A value exactly between two integers goes to the greater one, for negative values too."""
    k = np.arange(-1000, 1000, dtype=np.int64)
    for s in range(1, 40):
        tie = (2 * k + 1) * 2 ** (s - 1)
        np.testing.assert_array_equal(contract.round_shift(tie, s), k + 1, f"shift {s}")


def test_round_shift_beyond_the_width() -> None:
    """A value of 32 bits is 0 after any shift from 33 to 255; after 31 and 32, the least one is -1 and 0."""
    extremes = np.array([-(2**31), -(2**31) + 1, -1, 0, 1, 2**31 - 1], np.int64)
    for s in range(33, 256):
        np.testing.assert_array_equal(contract.round_shift(extremes, s), 0, f"shift {s}")
    assert contract.round_shift(-(2**31), 31) == -1
    assert contract.round_shift(-(2**31), 32) == 0
    assert contract.round_shift(2**31 - 1, 32) == 0


@given(st.integers(-(2**62), 2**62))
def test_saturation(v: int) -> None:
    """sat8 leaves what is in int8 alone and takes everything else to the nearer end."""
    assert int(contract.sat8(v)) == oracle.saturate(v)


def test_saturation_at_every_value_near_its_limits() -> None:
    """sat8 is the identity on all of int8, and -128 or 127 on everything outside it."""
    inside = np.arange(-128, 128)
    np.testing.assert_array_equal(contract.sat8(inside), inside)
    np.testing.assert_array_equal(contract.sat8(np.arange(-1000, -128)), -128)
    np.testing.assert_array_equal(contract.sat8(np.arange(128, 1000)), 127)


@given(st.integers(-(2**31), 2**31 - 1), shift_values(), st.integers(-128, 127))
def test_requantisation(acc: int, s: int, b: int) -> None:
    """Requantisation rounds, then adds the bias, then saturates, for any 32-bit sum."""
    assert int(contract.requantise(acc, s, b)) == oracle.requantise(acc, s, b)


def test_bias_comes_after_the_rounding() -> None:
    """The bias is at the output's scale: it is neither shifted nor rounded, and it does count before saturation."""
    assert contract.requantise(3, 1, 5) == 7  # (3 + 5) / 2 would be 4
    assert contract.requantise(1000, 0, -128) == 127  # saturating first would give -1
    assert contract.requantise(200, 0, -100) == 100


@pytest.mark.slow
@given(st.data())
def test_linear(data: st.DataObject) -> None:
    """A linear is the exact sum of products of each output's row, requantised by that output's shift and bias."""
    rows, inputs, outputs = (data.draw(st.integers(1, n)) for n in (3, 9, 5))
    x, w = data.draw(int8_arrays((rows, inputs))), data.draw(int8_arrays((outputs, inputs)))
    b, s = data.draw(int8_arrays((outputs,))), data.draw(shift_arrays(outputs))
    y = contract.linear(x, w, b, s)
    assert y.dtype == np.int8
    for t, n in np.ndindex(rows, outputs):
        acc = sum(int(x[t, k]) * int(w[n, k]) for k in range(inputs))
        assert int(y[t, n]) == oracle.requantise(acc, int(s[n]), int(b[n]))


def test_affine_of_every_operand() -> None:
    """An affine equals its definition for every value and weight, every shift up to 20, biases of both signs."""
    x = np.arange(-128, 128).astype(np.int8)[:, None]
    w = np.arange(-128, 128).astype(np.int8)
    b = np.random.default_rng(SEED).integers(-128, 128, 256).astype(np.int8)
    acc = x.astype(np.int64) * w
    for s in range(21):
        expected = np.minimum(np.maximum(halves_up(acc, s) + b, -128), 127)
        np.testing.assert_array_equal(contract.affine(x, w, b, np.full(256, s, np.uint8)), expected, f"shift {s}")


def test_add_of_every_pair() -> None:
    """An add is the saturated sum, and a relu the greater of 0 and the value, for all int8 operands."""
    x = np.arange(-128, 128)
    a, b = (v.astype(np.int8) for v in np.meshgrid(x, x))
    total = a.astype(int) + b
    np.testing.assert_array_equal(contract.add(a, b), np.where(total > 127, 127, np.where(total < -128, -128, total)))
    np.testing.assert_array_equal(contract.relu(x.astype(np.int8)), np.where(x > 0, x, 0))


@given(st.data())
def test_pool(data: st.DataObject) -> None:
    """A pool is the mean over tokens, halves rounded up, and stays inside int8 at its extremes."""
    tokens = 2 ** data.draw(st.integers(0, 8))
    x = data.draw(st.one_of(int8_arrays((tokens, 2)), st.sampled_from([-128, 127]).map(lambda v: full(tokens, v))))
    y = contract.pool(x)
    for c in range(2):
        exact = floor(Fraction(sum(int(v) for v in x[:, c]), tokens) + Fraction(1, 2))
        assert -128 <= exact <= 127
        assert int(y[c]) == exact


def full(tokens: int, value: int) -> npt.NDArray[np.int8]:
    """Two channels of one value."""
    return np.full((tokens, 2), value, np.int8)


@given(st.data())
def test_worst_case_sums_are_bounds_and_are_reached(data: st.DataObject) -> None:
    """No int8 input moves a sum beyond the proven bounds, not even part of the way through, and one reaches each."""
    inputs = data.draw(st.integers(1, 12))
    w, x = data.draw(int8_arrays((1, inputs))), data.draw(int8_arrays((inputs,)))
    low, high = (int(v[0]) for v in contract.worst_case_sums(w))
    partial = np.cumsum(x.astype(np.int64) * w[0])
    assert low <= partial.min()
    assert partial.max() <= high
    up = np.where(w[0] > 0, 127, -128)
    assert int((up * w[0].astype(np.int64)).sum()) == high
    assert int(((-1 - up) * w[0].astype(np.int64)).sum()) == low


@given(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40))
def test_bits_needed_is_the_least_width(a: int, b: int) -> None:
    """A number of the stated bits holds both ends, and one of a bit fewer does not."""
    low, high = min(a, b), max(a, b)
    bits = contract.bits_needed(low, high)
    assert -(2 ** (bits - 1)) <= low <= high < 2 ** (bits - 1)
    assert bits == 1 or not (-(2 ** (bits - 2)) <= low and high < 2 ** (bits - 2))


@pytest.mark.parametrize("inputs", [1, 2, 3, 48, 64, 96, 192, 1000, 65536])
def test_default_linear_width_holds_any_weights(inputs: int) -> None:
    """16 + ceil(log2 K) bits hold the worst sum of K products of int8."""
    worst = np.full((1, inputs), -128, np.int8)
    low, high = contract.worst_case_sums(worst)
    assert contract.bits_needed(int(low[0]), int(high[0])) <= contract.linear_acc_bits(inputs)


def width(*values: int) -> int:
    """The least two's complement width that holds some values."""
    return next(bits for bits in range(1, 99) if all(-(2 ** (bits - 1)) <= v < 2 ** (bits - 1) for v in values))


def test_widths_of_sums_are_the_least_for_all_formats() -> None:
    """The width of an add, and of a pool, is the least that holds every sum, of any formats of up to 32 bits."""
    ends = {
        Number(bits, sign): (0, 2**bits - 1) if sign is Sign.UNSIGNED else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        for bits in range(1, 33)
        for sign in RANGED
    }
    for (x, (x_low, x_high)), (r, (r_low, r_high)) in product(ends.items(), repeat=2):
        assert contract.add_acc_bits(x, r) == width(x_low + r_low, x_high + r_high), f"{x} {r}"
    for (x, (low, high)), tokens in product(ends.items(), (1, 2, 64, 1024)):
        assert contract.pool_acc_bits(tokens, x) == width(tokens * low, tokens * high), f"{tokens} {x}"


def test_worst_case_sums_are_of_64_bits() -> None:
    """Bounds beyond 32 bits are exact, for weights of either sign: of 65,536 inputs of 16 bits."""
    for weight, sign in product((-128, 127), RANGED):
        x = Number(16, sign)
        low, high = contract.worst_case_sums(np.full((1, 65536), weight, np.int8), x)
        ends = sorted(65536 * weight * value for value in ((-32768, 32767) if sign is Sign.SIGNED else (0, 65535)))
        assert (low.tolist(), high.tolist()) == (ends[:1], ends[1:])


def test_every_rule_on_the_page_names_a_test() -> None:
    """docs/arithmetic.md gives a test for each rule, by file and name, and each one exists."""
    page = (ROOT / "docs" / "arithmetic.md").read_text()
    rules = re.findall(r"^\| [A-Z]+\d+ \|.*$", page, re.MULTILINE)
    assert len(rules) > 20
    for rule in rules:
        names = re.findall(r"`(test_\w+)\.(test_\w+)`", rule)
        assert names, f"no test is named by: {rule}"
        for file, test in names:
            source = (ROOT / "tests" / f"{file}.py").read_text()
            assert f"def {test}(" in source, f"{file}.py has no {test}, named by: {rule}"


def test_page_lists_every_table_rule() -> None:
    """Every way of reading a table that the code knows is on the page."""
    page = (ROOT / "docs" / "arithmetic.md").read_text()
    for rule in TableRule:
        assert f"`{rule}`" in page
