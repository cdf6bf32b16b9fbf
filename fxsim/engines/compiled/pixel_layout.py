"""Layout of graphs of pixels: how their tensors and their parameters lie."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fxsim.contract import Tensor
from fxsim.engines.compiled.layout import ALIGNMENT, UInt8, aligned, rounded_up
from fxsim.errors import ModelError

Int32 = npt.NDArray[np.int32]

CHANNEL_STEP = 16
"""Channels that a pixel's row is padded to a multiple of."""
TILE_PIXELS_MAX = 16
"""Most pixels of a tile of a convolution, of which the last ones may lie behind the last image's."""


class Stored(NamedTuple):
    """The way that a tensor lies: pixels of an image, channels, whether as 32-bit words, and whether with a sign."""

    pixels: int
    channels: int
    words: bool
    signed: bool

    @property
    def row(self) -> int:
        """Values of a pixel, padding included."""
        return rounded_up(self.channels, CHANNEL_STEP)

    def bytes(self, images: int) -> int:
        """Room for so many images, with that of a tile behind the last pixel."""
        return rounded_up((images * self.pixels + TILE_PIXELS_MAX) * self.row * (4 if self.words else 1), ALIGNMENT)


def pixels_of(tensor: Tensor) -> int:
    """Pixels of a tensor: all places that have channels."""
    return tensor.size // tensor.shape[-1]


def stored(tensor: Tensor, name: str) -> Stored:
    """Layout of the tensor that a node gives; ModelError where its values need more than 32 bits with a sign."""
    number = tensor.number
    if number.high >= 1 << 31:
        raise ModelError(f"the compiled engine takes up to 32 bits with a sign, '{name}' gives {number}")
    return Stored(pixels_of(tensor), tensor.shape[-1], number.bits > 8, number.low < 0)


@dataclass
class Parameters:
    """Bytes and 32-bit numbers as they are gathered, each part aligned."""

    data: list[UInt8] = field(default_factory=list)
    words: list[Int32] = field(default_factory=list)
    data_at: int = 0
    words_at: int = 0

    def add(self, array: npt.NDArray[Any]) -> int:
        """Add the bytes of an array; gives the place where they start."""
        flat = np.ascontiguousarray(array).view(np.uint8).ravel()
        start, padding = self.data_at, -flat.size % ALIGNMENT
        self.data += [flat, np.zeros(padding, np.uint8)]
        self.data_at += flat.size + padding
        return start

    def add_words(self, array: npt.NDArray[Any]) -> int:
        """Add the numbers of an array; gives the place where they start."""
        flat = np.ascontiguousarray(array, np.int32).ravel()
        start, padding = self.words_at, -flat.size % (ALIGNMENT // 4)
        self.words += [flat, np.zeros(padding, np.int32)]
        self.words_at += flat.size + padding
        return start

    def gathered(self) -> tuple[UInt8, Int32]:
        """All bytes and all numbers, with room for a vector that is read past the end."""
        data = aligned(np.concatenate([*self.data, np.zeros(ALIGNMENT, np.uint8)]))
        words = aligned(np.concatenate([*self.words, np.zeros(ALIGNMENT, np.int32)]).view(np.uint8))
        return data, words.view(np.int32)
