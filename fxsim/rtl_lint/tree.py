"""Syntax trees of Verilog-2005 by Pyverilog, and constant expressions over them, evaluated here.

Pyverilog is asked for trees and nothing else: its preprocessor and its generators are not used.
"""

import operator
import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from fxsim import temporary
from fxsim.errors import ToolError
from fxsim.simulate.sources import Sources

_DIRECTIVE = re.compile(rb"`(\w+)")
_HARMLESS = {b"default_nettype", b"timescale", b"resetall", b"celldefine", b"endcelldefine"}
"""Directives that change no width."""
_BITS_MAX = 1 << 16
"""Most bits of a number: beyond, it is none that a width is computed from."""

Value = int | str


class UnreadError(ToolError):
    """Verilog of which a width cannot be read: what it is, and where."""

    def __init__(self, file: str, line: int, text: str) -> None:
        super().__init__(f"{file}:{line}: {text}")
        self.file, self.line, self.text = file, line, text


Known = Value | UnreadError
"""A constant's value, or what of it could not be read: it matters only where a width depends on it."""


class ModuleTree(NamedTuple):
    """A module's syntax tree and the file that it stands in."""

    file: str
    tree: Any


@cache
def _parser() -> Any:
    """Pyverilog's parser, made once: its tables take a second. ToolError where it is not installed."""
    try:
        from pyverilog.vparser.parser import VerilogParser
    except ModuleNotFoundError:
        raise ToolError(
            "Pyverilog is missing, which reads Verilog's syntax: install fxsim with the extra 'evidence'"
        ) from None
    with temporary.folder("pyverilog") as folder:
        return VerilogParser(outputdir=str(folder), debug=False)


@lru_cache(maxsize=256)
def _parse(name: str, content: bytes) -> tuple[Any, ...]:
    """The modules of one file, which nobody changes."""
    parser = _parser()
    from pyverilog.vparser.parser import ParseError

    parser.lexer.reset_lineno()
    parser.lexer.filename = name
    try:
        description = parser.parse(content.decode(errors="replace")).description
    except ParseError as error:
        line = int(found[1]) if (found := re.search(r"line:(\d+)", str(error))) else 1
        raise UnreadError(name, line, f"is no Verilog-2005 that Pyverilog reads: {error}") from None
    return tuple(tree for tree in description.definitions if type(tree).__name__ == "ModuleDef")


def parse_modules(sources: Sources) -> dict[str, ModuleTree]:
    """Every module of Verilog sources by name. ToolError for what Pyverilog cannot read, with file and line."""
    modules: dict[str, ModuleTree] = {}
    for name, content in sources.files.items():
        if PurePosixPath(name).suffix != ".v":
            continue
        code = sources.code(name)
        for found in _DIRECTIVE.finditer(code):
            if found[1] not in _HARMLESS:
                line = code.count(b"\n", 0, found.start()) + 1
                raise UnreadError(name, line, f"`{found[1].decode()} is not read here: expected Verilog without macros")
        for tree in _parse(name, content):
            if tree.name in modules:
                raise UnreadError(name, tree.lineno, f"module {tree.name} is in {modules[tree.name].file}, too")
            modules[tree.name] = ModuleTree(name, tree)
    return modules


def _truncated(one: int, other: int) -> int:
    """Verilog's quotient: towards zero."""
    quotient = abs(one) // abs(other)
    return quotient if (one < 0) == (other < 0) else -quotient


_BINARY: dict[str, Callable[[int, int], int]] = {
    "Plus": operator.add,
    "Minus": operator.sub,
    "Times": operator.mul,
    "Divide": _truncated,
    "Mod": lambda one, other: one - other * _truncated(one, other),
    "Power": operator.pow,
    "Sll": operator.lshift,
    "Srl": operator.rshift,
    "And": operator.and_,
    "Or": operator.or_,
    "Xor": operator.xor,
    "LessThan": operator.lt,
    "GreaterThan": operator.gt,
    "LessEq": operator.le,
    "GreaterEq": operator.ge,
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Land": lambda one, other: bool(one) and bool(other),
    "Lor": lambda one, other: bool(one) or bool(other),
}
_UNARY: dict[str, Callable[[int], int]] = {"Uplus": operator.pos, "Uminus": operator.neg, "Ulnot": operator.not_}


