"""Sampling: what signals hold just before an edge of a clock, where there is a value."""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from fxsim.errors import FileError
from fxsim.traces.words import WordsWriter

Bits = tuple[int, int]
"""A signal's value, and which of its bits are unknown, coded as in `FourState`."""

UNKNOWN: Bits = (1, 1)
"""A bit of which nothing has been heard yet."""

_SELECT = re.compile(r"(.+?)\[(\d{1,6})(?::(\d{1,6}))?\]\Z")


class Selection(Struct, frozen=True):
    """A signal or a part of its bits: `high` to `low`, counted from the least significant one; None: all of them."""

    signal: str
    high: int | None = None
    low: int | None = None

    def of(self, value: Bits) -> Bits:
        """The bits that are meant."""
        if self.high is None or self.low is None:
            return value
        mask = (1 << (self.high - self.low + 1)) - 1
        return value[0] >> self.low & mask, value[1] >> self.low & mask


class Group(Struct, frozen=True):
    """Signals sampled together: the parts of a word, lowest first, with their widths, and its handshake."""

    name: str
    parts: tuple[Selection, ...]
    widths: tuple[int, ...]
    valid: Selection | None = None
    ready: Selection | None = None
    most: int | None = None

    @property
    def bits(self) -> int:
        """Width of a word."""
        return sum(self.widths)


def select(name: str, widths: Mapping[str, int], where: str) -> tuple[Selection, int]:
    """The signal that a name means, with its width: exactly so called, or ending in it alone; or a part, `name[7:0]`.

    FileError, which says what there is, where there is none or are several.
    """
    if (found := _find(name, widths, where)) is not None:
        return Selection(found), widths[found]
    match = _SELECT.match(name)
    found = _find(match[1], widths, where) if match else None
    if match is None or found is None:
        some = ", ".join(sorted(widths, key=lambda known: _distance(name, known))[:5])
        raise FileError(f"{where}: there is no signal '{name}'; of {len(widths):,} the most like it: {some or 'none'}")
    high = int(match[2])
    low = high if match[3] is None else int(match[3])
    if not low <= high < widths[found]:
        raise FileError(f"{where}: '{name}' is no part of '{found}', which has {widths[found]} bits")
    return Selection(found, high, low), high - low + 1


def _find(name: str, widths: Mapping[str, int], where: str) -> str | None:
    if name in widths:
        return name
    ends = [known for known in widths if known.endswith((f".{name}", f"/{name}"))]
    if len(ends) > 1:
        raise FileError(f"{where}: signal '{name}' is one of {', '.join(ends[:5])}, expected a name that only one has")
    return ends[0] if ends else None


def _distance(name: str, known: str) -> tuple[int, str]:
    words = set(re.split(r"\W+", name.lower()))
    return -len(words & set(re.split(r"\W+", known.lower()))), known


class Sampler:
    """Writes a word of each group at each edge at which its handshake holds. `where` begins messages."""

    def __init__(
        self, groups: Sequence[Group], where: str, reset: Selection | None = None, active: str = "high"
    ) -> None:
        self.groups = groups
        self.writers = [WordsWriter(f"{where}: '{group.name}'", group.bits) for group in groups]
        self.edges = 0
        self._where = where
        self._known = [False] * len(groups)
        self._reset = reset
        self._released = (0, 0) if active == "high" else (1, 0)

    @property
    def full(self) -> bool:
        """Whether every group has as many words as are wanted."""
        return all(g.most is not None and len(w) >= g.most for g, w in zip(self.groups, self.writers, strict=True))

    def edge(self, values: Mapping[str, Bits], when: str) -> None:
        """One edge: `values` by signal just before it. FileError where nobody can say whether there is a value."""
        self.edges += 1
        if self._reset is not None and self._reset.of(values.get(self._reset.signal, UNKNOWN)) != self._released:
            return
        for place, group in enumerate(self.groups):
            if group.most is not None and len(self.writers[place]) >= group.most:
                continue
            if self._holds(place, group, values, when):
                value = unknown = shift = 0
                for part, width in zip(group.parts, group.widths, strict=True):
                    bits = part.of(values.get(part.signal, ((1 << width) - 1, (1 << width) - 1)))
                    value, unknown = value | bits[0] << shift, unknown | bits[1] << shift
                    shift += width
                self.writers[place].add(value, unknown)

    def _holds(self, place: int, group: Group, values: Mapping[str, Bits], when: str) -> bool:
        if group.valid is None:
            return True
        valid = group.valid.of(values.get(group.valid.signal, UNKNOWN))
        if valid[1]:
            # Before a reset nothing is known; afterwards it must stay so.
            if self._known[place]:
                self._refuse(group.valid, group, when)
            return False
        self._known[place] = True
        if not valid[0] or group.ready is None:
            return bool(valid[0])
        ready = group.ready.of(values.get(group.ready.signal, UNKNOWN))
        if ready[1]:
            self._refuse(group.ready, group, when)
        return bool(ready[0])

    def _refuse(self, signal: Selection, group: Group, when: str) -> None:
        raise FileError(
            f"{self._where}: '{signal.signal}' is unknown (X or Z) {when}, expected 0 or 1: nobody can say whether "
            f"'{group.name}' has a value"
        )


class Edges:
    """The clock: tells its edges from its values."""

    def __init__(self, edge: str) -> None:
        self._before, self._after = ((0, 0), (1, 0)) if edge == "rising" else ((1, 0), (0, 0))
        self._value: Bits = UNKNOWN

    def moved(self, value: Bits) -> bool:
        """Whether the clock's next value makes the edge."""
        before, self._value = self._value, value
        return before == self._before and value == self._after
