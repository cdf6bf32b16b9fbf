"""Time that a first and a later `fxsim run` take from the shell, by parts."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from fxsim import temporary
from fxsim.benchmark.measure import default_images
from fxsim.formats import save
from fxsim.graph import Model

_IMAGES = 4


def measure_startup(model: Model, rounds: int) -> dict[str, float]:
    """Seconds that whole commands take on four images, by name: nothing cached, cached (the best of `rounds`), ..."""
    with temporary.folder("startup") as folder:
        save(model, folder / "model.safetensors")
        images = default_images(model, seed=1)
        np.save(folder / "x.npy", np.resize(images, (_IMAGES, *images.shape[1:])))
        run = ["run", "model.safetensors", "x.npy", "-o", "out.npz", "--engine"]
        return {
            "fxsim run, nothing cached": _time(folder, [*run, "numba"], 1),
            "fxsim run, cached": _time(folder, [*run, "numba"], rounds),
            "fxsim run --engine reference": _time(folder, [*run, "reference"], rounds),
            "fxsim info": _time(folder, ["info", "model.safetensors"], rounds),
            "fxsim --help": _time(folder, ["--help"], rounds),
        }


def _time(folder: Path, arguments: list[str], rounds: int) -> float:
    command = [sys.executable, "-c", "from fxsim.cli import main; main()", *arguments]
    best = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        environment = {**os.environ, "FXSIM_CACHE": str(folder / "cache")}
        # Not by `fxsim.process`, which starts a shell, too: that would be part of the time.
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        best = min(best, time.perf_counter() - started)
    return best
