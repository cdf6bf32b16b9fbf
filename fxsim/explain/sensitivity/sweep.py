"""The sweep: every change at every node alone, everywhere, and everywhere but at one node, chunk by chunk of images.

What lies before a change is the contract's, computed once; what lies behind it alone is a model of its own, which the
compiled engine computes of those images that the change reaches.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Int64, Integers
from fxsim.engines import Engine, chosen_engine, run
from fxsim.errors import ComparisonError, ModelError, StimulusError
from fxsim.explain.case import Change
from fxsim.explain.part import Part
from fxsim.explain.sensitivity.alternatives import Alternative, alternatives
from fxsim.explain.sensitivity.nodes import Nodes
from fxsim.explain.sensitivity.result import Effect, Everywhere, Outcome, Sensitivity, TapRange
from fxsim.graph import INPUT, Model, Node

Progress = Callable[[int, int], None]
Labels = npt.NDArray[np.integer]

_TOGETHER_BYTES = 1 << 27
"""Bytes of all tensors of the images that are computed at once, eight a value: bounds memory."""
_TOGETHER_MAX = 256


def sensitivity(
    model: Model,
    x: npt.NDArray[np.generic],
    labels: Labels | None = None,
    *,
    nodes: Iterable[str] | None = None,
    rules: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> Sensitivity:
    """The change of a model's answers on images `x`, [image, ...], by each rule, table size and bit of width.

    `labels`: [image], for accuracies. `nodes`: those that are changed, `rules`: labels, by default all. StimulusError
    where images or labels do not fit, or there are none; ModelError where a node or label is not known.
    """
    begun = time.monotonic()
    images = model.check_stimulus(x)
    if len(images) == 0:
        raise StimulusError("there are no images to sweep, expected at least one")
    if labels is not None and (labels.shape != (len(images),) or labels.dtype.kind not in "iu"):
        raise StimulusError(f"labels are {labels.dtype} {labels.shape}, expected whole numbers ({len(images)},)")
    engine = chosen_engine(Engine.AUTO, model)
    first = run(model, images[:1], "all", engine) | {INPUT: images[:1]}
    chosen = _chosen(model, alternatives(model, first), nodes, rules)
    sweep = _Sweep(model, chosen, engine)
    size = max(1, min(_TOGETHER_MAX, _TOGETHER_BYTES // (8 * model.graph.bytes_per_image)))
    parts = [slice(start, min(start + size, len(images))) for start in range(0, len(images), size)]
    total = len(parts) * sum(len(a.changes) for a in chosen)
    done = 0

    def report() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    for part in parts:
        sweep.add(images[part], None if labels is None else labels[part], report)
    return sweep.result(time.monotonic() - begun)


def _chosen(
    model: Model, every: list[Alternative], nodes: Iterable[str] | None, rules: Iterable[str] | None
) -> list[Alternative]:
    """The alternatives asked for, at the nodes asked for."""
    labels = {alternative.label for alternative in every}
    wanted = labels if rules is None else set(rules)
    if unknown := sorted(wanted - labels):
        raise ModelError(f"no operator of model '{model.name}' has the rule {unknown[0]!r}; there are: {_list(labels)}")
    places = set(model.graph.taps) if nodes is None else set(nodes)
    if strange := sorted(places - set(model.graph.taps)):
        raise ModelError(f"model '{model.name}' has no node {strange[0]!r}, expected: {_list(model.graph.taps)}")
    found = [
        Alternative(
            a.group, a.label, a.parameters,
            {node: change for node, change in a.changes.items() if node in places},
            {node: why for node, why in a.left_out.items() if node in places},
        )
        for a in every
        if a.label in wanted
    ]  # fmt: skip
    left = [a for a in found if a.changes or a.left_out]
    if not left:
        raise ModelError(f"none of the nodes {_list(places)} has any of the rules {_list(wanted)}: nothing to change")
    return left


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


@dataclass
class _Tally:
    """Answers of a changed model beside the contract's, added up over chunks."""

    changed: int = 0
    largest: int = 0
    total: int = 0
    right: int = 0

    def add(self, contract: Int64, came: Int64, labels: Labels | None) -> None:
        """Outputs of a chunk, [image, value]."""
        off = np.abs(came - contract)
        answers = came.argmax(axis=1)
        self.changed += int(np.count_nonzero(answers != contract.argmax(axis=1)))
        self.largest = max(self.largest, int(off.max()))
        self.total += int(off.sum())
        self.right += 0 if labels is None else int(np.count_nonzero(answers == labels))

    def outcome(self, images: int, values: int, right: int | None) -> Outcome:
        """The outcome of so many images of so many outputs, of which the contract answers `right` rightly."""
        mean = self.total / (images * values)
        if right is None:
            return Outcome(top1_changed=self.changed, largest=self.largest, mean=mean)
        lost = (right - self.right) / images
        return Outcome(top1_changed=self.changed, largest=self.largest, mean=mean, right=self.right, lost=lost)


