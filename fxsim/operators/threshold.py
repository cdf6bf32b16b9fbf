"""Thresholds: the steps that a value has passed, counted."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fxsim.contract import CHANNEL, INT8, Number, Tensor
from fxsim.contract.arithmetic import Integers, UInt8
from fxsim.contract.number import INT32
from fxsim.errors import ModelError
from fxsim.operators.base import (
    ACTIVATION_BITS,
    Cost,
    Operator,
    check_input,
    checked_array,
    checked_number,
    checked_values,
    set_field,
)


@dataclass(frozen=True, eq=False)
class Threshold(Operator):
    """y[c] = levels[k], k the number of thresholds t of channel c with x[c] >= t, or where it falls, x[c] <= t.

    `threshold` int32 [C, n], in any order; `rising` uint8 [C]: 1 where x >= t counts, 0 where x <= t does; `levels`
    [n + 1] of the format `out`, the result's, from no step passed to all.
    """

    kind: ClassVar[str] = "threshold"
    arity: ClassVar[int] = 1
    tensors: ClassVar[tuple[str, ...]] = ("threshold", "rising", "levels")
    attributes: ClassVar[tuple[str, ...]] = ("out",)
    threshold: Integers
    rising: UInt8
    levels: Integers
    out: Number = INT8

    def __post_init__(self) -> None:
        out = checked_number(self.out, ACTIVATION_BITS, "threshold result number", bipolar=True)
        set_field(self, "threshold", checked_values(self.threshold, INT32, 2, "threshold thresholds"))
        set_field(self, "rising", checked_array(self.rising, np.uint8, 1, "threshold rising"))
        set_field(self, "levels", checked_values(self.levels, out, 1, "threshold levels"))
        channels, steps = self.threshold.shape
        if len(self.rising) != channels:
            raise ModelError(f"threshold rising has {len(self.rising)} values, expected {channels}")
        if self.rising.max() > 1:
            channel = int(np.argmax(self.rising > 1))
            raise ModelError(f"threshold rising of channel {channel} is {self.rising[channel]}, expected 0 or 1")
        if self.levels.shape != (steps + 1,):
            raise ModelError(f"threshold has {len(self.levels)} levels, expected {steps + 1} for {steps} thresholds")

    def result(self, *inputs: Tensor) -> Tensor:
        """The input's shape; ModelError where its channels do not fit."""
        (x,) = inputs
        check_input(x, "threshold", bipolar=True, sums=True)
        if x.axes[-1] != CHANNEL or x.shape[-1] != len(self.threshold):
            raise ModelError(f"threshold of {len(self.threshold)} channels cannot take an input of shape {x.shape}")
        return Tensor(x.axes, x.shape, self.out)

    def cost(self, result: Tensor) -> Cost:  # noqa: ARG002  # comparisons are not counted
        """Its thresholds, directions and levels."""
        return Cost(table_bytes=self.threshold.nbytes + self.rising.nbytes + self.levels.nbytes)
