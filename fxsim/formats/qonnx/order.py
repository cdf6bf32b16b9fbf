"""Reshapes that bring a tensor's values to another order, where axes that are parted and exchanged give it."""

from math import prod

import numpy as np

from fxsim.formats.qonnx.values import Array
from fxsim.operators import Reshape

_SECOND_FIRST = (1, 0, 2)


def reshapes(places: Array, source: tuple[int, ...]) -> list[Reshape] | None:
    """Reshapes of a tensor of the shape `source` by which its value at places[i, ...] comes to i, ..., of three axes.

    `places`: flat numbers, each value's once. None where no parting and exchange of axes makes that order.
    """
    parts = _parts(places.ravel())
    if parts is None:
        return None
    # The parts in the order in which they lie in the source, and the numbers of those that are wanted, in order.
    lying = sorted(range(len(parts)), key=lambda part: -parts[part][1])
    sizes = [parts[part][0] for part in lying]
    if any(parts[part][1] != prod(sizes[at + 1 :]) for at, part in enumerate(lying)):
        return None
    have = list(range(len(parts)))
    wanted = [lying.index(part) for part in range(len(parts))]
    # Each exchanges the first two of three runs of axes; its shape is that of the runs before.
    shapes: list[tuple[int, int, int]] = []

    def exchanged(first: int, second: int, third: int) -> None:
        runs = have[:first], have[first:second], have[second:third], have[third:]
        size = [prod(sizes[part] for part in run) for run in runs]
        if runs[0]:
            # The third run to the front, and the first one back before it.
            shapes.append((size[0] * size[1], size[2], size[3]))
            shapes.append((size[2], size[0], size[1] * size[3]))
        else:
            shapes.append((size[1], size[2], size[3]))
        have[:] = [*runs[0], *runs[2], *runs[1], *runs[3]]

    for at, part in enumerate(wanted):
        place = have.index(part)
        if place != at:
            exchanged(at, place, place + 1)
    order = tuple(range(len(source)))
    found = []
    for shape in shapes:
        found.append(Reshape(order, shape))
        order = _SECOND_FIRST
    return [*found, Reshape(order, tuple(int(n) for n in places.shape))]


def _parts(places: Array) -> list[tuple[int, int]] | None:
    """Sizes and strides of the axes along which numbers rise evenly, slowest first; None where they do not."""
    parts: list[tuple[int, int]] = []
    rest = places
    while len(rest) > 1:
        steps = np.flatnonzero(np.diff(rest) != rest[1] - rest[0])
        size = int(steps[0]) + 1 if len(steps) else len(rest)
        if len(rest) % size:
            return None
        parts.insert(0, (size, int(rest[1] - rest[0])))
        rest = rest[::size]
    made = np.zeros(1, np.int64)
    for size, stride in parts:
        made = (made[:, None] + np.arange(size) * stride).ravel()
    return parts if np.array_equal(made, places) else None
