"""`diff` on networks of few bits: each fault is made by hand, and named."""

import bisect
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fxsim
from fxsim.contract import Division, Number, Tensor
from fxsim.explain import diff
from fxsim.explain.locate import locate
from fxsim.explain.rules import CONTRACT, compute
from fxsim.explain.shrink import shrink
from fxsim.explain.steps import steps_of
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Conv, Encode, Flatten, Gate, MaxPool, Reshape, SumPool, Threshold, Transpose
from fxsim.vectors import draw_stimulus
from tests.conftest import ROOT
from tests.test_feature_maps import AXES, MODELS, UINT8
from tests.test_few_bits import conv_by_hand

Array = npt.NDArray[Any]


def network() -> Model:
    """A chain with each operator that has hypotheses of its own: padding, thresholds out of order, both directions."""
    rng = np.random.default_rng(8)
    limits = rng.permuted(np.tile(np.array([-7, -4, -1, 2, 5], np.int32), (6, 1)), axis=1)
    limits[0] = np.sort(limits[0])
    rising = np.array([1, 0, 1, 1, 0, 1], np.uint8)
    nodes = (
        Node("bits", Encode(rng.integers(20, 236, (2, 3)).astype(np.int32)), (INPUT,)),
        Node("conv", Conv(rng.choice(np.array([-1, 1], np.int8), (6, 3, 3, 6)), padding=(1, 1, 1, 1)), ("bits",)),
        Node("steps", Threshold(limits, rising, np.arange(-3, 3, dtype=np.int8), Number(4)), ("conv",)),
        Node("gated", Gate(np.array([0, 2, -2, 1, -1, 0], np.int32)), ("conv", "steps")),
        Node("pool", MaxPool((2, 2), (2, 2)), ("gated",)),
        Node("mean", SumPool((1, 2), (1, 1), 3, Division.ZERO), ("pool",)),
        Node("turned", Transpose((2, 0, 1)), ("mean",)),
        Node("shaped", Reshape((0, 1, 2), (3, 2, 9)), ("turned",)),
        Node("flat", Flatten((0, 1, 2)), ("shaped",)),
    )
    return Model(Graph(Tensor(AXES, (6, 8, 2), UINT8), nodes), "few_bits")


MODEL = network()
X = draw_stimulus("uniform", 4, MODEL.graph.input, 6)
RIGHT = fxsim.run(MODEL, X, "all")


def op(name: str) -> Any:
    """An operator of the network."""
    return MODEL.graph.by_name[name].op


def conv_of(convolution: Conv, x: Array) -> Array:
    """A convolution of every image by hand."""
    found = np.empty((len(x), *RIGHT["conv"].shape[1:]), np.int64)
    for image, values in enumerate(x):
        for place, value in conv_by_hand(convolution, values).items():
            found[(image, *place)] = value
    return found


def weight_read(order: str) -> Array:
    """The weights as they are read where another order was written; one index after the other."""
    weight = op("conv").weight
    _, rows, columns, _ = weight.shape
    found = np.zeros_like(weight)
    for n, r, s, c in np.ndindex(*weight.shape):
        if order == "flipped":
            found[n, r, s, c] = weight[n, rows - 1 - r, columns - 1 - s, c]
        elif order == "transposed":
            found[n, r, s, c] = weight[n, s, r, c]
        else:  # words lie by row, column, channel and are read by channel, row, column
            found[n, r, s, c] = weight[n].ravel()[(c * rows + r) * columns + s]
    return found


def counted(one: Callable[[list[int], int, bool], int]) -> Array:
    """The steps tap where a function counts the thresholds that a value has passed."""
    made, of = np.empty_like(RIGHT["steps"]), op("steps")
    for place, value in np.ndenumerate(RIGHT["conv"]):
        c = place[-1]
        k = one(of.threshold[c].tolist(), int(value), bool(of.rising[c]))
        made[place] = of.levels[min(max(k, 0), len(of.levels) - 1)]
    return made


def passed(limits: list[int], value: int, rising: bool) -> int:
    """Thresholds passed, as the contract counts."""
    return sum(value >= t if rising else value <= t for t in limits)


def searched(limits: list[int], value: int, rising: bool) -> int:
    """A binary search, whether or not they are in order."""
    if rising:
        return bisect.bisect_right(limits, value)
    return bisect.bisect_right([-t for t in limits], -value)


