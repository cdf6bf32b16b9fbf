"""The float ResMLP against plain numpy, and the network that folding makes of it against the float one."""

import math
import re
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fxsim.errors import ModelError
from fxsim.families import resmlp_slots
from fxsim.networks.fold import fold
from fxsim.networks.resmlp import Activation, Affine, ChannelNorm, NetworkConfig, ResMLP
from fxsim.operators import Affine as AffineOperator
from fxsim.operators import Linear as LinearOperator
from fxsim.operators import Lut
from tests.conftest import SEED

Float64 = npt.NDArray[np.float64]
Parameters = dict[str, Float64]

SMALL = {"tokens": 4, "values": 3, "channels": 5, "hidden": 7, "blocks": 2, "classes": 6}
FLOAT32_TOLERANCE = 2e-5
"""Tolerance of float32 sums of some hundred terms of magnitude 1, relative to the largest result."""

PAPER = {"tokens": 64, "values": 48, "channels": 96, "blocks": 4, "classes": 10}
"""CIFAR-10."""


def make(activation: Activation, seed: int = SEED, **dimensions: int) -> ResMLP:
    """A network in eval mode whose batch norms, affines and activations are not the identities they start as."""
    torch.manual_seed(seed)
    network = ResMLP(NetworkConfig(**{**SMALL, **dimensions}, activation=activation, points=16, centres=3))
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, ChannelNorm):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.2, 3, generator=generator)
        if isinstance(module, ChannelNorm | Affine):
            torch.nn.init.uniform_(module.weight, -1.5, 1.5, generator=generator)
            torch.nn.init.normal_(module.bias, generator=generator)
        for name in ("widths", "output_weight", "output_bias", "coefficients"):
            if isinstance(parameter := getattr(module, name, None), torch.nn.Parameter):
                parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return network.eval()


def tokens(config: NetworkConfig, count: int = 3) -> torch.Tensor:
    """Images for a network, float32."""
    return torch.randn(count, config.tokens, config.values, generator=torch.Generator().manual_seed(SEED + 1))


# --- a ResMLP of its own ---


def norm(x: Float64, p: Parameters, at: str) -> Float64:
    """Batch norm over channels with fixed statistics."""
    scaled = (x - p[f"{at}.running_mean"]) / np.sqrt(p[f"{at}.running_var"] + 1e-5)
    return scaled * p[f"{at}.weight"] + p[f"{at}.bias"]


def psa_of(x: float, centres: Float64, widths: Float64, values: Float64, weight: float, bias: float) -> float:
    """Residual PSA of one number, term by term."""
    scores = [-((x - c) ** 2) / (q**2 + 1.0) for c, q in zip(centres, widths, strict=True)]
    powers = [math.exp(score - max(scores)) for score in scores]
    attended = sum(power * value for power, value in zip(powers, values, strict=True)) / sum(powers)
    return float(weight * attended * x + bias + x)


def lerp_of(x: float, grid: list[float], limit: float) -> float:
    """Linear interpolation of the values at even places, straight on beyond both ends."""
    spacing = 2 * limit / (len(grid) - 1)
    segment = min(max(math.floor((x + limit) / spacing), 0), len(grid) - 2)
    return grid[segment] + (grid[segment + 1] - grid[segment]) * ((x + limit) / spacing - segment)


def activation_of(x: Float64, config: NetworkConfig, p: Parameters, at: str) -> Float64:
    """The activation of every value of x [..., C], one after another."""
    out = np.empty_like(x)
    limit = config.limit
    for place in np.ndindex(x.shape):
        c, value = place[-1], float(x[place])
        if config.activation is Activation.RELU:
            out[place] = max(value, 0.0)
        elif config.activation is Activation.B_SPLINE:
            out[place] = lerp_of(value, p[f"{at}.coefficients"][c].tolist(), limit)
        else:
            arguments: tuple[Any, ...] = tuple(
                p[f"{at}.{name}"][c] for name in ("centres", "widths", "values", "output_weight", "output_bias")
            )
            if config.activation is Activation.PSA:
                out[place] = psa_of(value, *arguments)
            else:
                places = np.linspace(-limit, limit, config.points)
                out[place] = lerp_of(value, [psa_of(float(g), *arguments) for g in places], limit)
    return out


