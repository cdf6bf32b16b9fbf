"""Points of the arithmetic: what of every operator's rules there is to reach, as integers that one value is held to.

A point is a row of an operator (an output channel, a channel of a table) and a rule about one of its quantities: the
quantity lies from `low` to `high`, and its remainder by `step` from `first` to `last`. Nothing else is compared.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract import Division, Number, Rounding, TableRule, Tensor, round_shift
from fxsim.contract.rescaling import HIGH_MULTIPLY_BITS
from fxsim.contract.windows import windows
from fxsim.errors import ModelError
from fxsim.graph import Graph, Node
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
    Operator,
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

Int64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

POINTS_MAX = 1 << 24
"""Most points of one node."""

SUM, INPUT_VALUE, PRODUCT, OPERAND = "sum", "input", "product", "operand"
"""Quantities: an accumulator, the input of a table or of one channel, (t[m + 1] - t[m]) * f, an input of a sum."""
NEGATIVE, STEP, PLACE, RANK = "negative", "step", "place", "rank"
"""The product of an input below 0; an ordered sum before it is saturated; the place in a window that alone is greatest,
or beyond the last one where several are; what a class is among others: `RANKS`."""
GATE, PASSED, STOPPED = "gate", "passed", "stopped"
"""The value that a gate compares; the one that it lets pass, and the one that it stops, 0 where it does the other."""
BESIDE = {"above": "beside.above", "left": "beside.left", "below": "beside.below", "right": "beside.right"}
"""Inputs in windows that reach beyond a side of the image."""
RANKS = {"least": 0, "alone": 1, "first": 2, "later": 3}
"""Ranks of a class: below the greatest, the greatest alone, the first of several, a later one of several."""

_FAR = 1 << 62
"""Beyond every accumulator, whose width is at most 62 bits with the sign."""
NONE = -(1 << 63)
"""A value of a quantity where there is none: no point holds it."""
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
    "bit": "inputs of one bit that are summed: both values of each",
    "padding": "the least and the greatest input in windows that reach beyond a side of the image",
    "threshold": "thresholds: values exactly there, the first that does not count, and every level",
    "window": "windows: each place alone the greatest, and several that are",
    "quotient": "sums that are divided: exact, ties, and either side of a half, of either sign",
    "step": "sums in a stated order: the first value beyond either end, and any beyond, before it is saturated",
    "gate": "gates: values exactly at the threshold and one below, and values that matter let pass and stopped",
    "class": "classes: each the greatest alone, the first of several that are, and a later one",
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
    def between(self) -> bool:
        """Whether every point is all that lies between two values of an input."""
        return self.quantity == INPUT_VALUE and bool((self.step == 1).all())

    def holds(self, values: Int64, points: Int64) -> Bools:
        """Whether values [..., points], each of the row of one of these points, are what the point asks for."""
        low, high = self.low[points], self.high[points]
        found: Bools = (values >= low) & (values <= high)
        step = self.step[points]
        if (step > 1).any():
            # Of powers of two, which most are, in a fraction of the time.
            rest = values & (step - 1) if not (step & (step - 1)).any() else values % step
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
    `size_of_image`: values of the largest quantity of one image, where that is far more than its inputs are.
    """

    node: str
    kind: str
    groups: tuple[Group, ...]
    unary: bool
    rows: int
    number: Number
    quantities: Callable[..., Mapping[str, Int64]]
    facts: Mapping[str, int]
    size_of_image: int = 0

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


def _not_zero(name: str, quantity: str, unit: str, rows: Any, label: Callable[[int], str] = lambda _point: "") -> Group:
    """A value that is not 0: the lowest 62 bits of any such are not all 0."""
    return _group(name, quantity, unit, rows, -_FAR, _FAR, _FAR, 1, _FAR - 1, label)


