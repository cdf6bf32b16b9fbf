"""Settings of the streaming accelerator: how many values a cycle, and how its products are made."""

from typing import Annotated

from fxsim.devices.settings import Setting, Settings
from fxsim.errors import StimulusError

BEATS = (1, 2, 4)
"""Values of a beat that there may be."""


class StreamSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the streaming accelerator: of its Verilog, so that another of them is another circuit.

    `beat`: values of a beat of every stream, LANES of the Verilog. `packed`: linears make the products of a value with
    two weights in one multiplier. Neither changes a value; longer beats change cycles.
    """

    beat: Annotated[
        int, Setting("--beat", "values of a beat: 1, 2 or 4", unit="values", least=1, most=4, design=True)
    ] = 1
    packed: Annotated[
        bool, Setting("--packed", "two products in a multiplier, of 2 or 4 values a beat", design=True)
    ] = False

    def __post_init__(self) -> None:
        """Refuse what the Verilog does not take."""
        super().__post_init__()
        if self.beat not in BEATS:
            raise StimulusError(f"beat is {self.beat} values, expected 1, 2 or 4")
        if self.packed and self.beat == 1:
            raise StimulusError("packed products are of two values a beat: expected a beat of 2 or 4")
