"""Orders of a tensor's values: axes, each forwards or backwards, whole or in tiles."""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fxsim.errors import FileError

_ENTRY = re.compile(r"(?P<back>-?)(?P<axis>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<part>[/%])(?P<tile>[1-9][0-9]{0,8}))?\Z")


def arrange(axes: Sequence[str], shape: Sequence[int], order: Sequence[str], where: str) -> npt.NDArray[np.int64]:
    """The numbers of a tensor's values in an order of its axes, an axis of the result for each entry, slowest first.

    An entry is an axis, or in two entries its tiles: `channel/4` counts the tiles of four, `channel%4` the places in a
    tile. `-` before an entry runs from its last index to the first. FileError, which begins with `where`, where an axis
    is missing, unknown or twice, or tiles do not divide it.
    """
    entries = [_ENTRY.match(entry) for entry in order]
    found = [(entry["axis"], entry["part"] or "") for entry in entries if entry is not None]
    wanted = [parts for axis in axes for parts in _parts(axis, found)]
    if None in entries or sorted(found) != sorted(wanted):
        raise FileError(
            f"{where}: order is {', '.join(order)}, expected each of {', '.join(axes)} once, or in tiles as "
            f"'{axes[-1]}/N' and '{axes[-1]}%N'"
        )
    split: list[int] = []
    for axis, size in zip(axes, shape, strict=True):
        tiles = {
            int(entry["tile"]) for entry in entries if entry is not None and entry["axis"] == axis and entry["tile"]
        }
        if not tiles:
            split.append(size)
            continue
        tile = min(tiles)
        if len(tiles) > 1 or size % tile:
            said = " and ".join(map(str, sorted(tiles)))
            raise FileError(
                f"{where}: order has tiles of {said} of axis {axis}, expected one number that divides {size}"
            )
        split += [size // tile, tile]
    grid = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(split)
    grid = grid.transpose([wanted.index(entry) for entry in found])
    backwards = tuple(n for n, entry in enumerate(entries) if entry is not None and entry["back"])
    return np.flip(grid, axis=backwards) if backwards else grid


def _parts(axis: str, found: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The entries that an axis needs: its tiles and the places in them where either is there, else itself."""
    tiled = (axis, "/") in found or (axis, "%") in found
    return [(axis, "/"), (axis, "%")] if tiled else [(axis, "")]
