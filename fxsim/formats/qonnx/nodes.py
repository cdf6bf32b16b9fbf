"""Every operator of QONNX and ONNX that is taken, one function each: what becomes of its inputs."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from fxsim.contract import DIMENSION_MAX, Number, Padding, Pair, Sign
from fxsim.contract.number import BIPOLAR
from fxsim.formats.onnx.read import OnnxNode
from fxsim.formats.qonnx.build import Builder, number_of
from fxsim.formats.qonnx.datatypes import check_values
from fxsim.formats.qonnx.exact import MODES, Affine, Boundary, Clamp, root, rounded, rounding_boundary
from fxsim.formats.qonnx.values import EXACT_MAX, Array, Constant, Flow, NotTakenError, Value, quantised
from fxsim.formats.text import short

_ZERO, _ONE = Fraction(0), Fraction(1)
_SHAPE_SIZE_MAX = 1 << 26

CHANNELS_LAST = "qonnx.custom_op.channels_last"
"""Domain in which Conv, MaxPool and BatchNormalization take [1, row, column, channel]."""


@dataclass
class Call:
    """One node, its inputs' values (None where one is left out) and the graph that is built.

    `opset`: version of the standard's operators; `version`: of those of the node's own domain, None where that is the
    standard, or none is stated.
    """

    node: OnnxNode
    values: list[Value | None]
    builder: Builder
    opset: int
    version: int | None = None

    @property
    def origin(self) -> str:
        """The tensor that the node gives."""
        return self.node.outputs[0]

    def value(self, at: int) -> Value:
        """An input; NotTakenError where it is missing."""
        found = self.values[at] if at < len(self.values) else None
        if found is None:
            raise NotTakenError(f"input {at} is missing")
        return found

    def constant(self, at: int, what: str) -> Constant:
        """An input that must be constant."""
        found = self.value(at)
        if not isinstance(found, Constant):
            raise NotTakenError(f"{what} is no constant")
        return found

    def stream(self) -> Flow:
        """The first input, which must depend on the model's input."""
        found = self.value(0)
        if not isinstance(found, Flow):
            raise NotTakenError("its first input is a constant, expected values that depend on the model's input")
        return found

    def optional(self, at: int, what: str) -> Constant | None:
        """A constant input that may be left out."""
        return self.constant(at, what) if at < len(self.values) and self.values[at] is not None else None

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute of the default's type; NotTakenError where there is none and no default, or of another type."""
        found = self.node.attributes.get(name, default)
        if found is None:
            raise NotTakenError(f"attribute '{name}' is missing")
        if default is not None and type(found) is not type(default):
            raise NotTakenError(f"attribute '{name}' is {found!r}, expected the type of {default!r}")
        if isinstance(found, list) and not all(type(n) is int for n in found):
            raise NotTakenError(f"attribute '{name}' is {found!r}, expected whole numbers")
        if isinstance(found, float) and not math.isfinite(found):
            raise NotTakenError(f"attribute '{name}' is {found}, expected a finite number")
        return found

    def known(self, *names: str) -> None:
        """NotTakenError where the node has an attribute that is none of these."""
        for name in self.node.attributes:
            if name not in names:
                raise NotTakenError(f"attribute '{name}' is not known")

    def flag(self, name: str, default: int | None = None) -> bool:
        """An attribute that must be 0 or 1, and be there where it has no default."""
        found = self.attribute(name, default)
        if found not in (0, 1) or not isinstance(found, int):
            raise NotTakenError(f"attribute '{name}' is {found!r}, expected 0 or 1")
        return bool(found)

    def axes(self, at: int) -> list[int] | None:
        """Axes, which older opsets state as an attribute and newer ones as an input; None where there are none."""
        if "axes" in self.node.attributes:
            return [int(a) for a in self.attribute("axes", [])]
        found = self.optional(at, "a list of axes")
        return None if found is None else found.integers("an axis")


# --- Quantisers ------------------------------------------------------------------------------------------------------


