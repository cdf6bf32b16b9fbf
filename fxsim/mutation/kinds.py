"""Kinds of mutants of Verilog, and the places in a file where each can be made: edits of the text, at tokens."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fxsim.mutation.verilog import Source, Span, line_of, nodes, parse

KINDS = {
    "arithmetic": "+ for -, - for +, + for *",
    "shift": "the other direction, or logical for arithmetic",
    "bitwise": "& for |, | for &, & for ^, ~ left out, a reduction by the other operator",
    "comparison": "== for !=, < for <=, and so on",
    "logical": "&& for ||, || for &&, ! left out",
    "constant": "a number one more or one less, one bit the other way round",
    "width": "a declaration without its top bit, a part-select without its top bit",
    "sign": "$signed or signed left out",
    "condition": "a condition negated, always true, or never",
    "index": "an index one more or one less",
    "reset": "an assignment on reset left out or of the complement, a reset port tied to 0",
    "handshake": "a term of valid, ready, enable and the like left out, such a port tied to 1",
    "table": "a word of a memory's file with one bit the other way round",
    "dropped": "an assignment left out",
    "order": "a blocking assignment in place of a non-blocking one",
    "unknown": "a register that is unknown after reset",
}
"""Kind of mutant, and what it does."""

UNKNOWN = "unknown"

_BINARY: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "Plus": ("arithmetic", "PLUS", ("-",)),
    "Minus": ("arithmetic", "MINUS", ("+",)),
    "Times": ("arithmetic", "TIMES", ("+",)),
    "Sll": ("shift", "LSHIFT", (">>",)),
    "Srl": ("shift", "RSHIFT", ("<<",)),
    "Sla": ("shift", "LSHIFTA", (">>>",)),
    "Sra": ("shift", "RSHIFTA", (">>", "<<<")),
    "And": ("bitwise", "AND", ("|",)),
    "Or": ("bitwise", "OR", ("&",)),
    "Xor": ("bitwise", "XOR", ("&",)),
    "Land": ("logical", "LAND", ("||",)),
    "Lor": ("logical", "LOR", ("&&",)),
    "Eq": ("comparison", "EQ", ("!=",)),
    "NotEq": ("comparison", "NE", ("==",)),
    "LessThan": ("comparison", "LT", ("<=", ">=")),
    "LessEq": ("comparison", "LE", ("<", ">")),
    "GreaterThan": ("comparison", "GT", (">=", "<=")),
    "GreaterEq": ("comparison", "GE", (">", "<")),
}
"""A node of an operator: kind, the type of its token, and what stands in its place."""
_UNARY = {
    "Ulnot": ("logical", "LNOT", ""),
    "Unot": ("bitwise", "NOT", ""),
    "Uand": ("bitwise", "AND", "|"),
    "Uor": ("bitwise", "OR", "&"),
    "Uxor": ("bitwise", "XOR", "|"),
}
_RESET = re.compile(r"(?:^|_)(?:a?rst|a?reset)(?:_?n)?(?:_|$)", re.IGNORECASE)
_HANDSHAKE = re.compile(
    r"(?:valid|ready|enable|full|empty|free|accept|pending|busy|push|pull|load|advance|stall)", re.IGNORECASE
)
_HANDSHAKE_PORT = re.compile(r"(?:^s_\w*valid$|^m_\w*ready$|^enable$|^in_valid$|_enable$)", re.IGNORECASE)
_SIZED = re.compile(r"(\d+)'([sS]?[bBdDhHoO])([0-9a-fA-F_]+)")
_GUARD = "illegal_parameter_"
"""The beginning of names of modules that do not exist: they refuse illegal parameters, and are not mutated."""
_BASES = {"b": 2, "d": 10, "h": 16, "o": 8}
_CONSTANT_BITS_MAX = 256


@dataclass(frozen=True)
class Mutant:
    """One edit of one file: the text from byte `start` to `end` becomes `becomes`.

    `id` stays under edits of other lines: it is a hash of file, kind, the line's own text, the place in it, and what
    stands there then. `module`: the module's name.
    """

    id: str
    file: str
    module: str
    kind: str
    line: int
    column: int
    start: int
    end: int
    was: str
    becomes: str

    def apply(self, text: str) -> str:
        """The file's text with the edit."""
        if text[self.start : self.end] != self.was:
            raise ValueError(f"{self.id} is not of this text")
        return text[: self.start] + self.becomes + text[self.end :]

    def __str__(self) -> str:
        return f"{self.id} {self.file}:{self.line}:{self.column} {self.kind}: '{self.was}' -> '{self.becomes}'"


