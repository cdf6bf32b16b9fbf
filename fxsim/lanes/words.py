"""The words of a netlist: registers, memories and operations of at most 64 bits, each of control or of data.

Of a netlist's bit vectors those that are wide are cut where others take parts of them; concatenations, slices and
extensions by zeros are no operations but pieces of words. A word is of data (it has a value in each lane) where some
bit of it depends on an input of data or on a memory's word that does; all others are of control, with one value for
all lanes.

Registers and memories that are said to agree are of control although data lead to them: what they take must be the same
in all lanes, which is to be checked whenever they take it.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import accumulate, pairwise
from typing import NamedTuple

from fxsim.errors import FileError
from fxsim.prove.btor2 import Cell, Netlist
from fxsim.prove.concrete import compute

WORD = 64
"""Most bits of a word."""
_FEW = 8
"""Bits of which fewer do not make everything that is wide be cut where others take them."""
_BITWISE = frozenset(("not", "and", "or", "xor", "xnor", "nand", "nor"))
_COMPARED = frozenset(("eq", "neq"))
_REDUCED = frozenset(("redand", "redor", "redxor"))


class Piece(NamedTuple):
    """Bits of a word, `width` of them from `low` on; of no word (-1), a constant: `value`."""

    word: int
    low: int
    width: int
    value: int = 0


Value = tuple[Piece, ...]
"""A bit vector: its pieces, the lowest first."""


class Word(NamedTuple):
    """A word: an input or a register by its `name`, an unknown, an operation of `args`, or a memory's column read.

    `kind`: `input`, `register`, `unknown`, `read`, or the operation as in BTOR2; `lanes`: of data. `low`: the column.
    """

    kind: str
    width: int
    lanes: bool
    args: tuple[Value, ...] = ()
    low: int = 0
    name: str = ""


class Write(NamedTuple):
    """A write to a column in each cycle in which all `conditions` (1, or where inverted 0) hold."""

    conditions: tuple[tuple[Value, bool], ...]
    address: Value
    data: Value


@dataclass
class Column:
    """A column of a memory: `words` of `width` bits. `content`: of what nothing writes, its words; else None."""

    name: str
    words: int
    width: int
    lanes: bool
    content: tuple[int | None, ...] | None = None
    writes: list[Write] = field(default_factory=list)


@dataclass
class Words:
    """A netlist's words. `following`: of each register what it takes; `inputs`, `outputs`: by port."""

    words: list[Word]
    following: dict[int, Value]
    columns: list[Column]
    inputs: dict[str, Value]
    outputs: dict[str, Value]

    def depends(self, value: Value) -> bool:
        """Whether some bit is of data."""
        return any(piece.word >= 0 and self.words[piece.word].lanes for piece in value)


def make_words(netlist: Netlist, data: Collection[str], agreeing: Collection[str] = ()) -> Words:
    """The words of a netlist, of which the input ports `data` have a value in each lane.

    `agreeing`: the registers and memories that agree, by patterns of their names in which `*` stands for any text.
    FileError, with the name, where there is a form that is not taken: an operation on more than 64 bits, say; or a
    pattern that no name fits.
    """
    return _Maker(netlist, data, _states_of(netlist, agreeing)).make()


def dependence(netlist: Netlist, data: Collection[str], output: str, agreeing: Collection[str] = ()) -> tuple[str, ...]:
    """The names by which an output depends on data, from it back to the input: every register and memory on a way.

    On a way there is none of those that agree.
    """
    taint = _Taint(netlist, data, _states_of(netlist, agreeing))
    return taint.way(netlist.outputs[output])


def _names_of(netlist: Netlist) -> dict[int, str]:
    """The name of each cell that has one."""
    names: dict[int, str] = {}
    for name, cell in netlist.nets.items():
        names.setdefault(cell, name)
    return names | {index: cell.name for index, cell in enumerate(netlist.cells) if cell.name}


def _states_of(netlist: Netlist, patterns: Collection[str]) -> frozenset[int]:
    """The cells of registers and memories whose names fit patterns."""
    names, found = _names_of(netlist), set[int]()
    for pattern in patterns:
        fit = {state.cell for state in netlist.states if fnmatchcase(names.get(state.cell, ""), pattern)}
        if not fit:
            raise FileError(f"there is no register and no memory '{pattern}', which is to be the same in all lanes")
        found |= fit
    return frozenset(found)


