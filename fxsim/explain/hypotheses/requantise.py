"""Sums that are shifted, rounded, given a bias and clamped: what may go wrong in a linear or an affine."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from math import log2

import numpy as np

from fxsim.contract import Number
from fxsim.contract.arithmetic import Int64
from fxsim.errors import ModelError
from fxsim.explain.case import Case, Change
from fxsim.explain.contracts import contract
from fxsim.explain.rules import CONTRACT, Rounding, Rule, compute, requantised, wrapped
from fxsim.operators import Affine, Linear

ROWS_MAX = 8
"""Most rows that a fitted hypothesis takes for faulty; were there more, it would fit anything."""
SHIFT_MAX = 40
_SAMPLES = 96
_BITS_MIN = 8


def rounding(_case: Case) -> Iterator[Change]:
    """Other roundings of the shift."""
    for other in Rounding:
        if other is not CONTRACT.rounding:
            yield Change(f"rounding_{other}", {"rounding": other})


def double_rounding(case: Case) -> Iterator[Change]:
    """Two shifts in place of one, each rounded."""
    for first in range(1, int(case.op.shift.max())):
        yield Change("double_rounding", {"first_cut": first}, {"first_shift": first}, log2(SHIFT_MAX))


def by_contract(case: Case) -> Iterator[Change]:
    """Two shifts in place of one, rounded differently: no other rule has that."""
    named = contract("tflite_reference")
    acc, shifts, biases = case.accumulator, case.op.shift, case.op.bias
    try:
        for at in range(len(shifts)):
            named.check(int(acc[..., at].min()), int(acc[..., at].max()), int(shifts[at]), int(biases[at]))
    except ModelError:
        return
    yield Change(f"contract_{named.name}", {"requantise": named.requantise})


def bias(_case: Case) -> Iterator[Change]:
    """The bias dropped, or added elsewhere."""
    yield Change("bias_dropped", {"bias": "none"})
    yield Change("bias_before_shift", {"bias": "before"})
    yield Change("bias_in_accumulator", {"bias": "accumulator"})


def shift(case: Case) -> Iterator[Change]:
    """Every channel shifted by one more or less, or as a number without sign."""
    shifts = case.op.shift.astype(np.int64)
    yield Change("shift_plus_one", {"shift": shifts + 1})
    if shifts.min() > 0:
        yield Change("shift_minus_one", {"shift": shifts - 1})
    yield Change("shift_logical", {"logical": True})


def _of_other_sign(number: Number) -> tuple[int, int]:
    """Limits of as many bits, without a sign in place of with one, or the other way."""
    return (0, number.codes - 1) if number.signed else (number.low - number.codes // 2, number.codes // 2 - 1)


def unsigned_limits(case: Case) -> Iterator[Change]:
    """Limits of the other sign; where the trace has none of the numbers beyond, their bits read by the format."""
    number, limits = case.op.out, _of_other_sign(case.op.out)
    yield Change("saturation_unsigned", {"limits": limits}, {"limits": list(limits)})
    if case.alone and number.holds(case.got):
        made = compute(case.op, Rule(limits=limits), *case.inputs)
        if not number.holds(made):
            read = {"limits": limits, "arrange": partial(wrapped, number=number)}
            yield Change("saturation_unsigned", read, {"limits": list(limits), "read_as": str(number)})


def overflow(case: Case) -> Iterator[Change]:
    """Wrapping in place of clamping, other limits, a rectifier that the model has not, a narrower accumulator.

    Limits seen in the trace are proposed only where values lie between them: a tap that is stuck says nothing of them.
    """
    number = case.op.out
    yield Change("saturation_wrap", {"overflow": "wrap"})
    yield from unsigned_limits(case)
    if number.signed:
        symmetric = (-number.high, number.high)
        yield Change("saturation_limits", {"limits": symmetric}, {"limits": list(symmetric)})
        yield Change("relu_added", {"limits": (0, number.high)})
    if case.alone:
        seen = (int(case.got.min()), int(case.got.max()))
        stated = ((number.low, number.high), (-number.high, number.high), _of_other_sign(number))
        between = bool(((case.got > seen[0]) & (case.got < seen[1])).any())
        if between and seen not in (*stated, (0, number.high)):
            yield Change("saturation_limits", {"limits": seen}, {"limits": list(seen)}, 2 * number.bits)
    for bits in range(case.op.acc_bits - 1, _BITS_MIN - 1, -1):
        yield Change("accumulator_width", {"acc_bits": bits}, {"bits": bits}, log2(32))


def relu(_case: Case) -> Iterator[Change]:
    """A rectifier between shift and bias."""
    yield Change("relu_before_bias", {"relu": "before bias"})


def weights(case: Case) -> Iterator[Change]:
    """All weights read otherwise."""
    op = case.op
    weight = op.weight.astype(np.int64)
    if weight.ndim == 2 and weight.shape[0] == weight.shape[1]:
        yield Change("weights_transposed", {"weight": weight.T})
    yield Change("weights_unsigned", {"weight": weight & (op.weight_number.codes - 1)})


def wrong_shift(case: Case) -> Iterator[Change]:
    """Some rows' shifts, found from what came."""
    if not case.alone:
        return
    op, found, others = case.op, [], False
    shifts = op.shift.astype(np.int64)
    got, acc, rows = case.rows(case.got), case.accumulator, _wrong_rows(case)
    if not 0 < len(rows) <= ROWS_MAX:
        return
    for row in rows:
        fits = [s for s in range(SHIFT_MAX + 1) if s != op.shift[row] and _row_is(op, acc, got, row, shift=s)]
        if not fits:
            return
        others |= len(fits) > 1
        nearest = min(fits, key=lambda s: abs(s - int(op.shift[row])))
        found.append({"row": row, "shift": nearest, "stated": int(op.shift[row])})
        shifts[row] = nearest
    parameters = {"channels": found} | ({"others_fit": True} if others else {})
    yield Change("shift_wrong_channel", {"shift": shifts}, parameters, _freedom(op, len(found), log2(SHIFT_MAX)))


