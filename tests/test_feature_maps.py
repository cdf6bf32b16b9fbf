"""Operators on wider feature maps, each against a statement of its own."""

from collections.abc import Iterator
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fxsim
from fxsim.contract import (
    BIPOLAR,
    CHANNEL,
    COLUMN,
    ROW,
    Division,
    Number,
    Rounding,
    Sign,
    TableRule,
    Tensor,
    bias_number,
    divide,
)
from fxsim.contract.rescaling import rounded
from fxsim.engines.c import run_c
from fxsim.engines.compiled import instruction_sets, run_compiled
from fxsim.engines.loops import run_loops
from fxsim.errors import FileError, ModelError
from fxsim.formats.onnx import export_onnx
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import (
    Add,
    Argmax,
    Concat,
    Conv,
    Encode,
    Flatten,
    Gate,
    Lut,
    MaxPool,
    MultiplyAdd,
    Operator,
    OrderedLinear,
    Pad,
    Prelu,
    Rescale,
    Reshape,
    SumPool,
    Threshold,
    Transpose,
    WeightedAdd,
)
from fxsim.signoff.checks.accumulators import _reach
from fxsim.vectors import check_vectors, draw_stimulus, write_vectors
from tests.strategies import arrays_of, numbers

Array = npt.NDArray[Any]
AXES = (ROW, COLUMN, CHANNEL)
INT16, INT32, UINT8, UINT1 = Number(16), Number(32), Number(8, Sign.UNSIGNED), Number(1, Sign.UNSIGNED)
UINT16 = Number(16, Sign.UNSIGNED)


# --- The rules, each stated anew in Python's integers, one value after the other -------------------------------------


def nearest(v: int, shift: int) -> int:
    """V / 2^shift to the nearest, ties up."""
    return (2 * v + 2**shift) // 2 ** (shift + 1)


def limit(v: int, number: Number) -> int:
    """The value of a format nearest to v."""
    return sorted((number.low, v, number.high))[1]


def by_hand(op: Operator, *inputs: Array) -> Iterator[tuple[tuple[int, ...], int]]:
    """Places and values of an operator's result of one image."""
    x = inputs[0]
    for place, value in np.ndenumerate(x):
        v, c = int(value), place[-1]
        match op:
            case MultiplyAdd():
                yield place, limit(nearest(v * int(op.weight[c]) + int(op.bias[c]), int(op.shift[c])), op.out)
            case WeightedAdd():
                total = v * int(op.weight[0, c]) + int(inputs[1][place]) * int(op.weight[1, c])
                yield place, limit(nearest(total, int(op.shift[c])), op.out)
            case Prelu():
                yield place, limit(v if v >= 0 else nearest(v * int(op.weight[c]), int(op.shift[c])), op.out)
            case Rescale():
                value = rescaled(v + int(op.addend[c]), int(op.multiplier[c]), int(op.shift[c]), str(op.rounding))
                yield place, limit(value + int(op.bias[c]), op.out)
            case Gate():
                yield place, v if int(inputs[1][place]) >= int(op.threshold[c]) else 0
            case Concat():
                yield place, v
            case Encode():
                steps = op.threshold.shape[1]
                for k in range(steps):
                    yield (*place[:-1], c * steps + k), [op.out.low, op.out.high][v >= int(op.threshold[c, k])]
            case Flatten():
                at = 0
                for axis in op.order:
                    at = at * x.shape[axis] + place[axis]
                yield (at,), v
            case Reshape():
                at = 0
                for axis in op.order:
                    at = at * x.shape[axis] + place[axis]
                found = []
                for size in reversed(op.shape):
                    at, rest = divmod(at, size)
                    found.append(rest)
                yield tuple(reversed(found)), v
            case Transpose():
                yield tuple(place[axis] for axis in op.order), v
    match op:
        case Concat():
            yield from (((*place[:-1], x.shape[-1] + place[-1]), int(v)) for place, v in np.ndenumerate(inputs[1]))
        case Pad():
            top, left, bottom, right = op.padding
            rows, columns, channels = x.shape
            for i, j, c in np.ndindex(rows + top + bottom, columns + left + right, channels):
                outside = i < top or i >= top + rows or j < left or j >= left + columns
                yield (i, j, c), int(op.value[c] if outside else x[i - top, j - left, c])
        case SumPool():
            yield from pooled_by_hand(op, x)
        case OrderedLinear():
            for place in np.ndindex(x.shape[:-1]):
                for n in range(len(op.weight)):
                    acc = int(op.bias[n])
                    for v, w in zip(x[place].tolist(), op.weight[n].tolist(), strict=True):
                        acc = limit(acc + nearest(v * w, int(op.shift[n])), op.out)
                    yield (*place, n), acc
        case Argmax():
            for place in np.ndindex(x.shape[:-1]):
                row = x[place].tolist()[: op.classes]
                yield (*place, 0), row.index(max(row))


