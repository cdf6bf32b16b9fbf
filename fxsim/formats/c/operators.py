"""The operators in C: which template is the body of each one's function, and the numbers that go into it.

The arithmetic is stated here anew, in `templates/`, and shares nothing with `fxsim.contract` or the engines.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from fxsim.contract import Shape, TableRule
from fxsim.graph import Graph, Node, accumulator_bound
from fxsim.operators import (
    ORDERS,
    Add,
    Affine,
    Argmax,
    Axis,
    Concat,
    Conv,
    Encode,
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
    SumPool,
    Threshold,
    WeightedAdd,
)

_INT32_BITS = 32


@dataclass(frozen=True)
class Body:
    """The body of an operator's function: the template that it is made of, and the values of its variables."""

    template: str
    values: Mapping[str, int | str | Shape]


def body_of(graph: Graph, node: Node) -> Body:
    """The body of a node's function; ModelError where its operator is not taken."""
    return BODIES[type(node.op)](graph, node)


def accumulator_type(graph: Graph, node: Node) -> str:
    """The C type of a node's sums: int32_t where no partial sum of any input can leave it, else int64_t."""
    bound = accumulator_bound(graph, node.name)
    return "int32_t" if bound is not None and bound.bits_needed <= _INT32_BITS else "int64_t"


