"""Lanes of described designs: runs of many images against Verilator's, faults, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from fxsim.cosim import CosimRequest, CosimResult, run_cosim
from fxsim.errors import StimulusError, ToolError
from fxsim.formats import load
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.lanes import LanesSimulator
from fxsim.operators import Linear, Relu
from fxsim.paths import golden_dir
from tests.test_described import PIPELINE, PIPELINE_TOML, RELU, design, swap, written
from tests.test_described_jobs import design as jobs
from tests.test_described_stream import SMALL, small

LANES = 5
RANDOM = np.random.default_rng(20261130)


@pytest.fixture(scope="module")
def model() -> Model:
    """A linear and a ReLU, as the awkward design computes them."""
    weight = RANDOM.integers(-128, 128, (4, 6)).astype(np.int8)
    bias, shift = np.array([3, -90, 0, 100], np.int8), np.array([8, 0, 9, 7], np.uint8)
    nodes = (Node("fc", Linear(weight, bias, shift), (INPUT,)), Node("act", Relu(), ("fc",)))
    return Model(Graph((3, 6), nodes), "tiny")


def images(count: int) -> np.ndarray:
    """Random images of it."""
    return np.random.default_rng(4).integers(-128, 128, (count, 3, 6)).astype(np.int8)


def run(model: Model, x: np.ndarray, dut: Path, lanes: int = 1, **options: object) -> CosimResult:
    """A run of a described design, in lanes or Verilator's, compiled quickly."""
    asked = {"power_on_seeds": (1,), "device": "described", "settings": {"dut": str(dut)}, "optimise": "-O0"} | options
    return run_cosim(CosimRequest(model, x, **asked), simulator=LanesSimulator(lanes, "-O1") if lanes > 1 else None)


def compare(model: Model, x: np.ndarray, dut: Path, stall: str) -> None:
    """Hold a run in lanes to one of every LANES-th image: the same cycles, stalls and resets, and all values right."""
    plain = run(model, x[::LANES], dut, stall=stall)
    wide = run(model, x, dut, LANES, stall=stall)
    assert plain.passed
    assert wide.passed, (stall, wide.verdict)
    assert (wide.provenance.lanes, wide.verdict.images) == (LANES, len(x))
    for of in ("cycles", "resets", "interval", "input_interval", "latency", "first_output_cycles"):
        assert getattr(wide.timing, of) == getattr(plain.timing, of), (stall, of)
    for tap, stream in (*plain.streams.taps.items(), ("output", plain.streams.output)):
        found = wide.streams.output if tap == "output" else wide.streams.taps[tap]
        assert (found.compared, found.mismatches) == (LANES * stream.compared, 0), (stall, tap)
        assert found.stalled_cycles == stream.stalled_cycles, (stall, tap)


@pytest.mark.slow
@pytest.mark.yosys
@pytest.mark.verilator
def test_control_of_a_described_design_is_verilators_and_every_value_is_right(model: Model, tmp_path: Path) -> None:
    """A design in SystemVerilog, its parameters in memory files, a tap below its instances; held back and reset."""
    dut = design(tmp_path / "d")
    for stall in ("none", "random:3", "gap:7", "burst:5+reset:3:2"):
        compare(model, images(6 * LANES), dut, stall)
    # No valid: beats come at a latency.
    compare(RELU, images(6 * LANES), written(tmp_path / "p", "pipeline", PIPELINE, PIPELINE_TOML), "random:5+gap:2")


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.yosys
@pytest.mark.verilator
def test_an_axi4_stream_with_ready_is_verilators_too(tmp_path: Path) -> None:
    """The streaming accelerator as somebody's own, 25 taps by hierarchical names; one that waits for valid, too."""
    dut = small(tmp_path / "d")
    x = RANDOM.integers(-128, 128, (3 * LANES, *SMALL.graph.input_shape)).astype(np.int8)
    for stall in ("none", "random:3", "wait", "random:9+reset:4:3"):
        compare(SMALL, x, dut, stall)


@pytest.mark.slow
@pytest.mark.yosys
@pytest.mark.verilator
def test_a_fault_of_a_described_design_is_found_where_verilator_finds_it(model: Model, tmp_path: Path) -> None:
    """A ReLU that lets small negative values through: the first value that differs, and how many at each tap."""
    dut = design(tmp_path / "d", {"awkward.sv": swap("q < 0 ?", "q < -3 ?")})
    x = images(4 * LANES + 2)
    plain, wide = run(model, x, dut), run(model, x, dut, LANES)
    assert not plain.passed
    assert not wide.passed
    assert plain.streams.output.mismatches > 0
    for of in ("image", "tap", "index", "expected", "got"):
        assert getattr(wide.verdict.first_mismatch, of) == getattr(plain.verdict.first_mismatch, of)
    for tap, stream in (*plain.streams.taps.items(), ("output", plain.streams.output)):
        found = wide.streams.output if tap == "output" else wide.streams.taps[tap]
        assert (found.compared, found.mismatches) == (stream.compared, stream.mismatches), tap


@pytest.mark.yosys
def test_a_described_design_whose_valid_depends_on_values_is_refused(model: Model, tmp_path: Path) -> None:
    """With the registers on the way, before anything is simulated."""
    dut = design(tmp_path / "d", {"awkward.sv": swap("done && mode_i;", "done && mode_i && g_out[0].q != 8'sd77;")})
    with pytest.raises(ToolError, match=r"the output 'out_valid' depends on data: .*q_o <- in_data"):
        run(model, images(3), dut, LANES)


PARAMETERS = (((2, 4), np.int8), ((2,), np.int8), ((2,), np.uint8))


def test_what_is_not_simulated_in_lanes_is_refused_with_its_reason(model: Model, tmp_path: Path) -> None:
    """A latency that is to be found; a design that works off jobs; several values a beat of the streaming one."""
    found = PIPELINE_TOML.replace("latency = 2", 'latency = "find"')
    with pytest.raises(StimulusError, match=r'pipeline\.toml: output stream: latency is "find", expected a number'):
        run(RELU, images(3), written(tmp_path / "p", "pipeline", PIPELINE, found), LANES)
    fc2 = Node("fc2", Linear(*(np.zeros(shape, kind) for shape, kind in PARAMETERS)), ("act",))
    fc1 = Node("fc1", model.graph.nodes[0].op, (INPUT,))
    two = Model(Graph((3, 6), (fc1, Node("act", Relu(), ("fc1",)), fc2)), "two")
    x = np.zeros((1, 3, 6), np.int8)
    with pytest.raises(StimulusError, match=r"not simulated in lanes, as .*jobs\.toml works off jobs, expected a"):
        run(two, x, jobs(tmp_path / "j"), LANES)
    large = load(golden_dir() / "psa_h96.safetensors")
    x = np.zeros((1, *large.graph.input_shape), np.int8)
    with pytest.raises(StimulusError, match=r"'stream' is not simulated in lanes, as it has 2 values a beat"):
        run_cosim(CosimRequest(large, x, settings={"beat": 2}), simulator=LanesSimulator(2))
