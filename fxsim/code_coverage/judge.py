"""Judges coverage: figures of each module and kind of point, with waivers, against a goal."""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from fxsim.code_coverage.waivers import Fault, Waiver, apply
from fxsim.simulate.code_coverage import Coverage, Point, PointKind
from fxsim.simulate.sources import Sources

_BLOCK = re.compile(rb"\b(?:always(?:_ff|_comb|_latch)?|endmodule|module|assign|initial)\b")
_MODULE = re.compile(rb"^[ \t]*(?:macro)?module\s+(?:automatic\s+|static\s+)?([A-Za-z_][\w$]*)", re.MULTILINE)


class Share(NamedTuple):
    """Points of one kind: how many there are, how many were run, how many of the others are waived."""

    points: int
    run: int
    waived: int

    @property
    def percent(self) -> float:
        """Percent of the points that were run; 100 where there are none."""
        return 100.0 if not self.points else 100 * self.run / self.points

    def reaches(self, goal: int) -> bool:
        """Whether what was run or waived is at least `goal` percent: in integers, so that 100 means all."""
        return 100 * (self.run + self.waived) >= goal * self.points


class ModuleFigures(NamedTuple):
    """A module, over all its instances and parameters: its shares by kind."""

    module: str
    file: str
    shares: dict[PointKind, Share]


@dataclass(frozen=True)
class Judged:
    """Coverage, what of it is waived and what is wrong with the waivers."""

    coverage: Coverage
    sources: Sources
    waived: dict[Point, Waiver]
    faults: tuple[Fault, ...]

    def missing(self, kinds: Iterable[PointKind] = tuple(PointKind)) -> tuple[Point, ...]:
        """The points of these kinds that were neither run nor are waived, in order of files and lines."""
        wanted = set(kinds)
        return tuple(p for p, n in self.coverage.counts.items() if not n and p.kind in wanted and p not in self.waived)

    @cached_property
    def _places(self) -> dict[str, list[tuple[int, str]]]:
        return {name: modules_of(self.sources, name) for name in self.sources.files}

    def module(self, point: Point) -> str:
        """The module that a point is in; its file, where it is in none."""
        places = self._places[point.file]
        position = bisect_right([line for line, _ in places], point.line)
        return places[position - 1][1] if position else point.file

    @property
    def shares(self) -> dict[PointKind, Share]:
        """Shares by kind, over all modules; kinds of which there are no points are left out."""
        return _shares(self.coverage.counts.items(), self.waived)

    @property
    def modules(self) -> tuple[ModuleFigures, ...]:
        """Every module that has points, in order of files."""
        found: dict[tuple[str, str], list[tuple[Point, int]]] = {}
        for point, count in self.coverage.counts.items():
            found.setdefault((point.file, self.module(point)), []).append((point, count))
        return tuple(ModuleFigures(m, f, _shares(points, self.waived)) for (f, m), points in found.items())


def judge(coverage: Coverage, sources: Sources, waivers: Iterable[Waiver] = ()) -> Judged:
    """Coverage with its waivers. Of an always block without any point there is one more, which was not run."""
    coverage = _with_absent(coverage, sources)
    applied = apply(waivers, coverage, sources)
    return Judged(coverage, sources, applied.waived, applied.faults)


NEVER_ELABORATED = "never elaborated"
"""The name of the point of an always block that Verilator has none of, since no generate block chose it."""


def _with_absent(coverage: Coverage, sources: Sources) -> Coverage:
    """Coverage with one point more for each always block, of a file that has points, in which there is none."""
    lines: dict[str, set[int]] = {}
    for point in coverage.counts:
        known = lines.setdefault(point.file, set())
        if point.kind in (PointKind.LINE, PointKind.BRANCH):
            known |= {point.line, *coverage.blocks.get(point, ())}
    counts = dict(coverage.counts)
    for file, known in lines.items():
        code = sources.code(file)
        words = list(_BLOCK.finditer(code))
        lines_of = [code.count(b"\n", 0, word.start()) + 1 for word in words]
        for word, line, end in zip(words, lines_of, [*lines_of[1:], code.count(b"\n") + 2], strict=True):
            if word[0].startswith(b"always") and not known.intersection(range(line, max(end, line + 1))):
                column = word.start() - code.rfind(b"\n", 0, word.start())
                counts[Point(file, line, column, PointKind.LINE, NEVER_ELABORATED)] = 0
    return Coverage(dict(sorted(counts.items())), coverage.blocks)


def modules_of(sources: Sources, name: str) -> list[tuple[int, str]]:
    """The modules of a file: the line on which each begins, and its name."""
    code = sources.code(name)
    return [(code.count(b"\n", 0, found.start(1)) + 1, found[1].decode()) for found in _MODULE.finditer(code)]


def _shares(points: Iterable[tuple[Point, int]], waived: dict[Point, Waiver]) -> dict[PointKind, Share]:
    total: Counter[PointKind] = Counter()
    run: Counter[PointKind] = Counter()
    spared: Counter[PointKind] = Counter()
    for point, count in points:
        total[point.kind] += 1
        run[point.kind] += count > 0
        spared[point.kind] += point in waived
    return {kind: Share(total[kind], run[kind], spared[kind]) for kind in PointKind if total[kind]}
