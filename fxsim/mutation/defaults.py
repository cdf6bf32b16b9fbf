"""Defaults of parameters: cases of a testbench that state a parameter say nothing of who takes its default."""

from pathlib import Path

from fxsim.mutation.kinds import Mutant
from fxsim.mutation.verilog import Source, nodes, parse
from fxsim.paths import verilog_files

_OPENS, _CLOSES = ("LPAREN", "LBRACKET", "LBRACE"), ("RPAREN", "RBRACKET", "RBRACE")


def is_taken(mutant: Mutant, text: str, rtl: Path) -> bool:
    """Whether a mutant changes the default of a parameter that some instance in a folder does not state.

    `text`: of the mutant's file, as it is without it.
    """
    name = default_of(parse(text, mutant.file), mutant)
    return name is not None and any(name not in stated for stated in _instances(mutant.module, rtl))


def default_of(source: Source, mutant: Mutant) -> str | None:
    """The name of the module's parameter whose default holds a mutant's place; None where it is elsewhere."""
    from pyverilog.vparser import ast

    module = next(node for node in nodes(source.tree) if isinstance(node, ast.ModuleDef) and node.name == mutant.module)
    end = source.next(module.lineno, "SEMICOLON")
    opens = next((n for n in range(module.lineno, end or 0) if source.type(n) in _OPENS), None)
    # A list of parameters is the first of two in parentheses; ports are the only one, or the second.
    if opens is None or source.type(source.pairs[opens] + 1) != "LPAREN":
        return None
    depth, name = 0, None
    for number in range(opens + 1, source.pairs[opens]):
        kind, token = source.type(number), source.tokens[number]
        depth += (kind in _OPENS) - (kind in _CLOSES)
        if depth == 0 and kind == "COMMA":
            name = None
        if depth == 0 and kind == "EQUALS":
            before = source.tokens[number - 1]
            name = source.text[before.start : before.end]
        elif name is not None and token.start <= mutant.start < token.end:
            return name
    return None


def _instances(module: str, rtl: Path) -> list[set[str]]:
    """The names of the parameters that each instance of a module states."""
    from pyverilog.vparser import ast

    found = []
    for file, path in verilog_files(rtl).items():
        text = path.read_text(encoding="utf-8")
        if module not in text:
            continue
        for node in nodes(parse(text, file).tree):
            if isinstance(node, ast.InstanceList) and node.module == module:
                found += [{argument.paramname for argument in instance.parameterlist} for instance in node.instances]
    return found
