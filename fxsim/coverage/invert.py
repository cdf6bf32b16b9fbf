"""Stimuli of a node turned into those of a tensor before it, where one value decides each result between them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fxsim.contract import Number
from fxsim.engines import apply
from fxsim.graph import Graph, Node
from fxsim.operators import (
    FEATURE_MAPS,
    Add,
    Affine,
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

Inverse = Callable[[Node, Any, Number, tuple[int, ...]], tuple[Any, Any]]
"""From a node, values of its result and the format and shape of its input: values of that, and which are right."""


def invert(graph: Graph, values: Any, tap: str, until: str) -> Any | None:
    """Values of the tensor `until` [image, ...] of which the model makes `values` at `tap`.

    None where an operator between them sums over more than one value, or joins two. Images in which a value cannot be
    had at its place are made as near as they can be: what they hit is counted as what they make, not as what was meant.
    """
    while tap != until:
        node = graph.by_name.get(tap)
        if node is None or len(node.inputs) != 1:
            return None
        row = INVERSES.rows[type(node.op)]
        if isinstance(row, NotTaken):
            return None
        source = graph.tensors[node.inputs[0]]
        values, _ = row(node, values, source.number, source.shape)
        tap = node.inputs[0]
    return values


def _unary(node: Node, values: Any, number: Number, _shape: tuple[int, ...]) -> tuple[Any, Any]:
    """By channel, the input nearest to 0 whose result is the one wanted, or the nearest to it that there is."""
    channels = values.shape[-1]
    codes = np.arange(number.low, number.high + 1)
    codes = codes[np.argsort(np.abs(codes), kind="stable")]
    every = np.broadcast_to(codes[:, None], (len(codes), channels)).astype(number.dtype)
    results = apply(node, every).astype(np.int64)
    flat = values.reshape(-1, channels).astype(np.int64)
    found = np.empty(flat.shape, number.dtype)
    right = np.empty(flat.shape, np.bool_)
    for channel in range(channels):
        wanted, back = np.unique(flat[:, channel], return_inverse=True)
        distance = np.abs(results[:, channel][None] - wanted[:, None])
        nearest = distance.argmin(axis=1)
        found[:, channel] = codes[nearest][back]
        right[:, channel] = (distance.min(axis=1) == 0)[back]
    return found.reshape(values.shape), right.reshape(values.shape)


def _pool(node: Node, values: Any, number: Number, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """An average of values that are all the same is that value."""
    assert isinstance(node.op, Pool)
    spread = np.broadcast_to(values[:, None], (len(values), *shape)).astype(number.dtype)
    return np.ascontiguousarray(spread), np.ones(spread.shape, np.bool_)


_SUMS = NotTaken("because a result depends on more than one value")

INVERSES: OperatorTable[Inverse] = OperatorTable(
    "the inversion of stimuli",
    {
        Affine: _unary,
        Lut: _unary,
        Relu: _unary,
        Pool: _pool,
        Linear: _SUMS,
        Add: _SUMS,
        Conv: _SUMS,
        MaxPool: _SUMS,
        **dict.fromkeys((Threshold, *FEATURE_MAPS), NotTaken("because no accelerator, whose parts need it, has it")),
    },
)
"""The inverse of each operator."""
