"""A module under test with its clock, its reset, and a driver and a monitor on each of its streams.

A cycle begins at the falling edge. The drivers set the inputs there; once everything has settled all pins are sampled;
what was sampled is what the rising edge then acts on. So nothing depends on the order in which a simulator runs what
happens at a rising edge.
"""

from collections.abc import Callable, Mapping
from typing import Any

from cocotb.triggers import FallingEdge, ReadOnly, Timer

from testbenches.common.pins import start_clock
from testbenches.common.stalls import Stall
from testbenches.common.stream import Monitor, Sink, Source, Stream
from testbenches.common.taps import Taps

Sidebands = Mapping[str, tuple[str, ...]]

STILL = 1000
"""Cycles in which nothing passes, after which nothing ever will."""


class Bench:
    """`inputs` and `outputs` name the streams of the module, `sidebands` their further signals, `taps` those of mon_*.

    `monitors` has one for every stream and every tap, by name.
    """

    def __init__(
        self,
        dut: Any,
        inputs: tuple[str, ...] = ("s_axis",),
        outputs: tuple[str, ...] = ("m_axis",),
        sidebands: Sidebands | None = None,
        taps: tuple[str, ...] = (),
    ) -> None:
        self.dut = dut
        self.cycle = 0
        further = sidebands or {}
        self.sources = {name: Source(Stream(dut, name, further.get(name, ()))) for name in inputs}
        self.sinks = {name: Sink(Stream(dut, name, further.get(name, ()))) for name in outputs}
        self.streams = {name: end.stream for name, end in (self.sources | self.sinks).items()}
        self.taps = Taps(dut, taps) if taps else None
        watched = self.streams | (self.taps.streams if self.taps else {})
        self.monitors = {name: Monitor(stream) for name, stream in watched.items()}
        self.observers: list[Callable[[int], None]] = []

    @classmethod
    async def started(cls, dut: Any, **streams: Any) -> "Bench":
        """A bench whose clock runs and whose module has been reset."""
        await Timer(1, "ns")
        bench = cls(dut, **streams)
        start_clock(dut)
        await bench.reset()
        return bench

    def stall(self, sources: Stall, sinks: Stall) -> None:
        """Give all sources one stall pattern, and all sinks another."""
        for source in self.sources.values():
            source.stall = sources
        for sink in self.sinks.values():
            sink.stall = sinks

    async def reset(self, cycles: int = 3) -> None:
        """Hold rst for some cycles, whatever goes on; nothing may be valid from the first clock edge on."""
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 1
        for source in self.sources.values():
            source.reset()
        for monitor in self.monitors.values():
            monitor.reset()
        for _ in range(cycles):
            await FallingEdge(self.dut.clk)
            await ReadOnly()
            for name in self.sinks:
                stream = self.streams[name]
                stream.sample()
                assert not stream.valid, f"{name} is valid while rst is high"
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0
        for stream in self.streams.values():
            stream.fired = False

    async def step(self, cycles: int = 1) -> None:
        """Run some clock cycles."""
        for _ in range(cycles):
            await FallingEdge(self.dut.clk)
            for end in self.sources.values():
                end.drive()
            for sink in self.sinks.values():
                sink.drive()
            await ReadOnly()
            for stream in self.streams.values():
                stream.sample()
            if self.taps:
                self.taps.sample()
            for monitor in self.monitors.values():
                monitor.sample(self.cycle)
            for observe in self.observers:
                observe(self.cycle)
            self.cycle += 1

    async def until(self, done: Callable[[], bool], limit: int) -> None:
        """Run until `done`.

        AssertionError naming the state of every stream if that takes more than `limit` cycles, or nothing passes on any
        stream for STILL of them.
        """
        still = 0
        for cycles in range(limit):
            if done():
                return
            if still == STILL:
                raise AssertionError(f"not done after {cycles} cycles, stuck for {STILL}; {self._states()}")
            await self.step()
            still = 0 if any(stream.fired for stream in self.streams.values()) else still + 1
        raise AssertionError(f"not done after {limit} cycles; {self._states()}")

    def _states(self) -> str:
        return ", ".join(map(str, self.streams.values()))
