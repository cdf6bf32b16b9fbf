"""Limits of a verdict: what was skipped, only reported, or left out, and what checks did not look at."""

from collections.abc import Iterator
from dataclasses import dataclass

from fxsim.signoff.checks import CHECKS
from fxsim.signoff.kind import Gap
from fxsim.signoff.plan import STAGES
from fxsim.signoff.record import CheckRecord, SignoffRecord, Status
from fxsim.signoff.report.buckets import find_buckets

_NAMED = 10


@dataclass(frozen=True)
class Line:
    """One thing that is not covered. `status`: its colour; `checks` of the record, or `names` of those left out."""

    status: str
    head: str
    text: str = ""
    checks: tuple[CheckRecord, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Uncovered:
    """Everything that is not covered. `count`: checks that were skipped, only reported or left out, without gaps."""

    count: int
    lines: tuple[Line, ...]


def find_uncovered(record: SignoffRecord) -> Uncovered:
    """Everything that the verdict of a record does not cover."""
    missing = record.checks_in_plan - len(record.checks)
    count = record.count(Status.SKIPPED) + record.count(Status.REPORTED) + max(missing, 0)
    return Uncovered(count, tuple(_lines(record)))


def _lines(record: SignoffRecord) -> Iterator[Line]:
    if not record.complete:
        yield Line("failed", "The run was interrupted", "what had not ended by then is not known")
    for bucket in find_buckets(record.checks, (Status.SKIPPED, Status.REPORTED)):
        what = "not run" if bucket.status is Status.SKIPPED else "ran, and demands nothing of a part"
        yield Line(
            str(bucket.status), f"{_checks(len(bucket.checks))} {what}:", bucket.first.reason or "", bucket.checks
        )
    for stage in STAGES:
        names = tuple(left.name for left in record.left_out if left.because == "stage" and left.stage == stage)
        if names:
            yield Line("skipped", f"{_checks(len(names))} of stage {stage} left out", "by --stage", names=names)
    chosen = tuple(left.name for left in record.left_out if left.because == "selection")
    if chosen:
        yield Line(
            "skipped",
            f"{_checks(len(chosen))} not chosen",
            f"of the choice {', '.join(record.selected or ())}",
            names=chosen,
        )
    unnamed = record.checks_in_plan - len(record.checks) - len(record.left_out)
    if unnamed > 0:
        yield Line("skipped", f"{_checks(unnamed)} of the plan did not run", "this record does not name them")
    for point in record.testpoints:
        if point.status in ("planned", "not run", "skipped", "reported"):
            yield Line("skipped", f"testpoint {point.name} ({point.stage}): {point.status}", point.reason or "")
    if record.held is not None and record.held.missing:
        names = record.held.missing[:_NAMED]
        yield Line("skipped", f"{len(record.held.missing)} accepted figures were not measured", names=names)
    yield from _gaps(record)


def _gaps(record: SignoffRecord) -> Iterator[Line]:
    """Sentences on what checks did not look at, each once with all checks that it is said of."""
    said: dict[str, list[CheckRecord]] = {}
    for check in record.checks:
        for part in CHECKS[check.kind].parts:
            if isinstance(part, Gap):
                for sentence in part.take(check):
                    if check not in said.setdefault(sentence, []):
                        said[sentence].append(check)
    for sentence, checks in said.items():
        yield Line("reported", "not looked at:", sentence, tuple(checks))


def _checks(count: int) -> str:
    return "1 check" if count == 1 else f"{count} checks"
