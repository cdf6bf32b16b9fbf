"""table_lane.v: one channel's tables."""

import itertools
from pathlib import Path

import cocotb
import pytest
from cocotb.triggers import FallingEdge, ReadOnly

from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known
from testbenches.simd_epilogue.integers import CLAMP, HOLD, POINTS_LOG2, RULES, lookup, stored_points


@cocotb.test()
async def looks_up_every_input(dut):
    """All inputs of a steep and of a random table of each format, at random bases, with gaps and inputs not taken."""
    words = dut.WORDS.value.to_signed()
    rng = generator(f"table_lane {words}")
    start_clock(dut)
    dut.write_enable.value = dut.read_enable.value = 0
    formats = [(k, rule) for k, rule in itertools.product(POINTS_LOG2, RULES) if stored_points(1 << k, rule) <= words]
    assert formats
    wrapped = 0
    for points_log2, rule in formats:
        points = 1 << points_log2
        count = stored_points(points, rule)
        for content in (rng.integers(-128, 128, count).tolist(), [127 - 255 * (k % 2) for k in range(count)]):
            # Across the end of the ring every other time.
            base = (words - 2 * int(rng.integers(count // 2))) % words if rng.random() < 0.5 else 0
            base = base or 2 * int(rng.integers(words // 2))
            wrapped += base + count > words
            for k, value in enumerate(content):
                await FallingEdge(dut.clk)
                dut.write_enable.value = 1
                dut.write_address.value = (base + k) % words
                dut.write_data.value = value & 0xFF
            inputs = rng.permutation(range(-128, 128)).tolist()
            inside: int | None = None  # read in the last cycle
            shown: int | None = None
            while inputs or inside is not None:
                await FallingEdge(dut.clk)
                read = bool(inputs) and rng.random() < 0.85
                x = inputs.pop() if read else int(rng.integers(-128, 128))
                dut.write_enable.value = 0
                dut.write_address.value = int(rng.integers(words))
                dut.write_data.value = int(rng.integers(256))
                dut.read_enable.value = read
                dut.x.value = x & 0xFF
                dut.base.value = base
                dut.points_log2.value = points_log2
                dut.last_point.value = points - 1
                dut.clamp.value = rule == CLAMP
                dut.hold.value = rule == HOLD
                await ReadOnly()
                if shown is not None:
                    want = lookup(shown, content, points, rule)
                    place = f"{points} points, rule {rule}, base {base}, x {shown}"
                    assert known(dut.y) == want & 0xFF, f"{place}: {known(dut.y):#04x}, expected {want}"
                shown = shown if inside is None else inside
                inside = x if read else None
    assert wrapped > 0 or words == 65536


@pytest.mark.parametrize("words", [4, 64, 512, 65536])
def test_table_lane(words: int, tmp_path: Path) -> None:
    """table_lane.v equals the contract for all inputs of all formats that its store holds."""
    simulate(__name__, "table_lane", tmp_path, {"WORDS": words})
