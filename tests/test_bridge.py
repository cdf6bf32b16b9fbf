"""The bridge: network and integer model equal by the contract, differences of float fake-quant attributed rightly."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
import torch
from click.testing import CliRunner, Result

from fxsim.bridge.attribute import Attribution
from fxsim.bridge.compare import LISTED, compare_contract
from fxsim.bridge.exact import exact_values
from fxsim.bridge.plots import draw_bridge
from fxsim.bridge.record import BridgeRecord, FloatMode, TapDifferences
from fxsim.bridge.report import render_page
from fxsim.bridge.run import bridge
from fxsim.cli.program import cli
from fxsim.contract import TableRule
from fxsim.data import DataSource, Preprocessing
from fxsim.data.input_format import codes as to_codes
from fxsim.engines import Engine, run
from fxsim.errors import FileError, FxsimError, ModelError
from fxsim.formats import load, save
from fxsim.golden.write import TRAINED
from fxsim.graph import Graph, Model, Node
from fxsim.networks.b_spline import BSpline
from fxsim.networks.checkpoint import load_quantised, save_checkpoint
from fxsim.networks.export import export
from fxsim.networks.fold import fold
from fxsim.networks.quantised import FLOAT, Arithmetic, QuantisedResMLP, ShiftRule, TableFormat
from fxsim.networks.resmlp import Activation, ChannelNorm, NetworkConfig, ResMLP
from fxsim.operators import Affine, Axis, Linear, Lut, Pool
from fxsim.paths import golden_dir
from fxsim.tables.points import PointMethod
from fxsim.training import evaluate
from fxsim.training.evaluate import test_tokens as tokens_of
from fxsim.training.integer_model import export_model, write_model
from tests.conftest import SEED

Codes = npt.NDArray[np.int8]
TABLES = TableFormat(16, TableRule.CLAMP, PointMethod.DECIMATE)
PRE = Preprocessing(8, 3, 2, (0.3, 0.4, 0.5), (0.3, 0.25, 0.2))
"""16 tokens of 12 values, what the random networks take."""


# --- networks ---


def random_network(activation: Activation, tables: TableFormat = TABLES, classes: int = 10) -> QuantisedResMLP:
    """A folded random ResMLP with calibrated steps, no training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        config = NetworkConfig(
            tokens=16, values=12, channels=10, hidden=14, blocks=2, classes=classes, activation=activation
        )
        network = ResMLP(config)
        for module in network.modules():
            if isinstance(module, ChannelNorm):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
        quantised = fold(network.eval())
        largest: dict[str, list[float]] = {}
        with torch.no_grad():
            for tap, values in quantised.float_taps(torch.randn(16, 16, 12)):
                name = tap if tap == "input" else quantised.slot(tap).step
                largest.setdefault(name, []).append(float(values.abs().max()) / 128)
    # The mean of several taps' maxima: some of what shares a step saturates.
    quantised.set_steps({name: sum(values) / len(values) for name, values in largest.items()})
    quantised.choose_shifts(ShiftRule.LEAST_SQUARES)
    quantised.store_tables(tables)
    return quantised


def plain_network(
    tokens: int, values: int, channels: int, activation: Activation = Activation.RELU, **more: Any
) -> QuantisedResMLP:
    """A network of one block that passes its embedding on unchanged to the pool, all steps 1, shifts 0, weights 0 or 1.

    In float32 all of it is exact: whatever differs was put in by the test.
    """
    config = NetworkConfig(
        tokens=tokens,
        values=values,
        channels=channels,
        hidden=3,
        blocks=1,
        classes=2,
        activation=activation,
        **more,
    )
    network = QuantisedResMLP(config)
    with torch.no_grad():
        for tap in network.weighted_taps():
            network.weighted(tap).weight.zero_()
        for tap in ("blocks.0.token_mixer.res_affine", "blocks.0.mlp.res_affine"):
            network.weighted(tap).weight.fill_(1)
    return network.eval()


def set_codes(network: QuantisedResMLP, tap: str, weight: Any, bias: Any = 0, shift: int = 0) -> None:
    """Give a linear or affine these integers; all steps are 1, so that a weight's step is 2^-shift."""
    layer = network.weighted(tap)
    with torch.no_grad():
        layer.shift.fill_(shift)
        layer.weight.copy_(torch.as_tensor(np.asarray(weight), dtype=torch.float32).expand_as(layer.weight) / 2**shift)
        layer.bias.copy_(torch.as_tensor(np.asarray(bias), dtype=torch.float32).expand_as(layer.bias))


def random_codes(shape: tuple[int, ...], *seed: int, low: int = -128, high: int = 127) -> Codes:
    """Random int8 of a shape."""
    return np.random.default_rng([SEED, *seed]).integers(low, high + 1, shape).astype(np.int8)


