"""Networks of few bits: trained, folded, exported exactly, and bridged to their integers."""

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fxsim
from fxsim.bridge.run import bridge
from fxsim.contract import Number
from fxsim.data import Preprocessing
from fxsim.errors import FileError, FxsimError, ModelError
from fxsim.formats import model_sha256, save
from fxsim.graph import Graph, Model
from fxsim.networks.checkpoint import load_checkpoint, load_quantised, load_quantised_resmlp, save_checkpoint
from fxsim.networks.few_bits import (
    FewBitConfig,
    FewBitKind,
    FewBitNetwork,
    Folded,
    NormSign,
    _sign,
)
from fxsim.networks.ops import rounded, straight_through
from fxsim.networks.quantised import CONTRACT, FLOAT
from fxsim.operators import Conv, MultiplyAdd, Threshold
from fxsim.training.evaluate import evaluate
from fxsim.training.flow import flow
from fxsim.training.integer_model import export_model
from fxsim.training.recipe import load_recipe

pytestmark = pytest.mark.torch

Array = npt.NDArray[Any]
PIXELS = Preprocessing(8, 1, 1, (0.5,), (0.5,))
KINDS = {FewBitKind.BINARY: (3, 4, 5), FewBitKind.FRACTIONAL: (4, 4)}


def config_of(kind: FewBitKind, **other: Any) -> FewBitConfig:
    """A small network's."""
    stated = {"kind": kind, "size": 8, "colours": 1, "channels": KINDS[kind], "classes": 10} | other
    return FewBitConfig(**stated)


def random_network(kind: FewBitKind, seed: int = 3) -> FewBitNetwork:
    """A folded network whose parameters are drawn, statistics of a batch among them."""
    torch.manual_seed(seed)
    network = FewBitNetwork(config_of(kind))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        network.train()
        for _ in range(10):
            network(torch.rand(16, 64, 1) * 2 - 1)
    return network.fold()


def codes_of(images: int, seed: int = 5) -> Array:
    """Pictures as codes: any, then of nothing but the ends."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(-127, 128, (images, 8, 8, 1)).astype(np.int8)
    codes[-1] = rng.choice([-127, 127], (8, 8, 1))
    return codes


# --- exactness -------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    scale=st.floats(-4, 4, width=32) | st.sampled_from([0.0, 1.0, -0.5]),
    offset=st.floats(-600, 600, width=32) | st.integers(-40, 40).map(float),
    step=st.sampled_from([1.0, float(np.float32(1 / 127))]),
)
def test_thresholds_are_exact_for_every_sum(scale: float, offset: float, step: float) -> None:
    """A batch norm's sign of every sum, by fractions, ties and slopes of any sign among them."""
    sign = NormSign(1, step, folded=True)
    assert isinstance(sign.norm, Folded)
    with torch.no_grad():
        sign.norm.scale.fill_(scale)
        sign.norm.offset.fill_(offset)
    op = sign.operator()
    assert isinstance(op, Threshold)
    limit, rising = int(op.threshold[0, 0]), bool(op.rising[0])
    sums = list(range(-700, 701, 3)) + [s for s in (limit - 1, limit, limit + 1) if abs(s) < 30_000]
    found = sign.exact(torch.tensor(sums, dtype=torch.float64)[:, None])[:, 0].tolist()
    for total, by_network in zip(sums, found, strict=True):
        expected = 1 if Fraction(scale) * Fraction(step) * total + Fraction(offset) >= 0 else -1
        assert by_network == expected
        assert (1 if (total >= limit if rising else total <= limit) else -1) == expected


