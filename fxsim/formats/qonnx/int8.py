"""ONNX's own 8-bit operators: codes with scales and zero points, requantised as ONNX Runtime does, in float32.

The rule of `QLinearConv` and its like, y = saturate(rint(float32(acc) * m) + zero) with a float32 m, is monotone in
acc. So it is 255 boundaries at most, which are found by bisection for each channel. A multiplier and a shift are taken
where they have the same boundaries for every sum that can be, thresholds where they do not: equal for all sums.
"""

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from fxsim.contract import INT8, Number, Rounding, Sign
from fxsim.contract.number import INT32, UINT8
from fxsim.formats.qonnx.build import Builder
from fxsim.formats.qonnx.exact import Affine
from fxsim.formats.qonnx.values import Constant, Flow, NotTakenError
from fxsim.operators import Rescale, Threshold

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

_MULTIPLIER_BITS = 24
"""Significant bits of a float32, so that every one is a multiplier of 24 bits and a shift."""
_SHIFT_MAX = 62
_ONE, _ZERO = Fraction(1), Fraction(0)


@dataclass(frozen=True)
class Scale:
    """The scale and zero point of codes, float32 and an integer, of one format; one for all or one a channel."""

    scale: Float32
    zero: Int64
    number: Number

    @property
    def one(self) -> tuple[np.float32, int]:
        """Scale and zero point where there is one of each; NotTakenError where there are more."""
        if self.scale.size != 1 or self.zero.size != 1:
            raise NotTakenError("it has a scale or zero point for each channel, expected one for all")
        return np.float32(self.scale.ravel()[0]), int(self.zero.ravel()[0])


def scale_of(scale: Constant, zero: Constant | None, what: str) -> Scale:
    """Scale and zero point as a node states them; uint8 with 0 where there is none."""
    if scale.array.dtype != np.float32 or scale.table != (_ONE,) or scale.array.size == 0:
        raise NotTakenError(f"the scale of {what} is no float32")
    values = scale.array
    if not (np.isfinite(values) & (values > 0)).all():
        raise NotTakenError(f"the scale of {what} is not above 0")
    if zero is None:
        return Scale(values, np.zeros(1, np.int64), UINT8)
    if zero.array.dtype not in (np.int8, np.uint8) or zero.table != (_ONE,) or zero.array.size == 0:
        raise NotTakenError(f"the zero point of {what} is {zero.array.dtype}, expected int8 or uint8")
    return Scale(values, zero.array.astype(np.int64), INT8 if zero.array.dtype == np.int8 else UINT8)


def centred_codes(x: Flow, zero: int) -> Flow:
    """A stream of codes less their zero point; NotTakenError where it is no stream of codes."""
    x.plain()
    affine = x.affine("it")
    if set(affine.scale) != {_ONE} or len(set(affine.offset)) != 1 or affine.offset[0].denominator != 1:
        raise NotTakenError("it reads numbers that are no codes of 8 bits")
    offset = affine.offset[0] - zero
    return replace(x, steps=(Affine((_ONE,), (offset,)),) if offset else ())


def centred_weight(weight: Constant, zero: Constant | None, axis: int) -> Constant:
    """Weights less their zero points, which are one for all or, along an axis, one for each output."""
    if weight.array.dtype not in (np.int8, np.uint8) or weight.table != (_ONE,):
        raise NotTakenError(f"its weights are {weight.array.dtype}, expected int8 or uint8")
    points = np.zeros(1, np.int64) if zero is None else zero.array.astype(np.int64).ravel()
    if points.size not in (1, weight.shape[axis]):
        raise NotTakenError(f"its weights have {points.size} zero points, expected 1 or {weight.shape[axis]}")
    shape = [1] * len(weight.shape)
    shape[axis] = points.size
    return Constant.plain(weight.array.astype(np.int64) - points.reshape(shape))


def float32_rule(acc: Int64, multiplier: Float32, zero: int, number: Number) -> Int64:
    """saturate(rint(float32(acc) * multiplier) + zero), the product in float32; ties to the even one."""
    product = np.rint(acc.astype(np.float32) * multiplier).astype(np.float64)
    return np.clip(product + zero, number.low, number.high).astype(np.int64)


def boundaries(low: Int64, high: Int64, multiplier: Float32, zero: int, number: Number) -> Int64:
    """The least sum that the rule brings to each level but the first, [channel, level]; `high` + 1 where none does.

    `low`, `high` [channel]: the sums that can be. By bisection: the rule never falls as the sum grows, since neither
    the conversion to float32, nor the product with a positive number, nor the rounding does.
    """
    levels = np.arange(number.low + 1, number.high + 1)
    count = len(levels)
    below = np.repeat(low[:, None] - 1, count, axis=1)  # every sum up to here stays below the level
    reached = np.repeat(high[:, None] + 1, count, axis=1)  # from here on it is reached
    factor = multiplier[:, None]
    while (reached - below > 1).any():
        middle = below + (reached - below) // 2
        # The ends are no sums: a middle is one of those between, or nothing is left to be found.
        found = float32_rule(middle, factor, zero, number) >= levels
        open_ = reached - below > 1
        reached = np.where(open_ & found, middle, reached)
        below = np.where(open_ & ~found, middle, below)
    return reached


