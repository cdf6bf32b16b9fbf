"""TensorFlow Lite files that nobody vouches for: flatbuffers whose offsets are verified as they are followed.

A table is read field by field, each with its place checked to lie in the file, and nothing else of the file is looked
at. Names of operators, types and settings are those of the schema as the package `tflite` has it.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fxsim.errors import FileError, ToolError
from fxsim.formats.text import read_bounded, short

FILE_BYTES_MAX = 1 << 27
"""Largest TensorFlow Lite file that is read, in bytes."""
MANY_MAX = 20_000
"""Most tensors, operators, kinds of these, or buffers."""
RANK_MAX = 8
TABLES_MAX = 100_000
"""Most tables that are followed: several offsets may lead to one."""
TEXT_MAX = 4096
"""Most bytes of a name."""
CHANNELS_MAX = 1 << 16
"""Most scales of a tensor, and most tensors that an operator takes."""
IDENTIFIER = b"TFL3"
_VERSION = 3

_DTYPES: dict[str, npt.DTypeLike] = {
    "FLOAT32": np.float32, "INT32": np.int32, "UINT8": np.uint8, "INT64": np.int64, "INT16": np.int16, "INT8": np.int8,
}  # fmt: skip
"""Types of constants that are read."""


class _Field(NamedTuple):
    """A field of a table: its number, its name, how it is stored ("<b" as struct says, or see `_Reader.table`)."""

    slot: int
    name: str
    kind: str
    default: Any = 0


_TABLES: dict[str, tuple[_Field, ...]] = {
    "Model": (
        _Field(0, "version", "<I"), _Field(1, "operator_codes", "tables OperatorCode"),
        _Field(2, "subgraphs", "tables SubGraph"), _Field(4, "buffers", "tables Buffer"),
    ),
    "OperatorCode": (
        _Field(0, "deprecated", "<b"), _Field(1, "custom", "string"), _Field(2, "version", "<i", 1),
        _Field(3, "builtin", "<i"),
    ),
    "SubGraph": (
        _Field(0, "tensors", "tables Tensor"), _Field(1, "inputs", "numbers <i4"), _Field(2, "outputs", "numbers <i4"),
        _Field(3, "operators", "tables Operator"),
    ),
    "Tensor": (
        _Field(0, "shape", "numbers <i4"), _Field(1, "type", "<b"), _Field(2, "buffer", "<I"),
        _Field(3, "name", "string"), _Field(4, "quantization", "table Quantization"), _Field(5, "variable", "<b"),
        _Field(6, "sparsity", "there"), _Field(7, "signature", "numbers <i4"),
    ),
    "Quantization": (
        _Field(2, "scale", "numbers <f4"), _Field(3, "zero", "numbers <i8"), _Field(5, "details", "there"),
        _Field(6, "axis", "<i"),
    ),
    "Operator": (
        _Field(0, "code", "<I"), _Field(1, "inputs", "numbers <i4"), _Field(2, "outputs", "numbers <i4"),
        _Field(3, "options_type", "<B"), _Field(4, "options", "options"), _Field(5, "custom", "numbers <u1"),
        _Field(9, "large_custom", "<Q"), _Field(11, "options_2_type", "<B"),
    ),
    "Buffer": (_Field(0, "data", "numbers <u1"), _Field(1, "offset", "<Q"), _Field(2, "size", "<Q")),
    "Conv2DOptions": (
        _Field(0, "padding", "<b"), _Field(1, "stride_w", "<i"), _Field(2, "stride_h", "<i"),
        _Field(3, "activation", "<b"), _Field(4, "dilation_w", "<i", 1), _Field(5, "dilation_h", "<i", 1),
        _Field(6, "bias_type", "<b"),
    ),
    "DepthwiseConv2DOptions": (
        _Field(0, "padding", "<b"), _Field(1, "stride_w", "<i"), _Field(2, "stride_h", "<i"),
        _Field(3, "multiplier", "<i"), _Field(4, "activation", "<b"), _Field(5, "dilation_w", "<i", 1),
        _Field(6, "dilation_h", "<i", 1),
    ),
    "Pool2DOptions": (
        _Field(0, "padding", "<b"), _Field(1, "stride_w", "<i"), _Field(2, "stride_h", "<i"),
        _Field(3, "filter_w", "<i"), _Field(4, "filter_h", "<i"), _Field(5, "activation", "<b"),
    ),
    "FullyConnectedOptions": (
        _Field(0, "activation", "<b"), _Field(1, "weights_format", "<b"), _Field(2, "keep_dims", "<b"),
        _Field(3, "asymmetric", "<b"), _Field(4, "bias_type", "<b"),
    ),
    "AddOptions": (_Field(0, "activation", "<b"), _Field(1, "power_of_two", "<b", 1)),
    "ReducerOptions": (_Field(0, "keep_dims", "<b"),),
    "ReshapeOptions": (_Field(0, "shape", "numbers <i4"),),
    "SqueezeOptions": (_Field(0, "axes", "numbers <i4"),),
    "SoftmaxOptions": (_Field(0, "beta", "<f"),),
    "LeakyReluOptions": (_Field(0, "alpha", "<f"),),
    "ConcatenationOptions": (_Field(0, "axis", "<i"), _Field(1, "activation", "<b")),
    **dict.fromkeys(
        (
            "TransposeOptions", "PadOptions", "PadV2Options", "QuantizeOptions", "DequantizeOptions",
            "ExpandDimsOptions",
        ), (),
    ),
}  # fmt: skip
"""Fields that are read of each table, by the schema; other tables of settings are not looked into."""


@dataclass(frozen=True)
class LiteTensor:
    """A tensor: its name, shape, type by the schema's name, content where it is a constant, and quantisation.

    `scale` float32 and `zero` int64, one for all or, along `axis`, one for each; both empty where it has none.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    content: npt.NDArray[Any] | None
    scale: npt.NDArray[np.float32]
    zero: npt.NDArray[np.int64]
    axis: int = 0
    refused: str = ""
    """Words for what it has that is not read, or nothing."""


