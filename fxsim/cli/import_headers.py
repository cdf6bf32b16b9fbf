"""`fxsim import`: published C headers to a model file."""

import dataclasses
from pathlib import Path

import click

from fxsim.cli.console import json_option, print_json, refuse_overwriting, say
from fxsim.contract import TableRule
from fxsim.families import recognise_resmlp
from fxsim.formats import model_sha256, save
from fxsim.formats.headers import HEADER_FILES, MatrixLayout, import_headers


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("-o", "--output", metavar="MODEL", required=True, type=click.Path(path_type=Path), help="File to write.")
@click.option(
    "--layout",
    type=click.Choice([str(layout) for layout in MatrixLayout]),
    default=str(MatrixLayout.AUTO),
    show_default=True,
    help="How matrices lie: [output][input] (streaming design) or [input][output] (SIMD design). 'auto' sees it from "
    "those that are not square.",
)
@click.option(
    "--edge-rule",
    "rule",
    type=click.Choice([str(rule) for rule in TableRule]),
    help="How tables are read. By default from the points they store: P + 1 are 'endpoint', 256 are 'full', any other "
    "power of two 'clamp', which is the published models' rule. Headers cannot tell 'clamp' from 'hold'.",
)
@click.option("--name", help="The model's name; by default the folder's.")
@json_option
def command(folder: Path, output: Path, layout: str, rule: str | None, name: str | None, as_json: bool) -> None:
    """Read the published C headers in DIR into one model file.

    DIR holds quant_params.h and, for a PSA model, lerp_psa_params.h or lerp_psa_params_transposed.h (where both are
    there, they must agree). Dimensions are the headers' own. Where anything is wrong, nothing is written.
    """
    refuse_overwriting(output, (folder / file for file in HEADER_FILES))
    model = import_headers(folder, layout, rule, name)
    save(model, output)
    config = recognise_resmlp(model.graph)
    sha256 = model_sha256(model)
    if as_json:
        print_json(
            {
                "output": str(output),
                "name": model.name,
                "sha256": sha256,
                "provenance": dict(model.provenance),
                "resmlp": dataclasses.asdict(config),
            }
        )
        return
    kind = f"PSA, {config.points} points, {config.rule}" if config.psa else "ReLU"
    dimensions = (
        f"{config.tokens} tokens x {config.values} values, {config.channels} channels, hidden {config.hidden}, "
        f"{config.blocks} blocks, {config.classes} classes"
    )
    say(f"{output}: {kind}; {dimensions}; layout {model.provenance['layout']}; sha256 {sha256}")
