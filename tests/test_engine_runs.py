"""Sums in 16 bits: every run is exact for all inputs of its range, and a bound that is off by one is found."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxsim.contract import TableRule
from fxsim.engines import compiled, run_reference
from fxsim.engines.compiled import program, runs
from fxsim.engines.compiled.program import find_ranges
from fxsim.errors import ModelError
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Operator, Relu
from fxsim.prove.engine import prove_engine
from fxsim.prove.reach import reach
from tests.conftest import SEED
from tests.strategies import graphs, woven_graphs

Int64 = npt.NDArray[np.int64]

SETS = [kind.name for kind in compiled.instruction_sets() if kind.runs]
each_set = pytest.mark.parametrize("isa", SETS)


def byte_products(x: Int64, weight: Int64) -> Int64:
    """`vpmaddubsw` of unsigned [..., 4] by signed bytes [..., 4]: sums of neighbours, saturated to 16 bits."""
    assert x.min() >= 0
    assert x.max() <= 255
    pairs = (x * weight).reshape(*weight.shape[:-1], 2, 2).sum(axis=-1)
    return np.clip(pairs, -(2**15), 2**15 - 1)


def walk(found: runs.Runs, rows: int) -> list[tuple[int, int, Int64, Int64]]:
    """Each run as the stream has it: its tile, first group, starts [rows, 2] and weights [groups, rows, 4]."""
    result = []
    for tile, (at, count) in enumerate(found.tiles.tolist()):
        for _ in range(count):
            first, length = (int(n) for n in found.stream[at : at + 2])
            starts = np.frombuffer(found.stream[at + 2 : at + 2 + rows].tobytes(), "<i2").reshape(rows, 2)
            at += 2 + rows
            weight = np.frombuffer(found.stream[at : at + length * rows].tobytes(), "i1").reshape(length, rows, 4)
            at += length * rows
            result.append((tile, first, starts.astype(np.int64), weight.astype(np.int64)))
    return result


def in_16_bits(found: runs.Runs, shape: tuple[int, ...], x: Int64) -> Int64:
    """The sums [tile, row] of inputs [row or 1, groups, 4] as the instructions make them: 16 bits a run, then 32."""
    tiles, rows = shape[:2]
    total = -found.taken_back
    for tile, first, starts, weight in walk(found, rows):
        length = len(weight)
        here = np.broadcast_to(x, (rows, *x.shape[1:]))[:, first : first + length].swapaxes(0, 1)
        part = starts + byte_products(here, weight).sum(axis=0)
        part = (part + 2**15) % 2**16 - 2**15
        total[tile] += part.sum(axis=1)
    assert len(total) == tiles
    return total


def extreme_weights(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> Int64:
    """Weights at the ends of their range, of one sign or both, or of any size."""
    if kind == "any":
        return rng.integers(-128, 128, shape)
    ends = {"both": [-128, 127], "most": [127], "least": [-128], "sparse": [-128, -1, 0, 0, 1, 127]}[kind]
    return rng.choice(np.array(ends), shape)


@pytest.mark.parametrize("kind", ["any", "both", "most", "least", "sparse"])
@pytest.mark.parametrize("rows", [2, 4])
def test_every_run_is_exact_at_the_extremes(kind: str, rows: int) -> None:
    """At inputs that move each half of each row furthest, and at random ones, 16 bits hold every pair and every run."""
    rng = np.random.default_rng(SEED)
    for groups in (1, 2, 7, 24):
        weight = extreme_weights(rng, (3, rows, groups, 4), kind)
        for most in (np.full((groups, 4), 255), np.full((groups, 4), 127), rng.integers(0, 256, (groups, 4))):
            found = runs.find_runs(weight, most)
            covered = np.zeros_like(weight)
            for tile, first, starts, part in walk(found, rows):
                covered[tile, :, first : first + len(part)] += part.swapaxes(0, 1)
                here = most[first : first + len(part), None]
                for towards in (part > 0, part < 0):
                    pairs = (part * here * towards).reshape(len(part), rows, 2, 2).sum(axis=3)
                    for each in (pairs, starts + pairs.sum(axis=0)):
                        assert each.min() >= -(2**15)
                        assert each.max() < 2**15
            np.testing.assert_array_equal(covered, weight)
            for tile in range(3):
                inputs = [np.where(weight[tile] > 0, most, 0), np.where(weight[tile] < 0, most, 0)]
                for x in (*inputs, rng.integers(0, most + 1)[None], most[None]):
                    exact = (np.broadcast_to(x, weight[tile].shape) * weight[tile]).sum(axis=(1, 2))
                    np.testing.assert_array_equal(in_16_bits(found, weight.shape, x)[tile], exact)


def at_the_bound(total: int) -> Int64:
    """Weights of one row, three groups: those of the first half of a lane add up to `total`, no pair above 128."""
    half = [total // 3 + (i < total % 3) for i in range(3)]
    weight = np.zeros((1, 2, 3, 4), np.int64)
    for group, size in enumerate(half):
        assert size <= 128
        weight[0, 0, group, :2] = size - size // 2, size // 2
    return weight


def test_a_run_is_as_long_as_its_bound() -> None:
    """255 x 257 = 65,535 is the widest span of 16 bits: one run. With one more there are two."""
    most = np.full((3, 4), 255)
    assert runs.find_runs(at_the_bound(257), most).total == 1
    assert runs.find_runs(at_the_bound(258), most).total == 2
    assert runs.find_runs(at_the_bound(258), np.full((3, 4), 254)).total == 1
    # A pair of 129 saturates, unless it is of both signs: then no input moves it so far.
    pair = np.zeros((1, 2, 1, 4), np.int64)
    pair[0, 1, 0, 2:] = 64, 65
    assert runs.find_runs(pair, most[:1]).halved == 1
    pair[0, 1, 0, 2:] = 64, 64
    assert runs.find_runs(pair, most[:1]).halved == 0
    pair[0, 1, 0, 2:] = 127, -128
    assert runs.find_runs(pair, most[:1]).halved == 0


def chain(channels: int, *ops: Operator) -> Model:
    """A model of operators one after the other, of 16 tokens."""
    names = [INPUT, *(f"n{i}" for i in range(len(ops)))]
    nodes = [
        Node(name, op, (before, INPUT) if isinstance(op, Add) else (before,))
        for name, op, before in zip(names[1:], ops, names, strict=False)
    ]
    return Model(Graph((16, channels), tuple(nodes)), "chain")


def linear(weight: Int64, shift: int = 9) -> Linear:
    """A linear over channels of these weights, [N, K]."""
    outputs = len(weight)
    return Linear(weight.astype(np.int8), np.zeros(outputs, np.int8), np.full(outputs, shift, np.uint8), Axis.CHANNELS)


def towards(weight: Int64) -> npt.NDArray[np.int8]:
    """Images [N, 16, K] whose tokens move the sums of one row furthest up, or down, or are at an end altogether."""
    ends = np.stack([np.where(weight > 0, 127, -128), np.where(weight < 0, 127, -128)], axis=1)
    every = np.concatenate(
        [ends, np.broadcast_to([[[127]], [[-128]]], (2, len(weight), weight.shape[1])).swapaxes(0, 1)], 1
    )
    return np.ascontiguousarray(np.tile(every, (1, 4, 1)).astype(np.int8))


def assert_equal(model: Model, x: npt.NDArray[np.int8], isa: str) -> None:
    """Every tap equals the reference engine's."""
    taps = model.graph.taps
    expected = run_reference(model.graph, x, taps)
    got = compiled.run_compiled(model, x, taps, isa=isa)
    for name in taps:
        np.testing.assert_array_equal(got[name], expected[name], name)


