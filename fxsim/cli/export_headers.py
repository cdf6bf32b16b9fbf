"""`fxsim export-headers`: a model as published C headers."""

from pathlib import Path

import click

from fxsim.cli.console import model_argument, refuse_overwriting, say
from fxsim.formats import load
from fxsim.formats.headers import HEADER_FILES, MatrixLayout, export_headers


@click.command()
@model_argument
@click.option("-o", "--output", metavar="DIR", required=True, type=click.Path(path_type=Path), help="Folder to write.")
@click.option(
    "--layout",
    type=click.Choice([str(MatrixLayout.OUT_IN), str(MatrixLayout.IN_OUT)]),
    default=str(MatrixLayout.OUT_IN),
    show_default=True,
    help="out-in: matrices [output][input], tables [channel][point]. in-out: matrices [input][output], tables also as "
    "[channel/16][point][16] where channel counts allow it.",
)
def command(model: Path, output: Path, layout: str) -> None:
    """Write MODEL, a ResMLP, as C headers with the published array names.

    `fxsim import` reads them back to the same network. Headers do not state accumulator widths (importing takes the
    contract's), nor how tables are read (give `--edge-rule` where it is not the default).
    """
    loaded = load(model)
    for name in HEADER_FILES:
        refuse_overwriting(output / name, (model,))
    for path in export_headers(loaded, output, layout):
        say(str(path))
