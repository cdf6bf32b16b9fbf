"""The record of a sign-off: everything that is known of a run, and all that its report is drawn from.

Data of a kind of check are structs in that kind's file, `checks/KIND.py`; here is what all of them have. `files.py`
reads and writes a record.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import ClassVar, Literal, TypeVar

from msgspec import Struct

from fxsim.signoff.plan import Stage

REPLAY_SCRIPT = "replay.sh"
"""Name of the script that repeats the failure that a folder was kept of."""


class Status(StrEnum):
    """The way in which a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    """The compared values are different, or another demand of the check does not hold."""
    ERROR = "error"
    """The check could not be carried out."""
    SKIPPED = "skipped"
    """The check was not carried out, for the reason given."""
    REPORTED = "reported"
    """Nothing that the check demands is wrong; a part, which the reason names, was only reported or not measured."""


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a record, in which nothing unknown may stand."""


class Figure(Record, frozen=True):
    """One measured number or word, with its label and unit."""

    label: str
    value: int | float | str | None
    unit: str = ""


class Data(Record, frozen=True):
    """A row of the data that a kind of check brings beyond figures, for tables and pictures of the report.

    `FIELD`: the name that a list of such rows has in the record.
    """

    FIELD: ClassVar[str]


D = TypeVar("D", bound=Data)


class Details:
    """Findings of a check beyond its verdict: figures, and data of its kind. In JSON an object with a list for each."""

    __slots__ = ("data", "figures")

    def __init__(self, figures: Iterable[Figure] = (), data: Iterable[Data] = ()) -> None:
        self.figures = tuple(figures)
        self.data = tuple(sorted(data, key=lambda row: row.FIELD))

    def of(self, kind: type[D]) -> tuple[D, ...]:
        """Rows of one kind of data."""
        return tuple(row for row in self.data if isinstance(row, kind))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Details):
            return NotImplemented
        return (self.figures, self.data) == (other.figures, other.data)

    def __hash__(self) -> int:
        return hash((self.figures, self.data))

    def __repr__(self) -> str:
        return f"Details({self.figures!r}, {self.data!r})"


class CheckRecord(Record, frozen=True):
    """One check. `summary` is one line for a table, `reason` says why it did not pass; `replay` runs it alone again.

    `kept`: the folder beside the record whose replay.sh repeats a failed simulation, null where there is none;
    `kept_files`: the names of the files in it.
    """

    name: str
    kind: str
    about: str
    status: Status
    summary: str
    reason: str | None
    seconds: float
    seed: int
    replay: str
    kept: str | None
    details: Details = Details()
    kept_files: tuple[str, ...] = ()


class GoalRecord(Record, frozen=True):
    """A figure that a testpoint demands of one of its checks. `value` is null where it was not measured."""

    check: str
    figure: str
    at_least: int | float | None
    at_most: int | float | None
    value: int | float | None
    reached: bool


PointStatus = Literal["passed", "failed", "not run", "skipped", "reported", "planned"]


class TestpointRecord(Record, frozen=True):
    """One testpoint of the plan. `checks`: the names of those that show it; then how many of them ended how.

    `status`: "passed" only where every check passed and every goal was reached; otherwise the first of these: "failed"
    (a check failed or was in error, or a goal was not reached), "planned" (what shows it is not there yet), "not run"
    (a check was not chosen, or an interruption came before it), "skipped", "reported". `reason` says why it did not
    pass.
    """

    __test__ = False  # no test of pytest's

    name: str
    stage: Stage
    claim: str
    status: PointStatus
    reason: str | None
    checks: tuple[str, ...]
    passed: int
    failed: int
    not_run: int
    skipped: int
    reported: int
    goals: tuple[GoalRecord, ...]


class Commit(Record, frozen=True):
    """The commit of the clone fxsim runs from; `unknown` where it does not run from one.

    `dirty`: files that belong to it had changed, or its package or Verilog had files more. What was merely written into
    the clone's folder counts for nothing.
    """

    id: str
    dirty: bool | None


class Repository(Record, frozen=True):
    """A repository of the user's that the plan, or a model or stimulus it names, lies in.

    `name` is its folder's, `id` its commit: `unknown`, and `dirty` null, where git does not say. `dirty`: files under
    version control had changed. `untracked`: the plan, or files it names, that are not under version control.
    """

    name: str
    id: str
    dirty: bool | None
    untracked: tuple[str, ...]


class Machine(Record, frozen=True):
    """The machine that the run was on."""

    processor: str
    cores: int
    memory_gib: float | None
    system: str


class LeftOut(Record, frozen=True):
    """A check of the plan that the run left out, by its stage or because it was not chosen; `about`: what it shows."""

    name: str
    kind: str
    stage: Stage
    about: str
    because: Literal["stage", "selection"]


class CheckRun(Record, frozen=True):
    """One check in the history. `exact`: cycles, added up; `rate`: the greatest figure a second; null without any."""

    status: Status
    seconds: float
    exact: int | None = None
    rate: float | None = None


class Run(Record, frozen=True):
    """A run that came to its end, a line of `history.jsonl`. `repositories`: commits of the user's own, by name."""

    format: Literal["fxsim.signoff.run"]
    version: Literal[1]
    title: str
    started: str
    seconds: float
    passed: bool
    strict: bool
    stage: Stage | None
    seed: int
    plan: str
    commit: str
    repositories: dict[str, str]
    machine: str
    checks: dict[str, CheckRun]


