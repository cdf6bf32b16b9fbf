"""Every kind of check, one file each, which says all there is to say of it: its `KIND`.

Other packages add theirs by an entry point of the group `fxsim.checks` that names a `Kind`.
"""

import importlib
import pkgutil
from typing import Any

from fxsim.errors import FxsimError
from fxsim.plugins import find_plugins, load_plugin
from fxsim.signoff.kind import Kind

GROUP = "fxsim.checks"


def find_checks() -> dict[str, Kind[Any]]:
    """Every kind by its name. FxsimError where two have one name, or where a package's entry point names no kind."""
    modules = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found: list[tuple[str, object]] = [
        (f"{__name__}.{module}", importlib.import_module(f"{__name__}.{module}").KIND) for module in modules
    ]
    found += [
        (f"the entry point {e.value}", load_plugin("kind of check", e, Kind)) for e in find_plugins(GROUP).values()
    ]
    kinds: dict[str, Kind[Any]] = {}
    for place, kind in found:
        if not isinstance(kind, Kind):
            raise FxsimError(f"{place} is a {type(kind).__name__}, expected a kind of check")
        if kind.name in kinds:
            raise FxsimError(f"{place} is a kind of check called '{kind.name}', which there is already")
        kinds[kind.name] = kind
    return kinds


CHECKS = find_checks()
"""Kinds of check by the name that a plan's `kind` has for them."""
