"""shift_clip.v: floor(2 * acc / 2^shift), clipped to ten bits; what requantise makes of that."""

import itertools
from pathlib import Path

import cocotb
import numpy as np
import pytest
from cocotb.triggers import Timer

from fxsim import contract
from testbenches.common.formal import prove_equal
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known


@cocotb.test()
async def is_a_first_half_of_requantising(dut):
    """Half of what comes out, rounded, with a bias and saturated, is the contract's result, whatever the bias."""
    acc_w = len(dut.acc)
    low, high = -(1 << (acc_w - 1)), (1 << (acc_w - 1)) - 1
    rng = generator(f"shift_clip {acc_w}")
    cases = {(acc, shift) for shift in (*range(acc_w + 3), 255) for acc in (low, low + 1, -1, 0, 1, high - 1, high)}
    for shift, result in itertools.product(range(acc_w), (-513, -512, -511, -1, 0, 1, 510, 511, 512)):
        exact = (result << shift) >> 1
        cases |= {(exact + step, shift) for step in (-1, 0, 1) if low <= exact + step <= high}
    cases |= {(int(rng.integers(low, high + 1)), int(rng.integers(0, acc_w + 2))) for _ in range(1000)}
    biases = np.arange(-128, 128)
    for acc, shift in sorted(cases):
        dut.acc.value = acc & ((1 << acc_w) - 1)
        dut.shift.value = shift
        await Timer(1, "ns")
        got = known(dut.y)
        halves = np.full(256, got - 1024 * (got >> 9))
        expected = contract.requantise(np.full(256, acc), np.full(256, shift), biases)
        assert np.array_equal(contract.requantise(halves, np.full(256, 1), biases), expected), f"{acc}, {shift}: {got}"


@pytest.mark.parametrize("acc_w", [pytest.param(10, marks=pytest.mark.thorough), 18])
def test_shift_clip(acc_w: int, tmp_path: Path) -> None:
    """shift_clip.v keeps of an accumulator what its result is made of."""
    simulate(__name__, "shift_clip", tmp_path, {"ACC_W": acc_w})


@pytest.mark.parametrize("acc_w", [10, 16, 23, *(pytest.param(w, marks=pytest.mark.thorough) for w in (11, 18, 32))])
def test_shift_clip_is_proved(acc_w: int, tmp_path: Path) -> None:
    """shift_clip.v equals its definition for every accumulator and every shift 0 to 255: a proof."""
    prove_equal("shift_clip", Path(__file__).with_name("shift_clip_spec.v"), {"ACC_W": acc_w}, tmp_path)
