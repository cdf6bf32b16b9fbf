"""`fxsim timing`: levels of logic between the registers of an accelerator with a model on it."""

from pathlib import Path

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
    say,
)
from fxsim.formats import load


@click.command("timing")
@model_argument
@design_options
@parameter_option
@click.option("--device", default="xcup", show_default=True, metavar="NAME", help="The FPGA: xcup, xc7, ecp5, ice40.")
@click.option("--budget", type=click.FloatRange(min=0), metavar="LEVELS", help="Fail where a way has more levels.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Parts synthesised at once.  [cores]")
@click.option(
    "--fmax", metavar="SEEDS", type=click.IntRange(1, 100),
    help="Place and route each module alone on an ECP5 with so many seeds, for its clock's greatest frequency.",
)  # fmt: skip
@click.option("--module", "modules", metavar="NAME", multiple=True, help="With --fmax, this module; may be repeated.")
@click.option("--flat", is_flag=True, help="With --fmax, all of the design as one.")
@json_option
def command(
    model: Path,
    design: ChosenDesign,
    parameters: dict[str, int],
    device: str,
    budget: float | None,
    jobs: int | None,
    fmax: int | None,
    modules: tuple[str, ...],
    flat: bool,
    as_json: bool,
) -> None:
    """Count the levels of logic of the longest ways of each module of an accelerator with MODEL on it.

    A level is a look-up table; a carry chain counts as one and a tenth for each further cell, a multiplier as four, a
    memory block as two. Ways end at the boundary of a part. Exit status 1 where one has more than --budget.
    """
    from fxsim.synthesis import find_target, measure_area, worst_ways

    if design.dut is not None and parameters:
        raise click.UsageError("--dut describes your own RTL: leave out --parameter")
    if fmax is None and (modules or flat):
        raise click.UsageError("--module and --flat choose what --fmax places: give --fmax, or leave them out")
    if fmax is not None:
        if device != "ecp5" or budget is not None or jobs is not None or parameters:
            raise click.UsageError(
                "--fmax places on an ECP5: give --device ecp5, leave out --budget, --jobs and --parameter"
            )
        _show_fmax(model, design, fmax, modules, flat, as_json)
        return
    find_target(device)
    with progress("parts") as report:
        area = measure_area(
            load(model),
            design.accel,
            settings=design.settings,
            parameters=parameters,
            device=device,
            rtl=design.rtl,
            jobs=jobs,
            progress=report,
        )
    worst = worst_ways(area.units)
    over = [] if budget is None else [module for module, (way, _) in worst.items() if not way.tenths <= 10 * budget]
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


def _show_fmax(
    model: Path, design: ChosenDesign, seeds: int, modules: tuple[str, ...], flat: bool, as_json: bool
) -> None:
    from statistics import median

    from fxsim.synthesis import synthesisable
    from fxsim.synthesis.route import find_nextpnr, route

    given = synthesisable(load(model), design.accel, settings=design.settings, rtl=design.rtl)
    with progress("modules placed") as report:
        found = route(given, range(1, seeds + 1), modules=modules, flat=flat, progress=report)
    version = find_nextpnr()[1]
    if as_json:
        print_json({"model": str(model), "design": given.top, "nextpnr": version, "modules": found})
        return
    say(f"{given.top} with {model}, each module alone on an ECP5 (LFE5U-85, speed 6), by {version}")
    rows = []
    for row in found:
        if not row.runs:
            say(f"{row.module} is not placed: {row.because}")
            continue
        clocks = [run.mhz for run in row.runs]
        slowest = min(row.runs, key=lambda run: run.mhz)
        figures = (f"{clock:.1f}" for clock in (min(clocks), median(clocks), max(clocks)))
        rows.append((row.module, len(clocks), *figures, _words(slowest.names)))
    print_table("", ("module", "seeds", "least MHz", "median", "most", "path of the least"), rows)


def _words(names: tuple[str, ...], most: int = 6) -> str:
    shown = names if len(names) <= most else (*names[: most - 2], "...", names[-1])
    return " > ".join(shown)
