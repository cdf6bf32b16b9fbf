"""`fxsim run`: a model's taps for images, to an .npz file."""

import time
from pathlib import Path

import click
import numpy as np

from fxsim.cli.console import (
    json_option,
    model_argument,
    print_json,
    progress,
    refuse_overwriting,
    say,
    split_taps,
    taps_option,
)
from fxsim.cli.engines import EngineChoice
from fxsim.engines import Engine, chosen_engine, run_chunks
from fxsim.formats import NpzWriter, load, read_stimulus
from fxsim.operators import Argmax


@click.command()
@model_argument
@click.argument("stimulus", metavar="INPUT", type=click.Path(path_type=Path))
@click.option("-o", "--output", metavar="OUT", required=True, type=click.Path(path_type=Path), help=".npz to write.")
@taps_option
@click.option(
    "--engine",
    type=EngineChoice(),
    default=str(Engine.AUTO),
    show_default=True,
    help="All give the same values. 'compiled' is compiled at its first use on a machine, which takes some seconds, "
    "and 'numba' is its other name; 'auto' takes it wherever it takes the model. 'c' is what `fxsim export-c` writes, "
    "compiled anew by a C compiler.",
)
@json_option
def command(model: Path, stimulus: Path, output: Path, taps: str | None, engine: str, as_json: bool) -> None:
    """Compute taps of MODEL for the images in INPUT and write them to an .npz file.

    INPUT is a .npy file, read as it is needed: int8 [image, token, value], or what `fxsim info` says is the model's
    input, as uint8 [image, row, column, channel]; bipolar is int8 of -1 and 1. Each array in the .npz file is named
    after its tap, and has its axes behind that of the images. The file appears when it is complete, and not at all
    after an error or Ctrl-C.
    """
    refuse_overwriting(output, (model, stimulus))
    loaded = load(model)
    images = read_stimulus(stimulus, loaded)
    names = loaded.select_taps(split_taps(taps))
    output_tap = loaded.graph.output
    result, last = loaded.graph.tensors[output_tap], loaded.graph.by_name[output_tap].op
    shape = result.shape
    # Only a vector of scores names a class, or the place of the greatest of one. Bits of -1 and 1 have no one greatest.
    classes = 0
    if output_tap in names and len(shape) == 1 and not result.number.bipolar:
        classes = last.classes if isinstance(last, Argmax) else shape[0]
    predicted = np.zeros(classes, np.int64)
    chosen = chosen_engine(engine, loaded)
    # Before the clock starts: what is loaded or compiled is so once for any images.
    if chosen == Engine.C:
        from fxsim.engines.c import prepare_c

        prepare_c(loaded)
    elif chosen == Engine.NUMBA:
        from fxsim.engines.compiled import compute_function, instruction_set

        compute_function(instruction_set())
    with (
        NpzWriter(output, {name: loaded.graph.tensors[name] for name in names}, len(images)) as writer,
        progress("images") as report,
    ):
        started = time.perf_counter()
        report(0, len(images))
        for part, values in run_chunks(loaded, images, names, chosen):
            writer.write(values)
            if classes:
                scores = values[output_tap]
                found = scores[:, 0] if isinstance(last, Argmax) else scores.argmax(axis=1)
                predicted += np.bincount(found, minlength=classes)
            report(part.stop, len(images))
        seconds = time.perf_counter() - started
    summary = {
        "model": loaded.name,
        "images": len(images),
        "taps": list(names),
        "output": str(output),
        "engine": str(chosen),
        "seconds": round(seconds, 3),
        "images_per_second": round(len(images) / seconds, 1),
        "predicted": predicted.tolist() if classes else None,
    }
    if as_json:
        print_json(summary)
        return
    say(
        f"{output}: {len(images):,} images, {len(names)} taps, engine {summary['engine']}, {seconds:.2f} s "
        f"({len(images) / seconds:,.0f} images/s)"
    )
    if classes:
        say("predicted: " + ", ".join(f"class {i}: {n:,}" for i, n in enumerate(predicted) if n))
