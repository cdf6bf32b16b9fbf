"""`fxsim eval`: accuracy of an integer model and of the networks it came from."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fxsim.cli.console import (
    json_option,
    model_argument,
    print_json,
    print_table,
    progress,
    refuse_overwriting,
    say,
)
from fxsim.cli.engines import EngineChoice
from fxsim.data import DataSource
from fxsim.engines import Engine

if TYPE_CHECKING:
    from fxsim.training.evaluate import Comparison, Evaluation

_WORST = 5
"""Taps that are shown one by one: those with the largest shares of saturated codes."""


@click.command("eval")
@model_argument
@click.option("--data", "source", type=click.Choice([str(s) for s in DataSource]), required=True, help="Data set.")
@click.option("--data-path", type=click.Path(path_type=Path), metavar="DIR", help="Its folder; digits needs none.")
@click.option(
    "--split",
    type=click.Choice(["test", "train"]),
    default="test",
    show_default=True,
    help="Pictures to classify. 'train': all that are not for testing, those that a recipe validates with included.",
)
@click.option(
    "--float", "float_file", type=click.Path(path_type=Path), metavar="FILE", help="Float network the model came from."
)
@click.option(
    "--fake-quant", type=click.Path(path_type=Path), metavar="FILE", help="Quantised network the model came from."
)
@click.option(
    "--engine",
    type=EngineChoice(),
    default=str(Engine.AUTO),
    show_default=True,
    help="Of the integer model. All give the same values; 'auto' is 'compiled'.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Draw the confusion matrix, .svg or .png."
)
@json_option
def command(
    model: Path,
    source: str,
    data_path: Path | None,
    split: str,
    float_file: Path | None,
    fake_quant: Path | None,
    engine: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """Classify a data set's pictures by the integer MODEL, and side by side by the networks that it came from.

    MODEL is one that `fxsim export` wrote: its provenance says how pictures become its input. Accuracies come with 95%
    Wilson score intervals; networks are compared picture by picture, with McNemar's exact test.
    """
    from fxsim.training.evaluate import Split, evaluate

    if output is not None:
        from fxsim.formats.figures import check_figure_target

        refuse_overwriting(output, [file for file in (model, float_file, fake_quant) if file is not None])
        check_figure_target(output)
    with progress("pictures") as report:
        found = evaluate(
            model,
            DataSource(source),
            data_path,
            float_file,
            fake_quant,
            split=Split(split),
            engine=engine,
            progress=report,
        )
    if output is not None:
        from fxsim.formats.figures import write_figure
        from fxsim.training.confusion import draw_confusion

        write_figure(draw_confusion(found), output)
    if as_json:
        print_json(found)
        return
    _show(found)
    if output is not None:
        say(f"{output}: confusion matrix")


def _show(found: "Evaluation") -> None:
    title = f"{found.model} on {found.data} ({found.split}), {found.pictures:,} pictures"
    if found.trained_on != found.data:
        title += f"; trained on {found.trained_on}"
    rows = [
        (name, f"{a.accuracy:.2%}", f"{a.low:.2%} to {a.high:.2%}", a.correct) for name, a in found.networks.items()
    ]
    print_table(title, ("network", "accuracy", "95% interval", "right"), rows)
    if found.comparisons:
        print_table(
            "picture by picture, with McNemar's exact test",
            ("first, second", "same class", "only 1st right", "only 2nd right", "loss, points", "p"),
            [_comparison(c) for c in found.comparisons],
        )
    if found.exports_to_model is False:
        say("note: the fake-quant network does not export to this model: its integers or tables are others")
    _show_saturation(found)


def _comparison(c: "Comparison") -> tuple[str | int, ...]:
    return (
        f"{c.first}, {c.second}",
        c.agreement,
        c.only_first,
        c.only_second,
        f"{100 * c.loss:+.2f}",
        f"{c.p_value:.3g}",
    )


def _show_saturation(found: "Evaluation") -> None:
    worst = sorted(found.saturation, key=lambda s: -s.share)[:_WORST]
    rows = [(s.tap, f"{s.low / s.codes:.3%}", f"{s.high / s.codes:.3%}") for s in worst if s.share]
    if rows:
        print_table("integer model: tensors with most codes at the ends of int8", ("tap", "at -128", "at 127"), rows)
    else:
        say("no code of the integer model is at -128 or 127")