class Evaluator:
    """Evaluates constant expressions of one file, whose names stand for `values`.

    Numbers are whole and unbounded, as widths are; what is not known is an UnreadError that names it.
    """

    def __init__(self, file: str, values: Mapping[str, Known]) -> None:
        self._file = file
        self._values = values

    def number(self, node: Any) -> int:
        """The value of an expression that is a number."""
        value = self.value(node)
        if not isinstance(value, int):
            raise UnreadError(self._file, node.lineno, f"has the text {value!r} where a number is expected")
        return value

    def value(self, node: Any) -> Value:
        """The value of an expression: a number, or a text."""
        kind = type(node).__name__
        if kind == "Rvalue":
            return self.value(node.var)
        if kind == "IntConst":
            return self._constant(node)
        if kind == "StringConst":
            return str(node.value)
        if kind == "Identifier":
            return self._named(node)
        if kind in _BINARY:
            return self._binary(kind, node)
        if kind in _UNARY:
            return int(_UNARY[kind](self.number(node.right)))
        if kind == "Cond":
            return self.value(node.true_value if self.number(node.cond) else node.false_value)
        if kind == "SystemCall" and node.syscall == "clog2" and len(node.args) == 1:
            return max(self.number(node.args[0]) - 1, 0).bit_length()
        if kind == "Partselect":
            high, low = self.number(node.msb), self.number(node.lsb)
            if not 0 <= low <= high <= _BITS_MAX:
                raise UnreadError(self._file, node.lineno, f"selects bits {high} to {low} of a constant")
            return self.number(node.var) >> low & ((1 << high - low + 1) - 1)
        raise UnreadError(self._file, node.lineno, f"has {kind} in an expression that must be constant")

    def _binary(self, kind: str, node: Any) -> int:
        left, right = self.number(node.left), self.number(node.right)
        if kind in ("Divide", "Mod") and right == 0:
            raise UnreadError(self._file, node.lineno, "divides by 0")
        if kind in ("Power", "Sll", "Srl") and not 0 <= right <= _BITS_MAX:
            raise UnreadError(self._file, node.lineno, f"has {right} as a power or shift")
        if kind == "Power" and abs(left).bit_length() * right > _BITS_MAX:
            raise UnreadError(self._file, node.lineno, f"has a power of more than {_BITS_MAX} bits")
        return int(_BINARY[kind](left, right))

    def _named(self, node: Any) -> Value:
        if node.scope is not None or node.name not in self._values:
            raise UnreadError(self._file, node.lineno, f"'{node.name}' is no constant that is known")
        value = self._values[node.name]
        if isinstance(value, UnreadError):
            raise value
        return value

    def _constant(self, node: Any) -> int:
        match = re.fullmatch(r"(?:(\d*)'(s?)([bodhBODH]))?([0-9a-fA-F]+)", node.value.replace("_", ""))
        if match is None:
            raise UnreadError(self._file, node.lineno, f"'{node.value}' is no number that is known")
        bases = {"b": 2, "o": 8, "d": 10, "h": 16, None: 10}
        try:
            value = int(match[4], bases[match[3] and match[3].lower()])
        except ValueError:
            raise UnreadError(self._file, node.lineno, f"'{node.value}' is no number that is known") from None
        size = int(match[1]) if match[1] else None
        if size is not None:
            if size > _BITS_MAX:
                raise UnreadError(self._file, node.lineno, f"'{node.value}' has more than {_BITS_MAX} bits")
            value &= (1 << size) - 1
            if match[2] and value >> size - 1:
                value -= 1 << size
        return value
