"""`fxsim lint-rtl`: hold Verilog to a model without simulating it."""

from pathlib import Path

import click
import msgspec

from fxsim.cli.console import ChosenDesign, design_options, json_option, model_argument, print_json, say
from fxsim.formats import load


@click.command("lint-rtl")
@model_argument
@design_options
@json_option
def command(model: Path, design: ChosenDesign, as_json: bool) -> None:
    """Hold the widths, signs and memories of an accelerator's Verilog to what MODEL needs, without simulating.

    Accumulators need the bits of their proved bounds, memories the shape of the model's tensors, ports the format of
    its values. Each signal that is too narrow, of the other sign or of another shape is told with file, line, its width
    and the model's need. Exit status is 0 only where there is none.
    """
    from fxsim.rtl_lint import lint_described, lint_rtl

    if design.dut is not None and design.rtl is not None:
        raise click.UsageError("--dut describes your own RTL: leave out --rtl")
    if design.interval is not None or design.share_loops:
        raise click.UsageError(
            "--interval and --share-loops are of composed designs, which are made of a model's needs"
        )
    loaded = load(model)
    if design.dut is not None:
        result = lint_described(loaded, design.dut)
    else:
        result = lint_rtl(loaded, design.accel, rtl=design.rtl)
    if as_json:
        print_json({"passed": result.passed} | msgspec.structs.asdict(result))
    else:
        for found in result.findings:
            say(f"{result.folder}/{found.file}:{found.line}: {found.message}")
        held = f"{result.checked:,} signals held to model '{result.model}', {result.wider:,} wider than needed"
        say(f"{'PASSED' if result.passed else 'FAILED'}: {held}, {len(result.findings)} wrong")
    if not result.passed:
        click.get_current_context().exit(1)
