"""The sum of two tensors."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fxsim.contract import ADD_ACC_BITS, INT8, Number, Tensor
from fxsim.contract.arithmetic import Int64
from fxsim.errors import ModelError
from fxsim.operators.base import ACTIVATION_BITS, Operator, check_input, checked_acc_bits, checked_number, set_field


@dataclass(frozen=True, eq=False)
class Add(Operator):
    """y = saturate(x + r), of two inputs of one shape at one scale; `out`: the result's format."""

    kind: ClassVar[str] = "add"
    arity: ClassVar[int] = 2
    attributes: ClassVar[tuple[str, ...]] = ("acc_bits", "out")
    acc_bits: int = ADD_ACC_BITS
    out: Number = INT8

    def __post_init__(self) -> None:
        set_field(self, "acc_bits", checked_acc_bits(self.acc_bits, "add"))
        checked_number(self.out, ACTIVATION_BITS, "add result number")

    def result(self, *inputs: Tensor) -> Tensor:
        """The shape that both inputs share; ModelError where they differ."""
        x, r = inputs
        check_input(x, "add")
        check_input(r, "add")
        if (x.axes, x.shape) != (r.axes, r.shape):
            raise ModelError(f"add cannot join inputs of shapes {x.shape} and {r.shape}")
        return Tensor(x.axes, x.shape, self.out)

    def accumulator_range(self, *inputs: Tensor) -> tuple[Int64, Int64]:
        """Least and greatest sum of two such values, int64 [1] each."""
        x, r = (tensor.number for tensor in inputs)
        return np.array([x.low + r.low]), np.array([x.high + r.high])
