"""Lowering of graphs of pixels: convolutions, windows and functions become parameters and a flat program.

A node is one part, or two: a linear over channels is a convolution of a place alone, whose sums are then rounded.
Thresholds are done to a convolution's sums in its registers, where nothing else reads these, and to its inputs as they
are laid out for tables. Functions of one value or two are done one after the other in buffers.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fxsim import contract
from fxsim.contract import CHANNEL, COLUMN, ROW, Division, Number, Rounding, Tensor
from fxsim.contract.number import INT32
from fxsim.contract.rescaling import HIGH_MULTIPLY_BITS
from fxsim.engines.compiled import codes, pixel_ranges
from fxsim.engines.compiled.convolutions import (
    TABLE_BITS,
    StoredValues,
    Values,
    form_of,
    pack_conv,
    rising_levels,
    steps_of,
    values_of,
)
from fxsim.engines.compiled.isa import Isa
from fxsim.engines.compiled.layout import ALIGNMENT, UInt8, rounded_up
from fxsim.engines.compiled.pixel_layout import CHANNEL_STEP, Parameters, Stored, pixels_of, stored
from fxsim.engines.compiled.ranges import Range
from fxsim.engines.compiled.windows import TABLE_SUMS
from fxsim.errors import ModelError
from fxsim.graph import INPUT, Graph, Node
from fxsim.operators import (
    FEATURE_MAPS,
    ORDERS,
    Add,
    Affine,
    Argmax,
    Axis,
    Concat,
    Conv,
    Encode,
    Gate,
    Linear,
    Lut,
    Matmul,
    MaxPool,
    MultiplyAdd,
    OperatorTable,
    OrderedLinear,
    Pad,
    Pool,
    Position,
    Prelu,
    Relu,
    Rescale,
    SumPool,
    Threshold,
    WeightedAdd,
)

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

_PASSED_MAX = 16
"""Most thresholds that are done one after the other: of more the step of thresholds finds its way by halves."""
_LIMIT = 1 << 31
"""The least number that 32 bits with a sign cannot hold."""


class Part(NamedTuple):
    """A node, or half of one. `name`: the tensor that it gives; `conv`: the convolution that it is, or None."""

    name: str
    inputs: tuple[str, ...]
    node: Node
    conv: Conv | None = None

    @property
    def rounds(self) -> bool:
        """Whether it rounds a linear's sums."""
        return self.conv is None and isinstance(self.node.op, Linear)


class Packed(NamedTuple):
    """A part's operator, and where its bytes and its 32-bit numbers start.

    `operation`: of a pointwise part, with the thresholds that it has.
    """

    code: int
    bytes: int = 0
    words: int = 0
    operation: int = 0
    thresholds: int = 0


@dataclass(frozen=True)
class PixelStep:
    """Parts that are computed together: a convolution and thresholds before and behind it, pointwise parts, or one.

    `results`: the tensors that it gives, that of its last part last.
    """

    parts: tuple[Part, ...]
    results: tuple[str, ...]

    @property
    def name(self) -> str:
        """The tensor that its last part gives."""
        return self.parts[-1].name

    @property
    def inputs(self) -> tuple[str, ...]:
        """The tensors that it takes, each once."""
        within = {part.name for part in self.parts}
        return tuple(dict.fromkeys(name for part in self.parts for name in part.inputs if name not in within))

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes that it computes; a linear counts where its sums are made."""
        return tuple(part.node for part in self.parts if not part.rounds)

    @property
    def operator(self) -> str:
        """The name under which steps are counted together."""
        for part in self.parts:
            if part.conv is not None:
                return part.node.op.kind
        if len(self.parts) > 1:
            return "pointwise"
        return "rounding" if self.parts[0].rounds else self.parts[0].node.op.kind


@dataclass(frozen=True)
class PixelProgram:
    """The steps that compute some taps, as records and as int64 [steps, PIXEL_FIELDS].

    `operations`: those of pointwise steps, int64 [operations, OPERATION_FIELDS], on so many `buffers`. `starts`: by
    tap, where it starts in the output, in bytes; `out`, `arena`: bytes of the output and of all tensors.
    """

    steps: tuple[PixelStep, ...]
    code: Int64
    operations: Int64
    buffers: int
    starts: dict[str, int]
    out: int
    arena: int


@dataclass(frozen=True)
class PackedPixels:
    """A graph's parameters. `at`: those of each part, and of a convolution with thresholds around it, by their names.

    `units`, `places`: bytes of factors and number of pixels that a convolution has at once, of all the most;
    `greatest`: bytes of the largest tensor.
    """

    data: UInt8
    words: Int32
    parts: tuple[Part, ...]
    tensors: dict[str, Tensor]
    at: dict[tuple[str, ...], Packed]
    units: int
    places: int
    greatest: int


# --- Parts -----------------------------------------------------------------------------------------------------------


def parts_of(graph: Graph) -> tuple[tuple[Part, ...], dict[str, Tensor]]:
    """The parts of a graph's nodes, in order, and all tensors; ModelError, with the node, for what has no kernel."""
    tensors = dict(graph.tensors)
    parts = []
    for node in graph.nodes:
        op: Any = node.op
        if isinstance(op, Conv):
            parts.append(Part(node.name, node.inputs, node, op))
        elif isinstance(op, Linear):
            parts += _linear_parts(node, tensors)
        else:
            parts.append(Part(node.name, node.inputs, node))
    return tuple(parts), tensors