def _sum_groups(unit: str, bound: tuple[Int64, Int64], shift: Any, bias: Any, out: Number, rows: int) -> list[Group]:
    """The groups of an accumulator that is rounded by `shift`, biased and saturated to `out`."""
    shift = np.broadcast_to(np.asarray(shift, np.int64), (rows,))
    bias = np.broadcast_to(np.asarray(bias, np.int64), (rows,))
    return [
        *_plain_sum_groups(unit, bound, rows, shift),
        *_round_groups(SUM, unit, shift),
        *_end_groups(SUM, unit, rows, lambda value: least_sums(value, shift, bias), out),
    ]


def _plain_sum_groups(unit: str, bound: tuple[Int64, Int64], rows: int, shift: Int64 | None = None) -> list[Group]:
    """The groups of an accumulator itself."""
    every = np.arange(rows)
    low, high = (np.broadcast_to(np.asarray(end, np.int64), (rows,)) for end in bound)

    def words(point: int) -> str:
        return "" if shift is None else f"shift {int(shift[point])}"

    return [
        _group("sum.least", SUM, unit, every, low, low),
        _group("sum.greatest", SUM, unit, every, high, high),
        _group("sum.zero", SUM, unit, every, 0, 0),
        _not_zero("sum.not_zero", SUM, unit, every, words),
    ]


def _round_groups(quantity: str, unit: str, shift: Int64) -> list[Group]:
    """The groups of the rounding of a quantity by shifts [rows]."""
    found = []
    cut = np.flatnonzero(shift > 0)
    if len(cut):
        step = np.left_shift(1, np.minimum(shift[cut], _SHIFT_MAX))
        half = step >> 1

        def words_of_cut(point: int) -> str:
            return f"shift {int(shift[cut[point]])}"

        found += [
            _group("round.tie_positive", quantity, unit, cut, 1, _FAR, step, half, half, words_of_cut),
            _group("round.tie_negative", quantity, unit, cut, -_FAR, -1, step, half, half, words_of_cut),
            _group("round.up", quantity, unit, cut, -_FAR, _FAR, step, half, step - 1, words_of_cut),
            _group("round.exact", quantity, unit, cut, -_FAR, _FAR, step, 0, 0, words_of_cut),
        ]
        more = cut[shift[cut] > 1]
        if len(more):
            step = np.left_shift(1, np.minimum(shift[more], _SHIFT_MAX))
            found.append(_group("round.down", quantity, unit, more, -_FAR, _FAR, step, 1, (step >> 1) - 1))
    return found


def _end_groups(quantity: str, unit: str, rows: int, least: Callable[[int], Int64], out: Number) -> list[Group]:
    """The groups of the saturation to `out`; `least`: the least of the quantity whose result is at least a value."""
    every = np.arange(rows)
    at = {v: least(v) for v in (out.low - 1, out.low, out.low + 1, out.high, out.high + 1, out.high + 2)}
    return [
        _group("end.beyond_low", quantity, unit, every, -_FAR, at[out.low] - 1),
        _group("end.first_beyond_low", quantity, unit, every, at[out.low - 1], at[out.low] - 1),
        _group("end.low", quantity, unit, every, at[out.low], at[out.low + 1] - 1),
        _group("end.high", quantity, unit, every, at[out.high], at[out.high + 1] - 1),
        _group("end.first_beyond_high", quantity, unit, every, at[out.high + 1], at[out.high + 2] - 1),
        _group("end.beyond_high", quantity, unit, every, at[out.high + 1], _FAR),
    ]


def _bit_groups(number: Number, inputs: int) -> list[Group]:
    """Both values of every input of a sum, where inputs have one bit."""
    if number.bits > 1:
        return []
    return [
        _group(f"bit.{name}", OPERAND, "input", np.arange(inputs), value, value)
        for name, value in (("low", number.low), ("high", number.high))
    ]


def _step_groups(unit: str, rows: int, limits: Number) -> list[Group]:
    """The groups of sums in a stated order, before each is saturated."""
    every = np.arange(rows)
    return [
        _group("step.beyond_low", STEP, unit, every, -_FAR, limits.low - 1),
        _group("step.first_beyond_low", STEP, unit, every, limits.low - 1, limits.low - 1),
        _group("step.first_beyond_high", STEP, unit, every, limits.high + 1, limits.high + 1),
        _group("step.beyond_high", STEP, unit, every, limits.high + 1, _FAR),
    ]


