"""Comparisons of taps, as checks demand or report them: their data, how they are made, their section of the report."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fxsim.contract.arithmetic import Int8
from fxsim.signoff.kind import Section
from fxsim.signoff.record import CheckRecord, Data, Record
from fxsim.signoff.report.elements import Block, Column, Row, Table

_CHUNK = 64
"""Images computed at once where all taps are kept."""


class TapFigures(Record, frozen=True):
    """Comparison of one tap: how many values, how many differed, by how much at most and on average (in int8 steps).

    `bound`: the greatest distance that was demanded, null where none was.
    """

    tap: str
    compared: int
    mismatches: int
    max_distance: int | None = None
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
        """What was demanded of it, in words."""
        if self.exact:
            return "equality is demanded"
        if all(row.bound is not None for row in self.taps):
            return "a greatest distance is demanded"
        return "reported, equality is not demanded"


def compare_taps(
    title: str, expected: Mapping[str, Int8], found: Mapping[str, Int8], exact: bool
) -> tuple[Comparison, str | None]:
    """Every tap of `expected` with the same of `found`, and the first difference in words, or None."""
    first = None
    rows = []
    for tap, want in expected.items():
        distance = np.abs(want.astype(np.int16) - found[tap].astype(np.int16))
        different = int(np.count_nonzero(distance))
        if different and first is None:
            first = f"{title}: {describe_difference(tap, want, found[tap])}"
        rows.append(TapFigures(tap, want.size, different, int(distance.max()), round(float(distance.mean()), 4)))
    return Comparison(title, exact, tuple(rows)), first


def compare_in_parts(
    title: str, x: Int8, expected: Callable[[Int8], dict[str, Int8]], found: Callable[[Int8], dict[str, Int8]]
) -> tuple[Comparison, str | None]:
    """All taps of images as two functions compute them, part by part, and the first difference in words, or None."""
    first = None
    total: dict[str, TapFigures] = {}
    for start in range(0, len(x), _CHUNK):
        part = x[start : start + _CHUNK]
        comparison, difference = compare_taps(title, expected(part), found(part), exact=True)
        if difference and first is None:
            first = f"{difference} (images from {start} on)" if start else difference
        for row in comparison.taps:
            total[row.tap] = _sum(total.get(row.tap), row)
    return Comparison(title, True, tuple(total.values())), first


def _sum(a: TapFigures | None, b: TapFigures) -> TapFigures:
    if a is None:
        return b
    n = a.compared + b.compared
    mean = ((a.mean_distance or 0) * a.compared + (b.mean_distance or 0) * b.compared) / n
    most = max(a.max_distance or 0, b.max_distance or 0)
    return TapFigures(a.tap, n, a.mismatches + b.mismatches, most, round(mean, 4))


def describe_difference(tap: str, expected: Int8, found: Int8) -> str:
    """The first place where two arrays of a tap differ, int8 [image, token, channel] or [image, channel], in words."""
    place = tuple(int(i) for i in np.argwhere(expected != found)[0])
    names = ("image", "token", "channel") if len(place) == 3 else ("image", "channel")
    where = ", ".join(f"{name} {i}" for name, i in zip(names, place, strict=True))
    return f"tap {tap}, {where}: expected {expected[place]}, found {found[place]}"


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


DIFFERENCES = Section("Comparisons with differences", _different, _write)
"""Every comparison in which something differs, of all kinds of check."""
