"""simd_epilogue.v: everything done to the multiplier tile's rows on their way out."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
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
from testbenches.simd_epilogue.integers import POINTS_LOG2, RULES, lookup, requantise, round_shift, sat8, stored_points
from testbenches.simd_epilogue.integers import word as packed

LANES = 16
SLOTS = 32
"""Ring slots that chunks and constants are drawn from."""

NONE, AFFINE, RELU, TABLE = range(4)
MONITORS = ("linear", "affine", "add", "res_affine", "next", "pool")
MEMORIES = ("bias", "shift", *(f"{name}_{field}" for name in ("affine", "res", "next") for field in "wbs"))
ADDRESSES = {name: "chunk_read_address" if name in ("bias", "shift") else f"{name[:-2]}_address" for name in MEMORIES}

FLAGS = ("token_mixing", "affine", "add", "res", "pool", "last_layer", "first_tokens", "last_tokens", "bank")
NUMBERS = ("next", "rule", "points_log2", "pool_shift", "tokens", "token_base", "group", "groups", "address")
RING = ("table_base", "chunk", "constants", "free_chunk", "free_weight_words", "free_group", "free_table_words")
TAG = (*FLAGS, *NUMBERS, *RING)
"""The tag of a tile, by port without `tile_`."""

FREED = ("chunk", "weight_words", "group", "table_words")

TABLE_STAGE = 7
"""A table must stand until a row has been in stage 6."""

LAST_STAGE = 9

SEGMENTS = [
    # Tokens, groups, layers, longest gap between tiles; those that a residual memory does not hold are left out.
    *((tokens, groups, 6, 0) for tokens, groups in ((1, 1), (1, 5), (4, 3), (7, 2), (8, 8), (32, 2))),
    *((tokens, groups, 6, 6) for tokens, groups in ((1, 1), (1, 5), (4, 3), (7, 2), (8, 8), (32, 2))),
    (16, 4, 6, 0),
    (17, 3, 5, 0),
    (64, 6, 4, 0),
    (50, 2, 5, 30),
    (45, 1, 6, 0),
    (1, 8, 12, 0),
    (2, 1, 12, 0),
    (256, 2, 2, 0),
]

Word = list[int]
"""A value of each lane."""

Place = tuple[int, int]
"""A word of the activation buffers: bank and address."""


@dataclass
class Tile:
    """One tile: the values of its tag by port, and its sums, [row][lane]."""

    tag: dict[str, int]
    acc: list[Word]
    gap: int  # idle cycles before it
    writes: dict[Place, Word] = field(default_factory=dict)  # noted while its rows come in

    def real(self, row: int) -> bool:
        """Whether the row's token exists."""
        return self.tag["token_base"] + row < self.tag["tokens"]

    def table(self, ring: int) -> list[int]:
        """The words of its table in a ring of so many, point by point."""
        count = stored_points(1 << self.tag["points_log2"], self.tag["rule"])
        return [(self.tag["table_base"] + point) % ring for point in range(count)]


@dataclass
class Due:
    """What must show in one cycle."""

    monitors: dict[str, Word] = field(default_factory=dict)
    activation: tuple[Place, Word] | None = None
    result: Word | None = None
    counted: Tile | None = None


def int8(rng: np.random.Generator, *shape: int) -> Any:
    """Lists of int8, extreme ones now and then."""
    values = rng.integers(-128, 128, shape)
    return np.where(rng.random(shape) < 0.1, rng.choice([-128, 127], shape), values).tolist()


def shifts(rng: np.random.Generator, most: int) -> Word:
    """Shifts of 16 lanes, rarely one beyond `most`."""
    return np.where(rng.random(LANES) < 0.02, rng.integers(0, 256, LANES), rng.integers(0, most + 1, LANES)).tolist()


def sums(rng: np.random.Generator, acc_w: int) -> list[Word]:
    """The sums of a tile, of every magnitude."""
    size = 2.0 ** rng.integers(3, acc_w, (LANES, LANES))
    return np.floor(size * rng.uniform(-1, 1, (LANES, LANES))).astype(int).tolist()


