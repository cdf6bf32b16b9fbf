"""An integer model's network in float32, as plain numpy: not the same answer, but what is at hand otherwise."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Int8
from fxsim.graph import INPUT, Graph
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Pool, Relu

Float32 = npt.NDArray[np.float32]


def float_forward(graph: Graph) -> Callable[[Int8], Float32]:
    """The network in float32: weights scaled by their shifts, tables interpolated, nothing rounded or saturated."""
    steps = [(node.name, node.inputs, _float_step(node.op)) for node in graph.nodes]

    def forward(x: Int8) -> Float32:
        values: dict[str, Float32] = {INPUT: x.astype(np.float32)}
        for name, inputs, step in steps:
            values[name] = step(*(values[source] for source in inputs))
        return values[graph.output]

    return forward


def _float_step(op: Any) -> Callable[..., Float32]:
    if isinstance(op, Linear | Affine):
        scale = np.float32(0.5) ** op.shift.astype(np.float32)
        bias = op.bias.astype(np.float32)
        if isinstance(op, Affine):
            factor = op.weight * scale
            return lambda x: x * factor + bias
        weight = op.weight * scale[:, None]
        if op.over is Axis.TOKENS:
            return lambda x: weight @ x + bias[:, None]
        transposed = np.ascontiguousarray(weight.T)
        return lambda x: x @ transposed + bias
    if isinstance(op, Lut):
        points = op.table.astype(np.float32)
        channel, step, last = np.arange(len(points)), np.float32(256 / op.points), points.shape[1] - 2

        def interpolate(x: Float32) -> Float32:
            position = (x + np.float32(128)) / step
            segment = np.clip(position.astype(np.int32), 0, last)
            left = points[channel, segment]
            result: Float32 = left + (points[channel, segment + 1] - left) * (position - segment)
            return result

        return interpolate
    if isinstance(op, Add):
        return lambda x, r: x + r
    if isinstance(op, Pool):
        return lambda x: x.mean(axis=-2)
    assert isinstance(op, Relu)
    return lambda x: np.maximum(x, np.float32(0))
