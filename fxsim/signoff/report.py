"""The HTML report: one page with everything in it, drawn from the record and nothing else."""

import os
from pathlib import Path

import jinja2

from fxsim import temporary
from fxsim.errors import FileError
from fxsim.formats import atomic_write
from fxsim.formats.atomic import check_target
from fxsim.signoff.plots import draw_pictures
from fxsim.signoff.record import REPLAY_SCRIPT, SignoffRecord, Status, encode_record

RECORD, REPORT = "signoff.json", "signoff.html"
"""The two files of a run."""

_ORDER = (Status.FAILED, Status.ERROR, Status.SKIPPED)
"""What needs attention, the worst first."""


def render_report(record: SignoffRecord) -> str:
    """The page of a record. Every text in it is escaped: names come from files."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = format_figure
    environment.filters["seconds"] = format_seconds
    environment.filters["percent"] = format_percent
    pictures = draw_pictures(record)
    attention = [check for status in _ORDER for check in record.checks if check.status is status]
    return environment.get_template("report.html.j2").render(
        record=record,
        word=verdict_word(record),
        attention=attention,
        replay_script=REPLAY_SCRIPT,
        counts={str(status): record.count(status) for status in Status},
        cycles=[row for check in record.checks for row in check.details.cycles],
        speeds=[speed for check in record.checks for speed in check.details.speeds],
        agreements=[(check.name, agreement) for check in record.checks for agreement in check.details.agreements],
        simulations=[(check.name, s) for check in record.checks for s in check.details.simulations],
        # What is equal everywhere is said in the table of checks; tables of zeros would bury what is not.
        comparisons=[
            (check.name, comparison)
            for check in record.checks
            for comparison in check.details.comparisons
            if any(row.mismatches for row in comparison.taps)
        ],
        pictures=pictures,
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


def format_figure(value: int | float | str | None) -> str:
    """A figure for reading: thousands are separated, what was not measured is a dash."""
    if value is None:
        return "–"  # noqa: RUF001  # a dash is meant
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if isinstance(value, float) else value


def format_percent(part: float | None) -> str:
    """A part of 1 for reading."""
    return format_figure(None) if part is None else f"{part:.1%}"


def format_seconds(seconds: float) -> str:
    """A duration for reading."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
