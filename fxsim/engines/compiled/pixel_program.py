"""Lowering of graphs of pixels: convolutions, thresholds and windows become parameters and a flat program.

A convolution takes one of three forms. Inputs of up to 8 bits and more are multiplied; where the inputs have few values
(what a threshold gives, not what its format could hold) and the weights two or four, sums of four or two products are
looked up. Thresholds of a convolution's sums are done to them in the registers, where nothing else reads the sums.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import gcd
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fxsim import contract
from fxsim.contract import Tensor
from fxsim.engines.compiled import codes
from fxsim.engines.compiled.isa import Isa
from fxsim.engines.compiled.layout import ALIGNMENT, UInt8, aligned, rounded_up
from fxsim.engines.compiled.windows import CHANNEL_STEP, TABLE_COLUMNS, TABLE_ROWS
from fxsim.errors import ModelError
from fxsim.graph import INPUT, Graph, Node
from fxsim.operators import (
    FEATURE_MAPS,
    Add,
    Affine,
    Conv,
    Linear,
    Lut,
    MaxPool,
    NotTaken,
    OperatorTable,
    Pool,
    Relu,
    Threshold,
)

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Values = tuple[int, ...]
"""All values that a tensor can have, rising."""

_VALUES_MAX = 16
"""Most different values that are kept count of."""
_RUN_MIN = 8
"""Least steps after which sums of bytes are full, with which tables are worth while."""
_HALF_MAX = (1 << 15) - 2
"""Greatest sum that is looked up: that and one more are numbers of 16 bits."""
_PASSED_MAX = 16
"""Most thresholds that are done to sums in registers: of more the step of thresholds finds its way by halves."""
_TOGETHER = 64
"""Pixels of a result that a convolution computes together, of several images where they have fewer."""
_TABLE_BITS = 8
"""Widest input of a function that is looked up."""


class Stored(NamedTuple):
    """The way that a tensor lies: pixels of an image, channels, whether as 32-bit words, and whether with a sign."""

    pixels: int
    channels: int
    words: bool
    signed: bool

    @property
    def row(self) -> int:
        """Values of a pixel, padding included."""
        return rounded_up(self.channels, CHANNEL_STEP)

    def bytes(self, images: int) -> int:
        """Room for so many images, with that of a tile behind the last pixel."""
        return rounded_up((images * self.pixels + 8) * self.row * (4 if self.words else 1), ALIGNMENT)


def stored(tensor: Tensor, name: str) -> Stored:
    """Layout of the tensor that a node gives; ModelError where its values need more than 32 bits with a sign."""
    number = tensor.number
    if number.high >= 1 << 31:
        raise ModelError(f"the compiled engine takes up to 32 bits with a sign, '{name}' gives {number}")
    return Stored(tensor.size // tensor.shape[-1], tensor.shape[-1], number.bits > 8, number.low < 0)


@dataclass(frozen=True)
class PixelStep:
    """Nodes that are computed together: a convolution and the thresholds of its sums, or one node."""

    nodes: tuple[Node, ...]

    @property
    def name(self) -> str:
        """The tensor that it gives."""
        return self.nodes[-1].name

    @property
    def source(self) -> str:
        """The tensor that it takes."""
        return self.nodes[0].inputs[0]

    @property
    def operator(self) -> str:
        """The name under which steps are counted together."""
        return self.nodes[0].op.kind


@dataclass(frozen=True)
class PixelProgram:
    """The steps that compute some taps, as records and as int64 [steps, PIXEL_FIELDS].

    `starts`: by tap, where it starts in the output, in bytes; `out`, `arena`: bytes of the output and of all tensors.
    """

    steps: tuple[PixelStep, ...]
    code: Int64
    starts: dict[str, int]
    out: int
    arena: int


@dataclass(frozen=True)
class PackedPixels:
    """A graph's parameters. `at`: by the names of a step's nodes, where its bytes and its 32-bit numbers start.

    `units`, `places`: bytes of factors and number of pixels that a convolution has at once, of all the most.
    """

    data: UInt8
    words: Int32
    at: dict[tuple[str, ...], tuple[int, int]]
    units: int
    places: int


@dataclass
class _Parameters:
    """Bytes and 32-bit numbers as they are gathered, each part aligned."""

    data: list[UInt8] = field(default_factory=list)
    words: list[Int32] = field(default_factory=list)
    data_at: int = 0
    words_at: int = 0

    def add(self, array: npt.NDArray[Any]) -> int:
        """Add the bytes of an array; gives the place where they start."""
        flat = np.ascontiguousarray(array).view(np.uint8).ravel()
        start, padding = self.data_at, -flat.size % ALIGNMENT
        self.data += [flat, np.zeros(padding, np.uint8)]
        self.data_at += flat.size + padding
        return start

    def add_words(self, array: npt.NDArray[Any]) -> int:
        """Add the numbers of an array; gives the place where they start."""
        flat = np.ascontiguousarray(array, np.int32).ravel()
        start, padding = self.words_at, -flat.size % (ALIGNMENT // 4)
        self.words += [flat, np.zeros(padding, np.int32)]
        self.words_at += flat.size + padding
        return start


# --- Values ----------------------------------------------------------------------------------------------------------


def values_of(graph: Graph) -> dict[str, Values | None]:
    """All values that each tensor can have, where they are few: of its format, or of what gives it."""
    found: dict[str, Values | None] = {}
    for name, tensor in graph.tensors.items():
        number = tensor.number
        values: Values | None = None
        if number.high - number.low < _VALUES_MAX:
            held = np.arange(number.low, number.high + 1)
            values = tuple(v for v in held.tolist() if number.holds(np.array([v])))
        if name != INPUT:
            op = graph.by_name[name].op
            if isinstance(op, Threshold):
                values = _few(op.levels)
            elif isinstance(op, MaxPool):
                values = found[graph.by_name[name].inputs[0]]
            elif isinstance(op, Lut):
                # What lies between two points lies between their values: only entries that are read themselves count.
                values = _few(contract.expand_table(op.table, op.rule, op.number)) if _is_small(op) else values
        found[name] = values
    return found


def _is_small(op: Lut) -> bool:
    return op.number.bits <= _TABLE_BITS


def _few(values: npt.NDArray[np.integer]) -> Values | None:
    found = np.unique(values)
    return tuple(found.tolist()) if len(found) <= _VALUES_MAX else None


# --- Thresholds ------------------------------------------------------------------------------------------------------


def rising_levels(op: Threshold, low: Int64, high: Int64) -> tuple[Int64, Int64]:
    """Thresholds [C, n] that rise, all x >= t, and levels [C, n + 1] after each, for x from `low` to `high` [C].

    A threshold that falls, x <= t, is one that is lost at x >= t + 1: its channel's levels are counted down. One below
    `low` is `low`, which is always reached; one above `high` gives no other level than the one before.
    """
    falls = (op.rising == 0)[:, None]
    limits = np.sort(op.threshold.astype(np.int64) + falls, axis=1)
    levels = np.where(falls, op.levels[::-1].astype(np.int64)[None], op.levels.astype(np.int64)[None])
    for k in range(limits.shape[1]):
        never = limits[:, k] > high
        levels[never, k + 1] = levels[never, k]
    return np.clip(limits, low[:, None], high[:, None]), levels


# --- Convolutions ----------------------------------------------------------------------------------------------------


class _Tables(NamedTuple):
    """Products that are looked up.

    Inputs of a unit; values of inputs and of weights; entries [codes, 16]; their scale, and the sum of an entry 0.
    """

    each: int
    inputs: Values
    weights: Values
    entries: UInt8
    scale: int
    least: int

    @property
    def most(self) -> int:
        """Entries whose sum is a byte, whatever they are."""
        return 255 // max(1, int(self.entries.max()))


def _tables(op: Conv, inputs: Values | None) -> _Tables | None:
    """The tables of a convolution, whose inputs have these values; None where they are too many, or sums too great.

    An entry is a sum of products less the least that there is, in units of what all sums are multiples of. So that it
    is a byte without sign, and so is the sum of `most` of them, and that of all a number of 15 bits.
    """
    weights = tuple(np.unique(op.weight).tolist())
    if inputs is None or len(weights) > 4:
        return None
    if any(op.padding):
        inputs = tuple(sorted({*inputs, 0}))
    each = 4 if len(weights) <= 2 else 2
    radix = max(2, len(inputs))
    if radix**each > 256:
        return None
    weights += (weights[-1],) * ((2 if each == 4 else 4) - len(weights))
    inputs += (inputs[-1],) * (radix - len(inputs))
    bits = 4 // each
    sums = np.zeros((radix**each, codes.TABLE_ENTRIES), np.int64)
    for k in range(each):
        digit = np.arange(len(sums)) // radix**k % radix
        chosen = np.arange(codes.TABLE_ENTRIES) >> bits * k & ((1 << bits) - 1)
        sums += np.multiply.outer(np.array(inputs)[digit], np.array(weights)[chosen])
    least = int(sums.min())
    scale = max(1, gcd(*(sums - least).ravel().tolist()))
    entries = (sums - least) // scale
    greatest = int(entries.max())
    steps = op.weight.size // len(op.weight) // op.weight.shape[3] * -(-op.weight.shape[3] // each)
    if greatest * _RUN_MIN > 255 or greatest * steps > _HALF_MAX:
        return None
    return _Tables(each, inputs, weights, entries.astype(np.uint8), scale, least)


def _runs(op: Conv, padded_columns: int, units: int, most: int) -> list[tuple[int, int]]:
    """Runs of a window's units: (distance from its first, units), of at most so many."""
    _, rows, columns, _ = op.weight.shape
    pixel = op.groups * units
    found = []
    for r in range(rows):
        start = r * op.dilation[0] * padded_columns * pixel
        if op.groups == 1 and op.dilation[1] == 1:
            found.append((start, columns * units))
        else:
            found += [(start + s * op.dilation[1] * pixel, units) for s in range(columns)]
    return [
        (start + first, min(most, count - first)) for start, count in found for first in range(0, count, most)
    ]  # fmt: skip


