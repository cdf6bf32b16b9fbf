"""Registers and memory around a design in a run: an AXI4-Lite master that does a program, and an AXI4 memory.

All that is control is concrete: addresses, lengths, strobes, handshakes, what registers read. Only bytes of the images
are symbolic; what stands on a channel without its valid is unknown. One word is 16 bytes, one beat one word.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fxsim.devices.provable import LANE_BITS, Access, ProofBus, ProofRegion
from fxsim.prove.bench import Bench, Count, Seen, Side, StoppedError
from fxsim.prove.machine import Codes, constant
from fxsim.prove.program import Places
from fxsim.simulate.stall import Stall

OF_REGISTERS = (
    *("awaddr", "awvalid", "awready", "wdata", "wstrb", "wvalid", "wready", "bresp", "bvalid", "bready"),
    *("araddr", "arvalid", "arready", "rdata", "rresp", "rvalid", "rready"),
)
OF_MEMORY = (
    *("awid", "awaddr", "awlen", "awsize", "awburst", "awvalid", "awready"),
    *("wdata", "wstrb", "wlast", "wvalid", "wready", "bid", "bresp", "bvalid", "bready"),
    *("arid", "araddr", "arlen", "arsize", "arburst", "arvalid", "arready"),
    *("rid", "rdata", "rresp", "rlast", "rvalid", "rready"),
)
"""Ports of the two buses that are driven or looked at, without their prefixes."""

WORD = 16
_SIZE, _INCR, _PAGE = 4, 1, 4096
_OKAY = 0


class BusSetup(NamedTuple):
    """A bus with the places of its ports, and the numbers of the values in memory, -1 for bytes that hold none."""

    bus: ProofBus
    ports: Mapping[str, Places]
    numbers: Mapping[str, tuple[int, ...]]

    def fed(self) -> list[int]:
        """The numbers of an image's values that are read."""
        return [n for region in self.bus.reads for n in self.numbers.get(region.name, ()) if n >= 0]


class _Found(NamedTuple):
    """A place in memory: of which region and image, and which byte of it."""

    region: ProofRegion
    image: int
    byte: int


@dataclass
class _Read:
    """A burst that is answered: its next address, beats left, id, and the first cycle in which it may be."""

    address: int
    left: int
    id: int
    due: int


@dataclass
class _Written:
    """A burst of writes: its next address, beats left, its id."""

    address: int
    left: int
    id: int


class _Beat(NamedTuple):
    """A beat of a write: of each byte a constant or, 256 and more, a value's number; None is neither."""

    lanes: tuple[int | None, ...]
    last: int


_NUMBER = 1 << LANE_BITS
"""Added to the number of a value in a beat."""


class _Channels:
    """The ports of a bus by name, each driven only where it changes."""

    def __init__(self, bench: Bench, prefix: str, ports: Mapping[str, Places]) -> None:
        self._bench = bench
        self._prefix = prefix
        self._ports = ports
        self._driven: dict[str, int | None] = {}
        self._stood: dict[str, tuple[int, ...]] = {}

    def name(self, port: str) -> str:
        """A port's whole name."""
        return f"{self._prefix}_{port}"

    def places(self, port: str) -> Places:
        """A port's places."""
        return self._ports[self.name(port)]

    def put(self, port: str, value: int | None) -> None:
        """Drive a port; None: with anything."""
        if port in self._driven and self._driven[port] == value:
            return
        self._driven[port] = value
        places, machine = self.places(port), self._bench.machine
        machine.put(places, machine.program.bits[places] if value is None else constant(value, len(places)))

    def forget(self, port: str) -> None:
        """Drive a port anew the next time, whatever it was last driven with."""
        self._driven.pop(port, None)

    def bit(self, port: str) -> int:
        """A handshake's bit."""
        name = self.name(port)
        return self._bench.bit(f"'{name}'", int(self._ports[name][0]))

    def word(self, port: str) -> int:
        """A number that stands at a port."""
        return self._bench.word(f"'{self.name(port)}'", self.places(port))

    def expect(self, port: str, value: int) -> None:
        """StoppedError where another number stands at a port."""
        if (got := self.word(port)) != value:
            raise StoppedError(f"'{self.name(port)}' is {got:#x} in cycle {self._bench.cycle}, expected {value:#x}")

    def stays(self, channel: str, ready: bool, standing: tuple[int, ...] | None) -> None:
        """StoppedError where what stood valid in the cycle before and was not taken has gone, or is another."""
        before = self._stood.pop(channel, None)
        if before is not None and before != standing:
            raise StoppedError(
                f"'{self.name(channel)}' takes back in cycle {self._bench.cycle} what it showed before it was taken"
            )
        if standing is not None and not ready:
            self._stood[channel] = standing


