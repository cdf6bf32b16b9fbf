"""simd_tables.v: a ring of tables, and 16 look-ups a cycle."""

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.triggers import FallingEdge, ReadOnly

from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known
from testbenches.simd_epilogue.integers import ENDPOINT, POINTS_LOG2, RULES, lookup, stored_points, word

LANES = 16


@dataclass
class Table:
    """Tables of 16 channels, and the inputs that are still to be looked up in each."""

    points_log2: int
    rule: int
    points: list[list[int]]  # [lane][point], as stored
    inputs: list[list[int]]  # [word][lane]
    base: int = 0
    written: int = 0

    @property
    def words(self) -> int:
        """Words in the ring."""
        return len(self.points[0])

    def values(self, x: list[int]) -> list[int]:
        """What the contract makes of one word."""
        return [lookup(v, t, 1 << self.points_log2, self.rule) for v, t in zip(x, self.points, strict=True)]


def tables_of(points_log2: int, rule: int, rng: np.random.Generator) -> Table:
    """Steepest both ways, both ends of the range, rising, and random tables; all 256 inputs in random order in each."""
    count = stored_points(1 << points_log2, rule)
    kinds = [
        [127 - 255 * (k % 2) for k in range(count)],
        [255 * (k % 2) - 128 for k in range(count)],
        [-128] * count,
        [127] * count,
        sorted(rng.integers(-128, 128, count).tolist()),
    ]
    kinds += [rng.choice([-128, 127], count).tolist() for _ in range(3)]
    kinds += [rng.integers(-128, 128, count).tolist() for _ in range(LANES - len(kinds))]
    columns = [rng.permutation(range(-128, 128)).tolist() for _ in range(LANES)]
    points = [kinds[k] for k in rng.permutation(LANES)]
    if rule == ENDPOINT:
        for lane in points:
            lane[-1] = 0
    return Table(points_log2, rule, points, [list(row) for row in zip(*columns, strict=True)])


@dataclass
class Ring:
    """Tables in the order in which they are written; the oldest makes room as soon as all its inputs are done."""

    words: int
    head: int
    waiting: list[Table]
    resident: list[Table] = field(default_factory=list)
    wrapped: int = 0

    def write(self) -> tuple[int, int] | None:
        """Address and data of the next word, where there is one and room for it."""
        if not self.resident or self.resident[-1].written == self.resident[-1].words:
            used = sum(table.words for table in self.resident)
            if not self.waiting or used + self.waiting[0].words > self.words:
                return None
            table = self.waiting.pop(0)
            table.base = self.head
            self.head = (self.head + table.words) % self.words
            self.wrapped += table.base + table.words > self.words
            self.resident.append(table)
        table = self.resident[-1]
        at = table.written
        table.written += 1
        return (table.base + at) % self.words, word([lane[at] for lane in table.points])

    def ready(self) -> list[Table]:
        """Tables that inputs may be looked up in."""
        while self.resident and not self.resident[0].inputs:
            self.resident.pop(0)
        return [table for table in self.resident if table.inputs and table.written == table.words]


async def play(dut: Any, ring: Ring, rng: np.random.Generator, read_share: float) -> None:
    """Look up all inputs of all tables, a word of any of them in a share of the cycles, while others are written."""
    start_clock(dut)
    dut.write_enable.value = dut.read_enable.value = 0
    inside: tuple[Table, list[int]] | None = None  # taken in the last cycle
    shown: tuple[Table, list[int]] | None = None
    tables, compared, fresh = len(ring.waiting), 0, False
    while ring.waiting or ring.resident or inside or compared < 256 * tables:
        await FallingEdge(dut.clk)
        candidates = ring.ready()
        taken = None
        if candidates and rng.random() < read_share:
            table = candidates[int(rng.integers(len(candidates)))]
            taken = table, table.inputs.pop()
        dut.read_enable.value = taken is not None
        # Without read_enable everything may change.
        x = taken[1] if taken else rng.integers(-128, 128, LANES).tolist()
        dut.x.value = word(x)
        dut.base.value = taken[0].base if taken else 2 * int(rng.integers(ring.words // 2))
        dut.points_log2.value = taken[0].points_log2 if taken else int(rng.integers(2, 9))
        dut.rule.value = taken[0].rule if taken else int(rng.integers(3))
        # A table is readable in the cycle after its last word.
        written = ring.write()
        dut.write_enable.value = written is not None
        dut.write_address.value = written[0] if written else int(rng.integers(ring.words))
        dut.write_data.value = written[1] if written else 0x5A
        await ReadOnly()
        if shown is not None:
            table, x = shown
            got, want = known(dut.y), word(table.values(x))
            what = f"{1 << table.points_log2} points, rule {table.rule}, base {table.base}, x {x}"
            assert got == want, f"{what}: {got:032x}, expected {want:032x}"
            compared += fresh
        fresh = inside is not None
        shown = inside or shown
        inside = taken


@cocotb.test()
async def looks_up_every_input(dut):
    """All inputs of every format that the store holds, in 16 kinds of contents, reads of several tables mixed."""
    words = dut.TABLE_WORDS.value.to_signed()
    rng = generator(f"simd_tables {words}")
    formats = [(k, rule) for k, rule in itertools.product(POINTS_LOG2, RULES) if stored_points(1 << k, rule) <= words]
    assert formats
    # Twice where there are few of them, so that the ring comes round.
    formats *= 1 + (words < 64)
    tables = [tables_of(*formats[k], rng) for k in rng.permutation(len(formats))]
    # The first table lies across the end.
    ring = Ring(words, words - 2, tables)
    await play(dut, ring, rng, 0.9)
    assert ring.wrapped > 1, "only the first table lay across the end of the ring"


@pytest.mark.parametrize("words", [4, 16, 1024])
def test_simd_tables(words: int, tmp_path: Path) -> None:
    """simd_tables.v equals the contract for all inputs of all formats, wherever in the ring a table lies."""
    simulate(__name__, "simd_tables", tmp_path, {"TABLE_WORDS": words})
