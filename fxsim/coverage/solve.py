"""Closing holes: a point that is not covered gets an input that hits it, found by solving, or a proof that none does.

What gets neither stays open.

A node is taken alone here: its inputs have, at each place, any value that the tensor can have there over all images
(`fxsim.prove.reach`; of tensors other than int8, any value of the format). More values than images really make are
allowed, so that what is proved unreachable is unreachable for every image, too; a stimulus found is one of the node.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fxsim.coverage.count import NodeCounter
from fxsim.coverage.points import SUM, Bools, Group
from fxsim.coverage.sums import BOUND, MULTIPLES, SUMS, Row, Wanted, nearest_zero
from fxsim.engines import apply
from fxsim.errors import FxsimError, ModelError
from fxsim.graph import INPUT, Graph, Model, Node, refuse_beyond_int8
from fxsim.operators import Add, Affine, Axis, Linear, Pool
from fxsim.prove.reach import reach

INPUTS = "inputs"
"""Proof that no point is hit: every input that the row can have was tried."""

PROOFS = {
    INPUTS: "each value that the input of the row can have was tried",
    BOUND: "all sums of the row lie between two ends, and none there is right",
    SUMS: "every sum that the row can have was listed, and none is right",
    MULTIPLES: "all sums of the row are its least one and a multiple of one number, and none of those is right",
}
"""Proofs by name, in words."""

_TRIES = 3
_TRIES_OF_TWO = 64


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


def value_sets(model: Model) -> dict[str, Bools]:
    """The values that tensors can have, bool [tokens or 1, channels or 1, code]: proved, or all of the format."""
    graph = model.graph
    try:
        refuse_beyond_int8(graph, "the proof of reachable values")
        return {name: found.sets for name, found in reach(model).items()}
    except ModelError:
        return {name: np.ones((1, 1, tensor.number.codes), np.bool_) for name, tensor in graph.tensors.items()}


def sets_sha256(sets: Bools) -> str:
    """The SHA-256 of value sets."""
    digest = hashlib.sha256(f"{sets.shape}".encode())
    digest.update(np.packbits(sets).tobytes())
    return digest.hexdigest()


def close_node(graph: Graph, node: Node, sets: dict[str, Bools], covered: Sequence[Bools]) -> Closed:
    """Solve for every point of a node that is not covered. FxsimError where a solution does not hit its point."""
    own = [sets[name] for name in node.inputs]
    closing = _Closing(graph, node, own, covered)
    if len(set(node.inputs)) < len(node.inputs):
        # Both operands are one tensor, so that they do not vary alone: each sum is twice a value.
        closing.double()
    elif closing.counter.points.unary:
        closing.try_inputs()
    else:
        closing.solve_sums()
    closing.check()
    domain = {name: sets_sha256(sets[name]) for name in node.inputs}
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

    def __init__(self, graph: Graph, node: Node, sets: Sequence[Bools], covered: Sequence[Bools]) -> None:
        self.node, self.sets = node, sets
        self.tensors = graph.inputs_of(node)
        self.counter = NodeCounter(graph, node)
        self.groups = self.counter.points.groups
        self.covered = [np.array(bits) for bits in covered]
        self.unreachable: list[dict[str, Bools]] = [{} for _ in self.groups]
        self.wanted: list[tuple[int, int]] = []
        self.low: list[int] = []
        self.high: list[int] = []
        self._made: list[tuple[Any, ...]] = []
        self._plain = tuple(self._default(n) for n in range(len(sets)))

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
        points = self.counter.points
        (sets,) = self.sets
        possible = np.broadcast_to(sets.any(axis=0).T, (sets.shape[-1], points.rows))
        reached = self.counter.hits_of(possible)
        codes: list[set[int]] = [set() for _ in range(points.rows)]
        every = np.broadcast_to(np.arange(len(possible))[:, None] + points.number.low, possible.shape)
        quantities = points.quantities(every)
        for at, group in enumerate(self.groups):
            missing = ~reached[at]
            if missing.any():
                self.unreachable[at][INPUTS] = missing
            for point in np.flatnonzero(reached[at] & ~self.covered[at]).tolist():
                row = int(group.rows[point])
                if group.single:
                    code = int(group.low[point]) - points.number.low
                else:
                    values = quantities[group.quantity][:, row]
                    right = group.holds(values, np.full(len(values), point)) & possible[:, row]
                    code = int(np.argmax(right))
                codes[row].add(code)
                self.wanted.append((at, point))
        self._place_codes(codes, sets)

    def _place_codes(self, codes: list[set[int]], sets: Bools) -> None:
        """Put the codes of each channel into images, each at a place that can have it."""
        tensor = self.tensors[0]
        places = tensor.size // len(codes)
        images: list[Any] = []
        for channel, wanted in enumerate(codes):
            own = sets[:, min(channel, sets.shape[1] - 1)]
            used = [0] * places
            for code in sorted(wanted):
                tokens = range(places) if len(own) == 1 else np.flatnonzero(own[:, code]).tolist()
                token = min(tokens, key=used.__getitem__)
                image = used[token]
                used[token] += 1
                if image == len(images):
                    images.append(self._plain[0].reshape(places, -1).copy())
                images[image][token, channel] = code + tensor.number.low
        if images:
            made = np.stack(images).reshape(-1, *tensor.shape)
            self._add(*([made] * len(self.tensors)))

    # --- Sums ---

    def double(self) -> None:
        """Try every value of each channel as both operands of a sum."""
        sets, number = self.sets[0], self.tensors[0].number
        rows = self.counter.points.rows
        possible = np.broadcast_to(sets.any(axis=0).T, (sets.shape[-1], rows))
        sums = 2 * (np.arange(len(possible)) + number.low)
        self.low = [int(sums[own].min()) for own in possible.T]
        self.high = [int(sums[own].max()) for own in possible.T]
        codes: list[set[int]] = [set() for _ in range(rows)]
        for at, group in enumerate(self.groups):
            for point in np.flatnonzero(~self.covered[at]).tolist():
                row = int(group.rows[point])
                right = group.holds(sums, np.full(len(sums), point)) & possible[:, row]
                if right.any():
                    codes[row].add(int(np.argmax(right)))
                    self.wanted.append((at, point))
                else:
                    self.unreachable[at].setdefault(INPUTS, np.zeros(len(group), np.bool_))[point] = True
        self._place_codes(codes, sets)

    def solve_sums(self) -> None:
        """Solve group by group, counting after each what its stimuli hit by the way."""
        lines = LINES[type(self.node.op)](self.node.op, self.tensors, self.sets)
        self.low, self.high = lines.bounds()
        for at, group in enumerate(self.groups):
            open_points = np.flatnonzero(~(self.covered[at] | self.counter.hits()[at]))
            jobs = []
            for point in open_points.tolist():
                if group.quantity == SUM:
                    found, proof = self._solve(lines, group, point)
                else:
                    found, proof = _not_zero(lines, int(group.rows[point]))
                if found is not None:
                    jobs.append(found)
                    self.wanted.append((at, point))
                elif proof is not None:
                    self.unreachable[at].setdefault(proof, np.zeros(len(group), np.bool_))[point] = True
            if jobs:
                self._add(*lines.place(jobs, self._plain))

    def _solve(self, lines: "Lines", group: Group, point: int) -> "tuple[Job | None, str | None]":
        row = int(group.rows[point])
        wanted = Wanted(*(int(ends[point]) for ends in (group.low, group.high, group.step, group.first, group.last)))
        able = [line for line in lines.of_row(row) if (a := wanted.next(line.low)) is not None and a <= line.high]
        if not able:
            return None, BOUND
        able.sort(key=lambda line: line.low - line.high)
        tries = _TRIES_OF_TWO if lines.inputs == 2 else _TRIES
        proofs = []
        for line in able[:tries]:
            found, proof = line.row().find(wanted)
            if found is not None:
                return Job(row, line.places, found), None
            proofs.append(proof)
        if len(able) > tries or None in proofs:
            return None, None
        return None, SUMS if SUMS in proofs else proofs[0]

    def _add(self, *stimuli: Any) -> None:
        typed = tuple(values.astype(tensor.number.dtype) for values, tensor in zip(stimuli, self.tensors, strict=True))
        self._made.append(typed)
        self.counter.add(*typed)

    def _default(self, n: int) -> Any:
        """An image of values that are allowed at their places, as near to 0 as there are."""
        tensor, sets = self.tensors[n], self.sets[n]
        values = np.arange(sets.shape[-1]) + tensor.number.low
        nearest = values[np.argsort(np.abs(values), kind="stable")]
        order = nearest - tensor.number.low
        chosen = nearest[sets[..., order].argmax(axis=-1)]
        if len(tensor.shape) == 1:
            chosen = chosen.reshape(-1, chosen.shape[-1])[0]
        elif len(tensor.shape) > 2:
            chosen = chosen.reshape(-1)[0]
        return np.array(np.broadcast_to(chosen, tensor.shape), np.int64)


def check_results(node: Node, counter: NodeCounter, stimuli: Sequence[Any]) -> None:
    """FxsimError unless the reference engine's results are those of the sums that were counted, requantised."""
    op: Any = node.op
    if not isinstance(op, Linear | Affine | Add | Pool):
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
        shift, bias = op.shift.astype(np.int64), op.bias.astype(np.int64)
    if isinstance(op, Pool):
        shift = op.tokens.bit_length() - 1
    places = np.minimum(shift, 61)
    # Beyond 61 places every sum there can be rounds to 0.
    rounded = np.where(np.asarray(shift) > 61, 0, (sums + (np.left_shift(1, places) >> 1)) >> places)
    expected = np.clip(rounded + bias, number.low, number.high)
    if isinstance(op, Linear) and op.over is Axis.TOKENS:
        result = np.swapaxes(result, -1, -2)
    if not np.array_equal(result.reshape(expected.shape), expected):
        raise FxsimError(f"node '{node.name}': the reference engine's results are not those of the sums counted")


