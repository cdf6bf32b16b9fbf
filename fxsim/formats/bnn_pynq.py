"""Networks as published with BNN-PYNQ: FINN's CNV and LFC, from its folder of parameters or from arrays of them.

A folder holds, for each layer L and processing element P, `L-P-weights.bin` and `L-P-thres.bin`. The former has one
little-endian 64-bit word a tile, tile = nf * (columns / SIMD) + sf, for the row nf * PE + P and the columns sf * SIMD
+ i, at the bits [i * w, (i + 1) * w): of one bit, 1 is +1 and 0 is -1; two are two's complement. The latter has the
thresholds of the rows nf * PE + P as signed 64-bit numbers. PE is how many files a layer has, SIMD follows from their
sizes. Columns of a convolution are ordered by kernel row, kernel column, input channel.

A value passes a threshold that it exceeds. Sums of the first layer of CNV count in 1/256, twice the pixels' 1/128;
where inputs and weights are bits (W1A1), the others count matches, m = (columns + sum) / 2.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fxsim.contract import CHANNEL, COLUMN, ROW, Number, TableRule, Tensor, linear_acc_bits
from fxsim.contract.arithmetic import Integers
from fxsim.contract.number import BIPOLAR, INT16, UINT8
from fxsim.errors import FileError, ModelError
from fxsim.formats.importers import Importer
from fxsim.formats.npy import archive_fault, archive_sha256, read_archive
from fxsim.formats.text import read_bounded, short
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Conv, Linear, Lut, MaxPool, Operator, Threshold

_INT2 = Number(2)
_WORD_BITS = 64
_FILE = re.compile(r"(0|[1-9][0-9]*)-(0|[1-9][0-9]*)-(weights|thres)\.bin\Z")
_FILES_MAX = 10_000
"""Most files that a folder may have."""
_ARCHIVE_BYTES_MAX = 1 << 24
"""Bytes of all arrays of an .npz file, at most."""


@dataclass(frozen=True)
class _Layer:
    rows: int
    columns: int
    thresholds: int
    """Thresholds a row; of the two of a 2-bit activation the first comes first in files."""
    kernel: int = 1
    pooled: bool = False
    """Whether the greatest of 2 x 2 follows."""


@dataclass(frozen=True)
class _Topology:
    weight_bits: int
    matches: bool
    """Whether thresholds count matches, beyond a first layer of pixels."""
    layers: tuple[_Layer, ...]


_PIXELS, _INK = 784, 128
"""Pixels of a digit, and the least of a pixel that is ink."""


def _cnv(weight_bits: int, steps: int) -> _Topology:
    sizes = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256)]
    convs = [_Layer(n, 9 * c, steps, 3, i in (1, 3)) for i, (c, n) in enumerate(sizes)]
    dense = (_Layer(512, 256, steps), _Layer(512, 512, steps), _Layer(64, 512, 0))
    return _Topology(weight_bits, steps == 1, (*convs, *dense))


def _lfc(steps: int) -> _Topology:
    first, inner, last = _Layer(1024, 832, steps), _Layer(1024, 1024, steps), _Layer(64, 1024, 1)
    return _Topology(1, steps == 1, (first, inner, inner, last))


TOPOLOGIES: Mapping[str, _Topology] = {
    "cnvW1A1": _cnv(1, 1),
    "cnvW1A2": _cnv(1, 2),
    "cnvW2A2": _cnv(2, 2),
    "lfcW1A1": _lfc(1),
    "lfcW1A2": _lfc(2),
}
"""The published networks by name."""


def import_bnn_pynq(path: Path, topology: str | None = None) -> Model:
    """The network of a folder of parameters, whose `topology` must be stated, or of an .npz file, which tells it.

    Pictures are uint8: [row, column, colour], 32 x 32 x 3, for CNV; 784 pixels for LFC. CNV gives its 64 scores, 10 of
    which are in use, as sums of products (int16; matches are (512 + sum) / 2); LFC 64 values of +1, fired, or -1.
    FileError names the file, the array or word, and what was expected.
    """
    if topology is not None and topology not in TOPOLOGIES:
        raise FileError(f"{path}: there is no topology '{topology}'; there are: {', '.join(TOPOLOGIES)}")
    if path.is_dir():
        if topology is None:
            raise FileError(
                f"{path}: a folder of parameters does not say which network it is of, give --topology, one of: "
                + ", ".join(TOPOLOGIES)
            )
        layers, digest = _read_folder(path, TOPOLOGIES[topology])
    else:
        topology, layers, digest = _read_arrays(path, topology)
    try:
        graph = _lfc_graph(layers, TOPOLOGIES[topology]) if topology.startswith("lfc") else _cnv_graph(layers, topology)
    except ModelError as error:
        raise FileError(f"{path}: {error}") from None
    source = short(path.resolve().name)
    kind = "folder" if path.is_dir() else "arrays"
    return Model(graph, topology, {"source": f"BNN-PYNQ {topology}, {kind} {source}", "sha256 of parameters": digest})


# --- The graphs ------------------------------------------------------------------------------------------------------

_Parameters = tuple[Integers, Integers]
"""Weights of a layer, [row, column], and thresholds that are to be exceeded, [row, step], both int64."""


def _cnv_graph(layers: list[_Parameters], name: str) -> Graph:
    topology = TOPOLOGIES[name]
    # Pixel p in 1/128 is floor(256 p / 255 - 128 + 1/2), at most 127.
    codes = [min((512 * p + 255) // 510 - 128, 127) for p in range(256)]
    nodes = [Node("encode", Lut(np.tile(np.array(codes, np.int8), (3, 1)), TableRule.FULL, UINT8), (INPUT,))]

    def append(node: str, op: Operator) -> None:
        nodes.append(Node(node, op, (nodes[-1].name,)))

    for i, (layer, (weight, limits)) in enumerate(zip(topology.layers, layers, strict=True)):
        shaped = weight.astype(np.int8).reshape(layer.rows, layer.kernel, layer.kernel, -1)
        append(f"conv{i}", Conv(shaped, weight_number=_weight_number(topology)))
        if layer.thresholds:
            # 2 sum > T where sum > floor(T / 2).
            append(f"threshold{i}", _exceeded(limits >> 1 if i == 0 else _of_sums(limits, layer, topology)))
        if layer.pooled:
            append(f"pool{i}", MaxPool((2, 2), (2, 2)))
    return Graph(Tensor((ROW, COLUMN, CHANNEL), (32, 32, 3), UINT8), nodes)


def _lfc_graph(layers: list[_Parameters], topology: _Topology) -> Graph:
    ink = Threshold(
        np.full((_PIXELS, 1), _INK, np.int32), np.ones(_PIXELS, np.uint8), np.array([-1, 1], np.int8), BIPOLAR
    )
    nodes = [Node("encode", ink, (INPUT,))]
    for i, (layer, (weight, limits)) in enumerate(zip(topology.layers, layers, strict=True)):
        limits = _of_sums(limits, layer, topology)
        if i == 0:
            # Inputs beyond the pixels are always -1: what they add is taken from the thresholds.
            limits = limits + weight[:, _PIXELS:].sum(axis=1, keepdims=True)
            weight = weight[:, :_PIXELS]
        plain = np.zeros(layer.rows, np.int16), np.zeros(layer.rows, np.uint8)
        acc_bits = linear_acc_bits(weight.shape[1], _INT2, _INT2)
        product = Linear(weight.astype(np.int8), *plain, acc_bits=acc_bits, weight_number=BIPOLAR, out=INT16)
        nodes.append(Node(f"linear{i}", product, (nodes[-1].name,)))
        nodes.append(Node(f"threshold{i}", _exceeded(limits), (nodes[-1].name,)))
    return Graph(Tensor((CHANNEL,), (_PIXELS,), UINT8), nodes)


def _weight_number(topology: _Topology) -> Number:
    return BIPOLAR if topology.weight_bits == 1 else _INT2


def _of_sums(limits: Integers, layer: _Layer, topology: _Topology) -> Integers:
    """Thresholds of sums of products: m > T where sum > 2 T - columns."""
    return 2 * limits - layer.columns if topology.matches else limits


def _exceeded(limits: Integers) -> Threshold:
    """Thresholds x > t, as x >= t + 1, to -1 and 1, or with two of them to -1, 0 and 1."""
    levels, number = ([-1, 1], BIPOLAR) if limits.shape[1] == 1 else ([-1, 0, 1], _INT2)
    return Threshold((limits + 1).astype(np.int32), np.ones(len(limits), np.uint8), np.array(levels, np.int8), number)


def _limit_bits(topology: _Topology, index: int) -> int:
    """Bits that the published program keeps of a layer's thresholds."""
    return 24 if index == 0 and topology.layers[0].kernel > 1 else 16


