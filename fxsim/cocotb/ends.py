"""The two ends of a bus: what drives images into a design, and what watches a tap."""

import random
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn

from fxsim.cocotb.bus import Bus, UnknownError, bits_of, width_of
from fxsim.cocotb.check import TapCheck
from fxsim.cocotb.layout import NONE, Layout, in_order
from fxsim.compare import Values
from fxsim.errors import ComparisonError

Stall = float | Iterable[bool]
"""The share of cycles that are held back, each on its own by the seed; or one value a cycle, True where it is."""

STALL_MAX = 0.999
"""Largest share: an end that holds back for ever would never finish."""

Fault = Callable[[str], NoReturn]
"""Called with the words for what is wrong other than a value: fails the test."""


def stalls(stall: Stall, rng: random.Random) -> Iterator[bool]:
    """One value a cycle, True where it is held back; ComparisonError for a share of none of 0 to `STALL_MAX`."""
    if isinstance(stall, bool) or (not isinstance(stall, int | float) and not isinstance(stall, Iterable)):
        raise ComparisonError(f"stall is {stall!r}, expected a share from 0 to {STALL_MAX}, or a value for each cycle")
    if not isinstance(stall, int | float):
        return iter(stall)
    if not 0 <= stall <= STALL_MAX:
        raise ComparisonError(f"stall is {stall}, expected a share from 0 to {STALL_MAX}")
    share = stall
    return (rng.random() < share for _ in iter(int, 1))


class Driver:
    """Drives images into the design, beat by beat. A beat once shown stays until it is taken; between them is noise."""

    def __init__(self, bus: Bus, layout: Layout, images: Values, stall: Stall, rng: random.Random) -> None:
        self.bus, self.layout = bus, layout
        self._rng = rng
        self._stalls = stalls(stall, rng)
        self._values = in_order(images, layout.tensor, layout.axes)
        self._presenting = False
        self.beats = len(images) * layout.beats
        self.done = 0
        """Beats that were taken."""
        self.state = "not yet driven"
        bus.valid.value = 0

    @property
    def idle(self) -> bool:
        """Whether all images have been taken."""
        return self.done == self.beats

    def reset(self) -> None:
        """Drive the pins in a cycle of a reset."""
        self._presenting = False
        self.bus.valid.value = 0

    def drive(self) -> None:
        """Set the pins for the coming clock edge."""
        held_back = next(self._stalls, False)
        if not self._presenting and not self.idle and not held_back:
            self._presenting = True
            self._show()
        elif not self._presenting:
            self.bus.set_word(self._rng.getrandbits(self.bus.width))
        self.bus.valid.value = int(self._presenting)

    def _show(self) -> None:
        image, beat = divmod(self.done, self.layout.beats)
        start, stop = self.layout.span(beat)
        self.bus.set_word(self.layout.pack(self._values[image, start:stop].tolist()))
        if self.bus.last is not None:
            self.bus.last.value = int(self.layout.is_last(beat))
        if self.bus.keep is not None:
            self.bus.keep.value = self.layout.keep(stop - start, width_of(self.bus.keep))

    def sample(self, fault: Fault, cycle: int) -> bool:
        """See, all pins settled, whether the beat is taken at the coming clock edge."""
        if not self._presenting:
            self.state = "valid 0"
            return False
        try:
            ready = self.bus.is_ready()
        except UnknownError as unknown:
            fault(f"{unknown} (cycle {cycle:,})")
        self.state = f"valid 1, ready {int(ready)}"
        if ready:
            self.done += 1
            self._presenting = False
        return ready


class Monitor:
    """Watches a bus and gives its values to a check; holds `last` and `keep` to the frames.

    With `stable`, what is shown has to stay until it is taken. With `stall` it drives ready, too.
    """

    def __init__(
        self, bus: Bus, layout: Layout, check: TapCheck, stall: Stall | None, stable: bool, rng: random.Random
    ) -> None:
        self.bus, self.layout, self.check, self.stable = bus, layout, check, stable
        self.state = "not yet sampled"
        self._stalls = None if stall is None else stalls(stall, rng)
        self._owed: tuple[str, ...] | None = None
        if self._stalls is not None:
            if bus.ready is None:
                raise ComparisonError(f"tap '{check.tap}': bus {bus.name} has no ready to hold back with stall")
            bus.ready.value = 0

    def reset(self) -> None:
        """Drive the pins in a cycle of a reset; what was shown before need not stay."""
        self._owed = None
        if self._stalls is not None:
            self.bus.ready.value = 0

    def drive(self) -> None:
        """Set ready for the coming clock edge."""
        if self._stalls is not None:
            self.bus.ready.value = int(not next(self._stalls, False))

    def sample(self, fault: Fault, cycle: int) -> bool:
        """Look at one cycle, all pins settled; whether a beat passed."""
        when = f"(cycle {cycle:,})"
        try:
            valid = self.bus.is_valid()
            ready = valid and self.bus.is_ready()
        except UnknownError as unknown:
            fault(f"tap {self.check.tap}: {unknown} {when}")
        self.state = f"valid {int(valid)}" + (f", ready {int(ready)}" if valid and self.bus.ready is not None else "")
        shown = self._payload() if valid else None
        if self._owed is not None and shown != self._owed:
            what = "withdrawn" if shown is None else f"changed to {' '.join(shown)}"
            showed = f"{self.bus.name} showed {' '.join(self._owed)}"
            fault(f"tap {self.check.tap}: {showed}, {what} before it was taken {when}")
        self._owed = shown if self.stable and valid and not ready else None
        if shown is None or not ready:
            return False
        self._take(shown, fault, cycle)
        return True

    def _payload(self) -> tuple[str, ...]:
        sides = (handle for handle in (self.bus.last, self.bus.keep) if handle is not None)
        return (self.bus.word(), *map(bits_of, sides))

    def _take(self, shown: tuple[str, ...], fault: Fault, cycle: int) -> None:
        """Compare a beat: its values, then what stands beside them."""
        done = self.check.done
        image, position = divmod(done, self.layout.tensor.size)
        beat = position // self.layout.unit * self.layout.frame_beats + position % self.layout.unit // self.layout.lanes
        start, stop = self.layout.span(beat)
        self.check.add(self.layout.unpack(shown[0], stop - start), cycle)
        if self.bus.last is not None and self.layout.frame != NONE:
            self._hold("last", bits_of(self.bus.last), int(self.layout.is_last(beat)), image, done, fault, cycle)
        if self.bus.keep is not None:
            keep = bits_of(self.bus.keep)
            self._hold("keep", keep, self.layout.keep(stop - start, len(keep)), image, done, fault, cycle)

    def _hold(self, role: str, bits: str, wanted: int, image: int, done: int, fault: Fault, cycle: int) -> None:
        expected = f"{wanted:0{len(bits)}b}"
        if bits != expected and image < self.check.images:
            where = self.check.place_of(done)
            fault(f"{where}: {role} is {bits.lower()}, expected {expected} with this beat (cycle {cycle:,})")
