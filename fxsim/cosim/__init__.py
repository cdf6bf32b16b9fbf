"""Co-simulation: a Verilated device against the integer model, every stream compared while it runs."""

from fxsim.compare import Difference
from fxsim.cosim.driver import cosim, join_cosim, run_cosim, split_cosim
from fxsim.cosim.request import CosimRequest
from fxsim.cosim.result import (
    BuildUsed,
    CosimResult,
    CosimVerdict,
    Fault,
    Origins,
    Provenance,
    Stop,
    Streams,
    TapOrigin,
    TapResult,
    Timing,
)
from fxsim.devices import StreamState
from fxsim.simulate import PATTERNS, Stall, parse_stall
from fxsim.simulate.messages import Spread

__all__ = [
    "PATTERNS",
    "BuildUsed",
    "CosimRequest",
    "CosimResult",
    "CosimVerdict",
    "Difference",
    "Fault",
    "Origins",
    "Provenance",
    "Spread",
    "Stall",
    "Stop",
    "StreamState",
    "Streams",
    "TapOrigin",
    "TapResult",
    "Timing",
    "cosim",
    "join_cosim",
    "parse_stall",
    "run_cosim",
    "split_cosim",
]
