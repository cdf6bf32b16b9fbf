"""The reference engine: plain numpy, node after node, the contract and nothing else. Meant to be read."""

from collections.abc import Callable

import numpy as np

from fxsim import contract
from fxsim.contract.arithmetic import Integers
from fxsim.graph import INPUT, Graph, Node
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


def run_reference(graph: Graph, x: Integers, taps: tuple[str, ...]) -> dict[str, Integers]:
    """Every named tap for images `x` [image, ...]: [image, ...] each, of its tensor's shape and numpy type."""
    values: dict[str, Integers] = {INPUT: x}
    for node in graph.nodes:
        values[node.name] = apply(node, *(values[name] for name in node.inputs))
    return {name: values[name] for name in taps}


def apply(node: Node, *inputs: Integers) -> Integers:
    """A node's result for its inputs' values, [image, ...] each."""
    return APPLY[type(node.op)](node.op, *inputs)


def _linear(op: Linear, x: Integers) -> Integers:
    if op.over is Axis.CHANNELS:
        return contract.linear(x, op.weight, op.bias, op.shift, op.out)
    # [image, token, channel]: sum over tokens, each channel on its own.
    y = contract.linear(np.swapaxes(x, -1, -2), op.weight, op.bias, op.shift, op.out)
    return np.ascontiguousarray(np.swapaxes(y, -1, -2))


def _affine(op: Affine, x: Integers) -> Integers:
    return contract.affine(x, op.weight, op.bias, op.shift, op.out)


def _relu(_op: Relu, x: Integers) -> Integers:
    return contract.relu(x)


def _lut(op: Lut, x: Integers) -> Integers:
    return contract.lookup(x, op.table, op.rule, op.number)


def _add(op: Add, x: Integers, r: Integers) -> Integers:
    return contract.add(x, r, op.out)


def _pool(_op: Pool, x: Integers) -> Integers:
    return contract.pool(x)


def _conv(op: Conv, x: Integers) -> Integers:
    return contract.conv(x, op.weight, op.stride, op.padding, op.dilation, op.groups, op.out)


def _max_pool(op: MaxPool, x: Integers) -> Integers:
    return contract.max_pool(x, op.kernel, op.stride)


def _threshold(op: Threshold, x: Integers) -> Integers:
    return contract.threshold(x, op.threshold, op.rising, op.levels)


def _encode(op: Encode, x: Integers) -> Integers:
    return contract.encode(x, op.threshold, op.out)


def _multiply_add(op: MultiplyAdd, x: Integers) -> Integers:
    return contract.multiply_add(x, op.weight, op.bias, op.shift, op.out)


def _weighted_add(op: WeightedAdd, x: Integers, r: Integers) -> Integers:
    return contract.weighted_add(x, r, op.weight, op.shift, op.out)


def _prelu(op: Prelu, x: Integers) -> Integers:
    return contract.prelu(x, op.weight, op.shift, op.out)


def _gate(op: Gate, x: Integers, g: Integers) -> Integers:
    return contract.gate(x, g, op.threshold)


def _concat(_op: Concat, x: Integers, r: Integers) -> Integers:
    return contract.concat(x, r)


def _flatten(op: Flatten, x: Integers) -> Integers:
    return contract.flatten(x, op.order)


def _reshape(op: Reshape, x: Integers) -> Integers:
    return contract.reshape(x, op.order, op.shape)


def _transpose(op: Transpose, x: Integers) -> Integers:
    return contract.transpose(x, op.order)


def _sum_pool(op: SumPool, x: Integers) -> Integers:
    return contract.sum_pool(x, op.kernel, op.stride, op.divisor, op.rounding, op.limits, op.out)


def _ordered_linear(op: OrderedLinear, x: Integers) -> Integers:
    return contract.ordered_linear(x, op.weight, op.bias, op.shift, op.out)


def _pad(op: Pad, x: Integers) -> Integers:
    return contract.pad(x, op.value, op.padding)


def _rescale(op: Rescale, x: Integers) -> Integers:
    return contract.rescale(x, op.addend, op.multiplier, op.shift, op.bias, op.rounding, op.out)


def _matmul(op: Matmul, x: Integers, r: Integers) -> Integers:
    return contract.matmul(x, r, op.heads, op.transposed, op.out)


def _position(op: Position, x: Integers) -> Integers:
    return contract.position(x, op.table, op.out)


def _argmax(op: Argmax, x: Integers) -> Integers:
    return contract.argmax(x, op.classes, op.out)


APPLY: OperatorTable[Callable[..., Integers]] = OperatorTable(
    "the reference engine",
    {
        Linear: _linear, Affine: _affine, Relu: _relu, Lut: _lut, Add: _add, Pool: _pool, Conv: _conv,
        MaxPool: _max_pool, Threshold: _threshold, Encode: _encode, MultiplyAdd: _multiply_add,
        WeightedAdd: _weighted_add, Prelu: _prelu, Gate: _gate, Concat: _concat, Flatten: _flatten,
        SumPool: _sum_pool, OrderedLinear: _ordered_linear, Argmax: _argmax,
        Rescale: _rescale, Pad: _pad, Matmul: _matmul, Position: _position,
        Reshape: _reshape, Transpose: _transpose,
    },
)  # fmt: skip
"""The function of each operator: its record and its inputs' values, images first, to its result's."""
