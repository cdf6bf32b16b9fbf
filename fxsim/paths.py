"""The places of fxsim's own data and of its cache."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from fxsim.errors import FxsimError

_PACKAGE = Path(__file__).resolve().parent
VERILOG_BYTES_MAX = 64 << 20
"""Most bytes of a folder's Verilog: one that holds more is not the Verilog of a design."""

_VERILOG_SUFFIXES = (".v", ".vh", ".sv", ".svh")
_COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?(?:\*/|\Z)|"(?:\\.|[^"\\\n])*"?', re.DOTALL)
_UNDECODED = re.compile("[\ud800-\udfff]+")
_MODULE = re.compile(r"\b(?:macro)?module\s+(?:automatic\s+|static\s+)?([A-Za-z_][\w$]*)")


def rtl_dir() -> Path:
    """The folder of the Verilog sources; FxsimError where the installation lacks it."""
    return _own_dir("rtl")


def verilog_files(folder: Path) -> dict[str, Path]:
    """Every Verilog file in a folder and the folders below it, by its name relative to the folder, in order of names.

    Links to files and folders are followed, wherever they lead. FxsimError where two files have one name, or hold
    modules of one name: which one was meant, nobody can say. So where a link leads nowhere or back to a folder above.
    """
    paths = sorted(path for path in _walk(folder, (folder.resolve(),)) if path.suffix in _VERILOG_SUFFIXES)
    for path in paths:
        if not path.is_file():
            raise FxsimError(f"{path} is no file that can be read, expected Verilog or a link to it")
    if sum(path.stat().st_size for path in paths) > VERILOG_BYTES_MAX:
        raise FxsimError(
            f"the Verilog folder {folder} has more than {VERILOG_BYTES_MAX:,} bytes, the most that is read"
        )
    files = {path.relative_to(folder).as_posix(): path for path in paths}
    owners: dict[str, str] = {}
    for name, path in files.items():
        text = _COMMENT_OR_STRING.sub(" ", path.read_text(encoding="utf-8", errors="replace"))
        # A simulator that looks for a module opens the file of its name.
        own = [path.name] if path.suffix in (".vh", ".svh") else [f"module {path.stem}"]
        for owned in dict.fromkeys([*own, *(f"module {module}" for module in _MODULE.findall(text))]):
            if (other := owners.setdefault(owned, name)) != name:
                raise FxsimError(f"the Verilog folder {folder} has {owned} twice: in {other} and in {name}")
    return files


def _walk(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """All that is in a folder and below it, but for folders. `above`: where it and those above it really are."""
    try:
        content = list(folder.iterdir())
    except OSError as error:
        raise FxsimError(f"the Verilog folder {folder} cannot be read: {error.strerror or error}") from None
    for path in content:
        if not path.is_dir():
            yield path
            continue
        if (place := path.resolve()) in above:
            raise FxsimError(f"{path} is a link to {place}, a folder that it lies in")
        yield from _walk(path, (*above, place))


def verilog_file(folder: Path, name: str) -> Path:
    """A Verilog file by its name, with or without the folders above it; FxsimError where the folder has none."""
    for relative, path in verilog_files(folder).items():
        if relative == name or path.name == name:
            return path
    raise FxsimError(f"the Verilog folder {folder} has no {name}, expected all of a design's Verilog")


def golden_dir() -> Path:
    """The folder of the project's own models and vectors; FxsimError where the installation lacks it."""
    return _own_dir("golden")


def cache_dir() -> Path:
    """The folder for what can be made again, perhaps not there yet; FXSIM_CACHE in the environment overrides it."""
    override = os.environ.get("FXSIM_CACHE")
    return Path(override).absolute() if override else platformdirs.user_cache_path("fxsim", appauthor=False)


def readable(text: str) -> str:
    """Text that may hold file names, for people and for JSON: what Python could not decode in it is read as UTF-8.

    A name keeps its letters under a locale that has none; bytes that are no letters are shown as x and two digits,
    after a backslash.
    """
    return _UNDECODED.sub(lambda found: _decode(found[0]), text)


def _decode(undecoded: str) -> str:
    try:
        return undecoded.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return undecoded.encode("utf-8", "backslashreplace").decode()


def _own_dir(name: str) -> Path:
    """A wheel carries the folder inside the package; a clone has it beside the package."""
    candidates = (_PACKAGE / f"_{name}", _PACKAGE.parent / name)
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    tried = " or ".join(str(candidate) for candidate in candidates)
    raise FxsimError(f"the folder {name}/ is missing from this installation of fxsim: expected {tried}")
