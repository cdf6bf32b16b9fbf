"""Co-simulation: the Verilated accelerator against the integer model, every stream compared while it runs."""

from fxsim.compare import Difference
from fxsim.cosim.driver import Accelerator, cosim
from fxsim.cosim.result import CosimResult, Fault, Stop, TapResult
from fxsim.devices.base import StreamState
from fxsim.devices.simd import LayerFigures, SimdFigures
from fxsim.simulate import PATTERNS, Stall, parse_stall
from fxsim.simulate.messages import Span, Spread

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
