"""Words in text: Verilog's $writememh and $writememb, HLS's .dat, Xilinx's .coe; one a line, or many."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn

from fxsim.errors import FileError
from fxsim.formats.text import short
from fxsim.traces.words import Words, WordsWriter, parse_bits

RADIX = {".hex": 16, ".mem": 16, ".memh": 16, ".memb": 2, ".bin": 2, ".dat": 10, ".txt": 10, ".coe": 16, ".tv": 10}
"""Radix of digits without a prefix, by the file name's ending; a .coe says its own."""

_BLOCK = 1 << 20
_SEPARATORS = b" \t\r\n,"
_DIGITS = {2: 1, 8: 3, 16: 4}
_COE = re.compile(rb"\s*memory_initialization_radix\s*=\s*(2|8|10|16)\s*;\s*memory_initialization_vector\s*=", re.I)
_TRANSACTION = re.compile(rb"\[\[\[?/?(runtime|transaction)\]?\]\](?:[ \t]+\d+)?")


def read_text(path: Path, bits: int, radix: int | None = None, most: int | None = None) -> Words:
    """The words of a text file, `bits` wide each, in memory that does not grow with the file's length.

    `radix` is that of digits without a prefix, by default what the file name's ending says; `0x` is always hexadecimal.
    Addresses (`@1f`) must follow the words before them. Comments (`//`, `/* */`, `#`; `;` in a .coe) are passed over.
    Digits may be X or Z. Reading stops after `most` words. FileError, naming the line, for anything else.
    """
    coe = path.suffix.lower() == ".coe"
    base = radix or RADIX.get(path.suffix.lower(), 10)
    writer = WordsWriter(str(path), bits)
    parser = _Parser(path, bits, base, writer)
    try:
        with path.open("rb") as file:
            if coe:
                parser.radix = _coe_header(path, file, parser)
            for line, text in _pieces(path, file, parser.line):
                parser.line = line
                parser.feed(text.split(b";", 1)[0] if coe and text.lstrip().startswith(b";") else text, coe)
                if most is not None and len(writer) >= most:
                    return writer.words()
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
    parser.end(coe)
    return writer.words()


class _Parser:
    """Words and marks of a text, piece by piece."""

    def __init__(self, path: Path, bits: int, radix: int, writer: WordsWriter) -> None:
        self.line = 1
        self.radix = radix
        self._path = path
        self._bits = bits
        self._writer = writer
        self._comment = False
        self._start: int | None = None
        self._open = 0
        self._ended = False

    def feed(self, text: bytes, coe: bool) -> None:
        text = self._without_comments(text)
        if b"[[" in text:
            text = self._without_transactions(text)
        if coe and b";" in text:
            text, _, rest = text.partition(b";")
            self._ended = True
            if rest.strip():
                self._fail(f"has {short(rest.decode('latin-1'), 40)!r} behind the last value, expected the end")
        for word in text.replace(b",", b" ").split():
            self._word(word.decode("latin-1"))

    def end(self, coe: bool) -> None:
        if self._comment:
            self._fail("a comment has no end: the file is cut off")
        if self._open:
            self._fail("a [[[runtime]]] or [[transaction]] has no end: the file is cut off")
        if coe and not self._ended:
            self._fail("has no ';' behind the last value: the file is cut off")

    def _word(self, word: str) -> None:
        if word.startswith("@"):
            self._address(word)
            return
        digits, radix, negative = word.replace("_", ""), self.radix, False
        if digits[:2] in ("0x", "0X"):
            digits, radix = digits[2:], 16
        elif radix == 10 and digits[:1] in ("-", "+"):
            digits, negative = digits[1:], digits[0] == "-"
        found = _digits(digits, radix)
        if found is None:
            kind = {2: "binary", 8: "octal", 10: "decimal", 16: "hexadecimal"}[radix]
            self._fail(f"{short(word, 40)!r} is no {kind} number")
        value, unknown, used = found
        if used is None:
            value, unknown = ((1 << self._bits) - 1 if value else 0), (1 << self._bits) - 1
        elif _excess(value, unknown, self._bits, radix) or (negative and value > 1 << (self._bits - 1)):
            self._fail(f"{short(word, 40)!r} does not fit in {self._bits} bits; width and lanes in a map say otherwise")
        mask = (1 << self._bits) - 1
        self._writer.add((-value if negative else value) & mask, unknown & mask)

    def _address(self, word: str) -> None:
        try:
            address = int(word[1:].replace("_", ""), 16)
        except ValueError:
            self._fail(f"{short(word, 40)!r} is no address, expected @ and hexadecimal digits")
        if self._start is None:
            self._start = address - len(self._writer)
        expected = self._start + len(self._writer)
        if address != expected:
            self._fail(f"address {address:#x} leaves a hole or goes back, expected {expected:#x}")

    def _without_comments(self, text: bytes) -> bytes:
        kept = b""
        while text:
            if self._comment:
                _, end, text = text.partition(b"*/")
                self._comment = not end
                continue
            match = re.search(rb"//|#|/\*", text)
            if match is None:
                return kept + text
            kept += text[: match.start()] + b" "
            if match[0] != b"/*":
                return kept
            text, self._comment = text[match.end() :], True
        return kept

    def _without_transactions(self, text: bytes) -> bytes:
        for mark in _TRANSACTION.finditer(text):
            self._open += -1 if b"/" in mark[0] else 1
        return _TRANSACTION.sub(b" ", text)

    def _fail(self, message: str) -> NoReturn:
        raise FileError(f"{self._path}: line {self.line:,}: {message}")


