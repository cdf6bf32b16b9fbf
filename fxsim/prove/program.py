"""The program that the compiled evaluator runs: a netlist's cells with every bit of an operand as a place.

Slices, concatenations, extensions and constants cost nothing: they are places of other cells' bits. Place 0 holds 0,
place 1 holds 1.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fxsim.errors import FileError
from fxsim.prove.btor2 import Cell, Netlist
from fxsim.prove.compiled import kernel

Places = npt.NDArray[np.int32]
Table = npt.NDArray[np.int64]

MEMORY_BITS_MAX = 1 << 28
"""Most bits of all memories together."""

_PLAIN = {
    "not": kernel.OP_NOT,
    "and": kernel.OP_AND,
    "or": kernel.OP_OR,
    "xor": kernel.OP_XOR,
    "add": kernel.OP_ADD,
    "sub": kernel.OP_SUB,
    "mul": kernel.OP_MUL,
    "eq": kernel.OP_EQ,
    "ult": kernel.OP_ULT,
    "slt": kernel.OP_SLT,
    "redor": kernel.OP_REDOR,
    "redand": kernel.OP_REDAND,
    "redxor": kernel.OP_REDXOR,
    "ite": kernel.OP_ITE,
    "sll": kernel.OP_SLL,
    "srl": kernel.OP_SRL,
    "sra": kernel.OP_SRA,
}
_COMPLEMENTS = {"nand": "and", "nor": "or", "xnor": "xor", "neq": "eq"}
# a <= b is not b < a, and so on: the kind that is computed, whether operands change places, whether it is complemented.
_ORDERS = {
    "ugt": ("ult", True, False),
    "ulte": ("ult", True, True),
    "ugte": ("ult", False, True),
    "sgt": ("slt", True, False),
    "slte": ("slt", True, True),
    "sgte": ("slt", False, True),
}


class _Write(NamedTuple):
    """A write of a memory: done where all conditions (a place, whether its complement is meant) hold."""

    conditions: tuple[tuple[int, bool], ...]
    address: Places
    data: Places


@dataclass(frozen=True)
class Program:
    """A netlist for the compiled evaluator; `kernel.py` says what the columns of its arrays are.

    `bits`, `memory`: what stands there at first. `reasons`: why a bit is unknown, by number. `places`: of every cell of
    the netlist that is a bit vector, its bits' places, the lowest first.
    """

    places: tuple[Places | None, ...]
    reasons: tuple[str, ...]
    bits: npt.NDArray[np.int64]
    memory: npt.NDArray[np.int64]
    owners: Places
    code: Table
    operands: Places
    consumers_at: Places
    consumers: Places
    states: Table
    writes: Table
    writes_done: int
    memories: Table
    readers_at: Places
    readers: Places
    cells_of: tuple[int, ...]


def make_program(netlist: Netlist, *, contents: bool = False) -> Program:
    """The program of a netlist; FileError, with the name, where a register or memory is of a form that is not known.

    `contents`: whether a memory that is written begins with the first content that the Verilog gives it; a ROM does.
    """
    return _Builder(netlist, contents=contents).build()


class _Builder:
    def __init__(self, netlist: Netlist, *, contents: bool) -> None:
        self._netlist = netlist
        self._contents = contents
        self._places: list[Places | None] = []
        self._reasons: list[str] = []
        self._bits: list[int] = [0, 1]
        self._owners: list[int] = [-1, -1]
        """The holder of every place: a program's cell, -2 - a state or an input until these are numbered."""
        self._code: list[list[int]] = []
        self._cells_of: list[int] = []
        self._operands: list[int] = []
        self._known: dict[bytes, int] = {}
        self._reads: list[tuple[int, int]] = []
        self._states = {state.cell: state for state in netlist.states}
        self._registers = [s.cell for s in netlist.states if not netlist.cells[s.cell].sort.address]
        # An array without a next content is what another one's first content is made of, and no memory.
        stored = [s for s in netlist.states if netlist.cells[s.cell].sort.address]
        self._stored = [s.cell for s in stored if s.next is not None]
        self._uses: list[tuple[Places, int]] = []
        self._names: dict[int, str] = {}
        for name, cell in netlist.nets.items():
            self._names.setdefault(cell, name)

    def build(self) -> Program:
        """Translate all there is."""
        netlist = self._netlist
        for index, cell in enumerate(netlist.cells):
            if cell.sort.address:
                self._places.append(None)
            elif cell.kind in ("state", "input"):
                named = f"the register '{self._name(index)}', which nothing had set"
                if cell.kind == "input":
                    named = f"the input '{cell.name}'" if cell.name else "an x of the Verilog"
                self._places.append(self._hold(cell.sort.width, -2 - index, self._reason(named)))
            else:
                self._places.append(self._cell(index, cell))
        cells = len(self._code)
        inputs = [i for i, cell in enumerate(netlist.cells) if cell.kind == "input"]
        number = {cell: cells + i for i, cell in enumerate((*self._registers, *inputs))}
        owners = np.array([number[-2 - owner] if owner < -1 else owner for owner in self._owners], np.int32)
        bits = np.array(self._bits, np.int64)
        memories, memory = self._memories()
        states = self._latches(bits, cells)
        writes, done = self._writes(memories)
        uses = [(int(owner), user) for places, user in self._uses for owner in np.unique(owners[places]) if owner >= 0]
        consumers_at, consumers = _grouped(uses, cells + len(self._registers) + len(inputs))
        readers_at, readers = _grouped([(self._code[k][5], k) for k, _ in self._reads], len(self._stored))
        return Program(
            places=tuple(self._places),
            reasons=tuple(self._reasons),
            bits=bits,
            memory=memory,
            owners=owners,
            code=np.array(self._code, np.int64).reshape(-1, 10),
            operands=np.array(self._operands, np.int32),
            consumers_at=consumers_at,
            consumers=consumers,
            states=states,
            writes=writes,
            writes_done=done,
            memories=memories,
            readers_at=readers_at,
            readers=readers,
            cells_of=tuple(self._cells_of),
        )

    # --- Cells ---

    def _cell(self, index: int, cell: Cell) -> Places:
        kind, width = cell.kind, cell.sort.width
        if kind == "const":
            return np.array([cell.value >> i & 1 for i in range(width)], np.int32)
        if kind == "read":
            return self._read(index, cell)
        of = [self._of(arg) for arg in cell.args]
        match kind:
            case "concat":
                return np.concatenate([of[1], of[0]])
            case "slice":
                return of[0][cell.low : cell.low + width]
            case "uext":
                return np.concatenate([of[0], np.zeros(cell.low, np.int32)])
            case "sext":
                return np.concatenate([of[0], np.repeat(of[0][-1:], cell.low)])
            case "neg":
                return self._compute(index, kernel.OP_SUB, width, [np.zeros(width, np.int32), of[0]])
        complemented = kind in _COMPLEMENTS
        kind = _COMPLEMENTS.get(kind, kind)
        if kind in _ORDERS:
            kind, swapped, complemented = _ORDERS[kind]
            of = of[::-1] if swapped else of
        result = self._compute(index, _PLAIN[kind], width, of)
        return self._compute(index, kernel.OP_NOT, width, [result]) if complemented else result

    def _compute(self, index: int, op: int, width: int, operands: list[Places]) -> Places:
        k = len(self._code)
        result = self._hold(width, k, 0)
        # Until it is first evaluated, a cell holds 0: every one is, before anything is looked at.
        self._bits[int(result[0]) :] = [0] * width
        at = [self._operand(places) for places in operands] + [0] * (3 - len(operands))
        reason = self._reason(f"the {self._netlist.cells[index].kind} '{self._name(index)}' of data")
        self._code.append([op, int(result[0]), width, *at, len(operands[0]), reason, 0, 0])
        self._cells_of.append(index)
        self._uses += [(places, k) for places in operands]
        return result

    def _read(self, index: int, cell: Cell) -> Places:
        base, _ = self._chain(cell.args[0])
        if base not in self._stored:
            raise FileError(f"the memory '{self._name(base)}' has no next content")
        address = self._of(cell.args[1])
        result = self._compute(index, kernel.OP_READ, cell.sort.width, [address])
        self._code[-1][5] = self._stored.index(base)
        self._reads.append((len(self._code) - 1, cell.args[0]))
        return result

    # --- Registers and memories ---

    def _latches(self, bits: Table, cells: int) -> Table:
        states = np.zeros((len(self._registers), 3), np.int64)
        for i, cell in enumerate(self._registers):
            state, own = self._states[cell], self._of(cell)
            if state.next is None:
                raise FileError(f"the register '{self._name(cell)}' has no next value")
            if state.init is not None:
                first = self._netlist.cells[state.init]
                if first.kind != "const":
                    raise FileError(f"the first content of the register '{self._name(cell)}' is no constant")
                bits[own] = [first.value >> j & 1 for j in range(len(own))]
            following = self._of(state.next)
            states[i] = int(own[0]), len(own), self._operand(following)
            self._uses.append((following, cells + i))
        return states

    def _memories(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        table = np.zeros((len(self._stored), 6), np.int64)
        parts, start = [], 0
        for i, cell in enumerate(self._stored):
            sort = self._netlist.cells[cell].sort
            words = 1 << sort.address
            if start + words * sort.width > MEMORY_BITS_MAX:
                raise FileError(f"memories have more than {MEMORY_BITS_MAX:,} bits, the most that are evaluated")
            name = self._name(cell)
            unset = self._reason(f"a word of the memory '{name}', which nothing had set")
            where = self._reason(f"the memory '{name}', written or read at a place or time that is not known")
            content = np.full((words, sort.width), -1 - unset, np.int64)
            for address, value in self._first_words(cell).items():
                content[address] = [value >> j & 1 for j in range(sort.width)]
            table[i] = start, sort.width, words, 0, -1 - where, sort.address
            parts.append(content.reshape(-1))
            start += words * sort.width
        return table, np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def _first_words(self, cell: int) -> dict[int, int]:
        """The words of a memory that have a first content, by address."""
        state, found = self._states[cell], dict[int, int]()
        at, cells = state.init, self._netlist.cells
        if at is None or (not self._contents and state.next not in (None, cell)):
            return found
        if not cells[at].sort.address:
            if cells[at].kind != "const":
                raise FileError(f"the first content of the memory '{self._name(cell)}' is no constant")
            return dict.fromkeys(range(1 << cells[cell].sort.address), cells[at].value)
        while cells[at].kind == "write":
            at, address, data = cells[at].args
            if cells[address].kind != "const":
                raise FileError(f"the first content of the memory '{self._name(cell)}' is at no constant address")
            # The last write of an address counts, which comes first here; what is x in the Verilog stays unknown.
            if cells[data].kind == "const":
                found.setdefault(cells[address].value, cells[data].value)
            elif cells[address].value not in found:
                raise FileError(f"a word of the first content of the memory '{self._name(cell)}' is no constant")
        if cells[at].kind != "state" or self._states[at].init is not None:
            raise FileError(f"the first content of the memory '{self._name(cell)}' is of a form that is not known")
        return found

    def _chain(self, cell: int) -> tuple[int, tuple[_Write, ...]]:
        """The memory that an array is made of, and the writes done to it, the first one first."""
        of = self._netlist.cells[cell]
        if of.kind == "state":
            return cell, ()
        if of.kind == "write":
            base, before = self._chain(of.args[0])
            return base, (*before, _Write((), self._of(of.args[1]), self._of(of.args[2])))
        assert of.kind == "ite"
        condition = int(self._of(of.args[0])[0])
        (base, chosen), (other_base, other) = self._chain(of.args[1]), self._chain(of.args[2])
        if base != other_base:
            raise FileError(f"two memories, '{self._name(base)}' and '{self._name(other_base)}', are chosen between")
        common = 0
        while common < min(len(chosen), len(other)) and _key(chosen[common]) == _key(other[common]):
            common += 1
        if_so = (w._replace(conditions=(*w.conditions, (condition, False))) for w in chosen[common:])
        if_not = (w._replace(conditions=(*w.conditions, (condition, True))) for w in other[common:])
        return base, (*chosen[:common], *if_so, *if_not)

    def _writes(self, memories: Table) -> tuple[Table, int]:
        """The table of writes, and how many of them are done in each cycle; the others are only read through."""
        rows: list[list[int]] = []
        done: dict[int, tuple[int, tuple[_Write, ...]]] = {}
        for i, cell in enumerate(self._stored):
            following = self._states[cell].next
            assert following is not None
            base, writes = self._chain(following)
            if base != cell:
                raise FileError(f"the memory '{self._name(cell)}' takes another memory's content")
            done[cell] = len(rows), writes
            memories[i, 3] = not writes
            rows += [self._row(i, write) for write in writes]
        count = len(rows)
        for k, array in self._reads:
            base, writes = self._chain(array)
            start, whole = done[base]
            if [_key(w) for w in writes] != [_key(w) for w in whole[: len(writes)]]:
                start = len(rows)
                rows += [self._row(self._code[k][5], write) for write in writes]
            self._code[k][8:10] = [start, start + len(writes)]
            for write in writes:
                conditions = np.array([place for place, _ in write.conditions], np.int32)
                self._uses += [(places, k) for places in (conditions, write.address, write.data)]
        return np.array(rows, np.int64).reshape(-1, 5), count

    def _row(self, memory: int, write: _Write) -> list[int]:
        conditions = [place << 1 | inverted for place, inverted in write.conditions]
        at = self._operand(np.array(conditions, np.int32))
        return [memory, at, at + len(conditions), self._operand(write.address), self._operand(write.data)]

    # --- Places and names ---

    def _of(self, cell: int) -> Places:
        places = self._places[cell]
        assert places is not None
        return places

    def _hold(self, width: int, owner: int, reason: int) -> Places:
        start = len(self._bits)
        self._bits += [-1 - reason] * width
        self._owners += [owner] * width
        return np.arange(start, start + width, dtype=np.int32)

    def _operand(self, places: Places) -> int:
        key = places.tobytes()
        if key not in self._known:
            self._known[key] = len(self._operands)
            self._operands += places.tolist()
        return self._known[key]

    def _reason(self, text: str) -> int:
        self._reasons.append(text)
        return len(self._reasons) - 1

    def _name(self, cell: int) -> str:
        return self._netlist.cells[cell].name or self._names.get(cell, f"cell {cell}")


def _key(write: _Write) -> tuple[object, ...]:
    return write.conditions, write.address.tobytes(), write.data.tobytes()


def _grouped(pairs: list[tuple[int, int]], count: int) -> tuple[Places, Places]:
    """The second members by the first: where those of each begin, and all of them, each once and in order."""
    table = np.array(sorted(set(pairs)), np.int32).reshape(-1, 2)
    starts = np.searchsorted(table[:, 0], np.arange(count + 1))
    return starts.astype(np.int32), np.ascontiguousarray(table[:, 1])
