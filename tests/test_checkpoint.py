"""Network files: what was saved comes back to the bit, and nothing else is ever accepted."""

import json
import math
import os
import re
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor

from fxsim.contract import TableRule
from fxsim.data import Preprocessing
from fxsim.errors import FileError
from fxsim.formats import save as save_model
from fxsim.networks.checkpoint import (
    CHECKPOINT_BYTES_MAX,
    CheckpointKind,
    load_checkpoint,
    load_float,
    load_quantised,
    save_checkpoint,
)
from fxsim.networks.export import export
from fxsim.networks.fold import fold
from fxsim.networks.quantised import QuantisedResMLP, ShiftRule, TableFormat
from fxsim.networks.resmlp import Activation, NetworkConfig, ResMLP
from fxsim.tables.points import PointMethod
from tests.conftest import SEED

PRE = Preprocessing(4, 3, 2, (0.5, 0.4, 0.3), (0.25, 0.2, 0.1))
DIMENSIONS = {"tokens": 4, "values": 12, "channels": 5, "hidden": 7, "blocks": 2, "classes": 6}
FORMAT = TableFormat(16, TableRule.ENDPOINT, PointMethod.DECIMATE)
Network = ResMLP | QuantisedResMLP
Tensors = dict[str, Tensor]
Header = dict[str, Any]


def float_network(activation: Activation = Activation.PSA) -> ResMLP:
    """A float network with statistics."""
    torch.manual_seed(SEED)
    network = ResMLP(NetworkConfig(**DIMENSIONS, activation=activation, points=8, centres=3, limit=3.7))
    network.train()(torch.randn(9, 4, 12))
    return network


def quantised_network(activation: Activation = Activation.PSA, stored: bool = True) -> QuantisedResMLP:
    """A quantised network with steps, shifts and tables."""
    network = fold(float_network(activation))
    network.set_steps({name: 0.1 / (i + 3) for i, name in enumerate(network.step_names)})
    network.choose_shifts(ShiftRule.ROUND)
    if stored:
        network.store_tables(FORMAT)
    return network


def written(network: Network, path: Path) -> Path:
    """The network as a file."""
    save_checkpoint(network, path, PRE, {"recipe": "a test", "ünïcode \u2028": "\x1b[31m\n"})
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where to write."""
    return tmp_path / "network.safetensors"


def contents(path: Path) -> tuple[Header, Tensors]:
    """A file taken apart without fxsim: its description and its tensors."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    assert list(metadata) == ["fxsim"]
    return json.loads(metadata["fxsim"]), load_file(path)


def assemble(path: Path, content: object, tensors: Tensors, more: Mapping[str, str] | None = None) -> None:
    """A file put together from parts."""
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(serialise({k: t.contiguous() for k, t in tensors.items()}, {"fxsim": text, **(more or {})}))