def _linear_parts(node: Node, tensors: dict[str, Tensor]) -> list[Part]:
    """A linear's sums, and if these are not its result, their rounding. Adds the tensor of sums."""
    op: Any = node.op
    if op.over is not Axis.CHANNELS:
        raise ModelError(
            f"node '{node.name}': the compiled engine beside convolutions takes a linear over channels, it is over "
            f"{op.over}"
        )
    source, result = tensors[node.inputs[0]], tensors[node.name]
    low, high = op.accumulator_range(source)
    number = result.number
    if max(-int(low.min()), int(high.max())) >= _LIMIT:
        raise ModelError(
            f"node '{node.name}': the compiled engine takes sums of 32 bits, those of this linear may need more"
        )
    exact = number.signed and not number.bipolar and number.low <= low.min() and high.max() <= number.high
    if not exact or op.shift.any() or op.bias.any():
        number = INT32
    conv = Conv(op.weight[:, None, None, :], weight_number=op.weight_number, out=number)
    if number == result.number and exact and not op.shift.any() and not op.bias.any():
        return [Part(node.name, node.inputs, node, conv)]
    # No node can have this name.
    sums = f"{node.name} sums"
    tensors[sums] = Tensor(result.axes, result.shape, INT32)
    return [Part(sums, node.inputs, node, conv), Part(node.name, (sums,), node)]


def _image(tensor: Tensor, part: Part) -> Tensor:
    """The image that a part's convolution takes: of a linear, its pixels one below the other."""
    if isinstance(part.node.op, Conv):
        return tensor
    return Tensor((ROW, COLUMN, CHANNEL), (pixels_of(tensor), 1, tensor.shape[-1]), tensor.number)


# --- Pointwise parts -------------------------------------------------------------------------------------------------


def _ranges(tensor: Tensor) -> tuple[Int64, Int64]:
    """Least and greatest value of each channel, by the format."""
    channels = tensor.shape[-1]
    return np.full(channels, tensor.number.low, np.int64), np.full(channels, tensor.number.high, np.int64)


def _ends(number: Number, channels: int) -> list[Int64]:
    return [np.full(channels, end, np.int64) for end in (number.low, number.high)]


def _fits(*ends: Int64) -> bool:
    """Whether all of these are numbers of 32 bits with a sign."""
    return all(bool((end >= -_LIMIT).all() and (end < _LIMIT).all()) for end in ends)


