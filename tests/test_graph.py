"""Operators, graphs and ResMLPs: what may not exist is refused, and no accumulator can overflow."""

import copy
import itertools
import pickle
import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxsim.contract import CHANNEL, TOKEN, Number, TableRule, Tensor
from fxsim.engines import run
from fxsim.errors import ModelError, StimulusError
from fxsim.families import (
    DIMENSIONS,
    FAMILIES,
    ResMLPConfig,
    build_resmlp,
    recognise,
    recognise_resmlp,
    resmlp_parameters,
    resmlp_slots,
)
from fxsim.families.summary import summarise
from fxsim.graph import INPUT, Graph, Model, Node, accumulator_bound
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Operator, Pool, Relu
from tests.strategies import graphs, images, int8_arrays, resmlp_models

Array = np.ndarray[Any, Any]


def i8(*shape: int, value: int = 1) -> Array:
    """An int8 array of one value."""
    return np.full(shape, value, np.int8)


def u8(*shape: int, value: int = 0) -> Array:
    """A uint8 array of one value."""
    return np.full(shape, value, np.uint8)


def linear(outputs: int, inputs: int, **options: Any) -> Linear:
    """A linear of ones."""
    return Linear(i8(outputs, inputs), i8(outputs), u8(outputs), **options)


def affine(channels: int) -> Affine:
    """An affine of ones."""
    return Affine(i8(channels), i8(channels), u8(channels))


# --- operators ---

BAD_OPERATORS: dict[str, tuple[Callable[[], object], str]] = {
    "weight of int16": (
        lambda: Linear(i8(2, 3).astype(np.int16), i8(2), u8(2)),
        "linear weight has type int16, expected int8",
    ),
    "weight of floats": (
        lambda: Linear(np.ones((2, 3)), i8(2), u8(2)),
        "linear weight has type float64, expected int8",
    ),
    "weight of one dimension": (lambda: Linear(i8(3), i8(2), u8(2)), r"linear weight has shape \(3,\), expected 2"),
    "no inputs": (lambda: Linear(i8(2, 0), i8(2), u8(2)), r"linear weight has shape \(2, 0\)"),
    "bias of others": (lambda: Linear(i8(2, 3), i8(3), u8(2)), r"linear bias has shape \(3,\), expected \(2,\)"),
    "shift of others": (lambda: Linear(i8(2, 3), i8(2), u8(1)), r"linear shift has shape \(1,\), expected \(2,\)"),
    "signed shift": (lambda: Linear(i8(2, 3), i8(2), i8(2)), "linear shift has type int8, expected uint8"),
    "width of 1": (lambda: linear(2, 3, acc_bits=1), "linear accumulator width is 1 bits, expected 2 to 62"),
    "width of 63": (lambda: linear(2, 3, acc_bits=63), "linear accumulator width is 63 bits, expected 2 to 62"),
    "affine's width of 63": (
        lambda: Affine(i8(2), i8(2), u8(2), 63),
        "affine accumulator width is 63 bits",
    ),
    "weights of 9 bits": (
        lambda: Affine(np.zeros(2, np.int16), i8(2), u8(2), weight_number=Number(9)),
        "affine weight number is int9, expected a signed number of 1 to 8 bits",
    ),
    "add's width of 63": (lambda: Add(63), "add accumulator width is 63 bits, expected 2 to 62"),
    "pool's width of 63": (lambda: Pool(4, 63), "pool accumulator width is 63 bits, expected 2 to 62"),
    "add to 17 bits": (lambda: Add(out=Number(17)), "add result number is int17, expected one of 1 to 16 bits"),
    "affine to 17 bits": (lambda: Affine(i8(2), i8(2), u8(2), out=Number(17)), "affine result number is int17"),
    "lut of 17 bits": (lambda: Lut(i8(2, 64), TableRule.CLAMP, Number(17)), "lut input number is int17"),
    "lut to 17 bits": (lambda: Lut(i8(2, 64), TableRule.CLAMP, out=Number(17)), "lut result number is int17"),
    "width of a fraction": (lambda: linear(2, 3, acc_bits=20.5), "linear accumulator width is 20.5, expected a whole"),
    "over rows": (lambda: linear(2, 3, over="rows"), "linear over is 'rows', expected channels or tokens"),
    "unknown rule": (
        lambda: Lut(i8(2, 64), "nope"),  # type: ignore[arg-type]
        "lut rule is 'nope', expected full or clamp or hold or endpoint",
    ),
    "pool over a fraction": (lambda: Pool(4.0), "pool tokens is 4.0, expected a whole"),  # type: ignore[arg-type]
    "affine of a matrix": (lambda: Affine(i8(2, 2), i8(2), u8(2)), r"affine weight has shape \(2, 2\), expected 1"),
    "affine of other biases": (lambda: Affine(i8(2), i8(3), u8(2)), r"affine bias has shape \(3,\), expected \(2,\)"),
    "table of 63 points": (
        lambda: Lut(i8(2, 63), TableRule.CLAMP),
        "stores 63 points a channel, expected 4 or 8 or 16",
    ),
    "table of 64 under endpoint": (lambda: Lut(i8(2, 64), TableRule.ENDPOINT), "expected 5 or 9 or 17"),
    "table of 64 under full": (lambda: Lut(i8(2, 64), TableRule.FULL), "expected 256 under rule 'full'"),
    "table of uint8": (lambda: Lut(u8(2, 64), TableRule.HOLD), "lut table has type uint8, expected int8"),
    "pool over 3": (lambda: Pool(3), "pool is over 3 tokens, expected a power of two"),
    "pool over 0": (lambda: Pool(0), "pool is over 0 tokens"),
}


