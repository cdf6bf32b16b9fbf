"""Points of the arithmetic: what of every operator's rules there is to reach, as integers that one value is held to.

A point is a row of an operator (an output channel, a channel of a table) and a rule about one of its quantities: the
quantity lies from `low` to `high`, and its lowest bits, below `step`, from `first` to `last`. Nothing else is compared.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract import Number, TableRule, Tensor
from fxsim.errors import ModelError
from fxsim.graph import Graph, Node
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

Int64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

POINTS_MAX = 1 << 24
"""Most points of one node."""

SUM, INPUT_VALUE, PRODUCT, OPERAND = "sum", "input", "product", "operand"
"""Quantities: an accumulator, the input of a table or of one channel, (t[m + 1] - t[m]) * f, an input of a sum."""

_FAR = 1 << 62
"""Beyond every accumulator, whose width is at most 62 bits with the sign."""
_SHIFT_MAX = 62
_EXACT_FLOAT = 1 << 53

FAMILIES = {
    "sum": "accumulators: the least and the greatest sum of the proved bound, 0, and not 0",
    "round": "roundings: ties of either sign, up, down, and nothing rounded off",
    "end": "results: the least and the greatest value, not saturated, and the first value beyond, and any beyond",
    "weight": "weights of 0 that meet an input that is not",
    "table": "tables: every input; the first, the next and the last input of every segment",
    "interpolation": "ties of either sign between two points of a table",
    "relu": "the ends of an input, its signs, and the values next to 0",
}
"""Families of groups, the word before a group's dot, and what they are."""


@dataclass(frozen=True, eq=False)
class Group:
    """Points of one name at a node. All arrays int64 [points]; `unit`: what a row is; `label`: words for a point."""

    name: str
    quantity: str
    unit: str
    rows: Int64
    low: Int64
    high: Int64
    step: Int64
    first: Int64
    last: Int64
    label: Callable[[int], str] = field(default=lambda _point: "")

    def __len__(self) -> int:
        """Number of points."""
        return len(self.rows)

    @property
    def single(self) -> bool:
        """Whether every point is one value of an input."""
        return self.quantity == INPUT_VALUE and bool((self.low == self.high).all() and (self.step == 1).all())

    def holds(self, values: Int64, points: Int64) -> Bools:
        """Whether values [..., points], each of the row of one of these points, are what the point asks for."""
        low, high = self.low[points], self.high[points]
        found: Bools = (values >= low) & (values <= high)
        step = self.step[points]
        if (step > 1).any():
            rest = values & (step - 1)
            found &= (rest >= self.first[points]) & (rest <= self.last[points])
        return found

    def text(self, point: int) -> str:
        """Words for one point."""
        words = f"{self.name}, {self.unit} {int(self.rows[point])}"
        label = self.label(point)
        return f"{words}, {label}" if label else words


@dataclass(frozen=True, eq=False)
class NodePoints:
    """The points of a node and how its quantities are computed.

    `unary`: each row depends on one value of its own, of the format `number`. `quantities`: of a unary node, values
    int64 [samples, rows], and else of the values of its inputs, [image, ...] each; to [samples, rows] each, by name.
    """

    node: str
    kind: str
    groups: tuple[Group, ...]
    unary: bool
    rows: int
    number: Number
    quantities: Callable[..., Mapping[str, Int64]]
    facts: Mapping[str, int]

    @property
    def size(self) -> int:
        """Number of points."""
        return sum(map(len, self.groups))


def node_points(graph: Graph, node: Node) -> NodePoints:
    """The points of a node of a graph. ModelError, naming it, where it has no row here, or there are too many."""
    inputs = graph.inputs_of(node)
    try:
        made = POINTS[type(node.op)](node, graph.tensors[node.name], *inputs)
    except ModelError as error:
        raise ModelError(f"node '{node.name}': {error}") from None
    if made.size > POINTS_MAX:
        raise ModelError(f"node '{node.name}' has {made.size:,} points to cover, expected at most {POINTS_MAX:,}")
    return made


