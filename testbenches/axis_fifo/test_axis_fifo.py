"""axis_fifo.v: a FIFO of exactly DEPTH entries."""

from pathlib import Path

import cocotb
import pytest

from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls, gaps, play
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import STREAM_STALLS, blocked, flowing


def traffic(dut):
    """Random values of the FIFO's width, many times around its memory; they leave as they entered."""
    width, depth = len(dut.s_axis_tdata), dut.DEPTH.value.to_signed()
    values = generator(f"axis_fifo {depth} values").integers(0, 1 << width, 5 * depth + 150).tolist()
    return {"s_axis": values}, {"m_axis": values}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def passes_every_value_on(dut, stall):
    """What enters leaves, in order, under every stall pattern."""
    await check_stalls(await Bench.started(dut), *traffic(dut), stall, generator(f"axis_fifo {stall}"))


@cocotb.test()
async def takes_a_value_every_cycle(dut):
    """Without stalls the latency is one cycle, and a value leaves every cycle; every other one where DEPTH is 1."""
    cycles = await check_rate(await Bench.started(dut), *traffic(dut))
    assert cycles[0] == 1
    assert set(gaps(cycles)) == {2 if dut.DEPTH.value.to_signed() == 1 else 1}


@cocotb.test()
async def keeps_its_rate_at_every_level(dut):
    """With any number of values inside, up to DEPTH - 1, it takes and gives one every cycle."""
    bench = await Bench.started(dut)
    depth = dut.DEPTH.value.to_signed()
    for level in range(1, depth):
        await bench.reset()
        bench.stall(flowing(), blocked())
        bench.sources["s_axis"].send([0] * level)
        await bench.step(level + 2)
        bench.sources["s_axis"].send([0] * (2 * depth))
        bench.stall(flowing(), flowing())
        await bench.step(2 * depth)
        assert len(bench.monitors["s_axis"].beats) == level + 2 * depth
        assert len(bench.monitors["m_axis"].beats) == 2 * depth


@cocotb.test()
async def holds_depth_values_and_not_one_more(dut):
    """With a blocked output it takes DEPTH values, however often it was filled and emptied before."""
    bench = await Bench.started(dut)
    depth = dut.DEPTH.value.to_signed()
    values = traffic(dut)[0]["s_axis"]
    for _ in range(depth + 2):
        start = len(bench.monitors["m_axis"].beats)
        bench.stall(flowing(), blocked())
        bench.sources["s_axis"].send(values[: depth + 3])
        await bench.step(depth + 10)
        assert len(bench.monitors["s_axis"].beats) == start + depth
        bench.stall(flowing(), flowing())
        await bench.step(4 * depth + 20)
        assert bench.monitors["m_axis"].beats[start:] == values[: depth + 3]


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """A reset empties it; the whole depth is there again afterwards."""
    bench = await Bench.started(dut)
    depth = dut.DEPTH.value.to_signed()
    await check_reset(bench, *traffic(dut), generator("axis_fifo reset"))
    await bench.reset()
    bench.stall(flowing(), blocked())
    bench.sources["s_axis"].send([0] * (depth + 1))
    await bench.step(depth + 10)
    assert len(bench.monitors["s_axis"].beats) == depth
    bench.stall(flowing(), flowing())
    await play(bench, {}, {"m_axis": [0] * (depth + 1)})


@cocotb.test()
async def keeps_its_sides_apart(dut):
    """Neither side's handshake depends on the other's within a cycle."""
    await check_paths(await Bench.started(dut), traffic(dut)[0], generator("axis_fifo paths"), registered=True)


@pytest.mark.parametrize(("depth", "width"), [(1, 8), (2, 8), (3, 1), (4, 8), (5, 13), (8, 8), (9, 1), (17, 8)])
def test_axis_fifo(depth: int, width: int, tmp_path: Path) -> None:
    """axis_fifo.v keeps order and rate, and its capacity is exactly DEPTH."""
    simulate(__name__, "axis_fifo", tmp_path, {"DEPTH": depth, "DATA_W": width})
