"""The values that tensors can have, over all images: what proofs of coverage rest on.

Of networks of int8 tensors `fxsim.prove.reach` proves them. Of all others they are found here, by channel, all places
of an image together: sets with every value that some image makes there, and maybe more.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fxsim.contract import Number, Tensor, divide, round_shift
from fxsim.coverage.points import Bools, Int64
from fxsim.engines import apply
from fxsim.errors import ModelError
from fxsim.graph import INPUT, Model, Node, refuse_beyond_int8
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
from fxsim.prove.reach import reach

LISTED_MAX = 1 << 16
"""Most sums of a row that are listed one by one, from the least on in steps that every sum is a multiple of; of more,
all that lies between the ends of the row's results is taken."""
_SIZE_MAX = 1 << 26
"""Most channels by values of a tensor: of more, one set stands for all of its channels."""
_SPAN_MAX = 1 << 22
"""Widest span of values of which sets are kept."""


@dataclass(frozen=True, eq=False)
class Values:
    """The values of a tensor: `sets` bool [tokens or 1, channels or 1, n], whether a place may have `low` + its index.

    A dimension of 1 where all tokens, or all channels, have the same.
    """

    low: int
    sets: Bools


def value_sets(model: Model) -> dict[str, Values | None]:
    """The values that each tensor can have: proved to be all; None where they span too much to be listed."""
    graph = model.graph
    try:
        refuse_beyond_int8(graph, "the proof of reachable values")
        return {name: Values(-128, found.sets) for name, found in reach(model).items()}
    except ModelError:
        pass
    found: dict[str, Values | None] = {INPUT: _whole(graph.input.number)}
    for node in graph.nodes:
        inputs = [found[name] for name in node.inputs]
        tensor = graph.tensors[node.name]
        known = [own for own in inputs if own is not None]
        if len(known) < len(inputs):
            found[node.name] = _whole(tensor.number)
        else:
            found[node.name] = RULES[type(node.op)](_At(node, node.op, graph.inputs_of(node), tensor, known))
    return found


def _whole(number: Number) -> Values | None:
    """Every value of a format."""
    if number.high - number.low >= _SPAN_MAX:
        return None
    every = np.arange(number.low, number.high + 1)
    return Values(number.low, number.held(every)[None, None])


Part = Int64 | range
"""Some values."""


def _made(number: Number, channels: Sequence[Sequence[Part]]) -> Values | None:
    """Sets by channel, each of parts."""
    low, high = number.low, number.high
    if high - low > LISTED_MAX:
        low, high = (int(end(end(part) for own in channels for part in own)) for end in (min, max))
    if high - low >= _SPAN_MAX:
        return None
    shared = len(channels) * (high - low + 1) > _SIZE_MAX
    sets = np.zeros((1, 1 if shared else len(channels), high - low + 1), np.bool_)
    for c, own in enumerate(channels):
        places = sets[0, 0 if shared else c]
        for part in own:
            if isinstance(part, range):
                places[part.start - low : part.stop - low : part.step] = True
            else:
                places[part - low] = True
    return Values(low, sets)


def together(values: Values) -> Bools:
    """The sets of each channel, over all tokens, bool [channels or 1, n]."""
    return np.asarray(values.sets.any(axis=0))


def by_channel(values: Values, channels: int) -> list[Int64]:
    """The values of each channel, in rising order."""
    found = [np.flatnonzero(own) + values.low for own in together(values)]
    return found * channels if len(found) == 1 else found


@dataclass(frozen=True, eq=False)
class _At:
    """A node, the tensors that it reads and gives, and the values of those that it reads."""

    node: Node
    op: Any
    inputs: Sequence[Tensor]
    result: Tensor
    values: Sequence[Values]


# --- Sums ------------------------------------------------------------------------------------------------------------


