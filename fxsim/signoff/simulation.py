"""Shared parts of the checks that simulate the RTL: settings, the simulation itself, its data, table and tiles."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from msgspec import Meta, field

from fxsim.compare import sentence
from fxsim.contract.arithmetic import Int8
from fxsim.cosim import CosimRequest, CosimResult, run_cosim
from fxsim.cosim.replay import keep
from fxsim.cosim.request import POWER_ON_SEED_MAX, POWER_ON_SEEDS
from fxsim.devices import DEFAULT, DESCRIBED, DEVICES, make_settings, options_of
from fxsim.engines import Engine
from fxsim.errors import FxsimError, StimulusError
from fxsim.formats.text import read_bounded
from fxsim.graph import Model
from fxsim.lanes import LANES_MAX, LanesSimulator
from fxsim.operators import Linear
from fxsim.rtl_lint import tap_place
from fxsim.signoff.context import Context
from fxsim.signoff.findings import Finding, shown_source
from fxsim.signoff.judges import hash_judges
from fxsim.signoff.kind import Gap, Section, Tile, Topic, Yardstick
from fxsim.signoff.plan import Check, Images, Name
from fxsim.signoff.record import CheckRecord, Data
from fxsim.signoff.report.elements import Block, Cell, Column, Row, Table, format_seconds
from fxsim.simulate.build import OPTIMISE, optimisation
from fxsim.simulate.code_coverage import Coverage
from fxsim.simulate.sources import Sources
from fxsim.traces.kept import Given

_QUICK = "-O1"
_FILE_BYTES_MAX = 16 << 20
_SMALL_DESIGN = 4096
"""Weights up to which a design counts as small: it simulates in no time, so that building it should take little too."""

Cycles = Annotated[int, Meta(ge=1, le=2**53)]
ReadLatency = Annotated[int, Meta(ge=1, le=100_000)]
PowerOnSeeds = Annotated[
    tuple[Annotated[int, Meta(ge=1, le=POWER_ON_SEED_MAX)], ...], Meta(min_length=1, max_length=64)
]
"""Seeds of what registers hold at power-on, each once."""
Lanes = Annotated[int, Meta(ge=1, le=LANES_MAX)]
"""Images that go through the design side by side."""
Accelerators = Annotated[tuple[Name, ...], Meta(min_length=1)]
SettingValue = bool | int | str


class RtlCheck(Check, frozen=True, kw_only=True):
    """Settings that the checks of the RTL have.

    `accelerator`: one or several devices, by default the streaming one. `settings`: theirs by name, where they are not
    to be at their defaults; each goes to every device that has one of that name. `read_latency`, `batch`, `keep` and
    `dut` may stand beside it, too. `dut`: the description of a design, which is then what is simulated if no
    accelerator is named. `rtl`: a folder of Verilog in place of the accelerator's own. Both are relative to the plan's
    folder.
    """

    model: Name
    stimulus: Name
    accelerator: Name | Accelerators | None = None
    settings: dict[Name, SettingValue] = field(default_factory=dict)
    read_latency: ReadLatency | None = None
    batch: Images | None = None
    keep: bool | None = None
    dut: str | None = None
    rtl: str | None = None

    @property
    def accelerators(self) -> tuple[str, ...]:
        """Every accelerator that is simulated."""
        if self.accelerator is None:
            return (DEFAULT if self.dut is None else DESCRIBED,)
        return (self.accelerator,) if isinstance(self.accelerator, str) else self.accelerator

    @property
    def setups(self) -> "tuple[Setup, ...]":
        """Every accelerator that is simulated, with its settings."""
        return tuple(setup_of(self, accelerator) for accelerator in self.accelerators)

    @property
    def asked(self) -> dict[str, SettingValue]:
        """Every setting that is asked for, by name."""
        beside = {name: getattr(self, name) for name in _BESIDE}
        return self.settings | {name: value for name, value in beside.items() if value is not None}

    def problems(self) -> Iterator[str]:
        """Each accelerator must be there, once; each setting must be one of theirs, stated once, with a legal value."""
        accelerators = self.accelerators
        for accelerator in accelerators:
            if accelerators.count(accelerator) > 1:
                yield f"names accelerator '{accelerator}' more than once"
            if accelerator not in DEVICES:
                yield f"names accelerator '{accelerator}', expected of: {', '.join(DEVICES)}"
                return
        for name in _BESIDE:
            if name in self.settings and getattr(self, name) is not None:
                yield f"sets {name} twice, beside its settings and in them"
        for name in self.asked:
            if not any(name in _fields(accelerator) for accelerator in accelerators):
                yield f"sets {name}, which no accelerator has that it simulates"
                return
        for accelerator in accelerators:
            try:
                setup_of(self, accelerator).check()
            except StimulusError as error:
                yield str(error)


_Value = TypeVar("_Value")
_BESIDE = ("read_latency", "batch", "keep", "dut")


def _fields(accelerator: str) -> set[str]:
    return {option.field for option in options_of(DEVICES[accelerator].settings)}


class Simulation(Data, frozen=True):
    """One run of the RTL. Cycles are null where too few images ran to measure them.

    `settings` are the accelerator's, none left open. `batch` and `keep` repeat the two of that name, as records of
    earlier versions have them. `unprobed`: taps of the model that were not looked at, since the design shows none.
    `lanes`: images that went through the design side by side; with more than one the simulator is not Verilator's.
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
    accelerator: str = DEFAULT
    settings: dict[str, SettingValue | None] = field(default_factory=dict)
    batch: int | None = None
    keep: bool | None = None
    unprobed: tuple[str, ...] = ()
    lanes: int = 1


