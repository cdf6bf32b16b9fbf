"""The trained Neural ODE with attention: quantisers, float and fake-quant forms, integers, the bridge, recipes."""

import json
import math
from decimal import Context, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import fxsim
from fxsim.bridge.run import bridge
from fxsim.bridge.steps import measure_steps
from fxsim.cli.steps import command
from fxsim.contract import Number, Sign
from fxsim.data import DataSource, Preprocessing, load_data
from fxsim.engines.c import run_c
from fxsim.engines.loops import run_loops
from fxsim.errors import FileError, FxsimError, ModelError
from fxsim.formats import model_sha256
from fxsim.formats.onnx import export_onnx
from fxsim.graph import Model
from fxsim.networks.checkpoint import load_checkpoint, load_float, load_quantised_resmlp, save_checkpoint
from fxsim.networks.export import find_clipping
from fxsim.networks.learnt_levels import CELLS, LearntLevels, limits_of
from fxsim.networks.neural_ode import AttentionRule, NeuralOde, OdeConfig
from fxsim.networks.quantised import CONTRACT, FLOAT, learnt_step
from fxsim.networks.quantised_ode import Finish, Levels, OdeFormat, OdeNetwork, Quantiser, quantise_ode
from fxsim.operators import Conv, Matmul, Threshold
from fxsim.paths import golden_dir
from fxsim.training.flow import flow
from fxsim.training.integer_model import export_model
from fxsim.training.recipe import load_recipe
from tests.conftest import ROOT

pytestmark = pytest.mark.torch

Array = npt.NDArray[Any]
PIXELS = Preprocessing(8, 1, 1, (0.5,), (0.5,))
FORMATS = {
    "lsq 8": OdeFormat(),
    "lsq 4": OdeFormat(weight_bits=4, activation_bits=4),
    "llt 4": OdeFormat(quantiser=Quantiser.LLT, weight_bits=4, activation_bits=4),
}


def config_of(**other: Any) -> OdeConfig:
    """A small network's: two stages, two steps, attention of two heads on four places."""
    stated = {"size": 8, "colours": 1, "channels": (4, 6, 4), "classes": 3, "steps": 2, "heads": 2} | other
    return OdeConfig(**stated)


