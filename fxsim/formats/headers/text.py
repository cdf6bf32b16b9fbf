"""Published C headers as arrays by name, and back."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.errors import FileError
from fxsim.formats.headers.declarations import Declarations, HeaderArray
from fxsim.formats.headers.source import Source
from fxsim.formats.text import read_bounded

HEADER_BYTES_MAX = 16 << 20
"""Largest header that is read, in bytes: some 30 times the published ones. Reading takes 65 times as much memory."""


@dataclass(frozen=True)
class Header:
    """All arrays of a header by name, in the order of the file, and the file's own sha256 in hexadecimal."""

    path: Path
    arrays: dict[str, HeaderArray]
    sha256: str


def read_header_arrays(path: str | os.PathLike[str]) -> dict[str, npt.NDArray[Any]]:
    """Every array of a C header by name: int8 or uint8 as its 8-bit type has a sign or none, shaped as declared.

    FileError names the file, the array, the line and what was expected.
    """
    return {name: array.values for name, array in read_header(Path(path)).arrays.items()}


def read_header(path: Path) -> Header:
    """As `read_header_arrays`, with each array's line and the file's hash."""
    if not path.is_file():
        raise FileError(f"{path}: {'is not a regular file' if path.exists() else 'there is no such file'}")
    data = read_bounded(path, HEADER_BYTES_MAX, "a C header")
    return Header(path, Declarations(Source(path, data)).arrays, hashlib.sha256(data).hexdigest())


def format_header(file: str, arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """The text of a header of this file name, the way the published ones are written."""
    guard = re.sub(r"\W", "_", file).upper()
    text = [f"#ifndef {guard}\n#define {guard}\n\n#include <ap_int.h>\n\n"]
    for name, array in arrays.items():
        kind = "ap_uint<8>" if array.dtype == np.uint8 else "ap_int<8>"
        text.append(f"const {kind} {name}{''.join(f'[{n}]' for n in array.shape)} = \n{_braced(array.tolist())};\n\n")
    text.append(f"#endif // {guard}\n")
    return "".join(text)


def _braced(values: list[Any]) -> str:
    if isinstance(values[0], list):
        return "{" + ",\n".join(_braced(inner) for inner in values) + "}"
    return "{" + ", ".join(map(str, values)) + "}"
