"""A table of a co-simulation in four states."""

import click

from fxsim.cli.console import print_json, print_table, say, say_unprobed
from fxsim.cosim.four_state import FourStateResult


def print_four_state(result: FourStateResult, as_json: bool) -> None:
    """Print a result, as tables or as JSON."""
    if as_json:
        print_json(result)
    else:
        say(f"{result.model}: {result.images:,} images, accelerator {result.accel}, {result.simulator}")
        for run in result.runs:
            rows = [(tap.tap, tap.compared, tap.differ) for tap in run.taps]
            title = f"both sides hold back in {run.stall} % of {run.cycles:,} cycles" if run.stall else "no stalls"
            print_table(title, ("tap", "compared", "unequal or unknown"), rows)
        say_unprobed(result.unprobed, result.outside)
        if result.passed:
            click.echo(f"PASSED: every value {'that was compared ' if result.unprobed else ''}known and equal")
        else:
            unknown = f"{result.unknown_values:,} values are unknown; " if result.unknown_values else ""
            click.echo(f"FAILED: {unknown}first {result.reason}")