def expected_stages(network: ResMLP, x: torch.Tensor) -> list[Float64]:
    """After the embedding, after each block, and the logits, in float64 numpy."""
    p = {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}
    y = np.einsum("ntv,cv->ntc", x.double().numpy(), p["embed.weight"]) + p["embed.bias"]
    stages = [y]
    for i in range(network.config.blocks):
        mix, mlp = f"blocks.{i}.token_mixer", f"blocks.{i}.mlp"
        mixed = np.einsum("nsc,ts->ntc", norm(y, p, f"{mix}.norm"), p[f"{mix}.linear.weight"])
        mixed += p[f"{mix}.linear.bias"][:, None]
        y = y + mixed * p[f"{mix}.affine.weight"] + p[f"{mix}.affine.bias"]
        z = norm(y, p, f"{mlp}.norm")
        if network.config.activation is not Activation.RELU:
            z = activation_of(z, network.config, p, f"{mlp}.act_1")
        z = np.einsum("ntc,hc->nth", z, p[f"{mlp}.linear_1.weight"]) + p[f"{mlp}.linear_1.bias"]
        z = activation_of(z, network.config, p, f"{mlp}.act_2")
        z = np.einsum("nth,ch->ntc", z, p[f"{mlp}.linear_2.weight"]) + p[f"{mlp}.linear_2.bias"]
        y = y + z * p[f"{mlp}.affine.weight"] + p[f"{mlp}.affine.bias"]
        stages.append(y)
    stages.append(norm(y, p, "norm").mean(axis=1) @ p["classifier.weight"].T + p["classifier.bias"])
    return stages


def assert_close(found: torch.Tensor, expected: Float64, tolerance: float) -> None:
    """Equal but for rounding, relative to the largest value."""
    assert tuple(found.shape) == expected.shape
    error = np.abs(found.detach().double().numpy() - expected).max()
    assert error <= tolerance * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("activation", Activation)
def test_network_computes_its_formulas(activation: Activation) -> None:
    """Every stage and the logits are those of plain numpy: in float32 within its rounding, in float64 within its."""
    network = make(activation)
    x = tokens(network.config)
    *stages, logits = expected_stages(network, x)
    found = list(network.stages(x))
    assert len(found) == 1 + SMALL["blocks"]
    for got, expected in zip(found, stages, strict=True):
        assert_close(got, expected, FLOAT32_TOLERANCE)
    assert_close(network(x), logits, FLOAT32_TOLERANCE)
    assert torch.equal(network.head(found[-1]), network(x))
    assert_close(network.double()(x.double()), logits, 1e-12)


@pytest.mark.parametrize("activation", Activation)
def test_shapes(activation: Activation) -> None:
    """Stages are [n, tokens, channels], logits [n, classes], for no two dimensions alike and for one image."""
    network = make(activation, tokens=8, values=2, channels=3, hidden=11, blocks=3, classes=9)
    for count in (1, 5):
        x = tokens(network.config, count)
        assert [tuple(y.shape) for y in network.stages(x)] == [(count, 8, 3)] * 4
        assert tuple(network(x).shape) == (count, 9)


def test_statistics_are_over_images_and_tokens() -> None:
    """In training a batch norm subtracts the mean over all images and tokens of a channel."""
    layer = ChannelNorm(5)
    x = tokens(NetworkConfig(**{**SMALL, "values": 5}, activation=Activation.RELU), 4) * 3 + 1
    found = layer.train()(x)
    values = x.double().numpy()
    expected = (values - values.mean(axis=(0, 1))) / np.sqrt(values.var(axis=(0, 1)) + 1e-5)
    assert_close(found, expected, FLOAT32_TOLERANCE)


@pytest.mark.parametrize("activation", Activation)
def test_residual_branches_start_small(activation: Activation) -> None:
    """The affines that end residual branches start at weight 0.1 and bias 0."""
    torch.manual_seed(SEED)
    network = ResMLP(NetworkConfig(**SMALL, activation=activation))
    affines = [module for module in network.modules() if isinstance(module, Affine)]
    assert len(affines) == 2 * SMALL["blocks"]
    for affine in affines:
        assert affine.weight.tolist() == [float(np.float32(0.1))] * SMALL["channels"]
        assert affine.bias.tolist() == [0.0] * SMALL["channels"]


