"""Names in C: file stems, identifiers and texts, made of names that may hold anything."""

import re
from collections.abc import Iterable

from fxsim.errors import FileError

STEM = re.compile(r"[A-Za-z0-9_]{1,64}\Z")
STEM_LENGTH_MAX = 64

_C_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}\Z")
_C_NAME_LENGTH_MAX = 40
_OWN = "fxsim"
"""The beginning of names that all exports share: no network may be called so."""

_IDENTIFIER_LENGTH_MAX = 50
"""Characters of a tap's identifier: with what is put before it, C99 compilers tell at least 63 apart."""

_TEXT_LENGTH_MAX = 200
"""Characters of a model's name that files repeat: C compilers need not take long strings."""

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-+.,:()")
"""Bytes that mean themselves in strings and comments of C and SystemVerilog."""


def stem_of(name: str) -> str:
    """The stem of file names, made of a model's name, which may hold anything: letters, digits and underscores."""
    words = re.findall(r"[A-Za-z0-9]+", name)
    return "_".join(words)[:STEM_LENGTH_MAX].strip("_") or "model"


def c_name_of(name: str) -> str:
    """The name that all of a network's identifiers in C begin with, made of a model's name, which may hold anything."""
    stem = stem_of(name)
    if not stem[0].isalpha() or stem.lower().startswith(_OWN):
        stem = f"model_{stem}"
    return stem[:_C_NAME_LENGTH_MAX].rstrip("_")


def checked_c_name(name: str) -> str:
    """A name that the user chose, if a network in C may be called so; FileError otherwise."""
    if not _C_NAME.match(name) or name.lower().startswith(_OWN):
        raise FileError(
            f"a network in C cannot be called {name[:100]!r}, expected a letter and then up to "
            f"{_C_NAME_LENGTH_MAX - 1} letters, digits and underscores, not beginning with '{_OWN}'"
        )
    return name


def tap_identifiers(taps: Iterable[str]) -> dict[str, str]:
    """An identifier for each tap, by its name: lower-case letters, digits and underscores, all different.

    Dots become underscores; a number is put behind what would be too long, or is taken.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for tap in taps:
        plain = tap.replace(".", "_")
        identifier, number = plain[:_IDENTIFIER_LENGTH_MAX], 1
        while identifier in taken or (number == 1 and identifier != plain):
            number += 1
            end = f"_{number}"
            identifier = plain[: _IDENTIFIER_LENGTH_MAX - len(end)] + end
        taken.add(identifier)
        found[tap] = identifier
    return found


def shown(name: str) -> str:
    """The start of a model's name that files repeat, as valid Unicode."""
    return name[:_TEXT_LENGTH_MAX].encode("utf-8", "backslashreplace").decode()


def c_string(text: str) -> str:
    """A C string literal of the text's UTF-8 bytes, whatever they are."""
    # Three octal digits: no digit that follows can become part of the escape.
    return '"' + "".join(chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in text.encode()) + '"'


def c_comment(text: str) -> str:
    """A text as it may stand inside a comment, whatever it holds: what could end or hide one is a question mark."""
    return "".join(chr(byte) if byte in _PLAIN else "?" for byte in text.encode("utf-8", "backslashreplace"))
