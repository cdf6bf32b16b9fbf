"""Text from files that nobody vouches for: read within bounds, then parsed as TOML or JSON into a record.

Every plan, recipe, manifest and record comes in here. Bounds are checked on the text, before a parser sees it: Python's
TOML parser takes time and memory that grow with the square of a dotted key's length, and a number of some thousand
digits ends it with an error of its own. Records state a bound for every number that sizes an allocation.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec

from fxsim.errors import FileError, FxsimError

DEPTH_MAX = 16
"""Most parts of a dotted key, and brackets and braces inside each other, in TOML."""
WORD_MAX = 200
"""Most characters of a number, or of a part of a key, in TOML."""
ENTRIES_MAX = 50_000
"""Most keys, parts of dotted keys, arrays and tables together in one TOML file: each takes a kilobyte to parse."""

_MESSAGE_MAX = 500

_BOMS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"\x2b\x2f\x76": "UTF-7",
}
"""Byte-order marks of other encodings than UTF-8; longer ones first."""

_QUOTED = r'"(?:[^"\\\n]++|\\.)*+"|\'[^\'\n]*+\''
_PART = rf"(?:[A-Za-z0-9_-]++|{_QUOTED})"
_TOML = re.compile(
    # Possessive throughout: a scan never goes back. Whatever is none of these is passed over, character by character.
    r'(?P<text>\#[^\n]*+|"""(?:[^"\\]++|\\.|"(?!""))*+"{3,5}+|\'\'\'(?:[^\']++|\'(?!\'\'))*+\'{3,5}+)'
    # No end was found: the parser stops here, too.
    rf'|(?P<unended>"""|\'\'\'|(?!{_QUOTED})["\'])'
    rf"|(?P<key>{_PART}(?:[ \t]*+\.[ \t]*+{_PART})*+)|(?P<open>[\[{{])|(?P<close>[\]}}])",
    re.DOTALL,
)
_PARTS = re.compile(_PART, re.DOTALL)

Content = TypeVar("Content")
Hook = Callable[[type, Any], Any]


