"""One-dimensional fits: how well each learnable activation alone follows a given function, and with how many numbers.

The functions are those of the PSA-Compress artefact (Singh and Bazargan, ACM TRETS 18(2):21, 2025), on [-4, 4], scaled
to mean 0 and standard deviation 1. An activation has one channel; PSA is without its residual, so that the function is
its own alone, and starts as for training without a teacher.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fxsim.errors import ModelError
from fxsim.networks.b_spline import BSpline
from fxsim.networks.psa import PSA, LerpPSA
from fxsim.networks.resmlp import Activation

LIMIT = 4.0
"""Functions are fitted, and grids and knots lie, on [-LIMIT, LIMIT]."""

ACTIVATIONS = (Activation.PSA, Activation.LERP_PSA, Activation.B_SPLINE)
"""The activations that can be fitted: those with parameters."""

TRAINING_POINTS = 801
"""Evenly spaced, both ends included: what a fit sees."""
MEASURED_POINTS = 8001
"""Evenly spaced, both ends included: where its errors, the function's mean and its deviation are measured."""

_LEARNING_RATE = 0.05
"""Adam's at first; it falls to 0 as a cosine. Of 0.001 to 0.1, the best or nearly so for every activation."""

_Float64 = npt.NDArray[np.float64]


class Target(StrEnum):
    """A function to fit."""

    X_SIN_X = "x-sin-x"
    """-x sin x."""
    CHIRP = "chirp"
    """exp(-x / 3) + 1.4 sin(s / 0.3), s = softplus(x) with beta 0.4, log(1 + exp(0.4 x)) / 0.4."""


FORMULAS = {
    Target.X_SIN_X: "-x sin x",
    Target.CHIRP: "exp(-x/3) + 1.4 sin(softplus\N{SUBSCRIPT ZERO}.\N{SUBSCRIPT FOUR}(x) / 0.3)",
}
"""As a figure's title states them."""


class FitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the fits. `points` are LERP-PSA's grid, `knots` the B-spline's, `centres` both PSA's."""

    steps: int = 2000
    points: int = 64
    centres: int = 8
    knots: int = 65
    seed: int = 2023


class FitErrors(msgspec.Struct, frozen=True, kw_only=True):
    """One fit in numbers, its errors in standard deviations of the function.

    `parameters`: how many are trained. `initial_mse` is the mean squared error before training, `mse` that afterwards,
    `max_error` the largest error's magnitude and `max_error_at` where it is.
    """

    function: Target
    activation: Activation
    parameters: int
    initial_mse: float
    mse: float
    max_error: float
    max_error_at: float


@dataclass(frozen=True)
class Fit:
    """A fit: its errors, its values at `measured_x`, and where its centres, grid points or knots ended up."""

    errors: FitErrors
    values: _Float64
    marks: _Float64


def measured_x() -> _Float64:
    """The points where errors are measured: `MEASURED_POINTS` of [-LIMIT, LIMIT]."""
    return np.linspace(-LIMIT, LIMIT, MEASURED_POINTS)


def evaluate_target(target: Target, x: _Float64) -> _Float64:
    """A function's values, in float64, before it is scaled."""
    if target is Target.X_SIN_X:
        return -x * np.sin(x)
    softplus = np.log1p(np.exp(0.4 * x)) / 0.4
    values: _Float64 = np.exp(-x / 3) + 1.4 * np.sin(softplus / 0.3)
    return values


def normalised_target(target: Target, x: _Float64) -> _Float64:
    """A function's values, scaled so that at `measured_x` it has mean 0 and (population) standard deviation 1."""
    every = evaluate_target(target, measured_x())
    values: _Float64 = (evaluate_target(target, x) - every.mean()) / every.std()
    return values


def fit_all(
    targets: Sequence[Target],
    activations: Sequence[Activation],
    settings: FitSettings,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> tuple[Fit, ...]:
    """Every activation fitted to every function, function by function; each as `fit` gives it."""
    pairs = [(target, activation) for target in targets for activation in activations]
    fits = []
    progress(0, len(pairs))
    for target, activation in pairs:
        fits.append(fit(target, activation, settings))
        progress(len(fits), len(pairs))
    return tuple(fits)


def fit(target: Target, activation: Activation, settings: FitSettings) -> Fit:
    """Fit one activation to one function: full batches, Adam, mean squared error; on one thread, the seed decides all.

    ModelError where the settings make no activation, or the fit diverges.
    """
    if settings.steps < 1:
        raise ModelError(f"a fit of {settings.steps} steps was asked for, expected at least 1")
    x = np.linspace(-LIMIT, LIMIT, TRAINING_POINTS)
    with _reproducible(settings.seed):
        module = _build(activation, settings)
        before = _errors(module, target)
        _train(module, _column(x), _column(normalised_target(target, x)), settings.steps)
        after = _errors(module, target)
    worst = int(np.abs(after).argmax())
    errors = FitErrors(
        function=target,
        activation=activation,
        parameters=sum(p.numel() for p in module.parameters()),
        initial_mse=float((before**2).mean()),
        mse=float((after**2).mean()),
        max_error=float(abs(after[worst])),
        max_error_at=float(measured_x()[worst]),
    )
    if not math.isfinite(errors.mse):
        raise ModelError(f"the fit of {activation} to {target} diverged: its error is not a number")
    return Fit(errors, normalised_target(target, measured_x()) + after, _marks(module, settings))


def _build(activation: Activation, settings: FitSettings) -> nn.Module:
    match activation:
        case Activation.PSA:
            return PSA(1, settings.centres, residual=False, initialisation="scratch")
        case Activation.LERP_PSA:
            return LerpPSA(
                1, settings.centres, residual=False, points=settings.points, limit=LIMIT, initialisation="scratch"
            )
        case Activation.B_SPLINE:
            return BSpline(1, settings.knots, LIMIT)
    raise ModelError(f"{activation} has no parameters to fit, expected one of {', '.join(ACTIVATIONS)}")


def _train(module: nn.Module, x: Tensor, y: Tensor, steps: int) -> None:
    # fused: with so few numbers, time goes into calls.
    optimiser = torch.optim.Adam(module.parameters(), lr=_LEARNING_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=steps)
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.mse_loss(module(x), y).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()


@torch.no_grad()
def _errors(module: nn.Module, target: Target) -> _Float64:
    """Fit less function at `measured_x`."""
    x = measured_x()
    found: _Float64 = module(_column(x)).numpy()[:, 0].astype(np.float64)
    return found - normalised_target(target, x)


def _marks(module: nn.Module, settings: FitSettings) -> _Float64:
    if isinstance(module, PSA) and not isinstance(module, LerpPSA):
        return np.sort(module.centres.detach().numpy()[0].astype(np.float64))
    return np.linspace(-LIMIT, LIMIT, settings.points if isinstance(module, LerpPSA) else settings.knots)


def _column(values: _Float64) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).unsqueeze(1)


@contextlib.contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """One thread, and torch's generator seeded; afterwards both as they were."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
