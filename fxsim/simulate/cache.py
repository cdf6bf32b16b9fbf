"""The kept simulators: a folder each, named by its key, holding the executable, its record and the build's log.

Beside them, in `runtime/`, the objects of Verilator's own library, which are the same for all designs.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

ENTRIES_MAX = 64
BYTES_MAX = 256 << 20

_FAILURES_MAX = 8
_RUNTIMES_MAX = 4


class Record(msgspec.Struct, frozen=True):
    """What an entry says of itself, in build.json."""

    executable_sha256: str
    rtl_sha256: str
    verilator: str
    compiler: str
    parameters: dict[str, int]
    seconds: float


def take(entry: Path, executable: Path) -> Record | None:
    """Copy an entry's executable out; None where there is no entry or its executable is not the one that was stored.

    Needs no lock: entries appear whole, and one that vanishes meanwhile is simply not there.
    """
    try:
        record = msgspec.json.decode((entry / "build.json").read_bytes(), type=Record)
        content = (entry / "simulate").read_bytes()
    except (OSError, msgspec.MsgspecError):
        return None
    if hashlib.sha256(content).hexdigest() != record.executable_sha256:
        return None
    executable.write_bytes(content)
    executable.chmod(0o755)
    # Used now: `prune` drops what was not used for longest. Not in a cache that is read-only.
    with contextlib.suppress(OSError):
        os.utime(entry / "build.json")
    return record


def store(entry: Path, executable: Path, log: Path, record: Record) -> None:
    """Add an entry, whole or not at all, in place of a damaged one. The caller holds the cache's lock."""
    with _new_folder(entry) as new:
        shutil.copy(executable, new / "simulate")
        shutil.copy(log, new / "build.log")
        (new / "build.json").write_bytes(msgspec.json.format(msgspec.json.encode(record)))


def take_runtime(entry: Path, into: Path) -> bool:
    """Copy the objects of Verilator's library to where make will find them; False where they are not all as stored."""
    try:
        hashes = msgspec.json.decode((entry / "objects.json").read_bytes(), type=dict[str, str])
        objects = {name: (entry / name).read_bytes() for name in hashes}
    except (OSError, msgspec.MsgspecError):
        return False
    if any(hashlib.sha256(content).hexdigest() != hashes[name] for name, content in objects.items()):
        return False
    for name, content in objects.items():
        (into / name).write_bytes(content)
    return True


def store_runtime(entry: Path, objects: list[Path]) -> None:
    """Keep the objects of Verilator's library, in place of damaged ones. The caller holds the cache's lock."""
    entry.parent.mkdir(exist_ok=True)
    with _new_folder(entry) as new:
        for path in objects:
            shutil.copy(path, new)
        hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in objects}
        (new / "objects.json").write_bytes(msgspec.json.encode(hashes))
    for stamp in _newest_first(entry.parent.glob("*/objects.json"))[_RUNTIMES_MAX:]:
        shutil.rmtree(stamp.parent, ignore_errors=True)


@contextlib.contextmanager
def _new_folder(entry: Path) -> Iterator[Path]:
    """A folder to fill, which becomes the entry when the block ends without an error."""
    with tempfile.TemporaryDirectory(prefix="new-", dir=entry.parent) as temporary:
        new = Path(temporary) / "entry"
        new.mkdir()
        yield new
        if entry.exists():
            entry.rename(Path(temporary) / "damaged")
        new.rename(entry)


def store_failure(cache: Path, key: str, log: Path) -> Path:
    """Keep the log of a failed build, among the last few; returns where."""
    folder = cache / "failed"
    folder.mkdir(exist_ok=True)
    kept = folder / f"{key}.log"
    shutil.copy(log, kept)
    for path in _newest_first(folder.iterdir())[_FAILURES_MAX:]:
        path.unlink()
    return kept


def prune(cache: Path) -> None:
    """Drop what interrupted builds left behind, and beyond the limits the entries unused for longest, but not the last.

    The caller holds the cache's lock.
    """
    for path in (*cache.glob("new-*"), *cache.glob("runtime/new-*")):
        shutil.rmtree(path, ignore_errors=True)
    size = 0
    stamps = _newest_first(cache.glob("*/build.json"))
    for count, stamp in enumerate(stamps):
        size += sum(path.stat().st_size for path in stamp.parent.iterdir())
        if count > 0 and (count >= ENTRIES_MAX or size > BYTES_MAX):
            shutil.rmtree(stamp.parent, ignore_errors=True)


def _newest_first(files: Iterable[Path]) -> list[Path]:
    return sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)
