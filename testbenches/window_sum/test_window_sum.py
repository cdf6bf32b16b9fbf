"""window_sum.v: weighted sums over a window, channel by channel."""

from pathlib import Path

import cocotb
import numpy as np
import pytest

from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls
from testbenches.common.seeds import generator
from testbenches.common.simulation import load_case, simulate, write_words
from testbenches.common.stalls import STREAM_STALLS
from testbenches.common.stream import packed


def traffic(dut, name, windows=8):
    """Windows of random values, ends of the range among them, and the sum of each channel."""
    names = ("PLACES", "WORDS", "LANES", "X_W", "X_KIND", "ACC_W")
    places, words, lanes, bits, kind, acc = (getattr(dut, key).value.to_signed() for key in names)
    rng = generator(f"window_sum {name} {places} {words} {lanes} {bits} {kind}")
    codes = rng.integers(0, 1 << bits, (windows, places, words, lanes))
    codes[1], codes[2] = (1 << bits) - 1, 1 << (bits - 1) if kind == 0 else 0
    codes[3] = (1 << (bits - 1)) - 1
    weight = load_case()["weight"].tolist()
    y = []
    for window in codes.tolist():
        for w in range(words):
            for n in range(lanes):
                total = 0
                for p in range(places):
                    code = window[p][w][n]
                    x = 2 * code - 1 if kind == 2 else code - (1 << bits) if kind == 0 and code >> (bits - 1) else code
                    total += x * weight[p][w][n]
                y.append(total)
    return rng, {"s_axis": packed(codes, lanes, bits)}, {"m_axis": packed(y, lanes, acc)}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def gives_the_sums(dut, stall):
    """Every channel uses its own weights under every stall pattern."""
    rng, sent, expected = traffic(dut, stall)
    await check_stalls(await Bench.started(dut), sent, expected, stall, rng)


@cocotb.test()
async def takes_a_beat_every_cycle(dut):
    """Without stalls a beat enters every cycle, and each sum leaves two cycles after its last one."""
    places, words = dut.PLACES.value.to_signed(), dut.WORDS.value.to_signed()
    _, sent, expected = traffic(dut, "rate")
    cycles = await check_rate(await Bench.started(dut), sent, expected)
    assert cycles == [(i * places + places - 1) * words + w + 2 for i in range(8) for w in range(words)]


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """After a reset a new window begins, with nothing in its sums."""
    rng, sent, expected = traffic(dut, "reset")
    await check_reset(await Bench.started(dut), sent, expected, rng)


@cocotb.test()
async def shows_values_without_waiting(dut):
    """A tvalid does not wait for tready."""
    rng, sent, _ = traffic(dut, "paths")
    await check_paths(await Bench.started(dut), sent, rng, registered=False)


@pytest.mark.parametrize(
    ("places", "words", "lanes", "bits", "kind", "weight_bits"),
    [
        (1, 1, 1, 8, 0, 8),
        (9, 4, 1, 8, 0, 8),
        (9, 1, 3, 8, 1, 8),
        (4, 3, 2, 1, 2, 2),
        (16, 2, 2, 8, 0, 0),
        (3, 5, 1, 16, 1, 0),
        (5, 1, 2, 1, 2, 0),
        (2, 2, 1, 2, 0, 1),
    ],
)
def test_window_sum(
    places: int, words: int, lanes: int, bits: int, kind: int, weight_bits: int, tmp_path: Path
) -> None:
    """window_sum.v gives the sums of numbers of every kind with weights of every width, and with none."""
    rng = generator(f"window_sum weights {places} {words} {lanes} {weight_bits}")
    shape = (places, words, lanes)
    if weight_bits:
        low = -(1 << (weight_bits - 1))
        weight = rng.integers(low, -low, shape)
        weight[0] = low
        write_words(tmp_path / "w.hex", packed(weight, lanes, weight_bits))
    else:
        weight = np.ones(shape, np.int64)
    acc = bits + max(weight_bits, 1) + places.bit_length()
    parameters = {
        "PLACES": places, "WORDS": words, "LANES": lanes, "X_W": bits, "X_KIND": kind, "W_W": weight_bits, "ACC_W": acc,
        "W_FILE": "w.hex",
    }  # fmt: skip
    simulate(__name__, "window_sum", tmp_path, parameters, {"weight": weight})
