"""Functions of one value (affine, table, ReLU), sums with one, and the pool."""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="call-arg,unreachable,var-annotated"
# Numba infers its own types: annotations would be a second, unchecked statement of them; and it gives an intrinsic its
# first argument, the typing context.

import numpy as np
from llvmlite import ir

from fxsim.engines.compiled.codes import (
    AFFINE,
    AFFINE_WORDS,
    COPY,
    DST,
    EACH_IN,
    NOTHING,
    POST,
    RELU,
    REST,
    REST_BYTES,
    REST_WORDS,
    ROWS_IN,
    SRC,
    SRC_2,
    TABLE,
    TOKENS_IN,
    WIDTH_IN,
)
from fxsim.engines.compiled.isa import isa_of
from fxsim.engines.compiled.layout import PANEL, count_panels, round_up
from fxsim.engines.compiled.vectors import (
    I8,
    I16,
    I32,
    I64,
    broadcast,
    call,
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
from fxsim.engines.compiled.views import Stack, view_of
from fxsim.jit import cgutils, intrinsic, njit, types


def _copy(_builder, _isa, _byte, _word):
    return lambda vectors: vectors


def _relu(builder, isa, _byte, _word):
    zero = splat(vector_of(I8, 4 * isa.lanes), 128)
    return lambda vectors: [builder.select(builder.icmp_unsigned(">", v, zero), v, zero) for v in vectors]


def _table(builder, isa, byte, _word):
    """A lookup in 256 entries: `byte(i, kind)` loads of them."""
    whole = vector_of(I8, 4 * isa.lanes)

    def permute(vectors):
        results = []
        name = "llvm.x86.avx512.vpermi2var.qi.512"
        for index in vectors:
            low, high = (call(builder, name, whole, quarters[i], index, quarters[i + 1]) for i in (0, 2))
            negative = builder.icmp_signed("<", index, splat(whole, 0))
            results.append(builder.select(negative, high, low))
        return results

    def shuffle_parts(vectors):
        # `vpshufb` looks up 16 entries, and gives 0 where bit 7 is set. So index - 16 h, saturating, finds nothing in
        # part h of a half below 16 h: entries are stored as changes (xor) from the part before: `program._tables`.
        undefined = ir.Constant(vector_of(I8, 16), ir.Undefined)
        less = f"llvm.ssub.sat.v{whole.count}i8"
        totals = [None] * len(vectors)
        for half in range(2):
            indices = vectors if half == 0 else [builder.xor(v, splat(whole, -128)) for v in vectors]
            for h in range(8):
                entries = byte(128 * half + 16 * h, vector_of(I8, 16))
                entries = shuffle(builder, entries, undefined, [*range(16)] * (whole.count // 16))
                for i, index in enumerate(indices):
                    here = call(builder, less, whole, index, splat(whole, 16 * h)) if h else index
                    found = x86(builder, "pshufb", whole, entries, here)
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
    return one_by_one if isa.name == "plain" else shuffle_parts


def _affine(builder, isa, _byte, word):
    """The affine sat8(round_shift(w x, s) + b) in 16 bits; `word(i)`: w, s - 1, 1, 1, b, or with s = 0: w, 0, 0, 0, b.

    Products are of at most 15 bits. ((p >> (s - 1)) + 1) >> 1 is (p + 2^(s - 1)) >> s without the sum's overflow.
    """
    half = vector_of(I16, 2 * isa.lanes)
    weight, shift, one, last, bias = (broadcast(builder, builder.trunc(word(i), I16), half.count) for i in range(5))

    def scale(vectors):
        results = []
        for v in vectors:
            signed = builder.xor(v, splat(v.type, -128))
            undefined = ir.Constant(v.type, ir.Undefined)
            parts = []
            for start in (0, half.count):
                x = builder.sext(shuffle(builder, signed, undefined, range(start, start + half.count)), half)
                y = builder.ashr(builder.mul(x, weight), shift)
                y = builder.add(builder.ashr(builder.add(y, one), last), bias)
                parts.append(saturate(builder, y, I8))
            results.append(builder.xor(join(builder, *parts), splat(v.type, -128)))
        return results

    return scale


FUNCTIONS = {COPY: _copy, TABLE: _table, AFFINE: _affine, RELU: _relu}


def _rowwise(function, add):
    """An intrinsic that applies a function to one row of `panels` panels: y = f(x), or y = sat8(y + f(x)).

    `y`, `x`: stacks that start at the row; `table`, `words`: addresses of those of its channel.
    """

    @intrinsic
    def apply_row(_typing, isa, y, x, width, panels, table, words):
        kind = isa_of(isa)
        size = 4 * kind.lanes
        whole = vector_of(I8, size)

        def generate(context, builder, signature, arguments):
            y, x, table, words = (view_of(builder, signature.args[i], arguments[i]) for i in (1, 2, 5, 6))
            width, panels = arguments[3:5]

            def byte(i, of):
                return load(builder, table, (i,), of)

            def word(i):
                return load(builder, words, (4 * i,), I32, 4)

            compute = function(builder, kind, byte, word)
            with cgutils.for_range(builder, panels) as panel:
                y_panel = builder.mul(panel.index, y.panel)
                x_panel = builder.mul(panel.index, x.panel)
                with cgutils.for_range(builder, builder.udiv(width, I64(PANEL))) as part:
                    at = builder.mul(part.index, I64(PANEL))
                    places = range(0, PANEL, size)
                    results = compute([load(builder, x.at, (x_panel, at, i), whole, size) for i in places])
                    for i, result in zip(places, results, strict=True):
                        if add:
                            before = load(builder, y.at, (y_panel, at, i), whole, size)
                            result = saturating_add(builder, before, result)
                        store(builder, result, y.at, (y_panel, at, i), size)
            return context.get_dummy_value()

        return types.void(isa, y, x, width, panels, table, words), generate

    return apply_row


_row_copy, _row_table, _row_affine, _row_relu = (_rowwise(f, add=False) for f in (_copy, _table, _affine, _relu))
_add_copy, _add_table, _add_affine, _add_relu = (_rowwise(f, add=True) for f in (_copy, _table, _affine, _relu))


@njit
def apply(isa, step, which, first, last, y, x, width, panels, memory):
    """Compute y = f(x) for channels `first` to `last` - 1, f the step's function PRE or POST.

    `y`, `x`: stacks that start at channel `first`.
    """
    function = step[which]
    for channel in range(first, last):
        table = memory.data + step[which + 1] + 256 * channel
        words = memory.words + 4 * (step[which + 2] + AFFINE_WORDS * channel)
        if function == TABLE:
            _row_table(isa, y, x, width, panels, table, words)
        elif function == AFFINE:
            _row_affine(isa, y, x, width, panels, table, words)
        elif function == RELU:
            _row_relu(isa, y, x, width, panels, table, words)
        elif function == COPY:
            _row_copy(isa, y, x, width, panels, table, words)
        y = Stack(y.at + y.row, y.row, y.panel)
        x = Stack(x.at + x.row, x.row, x.panel)


@njit
def apply_add(isa, step, first, last, y, x, width, panels, memory):
    """Compute y = sat8(y + f(x)) for channels `first` to `last` - 1, f the step's function REST; see `apply`."""
    function = step[REST]
    for channel in range(first, last):
        table = memory.data + step[REST_BYTES] + 256 * channel
        words = memory.words + 4 * (step[REST_WORDS] + AFFINE_WORDS * channel)
        if function == TABLE:
            _add_table(isa, y, x, width, panels, table, words)
        elif function == AFFINE:
            _add_affine(isa, y, x, width, panels, table, words)
        elif function == RELU:
            _add_relu(isa, y, x, width, panels, table, words)
        elif function == COPY:
            _add_copy(isa, y, x, width, panels, table, words)
        y = Stack(y.at + y.row, y.row, y.panel)
        x = Stack(x.at + x.row, x.row, x.panel)


@njit
def pointwise(isa, step, images, memory):
    """A step without a product: y = POST(x) + REST(second), over all panels."""
    channels, width = step[ROWS_IN], step[WIDTH_IN]
    panel = width * round_up(channels, 16)
    panels = count_panels(images, width, step[EACH_IN])
    y = Stack(memory.arena + step[DST], width, panel)
    x = Stack(memory.arena + step[SRC], width, panel)
    apply(isa, step, POST, 0, channels, y, x, width, panels, memory)
    if step[REST] != NOTHING:
        second = Stack(memory.arena + step[SRC_2], width, panel)
        apply_add(isa, step, 0, channels, y, second, width, panels, memory)


@njit
def pool(step, images, arena, shift):
    """A step that averages the tokens of each channel."""
    channels = round_up(step[ROWS_IN], 16)
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
