"""The SIMD accelerator's layout: the order of its monitors' words, and of those it reads and writes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Int8
from fxsim.devices.base import Layout
from fxsim.devices.simd.memory_image import LANES, MemoryImage, pack_images

RESULT = "result"
"""Name of the SIMD accelerator's output in results: what it writes into memory."""


@dataclass(frozen=True)
class SimdLayout(Layout):
    """The SIMD accelerator's layout: words of 16 channels, of each tap group by group and in each token by token."""

    image: MemoryImage

    @property
    def output(self) -> str:
        """The result, which is written into memory."""
        return RESULT

    def schedule(self, stage: str) -> Iterator[int]:
        """Numbers for each tap a stage shows, in order: its own, tokens, groups of channels, the last's channels."""
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
        """Tokens and channels of a tap; one token where it has none."""
        *tokens, channels = self.model.graph.shapes[tap]
        return (tokens[0] if tokens else 1), channels

    def _words(self, tap: str) -> int:
        tokens, channels = self._shape(tap)
        return tokens * -(-channels // LANES)

    @staticmethod
    def _in_words(values: Int8) -> Int8:
        """Arrange [image, (token,) channel] as [image, group, token, lane], padded with zeros."""
        values = values.reshape(len(values), -1, values.shape[-1])
        count, tokens, channels = values.shape
        groups = -(-channels // LANES)
        padded = np.zeros((count, tokens, groups * LANES), np.int8)
        padded[:, :, :channels] = values
        return padded.reshape(count, tokens, groups, LANES).swapaxes(1, 2)
