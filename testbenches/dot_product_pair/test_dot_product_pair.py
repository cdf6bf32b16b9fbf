"""dot_product_pair.v: two pipelined sums of products of one row, in the cycles of dot_product.v."""

from pathlib import Path

import cocotb
import numpy as np
import pytest
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known
from testbenches.dot_product.test_dot_product import Model, word


async def play(dut, rng, enabled: float, valid: float, resets: float, cycles: int) -> None:
    """Random rows, extremes among them; `enabled`, `valid`, `resets` are shares of the cycles."""
    lanes, acc_w = dut.LANES.value.to_signed(), dut.ACC_W.value.to_signed()
    models = Model(lanes, acc_w), Model(lanes, acc_w)
    await Timer(1, "ns")
    start_clock(dut)
    for cycle in range(cycles):
        rst = cycle < 2 or bool(rng.random() < resets)
        enable, in_valid = bool(rng.random() < enabled), bool(rng.random() < valid)
        rows = rng.integers(-128, 128, (3, lanes)) if rng.random() < 0.6 else rng.choice([-128, 127], (3, lanes))
        if rng.random() < 0.1:
            rows[:] = -128
        rows = rows.astype(np.int8)
        await FallingEdge(dut.clk)
        for name, value in (("rst", rst), ("enable", enable), ("in_valid", in_valid)):
            getattr(dut, name).value = int(value)
        for port, row in zip((dut.x, dut.w0, dut.w1), rows, strict=True):
            port.value = word(row)
        dut.x_sum.value = int(rows[0].sum(dtype=int)) % (1 << len(dut.x_sum))
        await ReadOnly()
        for model, port in zip(models, (dut.sum0, dut.sum1), strict=True):
            expected = model.stages[-1]
            if cycle > 0:
                assert known(dut.out_valid) == int(expected is not None), f"cycle {cycle}"
                if expected is not None:
                    assert known(port) == expected, f"cycle {cycle}: {port._name} {known(port)}, expected {expected}"
        for model, weights in zip(models, rows[1:], strict=True):
            model.clock(rst, enable, (rows[0], weights) if in_valid else None)


@cocotb.test()
@cocotb.parametrize(enabled=[1.0, 0.5], valid=[1.0, 0.5])
async def sums_every_row(dut, enabled, valid):
    """A row a cycle, gaps between rows, a pipeline that stands still at times: both sums come after the latency."""
    rng = generator(f"dot_product_pair {dut.LANES.value} {enabled} {valid}")
    await play(dut, rng, enabled, valid, 0.0, 150)


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """A reset empties the pipeline, enabled or not."""
    await play(dut, generator(f"dot_product_pair {dut.LANES.value} reset"), 0.7, 0.8, 0.1, 200)


@pytest.mark.parametrize(("lanes", "acc_w"), [(2, 18), (5, 19), (18, 30)])
def test_dot_product_pair(lanes: int, acc_w: int, tmp_path: Path) -> None:
    """dot_product_pair.v gives both sums of every row after its latency."""
    simulate(__name__, "dot_product_pair", tmp_path, {"LANES": lanes, "ACC_W": acc_w})
