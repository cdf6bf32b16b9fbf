"""few_dot_product.v: a pipelined sum of products of few bits that stands still while it is not enabled."""

import itertools
from pathlib import Path

import cocotb
import numpy as np
import pytest
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known, packed


def any_of(rng, bits: int, kind: int, shape: int) -> np.ndarray:
    """Codes of random numbers, as they stand in so many bits; now and then all at one end of the range."""
    pick = rng.random()
    if pick < 0.15:
        return np.full(shape, (1 << bits) - 1 if pick < 0.07 else 0)
    if pick < 0.35 and kind == 0:
        return rng.choice([1 << (bits - 1), (1 << (bits - 1)) - 1], shape)
    return rng.integers(0, 1 << bits, shape)


def meant(codes: np.ndarray, bits: int, kind: int) -> list[int]:
    """The numbers that codes stand for: two's complement, unsigned, or -1 and 1."""
    values = [int(code) for code in codes]
    if kind == 2:
        return [2 * value - 1 for value in values]
    return [value - (1 << bits) if kind == 0 and value >> (bits - 1) else value for value in values]


async def play(dut, rng, enabled: float, valid: float, resets: float, cycles: int) -> None:
    """Random rows, extremes among them; `enabled`, `valid`, `resets` are shares of the cycles."""
    lanes, x_w, x_kind, w_w, w_bipolar, acc_w = (
        getattr(dut, name).value.to_signed() for name in ("LANES", "X_W", "X_KIND", "W_W", "W_BIPOLAR", "ACC_W")
    )
    # As the header states it: groups of products, levels of adders of four, and what matches stand for.
    match = x_kind == 2 and w_bipolar == 1
    group = 8 if match else 4 if x_w + w_w <= 4 else 1
    latency = 1 + next(k for k in itertools.count() if group * 4**k >= lanes) + match
    stages: list[int | None] = [None] * latency
    await Timer(1, "ns")
    start_clock(dut)
    for cycle in range(cycles):
        rst = cycle < 2 or bool(rng.random() < resets)
        enable, in_valid = bool(rng.random() < enabled), bool(rng.random() < valid)
        x, w = any_of(rng, x_w, x_kind, lanes), any_of(rng, w_w, 0, lanes)
        await FallingEdge(dut.clk)
        for name, value in (("rst", rst), ("enable", enable), ("in_valid", in_valid)):
            getattr(dut, name).value = int(value)
        dut.x.value, dut.w.value = packed(x, lanes, x_w)[0], packed(w, lanes, w_w)[0]
        await ReadOnly()
        if cycle > 0:
            expected = stages[-1]
            assert known(dut.out_valid) == int(expected is not None), f"cycle {cycle}"
            if expected is not None:
                assert known(dut.sum) == expected, f"cycle {cycle}: sum {known(dut.sum)}, expected {expected}"
        total = sum(a * b for a, b in zip(meant(x, x_w, x_kind), meant(w, w_w, 2 if w_bipolar else 0), strict=True)) & (
            (1 << acc_w) - 1
        )
        if rst:
            stages = [None] * latency
        elif enable:
            stages = [total if in_valid else None, *stages[:-1]]


@cocotb.test()
@cocotb.parametrize(enabled=[1.0, 0.5], valid=[1.0, 0.5])
async def sums_every_row(dut, enabled, valid):
    """A row a cycle, gaps between rows, a pipeline that stands still at times: each sum comes after the latency."""
    rng = generator(f"few_dot_product {dut.LANES.value} {enabled} {valid}")
    await play(dut, rng, enabled, valid, 0.0, 150)


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """A reset empties the pipeline, enabled or not."""
    await play(dut, generator(f"few_dot_product {dut.LANES.value} reset"), 0.7, 0.8, 0.1, 200)


BITS = {"X_W": 1, "X_KIND": 2, "W_W": 1, "W_BIPOLAR": 1}


@pytest.mark.parametrize(
    "parameters",
    [
        # Matches: a count of K needs as many bits as 2 K has, and a sign.
        *(
            {**BITS, "LANES": lanes, "ACC_W": acc_w}
            for lanes, acc_w in [(1, 2), (3, 3), (8, 5), (9, 5), (33, 7), (144, 9)]
        ),
        {**BITS, "LANES": 20, "ACC_W": 32},
        # Modulo 2^ACC_W where the sum does not fit.
        {**BITS, "LANES": 70, "ACC_W": 4},
        {"X_W": 8, "X_KIND": 0, "W_W": 1, "W_BIPOLAR": 1, "LANES": 27, "ACC_W": 13},
        {"X_W": 8, "X_KIND": 1, "W_W": 1, "W_BIPOLAR": 1, "LANES": 5, "ACC_W": 12},
        {"X_W": 2, "X_KIND": 0, "W_W": 1, "W_BIPOLAR": 1, "LANES": 18, "ACC_W": 7},
        {"X_W": 2, "X_KIND": 0, "W_W": 2, "W_BIPOLAR": 0, "LANES": 18, "ACC_W": 8},
        {"X_W": 2, "X_KIND": 1, "W_W": 2, "W_BIPOLAR": 0, "LANES": 7, "ACC_W": 7},
        {"X_W": 1, "X_KIND": 2, "W_W": 3, "W_BIPOLAR": 0, "LANES": 6, "ACC_W": 6},
        {"X_W": 1, "X_KIND": 2, "W_W": 8, "W_BIPOLAR": 0, "LANES": 6, "ACC_W": 12},
        {"X_W": 1, "X_KIND": 0, "W_W": 1, "W_BIPOLAR": 0, "LANES": 10, "ACC_W": 5},
        {"X_W": 1, "X_KIND": 1, "W_W": 1, "W_BIPOLAR": 0, "LANES": 10, "ACC_W": 5},
        {"X_W": 4, "X_KIND": 1, "W_W": 4, "W_BIPOLAR": 0, "LANES": 9, "ACC_W": 12},
        {"X_W": 16, "X_KIND": 0, "W_W": 8, "W_BIPOLAR": 0, "LANES": 5, "ACC_W": 27},
    ],
    ids=lambda value: "-".join(map(str, value.values())),
)
def test_few_dot_product(parameters: dict[str, int], tmp_path: Path) -> None:
    """few_dot_product.v gives every row's sum, modulo 2^ACC_W, after its latency, for every kind of numbers."""
    simulate(__name__, "few_dot_product", tmp_path, parameters)
