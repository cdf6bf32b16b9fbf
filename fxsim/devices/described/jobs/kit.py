"""The testbench of a design that works off jobs: its memories, registers and buses in plain Verilog-2005."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Integers
from fxsim.devices.described.jobs.bind import BoundJobs, step_timeout
from fxsim.devices.described.jobs.bound import AXI4_SIDES, LITE, BoundAxi4, BoundRam, BoundRegion, BoundStep
from fxsim.devices.described.jobs.layout import JobsLayout
from fxsim.devices.described.jobs.wrapper import slot_bits, wrapper_ports
from fxsim.devices.described.kit import (
    STIMULUS,
    Bench,
    KitStream,
    kit_macros,
    kit_order,
    kit_stream_module,
    kit_together,
    kit_watched,
    kit_words,
    tap_stream,
)
from fxsim.devices.described.packing import Beats
from fxsim.devices.described.wrapper import TOP
from fxsim.graph import INPUT, Model

_TESTBENCH = Path(__file__).with_name("testbench.v")
_MEMORY = "memory.hex"
"""The file of every byte of the memories before the first job."""
_ROLES = ("parameter", "output", "input", "scratch")
"""The order in which regions are filled: what lies over something else comes after it."""
_DRAIN = 256
"""Cycles after the last job in which nothing may come any more."""
_NAME_MAX = 80
"""Most letters of a step's name in the testbench."""
_ODD = re.compile(r"[^ !#-\[\]-~]")


