"""Depths of the FIFOs of residual paths, from how far each module of a path can run ahead of what it has given.

A module that waits has taken some beats, which depends on those that were taken from it, whatever the schedule was: a
chain of modules has so the composition of their functions. From the fork of a residual path to its add there are two
chains, and the fork offers neither its next beat before the other has taken the one before. So after j sums the next
one comes, whatever the schedule is, where for each of the two

    beats that a path holds at rest after j  >=  beats that the other needs for j + 1, less the one at the fork

and with a path that holds less both stand still for ever; only the pipeline of a `few_linear` may hold more than it
holds in any case. A join may take some beats of a path before it can use them, as a product of two images takes one of
them: these are held too. All functions repeat image by image: one image's beats are all cases.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from fxsim.contract.arithmetic import Int64

_Beats = Callable[[Int64], Int64]


@dataclass(frozen=True)
class Reach:
    """The beats of a module or chain: taken, as functions of those that were taken from it (int64 arrays, any shape).

    `needs`: those that must be offered before it offers that many, 1 or more. `least`: those that it takes in any case
    after that many, 0 or more, while nothing more is taken from it; `ample`: those with which it has all that it needs
    to go on at its pace, full as it may be.
    """

    needs: _Beats
    least: _Beats
    ample: _Beats

    def then(self, after: "Reach") -> "Reach":
        """The chain of this and what comes after it."""
        return Reach(
            lambda m: self.needs(after.needs(m)),
            lambda m: self.least(after.least(m)),
            lambda m: self.ample(after.ample(m)),
        )

    @staticmethod
    def held(beats: int) -> "Reach":
        """A module that gives each beat as it comes, and holds so many; none: a wire."""
        return Reach(lambda m: m, lambda m: m + beats, lambda m: m + beats)

    @staticmethod
    def chain(reaches: Iterable["Reach"]) -> "Reach":
        """All in the order of the data."""
        return reduce(Reach.then, reaches, Reach.held(0))

    @staticmethod
    def joined(first: "Reach", second: "Reach") -> "Reach":
        """A fork, and two paths with their FIFOs and the ports of the join where they end."""
        return Reach(
            lambda m: np.maximum(first.needs(m), second.needs(m)),
            lambda m: np.minimum(first.least(m), second.least(m)),
            lambda m: np.minimum(first.ample(m), second.ample(m)),
        )


@dataclass(frozen=True)
class Port:
    """An input of a join: `reach`, its beats as functions of the join's, where the other input has all that it needs.

    `alone`: the beats that it takes in any case after that many of the join's, where the other input has nothing more.
    """

    reach: Reach
    alone: _Beats

    @staticmethod
    def held(beats: int) -> "Port":
        """An input of a join that takes a beat with its partner alone, and holds so many results."""
        return Port(Reach.held(beats), lambda m: m)


def window_reach(p: dict[str, int], ring: int, places: int) -> Reach:
    """`image_window` with its parameters, `ring` image rows and `places` output rows."""
    line = p["COLUMNS"] * p["WORDS"]
    span = p["DILATION_ROWS"] * (p["KERNEL_ROWS"] - 1) + 1
    columns = p["COLUMNS"] + p["PAD_LEFT"] + p["PAD_RIGHT"] - p["DILATION_COLUMNS"] * (p["KERNEL_COLUMNS"] - 1) - 1
    band = (columns // p["STRIDE_COLUMNS"] + 1) * p["KERNEL_ROWS"] * p["KERNEL_COLUMNS"] * p["WORDS"]

    def needs(m: Int64) -> Int64:
        image, row = _divided((m - 1) // band, places)
        end: Int64 = np.minimum(row * p["STRIDE_ROWS"] + span - p["PAD_TOP"], p["ROWS"])
        return (image * p["ROWS"] + end) * line

    def held(m: Int64) -> Int64:
        # One beat more than was taken stands at its output; rows are given back with the last beat of a band.
        image, row = _divided((m + 1) // band, places)
        begin: Int64 = np.maximum(row * p["STRIDE_ROWS"] - p["PAD_TOP"], 0)
        return (image * p["ROWS"] + begin + ring) * line

    def next_too(m: Int64) -> Int64:
        # The image rows of the output row that is read, and of the next one.
        return np.minimum(held(m), needs(m + 1 + band))

    return Reach(needs, held, next_too)


def linear_reach(beats: int, groups: int, latency: int) -> Reach:
    """`few_linear`: rows of `beats`, sums of a row in `groups` beats, and the latency of its products.

    A row is multiplied while the next one is collected. Its pipeline stands still with what is in it: at the least one
    beat, at the output.
    """
    return Reach(
        lambda m: ((m - 1) // groups + 1) * beats,
        lambda m: ((m + 1) // groups + 2) * beats,
        lambda m: ((m + latency) // groups + 2) * beats,
    )


def greatest_reach(places: int, words: int) -> Reach:
    """`window_max` and `window_sum`, which take nothing while a result waits."""

    def needs(m: Int64) -> Int64:
        window, word = _divided(m - 1, words)
        return (window * places + places - 1) * words + word + 1

    return Reach(needs, lambda m: needs(m + 1), lambda m: needs(m + 1))


def loop_reach(body: Reach, steps: int, beats: int) -> Reach:
    """`frame_loop` with its body, which computes so many steps of images of so many `beats`.

    The first result of an image needs all of it. Until the last of them is taken, of the next image there enters what
    the body takes beyond the last step.
    """

    def behind(taken: _Beats) -> _Beats:
        def held(m: Int64) -> Int64:
            image, beat = _divided(m, beats)
            more = taken((image * steps + steps - 1) * beats + beat) - (image + 1) * steps * beats
            found: Int64 = (image + 1) * beats + np.clip(more, 0, beats)
            return found

        return held

    return Reach(lambda m: ((m - 1) // beats + 1) * beats, behind(body.least), behind(body.ample))


def _divided(m: Int64, by: int) -> tuple[Int64, Int64]:
    """Quotients and remainders."""
    return m // by, m % by


def product_ports(beats: int, groups: int, places: int, size: int, latency: int) -> tuple[Port, Port]:
    """`few_matmul`: rows of `beats`, whose sums are `groups` beats, `places` an image, and the other's image of `size`.

    A row is multiplied while the next one is collected, and an image of the other is kept while the next one is taken.
    """
    image = groups * places
    rows = Reach(
        lambda m: ((m - 1) // groups + 1) * beats,
        lambda m: (m // groups + 2) * beats,
        lambda m: ((m + latency) // groups + 2) * beats,
    )

    def pages(m: Int64) -> Int64:
        return (m // image + 2) * size

    return Port(rows, rows.least), Port(Reach(lambda m: ((m - 1) // image + 1) * size, pages, pages), pages)


def one_by_one_ports(groups: int) -> tuple[Port, Port]:
    """`few_product`: a beat of the first stream leaves with the last of its `groups` beats of the second."""
    values = Reach(lambda m: (m - 1) // groups + 1, lambda m: (m + 2) // groups, lambda m: (m + 2) // groups)
    return Port(values, lambda m: m // groups), Port.held(2)


def concat_ports(first: int, second: int) -> tuple[Port, Port]:
    """`channel_concat`: of each pixel so many beats of the first stream, then so many of the second; it holds none."""

    def port(begin: int, own: int) -> Port:
        def taken(m: Int64) -> Int64:
            pixels, beats = _divided(m, first + second)
            found: Int64 = pixels * own + np.clip(beats - begin, 0, own)
            return found

        return Port(Reach(taken, taken, taken), taken)

    return port(0, first), port(first, second)


@dataclass(frozen=True)
class Depth:
    """The depth of a path's FIFO, in beats; 0: it needs none. `least`: the smallest that suffices in any case."""

    beats: int
    least: int


def depth(path: tuple[Reach, Port], other: tuple[Reach, Port], sums: int) -> Depth:
    """The FIFO at the end of a path, so that with it the path holds in any case as much as is ample for the other one.

    Of either path, its reach to there, and the port of the join.

    So where this path is full and the fork waits for it, every window of the other has the image rows of the output row
    that it reads and of the next one, and all modules behind it are as full as they can be. A full FIFO that is read
    takes its next beat a cycle later: it gets one entry more. `sums`: beats of an image at the join.
    """
    j = np.arange(sums, dtype=np.int64)
    (reach, port), (others, its_port) = path, other
    taken = port.alone(j)
    beats = _smallest(reach.least, taken, others.ample(its_port.alone(j)))
    return Depth(
        beats + 1 if beats else 0, _smallest(reach.least, taken, others.needs(its_port.reach.needs(j + 1)) - 1)
    )


def _smallest(holds: _Beats, j: Int64, beats: Int64) -> int:
    """The smallest depth d such that holds(j + d) is at least `beats` everywhere."""

    def fits(entries: int) -> bool:
        return bool((holds(j + entries) >= beats).all())

    if fits(0):
        return 0
    high = 1
    while not fits(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