@pytest.mark.parametrize("case", BAD_OPERATORS)
def test_illegal_operators_cannot_be_built(case: str) -> None:
    """Wrong types, shapes, widths and point counts are refused with what was expected."""
    build, message = BAD_OPERATORS[case]
    with pytest.raises(ModelError, match=message):
        build()


def test_operators_cannot_be_changed() -> None:
    """Neither a field nor an element of an array may be set, and the caller's array is not shared."""
    weight = i8(2, 3)
    op = Linear(weight, i8(2), u8(2))
    weight[0, 0] = 9
    assert op.weight[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        op.weight[0, 0] = 5
    with pytest.raises(FrozenInstanceError):
        op.acc_bits = 4  # type: ignore[misc]


def test_operators_are_equal_by_value() -> None:
    """Two records are equal where every field is, array for array."""
    assert linear(2, 3) == linear(2, 3)
    assert linear(2, 3) != linear(2, 3, acc_bits=20)
    assert linear(2, 2) != linear(2, 2, over=Axis.TOKENS)
    assert linear(2, 3) != Linear(i8(2, 3, value=2), i8(2), u8(2))
    assert affine(2) != linear(2, 2)
    assert Lut(i8(1, 8), TableRule.CLAMP) != Lut(i8(1, 8), TableRule.HOLD)


def test_default_widths_are_the_contracts() -> None:
    """Linear 16 + ceil(log2 K), affine 16, add 9, pool 8 + log2 T."""
    widths = {k: linear(1, k).acc_bits for k in (1, 2, 3, 4, 5, 48, 64, 65, 96, 128, 192)}
    assert widths == {1: 16, 2: 17, 3: 18, 4: 18, 5: 19, 48: 22, 64: 22, 65: 23, 96: 23, 128: 23, 192: 24}
    assert (affine(3).acc_bits, Add().acc_bits) == (16, 9)
    assert {t: Pool(t).acc_bits for t in (1, 2, 64, 256)} == {1: 8, 2: 9, 64: 14, 256: 16}


WIDE = Tensor((TOKEN, CHANNEL), (4, 3), Number(17))
NARROW = Tensor((TOKEN, CHANNEL), (4, 3))


@pytest.mark.parametrize(
    ("op", "inputs"),
    [
        (Add(), (NARROW, WIDE)),
        (Add(), (WIDE, NARROW)),
        (Affine(np.zeros(3, np.int8), np.zeros(3, np.int8), np.zeros(3, np.uint8)), (WIDE,)),
        (Linear(np.zeros((2, 3), np.int8), np.zeros(2, np.int8), np.zeros(2, np.uint8)), (WIDE,)),
        (Pool(4), (WIDE,)),
        (Relu(), (WIDE,)),
    ],
)
def test_operators_refuse_inputs_of_other_formats(op: Operator, inputs: tuple[Tensor, ...]) -> None:
    """An input of more bits than operators compute with is refused by whichever operator is asked for its result."""
    with pytest.raises(ModelError, match=f"^{op.kind} input is int17, expected one of 1 to 16 bits"):
        op.result(*inputs)


@pytest.mark.parametrize(("given", "shown"), [(5, "5"), ("ab", "'ab'")])
def test_input_that_is_no_shape_is_named(given: Any, shown: str) -> None:
    """What is neither a tensor nor a shape is refused with what it is, and that is all that is said."""
    with pytest.raises(ModelError, match=f"^graph input is {shown}, expected a Tensor or a shape"):
        Graph(given, ())


@pytest.mark.parametrize("bits", [2, 62])
def test_the_narrowest_and_the_widest_accumulators_are_taken(bits: int) -> None:
    """Widths of 2 and of 62 bits may be stated, of every operator that sums."""
    ops = (linear(2, 3, acc_bits=bits), Affine(i8(2), i8(2), u8(2), bits), Add(bits), Pool(4, bits))
    assert [op.acc_bits for op in ops] == [bits] * 4


def test_integers_of_numpy_are_integers() -> None:
    """Widths and dimensions given as numpy integers become plain ones: a file can hold them."""
    widths = linear(2, 3, acc_bits=np.int64(20)).acc_bits, Pool(np.int64(4)).tokens  # type: ignore[arg-type]
    shape = Graph(np.array([16, 12]), [Node("a", Relu(), [INPUT])]).input_shape  # type: ignore[arg-type]
    assert (widths, shape) == ((20, 4), (16, 12))
    assert [type(n) for n in (*widths, *shape)] == [int] * 4


# --- graphs ---

BAD_GRAPHS: dict[str, tuple[tuple[int, ...], tuple[Node, ...], str]] = {
    "input of one dimension": (
        (4,),
        (Node("a", Relu(), (INPUT,)),),
        r"graph input has shape \(4,\), expected \(tokens, values\)",
    ),
    "input of nothing": ((4, 0), (Node("a", Relu(), (INPUT,)),), r"graph input has shape \(4, 0\)"),
    "input beyond bounds": ((4, 65537), (Node("a", Relu(), (INPUT,)),), "each 1 to 65536"),
    "nothing": ((4, 3), (), "graph has no operators"),
    "input of fractions": (
        (4.0, 3),  # type: ignore[dict-item]
        (Node("a", Relu(), (INPUT,)),),
        "graph input dimension is 4.0, expected a whole",
    ),
    "more values than memory": (
        (65536, 512),
        (Node("a", Relu(), (INPUT,)), Node("b", Relu(), ("a",))),
        "graph computes 100,663,296 values an image, expected at most 67,108,864",
    ),
    "every tap's name": ((4, 3), (Node("all", Relu(), (INPUT,)),), "node name 'all' is taken: it asks for every tap"),
    "upper case": ((4, 3), (Node("A", Relu(), (INPUT,)),), "node name 'A' is illegal"),
    "path": ((4, 3), (Node("a/b", Relu(), (INPUT,)),), "node name 'a/b' is illegal"),
    "line": ((4, 3), (Node("a\n", Relu(), (INPUT,)),), r"node name 'a\\n' is illegal"),
    "empty": ((4, 3), (Node("", Relu(), (INPUT,)),), "node name '' is illegal"),
    "long": ((4, 3), (Node("a" * 201, Relu(), (INPUT,)),), "is illegal"),
    "taken": ((4, 3), (Node("a", Relu(), (INPUT,)), Node("a", Relu(), ("a",))), "node name 'a' is taken twice"),
    "input's": ((4, 3), (Node("input", Relu(), (INPUT,)),), "node name 'input' is taken twice"),
    "unknown input": ((4, 3), (Node("a", Relu(), ("b",)),), "node 'a' reads 'b', which no earlier node computes"),
    "itself": ((4, 3), (Node("a", Relu(), ("a",)),), "node 'a' reads 'a'"),
    "later": ((4, 3), (Node("a", Relu(), ("b",)), Node("b", Relu(), (INPUT,))), "node 'a' reads 'b'"),
    "one addend": ((4, 3), (Node("a", Add(), (INPUT,)),), "node 'a' has 1 inputs, a add takes 2"),
    "two inputs": ((4, 3), (Node("a", Relu(), (INPUT, INPUT)),), "node 'a' has 2 inputs, a relu takes 1"),
    "unused": (
        (4, 3),
        (Node("a", Relu(), (INPUT,)), Node("b", Relu(), (INPUT,))),
        "node 'a' is computed but never used",
    ),
    "linear of other channels": (
        (4, 3),
        (Node("a", linear(2, 4), (INPUT,)),),
        r"node 'a': linear over 4 channels cannot take .* \(4, 3\)",
    ),
    "linear over other tokens": (
        (4, 3),
        (Node("a", linear(4, 3, over=Axis.TOKENS), (INPUT,)),),
        r"node 'a': linear over 3 tokens cannot take",
    ),
    "linear over pooled tokens": (
        (4, 4),
        (Node("p", Pool(4), (INPUT,)), Node("a", linear(4, 4, over=Axis.TOKENS), ("p",))),
        r"node 'a': linear over 4 tokens cannot take an input of shape \(4,\)",
    ),
    "affine of other channels": (
        (4, 3),
        (Node("a", affine(4), (INPUT,)),),
        "node 'a': affine of 4 channels cannot take",
    ),
    "lut of other channels": (
        (4, 3),
        (Node("a", Lut(i8(2, 4), TableRule.CLAMP), (INPUT,)),),
        "node 'a': lut of 2 channels cannot take",
    ),
    "add of other shapes": (
        (4, 3),
        (Node("a", linear(2, 3), (INPUT,)), Node("b", Add(), ("a", INPUT))),
        r"node 'b': add cannot join inputs of shapes \(4, 2\) and \(4, 3\)",
    ),
    "pool over other tokens": ((4, 3), (Node("a", Pool(2), (INPUT,)),), "node 'a': pool over 2 tokens cannot take"),
    "pool twice": (
        (4, 3),
        (Node("a", Pool(4), (INPUT,)), Node("b", Pool(4), ("a",))),
        r"node 'b': pool over 4 tokens cannot take",
    ),
}


@pytest.mark.parametrize("case", BAD_GRAPHS)
def test_illegal_graphs_cannot_be_built(case: str) -> None:
    """Names, order, numbers of inputs and shapes are checked, and the node is named."""
    shape, nodes, message = BAD_GRAPHS[case]
    with pytest.raises(ModelError, match=message):
        Graph(shape, nodes)  # type: ignore[arg-type]


def test_graph_knows_every_shape() -> None:
    """Shapes by tap, the taps in order, and the output's name."""
    nodes = (
        Node("a", linear(5, 3), (INPUT,)),
        Node("b", linear(2, 4, over=Axis.TOKENS), ("a",)),
        Node("c", Pool(2), ("b",)),
        Node("d", linear(7, 5), ("c",)),
    )
    graph = Graph((4, 3), nodes)
    assert dict(graph.shapes) == {"input": (4, 3), "a": (4, 5), "b": (2, 5), "c": (5,), "d": (7,)}
    assert graph.taps == ("a", "b", "c", "d")
    assert graph.output == "d"


@settings(max_examples=50)
@given(data=st.data())
def test_stated_shapes_are_those_computed(data: st.DataObject) -> None:
    """The shape a graph states for each tap is the one the reference engine gives it."""
    model = Model(data.draw(graphs()), "generated")
    x = data.draw(images(model))
    for name, value in run(model, x, "all", "reference").items():
        assert value.shape == (len(x), *model.graph.shapes[name])


@pytest.mark.slow
@settings(max_examples=20)
@given(resmlp_models())
def test_models_survive_pickling(model: Model) -> None:
    """A model that went to another process is the same, and its arrays are still read-only."""
    again = pickle.loads(pickle.dumps(model))  # noqa: S301  # our own bytes
    assert (again, again.graph.shapes, copy.deepcopy(model)) == (model, model.graph.shapes, model)
    weight = again.graph.by_name["embed"].op.weight
    assert not weight.flags.writeable


@pytest.mark.parametrize(
    ("name", "provenance", "message"),
    [
        (5, {}, "model name is 5, expected text"),
        ("n", {"epochs": 3}, "model provenance 'epochs' is 3, expected text"),
        ("n", {3: "epochs"}, "model provenance key 3 is 3, expected text"),
    ],
)
def test_model_texts_are_text(name: Any, provenance: Any, message: str) -> None:
    """A name or provenance that a file could not hold is refused."""
    with pytest.raises(ModelError, match=re.escape(message)):
        Model(Graph((4, 3), (Node("a", Relu(), (INPUT,)),)), name, provenance)


@pytest.mark.parametrize("x", [[[[1]]], None, np.int8(1), np.array(1, np.int8)])
def test_stimulus_that_is_no_array_of_images_is_refused(x: Any) -> None:
    """Lists, scalars and arrays of too few dimensions are one clear error."""
    with pytest.raises(StimulusError, match=r"^stimulus (is a|has shape)"):
        run(Model(Graph((4, 3), (Node("a", Relu(), (INPUT,)),)), "m"), x, "a")


def test_taps_are_selected_by_name() -> None:
    """Names come in graph order, 'all' is all, and an unknown or no name is refused with those there are."""
    model = Model(Graph((4, 3), (Node("a", Relu(), (INPUT,)), Node("b", Relu(), ("a",)))), "two")
    assert model.select_taps(("b", "a")) == ("a", "b")
    assert model.select_taps("b") == ("b",)
    assert model.select_taps(["all"]) == ("a", "b")
    with pytest.raises(StimulusError, match="model 'two' has no tap 'c'; it has: a, b"):
        model.select_taps(("a", "c"))
    with pytest.raises(StimulusError, match="no tap was named"):
        model.select_taps(())


# --- the overflow proof ---


def twos_complement_bits(low: int, high: int) -> int:
    """The narrowest signed width that holds both, by trying."""
    return next(bits for bits in itertools.count(1) if -(1 << (bits - 1)) <= low and high < 1 << (bits - 1))


@given(weight=int8_arrays(st.tuples(st.integers(1, 3), st.integers(1, 6))))
def test_bound_is_reached_and_never_exceeded(weight: Array) -> None:
    """The stated range is the range over all corners of the input cube, where a linear function has its extremes."""
    node = Node("a", Linear(weight, i8(len(weight)), u8(len(weight))), (INPUT,))
    sums = [
        [
            sum(int(w) * x for w, x in zip(row, corner, strict=True))
            for corner in itertools.product((-128, 127), repeat=len(row))
        ]
        for row in weight
    ]
    bits = [twos_complement_bits(min(row), max(row)) for row in sums]
    bound = accumulator_bound(Graph((1, weight.shape[1]), (node,)), "a")
    assert bound is not None
    assert bound.bits_needed == max(bits)
    assert bits[bound.channel] == max(bits)
    assert (bound.low, bound.high) == (min(sums[bound.channel]), max(sums[bound.channel]))


@given(weight=int8_arrays(st.tuples(st.integers(1, 4), st.integers(1, 8))), over=st.sampled_from(Axis))
def test_width_that_could_overflow_is_refused_and_one_bit_more_is_not(weight: Array, over: Axis) -> None:
    """A graph is refused exactly below the bits that its weights need; the layer, channel and bound are named."""
    outputs, inputs = weight.shape
    shape = (inputs, 1) if over is Axis.TOKENS else (1, inputs)
    node = Node("mix", Linear(weight, i8(outputs), u8(outputs), over), (INPUT,))
    bound = accumulator_bound(Graph(shape, (node,)), "mix")
    assert bound is not None

    def graph(bits: int) -> Graph:
        return Graph(shape, (Node("mix", Linear(weight, i8(outputs), u8(outputs), over, bits), (INPUT,)),))

    if bound.bits_needed >= 2:
        graph(bound.bits_needed)
    if bound.bits_needed >= 3:
        message = (
            f"node 'mix', output channel {bound.channel}: the accumulator can reach [{bound.low}, {bound.high}], "
            f"which needs {bound.bits_needed} bits, but {bound.bits_needed - 1} are stated"
        )
        with pytest.raises(ModelError, match=re.escape(message)):
            graph(bound.bits_needed - 1)


def test_worst_channel_is_the_one_named() -> None:
    """Of several channels the one with the widest sum is named, wherever it stands."""
    weight = i8(3, 4)
    weight[1] = -128  # reaches 4 * 128 * 128 = 65536 = 2^16, which needs 18 bits
    with pytest.raises(ModelError, match=r"'a', output channel 1: .* \[-65024, 65536\], which needs 18 bits, but 17"):
        Graph((1, 4), (Node("a", Linear(weight, i8(3), u8(3), acc_bits=17), (INPUT,)),))


@pytest.mark.parametrize(
    ("op", "shape", "message"),
    [
        (
            replace(affine(2), weight=i8(2, value=-128), acc_bits=15),
            (4, 2),
            r"\[-16256, 16384\], which needs 16 bits, but 15",
        ),
        (Pool(4, acc_bits=9), (4, 2), r"\[-512, 508\], which needs 10 bits, but 9"),
    ],
)
def test_affine_and_pool_are_proven_too(op: Affine | Pool, shape: tuple[int, int], message: str) -> None:
    """A product and a sum over tokens have their widths proven like a linear's."""
    with pytest.raises(ModelError, match=rf"node 'a', output channel 0: .*{message}"):
        Graph(shape, (Node("a", op, (INPUT,)),))


def test_add_is_proven_too() -> None:
    """Two int8 values need nine bits."""
    with pytest.raises(ModelError, match=r"node 'a', .*\[-256, 254\], which needs 9 bits, but 8"):
        Graph((4, 2), (Node("a", Add(acc_bits=8), (INPUT, INPUT)),))


@settings(max_examples=50)
@given(data=st.data())
def test_default_widths_never_overflow(data: st.DataObject) -> None:
    """No generated graph, extreme weights among them, is refused at the contract's widths."""
    graph = data.draw(graphs())
    for node in graph.nodes:
        bound = accumulator_bound(graph, node.name)
        assert bound is None or bound.bits_needed <= bound.bits_stated


# --- ResMLP ---

RELU = ResMLPConfig(tokens=4, values=3, channels=5, hidden=6, blocks=2, classes=7)
PSA = ResMLPConfig(4, 3, 5, 6, 2, 7, points=8, rule=TableRule.CLAMP)


def ones(config: ResMLPConfig) -> dict[str, Array]:
    """Parameters of ones."""
    return {
        name: (u8 if name.endswith(".shift") else i8)(*shape, value=1)
        for name, shape in resmlp_parameters(config).items()
    }


def test_taps_have_the_contracts_names_and_shapes() -> None:
    """Tap names in graph order, as the contract lists them, for both kinds of activation."""

    def expected(middle: tuple[str, ...]) -> list[str]:
        blocks = [
            name
            for i in range(2)
            for name in (
                *(f"blocks.{i}.token_mixer.{op}" for op in ("res_affine", "affine_1", "linear", "affine_2", "add")),
                *(f"blocks.{i}.mlp.{op}" for op in ("res_affine", *middle, "add")),
            )
        ]
        return ["embed", *blocks, "pool", "classifier"]

    relu, psa = build_resmlp(RELU, ones(RELU)), build_resmlp(PSA, ones(PSA))
    assert list(relu.taps) == expected(("linear_1", "relu", "linear_2"))
    assert list(psa.taps) == expected(("psa_1", "linear_1", "psa_2", "linear_2"))
    shapes = {"embed": (4, 5), "blocks.1.token_mixer.linear": (4, 5), "blocks.0.mlp.psa_2": (4, 6), "pool": (5,)}
    assert {name: psa.shapes[name] for name in shapes} == shapes
    assert psa.shapes["classifier"] == (7,)


@pytest.mark.slow
@settings(max_examples=50)
@given(data=st.data())
def test_built_networks_are_recognised(data: st.DataObject) -> None:
    """The recogniser gives back the dimensions that a network was built from."""
    model = data.draw(resmlp_models())
    config = recognise_resmlp(model.graph)
    again = {
        f"{n.name}.{f}": getattr(n.op, f)
        for n in model.graph.nodes
        for f in ("weight", "bias", "shift", "table")
        if hasattr(n.op, f)
    }
    assert build_resmlp(config, again) == model.graph


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": 3}, "3 tokens, expected a power of two"),
        ({"tokens": 0}, "tokens = 0, expected at least 1"),
        ({"blocks": 0}, "blocks = 0"),
        ({"channels": 10.0}, "ResMLP channels is 10.0, expected a whole number"),
        ({"rule": "nope", "points": 8}, "ResMLP table rule is 'nope', expected full or clamp or hold or endpoint"),
        ({"points": 8}, "table points without a table rule"),
        ({"rule": TableRule.HOLD}, "table points without a table rule, or the other way round"),
        ({"rule": TableRule.HOLD, "points": 7}, "7 points under 'hold'"),
        ({"rule": TableRule.FULL, "points": 64}, "64 points under 'full', expected one of (256,)"),
    ],
)
def test_illegal_dimensions_are_refused(change: dict[str, Any], message: str) -> None:
    """Dimensions that no network can have are named."""
    with pytest.raises(ModelError, match=re.escape(message)):
        replace(RELU, **change)


