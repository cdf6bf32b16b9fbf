"""The sum of two tensors at scales of their own."""

from dataclasses import dataclass
from typing import ClassVar

from fxsim.contract import CHANNEL, Number, Tensor, worst_case_sums
from fxsim.contract.arithmetic import Int64, Integers, UInt8
from fxsim.contract.number import INT16
from fxsim.errors import ModelError
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
class WeightedAdd(Operator):
    """y[c] = saturate(round_shift(x[c] * weight[0, c] + r[c] * weight[1, c], shift[c])), of two inputs of one shape.

    `weight` int16 [2, C]; `shift` uint8 [C]; `acc_bits`: width of the sum; `out`: the result's format.
    """

    kind: ClassVar[str] = "weighted_add"
    arity: ClassVar[int] = 2
    tensors: ClassVar[tuple[str, ...]] = ("weight", "shift")
    attributes: ClassVar[tuple[str, ...]] = ("acc_bits", "out")
    weight: Integers
    shift: UInt8
    acc_bits: int = 32
    out: Number = INT16

    def __post_init__(self) -> None:
        bits = SUM_BITS if getattr(self.out, "signed", False) else ACTIVATION_BITS
        checked_number(self.out, bits, "weighted_add result number")
        set_field(self, "weight", checked_values(self.weight, INT16, 2, "weighted_add weight"))
        if len(self.weight) != 2:
            raise ModelError(f"weighted_add weight has shape {self.weight.shape}, expected one row for each input")
        set_field(self, "shift", checked_shift(self.shift, self.weight.shape[1], "weighted_add"))
        set_field(self, "acc_bits", checked_acc_bits(self.acc_bits, "weighted_add"))

    def result(self, *inputs: Tensor) -> Tensor:
        """The shape that both inputs share; ModelError where they differ, or their channels do not fit."""
        x, r = inputs
        check_input(x, "weighted_add", sums=True)
        check_input(r, "weighted_add", sums=True)
        if (x.axes, x.shape) != (r.axes, r.shape):
            raise ModelError(f"weighted_add cannot join inputs of shapes {x.shape} and {r.shape}")
        check_channels("weighted_add input", x.shape if x.axes[-1] == CHANNEL else (), self.weight.shape[1])
        return Tensor(x.axes, x.shape, self.out)

    def accumulator_range(self, *inputs: Tensor) -> tuple[Int64, Int64]:
        """Least and greatest sum of the two products for any inputs of these formats, int64 [C] each."""
        (low, high), (r_low, r_high) = (
            worst_case_sums(self.weight[i][:, None], tensor.number) for i, tensor in enumerate(inputs)
        )
        return low + r_low, high + r_high

    def cost(self, result: Tensor) -> Cost:
        """Two multiplications a value."""
        return Cost(products=2 * result.size, parameters=self.weight.size + self.shift.size)
