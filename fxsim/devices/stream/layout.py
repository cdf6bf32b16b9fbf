"""The streaming accelerator's streams: their sizes, and the order of their values."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Int8
from fxsim.devices.base import Layout
from fxsim.devices.stream.roms import stream_order
from fxsim.operators import Axis

OUTPUT = "m_axis"
"""Name of the streaming accelerator's output in results."""


@dataclass(frozen=True)
class StreamLayout(Layout):
    """The streaming accelerator's layout: a value a beat, each tap's in the order of its stream."""

    @property
    def output(self) -> str:
        """The AXI4-Stream output."""
        return OUTPUT

    @property
    def input_size(self) -> int:
        """Values an image."""
        tokens, values = self.model.graph.input_shape
        return tokens * values

    def size(self, stream: str) -> int:
        """Values an image in a tap's stream or in the output's."""
        return int(np.prod(self.model.graph.shapes[self._tap(stream)]))

    def place(self, stream: str, index: int) -> tuple[int | None, int]:
        """Token (None without tokens) and channel of a value from its index in the stream."""
        tap = self._tap(stream)
        shape = self.model.graph.shapes[tap]
        if len(shape) == 1:
            return None, index
        tokens, channels = shape
        if stream_order(self.model, tap) is Axis.CHANNELS:
            return index % tokens, index // tokens
        return index // channels, index % channels

    @property
    def content_bytes(self) -> int:
        """Bytes of stimulus, scores and compared taps."""
        return self.input_size + sum(self.size(tap) for tap in (self.model.graph.output, *self.compared))

    def contents(self, x: Int8, values: dict[str, Int8]) -> list[npt.NDArray[np.int8] | npt.NDArray[np.uint8]]:
        """Stimulus, scores, then the compared taps, each in the order of its stream."""
        return [x, values[self.model.graph.output], *(self.streamed(tap, values[tap]) for tap in self.compared)]

    def streamed(self, tap: str, values: Int8) -> Int8:
        """A tap's values [image, token, channel] in the order of its stream."""
        return np.swapaxes(values, 1, 2) if stream_order(self.model, tap) is Axis.CHANNELS else values