def _linear(node: Node, _result: Tensor, x: Tensor) -> NodePoints:
    op = node.op
    assert isinstance(op, Linear)
    bound = op.accumulator_range(x)
    rows, size = op.weight.shape
    groups = _sum_groups("row", bound, op.shift, op.bias, op.out, rows)
    zeros = np.flatnonzero((op.weight == 0).any(axis=0))
    if len(zeros):
        groups.append(_not_zero("weight.zero", OPERAND, "input", zeros))
    groups += _bit_groups(x.number, size)
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
        groups.append(_not_zero("weight.zero", INPUT_VALUE, "channel", zeros))
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
    groups = _sign_groups(rows, number)
    return NodePoints(
        node.name, node.op.kind, tuple(groups), True, rows, number, lambda values: {INPUT_VALUE: values}, {}
    )


def _sign_groups(rows: int, number: Number) -> list[Group]:
    """The ends, the signs and what is next to 0 of an input of a format."""
    every = np.arange(rows)
    return [
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
        if number.low <= low <= high <= number.high
    ]


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


# --- Networks of few bits --------------------------------------------------------------------------------------------


def border_sides(op: Conv, x: Tensor) -> dict[str, Int64]:
    """By side beyond which some window reaches: the rows, or columns, of the result whose windows do."""
    found = {}
    for axis, names in enumerate((("above", "below"), ("left", "right"))):
        first = np.arange(op.result(x).shape[axis]) * op.stride[axis] - op.padding[axis]
        last = first + op.dilation[axis] * (op.weight.shape[1 + axis] - 1)
        for name, beyond in zip(names, (first < 0, last >= x.shape[axis]), strict=True):
            if beyond.any():
                found[name] = np.flatnonzero(beyond)
    return found


def _conv(node: Node, result: Tensor, x: Tensor) -> NodePoints:
    op = node.op
    assert isinstance(op, Conv)
    rows, of_rows, of_columns, each = op.weight.shape
    inputs, channels, share = of_rows * of_columns * each, x.shape[-1], rows // op.groups
    flat = op.weight.astype(np.int64).reshape(op.groups, share, inputs)
    groups = _plain_sum_groups("row", op.accumulator_range(x), rows)
    zeros = np.flatnonzero((flat == 0).any(axis=1))
    if len(zeros):
        groups.append(_not_zero("weight.zero", OPERAND, "input", zeros))
    groups += _bit_groups(x.number, op.groups * inputs)
    sides = border_sides(op, x)
    for side in sides:
        for name, value in (("least", x.number.low), ("greatest", x.number.high)):
            every = np.arange(channels)
            groups.append(_group(f"padding.{side}_{name}", BESIDE[side], "channel", every, value, value))
    exact = np.abs(flat).sum(axis=2).max() * max(-x.number.low, x.number.high) < _EXACT_FLOAT
    kind = np.float64 if exact else np.int64
    factors = [own.T.astype(kind) for own in flat]
    top, left, bottom, right = op.padding

    def quantities(values: Any) -> dict[str, Int64]:
        padded = np.pad(values.astype(np.int64), ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=NONE)
        # [image, row, column, place in the kernel, channel]
        places = np.stack([p for _, _, p in windows(padded, (of_rows, of_columns), op.stride, op.dilation)], axis=3)
        split = places.reshape(*places.shape[:4], op.groups, each)
        operands = np.moveaxis(split, 4, 3).reshape(-1, op.groups, inputs)
        read = np.where(operands == NONE, 0, operands).astype(kind)
        sums = [read[:, g] @ factors[g] for g in range(op.groups)]
        found = {SUM: np.concatenate(sums, axis=1).astype(np.int64), OPERAND: operands.reshape(len(operands), -1)}
        for side, at in sides.items():
            found[BESIDE[side]] = places.take(at, 1 if side in ("above", "below") else 2).reshape(-1, channels)
        return found

    facts = {"weights of 0": int((flat == 0).sum()), "rows of 0": int((flat == 0).all(axis=2).sum())}
    size = result.size // rows * max(rows, op.groups * inputs)
    return NodePoints(node.name, op.kind, tuple(groups), False, rows, x.number, quantities, facts, size)