class _Taint:
    """The bits of every cell that depend on data, as masks; of a memory the columns of its words."""

    def __init__(self, netlist: Netlist, data: Collection[str], agreeing: frozenset[int]) -> None:
        self._netlist = netlist
        self._data = data
        self._agreeing = agreeing
        self.masks = [0] * len(netlist.cells)
        next_of = {state.cell: state.next for state in netlist.states}
        users: list[list[int]] = [[] for _ in netlist.cells]
        for index, cell in enumerate(netlist.cells):
            following = next_of.get(index)
            for arg in cell.args if following is None else (following,):
                users[arg].append(index)
        pending = deque(cell for name, cell in netlist.inputs.items() if name in data)
        while pending:
            index = pending.popleft()
            mask = self._mask(index, netlist.cells[index], next_of) | self.masks[index]
            if mask != self.masks[index]:
                self.masks[index] = mask
                pending += users[index]

    def _mask(self, index: int, cell: Cell, next_of: Mapping[int, int | None]) -> int:
        kind, full = cell.kind, (1 << cell.sort.width) - 1
        if kind == "input":
            return full if cell.name in self._data else 0
        if kind == "state":
            following = next_of.get(index)
            return 0 if following is None or index in self._agreeing else self.masks[following]
        of = [self.masks[arg] for arg in cell.args]
        match kind:
            case "const":
                return 0
            case "concat":
                return of[0] << self._netlist.cells[cell.args[1]].sort.width | of[1]
            case "slice":
                return of[0] >> cell.low & full
            case "uext":
                return of[0]
            case "sext":
                width = self._netlist.cells[cell.args[0]].sort.width
                sign = of[0] >> width - 1 & 1
                return of[0] | (full >> width << width if sign else 0)
            case "ite":
                return full if of[0] else of[1] | of[2]
            case "read":
                return full if of[1] else of[0]
            case "write":
                return full if of[1] else of[0] | of[2]
        if kind in _BITWISE:
            return of[0] | (of[1] if len(of) > 1 else 0)
        return full if any(of) else 0

    def way(self, end: int) -> tuple[str, ...]:
        """The names from a cell back to an input of data."""
        names_of = _names_of(self._netlist)
        next_of = {state.cell: state.next for state in self._netlist.states}
        before: dict[int, int | None] = {end: None}
        pending = [end]
        for cell in pending:
            of = self._netlist.cells[cell]
            if of.kind == "input" and of.name in self._data:
                names, at = [], cell
                while True:
                    here = self._netlist.cells[at]
                    if here.kind in ("input", "state") and (name := names_of.get(at)):
                        names.append(name)
                    following = before[at]
                    if following is None:
                        return tuple(dict.fromkeys(reversed(names)))
                    at = following
            args = of.args if of.kind != "state" else tuple(a for a in (next_of.get(cell),) if a is not None)
            for arg in args if cell not in self._agreeing else ():
                if self.masks[arg] and arg not in before:
                    before[arg] = cell
                    pending.append(arg)
        return ()


