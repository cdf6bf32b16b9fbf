"""few_affine.v: values scaled and moved by constants that come round with them."""

from pathlib import Path

import cocotb
import pytest

from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls
from testbenches.common.seeds import generator
from testbenches.common.simulation import load_case, simulate, write_words
from testbenches.common.stalls import STREAM_STALLS
from testbenches.common.stream import packed

NAMES = ("w", "a", "s", "b")


def ends(bits, signed):
    """Least and greatest value of a number."""
    low = -(1 << (bits - 1)) if signed else 0
    return low, low + (1 << bits) - 1


def traffic(dut, name, rounds=6, beats=40):
    """Random values, ends of the range among them, and what the constants make of each."""
    names = ("LANES", "PERIOD", "X_W", "X_SIGNED", "Y_W", "Y_SIGNED", "RELU")
    p = {key: getattr(dut, key).value.to_signed() for key in names}
    rng = generator(f"few_affine {name} {p}")
    low, high = ends(p["X_W"], p["X_SIGNED"])
    count = max(rounds * p["PERIOD"], beats * p["LANES"])
    x = [int(v) for v in rng.integers(low, high + 1, count)]
    for i in range(0, count, 5):
        x[i] = (low, high, 0)[i % 3]
    constants = [[int(v) for v in load_case()[key]] for key in NAMES]
    least, most = ends(p["Y_W"], p["Y_SIGNED"])
    y = []
    for i, value in enumerate(x):
        w, a, s, b = (each[i % p["PERIOD"]] for each in constants)
        scaled = (2 * (value * w + a) + (1 << s)) // (2 << s) + b
        y.append(min(max(scaled, 0 if p["RELU"] else least), most))
    return rng, {"s_axis": packed(x, p["LANES"], p["X_W"])}, {"m_axis": packed(y, p["LANES"], p["Y_W"])}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def scales(dut, stall):
    """Every value has its own constants under every stall pattern."""
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
    """After a reset the first beat has the first constants."""
    rng, sent, expected = traffic(dut, "reset")
    await check_reset(await Bench.started(dut), sent, expected, rng)


@cocotb.test()
async def shows_values_without_waiting(dut):
    """A tvalid does not wait for tready."""
    rng, sent, _ = traffic(dut, "paths")
    await check_paths(await Bench.started(dut), sent, rng, registered=False)


@pytest.mark.parametrize(
    ("period", "lanes", "x", "widths", "acc", "y", "relu"),
    [
        (5, 1, (19, 1), (0, 1, 4, 8), 20, (8, 1), 0),
        (6, 2, (8, 1), (8, 1, 3, 8), 16, (8, 1), 0),
        (4, 4, (8, 0), (5, 12, 4, 1), 14, (7, 0), 0),
        (12, 1, (8, 1), (0, 8, 1, 1), 9, (9, 1), 0),
        (1, 1, (20, 1), (16, 32, 6, 9), 37, (16, 1), 0),
        (3, 1, (32, 1), (32, 60, 6, 8), 64, (32, 1), 0),
        (2, 2, (8, 1), (0, 1, 1, 1), 9, (8, 1), 1),
    ],
)
def test_few_affine(
    period: int,
    lanes: int,
    x: tuple[int, int],
    widths: tuple[int, int, int, int],
    acc: int,
    y: tuple[int, int],
    relu: int,
    tmp_path: Path,
) -> None:
    """few_affine.v scales, rounds, moves and clips values of all widths, each with constants of its own."""
    rng = generator(f"few_affine constants {period} {widths}")

    def random(bits: int, low: int) -> list[int]:
        return [int.from_bytes(rng.bytes(9), "little") % (1 << bits) + low for _ in range(period)]

    w_bits, a_bits, s_bits, b_bits = widths
    w = random(w_bits, -(1 << (w_bits - 1))) if w_bits else [1] * period
    a, b = (random(bits, -(1 << (bits - 1))) for bits in (a_bits, b_bits))
    s = [value % min(1 << s_bits, acc + 2) for value in random(s_bits, 0)]
    lane = sum(widths)
    words = []
    for i in range(0, period, lanes):
        word = 0
        for n in range(lanes):
            at = lane * n
            for value, bits in zip((w[i + n], a[i + n], s[i + n], b[i + n]), widths, strict=True):
                word |= (value % (1 << bits)) << at
                at += bits
        words.append(word)
    write_words(tmp_path / "c.hex", words)
    parameters = {
        "PERIOD": period, "LANES": lanes, "X_W": x[0], "X_SIGNED": x[1], "W_W": w_bits, "A_W": a_bits, "ACC_W": acc,
        "S_W": s_bits, "B_W": b_bits, "Y_W": y[0], "Y_SIGNED": y[1], "RELU": relu, "C_FILE": "c.hex",
    }  # fmt: skip
    case = dict(zip(NAMES, (w, a, s, b), strict=True))
    simulate(__name__, "few_affine", tmp_path, parameters, case)  # type: ignore[arg-type]
