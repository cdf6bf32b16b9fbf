"""The arithmetic of one wrong value, step by step, and what must have been done in its place."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fxsim.compare import Difference
from fxsim.contract import Number, TableRule
from fxsim.contract.arithmetic import Int64
from fxsim.contract.rescaling import rounded
from fxsim.explain.applied import changes_of
from fxsim.explain.locate import Located
from fxsim.explain.result import Fault
from fxsim.explain.rules import CONTRACT, Rule, compute
from fxsim.graph import Node
from fxsim.operators import (
    FEATURE_MAPS,
    Add,
    Affine,
    Axis,
    Conv,
    Linear,
    Lut,
    MaxPool,
    OperatorTable,
    Pool,
    Relu,
    Rescale,
    Threshold,
)

TERMS_SHOWN = 6
"""Most products of a sum that are written out: the greatest."""


class Step(NamedTuple):
    """One step: what is done, and with which numbers."""

    name: str
    text: str


Place = tuple[int, ...]


def steps_of(located: Located, tap: str) -> tuple[Step, ...]:
    """The steps of a faulty tap's first local difference: of the contract, of the trace's own inputs, then what came.

    None where a value is not known there.
    """
    state = next(state for state in located.states if state.tap == tap)
    node, first = located.model.graph.by_name[tap], state.first
    inputs = [located.inputs(name) for name in node.inputs]
    if first is None or not isinstance(first.got, int) or any(values is None for values in inputs):
        return ()
    known = [values[first.image] for values in inputs if values is not None]
    at = tuple(first.index.values())
    steps, value, unlimited = _STEPS[type(node.op)](node, known, at)
    assert value == first.expected, f"the steps of {tap} give {value}, the contract {first.expected}"
    return (*steps, *_instead(node, at, int(first.got), value, unlimited))


class Hidden(NamedTuple):
    """The first value that a fault's rule changes at a node that the trace does not have, and its steps."""

    first: Difference
    steps: tuple[Step, ...]


def hidden_steps(located: Located, fault: Fault) -> Hidden | None:
    """The arithmetic at the node that a fault's rule is at, where the trace has only what is behind it; else None."""
    if fault.node == fault.tap or fault.first is None:
        return None
    changes = changes_of(located, fault)
    node = located.model.graph.by_name[fault.node]
    inputs, right = [located.inputs(name) for name in node.inputs], located.again(node.name)
    if len(changes) != 1 or right is None or any(values is None for values in inputs):
        return None
    known = [values for values in inputs if values is not None]
    made = compute(node.op, Rule(**changes[0].fields), *known)
    # In the image of the first wrong value, which it made wrong.
    wrong = np.argwhere(made[fault.first.image] != right[fault.first.image])
    if not len(wrong):
        return None
    image, at = fault.first.image, tuple(int(i) for i in wrong[0])
    steps, value, unlimited = _STEPS[type(node.op)](node, [values[image] for values in known], at)
    assert value == right[(image, *at)], f"the steps of {node.name} give {value}, the contract {right[(image, *at)]}"
    got = int(made[(image, *at)])
    axes = located.model.graph.tensors[node.name].axes
    first = Difference(image=image, tap=node.name, expected=value, got=got, index=dict(zip(axes, at, strict=True)))
    return Hidden(first, (*steps, *_instead(node, at, got, value, unlimited)))


def _instead(node: Node, at: Place, got: int, value: int, unlimited: int | None) -> tuple[Step, ...]:
    """The value that came, and what it must have been before bias and limits."""
    steps = [Step("came", f"{got:,} in place of {value:,}: {got - value:+,}")]
    op: Any = node.op
    number: Number | None = getattr(op, "out", None)
    if unlimited is None or number is None:
        return tuple(steps)
    if number.low < got < number.high and isinstance(op, Linear | Affine):
        bias = int(op.bias[_row(op, at)])
        steps.append(Step("so", f"less the bias {bias:,} it is {got - bias:,}, where {unlimited - bias:,} should be"))
    elif got in (number.low, number.high):
        limit = "at most" if got == number.low else "at least"
        steps.append(Step("so", f"{limit} {got:,} before the limits, where {unlimited:,} should be"))
    return tuple(steps)


def _requantised(acc: int, shift: int, bias: int, number: Number) -> tuple[list[Step], int, int]:
    """The steps from a sum to its result; the result, and what it was before the limits."""
    shifted = (acc + (1 << shift >> 1)) >> shift
    rest = acc - (acc >> shift << shift)
    half = 1 << shift >> 1
    where = "a tie" if shift and rest == half else "above one half" if rest > half else "below one half"
    part = f", rest {rest:,} of {1 << min(shift, 62):,}: {where}" if shift else ""
    low = acc >> shift
    steps = [
        Step("shift", f"{acc:,} / 2^{shift} = {low:,}{part}"),
        Step("round", f"half up: {shifted:,}"),
        Step("bias", f"{shifted:,} {_signed(bias)} = {shifted + bias:,}"),
        *_limited(shifted + bias, number),
    ]
    return steps, min(max(shifted + bias, number.low), number.high), shifted + bias


