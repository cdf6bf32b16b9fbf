"""Hypotheses that a trace cannot tell apart: the input that would, or the proof that there is none.

What the hypotheses give is stated here, in exact fractions.
"""

import json
from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fxsim.cli.diff import command
from fxsim.contract import Tensor
from fxsim.explain import locate
from fxsim.explain.case import Change, make_cases
from fxsim.explain.contracts import reach
from fxsim.explain.rules import Rounding, Rule
from fxsim.explain.run import diff_located
from fxsim.explain.search import Tried
from fxsim.explain.solve import solve
from fxsim.explain.telling import Teller
from fxsim.formats import load, save
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Add, Linear, Relu
from fxsim.paths import golden_dir
from tests.test_explain_contracts import double, trace

HALF = Fraction(1, 2)
ROUND: dict[str, Callable[[Fraction], int]] = {
    "rounding_half_even": round,
    "rounding_half_down": lambda v: ceil(v - HALF),
    "rounding_half_toward_zero": lambda v: ceil(v - HALF) if v >= 0 else floor(v + HALF),
    "rounding_floor": floor,
}
CHANNELS = 8


def scaled(weight: int, shift: int, before: bool = False) -> Model:
    """A linear of one weight a channel, behind a rectifier or at the input."""
    weights = np.eye(CHANNELS, dtype=np.int8) * np.int8(weight)
    op = Linear(weights, np.zeros(CHANNELS, np.int8), np.full(CHANNELS, shift, np.uint8))
    relu = [Node("relu", Relu(), (INPUT,))] if before else []
    return Model(Graph((1, CHANNELS), [*relu, Node("fc", op, ("relu" if before else INPUT,))]), "toy")


def images(values: list[int]) -> np.ndarray:
    """Images of these values alone."""
    return np.random.default_rng(8).choice(np.array(values, np.int8), (30, 1, CHANNELS))


def faulty(x: np.ndarray, weight: int, shift: int, round_: Callable[[Fraction], int]) -> np.ndarray:
    """The linear's result under a rounding."""
    return np.vectorize(lambda v: min(max(round_(Fraction(int(v) * weight, 1 << shift)), -128), 127))(
        x.astype(np.int64)
    )


def test_an_image_tells_roundings_apart() -> None:
    """Data with ties at 2.5 and 4.5 alone: three roundings fit, and an image parts each of two from the first."""
    model, x, teller = scaled(1, 2), images([10, 18, 3, -5, 8]), Teller()
    found, _ = diff_located(model, x, {"fc": faulty(x, 1, 2, round)}, teller=teller)
    (fault,) = found.faults
    fitting = {"rounding_half_even", "rounding_half_down", "rounding_half_toward_zero"}
    assert {fault.label, *(telling.label for telling in fault.telling)} >= fitting
    assert len(fault.telling) == len(fault.others)
    for telling in fault.telling:
        if telling.label not in fitting:
            continue
        assert (telling.same, telling.files) == (False, {INPUT: "telling.npy"})
        assert telling.row is not None
        assert telling.index is not None
        value = int(teller.images[telling.row][telling.index["token"], telling.index["channel"]])
        expected = tuple(ROUND[label](Fraction(value, 4)) for label in (fault.label, telling.label))
        assert telling.results == expected
        assert expected[0] != expected[1]


def test_rules_that_are_the_same_are_proved_so() -> None:
    """Sums that are multiples of 4, shifted by 3: what is cut off is nothing or a half, so that down is floor."""
    x = images([3, 5, -7, 4, 2, 9])
    found, _ = diff_located(scaled(4, 3), x, {"fc": faulty(x, 4, 3, floor)})
    (fault,) = found.faults
    told = {telling.label: telling for telling in fault.telling}
    (other,) = {"rounding_floor", "rounding_half_down"} - {fault.label}
    assert fault.label in ("rounding_floor", "rounding_half_down")
    assert (told[other].same, told[other].files) == (True, {})
    assert f"{CHANNELS} outputs were computed" in told[other].why


