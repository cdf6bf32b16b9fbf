"""Proofs that are kept in the cache, each under the hash of all that it rests on.

That is what was asked (netlist, model, schedule and the like, which whoever asks lists), the text of every part of this
package that a proof can use, and the versions of what computes and decides it. Whatever changes gives another name, so
that none is ever stale. A kept text begins with its own hash: one that is not as it was written counts as absent.
"""

import contextlib
import hashlib
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import msgspec
from filelock import FileLock

from fxsim.errors import FxsimError
from fxsim.formats import atomic_write
from fxsim.paths import cache_dir
from fxsim.private import check_private, make_private
from fxsim.simulate.sources import hash_parts

PROOF_BYTES_MAX = 16 << 20
PROOFS_MAX = 1024
PROOFS_BYTES_MAX = 1 << 28

NOT_USED = (
    "benchmark",
    "bridge",
    "certificate",
    "cli",
    "cocotb",
    "code_coverage",
    "coverage",
    "data",
    "fuzz",
    "golden",
    "lanes",
    "mutation",
    "networks",
    "rtl_lint",
    "signoff",
    "synthesis",
    "tables",
    "training",
    "vectors",
)
"""Rooms of the package that no proof can use, as they are above this one or beside it."""

_FORMAT = b"fxsim proof 1"
_PACKAGE = Path(__file__).resolve().parent.parent
_COMPUTING = ("numpy", "numba", "llvmlite", "msgspec", "bitwuzla")

T = TypeVar("T")


def hash_package(folder: Path = _PACKAGE) -> str:
    """Hash of every file of the package, by name, that a proof can use."""
    parts = []
    for path in sorted(folder.rglob("*")):
        room = path.relative_to(folder).parts[0]
        # A wheel carries the folders of other files inside the package: `_rtl`, `_golden`.
        other = room in NOT_USED or (room.startswith("_") and not room.startswith("__"))
        if not other and "__pycache__" not in path.parts and path.is_file():
            parts += [path.relative_to(folder).as_posix().encode(), path.read_bytes()]
    return hash_parts(*parts)


PACKAGE_SHA256 = hash_package()
"""Hash of the package as it was when this process loaded it."""


def find_versions() -> dict[str, str]:
    """Versions of what computes and decides proofs, by name; of Yosys and the simulator whoever runs them knows."""
    versions = {name: _version(name) for name in _COMPUTING}
    return versions | {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": platform.machine(),
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def find_key(kind: str, rests_on: Mapping[str, object]) -> str:
    """The name under which a proof is kept: the hash of its kind, of what it rests on, of the package and versions.

    `rests_on`: what JSON can hold, by name; bytes and named tuples among it. The same in another order is another name.
    """
    every = {"kind": kind, "rests on": rests_on, "package": PACKAGE_SHA256, "versions": find_versions()}
    return hash_parts(_FORMAT, msgspec.json.encode(every))


def take(key: str, wanted: type[T]) -> T | None:
    """The proof that is kept under a key; None where there is none, or it is not as it was written.

    ToolError where others could have written it.
    """
    text = take_text(_place(key), PROOF_BYTES_MAX)
    # The key stands inside, too: the file of another proof under this name is none of it.
    stated, _, content = (text or "").partition("\n")
    if stated != key:
        return None
    try:
        return msgspec.json.decode(content, type=wanted)
    except msgspec.DecodeError:
        return None


def keep(key: str, proof: object) -> None:
    """Keep a proof under a key. Where nothing can be written it is not kept, which costs time alone."""
    # What was loaded is no longer what lies there: nobody can say which of them proved it.
    if hash_package() != PACKAGE_SHA256:
        return
    with contextlib.suppress(OSError, FxsimError):
        text = f"{key}\n{msgspec.json.encode(proof).decode()}"
        keep_text(_place(key), text, PROOFS_MAX, PROOFS_BYTES_MAX)


def _place(key: str) -> Path:
    return cache_dir() / "proofs" / f"{key}.json"


def take_text(place: Path, bytes_max: int) -> str | None:
    """A kept text; None where there is none, or where it is not as it was written. ToolError as `check_private`."""
    check_private(place.parent)
    try:
        if place.stat().st_size > bytes_max:
            return None
        head, _, text = place.read_text(encoding="utf-8").partition("\n")
    except (OSError, UnicodeDecodeError):
        return None
    if head != f"; sha256 {hashlib.sha256(text.encode()).hexdigest()}":
        return None
    # Used now; not in a cache that is read-only.
    with contextlib.suppress(OSError):
        os.utime(place)
    return text


def keep_text(place: Path, text: str, entries_max: int, bytes_max: int) -> None:
    """Keep a text, its hash before it, and remove those of its suffix in the folder that were not used for longest.

    `entries_max`, `bytes_max`: how many texts stay, of how many bytes together. OSError where the folder cannot be.
    """
    folder = place.parent
    make_private(folder)
    with FileLock(folder / "lock"):
        with atomic_write(place) as file:
            file.write_text(f"; sha256 {hashlib.sha256(text.encode()).hexdigest()}\n{text}", encoding="utf-8")
        size = 0
        newest = sorted(folder.glob(f"*{place.suffix}"), key=lambda path: path.stat().st_mtime, reverse=True)
        for count, path in enumerate(newest):
            size += path.stat().st_size
            if count > 0 and (count >= entries_max or size > bytes_max):
                path.unlink(missing_ok=True)
