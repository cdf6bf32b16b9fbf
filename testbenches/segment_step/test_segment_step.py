"""segment_step.v: (t1 - t0) * frac / 2^FRAC_W rounded down, with the rounding bit below, modulo 512 halves."""

import itertools
from pathlib import Path

import cocotb
import numpy as np
import pytest
from cocotb.triggers import Timer

from testbenches.common.formal import Netlist
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known

CORNERS = (-128, -127, -64, -1, 0, 1, 2, 63, 64, 126, 127)


@cocotb.test()
async def equals_the_rule(dut):
    """All fractions between extreme and random pairs of points."""
    frac_w = dut.FRAC_W.value.to_signed()
    rng = generator(f"segment_step {frac_w}")
    pairs = [*itertools.product(CORNERS, CORNERS), *rng.integers(-128, 128, (60, 2)).tolist()]
    for (t0, t1), frac in itertools.product(pairs, range(1 << frac_w)):
        dut.t0.value = t0 & 0xFF
        dut.t1.value = t1 & 0xFF
        dut.frac.value = frac
        await Timer(1, "ns")
        got = known(dut.step)
        want = 2 * (t1 - t0) * frac // (1 << frac_w) % 512
        assert got == want, f"t0 {t0}, t1 {t1}, frac {frac}: {got:#05x}, expected {want:#05x}"


@pytest.mark.parametrize("frac_w", [1, *(pytest.param(w, marks=pytest.mark.thorough) for w in (2, 3, 5)), 4, 6])
def test_segment_step(frac_w: int, tmp_path: Path) -> None:
    """segment_step.v is right at every corner."""
    simulate(__name__, "segment_step", tmp_path, {"FRAC_W": frac_w})


@pytest.mark.parametrize("frac_w", [1, *(pytest.param(w, marks=pytest.mark.thorough) for w in (3, 4, 5)), 2, 6])
def test_segment_step_everywhere(frac_w: int, tmp_path: Path) -> None:
    """segment_step.v is right for all 65,536 pairs of points and all fractions between them."""
    netlist = Netlist("segment_step", {"FRAC_W": frac_w}, tmp_path)
    code = np.arange(65_536, dtype=np.uint32)
    t0, t1 = (code & 0xFF).astype(np.uint8), (code >> 8).astype(np.uint8)
    for frac in range(1 << frac_w):
        got = netlist("step", t0=t0, t1=t1, frac=np.full_like(t0, frac))
        halves = 2 * (t1.view(np.int8).astype(np.int64) - t0.view(np.int8)) * frac // (1 << frac_w)
        assert np.array_equal(got, halves % 512), frac
