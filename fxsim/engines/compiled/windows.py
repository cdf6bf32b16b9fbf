"""Windows: convolutions by products and by tables of products, thresholds of their sums, and the greatest of a window.

A tile is some pixels times some outputs. Its factors are prepared once for an image, with the padding around it, so
that a window is a few runs of them. By products a unit is 32 bits of factors, as in `products`. Where inputs and
weights have few values, a unit is the place of a table: 16 sums of a few inputs, for all that their weights may be,
which are looked up for 32 or 64 outputs at once and added as bytes; bytes are emptied into 16 bits behind each run,
before they can be full.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="call-arg,unreachable,var-annotated"
# Numba infers its own types: annotations would be a second, unchecked statement of them; and it gives an intrinsic its
# first argument, the typing context.

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from fxsim.engines.compiled.codes import (
    C_COLUMN_STRIDE,
    C_COLUMNS,
    C_COLUMNS_OUT,
    C_DIGITS_AT,
    C_EACH,
    C_EACH_CHANNELS,
    C_FORM,
    C_GROUPS,
    C_LEFT,
    C_NO_DIGIT,
    C_PADDED_COLUMNS,
    C_PADDED_ROWS,
    C_PADDING,
    C_ROW_STRIDE,
    C_ROWS,
    C_RUNS,
    C_RUNS_AT,
    C_SCALE,
    C_SHARE,
    C_START,
    C_STARTS_AT,
    C_STEPS,
    C_STORED_VALUES,
    C_TABLES_AT,
    C_THRESHOLDS,
    C_THRESHOLDS_AT,
    C_TILE_COLUMNS,
    C_TILE_LANES,
    C_TILES,
    C_TOGETHER,
    C_TOP,
    C_UNITS,
    C_VALUES,
    C_VALUES_AT,
    C_WEIGHTS_AT,
    C_ZERO,
    FOUR_BYTES,
    LOOKED_UP,
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
    P_DST_WORDS,
    P_PIXELS_IN,
    P_PIXELS_OUT,
    P_SRC,
    P_SRC_SIGNED,
    P_SRC_WORDS,
    P_WORDS,
    TABLE_ENTRIES,
)
from fxsim.engines.compiled.isa import isa_of, tile_columns, tile_lanes, tile_rows
from fxsim.engines.compiled.layout import round_up
from fxsim.engines.compiled.pixel_layout import CHANNEL_STEP, TILE_PIXELS_MAX
from fxsim.engines.compiled.products import dot
from fxsim.engines.compiled.vectors import (
    I8,
    I16,
    I32,
    I64,
    broadcast,
    join,
    load,
    shuffle,
    splat,
    store,
    vector_of,
    x86,
)
from fxsim.engines.compiled.views import address_of
from fxsim.jit import cgutils, intrinsic, njit, types

TABLE_COLUMNS = 16, 32, 64
"""Outputs that a tile may have whose products are looked up: the least that a group has no more of, or the most."""
TABLE_SUMS = TILE_PIXELS_MAX * min(TABLE_COLUMNS)
"""Most sums of such a tile: pixels times outputs."""


def table_pixels(lanes, columns):
    """Pixels of a tile of so many outputs whose products are looked up, of vectors of so many 32-bit lanes.

    Of vectors that hold two pixels, four: of more, the addresses of all pixels' factors leave the registers.
    """
    return TABLE_SUMS // columns // (2 if columns == 16 and lanes < 16 else 1)


_table_pixels = njit(table_pixels)


class Tile(NamedTuple):
    """A tile: addresses, and numbers beside them.

    Of the factors of its pixels, int64 [rows], and what is added to these; of its runs, int32 [runs, 2], with their
    number; of weights, tables, start values; of thresholds, with their number, or -1; of results, with the bytes from
    one pixel's to the next, and whether they are words; scale and start of sums that are looked up.
    """

    places: Any
    more: Any
    runs: Any
    count: Any
    weights: Any
    table: Any
    starts: Any
    thresholds: Any
    passed: Any
    y: Any
    row: Any
    words: Any
    scale: Any
    start: Any


def _parts(builder, value):
    return Tile(*(builder.extract_value(value, i) for i in range(len(Tile._fields))))


def _pointer(builder, at):
    return builder.inttoptr(at, I8.as_pointer())


def _rows_at(builder, tile, rows):
    """Addresses, as numbers, of the factors of each row of a tile."""
    places = _pointer(builder, tile.places)
    return [builder.add(load(builder, places, (8 * r,), I64, 8), tile.more) for r in range(rows)]


def _run(builder, tile, index, unit):
    """Distance of a run from a window's first factor, in bytes, and its steps."""
    runs = _pointer(builder, tile.runs)
    at = builder.mul(index, I64(8))
    offset, steps = (builder.sext(load(builder, runs, (at, 4 * i), I32, 4), I64) for i in range(2))
    return builder.mul(offset, I64(unit)), steps


