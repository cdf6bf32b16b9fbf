"""The kernel of programs over pixels: a program, run on one block of images after the other.

A tensor lies as its images do, one pixel behind the other, each a row of its channels, padded to CHANNEL_STEP: of bytes
where its format has up to 8 bits, so stored that the least of the format's numpy type is 0, and of 32-bit words else.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="call-arg,unreachable,var-annotated"
# Numba infers its own types: annotations would be a second, unchecked statement of them; and it gives an intrinsic its
# first argument, the typing context.

import numpy as np

from fxsim.engines.compiled.codes import (
    ARGMAX,
    BYTE_FUNCTION,
    CONCAT,
    CONV,
    ENCODE,
    MATMUL,
    MAX_POOL,
    ORDERED_LINEAR,
    P_BYTES,
    P_CHANNELS_IN,
    P_CHANNELS_OUT,
    P_DST,
    P_DST_SIGNED,
    P_DST_WORDS,
    P_OP,
    P_PIXELS_IN,
    P_PIXELS_OUT,
    P_SRC,
    P_SRC_SIGNED,
    P_SRC_WORDS,
    P_TAP,
    P_TAP_SIZE,
    P_WORDS,
    PAD,
    POINTWISE_PIXELS,
    POSITION,
    REORDER,
    SUM_POOL,
    WORD_FUNCTION,
)
from fxsim.engines.compiled.kernel import fence, now_ns
from fxsim.engines.compiled.layout import round_up
from fxsim.engines.compiled.pixel_layout import CHANNEL_STEP
from fxsim.engines.compiled.places import (
    argmax,
    concat,
    encode,
    matmul,
    ordered_linear,
    pad,
    position,
    reorder,
    sum_pool,
)
from fxsim.engines.compiled.pointwise import pointwise
from fxsim.engines.compiled.windows import convolve, max_pool
from fxsim.jit import njit


@njit
def _byte_function(step, images, data, words, arena, arena_words):
    """A step that looks up each byte in its channel's table of 256 results."""
    channels = step[P_CHANNELS_IN]
    whole = round_up(channels, CHANNEL_STEP)
    for pixel in range(images * step[P_PIXELS_IN]):
        x, y = step[P_SRC] + pixel * whole, step[P_DST] + pixel * whole
        if step[P_DST_WORDS]:
            y = step[P_DST] // 4 + pixel * whole
            for c in range(channels):
                arena_words[y + c] = words[step[P_WORDS] + 256 * c + arena[x + c]]
        else:
            for c in range(channels):
                arena[y + c] = data[step[P_BYTES] + 256 * c + arena[x + c]]


