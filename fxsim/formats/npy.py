"""Arrays of numbers in .npy and .npz files: what headers state is checked before anything is mapped or allocated."""

import hashlib
import math
import re
import warnings
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from fxsim.errors import FileError
from fxsim.formats.text import short

ARCHIVE_BYTES_MAX = 1 << 30
"""Bytes of all arrays of an archive of taps, at most."""
ARRAYS_MAX = 10_000
"""Most arrays that are read from one archive."""

TEXT_LENGTH_MAX = 1 << 16
"""Most characters of a text in an archive."""

_VERSIONS = {(1, 0), (2, 0), (3, 0)}
_KINDS = "biufc"
"""Numpy's kinds of numbers."""


@dataclass(frozen=True)
class ArrayHeader:
    """The header of an array: its shape, whether the first index is fastest, its type."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Bytes of the values, exactly, however many are stated."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: IO[bytes], kinds: str = _KINDS) -> ArrayHeader:
    """The header at the beginning of an open .npy file, of numbers of any type. ValueError where it is none.

    `kinds`: numpy's kinds of values that are taken.
    """
    version = np.lib.format.read_magic(file)
    if version not in _VERSIONS:
        raise ValueError(f"format version {version[0]}.{version[1]} is unknown")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings():
        # numpy warns of headers that Python 2 wrote, and reads them.
        warnings.simplefilter("ignore")
        shape, fortran, dtype = read(file)
    if not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"shape {short(str(shape))} is not possible")
    if dtype.kind not in kinds:
        raise ValueError(f"values are of type {short(str(dtype))}, expected {'numbers' if kinds == _KINDS else 'text'}")
    return ArrayHeader(shape, fortran, dtype)


def map_array(path: Path) -> npt.NDArray[Any]:
    """The array of a .npy file, of any type of numbers; read from disk as it is used, and not writable.

    FileError where the file is missing, damaged, holds objects, or is longer or shorter than its header states.
    """
    _refuse_other(path)
    try:
        with path.open("rb") as file:
            header = read_header(file)
            offset = file.tell()
        excess = path.stat().st_size - offset - header.nbytes
        if excess < 0:
            raise ValueError(f"{-excess:,} bytes are missing for shape {short(str(header.shape))}")
        # Another array appended to the first, say: numpy reads one and says nothing of the rest.
        if excess:
            raise FileError(f"{path}: has {excess:,} bytes after the array of shape {header.shape}, expected none")
        order: Any = "F" if header.fortran else "C"
        return np.memmap(path, header.dtype, "r", offset, header.shape, order)
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
    except FileError:
        raise
    # The header is text that numpy evaluates as a literal: a damaged one fails in ways that numpy does not list.
    except Exception as error:
        raise FileError(f"{path}: is not a whole .npy file of numbers: {_reason(error)}") from None


def _refuse_other(path: Path) -> None:
    """FileError where there is no file, or a folder, a pipe or a device."""
    if not path.is_file():
        raise FileError(f"{path}: {'is not a regular file' if path.exists() else 'there is no such file'}")


def read_archive(
    path: Path, limit: int = ARCHIVE_BYTES_MAX, only: Collection[str] | None = None
) -> dict[str, npt.NDArray[Any]]:
    """All arrays of a .npz file by name; together they may have `limit` bytes, which is checked before they are read.

    `only`: names of arrays that must be there, and alone are read. FileError where the file is missing or damaged, has
    anything but arrays of numbers, one of them twice, or more.
    """
    _refuse_other(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(names) > ARRAYS_MAX:
                raise FileError(f"{path}: holds {len(names):,} arrays, expected at most {ARRAYS_MAX:,}")
            if len(set(names)) < len(names) or not all(name.endswith(".npy") for name in names):
                raise FileError(f"{path}: holds a name twice, or what is no array, expected one array a name")
            if only is not None:
                if missing := sorted(set(only) - {name.removesuffix(".npy") for name in names}):
                    raise FileError(f"{path}: has no array '{short(missing[0])}'")
                names = [name for name in names if name.removesuffix(".npy") in only]
            left = limit
            for name in names:
                with archive.open(name) as file:
                    left -= read_header(file).nbytes
                if left < 0:
                    raise FileError(f"{path}: its arrays have more than {limit:,} bytes, the most that are read")
            return {name.removesuffix(".npy"): _read_entry(archive, path, name) for name in names}
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
    # Damaged archives and headers fail in ways that zipfile and numpy do not list.
    except Exception as error:
        raise FileError(f"{path}: is not a whole .npz file of numbers: {_reason(error)}") from None


def read_text(path: Path, name: str) -> str:
    """The text that a .npz file holds as an array of one text of up to `TEXT_LENGTH_MAX` characters.

    FileError where the file is missing or damaged, or has no such text.
    """
    _refuse_other(path)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            header = read_header(file, "U")
            if header.shape != () or header.nbytes > 4 * TEXT_LENGTH_MAX:
                raise FileError(f"{path}: array '{name}' is no text of up to {TEXT_LENGTH_MAX:,} characters")
            return str(read_values(file, header, f"{path}: {name}"))
    except FileError:
        raise
    except KeyError:
        raise FileError(f"{path}: has no array '{name}'") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
    # As in `read_archive`.
    except Exception as error:
        raise FileError(f"{path}: array '{name}' is no whole text: {_reason(error)}") from None


def archive_fault(
    arrays: Mapping[str, npt.NDArray[Any]], expected: Mapping[str, tuple[str, tuple[int, ...]]]
) -> str | None:
    """The first array that is missing, unknown, or not of the type and shape `expected` by name; None where none is."""
    for name in sorted(expected.keys() ^ arrays.keys()):
        return f"array '{short(name)}' is {'missing' if name in expected else 'unknown'}"
    for name, (dtype, shape) in expected.items():
        found = arrays[name]
        if (found.dtype, found.shape) != (np.dtype(dtype), shape):
            return f"array '{name}' is {found.dtype} {found.shape}, expected {np.dtype(dtype)} {shape}"
    return None


def archive_sha256(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """SHA-256 of arrays: for each, by name, its name, type, shape and values."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}\0".encode() + arrays[name].tobytes())
    return digest.hexdigest()


def _read_entry(archive: zipfile.ZipFile, path: Path, name: str) -> npt.NDArray[Any]:
    with archive.open(name) as file:
        return read_values(file, read_header(file), f"{path}: {short(name.removesuffix('.npy'))}")


def read_values(file: IO[bytes], header: ArrayHeader, where: str) -> npt.NDArray[Any]:
    """The values behind a header, which must be all that there is; `where` begins the message."""
    # One byte more than stated, to notice what should not be there.
    content = file.read(header.nbytes + 1)
    if len(content) != header.nbytes:
        what = "fewer" if len(content) < header.nbytes else "more"
        raise FileError(f"{where} has {what} bytes than the {header.nbytes:,} of its shape {header.shape}")
    flat = np.frombuffer(content, header.dtype)
    return np.asarray(flat.reshape(header.shape, order="F" if header.fortran else "C"), order="C")


def _reason(error: Exception) -> str:
    # What numpy says of a header that is no literal ends in where in memory an object lies; an error may say nothing.
    return short(re.sub(r": <.* at 0x\w+>$", "", str(error).split("\n")[0]), 200) or type(error).__name__
