"""The compiled engine: a graph is lowered to a program (`program`) once, whose kernels then run on blocks of images.

Equal to the reference engine bit for bit on every graph that it takes, on every instruction set. Blocks of images are
shared out among threads (NUMBA_NUM_THREADS, by default one a CPU); each thread has one scratch area, so that memory
does not grow with the number of images.
"""

# mypy: allow-untyped-calls
# Numba's types are.

import functools
import math
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fxsim.contract.arithmetic import Int8
from fxsim.engines.compiled.isa import Isa, instruction_set
from fxsim.engines.compiled.kernel import compute
from fxsim.engines.compiled.layout import UInt8, panels, space
from fxsim.engines.compiled.program import Int64, Packed, Program, lower, pack
from fxsim.graph import Graph, Model
from fxsim.jit import compile_function, config, typeof, types

_BLOCK_BYTES = 160 << 10
"""Least size of all panels of a block of images, where it takes more than one: parameters are read once a block."""

_KEPT_BYTES = (1 << 20, 1 << 30)
"""Results of so many bytes leave their memory to later ones: below, the allocator is as fast; above, it is too much."""

_KEPT_PROGRAMS = 16
"""Programs kept for a graph and an instruction set: lowering takes longer than to compute one image."""

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
    model: Model, x: Int8, taps: tuple[str, ...], threads: int | None = None, isa: str | None = None
) -> dict[str, Int8]:
    """Every named tap for images `x`, int8 [image, token, value]: int8 [image, token, channel] or [image, channel].

    `threads`: how many compute, by default NUMBA_NUM_THREADS; `isa`: see `instruction_set`. The result depends on
    neither. The arrays returned are parts of one block of memory.
    """
    return _run(model, x, taps, threads, isa, np.zeros(0, np.int64))


def profile_compiled(model: Model, x: Int8, taps: tuple[str, ...], isa: str | None = None) -> list[StepTime]:
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
    model: Model, x: Int8, taps: tuple[str, ...], threads: int | None, isa: str | None, spent: Int64
) -> dict[str, Int8]:
    graph = model.graph
    kind = instruction_set(isa)
    images = np.ascontiguousarray(x).reshape(len(x), math.prod(x.shape[1:]))
    lowered = _lowered(graph, kind)
    program, block = lowered.program(graph, taps, len(x)), lowered.block
    compute = compute_function(kind)
    out = _output(program.out)
    batch = max(1, _BATCH_BYTES // images.shape[1] // block) * block if len(x) else 1
    workers = min(threads or config.NUMBA_NUM_THREADS, -(-len(x) // block))
    batch = min(batch, max(block, -(-len(x) // (16 * max(workers, 1)) // block) * block))
    batches = iter(range(0, len(x), batch))

    def work() -> None:
        arena, packed, scratch = space(program.arena), space(program.packed), space(program.scratch).view(np.int8)
        # Threads share the iterator: whichever is free takes the next batch. Loops run without the interpreter lock.
        for first in batches:
            compute(
                isa=kind.token, program=program.code, data=lowered.packed.data, words=lowered.packed.words,
                images=images, out=out, first=first, last=min(first + batch, len(x)), block=block,
                arena=arena, packed=packed, scratch=scratch, spent=spent,
            )  # fmt: skip

    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            for done in [pool.submit(work) for _ in range(workers)]:
                done.result()
    else:
        work()
    return {
        name: out[start : start + len(x) * size].reshape(len(x), *graph.shapes[name])
        for name, (start, size) in program.starts.items()
    }


_spare: list[UInt8] = []
"""Memory of results that nothing refers to any more: of one run at most."""


def _output(size: int) -> Int8:
    """Memory for results: `size` aligned bytes, with any content.

    Where they are many, memory of earlier results is taken again: to get fresh memory from the system costs about as
    much as to compute what is written to it.
    """
    if size < _KEPT_BYTES[0]:
        return space(size).view(np.int8)
    try:
        room = _spare.pop()
    except IndexError:  # none, or another thread was quicker
        room = None
    if room is None or not size <= room.size <= 2 * size:
        room = space(size)
    # Not a part of `room`, of which parts would be parts too: it lives as long as one of its own parts is referred to.
    out = np.frombuffer(room.data, np.int8, size)
    weakref.finalize(out, _give_back, room)
    return out


def _give_back(room: UInt8) -> None:
    if room.size <= _KEPT_BYTES[1]:
        _spare[:] = [room]


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


@dataclass(frozen=True)
class _Lowered:
    """A graph, lowered for one instruction set."""

    packed: Packed
    block: int
    isa: Isa
    programs: dict[tuple[tuple[str, ...], int], Program] = field(default_factory=dict)
    """The latest programs, by taps and number of images."""

    def program(self, graph: Graph, taps: tuple[str, ...], images: int) -> Program:
        """The program for some taps and so many images."""
        key = taps, images
        program = self.programs.pop(key, None)
        if program is None:
            program = lower(graph, self.packed, taps, images, min(self.block, max(images, 1)), self.isa)
        self.programs[key] = program
        # Of a copy: other threads may run the same graph.
        for old in list(self.programs)[:-_KEPT_PROGRAMS]:
            self.programs.pop(old, None)
        return program


_by_graph: dict[tuple[int, str], _Lowered] = {}
"""Lowered graphs, by identity and instruction set: graphs and their arrays cannot change."""


def _lowered(graph: Graph, isa: Isa) -> _Lowered:
    key = (id(graph), isa.name)
    if key not in _by_graph:
        _by_graph[key] = _Lowered(pack(graph, isa), _block(graph), isa)
        weakref.finalize(graph, _by_graph.pop, key, None)
    return _by_graph[key]
