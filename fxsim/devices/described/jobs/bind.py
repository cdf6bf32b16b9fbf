"""Binding a description of a design that works off jobs to a model: every port, region and tap resolved, or refused."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fxsim.contract import Tensor
from fxsim.contract.number import Number
from fxsim.devices.described.bind import (
    check_inputs,
    check_widths,
    design_verilog,
    find_port,
    made_files,
    parameter_value,
    refuse_undriven,
    taps_of,
)
from fxsim.devices.described.description import Description
from fxsim.devices.described.elaborate import Port, Verilog, elaborate_ports
from fxsim.devices.described.files import Listed, listed_files
from fxsim.devices.described.findings import Findings, description_of
from fxsim.devices.described.jobs.bound import LITE, LITE_OPTIONAL, Area, BoundRam, BoundRegion, BoundStep, encode
from fxsim.devices.described.jobs.parts import Ram, Region, Step
from fxsim.devices.described.jobs.wrapper import wrapper_head
from fxsim.devices.described.memory import joined, memory_text
from fxsim.devices.described.packing import make_beats
from fxsim.devices.described.tensors import part_between
from fxsim.devices.described.wrapper import BoundTap, bare_head, wrapper_tail
from fxsim.errors import FileError
from fxsim.graph import INPUT, Model
from fxsim.simulate.sources import Sources, read_listed

BYTES_MAX = 1 << 28
"""Most bytes of all regions together."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*\Z")
_OVERLAPS = {("input", "output"), ("input", "scratch")}


@dataclass(frozen=True)
class BoundJobs:
    """A description with a model on it, of a design that works off jobs; `areas` are those of the harness's memories.

    `shown`: taps in the order of the harness, that of the graph.
    """

    path: Path
    description: Description
    sources: Sources
    listed: Listed
    verilog: Verilog
    parameters: dict[str, int]
    wrapper: str
    setup: tuple[BoundStep, ...]
    run: tuple[BoundStep, ...]
    rams: tuple[BoundRam, ...]
    regions: tuple[BoundRegion, ...]
    areas: tuple[Area, ...]
    taps: tuple[BoundTap, ...]
    shown: tuple[str, ...]
    output: BoundRegion
    memories: dict[str, bytes]
    part: tuple[str, ...]
    """The taps of the model that the design computes, in graph order."""

    def inside(self, memory: str) -> bool:
        """Whether a memory is inside the design."""
        return any(ram.said.inside for ram in self.rams if ram.memory == memory)


def bind_jobs(path: Path, model: Model, base: Path | None = None) -> BoundJobs:
    """Bind the description in a file to a model. FileError with file, place and what was expected.

    `base`: a folder in place of the description's own, in which its sources and files are looked for.
    """
    bound = bind_jobs_as_far_as_it_fits(path, model, Findings(), base)
    assert bound is not None
    return bound


