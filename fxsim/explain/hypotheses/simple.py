"""Operators with little to get wrong: rectifiers, sums of two, averages."""

from collections.abc import Iterator
from math import log2

import numpy as np

from fxsim.explain.case import Case, Change
from fxsim.explain.hypotheses.requantise import unsigned_limits
from fxsim.explain.rules import CONTRACT, Rounding
from fxsim.operators import Affine


def relu_missing(_case: Case) -> Iterator[Change]:
    """No rectifier at all."""
    yield Change("relu_missing", {"relu": "missing"})


def add_overflow(_case: Case) -> Iterator[Change]:
    """A sum that wraps."""
    yield Change("add_unsaturated_wrap", {"overflow": "wrap"})


def add_limits(case: Case) -> Iterator[Change]:
    """Other limits of a sum, and a rectifier behind it."""
    number = case.op.out
    if number.signed:
        limits = (-number.high, number.high)
        yield Change("saturation_limits", {"limits": limits}, {"limits": list(limits)})
        yield from unsigned_limits(case)
        yield Change("relu_added", {"limits": (0, number.high)})


def residual(case: Case) -> Iterator[Change]:
    """One of two inputs dropped, or taken before its affine."""
    names = case.node.inputs
    for field, name, other in zip(("operand", "other"), names, names[::-1], strict=True):
        zero = np.zeros_like(case.values[name])
        yield Change("residual_dropped", {field: zero}, {"dropped": name, "kept": other})
        made = case.before.get(name)
        if made is not None and isinstance(made.op, Affine) and made.inputs[0] in case.values:
            yield Change("residual_affine_skipped", {field: case.values[made.inputs[0]]}, {"affine": name})


def mean(case: Case) -> Iterator[Change]:
    """Other roundings and divisors of an average, and a narrower sum."""
    for other in Rounding:
        if other is not CONTRACT.rounding:
            yield Change(f"rounding_{other}", {"rounding": other})
    bits = case.op.tokens.bit_length() - 1
    yield Change("shift_plus_one", {"shift": np.int64(bits + 1)})
    if bits:
        yield Change("shift_minus_one", {"shift": np.int64(bits - 1)})
    for width in range(case.op.acc_bits - 1, 7, -1):
        yield Change("accumulator_width", {"acc_bits": width}, {"bits": width}, log2(32))


RELU = (relu_missing,)
ADD = (add_overflow, add_limits, residual)
POOL = (mean,)
