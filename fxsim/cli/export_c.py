"""`fxsim export-c`: an integer model as C99."""

from pathlib import Path

import click
import numpy as np

from fxsim.cli.console import json_option, model_argument, print_json, refuse_overwriting, say
from fxsim.engines import Engine, run
from fxsim.formats import load, model_sha256, read_stimulus
from fxsim.formats.c import c_name_of, export_c
from fxsim.vectors import draw_stimulus

_IMAGES_MAX = 4
"""Most images that `make check` computes: their taps are much more than the network."""

_DRAWS = {"uniform": 1, "extreme": 2}
"""Images to check with where none are given, by how they are drawn: any values, all least, all greatest."""


@click.command()
@model_argument
@click.option("-o", "--output", metavar="DIR", required=True, type=click.Path(path_type=Path), help="Folder to write.")
@click.option(
    "--name",
    metavar="NAME",
    help="Beginning of the names of files and identifiers in C.  [default: made from the model's name]",
)
@click.option(
    "--images",
    metavar="INPUT.npy",
    type=click.Path(path_type=Path),
    help=f"Images that `make check` computes, at most the first {_IMAGES_MAX}.  [default: random and extreme ones]",
)
@json_option
def command(model: Path, output: Path, name: str | None, images: Path | None, as_json: bool) -> None:
    """Write MODEL as self-contained C99 that computes its every value exactly.

    NAME.h has the function NAME_run, which computes all taps of an image into a struct: nothing is allocated, and
    nothing but the C library is needed. With it come a program for files of images, a wrapper for SystemVerilog
    (NAME_dpi.c, NAME_pkg.sv), and a Makefile, whose `make check` compares every tap of some images with the values that
    the reference engine gives.
    """
    loaded = load(model)
    inputs = [model] if images is None else [model, images]
    # An input may lie in the folder under any name.
    for path in output.iterdir() if output.is_dir() else ():
        refuse_overwriting(path, inputs)
    if images is None:
        drawn = [draw_stimulus(draw, count, loaded.graph.input, seed=0) for draw, count in _DRAWS.items()]
        x, of = np.concatenate(drawn), ""
    else:
        given = read_stimulus(images, loaded)
        x = np.array(given[:_IMAGES_MAX])
        of = f" of {len(given):,}" if len(given) > len(x) else ""
    expected = run(loaded, x, "all", Engine.REFERENCE)
    paths = export_c(loaded, output, x, expected, name)
    if as_json:
        summary = {
            "model": loaded.name,
            "sha256": model_sha256(loaded),
            "name": name or c_name_of(loaded.name),
            "files": [str(path) for path in paths],
            "taps": len(loaded.graph.taps),
            "images": len(x),
        }
        print_json(summary)
        return
    for path in paths:
        say(f"{path}: {path.stat().st_size:,} bytes")
    say(f"model '{loaded.name}', {len(loaded.graph.taps)} taps; check {len(x)}{of} images with: make -C {output} check")