def rescaled(v: int, multiplier: int, shift: int, rounding: str) -> int:
    """A product divided by 2^shift, by rational numbers; twice rounded, as gemmlowp's C++ does it."""
    if rounding == "double":
        return gemmlowp(v, multiplier, shift)
    exact = Fraction(v * multiplier, 2**shift)
    return {
        "floor": floor(exact),
        "half_up": floor(exact + Fraction(1, 2)),
        "half_even": round(exact),
        "half_away": (-1 if exact < 0 else 1) * floor(abs(exact) + Fraction(1, 2)),
    }[rounding]


def gemmlowp(v: int, multiplier: int, shift: int) -> int:
    """MultiplyByQuantizedMultiplier: SaturatingRoundingDoublingHighMul, then RoundingDivideByPOT."""
    left, exponent = max(31 - shift, 0), max(shift - 31, 0)
    ab = v * 2**left * multiplier
    moved = ab + (1 << 30 if ab >= 0 else 1 - (1 << 30))
    high = abs(moved) // 2**31 * (-1 if moved < 0 else 1)  # C++ divides towards zero
    remainder, threshold = high & ((1 << exponent) - 1), (((1 << exponent) - 1) >> 1) + (high < 0)
    return (high >> exponent) + (remainder > threshold)


def pooled_by_hand(op: SumPool, x: Array) -> Iterator[tuple[tuple[int, ...], int]]:
    """A window's sum, divided by comparing with multiples of the divisor."""
    (rows, columns), (down, over) = op.kernel, op.stride
    for i, top in enumerate(range(0, x.shape[0] - rows + 1, down)):
        for j, left in enumerate(range(0, x.shape[1] - columns + 1, over)):
            for c in range(x.shape[2]):
                total = 0
                for v in x[top : top + rows, left : left + columns, c].ravel().tolist():
                    total += v
                    if op.saturating:
                        total = limit(total, Number(op.acc_bits))
                yield (i, j, c), limit(quotient(total, op.divisor, str(op.rounding)), op.out)


def quotient(total: int, divisor: int, rounding: str) -> int:
    """A quotient by search: the whole number that the rule's inequality names."""
    near = abs(total) // divisor
    for q in (near, near + 1, -near, -near - 1):
        rest = total - q * divisor
        within = {
            "floor": 0 <= rest < divisor,
            "half_up": -divisor <= 2 * rest < divisor,
            "zero": abs(rest) < divisor and (rest == 0 or (rest > 0) == (total > 0)),
        }
        if within[rounding]:
            return q
    raise AssertionError


def shifts(draw: st.DrawFn, count: int) -> Array:
    """Shifts, most of them small."""
    drawn = draw(st.lists(st.one_of(st.integers(0, 12), st.integers(0, 255)), min_size=count, max_size=count))
    return np.array(drawn, np.uint8)


