"""Bit-exact fixed-point simulation and verification of quantised neural networks in hardware."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fxsim.version import __version__

if TYPE_CHECKING:
    from fxsim.engines import run
    from fxsim.errors import FxsimError
    from fxsim.families import ResMLPConfig, build_resmlp
    from fxsim.formats import load, save
    from fxsim.graph import Graph, Model, Node

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

_PLACES = {
    "FxsimError": "errors",
    "Graph": "graph",
    "Model": "graph",
    "Node": "graph",
    "ResMLPConfig": "families",
    "build_resmlp": "families",
    "load": "formats",
    "run": "engines",
    "save": "formats",
}
"""Rooms of the public names. They are imported when a name is first used: the command line starts at once, and hears
Ctrl-C while it imports the rest."""


def __getattr__(name: str) -> Any:
    """A public name of the package, or one of its rooms."""
    if name in _PLACES:
        value = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    else:
        try:
            value = import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'") from None
    globals()[name] = value
    return value
