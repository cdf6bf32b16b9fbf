"""ram.v: one write and one read port, registered reads."""

from pathlib import Path

import cocotb
import pytest
from cocotb.triggers import FallingEdge

from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known

SIZES = [(1, 1), (2, 128), (5, 9), (64, 8)]
DEFAULT_SIZE = (16, 128)
"""Words and bits where no parameter says otherwise."""


@cocotb.test()
async def gives_what_was_written(dut):
    """Random writes and reads of any words at once: a read gives the old word, one cycle later, and then holds it."""
    words, width = dut.WORDS.value.to_signed(), len(dut.write_data)
    assert (words, width) in (*SIZES, DEFAULT_SIZE)
    assert len(dut.write_address) == len(dut.read_address) == max(1, (words - 1).bit_length())
    rng = generator(f"ram {words} {width}")
    start_clock(dut)
    contents: dict[int, int] = {}
    shown: int | None = None
    reads = 0
    dut.write_enable.value = 0
    dut.read_enable.value = 0
    for cycle in range(30 * words + 300):
        await FallingEdge(dut.clk)
        if shown is not None:
            assert known(dut.read_data) == shown
        write, data = bool(rng.integers(2)), int.from_bytes(rng.bytes((width + 7) // 8), "little") % 2**width
        target, source = (int(rng.integers(words)) for _ in range(2))
        # All words once, then any; only what was written is read.
        target = cycle if cycle < words else target
        read = bool(rng.integers(2)) and source in contents
        dut.write_enable.value = write or cycle < words
        dut.write_address.value = target
        dut.write_data.value = data
        dut.read_enable.value = read
        dut.read_address.value = source
        if read:
            shown = contents[source]
            reads += 1
        if write or cycle < words:
            contents[target] = data
    assert reads > 100


@pytest.mark.parametrize(("words", "width"), SIZES)
def test_ram(words: int, width: int, tmp_path: Path) -> None:
    """ram.v keeps what it is given."""
    simulate(__name__, "ram", tmp_path, {"WORDS": words, "WIDTH": width})


def test_default_size(tmp_path: Path) -> None:
    """So it does in the size that it has by default."""
    simulate(__name__, "ram", tmp_path)
