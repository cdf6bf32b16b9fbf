"""Verilog that tools read as different designs: found in its text and in its meaning, and refused by name.

A proof is of what Yosys reads. Where a simulator, or another synthesiser, may take the same text for another design,
nothing is proved of it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from fxsim.errors import ToolError
from fxsim.simulate.sources import Sources

MACROS_OF_VERILATOR = (
    "VERILATOR", "verilator", "verilator3", "VERILATOR_TIMING", "SYSTEMVERILOG", "coverage_block_off",
    *(f"SV_COV_{name}" for name in (
        "ASSERTION", "CHECK", "ERROR", "FSM_STATE", "HIER", "MODULE", "NOCOV", "OK", "OVERFLOW", "PARTIAL", "RESET",
        "START", "STATEMENT", "STOP", "TOGGLE",
    )),
)  # fmt: skip
"""Macros that Verilator defines by itself."""
_OF_TOOLS = ("YOSYS", "SYNTHESIS", "FORMAL", "__ICARUS__", "__slang__", "__slang_major__", "__slang_minor__")
_MACRO = re.compile(rb"(?<![\w$])(?:" + "|".join((*MACROS_OF_VERILATOR, *_OF_TOOLS)).encode() + rb")(?![\w$])")
_ESCAPED_MACRO = re.compile(rb"`(?:ifdef|ifndef|elsif|define|undef)(?=[^\S\n]*(?:\n|\Z))")
"""A directive of which nothing is left on its line without escaped identifiers."""
_DEFINED = re.compile(rb"`define\s+(\w+)")
_NAMED = re.compile(rb"`(?:(?:ifdef|ifndef|elsif|define|undef)\s+)?(\w+)")
_DRIVE = re.compile(rb"`unconnected_drive(?!\w)")
_LEFT_OUT = re.compile(rb"(?<![\w$])translate_off(?![\w$])")
_PARALLEL = re.compile(rb"(?<![\w$])parallel_case(?![\w$])")
_DELAY = re.compile(rb"(?:\A|[^\w$\s])\s*#|#\s*[^\s(]")
"""A # that does not stand between a module's name and its parameters."""
_ATTRIBUTE = re.compile(rb"\(\*\s*[^)\s]")
_UNNAMED = re.compile(r"undeclared identifier 'genblk[0-9]+'")
_ATTRIBUTES = {
    "parallel_case", "gclk", "init", "defaultvalue", "force_downto", "force_upto", "via_celltype", "wand", "wor",
    "anyconst", "anyseq", "allconst", "allseq",
}  # fmt: skip
"""Attributes by which Yosys reads another design: all others it hands on."""

_HIDES = "hides code from some tools and not from others"
_OF_A_TOOL = "is a macro that some tools define and others do not"
_PARALLEL_SAYS = "lets a synthesiser take its branches for exclusive, which a simulator does not"


def refuse_texts(sources: Sources, *, macros: bool) -> None:
    """ToolError where a comment, a macro of a tool itself (`macros`), or a delay is another design to some tool."""
    for name in sources.files:
        text, code = sources.files[name], sources.code(name)
        for where, pattern, does in (
            (text, _LEFT_OUT, _HIDES),
            (text, _PARALLEL, _PARALLEL_SAYS),
            (code, _ESCAPED_MACRO, "names a macro by an escaped identifier, which tools take for different ones"),
            (code if macros else b"", _MACRO, _OF_A_TOOL),
            (code if macros else b"", _DELAY, "is a delay, which a netlist has not"),
            (code, _DRIVE, "connects ports for some tools and not for others"),
        ):
            if (found := pattern.search(where)) is not None:
                line = where.count(b"\n", 0, found.end()) + 1
                raise _refused(sources, f"{name}:{line}", " ".join(found[0].decode(errors="replace").split()), does)
    if macros:
        _refuse_order(sources)


def _refuse_order(sources: Sources) -> None:
    """ToolError where one file names a macro that another one defines.

    Which of them is read first differs between tools: Yosys takes files by their names, Verilator as they are needed.
    """
    code = {name: sources.code(name) for name in sources.files}
    by: dict[bytes, set[str]] = {}
    for name, text in code.items():
        for macro in _DEFINED.findall(text):
            by.setdefault(macro, set()).add(name)
    for name, text in code.items() if by else ():
        if b"``" in text and any(files - {name} for files in by.values()):
            line = text.count(b"\n", 0, text.index(b"``")) + 1
            raise _refused(sources, f"{name}:{line}", "``", "joins names to what may be another file's macro")
        for found in _NAMED.finditer(text):
            if others := by.get(found[1], set()) - {name}:
                line = text.count(b"\n", 0, found.end()) + 1
                does = f"is a macro that {min(others)} defines, which some tools read before this and others after"
                raise _refused(sources, f"{name}:{line}", found[1].decode(), does)


