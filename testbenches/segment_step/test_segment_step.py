"""segment_step.v: (t1 - t0) * frac / 2^FRAC_W rounded down, with the rounding bit below, modulo 512 halves."""

from pathlib import Path

import numpy as np
import pytest

from testbenches.common.formal import Netlist


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