def test_solved_is_what_every_input_says() -> None:
    """Random weights, shifts and pairs of roundings: an input, or the proof that none of all there are differs."""
    rng, verdicts = np.random.default_rng(9), [0, 0]
    codes = np.arange(-128, 128)
    rules = {label: Rule(rounding=Rounding(label.removeprefix("rounding_"))) for label in ROUND}
    for _ in range(40):
        weights, shift = rng.integers(-7, 8, 2) * int(rng.choice([1, 4, 8])), int(rng.integers(1, 6))
        one, other = (str(label) for label in rng.choice(list(ROUND), 2, replace=False))
        op = Linear(weights[None].astype(np.int8), np.zeros(1, np.int8), np.array([shift], np.uint8))
        tensor = scaled(1, 0).graph.input
        solved = solve(op, [Tensor(tensor.axes, (1, 2), tensor.number)], rules[one], rules[other])
        sums = np.unique(codes[:, None] * weights[0] + codes[None, :] * weights[1]).tolist()
        values = [Fraction(total, 1 << shift) for total in sums]
        clamped = [[min(max(ROUND[label](v), -128), 127) for v in values] for label in (one, other)]
        differ = {total for total, a, b in zip(sums, *clamped, strict=True) if a != b}
        assert solved.decided
        assert (solved.values is not None) == bool(differ), (weights, shift, one, other)
        if solved.values is not None:
            assert int(solved.values[0][0, 0] @ weights) in differ
        verdicts[bool(differ)] += 1
    assert min(verdicts) > 3


def test_sums_that_are_not_enumerated_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights without a one, whose sums need sets, and no room for these."""
    op = Linear(np.array([[6, 15]], np.int8), np.zeros(1, np.int8), np.ones(1, np.uint8))
    tensor = scaled(1, 0).graph.input
    given = [Tensor(tensor.axes, (1, 2), tensor.number)], Rule(), Rule(rounding=Rounding.FLOOR)
    assert solve(op, *given).values is not None
    monkeypatch.setattr(reach, "BITS_MAX", 0)
    solved = solve(op, *given)
    assert (solved.values, solved.decided) == (None, False)


def test_what_no_image_shows_an_operators_input_does() -> None:
    """Behind a rectifier sums are never negative, and two roundings differ below zero alone."""
    model, x, teller = scaled(1, 2, before=True), images([6, 10, 14, 3, 8, -9]), Teller()
    given = np.maximum(x, 0)
    values = {"relu": given, "fc": faulty(given, 1, 2, ROUND["rounding_half_down"])}
    found, _ = diff_located(model, x, values, teller=teller)
    (fault,) = found.faults
    told = {telling.label: telling for telling in fault.telling}
    labels = ("rounding_half_down", "rounding_half_toward_zero")
    (other,) = set(labels) - {fault.label}
    assert (told[other].same, list(told[other].files)) == (False, ["relu"])
    operand = teller.operands[told[other].files["relu"]]
    assert (operand.shape, operand.dtype) == ((1, 1, CHANNELS), np.int8)
    index = told[other].index
    assert index is not None
    value = int(operand[0, index["token"], index["channel"]])
    assert value < 0
    assert told[other].results == tuple(ROUND[label](Fraction(value, 4)) for label in (fault.label, other))
    assert teller.images == []


def test_what_stands_in_an_operands_place_is_that_of_the_new_image() -> None:
    """Either operand dropped, of two that are equal in the data: a negative input is zero in one of them."""
    linear = scaled(1, 0).graph.nodes[0].op
    nodes = [Node("a", Relu(), (INPUT,)), Node("b", linear, (INPUT,)), Node("add", Add(), ("a", "b"))]
    model, x, teller = Model(Graph((1, CHANNELS), nodes), "two"), images([1, 2, 3, 4, 60]), Teller()
    found, _ = diff_located(model, x, {"a": x, "b": x, "add": x}, teller=teller)
    (fault,) = found.faults
    (told,) = [telling for telling in fault.telling if telling.label == "residual_dropped"]
    assert fault.label == "residual_dropped"
    assert {fault.parameters["dropped"], told.parameters["dropped"]} == {"a", "b"}
    assert told.row is not None
    assert told.index is not None
    value = int(teller.images[told.row][told.index["token"], told.index["channel"]])
    kept = {"a": max(value, 0), "b": value}
    assert told.results == (kept[str(fault.parameters["kept"])], kept[str(told.parameters["kept"])])
    assert told.results[0] != told.results[1]


def test_what_is_about_one_trace_alone_is_not_told_apart() -> None:
    """Of late values no other input says anything: neither found nor proved."""
    late, floor_ = (Tried((change,), 1, 0, 1) for change in (
        Change("stale_value", node="fc", whole=True), Change("rounding_floor", {"rounding": Rounding.FLOOR}, node="fc")
    ))  # fmt: skip
    model = scaled(1, 2)
    located = locate(model, images([1]), {"fc": np.zeros((30, 1, CHANNELS), np.int64)})
    (case,) = make_cases(located, "fc")
    told = Teller().tell(model, case, floor_, late)
    assert (told.label, told.same, told.files) == ("stale_value", None, {})
    assert "this very trace" in told.why


def test_contracts_of_a_whole_trace_are_told_apart() -> None:
    """Taps without the average: an average tells gemmlowp's from TensorFlow Lite's, CMSIS-NN's is one with it."""
    model, teller = load(golden_dir() / "small.safetensors"), Teller()
    x = np.random.default_rng(11).integers(-128, 128, (3, *model.graph.input_shape)).astype(np.int8)
    values = trace(model, x, double, double)
    for name in ("pool", "classifier"):
        del values[name]
    found, _ = diff_located(model, x, values, teller=teller)
    assert found.contracts == ("tflite_reference", "gemmlowp", "cmsis_nn")
    gemmlowp, cmsis = found.contracts_telling
    assert (gemmlowp.contracts, gemmlowp.equal, gemmlowp.node) == (("tflite_reference", "gemmlowp"), False, "pool")
    (file,) = gemmlowp.files.values()
    mean = Fraction(int(teller.operands[file][0, :, 0].sum()), 16)
    assert gemmlowp.results == (floor(abs(mean) + HALF) * (1 if mean >= 0 else -1), floor(mean + HALF))
    assert (cmsis.equal, cmsis.why) == (True, "they are one arithmetic")


