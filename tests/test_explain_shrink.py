"""The least case of a fault: one operator, few values, the same cause, found anew in the folder."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fxsim.cli.diff import command
from fxsim.compare.four_state import FourState
from fxsim.engines import run
from fxsim.errors import ComparisonError
from fxsim.explain import diff
from fxsim.explain.shrink import shrink
from fxsim.formats import load, save
from fxsim.graph import Model
from fxsim.operators import Linear
from tests.test_explain import (
    ADD,
    LINEAR,
    MIXER,
    Values,
    model,
    requantise,
    right,
    with_faults,
    x,
)

__all__ = ["model", "right", "x"]  # fixtures


def noise(op: Linear, v: np.ndarray) -> np.ndarray:
    """One value in fifty is random."""
    rng = np.random.default_rng(5)
    y = requantise()(op, v)
    return np.where(rng.random(y.shape) < 0.02, rng.integers(-128, 128, y.shape), y)


@pytest.mark.parametrize(
    ("label", "tap", "fault", "most"),
    [
        ("bias_dropped", LINEAR, requantise(bias="dropped"), 6),
        pytest.param("bias_in_accumulator", MIXER, requantise(bias="accumulator"), 6, marks=pytest.mark.slow),
        ("residual_dropped", ADD, lambda _, a, __: a, 6),
        ("unexplained", LINEAR, noise, 1),
    ],
)
def test_the_least_case_is_one_operator_and_few_values(
    model: Model, x: np.ndarray, label: str, tap: str, fault: Callable[..., np.ndarray], most: int
) -> None:
    """Its wrong values are as few as say the same; the faulty function, of its inputs, gives what it holds."""
    trace = with_faults(model, x, {tap: fault})
    (whole,) = diff(model, x, trace).faults
    found = shrink(model, x, trace, whole)
    assert [node.name for node in found.part.nodes] == [tap]
    assert len(found.x) == 1
    assert (found.fault.label, found.fault.exact) == (label, whole.exact)
    assert 0 < found.fault.values_differing <= most
    node = found.part.nodes[0]
    if label != "unexplained":
        inputs = [found.part.given[name] for name in node.inputs]
        assert np.array_equal(fault(node.op, *inputs), found.part.got[tap])
    if isinstance(node.op, Linear):
        assert node.op.weight.size < model.graph.by_name[tap].op.weight.size  # type: ignore[attr-defined]


def test_what_a_rule_needs_of_the_nodes_before_stays(model: Model, x: np.ndarray) -> None:
    """An affine that was skipped is part of the case: without it nobody could say so."""
    trace = with_faults(model, x, {})
    graph = model.graph
    residual = graph.by_name["blocks.1.mlp.res_affine"].inputs[0]
    other = graph.by_name["blocks.1.mlp.add"].inputs
    main = next(name for name in other if name != "blocks.1.mlp.res_affine")
    values = trace[main].astype(np.int64) + trace[residual]
    trace["blocks.1.mlp.add"] = np.clip(values, -128, 127)
    (whole,) = [f for f in diff(model, x, trace).faults if f.tap == "blocks.1.mlp.add"]
    assert whole.label == "residual_affine_skipped"
    found = shrink(model, x, trace, whole)
    assert {"blocks.1.mlp.res_affine", "blocks.1.mlp.add"} <= {node.name for node in found.part.nodes}
    assert (found.fault.label, found.fault.exact) == ("residual_affine_skipped", True)


def test_unknown_bits_stay_unknown(model: Model, x: np.ndarray, right: Values) -> None:
    """One value is enough, and has the same bits."""
    unknown = np.zeros(right[LINEAR].shape, np.uint32)
    unknown[3, 2, 1] = 5
    trace = right | {LINEAR: FourState(right[LINEAR], unknown, 8)}
    (whole,) = diff(model, x, trace).faults
    found = shrink(model, x, trace, whole)
    (got,) = found.part.got.values()
    assert isinstance(got, FourState)
    assert got.unknown.tolist() == [[[5]]]


def test_command(model: Model, x: np.ndarray, tmp_path: Path) -> None:
    """The folder is whole, its one command says the same, what it expects is the engine's; none is written twice."""
    save(model, tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", x)
    trace = with_faults(model, x, {LINEAR: requantise(bias="dropped"), ADD: lambda _, a, __: a})
    np.savez(tmp_path / "t.npz", **{tap: values.astype(np.int8) for tap, values in trace.items()})
    words = [str(tmp_path / "m.safetensors"), "--input", str(tmp_path / "x.npy"), "--trace", str(tmp_path / "t.npz")]
    folder = tmp_path / "least"
    done = CliRunner().invoke(command, [*words, "--shrink", str(folder), "--fault", ADD])
    assert done.exit_code == 1, done.output
    assert f"fxsim diff {folder}" in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "expected", "got", "model.safetensors", "replay.sh"
    ]  # fmt: skip
    again = CliRunner().invoke(command, [str(folder), "--json"])
    assert [(f["tap"], f["label"]) for f in json.loads(again.stdout)["faults"]] == [(ADD, "residual_dropped")]
    least = load(folder / "model.safetensors")
    images = np.load(folder / "got" / "images.npy")
    made = run(least, images, (ADD,), "compiled")[ADD]
    assert np.array_equal(np.load(folder / "expected" / f"{ADD}.npy"), made)
    assert not np.array_equal(np.load(folder / "got" / "taps" / f"{ADD}.npy"), made)
    assert "residual_dropped" in (folder / "README.md").read_text()
    taken = CliRunner().invoke(command, [*words, "--shrink", str(folder)])
    assert "exists already" in str(taken.exception)
    other = CliRunner().invoke(command, [*words, "--shrink", str(tmp_path / "o"), "--fault", "pool"])
    assert "no fault of its own at 'pool'" in str(other.exception)
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_a_search_that_is_cancelled_leaves_nothing(
    model: Model, x: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the folder nor a part of it."""
    from fxsim.explain import minimal

    trace = with_faults(model, x, {LINEAR: requantise(bias="dropped")})
    (whole,) = diff(model, x, trace).faults
    found = shrink(model, x, trace, whole)

    def cancel(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(minimal, "_check", cancel)
    with pytest.raises(KeyboardInterrupt):
        minimal.write_minimal(tmp_path / "least", found, whole)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    # Nor does a case that shows something else once it is written.
    right = run(found.model, found.x, (LINEAR,), "reference")[LINEAR].astype(np.int64)
    spoiled = replace(found, trace={LINEAR: right})
    with pytest.raises(ComparisonError, match="shows nothing once it is written"):
        minimal.write_minimal(tmp_path / "least", spoiled, whole)
    assert list(tmp_path.iterdir()) == []
