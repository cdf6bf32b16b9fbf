"""Peak rates of a machine: multiply-accumulates in registers, lookups, bytes read from its caches and its memory.

The roofs that engines are seen under. Each is a loop that does nothing else, whose result is stored, so that it must be
computed, and follows a formula, so that it can be checked:

- products: chains of sums in registers, more of them than an instruction takes cycles. AVX-512 and AVX-VNNI multiply
  and add four bytes a lane in one instruction (`vpdpbusd`); AVX2 and SSSE3 four bytes a lane in two (`vpmaddubsw`,
  `vpaddw`, in 16 bits, which nothing widens here); plain vectors two 16-bit numbers a lane in two (`vpmaddwd`,
  `vpaddd`). With two one of the factors is read from the first-level cache, another in the next step: a compiler would
  take a product that is always the same out of the loop.
- lookups: chains of sums of bytes, to which is added what a shuffle (`vpshufb`) finds in a table of 16 bytes for each
  byte of an index: what products of few values take. The table is read from the first-level cache, another in the next
  step.
- reading: the sum of a buffer's 64-bit numbers, over and over.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="call-arg"
# Numba infers its own types: annotations would be a second, unchecked statement of them; and it gives an intrinsic its
# first argument, the typing context.

import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from fxsim.jit import cgutils, compile_function, intrinsic, typeof, types

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


class Products(NamedTuple):
    """A kind of products: 32-bit lanes of a vector, chains of sums, multiply-accumulates a lane and step.

    `bits` of a sum, two of 16 in a lane. `turns`: steps after which the second factors are the same again, a power of
    two; 1: one factor for all chains.
    """

    name: str
    lanes: int
    chains: int
    each: int
    turns: int
    bits: int = 32

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a step."""
        return self.lanes * self.chains * self.each

    @property
    def token(self) -> npt.NDArray[Any]:
        """The empty array whose type says which this is: by its number of dimensions, as `Isa.token` of the engine."""
        return np.empty((0,) * (1 + list(PRODUCTS).index(self.name)), np.uint8)


# Of 32 registers 16 hold sums; of 16, 12: a factor and a product need some too.
PRODUCTS = {
    kind.name: kind
    for kind in (
        Products("avx512", 16, 16, 4, 1),
        Products("avxvnni", 8, 12, 4, 1),
        Products("avx2", 8, 12, 4, 8, bits=16),
        Products("ssse3", 4, 12, 4, 8, bits=16),
        Products("plain", 4, 12, 2, 8),
    )
}
"""Kinds of products by the instruction set's name, as engines name it."""


class Lookups(NamedTuple):
    """A kind of lookups: bytes of a vector, chains of sums. Tables are the same again after TABLES steps."""

    name: str
    size: int
    chains: int

    @property
    def token(self) -> npt.NDArray[Any]:
        """The empty array whose type says which this is: by its number of dimensions."""
        return np.empty((0,) * (1 + list(LOOKUPS).index(self.name)), np.uint8)


LOOKUPS = {
    kind.name: kind
    for kind in (
        Lookups("avx512", 64, 16),
        Lookups("avxvnni", 32, 12),
        Lookups("avx2", 32, 12),
        Lookups("ssse3", 16, 12),
    )
}
"""Kinds of lookups by the instruction set's name; the others have none."""

TABLES, _ENTRIES = 8, 16