def _quant(call: Call) -> Value:
    call.known("signed", "narrow", "rounding_mode")
    signed, narrow = call.flag("signed"), call.flag("narrow")
    mode = call.attribute("rounding_mode", "ROUND").upper()
    if mode not in MODES:
        raise NotTakenError(f"rounding mode '{mode}' is not known, expected one of {', '.join(MODES)}")
    scale, zero = call.constant(1, "its scale"), call.constant(2, "its zero point")
    bits = call.constant(3, "its bit width").one("its bit width")
    # A bias, which is a constant, may have as many bits as a sum.
    widest = 32 if isinstance(call.value(0), Constant) else 16
    if bits.denominator != 1 or not 1 <= bits <= widest:
        raise NotTakenError(f"its bit width is {float(bits):g}, expected a whole number of 1 to {widest}")
    width = int(bits)
    if width == 1 and signed:
        return _two_valued(call, scale, zero)
    low = (narrow - (1 << (width - 1))) if signed else 0
    high = (1 << (width - 1)) - 1 if signed else (1 << width) - 1 - narrow
    x = call.value(0)
    if isinstance(x, Constant):
        return quantised(x, scale, zero, low, high, mode)
    scales, zeros = positive(x.by_channel(scale, "its scale")), x.by_channel(zero, "its zero point")
    count = max(len(scales), len(zeros))
    pairs = [(scales[c % len(scales)], zeros[c % len(zeros)]) for c in range(count)]
    # v = x / scale + zero point reaches k where x reaches (v - zero point) * scale.
    edges = [rounding_boundary(mode, k) for k in range(low + 1, high + 1)]
    boundaries = [[Boundary((e.value - z) * s, e.strict) for e in edges] for s, z in pairs]
    value = Affine(tuple(s for s, _ in pairs), tuple(-z * s for s, z in pairs))
    return call.builder.steps(
        x, boundaries, list(scales), list(range(low, high + 1)), _format(width, signed), value, call.origin
    )


def _bipolar(call: Call) -> Value:
    call.known()
    return _two_valued(call, call.constant(1, "its scale"), None)


def _two_valued(call: Call, scale: Constant, zero: Constant | None) -> Value:
    x = call.value(0)
    if isinstance(x, Constant):
        if zero is not None and any(zero.fractions()):
            raise NotTakenError("a constant of one bit has a zero point")
        signs = np.where(x.array >= 0, 1, -1)
        if any(number <= 0 for number in x.table):
            raise NotTakenError("a constant of one bit was scaled before")
        table = scale.fractions()
        positive(tuple(table))
        places = np.broadcast_to(np.arange(len(table)).reshape(scale.shape), x.shape)
        return Constant(signs, places, tuple(table))
    scales = positive(x.by_channel(scale, "its scale"))
    zeros = x.by_channel(zero, "its zero point") if zero is not None else (_ZERO,)
    pairs = [(scales[c % len(scales)], zeros[c % len(zeros)]) for c in range(max(len(scales), len(zeros)))]
    boundaries = [[Boundary(-z * s)] for s, z in pairs]
    value = Affine(tuple(s for s, _ in pairs), tuple(-z * s for s, z in pairs))
    return call.builder.steps(x, boundaries, list(scales), [-1, 1], BIPOLAR, value, call.origin)


def _trunc(call: Call) -> Value:
    """Both versions of Trunc: the second states the scale that it gives, and clamps."""
    second = len(call.values) == 6
    if call.version is not None and second != (call.version >= 2):
        raise NotTakenError(f"it has {len(call.values)} inputs, which is not of version {call.version} of its domain")
    call.known("rounding_mode", *(("signed", "narrow") if second else ()))
    mode = call.attribute("rounding_mode", "FLOOR").upper()
    if mode not in MODES:
        raise NotTakenError(f"rounding mode '{mode}' is not known, expected one of {', '.join(MODES)}")
    x = call.stream()
    x.plain()
    if x.tap is None:
        raise NotTakenError("it reads the model's input before a quantiser, expected integers")
    names = ["its scale", "its zero point", "its bits before", *["its scale behind"] * second, "its bits behind"]
    numbers = [call.constant(at, what).one(what) for at, what in enumerate(names, 1)]
    scale, zero, before, behind = numbers[0], numbers[1], numbers[2], numbers[-1]
    positive((scale,))
    if any(n.denominator != 1 or not 1 <= n <= 32 for n in (before, behind)):
        raise NotTakenError(f"its bits are {float(before):g} and {float(behind):g}, expected whole numbers of 1 to 32")
    affine = x.affine("it")
    if any((a / scale).denominator != 1 or (b / scale + zero).denominator != 1
           for a, b in zip(affine.scale, affine.offset, strict=True)):  # fmt: skip
        raise NotTakenError("what it reads is no whole number of its scale")
    out_scale = numbers[3] if second else scale
    positive((out_scale,))
    factor = out_scale / scale if second else Fraction(2) ** int(before - behind)
    if factor < 1 or factor.denominator != 1 or int(factor) & (int(factor) - 1):
        raise NotTakenError(f"it divides by {float(factor):g}, expected a power of two from 1 on")
    ends = [
        (e * a + b) / scale + zero for a, b in zip(affine.scale, affine.offset, strict=True) for e in (x.low, x.high)
    ]
    low, high = rounded(min(ends) / factor, mode), rounded(max(ends) / factor, mode)
    if second:
        signed, narrow, width = call.flag("signed", 1), call.flag("narrow", 0), int(behind)
        least = (narrow - (1 << (width - 1))) if signed else 0
        most = (1 << (width - 1)) - 1 if signed else (1 << width) - 1 - narrow
        low, high = min(max(low, least), most), min(max(high, least), most)
    if low == high:
        raise NotTakenError("it gives one value alone")
    edges = [rounding_boundary(mode, k) for k in range(low + 1, high + 1)]
    boundaries = [[Boundary((e.value * factor - zero) * scale, e.strict) for e in edges]]
    # The first keeps the zero point as it is, the second divides it, too.
    value = Affine((out_scale,), (-(zero / factor if second else zero) * out_scale,))
    levels = list(range(low, high + 1))
    return call.builder.steps(x, boundaries, [scale * factor], levels, number_of({low, 0, high}), value, call.origin)


