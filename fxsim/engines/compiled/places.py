"""Operators over pixels that move values or take few of them, one value after the other.

Sums of windows, encodings, channels of two tensors, all values on one axis, sums in order, and the greatest channel.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# Numba infers its own types: annotations would be a second, unchecked statement of them.

import numpy as np

from fxsim.engines.compiled.codes import (
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
    S_DIVISOR,
    S_GREATEST,
    S_HIGH,
    S_LEAST,
    S_LOW,
    S_ROUNDING,
    S_SATURATES,
)
from fxsim.engines.compiled.layout import round_up
from fxsim.engines.compiled.pixel_layout import CHANNEL_STEP
from fxsim.jit import njit


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


@njit
def sum_pool(step, images, words, arena, arena_words):
    """A step that sums each window of a channel, row by row, and divides."""
    numbers = words[step[P_WORDS] :]
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
                for k in range(each):
                    arena[y + k] = data[row + k]


@njit
def concat(step, images, arena, arena_words):
    """A step that gives the channels of one tensor and then those of another, which lie alike."""
    first, channels = step[P_CHANNELS_IN], step[P_CHANNELS_OUT]
    whole = round_up(channels, CHANNEL_STEP)
    wholes = round_up(first, CHANNEL_STEP), round_up(channels - first, CHANNEL_STEP)
    for pixel in range(images * step[P_PIXELS_IN]):
        if step[P_DST_WORDS]:
            y = step[P_DST] // 4 + pixel * whole
            a, b = step[P_SRC] // 4 + pixel * wholes[0], step[P_SRC_2] // 4 + pixel * wholes[1]
            for c in range(first):
                arena_words[y + c] = arena_words[a + c]
            for c in range(channels - first):
                arena_words[y + first + c] = arena_words[b + c]
        else:
            y = step[P_DST] + pixel * whole
            a, b = step[P_SRC] + pixel * wholes[0], step[P_SRC_2] + pixel * wholes[1]
            for c in range(first):
                arena[y + c] = arena[a + c]
            for c in range(channels - first):
                arena[y + first + c] = arena[b + c]


@njit
def flatten(step, images, words, arena, arena_words):
    """A step that gives an image's values as channels; its numbers: where each lies from the image's first."""
    whole, size = round_up(step[P_CHANNELS_OUT], CHANNEL_STEP), step[P_CHANNELS_OUT]
    image_size = step[P_PIXELS_IN] * round_up(step[P_CHANNELS_IN], CHANNEL_STEP)
    for image in range(images):
        for i in range(size):
            place = image * image_size + words[step[P_WORDS] + i]
            if step[P_DST_WORDS]:
                arena_words[step[P_DST] // 4 + image * whole + i] = arena_words[step[P_SRC] // 4 + place]
            else:
                arena[step[P_DST] + image * whole + i] = arena[step[P_SRC] + place]


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