class Edit(NamedTuple):
    """An edit of a text: what stands at `start` to `end` becomes another."""

    kind: str
    start: int
    end: int
    becomes: str


@dataclass(frozen=True)
class _Where:
    """The context of a node: under a reset's condition, in a clocked block, in the width of something."""

    reset: bool = False
    clocked: bool = False
    width: bool = False
    initial: bool = False


def make_mutants(text: str, file: str, source: Source | None = None) -> list[Mutant]:
    """Every mutant of a file, in the order of the text; `source`: its tree. FileError where Pyverilog reads none."""
    from pyverilog.vparser import ast

    source = source or parse(text, file)
    found: dict[tuple[int, int, str], tuple[Edit, str]] = {}
    for module in nodes(source.tree):
        if isinstance(module, ast.ModuleDef):
            finder = _Finder(source)
            finder.look(module, _Where())
            for edit in finder.edits:
                if text[edit.start : edit.end] != edit.becomes:
                    found.setdefault((edit.start, edit.end, edit.becomes), (edit, module.name))
    return named(text, file, [pair for _, pair in sorted(found.items())])


def named(text: str, file: str, edits: Sequence[tuple[Edit, str]]) -> list[Mutant]:
    """The mutants that some edits of a file's text are, each of a module by name, with the ids that they have."""
    lines = text.split("\n")
    numbers = _number_equal_lines(lines)
    mutants = []
    for edit, module_name in edits:
        line, column = line_of(text, edit.start)
        whole = lines[line - 1]
        place = column - (len(whole) - len(whole.lstrip()))
        was = text[edit.start : edit.end]
        key = [file, edit.kind, whole.strip(), str(numbers[line - 1]), str(place), was, edit.becomes]
        name = hashlib.sha256("\0".join(key).encode()).hexdigest()[:12]
        mutants.append(
            Mutant(name, file, module_name, edit.kind, line, column, edit.start, edit.end, was, edit.becomes)
        )
    return mutants


PROBE = "fxsim_probe_undefined"
"""A name that nothing has: where a simulator elaborates it, it says so."""


def probed(text: str, mutant: Mutant) -> str | None:
    """The file's text with a use of `PROBE` beside a mutant's place, in its scope; None where that is not known."""
    place = parse(text, mutant.file).item_at(mutant.start)
    return None if place is None else f"{text[:place]} wire [{PROBE}:0] fxsim_probe; {text[place:]}"


def _number_equal_lines(lines: list[str]) -> list[int]:
    """For each line, how many before it have the same text."""
    seen: Counter[str] = Counter()
    numbers = []
    for line in lines:
        numbers.append(seen[line.strip()])
        seen[line.strip()] += 1
    return numbers


def _own(statement: Any) -> Iterator[Any]:
    """The parts of a block itself, not of an `if` within it."""
    return (child for child in [statement, *statement.children()] if child is not None)


