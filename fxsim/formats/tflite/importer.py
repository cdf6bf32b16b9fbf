"""TensorFlow Lite models of 8 bits as an importer: codes as its kernels give them, of every layer.

A tensor of the file is an image [row, column, channel] here, of which the file may see another shape: the order of
values, row by row and channels last, is the same in both.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fxsim.contract import (
    CHANNEL,
    COLUMN,
    INT8,
    RESCALE_SHIFT_MAX,
    ROW,
    Number,
    Padding,
    Pair,
    Rounding,
    TableRule,
    Tensor,
    bits_needed,
    worst_case_sums,
)
from fxsim.contract.number import INT16, INT32, UINT8
from fxsim.contract.rescaling import HIGH_MULTIPLY_BITS, rounded
from fxsim.errors import FileError, ModelError
from fxsim.formats.importers import Execute, Importer, Program
from fxsim.formats.qonnx.values import NotTakenError
from fxsim.formats.requantisation import boundaries, finisher, parted, weights_near
from fxsim.formats.text import short
from fxsim.formats.tflite.read import LiteGraph, LiteOperator, LiteTensor, missing, names_of, read_tflite
from fxsim.formats.tflite.rules import (
    VECTOR,
    Kernels,
    averages,
    clamped_range,
    codes_of,
    mean_multiplier,
    multiplier_of,
    once_in_float32,
    once_in_float64,
    sum_of,
    twice_half_up,
)
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.graph.graph import VALUES_MAX
from fxsim.operators import (
    Concat,
    Conv,
    Lut,
    MaxPool,
    Operator,
    Pad,
    Rescale,
    Reshape,
    SumPool,
    Threshold,
    Transpose,
    WeightedAdd,
)

Int64 = npt.NDArray[np.int64]

AXES = (ROW, COLUMN, CHANNEL)
_HALF = 14
"""Bits of the lower half of a table's values."""
_PRODUCT_MAX = 1 << 61
"""The least product that 62 bits with a sign cannot hold."""
_BIAS_NEAR = 1e-3
"""Most by which the scale of a bias may differ from that of the sums, as a part of it."""
_IMAGE_AXES = 3
"""Axes of an image: rows, columns and channels."""
_XNNPACK_FACTOR = 256
"""The least factor of a product that XNNPACK refuses."""
_REASON_LENGTH_MAX, _SETTING_LENGTH_MAX = 400, 60


@dataclass(frozen=True)
class Stream:
    """Codes of the file: the tap that has them, its tensor, and the shape that the file sees, without images.

    `scale`, `zero`: what codes stand for, scale * (code - zero). `ended`: what only changes how the last tensor is read
    (softmax, dequantisation); nothing may follow.
    """

    tap: str
    tensor: Tensor
    shape: tuple[int, ...]
    scale: np.float32
    zero: int
    ended: str = ""

    @property
    def channels(self) -> int:
        """Channels of the image."""
        return self.tensor.shape[-1]

    @property
    def image(self) -> tuple[int, int, int]:
        """Rows, columns and channels; NotTakenError where the file sees another shape."""
        if self.shape != self.tensor.shape:
            raise NotTakenError(f"its input of shape {self.shape} is no image, expected rows, columns and channels")
        rows, columns, channels = self.shape
        return rows, columns, channels


@dataclass
class Builder:
    """Nodes in order, and the file's tensors by tap. `requantised`: results by multipliers (True) and by thresholds."""

    kernels: Kernels
    nodes: list[Node] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)
    requantised: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    _counts: dict[str, int] = field(default_factory=dict)
    _values: int = 0

    def add(self, stem: str, make: Callable[[], Operator], *inputs: Stream, origin: str) -> Stream:
        """A node's stream, of the first input's codes; NotTakenError where its operator cannot be or take them."""
        try:
            op = make()
            tensor = op.result(*(x.tensor for x in inputs))
        except ModelError as error:
            raise NotTakenError(str(error)) from None
        self._values += tensor.size
        if self._values > VALUES_MAX:
            raise NotTakenError(f"with it an image takes more than {VALUES_MAX:,} values")
        self._counts[stem] = self._counts.get(stem, -1) + 1
        name = f"{stem}{self._counts[stem]}"
        self.nodes.append(Node(name, op, tuple(x.tap for x in inputs)))
        self.origins[name] = origin
        return replace(inputs[0], tap=name, tensor=tensor, shape=tensor.shape)

    def requantise(self, sums: Stream, addends: Int64, rule: "Rule", origin: str) -> Stream:
        """Codes of sums with their addends, of each channel, by a rule; see `Rule`."""
        low, high = (np.full(sums.channels, end, np.int64) + addends for end in _ends(sums.tensor.number))
        if low.min() <= INT32.low or high.max() >= INT32.high:
            raise NotTakenError("its sums and biases need more than 32 bits")
        if rule.how in ("double", "twice") and (rule.shifts < HIGH_MULTIPLY_BITS).any():
            # What kernels shift to the left before they multiply has 32 bits there.
            left = np.clip(HIGH_MULTIPLY_BITS - rule.shifts, 0, 32)
            if (np.maximum(-low, high) >= 1 << np.maximum(HIGH_MULTIPLY_BITS - left, 0)).any():
                raise NotTakenError("its factor is so great that sums leave the kernels' 32 bits")
        direct = rule.direct(low, high)
        if direct is None:
            reached = boundaries(low, high, lambda acc: codes_of(rule.apply(acc), rule.zero), INT8)
            op: Rescale | Threshold = finisher((low, high), addends, reached, rule.zero, INT8)
        else:
            m, shift = rule.multipliers.astype(np.int32), rule.shifts.astype(np.uint8)
            bias = np.full(sums.channels, rule.zero, np.int8)
            op = Rescale(addends.astype(np.int32), m, shift, bias, direct)
        self.requantised[isinstance(op, Rescale)] += 1
        found = self.add("requant", lambda: op, sums, origin=origin)
        return replace(found, scale=rule.scale, zero=rule.zero)

    def function(self, stem: str, x: Stream, table: Int64, origin: str) -> Stream:
        """A function of one code, by its 256 values, those of the least code first."""
        rows = np.repeat(table.astype(np.int8)[None], x.channels, axis=0)
        found = self.add(stem, lambda: Lut(rows, TableRule.FULL, x.tensor.number), x, origin=origin)
        return replace(found, shape=x.shape)

    def limited(self, x: Stream, activation: str, origin: str) -> Stream:
        """Codes within what an activation leaves of them."""
        low, high = clamped_range(activation, x.scale, x.zero)
        if (low, high) == (INT8.low, INT8.high):
            return x
        if low > high:
            raise NotTakenError(f"no code lies within its activation, {activation}")
        return self.function("clamp", x, np.clip(np.arange(INT8.low, INT8.high + 1), low, high), origin)


