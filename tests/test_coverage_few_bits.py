"""Coverage of networks of few bits: its points by plain Python loops again, by every input there is, and published."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from math import floor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxsim.contract import BIPOLAR, CHANNEL, COLUMN, ROW, Division, Number, Rounding, Sign, Tensor
from fxsim.coverage import Coverage, States, close, cover_images, total
from fxsim.coverage.again import check_again
from fxsim.coverage.directed import missing_hits
from fxsim.coverage.holes import list_holes
from fxsim.coverage.points import node_points
from fxsim.coverage.record import packed
from fxsim.engines import run
from fxsim.formats import save
from fxsim.formats.bnn_pynq import import_bnn_pynq
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import (
    Add,
    Argmax,
    Concat,
    Conv,
    Encode,
    Flatten,
    Gate,
    MaxPool,
    MultiplyAdd,
    Operator,
    OrderedLinear,
    Prelu,
    Rescale,
    Reshape,
    SumPool,
    Threshold,
    Transpose,
    WeightedAdd,
)  # fmt: skip
from tests.strategies import arrays_of
from tests.test_bnn_pynq import pictures_of
from tests.test_coverage import call, extremes, of_sum
from tests.test_feature_maps import graphs_of, limit, nearest, quotient, rescaled
from tests.test_feature_maps import small as feature_maps
from tests.test_few_bits import convs, one_bit, pools, thresholds
from tests.test_few_bits import small as few_bits

Array = npt.NDArray[Any]
Hit = tuple[str, int, str]
"""A point by its group, its row, and where a row has several the number of it there."""
AXES = (ROW, COLUMN, CHANNEL)
UINT1, UINT2 = Number(1, Sign.UNSIGNED), Number(2, Sign.UNSIGNED)


# --- The points that one image's inputs hit, from the words of docs/coverage.md ---------------------------------------


def ends_of(number: Number) -> tuple[int, int]:
    """Least and greatest value of a format."""
    return (-1, 1) if number.bipolar else (number.low, number.high)


def without_shift(found: set[Hit]) -> set[Hit]:
    """The points of a sum alone, of those of one that is also saturated."""
    return {hit for hit in found if hit[0].startswith("sum.")}


def of_conv(op: Conv, x: Array, number: Number) -> Iterator[Hit]:
    """Each place of the result, input after input: those outside the image are none."""
    outputs, rows, columns, each = op.weight.shape
    share, inputs = outputs // op.groups, rows * columns * each
    ends = ends_of(number)
    spans = [op.dilation[0] * (rows - 1), op.dilation[1] * (columns - 1)]
    for i in range(-op.padding[0], x.shape[0] + op.padding[2] - spans[0], op.stride[0]):
        for j in range(-op.padding[1], x.shape[1] + op.padding[3] - spans[1], op.stride[1]):
            beyond = {"above": i < 0, "left": j < 0, "below": i + spans[0] >= len(x),
                      "right": j + spans[1] >= x.shape[1]}  # fmt: skip
            sums = [0] * outputs
            for r, s, c in product(range(rows), range(columns), range(x.shape[2])):
                place = i + r * op.dilation[0], j + s * op.dilation[1]
                if not (0 <= place[0] < x.shape[0] and 0 <= place[1] < x.shape[1]):
                    continue
                value, g = int(x[(*place, c)]), c // each
                operand = g * inputs + (r * columns + s) * each + c % each
                for n in range(g * share, (g + 1) * share):
                    w = int(op.weight[n, r, s, c % each])
                    sums[n] += w * value
                    if w == 0 and value:
                        yield "weight.zero", operand, ""
                if number.bits == 1:
                    yield ("bit.low" if value == ends[0] else "bit.high"), operand, ""
                for side in (side for side, is_beyond in beyond.items() if is_beyond):
                    if value == ends[0]:
                        yield f"padding.{side}_least", c, ""
                    if value == ends[1]:
                        yield f"padding.{side}_greatest", c, ""
            for n, total_of in enumerate(sums):
                low, high = extremes(op.weight[n].ravel().tolist(), ends)
                yield from without_shift(of_sum(total_of, n, low, high, 0, 0, (0, 0)))


def of_steps(steps: list[int], rising: bool, value: int, channel: int) -> Iterator[Hit]:
    """A value among thresholds, in the order in which they are passed."""
    ordered = sorted(steps, reverse=not rising)
    for k, t in enumerate(ordered):
        if value == t:
            yield "threshold.at", channel, f"{k}"
        if value == (t - 1 if rising else t + 1):
            yield "threshold.beside", channel, f"{k}"
    yield "threshold.level", channel, f"{sum(value >= t if rising else value <= t for t in ordered)}"


def of_signs(value: int, channel: int, number: Number) -> Iterator[Hit]:
    """The sign of an input, and the ends of its format."""
    names = {
        "least": value == number.low, "negative": value < 0, "minus_one": value == -1, "zero": value == 0,
        "one": value == 1, "positive": value > 0, "greatest": value == number.high,
    }  # fmt: skip
    yield from ((f"relu.{name}", channel, "") for name, is_so in names.items() if is_so)


def parts_of_sum(total_of: int, row: int, shift: int, out: Number, *families: str) -> Iterator[Hit]:
    """The points of a rounding and of an end, of those of a sum."""
    found = of_sum(total_of, row, 0, 0, shift, 0, ends_of(out))
    yield from (hit for hit in found if hit[0].split(".")[0] in families)


def of_step(before: int, limits: Number, row: int) -> Iterator[Hit]:
    """A sum before it is saturated."""
    yield from (
        (f"step.{name}", row, "")
        for name, is_so in {
            "beyond_low": before < limits.low,
            "first_beyond_low": before == limits.low - 1,
            "first_beyond_high": before == limits.high + 1,
            "beyond_high": before > limits.high,
        }.items()
        if is_so
    )


def of_window(op: SumPool, values: list[int], c: int, number: Number) -> Iterator[Hit]:
    """A window that is summed and divided."""
    acc = 0
    for v in values:
        acc += v
        if op.saturating:
            yield from of_step(acc, Number(op.acc_bits), c)
            acc = limit(acc, Number(op.acc_bits))
    if not op.saturating:
        ends = ends_of(number)
        yield from without_shift(of_sum(acc, c, len(values) * ends[0], len(values) * ends[1], 0, 0, (0, 0)))
    if op.divisor > 1 and acc:
        rest = Fraction(acc, op.divisor) - floor(Fraction(acc, op.divisor))
        part = "exact" if rest == 0 else "tie" if 2 * rest == 1 else "above_half" if 2 * rest > 1 else "below_half"
        yield f"quotient.{part}_{'positive' if acc > 0 else 'negative'}", c, ""
    yield from parts_of_sum(quotient(acc, op.divisor, str(op.rounding)), c, 0, op.out, "end")


def windows_by_hand(op: Any, x: Array) -> Iterator[tuple[int, list[int]]]:
    """The channel and the values of each window, row by row."""
    for i in range(0, x.shape[0] - op.kernel[0] + 1, op.stride[0]):
        for j in range(0, x.shape[1] - op.kernel[1] + 1, op.stride[1]):
            for c in range(x.shape[2]):
                yield c, x[i : i + op.kernel[0], j : j + op.kernel[1], c].ravel().tolist()


def of_node(op: Operator, inputs: tuple[Array, ...], numbers: tuple[Number, ...]) -> Iterator[Hit]:
    """Every point that one image's inputs of a node hit."""
    x, number = inputs[0], numbers[0]
    match op:
        case Conv():
            yield from of_conv(op, x, number)
        case MaxPool():
            for c, values in windows_by_hand(op, x):
                if len(values) > 1:
                    best = [k for k, v in enumerate(values) if v == max(values)]
                    yield ("window.tie", c, "") if len(best) > 1 else ("window.greatest", c, f"{best[0]}")
        case SumPool():
            for c, values in windows_by_hand(op, x):
                yield from of_window(op, values, c, number)
        case OrderedLinear():
            for vector in x.reshape(-1, x.shape[-1]).tolist():
                yield from (("weight.zero", k, "") for k, v in enumerate(vector) if v and not op.weight[:, k].all())
                for n, weights in enumerate(op.weight.tolist()):
                    acc, shift = int(op.bias[n]), int(op.shift[n])
                    for v, w in zip(vector, weights, strict=True):
                        yield from parts_of_sum(v * w, n, shift, op.out, "round")
                        acc += nearest(v * w, shift)
                        yield from of_step(acc, op.out, n)
                        acc = limit(acc, op.out)
                    yield ("sum.not_zero" if acc else "sum.zero"), n, ""
                    yield from ((f"end.{name}", n, "") for name in ("low", "high") if acc == getattr(op.out, name))
        case Argmax():
            for vector in x.reshape(-1, x.shape[-1]).tolist():
                own = vector[: op.classes]
                best = [k for k, v in enumerate(own) if v == max(own)]
                if len(best) == 1:
                    yield "class.alone", best[0], ""
                else:
                    yield "class.first", best[0], ""
                    yield from (("class.later", k, "") for k in best[1:])
    if isinstance(op, Conv | MaxPool | SumPool | OrderedLinear | Argmax):
        return
    for place in np.ndindex(x.shape):
        v, c = int(x[place]), place[-1]
        other = int(inputs[-1][place]) if inputs[-1].shape == x.shape else 0
        match op:
            case Threshold():
                yield from of_steps(op.threshold[c].tolist(), bool(op.rising[c]), v, c)
            case Encode():
                yield from of_steps(op.threshold[c].tolist(), True, v, c)
            case MultiplyAdd():
                w, b = int(op.weight[c]), int(op.bias[c])
                ends = sorted(w * e + b for e in ends_of(number))
                yield from of_sum(v * w + b, c, ends[0], ends[1], int(op.shift[c]), 0, ends_of(op.out))
                if w == 0 and v:
                    yield "weight.zero", c, ""
            case Rescale():
                m, shift = int(op.multiplier[c]), int(op.shift[c])
                product = (v + int(op.addend[c])) * m
                ends = [(e + int(op.addend[c])) * m for e in ends_of(number)]
                found = of_sum(product, c, ends[0], ends[1], shift, 0, ends_of(op.out))
                yield from (hit for hit in found if not hit[0].startswith("end."))
                result = rescaled(v + int(op.addend[c]), m, shift, str(op.rounding)) + int(op.bias[c])
                yield from parts_of_sum(result, c, 0, op.out, "end")
                if m == 0 and v:
                    yield "weight.zero", c, ""
            case WeightedAdd():
                pair = op.weight[:, c].tolist()
                low = sum(min(w * e for e in ends_of(n)) for w, n in zip(pair, numbers, strict=True))
                high = sum(max(w * e for e in ends_of(n)) for w, n in zip(pair, numbers, strict=True))
                yield from of_sum(v * pair[0] + other * pair[1], c, low, high, int(op.shift[c]), 0, ends_of(op.out))
            case Add():
                low, high = (sum(ends_of(n)[end] for n in numbers) for end in range(2))
                yield from of_sum(v + other, c, low, high, 0, 0, ends_of(op.out))
            case Prelu():
                yield from of_signs(v, c, number)
                if v > op.out.high:
                    yield "relu.beyond", c, ""
                if v == op.out.high + 1:
                    yield "relu.first_beyond", c, ""
                if v < 0:
                    yield from parts_of_sum(v * int(op.weight[c]), c, int(op.shift[c]), op.out, "round", "end")
            case Gate():
                t = int(op.threshold[c])
                yield from ((f"gate.{n}", c, "") for n, at in (("at", t), ("below", t - 1)) if other == at)
                if v:
                    yield ("gate.passed" if other >= t else "gate.stopped"), c, ""