class Program:
    """Random layers: in segments of one geometry, the first layer of each writes the residual memory."""

    def __init__(self, dut: Any, rng: np.random.Generator) -> None:
        self.rng = rng
        self.acc_w = dut.ACC_W.value.to_signed()
        self.residual_words = dut.RESIDUAL_WORDS.value.to_signed()
        self.table_words = dut.TABLE_WORDS.value.to_signed()
        self.formats = [(k, r) for k in POINTS_LOG2 for r in RULES if stored_points(1 << k, r) <= self.table_words]

    def segment(self, tokens: int, groups: int, layers: int, gap: int) -> Iterator[Tile]:
        """Tiles of some layers, up to `gap` idle cycles before some of them."""
        assert tokens * groups <= self.residual_words
        rng = self.rng
        for layer in range(layers):
            flags = {name: int(rng.integers(2)) for name in ("token_mixing", "affine", "add", "res", "bank")}
            flags["add"] &= layer > 0
            flags["res"] |= layer == 0
            flags["pool"] = int(layer == layers - 1 and tokens & (tokens - 1) == 0 and rng.random() < 0.8)
            flags["last_layer"] = int(not flags["pool"] and rng.random() < 0.15)
            flags["next"] = NONE if flags["pool"] else int(rng.integers(4))
            for group in range(groups):
                yield from self.group(flags, tokens, group, groups, gap)

    def group(self, flags: dict[str, int], tokens: int, group: int, groups: int, gap: int) -> Iterator[Tile]:
        """The tiles of one group of channels."""
        rng = self.rng
        points_log2, rule = self.formats[int(rng.integers(len(self.formats)))]
        # What the operators do not use may be anything.
        own = {
            "group": group,
            "groups": groups,
            "tokens": tokens,
            "constants": int(rng.integers(SLOTS)),
            "points_log2": points_log2,
            "rule": rule,
            "table_base": 2 * int(rng.integers(self.table_words // 2)),
            "pool_shift": tokens.bit_length() - 1 if flags["pool"] else int(rng.integers(16)),
        }
        for base in range(0, tokens, LANES):
            freed = {name: int(rng.integers(2)) for name in ("free_chunk", "free_group")}
            words = {f"free_{name}_words": int(rng.integers(2**16)) for name in ("weight", "table")}
            place = {
                "token_base": base,
                "first_tokens": int(base == 0),
                "last_tokens": int(base + LANES >= tokens),
                "address": base * groups + group,
                "chunk": int(rng.integers(SLOTS)),
            }
            idle = int(rng.integers(1, gap + 1)) if gap and rng.random() < 0.4 else 0
            yield Tile({**flags, **own, **freed, **words, **place}, sums(rng, self.acc_w), idle)


class Bench:
    """The module, what it must show in the cycles to come, and the memories around it."""

    def __init__(self, dut: Any, rng: np.random.Generator) -> None:
        self.dut = dut
        self.rng = rng
        self.acc_w = dut.ACC_W.value.to_signed()
        self.tag_ports = {name: getattr(dut, f"tile_{name}") for name in TAG}
        self.memories: dict[str, list[Word]] = {name: int8(rng, SLOTS, LANES) for name in MEMORIES}
        for name, most in (("shift", 22), ("affine_s", 15), ("res_s", 15), ("next_s", 15)):
            self.memories[name] = [shifts(rng, most) for _ in range(SLOTS)]
        self.tables: list[Word] = int8(rng, dut.TABLE_WORDS.value.to_signed(), LANES)
        self.reading: deque[Tile | None] = deque([None] * TABLE_STAGE, TABLE_STAGE)  # whose tables are still needed
        self.rows: deque[Tile | None] = deque([None] * LAST_STAGE, LAST_STAGE)  # by stage, the last first; real ones
        self.residual: dict[int, Word] = {}
        self.sums: Word = []
        self.asked: dict[str, int | None] = dict.fromkeys(MEMORIES)
        self.due: defaultdict[int, Due] = defaultdict(Due)
        self.buffers: dict[Place, int] = {}  # what the module has written
        self.count = 0
        self.cycle = 0
        self.seen: Counter[str] = Counter()

    async def start(self) -> None:
        """Reset, then fill the ring of tables."""
        await self.reset()
        for address, row in enumerate(self.tables):
            await self.step(table=(address, row))

    async def reset(self) -> None:
        """A reset at any time, of one cycle: what is inside is never seen again."""
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 1
        self.drive(None, None)
        self.dut.row_valid.value = int(self.rng.integers(2))
        self.due.clear()
        self.count = 0
        self.rows.extend([None] * LAST_STAGE)
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0
        self.drive(None, None)
        await ReadOnly()
        self.check(Due())
        # No row's address is left, though nothing would be written to it.
        assert known(self.dut.address_4) == 0

    async def run(self, tiles: Iterable[Tile]) -> None:
        """Tiles, one behind the other."""
        for tile in tiles:
            for _ in range(tile.gap):
                await self.step()
            for row in range(LANES):
                await self.step(tile, row)

    async def finish(self) -> None:
        """Until nothing is inside any more, and some more cycles."""
        for _ in range(2 * LAST_STAGE):
            await self.step()
        assert not self.due

    async def step(self, tile: Tile | None = None, row: int = 0, table: tuple[int, Word] | None = None) -> None:
        """One cycle: a row may come in, a word of a table may be written."""
        await FallingEdge(self.dut.clk)
        self.reading.append(tile)
        self.rows.append(tile if tile and tile.real(row) else None)
        table = table or self.any_table()
        self.drive((tile, row) if tile else None, table)
        if tile:
            self.enter(tile, row)
        await ReadOnly()
        due = self.due.pop(self.cycle, Due())
        if due.counted:
            self.count = (self.count + 1) % 2**16
        self.check(due)
        self.check_enables()
        if table:
            self.tables[table[0]] = table[1]
        for name, port in ADDRESSES.items():
            value = getattr(self.dut, port).value
            self.asked[name] = value.to_unsigned() if value.is_resolvable else None
        self.cycle += 1

    def any_table(self) -> tuple[int, Word] | None:
        """Now and then, a word of a table that no row inside needs."""
        address = int(self.rng.integers(len(self.tables)))
        for tile in self.reading:
            if tile and tile.tag["next"] == TABLE and address in tile.table(len(self.tables)):
                return None
        return (address, int8(self.rng, LANES)) if self.rng.random() < 0.3 else None

    def drive(self, incoming: tuple[Tile, int] | None, table: tuple[int, Word] | None) -> None:
        """Set all inputs; those that mean nothing in this cycle are random."""
        dut, rng = self.dut, self.rng
        dut.row_valid.value = incoming is not None
        dut.row_index.value = incoming[1] if incoming else int(rng.integers(LANES))
        acc = incoming[0].acc[incoming[1]] if incoming else sums(rng, self.acc_w)[0]
        mask = (1 << self.acc_w) - 1
        dut.row_acc.value = sum((value & mask) << (self.acc_w * lane) for lane, value in enumerate(acc))
        for name, port in self.tag_ports.items():
            port.value = incoming[0].tag[name] if incoming else int(rng.integers(1 << len(port)))
        for name in MEMORIES:
            slot = self.asked[name]
            there = slot is not None and slot < SLOTS
            getattr(dut, name).value = packed(self.memories[name][slot] if there else int8(rng, LANES))
        dut.table_write.value = table is not None
        dut.table_write_address.value = table[0] if table else int(rng.integers(len(self.tables)))
        dut.table_write_data.value = packed(table[1] if table else int8(rng, LANES))

    def enter(self, tile: Tile, row: int) -> None:
        """Compute what becomes of a row that comes in, and note when it must show."""
        tag = tile.tag
        stage = [self.due[self.cycle + k] for k in range(LAST_STAGE + 1)]
        if tile.real(row):
            address = tag["address"] + row * tag["groups"]
            x = self.operators(tile, row, address, stage)
            if tag["pool"]:
                # The group's first token begins, whatever was summed before.
                first = tag["token_base"] + row == 0
                self.sums = x if first else [total + v for total, v in zip(self.sums, x, strict=True)]
            else:
                self.write(stage[8], tile, address, self.next(tile, x, stage[8]))
        if row == LANES - 1:
            if tag["pool"] and tag["last_tokens"]:
                assert 1 << tag["pool_shift"] == tag["tokens"]
                average = [round_shift(total, tag["pool_shift"]) for total in self.sums]
                stage[8].monitors["pool"] = average
                self.write(stage[8], tile, tag["group"], average)
            stage[9].counted = tile
        for k in range(LAST_STAGE + 1):
            if stage[k] == Due():
                del self.due[self.cycle + k]

    def operators(self, tile: Tile, row: int, address: int, stage: list[Due]) -> Word:
        """Stages 0 to 3 of the chain; what the fourth begins with."""
        tag = tile.tag
        bias, shift = (self.memories[name][tag["chunk"]] for name in ("bias", "shift"))
        if tag["token_mixing"]:
            bias, shift = [bias[row]] * LANES, [shift[row]] * LANES
        x = [requantise(*one) for one in zip(tile.acc[row], shift, bias, strict=True)]
        stage[3].monitors["linear"] = x
        if tag["affine"]:
            x = stage[5].monitors["affine"] = self.scale(x, "affine", tag["constants"])
        if tag["add"]:
            x = [sat8(v + r) for v, r in zip(x, self.residual[address], strict=True)]
            stage[6].monitors["add"] = x
        if tag["res"]:
            self.residual[address] = stage[8].monitors["res_affine"] = self.scale(x, "res", tag["constants"])
        return x

    def next(self, tile: Tile, x: Word, due: Due) -> Word:
        """Stage 4 of the chain."""
        tag = tile.tag
        if tag["next"] == NONE:
            return x
        if tag["next"] == AFFINE:
            y = self.scale(x, "next", tag["constants"])
        elif tag["next"] == RELU:
            y = [max(v, 0) for v in x]
        else:
            stored = [self.tables[address] for address in tile.table(len(self.tables))]
            lanes = zip(*stored, strict=True)
            y = [lookup(v, points, 1 << tag["points_log2"], tag["rule"]) for v, points in zip(x, lanes, strict=True)]
        due.monitors["next"] = y
        return y

    def scale(self, x: Word, name: str, slot: int) -> Word:
        """An affine with the constants of a ring slot."""
        w, b, s = (self.memories[f"{name}_{kind}"][slot] for kind in "wbs")
        return [requantise(v * w[lane], s[lane], b[lane]) for lane, v in enumerate(x)]

    def write(self, due: Due, tile: Tile, address: int, word: Word) -> None:
        """Note a word that leaves."""
        if tile.tag["last_layer"]:
            due.result = word
        else:
            due.activation = (tile.tag["bank"], address), word
            tile.writes[due.activation[0]] = word

    def check_enables(self) -> None:
        """The residual memory is read, and a product of res_affine made, for rows alone whose layer asks for it."""
        for stage, flag, enable in (
            (4, "add", self.dut.residual.read_enable),
            (6, "res", self.dut.lane[0].simd_lane_l.res_enable),
        ):
            tile = self.rows[-1 - stage]
            wanted = int(tile is not None and tile.tag[flag])
            assert known(enable) == wanted, f"cycle {self.cycle}: {enable._path} is not {wanted}"

    def check(self, due: Due) -> None:
        """Hold every output to what it must be in this cycle."""
        dut, cycle = self.dut, f"cycle {self.cycle}"
        shown = {"activation": known(dut.activation_write) == 1, "result": known(dut.result_valid) == 1}
        expected = {"activation": due.activation is not None, "result": due.result is not None}
        assert shown == expected, f"{cycle}: {shown} is written, expected {expected}"
        if due.activation:
            place = known(dut.activation_bank), known(dut.activation_address)
            compare(f"{cycle}: activation", known(dut.activation_data), due.activation[1])
            assert place == due.activation[0], f"{cycle}: written to {place}, expected {due.activation[0]}"
        if due.result:
            compare(f"{cycle}: result", known(dut.result_data), due.result)
        valid = known(dut.mon_valid)
        names = {name for number, name in enumerate(MONITORS) if valid >> number & 1}
        assert names == set(due.monitors), f"{cycle}: monitors {names}, expected {set(due.monitors)}"
        bits = str(dut.mon_data.value)  # highest first; X where nothing has been yet
        for name, word in due.monitors.items():
            low = len(bits) - 128 * MONITORS.index(name)
            compare(f"{cycle}: monitor {name}", int(bits[low - 128 : low], 2), word)
        assert known(dut.tiles_written) == self.count, f"{cycle}: {known(dut.tiles_written)}, expected {self.count}"
        freed = {name: known(getattr(dut, f"free_{name}")) for name in FREED}
        want = dict.fromkeys(freed, 0)
        if due.counted:
            tag = due.counted.tag
            for kind, words in (("chunk", "weight_words"), ("group", "table_words")):
                if tag[f"free_{kind}"]:
                    want[kind], want[words] = 1, tag[f"free_{words}"]
            # A read in this cycle finds what was written before it.
            for at, word in due.counted.writes.items():
                compare(f"{cycle}: counted, and at {at} is", self.buffers.get(at, -1), word)
        assert freed == want, f"{cycle}: frees {freed}, expected {want}"
        self.seen.update([*due.monitors, *(kind for kind, there in expected.items() if there)])
        self.seen.update(kind for kind, amount in want.items() if amount)
        if shown["activation"]:
            self.buffers[known(dut.activation_bank), known(dut.activation_address)] = known(dut.activation_data)


def compare(what: str, got: int, expected: Word) -> None:
    """Hold a word to the values of its lanes."""
    assert got == packed(expected), f"{what} {got:032x}, expected {packed(expected):032x}, {expected}"


@cocotb.test()
async def does_everything_that_layers_ask_for(dut):
    """Layers of random operators and geometries, tiles without a gap between them and with gaps."""
    rng = generator(f"simd_epilogue {dut.RESIDUAL_WORDS.value} {dut.ACC_W.value}")
    start_clock(dut)
    bench, program = Bench(dut, rng), Program(dut, rng)
    await bench.start()
    for tokens, groups, layers, gap in SEGMENTS:
        if tokens * groups <= program.residual_words:
            await bench.run(program.segment(tokens, groups, layers, gap))
    await bench.finish()
    kinds = {*MONITORS, *FREED, "activation", "result"}
    assert {kind for kind in kinds if bench.seen[kind] >= 10} == kinds, bench.seen


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """A reset in the middle of tiles: nothing of them is written, shown, counted or summed afterwards."""
    rng = generator(f"simd_epilogue reset {dut.RESIDUAL_WORDS.value} {dut.ACC_W.value}")
    start_clock(dut)
    bench, program = Bench(dut, rng), Program(dut, rng)
    await bench.start()
    for _ in range(12):
        tiles = list(program.segment(8, 2, 3, 3))
        whole = int(rng.integers(1, 5))
        await bench.run(tiles[:whole])
        for _ in range(int(rng.integers(LAST_STAGE + 1))):
            await bench.step()
        # A tile that is cut short, or none.
        for row in range(int(rng.integers(LANES)) * int(rng.integers(2))):
            await bench.step(tiles[whole], row)
        await bench.reset()
        await bench.run(program.segment(int(rng.choice([1, 4, 16])), 2, 2, 0))
    await bench.finish()


@cocotb.test()
async def counts_modulo_65536(dut):
    """tiles_written comes round."""
    rng = generator("simd_epilogue count")
    start_clock(dut)
    bench, program = Bench(dut, rng), Program(dut, rng)
    await bench.start()
    await FallingEdge(dut.clk)
    bench.count = 65_533
    dut.tiles_written_reg.value = bench.count
    await bench.run(program.segment(1, 2, 3, 0))
    await bench.finish()
    assert bench.count == 3


@pytest.mark.parametrize(
    ("acc_w", "residual_words", "table_words"),
    [(26, 512, 1024), pytest.param(17, 64, 16, marks=pytest.mark.thorough)],
)
def test_simd_epilogue(acc_w: int, residual_words: int, table_words: int, tmp_path: Path) -> None:
    """simd_epilogue.v equals the contract in every cycle, at every stage."""
    parameters = {"ACC_W": acc_w, "RESIDUAL_WORDS": residual_words, "TABLE_WORDS": table_words}
    simulate(__name__, "simd_epilogue", tmp_path, parameters)
