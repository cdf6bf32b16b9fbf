"""Results of comparisons: counts of each tap, its first difference, and the verdict on all of them together."""

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct

from fxsim.compare.difference import Difference, sentence
from fxsim.errors import ComparisonError


class Verdict(StrEnum):
    """The outcome of a comparison. `equal` is the only one that passes."""

    EQUAL = "equal"
    """Every value that was asked for was compared, and none differed."""
    DIFFERENT = "different"
    """At least one value differed."""
    INCOMPLETE = "incomplete"
    """No value differed, but not as many were compared as were asked for, or none were asked for."""


class TapComparison(Struct, frozen=True, kw_only=True):
    """One tap of two sources: how many values a full comparison has, how many were compared, and how many differed.

    `first`: the difference of the lowest image, there the first in the order in which values were compared. `examples`:
    the first few. `largest`: the largest |difference|, `distance`: the sum of all of them; null where only equality was
    looked at. `repeats`: images may have been computed again, as after a reset, so that more than `values` is right.

    Counts that contradict each other are a ComparisonError: they may come from a simulation.
    """

    tap: str
    values: int
    compared: int
    differ: int
    first: Difference | None
    examples: tuple[Difference, ...] = ()
    largest: int | float | None = None
    distance: int | float | None = None
    repeats: bool = False

    def __post_init__(self) -> None:
        """Refuse counts that cannot be true together."""
        if self.values < 0 or not 0 <= self.differ <= self.compared:
            raise ComparisonError(
                f"tap '{self.tap}': of {self.values:,} values {self.compared:,} are said to be compared and "
                f"{self.differ:,} to differ, expected counts that can be true"
            )
        if (self.first is None) != (self.differ == 0):
            named = "none is" if self.first is None else "one is"
            raise ComparisonError(f"tap '{self.tap}': {self.differ:,} values are said to differ, but {named} named")
        if len(self.examples) > self.differ:
            raise ComparisonError(f"tap '{self.tap}': {len(self.examples)} differences are named of {self.differ:,}")
        if self.largest is not None and (self.largest > 0) != (self.differ > 0):
            raise ComparisonError(
                f"tap '{self.tap}': {self.differ:,} values are said to differ, by {self.largest} at most"
            )

    @property
    def verdict(self) -> Verdict:
        """The tap's own verdict. Too many values compared are as little a full comparison as too few."""
        if self.differ:
            return Verdict.DIFFERENT
        full = self.compared >= self.values if self.repeats else self.compared == self.values
        return Verdict.EQUAL if full and self.values > 0 else Verdict.INCOMPLETE

    @property
    def equal(self) -> bool:
        """Whether every value was compared and none differed."""
        return self.verdict is Verdict.EQUAL

    @property
    def mean(self) -> float | None:
        """The mean |difference| over all values compared; None where distances were not looked at or nothing was."""
        return None if self.distance is None or self.compared == 0 else self.distance / self.compared


class Comparison(Struct, frozen=True, kw_only=True):
    """Two sources, the expected one and the one that was found, over taps in the order of the graph."""

    expected: str
    found: str
    images: int
    taps: tuple[TapComparison, ...]

    @property
    def verdict(self) -> Verdict:
        """`equal` only where there are taps and every one of them is."""
        verdicts = {tap.verdict for tap in self.taps}
        if Verdict.DIFFERENT in verdicts:
            return Verdict.DIFFERENT
        return Verdict.EQUAL if verdicts == {Verdict.EQUAL} else Verdict.INCOMPLETE

    @property
    def equal(self) -> bool:
        """Whether every value of every tap was compared and none differed."""
        return self.verdict is Verdict.EQUAL

    @property
    def compared(self) -> int:
        """Values compared at all taps."""
        return sum(tap.compared for tap in self.taps)

    @property
    def values(self) -> int:
        """Values that a full comparison has at all taps."""
        return sum(tap.values for tap in self.taps)

    @property
    def differ(self) -> int:
        """Values that differed at all taps."""
        return sum(tap.differ for tap in self.taps)

    @property
    def largest(self) -> int | float:
        """The largest |difference| at any tap, of those where distances were looked at."""
        return max((tap.largest for tap in self.taps if tap.largest is not None), default=0)

    @property
    def first(self) -> Difference | None:
        """The first difference in the order of data; None where nothing differed."""
        return first_difference(self.taps)

    @property
    def reason(self) -> str | None:
        """The reason for any verdict but `equal`: the first difference, or what was not compared; None if it is."""
        if self.first is not None:
            return sentence(self.first)
        tap = next((tap for tap in self.taps if tap.verdict is Verdict.INCOMPLETE), None)
        if tap is not None:
            expected = f"expected {'at least ' if tap.repeats else ''}{max(tap.values, 1):,}"
            return f"tap {tap.tap}: {tap.compared:,} values were compared, {expected}"
        return None if self.taps else "no tap was compared"


def first_difference(taps: Iterable[TapComparison]) -> Difference | None:
    """The first difference in the order of data: of the lowest image that has one, the first tap in graph order.

    `taps` come in the order of the graph: later ones of the same image only pass on what the first of them has.
    """
    firsts = (tap.first for tap in taps if tap.first is not None)
    return min(firsts, key=lambda difference: difference.image, default=None)  # the first of equals