def _check_limits(where: str, limits: Integers, bits: int) -> None:
    wrong = np.argwhere((limits < -(1 << (bits - 1))) | (limits >= 1 << (bits - 1)))
    if len(wrong):
        place = ", ".join(map(str, wrong[0]))
        raise FileError(f"{where}: threshold [{place}] is {limits[tuple(wrong[0])]}, expected {bits} bits with a sign")


# --- A folder of .bin files ------------------------------------------------------------------------------------------


def _parameter_files(path: Path) -> list[Path]:
    """The .bin files of a folder in the order of their names, or the file itself."""
    return sorted(path.glob("*.bin"), key=lambda file: file.name) if path.is_dir() else [path]


def _read_folder(path: Path, topology: _Topology) -> tuple[list[_Parameters], str]:
    elements: dict[int, set[int]] = {i: set() for i in range(len(topology.layers))}
    files = _parameter_files(path)
    if len(files) > _FILES_MAX:
        raise FileError(f"{path}: holds {len(files):,} .bin files, expected at most {_FILES_MAX:,}")
    for file in files:
        match = _FILE.match(file.name)
        if match is None:
            raise FileError(f"{file}: is not named LAYER-ELEMENT-weights.bin or LAYER-ELEMENT-thres.bin")
        index, element = int(match[1]), int(match[2])
        if index not in elements:
            raise FileError(f"{file}: is of layer {index}, expected 0 to {len(elements) - 1}")
        rows = topology.layers[index].rows
        if element >= rows:
            raise FileError(f"{file}: is of element {element}, layer {index} of {rows} rows cannot have that")
        elements[index].add(element)
    digest = hashlib.sha256()
    layers = []
    for i, layer in enumerate(topology.layers):
        count = len(elements[i])
        absent = sorted(set(range(count)) - elements[i])
        if absent or not count:
            raise FileError(f"{path / f'{i}-{absent[0] if absent else 0}-weights.bin'}: there is no such file")
        if layer.rows % count:
            raise FileError(f"{path}: layer {i} has {count} elements, of which {layer.rows} rows are no multiple")
        layers.append(_read_layer(path, i, layer, count, topology, digest))
    return layers, digest.hexdigest()


