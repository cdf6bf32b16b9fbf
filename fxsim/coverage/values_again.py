"""The values of `fxsim.coverage.values` found again, value after value, in sets of Python integers."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from fxsim.coverage.values import LISTED_MAX
from fxsim.graph import INPUT, Graph, Node
from fxsim.operators import (
    Add,
    Affine,
    Argmax,
    Axis,
    Concat,
    Conv,
    Encode,
    Flatten,
    Gate,
    Linear,
    Lut,
    Matmul,
    MaxPool,
    MultiplyAdd,
    OrderedLinear,
    Pad,
    Pool,
    Position,
    Prelu,
    Relu,
    Rescale,
    Reshape,
    SumPool,
    Threshold,
    Transpose,
    WeightedAdd,
)

WIDEST = 1 << 17
"""Most values of a channel that are listed again."""
_TOGETHER = 1 << 24
"""Most values of all tensors' channels together that are listed again."""

Ints = frozenset[int]


def values_again(graph: Graph) -> dict[str, list[Ints] | None]:
    """By tensor the values that each of its channels can have; None where there are too many to list again."""
    known: dict[Ints, Ints] = {}
    left = _TOGETHER
    found: dict[str, list[Ints] | None] = {}
    for name, tensor in graph.tensors.items():
        made: list[Ints] | None
        if name == INPUT:
            made = _whole(tensor)
        else:
            node = graph.by_name[name]
            inputs = [found[source] for source in node.inputs]
            if any(own is None for own in inputs):
                made = _whole(tensor)
            else:
                made = _result(graph, node, [own for own in inputs if own is not None])
        if made is not None and max(map(len, made)) > WIDEST:
            made = None
        if made is not None:
            for own in made:
                if own not in known:
                    known[own] = own
                    left -= len(own)
            made = [known[own] for own in made] if left > 0 else None
        found[name] = made
    return found


def _whole(tensor: Any) -> list[Ints] | None:
    number = tensor.number
    if number.high - number.low >= WIDEST:
        return None
    every = frozenset(v for v in range(number.low, number.high + 1) if v or not number.bipolar)
    return [every] * int(tensor.shape[-1])


def rounded(total: int, shift: int) -> int:
    """The whole number nearest to total / 2^shift, ties up."""
    return (2 * total + (1 << shift)) >> (shift + 1)


def divided(product: int, shift: int, rounding: str) -> int:
    """A product over 2^shift by one of the roundings of a rescale."""
    if rounding == "double" and shift > 31:
        return divided(rounded(product, 31), shift - 31, "half_away")
    below, rest = divmod(product, 1 << shift)
    tie = 2 * rest == 1 << shift
    if rounding == "floor":
        return below
    if tie and rounding == "half_even":
        return below + below % 2
    if tie and rounding == "half_away":
        return below + (product > 0)
    return rounded(product, shift)


def limited(value: int, number: Any) -> int:
    """The value of a format that is nearest."""
    return int(min(max(value, number.low), number.high))