# --- The lines of an operator that are summed ------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """A vector of inputs for a row, and the places where it may stand."""

    row: int
    places: tuple[int, ...]
    vector: list[int]


@dataclass(eq=False)
class Line:
    """Weights, and the values that each input can have, at places that are all alike; `low`, `high`: of their sum."""

    weights: Any
    values: list[list[int]]
    places: tuple[int, ...]
    low: int
    high: int
    _row: Row | None = field(default=None)

    def row(self) -> Row:
        """The question about it."""
        if self._row is None:
            self._row = Row(self.weights, self.values)
        return self._row


@dataclass(frozen=True, eq=False)
class Lines:
    """The lines of a node. `inputs`: how many a sum has. `place`: puts vectors into stimuli."""

    rows: int
    inputs: int
    of_row: Callable[[int], list[Line]]
    place: Callable[[list[Job], tuple[Any, ...]], tuple[Any, ...]]
    operands: Callable[[int], Job | None]

    def bounds(self) -> tuple[list[int], list[int]]:
        """Least and greatest sum of every row."""
        lines = [self.of_row(row) for row in range(self.rows)]
        return [min(line.low for line in own) for own in lines], [max(line.high for line in own) for own in lines]


def _not_zero(lines: Lines, place: int) -> tuple[Job | None, str | None]:
    """A vector with an input that is not 0 at one place, or the proof that there is none."""
    job = lines.operands(place)
    return (job, None) if job is not None else (None, INPUTS)


