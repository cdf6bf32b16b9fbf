"""The plain loops: the contract once more, as Numba loops that one checks by eye. No tiles, no packing, no tables made.

No user chooses this engine. Tests hold the other two to it, and benchmarks show beside it what the compiled engine
gains over the loops that one would write first. Images are computed one part after the other; a part's tensors lie
token-major, in int32. Sums and products are Numba's int64, in which nothing here can overflow: graphs prove their
accumulators to be at most 62 bits wide.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# Numba infers its own types of compiled functions: annotations would be a second, unchecked statement of them.

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract import Division, Padding, Pair, Rounding, TableRule
from fxsim.contract.arithmetic import Integers
from fxsim.graph import INPUT, Model
from fxsim.jit import compile_function, config, njit, typeof, types
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
    OperatorTable,
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

Int32 = npt.NDArray[np.int32]

_IMAGES = 8
"""Images of a part: few enough that memory stays small and that all threads end together."""


# --- Loops: each sets all of `y`, the last argument ------------------------------------------------------------------


@njit
def _saturate(value, low, high):
    return min(max(value, low), high)


@njit
def _round_shift(total, shift):
    """Compute floor(total / 2^shift + 1/2) of a sum of at most 62 bits."""
    if shift == 0:
        return total
    if shift > 62:
        return 0
    return (total + (1 << (shift - 1))) >> shift


def _linear_channels(x, weight, shift, bias, low, high, y):
    """Compute y[t, n] from the sum over k of x[t, k] * weight[n, k]."""
    for t in range(x.shape[0]):
        for n in range(weight.shape[0]):
            total = 0
            for k in range(weight.shape[1]):
                total += x[t, k] * weight[n, k]
            y[t, n] = _saturate(_round_shift(total, shift[n]) + bias[n], low, high)


def _linear_tokens(x, weight, shift, bias, low, high, y):
    """Compute y[i, n, c] from the sum over k of x[i, k, c] * weight[n, k]."""
    for i in range(x.shape[0]):
        for n in range(weight.shape[0]):
            for c in range(x.shape[2]):
                total = 0
                for k in range(weight.shape[1]):
                    total += x[i, k, c] * weight[n, k]
                y[i, n, c] = _saturate(_round_shift(total, shift[n]) + bias[n], low, high)


def _affine(x, weight, shift, bias, low, high, y):
    """Compute y[t, c] from x[t, c] * weight[c]."""
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            y[t, c] = _saturate(_round_shift(x[t, c] * weight[c], shift[c]) + bias[c], low, high)


def _relu(x, y):
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            y[t, c] = max(x[t, c], 0)


def _lut(x, least, fraction_bits, last_segment, table, y):
    """Interpolate: the code x - least is a segment of the table, and how far into it; behind the last point is itself.

    With no bits of fraction, an entry of the table.
    """
    last_point = table.shape[1] - 1
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            code = x[t, c] - least
            segment = min(code >> fraction_bits, last_segment)
            fraction = code & ((1 << fraction_bits) - 1)
            left, right = table[c, segment], table[c, min(segment + 1, last_point)]
            y[t, c] = left + _round_shift((right - left) * fraction, fraction_bits)


def _add(x, r, low, high, y):
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            y[t, c] = _saturate(x[t, c] + r[t, c], low, high)


def _pool(x, shift, y):
    """Compute y[i, c] from the sum over t of x[i, t, c], of 2^shift tokens."""
    for i in range(x.shape[0]):
        for c in range(x.shape[2]):
            total = 0
            for t in range(x.shape[1]):
                total += x[i, t, c]
            y[i, c] = _round_shift(total, shift)


def _conv(x, weight, row_step, column_step, top, left, row_apart, column_apart, share, y):
    """Compute y[n, i, j, o] from the sum over r, s, c of weight[o, r, s, c] and what it lies on; outside lies nothing.

    `share`: outputs of a group, which has its own channels.
    """
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for o in range(y.shape[3]):
                    first = (o // share) * weight.shape[3]
                    total = 0
                    for r in range(weight.shape[1]):
                        row = i * row_step + r * row_apart - top
                        if row < 0 or row >= x.shape[1]:
                            continue
                        for s in range(weight.shape[2]):
                            column = j * column_step + s * column_apart - left
                            if column < 0 or column >= x.shape[2]:
                                continue
                            for c in range(weight.shape[3]):
                                total += x[n, row, column, first + c] * weight[o, r, s, c]
                    y[n, i, j, o] = total


def _max_pool(x, rows, columns, row_step, column_step, y):
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for c in range(y.shape[3]):
                    greatest = x[n, i * row_step, j * column_step, c]
                    for r in range(rows):
                        for s in range(columns):
                            greatest = max(greatest, x[n, i * row_step + r, j * column_step + s, c])
                    y[n, i, j, c] = greatest


def _threshold(x, threshold, rising, levels, y):
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            passed = 0
            for k in range(threshold.shape[1]):
                if rising[c] == 1:
                    passed += x[t, c] >= threshold[c, k]
                else:
                    passed += x[t, c] <= threshold[c, k]
            y[t, c] = levels[passed]


def _encode(x, threshold, low, high, y):
    """Compute y[t, c * n + k] from x[t, c] and threshold[c, k]."""
    steps = threshold.shape[1]
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            for k in range(steps):
                y[t, c * steps + k] = high if x[t, c] >= threshold[c, k] else low


def _multiply_add(x, weight, bias, shift, low, high, y):
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            y[t, c] = _saturate(_round_shift(x[t, c] * weight[c] + bias[c], shift[c]), low, high)


def _weighted_add(x, r, weight, shift, low, high, y):
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            y[t, c] = _saturate(_round_shift(x[t, c] * weight[0, c] + r[t, c] * weight[1, c], shift[c]), low, high)


def _prelu(x, weight, shift, low, high, y):
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            if x[t, c] < 0:
                y[t, c] = _saturate(_round_shift(x[t, c] * weight[c], shift[c]), low, high)
            else:
                y[t, c] = _saturate(x[t, c], low, high)


def _gate(x, g, threshold, y):
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            y[t, c] = x[t, c] if g[t, c] >= threshold[c] else 0


def _concat(x, r, y):
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            y[t, c] = x[t, c]
        for c in range(r.shape[1]):
            y[t, x.shape[1] + c] = r[t, c]


def _gather(x, place, y):
    """Compute y[n, i] = x[n, place[i]]."""
    for n in range(x.shape[0]):
        for i in range(place.shape[0]):
            y[n, i] = x[n, place[i]]


@njit
def _divide(total, divisor, rounding):
    """Divide by a number from 1 on: rounding 0 to the floor, 1 to the nearest and ties up, 2 towards zero."""
    if rounding == 2:
        return -(-total // divisor) if total < 0 else total // divisor
    if rounding == 1:
        return (2 * total + divisor) // (2 * divisor)
    return total // divisor


def _sum_pool(x, rows, columns, row_step, column_step, least, greatest, divisor, rounding, low, high, y):
    """Sum windows row by row, each partial sum within `least` and `greatest`."""
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for c in range(y.shape[3]):
                    total = 0
                    for r in range(rows):
                        for s in range(columns):
                            total += x[n, i * row_step + r, j * column_step + s, c]
                            total = _saturate(total, least, greatest)
                    y[n, i, j, c] = _saturate(_divide(total, divisor, rounding), low, high)


def _ordered_linear(x, weight, bias, shift, low, high, y):
    for t in range(x.shape[0]):
        for n in range(weight.shape[0]):
            total = bias[n] + 0
            for k in range(weight.shape[1]):
                total = _saturate(total + _round_shift(x[t, k] * weight[n, k], shift[n]), low, high)
            y[t, n] = total


@njit
def _nearest(v, shift, ties):
    """Divide by 2^shift to the nearest: ties 0 up, 1 to the even one, 2 away from zero."""
    floor = v >> shift
    twice = (v - (floor << shift)) * 2
    whole = np.int64(1) << shift
    if twice < whole:
        return floor
    if twice == whole and ((ties == 1 and floor % 2 == 0) or (ties == 2 and v < 0)):
        return floor
    return floor + 1


def _rescale(x, addend, multiplier, shift, bias, rounding, low, high, y):
    """Rounding 0 to 2 to the nearest, as `_nearest` breaks ties, 3 to the floor, 4 twice."""
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            value = (np.int64(x[t, c]) + np.int64(addend[c])) * np.int64(multiplier[c])
            places = np.int64(shift[c])
            if rounding == 3:
                value = value >> places
            elif rounding == 4 and places > 31:
                value = _nearest(_nearest(value, 31, 0), places - 31, 2)
            elif rounding == 4:
                value = _nearest(value, places, 0)
            else:
                value = _nearest(value, places, rounding)
            y[t, c] = _saturate(value + bias[c], low, high)


def _pad(x, value, top, left, y):
    for n in range(y.shape[0]):
        for row in range(y.shape[1]):
            for column in range(y.shape[2]):
                inside = 0 <= row - top < x.shape[1] and 0 <= column - left < x.shape[2]
                for c in range(y.shape[3]):
                    y[n, row, column, c] = x[n, row - top, column - left, c] if inside else value[c]


def _matmul_transposed(x, r, heads, terms, y):
    """Compute y[n, i, h * S + j] from the sum over c of x[n, i, h * terms + c] * r[n, j, h * terms + c]."""
    places = r.shape[1]
    for n in range(x.shape[0]):
        for i in range(x.shape[1]):
            for h in range(heads):
                for j in range(places):
                    total = 0
                    for c in range(terms):
                        total += x[n, i, h * terms + c] * r[n, j, h * terms + c]
                    y[n, i, h * places + j] = total


def _matmul(x, r, heads, terms, y):
    """Compute y[n, i, h * d + c] from the sum over j of x[n, i, h * terms + j] * r[n, j, h * d + c]."""
    each = r.shape[2] // heads
    for n in range(x.shape[0]):
        for i in range(x.shape[1]):
            for h in range(heads):
                for c in range(each):
                    total = 0
                    for j in range(terms):
                        total += x[n, i, h * terms + j] * r[n, j, h * each + c]
                    y[n, i, h * each + c] = total


def _position(x, table, y):
    for n in range(x.shape[0]):
        for i in range(x.shape[1]):
            for c in range(x.shape[2]):
                y[n, i, c] = x[n, i, c] + table[i, c]


def _argmax(x, classes, y):
    for t in range(x.shape[0]):
        best = 0
        for c in range(1, classes):
            if x[t, c] > x[t, best]:
                best = c
        y[t, 0] = best


# --- Operators: which loop computes each, of which numbers -----------------------------------------------------------


@functools.cache
def _compiled(function: Callable[..., None], kinds: tuple[Any, ...]) -> Callable[..., None]:
    return compile_function(function, types.void(*kinds))


def _call(function: Callable[..., None], shape: tuple[int, ...], *arguments: Any) -> Int32:
    """Let a loop set an array of `shape` from arguments, whose arrays it gets as int32."""
    y = np.empty(shape, np.int32)
    arguments = (*(a.astype(np.int32) if isinstance(a, np.ndarray) else int(a) for a in arguments), y)
    _compiled(function, tuple(map(typeof, arguments)))(*arguments)
    return y


def _run_linear(op: Linear, low: int, high: int, x: Int32) -> Int32:
    outputs, inputs = op.weight.shape
    if op.over is Axis.CHANNELS:
        rows = x.reshape(-1, inputs)
        return _call(_linear_channels, (len(rows), outputs), rows, op.weight, op.shift, op.bias, low, high)
    images = x.reshape(-1, *x.shape[-2:])
    shape = (len(images), outputs, images.shape[2])
    return _call(_linear_tokens, shape, images, op.weight, op.shift, op.bias, low, high)


def _run_affine(op: Affine, low: int, high: int, x: Int32) -> Int32:
    rows = x.reshape(-1, len(op.weight))
    return _call(_affine, rows.shape, rows, op.weight, op.shift, op.bias, low, high)


def _run_relu(_op: Relu, _low: int, _high: int, x: Int32) -> Int32:
    rows = x.reshape(-1, x.shape[-1])
    return _call(_relu, rows.shape, rows)


def _run_lut(op: Lut, _low: int, _high: int, x: Int32) -> Int32:
    rows = x.reshape(-1, len(op.table))
    last_segment = op.points - (2 if op.rule is TableRule.CLAMP else 1)
    fraction_bits = op.number.bits - (op.points.bit_length() - 1)
    return _call(_lut, rows.shape, rows, op.number.low, fraction_bits, last_segment, op.table)


def _run_add(_op: Add, low: int, high: int, x: Int32, r: Int32) -> Int32:
    rows = x.reshape(-1, x.shape[-1])
    return _call(_add, rows.shape, rows, r.reshape(rows.shape), low, high)


def _run_pool(op: Pool, _low: int, _high: int, x: Int32) -> Int32:
    images = x.reshape(-1, *x.shape[-2:])
    return _call(_pool, (len(images), images.shape[2]), images, op.tokens.bit_length() - 1)


def _run_conv(op: Conv, _low: int, _high: int, x: Int32) -> Int32:
    outputs, *kernel, _ = op.weight.shape
    shape = (len(x), *_places(x, op.stride, [op.dilation[i] * (kernel[i] - 1) for i in range(2)], op.padding), outputs)
    top, left, _, _ = op.padding
    return _call(_conv, shape, x, op.weight, *op.stride, top, left, *op.dilation, outputs // op.groups)


def _run_max_pool(op: MaxPool, _low: int, _high: int, x: Int32) -> Int32:
    shape = (len(x), *_places(x, op.stride, [size - 1 for size in op.kernel]), x.shape[-1])
    return _call(_max_pool, shape, x, *op.kernel, *op.stride)


def _places(x: Int32, stride: Pair, spans: list[int], padding: Padding = (0, 0, 0, 0)) -> list[int]:
    """Rows and columns at which a window begins, from its last row's and column's distance from its first."""
    return [len(range(0, x.shape[1 + i] + padding[i] + padding[2 + i] - spans[i], stride[i])) for i in range(2)]


def _run_threshold(op: Threshold, _low: int, _high: int, x: Int32) -> Int32:
    rows = x.reshape(-1, len(op.threshold))
    return _call(_threshold, rows.shape, rows, op.threshold, op.rising, op.levels)


def _rows(x: Int32) -> Int32:
    return x.reshape(-1, x.shape[-1])


def _run_encode(op: Encode, low: int, high: int, x: Int32) -> Int32:
    rows = _rows(x)
    return _call(_encode, (len(rows), op.threshold.size), rows, op.threshold, low, high)


def _run_multiply_add(op: MultiplyAdd, low: int, high: int, x: Int32) -> Int32:
    return _call(_multiply_add, _rows(x).shape, _rows(x), op.weight, op.bias, op.shift, low, high)


def _run_weighted_add(op: WeightedAdd, low: int, high: int, x: Int32, r: Int32) -> Int32:
    return _call(_weighted_add, _rows(x).shape, _rows(x), _rows(r), op.weight, op.shift, low, high)


def _run_prelu(op: Prelu, low: int, high: int, x: Int32) -> Int32:
    return _call(_prelu, _rows(x).shape, _rows(x), op.weight, op.shift, low, high)


def _run_gate(op: Gate, _low: int, _high: int, x: Int32, g: Int32) -> Int32:
    return _call(_gate, _rows(x).shape, _rows(x), _rows(g), op.threshold)


def _run_concat(_op: Concat, _low: int, _high: int, x: Int32, r: Int32) -> Int32:
    rows, others = _rows(x), _rows(r)
    return _call(_concat, (len(rows), rows.shape[1] + others.shape[1]), rows, others)


def _run_ordered(op: Flatten | Reshape | Transpose, _low: int, _high: int, x: Int32) -> Int32:
    place = np.arange(x[0].size, dtype=np.int32).reshape(x.shape[1:]).transpose(op.order).reshape(-1)
    return _call(_gather, (len(x), x[0].size), x.reshape(len(x), -1), place)


def _run_sum_pool(op: SumPool, low: int, high: int, x: Int32) -> Int32:
    shape = (len(x), *_places(x, op.stride, [size - 1 for size in op.kernel]), x.shape[-1])
    ends = (-(1 << op.acc_bits - 1), (1 << op.acc_bits - 1) - 1) if op.saturating else (-(1 << 62), 1 << 62)
    rounding = (Division.FLOOR, Division.HALF_UP, Division.ZERO).index(op.rounding)
    return _call(_sum_pool, shape, x, *op.kernel, *op.stride, *ends, op.divisor, rounding, low, high)


def _run_ordered_linear(op: OrderedLinear, low: int, high: int, x: Int32) -> Int32:
    rows = _rows(x)
    return _call(_ordered_linear, (len(rows), len(op.weight)), rows, op.weight, op.bias, op.shift, low, high)


def _run_rescale(op: Rescale, low: int, high: int, x: Int32) -> Int32:
    rows = _rows(x)
    roundings = (Rounding.HALF_UP, Rounding.HALF_EVEN, Rounding.HALF_AWAY, Rounding.FLOOR, Rounding.DOUBLE)
    rounding = roundings.index(op.rounding)
    return _call(_rescale, rows.shape, rows, op.addend, op.multiplier, op.shift, op.bias, rounding, low, high)


def _run_pad(op: Pad, _low: int, _high: int, x: Int32) -> Int32:
    top, left, bottom, right = op.padding
    shape = (len(x), x.shape[1] + top + bottom, x.shape[2] + left + right, x.shape[3])
    return _call(_pad, shape, x, op.value, top, left)


def _places_of(x: Int32) -> Int32:
    return x.reshape(len(x), -1, x.shape[-1])


def _run_matmul(op: Matmul, _low: int, _high: int, x: Int32, r: Int32) -> Int32:
    left, right = _places_of(x), _places_of(r)
    if op.transposed:
        shape = (*left.shape[:2], op.heads * right.shape[1])
        return _call(_matmul_transposed, shape, left, right, op.heads, op.terms)
    return _call(_matmul, (*left.shape[:2], right.shape[2]), left, right, op.heads, op.terms)


def _run_position(op: Position, _low: int, _high: int, x: Int32) -> Int32:
    return _call(_position, _places_of(x).shape, _places_of(x), op.table)


def _run_argmax(op: Argmax, _low: int, _high: int, x: Int32) -> Int32:
    return _call(_argmax, (len(_rows(x)), 1), _rows(x), op.classes)


LOOPS: OperatorTable[Callable[..., Int32]] = OperatorTable(
    "the plain loops",
    {
        Linear: _run_linear, Affine: _run_affine, Relu: _run_relu, Lut: _run_lut, Add: _run_add, Pool: _run_pool,
        Conv: _run_conv, MaxPool: _run_max_pool, Threshold: _run_threshold, Encode: _run_encode,
        MultiplyAdd: _run_multiply_add, WeightedAdd: _run_weighted_add, Prelu: _run_prelu, Gate: _run_gate,
        Concat: _run_concat, Flatten: _run_ordered, SumPool: _run_sum_pool, OrderedLinear: _run_ordered_linear,
        Argmax: _run_argmax, Rescale: _run_rescale, Pad: _run_pad, Matmul: _run_matmul,
        Position: _run_position, Reshape: _run_ordered, Transpose: _run_ordered,
    },
)  # fmt: skip
"""The loops of each operator: a function of its record, the result's least and greatest value, and its inputs."""


def run_loops(model: Model, x: Integers, taps: tuple[str, ...], threads: int | None = None) -> dict[str, Integers]:
    """Every named tap for images `x` [image, ...]: [image, ...] each, of its tensor's shape and numpy type.

    `threads`: how many compute, by default NUMBA_NUM_THREADS; the result does not depend on it.
    """
    tensors = model.graph.tensors
    out = {name: tensors[name].empty(len(x)) for name in taps}

    def compute(first: int) -> None:
        part = slice(first, min(first + _IMAGES, len(x)))
        values: dict[str, Int32] = {INPUT: x[part].astype(np.int32, order="C")}
        for node in model.graph.nodes:
            result = tensors[node.name]
            inputs = (values[name] for name in node.inputs)
            y = LOOPS[type(node.op)](node.op, result.number.low, result.number.high, *inputs)
            values[node.name] = y.reshape(part.stop - part.start, *result.shape)
        for name in taps:
            out[name][part] = values[name]

    with ThreadPoolExecutor(threads or config.NUMBA_NUM_THREADS) as pool:
        for _ in pool.map(compute, range(0, len(x), _IMAGES)):
            pass
    return out
