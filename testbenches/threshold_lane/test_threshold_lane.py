"""threshold_lane.v: one channel's level, with thresholds that come with the value."""

from pathlib import Path

import cocotb
import pytest
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import Literal, load_case, simulate
from testbenches.common.stream import known, packed


@cocotb.test()
async def counts_what_was_passed(dut):
    """A value, thresholds of either direction, each step in cycles with its `enable` only: y after the third."""
    bits, signed, steps = (getattr(dut, name).value.to_signed() for name in ("X_W", "X_SIGNED", "STEPS"))
    levels = load_case()["levels"].tolist()
    rng = generator(f"threshold_lane {bits} {signed} {steps}")
    low = -(1 << (bits - 1)) if signed else 0
    high = low + (1 << bits) - 1
    await Timer(1, "ns")
    start_clock(dut)
    # What stands in each register: how many are passed, the count, the level.
    passed = count = level = None
    for _ in range(600):
        compare, counted, looked = (bool(rng.random() < 0.7) for _ in range(3))
        x = int(rng.choice([low, high, *rng.integers(low, high + 1, 4)]))
        t = sorted(int(v) for v in rng.choice([low, high + 1, x, x + 1, *rng.integers(low, high + 2, 4)], steps))
        falling = bool(rng.random() < 0.5)
        if falling:  # x <= t, with t from one below the range
            t = [v - 1 for v in t]
        await FallingEdge(dut.clk)
        dut.compare_enable.value, dut.count_enable.value, dut.level_enable.value = compare, counted, looked
        dut.x.value = x & ((1 << bits) - 1)
        stored = sorted(-v - 1 for v in t) if falling else t
        dut.thresholds.value = packed(stored, steps, bits + 2 - signed)[0]
        dut.falling.value = falling
        await ReadOnly()
        if level is not None:
            assert known(dut.y) == level
        level = levels[count] if looked and count is not None else level
        count = passed if counted else count
        passed = sum(x <= v if falling else x >= v for v in t) if compare else passed


@pytest.mark.parametrize(
    ("bits", "signed", "steps", "level_bits"), [(1, 0, 1, 1), (5, 1, 1, 1), (4, 0, 2, 2), (9, 1, 3, 8), (6, 1, 16, 5)]
)
def test_threshold_lane(bits: int, signed: int, steps: int, level_bits: int, tmp_path: Path) -> None:
    """threshold_lane.v gives the level of every number of thresholds, and takes nothing without its enables."""
    levels = generator(f"threshold_lane levels {steps}").integers(0, 1 << level_bits, steps + 1)
    text = Literal(f"{level_bits * (steps + 1)}'h{packed(levels, steps + 1, level_bits)[0]:x}")
    parameters = {"X_W": bits, "X_SIGNED": signed, "STEPS": steps, "Y_W": level_bits, "LEVELS": text}
    simulate(__name__, "threshold_lane", tmp_path, parameters, {"levels": levels})
