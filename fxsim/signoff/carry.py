"""Carries out one check, whatever happens in it, and says what came of it."""

import shlex
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from fxsim.errors import FxsimError
from fxsim.paths import readable
from fxsim.process import limited
from fxsim.signoff.checks import CHECKS
from fxsim.signoff.context import Context, Outcome, SkipCheck
from fxsim.signoff.files import default_plan
from fxsim.signoff.plan import Check, Choice, Plan
from fxsim.signoff.record import CheckRecord, Status

GRACE_SECONDS = 30.0
"""Seconds that a check has to clean up when it was interrupted, and to say what it had."""


class Carried(Struct, frozen=True):
    """A check that was carried out: its record, the hashes of what it used by name, and whether it was cut short."""

    record: CheckRecord
    hashes: dict[str, str]
    interrupted: bool = False


def carry_out(check: Check, plan: Plan, context: Context) -> Carried:
    """Carry one check out: what it raises is its outcome, an interruption (Ctrl-C) included.

    Its limit interrupts it, too: it is in error then, whatever came of it. That needs the main thread, and Python that
    runs; whoever waits for another process looks at the clock by himself.
    """
    began = time.monotonic()
    context.hashes = {}
    interrupted = False
    try:
        context.discard_failure(check.name)
        kind = CHECKS[check.kind]
        outcome = _run_within_limit(check, plan, context)
        for row in {type(row) for row in outcome.details.data}.difference(kind.rows):
            raise TypeError(f"kind '{check.kind}' left {row.FIELD}, which it does not declare")
        status = _judge(outcome)
    except SkipCheck as reason:
        status, outcome = Status.SKIPPED, Outcome("not run", str(reason))
    except FxsimError as error:
        status, outcome = Status.ERROR, Outcome("could not be carried out", str(error))
    except KeyboardInterrupt:
        interrupted = True
        status, outcome = Status.ERROR, Outcome("cut short", "interrupted while it ran")
    except Exception as error:  # a defect in fxsim itself must not hide what the other checks find
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{place.name}, {place.filename.rsplit('/', 1)[-1]} line {place.lineno}"
        status, outcome = (
            Status.ERROR,
            Outcome("could not be carried out", f"{type(error).__name__}: {error} (in {where})"),
        )
    record = _record(check, plan, status, outcome, time.monotonic() - began)
    folder = context.failure_folder(check.name)
    if record.kept is not None and folder is not None and folder.is_dir():
        names = sorted(file.name for file in folder.iterdir() if file.is_file())
        record = msgspec.structs.replace(record, kept_files=tuple(names))
    return Carried(record, context.hashes, interrupted)


def _run_within_limit(check: Check, plan: Plan, context: Context) -> Outcome:
    """The outcome of a check that ended in time; FxsimError where it did not."""
    is_over: Callable[[], bool] | None = None
    try:
        with limited(plan.limit_of(check)) as is_over:
            return CHECKS[check.kind].run(check, context, plan.check_seed(check.name))
    finally:
        # Whatever it returned or raised.
        if is_over is not None and is_over():
            raise FxsimError(overdue(check, plan)) from None


def overdue(check: Check, plan: Plan) -> str:
    """The reason of a check that its limit ended."""
    return f"did not end within {plan.limit_of(check):,} s"


def not_carried_out(check: Check, plan: Plan, reason: str) -> Carried:
    """A check that could not be carried out, for a reason outside of it."""
    return Carried(_record(check, plan, Status.ERROR, Outcome("could not be carried out", reason), 0.0), {})


def cut_short(check: Check, plan: Plan) -> Carried:
    """A check that was interrupted and left nothing."""
    return Carried(_record(check, plan, Status.ERROR, Outcome("cut short", "interrupted while it ran"), 0.0), {}, True)


def not_begun(check: Check, plan: Plan) -> Carried:
    """A check that an interruption came before."""
    return Carried(_record(check, plan, Status.SKIPPED, Outcome("not run", "the run was interrupted"), 0.0), {})


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


def shown(path: Path) -> str:
    """A path as one would type it here: relative where it lies below the working folder."""
    try:
        return readable(str(path.resolve().relative_to(Path.cwd())))
    except ValueError:
        return readable(str(path))


def replay_command(plan: Plan, name: str) -> str:
    """The one command that runs a check alone again, with the same seed."""
    own = [] if plan.seed == plan.stated_seed else ["--seed", str(plan.seed)]
    return shlex.join([*_command(plan), "--only", name, *own])


def resume_command(plan: Plan, choice: Choice, folder: Path, strict: bool) -> str:
    """The one command that goes on with a run into a folder that was ended."""
    options = [part for name in choice.only for part in ("--only", name)]
    options += [part for kind in choice.kinds for part in ("--kind", kind)]
    options += [part for name in choice.testpoints for part in ("--testpoint", name)]
    options += [] if choice.stage is None else ["--stage", choice.stage]
    # What had not passed is chosen by a record that this run has replaced.
    options += [part for name in choice.failed or () for part in ("--only", name)]
    return shlex.join([*_command(plan), *options, *(["--strict"] if strict else []), "-o", shown(folder), "--resume"])


def _command(plan: Plan) -> list[str]:
    if plan.path.resolve() == default_plan().resolve():
        return ["fxsim", "signoff"]
    path = shown(plan.path)
    # Words that mean something else there.
    return ["fxsim", "signoff", f"./{path}" if path == "init" or path.startswith("-") else path]