@dataclass(frozen=True)
class LiteOperator:
    """An operator: its place, kind by the schema's name, tensors by number (-1: left out), settings by name.

    `version`: of its kind; `options`: the schema's name of its table of settings, NONE where there is none.
    """

    at: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    version: int = 1
    options: str = "NONE"

    @property
    def place(self) -> str:
        """The operator in words, for messages."""
        return f"operator {self.at} ({short(self.kind)})"


@dataclass(frozen=True)
class LiteGraph:
    """A graph: every operator reads what stands before it, and no tensor is computed twice."""

    tensors: tuple[LiteTensor, ...]
    operators: tuple[LiteOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class _DamagedError(Exception):
    """Something of a file that is not as flatbuffers are."""


def missing(*modules: str) -> str | None:
    """The reason why modules of the extra, by default all, cannot be used here, or None where they can."""
    absent = [name for name in modules or ("tflite", "ai_edge_litert") if find_spec(name) is None]
    return f"the extra 'tflite' is not installed: there is no {' and no '.join(absent)} here" if absent else None


@cache
def names_of(enumeration: str) -> dict[int, str]:
    """The names of one of the schema's enumerations, by number; ToolError where the extra is not installed."""
    reason = missing("tflite")
    if reason is not None:
        raise ToolError(reason)
    import tflite

    members = vars(getattr(tflite, enumeration))
    return {value: name for name, value in members.items() if isinstance(value, int) and not name.startswith("_")}


def _name(enumeration: str, number: int) -> str:
    return names_of(enumeration).get(number, f"{enumeration} {number}")


class _Reader:
    """Tables of a flatbuffer. Every place is checked to lie in the file before it is read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.tables = 0

    def number(self, at: int, form: str) -> Any:
        """A number at a place, as struct says."""
        size = struct.calcsize(form)
        if not 0 <= at <= len(self.data) - size:
            raise _DamagedError(f"an offset leads to {at:,}, outside its {len(self.data):,} bytes")
        (value,) = struct.unpack_from(form, self.data, at)
        return value

    def follow(self, at: int) -> int:
        """The place that an offset at a place leads to: always behind it."""
        offset: int = self.number(at, "<I")
        if not offset:
            raise _DamagedError(f"the offset at {at:,} is 0")
        return at + offset

    def vector(self, at: int, size: int, most: int, what: str) -> tuple[int, int]:
        """The first place and the number of elements, of `size` bytes each, that a vector's offset leads to."""
        start = self.follow(at)
        count: int = self.number(start, "<I")
        if count > most:
            raise _DamagedError(f"{what} has {count:,} elements, expected at most {most:,}")
        if start + 4 + count * size > len(self.data):
            raise _DamagedError(f"{what} ends outside its {len(self.data):,} bytes")
        return start + 4, count

    def table(self, at: int, name: str) -> dict[str, Any]:
        """The fields of a table by name, whole: its own tables are read, too.

        Kinds of fields are numbers, "string", "numbers" of a numpy type, "table" and "tables" of a name, "options",
        whose table the field before names, and "there": whether there is one.
        """
        self.tables += 1
        if self.tables > TABLES_MAX:
            raise _DamagedError(f"it has more than {TABLES_MAX:,} tables")
        vtable = at - self.number(at, "<i")
        size: int = self.number(vtable, "<H")
        length: int = self.number(vtable + 2, "<H")
        if size < 4 or size % 2 or vtable + size > len(self.data) or length < 4 or at + length > len(self.data):
            raise _DamagedError(f"the table of fields at {vtable:,} is none")
        found: dict[str, Any] = {}
        for one in _TABLES[name]:
            entry = 4 + 2 * one.slot
            offset = self.number(vtable + entry, "<H") if entry + 2 <= size else 0
            what = f"{one.name} of a {name}"
            if offset and offset + self._inline(one.kind) > length:
                raise _DamagedError(f"{what} lies outside its table")
            found[one.name] = self._field(at + offset, one, found, what) if offset else self._absent(one)
        if name.endswith("Options"):
            for slot in range(len(_TABLES[name]), (size - 4) // 2):
                if self.number(vtable + 4 + 2 * slot, "<H"):
                    raise _DamagedError(f"a {name} has a setting in field {slot}, which is not known")
        return found

    @staticmethod
    def _inline(kind: str) -> int:
        return struct.calcsize(kind) if kind.startswith("<") else 4

    @staticmethod
    def _absent(one: _Field) -> Any:
        """A field's value where it is not there."""
        kind, _, what = one.kind.partition(" ")
        if kind == "numbers":
            return np.zeros(0, what)
        return {"string": "", "tables": [], "table": None, "options": {}, "there": False}.get(kind, one.default)

    def _field(self, at: int, one: _Field, found: dict[str, Any], what: str) -> Any:
        kind, _, detail = one.kind.partition(" ")
        if kind == "string":
            start, count = self.vector(at, 1, TEXT_MAX, what)
            return self.data[start : start + count].decode(errors="backslashreplace")
        if kind == "numbers":
            dtype = np.dtype(detail)
            most = len(self.data) if dtype == np.uint8 else CHANNELS_MAX
            start, count = self.vector(at, dtype.itemsize, most, what)
            return np.frombuffer(self.data, dtype, count, start)
        if kind == "there":
            return True
        if kind == "table":
            return self.table(self.follow(at), detail)
        if kind == "tables":
            start, count = self.vector(at, 4, MANY_MAX, what)
            return [self.table(self.follow(start + 4 * i), detail) for i in range(count)]
        if kind == "options":
            name = _name("BuiltinOptions", found["options_type"])
            return self.table(self.follow(at), name) if name in _TABLES else {}
        return self.number(at, one.kind)


def read_tflite(path: Path) -> tuple[LiteGraph, bytes]:
    """The graph of a TensorFlow Lite file, and the file's bytes.

    FileError names the file, the operator or tensor and what was expected: missing, too large, no such file, damaged,
    of another version of the format, of several graphs, a constant of another size than stated, tensors that are used
    before they are computed, or computed twice. ToolError where the extra is not installed.
    """
    names_of("BuiltinOperator")
    if not path.is_file():
        raise FileError(f"{path}: {'is not a regular file' if path.exists() else 'there is no such file'}")
    data = read_bounded(path, FILE_BYTES_MAX, "a TensorFlow Lite model")
    if data[4:8] != IDENTIFIER:
        raise FileError(f"{path}: is not a TensorFlow Lite model: there is no '{IDENTIFIER.decode()}' in it")
    try:
        return _graph(_Reader(data)), data
    except _DamagedError as error:
        raise FileError(f"{path}: is damaged: {short(str(error), 300)}") from None


def _graph(reader: _Reader) -> LiteGraph:
    model = reader.table(reader.follow(0), "Model")
    if model["version"] != _VERSION:
        raise _DamagedError(f"it is of version {model['version']} of the format, expected {_VERSION}")
    if len(model["subgraphs"]) != 1:
        raise _DamagedError(f"it has {len(model['subgraphs'])} graphs, expected one")
    (graph,) = model["subgraphs"]
    tensors = tuple(_tensor(tensor, i, model["buffers"]) for i, tensor in enumerate(graph["tensors"]))
    operators = tuple(_operator(op, i, model["operator_codes"]) for i, op in enumerate(graph["operators"]))
    inputs, outputs = (tuple(graph[name].tolist()) for name in ("inputs", "outputs"))
    found = LiteGraph(tensors, operators, inputs, outputs)
    _check_order(found)
    return found


def _tensor(tensor: dict[str, Any], at: int, buffers: list[dict[str, Any]]) -> LiteTensor:
    name = short(tensor["name"]) or f"number {at}"
    what = f"tensor '{name}'"
    shape = tuple(tensor["shape"].tolist())
    if len(shape) > RANK_MAX or any(size < 0 for size in shape):
        raise _DamagedError(f"{what} has the shape {short(str(shape))}")
    if tensor["buffer"] >= max(1, len(buffers)):
        raise _DamagedError(f"{what} is of buffer {tensor['buffer']}, there are {len(buffers)}")
    kind = _name("TensorType", tensor["type"])
    stored: dict[str, Any] = (
        buffers[tensor["buffer"]] if buffers else {"data": np.zeros(0, np.uint8), "offset": 0, "size": 0}
    )
    refused = [word for word in ("sparsity", "variable") if tensor[word]]
    if stored["offset"] > 1 or stored["size"] > 1:
        refused.append("content outside the format's tables")
    content = None
    if len(stored["data"]) and not refused:
        if kind in _DTYPES:
            dtype = np.dtype(_DTYPES[kind])
            if math.prod(shape) * dtype.itemsize != len(stored["data"]):
                raise _DamagedError(
                    f"{what} of shape {short(str(shape))} and type {kind} has {len(stored['data']):,} bytes"
                )
            content = stored["data"].view(dtype).reshape(shape)
        else:
            refused.append(f"content of type {kind}")
    own: dict[str, Any] = tensor["quantization"] or {
        "scale": np.zeros(0, np.float32),
        "zero": np.zeros(0, np.int64),
        "axis": 0,
    }
    if own.get("details"):
        refused.append("a quantisation of another kind than scales and zero points")
    zero = own["zero"] if len(own["zero"]) else np.zeros(len(own["scale"]), np.int64)
    if len(zero) != len(own["scale"]):
        raise _DamagedError(f"{what} has {len(own['scale'])} scales and {len(zero)} zero points")
    return LiteTensor(name, shape, kind, content, own["scale"], zero, int(own["axis"]), " and ".join(refused))


def _operator(op: dict[str, Any], at: int, codes: list[dict[str, Any]]) -> LiteOperator:
    if op["code"] >= len(codes):
        raise _DamagedError(f"operator {at} is of kind {op['code']}, there are {len(codes)}")
    code = codes[op["code"]]
    kind = _name("BuiltinOperator", max(code["deprecated"], code["builtin"]))
    if kind == "CUSTOM":
        kind = f"CUSTOM {short(code['custom'])}"
    inputs, outputs = (tuple(op[name].tolist()) for name in ("inputs", "outputs"))
    options = _name("BuiltinOptions", op["options_type"])
    return LiteOperator(at, kind, inputs, outputs, op["options"], code["version"], options)


def _numbers(graph: LiteGraph) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """Lists of tensors by number, with words for each and the least number that it may have."""
    yield "the inputs", graph.inputs, 0
    yield "the outputs", graph.outputs, 0
    for op in graph.operators:
        yield op.place, op.inputs, -1
        yield op.place, op.outputs, 0


def _check_order(graph: LiteGraph) -> None:
    for what, numbers, least in _numbers(graph):
        if any(not least <= number < len(graph.tensors) for number in numbers):
            raise _DamagedError(f"{what} are of tensors {short(str(numbers))}, there are {len(graph.tensors)}")
    known = {i for i, tensor in enumerate(graph.tensors) if tensor.content is not None or tensor.refused}
    if known & set(graph.inputs):
        raise _DamagedError("an input is a constant")
    known |= {-1, *graph.inputs}
    for op in graph.operators:
        for number in op.inputs:
            if number not in known:
                raise _DamagedError(f"{op.place} reads tensor '{graph.tensors[number].name}' before it is computed")
        for number in op.outputs:
            if number in known:
                raise _DamagedError(
                    f"{op.place} computes tensor '{graph.tensors[number].name}', which there is already"
                )
            known.add(number)
    for number in graph.outputs:
        if number not in known:
            raise _DamagedError(f"the output '{graph.tensors[number].name}' is computed by no operator")