class Bus:
    """The master and the memory, with the waits of a schedule: requests as inputs, writes as outputs."""

    def __init__(self, bench: Bench, setup: BusSetup, stall: Stall | None) -> None:
        self._bench = bench
        self._setup = setup
        self._memory = _Memory(bench, setup, stall)
        self._master = _Master(bench, setup, stall)

    def rest(self) -> None:
        """Offer nothing, neither requests nor answers."""
        for channels, valids in (
            (self._master.on, ("awvalid", "wvalid", "arvalid")),
            (self._memory.on, ("rvalid", "bvalid")),
        ):
            for valid in valids:
                channels.put(valid, 0)

    def drive(self) -> None:
        """Put this cycle's inputs."""
        self._memory.drive()
        self._master.drive()

    def look(self) -> None:
        """Nothing: values were proved at taps."""

    def observe(self) -> bool:
        """Take what passes."""
        moved = self._memory.observe()
        moved |= self._master.observe()
        return self._master.interrupt(self._memory) or moved

    def check_complete(self) -> None:
        """The program is done, and everything is written."""
        self._master.check_complete()
        self._memory.check_complete()

    def counts(self) -> dict[str, Count]:
        """Values that were written: each of them is proved."""
        return {self._setup.bus.writes.name: Count(self._memory.values, self._memory.values)}

    def wanted(self) -> int:
        """Values of all images."""
        return sum(n >= 0 for n in self._setup.numbers[self._setup.bus.writes.name]) * self._bench.images