def test_parameters_are_checked_by_name_and_shape() -> None:
    """A parameter that is missing, left over, or of the wrong shape or type is named."""
    good = ones(RELU)
    with pytest.raises(
        ModelError, match=r"parameter 'blocks\.1\.mlp\.linear_2\.bias' is missing, expected shape \(5,\)"
    ):
        build_resmlp(RELU, {n: a for n, a in good.items() if n != "blocks.1.mlp.linear_2.bias"})
    with pytest.raises(ModelError, match=r"parameter 'blocks\.0\.mlp\.psa_1\.table' does not belong"):
        build_resmlp(RELU, good | {"blocks.0.mlp.psa_1.table": i8(5, 8)})
    with pytest.raises(ModelError, match=r"parameter 'embed\.weight' has shape \(3, 5\), expected \(5, 3\)"):
        build_resmlp(RELU, good | {"embed.weight": i8(3, 5)})
    with pytest.raises(ModelError, match=r"node 'embed': linear shift has type int8, expected uint8"):
        build_resmlp(RELU, good | {"embed.shift": i8(5)})


def renamed(nodes: tuple[Node, ...], old: str, new: str) -> tuple[Node, ...]:
    """Nodes with one name changed everywhere."""
    return tuple(
        Node(new if n.name == old else n.name, n.op, tuple(new if i == old else i for i in n.inputs)) for n in nodes
    )


