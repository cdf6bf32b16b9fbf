"""Kind `cosim`: one simulation of each accelerator for each stall pattern, all taps compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fxsim.cosim import CosimResult
from fxsim.cosim.request import POWER_ON_SEEDS
from fxsim.devices import DEVICES
from fxsim.engines import Engine
from fxsim.graph import Model
from fxsim.signoff.comparison import DIFFERENCES, Comparison, TapFigures
from fxsim.signoff.context import Context, Outcome, first_few
from fxsim.signoff.findings import Finding
from fxsim.signoff.kind import Kind, Picture, Section, Topic
from fxsim.signoff.plan import Images, Names, Texts
from fxsim.signoff.record import CheckRecord, Data, Details, Figure, Record
from fxsim.signoff.report.elements import Block, Cell, Column, Row, Table, Value
from fxsim.signoff.report.style import FAILED, PASSED, new_canvas, shorten, tick_names
from fxsim.signoff.simulation import (
    COMPARED,
    CYCLES,
    SIMULATED,
    SIMULATIONS,
    UNPROBED,
    Lanes,
    PowerOnSeeds,
    RtlCheck,
    Simulation,
    describe,
    failing_taps,
    find_reason,
    keep_failure,
    setup_of,
    simulate,
    take_images,
)
from fxsim.traces.kept import Given

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


class CosimCheck(RtlCheck, frozen=True, tag="cosim", kw_only=True):
    """The RTL of an accelerator gives the model's values at every tap, under each stall pattern.

    Several accelerators are given the same images and patterns, and must each give them. In patterns, `{seed}` is the
    check's own seed. `taps`: those that must be there; by default as many as each accelerator shows.
    `lanes`: images that go through the design side by side, by another simulator than Verilator's.
    `power_on`: seeds of what registers hold at power-on; under all but the first only the first images are run.
    """

    images: Images
    stalls: Texts = ("none",)
    engine: Engine = Engine.NUMBA
    taps: Names | None = None
    power_on: PowerOnSeeds = POWER_ON_SEEDS
    lanes: Lanes = 1

    def problems(self) -> Iterator[str]:
        """As of all such checks; each accelerator must be one that is simulated in lanes, where there are several."""
        yield from super().problems()
        for name in self.accelerators:
            if self.lanes > 1 and name in DEVICES and not DEVICES[name].lanes:
                able = ", ".join(own for own in DEVICES.own if DEVICES[own].lanes)
                yield f"has lanes, in which the accelerator '{name}' is not simulated, expected one of: {able}"


class Way(Record, frozen=True):
    """Values of one accelerator's RTL at a tap, compared with the integer model's, over all stall patterns."""

    accelerator: str
    compared: int
    mismatches: int


class TapAgreement(Record, frozen=True):
    """A tap on the same images in every accelerator. `values`: those that the integer model gives there."""

    tap: str
    values: int
    ways: tuple[Way, ...]


class Agreement(Data, frozen=True):
    """Several accelerators against one integer model, on the same images: with the model, so many ways and one more."""

    FIELD = "agreements"

    model: str
    images: int
    simulations: int
    taps: tuple[TapAgreement, ...]

    @property
    def totals(self) -> tuple[Way, ...]:
        """Each accelerator's values over all taps."""
        ways = zip(*(tap.ways for tap in self.taps), strict=True)
        return tuple(Way(w[0].accelerator, sum(t.compared for t in w), sum(t.mismatches for t in w)) for w in ways)