def _max_pool(node: Node, result: Tensor, x: Tensor) -> NodePoints:
    op = node.op
    assert isinstance(op, MaxPool)
    rows, size = result.shape[-1], op.kernel[0] * op.kernel[1]
    every = np.repeat(np.arange(rows), size)
    where = np.tile(np.arange(size), rows)

    def words(point: int) -> str:
        return f"row {int(where[point]) // op.kernel[1]}, column {int(where[point]) % op.kernel[1]} of the window"

    groups = []
    if size > 1:
        groups = [
            _group("window.greatest", PLACE, "channel", every, where, where, label=words),
            _group("window.tie", PLACE, "channel", np.arange(rows), size, size),
        ]

    def quantities(values: Any) -> dict[str, Int64]:
        places = np.stack([p for _, _, p in windows(values, op.kernel, op.stride, (1, 1))], axis=-1).astype(np.int64)
        best = places == places.max(axis=-1, keepdims=True)
        return {PLACE: np.where(best.sum(axis=-1) > 1, size, best.argmax(axis=-1)).reshape(-1, rows)}

    return NodePoints(node.name, op.kind, tuple(groups), False, rows, x.number, quantities, {}, result.size * size)


def _steps(thresholds: Any, rising: Any) -> list[Group]:
    """The groups of thresholds [C, n], of channels that rise or fall."""
    channels, steps = thresholds.shape
    up = np.asarray(rising, np.bool_)[:, None]
    at = np.where(up, np.sort(thresholds.astype(np.int64), axis=1), -np.sort(-thresholds.astype(np.int64), axis=1))
    beside = np.where(up, at - 1, at + 1)
    far = np.full((channels, 1), _FAR)
    # Of level k: what passes threshold k, the k-th to be passed, and not the next.
    first = np.concatenate([np.where(up, -far, far), at], axis=1)
    last = np.concatenate([beside, np.where(up, far, -far)], axis=1)
    rows = np.repeat(np.arange(channels), steps)
    passed = at.reshape(-1)

    def words(point: int) -> str:
        return f"threshold {int(passed[point])}"

    def words_of_level(point: int) -> str:
        return f"level {point % (steps + 1)}"

    return [
        _group("threshold.at", INPUT_VALUE, "channel", rows, passed, passed, label=words),
        _group("threshold.beside", INPUT_VALUE, "channel", rows, beside.reshape(-1), beside.reshape(-1), label=words),
        _group("threshold.level", INPUT_VALUE, "channel", np.repeat(np.arange(channels), steps + 1),
               np.where(up, first, last).reshape(-1), np.where(up, last, first).reshape(-1), label=words_of_level),
    ]  # fmt: skip


def _threshold(node: Node, _result: Tensor, x: Tensor) -> NodePoints:
    op = node.op
    assert isinstance(op, Threshold | Encode)
    rising = op.rising == 1 if isinstance(op, Threshold) else np.ones(len(op.threshold), np.bool_)
    groups = tuple(_steps(op.threshold, rising))
    facts = {"thresholds": op.threshold.shape[1], "channels that fall": int((~rising).sum())}
    rows = len(op.threshold)
    return NodePoints(node.name, op.kind, groups, True, rows, x.number, lambda found: {INPUT_VALUE: found}, facts)


def _multiply_add(node: Node, _result: Tensor, x: Tensor) -> NodePoints:
    op = node.op
    assert isinstance(op, MultiplyAdd)
    rows = len(op.weight)
    groups = _sum_groups("channel", op.accumulator_range(x), op.shift, 0, op.out, rows)
    zeros = np.flatnonzero(op.weight == 0)
    if len(zeros):
        groups.append(_not_zero("weight.zero", INPUT_VALUE, "channel", zeros))
    weight, bias = op.weight.astype(np.int64), op.bias.astype(np.int64)

    def quantities(values: Int64) -> dict[str, Int64]:
        return {SUM: values * weight + bias, INPUT_VALUE: values}

    facts = _facts(op.weight, op.shift)
    return NodePoints(node.name, op.kind, tuple(groups), True, rows, x.number, quantities, facts)


