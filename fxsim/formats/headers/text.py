"""The text of published C headers: `const ap_int<8> name[2][3] = {{1, 2, 3}, {4, 5, 6}};`, and nothing cleverer.

Numbers are read by numpy over whole arrays, and braces are compared with the one arrangement that the dimensions allow,
so that reading is both strict and fast.
"""

import hashlib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from fxsim.errors import FileError

HEADER_BYTES_MAX = 16 << 20
"""Largest header that is read, in bytes: some 30 times the published ones. Reading takes 65 times as much memory."""

ARRAYS_MAX = 10_000
"""Most arrays that are read from one header: some 400 blocks."""

_SPLICE = re.compile(rb"\\\r?\n")
_COMMENT = re.compile(rb"//[^\n]*|/\*.*?\*/|/\*", re.DOTALL)
_DIRECTIVE = re.compile(rb"^[ \t]*#[ \t]*(\w*)[ \t]*([^\n]*)$", re.MULTILINE)
_INCLUDE = re.compile(rb"<[\w./-]+>|\"[\w./-]+\"")
_SPACE = re.compile(rb"\s*")
_DECLARATION = re.compile(
    rb"const\s+ap_(?P<unsigned>u?)int\s*<\s*(?P<bits>\d{1,4})\s*>\s+(?P<name>[A-Za-z_]\w{0,199})\s*"
    rb"(?P<dims>(?:\[\s*\d{1,9}\s*\]\s*){1,4})=\s*"
)
_NUMBER = re.compile(rb"\d+")
_DIGITS_MAX = 3

# What may stand between the braces of an array, by byte; everything else is an error.
_OTHER, _BLANK, _DIGIT, _MINUS, _BRACE_OR_COMMA = range(5)
_CLASS = np.full(256, _OTHER, np.uint8)
_CLASS[list(b" \t\r\n\f\v")] = _BLANK
_CLASS[list(b"0123456789")] = _DIGIT
_CLASS[list(b"-")] = _MINUS
_CLASS[list(b"{},")] = _BRACE_OR_COMMA


@dataclass(frozen=True)
class HeaderArray:
    """One array of a header, int8 or uint8, and the line it begins on."""

    values: npt.NDArray[Any]
    line: int


@dataclass(frozen=True)
class Header:
    """All arrays of a header by name, in the order of the file, and the file's own sha256 in hexadecimal."""

    path: Path
    arrays: dict[str, HeaderArray]
    sha256: str


def read_header_arrays(path: str | os.PathLike[str]) -> dict[str, npt.NDArray[Any]]:
    """Every array of a published C header by name: int8 for `ap_int<8>`, uint8 for `ap_uint<8>`, shaped as declared.

    FileError names the file, the array, the line and what was expected.
    """
    return {name: array.values for name, array in read_header(Path(path)).arrays.items()}


def read_header(path: Path) -> Header:
    """As `read_header_arrays`, with each array's line and the file's hash."""
    if not path.is_file():
        raise FileError(f"{path}: {'is not a regular file' if path.exists() else 'there is no such file'}")
    try:
        with path.open("rb") as file:
            data = file.read(HEADER_BYTES_MAX + 1)
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(data) > HEADER_BYTES_MAX:
        raise FileError(f"{path}: is larger than {HEADER_BYTES_MAX:,} bytes, the most that is read")
    return Header(path, _Reader(path, data).arrays(), hashlib.sha256(data).hexdigest())


