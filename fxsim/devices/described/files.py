"""Files that a description lists: names and globs below its folder, which lead nowhere else."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fxsim.devices.described.description import Description
from fxsim.devices.described.filelist import read_file_list
from fxsim.devices.described.findings import Findings
from fxsim.errors import FileError
from fxsim.formats.text import short


@dataclass(frozen=True)
class Listed:
    """Names of files below the folder of a description: sources in order, files that it reads, include folders.

    `lists`: file lists that sources came from. `defines`: macros, of the description and of its lists.
    """

    sources: tuple[str, ...]
    files: tuple[str, ...]
    include: tuple[str, ...]
    lists: tuple[str, ...]
    defines: dict[str, int | str]


def listed_files(path: Path, base: Path, description: Description, findings: Findings) -> Listed | None:
    """The files that a description lists below the folder `base`.

    A name or glob that means no file, or one outside the folder, is a finding; None where there was one.
    """
    before = len(findings.problems)
    found: dict[str, dict[str, None]] = {"sources": {}, "files": {}, "include": {}, "lists": {}}
    defines = dict(description.defines)
    for key, patterns in (("sources", description.source_names), ("files", description.files)):
        for pattern in patterns:
            with findings.part():
                for name in _matches(f"{path}: {key}", base, pattern):
                    if key == "files" or not name.endswith(".f"):
                        found[key][name] = None
                        continue
                    listed = read_file_list(f"{path}: sources", base, name)
                    found["sources"] |= dict.fromkeys(listed.sources)
                    found["include"] |= dict.fromkeys(listed.include)
                    found["lists"] |= dict.fromkeys(listed.lists)
                    for macro, value in listed.defines.items():
                        if str(defines.setdefault(macro, value)) != value:
                            raise FileError(
                                f"{path}: sources: {name} defines {macro} as '{value}', and the description or another "
                                f"list as '{defines[macro]}'"
                            )
    for folder in description.include:
        with findings.part():
            if folder.startswith("/") or ".." in Path(folder).parts or not _is_folder(base / folder):
                raise FileError(f"{path}: include: '{short(folder)}' is no folder in {base}")
    if len(findings.problems) > before:
        return None
    include = tuple(dict.fromkeys((*description.include, *found["include"])))
    return Listed(tuple(found["sources"]), tuple(found["files"]), include, tuple(found["lists"]), defines)


def _matches(where: str, base: Path, pattern: str) -> Iterator[str]:
    """Names of the files that a name or glob means; FileError where there is none, or it leads out of the folder."""
    parts = Path(pattern).parts
    if pattern.startswith("/") or ".." in parts:
        raise FileError(f"{where}: '{pattern}' leads out of the folder {base}, expected one below it")
    if not parts:
        raise FileError(f"{where}: '{pattern}' means the folder {base} itself, expected files in it, e.g. '*.sv'")
    if bad := [part for part in parts if "**" in part and part != "**"]:
        raise FileError(
            f"{where}: '{short(pattern)}' has '{short(bad[0])}', expected '*' within a name, or '**' alone for folders "
            "at any depth, e.g. '**/*.sv'"
        )
    try:
        matches = sorted(match for match in base.glob(pattern) if match.is_file())
    except OSError as error:
        raise FileError(f"{where}: '{short(pattern)}' cannot be looked for: {error.strerror or error}") from None
    if not matches:
        raise FileError(f"{where}: '{short(pattern)}' means no file in {base}")
    for match in matches:
        if not match.resolve().is_relative_to(base.resolve()):
            raise FileError(f"{where}: {match} is a link out of the folder {base}")
        yield match.relative_to(base).as_posix()


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False
