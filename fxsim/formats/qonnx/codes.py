"""ONNX's 8-bit operators, one function each: on codes, or between DequantizeLinear and QuantizeLinear."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np

from fxsim.contract import TableRule
from fxsim.contract.number import UINT8
from fxsim.formats.qonnx import nodes
from fxsim.formats.qonnx.build import Product
from fxsim.formats.qonnx.exact import Affine, Boundary, Clamp, rounding_boundary
from fxsim.formats.qonnx.int8 import (
    Float32,
    Operand,
    Scale,
    bias_codes,
    centred_codes,
    centred_weight,
    joined,
    levels_of,
    product_scale,
    requantised,
    scale_of,
)
from fxsim.formats.qonnx.nodes import Call, dense, pads, pair
from fxsim.formats.qonnx.values import Constant, Flow, NotTakenError, Value
from fxsim.operators import Concat, Lut

_ZERO, _ONE = Fraction(0), Fraction(1)
_BIAS_ROUNDING = Fraction(1, 1 << 20)
"""Most of a bias by which its own scale, a float32, may miss that of the sums."""


def _scale(call: Call, at: int, what: str) -> Scale:
    """Scale and zero point, which are inputs one after the other."""
    return scale_of(call.constant(at, f"the scale of {what}"), call.optional(at + 1, f"the zero point of {what}"), what)


# --- Between floats and codes ----------------------------------------------------------------------------------------


def _quantize_linear(call: Call) -> Value:
    """Codes of values: of sums by ONNX Runtime's rule for sums, of all others exactly in the reals."""
    call.known("axis", "saturate")
    x = call.stream()
    to = _scale(call, 1, "its result")
    scale, zero = to.one
    if x.parts is not None:
        first, second = (_operand(part) for part in x.parts)
        exact = Fraction(float(scale))
        return joined(call.builder, first, second, exact, zero, to.number, call.origin, x.rectified)
    by_code = call.builder.added.get(x.tap or "") == x.steps
    product = call.builder.products.get(x.tap or "")
    if product is not None and x.tap is not None:
        kept = _rectified(x, product.stream, zero == to.number.low)
        if kept and product.inside is not None:
            factor = (_float32(product.scale) * np.array([_float32(s) for s in product.scales])).astype(np.float32)
            biases = _biases(product, factor)
            offsets = [Fraction(a + b) for a, b in zip(product.inside, biases, strict=True)]
            sums = replace(product.stream, index=x.index, steps=(Affine((_ONE,) * len(offsets), tuple(offsets)),))
            _sums_of(call, sums)
            return requantised(call.builder, sums, (factor / scale).astype(np.float32), zero, to.number, call.origin)
    return _exactly(call, x, to, by_code)


def _exactly(call: Call, x: Flow, to: Scale, by_code: bool = False) -> Flow:
    """Codes of values as the reals have them, to the nearest: thresholds.

    Ties go to the even multiple of the scale, to which the zero point is added; `by_code` to the even code, where ONNX
    Runtime adds the zero point before it rounds.
    """
    scale, zero = to.one
    exact = Fraction(float(scale))
    levels = levels_of(to.number)
    moved = zero if by_code else 0
    edges = [rounding_boundary("ROUND", level - zero + moved) for level in levels[1:]]
    boundaries = [[Boundary((edge.value - moved) * exact, edge.strict) for edge in edges]]
    value = Affine((_ONE,), (_ZERO,))
    found = call.builder.steps(x, boundaries, [exact], levels, to.number, value, call.origin, joined=by_code)
    if x.tap is None:
        call.builder.about_input += f": divided by {scale:.9g}, to the nearest, ties to the even one, plus {zero}"
    return found


def _operand(x: Flow) -> Operand:
    """A stream of values as codes and their scale; NotTakenError where its zero is none of its integers."""
    affine = x.affine("it")
    offset = affine.offset[0] / affine.scale[0]
    if len(set(affine.scale)) > 1 or len(set(affine.offset)) > 1 or affine.scale[0] <= 0 or offset.denominator != 1:
        raise NotTakenError("it adds values whose zero is no code, or with a scale for each channel")
    return Operand(replace(x, steps=(Affine((_ONE,), (offset,)),)), affine.scale[0])


