"""A rule that holds in some channels or tokens only, where all others are right."""

from collections.abc import Iterable, Iterator
from math import comb, log2
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract import CHANNEL, TOKEN
from fxsim.explain.case import Case, Change
from fxsim.explain.hypotheses.requantise import ROWS_MAX
from fxsim.operators import Affine, Axis, Linear

FREEDOM_MAX = 10
"""Bits that a rule may have chosen to fit: what is fitted closer has its own places."""
SURPLUS = 10
"""Values in which a rule must differ from the contract and be right, beyond one for each place that was chosen: one in
a thousand that either's values would agree so by chance."""
UNSURE_MAX = 3
"""Most places of a rule that may be, though less says so."""
_LANES = (2, 4, 8, 16, 32)
_FORMS_BITS = 3
_ELSEWHERE = {"gather", "arrange", "only"}
_IMAGES = {"operand", "other"}
_BY_ROW = {"shift_plus_one", "shift_minus_one", "bias_wrong_channel"}
"""Rules that a shift or bias of some rows is, which is looked for by itself."""

Mask = npt.NDArray[np.bool_]


def restricted(case: Case, changes: Iterable[Change]) -> Iterator[Change]:
    """Changes of the case's node, each only where it makes what came; elsewhere the contract does."""
    if not case.alone or not case.wrong.any():
        return
    counts = case.wrong.reshape(len(case.wrong), -1).sum(axis=1)
    sample = case.part(np.array([int(np.argmax(counts))]))
    for change in changes:
        if change.whole or change.freedom > FREEDOM_MAX or not _ELSEWHERE.isdisjoint(change.fields):
            continue
        # Most fail in one image already; inputs put in place of others' are of all.
        if not _IMAGES.intersection(change.fields) and not any(_places(sample, sample.compute(change))):
            continue
        made = case.compute(change)
        for words, axis, holds, untold in _places(case, made):
            found = _described(case, change, words, axis, holds, untold)
            if found is not None:
                yield found


def _places(case: Case, made: npt.NDArray[np.int64]) -> Iterator[tuple[str, int, Mask, Mask]]:
    """Axes along which each place is what a change made or the contract's: where it is, and where both are one."""
    tensor = case.tensors[case.tap]
    for name in (CHANNEL, TOKEN):
        axis = tensor.axis(name)
        if axis is None or tensor.shape[axis] < 2:
            continue
        rest = tuple(i for i in range(made.ndim) if i != axis + 1)
        changed, right = (made == case.got).all(axis=rest), (case.again == case.got).all(axis=rest)
        if (changed | right).all() and not right.all():
            yield f"{name}s", axis, changed & ~right, changed & right


def _described(case: Case, change: Change, words: str, axis: int, holds: Mask, untold: Mask) -> Change | None:
    """A change in some places; None where it is one that has another name, or where far too little says so."""
    places, size = [int(i) for i in np.flatnonzero(holds)], len(holds)
    op = case.op
    rows = "tokens" if isinstance(op, Linear) and op.over is Axis.TOKENS else "channels"
    if words == rows and isinstance(op, Linear | Affine) and len(places) <= ROWS_MAX and change.label in _BY_ROW:
        return None
    if not (~holds & ~untold).any():  # nothing says that it does not hold everywhere
        return None
    parameters: dict[str, Any] = {**change.parameters, words: places}
    freedom, chosen = log2(comb(size, len(places))), len(places)
    for lanes in _LANES:
        lane = {place % lanes for place in places}
        whole = np.arange(size) % lanes == min(lane)
        if len(lane) == 1 and len(places) > 1 and not (whole & ~holds & ~untold).any():
            parameters |= {"lanes": lanes, "lane": min(lane)}
            freedom, chosen = min(freedom, log2(2 * lanes)), 1
            break
    sure = int(case.wrong.sum()) >= SURPLUS + chosen
    if not sure and chosen > UNSURE_MAX:
        return None
    if untold.any():
        parameters["untold"] = [int(i) for i in np.flatnonzero(untold)]
    fields = {**change.fields, "only": np.expand_dims(holds, [i for i in range(case.got.ndim - 1) if i != axis])}
    return Change(change.label, fields, parameters, change.freedom + freedom + _FORMS_BITS, change.node, sure=sure)
