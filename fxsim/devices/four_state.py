"""The bench that simulates a device in four states: a harness in Verilog, and the values it is to hand over."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fxsim.simulate.four_state import Trace

Place = Callable[[int], dict[str, int]]
"""The index of a value by axis, from its number in its image's part of a stream."""


@dataclass(frozen=True)
class Expected:
    """One stream's values: what it is called in results (a tap, or an output of the device), and each in its order.

    `values`: int64 [image, value]; where `images` is false, one value for the whole run. `bits` is their width.
    `carries`: the tap whose values an output carries. `signed`: whether the bits are two's complement.
    """

    name: str
    values: npt.NDArray[np.int64]
    bits: int
    place: Place
    carries: str | None = None
    signed: bool = True


@dataclass(frozen=True)
class FourStateBench:
    """A run of a device: `harness` with its macros, and what its streams must hand over, by their name in events.

    `top`: the harness's module. `handshakes`: the stream that each handshake signal belongs to, by the signal's name in
    events; `signals`: what a design calls those that have another name there.
    """

    harness: Path
    macros: dict[str, str | int]
    streams: dict[str, Expected]
    handshakes: dict[str, str]
    top: str = "four_state"
    signals: dict[str, str] = field(default_factory=dict)

    def found(self, trace: Trace) -> dict[str, list[tuple[int, str]]]:
        """The values of each of `streams` in a trace."""
        return {name: trace.values.get(name, []) for name in self.streams}