def run(check: CosimCheck, context: Context, seed: int) -> Outcome:
    """One simulation of each accelerator for each stall pattern, all taps compared."""
    model = context.model(check.model)
    x = take_images(check.images, context.stimulus(check.stimulus, model, seed))
    runs = [(accelerator, pattern) for accelerator in check.accelerators for pattern in check.stalls]
    results, simulations, comparisons, problems = [], [], [], []
    findings: list[Finding] = []
    kept, note = None, ""
    for number, (accelerator, pattern) in enumerate(runs):
        stall = pattern.replace("{seed}", str(seed))
        setup = setup_of(check, accelerator)
        given: list[Given] = []
        result = simulate(
            model,
            x,
            stall,
            context,
            setup,
            check.engine,
            taps=check.taps or "all",
            given=given,
            power_on=check.power_on,
            lanes=check.lanes,
        )
        results.append(result)
        simulations.append(describe(check.model, result, setup))
        taps = tuple(TapFigures(tap, found.compared, found.mismatches) for tap, found in result.streams.taps.items())
        comparisons.append(Comparison(f"{check.name}, {accelerator}, {stall}", True, taps))
        if not result.passed:
            seeded = "" if result.provenance.power_on_seed == check.power_on[0] else _seeded(result)
            problems.append(f"{accelerator}, stall {stall}{seeded}: {find_reason(result)}")
            if len(problems) == 1:
                kept, note = keep_failure(check, result, model, x, context, check.rtl, given)
            findings += failing_taps(result, setup, model, context)
        context.status(f"simulation {number + 1} of {len(runs)} done")
    unprobed = tuple(tap for tap in model.graph.taps if any(tap in s.unprobed for s in simulations))
    values = sum(s.compared for s in simulations)
    wrong = sum(s.mismatches for s in simulations)
    figures: tuple[Figure, ...] = (
        Figure("values compared in the RTL", values),
        Figure("values that differ", wrong),
        Figure("taps", len(model.graph.taps) - len(unprobed)),
        *([Figure("not looked at", ", ".join(unprobed))] if unprobed else []),
        Figure("accelerators", ", ".join(check.accelerators)),
        Figure("stall patterns", len(check.stalls)),
        Figure("images simulated", sum(s.images for s in simulations)),
        Figure("simulated cycles a second", round(sum(s.cycles for s in simulations) / _seconds(simulations))),
        Figure("build", round(sum(s.build_seconds for s in simulations), 1), "s"),
    )
    agreements: tuple[Agreement, ...] = ()
    agreed = ""
    if len(check.accelerators) > 1:
        agreement = _agreement(check, model, len(x), results)
        agreements = (agreement,)
        problems += _missing(agreement)
        each = sum(tap.values for tap in agreement.taps)
        sources = ["integer model", *(f"{DEVICES[name].title} RTL" for name in check.accelerators)]
        ways = f"{_COUNT.get(len(sources), len(sources))} ways"
        figures += (Figure(f"values of the same images, {ways}", each),)
        agreed = f"{ways} ({', '.join(sources)}): "
    summary = (
        f"{agreed}{_taps_in_words(model, unprobed)}, {values:,} values under {len(check.stalls)} stall pattern(s), "
        f"{wrong:,} differ; {simulations[0].images} images each"
    )
    summary += f"; in {check.lanes} lanes of the netlist, images side by side" if check.lanes > 1 else ""
    summary += f"; not looked at: {', '.join(unprobed)}" if unprobed else ""
    details = Details(figures, [*simulations, *comparisons, *agreements, *dict.fromkeys(findings)])
    return Outcome(summary, first_few(problems) + note or None, details, kept)


def _seeded(result: CosimResult) -> str:
    return f", power-on seed {result.provenance.power_on_seed}"


def _taps_in_words(model: Model, unprobed: tuple[str, ...]) -> str:
    count = len(model.graph.taps)
    return f"{count - len(unprobed)} of {count} taps" if unprobed else f"{count} taps"


_COUNT = {3: "three", 4: "four", 5: "five", 6: "six"}


def _agreement(check: CosimCheck, model: Model, images: int, results: list[CosimResult]) -> Agreement:
    """Values that each accelerator gave at each tap of the same images that all of them show, over all simulations."""
    taps = []
    left_out = {tap for result in results for tap in result.streams.unprobed}
    for tap in (tap for tap in check.taps or model.graph.taps if tap not in left_out):
        ways = []
        for accelerator in check.accelerators:
            runs = [result.streams for result in results if result.provenance.accel == accelerator]
            found = [streams.taps[tap] for streams in runs if tap in streams.taps]
            if tap == model.graph.output:
                # A design that shows no tap of that name gives its values at the output.
                found += [streams.output for streams in runs if tap not in streams.taps]
            ways.append(Way(accelerator, sum(t.compared for t in found), sum(t.mismatches for t in found)))
        taps.append(TapAgreement(tap, images * math.prod(model.graph.shapes[tap]), tuple(ways)))
    return Agreement(check.model, images, len(check.stalls), tuple(taps))