def _weighted_add(node: Node, _result: Tensor, x: Tensor, r: Tensor) -> NodePoints:
    op = node.op
    assert isinstance(op, WeightedAdd)
    rows = op.weight.shape[1]
    groups = _sum_groups("channel", op.accumulator_range(x, r), op.shift, 0, op.out, rows)
    weight = op.weight.astype(np.int64)

    def quantities(values: Any, others: Any) -> dict[str, Int64]:
        first, second = (own.reshape(-1, rows).astype(np.int64) for own in (values, others))
        return {SUM: first * weight[0] + second * weight[1]}

    facts = _facts(op.weight.T, op.shift)
    return NodePoints(node.name, op.kind, tuple(groups), False, rows, x.number, quantities, facts)


def _prelu(node: Node, _result: Tensor, x: Tensor) -> NodePoints:
    op = node.op
    assert isinstance(op, Prelu)
    rows, every = len(op.weight), np.arange(len(op.weight))
    shift = op.shift.astype(np.int64)
    groups = _sign_groups(rows, x.number)
    if x.number.high > op.out.high:
        beyond = op.out.high + 1
        groups += [
            _group("relu.first_beyond", INPUT_VALUE, "channel", every, beyond, beyond),
            _group("relu.beyond", INPUT_VALUE, "channel", every, beyond, _FAR),
        ]
    if x.number.low < 0:
        none = np.zeros(rows, np.int64)
        groups += _round_groups(NEGATIVE, "channel", shift)
        groups += _end_groups(NEGATIVE, "channel", rows, lambda value: least_sums(value, shift, none), op.out)
    weight = op.weight.astype(np.int64)

    def quantities(values: Int64) -> dict[str, Int64]:
        product = values * weight
        return {SUM: product, INPUT_VALUE: values, NEGATIVE: np.where(values < 0, product, NONE)}

    facts = _facts(op.weight, op.shift)
    return NodePoints(node.name, op.kind, tuple(groups), True, rows, x.number, quantities, facts)


def _gate(node: Node, _result: Tensor, x: Tensor, _g: Tensor) -> NodePoints:
    op = node.op
    assert isinstance(op, Gate)
    rows, every = len(op.threshold), np.arange(len(op.threshold))
    at = op.threshold.astype(np.int64)
    groups = [
        _group("gate.at", GATE, "channel", every, at, at),
        _group("gate.below", GATE, "channel", every, at - 1, at - 1),
        _not_zero("gate.passed", PASSED, "channel", every),
        _not_zero("gate.stopped", STOPPED, "channel", every),
    ]

    def quantities(values: Any, others: Any) -> dict[str, Int64]:
        own, compared = (found.reshape(-1, rows).astype(np.int64) for found in (values, others))
        is_open = compared >= at
        return {GATE: compared, PASSED: np.where(is_open, own, 0), STOPPED: np.where(is_open, 0, own)}

    return NodePoints(node.name, op.kind, tuple(groups), False, rows, x.number, quantities, {})


