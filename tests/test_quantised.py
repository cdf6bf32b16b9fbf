"""The quantised network: float fake-quant, its gradients, each rule of arithmetic, and the integer model it becomes."""

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own convention
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fxsim.contract import TABLE_POINTS, TableRule
from fxsim.engines import run
from fxsim.errors import ModelError, StimulusError
from fxsim.networks.export import Clipping, export, find_clipping
from fxsim.networks.fold import fold
from fxsim.networks.quantised import (
    CONTRACT,
    FLOAT,
    Arithmetic,
    Kind,
    QuantisedResMLP,
    ShiftRule,
    TableFormat,
    Weighted,
    _fake_quantise,
)
from fxsim.networks.resmlp import Activation, NetworkConfig, ResMLP
from fxsim.operators import Affine, Linear, Lut
from fxsim.tables.points import PointMethod
from tests import oracle
from tests.conftest import SEED
from tests.strategies import SEEDS, int8_from, table_formats

Float32 = npt.NDArray[np.float32]
EVERY_CODE = torch.arange(-128, 128, dtype=torch.float64)
LEARNT = [activation for activation in Activation if activation is not Activation.RELU]
SMALL = {"tokens": 4, "values": 3, "channels": 5, "hidden": 7, "blocks": 1, "classes": 6}


def config_of(activation: Activation, **dimensions: int) -> NetworkConfig:
    """Small dimensions, any of them replaced."""
    return NetworkConfig(**{**SMALL, **dimensions}, activation=activation, points=16, centres=3)


def calibrated(activation: Activation, shrink: float = 1.0, **dimensions: int) -> QuantisedResMLP:
    """A folded network of random weights whose steps fit its values, or are too small for them by a factor."""
    torch.manual_seed(SEED)
    network = ResMLP(config_of(activation, **dimensions)).eval()
    quantised = fold(network)
    largest: dict[str, float] = {}
    with torch.no_grad():
        for tap, v in quantised.float_taps(tokens(quantised, 8)):
            name = tap if tap == "input" else quantised.slot(tap).step
            largest[name] = max(largest.get(name, 0.0), float(v.abs().max()))
    quantised.set_steps({name: v / 128 / shrink for name, v in largest.items()})
    quantised.choose_shifts(ShiftRule.LEAST_SQUARES)
    return quantised


def tokens(network: QuantisedResMLP, count: int = 3) -> Tensor:
    """Images for a network, float32."""
    shape = (count, network.config.tokens, network.config.values)
    return torch.randn(shape, generator=torch.Generator().manual_seed(SEED + 1))


def unit(activation: Activation = Activation.RELU, **dimensions: int) -> QuantisedResMLP:
    """A network whose steps are all 1 and shifts all 0: codes are values."""
    torch.manual_seed(SEED)
    return QuantisedResMLP(config_of(activation, **dimensions))


def image_codes(network: QuantisedResMLP, rng: np.random.Generator, count: int, style: str = "full") -> Tensor:
    """Random images as codes, int8."""
    return torch.from_numpy(int8_from(rng, (count, network.config.tokens, network.config.values), style))


# --- what it is made of ---


def block_steps(i: int, relu: bool) -> dict[str, str]:
    """Which step the contract gives each tap of a block: who meets at an add shares, relu passes on."""
    mix, mlp = f"blocks.{i}.token_mixer", f"blocks.{i}.mlp"
    own = [f"{mix}.affine_1", f"{mix}.linear", f"{mlp}.linear_1", *([] if relu else [f"{mlp}.psa_1", f"{mlp}.psa_2"])]
    return (
        {f"{mix}.{name}": f"{mix}.add" for name in ("res_affine", "affine_2", "add")}
        | {f"{mlp}.{name}": f"{mlp}.add" for name in ("res_affine", "linear_2", "add")}
        | {name: name for name in own}
        | ({f"{mlp}.relu": f"{mlp}.linear_1"} if relu else {})
    )


@pytest.mark.parametrize("activation", Activation)
def test_which_tensors_share_a_step(activation: Activation) -> None:
    """Taps that meet at an add have one step, relu and pool have their input's, all others their own."""
    network = unit(activation, blocks=2)
    expected = {"embed": "embed", "pool": "blocks.1.mlp.add", "classifier": "classifier"}
    for i in range(2):
        expected |= block_steps(i, activation is Activation.RELU)
    assert {tap: network.slot(tap).step for tap in network.taps} == expected
    assert sorted(network.step_names) == sorted({"input", *expected.values()})
    steps = {name: 2.0**-i for i, name in enumerate(network.step_names)}
    network.set_steps(steps)
    assert {tap: network.step(tap).item() for tap in network.taps} == {t: steps[s] for t, s in expected.items()}
    assert network.step("input").item() == 1.0


@pytest.mark.parametrize("activation", Activation)
def test_taps_are_the_integer_models(activation: Activation) -> None:
    """Taps, their order and their inputs are those of the exported graph."""
    network = unit(activation, blocks=2)
    network.store_tables(TableFormat(8, TableRule.HOLD, PointMethod.DECIMATE))
    model = export(network, "named", {"from": "a test"})
    assert [(node.name, node.inputs) for node in model.graph.nodes] == [
        (tap, network.slot(tap).inputs) for tap in network.taps
    ]
    assert (model.name, dict(model.provenance)) == ("named", {"from": "a test"})


