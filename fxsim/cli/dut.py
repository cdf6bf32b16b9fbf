"""`fxsim dut`: descriptions of your own RTL, written and checked before anything is simulated."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fxsim.cli.console import (
    json_option,
    model_argument,
    print_json,
    print_table,
    refuse_overwriting,
    say,
    say_unprobed,
)

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
    rows = []
    for line in (*found.streams, *found.taps):
        number = line.number + (", big-endian" if line.byte_order == "big" else "")
        order = ", ".join(line.order)
        rows.append((line.role, line.name, line.data, line.handshake, line.lanes, number, order, line.beats))
    titles = ("", "tensor", "data", "handshake", "lanes", "number", "order", "beats")
    print_table(f"{found.description}: fits model '{found.model}'", titles, rows)
    if found.memories:
        lines = [(line.file, line.tensor, line.words, line.digits) for line in found.memories]
        print_table("", ("memory file", "holds", "words", "digits"), lines)
    if found.parameters:
        say("parameters: " + ", ".join(f"{name} = {value}" for name, value in found.parameters.items()))
    if found.unprobed == found.outside:
        say("all that the design computes is compared" if found.outside else "all is compared")
    say_unprobed(found.unprobed, found.outside)
    for note in found.notes:
        say(f"note: {note}")


@command.command("init")
@click.option("--top", required=True, metavar="MODULE", help="The module to simulate.")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", "model", metavar="MODEL", type=click.Path(path_type=Path), help="The model it is to compute.")
@click.option(
    "-o", "--output", metavar="FILE.toml", type=click.Path(path_type=Path),
    help="Where to write it; by default TOP.toml.",
)  # fmt: skip
@click.option(
    "--include", multiple=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder of files to include."
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def init_command(
    top: str, sources: tuple[Path, ...], model: Path | None, output: Path | None, include: tuple[Path, ...], force: bool
) -> None:
    """Write a first description of a design: what its ports' names and sizes say, and CHOOSE where a person must.

    SOURCES are Verilog and SystemVerilog files, or VHDL (through GHDL), in the folder of the description or below it.
    With a model, lanes, orders, memory files and names of taps that may fit are proposed.
    """
    from fxsim.devices.described.parts import CHOOSE
    from fxsim.devices.described.propose import propose
    from fxsim.errors import FileError
    from fxsim.formats import atomic_write, load

    path = output or Path(f"{top}.toml")
    if path.exists() and not force:
        raise FileError(f"{path} is there already: give another -o, or --force to write over it")
    refuse_overwriting(path, (*sources, *(() if model is None else (model,))))
    text = propose(top, sources, path.parent, include, None if model is None else load(model))
    with atomic_write(path) as file:
        file.write_text(text, encoding="utf-8")
    left = sum(CHOOSE in line.partition("#")[0] for line in text.splitlines())
    count = f"{left or 'no'} line{'' if left == 1 else 's'} with {CHOOSE}"
    say(f"{path}: {count}; fxsim dut check {path} MODEL says what {'is left' if left else 'does not fit'}")
