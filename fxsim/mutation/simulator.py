"""A simulator that has loaded Python and what testbenches import: each run is a copy of it with a design of its own.

So a run does not pay for imports, which take longer than most simulations of a mutant.
"""

import contextlib
import json
import os
import select
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fxsim import temporary
from fxsim.errors import ToolError
from fxsim.mutation.children import NEVER, POLL_SECONDS, Stop
from fxsim.mutation.server import MODULES
from fxsim.process import run, running

_START_SECONDS_MAX = 300.0
_COMPILE_SECONDS_MAX = 120.0
_SOURCE = Path(__file__).resolve().parent / "preload.cpp"


class Ended(NamedTuple):
    """The end of a run: its exit status, negative for a signal; its processor seconds; whether it was given up."""

    status: int
    seconds: float
    given_up: bool


class Simulator:
    """One process of vvp, which runs one design at a time. ToolError where it does not start."""

    def __init__(
        self, environment: Mapping[str, str], library: str, modules: Sequence[str], folder: Path, stop: Stop = NEVER
    ) -> None:
        self._stack = contextlib.ExitStack()
        self._rest = b""
        plugin = _compile(folder)
        command = ["vvp", "-m", str(plugin), "-m", library, "sim.vvp", "-none"]
        own = {MODULES: json.dumps(list(modules))}
        self._log = folder / "vvp.txt"
        with self._log.open("wb") as log:
            self._process = self._stack.enter_context(
                running(
                    command, cwd=folder, env=os.environ | environment | own, stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, stderr=log,
                )
            )  # fmt: skip
        try:
            if self._answer(time.monotonic() + _START_SECONDS_MAX, stop) != {"ready": True}:
                raise self._broken()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it, and what it runs."""
        self._stack.close()

    def run(
        self, folder: Path, environment: Mapping[str, str], limit: float | None, seconds: float, stop: Stop = NEVER
    ) -> Ended:
        """Run the design sim.vvp in `folder` to its end, for `limit` processor seconds, and `seconds` by the clock."""
        request = {"folder": str(folder), "environment": dict(environment), "limit": limit}
        self._say(json.dumps(request))
        answer = self._answer(time.monotonic() + seconds, stop)
        if answer is None:
            self._say("")
            answer = self._answer(time.monotonic() + _START_SECONDS_MAX, stop)
        match answer:
            case {"status": int(status), "seconds": float(used), "given up": bool(given_up)}:
                return Ended(status, used, given_up)
        raise self._broken()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self._broken() from None

    def _answer(self, deadline: float, stop: Stop) -> dict[str, object] | None:
        """The next line it says; None where none comes in time. ToolError where it has ended."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._rest:
            stop.check()
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            if select.select([descriptor], [], [], min(left, POLL_SECONDS))[0]:
                piece = os.read(descriptor, 1 << 16)
                if not piece:
                    raise self._broken()
                self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        found = json.loads(line)
        return found if isinstance(found, dict) else {}

    def _broken(self) -> ToolError:
        words = " ".join(self._log.read_text(encoding="utf-8", errors="replace").split())[-300:]
        return ToolError(f"vvp with Python in it, which runs the testbenches, ended by itself: {words}")


def _compile(folder: Path) -> Path:
    """The module for vvp, compiled in `folder`; ToolError where there is no compiler, or it fails."""
    plugin = folder / "preload.so"
    compiler = os.environ.get("CXX", "g++")
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(plugin), str(_SOURCE), "-ldl"]
    try:
        found = run(command, timeout=_COMPILE_SECONDS_MAX, cwd=folder)
    except OSError:
        raise ToolError(
            f"'{compiler}' is missing, which joins Python and vvp: install the Debian package 'g++'"
        ) from None
    if found.returncode != 0:
        raise ToolError(f"'{compiler}' does not compile {_SOURCE.name}: {' '.join(found.stderr.split())[-300:]}")
    return plugin


class Simulators:
    """Simulators that are used again, of which each thread has its own for the time of a run. Closed at the end."""

    def __init__(self, environment: Mapping[str, str], library: str, modules: Sequence[str]) -> None:
        self._environment, self._library, self._modules = environment, library, modules
        self._stack = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._idle: list[Simulator] = []

    def close(self) -> None:
        """End all of them."""
        self._stack.close()

    @contextlib.contextmanager
    def one(self, stop: Stop = NEVER) -> Iterator[Simulator]:
        """A simulator for this thread, until the end of the block. What raised an error is not used again."""
        with self._lock:
            found = self._idle.pop() if self._idle else None
        if found is None:
            with self._lock:
                folder = self._stack.enter_context(temporary.folder("vvp"))
            found = Simulator(self._environment, self._library, self._modules, folder, stop)
            with self._lock:
                self._stack.callback(found.close)
        yield found
        with self._lock:
            self._idle.append(found)
