"""Proofs of blocks for all their inputs, and whatever their registers held: one question to the solver for each."""

import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from fxsim.devices.blocks import ProvableBlock
from fxsim.paths import rtl_dir
from fxsim.prove.btor2 import Netlist
from fxsim.prove.concrete import Evaluator
from fxsim.prove.evidence import Evidence
from fxsim.prove.netlist import make_netlist
from fxsim.prove.solver import Answer, decide
from fxsim.prove.transition import Unrolled
from fxsim.simulate.build import Status
from fxsim.simulate.sources import Sources, read_sources

PROVED, REFUTED, UNPROVED = "proved", "refuted", "unproved"
"""The results of proofs."""

_FILE = "prove_block.v"


class BlockProof(msgspec.Struct, frozen=True):
    """The result for a block: `proved`, `refuted` or `unproved`.

    `witness`: where it is refuted, inputs by name and cycle, unsigned, of which the netlist was evaluated.
    """

    name: str
    status: str
    witness: dict[str, int]
    btor2_sha256: str
    seconds: float


def prove_block(
    block: ProvableBlock, rtl: Path | None = None, status: Status | None = None, evidence: Evidence | None = None
) -> BlockProof:
    """Prove a block against its rule. ToolError where a tool is missing or does not take it."""
    begun = time.monotonic()
    folder = rtl or rtl_dir()
    sources = read_sources(folder)
    beside = Sources(folder, {**sources.files, _FILE: block.verilog.encode()})
    made = make_netlist(beside, block.top, dict(block.parameters), {}, status)
    netlist = made.netlist
    text = Unrolled(netlist, initial=False).question([(netlist.output("wrong"), block.cycle)])
    found = decide(text)
    state = UNPROVED
    if found.answer is Answer.UNSAT:
        state = PROVED
        if evidence is not None:
            evidence.ask(block.name, text, found.answer, f"{block.name} is its rule for all inputs")
    elif found.answer is Answer.SAT and _shows(netlist, found.values, block.cycle):
        state = REFUTED
    if evidence is not None:
        evidence.keep(f"netlists/{made.sha256}.btor", made.btor2.encode())
    inputs = {f"c{cell}@{cycle}": f"{name}@{cycle}" for name, cell in netlist.inputs.items() for cycle in range(4)}
    witness = {inputs[name]: value for name, value in sorted(found.values.items()) if name in inputs}
    return BlockProof(block.name, state, witness, made.sha256, round(time.monotonic() - begun, 3))


def _shows(netlist: Netlist, values: Mapping[str, int], cycle: int) -> bool:
    """Whether the netlist, evaluated on what the solver gave, is wrong in that cycle."""
    # First contents are asked for in the order of the states.
    first = iter([values.get(f"c{i}@0", 0) for i, cell in enumerate(netlist.cells) if cell.kind == "state"])
    evaluator = Evaluator(netlist, lambda _: next(first, 0))
    for at in range(cycle + 1):
        evaluator.evaluate({name: values.get(f"c{cell}@{at}", 0) for name, cell in netlist.inputs.items()})
        if at < cycle:
            evaluator.tick()
    return bool(evaluator.value(netlist.output("wrong")))