def summed(low: int, high: int, unit: int, finish: Callable[[Int64], Any]) -> Part:
    """The results of all sums from `low` to `high` in steps of `unit`; `finish` never falls where sums rise."""
    first, last = (int(np.asarray(finish(np.array([end], np.int64)))[0]) for end in (low, high))
    count = (high - low) // unit + 1 if unit else 1
    if count > LISTED_MAX:
        return range(first, last + 1)
    found = np.unique(finish(np.arange(count, dtype=np.int64) * max(unit, 1) + low)).astype(np.int64)
    return range(first, last + 1) if len(found) == last - first + 1 else found


def _gap(values: Int64) -> int:
    """The greatest number that every distance of two values is a multiple of; 0 where there is one value."""
    return int(np.gcd.reduce(np.diff(values))) if len(values) > 1 else 0


def line_ends(weight: Int64, values: Sequence[Int64]) -> tuple[Int64, Int64, Int64]:
    """Least and greatest sum of each row of weights [N, K] with such values of each input, and what steps are of."""
    least = np.array([own[0] for own in values], np.int64)
    greatest = np.array([own[-1] for own in values], np.int64)
    gaps = np.array([_gap(own) for own in values], np.int64)
    plus, minus = np.maximum(weight, 0), np.minimum(weight, 0)
    unit: Int64 = np.gcd.reduce(np.abs(weight) * gaps, axis=1) if len(values) else np.zeros(len(weight), np.int64)
    low, high = plus @ least + minus @ greatest, plus @ greatest + minus @ least
    return np.asarray(low, np.int64), np.asarray(high, np.int64), unit


def _requantised(op: Any, row: int) -> Callable[[Int64], Any]:
    shift, bias, out = int(op.shift[row]), int(op.bias[row]), op.out
    return lambda sums: np.clip(round_shift(sums, shift) + bias, out.low, out.high)


def _linear(at: _At) -> Values | None:
    op = at.op
    if op.over is Axis.TOKENS:
        # Each channel of the result has the rows of all weights.
        weight, size = op.weight.astype(np.int64), op.weight.shape[1]
        channels = []
        for own in by_channel(at.values[0], at.inputs[0].shape[-1]):
            low, high, unit = line_ends(weight, [own] * size)
            rows = [summed(int(low[n]), int(high[n]), int(unit[n]), _requantised(op, n)) for n in range(len(op.weight))]
            channels.append(rows)
        return _made(at.result.number, channels)
    low, high, unit = line_ends(op.weight.astype(np.int64), by_channel(at.values[0], op.weight.shape[1]))
    rows = [summed(int(low[n]), int(high[n]), int(unit[n]), _requantised(op, n)) for n in range(len(op.weight))]
    return _made(at.result.number, [[row] for row in rows])


@dataclass(frozen=True)
class Taps:
    """Places of a convolution's result whose windows have the same part within the image.

    `kernel`: the rows and columns of the kernel that lie there, each with each; `starts`: the row and the column of the
    image that place 0, 0 of each kernel is at.
    """

    kernel: tuple[tuple[int, ...], tuple[int, ...]]
    starts: tuple[tuple[int, int], ...]


def taps_of(op: Conv, x: Tensor) -> list[Taps]:
    """The places of a convolution's result, those that read alike together."""
    sides: list[dict[tuple[int, ...], list[int]]] = []
    for axis in range(2):
        found: dict[tuple[int, ...], list[int]] = {}
        for place in range(op.result(x).shape[axis]):
            start = place * op.stride[axis] - op.padding[axis]
            reads = range(op.weight.shape[1 + axis])
            inside = tuple(r for r in reads if 0 <= start + r * op.dilation[axis] < x.shape[axis])
            found.setdefault(inside, []).append(start)
        sides.append(found)
    return [
        Taps((rows, columns), tuple((i, j) for i in first for j in second))
        for rows, first in sides[0].items()
        for columns, second in sides[1].items()
    ]