def jobs_bench(layout: JobsLayout, x: Integers, values: Mapping[str, Integers]) -> Bench:
    """The testbench of a design that works off jobs, on images whose taps have these `values`.

    Its output and those taps that lie in regions are judged when a job is done, the others while it runs.
    """
    bound, regions = layout.bound, _regions(layout.bound)
    offsets, content = _placed(bound, regions)
    streams = jobs_streams(layout)
    names = {tap.name for tap in bound.taps}
    shown = [stream for stream in streams[1:] if stream.tensor in names]
    inputs = [region for region in regions if region.role == "input"]
    order = [kit_order(STIMULUS, region.tap or INPUT, _beats(region)) for region in inputs]
    order += [kit_order(stream.file, stream.tensor, stream.beats) for stream in streams]
    judged = kit_watched([stream for stream in streams if stream not in shown])
    together = kit_together([f"wrapper.{stream.tag}" if stream in shown else stream.tag for stream in streams])
    parts = {
        "PORTS": _ports(bound),
        "TABLES": _tables(layout.model, bound, regions, offsets),
        "STREAMS": judged + together,
        "TRANSFERS_DONE": " && ".join(f"axi{i}.idle" for i in range(len(bound.masters))) or "1'b1",
    }
    text = _TESTBENCH.read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"`KIT_{name}", part.strip())
    head = bound.head.replace("`default_nettype wire\n", "", 1)
    return Bench(
        streams=streams,
        files={STIMULUS: _stimulus(inputs, x, values), _MEMORY: content},
        parameters="\n".join([*order, *kit_macros(_numbers(bound, regions, len(x), len(content) // 3))]) + "\n",
        testbench=f"{text}\n{head}{_turns(bound)}{kit_watched(shown)}endmodule\n\n{kit_stream_module()}",
        waits=bool(bound.masters) or bound.description.registers is not None,
    )


def jobs_streams(layout: JobsLayout) -> tuple[KitStream, ...]:
    """The output, then the taps that the description shows, in graph order."""
    bound, regions = layout.bound, _regions(layout.bound)
    taps = {tap.name: tap for tap in bound.taps}
    streams = []
    for number, name in enumerate((layout.output_tap, *bound.shown)):
        if number != 0 and name in taps:
            stream = tap_stream(number - 1, taps[name])
            beats = stream.beats.beats
            valid = stream.valid
            if taps[name].multiplex is not None:
                valid = f"turn_{bound.taps.index(taps[name])} && ({stream.valid})"
            streams.append(
                replace(
                    stream,
                    valid=valid,
                    most=f"testbench.started * {beats}",
                    least=f"(testbench.started - (testbench.started != 0)) * {beats}",
                )
            )
            continue
        n = next(
            n
            for n, region in enumerate(regions)
            if region.role == "output" and region.tap == (name if number else None)
        )
        beats_of = _beats(regions[n])
        streams.append(
            KitStream(
                tag="out" if number == 0 else f"tap{number - 1}",
                title="output" if number == 0 else f"tap {name}",
                tensor=name,
                file="expected.hex" if number == 0 else f"expected_{name}.hex",
                beats=beats_of,
                data=f"shown[{n}][{beats_of.number.bits * beats_of.lanes - 1}:0]",
                valid=f"show[{n}]",
                ready=None,
                last=None,
                keep=None,
                start=None,
                last_every=0,
                latency=None,
                name=layout.output if number == 0 else name,
                names={},
            )
        )
    return tuple(streams)


def _turns(bound: BoundJobs) -> str:
    """Registers that say of taps that share their signals whether one has its turn, as the harness in C++ has it."""
    lines = []
    for i, tap in enumerate(bound.taps):
        if tap.multiplex is None:
            continue
        tags = {other.name: f"tap{bound.shown.index(other.name)}" for other in bound.taps}
        before = [other for other in bound.taps[:i] if other.multiplex == tap.multiplex]
        terms = []
        if before:
            terms.append(f"{tags[before[-1].name]}.taken >= (testbench.job + 1) * {before[-1].beats.beats}")
        if any(other.multiplex == tap.multiplex for other in bound.taps[i + 1 :]):
            terms.append(f"{tags[tap.name]}.taken < (testbench.job + 1) * {tap.beats.beats}")
        lines.append(f"  reg turn_{i} = 1'b0;\n  always @(testbench.driven) turn_{i} = {' && '.join(terms) or 1};\n")
    return "".join(lines)


def _beats(region: BoundRegion) -> Beats:
    assert region.beats is not None
    return region.beats


def _regions(bound: BoundJobs) -> tuple[BoundRegion, ...]:
    """The regions as they are filled; outputs as they are judged: in the order of the data."""
    order = (*bound.shown, None)
    return tuple(sorted(bound.regions, key=lambda region: (_ROLES.index(region.role), _rank(region, order))))


def _rank(region: BoundRegion, order: Sequence[str | None]) -> int:
    return order.index(region.tap) if region.role == "output" else 0


def _inside(bound: BoundJobs) -> list[BoundRam]:
    return [ram for ram in bound.rams if ram.said.inside]


def _memories(bound: BoundJobs) -> list[str]:
    return list(dict.fromkeys((*(ram.memory for ram in bound.rams), *(m.memory for m in bound.masters))))


def _run(bound: BoundJobs) -> tuple[BoundStep, ...]:
    """The steps of a job; those of ports, where these start it."""
    control = bound.description.control
    if control is None:
        return bound.run
    return (
        BoundStep("start", 0, 0, 0, None, control.timeout, "start"),
        BoundStep("done", 0, 0, 0, None, control.timeout, f"wait for {control.done}"),
    )


def _stimulus(inputs: Sequence[BoundRegion], x: Integers, values: Mapping[str, Integers]) -> str:
    """The words of all inputs, a job after the other. What is in empty lanes is random."""
    lines, random = [], np.random.default_rng(len(x))
    for region in inputs:
        beats = _beats(region)
        content = beats.pack(x if region.tap is None else values[region.tap]).view(beats.number.dtype)
        empty = beats.places.reshape(-1) < 0
        fill = random.integers(beats.number.low, beats.number.high, (len(content), int(empty.sum())), endpoint=True)
        content[:, empty] = fill.astype(beats.number.dtype)
        lines.append(kit_words(content.view(np.uint8), beats).splitlines())
    each = [_beats(region).beats for region in inputs]
    return "".join(
        f"{line}\n"
        for image in range(len(x))
        for words, count in zip(lines, each, strict=True)
        for line in words[image * count : (image + 1) * count]
    )


def _placed(bound: BoundJobs, regions: Sequence[BoundRegion]) -> tuple[list[int], str]:
    """The first byte of each region, and the bytes of all, one a line, xx where nothing lies.

    Areas come first; a region inside the design has a place of its own behind them, from which it is written.
    """
    at, of_areas = 0, []
    for area in bound.areas:
        of_areas.append(at)
        at += area.cells * area.cell_bytes
    offsets = []
    for region in regions:
        if bound.inside(region.memory):
            offsets.append(at)
            at += region.words * region.word_bytes
            continue
        n = next(
            n
            for n, area in enumerate(bound.areas)
            if area.memory == region.memory and 0 <= region.first - area.first < area.cells
        )
        offsets.append(of_areas[n] + (region.first - bound.areas[n].first) * bound.areas[n].cell_bytes)
    content: npt.NDArray[np.int16] = np.full(at, -1, np.int16)
    for region, offset in zip(regions, offsets, strict=True):
        if region.role == "parameter":
            content[offset : offset + len(region.content)] = np.frombuffer(region.content, np.uint8)
    return offsets, "".join("xx\n" if byte < 0 else f"{byte:02x}\n" for byte in content.tolist())


def _numbers(bound: BoundJobs, regions: Sequence[BoundRegion], images: int, size: int) -> dict[str, int]:
    """The testbench's numbers."""
    control, reset = bound.description.control, bound.description.reset
    own = _inside(bound)
    return {
        "IMAGES": images,
        "BYTES": size,
        "AREAS": len(bound.areas),
        "REGIONS": len(regions),
        "WORD_BITS": 8 * max(region.word_bytes for region in regions),
        "INPUT_WORDS": sum(_beats(region).beats for region in regions if region.role == "input"),
        "OWN": len(own),
        "OWN_BYTES": max(1, sum(ram.word_bytes for ram in own)),
        "STEPS": len(bound.setup) + len(_run(bound)),
        "SETUP_STEPS": len(bound.setup),
        "WAITS": len(bound.waits),
        "HAS_DONE": int(control is not None),
        "HAS_BUSY": int(control is not None and control.busy is not None),
        "HAS_REGISTERS": int(bound.description.registers is not None),
        "START_LEVEL": int(control is not None and control.start_kind == "level"),
        "DONE_LEVEL": int(control is not None and control.done_kind == "level"),
        "RESET_CYCLES": 0 if reset is None else reset.cycles,
        "TAPS": len(bound.shown),
        "DRAIN": _DRAIN,
    }


def _tables(model: Model, bound: BoundJobs, regions: Sequence[BoundRegion], offsets: Sequence[int]) -> str:
    """Statements that say what lies where in the memories, and the steps of a job."""
    memories, own = _memories(bound), _inside(bound)
    waits = bound.waits
    lines, at = [], 0
    for n, area in enumerate(bound.areas):
        numbers = (n, memories.index(area.memory), f"64'd{area.first}", f"64'd{area.cells}", area.cell_bytes, at)
        lines.append(f"area({', '.join(map(str, numbers))});")
        at += area.cells * area.cell_bytes
    for n, (region, offset) in enumerate(zip(regions, offsets, strict=True)):
        port = next((i for i, ram in enumerate(own) if ram.memory == region.memory), -1)
        row = (n, region.role.upper(), offset, region.words, region.word_bytes, port, f"64'd{region.first}")
        lines.append(f"lay({', '.join(map(str, row))});")
    for i, ram in enumerate(own):
        own_row = (i, ram.said.latency, ram.offset, ram.word_bytes, ram.unit, f"1'b{int(ram.said.write is not None)}")
        lines.append(f"own_ram({', '.join(map(str, own_row))});")
    timeout = step_timeout(model, bound)
    for n, step in enumerate((*bound.setup, *_run(bound))):
        words = (
            n, step.kind.upper(), f"32'h{step.address:x}", f"32'h{step.value & 0xFFFF_FFFF:x}", f"32'h{step.mask:x}",
            0 if step.wait is None else waits.index(step.wait), step.timeout or timeout, _text(step.name),
        )  # fmt: skip
        lines.append(f"step({', '.join(map(str, words))});")
    lines += [f"wait_name[{i}] = {_text(name)};" for i, name in enumerate(waits)]
    return "".join(f"    {line}\n" for line in lines)


def _text(words: str) -> str:
    """Words as a text in Verilog, without what it has a meaning for."""
    return '"' + _ODD.sub("_", words)[:_NAME_MAX] + '"'


def _ports(bound: BoundJobs) -> str:
    """The nets of the wrapper's ports, its instance, and what stands at them: RAMs and memories behind AXI4."""
    waits = max(len(bound.waits), 1)
    nets = [("out", "waits", waits), *((way, f"s_axil_{field}", bits or 64) for field, (way, bits) in LITE.items())]
    nets += wrapper_ports(bound.rams, bound.masters)
    own = {"own_enable", "own_write", "own_address", "own_wdata"}
    lines = [f"  {'reg' if name in own else 'wire'} [{max(bits, 1) - 1}:0] {name};" for _, name, bits in nets]
    names = ("clk", "rst", "start", "done", "busy", *(name for _, name, _ in nets))
    lines += [f"  {TOP} wrapper (", ",\n".join(f"      .{name}({name})" for name in names), "  );"]
    memories = _memories(bound)
    for i, ram in enumerate(ram for ram in bound.rams if not ram.said.inside):
        lines.append(_ram(i, ram, memories.index(ram.memory)))
    lines += [_master(i, master, memories.index(master.memory)) for i, master in enumerate(bound.masters)]
    return "\n".join(lines) + "\n"


def _ram(i: int, ram: BoundRam, memory: int) -> str:
    said, data = ram.said, f"[{8 * ram.offset} +: {8 * ram.word_bytes}]"
    numbers: dict[str, int | str] = {
        "NAME": _text(said.name), "MEMORY": memory, "WORD_BYTES": ram.word_bytes, "LATENCY": said.latency,
        "UNIT": ram.unit, "READS": int(said.read is not None), "WRITES": int(said.write is not None),
        "CHECKED": int(ram.checked),
    }  # fmt: skip
    ports = {
        "clk": "clk", "address": f"ram_address[{64 * i} +: 64]", "enable": f"ram_enable[{i}]",
        "strobe": f"ram_strobe[{ram.offset} +: {ram.word_bytes}]", "d": f"ram_wdata{data}", "q": f"ram_rdata{data}",
    }  # fmt: skip
    return _instance("kit_ram", f"ram{i}", numbers, ports)


def _master(i: int, master: BoundAxi4, memory: int) -> str:
    said = master.said
    numbers: dict[str, int | str] = {
        **{side.upper(): _text(f"{said.prefix}_{side}") for side in ("ar", "aw", "w")}, "MEMORY": memory,
        "BYTES": master.bytes, "LATENCY": said.latency, "READS": int(master.reads), "WRITES": int(master.writes),
        "CHECKED": int(said.reads == "checked"), "SEED": 100 + i, "NUMBER": i + 1,
    }  # fmt: skip
    ports = {}
    for field in (field for side in AXI4_SIDES for field in side):
        if field[2:] in {"cache", "prot"}:
            continue
        slot = slot_bits(field, master)
        at = {"rdata": 8 * master.offset, "wdata": 8 * master.offset, "wstrb": master.offset}.get(field, i * slot)
        ports[field] = f"axi4_{field}[{at} +: {slot}]"
    return _instance("kit_axi4", f"axi{i}", numbers, ports)


def _instance(module: str, name: str, parameters: Mapping[str, int | str], ports: Mapping[str, str]) -> str:
    given = ", ".join(f".{key}({value})" for key, value in parameters.items())
    listed = ",\n".join(f"      .{port}({net})" for port, net in ports.items())
    return f"  {module} #({given}) {name} (\n{listed}\n  );"
