"""linear.v: y[n] = sat8(round_shift(sum over k of x[k] * w[n][k], s[n]) + b[n]), whole weight rows each cycle."""

import itertools
from pathlib import Path

import cocotb
import numpy as np
import pytest

from fxsim import contract
from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls
from testbenches.common.seeds import generator
from testbenches.common.simulation import load_case, simulate, write_hex
from testbenches.common.stalls import STREAM_STALLS
from testbenches.common.stream import beats


def traffic(dut, name, rows=5):
    """Random rows, rows of extremes among them, and what the contract makes of them."""
    case, lanes = load_case(), dut.OUTPUTS.value.to_signed()
    outputs, inputs = case["weight"].shape
    rng = generator(f"linear {name} {inputs} {outputs}")
    x = rng.integers(-128, 128, (rows, inputs))
    x[1::3] = rng.choice([-128, 127], x[1::3].shape)
    x[2] = -128
    x = rng.permutation(x).astype(np.int8)
    return rng, {"s_axis": beats(x, lanes)}, {"m_axis": beats(contract.linear(x, **case), lanes)}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def equals_the_contract(dut, stall):
    """Every output uses its own weight row, shift and bias under every stall pattern."""
    rng, sent, expected = traffic(dut, stall)
    await check_stalls(await Bench.started(dut), sent, expected, stall, rng)


@cocotb.test()
async def takes_max_in_out_cycles_a_row(dut):
    """Without stalls a row takes as many cycles as it has beats, its results likewise, the first after the latency."""
    rows = 6
    inputs = dut.IN.value.to_signed()
    lanes = dut.OUTPUTS.value.to_signed()
    beats_in, beats_out = inputs // lanes, dut.OUT.value.to_signed() // lanes
    _, sent, expected = traffic(dut, "rate", rows)
    # Row register, product, adders of four, result; counted from the row's last value.
    latency = 4 + next(levels for levels in itertools.count() if 4**levels >= inputs)
    starts = [beats_in - 1 + latency + row * max(beats_in, beats_out) for row in range(rows)]
    cycles = await check_rate(await Bench.started(dut), sent, expected)
    assert cycles == [start + n for start in starts for n in range(beats_out)]


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


def run(weight, bias, shift, acc_w: int, folder: Path, **parameters: int) -> None:
    """Simulate one set of constants; `parameters`: further ones of the module."""
    case = {"weight": weight.astype(np.int8), "bias": bias.astype(np.int8), "shift": shift.astype(np.uint8)}
    files = {}
    for field, rows in case.items():
        files[f"{field[0].upper()}_FILE"] = f"{field}.hex"
        write_hex(folder / f"{field}.hex", rows)
    outputs, inputs = weight.shape
    simulate(__name__, "linear", folder, {"IN": inputs, "OUT": outputs, "ACC_W": acc_w, **parameters, **files}, case)


@pytest.mark.parametrize(
    ("inputs", "outputs"), [(1, 1), (1, 6), (6, 1), (2, 3), (3, 7), (7, 3), (4, 4), (5, 5), (16, 9), (17, 16), (48, 10)]
)
def test_linear(inputs: int, outputs: int, tmp_path: Path) -> None:
    """linear.v equals the contract, a value a beat."""
    run(*constants(inputs, outputs), contract.linear_acc_bits(inputs), tmp_path)


@pytest.mark.parametrize("packed", [0, 1])
@pytest.mark.parametrize(
    ("lanes", "inputs", "outputs"),
    [
        (2, 6, 4), (2, 4, 10), (4, 20, 4),
        *(pytest.param(*sizes, marks=pytest.mark.thorough) for sizes in ((2, 2, 2), (2, 18, 6), (4, 4, 8))),
    ],
)  # fmt: skip
def test_linear_of_several_outputs(lanes: int, inputs: int, outputs: int, packed: int, tmp_path: Path) -> None:
    """linear.v equals the contract, two or four values a beat, with a multiplier a product or one for two."""
    acc_w = contract.linear_acc_bits(inputs)
    run(*constants(inputs, outputs), acc_w, tmp_path, OUTPUTS=lanes, PACKED=packed, BLOCK_ROM=packed)


def constants(inputs: int, outputs: int):
    """Extreme weights and biases among random ones, shifts about where the sums saturate and far beyond."""
    rng = generator(f"linear constants {inputs} {outputs}")
    weight = rng.integers(-128, 128, (outputs, inputs))
    weight[::3] = rng.choice([-128, 127], weight[::3].shape)
    weight[outputs // 2] = -128
    bias = rng.choice([-128, 127, 0, *rng.integers(-128, 128, 5)], outputs)
    shift = rng.choice([0, *range(4, 18), *range(4, 18), 23, 31, 32, 64, 255], outputs)
    return weight, bias, shift


def test_linear_of_every_shift(tmp_path: Path) -> None:
    """All shifts from 0 to 255, an output for each."""
    rng = generator("linear every shift")
    run(rng.integers(-128, 128, (256, 3)), rng.integers(-128, 128, 256), rng.permutation(256), 18, tmp_path)


@pytest.mark.parametrize("acc_w", [16, 32])
def test_linear_of_other_widths(acc_w: int, tmp_path: Path) -> None:
    """An accumulator as narrow as its weights allow, or wider than any need, computes the same."""
    rng = generator(f"linear width {acc_w}")
    # At most 9 * 28 * 128 = 32,256 in magnitude: just within 16 bits.
    weight = rng.choice([-28, 28, *rng.integers(-28, 29, 4)], (4, 9))
    weight[1] = 28
    run(weight, rng.integers(-128, 128, 4), np.array([8, 7, 9, 0]), acc_w, tmp_path)
