"""Kind `area`: what designs take of an FPGA, held to recorded figures, and against other designs."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from msgspec import Meta

from fxsim.errors import ToolError
from fxsim.formats.text import read_bounded
from fxsim.prove.netlist import has_yosys
from fxsim.signoff.context import Context, Outcome, SkipCheck, first_few
from fxsim.signoff.designs import SynthesisCheck, synthesise
from fxsim.signoff.kind import Kind, Section, Topic
from fxsim.signoff.plan import Name, Part
from fxsim.signoff.record import CheckRecord, Data, Details, Figure
from fxsim.signoff.report.elements import Block, Column, Row, Table
from fxsim.signoff.simulation import Setup
from fxsim.synthesis import TARGETS, Area, Resources, find_recorded, read_recorded
from fxsim.synthesis.recorded import RECORDED_BYTES_MAX

_EXACT = ("ff", "latch", "dsp", "bram", "uram")
"""Parts of which a recorded figure is exact; of look-up tables there is a margin."""
_Counted = Literal["lut", "ff", "dsp", "bram"]


class Against(Part, frozen=True, kw_only=True):
    """Another design, and how many percent more the parts `of` may be than its own; below zero, so many fewer.

    It is the same with another model, or the same without some modules of its Verilog.
    """

    model: Name | None = None
    without: tuple[Name, ...] = ()
    of: Annotated[tuple[_Counted, ...], Meta(min_length=1)]
    at_most_percent: Annotated[float, Meta(gt=-100, le=25)]

    @property
    def label(self) -> str:
        """The parts in words: LUT + DSP."""
        return " + ".join(name.upper() for name in self.of)


class AreaCheck(SynthesisCheck, frozen=True, tag="area", kw_only=True):
    """Each design takes what the file `recorded` says, and no more than stated against another one.

    FF, latches, DSP, BRAM and UltraRAM are exact, LUT within `lut_margin_percent` to either side. `fxsim area --record`
    writes the file. Modules that the other one is without must take something. With `parameters` it is held to no
    recorded figures, and another model's design, which may then be that of the same model, is as its model decides.
    """

    device: Name = next(iter(TARGETS))
    recorded: str | None = None
    # The tenth part of a design is missed by nothing that a change of a module makes.
    lut_margin_percent: Annotated[float, Meta(ge=0, le=10)] = 1.0
    against: Against | None = None

    @property
    def named_models(self) -> tuple[str, ...]:
        """The check's own models, and the one to compare with."""
        other = None if self.against is None else self.against.model
        return (*self.models, *(() if other is None else (other,)))

    def problems(self) -> Iterator[str]:
        """Something must be asked for; the other design must be another one."""
        yield from super().problems()
        if self.device not in TARGETS:
            yield f"names device '{self.device}', expected of: {', '.join(TARGETS)}"
        against = self.against
        if self.recorded is None and against is None:
            yield "asks for nothing: expected recorded, against, or both"
        if self.recorded is not None and self.parameters:
            yield "has parameters beside recorded figures, which are of designs as their models decide"
        if against is None:
            return
        if (against.model is None) == (not against.without):
            yield "is against nothing or two designs, expected a model, or modules to be without"
        if against.without and self.dut is not None:
            yield "takes modules out of a described design, which is read as one module"
        if against.model in self.models and not self.parameters:
            yield f"compares model '{against.model}' with itself"
        for name in sorted({name for name in against.of if against.of.count(name) > 1}):
            yield f"counts {name} more than once"


class MeasuredArea(Data, frozen=True):
    """A design with a model that was synthesised. `recorded_lut`: null where it was held to no recorded figures."""

    FIELD = "areas"

    design: str
    model: str
    device: str
    yosys: str
    lut: int
    ff: int
    dsp: int
    bram: float
    recorded_lut: int | None
    wrong: int


class ComparedArea(Data, frozen=True):
    """Two designs: what the first takes `of` an FPGA's parts, and what the second does; `percent`: the change."""

    FIELD = "area_changes"

    design: str
    model: str
    against: str
    of: str
    first: float
    second: float
    percent: float
    at_most_percent: float


def run(check: AreaCheck, context: Context, _seed: int) -> Outcome:
    """Synthesise each design with each model, and hold it to recorded figures and against the other design."""
    if not has_yosys():
        raise SkipCheck("the extra 'silicon' is not installed: there is no Yosys here")
    areas: list[MeasuredArea] = []
    changes: list[ComparedArea] = []
    problems: list[str] = []
    others: list[str] = []
    recorded = None
    if check.recorded is not None:
        path = context.path(check.recorded)
        recorded = read_recorded(path)
        content = read_bounded(path, RECORDED_BYTES_MAX, "recorded areas")
        context.note_hash(f"areas {check.recorded}", hashlib.sha256(content).hexdigest())
    for setup in check.setups:
        for name in check.models:
            area = synthesise(check, name, setup, check.device, context, parameters=check.parameters)
            design = check.named(area)
            where = f"{design} with {name}"
            wrong: list[str] = []
            lut = None
            if not (area.total.lut and area.total.ff):
                wrong.append("nothing of it is left: no look-up table, or no flip-flop")
            if recorded is not None:
                kept = find_recorded(recorded, area)
                if kept is None:
                    wrong.append(f"no figures on {check.device} are recorded")
                elif kept.model_sha256 != area.model_sha256:
                    wrong.append("the recorded figures are of another model of this name")
                elif kept.yosys != area.yosys:
                    others.append(f"figures of {where} are of {kept.yosys}, here is {area.yosys}")
                else:
                    lut = kept.total.lut
                    wrong += _differences(area.total, kept.total, check.lut_margin_percent)
            if check.against is not None:
                change, same = _compare(check, check.against, area, name, context, setup)
                changes.append(change)
                if same and check.against.without:
                    wrong.append(f"{change.against}: takes as much of everything, so that nothing was taken out")
                if change.percent > change.at_most_percent:
                    wrong.append(
                        f"{change.first:,g} {change.of} against {change.second:,g} of {change.against}, "
                        f"{change.percent:+.2f}%, expected at most {change.at_most_percent:+g}%"
                    )
            t = area.total
            row = (design, name, area.device, area.yosys, t.lut, t.ff, t.dsp, t.bram, lut, len(wrong))
            areas.append(MeasuredArea(*row))
            problems += [f"{where}: {problem}" for problem in wrong]
    return _outcome(check, areas, changes, problems, others)