def _read_layer(path: Path, index: int, layer: _Layer, count: int, topology: _Topology, digest: Any) -> _Parameters:
    folds = layer.rows // count
    weight = np.empty((folds, count, layer.columns), np.int64)
    limits = np.empty((folds, count, layer.thresholds), np.int64)
    used = words = 0
    for element in range(count):
        file = path / f"{index}-{element}-weights.bin"
        tiles = np.frombuffer(_read_words(file, folds * layer.columns, digest), "<u8")
        words = words or len(tiles)
        if len(tiles) != words:
            raise FileError(f"{file}: has {len(tiles):,} words, expected {words:,} as {index}-0-weights.bin has")
        lanes, rest = divmod(folds * layer.columns, words) if words else (0, 0)
        bits = lanes * topology.weight_bits
        if not lanes or rest or layer.columns % lanes or bits > _WORD_BITS:
            raise FileError(
                f"{file}: has {words:,} words, which cannot hold {folds} x {layer.columns:,} weights of "
                f"{topology.weight_bits} bit{'s' if topology.weight_bits > 1 else ''}, expected {folds} x "
                f"{layer.columns:,} / n words of n weights, n a divisor of {layer.columns:,} and at most "
                f"{_WORD_BITS // topology.weight_bits}"
            )
        used |= int(np.bitwise_or.reduce(tiles))
        if bits < _WORD_BITS and (wrong := np.flatnonzero(tiles >> np.uint64(bits))).size:
            raise FileError(
                f"{file}: word {wrong[0]:,} is {int(tiles[wrong[0]]):#x}, expected {lanes} weights in {bits} bits"
            )
        weight[:, element] = _unpack(tiles, lanes, topology.weight_bits).reshape(folds, layer.columns)
        if layer.thresholds:
            file = path / f"{index}-{element}-thres.bin"
            data = _read_words(file, folds * layer.thresholds, digest)
            if len(data) != 8 * folds * layer.thresholds:
                raise FileError(f"{file}: has {len(data) // 8:,} words, expected {folds * layer.thresholds:,}")
            limits[:, element] = np.frombuffer(data, "<i8").reshape(folds, layer.thresholds)
            _check_limits(str(file), limits[:, element], _limit_bits(topology, index))
    # Of files that were all cut to the same part, fewer words would be taken for wider ones.
    if used.bit_length() <= lanes // 2 * topology.weight_bits:
        raise FileError(
            f"{path}: layer {index}: no word of {words:,} has more than {used.bit_length()} of {bits} bits, its files "
            f"have too few words, expected at least {2 * words:,}"
        )
    return weight.reshape(layer.rows, layer.columns), limits.reshape(layer.rows, layer.thresholds)