def test_clipped_weights_and_biases_are_named() -> None:
    """Values that round beyond int8 are counted in each tensor, with the furthest; what just rounds into it is not."""
    network = unit(Activation.RELU)
    network.set_steps(dict.fromkeys(network.step_names, 1.0))
    with torch.no_grad():
        for tap in network.weighted_taps():
            network.weighted(tap).weight.fill_(127.4)
            network.weighted(tap).bias.fill_(-128.4)
            network.weighted(tap).shift.zero_()
        assert find_clipping(network) == ()
        weight, bias = network.weighted("embed").weight, network.weighted("classifier").bias
        weight[0, 0], weight[1, 1], weight[1, 0] = 127.75, -131.25, 130.0
        bias[1] = 200.0
        # A shift halves the step, which doubles the codes.
        network.weighted("blocks.0.mlp.linear_1").weight[1].fill_(60.0)
        network.weighted("blocks.0.mlp.linear_1").weight[1, 1] = -70.0
        network.weighted("blocks.0.mlp.linear_1").shift[1] = 1
    sizes = {tap: network.weighted(tap).weight.numel() for tap in ("embed", "blocks.0.mlp.linear_1")}
    assert find_clipping(network) == (
        Clipping("embed.weight", 3, sizes["embed"], (1, 1), -131.25, -128),
        Clipping("blocks.0.mlp.linear_1.weight", 1, sizes["blocks.0.mlp.linear_1"], (1, 1), -140.0, -128),
        Clipping("classifier.bias", 1, len(bias), (1,), 200.0, 127),
    )
    ops = {node.name: node.op for node in export(network, "clipped", {}).graph.nodes}
    assert ops["embed"].weight[1, 1] == ops["blocks.0.mlp.linear_1"].weight[1, 1] == -128  # type: ignore[union-attr]


@pytest.mark.parametrize("step", [0.0, -1.0, math.nan, math.inf, 2.0**-49, 2.0**49])
def test_impossible_steps_are_refused(step: float) -> None:
    """A step that is no positive number, or so large or small that float32 might not do, is named."""
    network = unit()
    with pytest.raises(ModelError, match="step of 'embed'"):
        network.set_steps(dict.fromkeys(network.step_names, 1.0) | {"embed": step})
    assert network.log_steps.tolist() == [0.0] * len(network.step_names)


def test_missing_and_unknown_steps_are_refused() -> None:
    """Exactly the steps that there are must be given."""
    network = unit()
    steps = dict.fromkeys(network.step_names, 1.0)
    with pytest.raises(ModelError, match=r"missing or unknown: blocks\.0\.mlp\.relu"):
        network.set_steps(steps | {"blocks.0.mlp.relu": 1.0})
    del steps["classifier"]
    with pytest.raises(ModelError, match="missing or unknown: classifier"):
        network.set_steps(steps)


def test_input_codes() -> None:
    """Tokens become codes by their step: ties to even, clamped to int8."""
    network = unit(values=4)
    network.set_steps(dict.fromkeys(network.step_names, 1.0) | {"input": 0.25})
    x = torch.tensor([0.0, 0.125, 0.375, -0.125, -0.375, 31.75, 31.9, 99.0, -32.0, -32.2, -99.0, math.inf, -math.inf])
    x = torch.cat([x, torch.zeros(3)]).view(1, 4, 4)
    codes = network.input_codes(x)
    assert codes.dtype == torch.int8
    expected = [0, 0, 2, 0, -2, 127, 127, 127, -128, -128, -128, 127, -128, 0, 0, 0]
    assert codes.flatten().tolist() == expected


def test_unknown_taps_are_refused() -> None:
    """A tap that does not exist is named; named taps alone are returned, in the order asked for."""
    network = unit()
    codes = image_codes(network, np.random.default_rng(SEED), 1)
    with pytest.raises(StimulusError, match=r"no tap 'blocks\.0\.mlp\.psa_1'"):
        network.run_taps(codes, FLOAT, ["embed", "blocks.0.mlp.psa_1"])
    every = network.run_taps(codes, FLOAT)
    assert tuple(every) == network.taps
    two = network.run_taps(codes, FLOAT, ("pool", "embed"))
    assert list(two) == ["pool", "embed"]
    assert all(torch.equal(two[tap], every[tap]) for tap in two)


# --- fake-quant in float32 ---


@pytest.mark.parametrize("shrink", [1.0, 3.0])
@pytest.mark.parametrize("activation", Activation)
def test_forward_is_the_float_arithmetic(activation: Activation, shrink: float) -> None:
    """What training computes at every tap is, bit for bit, the codes of the FLOAT arithmetic times the tap's step."""
    network = calibrated(activation, shrink, tokens=16, values=12, channels=33, hidden=19, blocks=2)
    x = tokens(network, 17)
    seen: dict[str, Tensor] = {}
    compute = network._real

    def record(slot: Any, inputs: tuple[Tensor, ...], quantised: bool) -> Tensor:
        seen.update(zip(slot.inputs, inputs, strict=True))
        return compute(slot, inputs, quantised)

    network._real = record  # type: ignore[method-assign]
    logits = network(x)
    network._real = compute  # type: ignore[method-assign]
    seen["classifier"] = logits
    codes = network.input_codes(x)
    assert torch.equal(seen.pop("input"), codes.float() * network.step("input"))
    taps = network.run_taps(codes, FLOAT)
    assert set(seen) == set(taps)
    for tap, values in seen.items():
        assert torch.equal(values, taps[tap].float() * network.step(tap)), tap
        assert torch.equal(taps[tap], taps[tap].round())
    adds = torch.cat([taps[tap].flatten() for tap in taps if tap.endswith("add")])
    if shrink > 1:
        assert bool((adds.abs() > 128).any())


def test_an_empty_batch() -> None:
    """No images give no logits."""
    network = unit()
    assert tuple(network(tokens(network, 0)).shape) == (0, 6)
    assert tuple(network.run_taps(torch.zeros(0, 4, 3, dtype=torch.int8), FLOAT)["pool"].shape) == (0, 5)