@each_set
@pytest.mark.parametrize("kind", ["any", "both", "most", "least", "sparse"])
def test_extreme_networks_are_exact(kind: str, isa: str) -> None:
    """Weights and inputs at their ends, behind each operator that narrows a range: every tap equals the reference's."""
    rng = np.random.default_rng(SEED)
    for channels in (1, 5, 48, 97):
        weight = extreme_weights(rng, (7, channels), kind)
        back = extreme_weights(rng, (channels, 7), kind)
        some = rng.integers(-128, 128, channels).astype(np.int8)
        shift = rng.integers(0, 9, channels).astype(np.uint8)
        table = np.sort(rng.integers(-128, 128, (channels, 2)), axis=1)
        table = rng.integers(table[:, :1], table[:, 1:] + 1, (channels, 256)).astype(np.int8)
        model = chain(
            channels, Relu(), linear(weight), linear(back, 7), Affine(some, some[::-1].copy(), shift),
            linear(weight, 8), linear(back, 0), Lut(table, TableRule.FULL), linear(weight),
            linear(back, 12), Add(), linear(weight, 11),
        )  # fmt: skip
        assert_equal(model, towards(weight), isa)
        assert_equal(model, rng.integers(-128, 128, (3, 16, channels)).astype(np.int8), isa)


