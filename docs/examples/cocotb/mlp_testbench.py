"""The testbench of mlp, in whatever language and simulator."""

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles

import fxsim
from fxsim.cocotb import Bus, Scoreboard


async def start(dut) -> Scoreboard:
    """A scoreboard with its driver and monitors, and the design out of reset."""
    model = fxsim.load("mlp.safetensors")
    scoreboard = Scoreboard(model, np.load("images.npy"), dut.clk, reset=dut.rst)
    scoreboard.drive(Bus.at(dut, "s_axis"), lanes=4, stall=0.3)
    scoreboard.monitor("fc1", Bus.at(dut, "fc1"), lanes=4)
    scoreboard.monitor("fc2", Bus.at(dut, "m_axis"), lanes=3, stall=0.3)
    dut.rst.value = 1
    Clock(dut.clk, 10, "ns").start()
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0
    return scoreboard


@cocotb.test()
async def equals_the_model(dut):
    """Every value of both layers, under stalls of either side."""
    scoreboard = await start(dut)
    await scoreboard.finished(timeout_cycles=1000)
