"""split_pair.v: both halves of high * 2^18 + low."""

import itertools
from pathlib import Path

import cocotb
from cocotb.triggers import Timer

from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known

LOW = -4 * 128 * 255, 4 * 127 * 255
"""The least and greatest sum of four products of int8 and 0 to 255."""
HIGH = -4 * 128 * 127, 4 * 128 * 128
"""The same of two int8."""


@cocotb.test()
async def parts_what_was_joined(dut):
    """The ends of both halves, values about 0, random ones."""
    rng = generator("split_pair")
    corners = [sorted({low, low + 1, -1, 0, 1, high - 1, high}) for low, high in (LOW, HIGH)]
    drawn = zip(rng.integers(*LOW, 500).tolist(), rng.integers(*HIGH, 500).tolist(), strict=True)
    for low, high in [*itertools.product(*corners), *drawn]:
        dut.pair.value = (high * 2**18 + low) % 2**36
        await Timer(1, "ns")
        got = known(dut.low), known(dut.high)
        assert got == (low % 2**18, high % 2**18), f"{low}, {high}: {got}"


def test_split_pair(tmp_path: Path) -> None:
    """split_pair.v gives back both halves."""
    simulate(__name__, "split_pair", tmp_path)
