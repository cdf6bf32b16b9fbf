"""`fxsim bench engine`: contestants are equal, peaks compute what they count, records say what was found."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pyperf
import pytest
from click.testing import CliRunner, Result

import fxsim
from fxsim.benchmark import contestants, figure, machine, peak, record
from fxsim.benchmark import measure as measuring
from fxsim.benchmark.contestants import find_checkpoint, list_contestants
from fxsim.benchmark.figure import draw_record, label
from fxsim.benchmark.float_network import float_forward
from fxsim.benchmark.hosts import lesser_hosts, start_hosts
from fxsim.benchmark.measure import default_images, measure, select
from fxsim.benchmark.record import BenchRecord, Contestant, Measured, read_record, spread, write_record
from fxsim.cli import bench
from fxsim.cli import main as fxsim_main
from fxsim.contract import CHANNEL, COLUMN, ROW, TableRule, Tensor
from fxsim.contract.arithmetic import Int8, Integers
from fxsim.engines import compiled, run_reference
from fxsim.engines.compiled import instruction_sets
from fxsim.engines.loops import run_loops
from fxsim.errors import FileError, FxsimError, ModelError, ToolError
from fxsim.formats.bnn_pynq import import_bnn_pynq
from fxsim.formats.figures import write_figure
from fxsim.formats.fracbnn import import_fracbnn
from fxsim.formats.importers import import_model, open_original
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Add, Affine, Axis, Conv, Linear, Lut, Pool, Relu, Threshold
from fxsim.paths import golden_dir
from fxsim.signoff import Status, load_plan, render_report, run_plan, write_both
from fxsim.signoff import read_record as read_signoff
from fxsim.signoff.checks.speed import Speed
from tests.conftest import ROOT, SEED, obey_ctrl_c

SETS = tuple(kind.name for kind in instruction_sets())
LESSER = lesser_hosts(SETS)
MODEL = golden_dir() / "digits_small.safetensors"

on_x86 = pytest.mark.skipif(not LESSER, reason="this machine has no lesser instruction set to restrict a process to")


@pytest.fixture(scope="module")
def model() -> Model:
    """A small golden model, whose quantised network is kept."""
    return fxsim.load(MODEL)


def measured_with(model: Model, hosts: dict[str, str]) -> Measured:
    """Everything that there is, in this process and these lesser hosts, measured for an instant."""
    everyone = list_contestants(SETS, hosts, 2, (1, 5))
    return measure(model, default_images(model, 1), everyone, threads=2, rounds=2, seconds=0.001, seed=1)


@pytest.fixture(scope="module")
def measured(model: Model) -> Measured:
    """Everything in this process: what lesser hosts run would be compiled for each of them."""
    return measured_with(model, {})


@pytest.fixture(scope="module")
def found(measured: Measured) -> BenchRecord:
    """A record of it."""
    return BenchRecord(
        format="fxsim.bench.engine",
        version=1,
        command=("fxsim", "bench", "engine"),
        started="2026-01-02T03:04:05+00:00",
        seconds=1.5,
        fxsim_version=fxsim.__version__,
        versions=machine.find_versions(),
        measured=measured,
    )


def off_by_one(model: Model, x: Int8, taps: tuple[str, ...], threads: int | None = None) -> dict[str, Int8]:
    """The plain loops with one wrong value in one image."""
    values = run_loops(model, x, taps, threads)
    if len(x) > 3 and "classifier" in values:
        values["classifier"][3, 1] ^= 1
    return values


# --- What the machine can do -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 1, 7, 8, 29])
@pytest.mark.parametrize("name", SETS)
def test_products_are_what_the_formula_says(name: str, steps: int) -> None:
    """After any number of steps each sum is the start value plus so many products, modulo 2^32."""
    kind = peak.PRODUCTS[name]
    rng = np.random.default_rng(SEED)
    start, a, b = (
        rng.integers(-(2**31), 2**31, shape).astype(np.int32)
        for shape in ((kind.chains, kind.lanes), (kind.lanes,), (kind.turns, kind.chains, kind.lanes))
    )
    sums = start.copy()
    peak.multiply(name, sums.reshape(-1), a, b.reshape(-1), steps)
    expected = start.astype(object)
    for step in range(steps):
        for chain in range(kind.chains):
            other = b[step % kind.turns, chain] if kind.turns > 1 else b[0, 0]
            if kind.bits == 16:  # two sums a lane, each of two products, saturated, in a 16-bit sum that wraps
                pairs = a.view(np.uint8).astype(int) * other.view(np.int8).astype(int)
                pairs = np.clip(pairs.reshape(2 * kind.lanes, 2).sum(axis=1), -(2**15), 2**15 - 1)
                halves = expected[chain].astype(np.int32).view(np.int16) + pairs
                expected[chain] = halves.astype(np.int16).view(np.int32)
                continue
            if kind.each == 4:  # unsigned by signed bytes
                pairs = a.view(np.uint8).astype(int) * other.view(np.int8).astype(int)
            else:
                pairs = a.view(np.int16).astype(int) * other.view(np.int16).astype(int)
            expected[chain] += pairs.reshape(kind.lanes, kind.each).sum(axis=1)
    np.testing.assert_array_equal(sums, ((expected + 2**31) % 2**32 - 2**31).astype(np.int32))


def test_every_instruction_set_has_a_peak() -> None:
    """There is a loop of products, and a name in pictures, for every instruction set that the compiled engine knows."""
    assert peak.PRODUCTS.keys() == compiled.ISAS.keys()
    assert {name: (kind.lanes, kind.each) for name, kind in peak.PRODUCTS.items()} == {
        name: (isa.lanes, isa.channels_depth) for name, isa in compiled.ISAS.items()
    }
    assert figure._SETS.keys() == compiled.ISAS.keys()
    assert peak.LOOKUPS.keys() == compiled.ISAS.keys() - {"plain"}


def test_products_counted_are_those_computed() -> None:
    """A step is counted as the products that its result holds: all factors 1, all sums grow by so many."""
    for name in SETS:
        kind = peak.PRODUCTS[name]
        ones = np.full(4 * kind.lanes, 1, np.int8) if kind.each == 4 else np.full(2 * kind.lanes, 1, np.int16)
        sums = np.zeros(kind.chains * kind.lanes, np.int32)
        b = np.tile(ones.view(np.int32), kind.turns * kind.chains)
        peak.multiply(name, sums, ones.view(np.int32), b, 3)
        assert sums.view(f"i{kind.bits // 8}").sum() == 3 * kind.macs


@pytest.mark.parametrize("steps", [0, 1, 8, 29])
@pytest.mark.parametrize("name", [name for name in SETS if name in peak.LOOKUPS])
def test_lookups_are_what_the_formula_says(name: str, steps: int) -> None:
    """After any number of steps each byte is the start value plus the entries that its index chose, modulo 256."""
    kind = peak.LOOKUPS[name]
    rng = np.random.default_rng(SEED)
    start, index, tables = (
        rng.integers(0, high, shape).astype(np.uint8)
        for high, shape in ((256, kind.size * kind.chains), (16, kind.size * kind.chains), (256, (peak.TABLES, 16)))
    )
    sums = start.copy()
    peak.look_up(name, sums, index, tables.reshape(-1), steps)
    expected = start.astype(int)
    for step in range(steps):
        expected += [int(tables[step % peak.TABLES][i]) for i in index]
    assert sums.tolist() == (expected % 256).tolist()


@pytest.mark.parametrize(("size", "repeats"), [(1, 1), (7, 3), (1000, 5), (4096, 0)])
def test_reading_is_what_the_formula_says(size: int, repeats: int) -> None:
    """What was read is the sum of every number of every pass."""
    buffer = np.random.default_rng(SEED).integers(-(2**62), 2**62, size)
    expected = sum(int(value) ^ r for r in range(repeats) for value in buffer)
    assert peak.read(buffer, repeats) == (expected + 2**63) % 2**64 - 2**63


def test_roofs_are_measured_on_several_threads() -> None:
    """Rates are positive, and memory's buffers pass the last cache however many threads share them."""
    assert peak.measure_products(SETS[-1], 2, 0.001) > 0
    assert peak.measure_reading(1 << 16, 2, 0.001) > 0
    assert all(peak.measure_lookups(name, 2, 0.001) > 0 for name in SETS[:-1][-1:])
    for threads in (1, 2, 16):
        sizes = peak.reading_sizes(threads)
        assert sizes["memory"] * threads > 2 * max(peak.cache_sizes().values(), default=0)
        assert 0 < sizes["l2"] <= peak.cache_sizes().get(2, 1 << 20)