def _read_words(file: Path, most: int, digest: Any) -> bytes:
    """The bytes of a file of whole 64-bit words, at most `most` of them; its name and content go into the digest."""
    if not file.is_file():
        raise FileError(f"{file}: {'is not a regular file' if file.exists() else 'there is no such file'}")
    size = file.stat().st_size
    if size > 8 * most:
        raise FileError(f"{file}: has {-(-size // 8):,} words, expected {most:,} of 64 bits at most")
    data = read_bounded(file, 8 * most, f"{most:,} words of 64 bits")
    if len(data) % 8:
        raise FileError(f"{file}: has {len(data):,} bytes, expected words of 8")
    digest.update(f"{file.name} {len(data)}\0".encode() + data)
    return data


def _unpack(tiles: Any, lanes: int, bits: int) -> Integers:
    """The weights of words, [tile, lane]: of one bit +-1, of two two's complement."""
    places = np.arange(lanes).astype(np.uint64) * np.uint64(bits)
    codes: Integers = (tiles[:, None] >> places).astype(np.int64) & ((1 << bits) - 1)
    values: Integers = 2 * codes - 1 if bits == 1 else codes - ((codes >> (bits - 1)) << bits)
    return values


# --- An archive of arrays --------------------------------------------------------------------------------------------


def _read_arrays(path: Path, stated: str | None) -> tuple[str, list[_Parameters], str]:
    """`weightL`, `columnsL`, `thresholdL` of each layer; weights of one bit lie packed along columns, high first."""
    arrays = read_archive(path, _ARCHIVE_BYTES_MAX)
    names = (stated,) if stated else tuple(TOPOLOGIES)
    faults = {name: _fault(arrays, TOPOLOGIES[name]) for name in names}
    fitting = [name for name in names if faults[name] is None]
    if not fitting:
        fault = faults[stated] if stated else "has not the arrays weightL, columnsL and thresholdL of any of them"
        raise FileError(f"{path}: is not {stated or ' or '.join(names)}: {fault}")
    (name,) = fitting  # no two topologies have the same types and shapes
    topology = TOPOLOGIES[name]
    layers = []
    for i, layer in enumerate(topology.layers):
        weight, limits = arrays[f"weight{i}"], arrays[f"threshold{i}"].astype(np.int64)
        if topology.weight_bits == 1:
            bits = np.unpackbits(weight, axis=1)
            if bits[:, layer.columns :].any():
                raise FileError(f"{path}: array 'weight{i}' has bits set beyond its {layer.columns:,} columns")
            weight = 2 * bits[:, : layer.columns].astype(np.int64) - 1
        elif not _INT2.holds(weight):
            raise FileError(f"{path}: array 'weight{i}' reaches from {weight.min()} to {weight.max()}, expected int2")
        _check_limits(f"{path}: array 'threshold{i}'", limits, _limit_bits(topology, i))
        layers.append((weight.astype(np.int64), limits))
    return name, layers, archive_sha256(arrays)


def _fault(arrays: Mapping[str, Any], topology: _Topology) -> str | None:
    """The first thing in which arrays are not those of a topology; None where there is none."""
    expected: dict[str, tuple[str, tuple[int, ...]]] = {}
    for i, layer in enumerate(topology.layers):
        packed = -(-layer.columns // 8)
        one = topology.weight_bits == 1
        expected[f"weight{i}"] = ("|u1", (layer.rows, packed)) if one else ("|i1", (layer.rows, layer.columns))
        expected[f"columns{i}"] = ("<i8", ())
        expected[f"threshold{i}"] = ("<i4", (layer.rows, layer.thresholds))
    if fault := archive_fault(arrays, expected):
        return fault
    for i, layer in enumerate(topology.layers):
        if arrays[f"columns{i}"] != layer.columns:
            return f"array 'columns{i}' is {arrays[f'columns{i}']}, expected {layer.columns}"
    return None


def _looks(path: Path) -> bool:
    return (path / "0-0-weights.bin").exists() if path.is_dir() else path.suffix == ".npz"


IMPORTER = Importer(
    name="bnn-pynq",
    takes="a folder of FINN's published parameters (0-0-weights.bin, ...), or an .npz file of the same as arrays",
    read=import_bnn_pynq,
    files=_parameter_files,
    options=frozenset({"topology"}),
    looks=_looks,
)