def quotient(total: int, divisor: int, rounding: str) -> int:
    """A sum that is divided."""
    if rounding == "half_up":
        return (2 * total + divisor) // (2 * divisor)
    if rounding == "zero" and total < 0:
        return -(-total // divisor)
    return total // divisor


def _line(weights: Sequence[int], values: Sequence[Ints], finish: Callable[[int], int]) -> Iterator[int]:
    """The results of all sums of a line: in steps of what every sum is a multiple of, or all between the ends."""
    low = high = unit = 0
    for w, own in zip(weights, values, strict=True):
        ends = sorted((w * min(own), w * max(own)))
        low, high = low + ends[0], high + ends[1]
        for a, b in pairwise(sorted(own)):
            unit = math.gcd(unit, abs(w) * (b - a))
    if unit and (high - low) // unit + 1 > LISTED_MAX:
        yield from range(finish(low), finish(high) + 1)
    else:
        yield from map(finish, range(low, high + 1, max(1, unit)))


def taps_again(op: Conv, shape: Sequence[int]) -> dict[tuple[tuple[int, ...], tuple[int, ...]], tuple[int, int]]:
    """The parts of a kernel that lie within the image, by rows and columns, each with a place that has it."""
    found: dict[tuple[tuple[int, ...], tuple[int, ...]], tuple[int, int]] = {}
    top, left, bottom, right = op.padding
    kernel = op.weight.shape[1:3]
    last = [
        size + before + after - op.dilation[axis] * (kernel[axis] - 1)
        for axis, (size, before, after) in enumerate(((shape[0], top, bottom), (shape[1], left, right)))
    ]
    for i in range(-top, last[0] - top, op.stride[0]):
        rows = tuple(r for r in range(kernel[0]) if 0 <= i + r * op.dilation[0] < shape[0])
        for j in range(-left, last[1] - left, op.stride[1]):
            columns = tuple(s for s in range(kernel[1]) if 0 <= j + s * op.dilation[1] < shape[1])
            found.setdefault((rows, columns), (i, j))
    return found


def conv_lines(op: Conv, shape: Sequence[int], row: int, x: Sequence[Ints]) -> list[tuple[list[int], list[Ints]]]:
    """The different lines of a row of a convolution: weights, and the values of each input."""
    each = op.weight.shape[3]
    first = row // (len(op.weight) // op.groups) * each
    return [
        (
            [int(op.weight[row, r, s, c]) for r in rows for s in columns for c in range(each)],
            [x[first + c] for _ in rows for _ in columns for c in range(each)],
        )
        for rows, columns in taps_again(op, shape)
    ]


def _result(graph: Graph, node: Node, inputs: Sequence[list[Ints]]) -> list[Ints]:
    op: Any = node.op
    x = inputs[0]
    shape, channels = graph.shapes[node.inputs[0]], range(graph.shapes[node.name][-1])
    match op:
        case Linear():

            def of_row(n: int) -> Callable[[int], int]:
                return lambda a: limited(rounded(a, int(op.shift[n])) + int(op.bias[n]), op.out)

            rows = range(len(op.weight))
            if op.over is Axis.TOKENS:
                found: Mapping[Ints, Ints] = {
                    own: frozenset(
                        v for n in rows for v in _line(op.weight[n].tolist(), [own] * op.weight.shape[1], of_row(n))
                    )
                    for own in set(x)
                }
                return [found[own] for own in x]
            return [frozenset(_line(op.weight[n].tolist(), x, of_row(n))) for n in rows]
        case Conv():
            return [
                frozenset(v for line in conv_lines(op, shape, n, x) for v in _all(*line)) for n in range(len(op.weight))
            ]
        case Add():
            return [frozenset(_line([1, 1], pair, lambda a: limited(a, op.out))) for pair in zip(*inputs, strict=True)]
        case WeightedAdd():
            return [
                frozenset(_line(op.weight[:, c].tolist(), pair, _shifted(int(op.shift[c]), op.out)))
                for c, pair in enumerate(zip(*inputs, strict=True))
            ]
        case Pool():
            places = op.tokens.bit_length() - 1
            return [frozenset(_line([1] * op.tokens, [own] * op.tokens, lambda a: rounded(a, places))) for own in x]
        case SumPool():
            return [_pooled(op, own) for own in x]
        case OrderedLinear():
            return [_ordered_ends(op, n, x) for n in range(len(op.weight))]
        case MaxPool():
            return x
        case Gate():
            return [own | {0} for own in x]
        case Pad():
            return [own | {v} if any(op.padding) else own for own, v in zip(x, op.value.tolist(), strict=True)]
        case Concat():
            return [*x, *inputs[1]]
        case Flatten() | Reshape() | Transpose():
            found_by_place, size = list(_flattened(shape, op.order)), len(channels)
            return [frozenset().union(*(x[place] for place in set(found_by_place[c::size]))) for c in channels]
        case Matmul():
            pairs = [(min(map(min, sets)), max(map(max, sets))) for sets in inputs]
            ends = [a * b for a in pairs[0] for b in pairs[1]]
            low, high = op.terms * min(ends), op.terms * max(ends)
            return [frozenset(range(low, min(high, low + WIDEST + 1) + 1))] * len(channels)
        case Position():
            return [frozenset(v + t for v in own for t in op.table[:, c].tolist()) for c, own in enumerate(x)]
        case Argmax():
            return [frozenset(range(op.classes))]
        case Encode():
            return [
                frozenset(op.out.high if v >= t else op.out.low for v in own)
                for own, steps in zip(x, op.threshold.tolist(), strict=True)
                for t in steps
            ]
    return [frozenset(one_value(op, c, v) for v in x[c]) for c in channels]


def _all(weights: Sequence[int], values: Sequence[Ints]) -> Iterator[int]:
    """All sums of a line, in steps of what every sum is a multiple of, however many."""
    pairs = list(zip(weights, values, strict=True))
    low = sum(min(w * min(own), w * max(own)) for w, own in pairs)
    high = sum(max(w * min(own), w * max(own)) for w, own in pairs)
    unit = 0
    for w, own in pairs:
        for v in own:
            unit = math.gcd(unit, w * (v - min(own)))
    return iter(range(low, min(high, low + (WIDEST + 1) * max(1, unit)) + 1, max(1, unit)))


def _shifted(shift: int, out: Any) -> Callable[[int], int]:
    return lambda a: limited(rounded(a, shift), out)


def _pooled(op: SumPool, own: Ints) -> Ints:
    count = op.kernel[0] * op.kernel[1]

    def finish(total: int) -> int:
        return limited(quotient(total, op.divisor, op.rounding), op.out)

    if op.saturating:
        partial = [n * end for n in range(1, count + 1) for end in (min(own), max(own))]
        half = 1 << (op.acc_bits - 1)
        if min(partial) < -half or max(partial) >= half:
            ends = []
            for end in (min(own), max(own)):
                total = 0
                for _ in range(count):
                    total = min(max(total + end, -half), half - 1)
                ends.append(total)
            return frozenset(_line([1], [frozenset(range(ends[0], ends[1] + 1))], finish))
    return frozenset(_line([1] * count, [own] * count, finish))


def _ordered_ends(op: OrderedLinear, n: int, x: Sequence[Ints]) -> Ints:
    low = high = int(op.bias[n])
    for w, own in zip(op.weight[n].tolist(), x, strict=True):
        terms = [rounded(w * end, int(op.shift[n])) for end in (min(own), max(own))]
        low, high = limited(low + min(terms), op.out), limited(high + max(terms), op.out)
    return frozenset(range(low, high + 1))


def _flattened(shape: Sequence[int], order: Sequence[int]) -> Iterator[int]:
    """The channel of each value of an image, in the order in which they are put on one axis."""

    def walk(at: dict[int, int], axes: Sequence[int]) -> Iterator[int]:
        if not axes:
            yield at[len(shape) - 1]
            return
        for place in range(shape[axes[0]]):
            yield from walk({**at, axes[0]: place}, axes[1:])

    return walk({}, order)


def one_value(op: Any, c: int, v: int) -> int:
    """The result of one value of a channel, where that decides it."""
    match op:
        case Relu():
            return max(v, 0)
        case Affine():
            return limited(rounded(v * int(op.weight[c]), int(op.shift[c])) + int(op.bias[c]), op.out)
        case MultiplyAdd():
            return limited(rounded(v * int(op.weight[c]) + int(op.bias[c]), int(op.shift[c])), op.out)
        case Rescale():
            product = (v + int(op.addend[c])) * int(op.multiplier[c])
            return limited(divided(product, int(op.shift[c]), str(op.rounding)) + int(op.bias[c]), op.out)
        case Prelu():
            return limited(v if v >= 0 else rounded(v * int(op.weight[c]), int(op.shift[c])), op.out)
        case Threshold():
            passed = sum(v >= t if op.rising[c] else v <= t for t in op.threshold[c].tolist())
            return int(op.levels[passed])
        case Lut():
            return _looked_up(op, c, v)
    raise TypeError(op)


def _looked_up(op: Lut, c: int, v: int) -> int:
    entries = op.table[c].tolist()
    code = v - op.number.low
    if op.rule == "full":
        return int(entries[code])
    points = len(entries) - (op.rule == "endpoint")
    step = (op.number.high - op.number.low + 1) // points
    left, fraction = divmod(code, step)
    if op.rule == "clamp":
        left = min(left, points - 2)
    right = left if op.rule == "hold" and left == points - 1 else left + 1
    return int(entries[left]) + rounded((entries[right] - entries[left]) * fraction, step.bit_length() - 1)
