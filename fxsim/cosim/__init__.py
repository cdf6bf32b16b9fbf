"""Co-simulation: the Verilated accelerator against the integer model, every stream compared while it runs."""

from fxsim.cosim.driver import Accelerator, cosim
from fxsim.cosim.result import (
    CosimResult,
    Difference,
    Fault,
    LayerFigures,
    SimdFigures,
    Span,
    Spread,
    Stop,
    StreamState,
    TapResult,
)
from fxsim.cosim.stall import PATTERNS, Stall, parse_stall

__all__ = [
    "PATTERNS",
    "Accelerator",
    "CosimResult",
    "Difference",
    "Fault",
    "LayerFigures",
    "SimdFigures",
    "Span",
    "Spread",
    "Stall",
    "Stop",
    "StreamState",
    "TapResult",
    "cosim",
    "parse_stall",
]
