"""The journal of a run: each check's result as it ends, so that a run that was ended, however, can be gone on with.

It lies beside the record as `signoff.journal` and goes once the record of a whole run is written. Its first line says
what all results rest on; those of a run are only taken where that is still the same, to the last byte and version.
"""

import fcntl
import hashlib
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Literal, get_args

import msgspec
from msgspec import Struct

import fxsim
from fxsim.errors import FileError, FxsimError
from fxsim.formats.text import refuse_repeated_keys
from fxsim.paths import rtl_dir
from fxsim.signoff.carry import Carried
from fxsim.signoff.context import FAILURES
from fxsim.signoff.environment import find_machine, find_tools
from fxsim.signoff.evidence import evidence_stands
from fxsim.signoff.files import decode_details, encode_details
from fxsim.signoff.judges import JudgeName, clone_dir, hash_judges
from fxsim.signoff.plan import Plan
from fxsim.signoff.record import REPLAY_SCRIPT, Status
from fxsim.simulate.sources import read_sources

JOURNAL = "signoff.journal"
_NEW = "signoff.journal.new"
_BYTES_MAX = 256 << 20
_NAMED_BYTES_MAX = 1 << 30
"""Most bytes of files that a plan names, together: a run that rests on more is not gone on with."""
_TAKEN = (Status.PASSED, Status.FAILED, Status.REPORTED)
"""Results that are taken: what could not be carried out, or was skipped, is tried again."""
_COMPARED = ("model", "stimulus", "published", "checkpoint", "original", "rtl", "waivers", *get_args(JudgeName))
"""The first words of hashes of what is compared before results are taken: what a plan names, and fxsim's own."""
_SETTINGS = ("FXSIM_", "NUMBA_")
_NO_MATTER = ("FXSIM_CACHE", "FXSIM_JOBS")
_UNBOUNDED = "too large"


class _Head(Struct, frozen=True, tag="head", forbid_unknown_fields=True):
    """The first line: what every result rests on, by name, and when the run began."""

    format: Literal["fxsim.signoff.journal"]
    version: Literal[1]
    started: str
    rests_on: dict[str, str]


class _Entry(Struct, frozen=True, tag="check", forbid_unknown_fields=True):
    """A check's result, and the seconds of the run so far."""

    carried: Carried
    seconds: float


class Journal:
    """A journal that is being written; `taken`: the results of an earlier run that are gone on with, by name.

    `started`, `seconds`: when the first run began, and how long those before took. `dropped`: whether an earlier run
    had left one that is not gone on with, `resumed`: whether one is gone on with.
    """

    def __init__(
        self, file: IO[bytes], path: Path, head: _Head, taken: Mapping[str, _Entry], dropped: bool, resumed: bool
    ) -> None:
        self._file = file
        self._path = path
        self.started = head.started
        self.taken = {name: entry.carried for name, entry in taken.items()}
        self.seconds = max((entry.seconds for entry in taken.values()), default=0.0)
        self.dropped = dropped
        self.resumed = resumed
        self._write(head)
        for entry in taken.values():
            self._write(entry)

    def add(self, carried: Carried, seconds: float) -> None:
        """Keep a result that stands; `seconds`: of this run so far."""
        if not carried.interrupted and carried.record.status in _TAKEN:
            self._write(_Entry(carried, round(self.seconds + seconds, 3)))

    def _write(self, line: _Head | _Entry) -> None:
        text = msgspec.json.encode(line, enc_hook=encode_details)
        self._file.write(hashlib.sha256(text).hexdigest().encode() + b" " + text + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self, done: bool) -> None:
        """End it. `done`: everything is in the record, and the journal goes."""
        if done:
            self._path.unlink(missing_ok=True)
        self._file.close()

    def __enter__(self) -> "Journal":
        """Go on until the block ends, however it does."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it where that was not done; it stays, with all that it has."""
        self._file.close()


