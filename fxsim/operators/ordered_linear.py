"""Sums of rounded products in a stated order, saturated after each."""

from dataclasses import dataclass
from typing import ClassVar

from fxsim.contract import CHANNEL, Number, Tensor
from fxsim.contract.arithmetic import Integers, UInt8
from fxsim.contract.number import INT16
from fxsim.operators.base import (
    ACTIVATION_BITS,
    Cost,
    Operator,
    check_channels,
    check_input,
    checked_number,
    checked_shift,
    checked_values,
    set_field,
)


@dataclass(frozen=True, eq=False)
class OrderedLinear(Operator):
    """acc[n] = bias[n], then for k from 0 up: acc[n] = saturate(acc[n] + round_shift(x[k] * weight[n, k], shift[n])).

    Over channels. `weight` int16 [N, K]; `bias` [N] of the format `out`, the result's; `shift` uint8 [N]. Nothing can
    overflow: each step saturates.
    """

    kind: ClassVar[str] = "ordered_linear"
    arity: ClassVar[int] = 1
    tensors: ClassVar[tuple[str, ...]] = ("weight", "bias", "shift")
    attributes: ClassVar[tuple[str, ...]] = ("out",)
    weight: Integers
    bias: Integers
    shift: UInt8
    out: Number = INT16

    def __post_init__(self) -> None:
        out = checked_number(self.out, ACTIVATION_BITS, "ordered_linear result number")
        set_field(self, "weight", checked_values(self.weight, INT16, 2, "ordered_linear weight"))
        set_field(self, "bias", checked_values(self.bias, out, 1, "ordered_linear bias"))
        set_field(self, "shift", checked_shift(self.shift, len(self.weight), "ordered_linear"))
        check_channels("ordered_linear bias", self.bias.shape, len(self.weight))

    def result(self, *inputs: Tensor) -> Tensor:
        """The input with a channel for each output; ModelError where its channels do not fit."""
        (x,) = inputs
        check_input(x, "ordered_linear")
        check_channels("ordered_linear input", x.shape if x.axes[-1] == CHANNEL else (), self.weight.shape[1])
        return Tensor(x.axes, (*x.shape[:-1], len(self.weight)), self.out)

    def cost(self, result: Tensor) -> Cost:
        """One multiply-accumulate for each input of each value of the result."""
        parameters = self.weight.size + self.bias.size + self.shift.size
        return Cost(macs=result.size * self.weight.shape[1], parameters=parameters)
