"""Kind `mutation`: of small faults put into Verilog, or into the engines, one at a time, the tests find enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Annotated

from msgspec import Meta

from fxsim.code_coverage.waivers import Category
from fxsim.errors import FxsimError
from fxsim.mutation.imports import PACKAGE
from fxsim.mutation.record import FOLDERS, SURVIVED, TIMED_OUT, Judged, Score
from fxsim.mutation.record import Record as Mutants
from fxsim.mutation.text import COLUMNS, diff, percent
from fxsim.paths import rtl_dir
from fxsim.signoff.context import Context, Outcome, SkipCheck, summarise
from fxsim.signoff.findings import Finding, shown_source
from fxsim.signoff.judges import JudgeName
from fxsim.signoff.kind import Kind, Section, Tile, Topic
from fxsim.signoff.plan import Check, Name, Names, Part
from fxsim.signoff.record import CheckRecord, Data, Details, Figure, Record
from fxsim.signoff.report.elements import Block, Cell, Column, Row, Table
from fxsim.signoff.simulation import Setup, note_judges
from fxsim.simulate.sources import read_sources

_NEEDED = {"pyverilog": "evidence", "cocotb": "cocotb", "pytest": "test"}
"""Modules without which mutants of Verilog are not judged, and the extra that has each."""
_NEEDED_PYTHON = {"pytest": "test", "hypothesis": "test"}
"""The same for mutants of Python."""
_ACCELERATORS = tuple(FOLDERS)


class MutantWaiver(Part, frozen=True, kw_only=True):
    """A mutant that may survive, by its id, which goes with the text of its line; and why, in kind and words."""

    id: Annotated[str, Meta(pattern="^[0-9a-f]{12}$")]
    category: Category
    reason: Annotated[str, Meta(min_length=1, max_length=1000)]


class MutationCheck(Check, frozen=True, tag="mutation", kw_only=True):
    """At least the part `at_least` of at most `count` mutants is killed, but for equivalent and waived ones.

    Mutants are those of the modules of `accelerator` (by default of both), or of `modules` alone, drawn by `seed` from
    every module and kind in turn. `python`: those of the contract's and the engines' own functions in place of
    Verilog's, `modules` as `contract.arithmetic`. `others`: whether the tests of modules that use a mutated one are
    run, too. `whole`: whether what they leave alive is tried by co-simulation and proof of the accelerators. A waiver
    of a mutant that was not drawn, or did not survive, fails the check.
    """

    at_least: Annotated[float, Meta(gt=0, le=1)]
    accelerator: Name | None = None
    python: bool = False
    modules: Names | None = None
    count: Annotated[int, Meta(ge=1, le=100_000)] = 1500
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 1
    others: bool = True
    whole: bool = False
    waivers: tuple[MutantWaiver, ...] = ()

    @property
    def setups(self) -> tuple[Setup, ...]:
        """The accelerators that mutants are made of; none where they are made of Python."""
        return tuple(Setup(name) for name in _ACCELERATORS if not self.python and self.accelerator in (None, name))

    @property
    def judges(self) -> tuple[JudgeName, ...]:
        """The testbenches, or the tests of Python."""
        return ("tests",) if self.python else ("testbenches",)

    def problems(self) -> Iterator[str]:
        """The accelerator must be one of the project's own, and is none of Python; nothing may be waived twice."""
        if self.python and self.accelerator is not None:
            yield "names an accelerator, of which nothing is Python: leave it out, or `python`"
        if self.python and self.whole:
            yield "asks for the whole accelerators, of which nothing is Python: leave out `whole`, or `python`"
        if self.accelerator is not None and self.accelerator not in _ACCELERATORS:
            yield f"names accelerator '{self.accelerator}', expected of: {', '.join(_ACCELERATORS)}"
        ids = [waiver.id for waiver in self.waivers]
        for name in sorted({name for name in ids if ids.count(name) > 1}):
            yield f"waives mutant {name} more than once"


