"""product_pair.v: (x * w1) * 2^18 + x * (w0 + 128), two products by one multiplication."""

import itertools
from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import Timer

from testbenches.common.formal import Netlist
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known

CORNERS = (-128, -127, -1, 0, 1, 126, 127)


@cocotb.test()
async def holds_both_products(dut):
    """Extreme and random factors: the word is both products, the one of w0 by 128 x too much."""
    rng = generator("product_pair")
    for x, w0, w1 in [*itertools.product(CORNERS, CORNERS, CORNERS), *rng.integers(-128, 128, (500, 3)).tolist()]:
        dut.x.value, dut.w0.value, dut.w1.value = x & 0xFF, w0 & 0xFF, w1 & 0xFF
        await Timer(1, "ns")
        want = (x * w1 * 2**18 + x * (w0 + 128)) % 2**34
        assert known(dut.p) == want, f"x {x}, w0 {w0}, w1 {w1}: {known(dut.p):#x}, expected {want:#x}"


def test_product_pair(tmp_path: Path) -> None:
    """product_pair.v is right at every corner."""
    simulate(__name__, "product_pair", tmp_path)


def test_product_pair_of_every_weight(tmp_path: Path) -> None:
    """product_pair.v is right of all 65,536 pairs of weights, with factors of every bit and both signs."""
    netlist = Netlist("product_pair", {}, tmp_path)
    code = np.arange(65_536, dtype=np.uint32)
    w0, w1 = (code & 0xFF).astype(np.uint8), (code >> 8).astype(np.uint8)
    for x in (-128, -127, -86, -1, 0, 1, 2, 4, 8, 16, 32, 64, 85, 127):
        exact = x * w1.view(np.int8).astype(np.int64) * 2**18 + x * (w0.view(np.int8).astype(np.int64) + 128)
        for low, high in ((0, 16), (16, 32), (32, 34)):
            got = netlist("p", low, x=np.full_like(w0, x & 0xFF), w0=w0, w1=w1)
            assert np.array_equal(got, exact >> low & (1 << high - low) - 1), (x, low)
