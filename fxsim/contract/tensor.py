"""Tensors: named axes, a shape and a number format; of one image, as they lie on the edges of a graph."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fxsim.contract.number import INT8, Number
from fxsim.errors import ModelError

Shape = tuple[int, ...]
"""Sizes along the axes, without images."""

TOKEN, CHANNEL, ROW, COLUMN = "token", "channel", "row", "column"

DIMENSION_MAX = 65_536
"""Longest axis: keeps sizes read from files bounded."""

_AXES_MAX = 8


@dataclass(frozen=True)
class Tensor:
    """One image's values on an edge of a graph: `axes` by name, slowest first, their sizes, and the number format.

    ModelError where names are not distinct lower-case words, or sizes not 1 to `DIMENSION_MAX`.
    """

    axes: tuple[str, ...]
    shape: Shape
    number: Number = INT8

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", tuple(self.axes))
        object.__setattr__(self, "shape", tuple(self.shape))
        if len(self.axes) != len(self.shape) or not 1 <= len(self.axes) <= _AXES_MAX:
            raise ModelError(f"a tensor has the axes {self.axes} and the shape {self.shape}, expected 1 to {_AXES_MAX}")
        if len(set(self.axes)) != len(self.axes) or not all(
            isinstance(a, str) and a.isidentifier() and a.islower() for a in self.axes
        ):
            raise ModelError(f"a tensor has the axes {self.axes}, expected distinct lower-case words")
        if not all(type(n) is int and 1 <= n <= DIMENSION_MAX for n in self.shape):
            raise ModelError(f"a tensor has the shape {self.shape}, expected sizes of 1 to {DIMENSION_MAX}")

    def __str__(self) -> str:
        sizes = ", ".join(f"{n} {axis}s" for axis, n in zip(self.axes, self.shape, strict=True))
        return f"{self.number} ({sizes})"

    @property
    def size(self) -> int:
        """Values of one image."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of one image's values as a numpy array."""
        return self.size * self.number.dtype.itemsize

    def axis(self, name: str) -> int | None:
        """Index of the axis of this name, counted from the slowest; None where none has."""
        return self.axes.index(name) if name in self.axes else None

    def empty(self, images: int) -> npt.NDArray[np.integer]:
        """An uninitialised array for so many images: [image, *shape] of the format's numpy type."""
        return np.empty((images, *self.shape), self.number.dtype)
