"""`fxsim export-onnx`: an integer model as an ONNX file."""

from pathlib import Path

import click

from fxsim.cli.console import model_argument, refuse_overwriting, say, split_taps
from fxsim.formats import load
from fxsim.formats.onnx import OPSET, export_onnx

_DYNAMIC = "dynamic"


@click.command()
@model_argument
@click.option("-o", "--output", metavar="OUT", required=True, type=click.Path(path_type=Path), help=".onnx to write.")
@click.option(
    "--taps", default="all", show_default=True, metavar="all|NAME,...", help="Taps to make outputs of the graph."
)
@click.option(
    "--batch", default=_DYNAMIC, show_default=True, metavar="dynamic|N", help="Images that a run of the graph takes."
)
def command(model: Path, output: Path, taps: str | None, batch: str) -> None:
    """Write MODEL as an ONNX graph that computes its every value exactly.

    Only standard operators on integers are used, so that anything that runs ONNX computes the contract. The input is
    `input`, int8 [image, token, value]; each output is named after its tap, int8 [image, token, channel], or [image,
    channel] from the pool on.
    """
    images = _images(batch)
    refuse_overwriting(output, (model,))
    loaded = load(model)
    names = loaded.select_taps(split_taps(taps))
    size = export_onnx(loaded, output, names, images)
    batches = "any number of images" if images is None else f"{images:,} images"
    say(f"{output}: model '{loaded.name}', opset {OPSET}, {len(names)} outputs, {batches} a run, {size:,} bytes")


def _images(batch: str) -> int | None:
    """The batch that was asked for; None for a dynamic one."""
    if batch == _DYNAMIC:
        return None
    if not (batch.isascii() and batch.isdecimal() and len(batch) <= 9):
        raise click.BadParameter(f"'{batch}' is neither '{_DYNAMIC}' nor a number of images", param_hint="--batch")
    return int(batch)