def multiplier_of(multiplier: np.float32) -> tuple[int, int] | None:
    """Whole number of at most 24 bits and shift of 0 to 62 whose quotient is a positive float32; None without such."""
    exact = Fraction(float(multiplier))
    shift = exact.denominator.bit_length() - 1
    if exact.numerator.bit_length() > _MULTIPLIER_BITS or shift > _SHIFT_MAX:
        return None
    return exact.numerator, shift


def rational_boundaries(low: int, high: int, factor: tuple[int, int], zero: int, number: Number) -> list[int]:
    """The same of acc * M / 2^s to the nearest, ties to the even one, in whole numbers."""
    m, shift = factor
    found = []
    for level in range(number.low + 1 - zero, number.high + 1 - zero):
        # 2 acc M reaches (2 level - 1) 2^s, and is beyond it where the tie goes to the lower one, which is even.
        edge, step = (2 * level - 1) << shift, 2 * m
        least = edge // step + 1 if level % 2 else -(-edge // step)
        found.append(min(max(least, low), high + 1))
    return found


def requantised(builder: Builder, sums: Flow, multiplier: Float32, zero: int, number: Number, origin: str) -> Flow:
    """Codes of sums by the rule in float32: a multiplier and a shift for every channel, or thresholds.

    `sums`: a stream whose one affine step adds a whole number to the sums of each channel.
    """
    channels = sums.channels
    affine = sums.affine("it")
    addends = np.array([int(affine.of(c)[1]) for c in range(channels)], np.int64)
    factors = np.broadcast_to(multiplier.ravel(), channels).astype(np.float32)
    low, high = sums.low + addends, sums.high + addends
    if low.min() <= INT32.low or high.max() >= INT32.high or np.abs(addends).max() > INT32.high:
        raise NotTakenError("its sums and biases need more than 32 bits")
    by_float = boundaries(low, high, factors, zero, number)
    pairs = [multiplier_of(factor) for factor in factors]
    equal = [
        pair is not None and rational_boundaries(int(lo), int(hi), pair, zero, number) == row.tolist()
        for pair, lo, hi, row in zip(pairs, low, high, by_float, strict=True)
    ]
    # int8 whose zero is the least code is kept as uint8 whose zero is 0: so what is around an image is 0, too.
    moved = number.low if zero == number.low else 0
    out = Number(number.bits, Sign.UNSIGNED) if moved else number
    builder.requantised[all(equal)] += 1
    if all(equal):
        ms = np.array([pair[0] for pair in pairs if pair], np.int32)
        shifts = np.array([pair[1] for pair in pairs if pair], np.uint8)
        bias = np.full(channels, zero - moved, np.int16 if not out.signed else np.int8)
        rescale = Rescale(addends.astype(np.int32), ms, shifts, bias, Rounding.HALF_EVEN, out=out)
        name, tensor = builder.add(builder.name("requant"), rescale, sums, origin)
    else:
        levels = np.arange(number.low, number.high + 1) - moved
        # Above every sum where no sum reaches the level.
        thresholds = np.clip(by_float - addends[:, None], INT32.low + 1, INT32.high)
        steps = Threshold(thresholds.astype(np.int32), np.ones(channels, np.uint8), levels.astype(out.dtype), out)
        name, tensor = builder.add(builder.name("requant"), steps, sums, origin)
    if moved:
        builder.origins[name] = f"{origin} + {-moved}"
    offset = (Affine((_ONE,), (Fraction(moved),)),) if moved else ()
    return replace(sums, tap=name, tensor=tensor, low=out.low, high=out.high, steps=offset)


def product_scale(x: Scale, weight: Scale, y: Scale) -> Float32:
    """The factor of a product's sums: float32(float32(x * weight) / y), one for all or one for each output."""
    found: Float32 = (np.float32(x.one[0]) * weight.scale.ravel()).astype(np.float32) / np.float32(y.one[0])
    return found


def levels_of(number: Number) -> list[int]:
    """Every code of a format."""
    return list(range(number.low, number.high + 1))


def bias_codes(bias: Constant | None) -> Constant | None:
    """A bias in int32, at the scale of the sums."""
    if bias is not None and (bias.array.dtype != np.int32 or bias.table != (_ONE,)):
        raise NotTakenError(f"its bias is {bias.array.dtype}, expected int32")
    return bias
