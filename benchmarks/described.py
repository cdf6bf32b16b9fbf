"""`python -m benchmarks described`: our streaming accelerator through a description, against its own harness."""

import statistics
from pathlib import Path
from typing import Any

import click
import numpy as np

from fxsim import temporary
from fxsim.benchmark.machine import describe_machine
from fxsim.cli.console import json_option, plain, print_json, print_table, say
from fxsim.cosim import cosim
from fxsim.devices.stream.roms import rtl_parameters, stream_order, write_roms
from fxsim.errors import FxsimError
from fxsim.formats import load
from fxsim.graph import Model
from fxsim.operators import Axis
from fxsim.paths import golden_dir, rtl_dir, verilog_files

OWN, DESCRIBED = "own harness", "description"


def describe(model: Model, folder: Path) -> Path:
    """The streaming accelerator with a model's ROMs in a new folder; returns its description, which shows every tap."""
    names = [name for name in verilog_files(rtl_dir()) if name.split("/")[0] in ("lib", "stream")]
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(verilog_files(rtl_dir())[name].read_bytes())
    write_roms(model, folder)
    lines = [
        'top = "stream_resmlp"',
        f"sources = [{', '.join(repr(name) for name in names)}]",
        'files = ["*.hex"]',
        f"parameters = {{ {', '.join(f'{name} = {value}' for name, value in rtl_parameters(model).items())} }}",
        'clock = "clk"',
        'reset = { signal = "rst" }',
        '[[stream]]\nrole = "input"\nprefix = "s_axis"',
        '[[stream]]\nrole = "output"\nprefix = "m_axis"',
    ]
    for i, tap in enumerate(model.graph.taps):
        signals = f'data = "mon_data[{8 * i + 7}:{8 * i}]"\nvalid = "mon_valid[{i}]"\nready = "mon_ready[{i}]"'
        order = '\norder = ["channel", "token"]' if stream_order(model, tap) is Axis.CHANNELS else ""
        lines.append(f'[[tap]]\nname = "{tap}"\n{signals}{order}')
    path = folder / "stream.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@click.command()
@click.option("--model", type=click.Path(path_type=Path), help="Model file; by default the golden model psa_h96.")
@click.option("--images", default=32, show_default=True, help="Images of each run: the golden digits, over and over.")
@click.option("--rounds", default=7, show_default=True, help="Runs of either, in turn.")
@json_option
def described(model: Path | None, images: int, rounds: int, as_json: bool) -> None:
    """Simulate the streaming accelerator with all taps, by its own harness and through a description, in turn."""
    measured = load(golden_dir() / "psa_h96.safetensors" if model is None else model)
    shape = (images, *measured.graph.input_shape)
    x = np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)
    speeds: dict[str, list[int]] = {OWN: [], DESCRIBED: []}
    with temporary.folder("described") as folder:
        path = describe(measured, folder)
        try:
            for round_ in range(rounds):
                say(f"round {round_ + 1} of {rounds}", err=True)
                turn: list[tuple[str, dict[str, Any]]] = [
                    (OWN, {"accel": "stream"}),
                    (DESCRIBED, {"accel": "described", "dut": str(path)}),
                ]
                for name, device in turn if round_ % 2 else turn[::-1]:
                    result = cosim(measured, x, power_on_seeds=(1,), **device)
                    if not result.passed:
                        raise click.ClickException(f"{name}: the accelerator differs from the model")
                    speeds[name].append(result.timing.cycles_per_second)
        except FxsimError as error:
            raise click.ClickException(plain(str(error))) from None
        lines = len(path.read_text(encoding="utf-8").splitlines())
    ratios = [ours / own for own, ours in zip(speeds[OWN], speeds[DESCRIBED], strict=True)]
    if as_json:
        print_json(
            {"model": measured.name, "machine": describe_machine(), "cycles_per_second": speeds, "ratios": ratios}
        )
        return
    click.echo(describe_machine())
    rows = [(name, f"{statistics.median(found):,.0f}", f"{max(found):,.0f}") for name, found in speeds.items()]
    print_table(f"{measured.name}, {images} images, all taps: cycles a second", ("through", "median", "most"), rows)
    middle = statistics.median(ratios)
    click.echo(f"description / own harness, in pairs: median {middle:.2f}, {min(ratios):.2f} to {max(ratios):.2f}")
    click.echo(f"{lines} lines of description, of which {len(measured.graph.taps)} taps")