def _rounded(packing: "Packing", part: Part, code: int, weights: list[Int64]) -> tuple[int, list[Int64]]:
    """The operation of products and sums that are rounded, one of three from `code` on, and its numbers.

    In 32 bits where the ranges of its inputs prove that no sum needs more, nor that with the rounding half; without
    saturating where they prove that no result leaves its format.
    """
    op: Any = part.node.op
    ranges = [packing.ranges[name] for name in part.inputs]
    number, scales = packing.tensors[part.name].number, code == codes.SCALE
    shift = op.shift.astype(np.int64)
    zeros = np.zeros(len(shift), np.int64)
    before, after = zeros, zeros
    if isinstance(op, MultiplyAdd):
        before = op.bias.astype(np.int64)
    elif scales:
        after = op.bias.astype(np.int64)
    half = (1 << np.minimum(shift, 31)) >> 1
    low, high = (end.astype(np.int64) for end in pixel_ranges.totals(op, *ranges))
    found = pixel_ranges.of_rounded(op, *ranges)
    ends = _ends(number, len(shift))
    if (shift > 31).any() or not _fits(low, high + half, *pixel_ranges.rounded(Range(low, high), shift, after), *found):
        # No sum has more than 50 bits: behind 62 places each is 0.
        numbers = [*weights, *([before] if scales else []), np.minimum(shift, 62), *([after] if scales else [])]
        return code + 1, [*numbers, *ends]
    moved = after << shift
    within = (found.low >= number.low).all() and (found.high <= number.high).all()
    if within and _fits(low + moved, high + half + moved):
        # Start values are modulo 2^32, as sums are.
        return code + 2, [*weights, before + half + moved, shift]
    return code, [*weights, before + half, shift, *([after] if scales else []), *ends]


_RESCALES = {
    Rounding.HALF_UP: codes.RESCALE_UP, Rounding.FLOOR: codes.RESCALE_UP, Rounding.HALF_AWAY: codes.RESCALE_AWAY,
    Rounding.HALF_EVEN: codes.RESCALE_EVEN, Rounding.DOUBLE: codes.RESCALE_TWICE,
}  # fmt: skip


def _rescaling(op: Rescale) -> tuple[int, list[Int64]]:
    """The operation of a rescale, and its numbers without the ends."""
    shift = op.shift.astype(np.int64)
    code = _RESCALES[op.rounding]
    if op.rounding is Rounding.DOUBLE and shift.max() <= HIGH_MULTIPLY_BITS:
        code = codes.RESCALE_UP  # of the second rounding nothing is left
    tie = np.full(len(shift), op.rounding is not Rounding.FLOOR, np.int64)
    numbers = (op.addend, op.multiplier, shift, tie, op.bias)
    return code, [row.astype(np.int64) for row in numbers]


def _pack_pointwise(packing: "Packing", part: Part) -> Packed:
    """Add the numbers of an operation, each a row of channels."""
    op: Any = part.node.op
    inputs = [packing.tensors[name] for name in part.inputs]
    channels, number = inputs[0].shape[-1], packing.tensors[part.name].number
    ends = _ends(number, channels)
    count = 0
    rows: list[Int64] = []
    if isinstance(op, Relu):
        code = codes.RELU
    elif isinstance(op, Add):
        code, rows = codes.SUM, ends
    elif isinstance(op, Gate):
        code, rows = codes.GATE, [op.threshold]
    elif isinstance(op, Threshold):
        code, count = codes.STEPS, op.threshold.shape[1]
        limits, levels = rising_levels(op, *_ranges(inputs[0]))
        rows = [levels[:, 0]]
        for k in range(count):
            rows += [limits[:, k], levels[:, k + 1] - levels[:, k]]
    elif isinstance(op, Prelu):
        code, rows = _rounded(packing, part, codes.SLOPE, [op.weight])
    elif isinstance(op, WeightedAdd):
        code, rows = _rounded(packing, part, codes.WEIGHTED, list(op.weight))
    elif isinstance(op, Rescale):
        code, rows = _rescaling(op)
        rows += ends
    else:
        weight = np.ones(channels, np.int64) if isinstance(op, Linear) else op.weight
        code, rows = _rounded(packing, part, codes.SCALE, [weight])
    laid = np.zeros((len(rows), rounded_up(channels, CHANNEL_STEP)), np.int64)
    for i, row in enumerate(rows):
        laid[i, :channels] = row
    return Packed(codes.POINTWISE_PIXELS, 0, packing.parameters.add_words(laid), code, count)


# --- Other parts -----------------------------------------------------------------------------------------------------


def _pack_threshold(packing: "Packing", part: Part) -> Packed:
    op: Any = part.node.op
    tensor = packing.tensors[part.inputs[0]]
    if op.threshold.shape[1] <= _PASSED_MAX:
        return _pack_pointwise(packing, part)
    if tensor.number.bits <= TABLE_BITS:
        return _pack_function(packing, part, lambda x: contract.threshold(x, op.threshold, op.rising, op.levels))
    limits, levels = rising_levels(op, *_ranges(tensor))
    rows = np.concatenate([limits, levels], axis=1)
    numbers = np.concatenate([[limits.shape[1]], rows.ravel()])
    return Packed(codes.WORD_THRESHOLD, 0, packing.parameters.add_words(numbers))


