"""Co-simulation of the SIMD accelerator: what its harness needs, and its figures."""

import zlib
from pathlib import Path

from fxsim.devices.base import StreamState, Target, stall_argument
from fxsim.devices.simd.figures import LayerFigures, SimdFigures
from fxsim.devices.simd.layout import RESULT, SimdLayout
from fxsim.devices.simd.memory_image import STAGES, build_memory_image
from fxsim.devices.simd.stuck import explain
from fxsim.errors import ModelError, StimulusError
from fxsim.graph import Model
from fxsim.simulate import messages
from fxsim.simulate.build import COMMON_HARNESS, Design
from fxsim.simulate.stall import Stall

_HERE = Path(__file__).resolve().parent
DESIGN = Design("simd_resmlp", (_HERE / "harness_simd.cpp", _HERE / "harness_simd.hpp", COMMON_HARNESS))

READ_LATENCY = 64
READ_LATENCY_MAX = 10**6
BATCH_MAX = 2**32 - 1

_WATCHDOG = 1000
_REACH = 12
"""A disturbance comes within so many images of the last one."""
_INSIDE_MAX = 8
"""Images whose result is not yet in memory though they have been read: one is computed, one more may be loaded."""
_PARAMETERS = "parameters.bin"


class SimdTarget(Target):
    """The SIMD accelerator with its default buffers, whatever the model: all share one build.

    `read_latency`: cycles from a read's address to its first beat, and from a write's last beat to its response.
    `batch`: images of a job, by default all of them. `keep`: a job reads the parameters once, not for every image.
    """

    design = DESIGN

    def __init__(
        self,
        model: Model,
        compared: tuple[str, ...],
        read_latency: int | None = None,
        batch: int | None = None,
        keep: bool | None = None,
    ) -> None:
        self.read_latency = READ_LATENCY if read_latency is None else read_latency
        if not 1 <= self.read_latency <= READ_LATENCY_MAX:
            raise StimulusError(f"read latency is {read_latency} cycles, expected 1 to {READ_LATENCY_MAX}")
        if batch is not None and not 1 <= batch <= BATCH_MAX:
            raise StimulusError(f"batch is {batch} images, expected 1 to {BATCH_MAX}")
        self.image = build_memory_image(model)
        if keep and not self.image.keeps:
            sizes = self.image.buffers.parameters()
            name, need = next((name, need) for name, need in self.image.needs.items() if need > sizes[name])
            raise ModelError(
                f"model '{model.name}' does not fit the accelerator whole, as keeping its parameters demands: "
                f"it needs {need:,} of {name}, which is {sizes[name]:,}"
            )
        self.batch = batch
        self.keep = bool(keep)
        self._model = model
        self.layout: SimdLayout = SimdLayout(model, compared, self.image)
        self.parameters = self.image.buffers.parameters()
        self.bound = sum(layer.steps for layer in self.image.layers)
        self.watchdog = _WATCHDOG

    def arguments(self, images: int, stall: Stall) -> dict[str, str]:
        """Sizes of the job, the order of the monitors' words, stalls of all channels, and limits."""
        image, layout = self.image, self.layout
        # What an image may take: its steps, or where memory is the slower, every word of its parameters.
        image_cycles = self.bound + len(image.words)
        return {
            "images": str(images),
            "batch": str(min(self.batch or images, images)),
            "keep": str(int(self.keep)),
            "parameters": _PARAMETERS,
            "image_words": str(image.image_words),
            "result_words": str(image.result_words),
            "result_lanes": str(image.config.classes),
            "layer_words": ",".join(str(layer.words) for layer in image.layers),
            "schedule": ";".join(",".join(str(n) for n in layout.schedule(stage)) for stage in STAGES),
            "compared": "".join("1" if tap in layout.compared else "0" for tap in self._model.graph.taps),
            "read_latency": str(self.read_latency),
            "input_stall": stall_argument(stall.input, self.bound),
            "output_stall": stall_argument(stall.output, self.bound),
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
            "reach": str(_REACH),
            "delays": str(max(256, 2 * image_cycles)),
            "inside_max": str(_INSIDE_MAX),
            # Long enough for what a surplus image would need to come out.
            "drain": str(max(256, 2 * image_cycles)),
        }

    def write_files(self, folder: Path) -> None:
        """The parameters as they lie in memory."""
        (folder / _PARAMETERS).write_bytes(self.image.to_bytes())

    def within_bound(self, found: messages.Found) -> bool | None:  # noqa: ARG002  # no design can be below it
        """None: the bound is what the multipliers need at least."""
        return None

    def stuck(self, found: messages.Found, first_image: int) -> tuple[str, tuple[StreamState, ...]]:
        """What the sequencer waits for, and where each stage stands."""
        assert found.simd is not None
        state, taps = found.simd.state, self._model.graph.taps
        states = []
        for stage in state.stages:
            place = self.layout.place(taps[stage.tap], stage.index)
            name = STAGES[stage.stage]
            states.append(StreamState(name, "empty", stage.image + first_image, *place, tap=taps[stage.tap]))
        states.append(StreamState(RESULT, "empty", found.images + first_image, None, 0, tap=self._model.graph.output))
        return explain(state, [layer.name for layer in self.image.layers], states), tuple(states)

    def figures(self, found: messages.Found, images: int) -> SimdFigures:
        """Jobs, and where the first image's cycles went."""
        simd = found.simd
        assert simd is not None
        layers = zip(self.image.layers, simd.layers, strict=True) if simd.layers else ()
        return SimdFigures(
            read_latency=self.read_latency,
            batch=self.batch or images,
            keep=self.keep,
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
