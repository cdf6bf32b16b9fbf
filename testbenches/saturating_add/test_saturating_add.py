"""saturating_add.v: sat8(x + r)."""

from pathlib import Path

import cocotb
from cocotb.triggers import Timer

from testbenches.common.simulation import simulate
from testbenches.common.stream import known


@cocotb.test()
async def adds_every_pair(dut):
    """All 65,536 pairs."""
    for x in range(-128, 128):
        dut.x.value = x & 0xFF
        for r in range(-128, 128):
            dut.r.value = r & 0xFF
            await Timer(1, "ns")
            want = max(-128, min(127, x + r))
            assert known(dut.y) == want & 0xFF, f"x {x}, r {r}: {known(dut.y):#04x}, expected {want}"


def test_saturating_add(tmp_path: Path) -> None:
    """saturating_add.v equals the contract for every pair of int8."""
    simulate(__name__, "saturating_add", tmp_path)
