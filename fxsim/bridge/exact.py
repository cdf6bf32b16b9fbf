"""Values before rounding at chosen places, exactly, from the integer model's parameters in integers alone.

Independent of the network's arithmetics: what these say of a value, its cause must agree with.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from fxsim.contract import TableRule
from fxsim.contract.arithmetic import INT8_MIN, Int8, Int64
from fxsim.graph import Node
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Pool, Relu

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
    """What a node reads of its input `x` for the results at `places`: [M, K]; K = 1 but for linears and the pool."""
    op = node.op
    if isinstance(op, Pool):
        image, channel = places
        return x[image, :, channel]
    if isinstance(op, Linear) and op.over is Axis.TOKENS:
        image, _, channel = places
        return x[image, :, channel]
    if isinstance(op, Linear):
        return x[places[:-1]]
    return x[places][:, None]


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
    op = node.op
    x = [inputs_at(node, values, places).astype(np.int64) for values in inputs]
    if isinstance(op, Linear | Affine):
        row = places[1] if isinstance(op, Linear) and op.over is Axis.TOKENS else places[-1]
        weight = op.weight[row].astype(np.int64) if isinstance(op, Linear) else op.weight[row, None].astype(np.int64)
        shift, bias = op.shift[row].astype(np.int64), op.bias[row].astype(np.int64)
        products = x[0] * weight
        size = np.abs(products).sum(axis=1) / np.exp2(shift.astype(np.float64)) + np.abs(bias)
        return Exact(products.sum(axis=1) + (bias << shift), shift, _gamma(products.shape[1] + 8) * size)
    zero = np.zeros(len(places[0]), np.int64)
    if isinstance(op, Pool):
        bits = zero + (op.tokens.bit_length() - 1)
        size = np.abs(x[0]).sum(axis=1) / op.tokens
        return Exact(x[0].sum(axis=1), bits, _gamma(op.tokens + 4) * size)
    if isinstance(op, Add):
        return Exact((x[0] + x[1])[:, 0], zero, _gamma(5) * (np.abs(x[0]) + np.abs(x[1]))[:, 0])
    if isinstance(op, Relu):
        return Exact(np.maximum(x[0], 0)[:, 0], zero, _gamma(3) * np.abs(x[0])[:, 0])
    lower, upper, fraction, bits_stored = interpolation(op, x[0][:, 0], places[-1])
    # A table's float counterpart is another function: no bound says how near they are.
    nothing = np.zeros(len(zero))
    return Exact((lower << bits_stored) + (upper - lower) * fraction, zero + bits_stored, nothing)


def interpolation(op: Lut, x: Int64, channel: Int64) -> tuple[Int64, Int64, Int64, int]:
    """Stored points at either side of codes `x`, the fraction, and its bits l: t0 + (t1 - t0) * fraction / 2^l."""
    bits = 8 - (op.points.bit_length() - 1)
    code = x - INT8_MIN
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
