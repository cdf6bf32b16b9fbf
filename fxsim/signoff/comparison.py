"""Comparisons of taps, as checks demand or report them: their data, how they are made, their section of the report."""

from collections.abc import Iterable, Sequence

from fxsim.compare import Source, TapComparison, TapShape, compare
from fxsim.signoff.kind import Section, Topic
from fxsim.signoff.record import CheckRecord, Data, Record
from fxsim.signoff.report.elements import Block, Column, Row, Table


class TapFigures(Record, frozen=True):
    """Comparison of one tap: how many values, how many differed, by how much at most and on average (in steps).

    `bound`: the greatest distance that was demanded, null where none was.
    """

    tap: str
    compared: int
    mismatches: int
    max_distance: int | float | None = None
    mean_distance: float | None = None
    bound: int | None = None


class Comparison(Data, frozen=True):
    """One thing compared with another, tap by tap. `exact`: equality was demanded; otherwise distance is reported."""

    FIELD = "comparisons"

    title: str
    exact: bool
    taps: tuple[TapFigures, ...]

    @property
    def demand(self) -> str:
        """The demand on the comparison, in words."""
        if self.exact:
            return "equality is demanded"
        if all(row.bound is not None for row in self.taps):
            return "a greatest distance is demanded"
        return "reported, equality is not demanded"


def compare_sources(
    title: str, expected: Source, found: Source, taps: Iterable[TapShape], exact: bool = True
) -> tuple[Comparison, str | None]:
    """Two sources at taps, and why they are not equal, in words; None where every value was compared and is."""
    comparison = compare(expected, found, taps)
    rows = tuple(figures_of(tap) for tap in comparison.taps)
    return Comparison(title, exact, rows), None if comparison.reason is None else f"{title}: {comparison.reason}"


def figures_of(tap: TapComparison) -> TapFigures:
    """The figures of a tap that was compared."""
    mean = None if tap.mean is None else round(tap.mean, 4)
    return TapFigures(tap.tap, tap.compared, tap.differ, tap.largest, mean)


def only_reported(check: CheckRecord) -> list[Comparison]:
    """A check's comparisons whose distance is reported, equality not demanded."""
    return [comparison for comparison in check.details.of(Comparison) if not comparison.exact]


def _different(check: CheckRecord) -> list[tuple[str, Comparison]]:
    """Comparisons in which something differs, with the check's name.

    Equality everywhere is said in the table of checks; tables of zeros would bury differences.
    """
    return [(check.name, c) for c in check.details.of(Comparison) if any(row.mismatches for row in c.taps)]


def _write(comparisons: Sequence[tuple[str, Comparison]]) -> list[Block]:
    columns = (
        Column("tap"), Column("compared", number=True), Column("differ", number=True),
        Column("greatest distance", number=True), Column("at most", number=True), Column("mean distance", number=True),
    )  # fmt: skip
    return [
        Block(
            (
                Table(
                    columns,
                    tuple(
                        Row((row.tap, row.compared, row.mismatches, row.max_distance, row.bound, row.mean_distance))
                        for row in comparison.taps
                    ),
                ),
            ),
            heading=comparison.title,
            lead=f"{name}: {comparison.demand}",
            alarming=comparison.exact,
        )
        for name, comparison in comparisons
    ]


DIFFERENCES = Section("Comparisons with differences", _different, _write, topic=Topic.AGREEMENT)
"""Every comparison in which something differs, of all kinds of check."""
