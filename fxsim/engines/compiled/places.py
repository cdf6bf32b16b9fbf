"""Operators over pixels that move values or take few of them, most of them one value after the other.

Sums of windows, encodings, channels of two tensors, all values on one axis, sums in order, the greatest channel,
products of two tensors and sums with a table of places.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="call-arg,unreachable,var-annotated"
# Numba infers its own types: annotations would be a second, unchecked statement of them; and it gives an intrinsic its
# first argument, the typing context.

import numpy as np

from fxsim.engines.compiled.codes import (
    D_COLUMNS,
    D_COLUMNS_OUT,
    D_LEFT,
    D_ROWS,
    D_TOP,
    M_COLUMN_STRIDE,
    M_COLUMNS,
    M_COLUMNS_IN,
    M_COLUMNS_OUT,
    M_ROW_STRIDE,
    M_ROWS,
    P_BYTES,
    P_CHANNELS_IN,
    P_CHANNELS_OUT,
    P_DST,
    P_DST_SIGNED,
    P_DST_WORDS,
    P_PIXELS_IN,
    P_PIXELS_OUT,
    P_SRC,
    P_SRC_2,
    P_SRC_SIGNED,
    P_SRC_WORDS,
    P_WORDS,
    S_BEFORE,
    S_DIVISOR,
    S_GREATEST,
    S_HIGH,
    S_LEAST,
    S_LOW,
    S_NEGATIVE,
    S_ROUNDING,
    S_SATURATES,
    S_SHIFT,
    X_CHANNELS,
    X_HEADS,
    X_PIXELS,
    X_SIGNED,
    X_TERMS,
    X_TRANSPOSED,
    X_WORDS,
)
from fxsim.engines.compiled.layout import round_up
from fxsim.engines.compiled.pixel_layout import CHANNEL_STEP
from fxsim.engines.compiled.vectors import I8, I32, I64, broadcast, load, splat, store, vector_of
from fxsim.engines.compiled.views import address_of
from fxsim.jit import cgutils, intrinsic, njit, types

_BYTES, _WORDS = (vector_of(kind, CHANNEL_STEP) for kind in (I8, I32))


@njit
def _value(step, at, arena, arena_words):
    """The value at a place of the step's first input."""
    if step[P_SRC_WORDS]:
        return np.int64(arena_words[step[P_SRC] // 4 + at])
    return np.int64(arena[step[P_SRC] + at]) - 128 * step[P_SRC_SIGNED]


@njit
def _put(step, at, value, arena, arena_words):
    """Store a value of the result's format at a place."""
    if step[P_DST_WORDS]:
        arena_words[step[P_DST] // 4 + at] = value
    else:
        arena[step[P_DST] + at] = value + 128 * step[P_DST_SIGNED]


@njit
def _divide(total, divisor, rounding):
    """Divide by a number from 1 on, to the floor (0), to the nearest and ties up (1), or towards zero (2)."""
    if rounding == 2 and total < 0:
        return -(-total // divisor)
    if rounding == 1:
        return (2 * total + divisor) // (2 * divisor)
    return total // divisor


def _pointer(builder, at):
    return builder.inttoptr(at, I8.as_pointer())


def _clamp(builder, value, low, high):
    value = builder.select(builder.icmp_signed("<", value, low), low, value)
    return builder.select(builder.icmp_signed(">", value, high), high, value)


def _average(from_words, to_words):
    """An intrinsic that sums a window of CHANNEL_STEP channels and divides by a power of two, of words or of bytes.

    Of addresses y, x and that of the numbers; bytes from a row of x to the next and from a pixel; what is taken from
    bytes of x and added to those of y.
    """

    @intrinsic
    def average_of(_typing, y, x, numbers, row, pixel, from_base, to_base):
        def generate(_context, builder, _signature, arguments):
            y, x, numbers, row, pixel, from_base, to_base = arguments
            y, x, numbers = (_pointer(builder, at) for at in (y, x, numbers))

            def number(place):
                return load(builder, numbers, (4 * place,), I32, 4)

            def everywhere(value):
                return broadcast(builder, value, CHANNEL_STEP)

            rows, columns = (builder.sext(number(place), I64) for place in (M_ROWS, M_COLUMNS))
            least, greatest, low, high, shift, before, negative = (
                everywhere(number(place))
                for place in (S_LEAST, S_GREATEST, S_LOW, S_HIGH, S_SHIFT, S_BEFORE, S_NEGATIVE)
            )
            less, more = (everywhere(builder.trunc(base, I32)) for base in (from_base, to_base))
            total = cgutils.alloca_once_value(builder, splat(_WORDS, 0))
            with cgutils.for_range(builder, rows) as r, cgutils.for_range(builder, columns) as s:
                place = builder.mul(r.index, row), builder.mul(s.index, pixel)
                if from_words:
                    value = load(builder, x, place, _WORDS, 4)
                else:
                    value = builder.sub(builder.zext(load(builder, x, place, _BYTES), _WORDS), less)
                builder.store(_clamp(builder, builder.add(builder.load(total), value), least, greatest), total)
            found = builder.load(total)
            below = builder.and_(builder.ashr(found, splat(_WORDS, 31)), negative)
            found = builder.add(found, builder.add(before, below))
            found = _clamp(builder, builder.ashr(found, shift), low, high)
            if to_words:
                store(builder, found, y, (), 4)
            else:
                store(builder, builder.trunc(builder.add(found, more), _BYTES), y, ())
            return I64(0)

        return types.int64(y, x, numbers, row, pixel, from_base, to_base), generate

    return average_of


_average_bytes, _average_bytes_to_words = _average(False, False), _average(False, True)
_average_words_to_bytes, _average_words = _average(True, False), _average(True, True)


@njit
def _averages(step, images, words, arena):
    """A step that sums each window in 32 bits and divides by a power of two."""
    numbers = words[step[P_WORDS] :]
    whole = round_up(step[P_CHANNELS_IN], CHANNEL_STEP)
    from_size, to_size = 4 if step[P_SRC_WORDS] else 1, 4 if step[P_DST_WORDS] else 1
    columns_in, columns_out = np.int64(numbers[M_COLUMNS_IN]), numbers[M_COLUMNS_OUT]
    numbers_at, memory, pixel_size = address_of(words) + 4 * step[P_WORDS], address_of(arena), whole * from_size
    for pixel in range(images * step[P_PIXELS_OUT]):
        image, p = pixel // step[P_PIXELS_OUT], pixel % step[P_PIXELS_OUT]
        i, j = p // columns_out * numbers[M_ROW_STRIDE], p % columns_out * numbers[M_COLUMN_STRIDE]
        first = image * step[P_PIXELS_IN] + i * columns_in + j
        for c in range(0, whole, CHANNEL_STEP):
            x = memory + step[P_SRC] + (first * whole + c) * from_size
            y = memory + step[P_DST] + (pixel * whole + c) * to_size
            row, bases = columns_in * pixel_size, (128 * step[P_SRC_SIGNED], 128 * step[P_DST_SIGNED])
            if step[P_SRC_WORDS] and step[P_DST_WORDS]:
                _average_words(y, x, numbers_at, row, pixel_size, *bases)
            elif step[P_SRC_WORDS]:
                _average_words_to_bytes(y, x, numbers_at, row, pixel_size, *bases)
            elif step[P_DST_WORDS]:
                _average_bytes_to_words(y, x, numbers_at, row, pixel_size, *bases)
            else:
                _average_bytes(y, x, numbers_at, row, pixel_size, *bases)


@njit
def sum_pool(step, images, words, arena, arena_words):
    """A step that sums each window of a channel, row by row, and divides."""
    numbers = words[step[P_WORDS] :]
    if numbers[S_SHIFT] >= 0:
        _averages(step, images, words, arena)
        return
    channels = step[P_CHANNELS_IN]
    whole = round_up(channels, CHANNEL_STEP)
    least, greatest = np.int64(numbers[S_LEAST]), np.int64(numbers[S_GREATEST])
    low, high = np.int64(numbers[S_LOW]), np.int64(numbers[S_HIGH])
    divisor, rounding = np.int64(numbers[S_DIVISOR]) & 0xFFFFFFFF, numbers[S_ROUNDING]
    columns_in, columns_out = numbers[M_COLUMNS_IN], numbers[M_COLUMNS_OUT]
    for pixel in range(images * step[P_PIXELS_OUT]):
        image, p = pixel // step[P_PIXELS_OUT], pixel % step[P_PIXELS_OUT]
        i, j = p // columns_out * numbers[M_ROW_STRIDE], p % columns_out * numbers[M_COLUMN_STRIDE]
        first = image * step[P_PIXELS_IN] + i * columns_in + j
        for c in range(channels):
            total = np.int64(0)
            for r in range(numbers[M_ROWS]):
                for s in range(numbers[M_COLUMNS]):
                    total += _value(step, (first + r * columns_in + s) * whole + c, arena, arena_words)
                    if numbers[S_SATURATES]:
                        total = min(max(total, least), greatest)
            found = min(max(_divide(total, divisor, rounding), low), high)
            _put(step, pixel * whole + c, found, arena, arena_words)


@intrinsic
def _copy(_typing, y, x, count):
    """Copy so many bytes, and up to CHANNEL_STEP - 1 more, from x to y."""

    def generate(_context, builder, _signature, arguments):
        y, x, count = arguments
        y, x = (_pointer(builder, at) for at in (y, x))
        with cgutils.for_range_slice(builder, I64(0), count, I64(CHANNEL_STEP), inc=True) as (at, _):
            store(builder, load(builder, x, (at,), _BYTES), y, (at,))
        return I64(0)

    return types.int64(y, x, count), generate


@njit
def encode(step, images, data, words, arena, arena_words):
    """A step that gives bytes: of a byte those in its channel's row of 256, of a word whether it reaches thresholds.

    Its numbers: how many n a channel has, the lesser and the greater byte, and of each channel of words n thresholds.
    """
    channels = step[P_CHANNELS_IN]
    from_whole, to_whole = round_up(channels, CHANNEL_STEP), round_up(step[P_CHANNELS_OUT], CHANNEL_STEP)
    at = step[P_WORDS]
    each, low, high = np.int64(words[at]), np.uint8(words[at + 1]), np.uint8(words[at + 2])
    for pixel in range(images * step[P_PIXELS_IN]):
        for c in range(channels):
            y = step[P_DST] + pixel * to_whole + c * each
            if step[P_SRC_WORDS]:
                value, limits = arena_words[step[P_SRC] // 4 + pixel * from_whole + c], at + 3 + c * each
                for k in range(each):
                    arena[y + k] = high if value >= words[limits + k] else low
            else:
                row = step[P_BYTES] + (256 * c + np.int64(arena[step[P_SRC] + pixel * from_whole + c])) * each
                # What is written behind its channels is written anew by the next, or is padding.
                _copy(address_of(arena) + y, address_of(data) + row, each)


@njit
def pad(step, images, data, words, arena):
    """A step that gives an image with a constant pixel above, left, below and right of it."""
    numbers = words[step[P_WORDS] :]
    top, left, rows, columns = numbers[D_TOP], numbers[D_LEFT], numbers[D_ROWS], numbers[D_COLUMNS]
    columns_out = np.int64(numbers[D_COLUMNS_OUT])
    size = round_up(step[P_CHANNELS_IN], CHANNEL_STEP) * (4 if step[P_DST_WORDS] else 1)
    around = address_of(data) + step[P_BYTES]
    for image in range(images):
        x = address_of(arena) + step[P_SRC] + image * step[P_PIXELS_IN] * size
        y = address_of(arena) + step[P_DST] + image * step[P_PIXELS_OUT] * size
        for i in range(step[P_PIXELS_OUT] // columns_out):
            inside = top <= i < top + rows
            for j in range(columns_out):
                if inside and j == left:
                    _copy(y + j * size, x + (i - top) * columns * size, columns * size)
                elif not inside or not left < j < left + columns:
                    _copy(y + j * size, around, size)
            y += columns_out * size


@njit
def concat(step, images, arena):
    """A step that gives the channels of one tensor and then those of another, which lie alike."""
    first, channels = step[P_CHANNELS_IN], step[P_CHANNELS_OUT]
    size, memory = 4 if step[P_DST_WORDS] else 1, address_of(arena)
    whole = round_up(channels, CHANNEL_STEP)
    wholes = round_up(first, CHANNEL_STEP), round_up(channels - first, CHANNEL_STEP)
    for pixel in range(images * step[P_PIXELS_IN]):
        a, b = memory + step[P_SRC] + pixel * wholes[0] * size, memory + step[P_SRC_2] + pixel * wholes[1] * size
        y = memory + step[P_DST] + pixel * whole * size
        # What is written behind the channels of either is written anew, by the other or the next pixel, or is padding.
        _copy(y, a, first * size)
        _copy(y + first * size, b, (channels - first) * size)


@njit
def reorder(step, images, words, arena, arena_words):
    """A step that gives an image's values in another order; its numbers: where each lies from the image's first."""
    channels, pixels = step[P_CHANNELS_OUT], step[P_PIXELS_OUT]
    whole = round_up(channels, CHANNEL_STEP)
    image_size = step[P_PIXELS_IN] * round_up(step[P_CHANNELS_IN], CHANNEL_STEP)
    for image in range(images):
        for pixel in range(pixels):
            places = step[P_WORDS] + pixel * channels
            y = (image * pixels + pixel) * whole
            for i in range(channels):
                place = image * image_size + words[places + i]
                if step[P_DST_WORDS]:
                    arena_words[step[P_DST] // 4 + y + i] = arena_words[step[P_SRC] // 4 + place]
                else:
                    arena[step[P_DST] + y + i] = arena[step[P_SRC] + place]


@njit
def ordered_linear(step, images, words, arena, arena_words):
    """A step that adds rounded products in order and saturates after each.

    Its numbers: the least and the greatest value, and of each output a bias, a shift and the weights.
    """
    inputs, outputs = step[P_CHANNELS_IN], step[P_CHANNELS_OUT]
    from_whole, to_whole = round_up(inputs, CHANNEL_STEP), round_up(outputs, CHANNEL_STEP)
    low, high = np.int64(words[step[P_WORDS]]), np.int64(words[step[P_WORDS] + 1])
    for pixel in range(images * step[P_PIXELS_IN]):
        for n in range(outputs):
            at = step[P_WORDS] + 2 + n * (inputs + 2)
            total, shift = np.int64(words[at]), np.int64(words[at + 1])
            half = np.int64(1) << shift >> 1
            for k in range(inputs):
                product = _value(step, pixel * from_whole + k, arena, arena_words) * words[at + 2 + k]
                total = min(max(total + ((product + half) >> shift), low), high)
            _put(step, pixel * to_whole + n, total, arena, arena_words)


@njit
def matmul(step, images, words, arena, arena_words):
    """A step that sums products of two tensors, head by head: rows of the first by rows, or by columns, of the other.

    Its numbers: X_HEADS and those behind. Of each head the second is laid out first, so that all sums of a row are made
    side by side; they have 32 bits.
    """
    numbers = words[step[P_WORDS] :]
    heads, terms, others = np.int64(numbers[X_HEADS]), np.int64(numbers[X_TERMS]), np.int64(numbers[X_PIXELS])
    each = np.int64(numbers[X_CHANNELS]) // heads
    from_whole, to_whole = round_up(step[P_CHANNELS_IN], CHANNEL_STEP), round_up(step[P_CHANNELS_OUT], CHANNEL_STEP)
    other_whole = round_up(np.int64(numbers[X_CHANNELS]), CHANNEL_STEP)
    # From one product to the next, and from one sum to the next, in the second input.
    along, across = (1, other_whole) if numbers[X_TRANSPOSED] else (other_whole, 1)
    count = others if numbers[X_TRANSPOSED] else each
    second, of_words, moved = step[P_SRC_2], numbers[X_WORDS], 128 * np.int64(numbers[X_SIGNED])
    if of_words:
        second //= 4
    laid, totals = np.empty((terms, count), np.int32), np.empty(count, np.int32)
    for image in range(images):
        for h in range(heads):
            start = second + image * others * other_whole + h * each
            for k in range(terms):
                for n in range(count):
                    at = start + n * across + k * along
                    laid[k, n] = np.int64(arena_words[at]) if of_words else np.int64(arena[at]) - moved
            for pixel in range(step[P_PIXELS_IN]):
                totals[:] = 0
                row = (image * step[P_PIXELS_IN] + pixel) * from_whole + h * terms
                for k in range(terms):
                    value = np.int32(_value(step, row + k, arena, arena_words))
                    for n in range(count):
                        totals[n] += value * laid[k, n]
                place = (image * step[P_PIXELS_OUT] + pixel) * to_whole + h * count
                for n in range(count):
                    _put(step, place + n, totals[n], arena, arena_words)


@njit
def position(step, images, words, arena, arena_words):
    """A step that adds a number to each value; its numbers: one for each value of an image."""
    channels, pixels = step[P_CHANNELS_IN], step[P_PIXELS_IN]
    whole = round_up(channels, CHANNEL_STEP)
    for pixel in range(images * pixels):
        numbers = step[P_WORDS] + pixel % pixels * channels
        for c in range(channels):
            total = _value(step, pixel * whole + c, arena, arena_words) + np.int64(words[numbers + c])
            _put(step, pixel * whole + c, total, arena, arena_words)


@njit
def argmax(step, images, words, arena, arena_words):
    """A step that gives the first of the greatest of a pixel's channels; its number: how many of these count."""
    from_whole, to_whole = round_up(step[P_CHANNELS_IN], CHANNEL_STEP), CHANNEL_STEP
    for pixel in range(images * step[P_PIXELS_IN]):
        best, place = _value(step, pixel * from_whole, arena, arena_words), 0
        for c in range(1, words[step[P_WORDS]]):
            value = _value(step, pixel * from_whole + c, arena, arena_words)
            if value > best:
                best, place = value, c
        _put(step, pixel * to_whole, place, arena, arena_words)
