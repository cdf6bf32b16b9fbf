"""Waivers: what of the Verilog need not be run, why, and the hash of the lines that this was said of."""

import hashlib
import json
import re
from collections.abc import Iterable
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from fxsim.errors import FileError
from fxsim.formats.text import decode_toml, read_bounded
from fxsim.simulate.code_coverage import Coverage, Point, PointKind
from fxsim.simulate.sources import Sources

FILE_BYTES_MAX = 1 << 20
REASON_LEAST = 12
"""Fewest letters and digits of a reason: what has fewer gives none."""

REASON_EXPECTED = f"expected words of at least {REASON_LEAST} letters"


class Category(StrEnum):
    """The kind of reason that a waiver has."""

    UNREACHABLE = "unreachable"
    """Nothing that can be at the design's inputs, and no parameters that it is built with, lead there."""
    CONSTANT = "constant"
    """The bit or term is constant in the designs that are built: an upper bit of an address, a parameter."""
    LINT = "lint"
    """An expression that computes nothing: it tells a linter that signals are not used."""
    SIZE = "size"
    """It takes larger models, or longer runs, than are simulated with code coverage."""
    ENVIRONMENT = "environment"
    """It takes what the environment never does: the harness keeps the rules of the bus, say."""
    ELSEWHERE = "elsewhere"
    """It is run in another check or test, which the reason names."""


