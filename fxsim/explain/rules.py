"""Operators under other rules than the contract's: one function an operator, which takes what is done differently.

Independent of the engines: with a `Rule` of defaults these must give what the contract does, and a test holds that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fxsim import contract
from fxsim.contract import Number, TableRule
from fxsim.contract.arithmetic import Int64, Integers
from fxsim.contract.number import INT32
from fxsim.operators import (
    Add,
    Affine,
    Argmax,
    Axis,
    Concat,
    Conv,
    Encode,
    Flatten,
    Gate,
    Linear,
    Lut,
    Matmul,
    MaxPool,
    MultiplyAdd,
    OperatorTable,
    OrderedLinear,
    Pad,
    Pool,
    Position,
    Prelu,
    Relu,
    Rescale,
    Reshape,
    SumPool,
    Threshold,
    Transpose,
    WeightedAdd,
)

_SHIFT_MAX = 62


class Rounding(StrEnum):
    """The ways to treat the bits that a shift cuts off."""

    HALF_UP = "half_up"
    """To the nearest, ties towards plus infinity: the contract's."""
    FLOOR = "floor"
    CEILING = "ceiling"
    TOWARD_ZERO = "toward_zero"
    HALF_EVEN = "half_even"
    HALF_AWAY = "half_away"
    """Ties away from zero."""
    HALF_DOWN = "half_down"
    """Ties towards minus infinity."""
    HALF_TOWARD_ZERO = "half_toward_zero"


@dataclass(frozen=True)
class Rule:
    """The way in which a node is computed; the defaults are the contract's.

    `instead`: in place of the operator, of its inputs. `requantise`: in place of all that follows up to the limits, of
    accumulator, shift, bias and format.

    `first_cut`: bits that are cut off, rounded, before the rest is, which is rounded again (0: all at once). `bias`:
    `after` the shift, `none`, unscaled in the `accumulator`, or at its own scale `before` the shift. `biases`, `shift`,
    `weight`, `table`: in place of the operator's. `logical`: the accumulator is shifted as a number without sign.
    `acc_bits`: the accumulator wraps at so many (0: never). `overflow`: the result is clamped to `limits`, or wraps.
    `relu`: a rectifier `before` the bias, or none where there should be one. `operand`, `other`: in place of the
    inputs. `gather` puts the first input into another order, `arrange` the result. `only`: where the result is what the
    rule makes, broadcast over [channel] or [token, channel]; elsewhere it is the contract's.

    Of tables: `interpolate`, the segment's offset, bits of the fraction that count and whether it has a sign, the
    rule of the last segment, whether the next row is read past a row's end, what is `behind` the last row, and what is
    added to a value as its index.
    """

    instead: Callable[..., Int64] | None = None
    requantise: Callable[[Int64, Int64, Int64, Number], Int64] | None = None
    rounding: Rounding = Rounding.HALF_UP
    first_cut: int = 0
    bias: Literal["after", "none", "accumulator", "before"] = "after"
    biases: Int64 | np.int64 | None = None
    shift: Int64 | np.int64 | None = None
    weight: Int64 | None = None
    logical: bool = False
    acc_bits: int = 0
    overflow: Literal["clamp", "wrap"] = "clamp"
    limits: tuple[int, int] | None = None
    relu: Literal["as stated", "before bias", "missing"] = "as stated"
    operand: Int64 | None = None
    other: Int64 | None = None
    table: Int64 | None = None
    interpolate: bool = True
    segment: int = 0
    fraction_bits: int | None = None
    fraction_signed: bool = False
    edge: TableRule | None = None
    overrun: bool = False
    behind: int = 0
    index_offset: int | None = None
    gather: Callable[[Int64], Int64] | None = None
    arrange: Callable[[Int64], Int64] | None = None
    only: npt.NDArray[np.bool_] | None = None


CONTRACT = Rule()
"""The contract's own rule."""


def cut(values: Int64, bits: npt.ArrayLike, rounding: Rounding) -> Int64:
    """Values divided by 2^bits, rounded to whole numbers; `bits` 0 to 255, broadcast. At most 62 bits and sign."""
    shift = np.minimum(np.asarray(bits, np.int64), _SHIFT_MAX)
    half = (np.int64(1) << shift) >> 1  # 0 where nothing is cut off
    cuts = -(half > 0).astype(np.int64)  # all ones where something is
    below = np.maximum(half - 1, 0)
    # All that is wanted is added before the bits are cut off: few passes over many values.
    match rounding:
        case Rounding.FLOOR:
            moved = values + (half & 0)
        case Rounding.CEILING:
            moved = values + (half + below)
        case Rounding.TOWARD_ZERO:
            moved = values + ((values >> 63) & (half + below))
        case Rounding.HALF_UP:
            moved = values + half
        case Rounding.HALF_DOWN:
            moved = values + below
        case Rounding.HALF_EVEN:
            moved = values + below + ((values >> shift) & 1 & cuts)
        case Rounding.HALF_AWAY:
            moved = values + half + ((values >> 63) & cuts)
        case Rounding.HALF_TOWARD_ZERO:
            moved = values + below - ((values >> 63) & cuts)
    moved >>= shift
    result: Int64 = moved
    return result


