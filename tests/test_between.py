"""Two contracts: an input on which they differ, or the proof that there is none.

What contracts give is stated again here, in plain integers.
"""

import itertools
import json
import random
from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fxsim.cli.diff import command
from fxsim.contract import INT8, Number, Sign
from fxsim.errors import ModelError
from fxsim.explain.between import between, between_at
from fxsim.explain.contracts import contract, reach, runs
from fxsim.explain.contracts.reach import Reach
from fxsim.explain.contracts.runs import Setting, differing
from fxsim.formats import load
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Linear
from fxsim.paths import golden_dir
from tests.test_contracts import double, in_float32, single_up

Rounding = Callable[[Fraction], int]


def saturated(value: int, number: Number) -> int:
    """To the format's ends."""
    return min(max(value, number.low), number.high)


def wrapped(value: int, number: Number) -> int:
    """Into the format."""
    return (value - number.low) % number.codes + number.low


def zeroed(value: int, number: Number) -> int:
    """Zero where the format does not hold it."""
    return value if number.low <= value <= number.high else 0


def away(value: Fraction) -> int:
    """Half away from zero."""
    return floor(abs(value) + Fraction(1, 2)) * (1 if value >= 0 else -1)


PLAIN: dict[str, tuple[Rounding | None, Callable[[int, Number], int], bool]] = {
    "fxsim": (single_up, saturated, True),
    "tflite_single": (single_up, saturated, False),
    "tflite_reference": (None, saturated, False),
    "litert_reference": (away, saturated, False),
    "ap_trn_wrap": (floor, wrapped, False),
    "ap_trn_zero_sat_zero": (int, zeroed, False),
    "ap_trn_zero_wrap": (int, wrapped, False),
    "ap_rnd_conv_wrap_bias_after": (round, wrapped, True),
    "ap_rnd_conv_sat": (round, saturated, False),
    "ap_rnd_wrap": (single_up, wrapped, False),
    "ap_rnd_sat": (single_up, saturated, False),
}
"""From a name: its rounding (None: TensorFlow Lite's), its overflow, whether the bias comes after."""


def plain(name: str, acc: int, setting: Setting) -> int:
    """A contract's result in plain integers."""
    round_, limit, after = PLAIN[name]
    total = acc + (0 if after else setting.bias << setting.shift)
    value = double(total, setting.shift, 1 << 30) if round_ is None else round_(Fraction(total, 1 << setting.shift))
    return limit(value + (setting.bias if after else 0), setting.out)