# --- Contestants -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.thorough
def test_everything_is_measured_and_equal(model: Model) -> None:
    """Each contestant that computes integers equals the reference, on every host; all have figures of each round."""
    measured = measured_with(model, LESSER)
    by_name = {result.contestant.name: result for result in measured.results}
    assert len(by_name) == len(measured.results) == 2 * (2 + len(SETS) + 1 + 2 * len(LESSER) + 4) + 1
    for name, result in by_name.items():
        assert result.absent is None, name
        assert result.equal is (True if result.contestant.exact else None), name
        assert len(result.seconds) == 2
        assert all(seconds > 0 for seconds in result.seconds)
    floats = {result.contestant.engine for result in measured.results if not result.contestant.exact}
    assert floats == {"torch-fake-quant", "torch-float32", "numpy-float32"}
    assert measured.equal
    assert {(roof.kind, roof.isa, roof.host, roof.threads) for roof in measured.roofs} == {
        *(("macs", isa, "native", threads) for isa in SETS for threads in (1, 2)),
        *(("macs", isa, host, threads) for host, isa in LESSER.items() for threads in (1, 2)),
        *((kind, None, "native", threads) for kind in ("l2", "memory") for threads in (1, 2)),
    }
    assert all(rate > 0 for roof in measured.roofs for rate in roof.rates)


@pytest.mark.slow
def test_every_operator_is_profiled_once(measured: Measured, model: Model) -> None:
    """The steps of the profile are all nodes of the model, each once, and have all its multiply-accumulates."""
    assert measured.profile is not None
    nodes = [name for step in measured.profile.steps for name in step.nodes]
    assert sorted(nodes) == sorted([*model.graph.taps, "read", "write"])
    assert sum(step.macs for step in measured.profile.steps) == measured.macs
    assert all(step.seconds > 0 for step in measured.profile.steps)
    assert sum(step.bytes for step in measured.profile.steps) <= measured.bytes


def test_float_yardstick_computes_the_same_network() -> None:
    """Where nothing rounds or saturates, the float32 forward pass gives the integers of the reference exactly."""
    eye, zero = np.eye(4, dtype=np.int8), np.zeros(4, np.int8)
    double, quarter = np.full(4, 2, np.int8), np.full(4, 2, np.uint8)
    ramp = np.arange(-128, 128, 4).astype(np.int8)[None].repeat(4, axis=0)
    nodes = (
        Node("embed", Linear(np.roll(eye, 1, axis=1) * np.int8(4), double, quarter), (INPUT,)),
        Node("tokens", Linear(np.roll(eye, 1, axis=0), double, np.zeros(4, np.uint8), Axis.TOKENS), ("embed",)),
        Node("affine", Affine(double, zero, np.ones(4, np.uint8)), ("tokens",)),
        Node("lut", Lut(ramp, TableRule.CLAMP), ("affine",)),
        Node("relu", Relu(), ("lut",)),
        Node("add", Add(), ("relu", "embed")),
        Node("pool", Pool(4), ("add",)),
    )
    # Equal tokens keep the pool's mean whole; values stay below the table's last segment.
    x = (np.arange(-16, 16, 4).reshape(2, 1, 4) * np.ones((2, 4, 1))).astype(np.int8)
    for last in range(1, len(nodes) + 1):
        part = Graph((4, 4), nodes[:last])
        np.testing.assert_array_equal(float_forward(part)(x), run_reference(part, x, (part.output,))[part.output])


@pytest.mark.slow
def test_torch_contestants_are_the_models_own_network(model: Model) -> None:
    """Fake-quant and float32 name the integer model's class on nearly all images; no other model has a network."""
    x = default_images(model, 1)
    expected = run_reference(model.graph, x, ("classifier",))["classifier"].argmax(axis=1)
    for engine in ("torch-fake-quant", "torch-float32"):
        compute = contestants._torch_network(model, Contestant(engine, None, "native", 1, 1, exact=False))
        assert not isinstance(compute, str)
        assert (compute(x).numpy().argmax(axis=1) == expected).mean() > 0.9, engine
    renamed = fxsim.load(golden_dir() / "small.safetensors")
    impostor = Model(renamed.graph, model.name)
    assert find_checkpoint(impostor) is None
    assert "no quantised network" in str(contestants._torch_network(impostor, Contestant("t", None, "n", 1, 1)))