# Of every block: two batch norms and two affines of 96 channels; 64 x 64 weights and 64 biases over tokens; the two
# linears. Embedding 48 x 96 + 96, last batch norm 2 x 96, classifier 96 x 10 + 10.
@pytest.mark.parametrize(
    ("activation", "hidden", "count"),
    [
        (Activation.RELU, 384, 4704 + 4 * (768 + 4160 + 37248 + 36960) + 192 + 970),
        (Activation.RELU, 96, 4704 + 4 * (768 + 4160 + 9312 + 9312) + 192 + 970),
        # A PSA of 8 centres has 26 numbers a channel, a B-spline 65.
        (Activation.PSA, 96, 4704 + 4 * (768 + 4160 + 9312 + 9312 + 26 * 192) + 192 + 970),
        (Activation.LERP_PSA, 96, 4704 + 4 * (768 + 4160 + 9312 + 9312 + 26 * 192) + 192 + 970),
        (Activation.B_SPLINE, 24, 4704 + 4 * (768 + 4160 + 2328 + 2400 + 65 * 120) + 192 + 970),
    ],
)
def test_parameter_counts_of_the_papers_sizes(activation: Activation, hidden: int, count: int) -> None:
    """Networks of the paper's dimensions have as many parameters as counted by hand."""
    torch.manual_seed(SEED)
    network = ResMLP(NetworkConfig(**PAPER, hidden=hidden, activation=activation))
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize("activation", Activation)
def test_the_seed_decides_the_network(activation: Activation) -> None:
    """One seed gives one network, to the bit; another seed another."""
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(ResMLP(NetworkConfig(**SMALL, activation=activation)).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_total_variation_is_of_all_splines() -> None:
    """TV2 of a network is the sum over its B-splines, and 0 without any."""
    network = make(Activation.B_SPLINE)
    expected = 0.0
    for name, c in network.state_dict().items():
        if name.endswith("coefficients"):
            values = c.double().numpy()
            expected += float(np.abs(values[:, 2:] - 2 * values[:, 1:-1] + values[:, :-2]).sum() / (8 / 16))
    assert network.tv2().item() == pytest.approx(expected, rel=1e-5)
    assert make(Activation.PSA).tv2().item() == 0


STANDS_FOR = {
    "embed": "embed",
    "token_mixer.norm": "token_mixer.affine_1",
    "token_mixer.linear": "token_mixer.linear",
    "token_mixer.affine": "token_mixer.affine_2",
    "token_mixer": "token_mixer.add",
    "mlp.norm": None,  # folded into the next operator
    "mlp.act_1": "mlp.psa_1",
    "mlp.linear_1": "mlp.linear_1",
    "mlp.act_2": "mlp.psa_2",
    "mlp.linear_2": "mlp.linear_2",
    "mlp.affine": None,  # folded into the linear before it
    "mlp": "mlp.add",
    "": None,  # a block
    "norm": None,  # folded into the classifier
    "classifier": "classifier",
}
"""The integer operator whose result each module's result is, both named from their block on."""


@pytest.mark.parametrize("activation", Activation)
def test_network_has_the_topology_that_the_family_states(activation: Activation) -> None:
    """A float network computes what the family states, in that order, of that width, by weights of that shape.

    The family alone has residual affines, which folding makes identities, and the pool, which is no module.
    """
    network, relu = make(activation), activation is Activation.RELU
    stands_for = STANDS_FOR | ({"mlp.act_1": None, "mlp.act_2": "mlp.relu"} if relu else {})
    computed: list[tuple[str, torch.nn.Module, int]] = []
    for name, module in network.named_modules():
        block, place = re.fullmatch(r"(blocks\.\d+(?:\.|$))?(.*)", name).groups(default="")  # type: ignore[union-attr]
        if name in ("", "blocks") or place.startswith(("mlp.act_1.", "mlp.act_2.")):
            continue
        if (operator := stands_for[place]) is not None:
            module.register_forward_hook(
                lambda module, _, y, tap=block + operator: computed.append((tap, module, y.shape[-1]))
            )
    network(tokens(network.config))

    # 3 values, 5 channels, 7 hidden, 6 classes.
    widths = {"linear": 4, "psa_1": 5, "linear_1": 7, "psa_2": 7, "relu": 7, "classifier": 6}
    slots = [s for s in resmlp_slots(network.config, psa=not relu) if s.role not in ("res_affine", "pool")]
    assert [tap for tap, _, _ in computed] == [slot.name for slot in slots]
    for slot, (tap, module, width) in zip(slots, computed, strict=True):
        assert width == widths.get(slot.role, 5), tap
        if slot.op in (LinearOperator, AffineOperator):
            assert isinstance(module, torch.nn.Linear if slot.op is LinearOperator else Affine | ChannelNorm), tap
            assert slot.shape == tuple(module.weight.shape), tap
        else:
            assert slot.shape == ((width,) if slot.op is Lut else ()), tap


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"tokens": 3}, "power of two"),
        ({"tokens": 0}, "tokens"),
        ({"channels": 0}, "channels"),
        ({"hidden": 4097}, "hidden"),
        ({"blocks": 0}, "blocks"),
        ({"limit": 1e-300}, "limit"),
        ({"limit": "wide"}, "limit"),
        ({"points": 1}, "points"),
        ({"centres": 0}, "centres"),
        ({"activation": "tanh"}, "tanh"),
        ({"depth": 3}, "depth"),
    ],
)
def test_impossible_dimensions_are_refused(change: dict[str, object], word: str) -> None:
    """A configuration that is read and may not exist is refused, by name."""
    text = msgspec.json.encode({**SMALL, "activation": "psa", **change})
    with pytest.raises((msgspec.ValidationError, ModelError), match=word):
        msgspec.json.decode(text, type=NetworkConfig)
    with pytest.raises(ModelError, match="0 tokens, expected a power of two"):
        NetworkConfig(**{**SMALL, "tokens": 0}, activation=Activation.RELU)


