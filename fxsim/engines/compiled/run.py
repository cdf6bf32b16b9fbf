"""The compiled engine: a graph is lowered to a program (`program`) once, whose kernels then run on blocks of images.

Equal to the reference engine bit for bit on every graph that it takes, on every instruction set. Blocks of images are
shared out among threads (NUMBA_NUM_THREADS, by default one a CPU); each thread has one scratch area, so that memory
does not grow with the number of images.
"""

# mypy: allow-untyped-calls
# Numba's types are.

import functools
import math
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import numpy as np

from fxsim.contract.arithmetic import Integers
from fxsim.engines.compiled.isa import Isa, instruction_set
from fxsim.engines.compiled.kernel import compute
from fxsim.engines.compiled.layout import ALIGNMENT, UInt8, panels, rounded_up, space
from fxsim.engines.compiled.pixel_program import (
    SPARE_BYTES,
    PackedPixels,
    PixelProgram,
    is_pixels,
    lower_pixels,
    pack_pixels,
)
from fxsim.engines.compiled.pixels import compute_pixels
from fxsim.engines.compiled.pointwise import BUFFER_BYTES
from fxsim.engines.compiled.program import Int64, Packed, Program, lower, pack
from fxsim.graph import Graph, Model
from fxsim.jit import compile_function, config, typeof, types

_BLOCK_BYTES = 160 << 10
"""Least size of all panels of a block of images, where it takes more than one: parameters are read once a block."""

_PIXEL_BLOCK_BYTES = 256 << 10
"""Most bytes that the largest tensor of a block of images of pixels takes, where it is more than one image."""

_PIXEL_BLOCK_IMAGES = 64
"""Most images of such a block: as many as a convolution of one pixel takes together."""

_KEPT_BYTES = (1 << 20, 1 << 30)
"""Results of so many bytes leave their memory to later ones: below, the allocator is as fast; above, it is too much."""

_KEPT_PROGRAMS = 16
"""Programs kept for a graph and an instruction set: lowering takes longer than to compute one image."""

_ROOM_BYTES = 1 << 20
"""Most bytes of working space that a thread keeps from one run to the next."""

_BATCH_BYTES = 192 << 10
"""Bytes of input a thread takes per batch: large enough that taking it costs nothing, small enough that all threads
end together."""


class StepTime(NamedTuple):
    """The time that a step of a program took, in seconds for all images; `nodes`: those that it computes together."""

    nodes: tuple[str, ...]
    operator: str
    seconds: float


def prepare(graph: Graph) -> None:
    """Lower a graph for this machine, which the next run needs not do; ModelError where the engine does not take it."""
    _lowered(graph, instruction_set())


def run_compiled(
    model: Model, x: Integers, taps: tuple[str, ...], threads: int | None = None, isa: str | None = None
) -> dict[str, Integers]:
    """Every named tap for images `x`, int8 [image, token, value]: int8 [image, token, channel] or [image, channel].

    `threads`: how many compute, by default NUMBA_NUM_THREADS; `isa`: see `instruction_set`. The result depends on
    neither. The arrays returned are parts of one block of memory.
    """
    return _run(model, x, taps, threads, isa, np.zeros(0, np.int64))


def profile_compiled(model: Model, x: Integers, taps: tuple[str, ...], isa: str | None = None) -> list[StepTime]:
    """The time of each step on one thread; last, taking the images and writing the taps. Arguments as `run_compiled`'s.

    Reading the clock, twice a step and block of images, is in it.
    """
    program = _lowered(model.graph, instruction_set(isa)).program(model.graph, taps, len(x))
    spent = np.zeros(len(program.steps) + 2, np.int64)
    _run(model, x, taps, 1, isa, spent)
    times = [StepTime(tuple(node.name for node in step.nodes), step.operator, 0.0) for step in program.steps]
    times += [StepTime(("read",), "taking the images", 0.0), StepTime(("write",), "writing the taps", 0.0)]
    return [time._replace(seconds=int(nanoseconds) / 1e9) for time, nanoseconds in zip(times, spent, strict=True)]


