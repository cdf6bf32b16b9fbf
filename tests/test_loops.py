"""The plain loops, a further form of the contract: held to the reference and to the compiled engine, value by value."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fxsim
from fxsim.benchmark.hosts import LESSER
from fxsim.contract import TableRule
from fxsim.engines import loops, run_reference
from fxsim.engines.compiled import instruction_sets, run_compiled
from fxsim.engines.loops import run_loops
from fxsim.families import ResMLPConfig
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Affine, Axis, Linear, Pool
from fxsim.paths import golden_dir
from tests import oracle
from tests.conftest import ROOT, SEED
from tests.strategies import graphs, images, resmlp_models, woven_graphs
from tests.test_engines import assert_equal_taps, chain, mixed, random_resmlp, stimulus

GOLDEN = ("psa_h96", "relu_h192", "b_spline_h96", "digits_small", "small", "small_relu")
any_graph = st.one_of(graphs(), woven_graphs(), resmlp_models().map(lambda model: model.graph))


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


@given(data=st.data())
def test_loops_agree_with_exact_arithmetic(data: st.DataObject) -> None:
    """At every tap of any graph they give what exact fractions give."""
    model = Model(data.draw(any_graph), "generated")
    x = data.draw(images(model, count_max=2))
    found = run_loops(model, x, model.graph.taps)
    for i, image in enumerate(x):
        for tap, expected in oracle.compute(model.graph, image).items():
            np.testing.assert_array_equal(found[tap][i], expected, f"image {i}, {tap}")


@given(data=st.data())
def test_loops_equal_the_reference_on_larger_graphs(data: st.DataObject) -> None:
    """They and the reference give the same at every tap of graphs whose dimensions cross the loops' tiles."""
    model = Model(data.draw(graphs(nodes_max=5, dimension_max=130)), "generated")
    x = data.draw(images(model, count_max=20))
    assert_equal_taps(run_loops(model, x, model.graph.taps), run_reference(model.graph, x, model.graph.taps))


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
    """Models as large as the published ones, any number of threads, more images than a thread takes at once."""
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


def test_loops_follow_what_numba_generates_code_for() -> None:
    """Vectors are as wide as the registers of the CPU that Numba is told of, not of the host; values are equal."""
    script = (
        "import numpy as np, fxsim; from fxsim.engines import loops, run_reference\n"
        "from fxsim.paths import golden_dir\n"
        "m = fxsim.load(golden_dir() / 'small.safetensors'); x = np.load(golden_dir() / 'images_16x12.npy')[:3]\n"
        "a, b = loops.run_loops(m, x, m.graph.taps), run_reference(m.graph, x, m.graph.taps)\n"
        "print(loops.LANES, all((a[t] == b[t]).all() for t in b))"
    )
    told = {"NUMBA_CPU_NAME": LESSER["sse2"].cpu, "NUMBA_CPU_FEATURES": LESSER["sse2"].features}
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | told, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["8", "True"]
    assert {True: 16, False: 8}["avx512bw" in loops._features()] == loops.LANES


def test_loops_forget_a_graph_with_it() -> None:
    """Packed parameters go when the graph does: a new graph at the same place gets its own."""
    before = len(loops._packed)
    for scale in (1, 2, 3):
        nodes = (
            Node("a", Affine(np.full(4, scale, np.int8), np.zeros(4, np.int8), np.zeros(4, np.uint8)), (INPUT,)),
            Node(
                "t", Linear(np.eye(2, dtype=np.int8), np.zeros(2, np.int8), np.zeros(2, np.uint8), Axis.TOKENS), ("a",)
            ),
            Node("p", Pool(2), ("t",)),
        )
        model = Model(Graph((2, 4), nodes), "scaled")
        found = run_loops(model, np.full((1, 2, 4), 5, np.int8), ("p",))["p"]
        assert found.tolist() == [[5 * scale] * 4]
        del model, nodes
    assert len(loops._packed) == before