def refuse_meanings(
    sources: Sources,
    order: Sequence[str],
    include: Sequence[str],
    defines: Mapping[str, int | str],
    top: str,
    parameters: Mapping[str, int | str],
) -> None:
    """ToolError where what Verilog means differs between tools: attributes, sensitivity, `unique`, races.

    `order`: the files that are compiled, one after the other, as one unit; `include`: folders. ToolError, too, where it
    cannot be read, or pyslang is missing.
    """
    _Reading(sources, order, include, defines, top, parameters).refuse()


def _refused(sources: Sources, place: str, shown: str, does: str) -> ToolError:
    return ToolError(
        f"{sources.folder}/{place}: '{shown}' {does}: what is proved would be another design than what is simulated; "
        "expected Verilog that reads the same to every tool"
    )


@dataclass
class _Process:
    """A process: its name for people, whether it waits for edges; what it reads, sets, and sets by =."""

    place: str
    edges: bool
    reads: dict[Any, str] = field(default_factory=dict)
    sets: set[Any] = field(default_factory=set)
    at_once: set[Any] = field(default_factory=set)


class _Reading:
    """A design as pyslang elaborates it."""

    def __init__(
        self, sources: Sources, order: Sequence[str], include: Sequence[str], defines: Mapping[str, int | str],
        top: str, parameters: Mapping[str, int | str],
    ) -> None:  # fmt: skip
        try:
            import pyslang
            from pyslang import ast, parsing, syntax
        except ImportError as error:
            raise ToolError(f"pyslang is missing, which reads Verilog before it is proved: {error}") from None
        self._sources = sources
        self._ast, self._syntax = ast, syntax
        bag, options, kinds = pyslang.Bag(), parsing.PreprocessorOptions(), ast.CompilationOptions()
        options.predefines = [f"{name}={value}" for name, value in defines.items()]
        options.undefines = ["__slang__", "__slang_major__", "__slang_minor__"]
        options.additionalIncludePaths = []
        kinds.flags |= ast.CompilationFlags.AllowUseBeforeDeclare
        kinds.topModules = {top}
        kinds.paramOverrides = [
            f"{name}={value}" if isinstance(value, int) else f'{name}="{value}"' for name, value in parameters.items()
        ]
        bag.preprocessorOptions, bag.compilationOptions = options, kinds
        self._manager = pyslang.SourceManager()
        for folder in dict.fromkeys(("", *(f"{name}/" for name in include if name != "."))):
            for name, content in sources.files.items():
                if name.startswith(folder) and name not in order:
                    self._manager.assignText(name.removeprefix(folder), content.decode("utf-8", "replace"))
        texts = [self._manager.assignText(n, sources.files[n].decode("utf-8", "replace")) for n in order]
        self._tree = syntax.SyntaxTree.fromBuffers(texts, self._manager, bag)
        self._compilation = ast.Compilation(bag)
        self._compilation.addSyntaxTree(self._tree)
        self._root = self._compilation.getRoot()
        for found in self._compilation.getAllDiagnostics():
            said = pyslang.DiagnosticEngine(self._manager).formatMessage(found)
            # Ghosts look into generate blocks without a name, which Yosys and Verilator number, and slang does not.
            if found.isError() and "MissingTimeScale" not in str(found.code) and not _UNNAMED.search(said):
                raise ToolError(f"{sources.folder}/{self._place(found.location)}: {said}")

    def _place(self, location: Any) -> str:
        # Of what a macro gave, where the macro stands.
        location = self._manager.getFullyExpandedLoc(location)
        return f"{self._manager.getFileName(location)}:{self._manager.getLineNumber(location)}"

    def refuse(self) -> None:
        """ToolError for the first thing that tools read differently."""
        if any(_ATTRIBUTE.search(text) for text in self._sources.files.values()):
            self._attributes()
        done = set()
        pending = [instance.body for instance in self._root.topInstances]
        while pending:
            body = pending.pop()
            parameters = tuple((member.name, str(member.value)) for member in body if _kind(member) == "Parameter")
            if (body.definition.name, parameters) in done:
                continue
            done.add((body.definition.name, parameters))
            processes: list[_Process] = []
            driven: dict[Any, list[tuple[float, float, str]]] = {
                port.internalSymbol: [(-inf, inf, "its port")]
                for port in body.portList
                if _word(getattr(port, "direction", "")) == "In" and port.internalSymbol is not None
            }
            for member in _members(body):
                kind = _kind(member)
                if kind == "Instance" and not member.isInterface:
                    pending.append(member.body)
                    for connection in member.portConnections:
                        if _word(connection.port.direction) == "Out" and connection.expression is not None:
                            self._drives(connection.expression, driven, member.location)
                elif kind == "ContinuousAssign":
                    self._drives(member.assignment, driven, member.location)
                elif kind == "Net" and member.initializer is not None:
                    driven.setdefault(member, []).append((-inf, inf, self._place(member.location)))
                elif kind == "ProceduralBlock":
                    self._cases(member.body)
                    processes += self._process(member)
                elif kind == "Subroutine":
                    self._cases(member.body)
            self._races(processes)

    def _attributes(self) -> None:
        def look(node: Any) -> None:
            if getattr(node, "kind", None) == self._syntax.SyntaxKind.AttributeSpec:
                name = node.name.valueText
                if name in _ATTRIBUTES:
                    place = self._place(node.name.location)
                    raise _refused(
                        self._sources, place, name, "is an attribute by which Yosys alone reads another design"
                    )

        self._tree.root.visit(look)

    def _drives(self, assignment: Any, driven: dict[Any, list[tuple[float, float, str]]], location: Any) -> None:
        """Note which bits are driven by an assignment; ToolError where something else drives one of them, too.

        Of two constants Yosys keeps one, and its own check sees neither. Of places that vary nothing is noted.
        """
        target = getattr(assignment, "left", assignment)
        whole = _kind(target) in ("NamedValue", "HierarchicalValue")
        symbol = target.symbol if whole else getattr(getattr(target, "value", None), "symbol", None)
        resolved = ("wand", "wor", "triand", "trior")
        if symbol is None or (_kind(symbol) == "Net" and symbol.netType.name in resolved):
            return
        bits = (-inf, inf) if whole else _bits(target)
        if bits is None:
            return
        place, own = self._place(location), driven.setdefault(symbol, [])
        for low, high, other in own:
            if low <= bits[1] and bits[0] <= high:
                raise ToolError(
                    f"{self._sources.folder}/{place}: '{symbol.name}' is driven by more than one thing, at {other}, too"
                )
        own.append((*bits, place))

    def _cases(self, statement: Any) -> None:
        """No `unique` case but one of which no two items can be the same."""
        checks = self._ast.UniquePriorityCheck

        def look(node: Any) -> None:
            if _kind(node) == "Case" and node.check in (checks.Unique, checks.Unique0) and not _exclusive(node):
                place = self._place(node.sourceRange.start)
                raise _refused(self._sources, place, "unique case", _PARALLEL_SAYS)

        statement.visit(look)

    def _process(self, block: Any) -> Iterator[_Process]:
        """Yield what a process reads and sets; ToolError where it waits for some of what it reads and not for all."""
        if _kind(block.body) != "Timed" or "Always" not in str(block.procedureKind):
            return
        timing = block.body.timing
        events = timing.events if _kind(timing) == "EventList" else [timing] if _kind(timing) == "SignalEvent" else []
        edges = [event for event in events if _word(event.edge) != "None_"]
        found = _Process(self._place(block.location), bool(edges))
        self._look(block.body.stmt, found, set())
        if events and not edges:
            listed = {str(event.expr.syntax).strip() for event in events}
            for symbol, text in found.reads.items():
                if symbol.name not in listed and text not in listed and symbol not in found.sets:
                    raise _refused(
                        self._sources, found.place, f"always @({', '.join(sorted(listed))})",
                        f"does not wait for '{symbol.name}', which it reads, and synthesisers do as if it did",
                    )  # fmt: skip
        yield found

    def _look(self, statement: Any, found: _Process, called: set[str]) -> None:
        skip, go_on = self._ast.VisitAction.Skip, self._ast.VisitAction.Advance

        def left(node: Any, *, at_once: bool) -> None:
            kind = _kind(node)
            if kind in ("NamedValue", "HierarchicalValue"):
                if not _local(node.symbol):
                    found.sets.add(node.symbol)
                    if at_once:
                        found.at_once.add(node.symbol)
            elif kind == "Concatenation":
                for operand in node.operands:
                    left(operand, at_once=at_once)
            elif kind in ("ElementSelect", "RangeSelect", "MemberAccess"):
                left(node.value, at_once=at_once)
                for part in ("selector", "left", "right"):
                    if hasattr(node, part):
                        getattr(node, part).visit(look)
            elif hasattr(node, "operand"):
                left(node.operand, at_once=at_once)

        def look(node: Any) -> Any:
            kind = _kind(node)
            if kind == "Assignment":
                left(node.left, at_once=not node.isNonBlocking)
                if node.op is not None:
                    node.left.visit(look)
                node.right.visit(look)
                return skip
            if kind in ("ElementSelect", "RangeSelect", "MemberAccess"):
                root = node
                while hasattr(root, "value") and _kind(root) not in ("NamedValue", "HierarchicalValue"):
                    root = root.value
                if _kind(root) in ("NamedValue", "HierarchicalValue") and not _local(root.symbol):
                    found.reads.setdefault(root.symbol, str(node.syntax).strip())
                for part in ("selector", "left", "right"):
                    if hasattr(node, part):
                        getattr(node, part).visit(look)
                return skip
            if kind in ("NamedValue", "HierarchicalValue") and not _local(node.symbol):
                found.reads[node.symbol] = node.symbol.name
            if kind == "Call" and not node.isSystemCall and node.subroutine.name not in called:
                called.add(node.subroutine.name)
                self._look(node.subroutine.body, found, called)
            return go_on

        statement.visit(look)

    def _races(self, processes: Sequence[_Process]) -> None:
        """No process that waits for edges reads what another such one sets by `=`: simulators do either first."""
        waiting = [process for process in processes if process.edges]
        for one in waiting:
            for other in waiting if one.at_once else ():
                shared = one.at_once & (other.reads.keys() - other.sets)
                if one is not other and shared:
                    name = min(symbol.name for symbol in shared)
                    raise _refused(
                        self._sources, one.place, f"{name} =",
                        f"sets at an edge what the process at {other.place} reads at the same edge, before it or after",
                    )  # fmt: skip


def _members(scope: Any) -> Iterator[Any]:
    for member in scope:
        if _kind(member) in ("GenerateBlock", "GenerateBlockArray"):
            if not getattr(member, "isUninstantiated", False):
                yield from _members(member)
        else:
            yield member


def _bits(select: Any) -> tuple[int, int] | None:
    """The least and the greatest index that a selection of a name has; None where they are not constant."""
    parts = ("selector",) if _kind(select) == "ElementSelect" else ("left", "right")
    found = [getattr(getattr(select, part, None), "constant", None) for part in parts]
    if None in found or not all(str(value).lstrip("-").isdecimal() for value in found):
        return None
    numbers = [int(str(value)) for value in found]
    kind = _word(getattr(select, "selectionKind", "Simple"))
    if kind != "Simple":
        numbers[1] = numbers[0] + (numbers[1] - 1) * (1 if kind == "IndexedUp" else -1)
    return min(numbers), max(numbers)


def _kind(node: Any) -> str:
    return _word(getattr(node, "kind", ""))


def _word(of: Any) -> str:
    """The word of a value of one of pyslang's enumerations."""
    return str(of).rpartition(".")[2]


def _local(symbol: Any) -> bool:
    """Whether a name is of no signal of the module: a constant, or a variable of a process or a function itself."""
    if _kind(symbol) in ("Parameter", "EnumValue", "Genvar", "Specparam", "FormalArgument", "TypeParameter"):
        return True
    return _kind(getattr(symbol, "parentScope", None)) in ("StatementBlock", "Subroutine")


def _exclusive(case: Any) -> bool:
    """Whether no two items of a case can be the same: constants, without wildcards, each another one."""
    values = []
    for item in case.items:
        for expression in item.expressions:
            value = expression.constant if hasattr(expression, "constant") else None
            values.append(None if value is None else str(value.value))
    known = all(value is not None and not {*value.lower()} & {*"xz?"} for value in values)
    return _word(case.condition) == "Normal" and known and len({*values}) == len(values)
