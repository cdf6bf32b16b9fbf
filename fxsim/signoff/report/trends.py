"""Trends: what changed since the run before, and how figures went over the runs that the history has."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fxsim.signoff.history import make_run
from fxsim.signoff.record import CheckRun, Run, SignoffRecord, Status
from fxsim.signoff.report.elements import Value

_WIDTH, _HEIGHT, _MARGIN = 130.0, 26.0, 3.0
_BAD = (Status.FAILED, Status.ERROR)


@dataclass(frozen=True)
class Trend:
    """A line through a figure of all runs, the last one this: `points` are `x,y`, `marks` the places of bad runs."""

    points: str
    marks: tuple[tuple[float, float], ...]
    last: tuple[float, float]
    said: str


@dataclass(frozen=True)
class CheckTrend:
    """A check over all runs."""

    name: str
    seconds: Trend | None
    exact: Trend | None
    now: CheckRun


@dataclass(frozen=True)
class Changes:
    """Names of checks that ended otherwise than when they last ran, that are new, or that the plan no longer has."""

    failing: tuple[str, ...]
    passing: tuple[str, ...]
    other: tuple[str, ...]
    new: tuple[str, ...]
    gone: tuple[str, ...]

    @property
    def rows(self) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        """Rows of the page: the word, its colour, and the names."""
        rows = (
            ("newly failing", "failed", self.failing), ("newly passing", "passed", self.passing),
            ("ended otherwise", "reported", self.other), ("new", "reported", self.new), ("gone", "skipped", self.gone),
        )  # fmt: skip
        return tuple(row for row in rows if row[2])


@dataclass(frozen=True)
class Trends:
    """Everything that the history shows."""

    before: Run
    runs: tuple[Run, ...]
    changes: Changes
    seconds: Trend | None
    passed: Trend | None
    exact: Trend | None
    checks: tuple[CheckTrend, ...]


def find_trends(record: SignoffRecord) -> Trends | None:
    """The trends of a record, None where it has no earlier run."""
    if not record.history:
        return None
    runs = (*record.history, make_run(record))
    checks = []
    for name, now in runs[-1].checks.items():
        own = [run.checks.get(name) for run in runs]
        bad = [check is not None and check.status in _BAD for check in own]
        seconds = draw_trend([None if check is None else check.seconds for check in own], bad, _seconds)
        exact = draw_trend([None if check is None else check.exact for check in own], bad, _count)
        checks.append(CheckTrend(name, seconds, exact, now))
    return Trends(
        before=record.history[-1],
        runs=runs,
        changes=find_changes(record),
        seconds=draw_trend([run.seconds for run in runs], [not run.passed for run in runs], _seconds),
        passed=draw_trend([_passed(run) for run in runs], [not run.passed for run in runs], _count),
        exact=draw_trend([_exact(run) for run in runs], [not run.passed for run in runs], _count),
        checks=tuple(checks),
    )


def _passed(run: Run) -> int:
    return sum(check.status is Status.PASSED for check in run.checks.values())


def _exact(run: Run) -> int | None:
    return sum(check.exact or 0 for check in run.checks.values()) or None


def find_changes(record: SignoffRecord) -> Changes:
    """The changes of a record against the last run in which each check ran."""
    last: dict[str, Status] = {}
    for run in record.history:
        last |= {name: check.status for name, check in run.checks.items()}
    known = {check.name for check in record.checks} | {left.name for left in record.left_out}
    failing, passing, other, new = [], [], [], []
    for check in record.checks:
        before = last.get(check.name)
        if before is None:
            new.append(check.name)
        elif check.status in _BAD and before not in _BAD:
            failing.append(check.name)
        elif check.status is Status.PASSED and before is not Status.PASSED:
            passing.append(check.name)
        elif check.status is not before:
            other.append(check.name)
    gone = tuple(name for name in last if name not in known)
    return Changes(tuple(failing), tuple(passing), tuple(other), tuple(new), gone)


def draw_trend(values: Sequence[float | None], bad: Sequence[bool], say: Callable[[float], str]) -> Trend | None:
    """A line through the values that there are, from 0 to the greatest; None for fewer than two."""
    found = [value for value in values if value is not None]
    if len(found) < 2:
        return None
    most = max(*found, 1e-9)
    step = (_WIDTH - 2 * _MARGIN) / max(len(values) - 1, 1)
    places = [
        (round(_MARGIN + place * step, 1), round(_HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * value / most, 1), wrong)
        for place, (value, wrong) in enumerate(zip(values, bad, strict=True))
        if value is not None
    ]
    points = " ".join(f"{x},{y}" for x, y, _ in places)
    marks = tuple((x, y) for x, y, wrong in places if wrong)
    said = f"{len(found)} runs, from {say(found[0])} to {say(found[-1])}, at most {say(max(found))}"
    return Trend(points, marks, places[-1][:2], said)


def _seconds(value: float) -> str:
    return f"{value:,.1f} s"


def _count(value: Value) -> str:
    return f"{value:,}"
