"""Networks of few bits: feature maps and binary weights, as float parameters for training and as exact integers.

Two kinds. A **binary** network has weights and activations of -1 and 1: convolutions, each followed by a batch norm and
its sign, which become one comparison of the sum; max pools. A **fractional** one has FracBNN's layers: pictures as
thermometers, binary convolutions of both bits of a 2-bit activation, of which the lower counts only where the sum of
the higher is large enough, RPReLU, and a residual of 16 bits in 1/128 with parameters of 12 bits in 1/256.

A tensor's value is its code times a step that does not change. Weights are trained as real numbers of which the sign
counts, whose gradient passes straight through (Courbariaux et al., 2016). Where a batch norm is trained its scale and
offset are those of the batch; `fold` puts numbers in their place, of which everything exact is derived.
"""

from enum import StrEnum
from fractions import Fraction
from math import ceil, floor
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own convention
from msgspec import Meta, Struct
from torch import Tensor, nn

from fxsim.contract import BIPOLAR, INT8_MAX, INT8_MIN, Division, Number, Sign
from fxsim.contract.number import INT8, INT16, INT32
from fxsim.errors import ModelError
from fxsim.graph import INPUT
from fxsim.networks.ops import Op, OpNetwork, convolve, rounded, straight_through, whole
from fxsim.networks.quantised import Kind
from fxsim.operators import (
    Add,
    Conv,
    Encode,
    Gate,
    MaxPool,
    MultiplyAdd,
    Operator,
    Prelu,
    SumPool,
    Threshold,
    WeightedAdd,
)

INPUT_STEP = float(np.float32(1 / 127))
"""Step of the input: pictures lie within -1 and 1."""
SCORE_STEP = 1 / 8
"""Step of a binary network's scores: without it they would be so large that the loss saw nothing but the greatest."""
FEATURE_STEP = 1 / 128
PARAMETER_STEP = 1 / 256
GATE = 768
"""Sum of the higher bits, times 2/3, above which the lower ones count: 3, in 1/256. The published network learnt about
as much everywhere."""
TWO_THIRDS, ONE_THIRD = 171, 85
"""Both thirds as numbers of 256, as published."""

_PARAMETER = Number(12)
_UINT2 = Number(2, Sign.UNSIGNED)
_EPSILON, _MOMENTUM = 1e-5, 0.1
_INT32_MIN, _INT32_MAX = -(2**31), 2**31 - 1

Channels = Annotated[int, Meta(ge=1, le=1024)]


class FewBitKind(StrEnum):
    """The kind of a network of few bits."""

    BINARY = "binary"
    FRACTIONAL = "fractional"


class FewBitConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Dimensions of a network of few bits for pictures of `size` x `size` pixels of `colours`.

    Binary: for every entry of `channels` but the last, two convolutions of 3 x 3 and a max pool of 2 x 2; of the last,
    one over all that is left; then scores. Fractional: a stage of `channels` each, all the same, with one block of two
    fractional convolutions; from the second on the first of them halves rows and columns. `levels`: of a thermometer.
    """

    kind: FewBitKind
    size: Annotated[int, Meta(ge=2, le=64)]
    colours: Annotated[int, Meta(ge=1, le=3)]
    channels: Annotated[tuple[Channels, ...], Meta(min_length=2, max_length=6)]
    classes: Annotated[int, Meta(ge=1, le=1024)]
    levels: Annotated[int, Meta(ge=1, le=64)] = 16

    def __post_init__(self) -> None:
        halvings = len(self.channels) - 1
        if self.size % (1 << halvings):
            raise ModelError(f"pictures of {self.size} pixels cannot be halved {halvings} times")
        if self.kind is FewBitKind.FRACTIONAL and len(set(self.channels)) > 1:
            raise ModelError(f"a fractional network has channels {self.channels}, expected all the same")
        left = self.size >> halvings
        if self.kind is FewBitKind.FRACTIONAL and left & (left - 1):
            raise ModelError(f"a fractional network ends with {left} rows, expected a power of two")


# --- gradients --------------------------------------------------------------------------------------------------------


class _Sign(torch.autograd.Function):
    """-1 and 1, 1 of zero; the gradient passes where the value is within -1 and 1."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        ctx.save_for_backward(v)
        return torch.where(v >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (v,) = ctx.saved_tensors
        passed: Tensor = gradient * (v.abs() <= 1)
        return passed


def _sign(v: Tensor) -> Tensor:
    y: Tensor = _Sign.apply(v)  # type: ignore[no-untyped-call]
    return y


def _parameter_codes(v: Tensor) -> Tensor:
    """Parameters as whole numbers of 12 bits in 1/256, float64."""
    return torch.round(v.detach() / PARAMETER_STEP).clamp(_PARAMETER.low, _PARAMETER.high).double()


# --- operators --------------------------------------------------------------------------------------------------------


class Norm(nn.Module):
    """A batch norm as its scale and offset, of a batch while training, else of the statistics kept."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and offset [C] for values [..., C]."""
        mean, var = self.running_mean, self.running_var
        if self.training:
            flat = x.reshape(-1, x.shape[-1])
            mean, var = flat.mean(dim=0), flat.var(dim=0, unbiased=False)
            with torch.no_grad():
                count = len(flat)
                self.running_mean.lerp_(mean, _MOMENTUM)
                self.running_var.lerp_(var * (count / max(count - 1, 1)), _MOMENTUM)
        scale = self.weight / torch.sqrt(var + _EPSILON)
        return scale, self.bias - mean * scale


class Folded(nn.Module):
    """Scale and offset [C] as they are."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.offset = nn.Parameter(torch.zeros(channels))

    def forward(self, _x: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and offset."""
        return self.scale, self.offset


class BinaryConv(Op):
    """Sums of products with weights -1 and 1; nothing outside is added. `weight` [N, C, k, k], of which signs count."""

    kind = Kind.CONV

    def __init__(
        self, inputs: int, outputs: int, kernel: int, x_step: float = 1.0, step: float | None = None, stride: int = 1
    ) -> None:
        super().__init__()
        self.padding, self.stride = kernel // 2 if kernel % 2 else 0, stride
        self.out, self.step = INT16, x_step if step is None else step
        self.scale = self.step / x_step
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel).uniform_(-0.3, 0.3))

    def real(self, *x: Tensor) -> Tensor:
        """Sums in float32."""
        return convolve(x[0], _sign(self.weight), self.padding, self.stride) * self.scale

    def exact(self, *x: Tensor) -> Tensor:
        """Sums of whole numbers."""
        return convolve(x[0], _sign(self.weight.detach()).double(), self.padding, self.stride)

    def operator(self) -> Operator:
        """A conv of bipolar weights."""
        weight = whole(_sign(self.weight.detach()).permute(0, 2, 3, 1)).astype(np.int8)
        pads = (self.padding, self.padding, self.padding, self.padding)
        return Conv(weight, (self.stride, self.stride), pads, weight_number=BIPOLAR, out=self.out)


class SameConv(Op):
    """Another convolution's weights on other values."""

    kind = Kind.CONV
    out = INT16

    def __init__(self, conv: BinaryConv) -> None:
        super().__init__()
        # Not a submodule: its weights are the other's, and stand in a file once.
        self._conv = (conv,)

    def real(self, *x: Tensor) -> Tensor:
        """Sums in float32."""
        return self._conv[0].real(*x)

    def exact(self, *x: Tensor) -> Tensor:
        """Sums of whole numbers."""
        return self._conv[0].exact(*x)

    def operator(self) -> Operator:
        """A conv of the same weights."""
        return self._conv[0].operator()


