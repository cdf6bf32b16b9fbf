"""The values of an image with its axes exchanged."""

from dataclasses import dataclass
from typing import ClassVar

from fxsim.contract import Tensor
from fxsim.operators.base import Operator, check_input, check_order, checked_order, set_field


@dataclass(frozen=True, eq=False)
class Transpose(Operator):
    """An image with its axes exchanged: axis k of the result is axis order[k] of the input, counted from the slowest.

    Axes keep their names: of rows, columns and channels (1, 0, 2) makes each column a row, and of tokens and channels
    (1, 0) each channel a token.
    """

    kind: ClassVar[str] = "transpose"
    arity: ClassVar[int] = 1
    attributes: ClassVar[tuple[str, ...]] = ("order",)
    order: tuple[int, ...]

    def __post_init__(self) -> None:
        set_field(self, "order", checked_order(self.order, "transpose"))

    def result(self, *inputs: Tensor) -> Tensor:
        """The input's axes with their sizes exchanged; ModelError unless the order has each of them once."""
        (x,) = inputs
        check_input(x, "transpose", bipolar=True, sums=True)
        check_order(self.order, x, "transpose")
        return Tensor(x.axes, tuple(x.shape[place] for place in self.order), x.number)