@pytest.mark.parametrize("kind", FewBitKind)
def test_network_model_and_forward_agree(kind: FewBitKind) -> None:
    """By the contract the network gives the model's every value; as fake-quant what `forward` gives."""
    network, codes = random_network(kind), codes_of(6)
    model = Model(network.graph(), "any")
    exact = network.run_taps(torch.from_numpy(codes), CONTRACT)
    expected = fxsim.run(model, codes, "all", engine="reference")
    assert list(exact) == list(expected)
    for tap, values in expected.items():
        np.testing.assert_array_equal(exact[tap].numpy(), values, tap)
        assert len(np.unique(values)) > 1, tap
    tokens = torch.from_numpy(codes.reshape(6, 64, 1)).float() * network.step("input")
    np.testing.assert_array_equal(network.input_codes(tokens).numpy(), codes)
    last = network.taps[-1]
    scores = network.run_taps(torch.from_numpy(codes), FLOAT, (last,))[last].flatten(1)
    assert torch.equal(network(tokens).double(), scores * network.step(last).double())


def plain_conv(x: Array, weight: Array, stride: int = 1) -> Array:
    """Sums of [row, column, channel] with [output, channel, 3, 3], nothing outside, every `stride`-th place."""
    size = x.shape[0]
    total = np.zeros((size, size, len(weight)), np.int64)
    for i in range(size):
        for j in range(size):
            for r in range(3):
                for s in range(3):
                    if 0 <= i + r - 1 < size and 0 <= j + s - 1 < size:
                        total[i, j] += weight[:, :, r, s] @ x[i + r - 1, j + s - 1]
    return total[::stride, ::stride]


def nearest(v: Any, divisor: int) -> Array:
    """Quotients to the nearest, ties up, in 16 bits."""
    return np.minimum(np.maximum(np.floor_divide(2 * v + divisor, 2 * divisor), -32768), 32767)


