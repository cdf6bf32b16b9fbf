"""Co-simulation of somebody's RTL, which a description binds to the model."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fxsim.contract.arithmetic import Integers
from fxsim.devices.base import CycleLimit, Device, Figures, Fitted, Layout, StreamState, decode_part, stall_argument
from fxsim.devices.described.bind import WRAPPER, Bound, bind
from fxsim.devices.described.layout import DescribedLayout
from fxsim.devices.described.nodes import list_nodes
from fxsim.devices.described.packing import Beats
from fxsim.devices.described.wrapper import TOP
from fxsim.devices.settings import Setting, Settings
from fxsim.errors import StimulusError
from fxsim.graph import Model
from fxsim.simulate import messages
from fxsim.simulate.build import COMMON_HARNESS, Design
from fxsim.simulate.sources import Sources
from fxsim.simulate.stall import Stall

_HARNESS = tuple(Path(__file__).resolve().parent / name for name in ("harness.cpp", "latency.hpp"))
_PORTS = "described_ports.hpp"
_LATENCY_FIND_MAX = 512
"""Latencies that are found are below this, in cycles."""
_WATCHDOG_MIN = 1000
_RESET_REACH = 12
_INSIDE_MAX = 256
"""Images that may be on their way at once."""


class DescribedSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a described design: `dut`, the file of its description."""

    dut: Annotated[
        str | None, Setting("--dut", "description of your own RTL (a .toml file)", unit="file", file=True)
    ] = None


@dataclass(frozen=True)
class DescribedDesign(Design):
    """Somebody's Verilog with fxsim's wrapper around it; `rtl` is the folder that its description lies in."""

    bound: Bound | None = None
    model: Model | None = None

    @property
    def programs(self) -> dict[str, bytes]:
        """The harness, and the ports that the description gives it."""
        assert self.bound is not None
        return {**super().programs, _PORTS: ports_header(self.bound).encode()}

    def read(self, rtl: Path | None = None) -> Sources:
        """The sources that the description lists, of its folder or another one, and the wrapper."""
        assert self.bound is not None
        assert self.model is not None
        bound = self.bound if rtl is None else bind(self.bound.path, self.model, rtl)
        files = {**bound.verilog.files, WRAPPER: bound.wrapper.encode()}
        return Sources(bound.sources.folder, dict(sorted(files.items())))

    def words(self, sources: Sources) -> list[str]:  # noqa: ARG002  # the description lists them in order
        """Words of Verilator's command: include folders, defines, then every source in the order of the description."""
        assert self.bound is not None
        said = self.bound.verilog
        words = [f"-Irtl/{folder}" for folder in ("", *said.include)]
        words += [f"-D{name}={value}" for name, value in said.defines.items()]
        return [*words, *(f"rtl/{name}" for name in said.sources), f"rtl/{WRAPPER}"]


class DescribedFigures(Figures, frozen=True, kw_only=True):
    """Figures of somebody's design: `latency`, where it was to be found: cycles from an image in to the same out."""

    latency: int | None = None

    def lines(self) -> tuple[str, ...]:
        """The latency that was found, in words."""
        if self.latency is None:
            return ()
        return (f"latency found: the output reacts {self.latency} cycles after its input; state it as latency",)


class FittedDescribed(Fitted):
    """A described design with a model on it."""

    def __init__(self, model: Model, settings: DescribedSettings) -> None:
        if settings.dut is None:
            raise StimulusError("the accelerator 'described' needs a description: expected --dut FILE.toml")
        self._settings = settings
        self._model = model
        self._path = Path(settings.dut)
        self.bound = bind(self._path, model)
        self.design = DescribedDesign(
            TOP, (*_HARNESS, COMMON_HARNESS), rtl=self._path.parent, bound=self.bound, model=model
        )
        self.parameters = {}
        into, out = self.bound.input, self.bound.output
        self.limit = CycleLimit(least=max(into.beats.beats, out.beats.beats))
        latency = _LATENCY_FIND_MAX if out.find else out.latency or 0
        self.watchdog = max(_WATCHDOG_MIN, 16 * self.limit.cycles, 2 * latency, 2 * into.interval)

    @property
    def probed(self) -> tuple[str, ...]:
        """Taps of the model that the description shows, in graph order."""
        return tuple(tap.name for tap in self.bound.taps)

    @property
    def part(self) -> tuple[str, ...]:
        """The taps of the model that the design computes."""
        return self.bound.part

    @property
    def has_reset(self) -> bool:
        """Whether the description names a reset."""
        return self.bound.description.reset is not None

    def refuse_stall(self, stall: Stall) -> None:
        """StimulusError where a pattern asks for what the design has no signals for."""
        has = self.bound
        if stall.resets and not self.has_reset:
            raise StimulusError(f"stall pattern '{stall.text}': {has.path} describes no reset")
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
            "gap": str(stall.gap),
            "resets": str(stall.resets),
            "reset_seed": str(stall.reset_seed),
            "reset_reach": str(_RESET_REACH),
            "reset_delays": str(max(256, 2 * self.limit.cycles)),
            "inside_max": str(_INSIDE_MAX),
            # Long enough for what a surplus image would need to come out.
            "drain": str(bound),
        }

    def write_files(self, folder: Path) -> None:
        """Files that the design reads, and memory files of the model's parameters."""
        listed = {*self.bound.listed.sources, *self.bound.listed.lists}
        for name, content in self.bound.sources.files.items():
            if name not in listed:
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        for name, content in self.bound.memories.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def keep_files(self, folder: Path, x: Integers) -> None:  # noqa: ARG002  # memory files are the model's alone
        """The memory files, in `rom/`."""
        for name, content in self.bound.memories.items():
            path = folder / "rom" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def keep_sources(self, rtl: Path | None, folder: Path) -> None:
        """Write the description and the files that it lists; its folder may hold much else."""
        sources = self.bound.sources if rtl is None else bind(self._path, self._model, rtl).sources
        sources.write(folder)
        shutil.copyfile(self._path, folder / self._path.name)

    def pinned(self, images: int) -> DescribedSettings:  # noqa: ARG002  # no setting depends on them
        """The description that was used."""
        return self._settings

    def kept_settings(self) -> Settings:
        """The settings that repeat the run in a kept folder: its own copy of the description."""
        return DescribedSettings(dut=f"rtl/{self._path.name}")

    def figures(self, found: messages.Found, images: int) -> DescribedFigures | None:  # noqa: ARG002
        """The latency that was found."""
        return decode_part(found, DescribedFigures)

    def stuck(self, layout: Layout, found: messages.Found, first_image: int) -> tuple[str, tuple[StreamState, ...]]:
        """The streams that hold a value nobody takes, or where nothing comes any more; and the states of all."""
        assert found.input is not None
        assert isinstance(layout, DescribedLayout)
        streams = {"input": found.input, **dict(zip(self.probed, found.taps, strict=True)), layout.output: found.output}
        states = []
        for name, stream in streams.items():
            state = "empty" if not stream.valid else "passing" if stream.ready else "held"
            place = (None, 0) if name == "input" else layout.place(name, stream.index)
            states.append(StreamState(name, state, stream.image + first_image, *place))
        held = [state.stream for state in states if state.state == "held"]
        if held:
            return f"{' and '.join(repr(name) for name in held)} holds a value that nobody takes", tuple(states)
        least = min(states[1:], key=lambda state: state.image)
        return f"no stream holds a value: '{least.stream}' gives no more of image {least.image}", tuple(states)


