"""The metadata of fxsim's safetensors files: one metadata entry, JSON, with the file's format and version."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from safetensors import SafetensorError, safe_open

from fxsim.errors import FileError, ModelError
from fxsim.formats.text import refuse_repeated_keys, short

HEADER_BYTES_MAX = 16 << 20
"""Largest header of a safetensors file that is read, in bytes: some ten thousand operators."""
_LENGTH_BYTES = 8

KEY = "fxsim"
MODEL = "fxsim.model"
NETWORK = "fxsim.checkpoint"

_NAMES = {MODEL: "a model file", NETWORK: "a network file"}

Content = TypeVar("Content", bound=Struct)


class _Envelope(Struct, frozen=True):
    """Fields that every version of a format has; the rest is only looked at where these are known."""

    format: str
    version: int


@contextmanager
def open_tensors(path: Path, where: str, framework: str, limit: int) -> Iterator[Any]:
    """A safetensors file of at most `limit` bytes, open as safetensors gives it; `where` begins every message.

    FileError where it is larger, damaged, cannot be read, or where its header, the JSON before the tensors, has a key
    twice: readers differ in which of two tensors they take. Also where reading tensors inside the block fails.
    """
    try:
        size = path.stat().st_size
        if size > limit:
            raise FileError(f"{where}: has {size:,} bytes, expected at most {limit:,}")
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if length > min(size, HEADER_BYTES_MAX):
                expected = f"expected at most {min(size, HEADER_BYTES_MAX):,}"
                raise FileError(
                    f"{where}: is not a whole safetensors file: its header has {length:,} bytes, {expected}"
                )
            header = file.read(length)
        with safe_open(path, framework=framework) as tensors:
            # safetensors took it for a header: it is JSON in UTF-8.
            refuse_repeated_keys(f"{where}: header", header.decode())
            yield tensors
    except SafetensorError as error:
        raise FileError(f"{where}: is not a whole safetensors file: {short(str(error), 300)}") from None
    except OSError as error:
        raise FileError(f"{where}: cannot be read: {error.strerror or error}") from None


def decode_metadata(
    where: str, found: Mapping[str, str] | None, kinds: Mapping[int, type[Content]], file_format: str
) -> Content:
    """The metadata of a file that should be of this format; `kinds`: the record of each version that is read.

    `where` begins every message. FileError where there is no such entry or another beside it, of another format or
    version, or damaged.
    """
    name = _NAMES[file_format]
    if found is None or KEY not in found:
        raise FileError(f"{where}: has no '{KEY}' in its metadata, expected {name} of fxsim")
    if len(found) > 1:
        raise FileError(f"{where}: has {len(found)} metadata entries, expected '{KEY}' alone")
    text = found[KEY].encode()
    try:
        envelope = msgspec.json.decode(text, type=_Envelope)
        if envelope.format != file_format and envelope.format in _NAMES:
            raise FileError(f"{where}: is {_NAMES[envelope.format]} of fxsim, expected {name}")
        if envelope.format != file_format:
            raise FileError(f"{where}: metadata states format '{short(envelope.format)}', expected '{file_format}'")
        if envelope.version not in kinds:
            read = " and ".join(map(str, kinds))
            raise FileError(f"{where}: is of format version {envelope.version}, this fxsim reads {read}")
        content = msgspec.json.decode(text, type=kinds[envelope.version])
    # ModelError: what a record with checks of its own says of its fields.
    except (msgspec.DecodeError, RecursionError, ModelError) as error:
        raise FileError(f"{where}: metadata '{KEY}': {short(str(error), 300)}") from None
    refuse_repeated_keys(f"{where}: metadata '{KEY}'", found[KEY])
    return content


def stated_format(path: str | os.PathLike[str]) -> str | None:
    """The format that a file says it is of, None where it says nothing that can be read: whoever reads it finds out."""
    try:
        with safe_open(path, framework="numpy") as file:
            return msgspec.json.decode((file.metadata() or {}).get(KEY, ""), type=_Envelope).format
    except (OSError, SafetensorError, msgspec.DecodeError, RecursionError):
        return None
