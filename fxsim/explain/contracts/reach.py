"""Sums that weights can make of inputs: which there are, and inputs that make one. Exact, by enumeration."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import gcd

from fxsim.contract import Number

BITS_MAX = 1 << 31
"""Most bits that the sets of sums of one row may take together, an eighth of it in bytes."""


@dataclass(frozen=True)
class _Sums:
    """A set of sums from 0 to `top`: those whose bit is set, or all where `bits` is None."""

    top: int
    bits: int | None

    def holds(self, total: int) -> bool:
        return 0 <= total <= self.top and (self.bits is None or bool(self.bits >> total & 1))

    def with_weight(self, weight: int, span: int) -> "_Sums":
        """The sums with 0 to `span` times a positive weight added."""
        top = self.top + weight * span
        if self.bits is None and weight <= self.top + 1:
            return _Sums(top, None)
        bits = (1 << self.top + 1) - 1 if self.bits is None else self.bits
        covered = 1
        while covered <= span:
            more = min(covered, span + 1 - covered)
            bits |= bits << weight * more
            covered += more
        return _Sums(top, bits)


class Reach:
    """The sums of weights with inputs of a number format; `too_many` where their sets would take too much memory."""

    def __init__(self, weights: Iterable[int], number: Number) -> None:
        self._weights, self._number = [int(w) for w in weights], number
        span = number.codes - 1
        # An input is its distance from the end at which its product is least. Small weights first: sets fill up.
        self._order = sorted((k for k, w in enumerate(self._weights) if w), key=lambda k: abs(self._weights[k]))
        self._unit = gcd(*self._weights) or 1
        self._least = sum(min(w * number.low, w * number.high) for w in self._weights)
        steps = [abs(self._weights[k]) // self._unit for k in self._order]
        self._sets = [_Sums(0, None)]
        taken = 0
        for step in steps:
            taken += 0 if self._sets[-1].bits is None and step <= self._sets[-1].top + 1 else sum(steps) * span
            if taken > BITS_MAX:
                break
            self._sets.append(self._sets[-1].with_weight(step, span))
        self.too_many = taken > BITS_MAX

    def first(self, runs: Iterable[tuple[int, int]]) -> int | None:
        """A sum that is reached, of runs from a first to a last one each; None where none is. The first runs first."""
        sums = self._sets[-1]
        for start, stop in runs:
            low = max(-(-(start - self._least) // self._unit), 0)
            high = min((stop - self._least) // self._unit, sums.top)
            if low > high:
                continue
            found = 1 if sums.bits is None else sums.bits >> low & ((1 << high - low + 1) - 1)
            if found:
                return self._least + self._unit * (low + (found & -found).bit_length() - 1)
        return None

    def inputs(self, total: int) -> list[int]:
        """Inputs, one a weight, that make a sum that is reached; those that matter little are zero."""
        number, left = self._number, (total - self._least) // self._unit
        x = [min(max(0, number.low), number.high)] * len(self._weights)
        nearest = sorted(range(number.low, number.high + 1), key=abs)
        for place in range(len(self._order) - 1, -1, -1):
            at, before = self._order[place], self._sets[place]
            weight = self._weights[at]
            step = abs(weight) // self._unit
            for value in nearest:
                rest = left - step * (value - number.low if weight > 0 else number.high - value)
                if before.holds(rest):
                    x[at], left = value, rest
                    break
        return x
