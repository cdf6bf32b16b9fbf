"""A first description of a design that works off jobs: what starts them, its memories, and what may lie in them."""

from collections.abc import Iterator
from dataclasses import dataclass

from fxsim.contract import Tensor
from fxsim.devices.described.elaborate import Survey
from fxsim.devices.described.parts import CHOOSE
from fxsim.devices.described.ports import Recognised
from fxsim.devices.described.tensors import arrays_of
from fxsim.devices.described.wording import comment, lanes_of, orders, text
from fxsim.graph import INPUT, Model

_PARAMETERS_MAX = 20
_IRQ = ("irq", "interrupt", "intr")


@dataclass(frozen=True)
class _Memory:
    """A memory as the ports show it: bits of a word, and whether the design reads and writes it."""

    name: str
    bits: int
    reads: bool
    writes: bool
    addressed: bool


def job_keys(ports: Recognised) -> Iterator[str]:
    """Lines that say how a job runs: `control`, or steps over registers."""
    if ports.slaves:
        prefix, *others = ports.slaves
        yield f"registers = {{ prefix = {text(prefix or CHOOSE)} }}" + (f"  # or {', '.join(others)}" if others else "")
        yield f'# setup = [{{ write = {text(CHOOSE)}, value = "input.token" }}]  # steps after a reset, at addresses'
    if ports.slaves and not ports.control:
        irq = next((name for name in ports.rest if name.lower().removesuffix("_o") in _IRQ), None)
        end = f"{{ wait = {text(irq)} }}" if irq else f"{{ poll = {text(CHOOSE)}, mask = 1, value = 1 }}"
        yield f"run = [{{ write = {text(CHOOSE)}, value = 1 }}, {end}]  # the steps of a job"
        return
    pairs = {"start": CHOOSE, "done": CHOOSE} | ports.control
    yield f"control = {{ {', '.join(f'{kind} = {text(name)}' for kind, name in pairs.items())} }}  # by name"
    yield '# A start or done that is no pulse of one cycle: start_kind = "level", done_kind = "level" beside it.'


def job_tables(ports: Recognised, found: Survey, model: Model | None) -> Iterator[str]:
    """Lines of the tables: a port to a memory each, then what may lie in the memories."""
    memories = []
    for prefix, names in ports.masters.items():
        yield from ("", "[[axi4]]", f"name = {text(prefix or CHOOSE)}", f"prefix = {text(prefix or CHOOSE)}")
        data = [name for name in names if name.lower().endswith(("_wdata", "_rdata"))]
        has = {side: any(name.lower().endswith(f"_{side}addr") for name in names) for side in ("ar", "aw")}
        bits = found.ports[data[0]].bits if data else 8
        memories.append(_Memory(prefix or CHOOSE, bits, has["ar"], has["aw"], True))
    for ram in ports.rams:
        yield from ("", "[[ram]]", f"name = {text(ram.name)}")
        yield from (f"{kind} = {text(name)}" for kind, name in ram.ports.items())
        if "write" in ram.ports and "write_enable" not in ram.ports:
            yield f"write_enable = {text(CHOOSE)}"
        if "read" in ram.ports:
            yield "# latency = 2  # cycles from an address to its data, where it is not 1"
        word = found.ports[ram.ports["read" if "read" in ram.ports else "write"]]
        memories.append(_Memory(ram.name, word.bits, "read" in ram.ports, "write" in ram.ports, False))
    for role in ("input", "output"):
        tensor = None if model is None else model.graph.tensors[INPUT if role == "input" else model.graph.output]
        some = [m for m in memories if (m.reads if role == "input" else m.writes)]
        yield from ("", *_region(role, some or memories, tensor))
    arrays = [] if model is None else [name for name, value in arrays_of(model) if value.ndim < 3]
    if arrays and any(memory.reads for memory in memories):
        yield from ("", "# Parameters that the design reads from a memory have a region, too:")
        for name in arrays[:_PARAMETERS_MAX]:
            yield from (comment(line) for line in _region("parameter", [m for m in memories if m.reads], None, name))
        if len(arrays) > _PARAMETERS_MAX:
            yield comment(f"and so on: {len(arrays) - _PARAMETERS_MAX} more")


def _region(role: str, memories: list[_Memory], tensor: Tensor | None, name: str | None = None) -> Iterator[str]:
    """A region in one of some memories: which, where there are several, somebody must choose, and where in it."""
    yield from ("[[region]]", f"role = {text(role)}")
    if name is not None:
        yield f"tensor = {text(name)}"
    one = memories[0] if len(memories) == 1 else None
    among = f"  # one of {', '.join(memory.name for memory in memories)}" if one is None and memories else ""
    yield f"memory = {text(CHOOSE if one is None else one.name)}{among}"
    if any(memory.addressed for memory in memories) or name is not None:
        yield f"base = {text(CHOOSE)}  # the address of the first word"
    else:
        yield "# base = 16  # the address of the first word, where it is not 0"
    bits = {memory.bits for memory in memories}
    if name is None:
        yield from lanes_of(tensor, bits.pop() if len(bits) == 1 else None)
        yield from orders(tensor)
    else:
        yield f"lanes = {max(1, bits.pop() // 8) if len(bits) == 1 else 1}"
