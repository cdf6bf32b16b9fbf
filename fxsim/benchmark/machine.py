"""The machine that is measured on, and the versions of what is measured."""

import platform
from importlib import metadata

from fxsim.benchmark.peak import cache_sizes
from fxsim.benchmark.record import Machine
from fxsim.engines.compiled import instruction_sets
from fxsim.machine import count_cores, find_memory, find_processor
from fxsim.version import __version__

_PACKAGES = ("numpy", "numba", "llvmlite", "onnxruntime", "torch", "pyperf")


def find_machine() -> Machine:
    """Processor, cores that may be used, memory, operating system, caches, instruction sets."""
    return Machine(
        find_processor(),
        count_cores(),
        find_memory(),
        platform.platform(),
        {f"L{level}": size for level, size in cache_sizes().items()},
        tuple(kind.name for kind in instruction_sets()),
    )


def find_versions() -> dict[str, str]:
    """Versions of Python and the libraries that compute; `absent` where there is none."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions


def describe_machine() -> str:
    """Processor and versions, in one line."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("numpy", "numba", "llvmlite"))
    computer = f"{find_processor()}, {count_cores()} CPUs"
    return f"{computer}; fxsim {__version__}, Python {platform.python_version()}, {versions}"
