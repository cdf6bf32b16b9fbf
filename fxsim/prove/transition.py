"""A netlist as a transition system in SMT-LIB: unrolled over some cycles, of no more cells than a question needs.

Every state starts as anything, but where the netlist's own first content is asked for.
"""

from collections.abc import Iterable

from fxsim.prove.btor2 import Cell, Netlist, Sort

Place = tuple[int, int]
"""A cell in a cycle."""

_BINARY = {
    "and": "bvand",
    "or": "bvor",
    "xor": "bvxor",
    "xnor": "bvxnor",
    "nand": "bvnand",
    "nor": "bvnor",
    "add": "bvadd",
    "sub": "bvsub",
    "mul": "bvmul",
    "sll": "bvshl",
    "srl": "bvlshr",
    "sra": "bvashr",
    "concat": "concat",
}
_COMPARED = {
    "eq": "=",
    "ult": "bvult",
    "ulte": "bvule",
    "ugt": "bvugt",
    "ugte": "bvuge",
    "slt": "bvslt",
    "slte": "bvsle",
    "sgt": "bvsgt",
    "sgte": "bvsge",
}


def sort_text(sort: Sort) -> str:
    """A sort in SMT-LIB."""
    word = f"(_ BitVec {sort.width})"
    return f"(Array (_ BitVec {sort.address}) {word})" if sort.address else word


def name(place: Place) -> str:
    """The name of a cell in a cycle."""
    return f"c{place[0]}@{place[1]}"


class Unrolled:
    """A netlist over cycles 0, 1, ...; `initial`: whether cycle 0 has the first contents of registers that have any.

    Memories start as anything in either case.
    """

    def __init__(self, netlist: Netlist, initial: bool) -> None:
        self._netlist = netlist
        self._initial = initial
        self._next = {state.cell: state.next for state in netlist.states}
        self._init = {state.cell: state.init for state in netlist.states}

    def question(self, true: Iterable[Place], broken: Iterable[Place] = ()) -> str:
        """SMT-LIB: whether some cells of one bit, each in a cycle, can be 1 while one at least of others is 0."""
        true, broken = list(true), list(broken)
        lines = ["(set-logic QF_ABV)"]
        lines += [self._line(place) for place in self._needed([*true, *broken])]
        lines += [f"(assert (= {name(place)} #b1))" for place in true]
        if broken:
            lines.append(f"(assert (or false {' '.join(f'(= {name(place)} #b0)' for place in broken)}))")
        return "\n".join([*lines, "(check-sat)", ""])

    def before(self, place: Place) -> list[Place]:
        """The cells that a cell in a cycle is computed of."""
        index, cycle = place
        cell = self._netlist.cells[index]
        if cell.kind != "state":
            return [(arg, cycle) for arg in cell.args]
        if cycle:
            following = self._next[index]
            return [] if following is None else [(following, cycle - 1)]
        init = self._init[index]
        return [(init, 0)] if self._initial and init is not None and not cell.sort.address else []

    def _needed(self, goals: list[Place]) -> list[Place]:
        """All that goals are computed of, in an order in which each stands after its own."""
        order: list[Place] = []
        seen: set[Place] = set()
        stack = [(goal, False) for goal in reversed(goals)]
        while stack:
            place, done = stack.pop()
            if done:
                order.append(place)
            elif place not in seen:
                seen.add(place)
                stack.append((place, True))
                stack += [(other, False) for other in self.before(place) if other not in seen]
        return order

    def _line(self, place: Place) -> str:
        index, _cycle = place
        cell = self._netlist.cells[index]
        sort = sort_text(cell.sort)
        below = self.before(place)
        if cell.kind == "state" and below:
            return f"(define-fun {name(place)} () {sort} {name(below[0])})"
        if cell.kind in ("state", "input"):
            return f"(declare-const {name(place)} {sort})"
        return f"(define-fun {name(place)} () {sort} {self._term(cell, [name(other) for other in below])})"

    def _term(self, cell: Cell, args: list[str]) -> str:  # one line a kind
        kind, width = cell.kind, cell.sort.width
        if kind == "const":
            return f"(_ bv{cell.value} {width})"
        if kind in _BINARY:
            return f"({_BINARY[kind]} {args[0]} {args[1]})"
        if kind in _COMPARED:
            return f"(ite ({_COMPARED[kind]} {args[0]} {args[1]}) #b1 #b0)"
        if kind == "neq":
            return f"(ite (= {args[0]} {args[1]}) #b0 #b1)"
        if kind in ("not", "neg"):
            return f"(bv{kind} {args[0]})"
        if kind in ("redand", "redor"):
            operand = self._netlist.cells[cell.args[0]].sort.width
            if kind == "redor":
                return f"(ite (= {args[0]} (_ bv0 {operand})) #b0 #b1)"
            return f"(ite (= {args[0]} (bvnot (_ bv0 {operand}))) #b1 #b0)"
        if kind == "redxor":
            operand = self._netlist.cells[cell.args[0]].sort.width
            bits = [f"((_ extract {i} {i}) {args[0]})" for i in range(operand)]
            return bits[0] if operand == 1 else f"(bvxor {' '.join(bits)})"
        if kind == "slice":
            return f"((_ extract {cell.low + width - 1} {cell.low}) {args[0]})"
        if kind in ("uext", "sext"):
            return f"((_ {'zero' if kind == 'uext' else 'sign'}_extend {cell.low}) {args[0]})"
        if kind == "ite":
            return f"(ite (= {args[0]} #b1) {args[1]} {args[2]})"
        if kind == "read":
            return f"(select {args[0]} {args[1]})"
        if kind == "write":
            return f"(store {args[0]} {args[1]} {args[2]})"
        raise AssertionError(f"a cell of the kind '{kind}'")
