"""Sources of values: anything that gives named taps of numbered images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fxsim.compare.four_state import FourState
from fxsim.compare.tally import Values
from fxsim.contract.arithmetic import Integers
from fxsim.engines import Engine, chosen_engine, run
from fxsim.errors import ComparisonError
from fxsim.graph import Model


class Source(Protocol):
    """Gives the values of taps for images that are numbered from 0. `name` is used in messages.

    `values` is asked for consecutive parts of the images, from the first on, and gives [image, ...] for each tap.
    """

    @property
    def name(self) -> str:
        """Name in messages."""

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of all taps that it can give."""

    @property
    def images(self) -> int:
        """Number of images."""

    def values(self, part: slice, taps: tuple[str, ...]) -> Mapping[str, Values | FourState]:
        """The values of some images at some of its taps; FourState where not all of them are known."""


@dataclass(frozen=True)
class ComputedSource:
    """Values that a function computes from images: an engine, an ONNX session, a float network.

    `compute` is given a part of the images, [image, ...], and the taps that are wanted; it may give more.
    """

    name: str
    taps: tuple[str, ...]
    x: Values
    compute: Callable[[Values, tuple[str, ...]], Mapping[str, Values]]
    origin: str | None = None
    """The origin of what a source computes, where two sources of one origin would be one compared with itself."""

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.x)

    def values(self, part: slice, taps: tuple[str, ...]) -> Mapping[str, Values]:
        """The values of some images at some taps, computed now."""
        return self.compute(np.ascontiguousarray(self.x[part]), taps)


@dataclass(frozen=True)
class ArraySource:
    """Values that are there already, [image, ...] by tap, as arrays in memory or mapped from a file.

    ComparisonError where there is no array, or one has another number of images than the rest.
    """

    name: str
    arrays: Mapping[str, Values]

    def __post_init__(self) -> None:
        """Refuse arrays that are not of the same images."""
        if not self.arrays:
            raise ComparisonError(f"{self.name} has no taps, expected at least one")
        for tap, values in self.arrays.items():
            if values.ndim == 0 or len(values) != self.images:
                raise ComparisonError(
                    f"tap '{tap}' of {self.name} has shape {values.shape}, expected {self.images} images "
                    f"as in '{next(iter(self.arrays))}'"
                )

    @property
    def images(self) -> int:
        """Number of images."""
        first = next(iter(self.arrays.values()))
        return len(first) if first.ndim else 0

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of the arrays."""
        return tuple(self.arrays)

    def values(self, part: slice, taps: tuple[str, ...]) -> Mapping[str, Values]:
        """Views of some images at some taps."""
        return {tap: self.arrays[tap][part] for tap in taps}


@dataclass(frozen=True)
class FloatSource:
    """The values of another source as float64, which holds integers of up to 32 bits exactly.

    For comparing integers with a float network that should give whole numbers: equality stays equality.
    """

    source: Source

    @property
    def name(self) -> str:
        """Name of the other source."""
        return self.source.name

    @property
    def taps(self) -> tuple[str, ...]:
        """Taps of the other source."""
        return self.source.taps

    @property
    def images(self) -> int:
        """Number of images."""
        return self.source.images

    def values(self, part: slice, taps: tuple[str, ...]) -> Mapping[str, Values | FourState]:
        """The other source's values, in float64."""
        return {tap: _widened(values) for tap, values in self.source.values(part, taps).items()}


def _widened(values: Values | FourState) -> Values | FourState:
    if isinstance(values, FourState):
        return FourState(values.values.astype(np.float64), values.unknown, values.bits)
    return values.astype(np.float64)


def engine_source(
    model: Model, x: Integers, engine: Engine | str = Engine.AUTO, name: str | None = None
) -> ComputedSource:
    """A model's taps as an engine computes them for images `x`. StimulusError where these do not fit the model."""
    chosen = chosen_engine(engine, model)

    def compute(part: Values, taps: tuple[str, ...]) -> Mapping[str, Values]:
        return run(model, part, taps, chosen)

    images = model.check_stimulus(x)
    return ComputedSource(name or f"engine {engine}", model.graph.taps, images, compute, f"engine {chosen}")
