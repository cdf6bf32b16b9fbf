"""`fxsim compare`: two sources of a model's values, and the first difference of every tap."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fxsim.cli.console import (
    json_option,
    model_argument,
    plain,
    print_json,
    print_table,
    progress,
    say,
    split_taps,
)
from fxsim.engines import ENGINE_NAMES

if TYPE_CHECKING:
    from fxsim.compare import Comparison, Source
    from fxsim.contract.arithmetic import Integers
    from fxsim.graph import Model

_WORDS = (*ENGINE_NAMES, "loops", "onnx")
_FLOAT, _CONTRACT, _DEVICE, _ORIGINALS = "float:", "contract:", "device:", ("qonnx:", "runtime:")
_NAMED = 8
"""Names that are listed of those that are not compared; JSON has all."""
_PREFIXES = (_FLOAT, _CONTRACT, _DEVICE, *_ORIGINALS)


@click.command("compare")
@model_argument
@click.option(
    "--input", "stimulus", required=True, metavar="X", type=click.Path(path_type=Path),
    help="Images: .npy, or .npz with an array 'input'.",
)  # fmt: skip
@click.option("--trace", metavar="SOURCE", required=True, help="What is looked at: a trace, or another source; below.")
@click.option("--map", "map_file", metavar="FILE", type=click.Path(path_type=Path), help="Map of --trace, TOML.")
@click.option("--against", metavar="SOURCE", default="auto", show_default=True, help="What is expected; below.")
@click.option(
    "--against-map", metavar="FILE", type=click.Path(path_type=Path), help="Map of --against, where that is a trace."
)
@click.option("--taps", metavar="all|NAME,...", help="Taps to compare.  [default: all that both sources have]")
@json_option
def command(
    model: Path,
    stimulus: Path,
    trace: str,
    map_file: Path | None,
    against: str,
    against_map: Path | None,
    taps: str | None,
    as_json: bool,
) -> None:
    """Compare every value of two sources of MODEL's taps, and say the first difference of every tap.

    A SOURCE is a trace, that is a file (.npz, .npy, .hex, .mem, .dat, .txt, .coe, .h, .vcd, .fst, .ghw, .csv) or a
    folder with a file a tap; or an engine (auto, reference, compiled, c, loops); or onnx, ONNX Runtime; or float:FILE
    or contract:FILE, a quantised network's checkpoint in PyTorch, as float fake-quant or by the contract's rules; or
    device:NAME, the RTL of an accelerator, or device:FILE.toml, your own RTL by its description, simulated; or
    qonnx:FILE.onnx, the file that MODEL was imported from, as QONNX's own executor computes it; or runtime:FILE, the
    .onnx or .tflite file that MODEL was imported from, as ONNX Runtime or LiteRT computes it.

    A trace must have as many images as X. Values that are X or Z differ. Taps that a source lacks are named, unless
    --taps asks for them, which is an error. Exit status is 0 only where every value compared is equal.
    """
    from fxsim.cli.images_of import read_images
    from fxsim.formats import load

    loaded = load(model)
    x = read_images(stimulus, loaded)
    names = split_taps(taps)
    wanted = None if names is None or "all" in names else loaded.select_taps(names)
    expected, in_expected = _source(against, against_map, "--against-map", loaded, x, wanted)
    found, in_found = _source(trace, map_file, "--map", loaded, x, wanted)
    both = [tap for tap in loaded.graph.taps if tap in expected.taps and tap in found.taps]
    chosen = loaded.graph.taps if names is not None and wanted is None else tuple(wanted or both)
    with progress("images") as report:
        result = _compare(expected, found, loaded, chosen, report)
    missing = tuple(tap for tap in loaded.graph.taps if tap not in chosen)
    unused = (*in_expected, *in_found)
    if as_json:
        print_json(_summary(result, loaded, missing, unused))
    else:
        _print(result, loaded, missing, unused)
    if not result.equal:
        raise SystemExit(1)


def _source(
    text: str, map_file: Path | None, option: str, model: "Model", x: "Integers", taps: tuple[str, ...] | None
) -> tuple["Source", tuple[str, ...]]:
    """The source of that name, and what is in it that nobody reads."""
    if text not in _WORDS and not text.startswith(_PREFIXES):
        from fxsim.traces import open_trace

        trace = open_trace(Path(text), map_file, model, x, taps)
        return trace, trace.unused
    if map_file is not None:
        raise click.UsageError(f"{option} is for a trace, '{text}' is none")
    if text.startswith(_DEVICE):
        from fxsim.cosim.source import device_source

        name = text.removeprefix(_DEVICE)
        return device_source(model, x, name, lambda said: say(f"fxsim: {said}", err=True)), ()
    if text in ENGINE_NAMES:
        from fxsim.compare import engine_source

        return engine_source(model, x, text), ()
    from fxsim.compare import ComputedSource

    if text == "loops":
        from fxsim.engines.loops import run_loops

        return ComputedSource(
            "plain loops", model.graph.taps, x, lambda part, taps: run_loops(model, part, taps), text
        ), ()
    if text.startswith(_ORIGINALS):
        from fxsim.formats.importers import open_original

        in_file, execute = open_original(text, model)
        return ComputedSource(text, in_file, x, lambda part, _: execute(part), text), ()
    if text == "onnx":
        from fxsim.formats.onnx import onnx_bytes, open_onnx

        session = open_onnx(onnx_bytes(model))
        return ComputedSource("ONNX Runtime", model.graph.taps, x, lambda part, _: session(part), text), ()
    return ComputedSource(text, model.graph.taps, x, _network(text, model), text), ()


def _network(text: str, model: "Model") -> Callable[[Any, tuple[str, ...]], Mapping[str, Any]]:
    """The function that computes a quantised network's taps, in float64."""
    import numpy as np
    import torch

    from fxsim.bridge.compare import check_same_structure
    from fxsim.networks.checkpoint import load_quantised
    from fxsim.networks.quantised import CONTRACT, FLOAT
    from fxsim.training.integer_model import export_model

    kind, _, name = text.partition(":")
    path, arithmetic = Path(name), CONTRACT if f"{kind}:" == _CONTRACT else FLOAT
    network, _ = load_quantised(path)
    check_same_structure(export_model(path), model)

    def compute(part: Any, taps: tuple[str, ...]) -> Mapping[str, Any]:
        with torch.no_grad():
            found = network.run_taps(torch.from_numpy(np.array(part)), arithmetic, taps)
        return {tap: values.numpy() for tap, values in found.items()}

    return compute


