"""Co-simulation of the SIMD accelerator: what its harness needs, and its figures."""

import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec

from fxsim.contract.arithmetic import Int8
from fxsim.devices.base import (
    CycleLimit,
    Device,
    Fitted,
    Layout,
    StreamState,
    Synthesisable,
    Watched,
    decode_part,
    stall_argument,
)
from fxsim.devices.four_state import FourStateBench
from fxsim.devices.provable import Provable
from fxsim.devices.settings import Setting, Settings
from fxsim.devices.simd.blocks import UNPROVED, blocks
from fxsim.devices.simd.description import describe
from fxsim.devices.simd.figures import LayerFigures, SimdFigures
from fxsim.devices.simd.four_state import make_bench
from fxsim.devices.simd.layout import RESULT, SimdLayout
from fxsim.devices.simd.memory_files import write_memory_image
from fxsim.devices.simd.memory_image import LANES, STAGES, build_memory_image
from fxsim.devices.simd.messages import Part
from fxsim.devices.simd.moments import name_moments
from fxsim.devices.simd.needs import needs
from fxsim.devices.simd.nodes import list_parts
from fxsim.devices.simd.proofs import whole
from fxsim.devices.simd.published import published
from fxsim.devices.simd.stuck import explain
from fxsim.engines import Engine
from fxsim.errors import ModelError
from fxsim.graph import Model
from fxsim.operators import Lut
from fxsim.simulate import messages
from fxsim.simulate.build import AXI4_HARNESS, AXI_HARNESS, COMMON_HARNESS, Design
from fxsim.simulate.stall import Stall

_HARNESS = Path(__file__).resolve().parent / "harness"
DESIGN = Design(
    "simd_resmlp",
    (_HARNESS / "harness.cpp", *sorted(_HARNESS.glob("*.hpp")), AXI_HARNESS, AXI4_HARNESS, COMMON_HARNESS),
)

READ_LATENCY = 64
READ_LATENCY_MAX = 10**6
BATCH_MAX = 2**32 - 1

_WATCHDOG = 1000
_REACH = 12
"""A disturbance comes within so many images of the last one."""
_INSIDE_MAX = 8
"""Images whose result is not yet in memory though they have been read: one is computed, one more may be loaded."""
_PARAMETERS = "parameters.bin"
_TABLE = "table"
"""The stage `next` where it is a table's."""


class SimdSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a run of the SIMD accelerator.

    `read_latency`: cycles from a read's address to its first beat, and from a write's last beat to its response.
    `batch`: images of a job, by default all of them. `keep`: a job reads the parameters once, not for every image.
    """

    read_latency: Annotated[
        int,
        Setting("--latency", "cycles memory takes to answer", unit="cycles", least=1, most=READ_LATENCY_MAX),
    ] = READ_LATENCY
    batch: Annotated[
        int | None, Setting("--batch", "images of a job", unit="images", least=1, most=BATCH_MAX, shown="all")
    ] = None
    keep: Annotated[bool, Setting("--keep-parameters", "a job reads the parameters once, not for every image")] = False


class FittedSimd(Fitted):
    """The SIMD accelerator with its default buffers, whatever the model: all share one build."""

    design = DESIGN

    def __init__(self, model: Model, settings: SimdSettings) -> None:
        self.settings = settings
        self.image = build_memory_image(model)
        if settings.keep and not self.image.keeps:
            sizes = self.image.buffers.parameters()
            name, need = next((name, need) for name, need in self.image.needs.items() if need > sizes[name])
            raise ModelError(
                f"model '{model.name}' does not fit the accelerator whole, as keeping its parameters demands: "
                f"it needs {need:,} of {name}, which is {sizes[name]:,}"
            )
        self._model = model
        self.parameters = self.image.buffers.parameters()
        self.steps = sum(layer.steps for layer in self.image.layers)
        self.limit = CycleLimit(least=self.steps)
        self.watchdog = _WATCHDOG

    def layout(self, compared: tuple[str, ...]) -> SimdLayout:
        """The layout: words of 16 channels."""
        return SimdLayout(self._model, compared, self.image)

    def synthesisable(self, rtl: Path | None = None) -> Synthesisable:
        """The design as a tool for synthesis reads it: the same for all models, as its Verilog reads no file."""
        return replace(super().synthesisable(rtl), files={})

    def pinned(self, images: int) -> SimdSettings:
        """The settings, with the number of images stated for a job that takes all."""
        return msgspec.structs.replace(self.settings, batch=self.settings.batch or images)

    def four_state(self, x: Int8, engine: Engine | str, stall: int, folder: Path) -> FourStateBench:
        """The harness in Verilog, the memory, and every tap's values. One job, whatever the settings say."""
        layout = self.layout(self._model.graph.taps)
        return make_bench(layout, x, engine, stall, folder, parameters=self.parameters, watchdog=self.watchdog)

    def arguments(self, layout: Layout, images: int, stall: Stall) -> dict[str, str]:
        """Sizes of the job, the order of the monitors' words, stalls of all channels, and limits."""
        assert isinstance(layout, SimdLayout)
        image = self.image
        # What an image may take: its steps, or where memory is the slower, every word of its parameters.
        image_cycles = self.steps + len(image.words)
        return {
            "images": str(images),
            "batch": str(min(self.settings.batch or images, images)),
            "keep": str(int(self.settings.keep)),
            "parameters": _PARAMETERS,
            "image_words": str(image.image_words),
            "result_words": str(image.result_words),
            "result_lanes": str(image.config.classes),
            "layer_words": ",".join(str(layer.words) for layer in image.layers),
            "schedule": ";".join(",".join(str(n) for n in layout.schedule(stage)) for stage in STAGES),
            "compared": "".join("1" if tap in layout.compared else "0" for tap in self._model.graph.taps),
            "read_latency": str(self.settings.read_latency),
            "input_stall": stall_argument(stall.input, self.steps),
            "output_stall": stall_argument(stall.output, self.steps),
            # Under any pattern addresses lie anywhere and images apart.
            "scattered": str(int(stall.text != "none")),
            "seed": str(zlib.crc32(stall.text.encode())),
            "gap": str(stall.gap),
            "resets": str(stall.resets),
            "reset_seed": str(stall.reset_seed),
            "errors": str(stall.errors),
            "error_seed": str(stall.error_seed),
            "stops": str(stall.stops),
            "stop_seed": str(stall.stop_seed),
            "aim": str(int(stall.aim is not None)),
            "aim_seed": str(stall.aim or 0),
            "reach": str(_REACH),
            "delays": str(max(256, 2 * image_cycles)),
            "inside_max": str(_INSIDE_MAX),
            # Long enough for what a surplus image would need to come out.
            "drain": str(max(256, 2 * image_cycles)),
        }

    @property
    def data_ports(self) -> frozenset[str]:
        """The data read and written, and the monitors."""
        return frozenset({"m_axi_rdata", "m_axi_wdata", "mon_data"})

    @property
    def agreeing(self) -> tuple[str, ...]:
        """All that holds parameters alone: the FIFO's memory, the layer's descriptor and what it makes, the rings."""
        return (
            "memory.landing.several.memory",
            *(f"memory.loader.{of}_reg" for of in ("layer", "blocks", "chunks", "table_words", "group_words")),
            *(f"core.{of}.memory" for of in ("weights", "biases", "shifts", "*_constants")),
            "core.epilogue.tables.*_points.memory",
        )

    def watched(self, channel: int) -> dict[str, Watched]:
        """The channel's lane of the stage that shows a tap, all stages' valid bits, and the bus that writes results."""
        top, lane = f"TOP.{DESIGN.top}", channel % LANES
        shown = {stage: f"lane[{lane}].simd_lane_l.{stage}" for stage in STAGES} | {
            "pool": f"lane[{lane}].pool_lane_l.y",
            _TABLE: f"tables.lane[{lane}].table_lane_l.y",
        }
        found = {}
        for layer in self.image.layers:
            for stage, tap in layer.stages:
                table = stage == "next" and isinstance(self._model.graph.by_name[tap].op, Lut)
                data = f"{top}.core.epilogue.{shown[_TABLE if table else stage]}[7:0]"
                found[tap] = Watched(f"{top}.clk", data, True, f"{top}.mon_valid[{len(STAGES) - 1}:0]")
        bus = f"{top}.m_axi_w"
        written = Watched(f"{top}.clk", f"{bus}data[{8 * LANES - 1}:0]", False, f"{bus}valid", f"{bus}ready")
        return {tap: found[tap] for tap in self._model.graph.taps} | {RESULT: written}

    def write_files(self, folder: Path) -> None:
        """The parameters as they lie in memory."""
        (folder / _PARAMETERS).write_bytes(self.image.to_bytes())

    def keep_files(self, folder: Path, x: Int8) -> None:
        """The memory image with its address map and C header, and the images, in `memory/`."""
        (folder / "memory").mkdir(parents=True)
        write_memory_image(self._model, folder / "memory", images=x)

    def moments(self, layout: Layout) -> tuple[str | None, ...]:  # noqa: ARG002  # of all taps alike
        """Resets, stops, errors and stalls, by step of a job."""
        return name_moments([layer.name for layer in self.image.layers])

    def disturbances(self, found: messages.Found) -> dict[str, int]:
        """Resets, errors on the bus, and stops."""
        part = decode_part(found, Part)
        return super().disturbances(found) | {"error": part.errors, "stop": part.stops}

    def stuck(self, layout: Layout, found: messages.Found, first_image: int) -> tuple[str, tuple[StreamState, ...]]:
        """The reason why nothing moves, from what the sequencer waits for, and the states of stages and result."""
        state, taps = decode_part(found, Part).state, self._model.graph.taps
        states = []
        for stage in state.stages:
            place = layout.place(taps[stage.tap], stage.index)
            name = STAGES[stage.stage]
            states.append(StreamState(name, "empty", stage.image + first_image, *place, tap=taps[stage.tap]))
        states.append(StreamState(RESULT, "empty", found.images + first_image, None, 0, tap=self._model.graph.output))
        return explain(state, [layer.name for layer in self.image.layers], states), tuple(states)

    def figures(self, found: messages.Found, images: int) -> SimdFigures:
        """Jobs, and where the first image's cycles went."""
        simd = decode_part(found, Part)
        layers = zip(self.image.layers, simd.layers, strict=True) if simd.layers else ()
        return SimdFigures(
            read_latency=self.settings.read_latency,
            batch=self.settings.batch or images,
            keep=self.settings.keep,
            jobs=simd.jobs,
            job_cycles=simd.job_cycles,
            image_cycles=found.interval,
            single_image_cycles=simd.single_cycles.median if simd.single_cycles else None,
            read_beats=simd.read_beats,
            write_beats=simd.write_beats,
            layers=tuple(
                LayerFigures(
                    number=layer.number,
                    name=layer.name,
                    macs=layer.macs,
                    steps=of.steps,
                    cycles=of.cycles,
                    waits_parameters=of.waits_parameters,
                    waits_image=of.waits_image,
                    waits_results_before=of.waits_results_before,
                    waits_room=of.waits_room,
                )
                for layer, of in layers
            ),
            timeline=tuple(simd.timeline),
            errors=simd.errors,
            stops=simd.stops,
        )

    @property
    def part_images(self) -> int | None:
        """Whole jobs."""
        return self.settings.batch

    def join_figures(self, figures: Sequence[SimdFigures]) -> SimdFigures:
        """Jobs and beats of all parts; what they took where all took the same, as no median can be had of parts."""
        return msgspec.structs.replace(
            figures[0],
            jobs=sum(part.jobs for part in figures),
            job_cycles=_join_spreads([part.job_cycles for part in figures]),
            image_cycles=None,
            single_image_cycles=_only([part.single_image_cycles for part in figures]),
            read_beats=sum(part.read_beats for part in figures),
            write_beats=sum(part.write_beats for part in figures),
        )


def _join_spreads(spreads: Sequence[messages.Spread | None]) -> messages.Spread | None:
    found = [spread for spread in spreads if spread is not None]
    same = _only([cycles for spread in found for cycles in (spread.min, spread.max)])
    return None if same is None else messages.Spread(same, same, same, sum(spread.count for spread in found))


def _only(values: Sequence[int | None]) -> int | None:
    """The value that all are."""
    return values[0] if values and len(set(values)) == 1 else None


def _proofs(model: Model, settings: SimdSettings, module: str | None) -> tuple[Provable, ...]:
    """The accelerator as it is built, for a model."""
    return whole(model, FittedSimd(model, settings), module)


DEVICE = Device(
    name="simd",
    title="SIMD",
    about="one for all models, which it reads from memory, in jobs of several images",
    fit=FittedSimd,
    settings=SimdSettings,
    figures=SimdFigures,
    stalls=frozenset({"random", "burst", "gap", "reset", "error", "stop", "aim"}),
    universal=True,
    handshakes=False,
    four_state=True,
    nodes=list_parts,
    described=describe,
    proofs=_proofs,
    blocks=blocks,
    needs=needs,
    lanes=True,
    unproved=UNPROVED,
    published=published,
)