@njit
def _word_function(step, images, words, arena, arena_words):
    """A step that looks up each word in its channel's table.

    Its numbers: the least word, and from one channel's table to the next, 0 where all have one; then the tables.
    """
    channels = step[P_CHANNELS_IN]
    whole = round_up(channels, CHANNEL_STEP)
    least, each = np.int64(words[step[P_WORDS]]), np.int64(words[step[P_WORDS] + 1])
    for pixel in range(images * step[P_PIXELS_IN]):
        x = step[P_SRC] // 4 + pixel * whole
        for c in range(channels):
            found = words[step[P_WORDS] + 2 + each * c + arena_words[x + c] - least]
            if step[P_DST_WORDS]:
                arena_words[step[P_DST] // 4 + pixel * whole + c] = found
            else:
                arena[step[P_DST] + pixel * whole + c] = found + 128 * step[P_DST_SIGNED]


@njit
def _word_threshold(step, images, words, arena, arena_words):
    """A step that gives each word the level of the thresholds that it reaches: the last that it does, as they rise.

    Its numbers: how many thresholds n a channel has, then of each channel n thresholds and n + 1 levels.
    """
    channels = step[P_CHANNELS_IN]
    whole = round_up(channels, CHANNEL_STEP)
    count = np.int64(words[step[P_WORDS]])
    for pixel in range(images * step[P_PIXELS_IN]):
        x = step[P_SRC] // 4 + pixel * whole
        for c in range(channels):
            at = step[P_WORDS] + 1 + (2 * count + 1) * c
            value = arena_words[x + c]
            low, high = np.int64(0), count
            while low < high:
                middle = (low + high) // 2
                if value >= words[at + middle]:
                    low = middle + 1
                else:
                    high = middle
            level = words[at + count + low]
            if step[P_DST_WORDS]:
                arena_words[step[P_DST] // 4 + pixel * whole + c] = level
            else:
                arena[step[P_DST] + pixel * whole + c] = level + 128 * step[P_DST_SIGNED]


@njit
def _read(step, images, image, images_8, images_16, images_32, arena, arena_words):
    """Read the block's images, of 8, 16 or 32 bits a value, into the arena; see `_write` for signs."""
    channels, pixels = step[P_CHANNELS_IN], step[P_PIXELS_IN]
    whole, size = round_up(channels, CHANNEL_STEP), channels * pixels
    for i in range(images):
        for p in range(pixels):
            y = step[P_SRC] + (i * pixels + p) * whole
            x = (image + i) * size + p * channels
            if not step[P_SRC_WORDS]:
                flip = 128 * step[P_SRC_SIGNED]
                for c in range(channels):
                    arena[y + c] = images_8[x + c] ^ flip
                continue
            y = step[P_SRC] // 4 + (i * pixels + p) * whole
            for c in range(channels):
                if len(images_16):
                    value = np.int32(images_16[x + c])
                    arena_words[y + c] = value if step[P_SRC_SIGNED] else value & 0xFFFF
                else:
                    arena_words[y + c] = images_32[x + c]


@njit
def _write(step, images, image, out_8, out_16, out_32, arena, arena_words):
    """Write the block's part of a tap: bytes that are stored 128 above their values have their top bit turned."""
    channels, pixels = step[P_CHANNELS_OUT], step[P_PIXELS_OUT]
    whole, size = round_up(channels, CHANNEL_STEP), channels * pixels
    for i in range(images):
        for p in range(pixels):
            y = step[P_TAP] // step[P_TAP_SIZE] + (image + i) * size + p * channels
            x = (i * pixels + p) * whole
            if not step[P_DST_WORDS]:
                flip = 128 * step[P_DST_SIGNED]
                x += step[P_DST]
                for c in range(channels):
                    out_8[y + c] = arena[x + c] ^ flip
                continue
            x += step[P_DST] // 4
            if step[P_TAP_SIZE] == 2:
                for c in range(channels):
                    out_16[y + c] = arena_words[x + c]
            else:
                for c in range(channels):
                    out_32[y + c] = arena_words[x + c]


def compute_pixels(
    isa, program, operations, data, words, images_8, images_16, images_32, out_8, out_16, out_32, first, last, block,
    arena, arena_words, units, units_16, places, spare, buffers, spent,
):  # fmt: skip
    """Run `program` on images `first` to `last` - 1, `block` at a time.

    `isa`: the instruction set. `data` uint8: tables, weights; `words` int32: numbers of the steps; `images_*`, flat:
    the images, of the view that has their values' size, the others empty; `out_*`: views of every tap for all images,
    one after the other; `arena`, `arena_words`, `units`, `units_16`, `places`, `spare`, `buffers`: space of the calling
    thread. `operations`: those of pointwise steps, int64 [operations, OPERATION_FIELDS].
    `spent` int64 [steps + 2], or empty: see `kernel.compute`.
    """
    measured = len(spent) > 0
    steps = program.shape[0]
    for image in range(first, last, block):
        here = min(block, last - image)
        before = now_ns() if measured else 0
        _read(program[0], here, image, images_8, images_16, images_32, arena, arena_words)
        if measured:
            now = now_ns()
            spent[steps] += now - before
            before = now
        for i in range(steps):
            step = program[i]
            op = step[P_OP]
            if op == CONV:
                convolve(isa, step, here, data, words, arena, arena_words, units, units_16, places, spare)
            elif op == MAX_POOL:
                max_pool(step, here, words, arena)
            elif op == POINTWISE_PIXELS:
                pointwise(step, operations, here, words, arena, buffers)
            elif op == BYTE_FUNCTION:
                _byte_function(step, here, data, words, arena, arena_words)
            elif op == SUM_POOL:
                sum_pool(step, here, words, arena, arena_words)
            elif op == ENCODE:
                encode(step, here, data, words, arena, arena_words)
            elif op == CONCAT:
                concat(step, here, arena)
            elif op == PAD:
                pad(step, here, data, words, arena)
            elif op == REORDER:
                reorder(step, here, words, arena, arena_words)
            elif op == ORDERED_LINEAR:
                ordered_linear(step, here, words, arena, arena_words)
            elif op == MATMUL:
                matmul(step, here, words, arena, arena_words)
            elif op == POSITION:
                position(step, here, words, arena, arena_words)
            elif op == ARGMAX:
                argmax(step, here, words, arena, arena_words)
            elif op == WORD_FUNCTION:
                _word_function(step, here, words, arena, arena_words)
            else:
                _word_threshold(step, here, words, arena, arena_words)
            if measured:
                now = now_ns()
                spent[i] += now - before
                before = now
            if step[P_TAP] >= 0:
                _write(step, here, image, out_8, out_16, out_32, arena, arena_words)
                if measured:
                    now = now_ns()
                    spent[steps + 1] += now - before
                    before = now
    fence()
