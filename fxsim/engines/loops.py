"""The plain loops: Numba loops over one image after the other, token-major, as one would write them first.

No user chooses this engine. It states in plain loops what the fast kernels (`compiled`) do in panels and by instruction
set: a further hand-written form of the contract, which tests hold the other engines to, and what benchmarks compare
them with. It was the compiled engine before `compiled`, and is kept as fast as that was.

A graph becomes a flat program once, whose loops then run on every image. Images are shared out among threads, each with
one scratch area.

Numba computes int32 with int32 in int64; the `np.int32(...)` around every step keeps the loops in 32 bits, which lets
LLVM vectorise them. All values fit: graphs prove their accumulators to be at most 32 bits wide.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# Numba infers its own types of compiled functions: annotations would be a second, unchecked statement of them.

import functools
import math
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import llvmlite.binding
import numpy as np
import numpy.typing as npt
from llvmlite import ir

from fxsim.contract import expand_table
from fxsim.contract.arithmetic import Int8
from fxsim.graph import INPUT, Graph, Model
from fxsim.jit import cgutils, compile_function, config, intrinsic, njit, types
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Operator, Pool, Relu

Int16 = npt.NDArray[np.int16]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]


def _features() -> set[str]:
    """What Numba generates code for: the host's features, unless NUMBA_CPU_FEATURES or NUMBA_ENABLE_AVX say others."""
    stated = config.CPU_FEATURES
    if stated is not None:
        return {feature[1:] for feature in stated.split(",") if feature.startswith("+")}
    host = llvmlite.binding.get_host_cpu_features()
    return {name for name, there in host.items() if there and (config.ENABLE_AVX or not name.startswith("avx"))}


# --- Loops: what Numba compiles --------------------------------------------------------------------------------------

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
LANES = 16 if "avx512bw" in _features() else 8
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
        _multiply_tile(acc, column, stride, a, a_at, a_stride, b, b_tile_at, pairs)  # type: ignore[call-arg]  # no typing context


@njit
def _linear_channels(x, y, rows, inputs, outputs, weights, at, scales, acc, pack):
    """y[t, n] = requantise(sum_k x[t, k] * w[n, k]); weights packed by columns n, see `_pack_columns`."""
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
    """y[n, c] = requantise(sum_k w[n, k] * x[k, c]); weights packed by rows n, see `_pack_rows`."""
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


# --- Scheduling ------------------------------------------------------------------------------------------------------

_IMAGES_A_TURN = 8
"""Images a thread takes at once: enough that taking them costs nothing, few enough that all threads end together."""


