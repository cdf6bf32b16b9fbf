"""The plain loops, a further form of the contract: held to the reference and to the compiled engine, value by value."""

import math
import os
import subprocess
import sys
from fractions import Fraction
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fxsim
from fxsim.benchmark.hosts import LESSER
from fxsim.contract import (
    RANGED,
    TABLE_POINTS,
    Number,
    TableRule,
    Tensor,
    bias_number,
    legal_points,
    stored_points,
)
from fxsim.engines import run_reference
from fxsim.engines.compiled import instruction_sets, run_compiled
from fxsim.engines.loops import run_loops
from fxsim.families import ResMLPConfig
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Pool, Relu
from fxsim.paths import golden_dir
from tests import oracle
from tests.conftest import ROOT, SEED
from tests.strategies import graphs, images, resmlp_models, woven_graphs
from tests.test_engines import assert_equal_taps, chain, mixed, random_resmlp, stimulus

GOLDEN = ("psa_h96", "relu_h192", "b_spline_h96", "digits_small", "small", "small_relu")
any_graph = st.one_of(graphs(), woven_graphs(), resmlp_models().map(lambda model: model.graph))


@pytest.mark.slow
@pytest.mark.parametrize("name", GOLDEN)
def test_loops_equal_the_reference_and_the_compiled_engine_on_golden_models(name: str) -> None:
    """At every tap of a golden model, on natural and on random images, all three engines give the same."""
    model = fxsim.load(golden_dir() / f"{name}.safetensors")
    natural = [x for path in golden_dir().glob("*.npy") if (x := np.load(path)).shape[1:] == model.graph.input_shape]
    x = np.concatenate([*(images[:5] for images in natural), stimulus(model, 4)])
    assert len(x) == 9
    found = run_loops(model, x, model.graph.taps)
    assert_equal_taps(found, run_reference(model.graph, x, model.graph.taps))
    assert_equal_taps(found, run_compiled(model, x, model.graph.taps))


@pytest.mark.slow
@given(data=st.data())
def test_loops_agree_with_exact_arithmetic(data: st.DataObject) -> None:
    """At every tap of any graph they give what exact fractions give."""
    model = Model(data.draw(any_graph), "generated")
    x = data.draw(images(model, count_max=2))
    found = run_loops(model, x, model.graph.taps)
    for i, image in enumerate(x):
        for tap, expected in oracle.compute(model.graph, image).items():
            np.testing.assert_array_equal(found[tap][i], expected, f"image {i}, {tap}")


@pytest.mark.slow
@given(data=st.data())
def test_loops_equal_the_reference_on_larger_graphs(data: st.DataObject) -> None:
    """They and the reference give the same at every tap of graphs of larger dimensions."""
    model = Model(data.draw(graphs(nodes_max=5, dimension_max=130)), "generated")
    x = data.draw(images(model, count_max=20))
    assert_equal_taps(run_loops(model, x, model.graph.taps), run_reference(model.graph, x, model.graph.taps))


@pytest.mark.slow
@given(data=st.data())
def test_loops_equal_the_compiled_engine(data: st.DataObject) -> None:
    """They and the fast kernels of each instruction set give the same at every tap of any graph."""
    model = Model(data.draw(any_graph), "generated")
    x = data.draw(images(model, count_max=20))
    isa = data.draw(st.sampled_from([kind.name for kind in instruction_sets()]))
    assert_equal_taps(run_loops(model, x, model.graph.taps), run_compiled(model, x, model.graph.taps, isa=isa))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("rule", [None, *TableRule])
def test_loops_at_the_published_dimensions(rule: TableRule | None, threads: int) -> None:
    """Models as large as the published ones, any number of threads, more images than one part."""
    points = 0 if rule is None else 256 if rule is TableRule.FULL else 64
    model = random_resmlp(np.random.default_rng(SEED), ResMLPConfig(64, 48, 96, 96, 1, 10, points, rule))
    x = stimulus(model, 19)
    found = run_loops(model, x, model.graph.taps, threads)
    assert_equal_taps(found, run_reference(model.graph, x, model.graph.taps))


