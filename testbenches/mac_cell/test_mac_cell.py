"""mac_cell.v: products are added to a sum, which starts anew where it is told to."""

import itertools
from pathlib import Path

import cocotb
import numpy as np
import pytest
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known

CORNERS = (-128, -127, -1, 0, 1, 126, 127)


async def play(dut, rng: np.random.Generator, cycles: list[tuple[int, int, bool, bool, bool]]) -> None:
    """Cycles of a, b, multiply, accumulate, first; the sum is compared in every cycle once there is one."""
    acc_w = dut.ACC_W.value.to_signed()
    product = total = None
    await Timer(1, "ns")
    start_clock(dut)
    for cycle, (a, b, multiply, accumulate, first) in enumerate(cycles):
        noise = rng.integers(-128, 128, 2).tolist()
        await FallingEdge(dut.clk)
        dut.a.value, dut.b.value = (value & 0xFF for value in ((a, b) if multiply else noise))
        dut.multiply.value, dut.accumulate.value, dut.first.value = int(multiply), int(accumulate), int(first)
        await ReadOnly()
        if total is not None:
            assert known(dut.sum) == total % (1 << acc_w), f"cycle {cycle}"
        if accumulate and product is not None and (first or total is not None):
            total = product + (0 if first else total)
        if multiply:
            product = a * b
    assert total is not None


@cocotb.test()
async def multiplies_every_corner(dut):
    """Each pair of extreme operands makes a sum of its own."""
    pairs = list(itertools.product(CORNERS, CORNERS))
    cycles = [(a, b, True, k > 0, True) for k, (a, b) in enumerate(pairs)]
    await play(dut, generator(f"mac_cell {dut.ACC_W.value} corners"), [*cycles, (0, 0, True, True, True), cycles[-1]])


@cocotb.test()
async def adds_what_it_is_told_to(dut):
    """Products wait, are used once or again, and join the sum or start a new one; it wraps where it does not fit."""
    rng = generator(f"mac_cell {dut.ACC_W.value} random")
    values = np.where(rng.random((1500, 2)) < 0.3, -128, rng.integers(-128, 128, (1500, 2))).tolist()
    flags = (rng.random((1500, 3)) < (0.8, 0.8, 0.05)).tolist()
    start = [(3, 5, True, False, False), (0, 0, False, True, True)]
    await play(dut, rng, [*start, *((*value, *flag) for value, flag in zip(values, flags, strict=True))])


@cocotb.test()
async def wraps_at_its_width(dut):
    """The largest product again and again: the sum is exact modulo 2^ACC_W."""
    steps = [(-128, -128, True, k > 0, k == 1) for k in range(2100)]
    await play(dut, generator(f"mac_cell {dut.ACC_W.value} wrap"), steps)


@pytest.mark.parametrize("acc_w", [16, 17, 26, 32])
def test_mac_cell(acc_w: int, tmp_path: Path) -> None:
    """mac_cell.v sums products of int8 modulo 2^ACC_W."""
    simulate(__name__, "mac_cell", tmp_path, {"ACC_W": acc_w})
