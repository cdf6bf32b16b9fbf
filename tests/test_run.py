"""`fxsim run` end to end: what it writes and says, and that an interrupted one leaves nothing half-written."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fxsim
from fxsim.contract.number import BIPOLAR
from fxsim.engines import CHUNK_IMAGES, Engine
from fxsim.engines.compiled import compute_function, instruction_set
from fxsim.families import ResMLPConfig, build_resmlp, resmlp_parameters
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Argmax, Linear, Threshold
from tests.conftest import SEED, obey_ctrl_c

FXSIM = [sys.executable, "-c", "from fxsim.cli import main; main()"]

IMAGES = 2 * CHUNK_IMAGES[Engine.NUMBA] + 3


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """A small ReLU model, saved as m.safetensors beside x.npy, so many images that they take several chunks."""
    rng = np.random.default_rng(SEED)
    config = ResMLPConfig(4, 3, 8, 6, 1, 5)
    parameters = {
        name: rng.integers(4, 9, shape).astype(np.uint8)
        if name.endswith(".shift")
        else rng.integers(-128, 128, shape).astype(np.int8)
        for name, shape in resmlp_parameters(config).items()
    }
    made = Model(build_resmlp(config, parameters), "small")
    fxsim.save(made, tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", rng.integers(-128, 128, (IMAGES, 4, 3)).astype(np.int8))
    return made


def run(folder: Path, *options: str) -> str:
    """The text that `fxsim run` prints in a folder of model and images."""
    # Or a first run would say on standard error that it compiles.
    compute_function(instruction_set())
    command = [*FXSIM, "run", "m.safetensors", "x.npy", "-o", "out.npz", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("engine", ["auto", "numba", "reference"])
def test_every_engine_writes_the_same_file(model: Model, tmp_path: Path, engine: str) -> None:
    """All taps of all images are in the file, named, in order and equal to the reference's, whatever the engine."""
    run(tmp_path, "--engine", engine, "--taps", "all")
    expected = fxsim.run(model, np.load(tmp_path / "x.npy"), "all", Engine.REFERENCE)
    with np.load(tmp_path / "out.npz", allow_pickle=False) as found:
        assert found.files == list(expected)
        for tap, values in expected.items():
            assert found[tap].dtype == np.int8
            np.testing.assert_array_equal(found[tap], values, tap)


def test_summary_counts_predicted_classes(model: Model, tmp_path: Path) -> None:
    """The summary counts how many images each class got, over all chunks; the same for people and for scripts."""
    scores = fxsim.run(model, np.load(tmp_path / "x.npy"), engine=Engine.REFERENCE)["classifier"]
    expected = [int((scores.argmax(axis=1) == i).sum()) for i in range(5)]
    summary = json.loads(run(tmp_path, "--json"))
    assert summary["predicted"] == expected
    assert (summary["images"], summary["engine"], summary["taps"]) == (IMAGES, "numba", ["classifier"])
    assert summary["images_per_second"] > 0
    text = run(tmp_path)
    assert text.startswith(f"out.npz: {IMAGES:,} images, ")
    assert "predicted: " + ", ".join(f"class {i}: {n}" for i, n in enumerate(expected) if n) in text


def test_summary_counts_classes_of_an_argmax(model: Model, tmp_path: Path) -> None:
    """Where the model itself names the class, that is counted."""
    graph = Graph(model.graph.input, (*model.graph.nodes, Node("class", Argmax(4), ("classifier",))))
    fxsim.save(Model(graph, "named"), tmp_path / "m.safetensors")
    scores = fxsim.run(model, np.load(tmp_path / "x.npy"), engine=Engine.REFERENCE)["classifier"]
    expected = [int((scores[:, :4].argmax(axis=1) == i).sum()) for i in range(4)]
    assert sum(n > 0 for n in expected) > 1
    assert json.loads(run(tmp_path, "--json", "--engine", "reference"))["predicted"] == expected


@pytest.mark.usefixtures("model")
def test_summary_without_a_classifier(tmp_path: Path) -> None:
    """Where the classifier is not computed, or is no vector of scores, no classes are counted."""
    assert json.loads(run(tmp_path, "--taps", "embed,pool", "--json"))["predicted"] is None
    assert "predicted" not in run(tmp_path, "--taps", "embed")
    weight = np.ones((2, 3), np.int8)
    op = Linear(weight, weight[:, 0], np.zeros(2, np.uint8))
    fxsim.save(Model(Graph((4, 3), (Node("classifier", op, (INPUT,)),)), "by token"), tmp_path / "m.safetensors")
    assert json.loads(run(tmp_path, "--json"))["predicted"] is None


def test_summary_of_bits(model: Model, tmp_path: Path) -> None:
    """Bits of -1 and 1 name no class: several may be 1, or none."""
    steps = Threshold(np.zeros((5, 1), np.int32), np.ones(5, np.uint8), np.array([-1, 1], np.int8), BIPOLAR)
    nodes = (*model.graph.nodes, Node("bits", steps, ("classifier",)))
    fxsim.save(Model(Graph(model.graph.input, nodes), "bits"), tmp_path / "m.safetensors")
    assert json.loads(run(tmp_path, "--json", "--engine", "reference"))["predicted"] is None


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("number", "status", "word"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "ended by SIGTERM"),
        (signal.SIGHUP, 129, "ended by SIGHUP"),
    ],
)
def test_interruption_leaves_what_was_there(number: signal.Signals, status: int, word: str, tmp_path: Path) -> None:
    """Ctrl-C, `kill` or a closed terminal in the middle of a run: no half-written file, the old result untouched."""
    np.save(tmp_path / "x.npy", np.zeros((1_000_000, 4, 3), np.int8))
    (tmp_path / "out.npz").write_text("the old result")
    before = {path.name for path in tmp_path.iterdir()}
    command = [*FXSIM, "run", "m.safetensors", "x.npy", "-o", "out.npz", "--engine", "reference"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=obey_ctrl_c) as process:
        # Its parts lie in a hidden folder beside the result: once they grow, it is computing.
        while not any(part.stat().st_size > 4096 for part in tmp_path.glob(".out.npz.*/*")):
            assert process.poll() is None, "ended before it could be interrupted"
            time.sleep(0.02)
        process.send_signal(number)
        _, message = process.communicate(timeout=60)
    assert process.returncode == status
    assert message.strip() == f"fxsim: {word}"
    assert {path.name for path in tmp_path.iterdir()} == before
    assert (tmp_path / "out.npz").read_text() == "the old result"