@pytest.mark.parametrize("saturate", [True, False])
def test_gradient_of_a_step(saturate: bool) -> None:
    """Values and gradients of one quantisation are those published for learnt step sizes (Esser et al., ICLR 2020).

    dq/ds = round(v/s) - v/s inside int8, -128 or 127 outside; dq/dv = 1 inside, 0 outside; the step's gradient times
    1 / sqrt(N 127).
    """
    rng = np.random.default_rng(SEED)
    s = np.float32(0.37)
    v = (rng.normal(0, 60, 4000) * s).astype(np.float32)
    g = rng.normal(0, 1, 4000).astype(np.float32)
    values, step = torch.from_numpy(v).requires_grad_(), torch.tensor(s, requires_grad=True)
    quantised = _fake_quantise(values, step, 500, saturate)
    quantised.backward(torch.from_numpy(g))

    code = (v / s).astype(np.float64)
    below, above = (code < -128) & saturate, (code > 127) & saturate
    assert not saturate or (below.sum() > 20 and above.sum() > 20)
    to_step = np.where(below, -128, np.where(above, 127, np.rint(code) - code))
    held = np.clip(np.rint(code), -128, 127) if saturate else np.rint(code)
    assert np.array_equal(quantised.detach().numpy(), held.astype(np.float32) * s)
    assert step.grad is not None
    assert values.grad is not None
    assert float(step.grad) == pytest.approx(float((g * to_step).sum() / math.sqrt(500 * 127)), rel=1e-4)
    # v / s is differentiated, and its result multiplied by s: up to rounding, nothing happens to the gradient.
    np.testing.assert_allclose(values.grad.numpy(), np.where(below | above, 0, g), rtol=1e-6)


def learnt(v: Tensor, step: Tensor, shared: int, saturate: bool = True) -> Tensor:
    """A quantisation with learnt step, as commonly written: what autograd must not see is detached."""
    factor = 1 / math.sqrt(shared * 127)
    s = step * factor + (step - step * factor).detach()
    code = (v / s).clamp(-128, 127) if saturate else v / s
    return (code + (code.round() - code).detach()) * s


def trained_logits(n: QuantisedResMLP, x: Tensor) -> Tensor:
    """The fake-quantised network written out, for gradients."""
    log_steps = dict(zip(n.step_names, n.log_steps, strict=True))
    # The input's step belongs to the data.
    steps = {name: 2 ** (log.detach() if name == "input" else log) for name, log in log_steps.items()}

    def weighted(tap: str, x_step: Tensor, y_step: Tensor) -> tuple[Tensor, Tensor]:
        layer = n.get_submodule(tap)
        assert isinstance(layer, Weighted)
        row_step = y_step / 2 ** layer.shift.float() / x_step
        shape = layer.weight.shape
        row = 1 if len(shape) == 1 else shape[1]
        weight = learnt(layer.weight, row_step if len(shape) == 1 else row_step[:, None], row)
        return weight, learnt(layer.bias, y_step, shape[0])

    def linear(tap: str, x: Tensor, x_step: Tensor, y: str) -> Tensor:
        result = F.linear(x, *weighted(tap, x_step, steps[y]))
        return learnt(result, steps[y], math.prod(result.shape[1:]))

    def affine(tap: str, x: Tensor, x_step: Tensor, y: str) -> Tensor:
        weight, bias = weighted(tap, x_step, steps[y])
        return learnt(x * weight + bias, steps[y], math.prod(x.shape[1:]))

    count = n.config.tokens * n.config.channels
    x_step = steps["embed"]
    y = linear("embed", learnt(x, steps["input"], math.prod(x.shape[1:])), steps["input"], "embed")
    for i in range(n.config.blocks):
        at, join = f"blocks.{i}.token_mixer", f"blocks.{i}.token_mixer.add"
        z = affine(f"{at}.affine_1", y, x_step, f"{at}.affine_1")
        z = linear(f"{at}.linear", z.transpose(1, 2), steps[f"{at}.affine_1"], f"{at}.linear").transpose(1, 2)
        z = affine(f"{at}.affine_2", z, steps[f"{at}.linear"], join)
        y = learnt(z + affine(f"{at}.res_affine", y, x_step, join), steps[join], count, saturate=False)
        x_step, at, join = steps[join], f"blocks.{i}.mlp", f"blocks.{i}.mlp.add"
        if n.config.activation is Activation.RELU:
            z, z_step = F.relu(linear(f"{at}.linear_1", y, x_step, f"{at}.linear_1")), steps[f"{at}.linear_1"]
        else:
            z, z_step = learnt(n.get_submodule(f"{at}.psa_1")(y), steps[f"{at}.psa_1"], count), steps[f"{at}.psa_1"]
            z, z_step = linear(f"{at}.linear_1", z, z_step, f"{at}.linear_1"), steps[f"{at}.psa_2"]
            z = learnt(n.get_submodule(f"{at}.psa_2")(z), z_step, math.prod(z.shape[1:]))
        z = linear(f"{at}.linear_2", z, z_step, join)
        y = learnt(z + affine(f"{at}.res_affine", y, x_step, join), steps[join], count, saturate=False)
        x_step = steps[join]
    pooled = learnt(y.mean(dim=1), x_step, n.config.channels)
    return linear("classifier", pooled, x_step, "classifier")


@pytest.mark.parametrize("shrink", [1.0, 3.0])
@pytest.mark.parametrize("activation", Activation)
def test_gradients_of_the_network(activation: Activation, shrink: float) -> None:
    """Gradients of all parameters and steps are those of the same network written with detached rounding."""
    network = calibrated(activation, shrink, blocks=2)
    x = tokens(network, 5)
    target = torch.randn(5, 6, generator=torch.Generator().manual_seed(SEED + 2))
    gradients = []
    for compute in (network, lambda x: trained_logits(network, x)):
        network.zero_grad()
        logits = compute(x)
        ((logits - target) ** 2).sum().backward()
        gradients.append({name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None})
    found, expected = gradients
    assert set(found) == set(expected) == {name for name, _ in network.named_parameters()}
    assert found["log_steps"][0] == 0
    assert bool((found["log_steps"][1:] != 0).all())
    for name, gradient in expected.items():
        scale = float(gradient.abs().max())
        assert scale > 0 or not name.endswith("weight"), name
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-4 * scale + 1e-12, msg=name)


