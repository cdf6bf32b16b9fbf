"""Linear B-splines: a learnable activation, one function a channel (DeepSplines, Bohra et al. 2020)."""

import math

import torch
from torch import Tensor, nn

from fxsim.errors import ModelError
from fxsim.networks.lerp import lerp


class BSpline(nn.Module):
    """A linear spline with `knots` even knots on [-limit, limit], linear outside: x [..., C] to [..., C].

    Linear B-splines are hat functions, so that a coefficient is the function's value at its knot: `coefficients`
    [C, knots]. They start as the leaky ReLU of slope 0.01. ModelError where a number makes no sense or x has other than
    C channels.
    """

    def __init__(self, channels: int, knots: int = 65, limit: float = 4.0) -> None:
        super().__init__()
        if channels < 1 or knots < 3:
            raise ModelError(f"B-spline of {channels} channels with {knots} knots: expected at least 1 and at least 3")
        if not (math.isfinite(limit) and limit > 0):
            raise ModelError(f"the limit of a B-spline's knots is {limit}, expected a positive number")
        self.limit = float(limit)
        start = nn.functional.leaky_relu(torch.linspace(-limit, limit, knots), 0.01)
        self.coefficients = nn.Parameter(start.repeat(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """The spline of x [..., C]."""
        return lerp(x, self.coefficients, self.limit)

    def tv2(self) -> Tensor:
        """Second-order total variation, summed over channels, a scalar.

        Of a piecewise linear function it is the sum of the magnitudes of the changes of slope at the knots:
        sum_k |c_{k+1} - 2 c_k + c_{k-1}| / T over the inner knots, T = 2 limit / (knots - 1) their distance.
        """
        spacing = 2 * self.limit / (self.coefficients.shape[1] - 1)
        return self.coefficients.diff(n=2, dim=1).abs().sum() / spacing

    def extra_repr(self) -> str:
        """The settings that `print` shows of it."""
        channels, knots = self.coefficients.shape
        return f"channels={channels}, knots={knots}, limit={self.limit}"