class _Maker:
    def __init__(self, netlist: Netlist, data: Collection[str], agreeing: frozenset[int]) -> None:
        self._netlist = netlist
        self._data = frozenset(data)
        self._agreeing = agreeing
        self._dependence = _Taint(netlist, data, agreeing)
        self._taint = self._dependence.masks
        self._states = {state.cell: state for state in netlist.states}
        self._names = _names_of(netlist)
        self._cuts = [[0, cell.sort.width] for cell in netlist.cells]
        self._values: list[Value | None] = [None] * len(netlist.cells)
        self._words: list[Word] = []
        self._known: dict[Word, int] = {}
        self._columns: list[Column] = []
        self._columns_of: dict[int, list[int]] = {}
        """The columns of a memory, the lowest bits first."""
        self._repeating: dict[int, int] = {}
        """Registers that are kept in fewer bits than they have: those above repeat the highest."""

    def make(self) -> Words:
        netlist = self._netlist
        used = self._used()
        self._cut(used)
        self._repeating = self._narrow()
        following: dict[int, Value] = {}
        for index in used:
            cell = netlist.cells[index]
            if cell.sort.address:
                if cell.kind == "state" and self._states[index].next is not None:
                    self._memory(index)
                continue
            self._values[index] = merged(self._value(index, cell))
        for index in used:
            if index not in self._states:
                continue
            state = self._states[index]
            if netlist.cells[index].sort.address:
                self._writes(index)
                continue
            own = self._of(index)
            if state.next is None:
                continue
            at = 0
            for piece in own:
                following.setdefault(piece.word, part_of(self._of(state.next), at, piece.width))
                at += piece.width
        return Words(
            self._words,
            following,
            self._columns,
            {name: self._of(cell) for name, cell in netlist.inputs.items() if self._values[cell] is not None},
            {name: self._of(cell) for name, cell in netlist.outputs.items()},
        )

    def _used(self) -> list[int]:
        """The cells that outputs depend on, and the inputs, in order; not the first contents of memories."""
        netlist = self._netlist
        pending = [*netlist.outputs.values(), *netlist.inputs.values()]
        found: set[int] = set()
        while pending:
            cell = pending.pop()
            if cell in found:
                continue
            found.add(cell)
            pending += netlist.cells[cell].args
            state = self._states.get(cell)
            if state is not None and state.next is not None:
                pending.append(state.next)
        return sorted(found)

    # --- Cuts ---

    def _cut(self, used: list[int]) -> None:
        """Cut what is wider than a word where others take parts of it, and everything between bits of both kinds."""
        cells = self._netlist.cells
        cuts: list[set[int]] = [set() for _ in cells]
        for index in used:
            mask, width = self._taint[index], cells[index].sort.width
            turns = (mask ^ mask >> 1) & (1 << width - 1) - 1
            while turns:
                low = turns & -turns
                cuts[index].add(low.bit_length())
                turns ^= low
        # A port of data is of bytes, each in every lane.
        for name in self._data & self._netlist.inputs.keys():
            port = self._netlist.inputs[name]
            cuts[port] |= set(range(8, cells[port].sort.width, 8))
        relations: list[tuple[int, int, int, int, int]] = []
        """Two cells, the first bit of each, and how many bits that belong together."""
        for index in used:
            cell = cells[index]
            width = cell.sort.width
            match cell.kind:
                case "slice":
                    relations.append((index, 0, cell.args[0], cell.low, width))
                case "concat":
                    low = cells[cell.args[1]].sort.width
                    relations.append((index, 0, cell.args[1], 0, low))
                    relations.append((index, low, cell.args[0], 0, width - low))
                case "uext" | "sext":
                    relations.append((index, 0, cell.args[0], 0, width - cell.low))
                case "ite":
                    relations += [(index, 0, arg, 0, width) for arg in cell.args[1:]]
                case "read":
                    relations.append((index, 0, cell.args[0], 0, width))
                case "write":
                    relations += [(index, 0, arg, 0, width) for arg in (cell.args[0], cell.args[2])]
                case "state":
                    state = self._states[index]
                    if state.next is not None:
                        relations.append((index, 0, state.next, 0, width))
                case kind if kind in _BITWISE:
                    relations += [(index, 0, arg, 0, width) for arg in cell.args]
                case kind if kind in _COMPARED:
                    a, b = cell.args
                    relations.append((a, 0, b, 0, cells[a].sort.width))
        shifting = self._shifting()
        whole = [cell.sort.width <= WORD and index not in shifting for index, cell in enumerate(cells)]
        # What is all of control need not be cut where what is all of data is; a constant may be one of many cells.
        relations = [
            of
            for of in relations
            if not {self._kind(*of[:2], of[4]), self._kind(*of[2:])} >= {0, 1}
            and "const" not in (cells[of[0]].kind, cells[of[2]].kind)
        ]
        for a, a_low, b, b_low, width in relations:
            for end, low in ((a, a_low), (b, b_low)):
                if whole[end]:
                    continue
                # A few bits are no word of their own where that would be an array, and where many are joined.
                joined, array = cells[a].kind == "concat", cells[end].kind == "read" or self._kind(end, low, width) != 0
                rest = cells[a].sort.width - width if joined else WORD
                if min(width, rest) >= _FEW or not (joined or array):
                    cuts[end] |= {low, low + width}
        changed = True
        while changed:
            changed = False
            for a, a_low, b, b_low, width in relations:
                if not whole[b] and cuts[a]:
                    moved = {c - a_low + b_low for c in cuts[a] if a_low < c < a_low + width} - cuts[b]
                    if moved:
                        cuts[b] |= moved
                        changed = True
                if not whole[a] and cuts[b]:
                    moved = {c - b_low + a_low for c in cuts[b] if b_low < c < b_low + width} - cuts[a]
                    if moved:
                        cuts[a] |= moved
                        changed = True
            if not changed:
                for index in used:
                    if whole[index]:
                        continue
                    ends = sorted(cuts[index] | {0, cells[index].sort.width})
                    more = {c for low, high in pairwise(ends) for c in range(low + WORD, high, WORD)}
                    if more - cuts[index]:
                        cuts[index] |= more
                        changed = True
        for index in used:
            self._cuts[index] = sorted(cuts[index] | {0, cells[index].sort.width})

    def _shifting(self) -> set[int]:
        """The shift registers of data, and what they are made of: their values are moved, and need not be cut out."""
        cells, found = self._netlist.cells, set[int]()
        for index, state in self._states.items():
            if state.next is None or cells[index].sort.address or self._kind(index, 0, cells[index].sort.width) != 1:
                continue
            at, way = self._taken(index, state.next)
            moved = [arg for arg in cells[at].args if cells[arg].kind == "slice" and cells[arg].args == (index,)]
            if cells[at].kind == "concat" and moved:
                found |= {index, *way, at, *moved}
        return found

    def _taken(self, state: int, following: int) -> tuple[int, list[int]]:
        """The cell that a register takes where it does not hold its value, and the choices before that."""
        way: list[int] = []
        while self._netlist.cells[following].kind == "ite":
            others = [arg for arg in self._netlist.cells[following].args[1:] if arg != state]
            if len(others) != 1:
                break
            way.append(following)
            following = others[0]
        return following, way

    def _narrow(self) -> dict[int, int]:
        """Registers of data of which the upper bits only repeat one below, as of products: the bits up to that one."""
        found: dict[int, int] = {}
        for index, state in self._states.items():
            width = self._netlist.cells[index].sort.width
            if state.next is None or self._netlist.cells[index].sort.address or self._cuts[index] != [0, width]:
                continue
            at, way = self._taken(index, state.next)
            bits = self._significant(at)
            if bits < width and self._kind(index, 0, width) == 1 and all(self._cuts[of] == [0, width] for of in way):
                found[index] = bits
                for of in way:
                    self._cuts[of] = [0, bits, width]
        return found

    def _significant(self, index: int) -> int:
        """The bits of a cell of which all above them repeat the highest, as far as products show."""
        cell = self._netlist.cells[index]
        of = cell.args
        match cell.kind:
            case "sext":
                return self._significant(of[0])
            case "mul":
                return min(cell.sort.width, sum(map(self._significant, of)))
        return cell.sort.width

    def _kind(self, index: int, low: int, width: int) -> int | None:
        """1 where some bits of a cell are all of data, 0 where all are of control, else None."""
        full = (1 << width) - 1
        mask = self._taint[index] >> low & full
        return 0 if mask == 0 else 1 if mask == full else None

    def _parts(self, index: int) -> Iterator[tuple[int, int]]:
        """The parts that a cell is cut into: the first bit and the width of each."""
        ends = self._cuts[index]
        return ((low, high - low) for low, high in pairwise(ends))

    # --- Cells ---

    def _value(self, index: int, cell: Cell) -> Value:
        kind, width = cell.kind, cell.sort.width
        if kind == "const":
            return (Piece(-1, 0, width, cell.value),)
        if index in self._repeating:
            bits = self._repeating[index]
            held = self._held(index, cell, 0, bits)
            return (held, *(Piece(held.word, bits - 1, 1) for _ in range(width - bits)))
        if kind in ("state", "input"):
            return tuple(self._held(index, cell, low, part) for low, part in self._parts(index))
        if kind == "read":
            return self._read(cell)
        of = [self._of(arg) for arg in cell.args]
        match kind:
            case "concat":
                return of[1] + of[0]
            case "slice":
                return part_of(of[0], cell.low, width)
            case "uext":
                return (*of[0], Piece(-1, 0, cell.low)) if cell.low else of[0]
            # A word is of data or of control, whole.
            case "sext" if cell.low == 0 or width > WORD or self._taint[index] not in (0, (1 << width) - 1):
                return (*of[0], *part_of(of[0], width - cell.low - 1, 1) * cell.low)
            case "ite":
                return self._chosen(index, of)
        if kind in ("sll", "srl") and len(of[1]) == 1 and of[1][0].word < 0:
            return _shifted(kind, of[0], of[1][0].value, width)
        if kind in ("sll", "srl") and width > WORD:
            return self._shifted_wide(index, kind, *of)
        if kind in _BITWISE:
            return tuple(
                piece
                for low, part in self._parts(index)
                for piece in self._operation(kind, part, tuple(part_of(v, low, part) for v in of))
            )
        if kind in _REDUCED and width_of(of[0]) > WORD:
            parts = [(self._operation(kind, 1, (part_of(of[0], low, p),))) for low, p in self._parts(cell.args[0])]
            return self._joined({"redand": "and", "redor": "or", "redxor": "xor"}[kind], parts)
        if kind in _COMPARED and width_of(of[0]) > WORD:
            parts = [
                self._operation(kind, 1, tuple(part_of(v, low, p) for v in of)) for low, p in self._parts(cell.args[0])
            ]
            return self._joined("and" if kind == "eq" else "or", parts)
        if max(width, *(width_of(v) for v in of)) > WORD:
            if (narrow := self._narrowed(kind, width, of)) is not None:
                return narrow
            raise FileError(
                f"'{self._name(index)}' is a {kind} of {max(width, *(width_of(v) for v in of))} bits, expected at "
                f"most {WORD} of what computes, to simulate it in lanes"
            )
        return self._operation(kind, width, tuple(of))

    def _narrowed(self, kind: str, width: int, of: list[Value]) -> Value | None:
        """A sum, or a comparison without sign, of wide values whose upper bits are 0: of what is below; else None."""
        if kind not in ("add", "ult", "ulte", "ugt", "ugte"):
            return None
        bits = max(map(_without_zeros, of)) + (kind == "add")
        if bits > WORD:
            return None
        args = tuple(part_of(value, 0, bits) for value in of)
        if kind != "add":
            return self._operation(kind, 1, args)
        return (*self._operation(kind, bits, args), Piece(-1, 0, width - bits))

    def _shifted_wide(self, index: int, kind: str, value: Value, by: Value) -> Value:
        """A shift of more than 64 bits: of each bit of the number of places a choice, part by part."""
        width = width_of(value)
        for bit in reversed(range(width_of(by))):
            moved, condition = _shifted(kind, value, 1 << min(bit, width.bit_length()), width), part_of(by, bit, 1)
            value = merged(
                piece
                for low, part in self._parts(index)
                for piece in self._operation("ite", part, (condition, *(part_of(v, low, part) for v in (moved, value))))
            )
        return value

    def _joined(self, kind: str, parts: list[Value]) -> Value:
        value = parts[0]
        for part in parts[1:]:
            value = self._operation(kind, 1, (value, part))
        return value

    def _held(self, index: int, cell: Cell, low: int, part: int) -> Piece:
        """A part of an input or register as a word of its own."""
        whole = part == cell.sort.width
        name = self._name(index) + ("" if whole else f"[{low + part - 1}:{low}]")
        kind = "register" if cell.kind == "state" else "input" if cell.name else "unknown"
        self._words.append(Word(kind, part, bool(self._taint[index] >> low & 1), (), 0, name))
        return Piece(len(self._words) - 1, 0, part)

    def _operation(self, kind: str, width: int, args: tuple[Value, ...]) -> Value:
        args = tuple(merged(arg) for arg in args)
        if kind == "ite":
            condition, a, b = args
            if a == b:
                return a
            if condition[0].word < 0:
                return a if condition[0].value else b
        elif all(piece.word < 0 for arg in args for piece in arg):
            operands, widths = [constant_of(arg) for arg in args], [width_of(arg) for arg in args]
            return (Piece(-1, 0, width, compute(kind, width, 0, operands, widths)),)
        if kind in ("and", "or", "xor") and (same := _identity(kind, width, *args)) is not None:
            return same
        lanes = any(map(self._depends, args))
        return (Piece(self._word(Word(kind, width, lanes, args)), 0, width),)

    def _word(self, word: Word) -> int:
        """The number of a word; what is computed alike is one."""
        if word not in self._known:
            self._known[word] = len(self._words)
            self._words.append(word)
        return self._known[word]

    def _chosen(self, index: int, of: list[Value]) -> Value:
        pieces: list[Piece] = []
        for low, part in self._parts(index):
            a, b = (part_of(v, low, part) for v in of[1:])
            pieces += self._operation("ite", part, (of[0], a, b))
        return tuple(pieces)

    def _read(self, cell: Cell) -> Value:
        base, writes = self._chain(cell.args[0])
        address = merged(self._of(cell.args[1]))
        pieces: list[Piece] = []
        at = 0
        for number in self._columns_of[base]:
            column = self._columns[number]
            lanes = column.lanes or self._depends(address)
            value: Value = (Piece(self._word(Word("read", column.width, lanes, (address,), number)), 0, column.width),)
            for conditions, where, data in writes:
                same = self._operation("eq", 1, (address, self._of(where)))
                for condition, inverted in conditions:
                    term = self._of(condition)
                    term = self._operation("not", 1, (term,)) if inverted else term
                    same = self._operation("and", 1, (same, term))
                value = self._operation("ite", column.width, (same, part_of(self._of(data), at, column.width), value))
            pieces += value
            at += column.width
        return tuple(pieces)

    # --- Memories ---

    def _memory(self, index: int) -> None:
        sort, state = self._netlist.cells[index].sort, self._states[index]
        rom = state.next == index
        words = self._first_words(index) if rom else None
        self._columns_of[index] = []
        for low, part in self._parts(index):
            content = None
            if words is not None:
                mask = (1 << part) - 1
                content = tuple(
                    None if word is None else word >> low & mask
                    for word in (words.get(i) for i in range(1 << sort.address))
                )
            name = self._name(index) + ("" if part == sort.width else f"[{low + part - 1}:{low}]")
            lanes = bool(self._taint[index] >> low & 1)
            self._columns_of[index].append(len(self._columns))
            self._columns.append(Column(name, 1 << sort.address, part, lanes, content))

    def _first_words(self, cell: int) -> dict[int, int]:
        """The words of a ROM that have a content, by address."""
        cells, found = self._netlist.cells, dict[int, int]()
        at = self._states[cell].init
        if at is None:
            return found
        if not cells[at].sort.address:
            return dict.fromkeys(range(1 << cells[cell].sort.address), cells[at].value)
        while cells[at].kind == "write":
            at, address, data = cells[at].args
            if cells[address].kind != "const":
                raise FileError(f"the first content of the memory '{self._name(cell)}' is at no constant address")
            # The last write of an address counts, which comes first here; what is x stays unknown.
            if cells[data].kind == "const":
                found.setdefault(cells[address].value, cells[data].value)
        if cells[at].kind != "state" or self._states[at].init is not None:
            raise FileError(f"the first content of the memory '{self._name(cell)}' is of a form that is not known")
        return found

    def _writes(self, index: int) -> None:
        following = self._states[index].next
        if following is None or following == index:
            return
        base, writes = self._chain(following)
        if base != index:
            raise FileError(f"the memory '{self._name(index)}' takes another memory's content")
        at = 0
        for number in self._columns_of[index]:
            column = self._columns[number]
            for conditions, address, data in writes:
                when = tuple((self._of(condition), inverted) for condition, inverted in conditions)
                by_data = [cell for cell in (address, *dict(conditions)) if self._depends(self._of(cell))]
                if index in self._agreeing and by_data:
                    raise FileError(
                        f"the memory '{self._name(index)}' is to be the same in all lanes, but which of its words is "
                        f"written depends on data: {' <- '.join(self._dependence.way(by_data[0]))}"
                    )
                column.writes.append(Write(when, self._of(address), part_of(self._of(data), at, column.width)))
            at += column.width

    def _chain(self, cell: int) -> tuple[int, tuple["_Written", ...]]:
        """The memory that an array is made of, and the writes done to it, the first one first."""
        of = self._netlist.cells[cell]
        if of.kind == "state":
            return cell, ()
        if of.kind == "write":
            base, before = self._chain(of.args[0])
            return base, (*before, _Written((), of.args[1], of.args[2]))
        condition, if_so, if_not = of.args
        (base, chosen), (other_base, other) = self._chain(if_so), self._chain(if_not)
        if base != other_base:
            raise FileError(f"two memories, '{self._name(base)}' and '{self._name(other_base)}', are chosen between")
        common = 0
        while common < min(len(chosen), len(other)) and chosen[common] == other[common]:
            common += 1
        so = (w._replace(conditions=(*w.conditions, (condition, False))) for w in chosen[common:])
        no = (w._replace(conditions=(*w.conditions, (condition, True))) for w in other[common:])
        return base, (*chosen[:common], *so, *no)

    # --- Pieces ---

    def _depends(self, value: Value) -> bool:
        return any(piece.word >= 0 and self._words[piece.word].lanes for piece in value)

    def _of(self, cell: int) -> Value:
        value = self._values[cell]
        assert value is not None
        return value

    def _name(self, cell: int) -> str:
        return self._names.get(cell, f"cell {cell}")


