"""interpolate.v: t0 + round_shift((t1 - t0) * frac, FRAC_W)."""

import itertools
from pathlib import Path

import cocotb
import numpy as np
import numpy.typing as npt
import pytest
from cocotb.triggers import Timer

from fxsim import contract
from testbenches.common.formal import Netlist
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known

CORNERS = (-128, -127, -64, -1, 0, 1, 2, 63, 64, 126, 127)


def contract_value(t0: npt.NDArray, t1: npt.NDArray, frac: npt.NDArray, frac_w: int) -> npt.NDArray[np.int8]:
    """The formula of the contract on arrays; it must never leave int8."""
    y = t0.astype(np.int64) + contract.round_shift((t1.astype(np.int64) - t0) * frac, frac_w)
    assert np.all((np.minimum(t0, t1) <= y) & (y <= np.maximum(t0, t1)))
    return y.astype(np.int8)


@cocotb.test()
async def equals_the_contract(dut):
    """All fractions between extreme and random pairs of points."""
    frac_w = dut.FRAC_W.value.to_signed()
    rng = generator(f"interpolate {frac_w}")
    pairs = [*itertools.product(CORNERS, CORNERS), *rng.integers(-128, 128, (60, 2)).tolist()]
    cases = np.array([(*pair, frac) for pair in pairs for frac in range(1 << frac_w)])
    for (t0, t1, frac), want in zip(cases.tolist(), contract_value(*cases.T, frac_w).tolist(), strict=True):
        dut.t0.value = t0 & 0xFF
        dut.t1.value = t1 & 0xFF
        dut.frac.value = frac
        await Timer(1, "ns")
        got = known(dut.y)
        assert got == want & 0xFF, f"t0 {t0}, t1 {t1}, frac {frac}: {got:#04x}, expected {want}"


@pytest.mark.parametrize("frac_w", [0, 1, *(pytest.param(w, marks=pytest.mark.thorough) for w in (2, 3, 5)), 4, 6])
def test_interpolate(frac_w: int, tmp_path: Path) -> None:
    """interpolate.v equals the contract at every corner."""
    simulate(__name__, "interpolate", tmp_path, {"FRAC_W": frac_w})


@pytest.mark.parametrize("frac_w", range(7))
def test_interpolate_everywhere(frac_w: int, tmp_path: Path) -> None:
    """interpolate.v equals the contract for all 65,536 pairs of points and all fractions between them."""
    netlist = Netlist("interpolate", {"FRAC_W": frac_w}, tmp_path, parts=["segment_step"])
    # In pieces: all pairs of points, a few fractions at a time.
    code = np.arange(65_536, dtype=np.uint32)
    for frac in range(1 << frac_w):
        t0, t1 = (code & 0xFF).astype(np.uint8), (code >> 8).astype(np.uint8)
        got = netlist("y", t0=t0, t1=t1, frac=np.full_like(t0, frac)).astype(np.uint8).view(np.int8)
        expected = contract_value(t0.view(np.int8), t1.view(np.int8), np.int64(frac), frac_w)
        wrong = np.flatnonzero(got != expected)
        assert wrong.size == 0, f"t0 {t0[wrong[0]]}, t1 {t1[wrong[0]]}, frac {frac}: {got[wrong[0]]}"
