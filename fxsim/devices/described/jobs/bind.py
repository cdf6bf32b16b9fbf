"""Binding a description of a design that works off jobs to a model: every port, region and tap resolved, or refused."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fxsim.devices.described.bind import (
    check_inputs,
    check_widths,
    design_verilog,
    find_port,
    made_files,
    parameter_value,
    refuse_undriven,
    refuse_width,
    taps_of,
)
from fxsim.devices.described.description import Description
from fxsim.devices.described.elaborate import Port, Verilog, elaborate_ports
from fxsim.devices.described.files import Listed, listed_files
from fxsim.devices.described.findings import Findings, description_of, nearest
from fxsim.devices.described.jobs.axi4 import bind_axi4
from fxsim.devices.described.jobs.bound import (
    LITE,
    LITE_OPTIONAL,
    Area,
    BoundAxi4,
    BoundRam,
    BoundRegion,
    BoundStep,
)
from fxsim.devices.described.jobs.parts import CYCLES_MAX, Step
from fxsim.devices.described.jobs.rams import bind_rams
from fxsim.devices.described.jobs.regions import (
    areas_of,
    bind_region,
    check_regions,
    output_of,
    part_of,
    sizes_of,
    spaces_of,
)
from fxsim.devices.described.jobs.wrapper import waited, wrapper_head
from fxsim.devices.described.memory import joined, memory_text, refuse_nested
from fxsim.devices.described.wrapper import BoundTap, bare_head, tied, wrapper_tail
from fxsim.errors import FileError
from fxsim.graph import Model
from fxsim.operators import Cost
from fxsim.simulate.sources import Sources, read_listed

_TIMEOUT_MIN = 100_000


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
    head: str
    """The wrapper up to the instance of the design."""
    setup: tuple[BoundStep, ...]
    run: tuple[BoundStep, ...]
    error: tuple[BoundStep, ...]
    rams: tuple[BoundRam, ...]
    masters: tuple[BoundAxi4, ...]
    regions: tuple[BoundRegion, ...]
    areas: tuple[Area, ...]
    taps: tuple[BoundTap, ...]
    shown: tuple[str, ...]
    output: BoundRegion
    output_tensor: str
    memories: dict[str, bytes]
    part: tuple[str, ...]
    """The taps of the model that the design computes, in graph order."""

    @property
    def waits(self) -> tuple[str, ...]:
        """The ports that steps wait for, in the wrapper's order."""
        return waited((*self.run, *self.setup, *self.error))

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
            refuse_nested(path, memories, sources.files)
            verilog = design_verilog(path, description, listed, sources, memories, parameters)
            ports = elaborate_ports(verilog, description.top, parameters)
    registers: dict[str, str] = {}
    rams: tuple[BoundRam, ...] = ()
    masters: tuple[BoundAxi4, ...] = ()
    if ports is not None:
        check_inputs(path, description, ports, findings)
        _check_control(path, description, ports, findings)
        registers = _registers(path, description, ports, findings)
        rams = bind_rams(path, description, ports, findings)
        masters = bind_axi4(path, description, ports, rams, findings)
        # The ports of a master that does not fit are none that nobody drives.
        if len(masters) == len(description.axi4):
            driven = _driven(description, registers, masters)
            with findings.part():
                refuse_undriven(path, description, ports, driven)
            with findings.part():
                _refuse_twice(path, description, driven)
    regions: list[BoundRegion] = []
    spaces = spaces_of(rams, masters)
    # Without its memory nothing is known of a region.
    known = len(rams) == len(description.ram) and len(masters) == len(description.axi4)
    if known and sources is not None:
        # Those of [[memory]] are text for $readmemh.
        texts = {memory.file for memory in description.memory}
        files = sources.files | {name: content for name, content in memories.items() if name not in texts}
        for said in description.region:
            with findings.part():
                regions.append(bind_region(path, said, model, spaces, files))
    part: tuple[str, ...] | None = None
    output = model.graph.output
    known &= len(regions) == len(description.region)
    if known:
        with findings.part():
            output, regions = output_of(path, regions, model)
            part = part_of(path, regions, output, model)
        with findings.part():
            check_regions(path, spaces, (*rams, *masters), regions)
    sizes = sizes_of(regions, spaces) if known else None
    setup, run, error = (
        _steps(path, steps, model, ports, registers, sizes, findings)
        for steps in (description.setup, description.run, description.error)
    )
    taps = _taps(path, description, regions, model, part, findings)
    head = None
    if not findings.problems:
        slave = {field: (ports or {})[name] for field, name in registers.items()}
        ties = tied(description, ports or {})
        head = wrapper_head(description, parameters, rams, masters, taps, slave, run + setup + error, ties)
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
        head=head,
        setup=setup,
        run=run,
        error=error,
        rams=rams,
        masters=masters,
        regions=tuple(regions),
        areas=areas_of(spaces, regions),
        taps=tuple(taps),
        shown=tuple(sorted(names, key=model.graph.taps.index)),
        output=next(region for region in regions if region.role == "output" and region.tap is None),
        output_tensor=output,
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
                refuse_width(f"{path}: control, {what}", find_port(path, f"control, {what}", name, ports, direction), 1)


