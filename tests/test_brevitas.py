"""Brevitas networks in one call: trained here, equal to Brevitas's own forward at every quantiser; what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fxsim
from fxsim.errors import ModelError, ToolError
from fxsim.formats import model_sha256
from fxsim.graph import Model

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas", reason="the extra 'brevitas' is not installed")

from brevitas import nn as quantised  # noqa: E402
from brevitas import quant as quantisers  # noqa: E402
from torch import nn  # noqa: E402

from fxsim.bridge import brevitas as bridge  # noqa: E402
from fxsim.bridge.brevitas import import_brevitas  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.onnx]

Array = npt.NDArray[Any]
TRAINED_WITH = 1200
"""Pictures of scikit-learn's digits that networks are trained with; the other 597 are for testing."""


def identity(bits: int) -> nn.Module:
    """A quantiser of signed numbers."""
    return quantised.QuantIdentity(bit_width=bits, return_quant_tensor=True)


def relu(bits: int) -> nn.Module:
    """A quantiser of what is not negative."""
    return quantised.QuantReLU(bit_width=bits, return_quant_tensor=True)


def mlp() -> nn.Sequential:
    """Weights of 2, 4 and 8 bits, values of 2 and 4."""
    return nn.Sequential(
        nn.Flatten(),
        identity(8),
        quantised.QuantLinear(64, 32, bias=False, weight_bit_width=2),
        nn.BatchNorm1d(32),
        relu(2),
        quantised.QuantLinear(32, 24, bias=True, weight_bit_width=4),
        identity(4),
        quantised.QuantLinear(24, 10, bias=False, weight_bit_width=8),
    )


def cnn() -> nn.Sequential:
    """Two convolutions, with and without bias and padding, a pool between them, and a dense layer."""
    return nn.Sequential(
        identity(8),
        quantised.QuantConv2d(1, 8, 3, padding=1, bias=True, weight_bit_width=4),
        nn.BatchNorm2d(8),
        relu(4),
        nn.MaxPool2d(2),
        quantised.QuantConv2d(8, 16, 3, bias=False, weight_bit_width=3),
        nn.BatchNorm2d(16),
        relu(3),
        nn.Flatten(),
        quantised.QuantLinear(64, 10, bias=True, weight_bit_width=4),
    )


class Shuffled(nn.Module):
    """Channels of two groups shuffled, of plain values."""

    def forward(self, x: Any) -> Any:
        """Channels 0, 1, ... of both groups side by side."""
        return nn.functional.channel_shuffle(x.value if hasattr(x, "value") else x, 2)


def grouped() -> nn.Sequential:
    """A bias of 32 bits, channels shuffled between grouped convolutions, and a mean over rows and columns."""
    return nn.Sequential(
        identity(8),
        quantised.QuantConv2d(1, 16, 3, padding=1, bias=True, weight_bit_width=4, bias_quant=quantisers.Int32Bias),
        relu(4),
        Shuffled(),
        quantised.QuantConv2d(16, 32, 3, stride=2, groups=2, bias=False, weight_bit_width=4),
        nn.BatchNorm2d(32),
        relu(4),
        nn.AdaptiveAvgPool2d(1),
        identity(6),
        nn.Flatten(),
        quantised.QuantLinear(32, 10, bias=True, weight_bit_width=6),
    )