# --- Groups ----------------------------------------------------------------------------------------------------------


def _group(
    name: str,
    quantity: str,
    unit: str,
    rows: Any,
    low: Any,
    high: Any,
    step: Any = 1,
    first: Any = 0,
    last: Any = 0,
    label: Callable[[int], str] = lambda _point: "",
) -> Group:
    chosen = np.asarray(rows, np.int64).reshape(-1)

    def whole(ends: Any) -> Int64:
        return np.array(np.broadcast_to(np.asarray(ends, np.int64), chosen.shape))

    return Group(
        name, quantity, unit, chosen, whole(low), whole(high), whole(step), whole(first), whole(last), label=label
    )


def _clipped(values: list[int]) -> Int64:
    return np.array([min(max(v, -_FAR), _FAR) for v in values], np.int64)


def least_sums(result: int, shift: Int64, bias: Int64) -> Int64:
    """The least sum of each row whose result before it is saturated, rounded and biased, is at least `result`."""
    found = []
    for s, b in zip(shift.tolist(), bias.tolist(), strict=True):
        # floor(a / 2^s + 1/2) >= r exactly where a >= r * 2^s - 2^(s - 1).
        found.append(((result - b) << s) - (1 << s >> 1))
    return _clipped(found)


def _sum_groups(unit: str, bound: tuple[Int64, Int64], shift: Any, bias: Any, out: Number, rows: int) -> list[Group]:
    """The groups of an accumulator that is rounded by `shift`, biased and saturated to `out`."""
    every = np.arange(rows)
    low, high = (np.broadcast_to(np.asarray(end, np.int64), (rows,)) for end in bound)
    shift = np.broadcast_to(np.asarray(shift, np.int64), (rows,))
    bias = np.broadcast_to(np.asarray(bias, np.int64), (rows,))

    def words(point: int) -> str:
        return f"shift {int(shift[point])}"

    found = [
        _group("sum.least", SUM, unit, every, low, low),
        _group("sum.greatest", SUM, unit, every, high, high),
        _group("sum.zero", SUM, unit, every, 0, 0),
        # The lowest 62 bits of any sum that is not 0 are not all 0.
        _group("sum.not_zero", SUM, unit, every, -_FAR, _FAR, _FAR, 1, _FAR - 1, words),
    ]
    cut = np.flatnonzero(shift > 0)
    if len(cut):
        step = np.left_shift(1, np.minimum(shift[cut], _SHIFT_MAX))
        half = step >> 1

        def words_of_cut(point: int) -> str:
            return f"shift {int(shift[cut[point]])}"

        found += [
            _group("round.tie_positive", SUM, unit, cut, 1, _FAR, step, half, half, words_of_cut),
            _group("round.tie_negative", SUM, unit, cut, -_FAR, -1, step, half, half, words_of_cut),
            _group("round.up", SUM, unit, cut, -_FAR, _FAR, step, half, step - 1, words_of_cut),
            _group("round.exact", SUM, unit, cut, -_FAR, _FAR, step, 0, 0, words_of_cut),
        ]
        more = cut[shift[cut] > 1]
        if len(more):
            step = np.left_shift(1, np.minimum(shift[more], _SHIFT_MAX))
            found.append(_group("round.down", SUM, unit, more, -_FAR, _FAR, step, 1, (step >> 1) - 1))
    at = {
        v: least_sums(v, shift, bias) for v in (out.low - 1, out.low, out.low + 1, out.high, out.high + 1, out.high + 2)
    }
    found += [
        _group("end.beyond_low", SUM, unit, every, -_FAR, at[out.low] - 1),
        _group("end.first_beyond_low", SUM, unit, every, at[out.low - 1], at[out.low] - 1),
        _group("end.low", SUM, unit, every, at[out.low], at[out.low + 1] - 1),
        _group("end.high", SUM, unit, every, at[out.high], at[out.high + 1] - 1),
        _group("end.first_beyond_high", SUM, unit, every, at[out.high + 1], at[out.high + 2] - 1),
        _group("end.beyond_high", SUM, unit, every, at[out.high + 1], _FAR),
    ]
    return found