@dataclass(frozen=True)
class Rule:
    """The way that sums become codes of a scale and zero point: factors of each channel, and how kernels use them.

    `multipliers`, `shifts`: the factors as whole numbers; `how`: "double", "once", "twice", "float32", or "average" of
    `count` values. By "twice" the channels from `vectors` on are "double".
    """

    scale: np.float32
    zero: int
    factors: npt.NDArray[np.float64]
    multipliers: Int64
    shifts: Int64
    how: str
    count: int = 1
    vectors: int = 1 << 30

    def direct(self, low: Int64, high: Int64) -> Rounding | None:
        """The contract's rounding that it is, for sums in these ranges; None where it is none."""
        greatest = np.maximum(-low, high) * self.multipliers
        fits = (self.shifts <= RESCALE_SHIFT_MAX).all() and (greatest < _PRODUCT_MAX).all()
        return Rounding.DOUBLE if self.how == "double" and fits else None

    def apply(self, acc: Int64) -> Int64:
        """The codes of sums [channel, any] less their zero point, as the kernels compute them."""
        m, shift = self.multipliers[:, None], self.shifts[:, None]
        if self.how == "average":
            return averages(acc, self.count)
        if self.how == "once":
            return once_in_float64(acc, self.factors[:, None])
        if self.how == "float32":
            return once_in_float32(acc, self.factors[:, None].astype(np.float32))
        double = rounded(acc * m, shift, Rounding.DOUBLE)
        if self.how == "twice":
            return np.where(np.arange(len(acc))[:, None] < self.vectors, twice_half_up(acc, m, shift), double)
        return double


@dataclass(frozen=True)
class Call:
    """An operator that is to be taken: its streams and constants, what it gives, and whom it is added to."""

    op: LiteOperator
    inputs: tuple[Stream | LiteTensor | None, ...]
    result: LiteTensor
    builder: Builder

    def stream(self, at: int = 0) -> Stream:
        """An input that is computed; NotTakenError where it is none, or nothing may follow it."""
        found = self.inputs[at] if at < len(self.inputs) else None
        if not isinstance(found, Stream):
            raise NotTakenError(f"input {at} is no tensor that is computed")
        if found.ended:
            raise NotTakenError(f"it follows {found.ended}, which only ends a model")
        return found

    def constant(self, at: int, kinds: tuple[str, ...], rank: int) -> LiteTensor:
        """An input that is a constant of one of these types, with content."""
        found = self.inputs[at] if at < len(self.inputs) else None
        if not isinstance(found, LiteTensor) or found.content is None:
            raise NotTakenError(f"input {at} is no constant")
        if found.kind not in kinds or len(found.shape) != rank or not found.content.size:
            words = f"{found.kind} of shape {found.shape}"
            raise NotTakenError(f"input {at} is {words}, expected {' or '.join(kinds)} of {rank} dimensions")
        return found

    @property
    def activation(self) -> str:
        """The activation that is done to its result."""
        number = self.setting("activation")
        name = names_of("ActivationFunctionType").get(number, str(number))
        if name not in ("NONE", "RELU", "RELU6", "RELU_N1_TO_1"):
            raise NotTakenError(f"its activation is {name}, expected NONE, RELU, RELU6 or RELU_N1_TO_1")
        return name

    def setting(self, name: str) -> Any:
        """A setting; NotTakenError where the operator has no such table."""
        if name not in self.op.settings:
            raise NotTakenError(f"its settings are missing, of which '{name}' is needed")
        return self.op.settings[name]

    def out(self) -> tuple[np.float32, int]:
        """Scale and zero point of its result."""
        return scale_of(self.result, "its result")

    def checked(self, found: Stream) -> Stream:
        """The result, if the file states its shape."""
        stated = self.result.shape
        if len(stated) < 1 or stated[0] != 1 or stated[1:] != found.shape:
            raise NotTakenError(f"its result has the shape {stated} in the file, expected {(1, *found.shape)}")
        return found


