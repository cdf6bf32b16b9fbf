"""Values before rounding at chosen places, exactly, from the integer model's parameters in integers alone.

Independent of the network's arithmetics: what these say of a value, its cause must agree with.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from fxsim.contract import Division, Rounding, TableRule
from fxsim.contract.arithmetic import Int8, Int64
from fxsim.errors import FxsimError
from fxsim.graph import Node
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
    NotTaken,
    Operator,
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

Places = tuple[Int64, ...]
"""Indices of values, one array of M each: (image, token, channel), (image, row, column, channel), or (image, channel)
of what has neither tokens nor rows."""

_ROUNDING = 2.0**-24
"""Largest relative error of one float32 operation."""

_GATHERED = 1 << 20
"""Inputs gathered at once: bounds memory."""


@dataclass(frozen=True)
class Exact:
    """M values, numerator / 2^bits in output codes, and how far off float32 fake-quant may be at most.

    `error` is the a-priori bound gamma_n * (sum_k |x_k w_k| + |b|), gamma_n = n u / (1 - n u), u = 2^-24 (Higham,
    Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1), which holds for any order of summation. n
    counts the roundings on a product's way: K additions; of input, weight and its step; product, bias, division by the
    output's step; a few to spare.
    """

    numerator: Int64
    bits: Int64
    error: npt.NDArray[np.float64]

    @property
    def on_tie(self) -> npt.NDArray[np.bool_]:
        """Whether the value lies halfway between two codes."""
        half = np.where(self.bits > 0, np.int64(1) << np.maximum(self.bits - 1, 0), -1)
        tie: npt.NDArray[np.bool_] = self._remainder == half
        return tie

    @property
    def to_tie(self) -> npt.NDArray[np.float64]:
        """Distance to the nearest value halfway between two codes."""
        return np.abs(self._remainder / np.exp2(self.bits.astype(np.float64)) - 0.5)

    @property
    def _remainder(self) -> Int64:
        return self.numerator & ((np.int64(1) << self.bits) - 1)

    def fraction(self, i: int) -> Fraction:
        """The i-th value."""
        return Fraction(int(self.numerator[i]), 1 << int(self.bits[i]))


Read = npt.NDArray[np.generic]
Inputs = tuple[npt.NDArray[np.generic], ...]


def inputs_at(node: Node, inputs: Inputs, places: Places) -> list[Read]:
    """The values that a node reads of each input for the results at `places`: [M, K]; K = 1 but for sums."""
    return READ[type(node.op)](node.op, inputs, places)


def _each(reader: Callable[..., Read]) -> Callable[..., list[Read]]:
    """The same reader for every input."""
    return lambda op, inputs, places: [reader(op, x, places) for x in inputs]


def _read_linear(op: Linear, x: npt.NDArray[np.generic], places: Places) -> npt.NDArray[np.generic]:
    if op.over is Axis.TOKENS:
        image, _, channel = places
        return x[image, :, channel]
    return x[places[:-1]]


def _read_tokens(_op: Pool, x: npt.NDArray[np.generic], places: Places) -> npt.NDArray[np.generic]:
    image, channel = places
    return x[image, :, channel]


def _read_one(_op: Operator, x: npt.NDArray[np.generic], places: Places) -> npt.NDArray[np.generic]:
    return x[places][:, None]


def _read_window(op: Conv | MaxPool | SumPool, x: npt.NDArray[np.generic], places: Places) -> npt.NDArray[np.generic]:
    """Windows [M, rows * columns * channels], of pools the result's channel alone; zeros outside."""
    image, row, column, channel = places
    kernel = op.weight.shape[1:3] if isinstance(op, Conv) else op.kernel
    top, left = op.padding[:2] if isinstance(op, Conv) else (0, 0)
    spread = op.dilation if isinstance(op, Conv) else (1, 1)
    rows = row[:, None] * op.stride[0] - top + np.arange(kernel[0]) * spread[0]
    columns = column[:, None] * op.stride[1] - left + np.arange(kernel[1]) * spread[1]
    inside = ((rows >= 0) & (rows < x.shape[1]))[:, :, None] & ((columns >= 0) & (columns < x.shape[2]))[:, None, :]
    at_row = np.clip(rows, 0, x.shape[1] - 1)[:, :, None]
    at_column = np.clip(columns, 0, x.shape[2] - 1)[:, None, :]
    if isinstance(op, Conv):
        each = op.weight.shape[3]
        first = channel // (len(op.weight) // op.groups) * each
        channels = (first[:, None] + np.arange(each))[:, None, None]
        values = x[image[:, None, None, None], at_row[..., None], at_column[..., None], channels]
        found: npt.NDArray[np.generic] = np.where(inside[..., None], values, 0)
        return found.reshape(len(image), op.weight[0].size)
    window: npt.NDArray[np.generic] = x[image[:, None, None], at_row, at_column, channel[:, None, None]]
    return window.reshape(len(image), math.prod(kernel))


