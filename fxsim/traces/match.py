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
from fxsim.traces.candidates import Candidate, candidates
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
    """How sure a proposal is."""

    SURE = "sure"
    """Every value looked at is equal, no other signal, tap or order agrees as well, and chance could not."""
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

    clock: str | None
    edge: str
    images: int
    proposals: tuple[Proposal, ...]
    unmatched_taps: tuple[str, ...]
    signals: int

    def content(self) -> TraceMap | None:
        """The map of all proposals that are not ambiguous; None where there is none."""
        taps = tuple(p.entry for p in self.proposals if p.sure is not Sure.AMBIGUOUS)
        return TraceMap(clock=self.clock, edge=_edge(self.edge), tap=taps) if taps else None


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
    clock: str | None = None,
    edge: str = "rising",
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
    clock, every = candidates(path, counts, clock, edge, scope)
    trials: dict[str, list[_Trial]] = {}
    signals: set[str] = set()
    for candidate in every:
        signals.add(candidate.signal)
        for tap in model.graph.taps:
            found = list(_trials(candidate, tap, model.graph.tensors[tap], values[tap], len(x)))
            if found:
                trials.setdefault(tap, []).append(max(found, key=lambda trial: trial.rank))
                trials[tap].extend(t for t in found if t.rank != trials[tap][-1].rank)
    return Match(
        clock=clock,
        edge=edge,
        images=looked,
        proposals=tuple(_proposals(model, trials)),
        unmatched_taps=tuple(tap for tap in model.graph.taps if tap not in trials),
        signals=len(signals),
    )


def _trials(candidate: Candidate, tap: str, tensor: Tensor, expected: Integers, images: int) -> Iterator[_Trial]:
    """Ways in which a candidate can be a tap."""
    looked = len(expected)
    base = TapMap(name=tap, signal=candidate.signal, valid=candidate.valid, ready=candidate.ready)
    for entry, flat in _readings(candidate, base, tensor, images, looked * tensor.size):
        known = np.ones(len(flat), np.bool_)
        if isinstance(flat, FourState):
            known, flat = ~flat.mask, flat.values
        chance, digest = _chance(flat, expected), hash(flat.astype(np.int64).tobytes())
        for order in list(permutations(tensor.axes))[:ORDERS_MAX]:
            sizes = [tensor.shape[tensor.axes.index(axis)] for axis in order]
            if order != tensor.axes and sum(size > 1 for size in sizes) < 2:
                continue
            turn = [1 + tensor.axes.index(axis) for axis in order]
            wanted = expected.transpose(0, *turn).reshape(-1)
            agreement = float(np.count_nonzero((flat == wanted) & known) / wanted.size)
            said = entry if order == tensor.axes else replace(entry, order=order)
            yield _Trial(agreement, chance, wanted.size, said, candidate.signal, digest)


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
            # An array that has the tap's own shape needs no order, any other does.
            natural = candidate.raw.ndim == 1 or candidate.raw.shape == (images, *tensor.shape)
            yield (base if natural else replace(base, order=tensor.axes)), flat
            if flat.dtype.kind in "iu":
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


def _chance(flat: npt.NDArray[Any], expected: Integers) -> float:
    """Share of values that would be equal if they came in an order that has nothing to do with what is expected."""
    values, counts = np.unique(flat, return_counts=True)
    wanted, times = np.unique(expected, return_counts=True)
    both = np.isin(values, wanted)
    at = np.searchsorted(wanted, values[both])
    return float((counts[both] / flat.size * (times[at] / expected.size)).sum())


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


def _edge(edge: str) -> Any:
    return edge
