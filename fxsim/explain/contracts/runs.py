"""Accumulators on which two contracts differ, all of them, or the proof that there are none.

Where there are few accumulators, every one is computed. Else: a contract's unlimited result never falls where the
accumulator rises, so that it is known from its thresholds, the least accumulators that reach each value. Between two
neighbouring thresholds of either contract both results are constant, and one accumulator stands for all.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from fxsim.contract import INT8, Number
from fxsim.contract.arithmetic import Int64
from fxsim.errors import ModelError
from fxsim.explain.contracts.arithmetic import FLOAT32_BITS, ONE, Contract, Overflow

EXHAUSTED = 1 << 16
"""Most accumulators that are computed one by one."""
VALUES_MAX = 1 << 21
"""Most values that thresholds are looked for."""


@dataclass(frozen=True)
class Setting:
    """A requantisation of accumulators `low` to `high`: shift, bias, multiplier, format of the result."""

    low: int
    high: int
    shift: int
    bias: int = 0
    out: Number = INT8
    multiplier: int = ONE

    def check(self, contract: Contract) -> None:
        """ModelError where a contract cannot take it, or where there are no accumulators."""
        if self.low > self.high:
            raise ModelError(f"accumulators are {self.low} to {self.high}, expected the lower one first")
        contract.check(self.low, self.high, self.shift, self.bias, self.multiplier)

    def unlimited(self, contract: Contract, acc: Int64) -> Int64:
        """A contract's results before they are limited."""
        return contract.unlimited(acc, self.shift, self.bias, self.multiplier)

    def results(self, contract: Contract, acc: Int64) -> Int64:
        """A contract's results."""
        return contract.limited(self.unlimited(contract, acc), self.out)


@dataclass(frozen=True)
class Runs:
    """Accumulators on which two contracts differ: `starts` to `stops`, both included.

    `whole`: these are all of them; else those from one period on either side. `proof`: how it is known that there are
    no others. `decided`: False where nothing is known, and why stands in `proof`.
    """

    starts: Int64
    stops: Int64
    proof: str
    whole: bool = True
    decided: bool = True

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((int(a), int(b)) for a, b in zip(self.starts, self.stops, strict=True))

    @property
    def nearest(self) -> int | None:
        """The accumulator nearest to zero on which they differ."""
        ends = [int(np.clip(0, a, b)) for a, b in self]
        return min(ends, key=abs, default=None)


NONE = np.zeros(0, np.int64)


def differing(a: Contract, b: Contract, setting: Setting) -> Runs:
    """The accumulators on which two contracts differ. ModelError where one of them cannot take the setting."""
    setting.check(a)
    setting.check(b)
    a, b = _exact(a, setting), _exact(b, setting)
    if a.formula == b.formula:
        return Runs(NONE, NONE, "for these sums both are one formula")
    count = setting.high - setting.low + 1
    if count <= EXHAUSTED:
        acc = np.arange(setting.low, setting.high + 1)
        proof = f"each of the {count:,} accumulators from {setting.low} to {setting.high} was computed"
        return _runs(a, b, setting, acc, setting.high, proof)
    low, high = _window(a, b, setting)
    values = [_values(contract, setting, low, high) for contract in (a, b)]
    if sum(len(v) for v in values) > VALUES_MAX:
        return Runs(
            NONE, NONE, f"results have more than {VALUES_MAX:,} thresholds, more than are looked for", decided=False
        )
    thresholds = [_thresholds(c, setting, low, high, v) for c, v in zip((a, b), values, strict=True)]
    acc = np.unique(np.concatenate([np.array([low]), *thresholds]))
    acc = acc[acc <= high]
    proof = (
        f"both never fall where the accumulator rises: from {low} to {high} they change at {len(acc) - 1:,} thresholds "
        f"alone, and were computed at each and before the first"
    )
    whole = (low, high) == (setting.low, setting.high)
    if not whole:
        proof += f"; beyond, to {setting.low} and {setting.high}, they repeat"
    return _runs(a, b, setting, acc, high, proof, whole)


def _exact(contract: Contract, setting: Setting) -> Contract:
    """The contract without its float32, where that holds every sum as it is and the factor is a power of two."""
    added = setting.bias << setting.shift if contract.bias == "before" else 0
    held = max(abs(setting.low + added), abs(setting.high + added)) <= 1 << FLOAT32_BITS
    return replace(contract, float32=False) if held and setting.multiplier == ONE else contract


def _runs(a: Contract, b: Contract, setting: Setting, acc: Int64, high: int, proof: str, whole: bool = True) -> Runs:
    """Runs of accumulators that differ, of the first of every cell; the last cell ends at `high`."""
    differ = np.flatnonzero(setting.results(a, acc) != setting.results(b, acc))
    return Runs(acc[differ], np.append(acc[1:] - 1, high)[differ], proof, whole)


def _values(contract: Contract, setting: Setting, low: int, high: int) -> range:
    """The unlimited results at whose thresholds limited ones may change.

    All that are reached; where results do not wrap, of these the format's and the one above.
    """
    first, last = (int(setting.unlimited(contract, np.array([acc]))[0]) for acc in (low, high))
    if contract.overflow is Overflow.WRAP:
        return range(first + 1, last + 1)
    return range(max(first + 1, setting.out.low - 1), min(last, setting.out.high + 1) + 1)


def _thresholds(contract: Contract, setting: Setting, low: int, high: int, values: range) -> Int64:
    """The least accumulator from `low` on that reaches each value; `high` + 1 where none does. By bisection."""
    wanted = np.arange(values.start, values.stop)
    left, right = np.full(wanted.shape, low), np.full(wanted.shape, high + 1)
    while (left < right).any():
        middle = (left + right) >> 1
        # Where the two have met, `middle` is there too: nothing moves.
        reached = (left == right) | (setting.unlimited(contract, middle) >= wanted)
        left, right = np.where(reached, left, middle + 1), np.where(reached, middle, right)
    return left


def _window(a: Contract, b: Contract, setting: Setting) -> tuple[int, int]:
    """Accumulators that stand for all: where results wrap they repeat, once all else is constant.

    A sum of one sign that grows by 2^(shift + 1) gives 2 more by every rounding, so that one that grows by 2^(shift +
    bits) gives the same wrapped; not so where float32 or a multiplier comes in.
    """
    if Overflow.WRAP not in (a.overflow, b.overflow):
        return setting.low, setting.high
    if a.float32 or b.float32 or setting.multiplier != ONE:
        return setting.low, setting.high
    period = 1 << setting.shift + setting.out.bits
    added = [setting.bias << setting.shift if contract.bias == "before" else 0 for contract in (a, b)]
    # Two less: the first of two roundings may make zero of minus one.
    above, below = max(0, *(-x for x in added)), min(-2, *(-2 - x for x in added))
    ends = (range(setting.out.low, setting.out.low + 1), range(setting.out.high + 1, setting.out.high + 2))
    for contract in (a, b):
        if contract.overflow is not Overflow.WRAP:
            lowest, over = (int(_thresholds(contract, setting, setting.low, setting.high, end)[0]) for end in ends)
            below, above = min(below, lowest - 1), max(above, over)
    return max(setting.low, below - period), min(setting.high, above + period)
