"""Accepted figures: exact ones, such as cycles, of a run that someone accepted; later runs are held to them.

They lie beside the plan, `PLAN.accepted.json`, to be committed with it.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from fxsim.errors import FxsimError
from fxsim.formats import atomic_write
from fxsim.formats.text import read_json
from fxsim.signoff.history import exact_figures, rate_figures
from fxsim.signoff.plan import Plan
from fxsim.signoff.record import CheckRecord, Deviation, Held, RateChange, Record, SignoffRecord, Status

_BYTES_MAX = 64 << 20
_NAMED = 3


class Figures(Record, frozen=True):
    """Accepted figures of a check, by name."""

    exact: dict[str, int]
    rates: dict[str, float]


ACCEPTED = "accepted figures"
"""The name of their hash in the record."""


class Accepted(Record, frozen=True):
    """`PLAN.accepted.json`: figures by check, and the run that the last of them are of. `commit`: of fxsim."""

    format: Literal["fxsim.signoff.accepted"]
    version: Literal[1]
    started: str
    commit: str
    machine: str
    checks: dict[str, Figures]


def accepted_path(plan: Plan) -> Path:
    """The place of a plan's accepted figures."""
    return plan.path.with_suffix(".accepted.json")


def read_accepted(plan: Plan) -> Accepted | None:
    """A plan's accepted figures, None where there are none. FileError where they are not as `accept` wrote them."""
    path = accepted_path(plan)
    if not path.exists():
        return None
    return read_json(path, Accepted, _BYTES_MAX, "accepted figures of a sign-off, as --accept writes them")


def hash_accepted(accepted: Accepted) -> str:
    """Hash of accepted figures, however their file is laid out."""
    return hashlib.sha256(msgspec.json.encode(accepted)).hexdigest()


def accept(plan: Plan, record: SignoffRecord) -> int:
    """Accept the exact figures of a record, in place of those accepted before; their number.

    Of checks that the record left out the earlier ones stay. FxsimError where the record did not pass, or is not of
    this plan as it is now.
    """
    if not record.passed:
        raise FxsimError(f"the record of {record.started} did not pass: its figures are not accepted")
    if record.hashes.get("plan") != plan.sha256 or record.seed != plan.seed:
        raise FxsimError(f"the record of {record.started} is of another plan or seed than {plan.path} has now")
    before = read_accepted(plan)
    ran = {check.name for check in record.checks}
    names = {check.name for check in plan.checks}
    kept = {} if before is None else before.checks
    checks = {name: figures for name, figures in kept.items() if name in names and name not in ran}
    for check in record.checks:
        figures = Figures(exact_figures(check), rate_figures(check))
        if check.status in (Status.PASSED, Status.REPORTED) and (figures.exact or figures.rates):
            checks[check.name] = figures
    count = sum(len(figures.exact) for figures in checks.values())
    if not count:
        raise FxsimError(f"the record of {record.started} has no exact figures, such as cycles")
    machine = f"{record.machine.processor}, {record.machine.cores} cores"
    content = Accepted(
        "fxsim.signoff.accepted", 1, record.started, record.commit.id, machine, dict(sorted(checks.items()))
    )
    with atomic_write(accepted_path(plan)) as file:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
    return count


def hold(check: CheckRecord, accepted: Accepted | None) -> CheckRecord:
    """A check's record as it is beside the accepted figures.

    More cycles than accepted fail it; fewer make it reported, since what was accepted no longer holds anything.
    """
    figures = None if accepted is None else accepted.checks.get(check.name)
    if figures is None or check.status not in (Status.PASSED, Status.REPORTED):
        return check
    found = _deviations(check, figures)
    worse = [row for row in found if row.now > row.accepted]
    if worse:
        return msgspec.structs.replace(check, status=Status.FAILED, reason=f"more than accepted: {_say(worse)}")
    if found:
        reason = f"fewer than accepted, which --accept would take: {_say(found)}"
        told = reason if check.reason is None else f"{check.reason}; {reason}"
        return msgspec.structs.replace(check, status=Status.REPORTED, reason=told)
    return check


def compare(checks: Sequence[CheckRecord], accepted: Accepted | None) -> Held | None:
    """The comparison of a run with the accepted figures; None where there are none."""
    if accepted is None:
        return None
    both = [(check, accepted.checks[check.name]) for check in checks if check.name in accepted.checks]
    ran = [(c, f) for c, f in both if c.status is not Status.SKIPPED]
    return Held(
        accepted=accepted.started,
        commit=accepted.commit,
        machine=accepted.machine,
        compared=sum(len(figures.exact.keys() & exact_figures(check).keys()) for check, figures in ran),
        deviations=tuple(row for check, figures in ran for row in _deviations(check, figures)),
        missing=tuple(
            f"{check.name}: {name}"
            for check, figures in ran
            for name in sorted(figures.exact.keys() - exact_figures(check))
        ),
        rates=tuple(
            RateChange(check.name, name, figures.rates[name], now)
            for check, figures in ran
            for name, now in rate_figures(check).items()
            if name in figures.rates
        ),
    )


def _deviations(check: CheckRecord, figures: Figures) -> list[Deviation]:
    now = exact_figures(check)
    return [
        Deviation(check.name, name, before, now[name])
        for name, before in figures.exact.items()
        if name in now and now[name] != before
    ]


def _say(rows: Sequence[Deviation]) -> str:
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return "; ".join(f"{row.figure}: {row.now:,}, accepted {row.accepted:,}" for row in rows[:_NAMED]) + more
