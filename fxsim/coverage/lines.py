"""The inputs of an operator's rows, where a row reads several: lines of weights, windows, classes, gates.

Each operator answers a point with values that hit it, a `Job`, and puts jobs into stimuli; or with a proof that none
do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fxsim.contract import Number, Tensor, round_shift
from fxsim.coverage.points import (
    BESIDE,
    GATE,
    OPERAND,
    PASSED,
    PRODUCT,
    RANKS,
    STEP,
    SUM,
    Bools,
    Group,
    Int64,
)
from fxsim.coverage.sums import BOUND, SUMS, Row, Wanted, nearest_zero
from fxsim.coverage.values import Taps, Values, by_channel, line_ends, taps_of, weights_there
from fxsim.operators import (
    Add,
    Argmax,
    Axis,
    Conv,
    Gate,
    Linear,
    MaxPool,
    OrderedLinear,
    Pool,
    SumPool,
    WeightedAdd,
)

INPUTS, CHOICES = "inputs", "choices"
"""Proofs that no point is hit: every input that the row can have was tried; none of several inputs compare so."""

_TRIES = 3
_TRIES_OF_TWO = 64
_LISTED = 1 << 17
"""Most values of all inputs of a row together that are searched; of more, each input has a few of its own alone."""
_FEW = 17
_STATES, _STATES_OF_FEW = 1 << 24, 1 << 27
"""Most states by terms of a sum in a stated order that are all followed, and followed with a few of each input."""
_AT_ONCE = 1 << 20
_PLACES = 16
"""Most places of an image that are tried for one job beside others."""

Answer = tuple["Job | None", str | None]
"""Values that hit a point, or the proof that none do; neither where nothing is known."""


@dataclass(frozen=True)
class Job:
    """A vector of inputs for a row, and the places where it may stand. `taps`: of a convolution, the part it is of."""

    row: int
    places: tuple[int, ...]
    vector: list[int]
    taps: int = 0


@dataclass(eq=False)
class Line:
    """Weights, and the values that each input can have, at places that are all alike; `low`, `high`: of their sum."""

    weights: Any
    values: list[list[int]]
    places: tuple[int, ...]
    low: int
    high: int
    taps: int = 0
    _row: Row | None = field(default=None)
    thinned: bool = False

    def row(self) -> Row:
        """The question about it, of a few of each input's values alone where there are very many."""
        if self._row is None:
            values = self.values
            if sum(map(len, values)) > _LISTED:
                self.thinned = True
                values = [_few(own) for own in values]
            self._row = Row(self.weights, values)
        return self._row


