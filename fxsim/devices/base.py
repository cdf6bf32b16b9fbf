"""Devices: what a co-simulation must know of one, its streams with a model on it, and what it has to say of a run.

Nothing outside the folder of a device asks which one it is. `docs/architecture.md` says how to add one.
"""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from fxsim import temporary
from fxsim.contract.arithmetic import Int8
from fxsim.devices.blocks import ProvableBlock
from fxsim.devices.four_state import FourStateBench
from fxsim.devices.needs import Need
from fxsim.devices.provable import Provable
from fxsim.devices.settings import Settings
from fxsim.engines import Engine
from fxsim.errors import ToolError
from fxsim.graph import INPUT, Model
from fxsim.simulate import messages
from fxsim.simulate.build import Design
from fxsim.simulate.sources import Sources
from fxsim.simulate.stall import Burst, Random, Side, Stall

_MAGIC = b"FXIM"

_Part = TypeVar("_Part", bound=msgspec.Struct)


class StreamState(msgspec.Struct, frozen=True):
    """The state of a stream when the simulation stopped; image, token and channel are the next value's.

    `state`: `empty` (it has no value), `held` (a value that is not taken) or `passing`. `tap`: whose value the next one
    is, where a stream carries those of several.
    """

    stream: str
    state: str
    image: int
    token: int | None
    channel: int
    tap: str | None = None


@dataclass(frozen=True)
class Layout(ABC):
    """The layout of an accelerator's streams, and the taps that are compared (in graph order)."""

    model: Model
    compared: tuple[str, ...]

    @property
    @abstractmethod
    def output(self) -> str:
        """Name of the accelerator's output in results."""

    @abstractmethod
    def place(self, stream: str, index: int) -> tuple[int | None, int]:
        """Token (None without tokens) and channel of a value from its index in a tap's stream or in the output's."""

    @property
    def output_tap(self) -> str:
        """The tap that the output carries: the model's output, where a device computes all of it."""
        return self.model.graph.output

    @property
    def stimulus(self) -> tuple[str, ...]:
        """The tensors that the input carries: the model's input, where a device computes all of it."""
        return (INPUT,)

    @property
    def shown(self) -> tuple[str, ...]:
        """The taps whose streams the harness reports, in its order: all of the model's, where nothing else is said."""
        return self.model.graph.taps

    def index(self, stream: str, value: int) -> dict[str, int]:
        """The index by axis of a value from its number in an image's part of a tap's stream, or of the output's."""
        token, channel = self.place(stream, value)
        return {"channel": channel} if token is None else {"token": token, "channel": channel}

    @property
    @abstractmethod
    def content_bytes(self) -> int:
        """Bytes of what `contents` gives of an image."""

    @abstractmethod
    def contents(self, x: Int8, values: dict[str, Int8]) -> list[npt.NDArray[np.int8] | npt.NDArray[np.uint8]]:
        """Arrays the harness needs of images `x` with their taps, in the order of its record: [image, ...] each."""

    @property
    def needed(self) -> tuple[str, ...]:
        """The taps that must be computed: those compared, the output's, and those that the input carries."""
        wanted = {*self.compared, self.output_tap, *self.stimulus}
        return tuple(tap for tap in self.model.graph.taps if tap in wanted)

    @property
    def images(self) -> int:
        """Images of a record: one."""
        return 1

    @property
    def record_bytes(self) -> int:
        """Bytes of one image's record."""
        return len(_MAGIC) + 4 + self.content_bytes

    def records(self, first: int, x: Int8, values: dict[str, Int8]) -> npt.NDArray[np.uint8]:
        """One record a row, uint8 [image, byte], for images `x` numbered from `first` with their taps.

        Magic, number (u32, little endian), contents.
        """
        count = len(x)
        magic = np.broadcast_to(np.frombuffer(_MAGIC, np.uint8), (count, len(_MAGIC)))
        numbers = np.arange(first, first + count, dtype="<u4").view(np.uint8).reshape(count, 4)
        parts = (np.ascontiguousarray(part).view(np.uint8) for part in self.contents(x, values))
        return np.concatenate([magic, numbers, *(part.reshape(count, -1) for part in parts)], axis=1)

    def _tap(self, stream: str) -> str:
        return self.output_tap if stream == self.output else stream


