"""ONNX's own 8-bit operators: codes with scales and zero points, requantised as ONNX Runtime does, in float32.

The rule of `QLinearConv` and its like, y = saturate(rint(float32(acc) * m) + zero) with a float32 m, is monotone in
acc. So it is 255 boundaries at most, which are found by bisection for each channel. A multiplier and a shift are taken
where there are some that have the same boundaries, thresholds where there are none: equal for every sum that can be.
"""

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from fxsim.contract import INT8, Number, Sign
from fxsim.contract.number import INT32, UINT8
from fxsim.formats.qonnx.build import FLOAT_BITS, NEAR, Builder
from fxsim.formats.qonnx.exact import Affine
from fxsim.formats.qonnx.values import Constant, Flow, NotTakenError
from fxsim.formats.requantisation import boundaries, finisher, parted, weights_near
from fxsim.operators import Rescale, Threshold, WeightedAdd

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

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
    if values.ndim > 1:
        raise NotTakenError(f"the scale of {what} has the shape {values.shape}, expected one number or one a channel")
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
    if zero is not None and zero.array.dtype != weight.array.dtype:
        raise NotTakenError(f"its weights are {weight.array.dtype}, their zero point is {zero.array.dtype}")
    if len(weight.shape) < 2:
        raise NotTakenError(f"its weights have the shape {weight.shape}, expected two axes or four")
    points = np.zeros(1, np.int64) if zero is None else zero.array.astype(np.int64).ravel()
    if points.size not in (1, weight.shape[axis]):
        raise NotTakenError(f"its weights have {points.size} zero points, expected 1 or {weight.shape[axis]}")
    shape = [1] * len(weight.shape)
    if points.size > 1:
        shape[axis] = points.size
    return Constant.plain(weight.array.astype(np.int64) - points.reshape(shape))


def float32_rule(acc: Int64, multiplier: Float32, zero: int, number: Number) -> Int64:
    """saturate(rint(float32(acc) * multiplier) + zero), the product in float32; ties to the even one."""
    product = np.rint(acc.astype(np.float32) * multiplier).astype(np.float64)
    codes: Int64 = np.clip(product + zero, number.low, number.high).astype(np.int64)
    return codes


def requantised(builder: Builder, sums: Flow, multiplier: Float32, zero: int, number: Number, origin: str) -> Flow:
    """Codes of sums by the rule in float32: a multiplier and a shift for every channel, or thresholds.

    `sums`: a stream whose one affine step adds a whole number to the sums of each channel.
    """
    channels = sums.channels
    if multiplier.size not in (1, channels):
        raise NotTakenError(f"its weights have {multiplier.size} scales, expected 1 or {channels}")
    affine = sums.affine("it")
    whole = [int(affine.of(c)[1]) for c in range(channels)]
    if max(map(abs, whole)) > INT32.high:
        raise NotTakenError("its sums and biases need more than 32 bits")
    addends = np.array(whole, np.int64)
    factors = np.broadcast_to(multiplier.ravel(), channels).astype(np.float32)
    if not np.isfinite(factors).all():
        raise NotTakenError("its factor, input times weights over result, is beyond float32")
    low, high = sums.low + addends, sums.high + addends
    if low.min() <= INT32.low or high.max() >= INT32.high:
        raise NotTakenError("its sums and biases need more than 32 bits")
    factor = factors[:, None]
    by_float = boundaries(low, high, lambda acc: float32_rule(acc, factor, zero, number), number)
    # int8 whose zero is the least code is kept as uint8 whose zero is 0: so what is around an image is 0, too.
    moved = number.low if zero == number.low else 0
    op = finisher((low, high), addends, by_float, zero, number, moved)
    out = op.out
    builder.requantised[isinstance(op, Rescale)] += 1
    name, tensor = builder.add(builder.name("requant"), op, sums, origin)
    if moved:
        builder.origins[name] = f"{origin} + {-moved}"
    offset = (Affine((_ONE,), (Fraction(moved),)),) if moved else ()
    return replace(sums, tap=name, tensor=tensor, low=out.low, high=out.high, steps=offset)


