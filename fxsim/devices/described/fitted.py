"""A described design with a model on it: its sources, its memory files, and the folder of a kept failure."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Generic, TypeVar

from fxsim.contract.arithmetic import Integers
from fxsim.devices.base import Fitted, Language, Synthesisable
from fxsim.devices.described.bind import WRAPPER, Bound
from fxsim.devices.described.jobs.bind import BoundJobs
from fxsim.devices.described.packing import Beats
from fxsim.devices.described.vhdl import MADE
from fxsim.devices.described.wrapper import TOP
from fxsim.devices.settings import Setting, Settings
from fxsim.errors import FileError, ToolError
from fxsim.graph import Model
from fxsim.simulate.build import COMMON_HARNESS, Design
from fxsim.simulate.sources import Sources

FOLLOWING = Path(__file__).resolve().parent / "following.hpp"
"""The part of a harness that compares streams and taps."""
_PORTS = "described_ports.hpp"
_PINS = re.compile(
    rf"^%Warning-(?:PINMISSING|WIDTH\w*): rtl/{re.escape(WRAPPER)}:[0-9:]+ (.*(?:missing pin|port connection).*)",
    re.MULTILINE,
)
"""A warning of Verilator's on a port of the design, as the wrapper connects it."""
_VERILOG = (".v", ".sv", ".vh", ".svh", ".vhd", ".vhdl")
"""Endings of what is compiled; all else may be read while the design runs."""


class DescribedSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a described design: `dut`, the file of its description."""

    dut: Annotated[
        str | None, Setting("--dut", "description of your own RTL (a .toml file)", unit="file", file=True)
    ] = None


AnyBound = TypeVar("AnyBound", bound=Bound | BoundJobs)


@dataclass(frozen=True)
class DescribedDesign(Design):
    """Somebody's Verilog with fxsim's wrapper around it; `rtl` is the folder that its description lies in.

    `ports`: C++ that says what the description gives the harness. `bind`: binds the description to the model, with its
    sources in another folder.
    """

    bound: Bound | BoundJobs | None = None
    ports: str = ""
    bind: Callable[[Path], Bound | BoundJobs] | None = None

    @property
    def programs(self) -> dict[str, bytes]:
        """The harness, and the ports that the description gives it."""
        return {**super().programs, _PORTS: self.ports.encode()}

    @property
    def generated(self) -> frozenset[str]:
        """The wrapper."""
        return frozenset({WRAPPER})

    @property
    def made(self) -> frozenset[str]:
        """The wrapper, and the Verilog of a design in VHDL."""
        return self.generated | {MADE}

    def read(self, rtl: Path | None = None) -> Sources:
        """The sources that the description lists, of its folder or another one, and the wrapper."""
        assert self.bound is not None
        assert self.bind is not None
        bound = self.bound if rtl is None else self._elsewhere(rtl)
        files = {**bound.verilog.files, WRAPPER: bound.wrapper.encode()}
        return Sources(bound.sources.folder, dict(sorted(files.items())))

    def _elsewhere(self, rtl: Path) -> Bound | BoundJobs:
        """The description with its sources in another folder; FileError where what is read from files differs there."""
        assert self.bound is not None
        assert self.bind is not None
        bound, own = self.bind(rtl), self.bound
        read = {name for name in (*own.sources.files, *bound.sources.files) if not name.endswith(_VERILOG)}
        for name in sorted({*read, *own.listed.files, *bound.listed.files} - {*own.listed.lists, *bound.listed.lists}):
            if own.sources.files.get(name) != bound.sources.files.get(name):
                raise FileError(
                    f"{rtl}: '{name}', which the design reads while it runs, differs from that beside {own.path}: "
                    "expected the same, or a description beside it"
                )
        return bound

    def refuse_warnings(self, log: Path) -> None:
        """Refuse a port that Verilator sees otherwise than the description was held against: none, or another width."""
        if isinstance(self.bound, Bound) and (found := _PINS.search(log.read_text("utf-8", "replace"))) is not None:
            raise ToolError(f"{self.bound.path}: Verilator finds other ports of the design: {found[1]}")

    def words(self, sources: Sources) -> list[str]:
        """Words of Verilator's command: include folders, defines, then every source in the order of the description."""
        return [*self.icarus_words(sources), f"rtl/{WRAPPER}"]

    def icarus_words(self, sources: Sources) -> list[str]:
        """The same for Icarus Verilog, whose harness is around the design itself, not around the wrapper."""
        assert self.bound is not None
        own = sources.folder == self.bound.sources.folder
        said = (self.bound if own else self._elsewhere(sources.folder)).verilog
        words = [f"-Irtl/{folder}" for folder in ("", *said.include)]
        words += [f"-D{name}={value}" for name, value in said.defines.items()]
        return [*words, *(f"rtl/{name}" for name in said.sources)]