def _linear(graph: Graph, node: Node) -> Body:
    op = node.op
    assert isinstance(op, Linear)
    (x,) = graph.inputs_of(node)
    outputs, inputs = op.weight.shape
    if op.over is Axis.TOKENS:
        values = {"outer": prod(x.shape[:-2]), "inputs": inputs, "outputs": outputs, "channels": x.shape[-1]}
        return Body("linear_tokens.c.j2", values)
    return Body("linear_channels.c.j2", {"rows": x.size // inputs, "inputs": inputs, "outputs": outputs})


def _affine(graph: Graph, node: Node) -> Body:
    (x,) = graph.inputs_of(node)
    return Body("affine.c.j2", {"rows": x.size // x.shape[-1], "channels": x.shape[-1]})


def _relu(graph: Graph, node: Node) -> Body:
    return Body("relu.c.j2", {"size": graph.tensors[node.name].size})


def _add(graph: Graph, node: Node) -> Body:
    return Body("add.c.j2", {"size": graph.tensors[node.name].size})


def _pool(graph: Graph, node: Node) -> Body:
    op = node.op
    assert isinstance(op, Pool)
    (x,) = graph.inputs_of(node)
    values = {"outer": prod(x.shape[:-2]), "tokens": op.tokens, "channels": x.shape[-1]}
    return Body("pool.c.j2", values | {"shift": op.tokens.bit_length() - 1})


def _lut(graph: Graph, node: Node) -> Body:
    op = node.op
    assert isinstance(op, Lut)
    (x,) = graph.inputs_of(node)
    channels, stored = op.table.shape
    values = {"rows": x.size // channels, "channels": channels, "stored": stored, "least": op.number.low}
    if op.rule is TableRule.FULL:
        return Body("lut_full.c.j2", values)
    fraction_bits = op.number.bits - (op.points.bit_length() - 1)
    reading: dict[str, int | str] = {"rule": str(op.rule), "step": 1 << fraction_bits, "fraction_bits": fraction_bits}
    return Body("lut_points.c.j2", values | reading)


def _conv(graph: Graph, node: Node) -> Body:
    op = node.op
    assert isinstance(op, Conv)
    outputs, rows, columns, each = op.weight.shape
    reading = {"kernel": (rows, columns), "stride": op.stride, "dilation": op.dilation, "padding": op.padding}
    values = {"outputs": outputs, "each": each, "share": outputs // op.groups}
    return Body("conv.c.j2", {**_image(graph, node), **reading, **values})


def _max_pool(graph: Graph, node: Node) -> Body:
    op = node.op
    assert isinstance(op, MaxPool)
    return Body("max_pool.c.j2", {**_image(graph, node), "kernel": op.kernel, "stride": op.stride})


def _image(graph: Graph, node: Node) -> dict[str, Shape]:
    """Rows, columns and channels of the image that a node reads, and of the places that it gives."""
    return {"size": graph.inputs_of(node)[0].shape, "places": graph.tensors[node.name].shape}


def _threshold(graph: Graph, node: Node) -> Body:
    op = node.op
    assert isinstance(op, Threshold)
    channels, steps = op.threshold.shape
    rows = graph.tensors[node.name].size // channels
    return Body("threshold.c.j2", {"rows": rows, "channels": channels, "steps": steps})


def _channelwise(template: str) -> Callable[[Graph, Node], Body]:
    """The body of an operator that gives, at each place, a channel for each of its input's."""

    def body(graph: Graph, node: Node) -> Body:
        x = graph.inputs_of(node)[0]
        return Body(template, {"rows": x.size // x.shape[-1], "channels": x.shape[-1]})

    return body


def _encode(graph: Graph, node: Node) -> Body:
    op = node.op
    assert isinstance(op, Encode)
    channels, steps = op.threshold.shape
    rows = graph.inputs_of(node)[0].size // channels
    return Body("encode.c.j2", {"rows": rows, "channels": channels, "steps": steps})


def _concat(graph: Graph, node: Node) -> Body:
    x, r = graph.inputs_of(node)
    channels = {"channels": x.shape[-1], "others": r.shape[-1]}
    return Body("concat.c.j2", {"rows": x.size // x.shape[-1], **channels})


def _order(graph: Graph, node: Node) -> Body:
    op: Any = node.op
    shape = graph.inputs_of(node)[0].shape
    steps = [prod(shape[place + 1 :]) for place in op.order]
    return Body("order.c.j2", {"sizes": tuple(shape[place] for place in op.order), "steps": tuple(steps)})


def _sum_pool(graph: Graph, node: Node) -> Body:
    op = node.op
    assert isinstance(op, SumPool)
    limits = op.limits
    values: dict[str, int | str | Shape] = {
        "kernel": op.kernel, "stride": op.stride, "divisor": op.divisor, "rounding": str(op.rounding),
    }  # fmt: skip
    ends = (0, 0) if limits is None else (limits.low, limits.high)
    saturating = {"saturating": int(op.saturating), "least": ends[0], "greatest": ends[1]}
    return Body("sum_pool.c.j2", {**_image(graph, node), **values, **saturating})


def _ordered_linear(graph: Graph, node: Node) -> Body:
    op = node.op
    assert isinstance(op, OrderedLinear)
    outputs, inputs = op.weight.shape
    rows = graph.inputs_of(node)[0].size // inputs
    return Body("ordered_linear.c.j2", {"rows": rows, "inputs": inputs, "outputs": outputs})


def _rescale(graph: Graph, node: Node) -> Body:
    op = node.op
    assert isinstance(op, Rescale)
    (x,) = graph.inputs_of(node)
    values: dict[str, int | str] = {
        "rows": x.size // x.shape[-1],
        "channels": x.shape[-1],
        "rounding": str(op.rounding),
    }
    return Body("rescale.c.j2", values)


def _pad(graph: Graph, node: Node) -> Body:
    op = node.op
    assert isinstance(op, Pad)
    return Body("pad.c.j2", {**_image(graph, node), "top": op.padding[0], "left": op.padding[1]})


def _matmul(graph: Graph, node: Node) -> Body:
    op = node.op
    assert isinstance(op, Matmul)
    x, r = graph.inputs_of(node)
    values = {"rows": prod(x.shape[:-1]), "others": prod(r.shape[:-1]), "heads": op.heads, "terms": op.terms}
    if op.transposed:
        return Body("matmul_transposed.c.j2", values)
    return Body("matmul.c.j2", values | {"each": r.shape[-1] // op.heads})


def _position(graph: Graph, node: Node) -> Body:
    return Body("position.c.j2", {"size": graph.tensors[node.name].size})


def _argmax(graph: Graph, node: Node) -> Body:
    op = node.op
    assert isinstance(op, Argmax)
    (x,) = graph.inputs_of(node)
    values = {"rows": x.size // x.shape[-1], "channels": x.shape[-1], "classes": op.classes}
    return Body("argmax.c.j2", values)


BODIES: OperatorTable[Callable[[Graph, Node], Body]] = OperatorTable(
    "the C export",
    {
        Linear: _linear, Affine: _affine, Relu: _relu, Add: _add, Pool: _pool, Lut: _lut, Conv: _conv,
        MaxPool: _max_pool, Threshold: _threshold, Encode: _encode,
        MultiplyAdd: _channelwise("multiply_add.c.j2"), WeightedAdd: _channelwise("weighted_add.c.j2"),
        Prelu: _channelwise("prelu.c.j2"), Gate: _channelwise("gate.c.j2"), Concat: _concat,
        **dict.fromkeys(ORDERS, _order),
        SumPool: _sum_pool, OrderedLinear: _ordered_linear, Argmax: _argmax, Rescale: _rescale, Pad: _pad,
        Matmul: _matmul, Position: _position,
    },
)  # fmt: skip
"""The body of each operator's C function."""
