"""A product and a constant for each channel, then rounded."""

from dataclasses import dataclass
from typing import ClassVar

from fxsim.contract import CHANNEL, Number, Tensor, worst_case_sums
from fxsim.contract.arithmetic import Int64, Integers, UInt8
from fxsim.contract.number import INT16, INT32
from fxsim.operators.base import (
    ACTIVATION_BITS,
    SUM_BITS,
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
class MultiplyAdd(Operator):
    """y[c] = saturate(round_shift(x[c] * weight[c] + bias[c], shift[c])): the bias comes before the rounding.

    `weight` int16 [C]; `bias` int32 [C], at the scale of the product; `shift` uint8 [C]; `acc_bits`: width of the
    product and the bias; `out`: the result's format.
    """

    kind: ClassVar[str] = "multiply_add"
    arity: ClassVar[int] = 1
    tensors: ClassVar[tuple[str, ...]] = ("weight", "bias", "shift")
    attributes: ClassVar[tuple[str, ...]] = ("acc_bits", "out")
    weight: Integers
    bias: Integers
    shift: UInt8
    acc_bits: int = 32
    out: Number = INT16

    def __post_init__(self) -> None:
        bits = SUM_BITS if getattr(self.out, "signed", False) else ACTIVATION_BITS
        checked_number(self.out, bits, "multiply_add result number")
        set_field(self, "weight", checked_values(self.weight, INT16, 1, "multiply_add weight"))
        set_field(self, "bias", checked_values(self.bias, INT32, 1, "multiply_add bias"))
        set_field(self, "shift", checked_shift(self.shift, len(self.weight), "multiply_add"))
        check_channels("multiply_add bias", self.bias.shape, len(self.weight))
        set_field(self, "acc_bits", checked_acc_bits(self.acc_bits, "multiply_add"))

    def result(self, *inputs: Tensor) -> Tensor:
        """The input's shape; ModelError where its channels do not fit."""
        (x,) = inputs
        check_input(x, "multiply_add", sums=True)
        check_channels("multiply_add input", x.shape if x.axes[-1] == CHANNEL else (), len(self.weight))
        return Tensor(x.axes, x.shape, self.out)

    def accumulator_range(self, *inputs: Tensor) -> tuple[Int64, Int64]:
        """Least and greatest product with its bias for any input of this format, int64 [C] each."""
        low, high = worst_case_sums(self.weight[:, None], inputs[0].number)
        return low + self.bias, high + self.bias

    def cost(self, result: Tensor) -> Cost:
        """One multiplication a value."""
        return Cost(products=result.size, parameters=self.weight.size + self.bias.size + self.shift.size)
