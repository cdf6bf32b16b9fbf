"""Yosys' two runs: a design into its modules, and a part of it into the cells of an FPGA."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import msgspec

from fxsim import temporary
from fxsim.devices.base import Synthesisable
from fxsim.devices.provable import OwnVerilog
from fxsim.errors import FileError, StimulusError, ToolError
from fxsim.formats.text import read_bounded
from fxsim.prove.netlist import find_yosys, read_commands, slang_commands, yosys_errors
from fxsim.simulate.sources import hash_parts
from fxsim.simulate.tools import run_logged
from fxsim.synthesis.levels import find_levels
from fxsim.synthesis.record import Levels
from fxsim.synthesis.rtlil import BYTES_MAX, Design, read_design
from fxsim.synthesis.targets import Target

_JSON_BYTES_MAX = 1 << 28
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_MEMORY = re.compile(r"^  (?:memory |cell \$mem)", re.MULTILINE)


def elaborate(given: Synthesisable, without: Sequence[str] = ()) -> Design:
    """A design's modules, their parameters and memories' contents known, constants taken across their boundaries.

    `without`: modules that are taken out, each of whose outputs is then zero; so goes what only they read or drive.
    ToolError where Yosys is missing or does not take the design, or where there is no such module in it.
    """
    for name in without:
        if _MODULE.fullmatch(name) is None:
            raise StimulusError(f"'{name}' is no name of a module")
        if name == given.top:
            raise StimulusError(f"'{name}' is the whole design: nothing would be left")
    slang = given.language is not None
    if slang and without:
        raise StimulusError(f"'{given.top}' is described and read as one module: '{without[0]}' is not taken out of it")
    place, _ = find_yosys(slang=slang)
    sources, top = given.sources, given.top
    if given.language is None:
        commands = read_commands(sources, top, given.parameters)
    else:
        own = OwnVerilog(sources, given.language.order, given.language.include, given.language.defines, "")
        commands = slang_commands(own, top, given.parameters)
    commands += [f"delete -port {top}/{pattern}" for pattern in given.open_ports]
    commands.append("proc")
    for name in without:
        # Every copy of it, with whatever parameters, has its name of the Verilog in this attribute.
        made = f"A:hdlname={name}"
        commands += [
            f"tee -q -o {name}.found select -list-mod {made}",
            f"delete {made}/c:* {made}/m:*",
            f"setundef -undriven -zero {made}",
        ]
    commands += ["opt_hier", "opt_clean", "opt_hier", "opt_clean", "check -assert", "write_rtlil design.il"]
    with temporary.folder("synthesis") as work:
        sources.write(work / "rtl")
        _write(work, given.files)
        _run(place, work, commands, f"'{top}' of {sources.folder}")
        for name in without:
            if not read_bounded(work / f"{name}.found", BYTES_MAX, "a list of modules").strip():
                raise ToolError(f"'{top}' of {sources.folder} has no module '{name}'")
        text = read_bounded(work / "design.il", BYTES_MAX, "a design of Yosys").decode("utf-8", "replace")
    return read_design(text, top)


class Made(msgspec.Struct, frozen=True):
    """A part as it was synthesised: its cells by type, and its longest ways."""

    cells: dict[str, int]
    levels: Levels


def synthesise_part(text: str, target: Target, boxes: frozenset[str], where: str) -> Made:
    """Synthesise a part of a design, whose module is called `unit`; `boxes`: the modules in it that are parts, too.

    ToolError where Yosys is missing or does not take it.
    """
    place, _ = find_yosys()
    commands = [
        "read_rtlil unit.il",
        f"{_command(text, target)} -top unit",
        "check -assert",
        "tee -q -o stat.json stat -json",
        "write_json netlist.json",
    ]
    with temporary.folder("synthesis") as work:
        (work / "unit.il").write_text(text, encoding="utf-8")
        _run(place, work, commands, where)
        found = json.loads(read_bounded(work / "stat.json", _JSON_BYTES_MAX, "Yosys' count of cells"))
        netlist = json.loads(read_bounded(work / "netlist.json", BYTES_MAX, "a netlist of Yosys"))
    try:
        cells = found["design"]["num_cells_by_type"]
        if found["design"]["num_processes"] or found["design"]["num_memories"]:
            raise ToolError(f"{where}: Yosys left processes or memories, expected cells of {target.name} alone")
        levels = find_levels(netlist, boxes, where)
        return Made({str(kind): int(count) for kind, count in cells.items() if kind not in boxes}, levels)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ToolError(f"{where}: what Yosys wrote has another form than expected: {error!r}") from None


def write_netlist(text: str, target: Target, work: Path, where: str) -> Path:
    """Synthesise a part that holds no others, as `synthesise_part` does; returns the netlist (JSON) in `work`."""
    place, _ = find_yosys()
    (work / "unit.il").write_text(text, encoding="utf-8")
    commands = ["read_rtlil unit.il", f"{_command(text, target)} -top unit", "write_json netlist.json"]
    _run(place, work, commands, where)
    return work / "netlist.json"


def synthesis_key(text: str, target: Target) -> str:
    """The hash of all that the cells of a part rest on: its text, the target's command, and Yosys' version."""
    return hash_parts(b"fxsim synthesis 2", find_yosys()[1].encode(), _command(text, target).encode(), text.encode())


def _command(text: str, target: Target) -> str:
    """The target's command for a part of this text."""
    return target.synthesis if _MEMORY.search(text) else f"{target.synthesis} {target.no_memory}".strip()


def _write(work: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise FileError(f"'{name}' is not the name of a file beside the design or below")
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(content)


def _run(place: Path, work: Path, commands: list[str], what: str) -> None:
    (work / "run.ys").write_text("\n".join(commands) + "\n", encoding="ascii")
    # Yosys' own log: what it prints ends at the first technology mapping in the wheel's.
    log, printed = work / "run.log", work / "printed.log"
    if run_logged([str(place), "-q", "-l", log.name, "-s", "run.ys"], work, printed) != 0:
        raise ToolError(f"Yosys does not take {what}: {yosys_errors(log if log.is_file() else printed)}")