def test_loops_take_sums_of_all_bits() -> None:
    """A sum that with its rounding half needs more than 32 bits, and shifts of 31 and more, are the contract's."""
    weight = np.full((2, 65536), -128, np.int8)
    shift = np.array([31, 255], np.uint8)
    model = chain((1, 65536), Linear(weight, np.array([3, -3], np.int8), shift))
    x = np.full((1, 1, 65536), -128, np.int8)
    found = run_loops(model, x, model.graph.taps)
    assert_equal_taps(found, run_reference(model.graph, x, model.graph.taps))
    assert found["n0"].tolist() == [[[4, -3]]]  # 2^30 is half of 2^31, and rounds up


def test_loops_compute_only_what_taps_need() -> None:
    """Taps come in the order asked for, each alone the same as among all; no images give empty arrays."""
    model = mixed(np.random.default_rng(SEED), 20, 17)
    x = stimulus(model, 11)
    every = run_loops(model, x, model.graph.taps)
    for tap in model.graph.taps:
        np.testing.assert_array_equal(run_loops(model, x, (tap,))[tap], every[tap])
    backwards = model.graph.taps[::-1]
    assert list(run_loops(model, x, backwards)) == list(backwards)
    empty = run_loops(model, x[:0], model.graph.taps)
    assert {tap: values.shape for tap, values in empty.items()} == {
        tap: (0, *model.graph.shapes[tap]) for tap in model.graph.taps
    }


def test_loops_on_other_processors() -> None:
    """Compiled for a processor without vector extensions, as benchmarks do, they give the same values."""
    script = (
        "import numpy as np, fxsim; from fxsim.engines import loops, run_reference\n"
        "from fxsim.paths import golden_dir\n"
        "m = fxsim.load(golden_dir() / 'small.safetensors'); x = np.load(golden_dir() / 'images_16x12.npy')[:3]\n"
        "a, b = loops.run_loops(m, x, m.graph.taps), run_reference(m.graph, x, m.graph.taps)\n"
        "print(all((a[t] == b[t]).all() for t in b))"
    )
    told = {"NUMBA_CPU_NAME": LESSER["sse2"].cpu, "NUMBA_CPU_FEATURES": LESSER["sse2"].features}
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | told, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True\n"


@pytest.mark.parametrize("over", list(Axis))
def test_loops_give_every_sum_under_every_shift(over: Axis) -> None:
    """A linear of one input is what exact fractions give, for every input, extreme weights, shifts and biases."""
    pairs = list(product((0, 1, 7, 8, 15, 16, 31, 32, 33, 63, 64, 255), (-128, -1, 0, 127)))
    shift, bias = np.array([s for s, _ in pairs], np.uint8), np.array([b for _, b in pairs], np.int8)
    x = np.arange(-128, 128, dtype=np.int8)
    for weight in (-128, -1, 1, 127):
        op = Linear(np.full((len(pairs), 1), weight, np.int8), bias, shift, over)
        # Values are tokens of one image where the sum is over channels, and channels where it is over tokens.
        model = chain((256, 1) if over is Axis.CHANNELS else (1, 256), op)
        got = run_loops(model, x.reshape(1, *model.graph.input_shape), ("n0",))["n0"][0]
        expected = [[oracle.requantise(int(v) * weight, s, b) for s, b in pairs] for v in x]
        assert (got if over is Axis.CHANNELS else got.T).tolist() == expected


@pytest.mark.parametrize("rule", list(TableRule))
def test_loops_look_up_every_input(rule: TableRule) -> None:
    """A table of any format, which they interpolate themselves, is the contract's formula at all 256 inputs."""
    rng = np.random.default_rng(SEED)
    x = np.repeat(np.arange(-128, 128, dtype=np.int8)[:, None], 3, axis=1)[None]
    for points in (256,) if rule is TableRule.FULL else TABLE_POINTS:
        table = rng.integers(-128, 128, (3, stored_points(points, rule))).astype(np.int8)
        got = run_loops(chain((256, 3), Lut(table, rule)), x, ("n0",))["n0"][0]
        for c in range(3):
            assert got[:, c].tolist() == [oracle.interpolate(table[c].tolist(), rule, v) for v in range(-128, 128)]


