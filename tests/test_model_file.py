"""The model file: what is written is what is read, and everything that can be wrong with a file is named."""

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

import fxsim
from fxsim.contract import TableRule
from fxsim.errors import FileError, FxsimError
from fxsim.formats import atomic_write, load, model_sha256, save
from fxsim.formats.metadata import HEADER_BYTES_MAX
from fxsim.formats.model_file import MODEL_BYTES_MAX
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Pool, Relu
from tests.strategies import models

Tensors = dict[str, np.ndarray[Any, Any]]


def small_model() -> Model:
    """One node of every kind, each of another size: 2 tokens of 3 values, 4 channels, 5 results."""
    rng = np.random.default_rng(7)

    def int8(*shape: int) -> np.ndarray[Any, Any]:
        return rng.integers(-128, 128, shape).astype(np.int8)

    def uint8(*shape: int) -> np.ndarray[Any, Any]:
        return rng.integers(0, 256, shape).astype(np.uint8)

    nodes = (
        Node("embed", Linear(int8(4, 3), int8(4), uint8(4)), (INPUT,)),
        Node("scale", Affine(int8(4), int8(4), uint8(4)), ("embed",)),
        Node("mix", Linear(int8(2, 2), int8(2), uint8(2), Axis.TOKENS, 20), ("scale",)),
        Node("curve", Lut(int8(4, 9), TableRule.ENDPOINT), ("mix",)),
        Node("sum", Add(), ("curve", "embed")),
        Node("relu", Relu(), ("sum",)),
        Node("pool", Pool(2), ("relu",)),
        Node("classifier", Linear(int8(5, 4), int8(5), uint8(5)), ("pool",)),
    )
    return Model(Graph((2, 3), nodes), "small", {"source": "a test", "trained": "no"})


