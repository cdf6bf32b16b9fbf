"""pool_lane.v: the average of one channel."""

from pathlib import Path

import cocotb
from cocotb.triggers import FallingEdge, ReadOnly

from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known
from testbenches.simd_epilogue.integers import round_shift


async def play(dut, rng, sums, held_back):
    """Averages of (log2 of the count, values), one behind the other; `held_back`: share of cycles without a value.

    The cycle of `finish` may be the next sum's first.
    """
    start_clock(dut)
    finishing: tuple[int, int] | None = None  # shift and sum of what is rounded in this cycle
    shown: int | None = None
    for shift, values in sums:
        waiting = list(values)
        while waiting:
            await FallingEdge(dut.clk)
            enable = rng.random() >= held_back
            dut.enable.value = enable
            dut.first.value = len(waiting) == len(values) if enable else int(rng.integers(2))
            dut.x.value = (waiting.pop(0) if enable else int(rng.integers(-128, 128))) & 0xFF
            dut.finish.value = finishing is not None
            dut.shift.value = finishing[0] if finishing else int(rng.integers(16))
            await ReadOnly()
            if shown is not None:
                assert known(dut.y) == shown & 0xFF, f"{known(dut.y):#04x}, expected {shown}"
            if finishing is not None:
                shown = round_shift(finishing[1], finishing[0])
                assert -128 <= shown <= 127
            finishing = None if waiting else (shift, sum(values))
    assert shown is not None


@cocotb.test()
@cocotb.parametrize(held_back=[0.0, 0.4])
async def averages(dut, held_back):
    """Random values, both ends of the range, and sums around a tie, of 1 to 256 values."""
    rng = generator(f"pool_lane {held_back}")
    sums = []
    for shift in range(9):
        count = 2**shift
        sums += [(shift, values) for values in ([-128] * count, [127] * count)]
        for _ in range(4):
            sums.append((shift, rng.integers(-128, 128, count).tolist()))
            # All alike but half of them one more, or one less: a tie, and the sums beside it.
            level = int(rng.integers(-100, 100))
            for excess in (count // 2 - 1, count // 2, count // 2 + 1):
                sums.append((shift, [level + (k < excess) for k in range(count)]))
    order = rng.permutation(len(sums))
    await play(dut, rng, [*(sums[k] for k in order), (0, [1]), (0, [0])], held_back)


@cocotb.test()
async def holds_the_longest_sum(dut):
    """The extreme sums of 2^15 values, the most there are."""
    sums = [(15, [value] * 2**15) for value in (-128, 127)]
    await play(dut, generator("pool_lane longest"), [*sums, (0, [1]), (0, [0])], 0.0)


def test_pool_lane(tmp_path: Path) -> None:
    """pool_lane.v equals the contract for 1 to 2^15 values."""
    simulate(__name__, "pool_lane", tmp_path)
