"""Checking a certificate: its signature, its form, and every file that it covers, as they are now."""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fxsim.certificate.envelope import unseal
from fxsim.certificate.roms import ROMS, memory_contents
from fxsim.certificate.statement import (
    CERTIFICATE_BYTES_MAX,
    FXSIM_CLONE,
    FXSIM_RTL,
    Certificate,
    Folder,
    decode_statement,
)
from fxsim.errors import FileError, FxsimError
from fxsim.formats import load
from fxsim.formats.text import read_bounded
from fxsim.paths import rtl_dir, verilog_files
from fxsim.signoff.judges import clone_dir, compiled_python

_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Checked:
    """A certificate that was checked. `signers`: ids of the keys that are said to have signed it.

    `verified`: a public key was given, and its signature holds. `problems`: all that is changed, missing or added.
    """

    certificate: Certificate
    signers: tuple[str, ...]
    verified: bool
    problems: tuple[str, ...]


def check_certificate(path: Path, root: Path, key: Path | None = None) -> Checked:
    """Check a certificate against the files below `root`, and, with a public key, its signature.

    FileError where it is no certificate, of another version, altered, not signed by that key, or contradicts itself.
    """
    data = read_bounded(path, CERTIFICATE_BYTES_MAX, "a certificate")
    payload, signers = unseal(str(path), data, key)
    certificate = decode_statement(str(path), payload)
    return Checked(certificate, signers, key is not None, tuple(find_problems(certificate, root.resolve())))


def find_problems(certificate: Certificate, root: Path) -> Iterator[str]:
    """Everything that is changed, missing or added below a resolved root."""
    yield from _files(certificate, root)
    yield from _added(certificate, root)


def _files(certificate: Certificate, root: Path) -> Iterator[str]:
    """Everything that is changed or missing, of files and of what is made of them."""
    roms: dict[tuple[str, str], dict[str, bytes] | str] = {}
    for subject in certificate.subject:
        covered = certificate.predicate.files[subject.name]
        if covered.base == "derived":
            assert covered.model is not None  # the statement was checked
            assert covered.device is not None
            of = covered.device, covered.model
            if of not in roms:
                roms[of] = _roms(root, *of)
            made = roms[of]
            name = subject.name.removeprefix(f"{ROMS}/{covered.device}/{covered.model}/")
            if isinstance(made, str):
                yield f"{subject.name}: cannot be made: {made}"
            elif name not in made:
                yield f"{subject.name}: is no file that is made of {covered.model} now"
            elif hashlib.sha256(made[name]).hexdigest() != subject.digest.sha256:
                yield f"{subject.name}: what is made of {covered.model} has changed"
            continue
        base, relative = _base(root, subject.name, covered.base)
        try:
            found = _sha256(base, relative)
        except FileError as error:
            yield f"{subject.name}: {error}"
            continue
        if found != subject.digest.sha256:
            yield f"{subject.name}: has changed"
    stated = {subject.name for subject in certificate.subject}
    for (device, model), made in roms.items():
        names = () if isinstance(made, str) else (f"{ROMS}/{device}/{model}/{name}" for name in made)
        yield from (f"{name}: was added" for name in names if name not in stated)


def _base(root: Path, name: str, base: str) -> tuple[Path, str]:
    if base == "root":
        return root, name
    for first, place in ((FXSIM_RTL, rtl_dir), (FXSIM_CLONE, clone_dir)):
        if name == first or name.startswith(f"{first}/"):
            return place().resolve(), name.removeprefix(first).lstrip("/") or "."
    raise FileError(f"'{name}' is said to be fxsim's, and is not named so")


def _sha256(base: Path, name: str) -> str:
    """Hash of a regular file within a folder. FileError where there is none, or a link leads out of the folder."""
    path = base / name
    try:
        place = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise FileError("is missing") from None
    if not place.is_relative_to(base):
        raise FileError("is, or lies behind, a link that leads out of the root")
    try:
        # Not one that waits for a writer, should a pipe lie there.
        with os.fdopen(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise FileError("is no regular file")
            digest = hashlib.sha256()
            while part := file.read(_READ_BYTES):
                digest.update(part)
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror or error}") from None
    return digest.hexdigest()


def _roms(root: Path, device: str, model: str) -> dict[str, bytes] | str:
    """The memory contents that are made of a model now; why they cannot be."""
    try:
        _sha256(root, model)
        return memory_contents(load(root / model), device)
    except FxsimError as error:
        return str(error)


def _added(certificate: Certificate, root: Path) -> Iterator[str]:
    """Everything that lies in a covered folder and is not covered."""
    stated = {subject.name for subject in certificate.subject}
    for folder in certificate.predicate.folders:
        base, relative = _base(root, folder.name, folder.base)
        place = base / relative
        if not place.is_dir() or not place.resolve().is_relative_to(base):
            yield f"{folder.name}: is no folder within the root"
            continue
        try:
            names = list(_names(folder, place))
        except FxsimError as error:
            yield f"{folder.name}: {error}"
            continue
        for name in names:
            known = name if folder.name == "." else f"{folder.name}/{name}"
            if known not in stated:
                yield f"{known}: was added"


def _names(folder: Folder, place: Path) -> Iterator[str]:
    if folder.verilog:
        yield from verilog_files(place)
        return
    for path in sorted(place.rglob("*")):
        inside = path.relative_to(place)
        if (path.is_symlink() or not path.is_dir()) and not (folder.python and compiled_python(inside)):
            yield inside.as_posix()
