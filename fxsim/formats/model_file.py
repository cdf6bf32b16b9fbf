"""The model file: one safetensors file, the graph and its rules as JSON in the metadata.

Tensors are named `{node}.{field}` and are int8 (`weight`, `bias`, `table`) or uint8 (`shift`). The metadata has one
entry, `fxsim`, whose JSON follows the records below. Nothing in the file is executable, and nothing is believed that
was not checked.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialise

from fxsim.contract import TableRule, stored_points
from fxsim.errors import FileError, ModelError
from fxsim.formats.atomic import atomic_write
from fxsim.formats.metadata import KEY, MODEL, decode_metadata, short
from fxsim.graph import Graph, Model, Node
from fxsim.graph.graph import DIMENSION_MAX
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Operator, Pool, Relu
from fxsim.operators.kinds import ACC_BITS_MAX
from fxsim.version import __version__

VERSION = 1
MODEL_BYTES_MAX = 1 << 30
"""Largest model file that is read, in bytes."""

_DTYPES = {"weight": np.int8, "bias": np.int8, "table": np.int8, "shift": np.uint8}
_SAFETENSORS_DTYPE = {"weight": "I8", "bias": "I8", "table": "I8", "shift": "U8"}

_Name = Annotated[str, Meta(min_length=1, max_length=200)]
_Dimension = Annotated[int, Meta(ge=1, le=DIMENSION_MAX)]
_AccBits = Annotated[int, Meta(ge=2, le=ACC_BITS_MAX)]

Arrays = Mapping[str, npt.NDArray[Any]]


class _Record(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """One node without its tensors. `fields` names the tensors it has."""

    name: _Name
    inputs: tuple[_Name, ...]


class _Linear(_Record, frozen=True, tag="linear"):
    over: Axis
    acc_bits: _AccBits

    fields: ClassVar[tuple[str, ...]] = ("weight", "bias", "shift")

    def operator(self, tensors: Arrays) -> Operator:
        return Linear(tensors["weight"], tensors["bias"], tensors["shift"], self.over, self.acc_bits)


class _Affine(_Record, frozen=True, tag="affine"):
    acc_bits: _AccBits

    fields: ClassVar[tuple[str, ...]] = ("weight", "bias", "shift")

    def operator(self, tensors: Arrays) -> Operator:
        return Affine(tensors["weight"], tensors["bias"], tensors["shift"], self.acc_bits)


class _Relu(_Record, frozen=True, tag="relu"):
    fields: ClassVar[tuple[str, ...]] = ()

    def operator(self, tensors: Arrays) -> Operator:  # noqa: ARG002  # one signature for all records
        return Relu()


class _Lut(_Record, frozen=True, tag="lut"):
    rule: TableRule
    points: Annotated[int, Meta(ge=4, le=256)]

    fields: ClassVar[tuple[str, ...]] = ("table",)

    def operator(self, tensors: Arrays) -> Operator:
        return Lut(tensors["table"], self.rule)


class _Add(_Record, frozen=True, tag="add"):
    acc_bits: _AccBits

    fields: ClassVar[tuple[str, ...]] = ()

    def operator(self, tensors: Arrays) -> Operator:  # noqa: ARG002  # one signature for all records
        return Add(self.acc_bits)


class _Pool(_Record, frozen=True, tag="pool"):
    tokens: _Dimension
    acc_bits: _AccBits

    fields: ClassVar[tuple[str, ...]] = ()

    def operator(self, tensors: Arrays) -> Operator:  # noqa: ARG002  # one signature for all records
        return Pool(self.tokens, self.acc_bits)


_AnyRecord = _Linear | _Affine | _Relu | _Lut | _Add | _Pool


class _Graph(Struct, frozen=True, forbid_unknown_fields=True):
    input_shape: tuple[_Dimension, _Dimension]
    nodes: tuple[_AnyRecord, ...]


class _Metadata(Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    version: int
    fxsim_version: str
    name: str
    provenance: dict[str, str]
    graph: _Graph


def load(path: str | os.PathLike[str]) -> Model:
    """Read a model file and check all of it.

    FileError names the file, the tensor or node, and what was expected: not a safetensors file, damaged, of an unknown
    version, tensors missing, left over, or of the wrong type or shape, or a graph that may not exist.
    """
    path = Path(path)
    if not path.is_file():
        raise FileError(f"{path}: {'is not a regular file' if path.exists() else 'there is no such file'}")
    return _read(path, str(path))


def _read(path: Path, where: str) -> Model:
    """The model in a file; `where` begins every message."""
    try:
        if path.stat().st_size > MODEL_BYTES_MAX:
            raise FileError(f"{where}: has {path.stat().st_size:,} bytes, expected at most {MODEL_BYTES_MAX:,}")
        with safe_open(path, framework="numpy") as file:
            content = decode_metadata(where, file.metadata(), _Metadata, MODEL, VERSION)
            tensors = _read_tensors(where, file, content.graph)
    except SafetensorError as error:
        raise FileError(f"{where}: is not a whole safetensors file: {error}") from None
    except OSError as error:
        raise FileError(f"{where}: cannot be read: {error.strerror or error}") from None
    try:
        nodes = [
            Node(record.name, record.operator({f: tensors[f"{record.name}.{f}"] for f in record.fields}), record.inputs)
            for record in content.graph.nodes
        ]
        return Model(Graph(content.graph.input_shape, tuple(nodes)), content.name, content.provenance)
    except ModelError as error:
        raise FileError(f"{where}: {error}") from None


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a model file, whole or not at all; the same model gives the same bytes. FileError where it cannot be.

    The file is read again before it takes its name: what `load` would refuse is never left behind.
    """
    content = _Metadata(MODEL, VERSION, __version__, model.name, dict(model.provenance), _graph_record(model.graph))
    try:
        # One entry: the order of several would not be the same from run to run.
        text = msgspec.json.encode(content, order="deterministic").decode()
    except UnicodeEncodeError:
        raise FileError(f"cannot write {path}: the model's name or provenance is not valid Unicode") from None
    except TypeError as error:
        raise FileError(f"cannot write {path}: the model holds what is neither text nor a number: {error}") from None
    data = serialise(_tensors(model.graph), {KEY: text})
    with atomic_write(path) as file:
        file.write_bytes(data)
        _read(file, f"cannot write {path}")