def _relu(call: Call) -> Value:
    """A ReLU, also of a sum of two scales."""
    x = call.value(0)
    if isinstance(x, Flow) and x.parts is not None:
        return replace(x, rectified=True)
    return nodes.HANDLERS["Relu"](call)


def _rectified(x: Flow, sums: Flow, redundant: bool) -> bool:
    """Whether a stream is these sums, or their positive part where that changes no code."""
    if x.steps == sums.steps:
        return True
    return redundant and x.steps == (*sums.steps, Clamp(_ZERO, None))


def _float32(value: Fraction) -> np.float32:
    return np.float32(float(value))


def _biases(product: Product, factor: Float32) -> list[int]:
    """The int32 codes of a bias, whose scale is that of the sums: ONNX Runtime adds them up, whatever their scale."""
    if product.codes is None:
        raise NotTakenError("its sums have a bias of floats, expected one of int32 behind a DequantizeLinear")
    found = []
    for channel, scale in enumerate(factor):
        at = channel if len(product.bias) > 1 else 0
        value = product.bias[at]
        unit = Fraction(float(scale))
        code = round(value / unit)
        if abs(code * unit - value) > abs(value) * _BIAS_ROUNDING:
            raise NotTakenError(f"the bias of channel {channel} is no whole number in the scale of its sums")
        if product.codes[at] != code:
            raise NotTakenError(f"the scale of the bias of channel {channel} is not that of its sums, input by weights")
        found.append(code)
    return found


def _dequantize_linear(call: Call) -> Value:
    """Values of codes: a constant as whole numbers times scales, a stream with an affine step."""
    call.known("axis")
    x = call.value(0)
    scale, zero = call.constant(1, "its scale"), call.optional(2, "its zero point")
    if scale.array.dtype != np.float32 or scale.table != (_ONE,) or not (scale.array > 0).all():
        raise NotTakenError("its scale is no float32 above 0")
    if len(scale.shape) > 1:
        raise NotTakenError(f"its scale has the shape {scale.shape}, expected one number or one for each channel")
    points = np.zeros(1, np.int64) if zero is None else zero.array.astype(np.int64).ravel()
    if isinstance(x, Flow):
        if scale.array.size != 1 or points.size != 1:
            raise NotTakenError("it has a scale or zero point for each channel, expected one for all")
        exact = Fraction(float(scale.array.ravel()[0]))
        return x.then(Affine((exact,), (-int(points[0]) * exact,)))
    if x.array.dtype not in (np.int8, np.uint8, np.int32) or x.table != (_ONE,):
        raise NotTakenError(f"its constant is {x.array.dtype}, expected int8, uint8 or int32")
    if zero is not None and (zero.array.dtype != x.array.dtype or zero.table != (_ONE,)):
        raise NotTakenError(f"its constant is {x.array.dtype}, its zero point is {zero.array.dtype}")
    if x.array.dtype == np.int32 and points.any():
        raise NotTakenError("its constant of int32 has a zero point that is not 0, which ONNX Runtime leaves out")
    rank = len(x.shape)
    axis = call.attribute("axis", 1)
    count = scale.array.size
    if count > 1 and (rank == 0 or not -rank <= axis < rank or x.shape[axis] != count):
        raise NotTakenError(f"its {count} scales do not fit axis {axis} of a constant of shape {x.shape}")
    shape = [1] * rank
    if count > 1:
        shape[axis] = count
    if points.size not in (1, count):
        raise NotTakenError(f"it has {points.size} zero points, expected {count}")
    centred = x.array.astype(np.int64) - points.reshape(shape if points.size > 1 else [1] * rank)
    table = tuple(Fraction(float(v)) for v in scale.array.ravel())
    place = np.broadcast_to(np.arange(count, dtype=np.int32).reshape(shape), x.shape)
    return Constant(centred, place, table)


# --- Products of codes -----------------------------------------------------------------------------------------------


def _qlinear_conv(call: Call) -> Value:
    call.known("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    x, weights, y = _scale(call, 1, "its input"), _scale(call, 4, "its weights"), _scale(call, 6, "its result")
    stream = centred_codes(call.stream(), x.one[1])
    kernel = centred_weight(call.constant(3, "its kernel"), call.optional(5, "its weights' zero point"), 0)
    if len(kernel.shape) != 4:
        raise NotTakenError(f"its kernel has the shape {kernel.shape}, expected four axes: only images are taken")
    kernel = kernel.moved(lambda a: a.transpose(0, 2, 3, 1))
    rows, columns = kernel.shape[1:3]
    if call.attribute("kernel_shape", [rows, columns]) != [rows, columns]:
        raise NotTakenError(f"it states another kernel than its weights' {rows} x {columns}")
    groups = call.attribute("group", 1)
    stream = call.builder.picture(stream, call.origin)
    channels = stream.channels
    if groups < 1 or channels != kernel.shape[3] * groups or kernel.shape[0] % groups:
        raise NotTakenError(f"{groups} groups of {kernel.shape[3]} channels do not fit an input of {channels}")
    bias = bias_codes(call.optional(8, "its bias"))
    stride, dilation = pair(call, "strides"), pair(call, "dilations")
    padding = pads(call, stream, (rows, columns), stride, dilation)
    sums = call.builder.product(stream, kernel, bias, call.origin, stride, padding, dilation, groups)
    return _requantised(call, sums, product_scale(x, weights, y), y)


def _qlinear_mat_mul(call: Call) -> Value:
    call.known()
    x, weights, y = _scale(call, 1, "its input"), _scale(call, 4, "its weights"), _scale(call, 6, "its result")
    weight = centred_weight(call.constant(3, "its weights"), call.optional(5, "its weights' zero point"), -1)
    stream = centred_codes(call.stream(), x.one[1])
    return _requantised(call, dense(call, stream, weight.moved(lambda a: a.T), None), product_scale(x, weights, y), y)


def _q_gemm(call: Call) -> Value:
    """Microsoft's QGemm: its bias is int32 at the scale of the sums."""
    call.known("alpha", "transA", "transB")
    if call.attribute("transA", 0) or call.attribute("alpha", 1.0) != 1.0:
        raise NotTakenError("it transposes its first input, or has a factor (alpha)")
    x, weights = _scale(call, 1, "its input"), _scale(call, 4, "its weights")
    if len(call.values) < 8 or call.values[7] is None:
        raise NotTakenError("it gives floats, expected a scale of its result")
    y = _scale(call, 7, "its result")
    turned = bool(call.attribute("transB", 0))
    stated = call.constant(3, "its weights")
    weight = centred_weight(stated, call.optional(5, "its weights' zero point"), 0 if turned else -1)
    weight = weight if turned else weight.moved(lambda a: a.T)
    bias = bias_codes(call.optional(6, "its bias"))
    sums = dense(call, centred_codes(call.stream(), x.one[1]), weight, bias)
    return _requantised(call, sums, product_scale(x, weights, y), y)


def _requantised(call: Call, sums: Flow, factor: Float32, y: Scale) -> Flow:
    _sums_of(call, sums)
    return requantised(call.builder, sums, factor, y.one[1], y.number, call.origin)


def _sums_of(call: Call, sums: Flow) -> None:
    """The file has no tensor of sums: what they are of."""
    assert sums.tap is not None
    call.builder.origins[sums.tap] = f"sums of {call.origin}"


# --- Sums of codes ---------------------------------------------------------------------------------------------------


def _qlinear_add(call: Call) -> Value:
    """Microsoft's: the sum of two dequantised values, quantised; exact in the reals of the scales."""
    call.known()
    a, b, y = _scale(call, 1, "its first input"), _scale(call, 4, "its second input"), _scale(call, 6, "its result")
    operands = []
    for at, of in ((0, a), (3, b)):
        found = call.value(at)
        if not isinstance(found, Flow):
            raise NotTakenError("one of its inputs is a constant, expected values that depend on the model's input")
        operands.append(Operand(centred_codes(found, of.one[1]), Fraction(float(of.one[0]))))
    first, second = operands
    scale, zero = y.one
    exact = Fraction(float(scale))
    return joined(call.builder, first, second, exact, zero, y.number, call.origin, rectified=False)


# --- Means of codes --------------------------------------------------------------------------------------------------


def _qlinear_global_average_pool(call: Call) -> Value:
    """Microsoft's: the sum less so many zero points, requantised with the scale divided by the number of values."""
    call.known("channels_last")
    if call.attribute("channels_last", 0):
        raise NotTakenError("its channels are last, expected first")
    x, y = _scale(call, 1, "its input"), _scale(call, 3, "its result")
    stream = centred_codes(call.stream(), x.one[1])
    stream = call.builder.picture(stream, call.origin)
    rows, columns, _ = stream.image()
    count = rows * columns
    offset = stream.affine("it").offset[0] * count
    total = call.builder.total(stream, (rows, columns), (1, 1), call.origin)
    sums = replace(total, steps=(Affine((_ONE,), (offset,)),))
    factor = np.array([x.one[0] / (y.one[0] * np.float32(count))], np.float32)
    return _requantised(call, sums, factor, y)


def _qlinear_average_pool(call: Call) -> Value:
    """Microsoft's: the mean of dequantised values, quantised; exact in the reals of the scales."""
    call.known(
        "auto_pad", "ceil_mode", "channels_last", "count_include_pad", "kernel_shape", "pads", "strides"
    )  # fmt: skip
    if call.attribute("channels_last", 0):
        raise NotTakenError("its channels are last, expected first")
    x, y = _scale(call, 1, "its input"), _scale(call, 3, "its result")
    stream = centred_codes(call.stream(), x.one[1])
    stream = call.builder.picture(stream, call.origin)
    rows, columns, _ = stream.image()
    kernel, stride = pair(call, "kernel_shape"), pair(call, "strides")
    beyond = any((n - k) % s for n, k, s in zip((rows, columns), kernel, stride, strict=True))
    if any(pads(call, stream, kernel, stride)) or (call.attribute("ceil_mode", 0) and beyond):
        raise NotTakenError("its windows reach beyond the image, expected windows within it")
    total = call.builder.total(stream, kernel, stride, call.origin)
    assert total.tap is not None
    call.builder.origins[total.tap] = f"sums of {call.origin}"
    return _exactly(call, total.then(Affine((Fraction(float(x.one[0])),), (_ZERO,))), y, by_code=True)


# --- Functions of one code -------------------------------------------------------------------------------------------


def _table(call: Call, x: Flow, function: Callable[[Float32], Float32], of: Scale, to: Scale) -> Flow:
    """A function of dequantised codes, quantised: a table of all codes, each computed in float32."""
    x.plain()
    if x.tap is None:
        raise NotTakenError("it reads the model's input before a quantiser, expected integers")
    centred, number = centred_codes(x, of.one[1]), x.tensor.number
    if number.bits > UINT8.bits:
        raise NotTakenError("it reads values of more than 8 bits")
    value = np.arange(number.low, number.high + 1) + int(centred.affine("it").offset[0])
    scale, zero = to.one
    with np.errstate(over="ignore"):
        quotient = function((of.one[0] * value.astype(np.float32)).astype(np.float32)) / scale
    # A quotient may be beyond every whole number of 64 bits.
    codes = np.clip(np.rint(quotient.astype(np.float64)) + zero, to.number.low, to.number.high).astype(np.int64)
    rows = np.repeat(codes.astype(to.number.dtype)[None], x.channels, axis=0)
    builder = call.builder
    name, tensor = builder.add(builder.name("table"), Lut(rows, TableRule.FULL, number, to.number), x, call.origin)
    return replace(x, tap=name, tensor=tensor, low=int(codes.min()), high=int(codes.max()), steps=())


def _qlinear_leaky_relu(call: Call) -> Value:
    """Microsoft's: a slope below 0, in float32."""
    call.known("alpha")
    slope = np.float32(call.attribute("alpha", 0.01))
    x, y = _scale(call, 1, "its input"), _scale(call, 3, "its result")
    return _table(call, call.stream(), lambda v: np.where(v >= 0, v, slope * v).astype(np.float32), x, y)


def _qlinear_sigmoid(call: Call) -> Value:
    """Microsoft's: 1 / (1 + exp(-x)) of each code, which ONNX Runtime comes to within some 10^-7."""
    call.known()
    x, y = _scale(call, 1, "its input"), _scale(call, 3, "its result")
    return _table(call, call.stream(), lambda v: (1 / (1 + np.exp(-v.astype(np.float64)))).astype(np.float32), x, y)


def _qlinear_concat(call: Call) -> Value:
    """Microsoft's: the channels of several, each brought to the scale of the result by a table."""
    call.known("axis")
    if call.attribute("axis") != 1 or len(call.values) < 8 or len(call.values) % 3 != 2:
        raise NotTakenError("it is no concatenation of the channels of two tensors or more")
    y = scale_of(call.constant(0, "the scale of its result"), call.optional(1, "its zero point"), "its result")
    parts = []
    for at in range(2, len(call.values), 3):
        found = call.value(at)
        if not isinstance(found, Flow):
            raise NotTakenError("one of its inputs is a constant, expected values that depend on the model's input")
        found = call.builder.picture(found, call.origin)
        parts.append(_table(call, found, lambda v: v, _scale(call, at + 1, "an input"), y))
    joined_up = parts[0]
    for part in parts[1:]:
        name, tensor = call.builder.join(call.builder.name("concat"), Concat(), joined_up, part, call.origin)
        index = np.arange(tensor.size).reshape(tensor.shape).transpose(2, 0, 1)[None]
        low, high = min(joined_up.low, part.low), max(joined_up.high, part.high)
        joined_up = replace(joined_up, tap=name, tensor=tensor, index=index, low=low, high=high)
    return joined_up


# --- Sums without scales ---------------------------------------------------------------------------------------------


def _centred(call: Call, axis: int) -> tuple[Flow, Constant]:
    """The input and the weights of a product in whole numbers, each less its zero point."""
    zero = call.optional(2, "its input's zero point")
    if zero is not None and (zero.array.size != 1 or zero.array.dtype not in (np.int8, np.uint8)):
        raise NotTakenError("its input has several zero points, expected one of int8 or uint8")
    stream = centred_codes(call.stream(), 0 if zero is None else int(zero.array.ravel()[0]))
    return stream, centred_weight(call.constant(1, "its weights"), call.optional(3, "its weights' zero point"), axis)


def _mat_mul_integer(call: Call) -> Value:
    """Sums themselves; what floats make of them up to the next quantiser is exact in the reals."""
    call.known()
    stream, weight = _centred(call, -1)
    return dense(call, stream, weight.moved(lambda a: a.T), None)


def _conv_integer(call: Call) -> Value:
    """Sums themselves, as of `MatMulInteger`."""
    stream, kernel = _centred(call, 0)
    inner = Call(call.node, [stream, kernel], call.builder, call.opset, call.version)
    return nodes.HANDLERS["Conv"](inner)


HANDLERS: dict[str, Callable[[Call], Value]] = {
    "QLinearAveragePool": _qlinear_average_pool,
    "QLinearLeakyRelu": _qlinear_leaky_relu,
    "QLinearSigmoid": _qlinear_sigmoid,
    "QLinearConcat": _qlinear_concat,
    "MatMulInteger": _mat_mul_integer,
    "ConvInteger": _conv_integer,
    "QuantizeLinear": _quantize_linear,
    "DequantizeLinear": _dequantize_linear,
    "QLinearConv": _qlinear_conv,
    "QLinearMatMul": _qlinear_mat_mul,
    "QGemm": _q_gemm,
    "QLinearAdd": _qlinear_add,
    "Relu": _relu,
    "QLinearGlobalAveragePool": _qlinear_global_average_pool,
}
"""The function of each operator, by its name in any domain of those that are known."""

REFUSED: dict[str, str] = {
    "DynamicQuantizeLinear": "its scale depends on the values of each input, so that it is no fixed-point model: needs "
    "static quantisation",
    "DynamicQuantizeMatMul": "its scale depends on the values of each input: needs static quantisation",
}
"""Operators of 8 bits that are not taken, and why."""
