"""Networks of few bits: padding, orders of weights and values, counted matches, comparisons and directions."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations
from math import log2

import numpy as np

from fxsim import contract
from fxsim.contract import Division, Padding
from fxsim.contract.arithmetic import Int64
from fxsim.contract.number import INT32
from fxsim.explain.case import Case, Change
from fxsim.operators import Conv, Encode, Gate, MaxPool, Reshape, SumPool, Threshold


def padding_value(case: Case) -> Iterator[Change]:
    """Values other than nothing around an image: -1, 1, or the least of its format."""
    op = case.op
    if any(op.padding):
        number = case.tensors[case.node.inputs[0]].number
        for value in sorted({-1, 1, number.low, number.high} - {0}, key=abs):
            yield Change("padding_value", {"instead": partial(_padded, op, value)}, {"value": value}, 2.0)


def _padded(op: Conv, value: int, x: Int64) -> Int64:
    top, left, bottom, right = op.padding
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)
    none: Padding = (0, 0, 0, 0)
    return contract.conv(padded, op.weight, op.stride, none, op.dilation, op.groups, INT32).astype(np.int64)


def weight_order(case: Case) -> Iterator[Change]:
    """A kernel's weights written in one order of rows, columns and channels and read in another; or turned over."""
    weight = case.op.weight.astype(np.int64)
    outputs, rows, columns, each = weight.shape
    seen = [weight]
    read = {
        ("weight_order", "channel, row, column"): weight.reshape(outputs, each, rows, columns).transpose(0, 2, 3, 1),
        ("weight_order", "row, column, channel"): weight.transpose(0, 3, 1, 2).reshape(weight.shape),
        ("kernel_flipped", ""): weight[:, ::-1, ::-1],
    }
    if rows == columns:
        read["kernel_transposed", ""] = weight.swapaxes(1, 2)
    for (label, order), other in read.items():
        if not any(np.array_equal(other, known) for known in seen):
            seen.append(other)
            yield Change(label, {"weight": np.ascontiguousarray(other)}, {"read": order} if order else {})


def matches(case: Case) -> Iterator[Change]:
    """Matches of bits in place of their dot product, of all products or of those inside; and the sense of a bit."""
    op, number = case.op, case.tensors[case.node.inputs[0]].number
    if not (number.bipolar and np.isin(op.weight, (-1, 1)).all()):
        return
    yield Change("weights_inverted", {"weight": -op.weight.astype(np.int64)})
    for counted in ("all", "inside"):
        if counted == "all" or any(op.padding):
            yield Change("popcount", {"instead": partial(_matches, op, counted)}, {"products": counted}, 1.0)


def _matches(op: Conv, counted: str, x: Int64) -> Int64:
    def summed(values: Int64, weight: Int64) -> Int64:
        made = contract.conv(values, weight, op.stride, op.padding, op.dilation, op.groups, INT32)
        return made.astype(np.int64)

    dot, each = summed(x, op.weight), np.abs(op.weight.astype(np.int64))
    products = summed(np.ones_like(x), each) if counted == "inside" else np.int64(op.weight[0].size)
    half: Int64 = (dot + products) >> 1
    return half


def comparisons(case: Case) -> Iterator[Change]:
    """Thresholds that are to be exceeded, one too low, one level off, all rising, or searched though not in order."""
    op = case.op
    yield Change("threshold_strict", {"instead": partial(_steps, op, 1, 0, False)})
    yield Change("threshold_early", {"instead": partial(_steps, op, -1, 0, False)})
    for by in (1, -1):
        yield Change("level_shifted", {"instead": partial(_steps, op, 0, by, False)}, {"by": by}, 1.0)
    if op.rising.min() != op.rising.max():
        yield Change("direction_ignored", {"instead": partial(_steps, op, 0, 0, True)})
    if any(np.any(row[1:] < row[:-1]) for row in op.threshold):
        yield Change("threshold_search", {"instead": partial(_searched, op)})


def _steps(op: Threshold, later: int, by: int, rising: bool, x: Int64) -> Int64:
    """Levels where thresholds are reached so much later, levels are counted so many further, or all channels rise."""
    up = np.ones_like(op.rising) if rising else op.rising
    moved = op.threshold.astype(np.int64) + np.where(up == 1, later, -later)[:, None]
    levels = op.levels.astype(np.int64)
    last = len(levels) - 1
    return contract.threshold(x, moved, up, levels[np.clip(np.arange(last + 1) + by, 0, last)]).astype(np.int64)


