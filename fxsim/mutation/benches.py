"""Testbenches as checks of mutants: their cases kept once, each then run by the simulator alone, up to a failure.

A testbench under pytest takes seconds to begin with; a case that was kept needs a compilation of a tenth of a second
and one process of the simulator.
"""

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

from fxsim import temporary
from fxsim.errors import FxsimError, ToolError
from fxsim.mutation.children import NEVER, Stop, finish, limited
from fxsim.mutation.imports import PACKAGE, imported, top_names
from fxsim.mutation.parameters import verilog_value
from fxsim.mutation.recorder import FILES, RECIPE, VARIABLE
from fxsim.mutation.server import LOG
from fxsim.mutation.simulator import Simulators
from fxsim.paths import rtl_dir, verilog_files
from fxsim.simulate.sources import hash_parts
from fxsim.simulate.tools import program_output

KILLED, PASSED, INVALID, TIMED_OUT = "killed", "passed", "invalid", "timed out"
LIMIT_TIMES, LIMIT_SECONDS = 4.0, 5.0
"""Processor seconds that a mutant may take: so many times those of the unmutated run, and so many more."""
_WALL_TIMES = 30.0
"""Seconds by the clock for each processor second of the limit, on a machine that others use too."""
_RECORD_SECONDS_MAX, _COMPILE_SECONDS_MAX = 900.0, 60.0
_COMPILE_BYTES_MAX = 4 << 30
"""Memory of the compiler: a mutant may ask for loops, or for vectors, without end."""
_OUTPUT_BYTES_MAX = 1 << 20
_LIBRARY, _LIBPYTHON = "_LIBRARY", "FXSIM_LIBPYTHON"
_COCOTB = ("cocotb.regression", "cocotb._init", "cocotb._test_manager", "pygpi.entry", "numpy", "pytest")
"""Modules that every run needs, beside those that the testbenches import."""
_LABEL = re.compile(r"\b[A-Za-z]+_?0x[0-9a-f]+(?:_\d+)*")
"""A label of compiled code, of whatever it is: it holds an address, which is another in every compilation."""
_FAILED = re.compile(r"cocotb\.regression\s+(?:\S+\.)?(\S+) failed")
_ENDED = re.compile(r"cocotb\.regression\s+(?:running |\*\*\*|\S+ passed)")
_MESSAGE = re.compile(r"(?:Error|Exception|Failure|TimeoutError|Interrupted): (.*)|(?:Error|Exception)\s*$")
_UNKNOWN = re.compile(r"\bis [01]*[XZxz][01XZxz]*\b|\bunknown\b|Unresolvable|\bis X\b|contains? .*[XZ]")
_STANDS = re.compile(r"not done after|did not|timed? ?out|stuck|never|after \d+ cycles|StopIteration|SimTimeout")


@dataclass(frozen=True)
class Case:
    """One simulation of a testbench: a module with parameters, beside files, run by the cocotb tests of `testbench`."""

    testbench: str
    module: str
    parameters: Mapping[str, int | str]
    test: str
    files: Path

    @property
    def name(self) -> str:
        """The test's name, as pytest has it."""
        return self.test


@dataclass(frozen=True)
class Run:
    """The end of a case's run: `state`, the cocotb test that failed, how, and its words. `code`: what was compiled."""

    state: str
    test: str = ""
    how: str = ""
    words: str = ""
    seconds: float = 0.0
    code: str = ""


def testbenches_dir() -> Path:
    """The folder of the project's testbenches; FxsimError where this installation has none: they are in clones only."""
    folder = rtl_dir().parent / "testbenches"
    if not folder.is_dir():
        raise FxsimError(f"{folder} is missing: testbenches, which judge mutants, are in a clone of fxsim alone")
    return folder


def bench_of(module: str) -> Path | None:
    """The folder of a module's testbench; None where it has none."""
    folder = testbenches_dir() / module
    return folder if folder.is_dir() else None


