"""Proofs of blocks for all their inputs, whatever their registers held: a question to the solver for each output."""

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from fxsim.devices.blocks import ProvableBlock
from fxsim.errors import ToolError
from fxsim.paths import rtl_dir
from fxsim.prove.btor2 import Cell, Netlist, Sort, State
from fxsim.prove.evidence import Evidence
from fxsim.prove.netlist import Made, make_netlist
from fxsim.prove.schedule import replay
from fxsim.prove.solver import Answer, decide
from fxsim.prove.transition import Unrolled
from fxsim.simulate.build import Status
from fxsim.simulate.sources import Sources, read_sources

PROVED, REFUTED, UNPROVED = "proved", "refuted", "unproved"
"""The results of proofs."""

_FILE = "prove_block.v"
_BLOCK = "block."
_MOVED = "moved"


class BlockProof(msgspec.Struct, frozen=True):
    """The result for a block: `proved`, `refuted` or `unproved`.

    `witness`: where it is refuted, inputs by name and cycle, unsigned, of which the netlist was evaluated. `wrong`: the
    output of its rule that is not proved to be 0; `moved`: a register changes in a cycle in which none may.
    """

    name: str
    status: str
    witness: dict[str, int]
    btor2_sha256: str
    seconds: float
    wrong: str = ""


def prove_block(
    block: ProvableBlock, rtl: Path | None = None, status: Status | None = None, evidence: Evidence | None = None
) -> BlockProof:
    """Prove a block against its rule. ToolError where a tool is missing, or the block lacks what the rule looks at."""
    begun = time.monotonic()
    made, netlist = block_netlist(block, rtl, status)
    state, wrong = PROVED, ""
    witness: dict[str, int] = {}
    for output, cycle, text in block_questions(block, netlist):
        found = decide(text)
        if found.answer is Answer.UNSAT:
            if evidence is not None:
                evidence.ask(block.name, text, found.answer, f"'{output}' of {block.name} is 0 for all inputs")
            continue
        state, wrong = UNPROVED, output
        if found.answer is Answer.SAT and replay(netlist, found, cycle + 1)[-1][output]:
            state = REFUTED
            cells = {
                f"c{cell}@{at}": f"{name}@{at}" for name, cell in netlist.inputs.items() for at in range(cycle + 1)
            }
            witness = {cells[name]: value for name, value in sorted(found.values.items()) if name in cells}
            break
    if evidence is not None:
        evidence.keep(f"netlists/{made.sha256}.btor", made.btor2.encode())
    return BlockProof(block.name, state, witness, made.sha256, round(time.monotonic() - begun, 3), wrong)


def block_netlist(block: ProvableBlock, rtl: Path | None = None, status: Status | None = None) -> tuple[Made, Netlist]:
    """A block's netlist beside its rule as Yosys made it, and joined."""
    folder = rtl or rtl_dir()
    sources = read_sources(folder)
    beside = Sources(folder, {**sources.files, _FILE: block.verilog.encode()})
    made = make_netlist(beside, block.top, dict(block.parameters), block.files, status)
    return made, join(made.netlist, block)


def block_questions(block: ProvableBlock, netlist: Netlist) -> list[tuple[str, int, str]]:
    """The questions about a block, of its joined netlist: each output that must be 0, the cycle, and the text."""
    asked = [(output, block.cycle) for output in block.wrong]
    if block.still:
        asked.append((_MOVED, 0))
    unrolled = Unrolled(netlist, initial=False)
    return [(output, cycle, unrolled.question([(netlist.output(output), cycle)])) for output, cycle in asked]


def join(netlist: Netlist, block: ProvableBlock) -> Netlist:
    """The netlist of a block beside its rule with peeks that are no inputs and `moved` as an output.

    ToolError where it lacks what the rule looks at.
    """
    cells, inputs, outputs = list(netlist.cells), dict(netlist.inputs), dict(netlist.outputs)
    args: tuple[int, ...]
    for port, peek in block.peeks.items():
        if port not in inputs:
            raise ToolError(f"the netlist of {block.name} has no input '{port}', by which its rule looks inside")
        cell = inputs.pop(port)
        sort, net = cells[cell].sort, _net(netlist, block, peek.net)
        if peek.address:
            address = _net(netlist, block, peek.address)
            args, kind, wanted = (net, address), "read", Sort(sort.width, cells[address].sort.width)
        else:
            args, kind, wanted = (net,), "uext", sort
        if cells[net].sort != wanted:
            found = cells[net].sort
            raise ToolError(
                f"{block.name}: '{peek.net}' has words of {found.width} bits and addresses of {found.address}, "
                f"expected {wanted.width} and {wanted.address}"
            )
        cells[cell] = Cell(kind, sort, args)
    if block.still:
        changes = _changes(netlist, cells)
        moved = changes[0]
        for change in changes[1:]:
            cells.append(Cell("or", Sort(1), (moved, change)))
            moved = len(cells) - 1
        cells.append(Cell("and", Sort(1), (netlist.output(block.still), moved)))
        outputs[_MOVED] = len(cells) - 1
    return _ordered(netlist, cells, inputs, outputs)


def _net(netlist: Netlist, block: ProvableBlock, name: str) -> int:
    names = netlist.outputs | netlist.nets
    if name not in names:
        raise ToolError(f"the netlist of {block.name} has no '{name}', which its rule looks at")
    return names[name]


def _changes(netlist: Netlist, cells: list[Cell]) -> list[int]:
    """New cells, one at least: whether a register of the block, or one of no name, changes at the end of a cycle."""
    found = []
    for state in netlist.states:
        if state.name and not state.name.startswith(_BLOCK):
            continue
        if state.next is None or cells[state.cell].sort.address:
            raise ToolError(f"'{state.name}' is a memory, or nothing sets it: expected registers alone")
        cells.append(Cell("neq", Sort(1), (state.cell, state.next)))
        found.append(len(cells) - 1)
    if not found:
        raise ToolError("no register is found that must stand still")
    return found


def _ordered(netlist: Netlist, cells: Sequence[Cell], inputs: dict[str, int], outputs: dict[str, int]) -> Netlist:
    """The netlist of these cells, each behind those that it is computed of; ToolError where there is no such order."""
    places: dict[int, int] = {}
    open_: set[int] = set()
    made: list[Cell] = []
    for end in range(len(cells)):
        stack = [end]
        while stack:
            cell = stack[-1]
            rest = [arg for arg in cells[cell].args if arg not in places]
            if cell in places or not rest:
                stack.pop()
                open_.discard(cell)
                if cell not in places:
                    places[cell] = len(made)
                    made.append(cells[cell]._replace(args=tuple(places[arg] for arg in cells[cell].args)))
            elif cell in open_:
                raise ToolError("what a rule looks at depends on the look itself")
            else:
                open_.add(cell)
                stack += rest
    states = tuple(
        State(
            places[state.cell],
            state.name,
            None if state.init is None else places[state.init],
            None if state.next is None else places[state.next],
        )
        for state in netlist.states
    )
    return Netlist(
        tuple(made),
        {name: places[cell] for name, cell in inputs.items()},
        tuple(places[cell] for cell in netlist.unknowns),
        states,
        {name: places[cell] for name, cell in outputs.items()},
        {name: places[cell] for name, cell in netlist.nets.items()},
    )
