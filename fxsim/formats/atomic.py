"""Files that are either written whole or not at all, and where an output's name leads."""

import fcntl
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from fxsim import temporary
from fxsim.errors import FileError

_LINKS_MAX = 40
"""Links that are followed, one to the next, as Linux does."""
_COPY_BYTES = 1 << 20

_reserved: int | None = None
"""The descriptor that standard output has become, where it was reserved."""


class _Target(NamedTuple):
    """An output's destination: `place`, a path or a descriptor's number; a `stream` is written into as it is."""

    place: Path | int
    stream: bool


def check_target(path: Path, streams: bool = True) -> None:
    """FileError unless a file may be written at `path`: for those who want to know before a long computation.

    Pipes and character devices may be, too; not without `streams`, for those who will write other files beside it.
    """
    if _follow(path).stream and not streams:
        raise FileError(f"cannot write {path}: it is a pipe or a device, and other files will lie beside it")


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a new, empty file to write to; it takes `path`'s name when the block ends without an error.

    Otherwise it is removed, and whatever `path` held before stays as it was. Links are followed: the file that the last
    one names is replaced, in its own folder. Pipes, character devices and descriptors (`/dev/stdout`, `/dev/fd/N`) are
    never replaced: when the block has ended, all bytes of the file are written into them. FileError where the folder
    does not exist, where `path` is a folder, a disk or a socket, or where the system refuses.
    """
    path = Path(path)
    target = _follow(path)
    try:
        if target.stream:
            with temporary.folder("output") as folder:
                made = folder / "output"
                made.touch()
                yield made
                # Where the stream takes no more, that is not for want of room in the folder.
                with _refusing(path):
                    _send(made, target.place)
            return
        assert isinstance(target.place, Path)
        made = temporary.beside(target.place)
        try:
            # Exclusive, and with the permissions that the user's umask gives any new file.
            os.close(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            yield made
            if _follow(path) != target:
                raise FileError(f"cannot write {path}: it became something else meanwhile")
            made.replace(target.place)
        finally:
            made.unlink(missing_ok=True)
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A temporary folder for the parts that `path` will be made of: on the same disk, in TMPDIR for a stream.

    FileError where a file may not be written at `path`, or there is no room for the folder.
    """
    target = _follow(path)
    try:
        if not isinstance(target.place, Path) or target.stream:
            with temporary.folder("parts") as made:
                yield made
            return
        made = temporary.beside(target.place)
        try:
            made.mkdir(mode=0o700)
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error


def reserve_output(path: Path) -> None:
    """Keep standard output for the file where `path` leads there: what is printed goes to standard error then.

    For a program, before it prints anything: its lines must not get into the file.
    """
    global _reserved
    if _reserved is None and _descriptor(path) == 1:
        sys.stdout.flush()
        _reserved = os.dup(1)
        os.dup2(2, 1)


def _follow(path: Path) -> _Target:
    """The place an output's name leads to, through all links. FileError where nothing may be written there."""
    number = _descriptor(path)
    if number is not None:
        with _refusing(path):
            _check_kind(path, os.fstat(number))
            if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
                raise FileError(f"cannot write {path}: it is open for reading only")
        return _Target(number, stream=True)
    place = list(_links(path))[-1]
    if not place.parent.is_dir():
        raise FileError(
            f"cannot write {path}: there is no folder {path.parent if not path.is_symlink() else place.parent}"
        )
    with _refusing(path):
        found = place.stat() if os.path.lexists(place) else None
    return _Target(place, stream=found is not None and _check_kind(path, found))


def _links(path: Path) -> Iterator[Path]:
    """A path and what it leads to, link by link, each without links in its folders; not further than to descriptors."""
    for _ in range(_LINKS_MAX):
        path = Path(os.path.realpath(path.parent)) / path.name
        yield path
        # A link among the descriptors only tells what was opened: it may have another name since, or none.
        if path.parent == _descriptors() or not path.is_symlink():
            return
        path = path.parent / path.readlink()
    raise FileError(f"cannot write {path}: more than {_LINKS_MAX} links lead on from there")


def _descriptors() -> Path:
    return Path(f"/proc/{os.getpid()}/fd")


def _descriptor(path: Path) -> int | None:
    """The number of the descriptor that a path leads to, as `/dev/stdout` does; None where it leads to none."""
    last = list(_links(path))[-1]
    return int(last.name) if last.parent == _descriptors() and last.name.isdecimal() else None


def _check_kind(path: Path, found: os.stat_result) -> bool:
    """Whether something that exists is a stream; FileError where it is neither that nor a regular file."""
    if stat.S_ISREG(found.st_mode):
        return False
    if stat.S_ISFIFO(found.st_mode) or stat.S_ISCHR(found.st_mode):
        return True
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFBLK: "a disk", stat.S_IFSOCK: "a socket"}
    kind = kinds.get(stat.S_IFMT(found.st_mode), "something else")
    raise FileError(f"cannot write {path}: it exists and is not a regular file, pipe or character device but {kind}")


def _send(made: Path, place: Path | int) -> None:
    """Write a file's bytes into a stream. Opening a pipe waits for its reader."""
    if place == 1 and sys.stdout is not None:
        sys.stdout.flush()
    if place == 1 and _reserved is not None:
        place = _reserved
    number = os.dup(place) if isinstance(place, int) else os.open(place, os.O_WRONLY | os.O_NOCTTY)
    with made.open("rb") as source, os.fdopen(number, "wb") as stream:
        shutil.copyfileobj(source, stream, _COPY_BYTES)


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from None
