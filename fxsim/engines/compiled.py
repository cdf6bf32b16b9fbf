"""The compiled engine: a graph becomes a flat program once, whose loops (`kernels`) then run on every image.

Equal to the reference engine bit for bit on every graph. Images are shared out among threads (NUMBA_NUM_THREADS, by
default one a CPU); each thread has one scratch area, so that memory does not grow with the number of images.
"""

import functools
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from numba import types

from fxsim.contract import expand_table
from fxsim.contract.arithmetic import Int8
from fxsim.engines import kernels
from fxsim.jit import compile_function
from fxsim.model import INPUT, Add, Affine, Axis, Graph, Linear, Lut, Model, Operator, Pool, Relu

Int16 = npt.NDArray[np.int16]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

# Numba makes its settings' attributes as it starts, out of a type checker's sight.
_config: Any = numba.config

_IMAGES_A_TURN = 8
"""Images a thread takes at once: enough that taking them costs nothing, few enough that all threads end together."""


def run_compiled(model: Model, x: Int8, taps: tuple[str, ...], threads: int | None = None) -> dict[str, Int8]:
    """Every named tap for images `x`, int8 [image, token, value]: int8 [image, token, channel] or [image, channel].

    `threads`: how many compute, by default NUMBA_NUM_THREADS; the result does not depend on it. The arrays returned
    are parts of one block of memory.
    """
    graph = model.graph
    images = np.ascontiguousarray(x).reshape(len(x), -1)
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

    workers = min(threads or _config.NUMBA_NUM_THREADS, -(-len(x) // _IMAGES_A_TURN))
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
    """The compiled `kernels._compute`."""
    flat = {name: types.Array(getattr(types, name), 1, "C") for name in ("int8", "int16", "int32")}
    program = types.Array(types.int64, 2, "C")
    # Read-only: mutable arrays may be passed too, and both get the same code.
    images = types.Array(types.int8, 2, "C", readonly=True)
    signature = types.void(
        program, flat["int16"], flat["int32"], flat["int8"], images, flat["int8"], types.int64, types.int64,
        flat["int8"], flat["int32"], flat["int16"],
    )  # fmt: skip
    return compile_function(kernels._compute, signature)


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
                columns = _round_up(op.weight.shape[0], kernels.TILE_COLUMNS)
                pack_size = max(pack_size, kernels.TILE_ROWS * inputs)
            else:
                weight_at = put(weights, _pack_rows(op.weight))
                columns = _round_up(graph.shapes[node.name][1], kernels.TILE_COLUMNS)
                pack_size = max(pack_size, columns * inputs)
            acc_size = max(acc_size, kernels.TILE_ROWS * columns)
            scale_at = put(scales, kernels.scale_rows(op.shift, op.bias))
        elif isinstance(op, Affine):
            rows = (kernels.scale_rows(op.shift, op.bias), op.weight.astype(np.int32)[None])
            scale_at = put(scales, np.concatenate(rows))
        elif isinstance(op, Pool):
            acc_size = max(acc_size, graph.shapes[node.name][0])
            shift = np.array([op.tokens.bit_length() - 1], np.uint8)
            scale_at = put(scales, kernels.scale_rows(shift, np.zeros(1, np.int8)))
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
    padded = np.zeros((_round_up(outputs, kernels.TILE_COLUMNS), _round_up(inputs, 2)), np.int16)
    padded[:outputs, :inputs] = weight
    tiles = padded.reshape(-1, kernels.TILE_COLUMNS, padded.shape[1] // 2, 2)
    return np.ascontiguousarray(tiles.swapaxes(1, 2))


def _pack_rows(weight: Int8) -> Int16:
    """[N, K], padded with zeros to whole tiles and pairs: the left-hand side of a product."""
    outputs, inputs = weight.shape
    padded = np.zeros((_round_up(outputs, kernels.TILE_ROWS), _round_up(inputs, 2)), np.int16)
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
    slot_of = {INPUT: kernels.INPUT_AT}
    starts: dict[str, tuple[int, int]] = {}
    out_size = 0
    program = np.zeros((len(nodes), kernels.FIELDS), np.int64)
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
        return kernels.LINEAR_CHANNELS if op.over is Axis.CHANNELS else kernels.LINEAR_TOKENS
    codes = {Affine: kernels.AFFINE, Relu: kernels.RELU, Lut: kernels.LUT, Add: kernels.ADD, Pool: kernels.POOL}
    return codes[type(op)]