def thresholds(draw: st.DrawFn, x: Number, shape: tuple[int, ...]) -> Array:
    """Thresholds at values that a format has, and beyond."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return np.clip(rng.integers(x.low - 1, x.high + 2, shape), -(2**31), 2**31 - 1).astype(np.int32)


def assert_engines(model: Model, x: Array, expected: dict[str, Array]) -> None:
    """The plain loops, and the compiled engine on every instruction set, give these taps, and the last alone."""
    taps = tuple(expected)
    found = {"loops": run_loops(model, x, taps)}
    for isa in instruction_sets():
        found[isa.name] = run_compiled(model, x, taps, isa=isa.name)
        found[f"{isa.name} alone"] = run_compiled(model, x, taps[-1:], isa=isa.name)
    for engine, values in found.items():
        for tap, value in values.items():
            np.testing.assert_array_equal(value, expected[tap], f"{engine}, {tap}")


@pytest.mark.parametrize(
    ("number", "out"),
    [(Number(9), INT16), (Number(12, Sign.UNSIGNED), UINT16), (Number(16), Number(8)), (Number(10), BIPOLAR)],
    ids=str,
)
def test_tables_of_words_at_every_code(number: Number, out: Number) -> None:
    """Full and interpolated tables of 9 to 16 bits, of each channel or one of all, at all codes of the format."""
    rng = np.random.default_rng(number.bits)
    codes, channels = np.arange(number.low, number.high + 1), 3
    x = codes.reshape(-1, 16, 2, 1).repeat(channels, axis=3).astype(number.dtype)
    last = Node("last", Flatten((0, 1, 2)), ("y",))
    for rule in (TableRule.FULL, *([] if out.bipolar else [TableRule.HOLD, TableRule.CLAMP])):
        points = number.codes if rule is TableRule.FULL else 8
        entries = [-1, 1] if out.bipolar else np.arange(out.low, out.high + 1)
        table = rng.choice(entries, (channels, points))
        for each in (table, np.repeat(table[:1], channels, axis=0)):
            op = Lut(each.astype(out.dtype), rule, number, out)
            image = Tensor((ROW, COLUMN, CHANNEL), (16, 2, channels), number)
            model = Model(Graph(image, [Node("y", op, (INPUT,)), last]), "tables")
            i, width = codes - number.low, number.codes // points
            m = np.minimum(i // width, points - (2 if rule is TableRule.CLAMP else 1))
            above = each[:, np.minimum(m + 1, points - 1)]
            values = each[:, m] + ((above - each[:, m]) * (i % width) * 2 + width) // (2 * width)
            y = values.T.reshape(x.shape)
            assert_engines(model, x, {"y": y, "last": y.reshape(len(y), -1)})


KINDS = (
    Encode, MultiplyAdd, WeightedAdd, Prelu, Gate, Concat, Flatten, SumPool, OrderedLinear, Argmax, Rescale, Pad,
    Reshape, Transpose,
)  # fmt: skip


@st.composite
def graphs_of(draw: st.DrawFn) -> Graph:
    """An operator of any kind and formats, of an image or, where it takes two, of it and of the same turned over."""
    kind = draw(st.sampled_from(KINDS))
    x, out = draw(numbers(2)), draw(numbers(2))
    channels = draw(st.integers(1, 4))
    shape = draw(st.integers(1, 4)), draw(st.integers(1, 4)), channels
    weights = lambda *size: draw(arrays_of(INT16, size))  # noqa: E731  # its many callers read as constructors do
    nodes: list[Node] = []
    inputs: tuple[str, ...] = (INPUT,)
    op: Operator
    if kind is Encode:
        op = Encode(thresholds(draw, x, (channels, draw(st.integers(1, 4)))), draw(st.sampled_from([BIPOLAR, UINT1])))
    elif kind is MultiplyAdd:
        bias = draw(arrays_of(draw(st.sampled_from([INT32, Number(12)])), (channels,))).astype(np.int32)
        op = MultiplyAdd(weights(channels), bias, shifts(draw, channels), 34, draw(st.sampled_from([out, INT32])))
    elif kind is WeightedAdd:
        op = WeightedAdd(weights(2, channels), shifts(draw, channels), 34, out)
    elif kind is Prelu:
        op = Prelu(weights(channels), shifts(draw, channels), 33, out)
    elif kind is Gate:
        op = Gate(thresholds(draw, Number(16), (channels,)))
    elif kind is Flatten:
        op = Flatten(tuple(draw(st.permutations(range(3)))))
    elif kind is Transpose:
        op = Transpose(tuple(draw(st.permutations(range(3)))))
    elif kind is Reshape:
        rows = draw(st.sampled_from([n for n in range(1, np.prod(shape) + 1) if np.prod(shape) % n == 0]))
        rest = int(np.prod(shape)) // rows
        to = draw(st.sampled_from([(rows * rest,), (rows, rest), (1, rows, rest), (rows, rest, 1), (rows, 1, rest)]))
        op = Reshape(tuple(draw(st.permutations(range(3)))), to)
    elif kind is SumPool:
        kernel = draw(st.integers(1, shape[0])), draw(st.integers(1, shape[1]))
        stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        divisor = draw(st.one_of(st.integers(1, 20), st.sampled_from([2**16, 2**31])))
        saturating = draw(st.booleans())
        acc_bits = draw(st.integers(x.bits, 20)) if saturating else 32
        rounding = draw(st.sampled_from(Division))
        op = SumPool(kernel, stride, divisor, rounding, saturating, acc_bits, out)
    elif kind is OrderedLinear:
        outputs = draw(st.integers(1, 3))
        bias = draw(arrays_of(out, (outputs,)))
        op = OrderedLinear(weights(outputs, channels), bias, shifts(draw, outputs), out)
    elif kind is Rescale:
        multiplier = draw(arrays_of(draw(st.sampled_from([Number(32), Number(8)])), (channels,))).astype(np.int32)
        places = draw(
            st.lists(st.one_of(st.integers(0, 12), st.integers(28, 62)), min_size=channels, max_size=channels)
        )
        rounding = draw(st.sampled_from(Rounding))
        addend = draw(arrays_of(draw(st.sampled_from([Number(30), Number(8)])), (channels,))).astype(np.int32)
        bias = draw(arrays_of(bias_number(out), (channels,)))
        op = Rescale(addend, np.maximum(multiplier, 0), np.array(places, np.uint8), bias, rounding, out=out)
    elif kind is Pad:
        op = Pad(draw(arrays_of(x, (channels,))).astype(np.int32), tuple(draw(st.integers(0, 3)) for _ in range(4)))  # type: ignore[arg-type]  # of four
    elif kind is Argmax:
        op = Argmax(draw(st.integers(1, channels)))
    else:
        op = Concat()
    if op.arity == 2:
        slope = Prelu(weights(channels), shifts(draw, channels), 33, x if kind is Concat else draw(numbers(2)))
        nodes.append(Node("other", slope, (INPUT,)))
        inputs = (INPUT, "other")
    return Graph(Tensor(AXES, shape, x), (*nodes, Node("y", op, inputs)))


@pytest.mark.slow
@settings(max_examples=120)
@given(graph=graphs_of(), data=st.data())
def test_engines_compute_what_is_computed_by_hand(graph: Graph, data: st.DataObject) -> None:
    """Reference engine, plain loops and every instruction set give an operator's values, of the format it states."""
    model = Model(graph, "one")
    x = data.draw(arrays_of(graph.input.number, (2, *graph.input_shape)))
    found = fxsim.run(model, x, "all", engine="reference")
    for node in graph.nodes:
        inputs = [x if name == INPUT else found[name] for name in node.inputs]
        y, tensor = found[node.name], graph.tensors[node.name]
        assert y.dtype == tensor.number.dtype
        assert tensor.number.holds(y)
        for image in range(2):
            expected = dict(by_hand(node.op, *(v[image] for v in inputs)))
            assert {place: int(v) for place, v in np.ndenumerate(y[image])} == expected
    assert_engines(model, x, found)