def _few(values: list[int]) -> list[int]:
    """A few of some values: the ends, those next to 0, and some between."""
    if len(values) <= _FEW:
        return values
    some = {values[at * (len(values) - 1) // (_FEW - 4)] for at in range(_FEW - 3)}
    return sorted(some | set(sorted(values, key=abs)[:3]))


@dataclass(frozen=True, eq=False)
class Lines:
    """The questions about a node. `place`: puts jobs into stimuli, of images that are plain elsewhere.

    `of_row`: of a sum, the lines of each of `rows` rows, of `inputs` values each; None of what is no such sum.
    `other`: the answer for a point of any quantity but the sum of those lines.
    """

    rows: int
    inputs: int
    of_row: Callable[[int], list[Line]] | None
    place: Callable[[list[Job], tuple[Any, ...]], tuple[Any, ...]]
    other: Callable[[Group, int], Answer]

    def bounds(self) -> tuple[list[int], list[int]]:
        """Least and greatest sum of every row."""
        assert self.of_row is not None
        lines = [self.of_row(row) for row in range(self.rows)]
        return [min(line.low for line in own) for own in lines], [max(line.high for line in own) for own in lines]

    def solve(self, group: Group, point: int) -> Answer:
        """The answer for a point."""
        if group.quantity != SUM or self.of_row is None:
            return self.other(group, point)
        row, wanted = int(group.rows[point]), wanted_of(group, point)
        able = [line for line in self.of_row(row) if _between(wanted, line.low, line.high)]
        if not able:
            return None, BOUND
        able.sort(key=lambda line: line.low - line.high)
        tries = _TRIES_OF_TWO if self.inputs == 2 else _TRIES
        proofs = []
        for line in able[:tries]:
            found, proof = line.row().find(wanted)
            if found is not None:
                return Job(row, line.places, found, line.taps), None
            proofs.append(None if line.thinned else proof)
        if len(able) > tries or None in proofs:
            return None, None
        return None, SUMS if SUMS in proofs else proofs[0]


def wanted_of(group: Group, point: int) -> Wanted:
    """The values that a point asks for."""
    return Wanted(*(int(ends[point]) for ends in (group.low, group.high, group.step, group.first, group.last)))


def _between(wanted: Wanted, low: int, high: int) -> bool:
    at = wanted.next(low)
    return at is not None and at <= high


def _right(wanted: Wanted, values: Sequence[int]) -> list[int]:
    """The ones of some values that are wanted."""
    found = np.asarray(values, np.int64)
    right: list[int] = found[wanted.holds(found)].tolist()
    return right


def _nothing(_group: Group, _point: int) -> Answer:
    return None, None


def _listed(values: Values, sets: Bools) -> list[list[int]]:
    """The values of sets [K, n]; inputs that have the same share one list."""
    known: dict[bytes, list[int]] = {}
    found = []
    for own in sets:
        key = own.tobytes()
        if key not in known:
            known[key] = (np.flatnonzero(own) + values.low).tolist()
        found.append(known[key])
    return found


def _alike(sets: Bools) -> list[tuple[int, ...]]:
    """The places [place, ...] that have the same sets, together."""
    found: dict[bytes, list[int]] = {}
    for place, own in enumerate(sets):
        found.setdefault(own.tobytes(), []).append(place)
    return [tuple(places) for places in found.values()]


# --- Vectors along one axis: linears, classes ------------------------------------------------------------------------


def _along(x: Tensor, size: int, turned: bool) -> Callable[[list[Job], tuple[Any, ...]], tuple[Any, ...]]:
    """Puts vectors along the channels, or where that is `turned` the tokens, one at a place."""
    others = x.size // size

    def place(jobs: list[Job], plain: tuple[Any, ...]) -> tuple[Any, ...]:
        lying = plain[0].swapaxes(-1, -2) if turned else plain[0]
        used = dict.fromkeys(range(others), 0)
        images: list[Any] = []
        for job in jobs:
            where = min(job.places, key=used.__getitem__)
            if used[where] == len(images):
                images.append(lying.reshape(others, size).copy())
            images[used[where]][where, : len(job.vector)] = job.vector
            used[where] += 1
        made = np.stack(images).reshape(len(images), *lying.shape)
        return (np.ascontiguousarray(made.swapaxes(-1, -2) if turned else made),)

    return place


def _linear(op: Linear, tensors: Sequence[Tensor], values: Sequence[Values]) -> Lines:
    (x,), (own,) = tensors, values
    turned = op.over is Axis.TOKENS
    size = op.weight.shape[1]
    weight = op.weight.astype(np.int64)
    alike = own.sets.swapaxes(0, 1) if turned else own.sets
    alike = np.broadcast_to(alike, (alike.shape[0], size, alike.shape[-1]))
    others = x.size // size
    classes = [tuple(range(others))] if len(alike) == 1 else _alike(alike)
    if len(alike) > 1 and others > len(alike):
        # Of sequences of tokens and channels, places follow each other as often as there are sequences.
        classes = [tuple(at for at in range(others) if at % len(alike) in set(one)) for one in classes]
    listed = [_listed(own, alike[places[0] if len(alike) > 1 else 0]) for places in classes]
    ends = [line_ends(weight, [np.array([v[0], v[-1]]) for v in one]) for one in listed]
    kept: dict[int, list[Line]] = {}

    def of_row(row: int) -> list[Line]:
        if row not in kept:
            kept[row] = [
                Line(weight[row], listed[n], places, int(ends[n][0][row]), int(ends[n][1][row]))
                for n, places in enumerate(classes)
            ]
        return kept[row]

    def operand(group: Group, point: int) -> Answer:
        k = int(group.rows[point])
        for n, places in enumerate(classes):
            right = _right(wanted_of(group, point), listed[n][k])
            if right:
                vector = [nearest_zero(v) for v in listed[n]]
                vector[k] = nearest_zero(right)
                return Job(0, places, vector), None
        return None, INPUTS

    return Lines(len(weight), size, of_row, _along(x, size, turned), operand)


def _argmax(op: Argmax, tensors: Sequence[Tensor], values: Sequence[Values]) -> Lines:
    x, channels = tensors[0], by_channel(values[0], tensors[0].shape[-1])[: op.classes]
    every = tuple(range(x.size // x.shape[-1]))
    least = [int(own[0]) for own in channels]

    def rank(group: Group, point: int) -> Answer:
        k, wanted = int(group.rows[point]), int(group.low[point])
        if wanted == RANKS["alone"]:
            best = int(channels[k][-1])
            if all(low < best for c, low in enumerate(least) if c != k):
                return Job(k, every, [best if c == k else low for c, low in enumerate(least)]), None
            return None, CHOICES
        others = range(k + 1, op.classes) if wanted == RANKS["first"] else range(k)
        for other in others:
            # The greatest value that both can have is at least as great as any other, where one is.
            both = np.intersect1d(channels[k], channels[other])
            if not len(both):
                continue
            best = int(both[-1])
            # Before the first of several, all are less.
            before = [c for c in range(k) if c != other] if wanted == RANKS["first"] else []
            if all(low <= best for low in least) and all(least[c] < best for c in before):
                return Job(k, every, [best if c in (k, other) else low for c, low in enumerate(least)]), None
        return None, CHOICES

    return Lines(op.classes, op.classes, None, _along(x, x.shape[-1], False), rank)


# --- Sums of two tensors, gates --------------------------------------------------------------------------------------


def _pairs(tensors: Sequence[Tensor]) -> Callable[[list[Job], tuple[Any, ...]], tuple[Any, ...]]:
    """Puts a value for each of two tensors at a place of a channel."""
    shape = tensors[0].shape
    rows = shape[-1]

    def place(jobs: list[Job], plain: tuple[Any, ...]) -> tuple[Any, ...]:
        used: dict[tuple[int, int], int] = {}
        images: list[tuple[Any, Any]] = []
        for job in jobs:
            where = min(job.places, key=lambda t: used.get((t, job.row), 0))
            image = used.get((where, job.row), 0)
            if image == len(images):
                images.append((plain[0].reshape(-1, rows).copy(), plain[1].reshape(-1, rows).copy()))
            for n in range(2):
                images[image][n][where, job.row] = job.vector[n]
            used[where, job.row] = image + 1
        return tuple(np.stack([pair[n] for pair in images]).reshape(-1, *shape) for n in range(2))

    return place


def _add(op: Add | WeightedAdd, tensors: Sequence[Tensor], values: Sequence[Values]) -> Lines:
    rows = tensors[0].shape[-1]
    weight = op.weight.astype(np.int64) if isinstance(op, WeightedAdd) else np.ones((2, rows), np.int64)
    places = tensors[0].size // rows
    tokens = max(len(own.sets) for own in values)
    both = [np.broadcast_to(own.sets, (tokens, rows, own.sets.shape[-1])) for own in values]
    kept: dict[int, list[Line]] = {}

    def of_row(row: int) -> list[Line]:
        if row not in kept:
            of_tokens: dict[bytes, list[int]] = {}
            for t in range(tokens):
                of_tokens.setdefault(both[0][t, row].tobytes() + both[1][t, row].tobytes(), []).append(t)
            kept[row] = []
            for same in of_tokens.values():
                listed = [
                    (np.flatnonzero(sets[same[0], row]) + own.low).tolist()
                    for sets, own in zip(both, values, strict=True)
                ]
                where = tuple(range(places)) if tokens == 1 else tuple(same)
                factors = weight[:, row].tolist()
                ends = [sorted((w * v[0], w * v[-1])) for w, v in zip(factors, listed, strict=True)]
                kept[row].append(Line(factors, listed, where, sum(e[0] for e in ends), sum(e[1] for e in ends)))
        return kept[row]

    return Lines(rows, 2, of_row, _pairs(tensors), _nothing)


def _gate(op: Gate, tensors: Sequence[Tensor], values: Sequence[Values]) -> Lines:
    rows = tensors[0].shape[-1]
    places = tuple(range(tensors[0].size // rows))
    passing, compared = (by_channel(own, rows) for own in values)

    def answer(group: Group, point: int) -> Answer:
        row, wanted = int(group.rows[point]), wanted_of(group, point)
        least = int(op.threshold[row])
        own, others = passing[row], compared[row]
        if group.quantity == GATE:
            others = others[wanted.holds(others)]
        else:
            others = others[others >= least] if group.quantity == PASSED else others[others < least]
            own = own[own != 0]
        if len(own) and len(others):
            return Job(row, places, [nearest_zero(own.tolist()), nearest_zero(others.tolist())]), None
        return None, CHOICES

    return Lines(rows, 2, None, _pairs(tensors), answer)


# --- Windows of a channel --------------------------------------------------------------------------------------------


def _pool(op: Pool, tensors: Sequence[Tensor], values: Sequence[Values]) -> Lines:
    (x,), (own,) = tensors, values
    rows = x.shape[-1]
    both = np.broadcast_to(own.sets, (op.tokens, rows, own.sets.shape[-1]))
    kept: dict[int, list[Line]] = {}

    def of_row(row: int) -> list[Line]:
        if row not in kept:
            listed = _listed(own, both[:, row])
            low, high = sum(v[0] for v in listed), sum(v[-1] for v in listed)
            kept[row] = [Line([1] * op.tokens, listed, (row,), low, high)]
        return kept[row]

    def place(jobs: list[Job], plain: tuple[Any, ...]) -> tuple[Any, ...]:
        used = [0] * rows
        images: list[Any] = []
        for job in jobs:
            if used[job.row] == len(images):
                images.append(plain[0].copy())
            images[used[job.row]][..., job.row].reshape(-1, op.tokens)[0] = job.vector
            used[job.row] += 1
        return (np.stack(images),)

    return Lines(rows, op.tokens, of_row, place, _nothing)


def _windows(op: Any, x: Tensor) -> Callable[[list[Job], tuple[Any, ...]], tuple[Any, ...]]:
    """Puts the values of a window of a channel into the first window of an image."""
    shape = op.kernel

    def place(jobs: list[Job], plain: tuple[Any, ...]) -> tuple[Any, ...]:
        used = [0] * x.shape[-1]
        images: list[Any] = []
        for job in jobs:
            if used[job.row] == len(images):
                images.append(plain[0].copy())
            images[used[job.row]][: shape[0], : shape[1], job.row] = np.array(job.vector).reshape(shape)
            used[job.row] += 1
        return (np.stack(images),)

    return place


def _max_pool(op: MaxPool, tensors: Sequence[Tensor], values: Sequence[Values]) -> Lines:
    x = tensors[0]
    channels = by_channel(values[0], x.shape[-1])
    size = op.kernel[0] * op.kernel[1]

    def answer(group: Group, point: int) -> Answer:
        row, where = int(group.rows[point]), int(group.low[point])
        least, best = int(channels[row][0]), int(channels[row][-1])
        if where == size:
            return Job(row, (0,), [best] * size), None
        if least == best:
            return None, CHOICES
        return Job(row, (0,), [best if at == where else least for at in range(size)]), None

    return Lines(x.shape[-1], size, None, _windows(op, x), answer)


def _sum_pool(op: SumPool, tensors: Sequence[Tensor], values: Sequence[Values]) -> Lines:
    x = tensors[0]
    rows, size = x.shape[-1], op.kernel[0] * op.kernel[1]
    channels = [own.tolist() for own in by_channel(values[0], rows)]
    place = _windows(op, x)
    if op.limits is not None:
        limits = op.limits
        ordered: dict[int, Ordered] = {}

        def answer(group: Group, point: int) -> Answer:
            row = int(group.rows[point])
            if row not in ordered:
                ordered[row] = Ordered(0, [(channels[row], channels[row])] * size, limits)
            found, proof = ordered[row].find(group.quantity == STEP, wanted_of(group, point))
            return (None if found is None else Job(row, (0,), found)), proof

        return Lines(rows, size, None, place, answer)
    kept: dict[int, list[Line]] = {}

    def of_row(row: int) -> list[Line]:
        if row not in kept:
            own = channels[row]
            kept[row] = [Line([1] * size, [own] * size, (0,), size * own[0], size * own[-1])]
        return kept[row]

    return Lines(rows, size, of_row, place, _nothing)


# --- Convolutions ----------------------------------------------------------------------------------------------------


def _conv(op: Conv, tensors: Sequence[Tensor], values: Sequence[Values]) -> Lines:
    (x,), (own,) = tensors, values
    rows, of_rows, of_columns, each = op.weight.shape
    share = rows // op.groups
    channels = [found.tolist() for found in by_channel(own, x.shape[-1])]
    parts = taps_of(op, x)
    weights = [weights_there(op, taps) for taps in parts]
    kept: dict[int, list[Line]] = {}

    def read(taps: Taps, g: int) -> list[list[int]]:
        return channels[g * each : (g + 1) * each] * (len(taps.kernel[0]) * len(taps.kernel[1]))

    ends = []
    for taps, weight in zip(parts, weights, strict=True):
        for g in range(op.groups):
            inputs = [np.array([v[0], v[-1]]) for v in read(taps, g)]
            ends.append(line_ends(weight[g * share : (g + 1) * share], inputs))

    def of_row(row: int) -> list[Line]:
        if row not in kept:
            g, n = divmod(row, share)
            kept[row] = []
            for at, taps in enumerate(parts):
                low, high, _ = ends[at * op.groups + g]
                places = tuple(range(len(taps.starts)))
                line = Line(weights[at][row], read(taps, g), places, int(low[n]), int(high[n]), at)
                kept[row].append(line)
        return kept[row]

    def other(group: Group, point: int) -> Answer:
        wanted, k = wanted_of(group, point), int(group.rows[point])
        if group.quantity == OPERAND:
            g, place = divmod(k, of_rows * of_columns * each)
            tap, c = divmod(place, each)
            r, s = divmod(tap, of_columns)
            able = [at for at, taps in enumerate(parts) if r in taps.kernel[0] and s in taps.kernel[1]]
        else:
            side = next(name for name, quantity in BESIDE.items() if quantity == group.quantity)
            g, c = divmod(k, each)
            r = s = None
            able = [at for at, taps in enumerate(parts) if all(taps.kernel) and _reaches(op, x, taps, side)]
        right = _right(wanted, channels[g * each + c])
        if not right or not able:
            return None, INPUTS
        taps = parts[able[0]]
        vector = [nearest_zero(v) for v in read(taps, g)]
        at = 0 if r is None else taps.kernel[0].index(r) * len(taps.kernel[1]) + taps.kernel[1].index(s)
        vector[at * each + c] = nearest_zero(right)
        return Job(g * share, tuple(range(len(taps.starts))), vector, able[0]), None

    def place(jobs: list[Job], plain: tuple[Any, ...]) -> tuple[Any, ...]:
        images: list[Any] = []
        free: Any = None
        for job in jobs:
            taps, g = parts[job.taps], job.row // share
            block = slice(g * each, (g + 1) * each)
            where = None
            # In the last image, where a window of its own is free; else in a new one.
            for n in job.places[:: max(1, len(job.places) // _PLACES)] if images else ():
                at = _reads(op, taps, n)
                if free[at][..., g].all():
                    where = at
                    break
            if where is None:
                images.append(plain[0].copy())
                free = np.ones((*x.shape[:2], op.groups), np.bool_)
                where = _reads(op, taps, job.places[0])
            shape = len(taps.kernel[0]), len(taps.kernel[1]), each
            images[-1][(*where, block)] = np.array(job.vector).reshape(shape)
            free[(*where, g)] = False
        return (np.stack(images),)

    return Lines(rows, of_rows * of_columns * each, of_row, place, other)


def _reads(op: Conv, taps: Taps, n: int) -> tuple[Any, Any]:
    """Rows and columns of the image that are read at one place, to index with."""
    start = taps.starts[n]
    rows, columns = (
        np.array([start[axis] + r * op.dilation[axis] for r in taps.kernel[axis]], np.int64) for axis in range(2)
    )
    return rows[:, None], columns[None]


def _reaches(op: Conv, x: Tensor, taps: Taps, side: str) -> bool:
    """Whether windows of a part reach beyond a side of the image."""
    axis = 0 if side in ("above", "below") else 1
    start: int = taps.starts[0][axis]
    if side in ("above", "left"):
        return start < 0
    return start + int(op.weight.shape[1 + axis] - 1) * op.dilation[axis] >= x.shape[axis]


# --- Sums in a stated order ------------------------------------------------------------------------------------------


class Ordered:
    """A sum in a stated order that is saturated after each term, from `start` on; of which the states are few enough.

    `terms`: for each input its values, and what each adds.
    """

    def __init__(self, start: int, terms: Sequence[tuple[list[int], list[int]]], limits: Number) -> None:
        self.limits = limits
        low = high = start
        after, self.before = [(low, high)], []
        for _, added in terms:
            self.before.append((low + min(added), high + max(added)))
            low, high = (min(max(end, limits.low), limits.high) for end in self.before[-1])
            after.append((low, high))
        self.low, width = min(ends[0] for ends in after), max(ends[1] for ends in after)
        self.width = width - self.low + 1
        self.every = [self._apart(values, added) for values, added in terms]
        self.thinned = self.width * sum(map(len, self.every)) > _STATES
        self.steps = [self._step(one) for one in self.every]
        self.known = self.width * sum(map(len, self.steps)) <= _STATES_OF_FEW
        self.states: list[Bools] = []
        if self.known:
            reached = np.zeros(self.width, np.bool_)
            reached[start - self.low] = True
            self.states = [reached]
            for step in self.steps:
                self.states.append(self._next(self.states[-1], step))

    @staticmethod
    def _apart(values: list[int], added: list[int]) -> dict[int, int]:
        """The terms that are added, by one value that adds each."""
        return dict(zip(reversed(added), reversed(values), strict=True))

    def _step(self, every: dict[int, int]) -> dict[int, int]:
        """The terms that are followed of those that are added."""
        return {term: every[term] for term in _few(sorted(every))} if self.thinned else every

    def _next(self, reached: Bools, step: dict[int, int]) -> Bools:
        found = np.zeros(self.width, np.bool_)
        at = np.flatnonzero(reached) + self.low
        for term in step:
            found[np.clip(at + term, self.limits.low, self.limits.high) - self.low] = True
        return found

    def find(self, step: bool, wanted: Wanted) -> tuple[list[int] | None, str | None]:
        """Inputs by which the sum in the end, or where `step` one before it is saturated, is wanted; or the proof."""
        last = len(self.steps) - 1
        if not step and not _between(wanted, *(self._limited(end) for end in self.before[last])):
            return None, BOUND
        able = [k for k in range(last + 1) if (step and _between(wanted, *self.before[k])) or (not step and k == last)]
        if not able:
            return None, BOUND
        for k in able if self.known else ():
            states = np.flatnonzero(self.states[k]) + self.low
            terms = np.array(list(self.every[k]), np.int64)
            rows = max(1, _AT_ONCE // len(terms))
            if self.thinned:
                # The last term is any that there is, the states before it are some.
                states = states[:: -(-len(states) // rows)]
            for start in range(0, len(states), rows):
                sums = states[start : start + rows, None] + terms
                hits = np.argwhere(wanted.holds(sums if step else np.clip(sums, self.limits.low, self.limits.high)))
                if len(hits):
                    state, term = hits[len(hits) // 2].tolist()
                    rest = [next(iter(later.values())) for later in self.steps[k + 1 :]]
                    chosen = self.every[k][int(terms[term])]
                    return [*self._back(k, int(states[start + state])), chosen, *rest], None
        return None, None if self.thinned or not self.known else SUMS

    def _limited(self, value: int) -> int:
        return min(max(value, self.limits.low), self.limits.high)

    def _back(self, k: int, state: int) -> list[int]:
        """Inputs of the first k terms by which the sum is `state`."""
        found = []
        for at in range(k - 1, -1, -1):
            before = np.flatnonzero(self.states[at]) + self.low
            for term, value in self.steps[at].items():
                right = before[np.clip(before + term, self.limits.low, self.limits.high) == state]
                if len(right):
                    found.append(value)
                    state = int(right[0])
                    break
        return found[::-1]


def _ordered_linear(op: OrderedLinear, tensors: Sequence[Tensor], values: Sequence[Values]) -> Lines:
    x = tensors[0]
    rows, size = op.weight.shape
    channels = by_channel(values[0], size)
    listed = [own.tolist() for own in channels]
    every = tuple(range(x.size // size))
    kept: dict[int, Ordered] = {}

    def products(row: int, k: int) -> Int64:
        found: Int64 = channels[k] * int(op.weight[row, k])
        return found

    def answer(group: Group, point: int) -> Answer:
        row, wanted = int(group.rows[point]), wanted_of(group, point)
        if group.quantity in (OPERAND, PRODUCT):
            for k in [row] if group.quantity == OPERAND else range(size):
                right = channels[k][wanted.holds(channels[k] if group.quantity == OPERAND else products(row, k))]
                if len(right):
                    vector = [nearest_zero(own) for own in listed]
                    vector[k] = nearest_zero(right.tolist())
                    return Job(0, every, vector), None
            return None, INPUTS
        if row not in kept:
            terms = [(listed[k], round_shift(products(row, k), int(op.shift[row])).tolist()) for k in range(size)]
            kept[row] = Ordered(int(op.bias[row]), terms, op.out)
        found, proof = kept[row].find(group.quantity == STEP, wanted)
        return (None if found is None else Job(row, every, found)), proof

    return Lines(rows, size, None, _along(x, size, False), answer)


LINES: dict[type, Callable[..., Lines]] = {
    Linear: _linear,
    Add: _add,
    WeightedAdd: _add,
    Pool: _pool,
    Conv: _conv,
    MaxPool: _max_pool,
    SumPool: _sum_pool,
    OrderedLinear: _ordered_linear,
    Argmax: _argmax,
    Gate: _gate,
}
"""The questions about each operator whose rows depend on more than one value."""
