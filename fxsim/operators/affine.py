"""A product and a sum for each channel, requantised."""

from dataclasses import dataclass
from typing import ClassVar

from fxsim.contract import AFFINE_ACC_BITS, CHANNEL, INT8, Number, Tensor, worst_case_sums
from fxsim.contract.arithmetic import Int64, Integers, UInt8
from fxsim.errors import ModelError
from fxsim.operators.base import Cost, Operator, check_input, check_requantisation, checked_acc_bits, set_field


@dataclass(frozen=True, eq=False)
class Affine(Operator):
    """y[c] = saturate(round_shift(x[c] * weight[c], shift[c]) + bias[c]).

    `weight` [C] of the format `weight_number` (signed, 1 to 8 bits, or bipolar, in int8); `bias` [C] of the format
    `bias_number(out)`; `shift` uint8 [C]; `out`: the result's format; `acc_bits`: width of the product.
    """

    kind: ClassVar[str] = "affine"
    arity: ClassVar[int] = 1
    tensors: ClassVar[tuple[str, ...]] = ("weight", "bias", "shift")
    attributes: ClassVar[tuple[str, ...]] = ("acc_bits", "weight_number", "out")
    weight: Integers
    bias: Integers
    shift: UInt8
    acc_bits: int = AFFINE_ACC_BITS
    weight_number: Number = INT8
    out: Number = INT8

    def __post_init__(self) -> None:
        check_requantisation(self, "affine", ndim=1)
        set_field(self, "acc_bits", checked_acc_bits(self.acc_bits, "affine"))

    def result(self, *inputs: Tensor) -> Tensor:
        """The input's shape; ModelError where its channels do not fit."""
        (x,) = inputs
        check_input(x, "affine")
        if x.axes[-1] != CHANNEL or x.shape[-1] != self.weight.shape[0]:
            raise ModelError(f"affine of {self.weight.shape[0]} channels cannot take an input of shape {x.shape}")
        return Tensor(x.axes, x.shape, self.out)

    def accumulator_range(self, *inputs: Tensor) -> tuple[Int64, Int64]:
        """Least and greatest product for any input of this format, int64 [C] each."""
        return worst_case_sums(self.weight[:, None], inputs[0].number)

    def cost(self, result: Tensor) -> Cost:
        """One multiplication a value."""
        return Cost(products=result.size, parameters=self.weight.size + self.bias.size + self.shift.size)
