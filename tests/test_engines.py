"""The two engines against each other and against exact arithmetic, and what `run` promises of both."""

import gc
import math
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fxsim
from fxsim import engines, jit
from fxsim.contract import TABLE_POINTS, TableRule, stored_points
from fxsim.engines import CHUNK_IMAGES, Engine, compiled, kernels, run_chunks, run_reference
from fxsim.errors import ModelError, StimulusError
from fxsim.model import (
    INPUT,
    Add,
    Affine,
    Axis,
    Graph,
    Linear,
    Lut,
    Model,
    Node,
    Operator,
    Pool,
    Relu,
    ResMLPConfig,
    build_resmlp,
    resmlp_parameters,
)
from tests import oracle
from tests.conftest import SEED
from tests.strategies import INT8_CORNERS, graphs, images, int8_from, resmlp_models, woven_graphs

Int8 = npt.NDArray[np.int8]

ENGINES = [Engine.REFERENCE, Engine.NUMBA]
EVERY_INT8 = np.arange(-128, 128)


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


@pytest.mark.parametrize("engine", ENGINES)
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


@given(st.data())
def test_engines_agree_on_larger_graphs(data: st.DataObject) -> None:
    """Both engines give the same at every tap of random graphs whose dimensions cross the compiled loops' tiles."""
    model = Model(data.draw(graphs(nodes_max=5, dimension_max=70)), "generated")
    x = data.draw(images(model, count_max=10))
    assert_equal_taps(fxsim.run(model, x, "all", Engine.NUMBA), fxsim.run(model, x, "all", Engine.REFERENCE))


@pytest.mark.parametrize("rule", [None, *TableRule])
def test_engines_agree_at_the_published_dimensions(rule: TableRule | None) -> None:
    """Both engines give the same at every tap of a model as large as the published ones, ReLU and each table rule."""
    points = 0 if rule is None else 256 if rule is TableRule.FULL else 64
    model = random_resmlp(np.random.default_rng(SEED), ResMLPConfig(64, 48, 96, 96, 4, 10, points, rule))
    x = stimulus(model, 9)
    assert_equal_taps(fxsim.run(model, x, "all", Engine.NUMBA), fxsim.run(model, x, "all", Engine.REFERENCE))


@pytest.mark.parametrize("over", list(Axis))
def test_compiled_linear_at_the_edges_of_its_tiles(over: Axis) -> None:
    """A linear of any size around the tile's rows, columns and pairs equals the reference, over channels and tokens."""
    rng = np.random.default_rng(SEED)
    columns = sorted({1, *(n + d for n in (8, 16, 32) for d in (-1, 0, 1)), 2 * kernels.TILE_COLUMNS + 1})
    for rows, inputs, outputs in product((1, 3, 4, 5), (1, 2, 3, 95), columns):
        channels, tokens = (inputs, rows) if over is Axis.CHANNELS else (outputs, inputs)
        results = outputs if over is Axis.CHANNELS else rows
        weight, bias = int8_from(rng, (results, inputs), "full"), int8_from(rng, (results,), "full")
        model = chain((tokens, channels), Linear(weight, bias, rng.integers(0, 20, results).astype(np.uint8), over))
        x = stimulus(model, 1)
        assert_equal_taps(fxsim.run(model, x, "all", Engine.NUMBA), fxsim.run(model, x, "all", Engine.REFERENCE))


def test_requantisation_of_32_bit_sums() -> None:
    """The compiled requantisation of 32-bit sums around every power of two is exact under every shift."""
    near = {sign * 2**k + d for sign in (-1, 1) for k in range(32) for d in (-1, 0, 1)}
    sums = sorted(v for v in near if -(2**31) <= v < 2**31)
    assert (sums[0], sums[-1]) == (-(2**31), 2**31 - 1)
    for bias in (-128, -1, 0, 127):
        rows = kernels.scale_rows(np.arange(256, dtype=np.uint8), np.full(256, bias, np.int8))
        for shift in range(256):
            for acc in sums:
                got = kernels._requantise(np.int32(acc), *rows[:, shift])
                assert got == oracle.requantise(acc, shift, bias), f"acc {acc}, shift {shift}, bias {bias}"