def ports_header(bound: Bound) -> str:
    """C++ that says which streams the wrapper has, and how their values lie in it."""
    taps = bound.taps
    offsets, at = [], 0
    for tap in taps:
        offsets.append(at)
        at += tap.beats.lanes * tap.beats.slot
    out, into = bound.output, bound.input
    interval = into.interval if into.signals.ready is None else 0
    reset = bound.description.reset
    lines = [
        "// Made by fxsim from a description.",
        "#ifndef FXSIM_DESCRIBED_PORTS_HPP",
        "#define FXSIM_DESCRIBED_PORTS_HPP",
        "#include <cstddef>",
        "#include <cstdint>",
        "struct Shape {",
        "    size_t slot, lanes, row_beats, rows, tail;",
        "    bool is_signed;",
        "};",
        f"constexpr Shape INPUT = {_shape(into.beats)};",
        f"constexpr Shape OUTPUT = {_shape(out.beats)};",
        f"constexpr size_t TAPS = {len(taps)};",
        f"constexpr Shape TAP_SHAPES[] = {{{', '.join(_shape(tap.beats) for tap in taps) or '{}'}}};",
        f"constexpr size_t TAP_OFFSETS[] = {{{', '.join(map(str, offsets)) or '0'}}};",
        f"constexpr uint64_t TAP_LATENCY[] = {{{', '.join(_cycles(tap.latency) for tap in taps) or '0'}}};",
        f"constexpr uint64_t OUTPUT_LATENCY = {_cycles(out.latency)};",
        f"constexpr bool OUTPUT_FIND = {_flag(out.find)};",
        f"constexpr uint64_t LATENCY_FIND_MAX = {_LATENCY_FIND_MAX};",
        f"constexpr uint64_t INTERVAL = {interval};",
        f"constexpr size_t INPUT_LAST_EVERY = {into.last_every};",
        f"constexpr size_t OUTPUT_LAST_EVERY = {out.last_every};",
        f"constexpr bool OUTPUT_HAS_READY = {_flag(out.signals.ready is not None)};",
        f"constexpr bool OUTPUT_HAS_KEEP = {_flag(out.signals.keep is not None)};",
        f"constexpr bool OUTPUT_AXI = {_flag(out.axi)};",
        f"constexpr uint64_t RESET_CYCLES_ASKED = {0 if reset is None else reset.cycles};",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def _shape(beats: Beats) -> str:
    numbers = (beats.slot, beats.lanes, beats.row_beats, beats.rows, beats.tail)
    return f"{{{', '.join(map(str, numbers))}, {_flag(beats.number.signed)}}}"


def _cycles(latency: int | None) -> str:
    return "~uint64_t{0}" if latency is None else str(latency)


def _flag(value: bool) -> str:
    return "true" if value else "false"


def copy_design(model: Model, settings: DescribedSettings, rtl: Path | None, folder: Path) -> Path:
    """Copy a design and its description to `rtl/` of a folder, with files that it reads; returns the description."""
    fitted = FittedDescribed(model, settings)
    fitted.keep_sources(rtl, folder / "rtl")
    fitted.write_files(folder)
    assert settings.dut is not None
    return folder / "rtl" / Path(settings.dut).name


DEVICE = Device(
    name="described",
    title="described",
    about="your own RTL, as the description that --dut names binds it to the model",
    fit=FittedDescribed,
    settings=DescribedSettings,
    figures=DescribedFigures,
    described=copy_design,
    nodes=lambda model, settings, rtl, _: list_nodes(model, settings.dut, rtl),
)
