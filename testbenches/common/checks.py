"""What every stream module is held to, whatever it computes: its values under stalls, its rate, its reset."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from cocotb.triggers import ReadOnly, Timer

from testbenches.common.bench import Bench
from testbenches.common.stalls import PAIRS, WAITING, flowing, random
from testbenches.common.stream import Beat, known

SETTLE_CYCLES = 40
"""Cycles after the last expected beat in which a surplus one would show."""

Traffic = Mapping[str, Sequence[Beat]]
"""Beats by name of the stream."""


def compare(name: str, got: Sequence[Beat], expected: Sequence[Beat]) -> None:
    """Hold a stream's beats to those expected; the message names the first that differs."""
    for index, (one, other) in enumerate(zip(got, expected, strict=False)):
        assert one == other, f"{name}: beat {index} is {one}, expected {other}"
    assert len(got) == len(expected), f"{name}: {len(got)} beats, expected {len(expected)}"


async def play(bench: Bench, sent: Traffic, expected: Traffic) -> None:
    """Send beats into the inputs and wait for all those expected from the outputs: these, in order, and no more."""
    for name, values in sent.items():
        bench.sources[name].send(values)
    longest = max(map(len, [*sent.values(), *expected.values()]))
    outputs = [(bench.monitors[name], len(values)) for name, values in expected.items()]

    def done() -> bool:
        return all(len(monitor.beats) >= count for monitor, count in outputs) and all(
            source.idle for source in bench.sources.values()
        )

    try:
        await bench.until(done, 500 + 20 * longest)
        await bench.step(SETTLE_CYCLES)
    finally:
        # A difference says more than the wait that it may have led to.
        for name, values in expected.items():
            compare(name, bench.monitors[name].beats[: len(values)], values[: len(bench.monitors[name].beats)])
    for name, values in expected.items():
        compare(name, bench.monitors[name].beats, values)


async def check_stalls(bench: Bench, sent: Traffic, expected: Traffic, stall: str, rng: np.random.Generator) -> None:
    """The module gives what is expected under one of the stall patterns, every stream stalled on its own."""
    pair = PAIRS["none" if stall == WAITING else stall]
    for source in bench.sources.values():
        source.stall = pair(rng)[0]
    for sink in bench.sinks.values():
        sink.stall = pair(rng)[1]
        sink.waits = stall == WAITING
    await play(bench, sent, expected)


async def check_reset(bench: Bench, sent: Traffic, expected: Traffic, rng: np.random.Generator, times: int = 5) -> None:
    """Whatever a reset interrupts, the module then gives what is expected of it from the beginning. `times` resets."""
    longest = max(map(len, sent.values()))
    for _ in range(times):
        bench.stall(random(rng, 0.3), random(rng, 0.6))
        for name, values in sent.items():
            bench.sources[name].send(values)
        await bench.step(int(rng.integers(2, longest + 20)))
        await bench.reset(cycles=int(rng.integers(1, 4)))
        # What a reset left behind may show only where one side waits for the other.
        source_share, sink_share = rng.permutation([0.0, 0.5])
        bench.stall(random(rng, source_share), random(rng, sink_share))
        await play(bench, sent, expected)


async def check_rate(bench: Bench, sent: Traffic, expected: Traffic, output: str = "m_axis") -> list[int]:
    """Without any stall: the values, and the cycle of each beat of `output`, counted from the first input taken."""
    bench.stall(flowing(), flowing())
    await play(bench, sent, expected)
    first = min(bench.monitors[name].cycles[0] for name in sent)
    return [cycle - first for cycle in bench.monitors[output].cycles]


def gaps(cycles: Sequence[int]) -> list[int]:
    """Cycles between each beat and the next."""
    return [after - before for before, after in itertools.pairwise(cycles)]


async def check_paths(
    bench: Bench, sent: Traffic, rng: np.random.Generator, registered: bool, cycles: int = 150
) -> None:
    """No tvalid depends on its own tready within a cycle; with `registered`, neither side depends on the other at all.

    The pins are turned round after they have settled, and back before the clock edge.
    """
    bench.stall(random(rng, 0.3), random(rng, 0.5))
    for name, values in sent.items():
        bench.sources[name].send(values)
    outputs = [(sink.stream.name, sink.stream.tvalid) for sink in bench.sinks.values()]
    inputs = [(source.stream.name, source.stream.tready) for source in bench.sources.values()]
    readies = [sink.stream.tready for sink in bench.sinks.values()]
    valids = [source.stream.tvalid for source in bench.sources.values()]
    for _ in range(cycles):
        await bench.step()
        settled = {name: known(handle) for name, handle in outputs + inputs}
        for driven, watched in ((readies, outputs + (inputs if registered else [])), (valids, outputs)):
            if driven is valids and not registered:
                continue
            before = [known(handle) for handle in driven]
            await Timer(250, "ps")
            for handle, value in zip(driven, before, strict=True):
                handle.value = 1 - value
            await ReadOnly()
            for name, handle in watched:
                assert known(handle) == settled[name], f"{name} depends on the other side within a cycle"
            await Timer(50, "ps")
            for handle, value in zip(driven, before, strict=True):
                handle.value = value