def _driven(description: Description, registers: Mapping[str, str], masters: Iterable[BoundAxi4]) -> set[str]:
    """The ports that the harness has something to do with."""
    driven = {*registers.values(), *(port for master in masters for port in master.ports.values())}
    if description.control is not None:
        driven.add(description.control.start)
    for ram in description.ram:
        driven |= {
            name for name in (ram.address, ram.enable, ram.read, ram.write, ram.write_enable) if name is not None
        }
    return driven


def _refuse_twice(path: Path, description: Description, driven: set[str]) -> None:
    """Refuse a port that is a clock, a reset or tied, and that of something else, too."""
    reset = () if description.reset is None else (description.reset.signal,)
    for kind, names in (("clock", description.clocks), ("reset", reset), ("tie", tuple(description.tie))):
        for name in names:
            if name in driven:
                raise FileError(f"{path}: {kind}: port '{name}' is another's, too: expected one")


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
                refuse_width(where, port, bits)
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
    sizes: Mapping[str, int] | None,
    findings: Findings,
) -> tuple[BoundStep, ...]:
    """The steps that fit; `ports`, and `sizes` of regions: None if unknown."""
    bound = []
    for step in steps:
        with findings.part():
            bound.append(_step(path, step, model, ports, registers, sizes))
    return tuple(bound)


def _value(path: Path, name: str, value: int | str, model: Model, sizes: Mapping[str, int] | None) -> int:
    """The value of a step: a number, or the size of an axis or of a region."""
    if isinstance(value, str) and value.rpartition(".")[2] in {"words", "bytes"}:
        if sizes is None:
            return 0  # what the region comes to is not known, which is a finding of its own
        if value not in sizes:
            raise FileError(f"{path}: {name} is {value!r}, and no region has this name{nearest(value, sizes)}")
        if sizes[value] > 0xFFFF_FFFF:
            raise FileError(f"{path}: {name}: {value} is {sizes[value]}, expected at most 32 bits")
        return sizes[value]
    return parameter_value(path, name, value, model)


def _step(
    path: Path,
    step: Step,
    model: Model,
    ports: Mapping[str, Port] | None,
    registers: Mapping[str, str],
    sizes: Mapping[str, int] | None,
) -> BoundStep:
    """A step with its value in numbers."""
    if step.wait is not None:
        if ports is not None:
            refuse_width(f"{path}: wait", find_port(path, "wait", step.wait, ports, "out"), 1)
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
    value = _value(path, name, step.value, model, sizes)
    mask = 0xFFFF_FFFF if step.mask is None else step.mask
    if step.kind != "write" and value & ~mask:
        raise FileError(f"{path}: {name}: value 0x{value:x} has bits that the mask 0x{mask:x} has not")
    return BoundStep(step.kind, address, value, mask, None, step.timeout, name)


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
                if tap.multiplex is not None and tap.valid is None:
                    raise FileError(f"{path}: tap '{tap.name}' shares its signals, which needs a valid")
                taps.append(tap)
    return sorted(taps, key=lambda tap: model.graph.taps.index(tap.name))


def step_timeout(model: Model, bound: BoundJobs) -> int:
    """Cycles in which a step should end: of a design with one multiplier, which moves every byte for itself."""
    cycles = 16 * sum(cost.macs for cost in _costs(model))
    for master in bound.masters:
        moved = sum(region.words * region.word_bytes for region in bound.regions if region.memory == master.memory)
        cycles += moved * (16 + 2 * master.said.latency)
    return max(_TIMEOUT_MIN, min(cycles, CYCLES_MAX))


def _costs(model: Model) -> list[Cost]:
    graph = model.graph
    return [node.op.cost(graph.tensors[node.name]) for node in graph.nodes]
