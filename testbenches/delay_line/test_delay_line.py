"""delay_line.v: what came in DEPTH cycles ago."""

from pathlib import Path

import cocotb
import pytest
from cocotb.triggers import FallingEdge

from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known


@cocotb.test()
async def gives_what_came_in_depth_cycles_ago(dut):
    """Random values, with resets in between: zeros until DEPTH cycles after one, then every value in its turn."""
    depth, width = dut.DEPTH.value.to_signed(), len(dut.d)
    rng = generator(f"delay_line {depth} {width}")
    start_clock(dut)
    line = [0] * depth
    await FallingEdge(dut.clk)
    dut.rst.value = 1
    dut.d.value = 0
    await FallingEdge(dut.clk)
    for _ in range(20 * depth + 200):
        reset = bool(rng.integers(4 * depth) == 0)
        value = int(rng.integers(1 << width))
        dut.rst.value = reset
        dut.d.value = value
        assert known(dut.q) == line[-1]
        await FallingEdge(dut.clk)
        line = [0] * depth if reset else [value, *line[:-1]]


@pytest.mark.parametrize(("depth", "width"), [(1, 1), (1, 20), (2, 3), (17, 20)])
def test_delay_line(depth: int, width: int, tmp_path: Path) -> None:
    """delay_line.v delays by DEPTH cycles."""
    simulate(__name__, "delay_line", tmp_path, {"DEPTH": depth, "WIDTH": width})
