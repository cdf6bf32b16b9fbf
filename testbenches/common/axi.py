"""AXI4 and AXI4-Lite: monitors that hold both sides of a bus to the rules, and record what passes.

Pins are sampled as `bench.py` does it, settled before a rising edge. So these monitors go with drivers that act at a
falling edge and with cocotbext-axi's, which act right after a rising one.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cocotb
from cocotb.triggers import FallingEdge, ReadOnly

from testbenches.common.stream import Monitor, ProtocolError, Stream, known

WORD_BYTES = 16
PAGE_BYTES = 4096
INCR = 1
OKAY, EXOKAY, SLVERR, DECERR = range(4)

Range = tuple[int, int]
"""The first byte and the one behind the last."""

REQUEST = ("id", "addr", "len", "size", "burst", "lock", "cache", "prot")
FIELDS = {
    "aw": REQUEST,
    "w": ("data", "strb", "last"),
    "b": ("id", "resp"),
    "ar": REQUEST,
    "r": ("id", "data", "resp", "last"),
}
LITE_FIELDS = {
    "aw": ("addr", "prot"),
    "w": ("data", "strb"),
    "b": ("resp",),
    "ar": ("addr", "prot"),
    "r": ("data", "resp"),
}


class Channel(Stream):
    """One of a bus's five channels; `beat` is a tuple of `fields`, in their order."""

    def __init__(self, dut: Any, prefix: str, name: str, fields: Sequence[str]) -> None:
        self.name = f"{prefix}_{name}"
        self.tvalid = getattr(dut, f"{self.name}valid")
        self.tready = getattr(dut, f"{self.name}ready")
        self.payload = [getattr(dut, f"{self.name}{field}") for field in fields]
        self.fields = tuple(fields)
        self.valid = self.ready = self.fired = False
        self.beat: Any = ()

    def sample(self) -> None:
        """As a stream's, but the beat of a single field is a tuple too, and ready is looked at beside valid only.

        That saves a third of a simulation's time.
        """
        self.valid = known(self.tvalid) == 1
        self.ready = self.valid and known(self.tready) == 1
        self.fired = self.ready
        if self.valid:
            self.beat = tuple(map(known, self.payload))

    def __getitem__(self, field: str) -> int:
        """One field of the beat."""
        return int(self.beat[self.fields.index(field)])


class Burst(NamedTuple):
    """A request that was taken."""

    cycle: int
    id: int
    address: int
    beats: int


class _Rules:
    """What AXI4 and AXI4-Lite have in common: channels, their handshakes, and the reset.

    `driven`: the channels whose valid is the module's.
    """

    def __init__(self, dut: Any, prefix: str, fields: Mapping[str, Sequence[str]], driven: Sequence[str]) -> None:
        self.dut = dut
        self.cycle = 0
        self.channels = {name: Channel(dut, prefix, name, of) for name, of in fields.items()}
        self.monitors = {name: Monitor(channel) for name, channel in self.channels.items()}
        self.driven = [self.channels[name] for name in driven]
        self.was_reset = False

    def forget(self) -> None:
        """Start afresh, as a reset does: records, and whatever was under way."""
        for monitor in self.monitors.values():
            monitor.reset()

    def sample(self, cycle: int | None = None) -> None:
        """Look at one cycle, after its signals have settled; ProtocolError where a rule is broken.

        In the first cycle of a reset the module has not seen it yet, so anything may be valid, but passes nothing. From
        the next to the one after the reset nothing of the module's is valid.
        """
        self.cycle = self.cycle + 1 if cycle is None else cycle
        reset = known(self.dut.rst) == 1
        if self.was_reset:
            for channel in self.driven:
                if known(channel.tvalid):
                    raise ProtocolError(f"cycle {self.cycle}: {channel.name} is valid after a clock edge with rst high")
        self.was_reset = reset
        if reset:
            self.forget()
            return
        for name, channel in self.channels.items():
            channel.sample()
            self.monitors[name].sample(self.cycle)
        # Responses first: one that is shown in the cycle of its request came without having been asked.
        self._look_at_responses()
        self._look_at_requests()

    def _look_at_responses(self) -> None:
        raise NotImplementedError

    def _look_at_requests(self) -> None:
        raise NotImplementedError

    def broken(self, channel: str, what: str) -> ProtocolError:
        """The error that a channel breaks a rule."""
        return ProtocolError(f"cycle {self.cycle}: {self.channels[channel].name} {what}")

    def watch(self) -> None:
        """Sample every cycle from now on, for a test without a `Bench`; a broken rule fails the test."""

        async def run() -> None:
            while True:
                await FallingEdge(self.dut.clk)
                await ReadOnly()
                self.sample()

        cocotb.start_soon(run())


