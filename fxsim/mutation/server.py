"""Python inside of vvp before it has a design: it loads what testbenches import, and forks a process for each run.

`preload.cpp` calls it. Requests come as lines of JSON on standard input, one at a time, and are answered on standard
output. An empty line, or the end of the input, ends the run that is under way.
"""

import contextlib
import gc
import importlib
import json
import os
import resource
import select
import signal
from typing import Any

MODULES = "FXSIM_MUTATION_MODULES"
"""The variable of the environment that has the modules to be loaded, in JSON."""
LOG = "log.txt"
"""The file in a run's folder that has what it prints."""
LOG_BYTES_MAX = 64 << 20
"""Bytes that a run may write into a file."""


def serve() -> None:
    """Fork a process for each request. The process returns from here into vvp, which then loads its design."""
    from cocotb.regression import RegressionManager

    # As cocotb does it before it imports a testbench.
    RegressionManager.setup_pytest_assertion_rewriting()
    for name in json.loads(os.environ[MODULES]):
        # What is missing is missed by the testbench that imports it.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    _say({"ready": True})
    while (line := _line()) is not None:
        if not line.strip():
            continue  # to end a run that has ended by itself
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(request)
            return
        _wait(child)
    os._exit(0)


def _become(request: dict[str, Any]) -> None:
    """Make this process the one that was asked for."""
    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LOG_BYTES_MAX, LOG_BYTES_MAX))
    if (limit := request["limit"]) is not None:
        seconds = int(limit) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


def _wait(child: int) -> None:
    """Wait for the end of a run, or end it when a line comes."""
    ended = os.pidfd_open(child)
    given_up = False
    try:
        readable, _, _ = select.select([ended, 0], [], [])
        if ended not in readable:
            os.kill(child, signal.SIGKILL)
            given_up = True
    finally:
        os.close(ended)
    _, status, used = os.wait4(child, 0)
    seconds = used.ru_utime + used.ru_stime
    _say({"status": os.waitstatus_to_exitcode(status), "seconds": seconds, "given up": given_up})


def _line() -> bytes | None:
    """The next line of standard input; None at its end. Nothing is read ahead, which a fork would have twice."""
    read = b""
    while not read.endswith(b"\n"):
        piece = os.read(0, 1)
        if not piece:
            return None
        read += piece
    return read


def _say(answer: dict[str, Any]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")
