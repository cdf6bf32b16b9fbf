"""Rounding, saturation and the operators built from them, on numpy integers.

Every function computes in int64, wide enough that nothing in this file can wrap: a model whose sums do not fit its own
accumulators never gets this far (`fxsim.graph.graph`).
"""

import numpy as np
import numpy.typing as npt

Int8 = npt.NDArray[np.int8]
UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]

INT8_MIN = -128
INT8_MAX = 127
SHIFT_MAX = 255

# numpy leaves a shift by 64 or more undefined. Any value of fewer than 63 bits is all sign bits after 63 places, so
# that larger shifts give the same result as 63.
_INT64_SHIFT_MAX = 63


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


def requantise(acc: npt.ArrayLike, shift: npt.ArrayLike, bias: npt.ArrayLike) -> Int8:
    """sat8(round_shift(acc, shift) + bias): the bias comes after the rounding, at the output's scale. Result int8."""
    return sat8(round_shift(acc, shift) + np.asarray(bias, np.int64))


def linear(x: Int8, weight: Int8, bias: Int8, shift: UInt8) -> Int8:
    """y[..., n] = sat8(round_shift(sum_k x[..., k] * weight[n, k], shift[n]) + bias[n]).

    `x` [..., K]; `weight` [N, K]; `bias`, `shift` [N]; result [..., N]. The sum needs at most 16 + ceil(log2 K) bits.
    """
    acc = x.astype(np.int64) @ weight.astype(np.int64).T
    return requantise(acc, shift, bias)


def affine(x: Int8, weight: Int8, bias: Int8, shift: UInt8) -> Int8:
    """y[..., c] = sat8(round_shift(x[..., c] * weight[c], shift[c]) + bias[c]); `weight`, `bias`, `shift` are [C]."""
    return requantise(x.astype(np.int64) * weight.astype(np.int64), shift, bias)


def relu(x: Int8) -> Int8:
    """max(x, 0); shape unchanged."""
    return np.maximum(x, np.int8(0))


def add(x: Int8, r: Int8) -> Int8:
    """sat8(x + r), of two arrays of one shape; the sum has 9 bits."""
    return sat8(x.astype(np.int64) + r.astype(np.int64))


def pool(x: Int8) -> Int8:
    """Average over tokens: `x` [..., T, C], T = 2^t, to [..., C] by round_shift(sum, t). Cannot leave int8."""
    tokens = x.shape[-2]
    return round_shift(x.astype(np.int64).sum(axis=-2), tokens.bit_length() - 1).astype(np.int8)