class ModuleScore(Record, frozen=True):
    """Counts of a module's mutants, as `fxsim mutate` has them."""

    module: str
    mutants: int
    module_test: int
    lint: int
    other_test: int
    whole: int
    equivalent: int
    survived: int
    timed_out: int
    invalid: int
    score: float | None


class Survivor(Record, frozen=True):
    """A mutant that no check killed, its line, and the reason for which it may be; null where it may not."""

    id: str
    place: str
    kind: str
    source: str
    change: str
    verdict: str
    waived: str | None


class MutationScore(Data, frozen=True):
    """The mutants of a check. `score`: killed / (mutants - equivalent - invalid - waived)."""

    FIELD = "mutation"

    design: str
    seed: int
    candidates: int
    at_least: float
    score: float | None
    total: ModuleScore
    modules: tuple[ModuleScore, ...]
    survivors: tuple[Survivor, ...]
    rests_on: dict[str, str]


def run(check: MutationCheck, context: Context, _seed: int) -> Outcome:
    """Judge the mutants, and hold their score and the waivers to the plan."""
    needed = _NEEDED_PYTHON if check.python else _NEEDED
    absent = dict.fromkeys(extra for module, extra in needed.items() if find_spec(module) is None)
    if absent:
        raise SkipCheck(f"what judges mutants is not installed: the extras {', '.join(absent)}")
    from fxsim.mutation.benches import testbenches_dir
    from fxsim.mutation.run import Request, mutate
    from fxsim.mutation.whole import Accelerators

    try:
        testbenches_dir()
    except FxsimError as error:
        raise SkipCheck(str(error)) from None
    if check.python:
        from fxsim.mutation import python_run

        try:
            python_run.find_root()
        except FxsimError as error:
            raise SkipCheck(str(error)) from None
        wanted = python_run.Request(
            modules=check.modules or (), count=check.count, seed=check.seed, others=check.others
        )
        note_judges(check, context)
        python_found = python_run.mutate_python(wanted, progress=context.progress)
        note_judges(check, context)
        return judge(check, python_found, context)
    context.note_hash("rtl", read_sources(rtl_dir()).sha256)
    note_judges(check, context)
    request = Request(
        accelerator=check.accelerator, modules=check.modules or (), count=check.count, seed=check.seed,
        others=check.others,
    )  # fmt: skip
    judges = (lambda stop: Accelerators(request.rtl, stop, request.fresh)) if check.whole else None
    found = mutate(request, progress=context.progress, whole=judges)
    context.note_hash("rtl", read_sources(rtl_dir()).sha256)
    note_judges(check, context)
    return judge(check, found, context)


def judge(check: MutationCheck, found: Mutants, context: Context) -> Outcome:
    """The outcome of a check of which the mutants are judged."""
    reasons = {waiver.id: f"{waiver.category}: {waiver.reason}" for waiver in check.waivers}
    alive = [row for row in found.mutants if row.verdict in (SURVIVED, TIMED_OUT)]
    waived = [row for row in alive if row.id in reasons]
    verdicts = {row.id: row.verdict for row in found.mutants}
    problems = []
    for name in reasons:
        if name not in verdicts:
            problems.append(f"stale waiver: mutant {name} was not drawn, or is none any more")
        elif verdicts[name] not in (SURVIVED, TIMED_OUT):
            problems.append(f"stale waiver: mutant {name} is {verdicts[name]}")
    total = found.total
    base = total.mutants - total.equivalent - total.invalid - len(waived)
    score = round(total.killed / base, 4) if base else None
    if score is None:
        problems.append("there is no mutant that could be killed")
    elif total.killed < check.at_least * base:
        first = next(row for row in alive if row.id not in reasons)
        problems.append(
            f"{total.killed:,} of {base:,} mutants were killed ({percent(score)}), expected at least "
            f"{percent(check.at_least)}; first of those that were not: {_place(first)}, {diff(first)[1]}"
        )
    row = MutationScore(
        design=found.design, seed=found.seed, candidates=found.candidates, at_least=check.at_least, score=score,
        total=_counts(total), modules=tuple(map(_counts, found.modules)),
        survivors=tuple(_survivor(row, reasons.get(row.id)) for row in alive), rests_on=found.rests_on,
    )  # fmt: skip
    figures = (
        Figure("mutants", total.mutants),
        Figure("killed", total.killed),
        Figure("equivalent", total.equivalent),
        Figure("survived", total.survived),
        Figure("timed out", total.timed_out),
        Figure("invalid", total.invalid),
        Figure("waived", len(waived)),
        Figure("score", None if score is None else round(100 * score, 2), "%"),
    )
    summary = f"{total.killed:,} of {base:,} mutants killed ({percent(score)}), {total.equivalent:,} equivalent"
    findings = [
        Finding(
            "mutation/survived", f"{row.id}: {diff(row)[1]}, and no test fails",
            shown_source(context, PACKAGE if check.python else rtl_dir(), row.file), row.line, row.column, "warning",
        )
        for row in alive if row.id not in reasons
    ]  # fmt: skip
    return summarise(summary, problems, Details(figures, [row, *findings]))


