"""transpose_beats.v: ROWS x COLS images, LANES neighbours of a row in, LANES neighbours of a column out."""

import itertools
from pathlib import Path

import cocotb
import numpy as np
import pytest

from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls, gaps
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import STREAM_STALLS
from testbenches.common.stream import beats


def shape(dut) -> tuple[int, int, int]:
    """ROWS, COLS, LANES."""
    return dut.ROWS.value.to_signed(), dut.COLS.value.to_signed(), dut.LANES.value.to_signed()


def traffic(dut, name, images):
    """Random images and their transposes."""
    rows, cols, lanes = shape(dut)
    rng = generator(f"transpose_beats {name} {rows} {cols} {lanes}")
    x = rng.integers(-128, 128, (images, rows, cols)).astype(np.int8)
    return rng, {"s_axis": beats(x, lanes)}, {"m_axis": beats(x.swapaxes(1, 2), lanes)}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def transposes(dut, stall):
    """Several images in a row come out column by column under every stall pattern."""
    rng, sent, expected = traffic(dut, stall, 5)
    await check_stalls(await Bench.started(dut), sent, expected, stall, rng)


@cocotb.test()
async def takes_a_beat_every_cycle(dut):
    """A beat enters every cycle and leaves as soon as it may: two cycles after its last value, or one after the last.

    From the end of the first column on the stream is gapless, with the stated delay.
    """
    rows, cols, lanes = shape(dut)
    images, size = 6, rows * cols // lanes
    _, sent, expected = traffic(dut, "rate", images)
    bench = await Bench.started(dut)
    cycles = await check_rate(bench, sent, expected)
    assert gaps(bench.monitors["s_axis"].cycles) == [1] * (images * size - 1)
    entered = (
        np.arange(images * rows * cols).reshape(images, rows, cols).swapaxes(1, 2).reshape(-1, lanes).max(1) // lanes
    )
    due = list(itertools.accumulate(entered, lambda before, cycle: max(before + 1, cycle + 2), initial=0))[1:]
    assert cycles == due
    delay = (rows * cols - rows - cols) // lanes + 1 + 2
    first = rows // lanes - 1
    assert cycles[first:] == list(range(first + delay, images * size + delay))


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """After a reset a new image begins, wherever the last one stopped."""
    rng, sent, expected = traffic(dut, "reset", 3)
    await check_reset(await Bench.started(dut), sent, expected, rng)


@cocotb.test()
async def keeps_its_sides_apart(dut):
    """Neither side's handshake depends on the other's within a cycle."""
    rng, sent, _ = traffic(dut, "paths", 8)
    await check_paths(await Bench.started(dut), sent, rng, registered=True)


@pytest.mark.parametrize(
    ("rows", "cols", "lanes"),
    [(2, 2, 2), (2, 8, 2), (8, 2, 2), (4, 6, 2), (6, 10, 2), (4, 4, 4), (8, 12, 4)],
)
def test_transpose_beats(rows: int, cols: int, lanes: int, tmp_path: Path) -> None:
    """transpose_beats.v turns images of several shapes, two or four values a beat."""
    simulate(__name__, "transpose_beats", tmp_path, {"ROWS": rows, "COLS": cols, "LANES": lanes})
