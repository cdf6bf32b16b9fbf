"""A memory behind an AXI4 master, on cocotbext-axi: with latency, ids that overtake each other, and faults on demand.

What to know of cocotbext-axi 0.1.28:

- Its default size of 2^64 bytes fails (`len` of its memory overflows); addresses wrap at `size`, so that a smaller one
  hides wrong upper bits: the ranges of `AxiRules` see those.
- `AxiRam` serves reads strictly in order of their requests, whatever their ids, and at once. `Memory` does better.
- `clear_pause_generator` leaves a channel as paused as it was: set `pause` to False too, as `pause` here does.
- Payloads are X until a channel's first beat, and stale between beats.
- Its models act right after a rising edge; what they drive has settled at the next falling one.
- They see a reset by its edge. Make them before rst first rises, or they run through that reset. A register access
  that a reset cuts off returns None.
- `AxiLiteMaster` issues accesses one behind the other and without waiting for answers, if they are started with
  `start_soon`; an access of more than 4 bytes, or across a word, becomes several and answers the worst.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiBus, AxiRamRead, AxiRamWrite
from cocotbext.axi.sparse_memory import SparseMemory

from testbenches.common.axi import PAGE_BYTES, WORD_BYTES, Range
from testbenches.common.stalls import Stall

SIZE = 1 << 62

Tamper = Callable[[int, Any], Iterable[Any]]
"""What is sent instead of a beat of read data, given its number since the memory was told to tamper."""


class _Reads(AxiRamRead):
    """Beats of a burst in order, of different ids in any order."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.latency = 0
        self.shuffle: np.random.Generator | None = None
        self.tamper: Tamper | None = None
        self.beats = 0
        super().__init__(*arguments, **options)

    def _beats(self, request: Any) -> Iterable[Any]:
        address, beats = int(request.araddr), int(request.arlen) + 1
        assert address % PAGE_BYTES + WORD_BYTES * beats <= PAGE_BYTES
        for k in range(beats):
            beat = self.r_channel._transaction_obj()
            beat.rid, beat.rresp, beat.rlast = int(request.arid), 0, k == beats - 1
            beat.rdata = int.from_bytes(self.read((address + WORD_BYTES * k) % self.size, WORD_BYTES), "little")
            yield beat

    async def _process_read(self) -> None:
        edge = RisingEdge(self.clock)
        waiting: dict[int, deque[tuple[int, Any]]] = {}
        cycle = 0
        while True:
            await edge
            cycle += 1
            while not self.ar_channel.empty():
                request = self.ar_channel.recv_nowait()
                queue = waiting.setdefault(int(request.arid), deque())
                queue.extend((cycle + self.latency, beat) for beat in self._beats(request))
            due = {name: queue for name, queue in waiting.items() if queue and queue[0][0] <= cycle}
            if not due or self.r_channel.count() >= self.r_channel.queue_occupancy_limit:
                continue
            if self.shuffle is None:
                queue = min(due.values(), key=lambda queue: queue[0][0])
            else:
                queue = due[int(self.shuffle.choice(list(due)))]
            beat = queue.popleft()[1]
            for one in [beat] if self.tamper is None else self.tamper(self.beats, beat):
                await self.r_channel.send(one)
            self.beats += 1


class _Writes(AxiRamWrite):
    """Answers SLVERR where a word lies in `refused`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.refused: Range = (0, 0)
        super().__init__(*arguments, **options)

    async def _write(self, address: int, data: bytes) -> None:
        if self.refused[0] <= address < self.refused[1]:
            raise PermissionError(address)
        self.write(address % self.size, data)


class Memory:
    """Memory at the AXI4 master `prefix` of a module whose clock and reset are `clk` and `rst`."""

    def __init__(self, dut: Any, prefix: str = "m_axi") -> None:
        self.memory = SparseMemory(SIZE)
        bus = AxiBus.from_prefix(dut, prefix)
        self.reads = _Reads(bus.read, dut.clk, dut.rst, mem=self.memory)
        self.writes = _Writes(bus.write, dut.clk, dut.rst, mem=self.memory)
        for model in (self.reads, self.writes):
            # A line for every burst would be most of the log, and of the time.
            model.log.setLevel(logging.ERROR)

    def store(self, address: int, data: bytes) -> None:
        """Put bytes where the module will read."""
        self.memory.write(address % SIZE, data)

    def load(self, address: int, size: int) -> bytes:
        """Bytes as they are."""
        return self.memory.read(address % SIZE, size)

    def pause(self, requests: Callable[[], Stall] | None, answers: Callable[[], Stall] | None) -> None:
        """Give each of the five channels a stall pattern of its own; None: never a pause."""
        for channel in (self.reads.ar_channel, self.writes.aw_channel, self.writes.w_channel):
            pause(channel, requests and requests())
        for channel in (self.reads.r_channel, self.writes.b_channel):
            pause(channel, answers and answers())

    def tamper(self, how: Tamper | None) -> None:
        """Change what is read from now on; None: no longer."""
        self.reads.tamper = how
        self.reads.beats = 0


def pause(channel: Any, stall: Stall | None) -> None:
    """Give a cocotbext-axi source or sink a stall pattern; None: never a pause."""
    channel.clear_pause_generator()
    channel.pause = False
    if stall is not None:
        channel.set_pause_generator(stall)
