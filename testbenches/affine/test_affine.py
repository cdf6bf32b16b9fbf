"""affine.v: sat8(round_shift(x[c] * w[c], s[c]) + b[c]), the channel counting with the beats."""

from pathlib import Path

import cocotb
import numpy as np
import pytest

from fxsim import contract
from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls
from testbenches.common.seeds import generator
from testbenches.common.simulation import load_case, simulate, write_hex
from testbenches.common.stalls import STREAM_STALLS, blocked, flowing
from testbenches.common.stream import beats


def traffic(dut, name, tokens=None):
    """Random tokens, extremes among them (or those given), and what the contract makes of them."""
    case, lanes = load_case(), dut.LANES.value.to_signed()
    rng = generator(f"affine {name} {case['weight'].size}")
    if tokens is None:
        count = max(3, 240 // case["weight"].size)
        tokens = rng.choice(np.array([*range(-128, 128), *[-128, 127] * 30]), (count, case["weight"].size))
    x = tokens.astype(np.int8)
    return rng, {"s_axis": beats(x, lanes)}, {"m_axis": beats(contract.affine(x, **case), lanes)}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def equals_the_contract(dut, stall):
    """Every channel uses its own constants under every stall pattern."""
    rng, sent, expected = traffic(dut, stall)
    await check_stalls(await Bench.started(dut), sent, expected, stall, rng)


@cocotb.test()
async def takes_a_value_every_cycle(dut):
    """Every input in every channel, a value every cycle, two cycles after it entered."""
    every = np.arange(-128, 128)[:, None] + np.zeros((1, load_case()["weight"].size), int)
    _, sent, expected = traffic(dut, "rate", every)
    assert await check_rate(await Bench.started(dut), sent, expected) == list(range(2, 2 + len(sent["s_axis"])))


@cocotb.test()
async def holds_two_values(dut):
    """While nobody takes what leaves, two values enter, and no third."""
    _, sent, _ = traffic(dut, "capacity")
    bench = await Bench.started(dut)
    bench.stall(flowing(), blocked())
    bench.sources["s_axis"].send(sent["s_axis"])
    await bench.step(12)
    assert bench.monitors["s_axis"].beats == sent["s_axis"][:2]


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """After a reset the first value is channel 0."""
    rng, sent, expected = traffic(dut, "reset")
    await check_reset(await Bench.started(dut), sent, expected, rng)


@cocotb.test()
async def shows_values_without_waiting(dut):
    """A tvalid does not wait for tready."""
    rng, sent, _ = traffic(dut, "paths")
    await check_paths(await Bench.started(dut), sent, rng, registered=False)


@pytest.mark.parametrize(("channels", "lanes"), [(1, 1), (2, 1), (5, 1), (16, 1), (64, 1), (2, 2), (10, 2), (12, 4)])
def test_affine(channels: int, lanes: int, tmp_path: Path) -> None:
    """affine.v equals the contract: extreme weights and biases, usual shifts and those beyond the product's width."""
    rng = generator(f"affine constants {channels}")
    case = {
        "weight": rng.choice(np.array([-128, -127, -1, 0, 1, 127, *rng.integers(-128, 128, 8)], np.int8), channels),
        "bias": rng.choice(np.array([-128, -1, 0, 127, *rng.integers(-128, 128, 8)], np.int8), channels),
        "shift": rng.choice(np.array([*range(17), *range(17), 31, 32, 128, 255], np.uint8), channels),
    }
    files = {}
    for field, rows in case.items():
        files[f"{field[0].upper()}_FILE"] = f"{field}.hex"
        write_hex(tmp_path / f"{field}.hex", rows)
    simulate(__name__, "affine", tmp_path, {"CHANNELS": channels, "LANES": lanes, **files}, case)
