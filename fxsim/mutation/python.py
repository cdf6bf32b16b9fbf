"""Kinds of mutants of Python, and the places in a module where each can be made: edits of the text, at tokens.

Only what computes is edited: no annotations, docstrings, decorators, texts, or words of an error.
"""

import ast
import io
import tokenize
from collections.abc import Sequence
from types import CodeType
from typing import NamedTuple

from fxsim.errors import FileError
from fxsim.mutation.kinds import Edit, Mutant, named

KINDS = {
    "arithmetic": "+ for -, - for +, + for *, * for //, a sign left out; in LLVM's instructions too",
    "shift": "the other direction; in LLVM's instructions: logical for arithmetic",
    "bitwise": "& for |, | for &, & for ^, ~ left out; in LLVM's instructions: or for xor",
    "comparison": "== for !=, < for <=, `is not` for `is`, and so on",
    "logical": "`and` for `or`, `or` for `and`, `not` left out",
    "constant": "a number one more or one less, True for False",
    "index": "an index, or the end of a slice, one more or one less",
    "condition": "a condition negated, always true, or never",
    "rounding": "a half left out, a division rounded the other way, a shift that does not round",
    "saturation": "min for max, the least value for the greatest, or no limit at all",
    "width": "the next narrower or wider type of numpy's",
    "sign": "an unsigned comparison, extension or type for a signed one, or the other way round",
    "dropped": "a statement left out",
}
"""Kind of mutant, and what it does."""

_BINARY: dict[type[ast.operator], tuple[str, str, str]] = {
    ast.Add: ("arithmetic", "+", "-"),
    ast.Sub: ("arithmetic", "-", "+"),
    ast.Mult: ("arithmetic", "*", "+"),
    ast.FloorDiv: ("arithmetic", "//", "*"),
    ast.Mod: ("arithmetic", "%", "//"),
    ast.Pow: ("arithmetic", "**", "*"),
    ast.LShift: ("shift", "<<", ">>"),
    ast.RShift: ("shift", ">>", "<<"),
    ast.BitAnd: ("bitwise", "&", "|"),
    ast.BitOr: ("bitwise", "|", "&"),
    ast.BitXor: ("bitwise", "^", "&"),
}
_COMPARED: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
}
_UNARY: dict[type[ast.unaryop], tuple[str, str]] = {
    ast.USub: ("arithmetic", "-"),
    ast.Invert: ("bitwise", "~"),
    ast.Not: ("logical", "not"),
}
_NAMES: dict[str, tuple[str, str]] = {
    "min": ("saturation", "max"),
    "max": ("saturation", "min"),
    "INT8_MIN": ("saturation", "INT8_MAX"),
    "INT8_MAX": ("saturation", "INT8_MIN"),
    "I32": ("width", "I16"),
    "I16": ("width", "I8"),
}
_ATTRIBUTES: dict[str, tuple[str, str]] = {
    "minimum": ("saturation", "maximum"),
    "maximum": ("saturation", "minimum"),
    "low": ("saturation", "high"),
    "high": ("saturation", "low"),
    "ceil": ("rounding", "floor"),
    "int64": ("width", "int32"),
    "int32": ("width", "int16"),
    "int16": ("width", "int8"),
    "int8": ("width", "int16"),
    "uint8": ("sign", "int8"),
    "icmp_signed": ("sign", "icmp_unsigned"),
    "icmp_unsigned": ("sign", "icmp_signed"),
    "zext": ("sign", "sext"),
    "sext": ("sign", "zext"),
    "ashr": ("shift", "lshr"),
    "shl": ("shift", "lshr"),
    "add": ("arithmetic", "sub"),
    "sub": ("arithmetic", "add"),
    "mul": ("arithmetic", "add"),
    "xor": ("bitwise", "or_"),
}
"""An attribute's name: kind, and what stands in its place. Instructions are those of LLVM's builder."""
_INSTRUCTIONS = {"icmp_signed", "icmp_unsigned", "zext", "sext", "ashr", "shl", "add", "sub", "mul", "xor"}
_LIMITS = {"clip", "saturate", "sat8", "_saturate"}
"""Functions whose first argument is what they limit."""
_ROUND_SHIFTS = {"round_shift", "_round_shift"}
_SHORT_NAME = 2
"""Letters of a name that is an index wherever it stands in brackets."""


