"""`fxsim export`: a quantised network as an integer model."""

from dataclasses import asdict
from pathlib import Path

import click

from fxsim.cli.console import json_option, print_json, refuse_overwriting, say
from fxsim.contract import TABLE_POINTS, TableRule
from fxsim.formats import model_sha256


@click.command()
@click.argument("checkpoint", metavar="QUANTISED", type=click.Path(path_type=Path))
@click.option("-o", "--output", metavar="OUT", required=True, type=click.Path(path_type=Path), help="Model file.")
@click.option("--name", help="The model's name.  [default: the recipe's]")
@click.option("--points", type=click.Choice([str(p) for p in TABLE_POINTS]), help="Store tables of so many points.")
@click.option("--rule", type=click.Choice([str(rule) for rule in TableRule]), help="Edge rule of the tables.")
@click.option(
    "--method",
    type=click.Choice(["decimate", "least-squares", "minimax"]),
    help="How the points are chosen from all 256 values.",
)
@json_option
def command(
    checkpoint: Path,
    output: Path,
    name: str | None,
    points: str | None,
    rule: str | None,
    method: str | None,
    as_json: bool,
) -> None:
    """Write the quantised network in QUANTISED as an integer model.

    QUANTISED is what `fxsim quantize` wrote. Its tables are exported as it stores them; --points, --rule and --method
    choose others, each by default as it is stored (`fxsim tables` compares them). Weights and biases that int8 does not
    hold are clipped, and named: how many of each tensor, and the one that is furthest out.
    """
    from fxsim.errors import FxsimError
    from fxsim.networks.checkpoint import load_quantised_resmlp
    from fxsim.networks.quantised import TableFormat
    from fxsim.tables.points import PointMethod
    from fxsim.training.integer_model import write_exported

    refuse_overwriting(output, (checkpoint,))
    tables = None
    if points or rule or method:
        network, _ = load_quantised_resmlp(checkpoint)
        if not network.table_taps():
            raise FxsimError(f"{checkpoint}: is a ReLU network, which has no tables to choose points for")
        stored = network.tables
        if stored is None:
            raise FxsimError(f"{checkpoint}: stores no tables, expected a network file that `fxsim quantize` wrote")
        tables = TableFormat(
            int(points) if points else stored.points,
            TableRule(rule) if rule else stored.rule,
            PointMethod(method) if method else stored.method,
        )
    model, clipped = write_exported(checkpoint, output, name, tables)
    if as_json:
        print_json(
            {
                "output": str(output),
                "name": model.name,
                "sha256": model_sha256(model),
                "operators": len(model.graph.nodes),
                "clipped": [asdict(clipping) for clipping in clipped],
            }
        )
        return
    say(f"{output}: model '{model.name}', {len(model.graph.nodes)} operators")
    if not clipped:
        say("no weight or bias is clipped")
    for clipping in clipped:
        at = "".join(f"[{i}]" for i in clipping.index)
        say(
            f"clipped: {clipping.count:,} of {clipping.values:,} values of {clipping.tensor}, furthest {at}: "
            f"{clipping.code:.1f} steps, stored as {clipping.stored}"
        )
