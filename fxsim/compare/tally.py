"""Counting one tap's differences, chunk after chunk, in flat memory."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.compare.difference import Difference
from fxsim.compare.four_state import FourState
from fxsim.compare.result import TapComparison
from fxsim.errors import ComparisonError
from fxsim.graph import Model

Values = npt.NDArray[Any]
"""Values of a tap: integers of at most 32 bits, or floats; [image, ...]."""


@dataclass(frozen=True)
class TapShape:
    """A tensor that is compared: its name, and axes and shape of one image."""

    tap: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse axes that do not fit the shape."""
        if len(self.axes) != len(self.shape) or len(set(self.axes)) != len(self.axes):
            raise ComparisonError(f"tap '{self.tap}' has axes {self.axes} and shape {self.shape}, expected one for one")

    @property
    def size(self) -> int:
        """Values of one image."""
        return prod(self.shape)


def model_taps(model: Model, taps: str | Iterable[str] = "all") -> tuple[TapShape, ...]:
    """Named taps of a model (or 'all') as they are compared, in the order of its graph. Errors as `select_taps`'s."""
    tensors = model.graph.tensors
    return tuple(TapShape(name, tensors[name].axes, tensors[name].shape) for name in model.select_taps(taps))


class Tally:
    """Counts differences of one tap over chunks of images that come in order.

    `images`: how many are to be compared in all. `examples`: how many differences are kept beside the first.
    """

    def __init__(self, shape: TapShape, images: int, examples: int = 0) -> None:
        self.shape = shape
        self._images = images
        self._wanted = examples
        self._done = 0
        self._compared = 0
        self._differ = 0
        self._distance: int | float = 0
        self._largest: int | float = 0
        self._unknown = 0
        self._first: Difference | None = None
        self._examples: list[Difference] = []

    def add(
        self,
        expected: Values | FourState,
        found: Values | FourState,
        names: tuple[str, str] = ("expected", "found"),
    ) -> None:
        """Compare the next images, [image, ...], of the two sources of these names.

        A found value that is not wholly known differs, whatever is expected. ComparisonError, naming source and tap,
        where shapes or types differ, where a value is no number, where an expected one is unknown, or where there are
        more images than were promised.
        """
        if isinstance(expected, FourState):
            raise ComparisonError(
                f"tap '{self.shape.tap}' of {names[0]} has unknown values (X or Z), expected known ones to compare with"
            )
        states = found if isinstance(found, FourState) else None
        found = found.values if isinstance(found, FourState) else found
        for name, values in zip(names, (expected, found), strict=True):
            self._check(name, values, len(expected))
        if expected.dtype != found.dtype:
            raise ComparisonError(
                f"tap '{self.shape.tap}' is {expected.dtype} in {names[0]} and {found.dtype} in {names[1]}, "
                "expected one type"
            )
        start, self._done = self._done, self._done + len(expected)
        if self._done > self._images:
            raise ComparisonError(f"tap '{self.shape.tap}': {self._done} images came, expected {self._images}")
        unequal = expected != found
        if states is not None:
            unequal |= states.mask
            self._unknown += int(np.count_nonzero(states.mask))
        self._compared += unequal.size
        places = np.argwhere(unequal) if unequal.any() else ()
        if len(places) == 0:
            return
        self._differ += len(places)
        # Only now: no equal chunk pays for wider numbers. Differences of 32-bit numbers fit 64 bits.
        wide = np.dtype(np.float64 if expected.dtype.kind == "f" else np.int64)
        distances = np.abs(expected[unequal].astype(wide) - found[unequal].astype(wide))
        self._distance += distances.sum().item()
        self._largest = max(self._largest, distances.max().item())
        for place in places[: max(1, self._wanted - len(self._examples))]:
            difference = self._difference(start, tuple(map(int, place)), expected, found, states)
            self._first = self._first or difference
            if len(self._examples) < self._wanted:
                self._examples.append(difference)

    def result(self) -> TapComparison:
        """The tap's counts so far, held to all the images that were promised."""
        return TapComparison(
            tap=self.shape.tap,
            values=self._images * self.shape.size,
            compared=self._compared,
            differ=self._differ,
            first=self._first,
            examples=tuple(self._examples),
            # An unknown value is at no distance from a number.
            largest=None if self._unknown else _number(self._largest),
            distance=None if self._unknown else _number(self._distance),
        )

    def _check(self, name: str, values: Values, images: int) -> None:
        tap, expected = self.shape.tap, (images, *self.shape.shape)
        # No other subclass: in a masked array, what is hidden differs from nothing.
        if type(values) not in (np.ndarray, np.memmap):
            raise ComparisonError(f"tap '{tap}' of {name} is a {type(values).__name__}, expected a numpy array")
        if values.shape != expected:
            raise ComparisonError(f"tap '{tap}' of {name} has shape {values.shape}, expected {expected}")
        kind, size = values.dtype.kind, values.dtype.itemsize
        if not (kind in "iu" and size <= 4) and not (kind == "f" and size <= 8):
            raise ComparisonError(
                f"tap '{tap}' of {name} is {values.dtype}, expected integers of at most 32 bits, or floats"
            )
        if kind == "f" and not np.isfinite(values).all():
            raise ComparisonError(f"tap '{tap}' of {name} has a value that is not finite, expected numbers")

    def _difference(
        self, start: int, at: tuple[int, ...], expected: Values, found: Values, states: FourState | None
    ) -> Difference:
        got: int | float | str = _number(found[at].item())
        if states is not None and states.mask[at]:
            got = states.text(at)
        return Difference(
            image=start + at[0],
            tap=self.shape.tap,
            expected=_number(expected[at].item()),
            got=got,
            index=dict(zip(self.shape.axes, at[1:], strict=True)),
        )


def _number(value: int | float) -> int | float:
    """The value itself; a finite float that is whole as an integer."""
    return int(value) if isfinite(value) and value == int(value) else value
