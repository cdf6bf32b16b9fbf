"""Images a second of ONNX Runtime, executing a model's ONNX graph, and how long the export takes."""

import time
from pathlib import Path

import click
import numpy as np

from benchmarks.common import machine, measured_images, measured_model
from fxsim.cli.console import json_option, print_json, print_table
from fxsim.engines import run_reference
from fxsim.onnx_export import onnx_bytes, open_onnx

_THREADS = (1, 2)


@click.command()
@click.option("--model", type=click.Path(path_type=Path), help="Model file; by default the published PSA model.")
@click.option("--batch", default=256, show_default=True, help="Images a run.")
@click.option("--rounds", default=7, show_default=True, help="Times to measure each; the best counts.")
@json_option
def onnx(model: Path | None, batch: int, rounds: int, as_json: bool) -> None:
    """Measure a model as an ONNX graph: export, opening, images/s of ONNX Runtime with 1 and 2 threads."""
    measured = measured_model(model)
    last = (measured.graph.output,)
    many = measured_images(measured, batch)
    few = many[:8]
    started = time.perf_counter()
    onnx_bytes(measured)
    first = time.perf_counter() - started  # with the imports
    started = time.perf_counter()
    data = onnx_bytes(measured)
    export = time.perf_counter() - started
    graph = onnx_bytes(measured, last)
    started = time.perf_counter()
    sessions = {threads: open_onnx(graph, threads) for threads in _THREADS}
    opening = (time.perf_counter() - started) / len(sessions)
    # Said beside the speed: a fast runtime that is wrong is none.
    equal = all(
        np.array_equal(compute(few)[last[0]], run_reference(measured.graph, few, last)[last[0]])
        for compute in sessions.values()
    )
    best = dict.fromkeys(_THREADS, float("inf"))
    for _ in range(rounds):
        for threads, compute in sessions.items():
            started = time.perf_counter()
            compute(many)
            best[threads] = min(best[threads], time.perf_counter() - started)
    summary = {
        "model": measured.name,
        "machine": machine(),
        "equal": equal,
        "bytes": len(data),
        "first_export_seconds": round(first, 3),
        "export_seconds": round(export, 3),
        "opening_seconds": round(opening, 3),
        "batch": batch,
        "images_per_second": {str(threads): round(batch / seconds, 1) for threads, seconds in best.items()},
    }
    if as_json:
        print_json(summary)
        return
    click.echo(machine())
    rows = [
        ("export, first (imports)", f"{first:.2f} s"),
        (f"export, {len(data):,} bytes", f"{export:.2f} s"),
        ("opening", f"{opening:.2f} s"),
        *((f"ONNX Runtime, {n} thread(s), batch {batch}", f"{batch / best[n]:,.0f} images/s") for n in _THREADS),
    ]
    print_table(measured.name, ("what", "figure"), rows)
    click.echo(f"equal to the reference on {len(few)} images: {'yes' if equal else 'NO'}")
