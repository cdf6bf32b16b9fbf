"""token_mixer.v: affines, a linear over tokens between two transposing buffers, a residual path."""

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest

from fxsim import contract
from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls, gaps
from testbenches.common.constants import affine_constants, linear_constants, of_layer, write_roms
from testbenches.common.seeds import generator
from testbenches.common.simulation import load_case, simulate
from testbenches.common.stalls import STREAM_STALLS
from testbenches.common.stream import beats

TAPS = ("res_affine", "affine_1", "linear", "affine_2", "add")


def layer(block: int, name: str) -> str:
    """The stem of a layer's ROM files."""
    return f"block{block:02d}_token_mixer_{name}"


def contract_taps(x, case, block, lanes):
    """What the contract makes of images [image, token, channel]: every tap's stream."""
    of = {name: of_layer(case, layer(block, name)) for name in TAPS[:-1]}
    r = contract.affine(x, **of["res_affine"])
    a1 = contract.affine(x, **of["affine_1"])
    # [image, channel, token]: the order of its stream.
    y = contract.linear(a1.swapaxes(1, 2), **of["linear"])
    a2 = contract.affine(y.swapaxes(1, 2), **of["affine_2"])
    return {name: beats(tap, lanes) for name, tap in zip(TAPS, (r, a1, y, a2, contract.add(a2, r)), strict=True)}


def traffic(dut, name, images=4):
    """Random images, and the output and every tap of them."""
    tokens, channels = dut.TOKENS.value.to_signed(), dut.CHANNELS.value.to_signed()
    rng = generator(f"token_mixer {name} {tokens} {channels}")
    x = rng.integers(-128, 128, (images, tokens, channels)).astype(np.int8)
    lanes = dut.LANES.value.to_signed()
    taps = contract_taps(x, load_case(), dut.BLOCK.value.to_signed(), lanes)
    return rng, {"s_axis": beats(x, lanes)}, {"m_axis": taps["add"], **taps}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def equals_the_contract(dut, stall):
    """The output and every tap under every stall pattern."""
    rng, sent, expected = traffic(dut, stall)
    await check_stalls(await Bench.started(dut, taps=TAPS), sent, expected, stall, rng)


@cocotb.test()
async def takes_a_value_every_cycle_if_deep_enough(dut):
    """With the derived depth of the residual FIFO a value enters and leaves every cycle; one place less, fewer."""
    size = dut.TOKENS.value.to_signed() * dut.CHANNELS.value.to_signed() // dut.LANES.value.to_signed()
    # Enough values to go round the residual path several times, however small the image.
    images = max(10, 200 // size)
    _, sent, expected = traffic(dut, "rate", images)
    bench = await Bench.started(dut, taps=TAPS)
    cycles = await check_rate(bench, sent, expected)
    derived, override = dut.DERIVED_DEPTH.value.to_signed(), dut.RESIDUAL_DEPTH.value.to_signed()
    assert derived == load_case()["depth"]
    left = gaps(cycles[4 * size :])
    entered = gaps(bench.monitors["s_axis"].cycles)
    if override == 0:
        assert set(entered) == set(left) == {1}
    else:
        assert override == derived - 1
        assert sum(left) > len(left)


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """After a reset a new image begins on all paths."""
    rng, sent, expected = traffic(dut, "reset", 3)
    await check_reset(await Bench.started(dut, taps=TAPS), sent, expected, rng, times=4)


@cocotb.test()
async def shows_values_without_waiting(dut):
    """A tvalid does not wait for tready."""
    rng, sent, _ = traffic(dut, "paths")
    await check_paths(await Bench.started(dut), sent, rng, registered=False)


DEPTHS = {
    (4, 5, 0, 1): 39, (8, 3, 7, 1): 48, (1, 4, 10, 1): 9, (4, 1, 42, 1): 13, (1, 1, 99, 1): 9, (16, 2, 1, 1): 58,
    (4, 6, 5, 2): 29, (8, 2, 6, 2): 24, (4, 8, 9, 4): 24,
}  # fmt: skip
"""Places of the residual FIFO that the full rate needs, by tokens, channels, block and lanes."""


def setup(tokens: int, channels: int, block: int, lanes: int, folder: Path) -> tuple[dict[str, int], dict[str, Any]]:
    """Parameters of a token_mixer, and the case of it, whose ROMs are written."""
    rng = generator(f"token_mixer constants {tokens} {channels}")
    constants = {layer(block, name): affine_constants(rng, channels) for name in ("res_affine", "affine_1", "affine_2")}
    constants[layer(block, "linear")] = linear_constants(rng, tokens, tokens)
    acc_w = contract.linear_acc_bits(tokens)
    parameters = {"TOKENS": tokens, "CHANNELS": channels, "ACC_W": acc_w, "BLOCK": block, "LANES": lanes}
    return parameters, write_roms(folder, constants)


@pytest.mark.parametrize(("tokens", "channels", "block", "lanes"), DEPTHS)
def test_token_mixer(tokens: int, channels: int, block: int, lanes: int, tmp_path: Path) -> None:
    """token_mixer.v equals the contract, and its residual FIFO is as deep as the full rate needs."""
    parameters, case = setup(tokens, channels, block, lanes, tmp_path)
    case["depth"] = np.array(DEPTHS[tokens, channels, block, lanes])
    simulate(__name__, "token_mixer", tmp_path, parameters, case)


@pytest.mark.parametrize(("tokens", "channels", "block", "lanes"), DEPTHS)
def test_one_place_less(tokens: int, channels: int, block: int, lanes: int, tmp_path: Path) -> None:
    """With a place less than its depth token_mixer.v equals the contract, but not at the full rate."""
    parameters, case = setup(tokens, channels, block, lanes, tmp_path)
    case["depth"] = depth = np.array(DEPTHS[tokens, channels, block, lanes])
    simulate(__name__, "token_mixer", tmp_path, parameters | {"RESIDUAL_DEPTH": int(depth) - 1}, case)