def open_journal(folder: Path, plan: Plan, resume: bool) -> Journal:
    """The journal of a run into a folder; with `resume` it has what an earlier run of the same left there.

    FileError where there is nothing to go on with, where what the earlier run rests on has changed, saying what, where
    the journal is damaged, or where another run writes into the folder.
    """
    path = folder / JOURNAL
    # Not truncated before it is known that it is ours.
    file = _open(path)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had it until now may have put another in its place, or taken it away.
        ours = path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        ours = False
    if not ours:
        file.close()
        raise FileError(f"another sign-off is writing into {folder}")
    try:
        rests_on = find_rests_on(plan, folder)
        head = _Head("fxsim.signoff.journal", 1, datetime.now(UTC).isoformat(timespec="seconds"), rests_on)
        taken: dict[str, _Entry] = {}
        if resume:
            earlier, entries = _read(path, file)
            _compare(path, earlier.rests_on, rests_on)
            head = msgspec.structs.replace(head, started=earlier.started)
            taken = {name: entry for name, entry in entries.items() if _stands(entry.carried, plan, folder)}
        dropped = not resume and os.fstat(file.fileno()).st_size > 0
        # The earlier one stays until all that is taken of it stands in the new one: it may end at any moment.
        new = _open(path.with_name(_NEW))
        try:
            fcntl.flock(new, fcntl.LOCK_EX | fcntl.LOCK_NB)
            new.truncate(0)
            journal = Journal(new, path, head, taken, dropped, resume)
            path.with_name(_NEW).replace(path)
        except BaseException:
            path.with_name(_NEW).unlink(missing_ok=True)
            new.close()
            raise
        file.close()
        return journal
    except BaseException:
        if os.fstat(file.fileno()).st_size == 0:
            path.unlink(missing_ok=True)
        file.close()
        raise


def _open(path: Path) -> IO[bytes]:
    """A file to read and append to, no link, made where there is none; FileError where that cannot be."""
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_APPEND, 0o666), "r+b", buffering=0)
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from None


def find_seed(folder: Path) -> int | None:
    """The seed of the run that was ended in a folder; None where there is none to go on with. FileError as above."""
    path = folder / JOURNAL
    try:
        # As it is opened to be written; and nothing is waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb", buffering=0) as file:
            head, _ = _read(path, file)
    except OSError:
        return None
    seed = head.rests_on.get("the seed", "")
    return int(seed) if seed.isdecimal() else None


def _read(path: Path, file: IO[bytes]) -> tuple[_Head, dict[str, _Entry]]:
    """The lines of a journal. A line that was not written to its end is dropped; any other damage is refused."""
    if os.fstat(file.fileno()).st_size > _BYTES_MAX:
        raise FileError(f"{path} has more than {_BYTES_MAX:,} bytes, expected a sign-off's journal")
    file.seek(0)
    *lines, _cut = b"".join(iter(lambda: file.read(1 << 20), b"")).split(b"\n")
    if not lines:  # nothing, or not even its first line
        raise FileError(f"{path}: there is no earlier run to go on with; without --resume a new one begins")
    parts: list[_Head | _Entry] = []
    for number, line in enumerate(lines, 1):
        sha256, _, text = line.partition(b" ")
        try:
            if hashlib.sha256(text).hexdigest().encode() != sha256:
                raise ValueError
            refuse_repeated_keys(f"{path}, line {number}", text.decode())
            kind: Any = _Head if number == 1 else _Entry
            parts.append(msgspec.json.decode(text, type=kind, dec_hook=decode_details))
        except (ValueError, msgspec.MsgspecError):
            raise FileError(
                f"{path}, line {number}, is not as a run of this fxsim wrote it; run without --resume"
            ) from None
    head, *entries = parts
    assert isinstance(head, _Head)
    found: dict[str, _Entry] = {}
    for entry in entries:
        assert isinstance(entry, _Entry)
        name = entry.carried.record.name
        if name in found:
            raise FileError(f"{path} has check '{name}' twice; run without --resume")
        found[name] = entry
    return head, found


