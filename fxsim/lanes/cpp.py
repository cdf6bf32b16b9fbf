"""The C++ program of a netlist's words: the class that a harness drives, as Verilator's, with data in lanes.

What is of control is computed once a cycle; what is of data in loops over lanes, which the compiler makes vector
instructions of. A register takes its next value in place, after all that reads the one that it has; where registers
read each other, one's is copied first. Nothing is computed for a register that holds its value, nor a word that only
such registers read.

What agrees is computed in every lane, and compared, before it is taken; where lanes differ the program ends.
"""

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, groupby

from fxsim.errors import FileError
from fxsim.lanes.sums import products_of
from fxsim.lanes.words import WORD, Column, Piece, Value, Word, Words, Write, constant_of, merged, part_of, width_of

ROLLED_MIN = 4
"""Fewest statements alike that become a loop."""
LOOPS_MAX = 2000
"""Most statements of one function, so that no function takes the compiler minutes."""
DOT_MIN = 4
"""Fewest products of a sum that are added four at a time."""
_INLINE_MAX = 40
"""Most operations of one expression of control."""
_DEPTH_MAX = 16
_NEEDS_MAX = 4
"""Most conditions under any of which a word is computed; where there are more it is computed in every cycle."""
DISAGREE = "'%s' is to be the same in all lanes, but in cycle %llu takes another value in lane %d than in lane 0"
"""The message of a run that ends as lanes do not agree, as `printf` takes it: a name, a cycle and a lane."""
_ARITHMETIC = frozenset(("add", "sub", "mul", "neg", "sll", "srl", "sra", "sext", "redxor"))
_RAW = frozenset(("add", "sub", "mul", "neg", "not", "and", "or", "xor", "xnor", "nand", "nor", "ite", "sext"))
"""Operations of which the lowest bits depend on the operands' lowest bits alone; others need them whole."""
_SIGNED = {"slt": "<", "slte": "<=", "sgt": ">", "sgte": ">="}
_UNSIGNED = {"eq": "==", "neq": "!=", "ult": "<", "ulte": "<=", "ugt": ">", "ugte": ">="}

CONTEXT = """\
// What stands in Verilator's place where a design is simulated in lanes.
#ifndef FXSIM_LANES_VERILATED_H
#define FXSIM_LANES_VERILATED_H

#include <cstdint>
#include <cstring>

#define VM_COVERAGE 0
#define VM_TRACE 0

class VerilatedContext {
  public:
    void randReset(int) {}
    void randSeed(int seed) { seed_ = uint64_t(seed); }
    uint64_t seed() const { return seed_; }
    bool gotFinish() const { return false; }

  private:
    uint64_t seed_ = 0;
};

#endif
"""
_HEAD = """\
#ifndef FXSIM_LANES_VDUT_H
#define FXSIM_LANES_VDUT_H

#include "verilated.h"

class Vdut;

namespace lanes {

constexpr int L = %d;
using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;

// A port of data that comes in, of BYTES bytes, each in every lane.
template <size_t BYTES>
struct In {
    alignas(64) u8 byte[BYTES][L];
};
inline void put_byte(In<1>& port, const u8* lanes) { std::memcpy(port.byte[0], lanes, L); }

// A port of data that goes out, of BYTES bytes, each computed when it is asked for.
template <size_t BYTES>
struct Out {
    Vdut* dut;
    const u8* (Vdut::*byte)(size_t at);
};
template <size_t BYTES>
constexpr size_t port_bytes(const Out<BYTES>*) {
    return BYTES;
}
template <size_t BYTES>
const u8* byte_of(Out<BYTES>& port, size_t at) {
    return (port.dut->*port.byte)(at);
}

}  // namespace lanes

"""


def write_program(words: Words, lanes: int, data: Iterable[str]) -> dict[str, str]:
    """The program's files by name: the class `Vdut` with the design's ports, and what it is made of.

    `data`: the ports, in and out, that have a value in each lane; of these that go out the class has a function of the
    port's name, which gives the lanes of one of its bytes. FileError where another port that comes in is wider than a
    word.
    """
    return _Writer(words, lanes, frozenset(data)).write()


@dataclass
class _Block:
    """Statements under a condition (`inside`, else `otherwise`), or where that is empty plain ones (`lines`)."""

    condition: str = ""
    inside: "list[_Block]" = field(default_factory=list)
    otherwise: "list[_Block]" = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    @property
    def loops(self) -> int:
        return len(self.lines) + sum(block.loops for block in (*self.inside, *self.otherwise))


Condition = frozenset[tuple[Value, bool]]
"""Choices of control, each with the side that is taken: all of them are to hold."""
Needs = frozenset[Condition]
"""Conditions of which one is to hold."""


@dataclass
class _Update:
    """The update of a register (`word`) or of a memory's column, and the words and columns that it reads."""

    word: int
    column: int
    reads: frozenset[tuple[str, int]]
    guard: str

    @property
    def target(self) -> tuple[str, int]:
        return ("m", self.column) if self.word < 0 else ("w", self.word)


