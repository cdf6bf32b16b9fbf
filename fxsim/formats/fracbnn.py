"""FracBNN's network for CIFAR-10 as published, from arrays of its accelerator's parameters.

Parameters are whole numbers of 12 bits in 1/256; feature maps are int16 in 1/128. Weights of convolutions are signs,
packed in words of 64 bits, in the order of the layers: a tile of 16 outputs has a word for each output, kernel row and
kernel column, in which the first input channel is the highest bit and 1 stands for +1; bits of channels that a layer
does not have are 0. The first layer has a tile for each colour, of 32 channels. Other parameters of a layer have 64
values, of which the first belong to its outputs and the others are 0.
"""

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract import BIPOLAR, CHANNEL, COLUMN, ROW, Division, Number, Sign, Tensor
from fxsim.contract.arithmetic import Integers
from fxsim.contract.number import INT16, INT32, UINT8
from fxsim.errors import FileError, ModelError
from fxsim.formats.importers import Importer
from fxsim.formats.npy import archive_fault, archive_sha256, read_archive
from fxsim.formats.text import short
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import (
    Add,
    Argmax,
    Concat,
    Conv,
    Encode,
    Flatten,
    Gate,
    MaxPool,
    MultiplyAdd,
    Operator,
    OrderedLinear,
    Prelu,
    SumPool,
    Threshold,
    WeightedAdd,
)

FILE = "params_q8.npz"
"""Name of the file of parameters in a folder."""
_WORDS = "conv_weight_all"
_ARCHIVE_BYTES_MAX = 1 << 20
"""Bytes of all arrays, at most."""
_CHANNELS = 64
"""Values of an array of one a channel, however many the layer has."""
_TILE = 16
"""Outputs of a tile of weights."""
_PARAMETER = Number(12)
_UINT2 = Number(2, Sign.UNSIGNED)
_COLOURS, _LEVELS = 3, 32


@dataclass(frozen=True)
class _Layer:
    """One of the 18 convolutions: its channels, and the names of its parameters."""

    inputs: int
    outputs: int
    block: str
    place: int
    """1 or 2, in its block."""

    @property
    def names(self) -> dict[str, str]:
        """Names of its arrays by what they are: batch norm a is before the shortcut, b behind it."""
        b, k = self.block, self.place
        return {
            "threshold": f"{b}_conv{k}_threshold",
            "a_weight": f"{b}_bn{k}_weight",
            "a_bias": f"{b}_bn{k}_bias",
            "x": f"{b}_rprelu{k}_shift_x_bias",
            "slope": f"{b}_rprelu{k}_prelu_weight",
            "y": f"{b}_rprelu{k}_shift_y_bias",
            "b_weight": f"{b}_bn{k + 2}_weight",
            "b_bias": f"{b}_bn{k + 2}_bias",
        }


