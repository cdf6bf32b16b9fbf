"""`fxsim import`: published parameters, or files of another format that there is an importer for, to a model file."""

import dataclasses
from pathlib import Path

import click

from fxsim.cli.console import json_option, print_json, refuse_overwriting, say
from fxsim.contract import TableRule
from fxsim.errors import FxsimError, ModelError
from fxsim.families import ResMLPConfig, recognise_resmlp
from fxsim.formats import model_sha256, save
from fxsim.formats.bnn_pynq import TOPOLOGIES
from fxsim.formats.headers import MatrixLayout
from fxsim.formats.importers import DEFAULT, IMPORTERS, find_importer, import_model
from fxsim.graph import Model

_TIES_LENGTH_MAX = 300


class _Command(click.Command):
    """Lists in its help the importers that there are, which loads them."""

    def format_epilog(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """The formats, each with what it takes."""
        rows = []
        for name in IMPORTERS:
            try:
                rows.append((name, IMPORTERS[name].takes))
            except FxsimError as error:
                rows.append((name, f"not usable: {error}"))
        with formatter.section("Formats"):
            formatter.write_dl(rows)


@click.command(cls=_Command)
@click.argument("source", metavar="PATH", type=click.Path(path_type=Path))
@click.option("-o", "--output", metavar="MODEL", required=True, type=click.Path(path_type=Path), help="File to write.")
@click.option(
    "--format",
    "--from",
    "importer",
    metavar="NAME",
    help="What PATH is, of the formats below; other packages add to them (entry points 'fxsim.formats'). By default "
    f"what it looks like, else '{DEFAULT}'.",
)
@click.option(
    "--layout",
    type=click.Choice([str(layout) for layout in MatrixLayout]),
    show_default=str(MatrixLayout.AUTO),
    help="Of headers: how matrices lie, [output][input] (streaming design) or [input][output] (SIMD design). 'auto' "
    "sees it from those that are not square.",
)
@click.option(
    "--edge-rule",
    "rule",
    type=click.Choice([str(rule) for rule in TableRule]),
    help="Of headers: how tables are read. By default from the points they store: P + 1 are 'endpoint', 256 are "
    "'full', any other power of two 'clamp', which is the published models' rule. Headers cannot tell 'clamp' from "
    "'hold'.",
)
@click.option(
    "--topology",
    type=click.Choice(list(TOPOLOGIES)),
    help="Of a folder of bnn-pynq: the network that it is of, which such a folder does not say.",
)
@click.option(
    "--input-number",
    metavar="NUMBER",
    help="Of qonnx: the integers that the model is fed, such as uint8, or uint8/255 where the file reads code / 255. "
    "By default what the file annotates, else the levels of its first quantiser.",
)
@click.option(
    "--kernels",
    type=click.Choice(["reference", "optimised", "xnnpack"]),
    help="Of tflite: the kernels whose rounding the model has; by default the reference kernels.",
)
@click.option("--name", help="The model's name; by default the folder's, for headers, or the topology's.")
@json_option
def command(
    source: Path,
    output: Path,
    importer: str | None,
    layout: str | None,
    rule: str | None,
    topology: str | None,
    input_number: str | None,
    kernels: str | None,
    name: str | None,
    as_json: bool,
) -> None:
    """Read published C headers, or files of another format, into one model file.

    A folder of headers holds quant_params.h and, for a PSA model, lerp_psa_params.h or lerp_psa_params_transposed.h
    (where both are there, they must agree). Dimensions are the headers' own. Where anything is wrong, nothing is
    written.
    """
    importer = importer or find_importer(source)
    refuse_overwriting(output, IMPORTERS[importer].files(source))
    stated = {"layout": layout, "rule": rule, "topology": topology, "input_number": input_number, "kernels": kernels}
    options = {key: value for key, value in stated.items() if value is not None}
    model = import_model(source, importer, **options)
    if name:
        model = dataclasses.replace(model, name=name)
    save(model, output)
    config = _resmlp(model)
    sha256 = model_sha256(model)
    if as_json:
        print_json(
            {
                "output": str(output),
                "name": model.name,
                "sha256": sha256,
                "provenance": dict(model.provenance),
                "resmlp": dataclasses.asdict(config) if config else None,
            }
        )
        return
    words = _describe(config) if config else _count(model)
    if "layout" in model.provenance:
        words += f"; layout {model.provenance['layout']}"
    if "near ties" in model.provenance:
        words += f"; near ties, where float32 may differ: {_first(model.provenance['near ties'])}"
    say(f"{output}: {words}; sha256 {sha256}")


def _resmlp(model: Model) -> ResMLPConfig | None:
    try:
        return recognise_resmlp(model.graph)
    except ModelError:
        return None


def _describe(config: ResMLPConfig) -> str:
    kind = f"PSA, {config.points} points, {config.rule}" if config.psa else "ReLU"
    return (
        f"{kind}; {config.tokens} tokens x {config.values} values, {config.channels} channels, "
        f"hidden {config.hidden}, {config.blocks} blocks, {config.classes} classes"
    )


def _first(text: str) -> str:
    return text if len(text) <= _TIES_LENGTH_MAX else f"{text[:_TIES_LENGTH_MAX]}... (all of them: fxsim info)"


def _count(model: Model) -> str:
    nodes = len(model.graph.nodes)
    return f"{nodes:,} operator{'s' if nodes != 1 else ''}, input {model.graph.input}"
