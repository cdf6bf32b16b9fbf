"""Verilog sources of a simulator: those of a folder, what they include of it, and which of them Verilator read."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fxsim.errors import ToolError
from fxsim.formats.text import read_bounded
from fxsim.paths import VERILOG_BYTES_MAX, verilog_files

_INCLUDE = re.compile(rb'`include\s+["<]([^">\n]+)[">]')
_NO_CODE = re.compile(
    # Comments, texts (also of macros: `" holds `\\`"), and escaped identifiers, which end at a space and hold anything.
    rb"//[^\n]*|/\*.*?\*/"
    rb'|"""(?:\\.|[^\\])*?"""|"(?:`\\`"|\\.|[^"\\\n])*"'
    rb"|\\\S+",
    re.DOTALL,
)
_CPP = re.compile(rb"`systemc_\w+|\$c(?:pure)?\d*(?![\w$])")
_DEPENDENCY = re.compile(r"(?:\\.|\S)+")
_READ = re.compile(r'^S\s.*"([^"]*)"$', re.MULTILINE)


@dataclass(frozen=True)
class Sources:
    """Files of a folder by name relative to it, in order of names. A simulator is built from these very bytes."""

    folder: Path
    files: dict[str, bytes]

    @property
    def sha256(self) -> str:
        """Hash of all names and contents."""
        parts = (part for name, content in self.files.items() for part in (name.encode(), content))
        return hash_parts(*parts)

    @property
    def folders(self) -> list[str]:
        """Every folder that holds one of the files, relative to the folder; `.` is the folder itself."""
        return sorted({str(PurePosixPath(name).parent) for name in self.files})

    def file_of(self, module: str) -> str:
        """Name of the file of a module; ToolError where there is none."""
        for name in self.files:
            if PurePosixPath(name).name in (f"{module}.v", f"{module}.sv"):
                return name
        raise ToolError(f"the RTL folder {self.folder} has no {module}.v")

    def hashes(self, names: tuple[str, ...]) -> dict[str, str] | None:
        """Hash of each of these files, in order of names; None where one is not there."""
        if any(name not in self.files for name in names):
            return None
        return {name: hashlib.sha256(self.files[name]).hexdigest() for name in sorted(names)}

    def code(self, name: str) -> bytes:
        """A file without comments and texts, its lines as they were."""
        return _NO_CODE.sub(lambda match: b"\n" * match[0].count(b"\n"), self.files[name])

    def refuse_cpp(self, names: Iterable[str]) -> None:
        """ToolError where one of these files holds C++ ($c, `systemc_header): it may include what no hash covers."""
        for name in names:
            code = self.code(name)
            if (found := _CPP.search(code)) is not None:
                line = code.count(b"\n", 0, found.start()) + 1
                raise ToolError(
                    f"{self.folder / name}:{line} has {found[0].decode()}, C++ in the Verilog, which may include files "
                    "that no hash of the build covers: expected Verilog alone"
                )

    def write(self, folder: Path) -> None:
        """Write every file into a folder that is not there yet."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def hash_parts(*parts: bytes) -> str:
    """Hash of a sequence of byte strings; lengths go in too, so that no two sequences run together the same."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def read_sources(folder: Path) -> Sources:
    """Every Verilog file in a folder and below it, and whatever else of the folder they include by name.

    Links are followed: the content behind them counts. ToolError where a file cannot be read, where there is more than
    a design can be, or where an include means two files.
    """
    files: dict[str, bytes] = {}
    left = VERILOG_BYTES_MAX

    def read(name: str) -> bytes:
        nonlocal left
        try:
            with (folder / name).open("rb") as file:
                content = file.read(left + 1)
        except OSError as error:
            raise ToolError(f"{folder / name} cannot be read: {error.strerror or error}") from None
        left -= len(content)
        if left < 0:
            raise ToolError(
                f"the Verilog folder {folder} has more than {VERILOG_BYTES_MAX:,} bytes, the most that is read"
            )
        return content

    pending = list(verilog_files(folder))
    folders = {str(PurePosixPath(name).parent) for name in pending}
    while pending:
        name = pending.pop()
        if name in files:
            continue
        files[name] = read(name)
        for included in _INCLUDE.findall(files[name]):
            pending += _included(folder, folders, name, included.decode(errors="replace"))
    return Sources(folder, dict(sorted(files.items())))


def read_listed(folder: Path, names: Iterable[str], include: Iterable[str]) -> Sources:
    """These files of a folder, and every file that lies in one of its `include` folders or is included by name.

    ToolError where a file cannot be read, or where there is more than a design can be.
    """
    files: dict[str, bytes] = {}
    pending = list(names)
    pending += [
        path.relative_to(folder).as_posix()
        for place in include
        for path in sorted((folder / place).iterdir())
        if path.is_file()
    ]
    folders = {str(PurePosixPath(name).parent) for name in pending} | set(include)
    left = VERILOG_BYTES_MAX
    while pending:
        name = pending.pop()
        if name in files:
            continue
        if not (folder / name).resolve().is_relative_to(folder.resolve()):
            raise ToolError(f"{folder / name} is a link out of the folder {folder}")
        files[name] = read_bounded(folder / name, left, "a file of a design")
        left -= len(files[name])
        for included in _INCLUDE.findall(files[name]):
            pending += _included(folder, folders, name, included.decode(errors="replace"))
    return Sources(folder, dict(sorted(files.items())))


def _included(folder: Path, folders: set[str], reader: str, name: str) -> Iterator[str]:
    """The file of the folder that an include means, if any: Verilator says so of those that are not there."""
    places = {os.path.normpath(os.path.join(place, name)) for place in (*folders, ".")}  # noqa: PTH118  # not resolved
    found = sorted(p for p in places if not p.startswith(("..", "/")) and (folder / p).is_file())
    if len(found) > 1:
        raise ToolError(
            f'the Verilog folder {folder} has "{name}" twice, which {reader} includes: {" and ".join(found)}'
        )
    yield from found


def files_read(listing: Path, sources: Sources, top: str, own: Path) -> tuple[str, ...]:
    """Names of the sources that Verilator read, from its own list of a build (`obj/*__verFiles.dat`).

    It ran beside the sources' copy in the folder `rtl`. `own`: the folder that Verilator is installed in, whose version
    says what lies there. ToolError where it read anything else: no hash would cover that.
    """
    try:
        text = listing.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise ToolError(f"Verilator's list of the files it read cannot be read: {error.strerror or error}") from None
    names = set()
    for path in _READ.findall(text):
        if path.startswith("/") and Path(path).resolve().is_relative_to(own.resolve()):
            continue
        name = os.path.normpath(path)
        if not name.startswith("rtl/") or (name := name.removeprefix("rtl/")) not in sources.files:
            raise ToolError(
                f"the Verilog reads {path}, which is not in the folder {sources.folder}: expected that all it includes "
                "lies there"
            )
        names.add(name)
    if sources.file_of(top) not in names:
        raise ToolError(f"Verilator's list of the files it read does not have the top {sources.file_of(top)}")
    return tuple(sorted(names))


def compiled_from(listing: Path) -> set[str]:
    """Names of the files that the compiler read for one object, as its own list (`-MMD`) has them."""
    text = listing.read_text(encoding="utf-8", errors="surrogateescape")
    _, _, listed = text.replace("\\\n", " ").partition(": ")
    return {re.sub(r"\\(.)", r"\1", name).replace("$$", "$") for name in _DEPENDENCY.findall(listed)}


def refuse_headers(work: Path, sources: Sources, own: Path, taken: set[str]) -> None:
    """ToolError where the compiler read a file that no hash covers, from its own lists of a build (`obj/*.d`).

    The folder of the build, `work`, holds what Verilator and the harness are; `own` is the folder that Verilator is
    installed in. Headers of the system, which go with the compiler's version, are not on the lists. `taken` are
    objects, by name without suffix, that another build compiled, which looked at their lists.
    """
    obj = work / "obj"
    lists = {path.stem: path for path in obj.glob("*.d") if path.name != "Vdut__ver.d"}
    for path in obj.glob("*.o"):
        # Verilator's own library may be from another build, whose lists were looked at.
        if path.stem not in {*lists, *taken} and not path.name.startswith("verilated"):
            raise ToolError(
                f"the compiler gave no list of the files that it read for {path.name}, expected {path.stem}.d"
            )
    names = {name for path in lists.values() for name in compiled_from(path)}
    ours = (work.resolve(), obj.resolve())
    for name in sorted(names):
        path = (obj / name).resolve()
        if path.parent not in ours and not path.is_relative_to(own.resolve()):
            raise ToolError(
                f"C++ in the Verilog of {sources.folder} includes {name}, which no hash of the build covers: expected "
                "Verilog alone"
            )
