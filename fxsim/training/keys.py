"""One hash of all that a result depends on: it is used again, or gone on from, only where nothing changed."""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path

import msgspec

import fxsim
from fxsim.errors import FileError
from fxsim.training.recipe import Recipe

_ROOMS = ("contract", "operators", "graph", "tables", "families", "formats", "data", "networks", "training")
"""Parts of fxsim whose code decides what training gives and how it is written."""
_PACKAGES = ("numba", "numpy", "pillow", "torch")
"""Others of which that is true."""


def content_key(recipe: Recipe, sections: tuple[str, ...], data_sha256: str, inputs: Mapping[str, Path]) -> str:
    """SHA-256 over the recipe's name and named sections, seed and threads, the data, input files, and all code.

    FileError where an input cannot be read.
    """
    content = {
        # Results state it.
        "name": recipe.name,
        "recipe": recipe.describe(*sections),
        "data": data_sha256,
        "inputs": {name: file_sha256(path) for name, path in inputs.items()},
        "code": code(),
    }
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes. FileError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None


def code(*rooms: str) -> dict[str, str]:
    """The code that decides what training gives: fxsim's, with these rooms too, its version and other packages'."""
    packages = {name: version(name) for name in _PACKAGES}
    return {"source": source_sha256(*rooms), "fxsim": fxsim.__version__, **packages}


@cache
def source_sha256(*rooms: str) -> str:
    """SHA-256 of fxsim's code that decides what training gives, and of these rooms."""
    digest = hashlib.sha256()
    root = Path(fxsim.__file__).parent
    for room in (*_ROOMS, *rooms):
        # A room that moved away would take its code out of every key, unnoticed.
        assert (root / room).is_dir(), f"fxsim has no room '{room}'"
        for path in sorted((root / room).rglob("*.py")):
            digest.update(f"\0{path.relative_to(root).as_posix()}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
