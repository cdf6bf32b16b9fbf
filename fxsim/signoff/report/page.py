"""The HTML report: one page with everything in it, drawn from the record and nothing else.

First what the verdict is and what it does not cover; then what was found. Kinds of check bring their own sections and
pictures, which stand by topic, those of one topic in the order of the last checks that they are about.
"""

import base64
import hashlib
import os
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fxsim import temporary
from fxsim.cosim.wave_files import GTKWAVE, SURFER
from fxsim.errors import FileError
from fxsim.formats import atomic_write
from fxsim.formats.atomic import check_target
from fxsim.formats.pages import page_templates
from fxsim.signoff.checks import CHECKS
from fxsim.signoff.context import FAILURES
from fxsim.signoff.files import encode_record
from fxsim.signoff.kind import Part, Picture, Section, Tile, Topic
from fxsim.signoff.plan import STAGES
from fxsim.signoff.record import REPLAY_SCRIPT, CheckRecord, SignoffRecord, Status
from fxsim.signoff.report.buckets import find_buckets
from fxsim.signoff.report.elements import Block, Cell, Column, Row, Table, format_figure, format_seconds
from fxsim.signoff.report.fit import STEPS, fit_table, split_long
from fxsim.signoff.report.style import draw_svg
from fxsim.signoff.report.trends import find_trends
from fxsim.signoff.report.uncovered import find_uncovered

RECORD, REPORT = "signoff.json", "signoff.html"
"""The two files of a run."""

_SHORT = 240
"""Characters of a reason beside the verdict; the whole of it stands further below."""


@dataclass(frozen=True)
class Drawn:
    """A picture as the page shows it."""

    anchor: str
    title: str
    caption: str
    svg: str
    waives: bool = False


@dataclass(frozen=True)
class Written:
    """A section as the page shows it."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]
    note: str
    waives: bool = False
    svg: str = ""


@dataclass(frozen=True)
class Entry:
    """A line of the contents."""

    anchor: str
    title: str
    count: str = ""
    alarming: bool = False


@dataclass(frozen=True)
class KeptFile:
    """A file that was kept of a failure, and the link to it."""

    name: str
    link: str


Shown = Picture[Any] | Section[Any]


def _parts(record: SignoffRecord) -> list[Part]:
    """The parts of the report that the record's kinds of check have, each once: by topic, then as the plan has them."""
    last = {
        part: (part.topic if isinstance(part, Picture | Section) else 0, number, place)
        for number, check in enumerate(record.checks)
        for place, part in enumerate(CHECKS[check.kind].parts)
    }
    return sorted(last, key=lambda part: last[part])


def _rows(record: SignoffRecord, part: Shown) -> list[Any]:
    """Everything that a part shows."""
    return [row for check in record.checks if part in CHECKS[check.kind].parts for row in part.take(check)]


def _shown(record: SignoffRecord) -> list[tuple[Shown, list[Any]]]:
    """Sections and pictures that the record has data for, with that."""
    parts = [part for part in _parts(record) if isinstance(part, Picture | Section)]
    return [(part, rows) for part in parts if (rows := _rows(record, part))]


def _draw(part: Picture[Any], rows: list[Any]) -> Drawn:
    svg = draw_svg(partial(part.draw, rows), part.title)
    return Drawn(anchor(part.title), part.title, part.caption, svg, part.topic is Topic.WAIVERS)


def _write(part: Section[Any], rows: list[Any]) -> Written:
    blocks = tuple(part.write(rows))
    return Written(anchor(part.title), part.title, blocks, part.note, part.topic is Topic.WAIVERS)


def draw_pictures(record: SignoffRecord) -> list[Drawn]:
    """Every picture that the record has data for."""
    return [_draw(part, rows) for part, rows in _shown(record) if isinstance(part, Picture)]


def write_sections(record: SignoffRecord) -> list[Written]:
    """Every section of tables that the record has data for."""
    return [_write(part, rows) for part, rows in _shown(record) if isinstance(part, Section)]


def _tiles(record: SignoffRecord) -> dict[str, int]:
    return {
        part.label: sum(part.count(check) for check in record.checks if part in CHECKS[check.kind].parts)
        for part in _parts(record)
        if isinstance(part, Tile)
    }


