"""threshold.v: the level that says how many thresholds of its channel a value has passed."""

from pathlib import Path

import cocotb
import numpy as np
import pytest

from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls
from testbenches.common.seeds import generator
from testbenches.common.simulation import Literal, load_case, simulate, write_words
from testbenches.common.stalls import STREAM_STALLS
from testbenches.common.stream import packed


def traffic(dut, name, pixels=8):
    """Values about the thresholds and at the ends of the range, and the levels of each, counted one by one."""
    case = load_case()
    thresholds, rising, levels = case["thresholds"], case["rising"], case["levels"]
    bits, signed, lanes = (getattr(dut, name).value.to_signed() for name in ("X_W", "X_SIGNED", "LANES"))
    rng = generator(f"threshold {name} {thresholds.shape} {bits}")
    low = -(1 << (bits - 1)) if signed else 0
    high = low + (1 << bits) - 1
    channels = len(thresholds)
    x = rng.integers(low, high + 1, (pixels, channels))
    near = thresholds[np.arange(channels), rng.integers(0, thresholds.shape[1], (pixels, channels))]
    x = np.where(rng.random(x.shape) < 0.6, near + rng.integers(-1, 2, x.shape), x).clip(low, high)
    x[1], x[2] = low, high
    y = [
        [levels[sum(bool(v >= t if rising[c] else v <= t) for t in thresholds[c].tolist())] for c, v in enumerate(row)]
        for row in x.tolist()
    ]
    return rng, {"s_axis": packed(x, lanes, bits)}, {"m_axis": packed(y, lanes, dut.Y_W.value.to_signed())}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def gives_the_level(dut, stall):
    """Every channel uses its own thresholds and direction under every stall pattern."""
    rng, sent, expected = traffic(dut, stall)
    await check_stalls(await Bench.started(dut), sent, expected, stall, rng)


@cocotb.test()
async def takes_a_beat_every_cycle(dut):
    """Without stalls a beat enters every cycle and leaves three cycles later."""
    _, sent, expected = traffic(dut, "rate")
    cycles = await check_rate(await Bench.started(dut), sent, expected)
    assert cycles == [3 + i for i in range(len(expected["m_axis"]))]


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """After a reset the first beat is of the first channels."""
    rng, sent, expected = traffic(dut, "reset")
    await check_reset(await Bench.started(dut), sent, expected, rng)


@cocotb.test()
async def shows_values_without_waiting(dut):
    """A tvalid does not wait for tready."""
    rng, sent, _ = traffic(dut, "paths")
    await check_paths(await Bench.started(dut), sent, rng, registered=False)


@pytest.mark.parametrize(
    ("channels", "lanes", "bits", "signed", "steps", "level_bits"),
    [
        (1, 1, 5, 1, 1, 1), (6, 1, 9, 1, 1, 1), (6, 3, 9, 1, 1, 1), (4, 4, 12, 1, 2, 2), (5, 1, 6, 1, 3, 2),
        (4, 2, 8, 0, 4, 3), (3, 1, 1, 0, 1, 4), (3, 1, 1, 1, 2, 2), (2, 1, 16, 1, 15, 4), (2, 2, 8, 1, 30, 8),
        (1, 1, 10, 1, 255, 16),
    ],
)  # fmt: skip
def test_threshold(
    channels: int, lanes: int, bits: int, signed: int, steps: int, level_bits: int, tmp_path: Path
) -> None:
    """threshold.v gives the levels: thresholds that all or none reach, equal ones, channels that fall and that rise."""
    rng = generator(f"threshold constants {channels} {lanes} {bits} {steps}")
    low = -(1 << (bits - 1)) if signed else 0
    high = low + (1 << bits) - 1
    thresholds = rng.integers(low - 1, high + 2, (channels, steps))
    thresholds[0, 0] = low
    thresholds[-1, -1] = high + 1
    rising = rng.integers(0, 2, channels)
    rising[:2] = [1, 0][:channels]
    if channels > 2:
        thresholds[2, : steps // 2 + 1] = thresholds[2, 0]
    # x <= t is ~x >= ~t; what a channel never reaches is one beyond the range, what it always reaches its end.
    stored = np.sort(
        np.where(rising[:, None] == 1, np.clip(thresholds, low, high + 1), ~np.clip(thresholds, low - 1, high)),
        axis=1,
    )
    width = bits + 2 - signed
    words = [
        packed(row, steps, width)[0] | (int(rise == 0) << (steps * width))
        for row, rise in zip(stored, rising, strict=True)
    ]
    write_words(tmp_path / "t.hex", packed(np.array(words, object), lanes, steps * width + 1))
    levels = rng.integers(0, 1 << level_bits, steps + 1)
    value = packed(levels, steps + 1, level_bits)[0]
    parameters = {
        "CHANNELS": channels, "LANES": lanes, "X_W": bits, "X_SIGNED": signed, "STEPS": steps, "Y_W": level_bits,
        "LEVELS": Literal(f"{level_bits * (steps + 1)}'h{value:x}"), "T_FILE": "t.hex",
    }  # fmt: skip
    case = {"thresholds": thresholds, "rising": rising, "levels": levels}
    simulate(__name__, "threshold", tmp_path, parameters, case)
