"""What a co-simulation must know of an accelerator: how its streams run, and what simulates it with a model on it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Int8
from fxsim.graph import Model
from fxsim.simulate import messages
from fxsim.simulate.build import Design
from fxsim.simulate.stall import Burst, Random, Side, Stall

_MAGIC = b"FXIM"


class StreamState(msgspec.Struct, frozen=True):
    """Where a stream stood when the simulation stopped; image, token and channel are the next value's.

    `state`: `empty` (it has no value), `held` (a value that is not taken) or `passing`. `tap`: whose value the next one
    is, where a stream carries those of several (a stage of the SIMD accelerator).
    """

    stream: str
    state: str
    image: int
    token: int | None
    channel: int
    tap: str | None = None


@dataclass(frozen=True)
class Layout(ABC):
    """How an accelerator's streams run, and which taps are compared (in graph order)."""

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
    @abstractmethod
    def content_bytes(self) -> int:
        """Bytes of what `contents` gives of an image."""

    @abstractmethod
    def contents(self, x: Int8, values: dict[str, Int8]) -> list[npt.NDArray[np.int8] | npt.NDArray[np.uint8]]:
        """What the harness needs of images `x` with their taps, in the order of its record: [image, ...] each."""

    @property
    def needed(self) -> tuple[str, ...]:
        """The taps that must be computed: those compared, and the scores, which the output is held to."""
        return (*(tap for tap in self.compared if tap != self.model.graph.output), self.model.graph.output)

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
        return self.model.graph.output if stream == self.output else stream


class Target(ABC):
    """An accelerator with a model on it.

    `bound`: cycles an image takes in steady state: the most (stream), or those that no design can be below (simd).
    `watchdog`: cycles without anything moving after which a design counts as stuck.
    """

    design: Design
    parameters: dict[str, int]
    layout: Layout
    bound: int
    watchdog: int

    @abstractmethod
    def arguments(self, images: int, stall: Stall) -> dict[str, str]:
        """The harness's arguments for a run of so many images, but for those that every harness has."""

    @abstractmethod
    def write_files(self, folder: Path) -> None:
        """Write what the simulator reads of the model into the folder it runs in."""

    @abstractmethod
    def within_bound(self, found: messages.Found) -> bool | None:
        """Whether no interval was longer than the bound; None where there is no such bound, or no interval."""

    @abstractmethod
    def stuck(self, found: messages.Found, first_image: int) -> tuple[str, tuple[StreamState, ...]]:
        """Why nothing moves any more, and where every stream stands; `first_image`: the number of the harness's 0."""

    def figures(self, found: messages.Found, images: int) -> msgspec.Struct | None:  # noqa: ARG002  # another has them
        """What only the SIMD accelerator has, of a run of so many images."""
        return None


def stall_argument(side: Side, bound: int) -> str:
    """One side's stalls as a harness reads them: mode, seed, parameter."""
    match side:
        case Random(seed, millionths):
            return f"1,{seed},{millionths}"
        case Burst(seed):
            return f"2,{seed},{2 * bound}"
    return "0,0,0"
