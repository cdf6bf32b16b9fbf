"""mlp.v: two linears with activations before and between them, a residual path."""

from pathlib import Path

import cocotb
import numpy as np
import pytest

from fxsim import contract
from fxsim.contract import TableRule, stored_points
from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls, gaps
from testbenches.common.constants import affine_constants, linear_constants, of_layer, write_roms
from testbenches.common.seeds import generator
from testbenches.common.simulation import load_case, simulate
from testbenches.common.stalls import STREAM_STALLS
from testbenches.common.stream import beats

RULES = (TableRule.CLAMP, TableRule.HOLD, TableRule.ENDPOINT, TableRule.FULL)
"""In the order of the parameter TABLE_RULE."""

RELU_TAPS = ("res_affine", "linear_1", "relu", "linear_2", "add")
PSA_TAPS = ("res_affine", "psa_1", "linear_1", "psa_2", "linear_2", "add")


def layer(block: int, name: str) -> str:
    """The stem of a layer's ROM files."""
    return f"block{block:02d}_mlp_{name}"


def contract_taps(x, case, block, rule, lanes):
    """What the contract makes of tokens [token, channel]: every tap's stream. `rule` None: ReLU."""
    of = {name: of_layer(case, layer(block, name)) for name in PSA_TAPS[:-1]}
    taps = {"res_affine": contract.affine(x, **of["res_affine"])}
    y = x
    if rule is not None:
        y = taps["psa_1"] = contract.lookup(y, of["psa_1"]["table"], rule)
    y = taps["linear_1"] = contract.linear(y, **of["linear_1"])
    if rule is not None:
        y = taps["psa_2"] = contract.lookup(y, of["psa_2"]["table"], rule)
    else:
        y = taps["relu"] = contract.relu(y)
    y = taps["linear_2"] = contract.linear(y, **of["linear_2"])
    taps["add"] = contract.add(y, taps["res_affine"])
    return {name: beats(tap, lanes) for name, tap in taps.items()}


def traffic(dut, name, tokens=12):
    """Random tokens, and the output and every tap of them."""
    channels, hidden = dut.CHANNELS.value.to_signed(), dut.HIDDEN.value.to_signed()
    rule = RULES[dut.TABLE_RULE.value.to_signed()] if dut.PSA.value.to_signed() else None
    rng = generator(f"mlp {name} {channels} {hidden} {rule}")
    x = rng.integers(-128, 128, (tokens, channels)).astype(np.int8)
    lanes = dut.LANES.value.to_signed()
    taps = contract_taps(x, load_case(), dut.BLOCK.value.to_signed(), rule, lanes)
    return rng, {"s_axis": beats(x, lanes)}, {"m_axis": taps["add"], **taps}


async def started(dut) -> Bench:
    """A bench that looks at the taps."""
    return await Bench.started(dut, taps=PSA_TAPS if dut.PSA.value.to_signed() else RELU_TAPS)


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def equals_the_contract(dut, stall):
    """The output and every tap under every stall pattern."""
    rng, sent, expected = traffic(dut, stall)
    await check_stalls(await started(dut), sent, expected, stall, rng)


@cocotb.test()
async def takes_max_channels_hidden_cycles_a_token_if_deep_enough(dut):
    """With the derived depth of the residual FIFO a token takes max(CHANNELS, HIDDEN) cycles; one place less, more."""
    lanes = dut.LANES.value.to_signed()
    channels, hidden = dut.CHANNELS.value.to_signed() // lanes, dut.HIDDEN.value.to_signed() // lanes
    _, sent, expected = traffic(dut, "rate", tokens=40)
    cycles = await check_rate(await started(dut), sent, expected)
    derived, override = dut.DERIVED_DEPTH.value.to_signed(), dut.RESIDUAL_DEPTH.value.to_signed()
    assert derived == load_case()["depth"]
    # From the end of one token to the end of the next, ten tokens from the beginning.
    steady = gaps(cycles[channels - 1 :: channels][10:])
    if override == 0:
        assert set(steady) == {max(channels, hidden)}
    else:
        assert override == derived - 1
        assert sum(steady) > len(steady) * max(channels, hidden)


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """After a reset a new token begins on all paths."""
    rng, sent, expected = traffic(dut, "reset", tokens=6)
    await check_reset(await started(dut), sent, expected, rng, times=4)


