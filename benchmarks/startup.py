"""What a first and a later `fxsim run` cost from the shell, by parts."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

import fxsim
from benchmarks.common import machine, measured_images, measured_model
from fxsim.cli.console import json_option, print_json, print_table


@click.command()
@click.option("--model", type=click.Path(path_type=Path), help="Model file; by default the published PSA model.")
@click.option("--rounds", default=5, show_default=True, help="Times to measure each warm start; the best counts.")
@json_option
def startup(model: Path | None, rounds: int, as_json: bool) -> None:
    """Measure whole commands on four images: with no machine code cached, with it cached, and without Numba."""
    measured = measured_model(model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fxsim.save(measured, folder / "model.safetensors")
        np.save(folder / "x.npy", measured_images(measured, 4))
        run = ["run", "model.safetensors", "x.npy", "-o", "out.npz", "--engine"]
        seconds = {
            "fxsim run, nothing cached": _time(folder, [*run, "numba"], 1),
            "fxsim run, cached": _time(folder, [*run, "numba"], rounds),
            "fxsim run --engine reference": _time(folder, [*run, "reference"], rounds),
            "fxsim info": _time(folder, ["info", "model.safetensors"], rounds),
            "fxsim --help": _time(folder, ["--help"], rounds),
        }
    if as_json:
        print_json(
            {"model": measured.name, "machine": machine(), "seconds": {k: round(v, 3) for k, v in seconds.items()}}
        )
        return
    click.echo(machine())
    print_table(f"{measured.name}, 4 images", ("command", "seconds"), [(k, f"{v:.2f}") for k, v in seconds.items()])


def _time(folder: Path, arguments: list[str], rounds: int) -> float:
    command = [sys.executable, "-c", "from fxsim.cli import main; main()", *arguments]
    best = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        environment = {**os.environ, "FXSIM_CACHE": str(folder / "cache")}
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        best = min(best, time.perf_counter() - started)
    return best