def take_images(count: int, x: Int8) -> Int8:
    """The first `count` images; FxsimError where there are fewer."""
    if len(x) < count:
        raise FxsimError(f"the plan wants {count} images of a stimulus that has {len(x)}")
    return x[:count]


@dataclass(frozen=True)
class Setup:
    """The accelerator that is simulated, and its settings by name; those left out are at their defaults.

    `rtl`: a folder of Verilog in place of its own. Paths are as the plan has them.
    """

    accelerator: str
    settings: Mapping[str, SettingValue] = dataclasses.field(default_factory=dict)
    rtl: str | None = None

    @property
    def rtl_name(self) -> str:
        """The name of the RTL's hash in the record: `rtl`, with description and folder where the plan names them."""
        named = " in ".join(str(name) for name in (self.settings.get("dut"), self.rtl) if name is not None)
        return f"rtl {named}".rstrip()

    def rtl_of(self, model: Model) -> str:
        """The name of its RTL's hash with a model on it: `rtl_name`, of a device that is made for a model with that."""
        if not DEVICES[self.accelerator].composes:
            return self.rtl_name
        settings = "".join(f", {name} {value}" for name, value in sorted(self.settings.items()))
        return f"{self.rtl_name} of {self.accelerator} {model.name}{settings}"

    def check(self) -> None:
        """StimulusError where a setting is not one of the accelerator's, or illegal."""
        make_settings(self.accelerator, DEVICES[self.accelerator].settings, self.settings)

    def found(self, context: Context) -> tuple[dict[str, SettingValue], Path | None]:
        """The settings and the folder of Verilog with paths that can be read, from the plan's folder on."""
        files = {option.field for option in options_of(DEVICES[self.accelerator].settings) if option.setting.file}
        settings = {
            name: str(context.path(value)) if name in files and isinstance(value, str) else value
            for name, value in self.settings.items()
        }
        return settings, None if self.rtl is None else context.path(self.rtl)


def copy_sources(setup: Setup, model: Model, context: Context, folder: Path) -> None:
    """Copy the Verilog that is simulated to a new folder."""
    device = DEVICES[setup.accelerator]
    settings, rtl = setup.found(context)
    device.fit(model, make_settings(device.name, device.settings, settings)).keep_sources(rtl, folder)


def setup_of(check: RtlCheck, accelerator: str) -> Setup:
    """The accelerator as a check asks for it, with those of the check's settings that it has."""
    own = _fields(accelerator)
    return Setup(accelerator, {name: value for name, value in check.asked.items() if name in own}, check.rtl)


def simulate(
    model: Model,
    x: Int8,
    stall: str,
    context: Context,
    setup: Setup,
    engine: Engine = Engine.AUTO,
    rtl: Path | None = None,
    taps: str | tuple[str, ...] = "all",
    given: list[Given] | None = None,
    power_on: tuple[int, ...] = POWER_ON_SEEDS,
    covered: Callable[[Coverage, Sources], None] | None = None,
    lanes: int = 1,
) -> CosimResult:
    """One co-simulation; the hash of the RTL goes into the record, but for a copy of it, `rtl`.

    What the RTL gave in images that differ is put into `given`, what of the Verilog was run into `covered`. `power_on`:
    seeds of what registers hold at power-on. `lanes`: images side by side.
    """
    weights = sum(node.op.weight.size for node in model.graph.nodes if isinstance(node.op, Linear))
    small, universal = weights <= _SMALL_DESIGN, DEVICES[setup.accelerator].universal
    settings, own_rtl = setup.found(context)
    note_files(setup, settings, context)
    result = run_cosim(
        CosimRequest(
            model,
            x,
            device=setup.accelerator,
            settings=settings,
            taps=taps,
            stall=stall,
            engine=engine,
            rtl=rtl or own_rtl,
            # A build that serves all models is made once, whatever it takes.
            optimise=_QUICK if small and not universal and optimisation() == OPTIMISE else None,
            power_on_seeds=power_on,
        ),
        progress=context.progress,
        status=context.status,
        given=None if given is None else given.append,
        covered=covered,
        simulator=LanesSimulator(lanes) if lanes > 1 else None,
    )
    if rtl is None:
        context.note_hash(setup.rtl_of(model), result.build.rtl_sha256)
    note_files(setup, settings, context)
    return result


