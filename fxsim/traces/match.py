"""Matching: which signal of a trace is which tap, from counts of values and from agreement with the model."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import replace

from fxsim.compare import FourState
from fxsim.contract import Number, Sign, Tensor
from fxsim.contract.arithmetic import Integers
from fxsim.engines import Engine, run
from fxsim.errors import FxsimError
from fxsim.graph import Model
from fxsim.traces.candidates import SAMPLING, Candidate, Sampling, candidates
from fxsim.traces.name_map import TapMap, TraceMap
from fxsim.traces.trace import check_numbers
from fxsim.traces.words import Words, pack_numbers, split_lanes

VALUES = 1 << 20
"""Values of all taps that are computed to compare with: those of the first images."""
ORDERS_MAX = 24
"""Most orders of axes that are tried."""
NEAR = 0.2
"""Share of equal values by which a likely match is better than the next one, and than chance."""


class Sure(StrEnum):
    """The confidence in a proposal."""

    SURE = "sure"
    """Every value looked at is equal, as no other tap and in no other order, and chance could not give that."""
    LIKELY = "likely"
    """Far more values are equal than for any other signal, tap or order, and than by chance."""
    AMBIGUOUS = "ambiguous"
    """Something else agrees as well, or nearly."""


class Proposal(Struct, frozen=True, kw_only=True):
    """One tap's place in a trace.

    `agreement`: share of the values looked at that are equal; `chance`: share that would be if the signal's values came
    in any order; `next_best`: agreement of the next best signal, tap or order, which `rival` names.
    """

    tap: str
    signal: str
    sure: Sure
    agreement: float
    chance: float
    looked_at: int
    next_best: float
    rival: str | None
    entry: TapMap


class Match(Struct, frozen=True, kw_only=True):
    """Proposals in the order of the graph, taps for which nothing has as many values, and signals that fit none."""

    sampling: Sampling
    images: int
    proposals: tuple[Proposal, ...]
    unmatched_taps: tuple[str, ...]
    signals: int

    def content(self) -> TraceMap | None:
        """The map of all proposals that are not ambiguous; None where there is none."""
        taps = tuple(p.entry for p in self.proposals if p.sure is not Sure.AMBIGUOUS)
        return self.sampling.map_of(taps) if taps else None


@dataclass(frozen=True)
class _Trial:
    """A signal read as a tap in one way."""

    agreement: float
    chance: float
    looked_at: int
    entry: TapMap
    signal: str
    digest: int
    """Hash of the values: two names of one signal have the same."""

    @property
    def rank(self) -> tuple[float, int]:
        """Better ones are greater: of equals, the one of which the map says less, with names that say what they are."""
        named = sum(
            word in (name or "").lower()
            for name, word in ((self.entry.valid, "v"), (self.entry.ready, "r"), (self.entry.ready, "rea"))
        )
        said = sum(value is not None for value in (self.entry.valid, self.entry.ready, self.entry.order))
        return self.agreement, named - 2 * said - (self.entry.lane_order != "low-first")


def match(
    model: Model,
    x: Integers,
    path: Path,
    *,
    sampling: Sampling = SAMPLING,
    scope: str = "",
    engine: Engine | str = Engine.AUTO,
) -> Match:
    """Propose which signal of a trace of images `x` is which tap.

    A signal can be a tap if it has as many values, in words of one or more lanes of the tap's width. It is then
    compared with the model in every order of axes and lanes, and as signed and unsigned. Errors as `candidates`'s.
    """
    total = sum(tensor.size for name, tensor in model.graph.tensors.items() if name in model.graph.by_name)
    looked = max(1, min(len(x), VALUES // total))
    values = run(model, np.ascontiguousarray(x[:looked]), "all", engine)
    counts = sorted({len(x) * model.graph.tensors[name].size for name in model.graph.taps})
    sampling, every = candidates(path, counts, sampling, scope)
    trials: dict[str, list[_Trial]] = {}
    signals: set[str] = set()
    wanted = {tap: _Wanted(model.graph.tensors[tap], values[tap]) for tap in model.graph.taps}
    for candidate in every:
        signals.add(candidate.signal)
        # Taps of one size and format are read in the same ways.
        known: dict[tuple[int, Number], list[_Reading]] = {}
        for tap, one in wanted.items():
            key = one.tensor.size, one.tensor.number
            if key not in known:
                known[key] = _read_all(candidate, one.tensor, len(x), one.looked)
            trials.setdefault(tap, []).extend(_trials(known[key], candidate, tap, one, len(x)))
    trials = {tap: found for tap, found in trials.items() if found}
    return Match(
        sampling=sampling,
        images=looked,
        proposals=tuple(_proposals(model, trials)),
        unmatched_taps=tuple(tap for tap in model.graph.taps if tap not in trials),
        signals=len(signals),
    )


@dataclass(frozen=True)
class _Reading:
    """A candidate's first values, read in one way, and what of them is known."""

    entry: TapMap
    flat: npt.NDArray[Any]
    known: npt.NDArray[np.bool_] | None
    counts: tuple[npt.NDArray[Any], npt.NDArray[np.int64]]
    digest: int