class _Written(NamedTuple):
    """A write to a memory, by cells."""

    conditions: tuple[tuple[int, bool], ...]
    address: int
    data: int


def part_of(value: Value, low: int, width: int) -> Value:
    """Some bits of a value, `width` of them from `low` on."""
    found: list[Piece] = []
    ends = list(accumulate((piece.width for piece in value), initial=0))
    at = bisect_right(ends, low) - 1
    while width:
        piece, inside = value[at], low - ends[at]
        take = min(piece.width - inside, width)
        found.append(
            Piece(piece.word, piece.low + inside, take)
            if piece.word >= 0
            else Piece(-1, 0, take, piece.value >> inside & (1 << take) - 1)
        )
        low, width, at = low + take, width - take, at + 1
    return merged(found)


def merged(value: Iterable[Piece]) -> Value:
    """A value with pieces joined that are neighbours in a word, or constants."""
    found: list[Piece] = []
    for piece in value:
        if not piece.width:
            continue
        last = found[-1] if found else None
        if last is not None and last.word == piece.word < 0:
            found[-1] = Piece(-1, 0, last.width + piece.width, last.value | piece.value << last.width)
        elif last is not None and last.word == piece.word and last.low + last.width == piece.low:
            found[-1] = Piece(last.word, last.low, last.width + piece.width)
        else:
            found.append(piece)
    return tuple(found)


