"""The reference engine: plain numpy, node after node, the contract and nothing else. Meant to be read."""

import numpy as np

from fxsim import contract
from fxsim.contract.arithmetic import Int8
from fxsim.graph import INPUT, Graph
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Operator, Pool


def run_reference(graph: Graph, x: Int8, taps: tuple[str, ...]) -> dict[str, Int8]:
    """Every named tap for images `x`, int8 [image, token, value]: int8 [image, token, channel] or [image, channel]."""
    values: dict[str, Int8] = {INPUT: x}
    for node in graph.nodes:
        values[node.name] = _apply(node.op, [values[name] for name in node.inputs])
    return {name: values[name] for name in taps}


def _apply(op: Operator, inputs: list[Int8]) -> Int8:
    x = inputs[0]
    if isinstance(op, Linear):
        if op.over is Axis.TOKENS:
            # [image, token, channel]: sum over tokens, each channel on its own.
            y = contract.linear(np.swapaxes(x, 1, 2), op.weight, op.bias, op.shift)
            return np.ascontiguousarray(np.swapaxes(y, 1, 2))
        return contract.linear(x, op.weight, op.bias, op.shift)
    if isinstance(op, Affine):
        return contract.affine(x, op.weight, op.bias, op.shift)
    if isinstance(op, Lut):
        return contract.lookup(x, op.table, op.rule)
    if isinstance(op, Add):
        return contract.add(x, inputs[1])
    if isinstance(op, Pool):
        return contract.pool(x)
    return contract.relu(x)