class NormSign(Op):
    """The sign of scale * x + offset, 1 of zero: a batch norm and its sign."""

    kind = Kind.THRESHOLD
    out = BIPOLAR

    def __init__(self, channels: int, x_step: float, folded: bool) -> None:
        super().__init__()
        self.norm: Norm | Folded = Folded(channels) if folded else Norm(channels)
        self.x_step = x_step
        self.channels = channels

    def real(self, *x: Tensor) -> Tensor:
        """Signs, of float32."""
        scale, offset = self.norm(x[0])
        return _sign(x[0] * scale + offset)

    def _lines(self) -> list[tuple[Fraction, Fraction]]:
        """Slope and offset of every channel of a sum's code, exactly."""
        assert isinstance(self.norm, Folded), "exact values are those of a folded network"
        step = Fraction(self.x_step)
        pairs = zip(self.norm.scale.tolist(), self.norm.offset.tolist(), strict=True)
        return [(Fraction(scale) * step, Fraction(offset)) for scale, offset in pairs]

    def exact(self, *x: Tensor) -> Tensor:
        """Signs, of fractions: each value that a channel has is decided by itself."""
        result = torch.empty_like(x[0])
        for channel, (slope, offset) in enumerate(self._lines()):
            values, places = torch.unique(x[0][..., channel], return_inverse=True)
            signs = [1.0 if slope * Fraction(v) + offset >= 0 else -1.0 for v in values.tolist()]
            result[..., channel] = torch.tensor(signs, dtype=torch.float64)[places]
        return result

    def operator(self) -> Operator:
        """A threshold: the least sum whose sign is 1, or where the slope is negative the greatest."""
        limits, rising = [], []
        for slope, offset in self._lines():
            if slope == 0:
                limit = _INT32_MIN if offset >= 0 else _INT32_MAX
            else:
                limit = ceil(-offset / slope) if slope > 0 else floor(-offset / slope)
            limits.append(min(max(limit, _INT32_MIN), _INT32_MAX))
            rising.append(slope >= 0)
        levels = np.array([-1, 1], np.int8)
        return Threshold(np.array(limits, np.int32)[:, None], np.array(rising, np.uint8), levels, BIPOLAR)


class Largest(Op):
    """The greatest of a window of `kernel` x `kernel`, one after the other by `stride`."""

    kind = Kind.MAX_POOL

    def __init__(self, kernel: int, stride: int, out: Number, step: float = 1.0) -> None:
        super().__init__()
        self.kernel, self.stride, self.out, self.step = kernel, stride, out, step

    def real(self, *x: Tensor) -> Tensor:
        """The greatest."""
        return F.max_pool2d(x[0].permute(0, 3, 1, 2), self.kernel, self.stride).permute(0, 2, 3, 1)

    exact = real

    def operator(self) -> Operator:
        """A max pool."""
        return MaxPool((self.kernel, self.kernel), (self.stride, self.stride))


# --- operators of fractional networks, all of feature maps in 1/128 ---------------------------------------------------


