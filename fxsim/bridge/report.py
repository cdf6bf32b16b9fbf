"""The page of a bridge: one file with everything in it, drawn from the record and nothing else."""

import os
from pathlib import Path

from fxsim.bridge.plots import draw_bridge, inline_svg
from fxsim.bridge.record import BridgeRecord
from fxsim.formats import atomic_write
from fxsim.formats.pages import page_templates


def render_page(record: BridgeRecord) -> str:
    """The HTML page of a record. Every text in it is escaped: names come from files."""
    environment = page_templates(Path(__file__).parent)
    environment.filters["share"] = format_share
    picture = None if record.float_mode is None else inline_svg(draw_bridge(record))
    return environment.get_template("report.html.j2").render(record=record, found=record.float_mode, picture=picture)


def write_page(record: BridgeRecord, path: str | os.PathLike[str]) -> None:
    """Write the page, whole or not at all."""
    page = render_page(record)
    with atomic_write(path) as file:
        file.write_text(page, encoding="utf-8")


def format_share(part: int, whole: int) -> str:
    """A share for reading; what is not nothing never reads as 0."""
    if part == 0:
        return "0"
    percent = 100 * part / whole
    return "< 0.001%" if percent < 0.001 else f"{percent:.3g}%"
