"""What the driver must know of an accelerator to simulate it."""

from abc import ABC, abstractmethod
from pathlib import Path

from fxsim.cosim import messages
from fxsim.cosim.result import SimdFigures, StreamState
from fxsim.cosim.stall import Burst, Random, Side, Stall
from fxsim.cosim.streams import Layout
from fxsim.rtl.build import Design


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

    def figures(self, found: messages.Found, images: int) -> SimdFigures | None:  # noqa: ARG002  # another has them
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
