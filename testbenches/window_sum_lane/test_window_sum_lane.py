"""window_sum_lane.v: a product, and what was summed so far."""

from pathlib import Path

import cocotb
import pytest
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known


@cocotb.test()
async def adds_products(dut):
    """The product of the last cycle with `enable`, and the sum so far but for the first."""
    bits, kind, w_bits, acc = (getattr(dut, name).value.to_signed() for name in ("X_W", "X_KIND", "W_W", "ACC_W"))
    rng = generator(f"window_sum_lane {bits} {kind} {w_bits} {acc}")
    await Timer(1, "ns")
    start_clock(dut)
    product = None
    for _ in range(500):
        enable, first = (bool(rng.random() < 0.6) for _ in range(2))
        code = int(rng.choice([0, (1 << bits) - 1, 1 << (bits - 1), int(rng.integers(0, 1 << bits))]))
        w = int(rng.choice([-(1 << (w_bits - 1)), (1 << (w_bits - 1)) - 1, int(rng.integers(0, 1 << w_bits)) >> 1]))
        so_far = int(rng.integers(0, 1 << acc))
        await FallingEdge(dut.clk)
        dut.enable.value, dut.first.value, dut.so_far.value = enable, first, so_far
        dut.x.value, dut.w.value = code, w % (1 << w_bits)
        await ReadOnly()
        if product is not None:
            assert known(dut.sum) == (product + (0 if first else so_far)) % (1 << acc)
        if enable:
            x = 2 * code - 1 if kind == 2 else code - (1 << bits) if kind == 0 and code >> (bits - 1) else code
            product = x * w


@pytest.mark.parametrize(
    ("bits", "kind", "w", "acc"),
    [(8, 0, 8, 19), (8, 1, 8, 17), (1, 2, 2, 6), (16, 1, 1, 17), (1, 0, 1, 2), (8, 0, 8, 5)],
)
def test_window_sum_lane(bits: int, kind: int, w: int, acc: int, tmp_path: Path) -> None:
    """window_sum_lane.v multiplies values of every kind, modulo the width of its sum."""
    simulate(__name__, "window_sum_lane", tmp_path, {"X_W": bits, "X_KIND": kind, "W_W": w, "ACC_W": acc})