def _multi_threshold(call: Call) -> Value:
    call.known("out_scale", "out_bias", "out_dtype", "data_layout")
    x = call.stream()
    table = call.constant(1, "its table of thresholds")
    if len(table.shape) != 2 or 0 in table.shape:
        raise NotTakenError(f"its thresholds have the shape {table.shape}, expected channels and steps")
    rank = x.index.ndim
    layout = call.attribute("data_layout", "") or {2: "NC", 3: "NWC", 4: "NCHW"}.get(rank, "")
    if len(layout) != rank or "C" not in layout:
        raise NotTakenError(f"its layout is '{layout}', which values of {rank} axes have not")
    axis = layout.index("C")
    rows = table.shape[0]
    if rows not in (1, x.index.shape[axis]):
        raise NotTakenError(f"it has thresholds of {rows} channels, its input has {x.index.shape[axis]}")
    numbers = table.fractions()
    steps = table.shape[1]
    by_row = [sorted(numbers[r * steps : (r + 1) * steps]) for r in range(rows)]
    if rows > 1:
        shape = [1] * rank
        shape[axis] = rows
        which = x.by_channel(Constant.plain(np.arange(rows).reshape(shape)), "a threshold")
        by_row = [by_row[int(r)] for r in which]
    scale = Fraction(call.attribute("out_scale", 1.0))
    bias = Fraction(call.attribute("out_bias", 0.0))
    positive((scale,))
    levels = [scale * k + bias for k in range(steps + 1)]
    if datatype := call.attribute("out_dtype", ""):
        check_values(np.array([float(level) for level in levels]), datatype, "its result")
    value = Affine((_ONE,), (_ZERO,))
    if any(level.denominator != 1 for level in levels):
        levels, value = [Fraction(k) for k in range(steps + 1)], Affine((scale,), (bias,))
    whole = [int(level) for level in levels]
    units = [(row[-1] - row[0]) / (steps - 1) if steps > 1 and row[-1] > row[0] else max(abs(row[0]), _ONE)
             for row in by_row]  # fmt: skip
    boundaries = [[Boundary(t) for t in row] for row in by_row]
    number = number_of(set(whole))
    return call.builder.steps(x, boundaries, units, whole, number, value, call.origin)


def _format(width: int, signed: bool) -> Number:
    return Number(width, Sign.SIGNED if signed else Sign.UNSIGNED)


