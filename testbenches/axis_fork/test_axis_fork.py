"""axis_fork.v: one stream to two, each value once on either side."""

from pathlib import Path

import cocotb
import pytest

from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls, gaps
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import STREAM_STALLS, blocked, flowing
from testbenches.common.stream import packed

SIDES = ("m0_axis", "m1_axis")


def traffic(dut):
    """200 random values, and both sides' beats of them."""
    bits = dut.DATA_W.value.to_signed()
    values = packed(generator(f"axis_fork values {bits}").integers(0, 1 << bits, 200), 1, bits)
    return {"s_axis": values}, dict.fromkeys(SIDES, values)


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def gives_each_value_once_to_either_side(dut, stall):
    """Both sides get every value once, in order, each stalled on its own."""
    await check_stalls(await Bench.started(dut, outputs=SIDES), *traffic(dut), stall, generator(f"axis_fork {stall}"))


@cocotb.test()
async def takes_a_value_every_cycle(dut):
    """Without stalls a value passes every cycle, in the cycle in which it is offered."""
    bench = await Bench.started(dut, outputs=SIDES)
    assert await check_rate(bench, *traffic(dut), output="m0_axis") == list(range(200))
    assert gaps(bench.monitors["m1_axis"].cycles) == [1] * 199


@cocotb.test()
@cocotb.parametrize(first=[0, 1])
async def waits_for_the_other_side(dut, first):
    """A value taken on one side only is not given to it again, nor is the next, until the other side has it too."""
    bench = await Bench.started(dut, outputs=SIDES)
    bench.sinks[SIDES[first]].stall = flowing()
    bench.sinks[SIDES[1 - first]].stall = blocked()
    values = traffic(dut)[0]["s_axis"][:3]
    bench.sources["s_axis"].send(values)
    await bench.step(10)
    assert bench.monitors[SIDES[first]].beats == values[:1]
    assert bench.monitors[SIDES[1 - first]].beats == []
    assert bench.monitors["s_axis"].beats == []
    bench.stall(flowing(), flowing())
    await bench.step(10)
    assert bench.monitors[SIDES[0]].beats == bench.monitors[SIDES[1]].beats == values


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """A reset forgets on which side a value was taken."""
    await check_reset(await Bench.started(dut, outputs=SIDES), *traffic(dut), generator("axis_fork reset"), times=12)


@cocotb.test()
async def shows_values_without_waiting(dut):
    """A tvalid does not wait for tready on either side."""
    bench = await Bench.started(dut, outputs=SIDES)
    await check_paths(bench, traffic(dut)[0], generator("axis_fork paths"), registered=False)


@pytest.mark.parametrize("bits", [8, 1, 13])
def test_axis_fork(bits: int, tmp_path: Path) -> None:
    """axis_fork.v gives each value exactly once to either side."""
    simulate(__name__, "axis_fork", tmp_path, {"DATA_W": bits})
