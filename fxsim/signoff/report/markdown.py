"""A record as Markdown, as a repository keeps it: what is not covered first, then testpoints, checks, every section."""

import os
import re
from collections.abc import Iterator, Sequence

from fxsim.formats import atomic_write
from fxsim.signoff.record import SignoffRecord, Status
from fxsim.signoff.report.elements import Block, Cell, Table, format_figure, format_seconds
from fxsim.signoff.report.page import verdict_word, write_sections
from fxsim.signoff.report.uncovered import find_uncovered

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~&])")
_ROWS_MAX = 60
"""Rows of a table; of a longer one the first are shown, and how many there are."""


def render_markdown(record: SignoffRecord) -> str:
    """The text of a record, in GitHub's Markdown. Every name in it is escaped."""
    return "\n".join(_lines(record)) + "\n"


def write_markdown(record: SignoffRecord, path: str | os.PathLike[str]) -> None:
    """Write the text, whole or not at all."""
    with atomic_write(path) as file:
        file.write_text(render_markdown(record), encoding="utf-8")


def _lines(record: SignoffRecord) -> Iterator[str]:
    yield f"# {_escape(record.title)}: {verdict_word(record)}"
    yield ""
    counts = ", ".join(f"{record.count(status)} {status}" for status in Status if record.count(status))
    reached = f"Stage reached: {record.stage_reached or 'none'}. " if record.testpoints else ""
    yield (
        f"{len(record.checks)} of {record.checks_in_plan} checks of {_escape(record.plan)}: {counts or 'none'}. "
        f"{reached}Seed {record.seed}, fxsim {_escape(record.fxsim_version)}, commit {_escape(record.commit.id)}; "
        f"{format_seconds(record.seconds)}, begun {_escape(record.started)}."
    )
    yield from ("", "## Not covered", "")
    uncovered = find_uncovered(record).lines
    if not uncovered:
        yield "Nothing was skipped, only reported, or left out."
    for line in uncovered:
        named = ", ".join((*(check.name for check in line.checks), *line.names))
        yield f"- {_escape(line.head)} {_escape(line.text)}" + (f" ({_escape(named)})" if named else "")
    if record.testpoints:
        yield from ("", "## Testplan", "")
        yield from _table(
            ("testpoint", "stage", "status", "checks passed", "claim"),
            [
                (_escape(p.name), p.stage, p.status, f"{p.passed} of {len(p.checks)}", _escape(p.claim))
                for p in record.testpoints
            ],
        )
    yield from ("", "## Checks", "")
    yield from _table(
        ("check", "status", "found"),
        [(_escape(c.name), str(c.status), _escape(c.summary if c.reason is None else c.reason)) for c in record.checks],
    )
    for section in write_sections(record):
        yield from ("", f"## {_escape(section.title)}")
        if section.note:
            yield from ("", _escape(section.note))
        for block in section.blocks:
            yield from _block(block)
    yield from ("", "## Made with", "")
    yield from (f"- {_escape(name)}: {_escape(version)}" for name, version in record.tools.items())


def _block(block: Block) -> Iterator[str]:
    if block.heading:
        yield from ("", f"### {_escape(block.heading)}")
    if block.lead:
        yield from ("", _escape(block.lead))
    for table in block.tables:
        yield ""
        rows = [_cells(row.cells) for row in table.rows[:_ROWS_MAX]]
        yield from _table([_escape(column.title) for column in table.columns], rows, _numbers(table))
        if len(table.rows) > _ROWS_MAX:
            yield from ("", f"The first {_ROWS_MAX} of {len(table.rows):,} rows.")
    if block.note:
        yield from ("", _escape(block.note))


def _numbers(table: Table) -> list[bool]:
    return [column.number for column in table.columns]


def _cells(cells: Sequence[object]) -> list[str]:
    shown: list[str] = []
    for value in cells:
        cell = value if isinstance(value, Cell) else Cell(value)  # type: ignore[arg-type]  # a row's are values
        text = _escape(format_figure(cell.value))
        text = f"**{text}**" if cell.strong and text else text
        shown += [text if cell.remark is None else f"{text} ({_escape(cell.remark)})", *[""] * (cell.span - 1)]
    return shown


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[bool] = ()) -> Iterator[str]:
    ends = [*numbers, *[False] * (len(titles) - len(numbers))]
    yield f"| {' | '.join(titles)} |"
    yield f"|{'|'.join('---:' if number else '---' for number in ends)}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _escape(text: str) -> str:
    """A text on one line, in which nothing is Markdown or HTML."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
