"""Known faults and what they are called: the matrix that says whether explanations can be believed, and its check."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import fxsim.explain.inject.confusion as confusion_room
from benchmarks.explain import explain as benchmark
from fxsim.contract import Number, Tensor
from fxsim.engines import run
from fxsim.explain import Fault, Located
from fxsim.explain.inject import Outcome, confuse, injections
from fxsim.explain.inject.faulty import ROUNDINGS, faulty, rounded
from fxsim.formats import load
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Linear, Relu
from fxsim.paths import golden_dir
from fxsim.signoff import Status, load_plan, run_plan
from tests.conftest import ROOT, SEED
from tests.test_explain import ROUND
from tests.test_signoff import write_plan

CHECK = """
title = "faults"
seed = 3
[models]
small = {{ file = "{small}" }}
[[check]]
kind = "explain"
name = "faults"
about = "Faults are called what they are."
models = ["small"]
images = 2
faults = {faults}
named = 90
"""


def images(model: Model, count: int = 2) -> np.ndarray:
    """Random images."""
    tensor = model.graph.input
    drawn = np.random.default_rng(SEED).integers(tensor.number.low, tensor.number.high + 1, (count, *tensor.shape))
    return drawn.astype(tensor.number.dtype)


def small(name: str = "small") -> Model:
    """A golden model."""
    return load(golden_dir() / f"{name}.safetensors")


def wide() -> Model:
    """Three numbers of 16 bits each, rectified or not."""
    number = Number(16)
    op = Linear(
        np.array([[90, -70, 3], [1, 100, -100], [50, 60, 70]], np.int8), np.zeros(3, np.int16),
        np.full(3, 2, np.uint8), acc_bits=32, out=number,
    )  # fmt: skip
    nodes = (Node("fc", op, (INPUT,)), Node("act", Relu(), ("fc",)))
    return Model(Graph(Tensor(("token", "channel"), (2, 3), number), nodes), "wide")


@pytest.mark.parametrize("name", ["small", "small_relu"])
def test_without_a_fault_operators_are_right(name: str) -> None:
    """Every node, by the formulas that faults are made with."""
    model = small(name)
    x = images(model)
    values = {n: v.astype(np.int64) for n, v in run(model, x, model.graph.taps, "reference").items()}
    values[INPUT] = x.astype(np.int64)
    for node in model.graph.nodes:
        made = faulty(node, [values[i] for i in node.inputs], {}, np.random.default_rng(0))
        assert np.array_equal(made, values[node.name]), node.name


def test_roundings_are_those_of_fractions() -> None:
    """Of every value, each rounding."""
    values = np.arange(-300, 301) / 8
    names = {str(name): function for name, function in ROUND.items()}
    for rounding in ("half_up", *ROUNDINGS):
        assert rounded(values, rounding).tolist() == [names[rounding](v) for v in values.tolist()]


def test_every_label_of_the_documentation_is_injected() -> None:
    """What explanations may say is tried, and nothing is tried that they cannot say."""
    text = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")
    table = text[text.index("| what | labels |") :].split("\n\n")[0]
    # `_ceiling` stands after `rounding_floor`, and `channels_` before `shifted`.
    documented = set(re.findall(r"`([a-z_]+)`", table))
    models = [small(), small("small_relu"), wide()]
    labels = set()
    for model in models:
        values = {name: np.zeros((1, *tensor.shape), np.int64) for name, tensor in model.graph.tensors.items()}
        for node in model.graph.nodes:
            labels |= {i.label for i in injections(model, node, values, np.random.default_rng(0))}
    spelt = {f"rounding{name}" if name.startswith("_") else name for name in documented} - {"channels_", "tokens_"}
    spelt -= {"shifted", "reversed", "swapped"}
    spelt |= {f"{axis}_{what}" for axis in ("channels", "tokens") for what in ("shifted", "reversed", "swapped")}
    # Square weights and full tables are in the benchmark's other models.
    missing = spelt - labels - {"weights_transposed", "lut_resampled"}
    assert missing <= {"lut_edge_clamp"}, missing
    assert labels - spelt == {"unexplained", "contract_tflite_reference"}


@pytest.mark.slow
def test_no_fault_is_misnamed() -> None:
    """A sample of all labels, and a pair; random tables and noise are no rule."""
    found = confuse([(model, images(model)) for model in (small(), wide())], SEED + 1, most=54, pairs=1)
    assert found.misnamed == []
    assert found.count(Outcome.NAMED) > 34
    # Of rules in one channel or token two images say too little, and it is said so.
    assert found.count(Outcome.NAMED) + found.count(Outcome.ALTERNATIVE) + found.count(Outcome.TOO_FEW) > 42
    matrix = found.matrix()
    assert matrix["unexplained"].keys() == {"unexplained"}
    assert matrix["rounding_floor"].keys() == {"rounding_floor"}
    assert len(found.tried) + sum(found.harmless.values()) == 55
    # A bias added before a shift that rounds half up changes no value, and nothing is named.
    assert "bias_before_shift" in found.harmless
    assert "bias_before_shift" not in {tried.injected for tried in found.tried}


def liar(label: str) -> object:
    """A search that gives every fault the same label."""

    def explain(located: Located, tap: str) -> Fault:
        size = located.got[tap].size
        return Fault(
            tap=tap, label=label, exact=True, node=tap, parameters={}, alternatives=(), values=size, values_differing=1,
            values_explained=1, first=None,
        )  # fmt: skip

    return explain


@pytest.mark.slow
@pytest.mark.parametrize(
    ("label", "status", "words"),
    [
        (None, Status.PASSED, ""),
        ("rounding_floor", Status.FAILED, "was called rounding_floor"),
        ("unexplained", Status.FAILED, "rules got their name, expected at least 90 %"),
    ],
)
def test_the_check_passes_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: str | None, status: Status, words: str
) -> None:
    """It passes as things are; a search that gives wrong names fails, and so does one that gives none."""
    if label is not None:
        monkeypatch.setattr(confusion_room, "explain", liar(label))
    text = CHECK.format(small=golden_dir() / "small.safetensors", faults=24)
    record = run_plan(load_plan(write_plan(tmp_path, text, head="")))
    (check,) = record.checks
    assert check.status is status, check.reason
    assert words in (check.reason or "")


def test_benchmark_writes_the_matrix(tmp_path: Path) -> None:
    """Rows are injected, columns named; JSON has the same."""
    out = tmp_path / "matrix.csv"
    words = ["--models", "small_relu", "--images", "2", "--faults", "6", "--pairs", "1", "--out", str(out), "--json"]
    done = CliRunner().invoke(benchmark, words)
    assert done.exit_code == 0, done.output
    head, *rows = csv.reader(out.read_text(encoding="utf-8").splitlines())
    found = json.loads(done.stdout)
    counts = {row[0]: {name: int(n) for name, n in zip(head[1:], row[1:], strict=True) if int(n)} for row in rows}
    assert counts == found["matrix"]
    assert sum(found[str(outcome)] for outcome in Outcome) + sum(found["harmless"].values()) == 7