def _pack_lut(packing: "Packing", part: Part) -> Packed:
    op: Any = part.node.op
    if op.number.bits > TABLE_BITS:
        return _pack_wide_lut(packing, op, packing.tensors[part.name].shape[-1])
    return _pack_function(packing, part, lambda x: contract.lookup(x, op.table, op.rule, op.number))


def _pack_wide_lut(packing: "Packing", op: Lut, channels: int) -> Packed:
    """Add the table of a lut of words for all values of its format, once where all channels have the same."""
    rows = op.table[:1] if (op.table == op.table[0]).all() else op.table
    every = np.arange(op.number.low, op.number.high + 1).astype(op.number.dtype)
    table = contract.lookup(np.repeat(every[:, None], len(rows), axis=1), rows, op.rule, op.number).T
    each = 0 if len(rows) < channels else len(every)
    numbers = np.concatenate([[op.number.low, each], table.ravel()])
    return Packed(codes.WORD_FUNCTION, 0, packing.parameters.add_words(numbers))


def _every_byte(tensor: Tensor) -> npt.NDArray[Any]:
    """All 256 bytes as the values that are stored so, [256, channel]: what the format has not as the nearest it has."""
    number = tensor.number
    inputs = np.arange(256) + (-128 if number.low < 0 else 0)
    held = np.clip(inputs, number.low, number.high).astype(number.dtype)
    return np.repeat(held[:, None], tensor.shape[-1], axis=1)


def _pack_function(packing: "Packing", part: Part, function: Callable[..., Any]) -> Packed:
    """Add a function's table for all 256 bytes of each channel, of bytes or of words."""
    number = packing.tensors[part.name].number
    table = function(_every_byte(packing.tensors[part.inputs[0]])).T
    if number.bits > TABLE_BITS:
        return Packed(codes.BYTE_FUNCTION, 0, packing.parameters.add_words(table))
    shifted = (table.astype(np.int64) + (128 if number.low < 0 else 0)).astype(np.uint8)
    return Packed(codes.BYTE_FUNCTION, packing.parameters.add(shifted))


def _pack_encode(packing: "Packing", part: Part) -> Packed:
    op: Any = part.node.op
    source = packing.tensors[part.inputs[0]]
    base = 128 if op.out.low < 0 else 0
    channels, each = op.threshold.shape
    data, limits = 0, op.threshold
    if source.number.bits <= TABLE_BITS:
        table = contract.encode(_every_byte(source), op.threshold, op.out).reshape(256, channels, each)
        data = packing.parameters.add((table.swapaxes(0, 1).astype(np.int64) + base).astype(np.uint8))
        limits = limits[:0]
    numbers = np.concatenate([[each, op.out.low + base, op.out.high + base], limits.ravel()])
    return Packed(codes.ENCODE, data, packing.parameters.add_words(numbers))


def _window(packing: "Packing", part: Part) -> list[int]:
    op: Any = part.node.op
    source, result = packing.tensors[part.inputs[0]], packing.tensors[part.name]
    return [*op.kernel, *op.stride, source.shape[1], result.shape[1]]


def _pack_max_pool(packing: "Packing", part: Part) -> Packed:
    return Packed(codes.MAX_POOL, 0, packing.parameters.add_words(np.array(_window(packing, part))))


def _pack_sum_pool(packing: "Packing", part: Part) -> Packed:
    op: Any = part.node.op
    return _pack_sums_of_windows(
        packing, part, _window(packing, part), op.limits, op.divisor, op.rounding, op.out
    )  # fmt: skip