class AxiRules(_Rules):
    """Monitor of a module's AXI4 master of 16-byte words: INCR bursts of whole words in order within each id.

    `burst`: the most beats of one. `reads`: by id, the ranges that it may read; None for any id and any range.
    `writes`: the ranges that may be written. `memory_checked` False: the memory may break rules of its own (unasked
    responses, wrong rlast), as in tests of the module's answer to that. A read burst is then over after as many beats
    as it asked for.
    """

    def __init__(
        self,
        dut: Any,
        prefix: str = "m_axi",
        burst: int = 256,
        reads: Mapping[int, Sequence[Range]] | None = None,
        writes: Sequence[Range] | None = None,
    ) -> None:
        super().__init__(dut, prefix, FIELDS, ("aw", "w", "ar"))
        self.burst = burst
        self.reads_allowed = reads
        self.writes_allowed = writes
        self.memory_checked = True
        self.forget()

    def forget(self) -> None:
        """As after a reset."""
        super().forget()
        self.reads: list[Burst] = []
        self.writes: list[Burst] = []
        self.read_beats: list[tuple[int, int, int]] = []
        """Cycle, id and address of every beat of read data."""
        self.written: dict[int, int] = {}
        """The word written at each address."""
        self.most_reads = self.most_writes = 0
        """The most bursts under way at a time."""
        self._reading: dict[int, deque[list[int]]] = {}  # by id, of each burst: next address, beats left
        self._waiting: deque[Burst] = deque()  # write requests whose data has not all come
        self._early: deque[list[int]] = deque()  # data of bursts, complete but for the last, not yet requested
        self._passed: list[int] = []  # data words of the burst under way
        self._unanswered: deque[int] = deque()  # ids of writes whose request and data have passed

    @property
    def outstanding_reads(self) -> int:
        """Read bursts whose data has not all come."""
        return sum(map(len, self._reading.values()))

    @property
    def outstanding_writes(self) -> int:
        """Write bursts requested and not yet answered."""
        return len(self._waiting) + len(self._unanswered)

    def assert_quiet(self) -> None:
        """Nothing is shown, and everything requested has been finished."""
        for channel in self.driven:
            assert channel.fired or not channel.valid, f"{channel} is not quiet"
        assert not self.outstanding_reads, f"{self.outstanding_reads} reads are under way"
        assert not self.outstanding_writes, f"{self.outstanding_writes} writes are under way"
        early = len(self._passed) + sum(map(len, self._early))
        assert not early, f"{early} words of write data passed without a request"

    def _look_at_responses(self) -> None:
        b, r = self.channels["b"], self.channels["r"]
        if b.valid and self.memory_checked and b["id"] not in self._unanswered:
            raise self.broken("b", f"answers id {b['id']}, none of whose writes is complete")
        if b.fired and b["id"] in self._unanswered:
            self._unanswered.remove(b["id"])
        if r.valid:
            bursts = self._reading.get(r["id"])
            if not bursts:
                if self.memory_checked:
                    raise self.broken("r", f"answers id {r['id']}, which has asked for nothing")
                return
            left = bursts[0][1]
            if self.memory_checked and bool(r["last"]) != (left == 1):
                raise self.broken("r", f"has rlast {r['last']} with {left} beats left of the burst of id {r['id']}")
            if r.fired:
                self.read_beats.append((self.cycle, r["id"], bursts[0][0]))
                bursts[0][0] += WORD_BYTES
                bursts[0][1] -= 1
                if left == 1:
                    bursts.popleft()

    def _look_at_requests(self) -> None:
        aw, w, ar = (self.channels[name] for name in ("aw", "w", "ar"))
        if ar.valid:
            allowed = self.reads_allowed
            self._look_at_request("ar", None if allowed is None else allowed.get(ar["id"], ()))
        if aw.valid:
            self._look_at_request("aw", self.writes_allowed)
        if w.valid and w["strb"] != (1 << WORD_BYTES) - 1:
            raise self.broken("w", f"has wstrb {w['strb']:016b}, expected all ones")
        if ar.fired:
            self.reads.append(self._burst(ar))
            self._reading.setdefault(ar["id"], deque()).append([ar["addr"], ar["len"] + 1])
            self.most_reads = max(self.most_reads, self.outstanding_reads)
        if aw.fired:
            self.writes.append(self._burst(aw))
            self._waiting.append(self.writes[-1])
            self.most_writes = max(self.most_writes, self.outstanding_writes)
        if w.fired:
            self._passed.append(w["data"])
            if w["last"]:
                self._early.append(self._passed)
                self._passed = []
        while self._waiting and self._early:
            request, words = self._waiting.popleft(), self._early.popleft()
            if len(words) != request.beats:
                raise self.broken("w", f"has wlast on beat {len(words)} of {request.beats}")
            self.written |= {request.address + WORD_BYTES * k: word for k, word in enumerate(words)}
            self._unanswered.append(request.id)
        if self._waiting and len(self._passed) >= self._waiting[0].beats:
            raise self.broken("w", f"has no wlast on beat {self._waiting[0].beats}, the last")

    def _burst(self, channel: Channel) -> Burst:
        return Burst(self.cycle, channel["id"], channel["addr"], channel["len"] + 1)

    def _look_at_request(self, name: str, allowed: Sequence[Range] | None) -> None:
        channel = self.channels[name]
        start, beats = channel["addr"], channel["len"] + 1
        end = start + WORD_BYTES * beats
        if 1 << channel["size"] != WORD_BYTES:
            raise self.broken(name, f"has size {channel['size']}, expected {WORD_BYTES.bit_length() - 1}")
        if channel["burst"] != INCR:
            raise self.broken(name, f"has burst type {channel['burst']}, expected {INCR}")
        if channel["lock"]:
            raise self.broken(name, "is exclusive")
        if start % WORD_BYTES:
            raise self.broken(name, f"has address {start:#x}, not a multiple of {WORD_BYTES}")
        if beats > self.burst:
            raise self.broken(name, f"has {beats} beats, expected at most {self.burst}")
        if start // PAGE_BYTES != (end - 1) // PAGE_BYTES:
            raise self.broken(name, f"crosses a {PAGE_BYTES}-byte boundary: {start:#x} to {end:#x}")
        if allowed is not None and not any(first <= start and end <= behind for first, behind in allowed):
            ranges = ", ".join(f"{first:#x} to {behind:#x}" for first, behind in allowed) or "nothing"
            raise self.broken(name, f"asks for {start:#x} to {end:#x} as id {channel['id']}, expected {ranges}")