@pytest.mark.slow
@pytest.mark.parametrize("exhausted", [0, 1 << 16])
def test_differing_accumulators_are_all_of_them(exhausted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By thresholds as one by one: pairs of every kind, formats and shifts at random, against every accumulator."""
    monkeypatch.setattr(runs, "EXHAUSTED", exhausted)
    rng = random.Random(3)
    pairs = list(itertools.combinations(PLAIN, 2))
    repeated = 0
    for first, second in pairs:
        low, high, number = -rng.randrange(900), rng.randrange(900), Number(rng.randrange(2, 6))
        setting = Setting(low, high, rng.randrange(5), rng.randrange(-9, 10), number)
        found = differing(contract(first), contract(second), setting)
        said = {acc for start, stop in found for acc in range(start, stop + 1)}
        every = {
            acc for acc in range(setting.low, setting.high + 1)
            if plain(first, acc, setting) != plain(second, acc, setting)
        }  # fmt: skip
        assert found.decided
        assert said <= every
        assert bool(said) == bool(every), (first, second, setting)
        assert not found.whole or said == every, (first, second, setting)
        repeated += not found.whole
    assert (repeated > 0) == (exhausted == 0)


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        ("fxsim", "tflite_single", True),
        ("fxsim", "tflite_reference", False),
        ("tflite_reference", "litert_reference", False),
        ("onnx_qlinear", "ap_rnd_conv_sat", False),
        ("onnx_qlinear", "xnnpack_fp32", True),
        ("ap_rnd_wrap", "ap_rnd_sat", False),
        ("ap_trn_zero_wrap", "ap_trn_wrap", False),
    ],
)
def test_wide_accumulators_are_decided(first: str, second: str, equal: bool) -> None:
    """Sums of 31 bits shifted by 18, where float32 rounds once more: an accumulator, or a proof."""
    setting = Setting(-(1 << 30), (1 << 30) - 1, 18, 3)
    found = between(first, second, setting)
    assert found.equal is equal
    assert (found.accumulator is None) == equal
    if found.accumulator is not None:
        acc = found.accumulator
        in_float = saturated(in_float32(acc + (3 << 18), 18, 1 << 30), INT8)
        one, other = (in_float if name == "onnx_qlinear" else plain(name, acc, setting) for name in (first, second))
        assert found.results == (one, other)
        assert one != other


def test_what_is_too_much_is_not_called_proved() -> None:
    """Millions of thresholds that do not repeat: nothing is said."""
    setting = Setting(-(1 << 30), (1 << 30) - 1, 0, 0, Number(32), 1234567891)
    found = between("ap_trn_wrap", "onnx_qlinear", setting)
    assert (found.equal, found.accumulator) == (None, None)
    assert "more than are looked for" in found.why


def test_one_period_of_wrapped_results_is_enough() -> None:
    """Of sums from zero on, ties to even and downwards part at 1.5, not at 0.5: both are in a period."""
    found = between("ap_rnd_conv_wrap", "ap_rnd_min_inf_wrap", Setting(0, 1 << 30, 6, 0, Number(4)))
    assert (found.equal, found.accumulator, found.results) == (False, 96, (2, 1))
    assert between("ap_rnd_wrap", "ap_rnd_sat", Setting(0, (7 << 26) + (1 << 25) - 1, 26, 0, Number(4))).equal is True
    found = between("ap_rnd_wrap", "ap_rnd_sat", Setting(0, (7 << 26) + (1 << 25), 26, 0, Number(4)))
    assert (found.equal, found.accumulator, found.results) == (False, (7 << 26) + (1 << 25), (-8, 7))


def test_no_threshold_is_lost_at_the_ends() -> None:
    """One accumulator, at either end of the range, that differs."""
    # -0.5 is -1 for ties away from zero, 0 for those upwards: of all from -4 to 3, over 8, only -4.
    for low, high in ((-4, 3), (-4, -4), (-100, -4)):
        found = differing(contract("fxsim"), contract("litert_reference"), Setting(low, high, 3))
        assert -4 in [acc for acc, _ in found]
    assert list(differing(contract("fxsim"), contract("litert_reference"), Setting(-3, 3, 3))) == []


def test_sums_that_weights_make_are_exact() -> None:
    """Every sum of few weights, of signed and unsigned inputs, and inputs that make it."""
    rng = random.Random(4)
    for _ in range(250):
        number = Number(rng.randrange(2, 4), rng.choice([Sign.SIGNED, Sign.UNSIGNED]))
        weights = [rng.randrange(-9, 10) * rng.choice([1, 2, 3]) for _ in range(rng.randrange(1, 4))]
        codes = range(number.low, number.high + 1)
        every = {
            sum(w * v for w, v in zip(weights, x, strict=True)) for x in itertools.product(codes, repeat=len(weights))
        }
        sums = Reach(weights, number)
        assert {total for total in range(-700, 701) if sums.first([(total, total)]) is not None} == every
        for total in every:
            x = sums.inputs(total)
            assert all(v in codes for v in x)
            assert sum(w * v for w, v in zip(weights, x, strict=True)) == total
        least = max(-30, min(every))
        assert sums.first([(-2000, -1900), (least, 2000)]) == min(total for total in every if total >= least)


def toy(weight: list[list[int]], shift: int, bias: int = 0) -> Model:
    """A model of one linear."""
    rows = len(weight)
    op = Linear(
        np.array(weight, np.int8), np.full(rows, bias, np.int8), np.full(rows, shift, np.uint8)
    )  # fmt: skip
    return Model(Graph((1, len(weight[0])), [Node("fc", op, (INPUT,))]), "toy")


def test_an_operators_weights_decide() -> None:
    """Sums that differ and that no input makes are no difference; one more odd weight makes one."""
    # Ties of a shift by 2 are at 2, 6, ...: multiples of 4 alone have none.
    found, inputs = between_at(toy([[4, -8], [12, 4]], 2), "fc", "fxsim", "litert_reference")
    assert (found.equal, inputs) == (True, {})
    assert "2 only such as their weights do not make" in found.why
    found, inputs = between_at(toy([[4, -8], [12, 4], [4, 2]], 2), "fc", "fxsim", "litert_reference")
    assert (found.equal, found.index) == (False, {"token": 0, "channel": 2})
    x = inputs[INPUT]
    assert (x.shape, x.dtype) == ((1, 1, 2), np.int8)
    total = 4 * int(x[0, 0, 0]) + 2 * int(x[0, 0, 1])
    assert total == found.accumulator
    assert found.results == (single_up(Fraction(total, 4)), away(Fraction(total, 4)))


def test_what_was_not_enumerated_is_not_called_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of weights without a one need sets, wrapped results more than one period: without them nothing is known."""
    # The sums are multiples of 64, and the two part at odd ones alone: they are the same, once all are looked at.
    model = toy([[64, 64]], 1)
    assert between_at(model, "fc", "ap_trn_wrap", "ap_rnd_wrap")[0].equal is True
    monkeypatch.setattr(runs, "EXHAUSTED", 0)
    found, _ = between_at(model, "fc", "ap_trn_wrap", "ap_rnd_wrap")
    assert (found.equal, "within one period" in found.why) == (None, True)
    monkeypatch.setattr(reach, "BITS_MAX", 0)
    found, _ = between_at(toy([[6, 15]], 1), "fc", "fxsim", "litert_reference")
    assert (found.equal, "too many sums to enumerate" in found.why) == (None, True)


def every_sum(weights: list[int]) -> set[int]:
    """Sums of two weights with every pair of int8 inputs."""
    codes = np.arange(-128, 128)
    return {int(total) for total in np.unique(codes[:, None] * weights[0] + codes[None, :] * weights[1])}


def test_a_verdict_on_an_operator_is_that_of_every_input() -> None:
    """Random weights, with and without sums between, and contracts: each verdict against every pair of inputs."""
    rng, verdicts = random.Random(6), {True: 0, False: 0}
    for _ in range(20):
        unit = rng.choice([1, 4, 16])
        weights = [rng.randrange(-7, 8) * unit for _ in range(2)]
        shift, bias = rng.randrange(1, 6), rng.randrange(-100, 100)
        first, second = rng.sample(list(PLAIN), 2)
        found, inputs = between_at(toy([weights], shift, bias), "fc", first, second)
        setting = Setting(0, 0, shift, bias)
        differ = {t for t in every_sum(weights) if plain(first, t, setting) != plain(second, t, setting)}
        assert found.equal is not None
        assert found.equal == (not differ), (weights, shift, bias, first, second)
        assert found.equal or found.accumulator in differ
        assert bool(inputs) != found.equal
        verdicts[found.equal] += 1
    assert min(verdicts.values()) > 2


@pytest.fixture(scope="module")
def model() -> Model:
    """The small golden model."""
    return load(golden_dir() / "small.safetensors")


@pytest.mark.parametrize(
    "node", ["embed", "blocks.0.mlp.res_affine", "blocks.1.token_mixer.linear", "blocks.1.mlp.linear_2", "classifier"]
)
def test_an_input_of_an_operator_is_found(model: Model, node: str) -> None:
    """The image of the operator that is written makes the sum, and the sum both results, in plain integers."""
    found, inputs = between_at(model, node, "fxsim", "tflite_reference")
    (x,) = inputs.values()
    at, op = model.graph.by_name[node], model.graph.by_name[node].op
    assert x.shape == (1, *model.graph.tensors[at.inputs[0]].shape)
    assert found.index is not None
    row = found.index["token"] if getattr(op, "over", None) == "tokens" else found.index["channel"]
    if op.weight.ndim == 2:
        values = x[0, :, found.index["channel"]] if op.over == "tokens" else x[0].reshape(-1, x.shape[-1])[0]
        total = sum(int(w) * int(v) for w, v in zip(op.weight[row], values, strict=True))
    else:
        total = int(op.weight[row]) * int(x[0, found.index["token"], row])
    setting = Setting(0, 0, int(op.shift[row]), int(op.bias[row]))
    assert found.accumulator == total
    assert found.results == (plain("fxsim", total, setting), plain("tflite_reference", total, setting))
    assert found.results[0] != found.results[1]


def test_sums_of_two_and_averages_and_tables(model: Model) -> None:
    """Overflow tells sums of two apart, ties averages, nothing tables."""
    found, inputs = between_at(model, "blocks.0.mlp.add", "fxsim", "ap_rnd_wrap")
    x, r = inputs.values()
    assert (int(x[0, 0, 0]) + int(r[0, 0, 0]), found.results) == (found.accumulator, (127, 127 + 1 - 256))
    found, inputs = between_at(model, "pool", "fxsim", "finn_thresholds")
    (x,) = inputs.values()
    assert found.results == (ceil(Fraction(int(x[0, :, 0].sum()), 16)), floor(Fraction(int(x[0, :, 0].sum()), 16)))
    for node, first, second in (
        ("blocks.0.mlp.add", "fxsim", "tflite_reference"),
        ("pool", "fxsim", "ap_rnd_wrap"),
        ("blocks.0.mlp.psa_1", "fxsim", "ap_trn_wrap"),
        ("blocks.0.mlp.linear_1", "fxsim", "ap_rnd_sat"),
    ):
        assert between_at(model, node, first, second)[0].equal is True


def test_what_is_not_known_is_refused(model: Model) -> None:
    """Contracts, nodes and outputs by name."""
    for node, names, words in (
        ("fc", ("fxsim", "tflite_reference"), "model 'small' has no node 'fc', expected one of: embed, "),
        ("embed", ("fxsim", "tflite"), "no contract is named 'tflite', expected one of: fxsim, "),
    ):
        with pytest.raises(ModelError, match=words):
            between_at(model, node, *names)
    with pytest.raises(ModelError, match=r"node 'fc': output 0: tflite_reference takes shifts of 0 to 31, not 40"):
        between_at(toy([[1]], 40), "fc", "fxsim", "tflite_reference")


def test_the_command(tmp_path: Path) -> None:
    """Exit status, JSON, the file, and what does not belong together."""
    small = str(golden_dir() / "small.safetensors")

    def call(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(command, ["--between", *arguments])
        refused = str(done.exception) if isinstance(done.exception, ModelError) else ""
        return done.exit_code, done.output + refused

    code, said = call("fxsim", "tflite_reference", small, "--node", "embed", "-o", str(tmp_path / "out"), "--json")
    found = json.loads(said)
    assert (code, found["equal"], found["files"]) == (1, False, {INPUT: "telling_0.npy"})
    x = np.load(tmp_path / "out" / "telling_0.npy")
    op = load(Path(small)).graph.by_name["embed"].op
    total = sum(int(w) * int(v) for w, v in zip(op.weight[found["index"]["channel"]], x[0, 0], strict=True))
    assert total == found["accumulator"]
    assert call("fxsim", "tflite_single", "--acc-bits", "24", "--shift", "9", "--bias", "3")[0] == 0
    code, said = call("fxsim", "tflite_reference", "--acc-bits", "10", "--shift", "2", "--out", "int4")
    assert (code, "differ: the sum 1 gives 0 and 1" in said) == (1, True)
    code, said = call("fxsim", "nothing", "--acc-bits", "10")
    assert (code, "no contract is named 'nothing'" in said) == (1, True)
    for arguments, words in (
        ([small], "MODEL with --node, or --acc-bits"),
        ([small, "--node", "embed", "--shift", "3"], "those of MODEL's node"),
        ([small, "--node", "embed", "--trace", "t.npz"], "takes no trace"),
        ([], "MODEL with --node, or --acc-bits"),
    ):
        code, said = call("fxsim", "gemmlowp", *arguments)
        assert (code, words in said) == (2, True)
    done = CliRunner().invoke(command, [small, "--node", "embed"])
    assert (done.exit_code, "belong to --between" in done.output) == (2, True)
