"""The matrix of faults injected against labels given."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from fxsim.compare.four_state import FourState
from fxsim.contract.arithmetic import Int64, Integers
from fxsim.engines import run
from fxsim.explain.inject.catalogue import Injection, injections, pairs_of
from fxsim.explain.inject.faulty import Options, faulty
from fxsim.explain.locate import locate
from fxsim.explain.result import UNEXPLAINED, UNKNOWN_BITS, Fault
from fxsim.explain.search import explain
from fxsim.graph import INPUT, Model, Node

Progress = Callable[[int, int], None]


class Outcome(StrEnum):
    """The outcome of an injection."""

    NAMED = "named"
    """Its own label, with or without others that fit as well."""
    ALTERNATIVE = "alternative"
    """Another label that makes the same values, and its own among those that fit as well."""
    SIMPLER = "simpler"
    """The label of one of two faults, which makes all values alone: two rules are looked for where none does."""
    TOO_FEW = "too few"
    """No label for sure, its own among those that make all values, which are so few that this may be chance."""
    UNEXPLAINED = "unexplained"
    """No label, where there is one, and its own not among those that may be."""
    MISNAMED = "misnamed"
    """Another label for sure, and its own not among the alternatives: a wrong answer."""


class Tried(NamedTuple):
    """An injection, what came of it, and where; and `again`, on more images, where it was not named."""

    model: str
    node: str
    injected: str
    named: str
    alternatives: tuple[str, ...]
    outcome: Outcome
    values: int
    again: Outcome | None = None


@dataclass
class Confusion:
    """All injections. `harmless`: those that changed no value of the images, which nobody can see, by label."""

    tried: list[Tried] = field(default_factory=list)
    harmless: Counter[str] = field(default_factory=Counter)

    def count(self, outcome: Outcome) -> int:
        """The number that ended so."""
        return sum(tried.outcome is outcome for tried in self.tried)

    @property
    def misnamed(self) -> list[Tried]:
        """The wrong answers."""
        return [tried for tried in self.tried if tried.outcome is Outcome.MISNAMED]

    def matrix(self, pairs: bool = False) -> dict[str, Counter[str]]:
        """Labels given, by label injected: of single faults, or of pairs."""
        found: dict[str, Counter[str]] = {}
        for tried in self.tried:
            if ("+" in tried.injected) is pairs:
                found.setdefault(tried.injected, Counter())[tried.named] += 1
        return dict(sorted(found.items()))


class _Place(NamedTuple):
    """A node of a model whose right values are known, and the faults for it."""

    model: Model
    node: Node
    x: Integers
    values: dict[str, Int64]
    images: int


def confuse(
    models: Iterable[tuple[Model, Integers]],
    seed: int,
    *,
    images: int | None = None,
    most: int | None = None,
    pairs: int = 0,
    progress: Progress | None = None,
) -> Confusion:
    """Inject faults into operators of models, on images each, and tell what they are called.

    `images`: so many of them; a fault that has no label then is injected again, into all. `most`: so many injections,
    spread over labels as evenly as they are there; None: every fault at every node. `pairs`: two at once, so many
    drawn. The same seed gives the same.
    """
    rng = np.random.default_rng(seed)
    singles: list[tuple[_Place, Injection]] = []
    doubles: list[tuple[_Place, Injection]] = []
    for model, x in models:
        values = {name: v.astype(np.int64) for name, v in run(model, x, model.graph.taps, "reference").items()}
        values[INPUT] = x.astype(np.int64)
        for node in model.graph.nodes:
            place = _Place(model, node, x, values, len(x) if images is None else images)
            own = injections(model, node, values, rng)
            singles += [(place, injection) for injection in own]
            doubles += [(place, injection) for injection in pairs_of(own)]
    chosen = singles if most is None else _spread(singles, most, rng)
    chosen = chosen + _spread(doubles, pairs, rng)
    found = Confusion()
    for number, (place, injection) in enumerate(chosen):
        if progress is not None:
            progress(number, len(chosen))
        _try(found, place, injection, np.random.default_rng([seed, number]))
    return found


def _spread(
    all_: list[tuple[_Place, Injection]], most: int, rng: np.random.Generator
) -> list[tuple[_Place, Injection]]:
    """So many of them, of each label in turn."""
    by_label: dict[str, list[tuple[_Place, Injection]]] = {}
    for at in rng.permutation(len(all_)):
        by_label.setdefault(all_[at][1].label, []).append(all_[at])
    found: list[tuple[_Place, Injection]] = []
    labels = [label for _, label in sorted((rng.random(), label) for label in sorted(by_label))]
    while len(found) < most and any(by_label.values()):
        for label in labels:
            if by_label[label] and len(found) < most:
                found.append(by_label[label].pop())
    return found


def _try(found: Confusion, place: _Place, injection: Injection, rng: np.random.Generator) -> None:
    tried = _tried(place, injection, rng, place.images)
    if isinstance(tried, str):
        found.harmless[tried] += 1
        return
    if tried.outcome in (Outcome.TOO_FEW, Outcome.UNEXPLAINED) and place.images < len(place.x):
        more = _tried(place, injection, rng, len(place.x))
        assert not isinstance(more, str), "more images hold those that differed"
        tried = tried._replace(again=more.outcome)
    found.tried.append(tried)


def _tried(place: _Place, injection: Injection, rng: np.random.Generator, images: int) -> Tried | str:
    """The outcome of an injection on so many images; its label where it changed no value."""
    model, node, x = place.model, place.node, place.x[:images]
    values = {name: array[:images] for name, array in place.values.items()}
    inputs = [values[name] for name in node.inputs]
    right = values[node.name]
    state = rng.bit_generator.state
    options = _of_images(injection.options, images)
    made = faulty(node, inputs, options, rng)
    name, label = injection.name, injection.label
    got: Int64 | FourState = made
    if label == UNKNOWN_BITS:
        unknown = (rng.random(made.shape) < options["unknown"]).astype(np.uint32)
        got = FourState(made, unknown, model.graph.tensors[node.name].number.bits)
        if not unknown.any():
            return name
    elif np.array_equal(made, right):
        return name
    for part in injection.parts:
        # One of two faults that changes nothing beside the other is none.
        rng.bit_generator.state = state
        if np.array_equal(faulty(node, inputs, _of_images(part.options, images), rng), made):
            name = label = part.label
    shown: dict[str, Int64 | FourState] = {}
    for earlier in model.graph.nodes:
        if earlier.name == node.name:
            break
        shown[earlier.name] = values[earlier.name]
    located = locate(model, x, shown | {node.name: got})
    fault = explain(located, node.name)
    outcome = _outcome(label, fault)
    return Tried(model.name, node.name, name, fault.label, fault.alternatives, outcome, fault.values_differing)


def _of_images(options: Options, images: int) -> Options:
    """Options of the first images: values that take the place of others are of them."""
    return {name: of[:images] if name == "residual" else of for name, of in options.items()}


def _outcome(label: str, fault: Fault) -> Outcome:
    if fault.label == label:
        return Outcome.NAMED
    if fault.label == UNEXPLAINED:
        return Outcome.TOO_FEW if label in fault.alternatives else Outcome.UNEXPLAINED
    if label in fault.alternatives:
        return Outcome.ALTERNATIVE
    return Outcome.SIMPLER if fault.label in label.split("+") and "+" not in fault.label else Outcome.MISNAMED