class Thermometer(Op):
    """A bit for each of `levels` of every colour: 1 where the value reaches it, else -1."""

    kind = Kind.ENCODE
    out = BIPOLAR

    def __init__(self, colours: int, levels: int) -> None:
        super().__init__()
        self.colours = colours
        # In the middles of equal parts of -127 to 127.
        self.limits = [-127 + (254 * (2 * k + 1) + levels) // (2 * levels) for k in range(levels)]

    def real(self, *x: Tensor) -> Tensor:
        """Bits; values lie at multiples of the step, the limits between them."""
        limits = (torch.tensor(self.limits, device=x[0].device) - 0.5) * INPUT_STEP
        return torch.where(x[0][..., None] >= limits, 1.0, -1.0).flatten(-2)

    def exact(self, *x: Tensor) -> Tensor:
        """Bits of codes."""
        return (
            torch.where(x[0][..., None] >= torch.tensor(self.limits, device=x[0].device), 1.0, -1.0)
            .double()
            .flatten(-2)
        )

    def operator(self) -> Operator:
        """An encode."""
        return Encode(np.tile(np.array(self.limits, np.int32), (self.colours, 1)), BIPOLAR)


class Feature(Op):
    """An operator whose result is a feature map: int16 in 1/128, rounded and saturated."""

    out = INT16
    step = FEATURE_STEP
    rounds = True


class NormFeature(Feature):
    """scale * x + offset, both in 1/256: a batch norm. Of sums (`x_step` 1) or of feature maps."""

    kind = Kind.MULTIPLY_ADD

    def __init__(self, channels: int, x_step: float, folded: bool) -> None:
        super().__init__()
        self.norm: Norm | Folded = Folded(channels) if folded else Norm(channels)
        # x counts in 1 or 1/128, scales in 1/256; the product is shifted to 1/128.
        self.shift = 1 if x_step == 1 else 8
        self.of_offset = 1 << self.shift - 1

    def real(self, *x: Tensor) -> Tensor:
        """The line, in float32."""
        scale, offset = (rounded(v, PARAMETER_STEP, _PARAMETER) for v in self.norm(x[0]))
        return x[0] * scale + offset

    def _codes(self) -> tuple[Tensor, Tensor]:
        assert isinstance(self.norm, Folded), "exact values are those of a folded network"
        return _parameter_codes(self.norm.scale), _parameter_codes(self.norm.offset) * self.of_offset

    def exact(self, *x: Tensor) -> Tensor:
        """The line of whole numbers, divided by a power of two."""
        scale, offset = self._codes()
        return (x[0] * scale + offset) / (1 << self.shift)

    def operator(self) -> Operator:
        """A multiply_add."""
        scale, offset = self._codes()
        shift = np.full(len(scale), self.shift, np.uint8)
        return MultiplyAdd(whole(scale).astype(np.int16), whole(offset).astype(np.int32), shift)


class Offset(Feature):
    """The sum of a value and an offset in 1/256."""

    kind = Kind.MULTIPLY_ADD

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(channels))

    def real(self, *x: Tensor) -> Tensor:
        """The sum, in float32."""
        return x[0] + rounded(self.offset, PARAMETER_STEP, _PARAMETER)

    def exact(self, *x: Tensor) -> Tensor:
        """The sum of whole numbers in 1/256, halved."""
        return (2 * x[0] + _parameter_codes(self.offset)) / 2

    def operator(self) -> Operator:
        """A multiply_add by 2."""
        offset = whole(_parameter_codes(self.offset)).astype(np.int32)
        return MultiplyAdd(np.full(len(offset), 2, np.int16), offset, np.ones(len(offset), np.uint8))


class Slope(Feature):
    """A value, below zero times a slope in 1/256."""

    kind = Kind.PRELU

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.full((channels,), 0.25))

    def real(self, *x: Tensor) -> Tensor:
        """In float32."""
        return torch.where(x[0] >= 0, x[0], x[0] * rounded(self.slope, PARAMETER_STEP, _PARAMETER))

    def exact(self, *x: Tensor) -> Tensor:
        """In whole numbers, those below zero divided by 256."""
        return torch.where(x[0] >= 0, x[0], x[0] * _parameter_codes(self.slope) / 256)

    def operator(self) -> Operator:
        """A prelu."""
        slope = whole(_parameter_codes(self.slope)).astype(np.int16)
        return Prelu(slope, np.full(len(slope), 8, np.uint8))


class TwoBits(Op):
    """The 2-bit activation: 3 (x + 1) / 2 to the nearest of 0 to 3, as published."""

    kind = Kind.THRESHOLD
    out = _UINT2
    rounds = True

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def real(self, *x: Tensor) -> Tensor:
        """Before it is rounded."""
        return (x[0] + 1) * 1.5

    def exact(self, *x: Tensor) -> Tensor:
        """The same of codes in 1/128."""
        return (3 * x[0] + 384) / 256

    def operator(self) -> Operator:
        """Thresholds: 3 x + 384 is at least 128, 384 or 640."""
        return _levels([-85, 0, 86], [0, 1, 2, 3], self.channels, _UINT2)