class Table(NamedTuple):
    """A table for people: a title, names of columns, rows of numbers and words."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int | str, ...], ...]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a co-simulation that only one device has; their JSON stands in the result under the device's name."""

    def tables(self) -> tuple[Table, ...]:
        """Tables for people."""
        return ()

    def lines(self) -> tuple[str, ...]:
        """Lines for people."""
        return ()


@dataclass(frozen=True)
class CycleLimit:
    """Cycles that an image takes in steady state, as they follow from the device and the model.

    `bound`: the most, which a right design keeps where nothing holds it back. `least`: the fewest, which no design can
    be below. A device states one of the two.
    """

    bound: int | None = None
    least: int | None = None

    def __post_init__(self) -> None:
        """Refuse both and none."""
        assert (self.bound is None) != (self.least is None)

    @property
    def cycles(self) -> int:
        """The cycles of the one limit that is stated."""
        return self.bound if self.bound is not None else self.least or 0


class Watched(NamedTuple):
    """A stream's signals by their full names in a waveform, vectors with their range; `signed`: one signed value."""

    clock: str
    data: str
    signed: bool
    valid: str | None = None
    ready: str | None = None


class Language(NamedTuple):
    """The order in which the files of a design that is not fxsim's are read, include folders, and macros."""

    order: tuple[str, ...]
    include: tuple[str, ...]
    defines: Mapping[str, int | str]


@dataclass(frozen=True)
class Synthesisable:
    """A design as a tool for synthesis reads it: its top with parameters, Verilog, and the files it reads ($readmemh).

    `open_ports`: patterns of ports that are for verification, and that a product leaves open. `language`: None where
    the Verilog is fxsim's own. `of_files`: parameters that say of what size or form the files' contents are.
    """

    top: str
    parameters: Mapping[str, int]
    sources: Sources
    files: Mapping[str, bytes]
    open_ports: tuple[str, ...] = ()
    language: Language | None = None
    of_files: frozenset[str] = frozenset()


class PublishedArea(msgspec.Struct, frozen=True, kw_only=True):
    """A published area of designs like a device's: parts of an FPGA, or by how many percent they change.

    `source` says where, `of` what design, on what. `change`: in percent of the same of `against`, by what is counted.
    """

    source: str
    of: str
    lut: int | None = None
    dsp: int | None = None
    bram: float | None = None
    against: str | None = None
    change: Mapping[str, float] = msgspec.field(default_factory=dict[str, float])


