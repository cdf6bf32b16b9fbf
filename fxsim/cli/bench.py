"""`fxsim bench`: measurements of fxsim on this machine."""

import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fxsim.cli.console import json_option, print_json, print_table, progress, refuse_overwriting, say
from fxsim.version import __version__

if TYPE_CHECKING:
    from fxsim.benchmark.activations import Result, Spread
    from fxsim.benchmark.record import BenchRecord, Measured, Operator

_PAPER_BATCH = 16

_ROUNDS, _SECONDS = 7, 0.1
_QUICK_ROUNDS, _QUICK_SECONDS, _QUICK_BATCHES = 3, 0.02, (1, 256)
"""Rounds and seconds of each measurement, and batches, of `engine --quick`."""

_PATIENCE = 3
"""Times the rounds asked for that there are at most, while a busy machine leaves figures unmeasurable."""

_READING = ("reading", "GB/s")
_ROOFS = {
    "macs": ("products", "GMAC/s"), "lookups": ("lookups", "G/s"), "l2": _READING, "memory": _READING,
}  # fmt: skip
"""Names and units of roofs."""

_WIDE = 96
"""Columns of a terminal that hold all columns of `engine`."""


@click.group()
def command() -> None:
    """Measure fxsim on this machine."""


@command.command()
@click.option("--layers", default=4, show_default=True, type=click.IntRange(min=1), help="Activations in a row.")
@click.option("--width", default=768, show_default=True, type=click.IntRange(min=1), help="Channels.")
@click.option("--sequence", default=512, show_default=True, type=click.IntRange(min=1), help="Tokens.")
@click.option("--batch", default=2, show_default=True, type=click.IntRange(min=1), help="Sequences.")
@click.option("--points", default=64, show_default=True, type=click.IntRange(min=2), help="LERP-PSA's grid.")
@click.option("--centres", default=8, show_default=True, type=click.IntRange(min=1), help="PSA's centres.")
@click.option("--paper", is_flag=True, help="The paper's setting: the sizes shown as defaults, with batch 16.")
@click.option("--device", default="cpu", show_default=True, type=click.Choice(["cpu", "cuda"]))
@click.option("--threads", type=click.IntRange(1, 1024), help="On a CPU; by default PyTorch's choice.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1), help="Processes for each case.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Draw the bars, .svg or .png.")
@json_option
@click.pass_context
def nn(
    ctx: click.Context,
    layers: int,
    width: int,
    sequence: int,
    batch: int,
    points: int,
    centres: int,
    paper: bool,
    device: str,
    threads: int | None,
    rounds: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """Compare time and memory of the learnable activations, ReLU and GELU.

    Each is measured as a stack of --layers activations on float32 [batch, sequence, width]: its output (forward), and
    output and all gradients (training), with the B-spline's TV(2) penalty in the loss. Memory is what a training step
    holds at its peak beyond input, output gradient and parameters. Every case runs in a process of its own, 5 times
    each, and all cases in turn in each round. The B-spline has one knot more than LERP-PSA has points.
    """
    if paper:
        sizes = ("layers", "width", "sequence", "batch", "points", "centres")
        given = [name for name in sizes if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT]
        if given:
            raise click.UsageError(f"--paper sets all sizes: give it or --{given[0]}, not both")
        batch = _PAPER_BATCH
    if output is not None:
        from fxsim.formats.figures import check_figure_target

        refuse_overwriting(output, ())
        check_figure_target(output)
    from fxsim.benchmark.activations import Setting, compare

    setting = Setting(
        layers=layers,
        width=width,
        sequence=sequence,
        batch=batch,
        points=points,
        centres=centres,
        device=device,
        threads=threads or 0,
    )
    with progress("measurements") as report:
        results = compare(setting, rounds, report)
    title = f"{_count(layers, 'layer')} on [{batch}, {sequence}, {width}], {device}" + (
        f", {_count(results[0].threads, 'thread')}" if device == "cpu" else ""
    )
    if output is not None:
        _plot(title, results, output)
    if as_json:
        print_json({"setting": setting, "rounds": rounds, "results": results})
        return
    rows = [
        (str(result.case), _show(result.forward), _show(result.training), f"{result.memory:.1f}") for result in results
    ]
    print_table(title, ("activation", "forward, ms", "training, ms", "memory, MiB"), rows)
    say("times: median \u00b1 half the range between the quartiles")
    if output is not None:
        say(f"{output}: picture")


@command.command()
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.option("--batch", "batches", multiple=True, type=click.IntRange(1, 1 << 20), help="Images a call; several.")
@click.option("--threads", type=click.IntRange(1, 1024), help="By default one a core; one thread is measured too.")
@click.option("--rounds", type=click.IntRange(min=1), help="Times to measure each.  [default: 7; quick: 3]")
@click.option("--quick", is_flag=True, help="Fewer rounds and batches, shorter measurements.")
@click.option("--only", multiple=True, metavar="PATTERN", help="Contestants by name, with * and ?; several.")
@click.option("--original", metavar="SOURCE", help="The file MODEL was imported from: qonnx:FILE or runtime:FILE.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0, 2**32 - 1), help="Of images drawn.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write the record, .json.")
@click.option("--figure", metavar="FILE", type=click.Path(path_type=Path), help="Draw roofline and bars, .svg or .png.")
@json_option
def engine(
    model: Path | None,
    batches: tuple[int, ...],
    threads: int | None,
    rounds: int | None,
    quick: bool,
    only: tuple[str, ...],
    original: str | None,
    seed: int,
    output: Path | None,
    figure: Path | None,
    as_json: bool,
) -> None:
    """Compare the speed of everything that computes MODEL, by default the golden model psa_h96.

    The compiled engine on each instruction set of this machine, alone and beside the plain loops where the compiler may
    use only AVX2 or SSE2; the reference engine; ONNX Runtime; PyTorch with fake quantisation; float32 in PyTorch and
    numpy; with --original, QONNX's executor, ONNX Runtime or LiteRT on the file that MODEL was imported from. All are
    measured in turn, round after round, each on one thread and on --threads; those that compute integers only once they
    equalled the reference engine on every image. In the same rounds: what the machine can do at most, products of each
    instruction set and bytes read.

    The record is a JSON file that `python -m pyperf compare_to` reads, too. Exit status 1 where values differ.
    """
    from fxsim.benchmark.contestants import BATCHES, list_contestants
    from fxsim.benchmark.hosts import lesser_hosts
    from fxsim.benchmark.machine import find_versions
    from fxsim.benchmark.measure import default_images, measure, select
    from fxsim.benchmark.record import BenchRecord, check_pyperf, write_record
    from fxsim.engines.compiled import instruction_sets
    from fxsim.formats import load
    from fxsim.formats.atomic import check_target
    from fxsim.machine import count_cores
    from fxsim.paths import golden_dir

    # All that could fail at the end is tried at the start.
    if output is not None:
        check_pyperf()
        check_target(output)
    if figure is not None:
        from fxsim.formats.figures import check_figure_target

        check_figure_target(figure)
    path = golden_dir() / "psa_h96.safetensors" if model is None else model
    for target in (output, figure):
        if target is not None:
            refuse_overwriting(target, (path,))
    loaded = load(path)
    sets = tuple(kind.name for kind in instruction_sets())
    threads = threads or count_cores()
    contestants = select(
        list_contestants(
            sets,
            lesser_hosts(sets),
            threads,
            tuple(dict.fromkeys(batches)) or (_QUICK_BATCHES if quick else BATCHES),
            original is not None,
        ),
        only,
    )
    asked = rounds or (_QUICK_ROUNDS if quick else _ROUNDS)
    started, began = datetime.now(UTC), time.monotonic()
    with progress("measurements") as report:
        measured = measure(
            loaded,
            default_images(loaded, seed),
            contestants,
            threads=threads,
            rounds=asked,
            rounds_max=_PATIENCE * asked,
            seconds=_QUICK_SECONDS if quick else _SECONDS,
            seed=seed,
            original=original,
            report=report,
        )
    record = BenchRecord(
        format="fxsim.bench.engine",
        version=1,
        command=("fxsim", *sys.argv[1:]),
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - began, 3),
        fxsim_version=__version__,
        versions=find_versions(),
        measured=measured,
    )
    if output is not None:
        write_record(record, output)
    if figure is not None:
        from fxsim.benchmark.figure import draw_record
        from fxsim.formats.figures import write_figure

        write_figure(draw_record(record), figure)
    if as_json:
        print_json(record)
    else:
        _print_engines(record)
        for target, what in ((output, "record"), (figure, "picture")):
            if target is not None:
                say(f"{target}: {what}")
    for result in measured.results:
        if result.equal is False:
            say(f"fxsim: {result.contestant.name} differs from the reference engine: {result.difference}", err=True)
    if not measured.equal:
        sys.exit(1)


def _spread(share: float) -> str:
    """Half of a range by its middle; from 1 on without decimals, which would fold names on a narrow terminal."""
    return f"{share:.1%}" if share < 1 else f"{share:.0%}"


def _print_engines(record: "BenchRecord") -> None:
    measured = record.measured
    machine = measured.machine
    say(
        f"{machine.processor}, {_count(machine.cores, 'core')}; "
        + ", ".join(f"{name} {version}" for name, version in record.versions.items())
    )
    published = measured.published
    # Best and products are left out where names would be folded for them.
    wide = shutil.get_terminal_size().columns >= _WIDE
    columns = (
        "contestant",
        "batch",
        "images/s",
        "\u00b1",
        *(["best", "GMAC"] if wide else []),
        "peak",
        "loops",
        "FPGA",
    )
    for threads in sorted({result.contestant.threads for result in measured.results}):
        rows = []
        for result in measured.results:
            who, rate = result.contestant, measured.rate(result)
            share, ratio, products = measured.share(result), measured.ratio(result), measured.products(result)
            if who.threads != threads:
                continue
            if rate is None:
                rows.append(
                    (
                        who.path,
                        f"{who.batch:,}",
                        "DIFFERS" if result.equal is False else "absent" if result.rate is None else "unsteady",
                        *("",) * (len(columns) - 3),
                    )
                )
                continue
            rows.append(
                (
                    who.path,
                    f"{who.batch:,}",
                    f"{rate.median:,.0f}",
                    _spread(rate.half / rate.median),
                    *([f"{rate.best:,.0f}", "?" if products is None else _giga(products)] if wide else []),
                    "?" if measured.is_beyond(result) else "" if share is None else f"{share:.1%}",
                    "" if ratio is None else f"{ratio:.2f}",
                    "" if published is None else f"{rate.median / published.images_per_second:.2f}",
                )
            )
        macs = f"{measured.macs:,} MACs an image"
        title = f"{measured.model}, {macs}, {_count(threads, 'thread')}, {_count(measured.rounds, 'round')}"
        print_table(title, columns, rows)
    for result in measured.results:
        if result.absent is not None:
            say(f"{result.contestant.name}: not measured: {result.absent}")
    roofs = [
        (
            f"{_ROOFS[roof.kind][0]}, {roof.isa or roof.kind}",
            roof.host,
            roof.threads,
            "?" if measured.is_beaten(roof) else _giga(roof.best),
            _ROOFS[roof.kind][1],
        )
        for roof in measured.roofs
    ]
    title = "what the machine can do: the most of all rounds"
    print_table(title, ("roof", "host", "threads", "a second", "unit"), roofs)
    operators = measured.operators()
    total = sum(operator.seconds for operator in operators)
    steps = [
        (
            operator.name,
            operator.steps,
            f"{operator.seconds * 1e6:.2f}",
            f"{operator.seconds / total:.1%}",
            _operator_rate(measured, operator),
            _giga(operator.bytes / operator.seconds) if operator.bytes else "",
        )
        for operator in operators
    ]
    if operators and measured.profile is not None:
        title = f"time by operator, {measured.profile.isa}, 1 thread, {total * 1e6:.1f} \u00b5s an image"
        print_table(title, ("operator", "steps", "\u00b5s", "share", "GMAC/s", "GB/s"), steps)
    for line in measured.unmeasurable:
        say(f"not measurable now: {line}")
    exact = sum(result.equal is not None for result in measured.results)
    say(
        f"equal to the reference engine on {_count(measured.images_checked, 'image')}: "
        f"{sum(result.equal is True for result in measured.results)} of {exact} that compute integers"
    )
    say("images/s: median; \u00b1: half the range between the quartiles; GMAC: multiply-accumulates a second, 10^9;")
    if measured.lookups:
        say(
            f"lookups: {measured.looked_up:,} MACs an image are looked up by the compiled engine but -plain, in "
            f"{measured.lookups:,} lookups; peak is of both together"
        )
    say("peak: part of the products its host can do; loops, FPGA: times the plain loops there, times the published")
    if published is not None:
        say(f"published: {published.images_per_second:,.0f} images/s, {published.source}")


def _operator_rate(measured: "Measured", operator: "Operator") -> str:
    """GMAC/s of an operator; nothing where it has no products, a question mark where that could not be measured."""
    if not operator.macs:
        return ""
    rate = measured.operator_rate(operator)
    return "?" if rate is None else _giga(rate)


def _giga(value: float) -> str:
    """A rate in 10^9 a second; what is not 0 does not look like it."""
    return f"{value / 1e9:,.1f}" if value >= 1e8 else f"{value / 1e9:.2g}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _show(time: "Spread") -> str:
    return f"{time.median:.2f} \u00b1 {(time.high - time.low) / 2:.2f}"


def _plot(title: str, results: list["Result"], output: Path) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from fxsim.formats.figures import STYLE, write_figure

    names = [str(result.case) for result in results]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3), layout="constrained")
        for axes, what, values in zip(
            figure.subplots(1, 3, sharey=True),
            ("forward, ms", "training, ms", "memory, MiB"),
            (
                [result.forward.median for result in results],
                [result.training.median for result in results],
                [result.memory for result in results],
            ),
            strict=True,
        ):
            axes.bar_label(axes.barh(names, values, color="#4878a8"), fmt="%.4g", padding=3)
            axes.set_xlabel(what)
            # Room for the numbers at the ends of bars.
            axes.margins(x=0.25)
        axes.invert_yaxis()
        figure.suptitle(title)
    write_figure(figure, output)