SEVERAL = ("threshold.at", "threshold.beside", "threshold.level", "window.greatest")
"""Groups that have several points of a row, one after the other."""


def stated(model: Model, coverage: Coverage, name: str, what: str) -> set[Hit]:
    """The points of a node that are in one state of its record."""
    (record,) = (node for node in coverage.nodes if node.node == name)
    groups = node_points(model.graph, model.graph.by_name[name]).groups
    found = set()
    for group, kept in zip(groups, record.groups, strict=True):
        for at in np.flatnonzero(getattr(States(kept), what)).tolist():
            row = int(group.rows[at])
            place = at - int(np.flatnonzero(group.rows == row)[0])
            found.add((group.name, row, f"{place}" if group.name in SEVERAL else ""))
    return found


def of_stimuli(graph: Graph, node: Node, inputs: tuple[Array, ...]) -> set[Hit]:
    """The points that stimuli of a node [image, ...] hit."""
    numbers = tuple(tensor.number for tensor in graph.inputs_of(node))
    return {hit for images in zip(*inputs, strict=True) for hit in of_node(node.op, images, numbers)}


def check(model: Model, x: Array) -> tuple[Coverage, Any]:
    """What images hit, what is solved and what is proved is what loops find; the closed coverage, and its stimuli."""
    graph = model.graph
    found = cover_images(model, x, engine="reference")
    taps = {INPUT: x} | run(model, x, "all", "reference")
    for node in graph.nodes:
        expected = of_stimuli(graph, node, tuple(taps[name] for name in node.inputs))
        assert stated(model, found, node.name, "covered") == expected, node.name
    closed, directed = close(model, found, "reference")
    for node in graph.nodes:
        arrays = directed.nodes.get(node.name)
        solved = set() if arrays is None else of_stimuli(graph, node, tuple(arrays[name] for name in node.inputs))
        assert stated(model, closed, node.name, "directed") == solved, node.name
    again = check_again(closed, model)
    assert again.wrong == ()
    assert missing_hits(model, closed, directed) == []
    return closed, directed


