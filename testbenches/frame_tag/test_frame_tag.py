"""frame_tag.v: tlast on every BEATS-th value, tuser with the image's flag."""

from pathlib import Path

import cocotb
import pytest

from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls, play
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import STREAM_STALLS, flowing

INPUTS = ("s_axis", "s_flag_axis")


async def started(dut) -> Bench:
    """A bench on the three streams."""
    return await Bench.started(dut, inputs=INPUTS, sidebands={"m_axis": ("tlast", "tuser")})


def traffic(dut, name, images=20):
    """Random values and flags, and the tagged values."""
    beats = dut.BEATS.value.to_signed()
    rng = generator(f"frame_tag {beats} {name}")
    values = rng.integers(0, 256, (images, beats))
    flags = rng.integers(0, 2, images).tolist()
    tagged = [
        (value, int(k == beats - 1), flag)
        for image, flag in zip(values.tolist(), flags, strict=True)
        for k, value in enumerate(image)
    ]
    return rng, {"s_axis": values.ravel().tolist(), "s_flag_axis": flags}, {"m_axis": tagged}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def tags_every_value(dut, stall):
    """Every value keeps its image's flag, and the last one of each image ends it, under every stall pattern."""
    rng, sent, expected = traffic(dut, stall)
    await check_stalls(await started(dut), sent, expected, stall, rng)


@cocotb.test()
async def takes_a_value_every_cycle(dut):
    """Without stalls a value passes every cycle, in the cycle in which it is offered; a flag with each image's last."""
    bench = await started(dut)
    _, sent, expected = traffic(dut, "rate")
    assert await check_rate(bench, sent, expected) == list(range(len(sent["s_axis"])))
    last = [cycle for cycle, beat in zip(bench.monitors["m_axis"].cycles, expected["m_axis"], strict=True) if beat[1]]
    assert bench.monitors["s_flag_axis"].cycles == last


@cocotb.test()
async def waits_for_the_flag(dut):
    """No value passes before the flag of its image is there."""
    bench = await started(dut)
    _, sent, expected = traffic(dut, "flag", 3)
    bench.sources["s_axis"].send(sent["s_axis"])
    bench.stall(flowing(), flowing())
    await bench.step(10)
    assert bench.monitors["s_axis"].beats == bench.monitors["m_axis"].beats == []
    await play(bench, {"s_flag_axis": sent["s_flag_axis"]}, expected)


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """After a reset an image begins."""
    rng, sent, expected = traffic(dut, "reset", 4)
    await check_reset(await started(dut), sent, expected, rng)


@cocotb.test()
async def shows_values_without_waiting(dut):
    """A tvalid does not wait for tready."""
    rng, sent, _ = traffic(dut, "paths")
    await check_paths(await started(dut), sent, rng, registered=False)


@pytest.mark.parametrize("beats", [1, 2, 3, 8, 10])
def test_frame_tag(beats: int, tmp_path: Path) -> None:
    """frame_tag.v ends every image after BEATS values and marks the bad ones."""
    simulate(__name__, "frame_tag", tmp_path, {"BEATS": beats})