def _compare(path: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if changed:
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise FileError(
            f"{path}: since the run that it is of, this has changed: {', '.join(changed[:5])}{more}; "
            "its results are not of what there is now: run without --resume"
        )
    if _UNBOUNDED in now.values():
        raise FileError(
            f"{path}: the plan names files of more than {_NAMED_BYTES_MAX:,} bytes, whose changes nobody sees"
        )


def _stands(carried: Carried, plan: Plan, folder: Path) -> bool:
    """Whether a result can be taken: the check is in the plan, and all that it used is among what was compared."""
    if not any(check.name == carried.record.name for check in plan.checks):
        return False
    # A description names files of its own, anywhere: nobody says of them whether they changed.
    if any(name.split(" ")[0] not in _COMPARED for name in carried.hashes):
        return False
    if not evidence_stands(carried.record, folder):
        return False
    kept = carried.record.kept
    return kept is None or (folder / FAILURES / carried.record.name / REPLAY_SCRIPT).is_file()


# --- What results rest on --------------------------------------------------------------------------------------------


def find_rests_on(plan: Plan, output: Path) -> dict[str, str]:
    """All that a run's results rest on, by name: hashes, versions, settings. The folder `output` is left out of it."""
    package = Path(fxsim.__file__).resolve().parent
    found = {
        "the plan": plan.sha256,
        "the seed": str(plan.seed),
        "fxsim itself": _hash_files(_files(package), package),
        "the RTL": read_sources(rtl_dir()).sha256,
        "the machine": repr(find_machine()),
    }
    found |= {f"the tool {name}": version for name, version in find_tools().items()}
    # They judge mutants; they are in clones alone.
    found |= {f"the {name}": hash_judges(name) for name in get_args(JudgeName) if (clone_dir() / name).is_dir()}
    found |= {f"the package {name}": sha256 for name, sha256 in _plugins()}
    # Without the copies that setuptools has of some, which it puts on the path where a library imports it.
    own = [folder for folder in sys.path if Path(folder).name != "_vendor"]
    installed = sorted({(d.metadata["Name"], d.version) for d in metadata.distributions(path=own)})
    found["the installed packages"] = hashlib.sha256(repr(installed).encode()).hexdigest()
    for name, value in sorted(os.environ.items()):
        if name.startswith(_SETTINGS) and name not in _NO_MATTER:
            found[f"{name} in the environment"] = value
    return found | _named(plan, output.resolve())


def _plugins() -> Iterator[tuple[str, str]]:
    """Other packages that add something to fxsim, with hashes of their files: a version may stay while these change."""
    every = metadata.entry_points()
    groups = [group for group in every.groups if group.startswith("fxsim.")]
    names = {entry.module.partition(".")[0] for group in groups for entry in every.select(group=group)}
    for name in sorted(names):
        spec = find_spec(name)
        if spec is None:
            continue
        folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
        places = folders or [Path(spec.origin or "")]
        files = ((_hash_files(_files(at), at) if at.is_dir() else _hash_files([at], at)) for at in places)
        yield name, " ".join(files)


def _named(plan: Plan, output: Path) -> dict[str, str]:
    """Hashes of every file and folder that the plan names, whatever for: each text in it that is a path of one."""
    data = tomllib.loads(plan.path.read_bytes().decode("utf-8-sig"))
    named = {text: plan.folder / text for text in _texts(data)}
    if plan.published is not None:
        named["the published data"] = plan.published
    if plan.networks is not None:
        named["other tools' networks"] = plan.networks
    found: dict[str, str] = {}
    room = _NAMED_BYTES_MAX
    for text, path in sorted(named.items()):
        try:
            files = sorted(_files(path, output)) if path.is_dir() else [path] if path.is_file() else []
            room -= sum(file.stat().st_size for file in files)
            if not path.exists():
                continue
            found[text] = _UNBOUNDED if room < 0 else _hash_files(files, path)
        except (OSError, ValueError):  # a name that no file can have
            continue
    return found


def _texts(data: object) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for value in data.values():
            yield from _texts(value)
    elif isinstance(data, list):
        for value in data:
            yield from _texts(value)


def _files(folder: Path, left_out: Path | None = None, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Every file in a folder and below it, links followed; not what compiling Python leaves there."""
    place = folder.resolve()
    if place in above:
        raise FxsimError(f"{folder} is a link to {place}, a folder that it lies in")
    if place == left_out or folder.name in ("__pycache__", ".git"):
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _files(path, left_out, (*above, place))
        elif path.is_file():
            yield path


def _hash_files(files: Sequence[Path] | Iterator[Path], root: Path) -> str:
    total = hashlib.sha256()
    for file in files:
        name = file.relative_to(root).as_posix() if file != root else ""
        with file.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        total.update(f"{len(os.fsencode(name))} ".encode() + os.fsencode(name) + sha256.encode())
    return total.hexdigest()
