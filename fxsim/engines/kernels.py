"""The loops of the compiled engine: one function that runs a flat program of operators on image after image.

Everything that Numba compiles is in this one file, so that its cache, keyed by the file's content, is never stale.

Numba computes int32 with int32 in int64; the `np.int32(...)` around every step keeps the loops in 32 bits, which lets
LLVM vectorise them. All values fit: graphs prove their accumulators to be at most 32 bits wide.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# Numba infers its own types: annotations would be a second, unchecked statement of them.

from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

# Operators of a program. A program is int64 [operators, FIELDS].
LINEAR_CHANNELS, LINEAR_TOKENS, AFFINE, RELU, LUT, ADD, POOL = range(7)
# Its columns: the operator; where its inputs and output lie in the arena; rows and columns of the input and the output
# (a vector is one row); where its parameters start; and where its tap starts in the output, or -1.
OP, SRC, SRC_2, DST, ROWS_IN, COLUMNS_IN, ROWS_OUT, COLUMNS_OUT, WEIGHT, SCALE, TAP = range(11)
FIELDS = 11

INPUT_AT = 0
"""Where in the arena an image's input is put."""

# A matrix product is computed in tiles of TILE_ROWS x TILE_COLUMNS sums held in registers: TILE_ROWS x TILE_VECTORS
# vectors of as many 32-bit lanes as the CPU's registers have.
TILE_ROWS = 4
TILE_VECTORS = 2
LANES = 16 if llvmlite.binding.get_host_cpu_features().get("avx512bw", False) else 8
TILE_COLUMNS = LANES * TILE_VECTORS


def scale_rows(shift: Any, bias: Any) -> Any:
    """For `shift` uint8 [N] and `bias` int8 [N] the int32 [4, N] that requantisation reads.

    Its rows: the shift; the place of the bit below the cut, the half; a mask for it, 0 where the shift is; the bias.

    A sum of at most 32 bits divided by 2^s rounds to 0 for every s >= 32: s = 32 gives that with both places at 31, the
    sign: (a >> 31) + ((a >> 31) & 1).
    """
    s = shift.astype(np.int32)
    rows = (np.minimum(s, 31), np.clip(s - 1, 0, 31), np.minimum(s, 1), bias.astype(np.int32))
    return np.stack(rows).astype(np.int32)


@intrinsic
def _multiply_tile(_typing_context, acc, acc_at, acc_stride, a, a_at, a_stride, b, b_at, pairs):
    """acc[r, c] = sum over p of a[r, 2p] * b[p, c, 0] + a[r, 2p + 1] * b[p, c, 1], TILE_ROWS x TILE_COLUMNS sums.

    `acc` int32, `a` and `b` int16, all flat, each starting at its `_at`. `b` is [pairs, TILE_COLUMNS, 2]: neighbours
    along the sum lie side by side, so that one instruction multiplies and adds pairs (x86: pmaddwd, vpdpwssd). Written
    as plain LLVM vector operations, which compile on any CPU: Numba's own loops keep no tile in registers.
    """
    i16, i32, i64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
    sums, pair_vector, products = (
        ir.VectorType(i32, LANES),
        ir.VectorType(i16, 2 * LANES),
        ir.VectorType(i32, 2 * LANES),
    )
    every_even, every_odd, first = (
        ir.Constant(sums, list(places)) for places in (range(0, 2 * LANES, 2), range(1, 2 * LANES, 2), [0] * LANES)
    )
    undefined_sums, undefined_products = ir.Constant(sums, ir.Undefined), ir.Constant(products, ir.Undefined)

    def generate(context, builder, signature, arguments):
        acc_data, a_data, b_data = (
            context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in (0, 3, 6)
        )
        _, acc_at, acc_stride, _, a_at, a_stride, _, b_at, pairs = arguments

        def address(data, *terms, of):
            offset = i64(0)
            for term in terms:
                offset = builder.add(offset, term)
            return builder.bitcast(builder.gep(data, [offset]), of.as_pointer())

        tile = [
            [cgutils.alloca_once_value(builder, ir.Constant(sums, None)) for _ in range(TILE_VECTORS)]
            for _ in range(TILE_ROWS)
        ]
        with cgutils.for_range(builder, pairs) as loop:
            row_of_b = builder.mul(loop.index, i64(2 * TILE_COLUMNS))
            columns = [
                builder.sext(
                    builder.load(address(b_data, b_at, row_of_b, i64(2 * LANES * v), of=pair_vector), align=2), products
                )
                for v in range(TILE_VECTORS)
            ]
            for r in range(TILE_ROWS):
                start = builder.mul(a_stride, i64(r))
                pair = builder.load(address(a_data, a_at, start, builder.shl(loop.index, i64(1)), of=i32), align=2)
                one = builder.insert_element(undefined_sums, pair, i32(0))
                everywhere = builder.bitcast(builder.shuffle_vector(one, undefined_sums, first), pair_vector)
                x = builder.sext(everywhere, products)
                for v in range(TILE_VECTORS):
                    product = builder.mul(x, columns[v], flags=["nsw"])
                    even = builder.shuffle_vector(product, undefined_products, every_even)
                    odd = builder.shuffle_vector(product, undefined_products, every_odd)
                    total = builder.add(builder.load(tile[r][v]), builder.add(even, odd))
                    builder.store(total, tile[r][v])
        for r in range(TILE_ROWS):
            for v in range(TILE_VECTORS):
                start = builder.mul(acc_stride, i64(r))
                builder.store(
                    builder.load(tile[r][v]), address(acc_data, acc_at, start, i64(LANES * v), of=sums), align=4
                )
        return context.get_dummy_value()

    return types.void(acc, acc_at, acc_stride, a, a_at, a_stride, b, b_at, pairs), generate