# --- One operator after the other ------------------------------------------------------------------------------------


def one(op: Operator, shape: tuple[int, ...], number: Number, axes: Any = AXES) -> Model:
    """A model of one operator, of an image and where it takes two of the image twice."""
    return Model(Graph(Tensor(axes, shape, number), (Node("y", op, (INPUT,) * op.arity),)), "one")


@settings(max_examples=12)
@given(case=st.one_of(convs(), pools(), thresholds()), data=st.data())
def test_windows_and_thresholds_are_counted_as_loops_do(case: tuple[Operator, Tensor], data: st.DataObject) -> None:
    """Convolutions, pools and thresholds of any size: counts, stimuli and proofs."""
    op, tensor = case
    model = Model(Graph(tensor, (Node("y", op, (INPUT,)),)), "one")
    check(model, data.draw(arrays_of(tensor.number, (1, *tensor.shape))))


def counted(graph: Graph) -> bool:
    """Whether a graph has formats of up to 10 bits."""
    return all(tensor.number.bits <= 10 for tensor in graph.tensors.values())


@settings(max_examples=15)
@given(graph=graphs_of().filter(counted), data=st.data())
def test_feature_maps_are_counted_as_loops_do(graph: Graph, data: st.DataObject) -> None:
    """The other operators, one input or two, of formats up to 10 bits."""
    check(Model(graph, "one"), data.draw(arrays_of(graph.input.number, (1, *graph.input_shape))))


