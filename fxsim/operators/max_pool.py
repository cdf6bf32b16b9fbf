"""The greatest value of a window."""

from dataclasses import dataclass
from typing import ClassVar

from fxsim.contract import Pair, Tensor
from fxsim.operators.base import Operator, check_input, checked_sizes, set_field, windowed


@dataclass(frozen=True, eq=False)
class MaxPool(Operator):
    """y[i, j, c] = max over r, s of x[i * stride + r, j * stride + s, c], in the input's format.

    `kernel`, `stride`: rows and columns of the window, and from one window to the next; windows lie within the image.
    """

    kind: ClassVar[str] = "max_pool"
    arity: ClassVar[int] = 1
    attributes: ClassVar[tuple[str, ...]] = ("kernel", "stride")
    kernel: Pair
    stride: Pair

    def __post_init__(self) -> None:
        set_field(self, "kernel", checked_sizes(self.kernel, 2, 1, "max_pool kernel"))
        set_field(self, "stride", checked_sizes(self.stride, 2, 1, "max_pool stride"))

    def result(self, *inputs: Tensor) -> Tensor:
        """The places of the window, of the input's channels and format; ModelError where the input does not fit."""
        (x,) = inputs
        check_input(x, "max_pool", bipolar=True, sums=True)
        return Tensor(x.axes, (*windowed(x, "max_pool", self.kernel, self.stride), x.shape[-1]), x.number)
