"""The evidence of proofs in a folder: questions in SMT-LIB, tables, the model, by their hashes, to be checked again.

`evidence.json` lists every other file with its SHA-256. Whoever checks refuses by name what is missing, altered or not
listed, asks another solver every question, and has each part computed again another way.
"""

import hashlib
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from fxsim.cosim.result import CosimResult
from fxsim.errors import FileError
from fxsim.formats import atomic_write, load, save
from fxsim.formats.text import read_bounded, read_json
from fxsim.graph import Model
from fxsim.prove.solver import Answer, decide_again
from fxsim.version import __version__

RECORD = "evidence.json"
MODEL = "model.safetensors"
SHOWN = "refutation/images.npy"
"""The images that refute a design, in one run."""
_FORMAT = 1
_RECORD_BYTES_MAX = 1 << 26
_FILE_BYTES_MAX = 1 << 30
_FILES_MAX = 100_000
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)?\Z")


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question to solvers: its file, the answer that proves, and what it then says."""

    file: str
    expected: Answer
    claim: str


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `evidence.json`. `files`: SHA-256 by name; `parts`: by kind the file of its claims."""

    format: int
    fxsim: str
    files: dict[str, str]
    questions: tuple[Question, ...]
    parts: dict[str, str]


@dataclass
class Evidence:
    """Evidence as it is gathered, in memory; `write` puts it into a folder.

    `forms`: the claims on forms of designs. `shown`: the simulation in which the images `SHOWN` refute a design.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=dict)
    model: Model | None = None
    shown: CosimResult | None = None
    forms: list[object] = field(default_factory=list)

    def ask(self, name: str, text: str, expected: Answer, claim: str) -> None:
        """Keep a question that was answered as `expected`. `name` becomes the file's."""
        file = f"questions/{len(self.questions):05}-{re.sub(r'[^a-z0-9_-]', '-', name.lower())[:80]}.smt2"
        self.files[file] = text.encode()
        self.questions.append(Question(file, expected, claim))

    def add(self, kind: str, claims: object) -> None:
        """Keep what one kind of proof claims, as JSON; whoever checks it again finds it by its kind."""
        self.parts[kind] = f"{kind}.json"
        self.files[f"{kind}.json"] = msgspec.json.format(msgspec.json.encode(claims)) + b"\n"

    def keep(self, name: str, content: bytes) -> None:
        """Keep a further file."""
        self.files[name] = content

    def write(self, folder: Path) -> str:
        """Write it all into a new or empty folder; the record's SHA-256. FileError where the folder holds anything."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise FileError(f"{folder} is not empty, expected a new folder for evidence")
        except OSError as error:
            raise FileError(f"cannot write into {folder}: {error.strerror}") from None
        try:
            if self.model is not None:
                save(self.model, folder / MODEL)
                self.files[MODEL] = (folder / MODEL).read_bytes()
            for name, content in self.files.items():
                if not _NAME.match(name) or name == RECORD:
                    raise FileError(f"evidence cannot hold a file '{name}'")
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes(content)
            hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(self.files.items())}
            record = Record(_FORMAT, __version__, hashes, tuple(self.questions), self.parts)
            text = msgspec.json.format(msgspec.json.encode(record)) + b"\n"
            with atomic_write(folder / RECORD) as file:
                file.write_bytes(text)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return hashlib.sha256(text).hexdigest()


# --- Checking it again -----------------------------------------------------------------------------------------------

Again = Callable[[Path, bytes], list[str]]
"""Computes a part again another way: of the folder and the part's file, what is wrong, each in one line."""


@dataclass(frozen=True)
class Rechecked:
    """The outcome of a check of evidence. `wrong`: what does not hold, each in one line; `sha256`: of the record."""

    sha256: str
    questions: int
    parts: tuple[str, ...]
    wrong: tuple[str, ...]


def recheck(folder: Path, again: Mapping[str, Again], status: Callable[[int, int], None] | None = None) -> Rechecked:
    """Check evidence: files by hash, each question by z3, each part by its function of `again`.

    FileError names a file that is missing, altered or not listed, and a part of a kind that nothing here checks.
    """
    record = read_list(folder)
    contents: dict[str, bytes] = {}
    for name, sha256 in record.files.items():
        content = read_bounded(folder / name, _FILE_BYTES_MAX, "a file of evidence")
        if hashlib.sha256(content).hexdigest() != sha256:
            raise FileError(f"{folder / name}: was altered: its SHA-256 is not the one in {RECORD}")
        contents[name] = content
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise FileError(f"{path}: is a link, expected a file of the evidence itself")
        if path.is_file() and name != RECORD and name not in record.files:
            raise FileError(f"{path}: is not listed in {RECORD}")
    named = {question.file for question in record.questions} | set(record.parts.values())
    for name in sorted(named):
        if name not in contents:
            raise FileError(f"{folder / name}: is missing: a question or part names it, the list does not")
    for name in contents:
        if name.startswith("questions/") and name not in named:
            raise FileError(f"{folder / name}: is a question that {RECORD} says nothing of")
    for kind in record.parts:
        if kind not in again:
            raise FileError(f"{folder / RECORD}: has a part '{kind}', expected: {', '.join(sorted(again))}")
    wrong = [] if record.parts else [f"{RECORD}: nothing is claimed: it has no part"]
    for done, question in enumerate(record.questions):
        if status is not None:
            status(done, len(record.questions))
        answer = decide_again(contents[question.file].decode())
        if question.expected is Answer.UNKNOWN or answer is not question.expected:
            wrong.append(f"{question.file}: z3 says {answer}, expected {question.expected}: {question.claim}")
    for kind, name in record.parts.items():
        wrong += [f"{name}: {line}" for line in again[kind](folder, contents[name])]
    sha256 = hashlib.sha256((folder / RECORD).read_bytes()).hexdigest()
    return Rechecked(sha256, len(record.questions), tuple(record.parts), tuple(wrong))


def read_list(folder: Path) -> Record:
    """The record of evidence. FileError where that is not stated, or with a name that is none of evidence."""
    record = read_json(folder / RECORD, Record, _RECORD_BYTES_MAX, "a record of evidence")
    if record.format != _FORMAT:
        raise FileError(f"{folder / RECORD}: has format {record.format}, expected {_FORMAT}")
    if len(record.files) > _FILES_MAX:
        raise FileError(f"{folder / RECORD}: lists {len(record.files):,} files, expected at most {_FILES_MAX:,}")
    for name in record.files:
        if not _NAME.match(name) or name == RECORD:
            raise FileError(f"{folder / RECORD}: lists '{name}', which is no name of a file of evidence")
    return record


def read_refuted(folder: Path) -> dict[str, str]:
    """The questions of evidence that nothing satisfies, by their SHA-256: those that prove by the answer `unsat`."""
    files = [question.file for question in read_list(folder).questions if question.expected is Answer.UNSAT]
    texts = [read_bounded(folder / file, _FILE_BYTES_MAX, "a question of evidence").decode() for file in files]
    return {hashlib.sha256(text.encode()).hexdigest(): text for text in texts}


def kept_model(folder: Path) -> Model:
    """The model that evidence is about, from its own copy."""
    return load(folder / MODEL)
