"""Arrays of numbers from MATLAB 5 files.

SciPy reads these too, but a damaged file can end its process: its reader trusts what the file says of itself. The
format's numeric arrays take little to read (MathWorks, "MAT-File Format", version 5).
"""

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.data.folder import printable
from fxsim.errors import FileError

_HEADER = 128
_VERSION = b"\x00\x01IM"
"""The end of the header: version 5's 0x0100, and `MI` as a little-endian machine writes it."""

_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {
    1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "double", 7: "single", 8: "int8", 9: "uint8",
    10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64", 15: "uint64",
}  # fmt: skip
_NUMERIC = range(6, 16)
_COMPLEX = 0x800


@dataclass(frozen=True)
class Variable:
    """A variable: its MATLAB class, and its values, which may be stored in a smaller type; none unless real numbers."""

    kind: str
    shape: tuple[int, ...]
    values: npt.NDArray[Any] | None


class _DamagedError(Exception):
    """The present element is wrong, in words."""


def read_variables(path: Path, content: bytes, limit: int) -> dict[str, Variable]:
    """The variables of the MATLAB 5 file `content`, read from `path`, by name.

    What is compressed may have `limit` bytes, all together, when it is decompressed. FileError with the byte offset of
    the element where something is damaged, longer, or twice there.
    """
    if content[124:_HEADER] != _VERSION:
        raise FileError(f"{path}: is not a MATLAB 5 file in little-endian order, expected one as published")
    variables: dict[str, Variable] = {}
    offset, left = _HEADER, limit
    while offset < len(content):
        try:
            kind, data, end = _element(content, offset, padded=False)
            if kind == _COMPRESSED:
                inflated = _inflate(data, left)
                left -= len(inflated)
                kind, data, _ = _element(inflated, 0)
            if kind != _MATRIX:
                raise _DamagedError(f"is of type {kind}, expected an array")
            name, variable = _matrix(data)
            if name in variables:
                raise _DamagedError(f"variable '{printable(name)}' is there twice")
            variables[name] = variable
        except _DamagedError as error:
            raise FileError(f"{path}: element at byte {offset:,}: {error}") from None
        offset = end
    return variables


def _inflate(data: memoryview, limit: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        # One byte more than may be, to notice it; 0 would be no limit at all.
        inflated = inflater.decompress(data, limit + 1)
    except zlib.error as error:
        raise _DamagedError(f"cannot be decompressed: {error}") from None
    if len(inflated) > limit:
        raise _DamagedError("is larger when decompressed than such a file can be")
    if not inflater.eof:
        raise _DamagedError("is cut short")
    return inflated


def _element(content: bytes | memoryview, offset: int, padded: bool = True) -> tuple[int, memoryview, int]:
    """Type, data and end of the element at `offset`; inside an array elements are padded to eight bytes."""
    if offset + 8 > len(content):
        raise _DamagedError("is cut short inside a tag")
    kind, size = struct.unpack_from("<II", content, offset)
    start = offset + 8
    end = start + (-(-size // 8) * 8 if padded else size)
    # A small element has its size in the upper half of the first word, and up to four bytes in place of the second.
    if kind >> 16:
        kind, size = kind & 0xFFFF, kind >> 16
        start, end = offset + 4, offset + 8
        if size > 4:
            raise _DamagedError(f"states {size} bytes in the place of four")
    if start + size > len(content):
        raise _DamagedError(f"states {size:,} bytes, has {len(content) - start:,}")
    return kind, memoryview(content)[start : start + size], end


def _matrix(data: memoryview) -> tuple[str, Variable]:
    parts = _parts(data)
    flags = struct.unpack("<II", _expect(parts, _UINT32, "flags", 8))[0]
    sizes = _expect(parts, _INT32, "dimensions")
    if len(sizes) % 4 or not 8 <= len(sizes) <= 4 * 32:
        raise _DamagedError(f"has dimensions in {len(sizes)} bytes, expected 2 to 32 numbers of four")
    shape = struct.unpack(f"<{len(sizes) // 4}i", sizes)
    name = bytes(_expect(parts, _INT8, "name")).decode("latin-1")
    number = flags & 0xFF
    if number not in _NUMERIC or flags & _COMPLEX:
        what = "complex" if number in _NUMERIC else _CLASSES.get(number, f"of class {number}")
        return name, Variable(what, shape, None)
    kind, stored = next(parts, (0, memoryview(b"")))
    if kind not in _TYPES:
        raise _DamagedError(f"has values of type {kind}, expected numbers")
    dtype = np.dtype(f"<{_TYPES[kind]}")
    if min(shape) < 0 or len(stored) != math.prod(shape) * dtype.itemsize:
        raise _DamagedError(f"has {len(stored):,} bytes of {dtype.name} for the shape {shape}")
    return name, Variable(_CLASSES[number], shape, np.frombuffer(stored, dtype).reshape(shape, order="F"))


def _parts(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    offset = 0
    while offset < len(data):
        kind, part, offset = _element(data, offset)
        yield kind, part


def _expect(parts: Iterator[tuple[int, memoryview]], kind: int, what: str, size: int | None = None) -> memoryview:
    found, data = next(parts, (0, memoryview(b"")))
    if found != kind or size not in (None, len(data)):
        raise _DamagedError(f"has {len(data):,} bytes of type {found} in the place of an array's {what}")
    return data