@pytest.mark.parametrize("engine", ENGINES)
def test_widest_sums_there_can_be(engine: Engine) -> None:
    """The greatest and the least sum of the largest linear a graph may have are exact under every shift."""
    inputs = 65_536
    weight = np.repeat(np.array([[-128], [127]], np.int8), inputs, axis=1)
    x = np.full((1, 1, inputs), -128, np.int8)
    for shift in (0, 1, 22, 23, 24, 29, 30, 31, 32, 255):
        model = chain((1, inputs), Linear(weight, np.array([-1, 1], np.int8), np.full(2, shift, np.uint8)))
        expected = [oracle.requantise(2**30, shift, -1), oracle.requantise(-128 * 127 * inputs, shift, 1)]
        assert fxsim.run(model, x, "all", engine)["n0"][0, 0].tolist() == expected, f"shift {shift}"


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
@pytest.mark.parametrize("engine", ENGINES)
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
    """No operator may state an accumulator of more than 32 bits, which is what the compiled engine computes in."""
    zero, shift = np.zeros(1, np.int8), np.zeros(1, np.uint8)
    for build in (
        lambda bits: Add(bits),
        lambda bits: Pool(4, bits),
        lambda bits: Affine(zero, zero, shift, bits),
        lambda bits: Linear(zero[None], zero, shift, acc_bits=bits),
    ):
        assert build(32).acc_bits == 32
        with pytest.raises(ModelError, match="33 bits, expected 2 to 32"):
            build(33)


# --- What `run` promises -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
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


@pytest.mark.parametrize("engine", ENGINES)
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


@pytest.mark.parametrize("count", [1, 7, 8, 9, 40])
def test_the_number_of_threads_changes_nothing(small_model: Model, count: int) -> None:
    """Any number of threads gives the same values, more threads than there is work for included."""
    x = stimulus(small_model, count)
    expected = run_reference(small_model.graph, x, small_model.graph.taps)
    for threads in (1, 2, 3, 8):
        assert_equal_taps(compiled.run_compiled(small_model, x, small_model.graph.taps, threads), expected)


@pytest.mark.parametrize("engine", ENGINES)
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