def bind_jobs_as_far_as_it_fits(
    path: Path, model: Model, findings: Findings, base: Path | None = None
) -> BoundJobs | None:
    """Bind the description in a file to a model; None where something does not fit, which the findings then hold.

    What can be looked at in spite of that is: every port, step, region and tap. What regions have in common is looked
    at where each of them and the RAMs fit.
    """
    description = description_of(path, findings)
    if description is None:
        return None
    base = base or path.parent
    listed = listed_files(path, base, description, findings)
    parameters: dict[str, int] = {}
    for name, value in description.parameters.items():
        with findings.part():
            parameters[name] = parameter_value(path, name, value, model)
    memories: dict[str, bytes] = {}
    for memory in description.memory:
        with findings.part():
            text = memory_text(path, memory, model)
            if memory.file in memories:
                text = joined(path, memory, text, memories[memory.file].decode())
            memories[memory.file] = text.encode()
    sources, verilog, ports = None, None, None
    if listed is not None and len(parameters) == len(description.parameters):
        with findings.part():
            sources = read_listed(base, (*listed.sources, *listed.files, *listed.lists), listed.include)
            if description.command is not None:
                memories |= made_files(path, description.command, listed, sources, memories, model)
            verilog = design_verilog(path, description, listed, sources, memories, parameters)
            ports = elaborate_ports(verilog, description.top, parameters)
    registers: dict[str, str] = {}
    rams: tuple[BoundRam, ...] = ()
    if ports is not None:
        check_inputs(path, description, ports, findings)
        _check_control(path, description, ports, findings)
        registers = _registers(path, description, ports, findings)
        rams = _rams(path, description, ports, findings)
        with findings.part():
            refuse_undriven(path, description, ports, _driven(description, registers))
    setup, run = (
        _steps(path, steps, model, ports, registers, findings) for steps in (description.setup, description.run)
    )
    regions: list[BoundRegion] = []
    # Without its RAM nothing is known of a region.
    if len(rams) == len(description.ram):
        for said in description.region:
            with findings.part():
                regions.append(_region(path, said, model, rams))
    part: tuple[str, ...] | None = None
    if len(rams) == len(description.ram) and len(regions) == len(description.region):
        with findings.part():
            part = _part(path, regions, model)
        with findings.part():
            _check_regions(path, rams, regions)
    taps = _taps(path, description, regions, model, part, findings)
    head = None
    if not findings.problems:
        head = wrapper_head(description, parameters, rams, taps, registers, run + setup)
    if verilog is not None and ports is not None:
        check_widths(verilog, head or bare_head(description, parameters), path, taps, findings)
    if findings.problems:
        return None
    assert listed is not None
    assert sources is not None
    assert verilog is not None
    assert head is not None
    assert part is not None
    names = [tap.name for tap in taps] + [r.tap for r in regions if r.role == "output" and r.tap is not None]
    return BoundJobs(
        path=path,
        description=description,
        sources=sources,
        listed=listed,
        verilog=verilog,
        parameters=parameters,
        wrapper=head + wrapper_tail(taps),
        setup=setup,
        run=run,
        rams=rams,
        regions=tuple(regions),
        areas=_areas(rams, regions),
        taps=tuple(taps),
        shown=tuple(sorted(names, key=model.graph.taps.index)),
        output=next(region for region in regions if region.role == "output" and region.tap is None),
        memories=memories,
        part=part,
    )


def _check_control(path: Path, description: Description, ports: Mapping[str, Port], findings: Findings) -> None:
    """Find ports that start a job, or say that it is done, and are none, or not of one bit."""
    control = description.control
    if control is None:
        return
    for what, name, direction in (
        ("start", control.start, "in"),
        ("done", control.done, "out"),
        ("busy", control.busy, "out"),
    ):
        if name is not None:
            with findings.part():
                _width(f"{path}: control, {what}", find_port(path, f"control, {what}", name, ports, direction), 1)


def _driven(description: Description, registers: Mapping[str, str]) -> set[str]:
    """The ports that the harness has something to do with."""
    driven = set(registers.values())
    if description.control is not None:
        driven.add(description.control.start)
    for ram in description.ram:
        driven |= {
            name for name in (ram.address, ram.enable, ram.read, ram.write, ram.write_enable) if name is not None
        }
    return driven


def _registers(path: Path, description: Description, ports: Mapping[str, Port], findings: Findings) -> dict[str, str]:
    """The ports of the AXI4-Lite slave by their name in AXI, e.g. awaddr; none without registers."""
    if description.registers is None:
        return {}
    prefix, where = description.registers.prefix, f"{path}: registers"
    capital = f"{prefix}_AWADDR" in ports
    found = {}
    for field, (direction, bits) in LITE.items():
        name = f"{prefix}_{field.upper() if capital else field}"
        if field in LITE_OPTIONAL and name not in ports:
            continue
        with findings.part():
            port = find_port(path, "registers", name, ports, direction)
            if bits is not None:
                _width(where, port, bits)
            elif not port.flat or port.bits > 64:
                raise FileError(f"{where}: port '{name}' has {port.bits} bits, expected at most 64 in one")
            found[field] = name
    return found


