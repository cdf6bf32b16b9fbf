"""Runs a plan, check by check, into a record."""

import shlex
import time
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from fxsim import __version__
from fxsim.errors import FxsimError
from fxsim.paths import readable
from fxsim.signoff.checks import CHECKS
from fxsim.signoff.context import Context, Outcome, SkipCheck
from fxsim.signoff.environment import find_commit, find_machine, find_repositories, find_tools
from fxsim.signoff.files import default_plan
from fxsim.signoff.plan import Check, Plan
from fxsim.signoff.record import CheckRecord, Repository, SignoffRecord, Status, verdict


class Listener(Protocol):
    """A listener is told what a run is doing."""

    def started(self, check: Check) -> None:
        """A check begins."""

    def progress(self, done: int, total: int) -> None:
        """The check has done so much."""

    def status(self, text: str) -> None:
        """The check says what it is doing, in words."""

    def finished(self, record: CheckRecord) -> None:
        """The check ended, one way or another."""


class Silence:
    """A listener that does nothing."""

    def started(self, check: Check) -> None:
        """Say nothing."""

    def progress(self, done: int, total: int) -> None:
        """Say nothing."""

    def status(self, text: str) -> None:
        """Say nothing."""

    def finished(self, record: CheckRecord) -> None:
        """Say nothing."""


@dataclass
class _Run:
    """State of a run so far: its records, and whether it is complete."""

    records: list[CheckRecord] = field(default_factory=list)
    complete: bool = True


def run_plan(
    plan: Plan, only: tuple[str, ...] = (), listener: Listener | None = None, output: Path | None = None
) -> SignoffRecord:
    """Run a plan's checks, or those named in `only`, and return the record.

    In the folder `output`, where one is given, `failures/CHECK` is written for each simulation that fails.

    A check that fails, or raises, does not stop the others. An interruption (Ctrl-C) does: the record then has what was
    done until then, the rest as skipped, and `complete` false. FxsimError for an unknown name in `only`.
    """
    listener = listener or Silence()
    checks = plan.select(only)
    started, began = datetime.now(UTC), time.monotonic()
    context = Context(plan, listener.progress, listener.status, output)
    run = _Run()
    for check in checks:
        if run.complete:
            listener.started(check)
            _carry_out(check, plan, context, run)
        else:
            run.records.append(_record(check, plan, Status.SKIPPED, Outcome("not run", "the run was interrupted"), 0.0))
        listener.finished(run.records[-1])
    records = tuple(run.records)
    return SignoffRecord(
        format="fxsim.signoff",
        version=1,
        title=plan.title,
        plan=_shown(plan.path),
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - began, 3),
        complete=run.complete,
        passed=verdict(records, run.complete),
        selected=only or None,
        checks_in_plan=len(plan.checks),
        seed=plan.seed,
        commit=find_commit(),
        fxsim_version=__version__,
        tools=find_tools(),
        machine=find_machine(),
        hashes={"plan": plan.sha256} | dict(sorted(context.hashes.items())),
        checks=records,
        repositories=_repositories(plan),
    )


def _repositories(plan: Plan) -> tuple[Repository, ...]:
    """Repositories that the plan and the files it names lie in."""
    models = [source.file for source in plan.models.values()]
    stimuli = [source.file for source in plan.stimuli.values()]
    return find_repositories((plan.path, *(plan.folder / file for file in (*models, *stimuli) if file is not None)))


def _carry_out(check: Check, plan: Plan, context: Context, run: _Run) -> None:
    """Carry one check out, whatever happens in it."""
    began = time.monotonic()
    try:
        context.discard_failure(check.name)
        kind = CHECKS[check.kind]
        outcome = kind.run(check, context, plan.check_seed(check.name))
        for row in {type(row) for row in outcome.details.data}.difference(kind.rows):
            raise TypeError(f"kind '{check.kind}' left {row.FIELD}, which it does not declare")
        status = _judge(outcome)
    except SkipCheck as reason:
        status, outcome = Status.SKIPPED, Outcome("not run", str(reason))
    except FxsimError as error:
        status, outcome = Status.ERROR, Outcome("could not be carried out", str(error))
    except KeyboardInterrupt:
        run.complete = False
        status, outcome = Status.ERROR, Outcome("cut short", "interrupted while it ran")
    except Exception as error:  # a defect in fxsim itself must not hide what the other checks find
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{place.name}, {place.filename.rsplit('/', 1)[-1]} line {place.lineno}"
        status, outcome = (
            Status.ERROR,
            Outcome("could not be carried out", f"{type(error).__name__}: {error} (in {where})"),
        )
    run.records.append(_record(check, plan, status, outcome, time.monotonic() - began))


def _judge(outcome: Outcome) -> Status:
    """Status of a check that was carried out."""
    if outcome.reason is not None:
        return Status.FAILED
    return Status.PASSED if outcome.reported is None else Status.REPORTED


def _record(check: Check, plan: Plan, status: Status, outcome: Outcome, seconds: float) -> CheckRecord:
    return CheckRecord(
        name=check.name,
        kind=check.kind,
        about=check.about,
        status=status,
        summary=outcome.summary,
        reason=outcome.reason if outcome.reason is not None else outcome.reported,
        seconds=round(seconds, 3),
        seed=plan.check_seed(check.name),
        replay=replay_command(plan, check.name),
        kept=outcome.kept,
        details=outcome.details,
    )


def _shown(path: Path) -> str:
    """A path as one would type it here: relative where it lies below the working folder."""
    try:
        return readable(str(path.resolve().relative_to(Path.cwd())))
    except ValueError:
        return readable(str(path))


def replay_command(plan: Plan, name: str) -> str:
    """The one command that runs a check alone again, with the same seed."""
    command = ["fxsim", "signoff"]
    if plan.path.resolve() != default_plan().resolve():
        command.append(_shown(plan.path))
    return shlex.join([*command, "--only", name])
