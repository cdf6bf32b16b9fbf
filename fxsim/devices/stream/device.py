"""Co-simulation of the streaming accelerator: what its harness needs, and what its streams mean."""

from dataclasses import replace
from pathlib import Path

from fxsim.contract.arithmetic import Int8
from fxsim.devices.base import (
    CycleLimit,
    Device,
    Fitted,
    Layout,
    StreamState,
    Synthesisable,
    Watched,
    stall_argument,
)
from fxsim.devices.four_state import FourStateBench
from fxsim.devices.settings import Settings
from fxsim.devices.stream.blocks import blocks
from fxsim.devices.stream.four_state import make_bench
from fxsim.devices.stream.layout import OUTPUT, StreamLayout
from fxsim.devices.stream.moments import name_moments, stages
from fxsim.devices.stream.needs import instance_of, needs
from fxsim.devices.stream.nodes import describe_all, write_nodes
from fxsim.devices.stream.proofs import proofs
from fxsim.devices.stream.published import published
from fxsim.devices.stream.roms import ROM_PARAMETERS, rtl_parameters, write_roms
from fxsim.devices.stream.settings import StreamSettings
from fxsim.devices.stream.stuck import INPUT_STREAM, explain
from fxsim.engines import Engine
from fxsim.families import ResMLPConfig, Slot, recognise_resmlp, resmlp_slots
from fxsim.graph import Model
from fxsim.simulate import messages
from fxsim.simulate.build import COMMON_HARNESS, Design
from fxsim.simulate.stall import Stall

DESIGN = Design("stream_resmlp", (Path(__file__).resolve().parent / "harness.cpp", COMMON_HARNESS))

_WATCHDOG_MIN = 1000
_SPARE_TOKENS = 32
_RESET_REACH = 12
"""A reset comes within so many images of the last one: enough to fill the pipeline of the published design."""


class FittedStream(Fitted):
    """The streaming accelerator, built for a model's dimensions."""

    design = DESIGN

    def __init__(self, model: Model, settings: StreamSettings) -> None:
        self._model = model
        self._settings, self._lanes = settings, settings.beat
        self._config = recognise_resmlp(model.graph)
        self.parameters = rtl_parameters(model, settings)
        self.bound = interval_bound(model) // self._lanes
        self.limit = CycleLimit(bound=self.bound)
        self.watchdog = max(_WATCHDOG_MIN, 4 * self.bound)

    @property
    def has_waits(self) -> bool:
        """Always: the output is an AXI4-Stream."""
        return True

    def synthesisable(self, rtl: Path | None = None) -> Synthesisable:
        """The design with the model's ROM files, which dimensions and kinds of tables are those of."""
        return replace(super().synthesisable(rtl), of_files=ROM_PARAMETERS)

    def pinned(self, images: int) -> Settings:  # noqa: ARG002  # none is left open
        """The settings, where any is not at its default."""
        return Settings() if self._settings == StreamSettings() else self._settings

    @property
    def data_ports(self) -> frozenset[str] | None:
        """Input, output and monitors; None where a beat has several values."""
        return None if self._lanes != 1 else frozenset({"s_axis_tdata", "m_axis_tdata", "mon_data"})

    @property
    def without_lanes(self) -> str:
        """More values a beat than one."""
        return f"as it has {self._lanes} values a beat, expected one"

    def layout(self, compared: tuple[str, ...]) -> StreamLayout:
        """The layout: each tap's values in the order of its stream."""
        return StreamLayout(self._model, compared)

    def arguments(self, layout: Layout, images: int, stall: Stall) -> dict[str, str]:
        """Sizes of the streams, stalls of both sides, and limits."""
        assert isinstance(layout, StreamLayout)
        graph = self._model.graph
        return {
            "images": str(images),
            "beat": str(self._lanes),
            "input_size": str(layout.input_size),
            "output_size": str(layout.size(layout.output)),
            "tap_sizes": ",".join(str(layout.size(tap)) for tap in graph.taps),
            "compared": "".join("1" if tap in layout.compared else "0" for tap in graph.taps),
            "input_stall": stall_argument(stall.input, self.bound),
            "output_stall": stall_argument(stall.output, self.bound),
            "ready_waits": str(int(stall.waits)),
            "aim": str(int(stall.aim is not None)),
            "aim_seed": str(stall.aim or 0),
            "aim_free": str(2 * self.bound),
            "token_size": str(graph.input_shape[1]),
            "stage_ends": ",".join(map(str, stages(self._model).values())),
            "gap": str(stall.gap),
            "resets": str(stall.resets),
            "reset_seed": str(stall.reset_seed),
            "reset_reach": str(_RESET_REACH),
            # As long as an image may need to come out.
            "reset_delays": str(max(256, 2 * self.bound * (self._config.blocks + 1))),
            "inside_max": str(images_inside_max(self._config)),
            # Long enough for what a surplus image would need to come out.
            "drain": str(max(256, 2 * self.bound)),
        }

    def moments(self, layout: Layout) -> tuple[str | None, ...]:
        """Resets by phase of an image, and the places at which streams were held."""
        assert isinstance(layout, StreamLayout)
        return name_moments(layout, self._lanes)

    def watched(self, channel: int) -> dict[str, Watched]:  # noqa: ARG002  # a beat is shown as it is
        """The streams between the modules, each with signals of its own; of several lanes whole beats, no numbers."""
        bits, signed = f"[{8 * self._lanes - 1}:0]", self._lanes == 1
        slots = resmlp_slots(self._config, self._config.psa)
        taps = zip(self._model.graph.taps, slots, strict=True)
        places = {tap: _prefix(slot) for tap, slot in taps} | {OUTPUT: f"{_TOP}.m_axis_"}
        return {
            name: Watched(f"{_TOP}.clk", f"{prefix}tdata{bits}", signed, f"{prefix}tvalid", f"{prefix}tready")
            for name, prefix in places.items()
        }

    def write_files(self, folder: Path) -> None:
        """The ROM files."""
        write_roms(self._model, folder)

    def keep_files(self, folder: Path, x: Int8) -> None:  # noqa: ARG002  # ROMs are the model's alone
        """The ROM files, in `rom/`."""
        (folder / "rom").mkdir(parents=True)
        write_roms(self._model, folder / "rom")

    def four_state(self, x: Int8, engine: Engine | str, stall: int, folder: Path) -> FourStateBench:
        """The harness in Verilog, ROM files, and every tap's values."""
        self.write_files(folder)
        layout = self.layout(self._model.graph.taps)
        return make_bench(
            layout, x, engine, stall, folder, parameters=self.parameters, watchdog=self.watchdog, lanes=self._lanes
        )

    def stuck(self, layout: Layout, found: messages.Found, first_image: int) -> tuple[str, tuple[StreamState, ...]]:
        """The reason why nothing moves, that is which stream waits for which, and the state of every stream."""
        assert found.input is not None
        graph = self._model.graph
        states = {INPUT_STREAM: self._state(layout, INPUT_STREAM, found.input, first_image)}
        taps = zip(graph.taps, found.taps, strict=True)
        states |= {tap: self._state(layout, tap, stream, first_image) for tap, stream in taps}
        states[layout.output] = self._state(layout, layout.output, found.output, first_image)
        return explain(graph, states), tuple(states.values())

    def _state(self, layout: Layout, name: str, stream: messages.Stream, first_image: int) -> StreamState:
        if name == INPUT_STREAM:
            token, channel = divmod(stream.index, self._model.graph.input_shape[1])
            place: tuple[int | None, int] = token, channel
        else:
            place = layout.place(name, stream.index)
        state = "empty" if not stream.valid else "passing" if stream.ready else "held"
        return StreamState(name, state, stream.image + first_image, *place)