def attribute(network: QuantisedResMLP, codes: Codes, examples: int = 0, batch: int = 64) -> FloatMode:
    """Float mode on codes, without files."""
    found = Attribution(network, export(network, "test", {}), examples, Engine.REFERENCE)
    for start in range(0, len(codes), batch):
        found.add(codes[start : start + batch], start)
    return FloatMode(
        taps=found.taps,
        beginnings=found.beginnings,
        unaffected=found.unaffected,
        variants=(),
        examples=found.examples,
    )


def by_tap(found: FloatMode) -> dict[str, TapDifferences]:
    """Taps by name."""
    return {tap.tap: tap for tap in found.taps}


# --- the definition, once more: element by element, in Python's fractions ---


def exact_value(node: Node, inputs: Sequence[Codes], place: tuple[int, ...]) -> Fraction:
    """One value before rounding, from the contract's formulas."""
    op, image, channel = node.op, place[0], place[-1]
    if isinstance(op, Linear):
        over_tokens = op.over is Axis.TOKENS
        row = place[1] if over_tokens else channel
        x = inputs[0][image, :, channel] if over_tokens else inputs[0][place[:-1]]
        total = sum(int(a) * int(w) for a, w in zip(x, op.weight[row], strict=True))
        return Fraction(total, 2 ** int(op.shift[row])) + int(op.bias[row])
    if isinstance(op, Affine):
        product = int(inputs[0][place]) * int(op.weight[channel])
        return Fraction(product, 2 ** int(op.shift[channel])) + int(op.bias[channel])
    if isinstance(op, Pool):
        return Fraction(sum(int(v) for v in inputs[0][image, :, channel]), op.tokens)
    if isinstance(op, Lut):
        points = op.table.shape[1] - (op.rule is TableRule.ENDPOINT)
        spacing = 256 // points
        segment, fraction = divmod(int(inputs[0][place]) + 128, spacing)
        if op.rule is TableRule.CLAMP:
            segment = min(segment, points - 2)
        row = [int(v) for v in op.table[channel]]
        upper = row[min(segment + 1, len(row) - 1)]
        return row[segment] + Fraction((upper - row[segment]) * fraction, spacing)
    return Fraction(sum(int(x[place]) for x in inputs))


def clamp(v: int) -> int:
    """Saturated to int8."""
    return min(max(v, -128), 127)


def to_even(v: Fraction) -> int:
    """Rounded with ties to even: Python's own rule for fractions."""
    return round(v)


def upwards(v: Fraction) -> int:
    """Rounded with ties upwards."""
    return math.floor(v + Fraction(1, 2))


def expected_cause(kind: str, value: Fraction, floating: int, function_upwards: int, sums_upwards: int) -> str:
    """The cause of a local difference, from the exact value and what float32 gives with either rule for ties."""
    if kind == "add":
        return "saturation"
    if kind == "table":
        # A function exactly on a tie needs both rules.
        return "table resampling" if function_upwards == floating else "table resampling + tie"
    if clamp(to_even(value)) == floating:
        return "tie"
    return "float32 sum" if sums_upwards == floating else "tie + float32 sum"


def recount(network: QuantisedResMLP, codes: Codes) -> dict[str, tuple[int, int, Counter[str], int, int]]:
    """By tap: differ, carried, causes, cancelled, several; value by value."""
    model = export(network, "recount", {})
    integer = {"input": codes} | run(model, codes, "all", engine="reference")
    floating = network.run_taps(torch.from_numpy(codes), FLOAT)
    counts = {}
    for slot in network.slots:
        node = model.graph.by_name[slot.tap]
        inputs = tuple(torch.from_numpy(integer[name]).double() for name in slot.inputs)
        local = network.operator(slot.tap, inputs, FLOAT).numpy()
        function = network.operator(slot.tap, inputs, Arithmetic("up", "exact", "every", "function")).numpy()
        sums = network.operator(slot.tap, inputs, Arithmetic("up", "float32", "every", "stored")).numpy()
        end_to_end = floating[slot.tap].numpy()
        differ = carried = cancelled = several = 0
        causes: Counter[str] = Counter()
        for place in np.ndindex(local.shape):
            ours, here, there = int(integer[slot.tap][place]), int(local[place]), int(end_to_end[place])
            differ += there != ours
            carried += there != ours and here == ours
            cancelled += there == ours and here != ours
            if there != ours and here != ours:
                value = exact_value(node, [integer[name] for name in slot.inputs], place)
                assert clamp(upwards(value)) == ours
                causes[expected_cause(slot.kind, value, here, int(function[place]), int(sums[place]))] += 1
                other = function if slot.kind == "table" else sums
                several += slot.kind != "add" and clamp(to_even(value)) == here == other[place]
        counts[slot.tap] = differ, carried, causes, cancelled, several
    return counts