# --- folding ---


@pytest.mark.parametrize("activation", Activation)
def test_folding_keeps_the_function(activation: Activation) -> None:
    """A folded network gives the float one's stages and logits, within float64's rounding, whatever the statistics."""
    network = make(activation).double()
    x = tokens(network.config).double()
    taps = dict(fold(network).float_taps(x))
    *stages, logits = expected_stages(network, x)
    names = ["embed", *(f"blocks.{i}.mlp.add" for i in range(SMALL["blocks"]))]
    assert torch.equal(taps["input"], x)
    for name, expected in zip(names, stages, strict=True):
        assert_close(taps[name], expected, 1e-12)
    assert_close(taps["classifier"], logits, 1e-12)


@settings(max_examples=20)
@given(
    activation=st.sampled_from(Activation),
    dimensions=st.fixed_dictionaries(
        {"tokens": st.sampled_from([1, 2, 8]), "blocks": st.integers(1, 2)}
        | {name: st.integers(1, 6) for name in ("values", "channels", "hidden", "classes")}
    ),
    seed=st.integers(0, 2**31),
)
def test_folding_in_float32(activation: Activation, dimensions: dict[str, int], seed: int) -> None:
    """In float32 a folded network of any dimensions gives the float one's logits, within float32's rounding."""
    network = make(activation, seed, **dimensions)
    x = tokens(network.config)
    logits = expected_stages(network, x)[-1]
    # Sums cancel: tenfold.
    assert_close(dict(fold(network).float_taps(x))["classifier"], logits, 10 * FLOAT32_TOLERANCE)


@pytest.mark.parametrize("activation", Activation)
def test_residual_paths_get_identities(activation: Activation) -> None:
    """Every residual affine is weight 1 and bias 0, and real values pass it unchanged."""
    network = make(activation)
    quantised = fold(network)
    taps = dict(quantised.float_taps(tokens(network.config)))
    for tap in [name for name in quantised.taps if name.endswith("res_affine")]:
        layer = quantised.weighted(tap)
        assert layer.weight.tolist() == [1.0] * SMALL["channels"]
        assert layer.bias.tolist() == [0.0] * SMALL["channels"]
        assert torch.equal(taps[tap], taps[quantised.slot(tap).inputs[0]])


@pytest.mark.parametrize("activation", Activation)
def test_folding_leaves_the_network_and_the_generator_alone(activation: Activation) -> None:
    """Folding changes neither the network nor torch's generator; what it makes can be trained and shares nothing."""
    network = make(activation).train()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.get_rng_state()
    quantised = fold(network)
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module.training for module in quantised.modules())
    assert all(parameter.requires_grad for parameter in quantised.parameters())
    with torch.no_grad():
        for parameter in quantised.parameters():
            parameter.fill_(7)
    after = network.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
