"""The plain evaluator of a netlist, one cycle at a time on integers: short enough to be checked by eye.

What nothing determines (registers and memories without a first content, x) is asked of the caller.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from fxsim.errors import StimulusError
from fxsim.prove.btor2 import Cell, Netlist


class Words(NamedTuple):
    """The words of a memory by address: those `written`, and the `first` contents of the others that were asked for.

    Every version of a memory shares `first`, so that what nothing writes stays one and the same.
    """

    written: dict[int, int]
    first: dict[int, int]


Value = int | Words


class Evaluator:
    """A netlist in some cycle; before the first `evaluate` it stands in its first state.

    `unknown`: from a width, a value of what nothing determines, unsigned.
    """

    def __init__(self, netlist: Netlist, unknown: Callable[[int], int]) -> None:
        self._netlist = netlist
        self._unknown = unknown
        self._values: list[Value] = [0] * len(netlist.cells)
        for index, cell in enumerate(netlist.cells):
            if cell.kind == "state":
                self._values[index] = Words({}, {}) if cell.sort.address else unknown(cell.sort.width)
        first: dict[int, Value] = {}
        inits = [state for state in netlist.states if state.init is not None]
        if inits:
            self._cells({}, _cone(netlist, [state.init for state in inits]))
        for state in inits:
            assert state.init is not None
            sort, given = netlist.cells[state.cell].sort, self._values[state.init]
            if sort.address and isinstance(given, int):
                given = Words(dict.fromkeys(range(1 << sort.address), given), {})
            first[state.cell] = given
        for index, value in first.items():
            self._values[index] = value

    def evaluate(self, inputs: Mapping[str, int]) -> None:
        """Compute every cell from the state and the inputs by port, unsigned. StimulusError where they do not fit."""
        if inputs.keys() != self._netlist.inputs.keys():
            raise StimulusError(f"inputs are {sorted(inputs)}, expected {sorted(self._netlist.inputs)}")
        for name, value in inputs.items():
            width = self._netlist.cells[self._netlist.inputs[name]].sort.width
            if not 0 <= value < 1 << width:
                raise StimulusError(f"input '{name}' is {value}, expected {width} bits")
        self._cells(inputs, range(len(self._values)))

    def value(self, cell: int) -> int:
        """The value of a cell in this cycle, unsigned; of no memory."""
        value = self._values[cell]
        assert isinstance(value, int)
        return value

    def words(self, cell: int) -> Words:
        """The words of a memory in this cycle."""
        value = self._values[cell]
        assert isinstance(value, Words)
        return value

    def tick(self) -> None:
        """Go on to the next cycle: every state takes what was computed for it."""
        found = {}
        for state in self._netlist.states:
            sort = self._netlist.cells[state.cell].sort
            if state.next is not None:
                found[state.cell] = self._values[state.next]
            else:
                found[state.cell] = Words({}, {}) if sort.address else self._unknown(sort.width)
        for cell, value in found.items():
            self._values[cell] = value

    def _cells(self, inputs: Mapping[str, int], cells: Iterable[int]) -> None:
        values = self._values
        for index in cells:
            cell = self._netlist.cells[index]
            if cell.kind == "state":
                continue
            if cell.kind == "input":
                values[index] = inputs[cell.name] if cell.name else self._unknown(cell.sort.width)
            elif cell.kind == "const":
                values[index] = cell.value
            else:
                values[index] = self._compute(cell)

    def _compute(self, cell: Cell) -> Value:
        kind, width = cell.kind, cell.sort.width
        if kind == "write":
            return self._write(cell)
        if kind == "read":
            return self._read(self.words(cell.args[0]), self.value(cell.args[1]), width)
        if kind == "ite":
            return self._values[cell.args[1] if self._values[cell.args[0]] else cell.args[2]]
        operands = [self.value(arg) for arg in cell.args]
        widths = [self._netlist.cells[arg].sort.width for arg in cell.args]
        return compute(kind, width, cell.low, operands, widths)

    def _write(self, cell: Cell) -> Words:
        old, address, data = self.words(cell.args[0]), self.value(cell.args[1]), self.value(cell.args[2])
        if old.written.get(address) == data:
            return old
        return Words(old.written | {address: data}, old.first)

    def _read(self, words: Words, address: int, width: int) -> int:
        if address in words.written:
            return words.written[address]
        if address not in words.first:
            words.first[address] = self._unknown(width)
        return words.first[address]


def _cone(netlist: Netlist, ends: Iterable[int | None]) -> list[int]:
    """The cells that these are computed of, and themselves, in order."""
    pending = [end for end in ends if end is not None]
    found: set[int] = set()
    while pending:
        if (cell := pending.pop()) not in found:
            found.add(cell)
            pending += netlist.cells[cell].args
    return sorted(found)


def compute(kind: str, width: int, low: int, operands: list[int], widths: list[int]) -> int:  # one line a kind
    """The value of a cell of this kind and width, unsigned, from its operands and their widths. See `Cell.low`."""
    mask = (1 << width) - 1
    a = operands[0]
    b = operands[1] if len(operands) > 1 else 0
    w = widths[0]
    match kind:
        case "not":
            return ~a & mask
        case "neg":
            return -a & mask
        case "and":
            return a & b
        case "or":
            return a | b
        case "xor":
            return a ^ b
        case "xnor":
            return ~(a ^ b) & mask
        case "nand":
            return ~(a & b) & mask
        case "nor":
            return ~(a | b) & mask
        case "add":
            return a + b & mask
        case "sub":
            return a - b & mask
        case "mul":
            return a * b & mask
        case "sll":
            return a << min(b, width) & mask
        case "srl":
            return a >> min(b, width)
        case "sra":
            return signed(a, width) >> min(b, width) & mask
        case "eq":
            return int(a == b)
        case "neq":
            return int(a != b)
        case "ult":
            return int(a < b)
        case "ulte":
            return int(a <= b)
        case "ugt":
            return int(a > b)
        case "ugte":
            return int(a >= b)
        case "slt":
            return int(signed(a, w) < signed(b, w))
        case "slte":
            return int(signed(a, w) <= signed(b, w))
        case "sgt":
            return int(signed(a, w) > signed(b, w))
        case "sgte":
            return int(signed(a, w) >= signed(b, w))
        case "redand":
            return int(a == (1 << w) - 1)
        case "redor":
            return int(a != 0)
        case "redxor":
            return a.bit_count() & 1
        case "concat":
            return a << widths[1] | b
        case "slice":
            return a >> low & mask
        case "uext":
            return a
        case "sext":
            return signed(a, w) & mask
    raise AssertionError(f"no rule for '{kind}'")


def signed(value: int, width: int) -> int:
    """A value of `width` bits, unsigned, read as two's complement."""
    return value - (1 << width) if value >> width - 1 & 1 else value