def run_loops(model: Model, x: Int8, taps: tuple[str, ...], threads: int | None = None) -> dict[str, Int8]:
    """Every named tap for images `x`, int8 [image, token, value]: int8 [image, token, channel] or [image, channel].

    `threads`: how many compute, by default NUMBA_NUM_THREADS; the result does not depend on it. The arrays returned
    are parts of one block of memory.
    """
    graph = model.graph
    images = np.ascontiguousarray(x).reshape(len(x), math.prod(x.shape[1:]))
    program, starts, out_size, arena_size = _program(graph, taps, len(x))
    parameters = _parameters(graph)
    compute = compute_function()
    out = np.empty(out_size, np.int8)
    turns = iter(range(0, len(x), _IMAGES_A_TURN))

    def work() -> None:
        arena = np.zeros(arena_size, np.int8)
        acc = np.zeros(parameters.acc_size, np.int32)
        pack = np.zeros(parameters.pack_size, np.int16)
        # Threads share the iterator: whichever is free takes the next turn. The loops run without the interpreter lock.
        for first in turns:
            last = min(first + _IMAGES_A_TURN, len(x))
            compute(
                program, parameters.weights, parameters.scales, parameters.tables, images, out, first, last,
                arena, acc, pack,
            )  # fmt: skip

    workers = min(threads or config.NUMBA_NUM_THREADS, -(-len(x) // _IMAGES_A_TURN))
    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            for done in [pool.submit(work) for _ in range(workers)]:
                done.result()
    else:
        work()
    return {
        name: out[start : start + len(x) * size].reshape(len(x), *graph.shapes[name])
        for name, (start, size) in starts.items()
    }


@functools.cache
def compute_function() -> Callable[..., None]:
    """The compiled `_compute`."""
    flat = {name: types.Array(getattr(types, name), 1, "C") for name in ("int8", "int16", "int32")}
    program = types.Array(types.int64, 2, "C")
    # Read-only: mutable arrays may be passed too, and both get the same code.
    images = types.Array(types.int8, 2, "C", readonly=True)
    signature = types.void(
        program, flat["int16"], flat["int32"], flat["int8"], images, flat["int8"], types.int64, types.int64,
        flat["int8"], flat["int32"], flat["int16"],
    )  # fmt: skip
    return compile_function(_compute, signature)


# --- Parameters: packed once a graph -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Parameters:
    """A graph's parameters as the kernels read them, where each node's start, and the scratch space they need."""

    weights: Int16
    scales: Int32
    tables: Int8
    at: dict[str, tuple[int, int]]
    """By node: start in `weights` (of a lut: in `tables`), start in `scales`."""
    acc_size: int
    pack_size: int


_packed: dict[int, _Parameters] = {}
"""By the graph's identity: graphs and their arrays cannot change."""


def _parameters(graph: Graph) -> _Parameters:
    key = id(graph)
    if key not in _packed:
        _packed[key] = _pack(graph)
        weakref.finalize(graph, _packed.pop, key, None)
    return _packed[key]


def _pack(graph: Graph) -> _Parameters:
    weights: list[Int16] = []
    scales: list[Int32] = []
    tables: list[Int8] = []
    at: dict[str, tuple[int, int]] = {}
    acc_size = pack_size = 1

    def put(blocks: list[Any], block: npt.NDArray[Any]) -> int:
        start = sum(int(b.size) for b in blocks)
        blocks.append(block.ravel())
        return start

    for node in graph.nodes:
        op = node.op
        weight_at = scale_at = 0
        if isinstance(op, Linear):
            inputs = _round_up(op.weight.shape[1], 2)
            if op.over is Axis.CHANNELS:
                weight_at = put(weights, _pack_columns(op.weight))
                columns = _round_up(op.weight.shape[0], TILE_COLUMNS)
                pack_size = max(pack_size, TILE_ROWS * inputs)
            else:
                weight_at = put(weights, _pack_rows(op.weight))
                columns = _round_up(graph.shapes[node.name][1], TILE_COLUMNS)
                pack_size = max(pack_size, columns * inputs)
            acc_size = max(acc_size, TILE_ROWS * columns)
            scale_at = put(scales, scale_rows(op.shift, op.bias))
        elif isinstance(op, Affine):
            rows = (scale_rows(op.shift, op.bias), op.weight.astype(np.int32)[None])
            scale_at = put(scales, np.concatenate(rows))
        elif isinstance(op, Pool):
            acc_size = max(acc_size, graph.shapes[node.name][0])
            shift = np.array([op.tokens.bit_length() - 1], np.uint8)
            scale_at = put(scales, scale_rows(shift, np.zeros(1, np.int8)))
        elif isinstance(op, Lut):
            # In the order of the input's byte read as unsigned, which makes it the index.
            weight_at = put(tables, np.roll(expand_table(op.table, op.rule), 128, axis=1))
        at[node.name] = (weight_at, scale_at)

    def join(blocks: list[Any], dtype: type[np.generic]) -> npt.NDArray[Any]:
        return np.concatenate([*blocks, np.zeros(0, dtype)])

    joined = join(weights, np.int16), join(scales, np.int32), join(tables, np.int8)
    return _Parameters(*joined, at, acc_size, pack_size)


def _round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def _pack_columns(weight: Int8) -> Int16:
    """[N, K] to [N / TILE_COLUMNS, K / 2, TILE_COLUMNS, 2], padded with zeros: the right-hand side of a product."""
    outputs, inputs = weight.shape
    padded = np.zeros((_round_up(outputs, TILE_COLUMNS), _round_up(inputs, 2)), np.int16)
    padded[:outputs, :inputs] = weight
    tiles = padded.reshape(-1, TILE_COLUMNS, padded.shape[1] // 2, 2)
    return np.ascontiguousarray(tiles.swapaxes(1, 2))


def _pack_rows(weight: Int8) -> Int16:
    """[N, K], padded with zeros to whole tiles and pairs: the left-hand side of a product."""
    outputs, inputs = weight.shape
    padded = np.zeros((_round_up(outputs, TILE_ROWS), _round_up(inputs, 2)), np.int16)
    padded[:outputs, :inputs] = weight
    return padded


# --- Program: the steps that the wanted taps need -------------------------------------------------------------------


def _program(graph: Graph, taps: tuple[str, ...], images: int) -> tuple[Int64, dict[str, tuple[int, int]], int, int]:
    """The steps that compute `taps` for so many images.

    Returns the program, int64 [steps, FIELDS]; each tap's start in the output and its size an image; the sizes of the
    output and of the arena.
    """
    needed = set(taps)
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    nodes = [node for node in graph.nodes if node.name in needed]
    last_use = {name: i for i, node in enumerate(nodes) for name in node.inputs}
    at = _parameters(graph).at

    size = {name: int(np.prod(graph.shapes[name])) for name in (INPUT, *(node.name for node in nodes))}
    # A tensor lives in a slot from the step that computes it to the last that reads it. Slots are of one size.
    slot_size = _round_up(max(size.values()), 64)
    slots = 1
    free: list[int] = []
    slot_of = {INPUT: INPUT_AT}
    starts: dict[str, tuple[int, int]] = {}
    out_size = 0
    program = np.zeros((len(nodes), FIELDS), np.int64)
    for i, node in enumerate(nodes):
        if not free:
            free.append(slots)
            slots += 1
        slot_of[node.name] = free.pop()
        tap = -1
        if node.name in taps:
            tap = out_size
            starts[node.name] = (tap, size[node.name])
            out_size += images * size[node.name]
        sources = [slot_of[name] * slot_size for name in node.inputs]
        program[i] = (
            _code(node.op),
            sources[0],
            sources[-1],
            slot_of[node.name] * slot_size,
            *_matrix(graph.shapes[node.inputs[0]]),
            *_matrix(graph.shapes[node.name]),
            *at[node.name],
            tap,
        )
        free.extend({slot_of[name] for name in node.inputs if last_use[name] == i})
        if node.name not in last_use:
            free.append(slot_of[node.name])
    return program, {name: starts[name] for name in taps}, out_size, slots * slot_size


def _matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns; a vector is one row."""
    return (1, shape[0]) if len(shape) == 1 else (shape[0], shape[1])


def _code(op: Operator) -> int:
    if isinstance(op, Linear):
        return LINEAR_CHANNELS if op.over is Axis.CHANNELS else LINEAR_TOKENS
    codes = {Affine: AFFINE, Relu: RELU, Lut: LUT, Add: ADD, Pool: POOL}
    return codes[type(op)]