def test_relu_passes_gradients_up_to_the_last_code() -> None:
    """A value that rounds to code 127 gets its gradient, though 127 steps divided by the step may exceed 127."""
    candidates = np.random.default_rng(SEED).uniform(0.5, 1, 1000).astype(np.float32)
    step = next(float(s) for s in candidates if np.float32(127) * s / s > 127)
    network = unit(tokens=1, values=1, channels=1, hidden=1, classes=1)
    network.set_steps(dict.fromkeys(network.step_names, 1.0) | {"blocks.0.mlp.linear_1": step})
    with torch.no_grad():
        # The embedding gives 39, the token mixer passes it on; 39 times 13 / 4 is 126.75 steps.
        network.weighted("embed").bias.fill_(39)
        network.weighted("blocks.0.token_mixer.affine_2").weight.fill_(0)
        network.weighted("blocks.0.mlp.linear_1").weight.fill_(step * 13 / 4)
        network.weighted("blocks.0.mlp.linear_1").shift.fill_(2)
        network.weighted("blocks.0.mlp.linear_2").weight.fill_(0.5)
        network.weighted("blocks.0.mlp.linear_2").shift.fill_(2)
        network.weighted("blocks.0.mlp.res_affine").weight.fill_(0)
    x = torch.zeros(1, 1, 1)
    assert network.run_taps(network.input_codes(x), FLOAT)["blocks.0.mlp.relu"].item() == 127
    network(x).sum().backward()
    gradient = network.weighted("blocks.0.mlp.linear_1").bias.grad
    assert gradient is not None
    assert gradient.item() != 0


# --- shifts ---


def rounded(weight: Float32, x_step: np.float32, y_step: np.float32, shift: int) -> Float32:
    """Codes of weights before they are clamped."""
    step = np.float32(y_step * np.float32(2.0**-shift)) / x_step
    return np.rint(weight / step)


def fits(weight: Float32, x_step: np.float32, y_step: np.float32, shift: int) -> bool:
    """Whether no code would be clamped."""
    codes = rounded(weight, x_step, y_step, shift)
    return bool(((codes >= -128) & (codes <= 127)).all())


def squared_error(weight: Float32, x_step: np.float32, y_step: np.float32, shift: int) -> float:
    """Sum of the squared errors of the weights that the codes stand for."""
    step = np.float32(y_step * np.float32(2.0**-shift)) / x_step
    codes = np.clip(rounded(weight, x_step, y_step, shift), -128, 127).astype(np.float64)
    return float(((codes * float(step) - weight.astype(np.float64)) ** 2).sum())


def best_shift(weight: Float32, x_step: np.float32, y_step: np.float32, rule: ShiftRule) -> int:
    """The shift of a row by trying all there are."""
    if not weight.any():
        return 0
    if rule is ShiftRule.ROUND:
        exact = math.log2(128 * float(y_step) / (float(np.abs(weight).max()) * float(x_step)))
        return min(max(round(exact), 0), 24)
    floor = max((s for s in range(25) if fits(weight, x_step, y_step, s)), default=0)
    if rule is ShiftRule.FLOOR or floor == 24:
        return floor
    low, high = (squared_error(weight, x_step, y_step, s) for s in (floor, floor + 1))
    return floor + (high < low)


@given(
    rule=st.sampled_from(ShiftRule),
    shape=st.one_of(st.tuples(st.integers(1, 6)), st.tuples(st.integers(1, 6), st.integers(1, 6))),
    seed=SEEDS,
    exponents=st.tuples(st.integers(-12, 12), st.integers(-12, 12)),
    exact=st.booleans(),
)
def test_shifts_are_the_best_there_are(
    rule: ShiftRule, shape: tuple[int, ...], seed: int, exponents: tuple[int, int], exact: bool
) -> None:
    """Each rule's shift is the one that trying all of 0 to 24 gives: random rows, whole octaves and corners of int8."""
    rng = np.random.default_rng(seed)
    steps = [np.float32(2.0**e * (1.0 if exact else rng.uniform(1, 2))) for e in exponents]
    x_step, y_step = steps
    # Rows whose largest code is, at some shift, near an end of int8 or a power of two.
    ends = rng.choice([-128.5, -128, -127.5, 127, 127.49, 127.5, 128, 64, 63.5, 90.5, 200, 0], (shape[0], 1))
    rows = rng.uniform(-1, 1, (shape[0], shape[1] if len(shape) == 2 else 1))
    rows[:, :1] = np.sign(ends)
    rows *= np.abs(ends) * 2.0 ** rng.integers(-30, 5, (shape[0], 1)) * float(y_step) / float(x_step)
    rows[rng.random(shape[0]) < 0.1] = 0
    layer = Weighted(*shape)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(rows.astype(np.float32).reshape(shape)))
    layer.choose_shift(torch.tensor(x_step), torch.tensor(y_step), rule)
    assert layer.shift.dtype == torch.uint8
    expected = [best_shift(row, x_step, y_step, rule) for row in rows.astype(np.float32)]
    assert layer.shift.tolist() == expected
    if rule is ShiftRule.FLOOR:
        clamped = [s > 0 and not fits(r, x_step, y_step, s) for s, r in zip(expected, rows.astype(np.float32))]  # noqa: B905
        assert not any(clamped)


