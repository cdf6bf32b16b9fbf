"""`python -m benchmarks [COMMAND]`: what developers measure; without a command, all in turn with their defaults.

Commands that users have are `fxsim bench`. What measures is in `fxsim.benchmark`.
"""

import os

# Before anything imports numpy: its threaded float products are many times slower than one thread on busy machines.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from pathlib import Path

import click

from benchmarks.described import described
from benchmarks.explain import explain
from benchmarks.linears import linears
from benchmarks.proofs import proofs
from benchmarks.resets import resets
from fxsim.cli.console import json_option, plain, print_json, print_table, progress, say
from fxsim.errors import FxsimError
from fxsim.formats import load
from fxsim.paths import golden_dir

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ",".join(f"recipes/{name}.toml" for name in ("relu_h96", "b_spline_h96", "psa_h96"))


@click.group(invoke_without_command=True)
@click.pass_context
def benchmarks(context: click.Context) -> None:
    """Measure fxsim on this machine."""
    if context.invoked_subcommand is None:
        for command in (startup, distance, described):
            click.echo(f"--- python -m benchmarks {command.name}")
            context.invoke(command)


@benchmarks.command()
@click.option("--model", type=click.Path(path_type=Path), help="Model file; by default the golden model psa_h96.")
@click.option("--rounds", default=5, show_default=True, help="Times to measure each warm start; the best counts.")
@json_option
def startup(model: Path | None, rounds: int, as_json: bool) -> None:
    """Measure whole commands on four images: with no machine code cached, with it cached, and without Numba."""
    from fxsim.benchmark.machine import describe_machine
    from fxsim.benchmark.startup import measure_startup

    measured = load(golden_dir() / "psa_h96.safetensors" if model is None else model)
    seconds = measure_startup(measured, rounds)
    if as_json:
        rounded = {command: round(value, 3) for command, value in seconds.items()}
        print_json({"model": measured.name, "machine": describe_machine(), "seconds": rounded})
        return
    click.echo(describe_machine())
    print_table(f"{measured.name}, 4 images", ("command", "seconds"), [(k, f"{v:.2f}") for k, v in seconds.items()])


@benchmarks.command()
@json_option
def distance(as_json: bool) -> None:
    """Compare the published PSA model with the two dumps its authors published, tap by tap.

    Then block by block with the one of PyTorch, beside models with full tables, of which the published ones are points.
    """
    from fxsim.benchmark.distance import measure_distances
    from fxsim.benchmark.resampled import measure_resampled

    override = os.environ.get("FXSIM_PUBLISHED")
    folder = (Path(override) if override else ROOT.parent / "shared" / "published") / "stream_psa_h96"
    if not folder.is_dir():
        click.echo("skipped: the published data is not at ../shared/published, and FXSIM_PUBLISHED does not name it")
        return
    name, found = measure_distances(folder)
    blocks = measure_resampled(folder)
    if as_json:
        print_json({"model": name, "results": found, "blocks": blocks})
        return
    for file, dump in found.items():
        title = f"{file}: same class on {dump.same_class} of {dump.images} images"
        rows = [(tap, d.greatest, f"{d.mean:.3f}", f"{d.differing:.1%}") for tap, d in dump.taps.items()]
        print_table(title, ("tap", "greatest", "mean", "differing"), rows)
    print_table(
        "quant_samples.h, each block from the dump's own values; and models with full tables, drawn",
        ("tap", "differing", "drawn", "mean square", "drawn ", "greatest", "drawn  "),
        [
            (
                b.tap, f"{b.observed.differing:.1%}", f"{b.drawn.differing:.1%}", f"{b.observed.square:.3f}",
                f"{b.drawn.square:.3f}", b.observed.greatest, b.drawn.greatest,
            )
            for b in blocks
        ],
    )  # fmt: skip
    print_table(
        "psa_2 in the dump less here, by place between points; and what rounding once, not half up, would make",
        ("tap", "by place", "standard errors", "rounding once"),
        [(b.tap, *(" ".join(f"{v:+.3f}" for v in of) for of in (b.by_place, b.errors, b.rounding))) for b in blocks],
    )


def _numbers(_context: click.Context, parameter: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < (1 if parameter.name == "hidden" else 0):
        raise click.BadParameter(f"{text!r} is not a list of whole numbers such as 96,48")
    return numbers


def _names(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


@benchmarks.command()
@click.option("--recipes", default=RECIPES, show_default=True, callback=_names, help="One for each activation.")
@click.option("--activations", default="", callback=_names, help="Of these recipes, those to use.  [default: all]")
@click.option("--hidden", default="192,96,48,24", show_default=True, callback=_numbers, help="In place of a recipe's.")
@click.option("--seeds", default="2023,2024,2025", show_default=True, callback=_numbers, help="Of teachers, too.")
@click.option("--data-path", type=click.Path(path_type=Path), metavar="DIR", help="Where the recipes' data lies.")
@click.option(
    "--runs", type=click.Path(path_type=Path, file_okay=False), default=Path("runs/accuracy"), show_default=True,
    help="Folder that networks are made in; what is there is used again.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Results.  [default: RUNS/accuracy.json]")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Picture.  [default: FILE's name, .svg]")
@json_option
def accuracy(
    recipes: tuple[str, ...],
    activations: tuple[str, ...],
    hidden: tuple[int, ...],
    seeds: tuple[int, ...],
    data_path: Path | None,
    runs: Path,
    out: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Train, quantise and evaluate a student for each hidden size, activation and seed; takes hours.

    The results file is written after every student; those in it are not made again as long as recipes, data and fxsim's
    code stay the same. Seeds decide a teacher, its students and the split for validation together.
    """
    from fxsim.benchmark.accuracy import NETWORKS, carry_out, plan_study, summarise, teachers, title

    out = out or runs / "accuracy.json"
    plot = plot or out.with_suffix(".svg")
    try:
        # As given, or as named in the repository: the defaults hold in any folder.
        paths = [Path(name) if Path(name).exists() else ROOT / name for name in recipes]
        plans = plan_study(paths, activations, hidden, seeds, data_path)
        study = carry_out(plans, runs, out, plot, progress, lambda line: say(line, err=True))
    except FxsimError as error:
        raise click.ClickException(plain(str(error))) from None
    cases = [study.cases[plan.name] for plan in plans]
    rows, heading = summarise(cases), title(plans, cases)
    if as_json:
        print_json({"title": heading, "machine": study.machine, "rows": rows})
        return
    say(study.machine)
    cells = [(r.hidden, r.activation, r.parameters, *(r.networks[name] for name in NETWORKS)) for r in rows]
    print_table(heading, ("hidden", "activation", "parameters", *NETWORKS), cells)
    if teaching := teachers(cases):
        say(f"their teachers, float: {teaching}")
    say(f"{out}: results, {plot}: picture")


benchmarks.add_command(described)
# They take minutes, and an hour: only when they are asked for.
benchmarks.add_command(explain)
benchmarks.add_command(linears)
benchmarks.add_command(proofs)
benchmarks.add_command(resets)

if __name__ == "__main__":
    benchmarks(prog_name="python -m benchmarks")
