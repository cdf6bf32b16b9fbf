"""Sums that are shifted, rounded, given a bias and clamped: what may go wrong in a linear or an affine."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from math import log2
from typing import Any

import numpy as np

from fxsim.contract import Number, bias_number
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
_FEW = 6
_BIASES_MAX = 1 << 10
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


def products(case: Case) -> Iterator[Change]:
    """The first or last product left out of every sum."""
    op = case.op
    if isinstance(op, Linear) and (columns := op.weight.shape[1]) > 1:
        for column, product in ((columns - 1, "last"), (0, "first")):
            weight = _without(_weights(case), column)
            yield Change("product_dropped", {"weight": weight}, {"product": product}, 1.0)


def wrong_product(case: Case) -> Iterator[Change]:
    """A product between the first and the last left out of every sum, found from what came."""
    op = case.op
    if not isinstance(op, Linear) or not case.alone or not case.wrong.any():
        return
    weight, columns = _weights(case), op.weight.shape[1]
    x, got = case.rows(case.inputs[0]), case.rows(case.got)
    where = tuple(np.argwhere(case.rows(case.wrong))[:_SAMPLES].T)
    acc, row = case.accumulator[where], where[-1]
    for column in range(1, columns - 1):
        dropped = acc - x[(*where[:-1], column)] * weight[row, column]
        if np.array_equal(_results(case, row, dropped), got[where]):
            fields, parameters = {"weight": _without(weight, column)}, {"product": column, "of": columns}
            yield Change("product_dropped", fields, parameters, log2(columns))


def _without(weight: Int64, column: int) -> Int64:
    fewer = weight.copy()
    fewer[:, column] = 0
    return fewer


def neighbours_bias(case: Case) -> Iterator[Change]:
    """Every row's bias that of the row before or behind it; at the end the other end's, or its own."""
    bias, rows = _biases(case), len(case.op.bias)
    if rows < 2:
        return
    for word, by in (("previous", 1), ("next", -1)):
        rolled = np.roll(bias, by)
        for end in ("other end's", "own"):
            own = rolled.copy()
            at = 0 if by == 1 else -1
            own[at] = bias[at] if end == "own" else rolled[at]
            yield Change("bias_wrong_channel", {"biases": own}, {"used": word, "at_the_end": end}, 2.0)


def wrong_shift(case: Case) -> Iterator[Change]:
    """Some rows' shifts, found from what came."""
    if not case.alone:
        return
    op, found, others, shifts = case.op, [], False, _shifts(case).copy()
    rows = _wrong_rows(case)
    if not 0 < len(rows) <= ROWS_MAX:
        return
    every = np.arange(SHIFT_MAX + 1)
    for row in rows:
        acc, got = _row(case.accumulator, row), _row(case.rows(case.got), row)
        fits = _fits(case, row, acc, got, shift=every[every != shifts[row]])
        if not len(fits):
            continue
        others |= len(fits) > 1
        nearest = int(fits[np.argmin(np.abs(fits - op.shift[row]))])
        found.append({"row": row, "shift": nearest, "stated": int(op.shift[row])})
        shifts[row] = nearest
    if found:
        parameters = {"channels": found} | ({"others_fit": True} if others else {})
        yield Change("shift_wrong_channel", {"shift": shifts}, parameters, _freedom(op, len(found), log2(SHIFT_MAX)))


def wrong_bias(case: Case) -> Iterator[Change]:
    """Some rows' biases, found from what came: another row's, or any."""
    if not case.alone:
        return
    op, found, others, biases = case.op, [], False, _biases(case).copy()
    rows = _wrong_rows(case)
    if not 0 < len(rows) <= ROWS_MAX or case.rule.bias == "none":
        return
    borrowed, own = [], biases.copy()
    for row in rows:
        acc, got = _row(case.accumulator, row), _row(case.rows(case.got), row)
        fits = _fits(case, row, acc, got, bias=_biases_tried(case, row, acc, got))
        fits = fits[fits != biases[row]]
        if not len(fits):
            continue
        others |= len(fits) > 1
        nearest = int(fits[np.argmin(np.abs(fits - op.bias[row]))])
        found.append({"row": row, "bias": nearest, "stated": int(op.bias[row])})
        biases[row] = nearest
        lenders = np.flatnonzero(np.isin(own, fits))
        if len(lenders):
            lender = int(lenders[np.argmin(np.abs(lenders - row))])
            more: dict[str, Any] = {"others_fit": True} if len(np.unique(own[lenders])) > 1 else {}
            borrowed.append({"row": row, "bias_of": lender, "bias": int(own[lender])} | more)
    if found:
        parameters = {"biases": found} | ({"others_fit": True} if others else {})
        yield Change("bias_corrupted", {"biases": biases}, parameters, _freedom(op, len(found), 9))
    if borrowed and len(borrowed) == len(found):
        lent = own.copy()
        for one in borrowed:
            lent[one["row"]] = one["bias"]
        freedom = _freedom(op, len(borrowed), log2(len(own)))
        yield Change("bias_wrong_channel", {"biases": lent}, {"channels": borrowed}, freedom)


def _biases_tried(case: Case, row: int, acc: Int64, got: Int64) -> Int64:
    """Biases that a row may have had: all of their format, of a wide one those that a value between the limits says."""
    number = bias_number(case.op.out)
    if number.codes <= _BIASES_MAX:
        return np.arange(number.low, number.high + 1)
    free = replace(case.rule, bias="none", limits=(-(1 << 60), 1 << 60), shift=_shifts(case)[row], biases=np.int64(0))
    inside = np.flatnonzero((got > case.op.out.low) & (got < case.op.out.high))[:1]
    return np.unique(got[inside] - requantised(case.op, acc[inside, None], free)[:, 0])


