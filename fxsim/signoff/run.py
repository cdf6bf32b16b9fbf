"""Runs a plan, check by check, into a record."""

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from fxsim import __version__
from fxsim.errors import FxsimError
from fxsim.signoff.accepted import ACCEPTED, Accepted, compare, hash_accepted, hold
from fxsim.signoff.carry import Carried, carry_out, not_begun, not_carried_out, shown
from fxsim.signoff.checks import CHECKS
from fxsim.signoff.cluster import Cluster
from fxsim.signoff.context import Context
from fxsim.signoff.environment import find_commit, find_machine, find_repositories, find_tools
from fxsim.signoff.files import read_record
from fxsim.signoff.journal import Journal
from fxsim.signoff.listener import Listener, Silence
from fxsim.signoff.plan import STAGES, Check, Choice, Plan, Stage
from fxsim.signoff.record import CheckRecord, LeftOut, Repository, SignoffRecord, Status, verdict
from fxsim.signoff.report.page import RECORD
from fxsim.signoff.testpoints import find_stage_reached, judge_testpoints
from fxsim.signoff.workers import carry_out_side_by_side


def run_plan(
    plan: Plan,
    only: tuple[str, ...] = (),
    listener: Listener | None = None,
    output: Path | None = None,
    jobs: int = 1,
    stage: Stage | None = None,
    strict: bool = False,
    journal: Journal | None = None,
    choice: Choice | None = None,
    accepted: Accepted | None = None,
    cluster: Cluster | None = None,
) -> SignoffRecord:
    """Run a plan's checks, or those named in `only`, those up to a stage where one is given, and return the record.

    In the folder `output`, where one is given, `failures/CHECK` is written for each simulation that fails. `jobs`:
    checks that run at once, each in a process of its own, where that is more than one; those of a kind that measures
    time run before, alone. Record and order of what is told are the same with any number, but for times. `strict`:
    whether the run passes only where every check does. `journal`: what it has of an earlier run is taken, and what ends
    now is kept in it. `choice`: what is chosen, in place of `only` and `stage`. `accepted`: figures that checks
    are held to.
    `cluster`: the checks that `jobs` would have side by side run there; those that measure time run here, before.

    A check that fails, or raises, or whose process ends, does not stop the others. An interruption (Ctrl-C) does: the
    record then has what was done until then, the rest as skipped, and `complete` false. FxsimError for an unknown name
    in `only`.
    """
    listener = listener or Silence()
    choice = choice or Choice(only, stage)
    checks = checks_chosen = plan.select(choice)
    started, began = datetime.now(UTC), time.monotonic()
    results = _Results(plan, checks, listener, journal, accepted)
    taken = {} if journal is None else journal.taken
    for check in checks:
        if check.name in taken:
            results.take(check, taken[check.name])
    checks = tuple(check for check in checks if check.name not in taken)
    alone = checks if jobs == 1 and cluster is None else tuple(check for check in checks if CHECKS[check.kind].alone)
    beside = tuple(check for check in checks if check not in alone)
    if len(beside) == 1 and cluster is None:
        alone, beside = checks, ()
    beside = _longest_first(beside, output)
    complete = _carry_out_alone(alone, plan, output, listener, results)
    if complete and beside and cluster is not None:
        complete = cluster.run(beside, plan, output, listener, results.add)
    elif complete and beside:
        complete = carry_out_side_by_side(beside, plan, output, listener, results.add, min(jobs, len(beside)))
    records = results.close()
    testpoints = judge_testpoints(plan, records, results.not_begun)
    held_to = {} if accepted is None else {ACCEPTED: hash_accepted(accepted)}
    return SignoffRecord(
        format="fxsim.signoff",
        version=1,
        title=plan.title,
        plan=shown(plan.path),
        started=started.isoformat(timespec="seconds") if journal is None else journal.started,
        seconds=round(time.monotonic() - began + (0.0 if journal is None else journal.seconds), 3),
        complete=complete,
        passed=verdict(records, complete, strict) and not any(point.status == "failed" for point in testpoints),
        selected=choice.words or None,
        checks_in_plan=len(plan.checks),
        seed=plan.seed,
        commit=find_commit(),
        fxsim_version=__version__,
        tools=find_tools(),
        machine=find_machine(),
        hashes={"plan": plan.sha256} | held_to | dict(sorted(results.hashes.items())),
        checks=records,
        repositories=_repositories(plan),
        stage=choice.stage,
        strict=strict,
        testpoints=testpoints,
        stage_reached=find_stage_reached(testpoints),
        machines=() if cluster is None else cluster.machines,
        without_testpoint=tuple(check.name for check in plan.without_testpoint),
        left_out=_left_out(plan, choice.stage, checks_chosen),
        held=compare(records, accepted),
    )


