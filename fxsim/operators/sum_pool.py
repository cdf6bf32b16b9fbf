"""Sums and means over the window of a channel."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fxsim.contract import Division, Number, Pair, Tensor
from fxsim.contract.arithmetic import Int64
from fxsim.contract.number import INT16
from fxsim.errors import ModelError
from fxsim.operators.base import (
    ACTIVATION_BITS,
    SUM_BITS,
    Operator,
    check_input,
    checked_acc_bits,
    checked_number,
    checked_sizes,
    choice,
    integer,
    set_field,
    windowed,
)

DIVISOR_MAX = 1 << 32
"""Greatest number that a sum is divided by."""


@dataclass(frozen=True, eq=False)
class SumPool(Operator):
    """y[i, j, c] = saturate(divide(sum over r, s of x[i * stride + r, j * stride + s, c], divisor)).

    `kernel`, `stride`: rows and columns of the window, and from one to the next; windows lie within the image.
    `divisor`: 1 or more; `rounding`: of the quotient. `acc_bits`: width of the sum, which must hold it; but where
    `saturating`, every partial sum is saturated to that width, values added row by row. `out`: the result's format.
    """

    kind: ClassVar[str] = "sum_pool"
    arity: ClassVar[int] = 1
    attributes: ClassVar[tuple[str, ...]] = ("kernel", "stride", "divisor", "rounding", "saturating", "acc_bits", "out")
    kernel: Pair
    stride: Pair
    divisor: int = 1
    rounding: Division = Division.FLOOR
    saturating: bool = False
    acc_bits: int = 32
    out: Number = INT16

    def __post_init__(self) -> None:
        set_field(self, "kernel", checked_sizes(self.kernel, 2, 1, "sum_pool kernel"))
        set_field(self, "stride", checked_sizes(self.stride, 2, 1, "sum_pool stride"))
        set_field(self, "divisor", integer(self.divisor, "sum_pool divisor"))
        if not 1 <= self.divisor < DIVISOR_MAX:
            raise ModelError(f"sum_pool divisor is {self.divisor}, expected 1 to {DIVISOR_MAX - 1}")
        set_field(self, "rounding", choice(self.rounding, Division, "sum_pool rounding"))
        if not isinstance(self.saturating, bool):
            raise ModelError(f"sum_pool saturating is {self.saturating!r}, expected true or false")
        set_field(self, "acc_bits", checked_acc_bits(self.acc_bits, "sum_pool"))
        if self.acc_bits > SUM_BITS[1]:
            raise ModelError(f"sum_pool accumulator width is {self.acc_bits} bits, expected at most {SUM_BITS[1]}")
        bits = SUM_BITS if getattr(self.out, "signed", False) else ACTIVATION_BITS
        checked_number(self.out, bits, "sum_pool result number")

    @property
    def limits(self) -> Number | None:
        """The format of partial sums; None where the sum is plain."""
        return Number(self.acc_bits) if self.saturating else None

    def result(self, *inputs: Tensor) -> Tensor:
        """The places of the window, of the input's channels; ModelError where the input does not fit."""
        (x,) = inputs
        check_input(x, "sum_pool", bipolar=True)
        return Tensor(x.axes, (*windowed(x, "sum_pool", self.kernel, self.stride), x.shape[-1]), self.out)

    def accumulator_range(self, *inputs: Tensor) -> tuple[Int64, Int64] | None:
        """Least and greatest sum of a window of such values, int64 [1] each; None where it saturates."""
        if self.saturating:
            return None
        number, count = inputs[0].number, self.kernel[0] * self.kernel[1]
        return np.array([count * number.low]), np.array([count * number.high])
