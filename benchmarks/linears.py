"""`python -m benchmarks linears`: areas of one linear, by values a cycle and by how its products are made."""

from pathlib import Path

import click

from fxsim.cli.console import json_option, print_json, print_table, progress
from fxsim.devices.base import Synthesisable
from fxsim.devices.stream.nodes import module_of, module_parameters
from fxsim.errors import FxsimError
from fxsim.formats import load
from fxsim.paths import golden_dir, rtl_dir
from fxsim.simulate.sources import read_sources
from fxsim.synthesis import find_target, synthesise
from fxsim.synthesis.record import add_up

_WAYS = tuple((outputs, packed, block) for block in (0, 1) for outputs in (1, 2, 4) for packed in (0, outputs > 1))
"""Values a cycle, products of two in one multiplier, weights in memory blocks: each combination that there is."""


@click.command()
@click.option("--model", type=click.Path(path_type=Path), help="Model file; by default the golden model psa_h96.")
@click.option("--node", default="blocks.0.mlp.linear_1", show_default=True, help="The linear, whose contents count.")
@click.option("--device", default="xcup", show_default=True, metavar="NAME", help="The FPGA, as of `fxsim area`.")
@click.option("--outputs", multiple=True, type=click.Choice(["1", "2", "4"]), help="These alone; may be repeated.")
@click.option("--block-rom", type=click.Choice(["0", "1"]), help="Weights in memory blocks, or not; by default each.")
@json_option
def linears(
    model: Path | None, node: str, device: str, outputs: tuple[str, ...], block_rom: str | None, as_json: bool
) -> None:
    """Count what a linear takes with OUTPUTS 1, 2 and 4, with PACKED, and with BLOCK_ROM; levels of its longest way."""
    loaded, target = load(model or golden_dir() / "psa_h96.safetensors"), find_target(device)
    found = {n.name: n for n in loaded.graph.nodes}.get(node)
    if found is None or module_of(found) != "linear":
        raise FxsimError(f"model '{loaded.name}' has no linear '{node}'")
    parameters, files = module_parameters(loaded, found)
    sources = read_sources(rtl_dir())
    rows = []
    chosen = [
        way
        for way in dict.fromkeys(_WAYS)
        if (not outputs or str(way[0]) in outputs) and (block_rom is None or str(way[2]) == block_rom)
    ]
    with progress(f"ways to make {node}") as report:
        for done, (lanes, packed, block) in enumerate(chosen):
            report(done, len(chosen))
            own = {**parameters, "OUTPUTS": lanes, "PACKED": int(packed), "BLOCK_ROM": block}
            units = synthesise(Synthesisable("linear", own, sources, files), target)
            total = add_up(unit.each.times(unit.instances) for unit in units)
            ways = [unit.levels.longest for unit in units if unit.levels.longest is not None]
            tenths = max((way.tenths for way in ways), default=0)
            rows.append((lanes, int(packed), block, total.lut, total.ff, total.dsp, total.bram, f"{tenths / 10:.1f}"))
    titles = ("outputs", "packed", "block ROM", "LUT", "FF", "DSP", "BRAM", "levels")
    if as_json:
        print_json({"node": node, "device": device, "rows": [dict(zip(titles, row, strict=True)) for row in rows]})
    else:
        print_table(f"{node} of {loaded.name}, {parameters['IN']} to {parameters['OUT']}, {target.about}", titles, rows)