def _pack_sums_of_windows(
    packing: "Packing", part: Part, window: list[int], limits: Number | None, divisor: int, rounding: Division,
    out: Number,
) -> Packed:  # fmt: skip
    number = packing.tensors[part.inputs[0]].number
    shift = before = negative = -1
    # Half of the divisor, or all of it but one, is added to such a sum.
    if divisor & (divisor - 1) == 0 and window[0] * window[1] * max(-number.low, number.high) + divisor < _LIMIT:
        shift = divisor.bit_length() - 1
        before = divisor // 2 if rounding is Division.HALF_UP else 0
        negative = divisor - 1 if rounding is Division.ZERO else 0
    least, greatest = (-_LIMIT, _LIMIT - 1) if limits is None else (limits.low, limits.high)
    # The divisor's 32 bits have no sign.
    signed = divisor if divisor < _LIMIT else divisor - 2 * _LIMIT
    code = (Division.FLOOR, Division.HALF_UP, Division.ZERO).index(rounding)
    numbers = [limits is not None, least, greatest, signed, code, out.low, out.high, shift, before, negative]
    return Packed(codes.SUM_POOL, 0, packing.parameters.add_words(np.array([*window, *numbers])))


def _pack_pool(packing: "Packing", part: Part) -> Packed:
    """A window of one row, as long as there are tokens."""
    op: Any = part.node.op
    window, number = [1, op.tokens, 1, op.tokens, op.tokens, 1], packing.tensors[part.name].number
    return _pack_sums_of_windows(packing, part, window, None, op.tokens, Division.HALF_UP, number)


def _pack_pad(packing: "Packing", part: Part) -> Packed:
    op: Any = part.node.op
    rows, columns, channels = packing.tensors[part.inputs[0]].shape
    result = packing.tensors[part.name]
    lies = stored(result, part.name)
    pixel = np.zeros(lies.row, np.int64)
    pixel[:channels] = op.value
    around = pixel.astype(np.int32) if lies.words else (pixel + 128 * lies.signed).astype(np.uint8)
    numbers = np.array([*op.padding[:2], rows, columns, result.shape[1]])
    return Packed(codes.PAD, packing.parameters.add(around), packing.parameters.add_words(numbers))


def _pack_concat(_packing: "Packing", _part: Part) -> Packed:
    return Packed(codes.CONCAT)


def _pack_order(packing: "Packing", part: Part) -> Packed:
    op: Any = part.node.op
    shape = packing.tensors[part.inputs[0]].shape
    value = np.arange(np.prod(shape)).reshape(shape).transpose(op.order).ravel()
    pixel, channel = np.divmod(value, shape[-1])
    places = pixel * rounded_up(shape[-1], CHANNEL_STEP) + channel
    return Packed(codes.REORDER, 0, packing.parameters.add_words(places))


def _pack_ordered_linear(packing: "Packing", part: Part) -> Packed:
    op: Any = part.node.op
    # Behind 33 places a product of 32 bits is 0.
    rows = np.concatenate([op.bias[:, None], np.minimum(op.shift, 40)[:, None], op.weight], axis=1, dtype=np.int64)
    numbers = np.concatenate([[op.out.low, op.out.high], rows.ravel()])
    return Packed(codes.ORDERED_LINEAR, 0, packing.parameters.add_words(numbers))


def _pack_argmax(packing: "Packing", part: Part) -> Packed:
    op: Any = part.node.op
    return Packed(codes.ARGMAX, 0, packing.parameters.add_words(np.array([op.classes])))


def _pack_matmul(packing: "Packing", part: Part) -> Packed:
    op: Any = part.node.op
    other = packing.tensors[part.inputs[1]]
    lies = stored(other, part.inputs[1])
    numbers = [op.heads, op.terms, op.transposed, lies.pixels, lies.channels, lies.words, lies.signed]
    return Packed(codes.MATMUL, 0, packing.parameters.add_words(np.array(numbers)))


def _pack_position(packing: "Packing", part: Part) -> Packed:
    op: Any = part.node.op
    return Packed(codes.POSITION, 0, packing.parameters.add_words(op.table))


def _pack_sums(packing: "Packing", part: Part) -> Packed:
    """Add a convolution's parameters, and once more with thresholds before it and behind it that it may do itself."""
    followers = [p for p in packing.parts if part.name in p.inputs and _is_passed(p)]
    assert part.conv is not None
    source = _image(packing.tensors[part.inputs[0]], part)
    read = _read_through(packing, part)
    for before in (None,) if read is None else (None, read):
        for after in (None, *followers):
            op: Any = None if after is None else after.node.op
            values = packing.values[part.inputs[0]]
            key = id(part.node.op), source, values, id(op), before
            if key not in packing.shared:
                where = pack_conv(
                    part.node.name, part.conv, source, op, values, packing.isa, packing.parameters, before
                )  # fmt: skip
                packing.units, packing.places = max(packing.units, where.units), max(packing.places, where.places)
                packing.shared[key] = Packed(codes.CONV, where.bytes, where.words)
            names = (*(() if before is None else part.inputs), part.name, *(() if after is None else (after.name,)))
            packing.at[names] = packing.shared[key]
    return packing.at[part.name,]