class _Reader:
    """Reads one header's text. Comments and directives are blanked first, without moving anything to another line."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self.text = data
        if splice := _SPLICE.search(data):
            self.fail(splice.start(), "a backslash joins this line to the next, expected plain arrays")
        self.text = _COMMENT.sub(self._blank_comment, self.text)
        self._guard: bytes | None = None
        self.text = _DIRECTIVE.sub(self._blank_directive, self.text)

    def fail(self, position: int, message: str) -> NoReturn:
        line = self.text.count(b"\n", 0, position) + 1
        raise FileError(f"{self.path}: line {line}: {message}")

    def found(self, position: int) -> str:
        """What stands at a position, fit for a message of one line."""
        piece = self.text[position : position + 30].split(b"\n")[0].strip()
        return f"'{piece.decode('latin-1').encode('unicode_escape').decode()}'" if piece else "the end of the line"

    def _blank_comment(self, match: re.Match[bytes]) -> bytes:
        if match[0] == b"/*":
            self.fail(match.start(), "a comment begins and does not end")
        return b" " + b"\n" * match[0].count(b"\n") if match[0].startswith(b"/*") else b""

    def _blank_directive(self, match: re.Match[bytes]) -> bytes:
        # An include guard hides nothing. Any other condition or macro could change what a compiler sees.
        word, rest = match[1], match[2].strip()
        if word == b"ifndef" and self._guard is None:
            self._guard = rest
        elif not (
            (word == b"define" and rest == self._guard)
            or (word == b"include" and _INCLUDE.fullmatch(rest))
            or (word, rest) in ((b"pragma", b"once"), (b"endif", b""))
        ):
            what = self.found(match.start())
            self.fail(match.start(), f"{what} is more than an include guard or '#include', expected plain arrays")
        return b""

    def arrays(self) -> dict[str, HeaderArray]:
        arrays: dict[str, HeaderArray] = {}
        line, counted = 1, 0
        position = self._skip_space(0)
        while position < len(self.text):
            line, counted = line + self.text.count(b"\n", counted, position), position
            match = _DECLARATION.match(self.text, position)
            if match is None:
                self.fail(
                    position,
                    f"found {self.found(position)}, expected 'const ap_int<8> NAME[N]... =' or 'const ap_uint<8> ...'",
                )
            name = match["name"].decode()
            what = f"array '{name}'"
            if name in arrays:
                self.fail(position, f"{what} is given twice, first on line {arrays[name].line}")
            if match["bits"] != b"8":
                self.fail(position, f"{what} has elements of {match['bits'].decode()} bits, expected 8")
            dims = tuple(int(n) for n in _NUMBER.findall(match["dims"]))
            end = self.text.find(b";", match.end())
            if end < 0:
                self.fail(position, f"{what} does not end: expected '}};' before the end of the file")
            if len(arrays) == ARRAYS_MAX:
                self.fail(position, f"{what} is one more than the {ARRAYS_MAX:,} arrays that are read")
            dtype = np.uint8 if match["unsigned"] else np.int8
            arrays[name] = HeaderArray(self._values(what, match.end(), end, dims, dtype), line)
            position = self._skip_space(end + 1)
        return arrays

    def _skip_space(self, position: int) -> int:
        match = _SPACE.match(self.text, position)
        assert match is not None  # matches the empty string
        return match.end()

    def _values(
        self, what: str, start: int, end: int, dims: tuple[int, ...], dtype: type[np.int8 | np.uint8]
    ) -> npt.NDArray[Any]:
        """The numbers between text positions `start` and `end`, which must be braced exactly as `dims` says."""
        size = math.prod(dims)
        shape = "".join(f"[{n}]" for n in dims)
        text = np.frombuffer(self.text, np.uint8, end - start, start)
        if not 0 < size <= len(text):
            self.fail(start, f"{what} is declared {shape}, which its {len(text):,} characters cannot fill")
        kind = _CLASS[text]
        if (other := _first(kind == _OTHER)) is not None:
            self.fail(start + other, f"{what} has {self.found(start + other)}, expected numbers, commas and braces")

        # Numbers are runs of digits.
        digit = np.concatenate(([False], kind == _DIGIT, [False]))
        begins, ends = np.flatnonzero(~digit[:-1] & digit[1:]), np.flatnonzero(digit[:-1] & ~digit[1:])
        minus = kind == _MINUS
        if (stray := _first(minus[:-1] & ~digit[2:-1])) is not None or minus[-1]:
            at = start + (stray if stray is not None else len(text) - 1)
            self.fail(at, f"{what} has {self.found(at)}, expected a digit after the sign")
        if len(begins) != size:
            self.fail(start, f"{what} has {len(begins):,} values, expected {size:,} for {shape}")

        # Braces, commas and numbers ("n") must be in the one arrangement that the dimensions allow.
        places = np.flatnonzero(kind == _BRACE_OR_COMMA)
        places = np.sort(np.concatenate((places, begins)), kind="stable")
        tokens = np.where(kind[places] == _DIGIT, ord("n"), text[places])
        wrong = _first_difference(tokens, dims)
        if wrong is not None:
            at = start + int(places[wrong]) if wrong < len(places) else end
            self.fail(at, f"{what} is braced differently from {shape} at {self.found(at)}")

        # begins - 1 is never -1: the first token is a brace.
        return self._numbers(what, start, text, begins, ends, minus[begins - 1], dims, dtype)

    def _numbers(
        self,
        what: str,
        start: int,
        text: npt.NDArray[np.uint8],
        begins: npt.NDArray[np.intp],
        ends: npt.NDArray[np.intp],
        negative: npt.NDArray[np.bool_],
        dims: tuple[int, ...],
        dtype: type[np.int8 | np.uint8],
    ) -> npt.NDArray[Any]:
        length = ends - begins
        values = np.zeros(len(begins), np.int32)
        for place in range(_DIGITS_MAX):
            # Numbers shorter than this place has digits read some digit of their own, which is then not counted.
            digits = text[np.maximum(ends - 1 - place, begins)].astype(np.int32) - ord("0")
            values += np.where(length > place, digits * 10**place, 0)
        values[negative] *= -1
        limits = np.iinfo(dtype)
        octal = (length > 1) & (text[begins] == ord("0"))
        bad = _first((length > _DIGITS_MAX) | (values < limits.min) | (values > limits.max) | octal)
        if bad is not None:
            number = text[begins[bad] - negative[bad] : ends[bad]].tobytes().decode()
            number = number if len(number) <= 20 else f"{number[:20]}..."
            index = "".join(f"[{i}]" for i in np.unravel_index(bad, dims))
            expected = f"a decimal number from {limits.min} to {limits.max}"
            self.fail(start + int(begins[bad]), f"{what} has {number} at {index}, expected {expected}")
        return values.astype(dtype).reshape(dims)


def _first(mask: npt.NDArray[np.bool_]) -> int | None:
    """Index of the first True, or None."""
    if not mask.size:
        return None
    index = int(mask.argmax())
    return index if mask[index] else None


def _first_difference(tokens: npt.NDArray[np.uint8], dims: tuple[int, ...]) -> int | None:
    """Index of the first token that differs from an array of these dimensions, or None; may be just past the end."""
    expected_length = 1
    for n in reversed(dims):
        expected_length = n * expected_length + (n - 1) + 2
    if expected_length > 8 * len(tokens):
        # Never build far more than was found.
        return len(tokens)
    expected = b"n"
    for n in reversed(dims):
        expected = b"{" + b",".join([expected] * n) + b"}"
    wanted = np.frombuffer(expected, np.uint8)
    both = min(len(tokens), len(wanted))
    different = _first(tokens[:both] != wanted[:both])
    return both if different is None and len(tokens) != len(wanted) else different


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
