"""`fxsim lint-rtl`: hold Verilog to a model without simulating it."""

from pathlib import Path

import click
import msgspec

from fxsim.cli.console import json_option, model_argument, print_json, say
from fxsim.formats import load


@click.command("lint-rtl")
@model_argument
@click.option("--accel", metavar="NAME", help="The accelerator, as of `fxsim cosim`.")
@click.option("--dut", metavar="FILE", type=click.Path(path_type=Path), help="The description of your own RTL.")
@click.option("--rtl", metavar="DIR", type=click.Path(path_type=Path), help="Verilog to read in place of fxsim's own.")
@json_option
def command(model: Path, accel: str | None, dut: Path | None, rtl: Path | None, as_json: bool) -> None:
    """Hold the widths, signs and memories of an accelerator's Verilog to what MODEL needs, without simulating.

    Accumulators need the bits of their proved bounds, memories the shape of the model's tensors, ports the format of
    its values. Each signal that is too narrow, of the other sign or of another shape is told with file, line, its width
    and the model's need. Exit status is 0 only where there is none.
    """
    from fxsim.devices import DEFAULT
    from fxsim.rtl_lint import lint_described, lint_rtl

    if dut is not None and (accel is not None or rtl is not None):
        raise click.UsageError("--dut describes your own RTL: leave out --accel and --rtl")
    loaded = load(model)
    result = lint_described(loaded, dut) if dut is not None else lint_rtl(loaded, accel or DEFAULT, rtl=rtl)
    if as_json:
        print_json({"passed": result.passed} | msgspec.structs.asdict(result))
    else:
        for found in result.findings:
            say(f"{result.folder}/{found.file}:{found.line}: {found.message}")
        held = f"{result.checked:,} signals held to model '{result.model}', {result.wider:,} wider than needed"
        say(f"{'PASSED' if result.passed else 'FAILED'}: {held}, {len(result.findings)} wrong")
    if not result.passed:
        click.get_current_context().exit(1)
