"""The streams of a design in a run: what its inputs are fed, and its outputs and taps, judged as values appear."""

from typing import NamedTuple

import numpy as np

from fxsim.prove.bench import Bench, Count, Seen, Side, StoppedError
from fxsim.prove.judge import Place
from fxsim.prove.machine import constant
from fxsim.prove.program import Places
from fxsim.simulate.stall import Stall


class Feed(NamedTuple):
    """An input stream: its ports' places, and the numbers of an image's values, in order. `last` is None: no tlast."""

    data: Places
    valid: Places
    ready: Places
    last: Places | None
    numbers: tuple[int, ...]


class Watch(NamedTuple):
    """A stream that is judged: its places, and token and channel of each value of an image, in order.

    `tap`: the tap that its values are; `numbers`: theirs, in order. `same`: they are judged to be the tap's values
    themselves, already judged, and not cut. `flags`: names and places of bits that are 1 with the value of this number
    in an image, 0 with all others.
    """

    name: str
    tap: str
    data: Places
    valid: Places
    ready: Places
    order: tuple[tuple[int | None, int], ...]
    numbers: tuple[int, ...]
    same: bool = False
    flags: tuple[tuple[str, Places, int], ...] = ()


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
        self._passed = [0] * len(watches)
        self._standing = [0] * len(watches)
        self._bad = [0] * len(watches)

    def drive(self) -> None:
        """Put the next value at every input that has one; what stands there without one is unknown."""
        for i, feed in enumerate(self._feeds):
            if self._sent[i] < len(feed.numbers) * self._bench.images and not self._offered[i]:
                self._offered[i] = not self._holds[0].waits()
            if not self._offered[i]:
                first = self._machine.program.bits
                self._machine.put(feed.data, first[feed.data])
                if feed.last is not None:
                    self._machine.put(feed.last, first[feed.last])
            else:
                image, index = divmod(self._sent[i], len(feed.numbers))
                number = image * self._bench.total + feed.numbers[index]
                self._machine.put(feed.data, self._bench.symbol(number, len(feed.data)))
                if feed.last is not None:
                    self._machine.put(feed.last, constant(index == len(feed.numbers) - 1, 1))
            self._machine.put(feed.valid, constant(self._offered[i], 1))
        if len(self._takes):
            self._machine.put(self._takes, np.array([not self._holds[1].waits() for _ in self._takes], np.int64))

    def look(self) -> None:
        """Judge what stands valid at each stream, and cut it."""
        for i, watch in enumerate(self._watches):
            self._look(i, watch)

    def _look(self, i: int, watch: Watch) -> None:
        bench = self._bench
        if bench.bit(f"the valid of '{watch.name}'", int(watch.valid[0])) == 0:
            return
        if self._passed[i] == len(watch.order) * bench.images:
            raise StoppedError(f"'{watch.name}' gives a value too many in cycle {bench.cycle}")
        image, index = divmod(self._passed[i], len(watch.order))
        token, channel = watch.order[index]
        for name, places, wanted in watch.flags:
            if bench.bit(f"'{name}'", int(places[0])) != int(index == wanted):
                raise StoppedError(f"'{name}' is wrong with value {index} of image {image}, in cycle {bench.cycle}")
        if bench.judge is None:
            self._standing[i] = bench.value(watch.name, watch.data)
            return
        if watch.same:
            if not bench.stands(watch.data, image * bench.total + watch.numbers[index]):
                raise StoppedError(f"'{watch.name}' is not the value of '{watch.tap}' in cycle {bench.cycle}")
            return
        self._bad[i] += not bench.judged(watch.name, watch.data, Place(image, watch.tap, token, channel, bench.cycle))
        bench.settle()

    def observe(self) -> bool:
        """Count what passes in this cycle."""
        bench, moved = self._bench, False
        for i, feed in enumerate(self._feeds):
            if bench.bit("a ready of an input", int(feed.ready[0])) and self._offered[i]:
                self._sent[i] += 1
                self._offered[i] = False
                moved = True
        for i, watch in enumerate(self._watches):
            valid = bench.bit(f"the valid of '{watch.name}'", int(watch.valid[0]))
            if valid and bench.bit(f"the ready of '{watch.name}'", int(watch.ready[0])):
                if bench.judge is None:
                    image, index = divmod(self._passed[i], len(watch.order))
                    number = image * bench.total + watch.numbers[index]
                    bench.seen.append(Seen(watch.name, number, self._standing[i]))
                self._passed[i] += 1
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
        return {w.name: Count(self._passed[i], self._passed[i] - self._bad[i]) for i, w in enumerate(self._watches)}

    def wanted(self) -> int:
        """Values of all images."""
        return sum(len(watch.order) for watch in self._watches) * self._bench.images