def _missing(agreement: Agreement) -> list[str]:
    """Taps of which an accelerator gave fewer values than the model has: no agreement, though none differ."""
    return [
        f"{way.accelerator} gave {way.compared:,} values at {tap.tap}, expected {tap.values * agreement.simulations:,}"
        for tap in agreement.taps
        for way in tap.ways
        if way.compared < tap.values * agreement.simulations
    ]


def _seconds(simulations: list[Simulation]) -> float:
    return sum(s.cycles / max(s.cycles_per_second, 1) for s in simulations) or 1.0


def _tap_order(comparisons: Sequence[Comparison]) -> list[str]:
    """All taps of several models in the order of the network: a ReLU model's `relu` beside a PSA model's `psa_2`."""
    order: list[str] = []
    for comparison in sorted(comparisons, key=lambda c: -len(c.taps)):
        position = 0
        for row in comparison.taps:
            if row.tap in order:
                position = order.index(row.tap) + 1
            else:
                order.insert(position, row.tap)
                position += 1
    return order


def _taps(comparisons: Sequence[Comparison]) -> Canvas:
    from matplotlib.patches import Patch

    order = _tap_order(comparisons)
    canvas = new_canvas(1.3 + 0.2 * len(comparisons))
    axes = canvas.add_subplot()
    for row, comparison in enumerate(comparisons):
        wrong = {order.index(tap.tap): bool(tap.mismatches) for tap in comparison.taps}
        for colour, is_wrong in ((PASSED, False), (FAILED, True)):
            columns = [column for column, found in wrong.items() if found is is_wrong]
            axes.plot(columns, [row] * len(columns), linestyle="", marker="s", markersize=8.4, color=colour)
        for column in (column for column, found in wrong.items() if found):
            axes.text(column, row, "!", ha="center", va="center", fontsize=8, fontweight="bold")
    axes.set_xlim(-0.6, len(order) - 0.4)
    axes.set_ylim(len(comparisons) - 0.4, -0.6)
    axes.set_yticks(range(len(comparisons)), [shorten(comparison.title) for comparison in comparisons], fontsize=7.5)
    axes.set_xticks(range(len(order)), tick_names(order), rotation=90, fontsize=6.5)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    handles = [Patch(facecolor=PASSED, label="all values equal"), Patch(facecolor=FAILED, label="values differ (!)")]
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0)
    return canvas


def _write(agreements: Sequence[tuple[str, Agreement]]) -> list[Block]:
    """Write a folded table an agreement, a row a tap."""
    blocks = []
    for name, agreement in agreements:
        each = sum(tap.values for tap in agreement.taps)
        heading = (
            f"{name}: {agreement.model}, {agreement.images:,} images, {agreement.simulations:,} stall pattern(s), "
            f"{len(agreement.taps)} taps, {each:,} values of the model"
        )
        columns = [Column("tap"), Column("values of the integer model", number=True)]
        for way in agreement.totals:
            heading += f"; {way.accelerator}: {way.compared:,} compared, {way.mismatches:,} differ"
            columns += [Column(f"{way.accelerator}: compared", number=True), Column("differ", number=True)]
        rows = []
        for tap in agreement.taps:
            cells: list[Value | Cell] = [tap.tap, tap.values]
            for way in tap.ways:
                cells += [way.compared, way.mismatches]
            rows.append(Row(tuple(cells)))
        blocks.append(Block((Table(tuple(columns), tuple(rows)),), heading=heading, folded=True))
    return blocks


def _named(check: CheckRecord) -> list[tuple[str, Agreement]]:
    return [(check.name, agreement) for agreement in check.details.of(Agreement)]


KIND = Kind(
    settings=CosimCheck,
    about="the RTL equals the model at every tap under each stall pattern",
    run=run,
    data=(Simulation, Comparison, Agreement, Finding),
    report=(
        COMPARED,
        SIMULATED,
        Picture(
            "RTL against model, tap by tap",
            "Each row is a simulation of the RTL, each column a tap. Where the model has no such tap the row is blank.",
            lambda check: check.details.of(Comparison),
            _taps,
            topic=Topic.AGREEMENT,
        ),
        Section(
            "Several accelerators and the integer model",
            _named,
            _write,
            "All are compared with the integer model value by value, on the same images, over all stall patterns "
            "together.",
            topic=Topic.AGREEMENT,
        ),
        SIMULATIONS,
        UNPROBED,
        CYCLES,
        DIFFERENCES,
    ),
)
