"""Co-simulation of somebody's RTL, which a description binds to the model."""

from collections.abc import Callable, Mapping
from pathlib import Path

from fxsim.contract.arithmetic import Int8
from fxsim.devices.base import (
    CycleLimit,
    Device,
    Figures,
    Fitted,
    Language,
    Layout,
    StreamState,
    Synthesisable,
    Watched,
    decode_part,
    stall_argument,
)
from fxsim.devices.described.bind import WRAPPER, Bound, bind
from fxsim.devices.described.description import read_description
from fxsim.devices.described.findings import Findings, description_of
from fxsim.devices.described.fitted import (
    FOLLOWING,
    DescribedSettings,
    FittedDescribed,
    cpp_cycles,
    cpp_flag,
    cpp_shape,
)
from fxsim.devices.described.four_state import make_bench
from fxsim.devices.described.jobs.device import FittedJobs
from fxsim.devices.described.layout import DescribedLayout
from fxsim.devices.described.nodes import list_nodes
from fxsim.devices.described.packing import Beats
from fxsim.devices.described.proofs import provable_of
from fxsim.devices.described.wrapper import TOP, input_places
from fxsim.devices.four_state import FourStateBench
from fxsim.devices.provable import Provable
from fxsim.engines import Engine
from fxsim.errors import StimulusError, ToolError
from fxsim.graph import Model
from fxsim.simulate import messages
from fxsim.simulate.stall import Stall

_HARNESS = (*(Path(__file__).resolve().parent / name for name in ("harness.cpp", "latency.hpp")), FOLLOWING)
_LATENCY_FIND_MAX = 512
"""Latencies that are found are below this, in cycles."""
_WATCHDOG_MIN = 1000
_RESET_REACH = 12
_INSIDE_MAX = 256
"""Images that may be on their way at once."""


class DescribedFigures(Figures, frozen=True, kw_only=True):
    """Figures of somebody's design: `latency`, where it was to be found: cycles from an image in to the same out."""

    latency: int | None = None

    def lines(self) -> tuple[str, ...]:
        """The latency that was found, in words."""
        if self.latency is None:
            return ()
        return (f"latency found: the output reacts {self.latency} cycles after its input; state it as latency",)


def _watched(name: str, beats: Beats) -> Watched:
    """A word's signal; that of several values is no number."""
    bits = beats.lanes * beats.number.bits
    text = f"{name}[{bits - 1}:0]" if bits > 1 else name
    return Watched(f"TOP.{TOP}.clk", text, beats.lanes == 1 and beats.number.signed)


