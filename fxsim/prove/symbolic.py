"""A run of a design with concrete control and symbolic data: every value is judged as it appears.

A value that stands at a tap is judged, and cut: a variable takes its place for all that is computed of it. So what
follows is judged as a function of the taps before it, for all values that these could have.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from fxsim.prove.bench import Bench, Count, Part, Seen, StoppedError
from fxsim.prove.bus import Bus, BusSetup
from fxsim.prove.judge import Finding, Judge
from fxsim.prove.machine import Machine, constant
from fxsim.prove.monitors import Monitor, Monitors
from fxsim.prove.program import Places
from fxsim.prove.streams import Feed, Streams, Watch
from fxsim.simulate.stall import Stall


class Setup(NamedTuple):
    """The surroundings of a design.

    `resets`: places of rst; `takes`: of the readies that are given; `quiet`: of what stays 0.
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
    monitors: tuple[Monitor, ...] = ()
    bus: BusSetup | None = None

    def fed(self) -> list[int]:
        """The numbers of all values of an image that the design is given."""
        numbers = [n for feed in self.feeds for n in feed.numbers]
        return numbers if self.bus is None else numbers + self.bus.fed()


class Outcome(NamedTuple):
    """The outcome of a run: cycles, counts by stream, the first findings, and why it stopped early, if it did."""

    cycles: int
    counts: dict[str, Count]
    findings: tuple[Finding, ...]
    stopped: str


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
        self._report = report
        self._bench = bench = Bench(machine, judge, given, total, images, setup.idle)
        self._parts: tuple[Part, ...] = (
            Streams(bench, setup.feeds, setup.watches, setup.takes, stall),
            Monitors(bench, setup.monitors),
        )
        if setup.bus is not None:
            self._parts = (*self._parts, Bus(bench, setup.bus, stall))

    def seen(self) -> list[Seen]:
        """The values of a run of concrete ones, of each stream in their order."""
        return self._bench.seen

    def run(self) -> Outcome:
        """Reset, then go on until every stream has given the values of all images, and a while longer."""
        stopped = ""
        try:
            self._reset()
            self._go()
        except StoppedError as reason:
            stopped = str(reason)
        counts = {name: count for part in self._parts for name, count in part.counts().items()}
        return Outcome(self._bench.cycle, counts, tuple(self._bench.findings), stopped)

    def _reset(self) -> None:
        """Cycles of reset, in which nothing is known of any other input, but that nothing is offered where so said."""
        setup, machine = self._setup, self._machine
        if setup.reset_cycles == 0:
            return
        machine.put(setup.resets, constant(1, len(setup.resets)))
        for part in self._parts if setup.idle_reset else ():
            part.rest()
        for _ in range(setup.reset_cycles):
            machine.propagate()
            machine.tick()
        machine.put(setup.resets, constant(0, len(setup.resets)))
        self._bench.cycle = setup.reset_cycles

    def _go(self) -> None:
        bench, parts = self._bench, self._parts
        wanted = sum(part.wanted() for part in parts)
        idle = 0
        while True:
            for part in parts:
                part.drive()
            self._machine.propagate()
            for part in parts:
                part.look()
            # Each of them, whatever moved before it.
            moved = sum(part.observe() for part in parts) > 0
            for name, places in self._setup.quiet.items():
                if any(bench.bit(name, place) for place in places):
                    raise StoppedError(f"'{name}' is 1 in cycle {bench.cycle}, expected 0 throughout")
            self._machine.tick()
            bench.cycle += 1
            idle = 0 if moved else idle + 1
            if idle > self._setup.idle:
                break
            if self._report is not None and bench.cycle % 256 == 0:
                self._report(sum(count.values for part in parts for count in part.counts().values()), wanted)
        for part in parts:
            part.check_complete()
