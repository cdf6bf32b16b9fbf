"""File lists (`.f`), as simulators read them: names of files, `+incdir+`, `+define+`, further lists, comments."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fxsim.errors import FileError
from fxsim.formats.text import plain_line_ends, read_bounded, short

BYTES_MAX = 1 << 20
"""Largest file list, in bytes."""
DEPTH_MAX = 8
"""Most lists inside each other."""
ENTRIES_MAX = 10_000
"""Most words of a list and those it names."""
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|(?:(?<=\s)|\A)#[^\n]*", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_DEFINE = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*\Z")


@dataclass
class FileList:
    """Entries of a list and of those it names, in their order; names are relative to the description's folder."""

    sources: list[str] = field(default_factory=list)
    include: list[str] = field(default_factory=list)
    defines: dict[str, str] = field(default_factory=dict)
    lists: list[str] = field(default_factory=list)


def read_file_list(where: str, base: Path, name: str) -> FileList:
    """The file list `name` below the folder `base`, and every list that it names.

    Names are relative to `base`, in lists after `-F` to the list's own folder, as simulators take them. FileError,
    which begins with `where`, for anything else in a list, what leads out of the folder, and lists inside each other
    without end.
    """
    found = FileList()
    _read(where, base, name, ".", found, [0], ())
    return found


def _read(
    where: str, base: Path, name: str, folder: str, found: FileList, count: list[int], above: tuple[str, ...]
) -> None:
    if name in above or len(above) >= DEPTH_MAX:
        raise FileError(f"{where}: '{name}' is named in itself, or more than {DEPTH_MAX} lists deep")
    found.lists.append(name)
    words = _words(base / name)
    place = f"{where}: {name}"
    for line, word in words:
        count[0] += 1
        if count[0] > ENTRIES_MAX:
            raise FileError(f"{place}: more than {ENTRIES_MAX:,} entries, the most that are read")
        at = f"{place}, line {line}"
        if word in ("-f", "-F"):
            _, inner = next(words, (line, ""))
            inner = _below(at, base, folder, inner)
            below = os.path.dirname(inner) or "." if word == "-F" else folder  # noqa: PTH120  # a name, no path here
            _read(where, base, inner, below, found, count, (*above, name))
        elif word.startswith("+incdir+"):
            for part in word.removeprefix("+incdir+").split("+"):
                found.include.append(_below(at, base, folder, part, is_folder=True))
        elif word.startswith("+define+"):
            for part in word.removeprefix("+define+").split("+"):
                key, _, value = part.partition("=")
                if not _DEFINE.match(key):
                    raise FileError(f"{at}: {short(key)!r} is no name of a macro")
                if found.defines.setdefault(key, value) != value:
                    raise FileError(f"{at}: the macro {key} is defined twice, as '{found.defines[key]}' and '{value}'")
        elif word[0] in "-+" or "$" in word or '"' in word:
            raise FileError(
                f"{at}: {short(word)!r}, expected names of files (no variables, no quotes), +incdir+, +define+, -f, -F"
            )
        elif (source := _below(at, base, folder, word)) not in found.sources:
            found.sources.append(source)


def _words(path: Path) -> Iterator[tuple[int, str]]:
    """Words of a list, with their lines; comments are left out."""
    data = plain_line_ends(str(path), read_bounded(path, BYTES_MAX, "a file list"))
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise FileError(f"{path}: is not UTF-8, expected a file list") from None
    text = _COMMENT.sub(lambda match: "\n" * match[0].count("\n") or " ", text)
    for number, line in enumerate(text.split("\n"), 1):
        if (control := _CONTROL.search(line)) is not None:
            raise FileError(f"{path}: line {number}: the control character {control[0]!r}, expected a file list")
        for word in line.split():
            yield number, word


def _below(where: str, base: Path, folder: str, name: str, is_folder: bool = False) -> str:
    kind = "folder" if is_folder else "file"
    if not name:
        raise FileError(f"{where}: a name is missing, expected a {kind}")
    joined = os.path.normpath(os.path.join(folder, name))  # noqa: PTH118  # not resolved
    if joined.startswith(("..", "/")):
        raise FileError(f"{where}: '{short(name)}' leads out of the folder {base}, expected one below it")
    path = base / joined
    try:
        is_there = path.is_dir() if is_folder else path.is_file()
    except OSError:
        is_there = False
    if not is_there:
        raise FileError(f"{where}: '{short(name)}' is no {kind} in {base}")
    if not path.resolve().is_relative_to(base.resolve()):
        raise FileError(f"{where}: '{short(name)}' is a link out of the folder {base}")
    return joined
