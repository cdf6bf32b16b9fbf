"""pool.v: the average over the tokens of an image, rounded half up."""

from pathlib import Path

import cocotb
import numpy as np
import pytest

from fxsim import contract
from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import STREAM_STALLS
from testbenches.common.stream import beats


def traffic(dut, name, images=5):
    """Images at both ends of the range, random ones, and some around every tie; and what the contract makes of them."""
    tokens, channels = dut.TOKENS.value.to_signed(), dut.CHANNELS.value.to_signed()
    rng, lanes = generator(f"pool {name} {tokens} {channels}"), dut.LANES.value.to_signed()
    x = rng.integers(-128, 128, (images, tokens, channels))
    x[1], x[2] = -128, 127
    # Sums of about half a result, either sign.
    x[3:] = rng.integers(-1, 2, x[3:].shape)
    x[3:, : tokens // 2] += rng.choice([-1, 0, 1], x[3:, :1].shape)
    x = x.astype(np.int8)
    return rng, {"s_axis": beats(x, lanes)}, {"m_axis": beats(contract.pool(x), lanes)}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def equals_the_contract(dut, stall):
    """Every channel's average under every stall pattern."""
    rng, sent, expected = traffic(dut, stall)
    await check_stalls(await Bench.started(dut), sent, expected, stall, rng)


@cocotb.test()
async def takes_a_value_every_cycle(dut):
    """Without stalls a value enters every cycle, and each result leaves one cycle after its last one."""
    tokens, beats_a_token = dut.TOKENS.value.to_signed(), dut.CHANNELS.value.to_signed() // dut.LANES.value.to_signed()
    _, sent, expected = traffic(dut, "rate", 12)
    cycles = await check_rate(await Bench.started(dut), sent, expected)
    starts = [(image * tokens + tokens - 1) * beats_a_token for image in range(12)]
    assert cycles == [start + beat + 1 for start in starts for beat in range(beats_a_token)]


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """After a reset a new image begins, with sums of zero."""
    rng, sent, expected = traffic(dut, "reset")
    await check_reset(await Bench.started(dut), sent, expected, rng)


@cocotb.test()
async def shows_values_without_waiting(dut):
    """A tvalid does not wait for tready."""
    rng, sent, _ = traffic(dut, "paths")
    await check_paths(await Bench.started(dut), sent, rng, registered=False)


@pytest.mark.parametrize(
    ("tokens", "channels", "lanes"),
    [(1, 1, 1), (1, 5, 1), (2, 3, 1), (4, 1, 1), (8, 5, 1), (16, 4, 1), (64, 2, 1), (1, 4, 2), (4, 2, 2), (8, 6, 2)],
)
def test_pool(tokens: int, channels: int, lanes: int, tmp_path: Path) -> None:
    """pool.v equals the contract at both ends of the range, at ties, and in between."""
    simulate(__name__, "pool", tmp_path, {"TOKENS": tokens, "CHANNELS": channels, "LANES": lanes})
