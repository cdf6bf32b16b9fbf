"""Numba functions compiled once a machine: the code is kept on disk, and taken only as it was put there."""

import contextlib
import hashlib
import inspect
import logging
import platform
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import llvmlite
import llvmlite.binding
import msgspec
import numba
import numpy as np

from fxsim.paths import cache_dir

# Numba makes its settings' attributes as it starts, out of a type checker's sight.
_config: Any = numba.config

_compiling = threading.Lock()
"""Held while numba's one setting for its cache folder is another than the user's."""

_log = logging.getLogger("fxsim")
"""Says what takes seconds and happens once; the command line shows it."""

_HASHES = "sha256.json"
"""In a folder of the cache: what its files' bytes are."""


def compile_function(function: Callable[..., None], signature: Any, what: str = "") -> Callable[..., None]:
    """`function` as machine code for one signature: from the cache on disk, or compiled now (seconds) and put there.

    `what` it is, for whoever waits: where it is named, a line is logged before it is compiled. The code runs without
    the interpreter lock. All that is compiled, what `function` calls too, must be in the folder of its module's file:
    the text of every module there is part of the cache's key.

    What is in the cache is taken only where every byte is as it was put there: nothing else would notice a damaged one,
    and machine code that is a bit off may compute something else. Where the cache folder cannot be written, it is
    compiled in every process.
    """
    # Numba numbers record types as they come in a process, and names machine code by these numbers: code of different
    # processes may have one name, and be taken for each other's.
    assert "Record(" not in str(signature), "record types cannot be told apart between processes"
    folder = cache_dir() / "numba" / _cache_key(function, signature)
    if not _can_write(folder):
        _announce(what, f"each time, as nothing can be written to {folder}")
        return _compile(function, signature, cached=False)
    # Suppressed: the disk may be full, or know no locks. Then the cache is as good as absent.
    with contextlib.suppress(OSError, NotImplementedError), filelock.FileLock(f"{folder}.lock"):
        return _compile_cached(function, signature, folder, what)
    _announce(what, f"each time, as the cache cannot be kept in {folder}")
    return _compile(function, signature, cached=False)


def _announce(what: str, how_often: str) -> None:
    if what:
        _log.info("compiling %s (%s)", what, how_often)


def _compile_cached(function: Callable[..., None], signature: Any, folder: Path, what: str = "") -> Callable[..., None]:
    """From the folder or into it; the caller holds its lock."""
    stated = folder / _HASHES
    try:
        hashes = msgspec.json.decode(stated.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        hashes = {}
    if hashes != _hash_files(folder):
        for entry in folder.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        hashes = {}
    if not hashes:
        _announce(what, "some seconds, once on this machine")
    with _compiling:
        before = _config.CACHE_DIR
        _config.CACHE_DIR = str(folder)
        try:
            compiled = _compile(function, signature, cached=True)
        finally:
            _config.CACHE_DIR = before
    if (now := _hash_files(folder)) != hashes:
        stated.write_bytes(msgspec.json.encode(now))
    return compiled


def _hash_files(folder: Path) -> dict[str, str]:
    """sha256 of every file of numba's in a cache folder, by path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / _HASHES)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _compile(function: Callable[..., None], signature: Any, cached: bool) -> Callable[..., None]:
    compiled: Callable[..., None] = numba.njit([signature], nogil=True, cache=cached)(function)
    return compiled


def _cache_key(function: Callable[..., None], signature: Any) -> str:
    """Everything that the machine code depends on, hashed: its source, its types, the compiler, the processor."""
    features = llvmlite.binding.get_host_cpu_features()
    parts = (
        *_source_hashes(Path(inspect.getfile(function)).parent),
        function.__qualname__,
        str(signature),
        numba.__version__,
        llvmlite.__version__,
        np.__version__,
        platform.python_version(),
        platform.machine(),
        llvmlite.binding.get_host_cpu_name(),
        features.flatten(),
        str(_config.CPU_NAME),
        str(_config.CPU_FEATURES),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def _source_hashes(folder: Path) -> list[str]:
    """Every module of a folder, by name, with the hash of its text."""
    return [f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in sorted(folder.glob("*.py"))]


def _can_write(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True
