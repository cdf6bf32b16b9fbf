"""Co-simulation of the SIMD accelerator: jobs in memory, the order of its monitors' words, and its figures."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Int8
from fxsim.cosim import messages
from fxsim.cosim.diagnose import explain_simd
from fxsim.cosim.result import LayerFigures, SimdFigures, StreamState
from fxsim.cosim.stall import Stall
from fxsim.cosim.streams import Layout
from fxsim.cosim.target import Target, stall_argument
from fxsim.errors import ModelError, StimulusError
from fxsim.graph import Model
from fxsim.rtl import LANES, STAGES, MemoryImage, build_memory_image, pack_images
from fxsim.rtl.build import SIMD

RESULT = "result"
"""Name of the SIMD accelerator's output in results: what it writes into memory."""

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

    design = SIMD

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
        return explain_simd(state, [layer.name for layer in self.image.layers], states), tuple(states)

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


@dataclass(frozen=True)
class SimdLayout(Layout):
    """The SIMD accelerator's: words of 16 channels, of each tap group by group and in each token by token."""

    image: MemoryImage

    @property
    def output(self) -> str:
        """What is written into memory."""
        return RESULT

    def schedule(self, stage: str) -> Iterator[int]:
        """Of each tap that a stage shows, in order: tap number, tokens, groups of channels, channels of the last."""
        taps = self.model.graph.taps
        for layer in self.image.layers:
            if (tap := dict(layer.stages).get(stage)) is not None:
                tokens, channels = self._shape(tap)
                yield from (taps.index(tap), tokens, layer.groups, channels - LANES * (layer.groups - 1))

    def place(self, stream: str, index: int) -> tuple[int | None, int]:
        """Token (None without tokens) and channel of a byte of a tap's words, or of the result."""
        tap = self._tap(stream)
        tokens, _ = self._shape(tap)
        word, lane = divmod(index, LANES)
        group, token = divmod(word, tokens)
        return (None if len(self.model.graph.shapes[tap]) == 1 else token), group * LANES + lane

    @property
    def content_bytes(self) -> int:
        """Bytes of the image's words, its result's, and the compared taps'."""
        return LANES * (self.image.image_words + sum(self._words(tap) for tap in (self._tap(RESULT), *self.compared)))

    def contents(self, x: Int8, values: dict[str, Int8]) -> list[npt.NDArray[np.int8] | npt.NDArray[np.uint8]]:
        """Words of images, results and compared taps."""
        results, taps = values[self.model.graph.output], (values[tap] for tap in self.compared)
        return [pack_images(self.model, x), self._in_words(results), *(self._in_words(tap) for tap in taps)]

    def _shape(self, tap: str) -> tuple[int, int]:
        """Tokens and channels; without tokens one."""
        *tokens, channels = self.model.graph.shapes[tap]
        return (tokens[0] if tokens else 1), channels

    def _words(self, tap: str) -> int:
        tokens, channels = self._shape(tap)
        return tokens * -(-channels // LANES)

    @staticmethod
    def _in_words(values: Int8) -> Int8:
        """[image, (token,) channel] as [image, group, token, lane], padded with zeros."""
        values = values.reshape(len(values), -1, values.shape[-1])
        count, tokens, channels = values.shape
        groups = -(-channels // LANES)
        padded = np.zeros((count, tokens, groups * LANES), np.int8)
        padded[:, :, :channels] = values
        return padded.reshape(count, tokens, groups, LANES).swapaxes(1, 2)
