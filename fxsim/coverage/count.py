"""Counting: which points of a model's nodes values have hit, of as many images as there are, in flat memory."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fxsim.coverage.points import SUM, Bools, Group, Int64, NodePoints, node_points
from fxsim.errors import ModelError, StimulusError
from fxsim.graph import Graph, Model, Node

_AT_ONCE = 1 << 21
"""Values of one quantity that are looked at together."""
_TABLE_MAX = 1 << 26
"""Most values by rows of which is noted which there were; of wider inputs each is counted by itself."""


class NodeCounter:
    """The points of one node that were hit: of its inputs' values, [image, ...] each."""

    def __init__(self, graph: Graph, node: Node) -> None:
        self.points: NodePoints = node_points(graph, node)
        self.inputs = node.inputs
        self.samples = 0
        self._bound = node.op.accumulator_range(*graph.inputs_of(node))
        self._hits = [np.zeros(len(group), np.bool_) for group in self.points.groups]
        # Of a node whose rows each depend on one value: which values there were, [code, row].
        number = self.points.number
        self._noted = self.points.unary and (number.high - number.low + 1) * self.points.rows <= _TABLE_MAX
        self._present = np.zeros((number.high - number.low + 1 if self._noted else 0, self.points.rows), np.bool_)

    def add(self, *inputs: Any) -> None:
        """Count the values of more images, all of the format of their tensors."""
        self.samples += len(inputs[0])
        size = inputs[0][:1].size
        if self._noted:
            values = inputs[0].reshape(-1, self.points.rows).astype(np.int64) - self.points.number.low
            self._present[values, np.arange(self.points.rows)] = True
            return
        work = max(1, size, size // inputs[0].shape[-1] * self.points.rows, self.points.size_of_image)
        together = max(1, _AT_ONCE // work)
        for start in range(0, len(inputs[0]), together):
            part = [values[start : start + together] for values in inputs]
            if self.points.unary:
                part = [values.reshape(-1, self.points.rows).astype(np.int64) for values in part]
            self._count(self.points.quantities(*part), self._hits)

    def hits(self) -> list[Bools]:
        """By group, whether each point was hit."""
        return self.hits_of(self._present, self.points.number.low) if self._noted else self._hits

    def hits_of(self, present: Bools, low: int) -> list[Bools]:
        """By group, the points that a unary node's inputs hit, of values bool [value - low, row]."""
        found = [np.zeros(len(group), np.bool_) for group in self.points.groups]
        before = np.zeros((len(present) + 1, present.shape[1]), np.int32)
        np.cumsum(present, axis=0, out=before[1:])
        for group, hit in zip(self.points.groups, found, strict=True):
            if group.between:
                first = np.clip(group.low - low, 0, len(present))
                last = np.clip(group.high - low + 1, 0, len(present))
                hit[:] = (last > first) & (before[last, group.rows] > before[first, group.rows])
        used = np.flatnonzero(present.any(axis=1))
        if len(used):
            codes = np.broadcast_to(used[:, None] + low, (len(used), present.shape[1]))
            self._count(self.points.quantities(codes), found, present[used])
        return found

    def _count(self, quantities: Mapping[str, Int64], hits: list[Bools], present: Bools | None = None) -> None:
        if self._bound is not None:
            self._check(quantities[SUM])
        for group, hit in zip(self.points.groups, hits, strict=True):
            # What lies between two values of an input was looked up, where it was noted which there were.
            if present is None or not group.between:
                _count_group(group, quantities[group.quantity], hit, present)

    def _check(self, sums: Int64) -> None:
        """ModelError where a sum lies beyond the bound that is proved of it: then no point of it is worth anything."""
        assert self._bound is not None
        low, high = self._bound
        wrong = (sums < low) | (sums > high)
        if wrong.any():
            at = np.argwhere(wrong)[0]
            raise ModelError(
                f"node '{self.points.node}', row {int(at[1])}: a sum is {int(sums[tuple(at)])}, "
                f"beyond the proved bound [{int(low.min())}, {int(high.max())}]"
            )


def _count_group(group: Group, values: Int64, hit: Bools, present: Bools | None) -> None:
    """Mark the points that values [samples, rows] hit; where `present` [samples, rows] is given, only those count."""
    left = np.flatnonzero(~hit)
    width = max(1, _AT_ONCE // max(1, len(values)))
    for start in range(0, len(left), width):
        points = left[start : start + width]
        rows = group.rows[points]
        found = group.holds(values[:, rows], points)
        if present is not None:
            found &= present[:, rows]
        hit[points] |= found.any(axis=0)


class Counter:
    """The points of all nodes of a model that were hit."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.nodes = {node.name: NodeCounter(model.graph, node) for node in model.graph.nodes}

    def add(self, values: Mapping[str, Any], nodes: Iterable[str] | None = None) -> None:
        """Count images' values by tensor, the input included: of `nodes`, by default all whose inputs are there.

        StimulusError where values do not have a tensor's format or shape.
        """
        for name, found in values.items():
            tensor = self.model.graph.tensors[name]
            if found.dtype != tensor.number.dtype or found.shape[1:] != tensor.shape or not tensor.number.holds(found):
                raise StimulusError(f"values of '{name}' are {found.dtype} {found.shape}, expected images of {tensor}")
        for name in self.nodes if nodes is None else nodes:
            counter = self.nodes[name]
            if all(source in values for source in counter.inputs):
                counter.add(*(values[source] for source in counter.inputs))