@pytest.mark.parametrize(("rule", "shift", "code"), [("floor", 6, 64), ("round", 7, 127), ("least-squares", 6, 64)])
def test_an_identity_between_equal_steps(rule: str, shift: int, code: int) -> None:
    """A residual identity is exact where no weight may be clipped: 128 is no int8."""
    layer = Weighted(3)
    step = torch.tensor(0.1)
    layer.choose_shift(step, step, ShiftRule(rule))
    assert layer.shift.tolist() == [shift] * 3
    assert layer.codes(step, step)[0].tolist() == [code] * 3


# --- the rules of arithmetic, one at a time ---


def switched(base: Arithmetic, name: str) -> Arithmetic:
    """`base` with one rule as the other arithmetic has it."""
    other = CONTRACT if base == FLOAT else FLOAT
    return replace(base, **{name: getattr(other, name)})


@pytest.mark.parametrize("sums", ["float32", "exact"])
@pytest.mark.parametrize("shift", [0, 1, 2, 7])
def test_ties(sums: Any, shift: int) -> None:
    """Of 256 codes times a weight over 2^shift, only exact halves depend on the rule: to the even code, or up."""
    network = unit(channels=3)
    tap = "blocks.0.token_mixer.affine_1"
    layer = network.weighted(tap)
    weights, biases = (1, 3, -5), (0, 1, -7)
    layer.shift.fill_(shift)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights) / 2**shift)
        layer.bias.copy_(torch.tensor(biases))
    x = EVERY_CODE[:, None, None].expand(-1, 1, 3)
    even, up = (network.operator(tap, (x,), Arithmetic(t, sums, "every", "stored")) for t in ("even", "up"))
    halves = 0
    for i, code in enumerate(range(-128, 128)):
        for c, (w, b) in enumerate(zip(weights, biases, strict=True)):
            v = Fraction(code * w, 2**shift) + b
            # Python's round goes to even.
            assert int(even[i, 0, c]) == oracle.saturate(round(v))
            assert int(up[i, 0, c]) == oracle.saturate(math.floor(v + Fraction(1, 2)))
            halves += v.denominator == 2 and int(even[i, 0, c]) != int(up[i, 0, c])
    assert (halves > 0) == (shift > 0)


