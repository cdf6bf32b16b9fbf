"""The streams of a design in a run: what its inputs are fed, and its outputs and taps, judged as values appear."""

from typing import NamedTuple

import numpy as np

from fxsim.prove.bench import Bench, Count, Seen, Side, StoppedError
from fxsim.prove.judge import Place
from fxsim.prove.machine import constant
from fxsim.prove.program import Places
from fxsim.simulate.stall import Stall


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

    `tap`: the tap that its values are; `numbers`: theirs, in order. `counts`, `lanes`: as of a feed. `same`: they are
    judged to be the tap's values themselves, already judged, and not cut. `flags`: names and places of bits that are 1
    with these beats of an image, 0 with all others. `keep`: bits that are 1 for the lanes that hold values. `valid`:
    None where the beats of an image come `latency` cycles after its first beat in, one a cycle. `cut`: whether a
    variable takes the place of a value, for all that is computed of it, of which then no bit may be constant.
    """

    name: str
    tap: str
    data: Places
    valid: Places | None
    ready: Places
    order: tuple[tuple[int | None, int], ...]
    numbers: tuple[int, ...]
    counts: tuple[int, ...]
    lanes: int = 1
    same: bool = False
    flags: tuple[tuple[str, Places, frozenset[int]], ...] = ()
    keep: Places | None = None
    latency: int = 0
    cut: bool = True


class Streams:
    """All streams of a design, and the readies that it is given (`takes`)."""

    def __init__(
        self, bench: Bench, feeds: tuple[Feed, ...], watches: tuple[Watch, ...], takes: Places, stall: Stall | None
    ) -> None:
        self._bench = bench
        self._machine = bench.machine
        self._feeds = feeds
        self._watches = watches
        self._takes = takes
        self._holds = Side(None if stall is None else stall.input), Side(None if stall is None else stall.output)
        self._sent = [0] * len(feeds)
        self._offered = [False] * len(feeds)
        self._since = [feed.interval for feed in feeds]
        self._entered: list[int] = []
        """The cycle in which each image's first beat was taken, by the first feed."""
        self._beats = [0] * len(watches)
        self._passed = [0] * len(watches)
        self._standing: list[list[int]] = [[] for _ in watches]
        self._wrong: list[set[int]] = [set() for _ in watches]
        self._fixed = any(watch.valid is None for watch in watches)

    def rest(self) -> None:
        """Offer nothing."""
        for feed in self._feeds:
            for places in (feed.valid, feed.start):
                if places is not None:
                    self._machine.put(places, constant(0, 1))

    def drive(self) -> None:
        """Put the next beat at every input that has one; what stands there without one is unknown."""
        first = self._machine.program.bits
        for i, feed in enumerate(self._feeds):
            image, beat = divmod(self._sent[i], len(feed.counts))
            if image < self._bench.images and not self._offered[i]:
                if feed.whole and beat:
                    self._offered[i] = True
                elif beat or self._since[i] >= feed.interval:
                    self._offered[i] = not self._holds[0].waits()
            self._since[i] += 1
            count, at = (feed.counts[beat], sum(feed.counts[:beat])) if self._offered[i] else (0, 0)
            width = len(feed.data) // feed.lanes
            if count < feed.lanes:
                self._machine.put(feed.data, first[feed.data])
            # One after the other: terms are numbered anew where there are too many.
            for lane in range(count):
                number = image * self._bench.total + feed.numbers[at + lane]
                self._machine.put(feed.data[lane * width : (lane + 1) * width], self._bench.symbol(number, width))
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
        if len(self._takes):
            self._machine.put(self._takes, np.array([not self._holds[1].waits() for _ in self._takes], np.int64))

    def _enter(self) -> None:
        """Note the cycle in which an image's first beat is taken."""
        feed = self._feeds[0]
        starts = self._offered[0] and self._sent[0] == len(self._entered) * len(feed.counts)
        if starts and self._bench.bit("a ready of an input", int(feed.ready[0])):
            self._entered.append(self._bench.cycle)

    def _is_there(self, i: int, watch: Watch) -> bool:
        """Whether a beat stands at a stream: by its valid, or because it is due."""
        if watch.valid is not None:
            return self._bench.bit(f"the valid of '{watch.name}'", int(watch.valid[0])) == 1
        image, beat = divmod(self._beats[i], len(watch.counts))
        return image < len(self._entered) and self._bench.cycle == self._entered[image] + watch.latency + beat

    def look(self) -> None:
        """Judge what stands valid at each stream, and cut it."""
        if self._fixed:
            self._enter()
        for i, watch in enumerate(self._watches):
            self._look(i, watch)

    def _look(self, i: int, watch: Watch) -> None:
        self._standing[i] = []
        if not self._is_there(i, watch):
            return
        bench = self._bench
        image, beat = divmod(self._beats[i], len(watch.counts))
        if image == bench.images:
            raise StoppedError(f"'{watch.name}' gives a value too many in cycle {bench.cycle}")
        count, at = watch.counts[beat], self._passed[i] - image * len(watch.order)
        for name, places, wanted in watch.flags:
            if bench.bit(f"'{name}'", int(places[0])) != int(beat in wanted):
                raise StoppedError(f"'{name}' is wrong with value {at} of image {image}, in cycle {bench.cycle}")
        for lane, bit in enumerate(() if watch.keep is None else watch.keep):
            if bench.bit(f"the keep of '{watch.name}'", int(bit)) != int(lane < count):
                raise StoppedError(
                    f"the keep of '{watch.name}' is wrong in lane {lane} of beat {beat} of image {image}, "
                    f"in cycle {bench.cycle}"
                )
        width = len(watch.data) // watch.lanes
        for lane in range(count):
            places = watch.data[lane * width : (lane + 1) * width]
            if bench.judge is None:
                self._standing[i].append(bench.value(watch.name, places))
            else:
                self._value(i, watch, places, image, at + lane)
        bench.settle()

    def _value(self, i: int, watch: Watch, places: Places, image: int, index: int) -> None:
        """Judge a value, number `index` of an image in its stream."""
        bench = self._bench
        if watch.same:
            if not bench.stands(places, image * bench.total + watch.numbers[index]):
                raise StoppedError(f"'{watch.name}' is not the value of '{watch.tap}' in cycle {bench.cycle}")
            return
        place = Place(image, watch.tap, *watch.order[index], bench.cycle)
        finding = bench.judged(watch.name, places, place, cut=watch.cut)
        number = image * len(watch.order) + index
        if finding is not None and number not in self._wrong[i]:
            self._wrong[i].add(number)
            bench.found(finding)

    def observe(self) -> bool:
        """Count what passes in this cycle."""
        bench, moved = self._bench, False
        for i, feed in enumerate(self._feeds):
            if bench.bit("a ready of an input", int(feed.ready[0])) and self._offered[i]:
                if self._sent[i] % len(feed.counts) == 0:
                    self._since[i] = 1
                self._sent[i] += 1
                self._offered[i] = False
                moved = True
        for i, watch in enumerate(self._watches):
            if self._is_there(i, watch) and bench.bit(f"the ready of '{watch.name}'", int(watch.ready[0])):
                for lane, value in enumerate(self._standing[i]):
                    image, index = divmod(self._passed[i] + lane, len(watch.order))
                    bench.seen.append(Seen(watch.name, image * bench.total + watch.numbers[index], value))
                self._passed[i] += watch.counts[self._beats[i] % len(watch.counts)]
                self._beats[i] += 1
                moved = True
        return moved

    def check_complete(self) -> None:
        """Every stream has given the values of all images."""
        for i, watch in enumerate(self._watches):
            of = len(watch.order) * self._bench.images
            if self._passed[i] != of:
                given = f"gave {self._passed[i]} of {of} values"
                raise StoppedError(f"'{watch.name}' {given}, and nothing moved for {self._bench.idle} cycles")

    def counts(self) -> dict[str, Count]:
        """Values that passed, by stream, and those of them that are proved."""
        return {
            watch.name: Count(self._passed[i], self._passed[i] - len(self._wrong[i]))
            for i, watch in enumerate(self._watches)
        }

    def wanted(self) -> int:
        """Values of all images."""
        return sum(len(watch.order) for watch in self._watches) * self._bench.images
