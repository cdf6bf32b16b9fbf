"""Builds a simulator of an accelerator with Verilator, or takes the one it built before from the cache.

The cache's key covers all that a simulator is made of: the content of every Verilog file and of the harness, the top,
its parameters, the flags, and the versions of Verilator, compiler and processor. Whatever changes is built anew. ROM
contents are not part of a build, so that all models of the same dimensions share one. See `docs/cosim.md`.
"""

import hashlib
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from fxsim import temporary
from fxsim.errors import ToolError
from fxsim.paths import cache_dir, rtl_dir, verilog_files
from fxsim.simulate.cache import Record, prune, store, store_failure, store_runtime, take, take_runtime
from fxsim.simulate.tools import Toolchain, find_toolchain, first_errors, run_logged

COMMON_HARNESS = Path(__file__).resolve().parent / "harness_common.hpp"
"""The parts of a harness that all devices share."""


@dataclass(frozen=True)
class Design:
    """What a simulator is made of besides its parameters: the top module, and the harness that drives it.

    `harness`: the C++ program, then what it includes.
    """

    top: str
    harness: tuple[Path, ...]


OPTIMISE = "-O2 -march=native"
"""Compiler flags for the simulated design: -O3 takes longer and is no faster; a short run of a small design is better
off with -O0, which builds in half the time."""

_VERILATOR_FLAGS = (
    *("--cc", "--exe", "-O3", "--x-assign", "fast", "--no-timing", "--unroll-count", "2048"),
    # A large design in several files and functions: all cores compile it, and no function takes the compiler minutes.
    *("--output-split", "20000", "--output-split-cfuncs", "2000"),
    # Warnings are the linter's business; here they go to the log.
    "-Wno-fatal",
    *("--prefix", "Vdut", "--Mdir", "obj", "-o", "simulate"),
)
_TRACE_FLAGS = ("--trace-fst",)
_MAKE_VARIABLES = (
    # How g++ is told of a precompiled header; the wheel was configured for another compiler.
    "CFG_CXXFLAGS_PCH_I=-include",
    # What runs once: constructors and initial values.
    "OPT_SLOW=-O0",
)

Status = Callable[[str], None]
"""Told in words what is being done."""


@dataclass(frozen=True)
class Build:
    """A simulator ready to run. `key` names its cache entry; `seconds` is what building took, 0 where it was cached."""

    executable: Path
    key: str
    rtl_sha256: str
    verilator: str
    compiler: str
    seconds: float
    cached: bool


def build_simulator(
    design: Design,
    parameters: Mapping[str, int],
    into: Path,
    *,
    rtl: Path | None = None,
    traced: bool = False,
    optimise: str | None = None,
    status: Status | None = None,
) -> Build:
    """Put a simulator of a design with these parameters into the folder `into`, built or from the cache.

    `rtl` is the folder of the Verilog sources, by default the project's own; `traced` builds one that can write FST
    waveforms; `optimise` are the compiler's flags for the design, by default `OPTIMISE`. What comes out of the cache
    was checked against its recorded hash, and is built anew where it differs.
    ToolError where a tool is missing or the design does not build: with the first errors, and where the log is.
    """
    tell = status or (lambda _: None)
    optimise = OPTIMISE if optimise is None else optimise
    sources = _read_sources(rtl or rtl_dir(), design.top)
    harness = {path.name: path.read_bytes() for path in design.harness}
    tools = find_toolchain(optimise)
    rtl_sha256 = _sha256(*_parts(sources))
    flags = (*_VERILATOR_FLAGS, *(_TRACE_FLAGS if traced else ()))
    versions = (tools.verilator_version, tools.compiler_version, tools.processor)
    # All that Verilator's own library depends on; then all that the simulator does.
    runtime_key = _sha256(*(text.encode() for text in (*versions, *flags, *_MAKE_VARIABLES, optimise)))
    flags += ("--top-module", design.top, *(f"-G{name}={value}" for name, value in parameters.items()))
    key = _sha256(*_parts(harness), *(text.encode() for text in (runtime_key, rtl_sha256, *flags)))

    cache = cache_dir() / "verilator"
    executable = into / "simulate"
    started = time.monotonic()
    record = take(cache / key, executable)
    cached = record is not None
    if record is None:
        _make_writable(cache)
        with _lock(cache / "lock", tell):
            record = take(cache / key, executable)
            cached = record is not None
            if record is None:
                tell("building the RTL with Verilator")
                with temporary.folder("build") as work:
                    _write_sources(work, sources, harness)
                    run = partial(_run, work=work, keep_log=lambda log: store_failure(cache, key, log))
                    folders = sorted({f"rtl/{name}".rpartition("/")[0] for name in sources})
                    command = [str(tools.verilator), *flags, *(word for folder in folders for word in ("-y", folder))]
                    run("Verilator", [*command, f"rtl/{_file_of(design.top, sources)}", design.harness[0].name])
                    # Not earlier: make wants its targets newer than the makefile that Verilator wrote.
                    shared = take_runtime(cache / "runtime" / runtime_key, work / "obj")
                    run("compiling the simulator", _make_command(tools, optimise))
                    if not shared:
                        store_runtime(cache / "runtime" / runtime_key, sorted(work.glob("obj/verilated*.o")))
                    built = work / "obj" / "simulate"
                    record = Record(
                        executable_sha256=hashlib.sha256(built.read_bytes()).hexdigest(),
                        rtl_sha256=rtl_sha256,
                        verilator=tools.verilator_version,
                        compiler=tools.compiler_version,
                        parameters=dict(parameters),
                        seconds=round(time.monotonic() - started, 3),
                    )
                    store(cache / key, built, work / "build.log", record)
                prune(cache)
                if take(cache / key, executable) is None:
                    raise ToolError(f"the simulator just built cannot be read back from {cache / key}")
    seconds = 0.0 if cached else record.seconds
    return Build(executable, key, record.rtl_sha256, record.verilator, record.compiler, seconds, cached)