def wrong_bias(case: Case) -> Iterator[Change]:
    """Some rows' biases, found from what came."""
    if not case.alone:
        return
    op, found = case.op, []
    biases = op.bias.astype(np.int64)
    got, acc, rows = case.rows(case.got), case.accumulator, _wrong_rows(case)
    if not 0 < len(rows) <= ROWS_MAX:
        return
    for row in rows:
        unbiased = requantised(op, acc, replace(CONTRACT, bias="none", limits=(-(1 << 60), 1 << 60)))[..., row]
        inside = (got[..., row] > op.out.low) & (got[..., row] < op.out.high)
        apart = np.unique((got[..., row] - unbiased)[inside])
        if len(apart) != 1:
            return
        biases[row] = apart[0]
        found.append({"row": row, "bias": int(apart[0]), "stated": int(op.bias[row])})
    yield Change("bias_corrupted", {"biases": biases}, {"biases": found}, _freedom(op, len(found), 9))


def wrong_weight(case: Case) -> Iterator[Change]:
    """One weight of some rows, found from what came."""
    if not case.alone:
        return
    op, found = case.op, []
    weight = op.weight.astype(np.int64)
    rows = _wrong_rows(case)
    if not 0 < len(rows) <= ROWS_MAX:
        return
    places, others = 0, False
    for row in rows:
        fits = list(_weights_that_fit(case, row))
        if not fits:
            return
        column, value = fits[0]
        others |= len(fits) > 1
        index = (row, column) if weight.ndim == 2 else (row,)
        found.append({"index": list(index), "weight": value, "stated": int(weight[index])})
        weight[index] = value
        places = op.weight.size
    parameters = {"weights": found} | ({"others_fit": True} if others else {})
    bits = op.weight_number.bits + log2(places)
    yield Change("weight_corrupted", {"weight": weight}, parameters, bits * len(found))


def _weights_that_fit(case: Case, row: int) -> Iterator[tuple[int, int]]:
    """Columns and values of a weight that make a whole row what it is."""
    op: Linear | Affine = case.op
    x = case.rows(case.inputs[0]).reshape(-1, case.rows(case.inputs[0]).shape[-1])
    acc, got = case.accumulator[..., row].reshape(-1), case.rows(case.got)[..., row].reshape(-1)
    wrong = case.rows(case.wrong)[..., row].reshape(-1)
    sample = np.concatenate([np.flatnonzero(wrong)[: _SAMPLES // 2], np.flatnonzero(~wrong)[: _SAMPLES // 2]])
    stated = op.weight[row] if op.weight.ndim == 2 else op.weight[row : row + 1]
    values = np.arange(op.weight_number.low, op.weight_number.high + 1)
    columns = range(len(stated)) if isinstance(op, Linear) else (0,)
    for column in columns:
        at = column if isinstance(op, Linear) else row
        step = values - int(stated[column])
        tried = acc[sample, None] + x[sample, at][:, None] * step[None, :]
        fits = (_of_row(op, tried, row) == got[sample, None]).all(axis=0)
        for value in values[fits]:
            delta = int(value) - int(stated[column])
            if delta and np.array_equal(_of_row(op, acc + x[:, at] * delta, row), got):
                yield column, int(value)


def _of_row(op: Linear | Affine, acc: Int64, row: int) -> Int64:
    """Results of one row of sums."""
    rule = replace(CONTRACT, shift=np.int64(op.shift[row]), biases=np.int64(op.bias[row]))
    return requantised(op, acc, rule)


def _row_is(op: Linear | Affine, acc: Int64, got: Int64, row: int, shift: int) -> bool:
    rule = replace(CONTRACT, shift=np.int64(shift), biases=np.int64(op.bias[row]))
    return np.array_equal(requantised(op, acc[..., row], rule), got[..., row])


def _wrong_rows(case: Case) -> list[int]:
    wrong = case.rows(case.wrong)
    return [int(row) for row in np.flatnonzero(wrong.reshape(-1, wrong.shape[-1]).any(axis=0))]


def _freedom(op: Linear | Affine, rows: int, bits: float) -> float:
    return rows * (bits + log2(op.shift.size))


HYPOTHESES = (
    rounding, bias, shift, overflow, relu, weights, by_contract, double_rounding, wrong_shift, wrong_bias, wrong_weight,
)  # fmt: skip
"""The simplest first."""
