"""block_transpose.v: blocks of 16 words come out turned, or as they are, 17 cycles after they came in."""

from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known

SIZE = 16
LATENCY = 17


def word(lanes) -> int:
    """Bytes as one number, lane l at bits [8l +: 8]."""
    return int.from_bytes(np.asarray(lanes, np.uint8).tobytes(), "little")


class Player:
    """Runs the clock, with noise on the inputs that mean nothing, and checks every output that is due."""

    def __init__(self, dut, rng: np.random.Generator) -> None:
        self.dut = dut
        self.rng = rng
        self.cycle = 0
        self.due: dict[int, int] = {}
        self.checked = 0

    @classmethod
    async def started(cls, dut, rng: np.random.Generator) -> "Player":
        """A player whose clock runs and whose module has been reset."""
        await Timer(1, "ns")
        start_clock(dut)
        player = cls(dut, rng)
        for _ in range(2):
            await player.step(rst=1)
        return player

    async def step(self, data: int | None = None, transpose: bool = False, rst: int = 0) -> None:
        """One cycle, with a word or without one."""
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = rst
        self.dut.in_valid.value = int(data is not None)
        self.dut.in_data.value = word(self.rng.integers(0, 256, SIZE)) if data is None else data
        self.dut.in_transpose.value = int(self.rng.integers(2)) if data is None else int(transpose)
        await ReadOnly()
        if self.cycle in self.due:
            got, expected = known(self.dut.out_data), self.due.pop(self.cycle)
            assert got == expected, f"cycle {self.cycle}: {got:#034x}, expected {expected:#034x}"
            self.checked += 1
        self.cycle += 1

    async def block(self, transpose: bool, words: int = SIZE, pause: int = 0) -> None:
        """A random block, or its first words only; `pause`: cycles without a word before the last one."""
        block = self.rng.integers(0, 256, (SIZE, SIZE), dtype=np.uint8)
        outputs = block.T if transpose else block
        if words == SIZE:
            self.due |= {self.cycle + pause + LATENCY + k: word(row) for k, row in enumerate(outputs)}
        for row in block[: words - 1]:
            await self.step(word(row), transpose)
        await self.idle(pause)
        for row in block[max(words - 1, 0) : words]:
            await self.step(word(row), transpose)

    async def idle(self, cycles: int) -> None:
        """Cycles without a word."""
        for _ in range(cycles):
            await self.step()

    async def drain(self) -> None:
        """Until every output that is due has been seen."""
        await self.idle(LATENCY + SIZE)
        assert not self.due


@cocotb.test()
async def turns_blocks_without_a_gap(dut):
    """Blocks one behind the other, of either kind in every order: each word comes out in its cycle."""
    rng = generator("block_transpose flow")
    player = await Player.started(dut, rng)
    kinds = [True, True, False, False, True, False, *(rng.random(30) < 0.5).tolist()]
    for transpose in kinds:
        await player.block(transpose)
    await player.drain()
    assert player.checked == len(kinds) * SIZE


@cocotb.test()
async def turns_blocks_after_every_gap(dut):
    """A gap of any length, also while the block before comes out, changes nothing."""
    rng = generator("block_transpose gaps")
    player = await Player.started(dut, rng)
    gaps = [*range(2 * SIZE + 3), *rng.integers(0, 2 * SIZE, 20).tolist()]
    for gap in gaps:
        await player.block(bool(rng.random() < 0.5))
        await player.idle(gap)
    await player.drain()
    assert player.checked == len(gaps) * SIZE


@cocotb.test()
@cocotb.parametrize(pause=[1, 2, SIZE])
async def waits_for_the_last_word(dut, pause):
    """A block is read once its last word is there, however late that comes."""
    player = await Player.started(dut, generator(f"block_transpose pause {pause}"))
    for transpose in (True, False, False, True, True):
        await player.block(transpose, pause=pause)
    await player.drain()
    assert player.checked == 5 * SIZE


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """A reset inside a block drops it, and the next word is the first of a block, whatever had come before."""
    rng = generator("block_transpose reset")
    player = await Player.started(dut, rng)
    for words in range(SIZE + 1):
        await player.block(bool(rng.random() < 0.5))
        await player.block(bool(rng.random() < 0.5), words)
        player.due.clear()
        await player.step(rst=1)
        player.due.clear()
        for _ in range(2):
            await player.block(bool(rng.random() < 0.5))
        await player.drain()
    assert player.checked >= (SIZE + 1) * 2 * SIZE


def test_block_transpose(tmp_path: Path) -> None:
    """block_transpose.v turns every block that is to be turned, in time."""
    simulate(__name__, "block_transpose", tmp_path)
