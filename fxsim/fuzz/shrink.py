"""Making a failure small: fewer images, nodes, channels and tokens, and parameters and values that are zero or one.

Delta debugging: what is left out stays out as long as the failure is of the same kind (`Failure.kind`). It ends by
itself, after so many tries, or so much processor time: what is left then is the result.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fxsim.contract import Number, Tensor
from fxsim.contract.arithmetic import Integers
from fxsim.engines import run_reference
from fxsim.errors import FxsimError
from fxsim.fuzz.axes import Index, classes, cut, size_of
from fxsim.fuzz.examine import Failure, examine
from fxsim.fuzz.takers import Subject, Taker
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.machine import cpu_seconds
from fxsim.operators import Conv, Encode, MaxPool, Operator, Pad, SumPool, Threshold

TRIES_MAX = 5_000
"""Most networks that are tried."""

Fails = Callable[[Model, Integers], Failure | None]
"""The failure of the same kind that a network has, None where it has none."""


@dataclass(frozen=True)
class Small:
    """The least network that fails the same: with images, failure, and how many were tried.

    `gave_up`: the time or the tries were over, so that something smaller may do.
    """

    model: Model
    x: Integers
    failure: Failure
    tries: int
    gave_up: bool

    @property
    def weights(self) -> int:
        """Weights, biases and table entries that are not zero."""
        fields = ("weight", "bias", "table", "threshold", "addend", "multiplier", "value")
        return sum(
            int(np.count_nonzero(array))
            for node in self.model.graph.nodes
            for name, array in node.op.arrays()
            if name in fields
        )

    @property
    def words(self) -> str:
        """A line for people."""
        graph = self.model.graph
        kinds = ", ".join(node.op.kind for node in graph.nodes)
        ended = "; not to the end, for want of time" if self.gave_up else ""
        return (
            f"{len(graph.nodes)} node(s) ({kinds}) of {graph.input}, {len(self.x)} image(s), "
            f"{self.weights} parameters that are not zero, after {self.tries:,} tries{ended}"
        )


def shrink(model: Model, x: Integers, failure: Failure, takers: Sequence[Taker], seconds: float = 60.0) -> Small:
    """The least network that fails the same in the same takers."""
    names = (failure.against, failure.taker)
    asked = [taker for name in names for taker in takers if taker.name == name]

    def fails(model: Model, x: Integers) -> Failure | None:
        found = examine(Subject(model, x), asked).failures
        return next((one for one in found if one.kind == failure.kind), None)

    return shrink_by(model, x, failure, fails, seconds)


def shrink_by(model: Model, x: Integers, failure: Failure, fails: Fails, seconds: float, whole: bool = False) -> Small:
    """The least network of which `fails` says the same. `whole`: nodes and sizes stay, as a device demands."""
    search = _Search(model, x, failure, fails, seconds)
    smaller = (search.images, search.nodes, search.sizes, search.operators, search.arrays)
    steps = (search.images, search.arrays) if whole else smaller
    before = -1
    # Again from the start while something became smaller: a zero lets a node go.
    while search.taken != before and not search.over:
        before = search.taken
        for step in steps:
            step()
    search.ones()
    return Small(search.model, search.x, search.failure, search.tries, search.over)


class _Search:
    """The least that failed until now, and ways to less."""

    def __init__(self, model: Model, x: Integers, failure: Failure, fails: Fails, seconds: float) -> None:
        self.model, self.x, self.failure = model, x, failure
        self._fails = fails
        self._end = cpu_seconds() + seconds
        self.tries = self.taken = 0

    @property
    def over(self) -> bool:
        """Whether no more may be tried."""
        return self.tries >= TRIES_MAX or cpu_seconds() > self._end

    def _try(self, graph: Graph, x: Integers) -> bool:
        """Take a smaller network, where it fails the same; what is the same network is none."""
        if self.over or (graph == self.model.graph and np.array_equal(x, self.x)):
            return False
        self.tries += 1
        model = Model(graph, self.model.name, self.model.provenance)
        failure = self._fails(model, x)
        if failure is None:
            return False
        self.model, self.x, self.failure = model, x, failure
        self.taken += 1
        return True

    def _least(self, count: int, attempt: Callable[[Index], bool]) -> None:
        """Leave out ever smaller parts of `count` things; `attempt` is given those that stay."""
        kept = np.arange(count)
        size = len(kept) // 2
        while size and len(kept) > 1 and not self.over:
            at = 0
            while at < len(kept) and len(kept) > 1 and not self.over:
                fewer = np.delete(kept, slice(at, at + size))
                if len(fewer) and attempt(fewer):
                    kept = fewer
                else:
                    at += size
            size //= 2

    def images(self) -> None:
        """Fewer images."""
        whole = self.x
        self._least(len(whole), lambda index: self._try(self.model.graph, np.ascontiguousarray(whole[index])))

    def nodes(self) -> None:
        """Fewer nodes: those before the difference, from one of them on, without ones that keep a tensor's form."""
        smaller = True
        while smaller and not self.over:
            smaller = False
            for graph, x in self._parts():
                if len(graph.nodes) < len(self.model.graph.nodes) and self._try(graph, x):
                    smaller = True
                    break

    def _parts(self) -> Iterator[tuple[Graph, Integers]]:
        graph, x = self.model.graph, self.x
        last = self.failure.tap if self.failure.tap in graph.by_name else graph.output
        values = {INPUT: x} | run_reference(graph, x, graph.taps)
        # The shortest first: from right before the difference on.
        starts = [name for name in reversed((INPUT, *graph.taps)) if name != last]
        ends = [last, *(name for name in reversed(graph.taps) if name != last)]
        for start, end in [(start, last) for start in starts] + [(INPUT, end) for end in ends]:
            made = _between(graph, start, end)
            if made is not None:
                yield made, values[start]
        for node in graph.nodes:
            made = _without(graph, node)
            if made is not None:
                yield made, x

    def sizes(self) -> None:
        """Fewer channels, tokens, and whatever axes there are."""
        for number in range(len(classes(self.model.graph))):
            graph, x = self.model.graph, self.x
            places = classes(graph)[number]

            def attempt(
                index: Index, graph: Graph = graph, x: Integers = x, places: frozenset[tuple[str, int]] = places
            ) -> bool:
                try:
                    return self._try(*cut(graph, x, places, index))
                except FxsimError:
                    return False

            self._least(size_of(graph, places), attempt)

    def operators(self) -> None:
        """Simpler operators: kernels and strides of one, no padding, fewer steps, narrower formats."""
        for name in self.model.graph.taps:
            again = True
            while again and not self.over and name in self.model.graph.by_name:
                graph = self.model.graph
                again = False
                for op in simpler(graph.by_name[name].op):
                    nodes = [Node(n.name, op if n.name == name else n.op, n.inputs) for n in graph.nodes]
                    try:
                        again = self._try(Graph(graph.input, nodes), self.x)
                    except FxsimError:
                        continue
                    if again:
                        break

    def arrays(self) -> None:
        """Parameters, and values of images, that are zero."""
        for place in self._places():
            array = self._get(place)
            there = np.flatnonzero(array)
            if not len(there) or self._put(place, np.zeros_like(array)):
                continue

            def attempt(index: Index, array: Integers = array, there: Index = there, place: "_Place" = place) -> bool:
                flat = np.zeros_like(array).reshape(-1)
                flat[there[index]] = array.reshape(-1)[there[index]]
                return self._put(place, flat.reshape(array.shape))

            self._least(len(there), attempt)

    def ones(self) -> None:
        """Weights that are one, or minus one, of those that are left."""
        for place in self._places():
            array = self._get(place)
            if place[1] != "shift" and np.any(np.abs(array.astype(np.int64)) > 1):
                self._put(place, np.sign(array))

    def _places(self) -> "list[_Place]":
        nodes = [(node.name, field) for node in self.model.graph.nodes for field, _ in node.op.arrays()]
        return [*nodes, (INPUT, "")]

    def _get(self, place: "_Place") -> Integers:
        name, field = place
        return self.x if name == INPUT else getattr(self.model.graph.by_name[name].op, field)

    def _put(self, place: "_Place", array: Integers) -> bool:
        graph = self.model.graph
        name, field = place
        if name == INPUT:
            return graph.input.number.holds(array) and self._try(graph, array)
        try:
            nodes = [
                Node(n.name, dataclasses.replace(n.op, **{field: array}), n.inputs) if n.name == name else n  # type: ignore[type-var]  # operators are dataclasses
                for n in graph.nodes
            ]
            return self._try(Graph(graph.input, nodes), self.x)
        except FxsimError:
            return False


