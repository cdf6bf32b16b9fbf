"""The parts that a description is made of: what every part is, and how a tensor's values lie in words and beats."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

LANES_MAX = 4096
"""Most values of a beat."""
LATENCY_MAX = 1_000_000
"""Longest fixed latency or interval, in cycles."""
CHOOSE = "CHOOSE"
"""The word of a first description where a person must choose: no port, tensor or number has this name."""
_SHORT = Meta(min_length=1, max_length=1000)

Text = Annotated[str, _SHORT]
Cycles = Annotated[int, Meta(ge=0, le=LATENCY_MAX)]
Lanes = Annotated[int, Meta(ge=1, le=LANES_MAX)]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a description; keys that it does not know are refused."""


class Packing(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The way from a tensor to beats, which streams and taps share.

    `lanes`: values a beat. `number`: the format of a lane's bits, by default the tensor's. `order`: the tensor's axes,
    slowest first, by default the tensor's own order; `-axis` runs from the last index to the first. `lane_order`:
    whether the first value of a beat is in the least (`low`) or most significant (`high`) lane. `pack`: values follow
    one another through the whole image, or each run of the fastest axis begins with a new beat (`row`).
    """

    lanes: Lanes = 1
    number: Text | None = None
    order: tuple[Text, ...] | None = None
    lane_order: Literal["low", "high"] = "low"
    pack: Literal["image", "row"] = "image"
