"""Kind `code-coverage`: what of the Verilog was run, over several simulations, and what is waived."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, field

from fxsim.code_coverage import Judged, Share, Waiver, judge, load_waivers
from fxsim.code_coverage.export import write_all
from fxsim.code_coverage.waivers import FILE_BYTES_MAX
from fxsim.devices import DEFAULT, DESCRIBED
from fxsim.errors import FxsimError, ToolError
from fxsim.formats.text import read_bounded
from fxsim.mutation.counted import count_bench
from fxsim.signoff.context import Context, Outcome, first_few
from fxsim.signoff.findings import Finding, shown_source
from fxsim.signoff.judges import JudgeName
from fxsim.signoff.kind import Gap, Kind, Section, Topic
from fxsim.signoff.plan import Check, Images, Name, Part, Texts
from fxsim.signoff.record import CheckRecord, Data, Details, Figure, Record
from fxsim.signoff.report.elements import Block, Cell, Column, Row, Table
from fxsim.signoff.simulation import (
    COMPARED,
    SIMULATED,
    SIMULATIONS,
    PowerOnSeeds,
    RtlCheck,
    SettingValue,
    Setup,
    Simulation,
    describe,
    find_reason,
    keep_failure,
    note_judges,
    setup_of,
    simulate,
    take_images,
)
from fxsim.simulate.code_coverage import Coverage, Point, PointKind
from fxsim.simulate.sources import Sources
from fxsim.traces.kept import Given

FOLDER = "code_coverage"
"""Folder beside the record: one inside for each check, with annotated Verilog, lcov's file and UCIS's."""

_LISTED = 400
"""Most points that were not run, and most waived lines, that a record lists; of more it has the number."""
_CONTEXT = 1
"""Lines of Verilog before and behind one that was not run."""
_LINE_SHOWN = 160

HELD = (PointKind.LINE, PointKind.BRANCH, PointKind.EXPRESSION, PointKind.COVER)
"""Kinds that are held to the goal where nothing else is said. Bits that turn are measured all the same."""

Goal = Annotated[int, Meta(ge=1, le=100)]


class CoverageRun(Part, frozen=True, kw_only=True):
    """Simulations that are counted: a model's, on images, once for each stall pattern.

    `settings`: the accelerator's, by name. `power_on`: seeds of what registers hold at power-on.
    """

    model: Name
    stimulus: Name
    images: Images
    stalls: Texts = ("none",)
    settings: dict[Name, SettingValue] = field(default_factory=dict)
    power_on: PowerOnSeeds = (1,)


class CodeCoverageCheck(Check, frozen=True, tag="code-coverage", kw_only=True):
    """At least `goal` percent of every kind of point in `kinds` was run or is waived, and no waiver is at fault.

    `runs`: what is simulated; in their stall patterns `{seed}` is the check's own. `testbenches`: modules of the
    project's own Verilog whose testbenches are run besides: for what a right driver never does. `waivers`: a TOML file,
    relative to the plan as `dut` and `rtl` are.
    """

    runs: Annotated[tuple[CoverageRun, ...], Meta(min_length=1)]
    accelerator: Name | None = None
    dut: str | None = None
    rtl: str | None = None
    waivers: str | None = None
    testbenches: tuple[Name, ...] = ()
    goal: Goal = 100
    kinds: Annotated[tuple[PointKind, ...], Meta(min_length=1)] = HELD

    @property
    def named_models(self) -> tuple[str, ...]:
        """Every model of the plan that the runs name."""
        return tuple(run.model for run in self.runs)

    @property
    def named_stimuli(self) -> tuple[str, ...]:
        """Every stimulus of the plan that the runs name."""
        return tuple(run.stimulus for run in self.runs)

    @property
    def device(self) -> str:
        """The accelerator that is simulated."""
        return self.accelerator or (DEFAULT if self.dut is None else DESCRIBED)

    def simulated(self, run: CoverageRun) -> RtlCheck:
        """The settings of a run as those of a check that simulates RTL."""
        return RtlCheck(
            name=self.name,
            model=run.model,
            stimulus=run.stimulus,
            accelerator=self.accelerator,
            settings=run.settings,
            dut=self.dut,
            rtl=self.rtl,
        )

    @property
    def setups(self) -> tuple[Setup, ...]:
        """The design, once for each of the runs."""
        return tuple(setup_of(self.simulated(run), self.device) for run in self.runs)

    @property
    def judges(self) -> tuple[JudgeName, ...]:
        """The testbenches, where some are run."""
        return ("testbenches",) if self.testbenches else ()

    def problems(self) -> Iterator[str]:
        """Accelerator and settings must be legal, and no kind twice."""
        for run in self.runs:
            yield from self.simulated(run).problems()
        if len(set(self.kinds)) < len(self.kinds):
            yield "names a kind of point more than once"
        if self.testbenches and (self.dut is not None or self.rtl is not None):
            yield "names testbenches, which are of the project's own Verilog: not with dut or rtl"


class ShareRow(Record, frozen=True):
    """Points of a kind: all, those that were run, those that are waived instead."""

    kind: PointKind
    points: int
    run: int
    waived: int


class CoveredModule(Record, frozen=True):
    """A module over all its instances and parameters."""

    module: str
    file: str
    shares: tuple[ShareRow, ...]


class MissingLine(Record, frozen=True):
    """A line with points that were neither run nor are waived; `source`: it and its neighbours, `first` the number."""

    file: str
    line: int
    points: tuple[str, ...]
    first: int
    source: tuple[str, ...]


class WaivedLines(Record, frozen=True):
    """A waiver that was needed, and how many points it waives."""

    file: str
    lines: str
    kind: PointKind
    category: str
    reason: str
    points: int


class CodeCoverage(Data, frozen=True):
    """Code coverage over all runs of a check. `missing` and `waived` may be cut short; `missing_points` is not.

    `folder`: beside the record, with annotated Verilog and the exports; null where nothing was written. `sources`:
    sha256 of the Verilog.
    """

    FIELD = "code_coverage"

    accelerator: str
    goal: int
    kinds: tuple[PointKind, ...]
    sources: str
    shares: tuple[ShareRow, ...]
    modules: tuple[CoveredModule, ...]
    missing_points: int
    missing: tuple[MissingLine, ...]
    waived: tuple[WaivedLines, ...]
    folder: str | None


@dataclass
class _Merged:
    """Coverage of runs so far, of one and the same Verilog."""

    coverage: Coverage | None = None
    sources: Sources | None = None

    def add(self, coverage: Coverage, sources: Sources) -> None:
        """Add that of one more run; ToolError where it is of other Verilog."""
        if self.coverage is None or self.sources is None:
            self.coverage, self.sources = coverage, sources
        elif sources.sha256 != self.sources.sha256:
            raise ToolError(f"the Verilog of {sources.folder} changed between two simulations")
        else:
            self.coverage += coverage


def run(check: CodeCoverageCheck, context: Context, seed: int) -> Outcome:
    """Simulate every run with points counted, merge, apply the waivers, hold to the goal."""
    waivers: tuple[Waiver, ...] = ()
    if check.waivers is not None:
        path = context.path(check.waivers)
        waivers = load_waivers(path)
        digest = hashlib.sha256(read_bounded(path, FILE_BYTES_MAX, "waivers")).hexdigest()
        context.note_hash(f"waivers {check.waivers}", digest)
    merged, problems, kept, note = _Merged(), [], None, ""
    simulations = []
    pairs = [(run_, pattern) for run_ in check.runs for pattern in run_.stalls]
    for number, (run_, pattern) in enumerate(pairs):
        model = context.model(run_.model)
        x = take_images(run_.images, context.stimulus(run_.stimulus, model, seed))
        stall = pattern.replace("{seed}", str(seed))
        setup = setup_of(check.simulated(run_), check.device)
        given: list[Given] = []
        result = simulate(
            model, x, stall, context, setup, given=given, power_on=run_.power_on, covered=merged.add
        )  # fmt: skip
        simulations.append(describe(run_.model, result, setup))
        if not result.passed:
            problems.append(f"{run_.model}, stall {stall}: {find_reason(result)}")
            if len(problems) == 1:
                kept, note = keep_failure(check, result, model, x, context, check.rtl, given)
        context.status(f"simulation {number + 1} of {len(pairs)} done")
    cases = 0
    note_judges(check, context)
    for module in check.testbenches:
        coverage, sources, ran = count_bench(module, status=context.status)
        merged.add(coverage, sources)
        cases += ran
    note_judges(check, context)
    if merged.coverage is None or merged.sources is None or not merged.coverage.counts:
        raise FxsimError("no point of the Verilog was counted")
    judged = judge(merged.coverage, merged.sources, waivers)
    problems += [f"waiver {fault.what}: {fault.text}" for fault in judged.faults]
    shares = judged.shares
    missing = judged.missing(check.kinds)
    for kind in check.kinds:
        if (share := shares.get(kind)) is not None and not share.reaches(check.goal):
            left = share.points - share.run - share.waived
            first = next(point for point in missing if point.kind is kind)
            problems.append(
                f"{kind}: {left:,} of {share.points:,} points not run, first {first.place}: {first.name[:200]}"
            )
    folder = _write(check, judged, context)
    row = _row(check, judged, missing, folder)
    told = ", ".join(f"{kind} {_share_words(share.run, share.waived, share.points)}" for kind, share in shares.items())
    benches = f" and {cases} cases of testbenches" if cases else ""
    summary = f"{told}; {len(pairs)} simulations of {check.device}{benches}, {len(judged.modules)} modules"
    figures = [Figure(f"{kind} points run", round(share.percent, 2), "%") for kind, share in shares.items()]
    findings = _findings(judged, missing, context)
    return Outcome(
        summary,
        first_few(problems, 5) + note or None,
        Details([*figures, Figure("waivers", len(waivers))], [row, *simulations, *findings]),
        kept,
    )


def _share_words(run: int, waived: int, points: int) -> str:
    return f"{run:,} of {points:,}" + (f" and {waived:,} waived" if waived else "")


def _write(check: CodeCoverageCheck, judged: Judged, context: Context) -> str | None:
    """Write annotated Verilog and exports beside the record; the folder as the record has it."""
    if context.output is None:
        return None
    folder = context.output / FOLDER / check.name
    write_all(judged, folder, f"Code coverage: {check.name}")
    return folder.relative_to(context.output).as_posix()


def _row(check: CodeCoverageCheck, judged: Judged, missing: Sequence[Point], folder: str | None) -> CodeCoverage:
    waived = Counter((w.file, w.lines, w.kind, str(w.category), w.reason) for w in judged.waived.values())
    return CodeCoverage(
        accelerator=check.device,
        goal=check.goal,
        kinds=check.kinds,
        sources=judged.sources.sha256,
        shares=_shares(judged.shares),
        modules=tuple(CoveredModule(m.module, m.file, _shares(m.shares)) for m in judged.modules),
        missing_points=len(missing),
        missing=tuple(_missing_lines(judged.sources, missing)),
        waived=tuple(WaivedLines(*key, points=count) for key, count in list(waived.items())[:_LISTED]),
        folder=folder,
    )


def _shares(shares: dict[PointKind, Share]) -> tuple[ShareRow, ...]:
    return tuple(ShareRow(kind, *share) for kind, share in shares.items())


def _missing_lines(sources: Sources, missing: Sequence[Point]) -> Iterator[MissingLine]:
    places: dict[tuple[str, int], list[Point]] = {}
    for point in missing:
        places.setdefault((point.file, point.line), []).append(point)
    for (file, line), points in list(places.items())[:_LISTED]:
        text = sources.files[file].decode(errors="replace").split("\n")
        first = max(1, line - _CONTEXT)
        shown = tuple(part.rstrip()[:_LINE_SHOWN] for part in text[first - 1 : line + _CONTEXT])
        names = [f"{point.kind}: {point.name}"[:_LINE_SHOWN] for point in points[:6]]
        names += [f"and {len(points) - 6} more"] if len(points) > 6 else []
        yield MissingLine(file, line, tuple(names), first, shown)


def _findings(judged: Judged, missing: Sequence[Point], context: Context) -> Iterator[Finding]:
    folder = judged.sources.folder
    for line in _missing_lines(judged.sources, missing):
        file = shown_source(context, folder, line.file)
        yield Finding("code-coverage/not-run", f"not run: {'; '.join(line.points)}", file, line.line)
    for fault in judged.faults:
        file = shown_source(context, folder, fault.file)
        yield Finding(f"code-coverage/{fault.what}-waiver", fault.text, file, fault.line)


def _named(check: CheckRecord) -> list[tuple[str, CodeCoverage]]:
    return [(check.name, row) for row in check.details.of(CodeCoverage)]


def _write_section(rows: Sequence[tuple[str, CodeCoverage]]) -> list[Block]:
    blocks = []
    for name, found in rows:
        kinds = [share.kind for share in found.shares]
        columns = (Column("module", whole=True), *(Column(str(kind), number=True) for kind in kinds))
        table = [_module_row("all", found.shares, kinds, found)]
        table += [_module_row(module.module, module.shares, kinds, found) for module in found.modules]
        where = "" if found.folder is None else f"; annotated Verilog, lcov and UCIS: {found.folder}/"
        held = ", ".join(found.kinds)
        lead = f"Held to {found.goal} %, run or waived: {held}. Verilog {found.sources[:12]}{where}."
        blocks.append(Block((Table(columns, tuple(table)),), heading=f"{name}: {found.accelerator}", lead=lead))
        if found.missing:
            blocks.append(_missing_block(name, found))
        if found.waived:
            blocks.append(_waived_block(name, found))
    return blocks


def _module_row(title: str, shares: Sequence[ShareRow], kinds: list[PointKind], found: CodeCoverage) -> Row:
    by_kind = {share.kind: share for share in shares}
    cells: list[str | Cell] = [title]
    failed = False
    for kind in kinds:
        share = by_kind.get(kind)
        cells.append("" if share is None else _share_words(share.run, share.waived, share.points))
        if share is not None and kind in found.kinds:
            failed |= 100 * (share.run + share.waived) < found.goal * share.points
    return Row(tuple(cells), failed=failed)


def _missing_block(name: str, found: CodeCoverage) -> Block:
    table = []
    for line in found.missing:
        for number, text in enumerate(line.source, line.first):
            here = number == line.line
            cells = (f"{line.file}:{number}" if here else str(number), text, "; ".join(line.points) if here else "")
            table.append(Row(cells, failed=here))
    columns = (Column("line", whole=True), Column("Verilog", whole=True), Column("not run"))
    more = "" if len(found.missing) < _LISTED else f"; the first {_LISTED} lines"
    heading = f"{name}: {found.missing_points:,} points neither run nor waived{more}"
    return Block((Table(columns, tuple(table)),), heading=heading, folded=True)


def _waived_block(name: str, found: CodeCoverage) -> Block:
    titles = ("category", "reason")
    columns = (Column("lines", whole=True), Column("kind"), Column("points", number=True), *map(Column, titles))
    rows = tuple(Row((f"{w.file}:{w.lines}", str(w.kind), w.points, w.category, w.reason)) for w in found.waived)
    points = sum(w.points for w in found.waived)
    return Block((Table(columns, rows),), heading=f"{name}: {points:,} points waived", folded=True)


def _not_run(check: CheckRecord) -> Iterator[str]:
    """A sentence for the modules of which nothing was run, however much of them is waived."""
    for row in check.details.of(CodeCoverage):
        code = {m.module: [share for share in m.shares if share.kind is not PointKind.TOGGLE] for m in row.modules}
        if idle := [module for module, shares in code.items() if shares and not any(share.run for share in shares)]:
            yield f"{row.accelerator}: modules of which nothing was run, only waived: {', '.join(idle)}"


SECTION = Section(
    "Code coverage of the Verilog",
    _named,
    _write_section,
    "A point is one line's block, branch, expression's combination or turning bit of a module, over all its instances "
    "and parameters, and all simulations of the check. Code that no generate block chose has no points but one for "
    "each of its always blocks.",
    topic=Topic.COVERAGE,
)

KIND = Kind(
    settings=CodeCoverageCheck,
    about="every line, branch, expression and bit of the Verilog was run in simulation, or is waived with a reason",
    run=run,
    data=(CodeCoverage, Simulation, Finding),
    report=(COMPARED, SIMULATED, SECTION, SIMULATIONS, Gap(_not_run)),
)
