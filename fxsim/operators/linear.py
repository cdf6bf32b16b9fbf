"""Matrix products over one axis, requantised."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from fxsim.contract import CHANNEL, INT8, TOKEN, Number, Tensor, linear_acc_bits, worst_case_sums
from fxsim.contract.arithmetic import Int64, Integers, UInt8
from fxsim.errors import ModelError
from fxsim.operators.base import Cost, Operator, check_input, check_requantisation, checked_acc_bits, choice, set_field


class Axis(StrEnum):
    """The axis that a linear sums over, in the plural of files."""

    CHANNELS = "channels"
    TOKENS = "tokens"


@dataclass(frozen=True, eq=False)
class Linear(Operator):
    """y[n] = saturate(round_shift(sum_k x[k] * weight[n, k], shift[n]) + bias[n]), over channels or over tokens.

    `weight` [N, K] of the format `weight_number` (signed, 1 to 8 bits, or bipolar, in int8); `bias` [N] of the format
    `bias_number(out)` (int8 where `out` is); `shift` uint8 [N]; `out`: the result's format, up to 32 bits where it is
    signed: of int32, with shifts of 0, the bias is a constant of 32 bits at the scale of the sum. Over channels: (T, K)
    to (T, N), or (K,) to (N,). Over tokens: (K, C) to (N, C), each channel on its own. `acc_bits`: signed accumulator
    width; 0 for 16 + ceil(log2 K), which is enough for 8-bit inputs.
    """

    kind: ClassVar[str] = "linear"
    arity: ClassVar[int] = 1
    tensors: ClassVar[tuple[str, ...]] = ("weight", "bias", "shift")
    attributes: ClassVar[tuple[str, ...]] = ("over", "acc_bits", "weight_number", "out")
    weight: Integers
    bias: Integers
    shift: UInt8
    over: Axis = Axis.CHANNELS
    acc_bits: int = 0
    weight_number: Number = INT8
    out: Number = INT8

    def __post_init__(self) -> None:
        check_requantisation(self, "linear", ndim=2, sums=True)
        set_field(self, "over", choice(self.over, Axis, "linear over"))
        acc_bits = linear_acc_bits(self.weight.shape[1]) if self.acc_bits == 0 else self.acc_bits
        set_field(self, "acc_bits", checked_acc_bits(acc_bits, "linear"))

    def result(self, *inputs: Tensor) -> Tensor:
        """The input with the axis it sums over as long as there are outputs; ModelError where it does not fit."""
        (x,) = inputs
        check_input(x, "linear", bipolar=True)
        outputs, size = self.weight.shape
        over_tokens = self.over is Axis.TOKENS
        # The axis that it sums over is the last, or tokens before channels.
        expected, place = ((TOKEN, CHANNEL), -2) if over_tokens else ((CHANNEL,), -1)
        if x.axes[-len(expected) :] != expected or x.shape[place] != size:
            raise ModelError(f"linear over {size} {self.over} cannot take an input of shape {x.shape}")
        shape = (*x.shape[:-2], outputs, x.shape[-1]) if over_tokens else (*x.shape[:-1], outputs)
        return Tensor(x.axes, shape, self.out)

    def accumulator_range(self, *inputs: Tensor) -> tuple[Int64, Int64]:
        """Least and greatest sum for any input of this format, int64 [N] each."""
        return worst_case_sums(self.weight, inputs[0].number)

    def cost(self, result: Tensor) -> Cost:
        """One multiply-accumulate for each input of each value of the result."""
        parameters = self.weight.size + self.bias.size + self.shift.size
        return Cost(macs=result.size * self.weight.shape[1], parameters=parameters)
