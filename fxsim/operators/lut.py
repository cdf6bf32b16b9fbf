"""Learnt functions of one variable, as tables."""

from dataclasses import dataclass
from typing import ClassVar

from fxsim.contract import CHANNEL, INT8, Number, TableRule, Tensor, legal_points, stored_points
from fxsim.contract.arithmetic import Integers
from fxsim.errors import ModelError
from fxsim.operators.base import ACTIVATION_BITS, Cost, Operator, checked_number, checked_values, choice, set_field


@dataclass(frozen=True, eq=False)
class Lut(Operator):
    """One 1-D function a channel, of inputs of the format `number`.

    `table` [C, stored points] of the format `out`: under `full` an entry for each input code (256 for int8); under
    `clamp` and `hold` P, under `endpoint` P + 1, P a power of two from 4 to the number of codes.
    """

    kind: ClassVar[str] = "lut"
    arity: ClassVar[int] = 1
    tensors: ClassVar[tuple[str, ...]] = ("table",)
    attributes: ClassVar[tuple[str, ...]] = ("rule", "points", "number", "out")
    table: Integers
    rule: TableRule
    number: Number = INT8
    out: Number = INT8

    def __post_init__(self) -> None:
        number = checked_number(self.number, ACTIVATION_BITS, "lut input number")
        out = checked_number(self.out, ACTIVATION_BITS, "lut result number", bipolar=self.rule == TableRule.FULL)
        set_field(self, "table", checked_values(self.table, out, 2, "lut table"))
        set_field(self, "rule", choice(self.rule, TableRule, "lut rule"))
        legal = [stored_points(points, self.rule) for points in legal_points(self.rule, number)]
        if self.table.shape[1] not in legal:
            raise ModelError(
                f"lut table stores {self.table.shape[1]} points a channel, expected {' or '.join(map(str, legal))} "
                f"under rule '{self.rule}'"
            )

    @property
    def points(self) -> int:
        """P, the number of points the input codes are divided by (all of them for a full table)."""
        return int(self.table.shape[1]) - (self.rule is TableRule.ENDPOINT)

    def result(self, *inputs: Tensor) -> Tensor:
        """The input's shape; ModelError where its channels or its format do not fit."""
        (x,) = inputs
        if x.number != self.number:
            raise ModelError(f"lut of {self.number} cannot take an input of {x.number}")
        if x.axes[-1] != CHANNEL or x.shape[-1] != self.table.shape[0]:
            raise ModelError(f"lut of {self.table.shape[0]} channels cannot take an input of shape {x.shape}")
        return Tensor(x.axes, x.shape, self.out)

    def cost(self, result: Tensor) -> Cost:  # noqa: ARG002  # its table is all it costs
        """Its stored entries."""
        return Cost(table_bytes=self.table.nbytes)
