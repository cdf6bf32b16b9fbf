"""Proofs of a coverage checked again, another way than they were made: by sets of Python integers, value after value.

What tensors can hold is computed again by `fxsim.prove.again`, which shares nothing with `fxsim.prove.reach`, and of
networks of few bits by `fxsim.coverage.values_again`.
"""

from collections.abc import Callable, Iterator
from functools import reduce
from math import gcd
from typing import Any

import msgspec
import numpy as np

from fxsim.coverage.lines import CHOICES, INPUTS
from fxsim.coverage.points import (
    BESIDE,
    GATE,
    INPUT_VALUE,
    NEGATIVE,
    OPERAND,
    PASSED,
    PRODUCT,
    RANKS,
    STEP,
    Group,
    node_points,
)
from fxsim.coverage.record import Coverage, GroupCoverage, NodeCoverage, States, unpacked
from fxsim.coverage.solve import PROOFS
from fxsim.coverage.sums import BOUND, MULTIPLES, SUMS
from fxsim.coverage.values_again import conv_lines, limited, rounded, taps_again, values_again
from fxsim.errors import FileError, ModelError
from fxsim.formats import model_sha256
from fxsim.graph import Graph, Model, Node, refuse_beyond_int8
from fxsim.operators import (
    Add,
    Affine,
    Argmax,
    Axis,
    Conv,
    Gate,
    Linear,
    MaxPool,
    MultiplyAdd,
    OrderedLinear,
    Pool,
    Rescale,
    SumPool,
    WeightedAdd,
)
from fxsim.prove.again import sets_again
from fxsim.prove.reach import RULES as REACH

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
        unknown = any(sets[name] is None for name in node.inputs)
        asked = None if unknown else _Node(model.graph, node, sets)
        wrong += [] if asked is None else _check_ends(record, asked)
        for group, kept in zip(points.groups, record.groups, strict=True):
            for proof, point in _proved(kept):
                answer = None if asked is None else asked.none(group, point, proof)
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
    """The values of every place of every tensor, found again; None where they are too many."""
    try:
        refuse_beyond_int8(graph, "the proof of reachable values")
        for node in graph.nodes:
            REACH[type(node.op)]
    except ModelError:
        found: dict[str, Any] = {}
        for name, channels in values_again(graph).items():
            tensor = graph.tensors[name]
            tokens = tensor.size // tensor.shape[-1]
            found[name] = None
            if channels is not None:
                found[name] = {(t, c): own for t in range(tokens) for c, own in enumerate(channels)}
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
        return len(op.weight) if isinstance(op, Linear | Affine | Conv) else self.tensors[0].shape[-1]

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
        elif isinstance(op, Add | WeightedAdd):
            weights = op.weight[:, row].tolist() if isinstance(op, WeightedAdd) else [1, 1]
            for place in (place for place in x if place[1] == row):
                column = [own[place] for own in self.inputs]
                found.setdefault(tuple(map(id, column)), (weights, column))
        elif isinstance(op, Pool):
            found[(0,)] = ([1] * op.tokens, [x[t, row] for t in range(op.tokens)])
        elif isinstance(op, SumPool):
            size = op.kernel[0] * op.kernel[1]
            found[(0,)] = ([1] * size, [x[0, row]] * size)
        elif isinstance(op, Conv):
            lines = conv_lines(op, self.tensors[0].shape, row, self._channels())
            found = {(n,): line for n, line in enumerate(lines)}
        self._lines[row] = list(found.values())
        return self._lines[row]

    def ends(self) -> list[list[tuple[int, int]]]:
        """The ends of the sums of each row, line by line."""
        if self._doubled():
            found = []
            for row in range(self.rows()):
                sums = [self._twice(row) * v for v in self._channel(row)]
                found.append([(min(sums), max(sums))])
            return found
        return [[_ends(*line) for line in self.lines(row)] for row in range(self.rows())]

    def _doubled(self) -> bool:
        """Whether both inputs are one tensor."""
        return len(set(self.node.inputs)) < len(self.node.inputs)

    def _twice(self, row: int) -> int:
        """The weight of a value that is both inputs of a sum."""
        op: Any = self.op
        return int(op.weight[:, row].sum(dtype=np.int64)) if isinstance(op, WeightedAdd) else 2

    def _channels(self) -> list[frozenset[int]]:
        """The values of each channel, where all places of an image have the same."""
        return [self.inputs[0][0, c] for c in range(self.tensors[0].shape[-1])]

    def _channel(self, row: int) -> set[int]:
        return {v for place, own in self.inputs[0].items() if place[1] == row for v in own}

    def none(self, group: Group, point: int, proof: str) -> bool | None:
        """Whether nothing hits a point, by the proof of that name; None where it would take too long."""
        row = int(group.rows[point])
        if proof == INPUTS:
            return self._none_of_inputs(group, point, row)
        if proof == CHOICES:
            return self._no_choice(group, point, row)
        if isinstance(self.op, OrderedLinear) or (isinstance(self.op, SumPool) and self.op.saturating):
            if group.quantity not in ("sum", STEP) or proof not in (SUMS, BOUND):
                return False
            return (self._none_in_order if proof == SUMS else self._none_between)(group, point, row)
        if group.quantity != "sum" or isinstance(self.op, Affine | MultiplyAdd | Rescale):
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
        if isinstance(op, Conv):
            return group.quantity in (OPERAND, *BESIDE.values()) and self._none_read(op, group, point)
        if isinstance(op, OrderedLinear) and group.quantity == PRODUCT:
            columns = zip(op.weight[row].tolist(), self._channels(), strict=True)
            return not any(_right(group, point, w * v) for w, own in columns for v in own)
        if group.quantity == OPERAND:
            turned = isinstance(op, Linear) and op.over is Axis.TOKENS
            own = [v for place, v in self.inputs[0].items() if place[0 if turned else 1] == row]
            return not any(_right(group, point, v) for values in set(own) for v in values)
        for value in self._channel(row):
            if group.quantity == INPUT_VALUE:
                found = value
            elif group.quantity == PRODUCT:
                found = self._product(row, value)
            elif isinstance(op, Affine):
                found = int(op.weight[row]) * value
            elif isinstance(op, MultiplyAdd):
                found = int(op.weight[row]) * value + int(op.bias[row])
            elif isinstance(op, Rescale):
                found = (value + int(op.addend[row])) * int(op.multiplier[row])
            elif group.quantity == NEGATIVE:
                if value >= 0:
                    continue
                found = int(op.weight[row]) * value
            elif isinstance(op, Gate) and self._doubled():
                found = self._gated(group, row, value, value)
            elif self._doubled():
                found = self._twice(row) * value
            else:
                return False
            if _right(group, point, found):
                return False
        return True

    def _gated(self, group: Group, row: int, value: int, compared: int) -> int:
        """The quantity that a gate has of two values."""
        op: Any = self.op
        if group.quantity == GATE:
            return compared
        is_open = compared >= int(op.threshold[row])
        return value if is_open == (group.quantity == PASSED) else 0

    def _none_read(self, op: Conv, group: Group, point: int) -> bool:
        """Whether no window of a convolution reads what a point asks for."""
        rows, columns, each = op.weight.shape[1:]
        x, shape = self._channels(), self.tensors[0].shape
        k = int(group.rows[point])
        for (inside, across), (i, j) in taps_again(op, shape).items():
            if group.quantity == OPERAND:
                g, place = divmod(k, rows * columns * each)
                r, s, c = place // each // columns, place // each % columns, g * each + place % each
                read = r in inside and s in across
            else:
                c = k
                beyond = {
                    "above": i < 0,
                    "left": j < 0,
                    "below": i + op.dilation[0] * (rows - 1) >= shape[0],
                    "right": j + op.dilation[1] * (columns - 1) >= shape[1],
                }
                read = any(quantity == group.quantity and beyond[side] for side, quantity in BESIDE.items())
                read = read and bool(inside) and bool(across)
            if read and any(_right(group, point, v) for v in x[c]):
                return False
        return True

    def _no_choice(self, group: Group, point: int, row: int) -> bool:
        """Whether no values that several inputs can have compare as a point asks for."""
        op: Any = self.op
        if isinstance(op, Gate):
            own, others = (tensor[0, row] for tensor in self.inputs)
            if group.quantity == GATE:
                return not own or not any(_right(group, point, g) for g in others)
            some = {min(own), max(own), *sorted(own, key=abs)[:3]}
            return not any(_right(group, point, self._gated(group, row, v, g)) for v in some for g in others)
        x = self._channels()
        if isinstance(op, MaxPool):
            return int(group.low[point]) < op.kernel[0] * op.kernel[1] and len(x[row]) == 1
        if not isinstance(op, Argmax):
            return False
        x = x[: op.classes]
        least = [min(own) for own in x]
        before, after = range(row), range(row + 1, op.classes)
        for v in x[row]:
            classes = [c for c in range(op.classes) if c != row]
            if int(group.low[point]) == RANKS["alone"]:
                hit = all(least[c] < v for c in classes)
            elif int(group.low[point]) == RANKS["first"]:
                hit = all(least[c] < v for c in before) and any(v in x[c] for c in after)
                hit = hit and all(least[c] <= v for c in after)
            else:
                hit = all(least[c] <= v for c in classes) and any(v in x[c] for c in before)
            if hit:
                return False
        return True

    def _terms(self, row: int) -> tuple[int, Any, list[set[int]]]:
        """The start of a sum in a stated order, its format, and what each input adds."""
        op: Any = self.op
        if isinstance(op, OrderedLinear):
            shift = int(op.shift[row])
            pairs = zip(op.weight[row].tolist(), self._channels(), strict=True)
            return int(op.bias[row]), op.out, [{rounded(w * v, shift) for v in own} for w, own in pairs]
        return 0, op.limits, [set(self._channels()[row])] * (op.kernel[0] * op.kernel[1])

    def _none_between(self, group: Group, point: int, row: int) -> bool:
        """Whether nothing between the ends of a sum in a stated order is right, term after term."""
        start, number, terms = self._terms(row)
        low = high = start
        for own in terms:
            low, high = low + min(own), high + max(own)
            if group.quantity == STEP and _any_between(group, point, low, high):
                return False
            low, high = limited(low, number), limited(high, number)
        return group.quantity == STEP or not _any_between(group, point, low, high)

    def _none_in_order(self, group: Group, point: int, row: int) -> bool | None:
        """Whether no sum in a stated order is right, of every sum there is after each term."""
        start, number, terms = self._terms(row)
        reached = {start}
        for own in terms:
            if len(reached) * len(own) > SUMS_MAX:
                return None
            before = {total + term for total in reached for term in own}
            if group.quantity == STEP and any(_right(group, point, total) for total in before):
                return False
            reached = {limited(total, number) for total in before}
        return group.quantity == STEP or not any(_right(group, point, total) for total in reached)

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
