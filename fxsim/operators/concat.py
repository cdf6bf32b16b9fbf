"""The channels of two tensors, one after the other."""

from dataclasses import dataclass
from typing import ClassVar

from fxsim.contract import CHANNEL, Tensor
from fxsim.errors import ModelError
from fxsim.operators.base import Operator, check_input


@dataclass(frozen=True, eq=False)
class Concat(Operator):
    """The channels of the first input and then those of the second, of one format and equal in all else."""

    kind: ClassVar[str] = "concat"
    arity: ClassVar[int] = 2

    def result(self, *inputs: Tensor) -> Tensor:
        """The inputs' axes, with the channels of both; ModelError where anything else of them differs."""
        x, r = inputs
        check_input(x, "concat", bipolar=True, sums=True)
        check_input(r, "concat", bipolar=True, sums=True)
        if x.axes[-1] != CHANNEL or (x.axes, x.shape[:-1]) != (r.axes, r.shape[:-1]):
            raise ModelError(f"concat cannot join the channels of shapes {x.shape} and {r.shape}")
        if x.number != r.number:
            raise ModelError(f"concat cannot join inputs of {x.number} and {r.number}, expected one format")
        return Tensor(x.axes, (*x.shape[:-1], x.shape[-1] + r.shape[-1]), x.number)