def test_a_fractional_network_is_computed_plainly() -> None:
    """Every layer from the float parameters, in whole numbers, as FracBNN's are stated."""
    network, codes = random_network(FewBitKind.FRACTIONAL), codes_of(1)
    p = {name.removeprefix("ops."): values.numpy() for name, values in network.state_dict().items()}

    def whole(name: str) -> Array:
        held: Array = np.minimum(np.maximum(np.rint(p[name].astype(np.float64) * 256), -2048), 2047)
        return held.astype(np.int64)

    def signs(name: str) -> Array:
        return np.where(p[name] >= 0, 1, -1)

    found = network.run_taps(torch.from_numpy(codes), CONTRACT)
    x = codes[0].astype(np.int64)
    # Sixteen equal parts of -127 to 127: a bit is 1 from the code nearest to a part's middle on.
    middles = [int(np.floor(-127 + 254 / 16 * (k + 0.5) + 0.5)) for k in range(16)]
    bits = np.concatenate([np.where(x >= middle, 1, -1) for middle in middles], axis=-1)
    np.testing.assert_array_equal(found["thermometer"][0], bits)
    res = nearest(plain_conv(bits, signs("conv.weight")) * whole("fm_0.norm.scale") + whole("fm_0.norm.offset"), 2)
    for i in range(4):
        stride = 2 if i == 2 else 1
        q = np.minimum(np.maximum((3 * res + 512) // 256, 0), 3)
        np.testing.assert_array_equal(found[f"quant.{i}"][0], q)
        weight = signs(f"msb_{i}.weight")
        high = plain_conv(np.where(q >= 2, 1, -1), weight, stride)
        low = plain_conv(np.where(q % 2 == 1, 1, -1), weight, stride)
        low = np.where(171 * high > 768, low, 0)
        np.testing.assert_array_equal(found[f"lsb.{i}"][0], low)
        f = nearest(171 * high + 85 * low, 2)
        f = nearest(f * whole(f"layer_{i}_bn_a.norm.scale") + 128 * whole(f"layer_{i}_bn_a.norm.offset"), 256)
        f = nearest(2 * f + whole(f"layer_{i}_x.offset"), 2)
        f = np.where(f < 0, nearest(f * whole(f"layer_{i}_slope.slope"), 256), f)
        f = nearest(2 * f + whole(f"layer_{i}_y.offset"), 2)
        if stride == 2:
            res = nearest(res[::2, ::2] + res[::2, 1::2] + res[1::2, ::2] + res[1::2, 1::2], 4)
        u = nearest(res + f, 1)
        res = nearest(u * whole(f"fm_{i + 1}.norm.scale") + 128 * whole(f"fm_{i + 1}.norm.offset"), 256)
        np.testing.assert_array_equal(found[f"fm.{i + 1}"][0], res)
    mean = nearest(res.sum(axis=(0, 1)), 16)
    weight = np.minimum(np.maximum(np.rint(p["dense.weight"][:, :, 0, 0].astype(np.float64) * 64), -128), 127)
    np.testing.assert_array_equal(found["dense"][0, 0, 0], weight.astype(np.int64) @ mean)


def test_folding_changes_no_value() -> None:
    """In eval mode a network with batch norms gives what it gives folded."""
    for kind in FewBitKind:
        torch.manual_seed(2)
        network = FewBitNetwork(config_of(kind))
        x = torch.rand(9, 64, 1) * 2 - 1
        before = network.train()(x)
        assert torch.equal(network.eval()(x), network.fold()(x))
        assert not torch.equal(before, network(x))


def test_gradients_pass_straight_through() -> None:
    """Signs pass them within -1 and 1, roundings inside the range, replaced values a multiple."""
    v = torch.tensor([-2.0, -0.5, 0.0, 0.5, 2.0], requires_grad=True)
    signs = _sign(v)
    assert signs.tolist() == [-1, -1, 1, 1, 1]
    (gradient,) = torch.autograd.grad(signs.sum(), v)
    assert gradient.tolist() == [0, 1, 1, 1, 0]
    codes = rounded(v, 0.25, Number(3))
    assert codes.tolist() == [-1, -0.5, 0, 0.5, 0.75]
    (gradient,) = torch.autograd.grad(codes.sum(), v)
    assert gradient.tolist() == [0, 1, 1, 1, 0]
    (gradient,) = torch.autograd.grad(straight_through(v, torch.zeros(5), 0.5).sum(), v)
    assert gradient.tolist() == [0.5] * 5


# --- files and the bridge --------------------------------------------------------------------------------------------


def written(network: FewBitNetwork, path: Path, **provenance: str) -> Path:
    """A network's file."""
    save_checkpoint(network, path, PIXELS, provenance)
    return path


@pytest.mark.parametrize("kind", FewBitKind)
def test_bridge_accounts_for_everything(kind: FewBitKind, tmp_path: Path) -> None:
    """Contract equal at every tap, and no difference of fake-quant unexplained, on codes of any value."""
    path = written(random_network(kind), tmp_path / "n.safetensors", recipe="any")
    np.save(tmp_path / "x.npy", codes_of(5))
    record = bridge(path, codes_path=tmp_path / "x.npy")
    assert record.contract.equal
    assert record.passed
    assert record.float_mode is not None
    causes = record.float_mode.causes
    assert record.float_mode.unexplained == 0
    if kind is FewBitKind.BINARY:
        assert causes == {}
    else:
        assert causes["tie"] > 0
        assert {example.cause for example in record.float_mode.examples} == set(causes)
        assert all({"row", "column", "channel"} >= set(example.index) for example in record.float_mode.examples)
    assert load_checkpoint(path).provenance == {"recipe": "any"}
    with pytest.raises(FileError, match="holds a network of few bits, expected a quantised ResMLP"):
        load_quantised_resmlp(path)


def test_a_float32_sum_beside_a_threshold_is_named(tmp_path: Path) -> None:
    """Where float32 gives 0 for what is less, the sign is another; the bridge finds it beside the threshold."""
    network = random_network(FewBitKind.BINARY)
    sign = network.op("threshold1")
    assert isinstance(sign, NormSign)
    assert isinstance(sign.norm, Folded)
    scale = np.float32(0.1)
    # Sums of 27 products are odd.
    total = next(t for t in range(1, 27, 2) if Fraction(float(np.float32(t) * scale)) > t * Fraction(float(scale)))
    with torch.no_grad():
        sign.norm.scale.fill_(float(scale))
        sign.norm.offset.fill_(-float(np.float32(total) * scale))
    path = written(network, tmp_path / "n.safetensors")
    np.save(tmp_path / "x.npy", codes_of(20))
    record = bridge(path, codes_path=tmp_path / "x.npy")
    assert record.contract.equal
    assert record.float_mode is not None
    values = fxsim.run(export_model(path), codes_of(20), "all", engine="reference")
    expected = int((values["conv1"] == total).sum())
    assert expected > 0
    (tap,) = (tap for tap in record.float_mode.taps if tap.tap == "threshold1")
    assert tap.causes == {"float32 sum": expected}
    assert record.passed


def test_another_model_is_no_equal(tmp_path: Path) -> None:
    """A threshold one higher is a parameter that differs, and a value that does is named with its row and column."""
    path = written(random_network(FewBitKind.BINARY), tmp_path / "n.safetensors")
    model = export_model(path, "n")
    nodes = list(model.graph.nodes)
    place = [node.name for node in nodes].index("threshold1")
    op = nodes[place].op
    assert isinstance(op, Threshold)
    limits = np.where(op.rising[:, None] == 1, 100_000, -100_000).astype(np.int32)
    nodes[place] = dataclasses.replace(nodes[place], op=dataclasses.replace(op, threshold=limits))
    save(dataclasses.replace(model, graph=Graph(model.graph.input, nodes)), tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", codes_of(2))
    record = bridge(path, codes_path=tmp_path / "x.npy", model_path=tmp_path / "m.safetensors")
    assert not record.passed
    assert record.contract.parameters_differ == len(limits)
    assert record.contract.first is not None
    assert record.contract.first.sentence.startswith("image 0, threshold1, row ") or (
        ", row 0, column " in record.contract.first.sentence
    )


def test_files_that_are_not_such_networks_are_refused(tmp_path: Path) -> None:
    """Networks that are not folded, other preprocessing, and values that are not finite."""
    network = random_network(FewBitKind.BINARY)
    with pytest.raises(FileError, match=r"expected|missing|belongs to nothing"):
        save_checkpoint(FewBitNetwork(network.config), tmp_path / "a.safetensors", PIXELS, {})
    with pytest.raises(FileError, match="gives 8 pixels in patches of 2, 1 colours; the network takes 8 in patches of"):
        save_checkpoint(network, tmp_path / "a.safetensors", Preprocessing(8, 1, 2, (0.5,), (0.5,)), {})
    broken = random_network(FewBitKind.BINARY)
    with torch.no_grad():
        broken.op("conv0").get_parameter("weight")[0, 0, 0, 0] = torch.nan
    with pytest.raises(FileError, match=r"'ops\.conv0\.weight' has values that are not finite"):
        save_checkpoint(broken, tmp_path / "a.safetensors", PIXELS, {})
    with pytest.raises(ModelError, match=r"parameter 'ops\.conv0\.weight' has values that are not finite"):
        broken.graph()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"size": 6}, "pictures of 6 pixels cannot be halved 2 times"),
        ({"kind": FewBitKind.FRACTIONAL, "channels": (3, 4)}, "has channels .3, 4., expected all the same"),
        ({"kind": FewBitKind.FRACTIONAL, "channels": (4, 4), "size": 6}, "ends with 3 rows, expected a power of two"),
    ],
)
def test_dimensions_that_do_not_fit_are_refused(other: dict[str, Any], message: str) -> None:
    """What cannot be halved, joined or averaged is one message."""
    with pytest.raises(ModelError, match=message):
        config_of(**({"kind": FewBitKind.BINARY} | other))


# --- recipes ---------------------------------------------------------------------------------------------------------

RECIPE = """name = "tiny"
threads = 1
[data]
source = "digits"
size = 8
colours = 1
patch = 1
mean = [0.5]
std = [0.5]
[few_bits]
kind = "KIND"
channels = CHANNELS
[train]
epochs = 1
batch = 128
learning_rate = 1e-2
"""


def recipe_of(folder: Path, kind: FewBitKind, *changes: tuple[str, str]) -> Path:
    """A recipe's file, with replacements."""
    text = RECIPE.replace("KIND", kind).replace("CHANNELS", str(list(KINDS[kind])))
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "tiny.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("kind", FewBitKind)
def test_a_recipe_gives_a_model_that_is_bridged(kind: FewBitKind, tmp_path: Path) -> None:
    """The flow trains, exports and evaluates; again it makes nothing; elsewhere it makes the same bytes."""
    recipe = load_recipe(recipe_of(tmp_path, kind))
    result = flow(recipe, tmp_path / "a")
    assert result.quantised is not None
    assert result.model is not None
    assert result.made == ("quantised.safetensors", "model.safetensors", "evaluation.json")
    assert flow(recipe, tmp_path / "a").made == ()
    again = flow(recipe, tmp_path / "b")
    assert again.quantised is not None
    assert again.quantised.read_bytes() == result.quantised.read_bytes()
    model = fxsim.load(result.model)
    assert model.graph.input_shape == (8, 8, 1)
    assert model_sha256(model) == model_sha256(export_model(result.quantised))
    found = evaluate(result.model, recipe.data.source, quantised_checkpoint=result.quantised)
    assert found.exports_to_model
    assert set(found.networks) == {"integer", "fake-quant"}
    assert found.networks["integer"].correct > 45  # better than chance after one epoch
    by_tap = {tap.tap: tap for tap in found.saturation}
    assert by_tap["quant.0" if kind is FewBitKind.FRACTIONAL else "threshold0"].share == 0
    record = bridge(result.quantised, images=8)
    assert record.passed
    weights = [node.op.weight for node in model.graph.nodes if isinstance(node.op, Conv)]
    assert {int(w) for w in np.unique(weights[0])} == {-1, 1}
    if kind is FewBitKind.FRACTIONAL:
        assert any(isinstance(node.op, MultiplyAdd) for node in model.graph.nodes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("patch = 1", "patch = 2"), "expected for a network of few bits: patch 1, and mean and std that give"),
        (("mean = [0.5]\nstd = [0.5]\n", ""), "expected for a network of few bits: patch 1, and mean and std that"),
        (("std = [0.5]", "std = [0.4]"), "expected for a network of few bits: patch 1, and mean and std that give"),
        (("[train]", "[quantize]\nepochs = 1\n[train]"), r"has \[quantize\], which a network of few bits has not"),
        (("[few_bits]\n", '[network]\nchannels = 4\nhidden = 4\nblocks = 1\nactivation = "relu"\n[few_bits]\n'),
         r"expected exactly one of \[network\] \(a ResMLP\), \[few_bits\] and \[ode\]"),
        (("size = 8", "size = 6"), "cannot be halved 2 times"),
        (('kind = "binary"', 'kind = "ternary"'), "ternary"),
    ],
)  # fmt: skip
def test_recipes_that_do_not_fit_are_refused(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    """Sections and data that a network of few bits cannot have are one message with the file."""
    with pytest.raises(FileError, match=message) as caught:
        load_recipe(recipe_of(tmp_path, FewBitKind.BINARY, change))
    assert "tiny.toml" in str(caught.value)


def test_a_recipe_of_few_bits_is_no_resmlps(tmp_path: Path) -> None:
    """What needs a ResMLP says so; a format of tables is refused."""
    recipe = load_recipe(recipe_of(tmp_path, FewBitKind.BINARY))
    with pytest.raises(FxsimError, match=r"tiny\.toml: is of a network of few bits, expected a \[network\]"):
        _ = recipe.resmlp
    network, _ = load_quantised(written(random_network(FewBitKind.BINARY), tmp_path / "n.safetensors"))
    assert isinstance(network, FewBitNetwork)
    assert msgspec.to_builtins(network.config)["channels"] == (3, 4, 5)