def test_rescaling_of_every_small_product() -> None:
    """Each rounding of products that are shifted, among them every tie, against rational numbers."""
    values = np.arange(-200, 201)
    for rounding in Rounding:
        for shift in (0, 1, 2, 5, 8):
            expected = [rescaled(int(v), 3, shift, str(rounding)) for v in values]
            assert rounded(3 * values, np.int64(shift), rounding).tolist() == expected


def test_rescaling_twice_of_ties() -> None:
    """The two roundings of gemmlowp at and beside the ties of each."""
    near = np.array([-3, -2, -1, 0, 1, 2, 3])
    for shift in (30, 31, 32, 33, 40):
        for half in range(-9, 10):
            values = half * (1 << 30) + near
            assert rounded(values, np.int64(shift), Rounding.DOUBLE).tolist() == [
                gemmlowp(int(v), 1, shift) for v in values
            ]


def test_the_greatest_divisor_is_written_and_read(tmp_path: Path) -> None:
    """A mean whose divisor has 32 bits is a model, and so is its file."""
    model = Model(one(SumPool((1, 1), (1, 1), 2**32 - 1, Division.ZERO)), "divided")
    fxsim.save(model, tmp_path / "m.safetensors")
    assert fxsim.load(tmp_path / "m.safetensors") == model


