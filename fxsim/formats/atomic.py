"""Files that are either written whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fxsim.errors import FileError


def check_target(path: Path) -> None:
    """FileError unless a file may be placed at `path`: for those who want to know before a long computation."""
    # Replacing a folder fails, but replacing a device (`-o /dev/null`) would destroy it.
    if path.exists() and not path.is_file():
        raise FileError(f"cannot write {path}: it exists and is not a regular file")
    if not path.parent.is_dir():
        raise FileError(f"cannot write {path}: there is no folder {path.parent}")


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a new, empty file beside `path` to write to; it takes `path`'s name when the block ends without an error.

    Otherwise it is removed, and whatever `path` held before stays as it was. FileError where the folder does not exist,
    where `path` is something other than a regular file, or where the system refuses.
    """
    target = Path(path)
    check_target(target)
    temporary = target.with_name(f".{target.name[:200]}.{secrets.token_hex(6)}.tmp")
    try:
        # Exclusive, and with the permissions that the user's umask gives any new file.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise FileError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