def test_what_is_not_installed_is_said(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without torch, threadpoolctl and ONNX Runtime their contestants are there with the reason, and are not timed."""
    monkeypatch.setattr(contestants, "find_spec", lambda _: None)
    monkeypatch.setattr(contestants, "missing", lambda *_: "the extra 'onnx' is not installed")
    chosen = select(list_contestants(SETS, {}, 1, (3,)), ("torch-*", "numpy*", "onnx*"))
    found = measure(model, default_images(model, 1), chosen, threads=1, rounds=1, seconds=0.001, seed=1)
    assert [result.contestant.engine for result in found.results] == [
        "onnx", "torch-fake-quant", "torch-float32", "numpy-float32",
    ]  # fmt: skip
    for result, extra in zip(found.results, ("onnx", "torch", "torch", "bench"), strict=True):
        assert result.seconds == ()
        assert result.rate is None
        assert f"the extra '{extra}' is not installed" in str(result.absent)
    assert found.profile is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values[:-1], "loops/b40/t1 has 39 images, expected 40"),
        (lambda values: values.astype(np.int16), "is int8 in reference engine and int16 in loops/b40/t1"),
    ],
)
def test_values_of_another_shape_or_type_are_not_equal(
    model: Model, monkeypatch: pytest.MonkeyPatch, change: Callable[[Int8], Int8], message: str
) -> None:
    """Images that are missing and wider numbers are differences too, and nothing is timed."""

    def wrong(m: Model, x: Int8, taps: tuple[str, ...], threads: int | None = None) -> dict[str, Int8]:
        return {tap: change(values) for tap, values in run_loops(m, x, taps, threads).items()}

    monkeypatch.setattr(contestants, "run_loops", wrong)
    chosen = select(list_contestants(SETS, {}, 1, (40,)), ("loops",))
    (result,) = measure(model, default_images(model, 1), chosen, threads=1, rounds=1, seconds=0.001, seed=1).results
    assert (result.equal, result.seconds) == (False, ())
    assert message in str(result.difference)


def test_what_an_engine_cannot_compute_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that an engine refuses is measured with the others, and the row has the reason."""

    def refuse(*_: object, **__: object) -> None:
        raise ModelError("its sum may reach too much")

    monkeypatch.setattr(contestants, "run_compiled", refuse)
    monkeypatch.setattr(compiled, "profile_compiled", refuse)
    model = fxsim.load(golden_dir() / "small.safetensors")
    everyone = select(list_contestants(SETS, {}, 1, (3,)), ("loops", "compiled*"))
    found = measure(model, default_images(model, 1), everyone, threads=1, rounds=1, seconds=0.001, seed=1)
    for result in found.results:
        if result.contestant.engine == "compiled":
            assert (result.absent, result.seconds) == ("its sum may reach too much", ())
        else:
            assert result.equal
            assert result.rate
    assert found.profile is None


@pytest.mark.slow
def test_wrong_values_are_not_timed(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A contestant of which one value of one image is wrong is not timed, and its result says where."""
    monkeypatch.setattr(contestants, "run_loops", off_by_one)
    x = default_images(model, 1)
    chosen = select(list_contestants(SETS, {}, 1, (3, 40)), ("loops", "compiled*"))
    found = measure(model, x, chosen, threads=1, rounds=1, seconds=0.001, seed=1)
    results = {result.contestant.name: result for result in found.results}
    wrong = results.pop("loops/b40/t1")
    right = int(run_reference(model.graph, x, ("classifier",))["classifier"][3, 1])
    assert wrong.equal is False
    assert wrong.seconds == ()
    assert wrong.difference == f"image 3, tap classifier, channel 1: expected {right}, got {right ^ 1}"
    assert not found.equal
    assert all(result.equal and result.seconds for result in results.values())


def test_inner_taps_are_compared_too(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong value that no score shows is found, though the output alone is timed."""

    def wrong(m: Model, x: Int8, taps: tuple[str, ...], threads: int | None = None) -> dict[str, Int8]:
        values = run_loops(m, x, taps, threads)
        if "blocks.0.mlp.add" in values:
            values["blocks.0.mlp.add"][-1, -1, -1] ^= 1
        return values

    monkeypatch.setattr(contestants, "run_loops", wrong)
    chosen = select(list_contestants(SETS, {}, 1, (3,)), ("loops",))
    (result,) = measure(model, default_images(model, 1), chosen, threads=1, rounds=1, seconds=0.001, seed=1).results
    assert result.equal is False
    assert str(result.difference).startswith("image 31, tap blocks.0.mlp.add, token 15, channel ")


@on_x86
def test_a_process_that_ends_is_an_error(model: Model) -> None:
    """Where another process ends, the error names its host."""
    name = next(iter(LESSER))
    with start_hosts([name], model, default_images(model, 1), 0.001) as hosts:
        hosts[name]._process.kill()  # type: ignore[attr-defined]  # of the other process's side
        with pytest.raises(ToolError, match=f"the process of host '{name}' ended: it said nothing"):
            hosts[name].measure_roof("macs", SETS[-1], 1)


@pytest.mark.slow
@on_x86
def test_a_lesser_host_has_no_better_instructions(model: Model) -> None:
    """On a lesser host its own instruction set computes, and the next better one cannot; on the least of them here."""
    name, isa = list(LESSER.items())[-1]
    better = SETS[SETS.index(isa) - 1]
    with start_hosts([name], model, default_images(model, 1), 0.001) as hosts:
        assert hosts[name].prepare(Contestant("compiled", isa, name, 2, 1)).equal is True
        with pytest.raises(ToolError, match=f"host '{name}': instruction set '{better}' cannot run here"):
            hosts[name].prepare(Contestant("compiled", better, name, 2, 1))


def test_patterns_choose_contestants() -> None:
    """Names, first parts and patterns choose; one that chooses nothing is refused with what there is."""
    everyone = list_contestants(("avx512", "avx2", "plain"), {"avx2": "avx2", "sse2": "plain"}, 2, (1, 2048))
    names = [who.name for who in everyone]
    assert len(set(names)) == len(names)
    assert {"compiled-avx512/b2048/t2", "compiled-avx512+taps/b512/t1", "loops@sse2/b512/t2"} <= set(names)
    assert len({(label(who), who.threads) for who in everyone}) == len(names)
    assert select(everyone, ()) == everyone
    assert [who.name for who in select(everyone, ("loops", "compiled-avx512/b1/*"))] == [
        "compiled-avx512/b1/t1", "loops/b512/t1", "compiled-avx512/b1/t2", "loops/b512/t2",
    ]  # fmt: skip
    with pytest.raises(FxsimError, match=r"there is no contestant 'loop'; there are: compiled-avx512, compiled-avx2, "):
        select(everyone, ("loops", "loop"))
    # On one thread nothing is measured twice.
    alone = list_contestants(("plain",), {}, 1, (4,))
    assert len({who.name for who in alone}) == len(alone)


# --- Figures that follow ---------------------------------------------------------------------------------------------


def test_spread() -> None:
    """The median, the quartiles between which half of all lie, the best."""
    assert msgspec.structs.astuple(spread([4.0, 1.0, 2.0, 3.0, 9.0])) == (3.0, 2.0, 4.0, 9.0)
    assert spread([4.0, 1.0, 2.0, 3.0, 9.0]).half == 1.0
    assert msgspec.structs.astuple(spread([5.0])) == (5.0, 5.0, 5.0, 5.0)


@pytest.mark.slow
def test_shares_and_ratios(measured: Measured) -> None:
    """Of the peak of its own instruction set, host and threads; times the loops of its own host and threads."""
    fast, slow = Contestant("compiled", "avx2", "avx2", 8, 2), Contestant("loops", None, "avx2", 8, 2)
    other = Contestant("loops", None, "native", 8, 2)
    results = tuple(
        record.Result(who, (seconds,), 1, True) for who, seconds in ((fast, 0.001), (slow, 0.004), (other, 0.5))
    )
    roofs = tuple(
        record.Roof("macs", isa, host, threads, (rate,))
        for isa, host, threads, rate in (
            ("avx2", "avx2", 2, 4e6), ("plain", "avx2", 2, 8e6), ("avx2", "avx2", 1, 3e6), ("avx2", "native", 2, 9e6),
        )
    )  # fmt: skip
    made = msgspec.structs.replace(measured, macs=1000, results=results, roofs=roofs)
    assert made.share(results[0]) == pytest.approx(0.25)
    assert made.share(results[1]) == pytest.approx(0.03125)  # of the best that its host has
    assert made.share(msgspec.structs.replace(results[0], contestant=Contestant("compiled", "x", "y", 1, 1))) is None
    assert made.ratio(results[0]) == pytest.approx(4.0)
    assert made.ratio(results[2]) == 1.0
    assert msgspec.structs.replace(made, results=results[:1]).ratio(results[0]) is None


def timed(measured: Measured, seconds: tuple[float, ...], roof: tuple[float, ...], slow: float = 1e-3) -> Measured:
    """A measurement of 1,000 MACs an image with these seconds and roof, and an operator that takes `slow` seconds."""
    contestants = Contestant("compiled", SETS[0], "native", 8, 1), Contestant("loops", None, "native", 8, 1)
    results = tuple(record.Result(who, seconds, 1, True) for who in contestants)
    step = record.Step(("a",), "linear", slow, 1000, 100)
    return msgspec.structs.replace(
        measured, macs=1000, rounds=len(seconds), results=results, profile=record.Profile(SETS[0], 4, (step,)),
        roofs=(record.Roof("macs", SETS[0], "native", 1, roof),), published=None,
    )  # fmt: skip


def test_best_round_of_a_roof_counts(measured: Measured) -> None:
    """A roof of 14 MMAC/s in some rounds and 20 GMAC/s in one is 20 GMAC/s, whatever the median of them."""
    made = timed(measured, (1e-6,) * 3, (14e6, 20e9, 14e6))
    assert made.unmeasurable == ()
    assert made.share(made.results[0]) == pytest.approx(0.05)  # 1 GMAC/s of 20
    assert made.operator_rate(made.operators()[0]) == pytest.approx(1e6)


def test_figure_beyond_its_roof_is_none(measured: Measured) -> None:
    """Whatever beats a roof shows that it is none: no share, no dot, no products a second, no roof, however little."""
    made = timed(measured, (1e-6,) * 3, (14e6,) * 3, slow=1e-6)
    assert [made.share(result) for result in made.results] == [None, None]
    assert made.operator_rate(made.operators()[0]) is None
    assert made.unmeasurable == (
        f"compiled-{SETS[0]}/b8/t1: computes more products than its roof in the best of 3 rounds",
        "loops/b8/t1: computes more products than its roof in the best of 3 rounds",
        "operator linear: computes more products than its roof in the best of 3 rounds",
    )
    assert figure._points(made) == []
    assert figure._roofs(made) == []
    assert made.roof("macs", 1) is None
    for beyond, unmeasurable in ((1.0, False), (1.0001, True)):
        near = timed(measured, (2.0**-20,) * 3, (1000 * 2.0**20 / beyond,) * 3)
        assert bool(near.unmeasurable) is unmeasurable
        for found in (near.share(near.results[0]), near.products(near.results[0]), near.roof("macs", 1)):
            assert (found is None) is unmeasurable


def test_one_round_or_one_operator_beats_a_roof_for_all(measured: Measured) -> None:
    """Where the best round of one path, or one operator, is beyond a roof, no other path has a share of that."""
    slow, fast = (4e-6,) * 5, (4e-6, 4e-6, 0.9e-6, 4e-6, 4e-6)
    made = timed(measured, slow, (1e9,) * 5)
    assert [made.share(result) for result in made.results] == [0.25, 0.25]
    results = made.results[0], msgspec.structs.replace(made.results[1], seconds=fast)
    once = msgspec.structs.replace(made, results=results)
    assert [once.share(result) for result in results] == [None, None]
    assert once.unmeasurable == ("loops/b8/t1: computes more products than its roof in the best of 5 rounds",)
    assert once.rate(results[0]) is not None  # a time is one, whatever the roof
    operator = timed(measured, slow, (1e9,) * 5, slow=0.9e-6)
    assert operator.share(operator.results[0]) is None
    assert operator.unmeasurable == ("operator linear: computes more products than its roof in the best of 5 rounds",)


def test_record_of_a_version_that_stated_noise_is_read(found: BenchRecord, tmp_path: Path) -> None:
    """An earlier record states `noise`, by which a figure might be beyond a roof: it is read, and allows nothing."""
    beaten = msgspec.structs.replace(found, measured=timed(found.measured, (1e-6,) * 3, (0.95e9,) * 3))
    write_record(beaten, tmp_path / "new.json")
    content = json.loads((tmp_path / "new.json").read_bytes())
    content["fxsim"]["measured"]["noise"] = 0.1
    (tmp_path / "old.json").write_text(json.dumps(content))
    old = read_record(tmp_path / "old.json").measured
    assert old.share(old.results[0]) is None
    assert len(old.unmeasurable) == 2


def test_rounds_that_do_not_agree_are_no_figure(measured: Measured) -> None:
    """Where half of all rounds lie further from the median than half of it, neither rate, share nor ratio is given."""
    made = timed(measured, (1e-6, 1e-6, 9e-6, 9e-6), (20e9,) * 4)
    who = made.results[0]
    assert who.rate is not None
    assert not who.steady
    assert (made.rate(who), made.share(who), made.ratio(who)) == (None, None, None)
    assert made.unmeasurable[0] == (
        f"compiled-{SETS[0]}/b8/t1: the rounds do not agree, 111,111 to 1,000,000 images/s between the quartiles of 4 "
        "rounds"
    )
    assert (figure._points(made), figure._bars(made)) == ([], [])
    assert timed(measured, (1e-6, 1.5e-6, 1e-6), (20e9,) * 3).unmeasurable == ()


class Scripted(contestants.Track):
    """Computes as ever, but its times and roofs are those of a script, over and over in the same order."""

    times: tuple[float, ...] = (1e-6,)
    roof: tuple[float, ...] = (1e12,)

    def measure(self, who: Contestant) -> float:
        """The next time of the script."""
        self._seen = getattr(self, "_seen", {})
        at = self._seen[who.name] = self._seen.get(who.name, -1) + 1
        return self.times[at % len(self.times)]

    def measure_roof(self, kind: str, isa: str | None, threads: int) -> float:
        """The next roof of the script."""
        self._roofs = getattr(self, "_roofs", {})
        at = self._roofs[kind, isa, threads] = self._roofs.get((kind, isa, threads), -1) + 1
        return self.roof[at % len(self.roof)]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[tuple[float, ...], tuple[float, ...]], None]:
    """Give every measurement these times and roofs, round by round."""
    monkeypatch.setattr(measuring, "Track", Scripted)

    def script(seconds: tuple[float, ...], roof: tuple[float, ...]) -> None:
        monkeypatch.setattr(Scripted, "times", seconds)
        monkeypatch.setattr(Scripted, "roof", roof)

    return script


Script = Callable[[tuple[float, ...], tuple[float, ...]], None]


def test_further_rounds_are_made_while_figures_cannot_be(model: Model, scripted: Script) -> None:
    """A disturbed roof is measured again, up to the rounds allowed and no further than needed; progress ends whole."""
    chosen = select(list_contestants(SETS, {}, 1, (2,)), (f"compiled-{SETS[0]}",))

    def rounds(roof: tuple[float, ...], at_most: int | None) -> tuple[int, int]:
        scripted((1e-6,), roof)
        seen: list[tuple[int, int]] = []
        found = measure(
            model, default_images(model, 1), chosen, threads=1, rounds=2, rounds_max=at_most, seconds=0.001, seed=1,
            report=lambda done, total: seen.append((done, total)),
        )  # fmt: skip
        assert seen[-1][0] == seen[-1][1]
        assert len(found.results[0].seconds) == len(found.roofs[0].rates) == found.rounds
        return found.rounds, len(found.unmeasurable)

    assert rounds((1e15,), 6) == (2, 0)
    assert rounds((14e3, 14e3, 1e15), 6) == (3, 0)
    assert rounds((14e3,), 4)[0] == 4
    assert rounds((14e3,), 4)[1] > 0
    assert rounds((14e3,), None)[0] == 2


@pytest.mark.usefixtures("instantly")
def test_impossible_figures_are_not_printed(scripted: Script) -> None:
    """On a machine so busy that every roof is disturbed, `bench engine` says what it could not measure, and why."""
    scripted((1e-6,), (14e3,))
    result = call(str(MODEL), "--quick", "--rounds", "1", "--only", f"compiled-{SETS[0]}")
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert f"not measurable now: compiled-{SETS[0]}/b1/t1: computes more products than its roof" in text
    assert "in the best of 3 rounds" in text
    assert not re.search(r"\d{3,}(\.\d)?%", text)
    assert " 0.0 " not in text
    # A roof that was beaten is none, and what lies under it has no products a second.
    assert re.search(rf"products, {SETS[0]}\W+native\W+1\W+\?\W+GMAC/s", text)


def test_speed_check_that_could_not_measure_is_no_pass(plan: Path, scripted: Script) -> None:
    """Equal values alone do not pass it: where figures cannot be it is reported, with the reason, and none is shown."""
    scripted((1e-6,), (14e3,))
    found = run_plan(load_plan(plan))
    (check,) = found.checks
    assert check.status is Status.REPORTED
    assert str(check.reason).startswith("not measurable now: compiled-")
    assert not found.passed
    figures = {figure.label: figure.value for figure in check.details.figures}
    assert figures["part of the products that the machine can do"] is None
    assert figures["rounds"] == 9
    page = render_report(found)
    assert "not measurable now" in page
    assert not re.search(r"\d{3,}\.\d ?%", page)


def test_speed_demanded_of_a_busy_machine_fails(plan: Path, scripted: Script) -> None:
    """Where rounds do not agree no path has a speed: what is demanded was not shown, and the reason says why."""
    plan.write_text(PLAN + "at_least = 1\n")
    scripted((1e-6, 9e-6, 3e-6), (1e15,))
    (check,) = run_plan(load_plan(plan)).checks
    assert check.status is Status.FAILED
    assert "nothing images/s, expected at least 1; not measurable now: compiled-" in str(check.reason)
    assert "the rounds do not agree" in str(check.reason)


def test_bytes_moved_and_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of fused nodes only what comes from outside and goes outside counts; entries that are no nodes move nothing."""
    five, none = np.full(5, 1, np.int8), np.zeros(5, np.uint8)
    nodes = (
        Node("a", Linear(np.ones((5, 3), np.int8), five, none), (INPUT,)),
        Node("b", Affine(five, five, none), ("a",)),
        Node("c", Relu(), ("b",)),
        Node("d", Add(), ("c", "a")),
    )
    model = Model(Graph((2, 3), nodes), "steps")
    entries = [(("read",), "reading", 8.0), (("a",), "linear", 4.0), (("b", "c"), "table", 2.0), (("d",), "add", 1.0)]
    calls: list[int] = []

    class Entry:
        def __init__(self, nodes: tuple[str, ...], operator: str, seconds: float) -> None:
            self.nodes, self.operator, self.seconds = nodes, operator, seconds

    def profile(_model: Model, x: Int8, taps: tuple[str, ...], isa: str | None = None) -> list[Entry]:
        assert taps == ("d",)
        assert isa == SETS[0]
        calls.append(len(x))
        return [Entry(nodes, operator, seconds * len(x) * len(calls)) for nodes, operator, seconds in entries]

    monkeypatch.setattr(compiled, "profile_compiled", profile)
    x = np.ones((4, 2, 3), np.int8)
    chosen = select(list_contestants(SETS, {}, 1, (2,)), (f"compiled-{SETS[0]}",))
    found = measure(model, x, chosen, threads=1, rounds=3, seconds=0.001, seed=1)
    assert found.profile is not None
    # The median of three rounds, each slower by a step.
    assert [(step.nodes, step.seconds) for step in found.profile.steps] == [(n, 2 * s) for n, _, s in entries]
    # In: 6 bytes, out: 10; weights, biases, shifts 25; table 10 + 10 + 15; add 30.
    assert [(step.macs, step.bytes) for step in found.profile.steps] == [(0, 0), (30, 41), (0, 35), (0, 30)]
    assert (found.macs, found.bytes) == (30, 41 + 35 + 20 + 30)
    assert [operator.name for operator in found.operators()] == ["reading", "linear", "table", "add"]
    assert found.intensity == 30 / 126


def test_published_figure_is_of_its_dimensions_alone() -> None:
    """The FPGA's images a second are 200 MHz over 6,240 cycles, and are shown beside networks of that size only."""
    assert round(200e6 / 6240) == measuring._PUBLISHED.images_per_second
    with_it = {
        path.stem for path in golden_dir().glob("*.safetensors") if measuring._published(fxsim.load(path)) is not None
    }
    assert with_it == {"psa_h96", "b_spline_h96", "relu_h96"}


def few_bits(rng: np.random.Generator, channels: int) -> Model:
    """A convolution of bytes, its signs, and a convolution of these."""
    signs = Threshold(np.zeros((channels, 1), np.int32), np.ones(channels, np.uint8), np.array([-1, 1], np.int8))
    weights = (rng.choice(np.array([-1, 1], np.int8), (channels, 1, 1, n)) for n in (3, channels))
    first, last = (Conv(weight) for weight in weights)
    nodes = (Node("a", first, (INPUT,)), Node("b", signs, ("a",)), Node("c", last, ("b",)))
    return Model(Graph(Tensor((ROW, COLUMN, CHANNEL), (4, 4, 3)), nodes), "few_bits")


@pytest.mark.skipif(SETS == ("plain",), reason="this CPU has no instruction that looks products up")
def test_products_that_are_looked_up_are_seen_under_a_roof_of_lookups() -> None:
    """A network is under both roofs in turn, a step by tables under that of lookups alone, one of products without."""
    model = few_bits(np.random.default_rng(SEED), 8)
    chosen = select(list_contestants(SETS, {}, 1, (2,)), (f"compiled-{SETS[0]}", "compiled-plain", "loops"))
    found = measure(model, default_images(model, 1), chosen, threads=1, rounds=1, seconds=0.001, seed=1)
    assert found.equal
    # 16 places of 8 outputs: of 3 bytes each, then of 8 signs, four of which a lookup takes.
    assert (found.macs, found.looked_up, found.lookups) == (16 * 8 * (3 + 8), 16 * 8 * 8, 16 * 8 * 2)
    assert found.profile is not None
    assert [(step.nodes, step.operator, step.macs, step.lookups) for step in found.profile.steps[:2]] == [
        (("a", "b"), "conv", 384, 0), (("c",), "conv by tables", 1024, 256),
    ]  # fmt: skip
    assert {(roof.kind, roof.isa) for roof in found.roofs if roof.kind == "lookups"} == {
        ("lookups", isa) for isa in SETS if isa != "plain"
    }
    roofs = tuple(
        record.Roof(kind, isa, "native", 1, (rate,))
        for kind, rate in (("macs", 3.84e9), ("lookups", 2.56e9))
        for isa in SETS
    )
    results = tuple(msgspec.structs.replace(result, seconds=(1e-6,)) for result in found.results)
    steps = tuple(msgspec.structs.replace(step, seconds=1e-6) for step in found.profile.steps)
    profile = msgspec.structs.replace(found.profile, steps=steps)
    made = msgspec.structs.replace(found, results=results, roofs=roofs, profile=profile)
    shares = {result.contestant.path: made.share(result) for result in made.results}
    # 384 products at 3.84 an ns are 0.1 us, 256 lookups at 2.56 an ns another; all 1,408 as products 0.3667.
    assert shares.pop(f"compiled-{SETS[0]}") == pytest.approx(0.2)
    assert list(shares.values()) == pytest.approx([0.36667] * len(shares), rel=1e-4)
    by_name = {operator.name: operator for operator in made.operators()}
    assert made.operator_rate(by_name["conv by tables"]) == pytest.approx(1.024e9)
    beaten = msgspec.structs.replace(made, results=tuple(msgspec.structs.replace(r, seconds=(1e-7,)) for r in results))
    assert [made.share(result) for result in beaten.results if beaten.is_beyond(result)]
    assert all(beaten.share(result) is None for result in beaten.results)


def test_published_figures_of_few_bits_are_of_their_networks_alone(networks: Path) -> None:
    """FINN's and FracBNN's images a second are shown beside their binary networks alone, not beside wider ones."""
    folder = networks / "finn"
    found = {
        name: measuring._published(import_bnn_pynq(folder / f"{name}_params.npz", name))
        for name in ("cnvW1A1", "cnvW1A2", "cnvW2A2", "lfcW1A1")
    }
    found["fracbnn"] = measuring._published(import_fracbnn(networks / "fracbnn" / "params_q8.npz"))
    stated = {name: published.images_per_second for name, published in found.items() if published is not None}
    assert stated == {"cnvW1A1": 21_900, "fracbnn": 2_807}


# --- Records and figures ---------------------------------------------------------------------------------------------


def test_record_round_trips_and_pyperf_reads_it(found: BenchRecord, tmp_path: Path) -> None:
    """What is written is read again, by fxsim as it was, by pyperf as seconds an image of every contestant."""
    path = tmp_path / "a.json"
    # A name may hold anything; pyperf takes one line.
    found = msgspec.structs.replace(found, measured=msgspec.structs.replace(found.measured, model=" a\n\tname "))
    write_record(found, path)
    assert read_record(path) == found
    suite = pyperf.BenchmarkSuite.load(str(path))
    assert {bench.get_name(): bench.get_values() for bench in suite.get_benchmarks()} == {
        result.contestant.name: result.seconds for result in found.measured.results
    }
    one = suite.get_benchmark("loops/b5/t2")
    assert one.get_metadata()["model_sha256"] == found.measured.model_sha256
    assert one.get_metadata()["model"] == "a name"
    assert one.get_inner_loops() == 5


def test_pyperf_compares_two_records(found: BenchRecord, tmp_path: Path) -> None:
    """`python -m pyperf compare_to` takes two records and says by how much the second is faster."""
    results = tuple(
        msgspec.structs.replace(result, seconds=tuple(seconds / 4 for seconds in result.seconds))
        for result in found.measured.results
    )
    faster = msgspec.structs.replace(found, measured=msgspec.structs.replace(found.measured, results=results))
    write_record(found, tmp_path / "a.json")
    write_record(faster, tmp_path / "b.json")
    command = [sys.executable, "-m", "pyperf", "compare_to", "a.json", "b.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "4.00x faster" in done.stdout


def test_without_pyperf_no_record_is_written(
    found: BenchRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra `bench` writing a record is an error that names it, before anything is measured."""
    monkeypatch.setattr(record, "find_spec", lambda _: None)
    with pytest.raises(ToolError, match="the extra 'bench' is not installed: there is no pyperf here"):
        write_record(found, tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"{}", "is not a record of fxsim bench engine"),
        (b"\xff", "line 1: byte 0xff is not UTF-8, expected a record of fxsim bench engine"),
        (b'{"fxsim": {"format": "fxsim.signoff"}}', "is not a record of fxsim bench engine"),
    ],
)
def test_other_files_are_no_records(content: bytes | None, message: str, tmp_path: Path) -> None:
    """A file that is missing, damaged or something else is named."""
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileError, match=f"{path}: {message}"):
        read_record(path)


@pytest.mark.slow
def test_figure_shows_everything(found: BenchRecord, tmp_path: Path) -> None:
    """The picture is well-formed, names every contestant on most threads and every roof, and repeats bit for bit."""
    steps = (
        record.Step(("read",), "reading $x$", 1e-6, 0, 10),
        record.Step(("a", "b"), "linear + table", 2e-6, 30_000, 1000),
    )
    measured = msgspec.structs.replace(
        found.measured,
        profile=record.Profile(SETS[0], 4, steps),
        published=record.Published(32_051, "somebody"),
    )
    both = [tmp_path / name for name in ("a.svg", "b.svg")]
    for path in both:
        write_figure(draw_record(msgspec.structs.replace(found, measured=measured)), path)
    assert both[0].read_bytes() == both[1].read_bytes()
    assert ET.parse(both[0]).getroot().tag.endswith("svg")  # noqa: S314  # our own file
    text = both[0].read_text()
    for result in measured.results:
        if result.contestant.threads == 2:
            assert f">{label(result.contestant)}<" in text
    for part in ("reading $x$ 1.0 µs", "linear + table 2.0 µs", "published FPGA 32,051", "memory, ", ">67%<"):
        assert part in text
    # Without most of it there is still a picture.
    little = msgspec.structs.replace(found.measured, results=(), roofs=(), profile=None, published=None)
    write_figure(draw_record(msgspec.structs.replace(found, measured=little)), tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


# --- The command -----------------------------------------------------------------------------------------------------


def call(*arguments: str) -> Result:
    """The command in this process."""
    return CliRunner().invoke(bench.command, ["engine", *arguments])


QUICKLY = ("--rounds", "1", "--threads", "1", "--batch", "5", "--only", "loops", "--only", f"compiled-{SETS[0]}")


@pytest.fixture
def instantly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measurements take no longer than one call; tables are as wide as they need."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(bench, "_SECONDS", 0.001)


@pytest.mark.usefixtures("instantly")
def test_command_prints_tables_and_writes(tmp_path: Path) -> None:
    """Tables name every contestant and roof; record and picture are written."""
    output, figure = tmp_path / "a.json", tmp_path / "a.svg"
    done = call(str(MODEL), *QUICKLY, "-o", str(output), "--figure", str(figure))
    assert done.exit_code == 0, done.output
    for part in (
        " loops ",
        f"compiled-{SETS[0]} ",
        "equal to the reference engine on 32 images: 2 of 2",
        "reading, l2",
        f"products, {SETS[0]}",
        f"{output}: record",
    ):
        assert part in done.stdout
    assert " best " in done.stdout
    assert "not measured" not in done.stdout
    written = read_record(output)
    assert [result.contestant.name for result in written.measured.results] == [
        f"compiled-{SETS[0]}/b5/t1", "loops/b5/t1",
    ]  # fmt: skip
    assert written.measured.machine.instruction_sets == SETS
    assert 1 <= written.measured.rounds <= 3  # Where a busy machine disturbs the first, more follow.
    assert figure.stat().st_size > 1000


@pytest.mark.usefixtures("instantly")
def test_command_prints_json(model: Model) -> None:
    """--json is the record; it names the model, its hash and the seed of its images."""
    done = call(str(MODEL), *QUICKLY, "--json", "--seed", "7")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert printed["measured"]["model"] == model.name
    assert printed["measured"]["model_sha256"] == fxsim.formats.model_sha256(model)
    assert printed["measured"]["seed"] == 7
    assert all(result["equal"] for result in printed["measured"]["results"])
    assert msgspec.convert(printed, BenchRecord).measured.equal


@pytest.mark.usefixtures("instantly")
def test_command_fails_where_values_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong value gives exit status 1 and a line that names the contestant and the place."""
    monkeypatch.setattr(contestants, "run_loops", off_by_one)
    done = call(str(MODEL), *QUICKLY)
    assert done.exit_code == 1
    assert "loops/b5/t1 differs from the reference engine: image 3, tap classifier, channel 1: expected" in done.stderr
    assert "DIFFERS" in done.stdout
    assert "1 of 2 that compute integers" in done.stdout


@pytest.mark.usefixtures("instantly")
def test_command_says_what_it_could_not_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ONNX Runtime its row is absent with the reason, and the command succeeds; 80 columns fold no name."""
    monkeypatch.setattr(contestants, "missing", lambda *_: "the extra 'onnx' is not installed")
    monkeypatch.setenv("COLUMNS", "80")
    done = call(str(MODEL), *QUICKLY, "--only", "onnx", "--only", "compiled*taps", "--only", "torch-fake-quant")
    assert done.exit_code == 0, done.output
    assert "onnx/b256/t1: not measured: the extra 'onnx' is not installed" in done.stdout
    for name in ("onnx ", " absent ", f"compiled-{SETS[0]}+taps ", "torch-fake-quant "):
        assert name in done.stdout
    assert " best " not in done.stdout


IMPORTED = golden_dir() / "imported"


def test_the_original_file_is_measured_once_it_is_equal() -> None:
    """ONNX Runtime on the file that a model was imported from, a contestant of its own; another file's is not timed."""
    pytest.importorskip("onnxruntime")
    imported = import_model(IMPORTED / "qdq.onnx")
    chosen = select(list_contestants(SETS, {}, 1, (3,), original=True), ("original",))
    assert [who.name for who in chosen] == ["original/b8/t1"]

    def result(original: str | None) -> record.Result:
        images = default_images(imported, 1)
        found = measure(imported, images, chosen, threads=1, rounds=1, seconds=0.001, seed=1, original=original)
        (only,) = found.results
        return only

    equal = result(f"runtime:{IMPORTED / 'qdq.onnx'}")
    assert (equal.equal, equal.absent, len(equal.seconds)) == (True, None, 1)
    other = result(f"runtime:{IMPORTED / 'qoperator.onnx'}")
    assert other.absent is not None
    assert not other.seconds
    assert "is imported to another model" in other.absent
    unnamed = result(None)
    assert (unnamed.absent, unnamed.seconds) == ("no file is named that the model was imported from", ())


def test_an_original_that_gives_other_values_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One value off by one, and one value between whole numbers."""
    imported = import_model(IMPORTED / "qdq.onnx")
    chosen = select(list_contestants(SETS, {}, 1, (3,), original=True), ("original",))
    output = imported.graph.output

    def result(change: float) -> record.Result:
        def compute(x: Integers) -> dict[str, Any]:
            values = run_loops(imported, x, (output,))[output].astype(np.float64)
            values.flat[5] += change
            return {output: values}

        monkeypatch.setattr(contestants, "open_original", lambda *_: ((output,), compute))
        images = default_images(imported, 1)
        (only,) = measure(
            imported, images, chosen, threads=1, rounds=1, seconds=0.001, seed=1, original="runtime:net"
        ).results
        return only

    assert result(0).equal is True
    wrong = result(1)
    assert wrong.equal is False
    assert wrong.difference is not None
    assert output in wrong.difference
    assert not wrong.seconds
    between = result(0.5)
    assert between.absent == f"runtime:net gives '{output}' a value that is no {imported.graph.tensors[output].number}"
    assert not between.seconds


def test_an_original_names_its_program() -> None:
    """A path alone does not."""
    with pytest.raises(
        FileError, match=r"'net\.onnx' says no program that executes it, expected qonnx:FILE or runtime"
    ):
        open_original("net.onnx", import_model(IMPORTED / "qdq.onnx"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "nobody"], "there is no contestant 'nobody'; there are: compiled-"),
        (["-o", "{folder}/nowhere/a.json"], "nowhere"),
        (["--figure", "{folder}/a.pdf"], "expected a name that ends in .svg or .png"),
        (["{folder}/none.safetensors"], "none.safetensors"),
        (["{model}", "-o", "{model}"], "is read as an input"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be measured or written is refused in one line, before anything is measured."""
    copy = tmp_path / "model.safetensors"
    copy.write_bytes(MODEL.read_bytes())
    started = time.monotonic()
    with pytest.raises(SystemExit) as end:
        fxsim_main(["bench", "engine", *(text.format(folder=tmp_path, model=copy) for text in arguments)])
    assert end.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("fxsim: error: ")
    assert said.count("\n") == 1
    assert message in said
    assert copy.read_bytes() == MODEL.read_bytes()
    assert time.monotonic() - started < 10


@pytest.mark.alone
@on_x86
def test_interruption_ends_every_process() -> None:
    """Ctrl-C ends the command with status 130 and one line, and with it all processes that it started."""
    command = [sys.executable, "-m", "fxsim", "bench", "engine", str(MODEL), "--rounds", "1000"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=obey_ctrl_c,
        start_new_session=True,
    ) as process:
        try:
            started: list[psutil.Process] = []
            children: list[psutil.Process] = []
            limit = time.monotonic() + 60
            while len(children) < len(LESSER) and time.monotonic() < limit and process.poll() is None:
                time.sleep(0.05)
                started = psutil.Process(process.pid).children(recursive=True)
                # Beside each is the shell that ends it with this process.
                children = [child for child in started if child.name() != "sh"]
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does it
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert len(children) == len(LESSER)
    assert process.returncode == 130
    # Python may say before that it dropped one in a callback.
    assert said.splitlines()[-1] == "fxsim: interrupted"
    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []


# --- Sign-off --------------------------------------------------------------------------------------------------------

PLAN = f"""
title = "speed"
seed = 1
[models]
small = {{ file = "{MODEL}" }}
[stimuli]
digits = {{ file = "{golden_dir() / "digits_16x4.npy"}" }}
[[check]]
kind = "speed"
name = "speed"
model = "small"
stimulus = "digits"
images = 7
threads = 1
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan of one check of speed."""
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


@pytest.mark.alone
def test_speed_check_passes_and_is_drawn(plan: Path, tmp_path: Path) -> None:
    """It records every path, the machine and the roofs; record and report are written, and read again."""
    found = run_plan(load_plan(plan))
    (check,) = found.checks
    (speed,) = check.details.of(Speed)
    # On a busy machine it says what it could not measure.
    assert check.status is (Status.REPORTED if speed.measured.unmeasurable else Status.PASSED), check.reason
    assert {result.contestant.engine for result in speed.measured.results} == {"compiled", "loops"}
    assert all(result.equal and result.rate for result in speed.measured.results)
    assert speed.measured.images_checked == 7
    assert speed.measured.unmeasurable or (speed.reached is not None and speed.reached > 0)
    labels = {figure.label: figure.value for figure in check.details.figures}
    assert str(labels["measured on"]).startswith(machine.find_machine().processor)
    folder = tmp_path / "reports"
    folder.mkdir()
    write_both(found, folder)
    assert read_signoff(folder / "signoff.json") == found
    page = render_report(found)
    for part in ("Speed of the engines under the roofs", f"compiled-{SETS[0]}+taps", "nothing is kept from an earlier"):
        assert part in page


@pytest.mark.alone
def test_speed_check_fails_where_too_slow(plan: Path) -> None:
    """Where more images a second are demanded than are reached it fails, and says how many there were."""
    plan.write_text(PLAN + "at_least = 1e12\n")
    (check,) = run_plan(load_plan(plan)).checks
    assert check.status is Status.FAILED
    assert "images/s, expected at least 1,000,000,000,000" in str(check.reason)
    assert check.details.of(Speed)[0].at_least == 1e12


@pytest.mark.slow
def test_speed_check_fails_where_values_differ(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast they are: one wrong value of one path fails it, and the report shows which."""
    monkeypatch.setattr(contestants, "run_loops", off_by_one)
    found = run_plan(load_plan(plan))
    (check,) = found.checks
    assert check.status is Status.FAILED
    assert str(check.reason).startswith("loops/b512/t1: image 3, tap classifier, channel 1: expected ")
    assert "image 3, tap classifier, channel 1" in render_report(found)


@pytest.mark.alone
def test_speed_is_measured_anew_in_every_run(plan: Path) -> None:
    """No figure of one run is another's: nothing is kept, so that none can be of another machine."""
    once, again = (run_plan(load_plan(plan)).checks[0].details.of(Speed)[0].measured for _ in range(2))
    assert [result.seconds for result in once.results] != [result.seconds for result in again.results]
    assert once.machine == again.machine