def every_input(tensor: Tensor) -> Array:
    """Every image of a tensor."""
    number = tensor.number
    values = [v for v in range(number.low, number.high + 1) if v or not number.bipolar]
    return np.array(list(product(values, repeat=tensor.size))).reshape(-1, *tensor.shape).astype(number.dtype)


def weights(*rows: Any, kind: Any = np.int8) -> Array:
    """An array of small numbers."""
    return np.array(rows, kind)


INT3, INT4 = Number(3), Number(4)
SMALL = {
    "a padded convolution of bits": one(
        Conv(weights([[[1], [-1]], [[1], [1]]]), (1, 1), (1, 0, 0, 1), weight_number=BIPOLAR), (2, 2, 1), BIPOLAR
    ),
    "a depthwise one with stride, dilation and zeros": one(
        Conv(weights([[[0], [1]]], [[[2], [0]]]), (1, 2), (0, 1, 0, 1), (1, 2), 2, INT3), (1, 3, 2), UINT1
    ),
    "one with windows wholly outside": one(
        Conv(weights([[[3], [-2]]]), padding=(0, 1, 0, 1), dilation=(1, 2), weight_number=INT4), (1, 1, 1), INT4
    ),
    "thresholds that rise and fall": one(
        Threshold(
            weights([3, -9, 3], [-1, 2, 0], kind=np.int32),
            weights(1, 0, kind=np.uint8),
            weights(0, 1, 2, 3, kind=np.uint8),
            UINT2,
        ),
        (1, 1, 2),
        INT3,
    ),
    "a window's greatest": one(MaxPool((1, 3), (1, 1)), (1, 4, 1), UINT2),
    "a mean, towards zero": one(SumPool((2, 1), (1, 1), 3, Division.ZERO, out=INT3), (3, 1, 1), INT4),
    "a mean of bits": one(SumPool((1, 4), (1, 1), 4, Division.HALF_UP, out=INT3), (1, 4, 1), BIPOLAR),
    "partial sums that saturate": one(SumPool((1, 4), (1, 1), 2, Division.FLOOR, True, 4, INT3), (1, 4, 1), INT4),
    "rounded products in order": one(
        OrderedLinear(
            weights([5, -3, 0], [-7, 2, 9], kind=np.int16), weights(2, -4), weights(1, 2, kind=np.uint8), INT4
        ),
        (1, 1, 3),
        INT3,
    ),
    "classes": one(Argmax(3), (1, 1, 4), UINT2),
    "a gate of itself": one(Gate(weights(2, -5, kind=np.int32)), (1, 1, 2), INT4),
    "a weighted sum of itself": one(
        WeightedAdd(weights([3, 5], [-3, 2], kind=np.int16), weights(1, 0, kind=np.uint8), 12, INT4), (1, 1, 2), INT4
    ),
    "slopes": one(Prelu(weights(7, -3, kind=np.int16), weights(2, 1, kind=np.uint8), 12, INT3), (1, 1, 2), INT4),
    "a bias before the rounding": one(
        MultiplyAdd(weights(3, 0, kind=np.int16), weights(2, 9, kind=np.int32), weights(2, 1, kind=np.uint8), 12, INT3),
        (1, 1, 2),
        INT4,
    ),
    **{
        f"another scale, {rounding}": one(
            Rescale(
                weights(1, -2, kind=np.int32), weights(*factors, kind=np.int32), weights(*places, kind=np.uint8),
                weights(1, -1), rounding, out=INT3,
            ),
            (1, 1, 2),
            INT4,
        )
        for rounding in Rounding
        for factors, places in [((3 << 29, 0), (32, 33)) if rounding is Rounding.DOUBLE else ((6, 0), (3, 0))]
    },
}  # fmt: skip


