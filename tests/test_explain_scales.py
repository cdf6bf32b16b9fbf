"""`diff` on sums that are brought to another scale: each fault is made by hand, and named."""

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fxsim
from fxsim.contract import CHANNEL, COLUMN, ROW, Number, Rounding, Tensor
from fxsim.explain import diff
from fxsim.explain.locate import locate
from fxsim.explain.steps import steps_of
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Conv, MultiplyAdd, Rescale, WeightedAdd
from fxsim.vectors import draw_stimulus
from tests.conftest import ROOT
from tests.test_feature_maps import gemmlowp, limit

Array = npt.NDArray[Any]

RNG = np.random.default_rng(12)
CONV = Conv(RNG.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8), padding=(1, 1, 1, 1), out=Number(25))
# A 24-bit scale, one that makes ties, one of two roundings, and a small one.
SCALES = np.array([12345678, 1 << 20, 1518500249, 9437184], np.int32)
SHIFTS = np.array([35, 28, 42, 34], np.uint8)
ADDENDS = np.array([1000, -2000, 0, 33333], np.int32)
RESCALE = Rescale(ADDENDS, SCALES, SHIFTS, np.array([3, -5, 0, 11], np.int8))


def model_of(rounding: Rounding) -> Model:
    """A convolution of int8 whose sums are brought to int8."""
    nodes = (Node("conv", CONV, (INPUT,)), Node("y", replace(RESCALE, rounding=rounding), ("conv",)))
    return Model(Graph(Tensor((ROW, COLUMN, CHANNEL), (16, 16, 3), Number(8)), nodes), "scales")


MODEL = model_of(Rounding.HALF_EVEN)
X = draw_stimulus("uniform", 6, MODEL.graph.input, 6)
SUMS = fxsim.run(MODEL, X, "all")["conv"]


def each(one: Callable[[int, int], int], saturated: bool = True) -> Array:
    """The result where a function of a sum and its channel gives the value, before the limits."""
    made = np.empty(SUMS.shape, np.int64)
    for place, v in np.ndenumerate(SUMS):
        value = one(int(v), place[-1])
        made[place] = limit(value, Number(8)) if saturated else (value + 128) % 256 - 128
    return made


def exact(v: int, c: int, shift: int = 0, of: int | None = None, added: bool = True) -> Fraction:
    """A sum with its addend in the other scale, of this or another channel's, without a rounding."""
    scale = c if of is None else of
    return Fraction((v + (int(ADDENDS[c]) if added else 0)) * int(SCALES[scale]), 2 ** (int(SHIFTS[scale]) + shift))


def biased(value: int, c: int) -> int:
    """A rounded value and its channel's bias."""
    return value + int(RESCALE.bias[c])


