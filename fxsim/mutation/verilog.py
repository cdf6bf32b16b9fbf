"""Verilog as Pyverilog's tree, in which every node knows the token that it begins with: places for edits of the source.

Pyverilog's own generator of text is not used: it gets some constructs wrong. Its parser is given numbers of tokens in
place of numbers of lines, so that a node's `lineno` is its first token. What no tree has is refused by name.
"""

import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from fxsim import temporary
from fxsim.errors import FileError, ToolError

FILE_BYTES_MAX = 4 << 20
"""Most bytes of a file that is parsed."""
_MACRO = re.compile(r"`(\w+)")
_HARMLESS = {"default_nettype", "timescale", "resetall", "celldefine", "endcelldefine"}
"""Directives that change nothing of the text."""
_COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?(?:\*/|\Z)|"(?:\\.|[^"\\\n])*"?', re.DOTALL)
_OPENS = {"LPAREN": "RPAREN", "LBRACKET": "RBRACKET", "LBRACE": "RBRACE"}


class Token(NamedTuple):
    """A token: its type by Pyverilog's name, and its first byte and the one behind its last, in the text."""

    type: str
    start: int
    end: int


class Span(NamedTuple):
    """The first and the last token of something."""

    first: int
    last: int


class _Numbered:
    """A lexer whose tokens have their own numbers in place of lines."""

    lexpos = 0

    def __init__(self, lexer: Any) -> None:
        self._lexer = lexer
        self.tokens: list[Token] = []

    @property
    def lineno(self) -> int:
        return len(self.tokens)

    def input(self, text: str) -> None:
        self._lexer.input(text)

    def token(self) -> Any:
        token = self._lexer.token()
        if token is not None:
            token.lineno = len(self.tokens)
            self.tokens.append(Token(token.type, token.lexpos, token.lexpos + len(str(token.value))))
        return token


@dataclass(frozen=True, eq=False)
class Source:
    """A file's text, its tokens and its tree. `pairs`: of each bracket the other one, by number of token."""

    text: str
    tokens: Sequence[Token]
    pairs: dict[int, int]
    tree: Any

    def type(self, number: int) -> str:
        """The type of a token; empty beyond the ends."""
        return self.tokens[number].type if 0 <= number < len(self.tokens) else ""

    def text_of(self, span: Span) -> str:
        """The text of some tokens, with what lies between them."""
        return self.text[self.tokens[span.first].start : self.tokens[span.last].end]

    def next(self, number: int, kind: str) -> int | None:
        """The next token of a type from `number` on, outside all brackets that open on the way; None: there is none."""
        while number < len(self.tokens):
            if self.tokens[number].type == kind:
                return number
            number = self.pairs.get(number, number) + 1 if self.tokens[number].type in _OPENS else number + 1
        return None

    def item_at(self, position: int) -> int | None:
        """The place before the item of a module (an `assign`, `always`, instance, declaration) that holds a place.

        Behind the header, for a place in that. None where it is in none of them: in a condition of `generate`, say.
        """
        from pyverilog.vparser import ast

        kinds = (ast.Assign, ast.Always, ast.Initial, ast.InstanceList, ast.Decl, ast.Function)
        for node in nodes(self.tree):
            if isinstance(node, ast.ModuleDef):
                end = self.next(node.lineno, "SEMICOLON")
                if end is not None and self.tokens[node.lineno].start <= position <= self.tokens[end].start:
                    return int(self.tokens[end].end)
            if isinstance(node, kinds):
                end = self.next(max(below.lineno for below in nodes(node)), "SEMICOLON")
                if end is not None and self.tokens[node.lineno].start <= position <= self.tokens[end].start:
                    return int(self.tokens[node.lineno].start)
        return None

    def operator(self, right: Any) -> int | None:
        """The token before an operand on the right: its operator. None where the operand has no place."""
        if (span := self.span(right)) is None:
            return None
        number = span.first - 1
        while self.type(number) == "LPAREN":
            number -= 1
        return number

    def span(self, node: Any) -> Span | None:
        """The tokens of an expression, without parentheses around all of it; None where they are not known."""
        from pyverilog.vparser import ast

        first = node.lineno
        if not 0 <= first < len(self.tokens):
            return None
        kind = self.type(first)
        match node:
            case ast.Concat() | ast.Repeat() if kind == "LBRACE":
                return Span(first, self.pairs[first])
            case ast.SystemCall() if kind == "DOLLER":
                after = first + 2
                return Span(first, self.pairs[after] if self.type(after) == "LPAREN" else after - 1)
            case ast.Identifier() if kind == "ID" and node.scope is None:
                return Span(first, first)
            case ast.IntConst() if "INTNUMBER" in kind:
                return Span(first, first)
            case ast.Partselect() | ast.Pointer():
                var = self.span(node.var)
                if var is None or self.type(var.last + 1) != "LBRACKET":
                    return None
                return Span(var.first, self.pairs[var.last + 1])
            case ast.UnaryOperator():
                right = self.operand(node.right, first + 1)
                return None if right is None else Span(first, right.last)
            case ast.Cond():
                return self._around(node.cond, node.false_value)
            case ast.Operator():
                return self._around(node.left, node.right)
        return None

    def operand(self, node: Any, first: int) -> Span | None:
        """An operand that begins at a token, with the parentheses around it."""
        span = self.span(node)
        if span is None:
            return None
        last = span.last
        for number in range(span.first - 1, first - 1, -1):
            if self.type(number) != "LPAREN" or self.pairs[number] != last + 1:
                return None
            last += 1
        return Span(first, last)

    def left_operand(self, node: Any, operator: int) -> Span | None:
        """An operand that ends before an operator, with the parentheses around it."""
        span = self.span(node)
        if span is None:
            return None
        first = span.first
        for number in range(span.last + 1, operator):
            if self.type(number) != "RPAREN" or self.pairs[number] != first - 1:
                return None
            first -= 1
        return Span(first, operator - 1)

    def _around(self, left: Any, right: Any) -> Span | None:
        operator = self.operator(right)
        if operator is None:
            return None
        end = self.operand(right, operator + 1)
        begin = self.span(left)
        if end is None or begin is None:
            return None
        # Parentheses that the left part begins with and closes before the right one.
        first = begin.first
        while self.type(first - 1) == "LPAREN" and self.pairs[first - 1] < operator:
            first -= 1
        return Span(first, end.last)


