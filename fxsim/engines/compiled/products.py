"""Products: linears over channels and over tokens, tile by tile, each finished by functions of its results."""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="call-arg,unreachable,var-annotated"
# Numba infers its own types: annotations would be a second, unchecked statement of them; and it gives an intrinsic its
# first argument, the typing context.

from llvmlite import ir

from fxsim.engines.compiled.codes import (
    AFFINE_WORDS,
    BYTES,
    COPY,
    DST,
    EACH_IN,
    EACH_OUT,
    GROUPS,
    POST,
    PRE,
    REST,
    ROWS_IN,
    ROWS_OUT,
    SRC,
    SRC_2,
    TAKEN_ROWS,
    TOGETHER,
    WIDTH_IN,
    WIDTH_OUT,
    WORDS,
)
from fxsim.engines.compiled.functions import FUNCTIONS, apply
from fxsim.engines.compiled.isa import channels_depth, has_runs, isa_of, tile_columns, tile_depth, tile_rows
from fxsim.engines.compiled.layout import PANEL, TOKENS_STEP, count_panels, round_up
from fxsim.engines.compiled.vectors import (
    I8,
    I16,
    I32,
    I64,
    address,
    broadcast,
    call,
    data_of,
    join,
    load,
    saturate,
    saturating_add,
    shuffle,
    splat,
    store,
    vector_of,
    x86,
)
from fxsim.engines.compiled.views import Rows, Stack, view_of
from fxsim.jit import cgutils, intrinsic, njit, types

_UNROLLED = 2
"""Groups of factors in a turn of a product's loop: with more of them, 16 registers do not suffice."""


def dot(builder, isa, total, unsigned, signed):
    """The vector total[i] + sum over j < depth of unsigned[depth * i + j] * signed[depth * i + j], modulo 2^32."""
    if isa.depth == 4:
        name = f"llvm.x86.avx512.vpdpbusd.{32 * isa.lanes}"
        return call(builder, name, total.type, total, unsigned, signed)
    pairs = vector_of(I16, 2 * isa.lanes)
    a, b = builder.bitcast(unsigned, pairs), builder.bitcast(signed, pairs)
    if isa.runs:
        return builder.add(total, x86(builder, "pmaddwd", total.type, a, b))
    # LLVM makes of this what the CPU has: one multiplication on x86 (pmaddwd).
    wide = vector_of(I32, 2 * isa.lanes)
    product = builder.mul(builder.sext(a, wide), builder.sext(b, wide), flags=["nsw"])
    undefined = ir.Constant(wide, ir.Undefined)
    even = shuffle(builder, product, undefined, range(0, 2 * isa.lanes, 2))
    odd = shuffle(builder, product, undefined, range(1, 2 * isa.lanes, 2))
    return builder.add(total, builder.add(even, odd))


def _sums(builder, isa, rows, vectors, groups, initial, vector_at, scalar_at, vectors_signed):
    """A tile of sums in registers: rows x vectors of 32-bit lanes, over `groups` of isa.depth factors.

    `initial(r, v)`; `vector_at(k, v)` and `scalar_at(k, r)`: the factors, four bytes a lane, the scalars' in all lanes.
    """
    tile = [[cgutils.alloca_once(builder, vector_of(I32, isa.lanes)) for _ in range(vectors)] for _ in range(rows)]
    for r in range(rows):
        for v in range(vectors):
            builder.store(initial(r, v), tile[r][v])

    def multiply(k):
        across = [vector_at(k, v) for v in range(vectors)]
        for r in range(rows):
            down = broadcast(builder, scalar_at(k, r), isa.lanes)
            for v in range(vectors):
                unsigned, signed = (down, across[v]) if vectors_signed else (across[v], down)
                builder.store(dot(builder, isa, builder.load(tile[r][v]), unsigned, signed), tile[r][v])

    turns = builder.udiv(groups, I64(_UNROLLED))
    with cgutils.for_range(builder, turns) as loop:
        for i in range(_UNROLLED):
            multiply(builder.add(builder.mul(loop.index, I64(_UNROLLED)), I64(i)))
    with cgutils.for_range(builder, groups, builder.mul(turns, I64(_UNROLLED))) as loop:
        multiply(loop.index)
    return [[builder.load(tile[r][v]) for v in range(vectors)] for r in range(rows)]


