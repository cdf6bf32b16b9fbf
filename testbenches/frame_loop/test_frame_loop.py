"""frame_loop.v: images through a body, step by step, and onward."""

from pathlib import Path

import cocotb
import pytest

from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import STREAM_STALLS, blocked, flowing
from testbenches.common.stream import packed

INPUTS, OUTPUTS = ("s0_axis", "s1_axis"), ("m0_axis", "m1_axis")
IMAGES = 12


def sizes(dut):
    """The module's parameters."""
    names = ("STEPS", "BEATS", "LANES", "X_W", "X_SIGNED", "Y_W")
    return {name: getattr(dut, name).value.to_signed() for name in names}


def traffic(dut, name):
    """Random images, and random results of a body, in the order in which it gives them; where each must come out."""
    p = sizes(dut)
    rng = generator(f"frame_loop {name} {p}")
    low = -(1 << (p["X_W"] - 1)) if p["X_SIGNED"] else 0
    values = p["BEATS"] * p["LANES"]
    x = rng.integers(low, low + (1 << p["X_W"]), (IMAGES, values)).tolist()
    results = rng.integers(0, 1 << p["Y_W"], (IMAGES, p["STEPS"], values)).tolist()
    taken, left, given = [], [], []
    for image, steps in zip(x, results, strict=True):
        for step in (image, *steps[:-1]):
            taken += step
        left += steps[-1]
        for step in steps:
            given += step
    entered = packed([value for image in x for value in image], p["LANES"], p["X_W"])
    wide = [packed(each, p["LANES"], p["Y_W"]) for each in (given, taken, left)]
    return rng, dict(zip(INPUTS, (entered, wide[0]), strict=True)), dict(zip(OUTPUTS, wide[1:], strict=True))


async def started(dut):
    """A bench of both inputs and both outputs."""
    return await Bench.started(dut, inputs=INPUTS, outputs=OUTPUTS)


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def leads_images_through(dut, stall):
    """Each image in, then what the steps but the last give, back in; what the last gives, out: under every pattern."""
    rng, sent, expected = traffic(dut, stall)
    await check_stalls(await started(dut), sent, expected, stall, rng)


@cocotb.test()
async def moves_a_beat_every_cycle(dut):
    """Without stalls a body that gives its results in time takes a beat every cycle, step after step."""
    p = sizes(dut)
    _, sent, expected = traffic(dut, "rate")
    cycles = await check_rate(await started(dut), sent, expected, "m0_axis")
    if p["BEATS"] > 2:
        assert cycles == list(range(len(expected["m0_axis"])))


@cocotb.test()
async def keeps_a_whole_image(dut):
    """While the body takes nothing it may give all that a step gives; the next image waits outside."""
    p = sizes(dut)
    _, sent, expected = traffic(dut, "keeps")
    bench = await started(dut)
    bench.stall(flowing(), flowing())
    bench.sources["s0_axis"].send(sent["s0_axis"])
    await bench.step(p["BEATS"] + 10)
    # One image has entered; nothing came back, and so nothing more goes in.
    assert len(bench.monitors["s0_axis"].beats) == p["BEATS"]
    bench.sinks["m0_axis"].stall = blocked()
    bench.sources["s1_axis"].send(sent["s1_axis"])
    await bench.step(2 * p["BEATS"] + 20)
    assert bench.monitors["m0_axis"].beats == expected["m0_axis"][: p["BEATS"]]
    # The first step's results are kept, whole; of two steps the second's go onward.
    assert len(bench.monitors["s1_axis"].beats) == p["BEATS"] * (2 if p["STEPS"] == 2 else 1)


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """After a reset the first beat is the first of an image's first step, on either side."""
    rng, sent, expected = traffic(dut, "reset")
    await check_reset(await started(dut), sent, expected, rng, times=10)


@cocotb.test()
async def shows_values_without_waiting(dut):
    """A tvalid does not wait for tready."""
    rng, sent, _ = traffic(dut, "paths")
    await check_paths(await started(dut), sent, rng, registered=False)


@pytest.mark.parametrize(
    ("steps", "beats", "lanes", "x", "y"),
    [(4, 6, 1, (8, 1), 8), (2, 5, 2, (7, 0), 8), (3, 1, 1, (1, 1), 1), (5, 2, 3, (4, 1), 6), (2, 16, 1, (16, 0), 16)],
)
def test_frame_loop(steps: int, beats: int, lanes: int, x: tuple[int, int], y: int, tmp_path: Path) -> None:
    """frame_loop.v leads images of any size through any number of steps."""
    parameters = {"STEPS": steps, "BEATS": beats, "LANES": lanes, "X_W": x[0], "X_SIGNED": x[1], "Y_W": y}
    simulate(__name__, "frame_loop", tmp_path, parameters)
