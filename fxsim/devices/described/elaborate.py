"""Elaboration of somebody's Verilog: ports of the top, and widths of expressions over its signals.

pyslang reads it: a whole SystemVerilog front end in the process, that says what there is without building anything.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fxsim.devices.described.findings import SeveralError, nearest
from fxsim.devices.described.memory import READ_BY_NAME
from fxsim.errors import FileError, ToolError

_NAME = "fxsim_bits_"
_ERRORS_MAX = 20
_HARMLESS = "MissingTimeScale"
"""A file without a time scale among some with one: nothing here depends on time."""
_SIGNALS_MAX = 50_000
_PREDEFINED: dict[str, int | str] = {"VERILATOR": 1}
"""Macros that the simulator defines itself."""


@dataclass(frozen=True)
class Port:
    """A port of a top: its direction (`in`, `out`, `inout`), and its bits, all dimensions together.

    `elements`: of an unpacked array, the number of those that it has; None where it is none.
    """

    name: str
    direction: str
    bits: int
    elements: int | None = None

    @property
    def flat(self) -> bool:
        """Whether all of its bits are one vector."""
        return self.elements is None

    @property
    def array(self) -> str:
        """The words on an unpacked array: what it is, and what stands at it in a module around the design."""
        if self.elements is None:
            return ""
        each, name = self.bits // self.elements, self.name
        element, slice_ = f"{name}_array[i]", f"{name}_flat[{each}*i +: {each}]"
        sides = (slice_, element) if self.direction == "out" else (element, slice_)
        return (
            f"an unpacked array of {self.elements} times {each} bits, expected one vector: describe a module around "
            f"the design that has .{name}({name}_array) and of each element 'assign {sides[0]} = {sides[1]}'"
        )


@dataclass(frozen=True)
class Verilog:
    """Verilog to elaborate: files in order, each a name and its text; include folders are names of the same kind."""

    where: str
    files: Mapping[str, bytes]
    sources: tuple[str, ...]
    include: tuple[str, ...]
    defines: Mapping[str, int | str]


def elaborate_ports(verilog: Verilog, top: str, parameters: Mapping[str, int]) -> dict[str, Port]:
    """Ports of a top with these parameters, by name. FileError where there is no such module, or an error in it."""
    body = _Elaborated(verilog, f"module {top}_;\nendmodule\n", top, parameters).top(top)
    if body is None:
        raise FileError(f"{verilog.where}: top: there is no module '{top}' in {', '.join(verilog.sources[:5])}")
    ports = {}
    for port in body.portList:
        if not hasattr(port, "type"):
            name = getattr(getattr(port, "interfaceDef", None), "name", "") or "its interface"
            raise FileError(
                f"{verilog.where}: port '{port.name}' of '{top}' is an interface, expected plain signals: describe a "
                f"module around the design that has '{name} {port.name}_if(...)', .{port.name}({port.name}_if) and an "
                "'assign' for each of its signals"
            )
        kind = port.type
        direction = str(port.direction).rpartition(".")[2].lower()
        elements = int(kind.range.width) if kind.isUnpackedArray else None
        ports[port.name] = Port(port.name, direction, int(kind.bitstreamWidth), elements)
    return ports


def expression_bits(verilog: Verilog, wrapper: str, expressions: Mapping[str, str]) -> dict[str, int | str]:
    """Bits of expressions that stand in a wrapper, by what they are for; `wrapper` lacks only its `endmodule`.

    In place of bits, words on what is wrong, with the nearest name where one does not exist. FileError where the
    wrapper itself is wrong.
    """
    lines = wrapper.count("\n")
    nets = "".join(f"  wire {_NAME}{n} = {text};\n" for n, text in enumerate(expressions.values()))
    elaborated = _Elaborated(verilog, f"{wrapper}{nets}endmodule\n", None, {})
    keys = list(expressions)
    bits: dict[str, int | str] = {}
    for line, code, words, names in elaborated.wrapper_errors():
        n = line - lines - 1
        if not 0 <= n < len(keys):
            raise FileError(f"{verilog.where}: {words}")
        bits.setdefault(keys[n], f"{words}{elaborated.near(expressions[keys[n]], code, names)}")
    body = elaborated.top("fxsim_wrapper")
    assert body is not None
    for n, key in enumerate(keys):
        if key in bits:
            continue
        expression = body.find(f"{_NAME}{n}").initializer
        while type(expression).__name__ == "ConversionExpression":
            expression = expression.operand
        bits[key] = int(expression.type.bitWidth)
    return bits


class _Elaborated:
    """Verilog and a wrapper, elaborated; ToolError where pyslang is missing, SeveralError for errors in files."""

    def __init__(self, verilog: Verilog, wrapper: str, top: str | None, parameters: Mapping[str, int]) -> None:
        try:
            import pyslang
            from pyslang import ast, parsing, syntax
        except ImportError as error:
            raise ToolError(f"pyslang is missing, which reads a described design: {error}") from None
        bag, options = pyslang.Bag(), parsing.PreprocessorOptions()
        options.predefines = [f"{name}={value}" for name, value in (_PREDEFINED | dict(verilog.defines)).items()]
        options.additionalIncludePaths = []
        kinds = ast.CompilationOptions()
        # As Verilator takes it.
        kinds.flags |= ast.CompilationFlags.AllowUseBeforeDeclare
        kinds.topModules = {top} if top is not None else {"fxsim_wrapper"}
        kinds.paramOverrides = [f"{name}={value}" for name, value in parameters.items()]
        bag.preprocessorOptions = options
        bag.compilationOptions = kinds
        self._manager = pyslang.SourceManager()
        # What an include names is at hand by its name, wherever it lies.
        for folder in (*dict.fromkeys(("", *(f"{name}/" for name in verilog.include))),):
            for name, content in verilog.files.items():
                if name.startswith(folder) and name not in verilog.sources:
                    self._manager.assignText(name.removeprefix(folder), content.decode("utf-8", "replace"))
        self._engine = pyslang.DiagnosticEngine(self._manager)
        self._compilation = ast.Compilation(bag)
        # One unit, as for Verilator: a macro of one file holds in all that follow, the wrapper being the last.
        texts = {name: verilog.files[name].decode("utf-8", "replace") for name in verilog.sources}
        buffers = [self._manager.assignText(name, text) for name, text in (texts | {"fxsim_wrapper": wrapper}).items()]
        self._compilation.addSyntaxTree(syntax.SyntaxTree.fromBuffers(buffers, self._manager, bag))
        self._root = self._compilation.getRoot()
        self._errors = self._only_errors(self._compilation.getAllDiagnostics())
        problems = self._in_sources(verilog.where, self._errors)
        if not problems:
            return
        # A file that does not end is an error in the one behind it: those before that one, alone, say where it is.
        files = [self._manager.getFileName(found.location) for found in self._errors]
        first = min((n for n, name in enumerate(texts) if name in files), default=0)
        before: Iterable[Any] = ()
        if first:
            before = syntax.SyntaxTree.fromBuffers(buffers[:first], self._manager, bag).diagnostics
        unended = self._in_sources(verilog.where, self._only_errors(before))
        raise SeveralError((unended or problems)[:_ERRORS_MAX])

    @staticmethod
    def _only_errors(diagnostics: Iterable[Any]) -> list[Any]:
        return [found for found in diagnostics if found.isError() and _HARMLESS not in str(found.code)]

    def _in_sources(self, where: str, errors: Iterable[Any]) -> list[str]:
        """Errors in files of the design, in words: file, line, message."""
        return [
            f"{where}: sources: {file}, line {self._manager.getLineNumber(wrong.location)}: "
            f"{self._engine.formatMessage(wrong)}"
            for wrong in errors
            if (file := self._manager.getFileName(wrong.location)) != "fxsim_wrapper"
            and "TopModule" not in str(wrong.code)
        ]

    def top(self, name: str) -> Any:
        """The body of a top instance, None where there is none of this name."""
        return next((found.body for found in self._root.topInstances if found.name == name), None)

    def wrapper_errors(self) -> list[tuple[int, str, str, list[str]]]:
        """Errors in the wrapper: line, code, words, and the names they speak of."""
        return [
            (
                self._manager.getLineNumber(error.location),
                str(error.code),
                self._engine.formatMessage(error),
                [str(word) for word in error.args],
            )
            for error in self._errors
        ]

    def near(self, text: str, code: str, names: list[str]) -> str:
        """Words on the names nearest to one that does not exist, among those of the same place; empty without any."""
        if "Hierarchical" not in code or not names:
            return ""
        wrong = names[0]
        scope = self.top("fxsim_wrapper")
        path = next((part for part in text.replace(" ", "").split("dut.")[1:] if wrong in part), "")
        place = ["dut", *path.split(f"{wrong}")[0].rstrip(".").split(".")]
        for name in (part for part in place if part):
            found = scope.find(name) if "[" not in name else scope.lookupName(name)
            if found is None:
                break
            scope = getattr(found, "body", found)
        there = sorted({member.name for member in scope if member.name})
        return nearest(wrong, there, "; the nearest that does is ")


@dataclass(frozen=True)
class Signal:
    """A signal below a top, by its hierarchical name: its bits, or the words of an array and their bits."""

    name: str
    bits: int
    words: int | None


@dataclass(frozen=True)
class Survey:
    """A top as it is found: its ports, its parameters with their values, and the signals below it, as far as looked."""

    ports: dict[str, Port]
    parameters: dict[str, str]
    signals: tuple[Signal, ...]
    files: tuple["NamedFile", ...]


def survey(verilog: Verilog, top: str) -> Survey:
    """A survey of a top with its parameters' own values. FileError where there is no such module, or errors in it."""
    elaborated = _Elaborated(verilog, f"module {top}_;\nendmodule\n", top, {})
    body = elaborated.top(top)
    if body is None:
        raise FileError(f"{verilog.where}: top: there is no module '{top}' in {', '.join(verilog.sources[:5])}")
    parameters = {
        member.name: str(member.value)
        for member in body
        if _kind(member) == "Parameter" and member.isPortParam and not member.isLocalParam
    }
    signals: list[Signal] = []
    pending = [body]
    while pending and len(signals) < _SIGNALS_MAX:
        for member in pending.pop(0):
            kind = _kind(member)
            if kind in ("Variable", "Net") and member.name:
                signals.append(_signal(member, f"{top}."))
            elif kind == "Instance" and not member.isInterface:
                pending.append(member.body)
            elif kind in ("GenerateBlock", "GenerateBlockArray"):
                pending.append(member)
    return Survey(elaborate_ports(verilog, top, {}), parameters, tuple(signals), named_files(verilog, top, {}))