def parts(path: Path) -> tuple[dict[str, Any], Tensors]:
    """Metadata and tensors of a model file, read without fxsim."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    return json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["fxsim"]), safetensors.numpy.load(data)


def put(path: Path, metadata: Any, tensors: Tensors) -> None:
    """A model file of these parts, right or wrong."""
    path.write_bytes(safetensors.numpy.save(tensors, {"fxsim": json.dumps(metadata)}))


# --- what is written is what is read ---


@pytest.mark.slow
@given(model=models())
def test_models_are_read_as_they_were_written(model: Model) -> None:
    """Graph, rules, widths, name and provenance of any model survive, and the same model gives the same bytes."""
    with TemporaryDirectory() as folder:
        first, second = Path(folder) / "first", Path(folder) / "second"
        save(model, first)
        loaded = load(first)
        assert loaded == model
        assert model_sha256(loaded) == model_sha256(model)
        save(loaded, second)
        assert second.read_bytes() == first.read_bytes()


def test_file_is_plain_safetensors(tmp_path: Path) -> None:
    """Any safetensors reader finds `{node}.{field}` tensors of int8 and uint8, and the graph as JSON."""
    model = small_model()
    save(model, tmp_path / "m")
    metadata, tensors = parts(tmp_path / "m")
    assert {name: str(t.dtype) for name, t in tensors.items()} == {
        f"{node}.{field}": "uint8" if field == "shift" else "int8"
        for node, fields in {
            "embed": ("weight", "bias", "shift"),
            "scale": ("weight", "bias", "shift"),
            "mix": ("weight", "bias", "shift"),
            "curve": ("table",),
            "classifier": ("weight", "bias", "shift"),
        }.items()
        for field in fields
    }
    assert np.array_equal(tensors["mix.weight"], model.graph.by_name["mix"].op.weight)  # type: ignore[union-attr]
    assert metadata["format"] == "fxsim.model"
    assert metadata["fxsim_version"] == fxsim.__version__
    assert metadata["graph"]["input_shape"] == [2, 3]
    assert metadata["graph"]["nodes"][2] == {
        "kind": "linear", "name": "mix", "inputs": ["scale"], "over": "tokens", "acc_bits": 20,
    }  # fmt: skip
    assert metadata["graph"]["nodes"][3] == {
        "kind": "lut", "name": "curve", "inputs": ["mix"], "rule": "endpoint", "points": 8,
    }  # fmt: skip


def test_bytes_do_not_depend_on_the_process(tmp_path: Path) -> None:
    """Another process, with other hash seeds, writes the same file."""
    path = tmp_path / "m"
    save(small_model(), path)
    code = "import sys, fxsim; fxsim.save(fxsim.load(sys.argv[1]), sys.argv[2])"
    for seed in ("1", "2"):
        again = tmp_path / seed
        env = os.environ | {"PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", code, str(path), str(again)], check=True, env=env)
        assert again.read_bytes() == path.read_bytes()


def test_hash_is_of_what_is_computed(tmp_path: Path) -> None:
    """Place, name and provenance do not change the hash; a bit of any tensor, a rule, a width or an edge does."""
    model = small_model()
    reference = model_sha256(model)
    save(Model(model.graph, "another", {"source": "elsewhere"}), tmp_path / "elsewhere")
    assert model_sha256(load(tmp_path / "elsewhere")) == reference

    save(model, tmp_path / "m")
    metadata, tensors = parts(tmp_path / "m")
    # A file of version 1 states no hash of its own.
    assert metadata.pop("sha256") == reference
    metadata["version"] = 1
    hashes = {reference}
    for name in tensors:
        changed = {n: t.copy() for n, t in tensors.items()}
        changed[name].flat[-1] ^= 1
        put(tmp_path / "m", metadata, changed)
        hashes.add(model_sha256(load(tmp_path / "m")))
    for node, field, value in [(3, "name", "bend"), (0, "acc_bits", 19), (4, "inputs", ["embed", "curve"])]:
        text = json.dumps(metadata)
        edited = json.loads(text)
        edited["graph"]["nodes"][node][field] = value
        renamed = tensors
        if field == "name":
            edited["graph"]["nodes"][4]["inputs"] = ["bend", "embed"]
            renamed = {n.replace("curve", "bend"): t for n, t in tensors.items()}
        put(tmp_path / "m", edited, renamed)
        hashes.add(model_sha256(load(tmp_path / "m")))
    assert len(hashes) == 1 + len(tensors) + 3


def test_hash_tells_rules_of_one_table_apart() -> None:
    """The same table under `clamp` and under `hold` is another network."""
    table = np.arange(8, dtype=np.int8)[None]
    first, second = (
        Model(Graph((1, 1), (Node("lut", Lut(table, rule), (INPUT,)),)), "m")
        for rule in (TableRule.CLAMP, TableRule.HOLD)
    )
    assert model_sha256(first) != model_sha256(second)


# --- what is wrong is named ---


def at(*path: str | int, value: Any) -> Callable[[dict[str, Any], Tensors], None]:
    """Sets one place in the metadata."""

    def change(metadata: dict[str, Any], tensors: Tensors) -> None:  # noqa: ARG001
        place: Any = metadata
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


def without(*path: str | int) -> Callable[[dict[str, Any], Tensors], None]:
    """Removes one place from the metadata."""

    def change(metadata: dict[str, Any], tensors: Tensors) -> None:  # noqa: ARG001
        place: Any = metadata
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]

    return change


def tensor(name: str, value: np.ndarray[Any, Any] | None) -> Callable[[dict[str, Any], Tensors], None]:
    """Sets one tensor, or removes it."""

    def change(metadata: dict[str, Any], tensors: Tensors) -> None:  # noqa: ARG001
        tensors.pop(name, None)
        if value is not None:
            tensors[name] = value

    return change


INT8 = np.int8
WRONG: dict[str, tuple[Callable[[dict[str, Any], Tensors], None], list[str]]] = {
    "another format": (at("format", value="onnx"), ["format 'onnx'", "expected 'fxsim.model'"]),
    "newer version": (at("version", value=3), ["version 3", "reads 1 and 2"]),
    "newer version with unknown fields": (at("version", value=4), ["version 4", "reads 1 and 2"]),
    "version of another type": (at("version", value="1"), ["Expected `int`, got `str`", "$.version"]),
    "no version": (without("version"), ["missing required field `version`"]),
    "no name": (without("name"), ["missing required field `name`"]),
    "unknown field": (at("comment", value=1), ["unknown field `comment`"]),
    "unknown field of a node": (
        at("graph", "nodes", 0, "stride", value=1),
        ["unknown field `stride`", "$.graph.nodes[0]"],
    ),
    "unknown kind": (at("graph", "nodes", 1, "kind", value="lstm"), ["Invalid value 'lstm'", "$.graph.nodes[1].kind"]),
    "unknown axis": (
        at("graph", "nodes", 0, "over", value="rows"),
        ["Invalid enum value 'rows'", "$.graph.nodes[0].over"],
    ),
    "unknown rule": (
        at("graph", "nodes", 3, "rule", value="wrap"),
        ["Invalid enum value 'wrap'", "$.graph.nodes[3].rule"],
    ),
    "width of nothing": (at("graph", "nodes", 0, "acc_bits", value=1), ["node 'embed'", "is 1 bits, expected 2 to 62"]),
    "width beyond what is supported": (
        at("graph", "nodes", 0, "acc_bits", value=64),
        ["node 'embed'", "is 64 bits, expected 2 to 62"],
    ),
    "huge number": (at("graph", "nodes", 6, "tokens", value=10**40), ["$.graph.nodes[6].tokens"]),
    "number for a name": (at("graph", "nodes", 0, "name", value=3), ["Expected `str`", "$.graph.nodes[0].name"]),
    "provenance of another type": (at("provenance", value={"a": 1}), ["Expected `str`", "$.provenance"]),
    "nodes of another type": (at("graph", "nodes", value={}), ["Expected `array`", "$.graph.nodes"]),
    "no nodes": (at("graph", "nodes", value=[]), ["belongs to no node"]),
    "input of one dimension": (
        at("graph", "input_shape", value=[3]),
        ["the axes ('token', 'channel') and the shape (3,)"],
    ),
    "input of no tokens": (at("graph", "input_shape", 0, value=0), [">= 1", "$.graph.input_shape"]),
    "overflow": (
        at("graph", "nodes", 0, "acc_bits", value=12),
        ["node 'embed', output channel ", "the accumulator can reach [", "but 12 are stated"],
    ),
    "input that is not there": (
        at("graph", "nodes", 2, "inputs", value=["scales"]),
        ["node 'mix' reads 'scales'", "no earlier node"],
    ),
    "input that comes later": (at("graph", "nodes", 1, "inputs", value=["sum"]), ["node 'scale' reads 'sum'"]),
    "too many inputs": (
        at("graph", "nodes", 4, "inputs", value=["curve", "embed", "mix"]),
        ["node 'sum' has 3 inputs"],
    ),
    "name taken twice": (at("graph", "nodes", 5, "name", value="sum"), ["'sum' is taken twice"]),
    "illegal name": (at("graph", "nodes", 5, "name", value="../relu"), ["'../relu' is illegal"]),
    "input shape that does not fit": (at("graph", "input_shape", 1, value=4), ["node 'embed'", "(2, 4)"]),
    "pool over other tokens": (at("graph", "nodes", 6, "tokens", value=4), ["node 'pool'", "4 tokens"]),
    "pool over three tokens": (at("graph", "nodes", 6, "tokens", value=3), ["3 tokens", "power of two"]),
    "points that are not stored": (
        at("graph", "nodes", 3, "points", value=16),
        ["node 'curve': states 16 points, its tensors have 8"],
    ),
    "points of no table": (
        at("graph", "nodes", 3, "points", value=257),
        ["node 'curve': states 257 points, its tensors have 8"],
    ),
    "tensor missing": (tensor("mix.bias", None), ["tensor 'mix.bias' is missing", "node 'mix'"]),
    "tensor left over": (tensor("mix.scale", np.zeros(2, INT8)), ["tensor 'mix.scale' belongs to no node"]),
    "tensor of another type": (
        tensor("mix.bias", np.zeros(2, np.int32)),
        ["node 'mix': linear bias has type int32, expected int8"],
    ),
    "tensor of floats": (
        tensor("mix.weight", np.zeros((2, 2), np.float32)),
        ["'mix.weight' has type F32, expected one of I8, "],
    ),
    "signed shift": (
        tensor("mix.shift", np.zeros(2, INT8)),
        ["node 'mix': linear shift has type int8, expected uint8"],
    ),
    "unsigned weight": (
        tensor("mix.weight", np.zeros((2, 2), np.uint8)),
        ["node 'mix': linear weight has type uint8, expected int8"],
    ),
    "short bias": (tensor("mix.bias", np.zeros(1, INT8)), ["node 'mix': linear bias has shape (1,), expected (2,)"]),
    "flat weight": (
        tensor("mix.weight", np.zeros(4, INT8)),
        ["node 'mix': linear weight has shape (4,), expected 2 non-empty"],
    ),
    "empty weight": (
        tensor("mix.weight", np.zeros((2, 0), INT8)),
        ["node 'mix': linear weight has shape (2, 0), expected 2 non-empty"],
    ),
    "square affine": (
        tensor("scale.weight", np.zeros((4, 4), INT8)),
        ["node 'scale': affine weight has shape (4, 4), expected 1 non-empty"],
    ),
    "scalar": (
        tensor("scale.bias", np.zeros((), INT8)),
        ["node 'scale': affine bias has shape (), expected 1 non-empty"],
    ),
    "table of other points": (
        tensor("curve.table", np.zeros((4, 8), INT8)),
        ["node 'curve'", "stores 8 points a channel, expected 5 or 9"],
    ),
    "table of other channels": (tensor("curve.table", np.zeros((3, 9), INT8)), ["node 'curve'", "3 channels"]),
    "classifier of other channels": (
        tensor("classifier.weight", np.zeros((5, 3), INT8)),
        ["node 'classifier'", "3 channels"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_content_is_named(case: str, tmp_path: Path) -> None:
    """One line names the file, the tensor, node or place in the metadata, and what was expected."""
    change, expected = WRONG[case]
    path = tmp_path / "m.safetensors"
    save(small_model(), path)
    metadata, tensors = parts(path)
    tensors = dict(tensors)
    change(metadata, tensors)
    put(path, metadata, tensors)
    with pytest.raises(FileError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    for part in [str(path), *expected]:
        assert part in message


def test_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    """One bit of any tensor, or one number of the graph, is told from what was written; version 1 states no hash."""
    path = tmp_path / "m"
    save(small_model(), path)
    metadata, tensors = parts(path)
    for name in tensors:
        changed = {n: t.copy() for n, t in tensors.items()}
        changed[name].flat[0] ^= 1
        put(path, metadata, changed)
        with pytest.raises(FileError, match=r"is damaged: graph and tensors have the hash [0-9a-f]{64}, it states"):
            load(path)
    wider = json.loads(json.dumps(metadata))
    wider["graph"]["nodes"][0]["acc_bits"] += 1
    put(path, wider, tensors)
    with pytest.raises(FileError, match="is damaged"):
        load(path)
    for broken in ("", "0" * 63, "G" * 64, None):
        put(path, metadata | {"sha256": broken}, tensors)
        with pytest.raises(FileError, match="sha256"):
            load(path)
    put(path, {k: v for k, v in metadata.items() if k != "sha256"}, tensors)
    with pytest.raises(FileError, match="missing required field `sha256`"):
        load(path)
    put(path, {k: v for k, v in metadata.items() if k != "sha256"} | {"version": 1}, tensors)
    assert load(path) == small_model()


def test_a_file_of_format_1_is_still_read(tmp_path: Path) -> None:
    """A file that an earlier fxsim wrote gives the model that it gave, and is written again in format 2."""
    old = Path(__file__).parent / "files" / "format_1.safetensors"
    metadata, _ = parts(old)
    assert metadata["version"] == 1
    model = load(old)
    # As the manifest of golden/ stated it for this file.
    assert model_sha256(model) == "388179e0a053ca4e9481ddcd3e5c88882e8f18bffaee8ddb83318050596bab62"
    save(model, tmp_path / "m")
    again, _ = parts(tmp_path / "m")
    assert again["version"] == 2
    assert again["sha256"] == model_sha256(model)
    assert again["graph"] == metadata["graph"]
    assert load(tmp_path / "m") == model


def test_metadata_that_is_not_fxsims_is_refused(tmp_path: Path) -> None:
    """A safetensors file without metadata, with someone else's, with more than ours, or with text that is no JSON."""
    path = tmp_path / "m"
    tensors = {"weight": np.zeros(3, np.int8)}
    for metadata, message in [
        (None, "has no 'fxsim' in its metadata"),
        ({"format": "pt"}, "has no 'fxsim' in its metadata"),
        ({"fxsim": "{}", "other": "x"}, "has 2 metadata entries, expected 'fxsim' alone"),
        ({"fxsim": "{"}, "metadata 'fxsim': Input data was truncated"),
        ({"fxsim": "[" * 100_000}, "metadata 'fxsim': "),
        ({"fxsim": '{"x":' * 100_000}, "metadata 'fxsim': "),
        ({"fxsim": "null"}, "metadata 'fxsim': Expected `object`, got `null`"),
    ]:
        path.write_bytes(safetensors.numpy.save(tensors, metadata))
        with pytest.raises(FileError, match=message):
            load(path)