class Candidates(NamedTuple):
    """The mutants of a module, in the order of the text, and how many were left out, by reason."""

    mutants: list[Mutant]
    left_out: dict[str, int]


SAME_CODE, NOT_PYTHON = "the same bytecode", "no Python"
"""The reasons for which a mutant is left out."""


def make_mutants(text: str, file: str, module: str) -> Candidates:
    """Every mutant of a module's text, but for those of its own bytecode. FileError where it is no Python."""
    source = _Source(text, file)
    finder = _Finder(source)
    for statement in source.tree.body:
        finder.look(statement)
    kept, left_out, seen = [], {SAME_CODE: 0, NOT_PYTHON: 0}, set()
    for edit in sorted(finder.edits, key=lambda edit: (edit.start, edit.end, edit.becomes)):
        place = (edit.start, edit.end, edit.becomes)
        if place in seen or text[edit.start : edit.end] == edit.becomes:
            continue
        seen.add(place)
        reason = source.refuses(edit)
        if reason:
            left_out[reason] += 1
        else:
            kept.append(edit)
    return Candidates(named(text, file, [(edit, module) for edit in kept]), left_out)


def function_at(text: str, position: int) -> str:
    """The function that holds a place of a module's text, as `Class.name`; empty where none does."""
    source = _Source(text, "module")
    name: list[str] = []
    nodes: Sequence[ast.stmt] = source.tree.body
    while True:
        inside = next((node for node in nodes if source.start(node) <= position < source.end(node)), None)
        if not isinstance(inside, ast.FunctionDef | ast.ClassDef):
            return ""
        name.append(inside.name)
        if isinstance(inside, ast.FunctionDef):
            return ".".join(name)
        nodes = inside.body


