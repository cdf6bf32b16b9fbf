"""`fxsim vectors`: write test vectors for any simulator, or check written ones."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from fxsim.cli.console import json_option, print_json, print_table, progress, say, split_taps, taps_option
from fxsim.cli.engines import EngineChoice

if TYPE_CHECKING:
    from fxsim.contract.arithmetic import Integers
    from fxsim.graph import Model

_FORMATS = ("hex", "npy", "coe", "c")

_IMAGES_MAX = 100_000
"""Most images that are drawn, as they are held in memory: ten of the published test sets."""

_ONLY_WRITING = (
    "model",
    "input",
    "output",
    "taps",
    "data_format",
    "images",
    "draw",
    "seed",
    "force",
    "kit",
    "accel",
    "dut",
    "rtl",
)
_NOT_OF_KITS = ("taps", "data_format", "force")
"""Parameters that say nothing to a check."""


@click.command("vectors")
@click.argument("model", required=False, type=click.Path(path_type=Path))
@click.argument("input", required=False, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Folder to write.")
@taps_option
@click.option(
    "--format", "data_format", type=click.Choice(_FORMATS), default="hex", show_default=True,
    help="hex: Verilog $readmemh; npy: numpy; coe: Xilinx memory initialisation; c: C headers with int8_t arrays.",
)  # fmt: skip
@click.option(
    "--random", "images", type=click.IntRange(1, _IMAGES_MAX), metavar="IMAGES",
    help="Draw a stimulus instead of INPUT.",
)  # fmt: skip
@click.option("--draw", type=click.Choice(("uniform", "extreme")), help="How --random draws.  [default: uniform]")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed of --random (0), or the seed INPUT came from.")
@click.option("--engine", type=EngineChoice(), default="auto", show_default=True)
@click.option("--force", is_flag=True, help="Replace DIR whatever it holds: everything in it is deleted.")
@click.option("--kit", is_flag=True, help="Write a kit for any simulator: stimulus, expected values, RTL, testbench.")
@click.option("--accel", metavar="NAME", help="With --kit: the accelerator, as of fxsim cosim.")
@click.option(
    "--dut", type=click.Path(path_type=Path), metavar="FILE", help="With --kit: description of your own RTL, .toml."
)
@click.option(
    "--rtl", type=click.Path(path_type=Path), metavar="DIR", help="With --kit: Verilog in place of the design's own."
)
@click.option("--check", type=click.Path(path_type=Path), metavar="DIR", help="Check a folder instead of writing one.")
@click.option(
    "--model",
    "against",
    type=click.Path(path_type=Path),
    metavar="MODEL",
    help="With --check: the model that the folder should be of.",
)
@json_option
def command(
    model: Path | None,
    input: Path | None,  # noqa: A002  # the argument's name in the usage line
    output: Path | None,
    taps: str | None,
    data_format: str,
    images: int | None,
    draw: str | None,
    seed: int | None,
    engine: str,
    force: bool,
    kit: bool,
    accel: str | None,
    dut: Path | None,
    rtl: Path | None,
    check: Path | None,
    against: Path | None,
    as_json: bool,
) -> None:
    """Write stimulus and expected values per tap for use in any simulator; or check such a folder.

    \b
    fxsim vectors MODEL INPUT.npy -o DIR [--taps all] [--format hex]
    fxsim vectors MODEL --random 8 --seed 1 -o DIR
    fxsim vectors MODEL INPUT.npy -o DIR --kit [--accel simd | --dut my.toml]
    fxsim vectors --check DIR [--model MODEL]

    DIR gets the stimulus, a copy of the model, one file a tap, and manifest.json with shapes, order, hashes and seed.
    With --kit DIR is a new folder with an accelerator, or your own RTL, a testbench in Verilog-2005, and all
    that they read; run.sh runs it in Icarus Verilog and ends with 0 only where output and taps are known and equal.

    The check derives every file again from model and stimulus and compares exactly: it names what is missing, extra, or
    different, at the first differing value. Exit status 1 where anything is.
    """  # noqa: D301  # \b is click's own mark
    if check is not None:
        # By where a value came from: --taps and --format have defaults.
        source = click.get_current_context().get_parameter_source
        if any(source(name) is ParameterSource.COMMANDLINE for name in _ONLY_WRITING):
            raise click.UsageError("--check DIR goes with --model, --engine and --json only")
        _check(check, against, engine, as_json)
        return
    if model is None or output is None or (input is None) == (images is None):
        raise click.UsageError("expected MODEL INPUT.npy -o DIR, MODEL --random IMAGES -o DIR, or --check DIR")
    if against is not None or (draw is not None and images is None):
        raise click.UsageError("--model goes with --check, --draw with --random")
    if kit:
        source = click.get_current_context().get_parameter_source
        if any(source(name) is ParameterSource.COMMANDLINE for name in _NOT_OF_KITS):
            raise click.UsageError("--kit goes without --taps, --format and --force: it holds what the testbench reads")
        _write_kit(model, input, output, images, draw or "uniform", seed, engine, accel, dut, rtl, as_json)
        return
    if accel is not None or dut is not None or rtl is not None:
        raise click.UsageError("--accel, --dut and --rtl go with --kit")
    _write(model, input, output, taps, data_format, images, draw or "uniform", seed, engine, force, as_json)


def _write(
    model_path: Path,
    input_path: Path | None,
    output: Path,
    taps: str | None,
    data_format: str,
    images: int | None,
    draw: str,
    seed: int | None,
    engine: str,
    force: bool,
    as_json: bool,
) -> None:
    from fxsim.formats import load
    from fxsim.vectors import write_vectors

    model = load(model_path)
    seed = seed if input_path is not None else seed or 0
    x, drawn = _images(model, input_path, images, draw, seed)
    with progress("images") as report:
        manifest = write_vectors(
            model, x, output, split_taps(taps), data_format,
            seed=seed, draw=drawn, engine=engine, force=force, progress=report,
        )  # fmt: skip
    if as_json:
        print_json(manifest)
        return
    rows = [(file.path, file.bytes, file.sha256[:16]) for file in manifest.files()]
    print_table(f"{output}: {len(x)} images of {model.name}", ("file", "bytes", "sha256"), rows)
    say(f"check with: fxsim vectors --check {output}")


def _images(
    model: "Model", input_path: Path | None, images: int | None, draw: str, seed: int | None
) -> tuple["Integers", str | None]:
    """The images, and how they were drawn; None where they were read."""
    from fxsim.formats import read_stimulus
    from fxsim.vectors import draw_stimulus

    if input_path is not None:
        return read_stimulus(input_path, model), None
    assert images is not None
    return draw_stimulus(draw, images, model.graph.input, seed or 0), draw


def _write_kit(
    model_path: Path,
    input_path: Path | None,
    output: Path,
    images: int | None,
    draw: str,
    seed: int | None,
    engine: str,
    accel: str | None,
    dut: Path | None,
    rtl: Path | None,
    as_json: bool,
) -> None:
    from fxsim.devices import DEFAULT, DESCRIBED
    from fxsim.formats import load
    from fxsim.vectors.kit import write_kit

    if dut is not None and accel not in {None, DESCRIBED}:
        raise click.UsageError(f"--dut describes your own RTL: leave out --accel, or --accel {DESCRIBED}")
    model = load(model_path)
    x, _ = _images(model, input_path, images, draw, seed)
    device, settings = (accel or DEFAULT, {}) if dut is None else (DESCRIBED, {"dut": str(dut)})
    files = write_kit(model, x, output, device, settings, rtl=rtl, engine=engine)
    if as_json:
        print_json(
            {"directory": str(output), "images": len(x), "device": device, "files": [str(path) for path in files]}
        )
        return
    print_table(
        f"{output}: {len(x)} images of {model.name}",
        ("file", "bytes"),
        [(str(path), (output / path).stat().st_size) for path in files],
    )
    say(f"run with: {output}/run.sh")


def _check(directory: Path, against: Path | None, engine: str, as_json: bool) -> None:
    from fxsim.formats import load
    from fxsim.vectors import check_vectors

    model = load(against) if against is not None else None
    with progress("images") as report:
        result = check_vectors(directory, model, engine, report)
    if as_json:
        print_json(result)
    elif result.passed:
        say(
            f"{result.directory}: passed: {result.files} files, {result.images} images of {result.model}, "
            f"{result.values:,} values at {result.taps} taps derived again and equal"
        )
    else:
        for problem in result.problems:
            say(problem.message)
        say(f"{result.directory}: failed: {len(result.problems)} problem(s)")
    if not result.passed:
        raise SystemExit(1)