def header(text: bytes, size: int | None = None) -> bytes:
    """The beginning of a safetensors file: the length of its header, as stated, and the header."""
    return struct.pack("<Q", len(text) if size is None else size) + text


NOT_SAFETENSORS = {
    "empty": b"",
    "short": b"\x08\0\0",
    "text": b"const ap_int<8> a[1] = {1};\n" * 100,
    "zip": b"PK\x03\x04" + bytes(200),
    "header beyond the file": header(b"{}", 1000),
    "header of 2^63 bytes": header(b"{}", 1 << 63),
    "header of 90 MB": header(b"{}", 90_000_000),
    "header that is no JSON": header(b"{not json"),
    "header that is no object": header(b"[1, 2]"),
    "offsets beyond the file": header(b'{"a":{"dtype":"I8","shape":[9],"data_offsets":[0,9]}}') + b"\0",
    "offsets that do not fit the shape": header(b'{"a":{"dtype":"I8","shape":[9],"data_offsets":[0,1]}}') + b"\0",
    "shape that overflows": header(b'{"a":{"dtype":"I8","shape":[4294967296,4294967296,2],"data_offsets":[0,1]}}')
    + b"\0",
    "negative shape": header(b'{"a":{"dtype":"I8","shape":[-1],"data_offsets":[0,1]}}') + b"\0",
    "data after the last tensor": header(b'{"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}') + b"\0\0",
    "data before the first tensor": header(b'{"a":{"dtype":"I8","shape":[1],"data_offsets":[1,2]}}') + b"\0\0",
    "unknown type": header(b'{"a":{"dtype":"I7","shape":[1],"data_offsets":[0,1]}}') + b"\0",
}


