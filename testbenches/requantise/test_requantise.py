"""requantise.v: sat8(round_shift(acc, shift) + bias)."""

import itertools
from collections.abc import Iterator
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

BIASES = (-128, -127, -1, 0, 1, 126, 127)


def corners(acc_w: int) -> Iterator[tuple[int, int, int]]:
    """Every shift with every bias of the list; accumulators around zero, ties, saturation and the ends of the range."""
    low, high = -(1 << (acc_w - 1)), (1 << (acc_w - 1)) - 1
    for shift, bias in itertools.product(range(256), BIASES):
        near: set[int] = {low, high, 0}
        if shift <= acc_w:
            half = (1 << shift) >> 1
            # Results -2 to 2 and those beside which the saturation begins, each with the tie below it.
            for result in (*range(-2, 3), 127 - bias, 128 - bias, -128 - bias, -129 - bias):
                near |= {(result << shift) - half, (result << shift)}
        candidates = {acc + step for acc in near for step in (-1, 0, 1)}
        yield from ((acc, shift, bias) for acc in sorted(candidates) if low <= acc <= high)


@cocotb.test()
async def equals_the_contract(dut):
    """All shifts, ties, both signs, saturation on either side, extreme biases; and random values of everything."""
    acc_w = len(dut.acc)
    rng = generator(f"requantise {acc_w}")
    low, high = -(1 << (acc_w - 1)), (1 << (acc_w - 1)) - 1
    cases = np.array(list(corners(acc_w)), np.int64)
    anything = np.stack([rng.integers(*span, 2000) for span in ((low, high + 1), (0, 256), (-128, 128))], axis=1)
    usual = np.stack([rng.integers(*span, 2000) for span in ((low, high + 1), (0, acc_w + 1), (-128, 128))], axis=1)
    cases = np.concatenate([cases, anything, usual])
    expected = contract.requantise(cases[:, 0], cases[:, 1], cases[:, 2])
    mask = (1 << acc_w) - 1
    for (acc, shift, bias), want in zip(cases.tolist(), expected.tolist(), strict=True):
        dut.acc.value = acc & mask
        dut.shift.value = shift
        dut.bias.value = bias & 0xFF
        await Timer(1, "ns")
        got = known(dut.y)
        assert got == want & 0xFF, f"acc {acc}, shift {shift}, bias {bias}: {got:#04x}, expected {want}"


# Each of them is proved below; in the simulator it is seen of two.
@pytest.mark.parametrize("acc_w", [*(pytest.param(w, marks=pytest.mark.thorough) for w in (2, 7, 9, 16, 32)), 8, 23])
def test_requantise(acc_w: int, tmp_path: Path) -> None:
    """requantise.v equals the contract at every corner."""
    simulate(__name__, "requantise", tmp_path, {"ACC_W": acc_w})


@pytest.mark.parametrize(
    "acc_w", [2, 7, 8, 16, 18, 23, 32, *(pytest.param(w, marks=pytest.mark.thorough) for w in (3, 9, 14, 17, 22, 24))]
)
def test_requantise_is_proved(acc_w: int, tmp_path: Path) -> None:
    """requantise.v equals its definition for every accumulator, every shift 0 to 255 and every bias: a proof."""
    prove_equal("requantise", Path(__file__).with_name("requantise_spec.v"), {"ACC_W": acc_w}, tmp_path)