def test_division_of_every_small_number() -> None:
    """Each rounding of quotients, against the inequality that it is."""
    totals = np.arange(-70, 71)
    for divisor in range(1, 12):
        for rounding in Division:
            expected = [quotient(int(v), divisor, str(rounding)) for v in totals]
            assert divide(totals, divisor, rounding).tolist() == expected


@settings(max_examples=60)
@given(graph=graphs_of())
def test_bounds_of_accumulators_are_reached(graph: Graph) -> None:
    """The range that a graph proves of a sum is what its terms come to at their ends."""
    for node in graph.nodes:
        bound = fxsim.graph.accumulator_bound(graph, node.name)
        if bound is not None:
            assert (_reach(graph, node, bound.channel, -1), _reach(graph, node, bound.channel, 1)) == (
                bound.low, bound.high,
            )  # fmt: skip


# --- Every form of a network of all of them --------------------------------------------------------------------------


def small(seed: int = 11) -> Model:
    """A network of every operator on feature maps, of wide values, saturation and ties."""
    rng = np.random.default_rng(seed)

    def ints(low: int, high: int, *shape: int, kind: Any = np.int16) -> Array:
        return rng.integers(low, high, shape).astype(kind)

    def shift(count: int, most: int = 9) -> Array:
        return ints(0, most, count, kind=np.uint8)

    steps = Threshold(ints(-9, 9, 4, 1, kind=np.int32), np.ones(4, np.uint8), np.array([-1, 1], np.int8), BIPOLAR)
    weight = rng.choice(np.array([-1, 1], np.int8), (4, 3, 3, 6))
    inner = rng.choice(np.array([-1, 1], np.int8), (4, 3, 3, 4))
    nodes = (
        Node("bits", Encode(ints(0, 256, 2, 3, kind=np.int32)), (INPUT,)),
        Node("conv", Conv(weight, padding=(1, 1, 1, 1), weight_number=BIPOLAR), ("bits",)),
        Node("map", MultiplyAdd(ints(-900, 900, 4), ints(-9000, 9000, 4, kind=np.int32), shift(4)), ("conv",)),
        Node("act", steps, ("map",)),
        Node("msb", Conv(inner, padding=(1, 1, 1, 1), weight_number=BIPOLAR), ("act",)),
        Node("lsb", Gate(ints(-9, 9, 4, kind=np.int32)), ("conv", "msb")),
        Node("both", WeightedAdd(ints(-900, 900, 2, 4), shift(4)), ("msb", "lsb")),
        Node("slope", Prelu(ints(-300, 300, 4), shift(4), out=Number(14)), ("both",)),
        Node("twice", Concat(), ("slope", "slope")),
        Node("even", MaxPool((1, 1), (2, 2)), ("twice",)),
        Node("mean", SumPool((2, 2), (2, 2), 3, Division.ZERO, True, 15), ("twice",)),
        Node("sum", Add(17, INT16), ("even", "mean")),
        Node("half", SumPool((1, 3), (1, 3), 6, Division.HALF_UP, out=Number(15)), ("sum",)),
        Node("turned", Transpose((1, 0, 2)), ("half",)),
        Node("tokens", Reshape((2, 0, 1), (4, 4)), ("turned",)),
        Node("mixed", Transpose((1, 0)), ("tokens",)),
        Node("image", Reshape((0, 1), (2, 1, 8)), ("mixed",)),
        Node("flat", Flatten((2, 0, 1)), ("image",)),
        Node("scores", OrderedLinear(ints(-99, 99, 5, 16), ints(-99, 99, 5), shift(5) + np.uint8(4)), ("flat",)),
        Node("class", Argmax(4), ("scores",)),
    )
    return Model(Graph(Tensor(AXES, (4, 6, 2), UINT8), nodes), "small_feature_maps")