def bench_files(module: str) -> dict[str, Path]:
    """All that a module's testbench consists of, by name: its files, the common ones, and what they can import."""
    root = testbenches_dir()
    own = [
        path
        for folder in ("common", module)
        for path in sorted((root / folder).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]
    python = [path for path in own if path.suffix == ".py"]
    every = {*own, *imported(python, {"fxsim": PACKAGE, "testbenches": root})}
    named = {}
    for path in every:
        inside = path.is_relative_to(root)
        named[f"testbenches/{path.relative_to(root)}" if inside else f"fxsim/{path.relative_to(PACKAGE)}"] = path
    return dict(sorted(named.items()))


def seed() -> str:
    """The seed of the testbenches' random choices: FXSIM_SEED's of the environment, else always the same."""
    return os.environ.get("FXSIM_SEED", "20250218")


@cache
def tool_versions() -> dict[str, str]:
    """Versions of what runs testbenches, by name; ToolError where one of them is missing."""
    for tool, package in (("iverilog", "iverilog"), ("vvp", "iverilog")):
        if shutil.which(tool) is None:
            raise ToolError(f"'{tool}' is missing, which runs the testbenches: install the Debian package '{package}'")
    for module, extra in (("cocotb_tools", "cocotb"), ("pytest", "test"), ("find_libpython", "cocotb")):
        if find_spec(module) is None:
            raise ToolError(f"'{module}' is missing, which runs the testbenches: the extra '{extra}' has it")
    versions = {name: metadata.version(name) for name in ("cocotb", "cocotbext-axi", "numpy", "pyverilog", "pytest")}
    return versions | {"icarus": program_output(["iverilog", "-V"]).splitlines()[0], "python": sys.version.split()[0]}


@contextlib.contextmanager
def recorded(module: str, stop: Stop = NEVER) -> Iterator[list[Case]]:
    """The cases of a module's testbench, until the end of the block; those marked `thorough` are left out.

    FxsimError where there are none, or where pytest fails.
    """
    bench = bench_of(module)
    if bench is None:
        raise FxsimError(f"module '{module}' has no testbench: expected {testbenches_dir() / module}")
    with temporary.folder("cases") as folder:
        kept = folder / "kept"
        kept.mkdir()
        command = [
            sys.executable, "-m", "pytest", "--import-mode=importlib", "-p", "fxsim.mutation.recorder",
            "-p", "no:cacheprovider", "-q", "-m", "not thorough", "--basetemp", str(folder / "tmp"), str(bench),
        ]  # fmt: skip
        environment = os.environ | {VARIABLE: str(kept), "PYTHONPATH": _python_path()}
        root = testbenches_dir().parent
        status, printed = finish(command, folder, _RECORD_SECONDS_MAX, stop, environment, root)
        cases = [_read(path) for path in sorted(kept.iterdir())]
        cases = [case for case in cases if case is not None and case.module == module]
        if status != 0 or not cases:
            words = " ".join(printed.split())[-300:]
            raise FxsimError(f"no case of the testbench of '{module}' could be kept (status {status}): {words}")
        yield [case for case in cases if case is not None]


def _read(folder: Path) -> Case | None:
    recipe = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
    if not recipe["own"]:
        return None  # of a module that the testbench brings itself
    test = recipe["test"].rpartition("/")[2]
    return Case(recipe["testbench"], recipe["module"], recipe["parameters"], test, folder / FILES)


def _python_path() -> str:
    own = os.environ.get("PYTHONPATH")
    root = str(testbenches_dir().parent)
    return root if not own else f"{root}{os.pathsep}{own}"


@cache
def _environment(simulator: str = "icarus") -> dict[str, str]:
    import cocotb_tools.config as config
    import find_libpython

    library = find_libpython.find_libpython()
    if library is None:
        raise ToolError(
            "libpython is missing, which a simulator runs cocotb by: expected a Python with a shared library"
        )
    return {
        _LIBPYTHON: library,
        "GPI_USERS": f"{library};{config.pygpi_entry_point()}",
        "PYGPI_PYTHON_BIN": sys.executable,
        "TOPLEVEL_LANG": "verilog",
        "COCOTB_ANSI_OUTPUT": "0",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": _python_path(),
        "PYTHONUNBUFFERED": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "GPI_LOG_LEVEL": "ERROR",
        "COCOTB_MAX_FAILURES": "1",
        _LIBRARY: str(config.lib_entry("vpi", simulator)),
    }


@contextlib.contextmanager
def simulators() -> Iterator[Simulators]:
    """Simulators that have loaded what the testbenches import, until the end of the block."""
    files = sorted(testbenches_dir().rglob("*.py"))
    # A testbench itself is loaded by each run, as cocotb does it.
    modules = [name for name in top_names(files) if not name.startswith("testbenches.") or ".common." in name]
    environment = _environment()
    made = Simulators(environment, environment[_LIBRARY], [*_COCOTB, *modules])
    try:
        yield made
    finally:
        made.close()


def _told(case: Case, results: Path) -> dict[str, str]:
    """The environment that says what of a testbench is run, and where its verdicts go."""
    return {
        "COCOTB_TOPLEVEL": case.module,
        "COCOTB_TEST_MODULES": case.testbench,
        "COCOTB_RESULTS_FILE": str(results),
        "COCOTB_RANDOM_SEED": seed(),
    }


def bench_environment(case: Case, results: Path, simulator: str) -> dict[str, str]:
    """The environment in which a simulator runs a case's cocotb tests, whose verdicts go into the file `results`."""
    return _environment(simulator) | _told(case, results)


def compile_case(case: Case, rtl: Path, folder: Path, other: Path | None = None, stop: Stop = NEVER) -> str | None:
    """Compile a case in `folder`, into sim.vvp; None, or the compiler's words where it does not take the Verilog.

    `other`: a file in place of the one of the same name in `rtl`.
    """
    files = verilog_files(rtl)
    folders = sorted({path.parent for path in files.values()})
    top = next((path for path in files.values() if path.stem == case.module), None)
    if other is not None:
        folders.insert(0, other.parent)
        if other.stem == case.module:
            top = other
    if top is None:
        raise FxsimError(f"the Verilog folder {rtl} has no module '{case.module}'")
    (folder / "cmds.f").write_text("+timescale+1ns/1ps\n", encoding="ascii")
    command = [
        "iverilog", "-o", str(folder / "sim.vvp"), "-s", case.module, "-g2012", "-f", str(folder / "cmds.f"),
        *(f"-P{case.module}.{name}={verilog_value(value)}" for name, value in case.parameters.items()),
        *(word for parent in folders for word in ("-y", str(parent))), str(top),
    ]  # fmt: skip
    within = limited(command, _COMPILE_SECONDS_MAX, _COMPILE_BYTES_MAX)
    status, printed = finish(within, folder, _WALL_TIMES * _COMPILE_SECONDS_MAX, stop)
    if status != 0:
        words = next((line for line in printed.splitlines() if line.strip()), "no message")
        for place in (rtl, *(() if other is None else (other.parent,))):
            words = words.replace(f"{place}/", "")
        return words[:200]
    return None


def compiled_code(folder: Path) -> str:
    """Hash of what was compiled, without the names and lines of its sources."""
    text = (folder / "sim.vvp").read_text(encoding="utf-8", errors="replace")
    # Scopes name file and line, which a mutant in another folder, or a longer line, changes.
    kept = [line for line in text.splitlines() if not line.startswith((":file_names", '    "', "#!"))]
    stripped = re.sub(r"%file_line \d+ \d+ \d+;", "", "\n".join(kept))
    stripped = re.sub(r"(\.scope \w+, \"[^\"]*\" \"[^\"]*\") \d+ \d+( \d+ \d+)?", r"\1", stripped)
    return hash_parts(_LABEL.sub(_Renamer(), stripped).encode())


class _Renamer:
    """Numbers for labels that hold addresses, in the order in which they come."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def __call__(self, found: re.Match[str]) -> str:
        return self._names.setdefault(found[0], f"n{len(self._names)}")


def run_case(
    case: Case,
    rtl: Path,
    by: Simulators,
    other: Path | None = None,
    limit: float | None = None,
    same: str = "",
    stop: Stop = NEVER,
) -> Run:
    """Run a case with a mutated file, up to its first failure or `limit` processor seconds.

    `same`: what the unmutated case compiles to; a mutant that compiles to the same passes without a run.
    """
    with temporary.folder("mutant") as work:
        folder = work / "run"
        shutil.copytree(case.files, folder)
        refused = compile_case(case, rtl, folder, other, stop)
        if refused is not None:
            return Run(INVALID, case.name, words=refused)
        code = compiled_code(folder)
        if same and code == same:
            return Run(PASSED, case.name, "same code", code=code)
        found = _simulate(case, folder, by, limit, stop)
    return Run(found.state, found.test, found.how, found.words, round(found.seconds, 3), code)


def children_seconds() -> float:
    """Processor seconds of all children of this process that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _simulate(case: Case, folder: Path, by: Simulators, limit: float | None, stop: Stop) -> Run:
    results = folder / "results.xml"
    own = _told(case, results)
    with by.one(stop) as simulator:
        ended = simulator.run(folder, own, limit, 3600.0 if limit is None else _WALL_TIMES * limit, stop)
    failed, lines = "", list[str]()
    for line in _lines(folder / LOG):
        found = _FAILED.search(line)
        # Behind the first that failed cocotb says of all others that they did, as they are not run.
        if failed and (found or _ENDED.search(line)):
            break
        if found:
            failed, lines = found[1], []
        lines.append(line)
        del lines[:-60]
    if failed:
        words = _words(lines)
        return Run(KILLED, f"{case.name}: {failed}", _how(words), words, ended.seconds)
    if ended.given_up:
        return Run(TIMED_OUT, case.name, "time limit", "the clock's limit", ended.seconds)
    if limit is not None and -ended.status in (signal.SIGKILL, signal.SIGXCPU) and ended.seconds >= limit:
        return Run(TIMED_OUT, case.name, "time limit", f"more than {limit:.0f} processor seconds", ended.seconds)
    if ended.status == -signal.SIGKILL:
        # Somebody else's doing, as where memory is short: it says nothing of a mutant.
        raise ToolError(f"the simulator that ran {case.name} was killed after {ended.seconds:.1f} processor seconds")
    passed = 0
    if results.is_file():
        for test in ElementTree.parse(results).getroot().iter("testcase"):  # noqa: S314  # cocotb's, written just now
            if any(test.findall(kind) for kind in ("failure", "error", "skipped")):
                words = _words(lines)
                return Run(KILLED, f"{case.name}: {test.get('name', '?')}", "difference", words, ended.seconds)
            passed += 1
    if ended.status == 0 and passed:
        return Run(PASSED, case.name, seconds=ended.seconds)
    words = _words(lines) or f"the simulator ended with {ended.status}"
    return Run(KILLED, case.name, "stopped", words, ended.seconds)


def _lines(log: Path) -> Iterator[str]:
    """Lines that a run printed, up to so many bytes."""
    if log.is_file():
        with log.open("rb") as file:
            yield from file.read(_OUTPUT_BYTES_MAX).decode("utf-8", "replace").splitlines()


def _words(lines: Sequence[str]) -> str:
    """The message of a failure: the first line that names an error, else the last."""
    for line in lines:
        if _MESSAGE.search(line):
            return line.strip()[:200]
    return lines[-1].strip()[:200] if lines else ""


def _how(words: str) -> str:
    if _UNKNOWN.search(words):
        return "unknown value"
    if _STANDS.search(words):
        return "time limit of the bench"
    return "difference"


def limit_of(seconds: float) -> float:
    """Processor seconds that a mutant may take where the unmutated run took so many."""
    return LIMIT_TIMES * seconds + LIMIT_SECONDS
