"""The search for a rule that makes every value of a faulty tap."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import e, log2
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.explain.case import Case, Change, make_cases
from fxsim.explain.contracts import CONTRACTS
from fxsim.explain.hypotheses import fitted, hypotheses, trials
from fxsim.explain.hypotheses.restricted import restricted
from fxsim.explain.locate import Located
from fxsim.explain.result import UNEXPLAINED, UNKNOWN_BITS, Fault, Partial
from fxsim.explain.telling import Teller

PAIRED = 120
"""Changes that pairs are made of, at most: those that explain most alone."""
_PARTIAL = 5
_SURE_BITS = 10
"""Bits that an explanation must say beyond what was chosen to fit, and which of all it is: one in a thousand that any
fits by chance."""
_OTHERS = 20
_FEW = 5
"""Wrong values so few that a rule in some places, which makes them, is told beside one that makes them everywhere."""


@dataclass(frozen=True)
class Tried:
    """One or two changes, and what they made: values explained of the wrong ones, right ones spoiled."""

    changes: tuple[Change, ...]
    explained: int
    spoiled: int
    wrong: int

    @property
    def share(self) -> float:
        """Part of the wrong values that it explains, less right ones spoiled; on the images that were tried."""
        return (self.explained - self.spoiled) / self.wrong if self.wrong else -1.0

    @property
    def label(self) -> str:
        """The label, of two joined by a plus."""
        return "+".join(dict.fromkeys(sorted(change.label for change in self.changes)))

    @property
    def key(self) -> tuple[tuple[str, str, str], ...]:
        """Its changes, whichever was found first."""
        return tuple(sorted((c.label, c.node, repr(sorted(c.parameters.items()))) for c in self.changes))

    @property
    def freedom(self) -> float:
        """Bits that were chosen to fit."""
        return sum(change.freedom for change in self.changes)

    @property
    def node(self) -> str:
        """The node where it is done."""
        return self.changes[0].node

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters; of two, by label."""
        if len(self.changes) == 1:
            return dict(self.changes[0].parameters)
        return {f"{change.label} at {change.node}": dict(change.parameters) for change in self.changes}

    @property
    def partial(self) -> Partial:
        """For the result."""
        return Partial(
            label=self.label, node=self.node, parameters=self.parameters, values_explained=self.explained,
            spoiled=self.spoiled,
        )  # fmt: skip


