"""few_product.v: each value of one stream times the next ones of another."""

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
    """Width, least and greatest value of a factor."""
    bits, signed = (getattr(dut, f"{letter}_{name}").value.to_signed() for name in ("W", "SIGNED"))
    low = -(1 << (bits - 1)) if signed else 0
    return bits, low, low + (1 << bits) - 1


def traffic(dut, name, values=40):
    """Random factors, ends of both ranges among them, and every product's lowest bits."""
    columns, lanes, y_bits = (getattr(dut, key).value.to_signed() for key in ("COLUMNS", "LANES", "Y_W"))
    (x_bits, *x_ends), (r_bits, *r_ends) = (ends(dut, letter) for letter in "XR")
    rng = generator(f"few_product {name} {columns} {lanes} {x_bits} {x_ends} {r_bits} {r_ends} {y_bits}")
    x = rng.integers(x_ends[0], x_ends[1] + 1, values)
    r = rng.integers(r_ends[0], r_ends[1] + 1, (values, columns))
    for n, (a, b) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        x[5 * n], r[5 * n] = x_ends[a], r_ends[b]
    y = [a * b for a, row in zip(x.tolist(), r.tolist(), strict=True) for b in row]
    sent = {"s0_axis": packed(x, 1, x_bits), "s1_axis": packed(r, lanes, r_bits)}
    return rng, sent, {"m_axis": packed(y, lanes, y_bits)}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def multiplies(dut, stall):
    """Each value finds its own under every stall pattern, each stream stalled on its own."""
    rng, sent, expected = traffic(dut, stall)
    await check_stalls(await Bench.started(dut, inputs=INPUTS), sent, expected, stall, rng)


@cocotb.test()
async def takes_a_beat_every_cycle(dut):
    """One beat of the second stream a cycle, its products two cycles later."""
    _, sent, expected = traffic(dut, "rate")
    cycles = await check_rate(await Bench.started(dut, inputs=INPUTS), sent, expected)
    assert cycles == list(range(2, 2 + len(expected["m_axis"])))


@cocotb.test()
@cocotb.parametrize(late=[0, 1])
async def waits_for_the_other(dut, late):
    """Nothing is taken from one input while the other has nothing."""
    _, sent, _ = traffic(dut, f"late {late}")
    bench = await Bench.started(dut, inputs=INPUTS)
    bench.sources[INPUTS[1 - late]].send(sent[INPUTS[1 - late]])
    bench.stall(flowing(), flowing())
    await bench.step(10)
    assert bench.monitors[INPUTS[1 - late]].beats == []


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """After a reset the first beat of the second stream is the first of a value of the first."""
    rng, sent, expected = traffic(dut, "reset")
    await check_reset(await Bench.started(dut, inputs=INPUTS), sent, expected, rng)


@cocotb.test()
async def shows_values_without_waiting(dut):
    """A tvalid does not wait for tready."""
    rng, sent, _ = traffic(dut, "paths")
    await check_paths(await Bench.started(dut, inputs=INPUTS), sent, rng, registered=False)


@pytest.mark.parametrize(
    ("columns", "lanes", "x", "r", "bits"),
    [
        (16, 1, (16, 0), (12, 0), 29),
        (1, 1, (8, 1), (8, 1), 16),
        (6, 2, (3, 0), (5, 1), 9),
        (3, 3, (1, 0), (1, 1), 2),
        (2, 1, (16, 1), (16, 1), 32),
        (4, 2, (16, 0), (16, 0), 32),
        (2, 2, (6, 1), (4, 0), 5),
    ],
)
def test_few_product(
    columns: int, lanes: int, x: tuple[int, int], r: tuple[int, int], bits: int, tmp_path: Path
) -> None:
    """few_product.v gives the products of numbers of all widths and signs."""
    parameters = {"COLUMNS": columns, "LANES": lanes, "Y_W": bits}
    for letter, (width, signed) in zip("XR", (x, r), strict=True):
        parameters |= {f"{letter}_W": width, f"{letter}_SIGNED": signed}
    simulate(__name__, "few_product", tmp_path, parameters)
