"""Bit-exact fixed-point simulation and verification of quantised neural networks in hardware."""

from fxsim.engines import run
from fxsim.errors import FxsimError
from fxsim.families import ResMLPConfig, build_resmlp
from fxsim.formats import load, save
from fxsim.graph import Graph, Model, Node
from fxsim.version import __version__

__all__ = [
    "FxsimError",
    "Graph",
    "Model",
    "Node",
    "ResMLPConfig",
    "__version__",
    "build_resmlp",
    "load",
    "run",
    "save",
]
