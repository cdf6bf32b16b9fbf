"""Tools of a run of mutants: each ends at its limit, and all of them when the run is given up."""

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fxsim.process import running

POLL_SECONDS = 0.1


class GivenUp(Exception):  # noqa: N818  # not an error
    """The run was ended by somebody else, while this was going on."""


class Stop:
    """Says to every thread of a run that it is given up."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Give the run up."""
        self._event.set()

    def check(self) -> None:
        """Raise GivenUp where the run was given up."""
        if self._event.is_set():
            raise GivenUp


NEVER = Stop()
"""For a run that only an exception ends."""


def limited(command: Sequence[str | Path], seconds: float, memory: int | None = None) -> list[str]:
    """The command that the system ends after so many processor seconds, however busy the machine is.

    `memory`: the most bytes of addresses, beyond which it is given none; None: as many as there are.
    """
    limits = f"ulimit -t {int(seconds) + 1}; " + ("" if memory is None else f"ulimit -v {memory >> 10}; ")
    return ["/bin/sh", "-c", f'{limits}exec "$@"', "sh", *(str(word) for word in command)]


def finish(
    command: Sequence[str | Path],
    folder: Path,
    timeout: float,
    stop: Stop = NEVER,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> tuple[int, str]:
    """Run a tool in `cwd`, by default `folder`, to its end: its status, and what it printed, kept in `folder`.

    Raises subprocess.TimeoutExpired after `timeout` seconds, and GivenUp.
    """
    deadline = time.monotonic() + timeout
    with (folder / "printed.txt").open("wb+") as printed:
        options: dict[str, Any] = {
            "env": environment,
            "stdin": subprocess.DEVNULL,
            "stdout": printed,
            "stderr": subprocess.STDOUT,
        }
        with running([str(word) for word in command], cwd=cwd or folder, **options) as process:
            while True:
                try:
                    status = process.wait(timeout=POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    stop.check()
                    if time.monotonic() > deadline:
                        raise
        printed.seek(0)
        return status, printed.read(1 << 20).decode("utf-8", "replace")
