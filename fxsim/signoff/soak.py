"""Soaking: the checks that a seed decides, round after round with the next seed, until the time is up."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from fxsim.errors import FileError, FxsimError
from fxsim.formats import atomic_write
from fxsim.signoff.carry import shown
from fxsim.signoff.checks import CHECKS
from fxsim.signoff.environment import find_commit
from fxsim.signoff.files import load_plan, write_record
from fxsim.signoff.listener import Listener
from fxsim.signoff.plan import Check, Choice, Plan
from fxsim.signoff.record import Commit, Record, SignoffRecord, Status
from fxsim.signoff.report.page import RECORD
from fxsim.signoff.run import run_plan
from fxsim.version import __version__

SOAK = "soak.json"
"""The name of the record of a soak, in its folder."""

ROUNDS = "rounds"
"""The folder beside it that has one inside for each round that did not pass: its record, and failures."""


class SoakFailure(Record, frozen=True):
    """A check that did not pass in a round. `kept`: the folder, beside the soak's record, that repeats it."""

    check: str
    status: Status
    reason: str | None
    seed: int
    replay: str
    kept: str | None


class SoakRound(Record, frozen=True):
    """A round: its number and seed, from which those of its checks are made, and what did not pass."""

    number: int
    seed: int
    seconds: float
    complete: bool
    passed: bool
    checks: int
    failures: tuple[SoakFailure, ...]


class SoakRecord(Record, frozen=True):
    """`soak.json`: the rounds of a soak. `complete`: not interrupted. `seed`: of the first round; each has one more."""

    format: Literal["fxsim.soak"]
    version: Literal[1]
    plan: str
    plan_sha256: str
    fxsim_version: str
    commit: Commit
    hours: float
    seed: int
    started: str
    seconds: float
    checks: tuple[str, ...]
    complete: bool
    passed: bool
    rounds: tuple[SoakRound, ...]


class Telling(Listener, AbstractContextManager[Any], Protocol):
    """A listener for the length of a round."""


def seeded(plan: Plan, checks: Sequence[Check]) -> tuple[Check, ...]:
    """The checks that another seed makes others of: by their kind, a drawn stimulus, or `{seed}` in their settings.

    FxsimError where there is none.
    """
    found = tuple(check for check in checks if _is_seeded(plan, check))
    if not found:
        raise FxsimError(f"{plan.path}: no check that was chosen depends on a seed: another round would be the same")
    return found


def _is_seeded(plan: Plan, check: Check) -> bool:
    drawn = any(plan.stimuli[name].draw is not None for name in check.named_stimuli)
    return CHECKS[check.kind].seeded or drawn or "{seed}" in json.dumps(msgspec.to_builtins(check))


def soak(
    plan: Plan,
    checks: Sequence[Check],
    folder: Path,
    hours: float,
    jobs: int,
    strict: bool,
    listener: Callable[[int], Any],
    say: Callable[[str], None],
) -> SoakRecord:
    """Run rounds of these checks until so many hours are over; a round that has begun is ended.

    The record is written after each, so that it is there however a soak ends. FileError where the folder has one.
    """
    if (folder / SOAK).exists() or (folder / ROUNDS).exists():
        raise FileError(f"{folder} has a soak already: give another -o")
    folder.mkdir(parents=True, exist_ok=True)
    choice = Choice(only=tuple(check.name for check in checks))
    started, began = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    commit = find_commit()
    rounds: list[SoakRound] = []

    def record() -> SoakRecord:
        return SoakRecord(
            format="fxsim.soak",
            version=1,
            plan=shown(plan.path),
            plan_sha256=plan.sha256,
            fxsim_version=__version__,
            commit=commit,
            hours=hours,
            seed=plan.seed,
            started=started,
            seconds=round(time.monotonic() - began, 3),
            checks=choice.only,
            complete=all(one.complete for one in rounds),
            passed=bool(rounds) and all(one.passed for one in rounds),
            rounds=tuple(rounds),
        )

    while not rounds or (time.monotonic() - began < hours * 3600 and rounds[-1].complete):
        number = len(rounds)
        loaded = load_plan(plan.path, plan.seed + number)
        if loaded.sha256 != plan.sha256:
            raise FileError(f"{plan.path}: changed while it was soaked")
        say(f"round {number}, seed {loaded.seed}")
        place = folder / ROUNDS / str(number)
        place.mkdir(parents=True)
        telling = listener(len(checks))
        with telling:
            ended = run_plan(loaded, (), telling, place, jobs, strict=strict, choice=choice)
        rounds.append(_round(number, ended))
        if rounds[-1].passed:
            # What passed is said by seed and round alone: the same seed gives the same again.
            with suppress(OSError):
                place.rmdir()
        else:
            write_record(ended, place / RECORD)
        with atomic_write(folder / SOAK) as file:
            file.write_bytes(msgspec.json.format(msgspec.json.encode(record())) + b"\n")
    return record()


def _round(number: int, ended: SignoffRecord) -> SoakRound:
    wrong = [check for check in ended.checks if check.status in (Status.FAILED, Status.ERROR)]
    return SoakRound(
        number=number,
        seed=ended.seed,
        seconds=ended.seconds,
        complete=ended.complete,
        passed=ended.passed,
        checks=len(ended.checks),
        failures=tuple(
            SoakFailure(
                check=check.name,
                status=check.status,
                reason=check.reason,
                seed=check.seed,
                replay=check.replay,
                kept=None if check.kept is None else f"{ROUNDS}/{number}/{check.kept}",
            )
            for check in wrong
        ),
    )