def _network() -> Iterator[_Layer]:
    for stage, channels in ((1, 16), (2, 32), (3, 64)):
        for block in range(3):
            for place in (1, 2):
                first = stage > 1 and (block, place) == (0, 1)
                yield _Layer(channels // 2 if first else channels, channels, f"layer{stage}_{block}", place)


_LAYERS = tuple(_network())
_TILES = _COLOURS + sum(layer.outputs // _TILE for layer in _LAYERS)


def import_fracbnn(path: Path) -> Model:
    """The network of an .npz file of parameters, or of a folder that has it as params_q8.npz.

    Pictures are uint8 [row, column, colour], 32 x 32 x 3. `logits` are int16 in 1/128, `class` is the first greatest.
    FileError names the file, the array and value, and what was expected.
    """
    file = _parameters(path)
    arrays = read_archive(file, _ARCHIVE_BYTES_MAX)
    _check(file, arrays)
    try:
        graph = _graph(arrays)
    except ModelError as error:
        raise FileError(f"{file}: {error}") from None
    source = f"FracBNN CIFAR-10, arrays {short(file.resolve().name)}"
    return Model(graph, "fracbnn", {"source": source, "sha256 of parameters": archive_sha256(arrays)})


def _parameters(path: Path) -> Path:
    return path / FILE if path.is_dir() else path


def _check(file: Path, arrays: Mapping[str, Any]) -> None:
    """FileError where arrays are not the network's: one too many, of another type, or a value that none may have."""
    expected: dict[str, tuple[str, tuple[int, ...]]] = {_WORDS: ("<u8", (_TILES, _TILE, 3, 3))}
    used = {"bn1_weight": _TILE, "bn1_bias": _TILE}
    used |= {name: layer.outputs for layer in _LAYERS for name in layer.names.values()}
    expected |= dict.fromkeys(used, ("<i2", (_CHANNELS,)))
    expected |= {"linear_weight": ("<i2", (10, _CHANNELS)), "linear_bias": ("<i2", (10,))}
    if fault := archive_fault(arrays, expected):
        raise FileError(f"{file}: is not FracBNN's network: {fault}")
    for name in expected.keys() - {_WORDS}:
        values = arrays[name]
        wrong = np.argwhere((values < _PARAMETER.low) | (values > _PARAMETER.high))
        if len(wrong):
            place = ", ".join(map(str, wrong[0]))
            raise FileError(f"{file}: array '{name}' has {values[tuple(wrong[0])]} at [{place}], expected {_PARAMETER}")
    for name, channels in used.items():
        if (excess := np.flatnonzero(arrays[name][channels:])).size:
            place = channels + excess[0]
            raise FileError(
                f"{file}: array '{name}' has {arrays[name][place]} at [{place}], expected 0 beyond {channels} channels"
            )
    tile = 0
    for layer, channels, tiles in (
        ("the first layer", _LEVELS, _COLOURS),
        *((f"{layer.block}_conv{layer.place}", layer.inputs, layer.outputs // _TILE) for layer in _LAYERS),
    ):
        words = arrays[_WORDS][tile : tile + tiles]
        if channels < 64 and len(wrong := np.argwhere(words << np.uint64(channels))):
            place = ", ".join(map(str, (tile + wrong[0][0], *wrong[0][1:])))
            raise FileError(
                f"{file}: array '{_WORDS}' has bits of channels beyond {layer}'s {channels} at [{place}], expected 0"
            )
        tile += tiles


def _signs(words: npt.NDArray[np.uint64], channels: int) -> npt.NDArray[np.int8]:
    """Weights -1 and 1, [output, row, column, channel], of words [tile, 16, row, column], the first channel highest."""
    places = np.arange(63, 63 - channels, -1).astype(np.uint64)
    bits = words.reshape(-1, 3, 3, 1) >> places & np.uint64(1)
    return (2 * bits.astype(np.int8) - 1).astype(np.int8)


class _Builder:
    """Nodes of the graph, added one after the other; each method gives its node's name."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def add(self, name: str, op: Operator, *sources: str) -> str:
        self.nodes.append(Node(name, op, sources))
        return name

    def affine(self, name: str, source: str, weight: Any, bias: Any, shift: int, channels: int) -> str:
        """(weight x + bias) / 2^shift, rounded and saturated; a number stands for as many as there are channels."""
        weights, biases = (np.broadcast_to(np.asarray(v, np.int64), channels) for v in (weight, bias))
        shifts = np.full(channels, shift, np.uint8)
        return self.add(name, MultiplyAdd(weights.astype(np.int16), biases.astype(np.int32), shifts), source)

    def conv(self, name: str, source: str, weight: npt.NDArray[np.int8]) -> str:
        """A convolution of 3 x 3, to which taps outside the picture add nothing."""
        return self.add(name, Conv(weight, padding=(1, 1, 1, 1), weight_number=BIPOLAR), source)

    def steps(self, name: str, source: str, limits: list[int], levels: list[int], channels: int, out: Number) -> str:
        """The level of the last threshold that is reached, the same in every channel."""
        threshold = np.tile(np.array(limits, np.int32), (channels, 1))
        op = Threshold(threshold, np.ones(channels, np.uint8), np.array(levels, out.dtype), out)
        return self.add(name, op, source)


def _graph(arrays: Mapping[str, Any]) -> Graph:
    to = _Builder()
    words = arrays[_WORDS]
    # p / 8 to the nearest, ties to even, is m or more from 8 m - 4 on where m is even, and from behind it where odd.
    levels = np.array([8 * m - 4 + m % 2 for m in range(1, _LEVELS + 1)], np.int32)
    to.add("thermometer", Encode(np.tile(levels, (_COLOURS, 1))), INPUT)
    first = np.concatenate([_signs(words[colour], _LEVELS) for colour in range(_COLOURS)], axis=-1)
    to.conv("conv1.0", "thermometer", first)
    res = to.affine("fm.0", "conv1.0", arrays["bn1_weight"][:_TILE], arrays["bn1_bias"][:_TILE], 1, _TILE)
    tile = _COLOURS
    for i, layer in enumerate(_LAYERS):
        end = tile + layer.outputs // _TILE
        values = {what: arrays[name][: layer.outputs].astype(np.int64) for what, name in layer.names.items()}
        res = _append(to, i, layer, _signs(words[tile:end], layer.inputs), values, res)
        tile = end
    to.add("sum", SumPool((8, 8), (8, 8), out=Number(22)), res)
    # The sum of 64, in 2^-22 where a value is in 2^-7, divided by 64: nothing is cut off.
    to.add(
        "pool.0",
        MultiplyAdd(np.full(64, 1 << 9, np.int16), np.zeros(64, np.int32), np.zeros(64, np.uint8), out=INT32),
        "sum",
    )
    to.affine("xi", "pool.0", 1, 0, 15, 64)
    to.add("values", Flatten((0, 1, 2)), "xi")
    # From 1/256 to 1/128.
    weight, bias = (
        (arrays[name].astype(np.int64) + 1 >> 1).astype(np.int16) for name in ("linear_weight", "linear_bias")
    )
    to.add("logits", OrderedLinear(weight, bias, np.full(10, 7, np.uint8)), "values")
    to.add("class", Argmax(10), "logits")
    return Graph(Tensor((ROW, COLUMN, CHANNEL), (32, 32, _COLOURS), UINT8), to.nodes)


def _append(
    to: _Builder, i: int, layer: _Layer, weight: npt.NDArray[np.int8], values: Mapping[str, Integers], res: str
) -> str:
    """Add layer i, of `values` by what they are, behind the feature map `res`; the name of the new feature map."""
    part, n = f"layer.{i}", layer.outputs
    codes = to.steps(f"quant.{i}", res, [-85, 0, 86], [0, 1, 2, 3], layer.inputs, _UINT2)
    high = to.steps(f"{part}.high", codes, [2], [-1, 1], layer.inputs, BIPOLAR)
    low = to.steps(f"{part}.low", codes, [1, 2, 3], [-1, 1, -1, 1], layer.inputs, BIPOLAR)
    msb, everywhere = to.conv(f"msb.{i}", high, weight), to.conv(f"{part}.everywhere", low, weight)
    # 171 M > T is M >= floor(T / 171) + 1.
    lsb = to.add(f"lsb.{i}", Gate((values["threshold"] // 171 + 1).astype(np.int32)), everywhere, msb)
    if layer.inputs < n:
        msb = to.add(f"{part}.even_m", MaxPool((1, 1), (2, 2)), msb)
        lsb = to.add(f"{part}.even_l", MaxPool((1, 1), (2, 2)), lsb)
        means = to.add(f"{part}.mean", SumPool((2, 2), (2, 2), 4, Division.ZERO, True, 16), res)
        res = to.add(f"concat.{i // 12}", Concat(), means, means)
    f = to.affine(f"{part}.f", msb, 128, 0, 0, n)
    f = to.affine(f"{part}.two_thirds", f, 171, 0, 8, n)
    lesser = to.affine(f"{part}.l", lsb, 128, 0, 0, n)
    pair = np.tile(np.array([[256], [85]], np.int16), n)
    f = to.add(f"{part}.both", WeightedAdd(pair, np.full(n, 8, np.uint8)), f, lesser)
    f = to.affine(f"{part}.bn_a", f, values["a_weight"], 128 * values["a_bias"], 8, n)
    f = to.affine(f"{part}.x", f, 2, values["x"], 1, n)
    f = to.add(f"{part}.slope", Prelu(values["slope"].astype(np.int16), np.full(n, 8, np.uint8)), f)
    f = to.affine(f"{part}.y", f, 2, values["y"], 1, n)
    u = to.add(f"{part}.u", Add(17, INT16), res, f)
    return to.affine(f"fm.{i + 1}", u, values["b_weight"], 128 * values["b_bias"], 8, n)


def _looks(path: Path) -> bool:
    """Whether a file, or the folder's, is an archive with the words of weights."""
    file = _parameters(path)
    if file.suffix != ".npz" or not file.is_file():
        return False
    try:
        with zipfile.ZipFile(file) as archive:
            return f"{_WORDS}.npy" in archive.namelist()
    # Damaged archives fail in ways that zipfile does not list; what they are is another importer's to say.
    except Exception:
        return False


IMPORTER = Importer(
    name="fracbnn",
    takes=f"an .npz file of the parameters of FracBNN's network for CIFAR-10, or a folder with it as {FILE}",
    read=import_fracbnn,
    files=lambda path: (_parameters(path),),
    looks=_looks,
)