def _sums_in_runs(builder, isa, rows, vectors, initial, x, stream, count):
    """A tile of sums as `_sums` gives, of `count` runs that `runs.Runs.stream` has from the address `stream` on.

    `x`: the address of the packed factors.
    """
    lanes, halves, whole = (vector_of(of, isa.lanes * 32 // of.width) for of in (I32, I16, I8))
    places = [(r, v) for r in range(rows) for v in range(vectors)]
    # The registers hold sums of 16 bits. Those of 32 bits stay in memory, through an address that LLVM cannot follow:
    # it would take them into registers, and move all of them out again for each run.
    kept = cgutils.alloca_once(builder, ir.ArrayType(lanes, len(places)))
    kept.align = 4 * isa.lanes
    opaque = ir.FunctionType(I8.as_pointer(), [I8.as_pointer()])
    kept = builder.asm(opaque, "", "=r,0", [builder.bitcast(kept, I8.as_pointer())], True)
    at = cgutils.alloca_once_value(builder, stream)
    ones = splat(halves, 1)

    def sum_at(place):
        return address(builder, kept, (4 * isa.lanes * places.index(place),), lanes)

    def lane_of(address, i):
        return broadcast(builder, load(builder, address, (4 * i,), I32, 4), isa.lanes)

    for place in places:
        builder.store(initial(*place), sum_at(place))
    with cgutils.for_range(builder, count):
        builder.asm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", [], True)
        head = builder.load(at)
        first, groups = (builder.zext(load(builder, head, (4 * i,), I32, 4), I64) for i in range(2))
        start = builder.gep(x, [builder.mul(first, I64(4 * isa.columns))])
        weights = builder.gep(head, [I64(4 * (2 + rows))])

        def products(group, start=start, weights=weights):
            unsigned = builder.gep(start, [builder.mul(group, I64(4 * isa.columns))])
            across = [load(builder, unsigned, (4 * isa.lanes * v,), whole, 4 * isa.lanes) for v in range(vectors)]
            signed = builder.gep(weights, [builder.mul(group, I64(4 * rows))])
            for r in range(rows):
                down = builder.bitcast(lane_of(signed, r), whole)
                for v in range(vectors):
                    yield (r, v), x86(builder, "pmaddubsw", halves, across[v], down)

        starts = [builder.bitcast(lane_of(head, 2 + r), halves) for r in range(rows)]
        parts = {
            place: cgutils.alloca_once_value(builder, builder.add(product, starts[place[0]]))
            for place, product in products(I64(0))
        }
        with cgutils.for_range(builder, groups, I64(1)) as loop:
            for place, product in products(loop.index):
                builder.store(builder.add(builder.load(parts[place]), product), parts[place])
        for place in places:
            wide = x86(builder, "pmaddwd", lanes, builder.load(parts[place]), ones)
            builder.store(builder.add(wide, builder.load(sum_at(place))), sum_at(place))
        builder.store(builder.gep(weights, [builder.mul(groups, I64(4 * rows))]), at)
    return [[builder.load(sum_at((r, v))) for v in range(vectors)] for r in range(rows)]


def lane_order(isa, vectors):
    """The column of a tile that lane l of vector v is, [v][l]: packing takes four lanes of each vector in turn."""
    return [[lane // 4 * 4 * vectors + 4 * v + lane % 4 for lane in range(isa.lanes)] for v in range(vectors)]


def _requantise(builder, isa, sums, shifts, biases):
    """Results sat8((sum >> shift) + bias) + 128 as bytes, in the order of columns; sums hold the rounding half."""
    parts = [builder.add(builder.ashr(s, shift), bias) for s, shift, bias in zip(sums, shifts, biases, strict=True)]
    for element, instruction in ((I16, "packssdw"), (I8, "packsswb")):
        if isa.name == "plain":
            parts = [saturate(builder, part, element) for part in parts]
            if len(parts) > 1:
                parts = [join(builder, a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
            continue
        # It takes turns between its operands, 16 bytes by 16 bytes.
        pairs = zip(parts[::2], parts[1::2], strict=True) if len(parts) > 1 else [(parts[0], parts[0])]
        kind = vector_of(element, isa.lanes * 32 // element.width)
        parts = [x86(builder, instruction, kind, a, b) for a, b in pairs]
    packed = parts[0]
    columns = len(sums) * isa.lanes
    if packed.type.count > columns:
        # A vector packed with itself: every second eight bytes (of one vector, every fourth four) are wanted.
        keep = 16 * columns // packed.type.count
        places = [16 * i + j for i in range(packed.type.count // 16) for j in range(keep)]
        packed = shuffle(builder, packed, packed, places)
    return builder.xor(packed, splat(packed.type, -128))


def _finish_tile(builder, isa, rows, step, channel, y, memory):
    """Store a tile's results, vectors of bytes, one a channel from `channel` on: POST(row) + REST(second).

    `y.at` is not an address: it says where in the step's tensors they lie, its result and its second.
    """
    count, whole = rows[0].type.count, 4 * isa.lanes
    results = [cgutils.alloca_once_value(builder, row) for row in rows]

    def field(i):
        return load(builder, step, (i,), I64, 8)

    def widen(row):
        zero = ir.Constant(row.type, None)
        return row if count == whole else shuffle(builder, row, zero, [min(i, count) for i in range(whole)])

    def narrow(row):
        return row if count == whole else shuffle(builder, row, row, range(count))

    def each_row(which, update):
        """Let `update(r, f)` use the step's function `which` as f(row), whatever it is."""
        code = field(which)
        for case, function in FUNCTIONS.items():
            with builder.if_then(builder.icmp_signed("==", code, I64(case))):
                for r in range(len(rows)):
                    number = builder.add(channel, I64(r))
                    bytes_at = builder.add(field(which + 1), builder.mul(number, I64(256)))
                    words_at = builder.add(field(which + 2), builder.mul(number, I64(AFFINE_WORDS)))
                    words_at = builder.mul(words_at, I64(4))
                    compute = function(
                        builder,
                        isa,
                        lambda i, of, at=bytes_at: load(builder, memory.data, (at, i), of),
                        lambda i, at=words_at: load(builder, memory.words, (at, 4 * i), I32, 4),
                    )
                    update(r, lambda row, compute=compute: narrow(compute([widen(row)])[0]))

    def apply_post(r, f):
        builder.store(f(builder.load(results[r])), results[r])

    def add_rest(r, f):
        row = load(builder, memory.arena, (second, y.at, builder.mul(y.row, I64(r))), rows[0].type, min(count, 16))
        builder.store(saturating_add(builder, builder.load(results[r]), f(row)), results[r])

    second = field(SRC_2)
    each_row(POST, apply_post)
    each_row(REST, add_rest)
    for r, result in enumerate(results):
        place = field(DST), y.at, builder.mul(y.row, I64(r))
        store(builder, builder.load(result), memory.arena, place, min(count, 16))


@intrinsic
def _tile_channels(_typing, isa, step, channel, y, x, weights, scale, memory):
    """isa.rows outputs x isa.columns columns of a linear over channels, finished; `y.at`: where in the step's tensors.

    Addresses: of x, 32 bits [groups, columns] as `_pack` orders them; of weights, 32 bits [groups, rows], or of
    `runs.Runs.numbers`; of scale, [3, rows] start values, shifts, biases.
    """
    kind = isa_of(isa)
    vectors = kind.columns // kind.lanes
    lanes = vector_of(I32, kind.lanes)

    def generate(context, builder, signature, arguments):
        step, channel = data_of(context, builder, signature, arguments, 1), arguments[2]
        y = Rows(*(builder.extract_value(arguments[3], i) for i in range(2)))
        x, weights, scale, memory = (view_of(builder, signature.args[i], arguments[i]) for i in range(4, 8))
        groups = load(builder, step, (GROUPS,), I64, 8)

        def scale_of(which, r):
            value = load(builder, scale, (4 * (which * kind.rows + r),), I32, 4)
            return broadcast(builder, value, kind.lanes)

        def vector_at(k, v):
            start = builder.mul(k, I64(4 * kind.columns))
            return load(builder, x, (start, 4 * kind.lanes * v), lanes, 4 * kind.lanes)

        def scalar_at(k, r):
            return load(builder, weights, (builder.mul(k, I64(4 * kind.rows)), 4 * r), I32, 4)

        starts = [scale_of(0, r) for r in range(kind.rows)]
        if kind.runs:
            tile = builder.gep(weights, [builder.mul(builder.udiv(channel, I64(kind.rows)), I64(8))])
            start, count = (builder.zext(load(builder, tile, (4 * i,), I32, 4), I64) for i in range(2))
            stream = builder.gep(weights, [builder.mul(start, I64(4))])
            sums = _sums_in_runs(builder, kind, kind.rows, vectors, lambda r, _: starts[r], x, stream, count)
        else:
            sums = _sums(
                builder, kind, kind.rows, vectors, groups, lambda r, _: starts[r], vector_at, scalar_at,
                vectors_signed=False,
            )  # fmt: skip
        rows = [
            _requantise(builder, kind, sums[r], [scale_of(1, r)] * vectors, [scale_of(2, r)] * vectors)
            for r in range(kind.rows)
        ]
        _finish_tile(builder, kind, rows, step, channel, y, memory)
        return context.get_dummy_value()

    return types.void(isa, step, channel, y, x, weights, scale, memory), generate


def _tile_tokens(tokens_of):
    """An intrinsic for isa.rows channels x tokens_of(isa) output tokens of a linear over tokens, of one image."""

    @intrinsic
    def tile(_typing, isa, step, channel, y, x, weights, scale, memory):
        """x: one row a channel; weights: 32 bits [groups, outputs]; scale: 32 bits [3, outputs]; finished as above."""
        kind = isa_of(isa)
        tokens = tokens_of(kind)
        vectors = tokens // kind.lanes
        lanes = vector_of(I32, kind.lanes)

        def generate(context, builder, signature, arguments):
            step, channel = data_of(context, builder, signature, arguments, 1), arguments[2]
            y = Rows(*(builder.extract_value(arguments[3], i) for i in range(2)))
            x, weights, scale, memory = (view_of(builder, signature.args[i], arguments[i]) for i in range(4, 8))
            groups = load(builder, step, (GROUPS,), I64, 8)

            def scale_of(which, v):
                start = builder.mul(scale.row, I64(which))
                return load(builder, scale.at, (start, 4 * kind.lanes * v), lanes, 4)

            def vector_at(k, v):
                return load(builder, weights.at, (builder.mul(k, weights.row), 4 * kind.lanes * v), lanes, 4)

            def scalar_at(k, r):
                row = builder.mul(x.row, I64(r))
                return load(builder, x.at, (row, builder.shl(k, I64(2))), I32, 4)

            starts = [scale_of(0, v) for v in range(vectors)]
            sums = _sums(
                builder, kind, kind.rows, vectors, groups, lambda _, v: starts[v], vector_at, scalar_at,
                vectors_signed=True,
            )  # fmt: skip
            shifts, biases = ([scale_of(which, v) for v in range(vectors)] for which in (1, 2))
            rows = [_requantise(builder, kind, sums[r], shifts, biases) for r in range(kind.rows)]
            _finish_tile(builder, kind, rows, step, channel, y, memory)
            return context.get_dummy_value()

        return types.void(isa, step, channel, y, x, weights, scale, memory), generate

    return tile


_tile_tokens_many = _tile_tokens(lambda kind: kind.columns)
_tile_tokens_few = _tile_tokens(lambda _: TOKENS_STEP)


@intrinsic
def _pack(_typing, isa, packed, x, least):
    """A group's rows of isa.columns bytes interleaved to 32 bits [columns], in the order in which tiles take them.

    `least`: the address of a byte for each row that is subtracted, where sums are made in runs.
    """
    kind = isa_of(isa)
    size = kind.columns

    def generate(context, builder, signature, arguments):
        packed, x, least = (view_of(builder, signature.args[i], arguments[i]) for i in (1, 2, 3))
        row = vector_of(I8, size)
        rows = [load(builder, x.at, (builder.mul(x.row, I64(r)),), row, 8) for r in range(kind.channels_depth)]
        if kind.runs:
            rows = [
                builder.sub(x, broadcast(builder, load(builder, least, (r,), I8), size)) for r, x in enumerate(rows)
            ]
        if kind.channels_depth == 2:
            order = lane_order(kind, size // kind.lanes)
            places = [place for lanes in order for column in lanes for place in (column, size + column)]
            both = shuffle(builder, *rows, places)
            store(builder, builder.zext(both, vector_of(I16, 2 * size)), packed, (), 16)
            return context.get_dummy_value()

        def unpack(a, b, unit, high):
            # In each 16 bytes: the low or the high half of either, unit by unit in turn.
            places = []
            for part in range(0, size, 16):
                for u in range(0, 8, unit):
                    start = part + (8 if high else 0) + u
                    places += [*range(start, start + unit), *range(size + start, size + start + unit)]
            return shuffle(builder, a, b, places)

        pairs = [unpack(rows[0], rows[1], 1, high) for high in (False, True)]
        pairs_2 = [unpack(rows[2], rows[3], 1, high) for high in (False, True)]
        parts = [unpack(pairs[i], pairs_2[i], 2, high) for i in (0, 1) for high in (False, True)]
        for i, part in enumerate(parts):
            store(builder, part, packed, (size * i,), 16)
        return context.get_dummy_value()

    return types.void(isa, packed, x, least), generate


@intrinsic
def _widen(_typing, y, x, count):
    """Widen bytes to 16 bits each, `count` of them, a multiple of PANEL."""
    whole = vector_of(I8, 16)

    def generate(context, builder, signature, arguments):
        y, x = (view_of(builder, signature.args[i], arguments[i]) for i in range(2))
        with cgutils.for_range(builder, builder.udiv(arguments[2], I64(PANEL))) as loop:
            for i in range(0, PANEL, 16):
                at = builder.add(builder.mul(loop.index, I64(PANEL)), I64(i))
                value = builder.zext(load(builder, x, (at,), whole, 16), vector_of(I16, 16))
                store(builder, value, y, (at, at), 32)
        return context.get_dummy_value()

    return types.void(y, x, count), generate


@njit
def linear_channels(isa, step, images, memory):
    """A step whose product is over channels: rows are packed, then tiled."""
    columns, rows, depth = tile_columns(isa), tile_rows(isa), channels_depth(isa)
    inputs, outputs = round_up(step[ROWS_IN], 16), round_up(step[ROWS_OUT], 16)
    width, groups = step[WIDTH_IN], step[GROUPS]
    size = groups * 4 * width
    taken = step[TOGETHER] * size
    panels = count_panels(images, width, step[EACH_IN])
    for first in range(0, panels, step[TOGETHER]):
        here = min(step[TOGETHER], panels - first)
        for top in range(0, step[ROWS_IN], TAKEN_ROWS):
            x = Stack(memory.arena + step[SRC] + (first * inputs + top) * width, width, inputs * width)
            if step[PRE] != COPY:
                y = Stack(memory.packed + taken, width, TAKEN_ROWS * width)
                last = min(top + TAKEN_ROWS, step[ROWS_IN])
                apply(isa, step, PRE, top, last, y, x, width, here, memory)
                x = y
            for group in range(top // depth, min((top + TAKEN_ROWS) // depth, groups)):
                for panel in range(here):
                    for column in range(0, width, columns):
                        packed = memory.packed + panel * size + column * 4 * groups + group * 4 * columns
                        at = x.at + panel * x.panel + (group * depth - top) * width + column
                        _pack(isa, packed, Rows(at, width), memory.data + step[BYTES] + group * depth)
        for top in range(0, step[ROWS_OUT], rows):
            # Where sums are made in runs, bytes that are subtracted come first, then where each tile's runs are.
            weights = memory.data + step[BYTES] + (inputs if has_runs(isa) else top * 4 * groups)
            scale = memory.words + 4 * (step[WORDS] + 3 * top)
            for panel in range(here):
                for column in range(0, width, columns):
                    y_rows = Rows(((first + panel) * outputs + top) * width + column, width)
                    packed = memory.packed + panel * size + column * 4 * groups
                    _tile_channels(isa, step, top, y_rows, packed, weights, scale, memory)


@njit
def linear_tokens(isa, step, images, memory):
    """A step whose product is over tokens, as they lie."""
    columns, rows, depth = tile_columns(isa), tile_rows(isa), tile_depth(isa)
    channels = round_up(step[ROWS_IN], 16)
    width_in, width_out, each_in, each_out = step[WIDTH_IN], step[WIDTH_OUT], step[EACH_IN], step[EACH_OUT]
    in_panel, out_panel = width_in // each_in, width_out // each_out
    in_panels = count_panels(images, width_in, each_in)
    wide = 4 // depth
    stride = in_panels * width_in
    for top in range(0, step[ROWS_IN], rows):
        last = min(top + rows, step[ROWS_IN])
        # Behind these rows, one behind the other, is room for them at twice the width.
        y = Stack(memory.packed, stride, width_in)
        x = Stack(memory.arena + step[SRC] + top * width_in, width_in, channels * width_in)
        apply(isa, step, PRE, top, last, y, x, width_in, in_panels, memory)
        start = 0
        if wide == 2:
            start = rows * stride
            _widen(memory.packed + start, memory.packed, rows * stride)
        for image in range(images):
            x_at = start + (image // in_panel * width_in + image % in_panel * each_in) * wide
            x_rows = Rows(memory.packed + x_at, stride * wide)
            at = (image // out_panel * channels + top) * width_out + image % out_panel * each_out
            for token in range(0, each_out, columns if each_out % columns == 0 else TOKENS_STEP):
                y_rows = Rows(at + token, width_out)
                weights = Rows(memory.data + step[BYTES] + 4 * token, 4 * each_out)
                scale = Rows(memory.words + 4 * (step[WORDS] + token), 4 * each_out)
                if each_out % columns == 0:
                    _tile_tokens_many(isa, step, top, y_rows, x_rows, weights, scale, memory)
                else:
                    _tile_tokens_few(isa, step, top, y_rows, x_rows, weights, scale, memory)