def note_sources(check: Check, model: Model, context: Context) -> None:
    """Keep the hashes of the Verilog that a check judges without simulating it, and of descriptions."""
    for setup in check.setups:
        device = DEVICES[setup.accelerator]
        settings, rtl = setup.found(context)
        fitted = device.fit(model, make_settings(device.name, device.settings, settings))
        context.note_hash(setup.rtl_of(model), fitted.design.read(rtl).sha256)
        note_files(setup, settings, context)


def note_judges(check: Check, context: Context) -> None:
    """Keep the hashes of testbenches and tests that judge; ToolError where they were others before."""
    for name in check.judges:
        context.note_hash(name, hash_judges(name))


def note_files(setup: Setup, settings: Mapping[str, SettingValue], context: Context) -> None:
    """Keep the hashes of files that settings name: descriptions say what is compared, and how."""
    for option in options_of(DEVICES[setup.accelerator].settings):
        if option.setting.file and isinstance(path := settings.get(option.field), str):
            content = read_bounded(Path(path), _FILE_BYTES_MAX, "a file that settings name")
            context.note_hash(f"{option.field} {setup.settings[option.field]}", hashlib.sha256(content).hexdigest())


def keep_failure(
    check: Check,
    result: CosimResult,
    model: Model,
    x: Int8,
    context: Context,
    rtl: str | None = None,
    given: list[Given] | None = None,
) -> tuple[str | None, str]:
    """Leave what repeats a failed simulation in a folder of the check's, where files are written at all.

    Returns the folder as the record names it, and what to add to the reason: that keeping failed must not hide what the
    check found.
    """
    folder = context.failure_folder(check.name)
    if folder is None or context.output is None:
        return None, ""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        keep(folder, result, model, x, None if rtl is None else context.path(rtl), *(given or ()))
    except (FxsimError, OSError) as error:
        return None, f"; the failure could not be kept: {error}"
    return folder.relative_to(context.output).as_posix(), ""


def describe(model: str, result: CosimResult, setup: Setup | None = None) -> Simulation:
    """The record of a simulation of the model that the plan calls so; paths are as the plan has them in `setup`."""
    texts: dict[str, SettingValue | None] = {}
    if setup is not None:
        texts |= {name: value for name, value in setup.settings.items() if isinstance(value, str)}
    timing, ran, build = result.timing, result.provenance, result.build
    return Simulation(
        model=model,
        stall=ran.stall,
        images=result.verdict.images,
        compared=result.streams.compared,
        mismatches=result.streams.mismatches,
        passed=result.passed,
        finding=None if result.passed else find_reason(result),
        interval_cycles=timing.interval_cycles,
        bound_cycles=timing.interval_bound_cycles,
        latency_cycles=timing.latency_cycles,
        cycles=timing.cycles,
        cycles_per_second=timing.cycles_per_second,
        build_seconds=build.build_seconds,
        build_cached=build.build_cached,
        accelerator=ran.accel,
        settings=ran.settings | texts,
        batch=_as(int, ran.settings.get("batch")),
        keep=_as(bool, ran.settings.get("keep")),
        unprobed=result.streams.unprobed,
        lanes=ran.lanes,
    )


def failing_taps(result: CosimResult, setup: Setup, model: Model, context: Context) -> Iterator[Finding]:
    """A finding for each tap that differs, at the line of the Verilog or of the description that stands for it.

    No line is known of a tap that several parts of a design compute by turns, as in the SIMD accelerator.
    """
    settings, rtl = setup.found(context)
    for name, tap in (*result.streams.taps.items(), (result.streams.output_name, result.streams.output)):
        if tap.first_mismatch is None:
            continue
        carried = result.streams.output_tap if name == result.streams.output_name else name
        place = tap_place(model, setup.accelerator, settings, rtl, carried)
        file, line = ("", 1) if place is None else (shown_source(context, place.folder, place.file), place.line)
        told = f"{tap.mismatches:,} of {tap.compared:,} values differ, first {sentence(tap.first_mismatch)}"
        yield Finding("cosim/value-differs", told, file, line)