def _listed(sets: Bools, low: int) -> list[list[int]]:
    """The values of sets [K, code]."""
    return [(np.flatnonzero(own) + low).tolist() for own in sets]


def _alike(sets: Bools) -> list[tuple[int, ...]]:
    """The places [place, ...] that have the same sets, together."""
    found: dict[bytes, list[int]] = {}
    for place, own in enumerate(sets):
        found.setdefault(own.tobytes(), []).append(place)
    return [tuple(places) for places in found.values()]


def _linear(op: Linear, tensors: Sequence[Any], sets: Sequence[Bools]) -> Lines:
    (x,), (own,) = tensors, sets
    turned = op.over is Axis.TOKENS
    size, number = op.weight.shape[1], x.number
    weight = op.weight.astype(np.int64)
    alike = own.swapaxes(0, 1) if turned else own
    others = x.size // size
    codes = alike.shape[-1]
    alike = np.broadcast_to(alike, (alike.shape[0], size, codes))
    every = tuple(range(others))
    classes = [every] if len(alike) == 1 else _alike(alike)
    values = [_listed(alike[places[0] if len(alike) > 1 else 0], number.low) for places in classes]
    least = np.array([[v[0] for v in one] for one in values])
    greatest = np.array([[v[-1] for v in one] for one in values])
    plus, minus = np.maximum(weight, 0).T, np.minimum(weight, 0).T
    low, high = least @ plus + greatest @ minus, greatest @ plus + least @ minus
    kept: dict[int, list[Line]] = {}

    def of_row(row: int) -> list[Line]:
        if row not in kept:
            kept[row] = [
                Line(weight[row], values[n], places, int(low[n, row]), int(high[n, row]))
                for n, places in enumerate(classes)
            ]
        return kept[row]

    def place(jobs: list[Job], plain: tuple[Any, ...]) -> tuple[Any, ...]:
        lying = plain[0].swapaxes(-1, -2) if turned else plain[0]
        used = dict.fromkeys(every, 0)
        images: list[Any] = []
        for job in jobs:
            where = min(job.places, key=used.__getitem__)
            if used[where] == len(images):
                images.append(lying.reshape(others, size).copy())
            images[used[where]][where] = job.vector
            used[where] += 1
        made = np.stack(images).reshape(len(images), *lying.shape)
        return (np.ascontiguousarray(made.swapaxes(-1, -2) if turned else made),)

    def operands(k: int) -> Job | None:
        for n, places in enumerate(classes):
            right = [v for v in values[n][k] if v]
            if right:
                vector = [nearest_zero(v) for v in values[n]]
                vector[k] = nearest_zero(right)
                return Job(0, places, vector)
        return None

    return Lines(len(weight), size, of_row, place, operands)


