"""Values of a testbench case's parameters, as the tools that read Verilog take them."""

import re

_LITERAL = re.compile(r"[1-9][0-9]*'[bdh][0-9a-f]+")
"""A number in Verilog, such as 8'hf0, of a parameter that is wider than an integer."""


def verilog_value(value: int | str) -> str:
    """A parameter's value in Verilog: a number as it is, any other text in quotes."""
    return f'"{value}"' if is_text(value) else str(value)


def is_text(value: int | str) -> bool:
    """Whether a parameter's value is a text, such as a file's name, and no number."""
    return isinstance(value, str) and not _LITERAL.fullmatch(value)
