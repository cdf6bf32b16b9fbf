"""Values of a QONNX graph while it is read: constants as integers times exact scales, and streams of integers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract import Padding, Tensor
from fxsim.formats.qonnx.exact import HALF_MODES, Affine, Clamp, Step, after, rounded

Array = npt.NDArray[Any]

EXACT_MAX = 1 << 16
"""Most numbers of a constant that are computed with one by one."""

STEPS_MAX = 64
"""Most functions one after the other between two quantisers."""

_BITS_MAX = 1 << 14
"""Most bits of a number that is computed: keeps a chain of products bounded."""
_NEAR = 1e-9
_ONE = (Fraction(1),)


class NotTakenError(Exception):
    """The reason why a node is not taken, and what would be needed."""


@dataclass(frozen=True)
class Constant:
    """An array of exact numbers, `array * table[place]`: `array` as it is stored, `place` the index of each scale."""

    array: Array
    place: Array
    table: tuple[Fraction, ...] = _ONE

    @classmethod
    def plain(cls, array: Array) -> "Constant":
        """The numbers of an array."""
        if array.dtype.kind not in "biuf":
            raise NotTakenError("a constant is no number")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise NotTakenError("a constant is not finite")
        return cls(array, np.broadcast_to(np.int32(0), array.shape))

    @classmethod
    def of(cls, values: Sequence[Fraction], shape: tuple[int, ...]) -> "Constant":
        """Exact numbers in an array of this shape."""
        _bounded(values)
        ones = np.broadcast_to(np.int8(1), shape)
        return cls(ones, np.arange(len(values), dtype=np.int32).reshape(shape), tuple(values))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.array.shape

    def moved(self, move: Callable[[Array], Array]) -> "Constant":
        """The constant in another order or shape: `move` is done to both of its arrays."""
        return Constant(move(self.array), move(self.place), self.table)

    def fractions(self) -> list[Fraction]:
        """Every number, in the order of the array; NotTakenError where there are too many."""
        if self.array.size > EXACT_MAX:
            raise NotTakenError(f"a constant has {self.array.size:,} numbers, expected at most {EXACT_MAX:,} here")
        places = self.place.ravel().tolist()
        return [Fraction(v) * self.table[p] for v, p in zip(self.array.ravel().tolist(), places, strict=True)]

    def one(self, what: str) -> Fraction:
        """The number of a constant that has one."""
        if self.array.size != 1:
            raise NotTakenError(f"{what} has the shape {self.shape}, expected one number")
        return self.fractions()[0]

    def integers(self, what: str) -> list[int]:
        """The integers of a small constant."""
        values = self.fractions()
        if any(value.denominator != 1 for value in values):
            raise NotTakenError(f"{what} is no whole number")
        return [int(value) for value in values]


@dataclass(frozen=True)
class Flow:
    """A tensor of the model and what is done to its integers: `steps`, by channel, up to the value in the float graph.

    `tap`: the tensor's name; None where the model's input is not yet quantised, so that `tensor` has its shape alone.
    `low`, `high`: least and greatest integer. `index`: for each value in the float graph's shape (one image) the place
    in the tensor, flat. `padding`: zeros of the float graph around the image that the next convolution reads.
    `parts`: two streams of different scales whose sum it is, which a QuantizeLinear must follow, with at most a ReLU
    between (`rectified`). `ended`: what the float graph does afterwards that changes no order (argmax, softmax);
    nothing may follow.
    """

    tap: str | None
    tensor: Tensor
    low: int
    high: int
    index: Array
    steps: tuple[Step, ...] = ()
    padding: Padding = (0, 0, 0, 0)
    ended: str = ""
    parts: "tuple[Flow, Flow] | None" = None
    rectified: bool = False

    @property
    def channels(self) -> int:
        """Channels of the tensor."""
        return self.tensor.shape[-1]

    def moved(self, move: Callable[[Array], Array]) -> "Flow":
        """The same values in another shape of the float graph."""
        self.plain()
        return replace(self, index=move(self.index))

    def plain(self) -> None:
        """NotTakenError where padding or an end was seen."""
        if self.padding != (0, 0, 0, 0):
            raise NotTakenError("it follows a Pad, which only a Conv may")
        if self.parts is not None:
            raise NotTakenError(
                "it follows a sum of two scales that have no common measure: they need one scale, or QuantizeLinear"
            )
        if self.ended:
            raise NotTakenError(f"it follows {self.ended}, which only ends a model")

    def then(self, step: Affine) -> "Flow":
        """The stream with a further affine step."""
        self.plain()
        steps = after(self.steps, step)
        _bounded((*steps[-1].scale, *steps[-1].offset))  # type: ignore[union-attr]  # the last is affine
        if len(steps) > STEPS_MAX:
            raise NotTakenError(f"it is the last of more than {STEPS_MAX} functions without a quantiser")
        return replace(self, steps=steps)

    def clamped(self, step: Clamp) -> "Flow":
        """The stream with a further clamp."""
        self.plain()
        if len(self.steps) >= STEPS_MAX:
            raise NotTakenError(f"it is the last of more than {STEPS_MAX} functions without a quantiser")
        return replace(self, steps=(*self.steps, step))

    def by_channel(self, constant: Constant, what: str) -> tuple[Fraction, ...]:
        """A constant that is broadcast to the values, as one number a channel, or one for all.

        NotTakenError where it differs within a channel, or makes the shape another.
        """
        if constant.array.size == 1 and len(constant.shape) <= self.index.ndim:
            return tuple(constant.fractions())
        try:
            array = np.broadcast_to(constant.array, self.index.shape)
            place = np.broadcast_to(constant.place, self.index.shape)
        except ValueError:
            raise NotTakenError(f"{what} of shape {constant.shape} does not fit values of {self.index.shape}") from None
        channel = (self.index % self.channels).ravel()
        _, first = np.unique(channel, return_index=True)
        values, places = array.ravel(), place.ravel()
        if (values != values[first][channel]).any() or (places != places[first][channel]).any():
            raise NotTakenError(f"{what} differs within a channel, expected one number a channel")
        return tuple(Constant(values[first], places[first], constant.table).fractions())

    def affine(self, what: str) -> Affine:
        """The steps as one affine function; NotTakenError where a clamp is among them."""
        if not self.steps:
            return Affine(_ONE, (Fraction(0),))
        if len(self.steps) > 1 or not isinstance(self.steps[0], Affine):
            raise NotTakenError(f"{what} reads what ReLU or Clip gives without a quantiser behind it")
        return self.steps[0]

    def image(self) -> tuple[int, int, int]:
        """Rows, columns and channels; NotTakenError where values are not its [1, channel, row, column]."""
        rows, columns, channels = self.tensor.shape
        expected = np.arange(self.tensor.size).reshape(rows, columns, channels).transpose(2, 0, 1)[None]
        if self.index.shape != expected.shape or (self.index != expected).any():
            raise NotTakenError(f"values of shape {self.index.shape} are not in the order of an image's channels")
        return rows, columns, channels


Value = Constant | Flow


def quantised(constant: Constant, scale: Constant, zero: Constant, low: int, high: int, mode: str) -> Constant:
    """A constant after Quant: whole numbers times the scale, exactly; NotTakenError where a zero point is none."""
    table, places = _table(scale, "scale")
    if any(value <= 0 for value in table):
        raise NotTakenError("a scale is not above 0")
    zero_table, zero_places = _table(zero, "zero point")
    try:
        places = np.broadcast_to(places, constant.shape)
        zero_places = np.broadcast_to(zero_places, constant.shape)
    except ValueError:
        raise NotTakenError(
            f"a scale of shape {scale.shape} and a zero point of {zero.shape} do not fit a constant of {constant.shape}"
        ) from None
    if any(value.denominator != 1 for value in zero_table):
        raise NotTakenError("a zero point is no whole number")
    by_scale = np.array([float(value) for value in table])[places]
    by_zero = np.array([float(value) for value in zero_table])[zero_places]
    own = np.array([float(value) for value in constant.table])[constant.place]
    near = constant.array.astype(np.float64) * own / by_scale + by_zero
    doubled = near - 0.5 if mode in HALF_MODES else near
    codes = np.zeros(near.shape, np.int64)
    # A double is good to 1e-15 or so: only what lies near a boundary is divided exactly.
    close = np.abs(doubled - np.round(doubled)) <= _NEAR * np.maximum(1, np.abs(near))
    inside = np.clip(near, low - 1, high + 1)
    codes[~close] = _round_far(inside[~close], mode)
    for at in np.argwhere(close & (near >= low - 1) & (near <= high + 1)):
        i = tuple(at)
        value = Fraction(constant.array[i].item()) * constant.table[constant.place[i]]
        codes[i] = rounded(value / table[places[i]] + zero_table[zero_places[i]], mode)
    codes = np.where(near < low - 1, low, np.where(near > high + 1, high, np.clip(codes, low, high)))
    integers = codes - np.array([int(value) for value in zero_table])[zero_places]
    return Constant(integers, places, table)


def _bounded(numbers: Sequence[Fraction]) -> None:
    """NotTakenError where a number has become too long."""
    if any(max(n.numerator.bit_length(), n.denominator.bit_length()) > _BITS_MAX for n in numbers):
        raise NotTakenError(f"a number that it computes has more than {_BITS_MAX:,} bits")


def _table(constant: Constant, what: str) -> tuple[tuple[Fraction, ...], Array]:
    """The numbers of a small constant, and the place of each in them."""
    if constant.array.size > EXACT_MAX:
        raise NotTakenError(f"a {what} has {constant.array.size:,} numbers, expected at most {EXACT_MAX:,}")
    return tuple(constant.fractions()), np.arange(constant.array.size).reshape(constant.shape)


def _round_far(values: Array, mode: str) -> Array:
    """Values that lie near no boundary, rounded by a mode."""
    if mode in HALF_MODES:
        return np.floor(values + 0.5).astype(np.int64)
    if mode in ("UP", "DOWN"):
        away = (values > 0) == (mode == "UP")
        return np.where(away, np.ceil(values), np.floor(values)).astype(np.int64)
    return (np.ceil(values) if mode == "CEIL" else np.floor(values)).astype(np.int64)
