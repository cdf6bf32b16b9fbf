"""The modules of a design as they are really there: each with its parameters, elaborated by Yosys."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from fxsim import temporary
from fxsim.errors import ToolError
from fxsim.prove.netlist import find_yosys, yosys_errors
from fxsim.prove.network import Network, Part
from fxsim.simulate.sources import Sources
from fxsim.simulate.tools import run_logged

Instance = tuple[str, tuple[tuple[str, int], ...]]
"""A module and its whole-number parameters, in order of names."""

_OUTPUT = "design.json"
_NUMBER_BITS = 32
_CONTENTS, _WRITES = ("$meminit", "$meminit_v2"), ("$memwr", "$memwr_v2")
"""Cells of Yosys that give a memory its first contents, and that write it."""


@dataclass(frozen=True)
class Elaborated:
    """A design's modules: how often each is there, and what is wrong with those that only wire others, by name.

    `modules`: as Yosys writes them, `top` among them.
    """

    counts: dict[Instance, int]
    wiring: dict[str, str]
    modules: dict[str, Any]
    top: str

    def others(self, module: str) -> set[str]:
        """The parameters of a module that are no whole numbers of 32 bits, in any instance of it."""
        return {
            parameter
            for name, own in self.modules.items()
            if _instance(name, own)[0] == module
            for parameter, value in own.get("parameter_default_values", {}).items()
            if len(value) != _NUMBER_BITS or value.strip("01")
        }

    def network(self, leaves: Collection[str]) -> Network:
        """The streams between all instances of these modules; of a design of which the others wire streams alone.

        ToolError where a stream does not lead from one of them to one other, or more than one leads in or out.
        """
        names: list[str] = []
        parts: list[Part] = []

        def number(bits: dict[int, int], bit: int, name: str) -> int:
            if bit not in bits:
                bits[bit] = len(names)
                names.append(name)
            return bits[bit]

        def walk(path: str, name: str, bits: dict[int, int]) -> None:
            for cell, of in self.modules[name]["cells"].items():
                below, place = self.modules[of["type"]], f"{path}{cell}"
                found = {port.removesuffix("_tvalid"): of["connections"][port][0]
                         for port in below["ports"] if port.endswith("_tvalid")}  # fmt: skip
                own = {stream: number(bits, bit, f"{place}.{stream}") for stream, bit in found.items()}
                module, numbers = _instance(of["type"], below)
                if module not in leaves:
                    inner = {below["ports"][f"{stream}_tvalid"]["bits"][0]: at for stream, at in own.items()}
                    walk(f"{place}.", of["type"], inner)
                    continue
                into = {s for s in own if below["ports"][f"{s}_tvalid"]["direction"] == "input"}
                inputs, outputs = ({s: at for s, at in own.items() if (s in into) is want} for want in (True, False))
                parts.append(Part(place, module, dict(numbers), inputs, outputs))

        ports = self.modules[self.top]["ports"]
        outer = {port: ports[port]["bits"][0] for port in ports if port.endswith("_tvalid")}
        bits: dict[int, int] = {}
        ends = {port: number(bits, bit, port.removesuffix("_tvalid")) for port, bit in outer.items()}
        walk("", self.top, bits)
        sources = [at for port, at in ends.items() if ports[port]["direction"] == "input"]
        sinks = [at for port, at in ends.items() if ports[port]["direction"] == "output"]
        given = sorted([*sources, *(at for part in parts for at in part.outputs.values())])
        taken = sorted([*sinks, *(at for part in parts for at in part.inputs.values())])
        if len(sources) != 1 or len(sinks) != 1 or not given == taken == list(range(len(names))):
            raise ToolError(
                "its streams do not each lead from one module to one other, or more than one leads in or out"
            )
        return Network(tuple(parts), tuple(names), sources[0], sinks[0])


def elaborate(
    sources: Sources, top: str, parameters: Mapping[str, int | str], files: Mapping[str, bytes]
) -> Elaborated:
    """The number of each module with each set of parameters in a design, itself included; ToolError where Yosys fails.

    `files`: what it reads ($readmemh). Parameters of text (names of files) are left out, so that modules
    which differ in contents alone are one.
    """
    place, _ = find_yosys()
    chosen = " ".join(
        f"-set {name} {value}" if isinstance(value, int) else f'-set {name} "{value}"'
        for name, value in parameters.items()
    )
    reads = [f"read_verilog -defer rtl/{name}" for name in sources.files if name.endswith(".v")]
    change = [f"chparam {chosen} {top}"] if parameters else []
    commands = [*change, f"hierarchy -check -top {top}", "proc", f"write_json {_OUTPUT}"]
    with temporary.folder("instances") as work:
        sources.write(work / "rtl")
        for name, content in files.items():
            (work / name).write_bytes(content)
        (work / "run.ys").write_text("\n".join([*reads, *commands]) + "\n", encoding="ascii")
        if run_logged([str(place), "-q", "-s", "run.ys"], work, work / "log") != 0:
            raise ToolError(f"Yosys does not take '{top}' of {sources.folder}: {yosys_errors(work / 'log')}")
        modules = json.loads((work / _OUTPUT).read_text(encoding="utf-8"))["modules"]
    counts: dict[Instance, int] = {}

    def walk(name: str) -> None:
        instance = _instance(name, modules[name])
        counts[instance] = counts.get(instance, 0) + 1
        for cell in modules[name]["cells"].values():
            if cell["type"] in modules:
                walk(cell["type"])

    for name, module in modules.items():
        _refuse_written(name, module)
    top_name = next(name for name, module in modules.items() if int(module["attributes"].get("top", "0"), 2))
    walk(top_name)
    wiring: dict[str, str] = {}
    for name, module in modules.items():
        own, wrong = _instance(name, module)[0], _miswired(module, modules)
        wiring[own] = wiring.get(own) or wrong
    return Elaborated(counts, wiring, modules, top_name)


def contents_of(module: dict[str, Any]) -> dict[str, dict[int, int]]:
    """The words that each memory of an elaborated module begins with, by address; ToolError where a word has two.

    Memories without first contents are left out. ToolError, too, where a word is not constant.
    """
    found: dict[str, dict[int, int]] = {}
    for cell in module["cells"].values():
        if cell["type"] not in _CONTENTS:
            continue
        width, count = (int(cell["parameters"][name], 2) for name in ("WIDTH", "WORDS"))
        ports = cell["connections"]
        if not all(bit in ("0", "1") for bit in ports["ADDR"]):
            raise ToolError(f"a first word of the memory {cell['parameters']['MEMID']} has no constant address")
        first = int("".join(reversed(ports["ADDR"])), 2)
        own = found.setdefault(cell["parameters"]["MEMID"].removeprefix("\\"), {})
        for word in range(count):
            if first + word in own:
                raise ToolError(
                    f"word {first + word} of the memory {cell['parameters']['MEMID']} has two first contents"
                )
            bits = ports["DATA"][width * word : width * (word + 1)]
            if not all(bit in ("0", "1") for bit in (*bits, *ports["EN"])):
                raise ToolError(
                    f"word {first + word} of the memory {cell['parameters']['MEMID']} has no constant contents"
                )
            own[first + word] = sum(1 << k for k, bit in enumerate(bits) if bit == "1")
    return found


def _refuse_written(name: str, module: dict[str, Any]) -> None:
    """ToolError where a memory of a module has first contents and is written: then these are not its contents."""
    first = contents_of(module)
    for cell in module["cells"].values():
        memory = cell["parameters"].get("MEMID", "").removeprefix("\\")
        if cell["type"] in _WRITES and memory in first:
            raise ToolError(
                f"'{_instance(name, module)[0]}' writes its memory {memory}, which has first contents: expected a ROM, "
                "or a memory without them"
            )


def _miswired(module: dict[str, Any], modules: dict[str, Any]) -> str:
    """The reason why a module is more than streams from one part to one other; empty where it is no more."""
    ends: dict[int, list[tuple[str, bool, tuple[Any, Any]]]] = {}

    def end(place: str, ports: dict[str, Any], directions: dict[str, str], inside: bool) -> str:
        for port, bits in ports.items():
            if not port.endswith("_tvalid"):
                continue
            stream = port.removesuffix("_tvalid")
            rest = (ports.get(f"{stream}_tready"), ports.get(f"{stream}_tdata"))
            if len(bits) != 1 or None in rest:
                return f"the port {place}.{stream} is not a whole stream"
            # Seen from inside, a module's own input is what others read.
            gives = (directions[port] == "output") is inside
            ends.setdefault(bits[0], []).append((f"{place}.{stream}", gives, rest))
        return ""

    for name, cell in module["cells"].items():
        if cell["type"] not in modules:
            return f"it has logic of its own ({cell['type']})"
        below = modules[cell["type"]]["ports"]
        wrong = end(name, cell["connections"], {port: is_["direction"] for port, is_ in below.items()}, inside=True)
        if wrong:
            return wrong
    ports = module["ports"]
    wrong = end(
        "", {port: is_["bits"] for port, is_ in ports.items()}, {p: is_["direction"] for p, is_ in ports.items()}, False
    )
    for found in ends.values():
        if len(found) != 2 or found[0][1] is found[1][1] or found[0][2] != found[1][2]:
            wrong = wrong or f"{' and '.join(name for name, _, _ in found)}: not one stream from one part to one other"
    return wrong


def _instance(name: str, module: dict[str, Any]) -> Instance:
    """A module's own name and whole-number parameters, from those of Yosys."""
    numbers = {}
    for parameter, text in module.get("parameter_default_values", {}).items():
        if len(text) == _NUMBER_BITS and not text.strip("01"):
            numbers[parameter] = int(text, 2)
    own = name.split("\\")[1] if name.startswith("$paramod") else name
    return own.removeprefix("\\"), tuple(sorted(numbers.items()))