def wrapped(values: Int64, number: Number) -> Int64:
    """Values of which only the low bits are kept, read as the number format."""
    code: Int64 = (values - number.low) & (number.codes - 1)
    return code + number.low


def _rounded(values: Int64, bits: Int64, rule: Rule) -> Int64:
    if rule.first_cut == 0:
        return cut(values, bits, rule.rounding)
    first = np.minimum(bits, rule.first_cut)
    return cut(cut(values, first, rule.rounding), bits - first, rule.rounding)


def _finished(values: Int64, number: Number, rule: Rule) -> Int64:
    if rule.overflow == "wrap":
        return wrapped(values, number)
    low, high = (number.low, number.high) if rule.limits is None else rule.limits
    limited: Int64 = np.clip(values, low, high)
    return limited


def sums(op: Linear | Affine, x: Int64, weight: Int64 | None = None) -> Int64:
    """The accumulator of a linear or affine: [image, ..., row], rows last."""
    w = op.weight.astype(np.int64) if weight is None else weight
    if isinstance(op, Affine):
        return x * w
    # Whole numbers below 2^53 are exact in float64, whatever the order of summation, and its product is far faster.
    # One product of two matrices: many small ones are far slower where threads of numpy's BLAS wait for each other.
    rows = np.ascontiguousarray(x, np.float64).reshape(-1, x.shape[-1])
    total: Int64 = (rows @ w.T.astype(np.float64)).astype(np.int64).reshape(*x.shape[:-1], -1)
    return total


def rows_last(op: Linear | Affine | Any, values: Int64) -> Int64:
    """Values with the axis of the operator's rows last; and back again."""
    return np.swapaxes(values, -1, -2) if isinstance(op, Linear) and op.over is Axis.TOKENS else values


def requantised(op: Linear | Affine, acc: Int64, rule: Rule) -> Int64:
    """A linear's or affine's result of its accumulator [..., row]; overflow included."""
    shift = op.shift.astype(np.int64) if rule.shift is None else rule.shift
    bias = op.bias.astype(np.int64) if rule.biases is None else rule.biases
    if rule.requantise is not None:
        return rule.requantise(acc, np.asarray(shift), np.asarray(bias), op.out)
    if rule.bias == "accumulator":
        acc = acc + bias
    elif rule.bias == "before":
        acc = acc + (bias << np.minimum(shift, 40))
    if rule.acc_bits:
        acc = wrapped(acc, Number(min(rule.acc_bits, 32))) if rule.acc_bits <= 32 else acc
    if rule.logical:
        acc = acc & ((np.int64(1) << op.acc_bits) - 1)
    values = _rounded(acc, np.asarray(shift), rule)
    if rule.relu == "before bias":
        values = np.maximum(values, 0)
    if rule.bias == "after":
        values = values + bias
    return _finished(values, op.out, rule)


def _requantising(op: Linear | Affine, rule: Rule, x: Int64) -> Int64:
    acc = sums(op, rows_last(op, x if rule.operand is None else rule.operand), rule.weight)
    return rows_last(op, requantised(op, acc, rule))


def _relu(_op: Relu, rule: Rule, x: Int64) -> Int64:
    x = x if rule.operand is None else rule.operand
    return x if rule.relu == "missing" else np.maximum(x, 0)


def _add(op: Add, rule: Rule, x: Int64, r: Int64) -> Int64:
    x, r = x if rule.operand is None else rule.operand, r if rule.other is None else rule.other
    return _finished(x + r, op.out, rule)


def _pool(op: Pool, rule: Rule, x: Int64) -> Int64:
    x = x if rule.operand is None else rule.operand
    total = x.sum(axis=-2)
    if rule.acc_bits:
        total = wrapped(total, Number(rule.acc_bits))
    bits = np.int64(op.tokens.bit_length() - 1) if rule.shift is None else rule.shift
    return _rounded(total, np.asarray(bits), rule)


