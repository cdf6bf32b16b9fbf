"""Common parts of all commands: progress on standard error, tables and JSON on standard output, common options."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import click

from fxsim.errors import FileError
from fxsim.paths import readable
from fxsim.progress import begin, count

_WIDE = 1000
"""Columns of tables where output is not a terminal, and COLUMNS says nothing."""

Progress = Callable[[int, int], None]
"""Called with (done, total) as work goes on."""

model_argument = click.argument("model", type=click.Path(path_type=Path))
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
device_option = click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="What computes."
)
taps_option = click.option(
    "--taps", default=None, metavar="all|NAME,...", help="Taps to use, by name; by default the model's output."
)


class ChosenDesign(NamedTuple):
    """The design that a command reads the Verilog of: an accelerator, or what the description `dut` is of.

    `rtl`: a folder of Verilog to read in place of the accelerator's own. `interval`, `share_loops`: settings of a
    composed one.
    """

    accel: str
    dut: Path | None
    rtl: Path | None
    interval: int | None = None
    share_loops: bool = False

    @property
    def as_it_is(self) -> bool:
        """Whether it has no settings of its own, and the project's Verilog."""
        return self.rtl is None and self.interval is None and not self.share_loops

    @property
    def settings(self) -> dict[str, object]:
        """The accelerator's settings that say which design it is."""
        given = {
            "dut": None if self.dut is None else str(self.dut),
            "interval": self.interval,
            "share_loops": self.share_loops or None,
        }
        return {name: value for name, value in given.items() if value is not None}


def design_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options --accel, --dut, --rtl and those of composed designs, which a command takes as its `design`."""

    @click.option("--accel", metavar="NAME", help="The accelerator, as of `fxsim cosim`.")
    @click.option("--dut", metavar="FILE", type=click.Path(path_type=Path), help="The description of your own RTL.")
    @click.option(
        "--rtl", metavar="DIR", type=click.Path(path_type=Path), help="Verilog to read in place of fxsim's own."
    )
    @click.option("--interval", type=int, metavar="CYCLES", help="Cycles between images, as of `fxsim compose`.")
    @click.option("--share-loops", is_flag=True, help="Modules that steps share, as of `fxsim compose`.")
    @wraps(command)
    def choose(
        *, accel: str | None, dut: Path | None, rtl: Path | None, interval: int | None, share_loops: bool, **others: Any
    ) -> None:
        from fxsim.devices import DEFAULT, DESCRIBED

        if dut is not None and accel is not None:
            raise click.UsageError("--dut describes your own RTL: leave out --accel")
        accel = accel or (DEFAULT if dut is None else DESCRIBED)
        command(design=ChosenDesign(accel, dut, rtl, interval, share_loops), **others)

    return choose


parameter_option = click.option(
    "--parameter", "parameters", metavar="NAME=VALUE", multiple=True, callback=lambda _, __, words: _parameters(words),
    help="A parameter of the top in place of the model's, such as BLOCK_ROM=1; may be repeated.",
)  # fmt: skip
"""The option --parameter, which gives its command whole numbers by the names of parameters."""


def _parameters(words: tuple[str, ...]) -> dict[str, int]:
    parameters: dict[str, int] = {}
    for text in words:
        name, _, value = text.partition("=")
        # Longer ones are no numbers that hardware counts with, and Python takes none of thousands of digits.
        digits = value.removeprefix("-")
        if not name or not digits.isdecimal() or not digits.isascii() or len(digits) > 20:
            raise click.UsageError(f"--parameter {text[:60]}: expected NAME=VALUE, VALUE a whole number of 32 bits")
        if name in parameters:
            raise click.UsageError(f"--parameter {text[:60]}: {name} has a value already, leave one out")
        parameters[name] = int(value)
    return parameters


class ImageRange(click.ParamType[tuple[int, int | None]]):
    """START:STOP, either of which may be left out."""

    name = "START:STOP"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int | None]:
        """Start and stop; None for a stop that was left out."""
        start, colon, stop = value.partition(":")
        if not colon or not all(part.isascii() and (part.isdigit() or not part) for part in (start, stop)):
            self.fail(f"{value!r} is not START:STOP", param, ctx)
        return int(start or 0), int(stop) if stop else None


def split_taps(text: str | None) -> tuple[str, ...] | None:
    """Tap names from a comma-separated list; None where there is none."""
    if text is None:
        return None
    return tuple(name.strip() for name in text.split(",") if name.strip())


def refuse_overwriting(output: Path, inputs: Iterable[Path]) -> None:
    """FileError where `output` is one of the files that are read, under whatever name: its content would be lost.

    Commands begin with it: where the output is standard output, what they print goes to standard error from here on.
    """
    from fxsim.formats.atomic import reserve_output

    reserve_output(output)
    for path in inputs:
        if output.exists() and path.exists() and output.samefile(path):
            raise FileError(f"{output} is read as an input: writing there would destroy it, give another output")


def plain(text: str) -> str:
    """Text on one line, with nothing that a terminal would obey: names in files may hold anything."""
    return "".join(c if c.isprintable() else " " for c in readable(text))


def say(text: str, err: bool = False) -> None:
    """One plain line on standard output or standard error."""
    click.echo(plain(text), err=err)


def say_unprobed(unprobed: Sequence[str], outside: Sequence[str]) -> None:
    """Say which taps of the model were not compared, if any: not shown, or `outside` of what the design computes."""
    if shown := [tap for tap in unprobed if tap not in outside]:
        say(f"not compared, since the design shows no such tap: {', '.join(shown)}")
    if outside:
        say(f"not computed by the design, which is a part of the model: {', '.join(outside)}")


def counted(number: int, thing: str) -> str:
    """A number of things in words: `1 node`, `2 nodes`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """A progress bar on standard error where that is a terminal, else lines now and then (`fxsim.progress`).

    Yields the function to report to.
    """
    if not sys.stderr.isatty():
        begin(label)
        yield count
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def print_json(value: Any) -> None:
    """One JSON object on standard output, keys in the order given; msgspec records and numpy-free builtins only."""
    import msgspec

    # Bytes: JSON is UTF-8, whatever the terminal's letters are.
    click.echo(msgspec.json.format(msgspec.json.encode(_readable(msgspec.to_builtins(value)))))


def _readable(value: Any) -> Any:
    """The same value with text that JSON can hold: paths may have bytes that are no letters."""
    match value:
        case str():
            return readable(value)
        case dict():
            return {_readable(key): _readable(item) for key, item in value.items()}
        case list() | tuple():
            return [_readable(item) for item in value]
    return value


def print_table(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """A table on standard output; numbers are right-aligned. Lines are broken on a terminal, or where COLUMNS says."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Text: names from files must not be read as markup.
    table = Table(title=Text(plain(title)) if title else None, title_justify="left", header_style="bold")
    for i, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[i], int | float) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else plain(str(cell))) for cell in row))
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDE
    console.print(table)