class AxiLiteRules(_Rules):
    """Monitor of a module's AXI4-Lite subordinate, and of who drives it."""

    def __init__(self, dut: Any, prefix: str = "s_axil") -> None:
        super().__init__(dut, prefix, LITE_FIELDS, ("b", "r"))
        self.forget()

    def forget(self) -> None:
        """As after a reset."""
        super().forget()
        self._count = dict.fromkeys(LITE_FIELDS, 0)

    def assert_quiet(self) -> None:
        """Every request has been answered."""
        count = self._count
        assert count["aw"] == count["w"] == count["b"], f"addresses, data and answers of writes: {count}"
        assert count["ar"] == count["r"], f"addresses and answers of reads: {count}"

    def _look_at_responses(self) -> None:
        for name, asked in (("b", min(self._count["aw"], self._count["w"])), ("r", self._count["ar"])):
            channel = self.channels[name]
            if channel.valid and self._count[name] >= asked:
                raise self.broken(name, f"answers {self._count[name] + 1} requests of {asked}")
            if channel.valid and channel["resp"] == EXOKAY:
                raise self.broken(name, "answers EXOKAY, which AXI4-Lite has not")

    def _look_at_requests(self) -> None:
        for name, channel in self.channels.items():
            self._count[name] += channel.fired
