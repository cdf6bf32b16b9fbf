"""An accelerator's streams as its harness sees them: sizes, the order of values, and one record of bytes an image."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Int8
from fxsim.graph import Model
from fxsim.operators import Axis
from fxsim.rtl import stream_order

OUTPUT = "m_axis"
"""Name of the streaming accelerator's output in results."""

_MAGIC = b"FXIM"


@dataclass(frozen=True)
class Layout(ABC):
    """How an accelerator's streams run, and which taps are compared (in graph order)."""

    model: Model
    compared: tuple[str, ...]

    @property
    @abstractmethod
    def output(self) -> str:
        """Name of the accelerator's output in results."""

    @abstractmethod
    def place(self, stream: str, index: int) -> tuple[int | None, int]:
        """Token (None without tokens) and channel of a value from its index in a tap's stream or in the output's."""

    @property
    @abstractmethod
    def content_bytes(self) -> int:
        """Bytes of what `contents` gives of an image."""

    @abstractmethod
    def contents(self, x: Int8, values: dict[str, Int8]) -> list[npt.NDArray[np.int8] | npt.NDArray[np.uint8]]:
        """What the harness needs of images `x` with their taps, in the order of its record: [image, ...] each."""

    @property
    def needed(self) -> tuple[str, ...]:
        """The taps that must be computed: those compared, and the scores, which the output is held to."""
        return (*(tap for tap in self.compared if tap != self.model.graph.output), self.model.graph.output)

    @property
    def record_bytes(self) -> int:
        """Bytes of one image's record."""
        return len(_MAGIC) + 4 + self.content_bytes

    def records(self, first: int, x: Int8, values: dict[str, Int8]) -> npt.NDArray[np.uint8]:
        """One record a row, uint8 [image, byte], for images `x` numbered from `first` with their taps.

        Magic, number (u32, little endian), contents.
        """
        count = len(x)
        magic = np.broadcast_to(np.frombuffer(_MAGIC, np.uint8), (count, len(_MAGIC)))
        numbers = np.arange(first, first + count, dtype="<u4").view(np.uint8).reshape(count, 4)
        parts = (np.ascontiguousarray(part).view(np.uint8) for part in self.contents(x, values))
        return np.concatenate([magic, numbers, *(part.reshape(count, -1) for part in parts)], axis=1)

    def _tap(self, stream: str) -> str:
        return self.model.graph.output if stream == self.output else stream


@dataclass(frozen=True)
class StreamLayout(Layout):
    """The streaming accelerator's: a value a beat, each tap's in the order of its stream."""

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
        return [x, values[self.model.graph.output], *(self._streamed(tap, values[tap]) for tap in self.compared)]

    def _streamed(self, tap: str, values: Int8) -> Int8:
        return np.swapaxes(values, 1, 2) if stream_order(self.model, tap) is Axis.CHANNELS else values