def model_sha256(model: Model) -> str:
    """Hash of what the model computes: its graph, rules, widths and tensors, in hexadecimal.

    Name, provenance and the version of fxsim do not count, nor does the file's place: the same network has one hash.
    """
    digest = hashlib.sha256(msgspec.json.encode(_graph_record(model.graph), order="deterministic"))
    for name, tensor in sorted(_tensors(model.graph).items()):
        # Shapes are stated, so that no two models give the same stream of bytes.
        digest.update(f"\0{name} {tensor.dtype} {tensor.shape}\0".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _read_tensors(where: str, file: Any, graph: _Graph) -> dict[str, npt.NDArray[Any]]:
    present = set(file.keys())
    expected = {f"{node.name}.{field}" for node in graph.nodes for field in node.fields}
    for name in sorted(present - expected):
        raise FileError(f"{where}: tensor '{short(name)}' belongs to no node of the graph")
    tensors: dict[str, npt.NDArray[Any]] = {}
    for node in graph.nodes:
        for field in node.fields:
            name = f"{node.name}.{field}"
            if name not in present:
                raise FileError(f"{where}: tensor '{name}' is missing, expected for node '{node.name}'")
            found = file.get_slice(name)
            if found.get_dtype() != _SAFETENSORS_DTYPE[field]:
                wanted = np.dtype(_DTYPES[field]).name
                raise FileError(f"{where}: tensor '{name}' has type {found.get_dtype()}, expected {wanted}")
            _check_shape(where, name, tuple(found.get_shape()), _expected_shape(node, field, tensors))
            tensors[name] = file.get_tensor(name)
    return tensors


def _expected_shape(node: _AnyRecord, field: str, tensors: Arrays) -> tuple[int | None, ...]:
    """The shape a tensor must have; None where its node leaves a dimension open."""
    if isinstance(node, _Lut):
        return (None, stored_points(node.points, node.rule))
    if field == "weight":
        return (None, None) if isinstance(node, _Linear) else (None,)
    return (tensors[f"{node.name}.weight"].shape[0],)


def _check_shape(where: str, name: str, shape: tuple[int, ...], expected: tuple[int | None, ...]) -> None:
    fits = len(shape) == len(expected) and all(
        1 <= n <= DIMENSION_MAX if want is None else n == want for n, want in zip(shape, expected, strict=True)
    )
    if not fits:
        text = ", ".join(f"1 to {DIMENSION_MAX}" if want is None else str(want) for want in expected)
        raise FileError(f"{where}: tensor '{name}' has shape {shape}, expected ({text})")


def _graph_record(graph: Graph) -> _Graph:
    return _Graph(graph.input_shape, tuple(_record(node) for node in graph.nodes))


def _record(node: Node) -> _AnyRecord:
    op = node.op
    if isinstance(op, Linear):
        return _Linear(node.name, node.inputs, op.over, op.acc_bits)
    if isinstance(op, Affine):
        return _Affine(node.name, node.inputs, op.acc_bits)
    if isinstance(op, Lut):
        return _Lut(node.name, node.inputs, op.rule, op.points)
    if isinstance(op, Add):
        return _Add(node.name, node.inputs, op.acc_bits)
    if isinstance(op, Pool):
        return _Pool(node.name, node.inputs, op.tokens, op.acc_bits)
    return _Relu(node.name, node.inputs)


def _tensors(graph: Graph) -> dict[str, npt.NDArray[Any]]:
    return {f"{node.name}.{field}": getattr(node.op, field) for node in graph.nodes for field in _record(node).fields}
