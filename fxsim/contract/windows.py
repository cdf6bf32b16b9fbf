"""Operators over rows and columns, and thresholds: sums of a convolution, the greatest of a window, counted steps."""

from collections.abc import Iterator

import numpy as np

from fxsim.contract.arithmetic import Int64, Integers, UInt8
from fxsim.contract.number import Number

Pair = tuple[int, int]
"""A number for rows and one for columns."""

Padding = tuple[int, int, int, int]
"""Zeros put around an image: above, left, below, right."""


def window_places(size: int, kernel: int, stride: int, dilation: int = 1) -> int:
    """Places at which a window of `kernel` values, `dilation` apart, lies within `size`; 0 or less where none does."""
    return (size - dilation * (kernel - 1) - 1) // stride + 1


def conv(
    x: Integers, weight: Integers, stride: Pair, padding: Padding, dilation: Pair, groups: int, out: Number
) -> Integers:
    """y[..., i, j, o] = sum_{r, s, c} weight[o, r, s, c] * x[..., i stride + r dilation - padding, ..., g C + c].

    `x` [..., row, column, channel]; `weight` [N, R, S, C], C the channels of a group, g = o // (N / groups) that of an
    output. Outside the image nothing is added. The sum itself is the result, in the numpy type of `out`, which must
    hold it.
    """
    top, left, bottom, right = padding
    padded = np.pad(x.astype(np.int64), [(0, 0)] * (x.ndim - 3) + [(top, bottom), (left, right), (0, 0)])
    outputs, rows, columns, each = weight.shape
    share = outputs // groups
    sums: Int64 | None = None
    for r, s, part in windows(padded, (rows, columns), stride, dilation):
        products = [
            part[..., g * each : (g + 1) * each] @ weight[g * share : (g + 1) * share, r, s].astype(np.int64).T
            for g in range(groups)
        ]
        here = np.concatenate(products, axis=-1)
        sums = here if sums is None else sums + here
    assert sums is not None  # a kernel has at least one place
    result: Integers = sums.astype(out.dtype)
    return result


def pad(x: Integers, value: Integers, padding: Padding) -> Integers:
    """An image with rows and columns of `value` [C] around it: `x` [..., row, column, channel], of its numpy type."""
    top, left, bottom, right = padding
    rows, columns, channels = x.shape[-3:]
    shape = (*x.shape[:-3], rows + top + bottom, columns + left + right, channels)
    padded: Integers = np.broadcast_to(np.asarray(value).astype(x.dtype), shape).copy()
    padded[..., top : top + rows, left : left + columns, :] = x
    return padded


def max_pool(x: Integers, kernel: Pair, stride: Pair) -> Integers:
    """The greatest value of each window of a channel: `x` [..., row, column, channel], of its numpy type."""
    greatest: Integers | None = None
    for _, _, part in windows(x, kernel, stride, (1, 1)):
        greatest = part if greatest is None else np.maximum(greatest, part)
    assert greatest is not None  # a window has at least one place
    return np.ascontiguousarray(greatest)


def windows(x: Integers, kernel: Pair, stride: Pair, dilation: Pair) -> Iterator[tuple[int, int, Integers]]:
    """Every place r, s in a window, and the values there of all windows, [..., row, column, channel]."""
    across = [window_places(x.shape[i - 3], kernel[i], stride[i], dilation[i]) for i in range(2)]
    for r in range(kernel[0]):
        for s in range(kernel[1]):
            row, column = (
                slice(first * apart, first * apart + (places - 1) * step + 1, step)
                for first, apart, places, step in zip((r, s), dilation, across, stride, strict=True)
            )
            yield r, s, x[..., row, column, :]


def threshold(x: Integers, thresholds: Integers, rising: UInt8, levels: Integers) -> Integers:
    """y[..., c] = levels[k], k the number of thresholds t of channel c with x >= t, or where not rising[c]: x <= t.

    `x` [..., C]; `thresholds` [C, n] in any order; `rising` [C], 0 or 1; `levels` [n + 1], whose numpy type is the
    result's.
    """
    steps = np.zeros(x.shape, np.int64)
    for t in np.moveaxis(thresholds, -1, 0):
        steps += np.where(rising == 1, x >= t, x <= t)
    found: Integers = levels[steps]
    return found
