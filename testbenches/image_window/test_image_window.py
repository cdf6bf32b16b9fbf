"""image_window.v: the pixels under a kernel, place by place."""

from pathlib import Path

import cocotb
import numpy as np
import pytest

from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls, gaps
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import STREAM_STALLS
from testbenches.common.stream import packed

NAMES = (
    "ROWS", "COLUMNS", "WORDS", "DATA_W", "KERNEL_ROWS", "KERNEL_COLUMNS", "STRIDE_ROWS", "STRIDE_COLUMNS",
    "DILATION_ROWS", "DILATION_COLUMNS", "PAD_TOP", "PAD_LEFT", "PAD_BOTTOM", "PAD_RIGHT", "BIPOLAR", "LINES",
)  # fmt: skip


def sizes(dut) -> dict[str, int]:
    """The parameters by name."""
    return {name: getattr(dut, name).value.to_signed() for name in NAMES}


def places(p: dict[str, int]) -> tuple[range, range]:
    """First row and first column under the kernel at each place, counted from the image's first."""
    found = []
    for axis, before, after in (("ROWS", "PAD_TOP", "PAD_BOTTOM"), ("COLUMNS", "PAD_LEFT", "PAD_RIGHT")):
        span = p[f"DILATION_{axis}"] * (p[f"KERNEL_{axis}"] - 1)
        found.append(range(-p[before], p[axis] + p[after] - span, p[f"STRIDE_{axis}"]))
    return found[0], found[1]


def traffic(dut, name, images=3):
    """Random images, and what is under the kernel at each place."""
    p = sizes(dut)
    rng = generator(f"image_window {name} {sorted(p.items())}")
    x = rng.integers(0, 1 << p["DATA_W"], (images, p["ROWS"], p["COLUMNS"], p["WORDS"]))
    rows, columns = places(p)
    expected = []
    for image in x:
        for top in rows:
            for left in columns:
                for r in range(p["KERNEL_ROWS"]):
                    for c in range(p["KERNEL_COLUMNS"]):
                        i, j = top + r * p["DILATION_ROWS"], left + c * p["DILATION_COLUMNS"]
                        inside = 0 <= i < p["ROWS"] and 0 <= j < p["COLUMNS"]
                        expected += [under(int(v), inside, p) for v in (image[i, j] if inside else [0] * p["WORDS"])]
    return rng, {"s_axis": packed(x, 1, p["DATA_W"])}, {"m_axis": expected}


def under(beat: int, inside: bool, p: dict[str, int]) -> int:
    """A beat as it leaves: itself, or of each bit -1 or 1 in two bits; outside of the image 0."""
    if not inside or not p["BIPOLAR"]:
        return beat if inside else 0
    signs = [1 if beat >> k & 1 else -1 for k in range(p["DATA_W"])]
    return packed(np.array(signs), len(signs), 2)[0]


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def gives_every_window(dut, stall):
    """What is under the kernel at every place, under every stall pattern."""
    rng, sent, expected = traffic(dut, stall)
    await check_stalls(await Bench.started(dut), sent, expected, stall, rng)


@cocotb.test()
async def keeps_its_interval(dut):
    """Without stalls an image takes as many cycles as its beats, or those of its windows, where they are more."""
    p = sizes(dut)
    if p["LINES"]:  # fewer rows than the bound needs
        return
    images = 5
    _, sent, expected = traffic(dut, "rate", images)
    cycles = await check_rate(await Bench.started(dut), sent, expected)
    given = len(expected["m_axis"]) // images
    interval = max(p["ROWS"] * p["COLUMNS"] * p["WORDS"], given)
    # The last windows: of the first image they may wait for its rows in another way than of those behind another.
    last = cycles[given - 1 :: given]
    assert gaps(last[1:]) == [interval] * (images - 2), last
    # From the last beat of the image rows under the kernel's first place to its first.
    first_rows = min(p["DILATION_ROWS"] * (p["KERNEL_ROWS"] - 1) + 1 - p["PAD_TOP"], p["ROWS"])
    assert cycles[0] == first_rows * p["COLUMNS"] * p["WORDS"] - 1 + 2


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """After a reset a new image begins."""
    rng, sent, expected = traffic(dut, "reset", 2)
    await check_reset(await Bench.started(dut), sent, expected, rng, times=3)


@cocotb.test()
async def keeps_its_sides_apart(dut):
    """Neither side's handshake depends on the other's within a cycle."""
    rng, sent, _ = traffic(dut, "paths")
    await check_paths(await Bench.started(dut), sent, rng, registered=True)


def case(image, kernel, stride=(1, 1), pad=(0, 0, 0, 0), dilation=(1, 1), words=1, data_w=4, bipolar=0, lines=0):
    """Parameters of a window."""
    values = (*image, words, data_w, *kernel, *stride, *dilation, *pad, bipolar, lines)
    return dict(zip(NAMES, values, strict=True))


CASES = {
    "one": case((1, 1), (1, 1)),
    "one-padded": case((1, 1), (3, 3), pad=(1, 1, 1, 1), bipolar=1),
    "row": case((1, 6), (1, 3), pad=(0, 1, 0, 2), data_w=2),
    "column": case((6, 1), (3, 1), stride=(2, 1), words=2),
    "usual": case((6, 6), (3, 3)),
    "padded": case((5, 6), (3, 3), pad=(1, 1, 1, 1), data_w=3, bipolar=1),
    "stride": case((7, 8), (3, 3), stride=(2, 2), pad=(1, 1, 1, 1), words=2),
    "pool": case((6, 4), (2, 2), stride=(2, 2), words=3),
    "pool-rest": case((7, 5), (2, 2), stride=(2, 2)),
    "overlap": case((5, 5), (3, 2), stride=(2, 1)),
    "every-other": case((6, 5), (1, 1), stride=(2, 3), words=2),
    "far-apart": case((9, 3), (1, 1), stride=(5, 1)),
    "rest-of-many": case((9, 4), (2, 2), stride=(6, 2)),
    "dilated": case((7, 6), (3, 2), dilation=(2, 3), pad=(2, 1, 1, 2), data_w=1),
    "whole": case((3, 4), (3, 4)),
    "uneven": case((4, 5), (4, 3), pad=(3, 2, 0, 1), stride=(1, 2)),
    "few-lines": case((6, 4), (3, 3), lines=3),
    "few-lines-padded": case((5, 4), (3, 3), pad=(1, 1, 1, 1), stride=(2, 1), lines=3, bipolar=1),
    "more-lines": case((4, 4), (2, 2), lines=9),
    "few-lines-apart": case((7, 2), (1, 1), stride=(3, 1), lines=1),
}


@pytest.mark.parametrize("parameters", CASES.values(), ids=CASES)
def test_image_window(parameters: dict[str, int], tmp_path: Path) -> None:
    """image_window.v gives what is under the kernel, of images of every shape, padded and not."""
    simulate(__name__, "image_window", tmp_path, parameters)