def simpler(op: Operator) -> Iterator[Operator]:
    """Operators that are simpler than one in one way each; those that there cannot be are left out."""
    fields: list[dict[str, Any]] = []
    match op:
        case Conv():
            # One row or one column of the kernel, with what then may be around the image.
            for axis, size in enumerate(op.weight.shape[1:3]):
                if size > 1:
                    pads = tuple(0 if n % 2 == axis else pad for n, pad in enumerate(op.padding))
                    fields += [
                        {"weight": op.weight.take([at], 1 + axis), "padding": pads}
                        for at in range(op.weight.shape[1 + axis])
                    ]
            fields += [{"padding": (0, 0, 0, 0)}, {"stride": (1, 1)}, {"dilation": (1, 1)}]
            fields += [{"padding": tuple(0 if n == at else pad for n, pad in enumerate(op.padding))} for at in range(4)]
        case Pad():
            fields += [{"padding": tuple(0 if n == at else pad for n, pad in enumerate(op.padding))} for at in range(4)]
            fields += [{"padding": tuple(min(1, pad) for pad in op.padding)}]
        case MaxPool() | SumPool():
            fields += [{"kernel": (1, op.kernel[1])}, {"kernel": (op.kernel[0], 1)}, {"stride": (1, 1)}]
            if isinstance(op, SumPool):
                fields += [{"divisor": 1}, {"saturating": False, "acc_bits": 32}, {"rounding": "floor"}]
        case Threshold() | Encode():
            steps = op.threshold.shape[1]
            levels = [{"levels": np.delete(op.levels, at)} if isinstance(op, Threshold) else {} for at in range(steps)]
            if steps > 1:
                fields += [{"threshold": np.delete(op.threshold, at, 1), **levels[at]} for at in range(steps)]
    if isinstance(getattr(op, "out", None), Number) and op.kind not in ("argmax", "lut"):
        out = op.out  # type: ignore[attr-defined]
        fields += [{"out": Number(bits, out.sign)} for bits in (1, 2, 4, 8, 16) if bits < out.bits and not out.bipolar]
    for changed in fields:
        if all(np.array_equal(getattr(op, name), value) for name, value in changed.items()):
            continue
        try:
            yield dataclasses.replace(op, **changed)  # type: ignore[type-var]  # operators are dataclasses
        except FxsimError:
            continue


