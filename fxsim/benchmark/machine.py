"""The machine that is measured on, and the versions of what is measured."""

import os
import platform
from importlib import metadata
from pathlib import Path

from fxsim.benchmark.peak import cache_sizes
from fxsim.benchmark.record import Machine
from fxsim.engines.compiled import instruction_sets

_PACKAGES = ("numpy", "numba", "llvmlite", "onnxruntime", "torch", "pyperf")


def find_machine() -> Machine:
    """Processor, cores that may be used, memory, operating system, caches, instruction sets."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), processor)
    except OSError:
        pass  # only Linux has that file
    try:
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        memory = None
    return Machine(
        processor,
        cores(),
        memory,
        platform.platform(),
        {f"L{level}": size for level, size in cache_sizes().items()},
        tuple(kind.name for kind in instruction_sets()),
    )


def cores() -> int:
    """Cores that may be used."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def find_versions() -> dict[str, str]:
    """Versions of Python and the libraries that compute; `absent` where there is none."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions
