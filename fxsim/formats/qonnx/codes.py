"""ONNX's 8-bit operators, one function each: on codes, or between DequantizeLinear and QuantizeLinear."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np

from fxsim.formats.qonnx import nodes
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
    product = call.builder.products.get(x.tap or "")
    if product is not None and x.tap is not None:
        kept = _rectified(x, product.stream, zero == to.number.low)
        if kept and product.inside is not None:
            factor = (_float32(product.scale) * np.array([_float32(s) for s in product.scales])).astype(np.float32)
            biases = _biases(product.bias, factor)
            offsets = [Fraction(a + b) for a, b in zip(product.inside, biases, strict=True)]
            sums = replace(product.stream, index=x.index, steps=(Affine((_ONE,) * len(offsets), tuple(offsets)),))
            _sums_of(call, sums)
            return requantised(call.builder, sums, (factor / scale).astype(np.float32), zero, to.number, call.origin)
    exact = Fraction(float(scale))
    levels = levels_of(to.number)
    edges = [rounding_boundary("ROUND", level - zero) for level in levels[1:]]
    boundaries = [[Boundary(edge.value * exact, edge.strict) for edge in edges]]
    return call.builder.steps(x, boundaries, [exact], levels, to.number, Affine((_ONE,), (_ZERO,)), call.origin)


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


def _biases(bias: list[Fraction], factor: Float32) -> list[int]:
    """The int32 codes of a bias, whose scale is that of the sums."""
    found = []
    for channel, scale in enumerate(factor):
        value = bias[channel if len(bias) > 1 else 0]
        unit = Fraction(float(scale))
        code = round(value / unit)
        if abs(code * unit - value) > abs(value) * _BIAS_ROUNDING:
            raise NotTakenError(f"the bias of channel {channel} is no whole number in the scale of its sums")
        found.append(code)
    return found


def _dequantize_linear(call: Call) -> Value:
    """Values of codes: a constant as whole numbers times scales, a stream with an affine step."""
    call.known("axis")
    x = call.value(0)
    scale, zero = call.constant(1, "its scale"), call.optional(2, "its zero point")
    if scale.array.dtype != np.float32 or scale.table != (_ONE,) or not (scale.array > 0).all():
        raise NotTakenError("its scale is no float32 above 0")
    points = np.zeros(1, np.int64) if zero is None else zero.array.astype(np.int64).ravel()
    if isinstance(x, Flow):
        if scale.array.size != 1 or points.size != 1:
            raise NotTakenError("it has a scale or zero point for each channel, expected one for all")
        exact = Fraction(float(scale.array.ravel()[0]))
        return x.then(Affine((exact,), (-int(points[0]) * exact,)))
    if x.array.dtype not in (np.int8, np.uint8, np.int32) or x.table != (_ONE,):
        raise NotTakenError(f"its constant is {x.array.dtype}, expected int8, uint8 or int32")
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
    channels = stream.image()[2]
    if groups < 1 or channels != kernel.shape[3] * groups or kernel.shape[0] % groups:
        raise NotTakenError(f"{groups} groups of {kernel.shape[3]} channels do not fit an input of {channels}")
    bias = bias_codes(call.optional(8, "its bias"))
    sums = call.builder.product(
        stream, kernel, bias, call.origin, pair(call, "strides"), pads(call), pair(call, "dilations"), groups
    )
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
    streams = []
    for at, of in ((0, a), (3, b)):
        found = call.value(at)
        if not isinstance(found, Flow):
            raise NotTakenError("one of its inputs is a constant, expected values that depend on the model's input")
        streams.append(Operand(centred_codes(found, of.one[1]), Fraction(float(of.one[0]))))
    # Zero points may be constants by themselves.
    first, second = (replace(s, stream=_offset(s.stream)) for s in streams)
    return joined(
        call.builder, first, second, Fraction(float(y.one[0])), y.one[1], y.number, call.origin, rectified=False
    )


def _offset(x: Flow) -> Flow:
    return x if x.steps else replace(x, steps=(Affine((_ONE,), (_ZERO,)),))


# --- Means of codes --------------------------------------------------------------------------------------------------


def _qlinear_global_average_pool(call: Call) -> Value:
    """Microsoft's: the sum less so many zero points, requantised with the scale divided by the number of values."""
    call.known("channels_last")
    if call.attribute("channels_last", 0):
        raise NotTakenError("its channels are last, expected first")
    x, y = _scale(call, 1, "its input"), _scale(call, 3, "its result")
    stream = centred_codes(call.stream(), x.one[1])
    rows, columns, _ = stream.image()
    count = rows * columns
    offset = stream.affine("it").offset[0] * count
    total = call.builder.total(stream, (rows, columns), (1, 1), call.origin)
    sums = replace(total, steps=(Affine((_ONE,), (offset,)),))
    factor = np.array([x.one[0] / (y.one[0] * np.float32(count))], np.float32)
    return _requantised(call, sums, factor, y)


HANDLERS: dict[str, Callable[[Call], Value]] = {
    "QuantizeLinear": _quantize_linear,
    "DequantizeLinear": _dequantize_linear,
    "QLinearConv": _qlinear_conv,
    "QLinearMatMul": _qlinear_mat_mul,
    "QGemm": _q_gemm,
    "QLinearAdd": _qlinear_add,
    "Relu": _relu,
    "QLinearGlobalAveragePool": _qlinear_global_average_pool,
}
"""The function of each operator, by its name in whatever domain."""

REFUSED: dict[str, str] = {
    "DynamicQuantizeLinear": "its scale depends on the values of each input, so that it is no fixed-point model: needs "
    "static quantisation",
    "MatMulInteger": "what becomes of its sums is computed in floats: needs QLinearMatMul or QuantizeLinear",
    "ConvInteger": "what becomes of its sums is computed in floats: needs QLinearConv or QuantizeLinear",
    "DynamicQuantizeMatMul": "its scale depends on the values of each input: needs static quantisation",
}
"""Operators of 8 bits that are not taken, and why."""