def _left_out(plan: Plan, stage: Stage | None, chosen: Sequence[Check]) -> tuple[LeftOut, ...]:
    """The plan's checks that a run leaves out."""
    names = {check.name for check in chosen}
    up_to = STAGES if stage is None else STAGES[: STAGES.index(stage) + 1]
    return tuple(
        LeftOut(check.name, check.kind, check.stage, check.about, "selection" if check.stage in up_to else "stage")
        for check in plan.checks
        if check.name not in names
    )


def _longest_first(checks: Sequence[Check], output: Path | None) -> tuple[Check, ...]:
    """Checks in the order in which they are begun: those that took longest last time first, so that no process idles.

    The times are those of the record in the folder; what it has nothing of comes before, as it may take long.
    """
    took: dict[str, float] = {}
    if output is not None:
        # Of one that is missing, or of another fxsim, there is nothing to know: the plan's order is as good.
        with suppress(FxsimError):
            ended = (Status.PASSED, Status.FAILED, Status.REPORTED)
            took = {each.name: each.seconds for each in read_record(output / RECORD).checks if each.status in ended}
    return tuple(sorted(checks, key=lambda check: -took.get(check.name, math.inf)))


def _carry_out_alone(
    checks: Sequence[Check], plan: Plan, output: Path | None, listener: Listener, results: "_Results"
) -> bool:
    """Carry checks out one after the other, in this process; False where one was cut short."""
    context = Context(plan, lambda _done, _total: None, lambda _text: None, output)
    for check in checks:
        context.progress, context.status = partial(listener.progress, check), partial(listener.status, check)
        listener.started(check)
        carried = carry_out(check, plan, context)
        listener.ended(check)
        results.add(check, carried)
        if carried.interrupted:
            return False
    return True


class _Results:
    """Records of checks, told in the plan's order, in whichever they end; and the hashes of all that they used."""

    def __init__(
        self,
        plan: Plan,
        checks: Sequence[Check],
        listener: Listener,
        journal: Journal | None = None,
        accepted: Accepted | None = None,
    ) -> None:
        self._accepted = accepted
        self._plan = plan
        self._journal = journal
        self._began = time.monotonic()
        self._waiting = list(checks)
        self._carried: dict[str, Carried] = {}
        self._listener = listener
        self._records: list[CheckRecord] = []
        self.hashes: dict[str, str] = {}
        self.not_begun: list[str] = []

    def add(self, check: Check, carried: Carried) -> None:
        """Take a result that came now, and keep it in the journal."""
        if self._journal is not None:
            self._journal.add(carried, time.monotonic() - self._began)
        self.take(check, carried)

    def take(self, check: Check, carried: Carried) -> None:
        """Take a check's result; it is told, and those that waited for it, once all before it are there."""
        self._carried[check.name] = carried
        while self._waiting and self._waiting[0].name in self._carried:
            check = self._waiting.pop(0)
            self._tell(check, self._carried.pop(check.name))

    def close(self) -> tuple[CheckRecord, ...]:
        """The record of each check, in the plan's order; those that there is nothing of were not begun."""
        while self._waiting:
            check = self._waiting.pop(0)
            carried = self._carried.get(check.name)
            if carried is None:
                self.not_begun.append(check.name)
                carried = not_begun(check, self._plan)
            self._tell(check, carried)
        return tuple(self._records)

    def _tell(self, check: Check, carried: Carried) -> None:
        for name, sha256 in carried.hashes.items():
            # Each process reads a file once, perhaps not at the same time.
            if self.hashes.get(name, sha256) != sha256:
                carried = not_carried_out(check, self._plan, f"{name} changed while the sign-off ran")
        self.hashes |= carried.hashes
        record = hold(carried.record, self._accepted)
        self._records.append(record)
        self._listener.finished(record)


def _repositories(plan: Plan) -> tuple[Repository, ...]:
    """Repositories that the plan and the files it names lie in."""
    models = [source.file for source in plan.models.values()]
    stimuli = [source.file for source in plan.stimuli.values()]
    return find_repositories((plan.path, *(plan.folder / file for file in (*models, *stimuli) if file is not None)))
