"""What the compiled engine runs: one program of operators over blocks of images, in vectors of 128 to 512 bits.

A tensor lies in panels, channel-major: a panel is one row a channel, each as wide as the panel, 64 bytes or, with more
than 64 tokens, a multiple. Its columns are tokens: of several images where they have up to 32 (padded to 16 or 32), of
one image otherwise; of a vector after the pool, images. So a panel is contiguous and stays in the first-level cache.
Values are uint8, int8 plus 128: that is how a table is indexed, and what the byte products of x86 want on one side.

One source, four instruction sets: every intrinsic takes an empty array `isa` whose type says for which one it is to
generate code (`ISAS`). So Numba compiles this file once for each, and its cache, keyed by the file's content and the
signature, is never stale.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="call-arg,unreachable,var-annotated"
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
    """An instruction set: 32-bit lanes of a vector, columns and rows of a tile of sums that its registers hold.

    `depth`: factors that a lane takes at once, 4 of 8 bits or 2 of 16 bits. `tables`: affines are looked up.
    """

    name: str
    lanes: int
    columns: int
    rows: int
    depth: int
    tables: bool

    @property
    def token(self):
        """The empty array whose type says which instruction set it is: by its number of dimensions.

        Numba's names of machine code tell numbers of dimensions apart, but not record types of different processes.
        """
        return np.empty((0,) * (1 + list(ISAS).index(self.name)), np.uint8)


ISAS = {
    isa.name: isa
    for isa in (
        Isa("avx512", 16, 64, 4, 4, tables=True),
        Isa("avxvnni", 8, 32, 2, 4, tables=False),
        Isa("avx2", 8, 32, 2, 2, tables=False),
        Isa("plain", 4, 16, 2, 2, tables=False),
    )
}
TOKENS_STEP = 16
PANEL = 64
"""A panel is so wide, or a multiple."""


def _isa(token):
    return list(ISAS.values())[token.ndim - 1]


def _isa_constant(name):
    @intrinsic
    def constant(_typing, isa):
        return types.int64(isa), lambda *_: I64(getattr(_isa(isa), name))

    return constant


_columns, _rows, _depth = (_isa_constant(name) for name in ("columns", "rows", "depth"))


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


# ---- Programs --------------------------------------------------------------------------------------------------------

# Operators of a program. A program is int64 [operators, FIELDS].
LINEAR_CHANNELS, LINEAR_TOKENS, POINTWISE, POOL = range(4)
# Its columns: the operator; where inputs and output start in the arena; rows (channels) of the input and the output;
# their panels' widths; the columns that an image takes in them; tokens of the input and the output; groups of factors
# of a product, and panels that are packed together; where its weights and its 32-bit numbers start; functions of what
# it takes, of what it gives, and of a second input that is then added, each with where its table and its numbers
# start; where its tap starts, or -1.
(
    OP, SRC, SRC_2, DST, ROWS_IN, ROWS_OUT, WIDTH_IN, WIDTH_OUT, EACH_IN, EACH_OUT, TOKENS_IN, TOKENS_OUT, GROUPS,
    TOGETHER, BYTES, WORDS, PRE, PRE_BYTES, PRE_WORDS, POST, POST_BYTES, POST_WORDS, REST, REST_BYTES, REST_WORDS, TAP,
) = range(26)  # fmt: skip
FIELDS = 26
TAKEN_ROWS = 16
"""Channels that a linear's input function is computed for, before they are packed."""
# Functions of one value, done to a row: nothing is left to do, copied, looked up, scaled, or cut off below 0.
NOTHING, COPY, TABLE, AFFINE, RELU = range(-1, 4)
AFFINE_WORDS = 5
"""32-bit numbers that an affine has for a channel."""

_UNROLLED = 2
"""Groups of factors in a turn of a product's loop: with more of them, 16 registers do not suffice."""


# ---- Products -------------------------------------------------------------------------------------------------------


