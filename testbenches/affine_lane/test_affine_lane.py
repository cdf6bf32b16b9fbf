"""affine_lane.v: one channel's scaling with constants that come with the value."""

import itertools
from pathlib import Path

import cocotb
from cocotb.triggers import FallingEdge, ReadOnly

from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known
from testbenches.simd_epilogue.integers import requantise

CORNERS = (-128, -1, 0, 1, 127)


@cocotb.test()
async def scales_every_value(dut):
    """Corners under every shift, random values, in cycles with `enable` only: y a cycle later, and until the next."""
    rng = generator("affine_lane")
    cases = [(x, w, 0, s) for x, w, s in itertools.product(CORNERS, CORNERS, range(256))]
    cases += [(x, w, b, s) for x, w, b in itertools.product(CORNERS, repeat=3) for s in (0, 1, 7, 8)]
    cases += [
        (x, int(rng.integers(-128, 128)), int(rng.integers(-128, 128)), int(rng.integers(18)))
        for x in [*range(-128, 128)] * 8
    ]
    start_clock(dut)
    shown: tuple[int, int, int, int] | None = None
    for index in rng.permutation(len(cases)):
        enable = False
        while not enable:
            await FallingEdge(dut.clk)
            enable = rng.random() < 0.8
            # Constants that come without `enable` belong to nothing.
            x, w, b, s = cases[index] if enable else rng.integers(-128, 128, 4).tolist()
            dut.enable.value = enable
            dut.x.value, dut.w.value, dut.b.value, dut.s.value = x & 0xFF, w & 0xFF, b & 0xFF, s & 0xFF
            await ReadOnly()
            if shown is not None:
                want = requantise(shown[0] * shown[1], shown[3], shown[2])
                assert known(dut.y) == want & 0xFF, f"x, w, b, s {shown}: {known(dut.y):#04x}, expected {want}"
        shown = cases[index]


def test_affine_lane(tmp_path: Path) -> None:
    """affine_lane.v equals the contract, and takes nothing without `enable`."""
    simulate(__name__, "affine_lane", tmp_path)
