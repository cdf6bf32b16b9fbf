"""Results of mutants that are kept in the cache, each under the hash of all that it rests on: none is ever stale."""

import contextlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

import msgspec

from fxsim.errors import FxsimError
from fxsim.paths import cache_dir
from fxsim.prove.kept import find_versions, keep_text, take_text
from fxsim.simulate.sources import hash_parts

ENTRIES_MAX, BYTES_MAX, RESULT_BYTES_MAX = 4096, 16 << 20, 1 << 20
"""Results in each of 256 folders, of how many bytes together; and the most bytes of one."""
_FORMAT = b"fxsim mutant 2"
_ROOM = Path(__file__).resolve().parent

T = TypeVar("T")
_versions = cache(find_versions)


def _hash_files(names: tuple[str, ...]) -> str:
    return hash_parts(*(part for name in names for part in (name.encode(), (_ROOM / name).read_bytes())))


_RUNS = (
    "benches.py", "children.py", "judging.py", "parameters.py", "preload.cpp", "recorder.py", "server.py",
    "simulator.py", "../paths.py", "../process.py",
)  # fmt: skip
_PROOFS = (*_RUNS, "equivalence.py", "kinds.py", "verilog.py")
_PYTHON = ("children.py", "domains.py", "loaded.py", "python_run.py", "../process.py")
_FILES = {
    "bench": _RUNS, "mutant": _RUNS, "equivalence": _PROOFS,
    "lint": ("children.py", "judging.py", "lint.py", "parameters.py", "../simulate/tools.py"),
    "whole": ("children.py", "whole.py"),
}  # fmt: skip
_FILES |= dict.fromkeys(("python tests", "python mutant", "python domain"), _PYTHON)
"""Kind of result, and the files that it comes from: all that decides one, whoever draws mutants and writes records."""


@cache
def _loaded(kind: str) -> str:
    return _hash_files(_FILES[kind])


for _kind in _FILES:
    _loaded(_kind)  # as they are when this process loads them


def kept(
    kind: str, rests_on: Mapping[str, object], wanted: type[T], make: Callable[[], T], fresh: bool = False,
    unchanged: Callable[[], bool] = lambda: True,
) -> T:  # fmt: skip
    """The result that is kept of the same, or else the one that `make` gives, which is kept then.

    `rests_on`: all that it rests on beside versions of Python packages and the files of this room that give it, in what
    JSON can hold. `unchanged`: whether that is so still; a result is not kept where it is not.
    """
    every = {"kind": kind, "rests on": rests_on, "room": _loaded(kind), "versions": _versions()}
    key = hash_parts(_FORMAT, msgspec.json.encode(every, order="sorted"))
    place = cache_dir() / "mutants" / key[:2] / f"{key}.json"
    if not fresh:
        stated, _, content = (take_text(place, RESULT_BYTES_MAX) or "").partition("\n")
        if stated == key:
            with contextlib.suppress(msgspec.DecodeError):
                return msgspec.json.decode(content, type=wanted)
    made = make()
    with contextlib.suppress(OSError, FxsimError):
        if _hash_files(_FILES[kind]) == _loaded(kind) and unchanged():
            keep_text(place, f"{key}\n{msgspec.json.encode(made).decode()}", ENTRIES_MAX, BYTES_MAX)
    return made
