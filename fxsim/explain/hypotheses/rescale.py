"""Products with a multiplier: other roundings, float32 in place of integers, a constant of another channel or none."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from fxsim import contract
from fxsim.contract import RESCALE_SHIFT_MAX, Rounding
from fxsim.contract.arithmetic import Int64
from fxsim.contract.rescaling import rounded
from fxsim.explain.case import Case, Change
from fxsim.explain.rules import wrapped
from fxsim.operators import Rescale


def roundings(case: Case) -> Iterator[Change]:
    """Every other rounding of the product."""
    for other in Rounding:
        if other is not case.op.rounding:
            label = "double_rounding" if other is Rounding.DOUBLE else f"rounding_{other}"
            yield Change(label, {"instead": partial(_made, replace(case.op, rounding=other))})
    yield Change("rounding_toward_zero", {"instead": partial(_toward_zero, case.op)})


def _made(op: Rescale, x: Int64) -> Int64:
    values = contract.rescale(x, op.addend, op.multiplier, op.shift, op.bias, op.rounding, op.out)
    return values.astype(np.int64)


def _toward_zero(op: Rescale, x: Int64) -> Int64:
    product = (x + op.addend) * op.multiplier
    quotient = np.sign(product) * (np.abs(product) >> op.shift.astype(np.int64))
    return contract.saturate(quotient + op.bias, op.out).astype(np.int64)


def float_scale(case: Case) -> Iterator[Change]:
    """The accumulator and the scale in float32, their product rounded to the nearest, ties to the even one."""
    yield Change("float32_scale", {"instead": partial(_in_float32, case.op)})


def _in_float32(op: Rescale, x: Int64) -> Int64:
    scale = np.ldexp(op.multiplier.astype(np.float32), -op.shift.astype(np.int32))
    product = np.rint((x + op.addend).astype(np.float32) * scale.astype(np.float32)).astype(np.int64)
    return contract.saturate(product + op.bias, op.out).astype(np.int64)


def constants(case: Case) -> Iterator[Change]:
    """A bias that is dropped, shifts of one more or less, and the first channel's scale for all of them."""
    op = case.op
    if op.addend.any():
        yield Change("addend_dropped", {"instead": partial(_made, replace(op, addend=np.zeros_like(op.addend)))})
    if op.bias.any():
        yield Change("bias_dropped", {"instead": partial(_made, replace(op, bias=np.zeros_like(op.bias)))})
    if op.shift.max() < RESCALE_SHIFT_MAX:
        yield Change("shift_plus_one", {"instead": partial(_made, replace(op, shift=op.shift + np.uint8(1)))})
    if op.shift.min() > 0:
        yield Change("shift_minus_one", {"instead": partial(_made, replace(op, shift=op.shift - np.uint8(1)))})
    first = replace(
        op, multiplier=np.full_like(op.multiplier, op.multiplier[0]), shift=np.full_like(op.shift, op.shift[0])
    )
    if first != op:
        yield Change("scale_shared", {"instead": partial(_made, first)})


def overflow(case: Case) -> Iterator[Change]:
    """A result that wraps, or is clamped before its bias and wraps then."""
    yield Change("saturation_wrap", {"instead": partial(_wrapped, case.op)})


def _wrapped(op: Rescale, x: Int64) -> Int64:
    wide = rounded((x + op.addend) * op.multiplier, op.shift, op.rounding) + op.bias
    return wrapped(wide, op.out)


RESCALE: tuple[Callable[[Case], Iterator[Change]], ...] = (roundings, float_scale, constants, overflow)
