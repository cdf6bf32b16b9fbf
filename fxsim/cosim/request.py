"""A request: what a co-simulation is to run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.devices import DEFAULT
from fxsim.engines import Engine
from fxsim.errors import StimulusError
from fxsim.graph import Model, check_model
from fxsim.simulate import Stall

WATCHDOG_MAX = 10**12
JOBS_MAX = 1000
POWER_ON_SEEDS = (1, 2, 3, 4, 5, 6, 7, 8)
"""Seeds of the bits that registers hold at power-on. A register that nothing resets, of one bit, does harm under about
every other one; of the resets of both accelerators left out in turn, all that can do harm do so under some of these."""

POWER_ON_SEED_MAX = 2**31 - 1
POWER_ON_IMAGES = 2
"""Images that are simulated under every seed but the first: what registers held at power-on shows at once, or never."""

POWER_ON_RESETS = 3
"""Resets in mid-run under every seed but the first, of a device that takes them: what those of power-on, which last
longer, clear by and by."""


@dataclass(frozen=True)
class CosimRequest:
    """A model, int8 images `x` [image, token, value], and how a device is to be simulated on them.

    `device` is a name of `fxsim.devices.DEVICES`, `settings` are its own by name, those left out at their defaults.
    `taps` are compared value by value ('all'; none: an empty tuple); the output and the rules of its stream always are.
    `stall`: see `PATTERNS`. `images`: (start, stop) of those of `x` to use. `wave`: an FST file to write, from image
    `wave_from` on (by default from reset). `rtl`: a folder of Verilog in place of the device's own. `watchdog`: cycles
    without anything moving after which a design counts as stuck, by default the device's. `optimise`: other compiler
    flags than `build_simulator`'s for the simulated design. `power_on_seeds`: of the bits that registers hold at
    power-on. Under the first all images are simulated; under each other one, where that passed, only the first few.
    `jobs`: simulators that the images are split over, each of which begins at power-on; see `fxsim.cosim.parts`.
    """

    model: Model
    x: npt.NDArray[np.generic]
    device: str = DEFAULT
    settings: Mapping[str, object] = field(default_factory=dict)
    taps: str | Iterable[str] = "all"
    stall: str | Stall = "none"
    images: tuple[int, int] | None = None
    engine: Engine | str = Engine.AUTO
    wave: Path | None = None
    wave_from: int | None = None
    rtl: Path | None = None
    watchdog: int | None = None
    optimise: str | None = None
    power_on_seeds: Iterable[int] = POWER_ON_SEEDS
    jobs: int = 1

    def __post_init__(self) -> None:
        """StimulusError where an argument is of another type than is stated; values are looked at when it is run."""
        check_model(self.model)
        check_images(self.images)
        for name, types, words in _TYPES:
            value = getattr(self, name)
            if not isinstance(value, types):
                raise StimulusError(f"{name} is {value!r}, expected {words}")
        for name in ("watchdog", "wave_from"):
            if getattr(self, name) is not None:
                _whole(getattr(self, name), name)
        if not 1 <= _whole(self.jobs, "jobs") <= JOBS_MAX:
            raise StimulusError(f"jobs is {self.jobs}, expected 1 to {JOBS_MAX}")
        object.__setattr__(self, "power_on_seeds", tuple(self.power_on_seeds))
        for seed in self.power_on_seeds:
            _whole(seed, "a power-on seed")


_TYPES: tuple[tuple[str, Any, str], ...] = (
    ("device", str, "an accelerator's name"),
    ("settings", Mapping, "settings by name"),
    ("taps", Iterable, "names of taps or 'all'"),
    ("stall", (str, Stall), "a stall pattern"),
    ("wave", (Path, type(None)), "a Path or None"),
    ("rtl", (Path, type(None)), "a Path or None"),
    ("optimise", (str, type(None)), "compiler flags as text or None"),
    ("power_on_seeds", Iterable, "whole numbers"),
)
"""Argument of a request, the types that it may have, and words for them."""


def _whole(value: object, what: str) -> int:
    """`value` as an int; StimulusError where it is no whole number."""
    try:
        return index(value)  # type: ignore[arg-type]  # anything else raises
    except TypeError:
        raise StimulusError(f"{what} is {value!r}, expected a whole number") from None


def check_images(images: object) -> None:
    """StimulusError unless it is None, or two whole numbers: a range of images."""
    if images is None:
        return
    if not isinstance(images, tuple | list) or len(images) != 2:
        raise StimulusError(f"images is {images!r}, expected (start, stop) or None")
    for image in images:
        _whole(image, "a limit of images")
