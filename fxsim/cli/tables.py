"""`fxsim tables`: what table sizes, edge rules and ways to choose the points cost."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fxsim.cli.console import json_option, plain, print_json, progress, refuse_overwriting, say
from fxsim.contract import TABLE_POINTS, TableRule
from fxsim.data import DataSource

if TYPE_CHECKING:
    from fxsim.graph import Model
    from fxsim.tables.study import Row

_RECOMMENDED_POINTS = 64
"""For which the best rule and method are named, where it is among those compared."""


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--data",
    "source",
    type=click.Choice([str(s) for s in DataSource]),
    help="Data set whose test pictures are classified, too.  [default: none]",
)
@click.option("--data-path", type=click.Path(path_type=Path), metavar="DIR", help="Its folder; digits needs none.")
@click.option(
    "--points", default="8,16,32,64,128,256", show_default=True, metavar="P,...", help="Numbers of points to compare."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Draw the comparison, .svg or .png."
)
@json_option
def command(
    model: Path, source: str | None, data_path: Path | None, points: str, output: Path | None, as_json: bool
) -> None:
    """Compare ways to store MODEL's activation tables: numbers of points, edge rules, choices of the points.

    MODEL is a quantised network, as `fxsim quantize` wrote it, whose functions are known at all 256 inputs; or an
    integer model, whose functions are those that its own tables give. Each way is held against the full tables: errors
    over all inputs of all channels and, with --data, over the inputs that the test pictures cause, the accuracy, and
    how many predictions change.
    """
    from fxsim.tables.points import PointMethod
    from fxsim.tables.study import best, draw, full_tables_of, study

    sizes = _sizes(points)
    if data_path is not None and source is None:
        raise click.UsageError("--data-path is the folder of a data set: say which with --data")
    if output is not None:
        from fxsim.formats.figures import check_figure_target

        refuse_overwriting(output, (model,))
        check_figure_target(output)
    full, stored = load_full(model)
    codes = labels = None
    if source is not None:
        from fxsim.training.evaluate import test_codes

        codes, labels = test_codes(full, DataSource(source), data_path)
    rules = [rule for rule in TableRule if rule is not TableRule.FULL]
    with progress("tables") as report:
        rows = study(full_tables_of(full), full, codes, labels, sizes, rules, list(PointMethod), report)
    at = _RECOMMENDED_POINTS if _RECOMMENDED_POINTS in sizes else max(sizes)
    chosen = best(rows, at)
    assert chosen is not None
    if output is not None:
        from fxsim.formats.figures import write_figure

        write_figure(draw(rows, plain(full.name)[:80]), output)
    if as_json:
        print_json(
            {
                "model": full.name,
                "full_tables": "functions" if stored is None else "stored",
                "data": source,
                "rows": rows,
                "best": chosen,
            }
        )
        return
    _show(full, stored, source, rows)
    say(f"best at {at} points: rule {chosen.rule}, method {chosen.method} ({_figures(chosen)})")
    if output is not None:
        say(f"{output}: picture")


def load_full(path: Path) -> "tuple[Model, Model | None]":
    """A model whose tables are full, from a model file or a quantised network's; and the stored model, if it was one.

    A network's full tables are its functions at all 256 inputs. A model file's are read off the tables it stores: what
    these had lost is lost. FileError where the file is neither.
    """
    from fxsim.formats import load
    from fxsim.formats.metadata import NETWORK, stated_format
    from fxsim.tables.points import CODES, PointMethod
    from fxsim.tables.study import full_tables_of, with_tables

    if stated_format(path) == NETWORK:
        # Torch: only whoever has a network needs it.
        from fxsim.networks.quantised import TableFormat
        from fxsim.training.integer_model import export_model

        return export_model(path, tables=TableFormat(CODES, TableRule.FULL, PointMethod.DECIMATE)), None
    model = load(path)
    return with_tables(model, full_tables_of(model), TableRule.FULL), model


def _sizes(text: str) -> list[int]:
    """Numbers of points from a comma-separated list, ascending."""
    names = {name.strip() for name in text.split(",")}
    known = {str(p): p for p in TABLE_POINTS}
    for name in sorted(names - known.keys()):
        raise click.BadParameter(f"'{name}' is not one of {', '.join(known)}", param_hint="--points")
    return sorted(known[name] for name in names)


def _show(full: "Model", stored: "Model | None", source: str | None, rows: list["Row"]) -> None:
    from fxsim.tables.study import accuracy

    title = f"{full.name}: errors against full tables, in int8 steps"
    if source is not None:
        title += f"; {rows[0].images:,} pictures of {source}"
    # Text: names from files must not be read as markup.
    table = Table(title=Text(plain(title)), title_justify="left", box=SIMPLE_HEAD, header_style="bold")
    # No more columns than 80 characters hold; the shares that differ by use are in the JSON.
    table.padding, table.pad_edge = (0, 1, 0, 0), False
    numbers = ["bytes", "mean\nerror", "worst\nerror"]
    numbers += ["differ\n%"] if source is None else ["read:\nmean", "right\n%", "changed"]
    for name in ("points", "rule", "method", *numbers):
        justify: Literal["left", "right"] = "left" if name in ("rule", "method") else "right"
        table.add_column(name, justify=justify, vertical="bottom", no_wrap=True)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        cells = [str(row.points), row.rule, row.method or "", f"{row.bytes:,}", _short(row.mean_error)]
        cells.append(str(row.worst_error))
        if row.used_mean_error is None:
            cells.append(_short(100 * row.differing))
        else:
            cells += [_short(row.used_mean_error), f"{accuracy(row):.2f}", f"{row.changed:,}"]
        # The full tables and each number of points stand by themselves.
        last = following is not None and (row.method is None or row.points != following.points)
        table.add_row(*cells, end_section=last)
    Console().print(table)
    if source is not None:
        say("read: as often as the pictures read each entry; changed: predictions unlike those with full tables")
    if stored is not None:
        say("full tables: those that the model's own tables give, with what these had lost already")


def _figures(row: "Row") -> str:
    text = f"mean error {row.mean_error:.3g}, worst {row.worst_error}"
    if row.changed is not None:
        text += f", {row.correct:,} of {row.images:,} right, {row.changed:,} predictions changed"
    return text


def _short(value: float) -> str:
    """Three decimals at most; what is not 0 does not look like it."""
    return "0" if value == 0 else "<.001" if value < 0.001 else f"{value:.3f}"
