"""Distance of the published PSA model's integer values from those that its authors published."""

from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from fxsim.engines import run
from fxsim.families import recognise_resmlp
from fxsim.formats.headers import import_headers, read_header_arrays
from fxsim.formats.npy import read_archive
from fxsim.graph import Model


def stages(model: Model) -> dict[str, str]:
    """Arrays in quant_samples.h by the tap of a ResMLP that they hold."""
    blocks = recognise_resmlp(model.graph).blocks
    return {
        "embed": "samples_inter_0",
        **{f"blocks.{i}.mlp.add": f"samples_inter_{i + 1}" for i in range(blocks)},
        "classifier": "samples_output",
    }


class Distance(msgspec.Struct, frozen=True):
    """Distance of one tap in int8 steps, the greatest and the mean; share of values that differ."""

    greatest: int
    mean: float
    differing: float


class Dump(msgspec.Struct, frozen=True):
    """One published dump: images, how many are put into the same class, distance by tap."""

    images: int
    same_class: int
    taps: dict[str, Distance]


def measure_distances(folder: Path) -> tuple[str, dict[str, Dump]]:
    """The name of the published model in `folder`, and its distance to each of the two dumps there, by file."""
    model = import_headers(folder)
    samples = read_header_arrays(folder / "quant_samples.h")
    trace = read_archive(folder / "csim_trace.npz")
    dumps = {
        "quant_samples.h": (
            samples["samples_input"].astype(np.int8),
            {t: samples[n] for t, n in stages(model).items()},
        ),
        "csim_trace.npz": (trace["input"], {tap: trace[tap] for tap in trace if tap != "input"}),
    }
    found = {}
    for file, (images, expected) in dumps.items():
        taps = run(model, images, list(expected))
        same = taps["classifier"].argmax(axis=1) == expected["classifier"].argmax(axis=1)
        distances = {tap: _distance(taps[tap], values) for tap, values in expected.items()}
        found[file] = Dump(len(images), int(same.sum()), distances)
    return model.name, found


def _distance(got: npt.NDArray[np.int8], expected: npt.NDArray[np.generic]) -> Distance:
    difference = np.abs(got.astype(np.int64) - expected.astype(np.int64))
    return Distance(int(difference.max()), float(difference.mean()), float((difference != 0).mean()))