def refused(path: Path) -> str:
    """The message with which a file is refused: one line that names it."""
    with pytest.raises(FileError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < 700
    return message


# --- there and back ---


def same(one: Network, other: Network) -> bool:
    """Whether two networks have the same tensors, to the bit."""
    a, b = one.state_dict(), other.state_dict()
    return list(a) == list(b) and all(
        a[k].dtype == b[k].dtype and a[k].numpy().tobytes() == b[k].numpy().tobytes() for k in a
    )


@pytest.mark.parametrize("activation", Activation)
def test_float_networks_come_back(activation: Activation, path: Path) -> None:
    """A float network comes back to the bit, in eval mode and trainable, with its preprocessing and provenance."""
    network = float_network(activation)
    written(network, path)
    found, checkpoint = load_float(path)
    assert found is checkpoint.network
    assert checkpoint.kind is CheckpointKind.FLOAT
    assert same(network, found)
    assert found.config == network.config
    assert not any(module.training for module in found.modules())
    assert all(parameter.requires_grad and parameter.device.type == "cpu" for parameter in found.parameters())
    assert checkpoint.preprocessing == PRE
    assert checkpoint.provenance == {"recipe": "a test", "ünïcode \u2028": "\x1b[31m\n"}
    x = torch.randn(3, 4, 12)
    assert torch.equal(found(x), network.eval()(x))


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("activation", Activation)
def test_quantised_networks_come_back(activation: Activation, stored: bool, path: Path) -> None:
    """A quantised network comes back to the bit, with the tables it had, or without."""
    network = quantised_network(activation, stored)
    written(network, path)
    found, checkpoint = load_quantised(path)
    assert checkpoint.kind is CheckpointKind.QUANTISED
    assert same(network, found)
    assert (found.config, found.tables) == (network.config, network.tables)
    assert (found.tables is not None) == (stored and activation is not Activation.RELU)
    x = torch.randn(3, 4, 12)
    assert torch.equal(found(x), network(x))
    if stored:
        one, other = (export(n, "m", {}).graph for n in (network, found))
        assert all(
            np.array_equal(getattr(a.op, field), getattr(b.op, field))
            for a, b in zip(one.nodes, other.nodes, strict=True)
            for field in ("weight", "bias", "shift", "table")
            if hasattr(a.op, field)
        )


@pytest.mark.parametrize("make", [float_network, quantised_network])
def test_the_same_network_gives_the_same_bytes(make: Callable[[], Network], path: Path) -> None:
    """Two writes agree byte for byte, as does what is written of a network that was read."""
    first = written(make(), path).read_bytes()
    assert written(make(), path).read_bytes() == first
    assert written(load_checkpoint(path).network, path).read_bytes() == first


def test_the_global_generator_is_left_alone(path: Path) -> None:
    """Neither reading nor writing draws from torch's generator."""
    network = quantised_network()
    state = torch.get_rng_state()
    written(network, path)
    load_checkpoint(path)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_network_does_not_depend_on_its_file(path: Path) -> None:
    """What becomes of a file after it was read does not change the network."""
    network = float_network()
    written(network, path)
    found = load_checkpoint(path).network
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(0)
        file.write(b"\xff" * size)
    assert same(network, found)
    found.get_parameter("embed.weight").data.fill_(0)
    assert path.read_bytes() == b"\xff" * size


def test_the_wrong_kind_is_refused(path: Path) -> None:
    """Who needs a float network is told of a quantised one, and the other way round."""
    written(float_network(), path)
    with pytest.raises(FileError, match="holds a float network, expected a quantised one"):
        load_quantised(path)
    written(quantised_network(), path)
    with pytest.raises(FileError, match="holds a quantised network, expected a float one"):
        load_float(path)


# --- what cannot be written ---


def broken(change: str) -> Network:
    """A network that no file may hold."""
    network = quantised_network() if change in {"step", "table"} else float_network()
    with torch.no_grad():
        match change:
            case "nan":
                network.get_parameter("embed.weight")[0, 0] = math.nan
            case "double":
                network.double()
            case "variance":
                network.get_buffer("norm.running_var")[0] = -1
            case "step":
                network.get_parameter("log_steps")[1] = 1e30
            case "table":
                assert isinstance(network, QuantisedResMLP)
                network.table_function("blocks.0.mlp.psa_1").table = torch.zeros(5, 16, dtype=torch.int8)
    return network


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("nan", "not finite"),
        ("double", "F64"),
        ("variance", "negative"),
        ("step", "log_steps"),
        ("table", r"\(5, 16\)"),
    ],
)
def test_what_would_be_refused_is_not_written(change: str, word: str, path: Path) -> None:
    """A network that could not be read again is not written, and the file there was stays."""
    path.write_text("before")
    with pytest.raises(FileError, match=f"cannot write {path}.*{word}"):
        save_checkpoint(broken(change), path, PRE, {})
    assert path.read_text() == "before"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("provenance", [{"a": "\ud800"}, {"a": 5}, {"a": Path("x")}, {"a": None}])
