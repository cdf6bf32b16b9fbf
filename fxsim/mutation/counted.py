"""A module's testbench run by Verilator, with what of the Verilog it ran counted.

Icarus Verilog, which runs testbenches otherwise, counts nothing.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from fxsim import temporary
from fxsim.errors import ToolError
from fxsim.mutation.benches import Case, bench_environment, recorded
from fxsim.mutation.children import finish
from fxsim.mutation.parameters import verilog_value
from fxsim.paths import rtl_dir
from fxsim.simulate.build import COVERAGE_FLAGS, MAKE_VARIABLES
from fxsim.simulate.code_coverage import Coverage, read_coverage
from fxsim.simulate.sources import Sources, read_sources
from fxsim.simulate.tools import find_toolchain, first_errors, run_logged

Status = Callable[[str], None]

_OPTIMISE = "-O0"
"""The compiler's flags: these runs are short."""
_RUN_SECONDS_MAX = 3600.0
_FLAGS = (
    *("--cc", "--exe", "--vpi", "--public-flat-rw", "--no-timing", "--timescale", "1ns/1ps", "-Wno-fatal"),
    *("--x-assign", "unique", "--x-initial", "unique", "--unroll-count", "2048"),
    *("--output-split", "20000", "--output-split-cfuncs", "2000"),
    *("--prefix", "Vtop", "--Mdir", "obj", "-o", "simulate"),
)


def count_bench(module: str, rtl: Path | None = None, status: Status | None = None) -> tuple[Coverage, Sources, int]:
    """The coverage of a module's testbench, the Verilog (of a folder, by default the project's), and how many cases.

    ToolError where a case fails: what it ran means nothing then. FxsimError where there is no such testbench.
    """
    tell = status or (lambda _: None)
    sources = read_sources(rtl or rtl_dir())
    found: Coverage | None = None
    with recorded(module) as cases:
        for number, case in enumerate(cases):
            tell(f"testbench of {module}, case {number + 1} of {len(cases)}")
            counted = _count(case, sources)
            found = counted if found is None else found + counted
        assert found is not None  # `recorded` refuses a testbench without cases
        return found, sources, len(cases)


def _count(case: Case, sources: Sources) -> Coverage:
    """Build and run one case; ToolError where it does not pass."""
    with temporary.folder("counted") as work:
        sources.write(work / "rtl")
        log = work / "build.log"
        tools = find_toolchain(_OPTIMISE)
        folders = dict.fromkeys(("rtl", *(f"rtl/{folder}" for folder in sources.folders if folder != ".")))
        libraries, program = _cocotb()
        values = [f"-G{name}={verilog_value(value)}" for name, value in case.parameters.items()]
        verilate = [
            *(str(tools.verilator), *_FLAGS, *COVERAGE_FLAGS, "--top-module", case.module, *values),
            *("-LDFLAGS", f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator"),
            *(word for folder in folders for word in ("-y", folder)),
            *(str(program), f"rtl/{sources.file_of(case.module)}"),
        ]
        make = ["make", "-C", "obj", "-f", "Vtop.mk", "-j", "2", f"CXX={tools.compiler}", f"LINK={tools.compiler}"]
        make += [*MAKE_VARIABLES, f"OPT_FAST={_OPTIMISE}", f"PYTHON3={sys.executable}"]
        for command in (verilate, make):
            if run_logged(command, work, log) != 0:
                raise ToolError(f"the testbench of '{case.module}' does not build: {first_errors(log)}")
        counts, results = work / "coverage.dat", work / "results.xml"
        environment = bench_environment(case, results, "verilator")
        try:
            status, printed = finish(
                [work / "obj" / "simulate", f"+verilator+coverage+file+{counts}", f"+verilator+seed+{_POWER_ON}"],
                case.files, _RUN_SECONDS_MAX, environment=os.environ | environment,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ToolError(f"the testbench of '{case.module}', {case.name}: still ran after an hour") from None
        passed = 0
        if results.is_file():
            for test in ElementTree.parse(results).getroot().iter("testcase"):  # noqa: S314  # cocotb's, written just now
                if any(test.findall(kind) for kind in ("failure", "error", "skipped")):
                    raise ToolError(f"the testbench of '{case.module}', {case.name}: {test.get('name', '?')} failed")
                passed += 1
        if status != 0 or not passed:
            words = " ".join(printed.split())[-300:]
            raise ToolError(f"the testbench of '{case.module}', {case.name}: ended with {status}: {words}")
        return read_coverage([counts], sources)


_POWER_ON = 1


def _cocotb() -> tuple[Path, Path]:
    """The folder of cocotb's libraries, and its program for Verilator."""
    import cocotb_tools.config as config

    return Path(config.libs_dir), Path(config.share_dir) / "lib" / "verilator" / "verilator.cpp"