def scale_of(tensor: LiteTensor, what: str, kinds: tuple[str, ...] = ("INT8",)) -> tuple[np.float32, int]:
    """Scale and zero point of a tensor of 8 bits that has one of each."""
    if tensor.kind not in kinds:
        raise NotTakenError(f"{what} is {tensor.kind}, expected {' or '.join(kinds)}")
    if len(tensor.scale) != 1:
        raise NotTakenError(f"{what} has {len(tensor.scale)} scales, expected one")
    scale, zero = np.float32(tensor.scale[0]), int(tensor.zero[0])
    if not np.isfinite(scale) or scale <= 0:
        raise NotTakenError(f"the scale of {what} is {scale}, expected more than 0")
    number = UINT8 if tensor.kind == "UINT8" else INT8
    if not number.low <= zero <= number.high:
        raise NotTakenError(f"the zero point of {what} is {zero}, expected {number}")
    return scale, zero


def _ends(number: Number) -> tuple[int, int]:
    return number.low, number.high


def _rule(scale: np.float32, zero: int, reals: list[float], how: str) -> Rule:
    pairs = [multiplier_of(real) for real in reals]
    m, shift = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
    if shift.min() < 0:
        raise NotTakenError("its factor is 2^31 or more")
    return Rule(scale, zero, np.array(reals), m, shift, how)


def _product_rule(call: Call, x: Stream, weight: LiteTensor, outputs: int, how: str) -> Rule:
    """The rule of a convolution's or fully connected's sums; `how` is that of the reference kernels."""
    scale, zero = call.out()
    scales = np.asarray(weight.scale, np.float32)
    axis = 3 if call.op.kind == "DEPTHWISE_CONV_2D" else 0
    if len(scales) > 1 and weight.axis != axis:
        raise NotTakenError(f"the scales of its weights are along axis {weight.axis}, expected {axis}, that of outputs")
    if len(scales) not in (1, outputs) or not (np.isfinite(scales) & (scales > 0)).all():
        raise NotTakenError(f"its weights have {len(scales)} scales, expected 1 or {outputs}, all above 0")
    scales = np.broadcast_to(scales, outputs)
    if call.builder.kernels is Kernels.XNNPACK:
        by_float = (x.scale * scales).astype(np.float32) / scale
        if by_float.max() >= _XNNPACK_FACTOR:
            raise NotTakenError(f"its factor is {by_float.max():g}, expected less than {_XNNPACK_FACTOR} of XNNPACK")
        return _rule(scale, zero, by_float.astype(float).tolist(), "float32")
    reals = [float(x.scale) * float(own) / float(scale) for own in scales]
    return _rule(scale, zero, reals, how if call.builder.kernels is Kernels.REFERENCE else "twice")


def _convolved(
    call: Call, x: Stream, weight: LiteTensor, kernel: Any, rule: Rule, stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0), dilation: Pair = (1, 1), groups: int = 1,
) -> Stream:  # fmt: skip
    """The codes of a convolution with weights [output, row, column, channel], and a bias in int32 if there is one."""
    if weight.zero.any():
        raise NotTakenError("its weights have zero points, expected 0")
    origin = call.result.name
    if any(padding) and x.zero:
        value = np.full(x.channels, x.zero, np.int32)
        x, padding = call.builder.add("pad", lambda: Pad(value, padding), x, origin=f"{origin}, padded"), (0, 0, 0, 0)
    flat = kernel.astype(np.int64).reshape(len(kernel), -1)
    addends = -x.zero * flat.sum(axis=1)
    if len(call.inputs) > 2 and call.inputs[2] is not None:
        stated = call.constant(2, ("INT32",), 1)
        bias = stated.content
        assert bias is not None
        expected = float(x.scale) * np.broadcast_to(weight.scale, len(kernel)).astype(np.float64)
        if stated.zero.any():
            raise NotTakenError("its bias has zero points, expected 0")
        if len(stated.scale) not in (0, len(weight.scale)):
            raise NotTakenError(f"its bias has {len(stated.scale)} scales, expected {len(weight.scale)} as its weights")
        if len(stated.scale) and (np.abs(stated.scale - expected) > _BIAS_NEAR * expected).any():
            raise NotTakenError("the scale of its bias is not that of its sums, input times weights")
        if bias.shape != (len(kernel),):
            raise NotTakenError(f"its bias has {len(bias)} numbers, expected {len(kernel)}")
        addends = addends + bias
    low, high = worst_case_sums(flat, x.tensor.number)
    number = Number(max(2, bits_needed(int(low.min()), int(high.max()))))
    held = np.ascontiguousarray(kernel)
    sums = call.builder.add(
        "conv", lambda: Conv(held, stride, padding, dilation, groups, out=number), x, origin=f"sums of {origin}"
    )
    return call.builder.requantise(sums, addends, rule, origin)


