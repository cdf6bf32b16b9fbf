"""The parts that a description is made of: what every part is, and how a tensor's values lie in words and beats."""

import re
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
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LINES = {"data", "valid", "ready", "command"}
"""Keys of expressions and words of a command, which may go over several lines, with tabs."""

Text = Annotated[str, _SHORT]
Cycles = Annotated[int, Meta(ge=0, le=LATENCY_MAX)]
ByteOrder = Literal["little", "big"]
Lanes = Annotated[int, Meta(ge=1, le=LANES_MAX)]


def check_texts(value: object, key: str = "") -> None:
    """ValueError where a text of a description, at whatever depth of `value`, has a control character.

    Not by a pattern of the texts' type: msgspec 0.22 crashes where a list of some length may stand in place of one.
    """
    if isinstance(value, dict):
        for name, item in value.items():
            try:
                check_texts(item, name)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
    elif isinstance(value, list | tuple):
        for item in value:
            check_texts(item, key)
    elif isinstance(value, str):
        text = value.translate({9: " ", 10: " "}) if key in _LINES else value
        if _CONTROL.search(text):
            raise ValueError(f"'{value}' has a control character, expected none")


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a description; keys that it does not know are refused."""


class Packing(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The way from a tensor to beats, which streams and taps share.

    `lanes`: values a beat. `number`: the format of a lane's bits, by default the tensor's. `order`: the tensor's axes,
    slowest first, by default the tensor's own order; `-axis` runs from the last index to the first. `lane_order`:
    whether the first value of a beat is in the least (`low`) or most significant (`high`) lane. `pack`: values follow
    one another through the whole image, or each run of the fastest axis begins with a new beat (`row`). `byte_order`:
    whether a value's least (`little`) or most significant byte (`big`) is in its lane's lowest bits.
    """

    lanes: Lanes = 1
    number: Text | None = None
    order: tuple[Text, ...] | None = None
    lane_order: Literal["low", "high"] = "low"
    pack: Literal["image", "row"] = "image"
    byte_order: ByteOrder = "little"