def read_bounded(path: Path, limit: int, expected: str) -> bytes:
    """The bytes of a file of at most `limit` bytes. FileError, which says what was `expected`, for a longer one."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}, expected {expected}") from None
    if len(data) > limit:
        raise FileError(f"{path}: is larger than {limit:,} bytes, the most that is read of {expected}")
    return data


def strip_mark(where: str, data: bytes) -> bytes:
    """The bytes without UTF-8's byte-order mark. FileError where the mark is another encoding's."""
    for mark, name in _BOMS.items():
        if data.startswith(mark):
            raise FileError(f"{where}: begins with the byte-order mark of {name}, expected UTF-8")
    return data.removeprefix(b"\xef\xbb\xbf")


def plain_line_ends(where: str, data: bytes) -> bytes:
    r"""The bytes with every line ending in a line feed alone: CR LF, or CR throughout, become LF.

    FileError where a carriage return stands alone in a file that has line feeds: some readers see a line's end there
    and some see none.
    """
    if b"\r" not in data:
        return data
    data = data.replace(b"\r\n", b"\n")
    alone = data.find(b"\r")
    if alone >= 0 and b"\n" in data:
        line = data.count(b"\n", 0, alone) + 1
        raise FileError(f"{where}: line {line}: a carriage return stands alone, expected line feeds between lines")
    return data.replace(b"\r", b"\n")


def decode_toml(where: str, data: bytes, kind: type[Content], expected: str) -> Content:
    """A TOML text as a record of this kind. FileError, one line, begins with `where` and says what was `expected`.

    A UTF-8 byte-order mark is passed over. Deep keys and nestings, long numbers and too many entries are refused before
    anything is parsed.
    """
    text = _decode_utf8(where, plain_line_ends(where, strip_mark(where, data)), expected)
    _check_toml(where, text)
    try:
        return msgspec.toml.decode(text, type=kind)
    # ValueError: dates and numbers that there are not.
    except (ValueError, RecursionError, FxsimError) as error:
        _refuse(where, expected, error)


def decode_json(where: str, data: bytes, kind: type[Content], expected: str, hook: Hook | None = None) -> Content:
    """A JSON text as a record of this kind. FileError, one line, begins with `where` and says what was `expected`.

    `hook` makes values of types that msgspec does not know; see its `dec_hook`.

    A UTF-8 byte-order mark is passed over. A key that stands twice in one object is refused: readers differ in which of
    the two they take.
    """
    text = _decode_utf8(where, strip_mark(where, data), expected)
    try:
        content = msgspec.json.decode(text, type=kind, dec_hook=hook)
    except (ValueError, RecursionError, FxsimError) as error:
        _refuse(where, expected, error)
    refuse_repeated_keys(where, text)
    return content


def read_json(path: Path, kind: type[Content], limit: int, expected: str) -> Content:
    """`decode_json` of a file of at most `limit` bytes."""
    return decode_json(str(path), read_bounded(path, limit, expected), kind, expected)


def refuse_repeated_keys(where: str, text: str) -> None:
    """FileError where the text is not JSON, or an object in it, at whatever depth, has a key twice."""
    import json  # nothing else at start-up needs it

    def check(pairs: list[tuple[str, Any]]) -> None:
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise FileError(f"{where}: key '{short(key)}' stands twice in one object, expected once")
            seen.add(key)

    nothing = lambda _: None  # noqa: E731  # numbers are not looked at, however long
    try:
        json.loads(text, object_pairs_hook=check, parse_int=nothing, parse_float=nothing, parse_constant=nothing)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{where}: is not JSON: {short(str(error), _MESSAGE_MAX)}") from None


def short(text: str, length: int = 80) -> str:
    """Text from a file, fit for a message of one line."""
    line = text[: length + 1].encode("unicode_escape").decode()
    return line if len(line) <= length else f"{line[:length]}..."


def _decode_utf8(where: str, data: bytes, expected: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileError(
            f"{where}: line {line}: byte 0x{data[error.start]:02x} is not UTF-8, expected {expected}"
        ) from None


def _refuse(where: str, expected: str, error: BaseException) -> NoReturn:
    raise FileError(f"{where}: is not {expected}: {short(str(error), _MESSAGE_MAX)}") from None


def _check_toml(where: str, text: str) -> None:
    """FileError where a TOML text is beyond a bound. Up to its first error it is divided as the parser divides it."""

    def fail(match: re.Match[str], message: str) -> NoReturn:
        raise FileError(f"{where}: line {text.count(chr(10), 0, match.start()) + 1}: {message}")

    depth = entries = 0
    for match in _TOML.finditer(text):
        kind = match.lastgroup
        if kind == "text":
            continue
        if kind == "unended":
            return
        if kind == "close":
            depth -= 1
            continue
        if kind == "open":
            depth, entries = depth + 1, entries + 1
            if depth > DEPTH_MAX:
                fail(match, f"arrays and tables lie more than {DEPTH_MAX} deep in each other")
        else:
            word = match["key"]
            parts = _PARTS.findall(word) if len(word) > WORD_MAX or "." in word else [word]
            entries += len(parts)
            if len(parts) > DEPTH_MAX:
                fail(match, f"'{short(word, 40)}' has {len(parts):,} parts, expected at most {DEPTH_MAX}")
            for part in parts:
                # What is in quotes may be a text, as well as a key.
                if len(part) > WORD_MAX and part[0] not in "\"'":
                    fail(match, f"'{short(part, 40)}' has {len(part):,} characters, expected at most {WORD_MAX}")
        if entries > ENTRIES_MAX:
            fail(match, f"more than {ENTRIES_MAX:,} keys, numbers, arrays and tables, the most that are read")
