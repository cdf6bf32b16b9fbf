"""Co-simulation of a described design that works off jobs, its input and output in memories."""

from pathlib import Path

import msgspec

from fxsim.contract.arithmetic import Integers
from fxsim.devices.base import CycleLimit, Layout, StreamState, decode_part, stall_argument
from fxsim.devices.described.fitted import FOLLOWING, FittedDescribed, cpp_cycles, cpp_flag, cpp_shape
from fxsim.devices.described.four_state import make_bench
from fxsim.devices.described.jobs.bind import BoundJobs, bind_jobs, step_timeout
from fxsim.devices.described.jobs.bound import BoundAxi4, BoundRam, BoundRegion, BoundStep
from fxsim.devices.described.jobs.layout import JobsLayout
from fxsim.devices.four_state import FourStateBench
from fxsim.engines import Engine
from fxsim.errors import StimulusError
from fxsim.graph import Model
from fxsim.simulate import messages
from fxsim.simulate.build import AXI4_HARNESS, AXI_HARNESS
from fxsim.simulate.stall import Stall

_FOLDER = Path(__file__).resolve().parent / "harness"
_HARNESS = (
    _FOLDER / "harness.cpp",
    *sorted(_FOLDER.glob("*.hpp")),
    FOLLOWING,
    AXI_HARNESS,
    AXI4_HARNESS,
)
_WATCHDOG_MIN = 1000
_RESET_REACH = 12
_DRAIN = 256
"""Cycles after the last job in which nothing may come any more."""


class State(msgspec.Struct, frozen=True):
    """The state of a job when the simulation ended: its phase, and the step that was waited for.

    `errors`: jobs in which a transfer was answered with an error.
    """

    phase: str
    step: str
    errors: int


class FittedJobs(FittedDescribed[BoundJobs]):
    """A described design that works off jobs, with a model on it."""

    def __init__(self, model: Model, path: Path) -> None:
        super().__init__(
            model,
            path,
            lambda base: bind_jobs(path, model, base),
            _HARNESS,
            lambda bound: ports_header(bound, step_timeout(model, bound)),
        )
        timeout = step_timeout(model, self.bound)
        self.limit = CycleLimit(least=1)
        # Nothing moves while a design computes: each step's own timeout comes first.
        control, steps = self.bound.description.control, (*self.bound.setup, *self.bound.run, *self.bound.error)
        stated = [step.timeout for step in steps] + ([] if control is None else [control.timeout])
        longest = max(limit or timeout for limit in stated)
        self.watchdog = max(_WATCHDOG_MIN, 16 * max(region.words for region in self.bound.regions)) + longest

    @property
    def without_lanes(self) -> str:
        """Jobs: their memories and registers are of one image at a time."""
        return f"as {self.bound.path} works off jobs, expected a design of streams"

    @property
    def probed(self) -> tuple[str, ...]:
        """Taps of the model that the description shows, in graph order."""
        return self.bound.shown

    @property
    def part(self) -> tuple[str, ...]:
        """The taps of the model that the design computes."""
        return self.bound.part

    @property
    def has_waits(self) -> bool:
        """Whether the design is an AXI4 master."""
        return bool(self.bound.masters)

    def four_state(self, x: Integers, engine: Engine | str, stall: int, folder: Path) -> FourStateBench:
        """The testbench of a kit, memory files, and the values of the output and of every tap that is shown."""
        self.write_files(folder)
        return make_bench(self.bound, self._model, x, engine, stall, folder)

    def refuse_stall(self, stall: Stall) -> None:
        """StimulusError where a pattern asks for what the design has no signals for."""
        path = self.bound.path
        if stall.resets and not self.has_reset:
            raise StimulusError(f"stall pattern '{stall.text}': {path} describes no reset")
        if stall.waits and not self.has_waits:
            raise StimulusError(f"stall pattern '{stall.text}': {path} describes no AXI4 master")
        if stall.errors and not self.bound.masters:
            raise StimulusError(
                f"stall pattern '{stall.text}': {path} describes no AXI4 master, whose transfers are what is "
                "answered with errors: expected [[axi4]], and beside 'run' the steps of 'error'"
            )
        if stall.errors and self.bound.description.control is not None:
            raise StimulusError(
                f"stall pattern '{stall.text}': the design of {path} is started by ports ('control'), and none of "
                "them says that a job ended with an error: expected, in place of control, registers with the steps of "
                "'run', and under 'error' those of a job in which a transfer is answered with an error"
            )
        if stall.errors and not self.bound.error:
            raise StimulusError(
                f"stall pattern '{stall.text}': {path} does not say how a job ends in which a transfer of an AXI4 "
                "master is answered with an error: expected its steps under 'error'"
            )
        waits = any(ram.said.inside for ram in self.bound.rams) or self.bound.description.registers is not None
        waits |= bool(self.bound.masters)
        if (stall.input is not None or stall.output is not None) and not waits:
            raise StimulusError(f"stall pattern '{stall.text}': nothing of {path} can wait: RAMs answer in time")

    def disturbances(self, found: messages.Found) -> dict[str, int]:
        """Resets, and errors on the bus."""
        return super().disturbances(found) | {"error": decode_part(found, State).errors}

    def layout(self, compared: tuple[str, ...]) -> JobsLayout:
        """The layout of the tensors that the description states."""
        return JobsLayout(self._model, compared, self.bound)

    def arguments(self, layout: Layout, images: int, stall: Stall) -> dict[str, str]:
        """Stalls of the harness's own accesses, and limits."""
        assert isinstance(layout, JobsLayout)
        return {
            "images": str(images),
            "compared": layout.given,
            "input_stall": stall_argument(stall.input, 64),
            "output_stall": stall_argument(stall.output, 64),
            "ready_waits": str(int(stall.waits)),
            "gap": str(stall.gap),
            "resets": str(stall.resets),
            "reset_seed": str(stall.reset_seed),
            "reset_reach": str(_RESET_REACH),
            "errors": str(stall.errors),
            "error_seed": str(stall.error_seed),
            "drain": str(_DRAIN),
        }

    def write_files(self, folder: Path) -> None:
        """Files that the design reads, memory files, and the words of parameters in memories."""
        super().write_files(folder)
        for i, region in enumerate(self.bound.regions):
            if region.role == "parameter":
                (folder / _file(i)).write_bytes(region.content)

    def stuck(self, layout: Layout, found: messages.Found, first_image: int) -> tuple[str, tuple[StreamState, ...]]:
        """The step that does not end, and how far taps and output have come."""
        assert isinstance(layout, JobsLayout)
        state = decode_part(found, State)
        streams = {**dict(zip(layout.shown, found.taps, strict=True)), layout.output: found.output}
        states = []
        for name, stream in streams.items():
            how = "empty" if not stream.valid else "passing" if stream.ready else "held"
            states.append(StreamState(name, how, stream.image + first_image, *layout.place(name, stream.index)))
        where = f"'{state.step}' does not end" if state.step else f"nothing moves in phase '{state.phase}'"
        return f"the job of image {found.images + first_image}: {where}", tuple(states)


