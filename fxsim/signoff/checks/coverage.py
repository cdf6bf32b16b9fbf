"""Kind `coverage`: which points of a model's arithmetic stimuli reach, which nothing can, and which are open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, field

from fxsim.coverage import by_family, by_node, close, cover_images, merge, total
from fxsim.coverage.again import check_again
from fxsim.coverage.holes import list_holes
from fxsim.coverage.points import FAMILIES
from fxsim.coverage.record import Coverage, Figures
from fxsim.signoff.context import Context, Outcome, summarise
from fxsim.signoff.kind import Gap, Kind, Picture, Section, Topic
from fxsim.signoff.plan import Check, Name, Names
from fxsim.signoff.record import CheckRecord, Data, Details, Figure
from fxsim.signoff.report.elements import Block, Column, Row, Table, format_percent
from fxsim.signoff.report.style import ACCENT, FAILED, SECOND, SKIPPED, new_canvas, tick_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

_HOLES = 40


class CoverageCheck(Check, frozen=True, tag="coverage", kw_only=True):
    """The points of a model's arithmetic that stimuli reach are as many as is demanded.

    `directed`: each other point gets a stimulus that is solved for, or a proof that nothing reaches it, which is made
    again. `closed`: no point may be open. `at_least`: by family of points, the least share that is covered or proved
    unreachable, above 0 and up to 1.
    """

    model: Name
    stimuli: Names
    directed: bool = True
    closed: bool = False
    at_least: dict[str, Annotated[float, Meta(gt=0, le=1)]] = field(default_factory=dict)

    def problems(self) -> Iterator[str]:
        """Something must be demanded, of families that there are."""
        for family in self.at_least:
            if family not in FAMILIES:
                yield f"at_least names the family '{family}', expected some of: {', '.join(FAMILIES)}"
        if not self.closed and not self.at_least:
            yield "demands nothing, expected closed = true or at_least"
        if self.closed and not self.directed:
            yield "is to be closed without directed stimuli, expected directed = true"


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


def run(check: CoverageCheck, context: Context, seed: int) -> Outcome:
    """Coverage of a model by stimuli, its holes closed where that is asked for, against what is demanded."""
    model = context.model(check.model)
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
    return summarise(summary, problems, Details(numbers, [*rows, *listed]))


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
    rows = check.details.of(NodePointsRow)
    open_points = sum(row.open for row in rows)
    if open_points:
        yield f"{open_points:,} points of the arithmetic of {rows[0].model} are neither covered nor proved unreachable"


KIND = Kind(
    settings=CoverageCheck,
    about="of all points of a model's arithmetic as many are reached, or proved unreachable, as is demanded",
    run=run,
    data=(NodePointsRow, OpenPoints),
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
            "docs/coverage.md says what points are. Stalls, gaps, back-pressure and resets by phase are not measured.",
            topic=Topic.COVERAGE,
        ),
        Section(
            "Points that are not covered",
            lambda check: check.details.of(OpenPoints),
            _not_covered,
            "Neither reached nor proved unreachable: the first groups of each check.",
            topic=Topic.COVERAGE,
        ),
        Gap(_gaps),
    ),
)
