"""`fxsim timing`: levels of logic between the registers of an accelerator with a model on it."""

from pathlib import Path

import click

from fxsim.cli.console import (
    ChosenDesign,
    design_options,
    json_option,
    model_argument,
    print_json,
    print_table,
    progress,
    say,
)
from fxsim.formats import load


@click.command("timing")
@model_argument
@design_options
@click.option("--device", default="xcup", show_default=True, metavar="NAME", help="The FPGA: xcup, xc7, ecp5, ice40.")
@click.option("--budget", type=click.FloatRange(min=0), metavar="LEVELS", help="Fail where a way has more levels.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Parts synthesised at once.  [cores]")
@json_option
def command(
    model: Path,
    design: ChosenDesign,
    device: str,
    budget: float | None,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Count the levels of logic of the longest ways of each module of an accelerator with MODEL on it.

    A level is a look-up table; a carry chain counts as one and a tenth for each further cell, a multiplier as four, a
    memory block as two. Ways end at the boundary of a part. Exit status 1 where one has more than --budget.
    """
    from fxsim.synthesis import find_target, measure_area, worst_ways

    find_target(device)
    with progress("parts") as report:
        area = measure_area(
            load(model),
            design.accel,
            settings=design.settings,
            device=device,
            rtl=design.rtl,
            jobs=jobs,
            progress=report,
        )
    worst = worst_ways(area.units)
    over = [] if budget is None else [module for module, (way, _) in worst.items() if way.tenths > round(10 * budget)]
    if as_json:
        units = {"model": area.model, "design": area.design, "device": device, "yosys": area.yosys}
        print_json(units | {"passed": not over, "over_budget": over, "parts": area.units})
    else:
        say(f"{area.design} with {area.model}, {area.family}, by {area.yosys}")
        titles = ("module", "levels", "in registers", "from inputs", "to outputs", "through", "longest way")
        rows = [
            (
                module,
                *(
                    "" if found is None else f"{found.tenths / 10:.1f}"
                    for found in (way, *(getattr(unit.levels, kind) for kind in ("inside", "into", "out", "through")))
                ),
                _words(way.names),
            )
            for module, (way, unit) in worst.items()
        ]
        print_table("", titles, rows)
        for module in over:
            say(f"{module}: {worst[module][0].tenths / 10:.1f} levels, expected at most {budget:g}")
    if over:
        click.get_current_context().exit(1)


def _words(names: tuple[str, ...], most: int = 6) -> str:
    shown = names if len(names) <= most else (*names[: most - 2], "...", names[-1])
    return " > ".join(shown)
