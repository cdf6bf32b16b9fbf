"""FracBNN's network as published: from arrays of parameters to the published taps, and to a plain computation."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import fxsim
from fxsim.cli.import_model import command
from fxsim.engines.c import run_c
from fxsim.errors import FileError
from fxsim.formats import load, model_sha256
from fxsim.formats.fracbnn import import_fracbnn
from fxsim.formats.importers import find_importer
from fxsim.graph import Model
from tests.test_feature_maps import assert_engines

Array = npt.NDArray[Any]
Arrays = dict[str, Array]
STAGES = {1: 16, 2: 32, 3: 64}
"""Channels of each stage."""


def convolutions() -> list[tuple[str, int, int, int]]:
    """Block, place in it, inputs and outputs of every fractional convolution."""
    found, inputs = [], 16
    for stage, outputs in STAGES.items():
        for block in range(3):
            for place in (1, 2):
                found.append((f"layer{stage}_{block}", place, inputs, outputs))
                inputs = outputs
    return found


def random_arrays(seed: int = 3) -> Arrays:
    """Parameters like the published ones in size; values of 64, zero beyond a layer's channels."""
    rng = np.random.default_rng(seed)

    def padded(low: int, high: int, count: int) -> Array:
        values = np.zeros(64, np.int16)
        values[:count] = rng.integers(low, high, count)
        return values

    def tiles(inputs: int, count: int) -> Array:
        words = rng.integers(0, 2**64, (count, 16, 3, 3), np.uint64)
        return words >> np.uint64(64 - inputs) << np.uint64(64 - inputs)

    arrays = {"bn1_weight": padded(-12, 12, 16), "bn1_bias": padded(-400, 300, 16)}
    words = [tiles(32, 3)]
    for block, k, inputs, outputs in convolutions():
        words.append(tiles(inputs, outputs // 16))
        for name, low, high in (
            (f"conv{k}_threshold", -700, 900), (f"bn{k}_weight", -30, 60), (f"bn{k}_bias", -400, 400),
            (f"rprelu{k}_shift_x_bias", -250, 120), (f"rprelu{k}_prelu_weight", -270, 210),
            (f"rprelu{k}_shift_y_bias", -130, 150), (f"bn{k + 2}_weight", 60, 500), (f"bn{k + 2}_bias", -400, 400),
        ):  # fmt: skip
            arrays[f"{block}_{name}"] = padded(low, high, outputs)
    arrays["linear_weight"] = rng.integers(-416, 400, (10, 64)).astype(np.int16)
    arrays["linear_bias"] = rng.integers(-95, 95, 10).astype(np.int16)
    arrays["conv_weight_all"] = np.concatenate(words)
    return arrays


# --- The published arithmetic, stated anew, [channel, row, column] ---------------------------------------------------


def bits_of(words: Array, channels: int) -> Array:
    """Weights [16, 3, 3, channels] of a tile, each word read as the text of its bits."""
    texts = np.array([[1 if bit == "1" else -1 for bit in f"{int(word):064b}"] for word in words.ravel()])
    return texts[:, :channels].reshape(*words.shape, channels)


def convolved(x: Array, weight: Array) -> Array:
    """Sums over 3 x 3, nothing outside; `x` [c, h, w], `weight` [o, 3, 3, c]."""
    _, h, w = x.shape
    total = np.zeros((len(weight), h, w), np.int64)
    for r in range(3):
        for s in range(3):
            for i in range(max(0, 1 - r), min(h, h + 1 - r)):
                j, k = max(0, 1 - s), min(w, w + 1 - s)
                total[:, i, j:k] += weight[:, r, s] @ x[:, i + r - 1, j + s - 1 : k + s - 1]
    return total


def held(v: Array) -> Array:
    """In 16 bits."""
    return np.minimum(np.maximum(v, -32768), 32767)


def eighths(v: Array, bits: int = 8) -> Array:
    """V / 2^bits to the nearest, ties up, in 16 bits."""
    return held(np.floor_divide(2 * v + 2**bits, 2 ** (bits + 1)))


def plainly(arrays: Arrays, picture: Array) -> dict[str, Array]:
    """Taps by their published names of one picture, uint8 [row, column, colour], one step after the other."""
    p = {name: values.astype(np.int64) for name, values in arrays.items() if name != "conv_weight_all"}
    words = iter(arrays["conv_weight_all"])
    found: dict[str, Array] = {}

    def of(name: str, count: int) -> Array:
        return p[name][:count, None, None]

    acc = np.zeros((16, 32, 32), np.int64)
    for colour in range(3):
        # Python rounds ties to even.
        level = np.array([[round(int(v) / 8) for v in row] for row in picture[:, :, colour]])
        acc += convolved(np.array([np.where(k < level, 1, -1) for k in range(32)]), bits_of(next(words), 32))
    found["conv1.0"] = acc
    res = found["fm.0"] = eighths(of("bn1_weight", 16) * acc + of("bn1_bias", 16), 1)
    for i, (block, k, inputs, outputs) in enumerate(convolutions()):
        q = found[f"quant.{i}"] = np.minimum(np.maximum(np.floor_divide(3 * res + 512, 256), 0), 3)
        weight = np.concatenate([bits_of(next(words), inputs) for _ in range(outputs // 16)])
        m = found[f"msb.{i}"] = convolved(np.where(q >= 2, 1, -1), weight)
        low = convolved(np.where(q % 2 == 1, 1, -1), weight)
        low = found[f"lsb.{i}"] = np.where(171 * m > of(f"{block}_conv{k}_threshold", outputs), low, 0)
        if inputs < outputs:
            m, low = m[:, ::2, ::2], low[:, ::2, ::2]
            total = np.zeros_like(res[:, ::2, ::2])
            for r, s in ((0, 0), (0, 1), (1, 0), (1, 1)):
                total = held(total + res[:, r::2, s::2])
            mean = np.sign(total) * (np.abs(total) // 4)
            res = found[f"concat.{i // 12}"] = np.concatenate([mean, mean])
        f = eighths(256 * eighths(171 * held(128 * m)) + 85 * held(128 * low))
        f = eighths(of(f"{block}_bn{k}_weight", outputs) * f + 128 * of(f"{block}_bn{k}_bias", outputs))
        f = eighths(2 * f + of(f"{block}_rprelu{k}_shift_x_bias", outputs), 1)
        f = np.where(f < 0, eighths(f * of(f"{block}_rprelu{k}_prelu_weight", outputs)), f)
        f = eighths(2 * f + of(f"{block}_rprelu{k}_shift_y_bias", outputs), 1)
        u = held(res + f)
        res = eighths(of(f"{block}_bn{k + 2}_weight", outputs) * u + 128 * of(f"{block}_bn{k + 2}_bias", outputs))
        found[f"fm.{i + 1}"] = res
    total = res.sum(axis=(1, 2)) << 15
    mean = found["pool.0"] = (np.sign(total) * (np.abs(total) // 64))[:, None, None]
    xi = eighths(mean[:, 0, 0], 15)
    logits = []
    for weights, bias in zip(p["linear_weight"].tolist(), p["linear_bias"].tolist(), strict=True):
        acc = np.int64((bias + 1) // 2)
        for x, w in zip(xi.tolist(), weights, strict=True):
            acc = held(acc + eighths(np.int64(x * ((w + 1) // 2)), 7))
        logits.append(int(acc))
    found["logits"] = np.array(logits)
    return found


def test_random_parameters_are_computed_plainly(tmp_path: Path) -> None:
    """Every tap of a network of random parameters, batch norms of negative weights among them."""
    arrays = random_arrays()
    np.savez(tmp_path / "any.npz", **arrays)
    pictures = np.random.default_rng(8).integers(0, 256, (2, 32, 32, 3), np.uint8)
    pictures[1, :16, :16] = np.arange(256).reshape(16, 16, 1)
    found = fxsim.run(import_fracbnn(tmp_path / "any.npz"), pictures, "all", engine="reference")
    for image, picture in enumerate(pictures):
        plain = plainly(arrays, picture)
        assert len(plain) == 78
        for tap, values in plain.items():
            result = found[tap][image]
            np.testing.assert_array_equal(result.transpose(2, 0, 1) if result.ndim == 3 else result, values, tap)
        assert found["class"][image, 0] == plain["logits"].argmax()
        assert len(np.unique(plain["quant.17"])) == 4
        assert 0 < np.count_nonzero(plain["lsb.17"]) < plain["lsb.17"].size


# --- The published network -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_published_taps(networks: Path, tmp_path: Path) -> None:
    """All 77 taps of the published program by their digests, and logits, of every picture that has them."""
    folder = networks / "fracbnn"
    done = CliRunner().invoke(command, [str(folder), "-o", str(tmp_path / "m.safetensors")])
    assert done.exit_code == 0, done.output
    model = load(tmp_path / "m.safetensors")
    assert model_sha256(import_fracbnn(folder / "params_q8.npz")) == model_sha256(model)
    vectors, stated = np.load(folder / "vectors.npz"), json.loads((folder / "tap_digests.json").read_text())["taps"]
    x = np.ascontiguousarray(vectors["images"].transpose(0, 2, 3, 1)[: len(stated)])
    found = fxsim.run(model, x, "all", engine="reference")
    levels = vectors["thermometer_levels"][: len(stated)].transpose(0, 2, 3, 1)
    np.testing.assert_array_equal((found["thermometer"].reshape(*levels.shape, 32) > 0).sum(axis=-1), levels)
    for image, taps in enumerate(stated):
        assert len(taps) == 77
        for name, shape, digest in taps:
            values = np.atleast_3d(found[name][image]).transpose(2, 0, 1)
            assert list(values.shape) == shape
            assert hashlib.sha256(values.astype("<i4").tobytes()).hexdigest() == digest, (image, name)
    np.testing.assert_array_equal(found["logits"], vectors["logits_q7"])
    assert found["class"][:, 0].tolist() == vectors["logits_q7"].argmax(axis=1).tolist()
    assert_engines(model, x, found)


@pytest.mark.slow
def test_it_is_the_same_in_c(networks: Path) -> None:
    """The network in C gives every tap's values, those within a layer too."""
    model = import_fracbnn(networks / "fracbnn")
    x = np.ascontiguousarray(np.load(networks / "fracbnn" / "vectors.npz")["images"].transpose(0, 2, 3, 1)[:4])
    compiled = run_c(model, x, model.graph.taps)
    for tap, values in fxsim.run(model, x, "all", engine="reference").items():
        np.testing.assert_array_equal(compiled[tap], values, tap)


@pytest.mark.onnx
def test_it_is_the_same_in_onnx(networks: Path, tmp_path: Path) -> None:
    """ONNX Runtime gives the published logits."""
    onnxruntime = pytest.importorskip("onnxruntime")
    from fxsim.formats.onnx import export_onnx

    vectors = np.load(networks / "fracbnn" / "vectors.npz")
    export_onnx(import_fracbnn(networks / "fracbnn"), tmp_path / "m.onnx", taps=("logits",))
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    (logits,) = session.run(["logits"], {"input": np.ascontiguousarray(vectors["images"].transpose(0, 2, 3, 1)[:4])})
    np.testing.assert_array_equal(logits, vectors["logits_q7"])


# --- What is refused -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive() -> bytes:
    """An .npz file of random parameters."""
    file = io.BytesIO()
    np.savez_compressed(file, **random_arrays())
    return file.getvalue()


def set_at(name: str, place: tuple[int, ...], value: int) -> Callable[[Arrays], Arrays]:
    """A change of one value."""

    def change(arrays: Arrays) -> Arrays:
        values = arrays[name].copy()
        values[place] = value
        return {**arrays, name: values}

    return change


CHANGES: dict[str, tuple[Callable[[Arrays], Arrays], str]] = {
    "one missing": (
        lambda a: {n: v for n, v in a.items() if n != "layer2_1_bn3_bias"},
        "is not FracBNN's network: array 'layer2_1_bn3_bias' is missing",
    ),
    "one too many": (lambda a: {**a, "more": np.zeros(1)}, "array 'more' is unknown"),
    "another type": (
        lambda a: {**a, "linear_bias": a["linear_bias"].astype(np.int32)},
        r"array 'linear_bias' is int32 \(10,\), expected int16 \(10,\)",
    ),
    "a tile less": (
        lambda a: {**a, "conv_weight_all": a["conv_weight_all"][:44]},
        r"array 'conv_weight_all' is uint64 \(44, 16, 3, 3\), expected uint64 \(45, 16, 3, 3\)",
    ),
    "a value of 13 bits": (
        set_at("layer3_2_bn1_weight", (5,), 2048), r"array 'layer3_2_bn1_weight' has 2048 at \[5\], expected int12",
    ),
    "a weight of 13 bits": (
        set_at("linear_weight", (9, 63), -2049), r"array 'linear_weight' has -2049 at \[9, 63\], expected int12",
    ),
    "a channel beyond": (
        set_at("layer1_0_conv1_threshold", (16,), 1),
        r"array 'layer1_0_conv1_threshold' has 1 at \[16\], expected 0 beyond 16 channels",
    ),
    "a bit of channel 32": (
        set_at("conv_weight_all", (1, 2, 0, 1), 1 << 31),
        r"array 'conv_weight_all' has bits of channels beyond the first layer's 32 at \[1, 2, 0, 1\], expected 0",
    ),
    "a bit of channel 16": (
        set_at("conv_weight_all", (9, 0, 2, 2), 1 << 47),
        r"has bits of channels beyond layer2_0_conv1's 16 at \[9, 0, 2, 2\], expected 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES)
def test_other_arrays_are_refused(case: str, tmp_path: Path) -> None:
    """Arrays that are not the network's, and values that it cannot have, are one error with the place."""
    change, message = CHANGES[case]
    path = tmp_path / "params.npz"
    np.savez(path, **change(random_arrays()))
    with pytest.raises(FileError, match=message) as caught:
        import_fracbnn(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_it_is_known_by_its_content(archive: bytes, tmp_path: Path) -> None:
    """A file or folder with the words of weights; other archives are FINN's, or nothing known."""
    (tmp_path / "params_q8.npz").write_bytes(archive)
    (tmp_path / "other.npz").write_bytes(archive[:1000])
    (tmp_path / "any.bin").write_bytes(archive)
    assert find_importer(tmp_path / "params_q8.npz") == find_importer(tmp_path) == "fracbnn"
    assert find_importer(tmp_path / "other.npz") == "bnn-pynq"
    assert find_importer(tmp_path / "any.bin") == "headers"
    assert find_importer(tmp_path / "absent") == "headers"
    with pytest.raises(FileError, match=r"absent\.npz: there is no such file"):
        import_fracbnn(tmp_path / "absent.npz")
    done = CliRunner().invoke(command, [str(tmp_path), "-o", str(tmp_path / "params_q8.npz")])
    assert "is read as an input" in str(done.exception)
    assert (tmp_path / "params_q8.npz").read_bytes() == archive


def test_arrays_too_large_are_not_read(tmp_path: Path) -> None:
    """What headers state is added up before anything is read."""
    np.savez_compressed(tmp_path / "a.npz", conv_weight_all=np.zeros(1 << 18, np.uint64))
    with pytest.raises(FileError, match="its arrays have more than 1,048,576 bytes"):
        import_fracbnn(tmp_path / "a.npz")


@settings(max_examples=25)
@given(data=st.data())
def test_damaged_archives_are_refused_or_whole(
    data: st.DataObject, archive: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Bytes that are cut, changed or left out give one error, or all of the network."""
    content = bytearray(archive)
    kind = data.draw(st.sampled_from(["cut", "change", "drop"]))
    at = data.draw(
        st.integers(0, 3000) | st.integers(0, len(content) - 1) | st.integers(len(content) - 3000, len(content) - 1)
    )
    if kind == "change":
        content[at] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del content[at:]
    else:
        del content[at : at + data.draw(st.integers(1, 20))]
    path = tmp_path_factory.mktemp("damaged") / "a.npz"
    path.write_bytes(content)
    find_importer(path)
    try:
        model = import_fracbnn(path)
    except FileError as error:
        message = str(error)
    else:
        assert isinstance(model, Model)
        assert model.graph.output == "class"
        return
    assert str(path) in message
    assert "\n" not in message