def _pass_thresholds(builder, tile, sums, width):
    """The level of each sum: `sums` [row][part], vectors of `width`-bit lanes; levels likewise, as stored bytes.

    At `tile.thresholds` lie, for each number of thresholds passed from 0 on, the threshold that was passed last and
    then its level, a tile's columns each: of 0 only the level counts. Thresholds rise.
    """
    kind = sums[0][0].type
    parts = len(sums[0])
    columns = parts * kind.count
    size = width // 8
    at = _pointer(builder, tile.thresholds)

    def column(k, which, part):
        start = builder.mul(k, I64(2 * columns * size))
        return load(builder, at, (start, (which * columns + part * kind.count) * size), kind, size)

    levels = [[cgutils.alloca_once_value(builder, column(I64(0), 1, p)) for p in range(parts)] for _ in sums]
    with cgutils.for_range(builder, builder.add(tile.passed, I64(1)), I64(1)) as loop:
        for p in range(parts):
            limit, level = column(loop.index, 0, p), column(loop.index, 1, p)
            for r, row in enumerate(sums):
                reached = builder.icmp_signed(">=", row[p], limit)
                builder.store(builder.select(reached, level, builder.load(levels[r][p])), levels[r][p])
    return [[builder.load(level) for level in row] for row in levels]


def _row_at(builder, tile, r):
    return _pointer(builder, builder.add(tile.y, builder.mul(tile.row, I64(r))))


def _tile_products(wide):
    """An intrinsic for a tile by products: isa.rows pixels x isa.columns outputs; `wide`: of 16-bit factors anywhere.

    Factors are four bytes a lane, without sign, or two 16-bit numbers. Start values, int32 [columns], and thresholds,
    int32, are of sums.
    """

    @intrinsic
    def tile_of(_typing, isa, tile):
        kind = isa_of(isa)
        if wide and kind.depth == 4:
            kind = kind._replace(depth=2)
        vectors = kind.columns // kind.lanes
        lanes = vector_of(I32, kind.lanes)

        def generate(_context, builder, _signature, arguments):
            tile = _parts(builder, arguments[1])
            rows = _rows_at(builder, tile, kind.rows)
            weights = cgutils.alloca_once_value(builder, tile.weights)
            starts = _pointer(builder, tile.starts)
            first = [load(builder, starts, (4 * kind.lanes * v,), lanes, 4) for v in range(vectors)]
            totals = [[cgutils.alloca_once_value(builder, first[v]) for v in range(vectors)] for _ in rows]
            with cgutils.for_range(builder, tile.count) as run:
                offset, steps = _run(builder, tile, run.index, 4)
                here = [_pointer(builder, builder.add(row, offset)) for row in rows]
                with cgutils.for_range(builder, steps) as step:
                    at = _pointer(builder, builder.load(weights))
                    across = [load(builder, at, (4 * kind.lanes * v,), lanes, 4) for v in range(vectors)]
                    for r, row in enumerate(here):
                        factor = load(builder, row, (builder.mul(step.index, I64(4)),), I32, 1)
                        down = broadcast(builder, factor, kind.lanes)
                        for v in range(vectors):
                            total = dot(builder, kind, builder.load(totals[r][v]), down, across[v])
                            builder.store(total, totals[r][v])
                    builder.store(builder.add(builder.load(weights), I64(4 * kind.columns)), weights)
            sums = [[builder.load(total) for total in row] for row in totals]

            def put_bytes(found):
                for r, row in enumerate(found):
                    for v, values in enumerate(row):
                        small = builder.trunc(values, vector_of(I8, kind.lanes))
                        store(builder, small, _row_at(builder, tile, r), (kind.lanes * v,))

            thresholds = builder.icmp_signed(">=", tile.passed, I64(0))
            with builder.if_else(thresholds) as (then, otherwise):
                with then:
                    put_bytes(_pass_thresholds(builder, tile, sums, 32))
                with otherwise, builder.if_else(builder.icmp_signed("!=", tile.words, I64(0))) as (words, bytes_):
                    with words:
                        for r, row in enumerate(sums):
                            for v, values in enumerate(row):
                                store(builder, values, _row_at(builder, tile, r), (4 * kind.lanes * v,), 4)
                    with bytes_:
                        put_bytes([[builder.add(values, splat(lanes, 128)) for values in row] for row in sums])
            return I64(0)

        return types.int64(isa, tile), generate

    return tile_of


