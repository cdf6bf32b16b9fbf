"""Co-simulation of the streaming accelerator: what its harness needs, and what its streams mean."""

from pathlib import Path

from fxsim.devices.base import StreamState, Target, stall_argument
from fxsim.devices.stream.layout import StreamLayout
from fxsim.devices.stream.roms import rtl_parameters, write_roms
from fxsim.devices.stream.stuck import INPUT_STREAM, explain
from fxsim.errors import StimulusError
from fxsim.families import ResMLPConfig, recognise_resmlp
from fxsim.graph import Model
from fxsim.simulate import messages
from fxsim.simulate.build import COMMON_HARNESS, Design
from fxsim.simulate.stall import Stall

DESIGN = Design("stream_resmlp", (Path(__file__).resolve().parent / "harness.cpp", COMMON_HARNESS))

_WATCHDOG_MIN = 1000
_SPARE_TOKENS = 32
_RESET_REACH = 12
"""A reset comes within so many images of the last one: enough to fill the pipeline of the published design."""


class StreamTarget(Target):
    """The streaming accelerator, built for a model's dimensions."""

    design = DESIGN

    def __init__(self, model: Model, compared: tuple[str, ...], stall: Stall) -> None:
        if stall.errors or stall.stops:
            raise StimulusError(f"stall pattern '{stall.text}': 'error' and 'stop' are for the accelerator 'simd' only")
        self._model = model
        self._config = recognise_resmlp(model.graph)
        self.layout: StreamLayout = StreamLayout(model, compared)
        self.parameters = rtl_parameters(model)
        self.bound = interval_bound(model)
        self.watchdog = max(_WATCHDOG_MIN, 4 * self.bound)
        self._free = stall.text == "none"

    def arguments(self, images: int, stall: Stall) -> dict[str, str]:
        """Sizes of the streams, stalls of both sides, and limits."""
        layout, graph = self.layout, self._model.graph
        return {
            "images": str(images),
            "input_size": str(layout.input_size),
            "output_size": str(layout.size(layout.output)),
            "tap_sizes": ",".join(str(layout.size(tap)) for tap in graph.taps),
            "compared": "".join("1" if tap in layout.compared else "0" for tap in graph.taps),
            "input_stall": stall_argument(stall.input, self.bound),
            "output_stall": stall_argument(stall.output, self.bound),
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

    def write_files(self, folder: Path) -> None:
        """The ROM files."""
        write_roms(self._model, folder)

    def within_bound(self, found: messages.Found) -> bool | None:
        """None where stalls were asked for, too."""
        return found.interval.max <= self.bound if found.interval and self._free else None

    def stuck(self, found: messages.Found, first_image: int) -> tuple[str, tuple[StreamState, ...]]:
        """Which stream waits for which."""
        assert found.input is not None
        graph, output = self._model.graph, self.layout.output
        states = {INPUT_STREAM: self._state(INPUT_STREAM, found.input, first_image)}
        taps = zip(graph.taps, found.taps, strict=True)
        states |= {tap: self._state(tap, stream, first_image) for tap, stream in taps}
        states[output] = self._state(output, found.output, first_image)
        return explain(graph, states), tuple(states.values())

    def _state(self, name: str, stream: messages.Stream, first_image: int) -> StreamState:
        if name == INPUT_STREAM:
            token, channel = divmod(stream.index, self._model.graph.input_shape[1])
            place: tuple[int | None, int] = token, channel
        else:
            place = self.layout.place(name, stream.index)
        state = "empty" if not stream.valid else "passing" if stream.ready else "held"
        return StreamState(name, state, stream.image + first_image, *place)


def interval_bound(model: Model) -> int:
    """Most cycles between images in steady state: the beats of an image at its busiest stream, one a cycle."""
    c = recognise_resmlp(model.graph)
    return max(c.tokens * max(c.values, c.channels, c.hidden), c.channels, c.classes)


def images_inside_max(config: ResMLPConfig) -> int:
    """Most images that may be on their way at once: twice what a design of this size can hold, and some more.

    Each block's residual FIFOs hold under three images and some tokens; so do the other operators together.
    """
    spare = -(-_SPARE_TOKENS // config.tokens)
    return 8 + 2 * (config.blocks + 1) * (3 + spare)
