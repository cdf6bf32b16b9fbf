"""How far the published PSA model's integer values are from what its authors published of them."""

from typing import Any

import click
import numpy as np
import numpy.typing as npt

import fxsim
from benchmarks.common import published
from fxsim.cli.console import json_option, print_json, print_table
from fxsim.formats.headers import import_headers, read_header_arrays

STAGES = {
    "embed": "samples_inter_0",
    **{f"blocks.{i}.mlp.add": f"samples_inter_{i + 1}" for i in range(4)},
    "classifier": "samples_output",
}
"""Tap: its array in quant_samples.h."""


@click.command()
@json_option
def distance(as_json: bool) -> None:
    """Compare the published PSA model with the two dumps its authors published, tap by tap."""
    folder = published("stream_psa_h96")
    if folder is None:
        click.echo("skipped: the published data is not at ../shared/published, and FXSIM_PUBLISHED does not name it")
        return
    model = import_headers(folder)
    samples = read_header_arrays(folder / "quant_samples.h")
    trace = np.load(folder / "csim_trace.npz", allow_pickle=False)
    dumps = {
        "quant_samples.h": (samples["samples_input"].astype(np.int8), {t: samples[n] for t, n in STAGES.items()}),
        "csim_trace.npz": (trace["input"], {tap: trace[tap] for tap in trace.files if tap != "input"}),
    }
    results: dict[str, Any] = {}
    for file, (images, expected) in dumps.items():
        taps = fxsim.run(model, images, list(expected))
        same = taps["classifier"].argmax(axis=1) == expected["classifier"].argmax(axis=1)
        results[file] = {
            "images": len(images),
            "same_class": int(same.sum()),
            "taps": {tap: _distance(taps[tap], values) for tap, values in expected.items()},
        }
    if as_json:
        print_json({"model": model.name, "results": results})
        return
    for file, result in results.items():
        title = f"{file}: same class on {result['same_class']} of {result['images']} images"
        rows = [(tap, f["greatest"], f"{f['mean']:.3f}", f"{f['differing']:.1%}") for tap, f in result["taps"].items()]
        print_table(title, ("tap", "greatest", "mean", "differing"), rows)


def _distance(got: npt.NDArray[np.int8], expected: npt.NDArray[np.generic]) -> dict[str, Any]:
    difference = np.abs(got.astype(np.int64) - expected.astype(np.int64))
    return {
        "greatest": int(difference.max()),
        "mean": float(difference.mean()),
        "differing": float((difference != 0).mean()),
    }
