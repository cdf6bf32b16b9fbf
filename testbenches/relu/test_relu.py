"""relu.v: max(x, 0)."""

from pathlib import Path

import cocotb
import numpy as np
import pytest

from fxsim import contract
from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import STREAM_STALLS
from testbenches.common.stream import beats

EVERY_INPUT = np.arange(-128, 128).astype(np.int8)


def traffic(dut):
    """Every input, and what the contract makes of it."""
    lanes = dut.LANES.value.to_signed()
    return {"s_axis": beats(EVERY_INPUT, lanes)}, {"m_axis": beats(contract.relu(EVERY_INPUT), lanes)}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def equals_the_contract(dut, stall):
    """Every input gives the contract's output under every stall pattern."""
    await check_stalls(await Bench.started(dut), *traffic(dut), stall, generator(f"relu {stall}"))


@cocotb.test()
async def takes_a_value_every_cycle(dut):
    """Without stalls a value leaves every cycle, one cycle after it entered."""
    sent, expected = traffic(dut)
    assert await check_rate(await Bench.started(dut), sent, expected) == list(range(1, 1 + len(sent["s_axis"])))


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """A reset drops what is inside."""
    await check_reset(await Bench.started(dut), *traffic(dut), generator("relu reset"))


@cocotb.test()
async def shows_values_without_waiting(dut):
    """A tvalid does not wait for tready."""
    await check_paths(await Bench.started(dut), traffic(dut)[0], generator("relu paths"), registered=False)


@pytest.mark.parametrize("lanes", [1, 2])
def test_relu(lanes: int, tmp_path: Path) -> None:
    """relu.v is max(x, 0) under all stalls, at full rate, and after resets."""
    simulate(__name__, "relu", tmp_path, {"LANES": lanes})