def test_other_graphs_are_not_recognised() -> None:
    """A network with another name, operator, order of inputs, table format or end is told apart at that node."""
    nodes = build_resmlp(PSA, ones(PSA)).nodes
    place = {node.name: i for i, node in enumerate(nodes)}

    def edited(name: str, **change: Any) -> Graph:
        i = place[name]
        return Graph((4, 3), (*nodes[:i], replace(nodes[i], **change), *nodes[i + 1 :]))

    mixer = "blocks.0.token_mixer"
    cases = {
        "it has no linear 'classifier'": Graph((4, 3), renamed(nodes, "classifier", "head")),
        f"node '{mixer}.scale' .* stands where '{mixer}.affine_1'": Graph(
            (4, 3), renamed(nodes, f"{mixer}.affine_1", f"{mixer}.scale")
        ),
        f"node '{mixer}.add' .* stands where": edited(
            f"{mixer}.add", inputs=(f"{mixer}.res_affine", f"{mixer}.affine_2")
        ),
        "its tables differ in points or rule": edited("blocks.1.mlp.psa_1", op=Lut(i8(5, 8), TableRule.HOLD)),
        f"it has {len(nodes) + 1} nodes, expected {len(nodes)}": Graph(
            (4, 3), (*nodes, Node("softmax", Relu(), ("classifier",)))
        ),
    }
    for message, graph in cases.items():
        with pytest.raises(ModelError, match=f"graph is not a ResMLP.*{message}"):
            recognise_resmlp(graph)