def _as(type_: type[_Value], value: object) -> _Value | None:
    return value if isinstance(value, type_) else None


def find_reason(result: CosimResult) -> str:
    """The reason why a simulation did not pass."""
    verdict = result.verdict
    if verdict.first_mismatch is not None:
        origins = f"; {verdict.origins.sentence}" if verdict.origins is not None else ""
        return f"{result.streams.mismatches:,} values differ, first {sentence(verdict.first_mismatch)}{origins}"
    if verdict.stopped is not None:
        return f"stopped at cycle {verdict.stopped.cycle:,}: {verdict.stopped.reason}"
    if verdict.faults:
        fault = verdict.faults[0]
        seen = "" if fault.detail is None else f": {fault.detail}"
        return f"{fault.kind} on {fault.stream}, image {fault.image}, cycle {fault.cycle:,}{seen}"
    return result.shortfall or f"only {verdict.images} images came out"


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
        accelerator = ", ".join((run.accelerator, *_words(run)))
        cells = (
            name, run.model, accelerator, Cell(run.stall, remark=run.finding), run.images, run.compared,
            run.mismatches, run.interval_cycles, run.bound_cycles, run.latency_cycles, run.cycles,
            run.cycles_per_second, "cached" if run.build_cached else format_seconds(run.build_seconds),
        )  # fmt: skip
        table.append(Row(cells, failed=not run.passed))
    return [Block((Table(_COLUMNS, tuple(table)),), lead=_simulators([run for _, run in rows]))]


def _simulators(runs: Sequence[Simulation]) -> str:
    """A sentence of how many values each simulator gave, where not all are Verilator's; else none."""
    beside = sum(run.compared for run in runs if run.lanes > 1)
    if not beside:
        return ""
    others = sum(run.compared for run in runs) - beside
    return (
        f"Of the values compared, {beside:,} were simulated in lanes, many images side by side, by a program made of "
        f"the netlist that Yosys reads the Verilog to; {others:,} by Verilator."
    )


def _words(run: Simulation) -> list[str]:
    """Settings in few words: numbers and texts with their names, of switches those that are on."""
    settings = run.settings or {"batch": run.batch, "keep": run.keep}
    shown = {name.replace("_", " "): value for name, value in settings.items() if value is not None}
    numbers = {name: f"{value:,}" if isinstance(value, int) else value for name, value in shown.items()}
    words = [name if shown[name] is True else f"{name} {numbers[name]}" for name in shown if shown[name] is not False]
    return [*words, *([f"{run.lanes} lanes"] if run.lanes > 1 else [])]


def _named(check: CheckRecord) -> list[tuple[str, Simulation]]:
    return [(check.name, row) for row in check.details.of(Simulation)]


SIMULATIONS = Section(
    "RTL simulations",
    _named,
    _write,
    "Interval: cycles between the last values of consecutive images, the median after the pipeline filled; the bound "
    "holds without stalls. Latency: the first image, first value in to last score out. In an accelerator that works in "
    "jobs: between results of one job, and from a job's start to the first result.",
    topic=Topic.CYCLES,
)
"""Every simulation, of all kinds of check."""

COMPARED = Tile("values compared in the RTL", lambda check: sum(row.compared for row in check.details.of(Simulation)))
SIMULATED = Tile("cycles simulated", lambda check: sum(row.cycles for row in check.details.of(Simulation)))


def _unprobed(check: CheckRecord) -> list[str]:
    """A sentence for each design of which not every tap was looked at."""
    taps = {(row.model, row.accelerator): row.unprobed for row in check.details.of(Simulation) if row.unprobed}
    return [f"{model} on {accel}: taps not looked at: {', '.join(names)}" for (model, accel), names in taps.items()]


UNPROBED = Gap(_unprobed)


def _exact(check: CheckRecord) -> dict[str, int]:
    """Cycles of each simulation that passed, under a name with all that they depend on but for the RTL."""
    found: dict[str, int] = {}
    for row in check.details.of(Simulation):
        name = f"{row.model} on {', '.join((row.accelerator, *_words(row)))}, stall {row.stall}, {row.images} images"
        parts = {"cycles": row.cycles, "interval": row.interval_cycles, "latency": row.latency_cycles}
        if row.passed:
            found |= {f"{what} of {name}": cycles for what, cycles in parts.items() if cycles is not None}
    return found


def _rates(check: CheckRecord) -> dict[str, float]:
    """Cycles a second of the check's longest simulation: short ones say nothing of speed."""
    longest = max(check.details.of(Simulation), key=lambda row: row.cycles, default=None)
    return {} if longest is None else {"cycles/s": float(longest.cycles_per_second)}


CYCLES = Yardstick(_exact, _rates)
