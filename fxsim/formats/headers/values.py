"""The numbers between an array's braces, read by numpy over the whole array at once.

Braces are compared with the one arrangement that the dimensions allow, so that reading is both strict and fast.
"""

import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.formats.headers.source import Source

_DIGITS_MAX = 3

# What may stand between the braces of an array, by byte; everything else is an error.
_OTHER, _BLANK, _DIGIT, _MINUS, _BRACE_OR_COMMA = range(5)
_CLASS = np.full(256, _OTHER, np.uint8)
_CLASS[list(b" \t\r\n\f\v")] = _BLANK
_CLASS[list(b"0123456789")] = _DIGIT
_CLASS[list(b"-")] = _MINUS
_CLASS[list(b"{},")] = _BRACE_OR_COMMA

# Hexadecimal with at most eight digits, which have no more in decimal than with their prefix; or a suffix.
_UNUSUAL = re.compile(rb"(?<![\w.'])(?:0[xX]([0-9a-fA-F]{1,8})|([0-9]{1,20}))[uUlL]{0,3}(?![\w.'])")


def read_values(
    source: Source, what: str, start: int, end: int, dims: tuple[int | None, ...], dtype: type[np.int8 | np.uint8]
) -> npt.NDArray[Any]:
    """The numbers between text positions `start` and `end`, which must be braced exactly as `dims` says.

    The first dimension may be None: as many as there are. A comma may stand behind the last element of any braces, as
    in C. `what` names the array in messages. FileError names the line.
    """
    size = math.prod(n for n in dims if n is not None)
    shape = "".join("[]" if n is None else f"[{n}]" for n in dims)
    text = np.frombuffer(source.text, np.uint8, end - start, start)
    if not 0 < size <= len(text):
        source.fail(start, f"{what} is declared {shape}, which its {len(text):,} characters cannot fill")
    kind = _CLASS[text]
    if (other := _first(kind == _OTHER)) is not None:
        text = np.frombuffer(_UNUSUAL.sub(_plain, text.tobytes()), np.uint8)
        kind = _CLASS[text]
        other = _first(kind == _OTHER)
    if other is not None:
        source.fail(start + other, f"{what} has {source.found(start + other)}, expected numbers, commas and braces")

    # Numbers are runs of digits.
    digit = np.concatenate(([False], kind == _DIGIT, [False]))
    begins, ends = np.flatnonzero(~digit[:-1] & digit[1:]), np.flatnonzero(digit[:-1] & ~digit[1:])
    minus = kind == _MINUS
    if (stray := _first(minus[:-1] & ~digit[2:-1])) is not None or minus[-1]:
        at = start + (stray if stray is not None else len(text) - 1)
        source.fail(at, f"{what} has {source.found(at)}, expected a digit after the sign")
    known = tuple(len(begins) // size if n is None else n for n in dims)
    if len(begins) != math.prod(known) or not len(begins):
        expected = f"{size:,}" if None not in dims else f"a multiple of {size:,}"
        source.fail(start, f"{what} has {len(begins):,} values, expected {expected} for {shape}")

    # Braces, commas and numbers ("n") must be in the one arrangement that the dimensions allow.
    places = np.flatnonzero(kind == _BRACE_OR_COMMA)
    places = np.sort(np.concatenate((places, begins)), kind="stable")
    tokens = np.where(kind[places] == _DIGIT, ord("n"), text[places])
    wrong = _first_difference(tokens, known)
    if wrong is not None:
        # A comma may stand behind the last element.
        kept = np.append((tokens[:-1] != ord(",")) | (tokens[1:] != ord("}")), True)
        places, tokens = places[kept], tokens[kept]
        wrong = _first_difference(tokens, known)
    if wrong is not None:
        at = start + int(places[wrong]) if wrong < len(places) else end
        source.fail(at, f"{what} is braced differently from {shape} at {source.found(at)}")

    # begins - 1 is never -1: the first token is a brace.
    return _numbers(source, what, start, text, begins, ends, minus[begins - 1], known, dtype)


def _plain(match: re.Match[bytes]) -> bytes:
    """The same number in as many characters, decimal and without a suffix."""
    digits = match[2] if match[1] is None else b"%d" % int(match[1], 16)
    return digits.ljust(len(match[0]))


def _numbers(
    source: Source,
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
        # As it is written, not as it was made plain.
        at = start + int(begins[bad]) - int(negative[bad])
        match = re.compile(rb"-?\w{1,21}").match(source.text, at)
        assert match is not None  # a digit is there
        number = match[0].decode() if len(match[0]) <= 20 else f"{match[0][:20].decode()}..."
        index = "".join(f"[{i}]" for i in np.unravel_index(bad, dims))
        expected = f"a decimal number from {limits.min} to {limits.max}"
        source.fail(start + int(begins[bad]), f"{what} has {number} at {index}, expected {expected}")
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