def _linear(node: Node, _result: Tensor, x: Tensor) -> NodePoints:
    op = node.op
    assert isinstance(op, Linear)
    bound = op.accumulator_range(x)
    rows, size = op.weight.shape
    groups = _sum_groups("row", bound, op.shift, op.bias, op.out, rows)
    zeros = np.flatnonzero((op.weight == 0).any(axis=0))
    if len(zeros):
        groups.append(_group("weight.zero", OPERAND, "input", zeros, -_FAR, _FAR, _FAR, 1, _FAR - 1))
    weight = op.weight.astype(np.int64).T
    # A product in floating point is exact where every sum of it is, and many times as fast.
    exact = np.abs(op.weight.astype(np.int64)).sum(axis=1).max() * max(-x.number.low, x.number.high) < _EXACT_FLOAT
    kind = np.float64 if exact else np.int64
    factors = weight.astype(kind)

    def quantities(values: Any) -> dict[str, Int64]:
        if op.over is Axis.TOKENS:
            values = np.swapaxes(values, -1, -2)
        operand = np.ascontiguousarray(values.reshape(-1, size))
        return {SUM: (operand.astype(kind) @ factors).astype(np.int64), OPERAND: operand.astype(np.int64)}

    facts = _facts(op.weight, op.shift)
    return NodePoints(node.name, op.kind, tuple(groups), False, rows, x.number, quantities, facts)


def _facts(weight: Any, shift: Any) -> dict[str, int]:
    """Figures of the parameters, which no input changes."""
    rows = weight.reshape(len(weight), -1)
    return {
        "shifts": len(np.unique(shift)),
        "least shift": int(shift.min()),
        "greatest shift": int(shift.max()),
        "weights of 0": int((rows == 0).sum()),
        "rows of 0": int((rows == 0).all(axis=1).sum()),
    }


def _affine(node: Node, _result: Tensor, x: Tensor) -> NodePoints:
    op = node.op
    assert isinstance(op, Affine)
    rows = len(op.weight)
    groups = _sum_groups("channel", op.accumulator_range(x), op.shift, op.bias, op.out, rows)
    zeros = np.flatnonzero(op.weight == 0)
    if len(zeros):
        groups.append(_group("weight.zero", INPUT_VALUE, "channel", zeros, -_FAR, _FAR, _FAR, 1, _FAR - 1))
    weight = op.weight.astype(np.int64)
    facts = _facts(op.weight, op.shift)

    def quantities(values: Int64) -> dict[str, Int64]:
        return {SUM: values * weight, INPUT_VALUE: values}

    return NodePoints(node.name, op.kind, tuple(groups), True, rows, x.number, quantities, facts)


def _add(node: Node, result: Tensor, x: Tensor, r: Tensor) -> NodePoints:
    op = node.op
    assert isinstance(op, Add)
    rows = result.shape[-1]
    groups = _sum_groups("channel", op.accumulator_range(x, r), 0, 0, op.out, rows)

    def quantities(values: Any, others: Any) -> dict[str, Int64]:
        total = values.reshape(-1, rows).astype(np.int64) + others.reshape(-1, rows).astype(np.int64)
        return {SUM: total}

    return NodePoints(node.name, op.kind, tuple(groups), False, rows, x.number, quantities, {})


def _pool(node: Node, result: Tensor, x: Tensor) -> NodePoints:
    op = node.op
    assert isinstance(op, Pool)
    rows, shift = result.shape[-1], op.tokens.bit_length() - 1
    groups = _sum_groups("channel", op.accumulator_range(x), shift, 0, x.number, rows)

    def quantities(values: Any) -> dict[str, Int64]:
        return {SUM: values.astype(np.int64).sum(axis=-2).reshape(-1, rows)}

    return NodePoints(node.name, op.kind, tuple(groups), False, rows, x.number, quantities, {"shifts": 1})