def _read_all(candidate: Candidate, tensor: Tensor, images: int, looked: int) -> list[_Reading]:
    """Every way to read a candidate as a tensor of this size."""
    base = TapMap(name="tap", signal=candidate.signal, valid=candidate.valid, ready=candidate.ready)
    found = []
    for entry, values in _readings(candidate, base, tensor, images, looked):
        flat, known = (values.values, ~values.mask) if isinstance(values, FourState) else (values, None)
        counts = np.unique(flat, return_counts=True)
        found.append(_Reading(entry, flat, known, counts, hash(flat.astype(np.int64).tobytes())))
    return found


def _trials(
    readings: list[_Reading], candidate: Candidate, tap: str, wanted: "_Wanted", images: int
) -> Iterator[_Trial]:
    """Agreement of a candidate's readings with a tap, in every order of its axes."""
    shape = () if isinstance(candidate.raw, Words) else candidate.raw.shape
    # An array of several dimensions that are not the tap's needs its order said, whatever that is.
    own = wanted.tensor.axes if len(shape) > 1 and shape != (images, *wanted.tensor.shape) else None
    for reading in readings:
        chance = _chance(reading.counts, wanted.counts)
        for order, values in wanted.orders:
            equal = reading.flat == values
            if reading.known is not None:
                equal &= reading.known
            agreement = float(np.count_nonzero(equal) / values.size)
            entry = replace(reading.entry, name=tap, order=order or own)
            yield _Trial(agreement, chance, values.size, entry, candidate.signal, reading.digest)


class _Wanted:
    """A tap's values for the first images, in every order of its axes; none for its own."""

    def __init__(self, tensor: Tensor, expected: Integers) -> None:
        self.tensor = tensor
        self.looked = expected.size
        self.counts = np.unique(expected, return_counts=True)
        self.orders: list[tuple[tuple[str, ...] | None, Integers]] = [(None, expected.reshape(-1))]
        for order in list(permutations(tensor.axes))[1:ORDERS_MAX]:
            if sum(size > 1 for size in tensor.shape) > 1:
                turn = [1 + tensor.axes.index(axis) for axis in order]
                self.orders.append((order, expected.transpose(0, *turn).reshape(-1)))