def test_a_graph_is_of_a_family_or_there_are_reasons() -> None:
    """Families are asked in turn; a graph of none has every family's reason, and ResMLPs of wide numbers are one."""
    assert list(FAMILIES) == ["resmlp"]
    for config in (PSA, RELU):
        found = recognise(build_resmlp(config, ones(config)))
        assert (found.name, found.network, found.reasons) == ("resmlp", config, {})
    nodes = build_resmlp(PSA, ones(PSA)).nodes
    found = recognise(Graph((4, 3), (*nodes, Node("softmax", Relu(), ("classifier",)))))
    assert (found.name, found.network) == (None, None)
    assert found.reasons == {"resmlp": f"graph is not a ResMLP: it has {len(nodes) + 1} nodes, expected {len(nodes)}"}
    picture = Graph(Tensor(("row", "column", "channel"), (2, 2, 3)), (Node("embed", linear(4, 3), ("input",)),))
    assert "its input is int8 (2 rows, 2 columns, 3 channels)" in recognise(picture).reasons["resmlp"]


def test_slots_state_every_operator_of_a_resmlp() -> None:
    """Slots have the graph's names, operators and inputs, shapes of the dimensions, and the role in the block."""
    for config in (PSA, RELU):
        graph, slots = build_resmlp(config, ones(config)), list(resmlp_slots(config, config.psa))
        assert [(s.name, s.op, s.inputs) for s in slots] == [(n.name, type(n.op), n.inputs) for n in graph.nodes]
    by_name = {slot.name: slot for slot in slots}
    assert by_name["blocks.1.mlp.linear_1"].shape == (RELU.hidden, RELU.channels)
    assert by_name["blocks.1.mlp.linear_1"].role == "linear_1"
    assert (by_name["blocks.1.mlp.linear_1"].block, by_name["blocks.1.mlp.linear_1"].place) == (1, ("mlp", "linear_1"))
    assert (by_name["classifier"].block, by_name["classifier"].place) == (None, ("classifier",))
    assert by_name["blocks.0.token_mixer.linear"].shape == (RELU.tokens, RELU.tokens)
    assert (by_name["classifier"].shape, by_name["classifier"].role) == ((RELU.classes, RELU.channels), "classifier")
    assert (by_name["pool"].shape, by_name["pool"].parameters(8)) == ((), {})
    table = next(slot for slot in resmlp_slots(PSA, True) if slot.role == "psa_2")
    assert table.parameters(9) == {"table": (PSA.hidden, 9)}


