"""simd_descriptor.v: the fields of a descriptor, where the memory image puts them."""

from pathlib import Path

import cocotb
from cocotb.triggers import Timer

from fxsim.devices.simd.memory_image import DESCRIPTOR, MAGIC
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known

WORD_W = 128
FIELDS = {name: place for name, place in DESCRIPTOR.items() if name != "magic"}
FREE = set(range(WORD_W)) - {low + k for low, width in DESCRIPTOR.values() for k in range(width)}
"""Bits that no field has."""


@cocotb.test()
async def gives_every_field(dut):
    """Each bit of a word alone, and random words: every field is where the memory image says, nothing else moves it."""
    rng = generator("simd_descriptor")
    words = [0, *(1 << bit for bit in range(WORD_W))]
    words += [int.from_bytes(rng.bytes(WORD_W // 8), "little") for _ in range(500)]
    for word in words:
        dut.word.value = word
        await Timer(1, "ns")
        for name, (low, width) in FIELDS.items():
            assert len(getattr(dut, name)) == width, name
            assert known(getattr(dut, name)) == word >> low & ((1 << width) - 1), f"{name} of {word:032x}"


@cocotb.test()
async def knows_what_is_fixed(dut):
    """`fixed` stands for the right magic byte and zeros in the bits without a field, whatever the fields hold."""
    rng = generator("simd_descriptor fixed")
    low, width = DESCRIPTOR["magic"]
    fixed = FREE | set(range(low, low + width))
    for _ in range(50):
        word = int.from_bytes(rng.bytes(WORD_W // 8), "little")
        good = word & ~sum(1 << bit for bit in fixed) | MAGIC << low
        for wrong in (None, *fixed):
            dut.word.value = good if wrong is None else good ^ 1 << wrong
            await Timer(1, "ns")
            assert known(dut.fixed) == (wrong is None), f"bit {wrong} of {good:032x}"


def test_simd_descriptor(tmp_path: Path) -> None:
    """simd_descriptor.v takes a descriptor apart as the memory image puts it together."""
    simulate(__name__, "simd_descriptor", tmp_path)
