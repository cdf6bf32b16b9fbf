"""The channel of the greatest value."""

from dataclasses import dataclass
from typing import ClassVar

from fxsim.contract import CHANNEL, Number, Sign, Tensor
from fxsim.errors import ModelError
from fxsim.operators.base import Operator, check_input, integer, set_field


@dataclass(frozen=True, eq=False)
class Argmax(Operator):
    """The number of the first of the greatest among the first `classes` channels, in one channel.

    Its format is the narrowest unsigned one that holds `classes` - 1.
    """

    kind: ClassVar[str] = "argmax"
    arity: ClassVar[int] = 1
    attributes: ClassVar[tuple[str, ...]] = ("classes",)
    classes: int

    def __post_init__(self) -> None:
        set_field(self, "classes", integer(self.classes, "argmax classes"))
        if self.classes < 1:
            raise ModelError(f"argmax is over {self.classes} classes, expected at least 1")

    @property
    def out(self) -> Number:
        """The result's format."""
        return Number(max(1, (self.classes - 1).bit_length()), Sign.UNSIGNED)

    def result(self, *inputs: Tensor) -> Tensor:
        """The input with one channel; ModelError where it has fewer channels than there are classes."""
        (x,) = inputs
        check_input(x, "argmax", bipolar=True, sums=True)
        if x.axes[-1] != CHANNEL or x.shape[-1] < self.classes:
            raise ModelError(f"argmax over {self.classes} classes cannot take an input of shape {x.shape}")
        return Tensor(x.axes, (*x.shape[:-1], 1), self.out)
