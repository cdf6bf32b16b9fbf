"""`fxsim vectors`: write test vectors for any simulator, or check written ones."""

from pathlib import Path

import click
from click.core import ParameterSource

from fxsim.cli.console import json_option, print_json, print_table, progress, say, split_taps, taps_option
from fxsim.cli.engines import EngineChoice

_FORMATS = ("hex", "npy", "coe", "c")

_IMAGES_MAX = 100_000
"""Most images that are drawn, as they are held in memory: ten of the published test sets."""

_ONLY_WRITING = ("model", "input", "output", "taps", "data_format", "images", "draw", "seed", "force")
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
    check: Path | None,
    against: Path | None,
    as_json: bool,
) -> None:
    """Write stimulus and expected values per tap for use in any simulator; or check such a folder.

    \b
    fxsim vectors MODEL INPUT.npy -o DIR [--taps all] [--format hex]
    fxsim vectors MODEL --random 8 --seed 1 -o DIR
    fxsim vectors --check DIR [--model MODEL]

    DIR gets the stimulus, a copy of the model, one file a tap, and manifest.json with shapes, order, hashes and seed.
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
    from fxsim.formats import load, read_stimulus
    from fxsim.vectors import draw_stimulus, write_vectors

    model = load(model_path)
    if input_path is not None:
        x, drawn = read_stimulus(input_path, model), None
    else:
        assert images is not None
        seed = seed or 0
        x, drawn = draw_stimulus(draw, images, model.graph.input, seed), draw
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