def _pack_conv(
    graph: Graph, node: Node, after: Node | None, values: Values | None, isa: Isa, parameters: _Parameters
) -> tuple[tuple[int, int], int, int]:
    """Add a convolution's parameters, and those of thresholds after it: their starts, its units' bytes, its pixels."""
    op: Any = node.op
    source, result = graph.tensors[node.inputs[0]], graph.tensors[node.name]
    number = source.number
    if number.bits > 16:
        raise ModelError(
            f"node '{node.name}': the compiled engine takes a conv of up to 16 bits, its input is {number}"
        )
    outputs, _, _, each_channels = op.weight.shape
    share = outputs // op.groups
    tables = _tables(op, values) if isa.name != "plain" and number.bits <= 8 else None
    form = codes.LOOKED_UP if tables else codes.FOUR_BYTES if isa.depth == 4 and number.bits <= 8 else codes.TWO_NUMBERS
    each = tables.each if tables else 4 if form == codes.FOUR_BYTES else 2
    units = -(-each_channels // each)
    steps = units * op.weight.shape[1] * op.weight.shape[2]
    top, left, bottom, right = op.padding
    padded = source.shape[0] + top + bottom, source.shape[1] + left + right
    columns = TABLE_COLUMNS if tables else isa.columns
    tiles = -(-share // columns)
    numbers = np.zeros(codes.CONV_NUMBERS, np.int64)
    runs = _runs(op, padded[1], units, tables.most if tables else steps)

    # Weights as [group, tile, column, step, one of a unit's].
    weight = np.zeros((op.groups, tiles * columns, *op.weight.shape[1:3], units * each), np.int64)
    shaped = op.weight.reshape(op.groups, share, *op.weight.shape[1:]).astype(np.int64)
    weight[:, :share, ..., :each_channels] = shaped
    factors = weight.reshape(op.groups, tiles, columns, steps, each).swapaxes(2, 3)
    low, high = op.accumulator_range(source)
    totals = shaped.reshape(outputs, -1).sum(axis=1)
    starts = np.zeros(outputs, np.int64)
    zero = padding = no_digit = scale = start = 0
    data: dict[int, npt.NDArray[Any]] = {}
    if tables:
        index = np.zeros(weight.shape, np.int64)
        index[:, :share, ..., :each_channels] = np.searchsorted(tables.weights, shaped)
        index = index.reshape(op.groups, tiles, columns, steps, each).swapaxes(2, 3)
        bits = 4 // each
        data[codes.C_WEIGHTS_AT] = (index << bits * np.arange(each)).sum(axis=-1).astype(np.uint8)
        no_digit = tables.inputs.index(0) if 0 in tables.inputs else 0
        radix = len(tables.inputs)
        padding = codes.TABLE_ENTRIES * sum(no_digit * radix**k for k in range(each))
        missing = (units * each - each_channels) * op.weight.shape[1] * op.weight.shape[2]
        scale = tables.scale
        start = tables.least * steps - missing * tables.inputs[no_digit] * tables.weights[0]
        base = 128 if number.low < 0 else 0
        data[codes.C_VALUES_AT] = np.repeat(np.array(tables.inputs) + base, CHANNEL_STEP).astype(np.uint8)
        data[codes.C_DIGITS_AT] = (
            (np.arange(256)[:, None] >= np.array(tables.inputs[1:])[None] + base).sum(axis=1).astype(np.uint8)
        )
        data[codes.C_TABLES_AT] = tables.entries
    else:
        if form == codes.FOUR_BYTES:
            data[codes.C_WEIGHTS_AT] = factors.astype(np.int8)
            padding = 128 if number.low < 0 else 0
            starts = -padding * totals
        else:
            data[codes.C_WEIGHTS_AT] = factors.astype(np.int16)
            zero = padding = -(1 << 15) if number.high >= 1 << 15 else 0
            starts = -zero * totals
    laid = np.zeros((op.groups, tiles * columns), np.int64)
    laid[:, :share] = starts.reshape(op.groups, share)
    words = {codes.C_STARTS_AT: laid}
    passed = -1
    if after is not None:
        steps_of: Any = after.op
        limits, levels = rising_levels(steps_of, low, high)
        if tables:
            # acc = scale * sum + start is at least T where the sum is at least (T - start) / scale, rounded up.
            limits = np.clip(-((start - limits) // scale), 0, int(tables.entries.max()) * steps + 1)
        passed = limits.shape[1]
        stored_levels = levels + (128 if steps_of.out.low < 0 else 0)
        both = np.zeros((op.groups, tiles * columns, passed + 1, 2), np.int64)
        both[:, :share, 1:, 0] = limits.reshape(op.groups, share, passed)
        both[:, :share, :, 1] = stored_levels.reshape(op.groups, share, passed + 1)
        both = np.moveaxis(both.reshape(op.groups, tiles, columns, passed + 1, 2), 2, 4)
        if tables:
            size = 4 * isa.lanes
            order = np.arange(columns).reshape(-1, size // 2, 2).swapaxes(1, 2).ravel()
            data[codes.C_THRESHOLDS_AT] = both[..., order].astype(np.int16)
        else:
            words[codes.C_THRESHOLDS_AT] = both
    together = max(1, _TOGETHER // graph_pixels(result))
    settings = {
        codes.C_FORM: form, codes.C_ROWS: source.shape[0], codes.C_COLUMNS: source.shape[1], codes.C_TOP: top,
        codes.C_LEFT: left, codes.C_PADDED_ROWS: padded[0], codes.C_PADDED_COLUMNS: padded[1],
        codes.C_ROW_STRIDE: op.stride[0], codes.C_COLUMN_STRIDE: op.stride[1], codes.C_COLUMNS_OUT: result.shape[1],
        codes.C_GROUPS: op.groups, codes.C_UNITS: units, codes.C_SHARE: share, codes.C_TILES: tiles,
        codes.C_STEPS: steps, codes.C_RUNS: len(runs), codes.C_TOGETHER: together, codes.C_EACH: each,
        codes.C_VALUES: len(tables.inputs) if tables else 0, codes.C_EACH_CHANNELS: each_channels,
        codes.C_PADDING: padding, codes.C_ZERO: zero, codes.C_NO_DIGIT: no_digit, codes.C_SCALE: scale,
        codes.C_START: start, codes.C_THRESHOLDS: passed,
    }  # fmt: skip
    for place, value in settings.items():
        numbers[place] = value
    data_at = parameters.data_at
    for place, array in data.items():
        numbers[place] = parameters.add(array) - data_at
    words[codes.C_RUNS_AT] = np.array(runs)
    words_at = parameters.words_at
    ahead = rounded_up(codes.CONV_NUMBERS, ALIGNMENT // 4)
    for place, array in words.items():
        numbers[place] = ahead
        ahead += rounded_up(array.size, ALIGNMENT // 4)
    if (numbers < -(1 << 31)).any() or (numbers >= 1 << 31).any():
        raise ModelError(f"node '{node.name}': the compiled engine takes parameters of less than 2 GiB")
    parameters.add_words(numbers)
    for array in words.values():
        parameters.add_words(array)
    room = together * padded[0] * padded[1] * op.groups * units * codes.UNIT_BYTES[form]
    return (data_at, words_at), room + 2 * ALIGNMENT, together * graph_pixels(result) + 2 * TABLE_ROWS


def graph_pixels(tensor: Tensor) -> int:
    """Pixels of a tensor: all places that have channels."""
    return tensor.size // tensor.shape[-1]


# --- Other operators -------------------------------------------------------------------------------------------------


def _pack_max_pool(graph: Graph, node: Node, parameters: _Parameters) -> tuple[int, int]:
    op: Any = node.op
    source, result = graph.tensors[node.inputs[0]], graph.tensors[node.name]
    numbers = [*op.kernel, *op.stride, source.shape[1], result.shape[1]]
    return 0, parameters.add_words(np.array(numbers))


def _pack_function(graph: Graph, node: Node, parameters: _Parameters) -> tuple[int, int]:
    """Add a function's table for all 256 bytes of each channel, of bytes or of words: where it starts."""
    source, result = graph.tensors[node.inputs[0]], graph.tensors[node.name]
    number = source.number
    if number.bits > _TABLE_BITS:
        raise ModelError(
            f"node '{node.name}': the compiled engine takes a {node.op.kind} of up to {_TABLE_BITS} bits here, its "
            f"input is {number}"
        )
    base = -128 if number.low < 0 else 0
    inputs = np.arange(256) + base
    inputs = np.clip(inputs, number.low, number.high).astype(number.dtype)
    table = FUNCTIONS[type(node.op)](node.op, np.repeat(inputs[:, None], source.shape[-1], axis=1)).T
    if stored(result, node.name).words:
        return 0, parameters.add_words(table)
    return parameters.add((table.astype(np.int64) + (128 if result.number.low < 0 else 0)).astype(np.uint8)), 0


def _pack_word_threshold(graph: Graph, node: Node, parameters: _Parameters) -> tuple[int, int]:
    op: Any = node.op
    number = graph.tensors[node.inputs[0]].number
    ends = (np.full(len(op.threshold), end, np.int64) for end in (number.low, number.high))
    limits, levels = rising_levels(op, *ends)
    rows = np.concatenate([limits, levels], axis=1)
    return 0, parameters.add_words(np.concatenate([[limits.shape[1]], rows.ravel()]))


FUNCTIONS: OperatorTable[Callable[..., Any]] = OperatorTable(
    "the compiled engine beside convolutions",
    {
        Threshold: lambda op, x: contract.threshold(x, op.threshold, op.rising, op.levels),
        Lut: lambda op, x: contract.lookup(x, op.table, op.rule, op.number),
        Relu: lambda _, x: contract.relu(x),
        Affine: lambda op, x: contract.affine(x, op.weight, op.bias, op.shift, op.out),
        **dict.fromkeys((Conv, MaxPool), NotTaken("because it is no function of one value")),
        **dict.fromkeys((Linear, Add, Pool, *FEATURE_MAPS), NotTaken("because it has no kernel of it there")),
    },
)
"""The function of an operator of one value, of the record and the values."""


def is_pixels(graph: Graph) -> bool:
    """Whether a graph has an operator that only programs over pixels have kernels of."""
    return any(isinstance(node.op, Conv | MaxPool | Threshold) for node in graph.nodes)


def _is_passed(graph: Graph, node: Node) -> bool:
    """Whether a node's thresholds may be done to the sums of the convolution before it."""
    op = node.op
    if not isinstance(op, Threshold) or node.inputs[0] == INPUT or op.threshold.shape[1] > _PASSED_MAX:
        return False
    return isinstance(graph.by_name[node.inputs[0]].op, Conv) and op.out.bits <= 8


def pack_pixels(graph: Graph, isa: Isa) -> PackedPixels:
    """A graph's parameters for one instruction set; ModelError, naming the node, for what has no kernel."""
    parameters = _Parameters()
    at: dict[tuple[str, ...], tuple[int, int]] = {}
    units = places = ALIGNMENT
    values = values_of(graph)
    for name, tensor in graph.tensors.items():
        stored(tensor, name)
    for node in graph.nodes:
        if isinstance(node.op, Conv):
            followers = [n for n in graph.nodes if node.name in n.inputs and _is_passed(graph, n)]
            for after in (None, *followers):
                where, room, count = _pack_conv(graph, node, after, values[node.inputs[0]], isa, parameters)
                at[(node.name,) if after is None else (node.name, after.name)] = where
                units, places = max(units, room), max(places, count)
        elif isinstance(node.op, MaxPool):
            at[(node.name,)] = _pack_max_pool(graph, node, parameters)
        elif isinstance(node.op, Threshold) and graph.tensors[node.inputs[0]].number.bits > _TABLE_BITS:
            at[(node.name,)] = _pack_word_threshold(graph, node, parameters)
        else:
            try:
                FUNCTIONS[type(node.op)]
            except ModelError as error:
                raise ModelError(f"node '{node.name}': {error}") from None
            at[(node.name,)] = _pack_function(graph, node, parameters)
    data = aligned(np.concatenate([*parameters.data, np.zeros(ALIGNMENT, np.uint8)]))
    words = aligned(np.concatenate([*parameters.words, np.zeros(ALIGNMENT, np.int32)]).view(np.uint8)).view(np.int32)
    return PackedPixels(data, words, at, rounded_up(units, ALIGNMENT), places)


def fuse_pixels(graph: Graph, taps: tuple[str, ...]) -> tuple[PixelStep, ...]:
    """The steps that have to be computed for `taps`."""
    needed = set(taps)
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    nodes = [node for node in graph.nodes if node.name in needed]
    readers: dict[str, list[Node]] = {}
    for node in nodes:
        for name in set(node.inputs):
            readers.setdefault(name, []).append(node)
    steps: list[PixelStep] = []
    taken: set[str] = set()
    for node in nodes:
        if node.name in taken:
            continue
        after = readers.get(node.name, [])
        if isinstance(node.op, Conv) and node.name not in taps and len(after) == 1 and _is_passed(graph, after[0]):
            taken.add(after[0].name)
            steps.append(PixelStep((node, after[0])))
        else:
            steps.append(PixelStep((node,)))
    order = {node.name: i for i, node in enumerate(nodes)}
    return tuple(sorted(steps, key=lambda step: order[step.name]))


def lower_pixels(graph: Graph, packed: PackedPixels, taps: tuple[str, ...], images: int, block: int) -> PixelProgram:
    """The steps that compute `taps` for so many images, `block` at a time."""
    steps = fuse_pixels(graph, taps)
    layout = {name: stored(tensor, name) for name, tensor in graph.tensors.items()}
    last_use = {step.source: i for i, step in enumerate(steps)}
    sizes = [layout[INPUT].bytes(block)]
    slot_of = {INPUT: 0}
    free: list[int] = []
    chosen = []
    starts: dict[str, int] = {}
    out = 0
    for i, step in enumerate(steps):
        size = layout[step.name].bytes(block)
        # The least that is large enough, or else the largest, which then grows.
        fits = sorted((sizes[slot] < size, abs(sizes[slot] - size), slot) for slot in free)
        if fits:
            slot = fits[0][-1]
            free.remove(slot)
            sizes[slot] = max(sizes[slot], size)
        else:
            slot = len(sizes)
            sizes.append(size)
        slot_of[step.name] = slot
        chosen.append((slot_of[step.source], slot))
        if last_use[step.source] == i:
            free.append(slot_of[step.source])
        if step.name not in last_use:
            free.append(slot)
        if step.name in taps:
            starts[step.name] = out
            out += rounded_up(images * graph.tensors[step.name].nbytes, ALIGNMENT)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    code = np.zeros((len(steps), codes.PIXEL_FIELDS), np.int64)
    for i, (step, (source, slot)) in enumerate(zip(steps, chosen, strict=True)):
        into, result = layout[step.source], layout[step.name]
        code[i] = (
            _code(step.nodes[0], into), offsets[source], into.words, into.signed, offsets[slot], result.words,
            result.signed, into.channels, result.channels, into.pixels, result.pixels,
            *packed.at[tuple(node.name for node in step.nodes)], starts.get(step.name, -1),
            graph.tensors[step.name].number.dtype.itemsize,
        )  # fmt: skip
    return PixelProgram(steps, code, {name: starts[name] for name in taps}, out, int(offsets[-1]))


def _code(node: Node, into: Stored) -> int:
    if isinstance(node.op, Conv):
        return codes.CONV
    if isinstance(node.op, MaxPool):
        return codes.MAX_POOL
    return codes.WORD_THRESHOLD if into.words else codes.BYTE_FUNCTION


SPARE_BYTES = 4 * TABLE_COLUMNS * 8
"""Room for a tile of words."""
