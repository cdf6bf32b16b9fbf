"""The kept simulators: a folder each, named by its key, holding the executable, its record and the build's log.

Beside them, in `runtime/`, the objects of Verilator's own library, which are the same for all designs, and in
`harness/` those of harnesses, which are the same for all designs of the same ports. Building happens elsewhere, as many
at a time as are asked for, each under its own lock in `building/`; what is kept is added and dropped under the cache's
one lock.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from fxsim.formats import atomic_write
from fxsim.private import check_private
from fxsim.temporary import naming_full

ENTRIES_MAX = 64
BYTES_MAX = 256 << 20

_FAILURES_MAX = 8
RUNTIMES_MAX = 4
HARNESSES_MAX = 128
_READS_MAX = 4 * ENTRIES_MAX


class Ingredients(msgspec.Struct, frozen=True):
    """All that a simulator is made of. `key`: hash of all of it; `reads`: hashes of the Verilog files read."""

    key: str
    reads: dict[str, str]
    parameters: dict[str, int]
    verilator: str
    compiler: str


class Record(msgspec.Struct, frozen=True):
    """The record of an entry, in build.json. `sha256`: of the record with an empty one in its place."""

    made_of: Ingredients
    executable_sha256: str
    seconds: float
    sha256: str = ""

    def sealed(self) -> "Record":
        """The record with its own hash."""
        plain = msgspec.structs.replace(self, sha256="")
        return msgspec.structs.replace(self, sha256=hashlib.sha256(msgspec.json.encode(plain)).hexdigest())


def take(entry: Path, executable: Path, made_of: Ingredients) -> Record | None:
    """Copy an entry's executable out; None where there is none, or where it is not what it should be made of.

    So is an entry whose record was altered, or whose executable is not the one that was stored. Needs no lock: entries
    appear whole, and one that vanishes meanwhile is simply not there. ToolError where others can write to the cache.
    """
    check_private(entry)
    try:
        record = msgspec.json.decode((entry / "build.json").read_bytes(), type=Record)
        content = (entry / "simulate").read_bytes()
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if record != record.sealed() or record.made_of != made_of:
        return None
    if hashlib.sha256(content).hexdigest() != record.executable_sha256:
        return None
    executable.write_bytes(content)
    executable.chmod(0o755)
    # Used now: `prune` drops what was not used for longest. Not in a cache that is read-only.
    with contextlib.suppress(OSError):
        os.utime(entry / "build.json")
    return record


def store(entry: Path, executable: Path, log: Path, made_of: Ingredients, seconds: float) -> None:
    """Add an entry, whole or not at all, in place of a damaged one. The caller holds the cache's lock."""
    record = Record(made_of, hashlib.sha256(executable.read_bytes()).hexdigest(), seconds).sealed()
    with _new_folder(entry) as new:
        shutil.copy(executable, new / "simulate")
        shutil.copy(log, new / "build.log")
        (new / "build.json").write_bytes(msgspec.json.format(msgspec.json.encode(record)))


def take_reads(cache: Path, base: str) -> tuple[str, ...] | None:
    """Names of the files that Verilator read, when last it was given all that `base` is the hash of; None if unknown.

    They say which entry to look for, and no more: what that is made of is checked against the files as they are.
    """
    try:
        return msgspec.json.decode((cache / "reads" / f"{base}.json").read_bytes(), type=tuple[str, ...])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def store_reads(cache: Path, base: str, names: tuple[str, ...]) -> None:
    """Keep the names of the files that Verilator read. The caller holds the cache's lock."""
    folder = cache / "reads"
    folder.mkdir(exist_ok=True)
    with atomic_write(folder / f"{base}.json") as file:
        file.write_bytes(msgspec.json.encode(names))
    for path in _newest_first(folder.glob("*.json"))[_READS_MAX:]:
        path.unlink()


def take_objects(entry: Path, into: Path) -> bool:
    """Copy the objects of an entry to where make will find them; False where they are not all as stored."""
    check_private(entry)
    try:
        hashes = msgspec.json.decode((entry / "objects.json").read_bytes(), type=dict[str, str])
        if any(Path(name).name != name for name in hashes):
            return False
        objects = {name: (entry / name).read_bytes() for name in hashes}
    except (OSError, msgspec.MsgspecError, ValueError):  # not UTF-8, or a name that no file can have
        return False
    if any(hashlib.sha256(content).hexdigest() != hashes[name] for name, content in objects.items()):
        return False
    for name, content in objects.items():
        (into / name).write_bytes(content)
    # Used now: those that were not used for longest are dropped. Not in a cache that is read-only.
    with contextlib.suppress(OSError):
        os.utime(entry / "objects.json")
    return True


def store_objects(entry: Path, objects: list[Path], most: int) -> None:
    """Keep objects, in place of damaged ones, among the last `most`. The caller holds the cache's lock."""
    entry.parent.mkdir(exist_ok=True)
    with _new_folder(entry) as new:
        for path in objects:
            shutil.copy(path, new)
        hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in objects}
        (new / "objects.json").write_bytes(msgspec.json.encode(hashes))
    for stamp in _newest_first(entry.parent.glob("*/objects.json"))[most:]:
        shutil.rmtree(stamp.parent, ignore_errors=True)


@contextlib.contextmanager
def _new_folder(entry: Path) -> Iterator[Path]:
    """A folder to fill, which becomes the entry when the block ends without an error."""
    with (
        naming_full(entry.parent, "FXSIM_CACHE in the environment names another place"),
        tempfile.TemporaryDirectory(prefix="new-", dir=entry.parent) as temporary,
    ):
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
    for path in (*cache.glob("new-*"), *cache.glob("*/new-*")):
        shutil.rmtree(path, ignore_errors=True)
    # One that is held and dropped all the same lets the same simulator be built twice, and no more.
    for path in _newest_first(cache.glob("building/*"))[_READS_MAX:]:
        path.unlink(missing_ok=True)
    size = 0
    stamps = _newest_first(cache.glob("*/build.json"))
    for count, stamp in enumerate(stamps):
        size += sum(path.stat().st_size for path in stamp.parent.iterdir())
        if count > 0 and (count >= ENTRIES_MAX or size > BYTES_MAX):
            shutil.rmtree(stamp.parent, ignore_errors=True)


def _newest_first(files: Iterable[Path]) -> list[Path]:
    return sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)
