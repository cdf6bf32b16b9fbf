"""`fxsim bridge`: a quantised network against its integer model, every difference accounted for."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fxsim.cli.console import json_option, model_argument, print_json, print_table, progress, refuse_overwriting, say
from fxsim.cli.engines import EngineChoice
from fxsim.data import DataSource
from fxsim.engines import Engine
from fxsim.errors import FileError

if TYPE_CHECKING:
    from fxsim.bridge.record import BridgeRecord, Contract, FloatMode

_PAGE = ".html"

_SHORT = {"float32 sum": "sum", "table resampling": "table"}
"""Causes as the table of taps names them, so that taps' names are whole on a terminal of 80 columns."""


@click.command("bridge")
@model_argument
@click.option(
    "--data", "source", type=click.Choice([str(s) for s in DataSource]),
    help="Data set whose pictures for testing are used.  [default: the one the network was trained on]",
)  # fmt: skip
@click.option("--data-path", type=click.Path(path_type=Path), metavar="DIR", help="Its folder; digits needs none.")
@click.option(
    "--input", "codes", type=click.Path(path_type=Path), metavar="FILE",
    help="Instead of a data set: .npy file, int8 [image, token, value]. It has no labels.",
)  # fmt: skip
@click.option(
    "--model", "model_file", type=click.Path(path_type=Path), metavar="FILE",
    help="Integer model to compare with.  [default: the one that fxsim export makes of MODEL]",
)  # fmt: skip
@click.option("--images", type=click.IntRange(min=1), metavar="N", help="Only the first N images.")
@click.option("--examples", type=click.IntRange(0, 1000), default=3, show_default=True, help="Examples of each cause.")
@click.option("--batch", type=click.IntRange(1, 4096), default=64, show_default=True, help="Images computed at once.")
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="Of the float network.")
@click.option(
    "--engine",
    type=EngineChoice(),
    default=str(Engine.AUTO),
    show_default=True,
    help="Of the integer model. All give the same values; 'auto' is 'compiled'.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
    help="Write a page with all findings, .html, or the picture of causes alone, .svg or .png.",
)  # fmt: skip
@json_option
def command(
    model: Path,
    source: str | None,
    data_path: Path | None,
    codes: Path | None,
    model_file: Path | None,
    images: int | None,
    examples: int,
    batch: int,
    threads: int,
    engine: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """Compare the quantised network MODEL with its integer model, and account for every difference.

    First the network computes by the contract's rules: every parameter and every value of every tap must equal the
    integer model's. Then it computes as float fake-quant does; each value that differs is attributed to a tie, a
    float32 sum, an add that saturates late, a resampled table, or to inputs that differ already. The order of float32
    sums, and so which values differ, may depend on --batch and --threads.

    Exit status: 1 where the contract does not hold or a difference has no explanation, else 0.
    """
    if codes is not None and (source is not None or data_path is not None):
        raise click.UsageError("--input takes the place of a data set: give it, or --data and --data-path")
    _check_output(output, [path for path in (model, codes, model_file) if path is not None])
    from fxsim.bridge.run import bridge

    with progress("images, all arithmetics") as report:
        record = bridge(
            model,
            None if source is None else DataSource(source),
            data_path,
            codes_path=codes,
            model_path=model_file,
            images=images,
            batch=batch,
            threads=threads,
            engine=engine,
            examples=examples,
            progress=report,
        )
    if as_json:
        print_json(record)
    else:
        _show(record)
    if output is not None:
        _write(record, output)
        say(f"{output}: written", err=as_json)
    if not record.passed:
        raise SystemExit(1)


def _check_output(output: Path | None, inputs: list[Path]) -> None:
    """Before a long computation: whether its result can be written."""
    if output is None:
        return
    refuse_overwriting(output, inputs)
    if output.suffix.lower() == _PAGE:
        from fxsim.formats.atomic import check_target

        check_target(output)
    elif output.suffix.lower() in (".svg", ".png"):
        from fxsim.formats.figures import check_figure_target

        check_figure_target(output)
    else:
        raise FileError(f"cannot write {output}: expected a name that ends in .html, .svg or .png")


def _write(record: "BridgeRecord", output: Path) -> None:
    if output.suffix.lower() == _PAGE:
        from fxsim.bridge.report import write_page

        write_page(record, output)
        return
    from fxsim.bridge.plots import draw_bridge
    from fxsim.formats.figures import write_figure

    write_figure(draw_bridge(record), output)


def _show(record: "BridgeRecord") -> None:
    say(f"{record.name}: {record.images:,} images of {record.data}, batches of {record.batch}")
    _show_contract(record.contract)
    if record.float_mode is not None:
        _show_float_mode(record.float_mode, record.images)


def _show_contract(contract: "Contract") -> None:
    if contract.equal:
        say(
            f"contract: equal: {contract.compared:,} values of {len(contract.taps)} taps, "
            f"{contract.parameters:,} parameters"
        )
        return
    say(f"contract: DIFFERENT: {contract.parameters_differ:,} of {contract.parameters:,} parameters")
    for entry in contract.parameter_differences:
        say(f"  {entry.tensor}{list(entry.index)}: the network has {entry.expected}, the model {entry.found}")
    listed = len(contract.parameter_differences)
    if listed < contract.parameters_differ:
        say(f"  and {contract.parameters_differ - listed:,} more")
    if contract.first is None:
        say("  no value of any tap differs on these images")
        return
    say(f"  first difference: {contract.first.sentence}")
    rows = [(tap.tap, tap.compared, tap.differ, tap.largest) for tap in contract.taps if tap.differ]
    print_table("", ("tap", "values", "differ", "largest"), rows)


def _show_float_mode(found: "FloatMode", images: int) -> None:
    from fxsim.bridge.report import format_share

    # Few columns, for the same reason: the rest is in the page and in the JSON.
    print_table(
        "float fake-quant against the integer model, shares of each tap's values",
        ("tap", "differ", "carried", "begin here"),
        [
            (
                tap.tap,
                format_share(tap.differ, tap.compared),
                format_share(tap.carried, tap.compared),
                ", ".join(f"{_shorten(cause)} {count:,}" for cause, count in tap.causes.items()),
            )
            for tap in found.taps
        ],
    )
    worst = max(found.taps, key=lambda tap: tap.largest)
    if worst.largest:
        say(f"largest difference: {worst.largest} codes, {worst.tap}")
    say("causes: " + (", ".join(f"{cause} {count:,}" for cause, count in found.causes.items()) or "nothing differs"))
    several, on_tie = sum(tap.several for tap in found.taps), sum(tap.on_tie for tap in found.taps)
    say(f"  more than one rule alone explains {several:,} of them; of the float32 sums, {on_tie:,} lie on a tie")
    say(f"  {sum(tap.cancelled for tap in found.taps):,} values are equal only because their inputs differ too")
    if found.unexplained:
        say(f"  UNEXPLAINED: {found.unexplained:,}")
    begins = ", ".join(f"{row.tap} {row.images:,}" for row in found.beginnings)
    say(f"images' first differences: {begins or 'none'}; images without any: {found.unaffected:,}")
    _show_predictions(found, images)
    for example in found.examples:
        codes = f"{example.integer_code}, float {example.float_code}"
        say(f"{example.cause}: {example.place}: {codes}: {example.text}")


def _shorten(cause: str) -> str:
    return " + ".join(_SHORT.get(rule, rule) for rule in cause.split(" + "))


def _show_predictions(found: "FloatMode", images: int) -> None:
    columns: tuple[str, ...] = ("arithmetic", "not integer's", "not float's")
    rows: list[tuple[str | int, ...]] = [(row.name, row.changed, row.changed_from_float) for row in found.variants]
    if all(row.correct is not None for row in found.variants):
        columns += ("right", "accuracy")
        rights = [row.correct or 0 for row in found.variants]
        rows = [(*row, right, f"{right / images:.2%}") for row, right in zip(rows, rights, strict=True)]
    print_table(f"predictions that change, of {images:,}", columns, rows)
