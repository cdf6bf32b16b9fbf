"""channel_concat.v: the channels of two streams, one after the other."""

from pathlib import Path

import cocotb
import pytest

from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import STREAM_STALLS, flowing

INPUTS = ("s0_axis", "s1_axis")
PIXELS = 20


def traffic(dut, name):
    """Pixels of random beats of both, and both of each pixel in turn."""
    first, second, bits = (getattr(dut, key).value.to_signed() for key in ("X_WORDS", "R_WORDS", "DATA_W"))
    rng = generator(f"channel_concat {name} {first} {second} {bits}")
    x, r = (rng.integers(0, 1 << bits, (PIXELS, words)).tolist() for words in (first, second))
    y = [beat for one, other in zip(x, r, strict=True) for beat in one + other]
    sent = {name: [beat for pixel in each for beat in pixel] for name, each in zip(INPUTS, (x, r), strict=True)}
    return rng, sent, {"m_axis": y}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def takes_turns(dut, stall):
    """Each pixel's beats of the first stream, then those of the second, under every stall pattern."""
    rng, sent, expected = traffic(dut, stall)
    await check_stalls(await Bench.started(dut, inputs=INPUTS), sent, expected, stall, rng)


@cocotb.test()
async def passes_a_beat_every_cycle(dut):
    """In the cycle in which it comes."""
    _, sent, expected = traffic(dut, "rate")
    cycles = await check_rate(await Bench.started(dut, inputs=INPUTS), sent, expected)
    assert cycles == list(range(len(expected["m_axis"])))


@cocotb.test()
async def waits_for_the_second(dut):
    """Alone, the first stream is taken for one pixel, the second for none: what depths of FIFOs count on."""
    for late, words in ((1, dut.X_WORDS.value.to_signed()), (0, 0)):
        _, sent, _ = traffic(dut, f"late {late}")
        bench = await Bench.started(dut, inputs=INPUTS)
        name = INPUTS[1 - late]
        bench.sources[name].send(sent[name])
        bench.stall(flowing(), flowing())
        await bench.step(30)
        assert len(bench.monitors[name].beats) == words


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """After a reset a pixel begins with the first stream."""
    rng, sent, expected = traffic(dut, "reset")
    await check_reset(await Bench.started(dut, inputs=INPUTS), sent, expected, rng)


@cocotb.test()
async def shows_values_without_waiting(dut):
    """A tvalid does not wait for tready."""
    rng, sent, _ = traffic(dut, "paths")
    await check_paths(await Bench.started(dut, inputs=INPUTS), sent, rng, registered=False)


@pytest.mark.parametrize(("first", "second", "bits"), [(1, 1, 8), (2, 3, 8), (5, 1, 1), (1, 4, 20)])
def test_channel_concat(first: int, second: int, bits: int, tmp_path: Path) -> None:
    """channel_concat.v passes pixels of any numbers of beats."""
    simulate(__name__, "channel_concat", tmp_path, {"X_WORDS": first, "R_WORDS": second, "DATA_W": bits})
