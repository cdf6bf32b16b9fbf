"""Evidence of proofs that checks leave beside the record, by the hash of what lists its files."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from fxsim.errors import FileError
from fxsim.graph import Model
from fxsim.prove.evidence import RECORD, Evidence
from fxsim.signoff.context import Context
from fxsim.signoff.record import CheckRecord, Data

EVIDENCE = "evidence"
"""Folder beside the record: one inside for each check that keeps evidence."""


class KeptEvidence(Data, frozen=True):
    """Evidence of a check: what it is of, its folder beside the record, sha256 of its list of files, their number."""

    FIELD = "evidence"

    of: str
    folder: str
    sha256: str
    files: int


def keep_evidence(check: str, model: Model, gathered: Mapping[str, Evidence], context: Context) -> list[KeptEvidence]:
    """Write what a check gathered beside the record, in place of what its last run left there."""
    if context.output is None:
        return []
    folder = context.output / EVIDENCE / check
    if folder.is_symlink() or (folder.exists() and not all((part / RECORD).is_file() for part in folder.iterdir())):
        raise FileError(f"{folder}: is no evidence that a sign-off kept; nothing is written over it")
    shutil.rmtree(folder, ignore_errors=True)
    rows = []
    for of, evidence in gathered.items():
        evidence.model = model
        sha256 = evidence.write(folder / of)
        rows.append(KeptEvidence(of, f"{EVIDENCE}/{check}/{of}", sha256, len(evidence.files)))
    return rows


def evidence_stands(check: CheckRecord, output: Path) -> bool:
    """Whether the evidence that a check's record names is there yet, by its list of files."""
    for row in check.details.of(KeptEvidence):
        path = output / row.folder / RECORD
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != row.sha256:
            return False
    return True
