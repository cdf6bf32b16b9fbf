"""Encodings of values in channels of one bit: thermometers."""

from dataclasses import dataclass
from typing import ClassVar

from fxsim.contract import BIPOLAR, CHANNEL, Number, Tensor
from fxsim.contract.arithmetic import Integers
from fxsim.contract.number import INT32
from fxsim.errors import ModelError
from fxsim.operators.base import Cost, Operator, check_input, checked_number, checked_values, set_field


@dataclass(frozen=True, eq=False)
class Encode(Operator):
    """y[c * n + k] = the greater value of `out` where x[c] >= threshold[c, k], else the lesser.

    `threshold` int32 [C, n], in any order; the result has C * n channels of the format `out`, of one bit.
    """

    kind: ClassVar[str] = "encode"
    arity: ClassVar[int] = 1
    tensors: ClassVar[tuple[str, ...]] = ("threshold",)
    attributes: ClassVar[tuple[str, ...]] = ("out",)
    threshold: Integers
    out: Number = BIPOLAR

    def __post_init__(self) -> None:
        checked_number(self.out, (1, 1), "encode result number", bipolar=True)
        set_field(self, "threshold", checked_values(self.threshold, INT32, 2, "encode thresholds"))

    def result(self, *inputs: Tensor) -> Tensor:
        """The input with n channels for each of its own; ModelError where its channels do not fit."""
        (x,) = inputs
        check_input(x, "encode", bipolar=True, sums=True)
        if x.axes[-1] != CHANNEL or x.shape[-1] != len(self.threshold):
            raise ModelError(f"encode of {len(self.threshold)} channels cannot take an input of shape {x.shape}")
        return Tensor(x.axes, (*x.shape[:-1], self.threshold.size), self.out)

    def cost(self, result: Tensor) -> Cost:  # noqa: ARG002  # comparisons are not counted
        """Its thresholds."""
        return Cost(table_bytes=self.threshold.nbytes)
