"""Builds a simulator of an accelerator with Verilator, or takes the one it built before from the cache.

The cache's key covers all that a simulator is made of: the content of every Verilog file that Verilator read, the names
of all that it could have read, the harness, the top, its parameters, the flags, and the versions of Verilator, compiler
and processor. Whatever changes is built anew. ROM contents are not part of a build, so that all models of the same
dimensions share one. See `docs/cosim.md`.

The harness sees nothing of a design but its ports: its object is kept by those and all else that it is made of, so that
an edit inside a design compiles the design alone.

Which files Verilator reads follows from the names that there are and from what stands in those that it reads. So where
both are as they were, it would read the same ones again: the list it gave is kept by the names (and by all else), and
an edit of a file that is not on it builds nothing anew.
"""

import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from fxsim import temporary
from fxsim.errors import ToolError
from fxsim.paths import cache_dir, rtl_dir
from fxsim.private import make_private
from fxsim.simulate.cache import (
    HARNESSES_MAX,
    RUNTIMES_MAX,
    Ingredients,
    prune,
    store,
    store_failure,
    store_objects,
    store_reads,
    take,
    take_objects,
    take_reads,
)
from fxsim.simulate.sources import Sources, compiled_from, files_read, hash_parts, read_sources, refuse_headers
from fxsim.simulate.tools import Toolchain, find_toolchain, first_errors, run_logged

COMMON_HARNESS = Path(__file__).resolve().parent / "harness_common.hpp"
"""The parts of a harness that all devices share."""
LIBRARY = COMMON_HARNESS.with_name("harness_library.hpp")
"""The headers of all harnesses and designs, precompiled: reading them takes longer than the rest of a small one."""
AXI_HARNESS = COMMON_HARNESS.with_name("harness_axi.hpp")
"""The parts that devices with AXI4-Lite registers share."""
AXI4_HARNESS = COMMON_HARNESS.with_name("harness_axi4.hpp")
"""The memory behind an AXI4 master, which devices share."""


@dataclass(frozen=True)
class Design:
    """A design to simulate, without its parameters: the top module, and the harness that drives it.

    `harness`: the C++ program, then what it includes. `rtl`: the folder of its Verilog, by default the project's own.
    """

    top: str
    harness: tuple[Path, ...]
    rtl: Path | None = None

    @property
    def sources(self) -> Path:
        """The folder of its Verilog."""
        return self.rtl or rtl_dir()

    @property
    def programs(self) -> dict[str, bytes]:
        """The harness by file name, the C++ program first."""
        return {path.name: path.read_bytes() for path in (*self.harness, LIBRARY)}

    @property
    def generated(self) -> frozenset[str]:
        """Names of files of its Verilog that are fxsim's own, written around somebody's design."""
        return frozenset()

    @property
    def made(self) -> frozenset[str]:
        """Names of files of its Verilog that lie in no folder: generated ones, and what other languages became."""
        return self.generated

    def read(self, rtl: Path | None = None) -> Sources:
        """Its Verilog, or that of a folder in its place; ToolError where the top is not there."""
        sources = read_sources(rtl or self.sources)
        sources.file_of(self.top)
        return sources

    def refuse_warnings(self, log: Path) -> None:
        """ToolError where Verilator's log has a warning that means another design than was asked for."""

    def words(self, sources: Sources) -> list[str]:
        """Words of Verilator's command that name the Verilog: every folder to look in, the whole first, and the top."""
        folders = dict.fromkeys(("rtl", *(os.path.normpath(f"rtl/{folder}") for folder in sources.folders)))
        return [*(word for folder in folders for word in ("-y", folder)), f"rtl/{sources.file_of(self.top)}"]

    def icarus_words(self, sources: Sources) -> list[str] | None:  # noqa: ARG002  # a design may depend on them
        """Words of Icarus Verilog's command that name the Verilog; None: every module is looked for by its name."""
        return None


OPTIMISE = "-O2 -march=native"
"""Compiler flags for the simulated design: -O3 takes longer and is no faster; a short run of a small design is better
off with -O0, which builds in half the time."""


def optimisation() -> str:
    """Compiler flags for simulated designs: FXSIM_OPTIMISE's of the environment, by default `OPTIMISE`.

    ToolError where they are not all flags of optimisation: what else a compiler can be told is not fxsim's to run.
    """
    text = os.environ.get("FXSIM_OPTIMISE", OPTIMISE)
    if not all(re.fullmatch(r"-(O[0-3]|march=[\w.+-]+|mtune=[\w.+-]+)", word) for word in text.split()):
        raise ToolError(f"FXSIM_OPTIMISE is {text!r}, expected -O0 to -O3, -march=... or -mtune=..., e.g. '{OPTIMISE}'")
    return text


_VERILATOR_FLAGS = (
    *("--cc", "--exe", "-O3", "--x-assign", "unique", "--x-initial", "unique", "--no-timing", "--unroll-count", "2048"),
    # A large design in several files and functions: all cores compile it, and no function takes the compiler minutes.
    *("--output-split", "20000", "--output-split-cfuncs", "2000"),
    # Warnings are the linter's business; here they go to the log.
    "-Wno-fatal",
    # Neither Verilator's library nor a harness catches any: without what would, compiling takes a seventh less.
    *("-CFLAGS", "-fno-exceptions"),
    *("--prefix", "Vdut", "--Mdir", "obj", "-o", "simulate"),
)
_TRACE_FLAGS = (
    "--trace-fst",
    # What writes FST files throws some. The last of two such flags counts.
    *("-CFLAGS", "-fexceptions"),
)
COVERAGE_FLAGS = (
    # Lines and branches, bits that turn, terms of expressions, and cover statements. Plain `--coverage` crashes where
    # memories are written.
    *("--coverage-line", "--coverage-toggle", "--coverage-expr", "--coverage-user"),
    # Signals are counted whatever they are called, and however wide they are.
    *("--coverage-underscore", "--coverage-max-width", "4096"),
)
MAKE_VARIABLES = (
    # How g++ is told of a precompiled header; the wheel was configured for another compiler.
    "CFG_CXXFLAGS_PCH_I=-include",
    # What runs once: constructors and initial values.
    "OPT_SLOW=-O0",
)

_PORTS = "Vdut.h"
"""The header by which a harness sees a design: its ports."""
_PRECOMPILED = f"{LIBRARY.name}.fast.gch"
"""By this name a rule of Verilator's makefile makes it of the header, with the flags of what includes it."""
_RULES = """\
{harness}.o Vdut__ALL.o: {library}.fast.gch
{harness}.o Vdut__ALL.o: private CPPFLAGS += -include {library}.fast
"""
"""Rules that Verilator's makefile lacks. A large design that is optimised has no Vdut__ALL, and precompiled headers of
its own."""

Status = Callable[[str], None]
"""A function that is told in words what is being done."""


@dataclass(frozen=True)
class Build:
    """A simulator ready to run. `key` names its cache entry; `seconds` is what building took, 0 where it was cached.

    `verilator` or `yosys`: the version of what read the Verilog, the other one empty.
    """

    executable: Path
    key: str
    rtl_sha256: str
    verilator: str
    compiler: str
    seconds: float
    cached: bool
    yosys: str = ""


