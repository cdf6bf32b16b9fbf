"""Values that pass where another tensor reaches a threshold."""

from dataclasses import dataclass
from typing import ClassVar

from fxsim.contract import CHANNEL, Tensor
from fxsim.contract.arithmetic import Integers
from fxsim.contract.number import INT32
from fxsim.errors import ModelError
from fxsim.operators.base import Cost, Operator, check_channels, check_input, checked_values, set_field


@dataclass(frozen=True, eq=False)
class Gate(Operator):
    """y[c] = x[c] where g[c] >= threshold[c], else 0, in the format of x; of two inputs x and g of one shape.

    `threshold` int32 [C].
    """

    kind: ClassVar[str] = "gate"
    arity: ClassVar[int] = 2
    tensors: ClassVar[tuple[str, ...]] = ("threshold",)
    threshold: Integers

    def __post_init__(self) -> None:
        set_field(self, "threshold", checked_values(self.threshold, INT32, 1, "gate thresholds"))

    def result(self, *inputs: Tensor) -> Tensor:
        """The tensor of the first input; ModelError where the second has another shape, or channels do not fit."""
        x, g = inputs
        check_input(x, "gate", sums=True)
        check_input(g, "gate", bipolar=True, sums=True)
        if (x.axes, x.shape) != (g.axes, g.shape):
            raise ModelError(f"gate cannot join inputs of shapes {x.shape} and {g.shape}")
        check_channels("gate input", x.shape if x.axes[-1] == CHANNEL else (), len(self.threshold))
        return x

    def cost(self, result: Tensor) -> Cost:  # noqa: ARG002  # comparisons are not counted
        """Its thresholds."""
        return Cost(table_bytes=self.threshold.nbytes)
