"""BTOR2, the word-level format in which Yosys writes a design: its cells, read from text that nobody is trusted with.

A cell's value is a bit vector or an array (a memory). What is not known here is refused by name.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from fxsim.errors import FileError

BYTES_MAX = 1 << 30
"""Most bytes of a BTOR2 text that is read."""
CELLS_MAX = 20_000_000
WIDTH_MAX = 1 << 20
"""Most bits of a bit vector."""
ADDRESS_WIDTH_MAX = 32
"""Most bits of an array's address."""


class Sort(NamedTuple):
    """The type of a value: a bit vector of `width` bits, or with an `address` of so many bits an array of them."""

    width: int
    address: int = 0


class Cell(NamedTuple):
    """A cell: what it computes (`kind`) of the cells `args`, which stand before it, but for a state.

    `low`: of a slice its lowest bit; of a uext or sext the number of added bits. `value`: of a constant, unsigned.
    `name`: the symbol of an input or a state; empty where it has none.
    """

    kind: str
    sort: Sort
    args: tuple[int, ...] = ()
    low: int = 0
    value: int = 0
    name: str = ""


class State(NamedTuple):
    """A register or a memory by its cell; the cells of its first content and of the next one, None where it has none.

    Without an `init` its first content is unknown; without a `next` so is all that follows.
    """

    cell: int
    name: str
    init: int | None
    next: int | None


@dataclass(frozen=True)
class Netlist:
    """A design: cells in an order in which each stands after those it is computed of.

    `inputs`: by port. `unknowns`: unnamed inputs, which Yosys makes of x: any value, in each cycle anew. `outputs`: by
    port. `nets`: every named net and register by its hierarchical name.
    """

    cells: tuple[Cell, ...]
    inputs: dict[str, int]
    unknowns: tuple[int, ...]
    states: tuple[State, ...]
    outputs: dict[str, int]
    nets: dict[str, int]

    def output(self, name: str) -> int:
        """The cell of an output; FileError where there is none of that name."""
        if name not in self.outputs:
            raise FileError(f"the design has no output '{name}'; it has: {', '.join(sorted(self.outputs))}")
        return self.outputs[name]


# --- Sorts of results ------------------------------------------------------------------------------------------------

_Rule = Callable[[Sort, list[Sort]], bool]
"""A function that says whether a result's sort and the operands' sorts fit each other."""


def _same(result: Sort, operands: list[Sort]) -> bool:
    return not result.address and all(operand == result for operand in operands)


def _compared(result: Sort, operands: list[Sort]) -> bool:
    return result == Sort(1) and operands[0] == operands[1] and not operands[0].address


def _reduced(result: Sort, operands: list[Sort]) -> bool:
    return result == Sort(1) and not operands[0].address


def _concat(result: Sort, operands: list[Sort]) -> bool:
    return not any(s.address for s in (result, *operands)) and result.width == operands[0].width + operands[1].width


def _ite(result: Sort, operands: list[Sort]) -> bool:
    return operands == [Sort(1), result, result]


def _read(result: Sort, operands: list[Sort]) -> bool:
    return bool(operands[0].address) and operands == [
        Sort(result.width, operands[0].address),
        Sort(operands[0].address),
    ]


def _write(result: Sort, operands: list[Sort]) -> bool:
    return bool(result.address) and operands == [result, Sort(result.address), Sort(result.width)]


KINDS: dict[str, tuple[int, _Rule]] = {
    **dict.fromkeys(("not", "neg"), (1, _same)),
    **dict.fromkeys(("and", "or", "xor", "xnor", "nand", "nor", "add", "sub", "mul"), (2, _same)),
    # Shifts by the value of the second operand, of the same width.
    **dict.fromkeys(("sll", "srl", "sra"), (2, _same)),
    **dict.fromkeys(("eq", "neq", "ult", "ulte", "ugt", "ugte", "slt", "slte", "sgt", "sgte"), (2, _compared)),
    **dict.fromkeys(("redand", "redor", "redxor"), (1, _reduced)),
    "concat": (2, _concat),
    "ite": (3, _ite),
    "read": (2, _read),
    "write": (3, _write),
}
"""Every kind of cell that computes something and has operands alone: how many, and their rule."""
_EXTENSIONS = ("uext", "sext")
_CONSTANTS = {"const": 2, "constd": 10, "consth": 16}
_FIXED = {"zero": 0, "one": 1, "ones": -1}
_NUMBER = re.compile(r"-?[0-9]{1,9}")


