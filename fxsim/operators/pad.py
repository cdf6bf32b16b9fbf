"""Rows and columns of a constant around an image."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fxsim.contract import CHANNEL, COLUMN, ROW, Padding, Tensor
from fxsim.contract.arithmetic import Integers
from fxsim.contract.number import INT32
from fxsim.errors import ModelError
from fxsim.operators.base import Cost, Operator, check_input, checked_sizes, checked_values, set_field
from fxsim.operators.conv import PADDED_MAX


@dataclass(frozen=True, eq=False)
class Pad(Operator):
    """An image with rows and columns of value[c] around it, such as the zero point of its codes.

    `value` int32 [C], each a number of the input's format, which is the result's; `padding`: rows and columns above,
    left, below, right.
    """

    kind: ClassVar[str] = "pad"
    arity: ClassVar[int] = 1
    tensors: ClassVar[tuple[str, ...]] = ("value",)
    attributes: ClassVar[tuple[str, ...]] = ("padding",)
    value: Integers
    padding: Padding

    def __post_init__(self) -> None:
        set_field(self, "value", checked_values(self.value, INT32, 1, "pad value"))
        set_field(self, "padding", checked_sizes(self.padding, 4, 0, "pad padding"))

    def result(self, *inputs: Tensor) -> Tensor:
        """The input and what is around it; ModelError where it is no image, or its format does not hold the values."""
        (x,) = inputs
        check_input(x, "pad", bipolar=True, sums=True)
        if x.axes != (ROW, COLUMN, CHANNEL) or x.shape[-1] != len(self.value):
            raise ModelError(
                f"pad of {len(self.value)} channels takes their rows and columns, its input has the axes "
                f"{', '.join(x.axes)} and the shape {x.shape}"
            )
        if not x.number.holds(np.asarray(self.value)):
            raise ModelError(f"pad value reaches from {self.value.min()} to {self.value.max()}, expected {x.number}")
        top, left, bottom, right = self.padding
        shape = (x.shape[0] + top + bottom, x.shape[1] + left + right, x.shape[2])
        if shape[0] * shape[1] * shape[2] > PADDED_MAX:
            raise ModelError(f"pad makes an image of more than {PADDED_MAX:,} values")
        return Tensor(x.axes, shape, x.number)

    def cost(self, result: Tensor) -> Cost:  # noqa: ARG002  # whatever its size
        """The constants that are put around."""
        return Cost(parameters=self.value.size)
