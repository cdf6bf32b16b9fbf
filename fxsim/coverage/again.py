"""Proofs of a coverage checked again, another way than they were made: by sets of Python integers, value after value.

What tensors can hold is computed again by `fxsim.prove.again`, which shares nothing with `fxsim.prove.reach`.
"""

from collections.abc import Callable, Iterator
from functools import reduce
from math import gcd
from typing import Any

import msgspec
import numpy as np

from fxsim.coverage.points import INPUT_VALUE, OPERAND, PRODUCT, Group, node_points
from fxsim.coverage.record import Coverage, GroupCoverage, NodeCoverage, States, unpacked
from fxsim.coverage.solve import INPUTS, PROOFS
from fxsim.coverage.sums import BOUND, MULTIPLES, SUMS
from fxsim.errors import FileError, ModelError
from fxsim.formats import model_sha256
from fxsim.graph import Graph, Model, Node, refuse_beyond_int8
from fxsim.operators import Add, Affine, Axis, Linear, Pool
from fxsim.prove.again import sets_again

SUMS_MAX = 1 << 22
"""Widest range of sums that is listed again."""

Sets = dict[tuple[int, ...], frozenset[int]]


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome: how many points' proofs were made again, by name; those that were not, and what is wrong."""

    proofs: dict[str, int]
    left_out: int
    wrong: tuple[str, ...]


def check_again(coverage: Coverage, model: Model, progress: Callable[[int, int], None] | None = None) -> Checked:
    """Check that a record's points are the model's, and every proof in it. FileError where it is another model's."""
    if model_sha256(model) != coverage.model_sha256:
        raise FileError(f"the coverage is of another model than '{model.name}': their hashes differ")
    proofs = dict.fromkeys(PROOFS, 0)
    wrong: list[str] = []
    left_out = 0
    sets = _value_sets(model.graph)
    if tuple(node.node for node in coverage.nodes) != model.graph.taps:
        raise FileError(f"the coverage has other nodes than model '{model.name}'")
    for done, (record, node) in enumerate(zip(coverage.nodes, model.graph.nodes, strict=True)):
        if progress is not None:
            progress(done, len(coverage.nodes))
        points = node_points(model.graph, node)
        if [(g.name, g.points) for g in record.groups] != [(g.name, len(g)) for g in points.groups]:
            raise FileError(f"node '{node.name}': the coverage has other points than the model")
        asked = _Node(model.graph, node, sets)
        wrong += _check_ends(record, asked)
        for group, kept in zip(points.groups, record.groups, strict=True):
            for proof, point in _proved(kept):
                answer = asked.none(group, point, proof)
                if answer is None:
                    left_out += 1
                    continue
                proofs[proof] = proofs.get(proof, 0) + 1
                if not answer:
                    wrong.append(f"{node.name}, {group.text(point)}: not proved by '{proof}'")
    return Checked(proofs=proofs, left_out=left_out, wrong=tuple(wrong))


def _proved(group: GroupCoverage) -> Iterator[tuple[str, int]]:
    States(group)
    for proof, bits in group.unreachable.items():
        for point in np.flatnonzero(unpacked(bits, group.points)).tolist():
            yield proof, point


def _value_sets(graph: Graph) -> dict[str, Any]:
    """The values of every place of every tensor: proved again, or all of the format where a tensor is not int8."""
    try:
        refuse_beyond_int8(graph, "the proof of reachable values")
    except ModelError:
        found: dict[str, Any] = {}
        for name, tensor in graph.tensors.items():
            tokens = tensor.size // tensor.shape[-1]
            every = frozenset(range(tensor.number.low, tensor.number.high + 1))
            found[name] = {(t, c): every for t in range(tokens) for c in range(tensor.shape[-1])}
        return found
    return dict(sets_again(graph)[0])


def _check_ends(record: NodeCoverage, asked: "_Node") -> list[str]:
    """The ends of every row's sums, where the record states them."""
    if not record.low:
        return []
    ends = [(min(low for low, _ in own), max(high for _, high in own)) for own in asked.ends()]
    if list(zip(record.low, record.high, strict=True)) != ends:
        return [f"{record.node}: the ends of its sums are others"]
    return []


def _right(group: Group, point: int, value: int) -> bool:
    """Whether a value is what a point asks for."""
    if not int(group.low[point]) <= value <= int(group.high[point]):
        return False
    step = int(group.step[point])
    return step == 1 or int(group.first[point]) <= value % step <= int(group.last[point])


