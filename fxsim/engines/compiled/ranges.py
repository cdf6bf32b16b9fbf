"""Ranges: the least and greatest value that each channel of a tensor can have, over all images and tokens.

Bounds, found in one pass over a graph in a few milliseconds, that lowering rests on. `fxsim.prove.reach` finds sets of
values, tighter and slower; a test holds that they lie within.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fxsim.contract import expand_table, requantise, saturate
from fxsim.contract.number import INT8
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Relu

Int64 = npt.NDArray[np.int64]


class Range(NamedTuple):
    """The range of each channel: `low`, `high` int64 [channels]."""

    low: Int64
    high: Int64


def any_int8(channels: int) -> Range:
    """The range of channels of which nothing is known."""
    return Range(np.full(channels, INT8.low, np.int64), np.full(channels, INT8.high, np.int64))


def of_linear(op: Linear, x: Range) -> Range:
    """The range of sums: each input takes whichever end moves one furthest, and requantisation is monotone."""
    weight: Int64 = op.weight.astype(np.int64)
    plus: Int64 = np.maximum(weight, 0)
    minus: Int64 = np.minimum(weight, 0)
    if op.over is Axis.CHANNELS:
        return Range(*(_requantised(plus @ a + minus @ b, op) for a, b in ((x.low, x.high), (x.high, x.low))))
    # [channel, output]: a channel's values are alike in all tokens, and its range is that of all outputs.
    up: Int64 = plus.sum(axis=1)
    down: Int64 = minus.sum(axis=1)
    low, high = (_requantised(a[:, None] * up + b[:, None] * down, op) for a, b in ((x.low, x.high), (x.high, x.low)))
    return Range(low.min(axis=1), high.max(axis=1))


def of_affine(op: Affine, x: Range) -> Range:
    """A product moves one way with its input."""
    ends = [_requantised(end * op.weight.astype(np.int64), op) for end in x]
    return Range(np.minimum(*ends), np.maximum(*ends))


def of_lut(op: Lut, x: Range) -> Range:
    """The least and greatest entry among those that the input can choose."""
    table = expand_table(op.table, op.rule).astype(np.int64)
    value = np.arange(INT8.low, INT8.high + 1)
    taken = (value >= x.low[:, None]) & (value <= x.high[:, None])
    return Range(
        np.where(taken, table, INT8.high).min(axis=1),
        np.where(taken, table, INT8.low).max(axis=1),
    )


def of_relu(_op: Relu, x: Range) -> Range:
    """Both ends, cut off below 0."""
    return Range(np.maximum(x.low, 0), np.maximum(x.high, 0))


def of_add(_op: Add, x: Range, r: Range) -> Range:
    """The sums of the ends, saturated."""
    return Range(*(saturate(a + b, INT8).astype(np.int64) for a, b in zip(x, r, strict=True)))


def of_average(_op: Any, x: Range) -> Range:
    """An average lies between the values that it is of."""
    return x


def _requantised(total: Int64, op: Linear | Affine) -> Int64:
    result: Int64 = requantise(total, op.shift, op.bias).astype(np.int64)
    return result