_tile_products_narrow = _tile_products(wide=False)
_tile_products_wide = _tile_products(wide=True)


def _tile_tables(columns):
    """An intrinsic for a tile by tables: `table_pixels` x `columns` outputs.

    A unit is 16 bits: where its table lies, int8 [16] sums of 0 to 255 over a run. Weights are bytes 0 to 15,
    [steps, columns]. Thresholds, int16, are of the sums as they are looked up, and of a vector's even lanes, then its
    odd ones. A vector that is longer than `columns` has several pixels, one after the other.
    """

    @intrinsic
    def tile_of(_typing, isa, tile):
        return _tables_of(isa_of(isa), columns, isa, tile)

    return tile_of


def _tables_of(kind, columns, isa, tile):
    """The signature of `_tile_tables`' intrinsic for an instruction set, and what generates its code."""
    size = 4 * kind.lanes
    vectors = max(1, columns // size)
    # Pixels that a vector has.
    per = max(1, size // columns)
    whole, half = vector_of(I8, size), vector_of(I16, size // 2)
    own_lanes = min(size, columns)
    sixteen = vector_of(I8, TABLE_ENTRIES)

    def generate(_context, builder, _signature, arguments):
        tile = _parts(builder, arguments[1])
        if kind.name == "plain":
            return I64(0)
        pixels = _rows_at(builder, tile, table_pixels(kind.lanes, columns))
        rows = [pixels[r : r + per] for r in range(0, len(pixels), per)]
        weights = cgutils.alloca_once_value(builder, tile.weights)
        table = _pointer(builder, tile.table)
        zero = ir.Constant(half, None)
        # Of each vector of bytes the sums of its even and of its odd lanes.
        wide = [[cgutils.alloca_once_value(builder, zero) for _ in range(2 * vectors)] for _ in rows]
        narrow = [[cgutils.alloca_once(builder, whole) for _ in range(vectors)] for _ in rows]
        with cgutils.for_range(builder, tile.count) as run:
            offset, steps = _run(builder, tile, run.index, 2)
            here = [[_pointer(builder, builder.add(pixel, offset)) for pixel in row] for row in rows]
            for row in narrow:
                for part in row:
                    builder.store(ir.Constant(whole, None), part)
            with cgutils.for_range(builder, steps) as step:
                at = _pointer(builder, builder.load(weights))
                across = [
                    _repeated(builder, load(builder, at, (own_lanes * v,), vector_of(I8, own_lanes), own_lanes), per)
                    for v in range(vectors)
                ]
                for r, row in enumerate(here):
                    of_pixels = []
                    for pixel in row:
                        place = load(builder, pixel, (builder.mul(step.index, I64(2)),), I16, 2)
                        found = load(builder, table, (builder.zext(place, I64),), sixteen, TABLE_ENTRIES)
                        of_pixels.append(_repeated(builder, found, own_lanes // TABLE_ENTRIES))
                    entries = of_pixels
                    while len(entries) > 1:
                        entries = [join(builder, *entries[i : i + 2]) for i in range(0, len(entries), 2)]
                    (entries,) = entries
                    for v in range(vectors):
                        found = x86(builder, "pshufb", whole, entries, across[v])
                        builder.store(builder.add(builder.load(narrow[r][v]), found), narrow[r][v])
                builder.store(builder.add(builder.load(weights), I64(columns)), weights)
            for r in range(len(rows)):
                for v in range(vectors):
                    pairs = builder.bitcast(builder.load(narrow[r][v]), half)
                    both = builder.and_(pairs, splat(half, 255)), builder.lshr(pairs, splat(half, 8))
                    for i, more in enumerate(both):
                        total = wide[r][2 * v + i]
                        builder.store(builder.add(builder.load(total), more), total)
        sums = [[builder.load(total) for total in row] for row in wide]

        def put(values, r, v, align):
            """Store a vector's values, each pixel's to its own row."""
            bytes_each = values.type.element.width // 8
            for k in range(per):
                own = (
                    values if per == 1 else shuffle(builder, values, values, range(k * own_lanes, (k + 1) * own_lanes))
                )
                store(builder, own, _row_at(builder, tile, r * per + k), (bytes_each * size * v,), align)

        def put_bytes(found):
            for r, row in enumerate(found):
                for v in range(vectors):
                    odd = builder.shl(row[2 * v + 1], splat(half, 8))
                    both = builder.or_(builder.and_(row[2 * v], splat(half, 255)), odd)
                    put(builder.bitcast(both, whole), r, v, 1)

        thresholds = builder.icmp_signed(">=", tile.passed, I64(0))
        with builder.if_else(thresholds) as (then, otherwise):
            with then:
                put_bytes(_pass_thresholds(builder, tile, sums, 16))
            with otherwise:
                words_kind = vector_of(I32, size)
                scale = broadcast(builder, builder.trunc(tile.scale, I32), size)
                start = broadcast(builder, builder.trunc(tile.start, I32), size)
                places = [place for i in range(size // 2) for place in (i, size // 2 + i)]

                def values(r, v):
                    joined = shuffle(builder, sums[r][2 * v], sums[r][2 * v + 1], places)
                    return builder.add(builder.mul(builder.zext(joined, words_kind), scale), start)

                with builder.if_else(builder.icmp_signed("!=", tile.words, I64(0))) as (words, bytes_):
                    with words:
                        for r in range(len(rows)):
                            for v in range(vectors):
                                put(values(r, v), r, v, 4)
                    with bytes_:
                        for r in range(len(rows)):
                            for v in range(vectors):
                                put(builder.trunc(builder.add(values(r, v), splat(words_kind, 128)), whole), r, v, 1)
        return I64(0)

    return types.int64(isa, tile), generate


def _repeated(builder, values, times):
    """A vector's lanes, so many times."""
    if times == 1:
        return values
    return shuffle(builder, values, values, [*range(values.type.count)] * times)


_tile_tables_16, _tile_tables_32, _tile_tables_64 = (_tile_tables(columns) for columns in TABLE_COLUMNS)


_PLACES_STEPS = 4
"""Times CHANNEL_STEP: bytes whose units are found at once."""


@intrinsic
def _places_of(_typing, y, x, count, values, values_count, radix, each):
    """Units of a row of bytes: y[u] = 16 times the place of inputs each * u on among all that they may be.

    `count`: CHANNEL_STEP bytes of x each; `values` [n, 2]: the stored values, rising, each with what the digit of an
    input that reaches it has more than that of the value before; the first is reached by all. `radix`: how many digits
    there are.
    """

    def generate(_context, builder, _signature, arguments):
        y, x, count, values, values_count, radix, each = arguments
        x, y, values = (_pointer(builder, at) for at in (x, y, values))
        n = builder.trunc(radix, I32)

        def power(i):
            found = I32(1)
            for _ in range(i):
                found = builder.mul(found, n)
            return found

        def shifted(i, bits):
            return builder.shl(power(i), I32(bits))

        four = builder.or_(builder.or_(shifted(0, 24), shifted(1, 16)), builder.or_(shifted(2, 8), power(3)))
        two = builder.trunc(builder.or_(shifted(0, 8), power(1)), I16)

        def place(index, size):
            """The units of `size` bytes from CHANNEL_STEP * index on."""
            whole = vector_of(I8, size)
            digit = cgutils.alloca_once(builder, whole)

            def number(at):
                return broadcast(builder, load(builder, values, (at,), I8), size)

            value = load(builder, x, (builder.mul(index, I64(CHANNEL_STEP)),), whole, CHANNEL_STEP)
            builder.store(number(I64(1)), digit)
            with cgutils.for_range(builder, values_count, I64(1)) as k:
                at = builder.shl(k.index, I64(1))
                limit, more = number(at), number(builder.add(at, I64(1)))
                # Lanes of -1, all of whose bits are set, where it is reached.
                reached = builder.sext(builder.icmp_unsigned(">=", value, limit), whole)
                builder.store(builder.add(builder.load(digit), builder.and_(reached, more)), digit)
            found = builder.load(digit)
            with builder.if_else(builder.icmp_signed("==", each, I64(4))) as (fours, twos):
                with fours:
                    units = builder.bitcast(found, vector_of(I32, size // 4))
                    units = builder.mul(units, broadcast(builder, four, size // 4))
                    units = builder.shl(builder.lshr(units, splat(units.type, 24)), splat(units.type, 4))
                    small = builder.trunc(units, vector_of(I16, size // 4))
                    store(builder, small, y, (builder.mul(index, I64(CHANNEL_STEP // 2)),), 2)
                with twos:
                    units = builder.bitcast(found, vector_of(I16, size // 2))
                    units = builder.mul(units, broadcast(builder, two, size // 2))
                    units = builder.shl(builder.lshr(units, splat(units.type, 8)), splat(units.type, 4))
                    store(builder, units, y, (builder.mul(index, I64(CHANNEL_STEP)),), 2)

        many = builder.udiv(count, I64(_PLACES_STEPS))
        with cgutils.for_range(builder, many) as loop:
            place(builder.mul(loop.index, I64(_PLACES_STEPS)), _PLACES_STEPS * CHANNEL_STEP)
        with cgutils.for_range(builder, count, builder.mul(many, I64(_PLACES_STEPS))) as loop:
            place(loop.index, CHANNEL_STEP)
        return I64(0)

    return types.int64(y, x, count, values, values_count, radix, each), generate


def _greatest(element):
    """An intrinsic that finds the greatest of windows: of bytes, or of words.

    It sets `count` times CHANNEL_STEP values of y to the greatest at rows x columns places of x, so many bytes apart.
    """
    whole = vector_of(element, CHANNEL_STEP)
    size = element.width // 8

    @intrinsic
    def greatest_of(_typing, y, x, rows, row, columns, column, count):
        def generate(_context, builder, _signature, arguments):
            y, x, rows, row, columns, column, count = arguments
            x, y = (_pointer(builder, at) for at in (x, y))
            best = cgutils.alloca_once(builder, whole)
            with cgutils.for_range(builder, count) as loop:
                at = builder.mul(loop.index, I64(CHANNEL_STEP * size))
                builder.store(load(builder, x, (at,), whole, size), best)
                with cgutils.for_range(builder, rows) as r, cgutils.for_range(builder, columns) as s:
                    place = builder.mul(r.index, row), builder.mul(s.index, column), at
                    value, before = load(builder, x, place, whole, size), builder.load(best)
                    greater = (builder.icmp_unsigned if size == 1 else builder.icmp_signed)(">", value, before)
                    builder.store(builder.select(greater, value, before), best)
                store(builder, builder.load(best), y, (at,), size)
            return I64(0)

        return types.int64(y, x, rows, row, columns, column, count), generate

    return greatest_of


_greatest_bytes, _greatest_words = _greatest(I8), _greatest(I32)


@njit
def _prepare(step, numbers, first, images, data, arena, arena_words, units, units_16):
    """Lay the factors of some images, from the first on, with their padding, into `units`."""
    channels, each_channels, groups = step[P_CHANNELS_IN], numbers[C_EACH_CHANNELS], numbers[C_GROUPS]
    whole = round_up(channels, CHANNEL_STEP)
    per, each, form = numbers[C_UNITS], numbers[C_EACH], numbers[C_FORM]
    rows, columns = numbers[C_ROWS], numbers[C_COLUMNS]
    padded_columns, padded = numbers[C_PADDED_COLUMNS], numbers[C_PADDED_ROWS] * numbers[C_PADDED_COLUMNS]
    size = images * padded * groups * per
    if padded != rows * columns:
        if form == FOUR_BYTES:
            units[: 4 * size] = numbers[C_PADDING]
        else:
            units_16[: size if form == LOOKED_UP else 2 * size] = numbers[C_PADDING]
    values, digits = step[P_BYTES] + numbers[C_VALUES_AT], step[P_BYTES] + numbers[C_DIGITS_AT]
    src, base, zero = step[P_SRC], -128 * step[P_SRC_SIGNED], numbers[C_ZERO]
    for image in range(images):
        for i in range(rows):
            x = ((first + image) * rows + i) * columns
            pixel = (image * numbers[C_PADDED_ROWS] + numbers[C_TOP] + i) * padded_columns + numbers[C_LEFT]
            if form == LOOKED_UP and groups == 1 and channels == whole:
                # No channel is padding, so that the pixels of a row are one run.
                _places_of(
                    address_of(units) + 2 * pixel * per, address_of(arena) + src + x * whole,
                    columns * (whole // CHANNEL_STEP), address_of(data) + values, np.int64(numbers[C_STORED_VALUES]),
                    np.int64(numbers[C_VALUES]), np.int64(each),
                )  # fmt: skip
                continue
            for j in range(columns):
                x = ((first + image) * rows + i) * columns + j
                pixel = (image * numbers[C_PADDED_ROWS] + numbers[C_TOP] + i) * padded_columns + numbers[C_LEFT] + j
                y = pixel * groups * per
                if form == LOOKED_UP:
                    for g in range(groups):
                        for u in range(per):
                            code, weight = 0, TABLE_ENTRIES
                            for k in range(each):
                                digit = numbers[C_NO_DIGIT]
                                if u * each + k < each_channels:
                                    place = arena[src + x * whole + g * each_channels + u * each + k]
                                    digit = np.int32(data[digits + place])
                                code += weight * digit
                                weight *= numbers[C_VALUES]
                            units_16[y + g * per + u] = code
                elif form == FOUR_BYTES:
                    for g in range(groups):
                        at = src + x * whole + g * each_channels
                        for c in range(each_channels):
                            units[4 * (y + g * per) + c] = arena[at + c]
                else:
                    for g in range(groups):
                        at = x * whole + g * each_channels
                        for c in range(each_channels):
                            if step[P_SRC_WORDS]:
                                value = np.int64(arena_words[src // 4 + at + c])
                            else:
                                value = np.int64(arena[src + at + c]) + base
                            units_16[2 * (y + g * per) + c] = value + zero


@njit
def convolve(isa, step, images, data, words, arena, arena_words, units, units_16, places, spare):
    """A step of a convolution, with the thresholds of its sums: tile by tile, of a few images at a time."""
    numbers = words[step[P_WORDS] :]
    form, groups, share = numbers[C_FORM], numbers[C_GROUPS], numbers[C_SHARE]
    looked_up = form == LOOKED_UP
    rows, columns = np.int64(tile_rows(isa)), np.int64(tile_columns(isa))
    lanes = columns
    if looked_up:
        columns, lanes = np.int64(numbers[C_TILE_COLUMNS]), np.int64(numbers[C_TILE_LANES])
        rows = _table_pixels(np.int64(tile_lanes(isa)), columns)
    unit = 2 if looked_up else 4
    channels, size = round_up(step[P_CHANNELS_OUT], CHANNEL_STEP), 4 if step[P_DST_WORDS] else 1
    pixels, columns_out = step[P_PIXELS_OUT], numbers[C_COLUMNS_OUT]
    # A tile that has other channels than its own behind it is computed aside.
    direct = groups == 1 and channels % columns == 0
    pixel = groups * numbers[C_UNITS] * unit
    bytes_at = address_of(data) + step[P_BYTES]
    numbers_at = address_of(words) + 4 * step[P_WORDS]
    weights_size = numbers[C_STEPS] * (1 if looked_up else 4) * columns
    thresholds_size = (numbers[C_THRESHOLDS] + 1) * 2 * lanes
    for first in range(0, images, numbers[C_TOGETHER]):
        here = min(images - first, numbers[C_TOGETHER])
        _prepare(step, numbers, first, here, data, arena, arena_words, units, units_16)
        count = here * pixels
        p = 0
        for image in range(here):
            for i in range(pixels // columns_out):
                row = image * numbers[C_PADDED_ROWS] + i * numbers[C_ROW_STRIDE]
                place = address_of(units) + row * numbers[C_PADDED_COLUMNS] * pixel
                for _ in range(columns_out):
                    places[p] = place
                    place += numbers[C_COLUMN_STRIDE] * pixel
                    p += 1
        for q in range(count, round_up(count, rows)):
            places[q] = places[count - 1]
        for group in range(groups):
            for part in range(numbers[C_TILES]):
                number = group * numbers[C_TILES] + part
                weights = bytes_at + numbers[C_WEIGHTS_AT] + number * weights_size
                starts = numbers_at + 4 * (numbers[C_STARTS_AT] + number * columns)
                if looked_up:
                    thresholds = bytes_at + numbers[C_THRESHOLDS_AT] + 2 * number * thresholds_size
                else:
                    thresholds = numbers_at + 4 * (numbers[C_THRESHOLDS_AT] + number * thresholds_size)
                from_output = group * share + part * columns
                outputs = min(columns, share - part * columns)
                for p in range(0, count, rows):
                    to = ((first * pixels + p) * channels + from_output) * size
                    y, y_row = address_of(arena) + step[P_DST] + to, channels * size
                    if not direct:
                        y, y_row = address_of(spare), columns * size
                    tile = Tile(
                        address_of(places) + 8 * p, group * numbers[C_UNITS] * unit,
                        numbers_at + 4 * numbers[C_RUNS_AT], np.int64(numbers[C_RUNS]),
                        weights, bytes_at + numbers[C_TABLES_AT], starts, thresholds, np.int64(numbers[C_THRESHOLDS]),
                        y, y_row, step[P_DST_WORDS], np.int64(numbers[C_SCALE]), np.int64(numbers[C_START]),
                    )  # fmt: skip
                    if looked_up:
                        if columns == 16:
                            _tile_tables_16(isa, tile)
                        elif columns == 32:
                            _tile_tables_32(isa, tile)
                        else:
                            _tile_tables_64(isa, tile)
                    elif form == FOUR_BYTES:
                        _tile_products_narrow(isa, tile)
                    else:
                        _tile_products_wide(isa, tile)
                    if not direct:
                        for r in range(min(rows, count - p)):
                            at = step[P_DST] + to + r * channels * size
                            arena[at : at + outputs * size] = spare[r * y_row : r * y_row + outputs * size]


@njit
def max_pool(step, images, words, arena):
    """A step that takes the greatest of each window of a channel."""
    numbers = words[step[P_WORDS] :]
    whole = round_up(step[P_CHANNELS_IN], CHANNEL_STEP)
    rows, columns, columns_in = numbers[M_ROWS], numbers[M_COLUMNS], numbers[M_COLUMNS_IN]
    # Bytes from a pixel to the next.
    pixel = 4 * whole if step[P_SRC_WORDS] else whole
    memory = address_of(arena)
    for image in range(images):
        for p in range(step[P_PIXELS_OUT]):
            i, j = p // numbers[M_COLUMNS_OUT] * numbers[M_ROW_STRIDE], p % numbers[M_COLUMNS_OUT]
            x = (
                memory
                + step[P_SRC]
                + pixel * (image * step[P_PIXELS_IN] + i * columns_in + j * numbers[M_COLUMN_STRIDE])
            )
            y = memory + step[P_DST] + pixel * (image * step[P_PIXELS_OUT] + p)
            size = np.int64(rows), columns_in * pixel, np.int64(columns), pixel, whole // CHANNEL_STEP
            if step[P_SRC_WORDS]:
                _greatest_words(y, x, *size)
            else:
                _greatest_bytes(y, x, *size)