@pytest.mark.parametrize("activation", Activation)
def test_every_difference_is_attributed_as_exact_arithmetic_says(activation: Activation) -> None:
    """At every tap of a random network the counts of each cause are those of the definition in fractions."""
    network = random_network(activation)
    codes = random_codes((8, 16, 12), 1)
    found = attribute(network, codes)
    expected = recount(network, codes)
    for tap in found.taps:
        assert (tap.differ, tap.carried, tap.causes, tap.cancelled, tap.several) == expected[tap.tap], tap.tap
        assert tap.differ == tap.local + tap.carried == sum(tap.histogram.values())
        assert tap.largest == max((abs(distance) for distance in tap.histogram), default=0)
    assert found.unexplained == 0
    assert sum(tap.several for tap in found.taps) > 0
    begin = {tap.tap: 0 for tap in found.taps}
    integer = run(export(network, "x", {}), codes, "all", engine="reference")
    floating = network.run_taps(torch.from_numpy(codes), FLOAT)
    for image in range(8):
        begin[next(tap for tap in begin if (integer[tap][image] != floating[tap][image].numpy()).any())] += 1
    assert {row.tap: row.images for row in found.beginnings} == {tap: n for tap, n in begin.items() if n}
    # A test of counts that are all zero would say little.
    assert {"tie", "float32 sum", "saturation"} <= set(found.causes)
    assert ("table resampling" in found.causes) is (activation is not Activation.RELU)


