"""`python -m benchmarks described`: our streaming accelerator through a description, against its own harness."""

import json
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np

from fxsim import temporary
from fxsim.benchmark.machine import describe_machine
from fxsim.cli.console import json_option, plain, print_json, print_table, say
from fxsim.cosim import cosim
from fxsim.errors import FxsimError
from fxsim.formats import load
from fxsim.paths import golden_dir, rtl_dir

_DESCRIPTION = Path(__file__).parent.parent / "tests" / "rtl" / "stream" / "stream.toml"
OWN, DESCRIBED = "own harness", "description"


def describe(folder: Path) -> Path:
    """The streaming accelerator in a new folder with its description, which shows every tap; returns the latter."""
    for name in ("lib", "stream"):
        shutil.copytree(rtl_dir() / name, folder / name)
    # The command of this interpreter, wherever it is.
    text = _DESCRIPTION.read_text(encoding="utf-8")
    path = folder / "stream.toml"
    path.write_text(text.replace('"fxsim"', json.dumps(sys.executable) + ', "-m", "fxsim"'), encoding="utf-8")
    return path


@click.command()
@click.option(
    "--model", type=click.Path(path_type=Path), help="Of four blocks of PSA, 64 points; by default golden psa_h96."
)
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
        path = describe(folder)
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
        text = path.read_text(encoding="utf-8")
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
    click.echo(f"{len(text.splitlines())} lines of description, of which {text.count('[[tap]]')} entries of taps")
