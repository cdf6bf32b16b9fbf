"""A run of a streaming design with concrete control and symbolic data: every value is judged as it appears.

A value that stands valid at a tap is judged, and cut: a variable takes its place for all that is computed of it. So
what follows is judged as a function of the taps before it, for all values that these could have.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fxsim.prove.judge import VALUE_BITS, Finding, Judge, Place
from fxsim.prove.machine import Codes, Machine, constant
from fxsim.prove.program import Places
from fxsim.simulate.stall import Random, Stall

FINDINGS_MAX = 100
"""Most findings that are told of one run; all are counted."""


class Feed(NamedTuple):
    """An input stream: its ports' places, and the numbers of an image's values, in order.

    `counts`: how many of these each beat has, in the first of its `lanes`; what the others hold is unknown. `valid`,
    `last`, `keep` and `start` are None where it has no such port. `lasts`: beats of an image with which last is 1.
    `interval`: fewest cycles between the first beats of images; `whole`: it waits between images only.
    """

    data: Places
    valid: Places | None
    ready: Places
    last: Places | None
    numbers: tuple[int, ...]
    counts: tuple[int, ...]
    lanes: int = 1
    lasts: frozenset[int] = frozenset()
    keep: Places | None = None
    start: Places | None = None
    interval: int = 0
    whole: bool = False


class Watch(NamedTuple):
    """A stream that is judged: its places, and token and channel of each value of an image, in order.

    `tap`: the tap that its values are. `counts`, `lanes`: as of a feed. `same`: they are judged to be the tap's values
    themselves, already judged, and not cut. `flags`: names and places of bits that are 1 with these beats of an image,
    0 with all others. `keep`: bits that are 1 for the lanes that hold values. `valid`: None where the beats of an image
    come `latency` cycles after its first beat in, one a cycle. `cut`: whether a variable takes the place of a value,
    for all that is computed of it, of which then no bit may be constant.
    """

    name: str
    tap: str
    data: Places
    valid: Places | None
    ready: Places
    order: tuple[tuple[int | None, int], ...]
    counts: tuple[int, ...]
    lanes: int = 1
    same: bool = False
    flags: tuple[tuple[str, Places, frozenset[int]], ...] = ()
    keep: Places | None = None
    latency: int = 0
    cut: bool = True


class Setup(NamedTuple):
    """A design's streams. `resets`: places of rst; `takes`: of the readies that are given; `quiet`: of what stays 0.

    `reset_cycles`: how long rst is 1 at first, if at all; `idle_reset`: whether nothing is offered meanwhile. `idle`:
    cycles in which nothing passes after which it is stuck, and after the last value that are waited for more.
    """

    feeds: tuple[Feed, ...]
    watches: tuple[Watch, ...]
    resets: Places
    takes: Places
    quiet: Mapping[str, Places]
    idle: int
    reset_cycles: int = 1
    idle_reset: bool = False


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
        self._since = [feed.interval for feed in setup.feeds]
        self._entered: list[int] = []
        """The cycle in which each image's first beat was taken, by the first feed."""
        self._beats = [0] * len(setup.watches)
        self._passed = [0] * len(setup.watches)
        self._standing: list[list[int]] = [[] for _ in setup.watches]
        self._values: list[list[int]] = [[] for _ in setup.watches]
        self._wrong: list[set[int]] = [set() for _ in setup.watches]
        self._findings: list[Finding] = []
        self._fixed = any(watch.valid is None for watch in setup.watches)
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
            watch.name: Count(self._passed[i], self._passed[i] - len(self._wrong[i]))
            for i, watch in enumerate(self._setup.watches)
        }
        return Outcome(self._cycle, counts, tuple(self._findings), stopped)

    def _reset(self) -> None:
        """Cycles of reset, in which nothing is known of any other input, but that nothing is offered where so said."""
        setup = self._setup
        if setup.reset_cycles == 0:
            return
        self._machine.put(setup.resets, constant(1, len(setup.resets)))
        for feed in setup.feeds if setup.idle_reset else ():
            for places in (feed.valid, feed.start):
                if places is not None:
                    self._machine.put(places, constant(0, 1))
        for _ in range(setup.reset_cycles):
            self._machine.propagate()
            self._machine.tick()
        self._machine.put(setup.resets, constant(0, len(setup.resets)))
        self._cycle = setup.reset_cycles

    def _go(self) -> None:
        setup = self._setup
        wanted = sum(len(watch.order) for watch in setup.watches) * self._images
        idle = 0
        while True:
            self._offer()
            taken = np.array([not self._holds[1].waits() for _ in setup.takes], np.int64)
            self._machine.put(setup.takes, taken)
            self._machine.propagate()
            if self._fixed:
                self._enter()
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
        """Put the next beat at every input that has one; what stands there without one is unknown."""
        first = self._machine.program.bits
        for i, feed in enumerate(self._setup.feeds):
            image, beat = divmod(self._sent[i], len(feed.counts))
            if image < self._images and not self._offered[i]:
                if feed.whole and beat:
                    self._offered[i] = True
                elif beat or self._since[i] >= feed.interval:
                    self._offered[i] = not self._holds[0].waits()
            self._since[i] += 1
            data = first[feed.data]
            count, width = 0, len(feed.data) // feed.lanes
            if self._offered[i]:
                count, at = feed.counts[beat], sum(feed.counts[:beat])
                for lane in range(count):
                    number = image * self._total + feed.numbers[at + lane]
                    data[lane * width : (lane + 1) * width] = self._symbol(number, width)
            self._machine.put(feed.data, data)
            if feed.last is not None:
                last = constant(beat in feed.lasts, 1) if self._offered[i] else first[feed.last]
                self._machine.put(feed.last, last)
            if feed.keep is not None:
                kept = (np.arange(feed.lanes) < count).astype(np.int64)
                self._machine.put(feed.keep, kept if self._offered[i] else first[feed.keep])
            if feed.start is not None:
                self._machine.put(feed.start, constant(self._offered[i] and beat == 0, 1))
            if feed.valid is not None:
                self._machine.put(feed.valid, constant(self._offered[i], 1))

    def _symbol(self, number: int, width: int) -> Codes:
        """The bits of a value, extended by its sign to so many."""
        if self._judge is None:
            return constant(self._given[number], width)
        own = self._machine.variable(number, VALUE_BITS)
        return np.concatenate([own, np.repeat(own[-1:], width - VALUE_BITS)])

    def _enter(self) -> None:
        """Note the cycle in which an image's first beat is taken."""
        feed = self._setup.feeds[0]
        starts = self._offered[0] and self._sent[0] == len(self._entered) * len(feed.counts)
        if starts and self._bit("a ready of an input", int(feed.ready[0])):
            self._entered.append(self._cycle)

    def _is_there(self, i: int, watch: Watch) -> bool:
        """Whether a beat stands at a stream: by its valid, or because it is due."""
        if watch.valid is not None:
            return self._bit(f"the valid of '{watch.name}'", int(watch.valid[0])) == 1
        image, beat = divmod(self._beats[i], len(watch.counts))
        return image < len(self._entered) and self._cycle == self._entered[image] + watch.latency + beat

    def _look(self, i: int, watch: Watch) -> None:
        """Judge what stands valid at a stream, and cut it."""
        self._standing[i] = []
        if not self._is_there(i, watch):
            return
        image, beat = divmod(self._beats[i], len(watch.counts))
        if image == self._images:
            raise StoppedError(f"'{watch.name}' gives a value too many in cycle {self._cycle}")
        count, at = watch.counts[beat], self._passed[i] - image * len(watch.order)
        for name, places, wanted in watch.flags:
            if self._bit(f"'{name}'", int(places[0])) != int(beat in wanted):
                raise StoppedError(f"'{name}' is wrong with value {at} of image {image}, in cycle {self._cycle}")
        for lane, bit in enumerate(() if watch.keep is None else watch.keep):
            if self._bit(f"the keep of '{watch.name}'", int(bit)) != int(lane < count):
                raise StoppedError(
                    f"the keep of '{watch.name}' is wrong in lane {lane} of beat {beat} of image {image}, "
                    f"in cycle {self._cycle}"
                )
        width, cut = len(watch.data) // watch.lanes, False
        for lane in range(count):
            token, channel = watch.order[at + lane]
            place = Place(image, watch.tap, token, channel, self._cycle)
            places = watch.data[lane * width : (lane + 1) * width]
            if self._judge is None:
                self._standing[i].append(self._concrete(watch, places))
            else:
                cut |= self._value(i, watch, places, place, self._passed[i] + lane)
        if cut:
            self._machine.propagate()

    def _value(self, i: int, watch: Watch, places: Places, place: Place, index: int) -> bool:
        """Judge a value, number `index` of its stream, and put its variable there; whether something changed."""
        assert self._judge is not None
        self._machine.make_room()
        codes = self._machine.bits[places]
        own = self._symbol(self._judge.number(place), len(places))
        if np.array_equal(codes, own):
            return False
        if watch.same:
            raise StoppedError(f"'{watch.name}' is not the value of '{watch.tap}' in cycle {self._cycle}")
        finding = self._judge.judge(codes[:VALUE_BITS], place)
        if finding is None and (codes[VALUE_BITS:] != codes[VALUE_BITS - 1]).any():
            text = f"its bits above the lowest {VALUE_BITS} are not seen to be its sign"
            finding = Finding(kind="form", text=text, **place._asdict())
        if finding is not None and index not in self._wrong[i]:
            self._wrong[i].add(index)
            if len(self._findings) < FINDINGS_MAX:
                self._findings.append(finding)
        if not watch.cut:
            return False
        if self._machine.program.owners[places].min() < 0:
            raise StoppedError(
                f"'{watch.name}' has a bit that is constant in the netlist: nothing can be put in its place"
            )
        self._machine.put(places, own)
        return True

    def _concrete(self, watch: Watch, places: Places) -> int:
        codes = self._machine.bits[places]
        if ((codes < 0) | (codes > 1)).any():
            raise StoppedError(
                f"'{watch.name}' depends in cycle {self._cycle} on {self._machine.reason(int(codes.min()))}"
            )
        value = int((codes << np.arange(len(codes))).sum())
        return value - (1 << len(codes)) if value >> len(codes) - 1 & 1 else value

    def _pass(self) -> bool:
        """Count what passes in this cycle."""
        moved = False
        for i, feed in enumerate(self._setup.feeds):
            if self._bit("a ready of an input", int(feed.ready[0])) and self._offered[i]:
                if self._sent[i] % len(feed.counts) == 0:
                    self._since[i] = 1
                self._sent[i] += 1
                self._offered[i] = False
                moved = True
        for i, watch in enumerate(self._setup.watches):
            if self._is_there(i, watch) and self._bit(f"the ready of '{watch.name}'", int(watch.ready[0])):
                self._values[i] += self._standing[i]
                self._passed[i] += watch.counts[self._beats[i] % len(watch.counts)]
                self._beats[i] += 1
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
