"""full_table.v: an entry of each channel's table for every value."""

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


def traffic(dut, name):
    """Every value of each channel, in random order, and its entries."""
    table = load_case()["table"]
    bits, signed, lanes = (getattr(dut, name).value.to_signed() for name in ("X_W", "X_SIGNED", "LANES"))
    rng = generator(f"full_table {name} {table.shape}")
    low = -(1 << (bits - 1)) if signed else 0
    x = np.stack([rng.permutation(1 << bits) + low for _ in table], axis=1)
    y = [[table[c, v - low] for c, v in enumerate(row)] for row in x.tolist()]
    return rng, {"s_axis": packed(x, lanes, bits)}, {"m_axis": packed(y, lanes, dut.Y_W.value.to_signed())}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def gives_the_entry(dut, stall):
    """Every channel uses its own table under every stall pattern."""
    rng, sent, expected = traffic(dut, stall)
    await check_stalls(await Bench.started(dut), sent, expected, stall, rng)


@cocotb.test()
async def takes_a_beat_every_cycle(dut):
    """Without stalls a beat enters every cycle and leaves in the next."""
    _, sent, expected = traffic(dut, "rate")
    cycles = await check_rate(await Bench.started(dut), sent, expected)
    assert cycles == [1 + i for i in range(len(expected["m_axis"]))]


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
    ("channels", "lanes", "bits", "signed", "entry_bits"),
    [(1, 1, 1, 0, 1), (3, 1, 5, 0, 8), (3, 3, 4, 1, 3), (6, 2, 3, 1, 16)],
)
def test_full_table(channels: int, lanes: int, bits: int, signed: int, entry_bits: int, tmp_path: Path) -> None:
    """full_table.v gives the entry of every value of every channel."""
    table = generator(f"full_table {channels} {bits}").integers(0, 1 << entry_bits, (channels, 1 << bits))
    grouped = table.reshape(channels // lanes, lanes, 1 << bits).swapaxes(1, 2)
    write_words(tmp_path / "t.hex", packed(grouped, lanes, entry_bits))
    parameters = {"CHANNELS": channels, "LANES": lanes, "X_W": bits, "X_SIGNED": signed, "Y_W": entry_bits}
    simulate(__name__, "full_table", tmp_path, {**parameters, "T_FILE": "t.hex"}, {"table": table})