class FittedStreams(FittedDescribed[Bound]):
    """A described design whose input and output are streams, with a model on it.

    `bind_in`: binds it with its sources in another folder, or in None: its own; by default the description in `path`.
    """

    def __init__(self, model: Model, path: Path, bind_in: Callable[[Path | None], Bound] | None = None) -> None:
        super().__init__(model, path, bind_in or (lambda base: bind(path, model, base)), _HARNESS, ports_header)
        inputs, out = self.bound.inputs, self.bound.output
        self.limit = CycleLimit(least=max(out.beats.beats, *(stream.beats.beats for stream in inputs)))
        latency = _LATENCY_FIND_MAX if out.find else out.latency or 0
        self.watchdog = max(
            _WATCHDOG_MIN, 16 * self.limit.cycles, 2 * latency, 2 * max(into.interval for into in inputs)
        )

    @property
    def probed(self) -> tuple[str, ...]:
        """Taps of the model that the description shows, in graph order."""
        return tuple(tap.name for tap in self.bound.taps)

    def watched(self, channel: int) -> dict[str, Watched]:  # noqa: ARG002  # whole words
        """The words of taps and output, as the module around the design has them: a tap's as its description says."""
        top, output = f"TOP.{TOP}", self.bound.output
        found = {tap.name: _watched(f"{top}.tap_{i}", tap.beats) for i, tap in enumerate(self.bound.taps)}
        shown = _watched(f"{top}.y_data", output.beats)
        return found | {output.signals.data: shown._replace(valid=f"{top}.out_valid", ready=f"{top}.out_ready")}

    @property
    def data_ports(self) -> frozenset[str]:
        """The data of inputs, output and taps, as the module around the design has them."""
        return frozenset({"in_data", "out_data", "mon_data"})

    def in_lanes(self, rtl: Path | None = None) -> Synthesisable:
        """The module around the design, which shows its taps; StimulusError where its latency is to be found."""
        if self.bound.output.find:
            raise StimulusError(
                f'{self.bound.path}: output stream: latency is "find", expected a number of cycles, which a run in '
                "lanes takes: a run without them shows what it finds"
            )
        bound, sources = self._in(rtl), self.design.read(rtl)
        said = bound.verilog
        files = {name: bound.sources.files[name] for name in bound.listed.files} | bound.memories
        language = Language((*said.sources, WRAPPER), said.include, said.defines)
        return Synthesisable(TOP, {}, sources, files, language=language)

    @property
    def part(self) -> tuple[str, ...]:
        """The taps of the model that the design computes."""
        return self.bound.part

    @property
    def has_waits(self) -> bool:
        """Whether the output is an AXI4-Stream with a ready."""
        return self.bound.output.axi and self.bound.output.signals.ready is not None

    def refuse_stall(self, stall: Stall) -> None:
        """StimulusError where a pattern asks for what the design has no signals for."""
        has = self.bound
        if stall.resets and not self.has_reset:
            raise StimulusError(f"stall pattern '{stall.text}': {has.path} describes no reset")
        if stall.errors:
            raise StimulusError(
                f"stall pattern '{stall.text}': {has.path} describes no AXI4 master, whose transfers are what is "
                "answered with errors: expected a design that works off jobs, with [[axi4]], 'run' and 'error'"
            )
        if stall.waits and not self.has_waits:
            words = f"the output of {has.path} is no AXI4-Stream with a ready"
            raise StimulusError(f"stall pattern '{stall.text}': {words}")
        if stall.output is not None and stall.input is None and has.output.signals.ready is None:
            raise StimulusError(f"stall pattern '{stall.text}': the output of {has.path} has no ready: it cannot wait")

    def layout(self, compared: tuple[str, ...]) -> DescribedLayout:
        """The layout of the streams that the description states."""
        return DescribedLayout(self._model, compared, self.bound)

    def arguments(self, layout: Layout, images: int, stall: Stall) -> dict[str, str]:
        """Stalls of both sides, and limits."""
        bound = self.watchdog
        return {
            "images": str(images),
            "compared": "".join("1" if tap in layout.compared else "0" for tap in self.probed),
            "input_stall": stall_argument(stall.input, self.limit.cycles),
            "output_stall": stall_argument(stall.output, self.limit.cycles),
            "ready_waits": str(int(stall.waits)),
            "gap": str(stall.gap),
            "resets": str(stall.resets),
            "reset_seed": str(stall.reset_seed),
            "reset_reach": str(_RESET_REACH),
            "reset_delays": str(max(256, 2 * self.limit.cycles)),
            "inside_max": str(_INSIDE_MAX),
            # Long enough for what a surplus image would need to come out.
            "drain": str(bound),
        }

    def four_state(self, x: Int8, engine: Engine | str, stall: int, folder: Path) -> FourStateBench:
        """The testbench of a kit, memory files, and the values of the output and of every tap that is shown."""
        self.write_files(folder)
        return make_bench(self.bound, self._model, x, engine, stall, folder)

    def figures(self, found: messages.Found, images: int) -> DescribedFigures | None:  # noqa: ARG002
        """The latency that was found."""
        return decode_part(found, DescribedFigures)

    def hold_together(self, figures: Mapping[int, DescribedFigures]) -> None:
        """Refuse latencies that were found and depend on the power-on state."""
        first, *others = figures.items()
        for seed, found in others:
            if found.latency != first[1].latency:
                raise ToolError(
                    f'{self.bound.path}: output stream: latency = "find": the output reacts {first[1].latency} cycles '
                    f"after its input from power-on seed {first[0]}, and {found.latency} from seed {seed}: "
                    "expected the same from all"
                )

    def stuck(self, layout: Layout, found: messages.Found, first_image: int) -> tuple[str, tuple[StreamState, ...]]:
        """The streams that hold a value nobody takes, or where nothing comes any more; and the states of all."""
        assert isinstance(layout, DescribedLayout)
        inputs = {self.bound.input_name(number): stream for number, stream in enumerate(found.inputs)}
        streams = {**inputs, **dict(zip(self.probed, found.taps, strict=True)), layout.output: found.output}
        states = []
        for name, stream in streams.items():
            state = "empty" if not stream.valid else "passing" if stream.ready else "held"
            place = (None, 0) if name in inputs else layout.place(name, stream.index)
            states.append(StreamState(name, state, stream.image + first_image, *place))
        held = [state.stream for state in states if state.state == "held"]
        if held:
            verb = "hold" if len(held) > 1 else "holds"
            return f"{' and '.join(repr(name) for name in held)} {verb} a value that nobody takes", tuple(states)
        least = min(states[len(inputs) :], key=lambda state: state.image)
        return f"no stream holds a value: '{least.stream}' gives no more of image {least.image}", tuple(states)


