"""Values before rounding at chosen places, exactly, from the integer model's parameters in integers alone.

Independent of the network's arithmetics: what these say of a value, its cause must agree with.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from fxsim.contract import TableRule
from fxsim.contract.arithmetic import Int8, Int64
from fxsim.graph import Node
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
    Operator,
    OperatorTable,
    Pool,
    Relu,
    Threshold,
)

Places = tuple[Int64, ...]
"""Indices (image, token, channel), or (image, channel) behind the pool; one array of M each."""

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


def inputs_at(node: Node, x: npt.NDArray[np.generic], places: Places) -> npt.NDArray[np.generic]:
    """The values that a node reads of its input `x` for the results at `places`: [M, K]; K = 1 but for sums."""
    return READ[type(node.op)](node.op, x, places)


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


_NOT_TAKEN = NotTaken("because no float network has it")

READ: OperatorTable[Callable[..., npt.NDArray[np.generic]]] = OperatorTable(
    "the reader of exact values' inputs",
    {
        Linear: _read_linear,
        Affine: _read_one,
        Relu: _read_one,
        Lut: _read_one,
        Add: _read_one,
        Pool: _read_tokens,
        Conv: _NOT_TAKEN,
        MaxPool: _NOT_TAKEN,
        Threshold: _NOT_TAKEN,
        **dict.fromkeys(FEATURE_MAPS, _NOT_TAKEN),
    },
)
"""From an operator, an input's values and places: the values that it reads there, [M, K]."""


def exact_values(node: Node, inputs: tuple[Int8, ...], places: Places) -> Exact:
    """The exact values of a node at `places`, from its whole inputs. Shifts are at most 40, as the network's are."""
    width = max(1, inputs[0].shape[-1], inputs[0].shape[1])
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
    x = [inputs_at(node, values, places).astype(np.int64) for values in inputs]
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


EXACT: OperatorTable[Callable[..., Exact]] = OperatorTable(
    "the exact value",
    {
        Linear: _exact_requantised, Affine: _exact_requantised, Relu: _exact_relu, Lut: _exact_lut, Add: _exact_add,
        Pool: _exact_pool, Conv: _NOT_TAKEN, MaxPool: _NOT_TAKEN, Threshold: _NOT_TAKEN,
        **dict.fromkeys(FEATURE_MAPS, _NOT_TAKEN),
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