class _Finder:
    """Finds the edits below a node."""

    def __init__(self, source: Source) -> None:
        from pyverilog.vparser import ast

        self._ast = ast
        self.source = source
        self.edits: list[Edit] = []
        self._of: dict[type, Callable[[Any, _Where], _Where]] = {
            ast.IfStatement: self._if,
            ast.Cond: self._choice,
            ast.NonblockingSubstitution: self._assignment,
            ast.BlockingSubstitution: self._assignment,
            ast.Assign: self._continuous,
            ast.Pointer: self._pointer,
            ast.Partselect: self._part,
            ast.Width: self._width,
            ast.IntConst: self._constant,
            ast.SystemCall: self._call,
            ast.PortArg: self._port,
            ast.Always: self._always,
            ast.Initial: self._initial,
            ast.Length: self._skip_width,
        }

    # --- helpers ---

    def _add(self, kind: str, span: Span, becomes: str) -> None:
        tokens = self.source.tokens
        self.edits.append(Edit(kind, tokens[span.first].start, tokens[span.last].end, becomes))

    def _token(self, kind: str, number: int, becomes: str) -> None:
        self._add(kind, Span(number, number), becomes)

    def look(self, node: Any, where: _Where) -> None:
        """Add the edits of a node and of all below it."""
        if self._is_guard(node):
            # What comes in the other case is the module itself.
            if node.false_statement is not None:
                self.look(node.false_statement, where)
            return
        name = type(node).__name__
        if name in _BINARY:
            self._binary(node, name)
        elif name in _UNARY and self.source.type(node.lineno) == _UNARY[name][1]:
            kind, _, becomes = _UNARY[name]
            self._token(kind, node.lineno, becomes)
        handler = self._of.get(type(node))
        inside = where if handler is None else handler(node, where)
        if isinstance(node, self._ast.IfStatement):
            self.look(node.cond, where)
            for statement, within in ((node.true_statement, inside), (node.false_statement, where)):
                if statement is not None:
                    self.look(statement, within)
            return
        if isinstance(node, self._ast.Variable) and getattr(node, "signed", False):
            self._signed(node)
        for child in node.children():
            if child is not None:
                self.look(child, inside)

    def _is_guard(self, node: Any) -> bool:
        """Whether a node is the refusal of a parameter: an `if` around a module that does not exist."""
        ast = self._ast
        return isinstance(node, ast.IfStatement) and any(
            isinstance(below, ast.InstanceList) and below.module.startswith(_GUARD)
            for below in _own(node.true_statement)
        )

    def _names(self, node: Any) -> Iterator[str]:
        return (below.name for below in nodes(node) if isinstance(below, self._ast.Identifier))

    # --- expressions ---

    def _binary(self, node: Any, name: str) -> None:
        kind, symbol, others = _BINARY[name]
        operator = self.source.operator(node.right)
        if operator is None or self.source.type(operator) != symbol:
            return
        for other in others:
            self._token(kind, operator, other)
        if symbol not in ("LAND", "LOR"):
            return
        neutral = "1'b1" if symbol == "LAND" else "1'b0"
        left = self.source.left_operand(node.left, operator)
        right = self.source.operand(node.right, operator + 1)
        for part, span in ((node.left, left), (node.right, right)):
            plain = part.right if isinstance(part, self._ast.Ulnot) else part
            if span is not None and isinstance(plain, self._ast.Identifier) and _HANDSHAKE.search(plain.name):
                self._add("handshake", span, neutral)

    def _choice(self, node: Any, where: _Where) -> _Where:
        span = self.source.span(node.cond)
        question = self.source.operator(node.true_value)
        if span is not None and question is not None and self.source.type(question) == "COND":
            covering = self.source.left_operand(node.cond, question)
            if covering is not None:
                self._stuck(covering)
        return where

    def _stuck(self, span: Span) -> None:
        text = self.source.text_of(span)
        self._add("condition", span, f"(!({text}))")
        self._add("condition", span, "1'b1")
        self._add("condition", span, "1'b0")

    def _constant(self, node: Any, where: _Where) -> _Where:
        number = node.lineno
        if where.width or "INTNUMBER" not in self.source.type(number):
            return where
        token = self.source.tokens[number]
        text = self.source.text[token.start : token.end]
        if text.isdigit():
            values = (int(text) + 1, int(text) - 1)
            for value in values:
                if value >= 0:
                    self._token("constant", number, str(value))
        elif (found := _SIZED.fullmatch(text)) and 0 < (bits := int(found[1])) <= _CONSTANT_BITS_MAX:
            base = found[2][-1].lower()
            value = int(found[3].replace("_", ""), _BASES[base])
            for other in dict.fromkeys(((value + 1) % (1 << bits), (value - 1) % (1 << bits))):
                digits = {"b": f"{other:b}", "d": str(other), "h": f"{other:x}", "o": f"{other:o}"}[base]
                self._token("constant", number, f"{found[1]}'{found[2]}{digits}")
        return where

    def _pointer(self, node: Any, where: _Where) -> _Where:
        if (span := self.source.span(node)) is not None and (var := self.source.span(node.var)) is not None:
            inside = Span(var.last + 2, span.last - 1)
            text = self.source.text_of(inside)
            self._add("index", inside, f"({text}) + 1")
            if text != "0":
                self._add("index", inside, f"({text}) - 1")
        return where

    def _part(self, node: Any, where: _Where) -> _Where:
        if (span := self.source.span(node)) is None or (var := self.source.span(node.var)) is None:
            return where
        begin = var.last + 2
        for separator in ("COLON", "PLUSCOLON", "MINUSCOLON"):
            middle = self.source.next(begin, separator)
            if middle is None or middle >= span.last:
                continue
            high = Span(begin, middle - 1)
            low = Span(middle + 1, span.last - 1)
            first, second = self.source.text_of(high), self.source.text_of(low)
            both = Span(begin, span.last - 1)
            if separator == "COLON":
                self._add("width", high, f"({first}) - 1")
                self._add("index", both, f"({first}) + 1:({second}) + 1")
                if second != "0":
                    self._add("index", both, f"({first}) - 1:({second}) - 1")
            else:
                self._add("index", high, f"({first}) + 1")
                self._add("index", high, f"({first}) - 1")
            return where
        return where

    def _width(self, node: Any, where: _Where) -> _Where:
        opened = node.lineno
        if self.source.type(opened) == "LBRACKET" and not where.width:
            middle = self.source.next(opened + 1, "COLON")
            if middle is not None and middle < self.source.pairs[opened]:
                high = Span(opened + 1, middle - 1)
                text = self.source.text_of(high)
                if text != "0":
                    self._add("width", high, f"({text}) - 1")
        return _Where(where.reset, where.clocked, True, where.initial)

    def _skip_width(self, _: Any, where: _Where) -> _Where:
        return _Where(where.reset, where.clocked, True, where.initial)

    def _call(self, node: Any, where: _Where) -> _Where:
        number = node.lineno
        if node.syscall in ("signed", "unsigned") and self.source.type(number) == "DOLLER":
            self._add("sign", Span(number, number + 1), "")
        return where

    def _signed(self, node: Any) -> None:
        # The word stands before the name, with a width between them.
        for number in range(node.lineno - 1, -1, -1):
            kind = self.source.type(number)
            if kind == "SIGNED":
                self._token("sign", number, "")
            if kind in ("SIGNED", "SEMICOLON", "COMMA", "WIRE", "REG", "INPUT", "OUTPUT", "INOUT"):
                return

    # --- statements ---

    def _if(self, node: Any, where: _Where) -> _Where:
        opened = node.lineno + 1
        if self.source.type(node.lineno) == "IF" and self.source.type(opened) == "LPAREN":
            self._stuck(Span(opened + 1, self.source.pairs[opened] - 1))
        reset = any(_RESET.search(name) for name in self._names(node.cond))
        return _Where(reset or where.reset, where.clocked, where.width, where.initial)

    def _assignment(self, node: Any, where: _Where) -> _Where:
        number = node.lineno
        end = self.source.next(number, "SEMICOLON")
        sign = self.source.next(number, "LE" if isinstance(node, self._ast.NonblockingSubstitution) else "EQUALS")
        if end is None or sign is None or sign > end or where.initial:
            return where
        self._add("reset" if where.reset else "dropped", Span(number, end), ";")
        value = Span(sign + 1, end - 1)
        if where.reset:
            self._add("reset", value, f"~({self.source.text_of(value)})")
            self._add(UNKNOWN, value, "'bx")
        if where.clocked and self.source.type(sign) == "LE":
            self._token("order", sign, "=")
        return where

    def _continuous(self, node: Any, where: _Where) -> _Where:
        if self.source.type(node.lineno) == "ASSIGN":
            end = self.source.next(node.lineno, "SEMICOLON")
            if end is not None:
                self._add("dropped", Span(node.lineno, end), "")
        return where

    def _always(self, node: Any, where: _Where) -> _Where:
        clocked = any(sens.type in ("posedge", "negedge") for sens in node.sens_list.list)
        return _Where(where.reset, clocked, where.width, where.initial)

    def _initial(self, node: Any, where: _Where) -> _Where:
        ast = self._ast
        for statement in nodes(node):
            call = statement.statement if isinstance(statement, ast.SingleStatement) else None
            if not isinstance(call, ast.SystemCall) or call.syscall not in ("readmemh", "readmemb"):
                continue
            if len(call.args) < 2 or not isinstance(call.args[1], ast.Identifier):
                continue
            number = statement.lineno
            end = self.source.next(number, "SEMICOLON")
            if self.source.type(number) != "DOLLER" or end is None:
                continue
            whole, memory = Span(number, end), call.args[1].name
            text = self.source.text_of(whole)
            self._add("table", whole, f"begin {text} {memory}[0] = {memory}[0] ^ 1'b1; end")
        return _Where(where.reset, where.clocked, where.width, True)

    def _port(self, node: Any, where: _Where) -> _Where:
        number = node.lineno
        if self.source.type(number) != "DOT" or node.argname is None or self.source.type(number + 2) != "LPAREN":
            return where
        inside = Span(number + 3, self.source.pairs[number + 2] - 1)
        if _RESET.search(node.portname):
            self._add("reset", inside, "1'b0")
        elif _HANDSHAKE_PORT.search(node.portname):
            self._add("handshake", inside, "1'b1")
        return where