def _run(
    model: Model, x: Integers, taps: tuple[str, ...], threads: int | None, isa: str | None, spent: Int64
) -> dict[str, Integers]:
    graph = model.graph
    lowered = _lowered(graph, instruction_set(isa))
    images = np.ascontiguousarray(x).reshape(len(x), math.prod(x.shape[1:]))
    program, block = lowered.program(graph, taps, len(x)), lowered.block
    # Once, before there are threads and results: what compiling leaves behind would keep these.
    compute = lowered.function()
    out = _output(program.out)
    size = images.shape[1] * images.itemsize
    batch = max(1, _BATCH_BYTES // size // block) * block if len(x) else 1
    workers = min(threads or config.NUMBA_NUM_THREADS, -(-len(x) // block))
    batch = min(batch, max(block, -(-len(x) // (16 * max(workers, 1)) // block) * block))
    batches = iter(range(0, len(x), batch))

    def work() -> None:
        compute_part = lowered.worker(compute, program, images, out, spent)
        # Threads share the iterator: whichever is free takes the next batch. Loops run without the interpreter lock.
        for first in batches:
            compute_part(first, min(first + batch, len(x)))

    if workers > 1:
        _share(work, workers - 1, batches)
    else:
        work()
    tensors = graph.tensors
    return {
        name: out[start : start + len(x) * tensors[name].nbytes]
        .view(tensors[name].number.dtype)
        .reshape(len(x), *tensors[name].shape)
        for name, start in program.starts.items()
    }


def _share(work: Callable[[], None], helpers: int, batches: Iterator[int]) -> None:
    """Do work here and on so many further threads at most, until no batch is left; raise what any of them raises."""
    others = [_helpers().submit(work) for _ in range(helpers)]
    try:
        work()
    finally:
        # Nothing is left where all went well; otherwise the others stop after their batch.
        for _ in batches:
            pass
        # One that has not begun, as other runs use the threads, has nothing left to do.
        working = [other for other in others if not other.cancel()]
        wait(working)
    for other in working:
        other.result()


@functools.cache
def _helpers() -> ThreadPoolExecutor:
    """The threads that compute beside those that call, kept: to start and end one takes as long as to compute an image.

    They begin as they are needed, one a core at most, and wait without computing.
    """
    return ThreadPoolExecutor(max(config.NUMBA_NUM_THREADS, os.cpu_count() or 1), "fxsim-compute")


if hasattr(os, "register_at_fork"):
    # A process that is forked has none of the threads.
    os.register_at_fork(after_in_child=_helpers.cache_clear)


_spare: list[UInt8] = []
"""Memory of results that nothing refers to any more: of one run at most."""


def _output(size: int) -> UInt8:
    """Memory for results: `size` aligned bytes, with any content.

    Where they are many, memory of earlier results is taken again: to get fresh memory from the system costs about as
    much as to compute what is written to it.
    """
    if size < _KEPT_BYTES[0]:
        return space(size)
    try:
        room = _spare.pop()
    except IndexError:  # none, or another thread was quicker
        room = None
    if room is None or not size <= room.size <= 2 * size:
        room = space(size)
    # Not a part of `room`, of which parts would be parts too: it lives as long as one of its own parts is referred to.
    out = np.frombuffer(room.data, np.uint8, size)
    weakref.finalize(out, _give_back, room)
    return out


def _give_back(room: UInt8) -> None:
    if room.size <= _KEPT_BYTES[1]:
        _spare[:] = [room]


_rooms = threading.local()


def _room(sizes: tuple[int, ...]) -> list[UInt8]:
    """Space of the calling thread to work in: parts of so many bytes, each as `space` gives it, with any content.

    A thread keeps its space, up to `_ROOM_BYTES`, for its next run, which begins where the one before has ended: fresh
    memory is cleared, and in no cache.
    """
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + rounded_up(size, ALIGNMENT) + ALIGNMENT)
    whole: UInt8 | None = getattr(_rooms, "whole", None)
    if whole is None or whole.size < starts[-1]:
        whole = space(starts[-1])
        if whole.size <= _ROOM_BYTES:
            _rooms.whole = whole
    return [whole[start : start + size] for start, size in zip(starts, sizes, strict=False)]


def _block(graph: Graph) -> int:
    """Images computed together: whole panels, and enough of them that reading the parameters costs little."""
    tensors = [panels(graph.input_shape), *(panels(shape) for shape in graph.shapes.values() if len(shape) == 2)]
    together = max(tensor.width // tensor.each for tensor in tensors)
    size = 3 * max(tensor.bytes(together) for tensor in tensors)
    return together * max(1, min(16, _BLOCK_BYTES // size))


@functools.cache
def compute_function(isa: Isa) -> Callable[..., None]:
    """The compiled `compute` for one instruction set."""
    uint8, int8, int32, int64 = (
        types.Array(kind, 1, "C") for kind in (types.uint8, types.int8, types.int32, types.int64)
    )
    # Read-only: mutable arrays may be passed too, and both get the same code.
    images = types.Array(types.int8, 2, "C", readonly=True)
    program = types.Array(types.int64, 2, "C")
    number = types.int64
    signature = types.void(
        typeof(isa.token), program, uint8, int32, images, int8, number, number, number, uint8, uint8, int8, int64
    )
    return compile_function(compute, signature, f"the engine for {isa.name}")


@functools.cache
def _compute_pixels_function(isa: Isa) -> Callable[..., None]:
    """The compiled `compute_pixels` for one instruction set."""
    uint8, int16, int32, int64 = (
        types.Array(kind, 1, "C") for kind in (types.uint8, types.int16, types.int32, types.int64)
    )
    images = (types.Array(kind, 1, "C", readonly=True) for kind in (types.uint8, types.int16, types.int32))
    number = types.int64
    signature = types.void(
        typeof(isa.token), *[types.Array(types.int64, 2, "C")] * 2, uint8, int32, *images, uint8, int16, int32,
        number, number, number, uint8, int32, uint8, int16, int64, uint8, uint8, int64,
    )  # fmt: skip
    return compile_function(compute_pixels, signature, f"the engine over pixels for {isa.name}")


class _Programs:
    """The latest programs of a lowered graph, by taps and number of images."""

    def __init__(self, block: int, isa: Isa) -> None:
        self.block = block
        self.isa = isa
        self.programs: dict[tuple[tuple[str, ...], int], Any] = {}

    def program(self, graph: Graph, taps: tuple[str, ...], images: int) -> Any:
        """The program for some taps and so many images."""
        key = taps, images
        program = self.programs.pop(key, None)
        if program is None:
            program = self._lower(graph, taps, images, min(self.block, max(images, 1)))
        self.programs[key] = program
        # Of a copy: other threads may run the same graph.
        for old in list(self.programs)[:-_KEPT_PROGRAMS]:
            self.programs.pop(old, None)
        return program

    def _lower(self, graph: Graph, taps: tuple[str, ...], images: int, block: int) -> Any:
        raise NotImplementedError

    def function(self) -> Callable[..., None]:
        """The compiled function that runs its programs."""
        raise NotImplementedError

    def worker(
        self, compute: Callable[..., None], program: Any, images: Integers, out: UInt8, spent: Int64
    ) -> Callable[[int, int], None]:
        """A function that computes images from the first to before the last, with memory of its own."""
        raise NotImplementedError


class _Panels(_Programs):
    """A graph of int8 tokens and channels, lowered for one instruction set."""

    def __init__(self, graph: Graph, isa: Isa) -> None:
        self._packed: Packed = pack(graph, isa)
        super().__init__(_block(graph), isa)

    def _lower(self, graph: Graph, taps: tuple[str, ...], images: int, block: int) -> Program:
        return lower(graph, self._packed, taps, images, block, self.isa)

    def function(self) -> Callable[..., None]:
        return compute_function(self.isa)

    def worker(
        self, compute: Callable[..., None], program: Program, images: Integers, out: UInt8, spent: Int64
    ) -> Callable[[int, int], None]:
        arena, packed, scratch = _room((program.arena, program.packed, program.scratch))
        scratch = scratch.view(np.int8)

        def work(first: int, last: int) -> None:
            compute(
                isa=self.isa.token, program=program.code, data=self._packed.data, words=self._packed.words,
                images=images, out=out.view(np.int8), first=first, last=last, block=self.block,
                arena=arena, packed=packed, scratch=scratch, spent=spent,
            )  # fmt: skip

        return work


class _Pixels(_Programs):
    """A graph of rows and columns, lowered for one instruction set."""

    def __init__(self, graph: Graph, isa: Isa) -> None:
        self._packed: PackedPixels = pack_pixels(graph, isa)
        super().__init__(max(1, min(_PIXEL_BLOCK_IMAGES, _PIXEL_BLOCK_BYTES // self._packed.greatest)), isa)

    def _lower(self, _graph: Graph, taps: tuple[str, ...], images: int, block: int) -> PixelProgram:
        return lower_pixels(self._packed, taps, images, block)

    def function(self) -> Callable[..., None]:
        return _compute_pixels_function(self.isa)

    def worker(
        self, compute: Callable[..., None], program: PixelProgram, images: Integers, out: UInt8, spent: Int64
    ) -> Callable[[int, int], None]:
        packed = self._packed
        arena, units, spare = space(program.arena), space(packed.units), space(SPARE_BYTES)
        buffers = space(program.buffers * BUFFER_BYTES)
        places = np.zeros(packed.places, np.int64)
        flat = images.ravel()
        views = [flat.view(kind) if flat.itemsize == kind.itemsize else np.zeros(0, kind) for kind in _VIEWS]

        def work(first: int, last: int) -> None:
            compute(
                self.isa.token, program.code, program.operations, packed.data, packed.words, *views,
                *(out.view(kind) for kind in _VIEWS), first, last, self.block, arena, arena.view(np.int32), units,
                units.view(np.int16), places, spare, buffers, spent,
            )  # fmt: skip

        return work


_VIEWS = tuple(np.dtype(kind) for kind in (np.uint8, np.int16, np.int32))
"""Types that values of each size are read and written as."""

_by_graph: dict[tuple[int, str], _Programs] = {}
"""Lowered graphs, by identity and instruction set: graphs and their arrays cannot change."""


def _lowered(graph: Graph, isa: Isa) -> _Programs:
    key = (id(graph), isa.name)
    if key not in _by_graph:
        _by_graph[key] = (_Pixels if is_pixels(graph) else _Panels)(graph, isa)
        weakref.finalize(graph, _by_graph.pop, key, None)
    return _by_graph[key]
