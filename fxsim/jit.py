"""Numba, and its functions compiled once a machine: the code is kept on disk, and taken only as it was put there.

Whoever needs Numba imports it from here: settings with which it cannot start or compile are refused in one line.
"""

import contextlib
import hashlib
import inspect
import logging
import os
import platform
import re
import shutil
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import filelock
import llvmlite
import llvmlite.binding
import msgspec
import numpy as np

from fxsim.errors import ToolError
from fxsim.paths import cache_dir
from fxsim.private import check_private, make_private

_UNREADABLE = r"Environment variable '(NUMBA_\w+)' is defined but its associated value '(.*)' could not be parsed"


def _check_threads() -> None:
    """Refuse, with ToolError, a number of threads with which Numba ends in a traceback as it is imported."""
    stated = os.environ.get("NUMBA_NUM_THREADS")
    with contextlib.suppress(ValueError):
        if stated is None or int(stated) >= 1:
            return
    raise ToolError(f"the environment variable NUMBA_NUM_THREADS is {stated!r}, expected a number of threads from 1 on")


_check_threads()
try:
    with warnings.catch_warnings():
        # Numba would show its own traceback, go on, and compile otherwise than asked.
        warnings.filterwarnings("error", "Environment variable 'NUMBA_", RuntimeWarning)
        import numba
        from numba import from_dtype, njit, typeof, types
        from numba.core import cgutils
        from numba.extending import intrinsic
except RuntimeWarning as warning:
    if (_found := re.match(_UNREADABLE, str(warning), re.DOTALL)) is None:
        raise
    raise ToolError(
        f"the environment variable {_found[1]} is {_found[2]!r}, which Numba cannot read: correct or unset it"
    ) from None

# Numba makes its settings' attributes as it starts, out of a type checker's sight.
config: Any = numba.config
"""Numba's settings."""

_WITHOUT_EFFECT = {
    "CACHE_DIR", "CACHE_LOCATOR_CLASSES", "DEBUG_CACHE", "GDB_BINARY", "NUMBA_DEFAULT_NUM_THREADS", "NUMBA_NUM_THREADS",
}  # fmt: skip
"""Settings of Numba that do not change the code that it generates; all others are part of the cache's key."""

_KNOWN_PACKAGES = {"llvmlite", "numba", "numpy", *sys.stdlib_module_names}
"""Packages whose functions compiled code may be made of: their versions are part of the cache's key."""

_compiling = threading.Lock()
"""A lock, held while Numba's settings for its cache folder, one for all threads, are others than the user's."""

_log = logging.getLogger("fxsim")
"""The log that says what takes seconds and happens once; the command line shows it."""

_HASHES = "sha256.json"
"""The file, in a folder of the cache, that states what the others' bytes are."""


