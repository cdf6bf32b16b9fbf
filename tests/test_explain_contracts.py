"""Whole traces of other arithmetic: which named contracts make every value.

The traces are made here, by formulas of this file.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from fxsim.cli.diff import command
from fxsim.compare.four_state import FourState
from fxsim.engines import apply
from fxsim.explain import diff, locate
from fxsim.explain.run import diff_located
from fxsim.explain.telling import Teller
from fxsim.explain.whole import reproducing
from fxsim.formats import load, save
from fxsim.graph import INPUT, Model
from fxsim.operators import Add, Affine, Linear, Pool
from fxsim.paths import golden_dir

Values = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def model() -> Model:
    """The small golden model."""
    return load(golden_dir() / "small.safetensors")


@pytest.fixture(scope="module")
def x(model: Model) -> np.ndarray:
    """Random images."""
    return np.random.default_rng(11).integers(-128, 128, (4, *model.graph.input_shape)).astype(np.int8)


def away(total: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Half away from zero."""
    half = (np.int64(1) << shift) >> 1
    return np.where(total >= 0, (total + half) >> shift, -((-total + half) >> shift))


def double(total: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """TensorFlow Lite's: one bit cut half up, the others half away."""
    return np.where(shift == 0, total, away((total + 1) >> 1, np.maximum(shift - 1, 0)))


def even(total: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Half to even, by doubles, which hold these sums."""
    return np.rint(total / 2.0**shift).astype(np.int64)


def up(total: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Half up."""
    return np.floor(total / 2.0**shift + 0.5).astype(np.int64)


def saturate(values: np.ndarray) -> np.ndarray:
    """To int8."""
    return np.minimum(np.maximum(values, -128), 127)


def wrap(values: np.ndarray) -> np.ndarray:
    """Into int8."""
    return (values + 128) % 256 - 128


Divide = Callable[[np.ndarray, np.ndarray], np.ndarray]


def requantised(op: Any, v: np.ndarray, divide: Divide, limit: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A linear or affine whose bias is in the accumulator."""
    v = v.swapaxes(-1, -2) if getattr(op, "over", None) == "tokens" else v
    weight, shift = op.weight.astype(np.int64), op.shift.astype(np.int64)
    acc = v @ weight.T if weight.ndim == 2 else v * weight
    y = limit(divide(acc + (op.bias.astype(np.int64) << shift), shift))
    return y.swapaxes(-1, -2) if getattr(op, "over", None) == "tokens" else y


def trace(
    model: Model, x: np.ndarray, divide: Divide, mean: Divide, limit: Callable[[np.ndarray], np.ndarray] = saturate
) -> Values:
    """All taps of a model whose biases are in the accumulator; rectifiers and tables as the engine has them."""
    values: Values = {INPUT: x.astype(np.int64)}
    for node in model.graph.nodes:
        op: Any = node.op
        inputs = [values[name] for name in node.inputs]
        if isinstance(op, Linear | Affine):
            values[node.name] = requantised(op, inputs[0], divide, limit)
        elif isinstance(op, Pool):
            values[node.name] = mean(inputs[0].sum(axis=-2), np.int64(op.tokens.bit_length() - 1))
        elif isinstance(op, Add):
            values[node.name] = limit(inputs[0] + inputs[1])
        else:
            values[node.name] = apply(node, inputs[0].astype(np.int8)).astype(np.int64)
    del values[INPUT]
    return values


ARITHMETIC: list[tuple[set[str], Divide, Divide, Callable[[np.ndarray], np.ndarray]]] = [
    ({"tflite_reference", "cmsis_nn"}, double, away, saturate),
    ({"gemmlowp"}, double, up, saturate),
    ({"litert_reference", "ap_rnd_inf_sat"}, away, away, saturate),
    ({"onnx_qlinear", "pytorch_fake_quant", "ap_rnd_conv_sat"}, even, even, saturate),
    ({"xnnpack_fp32"}, even, away, saturate),
    ({"ap_rnd_conv_wrap"}, even, even, wrap),
    ({"ap_trn_wrap"}, lambda v, s: v >> s, lambda v, s: v >> s, wrap),
    ({"fxsim", "ap_rnd_sat"}, up, up, saturate),
    ({"finn_thresholds"}, up, lambda v, s: v >> s, saturate),
    (set(), away, lambda v, s: np.trunc(v / 2.0**s).astype(np.int64), saturate),
]


@pytest.mark.parametrize(("names", "divide", "mean", "limit"), ARITHMETIC, ids=[str(sorted(a[0])) for a in ARITHMETIC])
def test_a_whole_trace_is_one_contracts(
    model: Model, x: np.ndarray, names: set[str], divide: Divide, mean: Divide, limit: Any
) -> None:
    """Faults at many taps, one name; and none where averages are another's."""
    assert set(reproducing(locate(model, x, trace(model, x, divide, mean, limit)))) == names


def test_taps_that_are_left_out_are_computed_between(model: Model, x: np.ndarray) -> None:
    """A trace of the outputs of blocks, and one of the network's output alone."""
    whole = trace(model, x, double, away)
    for taps in (["blocks.0.mlp.add", "classifier"], ["classifier"]):
        assert {"tflite_reference", "cmsis_nn"} <= set(reproducing(locate(model, x, {tap: whole[tap] for tap in taps})))


def test_one_value_that_is_another_leaves_none(model: Model, x: np.ndarray) -> None:
    """A single wrong value in the last image, and bits that nobody knows."""
    whole = trace(model, x, double, away)
    whole["classifier"] = whole["classifier"].copy()
    whole["classifier"][-1, 0] ^= 1
    assert reproducing(locate(model, x, whole)) == ()
    whole = trace(model, x, up, up)
    unknown = np.zeros(whole["classifier"].shape, np.uint32)
    unknown[0, 0] = 1
    hidden = FourState(whole["classifier"].astype(np.int8), unknown, 8)
    assert reproducing(locate(model, x, whole | {"classifier": hidden})) == ()


def test_one_fault_of_double_rounding_is_named(model: Model, x: np.ndarray) -> None:
    """A single node that is TensorFlow Lite's, in a trace that is ours elsewhere."""
    name = "blocks.0.mlp.linear_1"
    right = trace(model, x, up, up)
    node = model.graph.by_name[name]
    right[name] = requantised(node.op, right[node.inputs[0]], double, saturate)
    found = diff(model, x, {tap: values for tap, values in right.items() if tap == name} | {
        tap: right[tap] for tap in model.graph.by_name[name].inputs
    })  # fmt: skip
    assert [(fault.tap, fault.label, fault.exact) for fault in found.faults] == [
        (name, "contract_tflite_reference", True)
    ]


@pytest.mark.slow
def test_one_rule_of_a_tap_is_not_sure_beside_the_two_of_another(model: Model, x: np.ndarray) -> None:
    """Half away with the bias before it. At one tap half away alone makes every value, at another only both rules do.

    Then both are told at the first, with an image where they differ; of the first alone half away is sure.
    """
    one, two = "blocks.1.token_mixer.affine_1", "blocks.0.token_mixer.affine_1"
    right = trace(model, x, up, up)
    wrong = {}
    for name in (one, two):
        node = model.graph.by_name[name]
        wrong[name] = requantised(node.op, right[node.inputs[0]], away, saturate)
    (alone,) = diff(model, x, right | {one: wrong[one]}).faults
    assert (alone.tap, alone.label, alone.exact, alone.alternatives) == (one, "rounding_half_away", True, ())
    teller, both = Teller(), "bias_before_shift+rounding_half_away"
    faults = {fault.tap: fault for fault in diff_located(model, x, right | wrong, teller=teller)[0].faults}
    assert (faults[two].label, faults[two].exact, faults[two].alternatives) == (both, True, ())
    assert (faults[one].label, faults[one].alternatives) == ("rounding_half_away", (both,))
    (telling,) = faults[one].telling
    assert (telling.label, telling.same, telling.files) == (both, False, {INPUT: "telling.npy"})
    assert telling.row is not None
    assert telling.index is not None
    given = trace(model, teller.images[telling.row][None], up, up)
    node = model.graph.by_name[one]
    place = (0, *telling.index.values())
    acc = (given[node.inputs[0]] * node.op.weight.astype(np.int64))[place]
    shift, bias = (int(getattr(node.op, name)[place[-1]]) for name in ("shift", "bias"))
    assert telling.results == (int(away(acc, shift)) + bias, int(away(acc + (bias << shift), shift)))


def test_a_contract_of_the_whole_trace_stands_beside_one_rule(model: Model, x: np.ndarray) -> None:
    """Where every tap is one contract's, one rule that makes the same at a tap is not sure."""
    whole = trace(model, x, away, up)
    block = "blocks.0.token_mixer"
    taps = ("embed", f"{block}.res_affine", f"{block}.affine_1", f"{block}.add")
    found = diff(model, x, {tap: whole[tap] for tap in taps})
    assert found.contracts == ("litert_reference", "ap_rnd_inf_sat")
    fault = next(fault for fault in found.faults if fault.tap == f"{block}.res_affine")
    assert fault.label == "rounding_half_away"
    assert "contract_litert_reference" in fault.alternatives
    # gemmlowp requantises as TensorFlow Lite: another name of one rule is no other rule.
    whole = trace(model, x, double, up)
    found = diff(model, x, {tap: whole[tap] for tap in taps[:-1]})
    assert "gemmlowp" in found.contracts
    *_, at_one, at_other = found.faults
    assert (at_one.label, at_one.alternatives) == ("rounding_half_away", ("contract_tflite_reference",))
    assert (at_other.label, at_other.alternatives) == ("contract_tflite_reference", ())


@pytest.mark.slow
def test_the_command_says_so(model: Model, x: np.ndarray, tmp_path: Path) -> None:
    """In JSON, and in words."""
    save(model, tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "t.npz", **{k: v.astype(np.int8) for k, v in trace(model, x, even, away).items()})
    said = [str(tmp_path / n) for n in ("m.safetensors", "x.npy", "t.npz")]
    arguments = [said[0], "--input", said[1], "--trace", said[2]]
    done = CliRunner().invoke(command, [*arguments, "--json"])
    found = json.loads(done.stdout)
    assert (done.exit_code, found["contracts"]) == (1, ["xnnpack_fp32"])
    # Two changes of ours make no tap of it alone: the contract is the cause.
    labels = {fault["label"] for fault in found["faults"]}
    assert "contract_xnnpack_fp32" in labels
    assert all(fault["exact"] for fault in found["faults"])
    done = CliRunner().invoke(command, arguments)
    assert "every value is made by the arithmetic of: xnnpack_fp32" in done.output
