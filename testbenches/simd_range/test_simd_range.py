"""simd_range.v: whether ranges of memory end inside the address space, and when that is known."""

from pathlib import Path

import cocotb
import numpy as np
import pytest
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known

LAST, STRIDE, STEPS = (1 << 61) - 1, (1 << 28) - 1, (1 << 32) - 1
LONGEST = 32  # cycles of a check
PRODUCTS = [
    *((0, 0), (STRIDE, 0), (0, 1), (0, STEPS), (1, 1), (1, 2), (1, 3), (STRIDE, 1), (1, STEPS), (STRIDE, 2)),
    *((1, 1 << 31), (STRIDE, 1 << 31), (1 << 27, 1 << 31), (3, (1 << 31) + 1), (1, STEPS - 1), (STRIDE, STEPS)),
]


class Bench:
    """The module and a clock; inputs carry noise whenever `start` is low."""

    def __init__(self, dut, rng: np.random.Generator) -> None:
        self.dut = dut
        self.rng = rng
        self.room = 1 << (dut.ADDRESS_W.value.to_unsigned() - 4)  # words of the address space

    @classmethod
    async def started(cls, dut, name: str) -> "Bench":
        """A bench whose clock runs."""
        await Timer(1, "ns")
        bench = cls(dut, generator(f"simd_range {dut.ADDRESS_W.value} {name}"))
        dut.start.value = 0
        bench.offer(*bench.noise())
        start_clock(dut)
        await FallingEdge(dut.clk)
        return bench

    def noise(self) -> tuple[int, int, int]:
        """Any inputs, of any magnitude."""
        last, stride, steps = (int(self.rng.integers(1 << int(self.rng.integers(most + 1)))) for most in (61, 28, 32))
        return last, stride, steps

    def offer(self, last: int, stride: int, steps: int) -> None:
        """Drive the inputs."""
        self.dut.last.value, self.dut.stride.value, self.dut.steps.value = last, stride, steps

    async def begin(self, last: int, stride: int, steps: int) -> None:
        """One cycle of start; returns in the cycle behind it."""
        self.offer(last, stride, steps)
        self.dut.start.value = 1
        await FallingEdge(self.dut.clk)
        self.dut.start.value = 0
        self.offer(*self.noise())

    async def check(self, last: int, stride: int, steps: int, stop: int | None = None) -> None:
        """One check, looked at in every cycle: up to `stop`, or to its end and a while longer."""
        await self.begin(last, stride, steps)
        truth = last + stride * steps >= self.room
        needed = steps.bit_length()
        before = False
        for cycle in range(needed + 3 if stop is None else stop):
            await ReadOnly()
            beyond, checked = bool(known(self.dut.beyond)), bool(known(self.dut.checked))
            place = f"{last:#x} + {stride:#x} * {steps:#x} in cycle {cycle}: beyond {beyond}, checked {checked}"
            assert truth or not beyond, f"{place}, falsely"
            assert beyond or not before, f"{place}, it fell"
            assert checked == (cycle >= needed), f"{place}, of {needed} cycles"
            # In this many cycles so many low bits of the steps have been seen.
            assert beyond == (last + stride * (steps % (1 << cycle)) >= self.room), f"{place}, too early or too late"
            assert not checked or beyond == truth, f"{place}, wrong in the end"
            before = beyond
            await FallingEdge(self.dut.clk)
            self.offer(*self.noise())

    def near(self, stride: int, steps: int) -> list[int]:
        """Values of `last` that let the range end about the end of the address space, as far as there are any."""
        ends = [self.room + place for place in (-2, -1, 0, 1)]
        return [end - stride * steps for end in ends if 0 <= end - stride * steps <= LAST]


@cocotb.test()
async def ends_at_the_address_space(dut):
    """Ends one word below the last of the address space, at it, and one beyond it, whatever the way there."""
    bench = await Bench.started(dut, "ends")
    most = min(bench.room, STRIDE)
    for stride, steps in [*PRODUCTS, (most, bench.room // most), ((1 << 27) // 3, 1 + bench.room // (1 << 27))]:
        if steps <= STEPS:
            for last in bench.near(stride, steps):
                await bench.check(last, stride, steps)


@cocotb.test()
async def extremes(dut):
    """No steps, no stride, the least and the greatest values, together."""
    bench = await Bench.started(dut, "extremes")
    for stride, steps in PRODUCTS:
        for last in (0, LAST):
            await bench.check(last, stride, steps)


@cocotb.test()
async def every_bit_counts(dut):
    """A single bit of each operand at a time, below the end of the address space and above it."""
    bench = await Bench.started(dut, "bits")
    for bit in range(61):
        await bench.check(1 << bit, 0, 0)
    for bit in range(28):
        for last in bench.near(1 << bit, 1)[1:3]:
            await bench.check(last, 1 << bit, 1)
    for bit in range(32):
        for last in bench.near(1, 1 << bit)[1:3]:
            await bench.check(last, 1, 1 << bit)


@cocotb.test()
async def random_ranges(dut):
    """Random ranges of any magnitude, half of them with an end near that of the address space."""
    bench = await Bench.started(dut, "random")
    for _ in range(80):
        last, stride, steps = bench.noise()
        await bench.check(last, stride, steps)
        near = bench.near(stride, steps)
        if near:
            await bench.check(near[int(bench.rng.integers(len(near)))], stride, steps)


@cocotb.test()
async def starts_anew_in_mid_check(dut):
    """A start in any cycle of a check, or in the cycle behind another, forgets what was; the next check is right."""
    bench = await Bench.started(dut, "anew")
    for stop in range(LONGEST + 2):
        # One that is beyond, or will be, and one whose end is the last word.
        await bench.check(LAST if stop % 2 else bench.room - 1, STRIDE, STEPS, stop)
        stride, steps = int(bench.rng.integers(1, 8)), int(bench.rng.integers(1, 1 << 12))
        await bench.check(bench.room - 1 - stride * steps, stride, steps, stop)
        await bench.check(bench.room - 1, 1, 0)
        await bench.check(0, stride, steps)


@pytest.mark.parametrize("width", [32, 40, 64])
def test_simd_range(width: int, tmp_path: Path) -> None:
    """simd_range.v says whether ranges end inside the address space."""
    simulate(__name__, "simd_range", tmp_path, {"ADDRESS_W": width})