def anchor(text: str) -> str:
    """A text as the name of a place in the page."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "place"


def _anchors(record: SignoffRecord) -> dict[str, str]:
    """The place of each check in the page, by its name: the same in every report, but where two would be alike."""
    found: dict[str, str] = {}
    for check in record.checks:
        name = f"check-{anchor(check.name)}"
        count = 2
        while name in found.values():
            name, count = f"check-{anchor(check.name)}-{count}", count + 1
        found[check.name] = name
    return found


def _durations(record: SignoffRecord) -> Table:
    """Time by kind, the longest first."""
    columns = (
        Column("kind", whole=True), Column("checks", number=True), Column("passed", number=True),
        Column("seconds", number=True), Column("longest", whole=True), Column("its time", number=True),
    )  # fmt: skip
    rows = []
    for kind in {check.kind: None for check in record.checks}:
        own = [check for check in record.checks if check.kind == kind]
        longest = max(own, key=lambda check: check.seconds)
        passed = sum(check.status is Status.PASSED for check in own)
        seconds = sum(check.seconds for check in own)
        cells = (kind, len(own), passed, f"{seconds:,.1f}", longest.name, format_seconds(longest.seconds))
        rows.append((seconds, Row(cells)))
    return Table(columns, tuple(row for _, row in sorted(rows, key=lambda row: -row[0])))


def _deviations(record: SignoffRecord) -> Table:
    """Exact figures that are not the accepted ones; more than accepted is coloured."""
    columns = (
        Column("check", whole=True), Column("figure"), Column("accepted", number=True), Column("now", number=True),
    )  # fmt: skip
    rows = () if record.held is None else record.held.deviations
    return Table(
        columns, tuple(Row((row.check, row.figure, row.accepted, row.now), row.now > row.accepted) for row in rows)
    )


def _rates(record: SignoffRecord) -> Table:
    """Figures a second beside the accepted ones, as a ratio."""
    columns = (
        Column("check", whole=True), Column("figure"), Column("accepted", number=True), Column("now", number=True),
        Column("now over accepted", number=True),
    )  # fmt: skip
    rows = () if record.held is None else record.held.rates
    return Table(
        columns,
        tuple(
            Row(
                (
                    row.check, row.figure, round(row.accepted), round(row.now),
                    f"{row.now / row.accepted:.2f}" if row.accepted else None,
                )
            )
            for row in rows
        ),
    )  # fmt: skip


def _kept_files(check: CheckRecord) -> list[KeptFile]:
    """Links to what was kept of a failure: only of a folder where fxsim keeps one, whatever the record says."""
    if check.kept != f"{FAILURES}/{check.name}" or "/" in check.name or check.name in (".", ".."):
        return []
    # What else was kept is for programs.
    names = (REPLAY_SCRIPT, *(name for name in check.kept_files if name in (GTKWAVE, SURFER)))
    return [KeptFile(name, f"{FAILURES}/{quote(check.name)}/{quote(name)}") for name in names]


def _shortened(text: str | None) -> str:
    text = text or ""
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 3]}..."


def render_report(record: SignoffRecord) -> str:
    """The page of a record. Every text in it is escaped: names come from files."""
    folder = Path(__file__).parent
    environment = page_templates(folder)
    environment.filters["figure"] = format_figure
    environment.filters["seconds"] = format_seconds
    environment.filters["cell"] = lambda value: value if isinstance(value, Cell) else Cell(value)
    environment.filters["fitted"] = fit_table
    environment.filters["split_long"] = split_long
    environment.filters["kept_files"] = _kept_files
    environment.filters["shortened"] = _shortened
    script = (folder / "page.js").read_text(encoding="utf-8")
    style = environment.get_template("page.css.j2").render(statuses=[str(status) for status in Status], steps=STEPS)
    shown = _shown(record)
    parts = [_draw(part, rows) if isinstance(part, Picture) else _write(part, rows) for part, rows in shown]
    buckets = find_buckets(record.checks, (Status.FAILED, Status.ERROR))
    uncovered = find_uncovered(record)
    points = record.testpoints
    shown_in = {
        check.name: [
            page
            for (part, _), page in zip(shown, parts, strict=True)
            if part in CHECKS[check.kind].parts and any(True for _ in part.take(check))
        ]
        for check in record.checks
    }
    trends = find_trends(record)
    waivers = [Entry(part.anchor, part.title) for part in parts if part.waives]
    not_passed = record.count(Status.FAILED) + record.count(Status.ERROR)
    contents = [
        Entry("verdict", "Verdict"),
        Entry("not-covered", "Not covered", str(uncovered.count or "")),
        *([Entry("testplan", "Testplan", str(len(points)))] if points else []),
        *(Entry(part.anchor, part.title) for part in parts if not part.waives),
        *([Entry("not-passed", "Not passed", str(not_passed), alarming=True)] if buckets else []),
        Entry("checks", "Checks", str(len(record.checks))),
        *waivers,
        *([Entry("history", "History", str(len(record.history)))] if trends or record.history_problems else []),
        *([Entry("accepted", "Against the accepted figures")] if record.held else []),
        Entry("durations", "Durations"),
        Entry("what-ran", "What ran"),
    ]
    return environment.get_template("page.html.j2").render(
        record=record,
        word=verdict_word(record),
        stages=STAGES,
        stage_reached=(record.stage_reached or "") if points else None,
        points=points,
        unnamed=record.without_testpoint,
        anchors=_anchors(record),
        buckets=buckets,
        uncovered=uncovered,
        replay_script=REPLAY_SCRIPT,
        counts={str(status): record.count(status) for status in Status},
        kinds=sorted({CHECKS[check.kind] for check in record.checks}, key=lambda kind: kind.name),
        tiles=_tiles(record),
        parts=parts,
        shown_in=shown_in,
        contents=contents,
        durations=_durations(record),
        trends=trends,
        deviations=_deviations(record),
        rates=_rates(record),
        style=style,
        script=script,
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
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
