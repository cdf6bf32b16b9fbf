"""The record of a sign-off: everything that is known of a run, and all that its report is drawn from."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from fxsim.benchmark.record import Measured
from fxsim.formats import atomic_write
from fxsim.formats.text import read_json

RECORD_BYTES_MAX = 256 << 20
REPLAY_SCRIPT = "replay.sh"
"""What repeats the failure that a folder was kept of."""


class Status(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    """What was compared is different."""
    ERROR = "error"
    """It could not be carried out."""
    SKIPPED = "skipped"
    """It was not carried out, for the reason given."""


class _Record(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Figure(_Record, frozen=True):
    """One measured number or word, with what it is of."""

    label: str
    value: int | float | str | None
    unit: str = ""


class TapFigures(_Record, frozen=True):
    """Comparison of one tap: how many values, how many differed, by how much at most and on average (in int8 steps)."""

    tap: str
    compared: int
    mismatches: int
    max_distance: int | None = None
    mean_distance: float | None = None


class Comparison(_Record, frozen=True):
    """One thing compared with another, tap by tap. `exact`: equality was demanded; otherwise distance is reported."""

    title: str
    exact: bool
    taps: tuple[TapFigures, ...]


class Way(_Record, frozen=True):
    """What one accelerator's RTL gave at a tap: values compared with the integer model's, over all stall patterns."""

    accelerator: str
    compared: int
    mismatches: int


class TapAgreement(_Record, frozen=True):
    """A tap on the same images in every accelerator. `values`: those that the integer model gives there."""

    tap: str
    values: int
    ways: tuple[Way, ...]


class Agreement(_Record, frozen=True):
    """Several accelerators against one integer model, on the same images: with the model, so many ways and one more."""

    model: str
    images: int
    simulations: int
    taps: tuple[TapAgreement, ...]

    @property
    def totals(self) -> tuple[Way, ...]:
        """Each accelerator's values over all taps."""
        ways = zip(*(tap.ways for tap in self.taps), strict=True)
        return tuple(Way(w[0].accelerator, sum(t.compared for t in w), sum(t.mismatches for t in w)) for w in ways)


class Simulation(_Record, frozen=True):
    """One run of the RTL. Cycles are null where too few images ran to measure them.

    `batch` and `keep` are of the SIMD accelerator, else null: images of a job, and whether parameters are kept in it.
    """

    model: str
    stall: str
    images: int
    compared: int
    mismatches: int
    passed: bool
    finding: str | None
    interval_cycles: int | None
    bound_cycles: int | None
    latency_cycles: int | None
    cycles: int
    cycles_per_second: int
    build_seconds: float
    build_cached: bool
    accelerator: str = "stream"
    batch: int | None = None
    keep: bool | None = None


class Interval(_Record, frozen=True):
    """Measured cycles between images, the bound that the greatest must hold, and what a published design needs."""

    model: str
    greatest_cycles: int | None
    median_cycles: int | None
    bound_cycles: int
    published_cycles: int | None
    latency_cycles: int | None


MULTIPLIERS = 256
"""Of the SIMD accelerator: what it can do in a cycle."""


class LayerCycles(_Record, frozen=True):
    """Where a layer's cycles went, in one image of the SIMD accelerator.

    `macs`: products that the layer needs. `steps`: cycles in which the multipliers were fed; in the others of `cycles`
    they waited, for parameters, the image, results of the layer before, or room for its own.
    """

    number: int
    name: str
    macs: int
    steps: int
    cycles: int
    waits_parameters: int
    waits_image: int
    waits_results_before: int
    waits_room: int


class TimelineSpan(_Record, frozen=True):
    """From cycle `start` to before cycle `end` of a job, words were loaded or written, or a layer computed.

    `kind` is load, compute or write. `layer` is -1 where an image is loaded or its result written.
    """

    kind: Literal["load", "compute", "write"]
    layer: int
    start: int
    end: int