def test_dimensions_are_those_of_the_record() -> None:
    """The dimensions by name are the record's fields, in its order, but for the format of its tables."""
    assert DIMENSIONS == ("tokens", "values", "channels", "hidden", "blocks", "classes")
    assert (*DIMENSIONS, "points", "rule") == tuple(field.name for field in fields(ResMLPConfig))
    assert ResMLPConfig.of(PSA, PSA.points, PSA.rule) == PSA
    assert ResMLPConfig.of(PSA) == replace(PSA, points=0, rule=None)


def test_blocks_of_other_dimensions_are_not_recognised() -> None:
    """Every block has the first one's dimensions, and mixes over tokens before it mixes over channels."""
    nodes = build_resmlp(RELU, ones(RELU)).nodes
    name = "blocks.1.mlp.linear_1"
    wider = {name: linear(8, 5), "blocks.1.mlp.linear_2": linear(5, 8)}
    graph = Graph((4, 3), tuple(replace(node, op=wider.get(node.name, node.op)) for node in nodes))
    with pytest.raises(ModelError, match=f"graph is not a ResMLP: '{name}.weight' has not the shape"):
        recognise_resmlp(graph)

    square = replace(RELU, channels=4)
    name = "blocks.0.token_mixer.linear"
    nodes = build_resmlp(square, ones(square)).nodes
    graph = Graph((4, 3), tuple(replace(n, op=linear(4, 4)) if n.name == name else n for n in nodes))
    with pytest.raises(ModelError, match=f"'{name}' is a linear over channels, not tokens"):
        recognise_resmlp(graph)