def positive(scales: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
    """Scales, all above 0."""
    if any(scale <= 0 for scale in scales):
        raise NotTakenError("its scale is not above 0")
    return scales


# --- Sums ------------------------------------------------------------------------------------------------------------


def _mat_mul(call: Call) -> Value:
    call.known()
    weight = call.constant(1, "its second input")
    return dense(call, call.stream(), weight.moved(lambda a: a.T), None)


def _gemm(call: Call) -> Value:
    call.known("alpha", "beta", "transA", "transB")
    if call.attribute("transA", 0):
        raise NotTakenError("it transposes its first input")
    weight = call.constant(1, "its second input")
    if not call.attribute("transB", 0):
        weight = weight.moved(lambda a: a.T)
    alpha, beta = Fraction(call.attribute("alpha", 1.0)), Fraction(call.attribute("beta", 1.0))
    weight = replace(weight, table=tuple(number * alpha for number in weight.table))
    bias = call.optional(2, "its bias")
    if bias is not None:
        bias = replace(bias, table=tuple(number * beta for number in bias.table))
    return dense(call, call.stream(), weight, bias)


def dense(call: Call, x: Flow, weight: Constant, bias: Constant | None) -> Flow:
    """Weights [output, input] over all of a stream's values, as a convolution whose kernel is the image."""
    x.plain()
    if len(weight.shape) != 2:
        raise NotTakenError(f"its weights have the shape {weight.shape}, expected two axes")
    outputs, inputs = weight.shape
    if x.index.ndim < 2 or x.index.shape[-1] != inputs:
        raise NotTakenError(f"its input has the shape {x.index.shape}, expected rows of {inputs} values")
    if x.index.size != inputs:
        # Rows of values each, as of tokens: those of an image of one row.
        shape = x.index.shape
        x = call.builder.arranged(x, x.index.reshape(1, -1, inputs), call.origin)
        found = call.builder.product(x, weight.moved(lambda a: a.reshape(outputs, 1, 1, inputs)), bias, call.origin)
        return replace(found, index=np.arange(found.tensor.size).reshape(*shape[:-1], outputs))
    order = np.argsort(x.index.ravel())
    shape = (outputs, *x.tensor.shape)
    kernel = weight.moved(lambda a: a[:, order].reshape(shape))
    found = call.builder.product(x, kernel, bias, call.origin)
    return replace(found, index=np.arange(outputs).reshape((*x.index.shape[:-1], outputs)))


def _conv(call: Call) -> Value:
    call.known("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    last = call.node.domain == CHANNELS_LAST
    x = _first(call.stream()) if last else call.stream()
    weight = call.constant(1, "its kernel")
    if len(weight.shape) != 4:
        raise NotTakenError(f"its kernel has the shape {weight.shape}, expected four axes: only images are taken")
    if not last:
        weight = weight.moved(lambda a: a.transpose(0, 2, 3, 1))
    rows, columns = weight.shape[1:3]
    if call.attribute("kernel_shape", [rows, columns]) != [rows, columns]:
        raise NotTakenError(f"it states another kernel than its weights' {rows} x {columns}")
    groups = call.attribute("group", 1)
    x = call.builder.picture(x, call.origin)
    channels = x.channels
    if groups < 1 or channels != weight.shape[3] * groups or weight.shape[0] % groups:
        raise NotTakenError(f"{groups} groups of {weight.shape[3]} channels do not fit an input of {channels}")
    stride, dilation = pair(call, "strides"), pair(call, "dilations")
    bias = call.optional(2, "its bias")
    padding = pads(call, x, (rows, columns), stride, dilation)
    found = call.builder.product(x, weight, bias, call.origin, stride, padding, dilation, groups)
    return _last(found) if last else found


def pair(call: Call, name: str) -> Pair:
    """An attribute of two numbers, by default 1 each."""
    found = call.attribute(name, [1, 1])
    if len(found) != 2:
        raise NotTakenError(f"attribute '{name}' is {found}, expected two numbers")
    return found[0], found[1]


def pads(call: Call, x: Flow, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> Padding:
    """The zeros above, left, below and right of an image that a node states, by default none.

    In numbers, or (`auto_pad` SAME_UPPER, SAME_LOWER of the ONNX standard) as many as give ceil(size / stride) places,
    an odd one below and right, or above and left.
    """
    found, rule = call.attribute("pads", [0, 0, 0, 0]), call.attribute("auto_pad", "NOTSET")
    if rule not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise NotTakenError(f"auto_pad is '{short(str(rule))}', expected NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    if rule != "NOTSET" and any(found):
        raise NotTakenError(f"auto_pad is '{rule}', and pads are {found}, expected one of them")
    if rule.startswith("SAME"):
        if dilation != (1, 1):  # which ONNX Runtime refuses, too
            raise NotTakenError(f"auto_pad is '{rule}', and dilations are {dilation}, expected pads in numbers")
        if min(*kernel, *stride) < 1:
            raise NotTakenError(f"kernel {kernel} or strides {stride} are not above 0")
        less, more = [], []
        for size, k, step in zip(x.image()[:2], kernel, stride, strict=True):
            total = max((-(-size // step) - 1) * step + k - size, 0)
            less.append(total // 2)
            more.append(total - total // 2)
        before, after = (less, more) if rule == "SAME_UPPER" else (more, less)
        return before[0], before[1], after[0], after[1]
    if len(found) != 4 or any(pad < 0 for pad in found):
        raise NotTakenError(f"attribute 'pads' is {found}, expected four numbers from 0 on")
    return found[0], found[1], found[2], found[3]


def _first(x: Flow) -> Flow:
    """[1, row, column, channel] as [1, channel, row, column]."""
    if x.index.ndim != 4:
        raise NotTakenError(f"values have the shape {x.index.shape}, expected rows, columns and channels")
    return replace(x, index=x.index.transpose(0, 3, 1, 2))


def _last(x: Flow) -> Flow:
    return replace(x, index=x.index.transpose(0, 2, 3, 1))


def _max_pool(call: Call) -> Value:
    call.known("auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides")
    last = call.node.domain == CHANNELS_LAST or call.node.op == "MaxPoolNHWC"
    x = call.builder.picture(_first(call.stream()) if last else call.stream(), call.origin)
    rows, columns, _ = x.image()
    kernel = pair(call, "kernel_shape")
    stride = pair(call, "strides")
    if any(pads(call, x, kernel, stride)) or pair(call, "dilations") != (1, 1) or call.attribute("storage_order", 0):
        raise NotTakenError("its windows are padded or spread, expected windows within the image")
    if call.attribute("ceil_mode", 0) and ((rows - kernel[0]) % stride[0] or (columns - kernel[1]) % stride[1]):
        raise NotTakenError("its last windows reach beyond the image (ceil_mode)")
    found = call.builder.greatest(x, kernel, stride, call.origin)
    return _last(found) if last else found


def _average_pool(call: Call) -> Value:
    call.known("auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides")
    x = call.builder.picture(call.stream(), call.origin)
    rows, columns, _ = x.image()
    if call.node.op == "GlobalAveragePool":
        return call.builder.total(x, (rows, columns), (1, 1), call.origin)
    kernel, stride = pair(call, "kernel_shape"), pair(call, "strides")
    if any(pads(call, x, kernel, stride)) or pair(call, "dilations") != (1, 1):
        raise NotTakenError("its windows are padded or spread, expected windows within the image")
    if call.attribute("ceil_mode", 0) and any(
        (n - k) % s for n, k, s in zip((rows, columns), kernel, stride, strict=True)
    ):
        raise NotTakenError("its last windows reach beyond the image (ceil_mode)")
    return _added(call, call.builder.total(x, kernel, stride, call.origin))


def _reduce_mean(call: Call) -> Value:
    """The mean over rows and columns, as GlobalAveragePool's."""
    call.known("axes", "keepdims", "noop_with_empty_axes")
    x = call.builder.picture(call.stream(), call.origin)
    axes = call.axes(1)
    if axes is None or sorted(_axes_within(axes, x.index.ndim)) != [2, 3]:
        raise NotTakenError(f"it is over the axes {axes}, expected rows and columns, 2 and 3")
    rows, columns, channels = x.image()
    found = call.builder.total(x, (rows, columns), (1, 1), call.origin)
    return found if call.flag("keepdims", 1) else replace(found, index=found.index.reshape(1, channels))


def _added(call: Call, found: Flow) -> Flow:
    """A sum or mean that ONNX Runtime joins with the QuantizeLinear behind it."""
    if found.tap is not None:
        call.builder.added[found.tap] = found.steps
    return found


# --- Affine functions and clamps -------------------------------------------------------------------------------------


def _batch_normalization(call: Call) -> Value:
    call.known("epsilon", "momentum", "spatial", "training_mode")
    if call.attribute("training_mode", 0) or not call.attribute("spatial", 1):
        raise NotTakenError("it is in training mode, or normalises every value by itself")
    if len(call.node.outputs) > 1:
        raise NotTakenError("it gives running means, too")
    last = call.node.domain == CHANNELS_LAST
    x = _first(call.stream()) if last else call.stream()
    if x.index.ndim < 2:
        raise NotTakenError(f"its input has the shape {x.index.shape}, expected channels")
    shape = (1, x.index.shape[1]) + (1,) * (x.index.ndim - 2)
    numbers = []
    for at, what in ((1, "its scale"), (2, "its bias"), (3, "its mean"), (4, "its variance")):
        constant = call.constant(at, what)
        if constant.shape != (shape[1],):
            raise NotTakenError(f"{what} has the shape {constant.shape}, expected ({shape[1]},)")
        numbers.append(constant.fractions())
    epsilon = Fraction(call.attribute("epsilon", float(np.float32(1e-5))))
    pairs = []
    for gamma, beta, mean, variance in zip(*numbers, strict=True):
        if variance + epsilon <= 0:
            raise NotTakenError("a variance is not above 0")
        scale = gamma / root(variance + epsilon)
        pairs.append((scale, beta - mean * scale))
    scale_of = x.by_channel(Constant.of([a for a, _ in pairs], shape), "its scale")
    offset_of = x.by_channel(Constant.of([b for _, b in pairs], shape), "its bias")
    found = x.then(Affine(*_alike(scale_of, offset_of)))
    return _last(found) if last else found


def _alike(a: tuple[Fraction, ...], b: tuple[Fraction, ...]) -> tuple[tuple[Fraction, ...], tuple[Fraction, ...]]:
    count = max(len(a), len(b))
    return (a * count if len(a) < count else a), (b * count if len(b) < count else b)


def _arithmetic(call: Call) -> Value:
    call.known()
    a, b = call.value(0), call.value(1)
    op = call.node.op
    if isinstance(a, Constant) and isinstance(b, Constant):
        return _folded(op, a, b)
    if isinstance(a, Flow) and isinstance(b, Flow):
        if op not in ("Add", "Sub"):
            raise NotTakenError("both inputs depend on the model's input: needs a product of activations")
        found = call.builder.sum_of(a, b if op == "Add" else b.then(Affine((-_ONE,), (_ZERO,))), call.origin)
        return _added(call, found) if op == "Add" else found
    x, constant = (a, b) if isinstance(a, Flow) else (b, a)
    assert isinstance(x, Flow)
    assert isinstance(constant, Constant)
    numbers = x.by_channel(constant, "its constant")
    if x.index.shape != np.broadcast_shapes(x.index.shape, constant.shape):
        raise NotTakenError(f"its constant of shape {constant.shape} makes values of {x.index.shape} more")
    ones, zeros = (_ONE,) * len(numbers), (_ZERO,) * len(numbers)
    match op:
        case "Add":
            step = Affine(ones, numbers)
        case "Sub":
            negative = tuple(-n for n in numbers)
            step = Affine(ones, negative) if x is a else Affine((-_ONE,) * len(numbers), numbers)
        case "Mul":
            step = Affine(numbers, zeros)
        case "Div" if x is a:
            if 0 in numbers:
                raise NotTakenError("it divides by 0")
            step = Affine(tuple(1 / n for n in numbers), zeros)
        case _:
            raise NotTakenError("it divides by values that depend on the model's input")
    return x.then(step)


def _folded(op: str, a: Constant, b: Constant) -> Constant:
    if a.array.dtype.kind in "iu" and b.array.dtype.kind in "iu" and op == "Div":
        raise NotTakenError("it divides whole numbers")
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        raise NotTakenError(f"constants of shapes {a.shape} and {b.shape} do not fit") from None
    if math.prod(shape) > EXACT_MAX:
        raise NotTakenError(f"it computes {math.prod(shape):,} constants, expected at most {EXACT_MAX:,}")
    first, second = (c.moved(lambda v: np.broadcast_to(v, shape)).fractions() for c in (a, b))
    if op == "Div" and 0 in second:
        raise NotTakenError("it divides by 0")
    compute: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
        "Add": lambda p, q: p + q, "Sub": lambda p, q: p - q, "Mul": lambda p, q: p * q, "Div": lambda p, q: p / q,
    }  # fmt: skip
    return Constant.of([compute[op](p, q) for p, q in zip(first, second, strict=True)], shape)


def _power(call: Call) -> Value:
    call.known()
    base, exponent = call.constant(0, "its base"), call.constant(1, "its exponent").one("its exponent")
    return _each(base, lambda v: _to_power(v, exponent))


def _to_power(value: Fraction, exponent: Fraction) -> Fraction:
    if exponent not in (Fraction(1, 2), Fraction(-1, 2), _ONE, Fraction(2)):
        raise NotTakenError(f"its exponent is {float(exponent):g}, expected 1/2, -1/2, 1 or 2")
    if exponent.denominator == 1:
        return value ** int(exponent)
    if value < 0 or (value == 0 and exponent < 0):
        raise NotTakenError("it takes the root of a negative number, or divides by 0")
    found = root(value)
    return found if exponent > 0 else 1 / found


def _sqrt(call: Call) -> Value:
    call.known()
    return _each(call.constant(0, "its input"), lambda v: _to_power(v, Fraction(1, 2)))


def _neg(call: Call) -> Value:
    call.known()
    x = call.value(0)
    return x.then(Affine((-_ONE,), (_ZERO,))) if isinstance(x, Flow) else _each(x, lambda v: -v)


def _each(constant: Constant, compute: Callable[[Fraction], Fraction]) -> Constant:
    return Constant.of([compute(v) for v in constant.fractions()], constant.shape)


def _relu(call: Call) -> Value:
    call.known()
    return call.stream().clamped(Clamp(_ZERO, None))


def _clip(call: Call) -> Value:
    call.known("min", "max")
    ends: list[Fraction | None] = []
    for at, name in ((1, "min"), (2, "max")):
        constant = call.optional(at, f"its {name}")
        if name in call.node.attributes:
            ends.append(Fraction(call.attribute(name, 0.0)))
        else:
            ends.append(None if constant is None else constant.one(f"its {name}"))
    low, high = ends
    if low is not None and high is not None and low > high:
        raise NotTakenError("its least value is above its greatest")
    return call.stream().clamped(Clamp(low, high))


# --- Layout ----------------------------------------------------------------------------------------------------------


def _moved(call: Call, move: Callable[[Array], Array]) -> Value:
    try:
        return call.value(0).moved(move)
    except (ValueError, IndexError):
        raise NotTakenError(f"it cannot move values of shape {_shape_of(call.value(0))} so") from None


def _shape_of(value: Value) -> tuple[int, ...]:
    return value.index.shape if isinstance(value, Flow) else value.shape


def _axes_within(axes: list[int], rank: int) -> tuple[int, ...]:
    if len(axes) > 8 or any(not -rank <= axis < rank for axis in axes):
        raise NotTakenError(f"axes {axes} are not among {rank}")
    return tuple(axis % rank for axis in axes)


def _reshape(call: Call) -> Value:
    call.known("allowzero", "shape")
    stated = call.attribute("shape", []) if "shape" in call.node.attributes else None
    target = stated or call.constant(1, "its shape").integers("a size")
    old = _shape_of(call.value(0))
    if len(target) > 8 or any(size < -1 or size > _SHAPE_SIZE_MAX for size in target):
        raise NotTakenError(f"its shape is {target[:9]}, expected up to 8 sizes")
    if not call.attribute("allowzero", 0):
        if any(size == 0 and at >= len(old) for at, size in enumerate(target)):
            raise NotTakenError(f"its shape {target} keeps a size that {old} has not")
        target = [old[at] if size == 0 else size for at, size in enumerate(target)]
    return _moved(call, lambda a: a.reshape(target))


def _flatten(call: Call) -> Value:
    call.known("axis")
    shape = _shape_of(call.value(0))
    axis = call.attribute("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise NotTakenError(f"axis {axis} is not among {len(shape)}")
    axis = axis + len(shape) if axis < 0 else axis
    return _moved(call, lambda a: a.reshape(math.prod(shape[:axis]), -1))


def _transpose(call: Call) -> Value:
    call.known("perm")
    rank = len(_shape_of(call.value(0)))
    order = call.attribute("perm", list(range(rank))[::-1])
    if sorted(order) != list(range(rank)):
        raise NotTakenError(f"its order is {order[:9]}, expected one of {rank} axes")
    return _moved(call, lambda a: a.transpose(order))


def _squeeze(call: Call) -> Value:
    call.known("axes")
    axes = call.axes(1)
    shape = _shape_of(call.value(0))
    chosen = [at for at, size in enumerate(shape) if size == 1] if axes is None else _axes_within(axes, len(shape))
    return _moved(call, lambda a: a.squeeze(tuple(chosen)))


def _unsqueeze(call: Call) -> Value:
    call.known("axes")
    axes = call.axes(1)
    if axes is None:
        raise NotTakenError("its axes are missing")
    places = _axes_within(axes, len(_shape_of(call.value(0))) + len(axes))
    return _moved(call, lambda a: np.expand_dims(a, places))


def _identity(call: Call) -> Value:
    return call.value(0)


def _dropout(call: Call) -> Value:
    training = call.optional(2, "whether it trains")
    if training is not None and training.one("whether it trains"):
        raise NotTakenError("it is in training mode")
    return call.value(0)


def _cast(call: Call) -> Value:
    call.known("to", "saturate")
    x = call.value(0)
    to = call.attribute("to")
    if isinstance(x, Flow):
        if to not in (1, 11):
            raise NotTakenError(f"it makes values of type {to}, expected float")
        return x
    kept: dict[int, Callable[[Fraction], bool]] = {
        1: lambda v: abs(v) < 2**127 and Fraction(float(np.float32(float(v)))) == v,
        11: lambda v: abs(v) < 2**1000 and Fraction(float(v)) == v,
        6: lambda v: v.denominator == 1 and abs(v) < 2**31,
        7: lambda v: v.denominator == 1 and abs(v) < 2**63,
    }
    if to not in kept or not all(map(kept[to], x.fractions())):
        raise NotTakenError(f"it makes a constant of type {to}, which does not hold it as it is")
    return x


def _pad(call: Call) -> Value:
    call.known("mode", "pads", "value")
    if call.attribute("mode", "constant") != "constant":
        raise NotTakenError(f"it pads by '{call.attribute('mode')}', expected zeros")
    x = call.builder.picture(call.stream(), call.origin)
    pads = (
        call.attribute("pads", []) if "pads" in call.node.attributes else call.constant(1, "its pads").integers("a pad")
    )
    value = call.optional(2, "its value")
    if Fraction(call.attribute("value", 0.0)) != 0 or (value is not None and value.one("its value") != 0):
        raise NotTakenError("it pads with another value than 0")
    if len(pads) != 8 or any(not 0 <= pad <= DIMENSION_MAX for pad in pads) or any(pads[at] for at in (0, 1, 4, 5)):
        raise NotTakenError(f"its pads are {pads[:9]}, expected rows and columns alone")
    if call.optional(3, "its axes") is not None:
        raise NotTakenError("it states axes")
    x.plain()
    return replace(x, padding=(pads[2], pads[3], pads[6], pads[7]))


# --- Shapes ----------------------------------------------------------------------------------------------------------


def _shape(call: Call) -> Value:
    call.known()
    return Constant.plain(np.array(_shape_of(call.value(0)), np.int64))


def _constant(call: Call) -> Value:
    call.known("value", "value_float", "value_int", "value_floats", "value_ints")
    if len(call.node.attributes) != 1:
        raise NotTakenError("it states no value, or several")
    (found,) = call.node.attributes.values()
    return Constant.plain(np.asarray(found, np.float32 if isinstance(found, float) else None))


def _gather(call: Call) -> Value:
    call.known("axis")
    constant = call.constant(0, "its data")
    axis = _axes_within([call.attribute("axis", 0)], len(constant.shape))[0]
    indices = call.constant(1, "its indices")
    chosen = np.array(indices.integers("an index"), np.int64).reshape(indices.shape)
    size = constant.shape[axis]
    if chosen.size * (constant.array.size // max(size, 1)) > EXACT_MAX:
        raise NotTakenError("it gathers too many constants")
    if chosen.size and (chosen.min() < -size or chosen.max() >= size):
        raise NotTakenError("an index is beyond its data")
    return constant.moved(lambda a: np.take(a, chosen, axis=axis))


def _concat(call: Call) -> Value:
    call.known("axis")
    parts = [call.constant(at, "one of its inputs") for at in range(len(call.values))]
    shapes = {len(part.shape) for part in parts}
    if len(shapes) != 1:
        raise NotTakenError("its inputs differ in their number of axes")
    if "axis" not in call.node.attributes:
        raise NotTakenError("attribute 'axis' is missing")
    axis = _axes_within([call.attribute("axis", 0)], shapes.pop())[0]
    if sum(part.array.size for part in parts) > EXACT_MAX:
        raise NotTakenError("it joins too many constants")
    if any(part.table != (_ONE,) for part in parts):
        raise NotTakenError("it joins computed constants")
    try:
        return Constant.plain(np.concatenate([part.array for part in parts], axis=axis))
    except ValueError:
        raise NotTakenError("its inputs do not fit each other") from None


def _slice(call: Call) -> Value:
    call.known("starts", "ends", "axes")
    constant = call.constant(0, "its data")
    if "starts" in call.node.attributes:
        starts, ends = call.attribute("starts", []), call.attribute("ends", [])
        axes, steps = call.attribute("axes", list(range(len(starts)))), [1] * len(starts)
    else:
        starts, ends = (call.constant(at, "an end").integers("an end") for at in (1, 2))
        stated = [call.optional(at, "an axis or step") for at in (3, 4)]
        axes = stated[0].integers("an axis") if stated[0] else list(range(len(starts)))
        steps = stated[1].integers("a step") if stated[1] else [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise NotTakenError("its starts, ends, axes and steps do not fit each other")
    chosen = [slice(None)] * len(constant.shape)
    for axis, start, end, step in zip(_axes_within(axes, len(constant.shape)), starts, ends, steps, strict=True):
        chosen[axis] = slice(start, end if step > 0 or end >= -constant.shape[axis] else None, step)
    return constant.moved(lambda a: a[tuple(chosen)])


# --- Ends ------------------------------------------------------------------------------------------------------------


def _increasing(call: Call) -> Flow:
    """A stream of one increasing function for all channels."""
    x = call.stream()
    x.plain()
    affine = x.affine("it")
    if len(set(zip(*_alike(affine.scale, affine.offset), strict=True))) > 1 or affine.scale[0] <= 0:
        raise NotTakenError(
            "its scores have a scale or offset for each class: the greatest is not that of the integers"
        )
    return x


def _top_k(call: Call) -> Value:
    call.known("axis", "largest", "sorted", "k")
    x = _increasing(call)
    count = call.attribute("k") if "k" in call.node.attributes else call.constant(1, "k").one("k")
    axis = _axes_within([call.attribute("axis", -1)], x.index.ndim)[0]
    if count != 1 or not call.attribute("largest", 1) or x.index.shape[axis] != x.index.size:
        raise NotTakenError("it is not the index of the greatest of all scores")
    return replace(x, ended="TopK (the index of the greatest, the first of equal ones)")


def _arg_max(call: Call) -> Value:
    call.known("axis", "keepdims", "select_last_index")
    x = _increasing(call)
    axis = _axes_within([call.attribute("axis", 0)], x.index.ndim)[0]
    if call.attribute("select_last_index", 0) or x.index.shape[axis] != x.index.size:
        raise NotTakenError("it is not the index of the first greatest of all scores")
    return replace(x, ended="ArgMax (the index of the greatest, the first of equal ones)")


def _softmax(call: Call) -> Value:
    call.known("axis")
    x = _increasing(call)
    shape = x.index.shape
    axis = _axes_within([call.attribute("axis", -1 if call.opset >= 13 else 1)], len(shape))[0]
    # Before opset 13 all axes from this one on are one.
    if (shape[axis] if call.opset >= 13 else math.prod(shape[axis:])) != x.index.size:
        raise NotTakenError("it is not over all scores")
    return replace(x, ended=call.node.op)


HANDLERS: dict[str, Callable[[Call], Value]] = {
    "Quant": _quant,
    "IntQuant": _quant,
    "BipolarQuant": _bipolar,
    "Trunc": _trunc,
    "MultiThreshold": _multi_threshold,
    "MatMul": _mat_mul,
    "Gemm": _gemm,
    "Conv": _conv,
    "MaxPool": _max_pool,
    "MaxPoolNHWC": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _average_pool,
    "ReduceMean": _reduce_mean,
    "BatchNormalization": _batch_normalization,
    "Add": _arithmetic,
    "Sub": _arithmetic,
    "Mul": _arithmetic,
    "Div": _arithmetic,
    "Pow": _power,
    "Sqrt": _sqrt,
    "Neg": _neg,
    "Relu": _relu,
    "Clip": _clip,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Identity": _identity,
    "Dropout": _dropout,
    "Cast": _cast,
    "Pad": _pad,
    "Shape": _shape,
    "Constant": _constant,
    "Gather": _gather,
    "Concat": _concat,
    "Slice": _slice,
    "TopK": _top_k,
    "ArgMax": _arg_max,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
}
"""The function of each operator, by its name in any domain of those that are known."""