def _call(builder, name, result, *arguments):
    kind = ir.FunctionType(result, [a.type for a in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _multiply_add(builder, kind, total, a, b):
    """One lane of `total` plus its products, modulo 2^32, or in each half modulo 2^16."""
    if kind.bits == 16:
        halves, whole = ir.VectorType(I16, 2 * kind.lanes), ir.VectorType(I8, 4 * kind.lanes)
        x, y = builder.bitcast(a, whole), builder.bitcast(b, whole)
        name = "llvm.x86.avx2.pmadd.ub.sw" if kind.lanes == 8 else "llvm.x86.ssse3.pmadd.ub.sw.128"
        product = _call(builder, name, halves, x, y)
        return builder.bitcast(builder.add(builder.bitcast(total, halves), product), total.type)
    if kind.each == 4:
        return _call(builder, f"llvm.x86.avx512.vpdpbusd.{32 * kind.lanes}", total.type, total, a, b)
    pairs = ir.VectorType(I16, 2 * kind.lanes)
    x, y = builder.bitcast(a, pairs), builder.bitcast(b, pairs)
    # `pmaddwd` in plain vector operations, which LLVM turns into it where there is such an instruction.
    wide = ir.VectorType(I32, 2 * kind.lanes)
    product = builder.mul(builder.sext(x, wide), builder.sext(y, wide), flags=["nsw"])
    halves = [
        builder.shuffle_vector(
            product,
            ir.Constant(wide, ir.Undefined),
            ir.Constant(ir.VectorType(I32, kind.lanes), list(range(start, 2 * kind.lanes, 2))),
        )
        for start in (0, 1)
    ]
    return builder.add(total, builder.add(*halves))


@intrinsic
def _chains(_typing, isa, sums, a, b, steps):
    """sums[c] = sums[c] plus the products of a and b[step % turns, c], for each step and each chain c.

    `sums` [chains, lanes], `a` [lanes], `b` [turns, chains, lanes]; with one turn b[0, 0] is taken for all chains.
    """
    kind = list(PRODUCTS.values())[isa.ndim - 1]
    vector = ir.VectorType(I32, kind.lanes)

    def generate(context, builder, signature, arguments):
        s_data, a_data, b_data = (
            context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in (1, 2, 3)
        )

        def place(data, vectors):
            return builder.bitcast(builder.gep(data, [builder.mul(vectors, I64(kind.lanes))]), vector.as_pointer())

        a = builder.load(place(a_data, I64(0)), align=4)
        chains = [cgutils.alloca_once(builder, vector) for _ in range(kind.chains)]
        for c, chain in enumerate(chains):
            builder.store(builder.load(place(s_data, I64(c)), align=4), chain)
        with cgutils.for_range(builder, arguments[4]) as loop:
            turn = builder.mul(builder.and_(loop.index, I64(kind.turns - 1)), I64(kind.chains))
            for c, chain in enumerate(chains):
                b = builder.load(place(b_data, builder.add(turn, I64(c)) if kind.turns > 1 else I64(0)), align=4)
                builder.store(_multiply_add(builder, kind, builder.load(chain), a, b), chain)
        for c, chain in enumerate(chains):
            builder.store(builder.load(chain), place(s_data, I64(c)), align=4)
        return context.get_dummy_value()

    return types.void(isa, sums, a, b, steps), generate


@intrinsic
def _find(_typing, isa, sums, index, tables, steps):
    """sums[c, i] += tables[step % TABLES, index[c, i]], modulo 256, for each step, each chain c and each byte i.

    `sums`, `index` [chains, size], every index below 16; `tables` [TABLES, 16]; all bytes.
    """
    kind = list(LOOKUPS.values())[isa.ndim - 1]
    vector, table = ir.VectorType(I8, kind.size), ir.VectorType(I8, _ENTRIES)
    names = {16: "ssse3.pshuf.b.128", 32: "avx2.pshuf.b", 64: "avx512.pshuf.b.512"}
    name = f"llvm.x86.{names[kind.size]}"

    def generate(context, builder, signature, arguments):
        s_data, i_data, t_data = (
            context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in (1, 2, 3)
        )

        def place(data, at, of):
            return builder.bitcast(builder.gep(data, [at]), of.as_pointer())

        chains = [cgutils.alloca_once(builder, vector) for _ in range(kind.chains)]
        places = [I64(kind.size * c) for c in range(kind.chains)]
        for at, chain in zip(places, chains, strict=True):
            builder.store(builder.load(place(s_data, at, vector), align=1), chain)
        undefined = ir.Constant(table, ir.Undefined)
        every = ir.Constant(ir.VectorType(I32, kind.size), [*range(_ENTRIES)] * (kind.size // _ENTRIES))
        with cgutils.for_range(builder, arguments[4]) as loop:
            turn = builder.mul(builder.and_(loop.index, I64(TABLES - 1)), I64(_ENTRIES))
            entries = builder.shuffle_vector(builder.load(place(t_data, turn, table), align=1), undefined, every)
            for at, chain in zip(places, chains, strict=True):
                index = builder.load(place(i_data, at, vector), align=1)
                found = _call(builder, name, vector, entries, index)
                builder.store(builder.add(builder.load(chain), found), chain)
        for at, chain in zip(places, chains, strict=True):
            builder.store(builder.load(chain), place(s_data, at, vector), align=1)
        return context.get_dummy_value()

    return types.void(isa, sums, index, tables, steps), generate


def _look_up(isa, sums, index, tables, steps):
    _find(isa, sums, index, tables, steps)


def _multiply(isa, sums, a, b, steps):
    _chains(isa, sums, a, b, steps)


def _read(buffer, repeats, result):
    """result[0] = the sum over r < repeats and all i of buffer[i] ^ r, modulo 2^64."""
    total = np.int64(0)
    for r in range(repeats):
        for i in range(len(buffer)):
            # With r in it no pass is the same as the one before, which would need to be made once only.
            total += buffer[i] ^ r
    result[0] = total


_int32, _int64 = types.Array(types.int32, 1, "C"), types.Array(types.int64, 1, "C")
_uint8 = types.Array(types.uint8, 1, "C")


@functools.cache
def _look_up_function(name: str) -> Callable[..., None]:
    token = typeof(LOOKUPS[name].token)
    return compile_function(_look_up, types.void(token, _uint8, _uint8, _uint8, types.int64))


@functools.cache
def _multiply_function(name: str) -> Callable[..., None]:
    token = typeof(PRODUCTS[name].token)
    return compile_function(_multiply, types.void(token, _int32, _int32, _int32, types.int64))


@functools.cache
def _read_function() -> Callable[..., None]:
    return compile_function(_read, types.void(_int64, types.int64, _int64))


def multiply(name: str, sums: npt.NDArray[np.int32], a: Any, b: Any, steps: int) -> None:
    """Run `steps` steps of an instruction set's products: `sums`, `a`, `b` int32, flat, as `_chains` says."""
    _multiply_function(name)(PRODUCTS[name].token, sums, a, b, steps)


def look_up(name: str, sums: npt.NDArray[np.uint8], index: Any, tables: Any, steps: int) -> None:
    """Run `steps` steps of an instruction set's lookups: `sums`, `index`, `tables` uint8, flat, as `_find` says."""
    _look_up_function(name)(LOOKUPS[name].token, sums, index, tables, steps)


def read(buffer: npt.NDArray[np.int64], repeats: int) -> int:
    """The sum over r < repeats and all numbers v of the buffer of v ^ r, modulo 2^64."""
    result = np.zeros(1, np.int64)
    _read_function()(buffer, repeats, result)
    return int(result[0])


def measure_products(name: str, threads: int, seconds: float) -> float:
    """Multiply-accumulates a second of an instruction set on so many threads, measured for about so long."""
    kind = PRODUCTS[name]
    size = kind.lanes * kind.chains
    a, b = (np.full(count, 0x01020304, np.int32) for count in (kind.lanes, size * kind.turns))
    work = [(_aligned(np.zeros(size, np.int32)), _aligned(a), _aligned(b)) for _ in range(threads)]

    def compute(steps: int) -> float:
        return _together([functools.partial(multiply, name, *each, steps) for each in work])

    return _rate(compute, kind.macs * threads, seconds)


def measure_lookups(name: str, threads: int, seconds: float) -> float:
    """Lookups a second of an instruction set on so many threads, measured for about so long."""
    kind = LOOKUPS[name]
    size = kind.size * kind.chains
    index = (np.arange(size) % _ENTRIES).astype(np.uint8)
    tables = (np.arange(TABLES * _ENTRIES) % 5).astype(np.uint8)
    work = [(_aligned(np.zeros(size, np.uint8)), _aligned(index), _aligned(tables)) for _ in range(threads)]

    def compute(steps: int) -> float:
        return _together([functools.partial(look_up, name, *each, steps) for each in work])

    return _rate(compute, size * threads, seconds)


def measure_reading(size: int, threads: int, seconds: float) -> float:
    """Bytes a second that so many threads read together, each from `size` bytes of its own, for about so long."""
    buffers = [np.ones(size // 8, np.int64) for _ in range(threads)]

    def compute(repeats: int) -> float:
        return _together([functools.partial(read, buffer, repeats) for buffer in buffers])

    return _rate(compute, buffers[0].nbytes * threads, seconds)


def _aligned(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A copy that starts at a multiple of 64 bytes: no vector lies in two lines of a cache."""
    room = np.zeros(array.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    copy = room[start : start + array.nbytes].view(array.dtype)
    copy[:] = array
    return copy


def _together(work: list[Callable[[], Any]]) -> float:
    """Seconds that all parts take, each on a thread of its own; see `clock_of`."""
    clock = clock_of(len(work))
    started = clock()
    if len(work) == 1:
        work[0]()
    else:
        with ThreadPoolExecutor(len(work)) as pool:
            for done in [pool.submit(each) for each in work]:
                done.result()
    return clock() - started


def clock_of(threads: int) -> Callable[[], float]:
    """The clock that measures what computes on so many threads, in seconds.

    On one it is the processor's time for this process, as engines may have that one beside the calling one: what else
    runs on the machine counts for nothing, and a second thread that nobody allowed counts double. On several it is the
    clock on the wall, since how well they share the work is a part of what is measured.
    """
    return time.process_time if threads == 1 else time.perf_counter


def _rate(compute: Callable[[int], float], each: int, seconds: float) -> float:
    """Rate a second of `each` a step: steps double until they take a tenth of `seconds`, then so long is measured."""
    steps = 1
    compute(steps)  # Once for nothing: the first compiles, or loads what was compiled.
    while (taken := compute(steps)) < seconds / 10:
        steps *= 2
    steps = max(steps, int(steps * seconds / taken))
    return each * steps / compute(steps)


def cache_sizes() -> dict[int, int]:
    """Bytes of the first CPU's data caches by level; empty where the system does not say."""
    sizes: dict[int, int] = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        if kind != "Instruction" and size.endswith("K") and size[:-1].isdigit():
            sizes[int(level)] = int(size[:-1]) << 10
    return sizes


_L2_DEFAULT, _LAST_DEFAULT = 256 << 10, 32 << 20
_MEMORY_MOST = 512 << 20


def reading_sizes(threads: int) -> dict[str, int]:
    """Bytes that each thread reads to stay in the second-level cache (`l2`), and to come from memory (`memory`)."""
    caches = cache_sizes()
    l2, last = caches.get(2, _L2_DEFAULT), max(caches.values(), default=_LAST_DEFAULT)
    # Four times the last cache in all: hardly any of it is still there when it is read again.
    return {"l2": l2 // 2, "memory": min(4 * max(last, _LAST_DEFAULT), _MEMORY_MOST) // threads}
