"""What the compiled engine runs: one program of operators over blocks of images, in vectors of one of three widths.

A tensor lies in panels, channel-major: a panel is one row a channel, each as wide as the panel, 64 bytes or, with more
than 64 tokens, a multiple. Its columns are tokens: of several images where they have up to 32 (padded to 16 or 32), of
one image otherwise; of a vector after the pool, images. So a panel is contiguous and stays in the first-level cache.
Values are uint8, int8 plus 128: that is how a table is indexed, and what the byte products of x86 want on one side.

One source, three instruction sets: every intrinsic takes an empty array `isa` whose type says for which one it is to
generate code (`ISAS`). So Numba compiles this file once for each, and its cache, keyed by the file's content and the
signature, is never stale.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="call-arg"
# Numba infers its own types: annotations would be a second, unchecked statement of them; and it gives an intrinsic its
# first argument, the typing context.

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


class Isa(NamedTuple):
    """An instruction set: 32-bit lanes of a vector, columns and rows of a tile of sums that its registers hold."""

    name: str
    lanes: int
    columns: int
    rows: int

    @property
    def token(self):
        """The empty array whose type says which instruction set it is."""
        return np.empty(0, np.dtype([(self.name, np.uint8)]))


ISAS = {isa.name: isa for isa in (Isa("avx512", 16, 64, 4), Isa("avx2", 8, 16, 4), Isa("plain", 4, 16, 2))}
TOKENS_STEP = 16
PANEL = 64
"""A panel is so wide, or a multiple."""


def _isa(token):
    return ISAS[next(iter(token.dtype.fields))]


def _vector(element, count):
    return ir.VectorType(element, count)


def _splat(vector, value):
    return ir.Constant(vector, [value] * vector.count)


def _broadcast(builder, scalar, count):
    vector = _vector(scalar.type, count)
    undefined = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(undefined, scalar, I32(0))
    return builder.shuffle_vector(one, undefined, ir.Constant(_vector(I32, count), [0] * count))


def _call(builder, name, result, *arguments):
    kind = ir.FunctionType(result, [a.type for a in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _shuffle(builder, a, b, places):
    return builder.shuffle_vector(a, b, ir.Constant(_vector(I32, len(places)), list(places)))


def _data(context, builder, signature, arguments, index):
    return context.make_array(signature.args[index])(context, builder, arguments[index]).data


def _address(builder, data, terms, of):
    offset = I64(0)
    for term in terms:
        offset = builder.add(offset, term if not isinstance(term, int) else I64(term))
    return builder.bitcast(builder.gep(data, [offset]), of.as_pointer())


def _load(builder, data, terms, of, align=1):
    return builder.load(_address(builder, data, terms, of), align=align)


def _store(builder, value, data, terms, align=1):
    builder.store(value, _address(builder, data, terms, value.type), align=align)


# ---- Products -------------------------------------------------------------------------------------------------------


def _halves(builder, isa, value, signed):
    """The even and the odd bytes of a vector of bytes (given as 32-bit lanes), as vectors of 16-bit numbers."""
    pairs = _vector(I16, 2 * isa.lanes)
    value = builder.bitcast(value, pairs)
    eight = _splat(pairs, 8)
    if signed:
        return builder.ashr(builder.shl(value, eight), eight), builder.ashr(value, eight)
    return builder.and_(value, _splat(pairs, 255)), builder.lshr(value, eight)


def _add_pairs(builder, isa, total, a, b):
    """total[i] + a[2i] * b[2i] + a[2i + 1] * b[2i + 1], 16-bit factors: one multiplication on x86 (pmaddwd)."""
    if isa.name == "avx2":
        return builder.add(total, _call(builder, "llvm.x86.avx2.pmadd.wd", total.type, a, b))
    wide = _vector(I32, 2 * isa.lanes)
    product = builder.mul(builder.sext(a, wide), builder.sext(b, wide), flags=["nsw"])
    undefined = ir.Constant(wide, ir.Undefined)
    even = _shuffle(builder, product, undefined, range(0, 2 * isa.lanes, 2))
    odd = _shuffle(builder, product, undefined, range(1, 2 * isa.lanes, 2))
    return builder.add(total, builder.add(even, odd))


def _prepare(builder, isa, value, signed):
    return (value,) if isa.name == "avx512" else _halves(builder, isa, value, signed)


def _dot(builder, isa, total, unsigned, signed):
    """total[i] + sum over j < 4 of unsigned[4i + j] * signed[4i + j], modulo 2^32; factors as `_prepare` made them."""
    if isa.name == "avx512":
        return _call(builder, "llvm.x86.avx512.vpdpbusd.512", total.type, total, unsigned[0], signed[0])
    for u, s in zip(unsigned, signed, strict=True):
        total = _add_pairs(builder, isa, total, u, s)
    return total


def _sums(builder, isa, rows, vectors, quads, initial, vector_at, scalar_at, vectors_signed):
    """A tile of sums in registers: rows x vectors of 32-bit lanes, over `quads` groups of four factors.

    `initial(r, v)`; `vector_at(k, v)` and `scalar_at(k, r)`: the factors, four bytes a lane, the scalars' in all lanes.
    """
    tile = [[cgutils.alloca_once(builder, _vector(I32, isa.lanes)) for _ in range(vectors)] for _ in range(rows)]
    for r in range(rows):
        for v in range(vectors):
            builder.store(initial(r, v), tile[r][v])
    with cgutils.for_range(builder, quads) as loop:
        across = [_prepare(builder, isa, vector_at(loop.index, v), vectors_signed) for v in range(vectors)]
        for r in range(rows):
            down = _broadcast(builder, scalar_at(loop.index, r), isa.lanes)
            down = _prepare(builder, isa, down, not vectors_signed)
            for v in range(vectors):
                unsigned, signed = (down, across[v]) if vectors_signed else (across[v], down)
                builder.store(_dot(builder, isa, builder.load(tile[r][v]), unsigned, signed), tile[r][v])
    return [[builder.load(tile[r][v]) for v in range(vectors)] for r in range(rows)]


def _requantise(builder, sums, shifts, biases):
    """sat8((sum >> shift) + bias) + 128 as bytes, of the vectors one after the other; sums hold the rounding half."""
    wide = [builder.add(builder.ashr(s, shift), bias) for s, shift, bias in zip(sums, shifts, biases, strict=True)]
    if len(wide) == 4 and wide[0].type.count == 16:
        # Two packings put lanes in another order; see `_pack_order`.
        words = [_call(builder, "llvm.x86.avx512.packssdw.512", _vector(I16, 32), wide[i], wide[i + 1]) for i in (0, 2)]
        packed = _call(builder, "llvm.x86.avx512.packsswb.512", _vector(I8, 64), *words)
    else:
        parts = []
        for value in wide:
            kind = value.type
            low = _splat(kind, -128)
            high = _splat(kind, 127)
            value = builder.select(builder.icmp_signed("<", value, low), low, value)
            value = builder.select(builder.icmp_signed(">", value, high), high, value)
            parts.append(builder.trunc(value, _vector(I8, kind.count)))
        while len(parts) > 1:
            parts = [
                _shuffle(builder, a, b, range(2 * a.type.count)) for a, b in zip(parts[::2], parts[1::2], strict=True)
            ]
        packed = parts[0]
    return builder.xor(packed, _splat(packed.type, -128))


@intrinsic
def _tile_channels(_typing, isa, y, y_at, y_stride, x, x_at, w, w_at, quads, scale, scale_at):
    """isa.rows outputs x isa.columns columns of a linear over channels.

    x: [quads, columns, 4] as `_pack` orders them; w: [quads, rows, 4]; scale: [3, rows] start values, shifts, biases.
    """
    kind = _isa(isa)
    vectors = kind.columns // kind.lanes
    lanes = _vector(I32, kind.lanes)

    def generate(context, builder, signature, arguments):
        y_data, x_data, w_data, s_data = (_data(context, builder, signature, arguments, i) for i in (1, 4, 6, 9))
        _, _, y_at, y_stride, _, x_at, _, w_at, quads, _, s_at = arguments

        def scale_of(which, r):
            value = _load(builder, s_data, (s_at, which * kind.rows + r), I32, 4)
            return _broadcast(builder, value, kind.lanes)

        def vector_at(k, v):
            start = builder.mul(k, I64(4 * kind.columns))
            return _load(builder, x_data, (x_at, start, 4 * kind.lanes * v), lanes, 4 * kind.lanes)

        def scalar_at(k, r):
            return _load(builder, w_data, (w_at, builder.mul(k, I64(4 * kind.rows)), 4 * r), I32, 4)

        starts = [scale_of(0, r) for r in range(kind.rows)]
        sums = _sums(
            builder, kind, kind.rows, vectors, quads, lambda r, _: starts[r], vector_at, scalar_at, vectors_signed=False
        )
        for r in range(kind.rows):
            shift, bias = scale_of(1, r), scale_of(2, r)
            result = _requantise(builder, sums[r], [shift] * vectors, [bias] * vectors)
            _store(builder, result, y_data, (y_at, builder.mul(y_stride, I64(r))), kind.columns)
        return context.get_dummy_value()

    return types.void(isa, y, y_at, y_stride, x, x_at, w, w_at, quads, scale, scale_at), generate


def _tile_tokens(tokens_of):
    """An intrinsic for isa.rows channels x tokens_of(isa) output tokens of a linear over tokens, of one image."""

    @intrinsic
    def tile(
        _typing, isa, y, y_at, y_stride, x, x_at, x_stride, w, w_at, w_stride, quads, scale, scale_at, scale_stride
    ):
        """x: one row a channel; w: [quads, outputs, 4], w_stride bytes a quad; scale: [3, outputs]."""
        kind = _isa(isa)
        tokens = tokens_of(kind)
        vectors = tokens // kind.lanes
        lanes = _vector(I32, kind.lanes)

        def generate(context, builder, signature, arguments):
            y_data, x_data, w_data, s_data = (_data(context, builder, signature, arguments, i) for i in (1, 4, 7, 11))
            _, _, y_at, y_stride, _, x_at, x_stride, _, w_at, w_stride, quads, _, s_at, s_stride = arguments

            def scale_of(which, v):
                start = builder.mul(s_stride, I64(which))
                return _load(builder, s_data, (s_at, start, kind.lanes * v), lanes, 4)

            def vector_at(k, v):
                return _load(builder, w_data, (w_at, builder.mul(k, w_stride), 4 * kind.lanes * v), lanes, 4)

            def scalar_at(k, r):
                row = builder.mul(x_stride, I64(r))
                return _load(builder, x_data, (x_at, row, builder.shl(k, I64(2))), I32, 4)

            starts = [scale_of(0, v) for v in range(vectors)]
            sums = _sums(
                builder, kind, kind.rows, vectors, quads, lambda _, v: starts[v], vector_at, scalar_at,
                vectors_signed=True,
            )  # fmt: skip
            shifts, biases = ([scale_of(which, v) for v in range(vectors)] for which in (1, 2))
            for r in range(kind.rows):
                result = _requantise(builder, sums[r], shifts, biases)
                _store(builder, result, y_data, (y_at, builder.mul(y_stride, I64(r))), TOKENS_STEP)
            return context.get_dummy_value()

        signature = types.void(
            isa, y, y_at, y_stride, x, x_at, x_stride, w, w_at, w_stride, quads, scale, scale_at, scale_stride
        )
        return signature, generate

    return tile


_tile_tokens_many = _tile_tokens(lambda kind: kind.columns)
_tile_tokens_few = _tile_tokens(lambda _: TOKENS_STEP)


@intrinsic
def _pack(_typing, isa, packed, packed_at, x, x_at, x_stride):
    """Four rows of isa.columns bytes interleaved to [columns, 4], in the order in which tiles give their results."""
    kind = _isa(isa)
    size = kind.columns

    def generate(context, builder, signature, arguments):
        p_data, x_data = (_data(context, builder, signature, arguments, i) for i in (1, 3))
        _, _, packed_at, _, x_at, x_stride = arguments
        row = _vector(I8, size)
        rows = [_load(builder, x_data, (x_at, builder.mul(x_stride, I64(r))), row, 16) for r in range(4)]

        def unpack(a, b, unit, high):
            # In each 16 bytes: the low or the high half of either, unit by unit in turn.
            places = []
            for part in range(0, size, 16):
                for u in range(0, 8, unit):
                    start = part + (8 if high else 0) + u
                    places += [*range(start, start + unit), *range(size + start, size + start + unit)]
            return _shuffle(builder, a, b, places)

        pairs = [unpack(rows[0], rows[1], 1, high) for high in (False, True)]
        pairs_2 = [unpack(rows[2], rows[3], 1, high) for high in (False, True)]
        parts = [unpack(pairs[i], pairs_2[i], 2, high) for i in (0, 1) for high in (False, True)]
        for i, part in enumerate(parts):
            _store(builder, part, p_data, (packed_at, size * i), 16)
        return context.get_dummy_value()

    return types.void(isa, packed, packed_at, x, x_at, x_stride), generate


# ---- Tables ---------------------------------------------------------------------------------------------------------


@intrinsic
def _lookup(_typing, isa, y, y_at, x, x_at, width, panels, stride, table, table_at):
    """y[i] = table[x[i]] for one row of `panels` panels, `stride` bytes apart; a table has 256 entries."""
    kind = _isa(isa)

    def generate(context, builder, signature, arguments):
        y_data, x_data, t_data = (_data(context, builder, signature, arguments, i) for i in (1, 3, 8))
        _, _, y_at, _, x_at, width, panels, stride, _, table_at = arguments

        def everywhere(step, body):
            with cgutils.for_range(builder, panels) as panel:
                start = builder.mul(panel.index, stride)
                with cgutils.for_range(builder, builder.udiv(width, I64(step))) as part:
                    body(builder.add(start, builder.mul(part.index, I64(step))))

        if kind.name == "avx512":
            whole = _vector(I8, 64)
            quarters = [_load(builder, t_data, (table_at, 64 * i), whole) for i in range(4)]

            def find(at):
                index = _load(builder, x_data, (x_at, at), whole, 64)
                name = "llvm.x86.avx512.vpermi2var.qi.512"
                low = _call(builder, name, whole, quarters[0], index, quarters[1])
                high = _call(builder, name, whole, quarters[2], index, quarters[3])
                negative = builder.icmp_signed("<", index, _splat(whole, 0))
                _store(builder, builder.select(negative, high, low), y_data, (y_at, at), 64)

            everywhere(64, find)
        elif kind.name == "avx2":
            # Sixteen tables of 16 entries: what is not in one of them gets an index with bit 7 set, which gives 0.
            part, whole = _vector(I8, 16), _vector(I8, 32)
            undefined = ir.Constant(part, ir.Undefined)

            def find(at):
                indices = [_load(builder, x_data, (x_at, at, 32 * i), whole, 32) for i in range(2)]
                totals = [_splat(whole, 0)] * 2
                for h in range(16):
                    entries = _load(builder, t_data, (table_at, 16 * h), part)
                    entries = _shuffle(builder, entries, undefined, [*range(16), *range(16)])
                    for i in range(2):
                        here = builder.sub(indices[i], _splat(whole, 16 * h))
                        here = _call(builder, "llvm.uadd.sat.v32i8", whole, here, _splat(whole, 0x70))
                        found = _call(builder, "llvm.x86.avx2.pshuf.b", whole, entries, here)
                        totals[i] = builder.or_(totals[i], found)
                for i in range(2):
                    _store(builder, totals[i], y_data, (y_at, at, 32 * i), 32)

            everywhere(64, find)
        else:

            def find(at):
                for i in range(8):
                    index = builder.zext(_load(builder, x_data, (x_at, at, i), I8), I64)
                    _store(builder, _load(builder, t_data, (table_at, index), I8), y_data, (y_at, at, i))

            everywhere(8, find)
        return context.get_dummy_value()

    return types.void(isa, y, y_at, x, x_at, width, panels, stride, table, table_at), generate


# ---- Bytes ----------------------------------------------------------------------------------------------------------


@intrinsic
def _add(_typing, y, y_at, x, x_at, r, r_at, count):
    """Saturating add: y = sat8(x + r) of `count` bytes, a multiple of PANEL."""
    whole = _vector(I8, PANEL)

    def generate(context, builder, signature, arguments):
        y_data, x_data, r_data = (_data(context, builder, signature, arguments, i) for i in (0, 2, 4))
        _, y_at, _, x_at, _, r_at, count = arguments
        flip = _splat(whole, -128)
        with cgutils.for_range(builder, builder.udiv(count, I64(PANEL))) as loop:
            at = builder.mul(loop.index, I64(PANEL))
            a = builder.xor(_load(builder, x_data, (x_at, at), whole, PANEL), flip)
            b = builder.xor(_load(builder, r_data, (r_at, at), whole, PANEL), flip)
            total = _call(builder, "llvm.sadd.sat.v64i8", whole, a, b)
            _store(builder, builder.xor(total, flip), y_data, (y_at, at), PANEL)
        return context.get_dummy_value()

    return types.void(y, y_at, x, x_at, r, r_at, count), generate


@intrinsic
def _turn(_typing, y, y_at, y_stride, x, x_at, x_stride):
    """y[j, i] = x[i, j] with bit 7 flipped, 16 x 16 bytes: from tokens by channels to channels by tokens or back."""
    row = _vector(I8, 16)

    def generate(context, builder, signature, arguments):
        y_data, x_data = (_data(context, builder, signature, arguments, i) for i in (0, 3))
        _, y_at, y_stride, _, x_at, x_stride = arguments
        rows = [_load(builder, x_data, (x_at, builder.mul(x_stride, I64(i))), row) for i in range(16)]
        # Four rounds of interleaving row i with row i + 8.
        for _ in range(4):
            mixed = []
            for i in range(8):
                for start in (0, 8):
                    places = [p for k in range(start, start + 8) for p in (k, 16 + k)]
                    mixed.append(_shuffle(builder, rows[i], rows[i + 8], places))
            rows = mixed
        for j in range(16):
            _store(builder, builder.xor(rows[j], _splat(row, -128)), y_data, (y_at, builder.mul(y_stride, I64(j))))
        return context.get_dummy_value()

    return types.void(y, y_at, y_stride, x, x_at, x_stride), generate


# ---- Operators over the panels of a block of images -----------------------------------------------------------------

# Operators of a program. A program is int64 [operators, FIELDS].
LINEAR_CHANNELS, LINEAR_TOKENS, LUT, RELU, ADD, POOL = range(6)
# Its columns: the operator; where inputs and output start in the arena; rows (channels) of the input and the output;
# their panels' widths; the columns that an image takes in them; tokens of the input and the output; groups of four
# factors of a product; where its bytes (weights or tables) and its 32-bit numbers start; where its tap starts, or -1.
(
    OP, SRC, SRC_2, DST, ROWS_IN, ROWS_OUT, WIDTH_IN, WIDTH_OUT, EACH_IN, EACH_OUT, TOKENS_IN, TOKENS_OUT, QUADS, BYTES,
    WORDS, TAP,
) = range(16)  # fmt: skip
FIELDS = 16


@njit
def _round_up(n, step):
    return (n + step - 1) // step * step


@njit
def _panels(images, width, each):
    """Panels that so many images take."""
    return (images * each + width - 1) // width


@njit
def _linear_channels(isa, columns, rows, step, images, arena, data, words, packed):
    inputs, outputs = _round_up(step[ROWS_IN], 16), _round_up(step[ROWS_OUT], 16)
    width, quads = step[WIDTH_IN], step[QUADS]
    groups = _round_up(step[ROWS_OUT], rows) // rows
    for panel in range(_panels(images, width, step[EACH_IN])):
        x_at = step[SRC] + panel * inputs * width
        y_at = step[DST] + panel * outputs * width
        for column in range(0, width, columns):
            for quad in range(quads):
                _pack(isa, packed, quad * 4 * columns, arena, x_at + quad * 4 * width + column, width)
            for group in range(groups):
                _tile_channels(
                    isa, arena, y_at + group * rows * width + column, width, packed, 0,
                    data, step[BYTES] + group * rows * 4 * quads, quads, words, step[WORDS] + group * rows * 3,
                )  # fmt: skip


@njit
def _linear_tokens(isa, columns, rows, step, images, arena, data, words):
    channels = _round_up(step[ROWS_IN], 16)
    width_in, width_out, each_in, each_out = step[WIDTH_IN], step[WIDTH_OUT], step[EACH_IN], step[EACH_OUT]
    quads = step[QUADS]
    in_panel, out_panel = width_in // each_in, width_out // each_out
    for image in range(images):
        x_at = step[SRC] + image // in_panel * channels * width_in + image % in_panel * each_in
        y_at = step[DST] + image // out_panel * channels * width_out + image % out_panel * each_out
        for channel in range(0, step[ROWS_IN], rows):
            x_row = x_at + channel * width_in
            y_row = y_at + channel * width_out
            if each_out % columns == 0:
                for token in range(0, each_out, columns):
                    _tile_tokens_many(
                        isa, arena, y_row + token, width_out, arena, x_row, width_in,
                        data, step[BYTES] + 4 * token, 4 * each_out, quads, words, step[WORDS] + token, each_out,
                    )  # fmt: skip
            else:
                for token in range(0, each_out, TOKENS_STEP):
                    _tile_tokens_few(
                        isa, arena, y_row + token, width_out, arena, x_row, width_in,
                        data, step[BYTES] + 4 * token, 4 * each_out, quads, words, step[WORDS] + token, each_out,
                    )  # fmt: skip


@njit
def _pool(step, images, arena, shift):
    channels = _round_up(step[ROWS_IN], 16)
    width_in, each_in, tokens = step[WIDTH_IN], step[EACH_IN], step[TOKENS_IN]
    in_panel = width_in // each_in
    half = np.int32((1 << shift) >> 1)
    for image in range(images):
        x_at = step[SRC] + image // in_panel * channels * width_in + image % in_panel * each_in
        y_at = step[DST] + image // PANEL * channels * PANEL + image % PANEL
        for c in range(step[ROWS_IN]):
            row = arena[x_at + c * width_in : x_at + c * width_in + tokens]
            total = np.int32(0)
            for t in range(tokens):
                total = np.int32(total + np.int32(row[t]))
            # The offset of 128 a token is one of 128 in the average.
            arena[y_at + c * PANEL] = np.uint8(np.int32(total + half) >> shift)


@njit
def _read(step, images, image, x, arena, scratch):
    """The block's images into panels: int8 [token, value], one after the other."""
    values, tokens, width, each = step[ROWS_IN], step[TOKENS_IN], step[WIDTH_IN], step[EACH_IN]
    padded = _round_up(values, 16)
    in_panel = width // each
    for i in range(images):
        source = x[image + i]
        for t in range(tokens):
            scratch[t * padded : t * padded + values] = source[t * values : (t + 1) * values]
        start = step[SRC] + i // in_panel * padded * width + i % in_panel * each
        for t in range(0, tokens, 16):
            for v in range(0, padded, 16):
                _turn(arena, start + v * width + t, width, scratch, t * padded + v, padded)


