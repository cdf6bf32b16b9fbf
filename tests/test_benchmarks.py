"""The kept measurements: that they run, and that the yardstick computes the network it claims to."""

import json
import subprocess
import sys

import numpy as np

from benchmarks.engines import float_forward
from fxsim.contract import TableRule
from fxsim.engines import run_reference
from fxsim.engines.compiled import instruction_sets
from fxsim.model import INPUT, Add, Affine, Axis, Graph, Linear, Lut, Node, Pool, Relu
from fxsim.paths import golden_dir
from tests.conftest import ROOT


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


def test_engine_benchmark_runs_and_says_whether_engines_agree() -> None:
    """`python -m benchmarks engines` measures every contestant and reports the engines equal."""
    model = golden_dir() / "small.safetensors"
    command = [sys.executable, "-m", "benchmarks", "engines", "--model", str(model), "--rounds", "1", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["equal"] is True
    assert len(summary["results"]) == 5 + len(instruction_sets())
    assert all(result["images_per_second"] > 0 for result in summary["results"])


def test_onnx_benchmark_runs_and_says_whether_it_is_right() -> None:
    """`python -m benchmarks onnx` measures one and two threads and reports ONNX Runtime equal to the reference."""
    model = golden_dir() / "small.safetensors"
    command = [sys.executable, "-m", "benchmarks", "onnx", "--model", str(model), "--rounds", "1", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["equal"] is True
    assert summary["batch"] == 256
    assert summary["images_per_second"].keys() == {"1", "2"}
    assert all(figure > 0 for figure in summary["images_per_second"].values())