def _relu(node: Node, result: Tensor, x: Tensor) -> NodePoints:
    rows, number = result.shape[-1], x.number
    every = np.arange(rows)
    groups = [
        _group(f"relu.{name}", INPUT_VALUE, "channel", every, low, high)
        for name, low, high in (
            ("least", number.low, number.low),
            ("negative", number.low, -1),
            ("minus_one", -1, -1),
            ("zero", 0, 0),
            ("one", 1, 1),
            ("positive", 1, number.high),
            ("greatest", number.high, number.high),
        )
        if number.low <= low <= high
    ]
    return NodePoints(
        node.name, node.op.kind, tuple(groups), True, rows, number, lambda values: {INPUT_VALUE: values}, {}
    )


def _lut(node: Node, _result: Tensor, x: Tensor) -> NodePoints:
    op = node.op
    assert isinstance(op, Lut)
    rows, number = len(op.table), x.number
    codes = np.arange(number.codes, dtype=np.int64)
    if rows * number.codes > POINTS_MAX:
        raise ModelError(f"{rows} tables of {number.codes:,} inputs are more points than {POINTS_MAX:,}")
    every = np.repeat(np.arange(rows), number.codes)
    values = np.tile(codes + number.low, rows)

    def input_words(point: int) -> str:
        return f"input {int(values[point])}"

    groups = [_group("table.input", INPUT_VALUE, "channel", every, values, values, label=input_words)]
    facts = {"points": op.table.shape[1]}
    if op.rule is TableRule.FULL:
        return NodePoints(
            node.name, op.kind, tuple(groups), True, rows, number, lambda found: {INPUT_VALUE: found}, facts
        )
    points = op.table.shape[1] - (op.rule is TableRule.ENDPOINT)
    bits = number.bits - (points.bit_length() - 1)
    fractions = sorted({0, min(1, (1 << bits) - 1), (1 << bits) - 1})
    ends = (np.arange(points)[:, None] << bits) + np.array(fractions)
    inputs = np.tile(ends.reshape(-1) + number.low, rows)

    def segment_words(point: int) -> str:
        code = int(inputs[point]) - number.low
        return f"segment {code >> bits}, fraction {code & (1 << bits) - 1} of {1 << bits}"

    groups.append(
        _group("table.segment", INPUT_VALUE, "channel", np.repeat(np.arange(rows), ends.size), inputs, inputs,
               label=segment_words)
    )  # fmt: skip
    table = op.table.astype(np.int64)
    channel = np.arange(rows)

    def quantities(found: Int64) -> dict[str, Int64]:
        code = found - number.low
        segment = code >> bits
        if op.rule is TableRule.CLAMP:
            segment = np.minimum(segment, points - 2)
        upper = segment + 1
        if op.rule is TableRule.HOLD:
            upper = np.minimum(upper, points - 1)
        product = (table[channel, upper] - table[channel, segment]) * (code & ((1 << bits) - 1))
        return {INPUT_VALUE: found, PRODUCT: product}

    if bits:
        step, half = 1 << bits, 1 << bits >> 1
        groups += [
            _group("interpolation.tie_positive", PRODUCT, "channel", channel, 1, _FAR, step, half, half),
            _group("interpolation.tie_negative", PRODUCT, "channel", channel, -_FAR, -1, step, half, half),
        ]
    return NodePoints(node.name, op.kind, tuple(groups), True, rows, number, quantities, facts)


_Points = Callable[..., NodePoints]

_NOT_TAKEN = NotTaken("because its points are not listed yet")

POINTS: OperatorTable[_Points] = OperatorTable(
    "coverage of the arithmetic",
    {
        Linear: _linear,
        Affine: _affine,
        Relu: _relu,
        Lut: _lut,
        Add: _add,
        Pool: _pool,
        Conv: _NOT_TAKEN,
        MaxPool: _NOT_TAKEN,
        Threshold: _NOT_TAKEN,
        **dict.fromkeys(FEATURE_MAPS, _NOT_TAKEN),
    },
)
"""The points of each operator: of a node, the tensor it gives and those it takes."""