def wide() -> Model:
    """Products of 32 bits and more, and the class of the greatest."""
    rng = np.random.default_rng(4)
    weight = rng.integers(-32768, 32768, 3).astype(np.int16)
    bias = rng.integers(-(2**31), 2**31, 3).astype(np.int32)
    nodes = (
        Node("sum", SumPool((2, 1), (2, 1), out=Number(20)), (INPUT,)),
        Node("wide", MultiplyAdd(weight, bias, np.array([0, 1, 5], np.uint8), 40, INT32), ("sum",)),
        Node("back", MultiplyAdd(weight, bias, np.array([20, 30, 40], np.uint8), 60), ("wide",)),
        Node("gated", Gate(np.array([0, 5, -5], np.int32)), ("wide", "back")),
        Node("class", Argmax(3), ("gated",)),
    )
    return Model(Graph(Tensor(AXES, (2, 5, 3), INT16), nodes), "wide")


def scales() -> Model:
    """Sums of 30 bits in other scales, by every rounding, ties among them."""
    rng = np.random.default_rng(8)
    weight, places = rng.integers(-32768, 32768, 4).astype(np.int16), np.array([31, 40, 34, 14], np.uint8)
    bias = rng.integers(-(2**20), 2**20, 4).astype(np.int32)
    addend = np.array([0, 2**29, -(2**25), -77], np.int32)
    offset = np.array([-7, 0, 100, -300], np.int16)
    multiplier = np.array([12345, 2**30, 2**26 - 1, 1], np.int32)
    around = Pad(np.array([-8192, 8191, 0, 77], np.int32), (1, 0, 2, 1))
    product = MultiplyAdd(weight, bias, np.zeros(4, np.uint8), 30, Number(30))
    nodes = [Node("around", around, (INPUT,)), Node("sum", product, ("around",))]
    last = ""
    for rounding in Rounding:
        nodes.append(Node(str(rounding), Rescale(addend, multiplier, places, offset, rounding, out=INT16), ("sum",)))
        if last:
            nodes.append(Node(f"to_{rounding}", Concat(), (last, str(rounding))))
        last = nodes[-1].name
    return Model(Graph(Tensor(AXES, (3, 5, 4), Number(14)), nodes), "scales")


MODELS = {model.name: model for model in (small(), wide(), scales())}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_form_gives_the_same(name: str, tmp_path: Path) -> None:
    """Compiled code, loops, C, a model file and vectors give every tap's values."""
    model = MODELS[name]
    x = draw_stimulus("uniform", 6, model.graph.input, 3)
    expected = fxsim.run(model, x, "all", engine="reference")
    assert all(len(np.unique(values)) > 1 for values in expected.values())
    for node in model.graph.nodes:
        inputs = [x if source == INPUT else expected[source] for source in node.inputs]
        if type(node.op) in KINDS:
            by = dict(by_hand(node.op, *(v[0] for v in inputs)))
            assert {place: int(v) for place, v in np.ndenumerate(expected[node.name][0])} == by
    assert_engines(model, x, expected)
    in_c = run_c(model, x, model.graph.taps)
    for tap, values in expected.items():
        np.testing.assert_array_equal(in_c[tap], values, tap)
    fxsim.save(model, tmp_path / "m.safetensors")
    assert fxsim.load(tmp_path / "m.safetensors") == model
    write_vectors(model, x, tmp_path / "v", "all")
    assert check_vectors(tmp_path / "v").passed


@pytest.mark.onnx
@pytest.mark.parametrize("name", MODELS)
def test_onnx_computes_every_tap(name: str, tmp_path: Path) -> None:
    """ONNX Runtime gives every tap's values."""
    onnxruntime = pytest.importorskip("onnxruntime")
    model = MODELS[name]
    x = draw_stimulus("uniform", 6, model.graph.input, 3)
    export_onnx(model, tmp_path / "m.onnx", taps="all")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    found = dict(zip(model.graph.taps, session.run(list(model.graph.taps), {INPUT: x}), strict=True))
    for tap, values in fxsim.run(model, x, "all").items():
        np.testing.assert_array_equal(found[tap], values, tap, strict=True)