def wrong_weight(case: Case) -> Iterator[Change]:
    """One weight of some rows, found from what came."""
    if not case.alone:
        return
    op, found, others, weight = case.op, [], False, _weights(case).copy()
    rows = _wrong_rows(case)
    if not 0 < len(rows) <= ROWS_MAX:
        return
    for row in rows:
        fits = list(_weights_that_fit(case, row))
        if not fits:
            continue
        column, value = fits[0]
        others |= len(fits) > 1
        index = (row, column) if weight.ndim == 2 else (row,)
        found.append({"index": list(index), "weight": value, "stated": int(op.weight[index])})
        weight[index] = value
    if found:
        parameters = {"weights": found} | ({"others_fit": True} if others else {})
        bits = op.weight_number.bits + log2(op.weight.size)
        yield Change("weight_corrupted", {"weight": weight}, parameters, bits * len(found))


def _weights_that_fit(case: Case, row: int) -> Iterator[tuple[int, int]]:
    """Columns and values of a weight that make a whole row what it is."""
    op: Linear | Affine = case.op
    acc, got = _row(case.accumulator, row), _row(case.rows(case.got), row)
    x = case.rows(case.inputs[0])
    x = x.reshape(-1, x.shape[-1])
    if isinstance(op, Affine):
        x = x[:, row : row + 1]
    wrong = np.flatnonzero(_row(case.rows(case.wrong), row))
    right = np.setdiff1d(np.arange(len(acc)), wrong)
    stated = np.atleast_1d(_weights(case)[row])
    values = np.arange(op.weight_number.low, op.weight_number.high + 1)
    # A few values leave next to none of all columns and weights.
    few = np.concatenate([wrong[:_FEW], right[:_FEW]])
    step = values[None, :] - stated[:, None]
    tried = acc[few, None, None] + x[few][:, :, None] * step
    left = np.argwhere((_results(case, row, tried) == got[few, None, None]).all(axis=0) & (step != 0))
    for column, at in left:
        if np.array_equal(_results(case, row, acc + x[:, column] * step[column, at]), got):
            yield int(column), int(values[at])


def trials(case: Case) -> Iterator[Change]:
    """Every other shift and bias of the only row that is wrong, to be taken for granted."""
    rows, op = _wrong_rows(case), case.op
    if not case.alone or len(rows) != 1:
        return
    (row,) = rows
    number = bias_number(op.out)
    for shift in range(SHIFT_MAX + 1):
        if shift != op.shift[row]:
            shifts = op.shift.astype(np.int64)
            shifts[row] = shift
            found = {"row": row, "shift": shift, "stated": int(op.shift[row])}
            yield Change(
                "shift_wrong_channel", {"shift": shifts}, {"channels": [found]}, _freedom(op, 1, log2(SHIFT_MAX))
            )
    for bias in range(number.low, number.high + 1) if number.codes <= _BIASES_MAX else ():
        if bias != op.bias[row]:
            biases = op.bias.astype(np.int64)
            biases[row] = bias
            found = {"row": row, "bias": bias, "stated": int(op.bias[row])}
            yield Change("bias_corrupted", {"biases": biases}, {"biases": [found]}, _freedom(op, 1, 9))


def _row(values: Any, row: int) -> Any:
    """One row of sums, results or masks, of all images."""
    return values[..., row].reshape(-1)


def _shifts(case: Case) -> Int64:
    """Shifts by row, as far as they are taken for granted."""
    given = case.op.shift if case.rule.shift is None else case.rule.shift
    return np.broadcast_to(given, case.op.shift.shape).astype(np.int64)


def _biases(case: Case) -> Int64:
    given = case.op.bias if case.rule.biases is None else case.rule.biases
    return np.broadcast_to(given, case.op.bias.shape).astype(np.int64)


def _weights(case: Case) -> Int64:
    whole: Int64 = (case.op.weight if case.rule.weight is None else case.rule.weight).astype(np.int64)
    return whole


def _results(case: Case, row: Any, acc: Int64, **other: Any) -> Int64:
    """Results of sums of a row, or of rows, one for each, by what is taken for granted; with another shift or bias."""
    shift, bias = other.get("shift", _shifts(case)[row]), other.get("bias", _biases(case)[row])
    return requantised(case.op, acc, replace(case.rule, shift=shift, biases=bias))


def _fits(case: Case, row: int, acc: Int64, got: Int64, **tried: Int64) -> Int64:
    """Shifts or biases, of those that are tried, that make a whole row what it is."""
    ((name, values),) = tried.items()
    few = np.linspace(0, len(acc) - 1, min(len(acc), _SAMPLES)).astype(np.int64)
    made = _results(case, row, acc[few, None], **{name: values})
    left: Int64 = values[(made == got[few, None]).all(axis=0)]
    whole = [v for v in left if np.array_equal(_results(case, row, acc, **{name: np.int64(v)}), got)]
    return np.array(whole, np.int64)


def _wrong_rows(case: Case) -> list[int]:
    wrong = case.rows(case.wrong)
    return [int(row) for row in np.flatnonzero(wrong.reshape(-1, wrong.shape[-1]).any(axis=0))]


def _freedom(op: Linear | Affine, rows: int, bits: float) -> float:
    return rows * (bits + log2(op.shift.size))


FITTED = (wrong_product, wrong_shift, wrong_bias, wrong_weight)
"""Hypotheses that find their parameters in the trace, also beside a change that is taken for granted."""
HYPOTHESES = (
    rounding, bias, shift, overflow, relu, weights, by_contract, double_rounding, products, neighbours_bias, *FITTED,
)  # fmt: skip
"""The simplest first."""
