"""All values of an image in another shape, in a stated order."""

import math
from dataclasses import dataclass
from typing import ClassVar

from fxsim.contract import CHANNEL, COLUMN, DIMENSION_MAX, ROW, TOKEN, Tensor
from fxsim.errors import ModelError
from fxsim.operators.base import Operator, check_input, check_order, checked_order, checked_sizes, set_field

_AXES = {1: (CHANNEL,), 2: (TOKEN, CHANNEL), 3: (ROW, COLUMN, CHANNEL)}
"""The axes of a result, by how many it has."""


@dataclass(frozen=True, eq=False)
class Reshape(Operator):
    """All values of an image in another shape; `order`: its axes by number, slowest first, in which they are read.

    `shape`: that of the result, which is filled as it lies, its last axis fastest: channels, or tokens and channels, or
    rows, columns and channels. (2, 0, 1) reads values in the order of frameworks whose images have channels first.
    """

    kind: ClassVar[str] = "reshape"
    arity: ClassVar[int] = 1
    attributes: ClassVar[tuple[str, ...]] = ("order", "shape")
    order: tuple[int, ...]
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        set_field(self, "order", checked_order(self.order, "reshape"))
        if not isinstance(self.shape, list | tuple) or len(self.shape) not in _AXES:
            raise ModelError(f"reshape shape is {self.shape!r}, expected 1 to 3 numbers of 1 to {DIMENSION_MAX}")
        set_field(self, "shape", checked_sizes(self.shape, len(self.shape), 1, "reshape shape"))

    def result(self, *inputs: Tensor) -> Tensor:
        """The stated shape; ModelError unless it has the input's values, and the order each of its axes once."""
        (x,) = inputs
        check_input(x, "reshape", bipolar=True, sums=True)
        check_order(self.order, x, "reshape")
        if math.prod(self.shape) != x.size:
            raise ModelError(
                f"reshape to {self.shape} takes {math.prod(self.shape):,} values, its input of shape {x.shape} has "
                f"{x.size:,}"
            )
        return Tensor(_AXES[len(self.shape)], self.shape, x.number)