@pytest.mark.parametrize("kind", ["image", "none"])
def test_the_command_writes_what_tells_apart(tmp_path: Path, kind: str) -> None:
    """`telling.npy` is images of the model, in the order of `row`; nothing is written where nothing needs telling."""
    model = scaled(1, 2)
    x = images([10, 18, 3, -5, 8] if kind == "image" else [10, 6, -10, -6, 3, 7, 9])
    round_ = ROUND["rounding_half_even" if kind == "image" else "rounding_half_down"]
    save(model, tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "t.npz", fc=faulty(x, 1, 2, round_).astype(np.int8))
    names = [str(tmp_path / name) for name in ("m.safetensors", "x.npy", "t.npz", "out")]
    done = CliRunner().invoke(command, [names[0], "--input", names[1], "--trace", names[2], "-o", names[3], "--json"])
    assert done.exit_code == 1
    (fault,) = json.loads(done.stdout)["faults"]
    if kind == "none":
        assert (fault["label"], fault["telling"]) == ("rounding_half_down", [])
        assert not (tmp_path / "out").exists()
        return
    rows = [telling["row"] for telling in fault["telling"] if telling["files"] == {INPUT: "telling.npy"}]
    written = np.load(tmp_path / "out" / "telling.npy")
    assert (sorted(rows), written.dtype) == (list(range(len(written))), np.int8)
    # The images that were written do tell: the same trace of them has one label alone.
    np.save(tmp_path / "x.npy", np.concatenate([x, written]))
    np.savez(tmp_path / "t.npz", fc=faulty(np.concatenate([x, written]), 1, 2, round_).astype(np.int8))
    done = CliRunner().invoke(command, [names[0], "--input", names[1], "--trace", names[2]])
    assert "fits as well" not in done.output
    assert "rounding_half_even" in done.output
