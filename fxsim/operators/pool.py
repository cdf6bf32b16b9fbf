"""The average over tokens."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fxsim.contract import CHANNEL, TOKEN, Tensor, pool_acc_bits
from fxsim.contract.arithmetic import Int64
from fxsim.errors import ModelError
from fxsim.operators.base import Operator, check_input, checked_acc_bits, integer, set_field


@dataclass(frozen=True, eq=False)
class Pool(Operator):
    """Average over T = 2^t tokens, rounded half up: (T, C) to (C,), in the input's format.

    `tokens` is T; `acc_bits`: width of the sum, 0 for 8 + t, which is enough for signed 8-bit inputs.
    """

    kind: ClassVar[str] = "pool"
    arity: ClassVar[int] = 1
    attributes: ClassVar[tuple[str, ...]] = ("tokens", "acc_bits")
    tokens: int
    acc_bits: int = 0

    def __post_init__(self) -> None:
        set_field(self, "tokens", integer(self.tokens, "pool tokens"))
        if self.tokens < 1 or self.tokens & (self.tokens - 1):
            raise ModelError(f"pool is over {self.tokens} tokens, expected a power of two")
        acc_bits = pool_acc_bits(self.tokens) if self.acc_bits == 0 else self.acc_bits
        set_field(self, "acc_bits", checked_acc_bits(acc_bits, "pool"))

    def result(self, *inputs: Tensor) -> Tensor:
        """The input without its tokens; ModelError unless it has as many, channels after them."""
        (x,) = inputs
        check_input(x, "pool")
        if x.axes[-2:] != (TOKEN, CHANNEL) or x.shape[-2] != self.tokens:
            raise ModelError(f"pool over {self.tokens} tokens cannot take an input of shape {x.shape}")
        return Tensor((*x.axes[:-2], CHANNEL), (*x.shape[:-2], x.shape[-1]), x.number)

    def accumulator_range(self, *inputs: Tensor) -> tuple[Int64, Int64]:
        """Least and greatest sum of `tokens` such values, int64 [1] each."""
        number = inputs[0].number
        return np.array([self.tokens * number.low]), np.array([self.tokens * number.high])