def ports_header(bound: Bound) -> str:
    """C++ that says which streams the wrapper has, and how their values lie in it."""
    taps = bound.taps
    offsets, at = [], 0
    for tap in taps:
        offsets.append(at)
        at += tap.beats.lanes * tap.beats.slot
    out, inputs = bound.output, bound.inputs
    data_at, keep_at = input_places([stream.beats for stream in inputs])
    reset = bound.description.reset
    lines = [
        "// Made by fxsim from a description.",
        "#ifndef FXSIM_DESCRIBED_PORTS_HPP",
        "#define FXSIM_DESCRIBED_PORTS_HPP",
        '#include "following.hpp"',
        "using cosim::Shape;",
        f"constexpr size_t INPUTS = {len(inputs)};",
        f"constexpr Shape INPUT_SHAPES[] = {{{', '.join(cpp_shape(stream.beats) for stream in inputs)}}};",
        f"constexpr size_t INPUT_DATA_AT[] = {{{', '.join(map(str, data_at[:-1]))}}};",
        f"constexpr size_t INPUT_KEEP_AT[] = {{{', '.join(map(str, keep_at[:-1]))}}};",
        f"constexpr Shape OUTPUT = {cpp_shape(out.beats)};",
        f"constexpr size_t TAPS = {len(taps)};",
        f"constexpr Shape TAP_SHAPES[] = {{{', '.join(cpp_shape(tap.beats) for tap in taps) or '{}'}}};",
        f"constexpr size_t TAP_OFFSETS[] = {{{', '.join(map(str, offsets)) or '0'}}};",
        f"constexpr uint64_t TAP_LATENCY[] = {{{', '.join(cpp_cycles(tap.latency) for tap in taps) or '0'}}};",
        f"constexpr uint64_t OUTPUT_LATENCY = {cpp_cycles(out.latency)};",
        f"constexpr bool OUTPUT_FIND = {cpp_flag(out.find)};",
        f"constexpr uint64_t LATENCY_FIND_MAX = {_LATENCY_FIND_MAX};",
        f"constexpr uint64_t INTERVAL = {bound.interval};",
        f"constexpr size_t INPUT_LAST_EVERY[] = {{{', '.join(str(stream.last_every) for stream in inputs)}}};",
        f"constexpr size_t OUTPUT_LAST_EVERY = {out.last_every};",
        "// Whether an input may wait amid an image, and whether all wait as one.",
        f"constexpr bool INPUT_MAY_WAIT = {cpp_flag(not bound.whole_images)};",
        f"constexpr bool INPUTS_IN_STEP = {cpp_flag(bound.in_step)};",
        f"constexpr bool OUTPUT_HAS_READY = {cpp_flag(out.signals.ready is not None)};",
        f"constexpr bool OUTPUT_HAS_KEEP = {cpp_flag(out.signals.keep is not None)};",
        f"constexpr bool OUTPUT_HAS_START = {cpp_flag(out.signals.start is not None)};",
        f"constexpr bool OUTPUT_AXI = {cpp_flag(out.axi)};",
        f"constexpr uint64_t RESET_CYCLES_ASKED = {0 if reset is None else reset.cycles};",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def fit(model: Model, settings: DescribedSettings) -> Fitted:
    """The design that a description names, with a model on it."""
    if settings.dut is None:
        raise StimulusError("the accelerator 'described' needs a description: expected --dut FILE.toml")
    path = Path(settings.dut)
    description = description_of(path, Findings())
    assert description is not None
    return FittedJobs(model, path) if description.has_jobs else FittedStreams(model, path)


def proofs(model: Model, settings: DescribedSettings, module: str | None) -> tuple[Provable, ...]:
    """The design, to be proved whole. ToolError for one of its modules, and where it works off jobs."""
    if module is not None:
        raise ToolError(f"'{module}' of a described design is not proved alone: describe it by itself, as a part of it")
    if settings.dut is not None and read_description(Path(settings.dut)).has_jobs:
        raise ToolError(
            f"{settings.dut}: a design that works off jobs is not proved: nothing here answers its memories and "
            "registers with symbols; expected one of streams"
        )
    fitted = fit(model, settings)
    assert isinstance(fitted, FittedStreams)
    return (provable_of(fitted.bound, model, fitted.watchdog),)


def copy_design(model: Model, settings: DescribedSettings, rtl: Path | None, folder: Path) -> Path:
    """Copy a design and its description to `rtl/` of a folder, with files that it reads; returns the description."""
    fitted = fit(model, settings)
    fitted.keep_sources(rtl, folder / "rtl")
    fitted.write_files(folder)
    assert settings.dut is not None
    return folder / "rtl" / Path(settings.dut).name


DEVICE = Device(
    name="described",
    title="described",
    about="your own RTL, as the description that --dut names binds it to the model",
    fit=fit,
    settings=DescribedSettings,
    figures=DescribedFigures,
    stalls=frozenset({"random", "burst", "wait", "gap", "reset", "error"}),
    four_state=True,
    lanes=True,
    described=copy_design,
    proofs=proofs,
    nodes=lambda model, settings, rtl, _: list_nodes(model, settings.dut, rtl),
)
