"""Convolutions over rows and columns, whose sums are their result."""

from dataclasses import dataclass
from typing import ClassVar

from fxsim.contract import INT8, Number, Padding, Pair, Tensor, worst_case_sums
from fxsim.contract.arithmetic import Int64, Integers
from fxsim.contract.number import INT16
from fxsim.errors import ModelError
from fxsim.operators.base import (
    SUM_BITS,
    WEIGHT_BITS,
    Cost,
    Operator,
    check_input,
    checked_number,
    checked_sizes,
    checked_values,
    integer,
    set_field,
    windowed,
)

PADDED_MAX = 1 << 26
"""Most values of an image with the zeros around it: bounds memory where a file states the sizes."""


@dataclass(frozen=True, eq=False)
class Conv(Operator):
    """y[i, j, o] = sum_{r, s, c} weight[o, r, s, c] * x[i * stride + r * dilation - padding, ..., c of o's group].

    `weight` [N, rows, columns, channels of a group] of the format `weight_number` (signed, 1 to 8 bits, or bipolar);
    `stride`, `dilation`: of rows and columns; `padding`: rows and columns of zeros above, left, below, right, fewer
    than the kernel spans; `groups`: equal parts of the channels, of which an output reads one; `out`: the signed format
    of the sum, 1 to 32 bits, which is the result, neither rounded nor saturated: the graph proves that it fits.
    """

    kind: ClassVar[str] = "conv"
    arity: ClassVar[int] = 1
    tensors: ClassVar[tuple[str, ...]] = ("weight",)
    attributes: ClassVar[tuple[str, ...]] = ("stride", "padding", "dilation", "groups", "weight_number", "out")
    weight: Integers
    stride: Pair = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    weight_number: Number = INT8
    out: Number = INT16

    def __post_init__(self) -> None:
        number = checked_number(self.weight_number, WEIGHT_BITS, "conv weight number", signed=True, bipolar=True)
        checked_number(self.out, SUM_BITS, "conv result number", signed=True)
        set_field(self, "weight", checked_values(self.weight, number, 4, "conv weight"))
        set_field(self, "stride", checked_sizes(self.stride, 2, 1, "conv stride"))
        set_field(self, "padding", checked_sizes(self.padding, 4, 0, "conv padding"))
        set_field(self, "dilation", checked_sizes(self.dilation, 2, 1, "conv dilation"))
        set_field(self, "groups", integer(self.groups, "conv groups"))
        if self.groups < 1 or self.weight.shape[0] % self.groups:
            raise ModelError(f"conv of {self.weight.shape[0]} outputs cannot have {self.groups} groups")
        spans = [self.dilation[i] * (self.weight.shape[1 + i] - 1) for i in range(2)]
        for i, pad in enumerate(self.padding):
            if pad > spans[i % 2]:
                raise ModelError(
                    f"conv padding is {self.padding}, expected less than the kernel spans, {spans} at most"
                )

    @property
    def acc_bits(self) -> int:
        """Width of the sum, in bits."""
        return self.out.bits

    def result(self, *inputs: Tensor) -> Tensor:
        """The places of the kernel, with a channel for each output; ModelError where the input does not fit."""
        (x,) = inputs
        check_input(x, "conv", bipolar=True)
        outputs, rows, columns, each = self.weight.shape
        top, left, bottom, right = self.padding
        shape = windowed(x, "conv", (rows, columns), self.stride, self.dilation, (top + bottom, left + right))
        if x.shape[-1] != each * self.groups:
            raise ModelError(f"conv of {self.groups} x {each} channels cannot take an input of {x.shape[-1]}")
        if (x.shape[0] + top + bottom) * (x.shape[1] + left + right) * x.shape[2] > PADDED_MAX:
            raise ModelError(f"conv pads an image to more than {PADDED_MAX:,} values")
        return Tensor(x.axes, (*shape, outputs), self.out)

    def accumulator_range(self, *inputs: Tensor) -> tuple[Int64, Int64]:
        """Least and greatest sum for any input of this format, int64 [N] each; 0 is of every format, as padding is."""
        return worst_case_sums(self.weight.reshape(len(self.weight), -1), inputs[0].number)

    def cost(self, result: Tensor) -> Cost:
        """One multiply-accumulate for each weight of an output at each place, padding included."""
        return Cost(macs=result.size * (self.weight.size // len(self.weight)), parameters=self.weight.size)
