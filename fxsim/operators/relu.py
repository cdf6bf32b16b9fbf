"""The rectifier."""

from dataclasses import dataclass
from typing import ClassVar

from fxsim.contract import Tensor
from fxsim.operators.base import Operator, check_input


@dataclass(frozen=True, eq=False)
class Relu(Operator):
    """y = max(x, 0), in the input's format."""

    kind: ClassVar[str] = "relu"
    arity: ClassVar[int] = 1

    def result(self, *inputs: Tensor) -> Tensor:
        """The input's."""
        (x,) = inputs
        check_input(x, "relu")
        return x
