"""window_max.v: the greatest of the pixels of a window."""

from pathlib import Path

import cocotb
import pytest

from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import STREAM_STALLS
from testbenches.common.stream import packed


def traffic(dut, name, windows=12):
    """Windows of random values, ends of the range among them, and the greatest of each, value by value."""
    places, words, lanes, bits, signed = (
        getattr(dut, parameter).value.to_signed() for parameter in ("PLACES", "WORDS", "LANES", "X_W", "X_SIGNED")
    )
    rng = generator(f"window_max {name} {places} {words} {lanes} {bits} {signed}")
    low = -(1 << (bits - 1)) if signed else 0
    high = low + (1 << bits) - 1
    x = rng.integers(low, high + 1, (windows, places, words, lanes))
    x[1], x[2] = low, high
    x[3:6] = rng.choice([low, high, 0 if signed else high], x[3:6].shape)
    # One value above all others, in each place of a window at some time.
    for i in range(6, windows):
        x[i] = low
        x[i, i % places] = min(low + i, high)
    greatest = [
        [[max(int(x[i, p, w, n]) for p in range(places)) for n in range(lanes)] for w in range(words)]
        for i in range(windows)
    ]
    return rng, {"s_axis": packed(x, lanes, bits)}, {"m_axis": packed(greatest, lanes, bits)}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def gives_the_greatest(dut, stall):
    """Every lane's greatest value under every stall pattern."""
    rng, sent, expected = traffic(dut, stall)
    await check_stalls(await Bench.started(dut), sent, expected, stall, rng)


@cocotb.test()
async def takes_a_beat_every_cycle(dut):
    """Without stalls a beat enters every cycle, and each result leaves one cycle after its last one."""
    places, words = dut.PLACES.value.to_signed(), dut.WORDS.value.to_signed()
    _, sent, expected = traffic(dut, "rate")
    cycles = await check_rate(await Bench.started(dut), sent, expected)
    assert cycles == [(i * places + places - 1) * words + w + 1 for i in range(12) for w in range(words)]


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """After a reset a new window begins, of which nothing is known."""
    rng, sent, expected = traffic(dut, "reset")
    await check_reset(await Bench.started(dut), sent, expected, rng)


@cocotb.test()
async def shows_values_without_waiting(dut):
    """A tvalid does not wait for tready."""
    rng, sent, _ = traffic(dut, "paths")
    await check_paths(await Bench.started(dut), sent, rng, registered=False)


@pytest.mark.parametrize(
    ("places", "words", "lanes", "bits", "signed"),
    [
        (1, 1, 1, 1, 0),
        (4, 1, 6, 1, 0),
        (4, 3, 2, 1, 0),
        (9, 2, 3, 8, 1),
        (2, 1, 1, 16, 1),
        (6, 5, 1, 4, 0),
        (3, 4, 2, 2, 1),
    ],
)
def test_window_max(places: int, words: int, lanes: int, bits: int, signed: int, tmp_path: Path) -> None:
    """window_max.v gives the greatest of signed and unsigned values, and of bits."""
    parameters = {"PLACES": places, "WORDS": words, "LANES": lanes, "X_W": bits, "X_SIGNED": signed}
    simulate(__name__, "window_max", tmp_path, parameters)
