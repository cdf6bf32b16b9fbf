"""Code coverage: what of a design's Verilog was run, as simulators that count it write it down.

Verilator counts points: a block of statements, one side of a branch, a combination of terms that decides an expression,
a bit that turns. It has a point once for each set of parameters that a module is instantiated with, over all its
instances; here those of all parameters are one, by file, line, column, kind and name. Of code that no generate block
chose there are no points. See `docs/code-coverage.md`.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from fxsim.errors import ToolError
from fxsim.simulate.sources import Sources

FILE_BYTES_MAX = 1 << 30
"""Most bytes of one simulator's file: a design of the SIMD accelerator's size has 15 MB."""
POINTS_MAX = 4_000_000
LINE_BYTES_MAX = 1 << 16

_HEADER = b"# SystemC::Coverage-3\n"
_SPANS_MAX = 1000
_NUMBER = re.compile(r"[0-9]{1,9}")
_ESCAPED = re.compile(r"%([2-6][0-9A-F]|7[0-9A-E])")
"""Verilator's escapes of what can be printed; others stay as they are."""


class PointKind(StrEnum):
    """The kind of a point."""

    LINE = "line"
    """A block of statements: an always block's, a case's item, an else-if's."""
    BRANCH = "branch"
    """One side of an if or of `?:`."""
    EXPRESSION = "expression"
    """A combination of terms that alone decides what an expression gives."""
    TOGGLE = "toggle"
    """A bit of a signal that turns from 0 to 1, or from 1 to 0."""
    COVER = "cover"
    """A cover statement of the design's own."""


_KINDS = {
    "line": PointKind.LINE,
    "branch": PointKind.BRANCH,
    "expr": PointKind.EXPRESSION,
    "toggle": PointKind.TOGGLE,
    "user": PointKind.COVER,
}
"""Kinds by Verilator's word for them."""


class Point(NamedTuple):
    """A point of the Verilog: `file` relative to the design's folder, line and column from 1, and Verilator's name."""

    file: str
    line: int
    column: int
    kind: PointKind
    name: str

    @property
    def place(self) -> str:
        """File and line, as editors read them."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Coverage:
    """Counts of each point, over all runs; `blocks`: the lines of a block's statements, where there are any."""

    counts: dict[Point, int]
    blocks: dict[Point, frozenset[int]]

    def __add__(self, other: "Coverage") -> "Coverage":
        """The coverage of two runs together."""
        counts, blocks = dict(self.counts), dict(self.blocks)
        for point, count in other.counts.items():
            counts[point] = counts.get(point, 0) + count
        for point, lines in other.blocks.items():
            blocks[point] = blocks.get(point, frozenset()) | lines
        return Coverage(counts, blocks)


def read_counts(path: Path) -> Counter[bytes]:
    """The counts of a file that a simulator wrote, by the text of each point. ToolError where it is not one."""
    found: Counter[bytes] = Counter()
    try:
        size = path.stat().st_size
        if size > FILE_BYTES_MAX:
            raise ToolError(f"{path.name}: has {size:,} bytes, the most that is read of coverage is {FILE_BYTES_MAX:,}")
        with path.open("rb") as file:
            if file.readline(len(_HEADER)) != _HEADER:
                raise ToolError(f"{path.name}: does not begin with '{_HEADER.decode().strip()}'")
            number = 1
            while line := file.readline(LINE_BYTES_MAX + 1):
                number += 1
                text, quote, count = line.rpartition(b"' ")
                right = quote and text.startswith(b"C '") and count.endswith(b"\n") and count[:-1].isdigit()
                if not right or len(count) > 21:
                    raise ToolError(f"{path.name}, line {number}: is no point of coverage: {line[:80]!a}")
                found[text[3:]] += int(count)
                if len(found) > POINTS_MAX:
                    raise ToolError(f"{path.name}: has more than {POINTS_MAX:,} points")
    except OSError as error:
        raise ToolError(f"the simulator's coverage cannot be read: {error.strerror or error}") from None
    return found


def read_coverage(paths: Iterable[Path], sources: Sources, without: frozenset[str] = frozenset()) -> Coverage:
    """The coverage of runs of one simulator, whose Verilog lay in the folder `rtl` of its build.

    `without`: files that are nobody's design, whose points are left out.
    ToolError where a file is not what a simulator writes, or speaks of lines that the sources do not have.
    """
    found: Counter[bytes] = Counter()
    for path in paths:
        found.update(read_counts(path))
    lengths = {name: content.count(b"\n") + 1 for name, content in sources.files.items()}
    counts: dict[Point, int] = {}
    blocks: dict[Point, frozenset[int]] = {}
    for text, count in found.items():
        point, lines = _read_point(text, lengths)
        if point.file in without:
            continue
        counts[point] = counts.get(point, 0) + count
        if lines:
            blocks[point] = blocks.get(point, frozenset()) | lines
    return Coverage(dict(sorted(counts.items())), blocks)


def _read_point(text: bytes, lengths: dict[str, int]) -> tuple[Point, frozenset[int]]:
    """One point from its text: keys, each behind a byte 1, and values, each behind a byte 2."""
    try:
        fields = dict(part.split("\2") for part in text.decode("ascii").split("\1")[1:])
        word, name = fields["t"], fields["o"]
        line, column = _whole(fields["l"]), _whole(fields["n"])
        file = _plain(fields["f"])
        lines = _lines(fields.get("S", ""))
    except (KeyError, ValueError) as error:
        raise ToolError(f"coverage has what is no point: {text[:80]!a}") from error
    if (kind := _KINDS.get(word)) is None:
        raise ToolError(f"coverage has a point of the kind {word!a}, expected one of: {', '.join(_KINDS)}")
    relative = file.removeprefix("rtl/")
    if not file.startswith("rtl/") or relative not in lengths:
        raise ToolError(f"coverage speaks of {file!a}, which is no file of the design")
    if not all(1 <= place <= lengths[relative] for place in (line, *lines)):
        raise ToolError(f"coverage speaks of line {line} of {relative}, which has {lengths[relative]} lines")
    return Point(relative, line, column, kind, _plain(name)), lines


def _lines(spans: str) -> frozenset[int]:
    """The lines of spans such as `28-31,33`."""
    lines: set[int] = set()
    parts = spans.split(",") if spans else []
    if len(parts) > _SPANS_MAX:
        raise ValueError("too many spans")
    for part in parts:
        first, _, last = part.partition("-")
        begin = _whole(first)
        end = _whole(last) if last else begin
        if end - begin > 1_000_000:
            raise ValueError("too long a span")
        lines.update(range(begin, end + 1))
    return frozenset(lines)


def _whole(text: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise ValueError("no number")
    return int(text)


def _plain(text: str) -> str:
    """A text without Verilator's escapes."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
