"""Parameters of convolutions: which values tensors can have, products that are looked up or multiplied, and thresholds.

A convolution takes one of three forms. Inputs of up to 8 bits and more are multiplied; where the inputs have few values
(what a threshold gives, not what its format could hold) and the weights two or four, sums of four or two products are
looked up. Thresholds of a convolution's sums are done to them in the registers, where nothing else reads the sums.
"""

from math import gcd
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fxsim import contract
from fxsim.contract import Number, Tensor
from fxsim.engines.compiled import codes
from fxsim.engines.compiled.isa import Isa
from fxsim.engines.compiled.layout import ALIGNMENT, UInt8, rounded_up
from fxsim.engines.compiled.pixel_layout import TILE_PIXELS_MAX, Parameters, pixels_of
from fxsim.engines.compiled.windows import TABLE_COLUMNS
from fxsim.errors import ModelError
from fxsim.graph import INPUT, Graph
from fxsim.operators import ORDERS, Conv, Lut, MaxPool, Threshold

Int64 = npt.NDArray[np.int64]
Values = tuple[int, ...]
"""All values that a tensor can have, rising."""

_VALUES_MAX = 16
"""Most different values that are kept count of."""
_RUN_MIN = 8
"""Least steps after which sums of bytes are full, with which tables are worth while."""
_HALF_MAX = (1 << 15) - 2
"""Greatest sum that is looked up: that and one more are numbers of 16 bits."""
_TOGETHER = 64
"""Pixels of a result that a convolution computes together, of several images where they have fewer."""
TABLE_BITS = 8
"""Widest input of a function that is looked up, and of products that are."""


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
            elif isinstance(op, (MaxPool, *ORDERS)):
                values = found[graph.by_name[name].inputs[0]]
            elif isinstance(op, Lut):
                # What lies between two points lies between their values: only entries that are read themselves count.
                values = _few(contract.expand_table(op.table, op.rule, op.number)) if _is_small(op) else values
        found[name] = values
    return found


def _is_small(op: Lut) -> bool:
    return op.number.bits <= TABLE_BITS


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


class Tables(NamedTuple):
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


def tables_of(op: Conv, inputs: Values | None) -> Tables | None:
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
    if greatest * _RUN_MIN > 255 or greatest * steps_of(op, each) > _HALF_MAX:
        return None
    return Tables(each, inputs, weights, entries.astype(np.uint8), scale, least)


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


def form_of(op: Conv, number: Number, values: Values | None, isa: Isa) -> tuple[int, int, Tables | None]:
    """The form of a convolution's factors, how many of them are a unit, and its tables where products are looked up.

    Of inputs of the format `number`, and of `values` where they are few.
    """
    tables = tables_of(op, values) if isa.name != "plain" and number.bits <= TABLE_BITS else None
    if tables is not None:
        return codes.LOOKED_UP, tables.each, tables
    if isa.depth == 4 and number.bits <= TABLE_BITS:
        return codes.FOUR_BYTES, 4, None
    return codes.TWO_NUMBERS, 2, None