def float_network(config: OdeConfig, seed: int = 3) -> NeuralOde:
    """A float network whose parameters and statistics are drawn, in eval mode."""
    torch.manual_seed(seed)
    network = NeuralOde(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        network.train()
        for _ in range(4):
            network(torch.rand(16, config.size**2, config.colours) * 2 - 1)
    return network.eval()


def quantised_network(formats: OdeFormat, seed: int = 3, **other: Any) -> OdeNetwork:
    """A quantised network with steps that hold what it computes, and levels' steps anywhere."""
    config = config_of(**other)
    network = quantise_ode(float_network(config, seed), formats)
    x = torch.rand(16, config.size**2, config.colours) * 2 - 1
    with torch.no_grad():
        network.set_steps({tap: float(values.abs().max()) for tap, values in network.float_taps(x)})
        for module in network.modules():
            if isinstance(module, LearntLevels):
                module.cells.copy_(torch.randn_like(module.cells))
    return network


def codes_of(images: int, seed: int = 5, size: int = 8) -> Array:
    """Pictures as codes: any, then of nothing but the ends."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(-128, 128, (images, size, size, 1)).astype(np.int8)
    codes[-1] = rng.choice([-128, 127], (size, size, 1))
    return codes


# --- quantisers -------------------------------------------------------------------------------------------------------


def test_lsq_is_as_published() -> None:
    """Values and gradients by the paper's equations, one value after the other, of a signed and an unsigned format."""
    for low, high in ((-8, 7), (0, 15)):
        v = torch.linspace(-6, 6, 97, requires_grad=True)
        step = torch.tensor(0.5, requires_grad=True)
        y = learnt_step(v, step, 97, low, high)
        weight = torch.linspace(-1, 2, 97)
        (y * weight).sum().backward()
        of_step, scale = 0.0, (97 * high) ** -0.5
        for i, value in enumerate(v.tolist()):
            ratio = value / 0.5
            code = min(max(round(ratio), low), high)  # Python's round: ties to even
            assert float(y[i].detach()) == code * 0.5
            inside = low <= ratio <= high
            assert v.grad is not None
            assert float(v.grad[i]) == (float(weight[i]) if inside else 0.0)
            of_step += float(weight[i]) * (code - ratio if inside else (low if ratio < low else high)) * scale
        assert step.grad is not None
        assert float(step.grad) == pytest.approx(of_step, rel=1e-5)


def level_by_hand(value: Fraction, low: int, high: int, cells: Array) -> int:
    """LLT's level of v / s: the cell of the fine grid, then the table that says where each level begins."""
    cell = min(max((9 * value + Fraction(1, 2)).__floor__(), 9 * low), 9 * high)
    level = low
    for k in range(high - low):
        if cell >= 9 * (low + k) + 1 + int(cells[k]):
            level += 1
    return level


@pytest.mark.parametrize(("low", "high"), [(0, 15), (-7, 7), (0, 3), (-1, 1), (0, 127)])
def test_llt_is_the_multi_threshold_that_it_exports(low: int, high: int) -> None:
    """On a grid finer than the table's, codes are those by hand, and thresholds of integer sums give the same."""
    rng = np.random.default_rng(low + high)
    cells = rng.integers(0, CELLS, high - low)
    cells[: 2 if high - low > 2 else 1] = (0, CELLS - 1)[: 2 if high - low > 2 else 1]
    levels = LearntLevels(low, high)
    with torch.no_grad():
        levels.cells.copy_(torch.nn.functional.one_hot(torch.from_numpy(cells), CELLS).float())
    shift, bias = 6, -3
    sums = np.arange((low - 2 - bias) << shift, (high + 2 - bias) << shift)
    found = levels.codes(torch.from_numpy(sums / 2.0**shift + bias)).numpy()
    limits = np.array(limits_of(levels.positions(), shift, bias))
    assert (np.diff(limits) >= 0).all()
    np.testing.assert_array_equal(found, low + (sums[:, None] >= limits).sum(axis=1))
    for at in range(0, len(sums), max(1, len(sums) // 2000)):
        assert found[at] == level_by_hand(Fraction(int(sums[at]), 1 << shift) + bias, low, high, cells)
    # float32, as training computes it.
    step = torch.tensor(0.25)
    values = levels(torch.from_numpy(sums / 2.0**shift + bias).float() * step, step, 4)
    np.testing.assert_array_equal(values.detach().numpy(), found.astype(np.float32) * np.float32(0.25))


@settings(max_examples=60)
@given(cell=st.integers(1, 1000), shift=st.integers(0, 14), bias=st.integers(-128, 127), around=st.integers(-2, 2))
def test_limits_are_the_least_sums(cell: int, shift: int, bias: int, around: int) -> None:
    """A sum reaches a cell where 9 (sum / 2^shift + bias) + 1/2 does, by fractions."""
    (limit,) = limits_of(np.array([cell]), shift, bias)
    total = limit + around
    reaches = 9 * (Fraction(total, 1 << shift) + bias) + Fraction(1, 2) >= cell
    assert reaches == (total >= limit)


def test_llt_begins_as_rounding_and_learns_its_steps() -> None:
    """At first it rounds to the nearest; values that are to be larger move the step below them down."""
    levels, step = LearntLevels(0, 3), torch.tensor(1.0, requires_grad=True)
    v = torch.linspace(-1, 5, 601, requires_grad=True)
    codes = levels.codes(v.detach()).numpy()
    away = np.abs(v.detach().numpy() % 1 - 0.5) > 1 / 18
    np.testing.assert_array_equal(codes[away], np.clip(np.rint(v.detach().numpy()), 0, 3)[away])
    optimiser = torch.optim.Adam(levels.parameters(), lr=0.05)
    for _ in range(60):
        wanted = torch.where(v.detach() >= 0.2, torch.where(v.detach() >= 1.9, levels(v, step, 1).detach(), 1.0), 0.0)
        loss = ((levels(v, step, 1) - wanted) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert levels.positions()[0] in (2, 3)  # i = floor(9 v + 1/2) of v from 0.2 on
    assert v.grad is not None
    assert step.grad is not None


# --- exactness --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_network_model_and_forward_agree(name: str) -> None:
    """By the contract the network gives the model's every value; as fake-quant what `forward` gives."""
    network, codes = quantised_network(FORMATS[name]), codes_of(4)
    model = Model(network.graph(), "any")
    exact = network.run_taps(torch.from_numpy(codes), CONTRACT)
    expected = fxsim.run(model, codes, "all", engine="reference")
    assert list(exact) == list(expected)
    for tap, values in expected.items():
        np.testing.assert_array_equal(exact[tap].numpy(), values, tap)
        assert len(np.unique(values)) > 1, tap
    tokens = torch.from_numpy(codes.reshape(4, 64, 1)).float() * network.step("input")
    np.testing.assert_array_equal(network.input_codes(tokens).numpy(), codes)
    scores = network.run_taps(torch.from_numpy(codes), FLOAT, ("scores",))["scores"]
    assert torch.equal(network(tokens).double(), scores * network.step("scores").double())
    # The steps share their operators, whose arrays the model has once.
    owners = model.graph.owners
    assert {owners[f"ode1.step{i}.{part}"] for i in range(2) for part in ("p2", "p2.sums")} == {
        "ode1.step0.p2",
        "ode1.step0.p2.sums",
    }
    ends = [node.op for node in model.graph.nodes if isinstance(node.op, Threshold)]
    assert bool(ends) == (FORMATS[name].quantiser is Quantiser.LLT)


def rounded(v: Array, shift: Any, low: int = -128, high: int = 127, bias: Any = 0) -> Array:
    """round_shift, ties up, and a bias, saturated."""
    half = np.where(np.asarray(shift) > 0, 1 << np.maximum(np.asarray(shift) - 1, 0), 0)
    found: Array = np.clip(((v + half) >> shift) + bias, low, high)
    return found


def test_a_network_is_computed_plainly() -> None:
    """A whole network from the float parameters and log2 of the steps, in whole numbers, layer by layer."""
    network = quantised_network(OdeFormat(), channels=(4, 6))
    p = {name: values.numpy().astype(np.float64) for name, values in network.state_dict().items()}
    codes = codes_of(2)
    found = {tap: v.numpy().astype(np.int64) for tap, v in network.run_taps(torch.from_numpy(codes), CONTRACT).items()}
    log2 = {name: int(np.rint(p[f"scales.{name}.log2"])) for name in network.scales}
    log2 |= {"input": -7}

    def conv(tap: str, x: Array, x_log2: int, y_log2: int, stride: int = 1, relu: bool = False) -> Array:
        name = f"ops.{tap.replace('.', '_')}_sums.layer"
        k = np.clip(np.rint(p[f"{name}.scale.log2"]).astype(int), y_log2 - x_log2 - 24, y_log2 - x_log2)
        weight = np.clip(np.rint(p[f"{name}.weight"] / np.exp2(k)[:, None, None, None]), -127, 127).astype(np.int64)
        bias = np.clip(np.rint(p[f"{name}.bias"] / 2.0**y_log2), -128, 127).astype(np.int64)
        size, pad = weight.shape[2], weight.shape[2] // 2
        around = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        rows = x.shape[1] // stride
        total = np.zeros((len(x), rows, rows, len(weight)), np.int64)
        for i in range(rows):
            for j in range(rows):
                window = around[:, i * stride : i * stride + size, j * stride : j * stride + size]
                for o in range(len(weight)):
                    seen = window[..., o : o + 1] if weight.shape[1] == 1 and x.shape[3] > 1 else window
                    total[:, i, j, o] = np.einsum("nrsc,crs->n", seen, weight[o])
        return rounded(total, y_log2 - x_log2 - k, *((0, 127) if relu else (-128, 127)), bias)

    x = conv("stem", codes.astype(np.int64), -7, log2["x"], relu=True)
    np.testing.assert_array_equal(found["stem"], x)
    for step in range(2):
        f = conv("ode.step0.d1", x, log2["x"], log2["ode_d1"])
        f = conv("ode.step0.p1", f, log2["ode_d1"], log2["ode_p1"], relu=True)
        f = conv("ode.step0.d2", f, log2["ode_p1"], log2["ode_d2"])
        of_f = min(max(log2["ode_f"], log2["x"] + 1 - 14), log2["x"] + 1)
        f = conv("ode.step0.p2", f, log2["ode_d2"], of_f)
        shift = log2["x"] + 1 - of_f  # the step is 1/2
        x = rounded((x << shift) + f, shift)
        np.testing.assert_array_equal(found[f"ode.step{step}.x"], x)
    x = conv("down", x, log2["x"], log2["x1"], 2, relu=True)
    q, k, v = (conv(f"mhsa.{part}", x, log2["x1"], log2[f"mhsa_{part}"]) for part in "qkv")
    table = np.clip(np.rint(p["ops.mhsa_k_there.table"] / 2.0 ** log2["mhsa_k"]), -128, 127).astype(np.int64)
    k = np.clip(k + table.reshape(1, 4, 4, 6), -128, 127)
    q, k, v = (part.reshape(2, 16, 2, 3) for part in (q, k, v))
    of_scores = log2["mhsa_q"] + log2["mhsa_k"]
    a = min(max(log2["mhsa_attention"], of_scores), of_scores + 24)
    scores = rounded(np.einsum("nihc,njhc->nihj", q, k), a - of_scores, 0)
    y = min(max(log2["mhsa_heads"], a + log2["mhsa_v"] - 4), a + log2["mhsa_v"] + 20)
    heads = rounded(np.einsum("nihj,njhc->nihc", scores, v), y - a - log2["mhsa_v"] + 4).reshape(2, 4, 4, 6)
    x = np.clip(x + conv("mhsa.o", heads, y, log2["x1"]), -128, 127)
    np.testing.assert_array_equal(found["mhsa.x"], x)
    pool = min(max(log2["pool"], log2["x1"] - 4), log2["x1"])
    x = rounded(x.sum(axis=(1, 2)), pool - log2["x1"] + 4)
    np.testing.assert_array_equal(found["pool"][:, 0, 0], x)
    of_fc = int(np.rint(p["ops.fc_sums.layer.scale.log2"]))
    weight = np.rint(p["ops.fc_sums.layer.weight"][:, :, 0, 0] / 2.0**of_fc).astype(np.int64)
    bias = np.rint(p["ops.fc_sums.layer.bias"] / 2.0 ** (of_fc + pool)).astype(np.int64)
    np.testing.assert_array_equal(found["scores"], x @ weight.T + bias)


def test_folding_changes_no_value() -> None:
    """With nothing quantised, the folded network gives the float network's scores; steps that hold all, nearly so."""
    network = float_network(config_of(stem_stride=1))
    quantised = quantise_ode(network, OdeFormat())
    x = torch.rand(9, 64, 1) * 2 - 1
    with torch.no_grad():
        expected = network(x)
        found = dict(quantised.float_taps(x))
        torch.testing.assert_close(found["scores"], expected, rtol=1e-4, atol=1e-4)
        quantised.set_steps({tap: float(values.abs().max()) for tap, values in found.items()})
        assert (quantised(x) - expected).abs().mean() < 0.1 * expected.std()


def test_every_parameter_is_trained() -> None:
    """A loss of the fake-quant scores has a gradient of every weight, bias, table, step, and cell."""
    for formats in FORMATS.values():
        network = quantised_network(formats).train()
        network(torch.rand(8, 64, 1) * 2 - 1).square().sum().backward()  # type: ignore[no-untyped-call]
        missing = [name for name, parameter in network.named_parameters() if parameter.grad is None]
        assert missing == []
        assert sum(bool((p.grad != 0).any()) for p in network.parameters() if p.grad is not None) > 40


def test_clipped_weights_are_listed() -> None:
    """A weight beyond its step's last code is in the record of what was clipped, with its place."""
    network = quantised_network(OdeFormat(activation_bits=4, weight_bits=4))
    assert all("weight" not in record.tensor for record in find_clipping(network))
    layer = network.layers["ode.step0.p1"]
    with torch.no_grad():
        layer.weight[2, 1] = 100.0
    (record,) = (record for record in find_clipping(network) if record.tensor == "ode.step0.p1.weight")
    assert (record.index, record.stored, record.count) == ((2, 1, 0, 0), 7, 1)


# --- softmax ----------------------------------------------------------------------------------------------------------


SOFTMAX = (AttentionRule.SOFTMAX_LOG, AttentionRule.SOFTMAX_RECIPROCAL)


def plain_softmax(scores: Array, log2: int) -> Array:
    """Weights of scores, whole numbers [n, place, head, place], by fractions of large integers, as the module says."""
    context = Context(prec=60)

    def exp(code: Fraction, bits: int) -> Decimal:
        ratio = code * Fraction(2) ** log2
        power = context.exp(context.divide(Decimal(ratio.numerator), Decimal(ratio.denominator)))
        return context.multiply(power, Decimal(2**bits))

    found = np.zeros(scores.shape, np.int64)
    for n, i, h in np.ndindex(scores.shape[:3]):
        row = scores[n, i, h].tolist()
        total = sum(math.floor(exp(Fraction(s - 127), 13) + Decimal("0.5")) for s in row)
        level = -256
        while level < 89 and total >= exp(Fraction(2 * level + 1, 2), 13):
            level += 1
        for j, s in enumerate(row):
            share = min(max(s - level, -128), 127)
            found[n, i, h, j] = min(math.floor(exp(Fraction(share - 127), 7) + Decimal("0.5")), 127)
    return found


def test_softmax_attention_is_computed_plainly() -> None:
    """Network, reference engine and the compiled one give weights of the plain statement, whose sums are nearly 1."""
    network, codes = quantised_network(OdeFormat(), attention=AttentionRule.SOFTMAX_LOG), codes_of(4)
    model = Model(network.graph(), "any")
    exact = network.run_taps(torch.from_numpy(codes), CONTRACT)
    expected = fxsim.run(model, codes, "all", engine="reference")
    compiled = fxsim.run(model, codes, "all")
    for tap, values in expected.items():
        np.testing.assert_array_equal(exact[tap].numpy(), values, tap)
        np.testing.assert_array_equal(compiled[tap], values, tap)
    log2 = round(float(network.scales["mhsa_scores"].value().detach()))  # type: ignore[operator]
    assert -5 <= log2 <= -3
    scores = expected["mhsa.scores"].reshape(4, 4, 2, 4)
    weights = plain_softmax(scores, log2)
    np.testing.assert_array_equal(expected["mhsa.attention"].reshape(weights.shape), weights)
    real = np.exp(scores * 2.0**log2)
    assert np.abs(weights / 128 - real / real.sum(axis=-1, keepdims=True)).max() < 0.07
    assert weights.std() > 5
    tokens = torch.from_numpy(codes.reshape(4, 64, 1)).float() * network.step("input")
    found = network.run_taps(torch.from_numpy(codes), FLOAT, ("scores",))["scores"]
    assert torch.equal(network(tokens).double(), found * network.step("scores").double())


@pytest.mark.onnx
@pytest.mark.slow
@pytest.mark.parametrize("name", ["softmax-log", "softmax-reciprocal", "llt"])
def test_every_form_gives_the_same(name: str, tmp_path: Path) -> None:
    """Compiled code, loops, C and ONNX Runtime give every tap's values, of softmax and learnt thresholds."""
    onnxruntime = pytest.importorskip("onnxruntime")
    formats = FORMATS["llt 4"] if name == "llt" else OdeFormat()
    rule = AttentionRule.RELU if name == "llt" else AttentionRule(name)
    model = Model(quantised_network(formats, channels=(4, 4), steps=1, attention=rule).graph(), "any")
    codes = codes_of(6)
    expected = fxsim.run(model, codes, "all", engine="reference")
    compiled, in_c = fxsim.run(model, codes, "all", engine="compiled"), run_c(model, codes, model.graph.taps)
    looped = run_loops(model, codes, model.graph.taps)
    export_onnx(model, tmp_path / "m.onnx", taps="all")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    by_onnx = dict(zip(model.graph.taps, session.run(list(model.graph.taps), {"input": codes}), strict=True))
    for tap, values in expected.items():
        for found in (compiled, looped, in_c, by_onnx):
            np.testing.assert_array_equal(found[tap], values, tap)


@pytest.mark.parametrize("rule", SOFTMAX)
def test_softmax_folds_and_is_trained(rule: AttentionRule) -> None:
    """With nothing quantised it is the float network's softmax; fake-quant gives every parameter a gradient."""
    network = float_network(config_of(attention=rule))
    quantised = quantise_ode(network, OdeFormat())
    x = torch.rand(9, 64, 1) * 2 - 1
    with torch.no_grad():
        found = dict(quantised.float_taps(x))
        torch.testing.assert_close(found["scores"], network(x), rtol=1e-4, atol=1e-4)
        quantised.set_steps({tap: float(values.abs().max()) for tap, values in found.items()})
    quantised.train()(x).square().sum().backward()  # type: ignore[no-untyped-call]
    assert [name for name, parameter in quantised.named_parameters() if parameter.grad is None] == []
    assert all(bool(p.grad.isfinite().all()) for p in quantised.parameters() if p.grad is not None)
    weight = quantised.layers["mhsa.q"].weight.grad
    assert weight is not None
    assert bool((weight != 0).any())


@pytest.mark.parametrize("rule", SOFTMAX)
def test_softmax_is_bridged(rule: AttentionRule, tmp_path: Path) -> None:
    """Contract equal at every tap, nothing unexplained, on pictures; tables are those of the functions."""
    path = tmp_path / "n.safetensors"
    network = quantised_network(OdeFormat(), attention=rule)
    save_checkpoint(network, path, PIXELS, {"recipe": "any"})
    np.save(tmp_path / "x.npy", codes_of(12))
    record = bridge(path, codes_path=tmp_path / "x.npy")
    assert record.contract.equal
    assert record.passed
    assert record.float_mode is not None
    assert {variant.name for variant in record.float_mode.variants} >= {"integer, functions as such"}
    again = load_checkpoint(path).network
    assert isinstance(again, OdeNetwork)
    assert again.config.attention is rule
    assert again.graph() == network.graph()


# --- files and the bridge ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_bridge_accounts_for_everything(name: str, tmp_path: Path) -> None:
    """Contract equal at every tap, and no difference of fake-quant unexplained, on codes of any value."""
    path = tmp_path / "n.safetensors"
    save_checkpoint(quantised_network(FORMATS[name]), path, PIXELS, {"recipe": "any"})
    np.save(tmp_path / "x.npy", codes_of(5))
    record = bridge(path, codes_path=tmp_path / "x.npy")
    assert record.contract.equal
    assert record.passed
    assert record.float_mode is not None
    assert record.float_mode.unexplained == 0
    assert record.float_mode.causes["tie"] > 0
    assert {example.cause for example in record.float_mode.examples} >= set(record.float_mode.causes)
    model, network = export_model(path), load_checkpoint(path).network
    assert isinstance(network, OdeNetwork)
    assert model_sha256(model) == model_sha256(Model(network.graph(), "any"))
    with pytest.raises(FileError, match="holds a Neural ODE, expected a quantised ResMLP"):
        load_quantised_resmlp(path)
    with pytest.raises(FileError, match="holds a quantised network, expected a float one"):
        load_float(path)


def test_float_networks_have_files(tmp_path: Path) -> None:
    """A float network is read back as it was; preprocessing of other pictures is refused."""
    network, path = float_network(config_of()), tmp_path / "n.safetensors"
    save_checkpoint(network, path, PIXELS, {})
    again, _ = load_float(path)
    x = torch.rand(3, 64, 1)
    with torch.no_grad():
        assert torch.equal(again(x), network(x))
    with pytest.raises(FileError, match="gives 16 pixels in patches of 1, 1 colours; the network takes 8 in patches"):
        save_checkpoint(network, tmp_path / "a.safetensors", Preprocessing(16, 1, 1, (0.5,), (0.5,)), {})
    quantised = quantised_network(OdeFormat())
    with torch.no_grad():
        quantised.get_parameter("scales.x.log2").fill_(60.0)
    with pytest.raises(FileError, match=r"'scales\.x\.log2' leaves the range -48 to 48"):
        save_checkpoint(quantised, tmp_path / "a.safetensors", PIXELS, {})


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"steps": 3}, "3 steps of Euler's method, expected a power of two"),
        ({"heads": 3}, "4 channels cannot have 3 heads"),
        ({"size": 6}, "pictures of 6 pixels cannot be divided by a stem of stride 1 and halved 2 times"),
        ({"size": 12}, "attention has 3 x 3 places, expected a power of two"),
    ],
)
def test_dimensions_that_do_not_fit_are_refused(other: dict[str, Any], message: str) -> None:
    """What is no shift, or cannot be parted, is one message."""
    with pytest.raises(ModelError, match=message):
        config_of(**other)


