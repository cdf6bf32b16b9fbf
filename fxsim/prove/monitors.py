"""The monitors of a design in a run: words of several values, judged in the cycle in which they are shown."""

from collections import Counter
from typing import NamedTuple

from fxsim.devices.provable import LANE_BITS, Lane
from fxsim.prove.bench import Bench, Count, Seen, StoppedError
from fxsim.prove.judge import Finding, Place
from fxsim.prove.machine import constant
from fxsim.prove.program import Places


class Monitor(NamedTuple):
    """A monitor: its places, and what the lanes of each word of an image are, the words in their order.

    `numbers` [word][lane]: those of the values, -1 for a lane that holds none.
    """

    name: str
    data: Places
    valid: Places
    words: tuple[tuple[Lane, ...], ...]
    numbers: tuple[tuple[int, ...], ...]


class Monitors:
    """All monitors of a design."""

    def __init__(self, bench: Bench, monitors: tuple[Monitor, ...]) -> None:
        self._bench = bench
        self._monitors = monitors
        self._shown = [0] * len(monitors)
        self._values: Counter[str] = Counter()
        self._bad: Counter[str] = Counter()
        for monitor in monitors:
            for word in monitor.words:
                self._values.update({lane.tap: 0 for lane in word})

    def rest(self) -> None:
        """Nothing: monitors only show."""

    def drive(self) -> None:
        """Nothing: monitors only show."""

    def look(self) -> None:
        """Judge each word that is shown, and cut it."""
        for i, monitor in enumerate(self._monitors):
            if self._bench.bit(f"the valid of '{monitor.name}'", int(monitor.valid[0])) == 1:
                self._word(i, monitor)

    def _word(self, i: int, monitor: Monitor) -> None:
        bench = self._bench
        if self._shown[i] == len(monitor.words) * bench.images:
            raise StoppedError(f"'{monitor.name}' shows a word too many in cycle {bench.cycle}")
        image, index = divmod(self._shown[i], len(monitor.words))
        for at, lane in enumerate(monitor.words[index]):
            places = monitor.data[LANE_BITS * at : LANE_BITS * (at + 1)]
            if lane.holds is not None:
                self._padding(monitor.name, places, image, lane)
                continue
            self._values[lane.tap] += 1
            if bench.judge is None:
                number = image * bench.total + monitor.numbers[index][at]
                bench.seen.append(Seen(lane.tap, number, bench.value(monitor.name, places)))
            else:
                place = Place(image, lane.tap, lane.token, lane.channel, bench.cycle)
                if (finding := bench.judged(f"lane {at} of '{monitor.name}'", places, place)) is not None:
                    self._bad[lane.tap] += 1
                    bench.found(finding)
        bench.settle()

    def _padding(self, name: str, places: Places, image: int, lane: Lane) -> None:
        """A lane behind the last channel holds its constant; from here on it does, where it did not."""
        bench, wanted = self._bench, lane.holds
        assert wanted is not None
        codes = bench.machine.bits[places]
        if (codes == constant(wanted, len(places))).all():
            return
        if bench.judge is None:
            raise StoppedError(f"a lane of '{name}' behind the last channel is not {wanted} in cycle {bench.cycle}")
        if codes.min() < 0:
            text = f"depends on {bench.machine.reason(int(codes.min()))}"
        else:
            text = "depends on data" if codes.max() > 1 else f"holds {bench.value(name, places)}"
        bench.found(
            Finding(
                kind="lane", image=image, tap=lane.tap, token=lane.token, channel=lane.channel, cycle=bench.cycle,
                text=f"this lane, behind the last channel, {text}, expected {wanted}",
            )
        )  # fmt: skip
        if bench.machine.program.owners[places].min() >= 0:
            bench.put(places, constant(wanted, len(places)))

    def observe(self) -> bool:
        """Count the words that were shown."""
        moved = False
        for i, monitor in enumerate(self._monitors):
            if self._bench.bit(f"the valid of '{monitor.name}'", int(monitor.valid[0])) == 1:
                self._shown[i] += 1
                moved = True
        return moved

    def check_complete(self) -> None:
        """Every monitor has shown the words of all images."""
        for i, monitor in enumerate(self._monitors):
            of = len(monitor.words) * self._bench.images
            if self._shown[i] != of:
                raise StoppedError(
                    f"'{monitor.name}' showed {self._shown[i]} of {of} words, and nothing moved for "
                    f"{self._bench.idle} cycles"
                )

    def counts(self) -> dict[str, Count]:
        """Values that were shown, by tap, and those of them that are proved."""
        return {tap: Count(values, values - self._bad[tap]) for tap, values in self._values.items()}

    def wanted(self) -> int:
        """Values of all images."""
        return sum(n >= 0 for m in self._monitors for word in m.numbers for n in word) * self._bench.images
