"""Products of two tensors, head by head, and sums with a table of places: what attention is made of."""

import math

import numpy as np

from fxsim.contract.arithmetic import Int64, Integers
from fxsim.contract.number import Number


def matmul(x: Integers, r: Integers, heads: int, transposed: bool, out: Number) -> Integers:
    """Sums of products of two tensors, [image, ..., channel] each, in equal parts of the channels, the heads.

    With i the places of `x` and j those of `r`, each in the order in which they lie, h a head, K and d the channels of
    a head of `x` and of `r`:

        transposed:  y[i, h S + j] = sum_c x[i, h K + c] * r[j, h K + c], S the places of r
        else:        y[i, h d + c] = sum_j x[i, h K + j] * r[j, h d + c], K the places of r

    The sum itself is the result, in the numpy type of `out`, which must hold it.
    """
    images, places = len(x), x.shape[1:-1]
    left = x.astype(np.int64).reshape(images, math.prod(places), heads, -1).transpose(0, 2, 1, 3)
    right = r.astype(np.int64).reshape(images, math.prod(r.shape[1:-1]), heads, -1).transpose(0, 2, 1, 3)
    sums: Int64 = left @ (right.swapaxes(-1, -2) if transposed else right)
    result: Integers = sums.transpose(0, 2, 1, 3).reshape(images, *places, -1).astype(out.dtype)
    return result


def position(x: Integers, table: Integers, out: Number) -> Integers:
    """y[place, c] = x[place, c] + table[place, c], of places in the order in which they lie; `x` [image, ..., channel].

    The sum itself is the result, in the numpy type of `out`, which must hold it.
    """
    sums: Int64 = x.astype(np.int64) + table.astype(np.int64).reshape(x.shape[1:])
    result: Integers = sums.astype(out.dtype)
    return result