def product_scale(x: Scale, weight: Scale, y: Scale) -> Float32:
    """The factor of a product's sums: float32(float32(x * weight) / y), one for all or one for each output."""
    with np.errstate(over="ignore"):  # whoever requantises refuses what is beyond float32
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


@dataclass(frozen=True)
class Operand:
    """A stream of codes, less their zero point, and their scale."""

    stream: Flow
    scale: Fraction


def joined(
    builder: Builder, x: Operand, r: Operand, scale: Fraction, zero: int, number: Number, origin: str, rectified: bool
) -> Flow:  # fmt: skip
    """Codes of the sum of two streams, exact in the reals of their float32 scales, for every pair of codes.

    Whole weights for both, and thresholds of their sum, which part all pairs as the reals do. Ties go to the even code,
    as ONNX Runtime adds the zero point before it rounds; of a `rectified` sum to the even value. Pairs so near a tie
    that float32 may differ are listed. NotTakenError where no weights of 15 bits do.
    """
    for operand in (x, r):
        operand.stream.plain()
        if operand.stream.tap is None:
            raise NotTakenError("it reads the model's input before a quantiser, expected integers")
        if operand.stream.high - operand.stream.low > UINT8.high:
            raise NotTakenError("it adds values of more than 8 bits")
    if x.stream.tensor.shape != r.stream.tensor.shape or not np.array_equal(x.stream.index, r.stream.index):
        raise NotTakenError(f"its inputs, {x.stream.tensor.shape} and {r.stream.tensor.shape}, do not lie alike")
    offsets = [int(operand.stream.affine("it").offset[0]) for operand in (x, r)]
    codes = [np.arange(o.stream.low, o.stream.high + 1) for o in (x, r)]
    wanted, near = _sums_by_reals(x, r, offsets, codes, scale, 0 if rectified else zero)
    least = 0 if rectified else number.low - zero
    levels = np.clip(wanted, max(least, number.low - zero), number.high - zero) + zero
    for weights in weights_near(x.scale / r.scale):
        totals = weights[0] * codes[0][:, None] + weights[1] * codes[1][None, :]
        thresholds = parted(totals, levels, number)
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
    if near:
        builder.near.append(f"{name}: {near:,} of {levels.size:,} pairs of codes")
    offset = (Affine((_ONE,), (Fraction(moved),)),) if moved else ()
    return replace(sums, tap=name, tensor=tensor, low=out.low, high=out.high, steps=offset)


def _sums_by_reals(
    x: Operand, r: Operand, offsets: list[int], codes: list[Int64], scale: Fraction, zero: int
) -> tuple[Int64, int]:
    """Every pair's sum over the scale, to the nearest whole number, ties to the one that is even with `zero`.

    With how many lie nearer to a tie than float32 tells: none where it is exact, of short binary fractions.
    """
    unit = math.lcm((x.scale / scale).denominator, (r.scale / scale).denominator)
    parts = [int(o.scale / scale * unit) for o in (x, r)]
    first = [parts[0] * (int(v) + offsets[0]) for v in codes[0]]
    second = [parts[1] * (int(v) + offsets[1]) for v in codes[1]]
    found = np.empty((len(first), len(second)), np.int64)
    short = unit & (unit - 1) == 0 and max(*map(abs, first), *map(abs, second)).bit_length() <= FLOAT_BITS
    close, near = NEAR * unit, 0
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            whole, rest = divmod(a + b, unit)
            up = 2 * rest > unit or (2 * rest == unit and (whole + zero) % 2 == 1)
            found[i, j] = max(-(1 << 40), min(1 << 40, whole + up))
            near += not short and abs(2 * rest - unit) < 2 * close
    return found, near