def _make_writable(cache: Path) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolError(f"cannot make the cache folder {cache}: {error.strerror}; FXSIM_CACHE names another") from error
    if not os.access(cache, os.W_OK):
        raise ToolError(f"the cache folder {cache} cannot be written to; FXSIM_CACHE names another")


@contextmanager
def _lock(path: Path, tell: Status) -> Iterator[None]:
    """One build at a time: two on two cores gain nothing, and whoever holds the lock may tidy up."""
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        tell("waiting for another build to end")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _sha256(*parts: bytes) -> str:
    """Hash of a sequence of byte strings; lengths go in too, so that no two sequences run together the same."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _parts(files: Mapping[str, bytes]) -> Iterator[bytes]:
    for name, text in files.items():
        yield name.encode()
        yield text


def _read_sources(directory: Path, top: str) -> dict[str, bytes]:
    """Every Verilog file in a folder and below it by name.

    They are built from these bytes, not read again: hash and build agree.
    """
    sources = {name: path.read_bytes() for name, path in verilog_files(directory).items()}
    if _file_of(top, sources) is None:
        raise ToolError(f"the RTL folder {directory} has no {top}.v")
    return sources


def _file_of(module: str, sources: Iterable[str]) -> str | None:
    """The file of a module, by its name."""
    return next((name for name in sources if name.rpartition("/")[2] == f"{module}.v"), None)


def _write_sources(work: Path, sources: Mapping[str, bytes], harness: Mapping[str, bytes]) -> None:
    (work / "rtl").mkdir()
    for name, text in sources.items():
        (work / "rtl" / name).parent.mkdir(parents=True, exist_ok=True)
        (work / "rtl" / name).write_bytes(text)
    for name, text in harness.items():
        (work / name).write_bytes(text)


def _make_command(tools: Toolchain, optimise: str) -> list[str]:
    variables = [
        *_MAKE_VARIABLES,
        *(f"CXX={tools.compiler}", f"LINK={tools.compiler}"),
        *(f"OPT_FAST={optimise}", f"OPT_GLOBAL={optimise}"),
        # The wheel's makefile calls `python`, which Debian does not have.
        f"PYTHON3={shlex.quote(sys.executable)}",
    ]
    # CURDIR: no rule uses it, and Verilator's makefile would refuse a folder with spaces in it, which works.
    return ["make", "CURDIR=.", "-C", "obj", "-f", "Vdut.mk", "-j", "2", *variables]


def _run(what: str, command: list[str], work: Path, keep_log: Callable[[Path], Path]) -> None:
    """One step of a build in the folder `work`; ToolError with its first errors where it fails."""
    log = work / "build.log"
    if run_logged(command, work, log) != 0:
        raise ToolError(f"{what} failed: {first_errors(log)} (the whole log: {keep_log(log)})")