# --- figures ---


@pytest.mark.parametrize(("hidden", "macs"), [(96, 6_587_328), (192, 11_305_920)])
def test_macs_are_those_of_the_paper(hidden: int, macs: int) -> None:
    """Multiply-accumulates of the published dimensions are the published numbers."""
    config = ResMLPConfig(64, 48, 96, hidden, 4, 10)
    assert summarise(Model(build_resmlp(config, ones(config)), "paper")).macs == macs


def test_summary_counts_what_there_is() -> None:
    """Parameters, tables, products, ranges and widths of a small network, counted by hand."""
    parameters = ones(PSA)
    parameters["embed.weight"][2, 1] = -128
    parameters["blocks.1.mlp.res_affine.shift"][:] = 9
    summary = summarise(Model(build_resmlp(PSA, parameters), "small", {"source": "here"}))
    assert (summary.family, summary.network) == ("resmlp", PSA)
    # embed 5x3, two blocks of 4 affines of 5, mixers 4x4, linears 6x5 and 5x6, classifier 7x5; with bias and shift.
    linears = (15 + 10) + 2 * ((16 + 8) + (30 + 12) + (30 + 10)) + (35 + 14)
    assert summary.parameters == linears + 2 * 4 * 15
    assert summary.table_bytes == 2 * (5 + 6) * 8
    assert summary.products == 2 * 4 * 4 * 5
    assert summary.macs == 4 * 15 + 2 * (4 * 4 * 5 + 4 * 30 + 4 * 30) + 35
    assert (summary.weights, summary.shifts) == ((-128, 1), (1, 9))
    by_tap = {op.tap: op for op in summary.operators}
    embed = by_tap["embed"]
    # Channel 2: weights 1, -128, 1.
    assert embed.accumulator == (-128 - 128 * 127 - 128, 127 + 128 * 128 + 127)
    assert (embed.acc_bits_needed, embed.acc_bits) == (16, 18)
    assert (by_tap["pool"].acc_bits_needed, by_tap["blocks.0.mlp.psa_1"].acc_bits) == (10, None)
    assert (by_tap["blocks.0.mlp.psa_2"].points, by_tap["blocks.0.mlp.psa_2"].rule) == (8, "clamp")


def test_summary_of_a_graph_that_is_no_resmlp() -> None:
    """Any graph has figures; only a ResMLP has dimensions."""
    summary = summarise(Model(Graph((4, 3), (Node("a", Relu(), (INPUT,)),)), "other"))
    assert (summary.family, summary.network) == (None, None)
    assert (summary.parameters, summary.macs, summary.weights) == (0, 0, None)
