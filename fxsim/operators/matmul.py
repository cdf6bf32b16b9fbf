"""The product of two tensors, head by head, whose sums are its result."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fxsim.contract import CHANNEL, DIMENSION_MAX, Number, Tensor
from fxsim.contract.arithmetic import Int64
from fxsim.contract.number import INT16
from fxsim.errors import ModelError
from fxsim.operators.base import SUM_BITS, Cost, Operator, check_input, checked_number, integer, set_field


@dataclass(frozen=True, eq=False)
class Matmul(Operator):
    """Sums of `terms` products of the values of two tensors x and r, both of which the network computes.

    Of both, all axes but the channels are places, i of x and j of r, in the order in which they lie; the channels are
    `heads` equal parts, h, of which those of x have `terms` channels each:

        transposed:  y[i, h S + j] = sum_c x[i, h terms + c] * r[j, h terms + c], S the places of r
        else:        y[i, h d + c] = sum_j x[i, h terms + j] * r[j, h d + c], of `terms` places j, d channels a head

    `out`: the signed format of the sum, 1 to 32 bits, which is the result, neither rounded nor saturated: the graph
    proves, from the formats of x and r, that it fits.
    """

    kind: ClassVar[str] = "matmul"
    arity: ClassVar[int] = 2
    attributes: ClassVar[tuple[str, ...]] = ("heads", "terms", "transposed", "out")
    heads: int
    terms: int
    transposed: bool = False
    out: Number = INT16

    def __post_init__(self) -> None:
        for name in ("heads", "terms"):
            value = integer(getattr(self, name), f"matmul {name}")
            if not 1 <= value <= DIMENSION_MAX:
                raise ModelError(f"matmul {name} is {value}, expected 1 to {DIMENSION_MAX}")
            set_field(self, name, value)
        if not isinstance(self.transposed, bool):
            raise ModelError(f"matmul transposed is {self.transposed!r}, expected true or false")
        checked_number(self.out, SUM_BITS, "matmul result number", signed=True)

    @property
    def acc_bits(self) -> int:
        """Width of the sum, in bits."""
        return self.out.bits

    def result(self, *inputs: Tensor) -> Tensor:
        """The places of the first input, with a channel for each head and place, or channel, of the second."""
        x, r = inputs
        for which, tensor in (("first", x), ("second", r)):
            check_input(tensor, f"matmul {which}")
            if len(tensor.axes) < 2 or tensor.axes[-1] != CHANNEL:
                raise ModelError(
                    f"matmul takes places and channels, its {which} input has the axes {', '.join(tensor.axes)}"
                )
        needed, places = self.heads * self.terms, math.prod(r.shape[:-1])
        what = f"matmul of {self.heads} heads and {self.terms} products a sum"
        if x.shape[-1] != needed:
            raise ModelError(f"{what} takes {needed} channels, its first input has {x.shape[-1]}")
        if self.transposed and r.shape[-1] != needed:
            raise ModelError(f"{what}, transposed, takes {needed} channels, its second input has {r.shape[-1]}")
        if not self.transposed and places != self.terms:
            raise ModelError(f"{what} takes {self.terms} places, its second input has {places}")
        if not self.transposed and r.shape[-1] % self.heads:
            raise ModelError(f"{what} cannot part the {r.shape[-1]} channels of its second input")
        channels = self.heads * places if self.transposed else r.shape[-1]
        return Tensor(x.axes, (*x.shape[:-1], channels), self.out)

    def accumulator_range(self, *inputs: Tensor) -> tuple[Int64, Int64]:
        """Least and greatest sum for any inputs of these formats, int64 [1] each."""
        x, r = (tensor.number for tensor in inputs)
        products = [a * b for a in (x.low, x.high) for b in (r.low, r.high)]
        return np.array([self.terms * min(products)]), np.array([self.terms * max(products)])

    def cost(self, result: Tensor) -> Cost:
        """One multiply-accumulate for each product."""
        return Cost(macs=result.size * self.terms)
