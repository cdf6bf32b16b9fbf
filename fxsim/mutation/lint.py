"""Verilator's lint as a judge of mutants: every warning on, under the parameters of a testbench's cases."""

import os
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fxsim import temporary
from fxsim.errors import ToolError
from fxsim.mutation.children import NEVER, Stop, finish, limited
from fxsim.mutation.parameters import verilog_value
from fxsim.simulate.tools import LINT_OPTIONS, find_verilator, verilator_version

SECONDS_MAX = 120.0
"""Processor seconds that Verilator may take, beyond which it has no opinion."""
BYTES_MAX = 4 << 30
"""Memory that it may take."""
_COMPLAINT = re.compile(r"^%(Warning|Error)(?:-(\w+))?: (.*)$", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z_]\w*")

Parameters = Mapping[str, int | str]


class Complaint(NamedTuple):
    """Verilator's first complaint: its name (`BLKSEQ`), and its words without folders; both empty where it has none."""

    name: str
    words: str


@cache
def lint_version() -> str:
    """The version of the Verilator that lints; empty where there is none."""
    try:
        return verilator_version()
    except ToolError:
        return ""


def complaint(module: str, texts: Mapping[str, str], parameters: Parameters, stop: Stop = NEVER) -> Complaint:
    """Verilator's first complaint about a module with parameters.

    `texts`: the text of every file that it needs, by name; the module's own is called as it is. ToolError where a
    parameter's name is none. Where Verilator needs too much time or memory, it has no complaint.
    """
    with temporary.folder("lint") as folder:
        for name, text in texts.items():
            (folder / Path(name).name).write_text(text, encoding="utf-8")
        program = find_verilator().with_name("verilator_bin")
        given = [f"-G{name}={_shown(name, value)}" for name, value in sorted(parameters.items())]
        command = [
            str(program),
            *LINT_OPTIONS,
            "--top-module",
            module,
            "-y",
            str(folder),
            *given,
            f"{folder}/{module}.v",
        ]
        environment = os.environ | {"VERILATOR_ROOT": str(find_verilator().parent.parent)}
        _, printed = finish(limited(command, SECONDS_MAX, BYTES_MAX), folder, 30 * SECONDS_MAX, stop, environment)
        found = _COMPLAINT.search(printed)
        if found is None:
            # Ended by a limit, or by itself without a word: no opinion, which kills nothing.
            return Complaint("", "")
        return Complaint(found[2] or found[1], found[3].replace(f"{folder}/", ""))


def distinct(every: Iterable[Parameters]) -> list[Parameters]:
    """Parameters, each once, in order."""
    return list({tuple(sorted(parameters.items())): parameters for parameters in every}.values())


def _shown(name: str, value: int | str) -> str:
    if not _NAME.fullmatch(name):
        raise ToolError(f"a parameter is called {name!r}, which Verilator is not given")
    return verilog_value(value)
