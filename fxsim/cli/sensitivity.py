"""`fxsim sensitivity`: what each rule, table size and bit of width is worth at each operator."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fxsim.cli.console import json_option, model_argument, print_json, print_table, progress, refuse_overwriting, say
from fxsim.data import DataSource

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from fxsim.contract.arithmetic import Integers
    from fxsim.explain.sensitivity import Outcome, Sensitivity
    from fxsim.graph import Model


def _names(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise click.BadParameter(f"{text!r} names nothing")
    return names


@click.command("sensitivity")
@model_argument
@click.option("--data", "source", type=click.Choice([str(s) for s in DataSource]), help="Data set.")
@click.option("--data-path", type=click.Path(path_type=Path), metavar="DIR", help="Its folder; digits needs none.")
@click.option("--split", type=click.Choice(["test", "train"]), default="test", show_default=True, help="Its pictures.")
@click.option(
    "--input", "stimulus", type=click.Path(path_type=Path), metavar="X",
    help="Images in place of a data set: .npy, or .npz with 'input', and 'labels' or not.",
)  # fmt: skip
@click.option("--images", type=click.IntRange(min=1), metavar="N", help="Only the first N.  [default: all]")
@click.option("--nodes", callback=_names, metavar="NAME,...", help="Operators that are changed.  [default: all]")
@click.option("--rules", callback=_names, metavar="LABEL,...", help="Changes that are made.  [default: all]")
@click.option("--top", type=click.IntRange(min=0), default=30, show_default=True, help="Rows of the ranked table.")
@click.option("--page", type=click.Path(path_type=Path), metavar="FILE.html", help="Write a page that shows it.")
@json_option
def command(
    model: Path,
    source: str | None,
    data_path: Path | None,
    split: str,
    stimulus: Path | None,
    images: int | None,
    nodes: tuple[str, ...] | None,
    rules: tuple[str, ...] | None,
    top: int,
    page: Path | None,
    as_json: bool,
) -> None:
    """Change MODEL's arithmetic one rule at a time, and rank what that does to its answers on a data set.

    Each other rounding, shift, range, table rule, table size and width of weights, activations and accumulators is made
    at one operator alone, at all operators that it applies to, and at all but one. Ranges and saturation of every tap
    come with it. Images are of a data set, as `fxsim eval` takes them, or a file's.
    """
    from fxsim.explain.sensitivity import sensitivity
    from fxsim.formats import load

    if (source is None) == (stimulus is None):
        raise click.UsageError("expected either --data or --input")
    if data_path is not None and source is None:
        raise click.UsageError("--data-path is the folder of --data")
    if page is not None:
        refuse_overwriting(page, [file for file in (model, stimulus) if file is not None])
    loaded = load(model)
    x, labels = _of_file(stimulus, loaded) if stimulus is not None else _of_data(loaded, str(source), data_path, split)
    if images is not None:
        x, labels = x[:images], None if labels is None else labels[:images]
    with progress("changes") as report:
        found = sensitivity(loaded, x, labels, nodes=nodes, rules=rules, progress=report)
    if page is not None:
        from fxsim.explain.page.sensitivity import write_sensitivity

        write_sensitivity(found, page)
    if as_json:
        print_json(found)
        return
    _show(found, top)
    if page is not None:
        say(f"{page}: all of it")


def _of_file(path: Path, model: "Model") -> "tuple[Integers, npt.NDArray[np.integer] | None]":
    from fxsim.cli.images_of import read_images
    from fxsim.formats.npy import read_archive

    labels = read_archive(path).get("labels") if path.suffix.lower() == ".npz" else None
    return read_images(path, model), labels


def _of_data(
    model: "Model", source: str, path: Path | None, split: str
) -> "tuple[Integers, npt.NDArray[np.integer] | None]":
    from fxsim.training.evaluate import Split, model_codes

    return model_codes(model, DataSource(source), path, Split(split))


def _show(found: "Sensitivity", top: int) -> None:
    from fxsim.explain.page.sensitivity import named

    def cells(outcome: "Outcome | None") -> tuple[str, ...]:
        if outcome is None:
            return ("", "", "", "")
        lost = "" if outcome.lost is None else f"{-outcome.lost:+.2%}"
        return (lost, f"{outcome.top1_changed / found.images:.2%}", f"{outcome.mean:.3f}", f"{outcome.largest:,}")

    right = "" if found.right is None else f", {found.right:,} right ({found.right / found.images:.2%})"
    columns = ("accuracy", "answers", "mean", "most")
    computed = [effect for effect in found.effects if effect.only is not None]
    if top:
        print_table(
            f"{found.model}, {found.images:,} images{right}: changed at one node alone, worst first",
            ("node", "change", *columns, "recovered"),
            [
                (e.node, named(e), *cells(e.only), "" if e.recovered is None else f"{e.recovered:+.2%}")
                for e in computed[:top]
            ],
        )
        if len(computed) > top:
            say(f"{len(computed) - top:,} do less; --top, --json and --page show more")
        print_table(
            "changed at every node that it applies to",
            ("change", "nodes", *columns),
            [(named(c), len(c.nodes), *cells(c.outcome)) for c in found.everywhere[:top] if c.outcome is not None],
        )
    print_table(
        "ranges by the contract",
        ("tap", "format", "least", "greatest", "at the least code", "at the greatest"),
        [
            (t.tap, t.number, t.least, t.greatest, f"{t.at_low / t.values:.3%}", f"{t.at_high / t.values:.3%}")
            for t in found.taps
        ],
    )
    if reasons := sorted({f"{e.label}: {e.left_out}" for e in found.effects if e.left_out}):
        say(f"not computed: {'; '.join(reasons)}")
    say(f"{len(found.effects):,} changes in {found.seconds:.1f} s")
