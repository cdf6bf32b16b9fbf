"""Expressions over the signals of a design, as a description states them: names, numbers, selections and operators.

They stand in a module around the design, where its signals have names below the instance's. Nothing else of Verilog is
let through: no system functions, macros, strings or statements.
"""

import re

from fxsim.errors import FileError

_TOKEN = re.compile(
    r"\s*(?:(?P<name>[A-Za-z_][A-Za-z0-9_$]*)|(?P<number>[0-9]*'s?[bdohBDOH][0-9a-fA-F_]+|[0-9]+)"
    r"|(?P<operator>\+:|-:|&&|\|\||==|!=|<=|>=|<<|>>|[-+~&|^!<>()\[\]{}?:,.])|(?P<end>\Z))"
)
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_KEYWORD = frozenset({"begin", "end", "module", "endmodule", "assign", "force", "release", "initial", "always", "new"})


def below(instance: str, text: str, where: str) -> str:
    """The expression with every name put below an instance. FileError, which begins with `where`, for anything else."""
    out: list[str] = []
    at = 0
    previous = ""
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise FileError(f"{where}: {text!r} is no expression over signals: it has {text[at:].strip()[:20]!r}")
        at = match.end()
        if match["end"] is not None:
            break
        token = match[0].strip()
        if match["name"] is not None:
            if token in _KEYWORD:
                raise FileError(f"{where}: {text!r} is no expression over signals: it has {token!r}")
            token = token if previous == "." else f"{instance}.{token}"
        out.append(token)
        previous = token
    if not out:
        raise FileError(f"{where}: an expression is empty")
    depth: list[str] = []
    for word in out:
        if word in _CLOSING:
            depth.append(_CLOSING[word])
        elif word in _CLOSING.values() and (not depth or depth.pop() != word):
            raise FileError(f"{where}: {text!r} has a {word!r} too many")
    if depth:
        raise FileError(f"{where}: {text!r} lacks a {depth[-1]!r}")
    # Blanks between operators; none around dots, brackets of selections are fine with them.
    return re.sub(r"\s*\.\s*", ".", " ".join(out))
