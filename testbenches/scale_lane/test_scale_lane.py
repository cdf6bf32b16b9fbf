"""scale_lane.v: two products summed, shifted, rounded, moved and clipped."""

from pathlib import Path

import cocotb
import pytest
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known

NAMES = (
    "X_W",
    "X_SIGNED",
    "W_W",
    "R_W",
    "R_SIGNED",
    "V_W",
    "ACC_W",
    "S_W",
    "B_W",
    "Y_W",
    "Y_SIGNED",
    "RELU",
    "ROUNDING",
)


def rounded(acc, places, rounding):
    """The whole number nearest to acc / 2^places; ties as ROUNDING has them."""
    if rounding == 3:
        # What is below 2^31 is dropped of shifts that are greater, and the rest rounded away from zero; else half up.
        return rounded(acc >> 31, places - 31, 2) if places > 31 else rounded(acc, places, 0)
    below, left = divmod(acc, 1 << places)
    if 2 * left != 1 << places:
        return below + (2 * left > 1 << places)
    return below + (True, below % 2 == 1, acc > 0)[rounding]


@cocotb.test()
async def rounds_and_clips(dut):
    """Any values, factors, shift and bias, each step in cycles with its enable only: y after the third."""
    p = {name: getattr(dut, name).value.to_signed() for name in NAMES}
    rng = generator(f"scale_lane {p}")

    def number(bits, signed=1):
        """Any number of so many bits, ends and small ones above all."""
        low = -(1 << (bits - 1)) if signed else 0
        some = [low, low + (1 << bits) - 1, 0, 1, int.from_bytes(rng.bytes(9), "little") >> int(rng.integers(0, 72))]
        return (some[int(rng.integers(len(some)))] - low) % (1 << bits) + low

    least = -(1 << (p["Y_W"] - 1)) if p["Y_SIGNED"] else 0
    most = least + (1 << p["Y_W"]) - 1
    least = 0 if p["RELU"] else least
    half = 1 << (p["ACC_W"] - 1)
    await Timer(1, "ns")
    start_clock(dut)
    scaled = shifted = y = None
    for _ in range(800):
        scale, shift_now, sum_now = (bool(rng.random() < 0.8) for _ in range(3))
        x, w, r, v = (
            number(p["X_W"], p["X_SIGNED"]),
            number(p["W_W"]),
            number(p["R_W"], p["R_SIGNED"]),
            number(p["V_W"]),
        )
        shift, bias = int(rng.integers(0, min(p["ACC_W"] + 3, 1 << p["S_W"]))), number(p["B_W"])
        if rng.random() < 0.3 and p["X_W"] > 1:
            # A tie, or one off: half a unit and some units.
            x, r, end = 1, 0, 1 << (p["W_W"] - 1)
            w = ((int(rng.integers(-9, 10)) * 2 + 1) << shift >> 1) + int(rng.integers(-1, 2))
            w = (w + end) % (2 * end) - end
        await FallingEdge(dut.clk)
        dut.scale_enable.value, dut.shift_enable.value, dut.sum_enable.value = scale, shift_now, sum_now
        for name, value in {"x": x, "w": w, "r": r, "v": v, "shift": shift, "bias": bias}.items():
            dut_pin = getattr(dut, name)
            dut_pin.value = value % (1 << len(dut_pin))
        await ReadOnly()
        if y is not None:
            assert known(dut.y) == y % (1 << p["Y_W"])
        if sum_now and shifted is not None:
            y = min(max(shifted, least), most)
        if shift_now and scaled is not None:
            acc, places, moved = scaled
            shifted = rounded(acc, places, p["ROUNDING"]) + moved
        if scale:
            scaled = (x * w + r * v + half) % (2 * half) - half, shift, bias


@pytest.mark.parametrize(
    "values",
    [
        (19, 1, 2, 1, 0, 2, 20, 4, 8, 8, 1, 0),
        (8, 0, 5, 1, 0, 11, 16, 5, 8, 7, 0, 0),
        (1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 0),
        (2, 1, 1, 1, 0, 2, 3, 8, 9, 16, 1, 0),
        (32, 1, 2, 1, 0, 32, 33, 6, 2, 32, 1, 0),
        (8, 1, 16, 8, 1, 16, 26, 5, 1, 8, 1, 0),
        (32, 1, 31, 1, 0, 62, 64, 6, 16, 16, 0, 0),
        (8, 1, 2, 1, 0, 1, 9, 1, 1, 8, 1, 1),
        (3, 0, 1, 2, 0, 1, 4, 2, 1, 8, 0, 0),
        *((2, 1, 62, 1, 0, 63, 64, 7, 8, 16, 1, 0, rounding) for rounding in (1, 2, 3)),
        *((8, 1, 9, 1, 0, 11, 18, 5, 8, 8, 1, 0, rounding) for rounding in (1, 2)),
        (8, 0, 5, 1, 0, 11, 16, 6, 1, 16, 1, 0, 3),
    ],
)
def test_scale_lane(values: tuple[int, ...], tmp_path: Path) -> None:
    """scale_lane.v rounds ties as asked at every shift, those beyond the sum's width too, and clips to y's range."""
    simulate(__name__, "scale_lane", tmp_path, dict(zip(NAMES, (*values, 0)[: len(NAMES)], strict=True)))