def _read_through(packing: "Packing", part: Part) -> StoredValues | None:
    """Values that a convolution may read in place of the thresholds that give its input: bytes of few values, or None.

    Its products are looked up, and its thresholds give one value for each that they are given, in all channels.
    """
    assert part.conv is not None
    number, values = packing.tensors[part.inputs[0]].number, packing.values[part.inputs[0]]
    before = next((p for p in packing.parts if p.name == part.inputs[0]), None)
    if before is None or not isinstance(before.node.op, Threshold):
        return None
    op: Any = before.node.op
    lies, held = packing.tensors[before.inputs[0]], packing.values[before.inputs[0]]
    if held is None or lies.number.bits > TABLE_BITS or form_of(part.conv, number, values, packing.isa)[2] is None:
        return None
    x = np.repeat(np.array(held, lies.number.dtype)[:, None], lies.shape[-1], axis=1)
    found = contract.threshold(x, op.threshold, op.rising, op.levels)
    if (found != found[:, :1]).any():
        return None
    return StoredValues(lies.number, held, tuple(found[:, 0].tolist()))


def _is_passed(part: Part) -> bool:
    """Whether a part is thresholds that may be done to a convolution's sums in registers."""
    op = part.node.op
    return isinstance(op, Threshold) and op.threshold.shape[1] <= _PASSED_MAX and op.out.bits <= 8


PACK: OperatorTable[Callable[["Packing", Part], Packed]] = OperatorTable(
    "the compiled engine beside convolutions",
    {
        Conv: _pack_sums,
        Threshold: _pack_threshold,
        Lut: _pack_lut,
        Encode: _pack_encode,
        MaxPool: _pack_max_pool,
        SumPool: _pack_sum_pool,
        Pool: _pack_pool,
        Concat: _pack_concat,
        **dict.fromkeys(ORDERS, _pack_order),
        OrderedLinear: _pack_ordered_linear,
        Argmax: _pack_argmax,
        Pad: _pack_pad,
        Matmul: _pack_matmul,
        Position: _pack_position,
        **dict.fromkeys((Linear, Affine, Relu, Add, MultiplyAdd, WeightedAdd, Prelu, Gate, Rescale), _pack_pointwise),
    },
)
"""The function that adds the parameters of a part, by its operator; of a linear, those of its rounding."""


def is_pixels(graph: Graph) -> bool:
    """Whether a graph has an operator that only programs over pixels have kernels of."""
    return any(isinstance(node.op, (Conv, MaxPool, Threshold, *FEATURE_MAPS)) for node in graph.nodes)


@dataclass
class Packing:
    """Parameters as they are packed, of a graph's parts and tensors.

    `values`: those of each tensor, where few; `ranges`: the least and the greatest of each. `shared`: what is packed by
    the operator, which several nodes may have, and by the tensors that it takes, and their ranges.
    """

    isa: Isa
    parts: tuple[Part, ...]
    tensors: dict[str, Tensor]
    values: dict[str, Values | None]
    ranges: dict[str, Range]
    parameters: Parameters
    at: dict[tuple[str, ...], Packed]
    units: int = ALIGNMENT
    places: int = ALIGNMENT
    shared: dict[tuple[Any, ...], Packed] = field(default_factory=dict)