def test_provenance_is_text(provenance: dict[str, Any], path: Path) -> None:
    """Provenance that is not text, or not valid Unicode, is refused, and nothing is left behind."""
    with pytest.raises(FileError, match=f"cannot write {path}"):
        save_checkpoint(float_network(), path, PRE, provenance)
    assert list(path.parent.iterdir()) == []


def test_preprocessing_must_fit_the_network(path: Path) -> None:
    """Preprocessing that gives other tokens than the network takes is refused."""
    with pytest.raises(FileError, match=r"16 tokens of 3 values.*4 of 12"):
        save_checkpoint(float_network(), path, Preprocessing(4, 3, 1, PRE.mean, PRE.std), {})
    assert not path.exists()


def test_no_folder(tmp_path: Path) -> None:
    """Where there is no folder to write to, it is named."""
    with pytest.raises(FileError, match="there is no folder"):
        save_checkpoint(float_network(), tmp_path / "no" / "file", PRE, {})


# --- what is not a network file ---


def test_no_such_file(tmp_path: Path) -> None:
    """A file that is not there, or is a folder, is said to be so."""
    assert "there is no such file" in refused(tmp_path / "none")
    assert "not a regular file" in refused(tmp_path)


@pytest.mark.parametrize("data", [b"", b"\0" * 7, b"\xff" * 64, b"PK\x03\x04", struct.pack("<Q", 2) + b"{}"])
def test_other_files(data: bytes, path: Path) -> None:
    """Files that are no safetensors, or hold nothing, are refused."""
    path.write_bytes(data)
    refused(path)


def test_messages_of_the_library_are_one_line(path: Path) -> None:
    """What a file says stays on one line, too, where the library that reads it repeats it."""
    header = b'{"embed.weight":{"dtype":"F3\\n\\u001b[31m2","shape":[1],"data_offsets":[0,4]}}'
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    assert "\x1b" not in refused(path)


def test_an_integer_model_is_no_network(path: Path) -> None:
    """A model file of fxsim is told apart from a network file."""
    save_model(export(quantised_network(), "m", {}), path)
    assert "is a model file of fxsim, expected a network file" in refused(path)


def test_a_key_that_stands_twice(path: Path) -> None:
    """In a network file, too, no key of the header may stand twice."""
    save_checkpoint(quantised_network(), path, PRE, {})
    data = path.read_bytes()
    length = 8 + struct.unpack_from("<Q", data)[0]
    text = data[8:length].replace(
        b'"log_steps":', b'"log_steps":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"log_steps":', 1
    )
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[length:])
    assert "header: key 'log_steps' stands twice" in refused(path)


def test_too_large_a_file(path: Path) -> None:
    """A file beyond the limit is not opened."""
    with path.open("wb") as file:
        file.truncate(CHECKPOINT_BYTES_MAX + 1)
    assert "expected at most 1,073,741,824" in refused(path)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Bytes of a good file of either kind."""
    folder = tmp_path_factory.mktemp("good")
    both: dict[str, Network] = {"float": float_network(), "quantised": quantised_network()}
    return {kind: written(network, folder / kind).read_bytes() for kind, network in both.items()}


@pytest.mark.parametrize("kind", ["float", "quantised"])
@settings(max_examples=40)
@given(fraction=st.floats(0, 1, exclude_max=True))
def test_truncated_files(kind: str, fraction: float, good: dict[str, bytes], tmp_path_factory: Any) -> None:
    """A file that ends too early is refused wherever it ends, and so is one that goes on."""
    path = tmp_path_factory.getbasetemp() / "truncated"
    path.write_bytes(good[kind][: int(len(good[kind]) * fraction)])
    refused(path)
    path.write_bytes(good[kind] + b"\0")
    refused(path)


@pytest.mark.parametrize("kind", ["float", "quantised"])
@settings(max_examples=150)
@given(data=st.data())
def test_damaged_headers(kind: str, data: st.DataObject, good: dict[str, bytes], tmp_path_factory: Any) -> None:
    """Whatever bytes of the header are changed, the file is refused in one line or loads as a network."""
    path = tmp_path_factory.getbasetemp() / "damaged"
    damaged = bytearray(good[kind])
    (length,) = struct.unpack("<Q", damaged[:8])
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, 7 + length))] = data.draw(
            st.sampled_from([*b'{}[]":,019-eE\\nx', 0, 255, 0x80])
        )
    path.write_bytes(bytes(damaged))
    # Some changes are harmless: in the provenance, say.
    with suppress(FileError):
        load_checkpoint(path)
        return
    refused(path)


@pytest.mark.parametrize("make", [float_network, quantised_network])
def test_reading_a_network_draws_nothing(
    make: Callable[[], Network], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a file's tensors replace is not drawn at first: where it has no memory, that would import a compiler."""
    path = tmp_path / "n.safetensors"
    save_checkpoint(make(), path, PRE, {})

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was drawn")

    monkeypatch.setattr(torch.nn.init, "normal_", refuse)
    state = torch.get_rng_state()
    load_checkpoint(path)
    assert torch.equal(torch.get_rng_state(), state)