@njit
def _write(step, images, image, out, arena, scratch):
    """The block's part of a tap from its panels."""
    channels, tokens, width, each = step[ROWS_OUT], step[TOKENS_OUT], step[WIDTH_OUT], step[EACH_OUT]
    padded = _round_up(channels, 16)
    in_panel = width // each
    size = channels * tokens
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
        if channels == padded and tokens % 16 == 0:
            for t in range(0, tokens, 16):
                for c in range(0, channels, 16):
                    _turn(out, at + t * channels + c, channels, arena, start + c * width + t, width)
        else:
            for t in range(0, tokens, 16):
                for c in range(0, padded, 16):
                    _turn(scratch, t * padded + c, padded, arena, start + c * width + t, width)
            for t in range(tokens):
                out[at + t * channels : at + (t + 1) * channels] = scratch[t * padded : t * padded + channels]


def compute(isa, columns, rows, program, data, words, images, out, first, last, block, arena, packed, scratch):
    """Run `program` on images `first` to `last` - 1, `block` at a time.

    `isa`, `columns`, `rows`: the instruction set. `data` uint8: weights and tables; `words` int32: start values, shifts
    and biases; `images` int8 [image, values]; `out` int8, flat: every tap for all images, one after the other. `arena`,
    `packed` uint8, `scratch` int8: space of the calling thread, aligned to 64 bytes; nothing is allocated here.
    """
    for image in range(first, last, block):
        here = min(block, last - image)
        _read(program[0], here, image, images, arena, scratch)
        for i in range(program.shape[0]):
            step = program[i]
            op = step[OP]
            width, padded = step[WIDTH_IN], _round_up(step[ROWS_IN], 16)
            panels = _panels(here, width, step[EACH_IN])
            if op == LINEAR_CHANNELS:
                _linear_channels(isa, columns, rows, step, here, arena, data, words, packed)
            elif op == LINEAR_TOKENS:
                _linear_tokens(isa, columns, rows, step, here, arena, data, words)
            elif op == LUT:
                for c in range(step[ROWS_IN]):
                    at = c * width
                    _lookup(
                        isa, arena, step[DST] + at, arena, step[SRC] + at, width, panels, padded * width,
                        data, step[BYTES] + 256 * c,
                    )  # fmt: skip
            elif op == RELU:
                x = arena[step[SRC] : step[SRC] + panels * padded * width]
                y = arena[step[DST] : step[DST] + panels * padded * width]
                for j in range(len(x)):
                    y[j] = max(x[j], np.uint8(128))
            elif op == ADD:
                _add(arena, step[DST], arena, step[SRC], arena, step[SRC_2], panels * padded * width)
            else:
                _pool(step, here, arena, words[step[WORDS]])
            if step[TAP] >= 0:
                _write(step, here, image, out, arena, scratch)