class _Master:
    """The master: it does one access after the other."""

    def __init__(self, bench: Bench, setup: BusSetup, stall: Stall | None) -> None:
        self._bench = bench
        self._program = setup.bus.program
        self._irq = setup.ports[setup.bus.irq.name]
        self.on = _Channels(bench, setup.bus.registers, setup.ports)
        sides = (None, None) if stall is None else (stall.input, stall.output)
        self._requests = [Side(sides[0], n) for n in (11, 12)]
        self._responses = [Side(sides[1], n) for n in (13, 14)]
        self._step = 0
        self._offered = [False, False]
        self._taken = [False, False]
        self._finished = False

    def _now(self) -> Access | None:
        return self._program[self._step] if self._step < len(self._program) else None

    def _value(self, access: Access) -> int:
        return (access.value + access.each * self._bench.images) & 0xFFFFFFFF

    def drive(self) -> None:
        """Offer the access that is due; be ready, or not, for its answer."""
        access, on = self._now(), self.on
        kind = None if access is None else access.kind
        for i in range(2):
            due = kind == "write" or (kind == "read" and i == 0)
            if due and not self._taken[i] and not self._offered[i]:
                self._offered[i] = not self._requests[i].waits()
        write = kind == "write"
        on.put("awvalid", int(write and self._offered[0]))
        on.put("awaddr", access.address if access is not None and write and self._offered[0] else None)
        on.put("wvalid", int(write and self._offered[1]))
        on.put("wdata", self._value(access) if access is not None and write and self._offered[1] else None)
        on.put("wstrb", 0xF if write and self._offered[1] else None)
        read = kind == "read" and self._offered[0]
        on.put("arvalid", int(read))
        on.put("araddr", access.address if access is not None and read else None)
        on.put("bready", int(not self._responses[0].waits()))
        on.put("rready", int(not self._responses[1].waits()))

    def observe(self) -> bool:
        """Take what was accepted and answered; StoppedError where an answer is wrong, or comes unasked."""
        access, on, moved = self._now(), self.on, False
        for i, (valid, ready) in enumerate((("awvalid", "awready"), ("wvalid", "wready"))):
            if access is not None and access.kind == "read" and i == 0:
                valid, ready = "arvalid", "arready"
            if on.bit(ready) and on.bit(valid):
                self._offered[i], self._taken[i], moved = False, True, True
        for answer, kind, both in (("b", "write", True), ("r", "read", False)):
            if not on.bit(f"{answer}valid"):
                on.stays(answer, ready=True, standing=None)
                continue
            if access is None or access.kind != kind or not self._taken[0] or (both and not self._taken[1]) or moved:
                raise StoppedError(f"'{on.name(answer)}valid' is 1 in cycle {self._bench.cycle}, and nothing is owed")
            on.expect(f"{answer}resp", _OKAY)
            if kind == "read" and (got := on.word("rdata")) != self._value(access):
                raise StoppedError(
                    f"the register at {access.address:#x} reads {got:#x} in cycle {self._bench.cycle}, expected "
                    f"{self._value(access):#x}"
                )
            taken = bool(on.bit(f"{answer}ready"))
            on.stays(answer, taken, (on.word("rdata") if kind == "read" else 0,))
            if taken:
                self._next()
                moved = True
        return moved

    def interrupt(self, memory: "_Memory") -> bool:
        """Go on where the interrupt was waited for; StoppedError where it comes too early, or stays."""
        high = self._bench.bit("the interrupt", int(self._irq[0]))
        access = self._now()
        if high and access is not None and access.kind == "wait":
            if not memory.complete():
                raise StoppedError(f"the interrupt comes in cycle {self._bench.cycle}, before all is written")
            self._finished = True
            self._next()
            return True
        if high and (access is None or not self._finished):
            raise StoppedError(f"the interrupt is 1 in cycle {self._bench.cycle}, expected 0")
        return False

    def _next(self) -> None:
        self._step += 1
        self._offered, self._taken = [False, False], [False, False]

    def check_complete(self) -> None:
        """StoppedError where the program has not come to its end."""
        access = self._now()
        if access is not None:
            what = f"{access.kind}s register {access.address:#x}"
            what = "waits for the interrupt" if access.kind == "wait" else what
            raise StoppedError(f"the program {what}, and nothing moved for {self._bench.idle} cycles")


@dataclass
class _Answers:
    """Answers to writes that are owed: id and the first cycle of each; `offered` is the one that stands."""

    owed: deque[tuple[int, int]] = field(default_factory=deque)
    offered: bool = False


