"""Levels of logic of a netlist of an FPGA's cells: the longest ways between registers, inputs and outputs, by name.

A level is one look-up table. A carry chain counts as one where it is entered and as a tenth for each cell further along
it, a multiplier as four, a memory block as two, from its clock to its output: about what they take of a table and its
wire in the families of today. Counted in tenths, so that nothing is rounded.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from fxsim.errors import ToolError
from fxsim.synthesis.record import Levels, Way
from fxsim.synthesis.targets import ICE40_KINDS

TABLE, CHAIN, MULTIPLIER, BLOCK = 10, 1, 40, 20
"""Tenths of a level of a table and of the entry into a chain; of a cell along it; of a multiplier; of a block."""

_FLOPS = {
    *(f"FD{kind}{edge}" for kind in ("RE", "SE", "CE", "PE") for edge in ("", "_1")), "LDCE", "LDPE", "TRELLIS_FF",
    *(f"SB_DFF{edge}{kind}" for edge in ("", "N") for kind in ICE40_KINDS),
}  # fmt: skip
_CLOCKS = {
    "C", "G", "CLK", "CLKA", "CLKB", "CLKARDCLK", "CLKBWRCLK", "WCLK", "WCK", "RCLK", "CLK0", "CLK1", "CLK2", "CLK3",
    "RDCLK", "WRCLK", "RCLKN", "WCLKN",
}  # fmt: skip
_TABLES = {
    *(f"LUT{inputs}" for inputs in range(1, 7)), "LUT6_2", "INV", "PFUMX", "L6MUX21", "MUXF7", "MUXF8", "MUXF9",
    "SB_LUT4",
}  # fmt: skip
_CHAINS = {"CARRY4": "CI", "CARRY8": "CI", "CCU2C": "CIN", "SB_CARRY": "CI"}
"""Cells of carry chains, each with the port at which the chain goes on."""
_BLOCKS = ("RAMB18", "RAMB36", "DP16KD", "URAM288", "SB_RAM40", "SB_SPRAM")
_TABLES_AS_MEMORY = ("SRL", "RAM", "TRELLIS_DPR")
_MULTIPLIERS = ("DSP48", "MULT18X18D", "SB_MAC16")
_WRITTEN = ("D", "WE", "WRE", "WAD")
"""First letters of ports by which a table that is memory is written."""


class _Cell(NamedTuple):
    kind: str
    name: str
    parameters: Mapping[str, Any]
    ins: Mapping[str, list[Any]]
    outs: Mapping[str, list[Any]]


class _Graph:
    """The ways of a netlist: of which bits a bit is made, where ways begin, and where they end."""

    def __init__(self, names: Mapping[Any, str]) -> None:
        self.names = names
        self.made: dict[Any, list[tuple[Any, int]]] = {}
        self.begin: dict[Any, Way] = {}
        self.end: list[tuple[Any, int, str]] = []

    def start(self, cell: _Cell, tenths: int) -> None:
        """Ways begin at a cell's outputs."""
        for bit in _bits(cell.outs.values()):
            self.begin[bit] = Way(tenths, (self.names.get(bit, cell.name),))

    def stop(self, cell: _Cell, ports: Iterable[str], tenths: int) -> None:
        """Ways end at some of a cell's inputs."""
        held = next(_bits(cell.outs.values()), None)
        to = self.names.get(held, cell.name)
        for bit in _bits(cell.ins[port] for port in ports if port not in _CLOCKS):
            self.end.append((bit, tenths, to))

    def make(self, cell: _Cell, ports: Iterable[str], tenths: int) -> None:
        """A cell's outputs are made of some of its inputs."""
        sources = [(bit, tenths) for bit in _bits(cell.ins[port] for port in ports if port not in _CLOCKS)]
        for bit in _bits(cell.outs.values()):
            self.made.setdefault(bit, []).extend(sources)


def find_levels(netlist: Mapping[str, Any], boxes: frozenset[str], where: str) -> Levels:
    """The levels of the module `unit` of a netlist as Yosys writes it (JSON).

    `boxes`: modules that it holds and that are parts of their own: ways end at their inputs and begin at their outputs.
    ToolError, naming `where`, where a cell is not known or a way leads in a circle.
    """
    module = netlist["modules"]["unit"]
    graph = _Graph(_names(module))
    for name, said in module["cells"].items():
        if said["type"] == "$scopeinfo":
            continue
        directions: Mapping[str, str] = said.get("port_directions", {})
        sides: dict[str, dict[str, list[Any]]] = {"input": {}, "output": {}}
        for port, bits in said["connections"].items():
            if directions.get(port) not in sides:
                raise ToolError(f"{where}: port {port} of cell {name} ({said['type']}) is no input and no output")
            sides[directions[port]][port] = bits
        cell = _Cell(said["type"], name, said.get("parameters", {}), sides["input"], sides["output"])
        _take(graph, cell, boxes, where)
    order = _order(graph.made, where)
    inputs = {
        bit: Way(0, (f"{port}[{at}]" if len(said["bits"]) > 1 else port,))
        for port, said in module["ports"].items()
        if said["direction"] == "input"
        for at, bit in enumerate(said["bits"])
        if not isinstance(bit, str)
    }
    outputs = [
        (bit, 0, f"{port}[{at}]" if len(said["bits"]) > 1 else port)
        for port, said in module["ports"].items()
        if said["direction"] == "output"
        for at, bit in enumerate(said["bits"])
    ]
    launched, entered = _arrivals(order, graph, graph.begin), _arrivals(order, graph, inputs)
    return Levels(
        inside=_longest(launched, graph.end),
        out=_longest(launched, outputs),
        into=_longest(entered, graph.end),
        through=_longest(entered, outputs),
    )