class _Source:
    """A module's text, tree and tokens, by place in the text."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        try:
            self.tree = ast.parse(text)
            tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
        except (SyntaxError, ValueError, tokenize.TokenError, RecursionError) as error:
            raise FileError(f"{file} is not read as Python: {error}") from None
        self._lines = text.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))
        kinds = (tokenize.OP, tokenize.NAME)
        self._tokens = [
            (self._starts[token.start[0] - 1] + token.start[1], token.string) for token in tokens if token.type in kinds
        ]
        self._codes: dict[int, object] = {}

    def _at(self, line: int, column: int) -> int:
        """A place: the tree counts columns in bytes."""
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode())

    def start(self, node: ast.expr | ast.stmt) -> int:
        """The place where a node begins."""
        return self._at(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt) -> int:
        """The place behind a node."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._at(node.end_lineno, node.end_col_offset)

    def of(self, node: ast.expr | ast.stmt) -> str:
        """The text of a node."""
        return self.text[self.start(node) : self.end(node)]

    def between(self, left: int, right: int) -> tuple[int, int] | None:
        """The place of the operator between two operands: all words there but for brackets around those."""
        found = [(at, word) for at, word in self._tokens if left <= at < right and word not in ("(", ")")]
        return (found[0][0], found[-1][0] + len(found[-1][1])) if found else None

    def refuses(self, edit: Edit) -> str:
        """The reason for which an edit is left out; empty where it is not. Only the statement around it is compiled."""
        around = next(node for node in self.tree.body if _first(self, node) <= edit.start < self.end(node))
        first, last = _first(self, around), self.end(around)
        if first not in self._codes:
            self._codes[first] = _essence(compile(self.text[first:last], "module", "exec", dont_inherit=True))
        try:
            mutated = self.text[first : edit.start] + edit.becomes + self.text[edit.end : last]
            code = compile(mutated, "module", "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return NOT_PYTHON
        return SAME_CODE if _essence(code) == self._codes[first] else ""


def _first(source: _Source, node: ast.stmt) -> int:
    """The place where a statement begins, its decorators included."""
    decorators = getattr(node, "decorator_list", [])
    return source.start(decorators[0]) - 1 if decorators else source.start(node)


def _essence(code: CodeType) -> object:
    """All of a code object but for the lines and columns that it was made of."""
    parts = tuple(_essence(part) if isinstance(part, CodeType) else repr(part) for part in code.co_consts)
    return (
        code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags,
        code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_exceptiontable, code.co_name, parts,
    )  # fmt: skip


class _Finder:
    """Finds the edits below a node."""

    def __init__(self, source: _Source) -> None:
        self.source = source
        self.edits: list[Edit] = []
        self._counters: set[str] = set()
        """Names that loops count with, in the function at hand."""
        self._bound: set[str] = set()
        """Names that have a value already."""

    def _replace(self, kind: str, node: ast.expr | ast.stmt, becomes: str) -> None:
        self.edits.append(Edit(kind, self.source.start(node), self.source.end(node), becomes))

    def look(self, node: ast.AST) -> None:
        """Add the edits of a node and of all below it."""
        match node:
            case ast.Raise() | ast.JoinedStr() | ast.Import() | ast.ImportFrom() | ast.Assert():
                return
            case ast.FunctionDef():
                self._function(node)
                return
            case ast.ClassDef():
                for statement in node.body:
                    self.look(statement)
                return
            case ast.AnnAssign():
                if node.value is not None:
                    self.look(node.value)
                return
            case ast.Expr(ast.Constant()) | ast.Name(ctx=ast.Store()) | ast.Subscript(ast.Attribute(attr="NDArray")):
                return
            case ast.Subscript():
                self._subscript(node)
                return
        self._statement(node)
        self._expression(node)
        for child in ast.iter_child_nodes(node):
            self.look(child)

    def _function(self, node: ast.FunctionDef) -> None:
        before = self._counters, self._bound
        loops = [loop.target for loop in ast.walk(node) if isinstance(loop, ast.For | ast.comprehension)]
        self._counters = {name.id for name in loops if isinstance(name, ast.Name)}
        arguments = node.args
        self._bound = {one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is not None:
                self.look(default)
        for statement in node.body:
            self.look(statement)
        self._counters, self._bound = before

    # --- statements ---

    def _statement(self, node: ast.AST) -> None:
        match node:
            case ast.If() | ast.IfExp():
                self._stuck(node.test)
            case ast.While():
                # Always true would never end, and find nothing but a limit of time.
                self._replace("condition", node.test, f"not ({self.source.of(node.test)})")
                self._replace("condition", node.test, "False")
            case ast.comprehension():
                for test in node.ifs:
                    self._stuck(test)
            case ast.AugAssign():
                self._operator(node.op, node.target, node.value, assigned=True)
                self._replace("dropped", node, "pass")
            case ast.Expr(ast.Call()) | ast.Continue() | ast.Break():
                self._replace("dropped", node, "pass")
            case ast.Assign():
                names = {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
                plain = all(isinstance(target, ast.Name) for target in node.targets)
                if not plain or names <= self._bound:
                    self._replace("dropped", node, "pass")
                self._bound |= names

    def _stuck(self, test: ast.expr) -> None:
        self._replace("condition", test, f"(not ({self.source.of(test)}))")
        self._replace("condition", test, "True")
        self._replace("condition", test, "False")

    # --- expressions ---

    def _expression(self, node: ast.AST) -> None:
        match node:
            case ast.BinOp():
                self._operator(node.op, node.left, node.right)
                if isinstance(node.op, ast.Add) and isinstance(node.right, ast.Name) and "half" in node.right.id:
                    self._replace("rounding", node, f"({self.source.of(node.left)})")
            case ast.UnaryOp():
                self._unary(node)
            case ast.Compare():
                operands = [node.left, *node.comparators]
                for operator, left, right in zip(node.ops, operands, operands[1:], strict=False):
                    place = self.source.between(self.source.end(left), self.source.start(right))
                    if place is not None:
                        self.edits += (Edit("comparison", *place, other) for other in _COMPARED[type(operator)])
            case ast.BoolOp():
                other = "or" if isinstance(node.op, ast.And) else "and"
                for left, right in zip(node.values, node.values[1:], strict=False):
                    place = self.source.between(self.source.end(left), self.source.start(right))
                    if place is not None:
                        self.edits.append(Edit("logical", *place, other))
            case ast.Constant(bool() as value):
                self._replace("constant", node, str(not value))
            case ast.Constant(int() as value):
                self._number("constant", node, value)
            case ast.Name() if node.id in _NAMES:
                kind, becomes = _NAMES[node.id]
                self._replace(kind, node, becomes)
            case ast.Attribute() if node.attr in _ATTRIBUTES:
                own = isinstance(node.value, ast.Name) and node.value.id == "builder"
                if own == (node.attr in _INSTRUCTIONS):
                    kind, becomes = _ATTRIBUTES[node.attr]
                    end = self.source.end(node)
                    self.edits.append(Edit(kind, end - len(node.attr), end, becomes))
            case ast.Call():
                self._call(node)

    def _operator(self, operator: ast.operator, left: ast.expr, right: ast.expr, assigned: bool = False) -> None:
        place = self.source.between(self.source.end(left), self.source.start(right))
        if place is None or type(operator) not in _BINARY:
            return
        kind, symbol, other = _BINARY[type(operator)]
        sign = "=" if assigned else ""
        if self.source.text[slice(*place)] == symbol + sign:
            self.edits.append(Edit(kind, *place, other + sign))

    def _unary(self, node: ast.UnaryOp) -> None:
        if type(node.op) not in _UNARY:
            return
        kind, symbol = _UNARY[type(node.op)]
        start = self.source.start(node)
        self.edits.append(Edit(kind, start, start + len(symbol), ""))
        match node.operand:
            case ast.BinOp(ast.UnaryOp(ast.USub(), numerator), ast.FloorDiv(), denominator):
                rounded = f"({self.source.of(numerator)} // {self.source.of(denominator)})"
                self._replace("rounding", node, rounded)

    def _number(self, kind: str, node: ast.Constant, value: int) -> None:
        self._replace(kind, node, str(value + 1))
        self._replace(kind, node, str(value - 1) if value > 0 else "(-1)")

    def _call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in _LIMITS and node.args and not isinstance(node.args[0], ast.Starred):
            own = isinstance(node.func, ast.Attribute) and not isinstance(node.func.value, ast.Name)
            if not own:
                self._replace("saturation", node, f"({self.source.of(node.args[0])})")
        if name in _ROUND_SHIFTS and len(node.args) == len(("value", "shift")):
            value, shift = (self.source.of(argument) for argument in node.args)
            self._replace("rounding", node, f"(({value}) >> ({shift}))")

    # --- indices ---

    def _subscript(self, node: ast.Subscript) -> None:
        self.look(node.value)
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        for part in parts:
            if isinstance(part, ast.Slice):
                for end in (part.lower, part.upper):
                    if end is not None:
                        self._index(end)
            else:
                self._index(part)

    def _index(self, node: ast.expr) -> None:
        match node:
            case ast.Constant(int() as value) if not isinstance(value, bool):
                self._number("index", node, value)
                return
            case ast.Name() if self._counts(node.id):
                self._replace("index", node, f"{node.id} + 1")
                self._replace("index", node, f"{node.id} - 1")
            case ast.BinOp() if isinstance(node.op, ast.Add | ast.Sub | ast.Mult):
                text = self.source.of(node)
                self._replace("index", node, f"({text}) + 1")
                self._replace("index", node, f"({text}) - 1")
        self.look(node)

    def _counts(self, name: str) -> bool:
        return len(name) <= _SHORT_NAME or name.isupper() or name in self._counters