def explain(
    located: Located,
    tap: str,
    pairs: bool = True,
    contracts: tuple[str, ...] = (),
    teller: Teller | None = None,
) -> Fault:
    """The cause of a faulty tap: the simplest rule that makes all of its values, or that there is none.

    `pairs`: whether two rules at once are tried where one alone does not do. `contracts`: names of those that make the
    whole trace; where no rule does alone, they are the cause. `teller`: what finds inputs that tell apart those that
    fit, if any.
    """
    state = next(state for state in located.states if state.tap == tap)
    cases = make_cases(located, tap)
    total = int(cases[0].wrong.sum())

    def fault(label: str, node: str, best: Tried | None, **more: Any) -> Fault:
        return Fault(
            tap=tap, label=label, exact=best is not None and label != UNEXPLAINED, node=node,
            parameters={} if best is None or label == UNEXPLAINED else best.parameters,
            alternatives=more.get("alternatives", ()), others=more.get("others", ()), partial=more.get("partial", ()),
            pairs_left_out=more.get("pairs_left_out", 0), telling=more.get("telling", ()),
            values=state.values, values_differing=total, first=state.first,
            values_explained=0 if best is None else best.explained,
        )  # fmt: skip

    if cases[0].hidden.any():
        known = _known(cases[0])
        return Fault(
            tap=tap, label=UNKNOWN_BITS, exact=known, node=tap, parameters={"values": int(cases[0].hidden.sum())},
            alternatives=(), values=state.values, values_differing=total,
            values_explained=int(cases[0].hidden.sum()), first=state.first,
        )  # fmt: skip
    tried = [attempt for case in cases for attempt in _singles(case)]
    fitting, left_out = _fitting(cases[0], tried, len(tried)), 0
    possible, maybe = _fitting(cases[0], tried, 0), list[Tried]()
    if not fitting or fitting[0].freedom > 0 or total < _FEW:
        fixed = [t.changes[0] for t in tried if t.node == tap]
        places = [_try(cases[0], change) for change in restricted(cases[0], fixed)]
        fitting = sorted(fitting + _fitting(cases[0], places, len(tried)), key=lambda t: t.freedom)
        maybe = [t for t in _fitting(cases[0], places, 0) if t not in fitting]
    if not fitting and contracts and _whole_trace_says(located) >= _SURE_BITS + log2(len(CONTRACTS)):
        first, *rest = (f"contract_{name}" for name in contracts)
        return Fault(
            tap=tap, label=first, exact=True, node=tap, parameters={}, alternatives=tuple(rest), values=state.values,
            values_differing=total, values_explained=total, first=state.first,
        )  # fmt: skip
    if not fitting and not possible and pairs:
        singles = sorted((t for t in tried if not t.changes[0].whole), key=lambda t: -t.share)
        chosen = _chosen(singles)
        left_out = len(singles) - len(chosen)
        two = list(
            {attempt.key: attempt for attempt in (*_beside(cases[0], singles), *_pairs(cases[0], chosen))}.values()
        )
        fitting = _fitting(cases[0], two, len(tried) ** 2)
        possible = [] if maybe else _fitting(cases[0], two, 0)
    if fitting:
        best, *others = [*fitting, *maybe]
        # The same label elsewhere, or of other parameters, is another cause.
        labels = tuple(dict.fromkeys(other.label for other in others))
        others = others[:_OTHERS]
        telling = () if teller is None else tuple(teller.tell(located.model, cases[0], best, other) for other in others)
        return fault(
            best.label, best.node, best, alternatives=labels, others=tuple(other.partial for other in others),
            telling=telling,
        )  # fmt: skip
    if possible := [*possible, *maybe]:
        # All values are made, but they are so few that this may be chance.
        best, *others = possible[:_OTHERS]
        telling = () if teller is None else tuple(teller.tell(located.model, cases[0], best, other) for other in others)
        return fault(
            UNEXPLAINED, tap, best, alternatives=tuple(dict.fromkeys(fits.label for fits in possible)),
            others=tuple(fits.partial for fits in possible[:_OTHERS]), telling=telling,
        )  # fmt: skip
    helping = sorted((a for a in tried if a.explained > a.spoiled), key=lambda a: (-a.share, a.freedom))
    whole = (_try(next(c for c in cases if c.node.name == a.node), *a.changes) for a in helping[:_PARTIAL])
    helping = sorted(whole, key=lambda a: (a.spoiled - a.explained, a.freedom))
    best_partial = helping[0] if helping else None
    return fault(
        UNEXPLAINED, tap, best_partial, partial=tuple(a.partial for a in helping[:_PARTIAL]), pairs_left_out=left_out
    )


def _known(case: Case) -> bool:
    """Whether all that is wrong are values with unknown bits."""
    return bool(((case.got == case.again) | case.hidden).all())


@dataclass(frozen=True)
class _Sample:
    """The image with most wrong values, and the one with fewest: most changes fail there already."""

    case: Case
    images: npt.NDArray[np.int64]

    def of(self, change: Change) -> Change:
        """A change as it is on these images: inputs that it replaces are theirs."""
        own = {k: v[self.images] if k in ("operand", "other") else v for k, v in change.fields.items()}
        return replace(change, fields=own)


def _sample(case: Case) -> _Sample:
    counts = case.wrong.reshape(len(case.wrong), -1).sum(axis=1)
    images = np.unique([int(np.argmax(counts)), int(np.argmin(counts))])
    return _Sample(case.part(images), images)


def _singles(case: Case) -> Iterator[Tried]:
    """Every change on its own: of those that fail on the sample, what they explain there."""
    sample = _sample(case)
    for change in _own(case):
        if change.whole:
            yield _try(case, change)
            continue
        tried = _try(sample.case, sample.of(change))
        right = tried.explained == int(sample.case.wrong.sum()) and tried.spoiled == 0
        yield _try(case, change) if right else replace(tried, changes=(change,))