def _steps(
    path: Path,
    steps: Iterable[Step],
    model: Model,
    ports: Mapping[str, Port] | None,
    registers: Mapping[str, str],
    findings: Findings,
) -> tuple[BoundStep, ...]:
    """The steps that fit; `ports`: None if unknown."""
    bound = []
    for step in steps:
        with findings.part():
            bound.append(_step(path, step, model, ports, registers))
    return tuple(bound)


def _step(
    path: Path, step: Step, model: Model, ports: Mapping[str, Port] | None, registers: Mapping[str, str]
) -> BoundStep:
    """A step with its value in numbers."""
    if step.wait is not None:
        if ports is not None:
            _width(f"{path}: wait", find_port(path, "wait", step.wait, ports, "out"), 1)
        return BoundStep("wait", 0, 0, 0, step.wait, step.timeout, f"wait for {step.wait}")
    assert step.value is not None
    address = getattr(step, step.kind)
    name = f"{step.kind} of register 0x{address:x}"
    if address % 4 != 0:
        raise FileError(f"{path}: {name}: expected a multiple of 4")
    port = registers.get("awaddr" if step.kind == "write" else "araddr")
    if ports is not None and port is not None and address >= 1 << ports[port].bits:
        bits = ports[port].bits
        raise FileError(f"{path}: {name}: '{port}' has {bits} bits, expected an address up to 0x{(1 << bits) - 1:x}")
    value = parameter_value(path, name, step.value, model)
    mask = 0xFFFF_FFFF if step.mask is None else step.mask
    if step.kind != "write" and value & ~mask:
        raise FileError(f"{path}: {name}: value 0x{value:x} has bits that the mask 0x{mask:x} has not")
    return BoundStep(step.kind, address, value, mask, None, step.timeout, name)


def _width(where: str, port: Port, bits: int) -> None:
    if port.bits != bits or not port.flat:
        kind = "" if port.flat else " in an unpacked array"
        raise FileError(f"{where}: port '{port.name}' has {port.bits} bits{kind}, expected {bits} in one")


def _rams(path: Path, description: Description, ports: Mapping[str, Port], findings: Findings) -> tuple[BoundRam, ...]:
    """The ports to RAMs that fit."""
    rams: list[BoundRam] = []
    offsets = {False: 0, True: 0}
    for said in description.ram:
        with findings.part():
            ram = _ram(path, said, ports, offsets[said.inside])
            _check_ram(path, ram, rams)
            offsets[said.inside] += ram.word_bytes
            rams.append(ram)
    return tuple(rams)


def _check_ram(path: Path, ram: BoundRam, rams: Iterable[BoundRam]) -> None:
    """Refuse a port to a RAM that does not go with others."""
    said, where = ram.said, f"{path}: ram '{ram.said.name}'"
    for other in rams:
        if other.said.name == said.name:
            raise FileError(f"{where}: it is described twice")
        if other.memory == ram.memory and (other.said.inside or said.inside):
            raise FileError(f"{where}: '{other.said.name}' leads to its memory, too, which one inside cannot share")
        if other.memory == ram.memory and other.word_bits != ram.word_bits:
            raise FileError(
                f"{where}: a word of it has {ram.word_bits} bits, and {other.word_bits} at '{other.said.name}'"
            )