def test_ties_alone() -> None:
    """Where only ties are put in, they are found where integers say, and everything behind is carried over."""
    network = plain_network(tokens=2, values=3, channels=4)
    weight = random_codes((4, 3), 2, low=-3, high=3)
    set_codes(network, "embed", weight, shift=1)
    codes = random_codes((20, 2, 3), 3, low=-12, high=12)
    found = attribute(network, codes, examples=5)
    sums = codes.astype(int) @ weight.T.astype(int)
    # sum / 2 lies between two codes where the sum is odd; the two rules differ where the upper code is odd.
    ties = (sums % 2 == 1) & ((sums + 1) // 2 % 2 == 1)
    count = int(ties.sum())
    taps = by_tap(found)
    assert count > 10
    assert taps["embed"].causes == {"tie": count}
    assert taps["embed"].histogram == {-1: count}
    identical = (
        "blocks.0.token_mixer.res_affine", "blocks.0.token_mixer.add", "blocks.0.mlp.res_affine", "blocks.0.mlp.add",
    )  # fmt: skip
    for tap in identical:
        assert (taps[tap].carried, taps[tap].causes) == (count, {})
    # The average of two tokens is a tie itself where their sum is odd: whatever differs there is carried over or a tie.
    assert set(found.causes) == {"tie", "carried over"}
    images = int(ties.any(axis=(1, 2)).sum())
    assert found.beginnings[0].tap == "embed"
    assert found.beginnings[0].images == images
    first = next(example for example in found.examples if example.cause == "tie")
    image, token, channel = (int(i) for i in np.argwhere(ties)[0])
    total = int(sums[image, token, channel])
    assert (first.image, first.token, first.channel, first.exact) == (image, token, channel, f"{total}/2")
    assert (first.integer_code, first.float_code, first.float32) == ((total + 1) // 2, (total - 1) // 2, total / 2)
    assert f"accumulator {total} / 2^1 + bias 0 = {total / 2}" in first.text
    assert sum(example.cause == "tie" for example in found.examples) == 5


def test_saturation_alone() -> None:
    """Sums that leave int8 are found where integers say; the next affine saturates them, so that nothing is carried."""
    network = plain_network(tokens=1, values=4, channels=4)
    set_codes(network, "embed", np.eye(4))
    set_codes(network, "blocks.0.token_mixer.affine_2", 0, bias=100)
    codes = random_codes((30, 1, 4), 4)
    found = attribute(network, codes, examples=1)
    over = codes.astype(int) + 100 - 127
    count = int((over > 0).sum())
    assert count > 10
    assert {tap.tap: tap.causes for tap in found.taps if tap.causes} == {
        "blocks.0.token_mixer.add": {"saturation": count}
    }
    assert by_tap(found)["blocks.0.token_mixer.add"].histogram == dict(sorted(Counter(over[over > 0].tolist()).items()))
    assert found.causes == {"saturation": count}
    assert found.unaffected == int((over <= 0).all(axis=(1, 2)).sum())
    code = int(codes[over > 0][0])
    assert f"100 + {code} = {code + 100}" in found.examples[0].text


def test_table_resampling_alone() -> None:
    """A function of straight pieces whose table stores its knots differs only where the edge rule goes another way."""
    network = plain_network(tokens=1, values=2, channels=2, activation=Activation.B_SPLINE, points=8, limit=128.0)
    set_codes(network, "embed", np.eye(2))
    knots = np.array([[64, -32, 0, 32, -64, 0, 96, 32, -96], [-128, -96, -64, 0, 32, 32, 0, 64, 96]])
    for tap in network.table_taps():
        function = network.table_function(tap)
        channels = 2 if tap.endswith("psa_1") else 3
        assert isinstance(function.activation, BSpline)
        if channels == 2:
            with torch.no_grad():
                function.activation.coefficients.copy_(torch.from_numpy(knots))
        # The function at every knot but the last; psa_2's input is 0 everywhere, a knot.
        stored = torch.round(function.activation.coefficients.detach())[:, :8]
        function.table = stored.to(torch.int8)
    network.tables = TableFormat(8, TableRule.CLAMP, PointMethod.DECIMATE)
    codes = random_codes((100, 1, 2), 5)
    found = attribute(network, codes, examples=2)
    histogram: Counter[int] = Counter()
    for image, _, channel in np.ndindex(codes.shape):
        i = int(codes[image, 0, channel]) + 128
        if i >= 224:
            # All slopes are whole: neither rounds. `clamp` reads points 6 and 7 with the fraction of segment 7.
            row = knots[channel]
            function_value = row[7] + (row[8] - row[7]) * (i - 224) // 32
            clamped = row[6] + (row[7] - row[6]) * (i - 224) // 32
            histogram[int(function_value) - int(clamped)] += 1
    del histogram[0]
    count = sum(histogram.values())
    assert count > 10
    assert found.causes == {"table resampling": count}
    assert by_tap(found)["blocks.0.mlp.psa_1"].histogram == dict(sorted(histogram.items()))
    assert "the function in float32 has" in found.examples[0].text


@pytest.mark.parametrize(("shift", "near"), [(6, False), (22, True)])
def test_float32_sums(shift: int, near: bool) -> None:
    """Float32's rounding pushes values off ties, and, where shifts are large, values that are near them across."""
    network = plain_network(tokens=8, values=256, channels=16)
    network.set_steps({name: 0.1 if name == "input" else 0.3 for name in network.step_names})
    codes, weight = random_codes((40, 8, 256), 6), random_codes((16, 256), 7)
    bias = random_codes((16,), 8)
    if near:
        codes, weight = near_ties(codes, weight)
    layer = network.weighted("embed")
    with torch.no_grad():
        layer.shift.fill_(shift)
        step = layer.weight_step(network.step("input"), network.step("embed"))
        layer.weight.copy_(torch.from_numpy(weight) * step)
        layer.bias.copy_(torch.from_numpy(bias) * network.step("embed"))
    found = by_tap(attribute(network, codes))["embed"]
    floating = network.run_taps(torch.from_numpy(codes), FLOAT, ["embed"])["embed"].numpy()
    float_up = Arithmetic("up", "float32", "late", "function")
    rounded_up = network.run_taps(torch.from_numpy(codes), float_up, ["embed"])["embed"].numpy()
    sums = codes.astype(int) @ weight.T.astype(int)
    causes: Counter[str] = Counter()
    on_tie = 0
    for place in np.ndindex(sums.shape):
        value = Fraction(int(sums[place]), 2**shift) + int(bias[place[-1]])
        ours, theirs = clamp(upwards(value)), int(floating[place])
        if ours != theirs:
            cause = expected_cause("linear", value, theirs, 0, int(rounded_up[place]))
            causes[cause] += 1
            on_tie += cause == "float32 sum" and value.denominator == 2
    assert found.causes == causes
    assert found.on_tie == on_tie
    assert on_tie > 0
    # With small shifts nothing comes near a tie without being one.
    assert (causes["float32 sum"] > on_tie) is near
    assert ("tie + float32 sum" in causes) is near


def near_ties(codes: Codes, weight: Codes) -> tuple[Codes, Codes]:
    """Codes and weights whose sums are 2^21 and up to 3 more or less."""
    codes, weight = codes.copy(), weight.copy()
    weight[:, 132:] = 0
    # 130 * 127^2 = 2,096,770, and 2^21 = 2,097,152: 382 are left, 3 * 127 of them here, 1 and up to 3 more there.
    codes[..., :130], weight[:, :130] = 127, 127
    codes[..., 130], weight[:, 130] = 3, 127
    codes[..., 131], weight[:, 131] = codes[..., 131] % 7 - 2, 1
    return codes, weight


def test_float32_errors_are_within_their_bound() -> None:
    """Float32 in any order of summation, steps and all, stays within the bound that a float32 sum has to obey."""
    rng = np.random.default_rng([SEED, 9])
    worst = 0.0
    for shift in (0, 7, 20):
        x, weight = random_codes((50, 1, 40), 10, shift), random_codes((50, 40), 11, shift)
        bias = random_codes((50,), 12, shift)
        node = Node("n", Linear(weight, bias, np.full(50, shift, np.uint8)), ("input",))
        places = (np.arange(50), np.zeros(50, np.int64), np.arange(50))
        bounds = exact_values(node, (x,), places)
        for i in range(50):
            x_step, y_step = np.exp2(rng.normal(size=2)).astype(np.float32)
            w_step = y_step * np.float32(2.0**-shift) / x_step
            terms = [*(x[i, 0] * x_step * (weight[i] * w_step)), bias[i] * y_step]
            total = np.float32(0)
            for k in rng.permutation(41):
                total += np.float32(terms[k])
            value = exact_value(node, [x], (i, 0, i))
            assert bounds.fraction(i) == value
            error = abs(Fraction(float(total / y_step)) - value)
            assert error <= Fraction(float(bounds.error[i]))
            worst = max(worst, float(error) / float(bounds.error[i]))
    # A bound that is never even approached would let anything pass.
    assert worst > 0.01


def test_what_rounding_cannot_explain_is_unexplained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A float operator that is off by more than float32's errors gives unexplained differences and exit status 1."""
    network = plain_network(tokens=16, values=12, channels=12)
    set_codes(network, "embed", np.eye(12))
    checkpoint, codes = tmp_path / "q.safetensors", tmp_path / "codes.npy"
    save_checkpoint(network, checkpoint, PRE, {})
    np.save(codes, random_codes((4, 16, 12), 13, low=-100, high=100))
    original = QuantisedResMLP._real

    def faulty(self: QuantisedResMLP, slot: Any, inputs: Any, quantised: bool) -> torch.Tensor:
        real = original(self, slot, inputs, quantised)
        return real + 0.6 if slot.tap == "embed" else real

    monkeypatch.setattr(QuantisedResMLP, "_real", faulty)
    record = bridge(checkpoint, codes_path=codes, examples=2)
    assert record.contract.equal
    assert not record.passed
    assert record.float_mode is not None
    assert by_tap(record.float_mode)["embed"].causes == {"unexplained": 4 * 16 * 12}
    assert record.float_mode.unexplained == 4 * 16 * 12
    assert sum(example.cause == "unexplained" for example in record.float_mode.examples) == 2
    result = invoke(checkpoint, "--input", codes)
    assert result.exit_code == 1
    assert f"UNEXPLAINED: {4 * 16 * 12}" in result.output


def test_a_value_that_is_not_its_exact_value_rounded_is_unexplained(monkeypatch: pytest.MonkeyPatch) -> None:
    """An integer engine that is wrong at a tie does not get away with the tie."""
    network = plain_network(tokens=1, values=1, channels=1)
    set_codes(network, "embed", 1, shift=1)
    codes = np.array([[[1]]], np.int8)
    assert by_tap(attribute(network, codes))["embed"].causes == {"tie": 1}

    def faulty(*arguments: Any) -> dict[str, Codes]:
        taps = run(*arguments)
        return taps | {"embed": taps["embed"] + np.int8(1)}

    monkeypatch.setattr("fxsim.bridge.attribute.run", faulty)
    assert by_tap(attribute(network, codes))["embed"].causes == {"unexplained": 1}


def test_differences_that_cancel() -> None:
    """A local difference that differing inputs undo is counted as cancelled, and is no difference."""
    network = plain_network(tokens=1, values=1, channels=1)
    # Code 1: 1 / 2 is 1 upwards and 0 to even. The residual path passes it on, the mixer's turns 1 into -1/2 + 1.
    set_codes(network, "embed", 1, shift=1)
    set_codes(network, "blocks.0.token_mixer.res_affine", -1, bias=1, shift=1)
    found = by_tap(attribute(network, np.array([[[1]]], np.int8)))
    # Upwards: -1/2 is 0, plus 1 is 1. Float: 0 + 1 is 1. On the integer's input float has 1/2 to even: 0.
    tap = found["blocks.0.token_mixer.res_affine"]
    assert (tap.differ, tap.cancelled, tap.causes) == (0, 1, {})
    assert found["blocks.0.token_mixer.add"].differ == 0


# --- whole files ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network file of each kind of activation, and codes."""
    path = tmp_path_factory.mktemp("bridge")
    for activation in (Activation.RELU, Activation.LERP_PSA):
        save_checkpoint(random_network(activation), path / f"{activation}.safetensors", PRE, {"data": "digits"})
    np.save(path / "codes.npy", random_codes((10, 16, 12), 20))
    return path


def invoke(*arguments: object) -> Result:
    """Run the command on a wide terminal."""
    return CliRunner(env={"COLUMNS": "200"}).invoke(cli, ["bridge", *map(str, arguments)])


def test_record_of_a_data_set(folder: Path) -> None:
    """Predictions of every arithmetic are those of the engines and of the network; the last batch may be small."""
    path = folder / "lerp-psa.safetensors"
    record = bridge(path, DataSource.DIGITS, images=50, batch=16)
    network = random_network(Activation.LERP_PSA)
    model = export(network, "x", {})
    assert record.contract.equal
    assert record.passed
    per_image = sum(math.prod(model.graph.shapes[tap]) for tap in model.graph.taps)
    assert record.contract.compared == 50 * per_image
    assert all(tap.differ == 0 for tap in record.contract.taps)
    assert record.float_mode is not None
    assert sum(tap.compared for tap in record.float_mode.taps) == 50 * per_image
    tokens, labels = tokens_of(PRE, DataSource.DIGITS, None)
    codes, labels = to_codes(tokens[:50], float(network.step("input").detach())), labels[:50]
    integer = run(model, codes, engine="reference")["classifier"].argmax(axis=1)
    parts = [network.run_taps(torch.from_numpy(codes[i : i + 16]), FLOAT)["classifier"] for i in range(0, 50, 16)]
    floating = torch.cat(parts).numpy().argmax(axis=1)
    found = {variant.name: variant for variant in record.float_mode.variants}
    assert found["integer"].correct == int((integer == labels).sum())
    assert found["float"].correct == int((floating == labels).sum())
    assert found["integer"].changed_from_float == found["float"].changed
    assert found["float"].changed == int((integer != floating).sum())
    arithmetics = {
        "integer, ties to even": Arithmetic("even", "exact", "every", "stored"),
        "integer, float32 sums": Arithmetic("up", "float32", "every", "stored"),
        "integer, late saturation": Arithmetic("up", "exact", "late", "stored"),
        "integer, functions as such": Arithmetic("up", "exact", "every", "function"),
        "float, ties up": Arithmetic("up", "float32", "late", "function"),
        "float, exact sums": Arithmetic("even", "exact", "late", "function"),
        "float, every add saturates": Arithmetic("even", "float32", "every", "function"),
        "float, stored tables": Arithmetic("even", "float32", "late", "stored"),
    }
    assert set(found) == {"integer", "float", *arithmetics}
    for name, arithmetic in arithmetics.items():
        parts = [
            network.run_taps(torch.from_numpy(codes[i : i + 16]), arithmetic)["classifier"] for i in range(0, 50, 16)
        ]
        predicted = torch.cat(parts).numpy().argmax(axis=1)
        assert found[name].changed == int((predicted != integer).sum())
        assert found[name].changed_from_float == int((predicted != floating).sum())
        assert found[name].correct == int((predicted == labels).sum())
    # Digits by default, as the network's file says.
    assert bridge(path, images=50, batch=16) == record
    assert bridge(path, images=50, batch=16, engine=Engine.REFERENCE).contract == record.contract


def test_a_corrupted_table_entry_is_named(folder: Path, tmp_path: Path) -> None:
    """One other entry in a table of the model file: exit status 1, its tensor, channel, point and both values."""
    checkpoint, file = folder / "lerp-psa.safetensors", tmp_path / "model.safetensors"
    model = write_model(checkpoint, file)
    tap = "blocks.1.mlp.psa_2"
    op = model.graph.by_name[tap].op
    assert isinstance(op, Lut)
    table = op.table.copy()
    # The code that is read most of channel 5, so that the corruption shows in the taps.
    integer = run(model, np.load(folder / "codes.npy"), "all", engine="reference")
    read = integer["blocks.1.mlp.linear_1"][..., 5].astype(int) + 128
    point = int(np.bincount(read.ravel() // 16).argmax())
    before = int(table[5, point])
    table[5, point] = before + 40 if before < 0 else before - 40
    nodes = [Node(n.name, Lut(table, op.rule), n.inputs) if n.name == tap else n for n in model.graph.nodes]
    corrupted = Model(Graph(model.graph.input_shape, tuple(nodes)), model.name, model.provenance)
    save(corrupted, file)
    arguments = (checkpoint, "--input", folder / "codes.npy", "--model", file, "--batch", 1)
    result = invoke(*arguments)
    assert result.exit_code == 1
    after = int(table[5, point])
    entry = f"blocks.1.mlp.psa_2.table[5, {point}]: the network has {before}, the model {after}"
    assert entry in result.output
    wrong = run(corrupted, np.load(folder / "codes.npy"), "all", engine="reference")
    image, token, channel = (int(i) for i in np.argwhere(wrong[tap] != integer[tap])[0])
    assert channel == 5
    place = f"first difference: image {image}, {tap}, token {token}, channel 5: the network has "
    values = f"{integer[tap][image, token, 5]}, the model {wrong[tap][image, token, 5]}"
    assert place + values in result.output
    result = invoke(*arguments, "--json")
    assert result.exit_code == 1
    contract = json.loads(result.stdout)["contract"]
    assert contract["parameters_differ"] == 1
    assert contract["parameter_differences"] == [
        {"tensor": f"{tap}.table", "index": [5, point], "expected": before, "found": after}
    ]
    differ = {row["tap"]: row["differ"] for row in contract["taps"]}
    assert differ == {name: int((wrong[name] != integer[name]).sum()) for name in integer}
    assert json.loads(result.stdout)["float_mode"] is None
    page = tmp_path / "page.html"
    assert invoke(*arguments, "-o", page).exit_code == 1
    assert f"<td>5, {point}</td>" in page.read_text()


def test_parameters_that_change_no_value_are_named_too(tmp_path: Path) -> None:
    """Entries that these images never read differ as well; all are counted, the first are listed."""
    network = plain_network(tokens=16, values=12, channels=40)
    checkpoint, file, codes = tmp_path / "q.safetensors", tmp_path / "m.safetensors", tmp_path / "codes.npy"
    save_checkpoint(network, checkpoint, PRE, {"data": "digits"})
    np.save(codes, np.zeros((3, 16, 12), np.int8))
    model = write_model(checkpoint, file)
    op = model.graph.by_name["embed"].op
    assert isinstance(op, Linear)
    other = Linear(op.weight + np.int8(1), op.bias, op.shift)
    nodes = [Node(n.name, other, n.inputs) if n.name == "embed" else n for n in model.graph.nodes]
    save(Model(Graph(model.graph.input_shape, tuple(nodes)), "m", {}), file)
    record = bridge(checkpoint, codes_path=codes, model_path=file)
    assert record.contract.first is None
    assert not record.contract.equal
    assert record.contract.parameters_differ == 40 * 12
    assert [d.index for d in record.contract.parameter_differences] == [(i // 12, i % 12) for i in range(LISTED)]
    result = invoke(checkpoint, "--input", codes, "--model", file)
    assert result.exit_code == 1
    assert "no value of any tap differs on these images" in result.output
    assert f"and {40 * 12 - LISTED} more" in result.output


def test_a_network_that_breaks_the_contract_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network's own arithmetic, wrong at one value of the second batch, is found with parameters all equal."""
    original = QuantisedResMLP._exact

    def faulty(self: QuantisedResMLP, slot: Any, inputs: Any) -> torch.Tensor:
        v = original(self, slot, inputs)
        if slot.tap == "pool" and len(v) == 2:  # the last batch: images 8 and 9 of 10
            v = v.clone()
            v[1, 3] = -v[1, 3] + 7.25
        return v

    monkeypatch.setattr(QuantisedResMLP, "_exact", faulty)
    record = bridge(folder / "relu.safetensors", codes_path=folder / "codes.npy", batch=4)
    assert record.contract.parameters_differ == 0
    first = record.contract.first
    assert first is not None
    assert (first.image, first.tap, first.token, first.channel) == (9, "pool", None, 3)
    assert {tap.tap: tap.differ for tap in record.contract.taps if tap.tap == "pool"} == {"pool": 1}
    assert not record.passed
    with pytest.raises(FxsimError, match="no causes to draw"):
        draw_bridge(record)


# --- output and errors ---


def test_page_and_picture(folder: Path, tmp_path: Path) -> None:
    """The page shows what the record has, loads nothing, escapes names, and is the same every time."""
    codes = tmp_path / "<b>$x$.npy"
    codes.write_bytes((folder / "codes.npy").read_bytes())
    page, picture = tmp_path / "page.html", tmp_path / "picture.svg"
    for output in (page, picture):
        result = invoke(folder / "relu.safetensors", "--input", codes, "-o", output)
        assert result.exit_code == 0, result.output
    assert ElementTree.fromstring(picture.read_bytes()).tag.endswith("svg")  # noqa: S314  # written a moment ago
    text = page.read_text()
    assert "&lt;b&gt;$x$.npy" in text
    assert "<b>$x$" not in text
    assert "<script" not in text
    assert "src=" not in text
    record = bridge(folder / "relu.safetensors", codes_path=codes)
    assert render_page(record) == text
    assert record.float_mode is not None
    for example in record.float_mode.examples:
        assert example.text in text
    for tap in record.float_mode.taps:
        assert f"{tap.differ:,}" in text


def test_terminal_and_json(folder: Path) -> None:
    """The table has a row for each tap; JSON is the record."""
    arguments = (folder / "relu.safetensors", "--input", folder / "codes.npy", "--images", 5, "--examples", 1)
    result = invoke(*arguments)
    assert result.exit_code == 0
    assert "contract: equal" in result.output
    assert all(f"│ {tap} " in result.output for tap in random_network(Activation.RELU).taps)
    assert "UNEXPLAINED" not in result.output
    shown = json.loads(invoke(*arguments, "--json").stdout)
    record = bridge(arguments[0], codes_path=folder / "codes.npy", images=5, examples=1)
    assert msgspec.convert(shown, BridgeRecord, strict=False) == record
    assert record.images == 5


def test_bad_input(folder: Path, tmp_path: Path) -> None:
    """Each mistake gets one message that names the thing and what was expected."""
    relu, codes = folder / "relu.safetensors", folder / "codes.npy"
    assert invoke(relu, "--input", codes, "--data", "digits").exit_code == 2
    for arguments, kind, message in (
        ((relu, "--input", codes, "-o", tmp_path / "x.pdf"), FileError, "ends in .html, .svg or .png"),
        ((relu, "--input", codes, "-o", tmp_path / "no" / "x.html"), FileError, "there is no folder"),
        ((tmp_path / "none", "--input", codes), FileError, "there is no such file"),
    ):
        result = invoke(*arguments)
        assert isinstance(result.exception, kind)
        assert message in str(result.exception)
    bystander = tmp_path / "codes.svg"
    bystander.write_bytes(codes.read_bytes())
    result = invoke(relu, "--input", bystander, "-o", bystander)
    assert "read as an input" in str(result.exception)
    assert bystander.read_bytes() == codes.read_bytes()
    other = tmp_path / "other.safetensors"
    write_model(folder / "lerp-psa.safetensors", other)
    with pytest.raises(ModelError, match=r"has 'blocks\.0\.mlp\.psa_1', lut .* the network 'blocks\.0\.mlp\.linear_1'"):
        bridge(relu, codes_path=codes, model_path=other)
    write_model(folder / "lerp-psa.safetensors", other, tables=TableFormat(16, TableRule.HOLD, PointMethod.DECIMATE))
    with pytest.raises(ModelError, match="tables in the same format"):
        bridge(folder / "lerp-psa.safetensors", codes_path=codes, model_path=other)
    save_checkpoint(random_network(Activation.RELU, classes=3), other, PRE, {"data": "digits"})
    with pytest.raises(FxsimError, match=r"digits has 10 classes, the network in .* 3"):
        bridge(other)
    save_checkpoint(random_network(Activation.RELU), other, PRE, {"data": "elsewhere"})
    with pytest.raises(FileError, match="names no data set"):
        bridge(other)


def test_a_model_with_another_input_step_is_refused(folder: Path, tmp_path: Path) -> None:
    """A model file that takes pictures in another way than the network is not compared."""
    file = folder_model(folder, tmp_path)
    model = load(file)
    stated = json.loads(model.provenance["input"]) | {"step": 0.5}
    save(Model(model.graph, model.name, dict(model.provenance) | {"input": json.dumps(stated)}), file)
    with pytest.raises(FxsimError, match=r"the input step 0\.5"):
        bridge(folder / "relu.safetensors", images=2, model_path=file)


def test_a_contract_over_nothing_does_not_hold(folder: Path) -> None:
    """No image, a value that was not compared, and no tap are no equality, though nothing differs."""
    path = folder / "relu.safetensors"
    network, exported = load_quantised(path)[0], export_model(path)
    codes = np.zeros((3, *exported.graph.input_shape), np.int8)
    whole = compare_contract(network, exported, exported, codes, batch=2)
    assert whole.equal
    assert [tap.values for tap in whole.taps] == [3 * math.prod(exported.graph.shapes[t]) for t in exported.graph.taps]
    none = compare_contract(network, exported, exported, codes[:0], batch=2)
    assert (none.equal, none.first, none.compared) == (False, None, 0)
    short = msgspec.structs.replace(whole.taps[-1], compared=whole.taps[-1].compared - 1)
    for changes in ({"taps": (*whole.taps[:-1], short)}, {"taps": ()}, {"parameters": 0}):
        assert not msgspec.structs.replace(whole, **changes).equal


def folder_model(folder: Path, tmp_path: Path) -> Path:
    """The ReLU network's integer model as a file."""
    file = tmp_path / "relu_model.safetensors"
    write_model(folder / "relu.safetensors", file)
    return file


@pytest.mark.parametrize("name", [recipe.name for recipe in TRAINED])
def test_golden_networks_by_the_contract_are_their_integer_models(name: str) -> None:
    """On every test picture, every value of every tap of a golden model is what its quantised network computes."""
    path, model = golden_dir() / "checkpoints" / f"{name}.safetensors", load(golden_dir() / f"{name}.safetensors")
    codes, _ = evaluate.test_codes(model, DataSource.DIGITS, None)
    found = compare_contract(load_quantised(path)[0], export_model(path), model, codes, batch=64)
    assert len(codes) == 445
    assert {tap.tap: tap.compared for tap in found.taps} == {
        tap: len(codes) * math.prod(model.graph.shapes[tap]) for tap in model.graph.taps
    }
    assert [tap.tap for tap in found.taps if tap.differ] == []
    assert found.parameters_differ == 0
