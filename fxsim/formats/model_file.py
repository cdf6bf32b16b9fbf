"""The model file: one safetensors file, the graph and its rules as JSON in the metadata.

Tensors are named `{node}.{field}`, in the numpy types of their number formats: int8 or wider for `weight`, `bias` and
`table`, uint8 for `shift`. The metadata has one entry, `fxsim`, whose JSON follows the records below; a node's record
holds what its operator states as `attributes`, number formats that are int8 left out; and, where its operator is an
earlier node's, that node as `shares`, whose tensors are then its own and stored once. Version 2 holds a hash of graph
and tensors; version 1, which is still read, did not, and knew int8 alone. Nothing in the file is executable, and
nothing is believed that was not checked.
"""

import functools
import hashlib
import operator
import os
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import msgspec
import numpy.typing as npt
from msgspec import Meta, Struct
from safetensors.numpy import save as serialise

from fxsim.contract import CHANNEL, DIMENSION_MAX, INT8, TOKEN, Number, Tensor
from fxsim.errors import FileError, ModelError
from fxsim.formats.atomic import atomic_write
from fxsim.formats.metadata import KEY, MODEL, decode_metadata, open_tensors
from fxsim.formats.text import short
from fxsim.graph import Graph, Model, Node
from fxsim.operators import OPERATORS, Operator
from fxsim.version import __version__

VERSION = 2
MODEL_BYTES_MAX = 1 << 30
"""Largest model file that is read, in bytes."""

_AXES = (TOKEN, CHANNEL)
"""Axes of an input that states none."""

_TENSOR_TYPES = ("I8", "U8", "I16", "U16", "I32", "U32")
"""Types of tensors that are read, as safetensors calls them."""

_Name = Annotated[str, Meta(min_length=1, max_length=200)]
_Dimension = Annotated[int, Meta(ge=1, le=DIMENSION_MAX)]
_Count = Annotated[int, Meta(ge=1, le=2**32 - 1)]
_Number = Annotated[str, Meta(pattern="^(u?int[1-9][0-9]?|bipolar)$")]
_Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class _Record(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind"):
    """One node without its tensors; a struct for each operator is made from the operator's own `attributes`."""

    name: _Name
    inputs: tuple[_Name, ...]


def _attribute_type(kind: type[Operator], name: str) -> Any:
    """The type of an operator's attribute, or of what its property gives."""
    member = getattr(kind, name, None)
    hints = get_type_hints(member.fget) if isinstance(member, property) else {"return": get_type_hints(kind)[name]}
    return hints["return"]


def _record_type(kind: type[Operator]) -> type[_Record]:
    fields: list[Any] = []
    for name in kind.attributes:
        stated = _attribute_type(kind, name)
        if stated is Number:
            fields.append((name, _Number | None, None))
        else:
            fields.append((name, _Count if stated is int else stated))
    fields.append(("shares", _Name | None, None))
    return msgspec.defstruct(  # type: ignore[return-value]  # of its base's type
        f"_{kind.__name__}", fields, bases=(_Record,), frozen=True, forbid_unknown_fields=True, omit_defaults=True,
        tag_field="kind", tag=kind.kind,
    )  # fmt: skip


_RECORDS = {kind: _record_type(kind) for kind in OPERATORS.values()}
_KINDS = {record: kind for kind, record in _RECORDS.items()}
_AnyRecord: Any = functools.reduce(operator.or_, _RECORDS.values())


class _Graph(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A graph; what is said of its input beyond the shape is left out where it is int8 [token, channel]."""

    input_shape: tuple[_Dimension, ...]
    input_axes: Annotated[tuple[_Name, ...], Meta(min_length=1, max_length=8)] | None = None
    input_number: _Number | None = None
    nodes: tuple[_AnyRecord, ...]


class _Metadata1(Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    version: int
    fxsim_version: str
    name: str
    provenance: dict[str, str]
    graph: _Graph


class _Metadata(_Metadata1, frozen=True, forbid_unknown_fields=True, kw_only=True):
    sha256: _Sha256


_VERSIONS: dict[int, type[_Metadata1]] = {1: _Metadata1, VERSION: _Metadata}


def load(path: str | os.PathLike[str]) -> Model:
    """Read a model file and check all of it.

    FileError names the file, the tensor or node, and what was expected: not a safetensors file, damaged, of an unknown
    version, tensors missing, left over, or of the wrong type or shape, a graph that may not exist, or graph and tensors
    that are not those whose hash the file states.
    """
    path = Path(path)
    if not path.is_file():
        raise FileError(f"{path}: {'is not a regular file' if path.exists() else 'there is no such file'}")
    return _read(path, str(path))


def _read(path: Path, where: str) -> Model:
    """The model in a file; `where` begins every message."""
    with open_tensors(path, where, "numpy", MODEL_BYTES_MAX) as file:
        content: _Metadata1 = decode_metadata(where, file.metadata(), _VERSIONS, MODEL)
        tensors = _read_tensors(where, file, content.graph)
    if not isinstance(content, _Metadata) and _states_formats(content.graph):
        raise FileError(f"{where}: states number formats or axes, which version 1 has not")
    try:
        graph = content.graph
        tensor = Tensor(
            _AXES if graph.input_axes is None else graph.input_axes, graph.input_shape, _number(graph.input_number)
        )
        nodes: list[Node] = []
        for record in graph.nodes:
            nodes.append(_node(record, tensors) if record.shares is None else _sharing(record, nodes))
        model = Model(Graph(tensor, nodes), content.name, content.provenance)
    except ModelError as error:
        raise FileError(f"{where}: {error}") from None
    if isinstance(content, _Metadata) and (found := model_sha256(model)) != content.sha256:
        raise FileError(f"{where}: is damaged: graph and tensors have the hash {found}, it states {content.sha256}")
    return model


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a model file, whole or not at all; the same model gives the same bytes. FileError where it cannot be.

    The file is read again before it takes its name: what `load` would refuse is never left behind.
    """
    record, provenance = _graph_record(model.graph), dict(model.provenance)
    try:
        sha256 = model_sha256(model)
        content = _Metadata(MODEL, VERSION, __version__, model.name, provenance, record, sha256=sha256)
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

    Name, provenance and the version of fxsim do not count, nor does the file's place, nor which nodes share operators:
    the same network has one hash.
    """
    digest = hashlib.sha256(msgspec.json.encode(_graph_record(model.graph, shared=False), order="deterministic"))
    for name, tensor in sorted(_tensors(model.graph, shared=False).items()):
        # Shapes are stated, so that no two models give the same stream of bytes.
        digest.update(f"\0{name} {tensor.dtype} {tensor.shape}\0".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _read_tensors(where: str, file: Any, graph: _Graph) -> dict[str, npt.NDArray[Any]]:
    present = set(file.keys())
    own = [node for node in graph.nodes if node.shares is None]
    expected = {f"{node.name}.{field}": node.name for node in own for field in _KINDS[type(node)].tensors}
    for name in sorted(present - expected.keys()):
        raise FileError(f"{where}: tensor '{short(name)}' belongs to no node of the graph")
    tensors: dict[str, npt.NDArray[Any]] = {}
    for name, node in expected.items():
        if name not in present:
            raise FileError(f"{where}: tensor '{name}' is missing, expected for node '{node}'")
        found = file.get_slice(name).get_dtype()
        if found not in _TENSOR_TYPES:
            raise FileError(f"{where}: tensor '{name}' has type {found}, expected one of {', '.join(_TENSOR_TYPES)}")
        tensors[name] = file.get_tensor(name)
    return tensors


def _node(record: Any, tensors: dict[str, npt.NDArray[Any]]) -> Node:
    """A node from its record and tensors; ModelError names it where its operator may not exist."""
    kind = _KINDS[type(record)]
    stated = {
        name: _number(value) if _attribute_type(kind, name) is Number else value
        for name in kind.attributes
        for value in [getattr(record, name)]
    }
    derived = {name: stated.pop(name) for name in list(stated) if isinstance(getattr(kind, name, None), property)}
    arrays = {field: tensors[f"{record.name}.{field}"] for field in kind.tensors}
    try:
        op = kind(**arrays, **stated)
    except ModelError as error:
        raise ModelError(f"node '{record.name}': {error}") from None
    for name, value in derived.items():
        if getattr(op, name) != value:
            raise ModelError(f"node '{record.name}': states {value} {name}, its tensors have {getattr(op, name)}")
    return Node(record.name, op, record.inputs)


def _sharing(record: Any, nodes: list[Node]) -> Node:
    """A node with the operator of one of those before it; ModelError where that one's is not as the record says."""
    found = next((node for node in nodes if node.name == record.shares), None)
    if found is None:
        raise ModelError(f"node '{record.name}': shares the operator of '{record.shares}', which is no node before it")
    node = Node(record.name, found.op, record.inputs)
    if type(record) is not _RECORDS[type(found.op)] or msgspec.structs.replace(record, shares=None) != _record(node):
        raise ModelError(f"node '{record.name}': shares the operator of '{record.shares}', which is not what it states")
    return node


def _graph_record(graph: Graph, shared: bool = True) -> _Graph:
    """The record of a graph; `shared`: with which nodes share operators that have tensors."""
    owners = {node.name: graph.owners[node.name] for node in graph.nodes if shared and node.op.tensors}

    return _Graph(
        input_shape=graph.input.shape,
        input_axes=None if graph.input.axes == _AXES else graph.input.axes,
        input_number=_text(graph.input.number),
        nodes=tuple(_record(node, owners.get(node.name, node.name)) for node in graph.nodes),
    )


def _states_formats(graph: _Graph) -> bool:
    """Whether anything of a graph's record is beyond what version 1 knew."""
    stated = [getattr(node, name) for node in graph.nodes for name in _numbers(_KINDS[type(node)])]
    shared = [node.shares for node in graph.nodes]
    return any(value is not None for value in (graph.input_axes, graph.input_number, *stated, *shared))


def _numbers(kind: type[Operator]) -> list[str]:
    """An operator's attributes that are number formats."""
    return [name for name in kind.attributes if _attribute_type(kind, name) is Number]


def _text(number: Number) -> str | None:
    """A number format as files state it: int8 is not stated."""
    return None if number == INT8 else str(number)


def _number(text: str | None) -> Number:
    return INT8 if text is None else Number.parse(text)


def _record(node: Node, owner: str | None = None) -> _Record:
    """A node's record; `owner`: the node that has its operator's tensors, None for itself."""
    values = {name: getattr(node.op, name) for name in node.op.attributes}
    stated: dict[str, Any] = {
        name: _text(value) if isinstance(value, Number) else value for name, value in values.items()
    }
    stated["shares"] = None if owner in (None, node.name) else owner
    return _RECORDS[type(node.op)](node.name, node.inputs, **stated)


def _tensors(graph: Graph, shared: bool = True) -> dict[str, npt.NDArray[Any]]:
    """Tensors by name; `shared`: of nodes that share an operator those of the first alone."""
    nodes = [node for node in graph.nodes if not shared or graph.owners[node.name] == node.name]
    return {f"{node.name}.{field}": array for node in nodes for field, array in node.op.arrays()}
