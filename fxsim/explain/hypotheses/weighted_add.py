"""Sums of two with a weight each: other roundings, parts shifted one by one, weights exchanged, a lost input."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from fxsim import contract
from fxsim.contract import SHIFT_MAX
from fxsim.contract.arithmetic import Int64
from fxsim.explain.case import Case, Change
from fxsim.explain.rules import CONTRACT, Rounding, cut, wrapped
from fxsim.operators import WeightedAdd


def _total(op: WeightedAdd, x: Int64, r: Int64) -> Int64:
    first, second = op.weight.astype(np.int64)
    found: Int64 = x * first + r * second
    return found


def roundings(case: Case) -> Iterator[Change]:
    """Every other rounding of the shift; and each product shifted and rounded by itself, before they are added up."""
    op: WeightedAdd = case.op
    if not op.shift.any():
        return
    for other in Rounding:
        if other is not CONTRACT.rounding:
            yield Change(f"rounding_{other}", {"instead": partial(_rounded, op, other)})
    yield Change("parts_shifted", {"instead": partial(_in_parts, op)})


def _rounded(op: WeightedAdd, rounding: Rounding, x: Int64, r: Int64) -> Int64:
    return contract.saturate(cut(_total(op, x, r), op.shift, rounding), op.out).astype(np.int64)


def _in_parts(op: WeightedAdd, x: Int64, r: Int64) -> Int64:
    first, second = op.weight.astype(np.int64)
    parts = cut(x * first, op.shift, CONTRACT.rounding) + cut(r * second, op.shift, CONTRACT.rounding)
    return contract.saturate(parts, op.out).astype(np.int64)


def constants(case: Case) -> Iterator[Change]:
    """Weights of the inputs exchanged, the first channel's weights and shift for all, shifts of one more or less."""
    op: WeightedAdd = case.op
    exchanged = replace(op, weight=op.weight[::-1].copy())
    first = replace(
        op, weight=np.repeat(op.weight[:, :1], op.weight.shape[1], axis=1), shift=np.full_like(op.shift, op.shift[0])
    )
    if exchanged != op:
        yield Change("weights_exchanged", {"instead": partial(_made, exchanged)})
    if first != op:
        yield Change("weights_shared", {"instead": partial(_made, first)})
    if op.shift.max() < SHIFT_MAX:
        yield Change("shift_plus_one", {"instead": partial(_made, replace(op, shift=op.shift + np.uint8(1)))})
    if op.shift.min() > 0:
        yield Change("shift_minus_one", {"instead": partial(_made, replace(op, shift=op.shift - np.uint8(1)))})


def _made(op: WeightedAdd, x: Int64, r: Int64) -> Int64:
    return contract.weighted_add(x, r, op.weight, op.shift, op.out).astype(np.int64)


def lost(case: Case) -> Iterator[Change]:
    """One of the two inputs dropped."""
    op: WeightedAdd = case.op
    names = case.node.inputs
    for at, (name, other) in enumerate(zip(names, names[::-1], strict=True)):
        weight = op.weight.copy()
        weight[at] = 0
        one = replace(op, weight=weight)
        yield Change("residual_dropped", {"instead": partial(_made, one)}, {"dropped": name, "kept": other})


def overflow(case: Case) -> Iterator[Change]:
    """A result that wraps."""
    yield Change("saturation_wrap", {"instead": partial(_wrapped, case.op)})


def _wrapped(op: WeightedAdd, x: Int64, r: Int64) -> Int64:
    return wrapped(cut(_total(op, x, r), op.shift, CONTRACT.rounding), op.out)


WEIGHTED_ADD: tuple[Callable[[Case], Iterator[Change]], ...] = (roundings, constants, lost, overflow)