def _any_between(group: Group, point: int, low: int, high: int) -> bool:
    """Whether some integer between two ends is what a point asks for."""
    low, high = max(low, int(group.low[point])), min(high, int(group.high[point]))
    step = int(group.step[point])
    if step == 1 or low > high:
        return low <= high
    # The blocks of `step` integers that the first, the second and the last one lie in.
    blocks = {low // step, low // step + 1, high // step}
    first, last = int(group.first[point]), int(group.last[point])
    return any(max(low, block * step + first) <= min(high, block * step + last) for block in blocks)


class _Node:
    """The questions about one node."""

    def __init__(self, graph: Graph, node: Node, sets: dict[str, Any]) -> None:
        self.node, self.op = node, node.op
        self.inputs: list[Sets] = [sets[name] for name in node.inputs]
        self.tensors = graph.inputs_of(node)
        self._lines: dict[int, list[tuple[list[int], list[frozenset[int]]]]] = {}

    def rows(self) -> int:
        """The number of rows."""
        op: Any = self.op
        return len(op.weight) if isinstance(op, Linear | Affine) else self.tensors[0].shape[-1]

    def lines(self, row: int) -> list[tuple[list[int], list[frozenset[int]]]]:
        """The different lines of a row: weights, and the values of each input."""
        if row in self._lines:
            return self._lines[row]
        op, x = self.op, self.inputs[0]
        found: dict[tuple[int, ...], tuple[list[int], list[frozenset[int]]]] = {}
        if isinstance(op, Linear):
            size = op.weight.shape[1]
            turned = op.over is Axis.TOKENS
            for other in {place[1] if turned else place[0] for place in x}:
                column = [x[(k, other) if turned else (other, k)] for k in range(size)]
                found.setdefault(tuple(map(id, column)), (op.weight[row].tolist(), column))
        elif isinstance(op, Add):
            for place in (place for place in x if place[1] == row):
                column = [own[place] for own in self.inputs]
                found.setdefault(tuple(map(id, column)), ([1, 1], column))
        elif isinstance(op, Pool):
            found[(0,)] = ([1] * op.tokens, [x[t, row] for t in range(op.tokens)])
        self._lines[row] = list(found.values())
        return self._lines[row]

    def ends(self) -> list[list[tuple[int, int]]]:
        """The ends of the sums of each row, line by line."""
        if len(set(self.node.inputs)) < len(self.node.inputs):
            return [[(2 * min(v), 2 * max(v))] for v in (self._channel(row) for row in range(self.rows()))]
        return [[_ends(*line) for line in self.lines(row)] for row in range(self.rows())]

    def _channel(self, row: int) -> set[int]:
        return {v for place, own in self.inputs[0].items() if place[1] == row for v in own}

    def none(self, group: Group, point: int, proof: str) -> bool | None:
        """Whether nothing hits a point, by the proof of that name; None where it would take too long."""
        row = int(group.rows[point])
        if proof == INPUTS:
            return self._none_of_inputs(group, point, row)
        if group.quantity != "sum" or isinstance(self.op, Affine):
            return False
        lines = self.lines(row)
        if proof == BOUND:
            return not any(_any_between(group, point, *_ends(*line)) for line in lines)
        left = [line for line in lines if _any_between(group, point, *_ends(*line))]
        if proof in (SUMS, MULTIPLES):
            answers = [self._none_of_sums(group, point, line) for line in left]
            return False if False in answers else None if None in answers else True
        return False

    def _none_of_inputs(self, group: Group, point: int, row: int) -> bool:
        op: Any = self.op
        if group.quantity == OPERAND:
            turned = isinstance(op, Linear) and op.over is Axis.TOKENS
            own = [v for place, v in self.inputs[0].items() if place[0 if turned else 1] == row]
            return all(v == {0} for v in own)
        for value in self._channel(row):
            if group.quantity == INPUT_VALUE:
                found = value
            elif group.quantity == PRODUCT:
                found = self._product(row, value)
            elif isinstance(op, Affine):
                found = int(op.weight[row]) * value
            elif len(set(self.node.inputs)) < len(self.node.inputs):
                found = 2 * value
            else:
                return False
            if _right(group, point, found):
                return False
        return True

    def _product(self, row: int, value: int) -> int:
        op: Any = self.op
        stored = op.table[row].tolist()
        number = self.tensors[0].number
        points = len(stored) - (op.rule == "endpoint")
        step = number.codes // points
        left, fraction = divmod(value - number.low, step)
        if op.rule == "clamp" and left == points - 1:
            left -= 1
        right = left if op.rule == "hold" and left == points - 1 else left + 1
        return int((stored[right] - stored[left]) * fraction)

    def _none_of_sums(self, group: Group, point: int, line: tuple[list[int], list[frozenset[int]]]) -> bool | None:
        low, high = _ends(*line)
        unit = reduce(gcd, (w * (v - min(own)) for w, own in zip(*line, strict=True) for v in own), 0)
        if unit == 0:
            return not _right(group, point, low)
        if (high - low) // unit > SUMS_MAX:
            return None
        if not any(_right(group, point, total) for total in range(low, high + 1, unit)):
            return True
        # What is still to come, at least and at most: what cannot come between the point's ends any more is left out.
        least, most = low, high
        reached = {0}
        for w, own in zip(*line, strict=True):
            if len(reached) * len(own) > SUMS_MAX:
                return None
            least, most = least - min(w * min(own), w * max(own)), most - max(w * min(own), w * max(own))
            reached = {
                total
                for before in reached
                for v in own
                if (total := before + w * v) + least <= int(group.high[point]) and total + most >= int(group.low[point])
            }
        return not any(_right(group, point, total) for total in reached)


def _ends(weights: list[int], values: list[frozenset[int]]) -> tuple[int, int]:
    """Least and greatest sum of a line."""
    pairs = [(w * min(v), w * max(v)) for w, v in zip(weights, values, strict=True)]
    return sum(min(pair) for pair in pairs), sum(max(pair) for pair in pairs)
