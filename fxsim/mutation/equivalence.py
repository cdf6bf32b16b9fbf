"""Equivalence of a mutated module with the original, decided by Yosys under the parameters of its testbench's cases.

Both are made into logic (memories into registers), registers and wires of one name are paired, and every pair is proved
equal where all pairs are at the beginning: for all inputs and all states in which they agree. Registers and wires that
are not equal are no pairs any more, and the rest is tried again, whatever stands in them: all outputs must be equal.
Modules within that are the same in both are not looked into where the mutated one is outside of them: their inputs must
be equal. What is not proved so is not called equivalent. Constants that are unknown, and the contents of memories, are
not decided here.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from fxsim import temporary
from fxsim.errors import ToolError
from fxsim.mutation.benches import Case
from fxsim.mutation.children import NEVER, Stop, finish, limited
from fxsim.mutation.parameters import is_text, verilog_value
from fxsim.prove.netlist import find_yosys, missing

SECONDS_MAX = 10.0
"""Processor seconds that a proof may take; a longer one leaves a mutant undecided."""
UNDECIDED_KINDS = ("table", "unknown")
"""Kinds whose difference lies in what Yosys is free to choose: contents at the beginning, and unknown values."""
STEPS = 3
"""Cycles of induction."""
ROUNDS_MAX = 4
"""Times that it is tried, each without the pairs that were not equal before."""
_STATUS, _APART, _PORTS = "status.txt", "apart.txt", "ports.txt"
_UNPROVEN = re.compile(r"Unproven \$equiv \S+: \\(\S+)_gold( \[\d+\])? ")
_FILE = re.compile(r"[\w.+-]+")
_NAME = re.compile(r"[A-Za-z_]\w*")
_TEXT = re.compile(r"[\w.+-]*")


@cache
def yosys_version() -> str:
    """The version of the Yosys that decides; empty where there is none."""
    return "" if missing(netlists=True) is not None else find_yosys()[1]


def prove_equal(case: Case, files: Mapping[str, str], file: str, mutated: str, stop: Stop = NEVER) -> bool:
    """Whether a module with one file mutated is proved equal to the original, under a case's parameters.

    `files`: the text of every file that the module needs, by name without folders. `file`: which of them is mutated.
    """
    with temporary.folder("equal") as folder:
        for name in sorted(files):
            if not _FILE.fullmatch(name):
                raise ToolError(f"a Verilog file is called '{name}', which Yosys is not given")
            (folder / f"gold_{name}").write_text(files[name], encoding="utf-8")
            (folder / f"gate_{name}").write_text(mutated if name == file else files[name], encoding="utf-8")
        for path in case.files.iterdir():
            if path.is_file() and path.suffix == ".hex" and _FILE.fullmatch(path.name):
                (folder / path.name).write_bytes(path.read_bytes())
        # Modules that are the same in both stay closed: where all that enters them is equal, so is what leaves.
        closed = file == f"{case.module}.v"
        more = " -ignore-unknown-cells" if closed else ""
        # Not `equiv_simple -short`, which proves what is not so.
        script = [
            *_read(case, "gold", sorted(files), closed), *_read(case, "gate", sorted(files), closed),
            "design -copy-from gold =*", "design -copy-from gate =*",
            f"tee -q -o {_PORTS} select -list gold/o:*",
            f"equiv_make -blacklist {_APART} gold gate equiv", "hierarchy -top equiv", "opt_clean", "opt_merge",
            f"equiv_simple -undef{more}", f"equiv_induct -undef -seq {STEPS}{more}",
            f"tee -q -o {_STATUS} equiv_status", "equiv_status -assert",
        ]  # fmt: skip
        (folder / "prove.ys").write_text("\n".join(script) + "\n", encoding="utf-8")
        yosys, _ = find_yosys()
        apart: set[str] = set()
        for _ in range(ROUNDS_MAX):
            (folder / _APART).write_text("\n".join(sorted(apart)) + "\n", encoding="utf-8")
            (folder / _STATUS).unlink(missing_ok=True)
            command = limited([yosys, "-q", "-s", "prove.ys"], SECONDS_MAX)
            try:
                status, _ = finish(command, folder, 30 * SECONDS_MAX, stop)
            except subprocess.TimeoutExpired:
                return False
            if status == 0:
                return True
            found = _unequal(folder / _STATUS)
            outputs = (folder / _PORTS).read_text(encoding="utf-8").split() if found else []
            if not found - apart or any(f"gold/{name}" in outputs for name in found):
                return False
            apart |= found
        return False


def _unequal(status: Path) -> set[str]:
    """The pairs that Yosys did not prove equal, by name; none where it came to no end, or they are not all known."""
    if not status.is_file():
        return set()
    lines = [line for line in status.read_text(encoding="utf-8").splitlines() if "Unproven" in line]
    found = [_UNPROVEN.search(line) for line in lines]
    return {name[1] for name in found if name is not None} if all(found) else set()


def _read(case: Case, side: str, files: Sequence[str], closed: bool) -> list[str]:
    parameters = []
    for name, value in case.parameters.items():
        if not _NAME.fullmatch(name) or (is_text(value) and not _TEXT.fullmatch(str(value))):
            raise ToolError(f"parameter {name} of {case.module} is {value!r}, which Yosys is not given")
        parameters += ["-chparam", name, verilog_value(value)]
    return [
        *(f"read_verilog -sv {side}_{name}" for name in files),
        " ".join(["hierarchy -check -top", case.module, *parameters]),
        "proc", f"rename -top {side}", f"blackbox {side} %n" if closed else "flatten",
        "opt_clean", "memory -nordff", "opt_clean", "async2sync", "splitnets",
        # What nothing drives, and no word of a memory holds, is unknown: that is no equal of anything that is known.
        "setundef -undriven -undef", "opt_clean", f"design -stash {side}",
    ]  # fmt: skip


def closure(module: str, instances: Mapping[str, Sequence[str]]) -> list[str]:
    """A module and all that it is made of."""
    found, waiting = [], [module]
    while waiting:
        name = waiting.pop()
        if name in instances and name not in found:
            found.append(name)
            waiting += instances[name]
    return sorted(found)


def folder_files(paths: Mapping[str, Path], names: Sequence[str]) -> dict[str, str]:
    """The text of the files of some modules, by file name."""
    return {paths[name].name: paths[name].read_text(encoding="utf-8") for name in names}