class Fitted(ABC):
    """A device with a model on it.

    `design`: the Verilog top and the harness that drives it, built with `parameters`. `watchdog`: cycles without
    anything moving after which a design counts as stuck.
    """

    design: Design
    parameters: dict[str, int]
    limit: CycleLimit
    watchdog: int

    @abstractmethod
    def layout(self, compared: tuple[str, ...]) -> Layout:
        """The layout of its streams, with these taps (in graph order) compared."""

    @abstractmethod
    def arguments(self, layout: Layout, images: int, stall: Stall) -> dict[str, str]:
        """The harness's arguments for a run of so many images, but for those that every harness has."""

    @abstractmethod
    def write_files(self, folder: Path) -> None:
        """Write what the simulator reads of the model into the folder it runs in."""

    @abstractmethod
    def keep_files(self, folder: Path, x: Int8) -> None:
        """Write what an engineer wants beside a kept failure of images `x` into a new folder's place."""

    def keep_sources(self, rtl: Path | None, folder: Path) -> None:
        """Write the Verilog, or that of the folder `rtl` in its place, into a folder that is not there yet."""
        shutil.copytree(rtl or self.design.sources, folder)

    @abstractmethod
    def stuck(self, layout: Layout, found: messages.Found, first_image: int) -> tuple[str, tuple[StreamState, ...]]:
        """The reason why nothing moves, and every stream's state; `first_image`: the number of the harness's 0."""

    def four_state(self, x: Int8, engine: Engine | str, stall: int, folder: Path) -> FourStateBench:
        """The bench that simulates it on images in four states, its files written into a folder; both sides hold back.

        `stall`: in so many percent of all cycles. Only a device that says `four_state` has it. Its harness does as many
        resets in mid-run as the macro FOUR_STATE_RESETS says, of a cycle each, and sends all again after each.
        """
        raise NotImplementedError(f"{type(self).__name__} has no harness for four states")

    def pinned(self, images: int) -> Settings:  # noqa: ARG002  # the images of a run decide where settings are left open
        """The settings with none left open, of a run of so many images: those that repeat it on fewer."""
        return Settings()

    @property
    def probed(self) -> tuple[str, ...] | None:
        """The taps that the device shows, in graph order; None where it shows all."""
        return None

    @property
    def part(self) -> tuple[str, ...] | None:
        """The taps of the model that the device computes, in graph order; None where it computes all."""
        return None

    def outside(self, taps: Iterable[str]) -> tuple[str, ...]:
        """The taps, of some of the model, that the device does not compute."""
        return () if self.part is None else tuple(tap for tap in taps if tap not in self.part)

    def synthesisable(self, rtl: Path | None = None) -> Synthesisable:
        """The design as a tool for synthesis reads it, or with the Verilog of the folder `rtl` in its place."""
        with temporary.folder("files") as work:
            self.write_files(work)
            files = {
                path.relative_to(work).as_posix(): path.read_bytes()
                for path in sorted(work.rglob("*"))
                if path.is_file()
            }
        return Synthesisable(self.design.top, self.parameters, self.design.read(rtl), files, open_ports=("mon_*",))

    def watched(self, channel: int) -> dict[str, Watched]:  # noqa: ARG002  # most have one value a beat, or show all
        """The signals of taps and output in a waveform, by the stream's name; none where there are no such signals.

        `channel`: the one that is looked at, where a signal has the values of one of several channels.
        """
        return {}

    @property
    def has_reset(self) -> bool:
        """Whether it can be reset, where the device takes resets at all."""
        return True

    @property
    def data_ports(self) -> frozenset[str] | None:
        """The ports that carry values of images, where the harness can drive a design in lanes; None where not."""
        return None

    @property
    def without_lanes(self) -> str:
        """The reason why there are no `data_ports`, where others of the device have some: it is set or described so."""
        return "as it is set"

    def in_lanes(self, rtl: Path | None = None) -> Synthesisable:
        """The design as it is simulated in lanes: with all that the harness drives and looks at."""
        return self.synthesisable(rtl)

    @property
    def agreeing(self) -> tuple[str, ...]:
        """Registers and memories that data ports lead to though what they hold is no image's, for a design in lanes.

        Patterns of hierarchical names, in which `*` stands for any text. That images do not come there is checked.
        """
        return ()

    @property
    def has_waits(self) -> bool:
        """Whether there is AXI, by which the design's valid must not wait for the ready that it is given."""
        return False

    def refuse_stall(self, stall: Stall) -> None:  # noqa: B027  # most take all
        """StimulusError where this device with this model takes less of a pattern than the device says of itself."""

    def kept_settings(self) -> Settings | None:
        """The settings that repeat a run in its kept folder; None where they are those of the run."""
        return None

    def moments(self, layout: Layout) -> tuple[str | None, ...]:  # noqa: ARG002  # most count none
        """The name of each moment of a run that the harness counts, in its order; None for one that cannot be."""
        return ()

    def disturbances(self, found: messages.Found) -> dict[str, int]:
        """Disturbances that a stall pattern can ask for, by kind: how often each was carried out."""
        return {"reset": found.resets}

    def figures(self, found: messages.Found, images: int) -> Figures | None:  # noqa: ARG002  # most have none
        """The figures that only this device has, of a run of so many images; None where it has none."""
        return None

    @property
    def part_images(self) -> int | None:
        """The images that a run may be split at multiples of; None where all of a run are one job."""
        return 1

    def join_figures(self, figures: Sequence[Any]) -> Figures | None:
        """The figures of a run that was split, from those of its parts, in order; ToolError where they contradict."""
        first: Figures | None = figures[0]
        if any(other != first for other in figures[1:]):
            raise ToolError("parts of one run have other figures, expected the same of all")
        return first

    def hold_together(self, figures: Mapping[int, Any]) -> None:  # noqa: B027  # most figures may differ
        """ToolError where figures of runs that passed, by power-on seed, contradict each other."""


