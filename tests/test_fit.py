"""One-dimensional fits: the functions, that errors fall, what the seed decides, the command."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fxsim.cli import main
from fxsim.errors import ModelError
from fxsim.networks.fit import (
    ACTIVATIONS,
    LIMIT,
    FitSettings,
    Target,
    evaluate_target,
    fit,
    measured_x,
    normalised_target,
)
from fxsim.networks.psa import PSA
from fxsim.networks.resmlp import Activation

FEW = FitSettings(steps=150)


def x_sin_x(x: float) -> float:
    """-x sin x by its power series."""
    return -sum((-1) ** k * x ** (2 * k + 2) / math.factorial(2 * k + 1) for k in range(25))


def chirp(x: float) -> float:
    """The second function, with a softplus that is torch's, in float64."""
    softplus = torch.nn.functional.softplus(torch.tensor(x, dtype=torch.float64), beta=0.4).item()
    return math.exp(-x / 3) + 1.4 * math.sin(softplus / 0.3)


@pytest.mark.parametrize(("target", "formula"), [(Target.X_SIN_X, x_sin_x), (Target.CHIRP, chirp)])
def test_functions_have_the_values_of_their_formulas(target: Target, formula: Any) -> None:
    """Values agree to rounding with formulas computed another way, all over the range."""
    x = np.linspace(-LIMIT, LIMIT, 41)
    np.testing.assert_allclose(evaluate_target(target, x), [formula(float(v)) for v in x], rtol=0, atol=1e-12)


def test_chirp_has_a_known_value_at_zero() -> None:
    """softplus(0) of beta 0.4 is log 2 / 0.4, so that the function is 1 + 1.4 sin(log 2 / 0.12)."""
    found = evaluate_target(Target.CHIRP, np.zeros(1))
    assert found[0] == pytest.approx(1 + 1.4 * math.sin(math.log(2) / 0.12), abs=1e-14)


@pytest.mark.parametrize("target", Target)
def test_functions_are_scaled_to_mean_0_and_deviation_1(target: Target) -> None:
    """So it is where errors are measured; the scaling is one line for all points."""
    values = normalised_target(target, measured_x())
    assert math.fsum(values) / len(values) == pytest.approx(0, abs=1e-12)
    assert math.fsum(v * v for v in values) / len(values) == pytest.approx(1, abs=1e-12)
    raw = evaluate_target(target, measured_x())
    rise, run = values - values[0], raw - raw[0]
    np.testing.assert_allclose(rise * run[4000], run * rise[4000], rtol=0, atol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("target", Target)
def test_errors_fall_and_are_those_of_the_values(target: Target, activation: Activation) -> None:
    """After some steps little of the function's variance is left, and the figures follow from the fit's values."""
    found = fit(target, activation, FEW)
    wanted = normalised_target(target, measured_x())
    differences = [float(v) - float(w) for v, w in zip(found.values, wanted, strict=True)]
    errors = found.errors
    assert errors.mse == pytest.approx(math.fsum(d * d for d in differences) / len(differences), rel=1e-9)
    assert errors.max_error == pytest.approx(max(map(abs, differences)), abs=1e-12)
    at = int(np.flatnonzero(measured_x() == errors.max_error_at)[0])
    assert abs(differences[at]) == max(map(abs, differences))
    assert errors.mse < 0.2 < 1 < errors.initial_mse


def test_initial_error_is_that_of_the_fresh_activation() -> None:
    """Before training a B-spline is the leaky ReLU, whose error needs no module."""
    x = measured_x()
    wanted = normalised_target(Target.X_SIN_X, x)
    expected = math.fsum((max(v, 0.01 * v) - w) ** 2 for v, w in zip(x, wanted, strict=True)) / len(x)
    found = fit(Target.X_SIN_X, Activation.B_SPLINE, FitSettings(steps=1))
    assert found.errors.initial_mse == pytest.approx(expected, rel=1e-5)


def test_a_long_fit_of_the_spline_comes_near_the_best_there_is() -> None:
    """Least squares gives the best spline with these knots on the training points; Adam ends within 10% of it."""
    knots, x = 17, np.linspace(-LIMIT, LIMIT, 801)
    position = (x + LIMIT) * (knots - 1) / (2 * LIMIT)
    hats = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(knots)))
    target = normalised_target(Target.CHIRP, x)
    residual = hats @ np.linalg.lstsq(hats, target, rcond=None)[0] - target
    found = fit(Target.CHIRP, Activation.B_SPLINE, FitSettings(steps=600, knots=knots))
    assert found.errors.mse == pytest.approx(float((residual**2).mean()), rel=0.1)


def test_parameters_and_marks_are_the_activations() -> None:
    """PSA has 3 numbers a centre and 2 for its output, sampled or not; a spline one a knot."""
    settings = FitSettings(steps=1, centres=5, points=7, knots=9)
    direct, sampled, spline = (fit(Target.CHIRP, activation, settings) for activation in ACTIVATIONS)
    assert [f.errors.parameters for f in (direct, sampled, spline)] == [17, 17, 9]
    assert len(direct.marks) == 5
    assert sampled.marks.tolist() == pytest.approx([-4 + 8 * i / 6 for i in range(7)])
    assert spline.marks.tolist() == [-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0]


