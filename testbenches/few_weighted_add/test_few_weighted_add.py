"""few_weighted_add.v: sums of two streams at scales of their own."""

from pathlib import Path

import cocotb
import pytest

from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls
from testbenches.common.seeds import generator
from testbenches.common.simulation import load_case, simulate, write_words
from testbenches.common.stalls import STREAM_STALLS, flowing
from testbenches.common.stream import packed

INPUTS = ("s0_axis", "s1_axis")


def ends(bits, signed):
    """Least and greatest value of a number."""
    low = -(1 << (bits - 1)) if signed else 0
    return low, low + (1 << bits) - 1


def traffic(dut, name, beats=120):
    """Random beats, ends of both ranges among them, and the weighted sum of every pair."""
    names = ("LANES", "PERIOD", "X_W", "X_SIGNED", "R_W", "R_SIGNED", "Y_W", "Y_SIGNED")
    lanes, period, x_w, x_signed, r_w, r_signed, y_w, y_signed = (getattr(dut, key).value.to_signed() for key in names)
    rng = generator(f"few_weighted_add {name} {lanes} {period} {x_w} {x_signed} {r_w} {r_signed} {y_w} {y_signed}")
    (x_low, x_high), (r_low, r_high) = ends(x_w, x_signed), ends(r_w, r_signed)
    x = [int(v) for v in rng.integers(x_low, x_high + 1, beats * lanes)]
    r = [int(v) for v in rng.integers(r_low, r_high + 1, beats * lanes)]
    for i in range(0, beats * lanes, 7):
        x[i], r[i] = [(x_low, r_low), (x_low, r_high), (x_high, r_low), (x_high, r_high)][i % 4]
    case = load_case()
    w, v, s = (case[key].tolist() for key in ("w", "v", "s"))
    low, high = ends(y_w, y_signed)
    y = []
    for i, (a, b) in enumerate(zip(x, r, strict=True)):
        c = i % period
        y.append(min(max((2 * (a * w[c] + b * v[c]) + (1 << s[c])) // (2 << s[c]), low), high))
    return rng, {"s0_axis": packed(x, lanes, x_w), "s1_axis": packed(r, lanes, r_w)}, {"m_axis": packed(y, lanes, y_w)}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def adds_partners(dut, stall):
    """Partners find each other, and their constants, under every stall pattern, each stream stalled on its own."""
    rng, sent, expected = traffic(dut, stall)
    await check_stalls(await Bench.started(dut, inputs=INPUTS), sent, expected, stall, rng)


@cocotb.test()
async def takes_a_pair_every_cycle(dut):
    """One beat a cycle, three cycles after its pair."""
    _, sent, expected = traffic(dut, "rate")
    cycles = await check_rate(await Bench.started(dut, inputs=INPUTS), sent, expected)
    assert cycles == list(range(3, 123))


@cocotb.test()
@cocotb.parametrize(late=[0, 1])
async def waits_for_the_partner(dut, late):
    """Nothing is taken from one input while the other has nothing."""
    _, sent, _ = traffic(dut, f"late {late}")
    bench = await Bench.started(dut, inputs=INPUTS)
    bench.sources[INPUTS[1 - late]].send(sent[INPUTS[1 - late]])
    bench.stall(flowing(), flowing())
    await bench.step(10)
    assert bench.monitors[INPUTS[1 - late]].beats == []


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """A reset drops what is inside; the first pair has the first constants."""
    rng, sent, expected = traffic(dut, "reset")
    await check_reset(await Bench.started(dut, inputs=INPUTS), sent, expected, rng)


@cocotb.test()
async def shows_values_without_waiting(dut):
    """A tvalid does not wait for tready."""
    rng, sent, _ = traffic(dut, "paths")
    await check_paths(await Bench.started(dut, inputs=INPUTS), sent, rng, registered=False)


@pytest.mark.parametrize(
    ("period", "lanes", "x", "r", "w", "s", "y"),
    [
        (1, 1, (8, 1), (8, 1), 4, 2, (8, 1)),
        (6, 2, (8, 1), (7, 0), 16, 5, (8, 1)),
        (3, 3, (4, 0), (12, 1), 3, 1, (16, 1)),
        (5, 1, (20, 1), (1, 0), 8, 8, (6, 0)),
        (1, 1, (1, 1), (1, 1), 1, 1, (1, 1)),
    ],
)
def test_few_weighted_add(
    period: int,
    lanes: int,
    x: tuple[int, int],
    r: tuple[int, int],
    w: int,
    s: int,
    y: tuple[int, int],
    tmp_path: Path,
) -> None:
    """few_weighted_add.v gives the weighted sums of numbers of all widths and signs, rounded and clipped."""
    rng = generator(f"few_weighted_add constants {period} {w} {s}")
    first, second = (rng.integers(-(1 << (w - 1)), 1 << (w - 1), period) for _ in range(2))
    first[0], second[-1] = -(1 << (w - 1)), (1 << (w - 1)) - 1
    acc = max(x[0], r[0]) + w + 1
    shift = rng.integers(0, min(1 << s, acc + 2), period)
    lane = 2 * w + s
    each = [packed([first[c], second[c]], 2, w)[0] | int(shift[c]) << 2 * w for c in range(period)]
    words = [sum(each[i + n] << lane * n for n in range(lanes)) for i in range(0, period, lanes)]
    write_words(tmp_path / "c.hex", words)
    parameters = {
        "PERIOD": period, "LANES": lanes, "X_W": x[0], "X_SIGNED": x[1], "R_W": r[0], "R_SIGNED": r[1], "W_W": w,
        "ACC_W": acc, "S_W": s, "Y_W": y[0], "Y_SIGNED": y[1], "C_FILE": "c.hex",
    }  # fmt: skip
    simulate(__name__, "few_weighted_add", tmp_path, parameters, {"w": first, "v": second, "s": shift})
