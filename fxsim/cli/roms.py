"""`fxsim roms`: the memory files that a design reads of a model."""

from pathlib import Path

import click

from fxsim.cli.console import model_argument, say
from fxsim.devices import DEFAULT, DESCRIBED
from fxsim.formats import load
from fxsim.vectors.kit import write_memory_files


@click.command()
@model_argument
@click.option("-o", "--output", metavar="DIR", required=True, type=click.Path(path_type=Path), help="Folder to write.")
@click.option("--dut", metavar="FILE", type=click.Path(path_type=Path), help="Description of your own RTL, .toml.")
def command(model: Path, output: Path, dut: Path | None) -> None:
    """Write the files that a design reads of MODEL with $readmemh into a new folder, or an empty one.

    They are the ROM files of the streaming accelerator, or those that the description of your own RTL states.
    """
    device, settings = (DEFAULT, {}) if dut is None else (DESCRIBED, {"dut": str(dut)})
    for path in write_memory_files(load(model), output, device, settings):
        say(str(output / path))
