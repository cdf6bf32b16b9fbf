"""`fxsim area`: what an accelerator with a model on it takes of an FPGA."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fxsim.cli.console import (
    ChosenDesign,
    design_options,
    json_option,
    model_argument,
    parameter_option,
    print_json,
    print_table,
    progress,
    refuse_overwriting,
    say,
)
from fxsim.errors import ToolError
from fxsim.formats import load

if TYPE_CHECKING:
    from fxsim.synthesis import Area


@click.command("area")
@model_argument
@design_options
@parameter_option
@click.option("--device", default="xcup", show_default=True, metavar="NAME", help="The FPGA: xcup, xc7, ecp5, ice40.")
@click.option("--against", metavar="MODEL|DEVICE", help="A second model, or device, to compare with.")
@click.option(
    "--without", metavar="MODULE", multiple=True,
    help="Compare with the same design without this module, zeros in place of its outputs; may be repeated.",
)  # fmt: skip
@click.option(
    "--flat", is_flag=True, help="Synthesise all of it in one go, not part by part: slow, and no cache helps."
)
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Parts synthesised at once.  [cores]")
@click.option(
    "--figure", metavar="FILE", type=click.Path(path_type=Path), help="Draw the modules' shares (.svg, .png)."
)
@click.option(
    "--record", metavar="FILE", type=click.Path(path_type=Path), help="Keep the figures in this file, for sign-off."
)
@json_option
def command(
    model: Path,
    design: ChosenDesign,
    parameters: dict[str, int],
    device: str,
    against: str | None,
    without: tuple[str, ...],
    flat: bool,
    jobs: int | None,
    figure: Path | None,
    record: Path | None,
    as_json: bool,
) -> None:
    """Count look-up tables, flip-flops, multipliers and memories that an accelerator with MODEL on it takes.

    Yosys synthesises the Verilog with the model's parameters and ROM contents, each different part once; what it made
    of a part is kept by content. Nothing is placed or routed: figures are those of synthesis, for comparing designs.
    """
    from fxsim.synthesis import TARGETS, find_target, measure_area, record_area

    if design.dut is not None and parameters:
        raise click.UsageError("--dut describes your own RTL: leave out --parameter")
    if against is not None and without:
        raise click.UsageError("--against and --without each name what to compare with: leave one out")
    if record is not None and (flat or parameters or not design.as_it_is):
        raise click.UsageError(
            "--record keeps figures of a design as it is: leave out --flat, --parameter, --rtl, --interval and "
            "--share-loops"
        )
    if figure is not None:
        from fxsim.formats.figures import check_figure_target

        check_figure_target(figure)
        if find_spec("squarify") is None:
            raise ToolError("--figure needs the package squarify: install fxsim with the extra 'silicon'")
        refuse_overwriting(figure, [model])
    find_target(device)
    loaded = load(model)
    other = None if against is None or against in TARGETS else load(Path(against))

    def measure(which: Path | str, on: str, lacking: tuple[str, ...] = ()) -> "Area":
        with progress(f"parts of {which}") as report:
            used = loaded if which is model else other
            assert used is not None
            return measure_area(
                used,
                design.accel,
                settings=design.settings,
                parameters=parameters,
                device=on,
                rtl=design.rtl,
                without=lacking,
                flat=flat,
                jobs=jobs,
                progress=report,
            )  # fmt: skip

    first = measure(model, device)
    second = None
    if against is not None:
        second = measure(model, against) if against in TARGETS else measure(against, device)
    elif without:
        second = measure(model, device, without)
    if figure is not None:
        from fxsim.synthesis.figure import write_picture

        write_picture(first, figure)
    if record is not None:
        record_area(first, record)
    if as_json:
        print_json({"area": first} if second is None else {"area": first, "against": second})
        return
    _show(first, second)


_COLUMNS = {
    "LUT": "lut", "of memory": "lutram", "of shift registers": "srl", "FF": "ff", "DSP": "dsp", "BRAM": "bram",
    "carry": "carry",
}  # fmt: skip
_RARE = {"latches": "latch", "UltraRAM": "uram"}
"""Columns of the table by title; the rare ones are shown where a design has any of them."""


def _show(first: "Area", second: "Area | None") -> None:
    say(f"{first.design} with {first.model}, {first.family}, by {first.yosys}")
    t = first.total
    columns = _COLUMNS | {title: name for title, name in _RARE.items() if getattr(t, name)}
    named = [*((row.module, row.instances, row.total) for row in first.modules), ("all", 1, t)]
    rows = [(module, count, *(getattr(total, name) for name in columns.values())) for module, count, total in named]
    print_table("", ("module", "instances", *columns), rows)
    _show_published(first)
    if second is None:
        return
    other = second.total
    lacking = "".join(f" without {name}" for name in second.without)
    say(f"against {second.design} with {second.model}{lacking}, {second.family}")
    pairs = [
        ("LUT", t.lut, other.lut),
        ("LUT of memory", t.lutram, other.lutram),
        ("FF", t.ff, other.ff),
        ("DSP", t.dsp, other.dsp),
        ("BRAM", t.bram, other.bram),
        ("LUT + DSP", t.lut + t.dsp, other.lut + other.dsp),
    ]
    print_table(
        "",
        ("resource", "first", "second", "first against second"),
        [(*pair, change_in_words(*pair[1:])) for pair in pairs],
    )


def _show_published(area: "Area") -> None:
    for row in area.published:
        counts = [("LUT", row.lut), ("DSP", row.dsp), ("BRAM", row.bram)]
        said = [f"{count:,} {name}" for name, count in counts if count is not None]
        said += [f"{percent:+.1f}% {name} against {row.against}" for name, percent in row.change.items()]
        say(f"published: {row.of}: {', '.join(said)} ({row.source})")


def change_in_words(first: float, second: float) -> str:
    """The change from a second count to a first in percent; of nothing there is none."""
    if not second:
        return "from none" if first else "none"
    return f"{100 * (first - second) / second:+.1f}%"