@pytest.mark.parametrize("case", NOT_SAFETENSORS)
def test_files_that_are_no_safetensors_are_refused(case: str, tmp_path: Path) -> None:
    """Anything else, and any header that lies about its size or its tensors, is one FileError."""
    path = tmp_path / "m"
    path.write_bytes(NOT_SAFETENSORS[case])
    with pytest.raises(FileError, match="is not a whole safetensors file") as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


REPEATED: dict[str, tuple[bytes, str, str]] = {
    "tensor": (b'"embed.bias":', '"embed.bias":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},', "'embed.bias'"),
    "tensor as another escape": (
        b'"embed.bias":',
        '"embed.bia\\u0073":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},',
        "'embed.bias'",
    ),
    "metadata": (b'"__metadata__":', '"__metadata__":{"fxsim":"{}"},', "'__metadata__'"),
    "entry of metadata": (b'"fxsim":', '"fxsim":"{}",', "'fxsim'"),
    "type of a tensor": (b'"dtype":', '"dtype":"U8",', "'dtype'"),
    "key of the graph": (rb"\"input_shape\":", r"\"input_shape\":[1,1],", "'input_shape'"),
    "key of an operator": (rb"\"name\":\"embed\"", r"\"name\":\"other\",", "'name'"),
}
"""Text in a header, what is put before it, and the key that stands twice then."""


