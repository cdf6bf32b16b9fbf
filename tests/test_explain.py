"""Why a trace differs: where the fault is, the rule that makes it, and what must stay unexplained.

Faulty traces are made here, by plain loops and formulas of this file.
"""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from fxsim.cli.diff import command
from fxsim.compare.four_state import FourState
from fxsim.engines import run
from fxsim.errors import ComparisonError, FileError
from fxsim.explain import Diff, diff
from fxsim.explain.rules import CONTRACT, Rounding, compute, cut
from fxsim.formats import load, save
from fxsim.formats.headers import import_headers
from fxsim.formats.npy import read_archive
from fxsim.graph import INPUT, Model
from fxsim.paths import golden_dir
from fxsim.traces import read_trace

SEED = 20261129
IMAGES = 6
LINEAR, AFFINE, TABLE, ADD = (f"blocks.0.{name}" for name in ("mlp.linear_1", "mlp.res_affine", "mlp.psa_1", "mlp.add"))
MIXER = "blocks.1.token_mixer.linear"
Values = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def model() -> Model:
    """The small golden model."""
    return load(golden_dir() / "small.safetensors")


@pytest.fixture(scope="module")
def x(model: Model) -> np.ndarray:
    """Random images."""
    return np.random.default_rng(SEED).integers(-128, 128, (IMAGES, *model.graph.input_shape)).astype(np.int8)


@pytest.fixture(scope="module")
def right(model: Model, x: np.ndarray) -> Values:
    """Its taps."""
    return run(model, x, model.graph.taps, "reference")


def with_faults(model: Model, x: np.ndarray, faults: dict[str, Callable[..., np.ndarray]]) -> Values:
    """A trace in which some nodes are computed by functions of their operator and inputs, the rest by the contract."""
    values: Values = {INPUT: x}
    for node in model.graph.nodes:
        inputs = [values[name].astype(np.int64) for name in node.inputs]
        faulty = faults.get(node.name)
        values[node.name] = compute(node.op, CONTRACT, *inputs) if faulty is None else faulty(node.op, *inputs)
    del values[INPUT]
    return values


def requantise(round_: Callable[[float], int] = lambda v: floor(v + 0.5), **other: Any) -> Callable[..., np.ndarray]:
    """A linear or affine in exact fractions: `round_` of the shifted sum; options by name."""

    def faulty(op: Any, x: np.ndarray) -> np.ndarray:
        weight = other.get("weight", lambda w: w)(op.weight.astype(np.int64))
        tokens = getattr(op, "over", None) == "tokens"
        x = np.swapaxes(x, -1, -2) if tokens else x
        acc = x @ weight.T if weight.ndim == 2 else x * weight
        y = np.empty(acc.shape, np.int64)
        for place in np.ndindex(acc.shape):
            row = place[-1]
            bias, shift = int(op.bias[row]), other.get("shift", lambda s, _: s)(int(op.shift[row]), row)
            total = int(acc[place])
            if other.get("bias") == "accumulator":
                total, bias = total + bias, 0
            if other.get("bias") == "dropped":
                bias = 0
            if "acc_bits" in other:
                half = 1 << other["acc_bits"] - 1
                total = (total + half) % (2 * half) - half
            value = round_(total / 2**shift) + bias  # a double holds it exactly: sums have far fewer than 53 bits
            y[place] = (value + 128) % 256 - 128 if other.get("wrap") else min(max(value, -128), 127)
        return np.swapaxes(y, -1, -2) if tokens else y

    return faulty


def half_even(value: float) -> int:
    """Ties to even."""
    return round(value)


def half_away(value: float) -> int:
    """Ties away from zero."""
    return floor(abs(value) + 0.5) * (1 if value >= 0 else -1)


def toward_zero(value: float) -> int:
    """Without the fraction."""
    return int(value)


def one_fault(found: Diff, tap: str) -> dict[str, object]:
    """The only fault, which must be at `tap` and explained."""
    assert not found.equal
    assert [fault.tap for fault in found.faults] == [tap]
    (fault,) = found.faults
    assert fault.exact
    assert fault.values_explained == fault.values_differing > 0
    return {"label": fault.label, "alternatives": fault.alternatives, **fault.parameters}


@pytest.mark.parametrize("name", ["small", "small_relu", "digits_small"])
def test_rules_without_change_are_the_contract(name: str) -> None:
    """Every node of golden models, computed without a change."""
    model = load(golden_dir() / f"{name}.safetensors")
    x = np.random.default_rng(SEED).integers(-128, 128, (2, *model.graph.input_shape)).astype(np.int8)
    values = run(model, x, model.graph.taps, "reference") | {INPUT: x}
    for node in model.graph.nodes:
        made = compute(node.op, CONTRACT, *(values[i] for i in node.inputs))
        assert np.array_equal(made, values[node.name]), node.name


ROUND: dict[Rounding, Callable[[float], int]] = {
    Rounding.HALF_UP: lambda v: floor(v + 0.5),
    Rounding.FLOOR: floor,
    Rounding.CEILING: lambda v: -floor(-v),
    Rounding.TOWARD_ZERO: toward_zero,
    Rounding.HALF_EVEN: half_even,
    Rounding.HALF_AWAY: half_away,
    Rounding.HALF_DOWN: lambda v: -floor(-v + 0.5),
    Rounding.HALF_TOWARD_ZERO: lambda v: -floor(-v + 0.5) if v >= 0 else floor(v + 0.5),
}


@pytest.mark.parametrize("rounding", list(Rounding))
def test_roundings(rounding: Rounding) -> None:
    """Every rounding of every value, against the same in fractions."""
    values = np.arange(-600, 601)
    for bits in range(9):
        assert cut(values, bits, rounding).tolist() == [ROUND[rounding](int(v) / 2**bits) for v in values]


def test_equal(model: Model, x: np.ndarray, right: Values) -> None:
    """A right trace has no faults."""
    found = diff(model, x, right)
    assert found.equal
    assert found.faults == ()
    assert found.not_compared == ()
    assert found.first_differing is None


LABELS: list[tuple[str, str, Callable[..., np.ndarray]]] = [
    ("rounding_floor", LINEAR, requantise(floor)),
    ("rounding_half_even", LINEAR, requantise(half_even)),
    ("rounding_half_even", MIXER, requantise(half_even)),
    ("rounding_half_away", AFFINE, requantise(half_away)),
    ("rounding_toward_zero", LINEAR, requantise(toward_zero)),
    ("bias_dropped", LINEAR, requantise(bias="dropped")),
    ("bias_in_accumulator", MIXER, requantise(bias="accumulator")),
    ("shift_plus_one", LINEAR, requantise(shift=lambda s, _: s + 1)),
    ("shift_minus_one", AFFINE, requantise(shift=lambda s, _: s - 1)),
    ("saturation_wrap", LINEAR, requantise(wrap=True)),
    ("accumulator_width", LINEAR, requantise(acc_bits=12)),
    ("weights_unsigned", LINEAR, requantise(weight=lambda w: w % 256)),
    ("add_unsaturated_wrap", ADD, lambda _, a, b: (a + b + 128) % 256 - 128),
    ("residual_dropped", ADD, lambda _, a, __: a),
    ("rounding_floor", "pool", lambda op, v: v.sum(axis=1) // op.tokens),
    ("operand_transposed", LINEAR, lambda op, v: requantise()(op, v.swapaxes(1, 2).reshape(v.shape))),
    ("channels_reversed", LINEAR, lambda op, v: requantise()(op, v)[..., ::-1]),
    ("channels_shifted", LINEAR, lambda op, v: np.roll(requantise()(op, v), 1, axis=-1)),
    ("tokens_shifted", LINEAR, lambda op, v: np.roll(requantise()(op, v), 3, axis=1)),
]


@pytest.mark.parametrize(("label", "tap", "fault"), LABELS, ids=[f"{label} {tap}" for label, tap, _ in LABELS])
def test_a_fault_is_named(model: Model, x: np.ndarray, label: str, tap: str, fault: Callable[..., np.ndarray]) -> None:
    """One fault, named; and nothing else fits."""
    found = one_fault(diff(model, x, with_faults(model, x, {tap: fault})), tap)
    assert found["label"] == label
    # Another rule may give the very same values: here only the tokens of the operand in place of the result's.
    assert found["alternatives"] == (("tokens_shifted",) if label == "tokens_shifted" else ())


def table_values(op: Any, x: np.ndarray, rule: str) -> np.ndarray:
    """An interpolated table in plain loops, wrong in one way."""
    bits = op.number.bits - (op.points.bit_length() - 1)
    flat = [int(v) for v in op.table.ravel()] + [0] * 4
    y = np.empty(x.shape, np.int64)
    for place in np.ndindex(x.shape):
        code, start = int(x[place]) + 128, place[-1] * op.table.shape[1]
        if rule == "offset":
            code = int(x[place]) % 256
        segment, fraction = code >> bits, code % (1 << bits)
        if rule == "overrun":
            lower, upper = flat[start + segment], flat[start + segment + 1]
        elif rule == "hold":
            lower, upper = flat[start + segment], flat[start + min(segment + 1, op.points - 1)]
        else:
            segment = min(segment, op.points - 2)
            lower, upper = flat[start + segment], flat[start + segment + 1]
        if rule == "none":
            y[place] = lower
        else:
            y[place] = lower + floor((upper - lower) * fraction / (1 << bits) + (0 if rule == "floor" else 0.5))
    return y


@pytest.mark.parametrize(
    ("label", "rule"),
    [
        ("lut_no_interpolation", "none"),
        ("lut_edge_hold", "hold"),
        ("lut_overrun", "overrun"),
        ("lut_index_offset", "offset"),
        ("rounding_floor", "floor"),
    ],
)
def test_a_table_read_wrongly_is_named(model: Model, x: np.ndarray, label: str, rule: str) -> None:
    """A table's rule."""
    found = one_fault(diff(model, x, with_faults(model, x, {TABLE: lambda op, v: table_values(op, v, rule)})), TABLE)
    assert found["label"] == label


def test_a_corrupted_entry_is_found(model: Model, x: np.ndarray) -> None:
    """Which entry, what it was, what it is."""

    def fault(op: Any, v: np.ndarray) -> np.ndarray:
        table = op.table.astype(np.int64).copy()
        table[2, 5] ^= 0x10
        return compute(type(op)(table.astype(np.int8), op.rule), CONTRACT, v)

    found = one_fault(diff(model, x, with_faults(model, x, {TABLE: fault})), TABLE)
    stated = int(model.graph.by_name[TABLE].op.table[2, 5])
    assert found["label"] == "lut_corrupted"
    assert found["entries"] == [{"channel": 2, "entry": 5, "value": stated ^ 0x10, "stated": stated}]


def test_a_channels_shift_is_found(model: Model, x: np.ndarray) -> None:
    """Which channel, what it was, what it is."""
    found = one_fault(
        diff(model, x, with_faults(model, x, {LINEAR: requantise(shift=lambda s, row: s + 2 * (row == 3))})), LINEAR
    )
    stated = int(model.graph.by_name[LINEAR].op.shift[3])
    assert found["label"] == "shift_wrong_channel"
    assert found["channels"] == [{"row": 3, "shift": stated + 2, "stated": stated}]


def test_a_weight_is_found(model: Model, x: np.ndarray) -> None:
    """Which weight, what it was, what it is."""

    def change(w: np.ndarray) -> np.ndarray:
        w = w.copy()
        w[1, 4] = -w[1, 4] - 1
        return w

    found = one_fault(diff(model, x, with_faults(model, x, {LINEAR: requantise(weight=change)})), LINEAR)
    stated = int(model.graph.by_name[LINEAR].op.weight[1, 4])
    assert found["label"] == "weight_corrupted"
    assert found["weights"] == [{"index": [1, 4], "weight": -stated - 1, "stated": stated}]


def only(fault: Callable[..., np.ndarray], axis: int, places: list[int]) -> Callable[..., np.ndarray]:
    """A fault in some places of an axis, where all others are right."""

    def partly(op: Any, *inputs: np.ndarray) -> np.ndarray:
        y, wrong = (np.moveaxis(f(op, *inputs), axis, -1) for f in (lambda op, *v: compute(op, CONTRACT, *v), fault))
        y[..., places] = wrong[..., places]
        return np.moveaxis(y, -1, axis)

    return partly


@pytest.mark.parametrize(
    ("label", "tap", "fault", "words", "more"),
    [
        ("rounding_floor", LINEAR, only(requantise(floor), -1, [3]), {"channels": [3]}, {}),
        ("bias_dropped", LINEAR, only(requantise(bias="dropped"), -2, [15]), {"tokens": [15]}, {}),
        ("rounding_toward_zero", MIXER, only(requantise(toward_zero), -2, [0]), {"tokens": [0]}, {}),
        (
            "lut_no_interpolation", TABLE, only(lambda op, v: table_values(op, v, "none"), -1, [2, 6]),
            {"channels": [2, 6]}, {"lanes": 4, "lane": 2},
        ),
        (
            "residual_dropped", ADD, only(lambda _, a, __: a, -2, [0]), {"tokens": [0]},
            {"kept": "blocks.0.mlp.linear_2"},
        ),
    ],
    ids=["a channel", "a token", "a row of tokens", "a lane", "an operand"],
)  # fmt: skip
def test_a_rule_in_some_places_is_named_with_them(
    model: Model,
    x: np.ndarray,
    label: str,
    tap: str,
    fault: Callable[..., np.ndarray],
    words: dict[str, list[int]],
    more: dict[str, object],
) -> None:
    """A rule in one channel, token or lane, and which."""
    found = one_fault(diff(model, x, with_faults(model, x, {tap: fault})), tap)
    assert found["label"] == label
    assert {name: found[name] for name in (words | more)} == words | more


def test_a_dropped_product_is_named(model: Model, x: np.ndarray) -> None:
    """The last of every sum, or another: which."""

    def without(column: int) -> Callable[..., np.ndarray]:
        return requantise(weight=lambda w: np.where(np.arange(w.shape[1]) == column % w.shape[1], 0, w))

    for column, said in ((-1, "last"), (4, 4)):
        found = one_fault(diff(model, x, with_faults(model, x, {LINEAR: without(column)})), LINEAR)
        assert (found["label"], found["product"]) == ("product_dropped", said)


def test_a_neighbours_bias_is_named(model: Model, x: np.ndarray) -> None:
    """Of every channel, or of one: whose."""

    def borrowing(rows: list[int]) -> Callable[..., np.ndarray]:
        def faulty(op: Any, v: np.ndarray) -> np.ndarray:
            bias = op.bias.copy()
            bias[rows] = op.bias[np.array(rows) - 1]
            return requantise()(replace(op, bias=bias), v)

        return faulty

    bias = model.graph.by_name[LINEAR].op.bias
    every = one_fault(diff(model, x, with_faults(model, x, {LINEAR: borrowing(list(range(len(bias))))})), LINEAR)
    assert (every["label"], every["used"], every["at_the_end"]) == ("bias_wrong_channel", "previous", "other end's")
    one = one_fault(diff(model, x, with_faults(model, x, {LINEAR: borrowing([3])})), LINEAR)
    assert one["label"] == "bias_wrong_channel"
    assert one["channels"] == [{"row": 3, "bias_of": 2, "bias": int(bias[2])}]
    # It is a bias of this value, wherever it comes from.
    assert one["alternatives"] == ("bias_corrupted",)


@pytest.mark.slow
def test_what_is_fitted_is_found_beside_another_rule(model: Model, x: np.ndarray) -> None:
    """A shift beside a rounding; swapped channels beside a bias; an entry beside another way to read the table."""

    def swapped(op: Any, v: np.ndarray) -> np.ndarray:
        y = requantise(bias="dropped")(op, v)
        y[..., [1, 4]] = y[..., [4, 1]]
        return y

    def entry(op: Any, v: np.ndarray) -> np.ndarray:
        table = op.table.copy()
        table[2, 5] ^= 0x10
        return table_values(replace(op, table=table), v, "none")

    def found(tap: str, fault: Callable[..., np.ndarray], label: str) -> dict[str, object]:
        named = one_fault(diff(model, x, with_faults(model, x, {tap: fault})), tap)
        assert named["label"] == label
        return {name.split(" at ")[0]: of for name, of in named.items() if name.endswith(f" at {tap}")}

    stated = int(model.graph.by_name[LINEAR].op.shift[3])
    shift = found(
        LINEAR, requantise(floor, shift=lambda s, row: s + 2 * (row == 3)), "rounding_floor+shift_wrong_channel"
    )
    assert shift["shift_wrong_channel"] == {"channels": [{"row": 3, "shift": stated + 2, "stated": stated}]}
    assert found(LINEAR, swapped, "bias_dropped+channels_swapped")["channels_swapped"] == {"channels": [1, 4]}
    stated = int(model.graph.by_name[TABLE].op.table[2, 5])
    assert found(TABLE, entry, "lut_corrupted+lut_no_interpolation")["lut_corrupted"] == {
        "entries": [{"channel": 2, "entry": 5, "value": stated ^ 0x10, "stated": stated}]
    }


def test_too_few_wrong_values_are_not_called_for_sure(model: Model, x: np.ndarray) -> None:
    """A rounding in one channel of an average says too little: it is told as what may be."""
    trace = with_faults(model, x, {"pool": only(lambda op, v: v.sum(axis=1) // op.tokens, -1, [0])})
    (fault,) = diff(model, x, trace).faults
    assert (fault.label, fault.exact, fault.values_differing < 10) == ("unexplained", False, True)
    assert "rounding_floor" in fault.alternatives
    assert {"channels": [0]}.items() <= next(o for o in fault.others if o.label == "rounding_floor").parameters.items()


def test_swapped_channels_are_found(model: Model, x: np.ndarray) -> None:
    """Which two."""

    def fault(op: Any, v: np.ndarray) -> np.ndarray:
        y = requantise()(op, v)
        y[..., [1, 4]] = y[..., [4, 1]]
        return y

    found = one_fault(diff(model, x, with_faults(model, x, {LINEAR: fault})), LINEAR)
    assert (found["label"], found["channels"]) == ("channels_swapped", [1, 4])


def test_stale_tokens_are_found(model: Model, x: np.ndarray) -> None:
    """Two tokens that repeat the one before."""

    def fault(op: Any, v: np.ndarray) -> np.ndarray:
        y = requantise()(op, v)
        y[2, 3] = y[2, 2]
        y[4, 1] = y[4, 0]
        return y

    found = one_fault(diff(model, x, with_faults(model, x, {LINEAR: fault})), LINEAR)
    assert (found["label"], found["previous"]) == ("stale_value", "token")


def test_faults_in_two_places_are_two(model: Model, x: np.ndarray) -> None:
    """The second is seen behind the first, and what follows is inherited."""
    trace = with_faults(model, x, {LINEAR: requantise(floor), MIXER: requantise(bias="dropped")})
    found = diff(model, x, trace)
    assert [(fault.tap, fault.label) for fault in found.faults] == [(LINEAR, "rounding_floor"), (MIXER, "bias_dropped")]
    assert found.first_differing == LINEAR
    inherited = [tap for tap in found.taps if tap.differ and not tap.local]
    assert inherited
    assert all(tap.inherited == tap.differ for tap in inherited)


@pytest.mark.slow
def test_two_faults_of_one_operator_are_a_pair(model: Model, x: np.ndarray) -> None:
    """Neither explains all alone."""
    found = one_fault(diff(model, x, with_faults(model, x, {LINEAR: requantise(floor, wrap=True)})), LINEAR)
    assert set(str(found["label"]).split("+")) == {"rounding_floor", "saturation_wrap"}


def test_a_fault_between_taps_is_found(model: Model, x: np.ndarray) -> None:
    """The trace has few taps: the node is named."""
    trace = with_faults(model, x, {LINEAR: requantise(half_away)})
    found = diff(model, x, {tap: trace[tap] for tap in ("blocks.0.token_mixer.add", ADD, "classifier")})
    (fault,) = found.faults
    assert (fault.tap, fault.node, fault.label, fault.exact) == (ADD, LINEAR, "rounding_half_away", True)


@pytest.mark.slow
def test_what_is_in_no_list_is_unexplained(model: Model, x: np.ndarray) -> None:
    """A random table in place of the rule, random noise, one random bit: nothing of them is a rule."""
    rng = np.random.default_rng(SEED)
    table = rng.integers(-128, 128, 256)

    def noise(op: Any, v: np.ndarray) -> np.ndarray:
        y = requantise()(op, v)
        return np.where(rng.random(y.shape) < 0.02, rng.integers(-128, 128, y.shape), y)

    for fault in (lambda _, v: table[v + 128], noise):
        found = diff(model, x, with_faults(model, x, {TABLE if fault is not noise else LINEAR: fault}))
        assert [f.label for f in found.faults] == ["unexplained"]
        assert not found.faults[0].exact


def test_what_fits_by_chance_is_no_explanation(model: Model, x: np.ndarray) -> None:
    """One value that is its predecessor's: a stale value among hundreds says less than which of them it is."""

    def fault(op: Any, v: np.ndarray) -> np.ndarray:
        y = requantise()(op, v)
        y[3, 2, 1] = y[3, 1, 1]
        return y

    trace = with_faults(model, x, {LINEAR: fault})
    (found,) = diff(model, x, trace).faults
    assert (found.values_differing, found.label, found.exact) == (1, "unexplained", False)
    assert "stale_value" in found.alternatives
    assert "stale_value" in [other.label for other in found.others]


def test_unknown_bits(model: Model, x: np.ndarray, right: Values) -> None:
    """A value that nobody knows is a fault."""
    unknown = np.zeros(right[LINEAR].shape, np.uint32)
    unknown[0, 1, 2] = 3
    trace = right | {LINEAR: FourState(right[LINEAR], unknown, 8)}
    found = diff(model, x, trace)
    assert not found.equal
    assert [(fault.tap, fault.label) for fault in found.faults] == [(LINEAR, "unknown_bits")]


@pytest.mark.slow
@pytest.mark.parametrize("value", [0, 5, -128])
def test_a_stuck_tap_is_no_rule(model: Model, x: np.ndarray, value: int) -> None:
    """A tap of one value fits limits that are chosen for it; they say nothing, so that it is unexplained."""
    trace = with_faults(model, x, {LINEAR: lambda op, v: np.full((*v.shape[:-1], len(op.bias)), value)})
    (fault,) = diff(model, x, trace).faults
    assert (fault.tap, fault.label, fault.exact, fault.alternatives) == (LINEAR, "unexplained", False, ())


def test_limits_that_values_lie_between_are_named(model: Model, x: np.ndarray) -> None:
    """Other limits, of which the trace has values between, are named with their values."""
    op: Any = model.graph.by_name[LINEAR].op
    trace = with_faults(model, x, {LINEAR: lambda _, v: np.clip(compute(op, CONTRACT, v), -20, 33)})
    (fault,) = diff(model, x, trace).faults
    assert (fault.label, fault.parameters) == ("saturation_limits", {"limits": [-20, 33]})


def rectified(model: Model, x: np.ndarray, tap: str) -> Values:
    """A trace with a rectifier behind a tap."""
    op: Any = model.graph.by_name[tap].op
    return with_faults(model, x, {tap: lambda _, *inputs: np.maximum(compute(op, CONTRACT, *inputs), 0)})


@pytest.mark.parametrize("tap", [LINEAR, ADD])
def test_a_rectifier_too_many_is_named(model: Model, x: np.ndarray, right: Values, tap: str) -> None:
    """Where the model has none; values that stay at 127 tell it from limits of 0 to 255."""
    assert right[tap].max() == 127
    (fault,) = diff(model, x, rectified(model, x, tap)).faults
    assert (fault.tap, fault.label, fault.exact, fault.alternatives) == (tap, "relu_added", True, ())


@pytest.mark.parametrize("tap", [AFFINE, ADD])
def test_a_rectifier_is_told_beside_limits_without_sign(model: Model, x: np.ndarray, right: Values, tap: str) -> None:
    """Where nothing reaches 127 both make every value: one is named, the other is told, and none is sure."""
    few = x[right[tap].reshape(len(x), -1).max(axis=1) < 127]
    assert len(few)
    (fault,) = diff(model, few, rectified(model, few, tap)).faults
    assert {"relu_added", "saturation_unsigned"} <= {fault.label, *fault.alternatives}
    assert len(fault.telling) == len(fault.alternatives) > 0


@pytest.mark.slow
def test_a_wrong_tap_that_nothing_used_is_one_fault(model: Model, x: np.ndarray, right: Values, tmp_path: Path) -> None:
    """Of a trace with one wrong tap, all others the model's, that tap is the fault; those behind it are told of."""
    trace = right | {"embed": np.clip(right["embed"].astype(np.int64) + 3, -128, 127)}
    found = diff(model, x, trace)
    assert [fault.tap for fault in found.faults] == ["embed"]
    readers = tuple(node.name for node in model.graph.nodes if "embed" in node.inputs)
    assert found.mixed == readers
    assert not found.equal
    save(model, tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "t.npz", **trace)
    options = [str(tmp_path / "m.safetensors"), "--input", str(tmp_path / "x.npy"), "--trace", str(tmp_path / "t.npz")]
    result = CliRunner().invoke(command, options)
    assert result.exit_code == 1
    assert "differs, 1 fault\n" in result.output
    assert f"not used (a tap that is wrong, or a trace of several runs): {', '.join(readers)}" in result.output
    # A page in the place of something that is read is refused, and nothing is lost.
    for name in ("m.safetensors", "x.npy", "t.npz"):
        before = (tmp_path / name).read_bytes()
        refused = CliRunner().invoke(command, [*options, "--page", str(tmp_path / name)])
        assert isinstance(refused.exception, FileError)
        assert "is read as an input" in str(refused.exception)
        assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize("name", ["t.npz", "t.npy", "t.hex", "t.csv"])
def test_traces_that_are_no_files_are_refused(model: Model, tmp_path: Path, name: str) -> None:
    """A device or a pipe, which may have no end, is refused unread."""
    (tmp_path / "zero").mkdir()
    (tmp_path / "zero" / name).symlink_to("/dev/zero")
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / name)
    for kind in ("zero", "pipe"):
        with pytest.raises(FileError, match="is not a regular file"):
            read_trace(tmp_path / kind / name, model, 1)


def test_bad_traces_are_refused(model: Model, x: np.ndarray, right: Values) -> None:
    """What does not fit the model."""
    for trace, words in (
        ({}, "no taps"),
        ({"nothing": right[LINEAR]}, "no tap of model 'small'"),
        ({LINEAR: right[LINEAR][:2]}, "shape"),
        ({LINEAR: right[LINEAR] + 0.5}, "expected a whole number"),
        (
            {LINEAR: np.where(right[LINEAR] == 0, np.nan, right[LINEAR])},
            r"value \[.*\] is nan, expected a whole number",
        ),
        ({LINEAR: np.where(right[LINEAR] == 0, np.inf, right[LINEAR])}, r"is inf, expected a whole number"),
        ({LINEAR: np.full_like(right[LINEAR], -(2**63), np.int64)}, "at most 32 bits"),
        ({LINEAR: right[LINEAR].astype(object)}, "type object, expected whole numbers"),
        ({LINEAR: right[LINEAR] > 0}, "type bool, expected whole numbers"),
        ({LINEAR: right[LINEAR].tolist()}, "is a list, expected an array"),
        ({LINEAR: np.ma.masked_array(right[LINEAR])}, "is a MaskedArray, expected an array without a mask"),
    ):
        with pytest.raises(ComparisonError, match=words):
            diff(model, x, trace)
    with pytest.raises(ComparisonError, match="there are no images"):
        diff(model, x[:0], {LINEAR: right[LINEAR][:0]})


def test_command(model: Model, x: np.ndarray, right: Values, tmp_path: Path) -> None:
    """Exit status and JSON."""
    save(model, tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", x)
    faulty = with_faults(model, x, {LINEAR: requantise(floor)})
    for name, trace in (("right", right), ("faulty", faulty)):
        np.savez(tmp_path / f"{name}.npz", **{tap: values.astype(np.int8) for tap, values in trace.items()})
    said = [str(tmp_path / "m.safetensors"), "--input", str(tmp_path / "x.npy"), "--trace"]
    done = CliRunner().invoke(command, [*said, str(tmp_path / "right.npz")])
    assert (done.exit_code, "small: equal" in done.output) == (0, True)
    done = CliRunner().invoke(command, [*said, str(tmp_path / "faulty.npz"), "--json"])
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["equal"] is False
    assert [(f["tap"], f["label"], f["exact"]) for f in found["faults"]] == [(LINEAR, "rounding_floor", True)]


@pytest.mark.slow
@pytest.mark.thorough
def test_published_trace_reads_past_its_tables(published: Path) -> None:
    """Every difference of the published trace: the last segment goes on into the next channel's table."""
    folder = published / "stream_psa_h96"
    model = import_headers(folder)
    arrays = read_archive(folder / "csim_trace.npz")
    x = arrays.pop(INPUT)
    found = diff(model, x, {tap: values for tap, values in arrays.items() if tap in model.graph.by_name})
    assert [(f.tap, f.label, f.exact) for f in found.faults] == [
        (f"blocks.{block}.mlp.add", "lut_overrun", True) for block in range(3)
    ]
