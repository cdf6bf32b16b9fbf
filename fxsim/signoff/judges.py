"""Files of the clone that judge beside fxsim's own code: testbenches and tests, and what decides which of them run."""

import hashlib
from pathlib import Path
from typing import Literal

from fxsim.errors import FxsimError
from fxsim.paths import rtl_dir

JudgeName = Literal["testbenches", "tests"]
"""A folder of the clone; its files' hash stands under that name in a record."""

_BESIDE = ("conftest.py", "pyproject.toml")
"""Files of the clone that say how pytest runs either folder."""


def clone_dir() -> Path:
    """The clone that fxsim's own Verilog lies in."""
    return rtl_dir().parent


def compiled_python(path: Path) -> bool:
    """Whether a path is what Python leaves of a file that it loaded."""
    return "__pycache__" in path.parts


def judge_files(name: JudgeName) -> dict[str, Path]:
    """Every file of a folder that judges, and what runs it, by its name in the clone; FxsimError where it is none."""
    root = clone_dir()
    if not (root / name).is_dir():
        raise FxsimError(f"{root / name} is missing: it is in a clone of fxsim alone")
    inside = (path for path in (root / name).rglob("*") if path.is_file())
    paths = [*inside, *(root / beside for beside in _BESIDE if (root / beside).is_file())]
    found = {path.relative_to(root).as_posix(): path for path in paths}
    return {name: path for name, path in sorted(found.items()) if not compiled_python(Path(name))}


def hash_judges(name: JudgeName) -> str:
    """The sha256 over names and content of all files of `judge_files`, as hexadecimal text."""
    total = hashlib.sha256()
    for inside, path in judge_files(name).items():
        with path.open("rb") as content:
            total.update(f"{inside}\0{hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()