class Cycles(_Record, frozen=True):
    """Measured cycles an image of the SIMD accelerator, the greatest each.

    `alone_cycles`: of jobs of one image. `batch_cycles`: between images of one job; `kept_cycles`: there, with the
    parameters kept (null where they do not fit). Layers and timeline are of a job of one image.
    `ratio`: how many times these cycles the model `faster_than` needs alone; `ratio_bound`: the least that it must be.
    """

    model: str
    read_latency: int
    alone_cycles: int | None
    batch_cycles: int | None
    kept_cycles: int | None
    bound_cycles: int
    published_cycles: int | None
    faster_than: str | None
    ratio: float | None
    ratio_bound: float | None
    layers: tuple[LayerCycles, ...]
    timeline: tuple[TimelineSpan, ...]

    @property
    def utilisation(self) -> float | None:
        """The part of the multipliers' time, in an image alone, that the model's products take."""
        macs = sum(layer.macs for layer in self.layers)
        return None if self.alone_cycles is None else macs / (MULTIPLIERS * self.alone_cycles)


class Speed(_Record, frozen=True):
    """Measured speed of the engines, on the machine that it names. `at_least`: images a second demanded of the fastest.

    `reached`: what the fastest path computes a second, the median of the rounds; None where none was measured.
    """

    measured: Measured
    at_least: float | None
    reached: float | None


class TapValues(_Record, frozen=True):
    """What values a tap had: spread, and the share at either end of int8."""

    tap: str
    min: int
    max: int
    std: float
    saturated: float


class ValueStatistics(_Record, frozen=True):
    """A model's values on its golden images."""

    model: str
    images: int
    taps: tuple[TapValues, ...]


class Curve(_Record, frozen=True):
    """One channel of an activation table: stored points at input codes, and the function at all 256 inputs."""

    model: str
    tap: str
    channel: int
    rule: str
    codes: tuple[int, ...]
    points: tuple[int, ...]
    every: tuple[int, ...]


class Details(_Record, frozen=True):
    """What a check found beyond its verdict; the report's tables and plots."""

    figures: tuple[Figure, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    simulations: tuple[Simulation, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    intervals: tuple[Interval, ...] = ()
    cycles: tuple[Cycles, ...] = ()
    values: tuple[ValueStatistics, ...] = ()
    curves: tuple[Curve, ...] = ()
    speeds: tuple[Speed, ...] = ()


class CheckRecord(_Record, frozen=True):
    """One check. `summary` is one line for a table, `reason` says why it did not pass; `replay` runs it alone again.

    `kept`: the folder beside the record whose replay.sh repeats a failed simulation, null where there is none.
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


class Commit(_Record, frozen=True):
    """The commit of the clone fxsim runs from; `unknown` where it does not run from one. `dirty`: files had changed."""

    id: str
    dirty: bool | None


class Machine(_Record, frozen=True):
    """Where it ran."""

    processor: str
    cores: int
    memory_gib: float | None
    system: str


class SignoffRecord(_Record, frozen=True):
    """`signoff.json`. `complete`: not interrupted. `selected`: the names given to --only, or null for the whole plan.

    `hashes` are sha256 by what they are of: `plan`, `rtl` (once simulated), `model NAME`, `stimulus NAME`.
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

    def count(self, status: Status) -> int:
        """Checks that ended so."""
        return sum(check.status is status for check in self.checks)


def verdict(checks: tuple[CheckRecord, ...], complete: bool) -> bool:
    """Whether a run passed: it came to its end, nothing failed or was in error, and not everything was skipped."""
    statuses = {check.status for check in checks}
    return complete and Status.PASSED in statuses and statuses <= {Status.PASSED, Status.SKIPPED}


def encode_record(record: SignoffRecord) -> bytes:
    """A record as JSON."""
    return msgspec.json.format(msgspec.json.encode(record)) + b"\n"


def write_record(record: SignoffRecord, path: str | os.PathLike[str]) -> None:
    """Write a record as JSON, whole or not at all."""
    with atomic_write(path) as file:
        file.write_bytes(encode_record(record))


def read_record(path: str | os.PathLike[str]) -> SignoffRecord:
    """A record from its JSON; FileError where it is missing or not one that this fxsim reads."""
    path = Path(path)
    return read_json(path, SignoffRecord, RECORD_BYTES_MAX, "a sign-off record that this fxsim reads")