@dataclass
class _Change:
    """The tallies of one alternative: everywhere, and at each node only and everywhere else; and why there are none.

    `failed`: everywhere; `refused`, `mixed`: by node, only there and everywhere else.
    """

    everywhere: _Tally = field(default_factory=_Tally)
    only: dict[str, _Tally] = field(default_factory=dict)
    but: dict[str, _Tally] = field(default_factory=dict)
    failed: str = ""
    refused: dict[str, str] = field(default_factory=dict)
    mixed: dict[str, str] = field(default_factory=dict)


class _Behind:
    """The nodes that depend on a node, as a model of their own where they can be, for the images of one chunk."""

    def __init__(self, computed: Nodes, node: str, values: Mapping[str, Integers], engine: Engine) -> None:
        model = computed.model
        self.computed, self.model, self.node, self.values, self.engine = computed, model, node, values, engine
        self.nodes = behind(model, node)
        names = {n.name for n in self.nodes}
        read = {name for n in self.nodes for name in n.inputs} - names - {node}
        # The changed tensor first: its place in the images of the part is then known.
        given = {name: values[name].astype(np.int64) for name in (node, *sorted(read))}
        self.part: tuple[Model, Integers] | None = None
        if self.nodes:
            try:
                made, x, _ = Part(f"{model.name} behind {node}", self.nodes, given, {}, model.graph.tensors).build()
                self.part = made, x
            except ModelError:  # its tensors cannot be put together
                self.part = None

    def output(self, changed: Integers, images: npt.NDArray[np.intp]) -> Int64:
        """The model's output, [image, value], where the node has other values in some images."""
        if not self.nodes:
            return _flat(changed)
        if self.part is None:
            return _propagated(self.computed, self.nodes, {}, {self.node: changed}, self.values, images)
        model, x = self.part
        width = changed.shape[-1]
        given = x[images]
        given[..., :width] = changed
        return _flat(run(model, given, [self.model.graph.output], self.engine)[self.model.graph.output])


def behind(model: Model, node: str) -> tuple[Node, ...]:
    """The nodes that depend on a node, in graph order."""
    reached, found = {node}, []
    for other in model.graph.nodes:
        if reached.intersection(other.inputs):
            reached.add(other.name)
            found.append(other)
    return tuple(found)


def _propagated(
    computed: Nodes,
    nodes: Sequence[Node],
    changes: Mapping[str, Change],
    made: dict[str, Integers],
    values: Mapping[str, Integers],
    images: npt.NDArray[np.intp],
) -> Int64:
    """The output where `made` stands in place of some images' `values`, and nodes behind are computed by changes."""
    seen = _Some(made, values, images)
    for node in nodes:
        made[node.name] = computed.compute(node, changes.get(node.name), seen)
    return _flat(seen[computed.model.graph.output])


class _Some(dict[str, Integers]):
    """Values by tensor of some images: those made anew, else those that were."""

    def __init__(
        self, made: Mapping[str, Integers], values: Mapping[str, Integers], images: npt.NDArray[np.intp]
    ) -> None:
        super().__init__()
        self.made, self.values_, self.images = made, values, images

    def __getitem__(self, name: str) -> Integers:
        return self.made[name] if name in self.made else self.values_[name][self.images]


def _flat(values: Integers) -> Int64:
    return values.astype(np.int64).reshape(len(values), -1)