def never(real: Callable[..., Any]) -> Callable[..., Any]:
    """Runs that end one group too late: where the second of a tile would begin, none does."""

    def begins(*args: Any) -> Any:
        found = real(*args)
        for tile in found:
            later = np.argwhere(tile)[1:2]
            for group, part in later:
                tile[group, part] = False
                if group + 1 < len(tile):
                    tile[group + 1, 0] = True
        return found

    return begins


@each_set
def test_a_run_that_is_too_long_is_found(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one group more than its bound allows, a run gives a wrong value, and the proof of the engine names it."""
    weight = at_the_bound(258)[0].reshape(2, 12)
    # As it is requantised, a sum of one more or less is another value.
    model = chain(12, linear(weight, 8))
    x = towards(weight)
    assert_equal(model, x, isa)
    assert prove_engine(model, isa).proved
    monkeypatch.setattr(runs, "_begins", never(runs._begins))
    broken = chain(12, linear(weight, 8))  # lowered anew
    with pytest.raises(AssertionError):
        assert_equal(broken, x, isa)
    with pytest.raises(ModelError, match="'n0': the run at group 0 of tile 0 could leave 16 bits"):
        prove_engine(broken, isa)


@settings(max_examples=20)
@given(st.one_of(graphs(), woven_graphs()))
def test_ranges_hold_what_the_proof_of_reachable_values_finds(graph: Graph) -> None:
    """The range of each channel holds all values that `fxsim.prove.reach` has of it, another program's analysis."""
    found = find_ranges(graph)
    for name, values in reach(Model(graph, "generated")).items():
        low, high = values.channel_range()
        assert (found[name].low <= low).all(), name
        assert (found[name].high >= high).all(), name
        assert (found[name].low >= -128).all()
        assert (found[name].high <= 127).all()


def test_ranges_are_as_narrow_as_their_operator() -> None:
    """A ReLU leaves 0 to 127, a table its own entries, an affine its products' ends: by hand."""
    table = np.array([[5] * 128 + [9] * 128, [-7] * 256], np.int8)
    affine = Affine(np.array([1, -3], np.int8), np.array([0, 10], np.int8), np.array([1, 2], np.uint8))
    model = chain(2, Relu(), affine, Lut(table, TableRule.FULL), linear(np.array([[1, 2], [-1, 0]]), 0), Add())
    ranges = {name: [tuple(end.tolist()) for end in range_] for name, range_ in find_ranges(model.graph).items()}
    assert ranges == {
        INPUT: [(-128, -128), (127, 127)],
        "n0": [(0, 0), (127, 127)],
        # 127 / 2 rounds half up to 64; -381 / 4 = -95.25 to -95, and 10 is added.
        "n1": [(0, -85), (64, 10)],
        "n2": [(9, -7), (9, -7)],
        "n3": [(-5, -9), (-5, -9)],
        "n4": [(-128, -128), (122, 118)],
    }  # fmt: skip


def test_the_program_says_which_runs_there_are() -> None:
    """Runs and groups taken twice are counted a linear over channels; over tokens, and in 32 bits, there are none."""
    weight = at_the_bound(258)[0].reshape(2, 12)[[0, 0]]
    mix = Linear(np.ones((16, 16), np.int8), np.zeros(16, np.int8), np.zeros(16, np.uint8), Axis.TOKENS)
    pair = np.array([[0, 0], [1, -1], [64, 65], [0, 0]])
    model = chain(12, mix, linear(weight, 0), linear(pair))
    for isa in ("avx2", "ssse3"):
        found = program.sums_of(model.graph, compiled.ISAS[isa])
        assert [(s.node, s.over, s.groups, s.runs, s.halved) for s in found] == [
            ("n0", "tokens", 0, 0, 0),
            ("n1", "channels", 3, 2, 0),
            ("n2", "channels", 2, 3, 1),
        ]
    assert all(not s.runs for s in program.sums_of(model.graph, compiled.ISAS["plain"]))