class OwnModel(NamedTuple):
    """A model of which the device itself computes a part of another alone.

    `tensor`: the other's, whose values are the images; `names`: the other's taps that are held to it, by their own.
    """

    model: Model
    tensor: str
    names: Mapping[str, str]


class NodeDesign(NamedTuple):
    """A module that computes a part of the model alone: `part`, in graph order, the last of which is `tap`.

    `description`: the file that binds it, `rtl`: a folder in place of that file's own. `own`, in place of a
    description: the model that the device itself runs.
    """

    tap: str
    part: tuple[str, ...]
    description: Path | None
    rtl: Path | None = None
    own: OwnModel | None = None


@dataclass(frozen=True)
class Device:
    """Something that can be simulated with a model on it, and compared.

    `name` chooses it, `title` names it in sentences ("the TITLE accelerator"), `about` says in a few words what it is.
    `fit` puts a model on it: ModelError where it cannot compute that.
    `figures`: the type of its own figures, if any. `stalls`: kinds of stall patterns that it takes. `universal`: one
    build serves all models. `handshakes`: its taps are streams in which a value may have to wait. `four_state`:
    it can be simulated in four states, too. `nodes`: from a model, settings, Verilog in place of its own and a folder
    to write to, its modules of single nodes, or of few, in graph order; None where it has no such modules.
    `described`: from the same, a description of all of it, from which kits for other simulators are made; None where
    it has none. `instead_of_nodes`: what serves where it has no modules, in words. `proofs`: from a model, settings and
    the name of a module, or None for all of it, the designs that are to be proved; None where none can be. `blocks`:
    from a model and settings, by module, the blocks that are proved against a rule of their own.
    `unproved`: its modules that nothing proves alone, each with the reason. `needs`: from a model, how wide signals of
    its Verilog must be; None where that is not stated. `instance_of`: the path of the instance that computes a tap;
    None where each part computes several. `lanes`: its harness drives a design that carries several images side by
    side, too (`Fitted.data_ports`). `composes`: its Verilog is another for each model. `published`: from a model, what
    is published of the area of such designs with
    a network of its dimensions.
    """

    name: str
    title: str
    about: str
    fit: Callable[[Model, Any], Fitted]
    settings: type[Settings] = Settings
    figures: type[Figures] | None = None
    stalls: frozenset[str] = frozenset({"random", "burst", "gap", "reset"})
    universal: bool = False
    handshakes: bool = True
    four_state: bool = False
    nodes: Callable[[Model, Any, Path | None, Path], tuple[NodeDesign, ...]] | None = None
    described: Callable[[Model, Any, Path | None, Path], Path] | None = None
    instead_of_nodes: str = ""
    proofs: Callable[[Model, Any, str | None], tuple[Provable, ...]] | None = None
    blocks: Callable[[Model, Any], dict[str, tuple[ProvableBlock, ...]]] | None = None
    unproved: Mapping[str, str] = field(default_factory=dict)
    needs: Callable[[Model], Iterable[Need]] | None = None
    instance_of: Callable[[str], str] | None = None
    lanes: bool = False
    composes: bool = False
    published: Callable[[Model], tuple[PublishedArea, ...]] = lambda _: ()


def decode_part(found: messages.Found, part: type[_Part]) -> _Part:
    """The device's own part of the harness's result; ToolError where it is not one."""
    try:
        return msgspec.json.decode(found.device, type=part)
    except msgspec.MsgspecError as error:
        raise ToolError(f"the simulator printed what is no message: {error}") from error


def stall_argument(side: Side, bound: int) -> str:
    """One side's stalls as a harness reads them: mode, seed, parameter."""
    match side:
        case Random(seed, millionths):
            return f"1,{seed},{millionths}"
        case Burst(seed):
            return f"2,{seed},{2 * bound}"
    return "0,0,0"
