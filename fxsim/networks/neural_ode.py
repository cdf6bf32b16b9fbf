"""A Transformer with a Neural ODE as its backbone, in float: stem, ODE blocks by Euler's method, attention, classes.

    stem      conv 3 x 3, batch norm, ReLU; stride `stem_stride`
    ode       x <- x + f(x) / steps, `steps` times with the same f: depthwise 3 x 3, pointwise, ReLU, depthwise 3 x 3,
              pointwise, each with a batch norm (a depthwise separable convolution twice)
    down      conv 3 x 3 of stride 2, batch norm, ReLU; then the next stage's ode, or behind the last one
    mhsa      x + o(y), y = relu(q (k + r)^T / sqrt(d)) v / T in heads of d channels: q, k, v, o pointwise, r a table of
              the T places; ReLU in place of softmax, which leaves sums of values that no division follows but by T.
              Or with softmax: y = softmax(q (k + r)^T / sqrt(d)) v
    scores    of the mean over all places

A network of the kind of arXiv 2401.02721; whose exact layers are not public.
"""

import math
from enum import StrEnum
from itertools import pairwise
from typing import Annotated

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own convention
from msgspec import Meta, Struct
from torch import Tensor, nn

from fxsim.contract import DIMENSION_MAX
from fxsim.errors import ModelError


class AttentionRule(StrEnum):
    """The weights that attention gives places: ReLU of the scores over T, or their softmax.

    In integers softmax divides by a difference of logarithms, or by a reciprocal (`fxsim.networks.softmax`).
    """

    RELU = "relu"
    SOFTMAX_LOG = "softmax-log"
    SOFTMAX_RECIPROCAL = "softmax-reciprocal"


RECIPROCAL_PLACES_MAX = 256
"""Most places of a softmax by a reciprocal: the table of sums has 256 entries a place, and 65,536 at most."""

Channels = Annotated[int, Meta(ge=1, le=1024)]
Steps = Annotated[int, Meta(ge=1, le=64)]
Heads = Annotated[int, Meta(ge=1, le=64)]
StemStride = Annotated[int, Meta(ge=1, le=3)]


class OdeConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Dimensions of a network for pictures of `size` x `size` pixels of `colours`.

    `channels`: of each stage's ODE block, and last of attention; between two of them a convolution of stride 2.
    `steps`: of Euler's method, a power of two, so that a step is a shift. ModelError where the numbers do not fit.
    """

    size: Annotated[int, Meta(ge=2, le=256)]
    colours: Annotated[int, Meta(ge=1, le=3)]
    channels: Annotated[tuple[Channels, ...], Meta(min_length=2, max_length=6)]
    classes: Annotated[int, Meta(ge=1, le=1024)]
    steps: Steps = 4
    heads: Heads = 4
    stem_stride: StemStride = 1
    attention: AttentionRule = AttentionRule.RELU

    def __post_init__(self) -> None:
        if self.steps & (self.steps - 1):
            raise ModelError(f"{self.steps} steps of Euler's method, expected a power of two")
        if self.channels[-1] % self.heads:
            raise ModelError(f"{self.channels[-1]} channels cannot have {self.heads} heads")
        halvings = len(self.channels) - 1
        if self.size % (self.stem_stride << halvings):
            raise ModelError(
                f"pictures of {self.size} pixels cannot be divided by a stem of stride {self.stem_stride} and halved "
                f"{halvings} times"
            )
        if self.side & (self.side - 1):
            raise ModelError(f"attention has {self.side} x {self.side} places, expected a power of two")
        values = self.heads * self.places**2
        if self.attention is AttentionRule.SOFTMAX_RECIPROCAL and (
            self.places > RECIPROCAL_PLACES_MAX or values > DIMENSION_MAX
        ):
            raise ModelError(
                f"attention '{self.attention}' has {self.places:,} places and {values:,} weights, expected at most "
                f"{RECIPROCAL_PLACES_MAX} and {DIMENSION_MAX:,}"
            )

    @property
    def side(self) -> int:
        """Rows, and columns, of the places that attention has."""
        return self.size // self.stem_stride >> len(self.channels) - 1

    @property
    def places(self) -> int:
        """Places that attention has."""
        return self.side**2


class ConvNorm(nn.Module):
    """A convolution without a bias and its batch norm, on [n, channel, row, column]."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """The norm of the sums."""
        y: Tensor = self.norm(self.conv(x))
        return y

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of one convolution that does the same in eval mode."""
        norm = self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        return self.conv.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale


class OdeBlock(nn.Module):
    """Euler's method on x' = f(x) from 0 to 1, f two depthwise separable convolutions."""

    def __init__(self, channels: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.d1 = ConvNorm(channels, channels, 3, groups=channels)
        self.p1 = ConvNorm(channels, channels, 1)
        self.d2 = ConvNorm(channels, channels, 3, groups=channels)
        self.p2 = ConvNorm(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The value after the last step."""
        for _ in range(self.steps):
            x = x + self.p2(self.d2(F.relu(self.p1(self.d1(x))))) / self.steps
        return x


class Attention(nn.Module):
    """Attention over all places, with a table of places added to the keys, and what it is added to."""

    def __init__(self, channels: int, heads: int, places: int, rule: AttentionRule) -> None:
        super().__init__()
        self.heads, self.rule = heads, rule
        self.q, self.k, self.v = (nn.Conv2d(channels, channels, 1) for _ in range(3))
        self.o = ConvNorm(channels, channels, 1)
        self.position = nn.Parameter(torch.randn(places, channels) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        """The sum, of [n, channel, row, column]."""
        n, channels, rows, columns = x.shape
        q, k, v = (
            layer(x).flatten(2).transpose(1, 2) + table
            for layer, table in ((self.q, 0.0), (self.k, self.position), (self.v, 0.0))
        )
        each = channels // self.heads
        q, k, v = (part.reshape(n, rows * columns, self.heads, each).transpose(1, 2) for part in (q, k, v))
        scores = q @ k.transpose(2, 3) / math.sqrt(each)
        relu = self.rule is AttentionRule.RELU
        weights = F.relu(scores) / (rows * columns) if relu else F.softmax(scores, dim=3)
        y = (weights @ v).transpose(1, 2).reshape(n, rows * columns, channels)
        found: Tensor = x + self.o(y.transpose(1, 2).reshape(n, channels, rows, columns))
        return found


class NeuralOde(nn.Module):
    """The float network; parameters are drawn from torch's generator, which the caller seeds."""

    def __init__(self, config: OdeConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        self.stem = ConvNorm(config.colours, channels[0], 3, config.stem_stride)
        self.odes = nn.ModuleList(OdeBlock(width, config.steps) for width in channels[:-1])
        self.downs = nn.ModuleList(ConvNorm(*pair, 3, 2) for pair in pairwise(channels))
        self.mhsa = Attention(channels[-1], config.heads, config.places, config.attention)
        self.classifier = nn.Linear(channels[-1], config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores [n, classes] of tokens, float32 [n, size * size, colours]."""
        size = self.config.size
        x = x.view(-1, size, size, self.config.colours).permute(0, 3, 1, 2)
        x = F.relu(self.stem(x))
        for ode, down in zip(self.odes, self.downs, strict=True):
            x = F.relu(down(ode(x)))
        scores: Tensor = self.classifier(self.mhsa(x).mean(dim=(2, 3)))
        return scores