def _limited(value: int, number: Number) -> list[Step]:
    limited = min(max(value, number.low), number.high)
    note = "" if limited == value else f", from {value:,}"
    return [Step("limit", f"{number.low:,} to {number.high:,}: {limited:,}{note}")]


def _signed(value: int) -> str:
    return f"- {-value:,}" if value < 0 else f"+ {value:,}"


Made = tuple[list[Step], int, int | None]


def _linear(node: Node, inputs: list[Int64], at: Place) -> Made:
    op = node.op
    assert isinstance(op, Linear)
    (x,) = inputs
    over_tokens = op.over is Axis.TOKENS
    read = x[..., at[-1]] if over_tokens else x[at[:-1]]
    read = read[at[:-2]] if over_tokens and len(at) > 2 else read
    row = _row(op, at)
    return _sum(op, row, read.reshape(-1), op.weight[row].astype(np.int64))


def _row(op: Linear | Affine, at: Place) -> int:
    return at[-2] if isinstance(op, Linear) and op.over is Axis.TOKENS else at[-1]


def _affine(node: Node, inputs: list[Int64], at: Place) -> Made:
    op = node.op
    assert isinstance(op, Affine)
    return _sum(op, at[-1], inputs[0][at].reshape(1), op.weight[at[-1]].astype(np.int64).reshape(1))


def _sum(op: Linear | Affine, row: int, x: Int64, weight: Int64) -> Made:
    products = x * weight
    order = [int(i) for i in np.argsort(-np.abs(products), kind="stable")[:TERMS_SHOWN] if products[i]]
    shown = " ".join(f"{'+ ' if n else ''}{int(x[i]):,}*{int(weight[i]):,}" for n, i in enumerate(order))
    left = int(np.count_nonzero(products)) - len(order)
    more = f" and {left:,} product{'s' * (left > 1)} more" if left else ""
    acc = int(products.sum())
    steps, value, unlimited = _requantised(acc, int(op.shift[row]), int(op.bias[row]), op.out)
    return [Step("sum", f"{shown or 'nothing'}{more} = {acc:,}"), *steps], value, unlimited


def _relu(_node: Node, inputs: list[Int64], at: Place) -> Made:
    value = int(inputs[0][at])
    return [Step("rectify", f"max({value:,}, 0) = {max(value, 0):,}")], max(value, 0), None


def _add(node: Node, inputs: list[Int64], at: Place) -> Made:
    op = node.op
    assert isinstance(op, Add)
    one, other = (int(values[at]) for values in inputs)
    total = one + other
    limited = min(max(total, op.out.low), op.out.high)
    return [Step("sum", f"{one:,} {_signed(other)} = {total:,}"), *_limited(total, op.out)], limited, total


def _pool(node: Node, inputs: list[Int64], at: Place) -> Made:
    op = node.op
    assert isinstance(op, Pool)
    column = np.moveaxis(inputs[0], -2, -1)[at]
    total, shift = int(column.sum()), op.tokens.bit_length() - 1
    value = (total + (op.tokens >> 1)) >> shift
    rest = total - (total >> shift << shift)
    note = "a tie" if shift and 2 * rest == op.tokens else f"rest {rest:,} of {op.tokens:,}"
    steps = [
        Step("sum", f"{op.tokens:,} tokens: {total:,}"),
        Step("shift", f"{total:,} / {op.tokens:,} = {total >> shift:,}, {note}"),
        Step("round", f"half up: {value:,}"),
    ]
    return steps, value, None


def _lut(node: Node, inputs: list[Int64], at: Place) -> Made:
    op = node.op
    assert isinstance(op, Lut)
    x, row = int(inputs[0][at]), op.table[at[-1]]
    code = x - op.number.low
    if op.rule is TableRule.FULL:
        return [Step("entry", f"{x:,} is entry {code:,}: {int(row[code]):,}")], int(row[code]), None
    bits = op.number.bits - (op.points.bit_length() - 1)
    segment, fraction = code >> bits, code & ((1 << bits) - 1)
    used = min(segment, op.points - 2) if op.rule is TableRule.CLAMP else segment
    lower, upper = int(row[used]), int(row[min(used + 1, row.size - 1)])
    product = (upper - lower) * fraction
    between = (product + (1 << bits >> 1)) >> bits
    last = f", by the rule {op.rule} {used:,}" if used != segment else ""
    end = f" (the last; rule {op.rule})" if segment == op.points - 1 and not last else ""
    whole = 1 << bits
    product_text = f"({upper:,} - {lower:,}) * {fraction:,} / {whole:,} = {product:,} / {whole:,}"
    steps = [
        Step("index", f"{x:,} is code {code:,}: segment {segment:,}{last}{end}, fraction {fraction:,} of {whole:,}"),
        Step("points", f"{lower:,} and {upper:,}"),
        Step("between", f"{product_text}, half up: {between:,}"),
        Step("sum", f"{lower:,} {_signed(between)} = {lower + between:,}"),
    ]
    return steps, lower + between, None


