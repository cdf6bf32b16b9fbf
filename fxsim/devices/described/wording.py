"""Wording of a first description: texts, lists, comments, and what lanes and orders may be."""

import json
from collections.abc import Iterable, Iterator
from itertools import permutations

from fxsim.contract import Tensor

SHOWN_MAX = 3
"""Most alternatives of one thing that are shown."""


def text(word: str) -> str:
    """A text as TOML has it."""
    return json.dumps(word)


def listed(words: Iterable[str]) -> str:
    """A list of texts as TOML has it."""
    return f"[{', '.join(text(word) for word in words)}]"


def comment(words: str) -> str:
    """A comment of one line."""
    return "# " + " ".join(words.split())


def lanes_of(tensor: Tensor | None, bits: int | None) -> Iterator[str]:
    """Lines with the lanes of a beat or word of so many bits (None: unknown), and what else they may be."""
    if bits is None:
        yield '# lanes = "CHOOSE"  # values a beat'
        return
    each = 8 if tensor is None else tensor.number.bits
    if bits % each:
        yield comment(f"lanes, number: {bits} bits are no whole number of values of {each} bits")
        return
    lanes = bits // each
    said = f"{bits} bits in values of {each}" if tensor is not None else f"{bits} bits, if values have 8"
    yield f'lanes = {lanes}  # {said}; or fewer of more bits: number = "int{2 * each}"'
    if lanes > 1:
        yield '# lane_order = "high"  # where the first value is in the most significant bits'
    if tensor is not None and lanes > 1 and tensor.shape[-1] % lanes:
        beats = -(-tensor.size // lanes)
        yield comment(f'an image of {tensor.size} values takes {beats} beats; rows apart: pack = "row"')


def orders(tensor: Tensor | None) -> Iterator[str]:
    """Lines with the order of a tensor's axes, its own, and others as comments; none where there is one axis."""
    if tensor is not None and len(tensor.axes) > 1:
        found = [list(order) for order in permutations(tensor.axes)] if len(tensor.axes) < 4 else [list(tensor.axes)]
        yield f'order = {listed(found[0])}  # slowest first, the model\'s own; "-{tensor.axes[0]}" runs from its end'
        for order in found[1:SHOWN_MAX]:
            yield comment(f"order = {listed(order)}")
