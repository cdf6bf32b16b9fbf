"""`fxsim bench`: measurements of fxsim on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fxsim.cli.console import json_option, print_json, print_table, progress, say

if TYPE_CHECKING:
    from fxsim.networks.benchmark import Result, Spread

_PAPER_BATCH = 16


@click.group()
def command() -> None:
    """Measure fxsim on this machine."""


@command.command()
@click.option("--layers", default=4, show_default=True, type=click.IntRange(min=1), help="Activations in a row.")
@click.option("--width", default=768, show_default=True, type=click.IntRange(min=1), help="Channels.")
@click.option("--sequence", default=512, show_default=True, type=click.IntRange(min=1), help="Tokens.")
@click.option("--batch", default=2, show_default=True, type=click.IntRange(min=1), help="Sequences.")
@click.option("--points", default=64, show_default=True, type=click.IntRange(min=2), help="LERP-PSA's grid.")
@click.option("--centres", default=8, show_default=True, type=click.IntRange(min=1), help="PSA's centres.")
@click.option("--paper", is_flag=True, help="The paper's setting: the sizes shown as defaults, with batch 16.")
@click.option("--device", default="cpu", show_default=True, type=click.Choice(["cpu", "cuda"]))
@click.option("--threads", type=click.IntRange(1, 1024), help="On a CPU; by default PyTorch's choice.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1), help="Processes for each case.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Draw the bars, .svg or .png.")
@json_option
@click.pass_context
def nn(
    ctx: click.Context,
    layers: int,
    width: int,
    sequence: int,
    batch: int,
    points: int,
    centres: int,
    paper: bool,
    device: str,
    threads: int | None,
    rounds: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """Compare time and memory of the learnable activations, ReLU and GELU.

    Each is measured as a stack of --layers activations on float32 [batch, sequence, width]: its output (forward), and
    output and all gradients (training), with the B-spline's TV(2) penalty in the loss. Memory is what a training step
    holds at its peak beyond input, output gradient and parameters. Every case runs in a process of its own, 5 times
    each, and all cases in turn in each round. The B-spline has one knot more than LERP-PSA has points.
    """
    if paper:
        sizes = ("layers", "width", "sequence", "batch", "points", "centres")
        given = [name for name in sizes if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT]
        if given:
            raise click.UsageError(f"--paper sets all sizes: give it or --{given[0]}, not both")
        batch = _PAPER_BATCH
    if output is not None:
        from fxsim.files.figures import check_figure_target

        check_figure_target(output)
    from fxsim.networks.benchmark import Setting, compare

    setting = Setting(
        layers=layers,
        width=width,
        sequence=sequence,
        batch=batch,
        points=points,
        centres=centres,
        device=device,
        threads=threads or 0,
    )
    with progress("measurements") as report:
        results = compare(setting, rounds, report)
    title = f"{_count(layers, 'layer')} on [{batch}, {sequence}, {width}], {device}" + (
        f", {_count(results[0].threads, 'thread')}" if device == "cpu" else ""
    )
    if output is not None:
        _plot(title, results, output)
    if as_json:
        print_json({"setting": setting, "rounds": rounds, "results": results})
        return
    rows = [
        (str(result.case), _show(result.forward), _show(result.training), f"{result.memory:.1f}") for result in results
    ]
    print_table(title, ("activation", "forward, ms", "training, ms", "memory, MiB"), rows)
    say("times: median \u00b1 half the range between the quartiles")
    if output is not None:
        say(f"{output}: picture")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _show(time: "Spread") -> str:
    return f"{time.median:.2f} \u00b1 {(time.high - time.low) / 2:.2f}"


def _plot(title: str, results: list["Result"], output: Path) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from fxsim.files.figures import STYLE, write_figure

    names = [str(result.case) for result in results]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3), layout="constrained")
        for axes, what, values in zip(
            figure.subplots(1, 3, sharey=True),
            ("forward, ms", "training, ms", "memory, MiB"),
            (
                [result.forward.median for result in results],
                [result.training.median for result in results],
                [result.memory for result in results],
            ),
            strict=True,
        ):
            axes.bar_label(axes.barh(names, values, color="#4878a8"), fmt="%.4g", padding=3)
            axes.set_xlabel(what)
            # Room for the numbers at the ends of bars.
            axes.margins(x=0.25)
        axes.invert_yaxis()
        figure.suptitle(title)
    write_figure(figure, output)
