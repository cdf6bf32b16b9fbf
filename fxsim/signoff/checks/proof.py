"""Kind `proof`: what is asked for is proved for all inputs. It needs the extra `prove`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, field

from fxsim.devices import DEFAULT, DESCRIBED, DEVICES, make_settings
from fxsim.errors import FxsimError, StimulusError
from fxsim.graph import Model
from fxsim.paths import rtl_dir
from fxsim.prove import claims
from fxsim.prove.asked import DESIGN, IMAGES_MAX, parse_schedule
from fxsim.prove.blocks import PROVED, UNPROVED, BlockProof
from fxsim.prove.evidence import Evidence
from fxsim.prove.netlist import find_yosys, missing
from fxsim.signoff.context import Context, Outcome, SkipCheck, summarise
from fxsim.signoff.evidence import KeptEvidence, keep_evidence
from fxsim.signoff.kind import Gap, Kind, Section, Tile, Topic
from fxsim.signoff.plan import Check, Name, Names
from fxsim.signoff.record import CheckRecord, Data, Details, Figure
from fxsim.signoff.report.elements import Block, Cell, Column, Row, Table, format_seconds
from fxsim.signoff.simulation import SettingValue, Setup, note_files
from fxsim.simulate.sources import read_sources

if TYPE_CHECKING:
    from fxsim.prove.judge import Finding
    from fxsim.prove.network import Standing
    from fxsim.prove.run import Proof
    from fxsim.prove.schedule import ModuleProof

Asked = Literal["accelerator", "modules", "schedules", "engine"]

_RUN: tuple[Asked, ...] = ("accelerator", "modules")
"""Parts that are proved by a run, of some images under one schedule."""


class ProofCheck(Check, frozen=True, tag="proof", kw_only=True):
    """Everything that `what` asks for is proved for all inputs of the model.

    `accelerator`: of the RTL, under `schedule` (`{seed}` is the check's own seed), `images` one after another;
    `modules`: each of `modules` alone, likewise; `schedules`: every module under any stalls, gaps and resets;
    `engine`: the compiled engine. `dut`: the description of a design, which is then the accelerator; `rtl`: a folder of
    Verilog in place of the accelerator's own. Both are relative to the plan's folder. `settings`: the accelerator's by
    name, where they are not to be at their defaults. `evidence`: that of all of it is kept beside the record, for which
    nothing that was proved before is taken.
    """

    model: Name
    what: Annotated[tuple[Asked, ...], Meta(min_length=1)]
    accelerator: Name | None = None
    dut: str | None = None
    modules: Names | None = None
    schedule: Name | None = None
    images: Annotated[int, Meta(ge=1, le=IMAGES_MAX)] | None = None
    rtl: str | None = None
    settings: dict[Name, SettingValue] = field(default_factory=dict)
    evidence: bool = False

    @property
    def setup(self) -> Setup:
        """The accelerator whose RTL is proved."""
        name = self.accelerator or (DEFAULT if self.dut is None else DESCRIBED)
        return Setup(name, self.settings | ({} if self.dut is None else {"dut": self.dut}), self.rtl)

    @property
    def setups(self) -> tuple[Setup, ...]:
        """The accelerator, unless it is the engine alone that is proved."""
        return () if self.what == ("engine",) else (self.setup,)

    def problems(self) -> Iterator[str]:
        """Nothing may be asked for twice, or set where it changes nothing; each must be there to be proved."""
        for word, names in (("asks for", self.what), ("names module", self.modules or ())):
            for name in sorted({name for name in names if names.count(name) > 1}):
                yield f"{word} '{name}' more than once"
        if ("modules" in self.what) is not (self.modules is not None):
            yield "names modules and does not ask for them, or the other way round: expected both, or none"
        runs = any(part in self.what for part in _RUN)
        idle = [name for name in ("schedule", "images") if not runs] + (
            ["accelerator", "rtl", "dut"] if self.what == ("engine",) else []
        )
        composes = self.setup.accelerator in DEVICES and DEVICES[self.setup.accelerator].composes
        if self.settings and not runs and not (composes and "schedules" in self.what):
            yield f"has settings, which change nothing of {' and '.join(self.what)}"
        if self.settings and runs and "schedules" in self.what and not composes:
            yield "has settings and asks for schedules, which are proved without: expected a check of each"
        if "dut" in self.settings:
            yield "has a dut in its settings, expected beside them"
            return
        for name in idle:
            if getattr(self, name) is not None:
                yield f"sets {name}, which changes nothing of {' and '.join(self.what)}"
        if (name := self.setup.accelerator) not in DEVICES:
            yield f"names accelerator '{name}', expected of: {', '.join(DEVICES)}"
            return
        try:
            self.setup.check()
        except StimulusError as error:
            yield str(error)
        if name == DESCRIBED and (self.dut is None or self.rtl is not None):
            yield "is of a described design: expected its dut, and no rtl in place of it"
        if name == DESCRIBED and "modules" in self.what:
            yield "asks for modules of a described design, which is proved whole"
        if "accelerator" in self.what and DEVICES[name].proofs is None:
            yield f"asks for the accelerator '{name}', which is not proved as a whole"
        if "modules" in self.what and DEVICES[name].proofs is None and DEVICES[name].blocks is None:
            yield f"asks for modules of '{name}', of which none is proved"
        if "schedules" in self.what and name != DEFAULT and not composes:
            yield f"asks for schedules of '{name}', expected of '{DEFAULT}' or of one that is composed"
        if self.schedule == "all":
            yield "has the schedule 'all', which is asked for as what = [\"schedules\"]"
        elif self.schedule is not None:
            try:
                parse_schedule(self.schedule.replace("{seed}", "0"))
            except StimulusError as error:
                yield f"has a schedule of which nothing is proved: {error}"


class ForAllInputs(Data, frozen=True):
    """One thing that was to be proved for all inputs.

    `of`: accelerator, job (of an accelerator that has registers and memory), described, module, block, schedules,
    composed, standing or engine. `count`: what was to be proved of it, `proved` how many of these are. `schedule`,
    `images`, `cycles`: of a run. `seconds`: when it was proved, which was before where it is `cached`. `netlist`:
    sha256 of the BTOR2. `finding`: what is not proved. `left_out`: what was not looked at.
    """

    FIELD = "proofs"

    of: str
    model: str
    design: str
    says: str
    status: str
    count: int
    proved: int
    seconds: float
    cached: bool
    solver: str
    yosys: str | None = None
    netlist: str | None = None
    schedule: str | None = None
    images: int | None = None
    cycles: int | None = None
    finding: str | None = None
    left_out: str | None = None


def run(check: ProofCheck, context: Context, seed: int) -> Outcome:
    """Everything that is asked for, proved now or kept from a proof that rests on the same."""
    reason = missing(netlists=check.what != ("engine",))
    if reason is not None:
        raise SkipCheck(reason)
    model = context.model(check.model)
    solver = f"bitwuzla {metadata.version('bitwuzla')}"
    rows: list[ForAllInputs] = []
    gathered: dict[str, Evidence] = {}
    asked = gathered if check.evidence and context.output is not None else None
    _note_rtl(check, context, model)
    for part in check.what:
        before = len(rows)
        if part == "accelerator":
            rows += _ran(check, context, model, seed, solver, None, _gather(asked, part))
        elif part == "modules":
            for module in check.modules or ():
                rows += _ran(check, context, model, seed, solver, module, _gather(asked, f"{part}-{module}"))
        elif part == "schedules":
            rows += _schedules(check, context, model, solver, _gather(asked, part))
        else:
            rows.append(_engine(check, context, model, solver, _gather(asked, part)))
        if len(rows) == before:
            raise FxsimError(f"there is nothing to prove of '{part}' in model '{check.model}'")
    _note_rtl(check, context, model)
    problems = [f"{row.design}: {row.finding or _short(row)}" for row in rows if row.finding or _short(row)]
    figures = (
        Figure("proved", len(rows) - len(problems)),
        Figure("refuted or unproved", len(problems)),
        Figure("kept from an earlier proof", sum(row.cached for row in rows)),
        Figure("seconds of proving", round(sum(row.seconds for row in rows), 1), "s"),
        Figure("solver", solver),
    )
    counts = [f"{text} ({sum(row.of == of for row in rows)})" for of, text in _TITLES.items() if _of(rows, of)]
    cached = sum(row.cached for row in rows)
    summary = f"proved for all inputs: {', '.join(counts).lower()}{f'; {cached} kept' if cached else ''}"
    kept = keep_evidence(check.name, model, gathered, context)
    return summarise(summary, problems, Details(figures, [*rows, *kept]))


def _short(row: ForAllInputs) -> str:
    """The shortfall of a row against all that was to be proved of it, whatever its status says; empty without one."""
    if row.status == PROVED and 0 < row.proved == row.count:
        return ""
    return f"{row.status}, {row.proved:,} of {row.count:,}"


def _gather(gathered: dict[str, Evidence] | None, of: str) -> Evidence | None:
    """Evidence to be filled; None where none is kept."""
    if gathered is None:
        return None
    return gathered.setdefault(of, Evidence())


def _note_rtl(check: ProofCheck, context: Context, model: Model) -> None:
    """Keep the hash of the Verilog that is proved, and the description's, before and after."""
    setup = check.setup
    if check.what == ("engine",):
        return
    if setup.accelerator == DESCRIBED:
        device, (found, _) = DEVICES[DESCRIBED], setup.found(context)
        assert device.proofs is not None
        (design,) = device.proofs(model, make_settings(device.name, device.settings, found), None)
        assert design.verilog is not None
        context.note_hash(setup.rtl_name, design.verilog.sources.sha256)  # as simulations note it
        note_files(setup, found, context)
    else:
        folder = rtl_dir() if check.rtl is None else context.path(check.rtl)
        context.note_hash(check.setup.rtl_name, read_sources(folder).sha256)


def _of(rows: Sequence[ForAllInputs], of: str) -> bool:
    return any(row.of == of for row in rows)


def _ran(
    check: ProofCheck,
    context: Context,
    model: Model,
    seed: int,
    solver: str,
    module: str | None,
    evidence: Evidence | None,
) -> list[ForAllInputs]:
    """The accelerator, or one of its modules."""
    # Only here, as the others: what proves takes half a second to import.
    from fxsim.prove.run import ProofRequest, prove

    request = ProofRequest(
        model,
        check.setup.accelerator,
        check.setup.found(context)[0],
        module=module,
        rtl=None if check.rtl is None else context.path(check.rtl),
        schedule=(check.schedule or "none").replace("{seed}", str(seed)),
        images=check.images or 1,
        kept=True,
    )
    result = prove(
        request, progress=lambda _, done, of: context.progress(done, of), status=context.status, evidence=evidence
    )
    whole = {"streams": "described" if request.device == DESCRIBED else "accelerator", "bus": "job"}
    rows = [
        _row_of_run(whole[proof.around] if module is None else "module", check, proof, solver)
        for proof in result.proofs
    ]
    yosys = find_yosys()[1] if result.blocks else ""
    rows += [_row_of_block(check, block, solver, yosys) for block in result.blocks]
    return rows


def _row_of_run(of: str, check: ProofCheck, proof: Proof, solver: str) -> ForAllInputs:
    return ForAllInputs(
        of=of,
        model=check.model,
        design=", ".join([proof.name, *(f"{name} {_said(value)}" for name, value in sorted(check.settings.items()))]),
        says=f"{proof.proved:,} of {proof.values:,} values in {proof.cycles:,} cycles",
        status=proof.status,
        count=proof.values,
        proved=proof.proved,
        seconds=round(sum(proof.seconds.values()), 3),
        cached=proof.cached,
        solver=solver,
        yosys=proof.yosys,
        netlist=proof.btor2_sha256,
        schedule=proof.schedule,
        images=proof.images,
        cycles=proof.cycles,
        finding=None
        if proof.status == PROVED and not (proof.findings or proof.stopped)
        else f"{proof.status}: {_first(proof)}",
    )


def _said(value: SettingValue) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _first(proof: Proof) -> str:
    """The reason why a run is not proved: the first finding, why it stopped, and what shows it."""
    parts = [_place(proof.findings[0])] if proof.findings else []
    parts += [proof.stopped] if proof.stopped else []
    if proof.refutation is not None:
        parts.append(f"shown by {proof.refutation.shown_by}")
    return "; ".join(parts) or f"{proof.values - proof.proved:,} values are not proved"


def _place(finding: Finding) -> str:
    token = "" if finding.token is None else f"token {finding.token}, "
    return f"{finding.tap}, {token}channel {finding.channel}, cycle {finding.cycle}: {finding.text}"


def _row_of_block(check: ProofCheck, block: BlockProof, solver: str, yosys: str) -> ForAllInputs:
    shown = ", ".join(f"{name} = {value}" for name, value in block.witness.items())
    return ForAllInputs(
        of="block",
        model=check.model,
        design=block.name,
        says="its rule",
        status=block.status,
        count=1,
        proved=int(block.status == PROVED),
        seconds=block.seconds,
        cached=False,
        solver=solver,
        yosys=yosys,
        netlist=block.btor2_sha256,
        finding=None if block.status == PROVED else f"{block.status}{f' where {shown}' if shown else ''}",
    )


def _schedules(
    check: ProofCheck, context: Context, model: Model, solver: str, evidence: Evidence | None
) -> list[ForAllInputs]:
    """Every module of the accelerator under every schedule, and what is in the way of saying so of the whole."""
    from fxsim.prove.schedules import prove_schedules

    rtl = None if check.rtl is None else context.path(check.rtl)
    device = check.setup.accelerator
    settings = check.setup.found(context)[0] if DEVICES[device].composes else {}
    found = prove_schedules(
        model, device, rtl=rtl, evidence=evidence, status=context.progress, kept=True, settings=settings
    )
    of = "composed" if found.composed else "schedules"
    unstated = (
        ForAllInputs(
            of=of, model=check.model, design=name, says="nothing", status=UNPROVED, count=1, proved=0,
            seconds=0.0, cached=False, solver=solver, schedule="all", finding=f"{UNPROVED}: {why}",
        )
        for name, why in found.unstated.items()
    )  # fmt: skip
    whole = () if found.standing is None else (_row_of_standing(check, found.standing, solver),)
    if found.composed and DESIGN not in found.unstated:
        whole = (_row_of_design(check, solver),)
    return [*(_row_of_module(check, proof, solver, of) for proof in found.modules), *unstated, *whole]


def _row_of_design(check: ProofCheck, solver: str) -> ForAllInputs:
    return ForAllInputs(
        of="composed", model=check.model, design=DESIGN, status=PROVED,
        says="instances, connections, parameters and ROM files are those that the graph asks for", count=1, proved=1,
        seconds=0.0, cached=False, solver=solver, schedule="all",
    )  # fmt: skip


def _row_of_standing(check: ProofCheck, standing: Standing, solver: str) -> ForAllInputs:
    return ForAllInputs(
        of="standing", model=check.model, design=f"{standing.streams} streams",
        status=PROVED if standing.proved else UNPROVED,
        says=f"a value within {standing.cycles} cycles, {standing.transfers:,} of an image", count=1,
        proved=int(standing.proved), seconds=0.0, cached=False, solver=solver, schedule="all",
        finding=None if standing.proved else f"{UNPROVED}: {standing.why}",
    )  # fmt: skip


def _row_of_module(check: ProofCheck, proof: ModuleProof, solver: str, of: str) -> ForAllInputs:
    failed = [verdict for verdict in proof.verdicts if verdict.verdict != PROVED]
    # A refuted property says more than those that rest on it.
    failed.sort(key=lambda verdict: verdict.verdict == UNPROVED)
    first = f"{failed[0].verdict}: {failed[0].name} ({failed[0].says}): {failed[0].why}" if failed else None
    good = len(proof.verdicts) - len(failed)
    return ForAllInputs(
        of=of,
        model=check.model,
        design=" ".join([proof.module, *(f"{name}={value}" for name, value in proof.parameters.items())]),
        says=f"{good} of {len(proof.verdicts)} properties",
        status=PROVED if proof.proved else failed[0].verdict if failed else UNPROVED,
        count=len(proof.verdicts),
        proved=good,
        seconds=round(proof.seconds, 3),
        cached=proof.cached,
        solver=solver,
        yosys=proof.yosys,
        netlist=proof.netlist_sha256,
        schedule="all",
        finding=first,
    )


def _engine(check: ProofCheck, context: Context, model: Model, solver: str, evidence: Evidence | None) -> ForAllInputs:
    """The compiled engine, every node."""
    from fxsim.prove.engine import prove_engine

    begun = time.monotonic()
    found = prove_engine(model, evidence=evidence, status=context.progress)
    wrong = [f"{row.node}: {row.wrong}" for row in found.nodes if row.wrong]
    return ForAllInputs(
        of="engine",
        model=check.model,
        design=f"compiled engine, {found.isa}",
        says=f"{len(found.nodes) - len(wrong)} of {len(found.nodes)} statements on nodes, "
        f"{sum(row.cases for row in found.nodes):,} cases",
        status=PROVED if found.proved else UNPROVED,
        count=len(found.nodes),
        proved=len(found.nodes) - len(wrong),
        seconds=round(time.monotonic() - begun, 3),
        cached=False,
        solver=solver,
        finding=f"{UNPROVED}: {wrong[0]}" if wrong else None,
        left_out="; ".join(f"{row.node}: {row.skipped}" for row in found.nodes if row.skipped) or None,
    )


_COLUMNS = (
    Column("check", whole=True), Column("model", whole=True), Column("design"), Column("proved"), Column("schedule"),
    Column("images", number=True), Column("time", number=True), Column("by"), Column("netlist"),
)  # fmt: skip
_TITLES = {
    "accelerator": "Accelerators",
    "job": "Accelerators with registers and memory",
    "described": "Described designs",
    "module": "Modules alone",
    "block": "Blocks",
    "schedules": "Modules under every schedule",
    "composed": "Composed designs and their modules under every schedule",
    "standing": "The whole under every schedule",
    "engine": "The compiled engine",
}
_SAYS = "What proved says, and no more: "
_CLAIMS = {
    "accelerator": (f"{_SAYS}{claims.RUN} {claims.WHOLE}", f"{claims.RUN_ASSUMED} {claims.RUN_NOT_COVERED}"),
    "job": (f"{_SAYS}{claims.JOB} {claims.WHOLE}", f"{claims.RUN_ASSUMED} {claims.JOB_NOT_COVERED}"),
    "described": (
        f"{_SAYS}{claims.DESCRIBED}",
        f"{claims.RUN_ASSUMED} {claims.DESCRIBED_ASSUMED} {claims.RUN_NOT_COVERED}",
    ),
    "module": (f"{claims.MODULE} {claims.RUN}", f"{claims.RUN_ASSUMED} {claims.RUN_NOT_COVERED}"),
    "block": (f"{_SAYS}{claims.BLOCK}", claims.BLOCK_ASSUMED),
    "schedules": (f"{_SAYS}{claims.SCHEDULES}", f"{claims.SCHEDULES_ASSUMED} {claims.SCHEDULES_NOT_PROVED}"),
    "composed": (f"{_SAYS}{claims.DESIGN}", f"{claims.DESIGN_ASSUMED} {claims.DESIGN_NOT_PROVED}"),
    "standing": (f"{_SAYS}{claims.STANDING}", claims.SCHEDULES_ASSUMED),
    "engine": (f"{_SAYS}{claims.ENGINE}", f"{claims.ENGINE_ASSUMED} {claims.ENGINE_NOT_PROVED}"),
}


def _write(rows: Sequence[tuple[str, ForAllInputs]]) -> list[Block]:
    blocks = []
    for of, title in _TITLES.items():
        own = [(name, row) for name, row in rows if row.of == of]
        if not own:
            continue
        claim, base = _CLAIMS[of]
        if of == "schedules" and all(row.status == PROVED for _, row in own):
            claim = f"{claim} {claims.COMPOSED}"
        blocks.append(Block((Table(_COLUMNS, tuple(_line(name, row) for name, row in own)),), title, claim, note=base))
    return blocks


def _line(name: str, row: ForAllInputs) -> Row:
    # The compiler that Yosys was built with stands in the record.
    by = ", ".join(part.partition(" (")[0] for part in (row.solver, row.yosys) if part)
    says = row.says + (f"; left out: {row.left_out}" if row.left_out else "")
    cells = (
        name, row.model, row.design, Cell(f"{row.status}: {says}", remark=row.finding), row.schedule, row.images,
        f"{format_seconds(row.seconds)}{', cached' if row.cached else ''}", by, row.netlist and row.netlist[:16],
    )  # fmt: skip
    return Row(cells, failed=row.status != PROVED)


def _named(check: CheckRecord) -> list[tuple[str, ForAllInputs]]:
    return [(check.name, row) for row in check.details.of(ForAllInputs)]


def _write_evidence(rows: Sequence[tuple[str, KeptEvidence]]) -> list[Block]:
    columns = (
        *(Column(title, whole=True) for title in ("check", "of", "folder")),
        Column("files", number=True),
        Column("list"),
    )
    table = tuple(Row((name, row.of, row.folder, row.files, row.sha256[:16])) for name, row in rows)
    return [Block((Table(columns, table),))]


def _gaps(check: CheckRecord) -> list[str]:
    return [
        f"{row.design}: left out of the proof: {row.left_out}" for row in check.details.of(ForAllInputs) if row.left_out
    ]


KIND = Kind(
    settings=ProofCheck,
    about="everything that it asks for is proved for all inputs: RTL, its modules, all schedules, the engine",
    run=run,
    data=(ForAllInputs, KeptEvidence),
    report=(
        Tile(
            "values proved for all inputs",
            lambda check: sum(row.proved for row in check.details.of(ForAllInputs) if row.of in ("accelerator", "job")),
        ),
        Section(
            "Proved for all inputs",
            _named,
            _write,
            "Times are those of the proof; one that is cached was made before, of the very same netlist, model, "
            "schedule, text of fxsim and versions. Netlists by the first digits of their sha256.",
            topic=Topic.PROOF,
        ),
        Section(
            "Evidence of proofs",
            lambda check: [(check.name, row) for row in check.details.of(KeptEvidence)],
            _write_evidence,
            "Beside the record; `fxsim prove --recheck FOLDER` holds each to its files and asks another solver.",
            topic=Topic.PROOF,
        ),
        Gap(_gaps),
    ),
)