def _digits(text: str, radix: int) -> tuple[int, int, int | None] | None:
    """Value, unknown bits and digits of a number; no count of digits for a decimal that is X or Z throughout."""
    if radix == 10:
        if text.isascii() and text.isdigit() and len(text) <= 30:
            return int(text), 0, len(text)
        return (int(text in "xX"), 1, None) if text and text in "xXzZ" else None
    try:
        # No sign, no space: those are cut off before, or refused.
        return (int(text, radix), 0, len(text)) if text.isalnum() else None
    except ValueError:
        pass
    each = _DIGITS[radix]
    try:
        letters = "".join(c * each if c in "xXzZ" else f"{int(c, radix):0{each}b}" for c in text)
    except ValueError:
        return None
    return (*parse_bits(letters), len(text)) if letters else None


def _excess(value: int, unknown: int, bits: int, radix: int) -> bool:
    """Whether a number has more bits than there are; of its first digit, unknown ones may be more."""
    each = _DIGITS.get(radix, 1)
    return bool((value & ~unknown) >> bits or unknown >> (-(-bits // each) * each))


def _coe_header(path: Path, file: BinaryIO, parser: _Parser) -> int:
    head = re.sub(rb"(?m)^;[^\n]*", b"", file.read(_BLOCK))
    match = _COE.match(head)
    if match is None:
        raise FileError(f"{path}: begins with no memory_initialization_radix and _vector, expected a Xilinx .coe")
    file.seek(0)
    read = file.read(_BLOCK)
    at = re.search(rb"memory_initialization_vector\s*=", read, re.I)
    assert at is not None
    file.seek(at.end())
    parser.line += read.count(b"\n", 0, at.end())
    return int(match[1])


def _pieces(path: Path, file: BinaryIO, line: int) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers; a long one in pieces that end between words."""
    rest = b""
    while block := file.readline(_BLOCK):
        text = rest + block
        if block.endswith(b"\n"):
            yield line, text
            line, rest = line + 1, b""
            continue
        cut = 1 + max(text.rfind(bytes([letter])) for letter in _SEPARATORS)
        if not cut and len(text) >= 2 * _BLOCK:
            raise FileError(f"{path}: line {line:,}: has a word of more than {_BLOCK:,} letters, expected numbers")
        yield line, text[:cut]
        rest = text[cut:]
    if rest:
        yield line, rest
