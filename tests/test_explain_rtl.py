"""Faults put into the RTL itself, simulated, kept and named; and what they taught: values as hardware holds them."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.explain_rtl import FAULTS, Bench, RtlFault, put_in
from fxsim.engines import run
from fxsim.errors import FxsimError
from fxsim.explain import Fault, diff, locate
from fxsim.explain.inject import Outcome
from fxsim.explain.inject.faulty import faulty
from fxsim.explain.search import explain
from fxsim.formats import load
from fxsim.graph import INPUT, Model
from fxsim.paths import golden_dir

CHOSEN = {"lut_segment_minus_one": 4, "bias_in_accumulator": 11, "unknown_bits": 1}
"""Faults, and at how many taps; the classifier's five values are too few to say why."""


def fault_at(model: Model, x: np.ndarray, node: str, values: np.ndarray) -> Fault:
    """The only fault of a trace that is right up to a node, where it holds these values."""
    taps = model.graph.taps[: model.graph.taps.index(node)]
    right = run(model, x, taps) if taps else {}
    (found,) = diff(model, x, {**right, node: values}).faults
    return found


def inputs(model: Model, x: np.ndarray, node: str) -> list[np.ndarray]:
    """A node's inputs."""
    names = model.graph.by_name[node].inputs
    values = {INPUT: x} | dict(run(model, x, "all"))
    return [values[name].astype(np.int64) for name in names]


@pytest.fixture(scope="module")
def model() -> Model:
    """The small golden model."""
    return load(golden_dir() / "small.safetensors")


@pytest.fixture(scope="module")
def x(model: Model) -> np.ndarray:
    """Random images."""
    return np.random.default_rng(1).integers(-128, 128, (4, *model.graph.input_shape)).astype(np.int8)


@pytest.mark.icarus
def test_faults_in_the_rtl_are_named(model: Model, x: np.ndarray, tmp_path: Path) -> None:
    """Three of the faults of `python -m benchmarks explain --rtl`, each at every tap that it makes wrong; and none."""
    faults = [next(fault for fault in FAULTS if fault.label == label) for label in CHOSEN]
    bench = Bench(model, x[:1], faults, tmp_path)
    for number, label in enumerate(CHOSEN):
        found = bench.run(number, in_four_states=True)
        assert found.label == label
        assert found.outcomes[Outcome.NAMED] == CHOSEN[label], found
        assert set(found.outcomes) <= {Outcome.NAMED, Outcome.UNEXPLAINED}, found
    (tmp_path / "right").mkdir()
    unharmed = Bench(model, x[:1], [RtlFault("none", "nothing is changed")], tmp_path / "right")
    with pytest.raises(FxsimError, match="the fault changed no value"):
        unharmed.run(0, in_four_states=True)


def test_an_expression_that_is_not_there_once_is_refused(tmp_path: Path) -> None:
    """A fault whose place is gone, or is two, would be none."""
    (tmp_path / "a.v").write_text("module a (\n);\nassign y = b + b;\n")
    for old in ("b", "c"):
        with pytest.raises(FxsimError, match="expected once"):
            put_in(tmp_path, [RtlFault("x", "", (("a.v", old, "0"),))])


def test_what_lies_behind_the_last_table_is_found(model: Model, x: np.ndarray) -> None:
    """A row's end is read past into the next row; behind the last there is anything, which is no point of a channel."""
    node = model.graph.by_name["blocks.0.mlp.psa_1"]
    given = inputs(model, x, node.name)
    given[0][:, :, -1] = np.where(given[0][:, :, -1] > 0, 125, given[0][:, :, -1])
    table = node.op.table.astype(np.int64)  # type: ignore[attr-defined]
    rng = np.random.default_rng(0)
    for behind in (-77, 50):
        ends = [int(v) for v in np.append(table[1:, 0], behind)]
        values = faulty(node, given, {"end": np.array(ends)}, rng)
        trace = {node.inputs[0]: given[0], node.name: values}
        fault = explain(locate(model, x, trace), node.name, pairs=False)
        assert (fault.label, fault.exact) == ("lut_overrun", True)
        assert abs(fault.parameters["behind"] - behind) <= 1
        assert "lut_edge_endpoint" in fault.alternatives


def test_results_may_be_read_as_eight_bits(model: Model, x: np.ndarray) -> None:
    """Limits of 0 to 255, and interpolations that leave their segment, in a trace of eight bits with a sign."""
    rng = np.random.default_rng(0)
    embed = model.graph.by_name["embed"]
    wide = faulty(embed, inputs(model, x, "embed"), {"limits": (0, 255)}, rng)
    assert wide.max() > 127
    fault = fault_at(model, x, "embed", wide)
    assert (fault.label, fault.alternatives, fault.parameters) == ("saturation_unsigned", (), {"limits": [0, 255]})
    fault = fault_at(model, x, "embed", wide.astype(np.int8))
    read = {"limits": [0, 255], "read_as": "int8"}
    assert (fault.label, fault.alternatives, fault.parameters) == ("saturation_unsigned", (), read)
    table = model.graph.by_name["blocks.0.mlp.psa_2"]
    wide = faulty(table, inputs(model, x, table.name), {"fraction_signed": True}, rng)
    assert not -128 <= wide.min() <= wide.max() <= 127
    assert fault_at(model, x, table.name, wide).label == "lut_fraction_signed"
    fault = fault_at(model, x, table.name, wide.astype(np.int8))
    assert (fault.label, fault.parameters) == ("lut_fraction_signed", {"result": "wraps"})


def test_one_wrong_value_is_no_contract(model: Model, x: np.ndarray) -> None:
    """One sum of two that wrapped: thirty contracts are too many to choose from for a single value."""
    add = model.graph.by_name["blocks.0.mlp.add"]
    right = faulty(add, inputs(model, x, add.name), {}, np.random.default_rng(0))
    wrapped = faulty(add, inputs(model, x, add.name), {"wrap": True}, np.random.default_rng(0))
    first = np.argwhere(right != wrapped)[0]
    images = x[first[0] : first[0] + 1]
    one = right[first[0]].copy()
    one[tuple(first[1:])] = wrapped[tuple(first)]
    fault = fault_at(model, images, add.name, one[None])
    assert (fault.values_differing, fault.label, fault.exact) == (1, "unexplained", False)