def width_of(value: Value) -> int:
    """Bits of a value."""
    return sum(piece.width for piece in value)


def _without_zeros(value: Value) -> int:
    """Bits of a value up to the highest that is not known to be 0."""
    width = width_of(value)
    for piece in reversed(value):
        if piece.word >= 0 or piece.value:
            return width - (piece.width - piece.value.bit_length() if piece.word < 0 else 0)
        width -= piece.width
    return 1


def constant_of(value: Value) -> int:
    """The number that constant pieces make."""
    number, at = 0, 0
    for piece in value:
        number |= piece.value << at
        at += piece.width
    return number


def _identity(kind: str, width: int, a: Value, b: Value) -> Value | None:
    """The result of an operation of bits with a constant where that is no operation: an operand; else None."""
    if all(piece.word < 0 for piece in a):
        a, b = b, a
    if any(piece.word >= 0 for piece in b):
        return None
    constant, ones = constant_of(b), (1 << width) - 1
    if constant == (ones if kind == "and" else 0):
        return a
    return b if kind != "xor" and constant in (0, ones) else None


def _shifted(kind: str, value: Value, by: int, width: int) -> Value:
    """A value shifted by a constant."""
    by = min(by, width)
    if kind == "sll":
        kept = part_of(value, 0, width - by) if by < width else ()
        return (Piece(-1, 0, by), *kept)
    kept = part_of(value, by, width - by) if by < width else ()
    return (*kept, Piece(-1, 0, by))
