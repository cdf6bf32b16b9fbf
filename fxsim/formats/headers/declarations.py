"""The declarations of a C header: `static const int8_t name[2][3] = {{1, 2, 3}, {4, 5, 6}};` and what leads up to it.

Written for this one purpose after trying two kept parsers on a published header, 0.4 MB of numbers with some hundred
names. pycparser 3.12 takes 3.1 s, and is for C, which has neither `ap_int<8>` nor namespaces. tree-sitter-cpp 0.23
takes 0.13 s and 72 bytes of memory a byte, where the whole model is read in 0.03 s; it leaves conditions to others,
repairs what is wrong rather than refusing it, and what its trees may hold would have to be listed here all the same. So
declarations are read token by token, everything else is refused by name and line, and the numbers between the braces
are left to numpy (`values.py`).

A type is taken only where this file says what it is: width and sign of an element are never guessed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from fxsim.formats.headers.source import Source
from fxsim.formats.headers.values import read_values

ARRAYS_MAX = 10_000
"""Most arrays that are read from one header: some 400 blocks."""
NAMES_MAX = 10_000
"""Most types and constants that one header may declare."""
DIMENSIONS_MAX = 4

_NAME_MAX = 200
_TOKENS_MAX = 60
"""Most tokens of a declaration before its braces, and of an expression once macros are expanded."""
_DEPTH_MAX = 20
_LIMIT = 1 << 62

_TOKEN = re.compile(rb"\s*+([A-Za-z_]\w*+|\d[\w.']*+|\"(?:[^\"\\\n]++|\\.)*+\"|::|<<|\S)")
_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_INTEGER = re.compile(rb"(?:0[xX][0-9a-fA-F]{1,16}|0[bB][01]{1,62}|[0-9]{1,19})[uUlL]{0,3}")

_EXPECTED = "'const ap_int<8> NAME[N]... =' or 'const ap_uint<8> ...'"
_TYPES_EXPECTED = "ap_int<8>, ap_uint<8>, int8_t, uint8_t, signed char, unsigned char or a typedef of one of them"

_STORAGE = {b"static", b"inline", b"extern"}
_CONST = {b"const", b"constexpr"}


@dataclass(frozen=True)
class _Type:
    """An integer type: its bits and sign; None where `reason` says why they are not known."""

    bits: int | None
    signed: bool = True
    const: bool = False
    reason: str = ""


_STANDARD = {
    **{f"int{n}_t".encode(): _Type(n) for n in (8, 16, 32, 64)},
    **{f"uint{n}_t".encode(): _Type(n, signed=False) for n in (8, 16, 32, 64)},
    b"size_t": _Type(64, signed=False),
}
_KEYWORDS = {
    "char": _Type(None, reason="'char' has a sign with some compilers and none with others"),
    "char signed": _Type(8),
    "char unsigned": _Type(8, signed=False),
    **{" ".join(sorted(words.split())): _Type(16) for words in ("short", "short int", "signed short")},
    **{" ".join(sorted(words.split())): _Type(16, signed=False) for words in ("unsigned short", "unsigned short int")},
    **dict.fromkeys(("int", "signed", "int signed"), _Type(32)),
    **dict.fromkeys(("unsigned", "int unsigned"), _Type(32, signed=False)),
    **dict.fromkeys(("long", "int long", "long long", "int long long"), _Type(64)),
    **dict.fromkeys(("long unsigned", "int long unsigned", "long long unsigned"), _Type(64, signed=False)),
}
"""Types by their words in alphabetical order."""
_WORDS = {word.encode() for words in _KEYWORDS for word in words.split()}


@dataclass(frozen=True)
class HeaderArray:
    """One array of a header, int8 or uint8, and the line it begins on."""

    values: npt.NDArray[Any]
    line: int


class _Token(NamedTuple):
    text: bytes
    position: int

    @property
    def is_name(self) -> bool:
        return self.text[0] in _LETTERS


class Declarations:
    """Reads a source's declarations, once; `arrays` are what there is in the end, by name, in the order of the file."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.arrays: dict[str, HeaderArray] = {}
        self._position = 0
        self._types: dict[bytes, _Type] = {}
        self._constants: dict[bytes, int] = {}
        self._scopes: list[_Token] = []
        self._expansions = 0
        while (token := self._next()) is not None:
            self._read(token)
        if self._scopes:
            self.source.fail(self._scopes[-1].position, "this brace is not closed before the end of the file")

    def _next(self) -> _Token | None:
        """The next token; None at the end of the file."""
        match = _TOKEN.match(self.source.text, self._position)
        if match is None:
            return None
        self._position = match.end()
        return _Token(match[1], match.start(1))

    def _expect(self, start: _Token, text: bytes) -> _Token:
        token = self._next()
        if token is None or token.text != text:
            self._refuse(start)
        return token

    def _refuse(self, start: _Token) -> NoReturn:
        self.source.fail(start.position, f"found {self.source.found(start.position)}, expected {_EXPECTED}")

    def _read(self, token: _Token) -> None:
        """One declaration, or a brace of a namespace."""
        if token.text == b";":
            return
        if token.text == b"}":
            if not self._scopes:
                self.source.fail(token.position, "'}' closes nothing that was opened")
            self._scopes.pop()
            return
        if not token.is_name and token.text != b"::":
            self._refuse(token)
        if token.text == b"namespace":
            self._open_namespace(token)
            return
        tokens, last = self._gather(token)
        if token.text == b"extern" and len(tokens) == 2 and tokens[1].text in (b'"C"', b'"C++"') and last.text == b"{":
            self._push(last)
            return
        if token.text == b"typedef" and last.text == b";":
            self._declare_type(tokens[1:-1], tokens[-1])
        elif token.text == b"using" and last.text == b"=" and len(tokens) == 2:
            after, last = self._gather(self._next() or self._refuse(token))
            if last.text != b";":
                self._refuse(token)
            self._declare_type(after, tokens[1])
        else:
            self._declare(tokens, last)

    def _gather(self, token: _Token) -> tuple[list[_Token], _Token]:
        """Tokens from this one up to one that ends a declaration's names, and that one."""
        start, angles = token, 0
        tokens: list[_Token] = []
        while True:
            if token.text in (b"[", b"=", b"{", b"}", b";", b"#") or (not angles and token.text in (b"(", b",")):
                return tokens, token
            angles += {b"<": 1, b">": -1}.get(token.text, 0)
            if len(tokens) == _TOKENS_MAX:
                self._refuse(start)
            if token.is_name and not angles:
                self._check_no_macro(token)
            tokens.append(token)
            token = self._next() or self._refuse(start)

    def _check_no_macro(self, token: _Token) -> None:
        if (macro := self.source.macros.get(token.text)) is not None:
            line = self.source.line(macro.position)
            name = token.text.decode()[:80]
            self.source.fail(
                token.position, f"'{name}' is a macro, defined on line {line}, expected a name that stands for itself"
            )

    def _push(self, brace: _Token) -> None:
        if len(self._scopes) == _DEPTH_MAX:
            self.source.fail(brace.position, f"more than {_DEPTH_MAX} braces inside each other")
        self._scopes.append(brace)

    def _open_namespace(self, start: _Token) -> None:
        """`namespace a::b {`; arrays in it keep their own names."""
        tokens, last = self._gather(start)
        if last.text != b"{" or not all(token.is_name or token.text == b"::" for token in tokens[1:]):
            self._refuse(start)
        self._push(last)

    # --- types ---

    def _declare_type(self, tokens: Sequence[_Token], name: _Token) -> None:
        """A typedef. One that cannot be resolved matters only where an array has it."""
        if not name.is_name or not tokens:
            self._refuse(name)
        found = self._resolve(tokens)
        known = self._types.get(name.text) or _STANDARD.get(name.text)
        line = self.source.line(name.position)
        if name.text in _WORDS or name.text in (b"ap_int", b"ap_uint", b"std"):
            found = _Type(None, reason="a type of the language is declared anew")
        elif known is not None and (known.bits, known.signed) != (found.bits, found.signed):
            found = _Type(None, reason=f"type '{name.text.decode()[:80]}' is declared twice, again on line {line}")
        if len(self._types) + len(self._constants) == NAMES_MAX:
            self.source.fail(name.position, f"more than {NAMES_MAX:,} types and constants are declared")
        self._types[name.text] = found

    def _resolve(self, tokens: Sequence[_Token]) -> _Type:
        """The type that these tokens name, storage classes and `const` among them."""
        const = any(token.text in _CONST for token in tokens)
        rest = [token for token in tokens if token.text not in _CONST | _STORAGE]
        texts = [token.text for token in rest]
        for prefix in ([b"::"], [b"std", b"::"]):
            if texts[: len(prefix)] == prefix:
                rest, texts = rest[len(prefix) :], texts[len(prefix) :]
        if texts and all(text in _WORDS for text in texts):
            found = _KEYWORDS.get(b" ".join(sorted(texts)).decode())
        elif texts[:1] in ([b"ap_int"], [b"ap_uint"]) and texts[1:2] == [b"<"] and texts[-1:] == [b">"]:
            bits = self._evaluate(rest[2:-1], rest[0])
            found = _Type(bits, texts[0] == b"ap_int") if 1 <= bits <= 4096 else None
        elif len(texts) == 1:
            found = self._types.get(texts[0]) or _STANDARD.get(texts[0])
        else:
            found = None
        if found is None:
            shown = b" ".join(texts[:10]).decode("latin-1").encode("unicode_escape").decode()[:80]
            reason = f"type '{shown}' is not known from this header" if shown else "there is no type"
            return _Type(None, reason=reason)
        return _Type(found.bits, found.signed, const or found.const, found.reason)

    # --- arrays and constants ---

    def _declare(self, tokens: list[_Token], last: _Token) -> None:
        start = tokens[0] if tokens else last
        named = len(tokens) >= 2 and tokens[-1].is_name and tokens[-1].text not in _WORDS | _CONST | _STORAGE
        if not named or len(tokens[-1].text) > _NAME_MAX or last.text in (b"(", b",", b"}", b"#"):
            self._refuse(start)
        name = tokens[-1].text.decode()
        line = self.source.line(start.position)
        found = self._resolve(tokens[:-1])
        what = f"array '{name}'"
        if last.text in (b"=", b"{") and found.bits is not None and found.bits > 8:
            self._declare_constant(tokens[-1], found, last)
            return
        if last.text != b"[":
            if last.text == b";":
                self.source.fail(start.position, f"'{name}' has no values here, expected {_EXPECTED}")
            self.source.fail(start.position, f"'{name}' is no array, expected {_EXPECTED}")
        dims = self._dimensions(what, last)
        opening = self._next()
        if opening is not None and opening.text == b"=":
            opening = self._next()
        if opening is None or opening.text != b"{":
            self.source.fail(start.position, f"{what} has no values in braces, expected {_EXPECTED}")
        if found.bits is None:
            self.source.fail(start.position, f"{what}: {found.reason}, expected {_TYPES_EXPECTED}")
        if not found.const:
            self.source.fail(
                start.position, f"{what} is not const, so that a program could change it; expected {_EXPECTED}"
            )
        if found.bits != 8:
            self.source.fail(start.position, f"{what} has elements of {found.bits} bits, expected 8")
        if name in self.arrays:
            self.source.fail(start.position, f"{what} is given twice, first on line {self.arrays[name].line}")
        if len(self.arrays) == ARRAYS_MAX:
            self.source.fail(start.position, f"{what} is one more than the {ARRAYS_MAX:,} arrays that are read")
        end = self.source.text.find(b";", opening.position)
        if end < 0:
            self.source.fail(start.position, f"{what} does not end: expected '}};' before the end of the file")
        if (directive := self.source.directive_between(start.position, end)) is not None:
            self.source.fail(directive, f"a directive stands inside {what}, expected numbers, commas and braces")
        dtype = np.int8 if found.signed else np.uint8
        values = read_values(self.source, what, opening.position, end, dims, dtype)
        self.arrays[name] = HeaderArray(values, line)
        self._position = end + 1

    def _dimensions(self, what: str, bracket: _Token) -> tuple[int | None, ...]:
        """Dimensions from the first bracket on; None for one that is left to the number of values."""
        dims: list[int | None] = []
        while True:
            inner: list[_Token] = []
            while (token := self._next()) is not None and token.text != b"]":
                inner.append(token)
                if len(inner) > _TOKENS_MAX or token.text in (b";", b"{", b"["):
                    self.source.fail(bracket.position, f"{what} has a dimension that does not end, expected ']'")
            if token is None:
                self.source.fail(bracket.position, f"{what} has a dimension that does not end, expected ']'")
            if not inner and dims:
                self.source.fail(bracket.position, f"{what} leaves a dimension open that is not the first")
            dims.append(self._evaluate(inner, bracket) if inner else None)
            if len(dims) > DIMENSIONS_MAX:
                self.source.fail(bracket.position, f"{what} has more than {DIMENSIONS_MAX} dimensions")
            before = self._position
            following = self._next()
            if following is None or following.text != b"[":
                self._position = before
                return tuple(dims)
            bracket = following

    def _declare_constant(self, name: _Token, kind: _Type, last: _Token) -> None:
        """`const int N = 96;`: a number that dimensions may name."""
        text = name.text.decode()
        braced = last.text == b"{"
        inner: list[_Token] = []
        while (token := self._next()) is not None and token.text != (b"}" if braced else b";"):
            inner.append(token)
            if len(inner) > _TOKENS_MAX:
                break
        if token is None or len(inner) > _TOKENS_MAX or not inner:
            self.source.fail(name.position, f"'{text}' has no number, expected a constant")
        if braced:
            self._expect(name, b";")
        if not kind.const:
            self.source.fail(name.position, f"'{text}' is not const, so that a program could change it")
        value = self._evaluate(inner, name)
        assert kind.bits is not None
        least, most = (-(1 << kind.bits - 1), (1 << kind.bits - 1) - 1) if kind.signed else (0, (1 << kind.bits) - 1)
        if not least <= value <= most:
            self.source.fail(name.position, f"'{text}' is {value}, expected {least} to {most} in {kind.bits} bits")
        if name.text in self._constants:
            self.source.fail(name.position, f"'{text}' is given twice")
        if len(self._types) + len(self._constants) == NAMES_MAX:
            self.source.fail(name.position, f"more than {NAMES_MAX:,} types and constants are declared")
        self._constants[name.text] = value

    # --- constant expressions ---

    def _evaluate(self, tokens: Sequence[_Token], place: _Token) -> int:
        """The value of a constant expression: integers, macros, constants, + - * / % << and parentheses."""
        if not tokens:
            self.source.fail(place.position, "a number is missing")
        self._expansions = 0
        expanded = self._expand(tokens, ())
        reader = _Expression(self, expanded, tokens[0])
        value = reader.shift(0)
        if reader.at < len(expanded):
            self.fail_expression(tokens[0], expanded[reader.at])
        return value

    def fail_expression(self, start: _Token, token: _Token | None) -> NoReturn:
        """FileError for an expression that is none, because of this token or its end."""
        what = (
            "its end" if token is None else f"'{token.text.decode('latin-1').encode('unicode_escape').decode()[:40]}'"
        )
        hint = ""
        if token is not None and token.is_name:
            hint = ": it has no one value in this header before this line"
        self.source.fail(start.position, f"found {what}, expected a whole number{hint}")

    def _expand(self, tokens: Sequence[_Token], inside: tuple[bytes, ...]) -> list[_Token]:
        """The tokens with macros replaced by their text, as a preprocessor does it."""
        result: list[_Token] = []
        self._expansions += 1
        for token in tokens:
            macro = self.source.macros.get(token.text)
            if macro is not None and macro.text is not None and token.text not in inside:
                if macro.position < token.position and len(inside) < _DEPTH_MAX:
                    pieces = [_Token(match[1], token.position) for match in _TOKEN.finditer(macro.text)]
                    result += self._expand(pieces[: _TOKENS_MAX + 1], (*inside, token.text))
                else:
                    result.append(token)
            else:
                result.append(token)
            if len(result) > _TOKENS_MAX or self._expansions > _TOKENS_MAX:
                self.source.fail(tokens[0].position, f"an expression of more than {_TOKENS_MAX} parts")
        return result

    def value_of(self, token: _Token) -> int | None:
        """The number that a token is, or names."""
        if _INTEGER.fullmatch(token.text):
            digits = token.text.rstrip(b"uUlL").lower()
            if len(digits) > 1 and digits[:1] == b"0" and digits.isdigit():
                return int(digits, 8) if not set(digits) & set(b"89") else None
            return int(digits, 0)
        return None if token.text in self.source.macros else self._constants.get(token.text)


