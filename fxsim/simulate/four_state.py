"""Runs a design in Icarus Verilog, a simulator of four states, in which a value can be unknown (X) or undriven (Z).

A device brings a harness in Verilog, which drives the design and writes an event a line, four words each, into the file
that the macro FOUR_STATE_EVENTS names:

    value NAME CYCLE BITS      the stream NAME handed over a value; its bits are 0, 1, x or z, the highest one first
    unknown NAME CYCLE BITS    a signal that says whether values are there is neither 0 nor 1; nothing after it counts
    fault WORDS                what the design does must not be, in words for people; nothing after it counts
    reset again CYCLE -        the design was reset in mid-run: all that is to come comes anew
    end HOW CYCLE -            the last line: `done`, or what went wrong
"""

import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fxsim.errors import ToolError
from fxsim.simulate.sources import Sources
from fxsim.simulate.tools import first_errors, program_output, run_logged

_HARMLESS = "$readmemh: Standard inconsistency, following 1364-2005"
"""A warning that says which standard holds: a file fills an array from its lowest index on, as in Verilator."""
_MADE = re.compile(r"design\.vvp:\d+: syntax error")
"""An error in the code that Icarus makes itself."""
_OWN_CODE = (
    " (code that Icarus makes itself: version 11 makes it wrong where a word of an array is the distance of a shift, "
    "as in x >> s[0]; a wire between helps)"
)
_FAULT = re.compile(r"fault ([ -~]{1,300})")
_EVENT = re.compile(r"(value|unknown|reset|end) ([\w\[\]]+) (\d+) ([01xz]+|-)")


@dataclass
class Trace:
    """The events of one run. `values`: (cycle, bits) of each stream's values in their order; `end`: how it ended.

    `broken_off`: what had come as `values` whenever the design was reset; `values` are those since the last reset.
    `unknown`: name, cycle and bits of the signal whose value nobody knows, where there was one. `fault`: what the
    harness found wrong, in words.
    """

    values: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    broken_off: list[dict[str, list[tuple[int, str]]]] = field(default_factory=list)
    unknown: tuple[str, int, str] | None = None
    fault: str | None = None
    end: str = ""
    cycles: int = 0


def find_icarus() -> str:
    """The version of Icarus Verilog; ToolError names the package where it is missing."""
    for tool in ("iverilog", "vvp"):
        if shutil.which(tool) is None:
            raise ToolError(f"'{tool}' is missing, and four states need it: install the Debian package 'iverilog'")
    return program_output(["iverilog", "-V"]).splitlines()[0].strip()


def run_four_state(
    harness: Path,
    macros: Mapping[str, str | int],
    sources: Sources,
    work: Path,
    words: Sequence[str] | None = None,
    top: str = "four_state",
) -> Trace:
    """Build a harness and a design's Verilog with Icarus and run it in the folder `work`, which has the model's files.

    `macros` are defined as FOUR_STATE_name; texts that Verilog is to see as strings are given in quotes. `words` name
    the design's files and folders below `rtl/`; by default every module is looked for by its name. `top`: the harness's
    module. ToolError where it does not build or run, where it warns, and where the events are not those of a harness
    that ran to its end.
    """
    events, log = f"events-{secrets.token_hex(8)}.txt", work / "icarus.log"
    if harness.parent != work:
        shutil.copyfile(harness, work / harness.name)
    sources.write(work / "rtl")
    defined = [f"-DFOUR_STATE_{name}={value}" for name, value in {**macros, "EVENTS": f'"{events}"'}.items()]
    if words is None:
        words = [
            "-Y.sv",
            *(word for folder in sources.folders for part in "yI" for word in (f"-{part}", f"rtl/{folder}")),
        ]
    # The harness comes first: no macro of the design's changes it, and delays of a design without a time scale are ns.
    command = ["iverilog", "-g2012", "-o", "design.vvp", "-s", top, *defined, harness.name, *words]
    if run_logged(command, work, log) != 0:
        less = any(name.endswith(".sv") for name in sources.files)
        hint = " (of SystemVerilog it reads less than Verilator)" if less else ""
        raise ToolError(f"Icarus Verilog failed: {_refused(log)}{hint}")
    built = len(log.read_bytes())
    status = run_logged(["vvp", "-n", "design.vvp"], work, log)
    said = log.read_bytes()[built:].decode(errors="replace").splitlines()
    # It only warns of a ROM file that is missing or too short, but nothing that is computed counts then.
    warnings = [
        line.strip()
        for line in said
        if re.search(r"\b(warning|error)\b", line, re.IGNORECASE) and _HARMLESS not in line
    ]
    if status != 0 or warnings:
        what = (warnings or ["without a word"])[0]
        raise ToolError(
            f"Icarus Verilog ended with status {status}: {what}{_OWN_CODE if _MADE.fullmatch(what) else ''}"
        )
    try:
        lines = (work / events).read_text(encoding="utf-8").splitlines()
    except OSError:
        raise ToolError("the design ended the simulation in Icarus Verilog before anything was driven") from None
    return read_events(lines)


def _refused(log: Path) -> str:
    """The first lines that say what Icarus does not take; an error, or that it is sorry."""
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if not line.startswith("$ ")]
    said = [line for line in lines if re.search(r"\b(error|sorry)\b", line)]
    return "; ".join(said[:3]) or first_errors(log)


def read_events(lines: list[str]) -> Trace:
    """Events by stream; ToolError at a line that is none, and where the last one is not the end, or is not alone."""
    trace = Trace()
    for number, line in enumerate(lines):
        if (words := _FAULT.fullmatch(line)) is not None:
            trace.fault = trace.fault or words[1]
            continue
        event = _EVENT.fullmatch(line)
        if event is None or (event[1] == "end" and number < len(lines) - 1):
            raise ToolError(f"events of Icarus Verilog, line {number + 1}: '{line[:80]}' does not belong there")
        kind, name, cycle, bits = event[1], event[2], int(event[3]), event[4]
        if kind == "value":
            trace.values.setdefault(name, []).append((cycle, bits))
        elif kind == "reset":
            trace.broken_off.append(trace.values)
            trace.values = {}
        elif kind == "unknown":
            trace.unknown = trace.unknown or (name, cycle, bits)
        else:
            trace.end, trace.cycles = name, cycle
    if not trace.end:
        raise ToolError("the simulation in Icarus Verilog ended too early, by the design's own $finish perhaps: no end")
    return trace
