"""The values that taps and accumulators can have, over all images: sets of values, propagated through the graph.

A set of a tap's place holds every value that some image makes there, and where it is called exact, no other. Sets are
exact as long as what a sum adds up depends on different parts of the image; after that they are bounds.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.errors import ModelError
from fxsim.graph import INPUT, Graph, Model, refuse_beyond_int8
from fxsim.operators import (
    FEATURE_MAPS,
    Add,
    Affine,
    Axis,
    Conv,
    Linear,
    Lut,
    MaxPool,
    NotTaken,
    OperatorTable,
    Pool,
    Relu,
    Threshold,
)
from fxsim.prove import statement
from fxsim.prove.engine import table_of

Bools = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]

PLACES_MAX = 1 << 20
"""Most places of a tap whose sets are kept, at 256 bytes each."""
_VALUES = np.arange(256) - 128
SUMS_MAX = 1 << 13
"""Widest range of a linear's sum whose sums are found one by one where there are gaps; else all in it are taken."""
_SHIFT_MAX = 48
"""Shifts beyond any sum's bits: a sum of 32 bits rounds to 0 from 33 places on."""


class Apart(Enum):
    """The values of a tap that depend on different values of the image, so that they may come together in any way."""

    ALL = auto()
    """Every value on a part of the image of its own."""
    TOKENS = auto()
    """Values of different tokens; those of one token may hang together."""
    CHANNELS = auto()
    """Values of different channels."""
    NONE = auto()
    """None that are known to."""


@dataclass(frozen=True)
class Reach:
    """The values that a tap can have. `sets` bool [tokens or 1, channels or 1, 256]: whether a place may have v - 128.

    A dimension of 1 where all tokens, or all channels, have the same. `exact`: whether every value of every set is
    reached by some image. `low`, `high` int64 [tokens or 1, rows or 1]: of the accumulator, where there is one;
    `ends_exact`: whether both are reached.
    """

    sets: Bools
    exact: bool
    apart: Apart
    low: Int64 | None = None
    high: Int64 | None = None
    ends_exact: bool = False

    def channel_range(self) -> tuple[Int64, Int64]:
        """Least and greatest value of each channel, over all tokens."""
        together: Bools = np.asarray(self.sets.any(axis=0))
        return together.argmax(axis=-1) - 128, 127 - together[:, ::-1].argmax(axis=-1)


def reach(model: Model) -> dict[str, Reach]:
    """The reach of the input and of every tap. ModelError where a tensor is not int8, or has too many places."""
    graph = model.graph
    refuse_beyond_int8(graph, "the proof of reachable values")
    found = {INPUT: Reach(np.ones((1, 1, 256), np.bool_), exact=True, apart=Apart.ALL)}
    for node in graph.nodes:
        places = math.prod(graph.shapes[node.name])
        if places > PLACES_MAX:
            raise ModelError(
                f"node '{node.name}' has {places:,} values, the proof of reachable ones takes up to {PLACES_MAX:,}"
            )
        try:
            rule = RULES[type(node.op)]
        except ModelError as error:
            raise ModelError(f"node '{node.name}': {error}") from None
        found[node.name] = rule(graph, node.op, [found[name] for name in node.inputs])
    return found


def _function(_graph: Graph, op: Any, inputs: list[Reach]) -> Reach:
    (x,) = inputs
    channels = 1 if isinstance(op, Relu) else len(op.table if isinstance(op, Lut) else op.weight)
    table = np.array(table_of(op, channels)) + 128
    tokens, kept = x.sets.shape[0], x.sets.shape[1]
    sets = np.zeros((tokens, max(channels, kept), 256), np.bool_)
    for c in range(sets.shape[1]):
        values = table[min(c, channels - 1)]
        for t in range(tokens):
            sets[t, c, values[x.sets[t, min(c, kept - 1)]]] = True
    return Reach(sets, x.exact, x.apart)


def _ends(x: Reach) -> tuple[Int64, Int64]:
    """Least and greatest value of each place."""
    return x.sets.argmax(axis=-1) - 128, 127 - x.sets[..., ::-1].argmax(axis=-1)


def rounded(total: Int64, shift: Int64) -> Int64:
    """floor(total / 2^shift + 1/2) of sums of 32 bits at most."""
    places = np.minimum(shift, _SHIFT_MAX)
    result: Int64 = (2 * total + np.left_shift(1, places)) >> (places + 1)
    return result


def _between(low: Int64, high: Int64) -> Bools:
    """Sets of all that lies between two values, saturated; [...] each, result [..., 256]."""
    low, high = np.clip(low, -128, 127)[..., None], np.clip(high, -128, 127)[..., None]
    return np.asarray((low <= _VALUES) & (high >= _VALUES))


def _linear(_graph: Graph, op: Linear, inputs: list[Reach]) -> Reach:
    (x,) = inputs
    over_tokens = op.over is Axis.TOKENS
    weight = op.weight.astype(np.int64)
    size = weight.shape[1]
    sets = x.sets.swapaxes(0, 1) if over_tokens else x.sets
    # [others, K]: the axis that is summed last, as long as it is; the others may all be alike.
    sets = np.broadcast_to(sets, (sets.shape[0], size, 256))
    least, greatest = sets.argmax(axis=-1) - 128, 127 - sets[..., ::-1].argmax(axis=-1)
    plus, minus = np.maximum(weight, 0).T, np.minimum(weight, 0).T
    low = least @ plus + greatest @ minus
    high = greatest @ plus + least @ minus
    shift, bias = op.shift.astype(np.int64), op.bias.astype(np.int64)
    out = _between(rounded(low, shift) + bias, rounded(high, shift) + bias)
    apart = x.apart is Apart.ALL or x.apart is (Apart.TOKENS if over_tokens else Apart.CHANNELS)
    ends_exact = apart and x.exact
    exact = ends_exact
    for i, places in enumerate(sets):
        for n in np.flatnonzero(~_without_gaps(places, weight)).tolist():
            if high[i, n] - low[i, n] > SUMS_MAX:
                exact = False
                continue
            totals = _totals(places, weight[n], int(low[i, n]), int(high[i, n]))
            values = np.clip(rounded(totals, shift[n]) + bias[n], -128, 127)
            out[i, n] = False
            out[i, n, values + 128] = True
    kept = Apart.NONE
    if x.apart in (Apart.ALL, Apart.CHANNELS if over_tokens else Apart.TOKENS):
        kept = Apart.CHANNELS if over_tokens else Apart.TOKENS
    if over_tokens:
        out, low, high = out.swapaxes(0, 1), low.T, high.T
    return Reach(np.ascontiguousarray(out), exact, kept, low, high, ends_exact)


