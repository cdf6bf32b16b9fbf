"""A design on symbols: the compiled evaluator's state, cycle by cycle. See `kernel.py` for what bits and terms are."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.errors import FxsimError
from fxsim.jit import compile_function
from fxsim.prove.compiled import cones, kernel
from fxsim.prove.program import Places, Program

Codes = npt.NDArray[np.int64]
"""Bits, the lowest first: constants, bits of terms, or unknown ones."""

TERMS_MAX = 1 << 25
ADDRESS_TERMS_MAX, ADDRESS_BITS_MAX = 256, 8
"""Most terms of an address that is looked up in a memory that is written, and bits of the one variable in it."""
_TERMS_FIRST = 1 << 21


@cache
def compiled_lookup() -> tuple[Callable[..., None], Callable[..., None]]:
    """The compiled functions that look up words at an address that is a term: read_small, evaluate."""
    return compile_function(cones.read_small, cones.READ_SMALL), compile_function(cones.evaluate, cones.EVALUATE)


@cache
def compiled() -> tuple[Callable[..., None], ...]:
    """The compiled functions: propagate, tick, set_bits, collect."""
    return (
        compile_function(kernel.propagate, kernel.PROPAGATE, "the evaluator of proofs"),
        compile_function(kernel.tick, kernel.TICK),
        compile_function(kernel.set_bits, kernel.SET_BITS),
        compile_function(kernel.collect, kernel.COLLECT),
    )


class Machine:
    """A program in some cycle. `functions` are those of `compiled`, or others in their place.

    `terms` is what every term is: kinds, widths, operands, hash table and counters. Numbers of terms hold until the
    next `propagate`, which may drop those that no bit is made of.
    """

    def __init__(
        self, program: Program, functions: tuple[Callable[..., None], ...] | None = None, room: int = _TERMS_FIRST
    ) -> None:
        self.program = program
        self._propagate, self._tick, self._set, self._collect = functions or compiled()
        self.bits = program.bits.copy()
        self.memory = program.memory.copy()
        self.memories = program.memories.copy()
        """As those of the program; behind them each table that was looked up: the words of all values of a variable."""
        self._tables: dict[bytes, int] = {}
        self._filled = len(self.memory)
        self._lookup = compiled_lookup()
        cells = len(program.code)
        self._dirty = np.ones(cells, np.uint8)
        self._blocks = np.ones((cells + 63) // 64, np.uint8)
        self._latches = np.ones(len(program.states), np.uint8)
        self._following = np.zeros(len(program.states) + int(program.states[:, 1].sum()), np.int64)
        widest = int(max(program.code[:, [2, 6]].max(initial=1), 64))
        self._result = np.zeros(widest, np.int64)
        self._scratch = np.zeros((2, widest), np.int64)
        self._small = np.zeros((ADDRESS_TERMS_MAX, cones.COLUMNS + 1), np.int64)
        self._met, self._found = np.zeros(2, np.int64), np.zeros(8, np.int64)
        self._values = np.zeros((ADDRESS_TERMS_MAX, 256), np.uint64)
        self.terms: tuple[Any, ...] = ()
        self.collections = 0
        self._allocate(room)

    def _allocate(self, room: int) -> None:
        old = self.terms
        count = np.zeros(kernel.COUNTERS, np.int64)
        count[kernel.ROOM], count[kernel.HASH_MASK] = room, 2 * room - 1
        kinds, widths, args = np.zeros(room, np.uint8), np.zeros(room, np.uint8), np.zeros((room, 3), np.int64)
        if old:
            kinds[: len(old[0])], widths[: len(old[1])], args[: len(old[2])] = old[:3]
            count[kernel.TERMS] = old[4][kernel.TERMS]
        self.terms = kinds, widths, args, np.full(2 * room, -1, np.int32), count
        if old:
            self.collect()

    def collect(self) -> None:
        """Drop the terms that no bit is made of."""
        marked = np.zeros(int(self.terms[4][kernel.TERMS]), np.int32)
        self._collect(self.bits, self.memory, marked, *self.terms)
        self.terms[4][kernel.FULL] = 0
        self.collections += 1

    def propagate(self) -> None:
        """Evaluate all that changed. FxsimError where there are more terms than memory is given to."""
        p, count = self.program, self.terms[4]
        while True:
            self._propagate(
                *(p.code, p.operands, p.consumers_at, p.consumers, p.writes, self.memories, self.bits, self.memory),
                *(self._dirty, self._blocks, self._latches, self._result, self._scratch, *self.terms),
            )
            assert count[kernel.FULL] != 2, "more terms than a cell can make"
            if count[kernel.FULL] == 0:
                return
            if count[kernel.FULL] == kernel.LOOKED_UP:
                count[kernel.FULL] = 0
                self._look_up(int(count[kernel.CELL]))
                continue
            if count[kernel.FULL] == kernel.CHOSEN:
                count[kernel.FULL] = 0
                count[kernel.ASKED] = count[kernel.CELL] + 1
                self._decide(int(count[kernel.CELL]))
                continue
            room = int(count[kernel.ROOM])
            self.collect()
            if 2 * int(count[kernel.TERMS]) > room:
                if 2 * room > TERMS_MAX:
                    raise FxsimError(f"the design is made of more than {TERMS_MAX:,} terms at a time: none is proved")
                self._allocate(2 * room)
                count = self.terms[4]

    def _look_up(self, cell: int) -> None:
        """Put the result of a read at an address that is a term: a function of the one variable that the address is of.

        That is a table of the words that the memory holds now, at the address of each value of the variable. Unknown
        where there are more variables, or words that depend on data. The evaluator has left room for the terms.
        """
        _, first, width, at, _, memory, bits, _, _, _ = self.program.code[cell].tolist()
        start, _, _, _, unknown, _ = self.memories[memory].tolist()
        codes = np.full(width, unknown, np.int64)
        found = self._addresses(self.bits[self.program.operands[at : at + bits]])
        if found is not None:
            variable, addresses = found
            words = self.memory[start + addresses[:, None] * width + np.arange(width)]
            if words.max() < 2:
                table = self._table(np.maximum(words, -1), width)
                term = int(kernel.make_term(kernel.T_READ, width, variable, table, 0, *self.terms))
                codes = (term + 1) * 64 + np.arange(width, dtype=np.int64)
        self.put(np.arange(first, first + width, dtype=np.int32), codes)

    def _decide(self, cell: int) -> None:
        """Put a constant in place of a choice's condition, a term, where it is the same for all values of its variable.

        So is a read that is one beyond the last word where some value makes it so, and else the word.
        """
        place = self.program.operands[self.program.code[cell, 3]][None]
        found = self._addresses(self.bits[place])
        if found is not None and (found[1] == found[1][0]).all():
            self.put(place, found[1][:1])

    def _addresses(self, codes: Codes) -> tuple[int, npt.NDArray[np.int64]] | None:
        """The one variable that an address is of, a term, and the address for each of its values; None: of others."""
        self._lookup[0](np.ascontiguousarray(codes), *self.terms, self._small, self._met, self._found)
        if self._found[cones.ROWS] < 0 or self._found[cones.VARIABLES] != 1:
            return None
        rows = self._small[: self._found[cones.ROWS]]
        (variable,) = np.flatnonzero(rows[:, 0] == kernel.T_VAR)
        bits = int(rows[variable, 1])
        if bits > ADDRESS_BITS_MAX:
            return None
        values, good = np.zeros(1 << bits, np.uint64), np.zeros(1 << bits, np.uint8)
        each = np.arange(1 << bits, dtype=np.int64)[None]
        self._lookup[1](rows, each, self.memory, self.memories, self._values, values, good)
        return (int(rows[variable, cones.TERM]), values.astype(np.int64)) if good.all() else None

    def _table(self, words: npt.NDArray[np.int64], width: int) -> int:
        """The number of a memory that holds these words and is never written."""
        key = width.to_bytes(2, "little") + words.astype(np.int8).tobytes()
        if key not in self._tables:
            if self._filled + words.size > len(self.memory):
                more = max(words.size, len(self.memory) // 4)
                self.memory = np.concatenate([self.memory, np.zeros(more, np.int64)])
            self.memory[self._filled : self._filled + words.size] = words.reshape(-1)
            row = [self._filled, width, len(words), 1, -1, (len(words) - 1).bit_length()]
            self.memories = np.concatenate([self.memories, np.array([row], np.int64)])
            self._tables[key] = len(self.memories) - 1
            self._filled += words.size
        return self._tables[key]

    def number_of(self, codes: Codes) -> int | None:
        """The number of the variable whose bits these are, all of them; None where they are none's."""
        term = (int(codes[0]) >> 6) - 1
        kinds, widths, args = self.terms[:3]
        if term < 0 or kinds[term] != kernel.T_VAR or widths[term] != len(codes):
            return None
        return int(args[term, 0]) if np.array_equal(codes, (term + 1) * 64 + np.arange(len(codes))) else None

    def tick(self) -> None:
        """Go on to the next cycle."""
        p = self.program
        self._tick(
            *(len(p.code), p.states, p.operands, p.consumers_at, p.consumers, p.readers_at, p.readers),
            *(p.writes[: p.writes_done], self.memories, self.bits, self.memory),
            *(self._dirty, self._blocks, self._latches, self._following),
        )

    def put(self, places: Places, codes: Codes) -> None:
        """Put bits at places, of inputs or in place of what was computed there; of no constants."""
        p = self.program
        self._set(
            *(len(p.code), np.ascontiguousarray(places, np.int32), np.ascontiguousarray(codes, np.int64), p.owners),
            *(p.consumers_at, p.consumers, self.bits, self._dirty, self._blocks, self._latches),
        )

    def variable(self, number: int, width: int) -> Codes:
        """The bits of a variable."""
        term = self.make(kernel.T_VAR, width, number)
        return (term + 1) * 64 + np.arange(width, dtype=np.int64)

    def make(self, kind: int, width: int, a: int = 0, b: int = 0, c: int = 0) -> int:
        """The number of a term."""
        self.make_room()
        return int(kernel.make_term(kind, width, a, b, c, *self.terms))

    def make_room(self) -> None:
        """Have room for the terms of one value."""
        if self.terms[4][kernel.TERMS] + kernel.CELL_TERMS > self.terms[4][kernel.ROOM]:
            self.collect()

    def reason(self, code: int) -> str:
        """The reason why a bit is unknown."""
        return self.program.reasons[-1 - code]


def constant(value: int, width: int) -> Codes:
    """The bits of a number, unsigned or in two's complement."""
    return np.array([value >> i & 1 for i in range(width)], np.int64)
