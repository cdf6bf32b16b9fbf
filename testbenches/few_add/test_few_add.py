"""few_add.v: sums of two streams of few bits, saturated."""

from pathlib import Path

import cocotb
import pytest

from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import STREAM_STALLS, flowing
from testbenches.common.stream import packed

INPUTS = ("s0_axis", "s1_axis")


def ends(dut, letter):
    """Least and greatest value of a number."""
    bits, signed = (getattr(dut, f"{letter}_{name}").value.to_signed() for name in ("W", "SIGNED"))
    low = -(1 << (bits - 1)) if signed else 0
    return bits, low, low + (1 << bits) - 1


def traffic(dut, name, beats=120):
    """Random beats, ends of both ranges among them, and every sum, no further than y's range goes."""
    lanes = dut.LANES.value.to_signed()
    (x_bits, *x_ends), (r_bits, *r_ends), (y_bits, low, high) = (ends(dut, letter) for letter in "XRY")
    rng = generator(f"few_add {name} {lanes} {x_bits} {x_ends} {r_bits} {r_ends} {y_bits} {low}")
    x, r = (rng.integers(first, last + 1, (beats, lanes)) for first, last in (x_ends, r_ends))
    for n, (a, b) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        x[10 * n : 10 * n + 5], r[10 * n : 10 * n + 5] = x_ends[a], r_ends[b]
        x[10 * n + 5 : 10 * n + 10] = x_ends[a]
    sums = [min(max(a + b, low), high) for a, b in zip(x.ravel().tolist(), r.ravel().tolist(), strict=True)]
    sent = {"s0_axis": packed(x, lanes, x_bits), "s1_axis": packed(r, lanes, r_bits)}
    return rng, sent, {"m_axis": packed(sums, lanes, y_bits)}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def adds_partners(dut, stall):
    """Partners find each other under every stall pattern, each stream stalled on its own."""
    rng, sent, expected = traffic(dut, stall)
    await check_stalls(await Bench.started(dut, inputs=INPUTS), sent, expected, stall, rng)


@cocotb.test()
async def takes_a_pair_every_cycle(dut):
    """One beat a cycle, one cycle after its pair."""
    _, sent, expected = traffic(dut, "rate")
    cycles = await check_rate(await Bench.started(dut, inputs=INPUTS), sent, expected)
    assert cycles == list(range(1, 121))


@cocotb.test()
@cocotb.parametrize(late=[0, 1])
async def waits_for_the_partner(dut, late):
    """Nothing is taken from one input while the other has nothing."""
    _, sent, _ = traffic(dut, f"late {late}")
    bench = await Bench.started(dut, inputs=INPUTS)
    bench.sources[INPUTS[1 - late]].send(sent[INPUTS[1 - late]])
    bench.stall(flowing(), flowing())
    await bench.step(10)
    assert bench.monitors[INPUTS[1 - late]].beats == []


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """A reset drops what is inside."""
    rng, sent, expected = traffic(dut, "reset")
    await check_reset(await Bench.started(dut, inputs=INPUTS), sent, expected, rng)


@cocotb.test()
async def shows_values_without_waiting(dut):
    """A tvalid does not wait for tready."""
    rng, sent, _ = traffic(dut, "paths")
    await check_paths(await Bench.started(dut, inputs=INPUTS), sent, rng, registered=False)


@pytest.mark.parametrize(
    ("lanes", "x", "r", "y"),
    [
        (1, (8, 1), (8, 1), (8, 1)),
        (3, (4, 0), (7, 1), (3, 1)),
        (2, (1, 0), (1, 1), (1, 0)),
        (1, (5, 1), (2, 0), (9, 0)),
        (2, (3, 0), (4, 0), (4, 0)),
        (1, (16, 0), (16, 1), (16, 1)),
        (1, (16, 0), (16, 0), (16, 0)),
        (2, (2, 1), (6, 1), (16, 1)),
    ],
)
def test_few_add(lanes: int, x: tuple[int, int], r: tuple[int, int], y: tuple[int, int], tmp_path: Path) -> None:
    """few_add.v gives the sums of numbers of all widths and signs, saturated."""
    parameters = {"LANES": lanes}
    for letter, (bits, signed) in zip("XRY", (x, r, y), strict=True):
        parameters |= {f"{letter}_W": bits, f"{letter}_SIGNED": signed}
    simulate(__name__, "few_add", tmp_path, parameters)
