"""Inputs that tell hypotheses apart where a trace cannot: solved for at the operator, then looked for in images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from fxsim.contract import Number
from fxsim.contract.arithmetic import Int64, Integers
from fxsim.engines import run
from fxsim.explain.between import Between, between_anywhere
from fxsim.explain.case import Case, Change, merged
from fxsim.explain.hypotheses import hypotheses
from fxsim.explain.result import Telling
from fxsim.explain.rules import CONTRACT, Rule, compute
from fxsim.explain.solve import Solved, solve
from fxsim.graph import INPUT, Model

if TYPE_CHECKING:
    from fxsim.explain.search import Tried

IMAGES_FILE = "telling.npy"
_SEED = 20260101
_RANDOM = 48
"""Random images, and as many of extremes and of few values that are not zero."""
_VALUES_MAX = 1 << 24
"""Most values of one tensor that are drawn at once."""
_DRAWN = ("operand", "other")


@dataclass
class Teller:
    """Inputs that tell the hypotheses of a trace apart, as they are found.

    `images`: of the model, in the order of rows of `telling.npy`; `operands`: where none was found but inputs of an
    operator, these by file.
    """

    images: list[Integers] = field(default_factory=list)
    operands: dict[str, Integers] = field(default_factory=dict)
    _ran: tuple[Model, tuple[str, ...], dict[str, Int64]] | None = None

    def tell(self, model: Model, case: Case, best: "Tried", other: "Tried") -> Telling:
        """An input of a model on which another hypothesis that fits a tap differs from the best."""
        changes = (best.changes, other.changes)
        if any(change.whole for both in changes for change in both):
            return self._none(other, None, "one of them is about which values of this very trace are late")
        solved = _solved(case, *changes)
        if solved.values is None and solved.decided:
            return self._none(other, True, solved.why)
        drawn = _drawn(model.graph.input.shape, model.graph.input.number)
        images = drawn.astype(model.graph.input.number.dtype)
        values = self._values(model, images, tuple(name for name in (*case.values, case.tap) if name != INPUT))
        found = _apart(case, values | {INPUT: drawn}, values[case.tap], *changes)
        if found is not None:
            self.images.append(images[found.image])
            return self._some(other, found, {INPUT: IMAGES_FILE}, len(self.images) - 1, "an image")
        operands = _operands(model, case, solved)
        found = _apart(case, operands, None, *changes)
        if found is None:
            return self._none(other, None, f"none among {len(drawn)} images, nor among inputs of the operator")
        given = {name for node in case.chain for name in node.inputs} - {node.name for node in case.chain}
        one = slice(found.image, found.image + 1)
        files = self.keep({n: operands[n][one].astype(case.tensors[n].number.dtype) for n in sorted(given)})
        return self._some(other, found, files, 0, solved.why if solved.values is not None else "drawn inputs")

    def _values(self, model: Model, images: Integers, taps: tuple[str, ...]) -> dict[str, Int64]:
        """Values of taps for the drawn images, which are the same for every pair of hypotheses: computed once a tap."""
        if self._ran is None or self._ran[0] is not model or self._ran[1] != taps:
            made = run(model, images, tuple(dict.fromkeys(taps)))
            self._ran = model, taps, {name: values.astype(np.int64) for name, values in made.items()}
        return self._ran[2]

    def keep(self, inputs: Mapping[str, Integers]) -> dict[str, str]:
        """The files, by tensor, that one image of an operator's inputs will be written to."""
        files = {name: f"telling_{len(self.operands) + i}.npy" for i, name in enumerate(inputs)}
        self.operands |= {files[name]: values for name, values in inputs.items()}
        return files

    def _none(self, other: "Tried", same: bool | None, why: str) -> Telling:
        return Telling(label=other.label, node=other.node, parameters=other.parameters, same=same, why=why)

    def _some(self, other: "Tried", found: "_Found", files: dict[str, str], row: int, why: str) -> Telling:
        return Telling(
            label=other.label, node=other.node, parameters=other.parameters, same=False, why=why, files=files, row=row,
            index=found.index, results=found.results,
        )  # fmt: skip


