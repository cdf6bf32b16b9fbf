"""stream_resmlp.v: the whole accelerator at small dimensions, every tap against the reference engine."""

from pathlib import Path

import cocotb
import numpy as np
import pytest

from fxsim import engines
from fxsim.contract import TableRule
from fxsim.devices.stream import rtl_parameters, write_roms
from fxsim.families import ResMLPConfig
from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls, gaps, play
from testbenches.common.constants import random_resmlp
from testbenches.common.frames import KINDS, frames, repaired, with_last
from testbenches.common.seeds import generator
from testbenches.common.simulation import load_case, simulate
from testbenches.common.stalls import STREAM_STALLS, flowing, random
from testbenches.common.stream import beats

GOOD_IMAGES = 12
BAD_FRAMES = (*KINDS, "early", "early", "late", "late", "merged", "good", "early", "good")


def stream(tap: str, values, lanes: int) -> list[int]:
    """A tap's beats: token-major, but for the token mixer's linear, which is channel by channel."""
    return beats(values.swapaxes(1, 2) if tap.endswith("token_mixer.linear") else values, lanes)


def traffic(prefix: str, images: int | None = None):
    """The first images of the good (or bad) frames, and what is expected of output and taps."""
    case = load_case()
    lanes = int(case["lanes"])
    taps = {name.removeprefix(f"{prefix}:"): a[:images] for name, a in case.items() if name.startswith(f"{prefix}:")}
    scores, bad = taps["classifier"], case[f"{prefix} flags"][:images]
    output = [
        (beat, int(k == scores.shape[1] // lanes - 1), int(flag))
        for image, flag in zip(scores, bad, strict=True)
        for k, beat in enumerate(beats(image, lanes))
    ]
    lengths = case[f"{prefix} lengths"][:images]
    ends = np.cumsum(lengths) - 1
    values = case[f"{prefix} values"][: lengths.sum()].tolist()
    sent = list(zip(values, np.isin(np.arange(len(values)), ends).astype(int).tolist(), strict=True))
    expected = {name: stream(name, values, lanes) for name, values in taps.items()}
    return {"s_axis": sent}, {"m_axis": output, **expected}


async def started(dut) -> Bench:
    """A bench that looks at output and every tap, in the order of the graph."""
    taps = tuple(name.removeprefix("good:") for name in load_case() if name.startswith("good:"))
    sidebands = {"s_axis": ("tlast",), "m_axis": ("tlast", "tuser")}
    return await Bench.started(dut, sidebands=sidebands, taps=taps)


def errors(dut) -> tuple[int, int]:
    """The sticky flags: tlast too early, too late."""
    return int(dut.frame_error_early.value), int(dut.frame_error_late.value)


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def equals_the_reference(dut, stall):
    """Output and every tap of several images under every stall pattern."""
    rng = generator(f"stream_resmlp {stall}")
    await check_stalls(await started(dut), *traffic("good", 4), stall, rng)
    assert errors(dut) == (0, 0)


@cocotb.test()
async def takes_images_at_the_stated_interval(dut):
    """In steady state: TOKENS * max(VALUES, CHANNELS, HIDDEN) beats an image, or max(CHANNELS, CLASSES) if more."""
    lanes = dut.LANES.value.to_signed()
    of = {name: getattr(dut, name).value.to_signed() for name in ("TOKENS", "VALUES", "CHANNELS", "HIDDEN", "CLASSES")}
    of |= {name: of[name] // lanes for name in ("VALUES", "CHANNELS", "HIDDEN", "CLASSES")}
    bound = max(of["TOKENS"] * max(of["VALUES"], of["CHANNELS"], of["HIDDEN"]), of["CHANNELS"], of["CLASSES"])
    cycles = await check_rate(await started(dut), *traffic("good"))
    ends = cycles[of["CLASSES"] - 1 :: of["CLASSES"]]
    dut._log.info("interval %s cycles, bound %d, latency %d cycles", gaps(ends), bound, ends[0])
    assert set(gaps(ends[GOOD_IMAGES // 2 :])) == {bound}


@cocotb.test()
async def takes_images_with_gaps_between_them(dut):
    """Images that come one by one, each after the last is out or while it still is inside, come out the same."""
    rng = generator("stream_resmlp gaps")
    bench = await started(dut)
    bench.stall(flowing(), random(rng, 0.3))
    sent, expected = traffic("good", 5)
    ends = [k + 1 for k, (_, last) in enumerate(sent["s_axis"]) if last]
    for begin, end in zip([0, *ends], ends, strict=False):
        bench.sources["s_axis"].send(sent["s_axis"][begin:end])
        await bench.until(lambda: bench.sources["s_axis"].idle, 5000)
        await bench.step(int(rng.choice([1, 5, 50, 400])))
    await play(bench, {}, expected)


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """Whatever a reset interrupts, good frames or bad ones, the next image is the first."""
    rng = generator("stream_resmlp reset")
    await check_reset(await started(dut), *traffic("bad", 5), rng, times=6)
    bench = await started(dut)
    assert errors(dut) == (0, 0)
    await play(bench, *traffic("good", 2))
    assert errors(dut) == (0, 0)


@cocotb.test()
@cocotb.parametrize(stall=["none", "both", "bursts"])
async def repairs_bad_frames(dut, stall):
    """A frame that is too short or too long comes out marked, padded or cut; all others come out as if it were good."""
    sent, expected = traffic("bad")
    await check_stalls(await started(dut), sent, expected, stall, generator(f"stream_resmlp bad {stall}"))
    beats_an_image = dut.TOKENS.value.to_signed() * dut.VALUES.value.to_signed() // dut.LANES.value.to_signed()
    assert errors(dut) == (int(beats_an_image > 1), 1)


@cocotb.test()
async def keeps_its_sides_apart(dut):
    """Neither side's handshake depends on the other's within a cycle."""
    sent, _ = traffic("good")
    await check_paths(await started(dut), sent, generator("stream_resmlp paths"), registered=True, cycles=400)


CONFIGS = {
    "clamp": ResMLPConfig(4, 3, 5, 6, 2, 3, 8, TableRule.CLAMP),
    "hold": ResMLPConfig(2, 9, 4, 3, 1, 2, 4, TableRule.HOLD),
    "endpoint": ResMLPConfig(8, 2, 3, 7, 1, 10, 16, TableRule.ENDPOINT),
    "full": ResMLPConfig(4, 5, 6, 6, 1, 4, 256, TableRule.FULL),
    "relu": ResMLPConfig(4, 4, 6, 4, 2, 5),
    "relu_ones": ResMLPConfig(1, 1, 1, 1, 1, 1),
    "many_classes": ResMLPConfig(2, 2, 3, 2, 1, 17, 64, TableRule.CLAMP),
}


LANES = {"two": (2, 0), "two_packed": (2, 1), "four": (4, 1)}
CONFIGS |= {
    "two": ResMLPConfig(4, 6, 8, 10, 2, 6, 8, TableRule.CLAMP),
    "two_packed": ResMLPConfig(2, 4, 6, 4, 1, 10),
    "four": ResMLPConfig(4, 4, 8, 12, 1, 4, 16, TableRule.ENDPOINT),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_stream_resmlp(name: str, tmp_path: Path) -> None:
    """stream_resmlp.v equals the reference engine at every tap: stalls, gaps, resets, bad framing; at its interval."""
    config = CONFIGS[name]
    rng = generator(f"stream_resmlp {name}")
    model = random_resmlp(config, rng)
    write_roms(model, tmp_path)
    lanes, packed = LANES.get(name, (1, 0))
    length = config.tokens * config.values // lanes
    case = {"lanes": np.array(lanes)}
    for prefix, kinds in (("good", ["good"] * GOOD_IMAGES), ("bad", list(BAD_FRAMES))):
        sent = frames(rng, length, kinds, lanes)
        images = repaired(sent, length)
        bytes_ = b"".join(beat.to_bytes(lanes, "little") for image, _ in images for beat in image)
        x = np.frombuffer(bytes_, np.int8).reshape(-1, config.tokens, config.values)
        case |= {
            f"{prefix} values": np.array([value for value, _ in with_last(sent)]),
            f"{prefix} lengths": np.array([len(frame) for frame in sent]),
            f"{prefix} flags": np.array([flag for _, flag in images]),
        }
        case |= {f"{prefix}:{tap}": array for tap, array in engines.run(model, x, "all", engine="reference").items()}
    simulate(__name__, "stream_resmlp", tmp_path, rtl_parameters(model) | {"LANES": lanes, "PACKED": packed}, case)
