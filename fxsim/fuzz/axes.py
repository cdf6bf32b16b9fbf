"""Axes of a graph that are of one size for one reason, and a graph with less along one of them."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract import Tensor
from fxsim.contract.arithmetic import Integers
from fxsim.graph import INPUT, Graph, Node
from fxsim.operators import (
    ORDERS,
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
    Operator,
    OrderedLinear,
    Pad,
    Pool,
    Position,
    Prelu,
    Rescale,
    SumPool,
    Threshold,
    WeightedAdd,
)

Index = npt.NDArray[np.intp]
Place = tuple[str, int]
"""An axis of a tensor, counted from the last: -1 are channels."""


def classes(graph: Graph) -> tuple[frozenset[Place], ...]:
    """Sets of axes that can only be cut together, in the order of data: a residual path's channels are all one."""
    parent: dict[Place, Place] = {
        (name, -1 - axis): (name, -1 - axis) for name, t in graph.tensors.items() for axis in range(len(t.axes))
    }

    def root(place: Place) -> Place:
        while parent[place] != place:
            place = parent[place]
        return place

    for node in graph.nodes:
        for name in node.inputs:
            for one, other in _shared(node.op, len(graph.tensors[name].axes)):
                parent[root((name, one))] = root((node.name, other))
    found: dict[Place, set[Place]] = {}
    for place in parent:
        found.setdefault(root(place), set()).add(place)
    return tuple(frozenset(places) for places in found.values())


def _shared(op: Operator, axes: int) -> Iterator[tuple[int, int]]:
    """Axes of an input, and those of the result that are as long because it is."""
    for axis in range(-axes, 0):
        if isinstance(op, Linear):
            if axis != _summed(op):
                yield axis, axis
        elif isinstance(op, Pool):
            if axis == -1:
                yield -1, -1
            elif axis < -2:
                yield axis, axis + 1
        elif isinstance(op, (Conv, Matmul, *ORDERS)):
            # Rows and columns of the result follow from those of the input; products are of two tensors' axes.
            continue
        elif isinstance(op, MaxPool | SumPool | Pad | Position):
            if axis == -1:
                yield -1, -1
        elif isinstance(op, OrderedLinear | Encode | Argmax | Concat):
            if axis != -1:
                yield axis, axis
        else:
            yield axis, axis


def _summed(op: Linear) -> int:
    return -2 if op.over is Axis.TOKENS else -1


def size_of(graph: Graph, places: frozenset[Place]) -> int:
    """The size along axes of one class."""
    name, axis = next(iter(places))
    return graph.shapes[name][axis]


def cut(graph: Graph, x: Integers, places: frozenset[Place], index: Index) -> tuple[Graph, Integers]:
    """The graph and its images with these of a class's places alone. ModelError where that is no graph."""
    tensor = graph.input
    shape = list(tensor.shape)
    for axis in range(-len(shape), 0):
        if (INPUT, axis) in places:
            shape[axis] = len(index)
            x = np.ascontiguousarray(x.take(index, axis))
    nodes = [Node(node.name, _cut(node, places, index), node.inputs) for node in graph.nodes]
    return Graph(Tensor(tensor.axes, tuple(shape), tensor.number), nodes), x


def _cut(node: Node, places: frozenset[Place], index: Index) -> Operator:
    op, source = node.op, node.inputs[0]
    if isinstance(op, Linear):
        axis = _summed(op)
        if (source, axis) in places:
            op = dataclasses.replace(op, weight=op.weight[:, index])
        if (node.name, axis) in places:
            op = dataclasses.replace(op, weight=op.weight[index], bias=op.bias[index], shift=op.shift[index])
    elif isinstance(op, Affine) and (source, -1) in places:
        op = dataclasses.replace(op, weight=op.weight[index], bias=op.bias[index], shift=op.shift[index])
    elif isinstance(op, Lut) and (source, -1) in places:
        op = dataclasses.replace(op, table=op.table[index])
    elif isinstance(op, Pool) and (source, -2) in places:
        op = dataclasses.replace(op, tokens=len(index))
    elif isinstance(op, Conv | OrderedLinear):
        op = _cut_sum(op, (source, -1) in places, (node.name, -1) in places, index)
    elif (source, -1) in places:
        op = _cut_channels(op, index)
    return op


def _cut_sum(op: Conv | OrderedLinear, inputs: bool, outputs: bool, index: Index) -> Operator:
    """A sum over some of its inputs, or with some of its outputs alone; of groups only one stays of each channel."""
    weight = op.weight
    changed: dict[str, Any] = {}
    if inputs and not (isinstance(op, Conv) and op.groups > 1):
        weight = weight[..., index]
    if outputs and isinstance(op, OrderedLinear):
        changed = {"bias": op.bias[index], "shift": op.shift[index]}
    if outputs and not (isinstance(op, Conv) and op.groups > 1):
        weight = weight[index]
    if isinstance(op, Conv) and op.groups > 1 and inputs and weight.shape[3] == 1 and len(weight) == op.groups:
        weight, changed = weight[index], {"groups": len(index)}
    return dataclasses.replace(op, weight=weight, **changed)


def _cut_channels(op: Operator, index: Index) -> Operator:
    """An operator that reads some channels alone."""
    match op:
        case Threshold():
            return dataclasses.replace(op, threshold=op.threshold[index], rising=op.rising[index])
        case Encode() | Gate():
            return dataclasses.replace(op, threshold=op.threshold[index])
        case MultiplyAdd():
            return dataclasses.replace(op, weight=op.weight[index], bias=op.bias[index], shift=op.shift[index])
        case Prelu():
            return dataclasses.replace(op, weight=op.weight[index], shift=op.shift[index])
        case WeightedAdd():
            return dataclasses.replace(op, weight=op.weight[:, index], shift=op.shift[index])
        case Rescale():
            fields = ("addend", "multiplier", "shift", "bias")
            return dataclasses.replace(op, **{name: getattr(op, name)[index] for name in fields})
        case Pad():
            return dataclasses.replace(op, value=op.value[index])
        case Position():
            return dataclasses.replace(op, table=op.table[:, index])
        case Argmax():
            return dataclasses.replace(op, classes=min(op.classes, len(index)))
    return op