def _window(call: Call, sizes: Pair, kernel: Pair, dilation: Pair = (1, 1)) -> tuple[Pair, Padding]:
    """Strides, and rows and columns around an image: above, left, below, right."""
    number = call.setting("padding")
    padding = names_of("Padding").get(number, str(number))
    strides = call.setting("stride_h"), call.setting("stride_w")
    if padding not in ("SAME", "VALID") or min(*strides, *kernel, *dilation) < 1:
        raise NotTakenError(f"its padding is {padding}, strides {strides}, window {kernel}, dilation {dilation}")
    if padding == "VALID":
        return strides, (0, 0, 0, 0)
    more = [
        max((-(-size // step) - 1) * step + (span - 1) * apart + 1 - size, 0)
        for size, step, span, apart in zip(sizes, strides, kernel, dilation, strict=True)
    ]
    return strides, (more[0] // 2, more[1] // 2, more[0] - more[0] // 2, more[1] - more[1] // 2)


# --- Operators -------------------------------------------------------------------------------------------------------


def _conv_2d(call: Call) -> Stream:
    x, weight = call.stream(), call.constant(1, ("INT8",), 4)
    rows, columns, channels = x.image
    kernel = weight.content
    assert kernel is not None
    outputs, each = weight.shape[0], weight.shape[3]
    if channels % each:
        raise NotTakenError(f"its weights are of {each} channels, its input has {channels}")
    dilation = call.setting("dilation_h"), call.setting("dilation_w")
    stride, padding = _window(call, (rows, columns), weight.shape[1:3], dilation)  # type: ignore[arg-type]  # of two
    rule = _product_rule(call, x, weight, outputs, "double")
    found = _convolved(call, x, weight, kernel, rule, stride, padding, dilation, channels // each)
    return call.checked(call.builder.limited(found, call.activation, call.result.name))


def _depthwise_conv_2d(call: Call) -> Stream:
    x, weight = call.stream(), call.constant(1, ("INT8",), 4)
    rows, columns, channels = x.image
    kernel = weight.content
    assert kernel is not None
    outputs = weight.shape[3]
    multiplier = call.setting("multiplier")
    if weight.shape[0] != 1 or outputs != channels * multiplier:
        words = f"its weights have the shape {weight.shape}, its input has {channels} channels"
        raise NotTakenError(f"{words}, each of {multiplier} outputs")
    dilation = call.setting("dilation_h"), call.setting("dilation_w")
    stride, padding = _window(call, (rows, columns), weight.shape[1:3], dilation)  # type: ignore[arg-type]  # of two
    rule = _product_rule(call, x, weight, outputs, "double")
    rule = replace(rule, vectors=outputs - outputs % VECTOR)
    turned = kernel.transpose(3, 1, 2, 0)
    found = _convolved(call, x, weight, turned, rule, stride, padding, dilation, channels)
    return call.checked(call.builder.limited(found, call.activation, call.result.name))


def _fully_connected(call: Call) -> Stream:
    x, weight = call.stream(), call.constant(1, ("INT8",), 2)
    kernel = weight.content
    assert kernel is not None
    outputs, size = weight.shape
    if call.setting("weights_format"):
        raise NotTakenError("its weights are shuffled, expected the default format")
    if call.setting("keep_dims") and len(x.shape) > 1:
        raise NotTakenError("it keeps the dimensions of its input, expected one row of all values")
    if size != x.tensor.size:
        raise NotTakenError(f"its weights are of {size:,} values, its input has {x.tensor.size:,} an image")
    rule = _product_rule(call, x, weight, outputs, "once")
    found = _convolved(call, x, weight, kernel.reshape(outputs, *x.tensor.shape), rule)
    found = call.builder.limited(found, call.activation, call.result.name)
    return call.checked(replace(found, shape=(outputs,)))


def _max_pool_2d(call: Call) -> Stream:
    x = call.stream()
    rows, columns, channels = x.image
    kernel = call.setting("filter_h"), call.setting("filter_w")
    stride, padding = _window(call, (rows, columns), kernel)
    _same_codes(call, x)
    if any(padding):
        # The least code is never greater than another.
        least = np.full(channels, INT8.low, np.int32)
        x = call.builder.add("pad", lambda: Pad(least, padding), x, origin=f"{call.result.name}, padded")
    found = call.builder.add("pool", lambda: MaxPool(kernel, stride), x, origin=call.result.name)
    return call.checked(call.builder.limited(found, call.activation, call.result.name))


def _average_pool_2d(call: Call) -> Stream:
    x = call.stream()
    rows, columns, _ = x.image
    kernel = call.setting("filter_h"), call.setting("filter_w")
    stride, padding = _window(call, (rows, columns), kernel)
    _same_codes(call, x)
    if any(padding):
        raise NotTakenError("its windows reach beyond the image, where fewer values are divided by fewer: needs VALID")
    found = _totals(call, x, kernel, stride)
    count = kernel[0] * kernel[1]
    # A sum of codes is divided, zero points and all.
    none = np.zeros(x.channels, np.int64)
    rule = Rule(x.scale, 0, np.ones(x.channels), none, none + HIGH_MULTIPLY_BITS, "average", count)
    found = call.builder.requantise(found, none, rule, call.result.name)
    found = replace(found, zero=x.zero)
    return call.checked(call.builder.limited(found, call.activation, call.result.name))


def _totals(call: Call, x: Stream, kernel: Pair, stride: Pair) -> Stream:
    count = kernel[0] * kernel[1]
    number = Number(max(2, bits_needed(INT8.low * count, INT8.high * count)))
    if number.bits > INT32.bits:
        raise NotTakenError(f"it sums {count:,} values, which needs more than 32 bits")
    return call.builder.add(
        "sum", lambda: SumPool(kernel, stride, out=number), x, origin=f"sums of {call.result.name}"
    )  # fmt: skip


def _same_codes(call: Call, *inputs: Stream) -> None:
    """NotTakenError unless the result's scale and zero point are those of the inputs."""
    for x in inputs:
        if call.out() != (x.scale, x.zero):
            raise NotTakenError("its result has another scale or zero point than its input, expected the same")


def _mean(call: Call) -> Stream:
    x = call.stream()
    rows, columns, channels = x.image
    axes = call.constant(1, ("INT32",), 1).content
    assert axes is not None
    if sorted(int(axis) % 4 if -4 <= axis < 4 else -1 for axis in axes) != [1, 2]:
        raise NotTakenError(f"it is over the axes {axes.tolist()}, expected rows and columns, 1 and 2")
    keeps, kernels = bool(call.setting("keep_dims")), call.builder.kernels
    if kernels is Kernels.XNNPACK or (kernels is Kernels.OPTIMISED and keeps):
        raise NotTakenError(f"a mean of the {kernels} kernels is not known exactly: needs the reference kernels")
    scale, zero = call.out()
    count = rows * columns
    m, shift = mean_multiplier(float(x.scale) / float(scale), count)
    if shift < 0:
        raise NotTakenError("its factor is 2^31 or more")
    totals = _totals(call, x, (rows, columns), (1, 1))
    ones = np.ones(channels, np.int64)
    factors = np.full(channels, float(x.scale) / float(scale) / count)
    rule = Rule(scale, zero, factors, ones * m, ones * shift, "double")
    found = call.builder.requantise(totals, -x.zero * count * ones, rule, call.result.name)
    return call.checked(found if keeps else replace(found, shape=(channels,)))


def _add(call: Call) -> Stream:
    x, r = call.stream(), call.stream(1)
    if x.shape != r.shape or x.tensor.shape != r.tensor.shape:
        raise NotTakenError(f"its inputs, {x.shape} and {r.shape}, do not lie alike")
    scale, zero = call.out()
    how = sum_of((x.scale, r.scale, scale), (x.zero, r.zero), call.builder.kernels)
    codes = np.arange(INT8.low, INT8.high + 1)
    low, high = clamped_range(call.activation, scale, zero)
    levels = np.clip(how.apply(how.first[:, None] + how.second[None, :]) + zero, low, high)
    if call.builder.kernels is Kernels.OPTIMISED:
        other = sum_of((x.scale, r.scale, scale), (x.zero, r.zero), call.builder.kernels, vectors=True)
        if (np.clip(other.apply(other.first[:, None] + other.second[None, :]) + zero, low, high) != levels).any():
            raise NotTakenError(
                "of its scales vectors give other sums than what does not fill one: needs other kernels"
            )
    steps = None
    for weights in weights_near(Fraction(float(x.scale)) / Fraction(float(r.scale))):
        steps = parted(weights[0] * codes[:, None] + weights[1] * codes[None, :], levels, INT8)
        if steps is not None:
            break
    if steps is not None:
        weight = np.repeat(np.array(weights, np.int16)[:, None], x.channels, axis=1)
        made = _weighted(call, weight, x, r)
    else:
        # Sums that lie at ties go up or down by what the kernels' own parts are rounded to: these, from tables.
        made = _weighted(call, np.ones((2, x.channels), np.int16), *(
            _added(call, source, table) for source, table in ((x, how.first), (r, how.second))
        ))  # fmt: skip
        steps = parted(how.first[:, None] + how.second[None, :], levels, INT8)
        if steps is None:
            raise NotTakenError(f"its scales, {x.scale:g}, {r.scale:g} and {scale:g}, make sums that fall and rise")
    rows = np.repeat(np.array(steps, np.int32)[None], x.channels, axis=0)
    rising, table = np.ones(x.channels, np.uint8), codes.astype(np.int8)
    call.builder.requantised[False] += 1
    made = call.builder.add("requant", lambda: Threshold(rows, rising, table), made, origin=call.result.name)
    return call.checked(replace(made, shape=x.shape, scale=scale, zero=zero))


def _weighted(call: Call, weight: npt.NDArray[np.int16], x: Stream, r: Stream) -> Stream:
    """The sum of two tensors, each times a weight for each channel."""
    shift = np.zeros(x.channels, np.uint8)
    bits = INT32.bits + 17
    return call.builder.add(
        "add", lambda: WeightedAdd(weight, shift, bits, INT32), x, r, origin=f"sums of {call.result.name}"
    )  # fmt: skip


def _added(call: Call, x: Stream, table: Int64) -> Stream:
    """A function of codes whose values have up to 31 bits: tables of its two halves, added up."""

    def part(values: Int64) -> Stream:
        rows = np.repeat(values.astype(np.int16)[None], x.channels, axis=0)
        origin = f"a part of {call.result.name}"
        return call.builder.add("part", lambda: Lut(rows, TableRule.FULL, out=INT16), x, origin=origin)

    parts = part(table >> _HALF), part(table & ((1 << _HALF) - 1))
    weight = np.repeat(np.array([1 << _HALF, 1], np.int16)[:, None], x.channels, axis=1)
    return _weighted(call, weight, *parts)


def _concatenation(call: Call) -> Stream:
    streams = [call.stream(i) for i in range(len(call.inputs))]
    if call.setting("axis") not in (-1, len(call.result.shape) - 1) or call.activation != "NONE" or len(streams) < 2:
        raise NotTakenError("it is no concatenation of the channels of two tensors or more without an activation")
    _same_codes(call, *streams)
    found = streams[0]
    for other in streams[1:]:
        if other.shape[:-1] != found.shape[:-1] or other.tensor.shape[:-1] != found.tensor.shape[:-1]:
            raise NotTakenError(f"its inputs, {found.shape} and {other.shape}, do not lie alike")
        shape = (*found.shape[:-1], found.shape[-1] + other.shape[-1])
        found = replace(call.builder.add("concat", Concat, found, other, origin=call.result.name), shape=shape)
    return call.checked(found)


def _reshaped(call: Call) -> Stream:
    """A reshape, or what takes or puts in axes of one: the file's own shape of the result."""
    x = call.stream()
    _same_codes(call, x)
    shape = call.result.shape
    if len(shape) < 2 or shape[0] != 1 or int(np.prod(shape)) != x.tensor.size:
        raise NotTakenError(f"its result has the shape {shape}, expected one image of {x.tensor.size:,} values")
    if call.op.kind == "RESHAPE":
        sizes: Any = call.constant(1, ("INT32",), 1).content if len(call.inputs) > 1 else call.setting("shape")
        if len(sizes) != len(shape) or any(size not in (-1, own) for size, own in zip(sizes, shape, strict=True)):
            raise NotTakenError(f"its result has the shape {shape} in the file, expected {sizes.tolist()}")
    x = replace(x, shape=shape[1:])
    # What is no image is read by dense layers alone, to which values are as they lie.
    return _shaped(call, x) if len(x.shape) == _IMAGE_AXES else x


def _shaped(call: Call, x: Stream) -> Stream:
    """A stream whose tensor has the shape that the file sees."""
    if x.shape == x.tensor.shape:
        return x
    order, shape = tuple(range(len(x.tensor.shape))), x.shape
    return call.builder.add("shape", lambda: Reshape(order, shape), x, origin=call.result.name)


def _transposed(call: Call) -> Stream:
    """Axes exchanged, but that of images."""
    x = call.stream()
    _same_codes(call, x)
    order = call.constant(1, ("INT32",), 1).content
    assert order is not None
    axes = 1 + len(x.shape)
    if sorted(order.tolist()) != list(range(axes)) or order[0] != 0:
        raise NotTakenError(
            f"its order is {order.tolist()}, expected 0 and then the other {axes - 1} axes of one image"
        )
    x = _shaped(call, x)
    return call.checked(
        call.builder.add("turn", lambda: Transpose(tuple((order[1:] - 1).tolist())), x, origin=call.result.name)
    )


def _pad(call: Call) -> Stream:
    x = call.stream()
    _same_codes(call, x)
    _, _, channels = x.image
    around = call.constant(1, ("INT32", "INT64"), 2).content
    assert around is not None
    if around.shape != (4, 2) or (around < 0).any() or (around > 1 << 20).any() or around[[0, 3]].any():
        raise NotTakenError("it pads other axes than rows and columns, or by less than 0")
    value = x.zero
    if len(call.inputs) > 2 and call.inputs[2] is not None:
        stated = call.constant(2, ("INT8",), 1 if call.inputs[2].shape else 0)
        assert stated.content is not None
        if stated.content.size != 1:
            raise NotTakenError("its value is no single number")
        value = int(stated.content.ravel()[0])
    (top, bottom), (left, right) = around[1:3].tolist()
    constant = np.full(channels, value, np.int32)
    return call.checked(
        call.builder.add("pad", lambda: Pad(constant, (top, left, bottom, right)), x, origin=call.result.name)
    )


def _rectified(call: Call) -> Stream:
    """RELU and its like: codes of another scale and zero point, at least that of 0."""
    x = call.stream()
    scale, zero = call.out()
    kind = call.op.kind
    m, shift = multiplier_of(float(x.scale / scale))  # these kernels divide in float32
    value = np.arange(INT8.low, INT8.high + 1) - x.zero
    if shift < 0 or (shift < HIGH_MULTIPLY_BITS and 256 << (HIGH_MULTIPLY_BITS - shift) > INT32.high):
        raise NotTakenError("its factor is so great that codes leave the kernels' 32 bits")
    if call.builder.kernels is Kernels.XNNPACK:
        raise NotTakenError("XNNPACK's is not known exactly: needs the reference or the optimised kernels")
    moved = rounded(value * m, np.array(shift), Rounding.DOUBLE)
    if kind == "LEAKY_RELU":
        alpha = np.float32(call.setting("alpha"))
        real = float(x.scale * alpha / scale)
        if not 0 < real < 2**20:
            raise NotTakenError(f"its slope is {alpha:g}, expected more than 0")
        slope, places = multiplier_of(real)
        moved = np.where(value >= 0, moved, rounded(value * slope, np.array(places), Rounding.DOUBLE))
        low, high = INT8.low, INT8.high
    else:
        low, high = clamped_range(kind, scale, zero)
    table = np.clip(moved + zero, low, high)
    return call.checked(replace(call.builder.function("table", x, table, call.result.name), scale=scale, zero=zero))


def _quantize(call: Call) -> Stream:
    """Codes in another scale. Of the model's input in floats: it is fed what this gives."""
    x = call.stream()
    scale, zero = call.out()
    if call.builder.kernels is not Kernels.REFERENCE and scale != x.scale:
        words = f"a QUANTIZE to another scale of the {call.builder.kernels} kernels"
        raise NotTakenError(f"{words} is not known exactly: needs the reference kernels")
    rule = _rule(scale, zero, [float(x.scale) / float(scale)] * x.channels, "double")
    found = call.builder.requantise(x, np.full(x.channels, -x.zero, np.int64), rule, call.result.name)
    return call.checked(replace(found, shape=x.shape))


def _dequantize(call: Call) -> Stream:
    if call.result.kind != "FLOAT32":
        raise NotTakenError(f"its result is {call.result.kind}, expected FLOAT32")
    return replace(call.stream(), ended="DEQUANTIZE")


def _softmax(call: Call) -> Stream:
    x = call.stream()
    if not call.setting("beta") > 0:
        raise NotTakenError(f"its beta is {call.setting('beta')}, expected more than 0, which keeps the order")
    return replace(x, ended="SOFTMAX")


class Kind(NamedTuple):
    """A kind of operator: the function that takes it, the newest version that LiteRT 2.3 has, its table of settings."""

    take: Callable[[Call], Stream]
    newest: int
    options: str = "NONE"


KINDS: dict[str, Kind] = {
    "CONV_2D": Kind(_conv_2d, 8, "Conv2DOptions"),
    "DEPTHWISE_CONV_2D": Kind(_depthwise_conv_2d, 6, "DepthwiseConv2DOptions"),
    "FULLY_CONNECTED": Kind(_fully_connected, 14, "FullyConnectedOptions"),
    "MAX_POOL_2D": Kind(_max_pool_2d, 3, "Pool2DOptions"),
    "AVERAGE_POOL_2D": Kind(_average_pool_2d, 3, "Pool2DOptions"),
    "MEAN": Kind(_mean, 3, "ReducerOptions"),
    "ADD": Kind(_add, 5, "AddOptions"),
    "CONCATENATION": Kind(_concatenation, 7, "ConcatenationOptions"),
    "RESHAPE": Kind(_reshaped, 1, "ReshapeOptions"),
    "TRANSPOSE": Kind(_transposed, 8, "TransposeOptions"),
    "SQUEEZE": Kind(_reshaped, 1, "SqueezeOptions"),
    "EXPAND_DIMS": Kind(_reshaped, 1, "ExpandDimsOptions"),
    "PAD": Kind(_pad, 6, "PadOptions"),
    "PADV2": Kind(_pad, 6, "PadV2Options"),
    "RELU": Kind(_rectified, 3),
    "RELU6": Kind(_rectified, 3),
    "RELU_N1_TO_1": Kind(_rectified, 1),
    "LEAKY_RELU": Kind(_rectified, 2, "LeakyReluOptions"),
    "QUANTIZE": Kind(_quantize, 6, "QuantizeOptions"),
    "DEQUANTIZE": Kind(_dequantize, 9, "DequantizeOptions"),
    "SOFTMAX": Kind(_softmax, 3, "SoftmaxOptions"),
}
"""Every kind of operator that is taken, by the schema's name."""


# --- Models ----------------------------------------------------------------------------------------------------------


def import_tflite(path: Path, kernels: str = Kernels.REFERENCE) -> Model:
    """The integer model of a TensorFlow Lite file of 8 bits: the codes of every layer, as its kernels give them.

    `kernels`: one of `Kernels`, which round otherwise. The model is fed codes, int8 or uint8 [row, column, channel], or
    one place of all channels where the file has [1, values]. What only changes how the last codes are read, a softmax
    or a DEQUANTIZE, is left out and named in the provenance.

    FileError lists every operator that is not taken, with its settings and what would be needed, or says what is
    damaged.
    """
    return read_model(path, kernels).model


@dataclass(frozen=True)
class Read:
    """A TensorFlow Lite file as it was read. `streams`: what each tensor of the file, by number, is of the model."""

    model: Model
    lite: LiteGraph
    data: bytes
    streams: Mapping[int, Stream]


def read_model(path: Path, kernels: str = Kernels.REFERENCE) -> Read:
    """The model of a file, and where it has what the file's tensors hold; otherwise as `import_tflite`."""
    if kernels not in tuple(Kernels):
        raise FileError(f"{path}: the kernels are '{short(kernels)}', expected {' or '.join(Kernels)}")
    lite, data = read_tflite(path)
    builder = Builder(Kernels(kernels))
    try:
        number, source, first = _source(lite)
    except NotTakenError as error:
        raise FileError(f"{path}: {short(str(error), _REASON_LENGTH_MAX)}") from None
    streams: dict[int, Stream] = {number: source}
    refused = []
    for op in lite.operators[first:]:
        reason = _take(op, lite, streams, builder)
        if reason:
            refused.append(f"{op.place}{_settings(op)}: {reason}")
    if refused:
        several = f"{len(refused)} operators are not taken: " if len(refused) > 1 else "not taken: "
        raise FileError(f"{path}: {several}{'; '.join(refused)}")
    try:
        about_output = _output(lite, streams, builder)
        graph = Graph(source.tensor, builder.nodes)
    except (NotTakenError, ModelError) as error:
        raise FileError(f"{path}: {short(str(error), _REASON_LENGTH_MAX)}") from None
    file = short(path.resolve().name)
    by = builder.requantised
    provenance = {
        "source": f"TensorFlow Lite model {file}",
        f"sha256 of {file}": hashlib.sha256(data).hexdigest(),
        "input": f"'{short(lite.tensors[number].name)}': {_meaning(source)}",
        "output": about_output,
        "tensors of the file": ", ".join(f"{tap} = {short(origin)}" for tap, origin in builder.origins.items()),
        "kernels": f"{builder.kernels}",
        "requantisation": f"by the rule of the {builder.kernels} kernels, the same for every sum: {by[True]} by "
        f"multiplier and shift, {by[False]} by thresholds",
    }
    return Read(Model(graph, short(path.stem), provenance), lite, data, streams)


def _source(lite: LiteGraph) -> tuple[int, Stream, int]:
    """The tensor whose codes are fed, its stream, and the first operator that computes with it."""
    if len(lite.inputs) != 1 or len(lite.outputs) != 1:
        raise NotTakenError(f"has {len(lite.inputs)} inputs and {len(lite.outputs)} outputs, expected one of each")
    number, first = lite.inputs[0], 0
    readers = [op for op in lite.operators if number in op.inputs]
    if lite.tensors[number].kind == "FLOAT32" and lite.operators and readers == [lite.operators[0]]:
        if readers[0].kind != "QUANTIZE" or len(readers[0].outputs) != 1:
            raise NotTakenError(f"{readers[0].place} reads floats, expected a QUANTIZE")
        number, first = readers[0].outputs[0], 1
    tensor = lite.tensors[number]
    scale, zero = scale_of(tensor, f"the input '{tensor.name}'", ("INT8", "UINT8"))
    shape = tensor.shape
    if len(shape) not in (2, 4) or shape[0] != 1 or min(shape) < 1:
        raise NotTakenError(
            f"the input '{tensor.name}' has the shape {shape}, expected one image: (1, values) or (1, rows, columns, "
            "channels)"
        )
    image = (1, 1, shape[1]) if len(shape) == 2 else shape[1:]
    try:
        found = Tensor(AXES, image, UINT8 if tensor.kind == "UINT8" else INT8)
    except ModelError as error:
        raise NotTakenError(str(error)) from None
    if found.size > VALUES_MAX:
        raise NotTakenError(f"the input '{tensor.name}' has {found.size:,} values, expected at most {VALUES_MAX:,}")
    return number, Stream(INPUT, found, shape[1:], scale, zero), first


def _take(op: LiteOperator, lite: LiteGraph, streams: dict[int, Stream], builder: Builder) -> str | None:
    """The reason why an operator is not taken, or None; its result goes into `streams`."""
    kind = KINDS.get(op.kind)
    if kind is None:
        return "there is no such operator here; needs one of the contract that computes it exactly"
    if not 1 <= op.version <= kind.newest:
        return f"it is of version {op.version}, expected 1 to {kind.newest}"
    if op.options not in ("NONE", kind.options):
        return f"its settings are {op.options}, expected {kind.options}"
    if len(op.outputs) != 1:
        return f"it gives {len(op.outputs)} results, expected one"
    given: list[Stream | LiteTensor | None] = []
    for number in op.inputs:
        tensor = None if number == -1 else lite.tensors[number]
        if tensor is not None and tensor.refused:
            return f"'{short(tensor.name)}' has {tensor.refused}, which is not read"
        if tensor is not None and number not in streams and tensor.content is None:
            return None  # behind an operator that is not taken
        given.append(streams.get(number, tensor))
    call = Call(op, tuple(given), lite.tensors[op.outputs[0]], builder)
    try:
        # Operators of codes take int8; only what is fed may be uint8, which a QUANTIZE brings to int8.
        if op.kind != "QUANTIZE" and any(isinstance(x, Stream) and x.tensor.number != INT8 for x in given):
            raise NotTakenError("it reads uint8, expected int8, to which a QUANTIZE brings it")
        streams[op.outputs[0]] = kind.take(call)
    except NotTakenError as error:
        return short(str(error), _REASON_LENGTH_MAX)
    return None


def _settings(op: LiteOperator) -> str:
    texts = [f"{name}={short(str(value), _SETTING_LENGTH_MAX)}" for name, value in op.settings.items()]
    return f" [{', '.join(texts)}]" if texts else ""


def _meaning(x: Stream) -> str:
    """Codes in words: what they stand for."""
    less = f"less {x.zero}, " if x.zero else ""
    return f"{x.tensor.number}, {less}times {float(x.scale):.9g}"


def _output(lite: LiteGraph, streams: dict[int, Stream], builder: Builder) -> str:
    """The output in words; NotTakenError where it is not the last that is computed."""
    name = short(lite.tensors[lite.outputs[0]].name)
    x = streams.get(lite.outputs[0])
    if x is None or not builder.nodes or builder.nodes[-1].name != x.tap:
        raise NotTakenError(f"output '{name}' is not the last that is computed")
    return f"'{name}' is {_meaning(x)}" + (f", then {x.ended}" if x.ended else "")


def _execute(path: Path, model: Model) -> tuple[tuple[str, ...], Execute]:
    """LiteRT on a file; see `open_litert`, which reads files by what is here."""
    from fxsim.formats.tflite.runtime import open_litert

    return open_litert(path, model)


IMPORTER = Importer(
    name="tflite",
    takes="a .tflite file of 8 bits (TensorFlow Lite, LiteRT)",
    read=import_tflite,
    options=frozenset({"kernels"}),
    looks=lambda path: path.suffix == ".tflite",
    program=Program("LiteRT", missing, _execute),
)