class Bit(Op):
    """A bit of a 2-bit activation, as -1 or 1."""

    kind = Kind.THRESHOLD
    out = BIPOLAR

    def __init__(self, channels: int, high: bool) -> None:
        super().__init__()
        self.channels, self.high = channels, high

    def real(self, *x: Tensor) -> Tensor:
        """The bit; its gradient is that of the activation from -1 to 1, of which it is the greater part or a lesser."""
        return straight_through(x[0], self._bit(x[0].detach()), 2 / 3)

    def exact(self, *x: Tensor) -> Tensor:
        """The bit."""
        return self._bit(x[0])

    def _bit(self, x: Tensor) -> Tensor:
        return torch.where(x >= 2 if self.high else x % 2 == 1, 1.0, -1.0).to(x.dtype)

    def operator(self) -> Operator:
        """Thresholds, of which for the lower bit every one changes it."""
        if self.high:
            return _levels([2], [-1, 1], self.channels, BIPOLAR)
        return _levels([1, 2, 3], [-1, 1, -1, 1], self.channels, BIPOLAR)


def _levels(limits: list[int], levels: list[int], channels: int, out: Number) -> Threshold:
    threshold = np.tile(np.array(limits, np.int32), (channels, 1))
    return Threshold(threshold, np.ones(channels, np.uint8), np.array(levels, out.dtype), out)


class Gated(Op):
    """Sums of the lower bits, where 171 times those of the higher exceed `GATE`; else 0."""

    kind = Kind.GATE
    out = INT16

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def real(self, *x: Tensor) -> Tensor:
        """The sums that pass."""
        low, high = x
        return torch.where(TWO_THIRDS * high > GATE, low, torch.zeros_like(low))

    exact = real

    def operator(self) -> Operator:
        """A gate."""
        return Gate(np.full(self.channels, GATE // TWO_THIRDS + 1, np.int32))


class Both(Feature):
    """Two thirds of the higher bits' sums and a third of the lower ones', as 171/256 and 85/256."""

    kind = Kind.WEIGHTED_ADD

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def real(self, *x: Tensor) -> Tensor:
        """In float32."""
        return x[0] * (TWO_THIRDS / 256) + x[1] * (ONE_THIRD / 256)

    def exact(self, *x: Tensor) -> Tensor:
        """In whole numbers, halved: 256 to 128."""
        return (TWO_THIRDS * x[0] + ONE_THIRD * x[1]) / 2

    def operator(self) -> Operator:
        """A weighted_add."""
        pair = np.array([[TWO_THIRDS], [ONE_THIRD]], np.int16)
        return WeightedAdd(np.tile(pair, self.channels), np.ones(self.channels, np.uint8))


class Joined(Feature):
    """The sum of two feature maps; in fake-quant it saturates late."""

    kind = Kind.ADD
    rounds = False

    def real(self, *x: Tensor) -> Tensor:
        """The sum."""
        return x[0] + x[1]

    exact = real

    def operator(self) -> Operator:
        """An add."""
        return Add(17, INT16)


class Mean(Feature):
    """The mean of windows of `kernel` x `kernel`, side by side; a power of two."""

    kind = Kind.SUM_POOL

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def real(self, *x: Tensor) -> Tensor:
        """In float32."""
        return F.avg_pool2d(x[0].permute(0, 3, 1, 2), self.kernel).permute(0, 2, 3, 1)

    def exact(self, *x: Tensor) -> Tensor:
        """In float64, which holds sums and their parts."""
        return self.real(*x)

    def operator(self) -> Operator:
        """A sum_pool, rounded half up."""
        window = self.kernel, self.kernel
        return SumPool(window, window, self.kernel**2, Division.HALF_UP)


class Dense(Op):
    """Sums of products of a feature map with weights of 8 bits in 1/64, neither rounded nor saturated."""

    kind = Kind.CONV
    out = INT32
    step = FEATURE_STEP / 64

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 1, 1).uniform_(-0.2, 0.2))

    def real(self, *x: Tensor) -> Tensor:
        """In float32."""
        return convolve(x[0], rounded(self.weight, 1 / 64, INT8))

    def _codes(self) -> Tensor:
        return torch.round(self.weight.detach() * 64).clamp(INT8_MIN, INT8_MAX).double()

    def exact(self, *x: Tensor) -> Tensor:
        """In whole numbers."""
        return convolve(x[0], self._codes())

    def operator(self) -> Operator:
        """A conv of one value."""
        return Conv(whole(self._codes().permute(0, 2, 3, 1)).astype(np.int8), out=INT32)