def _outcome(
    check: AreaCheck,
    areas: list[MeasuredArea],
    changes: list[ComparedArea],
    problems: list[str],
    others: list[str],
) -> Outcome:
    held = sum(row.recorded_lut is not None for row in areas)
    if others and not held and not changes and not problems:
        raise SkipCheck(f"nothing to compare with: {first_few(others, 1)}")
    said = [f"{held} of {len(areas)} designs take what is recorded"] if check.recorded is not None else []
    said += [f"{c.model}: {c.percent:+.2f}% {c.of} against {c.against}" for c in changes]
    figures = [
        Figure("designs synthesised", len(areas)),
        Figure("held to recorded figures", held),
        *(Figure(f"{c.of} of {c.model} against {c.against}", round(c.percent, 2), "%") for c in changes),
    ]
    details = Details(figures, [*areas, *changes])
    reported = first_few(others, 1) or None
    return Outcome("; ".join(said), first_few(problems, 5) or None, details, reported=reported)


def _differences(found: Resources, kept: Resources, margin: float) -> Iterator[str]:
    for name in _EXACT:
        here, recorded = getattr(found, name), getattr(kept, name)
        if here != recorded:
            yield f"{here:,g} {name.upper()}, recorded {recorded:,g}"
    if 100 * abs(found.lut - kept.lut) > margin * kept.lut:
        yield f"{found.lut:,} LUT, recorded {kept.lut:,}, expected within {margin:g}%"


def _compare(
    check: AreaCheck, against: Against, area: Area, model: str, context: Context, setup: Setup
) -> tuple[ComparedArea, bool]:
    """The change against the other design, and whether that takes as much of every part."""
    parameters = check.parameters if against.model is None else None
    other = synthesise(check, against.model or model, setup, check.device, context, against.without, parameters)
    first, second = (sum(float(getattr(each.total, name)) for name in against.of) for each in (area, other))
    said = against.model or "the same without " + ", ".join(against.without)
    if not second:
        raise ToolError(f"{check.named(area)} with {model} against {said}: that takes no {against.label}")
    percent = 100 * (first - second) / second
    row = ComparedArea(check.named(area), model, said, against.label, first, second, percent, against.at_most_percent)
    return row, other.total == area.total


def _areas(check: CheckRecord) -> list[tuple[str, MeasuredArea]]:
    return [(check.name, row) for row in check.details.of(MeasuredArea)]


def _write_areas(rows: Sequence[tuple[str, MeasuredArea]]) -> list[Block]:
    columns = (
        *(Column(title, whole=True) for title in ("check", "design", "model", "device")),
        *(Column(title, True) for title in ("LUT", "recorded", "FF", "DSP", "BRAM")),
    )
    table = [
        Row((check, r.design, r.model, r.device, r.lut, r.recorded_lut, r.ff, r.dsp, r.bram), failed=r.wrong > 0)
        for check, r in rows
    ]
    return [Block((Table(columns, tuple(table)),))]


def _changes(check: CheckRecord) -> list[ComparedArea]:
    return list(check.details.of(ComparedArea))


def _write_changes(rows: Sequence[ComparedArea]) -> list[Block]:
    columns = (
        *(Column(title, whole=True) for title in ("design", "model", "against", "of")),
        *(Column(title, True) for title in ("first", "second", "change, %", "at most, %")),
    )
    table = [
        Row(
            (r.design, r.model, r.against, r.of, r.first, r.second, round(r.percent, 2), r.at_most_percent),
            failed=r.percent > r.at_most_percent,
        )
        for r in rows
    ]
    return [Block((Table(columns, tuple(table)),))]


KIND = Kind(
    settings=AreaCheck,
    about="designs take of an FPGA what is recorded, and no more than is stated against another design",
    run=run,
    data=(MeasuredArea, ComparedArea),
    report=(
        Section(
            "Areas",
            _areas,
            _write_areas,
            "Counted by Yosys' synthesis with the models' parameters and ROM contents; nothing is placed or routed.",
            topic=Topic.SPEED,
        ),
        Section("Areas against others", _changes, _write_changes, topic=Topic.SPEED),
    ),
)