def _compare(
    expected: "Source", found: "Source", model: "Model", taps: tuple[str, ...], report: Callable[[int, int], None]
) -> "Comparison":
    """Both sources in the taps' own types; where one has others, in float64, which holds every integer of 32 bits."""
    from fxsim.compare import FloatSource, compare, model_taps
    from fxsim.traces import Trace

    def exact(source: "Source") -> bool:
        if source.name.startswith(_PREFIXES):
            return False
        own = model.graph.tensors
        return not isinstance(source, Trace) or all(source.dtype(t) == own[t].number.dtype for t in source.taps)

    if not (exact(expected) and exact(found)):
        expected, found = FloatSource(expected), FloatSource(found)
    shapes = model_taps(model, taps) if taps else ()
    return compare(expected, found, shapes, progress=report)


def _summary(
    result: "Comparison", model: "Model", missing: tuple[str, ...], unused: tuple[str, ...]
) -> dict[str, object]:
    return {
        "passed": result.equal,
        "verdict": str(result.verdict),
        "reason": result.reason,
        "model": model.name,
        "expected": result.expected,
        "found": result.found,
        "images": result.images,
        "values": result.values,
        "compared": result.compared,
        "differ": result.differ,
        "taps": result.taps,
        "not_compared": missing,
        "unused": unused,
    }


def _print(result: "Comparison", model: "Model", missing: tuple[str, ...], unused: tuple[str, ...]) -> None:
    from fxsim.compare import sentence

    say(f"{model.name}: {result.images:,} images, {result.found} against {result.expected}")
    rows = [
        (tap.tap, tap.compared, tap.differ, "-" if tap.largest is None else f"{tap.largest:g}") for tap in result.taps
    ]
    print_table("", ("tap", "compared", "differ", "largest"), rows)
    for tap in result.taps:
        if tap.first is not None:
            say(sentence(tap.first))
    if missing:
        names = ", ".join(missing[:_NAMED]) + (", ..." if len(missing) > _NAMED else "")
        say(f"not compared: {len(missing)} of {len(model.graph.taps)} taps: {names}")
    if unused:
        names = ", ".join(unused[:_NAMED]) + (", ..." if len(unused) > _NAMED else "")
        say(f"not used: {len(unused)} in the trace: {names}")
    if result.equal:
        say(f"PASSED: {result.compared:,} values of {len(result.taps)} of {len(model.graph.taps)} taps equal")
    else:
        say(f"FAILED: {result.differ:,} of {result.compared:,} values differ; first {plain(result.reason or '')}")