def _own(case: Case) -> Iterator[Change]:
    return (replace(change, node=case.node.name) for change in hypotheses(case))


def proposed(case: Case) -> Iterator[Change]:
    """Every single change that is tried for a case: of its node everywhere, or in some places, and those in trials."""
    own = list(_own(case))
    yield from own
    yield from restricted(case, own)
    yield from (replace(change, node=case.node.name) for change in trials(case))


def _try(case: Case, *changes: Change) -> Tried:
    right = case.compute(*changes) == case.got
    explained = int((right & case.wrong).sum())
    return Tried(changes, explained, int((~right & ~case.wrong).sum()), int(case.wrong.sum()))


def _fitting(case: Case, tried: list[Tried], choices: int) -> list[Tried]:
    """The attempts that make every value and could not do so by chance; those that chose least come first.

    Of no `choices`: by chance, too.
    """
    total = int(case.wrong.sum())
    if not choices:
        fits = [t for t in tried if t.explained == total and t.spoiled == 0]
        return sorted(fits, key=lambda t: t.freedom)
    # Which values are wrong is to be explained, too.
    said = total * (_bits_a_value(case) + log2(e * case.wrong.size / total))
    sure = _SURE_BITS + log2(choices)
    fits = [t for t in tried if t.explained == total and t.spoiled == 0 and t.freedom + sure <= said]
    fits = [t for t in fits if all(change.sure for change in t.changes)]
    return sorted(fits, key=lambda t: t.freedom)


def _whole_trace_says(located: Located) -> float:
    """Bits that a trace's wrong values say, at all taps together: which they are, and one each."""
    faulty = (state for state in located.states if state.local)
    return sum(state.local * (1 + log2(e * state.values / state.local)) for state in faulty)


def _bits_a_value(case: Case) -> float:
    """Bits that one wrong value says: as many bits as there are different ones."""
    return max(1.0, log2(len(np.unique(case.got[case.wrong])) + 1))


def _pairs(case: Case, singles: list[Tried]) -> Iterator[Tried]:
    """Two changes at once, of different fields of a node or of two nodes; those that explain most are tried first."""
    sample = _sample(case)
    changes = [(t.changes[0], sample.of(t.changes[0])) for t in singles]
    for i, (one, one_here) in enumerate(changes):
        for other, other_here in changes[:i]:
            if one.node == other.node and set(one.fields) & set(other.fields):
                continue
            if np.array_equal(sample.case.compute(one_here, other_here), sample.case.got):
                yield _try(case, one, other)


def _chosen(singles: list[Tried]) -> list[Tried]:
    """Best-first singles that pairs are made of: all that chose nothing to fit, and what explains most."""
    plain = [t for t in singles if t.freedom == 0]
    rest = [t for t in singles if t.freedom > 0]
    return sorted(plain + rest[: max(0, PAIRED - len(plain))], key=lambda t: -t.share)


def _beside(case: Case, singles: list[Tried]) -> Iterator[Tried]:
    """Each change taken for granted, and beside it those whose parameters are found in what it leaves."""
    sample = _sample(case)
    for first in (*(t.changes[0] for t in singles), *(replace(t, node=case.node.name) for t in trials(case))):
        here = sample.of(first)
        small = sample.case.beside(here)
        if small is None:
            continue
        if small.wrong.any() and not any(
            np.array_equal(sample.case.compute(here, replace(change, node=case.tap)), sample.case.got)
            for change in fitted(small)
        ):
            continue
        yield from (_try(case, first, second) for second in beside(case, first))


def beside(case: Case, first: Change) -> Iterator[Change]:
    """Changes whose parameters are found in what came, if another is taken for granted."""
    left = case.beside(first)
    if left is not None:
        for second in fitted(left):
            if (second.label, case.tap) != (first.label, first.node):
                yield replace(second, node=case.tap)
