"""Layouts of a tensor in the beats of a bus: order of axes, lanes, bits of a lane, frames."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np

from fxsim.compare import Values
from fxsim.contract import Tensor
from fxsim.errors import ComparisonError

IMAGE, NONE = "image", "none"
"""Frames that are no axis: a whole image; none at all, where `last` says nothing."""

FIRST_LANES = ("least", "most")
"""Ends of a word at which the first lane may lie: its least or its most significant bits."""


def bus_order(tap: str, tensor: Tensor, order: Sequence[str] | None) -> tuple[str, ...]:
    """The axes of a tensor as they pass, slowest first; ComparisonError where `order` is not of just these."""
    axes = tensor.axes if order is None else tuple(order)
    if sorted(axes) != sorted(tensor.axes):
        raise ComparisonError(
            f"tap '{tap}': order is ({', '.join(axes)}), expected an order of ({', '.join(tensor.axes)})"
        )
    return axes


def in_order(values: Values, tensor: Tensor, axes: tuple[str, ...]) -> Values:
    """[image, *shape] as [image, values], in the order in which values pass."""
    places = [1 + tensor.axes.index(axis) for axis in axes]
    return values.transpose(0, *places).reshape(len(values), -1)


def index_of(position: int, tensor: Tensor, axes: tuple[str, ...]) -> dict[str, int]:
    """The index by axis, in the tensor's order of axes, of the value that passes as number `position` of an image."""
    shape = [tensor.shape[tensor.axes.index(axis)] for axis in axes]
    found = dict(zip(axes, map(int, np.unravel_index(position, shape)), strict=True))
    return {axis: found[axis] for axis in tensor.axes}


class Packing(TypedDict, total=False):
    """The layout of a tap's values on a bus."""

    lanes: int
    """Values of a beat; 1 by default."""
    order: Sequence[str] | None
    """Axes as they pass, slowest first; by default as the tensor has them."""
    lane_bits: int | None
    """Bits from one lane to the next, where the width of data leaves a choice."""
    first_lane: str
    """Whether the first value lies in the `least` (default) or the `most` significant bits."""
    frame: str
    """The place of last: at the end of each `image` (default), at the end of each index of an axis, or `none`,
    where it is not looked at. Beats begin anew with each frame."""
    pad: bool
    """Whether the last beat of a frame may carry fewer values, with no keep to say so."""