def _solved(case: Case, *both: Sequence[Change]) -> Solved:
    """The solver's answer where all is changed at the tap's own node."""
    node = case.chain[-1]
    if any(change.node != node.name for changes in both for change in changes):
        return Solved(None, "", decided=False)
    one, other = (Rule(**merged(changes)[node.name]) for changes in both)
    return solve(node.op, [case.tensors[name] for name in node.inputs], one, other)


def _operands(model: Model, case: Case, solved: Solved) -> dict[str, Int64]:
    """Values of all that the case reads: the solver's, or drawn where the chain begins, computed behind."""
    if solved.values is not None:
        return dict(zip(case.chain[-1].inputs, solved.values, strict=True))
    made: dict[str, Int64] = {}
    for name in (INPUT, *model.graph.taps):
        if name not in case.values:
            continue
        maker = case.before.get(name)
        if maker is not None and all(given in made for given in maker.inputs):
            made[name] = compute(maker.op, CONTRACT, *(made[given] for given in maker.inputs))
        else:
            made[name] = _drawn(case.tensors[name].shape, case.tensors[name].number, len(made))
    return made


@dataclass(frozen=True)
class _Found:
    """An image on which two results differ, where, and what they are."""

    image: int
    index: dict[str, int]
    results: tuple[int, int]


def _apart(case: Case, values: Mapping[str, Int64], again: Int64 | None, *both: Sequence[Change]) -> _Found | None:
    """The image on which two hypotheses differ most."""
    images = len(next(iter(values.values())))
    got = np.zeros((images, *case.tensors[case.tap].shape), np.int64) if again is None else again
    here = Case(case.tap, case.chain, case.node, values, got, got, np.zeros(got.shape, bool), case.tensors, case.before)
    results = []
    for changes in both:
        moved = [_moved(change, here) for change in changes]
        if any(change is None for change in moved):
            return None
        results.append(here.compute(*(change for change in moved if change is not None)))
    differ = results[0] != results[1]
    if not differ.any():
        return None
    image = int(np.argmax(differ.reshape(len(differ), -1).sum(axis=1)))
    place = tuple(int(i) for i in np.argwhere(differ[image])[0])
    one, other = (int(result[(image, *place)]) for result in results)
    return _Found(image, dict(zip(case.tensors[case.tap].axes, place, strict=True)), (one, other))


def _moved(change: Change, case: Case) -> Change | None:
    """A change as it is of other inputs: what it puts in their place is proposed anew. None where it is not."""
    if not any(name in change.fields for name in _DRAWN):
        return change
    here = replace(case, node=next(node for node in case.chain if node.name == change.node))
    for proposed in hypotheses(here):
        if (proposed.label, proposed.parameters) == (change.label, change.parameters):
            return replace(proposed, node=change.node)
    return None


def _drawn(shape: tuple[int, ...], number: Number, stream: int = 0) -> Int64:
    """Inputs of a format, [image, ...]: uniform, extreme, and with few that are not zero; the same in every run."""
    rng = np.random.default_rng([_SEED, stream])
    count = max(1, min(_RANDOM, _VALUES_MAX // max(1, int(np.prod(shape)))))
    uniform, more = (rng.integers(number.low, number.high + 1, (count, *shape)) for _ in range(2))
    extreme = np.where(rng.random((count, *shape)) < 0.5, number.low, number.high)
    few = np.where(rng.random((count, *shape)) < 0.1, more, 0)
    drawn: Int64 = np.concatenate([uniform, extreme, few])
    # Where 0 is no value of the format, the greatest is in its place.
    return np.where(number.held(drawn), drawn, number.high)


def tell_contracts(model: Model, names: Sequence[str], teller: Teller) -> tuple[Between, ...]:
    """For contracts that make a whole trace, each but the first: an operator's input on which it differs from that."""
    answers = []
    for other in names[1:]:
        answer, inputs = between_anywhere(model, names[0], other)
        if inputs:
            answer = msgspec.structs.replace(answer, files=teller.keep(inputs))
        answers.append(answer)
    return tuple(answers)
