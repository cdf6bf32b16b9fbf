"""Operators of networks of few bits on wider feature maps: encodings, products, gates, sums of windows, and order."""

from enum import StrEnum

import numpy as np

from fxsim.contract.arithmetic import Int64, Integers, UInt8, round_shift, saturate
from fxsim.contract.number import INT16, Number
from fxsim.contract.windows import Pair, windows


class Division(StrEnum):
    """The rounding of a sum that is divided."""

    FLOOR = "floor"
    """Towards minus infinity."""
    HALF_UP = "half_up"
    """To the nearest; ties towards plus infinity."""
    ZERO = "zero"
    """Towards zero."""


def encode(x: Integers, threshold: Integers, out: Number) -> Integers:
    """y[..., c n + k] = the greater value of `out` where x[..., c] >= threshold[c, k], else the lesser.

    `x` [..., C]; `threshold` [C, n]; result [..., C n] of the one-bit format `out`.
    """
    reached = x[..., None] >= threshold
    values = np.where(reached, out.high, out.low).astype(out.dtype)
    return values.reshape(*x.shape[:-1], threshold.size)


def multiply_add(x: Integers, weight: Integers, bias: Integers, shift: UInt8, out: Number = INT16) -> Integers:
    """y[..., c] = saturate(round_shift(x[..., c] * weight[c] + bias[c], shift[c])): the bias comes before the rounding.

    `weight`, `bias`, `shift` are [C].
    """
    return saturate(round_shift(x.astype(np.int64) * weight + bias, shift), out)


def weighted_add(x: Integers, r: Integers, weight: Integers, shift: UInt8, out: Number = INT16) -> Integers:
    """y[..., c] = saturate(round_shift(x[..., c] * weight[0, c] + r[..., c] * weight[1, c], shift[c])).

    `weight` [2, C]; `shift` [C].
    """
    total = x.astype(np.int64) * weight[0] + r.astype(np.int64) * weight[1]
    return saturate(round_shift(total, shift), out)


def prelu(x: Integers, weight: Integers, shift: UInt8, out: Number = INT16) -> Integers:
    """saturate(x), and where x[..., c] < 0, saturate(round_shift(x[..., c] * weight[c], shift[c])).

    `weight`, `shift` are [C].
    """
    wide = x.astype(np.int64)
    return saturate(np.where(wide < 0, round_shift(wide * weight, shift), wide), out)


def gate(x: Integers, g: Integers, threshold: Integers) -> Integers:
    """x[..., c] where g[..., c] >= threshold[c], else 0; of the type of `x`. `threshold` [C]."""
    passed: Integers = np.where(g >= threshold, x, x.dtype.type(0))
    return passed


def concat(x: Integers, r: Integers) -> Integers:
    """The channels of `x` and then those of `r`: [..., C] and [..., D] to [..., C + D]."""
    return np.concatenate([x, r], axis=-1)


def flatten(x: Integers, order: tuple[int, ...]) -> Integers:
    """All values of an image on one axis; `order`: its axes by number, from the slowest to the fastest.

    `x` [image, ...] to [image, values].
    """
    turned = x.transpose(0, *(1 + place for place in order))
    return np.ascontiguousarray(turned).reshape(len(x), -1)


def reshape(x: Integers, order: tuple[int, ...], shape: tuple[int, ...]) -> Integers:
    """All values of an image in another shape, which is filled as it lies; `order`: as of `flatten`.

    `x` [image, ...] to [image, *shape].
    """
    return flatten(x, order).reshape(len(x), *shape)


def transpose(x: Integers, order: tuple[int, ...]) -> Integers:
    """An image's axes exchanged: axis k of the result is axis order[k] of `x` [image, ...]."""
    return np.ascontiguousarray(x.transpose(0, *(1 + place for place in order)))


def divide(total: Integers, divisor: int, rounding: Division) -> Int64:
    """`total` / `divisor`, 1 or more, rounded to a whole number, int64."""
    wide = np.asarray(total, np.int64)
    if rounding is Division.ZERO:
        toward_zero: Int64 = np.sign(wide) * (np.abs(wide) // divisor)
        return toward_zero
    if rounding is Division.HALF_UP:
        return (2 * wide + divisor) // (2 * divisor)
    return wide // divisor


def sum_pool(
    x: Integers, kernel: Pair, stride: Pair, divisor: int, rounding: Division, limits: Number | None, out: Number
) -> Integers:
    """saturate(divide(sum of the window)) of each window of a channel: `x` [..., row, column, channel].

    `limits`: a format to which every partial sum is saturated, values added row by row; None for a plain sum.
    """
    total: Int64 | None = None
    for _, _, part in windows(x, kernel, stride, (1, 1)):
        wide = part.astype(np.int64)
        total = wide if total is None else total + wide
        if limits is not None:
            total = saturate(total, limits).astype(np.int64)
    assert total is not None  # a window has at least one place
    return saturate(divide(total, divisor, rounding), out)


def ordered_linear(x: Integers, weight: Integers, bias: Integers, shift: UInt8, out: Number = INT16) -> Integers:
    """acc[n] = bias[n], then for k from 0 up: acc[n] = saturate(acc[n] + round_shift(x[k] * weight[n, k], shift[n])).

    `x` [..., K]; `weight` [N, K]; `bias`, `shift` [N]; result [..., N] of the format `out`, to which each step
    saturates.
    """
    acc: Integers = np.broadcast_to(bias, (*x.shape[:-1], len(bias)))
    for k in range(weight.shape[1]):
        product = x[..., k, None].astype(np.int64) * weight[:, k]
        acc = saturate(acc + round_shift(product, shift), out)
    return acc


def argmax(x: Integers, classes: int, out: Number) -> Integers:
    """The first of the greatest of the first `classes` channels, by its number: [..., C] to [..., 1] of `out`."""
    place: Integers = np.argmax(x[..., :classes], axis=-1, keepdims=True).astype(out.dtype)
    return place
