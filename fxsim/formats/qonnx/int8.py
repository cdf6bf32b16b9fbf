"""ONNX's own 8-bit operators: codes with scales and zero points, requantised as ONNX Runtime does, in float32.

The rule of `QLinearConv` and its like, y = saturate(rint(float32(acc) * m) + zero) with a float32 m, is monotone in
acc. So it is 255 boundaries at most, which are found by bisection for each channel. A multiplier and a shift are taken
where there are some that have the same boundaries, thresholds where there are none: equal for every sum that can be.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from fxsim.contract import INT8, Number, Rounding, Sign
from fxsim.contract.number import INT32, UINT8
from fxsim.formats.qonnx.build import Builder
from fxsim.formats.qonnx.exact import Affine
from fxsim.formats.qonnx.values import Constant, Flow, NotTakenError
from fxsim.operators import Rescale, Threshold, WeightedAdd

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

_MULTIPLIER_BITS = 29
"""Bits of a multiplier: with a sum of 32 bits and a bias the product has at most 62."""
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
    codes: Int64 = np.clip(product + zero, number.low, number.high).astype(np.int64)
    return codes


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


def multiplier_for(low: int, high: int, reached: list[int], zero: int, number: Number) -> tuple[int, int] | None:
    """Whole number of at most 29 bits and shift of 0 to 62 that have these boundaries; None where none is found.

    `reached`: for each level but the first the least sum, from `low` to `high` + 1, that reaches it. Such a sum times
    the quotient must reach level - 1/2, and the sum before it must not: each is a bound of the quotient.
    """
    least, most = Fraction(0), Fraction(1 << 31)
    for level, first in zip(range(number.low + 1 - zero, number.high + 1 - zero), reached, strict=True):
        edge = Fraction(2 * level - 1, 2)
        for acc, inside in ((first, True), (first - 1, False)):
            if not low <= acc <= high:
                continue
            if acc == 0:
                if (edge <= 0) != inside:
                    return None
            elif (acc > 0) == inside:
                least = max(least, edge / acc)
            else:
                most = min(most, edge / acc)
    if least > most:
        return None
    middle = (least + most) / 2
    shift = min(
        _SHIFT_MAX, _MULTIPLIER_BITS - 1 - (math.floor(middle).bit_length() - 1 if middle >= 1 else -_zeros(middle))
    )
    if shift < 0:
        return None
    factor = round(middle * (1 << shift)), shift
    if not 0 < factor[0] < 1 << _MULTIPLIER_BITS:
        return None
    return factor if rational_boundaries(low, high, factor, zero, number) == reached else None


def _zeros(value: Fraction) -> int:
    """Zeros behind the point before the first one of a number below 1, and that one: 1 for a half."""
    return (value.denominator // value.numerator).bit_length() if value else _SHIFT_MAX


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
    pairs = [
        multiplier_for(int(lo), int(hi), row.tolist(), zero, number)
        for lo, hi, row in zip(low, high, by_float, strict=True)
    ]
    equal = [pair is not None for pair in pairs]
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


# --- Sums of two -----------------------------------------------------------------------------------------------------

_WEIGHT_MAX = (1 << 15) - 1
_TRIED = 64
"""Most pairs of whole weights that are tried for two scales."""


@dataclass(frozen=True)
class Operand:
    """A stream of codes, less their zero point, and their scale."""

    stream: Flow
    scale: Fraction


def joined(
    builder: Builder, x: Operand, r: Operand, scale: Fraction, zero: int, number: Number, origin: str, rectified: bool
) -> Flow:  # fmt: skip
    """Codes of the sum of two streams, exact in the reals of their float32 scales, for every pair of codes.

    Whole weights for both, and thresholds of their sum, which part all pairs as the reals do; ties to the even one.
    NotTakenError where no weights of 15 bits do.
    """
    for operand in (x, r):
        operand.stream.plain()
        if operand.stream.tap is None:
            raise NotTakenError("it reads the model's input before a quantiser, expected integers")
        if operand.stream.high - operand.stream.low > UINT8.high:
            raise NotTakenError("it adds values of more than 8 bits")
    if x.stream.tensor.shape != r.stream.tensor.shape or (x.stream.index != r.stream.index).any():
        raise NotTakenError(f"its inputs, {x.stream.tensor.shape} and {r.stream.tensor.shape}, do not lie alike")
    offsets = [int(operand.stream.affine("it").offset[0]) for operand in (x, r)]
    codes = [np.arange(o.stream.low, o.stream.high + 1) for o in (x, r)]
    wanted = _sums_by_reals(x, r, offsets, codes, scale)
    least = 0 if rectified else number.low - zero
    levels = np.clip(wanted, max(least, number.low - zero), number.high - zero) + zero
    for weights in _weights(x.scale / r.scale):
        totals = weights[0] * codes[0][:, None] + weights[1] * codes[1][None, :]
        thresholds = _parted(totals, levels, number)
        if thresholds is not None:
            break
    else:
        raise NotTakenError(
            f"its scales, {float(x.scale):g} and {float(r.scale):g}, need weights of more than 15 bits to be exact"
        )
    channels = x.stream.channels
    weight = np.repeat(np.array(weights, np.int16)[:, None], channels, axis=1)
    add = WeightedAdd(weight, np.zeros(channels, np.uint8), out=INT32)
    name, tensor = builder.join(builder.name("add"), add, x.stream, r.stream, f"sums of {origin}")
    low, high = int(totals.min()), int(totals.max())
    sums = replace(x.stream, tap=name, tensor=tensor, low=low, high=high, steps=())
    moved = number.low if zero == number.low else 0
    out = Number(number.bits, Sign.UNSIGNED) if moved else number
    table = (np.arange(number.low, number.high + 1) - moved).astype(out.dtype)
    rows = np.repeat(np.array(thresholds, np.int32)[None], channels, axis=0)
    steps = Threshold(rows, np.ones(channels, np.uint8), table, out)
    name, tensor = builder.add(builder.name("requant"), steps, sums, origin + (f" + {-moved}" if moved else ""))
    offset = (Affine((_ONE,), (Fraction(moved),)),) if moved else ()
    return replace(sums, tap=name, tensor=tensor, low=out.low, high=out.high, steps=offset)


def _sums_by_reals(x: Operand, r: Operand, offsets: list[int], codes: list[Int64], scale: Fraction) -> Int64:
    """Every pair's sum over the scale, to the nearest whole number, ties to the even one."""
    unit = math.lcm((x.scale / scale).denominator, (r.scale / scale).denominator)
    parts = [int(o.scale / scale * unit) for o in (x, r)]
    first = [parts[0] * (int(v) + offsets[0]) for v in codes[0]]
    second = [parts[1] * (int(v) + offsets[1]) for v in codes[1]]
    found = np.empty((len(first), len(second)), np.int64)
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            whole, rest = divmod(a + b, unit)
            up = 2 * rest > unit or (2 * rest == unit and whole % 2 == 1)
            found[i, j] = max(-(1 << 40), min(1 << 40, whole + up))
    return found


def _weights(ratio: Fraction) -> Iterator[tuple[int, int]]:
    """Whole weights of at most 15 bits whose quotient is near a ratio, the nearest first, then multiples of others."""
    largest = _WEIGHT_MAX if ratio <= 1 else max(1, int(_WEIGHT_MAX / ratio))
    seen = set()
    for step in range(_TRIED):
        near = ratio.limit_denominator(max(1, largest - step * max(1, largest // _TRIED)))
        if near and near not in seen and max(near.numerator, near.denominator) <= _WEIGHT_MAX:
            seen.add(near)
            yield near.numerator, near.denominator


def _parted(totals: Int64, levels: Int64, number: Number) -> list[int] | None:
    """The least sum of each level but the first; None where a sum has two levels, or a greater sum a lower one."""
    order = np.argsort(totals, axis=None, kind="stable")
    sums, made = totals.ravel()[order], levels.ravel()[order]
    if (np.diff(made) < 0).any() or ((np.diff(sums) == 0) & (np.diff(made) != 0)).any():
        return None
    at = np.searchsorted(made, np.arange(number.low + 1, number.high + 1))
    return [int(sums[i]) if i < len(sums) else int(sums[-1]) + 1 for i in at]