def weights_there(op: Conv, taps: Taps) -> Int64:
    """The weights of all outputs at the places of a kernel that lie within the image, int64 [N, rows * columns * C]."""
    kept = op.weight[:, taps.kernel[0]][:, :, taps.kernel[1]].astype(np.int64)
    return np.ascontiguousarray(kept).reshape(len(op.weight), -1)


def _conv(at: _At) -> Values | None:
    op = at.op
    each, share = op.weight.shape[3], len(op.weight) // op.groups
    channels = by_channel(at.values[0], at.inputs[0].shape[-1])
    rows: list[list[Part]] = [[] for _ in op.weight]
    for taps in taps_of(op, at.inputs[0]):
        places = len(taps.kernel[0]) * len(taps.kernel[1])
        weight = weights_there(op, taps)
        for g in range(op.groups):
            own = slice(g * share, (g + 1) * share)
            low, high, unit = line_ends(weight[own], channels[g * each : (g + 1) * each] * places)
            for n in range(share):
                rows[g * share + n].append(range(int(low[n]), int(high[n]) + 1, max(1, int(unit[n]))))
    return _made(at.result.number, rows)


def _both(at: _At) -> Values | None:
    """Sums of two tensors, each with a weight."""
    op = at.op
    count = at.result.shape[-1]
    weight = op.weight.astype(np.int64) if isinstance(op, WeightedAdd) else np.ones((2, count), np.int64)
    pairs = zip(*(by_channel(own, count) for own in at.values), strict=True)
    found = []
    for c, pair in enumerate(pairs):
        low, high, unit = line_ends(weight[None, :, c], pair)
        shift = int(op.shift[c]) if isinstance(op, WeightedAdd) else 0

        def finish(sums: Int64, shift: int = shift) -> Any:
            return np.clip(round_shift(sums, shift), op.out.low, op.out.high)

        found.append([summed(int(low[0]), int(high[0]), int(unit[0]), finish)])
    return _made(at.result.number, found)


def _pool(at: _At) -> Values | None:
    op = at.op
    shift = op.tokens.bit_length() - 1
    found = []
    for own in by_channel(at.values[0], at.result.shape[-1]):
        low, high, unit = op.tokens * int(own[0]), op.tokens * int(own[-1]), _gap(own)
        found.append([summed(low, high, unit, lambda sums: round_shift(sums, shift))])
    return _made(at.result.number, found)


def _sum_pool(at: _At) -> Values | None:
    op = at.op
    count = op.kernel[0] * op.kernel[1]

    def finish(sums: Int64) -> Any:
        return np.clip(divide(sums, op.divisor, op.rounding), op.out.low, op.out.high)

    found = []
    for own in by_channel(at.values[0], at.result.shape[-1]):
        low, high, unit = count * int(own[0]), count * int(own[-1]), _gap(own)
        limits = op.limits
        if limits is not None and not (limits.low <= min(low, int(own[0])) and max(high, int(own[-1])) <= limits.high):
            # Each partial sum rises where a value does, whatever is saturated: the ends are those of the ends.
            low, high, unit = *(_ordered_end(int(end), count, limits) for end in (own[0], own[-1])), 1
        found.append([summed(low, high, unit, finish)])
    return _made(at.result.number, found)


def _matmul(at: _At) -> Values | None:
    """Everything between the least and the greatest sum of products of any two values."""
    op = at.op
    sets = [np.concatenate(by_channel(known, 1)) for known in at.values]
    ends = [(int(own.min()), int(own.max())) for own in sets]
    products = [a * b for a in ends[0] for b in ends[1]]
    every = range(op.terms * min(products), op.terms * max(products) + 1)
    return _made(at.result.number, [[every]] * at.result.shape[-1])


def _position(at: _At) -> Values | None:
    table = at.op.table.astype(np.int64)
    found = by_channel(at.values[0], table.shape[1])
    return _made(at.result.number, [[own + t for t in np.unique(table[:, c])] for c, own in enumerate(found)])