def compile_function(function: Callable[..., None], signature: Any, what: str = "") -> Callable[..., None]:
    """`function` as machine code for one signature: from the cache on disk, or compiled now (seconds) and put there.

    `what` it is, for whoever waits: where it is named, a line is logged before it is compiled. The code runs without
    the interpreter lock. All that is compiled, what `function` calls too, must be in the folder of its module's file:
    the text of every module there is part of the cache's key, as are Numba's settings. ToolError where the environment
    forbids compiling (NUMBA_DISABLE_JIT).

    What is in the cache is taken only where every byte is as it was put there: nothing else would notice a damaged one,
    and machine code that is a bit off may compute something else. Where the cache folder cannot be written, it is
    compiled in every process; where others can write to it, ToolError.
    """
    # Numba numbers record types as they come in a process, and names machine code by these numbers: code of different
    # processes may have one name, and be taken for each other's.
    assert "Record(" not in str(signature), "record types cannot be told apart between processes"
    # As Numba does whenever it compiles: what the environment says now.
    config.reload_config()
    if config.DISABLE_JIT:
        raise ToolError(
            "the environment variable NUMBA_DISABLE_JIT is set, so that nothing can be compiled: unset it, or choose "
            "the reference engine"
        )
    folder = cache_dir() / "numba" / _cache_key(function, signature)
    writable = _can_write(folder)
    check_private(folder)
    if not writable:
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
    """Take the machine code of `function` from the folder, or compile it into the folder; the caller holds its lock."""
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
        before = config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES
        config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES = str(folder), "UserProvidedCacheLocator"
        try:
            compiled = _compile(function, signature, cached=True)
        finally:
            config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES = before
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
    folder = Path(inspect.getfile(function)).parent
    parts = (
        *_source_hashes(folder),
        *_constants(function, folder),
        function.__qualname__,
        str(signature),
        numba.__version__,
        llvmlite.__version__,
        np.__version__,
        platform.python_version(),
        platform.machine(),
        llvmlite.binding.get_host_cpu_name(),
        llvmlite.binding.get_host_cpu_features().flatten(),
        *_settings(),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def _source_hashes(folder: Path) -> list[str]:
    """Every module of a folder, by name, with the hash of its text."""
    return [f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in sorted(folder.glob("*.py"))]


def _settings() -> list[str]:
    """Every setting of Numba that may change the code that it generates, known to us or not."""
    return [
        f"{name}={value!r}"
        for name, value in sorted(vars(config).items())
        if name.isupper() and name not in _WITHOUT_EFFECT and isinstance(value, int | float | str | tuple | None)
    ]


def _constants(function: Callable[..., None], folder: Path) -> list[str]:
    """The numbers and texts that a function and all that it calls take from their modules, which they may import.

    AssertionError where a function called is neither in the folder, whose text is part of the key, nor of a known
    package: a change of it would go unnoticed.
    """
    constants: set[str] = set()
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [(function.__name__, function)]
    while waiting:
        name, value = waiting.pop()
        if _is_plain(value):
            constants.add(f"{name}={value!r}")
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, np.ndarray):
            constants.add(f"{name}={value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}")
        elif isinstance(value, tuple | list | set | frozenset):
            waiting += ((name, item) for item in value)
        elif isinstance(value, dict):
            waiting += ((name, item) for pair in value.items() for item in pair)
        # Behind a compiled function, or the maker of an instruction, is the function as it was written.
        written = getattr(value, "py_func", getattr(value, "_defn", value))
        kind = written if isinstance(written, FunctionType | type) else type(written)
        if isinstance(written, ModuleType) or kind.__module__.partition(".")[0] in _KNOWN_PACKAGES:
            if not isinstance(written, ModuleType):
                continue
            assert written.__name__.partition(".")[0] in _KNOWN_PACKAGES, f"{name}: import its functions by name"
            continue
        file = Path(inspect.getfile(kind))
        assert file.parent == folder, f"{name} of {file} is compiled, but not in {folder}: changes would go unnoticed"
        if isinstance(written, FunctionType):
            waiting += _names(written)
        elif isinstance(written, type):
            waiting += vars(written).items()
    return sorted(constants)


def _is_plain(value: Any) -> bool:
    """Whether a value is a number or a text, or made of nothing else."""
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, (*value.keys(), *value.values())))
    return isinstance(value, int | float | complex | str | bytes | np.generic | None)


def _names(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """The objects that the code of a function, and of functions within it, takes from its module and from around it."""
    codes: list[CodeType] = [function.__code__]
    for code in codes:
        codes += (item for item in code.co_consts if isinstance(item, CodeType))
        yield from ((name, function.__globals__[name]) for name in code.co_names if name in function.__globals__)
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    yield from ((name, cell.cell_contents) for name, cell in cells)
    yield from (("default", value) for value in function.__defaults__ or ())


def _can_write(folder: Path) -> bool:
    try:
        make_private(folder)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


__all__ = ["cgutils", "compile_function", "config", "from_dtype", "intrinsic", "njit", "numba", "typeof", "types"]