def test_sums() -> None:
    """Sums are float32 of real values, operation by operation, or exact: here 1/2 is once exact and once not."""
    network = unit(channels=200)
    steps = dict.fromkeys(network.step_names, 1.0) | {"embed": 0.1, "blocks.0.token_mixer.affine_1": 0.3}
    network.set_steps(steps)
    tap = "blocks.0.token_mixer.affine_1"
    layer = network.weighted(tap)
    layer.shift.fill_(3)
    x_step, y_step = (np.float32(network.step(name).item()) for name in ("embed", tap))
    w_step = y_step * np.float32(0.125) / x_step
    codes = np.arange(-100, 100)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(codes.astype(np.float32) * w_step))
    x = EVERY_CODE[:, None, None].expand(-1, 1, 200)
    single, exact = (
        network.operator(tap, (x,), Arithmetic("up", sums, "every", "stored")) for sums in ("float32", "exact")
    )
    real = (EVERY_CODE.numpy().astype(np.float32) * x_step)[:, None] * (codes.astype(np.float32) * w_step)
    expected = np.clip(np.floor((real + np.float32(0)) / y_step + 0.5), -128, 127)
    assert np.array_equal(single[:, 0].numpy(), expected)
    products = np.arange(-128, 128)[:, None] * codes
    assert np.array_equal(exact[:, 0].numpy(), np.clip((products + 4) // 8, -128, 127))
    differ = (single != exact)[:, 0].numpy()
    assert differ.any()
    assert set((products % 8)[differ]) == {4}


@pytest.mark.parametrize("sums", ["float32", "exact"])
def test_saturation(sums: Any) -> None:
    """An add leaves int8 under late saturation and only there; every other operator saturates under both rules."""
    network = unit(channels=2)
    add, affine, linear = "blocks.0.token_mixer.add", "blocks.0.token_mixer.affine_1", "embed"
    late, every = (Arithmetic("up", sums, saturation, "stored") for saturation in ("late", "every"))
    x = torch.tensor([[[100.0, -128.0]]], dtype=torch.float64)
    r = torch.tensor([[[100.0, -3.0]]], dtype=torch.float64)
    assert network.operator(add, (x, r), late).tolist() == [[[200.0, -131.0]]]
    assert network.operator(add, (x, r), every).tolist() == [[[127.0, -128.0]]]
    for arithmetic in (late, every):
        assert network.operator(affine, (x + r,), arithmetic).tolist() == [[[127.0, -128.0]]]
        assert network.operator("pool", (x + r,), arithmetic).tolist() == [[127.0, -128.0]]
        many = torch.full((1, 1, 3), 100.0, dtype=torch.float64)
        assert network.operator(linear, (many,), arithmetic).tolist() == [[[127.0, 127.0]]]
    for tap in network.taps:
        if network.slot(tap).kind is not Kind.ADD:
            width = {"embed": 3, "classifier": 2, "blocks.0.mlp.relu": 7, "blocks.0.mlp.linear_2": 7}.get(tap, 2)
            inputs = (torch.full((1, 4, width), 300.0, dtype=torch.float64),)
            out = network.operator(tap, inputs, late)
            assert bool(((out >= -128) & (out <= 127)).all()), tap


@pytest.mark.parametrize("sums", ["float32", "exact"])
def test_tables_or_functions(sums: Any) -> None:
    """An activation evaluates its function, whatever is stored, or reads what is stored, whatever its function."""
    network = unit(Activation.B_SPLINE, channels=1, hidden=1)
    network.store_tables(TableFormat(256, TableRule.FULL, PointMethod.DECIMATE))
    tap = "blocks.0.mlp.psa_2"
    stored = int8_from(np.random.default_rng(SEED), (1, 256), "full")
    network.table_function(tap).table = torch.from_numpy(stored)
    x = EVERY_CODE.view(-1, 1, 1)
    function, table = (network.operator(tap, (x,), Arithmetic("even", sums, "late", t)) for t in ("function", "stored"))
    # Leaky ReLU of slope 0.01 at first, linear beyond its knots.
    assert function.flatten().tolist() == [round(v if v > 0 else v * 0.01) for v in range(-128, 128)]
    assert table.flatten().tolist() == stored[0].tolist()
    # What a late add left outside int8: the function has a value there, a table its last one.
    wide = torch.tensor([[[-200.0]], [[130.0]]], dtype=torch.float64)
    assert network.operator(tap, (wide,), Arithmetic("even", sums, "late", "function")).flatten().tolist() == [-2, 127]
    ends = [float(stored[0, 0]), float(stored[0, -1])]
    assert network.operator(tap, (wide,), Arithmetic("even", sums, "late", "stored")).flatten().tolist() == ends


@pytest.mark.parametrize("rule", [TableRule.CLAMP, TableRule.HOLD, TableRule.ENDPOINT])
@pytest.mark.parametrize("points", TABLE_POINTS)
def test_interpolation(points: int, rule: TableRule) -> None:
    """Stored points are read as the contract's text says; under ties to even only exact halves differ from that."""
    network = unit(Activation.B_SPLINE, channels=2)
    network.store_tables(TableFormat(points, rule, PointMethod.DECIMATE))
    tap = "blocks.0.mlp.psa_1"
    stored = int8_from(np.random.default_rng([SEED, points]), (2, points + (rule is TableRule.ENDPOINT)), "full")
    network.table_function(tap).table = torch.from_numpy(stored)
    x = EVERY_CODE[:, None, None].expand(-1, 1, 2)
    up = network.operator(tap, (x,), CONTRACT)
    for c in range(2):
        assert up[:, 0, c].tolist() == [oracle.interpolate(stored[c].tolist(), rule, x) for x in range(-128, 128)]
    even = network.operator(tap, (x,), replace(CONTRACT, ties="even"))
    assert set((up - even).flatten().tolist()) <= {0.0, 1.0}
    assert bool((up != even).any()) == (points < 256)


@pytest.mark.parametrize("name", ["ties", "sums", "saturation", "tables"])
def test_each_switch_does_something_in_a_network(name: str) -> None:
    """On a network with ties, saturation and coarse tables, each rule alone changes some tap, from either side."""
    network = calibrated(Activation.PSA, 3.0, tokens=8, values=12, channels=16, hidden=16, blocks=2)
    network.store_tables(TableFormat(16, TableRule.CLAMP, PointMethod.DECIMATE))
    codes = network.input_codes(tokens(network, 40))
    for base in (FLOAT, CONTRACT):
        one, other = network.run_taps(codes, base), network.run_taps(codes, switched(base, name))
        assert any(not torch.equal(one[tap], other[tap]) for tap in network.taps)


# --- the integer model ---


@st.composite
def networks(draw: st.DrawFn) -> QuantisedResMLP:
    """Quantised networks of any dimensions, steps, shifts and tables, far beyond what training would give."""
    dimension = st.integers(1, 6)
    config = NetworkConfig(
        tokens=draw(st.sampled_from([1, 2, 4, 8])), values=draw(dimension), channels=draw(dimension),
        hidden=draw(dimension), blocks=draw(st.integers(1, 2)), classes=draw(dimension),
        activation=draw(st.sampled_from(Activation)), points=16, centres=2,
    )  # fmt: skip
    seed = draw(SEEDS)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = QuantisedResMLP(config)
    powers = draw(st.booleans())
    network.set_steps({n: float(2.0 ** (e if powers else rng.uniform(-6, 2))) for n, e in
                       zip(network.step_names, rng.integers(-6, 2, len(network.step_names)), strict=True)})  # fmt: skip
    rule = draw(st.sampled_from([*ShiftRule, None]))
    spread = draw(st.sampled_from([0.5, 2.0, 100.0, 1e6]))
    with torch.no_grad():
        for tap in network.weighted_taps():
            layer = network.weighted(tap)
            layer.weight.copy_(torch.from_numpy(rng.normal(0, spread, tuple(layer.weight.shape))))
            layer.bias.copy_(torch.from_numpy(rng.normal(0, 300, len(layer.bias)) * float(network.step(tap))))
            layer.weight[torch.from_numpy(rng.random(len(layer.weight)) < 0.15)] = 0
            if rule is None:
                layer.shift.copy_(torch.from_numpy(rng.choice([0, 1, 7, 8, 23, 24], len(layer.shift))))
    if rule is not None:
        network.choose_shifts(rule)
    points, edge = draw(table_formats())
    network.store_tables(TableFormat(points, edge, PointMethod.DECIMATE))
    if draw(st.booleans()):
        for tap in network.table_taps():
            table = network.table_function(tap).table
            assert table is not None
            network.table_function(tap).table = torch.from_numpy(int8_from(rng, tuple(table.shape), "corners"))
    return network


@pytest.mark.slow
@settings(max_examples=80)
@given(network=networks(), seed=SEEDS, style=st.sampled_from(["full", "corners", "small"]))
def test_contract_is_the_integer_model(network: QuantisedResMLP, seed: int, style: str) -> None:
    """Under CONTRACT every tap equals the exported model's: in scalar integers and in both engines."""
    codes = image_codes(network, np.random.default_rng(seed), 2, style)
    found = network.run_taps(codes, CONTRACT)
    model = export(network, "drawn", {})
    engines = [run(model, codes.numpy(), "all", engine) for engine in ("reference", "numba")]
    for i, image in enumerate(codes.numpy()):
        expected = oracle.compute(model.graph, image)
        assert set(expected) == set(found)
        for tap, values in expected.items():
            assert np.array_equal(found[tap][i].numpy(), values), tap
            assert all(np.array_equal(engine[tap][i], values) for engine in engines), tap


@pytest.mark.slow
@settings(max_examples=50)
@given(network=networks())
def test_exported_parameters(network: QuantisedResMLP) -> None:
    """Exported parameters and tables are the network's, rounded in float32; sums fit the contract's widths."""
    graph = export(network, "drawn", {}).graph
    for node in graph.nodes:
        if isinstance(node.op, Lut):
            table = network.table_function(node.name).table
            assert table is not None
            assert network.tables is not None
            assert np.array_equal(node.op.table, table.numpy())
            assert (node.op.points, node.op.rule) == (network.tables.points, network.tables.rule)
        if not isinstance(node.op, Linear | Affine):
            continue
        layer = network.weighted(node.name)
        x_step, y_step = (np.float32(network.step(name).item()) for name in (node.inputs[0], node.name))
        weight = layer.weight.detach().numpy()
        for n, s in enumerate(layer.shift.tolist()):
            expected = np.clip(rounded(weight[n], x_step, y_step, s), -128, 127)
            assert np.array_equal(node.op.weight[n], expected)
        bias = layer.bias.detach().numpy() / y_step
        assert np.array_equal(node.op.bias, np.clip(np.rint(bias), -128, 127))
        assert node.op.shift.tolist() == layer.shift.tolist()
        rows = node.op.weight.astype(int).reshape(len(weight), -1)
        assert node.op.acc_bits == (16 + math.ceil(math.log2(rows.shape[1])) if isinstance(node.op, Linear) else 16)
        # 128 x 128, all inputs and weights at -128, is the one sum that takes every bit.
        reach = [
            (sum(max(-128 * w, 127 * w) for w in row), sum(min(-128 * w, 127 * w) for w in row))
            for row in rows.tolist()
        ]
        assert all(-(2 ** (node.op.acc_bits - 1)) <= low and high < 2 ** (node.op.acc_bits - 1) for high, low in reach)


@pytest.mark.parametrize("activation", LEARNT)
def test_tables_as_stored_are_exported(activation: Activation) -> None:
    """One changed entry of a stored table is changed in the model, and nothing else; functions no longer matter."""
    network = calibrated(activation)
    network.store_tables(TableFormat(16, TableRule.ENDPOINT, PointMethod.DECIMATE))
    before = export(network, "before", {}).graph
    table = network.table_function("blocks.0.mlp.psa_2").table
    assert table is not None
    table[3, 16] = ~table[3, 16]
    with torch.no_grad():
        for parameter in network.table_function("blocks.0.mlp.psa_1").parameters():
            parameter.mul_(2)
    after = export(network, "after", {}).graph
    for one, other in zip(before.nodes, after.nodes, strict=True):
        if isinstance(one.op, Lut):
            assert isinstance(other.op, Lut)
            differ = [(3, 16)] if one.name == "blocks.0.mlp.psa_2" else []
            assert [tuple(at) for at in np.argwhere(one.op.table != other.op.table)] == differ
    # The model has its own copy.
    table[0, 0] = ~table[0, 0]
    lut = next(node.op for node in after.nodes if node.name == "blocks.0.mlp.psa_2")
    assert isinstance(lut, Lut)
    assert lut.table[0, 0] != int(table[0, 0])


@pytest.mark.parametrize("activation", LEARNT)
def test_nothing_is_exported_without_tables(activation: Activation) -> None:
    """Without stored tables neither the model nor the contract's arithmetic exists; the float arithmetic does."""
    network = unit(activation)
    with pytest.raises(ModelError, match="no stored tables"):
        export(network, "without", {})
    codes = image_codes(network, np.random.default_rng(SEED), 1)
    with pytest.raises(ModelError, match="no stored tables"):
        network.run_taps(codes, CONTRACT)
    network.run_taps(codes, FLOAT)


def test_a_relu_network_has_no_tables() -> None:
    """A ReLU network stores none, exports without, and cannot be made with a format for them."""
    network = unit(Activation.RELU)
    tables = TableFormat(16, TableRule.CLAMP, PointMethod.DECIMATE)
    network.store_tables(tables)
    assert network.tables is None
    assert network.full_tables() == {}
    assert not any(isinstance(node.op, Lut) for node in export(network, "relu", {}).graph.nodes)
    with pytest.raises(ModelError, match="no tables"):
        QuantisedResMLP(network.config, tables)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_broken_training_is_not_exported(value: float) -> None:
    """A parameter that is not finite, or a step out of range, is named rather than rounded to something."""
    network = calibrated(Activation.PSA)
    network.store_tables(TableFormat(16, TableRule.CLAMP, PointMethod.DECIMATE))
    with torch.no_grad():
        network.weighted("classifier").weight[2, 1] = value
    with pytest.raises(ModelError, match=r"'classifier\.weight' has values that are not finite"):
        export(network, "broken", {})
    with torch.no_grad():
        network.weighted("classifier").weight[2, 1] = 0
        network.log_steps[3] = 49
    with pytest.raises(ModelError, match="steps leave the range"):
        export(network, "broken", {})


# --- tables ---


def full_table(network: QuantisedResMLP, tap: str) -> npt.NDArray[np.float64]:
    """Values in steps of a table's function at all codes, [C, 256], in float64 from the definitions."""
    function = network.table_function(tap)
    p = {name: tensor.detach().double().numpy() for name, tensor in function.named_parameters()}
    x_step, y_step = (network.step(name).item() for name in (network.slot(tap).inputs[0], tap))
    channels = len(next(iter(p.values())))
    x = np.arange(-128, 128) * x_step
    out = np.empty((channels, 256))
    for c in range(channels):
        z = x * p["affine.weight"][c] + p["affine.bias"][c] if "affine.weight" in p else x

        def psa(v: npt.NDArray[np.float64], c: int = c) -> npt.NDArray[np.float64]:
            q = {name: p[f"activation.{name}"][c] for name in ("centres", "widths", "values")}
            powers = np.exp(-((v[:, None] - q["centres"]) ** 2) / (q["widths"] ** 2 + 1))
            attended = (powers * q["values"]).sum(1) / powers.sum(1)
            return p["activation.output_weight"][c] * attended * v + p["activation.output_bias"][c] + v

        if network.config.activation is Activation.PSA:
            out[c] = psa(z) / y_step
            continue
        spline = network.config.activation is Activation.B_SPLINE
        places = np.linspace(-4, 4, 17 if spline else 16)
        grid = p["activation.coefficients"][c] if spline else psa(places)
        left, right = ((grid[j + 1] - grid[j]) / (places[1] - places[0]) for j in (0, -2))
        inside = np.interp(z, places, grid)
        beyond = np.where(z < -4, (z + 4) * left, np.where(z > 4, (z - 4) * right, 0))
        out[c] = (inside + beyond) / y_step
    return out


@pytest.mark.parametrize("activation", LEARNT)
def test_full_tables_are_the_functions(activation: Activation) -> None:
    """A full table has the function's value at each code, batch norm included, rounded and clamped to int8."""
    network = calibrated(activation, 2.0)
    with torch.no_grad():
        for tap in network.table_taps():
            for parameter in network.table_function(tap).parameters():
                parameter += 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(SEED))
    full = network.full_tables()
    assert list(full) == ["blocks.0.mlp.psa_1", "blocks.0.mlp.psa_2"]
    for tap, table in full.items():
        expected = np.clip(full_table(network, tap), -128, 127)
        assert (table.dtype, table.shape) == (np.int8, expected.shape)
        # Half a step, and float32 in the function.
        assert np.abs(table - expected).max() <= 0.5 + 1e-3
        x = EVERY_CODE.view(2, 128, 1).expand(-1, -1, len(table))
        codes = network.operator(tap, (x,), FLOAT).reshape(256, -1)
        assert np.array_equal(codes.numpy().T, table)


@pytest.mark.parametrize("rule", TableRule)
@pytest.mark.parametrize("points", [4, 64, 256])
def test_decimated_tables_are_entries_of_the_full_ones(points: int, rule: TableRule) -> None:
    """`store_tables` keeps each table's points in the format asked for, from its full table."""
    if rule is TableRule.FULL and points != 256:
        with pytest.raises(ModelError, match="expected 256"):
            TableFormat(points, rule, PointMethod.DECIMATE)
        return
    network = calibrated(Activation.PSA)
    tables = TableFormat(points, rule, PointMethod.DECIMATE)
    network.store_tables(tables)
    assert network.tables == tables
    places = [*range(0, 256, 256 // points), *([255] if rule is TableRule.ENDPOINT else [])]
    for tap, full in network.full_tables().items():
        table = network.table_function(tap).table
        assert table is not None
        assert table.dtype == torch.int8
        assert np.array_equal(table.numpy(), full[:, places])


@pytest.mark.parametrize("method", [PointMethod.LEAST_SQUARES, PointMethod.MINIMAX])
def test_chosen_points_are_no_worse_than_decimated_ones(method: PointMethod) -> None:
    """The other methods reach the network: by their own measure no table is worse than decimated, some are better."""
    network = calibrated(Activation.PSA, channels=2, hidden=2)
    errors = []
    for chosen in (PointMethod.DECIMATE, method):
        network.store_tables(TableFormat(16, TableRule.CLAMP, chosen))
        for tap, full in network.full_tables().items():
            codes = EVERY_CODE[:, None, None].expand(-1, 1, 2)
            read = network.operator(tap, (codes,), CONTRACT)[:, 0].numpy().T
            off = np.abs(read - full)
            errors.append(off.max(axis=1) if method is PointMethod.MINIMAX else (off**2).sum(axis=1))
    decimated, better = np.array(errors).reshape(2, -1)
    assert (better <= decimated).all()
    assert (better < decimated).any()


@pytest.mark.parametrize("points", [0, 5, 48, 257, 512])
def test_impossible_formats_are_refused(points: int) -> None:
    """Points that are no power of two from 4 to 256 are refused."""
    with pytest.raises(ModelError, match=f"{points} points"):
        TableFormat(points, TableRule.HOLD, PointMethod.DECIMATE)


def test_functions_without_value_are_refused() -> None:
    """Where a function is not a number, its tap and channel are named, and no table is stored."""
    network = unit(Activation.PSA)
    with torch.no_grad():
        network.table_function("blocks.0.mlp.psa_2").activation.centres[4] = 1e30  # type: ignore[operator, union-attr]
    with pytest.raises(ModelError, match=r"'blocks\.0\.mlp\.psa_2', channel 4"):
        network.store_tables(TableFormat(16, TableRule.CLAMP, PointMethod.DECIMATE))
    assert network.tables is None


def test_steps_of_the_arithmetics_are_two_ends() -> None:
    """The two arithmetics differ in all four rules, so that four switches lead from one to the other."""
    path = [FLOAT]
    for name in ("ties", "sums", "saturation", "tables"):
        path.append(replace(path[-1], **{name: getattr(CONTRACT, name)}))
    assert path[-1] == CONTRACT
    assert all(one != other for one, other in pairwise(path))