def _conv(node: Node, inputs: list[Int64], at: Place) -> Made:
    op = node.op
    assert isinstance(op, Conv)
    i, j, output = at
    _, rows, columns, each = op.weight.shape
    first = output // (len(op.weight) // op.groups) * each
    x, outside = inputs[0], 0
    products: list[tuple[int, int]] = []
    for r, s in np.ndindex(rows, columns):
        row = i * op.stride[0] + r * op.dilation[0] - op.padding[0]
        column = j * op.stride[1] + s * op.dilation[1] - op.padding[1]
        if 0 <= row < x.shape[0] and 0 <= column < x.shape[1]:
            values = x[row, column, first : first + each].tolist()
            products += zip(values, op.weight[output, r, s].tolist(), strict=True)
        else:
            outside += each
    total = sum(v * w for v, w in products)
    greatest = sorted(products, key=lambda pair: -abs(pair[0] * pair[1]))[:TERMS_SHOWN]
    shown = " + ".join(f"{v:,}*{w:,}" for v, w in greatest if v * w)
    left = sum(1 for v, w in products if v * w) - sum(1 for v, w in greatest if v * w)
    more = f" and {left:,} more" if left else ""
    around = f"; {outside:,} products lie outside and add nothing" if outside else ""
    return [Step("sum", f"{shown}{more} = {total:,}{around}")], total, None


def _threshold(node: Node, inputs: list[Int64], at: Place) -> Made:
    op = node.op
    assert isinstance(op, Threshold)
    x, limits, up = int(inputs[0][at]), op.threshold[at[-1]].tolist(), bool(op.rising[at[-1]])
    passed = [t for t in limits if (x >= t if up else x <= t)]
    value = int(op.levels[len(passed)])
    sign = ">=" if up else "<="
    text = f"{x:,} {sign} {len(passed)} of the {len(limits)} thresholds: level {len(passed)}, {value:,}"
    return [Step("thresholds", text)], value, None


def _max_pool(node: Node, inputs: list[Int64], at: Place) -> Made:
    op = node.op
    assert isinstance(op, MaxPool)
    top, left = (place * step for place, step in zip(at[:2], op.stride, strict=True))
    values = inputs[0][top : top + op.kernel[0], left : left + op.kernel[1], at[2]].ravel().tolist()
    shown = ", ".join(f"{v:,}" for v in values[:TERMS_SHOWN]) + (", ..." if len(values) > TERMS_SHOWN else "")
    return [Step("window", f"the greatest of {shown}: {max(values):,}")], max(values), None


def _rescale(node: Node, inputs: list[Int64], at: Place) -> Made:
    op = node.op
    assert isinstance(op, Rescale)
    x, channel = int(inputs[0][at]), at[-1]
    addend, multiplier = int(op.addend[channel]), int(op.multiplier[channel])
    shift, bias = int(op.shift[channel]), int(op.bias[channel])
    product = (x + addend) * multiplier
    quotient = int(rounded(np.array(product), np.array(shift), op.rounding))
    value = quotient + bias
    steps = [
        Step("product", f"({x:,} {_signed(addend)})*{multiplier:,} = {product:,}"),
        Step("rounded", f"{product:,} / 2^{shift}, {op.rounding}: {quotient:,}"),
        Step("bias", f"{quotient:,} {_signed(bias)} = {value:,}"),
    ]
    return steps, min(max(value, op.out.low), op.out.high), value


def _plain(node: Node, inputs: list[Int64], at: Place) -> Made:
    """The value that an operator gives, which is not told in steps."""
    value = int(compute(node.op, CONTRACT, *(x[None] for x in inputs))[0][at])
    return [Step("result", f"{node.op.kind} gives {value:,}")], value, None


_STEPS: OperatorTable[Callable[[Node, list[Int64], Place], Made]] = OperatorTable(
    "the arithmetic of an explanation",
    {
        Linear: _linear,
        Affine: _affine,
        Relu: _relu,
        Add: _add,
        Pool: _pool,
        Lut: _lut,
        Conv: _conv,
        MaxPool: _max_pool,
        Threshold: _threshold,
        **dict.fromkeys(FEATURE_MAPS, _plain),
        Rescale: _rescale,
    },
)
"""From a node, its inputs in one image and a place of its result: steps, result, what it was before the limits."""
