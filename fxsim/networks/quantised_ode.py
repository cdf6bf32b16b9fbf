"""The quantised Neural ODE with attention: codes times steps of 2^k, so that every finisher is a shift.

A value is its code times a step of 2^k, a weight its code times a step of 2^k of its output channel; both k are trained
(`fxsim.networks.learnt_levels`). The state, which blocks pass on, has 8 bits (stem, x of every step, down, the sum
behind attention, pool), and so have the weights of stem, down and classifier; `activation_bits` and `weight_bits` are
those of everything else. What a ReLU leaves has no sign and at most 7 bits.

Where the product of two steps is to become a third one by a shift to the right, the third's is bounded by the others'.
"""

import math
from collections.abc import Callable, Iterator
from enum import StrEnum
from itertools import pairwise
from typing import Annotated

import msgspec
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own convention
from msgspec import Meta, Struct
from torch import Tensor, nn

from fxsim.contract import Division, Number, Sign, bias_number, bits_needed, worst_case_sums
from fxsim.contract.number import INT8, INT32
from fxsim.errors import ModelError
from fxsim.graph import INPUT
from fxsim.networks.learnt_levels import LearntLevels, limits_of
from fxsim.networks.neural_ode import Attention, AttentionRule, ConvNorm, NeuralOde, OdeBlock, OdeConfig
from fxsim.networks.ops import Log2, OpNetwork, PowerOp, Product, Shifted, convolve, rounded, shifts, whole
from fxsim.networks.quantised import LOG_STEP_LIMIT, SHIFT_LIMIT, Kind, learnt_step
from fxsim.networks.softmax import SCORE_LOG2, by_logarithm, by_reciprocal
from fxsim.operators import (
    Add,
    Conv,
    Flatten,
    MultiplyAdd,
    Operator,
    Position,
    SumPool,
    Threshold,
    WeightedAdd,
)

STATE_BITS = 8
"""Bits of what blocks pass on."""
_EULER_SHIFT_MAX = 14
"""The most places that x is moved up in a step, which is a factor of 16 bits."""

_LEVELS_SHIFT_MAX = 14
"""The most places from sums to levels: float32's errors then stay below a step of the sums, beside a threshold."""


class Quantiser(StrEnum):
    """The quantiser of weights and activations: LSQ's uniform one, or LLT's with learnt positions of steps."""

    LSQ = "lsq"
    LLT = "llt"


Bits = Annotated[int, Meta(ge=2, le=8)]