def windows(made: Callable[[Array], Any]) -> Array:
    """A function of every window of the pool."""
    x = RIGHT["gated"]
    found = np.empty_like(RIGHT["pool"])
    for n, i, j, c in np.ndindex(*found.shape):
        found[n, i, j, c] = made(x[n, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c].ravel())
    return found


def gated(later: int) -> Array:
    """The gate with thresholds moved."""
    return np.where(RIGHT["steps"].astype(int) - later >= op("gated").threshold, RIGHT["conv"], 0)


def ones(bit: Callable[[int, int, list[int]], bool]) -> Array:
    """The encoding's tap, where a function of a value, a place and a channel's thresholds says whether a bit is set."""
    found = np.empty_like(RIGHT["bits"])
    for place, value in np.ndenumerate(X):
        for k in range(3):
            set_ = bit(int(value), k, op("bits").threshold[place[-1]].tolist())
            found[(*place[:-1], place[-1] * 3 + k)] = 1 if set_ else -1
    return found


FAULTS: dict[str, tuple[str, str, Callable[[], Array]]] = {
    "padding counted as -1": ("conv", "padding_value", lambda: conv_of(
        replace(op("conv"), padding=(0, 0, 0, 0)),
        np.pad(RIGHT["bits"], ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-1),
    )),
    "columns by channel": (
        "conv", "weight_order", lambda: conv_of(replace(op("conv"), weight=weight_read("channel")), RIGHT["bits"]),
    ),
    "kernel turned over": (
        "conv", "kernel_flipped", lambda: conv_of(replace(op("conv"), weight=weight_read("flipped")), RIGHT["bits"]),
    ),
    "rows as columns": (
        "conv", "kernel_transposed",
        lambda: conv_of(replace(op("conv"), weight=weight_read("transposed")), RIGHT["bits"]),
    ),
    "matches": ("conv", "popcount", lambda: (54 + RIGHT["conv"].astype(int)) // 2),
    "bits the other way": ("conv", "weights_inverted", lambda: -RIGHT["conv"].astype(int)),
    "greater": ("steps", "threshold_strict", lambda: counted(
        lambda limits, v, up: sum(v > t if up else v < t for t in limits)
    )),
    "one too low": ("steps", "threshold_early", lambda: counted(
        lambda limits, v, up: sum(v >= t - 1 if up else v <= t + 1 for t in limits)
    )),
    "one level off": (
        "steps", "level_shifted", lambda: counted(lambda limits, v, up: passed(limits, v, up) + 1),
    ),
    "directions": ("steps", "direction_ignored", lambda: counted(lambda limits, v, _: passed(limits, v, True))),
    "not in order": ("steps", "threshold_search", lambda: counted(searched)),
    "AND for OR": ("pool", "pool_least", lambda: windows(min)),
    "the first": ("pool", "pool_first", lambda: windows(lambda values: values[0])),
    "gate exceeded": ("gated", "threshold_strict", lambda: gated(1)),
    "gate open": ("gated", "gate_open", lambda: RIGHT["conv"]),
    "mean to the nearest": ("mean", "rounding_half_up", lambda: np.array(
        (2 * (RIGHT["pool"][:, :, :-1].astype(int) + RIGHT["pool"][:, :, 1:]) + 3) // 6
    )),
    "channels first": (
        "flat", "flatten_order", lambda: np.moveaxis(RIGHT["shaped"], -1, 1).reshape(len(X), -1),
    ),
    "not exchanged": ("turned", "transpose_order", lambda: RIGHT["mean"].reshape(len(X), 6, 3, 3)),
    "the other way round": ("turned", "transpose_order", lambda: np.stack(
        [RIGHT["mean"][:, c // 3, c % 3, :] for c in range(9)], axis=1
    ).reshape(len(X), 6, 3, 3)),
    "shaped channels first": ("shaped", "reshape_order", lambda: np.moveaxis(
        np.moveaxis(RIGHT["turned"], -1, 1).reshape(len(X), 9, 3, 2), 1, -1
    )),
    "pixel exceeded": ("bits", "threshold_strict", lambda: ones(lambda v, k, limits: v > limits[k])),
    "thermometer turned": ("bits", "thermometer_reversed", lambda: ones(lambda v, k, limits: v >= limits[2 - k])),
    "bits of 0 and 1": ("bits", "bipolar_as_bits", lambda: (RIGHT["bits"].astype(int) + 1) // 2),
    "bits beside each other": ("bits", "thermometer_interleaved", lambda: np.stack(
        [RIGHT["bits"][..., c * 3 + k] for k in range(3) for c in range(2)], axis=-1
    )),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_each_fault_is_named(case: str) -> None:
    """A trace whose tap was made with a fault has that rule's name, with the values before it as they came."""
    tap, label, made = FAULTS[case]
    taps = MODEL.graph.taps
    trace = {name: RIGHT[name] for name in taps[: taps.index(tap)]} | {tap: made()}
    assert not np.array_equal(trace[tap], RIGHT[tap])
    found = diff(MODEL, X, trace)
    (fault,) = found.faults
    assert (fault.tap, fault.label, fault.exact) == (tap, label, True), (fault.label, fault.partial)
    assert fault.values_explained == fault.values_differing == int((trace[tap] != RIGHT[tap]).sum())
    # The steps of the first difference come to the contract's value, or they would not be told.
    assert steps_of(locate(MODEL, X, trace), tap)


@pytest.mark.parametrize("name", MODELS)
def test_rules_are_the_contract_where_nothing_is_changed(name: str) -> None:
    """Under the contract's own rule every operator gives what the engines do."""
    model = MODELS[name]
    x = draw_stimulus("uniform", 3, model.graph.input, 9)
    values = fxsim.run(model, x, "all") | {INPUT: x}
    for node in model.graph.nodes:
        np.testing.assert_array_equal(compute(node.op, CONTRACT, *(values[n] for n in node.inputs)), values[node.name])


def test_bits_of_0_and_1_are_a_fault_of_their_own_tap_alone() -> None:
    """Where bits of -1 and 1 are written as 0 and 1, what reads them is not wrong, and another fault is found."""
    trace = dict(RIGHT) | {"bits": (RIGHT["bits"].astype(int) + 1) // 2}
    found = diff(MODEL, X, trace)
    assert [(fault.tap, fault.label) for fault in found.faults] == [("bits", "bipolar_as_bits")]
    assert not found.equal
    assert {tap.tap: tap.differ for tap in found.taps if tap.differ} == {"bits": int((RIGHT["bits"] == -1).sum())}
    tap, label, made = FAULTS["matches"]
    both = diff(MODEL, X, {"bits": trace["bits"], tap: made()})
    assert [(fault.tap, fault.label) for fault in both.faults] == [("bits", "bipolar_as_bits"), (tap, label)]
    # Bits that are all 1 are the same in both.
    ones = {"bits": np.ones_like(RIGHT["bits"])}
    assert [fault.label for fault in diff(MODEL, X, ones).faults] != ["bipolar_as_bits"]


def test_a_right_trace_is_equal() -> None:
    """Nothing is found in a trace that is the model's."""
    assert diff(MODEL, X, RIGHT).equal


@pytest.mark.parametrize("case", ["matches", "greater", "AND for OR", "channels first", "padding counted as -1"])
def test_a_fault_is_shrunk_to_one_operator(case: str) -> None:
    """The least case of a fault is its operator alone, on an image or two, and has the same name."""
    tap, label, made = FAULTS[case]
    trace = {name: RIGHT[name] for name in MODEL.graph.taps[: MODEL.graph.taps.index(tap)]} | {tap: made()}
    (fault,) = diff(MODEL, X, trace).faults
    least = shrink(MODEL, X, trace, fault)
    assert (least.fault.label, least.model.graph.taps) == (label, (tap,))
    assert 1 <= len(least.x) <= 2
    (again,) = diff(least.model, least.x, least.trace).faults
    assert again.label == label


def test_every_label_of_the_documentation_is_tried() -> None:
    """What is said of networks of few bits is made by a fault here, and nothing else is."""
    text = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")
    table = text[text.index("| of networks of few bits | labels |") :].split("\n\n")[0]
    documented = set(re.findall(r"`([a-z_]+)`", table))
    assert documented == {label for _, label, _ in FAULTS.values() if not label.startswith("rounding_")}