# --- metadata ---


def nested(content: Header, place: str, value: object) -> Header:
    """`content` with the value at a dotted place replaced; removed where the value is `...`."""
    content = json.loads(json.dumps(content))
    *parents, name = place.split(".")
    inside = content
    for parent in parents:
        inside = inside[parent]
    if value is ...:
        del inside[name]
    else:
        inside[name] = value
    return content


TABLES = {"points": 16, "rule": "endpoint", "method": "decimate"}

METADATA = [
    ("format", "fxsim.model", "is a model file of fxsim"),
    ("format", "another", "format 'another', expected 'fxsim.checkpoint'"),
    ("format", "\x1b[2J\n" * 100, r"\\x1b\[2J"),
    ("version", 2, "version 2, this fxsim reads 1"),
    ("version", "1", "version"),
    ("kind", "integer", "kind"),
    ("kind", ..., "kind"),
    ("extra", 1, "extra"),
    ("provenance", ["a"], "provenance"),
    ("provenance", {"a": 1}, "provenance"),
    ("network", None, "network"),
    ("network.tokens", 3, "3 tokens, expected a power of two"),
    ("network.tokens", 0, "tokens"),
    ("network.tokens", 16, "preprocessing gives 4 tokens"),
    ("network.values", 13, "preprocessing gives 4 tokens of 12 values"),
    ("network.channels", 2**70, "channels"),
    ("network.channels", -5, "channels"),
    ("network.channels", 5.5, "channels"),
    ("network.blocks", 257, "blocks"),
    ("network.activation", "__import__", "__import__"),
    ("network.limit", 0, "limit"),
    ("network.limit", 1e300, "limit"),
    ("network.limit", ["a"], "limit"),
    ("network.points", 65537, "points"),
    ("network.unknown", 1, "unknown"),
    ("preprocessing.size", 0, "size"),
    ("preprocessing.std", [0.1, 0, 0.1], "std"),
    ("preprocessing.mean", [0.1], "mean"),
    ("preprocessing.patch", 3, "patch"),
    ("tables", {**TABLES, "points": 48}, "48 points"),
    ("tables", {**TABLES, "points": 512}, "points"),
    ("tables", {**TABLES, "rule": "full"}, "16 points under rule 'full', expected 256"),
    ("tables", {**TABLES, "rule": "other"}, "other"),
    ("tables", {**TABLES, "method": "best"}, "best"),
    # Another format than that of the tables there are: P + 1 are stored.
    ("tables", {**TABLES, "rule": "clamp"}, r"shape \(5, 17\), expected \(5, 16\)"),
    ("tables", {**TABLES, "points": 32}, r"shape \(5, 17\), expected \(5, 33\)"),
    ("tables", None, "belongs to nothing"),
    ("network.activation", "relu", "no tables"),
    ("kind", "float", "tables for a float network"),
]


