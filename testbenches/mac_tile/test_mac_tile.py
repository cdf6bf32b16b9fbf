"""mac_tile.v: sums of products of 16 rows and 16 columns, one row a cycle once they are complete."""

from pathlib import Path

import cocotb
import numpy as np
import pytest
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known

SIZE = 16
LATENCY = 3
APART = 16


def word(lanes) -> int:
    """int8 lanes as one number, lane l at bits [8l +: 8]."""
    return int.from_bytes(np.asarray(lanes, np.int8).tobytes(), "little")


def operands(rng: np.random.Generator) -> np.ndarray:
    """Rows and columns of a step: anything, or extremes."""
    kind = rng.random()
    if kind < 0.6:
        return rng.integers(-128, 128, (2, SIZE))
    return rng.choice([-128, 127], (2, SIZE)) if kind < 0.9 else np.full((2, SIZE), -128)


class Player:
    """Runs the clock, sums for itself, and checks the outputs of every cycle."""

    def __init__(self, dut, rng: np.random.Generator) -> None:
        self.dut = dut
        self.rng = rng
        self.acc_w = dut.ACC_W.value.to_signed()
        self.cycle = 0
        self.sums = np.zeros((SIZE, SIZE), np.int64)
        self.due: dict[int, tuple[int, int]] = {}
        self.last = -APART
        self.rows = 0

    @classmethod
    async def started(cls, dut, rng: np.random.Generator) -> "Player":
        """A player whose clock runs and whose module has been reset."""
        await Timer(1, "ns")
        start_clock(dut)
        player = cls(dut, rng)
        await player.reset()
        return player

    async def cycle_with(self, valid: bool, first: bool, last: bool, values: np.ndarray, rst: int = 0) -> None:
        """One cycle."""
        await FallingEdge(self.dut.clk)
        for name, value in (("rst", rst), ("valid", valid), ("first", first), ("last", last)):
            getattr(self.dut, name).value = int(value)
        self.dut.rows.value, self.dut.columns.value = word(values[0]), word(values[1])
        await ReadOnly()
        expected = self.due.pop(self.cycle, None)
        if self.cycle > 0:
            assert known(self.dut.row_valid) == int(expected is not None), f"cycle {self.cycle}"
        if expected is not None:
            got = known(self.dut.row_index), known(self.dut.row_acc)
            assert got == expected, f"cycle {self.cycle}: {got}, expected {expected}"
            self.rows += 1
        self.cycle += 1

    async def reset(self) -> None:
        """Hold rst for two cycles; rows that were on their way are dropped."""
        for _ in range(2):
            await self.idle(1, rst=1)
            self.due.clear()
        self.last = self.cycle - APART

    async def idle(self, cycles: int, rst: int = 0) -> None:
        """Cycles without a step, with noise on everything that means nothing then."""
        for _ in range(cycles):
            first, last = (self.rng.random(2) < 0.5).tolist()
            await self.cycle_with(False, first, last, operands(self.rng), rst)

    async def step(self, first: bool, last: bool) -> None:
        """One step of a sum."""
        values = operands(self.rng)
        product = np.outer(values[0], values[1]).astype(np.int64)
        self.sums = product if first else self.sums + product
        if last:
            assert self.cycle - self.last >= APART
            self.last = self.cycle
            for r, row in enumerate(self.sums.tolist()):
                packed = sum((total % (1 << self.acc_w)) << (self.acc_w * c) for c, total in enumerate(row))
                self.due[self.cycle + LATENCY + r] = (r, packed)
        await self.cycle_with(True, first, last, values)

    async def tile(self, steps: int, gaps: float = 0.0, first: bool = True) -> None:
        """A tile of some steps; `gaps` is the share of idle cycles between them."""
        for k in range(steps):
            while self.rng.random() < gaps:
                await self.idle(1)
            if k == steps - 1:
                await self.idle(max(0, APART - (self.cycle - self.last)))
            await self.step(first and k == 0, k == steps - 1)

    async def drain(self) -> None:
        """Until every row that is due has been seen."""
        await self.idle(LATENCY + SIZE + 2)
        assert not self.due


@cocotb.test()
async def sums_tiles_without_a_gap(dut):
    """Tiles of one slot and of several, one behind the other: every row in its cycle, and nothing else."""
    player = await Player.started(dut, generator(f"mac_tile {dut.ACC_W.value} flow"))
    tiles = (16, 16, 16, 32, 16, 96, 48, 16, 16)
    for steps in tiles:
        await player.tile(steps)
    await player.drain()
    assert player.rows == len(tiles) * SIZE


@cocotb.test()
async def sums_tiles_with_gaps(dut):
    """Gaps between steps and between tiles, tiles of few steps, sums that go on where no first step says otherwise."""
    rng = generator(f"mac_tile {dut.ACC_W.value} gaps")
    player = await Player.started(dut, rng)
    for number in range(30):
        await player.tile(int(rng.integers(1, 40)), float(rng.choice([0.0, 0.2, 0.7])), number % 5 != 4)
        await player.idle(int(rng.choice([0, 0, 1, 2, 15, 40])))
    await player.drain()
    assert player.rows == 30 * SIZE


@cocotb.test()
async def sums_extremes_exactly(dut):
    """The largest products of one sign add up to the end; beyond the accumulator they wrap."""
    player = await Player.started(dut, generator(f"mac_tile {dut.ACC_W.value} extremes"))
    steps = min(1 << (player.acc_w - 15), 64)
    lowest, highest = np.full((2, SIZE), -128), np.array([[-128] * SIZE, [127] * SIZE])
    for values, product in ((lowest, 128 * 128), (highest, -128 * 127)):
        for k in range(steps + APART):
            await player.cycle_with(True, k == 0, k == steps + APART - 1, values)
        total = product * (steps + APART) % (1 << player.acc_w)
        packed = sum(total << (player.acc_w * c) for c in range(SIZE))
        player.due = {player.cycle - 1 + LATENCY + r: (r, packed) for r in range(SIZE)}
        player.last = player.cycle - 1
        await player.drain()
    assert player.rows == 2 * SIZE


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """A reset stops the rows that leave, wherever they are, and steps before it are forgotten."""
    rng = generator(f"mac_tile {dut.ACC_W.value} reset")
    player = await Player.started(dut, rng)
    for wait in range(LATENCY + SIZE + 2):
        await player.tile(16)
        if wait % 2:
            await player.idle(wait)
        else:
            for k in range(wait):
                await player.step(k == 0, False)
        await player.reset()
        await player.tile(16)
        await player.drain()
    assert player.rows >= (LATENCY + SIZE + 2) * SIZE


@pytest.mark.parametrize("acc_w", [16, 20, 26, 32])
def test_mac_tile(acc_w: int, tmp_path: Path) -> None:
    """mac_tile.v sums every tile, modulo 2^ACC_W, and gives its rows in time."""
    simulate(__name__, "mac_tile", tmp_path, {"ACC_W": acc_w})
