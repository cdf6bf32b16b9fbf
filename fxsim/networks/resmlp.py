"""The float ResMLP, with any of the activations: what is trained, before anything is quantised.

The network (Singh and Bazargan, ACM TRETS 18(2):21, 2025): embedding, then blocks of

    token mixer:  x + affine(linear over tokens(batch norm(x)))
    mlp:          x + affine(linear_2(act_2(linear_1(act_1(batch norm(x))))))        (ReLU: no act_1)

then batch norm, average over tokens, classifier. Batch norms are over channels; statistics over images and tokens.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import torch
from msgspec import Meta, Struct
from torch import Tensor, nn

from fxsim.errors import ModelError
from fxsim.families.settings import Blocks, Dimension
from fxsim.networks.b_spline import BSpline
from fxsim.networks.psa import PSA, LerpPSA

AFFINE_INITIAL = 0.1
"""Weight at first of the affine that ends a residual branch: at first a block is nearly the identity."""

Centres = Annotated[int, Meta(ge=1, le=1024)]
GridPoints = Annotated[int, Meta(ge=2, le=65_536)]
GridLimit = Annotated[float, Meta(ge=1e-6, le=1e6)]

PARAMETERS_MAX = 1 << 28
"""Most parameters of a network, about: in float32 they fill the largest network file that is read."""


class Activation(StrEnum):
    """The one-dimensional function of every channel in an mlp."""

    RELU = "relu"
    PSA = "psa"
    LERP_PSA = "lerp-psa"
    B_SPLINE = "b-spline"


class NetworkConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Dimensions and activation of a ResMLP.

    `centres`: of a PSA. `points` and `limit`: LERP-PSA's grid, so many points on [-limit, limit]; a B-spline has
    `points` + 1 knots there.
    """

    tokens: Dimension
    values: Dimension
    channels: Dimension
    hidden: Dimension
    blocks: Blocks
    classes: Dimension
    activation: Activation
    centres: Centres = 8
    points: GridPoints = 64
    limit: GridLimit = 4.0

    def __post_init__(self) -> None:
        if self.tokens < 1 or self.tokens & (self.tokens - 1):
            raise ModelError(f"network has {self.tokens} tokens, expected a power of two")
        if (parameters := self._count_parameters()) > PARAMETERS_MAX:
            raise ModelError(f"network has about {parameters:,} parameters, expected at most {PARAMETERS_MAX:,}")

    def _count_parameters(self) -> int:
        """Parameters, and points that activations are sampled at; what grows with one dimension alone is left out."""
        per_channel = {
            Activation.RELU: 0,
            Activation.PSA: 3 * self.centres,
            Activation.LERP_PSA: 3 * self.centres + self.points,
            Activation.B_SPLINE: self.points,
        }[self.activation]
        block = self.tokens**2 + 2 * self.channels * self.hidden + per_channel * (self.channels + self.hidden)
        return self.channels * (self.values + self.classes) + self.blocks * block

    def build_activation(self, channels: int) -> nn.Module:
        """A fresh activation for so many channels, drawn from torch's generator."""
        match self.activation:
            case Activation.RELU:
                return nn.ReLU()
            case Activation.PSA:
                return PSA(channels, self.centres)
            case Activation.LERP_PSA:
                return LerpPSA(channels, self.centres, points=self.points, limit=self.limit)
            case Activation.B_SPLINE:
                return BSpline(channels, self.points + 1, self.limit)


class Affine(nn.Module):
    """y[..., c] = x[..., c] * weight[c] + bias[c]."""

    def __init__(self, channels: int, initial: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), initial))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """`x` [..., C]; the same shape."""
        return x * self.weight + self.bias


class ChannelNorm(nn.BatchNorm1d):
    """Batch norm of [image, token, channel] over channels."""

    def forward(self, x: Tensor) -> Tensor:
        """`x` [n, t, c]; the same shape."""
        y: Tensor = super().forward(x.reshape(-1, x.shape[-1]))
        return y.view(x.shape)


class TokenMixer(nn.Module):
    """x + affine(linear over tokens(norm(x)))."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.norm = ChannelNorm(config.channels)
        self.linear = nn.Linear(config.tokens, config.tokens)
        self.affine = Affine(config.channels, AFFINE_INITIAL)

    def forward(self, x: Tensor) -> Tensor:
        """`x` [n, t, c]; the same shape."""
        mixed = self.linear(self.norm(x).transpose(1, 2)).transpose(1, 2)
        y: Tensor = x + self.affine(mixed)
        return y


class Mlp(nn.Module):
    """x + affine(linear_2(act_2(linear_1(act_1(norm(x))))))."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.norm = ChannelNorm(config.channels)
        relu = config.activation is Activation.RELU
        self.act_1 = nn.Identity() if relu else config.build_activation(config.channels)
        self.linear_1 = nn.Linear(config.channels, config.hidden)
        self.act_2 = config.build_activation(config.hidden)
        self.linear_2 = nn.Linear(config.hidden, config.channels)
        self.affine = Affine(config.channels, AFFINE_INITIAL)

    def forward(self, x: Tensor) -> Tensor:
        """`x` [n, t, c]; the same shape."""
        hidden = self.linear_1(self.act_1(self.norm(x)))
        y: Tensor = x + self.affine(self.linear_2(self.act_2(hidden)))
        return y


class Block(nn.Module):
    """A token mixer and an mlp."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.token_mixer = TokenMixer(config)
        self.mlp = Mlp(config)

    def forward(self, x: Tensor) -> Tensor:
        """`x` [n, t, c]; the same shape."""
        y: Tensor = self.mlp(self.token_mixer(x))
        return y


class ResMLP(nn.Module):
    """A ResMLP; parameters are drawn from torch's generator, which the caller seeds."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(config.values, config.channels)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.norm = ChannelNorm(config.channels)
        self.classifier = nn.Linear(config.channels, config.classes)

    def stages(self, x: Tensor) -> Iterator[Tensor]:
        """Activations [n, t, c] of tokens `x` [n, t, values]: after the embedding, then after each block."""
        y = self.embed(x)
        yield y
        for block in self.blocks:
            y = block(y)
            yield y

    def head(self, y: Tensor) -> Tensor:
        """Logits [n, classes] from the last block's activations [n, t, c]."""
        logits: Tensor = self.classifier(self.norm(y).mean(dim=1))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Logits [n, classes] of tokens `x`, float [n, t, values]."""
        *_, y = self.stages(x)
        return self.head(y)

    def tv2(self) -> Tensor:
        """Second-order total variation of all B-splines together; 0 where there are none."""
        splines = [module.tv2() for module in self.modules() if isinstance(module, BSpline)]
        return torch.stack(splines).sum() if splines else torch.zeros(())