# --- Reading ---------------------------------------------------------------------------------------------------------


def parse(text: str, source: str = "the BTOR2 text") -> Netlist:
    """Read a BTOR2 text; FileError with the line where it is malformed, too large, or has a kind that is not known.

    `source` names it in messages. Constraints and properties are refused: nothing is assumed here.
    """
    if len(text) > BYTES_MAX:
        raise FileError(f"{source} has more than {BYTES_MAX:,} bytes, the most that is read")
    reader = _Reader(source)
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition(";")[0].split()
        if words:
            reader.line(number, words)
    return reader.netlist()


class _Reader:
    def __init__(self, source: str) -> None:
        self._source = source
        self._number = 0
        self._sorts: dict[int, Sort] = {}
        self._ids: dict[int, int] = {}
        self._negated: dict[int, int] = {}
        self._cells: list[Cell] = []
        self._inputs: dict[str, int] = {}
        self._unknowns: list[int] = []
        self._states: dict[int, State] = {}
        self._outputs: dict[str, int] = {}
        self._nets: dict[str, int] = {}

    def line(self, number: int, words: list[str]) -> None:
        """Read one line's words."""
        self._number = number
        if len(words) < 2 or not words[0].isdecimal() or len(words[0]) > 9:
            raise self._error("expected a number and a kind")
        own, kind, rest = int(words[0]), words[1], words[2:]
        if own in self._ids or own in self._sorts:
            raise self._error(f"{own} is there twice")
        if kind == "sort":
            self._sorts[own] = self._sort(rest)
        elif kind == "output":
            cell = self._operand(rest, 0)
            self._name(self._outputs, self._symbol(rest, 1), cell)
        elif kind in ("init", "next"):
            self._step(kind, rest)
        else:
            self._ids[own] = self._cell(kind, rest)

    def netlist(self) -> Netlist:
        """The design of all that was read."""
        return Netlist(
            tuple(self._cells),
            self._inputs,
            tuple(self._unknowns),
            tuple(self._states.values()),
            self._outputs,
            self._nets,
        )

    def _cell(self, kind: str, rest: list[str]) -> int:
        sort = self._sort_of(rest)
        if kind in ("input", "state"):
            name = self._symbol(rest, 1)
            cell = self._add(Cell(kind, sort, name=name))
            if kind == "state":
                self._states[cell] = State(cell, name, None, None)
                self._name(self._nets, name, cell)
            elif sort.address:
                raise self._error("an input is an array")
            elif name:
                self._name(self._inputs, name, cell)
                self._name(self._nets, name, cell)
            else:
                self._unknowns.append(cell)
            return cell
        if kind in _FIXED or kind in _CONSTANTS:
            return self._add(Cell("const", sort, value=self._constant(kind, sort, rest)))
        if kind in _EXTENSIONS:
            cell, added = self._operand(rest, 1), self._integer(rest, 2)
            if sort.address or sort.width != self._cells[cell].sort.width + added or self._cells[cell].sort.address:
                raise self._error(f"widths of this {kind} do not fit")
            if added:
                cell = self._add(Cell(kind, sort, (cell,), low=added))
            # An extension by nothing gives a net its name.
            self._name(self._nets, self._symbol(rest, 3), cell)
            return cell
        if kind == "slice":
            cell, high, low = self._operand(rest, 1), self._integer(rest, 2), self._integer(rest, 3)
            of = self._cells[cell].sort
            if sort.address or of.address or not low <= high < of.width or sort.width != high - low + 1:
                raise self._error("widths of this slice do not fit")
            cell = self._add(Cell(kind, sort, (cell,), low=low))
            self._name(self._nets, self._symbol(rest, 4), cell)
            return cell
        if kind == "ite" and sort.address:
            return self._plain("ite", sort, rest, 3, lambda r, o: o == [Sort(1), r, r])
        if kind not in KINDS:
            raise self._error(f"unknown kind '{kind}'; known: {', '.join(sorted({*KINDS, *_EXTENSIONS, 'slice'}))}")
        return self._plain(kind, sort, rest, *KINDS[kind])

    def _plain(self, kind: str, sort: Sort, rest: list[str], arity: int, rule: _Rule) -> int:
        args = tuple(self._operand(rest, i) for i in range(1, arity + 1))
        if not rule(sort, [self._cells[arg].sort for arg in args]):
            raise self._error(f"widths of this {kind} do not fit")
        cell = self._add(Cell(kind, sort, args))
        self._name(self._nets, self._symbol(rest, arity + 1), cell)
        return cell

    def _step(self, kind: str, rest: list[str]) -> None:
        sort, cell, value = self._sort_of(rest), self._operand(rest, 1), self._operand(rest, 2)
        state = self._states.get(cell)
        given = self._cells[value].sort
        # A memory may be given one word, which is then every word's content.
        filled = kind == "init" and sort.address and given == Sort(sort.width)
        if state is None or self._cells[cell].sort != sort or not (given == sort or filled):
            raise self._error(f"expected this {kind} to be of a state and a value of its sort")
        if (state.init if kind == "init" else state.next) is not None:
            raise self._error(f"the state has a second {kind}")
        self._states[cell] = state._replace(init=value) if kind == "init" else state._replace(next=value)

    def _add(self, cell: Cell) -> int:
        if len(self._cells) >= CELLS_MAX:
            raise self._error(f"more than {CELLS_MAX:,} cells")
        self._cells.append(cell)
        return len(self._cells) - 1

    def _name(self, names: dict[str, int], name: str, cell: int) -> None:
        # A register and the net that it drives have one name; two different cells of one name are told by the first.
        if name:
            names.setdefault(name, cell)

    def _sort(self, rest: list[str]) -> Sort:
        if len(rest) == 2 and rest[0] == "bitvec":
            width = self._integer(rest, 1)
            if 1 <= width <= WIDTH_MAX:
                return Sort(width)
            raise self._error(f"{width} bits, expected 1 to {WIDTH_MAX:,}")
        if len(rest) == 3 and rest[0] == "array":
            index, word = (self._sorts.get(self._integer(rest, i)) for i in (1, 2))
            if index is not None and word is not None and not index.address and not word.address:
                if index.width > ADDRESS_WIDTH_MAX:
                    raise self._error(f"an address of {index.width} bits, expected at most {ADDRESS_WIDTH_MAX}")
                return Sort(word.width, index.width)
        raise self._error("expected a sort of bit vectors or of arrays of them")

    def _sort_of(self, rest: list[str]) -> Sort:
        sort = self._sorts.get(self._integer(rest, 0))
        if sort is None:
            raise self._error(f"there is no sort {rest[0]}")
        return sort

    def _operand(self, rest: list[str], place: int) -> int:
        number = self._integer(rest, place)
        cell = self._ids.get(abs(number))
        if cell is None:
            raise self._error(f"there is no cell {abs(number)} before this line")
        if number > 0:
            return cell
        if cell not in self._negated:
            sort = self._cells[cell].sort
            if sort.address:
                raise self._error(f"{number} is the complement of an array")
            self._negated[cell] = self._add(Cell("not", sort, (cell,)))
        return self._negated[cell]

    def _constant(self, kind: str, sort: Sort, rest: list[str]) -> int:
        if sort.address:
            raise self._error("a constant is an array")
        if kind in _FIXED:
            return _FIXED[kind] % (1 << sort.width)
        text = rest[1] if len(rest) > 1 else ""
        digits = {2: r"[01]+", 10: r"-?[0-9]{1,4000}", 16: r"[0-9a-fA-F]+"}[_CONSTANTS[kind]]
        if not re.fullmatch(digits, text):
            raise self._error(f"'{text}' is not a {kind}")
        value = int(text, _CONSTANTS[kind])
        if not -(1 << sort.width - 1) <= value < 1 << sort.width:
            raise self._error(f"'{text}' does not fit into {sort.width} bits")
        return value % (1 << sort.width)

    def _integer(self, rest: list[str], place: int) -> int:
        if len(rest) <= place or not _NUMBER.fullmatch(rest[place]):
            raise self._error("expected a number")
        return int(rest[place])

    def _symbol(self, rest: list[str], place: int) -> str:
        return rest[place] if len(rest) > place else ""

    def _error(self, text: str) -> FileError:
        return FileError(f"{self._source}, line {self._number}: {text}")
