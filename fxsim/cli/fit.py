"""`fxsim fit`: the activations fitted to one-dimensional functions."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fxsim.cli.console import json_option, print_json, print_table, progress, say

if TYPE_CHECKING:
    from fxsim.networks.resmlp import Activation

FIGURE = "fit.svg"
FIGURES = "fit.json"


@click.command("fit")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help=f"Folder for {FIGURE}, the picture, and {FIGURES}, the figures.  [default: nothing is written]",
)  # fmt: skip
@click.option("--function", type=click.Choice(["x-sin-x", "chirp", "all"]), default="all", show_default=True)
@click.option(
    "--activations", default="psa,lerp-psa,b-spline", show_default=True, metavar="NAME,...", help="What to fit."
)
@click.option("--steps", type=click.IntRange(1, 1_000_000), default=2000, show_default=True, help="Of Adam.")
@click.option(
    "--points", type=click.IntRange(2, 65_536), default=64, show_default=True, help="Points of LERP-PSA's grid."
)
@click.option("--centres", type=click.IntRange(1, 1024), default=8, show_default=True, help="Centres of either PSA.")
@click.option("--knots", type=click.IntRange(3, 65_536), default=65, show_default=True, help="Knots of the B-spline.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=2023, show_default=True)
@json_option
def command(
    output: Path | None,
    function: str,
    activations: str,
    steps: int,
    points: int,
    centres: int,
    knots: int,
    seed: int,
    as_json: bool,
) -> None:
    """Fit the activations, one channel each, to one-dimensional functions on [-4, 4], of mean 0 and deviation 1.

    x-sin-x is -x sin x; chirp is exp(-x/3) + 1.4 sin(softplus(x)/0.3), the softplus of beta 0.4. PSA is without its
    residual. Errors are measured at 8,001 points, of which the fit sees every tenth; docs/fit.md shows what comes out.
    """
    from fxsim.formats.atomic import atomic_write
    from fxsim.formats.figures import check_figure_target, write_figure
    from fxsim.networks.fit import FitSettings, Target, fit_all

    kinds = _activations(activations)
    targets = tuple(Target) if function == "all" else (Target(function),)
    settings = FitSettings(steps=steps, points=points, centres=centres, knots=knots, seed=seed)
    if output is not None:
        _make_folder(output)
        check_figure_target(output / FIGURE)
    with progress("fits") as report:
        fits = fit_all(targets, kinds, settings, report)
    summary = {"settings": settings, "fits": [fit.errors for fit in fits]}
    if output is not None:
        import msgspec

        from fxsim.networks.fit_figure import draw_fits

        write_figure(draw_fits(fits), output / FIGURE)
        with atomic_write(output / FIGURES) as file:
            file.write_bytes(msgspec.json.format(msgspec.json.encode(summary)) + b"\n")
    if as_json:
        print_json(summary)
        return
    rows = [
        (e.function, e.activation, e.parameters, f"{e.mse:.3g}", f"{e.max_error:.3g} at {e.max_error_at:+.3f}")
        for e in (fit.errors for fit in fits)
    ]
    columns = ("function", "activation", "parameters", "mse", "largest error, at x")
    print_table(f"fits on [-4, 4], {steps:,} steps, seed {seed}", columns, rows)
    if output is not None:
        say(f"{output / FIGURE}: picture, {output / FIGURES}: figures")


def _activations(text: str) -> tuple["Activation", ...]:
    from fxsim.errors import ModelError
    from fxsim.networks.fit import ACTIVATIONS
    from fxsim.networks.resmlp import Activation

    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names or ("",):
        if name not in ACTIVATIONS:
            raise ModelError(f"there is no activation '{name}' to fit; there are: {', '.join(ACTIVATIONS)}")
    return tuple(Activation(name) for name in names)


def _make_folder(folder: Path) -> None:
    from fxsim.errors import FileError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot make the folder {folder}: {error.strerror or error}") from None