def _ram(path: Path, said: Ram, ports: Mapping[str, Port], offset: int) -> BoundRam:
    where, what = f"{path}: ram '{said.name}'", f"ram '{said.name}'"
    memory = said.memory or said.name
    for word in (said.name, memory):
        if not _NAME.match(word):
            raise FileError(f"{where}: {word!r} is no name of letters, digits, '_', '.' and '-'")
    # Of a RAM of the harness the design gives the address; of its own it takes it.
    gives, takes = ("in", "out") if said.inside else ("out", "in")
    address = find_port(path, f"{what}, address", said.address, ports, gives)
    if not address.flat or address.bits > 64:
        raise FileError(f"{where}: address '{said.address}' has {address.bits} bits, expected at most 64 in one")
    bits = []
    for field, name, direction in (("read", said.read, takes), ("write", said.write, gives)):
        if name is not None:
            port = find_port(path, f"{what}, {field}", name, ports, direction)
            _width(where, port, port.bits)
            bits.append(port.bits)
    if len(set(bits)) > 1:
        raise FileError(f"{where}: '{said.read}' has {bits[0]} bits, and '{said.write}' {bits[1]}")
    if said.enable is not None:
        _width(where, find_port(path, f"{what}, enable", said.enable, ports, gives), 1)
    strobes = 1
    if said.write_enable is not None:
        port = find_port(path, f"{what}, write_enable", said.write_enable, ports, gives)
        if not port.flat or port.bits not in {1, bits[0] // 8 if bits[0] % 8 == 0 else 1}:
            raise FileError(f"{where}: '{said.write_enable}' has {port.bits} bits, expected 1, or one a byte of a word")
        strobes = port.bits
    if said.unit == "bytes" and bits[0] % 8 != 0:
        raise FileError(f"{where}: addresses count bytes, and a word has {bits[0]} bits")
    return BoundRam(said, memory, bits[0], address.bits, strobes, offset)


def _region(path: Path, said: Region, model: Model, rams: tuple[BoundRam, ...]) -> BoundRegion:
    where = f"{path}: {said.role} region in '{said.memory}'"
    ports = [ram for ram in rams if ram.memory == said.memory]
    if not ports:
        there = ", ".join(sorted({ram.memory for ram in rams})) or "none"
        raise FileError(f"{where}: there is no such memory, only: {there}")
    ram, inside = ports[0], ports[0].said.inside
    needs = {"input": inside, "parameter": inside, "output": not inside}
    if said.role == "scratch" and inside:
        raise FileError(f"{where}: what is inside the design is its own, and no region")
    if said.role != "scratch":
        wanted = "write" if needs[said.role] else "read"
        if all(getattr(port.said, wanted) is None for port in ports):
            raise FileError(f"{where}: no port of it can {wanted}")
    tensor, values = _tensor(where, said, model)
    beats = None if tensor is None else make_beats(said, tensor, where)
    if beats is not None and beats.lanes * beats.number.bits != ram.word_bits:
        raise FileError(
            f"{where}: a word has {ram.word_bits} bits, expected {beats.lanes * beats.number.bits} "
            f"({beats.lanes} lanes of {beats.number})"
        )
    words = said.words or (beats.beats if beats is not None else 0)
    unit = ram.unit
    if said.base % unit != 0:
        raise FileError(f"{where}: base {said.base} is no multiple of a word's {unit} bytes")
    least = min(port.words for port in ports)
    if said.base // unit + words > least:
        raise FileError(f"{where}: its words {said.base // unit} to {said.base // unit + words - 1} are not all among "
                        f"the {least} that its address reaches")  # fmt: skip
    return BoundRegion(
        name=f"{said.role} in {said.memory}",
        role=said.role,
        memory=said.memory,
        first=said.base // unit,
        words=words,
        word_bytes=ram.word_bytes,
        beats=beats,
        tap=None if said.role not in {"input", "output"} else _carried(said, model),
        content=b"" if values is None or beats is None else encode(beats, values),
    )


def _carried(said: Region, model: Model) -> str | None:
    """The tap whose values a region has, None for the model's own input or output."""
    own = INPUT if said.role == "input" else model.graph.output
    return None if said.tensor in {None, own} else said.tensor


def _tensor(where: str, said: Region, model: Model) -> tuple[Tensor | None, np.ndarray | None]:
    """The tensor that a region holds, and of a parameter its values."""
    if said.role == "scratch":
        return None, None
    if said.role in {"input", "output"}:
        name = said.tensor or (INPUT if said.role == "input" else model.graph.output)
        if (tensor := model.graph.tensors.get(name)) is None or (said.role == "output" and name == INPUT):
            raise FileError(f"{where}: the model has no tensor '{name}', expected one of its taps")
        return tensor, None
    name, _, field = (said.tensor or "").rpartition(".")
    node = model.graph.by_name.get(name)
    value = getattr(node.op, field, None) if node is not None and not field.startswith("_") else None
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iu" or value.ndim not in (1, 2):
        raise FileError(f"{where}: the model has no array '{said.tensor}', expected e.g. 'NODE.weight'")
    number = Number.parse(f"{'u' if value.dtype.kind == 'u' else ''}int{8 * value.dtype.itemsize}")
    return Tensor(("row", "column")[2 - value.ndim :], value.shape, number), value


def _part(path: Path, regions: Iterable[BoundRegion], model: Model) -> tuple[str, ...]:
    """The taps that the design computes: those between the tensors of its input regions and the model's output."""
    outputs = [region for region in regions if region.role == "output" and region.tap is None]
    if len(outputs) != 1:
        raise FileError(f"{path}: {len(outputs)} regions are the model's output, expected one")
    inputs = tuple(dict.fromkeys(region.tap or INPUT for region in regions if region.role == "input"))
    if not inputs:
        raise FileError(f"{path}: no region is an input")
    if model.graph.output in inputs:
        raise FileError(f"{path}: '{inputs[-1]}' is input and output, expected an input that it is computed from")
    return part_between(inputs, model.graph.output, model, str(path))


def _taps(
    path: Path,
    description: Description,
    regions: Iterable[BoundRegion],
    model: Model,
    part: tuple[str, ...] | None,
    findings: Findings,
) -> list[BoundTap]:
    """The taps that fit, in graph order. Those in regions must be other ones, and all of the part (None: unknown)."""
    taps: list[BoundTap] = []
    names: list[str] = []

    def add(name: str) -> None:
        if part is not None and name not in part:
            raise FileError(f"{path}: tap '{name}' lies outside of what the design computes: {', '.join(part)}")
        if name in names:
            raise FileError(f"{path}: tap '{name}' is described twice")
        names.append(name)

    for region in regions:
        if region.role == "output" and region.tap is not None:
            with findings.part():
                add(region.tap)
    for stated in description.tap:
        with findings.part():
            for tap in taps_of(path, stated, model):
                add(tap.name)
                taps.append(tap)
    return sorted(taps, key=lambda tap: model.graph.taps.index(tap.name))


def _check_regions(path: Path, rams: Iterable[BoundRam], regions: Sequence[BoundRegion]) -> None:
    """Refuse regions that overlap where that means nothing, memories without any, and too much in all."""
    for n, one in enumerate(regions):
        for other in regions[:n]:
            apart = one.first >= other.first + other.words or other.first >= one.first + one.words
            if one.memory == other.memory and not apart and tuple(sorted((one.role, other.role))) not in _OVERLAPS:
                raise FileError(f"{path}: {other.role} and {one.role} region in '{one.memory}' overlap")
    for ram in rams:
        if not any(region.memory == ram.memory for region in regions):
            raise FileError(f"{path}: ram '{ram.said.name}': nothing lies in it, expected a region")
    if (total := sum(region.words * region.word_bytes for region in regions)) > BYTES_MAX:
        raise FileError(f"{path}: all regions have {total} bytes, expected at most {BYTES_MAX}")


def _areas(rams: Iterable[BoundRam], regions: Iterable[BoundRegion]) -> tuple[Area, ...]:
    """Regions of the harness's memories, those that overlap joined."""
    inside = {ram.memory for ram in rams if ram.said.inside}
    areas: list[Area] = []
    for region in sorted(regions, key=lambda region: (region.memory, region.first)):
        if region.memory in inside:
            continue
        last = areas[-1] if areas else None
        if last is not None and last.memory == region.memory and region.first < last.first + last.words:
            end = max(last.first + last.words, region.first + region.words)
            areas[-1] = Area(last.memory, last.first, end - last.first, last.word_bytes)
        else:
            areas.append(Area(region.memory, region.first, region.words, region.word_bytes))
    return tuple(areas)
