"""A kind of check: its settings, how it runs, the data it leaves, and its parts of the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fxsim.signoff.context import Context, Outcome
from fxsim.signoff.plan import Check
from fxsim.signoff.record import CheckRecord, Data
from fxsim.signoff.report.elements import Block

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

S = TypeVar("S", bound=Check)
R = TypeVar("R")


@dataclass(frozen=True)
class Nothing:
    """The reason why a kind has no data, or no parts of the report, in their place."""

    because: str


class Topic(IntEnum):
    """The place that a section or picture has in the report: topics follow one another in this order."""

    PROOF = 1
    COVERAGE = 2
    MUTATION = 3
    AGREEMENT = 4
    CYCLES = 5
    SPEED = 6
    VALUES = 7
    OTHER = 8
    WAIVERS = 9


@dataclass(frozen=True, eq=False)
class Picture(Generic[R]):
    """A picture of the report: `take` gives a check's rows for it, `draw` draws all checks' rows into one.

    Kinds that list the same picture share it. Without rows there is no picture.
    """

    title: str
    caption: str
    take: Callable[[CheckRecord], Iterable[R]]
    draw: Callable[[Sequence[R]], Canvas]
    topic: Topic = Topic.OTHER


@dataclass(frozen=True, eq=False)
class Section(Generic[R]):
    """A section of tables in the report, with a note below; otherwise as `Picture`."""

    title: str
    take: Callable[[CheckRecord], Iterable[R]]
    write: Callable[[Sequence[R]], Sequence[Block]]
    note: str = ""
    topic: Topic = Topic.OTHER


@dataclass(frozen=True, eq=False)
class Tile:
    """A sum over all checks of the kinds that list it, at the top of the report."""

    label: str
    count: Callable[[CheckRecord], int]


@dataclass(frozen=True, eq=False)
class Gap:
    """Sentences about what a check does not cover though it ran: they stand at the top of the report."""

    take: Callable[[CheckRecord], Iterable[str]]


@dataclass(frozen=True, eq=False)
class Yardstick:
    """Figures by which runs are compared: `exact` ones are the same on any machine, as cycles are; `rates` are not.

    Of both, each figure has a name that says all that it depends on. More of an exact one is worse; of a rate, better.
    """

    exact: Callable[[CheckRecord], Mapping[str, int]]
    rates: Callable[[CheckRecord], Mapping[str, float]]


Part = Picture[Any] | Section[Any] | Tile | Gap | Yardstick
"""A part of the report that a kind brings."""


@dataclass(frozen=True)
class Kind(Generic[S]):
    """A kind of check. The tag of `settings` is its name.

    `about`: what passing means, in a line. `run` carries a check out, given the run's context and the check's seed.
    `alone`: it measures time, so that no other check may run beside it. `seeded`: another seed is another check,
    whatever the settings say.
    """

    settings: type[S]
    about: str
    run: Callable[[S, Context, int], Outcome]
    data: tuple[type[Data], ...] | Nothing
    report: tuple[Part, ...] | Nothing
    alone: bool = False
    seeded: bool = False

    @property
    def name(self) -> str:
        """The word that a plan's `kind` has for it."""
        return str(self.settings.__struct_config__.tag)

    @property
    def rows(self) -> tuple[type[Data], ...]:
        """Every kind of data that the check may leave."""
        return () if isinstance(self.data, Nothing) else self.data

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every part of the report that the kind has."""
        return () if isinstance(self.report, Nothing) else self.report
