"""channel_argmax.v: the channel of the greatest value."""

from pathlib import Path

import cocotb
import pytest

from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import STREAM_STALLS
from testbenches.common.stream import packed

PIXELS = 24


def traffic(dut, name):
    """Pixels of random values, of few values so that several are the greatest, of ends; the first of the greatest."""
    names = ("WORDS", "LANES", "CLASSES", "X_W", "X_SIGNED")
    words, lanes, classes, bits, signed = (getattr(dut, key).value.to_signed() for key in names)
    rng = generator(f"channel_argmax {name} {words} {lanes} {classes} {bits} {signed}")
    low = -(1 << (bits - 1)) if signed else 0
    high = low + (1 << bits) - 1
    x = rng.integers(low, high + 1, (PIXELS, words * lanes))
    x[1], x[2] = low, high
    x[3:12] = rng.choice([low, high, (low + high) // 2], x[3:12].shape)
    for i in range(12, PIXELS):  # one above all others, at each place in turn
        x[i] = low
        x[i, i % (words * lanes)] = high
    y = []
    for row in x.tolist():
        best = 0
        for channel in range(classes):
            if row[channel] > row[best]:
                best = channel
        y.append(best)
    return rng, {"s_axis": packed(x, lanes, bits)}, {"m_axis": y}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def gives_the_first_of_the_greatest(dut, stall):
    """Of the classes alone, under every stall pattern."""
    rng, sent, expected = traffic(dut, stall)
    await check_stalls(await Bench.started(dut), sent, expected, stall, rng)


@cocotb.test()
async def takes_a_beat_every_cycle(dut):
    """Without stalls a beat enters every cycle, and a number leaves one cycle after its pixel's last one."""
    words = dut.WORDS.value.to_signed()
    _, sent, expected = traffic(dut, "rate")
    cycles = await check_rate(await Bench.started(dut), sent, expected)
    assert cycles == [words * (i + 1) for i in range(PIXELS)]


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """After a reset a new pixel begins, of which nothing is known."""
    rng, sent, expected = traffic(dut, "reset")
    await check_reset(await Bench.started(dut), sent, expected, rng)


@cocotb.test()
async def shows_values_without_waiting(dut):
    """A tvalid does not wait for tready."""
    rng, sent, _ = traffic(dut, "paths")
    await check_paths(await Bench.started(dut), sent, rng, registered=False)


@pytest.mark.parametrize(
    ("words", "lanes", "classes", "bits", "signed", "y"),
    [(10, 1, 10, 20, 1, 4), (1, 1, 1, 1, 0, 1), (3, 4, 9, 8, 0, 4), (1, 5, 3, 32, 1, 2), (4, 2, 8, 1, 0, 3)],
)
def test_channel_argmax(words: int, lanes: int, classes: int, bits: int, signed: int, y: int, tmp_path: Path) -> None:
    """channel_argmax.v gives the channel of the greatest of signed and unsigned values, and of bits."""
    parameters = {"WORDS": words, "LANES": lanes, "CLASSES": classes, "X_W": bits, "X_SIGNED": signed, "Y_W": y}
    simulate(__name__, "channel_argmax", tmp_path, parameters)
