"""Rounding, saturation and the operators built from them, on numpy integers.

Every function computes in int64, wide enough that nothing in this file can wrap: a model whose sums do not fit its own
accumulators never gets this far (`fxsim.graph`).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract.number import INT8, Number

Int8 = npt.NDArray[np.int8]
UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
Integers = npt.NDArray[Any]
"""Values of any number format, in the numpy type that the format has."""

INT8_MIN = INT8.low
INT8_MAX = INT8.high
SHIFT_MAX = 255

# numpy leaves a shift by 64 or more undefined. Any value of fewer than 63 bits is all sign bits after 63 places, so
# that larger shifts give the same result as 63.
_INT64_SHIFT_MAX = 63


def saturate(v: npt.ArrayLike, number: Number) -> Integers:
    """Clamp any integer array to the range of a number format, in the format's numpy type; shape unchanged."""
    clamped: Integers = np.clip(np.asarray(v, np.int64), number.low, number.high).astype(number.dtype)
    return clamped


def sat8(v: npt.ArrayLike) -> Int8:
    """Saturate to int8: clamp any integer array to [-128, 127]; shape unchanged."""
    return np.clip(np.asarray(v, np.int64), INT8_MIN, INT8_MAX).astype(np.int8)


def round_shift(a: npt.ArrayLike, s: npt.ArrayLike) -> Int64:
    """Divide by 2^s, rounding half up: floor(a / 2^s + 1/2), ties towards plus infinity for either sign.

    `a`: integers of at most 62 bits and sign; `s`: 0 to 255, broadcast against `a`. Result int64, as wide as `a` at
    s = 0.
    """
    value = np.asarray(a, np.int64)
    shift = np.minimum(np.asarray(s, np.int64), _INT64_SHIFT_MAX)
    # The bit below the cut is the half: adding it after the (flooring) shift rounds half up.
    half = np.where(shift > 0, (value >> np.maximum(shift - 1, 0)) & 1, 0)
    return (value >> shift) + half


def requantise(acc: npt.ArrayLike, shift: npt.ArrayLike, bias: npt.ArrayLike, out: Number = INT8) -> Integers:
    """saturate(round_shift(acc, shift) + bias): the bias comes after the rounding, at the output's scale."""
    return saturate(round_shift(acc, shift) + np.asarray(bias, np.int64), out)


def linear(x: Integers, weight: Integers, bias: Integers, shift: UInt8, out: Number = INT8) -> Integers:
    """y[..., n] = saturate(round_shift(sum_k x[..., k] * weight[n, k], shift[n]) + bias[n]).

    `x` [..., K]; `weight` [N, K]; `bias`, `shift` [N]; result [..., N] of the format `out`. The sum needs at most
    `linear_acc_bits` bits.
    """
    acc = x.astype(np.int64) @ weight.astype(np.int64).T
    return requantise(acc, shift, bias, out)


def affine(x: Integers, weight: Integers, bias: Integers, shift: UInt8, out: Number = INT8) -> Integers:
    """y[..., c] = saturate(round_shift(x[..., c] * weight[c], shift[c]) + bias[c]), in the format `out`.

    `weight`, `bias`, `shift` are [C].
    """
    return requantise(x.astype(np.int64) * weight.astype(np.int64), shift, bias, out)


def relu(x: Integers) -> Integers:
    """max(x, 0); shape and type unchanged."""
    positive: Integers = np.maximum(x, x.dtype.type(0))
    return positive


def add(x: Integers, r: Integers, out: Number = INT8) -> Integers:
    """saturate(x + r), of two arrays of one shape, in the format `out`."""
    return saturate(x.astype(np.int64) + r.astype(np.int64), out)


def pool(x: Integers, axis: int = -2) -> Integers:
    """Average over T = 2^t places of an axis by round_shift(sum, t), the axis gone; it cannot leave the input's type.

    `x` [..., T, C] to [..., C] where the axis is the last but one, as tokens are.
    """
    count = x.shape[axis]
    mean: Integers = round_shift(x.astype(np.int64).sum(axis=axis), count.bit_length() - 1).astype(x.dtype)
    return mean