def _dot(builder, isa, total, unsigned, signed):
    """total[i] + sum over j < depth of unsigned[depth * i + j] * signed[depth * i + j], modulo 2^32."""
    if isa.depth == 4:
        name = f"llvm.x86.avx512.vpdpbusd.{32 * isa.lanes}"
        return _call(builder, name, total.type, total, unsigned, signed)
    pairs = _vector(I16, 2 * isa.lanes)
    a, b = builder.bitcast(unsigned, pairs), builder.bitcast(signed, pairs)
    if isa.name == "avx2":
        return builder.add(total, _call(builder, "llvm.x86.avx2.pmadd.wd", total.type, a, b))
    # LLVM makes of this what the CPU has: one multiplication on x86 (pmaddwd).
    wide = _vector(I32, 2 * isa.lanes)
    product = builder.mul(builder.sext(a, wide), builder.sext(b, wide), flags=["nsw"])
    undefined = ir.Constant(wide, ir.Undefined)
    even = _shuffle(builder, product, undefined, range(0, 2 * isa.lanes, 2))
    odd = _shuffle(builder, product, undefined, range(1, 2 * isa.lanes, 2))
    return builder.add(total, builder.add(even, odd))


def _sums(builder, isa, rows, vectors, groups, initial, vector_at, scalar_at, vectors_signed):
    """A tile of sums in registers: rows x vectors of 32-bit lanes, over `groups` of isa.depth factors.

    `initial(r, v)`; `vector_at(k, v)` and `scalar_at(k, r)`: the factors, four bytes a lane, the scalars' in all lanes.
    """
    tile = [[cgutils.alloca_once(builder, _vector(I32, isa.lanes)) for _ in range(vectors)] for _ in range(rows)]
    for r in range(rows):
        for v in range(vectors):
            builder.store(initial(r, v), tile[r][v])

    def multiply(k):
        across = [vector_at(k, v) for v in range(vectors)]
        for r in range(rows):
            down = _broadcast(builder, scalar_at(k, r), isa.lanes)
            for v in range(vectors):
                unsigned, signed = (down, across[v]) if vectors_signed else (across[v], down)
                builder.store(_dot(builder, isa, builder.load(tile[r][v]), unsigned, signed), tile[r][v])

    turns = builder.udiv(groups, I64(_UNROLLED))
    with cgutils.for_range(builder, turns) as loop:
        for i in range(_UNROLLED):
            multiply(builder.add(builder.mul(loop.index, I64(_UNROLLED)), I64(i)))
    with cgutils.for_range(builder, groups, builder.mul(turns, I64(_UNROLLED))) as loop:
        multiply(loop.index)
    return [[builder.load(tile[r][v]) for v in range(vectors)] for r in range(rows)]


