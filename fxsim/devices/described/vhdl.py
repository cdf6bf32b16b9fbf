"""VHDL as Verilog, by GHDL's synthesis, so that the same simulator takes it. What was made is kept by its content."""

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from fxsim import temporary
from fxsim.devices.described.foreign import run_foreign
from fxsim.errors import FileError, ToolError
from fxsim.formats import atomic_write
from fxsim.formats.text import read_bounded, short
from fxsim.paths import VERILOG_BYTES_MAX, cache_dir
from fxsim.private import check_private, make_private
from fxsim.simulate.sources import hash_parts
from fxsim.simulate.tools import program_output

SUFFIXES = (".vhd", ".vhdl")
"""Endings of names of VHDL files."""
MADE = "fxsim_vhdl.v"
"""The name of the Verilog that was made."""
_SECONDS_MAX = 600
_KEPT_MAX = 64
_TEXT = re.compile(rb'--[^\n]*|/\*.*?\*/|"(?P<path>[^"\n]*)"(?P<more>\s*&)?', re.DOTALL)
"""Comments, and string literals; `more`: it is part of a longer text."""
_OPERATORS = (b"/", b"/=")
"""Operators, which VHDL names as strings where it declares them."""
_SHIFT = re.compile(rb"(\$signed\(\w+\)) >> ")
"""An arithmetic shift as GHDL 2.0 writes it, which Verilog takes for a logical one; of logical ones no sign is said."""


def refuse_two_languages(where: str, names: Iterable[str]) -> None:
    """FileError, which begins with `where`, where some of the sources are VHDL and others are not."""
    vhdl = [name for name in names if name.lower().endswith(SUFFIXES)]
    others = [name for name in names if name not in vhdl]
    if vhdl and others:
        raise FileError(
            f"{where}: {vhdl[0]} is VHDL and {others[0]} is not: expected one language, since GHDL makes Verilog of a "
            "whole design"
        )


def verilog_of(
    where: str, files: Mapping[str, bytes], sources: tuple[str, ...], top: str, generics: Mapping[str, int]
) -> bytes:
    """The Verilog of a VHDL top with these generics; `sources` in the order in which GHDL analyses them.

    `files` lie in the folder that GHDL runs in, by name: what the design reads as it is elaborated, ROMs above all, is
    what stands in them. ToolError, one line that begins with `where`, where there is no GHDL or it refuses the design;
    FileError where a source has the name of a file elsewhere: what stands there would be part of the design unseen.
    """
    for name in sources:
        _refuse_outside(f"{where}: sources: {name}", files[name])
    ghdl = shutil.which("ghdl")
    if ghdl is None:
        raise ToolError(f"{where}: GHDL is not installed, which makes Verilog of VHDL: expected 'ghdl' on the PATH")
    options = [f"-g{name}={value}" for name, value in generics.items()]
    words = ["--synth", "--std=08", "--out=verilog", *options, *sources, "-e", top]
    parts = (part for name in sorted(files) for part in (name.encode(), files[name]))
    key = hash_parts(_version(ghdl).encode(), _SHIFT.pattern, *(word.encode() for word in words), b"files", *parts)
    kept = cache_dir() / "ghdl" / f"{key}.v"
    if (made := _kept(kept)) is not None:
        return made
    with temporary.folder("ghdl") as folder:
        work, output = folder / "work", folder / "made"
        for name, content in files.items():
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        run_foreign(f"{where}: VHDL", [ghdl, *words], work, output, _SECONDS_MAX)
        made = _SHIFT.sub(rb"\1 >>> ", read_bounded(output, VERILOG_BYTES_MAX, "the Verilog that GHDL makes"))
    make_private(kept.parent)
    with atomic_write(kept) as path:
        path.write_bytes(_seal(made) + made)
    _prune(kept.parent)
    return made


def _refuse_outside(where: str, text: bytes) -> None:
    """FileError where a string literal is, or begins, a path that leads out of the folder GHDL runs in."""
    for match in _TEXT.finditer(text):
        path = match["path"]
        if path is None or (path in _OPERATORS and match["more"] is None):
            continue
        if path.startswith(b"/") or b".." in path.split(b"/"):
            line, shown = text.count(b"\n", 0, match.start()) + 1, short(path.decode("utf-8", "replace"))
            raise FileError(
                f"{where}, line {line}: '{shown}' names a file out of the description's folder, expected one that "
                "'files' or [[memory]] lists"
            )


@cache
def _version(ghdl: str) -> str:
    return program_output([ghdl, "--version"])


def _seal(made: bytes) -> bytes:
    return f"// {hashlib.sha256(made).hexdigest()}\n".encode()


def _kept(path: Path) -> bytes | None:
    """The Verilog that was made before, None where there is nothing or it is not what was written.

    ToolError where others can write to the cache: what is simulated would be theirs.
    """
    check_private(path)
    if not path.is_file():
        return None
    # Used now: `_prune` drops what was not used for longest. Not in a cache that is read-only.
    with contextlib.suppress(OSError):
        os.utime(path)
    seal, _, made = path.read_bytes().partition(b"\n")
    return made if seal + b"\n" == _seal(made) else None


def _prune(folder: Path) -> None:
    """Drop what was unused for longest, beyond the limit."""
    ages = {}
    for path in folder.glob("*.v"):
        with contextlib.suppress(FileNotFoundError):  # dropped by another process just now
            ages[path] = path.stat().st_mtime
    for path in sorted(ages, key=lambda path: -ages[path])[_KEPT_MAX:]:
        path.unlink(missing_ok=True)
