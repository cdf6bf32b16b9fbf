"""Values of four-state logic: bits that are 0, 1, unknown (X) or undriven (Z)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class FourState:
    """Values of a tap, [image, ...], not all of whose bits are known. The coding of bits is that of Verilog's VPI.

    Where a bit of `unknown` is 1, the value's bit is no number: 1 says X there, 0 says Z. `bits` is a value's width.
    """

    values: npt.NDArray[Any]
    unknown: npt.NDArray[np.uint32]
    bits: int

    def __post_init__(self) -> None:
        """Both arrays are of the same values."""
        assert self.values.shape == self.unknown.shape

    def __len__(self) -> int:
        """Number of images."""
        return len(self.values)

    @cached_property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Mask of the values that have a bit that is not known."""
        mask: npt.NDArray[np.bool_] = self.unknown != 0
        return mask

    def text(self, at: tuple[int, ...]) -> str:
        """The bits of one value, most significant first; one letter where all are X, or all Z."""
        value, unknown = int(self.values[at]), int(self.unknown[at])
        letters = "".join(
            ("zx" if unknown >> bit & 1 else "01")[value >> bit & 1] for bit in reversed(range(self.bits))
        )
        return letters[0] if len(set(letters)) == 1 else letters