def _searched(op: Threshold, x: Int64) -> Int64:
    """Levels by binary search among thresholds as they stand, which are in order only by chance."""
    channels, count = op.threshold.shape
    steps, column = op.threshold.astype(np.int64), np.arange(channels)
    low, high = np.zeros(x.shape, np.int64), np.full(x.shape, count)
    for _ in range(count.bit_length() + 1):
        middle = np.minimum((low + high) // 2, count - 1)
        here = steps[np.broadcast_to(column, x.shape), middle]
        passed = np.where(op.rising == 1, x >= here, x <= here) & (low < high)
        high = np.where((low < high) & ~passed, middle, high)
        low = np.where(passed, middle + 1, low)
    levels: Int64 = op.levels.astype(np.int64)[low]
    return levels


def window(case: Case) -> Iterator[Change]:
    """The least of a window in place of the greatest (AND in place of OR), or its first value."""
    yield Change("pool_least", {"instead": partial(_least, case.op)})
    yield Change("pool_first", {"instead": partial(_first, case.op)})


def _least(op: MaxPool, x: Int64) -> Int64:
    return -contract.max_pool(-x, op.kernel, op.stride)


def _first(op: MaxPool, x: Int64) -> Int64:
    rows, columns = op.kernel
    return contract.max_pool(x[:, : x.shape[1] - rows + 1, : x.shape[2] - columns + 1], (1, 1), op.stride)


def value_order(case: Case) -> Iterator[Change]:
    """Axes of an image read in another order, also as they lie; those of a new shape filled in another order, too."""
    op, shape = case.op, case.tensors[case.node.name].shape
    as_it_lies = tuple(range(len(shape)))
    for filled in permutations(as_it_lies) if isinstance(op, Reshape) else (as_it_lies,):
        for order in permutations(range(len(op.order))):
            if (order, filled) != (op.order, as_it_lies):
                parameters: dict[str, object] = {"order": list(order)}
                if filled != as_it_lies:
                    parameters["filled"] = list(filled)
                fields = {"instead": partial(_ordered, order, shape, filled)}
                yield Change(f"{op.kind}_order", fields, parameters, log2(6 if filled == as_it_lies else 36))


def _ordered(order: tuple[int, ...], shape: tuple[int, ...], filled: tuple[int, ...], x: Int64) -> Int64:
    """Values read in an order of the input's axes and put where the result's, in such an order, come to them."""
    made = contract.reshape(x, order, tuple(shape[axis] for axis in filled))
    return contract.transpose(made, tuple(int(axis) for axis in np.argsort(filled))).astype(np.int64)


def division(case: Case) -> Iterator[Change]:
    """A quotient rounded in another way."""
    op: SumPool = case.op
    names = {Division.FLOOR: "floor", Division.HALF_UP: "half_up", Division.ZERO: "toward_zero"}
    for other in Division:
        if other is not op.rounding and op.divisor > 1:
            yield Change(f"rounding_{names[other]}", {"instead": partial(_divided, op, other)})


def _divided(op: SumPool, rounding: Division, x: Int64) -> Int64:
    made = contract.sum_pool(x, op.kernel, op.stride, op.divisor, rounding, op.limits, op.out)
    return made.astype(np.int64)


def gates(case: Case) -> Iterator[Change]:
    """A gate that is to be exceeded, that is open always, or never."""
    op = case.op
    yield Change("threshold_strict", {"instead": partial(_gated, op, 1)})
    yield Change("threshold_early", {"instead": partial(_gated, op, -1)})
    yield Change("gate_open", {"instead": _open})


def _gated(op: Gate, later: int, x: Int64, g: Int64) -> Int64:
    return contract.gate(x, g, op.threshold.astype(np.int64) + later)


def _open(x: Int64, _g: Int64) -> Int64:
    return x


def encodings(case: Case) -> Iterator[Change]:
    """Thresholds that are to be exceeded, bits of a channel reversed, or a bit of every channel before the next."""
    op = case.op
    strict = op.threshold.astype(np.int64) + 1
    yield Change("threshold_strict", {"instead": partial(_encoded, op, strict, False)})
    if op.threshold.shape[1] > 1:
        yield Change("thermometer_reversed", {"instead": partial(_encoded, op, op.threshold[:, ::-1], False)})
        if len(op.threshold) > 1:
            yield Change("thermometer_interleaved", {"instead": partial(_encoded, op, op.threshold, True)})


def _encoded(op: Encode, threshold: Int64, interleaved: bool, x: Int64) -> Int64:
    made = contract.encode(x, threshold, op.out).astype(np.int64)
    if not interleaved:
        return made
    return made.reshape(*x.shape, -1).swapaxes(-1, -2).reshape(made.shape)


Hypotheses = tuple[Callable[[Case], Iterator[Change]], ...]

CONV: Hypotheses = (padding_value, weight_order, matches)
THRESHOLD: Hypotheses = (comparisons,)
MAX_POOL: Hypotheses = (window,)
ORDERS: Hypotheses = (value_order,)
SUM_POOL: Hypotheses = (division,)
GATE: Hypotheses = (gates,)
ENCODE: Hypotheses = (encodings,)
