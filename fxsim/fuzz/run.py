"""A run of random networks: one after the other, until a number or a time is reached."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fxsim.fuzz.devices import replay_device
from fxsim.fuzz.examine import Examination, examine
from fxsim.fuzz.features import GROUPS, Seen, universe
from fxsim.fuzz.generate import GENERATOR, Case, Generator
from fxsim.fuzz.kept import KeptCase, keep, read_case, replay_command
from fxsim.fuzz.result import Found, FuzzResult
from fxsim.fuzz.shrink import shrink
from fxsim.fuzz.takers import Subject, Taker, find_takers
from fxsim.machine import cpu_seconds
from fxsim.version import __version__

Progress = Callable[[int, int], None]

FAILURES_MAX = 20
"""Failures after which a run ends: what is wrong of a score of networks is wrong of all."""


@dataclass(frozen=True)
class FuzzRequest:
    """A run of random networks.

    `count`: networks, of the numbers `first` to `first + count - 1` that are `part[0]` modulo `part[1]`. `most`: goes
    on up to so many while a feature is missing; `seconds`: however many there are, until they are over. `groups`:
    features that are audited. `keep`: a folder for failures; each is made smaller for at most `shrink_seconds` of CPU.
    """

    count: int = 100
    seed: int = 0
    first: int = 0
    most: int = 0
    seconds: float | None = None
    part: tuple[int, int] = (0, 1)
    groups: tuple[str, ...] = tuple(GROUPS)
    keep: Path | None = None
    shrink_seconds: float = 60.0
    generator: Generator = field(default=GENERATOR)


def run_fuzz(
    request: FuzzRequest,
    takers: Sequence[Taker] | None = None,
    progress: Progress | None = None,
) -> FuzzResult:
    """Run random networks through takers, by default all there are here; Ctrl-C ends it with what is known."""
    absent: dict[str, str] = {}
    if takers is None:
        takers, absent = find_takers()
    features = universe(takers, request.groups)
    seen = Seen()
    took: Counter[str] = Counter()
    refused: dict[str, Counter[str]] = {}
    found: list[Found] = []
    began, cpu = time.monotonic(), cpu_seconds()
    models = images = values = 0
    complete = True
    number = request.first + (request.part[0] - request.first) % request.part[1]
    try:
        while _goes_on(request, number, began, seen, features) and len(found) < FAILURES_MAX:
            case = request.generator.draw(request.seed, number)
            result = examine(Subject(case.model, case.x), takers)
            models, images, values = models + 1, images + len(case.x), values + result.values
            took.update(result.took)
            for name, reason in result.refused.items():
                refused.setdefault(name, Counter())[reason] += 1
            seen.add(case.model.graph, case.x, result.taps, result.took)
            if result.failures:
                found.append(_keep(request, case, takers))
            number += request.part[1]
            if progress is not None:
                progress(number - request.first, max(request.count, number - request.first))
    except KeyboardInterrupt:
        complete = False
    return FuzzResult(
        seed=request.seed,
        first=request.first,
        models=models,
        images=images,
        values=values,
        cpu_seconds=round(cpu_seconds() - cpu, 3),
        took={taker.name: took[taker.name] for taker in takers},
        refused={taker: dict(reasons) for taker, reasons in refused.items()},
        absent=absent,
        features={group: {f: seen.counts[f] for f in rows} for group, rows in features.items()},
        failures=tuple(found),
        complete=complete,
        fxsim_version=__version__,
    )


def _goes_on(request: FuzzRequest, number: int, began: float, seen: Seen, features: dict[str, tuple[str, ...]]) -> bool:
    if request.seconds is not None:
        return time.monotonic() - began < request.seconds
    if number < request.first + request.count:
        return True
    return number < request.first + request.most and not seen.complete(features)


def _keep(request: FuzzRequest, case: Case, takers: Sequence[Taker]) -> Found:
    """Make a failure smaller, and keep it where that was asked for."""
    result = examine(Subject(case.model, case.x), takers)
    command = f"fxsim fuzz --seed {case.seed} --first {case.number} --count 1"
    if not result.failures:
        # What comes and goes is a failure, too: the arithmetic has no chance in it.
        return Found(number=case.number, failures=(), replay=command, smallest="it did not fail again")
    small = shrink(case.model, case.x, result.failures[0], takers, seconds=request.shrink_seconds)
    folder = None
    if request.keep is not None:
        folder = keep(request.keep, small, case.seed, case.number)
        command = replay_command(folder)
    return Found(
        number=case.number,
        failures=result.failures,
        replay=command,
        folder=None if folder is None else str(folder),
        smallest=small.words,
    )


def replay(folder: Path, takers: Sequence[Taker]) -> tuple[KeptCase, Examination]:
    """A kept case once more through these takers, and on the device that failed. FileError where it is none."""
    case, model, x = read_case(folder)
    found = examine(Subject(model, x), takers)
    if case.device is not None and (failure := replay_device(case.device, model, x)) is not None:
        found = replace(found, failures=(*found.failures, failure))
    return case, found