def _readings(
    candidate: Candidate, base: TapMap, tensor: Tensor, images: int, looked: int
) -> Iterator[tuple[TapMap, npt.NDArray[Any] | FourState]]:
    """The first `looked` values of a candidate, with each number of lanes, order of lanes and sign."""
    wanted, own = images * tensor.size, tensor.number
    other = Number(own.bits, Sign.UNSIGNED if own.signed else Sign.SIGNED)
    if not isinstance(candidate.raw, Words):
        if candidate.raw.size != wanted:
            return
        flat = candidate.raw.reshape(-1)[:looked]
        try:
            check_numbers(flat, candidate.signal)
            yield base, flat
            if flat.dtype.kind in "iu" and not own.bipolar:
                codes = pack_numbers(candidate.signal, flat, own.bits)
                yield replace(base, signed=own.signed), split_lanes(codes, 1, own, False)
        except FxsimError:
            return
        return
    lanes, rest = divmod(candidate.raw.bits, own.bits)
    if rest or not lanes or len(candidate) * lanes != wanted:
        return
    words = candidate.words()
    assert isinstance(words, Words)
    words = words.part(slice(0, -(-looked // lanes)))
    for high_first in (False, True)[: 1 + (lanes > 1)]:
        for number in (own, other):
            entry = base if lanes == 1 else replace(base, lanes=lanes)
            entry = replace(entry, lane_order="high-first") if high_first else entry
            entry = replace(entry, signed=number.signed) if number is other else entry
            found = split_lanes(words, lanes, number, high_first)
            if isinstance(found, FourState):
                yield entry, FourState(found.values[:looked], found.unknown[:looked], found.bits)
            else:
                yield entry, found[:looked]


def _chance(found: tuple[Any, Any], expected: tuple[Any, Any]) -> float:
    """Share of values that would be equal if they came in an order that has nothing to do with what is expected."""
    (values, counts), (wanted, times) = found, expected
    both = np.isin(values, wanted)
    at = np.searchsorted(wanted, values[both])
    return float((counts[both] / counts.sum() * (times[at] / times.sum())).sum())


def _proposals(model: Model, trials: dict[str, list[_Trial]]) -> Iterator[Proposal]:
    """The best signal of each tap, a signal for one tap alone: the one that it agrees best with."""
    ranked = sorted(
        ((trial, tap) for tap, found in trials.items() for trial in found),
        key=lambda pair: (pair[0].rank[0], pair[0].agreement - pair[0].chance, pair[0].rank[1]),
        reverse=True,
    )
    taken: dict[str, _Trial] = {}
    used: set[str] = set()
    for trial, tap in ranked:
        if tap not in taken and trial.signal not in used:
            taken[tap] = trial
            used.add(trial.signal)
    for tap in model.graph.taps:
        if tap in taken:
            yield _proposal(tap, taken[tap], ranked)


def _proposal(tap: str, best: _Trial, ranked: list[tuple[_Trial, str]]) -> Proposal:
    rival, next_best = None, 0.0
    for trial, other in ranked:
        # The same values by another name, handshake or sign are no rival.
        same = other == tap and trial.digest == best.digest and trial.entry.order == best.entry.order
        # Nor is another signal that has all of the tap's values, too.
        same |= other == tap and trial.signal != best.signal and trial.agreement == best.agreement == 1.0
        if (
            not same
            and (other == tap or trial.signal == best.signal)
            and (rival is None or trial.agreement > next_best)
        ):
            rival, next_best = f"{trial.signal} as {other}" + _order(trial), trial.agreement
    margin = best.agreement - max(next_best, best.chance)
    if best.agreement == 1.0 and next_best < 1.0 and best.chance < 1 - NEAR:
        sure = Sure.SURE
    else:
        sure = Sure.LIKELY if margin > NEAR else Sure.AMBIGUOUS
    return Proposal(
        tap=tap,
        signal=best.signal,
        sure=sure,
        agreement=best.agreement,
        chance=best.chance,
        looked_at=best.looked_at,
        next_best=next_best,
        rival=rival,
        entry=best.entry,
    )


def _order(trial: _Trial) -> str:
    order = "" if trial.entry.order is None else f", {' '.join(trial.entry.order)}"
    return order + (", high-first" if trial.entry.lane_order == "high-first" else "")