def ports_header(bound: BoundJobs, timeout: int) -> str:
    """C++ that says which memories, regions and monitors the wrapper has, and how a job runs."""
    control, reset = bound.description.control, bound.description.reset
    waits = bound.waits
    memories = list(dict.fromkeys((*(r.memory for r in bound.rams), *(m.memory for m in bound.masters))))
    theirs = [ram for ram in bound.rams if not ram.said.inside]
    own = [ram for ram in bound.rams if ram.said.inside]
    monitors, at = [], 0
    for i, tap in enumerate(bound.taps):
        before = bound.taps[:i]
        chain = next((n for n in reversed(range(i)) if before[n].multiplex == tap.multiplex is not None), None)
        last = all(other.multiplex != tap.multiplex for other in bound.taps[i + 1 :])
        numbers = (str(bound.shown.index(tap.name)), str(at), cpp_cycles(tap.latency), cpp_cycles(chain))
        monitors.append(f"{{{', '.join(numbers)}, {cpp_flag(last or tap.multiplex is None)}}}")
        at += tap.beats.lanes * tap.beats.slot
    layout = JobsLayout.shapes(bound)
    assert bound.output.beats is not None
    areas = [f"{{{memories.index(a.memory)}, {a.first}, {a.cells}, {a.cell_bytes}}}" for a in bound.areas]
    run = [_cpp_step(step, waits, timeout) for step in bound.run]
    if control is not None:
        longest = control.timeout or timeout
        run = [f'{{Act::START, 0, 0, 0, 0, {longest}, "start"}}']
        run += [f'{{Act::DONE, 0, 0, 0, 0, {longest}, "wait for {control.done}"}}']
    lines = [
        "// Made by fxsim from a description.",
        "#ifndef FXSIM_DESCRIBED_PORTS_HPP",
        "#define FXSIM_DESCRIBED_PORTS_HPP",
        '#include "regions.hpp"',
        '#include "ports.hpp"',
        "namespace cosim {",
        f"constexpr uint64_t RESET_CYCLES_ASKED = {0 if reset is None else reset.cycles};",
        f"constexpr bool HAS_BUSY = {cpp_flag(control is not None and control.busy is not None)};",
        f"constexpr bool START_LEVEL = {cpp_flag(control is not None and control.start_kind == 'level')};",
        f"constexpr bool DONE_LEVEL = {cpp_flag(control is not None and control.done_kind == 'level')};",
        f"constexpr bool COMBINATIONAL = {cpp_flag(any(ram.said.latency == 0 for ram in theirs))};",
        f"constexpr Shape OUTPUT = {cpp_shape(bound.output.beats)};",
        _list("Shape", "TAPS", [cpp_shape(beats) for beats in layout]),
        _list("Monitor", "MONITORS", monitors),
        _list("Area", "AREAS", areas),
        _list("Region", "REGIONS", [_cpp_region(bound, own, i) for i in range(len(bound.regions))]),
        _list("RamPort", "RAMS", [_cpp_ram(ram, memories) for ram in theirs]),
        _list("Axi4Port", "AXI4_PORTS", [_cpp_axi4(master, memories) for master in bound.masters]),
        _list("OwnRam", "OWN_RAMS", [_cpp_own(ram) for ram in own]),
        _list("Step", "SETUP_STEPS", [_cpp_step(step, waits, timeout) for step in bound.setup]),
        _list("Step", "RUN_STEPS", run),
        _list("Step", "ERROR_STEPS", [_cpp_step(step, waits, timeout) for step in bound.error]),
        "}",
        "#endif",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _list(kind: str, name: str, items: list[str]) -> str:
    return f"inline const std::vector<{kind}> {name} = {{{', '.join(items)}}};"


def _cpp_step(step: BoundStep, waits: tuple[str, ...], timeout: int) -> str:
    port = 0 if step.wait is None else waits.index(step.wait)
    numbers = (step.address, f"{step.value & 0xFFFF_FFFF}u", f"{step.mask}u", port, step.timeout or timeout)
    return f'{{Act::{step.kind.upper()}, {", ".join(map(str, numbers))}, "{step.name}"}}'


def _cpp_ram(ram: BoundRam, memories: list[str]) -> str:
    said = ram.said
    flags = (said.enable is not None, said.read is not None, said.write is not None, ram.checked)
    numbers = (memories.index(ram.memory), ram.word_bytes, ram.word_bits, ram.offset, said.latency, ram.unit)
    words = (f'"{said.name}"', f'"{ram.memory}"', *map(str, numbers), *map(cpp_flag, flags))
    return f"{{{', '.join(words)}}}"


def _cpp_axi4(master: BoundAxi4, memories: list[str]) -> str:
    said = master.said
    channels = (f'"{said.prefix}_{channel}"' for channel in ("ar", "aw", "w"))
    numbers = (memories.index(master.memory), master.bytes, master.offset, said.latency)
    flags = (master.reads, master.writes, said.reads == "checked")
    words = (f'"{said.name}"', f'"{master.memory}"', *channels, *map(str, numbers), *map(cpp_flag, flags))
    return f"{{{', '.join(words)}}}"


def _cpp_own(ram: BoundRam) -> str:
    numbers = (ram.word_bytes, ram.offset, ram.said.latency, ram.unit, ram.words)
    return f"{{{', '.join(map(str, numbers))}, {cpp_flag(ram.said.write is not None)}}}"


def _cpp_region(bound: BoundJobs, own: list[BoundRam], i: int) -> str:
    region: BoundRegion = bound.regions[i]
    never = "NEVER"
    area, port, at = never, never, region.first
    if bound.inside(region.memory):
        port = str(next(n for n, ram in enumerate(own) if ram.memory == region.memory))
    else:
        n = next(
            n for n, a in enumerate(bound.areas) if a.memory == region.memory and 0 <= region.first - a.first < a.cells
        )
        area, at = str(n), region.first - bound.areas[n].first
    beats = region.beats
    shape = "Shape{}" if beats is None else f"Shape{cpp_shape(beats)}"
    bits, low, big = (0, True, False) if beats is None else (beats.number.bits, beats.low_first, beats.big_endian)
    tap = str(bound.shown.index(region.tap)) if region.role == "output" and region.tap is not None else never
    words = (
        f'"{region.name}"', f"Role::{region.role.upper()}", area, port, str(at), str(region.cells), str(region.words),
        str(region.word_bytes), shape, str(bits), cpp_flag(low), cpp_flag(big), tap, f'"{_file(i)}"',
    )  # fmt: skip
    return f"{{{', '.join(words)}}}"


def _file(i: int) -> str:
    """The file with the words of a region."""
    return f"fxsim_region_{i}.bin"
