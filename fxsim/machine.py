"""The machine that this runs on, as records of measurements and of sign-offs name it."""

import os
import platform
import re
from pathlib import Path

from fxsim.errors import FxsimError

JOBS_VARIABLE = "FXSIM_JOBS"
"""The environment variable that says how many processes a command may have at work at once."""


def find_processor() -> str:
    """The processor's name; its architecture where the system says no more."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []  # only Linux has that file
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count_jobs() -> int:
    """Processes that a command may have at work at once: FXSIM_JOBS, by default one a core.

    FxsimError where FXSIM_JOBS is no number of them.
    """
    stated = os.environ.get(JOBS_VARIABLE, "")
    if not stated:
        return count_cores()
    if not re.fullmatch("0*[1-9][0-9]{0,3}", stated):
        raise FxsimError(
            f"the environment variable {JOBS_VARIABLE} is {stated!r}, expected a number of processes, 1 to 9999"
        )
    return int(stated)


def cpu_seconds() -> float:
    """Processor time of this process, and of children that have ended, in seconds."""
    return sum(os.times()[:4])


def find_memory() -> float | None:
    """Memory in GiB, rounded to a tenth; None where the system does not say."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None


def one_blas_thread() -> None:
    """Let numpy's products of matrices be computed on one thread, unless the environment says on how many.

    For commands whose products are small, before they import numpy: on a busy machine threads that wait for each other
    take ten times as long. Where numpy is imported already nothing changes.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