class FittedDescribed(Fitted, Generic[AnyBound]):
    """A described design with a model on it: what all of them have in common.

    `bind` binds the description in a file, with its sources in a folder (None: the file's own).
    """

    def __init__(
        self,
        model: Model,
        path: Path,
        bind_in: Callable[[Path | None], AnyBound],
        harness: tuple[Path, ...],
        header: Callable[[AnyBound], str],
    ) -> None:
        self._model = model
        self._path = path
        self._bind = bind_in
        self.bound = bind_in(None)
        programs = (*harness, COMMON_HARNESS)
        self.design = DescribedDesign(
            TOP, programs, rtl=path.parent, bound=self.bound, ports=header(self.bound), bind=bind_in
        )
        self.parameters = {}

    @property
    def has_reset(self) -> bool:
        """Whether the description names a reset."""
        return self.bound.description.reset is not None

    def write_files(self, folder: Path) -> None:
        """Files that the design reads, and memory files of the model's parameters."""
        listed = {*self.bound.listed.sources, *self.bound.listed.lists}
        for name, content in self.bound.sources.files.items():
            if name not in listed:
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        for name, content in self.bound.memories.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def keep_files(self, folder: Path, x: Integers) -> None:  # noqa: ARG002  # memory files are the model's alone
        """The memory files, in `rom/`."""
        for name, content in self.bound.memories.items():
            path = folder / "rom" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def keep_sources(self, rtl: Path | None, folder: Path) -> None:
        """Write the description and the files that it lists; its folder may hold much else."""
        self._in(rtl).sources.write(folder)
        shutil.copyfile(self._path, folder / self._path.name)

    def _in(self, rtl: Path | None) -> AnyBound:
        """The description bound to its sources in a folder, or to its own."""
        return self.bound if rtl is None else self._bind(rtl)

    def synthesisable(self, rtl: Path | None = None) -> Synthesisable:
        """The design itself, without fxsim's wrapper around it."""
        bound = self._in(rtl)
        said = bound.verilog
        files = {name: bound.sources.files[name] for name in bound.listed.files} | bound.memories
        sources = Sources(bound.sources.folder, dict(sorted(said.files.items())))
        language = Language(said.sources, said.include, said.defines)
        return Synthesisable(bound.description.top, bound.parameters, sources, files, language=language)

    def pinned(self, images: int) -> DescribedSettings:  # noqa: ARG002  # no setting depends on them
        """The description that was used."""
        return DescribedSettings(dut=str(self._path))

    def kept_settings(self) -> Settings | None:
        """The settings that repeat the run in a kept folder: its own copy of the description."""
        return DescribedSettings(dut=f"rtl/{self._path.name}")


def cpp_shape(beats: Beats) -> str:
    """A packing in C++."""
    numbers = (beats.slot, beats.lanes, beats.row_beats, beats.rows, beats.tail)
    return f"{{{', '.join(map(str, numbers))}, {cpp_flag(beats.number.signed)}}}"


def cpp_cycles(latency: int | None) -> str:
    """The number of cycles in C++; that of never where there is none."""
    return "~uint64_t{0}" if latency is None else str(latency)


def cpp_flag(value: bool) -> str:
    """A truth value in C++."""
    return "true" if value else "false"
