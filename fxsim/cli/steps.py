"""`fxsim steps`: how quantisation error grows over the steps of a Neural ODE."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fxsim.cli.console import json_option, model_argument, print_json, print_table, progress, refuse_overwriting, say
from fxsim.cli.engines import EngineChoice
from fxsim.data import DataSource
from fxsim.engines import Engine

if TYPE_CHECKING:
    from fxsim.bridge.steps import StepsRecord


@click.command("steps")
@model_argument
@click.option(
    "--data", "source", type=click.Choice([str(s) for s in DataSource]),
    help="Data set whose pictures for testing are used.  [default: the one the network was trained on]",
)  # fmt: skip
@click.option("--data-path", type=click.Path(path_type=Path), metavar="DIR", help="Its folder; digits needs none.")
@click.option("--images", type=click.IntRange(min=1), metavar="N", help="Only the first N images.")
@click.option(
    "--engine",
    type=EngineChoice(),
    default=str(Engine.AUTO),
    show_default=True,
    help="Of the integer model. All give the same values; 'auto' is 'compiled'.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Draw both, .svg or .png.")
@json_option
def command(
    model: Path,
    source: str | None,
    data_path: Path | None,
    images: int | None,
    engine: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """Measure the quantisation error of MODEL, a quantised Neural ODE, after each of its steps.

    The network with nothing quantised, float fake-quant and the integer model are compared at x of every step; then
    with the same parameters and other numbers of steps, of which the pictures classified rightly are counted, too.
    """
    if output is not None:
        from fxsim.formats.figures import check_figure_target

        refuse_overwriting(output, [model])
        check_figure_target(output)
    from fxsim.bridge.steps import measure_steps

    with progress("images") as report:
        chosen = None if source is None else DataSource(source)
        record = measure_steps(model, chosen, data_path, images, engine, report)
    if as_json:
        print_json(record)
    else:
        _show(record)
    if output is not None:
        from fxsim.bridge.plots import draw_steps
        from fxsim.formats.figures import write_figure

        write_figure(draw_steps(record), output)
        say(f"{output}: written", err=as_json)


def _show(record: "StepsRecord") -> None:
    say(f"{record.name}: {record.images:,} images of {record.data}, trained with {record.trained_steps} steps")
    rows = [
        (s.tap, f"{s.size:.4g}", f"{s.fake_quant:.3%}", f"{s.integer:.3%}", f"{s.differ / s.values:.2%}")
        for s in record.steps
    ]
    print_table("error of x, of its root mean square", ("tap", "x", "fake-quant", "integer", "codes that differ"), rows)
    counts: list[tuple[str | int, ...]] = [
        (count.steps, *count.correct.values(), f"{count.fake_quant:.3%}", f"{count.integer:.3%}")
        for count in record.counts
    ]
    columns = ("steps", *(f"right: {form}" for form in record.counts[0].correct), "fake-quant", "integer")
    print_table("numbers of steps, and the error of the last x", columns, counts)
