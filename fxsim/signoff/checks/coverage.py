"""Kind `coverage`: which points of a model's arithmetic stimuli reach, which nothing can, and which are open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

from msgspec import Meta, field

from fxsim.code_coverage.waivers import REASON_EXPECTED, REASON_LEAST, fits, gives_reason
from fxsim.cosim import CosimRequest
from fxsim.coverage import by_family, by_node, close, cover_images, merge, missing_moments, total
from fxsim.coverage.again import check_again
from fxsim.coverage.holes import list_holes
from fxsim.coverage.points import FAMILIES
from fxsim.coverage.record import Coverage, Figures
from fxsim.coverage.rtl import aim, cover_rtl
from fxsim.devices import DEVICES
from fxsim.signoff.context import Context, Outcome, summarise
from fxsim.signoff.kind import Gap, Kind, Picture, Section, Topic
from fxsim.signoff.plan import Check, Name, Names, Texts
from fxsim.signoff.record import CheckRecord, Data, Details, Figure
from fxsim.signoff.report.elements import Block, Column, Row, Table, format_percent
from fxsim.signoff.report.style import ACCENT, FAILED, SECOND, SKIPPED, new_canvas, tick_names
from fxsim.signoff.simulation import Setup, note_sources

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from fxsim.graph import Model

_HOLES = 40


class CoverageCheck(Check, frozen=True, tag="coverage", kw_only=True):
    """The points of a model's arithmetic that stimuli reach are as many as is demanded.

    `directed`: each other point gets a stimulus that is solved for, or a proof that nothing reaches it, which is made
    again. `closed`: no point may be open. `at_least`: by family of points, the least share that is covered or proved
    unreachable, above 0 and up to 1.

    `accelerators`: in each of these, simulated on the first stimulus under each of `stalls` and once with resets and
    stalls aimed at, every moment that it counts must come, but for those that `never` names (* is anything), each with
    the reason. What is aimed has always the same seed; in the patterns `{seed}` is the check's own.
    """

    model: Name
    stimuli: Names
    directed: bool = True
    closed: bool = False
    at_least: dict[str, Annotated[float, Meta(gt=0, le=1)]] = field(default_factory=dict)
    accelerators: tuple[Name, ...] = ()
    stalls: Texts = ("none",)
    never: dict[str, Annotated[str, Meta(min_length=REASON_LEAST, max_length=2000)]] = field(default_factory=dict)

    @property
    def setups(self) -> tuple[Setup, ...]:
        """The accelerators whose moments are counted."""
        return tuple(map(Setup, self.accelerators))

    def problems(self) -> Iterator[str]:
        """Something must be demanded, of families that there are."""
        for family in self.at_least:
            if family not in FAMILIES:
                yield f"at_least names the family '{family}', expected some of: {', '.join(FAMILIES)}"
        if not self.closed and not self.at_least and not self.accelerators:
            yield "demands nothing, expected closed = true, at_least or accelerators"
        if self.closed and not self.directed:
            yield "is to be closed without directed stimuli, expected directed = true"
        for name in self.accelerators:
            if name not in DEVICES or "aim" not in DEVICES[name].stalls:
                aimed = (device for device in DEVICES if "aim" in DEVICES[device].stalls)
                yield f"names accelerator '{name}', expected of: {', '.join(aimed)}"
        if self.never and not self.accelerators:
            yield "names moments that never come, of no accelerator"
        for name, reason in self.never.items():
            if not gives_reason(reason):
                yield f"never says of '{name}' {reason!r}, which is no reason, {REASON_EXPECTED}"


class NodePointsRow(Data, frozen=True):
    """The points of one node, each covered, proved unreachable or open; `directed`: covered by its own stimuli only."""

    FIELD = "coverage_nodes"

    model: str
    node: str
    points: int
    covered: int
    directed: int
    unreachable: int
    open: int


class OpenPoints(Data, frozen=True):
    """The open points of one group of a node: how many, and the first of them in words."""

    FIELD = "coverage_open"

    model: str
    node: str
    group: str
    points: int
    open: int
    examples: tuple[str, ...]


class MomentsRow(Data, frozen=True):
    """The moments of an accelerator: how many came, which never did, and which of these are named, with the reason."""

    FIELD = "coverage_moments"

    model: str
    accelerator: str
    moments: int
    came: int
    never: tuple[str, ...]
    named: dict[str, str]


def run(check: CoverageCheck, context: Context, seed: int) -> Outcome:
    """Coverage of a model by stimuli, its holes closed where that is asked for, against what is demanded."""
    model = context.model(check.model)
    summaries, problems, numbers, rows = [], [], [], list[Data]()
    if check.closed or check.at_least:
        counted = _arithmetic(check, context, seed, model)
        summaries.append(counted.summary)
        problems += counted.problems
        numbers += counted.numbers
        rows += counted.rows
    moments, wrong = _moments(check, context, seed, model)
    problems += wrong
    numbers += [Figure(f"{row.accelerator}: moments that came", row.came, f"of {row.moments:,}") for row in moments]
    summaries += [f"{row.accelerator}: {row.came:,} of {row.moments:,} moments came" for row in moments]
    return summarise("; ".join(summaries), problems, Details(numbers, [*rows, *moments]))


class _Counted(NamedTuple):
    """The points of the arithmetic in a check: in words, in figures, by node, and what is wrong."""

    summary: str
    numbers: list[Figure]
    rows: list[Data]
    problems: list[str]


def _arithmetic(check: CoverageCheck, context: Context, seed: int, model: Model) -> _Counted:
    """The points that the stimuli reach, their holes closed where that is asked for."""
    found: Coverage | None = None
    for name in check.stimuli:
        own = cover_images(model, context.stimulus(name, model, seed), name)
        found = own if found is None else merge(found, own)
    assert found is not None  # a plan names at least one
    problems = []
    proofs = 0
    if check.directed:
        found, _ = close(model, found, progress=context.progress)
        checked = check_again(found, model)
        proofs = sum(checked.proofs.values())
        problems += [f"a proof does not hold: {line}" for line in checked.wrong]
        if checked.left_out:
            problems.append(f"{checked.left_out} proofs were not made again")
    holes = list_holes(found, model)
    figures = total(found)
    if check.closed and figures.open:
        problems.append(f"{figures.open:,} points are open, the first: {holes[0].text}")
    families = by_family(found)
    for family, least in check.at_least.items():
        own_figures = families.get(family)
        share = None if own_figures is None else _share(own_figures)
        if share is None or share < least:
            got = "the model has no such points" if share is None else f"{share:.2%}"
            problems.append(f"{family}: {got}, expected at least {least:.2%} covered or proved unreachable")
    rows = [
        NodePointsRow(check.model, node, f.points, f.covered, f.directed, f.unreachable, f.open)
        for node, f in by_node(found).items()
    ]
    listed = [
        OpenPoints(check.model, hole.node, hole.group, hole.points, hole.open, hole.examples) for hole in holes[:_HOLES]
    ]
    numbers = [
        Figure("points", figures.points),
        Figure("covered", figures.covered),
        Figure("of these by stimuli of nodes alone", figures.directed),
        Figure("proved unreachable", figures.unreachable),
        Figure("proofs made again", proofs),
        Figure("open", figures.open),
        *(Figure(f"{family}: open", f.open, f"of {f.points:,}") for family, f in families.items()),
    ]
    summary = (
        f"{figures.points:,} points: {figures.covered:,} covered ({figures.directed:,} by stimuli of nodes alone), "
        f"{figures.unreachable:,} proved unreachable, {figures.open:,} open"
    )
    return _Counted(summary, numbers, [*rows, *listed], problems)


def _moments(check: CoverageCheck, context: Context, seed: int, model: Model) -> tuple[list[MomentsRow], list[str]]:
    """The moments of each accelerator over all runs, and what is wrong with them."""
    rows, problems = [], []
    x = context.stimulus(check.stimuli[0], model, seed)
    used = set()
    note_sources(check, model, context)
    for accelerator in check.accelerators:
        found: Coverage | None = None
        for pattern in check.stalls:
            stall = pattern.replace("{seed}", str(seed))
            context.status(f"{accelerator}, stalls {stall}")
            request = CosimRequest(model, x, accelerator, stall=stall, power_on_seeds=(1,))
            own, _ = cover_rtl(request, check.stimuli[0], context.progress)
            found = own if found is None else merge(found, own)
        assert found is not None  # a check names at least one pattern
        context.status(f"{accelerator}, aimed")
        request = CosimRequest(model, x, accelerator, power_on_seeds=(1,))
        found = merge(found, aim(request, progress=context.progress))
        never = missing_moments(found)[accelerator]
        named = {m: reason for m in never for name, reason in check.never.items() if fits(name, m)}
        used |= {name for name in check.never if any(fits(name, m) for m in never)}
        if open_ := [m for m in never if m not in named]:
            problems.append(f"{accelerator}: {len(open_)} moments never came, the first: {', '.join(open_[:3])}")
        there = len(found.moments[accelerator])
        rows.append(MomentsRow(check.model, accelerator, there, there - len(never), never, named))
    note_sources(check, model, context)
    problems += [f"never names '{name}', of which every moment came" for name in check.never if name not in used]
    return rows, problems


def _share(figures: Figures) -> float:
    """The share of points that are covered or proved unreachable."""
    return (figures.covered + figures.unreachable) / figures.points


# --- The report ------------------------------------------------------------------------------------------------------


def _table(rows: Sequence[NodePointsRow]) -> list[Block]:
    titles = ("node", "points", "covered", "by its own stimuli", "unreachable", "open", "covered or proved")
    columns = tuple(Column(title, number=at > 0) for at, title in enumerate(titles))
    blocks = []
    for model in dict.fromkeys(row.model for row in rows):
        own = [row for row in rows if row.model == model]
        cells = tuple(
            Row(
                (r.node, r.points, r.covered, r.directed, r.unreachable, r.open, format_percent(1 - r.open / r.points)),
                failed=r.open > 0,
            )
            for r in own
        )
        blocks.append(Block((Table(columns, cells),), heading=model, folded=True))
    return blocks


def _not_covered(rows: Sequence[OpenPoints]) -> list[Block]:
    columns = (
        Column("model"), Column("node"), Column("group"), Column("points", number=True), Column("open", number=True),
        Column("the first"),
    )  # fmt: skip
    cells = tuple(Row((r.model, r.node, r.group, r.points, r.open, "; ".join(r.examples))) for r in rows)
    return [Block((Table(columns, cells),))]


def _write_moments(rows: Sequence[MomentsRow]) -> list[Block]:
    columns = (Column("moment that never came", whole=True), Column("why"))
    blocks = []
    for row in rows:
        cells = tuple(Row((m, row.named.get(m, "")), failed=m not in row.named) for m in row.never)
        heading = f"{row.model} in {row.accelerator}: {row.came:,} of {row.moments:,} came"
        blocks.append(Block((Table(columns, cells),), heading=heading, folded=True))
    return blocks


def _bars(rows: Sequence[NodePointsRow]) -> Canvas:
    canvas = new_canvas(0.8 + 0.22 * len(rows))
    axes = canvas.add_subplot()
    left = [0.0] * len(rows)
    for label, colour, counts in (
        ("covered in whole images", ACCENT, [r.covered - r.directed for r in rows]),
        ("covered by stimuli of the node alone", SECOND, [r.directed for r in rows]),
        ("proved unreachable", SKIPPED, [r.unreachable for r in rows]),
        ("open", FAILED, [r.open for r in rows]),
    ):
        widths = [count / row.points for count, row in zip(counts, rows, strict=True)]
        axes.barh(range(len(rows)), widths, left=left, height=0.7, color=colour, label=label)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(rows)), tick_names(f"{row.model} {row.node}" for row in rows))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, borderaxespad=0)
    return canvas


def _gaps(check: CheckRecord) -> Iterator[str]:
    for row in check.details.of(MomentsRow):
        if left := sum(moment not in row.named for moment in row.never):
            yield f"{left:,} moments of '{row.accelerator}' with {row.model} never came, and nobody said why"
    rows = check.details.of(NodePointsRow)
    open_points = sum(row.open for row in rows)
    if open_points:
        yield f"{open_points:,} points of the arithmetic of {rows[0].model} are neither covered nor proved unreachable"


KIND = Kind(
    settings=CoverageCheck,
    about="of all points of a model's arithmetic as many are reached, or proved unreachable, as is demanded",
    run=run,
    data=(NodePointsRow, OpenPoints, MomentsRow),
    report=(
        Picture(
            "Points of the arithmetic",
            "By node, the shares of points that are covered, proved unreachable and open.",
            lambda check: check.details.of(NodePointsRow),
            _bars,
            topic=Topic.COVERAGE,
        ),
        Section(
            "Coverage of the arithmetic",
            lambda check: check.details.of(NodePointsRow),
            _table,
            "docs/coverage.md says what points are.",
            topic=Topic.COVERAGE,
        ),
        Section(
            "Points that are not covered",
            lambda check: check.details.of(OpenPoints),
            _not_covered,
            "Neither reached nor proved unreachable: the first groups of each check.",
            topic=Topic.COVERAGE,
        ),
        Section(
            "Moments of accelerators",
            lambda check: check.details.of(MomentsRow),
            _write_moments,
            "Resets, stalls and other disturbances by phase of an image or step of a job, and streams that were held.",
            topic=Topic.COVERAGE,
        ),
        Gap(_gaps),
    ),
)