def test_an_input_step_that_is_no_power_of_two_is_refused() -> None:
    """Every step is 2^k."""
    for step in (0.3, 0.0, -0.5, float("inf")):
        with pytest.raises(ModelError, match=r"input step is .*, expected a power of two"):
            OdeFormat(input_step=step)


# --- recipes ----------------------------------------------------------------------------------------------------------

RECIPE = """name = "tiny"
threads = 1
[data]
source = "digits"
size = 8
colours = 1
patch = 1
mean = [0.5]
std = [0.5]
[ode]
channels = [4, 8]
steps = 2
heads = 2
[train]
epochs = 2
batch = 64
learning_rate = 2e-2
[quantize]
percentiles = [90, 100]
quantiser = "QUANTISER"
weight_bits = 4
activation_bits = 4
epochs = 1
batch = 128
"""


def recipe_of(folder: Path, *changes: tuple[str, str], quantiser: str = "lsq") -> Path:
    """A recipe's file, with replacements."""
    text = RECIPE.replace("QUANTISER", quantiser)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "tiny.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("quantiser", Quantiser)
def test_a_recipe_gives_a_model_that_is_bridged(quantiser: Quantiser, tmp_path: Path) -> None:
    """The flow trains, quantises, exports and evaluates, and makes nothing again; LLT's layers are thresholds."""
    recipe = load_recipe(recipe_of(tmp_path, quantiser=quantiser))
    result = flow(recipe, tmp_path / "a")
    assert result.made == ("float.safetensors", "quantised.safetensors", "model.safetensors", "evaluation.json")
    assert result.quantised is not None
    assert result.model is not None
    assert flow(recipe, tmp_path / "a").made == ()
    model = fxsim.load(result.model)
    found = fxsim.run(model, codes_of(2), "all")
    kinds = [type(node.op) for node in model.graph.nodes]
    assert kinds.count(Matmul) == 2
    # d1, p1, d2, p2 of two steps, q, k, v, o.
    assert kinds.count(Threshold) == (12 if quantiser is Quantiser.LLT else 0)
    assert kinds.count(Conv) == 15
    for tap, low, high in (("ode.step1.p1", 0, 15), ("ode.step0.d1", -8, 7), ("ode.step1.x", -128, 127)):
        assert low <= found[tap].min() <= found[tap].max() <= high
    record = bridge(result.quantised, images=8)
    assert record.passed
    assert record.float_mode is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("patch = 1", "patch = 2"), r"\[data\] patch is 2, expected 1 for a Neural ODE"),
        (("steps = 2", "steps = 3"), "3 steps of Euler's method"),
        (('"lsq"', '"pact"'), "pact"),
        (("weight_bits = 4", "weight_bits = 1"), "weight_bits"),
        (("[quantize]\n", '[quantize]\nshift_rule = "floor"\n'), "has a shift_rule, but the shifts of a Neural ODE"),
        (("[train]", "[teacher]\nrecipe = 'a.toml'\n[train]"), r"has \[teacher\], which a Neural ODE has not"),
        (("[ode]\n", '[few_bits]\nkind = "binary"\nchannels = [2, 2]\n[ode]\n'), r"exactly one of \[network\]"),
        (("[ode]\nchannels = [4, 8]\nsteps = 2\nheads = 2\n",
          '[network]\nchannels = 4\nhidden = 4\nblocks = 1\nactivation = "relu"\n'),
         r"\[quantize\] has weight_bits, which is a Neural ODE's"),
    ],
)  # fmt: skip
def test_recipes_that_do_not_fit_are_refused(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    """Sections and data that a Neural ODE cannot have are one message with the file."""
    with pytest.raises(FileError, match=message) as caught:
        load_recipe(recipe_of(tmp_path, change))
    assert "tiny.toml" in str(caught.value)


def test_a_recipe_of_a_neural_ode_is_no_resmlps(tmp_path: Path) -> None:
    """What needs a ResMLP says so."""
    with pytest.raises(FxsimError, match=r"tiny\.toml: is of a Neural ODE, expected a \[network\]"):
        _ = load_recipe(recipe_of(tmp_path)).resmlp


# --- error over the steps ---------------------------------------------------------------------------------------------


def test_errors_of_the_steps_are_computed_plainly(tmp_path: Path) -> None:
    """Sizes, errors and codes of every step, and pictures right, from values image by image; the picture is drawn."""
    network, path = quantised_network(OdeFormat(), classes=10), tmp_path / "n.safetensors"
    save_checkpoint(network, path, PIXELS, {"data": "digits", "recipe": "tiny"})
    record = measure_steps(path, images=70)
    taps = ["ode.step0.x", "ode.step1.x", "ode1.step0.x", "ode1.step1.x"]
    assert [step.tap for step in record.steps] == taps
    assert (record.trained_steps, [count.steps for count in record.counts]) == (2, [1, 2, 4, 8, 16])
    pictures = load_data(DataSource.DIGITS).test
    # The codes of pixel / 255 from -1 to 1 in 1/128, ties to even.
    real = (pictures.images[:70].astype(np.float64) / 255 - 0.5) / 0.5
    codes = np.clip(np.rint(real.astype(np.float32) * 128), -128, 127).astype(np.int8).reshape(70, 8, 8, 1)
    integers = fxsim.run(Model(network.graph(), "n"), codes, "all", engine="reference")
    with torch.no_grad():
        floats = dict(network.float_taps(torch.from_numpy(codes).float() / 128))
        fakes = network.run_taps(torch.from_numpy(codes), FLOAT)
    for step in record.steps:
        # Float32's last bits depend on how many images are computed at once.
        scale = float(network.step(step.tap).detach())
        exact, fake, integer = floats[step.tap].double().numpy(), fakes[step.tap].numpy(), integers[step.tap]
        total = float((exact**2).sum())
        assert step.size == pytest.approx((total / exact.size) ** 0.5, rel=1e-5)
        assert step.fake_quant == pytest.approx((((fake * scale - exact) ** 2).sum() / total) ** 0.5, rel=1e-5)
        assert step.integer == pytest.approx((((integer * scale - exact) ** 2).sum() / total) ** 0.5, rel=1e-5)
        assert (step.differ, step.values) == (int((fake != integer).sum()), exact.size)
    (own,) = (count for count in record.counts if count.steps == 2)
    scores = {"float": floats["scores"].numpy(), "fake-quant": fakes["scores"].numpy(), "integer": integers["scores"]}
    labels = pictures.labels[:70]
    assert own.correct == {form: int((v.argmax(axis=1) == labels).sum()) for form, v in scores.items()}
    assert own.integer == record.steps[-1].integer
    done = CliRunner().invoke(command, [str(path), "--images", "70", "--json", "-o", str(tmp_path / "steps.svg")])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == json.loads(msgspec.json.encode(record))
    assert "after each step" in (tmp_path / "steps.svg").read_text()


def test_other_numbers_of_steps_are_computed_alike() -> None:
    """With one step of h = 1 the same parameters give x + f(x): the sum that two steps halve."""
    network = quantised_network(OdeFormat(), channels=(4, 4)).with_steps(1)
    codes = codes_of(2)
    found = network.run_taps(torch.from_numpy(codes), CONTRACT)
    model = fxsim.run(Model(network.graph(), "n"), codes, "all", engine="reference")
    assert [tap for tap in model if tap.endswith(".x")] == ["ode.step0.x", "mhsa.x"]
    for tap, values in model.items():
        np.testing.assert_array_equal(found[tap].numpy(), values, tap)
    with torch.no_grad():
        by_tap = dict(network.float_taps(torch.from_numpy(codes).float() / 128))
    expected = by_tap["stem"] + by_tap["ode.step0.p2"]
    assert torch.equal(by_tap["ode.step0.x"], expected)
    with pytest.raises(ModelError, match="3 steps of Euler's method, expected a power of two"):
        network.with_steps(3)


def test_networks_without_steps_are_refused() -> None:
    """A network of another kind is one message."""
    with pytest.raises(FileError, match="holds a network without steps, expected a quantised Neural ODE"):
        measure_steps(golden_dir() / "checkpoints" / "digits_binary.safetensors")


def test_the_recipe_for_stl10_says_what_it_needs(tmp_path: Path) -> None:
    """Without its folder, or with one that holds other files, one message says what is expected; it fits 96 pixels."""
    path = ROOT / "recipes" / "stl10_ode.toml"
    with pytest.raises(FxsimError, match=r"\[data\] has no path, expected the folder of stl10 there or by --data-path"):
        flow(load_recipe(path), tmp_path / "run")
    with pytest.raises(FileError, match=r"has no file train_X\.bin.*, expected"):
        flow(load_recipe(path, data_path=tmp_path), tmp_path / "run")
    config = load_recipe(path).ode_config(Preprocessing(96, 3, 1, (0.5,) * 3, (0.5,) * 3), 10)
    assert (config.side, config.places) == (8, 64)
    with torch.no_grad():
        small = OdeConfig(**(msgspec.structs.asdict(config) | {"channels": (4, 4, 8), "steps": 1}))
        network = NeuralOde(small).eval()
        quantised = quantise_ode(network, OdeFormat())
        x = torch.rand(2, 96 * 96, 3)
        found = dict(quantised.float_taps(x))
        assert found["stem"].shape == (2, 32, 32, 4)
        torch.testing.assert_close(found["scores"], network(x), rtol=1e-4, atol=1e-4)


def test_formats_of_activations() -> None:
    """What a ReLU leaves has no sign; the state has 8 bits whatever the others have."""
    network = quantised_network(FORMATS["llt 4"])
    assert isinstance(network.op("stem"), Finish)
    assert isinstance(network.op("ode.step1.d1"), Levels)
    outs = {tap: network.op(tap).out for tap in ("stem", "ode.step0.p1", "ode.step0.d1", "ode.step0.x", "mhsa.heads")}
    assert outs == {
        "stem": Number(7, Sign.UNSIGNED), "ode.step0.p1": Number(4, Sign.UNSIGNED), "ode.step0.d1": Number(4),
        "ode.step0.x": Number(8), "mhsa.heads": Number(4),
    }  # fmt: skip
