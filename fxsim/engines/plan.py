"""Lowering: a graph becomes packed parameters and a flat program, as the kernels of one instruction set read them.

Affines become tables: all 256 inputs are known. A linear's start values hold the rounding half and take back the 128
that every activation is stored with (sum of (x + 128) w - 128 w). See `kernels` for how tensors lie in memory.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fxsim.contract import INT8_MIN, expand_table, requantise
from fxsim.contract.arithmetic import Int8
from fxsim.engines import kernels
from fxsim.engines.kernels import Isa
from fxsim.errors import ModelError
from fxsim.model import INPUT, Add, Affine, Axis, Graph, Linear, Lut, Node, Pool, Relu

UInt8 = npt.NDArray[np.uint8]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

ALIGNMENT = 64
"""Bytes: of every array that the kernels read in whole vectors."""

_EVERY_INT8 = np.arange(INT8_MIN, -INT8_MIN, dtype=np.int64)
_SUM_MAX = 1 << 31


class Panels(NamedTuple):
    """How a tensor lies in panels of rows (channels, padded to 16) x `width` columns, `each` of them an image's."""

    channels: int
    tokens: int
    width: int
    each: int

    @property
    def rows(self) -> int:
        """Rows of a panel."""
        return _round_up(self.channels, 16)

    def bytes(self, images: int) -> int:
        """Size of the panels that so many images take."""
        return -(-images * self.each // self.width) * self.rows * self.width


def panels(shape: tuple[int, ...]) -> Panels:
    """The panels of a tensor of `shape`: (tokens, channels), or (channels,)."""
    if len(shape) == 1:
        return Panels(shape[0], 1, kernels.PANEL, 1)
    tokens, channels = shape
    if tokens > kernels.PANEL:
        each = _round_up(tokens, kernels.PANEL)
        return Panels(channels, tokens, each, each)
    each = next(size for size in (16, 32, 64) if tokens <= size)
    return Panels(channels, tokens, kernels.PANEL, each)


@dataclass(frozen=True)
class Parameters:
    """A graph's parameters, packed. `at`: by node, where its bytes and its 32-bit numbers start."""

    data: UInt8
    words: Int32
    at: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Program:
    """The steps that compute some taps, int64 [steps, FIELDS], and the space that they need, in bytes.

    `starts`: by tap, where it starts in the output and its size an image.
    """

    steps: Int64
    starts: dict[str, tuple[int, int]]
    out: int
    arena: int
    packed: int
    scratch: int


def pack(graph: Graph, isa: Isa) -> Parameters:
    """A graph's parameters for one instruction set. ModelError where a sum may need more than 32 bits."""
    data: list[UInt8] = []
    words: list[Int32] = []
    at: dict[str, tuple[int, int]] = {}
    data_at = words_at = 0
    for node in graph.nodes:
        node_data, node_words = _parameters(node, panels(graph.shapes[node.name]), _input_panels(graph, node), isa)
        padding = -node_data.size % ALIGNMENT
        data += [node_data.ravel(), np.zeros(padding, np.uint8)]
        words.append(node_words.ravel())
        at[node.name] = (data_at, words_at)
        data_at += node_data.size + padding
        words_at += node_words.size
    # A vector of start values may be read past its end, where a linear has few tokens.
    return Parameters(aligned(np.concatenate(data)), np.concatenate([*words, np.zeros(16, np.int32)]), at)


def _input_panels(graph: Graph, node: Node) -> Panels:
    name = node.inputs[0]
    return panels(graph.input_shape if name == INPUT else graph.shapes[name])


def _parameters(node: Node, out: Panels, into: Panels, isa: Isa) -> tuple[UInt8, Int32]:
    op = node.op
    nothing = np.zeros(0, np.uint8), np.zeros(0, np.int32)
    if isinstance(op, Linear):
        weight, scale = _rounded(node.name, op)
        outputs, inputs = weight.shape
        if op.over is Axis.CHANNELS:
            rows, columns = _round_up(outputs, isa.rows), _round_up(inputs, 4)
        else:
            rows, columns = out.each, into.each
        padded = np.zeros((rows, columns), np.int8)
        padded[:outputs, :inputs] = weight
        scales = np.zeros((3, rows), np.int32)
        scales[:, :outputs] = scale
        quads = columns // 4
        if op.over is Axis.CHANNELS:
            tiles = padded.reshape(-1, isa.rows, quads, 4).swapaxes(1, 2)
            return _bytes(tiles), np.ascontiguousarray(scales.reshape(3, -1, isa.rows).swapaxes(0, 1))
        if rows % isa.columns == 0:
            order = (np.arange(0, rows, isa.columns)[:, None] + _tile_order(isa)).ravel()
            padded, scales = padded[order], np.ascontiguousarray(scales[:, order])
        return _bytes(padded.reshape(rows, quads, 4).swapaxes(0, 1)), scales
    if isinstance(op, Affine):
        products = _EVERY_INT8[:, None] * op.weight.astype(np.int64)
        return _bytes(requantise(products, op.shift, op.bias).T) ^ np.uint8(128), nothing[1]
    if isinstance(op, Lut):
        return _bytes(expand_table(op.table, op.rule)) ^ np.uint8(128), nothing[1]
    if isinstance(op, Pool):
        return nothing[0], np.array([op.tokens.bit_length() - 1], np.int32)
    return nothing


def _rounded(name: str, op: Linear) -> tuple[Int8, Int32]:
    """Weights, and int32 [3, N]: start values (with half of what is shifted out), shifts, biases.

    Where a sum is always below half of 2^shift, it rounds to 0: such rows get no weights and no shift, so that all
    shifts left are of less than 32 bits.
    """
    weight = op.weight.astype(np.int64)
    shift = op.shift.astype(np.int64)
    greatest = -INT8_MIN * np.abs(weight).sum(axis=1)
    half = np.left_shift(1, np.clip(shift - 1, 0, 40)) * (shift > 0)
    nothing = greatest < half
    weight[nothing], shift[nothing], half[nothing] = 0, 0, 0
    if (greatest + half >= _SUM_MAX).any():
        n = int(np.argmax(greatest + half))
        raise ModelError(
            f"'{name}', output {n}: its sum with the rounding half may reach {int((greatest + half)[n]):,}, "
            "expected below 2^31; the reference engine computes it"
        )
    start = half + INT8_MIN * weight.sum(axis=1)
    return weight.astype(np.int8), np.stack([start, shift, op.bias.astype(np.int64)]).astype(np.int32)


def _tile_order(isa: Isa) -> npt.NDArray[np.intp]:
    """Which column of a tile lane l of vector v is, [v * lanes + l]; see `kernels._requantise`."""
    if isa.name != "avx512":
        return np.arange(isa.columns)
    vector, lane = np.divmod(np.arange(isa.columns), isa.lanes)
    order: npt.NDArray[np.intp] = lane // 4 * 16 + vector * 4 + lane % 4
    return order


def lower(graph: Graph, parameters: Parameters, taps: tuple[str, ...], images: int, block: int, isa: Isa) -> Program:
    """The steps that compute `taps` for so many images, `block` at a time."""
    needed = set(taps)
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    nodes = [node for node in graph.nodes if node.name in needed]
    last_use = {name: i for i, node in enumerate(nodes) for name in node.inputs}
    layout = {INPUT: panels(graph.input_shape), **{node.name: panels(graph.shapes[node.name]) for node in nodes}}

    # A tensor lives in a slot from the step that computes it to the last that reads it. Slots are of one size.
    slot_size = _round_up(max(tensor.bytes(block) for tensor in layout.values()), ALIGNMENT)
    slots = 1
    free: list[int] = []
    slot_of = {INPUT: 0}
    starts: dict[str, tuple[int, int]] = {}
    out = packed = 0
    steps = np.zeros((len(nodes), kernels.FIELDS), np.int64)
    for i, node in enumerate(nodes):
        if not free:
            free.append(slots)
            slots += 1
        slot_of[node.name] = free.pop()
        into, result = layout[node.inputs[0]], layout[node.name]
        tap = -1
        if node.name in taps:
            size = int(np.prod(graph.shapes[node.name]))
            tap = out
            starts[node.name] = (tap, size)
            out += images * size
        quads = 0
        if isinstance(node.op, Linear):
            over_channels = node.op.over is Axis.CHANNELS
            quads = (_round_up(into.channels, 4) if over_channels else into.each) // 4
            packed = max(packed, quads * 4 * isa.columns if over_channels else 0)
        sources = [slot_of[name] * slot_size for name in node.inputs]
        steps[i] = (
            _code(node),
            sources[0],
            sources[-1],
            slot_of[node.name] * slot_size,
            *(into.channels, result.channels, into.width, result.width, into.each, result.each),
            *(into.tokens, result.tokens, quads),
            *parameters.at[node.name],
            tap,
        )
        free.extend({slot_of[name] for name in node.inputs if last_use[name] == i})
        if node.name not in last_use:
            free.append(slot_of[node.name])
    scratch = max(tensor.rows * _round_up(tensor.tokens, 16) for tensor in layout.values())
    return Program(steps, {name: starts[name] for name in taps}, out, slots * slot_size, packed, scratch)


def _code(node: Node) -> int:
    if isinstance(node.op, Linear):
        return kernels.LINEAR_CHANNELS if node.op.over is Axis.CHANNELS else kernels.LINEAR_TOKENS
    codes = {Affine: kernels.LUT, Lut: kernels.LUT, Relu: kernels.RELU, Add: kernels.ADD, Pool: kernels.POOL}
    return codes[type(node.op)]


def _bytes(array: npt.NDArray[Any]) -> UInt8:
    return np.ascontiguousarray(array, np.int8).view(np.uint8).ravel()


def _round_up(n: int, step: int) -> int:
    return -(-n // step) * step


def aligned(array: UInt8) -> UInt8:
    """A copy that starts at a multiple of ALIGNMENT."""
    copy = space(array.size)
    copy[:] = array
    return copy


def space(size: int) -> UInt8:
    """So many zero bytes that start at a multiple of ALIGNMENT, and as many behind them as a vector is long."""
    room = np.zeros(size + 2 * ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size]