# --- What is refused -------------------------------------------------------------------------------------------------

ONE16, ONE8 = np.ones(1, np.int16), np.ones(1, np.uint8)
ONE32, ZERO8 = np.ones(1, np.int32), np.zeros(1, np.int8)
ZERO32 = np.zeros(1, np.int32)


def one(op: Operator, shape: tuple[int, ...] = (2, 2, 1), number: Number = INT16) -> Graph:
    """A graph of one operator on an image, which it reads for each of its inputs."""
    return Graph(Tensor(AXES, shape, number), (Node("y", op, (INPUT,) * op.arity),))


REFUSED: dict[str, tuple[Any, str]] = {
    "encode to two bits": (lambda: Encode(np.zeros((1, 1), np.int32), Number(2)), "encode result number is int2, ex"),
    "encode of others": (lambda: one(Encode(np.zeros((2, 1), np.int32))), "encode of 2 channels cannot take an input"),
    "weights of 32 bits": (lambda: MultiplyAdd(ZERO32, ZERO32, ONE8), "multiply_add weight has type int32, expected"),
    "a bias for two": (lambda: MultiplyAdd(ONE16, np.zeros(2, np.int32), ONE8), "multiply_add bias has shape .2,., ex"),
    "shifts for two": (lambda: Prelu(ONE16, np.ones(2, np.uint8)), "prelu shift has shape .2,., expected 1 channels"),
    "bipolar result": (lambda: MultiplyAdd(ONE16, ZERO32, ONE8, out=BIPOLAR), "multiply_add result number is bipolar"),
    "products too wide": (
        lambda: one(MultiplyAdd(ONE16 * np.int16(32767), ZERO32 + np.int32(2**31 - 1), ONE8, 32)),
        r"can reach \[1073774591, 3221159936\], which needs 33 bits, but 32 are stated",
    ),
    "bipolar prelu": (lambda: one(Prelu(ONE16, ONE8), number=BIPOLAR), "prelu input is bipolar, expected one"),
    "three rows of weights": (lambda: WeightedAdd(np.ones((3, 1), np.int16), ONE8), "expected one row for each input"),
    "gates of another shape": (
        lambda: Graph(
            Tensor(AXES, (2, 2, 1), INT16),
            (Node("h", MaxPool((2, 2), (2, 2)), (INPUT,)), Node("y", Gate(ZERO32), (INPUT, "h"))),
        ),
        r"gate cannot join inputs of shapes \(2, 2, 1\) and \(1, 1, 1\)",
    ),
    "bipolar gated": (lambda: one(Gate(ZERO32), number=BIPOLAR), "gate input is bipolar, expected one that"),
    "formats joined": (
        lambda: Graph(
            Tensor(AXES, (2, 2, 1), INT16),
            (Node("h", Prelu(ONE16, ONE8, out=Number(12)), (INPUT,)), Node("y", Concat(), (INPUT, "h"))),
        ),
        "concat cannot join inputs of int16 and int12, expected one format",
    ),
    "an axis twice": (lambda: one(Flatten((0, 1, 1))), r"flatten has the order \(0, 1, 1\), expected each of the 3"),
    "an order in words": (lambda: Flatten(("row",)), "flatten order is 'row', expected a whole number"),  # type: ignore[arg-type]
    "a negative axis": (lambda: one(Transpose((0, 1, -1))), r"transpose has the order \(0, 1, -1\), expected each of"),
    "too few axes": (lambda: one(Transpose((1, 0))), r"transpose has the order \(1, 0\), expected each of the 3 axes"),
    "an order of one": (lambda: Transpose(1), "transpose order is 1, expected numbers of axes"),  # type: ignore[arg-type]
    "other values": (
        lambda: one(Reshape((0, 1, 2), (3, 1))),
        r"reshape to \(3, 1\) takes 3 values, its input of shape \(2, 2, 1\) has 4",
    ),
    "four axes": (lambda: Reshape((0,), (1, 1, 1, 4)), "reshape shape is .1, 1, 1, 4., expected 1 to 3 numbers"),
    "no values": (lambda: Reshape((0,), (0, 4)), r"reshape shape is \(0, 4\), expected 2 numbers of 1 to 65536"),
    "a long axis": (lambda: Reshape((0,), (65537,)), r"reshape shape is \(65537,\), expected 1 numbers of 1 to 65536"),
    "half a row": (lambda: Reshape((0,), (0.5,)), "reshape shape is 0.5, expected a whole number"),  # type: ignore[arg-type]
    "divisor 0": (lambda: SumPool((1, 1), (1, 1), 0), "sum_pool divisor is 0, expected 1 to"),
    "another rounding": (lambda: SumPool((1, 1), (1, 1), 1, "up"), "sum_pool rounding is 'up', expected floor or"),  # type: ignore[arg-type]
    "sums that do not fit": (
        lambda: one(SumPool((2, 2), (1, 1), acc_bits=17)), r"can reach \[-131072, 131068\], which needs 18 bits",
    ),
    "a window too large": (lambda: one(SumPool((3, 1), (1, 1))), "sum_pool of 3 x 1 does not fit into an input"),
    "a bias too wide": (
        lambda: OrderedLinear(np.ones((1, 1), np.int16), np.full(1, 9, np.int8), ONE8, Number(4)),
        "ordered_linear bias reaches from 9 to 9, expected int4",
    ),
    "more classes": (lambda: one(Argmax(2)), "argmax over 2 classes cannot take an input of shape"),
    "a multiplier below 0": (
        lambda: Rescale(ZERO32, -ONE32, ONE8, ZERO8), "rescale multiplier reaches down to -1, expected 0 or more",
    ),
    "a shift of 63": (
        lambda: Rescale(ZERO32, ONE32, ONE8 * np.uint8(63), ZERO8), "rescale shift reaches 63, expected 0 to 62",
    ),
    "a bias for another format": (
        lambda: Rescale(ZERO32, ONE32, ONE8, ZERO8, out=UINT8), "rescale bias has type int8, expected int16",
    ),
    "biases for two": (
        lambda: Rescale(ZERO32, ONE32, ONE8, np.zeros(2, np.int8)),
        r"rescale bias has shape \(2,\), expected 1 channels",
    ),
    "a rounding of its own": (
        lambda: Rescale(ZERO32, ONE32, ONE8, ZERO8, "up"), "rescale rounding is 'up', expected half_up or half_even or",  # type: ignore[arg-type]
    ),
    "scaled sums that do not fit": (
        lambda: one(Rescale(ZERO32, ONE32 * np.int32(2**31 - 1), ONE8, ZERO8, acc_bits=40)), "which needs 47 bits",
    ),
    "scales of more channels": (
        lambda: one(Rescale(np.zeros(2, np.int32), np.ones(2, np.int32), np.ones(2, np.uint8), np.zeros(2, np.int8))),
        "rescale input has shape .*, expected 2 channels",
    ),
    "a value beyond": (
        lambda: one(Pad(ZERO32 - np.int32(40000), (1, 1, 1, 1))),
        "pad value reaches from -40000 to -40000, expected int16",
    ),
    "values for two": (lambda: one(Pad(np.zeros(2, np.int32), (1, 1, 1, 1))), "pad of 2 channels takes their rows and"),
    "rows below none": (lambda: Pad(ZERO32, (0, 0, -1, 0)), r"pad padding is \(0, 0, -1, 0\), expected 4 numbers of 0"),
    "no class": (lambda: Argmax(0), "argmax is over 0 classes, expected at least 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused(case: str) -> None:
    """Operators that state what cannot be, and inputs that do not fit, are refused with one sentence."""
    build, message = REFUSED[case]
    with pytest.raises(ModelError, match=message):
        build()


@pytest.mark.onnx
def test_onnx_refuses_too_many_steps(tmp_path: Path) -> None:
    """A sum in order of more inputs than become operators is refused by name."""
    op = OrderedLinear(np.ones((1, 4097), np.int16), np.zeros(1, np.int16), ONE8)
    with pytest.raises(FileError, match="takes an ordered_linear of up to 4,096 inputs, node 'y' has 4,097"):
        export_onnx(Model(one(op, (1, 1, 4097)), "y"), tmp_path / "y.onnx")
