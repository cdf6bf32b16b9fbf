"""The testplan of a sign-off: what its testpoints demand of the plan, and what came of each in a run."""

import math
from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase

from fxsim.signoff.plan import STAGES, Goal, Plan, Stage, Testpoint
from fxsim.signoff.record import CheckRecord, GoalRecord, PointStatus, Status, TestpointRecord

_ENDED: dict[Status, PointStatus] = {
    Status.PASSED: "passed",
    Status.FAILED: "failed",
    Status.ERROR: "failed",
    Status.SKIPPED: "skipped",
    Status.REPORTED: "reported",
}
_WORST: tuple[PointStatus, ...] = ("failed", "planned", "not run", "skipped", "reported")


# --- In the plan -----------------------------------------------------------------------------------------------------


def testpoint_problems(plan: Plan) -> Iterator[str]:
    """Everything about a plan's testpoints that makes no sense, as a sentence each."""
    names = [testpoint.name for testpoint in plan.testpoints]
    for testpoint in plan.testpoints:
        where = f"testpoint '{testpoint.name}'"
        if (count := names.count(testpoint.name)) > 1:
            yield f"{where} is there {count} times"
        if not testpoint.checks and not testpoint.planned:
            yield f"{where} names no check, expected checks, or planned = true"
        for name in testpoint.checks:
            yield from (f"{where} {problem}" for problem in _name_problems(plan, testpoint, name))
        for goal in testpoint.goals:
            yield from (f"{where} {problem}" for problem in _goal_problems(plan, testpoint, goal))


testpoint_problems.__test__ = False  # type: ignore[attr-defined]  # no test of pytest's


def _name_problems(plan: Plan, testpoint: Testpoint, name: str) -> Iterator[str]:
    found = [check for check in plan.checks if fnmatchcase(check.name, name)]
    if not found and not testpoint.planned:
        yield f"names '{name}', which no check is called; planned = true says that it is not there yet"
    elif found and not any(fnmatchcase(check.name, name) for check in plan.checks_of(testpoint)):
        # It could never be reached by a run up to its stage.
        yield f"is of stage {testpoint.stage} and names '{name}', which is of {found[0].stage}"


def _goal_problems(plan: Plan, testpoint: Testpoint, goal: Goal) -> Iterator[str]:
    has = f"has a goal for '{goal.figure}'"
    least, most = goal.at_least, goal.at_most
    if least is None and most is None:
        yield f"{has} without at_least or at_most"
    if any(bound is not None and not math.isfinite(bound) for bound in (least, most)):
        yield f"{has} that is no number"
    elif least is not None and least <= 0:
        yield f"{has} of at least {least}, which nothing could miss"
    elif least is not None and most is not None and least > most:
        yield f"{has} of at least {least} and at most {most}, which nothing could reach"
    if not testpoint.planned and not any(check.name == goal.check for check in plan.checks_of(testpoint)):
        yield f"has a goal of check '{goal.check}', which is none of its checks"


# --- In a run --------------------------------------------------------------------------------------------------------


def judge_testpoints(
    plan: Plan, checks: Sequence[CheckRecord], not_begun: Collection[str] = ()
) -> tuple[TestpointRecord, ...]:
    """The outcome of each testpoint of the plan; `not_begun`: checks whose record only says that they did not run."""
    records = {check.name: check for check in checks if check.name not in not_begun}
    return tuple(_judge(plan, testpoint, records) for testpoint in plan.testpoints)


def find_stage_reached(testpoints: Sequence[TestpointRecord]) -> Stage | None:
    """The last stage that has testpoints and of which, and of every stage before, all testpoints passed."""
    reached: Stage | None = None
    for stage in STAGES:
        statuses = {testpoint.status for testpoint in testpoints if testpoint.stage == stage}
        if statuses - {"passed"}:
            break
        reached = stage if statuses else reached
    return reached


def _judge(plan: Plan, testpoint: Testpoint, records: dict[str, CheckRecord]) -> TestpointRecord:
    names = [check.name for check in plan.checks_of(testpoint)]
    ended: dict[str, PointStatus] = {
        name: _ENDED[records[name].status] if name in records else "not run" for name in names
    }
    goals = tuple(_measure(goal, records.get(goal.check)) for goal in testpoint.goals)
    # Of a check that did not run, or whose figures do not stand, nothing is known.
    missed = [goal for goal in goals if not goal.reached and ended.get(goal.check) in ("passed", "reported")]
    found: set[PointStatus] = set(ended.values())
    if testpoint.planned:
        found.add("planned")
    if missed:
        found.add("failed")
    status: PointStatus = next((word for word in _WORST if word in found), "passed")
    reasons = [f"{name}: {word}" for name, word in ended.items() if word == status]
    if status == "planned":
        reasons = ["what shows it is not there yet"]
    if status == "failed":
        reasons += [_say(goal) for goal in missed]
    more = f" and {len(reasons) - 5} more" if len(reasons) > 5 else ""
    counts = list(ended.values())
    return TestpointRecord(
        name=testpoint.name,
        stage=testpoint.stage,
        claim=testpoint.claim,
        status=status,
        reason=None if status == "passed" else "; ".join(reasons[:5]) + more,
        checks=tuple(names),
        passed=counts.count("passed"),
        failed=counts.count("failed"),
        not_run=counts.count("not run"),
        skipped=counts.count("skipped"),
        reported=counts.count("reported"),
        goals=goals,
    )


def _measure(goal: Goal, check: CheckRecord | None) -> GoalRecord:
    values = [] if check is None else [found.value for found in check.details.figures if found.label == goal.figure]
    value = values[0] if len(values) == 1 else None
    if isinstance(value, str):
        value = None
    reached = (
        value is not None
        and (goal.at_least is None or value >= goal.at_least)
        and (goal.at_most is None or value <= goal.at_most)
    )
    return GoalRecord(goal.check, goal.figure, goal.at_least, goal.at_most, value, reached)


def _say(goal: GoalRecord) -> str:
    measured = "no such figure was measured" if goal.value is None else f"{goal.value:,}"
    bounds = [
        f"{word} {bound:,}"
        for word, bound in (("at least", goal.at_least), ("at most", goal.at_most))
        if bound is not None
    ]
    return f"{goal.check}: {goal.figure}: {measured}, expected {' and '.join(bounds)}"
