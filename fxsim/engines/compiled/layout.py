"""Layout of tensors: panels of a block of images, from images and back.

A tensor lies in panels, channel-major: a panel is one row a channel, each as wide as the panel, 64 bytes or, with more
than 64 tokens, a multiple. Its columns are tokens: of several images where they have up to 32 (padded to 16 or 32), of
one image otherwise; of a vector after the pool, images. So a panel is contiguous and stays in the first-level cache.
Values are uint8, int8 plus 128: that is how a table is indexed, and what the byte products of x86 want on one side.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="call-arg,unreachable,var-annotated"
# Numba infers its own types: annotations would be a second, unchecked statement of them; and it gives an intrinsic its
# first argument, the typing context.

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fxsim.engines.compiled.codes import (
    DST,
    EACH_IN,
    EACH_OUT,
    ROWS_IN,
    ROWS_OUT,
    SRC,
    TAP,
    TOKENS_IN,
    TOKENS_OUT,
    WIDTH_IN,
    WIDTH_OUT,
)
from fxsim.engines.compiled.vectors import I8, I32, I64, address, load, shuffle, splat, store, vector_of
from fxsim.engines.compiled.views import Rows, address_of, view_of
from fxsim.jit import cgutils, intrinsic, njit, types

UInt8 = npt.NDArray[np.uint8]


TOKENS_STEP = 16
PANEL = 64
"""Columns that the width of every panel is a multiple of."""

ALIGNMENT = 64
"""Alignment in bytes of every array that the kernels read in whole vectors."""


class Panels(NamedTuple):
    """A tensor in panels of rows (channels, padded to 16) x `width` columns, `each` of them an image's."""

    channels: int
    tokens: int
    width: int
    each: int

    @property
    def rows(self) -> int:
        """Rows of a panel."""
        return rounded_up(self.channels, 16)

    def bytes(self, images: int) -> int:
        """Size of the panels that so many images take."""
        return -(-images * self.each // self.width) * self.rows * self.width


def panels(shape: tuple[int, ...]) -> Panels:
    """The panels of a tensor of `shape`: (tokens, channels), or (channels,)."""
    if len(shape) == 1:
        return Panels(shape[0], 1, PANEL, 1)
    tokens, channels = shape
    if tokens > PANEL:
        each = rounded_up(tokens, PANEL)
        return Panels(channels, tokens, each, each)
    each = next(size for size in (16, 32, 64) if tokens <= size)
    return Panels(channels, tokens, PANEL, each)


def aligned(array: UInt8) -> UInt8:
    """A copy that starts at a multiple of ALIGNMENT."""
    copy = space(array.size)
    copy[:] = array
    return copy


def space(size: int) -> UInt8:
    """Zero bytes, `size` of them, that start at a multiple of ALIGNMENT, with room for a vector behind them."""
    room = np.zeros(size + 2 * ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size]


def rounded_up(n: int, step: int) -> int:
    """`n`, rounded up to a multiple of `step`."""
    return -(-n // step) * step


@njit
def round_up(n, step):
    """`n`, rounded up to a multiple of `step`, in compiled code."""
    return (n + step - 1) // step * step


@njit
def count_panels(images, width, each):
    """Panels that so many images take."""
    return (images * each + width - 1) // width


@intrinsic
def transpose(_typing, y, x):
    """Set y[j, i] = x[i, j], bit 7 flipped, 16 x 16 bytes: from tokens by channels to channels by tokens or back."""
    row = vector_of(I8, 16)

    def generate(context, builder, signature, arguments):
        y, x = (view_of(builder, *given) for given in zip(signature.args, arguments, strict=True))
        rows = [load(builder, x.at, (builder.mul(x.row, I64(i)),), row) for i in range(16)]
        # Four rounds of interleaving row i with row i + 8.
        for _ in range(4):
            mixed = []
            for i in range(8):
                for start in (0, 8):
                    places = [p for k in range(start, start + 8) for p in (k, 16 + k)]
                    mixed.append(shuffle(builder, rows[i], rows[i + 8], places))
            rows = mixed
        for j in range(16):
            store(builder, builder.xor(rows[j], splat(row, -128)), y.at, (builder.mul(y.row, I64(j)),))
        return context.get_dummy_value()

    return types.void(y, x), generate


@intrinsic
def _stream(_typing, y, x, count):
    """Copy `count` bytes from x to y, all multiples of 64, past the caches: nothing here reads them again."""
    whole = vector_of(I8, 64)

    def generate(context, builder, signature, arguments):
        y, x = (view_of(builder, signature.args[i], arguments[i]) for i in range(2))
        once = builder.module.add_metadata([I32(1)])
        with cgutils.for_range(builder, builder.udiv(arguments[2], I64(64))) as loop:
            at = builder.mul(loop.index, I64(64))
            value = load(builder, x, (at,), whole, 64)
            store = builder.store(value, address(builder, y, (at,), whole), align=64)
            store.set_metadata("nontemporal", once)
        return context.get_dummy_value()

    return types.void(y, x, count), generate


@njit
def read(step, images, image, x, arena, scratch):
    """Read the block's images into panels: int8 [token, value], one after the other."""
    values, tokens, width, each = step[ROWS_IN], step[TOKENS_IN], step[WIDTH_IN], step[EACH_IN]
    padded = round_up(values, 16)
    in_panel = width // each
    to = address_of(arena)
    for i in range(images):
        source = x[image + i]
        start = step[SRC] + i // in_panel * padded * width + i % in_panel * each
        if values == padded and tokens % 16 == 0:
            for t in range(0, tokens, 16):
                for v in range(0, values, 16):
                    at = start + v * width + t
                    transpose(Rows(to + at, width), Rows(address_of(source) + t * values + v, values))
            continue
        for t in range(tokens):
            scratch[t * padded : t * padded + values] = source[t * values : (t + 1) * values]
        for t in range(0, tokens, 16):
            for v in range(0, padded, 16):
                at = start + v * width + t
                transpose(Rows(to + at, width), Rows(address_of(scratch) + t * padded + v, padded))


@njit
def write(step, images, image, out, arena, scratch):
    """Write the block's part of a tap from its panels."""
    channels, tokens, width, each = step[ROWS_OUT], step[TOKENS_OUT], step[WIDTH_OUT], step[EACH_OUT]
    padded = round_up(channels, 16)
    in_panel = width // each
    size = channels * tokens
    turned = address_of(scratch)
    if each == 1:
        for i in range(images):
            start = step[DST] + i // in_panel * padded * width + i % in_panel
            result = out[step[TAP] + (image + i) * size : step[TAP] + (image + i + 1) * size]
            for c in range(channels):
                result[c] = np.int8(np.int16(arena[start + c * width]) - 128)
        return
    for i in range(images):
        start = step[DST] + i // in_panel * padded * width + i % in_panel * each
        at = step[TAP] + (image + i) * size
        for t in range(0, tokens, 16):
            for c in range(0, padded, 16):
                source = start + c * width + t
                transpose(Rows(turned + t * padded + c, padded), Rows(address_of(arena) + source, width))
        if channels == padded and size % 64 == 0:
            _stream(address_of(out) + at, turned, size)
        else:
            for t in range(tokens):
                out[at + t * channels : at + (t + 1) * channels] = scratch[t * padded : t * padded + channels]