def pack_pixels(graph: Graph, isa: Isa) -> PackedPixels:
    """A graph's parameters for one instruction set; ModelError, naming the node, for what has no kernel."""
    parts, tensors = parts_of(graph)
    greatest = max(stored(tensor, name).bytes(1) for name, tensor in tensors.items())
    ranges = pixel_ranges.ranges_of(parts, tensors)
    packing = Packing(isa, parts, tensors, values_of(graph), ranges, Parameters(), {})
    for part in parts:
        try:
            pack = _pack_sums if part.conv is not None else PACK[type(part.node.op)]
        except ModelError as error:
            raise ModelError(f"node '{part.node.name}': {error}") from None
        if part.conv is not None:
            packing.at[part.name,] = pack(packing, part)
            continue
        names = *part.inputs, *part.node.inputs, part.name
        # Of one operator twice, in a loop, the second may be given what the first is not.
        held = (end.tobytes() for name in names for end in ranges[name])
        key = id(part.node.op), *(tensors[name] for name in names), *held
        if key not in packing.shared:
            packing.shared[key] = pack(packing, part)
        packing.at[part.name,] = packing.shared[key]
    data, words = packing.parameters.gathered()
    units = rounded_up(packing.units, ALIGNMENT)
    return PackedPixels(data, words, parts, tensors, packing.at, units, packing.places, greatest)


class Products(NamedTuple):
    """The products of a convolution or linear: their `form`, and how many each step of a value takes `together`.

    `lookups`: those of an image, 0 where products are multiplied.
    """

    node: str
    form: str
    together: int
    lookups: int = 0


_FORMS = {
    codes.FOUR_BYTES: "multiplied as bytes", codes.TWO_NUMBERS: "multiplied in 16 bits", codes.LOOKED_UP: "looked up",
}  # fmt: skip


def products_of(graph: Graph, isa: Isa) -> list[Products]:
    """The products of each convolution and linear of a graph over pixels, in order; ModelError as `parts_of`."""
    parts, tensors = parts_of(graph)
    values, found = values_of(graph), []
    for part in parts:
        if part.conv is not None:
            source = part.inputs[0]
            form, each, tables = form_of(part.conv, tensors[source].number, values[source], isa)
            lookups = 0 if tables is None else tensors[part.name].size * steps_of(part.conv, each)
            found.append(Products(part.node.name, _FORMS[form], each, lookups))
    return found


# --- Programs --------------------------------------------------------------------------------------------------------


def fuse_pixels(packed: PackedPixels, taps: tuple[str, ...]) -> tuple[PixelStep, ...]:
    """The steps that have to be computed for `taps`."""
    needed = set(taps)
    for part in reversed(packed.parts):
        if part.name in needed:
            needed.update(part.inputs)
    parts = [part for part in packed.parts if part.name in needed]
    order = {part.name: i for i, part in enumerate(parts)}
    readers: dict[str, list[str]] = {part.name: [] for part in parts}
    for part in parts:
        for name in set(part.inputs) - {INPUT}:
            readers[name].append(part.name)

    def alone(name: str) -> bool:
        """Whether one part alone needs a tensor."""
        return name not in taps and len(readers[name]) == 1

    def outside(mine: list[Part]) -> list[Part]:
        """The parts that other parts than these read."""
        names = {part.name for part in mine}
        return [part for part in mine if not names.issuperset(readers[part.name])]

    # Those that a convolution reads through: they are done nowhere else.
    through = {name for name in order if alone(name) and (name, *readers[name]) in packed.at}
    steps: dict[str, list[Part]] = {}
    for part in parts:
        mine = [part]
        for name in dict.fromkeys(part.inputs):
            if name not in steps or name in taps:
                continue
            before = steps[name]
            if alone(name) and (*(p.name for p in before), part.name) in packed.at:
                mine = steps.pop(name) + mine
                break
            # What the parts before give to others, too, these read later: the joined step is where its last part is.
            joined = [*before, *mine]
            if all(_is_pointwise(packed, p.name) and p.name not in through for p in joined) and all(
                order[reader] >= order[part.name] for p in outside(before) for reader in readers[p.name]
                if reader not in {q.name for q in joined}
            ):  # fmt: skip
                mine = steps.pop(name) + mine
        steps[part.name] = sorted(mine, key=lambda p: order[p.name])
    return tuple(
        PixelStep(tuple(mine), (*(p.name for p in outside(mine) if p is not mine[-1]), mine[-1].name))
        for mine in steps.values()
    )


def _is_pointwise(packed: PackedPixels, name: str) -> bool:
    return packed.at[name,].code == codes.POINTWISE_PIXELS