@pytest.mark.parametrize(("place", "value", "message"), METADATA)
def test_wrong_metadata(place: str, value: object, message: str, path: Path) -> None:
    """Every field of the metadata is checked, and named where it is wrong."""
    content, tensors = contents(written(quantised_network(), path))
    assemble(path, nested(content, place, value), tensors)
    assert re.search(message, refused(path))


@pytest.mark.parametrize("text", ["", "null", "[]", "{", "[" * 100_000, '{"format": "fxsim.checkpoint"}', "\\ud800"])
def test_metadata_that_is_no_object(text: str, path: Path) -> None:
    """Metadata that is not JSON, or not the JSON expected, is refused."""
    _, tensors = contents(written(float_network(), path))
    assemble(path, text, tensors)
    assert "metadata 'fxsim'" in refused(path)


def test_metadata_of_others(path: Path) -> None:
    """A file without fxsim's entry, or with more entries, is refused."""
    content, tensors = contents(written(float_network(), path))
    path.write_bytes(serialise(tensors, {"torch": "x"}))
    assert "has no 'fxsim' in its metadata" in refused(path)
    path.write_bytes(serialise(tensors))
    assert "has no 'fxsim' in its metadata" in refused(path)
    assemble(path, content, tensors, {"more": "x"})
    assert "2 metadata entries" in refused(path)


def test_a_relu_network_states_no_tables(path: Path) -> None:
    """A ReLU network whose metadata states a format of tables is refused."""
    content, tensors = contents(written(quantised_network(Activation.RELU), path))
    assemble(path, nested(content, "tables", TABLES), tensors)
    assert "ReLU network has no tables" in refused(path)


GIANT = {
    "tokens": 4096, "values": 4096, "channels": 4096, "hidden": 4096, "blocks": 256, "classes": 4096,
    "activation": "lerp-psa", "centres": 1024, "points": 65536, "limit": 4.0,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["float", "quantised"])
@pytest.mark.parametrize("activation", ["lerp-psa", "b-spline"])
def test_stated_sizes_cost_nothing(kind: str, activation: str, path: Path) -> None:
    """A small file that states a network of gigabytes or terabytes is refused before anything of that size is there."""
    network: Network = float_network() if kind == "float" else quantised_network()
    content, tensors = contents(written(network, path))
    content["preprocessing"] = {"size": 1024, "colours": 1, "patch": 64, "mean": [0.5], "std": [0.5]}
    largest = {"channels": 1024, "hidden": 1024, "blocks": 1}
    for dimensions, expected in (({}, "parameters, expected at most 268,435,456"), (largest, "tensor '")):
        content["network"] = {**GIANT, "activation": activation, "tokens": 256, **dimensions}
        assemble(path, content, tensors)
        started = time.monotonic()
        message = refused(path)
        assert time.monotonic() - started < 10
        assert expected in message


# --- tensors ---


