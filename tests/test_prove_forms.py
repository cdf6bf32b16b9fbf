"""Linear forms that proofs read out of terms, held to the terms' own values in Python's integers."""

import inspect
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxsim.prove.compiled import cones
from fxsim.prove.compiled.kernel import T_ADD, T_CONCAT, T_CONST, T_MUL, T_SEXT, T_SLICE, T_SUB, T_VAR

Row = tuple[int, int, int, int]
"""Kind, width, first and second operand: rows, or what the kind has."""

HALF, WHOLE = 18, 36


@cache
def reader() -> dict[str, Any]:
    """The functions that find forms, as plain Python of the same text."""
    text = inspect.getsource(cones).replace("from fxsim.jit import njit, types", "from fxsim.jit import types")
    space: dict[str, Any] = {"njit": lambda function: function, "__name__": "plain"}
    exec(compile(text, "plain", "exec"), space)  # noqa: S102  # our own text
    return space


def signed(value: int, width: int) -> int:
    """The low bits of a number, in two's complement."""
    value %= 1 << width
    return value - (1 << width) if value >> (width - 1) else value


def evaluate(rows: list[Row], values: list[int]) -> list[int]:
    """Every row's bits, as an unsigned number."""
    bits: list[int] = []
    for kind, width, a, b in rows:
        match kind:
            case _ if kind == T_VAR:
                value = values[a]
            case _ if kind == T_CONST:
                value = a
            case _ if kind == T_SEXT:
                value = signed(bits[a], rows[a][1])
            case _ if kind == T_SLICE:
                value = bits[a] >> b
            case _ if kind == T_CONCAT:
                value = bits[a] << rows[b][1] | bits[b]
            case _ if kind == T_ADD:
                value = bits[a] + bits[b]
            case _ if kind == T_SUB:
                value = bits[a] - bits[b]
            case _:
                assert kind == T_MUL
                value = bits[a] * bits[b]
        bits.append(value % (1 << width))
    return bits


class Forms:
    """The forms of some rows, of variables of 8 bits."""

    def __init__(self, rows: list[Row]) -> None:
        self.variables = 1 + max((a for kind, _, a, _ in rows if kind == T_VAR), default=-1)
        self.rows = np.array([(*row, 0, 0) for row in rows], np.int64)
        self.bounds = np.zeros((len(rows), 3), np.int64)
        size = self.variables
        self._scratch = np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(len(rows), np.int64)
        widths = reader()["_widths"](self.rows, len(rows), size)
        reader()["_linear"](self.rows, len(rows), self.bounds, widths, *self._scratch)
        assert not any(scratch.any() for scratch in self._scratch[::2])

    def of(self, row: int) -> tuple[list[int], int]:
        """The coefficients and the constant of a row's form."""
        scratch, _, nested = self._scratch
        coefficients, weights = np.zeros(self.variables, np.int64), np.zeros(len(self.rows), np.int64)
        arrays = weights, coefficients, scratch, nested
        constant = reader()["_coefficients"](self.rows, row, self.bounds, *arrays)
        assert not any(array.any() for array in (weights, scratch, nested))
        return coefficients.tolist(), int(constant)


def packed(weights: list[tuple[int, int]], between: int = HALF, offset: int = 128) -> tuple[list[Row], int, int]:
    """The rows of sums of products by two weights each, side by side; the rows of the lower and the upper half."""
    rows: list[Row] = []
    total = -1
    for number, (w0, w1) in enumerate(weights):
        at = len(rows)
        rows += [(T_VAR, 8, number, 0), (T_SEXT, WHOLE, at, 0)]
        rows += [
            (T_CONST, WHOLE, (w1 * (1 << between) + w0 + offset) % (1 << WHOLE), 0),
            (T_MUL, WHOLE, at + 1, at + 2),
        ]
        if total >= 0:
            rows.append((T_ADD, WHOLE, total, at + 3))
        total = len(rows) - 1
    at = len(rows)
    rows += [(T_SLICE, HALF, total, 0), (T_SLICE, WHOLE - HALF, total, HALF), (T_SLICE, 1, total, HALF - 1)]
    rows += [(T_CONST, HALF - 1, 0, 0), (T_CONCAT, HALF, at + 3, at + 2), (T_ADD, HALF, at + 1, at + 4)]
    return rows, at, at + 5


BYTES = st.integers(-128, 127)


@given(st.lists(st.tuples(BYTES, BYTES), min_size=1, max_size=4))
def test_the_halves_of_four_packed_products_are_the_sums_of_both(weights: list[tuple[int, int]]) -> None:
    """Coefficients are the weights, of the lower half 128 more, and what they reach fits: of any int8 weights."""
    rows, lower, upper = packed(weights)
    forms = Forms(rows)
    assert [int(forms.bounds[row, 0]) for row in (lower, upper)] == [3, 3]
    for row, wanted in (lower, [w0 + 128 for w0, _ in weights]), (upper, [w1 for _, w1 in weights]):
        assert forms.of(row) == (wanted, 0)
        reach = sum(min(-128 * w, 127 * w) for w in wanted), sum(max(-128 * w, 127 * w) for w in wanted)
        assert forms.bounds[row, 1:].tolist() == list(reach)


