"""The audit of the generator: features of networks, stated from the contract, and which of them a run never made.

Nothing here is taken from the generator. `features_of` reads a network and its images; `universe` states all there are:
what is in one and was never in the other is a hole, which is named.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from fxsim.contract import CHANNEL, RANGED, ROW, TOKEN, Number, TableRule, legal_points
from fxsim.contract.arithmetic import Int64, Integers
from fxsim.fuzz.picture_features import PICTURE_OPERATORS, of_picture, of_ties, picture_features
from fxsim.fuzz.takers import Taker, Taps
from fxsim.graph import INPUT, Graph, Node, accumulator_bound
from fxsim.operators import (
    OPERATORS,
    Add,
    Affine,
    Axis,
    Linear,
    Lut,
    Pool,
)
from fxsim.operators.base import ACTIVATION_BITS, WEIGHT_BITS

GROUPS = {
    "operators": "each operator, with inputs and results of each class of formats",
    "formats": "each kind of operator with each width of input, result and weight",
    "parameters": "extremes of weights, biases, shifts, accumulators and tables, by operator",
    "values": "what values come to: saturation, ties, accumulators at their bounds, images at their ends",
    "shapes": "sizes of tensors, axes, and forms of graphs",
    "takers": "each of those that compute, with each operator and shape that it takes",
    "pictures": "networks of few bits: each operator with each class of formats, and extremes of its parameters",
}
"""Groups of features, with what they are of."""

_CLASSES = ((2, 3, "2-3"), (4, 4, "4"), (5, 7, "5-7"), (8, 8, "8"), (9, 15, "9-15"), (16, 16, "16"))
NOT_MADE: dict[str, str] = {}
"""Kinds of operators that no random network has, each with the reason: the audit names them beside what it counts."""
_PICTURE_KINDS = tuple(op.kind for op in PICTURE_OPERATORS)
"""Kinds of networks of few bits, whose features are a group of their own."""
_KINDS = tuple(kind for kind in OPERATORS if kind not in _PICTURE_KINDS)
_BITS_MIN = 2
"""Narrowest numbers of other networks, in bits."""
_NUMBERS = tuple(Number(bits, sign) for sign in RANGED for bits in range(_BITS_MIN, ACTIVATION_BITS[1] + 1))
_OPERATORS = (
    "linear over channels", "linear over tokens", "affine", "relu",
    *(f"lut {rule}" for rule in TableRule), "add", "pool",
)  # fmt: skip
_REQUANTISED = ("linear over channels", "linear over tokens", "affine")
_SATURATING = (*_REQUANTISED, "add")
_GIVES_ITS_INPUTS = ("relu", "pool")
_SUMMED = 1 << 20
"""Most products of a linear that are formed once more, to see what its accumulators come to."""

_PARAMETERS = (
    "weights all least", "weights all greatest", "weights all zero", "weights at both ends", "weight one alone",
    "bias least", "bias greatest", "bias zero",
    "shift 0", "shift 1", "shift as wide as the accumulator", "shift beyond the accumulator", "shift 32 to 61",
    "shift 62 or more", "shift 255", "shifts that differ",
)  # fmt: skip
_WIDTHS = (
    "accumulator as narrow as can be", "accumulator wider than needed", "accumulator of 32 bits",
    "accumulator of 62 bits",
)  # fmt: skip
_SHAPES = (
    "one token", "one channel", "one token of one channel", "tokens of no power of two", "channels alone",
    "three axes", "more than 64 channels", "more than 64 tokens", "an odd number of channels",
)  # fmt: skip
_FORMS = (
    "one node", "a chain", "a sum of two nodes", "a sum with the input", "a sum of a tensor with itself",
    "a sum of two formats", "a sum across three nodes or more", "two sums", "a tensor read twice",
    "a tensor read three times", "the input read twice", "a pool before other nodes", "ten nodes or more",
)  # fmt: skip
_LINEAR_SIZES = ("of one input", "with one output", "of one input with one output", "of more than 64 inputs",
    "with more than 64 outputs")  # fmt: skip
_IMAGES = ("one image", "several images", "an image of least values", "an image of greatest values",
    "an image of both ends alone", "an image of other values")  # fmt: skip


def universe(takers: Sequence[Taker], groups: Iterable[str] = tuple(GROUPS)) -> dict[str, tuple[str, ...]]:
    """Every feature by group, where these takers are."""
    rows = {
        "operators": tuple(_operator_features()),
        "formats": tuple(_format_features()),
        "parameters": tuple(_parameter_features()),
        "values": tuple(_value_features()),
        "shapes": tuple(_shape_features()),
        "takers": tuple(f"{taker.name}: {what}" for taker in takers for what in _taken_features(taker)),
        "pictures": tuple(picture_features()),
    }
    return {group: rows[group] for group in GROUPS if group in set(groups)}


def _operator_features() -> Iterator[str]:
    for op in _OPERATORS:
        for sign in RANGED:
            for _, _, bits in _CLASSES:
                yield f"{op} of {sign} {bits} bits"
                if op not in _GIVES_ITS_INPUTS:
                    yield f"{op} giving {sign} {bits} bits"


def _format_features() -> Iterator[str]:
    for kind in _KINDS:
        for number in _NUMBERS:
            yield f"{kind} of {number}"
            if kind not in _GIVES_ITS_INPUTS:
                yield f"{kind} giving {number}"
    for op in _REQUANTISED:
        for bits in range(_BITS_MIN, WEIGHT_BITS[1] + 1):
            yield f"{op} with weights of {bits} bits"


def _parameter_features() -> Iterator[str]:
    for op in _REQUANTISED:
        yield from (f"{op}: {what}" for what in _PARAMETERS)
    for op in (*_SATURATING, "pool"):
        yield from (f"{op}: {what}" for what in _WIDTHS)
    for rule in TableRule:
        if rule is TableRule.FULL:
            yield f"lut {rule}: a point for every input"
        else:
            yield from (f"lut {rule}: {what}" for what in ("4 points", "a point for every input", "points between"))
        yield from (f"lut {rule}: {what}" for what in ("steps from end to end", "rising", "falling", "constant"))
    yield from (f"pool: {tokens} token(s)" for tokens in ("1", "2", "4 or more"))


def _value_features() -> Iterator[str]:
    for op in _SATURATING:
        yield from (f"{op}: {what}" for what in ("gives its least value", "gives its greatest value"))
        yield from (f"{op}: {what}" for what in ("saturates below", "saturates above"))
    for op in _REQUANTISED:
        yield from (f"{op}: {what}" for what in ("a tie of a positive sum", "a tie of a negative sum"))
        yield from (f"{op}: {what}" for what in ("a sum at its least bound", "a sum at its greatest bound"))
    yield from _IMAGES


def _shape_features() -> Iterator[str]:
    yield from (f"input of {what}" for what in _SHAPES)
    yield from (f"a node giving {what}" for what in _SHAPES)
    for op in ("linear over channels", "linear over tokens"):
        yield from (f"{op} {what}" for what in _LINEAR_SIZES)
    yield from _FORMS
    for kind in _KINDS:
        yield f"begins with {kind}"
        yield f"ends with {kind}"


def _taken_features(taker: Taker) -> Iterator[str]:
    yield from _OPERATORS
    if taker.name in ("reference", "loops", "c", "model file"):
        # The others take some of them, of which nothing is stated.
        yield from _PICTURE_KINDS
    # What is stated not to be taken is no hole.
    stated = taker.refuses is not Taker.refuses
    yield from (shape for shape in _SHAPES if not (stated and shape == "three axes"))


class Seen:
    """Features of many networks: how many had each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, graph: Graph, x: Integers, taps: Taps, took: Iterable[str]) -> None:
        """Count the features of one network, and of those that took it."""
        shared = set(_shared(graph))
        self.counts.update(set(features_of(graph, x, taps)) | {f"{name}: {what}" for name in took for what in shared})

    def missing(self, features: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """Features that nothing had, by group."""
        return {group: tuple(f for f in rows if not self.counts[f]) for group, rows in features.items()}

    def complete(self, features: dict[str, tuple[str, ...]]) -> bool:
        """Whether every one was there."""
        return all(self.counts[f] for rows in features.values() for f in rows)


def features_of(graph: Graph, x: Integers, taps: Taps) -> Iterator[str]:
    """Every feature of a network and its images, whose taps are known."""
    values = {INPUT: x, **taps}
    yield from _images(graph, x)
    yield from _form(graph)
    yield from (f"input of {what}" for what in _shape(graph, INPUT))
    for node in graph.nodes:
        yield from (f"a node giving {what}" for what in _shape(graph, node.name))
        yield from _formats(graph, node)
        yield from of_picture(graph, node)
        if taps:
            yield from of_ties(node, values)
        if node.op.kind in _PICTURE_KINDS:
            continue
        yield from _parameters(graph, node)
        if taps:
            yield from _values(graph, node, values)


def _shared(graph: Graph) -> Iterator[str]:
    for name in graph.tensors:
        yield from _shape(graph, name)
    yield from (_operator(node) for node in graph.nodes)


def _operator(node: Node) -> str:
    op = node.op
    if isinstance(op, Linear):
        return f"linear over {op.over}"
    return f"lut {op.rule}" if isinstance(op, Lut) else op.kind


def _class(number: Number) -> str:
    return next(f"{number.sign} {bits} bits" for low, high, bits in _CLASSES if low <= number.bits <= high)


def _formats(graph: Graph, node: Node) -> Iterator[str]:
    op, kind = _operator(node), node.op.kind
    if kind in _PICTURE_KINDS:
        return
    for tensor in graph.inputs_of(node):
        if tensor.number not in _NUMBERS:
            continue
        yield f"{op} of {_class(tensor.number)}"
        yield f"{kind} of {tensor.number}"
    out = graph.tensors[node.name].number
    if op not in _GIVES_ITS_INPUTS and out in _NUMBERS:
        yield f"{op} giving {_class(out)}"
        yield f"{kind} giving {out}"
    if isinstance(node.op, Linear | Affine):
        yield f"{op} with weights of {node.op.weight_number.bits} bits"


def _shape(graph: Graph, name: str) -> Iterator[str]:
    tensor = graph.tensors[name]
    channels = tensor.shape[-1]
    tokens = tensor.shape[-2] if TOKEN in tensor.axes else 0
    tests = {
        "one token": tokens == 1,
        "one channel": channels == 1,
        "one token of one channel": tokens == 1 and channels == 1,
        "tokens of no power of two": tokens & (tokens - 1) != 0 if tokens else False,
        "channels alone": tensor.axes == (CHANNEL,),
        "three axes": len(tensor.axes) >= 3 and ROW not in tensor.axes,
        "more than 64 channels": channels > 64,
        "more than 64 tokens": tokens > 64,
        "an odd number of channels": channels % 2 == 1 and channels > 1,
    }
    yield from (what for what, holds in tests.items() if holds)


def _form(graph: Graph) -> Iterator[str]:
    nodes = graph.nodes
    place = {INPUT: -1} | {node.name: at for at, node in enumerate(nodes)}
    reads = Counter(name for node in nodes for name in set(node.inputs))
    sums = [(at, node) for at, node in enumerate(nodes) if isinstance(node.op, Add)]
    tests = {
        "one node": len(nodes) == 1,
        "a chain": not sums and len(nodes) > 1,
        "a sum of two nodes": any(len({*n.inputs}) == 2 and INPUT not in n.inputs for _, n in sums),
        "a sum with the input": any(INPUT in n.inputs for _, n in sums),
        "a sum of a tensor with itself": any(n.inputs[0] == n.inputs[1] for _, n in sums),
        "a sum of two formats": any(len({t.number for t in graph.inputs_of(n)}) == 2 for _, n in sums),
        "a sum across three nodes or more": any(at - min(place[i] for i in n.inputs) > 3 for at, n in sums),
        "two sums": len(sums) >= 2,
        "a tensor read twice": any(count == 2 for count in reads.values()),
        "a tensor read three times": any(count >= 3 for count in reads.values()),
        "the input read twice": reads[INPUT] >= 2,
        "a pool before other nodes": any(isinstance(node.op, Pool) for node in nodes[:-1]),
        "ten nodes or more": len(nodes) >= 10,
    }
    yield from (what for what, holds in tests.items() if holds)
    yield f"begins with {nodes[0].op.kind}"
    yield f"ends with {nodes[-1].op.kind}"


def _images(graph: Graph, x: Integers) -> Iterator[str]:
    yield "one image" if len(x) == 1 else "several images"
    low, high = graph.input.number.low, graph.input.number.high
    for image in x:
        least, greatest = image == low, image == high
        if least.all():
            yield "an image of least values"
        elif greatest.all():
            yield "an image of greatest values"
        else:
            yield "an image of both ends alone" if (least | greatest).all() else "an image of other values"


def _parameters(graph: Graph, node: Node) -> Iterator[str]:
    op, what = node.op, _operator(node)
    if isinstance(op, Linear | Affine):
        yield from (f"{what}: {found}" for found in _requantised(op))
    if isinstance(op, Linear):
        outputs, inputs = op.weight.shape
        sizes = (inputs == 1, outputs == 1, inputs == 1 == outputs, inputs > 64, outputs > 64)
        yield from (f"{what} {name}" for name, holds in zip(_LINEAR_SIZES, sizes, strict=True) if holds)
    if isinstance(op, Linear | Affine | Add | Pool):
        bound = accumulator_bound(graph, node.name)
        assert bound is not None  # it sums
        stated, needed = bound.bits_stated, max(2, bound.bits_needed)
        tests = (stated == needed, stated > needed, stated == 32, stated == 62)
        yield from (f"{what}: {name}" for name, holds in zip(_WIDTHS, tests, strict=True) if holds)
    if isinstance(op, Pool):
        yield f"pool: {op.tokens if op.tokens <= 2 else '4 or more'} token(s)"
    if isinstance(op, Lut):
        yield from (f"{what}: {found}" for found in _table(op))


def _requantised(op: Linear | Affine) -> Iterator[str]:
    weight, bias, shift = op.weight, op.bias, op.shift.astype(np.int64)
    low, high = op.weight_number.low, op.weight_number.high
    least, greatest = weight == low, weight == high
    # That of a bias: signed, as wide as any value of the result may be moved, at least 8 bits.
    bits = max(8, op.out.bits + (0 if op.out.signed else 1))
    tests = (
        least.all(), greatest.all(), not weight.any(), (least | greatest).all() and least.any() and greatest.any(),
        np.count_nonzero(weight) == 1 and weight.size > 1,
        (bias == -(1 << bits - 1)).any(), (bias == (1 << bits - 1) - 1).any(), not bias.any(),
        (shift == 0).any(), (shift == 1).any(), (shift == op.acc_bits).any(), (shift > op.acc_bits).any(),
        ((shift >= 32) & (shift < 62)).any(), (shift >= 62).any(), (shift == 255).any(), len(np.unique(shift)) > 1,
    )  # fmt: skip
    yield from (what for what, holds in zip(_PARAMETERS, tests, strict=True) if holds)


def _table(op: Lut) -> Iterator[str]:
    sizes = legal_points(op.rule, op.number)
    if op.points == op.number.codes:
        yield "a point for every input"
    if op.rule is not TableRule.FULL:
        if op.points == sizes[0]:
            yield "4 points"
        elif op.points != sizes[-1]:
            yield "points between"
    steps = np.diff(op.table.astype(np.int64), axis=1)
    if (np.abs(steps) == op.out.high - op.out.low).any():
        yield "steps from end to end"
    tests = {"rising": (steps >= 0).all(1), "falling": (steps <= 0).all(1), "constant": (steps == 0).all(1)}
    moves = steps.any(axis=1)
    yield from (what for what, rows in tests.items() if (rows & (moves | (what == "constant"))).any())


def _values(graph: Graph, node: Node, values: Taps) -> Iterator[str]:
    what, op = _operator(node), node.op
    if not isinstance(op, Linear | Affine | Add):
        return
    out = values[node.name]
    low, high = op.out.low, op.out.high
    if (out == low).any():
        yield f"{what}: gives its least value"
    if (out == high).any():
        yield f"{what}: gives its greatest value"
    inputs = [values[name].astype(np.int64) for name in node.inputs]
    if isinstance(op, Add):
        yield from _saturations(what, inputs[0] + inputs[1], low, high)
        return
    weight = op.weight.astype(np.int64)
    if isinstance(op, Linear) and inputs[0].size * len(weight) > _SUMMED:
        return
    acc: Int64
    if isinstance(op, Affine):
        acc = inputs[0] * weight
    else:
        # The outputs last, whichever axis they are on.
        x = inputs[0].swapaxes(-1, -2) if op.over is Axis.TOKENS else inputs[0]
        acc = x @ weight.T
    shift = op.shift.astype(np.int64)
    within = np.clip(shift, 1, 61)
    tie = ((acc & ((1 << within) - 1)) == 1 << within - 1) & (shift >= 1) & (shift <= 61)
    if (tie & (acc > 0)).any():
        yield f"{what}: a tie of a positive sum"
    if (tie & (acc < 0)).any():
        yield f"{what}: a tie of a negative sum"
    # Exact enough to tell which side it leaves: a quotient is at most half from what it is rounded to.
    rounded = np.where(shift > 61, 0, (acc + np.where(shift > 0, 1 << within - 1, 0)) >> np.minimum(shift, 61))
    yield from _saturations(what, rounded + op.bias, low, high)
    reach = op.accumulator_range(*graph.inputs_of(node))
    assert reach is not None
    if ((acc == reach[0]) & (reach[0] < 0)).any():
        yield f"{what}: a sum at its least bound"
    if ((acc == reach[1]) & (reach[1] > 0)).any():
        yield f"{what}: a sum at its greatest bound"


def _saturations(what: str, values: Int64, low: int, high: int) -> Iterator[str]:
    if (values < low).any():
        yield f"{what}: saturates below"
    if (values > high).any():
        yield f"{what}: saturates above"


def percent(seen: int, of: int) -> int:
    """Whole percent of so many, rounded down: 100 only where none is missing."""
    return math.floor(100 * seen / of) if of else 100