class Deviation(Record, frozen=True):
    """An exact figure of a check that is not the accepted one."""

    check: str
    figure: str
    accepted: int
    now: int


class RateChange(Record, frozen=True):
    """A figure a second of a check beside the accepted one: shown as a ratio, and never held."""

    check: str
    figure: str
    accepted: float
    now: float


class Held(Record, frozen=True):
    """A comparison with the figures that were accepted.

    `accepted`: when the run that they are of began; `compared`: exact figures in both; `missing`: accepted ones of
    checks that ran and do not have them now.
    """

    accepted: str
    commit: str
    machine: str
    compared: int
    deviations: tuple[Deviation, ...]
    missing: tuple[str, ...]
    rates: tuple[RateChange, ...]


class SignoffRecord(Record, frozen=True):
    """`signoff.json`. `complete`: not interrupted.

    `selected`: what was chosen (names given to --only, `kind` and `testpoint` with theirs, what had not passed), null
    for the whole plan.

    `stage`: the stage that the run went up to, null where it left none out. `strict`: what was skipped or only reported
    counts as not passed. `left_out`: the plan's checks that did not run, by name; records of before have none.
    `history`: earlier runs, the last ones, oldest first; `history_problems`: lines of it that are damaged. `held`: the
    comparison with accepted figures, null where none are.

    `testpoints`: all of the plan's. `stage_reached`: the last stage that has testpoints and of which, and of every
    stage before, all testpoints passed; null where there is none. `without_testpoint`: checks of the plan that no
    testpoint names, where it has testpoints.

    `machines`: further ones, of a cluster, that checks ran on.

    `hashes` are sha256 by what they are of: `plan`, `rtl` (once judged; `rtl NAME` and `dut NAME` of a design that a
    plan names), `model NAME`, `stimulus NAME`, `checkpoint NAME`, `original FILE`, `published FOLDER`, `waivers FILE`,
    and `accepted figures`, of their content. `commit` is fxsim's own; `repositories` are those that the plan and its
    files lie in, other than fxsim's clone.
    """

    format: Literal["fxsim.signoff"]
    version: Literal[1]
    title: str
    plan: str
    started: str
    seconds: float
    complete: bool
    passed: bool
    selected: tuple[str, ...] | None
    checks_in_plan: int
    seed: int
    commit: Commit
    fxsim_version: str
    tools: dict[str, str]
    machine: Machine
    hashes: dict[str, str]
    checks: tuple[CheckRecord, ...]
    repositories: tuple[Repository, ...] = ()
    stage: Stage | None = None
    strict: bool = False
    left_out: tuple[LeftOut, ...] = ()
    history: tuple[Run, ...] = ()
    history_problems: tuple[str, ...] = ()
    held: Held | None = None
    testpoints: tuple[TestpointRecord, ...] = ()
    stage_reached: Stage | None = None
    without_testpoint: tuple[str, ...] = ()
    machines: tuple[Machine, ...] = ()

    def count(self, status: Status) -> int:
        """Number of checks that ended so."""
        return sum(check.status is status for check in self.checks)


def verdict(checks: tuple[CheckRecord, ...], complete: bool, strict: bool = False) -> bool:
    """Whether a run passed: it came to its end, nothing failed or was in error, and something passed.

    What was skipped or only reported neither fails nor passes; where it is `strict` nothing may be either.
    """
    statuses = {check.status for check in checks}
    allowed = {Status.PASSED} if strict else {Status.PASSED, Status.SKIPPED, Status.REPORTED}
    return complete and Status.PASSED in statuses and statuses <= allowed
