"""activation_table.v: a table per channel, looked up in full or interpolated under one of the edge rules."""

from pathlib import Path

import cocotb
import numpy as np
import numpy.typing as npt
import pytest

from fxsim import contract
from fxsim.contract import TABLE_POINTS, TableRule, stored_points
from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls
from testbenches.common.seeds import generator
from testbenches.common.simulation import load_case, simulate, write_hex
from testbenches.common.stalls import STREAM_STALLS
from testbenches.common.stream import beats

RULES = (TableRule.CLAMP, TableRule.HOLD, TableRule.ENDPOINT, TableRule.FULL)
"""In the order of the parameter TABLE_RULE."""

FORMATS = [(points, rule) for rule in RULES[:3] for points in TABLE_POINTS] + [(256, TableRule.FULL)]


def tables(channels: int, stored: int, rng: np.random.Generator) -> npt.NDArray[np.int8]:
    """Steepest both ways, random, rising, constant: as many of these as there are channels, in random order."""
    kinds = [
        np.where(np.arange(stored) % 2, 127, -128),
        np.where(np.arange(stored) % 2, -128, 127),
        rng.integers(-128, 128, stored),
        np.sort(rng.integers(-128, 128, stored)),
        np.full(stored, -128),
    ]
    return np.stack([kinds[k % len(kinds)] for k in rng.permutation(channels)]).astype(np.int8)


def traffic(dut, name, every_input=False):
    """Random tokens, or every input in every channel in random order, and what the contract makes of them."""
    case = load_case()
    table, rule, lanes = case["table"], RULES[int(case["rule"])], dut.LANES.value.to_signed()
    rng = generator(f"activation_table {name} {table.shape} {rule}")
    codes = np.arange(-128, 128)
    columns = [rng.permutation(codes) if every_input else rng.choice(codes, 60 // len(table) + 2) for _ in table]
    x = np.stack(columns, axis=1).astype(np.int8)
    return rng, {"s_axis": beats(x, lanes)}, {"m_axis": beats(contract.lookup(x, table, rule), lanes)}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def equals_the_contract(dut, stall):
    """Every channel uses its own table under every stall pattern."""
    rng, sent, expected = traffic(dut, stall)
    await check_stalls(await Bench.started(dut), sent, expected, stall, rng)


@cocotb.test()
async def looks_up_every_input(dut):
    """All 256 inputs in every channel, a value every cycle, three cycles after it entered."""
    _, sent, expected = traffic(dut, "every", every_input=True)
    cycles = await check_rate(await Bench.started(dut), sent, expected)
    assert cycles == list(range(3, 3 + len(sent["s_axis"])))


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """After a reset the first value is channel 0."""
    rng, sent, expected = traffic(dut, "reset")
    await check_reset(await Bench.started(dut), sent, expected, rng)


@cocotb.test()
async def shows_values_without_waiting(dut):
    """A tvalid does not wait for tready."""
    rng, sent, _ = traffic(dut, "paths")
    await check_paths(await Bench.started(dut), sent, rng, registered=False, cycles=60)


def run(channels: int, points: int, rule: TableRule, folder: Path, lanes: int = 1) -> None:
    """Simulate one format of tables."""
    rng = generator(f"activation_table tables {channels} {points} {rule}")
    table = tables(channels, stored_points(points, rule), rng)
    write_hex(folder / "t.hex", table.reshape(-1))
    number = RULES.index(rule)
    parameters: dict[str, int | str] = {"CHANNELS": channels, "POINTS": points, "TABLE_RULE": number, "T_FILE": "t.hex"}
    parameters["LANES"] = lanes
    simulate(__name__, "activation_table", folder, parameters, {"table": table, "rule": np.array(number)})


@pytest.mark.parametrize(("points", "rule"), FORMATS)
def test_activation_table(points: int, rule: TableRule, tmp_path: Path) -> None:
    """activation_table.v equals the contract for all inputs, point counts and edge rules, extreme tables among them."""
    run(5, points, rule, tmp_path)


@pytest.mark.parametrize(("channels", "points", "rule"), [(1, 64, "clamp"), (1, 256, "full"), (16, 4, "endpoint")])
def test_activation_table_of_other_channels(channels: int, points: int, rule: str, tmp_path: Path) -> None:
    """One channel, and a power of two of them, where address widths are tightest."""
    run(channels, points, TableRule(rule), tmp_path)


@pytest.mark.parametrize(
    ("channels", "points", "rule", "lanes"),
    [(2, 64, "clamp", 2), (6, 16, "hold", 2), (10, 8, "endpoint", 2), (4, 256, "full", 2), (4, 4, "clamp", 4)],
)
def test_activation_table_of_several_lanes(channels: int, points: int, rule: str, lanes: int, tmp_path: Path) -> None:
    """Two or four values a beat, each with the table of its own channel."""
    run(channels, points, TableRule(rule), tmp_path, lanes)