class _Sweep:
    """The sums of a sweep, as chunks of images are added."""

    def __init__(self, model: Model, chosen: list[Alternative], engine: Engine) -> None:
        self.model, self.chosen, self.engine = model, chosen, engine
        self.computed = Nodes(model)
        self.found = [_Change() for _ in chosen]
        self.images, self.right, self.labelled = 0, 0, False
        self.ranges: dict[str, list[int]] = {}

    def add(self, x: Integers, labels: Labels | None, report: Callable[[], None]) -> None:
        """Sweep some images."""
        graph = self.model.graph
        values: dict[str, Integers] = {INPUT: x, **run(self.model, x, "all", self.engine)}
        contract = _flat(values[graph.output])
        self.images += len(x)
        self.labelled = labels is not None
        self.right += 0 if labels is None else int(np.count_nonzero(contract.argmax(axis=1) == labels))
        for tap, array in values.items():
            self._range(tap, array)
        rests = {
            node.name: _Behind(self.computed, node.name, values, self.engine)
            for node in graph.nodes
            if any(node.name in a.changes for a in self.chosen)
        }
        for alternative, sums in zip(self.chosen, self.found, strict=True):
            for node, change in alternative.changes.items():
                if node not in sums.refused:
                    try:
                        out = self._only(node, change, values, contract, rests[node])
                        sums.only.setdefault(node, _Tally()).add(contract, out, labels)
                    except ComparisonError as error:
                        sums.refused[node] = str(error)
                        sums.only.pop(node, None)
            here = {node: rests[node] for node in alternative.changes}
            self._everywhere(alternative.changes, here, sums, values, contract, labels, report)

    def _only(self, node: str, change: Change, values: Mapping[str, Integers], contract: Int64, rest: _Behind) -> Int64:
        """The output where one node alone is changed."""
        made = self.computed.compute(self.model.graph.by_name[node], change, values)
        images = _differing(made, values[node])
        out = contract.copy()
        if len(images):
            out[images] = rest.output(made[images], images)
        return out

    def _everywhere(
        self,
        changes: Mapping[str, Change],
        behinds: Mapping[str, "_Behind"],
        sums: _Change,
        values: Mapping[str, Integers],
        contract: Int64,
        labels: Labels | None,
        report: Callable[[], None],
    ) -> None:
        """The output where all nodes are changed, and where all but one are."""
        graph = self.model.graph
        made: dict[str, Integers] = dict(values)
        changed: set[str] = set()
        try:
            for node in graph.nodes if not sums.failed else ():
                if node.name in changes or changed.intersection(node.inputs):
                    new = self.computed.compute(node, changes.get(node.name), made)
                    if not np.array_equal(new, made[node.name]):
                        changed.add(node.name)
                        made[node.name] = new
        except ComparisonError as error:
            sums.failed = str(error)
        every = _flat(made[graph.output])
        if not changed:
            # It changes nothing in these images, nowhere.
            for tally in (sums.everywhere, *(sums.but.setdefault(node, _Tally()) for node in changes)):
                tally.add(contract, contract, labels)
            for _ in changes:
                report()
            return
        if not sums.failed and changes:
            sums.everywhere.add(contract, every, labels)
        for name, rest in behinds.items():
            if not sums.failed and name not in sums.mixed:
                right = self.computed.compute(graph.by_name[name], None, made)
                images = _differing(right, made[name])
                out = every.copy()
                try:
                    if len(images):
                        out[images] = _propagated(
                            self.computed, rest.nodes, changes, {name: right[images]}, made, images
                        )
                    sums.but.setdefault(name, _Tally()).add(contract, out, labels)
                except ComparisonError as error:
                    sums.mixed[name] = str(error)
            report()

    def _range(self, tap: str, array: Integers) -> None:
        number = self.model.graph.tensors[tap].number
        least, greatest = int(array.min()), int(array.max())
        at_low, at_high = int(np.count_nonzero(array == number.low)), int(np.count_nonzero(array == number.high))
        had = self.ranges.setdefault(tap, [least, greatest, 0, 0, 0])
        self.ranges[tap] = [
            min(had[0], least), max(had[1], greatest), had[2] + at_low, had[3] + at_high, had[4] + array.size
        ]  # fmt: skip

    def result(self, seconds: float) -> Sensitivity:
        """The result of all images that were added."""
        graph, right = self.model.graph, self.right if self.labelled else None
        outputs = int(np.prod(graph.shapes[graph.output]))

        def outcome(tally: _Tally) -> Outcome:
            return tally.outcome(self.images, outputs, right)

        effects, everywhere = [], []
        for alternative, sums in zip(self.chosen, self.found, strict=True):
            parameters = dict(alternative.parameters)
            named: dict[str, Any] = {
                "group": alternative.group, "label": alternative.label, "parameters": parameters,
            }  # fmt: skip
            whole = None
            if alternative.changes:
                whole = None if sums.failed else outcome(sums.everywhere)
                places = tuple(alternative.changes)
                everywhere.append(Everywhere(**named, nodes=places, outcome=whole, left_out=sums.failed))
            for node in (*alternative.changes, *alternative.left_out):
                only, but = sums.only.get(node), sums.but.get(node)
                here = None if but is None or sums.failed or node in sums.mixed else outcome(but)
                won = None
                if here is not None and whole is not None and here.lost is not None and whole.lost is not None:
                    won = whole.lost - here.lost
                reason = next(
                    filter(None, (of.get(node) for of in (alternative.left_out, sums.refused, sums.mixed))), ""
                )
                effects.append(
                    Effect(
                        node=node,
                        operator=graph.by_name[node].op.kind,
                        **named,
                        but=here,
                        recovered=won,
                        only=None if only is None else outcome(only),
                        left_out=reason or sums.failed,
                    )
                )
        taps = tuple(
            TapRange(
                tap=tap,
                number=str(graph.tensors[tap].number),
                values=had[4],
                least=had[0],
                greatest=had[1],
                at_low=had[2],
                at_high=had[3],
            )
            for tap, had in self.ranges.items()
        )
        return Sensitivity(
            model=self.model.name,
            images=self.images,
            right=right,
            effects=tuple(sorted(effects, key=lambda effect: _worst_first(effect.only))),
            everywhere=tuple(sorted(everywhere, key=lambda change: _worst_first(change.outcome))),
            taps=taps,
            seconds=round(seconds, 3),
        )


def _differing(one: Integers, other: Integers) -> npt.NDArray[np.intp]:
    """The images where two arrays differ."""
    return np.flatnonzero((one != other).reshape(len(one), -1).any(axis=1))


def _worst_first(outcome: Outcome | None) -> tuple[float, float, float, float]:
    if outcome is None:
        return (1.0, 0.0, 0.0, 0.0)
    return (0.0, -(outcome.lost or 0.0), -outcome.top1_changed, -outcome.mean)