def test_the_seed_decides_and_nothing_else_is_touched() -> None:
    """The same seed gives the same bits whatever was drawn before, another others; torch's state stays as it was."""
    torch.manual_seed(1)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        one = fit(Target.CHIRP, Activation.PSA, FEW)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    again = fit(Target.CHIRP, Activation.PSA, FEW)
    assert again.errors == one.errors
    np.testing.assert_array_equal(again.values, one.values)
    assert fit(Target.CHIRP, Activation.PSA, FitSettings(steps=150, seed=1)).errors.mse != one.errors.mse


@pytest.mark.parametrize("activation", [Activation.PSA, Activation.LERP_PSA])
def test_psa_starts_from_scratch_and_without_its_residual(activation: Activation) -> None:
    """Before training the error is that of the formula, with fresh numbers of the same seed and no input added.

    Sampled PSA is measured on a fine grid, where interpolation hardly matters.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        fresh = PSA(1, 8, residual=False, initialisation="scratch")
    centres, widths, values = (p.detach().double().numpy()[0] for p in (fresh.centres, fresh.widths, fresh.values))
    x = measured_x()
    weights = np.exp(-((x[:, None] - centres) ** 2) / (widths**2 + 1))
    y = (weights * values).sum(axis=1) / weights.sum(axis=1) * x
    expected = float(((y - normalised_target(Target.CHIRP, x)) ** 2).mean())
    found = fit(Target.CHIRP, activation, FitSettings(steps=1, points=4001, seed=7))
    assert found.errors.initial_mse == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("activation", "settings", "message"),
    [
        (Activation.RELU, FitSettings(), "relu has no parameters to fit"),
        (Activation.PSA, FitSettings(steps=0), "a fit of 0 steps"),
        (Activation.PSA, FitSettings(centres=0), "0 centres"),
        (Activation.LERP_PSA, FitSettings(points=1), "grid of 1 points"),
        (Activation.B_SPLINE, FitSettings(knots=2), "2 knots"),
    ],
)
def test_settings_that_make_no_activation_are_refused(
    activation: Activation, settings: FitSettings, message: str
) -> None:
    """One message that names the number."""
    with pytest.raises(ModelError, match=message):
        fit(Target.X_SIN_X, activation, settings)


# --- the command ---


def call(capfd: pytest.CaptureFixture[str], *args: str | Path) -> tuple[Any, str, str]:
    """Exit status, standard output and standard error of `fxsim fit`."""
    with pytest.raises(SystemExit) as caught:
        main(["fit", *(str(arg) for arg in args)])
    return caught.value.code, *capfd.readouterr()


@pytest.mark.slow
def test_command_gives_the_same_json_and_picture_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Two runs print and write the same bytes; printed and written figures are the same."""
    folders = tmp_path / "a" / "b", tmp_path / "c"
    runs = [call(capfd, "--steps", "40", "--json", "-o", folder) for folder in folders]
    assert [status for status, _, _ in runs] == [0, 0]
    assert runs[0][1] == runs[1][1]
    for name in ("fit.svg", "fit.json"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    summary = json.loads(runs[0][1])
    assert summary == json.loads((folders[0] / "fit.json").read_text())
    assert [(f["function"], f["activation"]) for f in summary["fits"]] == [
        (function, activation) for function in ("x-sin-x", "chirp") for activation in ("psa", "lerp-psa", "b-spline")
    ]
    assert summary["settings"] == {"steps": 40, "points": 64, "centres": 8, "knots": 65, "seed": 2023}
    text = (folders[0] / "fit.svg").read_text()
    assert all(name in text for name in ("LERP-PSA, 26 parameters", "B-spline, 65 parameters", "-x sin x"))


@pytest.mark.slow
def test_command_fits_what_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    """One function and one activation, as a table."""
    status, out, _ = call(capfd, "--steps", "5", "--function", "chirp", "--activations", "b-spline")
    assert status == 0
    assert "b-spline" in out
    assert "psa" not in out
    assert "x-sin-x" not in out


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["--activations", "relu"], 1, "there is no activation 'relu' to fit; there are: psa, lerp-psa, b-spline"),
        (["--activations", ","], 1, "there is no activation ''"),
        (["--steps", "0"], 2, "0 is not in the range"),
        (["--function", "sine"], 2, "'sine' is not one of"),
    ],
)
def test_command_refuses_what_there_is_not(
    args: list[str], status: int, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """One message, and nothing computed."""
    found, out, err = call(capfd, *args)
    assert (found, out) == (status, "")
    assert message in err


def test_command_refuses_a_folder_that_cannot_be(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A file where the folder should be: one line before anything is computed."""
    (tmp_path / "file").write_text("")
    status, out, err = call(capfd, "-o", tmp_path / "file" / "folder")
    assert (status, out) == (1, "")
    assert "cannot make the folder" in err
