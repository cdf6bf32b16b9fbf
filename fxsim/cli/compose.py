"""`fxsim compose`: the Verilog of a composed accelerator."""

from pathlib import Path

import click

from fxsim.cli.console import json_option, model_argument, print_json, print_table, say
from fxsim.devices.composed import DESCRIPTION, compose
from fxsim.formats import load


@click.command()
@model_argument
@click.option("-o", "--output", metavar="DIR", required=True, type=click.Path(path_type=Path), help="Folder to write.")
@click.option(
    "--interval",
    metavar="CYCLES",
    type=click.IntRange(min=1),
    help="Most cycles between images: streams get as many channels a beat as it takes.  [default: one channel a beat]",
)
@click.option(
    "--share-loops",
    is_flag=True,
    help="One set of modules for all steps of a loop, which takes each image step by step.",
)
@json_option
def command(model: Path, output: Path, interval: int | None, share_loops: bool, as_json: bool) -> None:
    """Compose an accelerator for MODEL from its graph, and write it into a new folder, or an empty one.

    The folder has the top, composed.v, the modules that it is made of, their ROM files, and composed.toml, the
    description with which `fxsim cosim`, `prove`, `area` and others take it as a design of your own (--dut).
    """
    plan = compose(load(model), output, interval, share_loops)
    if as_json:
        print_json(
            {
                "model": plan.model.name,
                "description": str(output / DESCRIPTION),
                "interval_cycles": plan.interval,
                "input_lanes": plan.source.lanes,
                "nodes": [
                    {"name": part.taps[0], "taps": part.taps, "lanes": part.stream.lanes, "cycles": part.cycles}
                    for part in plan.parts
                ],
            }
        )
        return
    rows = [
        (_name(part.taps), part.node.op.kind, part.stream.lanes, part.stream.width, part.cycles) for part in plan.parts
    ]
    print_table(plan.model.name, ("node", "operator", "lanes", "bits a beat", "cycles an image"), rows)
    say(f"{plan.interval:,} cycles between images; description: {output / DESCRIPTION}")


def _name(taps: tuple[str, ...]) -> str:
    """The nodes of a row of the table: one, or those of the steps that share modules."""
    return taps[0] if len(taps) == 1 else f"{taps[0]} ... {taps[-1]}"
