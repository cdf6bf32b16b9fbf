"""A whole graph computed by hand: scalar Python integers of any size, from the contract's text.

Shares nothing with the engines but the records that describe a graph. Slow: for small graphs only.
"""

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract import Number, TableRule
from fxsim.graph import INPUT, Graph
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Pool, Relu

Values = dict[tuple[int, ...], int]
"""A tensor: a Python integer by index."""


def nearest(a: int, b: int) -> int:
    """floor(a / b + 1/2) = floor((2 a + b) / 2 b), exactly: ten times as fast as by fractions."""
    return (2 * a + b) // (2 * b)


def round_half_up(a: int, s: int) -> int:
    """floor(a / 2^s + 1/2), exactly."""
    return nearest(a, 2**s)


def ends(number: Number) -> tuple[int, int]:
    """Least and greatest of a number format, from its text: `int8`, `uint4`."""
    unsigned, bits = str(number).startswith("u"), int(str(number).lstrip("uint"))
    return (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def saturate(v: int, low: int = -128, high: int = 127) -> int:
    """The value of a range, by default int8, nearest to v."""
    return low if v < low else high if v > high else v


def requantise(acc: int, shift: int, bias: int) -> int:
    """sat8(round_shift(acc, shift) + bias)."""
    return saturate(round_half_up(acc, shift) + bias)


def interpolate(stored: list[int], rule: TableRule, x: int, low: int = -128, codes: int = 256) -> int:
    """The value at `x` of one function of int8, or of `codes` inputs from `low` on, from the points stored of it."""
    i = x - low
    if rule is TableRule.FULL:
        return stored[i]
    points = len(stored) - 1 if rule is TableRule.ENDPOINT else len(stored)
    step = codes // points
    m, f = divmod(i, step)
    if rule is TableRule.CLAMP and m == points - 1:
        m = points - 2
    if rule is TableRule.HOLD and m == points - 1:
        return stored[m]
    left, right = stored[m], stored[m + 1]
    return left + nearest((right - left) * f, step)


def compute(graph: Graph, image: npt.NDArray[np.integer]) -> dict[str, npt.NDArray[np.int64]]:
    """Every tap of one image [token, value] as integers that nothing has wrapped."""
    tensors: dict[str, Values] = {INPUT: {at: int(image[at]) for at in np.ndindex(image.shape)}}
    shapes: dict[str, tuple[int, ...]] = {INPUT: image.shape}
    for node in graph.nodes:
        x, shape = tensors[node.inputs[0]], shapes[node.inputs[0]]
        tensors[node.name] = _apply(node.op, x, shape, tensors[node.inputs[-1]])
        shapes[node.name] = tuple(max(place) + 1 for place in zip(*tensors[node.name], strict=True))
    return {node.name: _array(tensors[node.name], shapes[node.name]) for node in graph.nodes}


def _apply(op: Any, x: Values, shape: tuple[int, ...], r: Values) -> Values:
    if isinstance(op, Linear):
        w, outputs = op.weight.tolist(), len(op.bias)

        def row(at: tuple[int, ...], n: int) -> int:
            acc = sum(x[source(at, k)] * w[n][k] for k in range(len(w[n])))
            return _requantised(op, acc, n)

        if op.over is Axis.TOKENS:

            def source(at: tuple[int, ...], k: int) -> tuple[int, ...]:
                return (k, *at)

            return {(n, c): row((c,), n) for n, c in product(range(outputs), range(shape[1]))}

        def source(at: tuple[int, ...], k: int) -> tuple[int, ...]:
            return (*at, k)

        return {(*at, n): row(at, n) for at in np.ndindex(shape[:-1]) for n in range(outputs)}
    if isinstance(op, Affine):
        w = op.weight.tolist()
        return {at: _requantised(op, v * w[at[-1]], at[-1]) for at, v in x.items()}
    if isinstance(op, Lut):
        low, high = ends(op.number)
        return {at: interpolate(op.table[at[-1]].tolist(), op.rule, v, low, high - low + 1) for at, v in x.items()}
    if isinstance(op, Add):
        return {at: saturate(v + r[at], *ends(op.out)) for at, v in x.items()}
    if isinstance(op, Pool):
        return {(c,): nearest(sum(x[t, c] for t in range(shape[0])), shape[0]) for c in range(shape[1])}
    assert isinstance(op, Relu)
    return {at: v if v > 0 else 0 for at, v in x.items()}


def _requantised(op: Any, acc: int, n: int) -> int:
    """A linear's or affine's result of one sum. What computes int8 is a function that tests may put another for."""
    shift, bias = int(op.shift[n]), int(op.bias[n])
    if ends(op.out) == (-128, 127):
        return requantise(acc, shift, bias)
    return saturate(round_half_up(acc, shift) + bias, *ends(op.out))


def _array(values: Values, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    out = np.empty(shape, np.int64)
    for at, v in values.items():
        out[at] = v
    return out