_READ_BY_NAME = re.compile(READ_BY_NAME.pattern.decode())


@dataclass(frozen=True)
class NamedFile:
    """A file that a design reads by the name of a parameter: where that is, what it names, and what it is read into.

    `file`: None where the name is none of a parameter that is a text.
    """

    where: str
    name: str
    array: str
    file: str | None


def named_files(verilog: Verilog, top: str, parameters: Mapping[str, int]) -> tuple[NamedFile, ...]:
    """The files that `$readmemh` and `$readmemb` read by a name, in every instance below a top, as it is elaborated."""
    body = _Elaborated(verilog, f"module {top}_;\nendmodule\n", top, parameters).top(top)
    assert body is not None
    found: list[NamedFile] = []
    pending: list[tuple[Any, tuple[Any, ...]]] = [(body, ())]
    while pending and len(found) < _SIGNALS_MAX:
        scope, around = pending.pop(0)
        for member in scope:
            kind = _kind(member)
            if kind == "Instance" and not member.isInterface:
                pending.append((member.body, ()))
            elif kind in ("GenerateBlock", "GenerateBlockArray"):
                pending.append((member, (scope, *around)))
            elif kind == "ProceduralBlock":
                where = str(scope.hierarchicalPath)
                for name, array in dict.fromkeys(_READ_BY_NAME.findall(str(member.syntax))):
                    found.append(NamedFile(where, name, array, _text_of(name, (scope, *around))))
    return tuple(found)


def _text_of(name: str, scopes: Iterable[Any]) -> str | None:
    """The text that is the value of a parameter, looked for from the innermost scope on."""
    for scope in scopes:
        member = next((one for one in scope if one.name == name), None)
        if member is not None:
            return str(member.value.convertToStr()).strip('"') or None if _kind(member) == "Parameter" else None
    return None


def _kind(symbol: Any) -> str:
    return str(symbol.kind).rpartition(".")[2]


def _signal(symbol: Any, top: str) -> Signal:
    kind, words = symbol.type, None
    bits = int(kind.bitstreamWidth)
    if kind.isUnpackedArray:
        words, element = 1, kind
        while element.isUnpackedArray:
            words, element = words * int(element.range.width), element.arrayElementType
        bits = int(element.bitstreamWidth)
    return Signal(str(symbol.hierarchicalPath).removeprefix(top), bits, words)