def _take(graph: _Graph, cell: _Cell, boxes: frozenset[str], where: str) -> None:
    """Put a cell into the graph."""
    kind = cell.kind
    if kind in boxes or kind in _FLOPS:
        graph.start(cell, 0)
        graph.stop(cell, cell.ins, 0)
    elif kind in _TABLES:
        graph.make(cell, cell.ins, TABLE)
    elif kind in _CHAINS:
        along = _CHAINS[kind]
        graph.make(cell, [port for port in cell.ins if port != along], TABLE)
        graph.make(cell, [port for port in cell.ins if port == along], CHAIN)
    elif kind.startswith(_MULTIPLIERS):
        _take_multiplier(graph, cell)
    elif kind.startswith(_BLOCKS):
        graph.start(cell, BLOCK)
        graph.stop(cell, cell.ins, 0)
    elif kind.startswith(_TABLES_AS_MEMORY):
        written = [port for port in cell.ins if port.startswith(_WRITTEN)]
        graph.start(cell, TABLE)
        graph.stop(cell, written, 0)
        graph.make(cell, [port for port in cell.ins if port not in written], TABLE)
    else:
        raise ToolError(f"{where}: Yosys made a cell {kind}, of which it is not known how long a way through it is")


def _take_multiplier(graph: _Graph, cell: _Cell) -> None:
    """A multiplier, with those of its own registers that it uses: a way that meets one ends or begins there."""

    def has(*names: str) -> bool:
        return any(_number(cell.parameters.get(name, 0)) > 0 for name in names)

    entered, left = has("AREG", "A_REG"), has("PREG")
    if not (entered or left or has("BREG", "MREG", "B_REG")):
        graph.make(cell, cell.ins, MULTIPLIER)
        return
    # Of registers on one side alone, the other side's way is taken as the whole multiplier's.
    both = entered and has("BREG", "B_REG")
    graph.stop(cell, cell.ins, 0 if both else MULTIPLIER)
    graph.start(cell, 0 if left else MULTIPLIER)


def _number(value: Any) -> int:
    text = str(value)
    return int(text, 2) if text and set(text) <= {"0", "1"} else int(text) if text.isdecimal() else 0


def _bits(groups: Iterable[list[Any]]) -> Iterator[Any]:
    """Bits that are no constants."""
    return (bit for bits in groups for bit in bits if not isinstance(bit, str))


def _names(module: Mapping[str, Any]) -> dict[Any, str]:
    """The Verilog's name of each bit that has one: Yosys makes others, of a name, a cell and a port."""
    kinds = "|".join(sorted({re.escape(cell["type"]) for cell in module["cells"].values()})) or "$"
    made = re.compile(rf"_(?:{kinds})_[A-Z]")
    names: dict[Any, str] = {}
    for name, said in module["netnames"].items():
        if not said.get("hide_name") and not made.search(name):
            for at, bit in enumerate(said["bits"]):
                names.setdefault(bit, f"{name}[{at}]" if len(said["bits"]) > 1 else name)
    return names


def _order(made: Mapping[Any, list[tuple[Any, int]]], where: str) -> list[Any]:
    """Bits that are made of others, each after those. ToolError where a bit is made of itself."""
    order: list[Any] = []
    ended: dict[Any, bool] = {}
    for root in made:
        stack: list[tuple[Any, Iterator[tuple[Any, int]]]] = [] if root in ended else [(root, iter(made[root]))]
        ended.setdefault(root, False)
        while stack:
            bit, left = stack[-1]
            for source, _ in left:
                if source not in made or ended.get(source):
                    continue
                if source in ended:
                    raise ToolError(f"{where}: a way through its logic leads in a circle")
                ended[source] = False
                stack.append((source, iter(made[source])))
                break
            else:
                ended[bit] = True
                order.append(bit)
                stack.pop()
    return order


def _arrivals(order: list[Any], graph: _Graph, begin: Mapping[Any, Way]) -> dict[Any, Way]:
    """The longest way to each bit from some beginnings."""
    reached = dict(begin)
    for bit in order:
        ways = [(reached[source].tenths + tenths, source) for source, tenths in graph.made[bit] if source in reached]
        if not ways:
            continue
        tenths, source = max(ways, key=lambda way: way[0])
        if bit not in reached or tenths > reached[bit].tenths:
            before = reached[source].names
            name = graph.names.get(bit)
            reached[bit] = Way(tenths, before if name is None or name == before[-1] else (*before, name))
    return reached


def _longest(reached: Mapping[Any, Way], ends: Iterable[tuple[Any, int, str]]) -> Way | None:
    """The longest way to one of some ends; None where none is reached."""
    best: Way | None = None
    for bit, tenths, name in ends:
        way = reached.get(bit)
        if way is not None and (best is None or way.tenths + tenths > best.tenths):
            best = Way(way.tenths + tenths, way.names if way.names[-1] == name else (*way.names, name))
    return best
