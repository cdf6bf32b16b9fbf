"""The least case of a fault: the faulty operator alone, with so little of the trace that the same is still said of it.

Delta debugging: images, tokens, channels, inputs of sums and weights are left out as long as a search for causes finds
the same one at the same operator, and no other that fits as well.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fxsim.compare.four_state import FourState
from fxsim.contract.arithmetic import Integers
from fxsim.errors import ComparisonError, FxsimError
from fxsim.explain.applied import changes_of
from fxsim.explain.locate import Located, locate
from fxsim.explain.part import Index, Part, Seen, isolate
from fxsim.explain.result import Fault
from fxsim.explain.rules import Rule
from fxsim.explain.search import explain
from fxsim.explain.whole import reproducing
from fxsim.graph import Model

TRIES_MAX = 600
"""Most searches for causes; what is left then is the result."""
_LEVELS_MAX = 3
_BY_CONTRACT = "contract_"
_SCALARS = (int, str, bool, tuple, np.int64)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Shrunk:
    """The least case: a part, its model with images and trace, the fault found there, and searches that it took.

    `gave_up`: `TRIES_MAX` were not enough, so that something smaller may do.
    """

    part: Part
    model: Model
    x: Integers
    trace: Mapping[str, Seen]
    fault: Fault
    tries: int
    gave_up: bool


def explained(located: Located, tap: str, fault: Fault) -> Fault:
    """The cause of a tap, looked for as a fault's was: pairs of rules, or contracts of a whole trace, only for such."""
    contracts = reproducing(located) if fault.label.startswith(_BY_CONTRACT) else ()
    return explain(located, tap, "+" in fault.label, contracts)


class _Search:
    """Tries parts, and keeps the least that shows the same fault."""

    def __init__(self, fault: Fault, progress: Progress | None) -> None:
        self._fault = fault
        self._progress = progress
        self.tries = 0
        self.found: Fault | None = None

    def same(self, part: Part | None) -> bool:
        """Whether the same is said of a part: label, operator and certainty, and nothing fits beside what did."""
        if part is None or self.tries >= TRIES_MAX:
            return False
        self.tries += 1
        if self._progress is not None:
            self._progress(self.tries, TRIES_MAX)
        try:
            model, x, trace = part.build()
            located = locate(model, x, trace)
        except FxsimError:
            return False
        if located.faulty != (part.tap,):
            return False
        found = explained(located, part.tap, self._fault)
        wanted = self._fault
        same = (found.label, found.node, found.exact) == (wanted.label, wanted.node, wanted.exact)
        if not same or not set(found.alternatives) <= {wanted.label, *wanted.alternatives}:
            return False
        self.found = found
        return True

    def least(self, part: Part, count: int, of: Callable[[Part, Index], Part | None]) -> Part:
        """The part with as few of `count` things as show the same, found by leaving out more and more at once less."""
        kept = np.arange(count)
        best = part
        size = len(kept) // 2
        while size and len(kept) > 1:
            at = 0
            while at < len(kept) and len(kept) > 1:
                fewer = np.delete(kept, slice(at, at + size))
                tried = of(part, fewer) if len(fewer) else None
                if self.same(tried):
                    assert tried is not None
                    kept, best = fewer, tried
                else:
                    at += size
            size //= 2
        return best


def shrink(
    model: Model, x: Integers, trace: Mapping[str, npt.NDArray[np.integer] | FourState], fault: Fault,
    progress: Progress | None = None,
) -> Shrunk:  # fmt: skip
    """The least case of a fault that `diff` found in a trace. ComparisonError where no part of the model shows it."""
    located = locate(model, x, trace)
    seen: dict[str, Seen] = {
        tap: values if isinstance((values := trace[tap]), FourState) else located.got[tap] for tap in located.got
    }
    search = _Search(fault, progress)
    start = (isolate(located, seen, fault.tap, levels) for levels in range(_LEVELS_MAX + 1))
    part = next((part for part in start if search.same(part)), None)
    if part is None:
        raise ComparisonError(f"tap '{fault.tap}': no part of the model shows the same fault alone")
    part = search.least(part, part.images, Part.of_images)
    if part.tokens:
        part = search.least(part, part.tokens, Part.of_tokens)
    if part.lanes:
        part = search.least(part, part.lanes, Part.of_lanes)
    if part.rows:
        part = search.least(part, part.rows, Part.of_rows)
    if part.columns:
        part = _fewer_inputs(search, part, _rule(part, fault))
    part = search.least(part, part.images, Part.of_images)
    if not search.same(part) and search.tries < TRIES_MAX:
        raise ComparisonError(
            f"tap '{fault.tap}': the least case does not show the same fault when it is looked at anew"
        )
    assert search.found is not None
    built, images, got = part.build()
    return Shrunk(part, built, images, got, search.found, search.tries, search.tries >= TRIES_MAX)


def _fewer_inputs(search: _Search, part: Part, rule: Rule | None) -> Part:
    """The part with few inputs of its sums, and few weights that are not zero.

    Inputs that add nothing to any sum are left out first. Others change what comes: then it is what the rule makes.
    """

    def of_columns(whole: Part, index: Index) -> Part | None:
        fewer = whole.of_columns(index)
        return fewer if rule is None else fewer.by_rule(rule)

    (values,) = (part.given[name] for name in part.nodes[0].inputs)
    read = np.moveaxis(values, part.summed_axis, -1).reshape(-1, part.columns)
    used = read.any(axis=0) & part.linear.weight.any(axis=0)
    bare = part.of_columns(np.flatnonzero(used)) if used.any() and not used.all() else part
    part = bare if bare is part or search.same(bare) else part
    if rule is None:
        return part
    part = search.least(part, part.columns, of_columns)
    places = np.argwhere(part.linear.weight)

    def of_weights(whole: Part, index: Index) -> Part:
        weight = np.zeros_like(whole.linear.weight)
        chosen = tuple(places[index].T)
        weight[chosen] = whole.linear.weight[chosen]
        return whole.with_weight(weight).by_rule(rule)

    return search.least(part, len(places), of_weights)


def _rule(part: Part, fault: Fault) -> Rule | None:
    """The rule that explains a fault, where it says the same of every operator of its kind; None where it does not."""
    model, x, trace = part.build()
    changes = changes_of(locate(model, x, trace), fault)
    plain = len(changes) == 1 and all(isinstance(value, _SCALARS) for value in changes[0].fields.values())
    return Rule(**changes[0].fields) if plain else None
