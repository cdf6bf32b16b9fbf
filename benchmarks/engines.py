"""Images a second of both engines, and of the plain float32 forward pass that one would otherwise run."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from benchmarks.common import machine, measured_images, measured_model
from fxsim.cli.console import json_option, print_json, print_table
from fxsim.engines import run_reference
from fxsim.engines.compiled import instruction_sets, run_compiled
from fxsim.model import INPUT, Add, Affine, Axis, Graph, Lut, Pool, Relu
from fxsim.model.operators import Linear
from fxsim.model.summary import summarise

Float32 = npt.NDArray[np.float32]


@click.command()
@click.option("--model", type=click.Path(path_type=Path), help="Model file; by default the published PSA model.")
@click.option("--rounds", default=7, show_default=True, help="Times to measure each; the best counts.")
@json_option
def engines(model: Path | None, rounds: int, as_json: bool) -> None:
    """Compare the engines' speed: images/s, ratio to the reference, multiply-accumulates a second.

    The compiled one on every instruction set that this machine has; without one it takes the fastest.

    All are measured in turn, round after round, so that a busy moment of the machine meets all of them. The float32
    forward pass is the same network without rounding and saturation, as plain numpy on one BLAS thread: not the same
    answer, but what is at hand otherwise.
    """
    measured = measured_model(model)
    last = (measured.graph.output,)
    forward = float_forward(measured.graph)
    few, many = measured_images(measured, 32), measured_images(measured, 2048)
    sets = [isa.name for isa in instruction_sets()]
    contestants: dict[str, tuple[Callable[[], Any], int]] = {
        "reference": (lambda: run_reference(measured.graph, few, last), len(few)),
        "float32 numpy, 1 thread": (lambda: forward(few), len(few)),
        "numba, 1 image, 1 thread": (lambda: run_compiled(measured, many[:1], last, 1), 1),
        "numba, 1 thread": (lambda: run_compiled(measured, many, last, 1), len(many)),
        **{
            f"numba, 2 threads, {isa}": (partial(run_compiled, measured, many, last, 2, isa), len(many)) for isa in sets
        },
        "numba, 2 threads, all taps": (lambda: run_compiled(measured, many, measured.graph.taps, 2), len(many)),
    }
    # Said beside the speed: a fast engine that is wrong is no engine.
    expected = run_reference(measured.graph, few, last)[last[0]]
    equal = all(np.array_equal(run_compiled(measured, few, last, isa=isa)[last[0]], expected) for isa in sets)
    best = dict.fromkeys(contestants, float("inf"))
    for _ in range(rounds):
        for name, (compute, count) in contestants.items():
            started = time.perf_counter()
            compute()
            best[name] = min(best[name], (time.perf_counter() - started) / count)
    macs = summarise(measured).macs
    results = [
        {
            "what": name,
            "images_per_second": round(1 / seconds, 1),
            "ratio": round(best["reference"] / seconds, 2),
            "gmac_per_second": round(macs / seconds / 1e9, 2),
        }
        for name, seconds in best.items()
    ]
    summary = {"model": measured.name, "macs": macs, "machine": machine(), "equal": bool(equal), "results": results}
    if as_json:
        print_json(summary)
        return
    click.echo(machine())
    rows = [(r["what"], f"{r['images_per_second']:,}", f"{r['ratio']}", f"{r['gmac_per_second']}") for r in results]
    print_table(f"{measured.name}, {macs:,} MACs an image", ("what", "images/s", "x reference", "GMAC/s"), rows)
    click.echo(f"engines equal on {len(few)} images: {'yes' if equal else 'NO'}")


def float_forward(graph: Graph) -> Callable[[npt.NDArray[np.int8]], Float32]:
    """The network in float32: weights scaled by their shifts, tables interpolated, nothing rounded or saturated."""
    steps = [(node.name, node.inputs, _float_step(node.op)) for node in graph.nodes]

    def forward(x: npt.NDArray[np.int8]) -> Float32:
        values: dict[str, Float32] = {INPUT: x.astype(np.float32)}
        for name, inputs, step in steps:
            values[name] = step(*(values[source] for source in inputs))
        return values[graph.output]

    return forward


def _float_step(op: Any) -> Callable[..., Float32]:
    if isinstance(op, Linear | Affine):
        scale = np.float32(0.5) ** op.shift.astype(np.float32)
        bias = op.bias.astype(np.float32)
        if isinstance(op, Affine):
            factor = op.weight * scale
            return lambda x: x * factor + bias
        weight = op.weight * scale[:, None]
        if op.over is Axis.TOKENS:
            return lambda x: weight @ x + bias[:, None]
        transposed = np.ascontiguousarray(weight.T)
        return lambda x: x @ transposed + bias
    if isinstance(op, Lut):
        points = op.table.astype(np.float32)
        channel, step, last = np.arange(len(points)), np.float32(256 / op.points), points.shape[1] - 2

        def interpolate(x: Float32) -> Float32:
            position = (x + np.float32(128)) / step
            segment = np.clip(position.astype(np.int32), 0, last)
            left = points[channel, segment]
            result: Float32 = left + (points[channel, segment + 1] - left) * (position - segment)
            return result

        return interpolate
    if isinstance(op, Add):
        return lambda x, r: x + r
    if isinstance(op, Pool):
        return lambda x: x.mean(axis=-2)
    assert isinstance(op, Relu)
    return lambda x: np.maximum(x, np.float32(0))