class _Expression:
    """Evaluates expanded tokens by precedence, with C's division; every value stays within 62 bits."""

    def __init__(self, declarations: Declarations, tokens: list[_Token], start: _Token) -> None:
        self.declarations = declarations
        self.tokens = tokens
        self.start = start
        self.at = 0

    def _take(self, *texts: bytes) -> bytes | None:
        if self.at < len(self.tokens) and self.tokens[self.at].text in texts:
            self.at += 1
            return self.tokens[self.at - 1].text
        return None

    def _bound(self, value: int) -> int:
        if not -_LIMIT < value < _LIMIT:
            self.declarations.source.fail(self.start.position, "a constant is larger than 62 bits")
        return value

    def shift(self, depth: int) -> int:
        value = self._sum(depth)
        while self._take(b"<<"):
            by = self._sum(depth)
            value = self._bound(value << by) if 0 <= by < 62 and value >= 0 else self._bound(_LIMIT)
        return value

    def _sum(self, depth: int) -> int:
        value = self._product(depth)
        while sign := self._take(b"+", b"-"):
            other = self._product(depth)
            value = self._bound(value + other if sign == b"+" else value - other)
        return value

    def _product(self, depth: int) -> int:
        value = self._unary(depth)
        while sign := self._take(b"*", b"/", b"%"):
            other = self._unary(depth)
            if sign == b"*":
                value = self._bound(value * other)
            elif other == 0:
                self.declarations.source.fail(self.start.position, "a constant is divided by zero")
            else:
                quotient = abs(value) // abs(other) * (1 if (value < 0) == (other < 0) else -1)
                value = quotient if sign == b"/" else value - quotient * other
        return value

    def _unary(self, depth: int) -> int:
        if self._take(b"-"):
            return -self._unary(depth)
        if self._take(b"("):
            if depth == _DEPTH_MAX:
                self.declarations.fail_expression(self.start, self.tokens[self.at - 1])
            value = self.shift(depth + 1)
            if not self._take(b")"):
                self.declarations.fail_expression(self.start, self._here())
            return value
        token = self._here()
        value_here = None if token is None else self.declarations.value_of(token)
        if value_here is None:
            self.declarations.fail_expression(self.start, token)
        self.at += 1
        return self._bound(value_here)

    def _here(self) -> _Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None