HALF = Fraction(1, 2)
FAULTS: dict[str, tuple[str, Callable[[], Array]]] = {
    "floor": ("rounding_floor", lambda: each(lambda v, c: biased(floor(exact(v, c)), c))),
    "half up": ("rounding_half_up", lambda: each(lambda v, c: biased(floor(exact(v, c) + HALF), c))),
    "half away": ("rounding_half_away", lambda: each(
        lambda v, c: biased((1 if exact(v, c) >= 0 else -1) * floor(abs(exact(v, c)) + HALF), c)
    )),
    "towards zero": ("rounding_toward_zero", lambda: each(lambda v, c: biased(int(exact(v, c)), c))),
    "twice": ("double_rounding", lambda: each(
        lambda v, c: biased(gemmlowp(v + int(ADDENDS[c]), int(SCALES[c]), int(SHIFTS[c])), c)
    )),
    "no bias": ("addend_dropped", lambda: each(lambda v, c: biased(round(exact(v, c, added=False)), c))),
    "no zero point": ("bias_dropped", lambda: each(lambda v, c: round(exact(v, c)))),
    "shift of one more": ("shift_plus_one", lambda: each(lambda v, c: biased(round(exact(v, c, 1)), c))),
    "shift of one less": ("shift_minus_one", lambda: each(lambda v, c: biased(round(exact(v, c, -1)), c))),
    "scale of channel 0": ("scale_shared", lambda: each(lambda v, c: biased(round(exact(v, c, of=0)), c))),
    "wraps": ("saturation_wrap", lambda: each(lambda v, c: biased(round(exact(v, c)), c), saturated=False)),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_each_fault_is_named(case: str) -> None:
    """A trace whose result was made with a fault has that rule's name."""
    label, made = FAULTS[case]
    trace = {"conv": SUMS, "y": made()}
    found = diff(MODEL, X, trace)
    (fault,) = found.faults
    assert (fault.tap, fault.label, fault.exact) == ("y", label, True), (fault.label, fault.partial)
    assert fault.values_explained == fault.values_differing > 0
    assert steps_of(locate(MODEL, X, trace), "y")


def test_a_float_scale_is_named() -> None:
    """Sums times scales in float32, which rounds the product before it is rounded to a whole number."""
    multiplier = (1 << 24) - 1
    zero, one = np.zeros(1, np.int16), np.ones(1, np.int16)
    sums = MultiplyAdd(one * np.int16(509), np.ones(1, np.int32), np.zeros(1, np.uint8), 26, Number(26))
    scaled = Rescale(
        np.zeros(1, np.int32), np.array([multiplier], np.int32), np.array([34], np.uint8), zero, out=Number(16)
    )
    graph = Graph(
        Tensor((ROW, COLUMN, CHANNEL), (1, 4096, 1), Number(16)),
        (Node("sums", sums, (INPUT,)), Node("y", scaled, ("sums",))),
    )
    model = Model(graph, "float")
    x = draw_stimulus("uniform", 8, graph.input, 3)
    right = fxsim.run(model, x, "all")
    made = np.rint(right["sums"].astype(np.float32) * np.float32(multiplier / 2**34)).astype(np.int64)
    assert (made != right["y"]).any()
    (fault,) = diff(model, x, {"y": made}).faults
    assert (fault.label, fault.exact) == ("float32_scale", True)


@pytest.mark.parametrize("rounding", list(Rounding))
def test_a_right_trace_is_equal(rounding: Rounding) -> None:
    """Nothing is found in a trace that is the model's, of whatever rounding."""
    model = model_of(rounding)
    assert diff(model, X, fxsim.run(model, X, "all")).equal


def test_every_label_of_the_documentation_is_tried() -> None:
    """What is said of scales is made by a fault here, and nothing else is."""
    text = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")
    table = text[text.index("| of scales (`rescale`) | labels |") :].split("\n\n")[0]
    documented = set(re.findall(r"`([a-z0-9_]+)`", table)) - {"rescale"}
    tried = {label for label, _ in FAULTS.values()} | {"float32_scale"}
    assert documented == {label for label in tried if not label.startswith("rounding_")}


# --- Sums of two with a weight each ----------------------------------------------------------------------------------

WEIGHTS, PLACES = np.array([[57, -13, 64, 3], [20, 31, 64, -90]], np.int16), np.array([6, 5, 7, 4], np.uint8)


def weighted_model() -> Model:
    """Two convolutions of one image, and their sum, each times a weight."""
    rng = np.random.default_rng(21)
    convs = [Conv(rng.integers(-3, 4, (4, 1, 1, 3)).astype(np.int8), out=Number(12)) for _ in range(2)]
    nodes = [Node(name, op, (INPUT,)) for name, op in zip(("a", "b"), convs, strict=True)]
    add = WeightedAdd(WEIGHTS, PLACES, out=Number(10))
    return Model(Graph(Tensor((ROW, COLUMN, CHANNEL), (8, 8, 3), Number(8)), (*nodes, Node("y", add, ("a", "b")))), "w")


WEIGHTED = weighted_model()
PAIRS = fxsim.run(WEIGHTED, X[:, :8, :8], "all")


def every(one: Callable[[int, int, int], int], saturated: bool = True) -> Array:
    """The result where a function of both values and the channel gives the value, before the limits."""
    made = np.empty(PAIRS["y"].shape, np.int64)
    for place, v in np.ndenumerate(PAIRS["a"]):
        value = one(int(v), int(PAIRS["b"][place]), place[-1])
        made[place] = limit(value, Number(10)) if saturated else (value + 512) % 1024 - 512
    return made


def summed(v: int, r: int, c: int, by: int = 0, weights: Array = WEIGHTS) -> Fraction:
    """The weighted sum over its power of two, without a rounding."""
    return Fraction(v * int(weights[0, c]) + r * int(weights[1, c]), 2 ** (int(PLACES[c]) + by))


def up(value: Fraction) -> int:
    """The nearest whole number, ties up: the contract's rounding."""
    return floor(value + HALF)


SUM_FAULTS: dict[str, tuple[str, Callable[[], Array]]] = {
    "floor": ("rounding_floor", lambda: every(lambda v, r, c: floor(summed(v, r, c)))),
    "half even": ("rounding_half_even", lambda: every(lambda v, r, c: round(summed(v, r, c)))),
    "parts": ("parts_shifted", lambda: every(lambda v, r, c: up(summed(v, 0, c)) + up(summed(0, r, c)))),
    "exchanged": ("weights_exchanged", lambda: every(lambda v, r, c: up(summed(r, v, c)))),
    "channel 0's": ("weights_shared", lambda: every(lambda v, r, _: up(summed(v, r, 0)))),
    "shift of one more": ("shift_plus_one", lambda: every(lambda v, r, c: up(summed(v, r, c, 1)))),
    "shift of one less": ("shift_minus_one", lambda: every(lambda v, r, c: up(summed(v, r, c, -1)))),
    "without the second": ("residual_dropped", lambda: every(lambda v, _, c: up(summed(v, 0, c)))),
    "wraps": ("saturation_wrap", lambda: every(lambda v, r, c: up(summed(v, r, c)), saturated=False)),
}


@pytest.mark.parametrize("case", SUM_FAULTS)
def test_each_fault_of_a_weighted_sum_is_named(case: str) -> None:
    """A trace whose sum was made with a fault has that rule's name; without a fault it is the model's."""
    label, made = SUM_FAULTS[case]
    np.testing.assert_array_equal(every(lambda v, r, c: up(summed(v, r, c))), PAIRS["y"])
    trace = {"a": PAIRS["a"], "b": PAIRS["b"], "y": made()}
    (fault,) = diff(WEIGHTED, X[:, :8, :8], trace).faults
    assert (fault.tap, fault.label, fault.exact) == ("y", label, True), (fault.label, fault.partial)
    assert fault.values_explained == fault.values_differing > 0


def test_every_label_of_weighted_sums_is_tried() -> None:
    """What is said of weighted sums is made by a fault here, and nothing else is."""
    text = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")
    table = text[text.index("| of sums of two with weights (`weighted_add`) | labels |") :].split("\n\n")[0]
    documented = set(re.findall(r"`([a-z0-9_]+)`", table)) - {"weighted_add"}
    assert documented == {label for label, _ in SUM_FAULTS.values() if not label.startswith("rounding_")}
