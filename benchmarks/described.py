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
from fxsim.contract.arithmetic import Integers
from fxsim.cosim import cosim
from fxsim.cosim.result import Timing
from fxsim.errors import FxsimError
from fxsim.formats import load
from fxsim.graph import Model
from fxsim.paths import golden_dir, rtl_dir

_DESCRIPTION = Path(__file__).parent.parent / "tests" / "rtl" / "stream" / "stream.toml"
OWN, DESCRIBED = "own harness", "description"
WALL, CPU = "clock", "processor"
"""The two clocks: seconds of the processor count where the machine has other work, too."""


def describe(folder: Path) -> Path:
    """The streaming accelerator in a new folder with its description, which shows every tap; returns the latter."""
    for name in ("lib", "stream"):
        shutil.copytree(rtl_dir() / name, folder / name)
    # The command of this interpreter, wherever it is.
    text = _DESCRIPTION.read_text(encoding="utf-8")
    path = folder / "stream.toml"
    path.write_text(text.replace('"fxsim"', json.dumps(sys.executable) + ', "-m", "fxsim"'), encoding="utf-8")
    return path


def _timing(name: str, model: Model, x: Integers, device: dict[str, Any]) -> Timing:
    """The timing of a run in which nothing differs."""
    result = cosim(model, x, power_on_seeds=(1,), **device)
    if not result.passed:
        raise click.ClickException(f"{name}: the accelerator differs from the model")
    return result.timing


@click.command()
@click.option(
    "--model", type=click.Path(path_type=Path), help="Of four blocks of PSA, 64 points; by default golden psa_h96."
)
@click.option("--images", default=32, show_default=True, help="Images of each run, at random.")
@click.option("--rounds", default=7, show_default=True, help="Runs of either, in turn.")
@json_option
def described(model: Path | None, images: int, rounds: int, as_json: bool) -> None:
    """Simulate the streaming accelerator with all taps, by its own harness and through a description, in turn.

    What a run of one image takes is taken off: start, and the cycles after the last image, which are quicker and more
    through a description.
    """
    measured = load(golden_dir() / "psa_h96.safetensors" if model is None else model)
    shape = (images, *measured.graph.input_shape)
    x = np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)
    speeds: dict[str, dict[str, list[float]]] = {clock: {OWN: [], DESCRIBED: []} for clock in (WALL, CPU)}
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
                    one, all_ = (_timing(name, measured, each, device) for each in (x[:1], x))
                    cycles = all_.cycles - one.cycles
                    seconds = {
                        WALL: all_.simulation_seconds - one.simulation_seconds,
                        CPU: all_.simulation_cpu_seconds - one.simulation_cpu_seconds,
                    }
                    for clock, taken in seconds.items():
                        if taken <= 0:
                            raise click.ClickException("too few images to measure: expected more with --images")
                        speeds[clock][name].append(round(cycles / taken))
        except FxsimError as error:
            raise click.ClickException(plain(str(error))) from None
        text = path.read_text(encoding="utf-8")
    ratios = {
        clock: [ours / own for own, ours in zip(found[OWN], found[DESCRIBED], strict=True)]
        for clock, found in speeds.items()
    }
    if as_json:
        print_json(
            {"model": measured.name, "machine": describe_machine(), "cycles_per_second": speeds, "ratios": ratios}
        )
        return
    click.echo(describe_machine())
    rows = [
        (clock, name, f"{statistics.median(found):,.0f}", f"{max(found):,.0f}")
        for clock, by_name in speeds.items()
        for name, found in by_name.items()
    ]
    title = f"{measured.name}, {images} images, all taps: cycles a second"
    print_table(title, ("second", "through", "median", "most"), rows)
    for clock, pairs in ratios.items():
        spread = f"median {statistics.median(pairs):.2f}, {min(pairs):.2f} to {max(pairs):.2f}"
        click.echo(f"description / own harness, in pairs, of the {clock}: {spread}")
    click.echo(f"{len(text.splitlines())} lines of description, of which {text.count('[[tap]]')} entries of taps")