# --- the network ------------------------------------------------------------------------------------------------------


class FewBitNetwork(OpNetwork):
    """A network of few bits; parameters are drawn from torch's generator, which the caller seeds.

    `folded`: with scales and offsets in place of batch norms; only so it can compute exactly and be exported.
    """

    def __init__(self, config: FewBitConfig, folded: bool = False) -> None:
        super().__init__(config.size, config.colours, INPUT_STEP)
        self.config = config
        self.folded = folded
        (self._build_binary if config.kind is FewBitKind.BINARY else self._build_fractional)()

    # --- what it is made of ---

    def _build_binary(self) -> None:
        config, x, step = self.config, INPUT, INPUT_STEP
        inputs, number = config.colours, 0
        *stages, last = config.channels
        sizes = [(channels, 3) for channels in stages for _ in range(2)]
        for channels, kernel in (*sizes, (last, config.size >> len(stages))):
            x = self.add(f"conv{number}", BinaryConv(inputs, channels, kernel, step), x)
            x = self.add(f"threshold{number}", NormSign(channels, step, self.folded), x)
            if kernel == 3 and number % 2 and number < len(sizes):
                x = self.add(f"pool{number}", Largest(2, 2, BIPOLAR), x)
            inputs, step, number = channels, 1.0, number + 1
        self.add(f"conv{number}", BinaryConv(inputs, config.classes, 1, step=SCORE_STEP), x)

    def _build_fractional(self) -> None:
        config, channels = self.config, self.config.channels[0]
        bits = self.add("thermometer", Thermometer(config.colours, config.levels), INPUT)
        x = self.add("conv", BinaryConv(config.colours * config.levels, channels, 3), bits)
        x = self.add("fm.0", NormFeature(channels, 1.0, self.folded), x)
        for number in range(2 * len(config.channels)):
            x = self._add_layer(number, channels, number >= 2 and number % 2 == 0, x)
        x = self.add("mean", Mean(config.size >> len(config.channels) - 1), x)
        self.add("dense", Dense(channels, config.classes), x)

    def _add_layer(self, number: int, channels: int, halves: bool, x: str) -> str:
        """A fractional convolution behind the feature map x, with its shortcut; the name of the new feature map."""
        part = f"layer.{number}"
        q = self.add(f"quant.{number}", TwoBits(channels), x)
        high = self.add(f"{part}.high", Bit(channels, high=True), q)
        low = self.add(f"{part}.low", Bit(channels, high=False), q)
        stride = 2 if halves else 1
        conv = BinaryConv(channels, channels, 3, stride=stride)
        msb = self.add(f"msb.{number}", conv, high)
        everywhere = self.add(f"{part}.everywhere", SameConv(conv), low)
        lsb = self.add(f"lsb.{number}", Gated(channels), everywhere, msb)
        f = self.add(f"{part}.both", Both(channels), msb, lsb)
        f = self.add(f"{part}.bn_a", NormFeature(channels, FEATURE_STEP, self.folded), f)
        f = self.add(f"{part}.x", Offset(channels), f)
        f = self.add(f"{part}.slope", Slope(channels), f)
        f = self.add(f"{part}.y", Offset(channels), f)
        shortcut = self.add(f"{part}.shortcut", Mean(2), x) if halves else x
        u = self.add(f"{part}.u", Joined(), shortcut, f)
        return self.add(f"fm.{number + 1}", NormFeature(channels, FEATURE_STEP, self.folded), u)

    @torch.no_grad()
    def fold(self) -> "FewBitNetwork":
        """The same network with the batch norms' scales and offsets, of the statistics kept, as numbers."""
        folded = FewBitNetwork(self.config, folded=True)
        own = dict(self.named_modules())
        wanted = folded.state_dict()
        found = self.eval().state_dict()
        for name in wanted:
            path, _, field = name.rpartition(".")
            module = own.get(path)
            if isinstance(module, Norm):
                scale, offset = module(torch.empty(0))
                found[name] = scale if field == "scale" else offset
        folded.load_state_dict({name: found[name].clone() for name in wanted})
        return folded.eval()
