"""What kinds of check that simulate the RTL share: settings, the simulation itself, its data, table and tiles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from fxsim.compare import sentence
from fxsim.contract.arithmetic import Int8
from fxsim.cosim import Accelerator, CosimResult, cosim
from fxsim.cosim.replay import keep
from fxsim.engines import Engine
from fxsim.errors import FxsimError
from fxsim.families import recognise_resmlp
from fxsim.graph import Model
from fxsim.signoff.context import Context
from fxsim.signoff.kind import Section, Tile
from fxsim.signoff.plan import Check, Images, Name
from fxsim.signoff.record import CheckRecord, Data
from fxsim.signoff.report.elements import Block, Cell, Column, Row, Table, format_seconds
from fxsim.simulate.build import OPTIMISE

_QUICK = "-O1"
_SMALL_DESIGN = 4096
"""Weights up to which a design counts as small: it simulates in no time, so that building it should take little too."""

Cycles = Annotated[int, Meta(ge=1, le=2**53)]
ReadLatency = Annotated[int, Meta(ge=1, le=100_000)]
Accelerators = Annotated[tuple[Accelerator, ...], Meta(min_length=1)]


class RtlCheck(Check, frozen=True, kw_only=True):
    """What the checks of the RTL have. The last three are of the SIMD accelerator alone, None where it decides.

    `read_latency`: cycles of its memory; `batch`: images of a job; `keep`: its jobs read the parameters once.
    """

    model: Name
    stimulus: Name
    accelerator: Accelerator | Accelerators = Accelerator.STREAM
    read_latency: ReadLatency | None = None
    batch: Images | None = None
    keep: bool | None = None

    @property
    def accelerators(self) -> tuple[Accelerator, ...]:
        """Every accelerator that is simulated."""
        return (self.accelerator,) if isinstance(self.accelerator, Accelerator) else self.accelerator

    def problems(self) -> Iterator[str]:
        """Each accelerator once, and settings of the SIMD accelerator only where it is simulated."""
        accelerators = self.accelerators
        for accelerator in accelerators:
            if accelerators.count(accelerator) > 1:
                yield f"names accelerator '{accelerator}' more than once"
        if accelerators == (Accelerator.STREAM,):
            for setting in ("read_latency", "batch", "keep"):
                if getattr(self, setting) is not None:
                    yield f"sets {setting}, of the SIMD accelerator, which it does not simulate"


class Simulation(Data, frozen=True):
    """One run of the RTL. Cycles are null where too few images ran to measure them.

    `batch` and `keep` are of the SIMD accelerator, else null: images of a job, and whether parameters are kept in it.
    """

    FIELD = "simulations"

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


def take_images(count: int, x: Int8) -> Int8:
    """The first `count` images; FxsimError where there are fewer."""
    if len(x) < count:
        raise FxsimError(f"the plan wants {count} images of a stimulus that has {len(x)}")
    return x[:count]


@dataclass(frozen=True)
class Setup:
    """Which accelerator is simulated, and how; None where that is for the co-simulation to decide."""

    accelerator: Accelerator
    read_latency: int | None = None
    batch: int | None = None
    keep: bool | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What the co-simulation is told."""
        settings = {"read_latency": self.read_latency, "batch": self.batch, "keep": self.keep}
        return {"accel": self.accelerator} | {name: value for name, value in settings.items() if value is not None}


def setup_of(check: RtlCheck, accelerator: Accelerator) -> Setup:
    """As a check wants an accelerator; its settings are those of the SIMD accelerator."""
    if accelerator is Accelerator.STREAM:
        return Setup(accelerator)
    return Setup(accelerator, check.read_latency, check.batch, check.keep)


def simulate(
    model: Model,
    x: Int8,
    stall: str,
    context: Context,
    setup: Setup,
    engine: Engine = Engine.AUTO,
    rtl: Path | None = None,
) -> CosimResult:
    """One co-simulation; the hash of the RTL goes into the record, but for a copy of it, `rtl`."""
    c = recognise_resmlp(model.graph)
    small = c.blocks * (2 * c.channels * c.hidden + c.tokens**2) <= _SMALL_DESIGN
    result = cosim(
        model,
        x,
        stall=stall,
        engine=engine,
        rtl=rtl,
        progress=context.progress,
        status=context.status,
        # One SIMD accelerator computes all models.
        optimise=_QUICK if small and setup.accelerator is Accelerator.STREAM else OPTIMISE,
        **setup.options,
    )
    if rtl is None:
        context.hashes["rtl"] = result.rtl_sha256
    return result