def steps_of(op: Conv, each: int) -> int:
    """Units of so many factors that a convolution takes for a value of its result."""
    rows, columns, channels = (int(size) for size in op.weight.shape[1:])
    return rows * columns * -(-channels // each)


class StoredValues(NamedTuple):
    """Values that lie in memory, of a format and rising, and the input of a convolution that each stands for."""

    number: Number
    values: Values
    inputs: Values


class Packed(NamedTuple):
    """A convolution's parameters: where its bytes and its 32-bit numbers start; room for its units, and its pixels."""

    bytes: int
    words: int
    units: int
    places: int


def pack_conv(
    name: str, op: Conv, source: Tensor, after: Threshold | None, values: Values | None, isa: Isa,
    parameters: Parameters, read: StoredValues | None = None,
) -> Packed:  # fmt: skip
    """Add the parameters of the convolution of a node, of inputs of `values`, and those of thresholds after it.

    `read`: what its inputs are found from, where that is not themselves; its products are then looked up. ModelError,
    with the node's `name`, where they take more than 2 GiB.
    """
    result, number = op.result(source), source.number
    outputs, _, _, each_channels = op.weight.shape
    share = outputs // op.groups
    form, each, tables = form_of(op, number, values, isa)
    steps = steps_of(op, each)
    units = -(-each_channels // each)
    top, left, bottom, right = op.padding
    padded = source.shape[0] + top + bottom, source.shape[1] + left + right
    columns = next((c for c in TABLE_COLUMNS if share <= c), TABLE_COLUMNS[-1]) if tables else isa.columns
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
    zero = padding = no_digit = scale = start = stored_values = 0
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
        if read is None:
            read = StoredValues(number, tables.inputs, tables.inputs)
        lie = np.array(read.values) + (128 if read.number.low < 0 else 0)
        digits = np.array([tables.inputs.index(value) for value in read.inputs])
        more = np.diff(digits, prepend=0)
        stored_values = len(lie)
        data[codes.C_VALUES_AT] = np.stack([lie, more], axis=1).astype(np.uint8)
        data[codes.C_DIGITS_AT] = digits[(np.arange(256)[:, None] >= lie[None, 1:]).sum(axis=1)].astype(np.uint8)
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
        limits, levels = rising_levels(after, low, high)
        if tables:
            # acc = scale * sum + start is at least T where the sum is at least (T - start) / scale, rounded up.
            limits = np.clip(-((start - limits) // scale), 0, int(tables.entries.max()) * steps + 1)
        passed = limits.shape[1]
        stored_levels = levels + (128 if after.out.low < 0 else 0)
        both = np.zeros((op.groups, tiles * columns, passed + 1, 2), np.int64)
        both[:, :share, 1:, 0] = limits.reshape(op.groups, share, passed)
        both[:, :share, :, 1] = stored_levels.reshape(op.groups, share, passed + 1)
        both = np.moveaxis(both.reshape(op.groups, tiles, columns, passed + 1, 2), 2, 4)
        if tables:
            # Where a vector has several pixels' outputs, each pixel's one after the other; even lanes, then odd ones.
            size = 4 * isa.lanes
            lanes = np.tile(np.arange(columns), max(1, size // columns))
            order = lanes.reshape(-1, size // 2, 2).swapaxes(1, 2).ravel()
            data[codes.C_THRESHOLDS_AT] = both[..., order].astype(np.int16)
        else:
            words[codes.C_THRESHOLDS_AT] = both
    together = max(1, _TOGETHER // pixels_of(result))
    settings = {
        codes.C_FORM: form, codes.C_ROWS: source.shape[0], codes.C_COLUMNS: source.shape[1], codes.C_TOP: top,
        codes.C_LEFT: left, codes.C_PADDED_ROWS: padded[0], codes.C_PADDED_COLUMNS: padded[1],
        codes.C_ROW_STRIDE: op.stride[0], codes.C_COLUMN_STRIDE: op.stride[1], codes.C_COLUMNS_OUT: result.shape[1],
        codes.C_GROUPS: op.groups, codes.C_UNITS: units, codes.C_SHARE: share, codes.C_TILES: tiles,
        codes.C_STEPS: steps, codes.C_RUNS: len(runs), codes.C_TOGETHER: together, codes.C_EACH: each,
        codes.C_VALUES: len(tables.inputs) if tables else 0, codes.C_STORED_VALUES: stored_values,
        codes.C_EACH_CHANNELS: each_channels,
        codes.C_PADDING: padding, codes.C_ZERO: zero, codes.C_NO_DIGIT: no_digit, codes.C_SCALE: scale,
        codes.C_START: start, codes.C_THRESHOLDS: passed, codes.C_TILE_COLUMNS: columns,
        codes.C_TILE_LANES: max(columns, 4 * isa.lanes),
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
        raise ModelError(f"node '{name}': the compiled engine takes parameters of less than 2 GiB")
    parameters.add_words(numbers)
    for array in words.values():
        parameters.add_words(array)
    room = together * padded[0] * padded[1] * op.groups * units * codes.UNIT_BYTES[form]
    return Packed(data_at, words_at, room + 2 * ALIGNMENT, together * pixels_of(result) + TILE_PIXELS_MAX)
