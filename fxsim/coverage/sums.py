"""Sums of chosen inputs: values, each from a set of its own, whose weighted sum is what a point asks for, or a proof.

Small questions are decided exactly, by the set of every sum. Larger ones are answered by a search that takes the
largest weights first and keeps what is left within reach of the smallest, whose sums it knows exactly; where that finds
nothing, the answer is that nothing is known.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from math import gcd
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.coverage.points import Int64

EXACT_WORDS = 1 << 22
"""Most machine words that are moved to make the exact sets of sums of one row."""

NEAR = 1 << 12
"""Distance from the least or the greatest sum up to which all sums are listed, whatever there is between."""

_TAIL_WORDS = 1 << 16
_TARGETS = 48
_LATTICE = 1 << 22

BOUND, SUMS, MULTIPLES = "bound", "sums", "multiples"
"""Proofs that no sum is right: all lie between two ends; every sum was listed; all are multiples of one number."""


@dataclass(frozen=True)
class Wanted:
    """The sums that are right: from `low` to `high`, its lowest bits, below `step`, from `first` to `last`."""

    low: int
    high: int
    step: int
    first: int
    last: int

    def next(self, start: int) -> int | None:
        """The least sum from `start` on that is right; None where there is none."""
        start = max(start, self.low)
        if self.step > 1:
            rest = start % self.step
            if rest < self.first:
                start += self.first - rest
            elif rest > self.last:
                start += self.step - rest + self.first
        return start if start <= self.high else None

    def holds(self, sums: Int64) -> npt.NDArray[np.bool_]:
        """Whether each of some sums is right."""
        rest = sums % self.step
        found: npt.NDArray[np.bool_] = (sums >= self.low) & (sums <= self.high)
        return found & (rest >= self.first) & (rest <= self.last) if self.step > 1 else found

    def some(self, low: int, high: int) -> list[int]:
        """Some sums between two ends that are right, those near the middle first: there most sums can be made."""
        middle, found = (low + high) // 2, []
        starts = [middle, 0, low, high - self.step + 1, max(low, self.low), min(high, self.high) - self.step + 1]
        starts += [low + (high - low) * part // 16 for part in range(1, 16)]
        for start in starts:
            at: int | None = max(start, low)
            for _ in range(6):
                at = None if at is None else self.next(at)
                if at is None or at > high:
                    break
                found.append(at)
                at += 1
        ends = (min(high, self.high), min(high, self.high) - 1)
        found += [end for end in ends if self.next(max(end, low)) == end]
        return sorted(dict.fromkeys(found), key=lambda a: abs(a - middle))[:_TARGETS]


class Row:
    """One row: weights [K] and, for each input, the values that it can have, in rising order."""

    def __init__(self, weights: Any, values: list[list[int]]) -> None:
        self.weights = [int(w) for w in weights]
        self.values = values
        self.low = sum(min(w * v[0], w * v[-1]) for w, v in zip(self.weights, values, strict=True))
        self.high = sum(max(w * v[0], w * v[-1]) for w, v in zip(self.weights, values, strict=True))
        # Those of which the choice matters: one of each weight, the smallest first, then the second of each. What comes
        # first is known exactly, and many different weights make more sums than many equal ones.
        seen: Counter[int] = Counter()
        order = []
        for k, w in enumerate(self.weights):
            if w and len(values[k]) > 1:
                order.append((seen[abs(w)], abs(w) * (1 + _widest(values[k])), k))
                seen[abs(w)] += 1
        self._order = [k for *_, k in sorted(order)]
        # Every input as its distance from the end where its product is least.
        self._offsets = [
            [(w * (v - vs[0]) if (w := self.weights[k]) > 0 else w * (v - vs[-1])) for v in vs]
            for k in self._order
            for vs in (self.values[k],)
        ]
        self._offsets = [sorted(offsets) for offsets in self._offsets]
        self._sets: list[int] = [1]
        self._tops = [0]
        for offsets in self._offsets:
            self._tops.append(self._tops[-1] + offsets[-1])
        self._words = 0
        self._extend(_TAIL_WORDS)

    @property
    def exact(self) -> bool:
        """Whether the set of all sums is known."""
        return len(self._sets) == len(self._tops)

    def _extend(self, words: int) -> None:
        """Make the exact sets of sums of more inputs, as far as so many words go."""
        for offsets, top in zip(self._offsets[len(self._sets) - 1 :], self._tops[len(self._sets) :], strict=True):
            evenly = len({b - a for a, b in pairwise(offsets)}) == 1
            cost = (2 * len(offsets).bit_length() if evenly else len(offsets)) * (top // 64 + 1)
            if self._words + cost > words:
                return
            self._words += cost
            self._sets.append(_moved(self._sets[-1], offsets, evenly))

    def find(self, wanted: Wanted) -> tuple[list[int] | None, str | None]:
        """Inputs [K] whose sum is right, or the proof that there are none; neither where nothing is known."""
        at = wanted.next(self.low)
        if at is None or at > self.high:
            return None, BOUND
        for _ in range(2):
            if self.exact:
                return self._listed(wanted)
            for target in wanted.some(self.low, self.high):
                found = self._choose(target)
                if found is not None:
                    return found, None
            if self._none_near_ends(wanted):
                return None, SUMS
            self._extend(EXACT_WORDS)
        return None, MULTIPLES if self._no_multiple(wanted) else None

    def _listed(self, wanted: Wanted) -> tuple[list[int] | None, str | None]:
        reached = self._sets[-1]
        raw = np.frombuffer(reached.to_bytes(self._tops[-1] // 8 + 1, "little"), np.uint8)
        sums = self.low + np.flatnonzero(np.unpackbits(raw, bitorder="little"))
        right = sums[wanted.holds(sums)]
        if not len(right):
            return None, SUMS
        return self._choose(int(right[len(right) // 2])), None

    def _choose(self, target: int) -> list[int] | None:
        """Inputs whose sum is `target`, as far as the search finds them."""
        left = target - self.low
        chosen = [nearest_zero(values) for values in self.values]
        for place in range(len(self._order) - 1, -1, -1):
            offsets, top = self._offsets[place], self._tops[place]
            known = self._sets[place] if place < len(self._sets) else None
            step = self._pick(offsets, left, top, known)
            if step is None:
                return None
            k = self._order[place]
            w, values = self.weights[k], self.values[k]
            chosen[k] = (values[0] if w > 0 else values[-1]) + step // w
            left -= step
        return chosen if left == 0 else None

    @staticmethod
    def _pick(offsets: list[int], left: int, top: int, known: int | None) -> int | None:
        """The step that leaves what the smaller ones can make: `known` sums, or else near the middle of 0 to `top`."""
        if known is not None:
            return next((o for o in offsets if 0 <= left - o <= top and known >> (left - o) & 1), None)
        fitting = [o for o in offsets if 0 <= left - o <= top]
        return min(fitting, key=lambda o: abs(2 * (left - o) - top), default=None)

    def _none_near_ends(self, wanted: Wanted) -> bool:
        """Whether all that would be right lies near one end of all sums, and none of it is among the sums there."""
        far = self._tops[-1]
        last = min(wanted.high, self.high) - self.low
        first = max(wanted.low - self.low, 0)
        for mirrored, reach in ((False, last), (True, far - first)):
            if not 0 <= reach <= NEAR:
                continue
            near = 1
            for offsets in self._offsets:
                steps = [offsets[-1] - o for o in offsets] if mirrored else offsets
                moved = 0
                for step in steps:
                    moved |= near << step if step <= reach else 0
                near = moved & ((1 << reach + 1) - 1)
            places = np.array([at for at in range(reach + 1) if near >> at & 1], np.int64)
            return not wanted.holds(self.high - places if mirrored else self.low + places).any()
        return False

    def _no_multiple(self, wanted: Wanted) -> bool:
        """Whether every sum is the least one and a multiple of a number, and no such sum is right."""
        unit = gcd(*(offset for offsets in self._offsets for offset in offsets))
        if unit <= 1 or (self.high - self.low) // unit > _LATTICE:
            return False
        sums = np.arange(self.low, self.high + 1, unit, dtype=np.int64)
        return not wanted.holds(sums).any()


def _moved(sums: int, offsets: list[int], evenly: bool) -> int:
    """The set of sums, each bit one, moved by each offset; by doubling where they follow each other evenly."""
    if not evenly:
        found = 0
        for offset in offsets:
            found |= sums << offset
        return found
    step, done = offsets[1] - offsets[0], 1
    while done < len(offsets):
        more = min(done, len(offsets) - done)
        sums |= sums << step * more
        done += more
    return sums << offsets[0]


def nearest_zero(values: list[int]) -> int:
    """The value nearest to 0."""
    return min(values, key=abs)


def _widest(values: list[int]) -> int:
    """The widest gap between neighbours."""
    return max(b - a for a, b in pairwise(values))
