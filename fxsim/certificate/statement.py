"""The certificate's form: an in-toto Statement, version 1, whose predicate is fxsim's own."""

import re
from collections import Counter
from inspect import cleandoc
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from fxsim.errors import FileError, ToolError
from fxsim.formats.text import decode_json, short

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:fxsim:certificate:v1"
"""The type of the predicate, its version last: whoever reads another one reads another certificate."""

FXSIM_RTL = "fxsim-rtl"
"""The first part of names of fxsim's own Verilog, where it lies outside the root."""

FXSIM_CLONE = "fxsim-clone"
"""The same of testbenches and tests, which lie in a clone of fxsim."""

CERTIFICATE_BYTES_MAX = 64 << 20

Name = Annotated[str, Meta(min_length=1, max_length=1000)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Base = Literal["root", "fxsim", "derived"]
"""The place that a name is relative to: the root of the certificate's files, fxsim's own Verilog or clone, or nothing
on disk: what is made of a model anew."""


class Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of a certificate, in which nothing unknown may stand."""


class Digest(Part, frozen=True):
    """The digest of a subject's bytes."""

    sha256: Sha256


class Subject(Part, frozen=True):
    """A file that the certificate covers, or bytes that are made of one. Names are relative paths, with `/`."""

    name: Name
    digest: Digest


class Covered(Part, frozen=True):
    """A subject's role; `judge`: a testbench or test, or what says how these are run.

    `model`, `device`: of a ROM, the subject that it is made of, and the device that reads it.
    """

    role: Literal[
        "plan", "record", "model", "stimulus", "rtl", "design", "vectors", "evidence", "rom", "judge", "other"
    ]
    base: Base = "root"
    model: str | None = None
    device: str | None = None


class Folder(Part, frozen=True):
    """A folder in which nothing may be added: of any kind, or of Verilog alone. `name` is relative as a subject's.

    `python`: what Python compiles there is none of it.
    """

    name: str
    base: Literal["root", "fxsim"]
    verilog: bool
    python: bool = False


class Clone(Part, frozen=True):
    """A repository at a commit; `dirty`: it had changes. `untracked`: named files not under version control."""

    name: str
    commit: str
    dirty: bool | None
    untracked: tuple[str, ...] = ()


class CheckResult(Part, frozen=True):
    """A check of the sign-off: how it ended, in a line, and the figures that it measured, in text, by label."""

    name: str
    kind: str
    status: Literal["passed", "skipped", "reported"]
    summary: str
    reason: str | None
    figures: dict[str, str]


class Point(Part, frozen=True):
    """A testpoint of the plan: its stage and claim, and what came of it."""

    name: str
    stage: str
    claim: str
    status: str


class Signoff(Part, frozen=True):
    """The sign-off that passed. `stage`: that it went up to, null for all; `statuses`: checks by how they ended."""

    title: str
    plan: str
    started: str
    seed: int
    strict: bool
    stage: str | None
    stage_reached: str | None
    checks_in_plan: int
    statuses: dict[str, int]
    checks: tuple[CheckResult, ...]
    testpoints: tuple[Point, ...]


class Predicate(Part, frozen=True):
    """The sign-off, its versions and files, and what was not covered. `files`: a row for each subject, by name."""

    version: Literal[1]
    signoff: Signoff
    fxsim_version: str
    fxsim: Clone
    design: tuple[Clone, ...]
    tools: dict[str, str]
    files: dict[str, Covered]
    folders: tuple[Folder, ...]
    not_covered: tuple[str, ...]


class Certificate(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"type_": "_type"}):
    """An in-toto Statement with the predicate of this file."""

    type_: Literal["https://in-toto.io/Statement/v1"] = STATEMENT_TYPE  # type: ignore[assignment]
    subject: Annotated[tuple[Subject, ...], Meta(min_length=1)]
    predicateType: Literal["urn:fxsim:certificate:v1"] = PREDICATE_TYPE  # type: ignore[assignment]  # noqa: N815
    predicate: Predicate


class _Any(Struct):
    predicateType: str  # noqa: N815  # in-toto's name


def encode_statement(certificate: Certificate) -> bytes:
    """A certificate as JSON, held to in-toto's own demands."""
    data = msgspec.json.format(msgspec.json.encode(certificate)) + b"\n"
    _in_toto(data)
    return data


def decode_statement(where: str, data: bytes) -> Certificate:
    """A certificate from its JSON. FileError where it is none, of another version, or contradicts itself."""
    expected = "an in-toto statement of an fxsim certificate"
    found = decode_json(where, data, _Any, expected).predicateType
    if found != PREDICATE_TYPE:
        raise FileError(f"{where}: its predicate is of type '{short(found)}', expected '{PREDICATE_TYPE}'")
    certificate = decode_json(where, data, Certificate, expected)
    names = [subject.name for subject in certificate.subject]
    for name, count in Counter(names).items():
        if count > 1:
            raise FileError(f"{where}: subject '{short(name)}' stands {count} times, expected once")
    files = certificate.predicate.files
    for name in sorted(set(names).symmetric_difference(files)):
        raise FileError(f"{where}: '{short(name)}' is no subject and file at once, expected both")
    for name in [*names, *(folder.name for folder in certificate.predicate.folders)]:
        refuse_path(where, name)
    for name, covered in files.items():
        made_of = files.get(covered.model or "")
        if (covered.base == "derived") != (made_of is not None and made_of.role == "model" and bool(covered.device)):
            raise FileError(f"{where}: '{short(name)}' is to be made of a model that is a subject, if of any")
    if not any(covered.role == "record" for covered in files.values()):
        raise FileError(f"{where}: covers no record of a sign-off")
    _in_toto(data)
    return certificate


_PART = re.compile(r"[^/\\\x00-\x1f\x7f]+\Z")


def refuse_path(where: str, name: str) -> None:
    """FileError unless a name is a relative path that stays where it begins: no empty part, no `.` or `..`."""
    if name == ".":
        return
    if not all(_PART.match(part) and part not in (".", "..") for part in name.split("/")):
        raise FileError(f"{where}: '{short(name)}' is no relative path within the root")


def _in_toto(data: bytes) -> None:
    """Hold a statement to what in-toto's own library demands of one."""
    try:
        from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
        from in_toto_attestation.v1.statement import Statement
    except ImportError:
        raise ToolError("the extra 'evidence' is not installed, which has in-toto's statements") from None

    content = msgspec.json.decode(data)
    subjects = [ResourceDescriptor(name=s["name"], digest=s["digest"]).pb for s in content["subject"]]
    try:
        Statement(subjects, content["predicateType"], {"version": content["predicate"]["version"]}).validate()
    except ValueError as error:
        raise FileError(f"the statement is none of in-toto's: {error}") from None


def predicate_schema() -> dict[str, Any]:
    """The JSON Schema of a certificate's statement, draft 2020-12."""
    schema = msgspec.json.schema(Certificate)
    for definition in schema["$defs"].values():
        if "description" in definition:
            definition["description"] = cleandoc(definition["description"])
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, "title": "Statement of a certificate of fxsim"} | schema
