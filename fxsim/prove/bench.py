"""The bench, which all parts of a run share: the machine in its cycle, the judge, and what was found and seen so far.

A part drives some inputs of a design and watches some of its outputs: its streams, its monitors, its registers and
memory. `Run` has each of them act once in a cycle.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from fxsim.prove.judge import VALUE_BITS, Finding, Judge, Place
from fxsim.prove.machine import Codes, Machine, constant
from fxsim.prove.program import Places
from fxsim.simulate.stall import Random

FINDINGS_MAX = 100
"""Most findings that are told of one run; all are counted."""


class Count(NamedTuple):
    """Values of a stream that were judged, and of these those proved."""

    values: int
    proved: int


class Seen(NamedTuple):
    """A value that a stream gave in a run of concrete ones: the number of the value, its image's, and what it is."""

    stream: str
    number: int
    value: int


class StoppedError(Exception):
    """The run cannot go on: control is no longer concrete, or nothing moves."""


class Part(Protocol):
    """A part of what stands around a design."""

    def rest(self) -> None:
        """Offer nothing."""

    def drive(self) -> None:
        """Put this cycle's inputs."""

    def look(self) -> None:
        """Judge what stands at outputs, and cut it."""

    def observe(self) -> bool:
        """Take what passes in this cycle; whether anything did."""

    def check_complete(self) -> None:
        """StoppedError where something has not come that must."""

    def counts(self) -> dict[str, Count]:
        """Values that were judged so far, by stream."""

    def wanted(self) -> int:
        """Values that are to be judged in all."""


class Bench:
    """The machine, the judge and the findings of a run. `judge` None: of concrete values (`given`), only collected."""

    def __init__(
        self, machine: Machine, judge: Judge | None, given: Sequence[int], total: int, images: int, idle: int
    ) -> None:
        self.machine = machine
        self.judge = judge
        self.total = total
        self.images = images
        self.idle = idle
        self.cycle = 0
        self.findings: list[Finding] = []
        self.seen: list[Seen] = []
        self._given = given
        self._changed = False

    def symbol(self, number: int, width: int) -> Codes:
        """The bits of a value, extended by its sign to so many: its variable's, or what is given."""
        if self.judge is None:
            return constant(self._given[number], width)
        own = self.machine.variable(number, VALUE_BITS)
        return own if width == VALUE_BITS else np.concatenate([own, np.repeat(own[-1:], width - VALUE_BITS)])

    def bit(self, what: str, place: int) -> int:
        """A bit that must be constant; StoppedError with what it depends on where it is not."""
        bit = int(self.machine.bits[place])
        if bit not in (0, 1):
            why = f"depends on {self.machine.reason(bit)}" if bit < 0 else "depends on data"
            raise StoppedError(f"{what} {why} in cycle {self.cycle}: control must not")
        return bit

    def word(self, what: str, places: Places) -> int:
        """A number, unsigned, that must be constant; StoppedError as `bit`."""
        bits = self.machine.bits[places]
        if ((bits < 0) | (bits > 1)).any():
            for place in places.tolist():
                self.bit(what, place)
        return sum(bit << i for i, bit in enumerate(bits.tolist()))

    def value(self, name: str, places: Places) -> int:
        """A value of a run of concrete ones, in two's complement; StoppedError where it is none."""
        codes = self.machine.bits[places]
        if ((codes < 0) | (codes > 1)).any():
            raise StoppedError(f"'{name}' depends in cycle {self.cycle} on {self.machine.reason(int(codes.min()))}")
        value = int((codes << np.arange(len(codes))).sum())
        return value - (1 << len(codes)) if value >> len(codes) - 1 & 1 else value

    def judged(self, name: str, places: Places, place: Place, *, cut: bool = True) -> Finding | None:
        """Judge what stands at some places, and, to `cut`, put its variable there; None where it is proved."""
        assert self.judge is not None
        self.machine.make_room()
        codes = self.machine.bits[places]
        own = self.symbol(self.judge.number(place), len(places))
        if np.array_equal(codes, own):
            return None
        finding = self.judge.judge(codes[:VALUE_BITS], place)
        if finding is None and (codes[VALUE_BITS:] != codes[VALUE_BITS - 1]).any():
            text = f"its bits above the lowest {VALUE_BITS} are not seen to be its sign"
            finding = Finding(kind="form", text=text, **place._asdict())
        if not cut:
            return finding
        if self.machine.program.owners[places].min() < 0:
            raise StoppedError(f"'{name}' has a bit that is constant in the netlist: nothing can be put in its place")
        self.put(places, own)
        return finding

    def put(self, places: Places, codes: Codes) -> None:
        """Put bits in place of what was computed; what follows of them is known when all is settled."""
        self.machine.put(places, codes)
        self._changed = True

    def settle(self) -> None:
        """Evaluate what follows of all that was put."""
        if self._changed:
            self._changed = False
            self.machine.propagate()

    def stands(self, places: Places, number: int) -> bool:
        """Whether the variable of a value stands at some places."""
        self.machine.make_room()
        codes = self.machine.bits[places]
        return np.array_equal(codes, self.symbol(number, len(places)))

    def found(self, finding: Finding) -> None:
        """Note a finding."""
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(finding)


class Side:
    """One side of a handshake, which waits in a random part of the cycles; `number`: of those of one pattern."""

    def __init__(self, side: object, number: int = 0) -> None:
        seed = (side.seed + (number << 32)) if isinstance(side, Random) else 0
        self._random = random.Random(seed)  # noqa: S311  # a pattern, no secret
        self._share = side.millionths / 1e6 if isinstance(side, Random) else 0.0

    def waits(self) -> bool:
        """Whether it waits in the next cycle."""
        return self._share > 0 and self._random.random() < self._share
