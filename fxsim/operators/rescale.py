"""A product with a multiplier for each channel, shifted and rounded: from one scale to any other."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fxsim.contract import CHANNEL, INT8, RESCALE_SHIFT_MAX, Number, Rounding, Tensor, bias_number, worst_case_sums
from fxsim.contract.arithmetic import Int64, Integers, UInt8
from fxsim.contract.number import INT32
from fxsim.errors import ModelError
from fxsim.operators.base import (
    ACTIVATION_BITS,
    Cost,
    Operator,
    check_channels,
    check_input,
    checked_acc_bits,
    checked_number,
    checked_shift,
    checked_values,
    choice,
    set_field,
)


@dataclass(frozen=True, eq=False)
class Rescale(Operator):
    """y[c] = saturate(round((x[c] + addend[c]) * multiplier[c] / 2^shift[c]) + bias[c]).

    `addend` int32 [C], at the scale of x; `multiplier` int32 [C], 0 or more; `shift` uint8 [C], 0 to 62; `bias` [C] of
    the format `bias_number(out)` (int8 where `out` is), which is where a zero point goes; `rounding`: one of
    `Rounding`; `acc_bits`: width of the product; `out`: the result's format.
    """

    kind: ClassVar[str] = "rescale"
    arity: ClassVar[int] = 1
    tensors: ClassVar[tuple[str, ...]] = ("addend", "multiplier", "shift", "bias")
    attributes: ClassVar[tuple[str, ...]] = ("rounding", "acc_bits", "out")
    addend: Integers
    multiplier: Integers
    shift: UInt8
    bias: Integers
    rounding: Rounding = Rounding.HALF_EVEN
    acc_bits: int = 62
    out: Number = INT8

    def __post_init__(self) -> None:
        checked_number(self.out, ACTIVATION_BITS, "rescale result number")
        set_field(self, "addend", checked_values(self.addend, INT32, 1, "rescale addend"))
        set_field(self, "multiplier", checked_values(self.multiplier, INT32, 1, "rescale multiplier"))
        if self.multiplier.min() < 0:
            raise ModelError(f"rescale multiplier reaches down to {self.multiplier.min()}, expected 0 or more")
        set_field(self, "shift", checked_shift(self.shift, len(self.multiplier), "rescale"))
        if self.shift.max() > RESCALE_SHIFT_MAX:
            raise ModelError(f"rescale shift reaches {self.shift.max()}, expected 0 to {RESCALE_SHIFT_MAX}")
        check_channels("rescale addend", self.addend.shape, len(self.multiplier))
        set_field(self, "bias", checked_values(self.bias, bias_number(self.out), 1, "rescale bias"))
        check_channels("rescale bias", self.bias.shape, len(self.multiplier))
        set_field(self, "rounding", choice(self.rounding, Rounding, "rescale rounding"))
        set_field(self, "acc_bits", checked_acc_bits(self.acc_bits, "rescale"))

    def result(self, *inputs: Tensor) -> Tensor:
        """The input's shape; ModelError where its channels do not fit."""
        (x,) = inputs
        check_input(x, "rescale", sums=True)
        check_channels("rescale input", x.shape if x.axes[-1] == CHANNEL else (), len(self.multiplier))
        return Tensor(x.axes, x.shape, self.out)

    def accumulator_range(self, *inputs: Tensor) -> tuple[Int64, Int64]:
        """Least and greatest product for any input of this format, int64 [C] each."""
        low, high = worst_case_sums(self.multiplier[:, None], inputs[0].number)
        added = self.addend.astype(np.int64) * self.multiplier
        return low + added, high + added

    def cost(self, result: Tensor) -> Cost:
        """One multiplication a value."""
        return Cost(products=result.size, parameters=4 * self.multiplier.size)
