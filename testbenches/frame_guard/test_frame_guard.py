"""frame_guard.v: images of exactly BEATS values go out, whatever the framing of the input."""

from pathlib import Path

import cocotb
import pytest

from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls, play
from testbenches.common.frames import KINDS, frames, repaired, with_last
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import STREAM_STALLS, blocked, flowing

OUTPUTS = ("m_axis", "m_flag_axis")


async def started(dut) -> Bench:
    """A bench on the guard's three streams."""
    return await Bench.started(dut, outputs=OUTPUTS, sidebands={"s_axis": ("tlast",)})


def length(dut) -> int:
    """BEATS."""
    return dut.BEATS.value.to_signed()


def traffic(sent, beats_an_image):
    """Frames as sent, and the images and flags they become."""
    images = repaired(sent, beats_an_image)
    return {"s_axis": with_last(sent)}, {
        "m_axis": [value for image, _ in images for value in image],
        "m_flag_axis": [flag for _, flag in images],
    }


def kinds_of(rng, count):
    """Random kinds of frame, with two bad ones of either kind in a row and good ones after them."""
    return [*rng.choice(KINDS, count), "early", "early", "late", "late", "merged", "early", "good", "good"]


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def repairs_every_frame(dut, stall):
    """Short frames are padded, long ones cut, and the images after them are whole, under every stall pattern."""
    rng = generator(f"frame_guard {length(dut)} {stall}")
    sent = frames(rng, length(dut), kinds_of(rng, 20))
    await check_stalls(await started(dut), *traffic(sent, length(dut)), stall, rng)


@cocotb.test()
async def takes_a_value_every_cycle(dut):
    """Good frames pass at a value a cycle, one cycle later, and raise no error."""
    sent = frames(generator("frame_guard rate"), length(dut), ["good"] * 6)
    cycles = await check_rate(await started(dut), *traffic(sent, length(dut)))
    assert cycles == list(range(1, 1 + 6 * length(dut)))
    assert (int(dut.frame_error_early.value), int(dut.frame_error_late.value)) == (0, 0)


@cocotb.test()
@cocotb.parametrize(kind=["early", "late", "merged"])
async def errors_stick_until_reset(dut, kind):
    """Each kind of bad frame raises its own error, which stays through good frames and goes with a reset."""
    rng = generator(f"frame_guard {kind}")
    bench = await started(dut)
    errors = (dut.frame_error_early, dut.frame_error_late)
    # A frame of one beat cannot be too short.
    raised = {"early": (int(length(dut) > 1), 0), "late": (0, 1), "merged": (0, 1)}[kind]
    seen = []
    bench.observers.append(lambda _cycle: seen.append(tuple(int(error.value) for error in errors)))
    for _ in range(2):
        seen.clear()
        before, bad, after = (frames(rng, length(dut), kinds) for kinds in (["good"], [kind], ["good"] * 2))
        bench.stall(flowing(), flowing())
        await play(bench, *traffic(before, length(dut)))
        assert set(seen) == {(0, 0)}
        seen.clear()
        for monitor in bench.monitors.values():
            monitor.reset()
        await play(bench, *traffic(bad + after, length(dut)))
        # Once, and for good: at the latest while the bad frame's image ends.
        assert seen == sorted(seen)
        assert seen[-1] == raised
        assert seen.count((0, 0)) <= len(bad[0]) + 1 or raised == (0, 0)
        await bench.reset()
        assert tuple(int(error.value) for error in errors) == (0, 0)


@cocotb.test()
async def holds_back_while_a_flag_waits(dut):
    """A flag that nobody takes holds back the last value of the next image, and nothing is lost."""
    bench = await started(dut)
    sent = frames(generator("frame_guard flag"), length(dut), ["good", "early", "good"])
    inputs, expected = traffic(sent, length(dut))
    bench.stall(flowing(), flowing())
    bench.sinks["m_flag_axis"].stall = blocked()
    bench.sources["s_axis"].send(inputs["s_axis"])
    await bench.step(20 + 6 * length(dut))
    assert len(bench.monitors["m_axis"].beats) == 2 * length(dut) - 1
    bench.stall(flowing(), flowing())
    await play(bench, {}, expected)


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """After a reset an image begins, whether a frame was being passed, padded or swallowed."""
    rng = generator(f"frame_guard {length(dut)} reset")
    sent = frames(rng, length(dut), kinds_of(rng, 4))
    await check_reset(await started(dut), *traffic(sent, length(dut)), rng, times=15)


@cocotb.test()
async def shows_values_without_waiting(dut):
    """A tvalid does not wait for tready."""
    rng = generator("frame_guard paths")
    sent = frames(rng, length(dut), kinds_of(rng, 10))
    await check_paths(await started(dut), traffic(sent, length(dut))[0], rng, registered=False)


@pytest.mark.parametrize("beats", [1, 2, 3, 8, 13])
def test_frame_guard(beats: int, tmp_path: Path) -> None:
    """frame_guard.v lets no bad frame shift a later image."""
    simulate(__name__, "frame_guard", tmp_path, {"BEATS": beats})