def _add(_op: Add, tensors: Sequence[Any], sets: Sequence[Bools]) -> Lines:
    shape = tensors[0].shape
    rows = shape[-1]
    places = tensors[0].size // rows
    tokens = max(len(own) for own in sets)
    both = [np.broadcast_to(own, (tokens, rows, own.shape[-1])) for own in sets]
    kept: dict[int, list[Line]] = {}

    def of_row(row: int) -> list[Line]:
        if row not in kept:
            of_tokens: dict[bytes, list[int]] = {}
            for t in range(tokens):
                of_tokens.setdefault(both[0][t, row].tobytes() + both[1][t, row].tobytes(), []).append(t)
            kept[row] = []
            for same in of_tokens.values():
                values = [
                    (np.flatnonzero(own[same[0], row]) + tensor.number.low).tolist()
                    for own, tensor in zip(both, tensors, strict=True)
                ]
                where = tuple(range(places)) if tokens == 1 else tuple(same)
                low, high = sum(v[0] for v in values), sum(v[-1] for v in values)
                kept[row].append(Line([1, 1], values, where, low, high))
        return kept[row]

    def place(jobs: list[Job], plain: tuple[Any, ...]) -> tuple[Any, ...]:
        used: dict[tuple[int, int], int] = {}
        images: list[tuple[Any, Any]] = []
        for job in jobs:
            where = min(job.places, key=lambda t: used.get((t, job.row), 0))
            image = used.get((where, job.row), 0)
            if image == len(images):
                images.append((plain[0].reshape(places, rows).copy(), plain[1].reshape(places, rows).copy()))
            for n in range(2):
                images[image][n][where, job.row] = job.vector[n]
            used[where, job.row] = image + 1
        return tuple(np.stack([pair[n] for pair in images]).reshape(-1, *shape) for n in range(2))

    return Lines(rows, 2, of_row, place, lambda _place: None)


def _pool(op: Pool, tensors: Sequence[Any], sets: Sequence[Bools]) -> Lines:
    (x,), (own,) = tensors, sets
    rows = x.shape[-1]
    both = np.broadcast_to(own, (op.tokens, rows, own.shape[-1]))
    kept: dict[int, list[Line]] = {}

    def of_row(row: int) -> list[Line]:
        if row not in kept:
            values = _listed(both[:, row], x.number.low)
            low, high = sum(v[0] for v in values), sum(v[-1] for v in values)
            kept[row] = [Line([1] * op.tokens, values, (row,), low, high)]
        return kept[row]

    def place(jobs: list[Job], plain: tuple[Any, ...]) -> tuple[Any, ...]:
        used = [0] * rows
        images: list[Any] = []
        for job in jobs:
            if used[job.row] == len(images):
                images.append(plain[0].copy())
            images[used[job.row]][:, job.row] = job.vector
            used[job.row] += 1
        return (np.stack(images),)

    return Lines(rows, op.tokens, of_row, place, lambda _place: None)


LINES: dict[type, Callable[..., Lines]] = {Linear: _linear, Add: _add, Pool: _pool}
"""The lines that each operator sums whose rows depend on more than one value."""


def is_first(node: Node) -> bool:
    """Whether a node reads the model's input alone, so that its stimuli are images."""
    return node.inputs == (INPUT,)
