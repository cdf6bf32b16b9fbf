"""Traces: named arrays of whole numbers with where they came from, as a source that can be compared."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.compare import FourState, Values
from fxsim.contract import Tensor
from fxsim.errors import ComparisonError, FileError
from fxsim.traces.name_map import IMAGE, TapMap
from fxsim.traces.words import Words, pack_numbers, split_lanes

Raw = Words | npt.NDArray[Any]
"""A signal as it was read: words, or an array of numbers."""

_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Trace:
    """Values of taps, [image, ...] each, from a file; `unused` names what is in it and was not read.

    A source of values as `fxsim.compare` takes them.
    """

    name: str
    arrays: Mapping[str, Values | FourState]
    unused: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """Number of images, the same for all taps."""
        return len(next(iter(self.arrays.values()), ()))

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of the taps."""
        return tuple(self.arrays)

    def dtype(self, tap: str) -> np.dtype[Any]:
        """The numpy type of a tap's values."""
        found = self.arrays[tap]
        return found.values.dtype if isinstance(found, FourState) else found.dtype

    def values(self, part: slice, taps: tuple[str, ...]) -> Mapping[str, Values | FourState]:
        """Some images at some taps, plain arrays where all their values are known."""
        return {tap: _part(self.arrays[tap], part) for tap in taps}


def _part(values: Values | FourState, part: slice) -> Values | FourState:
    if isinstance(values, FourState):
        unknown = values.unknown[part]
        return FourState(values.values[part], unknown, values.bits) if unknown.any() else values.values[part]
    return values[part]


def arrange(raw: Raw, tap: TapMap, tensor: Tensor, images: int, origin: str) -> Values | FourState:
    """A tap's values [image, ...] from its signal; an error where there are too few or many, or they do not fit."""
    number = tap.number(tensor)
    if isinstance(raw, np.ndarray):
        check_numbers(raw, origin)
        stated = tap.width is not None or tap.signed is not None
        # One dimension says nothing of a shape: values follow each other.
        shaped = not tap.flat and raw.ndim != 1
        if shaped and not stated:
            return _shaped(raw, tensor, images, origin)
        if raw.dtype.kind == "f" or not (stated or (tap.lanes or 1) > 1):
            flat: Values | FourState = _samples(raw.reshape(-1), tap)
            return _reshape(flat, tap, tensor, images, origin, 1)
        if shaped:
            _shaped(raw, tensor, images, origin)
        raw = pack_numbers(origin, raw, number.bits * (tap.lanes or 1))
    lanes = tap.lanes or max(1, raw.bits // number.bits)
    if raw.bits != lanes * number.bits:
        raise FileError(
            f"{origin}: words have {raw.bits} bits, expected {lanes} lane{'s' * (lanes > 1)} of {number.bits} bits; "
            "lanes and width in a map say otherwise"
        )
    words = raw.part(slice(tap.first, None if tap.count is None else tap.first + tap.count))
    wanted = images * tensor.size
    if len(words) * lanes == wanted:
        flat = split_lanes(words, lanes, number, tap.lane_order == "high-first")
    else:
        flat = np.broadcast_to(np.int8(0), len(words) * lanes)  # only its length is looked at
    return _reshape(flat, tap, tensor, images, origin, lanes)


def check_numbers(raw: npt.NDArray[Any], origin: str) -> None:
    """FileError unless all values are whole numbers of at most 32 bits, or real ones that are whole."""
    if raw.dtype.kind not in "biuf":
        raise FileError(f"{origin}: values are {raw.dtype}, expected whole numbers")
    if raw.dtype.kind in "biu" and raw.dtype.itemsize <= 4:
        return
    flat = raw.reshape(-1)
    for start in range(0, flat.size, _AT_ONCE):
        part = flat[start : start + _AT_ONCE]
        # A comparison with what is no number is false.
        good = (part >= -(2.0**31)) & (part < 2.0**32) & (part == np.floor(part))
        if not good.all():
            at = start + int(np.flatnonzero(~good)[0])
            place = ", ".join(str(int(i)) for i in np.unravel_index(at, raw.shape))
            raise FileError(f"{origin}: value [{place}] is {flat[at]}, expected a whole number of at most 32 bits")


def _shaped(raw: npt.NDArray[Any], tensor: Tensor, images: int, origin: str) -> npt.NDArray[Any]:
    if raw.shape != (images, *tensor.shape):
        sizes = ", ".join(map(str, (images, *tensor.shape)))
        axes = ", ".join((IMAGE, *tensor.axes))
        if raw.shape[1:] == tensor.shape and raw.ndim:
            more = "more" if raw.shape[0] > images else "fewer"
            raise ComparisonError(f"{origin}: has {raw.shape[0]:,} images, {more} than the {images:,} of the input")
        raise FileError(f"{origin}: has shape {raw.shape}, expected ({sizes}), [{axes}]; a map may say another order")
    if raw.dtype.kind == "b":
        return raw.astype(np.uint8)
    # 64 bits are more than is compared; what is in them was looked at.
    return raw if raw.dtype.itemsize <= 4 or raw.dtype.kind == "f" else raw.astype(np.float64)


def _samples(flat: npt.NDArray[Any], tap: TapMap) -> npt.NDArray[Any]:
    part = flat[tap.first : None if tap.count is None else tap.first + tap.count]
    part = part.astype(np.uint8) if part.dtype.kind == "b" else part
    return part if part.dtype.itemsize <= 4 or part.dtype.kind == "f" else part.astype(np.float64)


def _reshape(
    flat: Values | FourState, tap: TapMap, tensor: Tensor, images: int, origin: str, lanes: int
) -> Values | FourState:
    """Values in their order in the trace, as [image, ...] of the tensor."""
    wanted = images * tensor.size
    if len(flat) != wanted:
        unit = f"{len(flat):,} values" + (f" in {len(flat) // lanes:,} samples" if lanes > 1 else "")
        rest = f" (from sample {tap.first:,} on)" if tap.first else ""
        where = "cut off in" if len(flat) < wanted else "goes on to"
        raise ComparisonError(
            f"{origin}: has {unit}{rest}, expected {wanted:,} ({images:,} images of {tensor.size:,}): "
            f"{where} image {len(flat) // tensor.size:,}"
        )
    sizes = {IMAGE: images, **dict(zip(tensor.axes, tensor.shape, strict=True))}
    order = tap.stated_axes or tensor.axes
    stored = order if IMAGE in order else (IMAGE, *order)
    shape = tuple(sizes[axis] for axis in stored)
    backwards = tuple(stored.index(axis.removeprefix("-")) for axis in tap.order or () if axis.startswith("-"))
    turn = tuple(stored.index(axis) for axis in (IMAGE, *tensor.axes))
    assert math.prod(shape) == wanted

    def place(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.ascontiguousarray(np.flip(values.reshape(shape), backwards).transpose(turn))

    if isinstance(flat, FourState):
        return FourState(place(flat.values), place(flat.unknown), flat.bits)
    return place(flat)
