"""Closing holes: a point that is not covered gets an input that hits it, found by solving, or a proof that none does.

What gets neither stays open.

A node is taken alone here: its inputs have, at each place, any value that the tensor can have there over all images
(`fxsim.coverage.values`). More values than images really make are allowed, so that what is proved unreachable is
unreachable for every image, too; a stimulus found is one of the node.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fxsim.contract import divide
from fxsim.contract.rescaling import rounded as rounded_product
from fxsim.coverage.count import NodeCounter
from fxsim.coverage.lines import CHOICES, INPUTS, LINES
from fxsim.coverage.points import SUM, Bools
from fxsim.coverage.sums import BOUND, MULTIPLES, SUMS
from fxsim.coverage.values import Values
from fxsim.engines import apply
from fxsim.errors import FxsimError
from fxsim.graph import INPUT, Graph, Node
from fxsim.operators import (
    Add,
    Affine,
    Axis,
    Conv,
    Linear,
    MultiplyAdd,
    OrderedLinear,
    Pool,
    Rescale,
    SumPool,
    WeightedAdd,
)

PROOFS = {
    INPUTS: "each value that the input of the row can have was tried",
    BOUND: "all sums of the row lie between two ends, and none there is right",
    SUMS: "every sum that the row can have was listed, and none is right",
    MULTIPLES: "all sums of the row are its least one and a multiple of one number, and none of those is right",
    CHOICES: "of the values that several inputs can have, which are compared, no choice is right",
}
"""Proofs by name, in words."""


@dataclass(frozen=True, eq=False)
class Closed:
    """The outcome for one node: `stimuli`, the values of each of its inputs [image, ...], and what they hit.

    `unreachable`: by group, points by the name of a proof. `domain`: by tensor, the hash of the values that its places
    can have. `low`, `high`: of the sums of each row, over all its places.
    """

    node: str
    inputs: tuple[str, ...]
    stimuli: tuple[Any, ...]
    hits: list[Bools]
    unreachable: list[dict[str, Bools]]
    domain: dict[str, str]
    low: tuple[int, ...] = ()
    high: tuple[int, ...] = ()


def sets_sha256(values: Values) -> str:
    """The SHA-256 of value sets, and of the least value where that is not the one of int8."""
    start = "" if values.low == -128 else f"{values.low} "
    digest = hashlib.sha256(f"{start}{values.sets.shape}".encode())
    digest.update(np.packbits(values.sets).tobytes())
    return digest.hexdigest()


def close_node(graph: Graph, node: Node, sets: dict[str, Values | None], covered: Sequence[Bools]) -> Closed:
    """Solve for every point of a node that is not covered; all stay open where nothing is known of an input's values.

    FxsimError where a solution does not hit its point.
    """
    own = [known for name in node.inputs if (known := sets[name]) is not None]
    if len(own) < len(node.inputs):
        counter = NodeCounter(graph, node)
        stimuli = tuple(tensor.empty(0) for tensor in graph.inputs_of(node))
        return Closed(node.name, node.inputs, stimuli, counter.hits(), [{} for _ in counter.points.groups], {})
    closing = _Closing(graph, node, own, covered)
    if not closing.groups:
        pass
    elif len(set(node.inputs)) < len(node.inputs):
        # Both operands are one tensor, so that they do not vary alone: each sum is twice a value.
        closing.double()
    elif closing.counter.points.unary:
        closing.try_inputs()
    else:
        closing.solve()
    closing.check()
    domain = {name: sets_sha256(known) for name, known in zip(node.inputs, own, strict=True)}
    return Closed(
        node.name,
        node.inputs,
        tuple(closing.stimuli()),
        closing.counter.hits(),
        closing.unreachable,
        domain,
        tuple(closing.low),
        tuple(closing.high),
    )


class _Closing:
    """The work on one node."""

    def __init__(self, graph: Graph, node: Node, values: Sequence[Values], covered: Sequence[Bools]) -> None:
        self.node, self.values = node, values
        self.tensors = graph.inputs_of(node)
        self.counter = NodeCounter(graph, node)
        self.groups = self.counter.points.groups
        self.covered = [np.array(bits) for bits in covered]
        self.unreachable: list[dict[str, Bools]] = [{} for _ in self.groups]
        self.wanted: list[tuple[int, int]] = []
        self.low: list[int] = []
        self.high: list[int] = []
        self._made: list[tuple[Any, ...]] = []
        self._plain = tuple(_default(tensor, own) for tensor, own in zip(self.tensors, values, strict=True))

    def stimuli(self) -> list[Any]:
        """All stimuli made, [image, ...] of each input."""
        if not self._made:
            return [tensor.empty(0) for tensor in self.tensors]
        return [np.concatenate([made[n] for made in self._made]) for n in range(len(self.tensors))]

    def check(self) -> None:
        """FxsimError where a point that was solved is not hit, or the reference engine has another result."""
        hits = self.counter.hits()
        for group, point in self.wanted:
            if not hits[group][point]:
                raise FxsimError(
                    f"node '{self.node.name}', {self.groups[group].text(point)}: a stimulus made for it does not hit it"
                )
        stimuli = self.stimuli()
        if len(stimuli[0]):
            check_results(self.node, self.counter, stimuli)

    # --- Nodes whose rows depend on one value each ---

    def try_inputs(self) -> None:
        """Try every value that each channel can have."""
        every, possible = self._possible()
        reached = self.counter.hits_of(possible, int(every[0]))
        self._try(
            every, possible, self.counter.points.quantities(np.broadcast_to(every[:, None], possible.shape)), reached
        )

    def double(self) -> None:
        """Try every value of each channel as both operands of a node."""
        every, possible = self._possible()
        spread = np.broadcast_to(every[:, None], possible.shape)
        quantities = self.counter.points.quantities(spread, spread)
        if SUM in quantities:
            sums = np.broadcast_to(quantities[SUM], possible.shape)
            self.low = [int(sums[own, row].min()) for row, own in enumerate(possible.T)]
            self.high = [int(sums[own, row].max()) for row, own in enumerate(possible.T)]
        self._try(every, possible, quantities, None)

    def _possible(self) -> tuple[Any, Bools]:
        """The values from the least to the greatest that any channel can have, and which each can, [value, row]."""
        values, rows = self.values[0], self.counter.points.rows
        possible = np.broadcast_to(values.sets.any(axis=0).T, (values.sets.shape[-1], rows))
        used = np.flatnonzero(possible.any(axis=1))
        kept = slice(used[0], used[-1] + 1)
        return np.arange(kept.start, kept.stop) + values.low, possible[kept]

    def _try(self, every: Any, possible: Bools, quantities: Any, reached: list[Bools] | None) -> None:
        chosen: list[set[int]] = [set() for _ in range(possible.shape[1])]
        for at, group in enumerate(self.groups):
            left = ~self.covered[at] if reached is None else reached[at] & ~self.covered[at]
            none = np.zeros(len(group), np.bool_) if reached is None else ~reached[at]
            for point in np.flatnonzero(left).tolist():
                row = int(group.rows[point])
                found = quantities[group.quantity][:, row]
                right = group.holds(found, np.full(len(found), point)) & possible[:, row]
                if right.any():
                    chosen[row].add(int(every[int(np.argmax(right))]))
                    self.wanted.append((at, point))
                else:
                    none[point] = True
            if none.any():
                self.unreachable[at][INPUTS] = none
        self._place(chosen)

    def _place(self, chosen: list[set[int]]) -> None:
        """Put the values of each channel into images, each at a place that can have it."""
        tensor, values = self.tensors[0], self.values[0]
        places = tensor.size // len(chosen)
        images: list[Any] = []
        for channel, wanted in enumerate(chosen):
            own = values.sets[:, min(channel, values.sets.shape[1] - 1)]
            used = [0] * places
            for value in sorted(wanted):
                tokens = range(places) if len(own) == 1 else np.flatnonzero(own[:, value - values.low]).tolist()
                token = min(tokens, key=used.__getitem__)
                image = used[token]
                used[token] += 1
                if image == len(images):
                    images.append(self._plain[0].reshape(places, -1).copy())
                images[image][token, channel] = value
        if images:
            made = np.stack(images).reshape(-1, *tensor.shape)
            self._add(*([made] * len(self.tensors)))

    # --- Nodes whose rows depend on several ---

    def solve(self) -> None:
        """Solve group by group, counting after each what its stimuli hit by the way."""
        lines = LINES[type(self.node.op)](self.node.op, self.tensors, self.values)
        if lines.of_row is not None:
            self.low, self.high = lines.bounds()
        for at, group in enumerate(self.groups):
            open_points = np.flatnonzero(~(self.covered[at] | self.counter.hits()[at]))
            jobs = []
            for point in open_points.tolist():
                found, proof = lines.solve(group, point)
                if found is not None:
                    jobs.append(found)
                    self.wanted.append((at, point))
                elif proof is not None:
                    self.unreachable[at].setdefault(proof, np.zeros(len(group), np.bool_))[point] = True
            if jobs:
                self._add(*lines.place(jobs, self._plain))

    def _add(self, *stimuli: Any) -> None:
        typed = tuple(values.astype(tensor.number.dtype) for values, tensor in zip(stimuli, self.tensors, strict=True))
        self._made.append(typed)
        self.counter.add(*typed)


def _default(tensor: Any, own: Values) -> Any:
    """An image of values that are allowed at their places, as near to 0 as there are."""
    values = np.arange(own.sets.shape[-1]) + own.low
    nearest = values[np.argsort(np.abs(values), kind="stable")]
    chosen = nearest[own.sets[..., nearest - own.low].argmax(axis=-1)]
    if len(own.sets) == 1:
        chosen = chosen.reshape(-1)
    return np.array(np.broadcast_to(chosen, tensor.shape), np.int64)


def check_results(node: Node, counter: NodeCounter, stimuli: Sequence[Any]) -> None:
    """FxsimError unless the reference engine's results are those of the sums that were counted, requantised."""
    op: Any = node.op
    if not isinstance(
        op, Linear | Affine | Add | Pool | Conv | MultiplyAdd | WeightedAdd | SumPool | OrderedLinear | Rescale
    ):
        return
    result = apply(node, *stimuli)
    number = counter.points.number if isinstance(op, Pool) else op.out
    if counter.points.unary:
        sums = counter.points.quantities(stimuli[0].reshape(-1, counter.points.rows).astype(np.int64))[SUM]
    else:
        sums = counter.points.quantities(*stimuli)[SUM]
    shift: Any = 0
    bias: Any = 0
    if isinstance(op, Linear | Affine):
        bias = op.bias.astype(np.int64)
    if isinstance(op, Linear | Affine | MultiplyAdd | WeightedAdd):
        shift = op.shift.astype(np.int64)
    if isinstance(op, Pool):
        shift = op.tokens.bit_length() - 1
    if isinstance(op, Rescale):
        sums, bias = rounded_product(sums, op.shift.astype(np.int64), op.rounding), op.bias.astype(np.int64)
    if isinstance(op, SumPool):
        sums = divide(sums, op.divisor, op.rounding)
    places = np.minimum(shift, 61)
    # Beyond 61 places every sum there can be rounds to 0.
    rounded = np.where(np.asarray(shift) > 61, 0, (sums + (np.left_shift(1, places) >> 1)) >> places)
    expected = np.clip(rounded + bias, number.low, number.high)
    if isinstance(op, Linear) and op.over is Axis.TOKENS:
        result = np.swapaxes(result, -1, -2)
    if not np.array_equal(result.reshape(expected.shape), expected):
        raise FxsimError(f"node '{node.name}': the reference engine's results are not those of the sums counted")


def is_first(node: Node) -> bool:
    """Whether a node reads the model's input alone, so that its stimuli are images."""
    return node.inputs == (INPUT,)
