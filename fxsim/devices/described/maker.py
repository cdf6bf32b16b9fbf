"""Files that a description's own command makes from the model: ROM contents in whatever form a design wants them."""

import os
from collections.abc import Mapping
from pathlib import Path

from fxsim import temporary
from fxsim.devices.described.foreign import run_foreign
from fxsim.errors import FileError
from fxsim.formats import save
from fxsim.formats.text import read_bounded
from fxsim.graph import Model

SECONDS_MAX = 300
"""Longest that the command may run."""
BYTES_MAX = 1 << 28
"""Most bytes of all files that it makes."""
FILES_MAX = 10_000
"""Most files that it makes."""


def make_files(where: str, command: tuple[str, ...], files: Mapping[str, bytes], model: Model) -> dict[str, bytes]:
    """The files that a command writes, by name.

    It runs in a folder of its own, in which `files` lie, with two more words: the model's file, and the folder that it
    is to write into; where it has the words `{model}` or `{folder}`, in place of these. ToolError, one line that begins
    with `where`, where it fails or does not end; FileError where it writes nothing, links, or more than the bounds.
    """
    with temporary.folder("command") as folder:
        work, target, model_file = folder / "work", folder / "made", folder / "model.safetensors"
        work.mkdir()
        target.mkdir()
        save(model, model_file)
        for name, content in files.items():
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        given = {"{model}": str(model_file), "{folder}": str(target)}
        words = [given.get(word, word) for word in command]
        words += [] if given.keys() & {*command} else given.values()
        run_foreign(f"{where}: command", words, work, folder / "said", SECONDS_MAX)
        return _read(f"{where}: command", target)


def _read(where: str, target: Path) -> dict[str, bytes]:
    made: dict[str, bytes] = {}
    left = BYTES_MAX
    for place, folders, names in os.walk(target):
        for name in sorted((*folders, *names)):
            path = Path(place) / name
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise FileError(f"{where}: it made '{path.relative_to(target)}', which is no plain file")
        for name in sorted(names):
            path = Path(place) / name
            if len(made) >= FILES_MAX:
                raise FileError(f"{where}: it made more than {FILES_MAX:,} files")
            size = path.stat().st_size
            if size > left:
                raise FileError(f"{where}: it made more than {BYTES_MAX:,} bytes, the most that is taken")
            content = read_bounded(path, size, "the files that a command makes")
            left -= len(content)
            made[path.relative_to(target).as_posix()] = content
    if not made:
        raise FileError(f"{where}: it wrote no file into the folder that its last word names")
    return dict(sorted(made.items()))
