"""A run of a streaming design with concrete control and symbolic data: every value is judged as it appears.

A value that stands valid at a tap is judged, and cut: a variable takes its place for all that is computed of it. So
what follows is judged as a function of the taps before it, for all values that these could have.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fxsim.prove.judge import Finding, Judge, Place
from fxsim.prove.machine import Codes, Machine, constant
from fxsim.prove.program import Places
from fxsim.simulate.stall import Random, Stall

FINDINGS_MAX = 100
"""Most findings that are told of one run; all are counted."""


class Feed(NamedTuple):
    """An input stream: its ports' places, and the numbers of an image's values, in order. `last` is None: no tlast."""

    data: Places
    valid: Places
    ready: Places
    last: Places | None
    numbers: tuple[int, ...]


class Watch(NamedTuple):
    """A stream that is judged: its places, and token and channel of each value of an image, in order.

    `tap`: the tap that its values are. `same`: they are judged to be the tap's values themselves, already judged, and
    not cut. `flags`: names and places of bits that are 1 with the value of this number in an image, 0 with all others.
    """

    name: str
    tap: str
    data: Places
    valid: Places
    ready: Places
    order: tuple[tuple[int | None, int], ...]
    same: bool = False
    flags: tuple[tuple[str, Places, int], ...] = ()


class Setup(NamedTuple):
    """A design's streams. `resets`: places of rst; `takes`: of the readies that are given; `quiet`: of what stays 0.

    `idle`: cycles in which nothing passes after which it is stuck, and after the last value that are waited for more.
    """

    feeds: tuple[Feed, ...]
    watches: tuple[Watch, ...]
    resets: Places
    takes: Places
    quiet: Mapping[str, Places]
    idle: int


class Count(NamedTuple):
    """Values of a stream that were judged, and of these those proved."""

    values: int
    proved: int


class Outcome(NamedTuple):
    """The outcome of a run: cycles, counts by stream, the first findings, and why it stopped early, if it did."""

    cycles: int
    counts: dict[str, Count]
    findings: tuple[Finding, ...]
    stopped: str


class StoppedError(Exception):
    """The run cannot go on: control is no longer concrete, or nothing moves."""


class Run:
    """A run of a machine over some images. `judge` None: of concrete values (`given`), which are only collected."""

    def __init__(
        self,
        machine: Machine,
        setup: Setup,
        total: int,
        images: int,
        judge: Judge | None,
        given: Sequence[int] = (),
        stall: Stall | None = None,
        report: Callable[[int, int], None] | None = None,
    ) -> None:
        self._machine = machine
        self._setup = setup
        self._total = total
        self._images = images
        self._judge = judge
        self._given = given
        self._holds = _Side(None if stall is None else stall.input), _Side(None if stall is None else stall.output)
        self._report = report
        self._sent = [0] * len(setup.feeds)
        self._offered = [False] * len(setup.feeds)
        self._passed = [0] * len(setup.watches)
        self._standing = [-1] * len(setup.watches)
        self._values: list[list[int]] = [[] for _ in setup.watches]
        self._bad = [0] * len(setup.watches)
        self._findings: list[Finding] = []
        self._cycle = 0

    def values(self) -> list[list[int]]:
        """The values of each stream in order, of a run of concrete ones."""
        return self._values

    def run(self) -> Outcome:
        """Reset, then go on until every stream has given the values of all images, and a while longer."""
        stopped = ""
        try:
            self._reset()
            self._go()
        except StoppedError as reason:
            stopped = str(reason)
        counts = {
            watch.name: Count(self._passed[i], self._passed[i] - self._bad[i])
            for i, watch in enumerate(self._setup.watches)
        }
        return Outcome(self._cycle, counts, tuple(self._findings), stopped)

    def _reset(self) -> None:
        """One cycle of reset, in which nothing is known of any other input."""
        self._machine.put(self._setup.resets, constant(1, len(self._setup.resets)))
        self._machine.propagate()
        self._machine.tick()
        self._machine.put(self._setup.resets, constant(0, len(self._setup.resets)))
        self._cycle = 1

    def _go(self) -> None:
        setup = self._setup
        wanted = sum(len(watch.order) for watch in setup.watches) * self._images
        idle = 0
        while True:
            self._offer()
            taken = np.array([not self._holds[1].waits() for _ in setup.takes], np.int64)
            self._machine.put(setup.takes, taken)
            self._machine.propagate()
            for i, watch in enumerate(setup.watches):
                self._look(i, watch)
            moved = self._pass()
            for name, places in setup.quiet.items():
                if any(self._bit(name, place) for place in places):
                    raise StoppedError(f"'{name}' is 1 in cycle {self._cycle}, expected 0 throughout")
            self._machine.tick()
            self._cycle += 1
            idle = 0 if moved else idle + 1
            if idle > setup.idle:
                break
            if self._report is not None and self._cycle % 256 == 0:
                self._report(sum(self._passed), wanted)
        for i, watch in enumerate(setup.watches):
            if self._passed[i] != len(watch.order) * self._images:
                given = f"gave {self._passed[i]} of {len(watch.order) * self._images} values"
                raise StoppedError(f"'{watch.name}' {given}, and nothing moved for {setup.idle} cycles")

    def _offer(self) -> None:
        """Put the next value at every input that has one; what stands there without one is unknown."""
        for i, feed in enumerate(self._setup.feeds):
            if self._sent[i] < len(feed.numbers) * self._images and not self._offered[i]:
                self._offered[i] = not self._holds[0].waits()
            if not self._offered[i]:
                first = self._machine.program.bits
                self._machine.put(feed.data, first[feed.data])
                if feed.last is not None:
                    self._machine.put(feed.last, first[feed.last])
            else:
                image, index = divmod(self._sent[i], len(feed.numbers))
                width = len(feed.data)
                number = image * self._total + feed.numbers[index]
                self._machine.put(feed.data, self._symbol(number, width))
                if feed.last is not None:
                    self._machine.put(feed.last, constant(index == len(feed.numbers) - 1, 1))
            self._machine.put(feed.valid, constant(self._offered[i], 1))

    def _symbol(self, number: int, width: int) -> Codes:
        return constant(self._given[number], width) if self._judge is None else self._machine.variable(number, width)

    def _look(self, i: int, watch: Watch) -> None:
        """Judge what stands valid at a stream, and cut it."""
        if self._bit(f"the valid of '{watch.name}'", int(watch.valid[0])) == 0:
            self._standing[i] = -1
            return
        if self._passed[i] == len(watch.order) * self._images:
            raise StoppedError(f"'{watch.name}' gives a value too many in cycle {self._cycle}")
        image, index = divmod(self._passed[i], len(watch.order))
        token, channel = watch.order[index]
        place = Place(image, watch.tap, token, channel, self._cycle)
        for name, places, wanted in watch.flags:
            if self._bit(f"'{name}'", int(places[0])) != int(index == wanted):
                raise StoppedError(f"'{name}' is wrong with value {index} of image {image}, in cycle {self._cycle}")
        if self._judge is None:
            self._standing[i] = self._concrete(watch, place)
            return
        self._machine.make_room()
        codes = self._machine.bits[watch.data]
        number = self._judge.number(place)
        own = self._machine.variable(number, len(watch.data))
        if np.array_equal(codes, own):
            return
        if watch.same:
            raise StoppedError(f"'{watch.name}' is not the value of '{watch.tap}' in cycle {self._cycle}")
        if (finding := self._judge.judge(codes, place)) is not None:
            self._bad[i] += 1
            if len(self._findings) < FINDINGS_MAX:
                self._findings.append(finding)
        if self._machine.program.owners[watch.data].min() < 0:
            raise StoppedError(
                f"'{watch.name}' has a bit that is constant in the netlist: nothing can be put in its place"
            )
        self._machine.put(watch.data, own)
        self._machine.propagate()

    def _concrete(self, watch: Watch, place: Place) -> int:
        codes = self._machine.bits[watch.data]
        if ((codes < 0) | (codes > 1)).any():
            raise StoppedError(
                f"'{watch.name}' depends in cycle {place.cycle} on {self._machine.reason(int(codes.min()))}"
            )
        value = int((codes << np.arange(len(codes))).sum())
        return value - (1 << len(codes)) if value >> len(codes) - 1 & 1 else value

    def _pass(self) -> bool:
        """Count what passes in this cycle."""
        moved = False
        for i, feed in enumerate(self._setup.feeds):
            if self._bit("a ready of an input", int(feed.ready[0])) and self._offered[i]:
                self._sent[i] += 1
                self._offered[i] = False
                moved = True
        for i, watch in enumerate(self._setup.watches):
            valid = self._bit(f"the valid of '{watch.name}'", int(watch.valid[0]))
            if valid and self._bit(f"the ready of '{watch.name}'", int(watch.ready[0])):
                if self._judge is None:
                    self._values[i].append(self._standing[i])
                self._passed[i] += 1
                moved = True
        return moved

    def _bit(self, what: str, place: int) -> int:
        bit = int(self._machine.bits[place])
        if bit not in (0, 1):
            why = f"depends on {self._machine.reason(bit)}" if bit < 0 else "depends on data"
            raise StoppedError(f"{what} {why} in cycle {self._cycle}: control must not")
        return bit


class _Side:
    """One side of the run, which waits in a random part of the cycles."""

    def __init__(self, side: object) -> None:
        self._random = random.Random(side.seed if isinstance(side, Random) else 0)  # noqa: S311  # a pattern, no secret
        self._share = side.millionths / 1e6 if isinstance(side, Random) else 0.0

    def waits(self) -> bool:
        """Whether it waits in the next cycle."""
        return self._random.random() < self._share
