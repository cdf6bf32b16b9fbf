"""The text of a C header before declarations are read: comments, conditions and macros, as a preprocessor sees them.

Arrays are read only where every compiler finds them: a condition around anything but an include guard, or `extern "C"`
under `__cplusplus`, is refused. Included files are not read, so what they could change is never relied on.
"""

import re
from bisect import bisect_left
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import NoReturn

from fxsim.errors import FileError
from fxsim.formats.text import plain_line_ends, strip_mark

MACROS_MAX = 10_000
"""Most macros that one header may define."""
_DEPTH_MAX = 50
"""Most conditions inside each other."""

_SPLICE = re.compile(rb"(?:\\|\?\?/)[ \t\f\v]*+(?:\n|\Z)")
_COMMENT = re.compile(rb"//[^\n]*+|/\*.*?\*/|/\*|\"(?:[^\"\\\n]++|\\.)*+\"|'(?:[^'\\\n]++|\\.)*+'", re.DOTALL)
# A comment's own line ends are carriage returns by then: a directive goes on behind it, as in C.
_HASH = re.compile(rb"#[^\S\n]*+(\w*+)([^\n]*+)")
_BLANKS = bytes(0x0D if c in b"\r\n" else 0x20 for c in range(256))
"""Blanks whatever it translates; line ends become carriage returns, which count as lines and end no directive."""

_NAME = rb"[A-Za-z_]\w*+"
_INCLUDE = re.compile(rb"<[\w./+-]+>|\"[\w./+-]+\"")
_DEFINE = re.compile(rb"(" + _NAME + rb")(\()?(.*)", re.DOTALL)
_CONDITION_NAME = re.compile(rb"(!?)\s*defined\s*(?:\(\s*(" + _NAME + rb")\s*\)|\s(" + _NAME + rb"))")
_LINKAGE = re.compile(rb"\s*+extern\s*+\"C\"\s*+(\{)|\s*+(\})")
_PRAGMAS = (b"once", b"HLS", b"AP", b"SDS", b"GCC", b"clang", b"warning", b"message")
"""Pragmas that change neither a value nor a name."""


class _Kind(Enum):
    GUARD = auto()
    CPLUSPLUS = auto()
    OTHER = auto()


@dataclass
class _Condition:
    """A condition that is open: its directive's position, and, of `__cplusplus`, where its text begins."""

    kind: _Kind
    position: int
    name: bytes = b""


@dataclass(frozen=True)
class Macro:
    """A macro: its text, None where it has not one and the same value wherever it is defined, and where that is."""

    text: bytes | None
    position: int