def changed(tensors: Tensors, name: str, value: object) -> Tensors:
    """Tensors with one replaced: by another, by a number at its first place, or by nothing."""
    tensors = dict(tensors)
    if value is None:
        del tensors[name]
    elif isinstance(value, Tensor):
        tensors[name] = value
    else:
        assert isinstance(value, int | float)
        tensors[name] = tensors[name].clone()
        tensors[name].view(-1)[0] = value
    return tensors


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("embed.weight", None, "tensor 'embed.weight' is missing"),
        ("embed.wéight\x1b[31m\n" + "x" * 900, torch.zeros(1), r"'embed.w\xe9ight\x1b[31m\nxxx"),
        ("embed.weight", torch.zeros(5, 13), "has shape (5, 13), expected (5, 12)"),
        ("embed.weight", torch.zeros(60), "has shape (60,), expected (5, 12)"),
        ("embed.weight", torch.zeros(0, 12), "has shape (0, 12), expected (5, 12)"),
        ("embed.weight", torch.zeros(5, 12, dtype=torch.float64), "has type F64, expected torch.float32"),
        ("embed.weight", torch.zeros(5, 12, dtype=torch.bfloat16), "has type BF16, expected torch.float32"),
        ("embed.weight", torch.zeros(5, 12, dtype=torch.float8_e5m2), "has type F8_E5M2, expected torch.float32"),
        ("embed.weight", torch.zeros(5, 12, dtype=torch.bool), "has type BOOL, expected torch.float32"),
        ("embed.weight", math.nan, "tensor 'embed.weight' has values that are not finite"),
        ("embed.bias", -math.inf, "tensor 'embed.bias' has values that are not finite"),
        ("blocks.1.mlp.act_1.centres", math.inf, "'blocks.1.mlp.act_1.centres' has values that are not finite"),
        ("norm.running_var", -1e-9, "tensor 'norm.running_var' has negative variances"),
        ("norm.running_var", math.nan, "tensor 'norm.running_var' has values that are not finite"),
        ("norm.num_batches_tracked", torch.tensor([1]), "has shape (1,), expected ()"),
    ],
)  # fmt: skip
def test_wrong_tensors_of_a_float_network(name: str, value: object, message: str, path: Path) -> None:
    """Tensors that are missing, left over, of another shape or type, or without a finite value are named."""
    content, tensors = contents(written(float_network(), path))
    assemble(path, content, changed(tensors, name, value))
    assert message in refused(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("log_steps", None, "tensor 'log_steps' is missing"),
        ("log_steps", torch.zeros(3), "has shape (3,)"),
        ("log_steps", 1e30, "tensor 'log_steps' leaves the range -48 to 48"),
        ("log_steps", -1e30, "tensor 'log_steps' leaves the range -48 to 48"),
        ("log_steps", -48.5, "tensor 'log_steps' leaves the range -48 to 48"),
        ("log_steps", math.nan, "tensor 'log_steps' has values that are not finite"),
        ("classifier.shift", 25, "tensor 'classifier.shift' has shift 25, expected at most 24"),
        ("classifier.shift", 255, "tensor 'classifier.shift' has shift 255, expected at most 24"),
        ("classifier.shift", torch.zeros(6, dtype=torch.int8), "has type I8, expected torch.uint8"),
        ("blocks.0.mlp.psa_1.table", None, "tensor 'blocks.0.mlp.psa_1.table' is missing"),
        ("blocks.0.mlp.psa_1.table", torch.zeros(5, 17), "has type F32, expected torch.int8"),
        ("blocks.0.mlp.psa_1.table", torch.zeros(5, 17, dtype=torch.uint8), "has type U8, expected torch.int8"),
        ("blocks.0.mlp.psa_1.affine.bias", math.nan, "not finite"),
        ("blocks.0.mlp.res_affine.weight", None, "is missing"),
    ],
)  # fmt: skip
def test_wrong_tensors_of_a_quantised_network(name: str, value: object, message: str, path: Path) -> None:
    """The same for steps, shifts and tables, and no shift or step may be out of range."""
    content, tensors = contents(written(quantised_network(), path))
    assemble(path, content, changed(tensors, name, value))
    assert message in refused(path)


def test_corners_that_are_allowed(path: Path) -> None:
    """The largest shift, the extreme steps and a variance of 0 are read, and the network computes numbers."""
    content, tensors = contents(written(quantised_network(), path))
    for name, value in (("classifier.shift", 24), ("log_steps", 48), ("embed.shift", 0)):
        tensors = changed(tensors, name, value)
    tensors["log_steps"][1::2] = -48
    assemble(path, content, tensors)
    network, _ = load_quantised(path)
    assert bool(torch.isfinite(network(torch.randn(2, 4, 12))).all())
    content, tensors = contents(written(float_network(), path))
    assemble(path, content, changed(tensors, "norm.running_var", 0))
    found, _ = load_float(path)
    assert bool(torch.isfinite(found(torch.randn(2, 4, 12))).all())


def test_no_code_is_run(path: Path) -> None:
    """A pickle under the file's name, as torch.save writes, is refused unread."""

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(path.parent / "ran"),))

    torch.save({"embed.weight": Evil()}, path)
    refused(path)
    assert not (path.parent / "ran").exists()
