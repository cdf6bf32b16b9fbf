"""Temporary files and folders that name their owner: what a killed process left behind, the next one removes.

A name holds `fxsim-PLACE-PID-START-`: which machine (since it was started, and which of its containers), which process,
and when that was started. Only what belongs to a process of this machine that is certainly gone is removed.
"""

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from fxsim.errors import FileError

_NAME_BYTES_MAX = 120
"""Bytes of a target's name that a temporary name repeats: names may have 255 in all."""
_FULL = (errno.ENOSPC, errno.EDQUOT)

_swept: set[str] = set()
"""Folders that this process has swept."""


@contextlib.contextmanager
def folder(what: str, parent: Path | None = None) -> Iterator[Path]:
    """A new folder until the end of the block: in `parent`, by default where TMPDIR says. `what` is part of its name.

    FileError where there is no room for it, or for what is written into it: it names the place and the way out.
    """
    where = Path(tempfile.gettempdir()) if parent is None else parent
    sweep(where)
    with naming_full(where, "TMPDIR in the environment names another place" if parent is None else "make room there"):
        made = Path(tempfile.mkdtemp(prefix=f"{_owner()}-{what}-", dir=where))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)


def beside(target: Path) -> Path:
    """A name for a hidden temporary file or folder next to `target`, which nobody has."""
    sweep(target.parent)
    name = os.fsdecode(os.fsencode(target.name)[:_NAME_BYTES_MAX])
    return target.with_name(f".{name}.{_owner()}-{secrets.token_hex(6)}.tmp")


@contextlib.contextmanager
def naming_full(place: Path, way_out: str) -> Iterator[None]:
    """Turns a disk that is full, which the system reports without a place, into a FileError that names `place`."""
    try:
        yield
    except OSError as error:
        written = error.filename2 or error.filename
        elsewhere = isinstance(written, str) and not Path(written).is_relative_to(place)
        if error.errno not in _FULL or elsewhere:
            raise
        raise FileError(f"no space is left in {place}: {error.strerror}; {way_out}") from error


def sweep(where: Path) -> None:
    """Remove what processes that were killed left in a folder; once a process, as it costs reading the folder."""
    if str(where) in _swept:
        return
    _swept.add(str(where))
    with contextlib.suppress(OSError), os.scandir(where) as entries:
        for entry in entries:
            if (match := _PATTERN.search(entry.name)) and _is_abandoned(entry, *match.groups()):
                with contextlib.suppress(OSError):
                    shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else Path(entry.path).unlink()


_PATTERN = re.compile(r"(?:^|\.)fxsim-([0-9a-f]{12})-([0-9]{1,10})-([0-9]{1,20})-")


def _is_abandoned(entry: os.DirEntry[str], place: str, pid: str, start: str) -> bool:
    """Whether an entry is ours, and its owner's process is gone."""
    if place != _place() or not place.strip("0") or entry.stat(follow_symlinks=False).st_uid != os.geteuid():
        return False
    try:
        # Nothing is sent: it asks whether there is such a process.
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return _start(int(pid)) not in (None, int(start))


@cache
def _owner_of(pid: int) -> str:
    return f"fxsim-{_place()}-{pid}-{_start(pid) or 0}"


def _owner() -> str:
    return _owner_of(os.getpid())


@cache
def _place() -> str:
    """The scope of process numbers: this start of this machine's system, this container. Zeros: not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
        container = Path("/proc/self/ns/pid").stat()
    except OSError:
        return "0" * 12
    return hashlib.sha256(boot + f"{container.st_dev} {container.st_ino}".encode()).hexdigest()[:12]


def _start(pid: int) -> int | None:
    """Time at which a process was started, in ticks since the system was; None where that is not known."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # Its name, in parentheses, may hold anything; the start is the 20th field after it. See proc(5).
    return int(text.rpartition(b")")[2].split()[19])