def _lut(op: Lut, rule: Rule, x: Int64) -> Int64:
    x = x if rule.operand is None else rule.operand
    table = op.table.astype(np.int64) if rule.table is None else rule.table
    offset = -op.number.low if rule.index_offset is None else rule.index_offset
    code = (x + offset) & (op.number.codes - 1)
    channel = np.arange(table.shape[0])
    edge = op.rule if rule.edge is None else rule.edge
    if edge is TableRule.FULL:
        full: Int64 = table.ravel().take(code + channel * table.shape[1])
        return full
    points = op.points if rule.table is None else table.shape[1] - (edge is TableRule.ENDPOINT)
    bits = op.number.bits - (points.bit_length() - 1)
    segment = (code >> bits) + rule.segment
    fraction = code & ((1 << bits) - 1)
    if rule.fraction_bits is not None:
        # So many of the fraction's most significant bits count.
        fraction = (fraction >> (bits - rule.fraction_bits)) << (bits - rule.fraction_bits)
    if rule.fraction_signed:
        fraction = np.where(fraction >= 1 << bits >> 1, fraction - (1 << bits), fraction)
    last = table.shape[1] - 1
    if rule.overrun:
        flat = np.concatenate([table.ravel(), np.full(table.shape[1] + 2, rule.behind, np.int64)])
        place = channel * table.shape[1] + segment
        lower, upper = flat[np.maximum(place, 0)], flat[np.maximum(place + 1, 0)]
    else:
        if edge is TableRule.CLAMP:
            segment = np.minimum(segment, points - 2)
        segment = np.clip(segment, 0, last)
        lower, upper = table[channel, segment], table[channel, np.minimum(segment + 1, last)]
    between = _rounded((upper - lower) * fraction, np.asarray(bits), rule)
    values: Int64 = lower + between if rule.interpolate and bits else lower
    return wrapped(values, op.out) if rule.overflow == "wrap" else values


def _conv(op: Conv, rule: Rule, x: Int64) -> Integers:
    weight = op.weight if rule.weight is None else rule.weight
    return contract.conv(x, weight, op.stride, op.padding, op.dilation, op.groups, INT32)


def _sum_pool(op: SumPool, _rule: Rule, x: Int64) -> Integers:
    return contract.sum_pool(x, op.kernel, op.stride, op.divisor, op.rounding, op.limits, op.out)


COMPUTE: OperatorTable[Callable[..., Integers]] = OperatorTable(
    "an explanation",
    {
        Linear: _requantising,
        Affine: _requantising,
        Relu: _relu,
        Lut: _lut,
        Add: _add,
        Pool: _pool,
        Conv: _conv,
        MaxPool: lambda op, _, x: contract.max_pool(x, op.kernel, op.stride),
        Threshold: lambda op, _, x: contract.threshold(x, op.threshold, op.rising, op.levels),
        Encode: lambda op, _, x: contract.encode(x, op.threshold, op.out),
        MultiplyAdd: lambda op, _, x: contract.multiply_add(x, op.weight, op.bias, op.shift, op.out),
        WeightedAdd: lambda op, _, x, r: contract.weighted_add(x, r, op.weight, op.shift, op.out),
        Prelu: lambda op, _, x: contract.prelu(x, op.weight, op.shift, op.out),
        Gate: lambda op, _, x, g: contract.gate(x, g, op.threshold),
        Concat: lambda _op, _, x, r: contract.concat(x, r),
        Flatten: lambda op, _, x: contract.flatten(x, op.order),
        Reshape: lambda op, _, x: contract.reshape(x, op.order, op.shape),
        Transpose: lambda op, _, x: contract.transpose(x, op.order),
        SumPool: _sum_pool,
        OrderedLinear: lambda op, _, x: contract.ordered_linear(x, op.weight, op.bias, op.shift, op.out),
        Pad: lambda op, _, x: contract.pad(x, op.value, op.padding),
        Rescale: lambda op, _, x: contract.rescale(x, op.addend, op.multiplier, op.shift, op.bias, op.rounding, op.out),
        Argmax: lambda op, _, x: contract.argmax(x, op.classes, op.out),
        Matmul: lambda op, _, x, r: contract.matmul(x, r, op.heads, op.transposed, INT32),
        Position: lambda op, _, x: contract.position(x, op.table, INT32),
    },
)
"""From an operator, a rule and its inputs' values, int64 [image, ...] each: its result under that rule."""


def compute(op: Any, rule: Rule, *inputs: Integers) -> Int64:
    """A node's result under a rule, int64 [image, ...]."""
    first, *rest = (x.astype(np.int64) for x in inputs)
    first = first if rule.gather is None else rule.gather(first)
    made = COMPUTE[type(op)](op, rule, first, *rest) if rule.instead is None else rule.instead(first, *rest)
    values: Int64 = made.astype(np.int64)
    values = values if rule.arrange is None else rule.arrange(values)
    return values if rule.only is None else np.where(rule.only, values, compute(op, CONTRACT, *inputs))