class OdeFormat(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The formats of a quantised Neural ODE. `input_step`: 2^k, of the pictures' int8 codes."""

    quantiser: Quantiser = Quantiser.LSQ
    weight_bits: Bits = 8
    activation_bits: Bits = 8
    input_step: float = 1 / 128

    def __post_init__(self) -> None:
        if not 2.0**-LOG_STEP_LIMIT <= self.input_step <= 2.0**LOG_STEP_LIMIT or np.frexp(self.input_step)[0] != 0.5:
            raise ModelError(f"input step is {self.input_step}, expected a power of two")


class Scale(nn.Module):
    """A step of 2^k, whose k is trained: the nearest to `log2` within the bounds, which others' steps give."""

    def __init__(self, bounds: Callable[[], tuple[Tensor | float, Tensor | float]], channels: int = 0) -> None:
        super().__init__()
        self.log2 = nn.Parameter(torch.zeros(channels) if channels else torch.zeros(()))
        self._bounds = bounds

    def value(self) -> Tensor:
        """log2 of the step; the rounding's gradient passes straight through."""
        low, high = (torch.as_tensor(bound).detach() for bound in self._bounds())
        nearest = self.log2 + (torch.round(self.log2) - self.log2).detach()
        return torch.minimum(torch.maximum(nearest, low), high)


def _free() -> tuple[float, float]:
    return -float(LOG_STEP_LIMIT), float(LOG_STEP_LIMIT)


SOFTMAX = {AttentionRule.SOFTMAX_LOG: by_logarithm, AttentionRule.SOFTMAX_RECIPROCAL: by_reciprocal}
"""The operators of each softmax."""


class Layer(nn.Module):
    """Weight [N, C of a group, k, k], bias and steps of a convolution and what finishes it.

    `x`, `y`: of its input and of what its sums become by a shift, each output by its own; None of sums that stay so.
    """

    def __init__(
        self, shape: tuple[int, int, int, int], bits: int, quantiser: Quantiser, x: Log2, y: Log2 | None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(shape))
        self.bias = nn.Parameter(torch.zeros(shape[0]))
        # Symmetric, as LLT's are: the lowest code of two's complement is not used.
        self.high = (1 << bits - 1) - 1
        self.x, self.finished = x, y
        # Without a finisher there is no shift to bound, and all channels have one step.
        most = SHIFT_LIMIT if quantiser is Quantiser.LSQ else _LEVELS_SHIFT_MAX
        self.scale = Scale(_free) if y is None else Scale(lambda: (y() - x() - most, y() - x()), shape[0])
        self.levels = LearntLevels(-self.high, self.high) if quantiser is Quantiser.LLT else None

    def y(self) -> Tensor:
        """log2 of the step of what the sums become."""
        return self.sum_log2() if self.finished is None else self.finished()

    def sum_log2(self) -> Tensor:
        """log2 of the step of the sums, [N]."""
        return self.x() + self.scale.value()

    def shift(self) -> Tensor:
        """Places from the sums to the result, whole numbers [N]."""
        return (self.y() - self.sum_log2()).detach().round()

    def _step(self) -> Tensor:
        return torch.exp2(self.scale.value()).view(-1, 1, 1, 1)

    def fake_weight(self) -> Tensor:
        """Weights to their codes times their steps, with gradients."""
        values = self.weight[0].numel()
        if self.levels is None:
            return learnt_step(self.weight, self._step(), values, -self.high, self.high)
        found: Tensor = self.levels(self.weight, self._step(), values)
        return found

    def raw_codes(self) -> tuple[Tensor, Tensor]:
        """Weights and biases in their steps, not rounded."""
        return (self.weight / self._step()).detach(), (self.bias / torch.exp2(self.y())).detach()

    def codes(self, out: Number) -> tuple[Tensor, Tensor]:
        """Weights and biases as the integers they are, float64; biases of what finishes into `out`."""
        weight, bias = self.raw_codes()
        levels = self.levels
        weight = torch.round(weight).clamp(-self.high, self.high) if levels is None else levels.codes(weight)
        number = bias_number(out)
        return weight.double(), torch.round(bias).clamp(number.low, number.high).double()

    @torch.no_grad()
    def fit(self) -> None:
        """Every row's step, or that of all, so that no weight is clipped: the least 2^k."""
        largest = self.weight.abs().flatten(1).amax(dim=1)
        if self.finished is None:
            largest = largest.max()
        self.scale.log2.copy_(torch.where(largest > 0, torch.log2(largest / (self.high + 0.5)).ceil(), torch.zeros(())))


class Sums(PowerOp):
    """A convolution's sums of products."""

    kind = Kind.CONV
    out = INT32  # clamps nothing: the operator states the width that its weights need

    def __init__(self, layer: Layer, stride: int, depthwise: bool) -> None:
        super().__init__()
        self.layer = layer
        self.padding, self.stride = layer.weight.shape[-1] // 2, stride
        self.groups = len(layer.weight) if depthwise else 1
        self.log2 = layer.sum_log2

    def _sums(self, x: Tensor, weight: Tensor) -> Tensor:
        return convolve(x, weight, self.padding, self.stride, self.groups)

    def real(self, *x: Tensor) -> Tensor:
        """Sums in float32."""
        return self._sums(x[0], self.layer.fake_weight())

    def plain(self, *x: Tensor) -> Tensor:
        """Sums with the weights as they are."""
        return self._sums(x[0], self.layer.weight)

    def exact(self, *x: Tensor) -> Tensor:
        """Sums of whole numbers."""
        return self._sums(x[0], self.layer.codes(INT8)[0])

    def operator(self) -> Operator:
        """A conv, of sums as wide as any int8 makes them."""
        weight = whole(self.layer.codes(INT8)[0].permute(0, 2, 3, 1)).astype(np.int8)
        low, high = worst_case_sums(weight.reshape(len(weight), -1), INT8)
        out = Number(bits_needed(int(low.min()), int(high.max())))
        pads = (self.padding,) * 4
        number = Number(self.layer.high.bit_length() + 1)
        return Conv(weight, (self.stride, self.stride), pads, (1, 1), self.groups, number, out)


class Finish(PowerOp):
    """Sums and their bias to a code by a shift; of a format without a sign, a ReLU too."""

    kind = Kind.RESCALE
    rounds = True

    def __init__(self, layer: Layer, out: Number) -> None:
        super().__init__()
        self._layer = (layer,)  # not a submodule: it is that of the sums
        assert layer.finished is not None
        self.out, self.log2 = out, layer.finished

    @property
    def layer(self) -> Layer:
        """The layer whose sums it finishes."""
        return self._layer[0]

    def real(self, *x: Tensor) -> Tensor:
        """Sums and bias in float32."""
        number = bias_number(self.out)
        bias = self._layer[0].bias
        return x[0] + learnt_step(bias, self.step, len(bias), number.low, number.high)

    def plain(self, *x: Tensor) -> Tensor:
        """Sums and bias, and the ReLU."""
        y = x[0] + self._layer[0].bias
        return y if self.out.signed else F.relu(y)

    def exact(self, *x: Tensor) -> Tensor:
        """Sums over 2^shift, and the bias."""
        layer = self._layer[0]
        return x[0] / torch.exp2(layer.shift().double()) + layer.codes(self.out)[1]

    def operator(self) -> Operator:
        """A rescale by a shift."""
        layer = self._layer[0]
        bias = whole(layer.codes(self.out)[1]).astype(bias_number(self.out).dtype)
        return shifts(whole(layer.shift()), bias, self.out)


class Levels(PowerOp):
    """Sums and their bias to a code by LLT: thresholds of the sum."""

    kind = Kind.THRESHOLD

    def __init__(self, layer: Layer, out: Number) -> None:
        super().__init__()
        self._layer = (layer,)
        assert layer.finished is not None
        self.out, self.log2 = out, layer.finished
        self.levels = LearntLevels(out.low, out.high)

    @property
    def layer(self) -> Layer:
        """The layer whose sums it finishes."""
        return self._layer[0]

    def real(self, *x: Tensor) -> Tensor:
        """Codes times the step, of float32."""
        number = bias_number(self.out)
        bias = self._layer[0].bias
        v = x[0] + learnt_step(bias, self.step, len(bias), number.low, number.high)
        found: Tensor = self.levels(v, self.step, v.shape[1:].numel())
        return found

    def plain(self, *x: Tensor) -> Tensor:
        """Sums and bias, and the ReLU."""
        y = x[0] + self._layer[0].bias
        return y if self.out.signed else F.relu(y)

    def exact(self, *x: Tensor) -> Tensor:
        """Codes, by the fine grid."""
        layer = self._layer[0]
        return self.levels.codes(x[0] / torch.exp2(layer.shift().double()) + layer.codes(self.out)[1])

    def operator(self) -> Operator:
        """A threshold."""
        layer, positions = self._layer[0], self.levels.positions()
        shift, bias = whole(layer.shift()).tolist(), whole(layer.codes(self.out)[1]).tolist()
        limits = [limits_of(positions, s, b) for s, b in zip(shift, bias, strict=True)]
        held = np.array(limits, np.int64).clip(-(2**31), 2**31 - 1).astype(np.int32)
        levels = np.arange(self.out.low, self.out.high + 1).astype(self.out.dtype)
        return Threshold(held, np.ones(len(held), np.uint8), levels, self.out)


class Euler(PowerOp):
    """x + f / steps: a step of Euler's method."""

    kind = Kind.WEIGHTED_ADD
    rounds = True

    def __init__(self, channels: int, x: Log2, f: Log2, steps: int) -> None:
        super().__init__()
        self.channels, self.log2, self.f = channels, x, f
        self.bits = steps.bit_length() - 1
        self.out = Number(STATE_BITS)

    def real(self, *x: Tensor) -> Tensor:
        """The sum in float32."""
        return x[0] + x[1] * 2.0**-self.bits

    def _shift(self) -> int:
        return round(float(self.log2() - self.f())) + self.bits

    def exact(self, *x: Tensor) -> Tensor:
        """The sum of codes, those of f over 2^shift."""
        return x[0] + x[1] / (1 << self._shift())

    def operator(self) -> Operator:
        """A weighted_add."""
        shift = self._shift()
        pair = np.repeat(np.array([[1 << shift], [1]], np.int16), self.channels, axis=1)
        return WeightedAdd(pair, np.full(self.channels, shift, np.uint8), 9 + shift, self.out)


class Places(PowerOp):
    """The sum with a table of places, at the step of what it is added to."""

    kind = Kind.POSITION
    out = Number(9)

    def __init__(self, places: int, channels: int, log2: Log2, bits: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(places, channels))
        self.log2, self.number = log2, Number(bits)

    def _sum(self, x: Tensor, table: Tensor) -> Tensor:
        return x + table.view(1, *x.shape[1:])

    def real(self, *x: Tensor) -> Tensor:
        """The sum in float32."""
        step = self.step
        return self._sum(x[0], learnt_step(self.table, step, self.table.numel(), self.number.low, self.number.high))

    def plain(self, *x: Tensor) -> Tensor:
        """The sum with the table as it is."""
        return self._sum(x[0], self.table)

    def _codes(self) -> Tensor:
        return torch.round(self.table.detach() / self.step.detach()).clamp(self.number.low, self.number.high).double()

    def exact(self, *x: Tensor) -> Tensor:
        """The sum of codes."""
        return self._sum(x[0], self._codes())

    def operator(self) -> Operator:
        """A position."""
        return Position(whole(self._codes()).astype(np.int16), self.out)


class Joined(PowerOp):
    """The sum of two tensors of one step; in fake-quant it saturates late."""

    kind = Kind.ADD

    def __init__(self, log2: Log2) -> None:
        super().__init__()
        self.log2, self.out = log2, Number(STATE_BITS)

    def real(self, *x: Tensor) -> Tensor:
        """The sum."""
        return x[0] + x[1]

    exact = real

    def operator(self) -> Operator:
        """An add."""
        return Add(STATE_BITS + 1, self.out)


class Mean(PowerOp):
    """The mean over all places, whose step may be finer than that of what it averages."""

    kind = Kind.SUM_POOL
    rounds = True

    def __init__(self, side: int, x: Log2, y: Log2) -> None:
        super().__init__()
        self.side, self.x, self.log2 = side, x, y
        self.out = Number(STATE_BITS)

    def real(self, *x: Tensor) -> Tensor:
        """In float32."""
        return F.avg_pool2d(x[0].permute(0, 3, 1, 2), self.side).permute(0, 2, 3, 1)

    def _divisor(self) -> int:
        return 1 << round(float(self.log2() - self.x())) + 2 * (self.side.bit_length() - 1)

    def exact(self, *x: Tensor) -> Tensor:
        """The sum of codes, divided by a power of two."""
        return x[0].sum(dim=(1, 2), keepdim=True) / self._divisor()

    def operator(self) -> Operator:
        """A sum_pool."""
        window = self.side, self.side
        bits = bits_needed(self.side**2 * -128, self.side**2 * 127)
        return SumPool(window, window, self._divisor(), Division.HALF_UP, False, bits, self.out)


class Scores(PowerOp):
    """Sums and a bias in their own step, neither rounded nor saturated."""

    kind = Kind.MULTIPLY_ADD
    out = INT32

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self._layer = (layer,)
        self.log2 = layer.sum_log2

    def real(self, *x: Tensor) -> Tensor:
        """In float32."""
        return x[0] + rounded(self._layer[0].bias / self.step.detach(), 1.0, INT32) * self.step.detach()

    def plain(self, *x: Tensor) -> Tensor:
        """Sums and bias."""
        return x[0] + self._layer[0].bias

    def _codes(self) -> Tensor:
        return torch.round(self._layer[0].bias / self.step).detach().double().clamp(INT32.low, INT32.high)

    def exact(self, *x: Tensor) -> Tensor:
        """In whole numbers."""
        return x[0] + self._codes()

    def operator(self) -> Operator:
        """A multiply_add by 1."""
        bias = whole(self._codes()).astype(np.int32)
        return MultiplyAdd(np.ones(len(bias), np.int16), bias, np.zeros(len(bias), np.uint8), 33, INT32)


class Flat(PowerOp):
    """The scores without places."""

    kind = Kind.FLATTEN
    out = INT32

    def __init__(self, log2: Log2) -> None:
        super().__init__()
        self.log2 = log2

    def real(self, *x: Tensor) -> Tensor:
        """The same values."""
        return x[0].flatten(1)

    exact = real

    def operator(self) -> Operator:
        """A flatten."""
        return Flatten((0, 1, 2))


class OdeNetwork(OpNetwork):
    """The quantised network; `quantise_ode` makes one of a trained float one."""

    def __init__(self, config: OdeConfig, formats: OdeFormat) -> None:
        super().__init__(config.size, config.colours, formats.input_step)
        self.config, self.formats = config, formats
        self.layers: dict[str, Layer] = {}
        self.scales = nn.ModuleDict()
        self._build()

    # --- what it is made of ---

    @property
    def _number(self) -> Number:
        return Number(self.formats.activation_bits)

    def _scale(self, name: str, bounds: Callable[[], tuple[Tensor | float, Tensor | float]] = _free) -> Log2:
        scale = Scale(bounds)
        self.scales[name] = scale
        return scale.value

    def _ends(self, layer: Layer, out: Number, state: bool) -> PowerOp:
        if state or self.formats.quantiser is Quantiser.LSQ:
            return Finish(layer, out)
        return Levels(layer, out)

    def _layer(self, name: str, inputs: int, outputs: int, kernel: int, x: Log2, y: Log2 | None, state: bool) -> Layer:
        quantiser = Quantiser.LSQ if state else self.formats.quantiser
        bits = STATE_BITS if state else self.formats.weight_bits
        layer = Layer((outputs, inputs, kernel, kernel), bits, quantiser, x, y)
        self.layers[name] = layer
        return layer

    def _convolution(
        self,
        tap: str,
        source: str,
        shape: tuple[int, int, int],
        steps: tuple[Log2, Log2],
        *,
        relu: bool = False,
        stride: int = 1,
        depthwise: bool = False,
        state: bool = False,
    ) -> str:
        """A convolution and what finishes it; `shape`: input and output channels, kernel; `state`: of 8 bits."""
        inputs, outputs, kernel = shape
        layer = self._layer(tap, 1 if depthwise else inputs, outputs, kernel, *steps, state)
        number = Number(STATE_BITS) if state else self._number
        out = Number(min(number.bits, 7), Sign.UNSIGNED) if relu else number
        self.add(f"{tap}.sums", Sums(layer, stride, depthwise), source)
        return self.add(tap, self._ends(layer, out, state), f"{tap}.sums")

    def _build(self) -> None:
        config = self.config
        log2_input = float(np.log2(self.input_step))
        channels = config.channels
        scale: Log2 = lambda: torch.tensor(log2_input)  # noqa: E731  # no parameter: the data's
        state = self._scale("x")
        shape = config.colours, channels[0], 3
        x = self._convolution("stem", INPUT, shape, (scale, state), relu=True, stride=config.stem_stride, state=True)
        for stage, (width, following) in enumerate(pairwise(channels)):
            number = str(stage or "")
            x = self._build_ode(f"ode{number}", x, width, state)
            after = self._scale(f"x{stage + 1}")
            x = self._convolution(
                f"down{number}", x, (width, following, 3), (state, after), relu=True, stride=2, state=True
            )
            state = after
        self._build_attention(x, state)

    def _build_ode(self, name: str, x: str, width: int, state: Log2) -> str:
        """All steps of a block: the operators of the first, at the taps of each."""
        bits = self.config.steps.bit_length() - 1
        d1, p1, d2 = (self._scale(f"{name}_{part}") for part in ("d1", "p1", "d2"))
        # What f is moved to the right by, to be added: 0 to 14 places.
        f = self._scale(f"{name}_f", lambda: (state() + bits - _EULER_SHIFT_MAX, state() + bits))
        depthwise, pointwise = (width, width, 3), (width, width, 1)
        first = f"{name}.step0"
        at = self._convolution(f"{first}.d1", x, depthwise, (state, d1), depthwise=True)
        at = self._convolution(f"{first}.p1", at, pointwise, (d1, p1), relu=True)
        at = self._convolution(f"{first}.d2", at, depthwise, (p1, d2), depthwise=True)
        at = self._convolution(f"{first}.p2", at, pointwise, (d2, f))
        at = self.add(f"{first}.x", Euler(width, state, f, self.config.steps), x, at)
        part = [tap for tap in self.taps if tap.startswith(f"{first}.")]
        for step in range(1, self.config.steps):
            for tap in part:
                own = f"{name}.step{step}." + tap.removeprefix(f"{first}.")
                inputs = (
                    at if read == x else f"{name}.step{step}." + read.removeprefix(f"{first}.")
                    for read in self.inputs(tap)
                )
                self.add(own, self.op(tap), *inputs)
            at = f"{name}.step{step}.x"
        return at

    def _build_attention(self, x: str, state: Log2) -> None:
        config, channels, bits = self.config, self.config.channels[-1], self.formats.activation_bits
        k, v = (self._scale(f"mhsa_{part}") for part in ("k", "v"))
        limits = (-math.inf, math.inf) if config.attention is AttentionRule.RELU else SCORE_LOG2
        q = self._scale("mhsa_q", lambda: (limits[0] - SHIFT_LIMIT - k(), limits[1] - k()))
        pointwise, places = (channels, channels, 1), config.places.bit_length() - 1
        for name, scale in (("q", q), ("k", k), ("v", v)):
            self._convolution(f"mhsa.{name}", x, pointwise, (state, scale))
        self.add("mhsa.k_there", Places(config.places, channels, k, bits), "mhsa.k")
        self.add("mhsa.key", Shifted(channels, k, k, 0, self._number), "mhsa.k_there")
        heads, int8s = config.heads, (INT8, INT8)
        self.add("mhsa.products", Product(heads, channels // heads, True, (q, k), int8s), "mhsa.q", "mhsa.key")
        several = heads * config.places
        if config.attention is AttentionRule.RELU:
            a = self._scale("mhsa_attention", lambda: (q() + k(), q() + k() + SHIFT_LIMIT))
            weights = Number(min(bits, 7), Sign.UNSIGNED)
            self.add("mhsa.attention", Shifted(several, lambda: q() + k(), a, 0, weights), "mhsa.products")
        else:
            # Of 2^-5 to 2^-3, which the steps of q and k allow.
            scores = self._scale(
                "mhsa_scores", lambda: (torch.maximum(q() + k(), torch.tensor(SCORE_LOG2[0])), SCORE_LOG2[1])
            )
            self.add("mhsa.scores", Shifted(several, lambda: q() + k(), scores, 0, INT8), "mhsa.products")
            for name, op, inputs in SOFTMAX[config.attention](config.side, heads, scores):
                self.add(f"mhsa.{name}", op, *(f"mhsa.{read}" for read in inputs))
                a, places = op.log2, 0  # the last one's; no division by T is left
        self.add("mhsa.sums", Product(heads, config.places, False, (a, v), int8s), "mhsa.attention", "mhsa.v")
        y = self._scale("mhsa_heads", lambda: (a() + v() - places, a() + v() - places + SHIFT_LIMIT))
        self.add("mhsa.heads", Shifted(channels, lambda: a() + v(), y, places, self._number), "mhsa.sums")
        self._convolution("mhsa.o", "mhsa.heads", pointwise, (y, state))
        self.add("mhsa.x", Joined(state), x, "mhsa.o")
        bits_of_places = config.places.bit_length() - 1
        pool = self._scale("pool", lambda: (state() - bits_of_places, state()))
        self.add("pool", Mean(config.side, state, pool), "mhsa.x")
        # One step for all classes, so that the greatest score is the greatest value.
        layer = self._layer("fc", channels, config.classes, 1, pool, None, True)
        self.add("fc.sums", Sums(layer, 1, False), "pool")
        self.add("fc", Scores(layer), "fc.sums")
        self.add("scores", Flat(layer.sum_log2), "fc")

    def state_taps(self) -> tuple[str, ...]:
        """The taps of x after each step, block by block."""
        return tuple(tap for tap in self.taps if isinstance(self.op(tap), Euler))

    def with_steps(self, steps: int) -> "OdeNetwork":
        """The same parameters in a network of another number of steps. ModelError where that is no power of two."""
        found = OdeNetwork(msgspec.structs.replace(self.config, steps=steps), self.formats)
        found.load_state_dict(self.state_dict())
        return found.eval()

    def stored(self) -> Iterator[tuple[str, Tensor, Tensor, int]]:
        """Every layer's weights and biases: the tensor's name, values in steps, codes, and the highest of these."""
        ends = {id(op.layer): op.out for op in self.ops.values() if isinstance(op, Finish | Levels)}
        for name, layer in self.layers.items():
            out = ends.get(id(layer))
            raw, codes = layer.raw_codes(), layer.codes(INT8 if out is None else out)
            yield f"{name}.weight", raw[0], codes[0], layer.high
            if out is not None:
                yield f"{name}.bias", raw[1], codes[1], bias_number(out).high

    # --- from the float network ---

    def float_taps(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Every tap's real values with nothing quantised, float32; the input first."""
        values = {INPUT: x.view(-1, self.size, self.size, self.colours)}
        yield INPUT, values[INPUT]
        for tap in self.taps:
            op = self.op(tap)
            assert isinstance(op, PowerOp)
            values[tap] = op.plain(*(values[name] for name in self.inputs(tap)))
            yield tap, values[tap]

    @torch.no_grad()
    def set_steps(self, magnitudes: dict[str, float]) -> None:
        """Every learnt step from the magnitude that its tensors are to hold, by tap; weights' from the weights.

        A step is the least 2^k that holds it; of tensors that share one, the largest decides.
        """
        wanted: dict[str, float] = {}
        owner = {id(scale): name for name, scale in self.scales.items()}
        for tap in self.taps:
            op = self.op(tap)
            if isinstance(op, PowerOp) and (op.rounds or isinstance(op, Levels | Joined)):
                name = owner.get(id(getattr(op.log2, "__self__", None)))  # of `Scale.value`, bound
                if name is None:
                    continue  # its step is not learnt
                least = magnitudes[tap] / (op.out.high + 0.5)
                wanted[name] = max(wanted.get(name, 0.0), least)
        for name, least in wanted.items():
            scale = self.scales[name]
            assert isinstance(scale, Scale)
            scale.log2.fill_(float(np.ceil(np.log2(least))) if least > 0 else 0.0)
        for layer in self.layers.values():
            layer.fit()


@torch.no_grad()
def quantise_ode(network: NeuralOde, formats: OdeFormat) -> OdeNetwork:
    """The same function as `network` in eval mode, but for float32 rounding, before any step is chosen."""
    # What is drawn from torch's generator is overwritten: nobody else should notice.
    with torch.random.fork_rng(devices=[]):
        found = OdeNetwork(network.config, formats).to(network.classifier.weight)

    def put(name: str, weight: Tensor, bias: Tensor) -> None:
        layer = found.layers[name]
        layer.weight.copy_(weight.view_as(layer.weight))
        layer.bias.copy_(bias)

    put("stem", *network.stem.folded())
    for stage, (ode, down) in enumerate(zip(network.odes, network.downs, strict=True)):
        number = str(stage or "")
        assert isinstance(ode, OdeBlock)
        assert isinstance(down, ConvNorm)
        for part in ("d1", "p1", "d2", "p2"):
            put(f"ode{number}.step0.{part}", *getattr(ode, part).folded())
        put(f"down{number}", *down.folded())
    mhsa: Attention = network.mhsa
    each = network.config.channels[-1] // network.config.heads
    put("mhsa.q", mhsa.q.weight / each**0.5, _bias(mhsa.q) / each**0.5)
    put("mhsa.k", mhsa.k.weight, _bias(mhsa.k))
    put("mhsa.v", mhsa.v.weight, _bias(mhsa.v))
    put("mhsa.o", *mhsa.o.folded())
    places = found.op("mhsa.k_there")
    assert isinstance(places, Places)
    places.table.copy_(mhsa.position)
    put("fc", network.classifier.weight, network.classifier.bias)
    return found.eval()


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias
