"""ONNX files that nobody vouches for: read within bounds into plain records. Needs the extra `onnx`."""

import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from fxsim.errors import FileError
from fxsim.formats.onnx.extra import require
from fxsim.formats.text import read_bounded, short

FILE_BYTES_MAX = 1 << 27
"""Largest ONNX file that is read, in bytes."""
DATA_BYTES_MAX = 1 << 27
"""Most bytes of all tensors beside the file together."""
NODES_MAX = 20_000
RANK_MAX = 8
OPSET_MIN = 9
"""Oldest version of the standard's operators that is read."""

_DTYPES = {
    1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_,
    10: np.float16, 11: np.float64,
}  # fmt: skip
"""Types of tensors that are read, by ONNX's number."""


@dataclass(frozen=True)
class OnnxNode:
    """One node: operator, domain, names of tensors (empty where one is left out), attributes as plain values."""

    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    @property
    def place(self) -> str:
        """The node in words, for messages: its name, or where it has none the tensor that it gives."""
        called = f"'{short(self.name)}'" if self.name else f"of '{short(self.outputs[0] if self.outputs else '')}'"
        return f"node {called} ({short(self.op)})"


@dataclass(frozen=True)
class OnnxGraph:
    """A graph: every node reads what stands before it, and no tensor is computed twice."""

    opset: int
    """Version of the standard's operators."""
    nodes: tuple[OnnxNode, ...]
    inputs: dict[str, tuple[int | None, ...]]
    """Shapes of inputs that are no constants, None where a size is not a number."""
    outputs: tuple[str, ...]
    constants: dict[str, npt.NDArray[Any]]
    domains: dict[str, int]
    """Version of the operators of each other domain that the file states."""
    datatypes: dict[str, str]
    """Annotations `finn_datatype` by tensor."""


def read_onnx(path: Path) -> tuple[OnnxGraph, bytes]:
    """The graph of an ONNX file, and the file's bytes.

    FileError names the file, the node or tensor and what was expected: missing, too large, damaged, operators older
    than version 9 or newer than known, a tensor of another type or size than stated, data beside the file that lies
    outside its folder, tensors that are used before they are computed (or in a circle), or computed twice. ToolError
    where the extra is not installed.
    """
    require("onnx")
    import onnx

    if not path.is_file():
        raise FileError(f"{path}: {'is not a regular file' if path.exists() else 'there is no such file'}")
    data = read_bounded(path, FILE_BYTES_MAX, "an ONNX model")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's own, which differ between its implementations
        raise FileError(f"{path}: is not an ONNX model: {short(str(error), 200)}") from None
    if not model.HasField("graph") or not model.graph.node:
        raise FileError(f"{path}: is not an ONNX model with nodes")
    if model.functions:
        raise FileError(f"{path}: defines functions of its own, expected nodes alone")
    opset = _opset(path, model, onnx.defs.onnx_opset_version())
    graph = model.graph
    if len(graph.node) > NODES_MAX:
        raise FileError(f"{path}: has {len(graph.node):,} nodes, expected at most {NODES_MAX:,}")
    if graph.sparse_initializer:
        raise FileError(f"{path}: has sparse constants, expected dense ones")
    beside = _Beside(path)
    constants: dict[str, npt.NDArray[Any]] = {}
    for tensor in graph.initializer:
        name = _text(tensor.name)
        if name in constants or not name:
            raise FileError(f"{path}: constant '{short(name)}' stands twice or has no name")
        constants[name] = _array(path, tensor, f"constant '{short(name)}'", beside)
    inputs = {_text(value.name): _shape(path, value) for value in graph.input if _text(value.name) not in constants}
    nodes = tuple(_node(path, node, beside) for node in graph.node)
    _check_order(path, nodes, [*constants, *inputs])
    outputs = tuple(_text(value.name) for value in graph.output)
    known = {*constants, *inputs, *(name for node in nodes for name in node.outputs)}
    for name in outputs:
        if name not in known:
            raise FileError(f"{path}: output '{short(name)}' is computed by no node")
    return OnnxGraph(opset, nodes, inputs, outputs, constants, _domains(path, model), _datatypes(path, graph)), data


def _datatypes(path: Path, graph: Any) -> dict[str, str]:
    datatypes: dict[str, str] = {}
    for annotation in graph.quantization_annotation:
        for pair in annotation.quant_parameter_tensor_names:
            name, datatype = _text(annotation.tensor_name), _text(pair.value)
            if pair.key != "finn_datatype":
                continue
            if datatypes.setdefault(name, datatype) != datatype:
                stated = f"'{short(datatypes[name])}' and '{short(datatype)}'"
                raise FileError(f"{path}: tensor '{short(name)}' has the data types {stated}, expected one")
    return datatypes


def _text(value: Any) -> str:
    """A text of a file: what is not UTF-8 comes as bytes."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def _opset(path: Path, model: Any, newest: int) -> int:
    stated = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if len(stated) != 1:
        raise FileError(f"{path}: states {len(stated)} versions of the standard's operators, expected one")
    if not OPSET_MIN <= stated[0] <= newest:
        raise FileError(f"{path}: is of opset {stated[0]}, expected {OPSET_MIN} to {newest}")
    return int(stated[0])


def _domains(path: Path, model: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in model.opset_import:
        domain = _text(entry.domain)
        if domain in found:
            raise FileError(f"{path}: states versions of the domain '{short(domain)}' twice")
        found[domain] = int(entry.version)
    return {domain: version for domain, version in found.items() if domain not in ("", "ai.onnx")}


def _shape(path: Path, value: Any) -> tuple[int | None, ...]:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        raise FileError(f"{path}: input '{short(_text(value.name))}' has no shape")
    sizes = tuple(int(dim.dim_value) if dim.HasField("dim_value") else None for dim in kind.shape.dim)
    if len(sizes) > RANK_MAX or any(size is not None and size < 1 for size in sizes):
        raise FileError(f"{path}: input '{short(_text(value.name))}' has the shape {short(str(sizes))}")
    return sizes


def _node(path: Path, node: Any, beside: "_Beside") -> OnnxNode:
    attributes: dict[str, Any] = {}
    made = OnnxNode(
        _text(node.name),
        _text(node.op_type),
        _text(node.domain),
        tuple(map(_text, node.input)),
        tuple(map(_text, node.output)),
        attributes,
    )
    for attribute in node.attribute:
        name = _text(attribute.name)
        if name in attributes:
            raise FileError(f"{path}: {made.place}: attribute '{short(name)}' stands twice")
        attributes[name] = _attribute(path, attribute, f"{made.place}: attribute '{short(name)}'", beside)
    return made


def _attribute(path: Path, attribute: Any, place: str, beside: "_Beside") -> Any:
    match attribute.type:
        case 1:
            return attribute.f
        case 2:
            return attribute.i
        case 3:
            return attribute.s.decode(errors="replace")
        case 4:
            return _array(path, attribute.t, place, beside)
        case 6:
            return list(attribute.floats)
        case 7:
            return list(attribute.ints)
        case 8:
            return [text.decode(errors="replace") for text in attribute.strings]
    raise FileError(f"{path}: {place} is neither number, text nor tensor")


def _check_order(path: Path, nodes: tuple[OnnxNode, ...], given: list[str]) -> None:
    known = set(given)
    for node in nodes:
        for name in node.inputs:
            if name and name not in known:
                raise FileError(
                    f"{path}: {node.place} reads '{short(name)}', which no earlier node computes: it is missing, or "
                    "the graph runs in a circle"
                )
        for name in node.outputs:
            if name and name in known:
                raise FileError(f"{path}: {node.place} computes '{short(name)}', which there is already")
            known.add(name)


# --- Tensors ---------------------------------------------------------------------------------------------------------


_BESIDE_KEYS = {"location", "offset", "length"}
"""Keys of where a tensor lies; a checksum is refused, as nothing here would hold the file to it."""


class _Beside:
    """Data in files beside an ONNX file: read within its folder, up to `DATA_BYTES_MAX` in all."""

    def __init__(self, model: Path) -> None:
        self._model = model
        self._left = DATA_BYTES_MAX

    def read(self, stated: dict[str, str], nbytes: int, what: str) -> bytes:
        """`nbytes` bytes of a tensor, from where it says that they lie."""
        location = stated.get("location", "")
        relative = PurePosixPath(location)
        if not location or relative.is_absolute() or ".." in relative.parts or "\\" in location or "\0" in location:
            self._fail(what, f"lies in '{short(location)}', expected a file in the model's folder")
        folder = self._model.parent.resolve()
        file = folder / relative
        if not file.is_file() or not file.resolve().is_relative_to(folder):
            self._fail(what, f"lies in '{short(location)}', which is no regular file in the model's folder")
        offset, length = (self._number(stated, key, what) for key in ("offset", "length"))
        if (nbytes if length is None else length) != nbytes:
            self._fail(what, f"has {length:,} bytes in '{short(location)}', expected {nbytes:,}")
        self._left -= nbytes
        if self._left < 0:
            self._fail(what, f"with the tensors before it has more than {DATA_BYTES_MAX:,} bytes beside the model")
        try:
            with file.open("rb") as opened:
                opened.seek(offset or 0)
                data = opened.read(nbytes)
        except OSError as error:
            self._fail(what, f"cannot be read from '{short(location)}': {error.strerror or error}")
        if len(data) != nbytes:
            self._fail(what, f"has {len(data):,} bytes in '{short(location)}', expected {nbytes:,}")
        return data

    def _number(self, stated: dict[str, str], key: str, what: str) -> int | None:
        text = stated.get(key)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= 15):
            self._fail(what, f"has the {key} '{short(text)}', expected a whole number")
        return int(text)

    def _fail(self, what: str, message: str) -> NoReturn:
        raise FileError(f"{self._model}: {what} {message}")


def _array(path: Path, tensor: Any, what: str, beside: _Beside) -> npt.NDArray[Any]:
    from onnx import numpy_helper

    dims = tuple(int(size) for size in tensor.dims)
    if tensor.data_type not in _DTYPES:
        raise FileError(f"{path}: {what} is of ONNX's type {tensor.data_type}, which is not read")
    dtype = np.dtype(_DTYPES[tensor.data_type])
    if len(dims) > RANK_MAX or any(size < 0 for size in dims) or math.prod(dims) * dtype.itemsize > FILE_BYTES_MAX:
        raise FileError(f"{path}: {what} has the shape {short(str(dims))}, which is too large or not possible")
    if tensor.data_location == tensor.EXTERNAL:
        stated = {_text(entry.key): _text(entry.value) for entry in tensor.external_data}
        if len(stated) != len(tensor.external_data) or not stated.keys() <= _BESIDE_KEYS:
            raise FileError(
                f"{path}: {what} says where it lies by the keys "
                f"{short(', '.join(_text(entry.key) for entry in tensor.external_data))}, "
                f"expected {', '.join(sorted(_BESIDE_KEYS))}, once each"
            )
        data = beside.read(stated, math.prod(dims) * dtype.itemsize, what)
        return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype).reshape(dims)
    try:
        array = numpy_helper.to_array(tensor)
    except Exception as error:  # sizes that do not fit, in ways that the library does not list
        raise FileError(f"{path}: {what} does not hold what it states: {short(str(error), 200)}") from None
    if array.shape != dims or array.dtype != dtype:
        raise FileError(f"{path}: {what} holds {array.dtype} {array.shape}, it states {dtype} {dims}")
    return array