_Place = tuple[str, str]
"""An array: a node and its field; the input for the images."""


def _between(graph: Graph, start: str, end: str) -> Graph | None:
    """The nodes from a tensor to a node, as a graph of its own; None where it needs others, or there are none."""
    tensor = graph.tensors[start]
    known, nodes = {start}, []
    for node in graph.nodes:
        if node.name == start:
            continue
        # What does not come from there is read from there, where it has the same form.
        inputs = tuple(
            name if name in known else start if _alike(graph.tensors[name], tensor) else "" for name in node.inputs
        )
        if all(inputs) and any(name in known for name in node.inputs):
            nodes.append(Node(node.name, node.op, tuple(INPUT if name == start else name for name in inputs)))
            known.add(node.name)
    return _ending(tensor, nodes, end)


def _without(graph: Graph, left_out: Node) -> Graph | None:
    """The graph without a node, whose input of the same form is read in its place; None where it has none."""
    same = [name for name in left_out.inputs if _alike(graph.tensors[name], graph.tensors[left_out.name])]
    if not same:
        return None
    nodes = [
        Node(n.name, n.op, tuple(same[0] if name == left_out.name else name for name in n.inputs))
        for n in graph.nodes
        if n.name != left_out.name
    ]
    return _ending(graph.input, nodes, nodes[-1].name if nodes else "")


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether a tensor may be read in place of another: of its shape; where its format does not fit, no graph comes."""
    return (one.axes, one.shape) == (other.axes, other.shape)


def _ending(tensor: Tensor, nodes: list[Node], end: str) -> Graph | None:
    """The graph of those nodes that one of them needs."""
    if end not in {node.name for node in nodes}:
        return None
    needed, kept = {end}, []
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.inputs)
            kept.append(node)
    try:
        return Graph(tensor, kept[::-1])
    except FxsimError:
        return None