def build_simulator(
    design: Design,
    parameters: Mapping[str, int],
    into: Path,
    *,
    rtl: Path | None = None,
    traced: bool = False,
    counted: bool = False,
    optimise: str | None = None,
    status: Status | None = None,
) -> Build:
    """Put a simulator of a design with these parameters into the folder `into`, built or from the cache.

    `rtl` is a folder of Verilog sources in place of the design's own; `traced` builds one that can write FST
    waveforms, `counted` one that can write what of the code was run; `optimise` are flags of the compiler for the
    design, by default those of `optimisation`. What comes out of the cache was checked against what it should be made
    of and its recorded hash, and is built anew where it differs. All that is returned was computed or asked for now,
    but for `key` and `seconds` nothing is from a record.
    ToolError where a tool is missing or the design does not build: with the first errors, and where the log is; where
    it reads a file that is not in the folder.
    """
    tell = status or (lambda _: None)
    optimise = optimisation() if optimise is None else optimise
    sources, harness = design.read(rtl), design.programs
    tools = find_toolchain(optimise)
    flags = (*_VERILATOR_FLAGS, *(_TRACE_FLAGS if traced else ()), *(COVERAGE_FLAGS if counted else ()))
    versions = (tools.verilator_version, tools.compiler_version, tools.processor)
    # All that Verilator's own library depends on; then all that the simulator does, but for the Verilog's content.
    library = harness[LIBRARY.name]
    runtime_key = hash_parts(
        library, *(text.encode() for text in (*versions, *flags, *MAKE_VARIABLES, _RULES, optimise))
    )
    flags += ("--top-module", design.top, *(f"-G{name}={value}" for name, value in parameters.items()))
    programs = [part for name, text in harness.items() for part in (name.encode(), text)]
    harness_object = Path(next(iter(harness))).stem
    words = design.words(sources)
    names = (name.encode() for name in sources.files)
    base = hash_parts(*programs, runtime_key.encode(), *(word.encode() for word in (*flags, *words)), b"names", *names)

    cache = cache_dir() / "verilator"
    executable = into / "simulate"
    started = time.monotonic()

    def ingredients(reads: tuple[str, ...] | None) -> Ingredients | None:
        """The ingredients of a simulator that reads these files; None where these are not known, or one is missing."""
        hashes = None if reads is None else sources.hashes(reads)
        if hashes is None:
            return None
        sources.refuse_cpp(hashes)
        key = hash_parts(base.encode(), *(text.encode() for pair in hashes.items() for text in pair))
        return Ingredients(key, hashes, dict(parameters), tools.verilator_version, tools.compiler_version)

    def taken(made_of: Ingredients | None) -> bool:
        return made_of is not None and take(cache / made_of.key, executable, made_of) is not None

    def keep_log(log: Path) -> Path:
        with FileLock(cache / "lock"):
            return store_failure(cache, base, log)

    made_of = ingredients(take_reads(cache, base))
    cached = taken(made_of)
    if not cached:
        _make_writable(cache)
        with _lock(cache / "building" / hash_parts(base.encode(), sources.sha256.encode()), tell):
            made_of = ingredients(take_reads(cache, base))
            cached = taken(made_of)
            if not cached:
                tell("building the RTL with Verilator")
                with temporary.folder("build") as work:
                    _write_sources(work, sources, harness)
                    run = partial(_run, work=work, keep_log=keep_log)
                    run("Verilator", _verilator_command(tools, flags, sources, design))
                    design.refuse_warnings(work / "build.log")
                    listing, own = work / "obj" / "Vdut__verFiles.dat", tools.verilator.parent.parent
                    reads = files_read(listing, sources, design.top, own)
                    made_of = ingredients(reads)
                    assert made_of is not None  # `files_read` names only files that are there
                    cached = taken(made_of)
                    if not cached:
                        # What is included where the compiler does not take the precompiled one.
                        (work / "obj" / f"{LIBRARY.name}.fast").write_bytes(library)
                        # Not earlier: make wants its targets newer than the makefile that Verilator wrote.
                        shared = take_objects(cache / "runtime" / runtime_key, work / "obj")
                        ports = (work / "obj" / _PORTS).read_bytes()
                        harness_key = hash_parts(runtime_key.encode(), *programs, ports)
                        driven = shared and take_objects(cache / "harness" / harness_key, work / "obj")
                        run("compiling the simulator", _make_command(tools, optimise))
                        refuse_headers(work, sources, own, {harness_object} if driven else set())
                        objects = [*work.glob("obj/verilated*.o"), work / "obj" / _PRECOMPILED]
                        built, seconds = work / "obj" / "simulate", round(time.monotonic() - started, 3)
                        if not driven:
                            read = compiled_from(work / "obj" / f"{harness_object}.d")
                            own_headers = {path.name for path in (work / "obj").glob("*.h")}
                            sees_ports_alone = own_headers & {Path(name).name for name in read} == {_PORTS}
                    with FileLock(cache / "lock"):
                        if not cached:
                            if not shared:
                                store_objects(cache / "runtime" / runtime_key, objects, RUNTIMES_MAX)
                            if not driven and sees_ports_alone:
                                driver = work / "obj" / f"{harness_object}.o"
                                store_objects(cache / "harness" / harness_key, [driver], HARNESSES_MAX)
                            store(cache / made_of.key, built, work / "build.log", made_of, seconds)
                        store_reads(cache, base, reads)
                        prune(cache)
                        if not taken(made_of):
                            raise ToolError(f"the simulator just built cannot be read back from {cache / made_of.key}")
    assert made_of is not None  # of what was taken or built
    seconds = 0.0 if cached else round(time.monotonic() - started, 3)
    return Build(
        executable, made_of.key, sources.sha256, tools.verilator_version, tools.compiler_version, seconds, cached
    )


