"""Kind `timing`: levels of logic between the registers of designs, held to a budget, module by module."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from msgspec import Meta

from fxsim.prove.netlist import has_yosys
from fxsim.signoff.context import Context, Outcome, SkipCheck, first_few
from fxsim.signoff.designs import SynthesisCheck, synthesise
from fxsim.signoff.kind import Kind, Section, Topic
from fxsim.signoff.plan import Name, Part
from fxsim.signoff.record import CheckRecord, Data, Details, Figure
from fxsim.signoff.report.elements import Block, Column, Row, Table
from fxsim.synthesis import TARGETS, worst_ways

_Levels = Annotated[float, Meta(gt=0, le=25)]


class Exceeding(Part, frozen=True, kw_only=True):
    """A module whose longest way may have more levels than the budget, how many, and why."""

    module: Name
    levels: _Levels
    because: Annotated[str, Meta(min_length=10, max_length=1000)]


class TimingCheck(SynthesisCheck, frozen=True, tag="timing", kw_only=True):
    """No way through the logic of a module has more than `levels` levels, but for `exceptions`, each with its reason.

    An exception that is not needed any more fails, and so does one of a module that is not there.
    """

    device: Name = next(iter(TARGETS))
    levels: _Levels
    exceptions: tuple[Exceeding, ...] = ()

    def problems(self) -> Iterator[str]:
        """An exception must allow more than the budget, once a module."""
        yield from super().problems()
        if self.device not in TARGETS:
            yield f"names device '{self.device}', expected of: {', '.join(TARGETS)}"
        names = [exception.module for exception in self.exceptions]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"has two exceptions of module '{name}'"
        for exception in self.exceptions:
            if exception.levels <= self.levels:
                yield f"has an exception of module '{exception.module}' that allows no more than all may have"


class ModuleLevels(Data, frozen=True):
    """A module's longest way through logic. `because`: the reason why it may be over the budget, where it may."""

    FIELD = "module_levels"

    design: str
    model: str
    device: str
    module: str
    levels: float
    allowed: float
    way: str
    because: str | None


def run(check: TimingCheck, context: Context, _seed: int) -> Outcome:
    """Synthesise each design with each model, and hold the longest way of each of its modules to the budget."""
    if not has_yosys():
        raise SkipCheck("the extra 'silicon' is not installed: there is no Yosys here")
    exceptions = {exception.module: exception for exception in check.exceptions}
    # Of each module, the most tenths of a level that any way has.
    most: dict[str, int] = {}
    rows: list[ModuleLevels] = []
    problems: list[str] = []
    for setup in check.setups:
        for name in check.models:
            area = synthesise(check, name, setup, check.device, context, parameters=check.parameters)
            ways, design = worst_ways(area.units), check.named(area)
            if not ways:
                problems.append(f"{design} with {name}: no way through logic was found in any module")
            for module, (way, _) in ways.items():
                most[module] = max(most.get(module, 0), way.tenths)
                exception = exceptions.get(module)
                allowed = check.levels if exception is None else exception.levels
                because = None if exception is None else exception.because
                levels, names = way.tenths / 10, " > ".join(way.names)
                rows.append(ModuleLevels(design, name, area.device, module, levels, allowed, names, because))
                if way.tenths > 10 * allowed:
                    where = f"{design} with {name}: {module}"
                    problems.append(f"{where}: {levels:.1f} levels, expected at most {allowed:g}: {names}")
    for module in exceptions:
        if module not in most:
            there = first_few(sorted(most), 10)
            problems.append(f"the exception of {module} is stale: no design has such a module, but {there}")
        elif most[module] <= 10 * check.levels:
            problems.append(
                f"the exception of {module} is stale: its longest way has {most[module] / 10:.1f} levels, "
                f"within the {check.levels:g} that all may have"
            )
    worst = max(rows, key=lambda row: row.levels, default=None)
    summary = f"{len(most)} modules within {check.levels:g} levels"
    if exceptions:
        summary = f"{len(most) - len(exceptions)} of {summary}; exceptions: {len(exceptions)}"
    if worst is not None:
        summary += f"; the most is {worst.levels:.1f} of {worst.module}"
    figures = (
        Figure("modules", len(most)),
        Figure("exceptions", len(exceptions)),
        Figure("most levels", None if worst is None else worst.levels),
        Figure("budget", check.levels, "levels"),
    )
    return Outcome(summary, first_few(problems, 5) or None, Details(figures, rows))


def _worst(check: CheckRecord) -> list[ModuleLevels]:
    """The row with the most levels of each module of a design."""
    found: dict[tuple[str, str, str], ModuleLevels] = {}
    for row in check.details.of(ModuleLevels):
        key = row.design, row.device, row.module
        if key not in found or row.levels > found[key].levels:
            found[key] = row
    return list(found.values())


def _write(rows: Sequence[ModuleLevels]) -> list[Block]:
    columns = (
        *(Column(title, whole=True) for title in ("design", "module", "with")),
        *(Column(title, True) for title in ("levels", "at most")),
        Column("longest way"),
        Column("why more than all"),
    )
    ordered = sorted(dict.fromkeys(rows), key=lambda row: -row.levels)
    table = [
        Row((r.design, r.module, r.model, r.levels, r.allowed, r.way, r.because or ""), failed=r.levels > r.allowed)
        for r in ordered
    ]
    return [Block((Table(columns, tuple(table)),))]


KIND = Kind(
    settings=TimingCheck,
    about="no module of a design has more levels of logic between registers than the budget allows",
    run=run,
    data=(ModuleLevels,),
    report=(
        Section(
            "Levels of logic",
            _worst,
            _write,
            "A level is a look-up table; a carry chain counts as one and a tenth for each further cell, a multiplier "
            "as four, a memory block as two. Ways end at the boundary of a part that is synthesised by itself.",
            topic=Topic.SPEED,
        ),
    ),
)
