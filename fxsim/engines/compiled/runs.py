"""Runs: sums of byte products in 16 bits that provably cannot leave them, widened to 32 bits once each.

`vpmaddubsw` multiplies unsigned by signed bytes and adds neighbours in 16 bits, saturating: twice as many products as
`vpmaddwd` has, exact where nothing saturates. SSSE3 has it as AVX2. What is multiplied is x - low >= 0, at most
R = high - low, the proven range of its channel; the 32-bit start value takes low back. A 16-bit lane adds up columns
4g, 4g + 1 of the groups g of a run, or 4g + 2, 4g + 3. With P and N the sums of R w over its positive and its negative
weights, what it adds lies in [N, P]. It starts from a number s with s + N >= -2^15 and s + P < 2^15, which there is
where P - N < 2^16; the start value takes that back, too. Sums modulo 2^16 need to fit at the end of the run alone; a
pair alone must not saturate.

Where a pair of some row of a tile could, its group is taken twice, each time with half of each weight: the run ends
with the first half, the next starts with the second. 255 times two halves of 64 at most fit.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

LOW, HIGH = -(1 << 15), (1 << 15) - 1
"""The least and greatest number of 16 bits."""


class Runs(NamedTuple):
    """The runs of a linear over channels, those of a tile of rows after those of the tile before.

    `tiles` int32 [tiles, 2]: where the tile's runs start in `stream`, and how many they are. `stream` int32: of each
    run its first group, how many groups it has, by row its start (of each 16 bits), and by group and row four
    weights, a byte each. `taken_back` int64 [tiles, rows]: the sum of all starts of a row. `groups`, `halved`: groups
    of all tiles, and those taken twice.
    """

    tiles: npt.NDArray[np.int32]
    stream: npt.NDArray[np.int32]
    taken_back: Int64
    groups: int
    halved: int

    @property
    def numbers(self) -> npt.NDArray[np.int32]:
        """The tiles, each saying where its runs start counted from the first tile's numbers, then the stream."""
        return np.concatenate([(self.tiles + np.array([self.tiles.size, 0], np.int32)).ravel(), self.stream])

    @property
    def total(self) -> int:
        """Runs of all tiles."""
        return int(self.tiles[:, 1].sum())


def find_runs(weight: Int64, most: Int64) -> Runs:
    """The runs of weights int64 [tiles, rows, groups, 4] of 8 bits, of inputs from 0 to `most` [groups, 4] (255)."""
    tiles, rows, groups, _ = weight.shape
    # [tile, group, row, half of a lane's bytes]
    pairs = weight.swapaxes(1, 2).reshape(tiles, groups, rows, 2, 2)
    up, down = _ends(pairs, most)
    halved: Bools = np.asarray(((up > HIGH) | (down < LOW)).any(axis=(2, 3)))
    first = np.where(halved[..., None, None, None], pairs >> 1, pairs)
    # [tile, group, first or second, ...]: the second is there of those that are halved.
    parts = np.stack([first, pairs - first], axis=2)
    there = np.stack([np.ones_like(halved), halved], axis=2)
    ups, downs = _ends(parts, most[:, None])
    begins = _begins(ups, downs, there)

    ups, downs, parts = ups[there], downs[there], parts[there]  # [entry, row, half(, 2)], tile by tile
    tile, group, _ = np.nonzero(there)
    run = np.flatnonzero(begins[there])
    counts = np.diff(np.append(run, len(parts)))
    up, down = np.add.reduceat(ups, run), np.add.reduceat(downs, run)
    starts = np.clip(0, LOW - down, HIGH - up)

    head = np.arange(len(run)) * (2 + rows) + run * rows
    stream = np.zeros(len(run) * (2 + rows) + len(parts) * rows, np.int32)
    stream[head], stream[head + 1] = group[run], counts
    lanes = np.arange(rows)
    stream[head[:, None] + 2 + lanes] = np.ascontiguousarray(starts.astype(np.int16)).view(np.int32)[..., 0]
    entry = np.arange(len(parts)) * rows + np.repeat(np.arange(1, len(run) + 1) * (2 + rows), counts)
    packed = np.ascontiguousarray(parts.reshape(len(parts), rows, 4).astype(np.int8)).view(np.int32)[..., 0]
    stream[entry[:, None] + lanes] = packed

    of_tile = np.bincount(tile[run], minlength=tiles)
    before = np.cumsum(of_tile) - of_tile
    taken_back = np.zeros((tiles, rows), np.int64)
    np.add.at(taken_back, tile[run], starts.sum(axis=2))
    return Runs(
        np.stack([head[before], of_tile], axis=1).astype(np.int32),
        stream,
        taken_back,
        tiles * groups,
        int(halved.sum()),
    )


def _ends(pairs: Int64, most: Int64) -> tuple[Int64, Int64]:
    """The greatest and least sum of each pair of weights [..., row, half, 2], of inputs up to `most` [..., 4]."""
    most = most.reshape(*most.shape[:-1], 1, 2, 2)
    return (np.maximum(pairs, 0) * most).sum(axis=-1), (np.minimum(pairs, 0) * most).sum(axis=-1)


def _begins(ups: Int64, downs: Int64, there: Bools) -> Bools:
    """Places where runs begin, bool [tile, group, first or second]: as late as all rows of the tile allow."""
    begins = np.zeros_like(there)
    span = ups - downs  # [tile, group, part, row, half]
    total = np.zeros_like(span[:, 0, 0])
    for g in range(there.shape[1]):
        for part in range(2):
            active = there[:, g, part]
            more = total + span[:, g, part]
            # A second half is of the group before it: a run's groups follow each other.
            new = active & ((more > HIGH - LOW).any(axis=(1, 2)) | (part == 1) | (g == 0))
            total = np.where(new[:, None, None], span[:, g, part], np.where(active[:, None, None], more, total))
            begins[:, g, part] = new
    return begins
