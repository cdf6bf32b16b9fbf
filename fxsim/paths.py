"""Where fxsim finds its own data and keeps its cache."""

import os
from pathlib import Path

import platformdirs

from fxsim.errors import FxsimError

_PACKAGE = Path(__file__).resolve().parent


def rtl_dir() -> Path:
    """The folder of the Verilog sources; FxsimError where the installation lacks it."""
    return _own_dir("rtl")


def golden_dir() -> Path:
    """The folder of the project's own models and vectors; FxsimError where the installation lacks it."""
    return _own_dir("golden")


def cache_dir() -> Path:
    """The folder for what can be made again, perhaps not there yet; FXSIM_CACHE in the environment overrides it."""
    override = os.environ.get("FXSIM_CACHE")
    return Path(override).absolute() if override else platformdirs.user_cache_path("fxsim", appauthor=False)


def _own_dir(name: str) -> Path:
    """A wheel carries the folder inside the package; a clone has it beside the package."""
    candidates = (_PACKAGE / f"_{name}", _PACKAGE.parent / name)
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    tried = " or ".join(str(candidate) for candidate in candidates)
    raise FxsimError(f"the folder {name}/ is missing from this installation of fxsim: expected {tried}")
