"""`fxsim waive`: write the waiver of lines that code coverage cannot reach, with their hash."""

from pathlib import Path

import click

from fxsim.code_coverage import Category, parse_place, skeleton
from fxsim.code_coverage.waivers import REASON_EXPECTED, gives_reason
from fxsim.errors import FileError
from fxsim.paths import rtl_dir
from fxsim.simulate.code_coverage import PointKind
from fxsim.simulate.sources import read_sources


@click.command("waive")
@click.argument("place", metavar="FILE:LINE[-LINE]")
@click.option("--rtl", metavar="DIR", type=click.Path(path_type=Path), help="The design's folder.  [default: fxsim's]")
@click.option(
    "--kind", type=click.Choice([str(kind) for kind in PointKind]), default="line", show_default=True,
    help="The kind of points that are waived.",
)  # fmt: skip
@click.option("--point", metavar="NAME", help="Only points of this name; * is anything.")
@click.option(
    "--category", required=True, type=click.Choice([str(category) for category in Category]),
    help="The kind of reason; docs/code-coverage.md says what each means.",
)  # fmt: skip
@click.option("--reason", required=True, metavar="TEXT", help="Why it need not be run.")
def command(place: str, rtl: Path | None, kind: str, point: str | None, category: str, reason: str) -> None:
    """Print a waiver of lines of the Verilog, as TOML for a file of waivers.

    It has the lines' hash: once they change, it is stale, and a check that reads it fails.

    FILE is relative to the design's folder, as the report has it: lib/axis_fifo.v:41.
    """
    if not gives_reason(reason):
        raise FileError(f"the reason {reason!r} gives none, {REASON_EXPECTED}")
    file, first, last = parse_place(place)
    sources = read_sources(rtl or rtl_dir())
    click.echo(skeleton(sources, file, first, last, PointKind(kind), point, category, reason), nl=False)