def digits() -> tuple[Array, Array]:
    """Pictures uint8 [image, 8, 8] of values 0 to 16, and what they show."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    return loaded.images.astype(np.uint8), loaded.target


def trained(network: nn.Sequential, epochs: int = 2) -> tuple[nn.Sequential, float]:
    """A network after some epochs, in evaluation mode, and which part of the test pictures it is right on."""
    pictures, labels = digits()
    x, y = torch.tensor(pictures[:, None] / 16, dtype=torch.float32), torch.tensor(labels)
    optimiser = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(epochs):
        for part in torch.arange(TRAINED_WITH).split(128):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(x[part]), y[part]).backward()
            optimiser.step()
    network.eval()
    with torch.no_grad():
        right = (network(x[TRAINED_WITH:]).argmax(dim=1) == y[TRAINED_WITH:]).double().mean()
    return network, float(right)


def forward(network: nn.Sequential, x: Any) -> tuple[list[Array], Array]:
    """The integers of every quantiser as Brevitas computes them, channels last, in their order; and the scores."""
    seen: list[Array] = []

    def keep(_module: Any, _inputs: Any, out: Any) -> None:
        whole = (out.value / out.scale + out.zero_point).numpy()
        codes = np.round(whole)
        assert np.abs(whole - codes).max() < 1e-3
        seen.append(codes.transpose(0, 2, 3, 1) if codes.ndim == 4 else codes)

    layers = (quantised.QuantIdentity, quantised.QuantReLU)
    hooks = [layer.register_forward_hook(keep) for layer in network if isinstance(layer, layers)]
    with torch.no_grad():
        scores = network(x)
    for hook in hooks:
        hook.remove()
    return seen, (scores.value if hasattr(scores, "value") else scores).numpy()


@pytest.mark.slow
@pytest.mark.parametrize(("make", "least"), [(mlp, 0.7), (cnn, 0.7), (grouped, 0.5)])
def test_trained_networks_equal_brevitas(make: Any, least: float, tmp_path: Path) -> None:
    """Every quantiser's integers on all 597 test pictures, and the scores; a difference would be at a near tie."""
    torch.manual_seed(0)
    network, right = trained(make())
    assert right > least
    path = tmp_path / "network.onnx"
    model = import_brevitas(network, (1, 8, 8), "uint8/16", path)
    assert str(model.graph.input) == "uint8 (8 rows, 8 columns, 1 channels)"
    assert model.provenance["source"].startswith("Brevitas network Sequential, exported to QONNX by Brevitas ")
    pictures = digits()[0][TRAINED_WITH:]
    codes, scores = forward(network, torch.tensor(pictures[:, None] / 16, dtype=torch.float32))
    found = fxsim.run(model, np.ascontiguousarray(pictures[..., None]), "all")
    taps = [tap for tap in model.graph.taps if tap.startswith("quant")]
    assert len(taps) == len(codes) >= 3
    for tap, expected in zip(taps, codes, strict=True):
        values = found[tap]
        # Of a dense network's pictures, Brevitas sees the values.
        values = values if expected.ndim == 4 else values.reshape(len(values), -1)
        near = model.provenance.get("near ties", "none")
        differ = int((values != expected).sum())
        assert differ == 0, f"{tap}: {differ} of {values.size} differ; near ties: {near}"
    sums = found[model.graph.output].reshape(len(pictures), 10)
    words = model.provenance["output"]
    if "for each channel" in words:
        keys = ("output scales", "output offsets")
        scales, offsets = ([float(n) for n in model.provenance[key].split(", ")] for key in keys)
        np.testing.assert_allclose(sums * scales + offsets, scores, atol=1e-4)
    else:
        np.testing.assert_allclose(sums * float(words.split(" times ")[1]), scores, atol=1e-4)
        assert (sums.argmax(axis=1) == scores.argmax(axis=1)).mean() > 0.99
    assert_executor(path, model, pictures[:3])


def assert_executor(path: Path, model: Model, pictures: Array) -> None:
    """QONNX's own executor gives the same of the file that was kept, where it is installed."""
    from fxsim.formats.qonnx.executor import open_qonnx

    x = np.ascontiguousarray(pictures[..., None])
    taps, run = open_qonnx(path, model)
    # What is only put in another order between two nodes is no tensor of the file.
    assert taps == tuple(tap for tap in model.graph.taps if not tap.startswith("order"))
    expected = fxsim.run(model, x, "all")
    for tap, values in run(x).items():
        np.testing.assert_array_equal(values, expected[tap], tap)


@pytest.mark.slow
@pytest.mark.thorough
def test_a_network_is_left_as_it_was() -> None:
    """The same network gives the same model, and the same values afterwards; levels are fed where no number is."""
    torch.manual_seed(1)
    network = mlp()
    network(torch.rand(16, 1, 8, 8))
    network.eval()
    x = torch.rand(4, 1, 8, 8)
    before = forward(network, x)
    one, again = (import_brevitas(network, (1, 8, 8)) for _ in range(2))
    assert model_sha256(one) == model_sha256(again)
    assert one.name == "Sequential"
    assert not any("sha256" in key for key in one.provenance)
    after = forward(network, x)
    for expected, found in zip((*before[0], before[1]), (*after[0], after[1]), strict=True):
        np.testing.assert_array_equal(found, expected)
    levels = before[0][0].astype(np.int8).reshape(4, 8, 8, 1)
    assert str(one.graph.input.number) == "int8"
    np.testing.assert_array_equal(fxsim.run(one, levels, ("quant0",))["quant0"].reshape(4, -1), before[0][1])


@pytest.mark.slow
def test_what_is_not_exact_is_refused() -> None:
    """Weights in floating point, and pictures that the network does not take, are errors in a line with its name."""
    network = nn.Sequential(identity(8), nn.Conv2d(1, 2, 3), relu(4))
    network(torch.rand(2, 1, 8, 8))
    network.eval()
    with pytest.raises(ModelError, match=r"^Sequential: not taken: node .*\(Conv\)") as caught:
        import_brevitas(network, (1, 8, 8))
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match=r"^Sequential: Brevitas cannot export it for pictures of \(3, 8, 8\): "):
        import_brevitas(network, (3, 8, 8))


def test_networks_in_training_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network in training mode, and a missing extra, are refused before anything is exported."""
    network = mlp()
    with pytest.raises(ModelError, match=r"Sequential is in training mode.*call eval\(\) first"):
        import_brevitas(network, (1, 8, 8), path=tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()
    monkeypatch.setattr(bridge, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(ToolError, match="the extra 'brevitas' is not installed: there is no onnxscript here"):
        import_brevitas(network.eval(), (1, 8, 8))