class Source:
    """One header's text, in which comments and directives are blanked, so that every position keeps its place.

    FileError from the constructor, with file and line, for what a compiler could read in another way.
    """

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self.text = plain_line_ends(str(path), strip_mark(str(path), data))
        # Without one of these characters there is none: looking for them is quicker.
        splice = _SPLICE.search(self.text) if b"\\" in self.text or b"??/" in self.text else None
        if splice:
            self.fail(splice.start(), "a backslash joins this line to the next, expected plain arrays")
        self.text = _COMMENT.sub(self._blank_comment, self.text)
        self.macros: dict[bytes, Macro] = {}
        self._counted = (0, 1)
        self._directives = [match for match in _HASH.finditer(self.text) if self._begins_line(match.start())]
        self._starts = [match.start() for match in self._directives]
        self._open: list[_Condition] = []
        self._guarded = False
        self._linkages: list[int] = []
        self._pieces: list[bytes] = []
        self._read_directives()

    def line(self, position: int) -> int:
        """The line of a position, from 1; quick where positions are asked for in their order."""
        counted, line = self._counted if self._counted[0] <= position else (0, 1)
        line += self.text.count(b"\n", counted, position) + self.text.count(b"\r", counted, position)
        self._counted = (position, line)
        return line

    def fail(self, position: int, message: str) -> NoReturn:
        """FileError with file and line."""
        self._counted = (0, 1)
        raise FileError(f"{self.path}: line {self.line(position)}: {message}")

    def found(self, position: int) -> str:
        """The text at a position, fit for a message of one line."""
        piece = re.split(rb"[\r\n]", self.text[position : position + 30])[0].strip()
        return f"'{piece.decode('latin-1').encode('unicode_escape').decode()}'" if piece else "the end of the line"

    def directive_between(self, start: int, end: int) -> int | None:
        """Position of the first directive between two positions, or None."""
        i = bisect_left(self._starts, start)
        return self._starts[i] if i < len(self._starts) and self._starts[i] < end else None

    def _begins_line(self, position: int) -> bool:
        return not self.text[self.text.rfind(b"\n", 0, position) + 1 : position].strip()

    def _blank_comment(self, match: re.Match[bytes]) -> bytes:
        piece = match[0]
        if piece == b"/*":
            self._counted = (0, 1)
            self.fail(match.start(), "a comment begins and does not end")
        return piece.translate(_BLANKS) if piece.startswith(b"/") else piece

    def _read_directives(self) -> None:
        """Follow all conditions, collect the macros, and blank every directive in the text."""
        before = 0
        for i, match in enumerate(self._directives):
            self._take_text(before, match.start())
            self._take_directive(i, match)
            # `text` keeps the directive until all are read: a message may show it.
            self._pieces.append(match[0].translate(_BLANKS))
            before = match.end()
        self._take_text(before, len(self.text))
        if self._open:
            position = self._open[-1].position
            self.fail(position, f"{self.found(position)} has no '#endif' before the end of the file")
        if self._linkages:
            self.fail(self._linkages[-1], "'extern \"C\" {' under __cplusplus has no '}' under __cplusplus")
        self.text = b"".join(self._pieces)
        self._pieces = []

    def _take_text(self, start: int, end: int) -> None:
        """Text between two directives: plain, or under a condition that lets nothing but linkage stand."""
        piece = self.text[start:end]
        conditions = [condition for condition in self._open if condition.kind is not _Kind.GUARD]
        inner = next((c for c in conditions if c.kind is _Kind.OTHER), conditions[-1] if conditions else None)
        if inner is not None:
            position = start
            if inner.kind is _Kind.CPLUSPLUS:
                while match := _LINKAGE.match(self.text, position, end):
                    position = match.end()
                    if match[1]:
                        self._linkages.append(match.start(1))
                    elif self._linkages:
                        self._linkages.pop()
                    else:
                        self.fail(match.start(2), "'}' under __cplusplus closes nothing that was opened under it")
            if self.text[position:end].strip():
                what = "is a condition, not an include guard, and something stands under it"
                self.fail(inner.position, f"{self.found(inner.position)} {what}; expected plain arrays")
            piece = re.sub(rb"[^\r\n]", b" ", piece)
        self._pieces.append(piece)

    def _take_directive(self, i: int, match: re.Match[bytes]) -> None:
        position, word, rest = match.start(), match[1], match[2].strip()
        if word in (b"if", b"ifdef", b"ifndef"):
            self._open_condition(i, position, word, rest)
        elif word in (b"else", b"elif", b"elifdef", b"elifndef", b"endif"):
            self._close_condition(position, word, rest)
        elif word == b"define":
            self._define(position, rest)
        elif word == b"undef":
            self._add_macro(rest, None, position)
        else:
            first = re.match(rb"\w*", rest)
            harmless = (
                (word == b"include" and _INCLUDE.fullmatch(rest))
                or (word == b"pragma" and first is not None and first[0] in _PRAGMAS)
                or (word, rest) == (b"", b"")
                # A compiler that comes by here refuses the file.
                or (word in (b"error", b"warning") and self._open and self._open[-1].kind is not _Kind.GUARD)
            )
            if not harmless:
                what = f"{self.found(position)} is more than an include guard, '#include' or '#define'"
                self.fail(position, f"{what}, expected plain arrays")

    def _open_condition(self, i: int, position: int, word: bytes, rest: bytes) -> None:
        if len(self._open) == _DEPTH_MAX:
            self.fail(position, f"more than {_DEPTH_MAX} conditions inside each other")
        if match := _CONDITION_NAME.fullmatch(rest) if word == b"if" else None:
            word, rest = (b"ifndef" if match[1] else b"ifdef"), match[2] or match[3]
        kind = _Kind.OTHER
        if word in (b"ifdef", b"if") and rest == b"__cplusplus":
            kind = _Kind.CPLUSPLUS
        elif word == b"ifndef" and not self._guarded and not self._open and self._defines_next(i, rest):
            kind, self._guarded = _Kind.GUARD, True
        self._open.append(_Condition(kind, position, rest))

    def _defines_next(self, i: int, name: bytes) -> bool:
        """Whether nothing was defined yet, and the next directive, with nothing before it, defines just this name."""
        following = self._directives[i + 1] if i + 1 < len(self._directives) else None
        return (
            following is not None
            and following[1] == b"define"
            and following[2].split() in ([name], [name, b"1"])
            and not self.macros
            and not self.text[self._directives[i].end() : following.start()].strip()
        )

    def _close_condition(self, position: int, word: bytes, rest: bytes) -> None:
        if not self._open:
            self.fail(position, f"{self.found(position)} has no '#if' before it")
        top = self._open[-1]
        if word == b"endif":
            if rest and not re.fullmatch(_NAME, rest):
                self.fail(position, f"{self.found(position)} has something behind it, expected nothing")
            self._open.pop()
        elif top.kind is _Kind.GUARD:
            self.fail(position, f"{self.found(position)} belongs to an include guard, expected '#endif'")
        else:
            top.kind = _Kind.OTHER

    def _define(self, position: int, rest: bytes) -> None:
        match = _DEFINE.fullmatch(rest)
        if match is None:
            self.fail(position, f"{self.found(position)} defines no name")
        # With parameters it is nothing that could stand for a number.
        self._add_macro(match[1], None if match[2] else match[3].strip(), position)

    def _add_macro(self, name: bytes, text: bytes | None, position: int) -> None:
        if len(self.macros) == MACROS_MAX:
            self.fail(position, f"more than {MACROS_MAX:,} macros are defined")
        known = self.macros.get(name)
        conditional = any(condition.kind is not _Kind.GUARD for condition in self._open)
        same = known is None or known.text == text
        self.macros[name] = Macro(text if same and not conditional else None, known.position if known else position)
