"""The HTML report: one page with everything in it, drawn from the record and nothing else.

Kinds of check bring their own sections and pictures, which stand in the order of the last checks that they are about.
"""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fxsim import temporary
from fxsim.errors import FileError
from fxsim.formats import atomic_write
from fxsim.formats.atomic import check_target
from fxsim.formats.pages import page_templates
from fxsim.signoff.checks import CHECKS
from fxsim.signoff.files import encode_record
from fxsim.signoff.kind import Picture, Section, Tile
from fxsim.signoff.record import REPLAY_SCRIPT, SignoffRecord, Status
from fxsim.signoff.report.elements import Block, Cell, format_figure, format_seconds
from fxsim.signoff.report.style import draw_svg

RECORD, REPORT = "signoff.json", "signoff.html"
"""The two files of a run."""

_ORDER = (Status.FAILED, Status.ERROR, Status.REPORTED, Status.SKIPPED)
"""Statuses that need attention, the worst first."""


@dataclass(frozen=True)
class Drawn:
    """A picture as the page shows it."""

    title: str
    caption: str
    svg: str


@dataclass(frozen=True)
class Written:
    """A section as the page shows it."""

    title: str
    blocks: tuple[Block, ...]
    note: str


def _parts(record: SignoffRecord) -> list[Picture[Any] | Section[Any] | Tile]:
    """The parts of the report that the record's kinds of check have, each once, in the order of the page."""
    last = {
        part: (number, place)
        for number, check in enumerate(record.checks)
        for place, part in enumerate(CHECKS[check.kind].parts)
    }
    return sorted(last, key=lambda part: last[part])


def _rows(record: SignoffRecord, part: Picture[Any] | Section[Any]) -> list[Any]:
    """Everything that a part shows."""
    return [row for check in record.checks if part in CHECKS[check.kind].parts for row in part.take(check)]


def draw_pictures(record: SignoffRecord) -> list[Drawn]:
    """Every picture that the record has data for."""
    return [
        Drawn(part.title, part.caption, draw_svg(partial(part.draw, rows), part.title))
        for part in _parts(record)
        if isinstance(part, Picture) and (rows := _rows(record, part))
    ]


def write_sections(record: SignoffRecord) -> list[Written]:
    """Every section of tables that the record has data for."""
    return [
        Written(part.title, tuple(part.write(rows)), part.note)
        for part in _parts(record)
        if isinstance(part, Section) and (rows := _rows(record, part))
    ]


def _tiles(record: SignoffRecord) -> dict[str, int]:
    return {
        part.label: sum(part.count(check) for check in record.checks if part in CHECKS[check.kind].parts)
        for part in _parts(record)
        if isinstance(part, Tile)
    }


def render_report(record: SignoffRecord) -> str:
    """The page of a record. Every text in it is escaped: names come from files."""
    environment = page_templates(Path(__file__).parent)
    environment.filters["figure"] = format_figure
    environment.filters["seconds"] = format_seconds
    environment.filters["cell"] = lambda value: value if isinstance(value, Cell) else Cell(value)
    attention = [check for status in _ORDER for check in record.checks if check.status is status]
    return environment.get_template("page.html.j2").render(
        record=record,
        word=verdict_word(record),
        attention=attention,
        replay_script=REPLAY_SCRIPT,
        counts={str(status): record.count(status) for status in Status},
        tiles=_tiles(record),
        pictures=draw_pictures(record),
        sections=write_sections(record),
    )


def write_report(record: SignoffRecord, path: str | os.PathLike[str]) -> None:
    """Write the page, whole or not at all."""
    with atomic_write(path) as file:
        file.write_text(render_report(record), encoding="utf-8")


def prepare_output(folder: Path) -> None:
    """Make the folder that RECORD and REPORT will go to; FileError where they could not be written there.

    For before a run of minutes.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Tried, because permissions alone do not say it: a file system may be read-only or full.
        with temporary.folder("trial", folder) as trial:
            (trial / "byte").write_bytes(bytes(1))
    except OSError as error:
        raise FileError(f"cannot write into the folder {folder}: {error.strerror or error}") from None
    for name in (RECORD, REPORT):
        check_target(folder / name)


def write_both(record: SignoffRecord, folder: Path) -> None:
    """Write RECORD and REPORT into a folder: neither is replaced before both could be written."""
    data, page = encode_record(record), render_report(record)
    with atomic_write(folder / RECORD) as record_file, atomic_write(folder / REPORT) as report_file:
        record_file.write_bytes(data)
        report_file.write_text(page, encoding="utf-8")


def verdict_word(record: SignoffRecord) -> str:
    """The verdict in one word."""
    if not record.complete:
        return "incomplete"
    return "passed" if record.passed else "failed"