def repeat(path: Path, case: str) -> None:
    """Put a key before an equal one into a file's header, everything else as it was."""
    before, added, _ = REPEATED[case]
    data = path.read_bytes()
    length = 8 + struct.unpack_from("<Q", data)[0]
    text = data[8:length]
    assert before in text
    # Spaces, as safetensors pads with them.
    text = text.replace(before, added.encode() + before, 1)
    text += b" " * (-len(text) % 8)
    path.write_bytes(header(text) + data[length:])


@pytest.mark.parametrize("case", REPEATED)
def test_a_key_that_stands_twice_is_refused(case: str, tmp_path: Path) -> None:
    """Readers differ in which of two equal keys they take: none is, at whatever depth of either JSON."""
    path = tmp_path / "m"
    save(small_model(), path)
    repeat(path, case)
    with pytest.raises(
        FileError, match=rf"m: .*(key {REPEATED[case][2]} stands twice in one object|duplicate field)"
    ) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_known_file_with_a_key_twice_is_refused(cases: Path) -> None:
    """A file that loaded once, as its second key says."""
    with pytest.raises(FileError, match=r"dupkey\.safetensors: header: key '.*' stands twice"):
        load(cases / "files" / "dupkey.safetensors")


def test_a_header_beyond_its_bound_is_refused(tmp_path: Path) -> None:
    """A header of many megabytes is refused before it is read."""
    path = tmp_path / "m"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", HEADER_BYTES_MAX + 1))
        file.truncate(HEADER_BYTES_MAX + 100)
    with pytest.raises(FileError, match="header has 16,777,217 bytes, expected at most 16,777,216"):
        load(path)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    """A file cut anywhere is refused: no length but the whole is accepted."""
    path = tmp_path / "m"
    save(small_model(), path)
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(FileError):
            load(path)


