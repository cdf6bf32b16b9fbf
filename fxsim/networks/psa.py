"""Point-wise self-attention (PSA): a learnable activation, one function a channel, directly and sampled on a grid.

A channel with centres c_j, widths q_j, values v_j (j = 1 .. h), output weight w and bias b computes

    a_j(x) = softmax_j(-(x - c_j)^2 / (q_j^2 + eps))
    y = w * sum_j a_j(x) v_j x + b,   plus x where it is residual
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from fxsim.errors import ModelError
from fxsim.networks.lerp import lerp

Initialisation = Literal["distilled", "scratch"]
"""The start of PSA: to be distilled from a teacher, or to be trained without one."""


class PSA(nn.Module):
    """PSA computed directly: x [..., C] to [..., C].

    Its intermediate values are `centres` times as many as those of x. Parameters: centres, widths, values [C, h];
    output_weight, output_bias [C]. Widths start at 1, the output weight at 1, the output bias at 0. `initialisation`:

    - distilled: values ~ N(0, 4^2), centres ~ U(-1, 1);
    - scratch: centres ~ U(-3, 3); values ~ N(0, 2 / (1 + h)) (the variance) inside a residual, else uniform of the same
      variance, +-sqrt(6 / (1 + h)), as Xavier's for 1 input and h outputs.

    Drawn from torch's global generator. ModelError where a number makes no sense or x has other than C channels.
    """

    def __init__(
        self,
        channels: int,
        centres: int = 8,
        eps: float = 1.0,
        residual: bool = True,
        initialisation: Initialisation = "distilled",
    ) -> None:
        super().__init__()
        if channels < 1 or centres < 1:
            raise ModelError(f"PSA of {channels} channels with {centres} centres: expected at least 1 of each")
        if not (math.isfinite(eps) and eps > 0):
            raise ModelError(f"eps of PSA is {eps}, expected a positive number")
        if initialisation not in ("distilled", "scratch"):
            raise ModelError(f"initialisation of PSA is {initialisation!r}, expected 'distilled' or 'scratch'")
        self.channels = channels
        self.eps = float(eps)
        self.residual = residual
        self.centres = nn.Parameter(torch.empty(channels, centres))
        self.widths = nn.Parameter(torch.ones(channels, centres))
        self.values = nn.Parameter(torch.empty(channels, centres))
        self.output_weight = nn.Parameter(torch.ones(channels))
        self.output_bias = nn.Parameter(torch.zeros(channels))
        # Shapes alone have nothing to draw; asked to, torch would import its compiler, which takes seconds.
        if not self.centres.is_meta:
            self._draw(initialisation)

    def _draw(self, initialisation: Initialisation) -> None:
        reach = 1.0 if initialisation == "distilled" else 3.0
        nn.init.uniform_(self.centres, -reach, reach)
        variance = 2 / (1 + self.centres.shape[1])
        if initialisation == "distilled":
            nn.init.normal_(self.values, std=4.0)
        elif self.residual:
            nn.init.normal_(self.values, std=math.sqrt(variance))
        else:
            nn.init.uniform_(self.values, -math.sqrt(3 * variance), math.sqrt(3 * variance))

    def forward(self, x: Tensor) -> Tensor:
        """PSA of x [..., C], whatever its other dimensions."""
        return self.direct(x)

    def direct(self, x: Tensor) -> Tensor:
        """The formula itself, on x [..., C]."""
        if x.ndim == 0 or x.shape[-1] != self.channels:
            raise ModelError(
                f"input of shape {tuple(x.shape)} for PSA of {self.channels} channels: the last must agree"
            )
        # The centres come first, so that every operation runs along whole rows of x, however few channels there are.
        centres, widths, values = (
            parameter.T.contiguous().view(-1, *[1] * (x.ndim - 1), self.channels)
            for parameter in (self.centres, self.widths, self.values)
        )
        scores = (x - centres).square() * (-1 / (widths.square() + self.eps))
        attended = (torch.softmax(scores, dim=0) * values).sum(0)
        y = self.output_weight * (attended * x) + self.output_bias
        return y + x if self.residual else y

    def extra_repr(self) -> str:
        """The settings that `print` shows of it."""
        return f"channels={self.channels}, centres={self.centres.shape[1]}, eps={self.eps}, residual={self.residual}"


class LerpPSA(PSA):
    """PSA sampled at `points` points of [-limit, limit] and interpolated linearly (`lerp`): x [..., C] to [..., C].

    The grid is computed anew at every call, and gradients go through it to every parameter of PSA, which are the
    parameters here too. The residual is in the grid: linear interpolation reproduces x, up to rounding, and one pass
    over the data is saved. `recompute`: see `lerp`.
    """

    def __init__(
        self,
        channels: int,
        centres: int = 8,
        eps: float = 1.0,
        residual: bool = True,
        points: int = 64,
        limit: float = 4.0,
        initialisation: Initialisation = "distilled",
        recompute: bool = True,
    ) -> None:
        super().__init__(channels, centres, eps, residual, initialisation)
        if points < 2:
            raise ModelError(f"LERP-PSA on a grid of {points} points: expected at least 2")
        if not (math.isfinite(limit) and limit > 0):
            raise ModelError(f"the limit of LERP-PSA's grid is {limit}, expected a positive number")
        self.points = points
        self.limit = float(limit)
        self.recompute = recompute

    def forward(self, x: Tensor) -> Tensor:
        """The interpolated PSA of x [..., C]."""
        return lerp(x, self.grid(), self.limit, recompute=self.recompute)

    def grid(self) -> Tensor:
        """PSA at the grid's points, residual included: [C, points]."""
        like = self.centres
        at = torch.linspace(-self.limit, self.limit, self.points, dtype=like.dtype, device=like.device)
        return self.direct(at.unsqueeze(1).expand(-1, self.channels)).T

    def extra_repr(self) -> str:
        """The settings that `print` shows of it."""
        return f"{super().extra_repr()}, points={self.points}, limit={self.limit}, recompute={self.recompute}"