@pytest.mark.parametrize("case", SMALL)
def test_points_are_solved_exactly_where_some_input_hits_them(case: str) -> None:
    """All images of a small model are tried: a point that one hits is covered, every other is proved, none is open."""
    model = SMALL[case]
    graph, (node,) = model.graph, model.graph.nodes
    x = every_input(graph.input)
    expected = of_stimuli(graph, node, (x,) * node.op.arity)
    closed, _ = check(model, x[:1])
    assert stated(model, closed, "y", "covered") == expected
    assert stated(model, closed, "y", "open") == set()


def bits() -> Model:
    """Four bits are summed, the sum has thresholds, and what comes of them is put together and compared."""
    conv = Conv(weights([[[1, 1], [-1, 1]]], [[[1, -1], [1, 1]]]), weight_number=BIPOLAR, out=INT4)
    steps = Threshold(
        weights([0, 1], [7, -2], kind=np.int32), weights(1, 0, kind=np.uint8), weights(0, 1, 3, kind=np.uint8), UINT2
    )
    nodes = (
        Node("conv", conv, (INPUT,)),
        Node("act", steps, ("conv",)),
        Node("both", Concat(), ("act", "act")),
        Node("turned", Transpose((0, 2, 1)), ("both",)),
        Node("back", Reshape((0, 2, 1), (1, 1, 4)), ("turned",)),
        Node("flat", Flatten((2, 0, 1)), ("back",)),
        Node("class", Argmax(4), ("flat",)),
    )
    return Model(Graph(Tensor(AXES, (1, 2, 2), BIPOLAR), nodes), "bits")


def test_thresholds_between_sums_are_proved_not_to_be_met() -> None:
    """Counted by hand: sums of four bits are -4, -2, 0, 2 and 4, so that 1 and -1 are never met and 0 is."""
    model = bits()
    x = every_input(model.graph.input)
    assert len(x) == 16
    closed, directed = check(model, x[:1])
    act = {what: stated(model, closed, "act", what) for what in ("covered", "unreachable", "open")}
    assert act["open"] == set()
    # Channel 0 rises at 0 and 1, whose sums beside are -1 and 0; channel 1 falls at 7, then at -2; beside are 8 and -1.
    assert act["unreachable"] == {
        ("threshold.beside", 0, "0"), ("threshold.at", 0, "1"),
        ("threshold.at", 1, "0"), ("threshold.beside", 1, "0"), ("threshold.level", 1, "0"),
        ("threshold.beside", 1, "1"),
    }  # fmt: skip
    assert ("threshold.at", 0, "0") in act["covered"]
    # Of channel 0 come 0, 1 and 3, of channel 1 1 and 3: each of the four classes may be 3, alone or as several are.
    assert stated(model, closed, "class", "covered") == {
        *(("class.alone", k, "") for k in (0, 1)), *(("class.first", k, "") for k in (0, 1, 2)),
        *(("class.later", k, "") for k in (1, 2, 3)), *(("class.alone", k, "") for k in (2, 3)),
    }  # fmt: skip
    taps = {INPUT: x} | run(model, x, "all", "reference")
    for node in model.graph.nodes:
        hit = of_stimuli(model.graph, node, tuple(taps[name] for name in node.inputs))
        assert not hit & stated(model, closed, node.name, "unreachable"), node.name
    # What has no points is there all the same, and has none.
    assert {node.node: len(node.groups) for node in closed.nodes if not node.groups} == {
        "both": 0, "turned": 0, "back": 0, "flat": 0,
    }  # fmt: skip
    assert len(directed.images) > 0


