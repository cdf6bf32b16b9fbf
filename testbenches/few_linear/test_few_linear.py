"""few_linear.v: sums of products of few bits, a beat of whole weight rows a cycle."""

import itertools
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


def sizes(dut) -> dict[str, int]:
    """The parameters by name."""
    names = ("BEATS", "LANES", "OUT", "OUT_LANES", "X_W", "X_KIND", "W_W", "W_BIPOLAR", "ACC_W")
    return {name: getattr(dut, name).value.to_signed() for name in names}


def traffic(dut, name, rows=5):
    """Random rows, rows of extremes among them, and their sums."""
    p, weight = sizes(dut), load_case()["weight"]
    rng = generator(f"few_linear {name} {p}")
    codes = rng.integers(0, 1 << p["X_W"], (rows, p["BEATS"] * p["LANES"]))
    codes[1] = (1 << p["X_W"]) - 1
    codes[2] = 1 << (p["X_W"] - 1) if p["X_KIND"] == 0 else 0
    x = codes.copy()
    if p["X_KIND"] == 2:
        x = 2 * codes - 1
    elif p["X_KIND"] == 0:
        x[codes >> (p["X_W"] - 1) == 1] -= 1 << p["X_W"]
    y = x @ weight.T
    return rng, {"s_axis": packed(codes, p["LANES"], p["X_W"])}, {"m_axis": packed(y, p["OUT_LANES"], p["ACC_W"])}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def equals_the_sums(dut, stall):
    """Every output uses its own weight row under every stall pattern."""
    rng, sent, expected = traffic(dut, stall)
    await check_stalls(await Bench.started(dut), sent, expected, stall, rng)


@cocotb.test()
async def takes_as_many_cycles_as_beats_in_or_out(dut):
    """Without stalls a row takes max(BEATS, OUT / OUT_LANES) cycles, its first sums come after the latency."""
    rows, p = 6, sizes(dut)
    _, sent, expected = traffic(dut, "rate", rows)
    match = p["X_KIND"] == 2 and p["W_BIPOLAR"] == 1
    group = 8 if match else 4 if p["X_W"] + p["W_W"] <= 4 else 1
    products = 1 + next(k for k in itertools.count() if group * 4**k >= p["BEATS"] * p["LANES"]) + match
    given = p["OUT"] // p["OUT_LANES"]
    starts = [p["BEATS"] - 1 + 1 + products + row * max(p["BEATS"], given) for row in range(rows)]
    cycles = await check_rate(await Bench.started(dut), sent, expected)
    assert cycles == [start + n for start in starts for n in range(given)]


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """After a reset a new row begins, with output 0."""
    rng, sent, expected = traffic(dut, "reset", 3)
    await check_reset(await Bench.started(dut), sent, expected, rng)


@cocotb.test()
async def keeps_its_sides_apart(dut):
    """Neither side's handshake depends on the other's within a cycle."""
    rng, sent, _ = traffic(dut, "paths")
    await check_paths(await Bench.started(dut), sent, rng, registered=True)


BITS = {"X_W": 1, "X_KIND": 2, "W_W": 1, "W_BIPOLAR": 1}


@pytest.mark.parametrize(
    "parameters",
    [
        {"BEATS": 1, "LANES": 1, "OUT": 1, "OUT_LANES": 1, **BITS, "ACC_W": 2},
        {"BEATS": 9, "LANES": 4, "OUT": 6, "OUT_LANES": 1, **BITS, "ACC_W": 7},
        {"BEATS": 2, "LANES": 5, "OUT": 6, "OUT_LANES": 2, **BITS, "ACC_W": 5},
        {"BEATS": 3, "LANES": 8, "OUT": 4, "OUT_LANES": 4, **BITS, "ACC_W": 6},
        {"BEATS": 1, "LANES": 8, "OUT": 9, "OUT_LANES": 3, **BITS, "ACC_W": 5},
        {
            "BEATS": 4,
            "LANES": 3,
            "OUT": 2,
            "OUT_LANES": 1,
            "X_W": 8,
            "X_KIND": 0,
            "W_W": 1,
            "W_BIPOLAR": 1,
            "ACC_W": 12,
        },
        {"BEATS": 3, "LANES": 2, "OUT": 8, "OUT_LANES": 2, "X_W": 2, "X_KIND": 0, "W_W": 2, "W_BIPOLAR": 0, "ACC_W": 6},
        {
            "BEATS": 3,
            "LANES": 2,
            "OUT": 3,
            "OUT_LANES": 3,
            "X_W": 4,
            "X_KIND": 1,
            "W_W": 4,
            "W_BIPOLAR": 0,
            "ACC_W": 11,
        },
    ],
    ids=lambda value: "-".join(map(str, value.values())),
)
def test_few_linear(parameters: dict[str, int], tmp_path: Path) -> None:
    """few_linear.v gives every sum, extreme weights among them."""
    p = parameters
    rng = generator(f"few_linear weights {parameters}")
    codes = rng.integers(0, 1 << p["W_W"], (p["OUT"], p["BEATS"] * p["LANES"]))
    codes[p["OUT"] // 2] = 1 << (p["W_W"] - 1)
    negative = codes >> (p["W_W"] - 1) == 1
    weight = 2 * codes - 1 if p["W_BIPOLAR"] else np.where(negative, codes - (1 << p["W_W"]), codes)
    write_words(tmp_path / "w.hex", packed(codes, p["OUT_LANES"] * p["BEATS"] * p["LANES"], p["W_W"]))
    simulate(__name__, "few_linear", tmp_path, {**parameters, "W_FILE": "w.hex"}, {"weight": weight})