def _place(row: Judged) -> str:
    return f"{row.file}:{row.line}"


def _killed(row: ModuleScore) -> int:
    return row.module_test + row.lint + row.other_test + row.whole


def _counts(row: Score) -> ModuleScore:
    return ModuleScore(
        row.name, row.mutants, row.module_test, row.lint, row.other_test, row.whole, row.equivalent, row.survived,
        row.timed_out, row.invalid, row.score,
    )  # fmt: skip


def _survivor(row: Judged, waived: str | None) -> Survivor:
    source, change = diff(row)
    return Survivor(row.id, _place(row), row.kind, source, change, row.verdict, waived)


_COLUMNS = (Column("module", whole=True), *(Column(title, number=True) for title in COLUMNS))
_SURVIVORS = (
    Column("id", whole=True), Column("place", whole=True), Column("kind"), Column("line"), Column("change"),
    Column("waived"),
)  # fmt: skip


def _write(rows: Sequence[tuple[str, MutationScore]]) -> list[Block]:
    blocks = []
    for name, found in rows:
        lines = [Row(_cells(row)) for row in (*found.modules, found.total)]
        lead = (
            f"Score {percent(found.score)}, held to {percent(found.at_least)}: killed / (mutants - equivalent - invalid"
            f" - waived). {found.total.mutants:,} of {found.candidates:,} mutants of {found.design}, seed {found.seed}."
        )
        blocks.append(Block((Table(_COLUMNS, tuple(lines)),), heading=name, lead=lead))
        if found.survivors:
            alive = tuple(
                Row((row.id, row.place, row.kind, row.source, row.change, row.waived or ""), failed=row.waived is None)
                for row in found.survivors
            )
            blocks.append(Block((Table(_SURVIVORS, alive),), heading=f"{name}: not killed", folded=True))
    return blocks


def _cells(row: ModuleScore) -> tuple[str | int | Cell, ...]:
    return (
        row.module, row.mutants, row.module_test, row.lint, row.other_test, row.whole, row.equivalent, row.survived,
        row.timed_out, row.invalid, Cell(percent(row.score), strong=True),
    )  # fmt: skip


def _named(check: CheckRecord) -> list[tuple[str, MutationScore]]:
    return [(check.name, row) for row in check.details.of(MutationScore)]


KIND = Kind(
    settings=MutationCheck,
    about="of small faults put into the Verilog or the engines, one at a time, the tests find at least a part",
    run=run,
    data=(MutationScore, Finding),
    report=(
        Tile(
            "mutants killed",
            lambda check: sum(_killed(row.total) for row in check.details.of(MutationScore)),
        ),
        Section(
            "Mutation score",
            _named,
            _write,
            "A mutant is one small edit of the Verilog, or of a function of the engines. Killed by the module's own "
            "tests, by lint, by tests of modules that use it, or by the whole; equivalent where it is proved to change "
            "nothing, under the parameters of the module's cases or for all that the function may be given.",
            topic=Topic.MUTATION,
        ),
    ),
)