@pytest.mark.parametrize(
    ("weights", "offset"),
    [([(127, 1)] * 5, 128), ([(127, 1)] * 4, 131), ([(0, 1 << 11)] * 16, 0)],
    ids=["five products", "a larger excess", "a whole that wraps"],
)
def test_an_upper_half_is_no_form_where_a_carry_is_lost(weights: list[tuple[int, int]], offset: int) -> None:
    """The lower half may leave its bits, or the whole its own: then nothing is said of the upper one."""
    rows, lower, upper = packed(weights, offset=offset)
    forms = Forms(rows)
    assert forms.bounds[upper, 0] == 0
    ends = [-128] * len(weights), [127] * len(weights)
    coefficients = [w1 for _, w1 in weights]
    sums = [sum(w * x for w, x in zip(coefficients, values, strict=True)) for values in ends]
    assert any(signed(evaluate(rows, values)[upper], HALF) != total for values, total in zip(ends, sums, strict=True))
    assert forms.bounds[lower, 0] == 3


@pytest.mark.parametrize("change", ["another bit", "another form's bit", "ones above it", "bits left out"])
def test_an_upper_half_is_known_by_its_carry(change: str) -> None:
    """A carry of another bit or form, or more than a bit of it, or a part of what is above: no form."""
    rows, lower, upper = packed([(3, 5), (-7, 100)])
    at = lower
    if change == "another bit":
        rows[at + 2] = (T_SLICE, 1, rows[at + 2][2], HALF - 2)
    elif change == "another form's bit":
        rows[at + 2] = (T_SLICE, 1, 3, HALF - 1)
    elif change == "ones above it":
        rows[at + 3] = (T_CONST, HALF - 1, 2, 0)
    else:
        rows[at + 1 : at + 4] = [
            (T_SLICE, HALF - 1, rows[at + 1][2], HALF), rows[at + 2], (T_CONST, HALF - 2, 0, 0),
        ]  # fmt: skip
        rows[at + 4] = (T_CONCAT, HALF - 1, at + 3, at + 2)
        rows[at + 5] = (T_ADD, HALF - 1, at + 1, at + 4)
    assert Forms(rows).bounds[upper, 0] == 0


@st.composite
def cone_rows(draw: st.DrawFn) -> list[Row]:
    """Rows of any form: variables, constants, and what is computed of them, halves among it."""
    count = draw(st.integers(1, 4))
    rows: list[Row] = [(T_VAR, 8, number, 0) for number in range(count)]
    for _ in range(draw(st.integers(1, 14))):
        kind = draw(st.sampled_from([T_SEXT, T_ADD, T_SUB, T_MUL, T_SLICE, T_CONCAT, "upper"]))
        a = draw(st.integers(0, len(rows) - 1))
        width = rows[a][1]
        same = [row for row in range(len(rows)) if rows[row][1] == width]
        if kind == T_SEXT and width < 48:
            rows.append((T_SEXT, draw(st.integers(width + 1, 48)), a, 0))
        elif kind in (T_ADD, T_SUB):
            rows.append((kind, width, a, draw(st.sampled_from(same))))
        elif kind == T_MUL:
            rows.append((T_CONST, width, draw(st.integers(0, (1 << width) - 1)), 0))
            rows.append((T_MUL, width, a, len(rows) - 1))
        elif kind == T_SLICE:
            rows.append((T_SLICE, draw(st.integers(1, width)), a, 0))
        elif kind == T_CONCAT and width < 40:
            rows.append((T_CONST, draw(st.integers(1, 8)), 0, 0))
            zeros = len(rows) - 1
            order = (a, zeros) if draw(st.booleans()) else (zeros, a)
            rows.append((T_CONCAT, width + rows[zeros][1], *order))
        elif kind == "upper" and width > 3:
            bits = draw(st.integers(1, width - 2))
            above = width - bits
            at = len(rows)
            rows += [(T_SLICE, above, a, bits), (T_SLICE, 1, a, bits - 1), (T_CONST, above - 1, 0, 0)]
            rows.append((T_CONCAT, above, at + 2, at + 1))
            rows.append((T_ADD, above, *draw(st.permutations([at, at + 3]))))
    return rows


@given(cone_rows(), st.lists(st.lists(BYTES, min_size=4, max_size=4), min_size=1, max_size=4))
def test_what_is_said_to_be_a_form_is_one(rows: list[Row], images: list[list[int]]) -> None:
    """Each row that is said to be linear is the sum modulo 2^width, of ends and of any values; its bounds hold it."""
    forms = Forms(rows)
    ends = [[-128] * 4, [127] * 4, [-128, 127, -128, 127], [127, -128, -128, 127]]
    for values in ends + images:
        bits = evaluate(rows, values)
        for row, (kind, low, high) in enumerate(forms.bounds.tolist()):
            if kind == 0:
                continue
            coefficients, constant = forms.of(row)
            total = constant + sum(w * x for w, x in zip(coefficients, values, strict=False))
            assert bits[row] == total % (1 << rows[row][1]), f"row {row} of {rows}"
            assert low <= total <= high, f"row {row} of {rows}"
