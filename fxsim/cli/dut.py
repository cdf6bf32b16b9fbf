"""`fxsim dut`: descriptions of your own RTL, written and checked before anything is simulated."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fxsim.cli.console import json_option, model_argument, print_json, print_table, say

if TYPE_CHECKING:
    from fxsim.devices.described.check import Check


@click.group("dut")
def command() -> None:
    """Your own RTL: descriptions for `fxsim cosim --dut`."""


@command.command("check")
@click.argument("description", type=click.Path(path_type=Path))
@model_argument
@json_option
def check_command(description: Path, model: Path, as_json: bool) -> None:
    """Say everything in DESCRIPTION that does not fit its design or MODEL; where all fits, what will be compared.

    Nothing is built. Exit status is 1 where something does not fit.
    """
    from fxsim.devices.described.check import check
    from fxsim.formats import load

    found = check(description, load(model))
    if as_json:
        print_json(found)
    elif found.fits:
        _print(found)
    else:
        for problem in found.problems:
            say(problem)
        count = len(found.problems)
        say(f"{count} thing{'s do' if count != 1 else ' does'} not fit model '{found.model}'")
    if not found.fits:
        raise SystemExit(1)


def _print(found: "Check") -> None:
    rows = [
        (line.role, line.name, line.data, line.handshake, line.lanes, line.number, ", ".join(line.order), line.beats)
        for line in (*found.streams, *found.taps)
    ]
    titles = ("", "tensor", "data", "handshake", "lanes", "number", "order", "beats")
    print_table(f"{found.description}: fits model '{found.model}'", titles, rows)
    if found.memories:
        lines = [(line.file, line.tensor, line.words, line.digits) for line in found.memories]
        print_table("", ("memory file", "holds", "words", "digits"), lines)
    if found.parameters:
        say("parameters: " + ", ".join(f"{name} = {value}" for name, value in found.parameters.items()))
    say(f"not compared, since no tap shows them: {', '.join(found.unprobed)}" if found.unprobed else "all is compared")
    for note in found.notes:
        say(f"note: {note}")