_TOP = "TOP.stream_resmlp"
"""The accelerator's name in waveforms."""
_SIGNALS = {"psa_1": "linear_1_in", "psa_2": "activation", "relu": "activation"}
"""Names of streams in `mlp.v` that are not those of the operator."""


def _prefix(slot: Slot) -> str:
    """The full name of the signals of an operator's stream, up to tdata, tvalid and tready."""
    if slot.block is None:
        # The embedding's stream has no name at the top but a part of a vector's.
        return f"{_TOP}.embed.m_axis_" if slot.role == "embed" else f"{_TOP}.{slot.role}_"
    module = slot.name.split(".")[2]
    return f"{_TOP}.block[{slot.block}].{module}_block.{_SIGNALS.get(slot.role, slot.role)}_"


DEVICE = Device(
    name="stream",
    title="streaming",
    about="built for the model's dimensions, every operator in hardware of its own",
    fit=FittedStream,
    settings=StreamSettings,
    four_state=True,
    stalls=frozenset({"random", "burst", "wait", "gap", "reset", "aim"}),
    nodes=write_nodes,
    described=describe_all,
    proofs=proofs,
    blocks=blocks,
    needs=needs,
    instance_of=instance_of,
    lanes=True,
    published=published,
)


def interval_bound(model: Model) -> int:
    """Most cycles between images in steady state: the values of an image at its busiest stream, one a cycle."""
    c = recognise_resmlp(model.graph)
    return max(c.tokens * max(c.values, c.channels, c.hidden), c.channels, c.classes)


def images_inside_max(config: ResMLPConfig) -> int:
    """Most images that may be on their way at once: twice what a design of this size can hold, and some more.

    Each block's residual FIFOs hold under three images and some tokens; so do the other operators together.
    """
    spare = -(-_SPARE_TOKENS // config.tokens)
    return 8 + 2 * (config.blocks + 1) * (3 + spare)
