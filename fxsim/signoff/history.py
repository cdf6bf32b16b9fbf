"""The history of a sign-off: `history.jsonl`, a line a run that came to its end, the newest last.

A line is never changed: a damaged one is named, left, and not looked at.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from fxsim.errors import FileError
from fxsim.formats import atomic_write
from fxsim.formats.text import decode_json, read_bounded
from fxsim.signoff.checks import CHECKS
from fxsim.signoff.kind import Yardstick
from fxsim.signoff.plan import Plan
from fxsim.signoff.record import CheckRecord, CheckRun, Run, SignoffRecord

HISTORY = "history.jsonl"
"""The file's name, beside the record."""
SHOWN = 30
"""Earlier runs that a record has, and its report shows."""
_LINES_MAX = 1000
"""Lines that are kept; the oldest go."""
_BYTES_MAX = 64 << 20
_PROBLEMS_MAX = 5


def exact_figures(check: CheckRecord) -> dict[str, int]:
    """Figures of a check that are the same on any machine."""
    return {name: value for part in _yardsticks(check) for name, value in part.exact(check).items()}


def rate_figures(check: CheckRecord) -> dict[str, float]:
    """Figures a second of a check."""
    return {name: value for part in _yardsticks(check) for name, value in part.rates(check).items()}


def _yardsticks(check: CheckRecord) -> Iterable[Yardstick]:
    return (part for part in CHECKS[check.kind].parts if isinstance(part, Yardstick))


def make_run(record: SignoffRecord) -> Run:
    """The line of a run."""
    return Run(
        format="fxsim.signoff.run",
        version=1,
        title=record.title,
        started=record.started,
        seconds=record.seconds,
        passed=record.passed,
        strict=record.strict,
        stage=record.stage,
        seed=record.seed,
        plan=record.hashes.get("plan", ""),
        commit=record.commit.id,
        repositories={repository.name: repository.id for repository in record.repositories},
        machine=f"{record.machine.processor}, {record.machine.cores} cores",
        checks={check.name: _check_run(check) for check in record.checks},
    )


def _check_run(check: CheckRecord) -> CheckRun:
    exact, rates = exact_figures(check), rate_figures(check)
    return CheckRun(check.status, check.seconds, sum(exact.values()) or None, max(rates.values(), default=None))


def read_history(path: Path) -> tuple[tuple[Run, ...], tuple[str, ...]]:
    """The last runs of a history, the oldest first, and a sentence for each damaged line, the first few of them.

    Without a file there are none. FileError where it cannot be read, or is longer than any history.
    """
    if not path.exists():
        return (), ()
    runs: list[Run] = []
    problems: list[str] = []
    for number, line in enumerate(_lines(path), 1):
        try:
            runs.append(decode_json(f"{path.name}, line {number},", line, Run, "a run of a sign-off"))
        except FileError as error:
            problems.append(f"{error}; it is left as it is")
    more = len(problems) - _PROBLEMS_MAX
    told = problems[:_PROBLEMS_MAX] + ([f"{path.name}: {more} more damaged lines"] if more > 0 else [])
    return tuple(runs[-SHOWN:]), tuple(told)


def runs_before(runs: tuple[Run, ...], plan: Plan, started: str) -> tuple[Run, ...]:
    """The runs of a history before one that is gone on with, which may have ended when its line was there already."""
    return runs[:-1] if runs and _is(runs[-1], plan.sha256, plan.seed, started) else runs


def _is(run: Run, plan: str, seed: int, started: str) -> bool:
    return (run.plan, run.seed, run.started) == (plan, seed, started)


def add_to_history(path: Path, record: SignoffRecord, resumed: bool = False) -> None:
    """Add a run to a history, whole or not at all; one that did not come to its end is none. FileError as it reads.

    `resumed`: it was gone on with; where its line is there already, as the last, it stays the only one.
    """
    if not record.complete:
        return
    lines = _lines(path) if path.exists() else []
    if resumed and lines:
        with suppress(FileError):
            last = decode_json(path.name, lines[-1], Run, "a run of a sign-off")
            if _is(last, record.hashes["plan"], record.seed, record.started):
                return
    lines.append(msgspec.json.encode(make_run(record)))
    with atomic_write(path) as file:
        file.write_bytes(b"".join(line + b"\n" for line in lines[-_LINES_MAX:]))


def _lines(path: Path) -> list[bytes]:
    data = read_bounded(path, _BYTES_MAX, "the history of a sign-off")
    return [line for line in data.split(b"\n") if line.strip()]