@dataclass(frozen=True)
class Layout:
    """The beats of one image of `tensor`, on a bus whose data has `width` bits.

    `axes`: as `bus_order` gives them; all else as in `Packing`. Bits of a lane beyond the number's extend it; those of
    a word beyond all lanes carry nothing. `partial`: a frame need not fill its last beat.

    ComparisonError names the tap and what does not fit.
    """

    tap: str
    tensor: Tensor
    axes: tuple[str, ...]
    width: int
    lanes: int = 1
    lane_bits: int | None = None
    first_lane: str = "least"
    frame: str = IMAGE
    partial: bool = False
    stride: int = field(init=False)
    """Bits of a lane."""
    unit: int = field(init=False)
    """Values of a frame."""

    def __post_init__(self) -> None:
        """Refuse what does not fit, and derive the rest."""
        for name, value in (("lanes", self.lanes), ("lane_bits", self.lane_bits)):
            if not (value is None and name == "lane_bits") and (type(value) is not int or value < 1):
                raise self._wrong(f"{name} is {value!r}, expected a whole number from 1 on")
        if self.first_lane not in FIRST_LANES:
            raise self._wrong(f"first_lane is {self.first_lane!r}, expected {' or '.join(FIRST_LANES)}")
        object.__setattr__(self, "stride", self._stride())
        object.__setattr__(self, "unit", self._unit())
        if self.unit % self.lanes and not self.partial:
            what = "an image" if self.frame in (IMAGE, NONE) else f"each {self.frame}"
            raise self._wrong(
                f"{self.unit} values of {what} do not fill beats of {self.lanes} lanes; expected lanes that do, a bus "
                "with keep, or pad=True where the rest of the last beat carries nothing"
            )

    def _wrong(self, text: str) -> ComparisonError:
        return ComparisonError(f"tap '{self.tap}': {text}")

    def _stride(self) -> int:
        """Bits of a lane: as given, or the only ones that fill the width."""
        bits, lanes = self.tensor.number.bits, self.lanes
        if self.tensor.number.bipolar:
            raise self._wrong(f"is {self.tensor.number}, expected a tap of signed or unsigned numbers")
        need = f"{lanes} lane{'s' * (lanes > 1)} of {self.tensor.number}"
        if self.lane_bits is not None:
            if self.lane_bits < bits:
                raise self._wrong(f"lane_bits is {self.lane_bits}, expected at least {bits} for {self.tensor.number}")
            if lanes * self.lane_bits > self.width:
                raise self._wrong(f"data has {self.width} bits, expected {lanes * self.lane_bits} for its lanes")
            return self.lane_bits
        if self.width == lanes * bits:
            return bits
        if self.width < lanes * bits:
            raise self._wrong(f"data has {self.width} bits, expected {lanes * bits} for {need}")
        choice = f"lane_bits={bits} where the upper bits of the word carry nothing"
        if self.width % lanes == 0:
            choice += f", or lane_bits={self.width // lanes} where each lane extends its value"
        raise self._wrong(f"data has {self.width} bits, {need} are {lanes * bits}: expected {choice}")

    def _unit(self) -> int:
        if self.frame in (IMAGE, NONE):
            return self.tensor.size
        if self.frame not in self.axes:
            raise self._wrong(f"frame is {self.frame!r}, expected one of: {IMAGE}, {NONE}, {', '.join(self.axes)}")
        inner = self.axes[self.axes.index(self.frame) + 1 :]
        return math.prod(self.tensor.shape[self.tensor.axes.index(axis)] for axis in inner)

    @property
    def frame_beats(self) -> int:
        """Beats of a frame."""
        return -(-self.unit // self.lanes)

    @property
    def beats(self) -> int:
        """Beats of an image."""
        return self.tensor.size // self.unit * self.frame_beats

    def span(self, beat: int) -> tuple[int, int]:
        """The positions, in the order in which values pass, of the first value of a beat and behind its last."""
        frame, within = divmod(beat, self.frame_beats)
        start = frame * self.unit + within * self.lanes
        return start, min(start + self.lanes, (frame + 1) * self.unit)

    def is_last(self, beat: int) -> bool:
        """Whether a beat is the last of its frame."""
        return self.frame != NONE and (beat + 1) % self.frame_beats == 0

    def _shift(self, lane: int) -> int:
        return self.stride * (lane if self.first_lane == "least" else self.lanes - 1 - lane)

    def pack(self, values: Sequence[int]) -> int:
        """The word of a beat that carries these values; what is left of it is 0."""
        mask = (1 << self.stride) - 1
        return sum((value & mask) << self._shift(lane) for lane, value in enumerate(values))

    def unpack(self, word: str, count: int) -> list[int | str]:
        """The first `count` values of a word of bits, most significant first; text where a bit is neither 0 nor 1."""
        values: list[int | str] = []
        for lane in range(count):
            stop = len(word) - self._shift(lane)
            values.append(value_of(word[stop - self.stride : stop], self.tensor.number.signed))
        return values

    def keep(self, count: int, bits: int) -> int:
        """The bits of keep for a beat of `count` values; see `check_keep` for how many there are."""
        each = bits // self.lanes
        return sum(((1 << each) - 1) << self._shift(lane) * each // self.stride for lane in range(count))

    def check_keep(self, bits: int) -> None:
        """ComparisonError unless a keep of so many bits has one a lane, or one a byte of lanes of whole bytes."""
        each = {self.lanes}
        if self.stride % 8 == 0 and self.lanes * self.stride == self.width:
            each.add(self.width // 8)
        if bits not in each:
            raise self._wrong(f"keep has {bits} bits, expected {' or '.join(map(str, sorted(each)))} for its lanes")


def value_of(bits: str, signed: bool) -> int | str:
    """The number that bits stand for, most significant first; text that shows them where one is neither 0 nor 1."""
    if not bits.strip("01"):
        value = int(bits, 2)
        return value - (1 << len(bits)) if signed and bits[0] == "1" else value
    shown = bits.lower()
    return shown[0] if len(set(shown)) == 1 else f"0b{shown}"