class _Writer:
    def __init__(self, words: Words, lanes: int, data: frozenset[str]) -> None:
        self._all = words
        self._words = words.words
        self._lanes = lanes
        self._data = data
        self._saved: set[tuple[str, int]] = set()
        """Registers and columns that have taken their next value already: what they had is in a copy."""
        self._copies: set[tuple[str, int]] = set()
        self._hoisted: dict[str, str] = {}
        self._inputs: dict[int, tuple[str, int]] = {}
        """The port of an input, and its first bit there."""
        for name, value in words.inputs.items():
            if name not in data and width_of(value) > WORD:
                raise FileError(
                    f"the input '{name}' has {width_of(value)} bits, expected at most {WORD} of one that is the same "
                    "in all lanes"
                )
            ends = accumulate((piece.width for piece in value), initial=0)
            self._inputs |= {piece.word: (name, low) for piece, low in zip(value, ends, strict=False)}
        self._uses = [0] * len(self._words)
        self._needed = self._reach()
        self._agreeing = {
            ("w", index)
            for index in self._needed
            if not words.words[index].lanes and index in words.following and words.depends(words.following[index])
        }
        self._agreeing |= {
            ("m", number)
            for number in self._columns
            if not words.columns[number].lanes and any(words.depends(w.data) for w in words.columns[number].writes)
        }
        """Registers and columns of control that data lead to."""
        self._alike = self._before_agreeing()
        self._member = [self._is_member(i, word) for i, word in enumerate(self._words)]
        self._needs = self._needed_when()

    # --- What is kept and what stands in place ---

    def _reach(self) -> list[int]:
        """The words that outputs and what is stored depend on, in order; each use is counted."""
        pending: list[Value] = [*self._all.outputs.values()]
        found: set[int] = set()
        columns: set[int] = set()
        while pending:
            for piece in pending.pop():
                if piece.word < 0:
                    continue
                self._uses[piece.word] += 1
                if piece.word in found:
                    continue
                found.add(piece.word)
                word = self._words[piece.word]
                pending += word.args
                if word.kind == "register" and piece.word in self._all.following:
                    pending.append(self._all.following[piece.word])
                if word.kind == "read" and word.low not in columns:
                    columns.add(word.low)
                    for write in self._all.columns[word.low].writes:
                        pending += [write.address, write.data, *(value for value, _ in write.conditions)]
        self._columns = sorted(columns)
        return sorted(found)

    def _before_agreeing(self) -> set[tuple[str, int]]:
        """The registers and columns of data that lead to what agrees: they begin with the same in all lanes."""
        found: set[tuple[str, int]] = set()
        pending: list[Value] = []

        def follow(target: tuple[str, int]) -> None:
            kind, number = target
            if kind == "m":
                pending.extend(write.data for write in self._all.columns[number].writes)
            elif number in self._all.following:
                pending.append(self._all.following[number])

        for target in self._agreeing:
            follow(target)
        seen: set[int] = set()
        while pending:
            for piece in pending.pop():
                if piece.word < 0 or piece.word in seen or not self._words[piece.word].lanes:
                    continue
                seen.add(piece.word)
                word = self._words[piece.word]
                pending += word.args
                target = ("w", piece.word) if word.kind == "register" else ("m", word.low)
                of_data = word.kind == "register" or (word.kind == "read" and self._all.columns[word.low].lanes)
                if of_data and target not in found:
                    found.add(target)
                    follow(target)
        return found

    def _is_member(self, index: int, word: Word) -> bool:
        """Whether a word has a place of its own; else it is computed where it is used."""
        if word.kind in ("register", "unknown", "input"):
            return True
        if not word.lanes:
            return self._uses[index] > 1 or self._size(index) > _INLINE_MAX
        cheap = word.kind == "sext" or (word.kind == "read" and not self._all.depends(word.args[0]))
        return self._uses[index] > 1 and not cheap

    def _size(self, index: int) -> int:
        """Operations that stand in place of a word."""
        pending, count = [index], 0
        while pending and count <= _INLINE_MAX:
            count += 1
            for value in self._words[pending.pop()].args:
                pending += [p.word for p in value if p.word >= 0 and not self._stands_alone(p.word)]
        return count

    def _stands_alone(self, index: int) -> bool:
        return self._words[index].kind in ("register", "unknown", "input") or self._uses[index] > 1

    def _needed_when(self) -> dict[int, Needs]:
        """The cycles in which each word of data that is computed beforehand is read; of which nothing is said, none."""
        needs: dict[int, Needs] = {}

        def read(value: Value, when: Condition) -> None:
            for index in self._computed_in([value]):
                needs[index] = _either(needs.get(index, frozenset()), when)

        def take(value: Value, own: int, width: int, when: Condition, depth: int = 0) -> None:
            if value == (Piece(own, 0, width),):
                return
            choice = self._choice(value, own, depth)
            if choice is None:
                read(value, when)
            else:
                take(choice.args[1], own, width, when | {(choice.args[0], True)}, depth + 1)
                take(choice.args[2], own, width, when | {(choice.args[0], False)}, depth + 1)

        for index in self._needed:
            if self._words[index].kind == "register" and index in self._all.following:
                take(self._all.following[index], index, self._words[index].width, frozenset())
        for number in self._columns:
            for write in self._all.columns[number].writes:
                values = (write.address, *(value for value, _ in write.conditions))
                by_data = any(map(self._all.depends, values))
                when = frozenset((value, not no) for value, no in write.conditions if not by_data)
                for value in (write.data, *values):
                    read(value, when)
        # A word's number is above those of all that it reads.
        for index in reversed(self._needed):
            if self._is_computed(index):
                self._member[index] = False
                for when in needs.get(index, frozenset()):
                    take((Piece(index, 0, self._words[index].width),), -2, self._words[index].width, when)
                self._member[index] = True
        return needs

    def _computed_in(self, values: Iterable[Value]) -> set[int]:
        """The words computed beforehand that an expression in lanes reads."""
        found: set[int] = set()
        pending = list(values)
        while pending:
            for piece in pending.pop():
                if piece.word < 0 or not self._words[piece.word].lanes:
                    continue
                if self._is_computed(piece.word):
                    found.add(piece.word)
                elif not self._member[piece.word]:
                    pending += self._words[piece.word].args
        return found

    def _is_computed(self, index: int) -> bool:
        """Whether a word of data is computed before registers take their next values."""
        word = self._words[index]
        return word.lanes and self._member[index] and word.kind not in ("register", "unknown", "input")

    # --- Types and names ---

    @staticmethod
    def _bits(width: int) -> int:
        return next(bits for bits in (8, 16, 32, 64) if width <= bits)

    def _type(self, width: int) -> str:
        return f"u{self._bits(width)}"

    def _place(self, index: int) -> str:
        """The member that a word stands in, or the copy of what it was."""
        if self._words[index].kind == "input":
            name, low = self._inputs[index]
            return f"this->{name}.byte[{low // 8}]" if self._words[index].lanes else f"this->{name}"
        return f"o{index}_" if ("w", index) in self._saved else f"w{index}_"

    def _array(self, column: int) -> str:
        if self._all.columns[column].content is not None:
            return f"k{column}_"
        return f"n{column}_" if ("m", column) in self._saved else f"m{column}_"

    # --- Expressions ---

    def _scalar(self, value: Value, *, clean: bool = True) -> str:
        """An expression of control."""
        return self._expression(value, 64, clean=clean, lane=False)

    def _expression(self, value: Value, bits: int, *, clean: bool = True, lane: bool) -> str:
        """The expression of a value in `bits` bits; not `clean`: bits above its own may hold anything.

        `lane`: within a loop over lanes, of which `l` is one; what is of control is then computed before the loop.
        """
        if all(piece.word < 0 for piece in value):
            return self._number(constant_of(value), bits)
        if lane and not self._all.depends(value):
            return self._hoist(value, bits)
        if len(value) == 1:
            return self._piece(value[0], bits, clean=clean, lane=lane)
        if (low := _extended(value)) < len(value):
            text = self._expression(value[:low], bits, lane=lane)
            text = f"u{bits}({self._signed(text, width_of(value[:low]), bits)})"
            return self._cut(text, width_of(value), bits) if clean else text
        parts, at = [], 0
        for piece, run in ((piece, len(list(run))) for piece, run in groupby(value)):
            last = at + run * piece.width == width_of(value)
            if run > 1 and piece.width == 1 and piece.word >= 0:
                text = f"(u{bits}(0 - {self._expression((piece,), bits, lane=lane)}) & {self._mask(run, bits)})"
                parts.append(f"({text} << {at})" if at else text)
            else:
                for n in range(run if piece.word >= 0 or piece.value else 0):
                    text = self._expression((piece,), bits, clean=clean or not last or n + 1 < run, lane=lane)
                    low = at + n * piece.width
                    parts.append(f"({text} << {low})" if low else text)
            at += run * piece.width
        return f"({' | '.join(parts)})" if len(parts) > 1 else parts[0]

    def _piece(self, piece: Piece, bits: int, *, clean: bool, lane: bool) -> str:
        word = self._words[piece.word]
        whole = piece.width == word.width
        text = self._word(piece.word, bits, clean=(clean and whole) or piece.low > 0, lane=lane)
        if whole:
            return text
        if piece.low:
            text = f"({text} >> {piece.low})"
        return text if piece.low + piece.width == word.width else f"({text} & {self._mask(piece.width, bits)})"

    def _word(self, index: int, bits: int, *, clean: bool, lane: bool) -> str:
        word = self._words[index]
        cast = f"u{bits}"
        if self._member[index]:
            place = self._place(index)
            text = f"{cast}({place}[l])" if word.lanes else f"{cast}({place})"
            # An input's byte may be cut into several words.
            below = self._inputs[index][1] % 8 if word.kind == "input" and word.lanes else 0
            text = f"({text} >> {below})" if below else text
            if word.kind == "input" and word.lanes and word.width < 8:
                return self._cut(text, word.width, bits)
            return self._cut(text, word.width, bits) if clean and self._is_raw(word) else text
        return self._operation(word, bits, clean=clean, lane=lane)

    def _is_raw(self, word: Word) -> bool:
        """Whether the bits above a word's own may hold anything where it stands: a register's of data.

        So a sum that is taken up in every cycle is cut to its width only where it is used.
        """
        return word.kind == "register" and word.lanes and self._bits(word.width) != word.width

    def _operation(self, word: Word, bits: int, *, clean: bool, lane: bool) -> str:
        kind, width, cast = word.kind, word.width, f"u{bits}"
        if kind == "read":
            return self._read(word, bits, lane=lane)
        raw = kind in _RAW

        def of(i: int) -> str:
            return self._expression(word.args[i], bits, clean=not raw or kind == "sext", lane=lane)

        if kind == "ite":
            condition = self._expression(word.args[0], bits, lane=lane)
            both = (self._expression(word.args[i], bits, clean=clean, lane=lane) for i in (1, 2))
            return f"({condition} ? {' : '.join(both)})"
        if kind == "sext":
            text = f"{cast}({self._signed(of(0), width_of(word.args[0]), bits)})"
            return self._cut(text, width, bits) if clean else text
        narrow = width_of(word.args[0])
        match kind:
            case "not":
                text = f"{cast}(~{of(0)})"
            case "neg":
                text = f"{cast}(0 - {of(0)})"
            case "and" | "or" | "xor" | "add" | "sub" | "mul":
                sign = {"and": "&", "or": "|", "xor": "^", "add": "+", "sub": "-", "mul": "*"}[kind]
                text = f"{cast}({of(0)} {sign} {of(1)})"
                if kind in ("and", "or", "xor") and clean:
                    both = (self._expression(arg, bits, lane=lane) for arg in word.args)
                    return f"({f' {sign} '.join(both)})"
            case "xnor" | "nand" | "nor":
                sign = {"xnor": "^", "nand": "&", "nor": "|"}[kind]
                text = f"{cast}(~({of(0)} {sign} {of(1)}))"
            case "sll" | "srl":
                sign = "<<" if kind == "sll" else ">>"
                text = f"({of(1)} < {width} ? {cast}({of(0)} {sign} ({of(1)} & {bits - 1})) : {cast}(0))"
                if kind == "srl":
                    return text
            case "sra":
                by = f"({of(1)} < {width} ? {of(1)} : {cast}({width - 1}))"
                text = f"{cast}({self._signed(of(0), width, bits)} >> {by})"
            case "redand":
                return f"{cast}({of(0)} == {self._mask(narrow, bits)})"
            case "redor":
                return f"{cast}({of(0)} != 0)"
            case "redxor":
                return f"{cast}(__builtin_parityll({of(0)}))"
            case _ if kind in _SIGNED:
                a, b = (self._signed(of(i), narrow, bits) for i in (0, 1))
                return f"{cast}({a} {_SIGNED[kind]} {b})"
            case _ if kind in _UNSIGNED:
                return f"{cast}({of(0)} {_UNSIGNED[kind]} {of(1)})"
            case _:
                raise AssertionError(f"no rule for '{kind}'")
        return self._cut(text, width, bits) if clean else text

    def _read(self, word: Word, bits: int, *, lane: bool) -> str:
        column, cast, array = self._all.columns[word.low], f"u{bits}", self._array(word.low)
        address = word.args[0]
        if not self._all.depends(address):
            at = self._hoist(address, 64) if lane else self._scalar(address)
        else:
            # An address has few bits: it is computed in the widest type, for itself.
            at = self._expression(address, 64 if bits < 32 or width_of(address) > bits else bits, lane=True)
        return f"{cast}({array}[{at}]{'[l]' if column.lanes else ''})"

    def _hoist(self, value: Value, bits: int) -> str:
        text = f"u{bits}({self._scalar(value)})"
        if text not in self._hoisted:
            self._hoisted[text] = f"h{len(self._hoisted)}_"
        return self._hoisted[text]

    @staticmethod
    def _signed(text: str, width: int, bits: int) -> str:
        if width in (8, 16, 32, 64) and width <= bits:
            return f"int{bits}_t(int{width}_t({text}))"
        return f"(int{bits}_t(u{bits}({text}) << {bits - width}) >> {bits - width})"

    @staticmethod
    def _number(value: int, bits: int) -> str:
        return f"u{bits}({value}u{'ll' if value >> 32 else ''})"

    def _mask(self, width: int, bits: int) -> str:
        return self._number((1 << width) - 1, bits)

    def _cut(self, text: str, width: int, bits: int) -> str:
        return f"({text} & {self._mask(width, bits)})" if width < bits else text

    def _working_bits(self, value: Value) -> int:
        """Bits in which a value is computed in a loop: of the widest word within, and more for arithmetic."""
        widest, pending = width_of(value), [value]
        while pending:
            for piece in pending.pop():
                if piece.word < 0:
                    continue
                word = self._words[piece.word]
                if not word.lanes:
                    continue
                widest = max(widest, word.width)
                if not self._member[piece.word]:
                    if word.kind in _ARITHMETIC:
                        widest = max(widest, 32)
                    if word.kind != "read":
                        widest = max(widest, *(width_of(arg) for arg in word.args))
                        pending += word.args
        return self._bits(widest)

    # --- Statements ---

    def _tree(self, place: str, value: Value, own: int, width: int, *, lanes: bool, depth: int = 0) -> list[_Block]:
        """The statements by which a place takes a value: none where it holds its own (word `own`)."""
        if value == (Piece(own, 0, width),):
            return []
        if (choice := self._choice(value, own, depth)) is not None:
            condition = self._scalar(choice.args[0])
            inside, otherwise = (
                self._tree(place, arg, own, width, lanes=lanes, depth=depth + 1) for arg in choice.args[1:]
            )
            return [_Block(condition, inside, otherwise)] if inside or otherwise else []
        if not lanes:
            return [self._agreed(place, value)]
        return [self._loop(place, value, clean=own < 0)]

    def _choice(self, value: Value, own: int, depth: int) -> Word | None:
        """The choice by control that a value is, of which only the side that is taken is computed; else None."""
        if depth >= _DEPTH_MAX or len(value) != 1 or value[0].word < 0:
            return None
        index = value[0].word
        word = self._words[index]
        taken = word.kind == "ite" and value[0].width == word.width and not self._all.depends(word.args[0])
        return word if taken and (not self._member[index] or self._is_own(index, own)) else None

    def _is_own(self, index: int, own: int) -> bool:
        """Whether a choice has a register's own value on one side: then it is a condition to take another."""
        return any(arg == (Piece(own, 0, self._words[own].width),) for arg in self._words[index].args[1:])

    def _agreed(self, place: str, value: Value) -> _Block:
        """The statement by which a place of control takes a value: of data, one that is the same in all lanes."""
        if not self._all.depends(value):
            return _Block(lines=[f"{place} = {self._scalar(value)};"])
        self._hoisted = {}
        bits = self._working_bits(value)
        text = self._expression(value, bits, lane=True)
        hoisted = "".join(f"const auto {name} = {what}; " for what, name in self._hoisted.items())
        check = "if (const int other = differing(of)) disagree(&to, other);"
        return _Block(
            lines=[f"{{ {hoisted}auto& to = {place}; u{bits} of[L]; LANES of[l] = {text}; {check} to = of[0]; }}"]
        )

    def _loop(self, place: str, value: Value, *, clean: bool) -> _Block:
        self._hoisted = {}
        if (dot := self._dot(place, value, clean=clean)) is not None:
            return dot
        text = self._expression(value, self._working_bits(value), clean=clean, lane=True)
        hoisted = "".join(f"const auto {name} = {what}; " for what, name in self._hoisted.items())
        return _Block(lines=[f"{{ {hoisted}LANES {place}[l] = {text}; }}"])

    def _dot(self, place: str, value: Value, *, clean: bool) -> _Block | None:
        """The statement by which a place takes a sum of products whose operands stand side by side; else None."""
        width = width_of(value)
        if len(value) != 1 or value[0].word < 0 or self._words[value[0].word].kind != "add":
            return None
        if self._working_bits(value) > 32:
            return None
        products, others = products_of(self._all, value, lambda index: not self._member[index])
        packed: dict[int, dict[int, Value]] = {}
        """The factors of the bytes of each register of four."""
        for product in products:
            piece = product.data[0]
            word = self._words[piece.word]
            byte = product.data == (Piece(piece.word, piece.low, 8),) and piece.low % 8 == 0
            stored = byte and word.kind == "register" and word.width == 32
            if stored and piece.low // 8 not in packed.get(piece.word, {}):
                packed.setdefault(piece.word, {})[piece.low // 8] = product.control
            else:
                others.append(product.term)
        if sum(map(len, packed.values())) < DOT_MIN:
            return None
        terms = []
        for index, factors in packed.items():
            zero: Value = (Piece(-1, 0, 8),)
            weights = merged(piece for n in range(4) for piece in _byte_of(factors.get(n, zero)))
            terms.append(f"dot.add({self._place(index)}, {self._scalar(weights)});")
        rest_of = [self._expression(other, 32, clean=False, lane=True) for other in others]
        text = " + ".join(["dot.sum[l]", *rest_of])
        text = self._cut(f"u32({text})", width, 32) if clean else text
        hoisted = "".join(f"const auto {name} = {what}; " for what, name in self._hoisted.items())
        return _Block(lines=[f"{{ {hoisted}Dot dot; {' '.join(terms)} dot.done(); LANES {place}[l] = {text}; }}"])

    def _reads_of(self, values: Iterable[Value]) -> frozenset[tuple[str, int]]:
        """Registers and columns that an expression reads where it stands."""
        found: set[tuple[str, int]] = set()
        pending = list(values)
        while pending:
            for piece in pending.pop():
                if piece.word < 0:
                    continue
                word = self._words[piece.word]
                if word.kind == "register":
                    found.add(("w", piece.word))
                elif not self._member[piece.word] or word.kind == "ite":
                    pending += word.args
                    if word.kind == "read":
                        found.add(("m", word.low))
        return frozenset(found)

    def _guard(self, value: Value) -> str:
        if len(value) == 1 and value[0].word >= 0 and self._words[value[0].word].kind == "ite":
            condition = self._words[value[0].word].args[0]
            return "" if self._all.depends(condition) else str(condition)
        return ""

    def _updates(self) -> list[_Update]:
        found = []
        for index in self._needed:
            following = self._all.following.get(index)
            if self._words[index].kind == "register" and following is not None:
                reads = self._reads_of([following]) - {("w", index)}
                if following != (Piece(index, 0, self._words[index].width),):
                    found.append(_Update(index, -1, reads, self._guard(following)))
        for number in self._columns:
            writes = self._all.columns[number].writes
            if writes:
                values = [v for w in writes for v in (w.address, w.data, *(value for value, _ in w.conditions))]
                found.append(_Update(-1, number, self._reads_of(values) - {("m", number)}, str(writes[0].conditions)))
        return found

    def _ordered(self) -> Iterator[_Block]:
        """All updates: each after those that read what it changes, those of one condition together."""
        updates = {update.target: update for update in self._updates()}
        readers: dict[tuple[str, int], set[tuple[str, int]]] = {target: set() for target in updates}
        for target, update in updates.items():
            for read in update.reads:
                if read in readers:
                    readers[read].add(target)
        ready: dict[str, list[tuple[str, int]]] = {}
        waiting = {target: len(of) for target, of in readers.items()}
        for target, count in waiting.items():
            if not count:
                ready.setdefault(updates[target].guard, []).append(target)
        left, guard = dict.fromkeys(updates), ""
        while left:
            if not ready:
                # All that is left is read by others that are left: one is copied, and goes first.
                target = min(left, key=lambda t: (waiting[t], t))
                self._copies.add(target)
                ready[updates[target].guard] = [target]
            if guard not in ready:
                guard = next(iter(ready))
            target = ready[guard].pop()
            if not ready[guard]:
                del ready[guard]
            del left[target]
            yield from self._update(updates[target])
            if target in self._copies:
                self._saved.add(target)
            for read in updates[target].reads:
                if read in left:
                    waiting[read] -= 1
                    if not waiting[read] and read not in self._copies:
                        ready.setdefault(updates[read].guard, []).append(read)

    def _update(self, update: _Update) -> list[_Block]:
        if update.word >= 0:
            index = update.word
            word = self._words[index]
            return self._tree(f"w{index}_", self._all.following[index], index, word.width, lanes=word.lanes)
        column = self._all.columns[update.column]
        return [self._write(update.column, column, write) for write in column.writes]

    def _write(self, number: int, column: Column, write: Write) -> _Block:
        plain = [self._scalar(v) if not no else f"!({self._scalar(v)})" for v, no in write.conditions]
        depends = any(self._all.depends(v) for v, _ in write.conditions) or self._all.depends(write.address)
        self._hoisted = {}
        if not column.lanes:
            block = self._agreed(f"m{number}_[{self._scalar(write.address)}]", write.data)
        elif not depends:
            text = self._expression(write.data, self._working_bits(write.data), lane=True)
            text = f"LANES to[l] = {text};"
            hoisted = "".join(f"const auto {name} = {what}; " for what, name in self._hoisted.items())
            block = _Block(lines=[f"{{ {hoisted}auto* to = m{number}_[{self._scalar(write.address)}]; {text} }}"])
        else:
            conditions = [
                f"{'!' if inverted else ''}{self._expression(value, 64, lane=True)}"
                for value, inverted in write.conditions
            ]
            where = self._expression(write.address, 64, lane=True)
            text = f"m{number}_[{where}][l] = {self._expression(write.data, 64, lane=True)};"
            hoisted = "".join(f"const auto {name} = {what}; " for what, name in self._hoisted.items())
            return _Block(lines=[f"{{ {hoisted}LANES if ({' && '.join(conditions) or 'true'}) {text} }}"])
        return _Block(" && ".join(plain), [block]) if plain else block

    def _merged(self, blocks: Iterable[_Block]) -> list[_Block]:
        """Blocks with neighbours of one condition joined."""
        found: list[_Block] = []
        for block in blocks:
            last = found[-1] if found else None
            if last is not None and last.condition == block.condition and last.loops < LOOPS_MAX:
                last.inside += block.inside
                last.otherwise += block.otherwise
                last.lines += block.lines
            else:
                found.append(_Block(block.condition, [*block.inside], [*block.otherwise], [*block.lines]))
        for block in found:
            block.inside, block.otherwise = self._merged(block.inside), self._merged(block.otherwise)
        return found

    def _rolled(self, lines: list[str]) -> Iterator[str]:
        """Lines, those that follow each other and differ by names alone as a loop over a table of places."""
        at = 0
        while at < len(lines):
            shape, names = _shape(lines[at])
            kinds = [self._kind(name) for name in names]
            same = [names]
            while at + len(same) < len(lines):
                other, others = _shape(lines[at + len(same)])
                if other != shape or [self._kind(name) for name in others] != kinds:
                    break
                same.append(others)
            if len(same) < ROLLED_MIN:
                yield lines[at]
                at += 1
                continue
            at += len(same)
            varying = [n for n in range(len(names)) if any(row[n] != names[n] for row in same)]
            rows = ", ".join(f"{{{', '.join(f'offsetof(Vdut, {row[n]})' for n in varying)}}}" for row in same)
            places = {n: f"p{i}_" for i, n in enumerate(varying)}
            pointers = " ".join(f"auto& {places[n]} = *({kinds[n]}*)(here + at[{i}]);" for i, n in enumerate(varying))
            pieces = shape.split("$")
            text = pieces[0] + "".join(
                places.get(n, name) + piece for (n, name), piece in zip(enumerate(names), pieces[1:], strict=True)
            )
            yield f"{{ static const u32 of[][{len(varying)}] = {{{rows}}};"
            yield f"for (auto& at : of) {{ char* here = (char*)this; {pointers}"
            yield f"{text} }} }}"

    def _kind(self, name: str) -> str:
        """The type of a member by its name, as a name of types."""
        number = int(name[1:-1])
        if name[0] in "wo":
            word = self._words[number]
            return f"{self._type(word.width)}_lanes" if word.lanes else self._type(word.width)
        column = self._all.columns[number]
        rows = f"rows<{self._type(column.width)}, {column.words}>"
        return f"lane_{rows}" if column.lanes else rows

    def _text(self, blocks: Iterable[_Block], indent: str = "    ") -> Iterator[str]:
        for block in blocks:
            if not block.condition:
                yield from (indent + line for line in self._rolled(block.lines))
                continue
            inside, otherwise, condition = block.inside, block.otherwise, block.condition
            if not inside:
                inside, otherwise, condition = otherwise, [], f"!({condition})"
            yield f"{indent}if ({condition}) {{"
            yield from self._text(inside, indent + "    ")
            if otherwise:
                yield f"{indent}}} else {{"
                yield from self._text(otherwise, indent + "    ")
            yield f"{indent}}}"

    # --- The program ---

    def write(self) -> dict[str, str]:
        """All files."""
        comb = [
            f"    w{index}_ = {self._operation(self._words[index], 64, clean=True, lane=False)};"
            for index in self._needed
            if self._member[index]
            and not self._words[index].lanes
            and self._words[index].kind not in ("register", "unknown", "input")
        ]
        temporaries = list(self._temporaries())
        updates = list(self._ordered())
        copies = [self._copy(kind, number) for kind, number in sorted(self._copies)]
        self._saved.clear()
        parts = list(self._functions([*self._merged(copies), *self._merged(temporaries), *self._merged(updates)]))
        outputs = [line for name, value in self._all.outputs.items() for line in self._output(name, value)]
        steps = [f"step_{n}" for n in range(len(parts))]
        files = {
            "verilated.h": CONTEXT,
            "Vdut.h": self._header(steps),
            "Vdut_comb.cpp": self._comb(comb, outputs),
            "Vdut_start.cpp": self._start(),
        }
        for name, lines in zip(steps, parts, strict=True):
            body = "\n".join(lines)
            dot = _DOT if "Dot dot;" in body else ""
            files[f"Vdut_{name}.cpp"] = f'#include "Vdut_own.h"\n{dot}void Vdut::{name}() {{\n{body}\n}}\n'
        files["Vdut_own.h"] = _OWN
        return files

    def _functions(self, blocks: list[_Block]) -> Iterator[list[str]]:
        lines: list[str] = []
        loops = 0
        for block in blocks:
            if loops and loops + block.loops > LOOPS_MAX:
                yield lines
                lines, loops = [], 0
            lines += self._text([block])
            loops += block.loops
        if lines:
            yield lines

    def _temporaries(self) -> Iterator[_Block]:
        """Statements that compute the words of data that are read more than once, each after those that it reads.

        Those needed at the same time stand together, the first ones first: many alike then follow each other.
        """
        left = {i: self._computed_in(self._words[i].args) for i in self._needed if self._is_computed(i)}
        readers: dict[int, list[int]] = {}
        for index, reads in left.items():
            for read in reads:
                readers.setdefault(read, []).append(index)
        ready: dict[Needs, deque[int]] = {}

        def release(index: int) -> None:
            ready.setdefault(self._needs.get(index, frozenset()), deque()).append(index)

        for index in [index for index, reads in left.items() if not reads]:
            release(index)
        while ready:
            needs, waiting = next(iter(ready.items()))
            while waiting:
                index = waiting.popleft()
                yield from self._computed(index, self._words[index])
                for reader in readers.get(index, ()):
                    left[reader].remove(index)
                    if not left[reader]:
                        release(reader)
            del ready[needs]

    def _computed(self, index: int, word: Word) -> list[_Block]:
        """The statements that compute a word of data that is used more than once."""
        place = f"w{index}_"
        value = (Piece(index, 0, word.width),)
        self._member[index] = False
        blocks = self._tree(place, value, -2, word.width, lanes=True)
        self._member[index] = True
        needs = self._needs.get(index, frozenset())
        if frozenset() in needs:
            return blocks
        texts = sorted(" && ".join(sorted(map(self._holds, when))) for when in needs)
        return [_Block(" || ".join(f"({text})" for text in texts), blocks)] if needs else []

    def _holds(self, choice: tuple[Value, bool]) -> str:
        value, side = choice
        return self._scalar(value) if side else f"!({self._scalar(value)})"

    def _copy(self, kind: str, number: int) -> _Block:
        to, of = ("o", "w") if kind == "w" else ("n", "m")
        if kind == "w" and not self._words[number].lanes:
            return _Block(lines=[f"o{number}_ = w{number}_;"])
        return _Block(lines=[f"std::memcpy({to}{number}_, {of}{number}_, sizeof {of}{number}_);"])

    def _header(self, steps: list[str]) -> str:
        lines = []
        functions = "\n".join(f"    void {step}();" for step in steps)
        for name, value in self._all.inputs.items():
            width = width_of(value)
            lines.append(f"    lanes::In<{-(-width // 8)}> {name};" if name in self._data else self._port(name, width))
        inputs = [name for name in self._all.inputs if name not in self._data and name != "clk"]
        if "clk" not in self._all.inputs:
            lines.append("    uint8_t clk = 0;")
        for name, value in self._all.outputs.items():
            if name in self._data:
                lines.append(f"    lanes::Out<{-(-width_of(value) // 8)}> {name}{{this, &Vdut::byte_of_{name}}};")
                functions += f"\n    const uint8_t* byte_of_{name}(size_t byte);"
            else:
                lines.append(self._port(name, width_of(value)))
        before = [self._port(f"before_{name}_", width_of(self._all.inputs[name])) for name in inputs]
        same = " && ".join(f"before_{name}_ == {name}" for name in inputs) or "true"
        take = " ".join(f"before_{name}_ = {name};" for name in inputs)
        members = list(self._members())
        calls = " ".join(f"{step}();" for step in steps)
        return "\n".join([
            _HEAD % self._lanes,
            "class Vdut {",
            "  public:",
            *lines,
            "    explicit Vdut(VerilatedContext* context);",
            "    void final() {}",
            "    void eval() {",
            f"        if (clk && !high_) {{ {calls} stale_ = true; ++cycle_; }}",
            "        high_ = clk;",
            f"        if (!stale_ && {same}) return;",
            f"        stale_ = false; {take}",
            "        comb();",
            "    }",
            "  private:",
            "    bool high_ = false, stale_ = true;",
            "    uint64_t cycle_ = 0;",
            "    void comb();",
            "    [[noreturn]] void disagree(const void* place, int lane);",
            functions,
            *before,
            "    alignas(64) uint8_t byte_[lanes::L];",
            "    using u8 = uint8_t; using u16 = uint16_t; using u32 = uint32_t; using u64 = uint64_t;",
            "    static constexpr int L = lanes::L;",
            *members,
            "};",
            "#endif",
            "",
        ])  # fmt: skip

    @staticmethod
    def _own_type(width: int) -> str:
        return f"uint{_Writer._bits(width)}_t"

    def _port(self, name: str, width: int) -> str:
        if width <= 64:
            return f"    {self._own_type(width)} {name} = 0;"
        return f"    struct {{ uint32_t word[{-(-width // 32)}]; }} {name} = {{}};"

    def _members(self) -> Iterator[str]:
        for index in self._needed:
            word = self._words[index]
            if not self._member[index] or word.kind == "input":
                continue
            for letter in ("w", "o") if ("w", index) in self._copies else ("w",):
                if word.lanes:
                    yield f"    alignas(64) {self._type(word.width)} {letter}{index}_[L];"
                else:
                    yield f"    {self._type(word.width)} {letter}{index}_;"
        for number in self._columns:
            column = self._all.columns[number]
            for letter in ("m", "n") if ("m", number) in self._copies else ("m",):
                if column.content is not None:
                    yield f"    {self._type(column.width)} k{number}_[{column.words}];"
                    break
                last = "[L]" if column.lanes else ""
                yield f"    alignas(64) {self._type(column.width)} {letter}{number}_[{column.words}]{last};"

    def _start(self) -> str:
        start = []
        for index in self._needed:
            word = self._words[index]
            if self._member[index] and word.kind != "input":
                mask = f"{(1 << word.width) - 1}ull"
                if not word.lanes:
                    start.append(f"    w{index}_ = random() & {mask};")
                elif ("w", index) in self._alike:
                    start.append(self._same(f"w{index}_", mask))
                else:
                    start.append(f"    for (auto& v : w{index}_) v = random() & {mask};")
        for number in self._columns:
            column = self._all.columns[number]
            mask = f"{(1 << column.width) - 1}ull"
            if column.content is None:
                inner = f"for (auto& v : row) v = random() & {mask};" if column.lanes else f"row = random() & {mask};"
                if ("m", number) in self._alike:
                    inner = self._same("row", mask)
                start.append(f"    for (auto& row : m{number}_) {inner}")
                continue
            numbers = ",".join("0" if v is None else str(v) + ("ull" if v >> 31 else "") for v in column.content)
            start.append(f"    {{ static const {self._type(column.width)} of[] = {{{numbers}}};")
            start.append(f"    std::memcpy(k{number}_, of, sizeof k{number}_); }}")
            unknown = [i for i, v in enumerate(column.content) if v is None]
            start += [
                f"    for (int i = {a}; i < {b}; ++i) k{number}_[i] = random() & {mask};" for a, b in _runs(unknown)
            ]
        return "\n".join([
            '#include "Vdut_own.h"',
            "namespace {",
            "struct Random {",
            "    uint64_t state;",
            "    uint64_t operator()() {",
            "        uint64_t z = (state += 0x9e3779b97f4a7c15u);",
            "        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;",
            "        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;",
            "        return z ^ (z >> 31);",
            "    }",
            "};",
            "}  // namespace",
            "// Registers and memories hold anything at power-on.",
            "Vdut::Vdut(VerilatedContext* context) {",
            "    Random random{context->seed()};",
            *start,
            "}",
            *self._disagree(),
            "",
        ])  # fmt: skip

    @staticmethod
    def _same(place: str, mask: str) -> str:
        """The statement by which a place begins with the same in all lanes."""
        return f"    {{ const auto all = random() & {mask}; for (auto& v : {place}) v = all; }}"

    def _disagree(self) -> Iterator[str]:
        """The function that ends the program, for what does not agree: the last that begins before the place."""
        names = {f"w{n}_": self._words[n].name for kind, n in self._agreeing if kind == "w"}
        names |= {f"m{n}_": self._all.columns[n].name for kind, n in self._agreeing if kind == "m"}
        rows = ", ".join(f"{{offsetof(Vdut, {member}), {json.dumps(name)}}}" for member, name in names.items())
        yield "void Vdut::disagree(const void* place, int lane) {"
        yield "    struct { size_t at; const char* name; } static const of[] = {" + (rows or '{0, ""}') + "};"
        yield "    const size_t at = size_t((const char*)place - (const char*)this);"
        yield "    auto* found = of;"
        yield "    for (auto& each : of)"
        yield "        if (each.at <= at && (found->at > at || each.at > found->at)) found = &each;"
        yield f'    std::fprintf(stderr, "harness: {DISAGREE}\\n", found->name, (unsigned long long)cycle_, lane);'
        yield "    std::exit(2);"
        yield "}"

    @staticmethod
    def _comb(comb: list[str], outputs: list[str]) -> str:
        scalars = [line for line in outputs if not line.startswith("const ")]
        functions = [line for line in outputs if line.startswith("const ")]
        return "\n".join(['#include "Vdut_own.h"', "void Vdut::comb() {", *comb, *scalars, "}", *functions, ""])

    def _output(self, name: str, value: Value) -> Iterator[str]:
        width = width_of(value)
        if name not in self._data:
            if width <= 64:
                yield f"    this->{name} = {self._scalar(value)};"
                return
            at, pieces = 0, list(value)
            yield f"    std::memset(&this->{name}, 0, sizeof this->{name});"
            for piece in pieces:
                for low in range(0, piece.width, 32) if piece.word < 0 else (0,):
                    part = part_of((piece,), low, min(32, piece.width - low)) if piece.word < 0 else (piece,)
                    yield f"    put_bits(this->{name}.word, {at + low}, {width_of(part)}, {self._scalar(part)});"
                at += piece.width
            return
        lines = [f"const uint8_t* Vdut::byte_of_{name}(size_t byte) {{ switch (byte) {{"]
        for byte in range(-(-width // 8)):
            part = part_of(value, 8 * byte, min(8, width - 8 * byte))
            lines.append(f"    case {byte}: {self._byte(part)}")
        lines.append("    default: return nullptr; } }")
        yield "\n".join(lines)

    def _byte(self, part: Value) -> str:
        if len(part) == 1 and part[0].word >= 0:
            piece = part[0]
            word = self._words[piece.word]
            if word.lanes and word.kind == "register" and word.width == piece.width == 8:
                return f"return w{piece.word}_;"
        kept, self._member = (
            self._member,
            [
                member and (not word.lanes or word.kind in ("register", "input"))
                for member, word in zip(self._member, self._words, strict=True)
            ],
        )
        self._hoisted = {}
        text = self._expression(part, max(self._working_bits(part), 32), lane=True)
        self._member = kept
        hoisted = "".join(f"const auto {name} = {what}; " for what, name in self._hoisted.items())
        return f"{{ {hoisted}LANES byte_[l] = {text}; return byte_; }}"


_OWN = """\
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include "Vdut.h"
namespace {
// Put bits, at most 64, into a port of words that was 0.
[[maybe_unused]] inline void put_bits(uint32_t* words, unsigned at, unsigned width, uint64_t value) {
    for (unsigned bit = 0; bit < width; ++bit) words[(at + bit) / 32] |= uint32_t(value >> bit & 1) << (at + bit) % 32;
}
}  // namespace
#define LANES _Pragma("GCC ivdep") for (int l = 0; l < L; ++l)
namespace {
using u8_lanes = uint8_t[lanes::L];
using u16_lanes = uint16_t[lanes::L];
using u32_lanes = uint32_t[lanes::L];
using u64_lanes = uint64_t[lanes::L];
template <typename T, int N> using rows = T[N];
template <typename T, int N> using lane_rows = T[N][lanes::L];
// The first lane whose value is not that of lane 0, or 0.
template <typename T>
[[maybe_unused]] inline int differing(const T* of) {
    constexpr int L = lanes::L;
    T any = 0;
    LANES any |= of[l] ^ of[0];
    int lane = 0;
    while (any != 0 && of[lane] == of[0]) ++lane;
    return lane;
}
}  // namespace
"""
_DOT = """\
#ifdef __AVX512VNNI__
#include <immintrin.h>
#endif
namespace {
using lanes::u32;
// A sum of products of signed bytes, four to a word, in each lane.
struct Dot {
    static constexpr int L = lanes::L;
    alignas(64) u32 sum[L];
#ifdef __AVX512VNNI__
    // The instruction takes one side without sign: 128 is added to it, and so many times the other side taken off.
    static constexpr int V = (L + 15) / 16;
    __m512i of[V] = {}, more = {};
    inline __attribute__((always_inline)) void add(const u32* data, u32 by) {
        const __m512i half = _mm512_set1_epi8(char(0x80)), factors = _mm512_set1_epi32(int(by));
        more = _mm512_dpbusd_epi32(more, half, factors);
        for (int v = 0; v < V; ++v)
            of[v] = _mm512_dpbusd_epi32(of[v], _mm512_xor_si512(take(data + 16 * v, v), half), factors);
    }
    inline __attribute__((always_inline)) void done() {
        for (int v = 0; v < V; ++v) _mm512_mask_storeu_epi32(sum + 16 * v, mask(v), _mm512_sub_epi32(of[v], more));
    }
    static constexpr __mmask16 mask(int v) { return L - 16 * v >= 16 ? 0xffff : (1 << (L - 16 * v)) - 1; }
    static inline __attribute__((always_inline)) __m512i take(const u32* data, int v) {
        return mask(v) == 0xffff ? _mm512_loadu_si512(data) : _mm512_maskz_loadu_epi32(mask(v), data);
    }
#else
    Dot() { std::memset(sum, 0, sizeof sum); }
    void add(const u32* data, u32 by) {
        for (int n = 0; n < 32; n += 8) {
            const int32_t factor = int8_t(by >> n);
            LANES sum[l] += u32(int32_t(int8_t(data[l] >> n)) * factor);
        }
    }
    void done() {}
#endif
};
}  // namespace
"""
_MEMBER = re.compile(r"\b[womnk]\d+_(?=\W)")


def _either(needs: Needs, when: Condition) -> Needs:
    """Needs with one more condition; of too many what they have in common."""
    if any(of <= when for of in needs):
        return needs
    for of in needs:
        # Either side of a choice, all else alike.
        if len(of ^ when) == 2 and len({value for value, _ in of ^ when}) == 1:
            return _either(needs - {of}, of & when)
    found = frozenset((when, *(of for of in needs if not when <= of)))
    return found if len(found) <= _NEEDS_MAX else frozenset((frozenset.intersection(*found),))


def _byte_of(value: Value) -> Value:
    """A value of at most eight bits with copies of its sign up to eight."""
    return (*value, *part_of(value, width_of(value) - 1, 1) * (8 - width_of(value)))


def _shape(line: str) -> tuple[str, list[str]]:
    """A line with its members' names cut out, and these."""
    return _MEMBER.sub("$", line), _MEMBER.findall(line)


def _extended(value: Value) -> int:
    """The number of pieces before copies of the highest bit of the last of them, two or more and all that follow."""
    last = value[-1]
    at = len(value)
    while at > 1 and value[at - 1] == last and last.width == 1:
        at -= 1
    if at < 1 or last.word < 0:
        return len(value)
    top = value[at - 1]
    of_top = top.word == last.word and top.low + top.width - 1 == last.low
    return at if of_top and len(value) - at >= 2 else len(value)


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    """Runs of following numbers: the first of each and one past the last."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number:
            found[-1] = found[-1][0], number + 1
        else:
            found.append((number, number + 1))
    return found