@cache
def _parser() -> Any:
    """Pyverilog's parser, whose tables take a second to make."""
    try:
        from pyverilog.vparser.parser import VerilogParser
    except ImportError:
        raise ToolError(
            "Pyverilog is missing, which reads the Verilog that mutants are made of: the extra 'evidence' has it"
        ) from None
    with temporary.folder("pyverilog") as folder, contextlib.redirect_stderr(io.StringIO()):
        return VerilogParser(outputdir=str(folder), debug=False)


def parse(text: str, name: str) -> Source:
    """The tree of a file's text; FileError where Pyverilog does not read it, or macros change it."""
    if len(text) > FILE_BYTES_MAX:
        raise FileError(f"{name} has {len(text):,} characters, expected at most {FILE_BYTES_MAX:,}")
    for found in _MACRO.finditer(_COMMENT_OR_STRING.sub(" ", text)):
        if found[1] not in _HARMLESS:
            raise FileError(f"{name} uses the directive `{found[1]}: mutants are made of Verilog without macros")
    parser = _parser()
    lexer = _Numbered(parser.lexer)
    parser.lexer.reset_lineno()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            tree = parser.parser.parse(text, lexer=lexer, tracking=True)
    except RecursionError:
        raise FileError(f"{name} is nested too deeply for Pyverilog") from None
    except Exception:  # Pyverilog raises its own ParseError, whose line is a token's number here, and others
        where = _place_of_end(text, lexer.tokens)
        raise FileError(f"{name} is not read by Pyverilog, which knows Verilog-2005: it stopped near {where}") from None
    if tree is None:
        raise FileError(f"{name} is not read by Pyverilog: it holds no module")
    return Source(text, lexer.tokens, _pair(lexer.tokens, name), tree)


def nodes(node: Any) -> Iterator[Any]:
    """A node and all below it, in the order of the text."""
    yield node
    for child in node.children():
        if child is not None:
            yield from nodes(child)


def line_of(text: str, position: int) -> tuple[int, int]:
    """Line and column of a place in a text, from 1."""
    line = text.count("\n", 0, position) + 1
    return line, position - (text.rfind("\n", 0, position) + 1) + 1


def _place_of_end(text: str, tokens: Sequence[Token]) -> str:
    if not tokens:
        return "its beginning"
    last = tokens[-1]
    return f"line {line_of(text, last.start)[0]}, '{text[last.start : last.end][:40]}'"


def _pair(tokens: Sequence[Token], name: str) -> dict[int, int]:
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for number, token in enumerate(tokens):
        if token.type in _OPENS:
            opened.append(number)
        elif token.type in _OPENS.values():
            if not opened or _OPENS[tokens[opened[-1]].type] != token.type:
                raise FileError(f"{name} has brackets that do not match")
            other = opened.pop()
            pairs[other], pairs[number] = number, other
    return pairs
