"""add.v: sat8(x + r) of two streams."""

from pathlib import Path

import cocotb
import numpy as np
import pytest

from fxsim import contract
from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls, gaps, play
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import STREAM_STALLS, flowing, random
from testbenches.common.stream import beats

INPUTS = ("s0_axis", "s1_axis")
EVERY_INPUT = np.arange(-128, 128).astype(np.int8)


def traffic(dut, x, r):
    """What is sent, and what the contract makes of it."""
    lanes = dut.LANES.value.to_signed()
    sent = dict(zip(INPUTS, (beats(x, lanes), beats(r, lanes)), strict=True))
    return sent, {"m_axis": beats(contract.add(x, r), lanes)}


def few(dut, name):
    """A few random pairs, the extremes among them."""
    rng = generator(f"add {name}")
    return rng, *traffic(dut, *rng.choice(np.array([*range(-128, 128), *[-128, 127] * 40], np.int8), (2, 200)))


@cocotb.test()
async def takes_a_pair_every_cycle(dut):
    """One result a cycle, one cycle after its pair: of a few, before all pairs are waited for."""
    _, sent, expected = few(dut, "rate")
    cycles = await check_rate(await Bench.started(dut, inputs=INPUTS), sent, expected)
    assert cycles == list(range(1, 1 + len(expected["m_axis"])))


@cocotb.test()
async def adds_every_pair(dut):
    """All 65,536 pairs, at one a cycle, one cycle after they entered."""
    sent, expected = traffic(dut, *map(np.ravel, np.meshgrid(EVERY_INPUT, EVERY_INPUT)))
    bench = await Bench.started(dut, inputs=INPUTS)
    cycles = await check_rate(bench, sent, expected)
    # Not as a list of them all: pytest would take minutes to say where it differs.
    assert (cycles[0], len(cycles), set(gaps(cycles))) == (1, len(expected["m_axis"]), {1})
    assert len(expected["m_axis"]) * dut.LANES.value.to_signed() == 65_536


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def equals_the_contract(dut, stall):
    """Partners find each other under every stall pattern, each stream stalled on its own."""
    rng, sent, expected = few(dut, stall)
    await check_stalls(await Bench.started(dut, inputs=INPUTS), sent, expected, stall, rng)


@cocotb.test()
@cocotb.parametrize(late=[0, 1])
async def waits_for_the_partner(dut, late):
    """No value is taken from one input while the other has none."""
    rng, sent, expected = few(dut, f"late {late}")
    bench = await Bench.started(dut, inputs=INPUTS)
    bench.sources[INPUTS[1 - late]].send(sent[INPUTS[1 - late]])
    bench.stall(flowing(), flowing())
    await bench.step(10)
    assert bench.monitors[INPUTS[1 - late]].beats == []
    bench.stall(flowing(), random(rng, 0.3))
    await play(bench, {INPUTS[late]: sent[INPUTS[late]]}, expected)


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """A reset drops what is inside."""
    rng, sent, expected = few(dut, "reset")
    await check_reset(await Bench.started(dut, inputs=INPUTS), sent, expected, rng)


@cocotb.test()
async def shows_values_without_waiting(dut):
    """A tvalid does not wait for tready."""
    rng, sent, _ = few(dut, "paths")
    await check_paths(await Bench.started(dut, inputs=INPUTS), sent, rng, registered=False)


@pytest.mark.parametrize("lanes", [1, 2])
def test_add(lanes: int, tmp_path: Path) -> None:
    """add.v is sat8(x + r) of partners, whenever either of them comes."""
    simulate(__name__, "add", tmp_path, {"LANES": lanes})
