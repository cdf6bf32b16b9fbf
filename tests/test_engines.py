"""The two engines against each other and against exact arithmetic, and what `run` promises of both."""

import gc
import math
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import cycle, pairwise, product
from pathlib import Path
from typing import Any

import llvmlite.binding
import msgspec
import numba
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite.binding.targets import FeatureMap

import fxsim
from fxsim import engines, jit
from fxsim.benchmark.hosts import LESSER
from fxsim.contract import TABLE_POINTS, Number, Sign, TableRule, Tensor, stored_points
from fxsim.engines import CHUNK_IMAGES, Engine, compiled, run_chunks, run_reference
from fxsim.engines.compiled import isa as isa_module
from fxsim.engines.compiled import kernel, program
from fxsim.engines.compiled import run as scheduling
from fxsim.engines.loops import LOOPS
from fxsim.errors import ModelError, StimulusError
from fxsim.families import ResMLPConfig, build_resmlp, resmlp_parameters
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import OPERATORS, Add, Affine, Axis, Linear, Lut, NotTaken, Operator, OperatorTable, Pool, Relu
from tests import oracle
from tests.conftest import SEED
from tests.strategies import INT8_CORNERS, graphs, images, int8_from, resmlp_models, woven_graphs

Int8 = npt.NDArray[np.int8]
Int64 = npt.NDArray[np.int64]

SETS = [kind.name for kind in compiled.instruction_sets()]
EVERY_INT8 = np.arange(-128, 128)
TOKENS = (1, 3, 15, 16, 17, 20, 33, 63, 64, 65, 100, 130)

each_set = pytest.mark.parametrize("isa", SETS, indirect=True)
each_engine = pytest.mark.parametrize(
    ("engine", "isa"),
    [(Engine.REFERENCE, None), *((Engine.NUMBA, name) for name in SETS)],
    indirect=["isa"],
    ids=["reference", *SETS],
)


@pytest.fixture(autouse=True)
def isa(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The instruction set that a test is for, if it is for one: FXSIM_ISA names it while the test runs."""
    name = getattr(request, "param", None)
    with pytest.MonkeyPatch.context() as patch:
        if name is None:
            patch.delenv(compiled.ISA_VARIABLE, raising=False)
        else:
            patch.setenv(compiled.ISA_VARIABLE, name)
        yield name


def chain(input_shape: tuple[int, int], *ops: Operator) -> Model:
    """A model of operators one after the other; an add takes the input as its second."""
    nodes: list[Node] = []
    last = INPUT
    for i, op in enumerate(ops):
        nodes.append(Node(f"n{i}", op, (last, INPUT) if isinstance(op, Add) else (last,)))
        last = f"n{i}"
    return Model(Graph(input_shape, tuple(nodes)), "chain")


def random_resmlp(rng: np.random.Generator, config: ResMLPConfig) -> Model:
    """A ResMLP of full-range parameters and shifts that keep its values moving."""
    parameters: dict[str, npt.NDArray[np.generic]] = {
        name: rng.integers(4, 12, shape).astype(np.uint8) if name.endswith(".shift") else int8_from(rng, shape, "full")
        for name, shape in resmlp_parameters(config).items()
    }
    return Model(build_resmlp(config, parameters), "random")


def mixed(rng: np.random.Generator, tokens: int, channels: int) -> Model:
    """Every operator once or more, over other numbers of tokens and channels too, parameters of the whole range."""

    def scale(count: int) -> tuple[Int8, npt.NDArray[np.uint8]]:
        return int8_from(rng, (count,), "full"), rng.integers(0, 14, count).astype(np.uint8)

    def linear(inputs: int, outputs: int, over: Axis) -> Linear:
        return Linear(int8_from(rng, (outputs, inputs), "full"), *scale(outputs), over)

    nodes = (
        Node("affine", Affine(int8_from(rng, (channels,), "full"), *scale(channels)), (INPUT,)),
        Node("lut", Lut(int8_from(rng, (channels, 256), "full"), TableRule.FULL), ("affine",)),
        Node("mixing", linear(tokens, 32, Axis.TOKENS), ("lut",)),
        Node("relu", Relu(), ("mixing",)),
        Node("back", linear(32, tokens, Axis.TOKENS), ("relu",)),
        Node("add", Add(), ("back", INPUT)),
        Node("channels", linear(channels, channels + 3, Axis.CHANNELS), ("add",)),
        Node("pooled", linear(tokens, 32, Axis.TOKENS), ("channels",)),
        Node("pool", Pool(32), ("pooled",)),
        Node("classifier", linear(channels + 3, 11, Axis.CHANNELS), ("pool",)),
        Node("double", Add(), ("classifier", "classifier")),
        Node("last", Relu(), ("double",)),
    )
    return Model(Graph((tokens, channels), nodes), "mixed")


SMALL = ResMLPConfig(8, 6, 10, 5, 2, 4, 16, TableRule.HOLD)


@pytest.fixture(scope="module")
def small_model() -> Model:
    """A ResMLP of a few values."""
    return random_resmlp(np.random.default_rng(SEED), SMALL)


def stimulus(model: Model, count: int) -> Int8:
    """Random images for a model."""
    return int8_from(np.random.default_rng(SEED + 1), (count, *model.graph.input_shape), "full")


def assert_equal_taps(got: dict[str, Int8], expected: dict[str, Int8]) -> None:
    """The same taps in the same order, each of the same type, shape and values."""
    assert list(got) == list(expected)
    for tap, values in expected.items():
        assert got[tap].dtype == np.int8
        np.testing.assert_array_equal(got[tap], values, tap)


# --- One answer ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@each_engine
@given(data=st.data())
def test_engines_agree_with_exact_arithmetic(engine: Engine, data: st.DataObject) -> None:
    """At every tap of any graph or ResMLP the engine gives what exact fractions give, extreme values and shifts too."""
    graph = data.draw(st.one_of(graphs(), woven_graphs(), resmlp_models().map(lambda model: model.graph)))
    model = Model(graph, "generated")
    x = data.draw(images(model, count_max=2))
    got = fxsim.run(model, x, "all", engine)
    for i, image in enumerate(x):
        for tap, expected in oracle.compute(model.graph, image).items():
            assert got[tap].shape[1:] == expected.shape
            np.testing.assert_array_equal(got[tap][i], expected, f"image {i}, {tap}")


@pytest.mark.slow
@each_set
@given(st.data())
def test_engines_agree_on_larger_graphs(data: st.DataObject) -> None:
    """Both engines give the same at every tap of random graphs whose dimensions cross the compiled loops' tiles."""
    any_graph = st.one_of(
        graphs(nodes_max=5, dimension_max=130), woven_graphs(), resmlp_models().map(lambda model: model.graph)
    )
    model = Model(data.draw(any_graph), "generated")
    x = data.draw(images(model, count_max=40))
    assert_equal_taps(fxsim.run(model, x, "all", Engine.NUMBA), fxsim.run(model, x, "all", Engine.REFERENCE))


@each_set
@pytest.mark.parametrize("rule", [None, *TableRule])
def test_engines_agree_at_the_published_dimensions(rule: TableRule | None) -> None:
    """Both engines give the same at every tap of a model as large as the published ones, ReLU and each table rule."""
    points = 0 if rule is None else 256 if rule is TableRule.FULL else 64
    model = random_resmlp(np.random.default_rng(SEED), ResMLPConfig(64, 48, 96, 96, 4, 10, points, rule))
    x = stimulus(model, 9)
    assert_equal_taps(fxsim.run(model, x, "all", Engine.NUMBA), fxsim.run(model, x, "all", Engine.REFERENCE))


@each_set
@pytest.mark.parametrize("over", list(Axis))
def test_compiled_linear_at_the_edges_of_its_tiles(over: Axis) -> None:
    """A linear of any size around the tiles' rows, columns and groups equals the reference, over channels and tokens.

    Over tokens it changes their number: from and to every way in which images share a panel.
    """
    rng = np.random.default_rng(SEED)
    if over is Axis.CHANNELS:
        sizes = [(t, i, o) for t in TOKENS for i, o in ((1, 70), (2, 17), (3, 4), (5, 1), (15, 16), (70, 33))]
    else:
        sizes = [(t, c, o) for (t, o), c in zip(product(TOKENS, TOKENS), cycle((1, 2, 3, 5, 16, 17, 70)), strict=False)]
    for tokens, channels, outputs in sizes:
        inputs = channels if over is Axis.CHANNELS else tokens
        weight, bias = int8_from(rng, (outputs, inputs), "full"), int8_from(rng, (outputs,), "full")
        model = chain((tokens, channels), Linear(weight, bias, rng.integers(0, 20, outputs).astype(np.uint8), over))
        x = stimulus(model, 5)
        assert_equal_taps(fxsim.run(model, x, "all", Engine.NUMBA), run_reference(model.graph, x, model.graph.taps))


@each_set
@pytest.mark.parametrize("tokens", TOKENS)
def test_every_operator_at_any_number_of_tokens_and_channels(tokens: int) -> None:
    """Every operator in one graph equals the reference, whatever part of a panel its tokens and channels fill."""
    rng = np.random.default_rng(SEED)
    for channels in (1, 2, 5, 15, 16, 17, 31, 64, 65, 70):
        model = mixed(rng, tokens, channels)
        x = stimulus(model, 3)
        assert_equal_taps(fxsim.run(model, x, "all", Engine.NUMBA), run_reference(model.graph, x, model.graph.taps))


@each_set
@pytest.mark.parametrize("tokens", [1, 4, 16, 20, 32, 33, 64, 65, 130])
def test_batches_of_any_size(tokens: int) -> None:
    """Batches of one, of primes and of sizes around a block's give what the reference gives, at every tap."""
    model = mixed(np.random.default_rng(SEED), tokens, 7)
    block = scheduling._block(model.graph)
    x = stimulus(model, max(97, 2 * block + 1))
    expected = run_reference(model.graph, x, model.graph.taps)
    for count in sorted({1, 2, 3, 5, 13, 31, 97, block - 1, block, block + 1, 2 * block - 1, 2 * block + 1} - {0}):
        got = compiled.run_compiled(model, x[:count], model.graph.taps)
        assert_equal_taps(got, {tap: values[:count] for tap, values in expected.items()})


@each_set
@pytest.mark.parametrize("over", list(Axis))
@pytest.mark.parametrize("value", [-128, 127])
def test_extreme_weights(over: Axis, value: int) -> None:
    """Weights, biases and images that are all -128, or all 127, give what the reference gives under every shift."""
    for tokens, channels in ((1, 1), (16, 70), (33, 5), (130, 16)):
        inputs = channels if over is Axis.CHANNELS else tokens
        for bias in (-128, 0, 127):
            full = np.full((256, inputs), value, np.int8)
            op = Linear(full, np.full(256, bias, np.int8), np.arange(256, dtype=np.uint8), over)
            model = chain((tokens, channels), op)
            x = np.stack([np.full((tokens, channels), v, np.int8) for v in (-128, -1, 0, 127)])
            got = fxsim.run(model, x, "all", Engine.NUMBA)
            assert_equal_taps(got, run_reference(model.graph, x, ("n0",)))


def exact_requantise(sums: Int64, shifts: Int64, biases: Int64) -> Int64:
    """sat8(floor(sum / 2^shift + 1/2) + bias) for every sum, of every pair of shift and bias: int64 [sum, pair]."""
    # Beyond 2^40 sums of 32 bits all round to 0.
    power = np.left_shift(1, np.minimum(shifts, 40))
    rounded: Int64 = np.floor_divide(2 * sums[:, None] + power, 2 * power) + biases
    result: Int64 = np.minimum(np.maximum(rounded, -128), 127)
    return result


def test_exact_requantise() -> None:
    """The formula that the next tests trust is the oracle's, at ties, corners and both ends."""
    sums, shifts, biases = [-(2**30), -384, -129, -3, -1, 0, 1, 5, 383, 2**30], [0, 1, 7, 30, 31, 32, 255], [-128, 127]
    pairs = np.array(list(product(shifts, biases)), np.int64)
    got = exact_requantise(np.array(sums), pairs[:, 0], pairs[:, 1])
    assert got.tolist() == [[oracle.requantise(v, s, b) for s, b in pairs.tolist()] for v in sums]


def parts_of(outputs: int, shape: str) -> list[slice]:
    """The outputs of a model in parts: all at once, or as few as tokens that share a panel."""
    step = 32 if shape == "few tokens" else outputs
    return [slice(start, min(start + step, outputs)) for start in range(0, outputs, step)]


@each_set
@pytest.mark.parametrize("shape", ["channels", "tokens", "few tokens"])
def test_requantisation_of_products(shape: str) -> None:
    """A linear of one input is exact under every shift and corner of bias for every value and extreme weights."""
    over = Axis.CHANNELS if shape == "channels" else Axis.TOKENS
    pairs = np.array(list(product(range(256), (-128, -1, 0, 1, 127))), np.int64)
    weights = np.array([-128, -127, -3, -1, 1, 2, 64, 127])
    if shape == "few tokens":
        pairs, weights = pairs[pairs[:, 0] < 40], np.array([-128, 127])
    for weight in weights:
        expected = exact_requantise(EVERY_INT8 * weight, pairs[:, 0], pairs[:, 1])
        for part in parts_of(len(pairs), shape):
            count = part.stop - part.start
            shift, bias = pairs[part, 0].astype(np.uint8), pairs[part, 1].astype(np.int8)
            op = Linear(np.full((count, 1), weight, np.int8), bias, shift, over)
            x = EVERY_INT8.astype(np.int8)
            # Values are tokens of one image where the sum is over channels, and channels where it is over tokens.
            model = chain((256, 1) if over is Axis.CHANNELS else (1, 256), op)
            got = fxsim.run(model, x.reshape(1, *model.graph.input_shape), "all", Engine.NUMBA)["n0"][0]
            np.testing.assert_array_equal(got if over is Axis.CHANNELS else got.T, expected[:, part], f"{weight}")


def images_of_sums(sums: Int64, inputs: int) -> Int8:
    """Images whose sum with weights -128, and 1 for the last input, is the one given: int8 [sum, input]."""
    rest = (sums + 64) % 128 - 64
    total = -(sums - rest) // 128
    each, more = np.divmod(total, inputs - 1)
    x = np.empty((len(sums), inputs), np.int8)
    x[:, :-1] = each[:, None] + (np.arange(inputs - 1) < more[:, None])
    x[:, -1] = rest
    np.testing.assert_array_equal(-128 * x[:, :-1].sum(axis=1, dtype=np.int64) + x[:, -1], sums)
    return x


@pytest.mark.slow
@each_set
@pytest.mark.parametrize("inputs", [2, 256, 65_536])
@pytest.mark.parametrize("shape", ["channels", "tokens", "few tokens"])
def test_requantisation_of_sums(inputs: int, shape: str) -> None:
    """Sums around every power of two, every tie and either end of saturation are exact under every shift.

    The widest that a graph may have, of 31 bits, under all shifts that leave something of them and some more.
    """
    over = Axis.CHANNELS if shape == "channels" else Axis.TOKENS
    wide = inputs == 65_536
    highest = 128 * 128 * (inputs - 1) - 128
    near = {sign * m * 2**k + d for sign in (-1, 1) for k in range(31) for m in (1, 3) for d in (-1, 0, 1)}
    if not wide:
        corners = (-256, -255, -129, -128, -127, 126, 127, 128, 255, 256)
        near |= {(2 * c + h) * 2**k + d for c in corners for h in (0, 1) for k in range(16) for d in (-1, 0, 1)}
    sums = np.array(sorted(v for v in near | {highest} if -highest * 126 // 128 <= v <= highest), np.int64)
    shifts = (*range(32), 33, 63, 64, 255) if wide or shape == "few tokens" else range(256)
    pairs = np.array(list(product(shifts, (-128, 0, 127) if wide else (-128, -1, 0, 127))), np.int64)
    if wide and over is Axis.TOKENS:
        # What is as wide takes memory: once is enough, where only the order of the numbers is another.
        pairs = pairs[:32] if shape == "few tokens" else pairs
        sums = sums[::8]
    x = images_of_sums(sums, inputs)
    expected = exact_requantise(sums, pairs[:, 0], pairs[:, 1])
    for part in parts_of(len(pairs), shape):
        weight = np.full((part.stop - part.start, inputs), -128, np.int8)
        weight[:, -1] = 1
        op = Linear(weight, pairs[part, 1].astype(np.int8), pairs[part, 0].astype(np.uint8), over)
        model = chain((1, inputs) if over is Axis.CHANNELS else (inputs, 1), op)
        got = fxsim.run(model, x.reshape(len(x), *model.graph.input_shape), "all", Engine.NUMBA)["n0"]
        np.testing.assert_array_equal(got.reshape(len(x), -1), expected[:, part])


@each_engine
def test_widest_sums_there_can_be(engine: Engine) -> None:
    """The greatest and the least sum of the largest linear a graph may have are exact under every shift.

    But for the one sum that passes 31 bits with its half: the compiled engine refuses it.
    """
    inputs = 65_536
    weight = np.repeat(np.array([[-128], [127]], np.int8), inputs, axis=1)
    x = np.full((1, 1, inputs), -128, np.int8)
    for shift in (0, 1, 22, 23, 24, 29, 30, 31, 32, 255):
        model = chain((1, inputs), Linear(weight, np.array([-1, 1], np.int8), np.full(2, shift, np.uint8)))
        expected = [oracle.requantise(2**30, shift, -1), oracle.requantise(-128 * 127 * inputs, shift, 1)]
        if engine is Engine.NUMBA and shift == 31:
            with pytest.raises(ModelError, match=r"'n0', output 0: .* 2,147,483,648, .* the reference engine"):
                fxsim.run(model, x, "all", engine)
        else:
            assert fxsim.run(model, x, "all", engine)["n0"][0, 0].tolist() == expected, f"shift {shift}"


@pytest.mark.parametrize("over", list(Axis))
def test_a_sum_of_more_than_32_bits_is_refused(over: Axis) -> None:
    """Where a sum may pass 2^31 with its half, node and output are named; one weight less, and it is computed."""
    weight = np.full((3, 65_536), -128, np.int8)
    weight[[0, 2], 7] = -127
    shape = (1, 65_536) if over is Axis.CHANNELS else (65_536, 1)
    x = np.full((1, *shape), -128, np.int8)
    shift, bias = np.full(3, 31, np.uint8), np.zeros(3, np.int8)
    refused = chain(shape, Linear(weight, bias, shift, over))
    assert fxsim.run(refused, x, "all", Engine.REFERENCE)["n0"].ravel().tolist() == [0, 1, 0]
    with pytest.raises(ModelError, match=r"^'n0', output 1: its sum with the rounding half may reach 2,147,483,648, "):
        fxsim.run(refused, x, "all", Engine.NUMBA)
    model = chain(shape, Linear(weight[[0, 2]], bias[:2], shift[:2], over))
    assert fxsim.run(model, x, "all", Engine.NUMBA)["n0"].ravel().tolist() == [0, 0]


@each_set
def test_compiled_affine_of_every_operand() -> None:
    """The compiled affine is exact for every value and weight under every shift from 0 to 255."""
    rng = np.random.default_rng(SEED)
    x = np.repeat(EVERY_INT8[:, None], 256, axis=1).astype(np.int8)[None]
    products = EVERY_INT8[:, None] * EVERY_INT8[None]
    for shift in range(256):
        bias = int8_from(rng, (256,), "full")
        model = chain((256, 256), Affine(EVERY_INT8.astype(np.int8), bias, np.full(256, shift, np.uint8)))
        # Beyond 2^40 products of 15 bits all round to 0.
        half = 2 ** min(shift, 40)
        expected = np.floor_divide(2 * products + half, 2 * half) + bias
        got = fxsim.run(model, x, "all", Engine.NUMBA)["n0"][0]
        np.testing.assert_array_equal(got, np.minimum(np.maximum(expected, -128), 127), f"shift {shift}")


@each_set
def test_compiled_add_and_relu_of_every_pair() -> None:
    """The compiled add saturates the exact sum of every pair of int8, and the compiled relu keeps what is positive."""
    # Weight 0 and bias c: the channel's number, whatever the input.
    number = Affine(np.zeros(256, np.int8), EVERY_INT8.astype(np.int8), np.zeros(256, np.uint8))
    model = chain((256, 256), number, Add(), Relu())
    x = np.repeat(EVERY_INT8[:, None], 256, axis=1).astype(np.int8)[None]
    got = fxsim.run(model, x, "all", Engine.NUMBA)
    total = EVERY_INT8[:, None] + EVERY_INT8[None]
    expected = np.where(total > 127, 127, np.where(total < -128, -128, total))
    np.testing.assert_array_equal(got["n1"][0], expected)
    np.testing.assert_array_equal(got["n2"][0], np.where(expected > 0, expected, 0))


@each_set
@pytest.mark.parametrize("rule", list(TableRule))
def test_compiled_tables_at_every_input(rule: TableRule) -> None:
    """The compiled lookup of a table of any format is the contract's formula at all 256 inputs."""
    rng = np.random.default_rng(SEED)
    for points in (256,) if rule is TableRule.FULL else TABLE_POINTS:
        table = int8_from(rng, (3, stored_points(points, rule)), "full")
        model = chain((256, 3), Lut(table, rule))
        x = np.repeat(EVERY_INT8[:, None], 3, axis=1).astype(np.int8)[None]
        got = fxsim.run(model, x, "all", Engine.NUMBA)["n0"][0]
        for c in range(3):
            expected = [oracle.interpolate(table[c].tolist(), rule, int(v)) for v in EVERY_INT8]
            assert got[:, c].tolist() == expected, f"{points} points, channel {c}"


@pytest.mark.parametrize("tokens", [1, 2, 64, 1024])
@each_engine
def test_pool_at_its_extremes(engine: Engine, tokens: int) -> None:
    """The pool of equal values is that value, and a half is rounded up, however many tokens there are."""
    model = chain((tokens, 256), Pool(tokens))
    same = np.repeat(EVERY_INT8[None], tokens, axis=0).astype(np.int8)[None]
    np.testing.assert_array_equal(fxsim.run(model, same, "all", engine)["n0"][0], EVERY_INT8)
    if tokens > 1:
        half = same.copy()
        half[0, : tokens // 2] = np.minimum(EVERY_INT8 + 1, 127)
        np.testing.assert_array_equal(fxsim.run(model, half, "all", engine)["n0"][0], np.minimum(EVERY_INT8 + 1, 127))


def test_default_widths_hold_the_extremes() -> None:
    """Affine 16, add 9 and pool 8 + t bits hold what int8 operands can give, and a bit fewer would not."""
    corners = np.array(INT8_CORNERS, np.int8)
    ones = np.ones(len(corners), np.uint8)
    widths = [(Affine(corners, corners, ones).acc_bits, 16, [128 * 128, -128 * 127]), (Add().acc_bits, 9, [-256, 254])]
    widths += [(Pool(2**t).acc_bits, 8 + t, [-128 * 2**t, 127 * 2**t]) for t in range(8)]
    for stated, expected, reached in widths:
        assert stated == expected
        assert all(-(2 ** (stated - 1)) <= v < 2 ** (stated - 1) for v in reached)
        assert not all(-(2 ** (stated - 2)) <= v < 2 ** (stated - 2) for v in reached)


def test_wider_accumulators_are_refused() -> None:
    """An accumulator above 62 bits cannot be stated; one above 32 is refused by the compiled engine, by name."""
    zero, shift = np.zeros(1, np.int8), np.zeros(1, np.uint8)
    for build in (
        lambda bits: Add(bits),
        lambda bits: Pool(4, bits),
        lambda bits: Affine(zero, zero, shift, bits),
        lambda bits: Linear(zero[None], zero, shift, acc_bits=bits),
    ):
        assert build(62).acc_bits == 62
        with pytest.raises(ModelError, match="63 bits, expected 2 to 62"):
            build(63)
        inputs = (INPUT,) * build(32).arity
        x = np.zeros((1, 4, 1), np.int8)
        expected = fxsim.run(Model(Graph((4, 1), (Node("a", build(32), inputs),)), "m"), x, engine="numba")
        wide = Model(Graph((4, 1), (Node("a", build(33), inputs),)), "m")
        with pytest.raises(ModelError, match="compiled engine takes accumulators of up to 32 bits, node 'a' states 33"):
            fxsim.run(wide, x, engine="numba")
        assert np.array_equal(fxsim.run(wide, x)["a"], expected["a"])


# --- What `run` promises -------------------------------------------------------------------------------------------


@each_engine
def test_an_image_does_not_depend_on_its_batch(small_model: Model, engine: Engine) -> None:
    """Each image gives the same alone, in a batch, and in the batch reversed."""
    x = stimulus(small_model, 19)
    batch = fxsim.run(small_model, x, "all", engine)
    backwards = fxsim.run(small_model, x[::-1], "all", engine)
    for i in range(len(x)):
        alone = fxsim.run(small_model, x[i : i + 1], "all", engine)
        for tap, values in batch.items():
            np.testing.assert_array_equal(alone[tap][0], values[i], tap)
            np.testing.assert_array_equal(backwards[tap][-1 - i], values[i], tap)


@pytest.mark.slow
@each_engine
@given(data=st.data())
@settings(max_examples=50)
def test_any_choice_of_taps_gives_the_same_values(engine: Engine, data: st.DataObject) -> None:
    """A tap's values do not depend on which others are asked for; taps come in the graph's order."""
    model = Model(data.draw(st.one_of(graphs(), woven_graphs(nodes_max=12))), "generated")
    x = data.draw(images(model, count_max=2))
    chosen = data.draw(st.lists(st.sampled_from(model.graph.taps), min_size=1, unique=True))
    everything = fxsim.run(model, x, "all", engine)
    assert list(everything) == list(model.graph.taps)
    in_order = [tap for tap in model.graph.taps if tap in chosen]
    assert_equal_taps(fxsim.run(model, x, chosen, engine), {tap: everything[tap] for tap in in_order})


@each_set
@pytest.mark.parametrize("count", [1, 31, 64, 65, 1000])
def test_the_number_of_threads_changes_nothing(small_model: Model, count: int) -> None:
    """Any number of threads gives the same values, more threads than there is work for included."""
    x = stimulus(small_model, count)
    expected = run_reference(small_model.graph, x, small_model.graph.taps)
    for threads in (1, 2, 3, 8):
        assert_equal_taps(compiled.run_compiled(small_model, x, small_model.graph.taps, threads), expected)


def _computing() -> set[int]:
    return {thread.ident or 0 for thread in threading.enumerate() if thread.name.startswith("fxsim-compute")}


def test_threads_are_kept(small_model: Model) -> None:
    """Runs one after the other, and side by side, share some threads, at most one a core, and wait for no other run."""
    x = np.random.default_rng(SEED).integers(-128, 128, (2000, *small_model.graph.input_shape)).astype(np.int8)
    taps = small_model.graph.taps
    expected = compiled.run_compiled(small_model, x, taps, 1)
    seen = set()
    for _ in range(8):
        assert_equal_taps(compiled.run_compiled(small_model, x, taps, 2), expected)
        seen |= _computing()
    assert 1 <= len(seen) <= (os.cpu_count() or 1)
    with ThreadPoolExecutor(6) as pool:
        for found in pool.map(lambda _: compiled.run_compiled(small_model, x, taps, 2), range(12)):
            assert_equal_taps(found, expected)
    assert len(_computing()) <= (os.cpu_count() or 1)


def test_what_a_kept_thread_raises_is_raised(small_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the run that it computes for, whichever thread it is; the next run computes as ever."""
    x = np.random.default_rng(SEED).integers(-128, 128, (2000, *small_model.graph.input_shape)).astype(np.int8)
    taps = small_model.graph.taps
    expected = compiled.run_compiled(small_model, x, taps, 2)
    worker = scheduling._Panels.worker
    caller = threading.get_ident()

    for fails_here in (True, False):
        begun = threading.Event()

        def broken(*given: Any, fails: bool = fails_here, begun: threading.Event = begun) -> Any:
            if (threading.get_ident() == caller) == fails:
                begun.set()
                raise MemoryError("no room")
            assert begun.wait(60)  # the other one has its part of the work
            return worker(*given)

        with monkeypatch.context() as patch:
            patch.setattr(scheduling._Panels, "worker", broken)
            with pytest.raises(MemoryError, match="no room"):
                compiled.run_compiled(small_model, x, taps, 2)
        assert_equal_taps(compiled.run_compiled(small_model, x, taps, 2), expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_computes(small_model: Model) -> None:
    """It has none of the threads that its parent kept, and makes its own."""
    x = np.random.default_rng(SEED).integers(-128, 128, (2000, *small_model.graph.input_shape)).astype(np.int8)
    expected = compiled.run_compiled(small_model, x, ("classifier",), 2)["classifier"]
    child = multiprocessing.get_context("fork").Process(target=_equal_here, args=(small_model, x, expected))
    child.start()
    child.join(120)
    assert child.exitcode == 0
    child.close()


def _equal_here(model: Model, x: Int8, expected: Int8) -> None:
    found = compiled.run_compiled(model, x, ("classifier",), 2)["classifier"]
    os._exit(0 if np.array_equal(found, expected) else 1)


@each_engine
def test_chunks_are_the_whole(small_model: Model, engine: Engine) -> None:
    """The chunks of a run follow each other without gap or overlap, and together are what `run` returns."""
    count = 2 * CHUNK_IMAGES[engine] + 1
    x = stimulus(small_model, count)
    whole = fxsim.run(small_model, x, "all", engine)
    done = 0
    for part, values in run_chunks(small_model, x, "all", engine):
        assert part.start == done
        for tap in whole:
            np.testing.assert_array_equal(values[tap], whole[tap][part], tap)
        done = part.stop
    assert done == count
    assert_equal_taps(whole, run_reference(small_model.graph, x, small_model.graph.taps))


@each_engine
def test_large_images_are_computed_in_small_chunks(
    small_model: Model, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk holds no more values than its bound, and one image where even that is more."""
    per_image = sum(math.prod(shape) for shape in small_model.graph.shapes.values())
    x = stimulus(small_model, 7)
    for bound, most in ((3 * per_image, 3), (3 * per_image - 1, 2), (1, 1)):
        monkeypatch.setattr(engines, "CHUNK_BYTES", bound)
        chunks = [part.stop - part.start for part, _ in run_chunks(small_model, x, "all", engine)]
        assert (max(chunks), sum(chunks)) == (most, 7)


@each_engine
def test_any_memory_layout_of_the_images(small_model: Model, engine: Engine, tmp_path: Path) -> None:
    """Read-only, strided, Fortran-ordered and memory-mapped images give what ordinary ones give."""
    x = stimulus(small_model, 5)
    expected = fxsim.run(small_model, x, "all", engine)
    read_only = x.copy()
    read_only.flags.writeable = False
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for form in (read_only, np.repeat(x, 2, axis=0)[::2], np.asfortranarray(x), mapped):
        assert_equal_taps(fxsim.run(small_model, form, "all", engine), expected)


@each_engine
def test_no_images_give_empty_taps(small_model: Model, engine: Engine) -> None:
    """A run over no images returns arrays of no images."""
    got = fxsim.run(small_model, stimulus(small_model, 0), "all", engine)
    assert {tap: values.shape for tap, values in got.items()} == {
        tap: (0, *small_model.graph.shapes[tap]) for tap in small_model.graph.taps
    }
    if engine is Engine.NUMBA:
        direct = compiled.run_compiled(small_model, stimulus(small_model, 0), small_model.graph.taps)
        assert_equal_taps(direct, got)


@each_engine
def test_memory_stays_flat(small_model: Model, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Computing ten times the images chunk by chunk takes no more memory at its peak."""
    # Scratch areas of several threads live together or one after the other, as it happens.
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 1)

    def peak(chunks: int) -> int:
        x = stimulus(small_model, chunks * CHUNK_IMAGES[engine])
        tracemalloc.start()
        for _ in run_chunks(small_model, x, "all", engine):
            pass
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(1)
    # The interpreter's own small objects come and go; one chunk of values is many times larger than this margin.
    assert peak(20) <= peak(2) + 16_384


@each_set
def test_memory_of_many_small_images(small_model: Model) -> None:
    """A hundred thousand images computed at once take no memory but that of their taps, and a thread's scratch area."""

    def peak(count: int) -> int:
        x = stimulus(small_model, count)
        tracemalloc.start()
        got = compiled.run_compiled(small_model, x, ("classifier",), threads=1)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        for part in (slice(0, 100), slice(count - 100, count)):
            expected = run_reference(small_model.graph, x[part], ("classifier",))
            np.testing.assert_array_equal(got["classifier"][part], expected["classifier"])
        return highest - got["classifier"].nbytes

    peak(1000)
    assert peak(100_000) <= peak(1000) + 16_384


@each_set
@pytest.mark.parametrize("shape", [(16, 12), (3, 5), (65, 17), (1, 1)])
def test_what_an_earlier_run_left_in_memory_changes_nothing(shape: tuple[int, int]) -> None:
    """A thread works in the space of its last run: whatever is in it, every tap is what the reference engine gives."""
    rng = np.random.default_rng(SEED)
    tokens, channels = shape

    def linear(outputs: int, inputs: int, over: Axis) -> Linear:
        weight = int8_from(rng, (outputs, inputs), "full")
        return Linear(weight, int8_from(rng, (outputs,), "full"), np.full(outputs, 8, np.uint8), over)

    ops = (
        linear(7, channels, Axis.CHANNELS), linear(tokens, tokens, Axis.TOKENS), Relu(),
        linear(channels, 7, Axis.CHANNELS), Add(),
    )  # fmt: skip
    model = chain(shape, *ops)
    x = stimulus(model, 11)
    expected = run_reference(model.graph, x, model.graph.taps)
    scheduling._rooms.__dict__.pop("whole", None)
    assert_equal_taps(compiled.run_compiled(model, x, model.graph.taps, threads=1), expected)
    room = scheduling._rooms.whole
    for fill in (0, 255, rng.integers(0, 256, room.size)):
        room[:] = fill
        for count in (1, 11):
            got = compiled.run_compiled(model, x[:count], model.graph.taps, threads=1)
            assert_equal_taps(got, {tap: values[:count] for tap, values in expected.items()})
    assert scheduling._rooms.whole is room


def test_a_thread_keeps_little_space() -> None:
    """Parts of the space that a thread keeps are aligned and lie apart; it is its own, and of at most a mebibyte."""
    scheduling._rooms.__dict__.pop("whole", None)
    first = scheduling._room((100, 1, 64))
    assert [part.size for part in first] == [100, 1, 64]
    assert all(part.ctypes.data % 64 == 0 for part in first)
    for one, next_one in pairwise(first):
        assert next_one.ctypes.data >= one.ctypes.data + one.size + 64
    again = scheduling._room((100, 1, 64))
    assert [part.ctypes.data for part in again] == [part.ctypes.data for part in first]
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(scheduling._room, (100, 1, 64)).result()
    assert not any(np.shares_memory(one, two) for one in first for two in other)
    large = scheduling._room((2 << 20,))
    assert not np.shares_memory(large[0], scheduling._rooms.whole)
    assert scheduling._rooms.whole.size <= 1 << 20
    scheduling._rooms.__dict__.pop("whole")
    scheduling._room((2 << 20,))
    assert not hasattr(scheduling._rooms, "whole")


@each_set
def test_parameters_are_dropped_with_their_model() -> None:
    """What the compiled engine keeps of a model goes when the model does."""
    model = random_resmlp(np.random.default_rng(SEED), SMALL)
    gc.collect()
    before = len(scheduling._by_graph)
    fxsim.run(model, stimulus(model, 1), engine=Engine.NUMBA)
    assert len(scheduling._by_graph) == before + 1
    del model
    gc.collect()
    assert len(scheduling._by_graph) == before


# --- Lowering --------------------------------------------------------------------------------------------------------


def test_steps_take_in_what_nothing_else_reads() -> None:
    """Asked for its scores alone, a network's block is three steps, and so is each block of another activation."""
    for points, rule in ((16, TableRule.HOLD), (0, None)):
        graph = random_resmlp(np.random.default_rng(SEED), replace(SMALL, points=points, rule=rule)).graph
        fused = program.fuse(graph, (graph.output,))
        steps = [[name.rpartition("blocks.")[2] for name in names_of(step)] for step in fused]
        mixer = [f"token_mixer.{name}" for name in ("affine_1", "linear", "affine_2", "res_affine", "add")]
        first = ["mlp.psa_1", "mlp.linear_1", "mlp.psa_2"] if rule else ["mlp.linear_1", "mlp.relu"]
        block = [mixer, first, ["mlp.linear_2", "mlp.res_affine", "mlp.add"]]
        blocks = [[f"{i}.{name}" for name in names] for i in range(2) for names in block]
        assert steps == [["embed"], *blocks, ["pool"], ["classifier"]]


def names_of(step: program.Step) -> list[str]:
    """The names of a step's nodes."""
    return [node.name for node in step.nodes]


@pytest.mark.slow
@given(data=st.data())
def test_every_needed_node_is_in_one_step(data: st.DataObject) -> None:
    """Each node that taps need is in one step, whose inputs are there before it; every tap is a step's result."""
    graph = data.draw(woven_graphs(nodes_max=16))
    taps = tuple(data.draw(st.lists(st.sampled_from(graph.taps), min_size=1, unique=True)))
    needed = set(taps)
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    steps = program.fuse(graph, taps)
    assert sorted(name for step in steps for name in names_of(step)) == sorted(needed - {INPUT})
    there = {INPUT}
    for step in steps:
        assert there.issuperset(step.inputs)
        there.add(step.name)
    assert there.issuperset(taps)
    everything = program.fuse(graph, graph.taps)
    assert [names_of(step) for step in everything] == [[name] for name in graph.taps]


@each_set
def test_programs_are_kept_and_do_not_pile_up(small_model: Model) -> None:
    """A number of images met before is not lowered again; of many, the latest are kept. Values are the same."""
    model = Model(Graph(small_model.graph.input_shape, small_model.graph.nodes), "other")
    x = stimulus(model, 40)
    expected = run_reference(model.graph, x, model.graph.taps)
    for count in [*range(1, 40), *range(1, 40)]:
        got = compiled.run_compiled(model, x[:count], model.graph.taps)
        assert_equal_taps(got, {name: values[:count] for name, values in expected.items()})
    kept = scheduling._lowered(model.graph, compiled.instruction_set()).programs
    assert len(kept) == 16
    program = kept[(model.graph.taps, 39)]
    compiled.run_compiled(model, x[:39], model.graph.taps)
    assert kept[(model.graph.taps, 39)] is program


def test_memory_of_results_is_taken_again_only_when_nothing_refers_to_it(small_model: Model) -> None:
    """Results live on while any part of them does; after that their memory serves later results."""
    count = 2 * (1 << 20) // small_model.graph.values_per_image
    x = stimulus(small_model, count)
    expected = run_reference(small_model.graph, x, small_model.graph.taps)
    # Whatever compiling or an earlier test left in circles of references is gone before anything is counted.
    compiled.run_compiled(small_model, x[:1], small_model.graph.taps)
    gc.collect()
    scheduling._spare.clear()
    first = compiled.run_compiled(small_model, x, small_model.graph.taps)
    part = first["embed"][5:7, 1:]
    place = first["embed"].ctypes.data
    del first
    gc.collect()
    assert not scheduling._spare
    second = compiled.run_compiled(small_model, np.roll(x, 1, axis=0), small_model.graph.taps)
    np.testing.assert_array_equal(part, expected["embed"][5:7, 1:])
    assert_equal_taps(second, {name: np.roll(values, 1, axis=0) for name, values in expected.items()})
    del part
    gc.collect()
    assert len(scheduling._spare) == 1
    third = compiled.run_compiled(small_model, x, small_model.graph.taps)
    assert not scheduling._spare
    assert third["embed"].ctypes.data == place
    assert_equal_taps(third, expected)
    fourth = compiled.run_compiled(small_model, x[: count // 4], small_model.graph.taps)
    assert_equal_taps(fourth, {name: values[: count // 4] for name, values in expected.items()})
    assert_equal_taps(third, expected)


@pytest.mark.slow
def test_runs_side_by_side_share_no_memory(small_model: Model) -> None:
    """Threads that run one model at once, each other images and numbers of them, get each its own values."""
    least = 2 * (1 << 20) // small_model.graph.values_per_image
    x = stimulus(small_model, least + 40)
    expected = run_reference(small_model.graph, x, small_model.graph.taps)

    def compute(start: int) -> None:
        for _ in range(5):
            got = compiled.run_compiled(small_model, x[start:], small_model.graph.taps, threads=1)
            assert_equal_taps(got, {name: values[start:] for name, values in expected.items()})
            del got

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(compute, start) for start in range(40)]:
            done.result()


@each_set
def test_profile_counts_every_step(small_model: Model) -> None:
    """A profile has every step of the program once, each with its nodes, then taking the images and writing taps."""
    x = stimulus(small_model, 200)
    graph = small_model.graph
    times = compiled.profile_compiled(small_model, x, graph.taps)
    assert [time.nodes for time in times] == [*((name,) for name in graph.taps), ("read",), ("write",)]
    assert all(time.seconds > 0 for time in times)
    assert {time.operator for time in times} == {
        "linear over channels",
        "linear over tokens",
        "functions and sums of values",
        "pool",
        "taking the images",
        "writing the taps",
    }


@each_engine
def test_bad_arguments_are_named(small_model: Model, engine: Engine) -> None:
    """Images of the wrong type or shape, unknown taps and no taps are refused, saying what was expected."""
    x = stimulus(small_model, 2)
    with pytest.raises(StimulusError, match="type int16, expected int8"):
        fxsim.run(small_model, x.astype(np.int16), engine=engine)
    with pytest.raises(StimulusError, match=r"shape \(2, 8, 5\), expected \(images, 8, 6\)"):
        fxsim.run(small_model, x[:, :, :5], engine=engine)
    with pytest.raises(StimulusError, match=r"shape \(8, 6\), expected \(images, 8, 6\)"):
        fxsim.run(small_model, x[0], engine=engine)
    with pytest.raises(StimulusError, match="no tap 'head'; it has: embed, "):
        fxsim.run(small_model, x, ["embed", "head"], engine)
    with pytest.raises(StimulusError, match="no tap was named"):
        fxsim.run(small_model, x, [], engine)


def test_unknown_engine_is_named(small_model: Model) -> None:
    """An engine that does not exist is refused with the list of those that do."""
    with pytest.raises(StimulusError, match="no engine 'torch'; there are: auto, reference, compiled, numba"):
        fxsim.run(small_model, stimulus(small_model, 1), engine="torch")


def test_the_compiled_engine_has_two_names(small_model: Model) -> None:
    """`compiled` and `numba` are one engine, in Python and in plans; records state the second."""
    assert Engine("compiled") is Engine("numba") is Engine.COMPILED
    assert str(Engine.COMPILED) == "numba"
    assert msgspec.json.decode(b'["compiled", "numba"]', type=tuple[Engine, ...]) == (Engine.NUMBA,) * 2
    x = stimulus(small_model, 3)
    expected = fxsim.run(small_model, x, engine="numba")
    assert_equal_taps(fxsim.run(small_model, x, engine="compiled"), expected)


def test_auto_is_the_compiled_engine(small_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` computes with the compiled engine."""
    calls = []

    def spy(model: Model, x: Int8, taps: tuple[str, ...]) -> dict[str, Int8]:
        calls.append(len(x))
        return run_reference(model.graph, x, taps)

    monkeypatch.setattr(compiled, "run_compiled", spy)
    fxsim.run(small_model, stimulus(small_model, 3))
    assert calls == [3]


@each_set
def test_a_result_that_nothing_reads_frees_its_own_place_only() -> None:
    """Behind a tap that nothing asked for reads, a later node still reads the model's input as it was given."""
    double = Affine(np.full(3, 2, np.int8), np.zeros(3, np.int8), np.zeros(3, np.uint8))
    nodes = (
        Node("leaf", Relu(), (INPUT,)),
        Node("double", double, (INPUT,)),
        Node("sum", Add(), ("double", INPUT)),
        Node("unasked", Add(), ("leaf", "sum")),
    )
    model = Model(Graph((2, 3), nodes), "leaf")
    x = np.array([[[1, -2, 3], [-4, 5, -6]]], np.int8)
    got = fxsim.run(model, x, ("leaf", "sum"), Engine.NUMBA)
    np.testing.assert_array_equal(got["sum"], 3 * x)
    np.testing.assert_array_equal(got["leaf"], np.maximum(x, 0))


@pytest.mark.parametrize("table", [LOOPS, program.LOWER])
def test_every_operator_has_a_row(table: OperatorTable[object]) -> None:
    """The tables of the plain loops and of the compiled engine have every kind of operator, and no other."""
    assert table.rows.keys() == set(OPERATORS.values())


def test_an_operator_that_is_not_taken_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An operator without a lowering is refused with node and reason; by itself the reference engine computes it."""
    model = chain((2, 3), Relu(), Add())
    x = stimulus(model, 3)
    for row, reason in ((NotTaken("as it is Sunday"), "as it is Sunday"), (None, "because nothing states how")):
        other = Model(Graph((2, 3), model.graph.nodes), "other")
        with monkeypatch.context() as patch:
            if row is None:
                patch.delitem(program.LOWER.rows, Add)
            else:
                patch.setitem(program.LOWER.rows, Add, row)
            message = f"node 'n1': the compiled engine does not take the operator 'add', {reason}"
            with pytest.raises(ModelError, match=f"^{message}$"):
                fxsim.run(other, x, engine=Engine.NUMBA)
            caplog.clear()
            caplog.set_level("INFO", "fxsim")
            found = fxsim.run(other, x, "all")
        assert caplog.messages == [f"the reference engine computes model 'other': {message}"]
        assert_equal_taps(found, run_reference(model.graph, x, model.graph.taps))


ONES, SHIFTS = np.ones(3, np.int8), np.ones(3, np.uint8)
TAKEN = Tensor(("token", "channel"), (2, 3))


@pytest.mark.parametrize(
    ("tensor", "op", "message"),
    [
        (replace(TAKEN, number=Number(8, Sign.UNSIGNED)), Relu(), "the graph's input is uint8"),
        (replace(TAKEN, number=Number(4)), Relu(), "the graph's input is int4"),
        (Tensor(("row", "token", "channel"), (4, 2, 3)), Relu(), "the graph's input is int8 .4 rows"),
        (TAKEN, Affine(ONES, ONES, SHIFTS, out=Number(6)), "node 'y' gives int6"),
        (TAKEN, Affine(ONES, ONES, SHIFTS, 33), "node 'y' states 33"),
    ],
)
def test_other_formats_are_refused_by_name(tensor: Tensor, op: Operator, message: str) -> None:
    """Tensors of another format or other axes, and wider sums, are refused; by itself the reference engine computes."""
    model = Model(Graph(tensor, (Node("y", op, (INPUT,)),)), "format")
    x = np.ones((2, *tensor.shape), tensor.number.dtype)
    with pytest.raises(ModelError, match=f"^the compiled engine takes .*{message}"):
        fxsim.run(model, x, engine=Engine.NUMBA)
    np.testing.assert_array_equal(fxsim.run(model, x)["y"], run_reference(model.graph, x, ("y",))["y"])


@each_set
@pytest.mark.parametrize("bits", [2, 3, 5, 8])
def test_narrow_weights(bits: int) -> None:
    """Weights of fewer bits than 8 are computed as they are, over channels, over tokens and in affines."""
    rng = np.random.default_rng(SEED)
    number = Number(bits)

    def draw(*shape: int) -> Int8:
        return rng.integers(number.low, number.high + 1, shape).astype(np.int8)

    shift, bias = np.full(5, 3, np.uint8), int8_from(rng, (5,), "full")
    ops = (
        Linear(draw(5, 7), bias, shift, weight_number=number),
        Linear(draw(5, 6), bias, shift, Axis.TOKENS, weight_number=number),
        Affine(draw(5), bias, shift, weight_number=number),
    )
    model = chain((6, 7), *ops)
    x = stimulus(model, 5)
    assert_equal_taps(fxsim.run(model, x, "all", Engine.NUMBA), run_reference(model.graph, x, model.graph.taps))


# --- Instruction sets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("features", "names"),
    [
        ({}, ["plain"]),
        ({"avx2": True}, ["avx2", "plain"]),
        ({"ssse3": True}, ["ssse3", "plain"]),
        ({"ssse3": True, "avx2": True}, ["avx2", "ssse3", "plain"]),
        ({"avx2": False, "avx512f": True}, ["plain"]),
        ({"avx2": True, "avxvnni": True}, ["avxvnni", "avx2", "plain"]),
        (dict.fromkeys(("avx2", "avx512f", "avx512bw", "avx512vl"), True), ["avx2", "plain"]),
        (dict.fromkeys(("avx2", "avx512f", "avx512vl", "avx512vnni"), True), ["avxvnni", "avx2", "plain"]),
        (
            dict.fromkeys(("ssse3", "avx2", "avx512f", "avx512bw", "avx512vl", "avx512vnni", "avx512vbmi"), True),
            ["avx512", "avxvnni", "avx2", "ssse3", "plain"],
        ),
    ],
)
def test_the_fastest_instruction_set_that_is_there(
    features: dict[str, bool], names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instruction sets are those whose every part the processor has, and the first of them is used."""
    monkeypatch.setattr(llvmlite.binding, "get_host_cpu_features", lambda: FeatureMap(features))
    monkeypatch.setattr(numba.config, "CPU_FEATURES", None)
    assert [kind.name for kind in compiled.instruction_sets()] == names
    assert compiled.instruction_set().name == names[0]
    monkeypatch.setattr(numba.config, "ENABLE_AVX", 0)
    without = [name for name in names if not name.startswith("avx")]
    assert [kind.name for kind in compiled.instruction_sets()] == without
    # As Numba is told to generate code for them, whatever the processor has.
    monkeypatch.setattr(llvmlite.binding, "get_host_cpu_features", FeatureMap)
    stated = ",".join(("+" if there else "-") + name for name, there in features.items())
    monkeypatch.setattr(numba.config, "CPU_FEATURES", stated)
    assert [kind.name for kind in compiled.instruction_sets()] == names


def test_a_missing_instruction_set_is_named(small_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that the processor lacks, or that does not exist, is refused with those that there are, forced either way."""
    x = stimulus(small_model, 1)
    monkeypatch.setattr(isa_module, "instruction_sets", lambda: (compiled.ISAS["avx2"], compiled.ISAS["plain"]))
    for name in ("avx512", "neon"):
        message = f"^instruction set '{name}' cannot run here, expected one of: avx2, plain$"
        with pytest.raises(StimulusError, match=message):
            compiled.run_compiled(small_model, x, ("classifier",), isa=name)
        with monkeypatch.context() as patch:
            patch.setenv("FXSIM_ISA", name)
            with pytest.raises(StimulusError, match=message):
                fxsim.run(small_model, x)
            assert compiled.instruction_set("plain").name == "plain"


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("forced", ["argument", "variable"])
def test_the_named_instruction_set_computes(
    small_model: Model, name: str, forced: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The instruction set named by the argument, or else by FXSIM_ISA, is the one whose code runs."""
    used = []

    def spy(kind: compiled.Isa) -> Callable[..., None]:
        used.append(kind.name)
        return compute_function(kind)

    compute_function = compiled.compute_function
    monkeypatch.setattr(scheduling, "compute_function", spy)
    x = stimulus(small_model, 3)
    monkeypatch.setenv("FXSIM_ISA", name if forced == "variable" else "neon")
    got = compiled.run_compiled(small_model, x, ("classifier",), isa=name if forced == "argument" else None)
    assert used == [name]
    assert_equal_taps(got, run_reference(small_model.graph, x, ("classifier",)))


# --- The cache of machine code -------------------------------------------------------------------------------------

CHECK = """
import sys
import numpy as np
from fxsim.engines import compiled, run_reference
from fxsim.graph import Graph, Model, Node
from fxsim.operators import Affine, Axis, Linear
rng = np.random.default_rng(1)
weight = rng.integers(-128, 128, (5, 7)).astype(np.int8)
op = Linear(weight, weight[:, 0], np.arange(5, dtype=np.uint8) + 6)
model = Model(Graph((3, 7), (Node("y", op, ("input",)),)), "check")
x = rng.integers(-128, 128, (20, 3, 7)).astype(np.int8)
for name in sys.argv[1:]:
    assert (compiled.run_compiled(model, x, ("y",), isa=name)["y"] == run_reference(model.graph, x, ("y",))["y"]).all()
    print(name, sum(compiled.compute_function(compiled.instruction_set(name)).stats.cache_hits.values()))
"""


def run_check(*names: str, **environment: str) -> list[str]:
    """Run the check above for some instruction sets in a process of its own; each with how often it was cached."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK, *names],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.thorough  # compiles three times; what is done with a cache's files is seen below without
def test_machine_code_is_cached_between_processes(tmp_path: Path) -> None:
    """A later process finds the machine code of earlier ones, each of another set; with a changed byte, compiles again.

    Sets that were compiled in different processes compute side by side in one.
    """
    cache = str(tmp_path)
    names = sorted({SETS[0], SETS[-1]})
    for name in names:
        assert run_check(name, FXSIM_CACHE=cache) == [f"{name} 0"]
    assert len(list(tmp_path.rglob("*.nbc"))) == len(names)
    assert run_check(*names, FXSIM_CACHE=cache) == [f"{name} 1" for name in names]
    code = min(tmp_path.rglob("*.nbc"), key=lambda path: path.stat().st_size)
    data = bytearray(code.read_bytes())
    data[len(data) // 2] ^= 0x55
    code.write_bytes(data)
    hits = [line.split()[1] for line in run_check(*names, FXSIM_CACHE=cache)]
    assert sorted(hits) == ["0", *["1"] * (len(names) - 1)]


Damage = Callable[[Path], object]


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "part" / "index.nbi").write_bytes(b"indeX"),
        lambda folder: (folder / "part" / "code.nbc").write_bytes(b""),
        lambda folder: (folder / "part" / "code.nbc").unlink(),
        lambda folder: (folder / "part" / "other.nbc").write_bytes(b"more"),
        lambda folder: (folder / "sha256.json").write_bytes(b"{"),
        lambda folder: (folder / "sha256.json").unlink(),
    ],
)
def test_whatever_is_wrong_with_the_cache_empties_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Damage
) -> None:
    """Numba is given the cache's files only if all are there and as they were put there, else an empty folder."""
    seen: list[list[str]] = []

    def compiles(*_: object, cached: bool) -> Callable[..., None]:
        assert cached
        seen.append(sorted(path.name for path in tmp_path.rglob("*.nb?")))
        (tmp_path / "part").mkdir(exist_ok=True)
        (tmp_path / "part" / "index.nbi").write_bytes(b"index")
        (tmp_path / "part" / "code.nbc").write_bytes(b"code")
        return print

    monkeypatch.setattr(jit, "_compile", compiles)
    jit._compile_cached(print, None, tmp_path)
    jit._compile_cached(print, None, tmp_path)
    damage(tmp_path)
    jit._compile_cached(print, None, tmp_path)
    jit._compile_cached(print, None, tmp_path)
    both = ["code.nbc", "index.nbi"]
    assert seen == [[], both, [], both]


def test_full_disk_only_costs_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the cache folder takes an empty file but not the machine code, it is compiled without the cache."""
    asked = []

    def full(*_: object, cached: bool) -> Callable[..., None]:
        asked.append(cached)
        if cached:
            raise OSError(28, "No space left on device")
        return print

    monkeypatch.setenv("FXSIM_CACHE", str(tmp_path))
    monkeypatch.setattr(jit, "_compile", full)
    # Past the memory of this process, whose own function stays.
    assert compiled.compute_function.__wrapped__(compiled.ISAS["plain"]) is print
    assert asked == [True, False]


ASSEMBLE = """
import sys
from fxsim import jit
from fxsim.engines import compiled
from fxsim.engines.compiled.run import _compute_pixels_function
jit._can_write = lambda folder: False
which = {"panels": compiled.compute_function, "pixels": _compute_pixels_function}[sys.argv[1]]
print(compiled.instruction_set().name, *which(compiled.instruction_set()).inspect_asm().values())
"""


def assemble(which: str, cpu: str, features: str) -> tuple[str, str]:
    """The instruction set that is used where Numba generates code for such a CPU, and the engine's code for it."""
    environment = {**os.environ, "NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features}
    command = [sys.executable, "-c", ASSEMBLE, which]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    name, code = done.stdout.split(maxsplit=1)
    return name, code


@pytest.mark.thorough
def test_code_for_a_processor_with_avx_vnni_alone() -> None:
    """For such a CPU its own encoding of products is generated, and no register that it has not."""
    name, code = assemble("panels", "x86-64", "+avx2,+avx,+sse4.2,+sse4.1,+ssse3,+sse3,+popcnt,+avxvnni")
    assert name == "avxvnni"
    assert code.count("{vex}\tvpdpbusd") > 20
    assert "vpdpbusd" not in code.replace("{vex}\tvpdpbusd", "")
    assert not re.search(r"%zmm|%[xy]mm(1[6-9]|2\d|3\d)|%k[0-7]", code)


# What SSSE3 does not have: every instruction of AVX starts with v, and none of the older ones that are generated does.
BEYOND_SSSE3 = re.compile(
    r"%[yz]mm|%xmm(1[6-9]|2\d|3\d)|%k[0-7]|^\s+(v\w+|pblend\w+|blend\w+|pmulld|pmuldq|pm(in|ax)(sb|sd|uw|ud)|"
    r"pmov[sz]x\w+|ptest|p(extr|insr)[bdq]|packusdw|pcmp(eqq|gtq|[ei]str\w)|round[ps][sd]|dpp[sd]|mpsadbw|insertps|"
    r"extractps|movntdqa|phminposuw|crc32\w|popcnt\w?|[lt]zcnt\w?)\b",
    re.MULTILINE,
)


@pytest.mark.thorough
@pytest.mark.skipif("ssse3" not in SETS, reason="this processor is no x86 with SSSE3")
@pytest.mark.parametrize(("which", "products"), [("panels", "pmaddubsw"), ("pixels", "pshufb")])
def test_code_for_a_processor_with_ssse3_alone(which: str, products: str) -> None:
    """As the lesser host of that name generates it: byte products and lookups, and nothing that came after SSSE3."""
    host = LESSER["ssse3"]
    name, code = assemble(which, host.cpu, host.features)
    assert name == "ssse3"
    assert len(re.findall(rf"^\s+{products}\b", code, re.MULTILINE)) >= 16
    assert [line for line in code.splitlines() if BEYOND_SSSE3.search(line)] == []
    # The pattern sees what newer processors are given.
    assert BEYOND_SSSE3.search("\tvpaddw\t%xmm1, %xmm2, %xmm3")
    assert BEYOND_SSSE3.search("\tpblendvb\t%xmm0, %xmm1, %xmm2")


def test_record_types_are_not_compiled() -> None:
    """Numba cannot tell the code of record types of different processes apart, so none is ever cached."""
    record = numba.typeof(np.empty(0, np.dtype([("plain", np.uint8)])))
    with pytest.raises(AssertionError, match="record types"):
        jit.compile_function(lambda _: None, numba.types.void(record))


def test_compiling_is_announced_when_it_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A line says that something is compiled, and how often that will happen; what is cached says nothing."""

    def compiles(*_: object, cached: bool) -> Callable[..., None]:
        if cached:
            (next((tmp_path / "numba").glob("*/")) / "code.nbc").write_bytes(b"code")
        return print

    caplog.set_level("INFO", "fxsim")
    monkeypatch.setattr(jit, "_compile", compiles)
    monkeypatch.setenv("FXSIM_CACHE", str(tmp_path))
    for _ in range(2):
        compiled.compute_function.__wrapped__(compiled.ISAS["plain"])
    assert caplog.messages == ["compiling the engine for plain (some seconds, once on this machine)"]
    caplog.clear()
    (tmp_path / "file").touch()
    monkeypatch.setenv("FXSIM_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        compiled.compute_function.__wrapped__(compiled.ISAS["plain"])
    assert len(caplog.messages) == 2
    assert all("for plain (each time, as nothing can be written to " in message for message in caplog.messages)


@pytest.mark.thorough
def test_other_processors_and_no_cache(tmp_path: Path) -> None:
    """Code for a processor without vector extensions gives the same, where the cache cannot be written too."""
    blocked = tmp_path / "file"
    blocked.touch()
    environment = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""}
    assert run_check("plain", FXSIM_CACHE=str(blocked), **environment) == ["plain 0"]


def test_cache_is_keyed_by_source_types_and_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another source text, function or type, another compiler never find this one's machine code."""

    def key(function: Callable[..., None] = kernel.compute, signature: object = "int8") -> str:
        return jit._cache_key(function, signature)

    keys = {key(), key(isa_module.isa_of), key(signature="int16")}
    folder = Path(kernel.__file__).parent
    for name in ("kernel.py", "vectors.py"):
        changed = tmp_path / name / "compiled"
        shutil.copytree(folder, changed, ignore=shutil.ignore_patterns("__pycache__"))
        (changed / name).write_bytes((folder / name).read_bytes() + b"\n")
        with monkeypatch.context() as patch:
            patch.setattr(jit.inspect, "getfile", lambda _, changed=changed: str(changed / "kernel.py"))
            keys.add(key())
    for module in (jit.numba, jit.llvmlite):
        with monkeypatch.context() as patch:
            patch.setattr(module, "__version__", "0.0.0")
            keys.add(key())
    assert len(keys) == 7
    assert key() in keys