def lane_order(isa, vectors):
    """Which column of a tile lane l of vector v is, [v][l]: packing takes four lanes of each vector in turn."""
    return [[lane // 4 * 4 * vectors + 4 * v + lane % 4 for lane in range(isa.lanes)] for v in range(vectors)]


def _requantise(builder, isa, sums, shifts, biases):
    """sat8((sum >> shift) + bias) + 128 as bytes, in the order of columns; sums hold the rounding half."""
    parts = [builder.add(builder.ashr(s, shift), bias) for s, shift, bias in zip(sums, shifts, biases, strict=True)]
    if isa.name == "avx512":
        # Either packing takes turns between its operands, 16 bytes by 16 bytes.
        names = ("llvm.x86.avx512.packssdw.512", "llvm.x86.avx512.packsswb.512")
    elif isa.name != "plain":
        names = ("llvm.x86.avx2.packssdw", "llvm.x86.avx2.packsswb")
    for element, bits in ((I16, 16), (I8, 8)):
        if isa.name == "plain":
            parts = [_saturate(builder, part, element) for part in parts]
            if len(parts) > 1:
                parts = [_join(builder, a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
            continue
        pairs = zip(parts[::2], parts[1::2], strict=True) if len(parts) > 1 else [(parts[0], parts[0])]
        kind = _vector(element, isa.lanes * 32 // bits)
        parts = [_call(builder, names[bits == 8], kind, a, b) for a, b in pairs]
    packed = parts[0]
    columns = len(sums) * isa.lanes
    if packed.type.count > columns:
        # A vector packed with itself: every second eight bytes (of one vector, every fourth four) are wanted.
        keep = 16 * columns // packed.type.count
        places = [16 * i + j for i in range(packed.type.count // 16) for j in range(keep)]
        packed = _shuffle(builder, packed, packed, places)
    return builder.xor(packed, _splat(packed.type, -128))


def _saturate(builder, value, element):
    """A vector of numbers, saturated to those of half as many bits."""
    kind = value.type
    most = (1 << element.width - 1) - 1
    low, high = _splat(kind, -most - 1), _splat(kind, most)
    value = builder.select(builder.icmp_signed("<", value, low), low, value)
    value = builder.select(builder.icmp_signed(">", value, high), high, value)
    return builder.trunc(value, _vector(element, kind.count))


def _join(builder, a, b):
    return _shuffle(builder, a, b, range(2 * a.type.count))


# ---- Functions of one value, and sums with one ----------------------------------------------------------------------


def _copy(_builder, _isa, _byte, _word):
    return lambda vectors: vectors


def _relu(builder, isa, _byte, _word):
    zero = _splat(_vector(I8, 4 * isa.lanes), 128)
    return lambda vectors: [builder.select(builder.icmp_unsigned(">", v, zero), v, zero) for v in vectors]


def _table(builder, isa, byte, _word):
    """A lookup in 256 entries: `byte(i, kind)` loads of them."""
    whole = _vector(I8, 4 * isa.lanes)

    def permute(vectors):
        results = []
        name = "llvm.x86.avx512.vpermi2var.qi.512"
        for index in vectors:
            low, high = (_call(builder, name, whole, quarters[i], index, quarters[i + 1]) for i in (0, 2))
            negative = builder.icmp_signed("<", index, _splat(whole, 0))
            results.append(builder.select(negative, high, low))
        return results

    def shuffle(vectors):
        # `vpshufb` looks up 16 entries, and gives 0 where bit 7 is set. So index - 16 h, saturating, finds nothing in
        # part h of a half below 16 h: entries are stored as differences (xor) to the part before; see `plan._tables`.
        undefined = ir.Constant(_vector(I8, 16), ir.Undefined)
        totals = [None] * len(vectors)
        for half in range(2):
            indices = vectors if half == 0 else [builder.xor(v, _splat(whole, -128)) for v in vectors]
            for h in range(8):
                entries = byte(128 * half + 16 * h, _vector(I8, 16))
                entries = _shuffle(builder, entries, undefined, [*range(16), *range(16)])
                for i, index in enumerate(indices):
                    here = _call(builder, "llvm.ssub.sat.v32i8", whole, index, _splat(whole, 16 * h)) if h else index
                    found = _call(builder, "llvm.x86.avx2.pshuf.b", whole, entries, here)
                    totals[i] = found if totals[i] is None else builder.xor(totals[i], found)
        return totals

    def one_by_one(vectors):
        results = []
        for index in vectors:
            result = ir.Constant(whole, ir.Undefined)
            for i in range(whole.count):
                place = builder.zext(builder.extract_element(index, I32(i)), I64)
                result = builder.insert_element(result, byte(place, I8), I32(i))
            results.append(result)
        return results

    if isa.name == "avx512":
        quarters = [byte(64 * i, whole) for i in range(4)]
        return permute
    return one_by_one if isa.name == "plain" else shuffle


def _affine(builder, isa, _byte, word):
    """sat8(round_shift(w x, s) + b) in 16 bits; `word(i)`: w, s - 1, 1, 1, b, or with s = 0: w, 0, 0, 0, b.

    Products are of at most 15 bits. ((p >> (s - 1)) + 1) >> 1 is (p + 2^(s - 1)) >> s without the sum's overflow.
    """
    half = _vector(I16, 2 * isa.lanes)
    weight, shift, one, last, bias = (_broadcast(builder, builder.trunc(word(i), I16), half.count) for i in range(5))

    def scale(vectors):
        results = []
        for v in vectors:
            signed = builder.xor(v, _splat(v.type, -128))
            undefined = ir.Constant(v.type, ir.Undefined)
            parts = []
            for start in (0, half.count):
                x = builder.sext(_shuffle(builder, signed, undefined, range(start, start + half.count)), half)
                y = builder.ashr(builder.mul(x, weight), shift)
                y = builder.add(builder.ashr(builder.add(y, one), last), bias)
                parts.append(_saturate(builder, y, I8))
            results.append(builder.xor(_join(builder, *parts), _splat(v.type, -128)))
        return results

    return scale


_FUNCTIONS = {COPY: _copy, TABLE: _table, AFFINE: _affine, RELU: _relu}


def _saturating_add(builder, a, b):
    """sat8(a + b) of stored bytes."""
    flip = _splat(a.type, -128)
    total = _call(builder, f"llvm.sadd.sat.v{a.type.count}i8", a.type, builder.xor(a, flip), builder.xor(b, flip))
    return builder.xor(total, flip)


def _finish_tile(builder, isa, rows, step, channel, arena, at, stride, data, words):
    """Store a tile's results, vectors of bytes, one a channel from `channel` on: POST(row) + REST(second)."""
    count, whole = rows[0].type.count, 4 * isa.lanes
    results = [cgutils.alloca_once_value(builder, row) for row in rows]

    def field(i):
        return _load(builder, step, (i,), I64, 8)

    def widen(row):
        zero = ir.Constant(row.type, None)
        return row if count == whole else _shuffle(builder, row, zero, [min(i, count) for i in range(whole)])

    def narrow(row):
        return row if count == whole else _shuffle(builder, row, row, range(count))

    def each_row(which, update):
        """Let `update(r, f)` use the step's function `which` as f(row), whatever it is."""
        code = field(which)
        for case, function in _FUNCTIONS.items():
            with builder.if_then(builder.icmp_signed("==", code, I64(case))):
                for r in range(len(rows)):
                    number = builder.add(channel, I64(r))
                    bytes_at = builder.add(field(which + 1), builder.mul(number, I64(256)))
                    words_at = builder.add(field(which + 2), builder.mul(number, I64(AFFINE_WORDS)))
                    compute = function(
                        builder,
                        isa,
                        lambda i, of, at=bytes_at: _load(builder, data, (at, i), of),
                        lambda i, at=words_at: _load(builder, words, (at, i), I32, 4),
                    )
                    update(r, lambda row, compute=compute: narrow(compute([widen(row)])[0]))

    def apply_post(r, f):
        builder.store(f(builder.load(results[r])), results[r])

    def add_rest(r, f):
        row = _load(builder, arena, (second, at, builder.mul(stride, I64(r))), rows[0].type, min(count, 16))
        builder.store(_saturating_add(builder, builder.load(results[r]), f(row)), results[r])

    second = field(SRC_2)
    each_row(POST, apply_post)
    each_row(REST, add_rest)
    for r, result in enumerate(results):
        _store(builder, builder.load(result), arena, (field(DST), at, builder.mul(stride, I64(r))), min(count, 16))


@intrinsic
def _tile_channels(_typing, isa, step, channel, arena, at, stride, x, x_at, data, w_at, words, scale_at):
    """isa.rows outputs x isa.columns columns of a linear over channels, finished; `at`: where in the step's tensors.

    x: 32 bits [groups, columns] as `_pack` orders them; weights in `data`: 32 bits [groups, rows]; scale in `words`:
    [3, rows] start values, shifts, biases.
    """
    kind = _isa(isa)
    vectors = kind.columns // kind.lanes
    lanes = _vector(I32, kind.lanes)

    def generate(context, builder, signature, arguments):
        step, arena, x_data, data, words = (_data(context, builder, signature, arguments, i) for i in (1, 3, 6, 8, 10))
        _, _, channel, _, at, stride, _, x_at, _, w_at, _, s_at = arguments
        groups = _load(builder, step, (GROUPS,), I64, 8)

        def scale_of(which, r):
            value = _load(builder, words, (s_at, which * kind.rows + r), I32, 4)
            return _broadcast(builder, value, kind.lanes)

        def vector_at(k, v):
            start = builder.mul(k, I64(4 * kind.columns))
            return _load(builder, x_data, (x_at, start, 4 * kind.lanes * v), lanes, 4 * kind.lanes)

        def scalar_at(k, r):
            return _load(builder, data, (w_at, builder.mul(k, I64(4 * kind.rows)), 4 * r), I32, 4)

        starts = [scale_of(0, r) for r in range(kind.rows)]
        sums = _sums(
            builder, kind, kind.rows, vectors, groups, lambda r, _: starts[r], vector_at, scalar_at,
            vectors_signed=False,
        )  # fmt: skip
        rows = [
            _requantise(builder, kind, sums[r], [scale_of(1, r)] * vectors, [scale_of(2, r)] * vectors)
            for r in range(kind.rows)
        ]
        _finish_tile(builder, kind, rows, step, channel, arena, at, stride, data, words)
        return context.get_dummy_value()

    return types.void(isa, step, channel, arena, at, stride, x, x_at, data, w_at, words, scale_at), generate


def _tile_tokens(tokens_of):
    """An intrinsic for isa.rows channels x tokens_of(isa) output tokens of a linear over tokens, of one image."""

    @intrinsic
    def tile(_typing, isa, step, channel, arena, at, stride, x, x_at, x_stride, data, w_at, words, scale_at, outputs):
        """x: one row a channel; weights in `data`: 32 bits [groups, outputs]; scale in `words`: [3, outputs]."""
        kind = _isa(isa)
        tokens = tokens_of(kind)
        vectors = tokens // kind.lanes
        lanes = _vector(I32, kind.lanes)

        def generate(context, builder, signature, arguments):
            places = (1, 3, 6, 9, 11)
            step, arena, x_data, data, words = (_data(context, builder, signature, arguments, i) for i in places)
            _, _, channel, _, at, stride, _, x_at, x_stride, _, w_at, _, s_at, outputs = arguments
            groups = _load(builder, step, (GROUPS,), I64, 8)
            w_stride = builder.mul(outputs, I64(4))

            def scale_of(which, v):
                start = builder.mul(outputs, I64(which))
                return _load(builder, words, (s_at, start, kind.lanes * v), lanes, 4)

            def vector_at(k, v):
                return _load(builder, data, (w_at, builder.mul(k, w_stride), 4 * kind.lanes * v), lanes, 4)

            def scalar_at(k, r):
                row = builder.mul(x_stride, I64(r))
                return _load(builder, x_data, (x_at, row, builder.shl(k, I64(2))), I32, 4)

            starts = [scale_of(0, v) for v in range(vectors)]
            sums = _sums(
                builder, kind, kind.rows, vectors, groups, lambda _, v: starts[v], vector_at, scalar_at,
                vectors_signed=True,
            )  # fmt: skip
            shifts, biases = ([scale_of(which, v) for v in range(vectors)] for which in (1, 2))
            rows = [_requantise(builder, kind, sums[r], shifts, biases) for r in range(kind.rows)]
            _finish_tile(builder, kind, rows, step, channel, arena, at, stride, data, words)
            return context.get_dummy_value()

        signature = types.void(
            isa, step, channel, arena, at, stride, x, x_at, x_stride, data, w_at, words, scale_at, outputs
        )
        return signature, generate

    return tile


_tile_tokens_many = _tile_tokens(lambda kind: kind.columns)
_tile_tokens_few = _tile_tokens(lambda _: TOKENS_STEP)


@intrinsic
def _pack(_typing, isa, packed, packed_at, x, x_at, x_stride):
    """isa.depth rows of isa.columns bytes interleaved to 32 bits [columns], in the order in which tiles take them."""
    kind = _isa(isa)
    size = kind.columns

    def generate(context, builder, signature, arguments):
        p_data, x_data = (_data(context, builder, signature, arguments, i) for i in (1, 3))
        _, _, packed_at, _, x_at, x_stride = arguments
        row = _vector(I8, size)
        rows = [_load(builder, x_data, (x_at, builder.mul(x_stride, I64(r))), row, 8) for r in range(kind.depth)]
        if kind.depth == 2:
            order = lane_order(kind, size // kind.lanes)
            places = [place for lanes in order for column in lanes for place in (column, size + column)]
            both = _shuffle(builder, *rows, places)
            _store(builder, builder.zext(both, _vector(I16, 2 * size)), p_data, (packed_at,), 16)
            return context.get_dummy_value()

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


@intrinsic
def _widen(_typing, y, y_at, x, x_at, count):
    """Bytes to 16 bits each, `count` of them, a multiple of PANEL."""
    whole = _vector(I8, 16)

    def generate(context, builder, signature, arguments):
        y_data, x_data = (_data(context, builder, signature, arguments, i) for i in (0, 2))
        _, y_at, _, x_at, count = arguments
        with cgutils.for_range(builder, builder.udiv(count, I64(PANEL))) as loop:
            for i in range(0, PANEL, 16):
                at = builder.add(builder.mul(loop.index, I64(PANEL)), I64(i))
                value = builder.zext(_load(builder, x_data, (x_at, at), whole, 16), _vector(I16, 16))
                _store(builder, value, y_data, (y_at, at, at), 32)
        return context.get_dummy_value()

    return types.void(y, y_at, x, x_at, count), generate


# ---- Functions of rows -----------------------------------------------------------------------------------------------


def _rowwise(function, add):
    """An intrinsic that applies a function to one row of `panels` panels: y = f(x), or y = sat8(y + f(x))."""

    @intrinsic
    def apply(
        _typing, isa, y, y_at, y_stride, x, x_at, x_stride, width, panels, data, data_at, words, words_at
    ):  # fmt: skip
        kind = _isa(isa)
        size = 4 * kind.lanes
        whole = _vector(I8, size)

        def generate(context, builder, signature, arguments):
            y_data, x_data, t_data, w_data = (_data(context, builder, signature, arguments, i) for i in (1, 4, 9, 11))
            _, _, y_at, y_stride, _, x_at, x_stride, width, panels, _, data_at, _, words_at = arguments

            def byte(i, of):
                return _load(builder, t_data, (data_at, i), of)

            def word(i):
                return _load(builder, w_data, (words_at, i), I32, 4)

            compute = function(builder, kind, byte, word)
            with cgutils.for_range(builder, panels) as panel:
                y_panel = builder.add(y_at, builder.mul(panel.index, y_stride))
                x_panel = builder.add(x_at, builder.mul(panel.index, x_stride))
                with cgutils.for_range(builder, builder.udiv(width, I64(PANEL))) as part:
                    at = builder.mul(part.index, I64(PANEL))
                    places = range(0, PANEL, size)
                    results = compute([_load(builder, x_data, (x_panel, at, i), whole, size) for i in places])
                    for i, result in zip(places, results, strict=True):
                        if add:
                            result = _saturating_add(
                                builder, _load(builder, y_data, (y_panel, at, i), whole, size), result
                            )
                        _store(builder, result, y_data, (y_panel, at, i), size)
            return context.get_dummy_value()

        signature = types.void(isa, y, y_at, y_stride, x, x_at, x_stride, width, panels, data, data_at, words, words_at)
        return signature, generate

    return apply


_rows_copy, _rows_table, _rows_affine, _rows_relu = (_rowwise(f, add=False) for f in (_copy, _table, _affine, _relu))
_add_copy, _add_table, _add_affine, _add_relu = (_rowwise(f, add=True) for f in (_copy, _table, _affine, _relu))


# ---- Turning --------------------------------------------------------------------------------------------------------


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


# ---- Streaming ------------------------------------------------------------------------------------------------------


@intrinsic
def _stream(_typing, y, y_at, x, x_at, count):
    """Copy `count` bytes, a multiple of 64 as both addresses, past the caches: nothing here reads them again."""
    whole = _vector(I8, 64)

    def generate(context, builder, signature, arguments):
        y_data, x_data = (_data(context, builder, signature, arguments, i) for i in (0, 2))
        _, y_at, _, x_at, count = arguments
        once = builder.module.add_metadata([I32(1)])
        with cgutils.for_range(builder, builder.udiv(count, I64(64))) as loop:
            at = builder.mul(loop.index, I64(64))
            value = _load(builder, x_data, (x_at, at), whole, 64)
            store = builder.store(value, _address(builder, y_data, (y_at, at), whole), align=64)
            store.set_metadata("nontemporal", once)
        return context.get_dummy_value()

    return types.void(y, y_at, x, x_at, count), generate


@intrinsic
def _fence(_typing):
    """What was streamed is in memory before anything that follows."""

    def generate(context, builder, _signature, _arguments):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def _now(_typing):
    """Nanoseconds of a monotonic clock."""

    def generate(_context, builder, _signature, _arguments):
        time = cgutils.alloca_once(builder, ir.ArrayType(I64, 2))
        clock = ir.FunctionType(I32, [I32, time.type])
        builder.call(cgutils.get_or_insert_function(builder.module, clock, "clock_gettime"), [I32(1), time])
        seconds, nanoseconds = (builder.extract_value(builder.load(time), i) for i in range(2))
        return builder.add(builder.mul(seconds, I64(10**9)), nanoseconds)

    return types.int64(), generate


# ---- Operators over the panels of a block of images -----------------------------------------------------------------


@njit
def _round_up(n, step):
    return (n + step - 1) // step * step


@njit
def _panels(images, width, each):
    """Panels that so many images take."""
    return (images * each + width - 1) // width


@njit
def _apply(
    isa, step, which, first, last, y, y_at, y_row, y_stride, x, x_at, x_row, x_stride, width, panels, data, words
):  # fmt: skip
    """Compute y = f(x) for channels `first` to `last` - 1, f the step's function PRE or POST."""
    function = step[which]
    for channel in range(first, last):
        table_at, words_at = step[which + 1] + 256 * channel, step[which + 2] + AFFINE_WORDS * channel
        if function == TABLE:
            _rows_table(isa, y, y_at, y_stride, x, x_at, x_stride, width, panels, data, table_at, words, words_at)
        elif function == AFFINE:
            _rows_affine(isa, y, y_at, y_stride, x, x_at, x_stride, width, panels, data, table_at, words, words_at)
        elif function == RELU:
            _rows_relu(isa, y, y_at, y_stride, x, x_at, x_stride, width, panels, data, table_at, words, words_at)
        elif function == COPY:
            _rows_copy(isa, y, y_at, y_stride, x, x_at, x_stride, width, panels, data, table_at, words, words_at)
        y_at += y_row
        x_at += x_row


@njit
def _apply_add(
    isa, step, first, last, y, y_at, y_row, y_stride, x, x_at, x_row, x_stride, width, panels, data, words
):  # fmt: skip
    """Compute y = sat8(y + f(x)) for channels `first` to `last` - 1, f the step's function REST."""
    function = step[REST]
    for channel in range(first, last):
        table_at, words_at = step[REST_BYTES] + 256 * channel, step[REST_WORDS] + AFFINE_WORDS * channel
        if function == TABLE:
            _add_table(isa, y, y_at, y_stride, x, x_at, x_stride, width, panels, data, table_at, words, words_at)
        elif function == AFFINE:
            _add_affine(isa, y, y_at, y_stride, x, x_at, x_stride, width, panels, data, table_at, words, words_at)
        elif function == RELU:
            _add_relu(isa, y, y_at, y_stride, x, x_at, x_stride, width, panels, data, table_at, words, words_at)
        elif function == COPY:
            _add_copy(isa, y, y_at, y_stride, x, x_at, x_stride, width, panels, data, table_at, words, words_at)
        y_at += y_row
        x_at += x_row


@njit
def _pointwise(isa, step, images, arena, data, words):
    channels, width = step[ROWS_IN], step[WIDTH_IN]
    stride = width * _round_up(channels, 16)
    panels = _panels(images, width, step[EACH_IN])
    _apply(
        isa, step, POST, 0, channels, arena, step[DST], width, stride,
        arena, step[SRC], width, stride, width, panels, data, words,
    )  # fmt: skip
    if step[REST] != NOTHING:
        _apply_add(
            isa, step, 0, channels, arena, step[DST], width, stride,
            arena, step[SRC_2], width, stride, width, panels, data, words,
        )  # fmt: skip


@njit
def _linear_channels(isa, step, images, arena, data, words, packed):
    columns, rows, depth = _columns(isa), _rows(isa), _depth(isa)
    inputs, outputs = _round_up(step[ROWS_IN], 16), _round_up(step[ROWS_OUT], 16)
    width, groups = step[WIDTH_IN], step[GROUPS]
    size = groups * 4 * width
    taken = step[TOGETHER] * size
    stride = TAKEN_ROWS * width
    panels = _panels(images, width, step[EACH_IN])
    for first in range(0, panels, step[TOGETHER]):
        here = min(step[TOGETHER], panels - first)
        for top in range(0, step[ROWS_IN], TAKEN_ROWS):
            x, x_at, x_stride = arena, step[SRC] + (first * inputs + top) * width, inputs * width
            if step[PRE] != COPY:
                _apply(
                    isa, step, PRE, top, min(top + TAKEN_ROWS, step[ROWS_IN]), packed, taken, width, stride,
                    arena, x_at, width, x_stride, width, here, data, words,
                )  # fmt: skip
                x, x_at, x_stride = packed, taken, stride
            for group in range(top // depth, min((top + TAKEN_ROWS) // depth, groups)):
                for panel in range(here):
                    for column in range(0, width, columns):
                        _pack(
                            isa, packed, panel * size + column * 4 * groups + group * 4 * columns,
                            x, x_at + panel * x_stride + (group * depth - top) * width + column, width,
                        )  # fmt: skip
        for top in range(0, step[ROWS_OUT], rows):
            for panel in range(here):
                for column in range(0, width, columns):
                    _tile_channels(
                        isa, step, top, arena, ((first + panel) * outputs + top) * width + column, width,
                        packed, panel * size + column * 4 * groups, data, step[BYTES] + top * 4 * groups,
                        words, step[WORDS] + 3 * top,
                    )  # fmt: skip


@njit
def _linear_tokens(isa, step, images, arena, data, words, packed):
    columns, rows, depth = _columns(isa), _rows(isa), _depth(isa)
    channels = _round_up(step[ROWS_IN], 16)
    width_in, width_out, each_in, each_out = step[WIDTH_IN], step[WIDTH_OUT], step[EACH_IN], step[EACH_OUT]
    in_panel, out_panel = width_in // each_in, width_out // each_out
    in_panels = _panels(images, width_in, each_in)
    wide = 4 // depth
    stride = in_panels * width_in
    for top in range(0, step[ROWS_IN], rows):
        last = min(top + rows, step[ROWS_IN])
        # Behind these rows, one behind the other, is room for them at twice the width.
        _apply(
            isa, step, PRE, top, last, packed, 0, stride, width_in,
            arena, step[SRC] + top * width_in, width_in, channels * width_in, width_in, in_panels, data, words,
        )  # fmt: skip
        start = 0
        if wide == 2:
            start = rows * stride
            _widen(packed, start, packed, 0, rows * stride)
        for image in range(images):
            x_at = start + (image // in_panel * width_in + image % in_panel * each_in) * wide
            at = (image // out_panel * channels + top) * width_out + image % out_panel * each_out
            if each_out % columns == 0:
                for token in range(0, each_out, columns):
                    _tile_tokens_many(
                        isa, step, top, arena, at + token, width_out, packed, x_at, stride * wide,
                        data, step[BYTES] + 4 * token, words, step[WORDS] + token, each_out,
                    )  # fmt: skip
            else:
                for token in range(0, each_out, TOKENS_STEP):
                    _tile_tokens_few(
                        isa, step, top, arena, at + token, width_out, packed, x_at, stride * wide,
                        data, step[BYTES] + 4 * token, words, step[WORDS] + token, each_out,
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
        start = step[SRC] + i // in_panel * padded * width + i % in_panel * each
        if values == padded and tokens % 16 == 0:
            for t in range(0, tokens, 16):
                for v in range(0, values, 16):
                    _turn(arena, start + v * width + t, width, source, t * values + v, values)
            continue
        for t in range(tokens):
            scratch[t * padded : t * padded + values] = source[t * values : (t + 1) * values]
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
        for t in range(0, tokens, 16):
            for c in range(0, padded, 16):
                _turn(scratch, t * padded + c, padded, arena, start + c * width + t, width)
        if channels == padded and size % 64 == 0:
            _stream(out, at, scratch, 0, size)
        else:
            for t in range(tokens):
                out[at + t * channels : at + (t + 1) * channels] = scratch[t * padded : t * padded + channels]


def compute(isa, program, data, words, images, out, first, last, block, arena, packed, scratch, spent):
    """Run `program` on images `first` to `last` - 1, `block` at a time.

    `isa`: the instruction set. `data` uint8: weights and tables; `words` int32: start values, shifts and biases;
    `images` int8 [image, values]; `out` int8, flat: every tap for all images, one after the other. `arena`, `packed`
    uint8, `scratch` int8: space of the calling thread, aligned to 64 bytes, as `out` is; nothing is allocated here.
    `spent` int64 [steps + 2], or empty: to it are added the nanoseconds that each step takes, taking the images, and
    writing the taps.
    """
    measured = len(spent) > 0
    steps = program.shape[0]
    for image in range(first, last, block):
        here = min(block, last - image)
        before = _now() if measured else 0
        _read(program[0], here, image, images, arena, scratch)
        if measured:
            now = _now()
            spent[steps] += now - before
            before = now
        for i in range(steps):
            step = program[i]
            op = step[OP]
            if op == LINEAR_CHANNELS:
                _linear_channels(isa, step, here, arena, data, words, packed)
            elif op == LINEAR_TOKENS:
                _linear_tokens(isa, step, here, arena, data, words, packed)
            elif op == POINTWISE:
                _pointwise(isa, step, here, arena, data, words)
            else:
                _pool(step, here, arena, words[step[WORDS]])
            if measured:
                now = _now()
                spent[i] += now - before
                before = now
            if step[TAP] >= 0:
                _write(step, here, image, out, arena, scratch)
                if measured:
                    now = _now()
                    spent[steps + 1] += now - before
                    before = now
    _fence()