def _make_writable(cache: Path) -> None:
    try:
        make_private(cache)
    except OSError as error:
        raise ToolError(f"cannot make the cache folder {cache}: {error.strerror}; FXSIM_CACHE names another") from error
    if not os.access(cache, os.W_OK):
        raise ToolError(f"the cache folder {cache} cannot be written to; FXSIM_CACHE names another")


@contextmanager
def _lock(path: Path, tell: Status) -> Iterator[None]:
    """Hold the lock of one simulator's build: whoever wants the same one waits for it and then takes it."""
    path.parent.mkdir(exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        tell("waiting for another build of it to end")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _verilator_command(tools: Toolchain, flags: tuple[str, ...], sources: Sources, design: Design) -> list[str]:
    """Verilator's command."""
    return [str(tools.verilator), *flags, *design.words(sources), next(iter(design.programs))]


def _write_sources(work: Path, sources: Sources, harness: Mapping[str, bytes]) -> None:
    sources.write(work / "rtl")
    for name, text in harness.items():
        (work / name).write_bytes(text)
    program = next(iter(harness))
    (work / "library.mk").write_text(_RULES.format(harness=program.removesuffix(".cpp"), library=LIBRARY.name))


def _make_command(tools: Toolchain, optimise: str) -> list[str]:
    variables = [
        *MAKE_VARIABLES,
        *(f"CXX={tools.compiler}", f"LINK={tools.compiler}"),
        *(f"OPT_FAST={optimise}", f"OPT_GLOBAL={optimise}"),
        # The wheel's makefile calls `python`, which Debian does not have.
        f"PYTHON3={shlex.quote(sys.executable)}",
    ]
    if f"OPT_SLOW={optimise}" in MAKE_VARIABLES:
        # In pieces a large design is compiled with two precompiled headers of its own, which takes as long as the rest.
        variables.append("VM_PARALLEL_BUILDS=0")
    # CURDIR: no rule uses it, and Verilator's makefile would refuse a folder with spaces in it, which works.
    return ["make", "CURDIR=.", "-C", "obj", "-f", "Vdut.mk", "-f", "../library.mk", "-j", "2", *variables]


def _run(what: str, command: list[str], work: Path, keep_log: Callable[[Path], Path]) -> None:
    """One step of a build in the folder `work`; ToolError with its first errors where it fails."""
    log = work / "build.log"
    if run_logged(command, work, log) != 0:
        raise ToolError(f"{what} failed: {first_errors(log)} (the whole log: {keep_log(log)})")