@njit
def _requantise(acc, shift, below, half, bias):
    # Masking the shifts tells LLVM that they are legal in 32 bits; `scale_rows` made them so.
    rounded = np.int32(np.int32(acc >> (shift & 31)) + np.int32(np.int32(acc >> (below & 31)) & half))
    # Whatever is beyond these bounds saturates with any bias; without them a 32-bit sum plus a bias could wrap.
    bounded = min(max(rounded, np.int32(-256)), np.int32(255))
    return np.int8(min(max(np.int32(bounded + bias), np.int32(-128)), np.int32(127)))


@njit
def _multiply_rows(acc, stride, a, a_at, a_stride, b, b_at, pairs):
    """TILE_ROWS rows of a matrix product, `stride` columns wide, tile by tile."""
    for column in range(0, stride, TILE_COLUMNS):
        b_tile_at = b_at + column * 2 * pairs
        _multiply_tile(acc, column, stride, a, a_at, a_stride, b, b_tile_at, pairs)  # type: ignore[call-arg]  # no context


@njit
def _linear_channels(x, y, rows, inputs, outputs, weights, at, scales, acc, pack):
    """y[t, n] = requantise(sum_k x[t, k] * w[n, k]); weights packed by columns n, see `compiled._pack_columns`."""
    pairs = (inputs + 1) >> 1
    stride = (outputs + TILE_COLUMNS - 1) // TILE_COLUMNS * TILE_COLUMNS
    shift, below, half, bias = scales[0], scales[1], scales[2], scales[3]
    for top in range(0, rows, TILE_ROWS):
        here = min(TILE_ROWS, rows - top)
        for r in range(here):
            row = x[(top + r) * inputs : (top + r + 1) * inputs]
            wide = pack[r * 2 * pairs : r * 2 * pairs + inputs]
            for k in range(inputs):
                wide[k] = row[k]
        _multiply_rows(acc, stride, pack, 0, 2 * pairs, weights, at, pairs)
        for r in range(here):
            result = y[(top + r) * outputs : (top + r + 1) * outputs]
            sums = acc[r * stride : r * stride + outputs]
            for n in range(outputs):
                result[n] = _requantise(sums[n], shift[n], below[n], half[n], bias[n])


@njit
def _linear_tokens(x, y, inputs, channels, outputs, weights, at, scales, acc, pack):
    """y[n, c] = requantise(sum_k w[n, k] * x[k, c]); weights packed by rows n, see `compiled._pack_rows`."""
    pairs = (inputs + 1) >> 1
    stride = (channels + TILE_COLUMNS - 1) // TILE_COLUMNS * TILE_COLUMNS
    for column in range(0, channels, TILE_COLUMNS):
        here = min(TILE_COLUMNS, channels - column)
        for p in range(pairs):
            # Of an odd number of inputs the last is paired with itself: the weights' padding is zero there.
            start, start_2 = 2 * p * channels + column, min(2 * p + 1, inputs - 1) * channels + column
            row, row_2 = x[start : start + here], x[start_2 : start_2 + here]
            start = (column * pairs + p * TILE_COLUMNS) * 2
            paired = pack[start : start + 2 * here]
            for c in range(here):
                paired[2 * c] = row[c]
                paired[2 * c + 1] = row_2[c]
    for top in range(0, outputs, TILE_ROWS):
        _multiply_rows(acc, stride, weights, at + top * 2 * pairs, 2 * pairs, pack, 0, pairs)
        for r in range(min(TILE_ROWS, outputs - top)):
            n = top + r
            result = y[n * channels : (n + 1) * channels]
            sums = acc[r * stride : r * stride + channels]
            shift, below, half, bias = scales[0, n], scales[1, n], scales[2, n], scales[3, n]
            for c in range(channels):
                result[c] = _requantise(sums[c], shift, below, half, bias)


