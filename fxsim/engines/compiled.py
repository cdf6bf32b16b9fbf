"""The compiled engine: a graph is lowered to a program (`plan`) once, whose kernels then run on blocks of images.

Equal to the reference engine bit for bit on every graph that it takes, on every instruction set. Blocks of images are
shared out among threads (NUMBA_NUM_THREADS, by default one a CPU); each thread has one scratch area, so that memory
does not grow with the number of images.
"""

import functools
import math
import os
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from numba import types

from fxsim.contract.arithmetic import Int8
from fxsim.engines import kernels
from fxsim.engines.kernels import ISAS, Isa
from fxsim.engines.plan import Parameters, lower, pack, panels, space
from fxsim.errors import StimulusError
from fxsim.jit import compile_function
from fxsim.model import Graph, Model

# Numba makes its settings' attributes as it starts, out of a type checker's sight.
_config: Any = numba.config

ISA_VARIABLE = "FXSIM_ISA"
"""Environment variable that names the instruction set to use."""

_NEEDED = {
    "avx512": ("avx512f", "avx512bw", "avx512vl", "avx512vnni", "avx512vbmi"),
    "avx2": ("avx2",),
    "plain": (),
}
"""What LLVM must know the CPU to have; the first set that it has is used."""

_BLOCK_BYTES = 48 << 10
"""Least size of all panels of a block of images, where it takes more than one: parameters are read once a block."""

_TURN_BYTES = 1 << 20
"""Of the input that a thread takes at once: enough that taking it costs nothing, so little that all end together."""


def instruction_sets() -> tuple[Isa, ...]:
    """Those that this CPU can run, the fastest first."""
    # What Numba generates code for: the host's features, unless NUMBA_CPU_FEATURES or NUMBA_ENABLE_AVX state others.
    stated = _config.CPU_FEATURES
    if stated is None:
        host = llvmlite.binding.get_host_cpu_features()
        has = {name for name, there in host.items() if there and (_config.ENABLE_AVX or not name.startswith("avx"))}
    else:
        has = {feature[1:] for feature in stated.split(",") if feature.startswith("+")}
    return tuple(ISAS[name] for name, needed in _NEEDED.items() if has.issuperset(needed))


def instruction_set(name: str | None = None) -> Isa:
    """The one named, by default the one that FXSIM_ISA names or else the fastest; StimulusError where it cannot run."""
    sets = {isa.name: isa for isa in instruction_sets()}
    wanted = name or os.environ.get(ISA_VARIABLE) or next(iter(sets))
    if wanted not in sets:
        raise StimulusError(f"instruction set '{wanted}' cannot run here, expected one of: {', '.join(sets)}")
    return sets[wanted]


def run_compiled(
    model: Model, x: Int8, taps: tuple[str, ...], threads: int | None = None, isa: str | None = None
) -> dict[str, Int8]:
    """Every named tap for images `x`, int8 [image, token, value]: int8 [image, token, channel] or [image, channel].

    `threads`: how many compute, by default NUMBA_NUM_THREADS; `isa`: see `instruction_set`. The result depends on
    neither. The arrays returned are parts of one block of memory.
    """
    graph = model.graph
    kind = instruction_set(isa)
    images = np.ascontiguousarray(x).reshape(len(x), math.prod(x.shape[1:]))
    parameters = _parameters(graph, kind)
    block = _block(graph)
    program = lower(graph, parameters, taps, len(x), min(block, max(len(x), 1)), kind)
    compute = compute_function(kind)
    out = np.empty(program.out, np.int8)
    turn = max(1, _TURN_BYTES // images.shape[1] // block) * block if len(x) else 1
    workers = min(threads or _config.NUMBA_NUM_THREADS, -(-len(x) // block))
    turn = min(turn, max(block, -(-len(x) // (4 * max(workers, 1)) // block) * block))
    turns = iter(range(0, len(x), turn))

    def work() -> None:
        arena, packed, scratch = space(program.arena), space(program.packed), space(program.scratch).view(np.int8)
        # Threads share the iterator: whichever is free takes the next turn. The loops run without the interpreter lock.
        for first in turns:
            compute(
                kind.token, kind.columns, kind.rows, program.steps, parameters.data, parameters.words, images, out,
                first, min(first + turn, len(x)), block, arena, packed, scratch,
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


def _block(graph: Graph) -> int:
    """Images computed together: whole panels, and enough of them that reading the parameters costs little."""
    tensors = [panels(graph.input_shape), *(panels(shape) for shape in graph.shapes.values() if len(shape) == 2)]
    together = max(tensor.width // tensor.each for tensor in tensors)
    size = 3 * max(tensor.bytes(together) for tensor in tensors)
    return together * max(1, min(16, _BLOCK_BYTES // size))


@functools.cache
def compute_function(isa: Isa) -> Callable[..., None]:
    """The compiled `kernels.compute` for one instruction set."""
    uint8, int8, int32 = (types.Array(kind, 1, "C") for kind in (types.uint8, types.int8, types.int32))
    # Read-only: mutable arrays may be passed too, and both get the same code.
    images = types.Array(types.int8, 2, "C", readonly=True)
    token = numba.typeof(isa.token)  # type: ignore[no-untyped-call]
    signature = types.void(
        token, types.int64, types.int64, types.Array(types.int64, 2, "C"), uint8, int32, images, int8,
        types.int64, types.int64, types.int64, uint8, uint8, int8,
    )  # fmt: skip
    return compile_function(kernels.compute, signature)


_packed: dict[tuple[int, str], Parameters] = {}
"""By the graph's identity and instruction set: graphs and their arrays cannot change."""


def _parameters(graph: Graph, isa: Isa) -> Parameters:
    key = (id(graph), isa.name)
    if key not in _packed:
        _packed[key] = pack(graph, isa)
        weakref.finalize(graph, _packed.pop, key, None)
    return _packed[key]
