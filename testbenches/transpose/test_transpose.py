"""transpose.v: ROWS x COLS images, row-major in, column-major out, in one memory."""

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


def shape(dut) -> tuple[int, int]:
    """ROWS, COLS."""
    return dut.ROWS.value.to_signed(), dut.COLS.value.to_signed()


def period(rows: int, cols: int) -> int:
    """Images after which places in a memory that is filled in the order it is emptied in repeat."""
    last, stride, images = rows * cols - 1, cols, 1
    while last > 1 and stride % last != 1 and images < last:
        stride, images = stride * cols % last, images + 1
    return images


def traffic(dut, name, images):
    """Random images and their transposes."""
    rows, cols = shape(dut)
    rng = generator(f"transpose {name} {rows} {cols}")
    x = rng.integers(-128, 128, (images, rows, cols)).astype(np.int8)
    return rng, {"s_axis": beats(x)}, {"m_axis": beats(x.swapaxes(1, 2))}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def transposes(dut, stall):
    """Several images in a row come out column by column under every stall pattern."""
    rng, sent, expected = traffic(dut, stall, 5)
    await check_stalls(await Bench.started(dut), sent, expected, stall, rng)


@cocotb.test()
async def takes_a_value_every_cycle(dut):
    """Until the places in the memory repeat, and on: a value enters every cycle and leaves as soon as it may.

    That is two cycles after it entered, or one after the value before it. From the end of the first column on the
    stream is gapless, with the stated delay.
    """
    rows, cols = shape(dut)
    images, size = period(rows, cols) + 3, rows * cols
    _, sent, expected = traffic(dut, "rate", images)
    bench = await Bench.started(dut)
    cycles = await check_rate(bench, sent, expected)
    assert gaps(bench.monitors["s_axis"].cycles) == [1] * (images * size - 1)
    if 1 in (rows, cols):
        assert cycles == list(range(1, 1 + images * size))
        return
    entered = np.arange(images * size).reshape(images, rows, cols).swapaxes(1, 2).ravel().tolist()
    due = list(itertools.accumulate(entered, lambda before, cycle: max(before + 1, cycle + 2), initial=0))[1:]
    assert cycles == due
    delay = (rows - 1) * (cols - 1) + 2
    assert cycles[rows - 1 :] == list(range(rows - 1 + delay, images * size + delay))


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
    ("rows", "cols"),
    [(1, 1), (1, 6), (6, 1), (2, 2), (2, 3), (3, 2), (3, 3), (4, 4), (4, 6), (6, 4), (5, 7), (8, 3), (2, 9), (16, 5)],
)
def test_transpose(rows: int, cols: int, tmp_path: Path) -> None:
    """transpose.v turns images of any shape, for as many images as its places take to repeat."""
    simulate(__name__, "transpose", tmp_path, {"ROWS": rows, "COLS": cols})