@njit
def _affine(x, y, rows, channels, scales):
    shift, below, half, bias, weight = scales[0], scales[1], scales[2], scales[3], scales[4]
    for t in range(rows):
        row = x[t * channels : (t + 1) * channels]
        result = y[t * channels : (t + 1) * channels]
        for c in range(channels):
            result[c] = _requantise(np.int32(np.int32(row[c]) * weight[c]), shift[c], below[c], half[c], bias[c])


@njit
def _lut(x, y, rows, channels, table):
    """Full tables, 256 entries a channel, ordered by the input's byte read as unsigned: 0 to 127, then -128 to -1."""
    for t in range(rows):
        row = x[t * channels : (t + 1) * channels]
        result = y[t * channels : (t + 1) * channels]
        for c in range(channels):
            # Unsigned, so that Numba does not look for negative indices.
            result[c] = table[np.uint64(c) << np.uint64(8) | np.uint64(np.uint8(row[c]))]


@njit
def _pool(x, y, tokens, channels, scales, acc):
    sums = acc[:channels]
    for c in range(channels):
        sums[c] = 0
    for t in range(tokens):
        row = x[t * channels : (t + 1) * channels]
        for c in range(channels):
            sums[c] = np.int32(sums[c] + np.int32(row[c]))
    for c in range(channels):
        y[c] = _requantise(sums[c], scales[0, 0], scales[1, 0], scales[2, 0], scales[3, 0])


def _compute(program, weights, scales, tables, images, out, first, last, arena, acc, pack):
    """Run `program` on images `first` to `last - 1`.

    `weights` int16, `scales` int32, `tables` int8: the operators' parameters, flat. `images` int8 [image, values].
    `out` int8, flat: every tap for all images, one after the other. `arena` int8, `acc` int32, `pack` int16: scratch
    space of the calling thread; nothing is allocated here.
    """
    for image in range(first, last):
        arena[INPUT_AT : INPUT_AT + images.shape[1]] = images[image]
        for i in range(program.shape[0]):
            step = program[i]
            op, rows, columns, outputs = step[OP], step[ROWS_IN], step[COLUMNS_IN], step[COLUMNS_OUT]
            size = step[ROWS_OUT] * outputs
            x = arena[step[SRC] : step[SRC] + rows * columns]
            y = arena[step[DST] : step[DST] + size]
            scale = scales[step[SCALE] :]
            if op == LINEAR_CHANNELS:
                scale_2d = scale[: 4 * outputs].reshape(4, outputs)
                _linear_channels(x, y, rows, columns, outputs, weights, step[WEIGHT], scale_2d, acc, pack)
            elif op == LINEAR_TOKENS:
                scale_2d = scale[: 4 * step[ROWS_OUT]].reshape(4, step[ROWS_OUT])
                _linear_tokens(x, y, rows, columns, step[ROWS_OUT], weights, step[WEIGHT], scale_2d, acc, pack)
            elif op == AFFINE:
                _affine(x, y, rows, columns, scale[: 5 * columns].reshape(5, columns))
            elif op == RELU:
                for j in range(size):
                    y[j] = max(x[j], np.int8(0))
            elif op == LUT:
                _lut(x, y, rows, columns, tables[step[WEIGHT] : step[WEIGHT] + columns * 256])
            elif op == ADD:
                r = arena[step[SRC_2] : step[SRC_2] + size]
                for j in range(size):
                    total = np.int32(np.int32(x[j]) + np.int32(r[j]))
                    y[j] = np.int8(min(max(total, np.int32(-128)), np.int32(127)))
            else:
                _pool(x, y, rows, columns, scale[:4].reshape(4, 1), acc)
            if step[TAP] >= 0:
                start = step[TAP] + image * size
                out[start : start + size] = y