@cocotb.test()
async def shows_values_without_waiting(dut):
    """A tvalid does not wait for tready."""
    rng, sent, _ = traffic(dut, "paths")
    await check_paths(await started(dut), sent, rng, registered=False)


def setup(channels: int, hidden: int, points: int, rule: str | None, block: int, folder: Path, lanes: int = 1):
    """Parameters and case of an mlp with random constants, whose ROM files stand in `folder`."""
    rng = generator(f"mlp constants {channels} {hidden} {rule}")
    constants = {
        layer(block, "res_affine"): affine_constants(rng, channels),
        layer(block, "linear_1"): linear_constants(rng, hidden, channels),
        layer(block, "linear_2"): linear_constants(rng, channels, hidden),
    }
    parameters = {
        "CHANNELS": channels,
        "HIDDEN": hidden,
        "PSA": int(rule is not None),
        "LINEAR_1_ACC_W": contract.linear_acc_bits(channels),
        "LINEAR_2_ACC_W": contract.linear_acc_bits(hidden),
        "BLOCK": block,
        "LANES": lanes,
    }
    if rule is not None:
        parameters |= {"POINTS": points, "TABLE_RULE": RULES.index(TableRule(rule))}
        for name, count in (("psa_1", channels), ("psa_2", hidden)):
            table = rng.integers(-128, 128, (count, stored_points(points, TableRule(rule)))).astype(np.int8)
            constants[layer(block, name)] = {"table": table}
    return parameters, write_roms(folder, constants)


DEPTHS = {
    (5, 6, 8, "clamp", 0): 22, (6, 4, 16, "hold", 7): 24, (4, 13, 4, "endpoint", 10): 9, (3, 3, 256, "full", 42): 19,
    (5, 8, 0, None, 1): 14, (7, 2, 0, None, 99): 18,
}  # fmt: skip
"""Places of the residual FIFO that the full rate needs, by channels, hidden channels, points, rule and block."""
EACH = pytest.mark.parametrize(("channels", "hidden", "points", "rule", "block"), DEPTHS)


@EACH
def test_mlp(channels: int, hidden: int, points: int, rule: str | None, block: int, tmp_path: Path) -> None:
    """mlp.v equals the contract, and its residual FIFO is as deep as the full rate needs."""
    parameters, case = setup(channels, hidden, points, rule, block, tmp_path)
    case["depth"] = np.array(DEPTHS[channels, hidden, points, rule, block])
    simulate(__name__, "mlp", tmp_path, parameters, case)


@EACH
def test_one_place_less(channels: int, hidden: int, points: int, rule: str | None, block: int, tmp_path: Path) -> None:
    """With a place less than its depth mlp.v equals the contract, but not at the full rate."""
    parameters, case = setup(channels, hidden, points, rule, block, tmp_path)
    case["depth"] = depth = np.array(DEPTHS[channels, hidden, points, rule, block])
    simulate(__name__, "mlp", tmp_path, parameters | {"RESIDUAL_DEPTH": int(depth) - 1}, case)


@pytest.mark.parametrize("channels", [1, 2])
def test_mlp_of_few_channels(channels: int, tmp_path: Path) -> None:
    """Where the residual path could do almost without a FIFO, mlp.v equals the contract at its interval too.

    One entry is enough for one channel; for two there are two, as one would not pass them in successive cycles.
    """
    parameters, case = setup(channels, 50, 0, None, 3, tmp_path)
    case["depth"] = np.array(channels)
    simulate(__name__, "mlp", tmp_path, parameters, case)


LANE_DEPTHS = {(8, 12, 8, "clamp", 2): 17, (6, 4, 0, None, 2): 14, (8, 8, 4, "endpoint", 4): 19}
"""The same as DEPTHS, by lanes in place of the block."""


@pytest.mark.parametrize("less", [0, 1])
@pytest.mark.parametrize(("channels", "hidden", "points", "rule", "lanes"), LANE_DEPTHS)
def test_mlp_of_several_lanes(
    channels: int, hidden: int, points: int, rule: str | None, lanes: int, less: int, tmp_path: Path
) -> None:
    """Two or four values a beat: values, and a residual FIFO that is deep enough, and not with a place less."""
    parameters, case = setup(channels, hidden, points, rule, 4, tmp_path, lanes)
    case["depth"] = depth = np.array(LANE_DEPTHS[channels, hidden, points, rule, lanes])
    simulate(__name__, "mlp", tmp_path, parameters | {"RESIDUAL_DEPTH": int(depth) - 1 if less else 0}, case)
