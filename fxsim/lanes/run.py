"""A simulator of a design in lanes: built from its netlist, driven by the device's own harness."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from fxsim import temporary
from fxsim.contract.arithmetic import Int8
from fxsim.devices import Fitted, Layout
from fxsim.devices.provable import OwnVerilog
from fxsim.errors import StimulusError, ToolError
from fxsim.graph import Model
from fxsim.lanes.cpp import write_program
from fxsim.lanes.sums import with_sums
from fxsim.lanes.words import dependence, make_words
from fxsim.paths import cache_dir
from fxsim.private import make_private
from fxsim.prove.netlist import make_netlist
from fxsim.simulate.build import Build, Status
from fxsim.simulate.cache import Ingredients, prune, store, store_failure, take
from fxsim.simulate.sources import hash_parts
from fxsim.simulate.tools import find_toolchain, first_errors, run_logged

LANES_MAX = 256
_MADE_BY = tuple(Path(__file__).with_name(name).read_bytes() for name in ("words.py", "sums.py", "cpp.py", "run.py"))
FLAGS = ("-std=c++20", "-march=native", "-fno-exceptions", "-w")
OPTIMISED = "-O3"
_OPTIMISE = {"Vdut_start": "-O0"}
"""Flags for code that runs once."""


class LanesSimulator:
    """A simulator of `lanes` images side by side: 2 to 256; StimulusError where it is another number.

    One image alone is Verilator's: the harness takes a port of one lane as bytes in a row.

    `optimise`: a flag of the compiler for what runs in every cycle.
    """

    def __init__(self, lanes: int, optimise: str = OPTIMISED) -> None:
        if not 2 <= lanes <= LANES_MAX:
            raise StimulusError(f"lanes is {lanes}, expected 2 to {LANES_MAX}")
        self.lanes = lanes
        self._optimise = optimise

    def records(self, layout: Layout) -> "LaneRecords":
        """The records that its harness reads."""
        return LaneRecords(layout, self.lanes)

    def build(self, fitted: Fitted, into: Path, rtl: Path | None = None, status: Status | None = None) -> Build:
        """Put a simulator into the folder `into`, built or from the cache."""
        tell = status or (lambda _: None)
        data = fitted.data_ports
        assert data is not None
        design = fitted.in_lanes(rtl)
        tell("making the netlist")
        own = None if design.language is None else OwnVerilog(design.sources, *design.language, "")
        made = make_netlist(design.sources, design.top, design.parameters, design.files, status, own)
        tools = find_toolchain("-O3 -march=native")
        programs = fitted.design.programs
        parts = [part for name, text in programs.items() for part in (name.encode(), text)]
        words = (
            made.sha256,
            tools.compiler_version,
            tools.processor,
            str(self.lanes),
            self._optimise,
            *FLAGS,
            *sorted(data),
            *fitted.agreeing,
        )
        key = hash_parts(*_MADE_BY, *parts, *(word.encode() for word in words))
        cache = cache_dir() / "verilator"
        make_private(cache)
        executable = into / "simulate"
        made_of = Ingredients(
            key, {"netlist": made.sha256}, dict(design.parameters), made.yosys, tools.compiler_version
        )
        started = time.monotonic()
        cached = take(cache / key, executable, made_of) is not None
        if not cached:
            tell(f"building it in {self.lanes} lanes")
            netlist = made.netlist
            inputs = data & netlist.inputs.keys()
            found = make_words(netlist, inputs, fitted.agreeing)
            for name, value in found.outputs.items():
                if name not in data and found.depends(value):
                    way = dependence(netlist, inputs, name, fitted.agreeing)
                    raise ToolError(f"the output '{name}' depends on data: {' <- '.join(way)}")
            with temporary.folder("lanes") as work:
                files = write_program(with_sums(found), self.lanes, data)
                for name, text in files.items():
                    (work / name).write_text(text)
                for name, content in programs.items():
                    (work / name).write_bytes(content)
                (work / "makefile").write_text(self._makefile(tools.compiler, files, next(iter(programs))))
                log = work / "build.log"
                if run_logged(["make", "-j", "2", "simulate"], work, log) != 0:
                    with FileLock(cache / "lock"):
                        kept = store_failure(cache, key, log)
                    raise ToolError(f"compiling the simulator failed: {first_errors(log)} (the whole log: {kept})")
                seconds = round(time.monotonic() - started, 3)
                with FileLock(cache / "lock"):
                    store(cache / key, work / "simulate", log, made_of, seconds)
                    prune(cache)
                    if take(cache / key, executable, made_of) is None:
                        raise ToolError(f"the simulator just built cannot be read back from {cache / key}")
        seconds = 0.0 if cached else round(time.monotonic() - started, 3)
        rtl_sha256, compiler = design.sources.sha256, tools.compiler_version
        return Build(executable, key, rtl_sha256, "", compiler, seconds, cached, yosys=made.yosys)

    def _makefile(self, compiler: str, files: Mapping[str, str], program: str) -> str:
        units = [name.removesuffix(".cpp") for name in (*files, program) if name.endswith(".cpp")]
        lines = [f"simulate: {' '.join(f'{unit}.o' for unit in units)}", f"\t{compiler} -o $@ $^"]
        for unit in units:
            optimise = _OPTIMISE.get(unit, self._optimise)
            flags = " ".join((*FLAGS, optimise, f"-DFXSIM_LANES={self.lanes}"))
            lines += [f"{unit}.o: {unit}.cpp", f"\t{compiler} {flags} -c $< -o $@"]
        return "\n".join([*lines, ""])


@dataclass(frozen=True)
class LaneRecords:
    """A layout's records, each of several images side by side: a byte of each in turn."""

    layout: Layout
    lanes: int

    @property
    def model(self) -> Model:
        """The model whose values are expected."""
        return self.layout.model

    @property
    def needed(self) -> tuple[str, ...]:
        """The taps that must be computed."""
        return self.layout.needed

    @property
    def images(self) -> int:
        """Images of a record."""
        return self.lanes

    @property
    def record_bytes(self) -> int:
        """Bytes of a record."""
        return 8 + self.lanes * self.layout.content_bytes

    def records(self, first: int, x: Int8, values: dict[str, Int8]) -> npt.NDArray[np.uint8]:
        """One record a row, uint8 [record, byte], for images `x` numbered from `first`, a multiple of the lanes.

        What the last record lacks of images is filled with copies of the last one.
        """
        lanes, count = self.lanes, -(-len(x) // self.lanes)
        plain = self.layout.records(first, x, values)[:, 8:]
        if len(plain) < count * lanes:
            plain = np.concatenate([plain, np.repeat(plain[-1:], count * lanes - len(plain), axis=0)])
        found = np.empty((count, self.record_bytes), np.uint8)
        found[:, :4] = np.frombuffer(b"FXIM", np.uint8)
        numbers = np.arange(first // lanes, first // lanes + count, dtype="<u4")
        found[:, 4:8] = numbers.view(np.uint8).reshape(count, 4)
        side = plain.reshape(count, lanes, -1).swapaxes(1, 2)
        found[:, 8:].reshape(count, -1, lanes)[...] = side
        return found