@pytest.mark.slow
@settings(max_examples=300)
@given(data=st.data())
def test_damaged_files_never_surprise(data: st.DataObject) -> None:
    """Changed bytes give a FileError, or a model that is whole: it can be written and read again as it is."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m"
        save(small_model(), path)
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        try:
            model = load(path)
        except FileError:
            return
        save(model, path)
        assert load(path) == model


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, int]]:
        return os.mkdir, (str(self.path), 0o700)


def test_pickles_are_refused_unread(tmp_path: Path) -> None:
    """A pickle under a model's name is refused, and nothing in it runs."""
    path, trap = tmp_path / "m", tmp_path / "trap"
    path.write_bytes(pickle.dumps(Payload(trap)))
    with pytest.raises(FileError):
        load(path)
    assert not trap.exists()
    pickle.loads(path.read_bytes())  # noqa: S301  # the trap works
    assert trap.exists()


def test_paths_that_are_no_files_are_refused(tmp_path: Path) -> None:
    """Absent files, folders, devices, and files beyond the bound."""
    with pytest.raises(FileError, match="absent: there is no such file"):
        load(tmp_path / "absent")
    with pytest.raises(FileError, match="is not a regular file"):
        load(tmp_path)
    with pytest.raises(FileError, match="is not a regular file"):
        load("/dev/zero")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MODEL_BYTES_MAX + 1)
    with pytest.raises(FileError, match=r"1,073,741,825 bytes, expected at most 1,073,741,824"):
        load(tmp_path / "large")


# --- writing ---


def test_failed_writes_leave_what_was_there(tmp_path: Path) -> None:
    """An error while writing removes the new file and keeps the old one; a success replaces it."""
    path = tmp_path / "file"
    path.write_text("old")

    def fail_half_way() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise KeyError("half way")

    with pytest.raises(KeyError):
        fail_half_way()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("file", "old")]
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("file", "new")]


def test_written_files_have_the_users_permissions(tmp_path: Path) -> None:
    """A new file is as open as the user's umask says, like any other program's."""
    save(small_model(), tmp_path / "m")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "m").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_targets_that_cannot_be_files_are_refused(tmp_path: Path) -> None:
    """A folder and a missing parent are named, and nothing is replaced or left behind."""
    model = small_model()
    for path, message in [
        (tmp_path, "exists and is not a regular file"),
        (tmp_path / "absent" / "m", "there is no folder"),
    ]:
        with pytest.raises(FileError, match=message):
            save(model, path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "acc_bits", "message"),
    [
        (5, 20, "Expected `str`, got `int`"),
        ("n" * 9, 20.5, "Expected `int`, got `float`"),
        ("n", 1, "width is 1 bits"),
        ("n", np.int64(20), "neither text nor a number: .*int64"),
    ],
)
def test_models_that_could_not_be_read_again_are_not_written(
    name: Any, acc_bits: Any, message: str, tmp_path: Path
) -> None:
    """A model that was tampered with past its checks is refused as it is saved, and the old file stays."""
    model = small_model()
    path = tmp_path / "m"
    save(model, path)
    before = path.read_bytes()
    object.__setattr__(model, "name", name)
    object.__setattr__(model.graph.by_name["mix"].op, "acc_bits", acc_bits)
    with pytest.raises(FileError, match=rf"cannot write .*/m: .*{message}"):
        save(model, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_saving_needs_no_installed_distribution(tmp_path: Path) -> None:
    """A package that is only on the path, without a distribution's metadata, saves under its own version."""
    shutil.copytree(Path(fxsim.__file__).parent, tmp_path / "fxsim", ignore=shutil.ignore_patterns("__pycache__"))
    save(small_model(), tmp_path / "m")
    script = (
        "import importlib.metadata\n"
        "def nothing(name): raise importlib.metadata.PackageNotFoundError(name)\n"
        "importlib.metadata.version = nothing\n"
        "import fxsim; fxsim.save(fxsim.load('m'), 'again')\n"
    )
    version = tmp_path / "fxsim" / "version.py"
    version.write_text(version.read_text().replace(fxsim.__version__, "9.8.7"))
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert parts(tmp_path / "again")[0]["fxsim_version"] == "9.8.7"


def test_text_that_is_not_unicode_is_refused(tmp_path: Path) -> None:
    """A name with lone surrogates cannot be written, and says so."""
    with pytest.raises(FxsimError, match="not valid Unicode"):
        save(Model(small_model().graph, "\udcff"), tmp_path / "m")
    assert list(tmp_path.iterdir()) == []
