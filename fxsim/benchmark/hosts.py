"""Processes that measure: this one, and others whose compiler may use less of the machine.

A lesser host is a process in which Numba generates code for an older processor, so that engines are compared as they
would be there. It lives as long as the measurement and is asked for one figure at a time, a line each way: rounds stay
interleaved, whatever the process.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec
import numpy as np
from msgspec import Struct

from fxsim import temporary
from fxsim.benchmark.contestants import Prepared, Track
from fxsim.benchmark.record import Contestant
from fxsim.contract.arithmetic import Int8
from fxsim.errors import FxsimError, ToolError
from fxsim.formats import load, save
from fxsim.graph import Model
from fxsim.process import running


class Lesser(Struct, frozen=True):
    """An older processor: its best instruction set, and the processor and features that Numba generates code for."""

    isa: str
    cpu: str
    features: str


LESSER = {
    "avx2": Lesser(
        "avx2",
        "haswell",
        "+avx2,+avx,+bmi,+bmi2,+fma,+popcnt,+sse4.2,+sse4.1,+ssse3,+sse3,+lzcnt,+movbe",
    ),
    "ssse3": Lesser("ssse3", "x86-64", "+sse2,+sse3,+ssse3"),
    "sse2": Lesser("plain", "x86-64", "+sse2"),
}
"""Lesser hosts by name, the greater first."""


def lesser_hosts(sets: tuple[str, ...]) -> dict[str, str]:
    """The hosts below a machine of these instruction sets, each with its best one."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return {}
    return {name: host.isa for name, host in LESSER.items() if host.isa in sets[1:]}


class Host(Protocol):
    """A process that measures contestants and roofs."""

    def prepare(self, who: Contestant) -> Prepared:
        """Prepare and check a contestant; see `Track`."""

    def measure(self, who: Contestant) -> float:
        """Time a contestant; see `Track`."""

    def measure_roof(self, kind: str, isa: str | None, threads: int) -> float:
        """Measure a roof; see `Track`."""


# --- Between the processes -------------------------------------------------------------------------------------------


class _Prepare(Struct, frozen=True, tag="prepare"):
    who: Contestant


class _Measure(Struct, frozen=True, tag="measure"):
    who: Contestant


class _Roof(Struct, frozen=True, tag="roof"):
    kind: str
    isa: str | None
    threads: int


class _Figure(Struct, frozen=True, tag="figure"):
    value: float


class _Standing(Struct, frozen=True, tag="standing"):
    prepared: Prepared


class _Failure(Struct, frozen=True, tag="failure"):
    message: str


_Request = _Prepare | _Measure | _Roof
_Reply = _Figure | _Standing | _Failure

_MODEL, _IMAGES = "model.safetensors", "images.npy"


class _Remote:
    """The other process, as seen from here."""

    def __init__(self, name: str, folder: Path, seconds: float, log: IO[bytes], ends: ExitStack) -> None:
        host = LESSER[name]
        self._name = name
        self._log = log
        environment = os.environ | {"NUMBA_CPU_NAME": host.cpu, "NUMBA_CPU_FEATURES": host.features}
        command = [sys.executable, "-m", "fxsim.benchmark.hosts", str(folder), str(seconds)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = ends.enter_context(running(command, stderr=log, env=environment, **pipes))

    def prepare(self, who: Contestant) -> Prepared:
        reply = self._ask(_Prepare(who))
        assert isinstance(reply, _Standing)
        return reply.prepared

    def measure(self, who: Contestant) -> float:
        return self._figure(_Measure(who))

    def measure_roof(self, kind: str, isa: str | None, threads: int) -> float:
        return self._figure(_Roof(kind, isa, threads))

    def _figure(self, request: _Request) -> float:
        reply = self._ask(request)
        assert isinstance(reply, _Figure)
        return reply.value

    def _ask(self, request: _Request) -> _Figure | _Standing:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = b""
        try:
            self._process.stdin.write(msgspec.json.encode(request) + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            pass  # it ended: what it said last is in the log
        if not line:
            self._log.seek(0)
            said = self._log.read().decode(errors="replace").strip().splitlines()
            raise ToolError(f"the process of host '{self._name}' ended: {said[-1] if said else 'it said nothing'}")
        reply: _Reply = msgspec.json.decode(line, type=_Reply)
        if isinstance(reply, _Failure):
            raise ToolError(f"host '{self._name}': {reply.message}")
        return reply


@contextmanager
def start_hosts(names: list[str], model: Model, images: Int8, seconds: float) -> Iterator[dict[str, Host]]:
    """The named lesser hosts, by name, until the end of the block."""
    if not names:
        yield {}
        return
    with temporary.folder("bench") as folder, ExitStack() as ends:
        save(model, folder / _MODEL)
        np.save(folder / _IMAGES, images)
        logs = {name: ends.enter_context((folder / f"{name}.log").open("w+b")) for name in names}
        yield {name: _Remote(name, folder, seconds, logs[name], ends) for name in names}


def _main() -> None:
    folder = Path(sys.argv[1])
    # What a library prints must not get between the lines.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    track = Track(load(folder / _MODEL), np.load(folder / _IMAGES, allow_pickle=False), float(sys.argv[2]))
    for line in sys.stdin.buffer:
        request = msgspec.json.decode(line, type=_Request)
        reply: _Reply
        try:
            match request:
                case _Prepare():
                    reply = _Standing(track.prepare(request.who))
                case _Measure():
                    reply = _Figure(track.measure(request.who))
                case _Roof():
                    reply = _Figure(track.measure_roof(request.kind, request.isa, request.threads))
        except FxsimError as error:
            reply = _Failure(str(error))
        replies.write(msgspec.json.encode(reply) + b"\n")
        replies.flush()


if __name__ == "__main__":
    _main()