class _Memory:
    """The memory: it answers reads in the order of their addresses, and takes writes."""

    def __init__(self, bench: Bench, setup: BusSetup, stall: Stall | None) -> None:
        self._bench = bench
        self._setup = setup
        self._bus = setup.bus
        self.on = _Channels(bench, setup.bus.memory, setup.ports)
        sides = (None, None) if stall is None else (stall.input, stall.output)
        channels = (("ar", 0), ("r", 0), ("aw", 1), ("w", 1), ("b", 1))
        self._waits = {name: Side(sides[side], number) for number, (name, side) in enumerate(channels)}
        self._reads: deque[_Read] = deque()
        self._offered = False
        self._addresses: deque[_Written] = deque()
        self._beats: deque[_Beat] = deque()
        self._answers = _Answers()
        self._written: set[tuple[int, int]] = set()
        self._answered = 0
        self.values = 0

    # --- Inputs ---

    def drive(self) -> None:
        """Readies, the beat that stands, the answer that stands."""
        on, cycle = self.on, self._bench.cycle
        for channel in ("ar", "aw", "w"):
            on.put(f"{channel}ready", int(not self._waits[channel].waits()))
        if not self._offered and self._reads and self._reads[0].due <= cycle and not self._waits["r"].waits():
            self._offered = True
            self._give(self._reads[0])
        elif not self._offered:
            for port in ("rid", "rdata", "rresp", "rlast"):
                on.put(port, None)
        on.put("rvalid", int(self._offered))
        answers = self._answers
        if not answers.offered and answers.owed and answers.owed[0][1] <= cycle and not self._waits["b"].waits():
            answers.offered = True
        on.put("bvalid", int(answers.offered))
        on.put("bid", answers.owed[0][0] if answers.offered else None)
        on.put("bresp", _OKAY if answers.offered else None)

    def _give(self, burst: _Read) -> None:
        """Put the word at a burst's address."""
        on, machine = self.on, self._bench.machine
        on.put("rid", burst.id)
        on.put("rresp", _OKAY)
        on.put("rlast", int(burst.left == 1))
        found = self._find(burst.address, self._bus.reads)
        assert found is not None
        # Bytes that were put one by one are not what it was last driven with.
        on.forget("rdata")
        places, content = on.places("rdata"), found.region.content
        if isinstance(content, bytes):
            word = int.from_bytes(content[found.byte : found.byte + WORD], "little")
            on.put("rdata", word)
            return
        on.put("rdata", None)
        on.forget("rdata")
        numbers = self._setup.numbers[found.region.name]
        for at in range(WORD):
            lane = content[found.byte + at]
            own = places[LANE_BITS * at : LANE_BITS * (at + 1)]
            if lane is None:
                continue
            if lane.holds is not None:
                machine.put(own, constant(lane.holds, LANE_BITS))
            else:
                number = found.image * self._bench.total + numbers[found.byte + at]
                machine.put(own, self._bench.symbol(number, LANE_BITS))

    def _find(self, address: int, regions: tuple[ProofRegion, ...]) -> _Found | None:
        """The place of a whole word in one of some regions."""
        for region in regions:
            offset = address - region.base
            image, byte = divmod(offset, region.stride) if region.stride else (0, offset)
            if offset >= 0 and byte + WORD <= len(region.content) and image < self._bench.images:
                return _Found(region, image, byte)
        return None

    # --- Outputs ---

    def observe(self) -> bool:
        """Take requests, beats and answers; StoppedError where one breaks a rule."""
        on, moved = self.on, False
        if (request := self._request("ar", self._bus.reads)) is not None:
            moved = True
            self._reads.append(_Read(*request, due=self._bench.cycle + self._bus.latency))
        if self._offered and on.bit("rready"):
            moved = True
            self._offered = False
            burst = self._reads[0]
            burst.address += WORD
            burst.left -= 1
            if burst.left == 0:
                self._reads.popleft()
        if (request := self._request("aw", (self._bus.writes,))) is not None:
            moved = True
            self._addresses.append(_Written(*request))
        if (beat := self._beat()) is not None:
            moved = True
            self._beats.append(beat)
        if self._answers.offered and on.bit("bready"):
            moved = True
            self._answers.offered = False
            self._answers.owed.popleft()
            self._answered += 1
        while self._addresses and self._beats:
            self._write(self._addresses[0], self._beats.popleft())
        return moved

    def _request(self, channel: str, regions: tuple[ProofRegion, ...]) -> tuple[int, int, int] | None:
        """An address that is taken in this cycle, with its beats and id; None where none is."""
        on, cycle = self.on, self._bench.cycle
        if not on.bit(f"{channel}valid"):
            on.stays(channel, ready=True, standing=None)
            return None
        address, beats, name = on.word(f"{channel}addr"), on.word(f"{channel}len") + 1, on.name(channel)
        number = on.word(f"{channel}id")
        on.expect(f"{channel}size", _SIZE)
        on.expect(f"{channel}burst", _INCR)
        ready = bool(on.bit(f"{channel}ready"))
        on.stays(channel, ready, (address, beats, number))
        where = f"'{name}addr' is {address:#x} in cycle {cycle}, of {beats} beats"
        if address % WORD:
            raise StoppedError(f"{where}: expected a multiple of {WORD}")
        if address % _PAGE + beats * WORD > _PAGE:
            raise StoppedError(f"{where}: the burst crosses {_PAGE} bytes")
        if any(self._find(address + WORD * i, regions) is None for i in range(beats)):
            raise StoppedError(f"{where}: expected only {', '.join(region.name for region in regions)}")
        return (address, beats, number) if ready else None

    def _beat(self) -> _Beat | None:
        """A beat of a write that is taken in this cycle."""
        on = self.on
        if not on.bit("wvalid"):
            on.stays("w", ready=True, standing=None)
            return None
        on.expect("wstrb", (1 << WORD) - 1)
        beat = _Beat(self._lanes(), on.word("wlast"))
        ready = bool(on.bit("wready"))
        on.stays("w", ready, tuple(-1 if lane is None else lane for lane in (*beat.lanes, beat.last)))
        return beat if ready else None

    def _lanes(self) -> tuple[int | None, ...]:
        """The bytes of what is written: constants, or values by their numbers."""
        machine = self._bench.machine
        codes = machine.bits[self.on.places("wdata")].reshape(WORD, LANE_BITS)
        return tuple(_byte(lane) if lane.max() < 2 else _value(machine.number_of(lane)) for lane in codes)

    def _write(self, burst: _Written, beat: _Beat) -> None:
        """Judge a word that is written: it must be what belongs there, for the first time."""
        bench, cycle = self._bench, self._bench.cycle
        found = self._find(burst.address, (self._bus.writes,))
        assert found is not None
        name, content = found.region.name, found.region.content
        assert not isinstance(content, bytes)
        where = f"byte {found.byte} of '{name}' of image {found.image}"
        if beat.last != int(burst.left == 1):
            raise StoppedError(f"'{self.on.name('wlast')}' is {beat.last} with {burst.left} beats left, cycle {cycle}")
        if (found.image, found.byte) in self._written:
            raise StoppedError(f"{where} is written again in cycle {cycle}")
        self._written.add((found.image, found.byte))
        for at, got in enumerate(beat.lanes):
            lane = content[found.byte + at]
            number = self._setup.numbers[name][found.byte + at]
            if lane is None:
                continue
            if lane.holds is not None:
                if got != lane.holds:
                    raise StoppedError(f"byte {at} behind {where} is not {lane.holds} in cycle {cycle}")
                continue
            number += found.image * bench.total
            self.values += 1
            if bench.judge is None and got is not None and got < _NUMBER:
                bench.seen.append(Seen(name, number, got - _NUMBER if got >= _NUMBER // 2 else got))
            elif got != _NUMBER + number:
                raise StoppedError(f"byte {at} behind {where} is not the value of '{lane.tap}' in cycle {cycle}")
        burst.address += WORD
        burst.left -= 1
        if burst.left == 0:
            self._addresses.popleft()
            self._answers.owed.append((burst.id, cycle + self._bus.latency))

    # --- The end ---

    def complete(self) -> bool:
        """Whether all is written and answered, and nothing else is under way."""
        words = len(self._bus.writes.content) // WORD * self._bench.images
        under_way = self._reads or self._addresses or self._beats or self._answers.owed
        return len(self._written) == words and not under_way

    def check_complete(self) -> None:
        """StoppedError where something is missing."""
        if not self.complete():
            raise StoppedError(f"'{self._bus.writes.name}' is not written whole, or a transfer is not at its end")


def _value(number: int | None) -> int | None:
    """A value's number as it stands in a beat."""
    return None if number is None else _NUMBER + number


def _byte(codes: Codes) -> int | None:
    """A constant byte, or None where a bit is unknown."""
    return None if codes.min() < 0 else int((codes << np.arange(LANE_BITS)).sum())
