"""The sum of a tensor with a table of its places, which is its result."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fxsim.contract import CHANNEL, Number, Tensor
from fxsim.contract.arithmetic import Int64, Integers
from fxsim.contract.number import INT16
from fxsim.errors import ModelError
from fxsim.operators.base import SUM_BITS, Cost, Operator, check_input, checked_number, checked_values, set_field


@dataclass(frozen=True, eq=False)
class Position(Operator):
    """y[place, c] = x[place, c] + table[place, c]: what tells the places of an image, or tokens, from each other.

    `table` int16 [places, C], places being all axes but the channels in the order in which they lie; `out`: the signed
    format of the sum, 1 to 32 bits, which is the result, neither rounded nor saturated: the graph proves that it fits.
    """

    kind: ClassVar[str] = "position"
    arity: ClassVar[int] = 1
    tensors: ClassVar[tuple[str, ...]] = ("table",)
    attributes: ClassVar[tuple[str, ...]] = ("out",)
    table: Integers
    out: Number = INT16

    def __post_init__(self) -> None:
        set_field(self, "table", checked_values(self.table, INT16, 2, "position table"))
        checked_number(self.out, SUM_BITS, "position result number", signed=True)

    @property
    def acc_bits(self) -> int:
        """Width of the sum, in bits."""
        return self.out.bits

    def result(self, *inputs: Tensor) -> Tensor:
        """The input's shape; ModelError where the table's places and channels are not the input's."""
        (x,) = inputs
        check_input(x, "position")
        if len(x.axes) < 2 or x.axes[-1] != CHANNEL:
            raise ModelError(f"position takes places and channels, its input has the axes {', '.join(x.axes)}")
        shape = math.prod(x.shape[:-1]), x.shape[-1]
        if self.table.shape != shape:
            raise ModelError(f"position table has shape {self.table.shape}, expected {shape} for its input")
        return Tensor(x.axes, x.shape, self.out)

    def accumulator_range(self, *inputs: Tensor) -> tuple[Int64, Int64]:
        """Least and greatest sum of each channel at any place, for any input of this format, int64 [C] each."""
        number, table = inputs[0].number, self.table.astype(np.int64)
        return number.low + table.min(axis=0), number.high + table.max(axis=0)

    def cost(self, result: Tensor) -> Cost:  # noqa: ARG002  # its table is as large
        """A stored number a value, and no product."""
        return Cost(parameters=self.table.size)
