"""A run of random networks in several processes: each draws every so many, and says in JSON what came of its own."""

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from fxsim.errors import ToolError
from fxsim.fuzz.result import FuzzResult, merge
from fxsim.process import run

_PROGRAM = (sys.executable, "-m", "fxsim", "fuzz")


def run_parts(arguments: Sequence[str], parts: int) -> FuzzResult:
    """The command `fxsim fuzz` with these arguments, shared out among so many processes.

    ToolError where one ends otherwise than with a result: a crash is a failure of the network that it had.
    """

    def part(number: int) -> FuzzResult:
        command = [*_PROGRAM, *arguments, "--part", f"{number}/{parts}", "--json"]
        done = run(command)
        if done.returncode not in (0, 1):
            raise ToolError(f"part {number} of {parts} ended with status {done.returncode}: {_end(done)}")
        try:
            return msgspec.json.decode(done.stdout, type=FuzzResult)
        except msgspec.DecodeError:
            raise ToolError(f"part {number} of {parts} gave no result: {_end(done)}") from None

    with ThreadPoolExecutor(parts) as pool:
        return merge(pool.map(part, range(parts)))


def _end(done: "subprocess.CompletedProcess[str]") -> str:
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