numbers = st.builds(Number, st.integers(2, 16), st.sampled_from(RANGED))


def values_of(rng: np.random.Generator, number: Number, shape: tuple[int, ...]) -> npt.NDArray[np.integer]:
    """Random values of a format, of its numpy type, both ends among them."""
    values = rng.integers(number.low, number.high + 1, shape)
    ends = rng.random(shape)
    values[ends < 0.1], values[ends > 0.9] = number.low, number.high
    return values.astype(number.dtype)


@pytest.mark.slow
@given(data=st.data())
def test_loops_equal_the_reference_in_any_number_format(data: st.DataObject) -> None:
    """A graph of every operator over tensors of any formats, signed and unsigned, is computed alike at every tap."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    given_number, *formats = (data.draw(numbers) for _ in range(7))
    weights = [Number(data.draw(st.integers(2, 8))) for _ in range(3)]
    tokens, channels, outputs = (data.draw(st.integers(1, 5)) for _ in range(3))
    rule = data.draw(st.sampled_from(TableRule))
    points = data.draw(st.sampled_from(legal_points(rule, formats[2])))

    def scale(count: int, out: Number) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.uint8]]:
        return values_of(rng, bias_number(out), (count,)), rng.integers(0, 24, count).astype(np.uint8)

    def linear(inputs: int, outputs: int, over: Axis, i: int) -> Linear:
        weight = values_of(rng, weights[i], (outputs, inputs))
        return Linear(weight, *scale(outputs, formats[i]), over, 62, weights[i], formats[i])

    nodes = (
        Node("mixing", linear(tokens, 4, Axis.TOKENS, 0), (INPUT,)),
        Node("channels", linear(channels, outputs, Axis.CHANNELS, 1), ("mixing",)),
        Node(
            "affine",
            Affine(values_of(rng, weights[2], (outputs,)), *scale(outputs, formats[2]), 62, weights[2], formats[2]),
            ("channels",),
        ),
        Node(
            "lut",
            Lut(values_of(rng, formats[3], (outputs, stored_points(points, rule))), rule, formats[2], formats[3]),
            ("affine",),
        ),
        Node("relu", Relu(), ("lut",)),
        Node("add", Add(62, formats[4]), ("relu", "channels")),
        Node("pool", Pool(4, 62), ("add",)),
    )
    model = Model(Graph(Tensor(("token", "channel"), (tokens, channels), given_number), nodes), "formats")
    x = values_of(rng, given_number, (3, tokens, channels))
    found, expected = run_loops(model, x, model.graph.taps), run_reference(model.graph, x, model.graph.taps)
    assert list(found) == list(expected)
    for tap, values in expected.items():
        assert found[tap].dtype == values.dtype == model.graph.tensors[tap].number.dtype
        np.testing.assert_array_equal(found[tap], values, tap)


@pytest.mark.parametrize("over", list(Axis))
def test_loops_take_sums_of_62_bits(over: Axis) -> None:
    """The widest sums, ties of either sign under shifts around their width, are what exact fractions give."""
    wide = Number(16)
    shifts = (28, 29, 30, 31, 32, 38, 39, 40, 61, 62, 63, 64, 255)
    weight = np.repeat(np.array([[-128], [127]], np.int8), 65_536, axis=1)
    for value in (-(2**15), 2**15 - 1):
        for shift in shifts:
            op = Linear(weight, np.array([3, -3], np.int16), np.full(2, shift, np.uint8), over, 62, out=wide)
            shape = (1, 65_536) if over is Axis.CHANNELS else (65_536, 1)
            model = Model(Graph(Tensor(("token", "channel"), shape, wide), (Node("y", op, (INPUT,)),)), "wide")
            got = run_loops(model, np.full((1, *shape), value, np.int16), ("y",))["y"].ravel().tolist()
            exact = [math.floor(Fraction(65_536 * value * w, 2**shift) + Fraction(1, 2)) for w in (-128, 127)]
            assert got == [min(max(y + b, wide.low), wide.high) for y, b in zip(exact, (3, -3), strict=True)]
