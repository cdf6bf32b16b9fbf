"""axis_register.v: a register slice of two entries."""

from pathlib import Path

import cocotb
import numpy as np

from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import STREAM_STALLS, blocked, flowing
from testbenches.common.stream import beats

VALUES = beats(generator("axis_register values").integers(-128, 128, 200).astype(np.int8))
TRAFFIC = ({"s_axis": VALUES}, {"m_axis": VALUES})


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def passes_every_value_on(dut, stall):
    """What enters leaves, in order, under every stall pattern."""
    await check_stalls(await Bench.started(dut), *TRAFFIC, stall, generator(f"axis_register {stall}"))


@cocotb.test()
async def takes_a_value_every_cycle(dut):
    """Without stalls a value leaves every cycle, one cycle after it entered."""
    assert await check_rate(await Bench.started(dut), *TRAFFIC) == list(range(1, 201))


@cocotb.test()
async def holds_two_values(dut):
    """With a blocked output exactly two values enter; both leave when it opens."""
    bench = await Bench.started(dut)
    bench.stall(flowing(), blocked())
    bench.sources["s_axis"].send(VALUES[:5])
    await bench.step(20)
    assert bench.monitors["s_axis"].beats == VALUES[:2]
    bench.stall(flowing(), flowing())
    await bench.step(20)
    assert bench.monitors["m_axis"].beats == VALUES[:5]


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """A reset drops what is inside."""
    await check_reset(await Bench.started(dut), *TRAFFIC, generator("axis_register reset"))


@cocotb.test()
async def keeps_its_sides_apart(dut):
    """Neither side's handshake depends on the other's within a cycle."""
    await check_paths(await Bench.started(dut), TRAFFIC[0], generator("axis_register paths"), registered=True)


def test_axis_register(tmp_path: Path) -> None:
    """axis_register.v passes a stream on at full rate and breaks every combinational path."""
    simulate(__name__, "axis_register", tmp_path)
