"""An integer model's network in float32, as plain numpy: not the same answer, but what is at hand otherwise."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Int8
from fxsim.graph import INPUT, Graph
from fxsim.operators import (
    FEATURE_MAPS,
    Add,
    Affine,
    Axis,
    Conv,
    Linear,
    Lut,
    MaxPool,
    NotTaken,
    OperatorTable,
    Pool,
    Relu,
    Threshold,
)

Float32 = npt.NDArray[np.float32]


def float_forward(graph: Graph) -> Callable[[Int8], Float32]:
    """The network in float32: weights scaled by their shifts, tables interpolated, nothing rounded or saturated."""
    steps = [(node.name, node.inputs, FLOAT_STEP[type(node.op)](node.op)) for node in graph.nodes]

    def forward(x: Int8) -> Float32:
        values: dict[str, Float32] = {INPUT: x.astype(np.float32)}
        for name, inputs, step in steps:
            values[name] = step(*(values[source] for source in inputs))
        return values[graph.output]

    return forward


def _linear(op: Linear) -> Callable[..., Float32]:
    weight, bias = op.weight * _scale(op)[:, None], op.bias.astype(np.float32)
    if op.over is Axis.TOKENS:
        return lambda x: weight @ x + bias[:, None]
    transposed = np.ascontiguousarray(weight.T)
    return lambda x: x @ transposed + bias


def _affine(op: Affine) -> Callable[..., Float32]:
    factor, bias = op.weight * _scale(op), op.bias.astype(np.float32)
    return lambda x: x * factor + bias


def _scale(op: Linear | Affine) -> Float32:
    scale: Float32 = np.float32(0.5) ** op.shift.astype(np.float32)
    return scale


def _lut(op: Lut) -> Callable[..., Float32]:
    points = op.table.astype(np.float32)
    channel, last = np.arange(len(points)), points.shape[1] - 2
    low, step = np.float32(op.number.low), np.float32(op.number.codes / op.points)

    def interpolate(x: Float32) -> Float32:
        position = (x - low) / step
        segment = np.clip(position.astype(np.int32), 0, last)
        left = points[channel, segment]
        result: Float32 = left + (points[channel, segment + 1] - left) * (position - segment)
        return result

    return interpolate


_NOT_TAKEN = NotTaken("because the float32 network stands beside the compiled engine, which does not")

FLOAT_STEP: OperatorTable[Callable[..., Callable[..., Float32]]] = OperatorTable(
    "the float32 network",
    {
        Linear: _linear,
        Affine: _affine,
        Relu: lambda _op: lambda x: np.maximum(x, np.float32(0)),
        Lut: _lut,
        Add: lambda _op: lambda x, r: x + r,
        Pool: lambda _op: lambda x: x.mean(axis=-2),
        Conv: _NOT_TAKEN,
        MaxPool: _NOT_TAKEN,
        Threshold: _NOT_TAKEN,
        **dict.fromkeys(FEATURE_MAPS, _NOT_TAKEN),
    },
)
"""Each operator's float32 function of its inputs' values, images first."""
