"""The log of a training: a line of JSON for each epoch, beside the file that the training makes."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from fxsim.errors import FileError
from fxsim.formats import atomic_write
from fxsim.formats.text import decode_json, read_bounded

LOG_BYTES_MAX = 256 << 20
"""Largest log that is read, in bytes: some half a million epochs."""


class EpochRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One epoch. Losses are means over examples, accuracies fractions; None where a stage has no such figure.

    `loss` and `accuracy` are those of the training batches as they were trained on: augmented, and while the weights
    changed. `learning_rate` is the last batch's.
    """

    stage: str
    epoch: int
    epochs: int
    loss: float
    accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float
    seconds: float


def log_path(output: Path) -> Path:
    """The path of the log of what is trained into `output`."""
    return output.with_name(f"{output.stem}.log.jsonl")


def rewrite_log(path: Path, records: Iterable[EpochRecord]) -> None:
    """Begin a log anew with these records: after an interruption, those that the training goes on from."""
    with atomic_write(path) as file:
        file.write_bytes(b"".join(_line(record) for record in records))


def append_log(path: Path, record: EpochRecord) -> None:
    """Add an epoch, in one write."""
    try:
        with path.open("ab", buffering=0) as file:
            line = _line(record)
            written = file.write(line)
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from None
    if written != len(line):
        # As the system does it where a disk is full.
        raise FileError(f"cannot write {path}: no more than a part of a line could be written")


def read_log(path: Path) -> tuple[EpochRecord, ...]:
    """The epochs of a log. FileError where it is missing or damaged."""
    expected = "a log of a training"
    lines = read_bounded(path, LOG_BYTES_MAX, expected).splitlines()
    return tuple(decode_json(f"{path}: line {i}", line, EpochRecord, expected) for i, line in enumerate(lines, 1))


def _line(record: EpochRecord) -> bytes:
    return msgspec.json.encode(record) + b"\n"
