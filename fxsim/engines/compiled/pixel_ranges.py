"""Ranges over pixels: the least and greatest value that each channel of a tensor can have, in all places.

Bounds, found in one pass over a graph's parts. Lowering rests on them: sums that they prove to need no more are made in
32 bits, and results that they prove within their format are not saturated.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fxsim.contract import Number, Tensor
from fxsim.engines.compiled.ranges import Range
from fxsim.operators import (
    Add,
    Affine,
    Gate,
    Linear,
    MaxPool,
    MultiplyAdd,
    Operator,
    Prelu,
    Relu,
    Threshold,
    WeightedAdd,
)

if TYPE_CHECKING:
    from fxsim.engines.compiled.pixel_program import Part

Int64 = npt.NDArray[np.int64]

_SHIFT_MAX = 62
"""Places behind which every sum is 0: none has more than 50 bits."""


def any_value(tensor: Tensor) -> Range:
    """The range of a tensor of which its format alone is known."""
    ends = tensor.number.low, tensor.number.high
    return Range(*(np.full(tensor.shape[-1], end, np.int64) for end in ends))


def ranges_of(parts: "Iterable[Part]", tensors: dict[str, Tensor]) -> dict[str, Range]:
    """The range of every tensor, by its name: what no rule is stated for may be all that its format has."""
    found = {name: any_value(tensor) for name, tensor in tensors.items()}
    for part in parts:
        op: Any = part.node.op
        number = tensors[part.name].number
        if part.conv is not None:
            low, high = part.conv.accumulator_range(tensors[part.inputs[0]])
            found[part.name] = Range(low.astype(np.int64), high.astype(np.int64))
        elif type(op) in _RULES:
            found[part.name] = _held(_RULES[type(op)](op, *(found[name] for name in part.inputs)), number)
    return found


def _held(x: Range, number: Number) -> Range:
    return Range(*(np.clip(end, number.low, number.high) for end in x))


def scaled(x: Range, weight: Int64) -> Range:
    """The range of products of each channel with its weight."""
    ends = x.low * weight, x.high * weight
    return Range(np.minimum(*ends), np.maximum(*ends))


def totals(op: Operator, *inputs: Range) -> Range:
    """The range of what is rounded: products, and the constants that are added before."""
    node: Any = op
    if isinstance(op, MultiplyAdd):
        return Range(*(end + node.bias for end in scaled(inputs[0], node.weight.astype(np.int64))))
    if isinstance(op, WeightedAdd):
        products = [scaled(x, w) for x, w in zip(inputs, node.weight.astype(np.int64), strict=True)]
        return Range(*(a + b for a, b in zip(*products, strict=True)))
    if isinstance(op, Linear):
        return inputs[0]  # its sums
    return scaled(inputs[0], node.weight.astype(np.int64))


def rounded(x: Range, shift: Int64, after: Int64 | int = 0) -> Range:
    """The range of what is divided by 2^shift, to the nearest, ties up, with what is added after."""
    places = np.minimum(shift, _SHIFT_MAX)
    half = np.left_shift(np.int64(1), places) >> 1
    return Range(*(((end + half) >> places) + after for end in x))


def of_rounded(op: Operator, *inputs: Range) -> Range:
    """The range of a rounded product or sum of products, before it is saturated."""
    node: Any = op
    shift = node.shift.astype(np.int64)
    if not isinstance(op, Prelu):
        after = 0 if isinstance(op, MultiplyAdd | WeightedAdd) else node.bias.astype(np.int64)
        return rounded(totals(op, *inputs), shift, after)
    # Below 0 rounded products, of which -1 or the input's least gives the least or the greatest; else the input.
    (x,) = inputs
    below = rounded(totals(op, Range(np.minimum(x.low, -1), np.minimum(x.high, -1))), shift)
    above = Range(np.maximum(x.low, 0), np.maximum(x.high, 0))
    low = np.where(x.low >= 0, above.low, np.where(x.high < 0, below.low, np.minimum(below.low, above.low)))
    high = np.where(x.low >= 0, above.high, np.where(x.high < 0, below.high, np.maximum(below.high, above.high)))
    return Range(low, high)


def _of_gate(_op: Gate, x: Range, _r: Range) -> Range:
    return Range(np.minimum(x.low, 0), np.maximum(x.high, 0))


def _of_relu(_op: Relu, x: Range) -> Range:
    return Range(np.maximum(x.low, 0), np.maximum(x.high, 0))


def _of_levels(op: Threshold, x: Range) -> Range:
    return Range(np.full_like(x.low, op.levels.min()), np.full_like(x.high, op.levels.max()))


_RULES: dict[type[Operator], Callable[..., Range]] = {
    **dict.fromkeys((MultiplyAdd, Affine, Linear, Prelu, WeightedAdd), of_rounded),
    Add: lambda _op, x, r: Range(x.low + r.low, x.high + r.high),
    Gate: _of_gate,
    Relu: _of_relu,
    Threshold: _of_levels,
    MaxPool: lambda _op, x: x,
}
