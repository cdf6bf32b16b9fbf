"""Files of a data set's folder: found, or missed in one clear message, and read within bounds."""

from pathlib import Path

from fxsim.errors import FileError


def printable(text: str, length: int = 80) -> str:
    """Text from a file, fit for a message of one line."""
    line = text[: length + 1].encode("unicode_escape").decode()
    return line if len(line) <= length else f"{line[:length]}..."


def check_folder(folder: Path, layout: str) -> None:
    """FileError unless `folder` is one; `layout` says what is expected in it."""
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "there is no such folder"
        raise FileError(f"{folder}: {what}, expected {layout}")


def check_files(folder: Path, names: tuple[str, ...], layout: str) -> None:
    """FileError unless `folder` holds regular files of these names; `layout` says what is expected in it."""
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise FileError(f"{folder}: has no file {', '.join(missing)}, expected {layout}")


def read_bounded(path: Path, limit: int) -> bytes:
    """The bytes of a file of at most `limit` bytes; FileError where it is longer or cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(content) > limit:
        raise FileError(f"{path}: is larger than {limit:,} bytes, expected at most that")
    return content