def least_quotients(result: int, divisor: int, rounding: Division) -> int:
    """The least sum whose quotient is at least `result`."""
    if rounding is Division.HALF_UP:
        # floor((2 s + d) / 2 d) >= r exactly where 2 s + d >= 2 d r.
        return -((divisor - 2 * divisor * result) // 2)
    if rounding is Division.ZERO and result <= 0:
        return (result - 1) * divisor + 1
    return result * divisor


def _sum_pool(node: Node, result: Tensor, x: Tensor) -> NodePoints:
    op = node.op
    assert isinstance(op, SumPool)
    rows, divisor, limits = result.shape[-1], op.divisor, op.limits
    every = np.arange(rows)
    bound = op.accumulator_range(x)
    groups = []
    if bound is not None:
        groups += _plain_sum_groups("channel", bound, rows)
    if limits is not None:
        groups += _step_groups("channel", rows, limits)
    if divisor > 1:
        half = divisor // 2
        parts = {"exact": (0, 0), "above_half": (half + 1, divisor - 1)}
        parts["below_half"] = (1, half - 1 if divisor % 2 == 0 else half)
        if divisor % 2 == 0:
            parts["tie"] = (half, half)
        groups += [
            _group(f"quotient.{name}_{sign}", SUM, "channel", every, low, high, divisor, first, last)
            for name, (first, last) in parts.items()
            for sign, low, high in (("positive", 1, _FAR), ("negative", -_FAR, -1))
            if first <= last and (sign == "positive" or x.number.low < 0)
        ]

    def least(value: int) -> Int64:
        return np.repeat(_clipped([least_quotients(value, divisor, op.rounding)]), rows)

    groups += _end_groups(SUM, "channel", rows, least, op.out)

    def quantities(values: Any) -> dict[str, Int64]:
        total: Any = 0
        steps = []
        for _, _, part in windows(values, op.kernel, op.stride, (1, 1)):
            total = total + part.astype(np.int64)
            if limits is not None:
                steps.append(total)
                total = np.clip(total, limits.low, limits.high)
        found = {SUM: total.reshape(-1, rows)}
        return found | ({STEP: np.stack(steps).reshape(-1, rows)} if steps else {})

    size = result.size * op.kernel[0] * op.kernel[1]
    facts = {"divisor": divisor}
    return NodePoints(node.name, op.kind, tuple(groups), False, rows, x.number, quantities, facts, size)


def _ordered_linear(node: Node, _result: Tensor, x: Tensor) -> NodePoints:
    op = node.op
    assert isinstance(op, OrderedLinear)
    rows, size = op.weight.shape
    every = np.arange(rows)
    shift, weight = op.shift.astype(np.int64), op.weight.astype(np.int64)
    groups = [
        _group("sum.zero", SUM, "row", every, 0, 0),
        _not_zero("sum.not_zero", SUM, "row", every),
        *_step_groups("row", rows, op.out),
        *_round_groups(PRODUCT, "row", shift),
        _group("end.low", SUM, "row", every, op.out.low, op.out.low),
        _group("end.high", SUM, "row", every, op.out.high, op.out.high),
    ]
    zeros = np.flatnonzero((op.weight == 0).any(axis=0))
    if len(zeros):
        groups.append(_not_zero("weight.zero", OPERAND, "input", zeros))

    def quantities(values: Any) -> dict[str, Int64]:
        operand = np.ascontiguousarray(values.reshape(-1, size)).astype(np.int64)
        products = operand.T[:, :, None] * weight.T[:, None]
        total, steps = np.broadcast_to(op.bias.astype(np.int64), (len(operand), rows)), []
        for product in products:
            steps.append(total + round_shift(product, shift))
            total = np.clip(steps[-1], op.out.low, op.out.high)
        step = np.stack(steps).reshape(-1, rows)
        return {SUM: total, STEP: step, PRODUCT: products.reshape(-1, rows), OPERAND: operand}

    facts = _facts(op.weight, op.shift)
    work = x.size * rows
    return NodePoints(node.name, op.kind, tuple(groups), False, rows, x.number, quantities, facts, work)


def _argmax(node: Node, _result: Tensor, x: Tensor) -> NodePoints:
    op = node.op
    assert isinstance(op, Argmax)
    count = op.classes
    groups = [_group("class.alone", RANK, "class", np.arange(count), RANKS["alone"], RANKS["alone"])]
    if count > 1:
        groups += [
            _group("class.first", RANK, "class", np.arange(count - 1), RANKS["first"], RANKS["first"]),
            _group("class.later", RANK, "class", np.arange(1, count), RANKS["later"], RANKS["later"]),
        ]

    def quantities(values: Any) -> dict[str, Int64]:
        own = values.reshape(-1, values.shape[-1])[:, :count].astype(np.int64)
        best = own == own.max(axis=1, keepdims=True)
        several = best.sum(axis=1, keepdims=True) > 1
        first = np.arange(count) == best.argmax(axis=1)[:, None]
        ranks = np.where(several, np.where(first, RANKS["first"], RANKS["later"]), RANKS["alone"])
        return {RANK: np.where(best, ranks, RANKS["least"])}

    return NodePoints(node.name, op.kind, tuple(groups), False, count, x.number, quantities, {})


def least_rescaled(result: int, shift: Int64, rounding: Rounding) -> list[int]:
    """The least product of each row that a rounding brings to at least `result`."""
    if rounding is Rounding.DOUBLE:
        # What the second rounding takes, of which the first one gives at least that.
        first = np.minimum(shift, HIGH_MULTIPLY_BITS)
        between = least_rescaled(result, shift - first, Rounding.HALF_AWAY)
        return [(least << s) - (1 << s >> 1) for least, s in zip(between, first.tolist(), strict=True)]
    found = []
    for s in shift.tolist():
        half = 0 if rounding is Rounding.FLOOR else 1 << s >> 1
        # Whether the product half a step below goes down: away from zero below it, or to an even one.
        down = {Rounding.HALF_AWAY: result <= 0, Rounding.HALF_EVEN: result % 2 == 1}.get(rounding, False)
        found.append((result << s) - half + (down and s > 0))
    return found


def _rescale(node: Node, _result: Tensor, x: Tensor) -> NodePoints:
    op = node.op
    assert isinstance(op, Rescale)
    rows, shift, bias = len(op.multiplier), op.shift.astype(np.int64), op.bias.astype(np.int64)
    addend, multiplier = op.addend.astype(np.int64), op.multiplier.astype(np.int64)

    def least(value: int) -> Int64:
        # Each row has a bias of its own.
        of_bias = {b: least_rescaled(value - b, shift, op.rounding) for b in set(bias.tolist())}
        return _clipped([of_bias[b][row] for row, b in enumerate(bias.tolist())])

    groups = [
        *_plain_sum_groups("channel", op.accumulator_range(x), rows, shift),
        *_round_groups(SUM, "channel", shift),
        *_end_groups(SUM, "channel", rows, least, op.out),
    ]
    zeros = np.flatnonzero(multiplier == 0)
    if len(zeros):
        groups.append(_not_zero("weight.zero", INPUT_VALUE, "channel", zeros))

    def quantities(values: Int64) -> dict[str, Int64]:
        return {SUM: (values + addend) * multiplier, INPUT_VALUE: values}

    facts = _facts(op.multiplier, op.shift)
    return NodePoints(node.name, op.kind, tuple(groups), True, rows, x.number, quantities, facts)


NO_POINTS: dict[type[Operator], str] = {
    Pad: "it puts constants around values: it rounds, compares and limits nothing",
    Concat: "it puts values side by side: it rounds, compares and limits nothing",
    Matmul: "its sums are of products of two tensors, neither rounded nor limited: what does that follows it",
    Position: "its sums are with constants, neither rounded nor limited: what does that follows it",
    **dict.fromkeys(ORDERS, "it puts values in another order: it rounds, compares and limits nothing"),
}
"""Operators without points, each with the reason."""


def _nothing(node: Node, result: Tensor, x: Tensor, *_others: Tensor) -> NodePoints:
    return NodePoints(node.name, node.op.kind, (), False, result.shape[-1], x.number, lambda *_values: {}, {})


_Points = Callable[..., NodePoints]

POINTS: OperatorTable[_Points] = OperatorTable(
    "coverage of the arithmetic",
    {
        Linear: _linear,
        Affine: _affine,
        Relu: _relu,
        Lut: _lut,
        Add: _add,
        Pool: _pool,
        Conv: _conv,
        MaxPool: _max_pool,
        Threshold: _threshold,
        Encode: _threshold,
        MultiplyAdd: _multiply_add,
        WeightedAdd: _weighted_add,
        Prelu: _prelu,
        Gate: _gate,
        SumPool: _sum_pool,
        OrderedLinear: _ordered_linear,
        Argmax: _argmax,
        **dict.fromkeys(NO_POINTS, _nothing),
        Rescale: _rescale,
    },
)
"""The points of each operator: of a node, the tensor it gives and those it takes."""