def _operations(
    step: PixelStep, packed: PackedPixels, layout: dict[str, Stored], offsets: dict[str, int]
) -> tuple[list[list[int]], int]:
    """The operations of a pointwise step, and how many buffers they need. `offsets`: where tensors start.

    Tensors of words are taken and given where they lie; bytes, and what stays within the step, in buffers.
    """
    uses = Counter(name for part in step.parts for name in set(part.inputs))
    lies = {name: -1 - offsets[name] for name in (*step.inputs, *step.results) if layout[name].words}
    buffer_of: dict[str, int] = {}
    free: list[int] = []
    count = 0
    found = []

    def take() -> int:
        nonlocal count
        if free:
            return free.pop()
        count += 1
        return count - 1

    for part in step.parts:
        for name in dict.fromkeys(part.inputs):
            if name not in buffer_of and name not in lies:
                buffer_of[name] = take()
                found.append([codes.FROM_ARENA, 0, 0, buffer_of[name], offsets[name], 0, layout[name].signed])
        a, b = (lies.get(name, buffer_of.get(name, 0)) for name in (part.inputs[0], part.inputs[-1]))
        for name in set(part.inputs) - lies.keys():
            uses[name] -= 1
            if not uses[name]:
                free.append(buffer_of.pop(name))
        here = packed.at[part.name,]
        if part.name not in lies:
            # An operation may give what it takes: it reads each place before it writes there.
            buffer_of[part.name] = take()
        y = lies.get(part.name, buffer_of.get(part.name, 0))
        found.append([here.operation, a, b, y, here.words, here.thresholds, 0])
        if part.name in step.results and part.name not in lies:
            found.append([codes.TO_ARENA, y, 0, 0, offsets[part.name], 0, layout[part.name].signed])
    return found, count


def lower_pixels(packed: PackedPixels, taps: tuple[str, ...], images: int, block: int) -> PixelProgram:
    """The steps that compute `taps` for so many images, `block` at a time."""
    steps = fuse_pixels(packed, taps)
    tensors = packed.tensors
    layout = {name: stored(tensor, name) for name, tensor in tensors.items()}
    last_use = {name: i for i, step in enumerate(steps) for name in step.inputs}
    sizes = [layout[INPUT].bytes(block)]
    slot_of = {INPUT: 0}
    free: list[int] = []
    starts: dict[str, int] = {}
    out = 0
    for i, step in enumerate(steps):
        for name in step.results:
            size = layout[name].bytes(block)
            # The least that is large enough, or else the largest, which then grows.
            fits = sorted((sizes[slot] < size, abs(sizes[slot] - size), slot) for slot in free)
            if fits:
                slot = fits[0][-1]
                free.remove(slot)
                sizes[slot] = max(sizes[slot], size)
            else:
                slot = len(sizes)
                sizes.append(size)
            slot_of[name] = slot
        free.extend(slot_of[name] for name in step.inputs if last_use[name] == i)
        if step.name not in last_use:
            free.append(slot_of[step.name])
        if step.name in taps:
            starts[step.name] = out
            out += rounded_up(images * tensors[step.name].nbytes, ALIGNMENT)
    places = np.concatenate([[0], np.cumsum(sizes)])
    offsets = {name: int(places[slot]) for name, slot in slot_of.items()}
    code = np.zeros((len(steps), codes.PIXEL_FIELDS), np.int64)
    operations: list[list[int]] = []
    buffers = 1
    for i, step in enumerate(steps):
        into, result = layout[step.inputs[0]], layout[step.name]
        key = tuple(part.name for part in step.parts)
        where = packed.at[key[:1] if key not in packed.at else key]
        numbers = where.bytes, where.words
        if where.code == codes.POINTWISE_PIXELS:
            added, count = _operations(step, packed, layout, offsets)
            numbers, buffers = (len(operations), len(added)), max(buffers, count)
            operations += added
        code[i] = (
            where.code, offsets[step.inputs[0]], offsets[step.inputs[-1]], into.words, into.signed,
            offsets[step.name], result.words, result.signed, into.channels, result.channels, into.pixels,
            result.pixels, *numbers, starts.get(step.name, -1), tensors[step.name].number.dtype.itemsize,
        )  # fmt: skip
    listed = np.array(operations, np.int64).reshape(-1, codes.OPERATION_FIELDS)
    return PixelProgram(steps, code, listed, buffers, {name: starts[name] for name in taps}, out, int(places[-1]))


SPARE_BYTES = 8 * TABLE_SUMS
"""Room for a tile of words."""