@pytest.mark.parametrize("engine", ENGINES)
def test_large_images_are_computed_in_small_chunks(
    small_model: Model, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk holds no more values than its bound, and one image where even that is more."""
    per_image = sum(math.prod(shape) for shape in small_model.graph.shapes.values())
    x = stimulus(small_model, 7)
    for bound, most in ((3 * per_image, 3), (3 * per_image - 1, 2), (1, 1)):
        monkeypatch.setattr(engines, "CHUNK_VALUES", bound)
        chunks = [part.stop - part.start for part, _ in run_chunks(small_model, x, "all", engine)]
        assert (max(chunks), sum(chunks)) == (most, 7)


@pytest.mark.parametrize("engine", ENGINES)
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


@pytest.mark.parametrize("engine", ENGINES)
def test_no_images_give_empty_taps(small_model: Model, engine: Engine) -> None:
    """A run over no images returns arrays of no images."""
    got = fxsim.run(small_model, stimulus(small_model, 0), "all", engine)
    assert {tap: values.shape for tap, values in got.items()} == {
        tap: (0, *small_model.graph.shapes[tap]) for tap in small_model.graph.taps
    }


@pytest.mark.parametrize("engine", ENGINES)
def test_memory_stays_flat(small_model: Model, engine: Engine) -> None:
    """Computing ten times the images chunk by chunk takes no more memory at its peak."""

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


def test_parameters_are_dropped_with_their_model() -> None:
    """What the compiled engine keeps of a model goes when the model does."""
    model = random_resmlp(np.random.default_rng(SEED), SMALL)
    gc.collect()
    before = len(compiled._packed)
    fxsim.run(model, stimulus(model, 1), engine=Engine.NUMBA)
    assert len(compiled._packed) == before + 1
    del model
    gc.collect()
    assert len(compiled._packed) == before


@pytest.mark.parametrize("engine", ENGINES)
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
    with pytest.raises(StimulusError, match="no engine 'torch'; there are: auto, reference, numba"):
        fxsim.run(small_model, stimulus(small_model, 1), engine="torch")


def test_auto_is_the_compiled_engine(small_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` computes with the compiled engine."""
    calls = []

    def spy(model: Model, x: Int8, taps: tuple[str, ...]) -> dict[str, Int8]:
        calls.append(len(x))
        return run_reference(model.graph, x, taps)

    monkeypatch.setattr(compiled, "run_compiled", spy)
    fxsim.run(small_model, stimulus(small_model, 3))
    assert calls == [3]


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


# --- The cache of machine code -------------------------------------------------------------------------------------

CHECK = """
import sys
import numpy as np
from fxsim.engines import compiled, run_reference
from fxsim.model import Affine, Axis, Graph, Linear, Model, Node
rng = np.random.default_rng(1)
weight = rng.integers(-128, 128, (5, 7)).astype(np.int8)
op = Linear(weight, weight[:, 0], np.arange(5, dtype=np.uint8) + 6)
model = Model(Graph((3, 7), (Node("y", op, ("input",)),)), "check")
x = rng.integers(-128, 128, (20, 3, 7)).astype(np.int8)
assert (compiled.run_compiled(model, x, ("y",))["y"] == run_reference(model.graph, x, ("y",))["y"]).all()
print("hits", sum(compiled.compute_function().stats.cache_hits.values()))
"""


def run_check(**environment: str) -> str:
    """Run the check above in a process of its own; what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_machine_code_is_cached_between_processes(tmp_path: Path) -> None:
    """A second process finds the first one's machine code; with one changed byte in it, it is compiled again."""
    assert run_check(FXSIM_CACHE=str(tmp_path)) == "hits 0"
    code = list(tmp_path.rglob("*.nbc"))
    assert len(code) == 1
    assert run_check(FXSIM_CACHE=str(tmp_path)) == "hits 1"
    data = bytearray(code[0].read_bytes())
    data[len(data) // 2] ^= 0x55
    code[0].write_bytes(data)
    assert run_check(FXSIM_CACHE=str(tmp_path)) == "hits 0"
    assert run_check(FXSIM_CACHE=str(tmp_path)) == "hits 1"


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
    assert compiled.compute_function.__wrapped__() is print
    assert asked == [True, False]


def test_other_processors_and_no_cache(tmp_path: Path) -> None:
    """Code for a processor without vector extensions gives the same, where the cache cannot be written too."""
    blocked = tmp_path / "file"
    blocked.touch()
    environment = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""}
    assert run_check(FXSIM_CACHE=str(blocked), **environment) == "hits 0"


def test_cache_is_keyed_by_source_types_and_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another source text, function or type, another compiler never find this one's machine code."""

    def key(function: Callable[..., None] = kernels._compute, signature: object = "int8") -> str:
        return jit._cache_key(function, signature)

    keys = {key(), key(kernels.scale_rows), key(signature="int16")}
    changed = tmp_path / "kernels.py"
    changed.write_bytes(Path(kernels.__file__).read_bytes() + b"\n")
    with monkeypatch.context() as patch:
        patch.setattr(jit.inspect, "getfile", lambda _: str(changed))
        keys.add(key())
    for module in (jit.numba, jit.llvmlite):
        with monkeypatch.context() as patch:
            patch.setattr(module, "__version__", "0.0.0")
            keys.add(key())
    assert len(keys) == 6
    assert key() in keys
