"""Results of mutants that are kept in the cache, each under the hash of all that it rests on: none is ever stale."""

import contextlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

import msgspec

from fxsim.errors import FxsimError
from fxsim.paths import cache_dir
from fxsim.prove.kept import PACKAGE_SHA256, find_versions, keep_text, take_text
from fxsim.simulate.sources import hash_parts

ENTRIES_MAX, BYTES_MAX, RESULT_BYTES_MAX = 4096, 16 << 20, 1 << 20
"""Results in each of 256 folders, of how many bytes together; and the most bytes of one."""
_FORMAT = b"fxsim mutant 1"
_ROOM = Path(__file__).resolve().parent

T = TypeVar("T")
_versions = cache(find_versions)


def _hash_room() -> str:
    files = sorted(_ROOM.glob("*.py"))
    return hash_parts(*(part for path in files for part in (path.name.encode(), path.read_bytes())))


ROOM_SHA256 = _hash_room()
"""Hash of this room, as it was when this process loaded it."""


def kept(kind: str, rests_on: Mapping[str, object], wanted: type[T], make: Callable[[], T], fresh: bool = False) -> T:
    """The result that is kept of the same, or else the one that `make` gives, which is kept then.

    `rests_on`: all that it rests on beside this package, its versions and this room, in what JSON can hold.
    """
    every = {
        "kind": kind, "rests on": rests_on, "package": PACKAGE_SHA256, "room": ROOM_SHA256, "versions": _versions(),
    }  # fmt: skip
    key = hash_parts(_FORMAT, msgspec.json.encode(every, order="sorted"))
    place = cache_dir() / "mutants" / key[:2] / f"{key}.json"
    if not fresh:
        stated, _, content = (take_text(place, RESULT_BYTES_MAX) or "").partition("\n")
        if stated == key:
            with contextlib.suppress(msgspec.DecodeError):
                return msgspec.json.decode(content, type=wanted)
    made = make()
    with contextlib.suppress(OSError, FxsimError):
        if _hash_room() == ROOM_SHA256:
            keep_text(place, f"{key}\n{msgspec.json.encode(made).decode()}", ENTRIES_MAX, BYTES_MAX)
    return made