def _read_encoded(op: Encode, x: npt.NDArray[np.generic], places: Places) -> npt.NDArray[np.generic]:
    found: npt.NDArray[np.generic] = x[(*places[:-1], places[-1] // op.threshold.shape[1])][:, None]
    return found


def _read_laid(op: Flatten | Reshape, x: npt.NDArray[np.generic], places: Places) -> npt.NDArray[np.generic]:
    shape = op.shape if isinstance(op, Reshape) else (-1,)
    laid = x.transpose(0, *(axis + 1 for axis in op.order)).reshape(len(x), *shape)
    found: npt.NDArray[np.generic] = laid[places][:, None]
    return found


def _read_product(op: Matmul, inputs: Inputs, places: Places) -> list[Read]:
    """The factors [M, terms] of both inputs: a head's channels at a place, or a channel at all places."""
    x, r = inputs
    image, *place, channel = places
    flat, other = (v.reshape(len(v), -1, v.shape[-1]) for v in (x, r))
    head, within = np.divmod(channel, other.shape[1] if op.transposed else r.shape[-1] // op.heads)
    row = np.ravel_multi_index(tuple(place), x.shape[1:-1])
    terms = head[:, None] * op.terms + np.arange(op.terms)
    first = flat[image[:, None], row[:, None], terms]
    if op.transposed:
        return [first, other[image[:, None], within[:, None], terms]]
    return [first, other[image, :, channel]]


_NOT_TAKEN = NotTaken("because no float network has it")

READ: OperatorTable[Callable[..., list[Read]]] = OperatorTable(
    "the reader of exact values' inputs",
    {
        Linear: _each(_read_linear),
        Pool: _each(_read_tokens),
        Encode: _each(_read_encoded),
        Matmul: _read_product,
        **dict.fromkeys((Conv, MaxPool, SumPool), _each(_read_window)),
        **dict.fromkeys((Flatten, Reshape), _each(_read_laid)),
        **dict.fromkeys((Affine, Relu, Lut, Add, Threshold, MultiplyAdd), _each(_read_one)),
        **dict.fromkeys((WeightedAdd, Prelu, Gate, Rescale, Position), _each(_read_one)),
        **dict.fromkeys((Transpose, Concat, OrderedLinear, Argmax, Pad), _NOT_TAKEN),
    },
)
"""From an operator, its inputs' values and places: the values that it reads there of each input, [M, K]."""


def exact_values(node: Node, inputs: tuple[Int8, ...], places: Places) -> Exact:
    """The exact values of a node at `places`, from its whole inputs. Shifts are at most 40, as the network's are."""
    width = max(1, inputs[0].shape[-1], inputs[0].shape[1])
    if isinstance(node.op, Conv):
        width = node.op.weight[0].size
    elif isinstance(node.op, MaxPool | SumPool):
        width = math.prod(node.op.kernel)
    elif isinstance(node.op, Matmul):
        width = node.op.terms
    chunk = max(1, _GATHERED // width)
    parts = [
        _exact(node, inputs, tuple(index[start : start + chunk] for index in places))
        for start in range(0, max(len(places[0]), 1), chunk)
    ]
    return Exact(
        np.concatenate([part.numerator for part in parts]),
        np.concatenate([part.bits for part in parts]),
        np.concatenate([part.error for part in parts]),
    )


def _exact(node: Node, inputs: tuple[Int8, ...], places: Places) -> Exact:
    x = [values.astype(np.int64) for values in inputs_at(node, inputs, places)]
    if isinstance(node.op, Position):
        # As its table has them: places are numbered in the order in which they lie.
        places = places[0], np.ravel_multi_index(places[1:-1], inputs[0].shape[1:-1]), places[-1]
    return EXACT[type(node.op)](node.op, places, *x)


def requantised_row(op: Linear | Affine, places: Places) -> Int64:
    """The rows of weights, shifts and biases that make the results at `places`."""
    return places[1] if isinstance(op, Linear) and op.over is Axis.TOKENS else places[-1]


def _exact_requantised(op: Linear | Affine, places: Places, x: Int64) -> Exact:
    row = requantised_row(op, places)
    weight = op.weight[row].astype(np.int64).reshape(x.shape)
    shift, bias = op.shift[row].astype(np.int64), op.bias[row].astype(np.int64)
    products = x * weight
    size = np.abs(products).sum(axis=1) / np.exp2(shift.astype(np.float64)) + np.abs(bias)
    return Exact(products.sum(axis=1) + (bias << shift), shift, _gamma(products.shape[1] + 8) * size)


def _exact_pool(op: Pool, places: Places, x: Int64) -> Exact:
    bits = np.full(len(places[0]), op.tokens.bit_length() - 1, np.int64)
    return Exact(x.sum(axis=1), bits, _gamma(op.tokens + 4) * np.abs(x).sum(axis=1) / op.tokens)


def _exact_add(_op: Add, _places: Places, x: Int64, r: Int64) -> Exact:
    return Exact((x + r)[:, 0], np.zeros(len(x), np.int64), _gamma(5) * (np.abs(x) + np.abs(r))[:, 0])


def _exact_relu(_op: Relu, _places: Places, x: Int64) -> Exact:
    return Exact(np.maximum(x, 0)[:, 0], np.zeros(len(x), np.int64), _gamma(3) * np.abs(x)[:, 0])


def _exact_lut(op: Lut, places: Places, x: Int64) -> Exact:
    lower, upper, fraction, bits_stored = interpolation(op, x[:, 0], places[-1])
    bits = np.full(len(x), bits_stored, np.int64)
    # A table's float counterpart is another function: no bound says how near they are.
    return Exact((lower << bits_stored) + (upper - lower) * fraction, bits, np.zeros(len(x)))


def _exact_conv(op: Conv, places: Places, x: Int64) -> Exact:
    products = x * op.weight[places[-1]].astype(np.int64).reshape(x.shape)
    return _whole(products.sum(axis=1), _gamma(x.shape[1] + 8) * np.abs(products).sum(axis=1))


def _exact_largest(_op: MaxPool, _places: Places, x: Int64) -> Exact:
    return _whole(x.max(axis=1), np.zeros(len(x)))


def _exact_mean(op: SumPool, _places: Places, x: Int64) -> Exact:
    if op.rounding is not Division.HALF_UP or op.divisor & (op.divisor - 1) or op.saturating:
        raise FxsimError("a sum_pool of this kind is in no float network, expected a mean of 2^k values, half up")
    bits = np.full(len(x), op.divisor.bit_length() - 1, np.int64)
    return Exact(x.sum(axis=1), bits, _gamma(x.shape[1] + 4) * np.abs(x).sum(axis=1) / op.divisor)


def _exact_threshold(op: Threshold, places: Places, x: Int64) -> Exact:
    """The level. The real numbers that thresholds stand for lie between two values next to each other.

    So only there may float32 decide otherwise: its errors are far smaller than a step of any sum that is taken.
    """
    limits, rising = op.threshold[places[-1]].astype(np.int64), op.rising[places[-1]].astype(bool)[:, None]
    passed = np.where(rising, x >= limits, x <= limits)
    level = op.levels.astype(np.int64)[passed.sum(axis=1)]
    beyond = np.where(rising, limits - 1, limits + 1)
    return _beside(level, ((x == limits) | (x == beyond)).any(axis=1), op.levels)


def _exact_encode(op: Encode, places: Places, x: Int64) -> Exact:
    steps = op.threshold.shape[1]
    limit = op.threshold[places[-1] // steps, places[-1] % steps].astype(np.int64)
    level = np.where(x[:, 0] >= limit, op.out.high, op.out.low).astype(np.int64)
    return _beside(level, (x[:, 0] == limit) | (x[:, 0] == limit - 1), np.array([op.out.low, op.out.high]))


def _exact_gate(op: Gate, places: Places, x: Int64, g: Int64) -> Exact:
    limit = op.threshold[places[-1]].astype(np.int64)
    value = np.where(g[:, 0] >= limit, x[:, 0], 0)
    near = (g[:, 0] == limit) | (g[:, 0] == limit - 1)
    return _whole(value, np.where(near, np.abs(x[:, 0]), 0).astype(np.float64))


def _exact_line(op: MultiplyAdd, places: Places, x: Int64) -> Exact:
    channel = places[-1]
    product, bias = x[:, 0] * op.weight[channel], op.bias[channel].astype(np.int64)
    return _shifted(product + bias, op.shift[channel], np.abs(product) + np.abs(bias))


def _exact_weighted(op: WeightedAdd, places: Places, x: Int64, r: Int64) -> Exact:
    channel = places[-1]
    first, second = x[:, 0] * op.weight[0, channel], r[:, 0] * op.weight[1, channel]
    return _shifted(first + second, op.shift[channel], np.abs(first) + np.abs(second))


def _exact_prelu(op: Prelu, places: Places, x: Int64) -> Exact:
    channel, values = places[-1], x[:, 0]
    below = values < 0
    numerator = np.where(below, values * op.weight[channel], values)
    return _shifted(numerator, np.where(below, op.shift[channel], 0), np.abs(numerator))


def _exact_rescaled(op: Rescale, places: Places, x: Int64) -> Exact:
    if op.rounding is not Rounding.HALF_UP:
        raise FxsimError(f"a rescale that rounds {op.rounding} is in no float network, expected half_up")
    channel = places[-1]
    product = (x[:, 0] + op.addend[channel]) * op.multiplier[channel].astype(np.int64)
    bias = op.bias[channel].astype(np.int64) << op.shift[channel].astype(np.int64)
    return _shifted(product + bias, op.shift[channel], np.abs(product) + np.abs(bias))


def _exact_there(op: Position, places: Places, x: Int64) -> Exact:
    _, row, channel = places
    added = op.table[row, channel].astype(np.int64)
    return _whole(x[:, 0] + added, _gamma(5) * (np.abs(x[:, 0]) + np.abs(added)))


def _exact_product(_op: Matmul, _places: Places, x: Int64, r: Int64) -> Exact:
    products = x * r
    return _whole(products.sum(axis=1), _gamma(x.shape[1] + 8) * np.abs(products).sum(axis=1))


def _exact_laid(_op: Flatten | Reshape, _places: Places, x: Int64) -> Exact:
    return _whole(x[:, 0], _gamma(3) * np.abs(x[:, 0]))


def _whole(values: Int64, error: npt.NDArray[np.float64]) -> Exact:
    return Exact(values, np.zeros(len(values), np.int64), error)


def _shifted(numerator: Int64, shift: npt.NDArray[np.integer], size: Int64) -> Exact:
    bits = shift.astype(np.int64)
    return Exact(numerator, bits, _gamma(10) * size / np.exp2(bits.astype(np.float64)))


def _beside(level: Int64, near: npt.NDArray[np.bool_], levels: npt.NDArray[np.integer]) -> Exact:
    """A level, and as its error all levels where the value lies next to a threshold, else none."""
    span = float(int(levels.max()) - int(levels.min()))
    return _whole(level, np.where(near, span, 0.0))


EXACT: OperatorTable[Callable[..., Exact]] = OperatorTable(
    "the exact value",
    {
        Linear: _exact_requantised, Affine: _exact_requantised, Relu: _exact_relu, Lut: _exact_lut, Add: _exact_add,
        Pool: _exact_pool, Conv: _exact_conv, MaxPool: _exact_largest, SumPool: _exact_mean,
        Threshold: _exact_threshold, Encode: _exact_encode, MultiplyAdd: _exact_line, WeightedAdd: _exact_weighted,
        Prelu: _exact_prelu, Gate: _exact_gate, Flatten: _exact_laid, Rescale: _exact_rescaled, Matmul: _exact_product,
        Position: _exact_there, Reshape: _exact_laid,
        **dict.fromkeys((Transpose, Concat, OrderedLinear, Argmax, Pad), _NOT_TAKEN),
    },
)  # fmt: skip
"""From an operator, places and what it reads of each input there, int64 [M, K]: the exact values."""


def interpolation(op: Lut, x: Int64, channel: Int64) -> tuple[Int64, Int64, Int64, int]:
    """Stored points at either side of codes `x`, the fraction, and its bits l: t0 + (t1 - t0) * fraction / 2^l."""
    bits = op.number.bits - (op.points.bit_length() - 1)
    code = x - op.number.low
    segment = code >> bits
    if op.rule is TableRule.CLAMP:
        segment = np.minimum(segment, op.points - 2)
    last = op.table.shape[1] - 1
    # Under `hold` the last point goes on; under `full` there is nothing between two points.
    upper = np.minimum(segment + 1, last)
    table = op.table.astype(np.int64)
    return table[channel, segment], table[channel, upper], code & ((1 << bits) - 1), bits


def _gamma(roundings: int) -> float:
    return roundings * _ROUNDING / (1 - roundings * _ROUNDING)