def keep_failure(check: Check, result: CosimResult, model: Model, x: Int8, context: Context) -> tuple[str | None, str]:
    """Leave what repeats a failed simulation in a folder of the check's, where files are written at all.

    Returns the folder as the record names it, and what to add to the reason: that keeping failed must not hide what the
    check found.
    """
    folder = context.failure_folder(check.name)
    if folder is None or context.output is None:
        return None, ""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        keep(folder, result, model, x)
    except (FxsimError, OSError) as error:
        return None, f"; the failure could not be kept: {error}"
    return folder.relative_to(context.output).as_posix(), ""


def describe(model: str, result: CosimResult) -> Simulation:
    """The record of a simulation of the model that the plan calls so."""
    return Simulation(
        model=model,
        stall=result.stall,
        images=result.images,
        compared=sum(tap.compared for tap in (*result.taps.values(), result.output)),
        mismatches=result.mismatches,
        passed=result.passed,
        finding=None if result.passed else find_reason(result),
        interval_cycles=result.interval_cycles,
        # Of the SIMD accelerator it is not a bound that is held, but one that nothing can be below.
        bound_cycles=result.interval_bound_cycles if result.accel == Accelerator.STREAM else None,
        latency_cycles=result.latency_cycles,
        cycles=result.cycles,
        cycles_per_second=result.cycles_per_second,
        build_seconds=result.build_seconds,
        build_cached=result.build_cached,
        accelerator=result.accel,
        batch=None if result.simd is None else result.simd.batch,
        keep=None if result.simd is None else result.simd.keep,
    )


def find_reason(result: CosimResult) -> str:
    """Why a simulation did not pass."""
    if result.first_mismatch is not None:
        return f"{result.mismatches:,} values differ, first {sentence(result.first_mismatch)}"
    if result.stopped is not None:
        return f"stopped at cycle {result.stopped.cycle:,}: {result.stopped.reason}"
    if result.faults:
        fault = result.faults[0]
        seen = "" if fault.detail is None else f": {fault.detail}"
        return f"{fault.kind} on {fault.stream}, image {fault.image}, cycle {fault.cycle:,}{seen}"
    return result.shortfall or f"only {result.images} images came out"


_COLUMNS = (
    Column("check", whole=True), Column("model", whole=True), Column("accelerator", whole=True), Column("stalls"),
    *(
        Column(title, number=True)
        for title in ("images", "values", "differ", "interval", "bound", "latency", "cycles", "cycles/s", "build")
    ),
)  # fmt: skip


def _write(rows: Sequence[tuple[str, Simulation]]) -> list[Block]:
    table = []
    for name, run in rows:
        accelerator = run.accelerator
        if run.batch is not None:
            accelerator += f", {run.batch:,} a job" + (", kept" if run.keep else "")
        cells = (
            name, run.model, accelerator, Cell(run.stall, remark=run.finding), run.images, run.compared,
            run.mismatches, run.interval_cycles, run.bound_cycles, run.latency_cycles, run.cycles,
            run.cycles_per_second, "cached" if run.build_cached else format_seconds(run.build_seconds),
        )  # fmt: skip
        table.append(Row(cells, failed=not run.passed))
    return [Block((Table(_COLUMNS, tuple(table)),))]


def _named(check: CheckRecord) -> list[tuple[str, Simulation]]:
    return [(check.name, row) for row in check.details.of(Simulation)]


SIMULATIONS = Section(
    "RTL simulations",
    _named,
    _write,
    "Interval: cycles between the last values of consecutive images, the median after the pipeline filled; the bound "
    "holds without stalls. Latency: the first image, first value in to last score out. In the SIMD accelerator: "
    "between results of one job, and from a job's start to the first result; so many images a job, parameters kept or "
    "read for each.",
)
"""Every simulation, of all kinds of check."""

COMPARED = Tile("values compared in the RTL", lambda check: sum(row.compared for row in check.details.of(Simulation)))
SIMULATED = Tile("cycles simulated", lambda check: sum(row.cycles for row in check.details.of(Simulation)))
