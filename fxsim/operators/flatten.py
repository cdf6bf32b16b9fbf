"""All values of an image on one axis, in a stated order."""

from dataclasses import dataclass
from typing import ClassVar

from fxsim.contract import CHANNEL, DIMENSION_MAX, Tensor
from fxsim.errors import ModelError
from fxsim.operators.base import Operator, check_input, check_order, checked_order, set_field


@dataclass(frozen=True, eq=False)
class Flatten(Operator):
    """All values of an image as channels; `order`: its axes by number, slowest first, so that the last runs fastest.

    Of rows, columns and channels (0, 1, 2) keeps values where they lie, and (2, 0, 1) gives the order of frameworks
    whose images have channels first.
    """

    kind: ClassVar[str] = "flatten"
    arity: ClassVar[int] = 1
    attributes: ClassVar[tuple[str, ...]] = ("order",)
    order: tuple[int, ...]

    def __post_init__(self) -> None:
        set_field(self, "order", checked_order(self.order, "flatten"))

    def result(self, *inputs: Tensor) -> Tensor:
        """One axis of channels; ModelError unless the order has each of the input's axes once."""
        (x,) = inputs
        check_input(x, "flatten", bipolar=True, sums=True)
        check_order(self.order, x, "flatten")
        if x.size > DIMENSION_MAX:
            raise ModelError(f"flatten of {x.size:,} values, expected at most {DIMENSION_MAX:,}")
        return Tensor((CHANNEL,), (x.size,), x.number)