def _ordered_end(value: int, count: int, limits: Number) -> int:
    total = 0
    for _ in range(count):
        total = min(max(total + value, limits.low), limits.high)
    return total


def _ordered_linear(at: _At) -> Values | None:
    op = at.op
    channels = by_channel(at.values[0], op.weight.shape[1])
    low = high = op.bias.astype(np.int64)
    shift = op.shift.astype(np.int64)
    for k, own in enumerate(channels):
        weight = op.weight[:, k].astype(np.int64)
        ends = np.sort(round_shift(np.stack([weight * own[0], weight * own[-1]]), shift), axis=0)
        low = np.clip(low + ends[0], op.out.low, op.out.high)
        high = np.clip(high + ends[1], op.out.low, op.out.high)
    return _made(at.result.number, [[range(int(low[n]), int(high[n]) + 1)] for n in range(len(low))])


# --- Values, one by one ----------------------------------------------------------------------------------------------


def _function(at: _At) -> Values | None:
    """Functions of one value: of each that a channel can have."""
    (x,), (own,) = at.inputs, at.values
    channels = by_channel(own, x.shape[-1])
    every = np.arange(own.low, own.low + own.sets.shape[-1])
    spread = np.broadcast_to(every[:, None], (len(every), len(channels))).astype(x.number.dtype)
    results = apply(at.node, spread).astype(np.int64)
    more = results.shape[1] // len(channels)
    found = [np.unique(results[channels[c // more] - own.low, c]) for c in range(results.shape[1])]
    return _made(at.result.number, [[values] for values in found])


def _same(at: _At) -> Values | None:
    return Values(at.values[0].low, together(at.values[0])[None])


def _pad(at: _At) -> Values | None:
    value = at.op.value.astype(np.int64)
    found = by_channel(at.values[0], len(value))
    padded = any(at.op.padding)
    return _made(at.result.number, [[own, value[c : c + 1]] if padded else [own] for c, own in enumerate(found)])


def _gate(at: _At) -> Values | None:
    zero = np.zeros(1, np.int64)
    return _made(at.result.number, [[own, zero] for own in by_channel(at.values[0], at.result.shape[-1])])


def _concat(at: _At) -> Values | None:
    pairs = zip(at.inputs, at.values, strict=True)
    return _made(at.result.number, [[own] for x, known in pairs for own in by_channel(known, x.shape[-1])])


def _order(at: _At) -> Values | None:
    op = at.op
    (x,), (own,) = at.inputs, at.values
    sets = together(own)
    if len(sets) == 1:
        return Values(own.low, sets[None])
    size = math.prod(x.shape)
    if size * sets.shape[1] > _SIZE_MAX:
        return Values(own.low, np.asarray(sets.any(axis=0))[None, None])
    channel = np.arange(size).reshape(x.shape).transpose(op.order).reshape(-1) % x.shape[-1]
    reached = sets[channel].reshape(-1, at.result.shape[-1], sets.shape[1]).any(axis=0)
    return Values(own.low, np.asarray(reached)[None])


def _argmax(at: _At) -> Values | None:
    op = at.op
    return _made(at.result.number, [[range(op.classes)]])


_Rule = Callable[[_At], Values | None]

RULES: OperatorTable[_Rule] = OperatorTable(
    "the values of networks of few bits",
    {
        Linear: _linear,
        Conv: _conv,
        Add: _both,
        WeightedAdd: _both,
        Pool: _pool,
        SumPool: _sum_pool,
        OrderedLinear: _ordered_linear,
        **dict.fromkeys((Affine, Relu, Lut, Threshold, Encode, MultiplyAdd, Prelu, Rescale), _function),
        Pad: _pad,
        MaxPool: _same,
        Gate: _gate,
        Concat: _concat,
        **dict.fromkeys(ORDERS, _order),
        Argmax: _argmax,
        Matmul: _matmul,
        Position: _position,
    },
)
"""The values of each operator's result by those of its inputs."""
