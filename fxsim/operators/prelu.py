"""The rectifier with a slope of its own for each channel."""

from dataclasses import dataclass
from typing import ClassVar

from fxsim.contract import CHANNEL, Number, Tensor, worst_case_sums
from fxsim.contract.arithmetic import Int64, Integers, UInt8
from fxsim.contract.number import INT16
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
    set_field,
)


@dataclass(frozen=True, eq=False)
class Prelu(Operator):
    """y[c] = saturate(x[c]), and where x[c] < 0, saturate(round_shift(x[c] * weight[c], shift[c])).

    `weight` int16 [C], of either sign; `shift` uint8 [C]; `acc_bits`: width of the product; `out`: the result's format.
    """

    kind: ClassVar[str] = "prelu"
    arity: ClassVar[int] = 1
    tensors: ClassVar[tuple[str, ...]] = ("weight", "shift")
    attributes: ClassVar[tuple[str, ...]] = ("acc_bits", "out")
    weight: Integers
    shift: UInt8
    acc_bits: int = 32
    out: Number = INT16

    def __post_init__(self) -> None:
        checked_number(self.out, ACTIVATION_BITS, "prelu result number")
        set_field(self, "weight", checked_values(self.weight, INT16, 1, "prelu weight"))
        set_field(self, "shift", checked_shift(self.shift, len(self.weight), "prelu"))
        set_field(self, "acc_bits", checked_acc_bits(self.acc_bits, "prelu"))

    def result(self, *inputs: Tensor) -> Tensor:
        """The input's shape; ModelError where its channels do not fit."""
        (x,) = inputs
        check_input(x, "prelu", sums=True)
        check_channels("prelu input", x.shape if x.axes[-1] == CHANNEL else (), len(self.weight))
        return Tensor(x.axes, x.shape, self.out)

    def accumulator_range(self, *inputs: Tensor) -> tuple[Int64, Int64]:
        """Least and greatest product for any input of this format, those that are not negative too, int64 [C] each."""
        return worst_case_sums(self.weight[:, None], inputs[0].number)

    def cost(self, result: Tensor) -> Cost:
        """One multiplication a value."""
        return Cost(products=result.size, parameters=self.weight.size + self.shift.size)