def _totals(sets: Bools, weight: Int64, low: int, high: int) -> Int64:
    """All sums of a row, between its ends, of values of sets [K, 256] that are independent."""
    reached = 1  # bit t: the least sum and t
    for values, w in zip(sets, weight.tolist(), strict=True):
        if w:
            steps = np.flatnonzero(values) * w
            before, reached = reached, 0
            for step in (steps - steps.min()).tolist():
                reached |= before << step
    bits = np.frombuffer(reached.to_bytes((high - low) // 8 + 1, "little"), np.uint8)
    return low + np.flatnonzero(np.unpackbits(bits, bitorder="little"))


def _without_gaps(sets: Bools, weight: Int64) -> Bools:
    """Whether the sums of each row [N] reach every integer between their ends, if what is summed is independent.

    Taken from the least weight on: sums without gaps, n of them, stay without where the next moves by n at most.
    """
    count = sets.sum(axis=-1)
    least, greatest = sets.argmax(axis=-1), 255 - sets[:, ::-1].argmax(axis=-1)
    if (count != greatest - least + 1).any():
        return np.zeros(len(weight), np.bool_)
    size = np.abs(weight)
    order = np.argsort(size, axis=-1, kind="stable")
    size = np.take_along_axis(size, order, axis=-1)
    steps = size * (greatest - least)[order]
    before = 1 + np.concatenate([np.zeros((len(size), 1), np.int64), np.cumsum(steps, axis=-1)[:, :-1]], axis=-1)
    return np.asarray(((size <= before) | (steps == 0)).all(axis=-1))


def _add(_graph: Graph, _op: Add, inputs: list[Reach]) -> Reach:
    x, r = inputs
    shape = tuple(max(a, b) for a, b in zip(x.sets.shape[:2], r.sets.shape[:2], strict=True))
    sets = np.zeros((*shape, 256), np.bool_)
    first, second = (np.broadcast_to(tap.sets, (*shape, 256)) for tap in inputs)
    for t in range(shape[0]):
        for c in range(shape[1]):
            # Which sums there are: which differences of places two sets have, by one turned around.
            counts = np.convolve(first[t, c].astype(np.int64), second[t, c].astype(np.int64)) > 0
            sums = np.flatnonzero(counts) - 256
            sets[t, c, np.clip(sums, -128, 127) + 128] = True
    low = np.asarray((_ends(x)[0] + _ends(r)[0]).min()).reshape(1, 1)
    high = np.asarray((_ends(x)[1] + _ends(r)[1]).max()).reshape(1, 1)
    # Both operands come from the same image.
    return Reach(sets, False, Apart.NONE, low, high)


def _pool(_graph: Graph, op: Pool, inputs: list[Reach]) -> Reach:
    (x,) = inputs
    sets = np.broadcast_to(x.sets, (op.tokens, *x.sets.shape[1:]))
    least, greatest = sets.argmax(axis=-1) - 128, 127 - sets[..., ::-1].argmax(axis=-1)
    low, high = least.sum(axis=0)[None], greatest.sum(axis=0)[None]
    shift = np.array(op.tokens.bit_length() - 1)
    out = _between(rounded(low, shift), rounded(high, shift))
    apart = x.apart in (Apart.ALL, Apart.TOKENS)
    whole = bool((sets.sum(axis=-1) == greatest - least + 1).all())
    kept = Apart.CHANNELS if x.apart is Apart.ALL else Apart.NONE
    return Reach(out, apart and x.exact and whole, kept, low, high, apart and x.exact)


_Rule = Callable[[Graph, Any, list[Reach]], Reach]

_NOT_TAKEN = NotTaken("because nothing states its reach yet")

RULES: OperatorTable[_Rule] = OperatorTable(
    "the proof of reachable values",
    {
        Linear: _linear,
        Pool: _pool,
        Affine: _function,
        Lut: _function,
        Relu: _function,
        Add: _add,
        Conv: _NOT_TAKEN,
        MaxPool: _NOT_TAKEN,
        Threshold: _NOT_TAKEN,
        **dict.fromkeys(FEATURE_MAPS, _NOT_TAKEN),
    },
)
"""The reach of each operator's result by that of its inputs."""


def unused_entries(op: Lut, x: Reach) -> list[list[int]]:
    """By channel, the entries of a table that no value which its input can have depends on."""
    unused = []
    together: Bools = np.asarray(x.sets.any(axis=0))
    stored = op.table.shape[1]
    for c in range(op.table.shape[0]):
        used = set()
        for code in np.flatnonzero(together[min(c, len(together) - 1)]).tolist():
            if op.rule == "full":
                used.add(code)
                continue
            left, right, fraction = statement.segment(op.points, op.rule, code)
            used.add(left)
            if fraction:
                used.add(right)
        unused.append(sorted(set(range(stored)) - used))
    return unused
