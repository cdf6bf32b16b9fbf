"""dot_product.v: a pipelined sum of products that stands still while it is not enabled."""

import itertools
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from fxsim import contract
from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known


def word(row) -> int:
    """A row of int8 as one number, value k at bits [8k +: 8]."""
    return int.from_bytes(np.asarray(row, np.int8).tobytes(), "little")


class Model:
    """What stands in each stage, None where nothing valid does: products, then levels of adders of four to the sum."""

    def __init__(self, lanes: int, acc_w: int) -> None:
        self.acc_w = acc_w
        self.stages: list[int | None] = [None] * (1 + next(k for k in itertools.count() if 4**k >= lanes))

    def clock(self, rst: bool, enable: bool, row: tuple[Any, ...] | None) -> None:
        """One rising edge."""
        if rst:
            self.stages = [None] * len(self.stages)
        elif enable:
            total = None if row is None else int(row[0].astype(int) @ row[1].astype(int)) & ((1 << self.acc_w) - 1)
            self.stages = [total, *self.stages[:-1]]


async def play(dut, rng, enabled: float, valid: float, resets: float, cycles: int) -> None:
    """Random rows, extremes among them; `enabled`, `valid`, `resets` are shares of the cycles."""
    lanes, acc_w = dut.LANES.value.to_signed(), dut.ACC_W.value.to_signed()
    model = Model(lanes, acc_w)
    await Timer(1, "ns")
    start_clock(dut)
    for cycle in range(cycles):
        rst = cycle < 2 or bool(rng.random() < resets)
        enable, in_valid = bool(rng.random() < enabled), bool(rng.random() < valid)
        rows = rng.integers(-128, 128, (2, lanes)) if rng.random() < 0.6 else rng.choice([-128, 127], (2, lanes))
        if rng.random() < 0.1:
            rows[:] = -128
        rows = rows.astype(np.int8)
        await FallingEdge(dut.clk)
        for name, value in (("rst", rst), ("enable", enable), ("in_valid", in_valid)):
            getattr(dut, name).value = int(value)
        dut.x.value, dut.w.value = word(rows[0]), word(rows[1])
        await ReadOnly()
        if cycle > 0:
            expected = model.stages[-1]
            assert known(dut.out_valid) == int(expected is not None), f"cycle {cycle}"
            if expected is not None:
                assert known(dut.sum) == expected, f"cycle {cycle}: sum {known(dut.sum)}, expected {expected}"
        model.clock(rst, enable, tuple(rows) if in_valid else None)


@cocotb.test()
@cocotb.parametrize(enabled=[1.0, 0.5], valid=[1.0, 0.5])
async def sums_every_row(dut, enabled, valid):
    """A row a cycle, gaps between rows, a pipeline that stands still at times: each sum comes after the latency."""
    rng = generator(f"dot_product {dut.LANES.value} {enabled} {valid}")
    await play(dut, rng, enabled, valid, 0.0, 200)


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """A reset empties the pipeline, enabled or not."""
    await play(dut, generator(f"dot_product {dut.LANES.value} reset"), 0.7, 0.8, 0.1, 300)


@pytest.mark.parametrize(
    ("lanes", "acc_w"),
    [
        *((lanes, contract.linear_acc_bits(lanes)) for lanes in (1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 18, 23, 48, 65)),
        # Modulo 2^ACC_W where the sum does not fit, exact where there is room to spare.
        (5, 16),
        (6, 32),
    ],
)
def test_dot_product(lanes: int, acc_w: int, tmp_path: Path) -> None:
    """dot_product.v gives every row's sum, modulo 2^ACC_W, after its latency."""
    simulate(__name__, "dot_product", tmp_path, {"LANES": lanes, "ACC_W": acc_w})