@pytest.mark.parametrize("model", [few_bits(), one_bit(), feature_maps()], ids=lambda model: model.name)
def test_whole_networks_are_closed(model: Model) -> None:
    """Networks of every operator: counts, stimuli and proofs are those of loops, and hardly a point is left open."""
    rng = np.random.default_rng(3)
    number, shape = model.graph.input.number, model.graph.input.shape
    values = np.array([v for v in range(number.low, number.high + 1) if v or not number.bipolar])
    closed, _ = check(model, rng.choice(values, (2, *shape)).astype(number.dtype))
    # Of sums in order of very many values a few of each input are searched: what is not found is named, and open.
    assert {hole.group for hole in list_holes(closed, model)} <= {"step.first_beyond_low", "end.high"}
    assert total(closed).open <= (3 if model.name == "small_feature_maps" else 0)


def test_a_proof_that_does_not_hold_is_found() -> None:
    """Points that a stimulus hits, called unreachable by any proof, are all found again not to be."""
    for name, proof in (
        ("a window's greatest", "choices"),
        ("classes", "choices"),
        ("a gate of itself", "inputs"),
        ("rounded products in order", "sums"),
        ("partial sums that saturate", "sums"),
        ("a padded convolution of bits", "bound"),
        ("a padded convolution of bits", "inputs"),
        ("slopes", "inputs"),
    ):
        model = SMALL[name]
        closed, _ = close(model, cover_images(model, every_input(model.graph.input)[:1], engine="reference"))
        (node,) = closed.nodes
        groups, moved = [], 0
        for group in node.groups:
            covered = States(group).covered
            moved += int(covered.sum())
            none = packed(np.zeros(group.points, np.bool_))
            changed = {"images": none, "directed": none, "rtl": none, "unreachable": {proof: packed(covered)}}
            groups.append(msgspec.structs.replace(group, **changed))
        lying = msgspec.structs.replace(closed, nodes=(msgspec.structs.replace(node, groups=tuple(groups)),))
        assert len(check_again(lying, model).wrong) == moved > 0, (name, proof)


def test_values_too_many_to_list_leave_points_open(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Of thresholds of 32-bit sums that span too much nothing is decided, and each open point is named."""
    wide = MultiplyAdd(
        weights(30000, kind=np.int16), weights(5, kind=np.int32), weights(0, kind=np.uint8), 34, Number(32)
    )
    steps = Threshold(weights([5], kind=np.int32), weights(1, kind=np.uint8), weights(-1, 1), BIPOLAR)
    nodes = (Node("wide", wide, (INPUT,)), Node("act", steps, ("wide",)), Node("same", Flatten((2, 0, 1)), ("act",)))
    model = Model(Graph(Tensor(AXES, (1, 1, 1), Number(16)), nodes), "wide")
    closed, _ = check(model, weights([[[7]]], kind=np.int16))
    # Stimuli of the first node are images, which give both levels.
    assert stated(model, closed, "act", "open") == {("threshold.at", 0, "0"), ("threshold.beside", 0, "0")}
    assert stated(model, closed, "wide", "open") == set()
    save(model, tmp_path / "wide.safetensors")
    np.save(tmp_path / "x.npy", weights([[[7]]], kind=np.int16))
    arguments = (tmp_path / "wide.safetensors", "--input", tmp_path / "x.npy", "--close", "--engine", "reference")
    code, said, errors = call(capfd, *arguments)
    assert code == 0, errors
    assert "open: act, threshold.at: 1 of 1: channel 0, threshold 5" in said
    assert "no points: same, flatten: it puts values in another order" in said


def test_the_published_networks_bits_are_its_levels(networks: Path) -> None:
    """FINN's LFC W1A1: the levels that the last thresholds reach are the output bits that were published."""
    arrays = networks / "finn" / "lfcW1A1_params.npz"
    model = import_bnn_pynq(arrays, "lfcW1A1")
    images = pictures_of(networks, "lfc")[:2]
    bits = np.load(networks / "finn" / "lfcW1A1_labels.npz")["label_bits"][:2]
    found = cover_images(model, images, engine="reference")
    last = model.graph.nodes[-1].name
    levels = {hit[1:] for hit in stated(model, found, last, "covered") if hit[0] == "threshold.level"}
    assert levels == {(c, f"{int(row) >> c & 1}") for row in bits for c in range(64)}