class Waiver(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One waiver. `lines`: `75` or `75-80`; `point`: names of points there, in which `*` is anything; else all.

    `sha256`: of these lines as they were, each with the line feed behind it.
    """

    file: Annotated[str, Meta(min_length=1, max_length=500)]
    lines: Annotated[str, Meta(pattern="^[1-9][0-9]{0,6}(-[1-9][0-9]{0,6})?$")]
    kind: PointKind
    category: Category
    reason: Annotated[str, Meta(min_length=REASON_LEAST, max_length=2000)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    point: Annotated[str, Meta(min_length=1, max_length=4000)] | None = None

    @property
    def span(self) -> tuple[int, int]:
        """The first and the last line."""
        first, _, last = self.lines.partition("-")
        return int(first), int(last or first)

    @property
    def place(self) -> str:
        """File and lines."""
        return f"{self.file}:{self.lines}"

    def names(self, point: Point) -> bool:
        """Whether it is of this point."""
        first, last = self.span
        here = point.file == self.file and first <= point.line <= last and point.kind is self.kind
        return here and (self.point is None or fits(self.point, point.name))


def fits(pattern: str, name: str) -> bool:
    """Whether a name is one that a pattern is of, in which * is anything."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None


def gives_reason(text: str) -> bool:
    """Whether a text says something: so many letters and digits, in two words at least."""
    return sum(map(str.isalnum, text)) >= REASON_LEAST and len(text.split()) > 1


class Fault(NamedTuple):
    """A fault of a waiver: `what` is `stale`, `unneeded` or `unknown`; `line` is the first of its lines."""

    what: Literal["stale", "unneeded", "unknown"]
    file: str
    line: int
    text: str


class _Content(Struct, frozen=True, forbid_unknown_fields=True):
    """The TOML file."""

    waiver: tuple[Waiver, ...] = ()


def load_waivers(path: Path) -> tuple[Waiver, ...]:
    """The waivers of a TOML file. FileError for an unknown category, a reason that is none, or anything else wrong."""
    waivers = decode_toml(str(path), read_bounded(path, FILE_BYTES_MAX, "waivers"), _Content, "waivers").waiver
    seen = set()
    for waiver in waivers:
        if waiver.span[0] > waiver.span[1]:
            raise FileError(f"{path}: the waiver of {waiver.place} ends before it begins")
        if not gives_reason(waiver.reason):
            raise FileError(f"{path}: the reason {waiver.reason!r} of {waiver.place} gives none, {REASON_EXPECTED}")
        named = (waiver.file, waiver.lines, waiver.kind, waiver.point)
        if named in seen:
            raise FileError(f"{path}: the waiver of {waiver.place}, {waiver.kind}, is there twice")
        seen.add(named)
    return waivers


def hash_lines(content: bytes, first: int, last: int) -> str | None:
    """The hash of lines of a file, each with the line feed behind it; None where it does not have them all."""
    lines = content.split(b"\n")
    if not 1 <= first <= last <= len(lines):
        return None
    return hashlib.sha256(b"".join(line + b"\n" for line in lines[first - 1 : last])).hexdigest()


class Applied(NamedTuple):
    """Waivers on a coverage: the points that they waive, and what is wrong with them."""

    waived: dict[Point, Waiver]
    faults: tuple[Fault, ...]


class _Lines:
    """Points of a coverage by file and line."""

    def __init__(self, coverage: Coverage) -> None:
        self._coverage = coverage

    @cached_property
    def _by_line(self) -> dict[tuple[str, int], list[Point]]:
        found: dict[tuple[str, int], list[Point]] = {}
        for point in self._coverage.counts:
            found.setdefault((point.file, point.line), []).append(point)
        return found

    def named(self, waiver: Waiver) -> dict[int, list[Point]]:
        """The points that a waiver is of, by line."""
        first, last = waiver.span
        lines = {line: self._by_line.get((waiver.file, line), []) for line in range(first, last + 1)}
        named = {line: [point for point in points if waiver.names(point)] for line, points in lines.items()}
        return {line: points for line, points in named.items() if points}


def apply(waivers: Iterable[Waiver], coverage: Coverage, sources: Sources) -> Applied:
    """Waive what was not run. A waiver of other lines than there are, of nothing, or of what was run, is at fault.

    Of several lines each that has such points must have one that was not run.
    """
    waived: dict[Point, Waiver] = {}
    faults: list[Fault] = []
    by_line = _Lines(coverage)
    for waiver in waivers:
        first, last = waiver.span
        what = f"{waiver.place}, {waiver.kind}" + (f" '{waiver.point}'" if waiver.point is not None else "")
        if waiver.file not in sources.files:
            faults.append(Fault("unknown", waiver.file, first, f"{what}: the design has no such file"))
            continue
        if (found := hash_lines(sources.files[waiver.file], first, last)) != waiver.sha256:
            now = "are not there" if found is None else f"changed: their sha256 is {found} now"
            faults.append(Fault("stale", waiver.file, first, f"{what}: these lines {now}; look at them again"))
            continue
        named = by_line.named(waiver)
        if not named:
            faults.append(Fault("unknown", waiver.file, first, f"{what}: there is no such point"))
            continue
        run = [line for line, points in named.items() if all(coverage.counts[point] for point in points)]
        if run:
            count = sum(coverage.counts[point] for point in named[run[0]])
            faults.append(
                Fault("unneeded", waiver.file, run[0], f"{what}: line {run[0]} was run ({count:,} times): not needed")
            )
        for points in named.values():
            waived |= {point: waiver for point in points if not coverage.counts[point]}
    return Applied(waived, tuple(faults))


def parse_place(text: str) -> tuple[str, int, int]:
    """File and lines of `FILE:LINE` or `FILE:FIRST-LAST`; FileError where it is neither."""
    match = re.fullmatch(r"(.+):([1-9][0-9]{0,6})(?:-([1-9][0-9]{0,6}))?", text)
    if match is None or int(match[3] or match[2]) < int(match[2]):
        raise FileError(f"{text!r} is no place, expected FILE:LINE or FILE:FIRST-LAST")
    return match[1], int(match[2]), int(match[3] or match[2])


def skeleton(
    sources: Sources, file: str, first: int, last: int, kind: PointKind, point: str | None, category: str, reason: str
) -> str:
    """A waiver as TOML, with the hash of its lines; FileError where the design does not have them.

    An empty reason is left for whoever knows it: no file with one is taken.
    """
    if file not in sources.files:
        raise FileError(f"the design has no file '{file}'; it has: {', '.join(list(sources.files)[:20])}")
    if (digest := hash_lines(sources.files[file], first, last)) is None:
        raise FileError(f"{file} has no lines {first} to {last}")
    shown = sources.files[file].split(b"\n")[first - 1 : last]
    text = [f"# {line.decode(errors='replace').strip()}" for line in shown[:3] if line.isascii()]
    fields = {"file": file, "lines": str(first) if first == last else f"{first}-{last}", "kind": str(kind)}
    fields |= {"point": point} if point is not None else {}
    fields |= {"category": category, "reason": reason, "sha256": digest}
    # A text of JSON is one of TOML.
    lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
    return "\n".join([*text, "[[waiver]]", *lines, ""])


def encode(waivers: Iterable[Waiver]) -> bytes:
    """Waivers as JSON, for a record's hash of them."""
    return msgspec.json.encode(tuple(waivers))
