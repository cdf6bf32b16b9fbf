"""simd_core.v: whole models through the core alone, with a model of the memory side that writes what it is to read.

The model takes the parameter stream apart by the published format, fills the rings as the core frees them, and passes
descriptors, counts and images on, each with delays of its own. Every word of every stage is compared with the reference
engine.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import numpy.typing as npt
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from fxsim.contract import TableRule
from fxsim.devices.simd.memory_image import Buffers
from fxsim.families import ResMLPConfig
from testbenches.common.checks import compare
from testbenches.common.constants import random_resmlp
from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import load_case, simulate
from testbenches.common.stalls import Stall, blocked, bursts, flowing, random
from testbenches.common.stream import ProtocolError, known
from testbenches.simd_resmlp.machine import STAGES, Program, as_hex, ints, program

IMAGES = 3

BUFFERS = Buffers(
    activation_words=64,
    image_words=32,
    residual_words=64,
    weight_words=256,
    table_words=32,
    constant_groups=8,
    chunks=8,
    layers=8,
    acc_w=22,
)

# Tokens, values, channels, hidden, blocks, classes, points, rule.
MODELS = {
    "psa": ResMLPConfig(4, 17, 18, 5, 1, 3, 8, TableRule.CLAMP),
    "psa_endpoint": ResMLPConfig(2, 3, 17, 16, 2, 1, 8, TableRule.ENDPOINT),
    "relu": ResMLPConfig(32, 5, 16, 17, 2, 81),
    "one_tile_a_layer": ResMLPConfig(8, 9, 10, 11, 2, 12),
}
KEPT = ("psa", "one_tile_a_layer")
"""Models all of whose parameters fit the rings; of the others' the rings hold a part only."""

READ = ("image_buffer", "activation_buffer_0", "activation_buffer_1")
"""The memories of which one is read for each word that is fed."""

NOTHING, PARAMETERS, IMAGE, RESULTS, ROOM = range(5)
"""What mon_wait says."""

TILE = 16
TO_RESULT = 30
"""Cycles from a tile's last feed to its first result: 19 to the operands, 3 in the tile, 8 stages behind it."""
TO_NEXT_LAYER = 47
"""Cycles from a tile's last feed to the first of a tile that reads what it wrote: 15 rows more, a count, the start."""

RESETS = (3, 15, 16, 17, *range(31, 38), 45, 52, *range(59, 63))
"""Cycles after a tile's first feed: the last feed is the 15th, the last product the 34th, the last write the 60th."""

RESULT_ROOM = 4
"""Words for which there must be room while result_ready is high."""
RESULT_QUEUE = 5


@dataclass(frozen=True)
class Item:
    """A word of the parameter stream: where it goes, and what is complete with it. `ring` "" is no word at all."""

    ring: str
    word: int = 0
    constant: int = 0
    begins_group: bool = False
    ends_chunk: bool = False
    ends_group: bool = False


def layer_items(words: list[int]) -> Iterator[Item]:
    """The stream of a model, item by item."""
    stream = iter(words)
    for descriptor in stream:

        def field(low: int, width: int, of: int = descriptor) -> int:
            return of >> low & ((1 << width) - 1)

        yield Item("layer", descriptor)
        mixing, kind, rule = field(8, 1), field(16, 2), field(18, 2)
        groups, token_groups = field(64, 16), -(-field(32, 16) // TILE)
        weights = TILE * (token_groups if mixing else field(48, 16))
        active = [*[0, 1, 2] * field(9, 1), *[3, 4, 5] * field(11, 1), *[6, 7, 8] * (kind == 1)]
        points = (1 << field(20, 4)) + 2 * (rule == 2) if kind == 3 else 0

        def chunk(count: int = weights) -> Iterator[Item]:
            yield Item("bias", next(stream))
            yield Item("shift", next(stream))
            for k in range(count):
                yield Item("weight", next(stream), ends_chunk=k == count - 1)

        def group(active: list[int] = active, points: int = points) -> Iterator[Item]:
            kinds = [("constant", bit) for bit in active] + [("table", 0)] * points or [("", 0)]
            for k, (ring, bit) in enumerate(kinds):
                word = next(stream) if ring else 0
                yield Item(ring, word, bit, begins_group=k == 0, ends_group=k == len(kinds) - 1)

        if mixing:
            for _ in range(token_groups):
                yield from chunk()
        for _ in range(groups):
            if not mixing:
                yield from chunk()
            yield from group()


@dataclass
class Pace:
    """When the memory side holds back: descriptors, parameters, counts of them, words of images, results that leave."""

    layers: Stall
    parameters: Stall
    counts: Stall
    images: Stall
    results: Stall

    @classmethod
    def at_once(cls) -> "Pace":
        """Everything as soon as can be."""
        return cls(flowing(), flowing(), flowing(), flowing(), flowing())

    @classmethod
    def at_random(cls, rng: np.random.Generator) -> "Pace":
        """Everything on its own."""
        return cls(random(rng, 0.8), bursts(rng, 40), random(rng, 0.5), bursts(rng, 20), random(rng, 0.9))


class Core:
    """The core with its clock, the model of the memory side, and monitors of all outputs."""

    def __init__(self, dut: Any, rng: np.random.Generator) -> None:
        self.dut = dut
        self.rng = rng
        self.sizes = {name: int(getattr(dut, name).value) for name in ("WEIGHT_WORDS", "TABLE_WORDS")}
        self.sizes |= {name: int(getattr(dut, name).value) for name in ("CONSTANT_GROUPS", "CHUNKS")}
        self.pace = Pace.at_once()

    @classmethod
    async def started(cls, dut: Any, rng: np.random.Generator) -> "Core":
        """A core whose clock runs."""
        await Timer(1, "ns")
        core = cls(dut, rng)
        start_clock(dut)
        return core

    async def begin(self, one: Program, picks: tuple[int, ...], keep: bool = False) -> None:
        """Reset the core for one cycle, whatever it does, and have images of a model ready for it."""
        self.program, self.picks, self.keep = one, picks, keep
        rounds = 1 if keep else len(picks)
        self.items = deque(item for _ in range(rounds) for item in layer_items(ints(one.words)))
        self.images = deque(deque(ints(one.images[pick].reshape(-1, TILE))) for pick in picks)
        self.image_loaded = 0
        self.layer: int | None = None
        self.layer_shown = False
        self.at = dict.fromkeys(self.sizes, 0)
        self.used = dict.fromkeys(self.sizes, 0)
        self.counts: deque[tuple[int, str]] = deque()
        self.loaded = {"chunks_loaded": 0, "groups_loaded": 0}
        self.waiting_results = 0
        self.cycle = 0
        self.results: list[int] = []
        self.result_cycles: list[int] = []
        self.shown: dict[str, list[int]] = {stage: [] for stage in STAGES}
        self.step_cycles: dict[int, list[int]] = {}
        self.waits: Counter[int] = Counter()
        self.parameters_cycle = 0
        self.free_image = True
        dut = self.dut
        await FallingEdge(dut.clk)
        dut.rst.value = 1
        dut.keep.value = keep
        dut.image_count.value = len(picks)
        self.drive_nothing()
        await FallingEdge(dut.clk)
        dut.rst.value = 0
        await self.cycle_from_here()

    def noise(self, width: int) -> int:
        """Any value, for what means nothing."""
        return int.from_bytes(self.rng.bytes(16), "little") >> (128 - width)

    def drive_nothing(self) -> None:
        """No write, no descriptor; addresses and data are noise."""
        dut = self.dut
        for name in ("layer_valid", "weight_write", "bias_write", "shift_write", "table_write", "image_write"):
            getattr(dut, name).value = 0
        dut.constant_write.value = 0
        for ring in ("weight", "chunk", "constant", "table", "image"):
            getattr(dut, f"{ring}_write_address").value = self.noise(16)
        for data in ("parameter_data", "layer_data", "image_write_data"):
            getattr(dut, data).value = self.noise(128)
        dut.chunks_loaded.value = self.loaded["chunks_loaded"]
        dut.groups_loaded.value = self.loaded["groups_loaded"]
        dut.image_words_loaded.value = self.image_loaded
        dut.result_ready.value = RESULT_QUEUE - self.waiting_results >= RESULT_ROOM

    def place(self, ring: str) -> int:
        """The next place of a ring, which is taken."""
        self.used[ring] += 1
        assert self.used[ring] <= self.sizes[ring]
        self.at[ring] = (self.at[ring] + 1) % self.sizes[ring]
        return (self.at[ring] - 1) % self.sizes[ring]

    def room(self, item: Item) -> bool:
        """Whether an item may go now."""
        needs = {"bias": "CHUNKS", "weight": "WEIGHT_WORDS", "table": "TABLE_WORDS"}
        rings = [needs[item.ring]] if item.ring in needs else []
        rings += ["CONSTANT_GROUPS"] * item.begins_group
        if item.ring == "layer":
            return self.layer is None
        return all(self.used[ring] < self.sizes[ring] for ring in rings)

    def drive_parameter(self) -> None:
        """The next item, where there is room for it."""
        dut = self.dut
        item = self.items[0]
        if not self.room(item):
            return
        self.items.popleft()
        self.parameters_cycle = self.cycle
        if item.ring == "layer":
            self.layer = item.word
            return
        if item.ring:
            dut.parameter_data.value = item.word
        if item.begins_group:
            self.group_place = self.place("CONSTANT_GROUPS")
        if item.ring == "bias":
            self.chunk_place = self.place("CHUNKS")
        if item.ring in ("bias", "shift"):
            getattr(dut, f"{item.ring}_write").value = 1
            dut.chunk_write_address.value = self.chunk_place
        elif item.ring == "weight":
            dut.weight_write.value = 1
            dut.weight_write_address.value = self.place("WEIGHT_WORDS")
        elif item.ring == "table":
            dut.table_write.value = 1
            dut.table_write_address.value = self.place("TABLE_WORDS")
        elif item.ring == "constant":
            dut.constant_write.value = 1 << item.constant
            dut.constant_write_address.value = self.group_place
        self.counts.extend((self.cycle, "chunks_loaded") for _ in range(item.ends_chunk))
        self.counts.extend((self.cycle, "groups_loaded") for _ in range(item.ends_group))

    def drive(self) -> None:
        """Set all inputs for the coming clock edge."""
        dut = self.dut
        # Counts show a word at the earliest in the cycle behind the one in which it is written.
        while self.counts and self.counts[0][0] < self.cycle and not next(self.pace.counts):
            self.loaded[self.counts.popleft()[1]] += 1
        if self.waiting_results and not next(self.pace.results):
            self.waiting_results -= 1
        self.drive_nothing()
        if self.items and not next(self.pace.parameters):
            self.drive_parameter()
        if self.layer is not None and (self.layer_shown or not next(self.pace.layers)):
            dut.layer_valid.value = 1
            dut.layer_data.value = self.layer
            self.layer_shown = True
        self.image_written = bool(self.images and self.free_image and not next(self.pace.images))
        if self.image_written:
            dut.image_write.value = 1
            dut.image_write_address.value = self.image_loaded
            dut.image_write_data.value = self.images[0].popleft()

    async def cycle_from_here(self) -> None:
        """One cycle: drive, let everything settle, look at it."""
        self.drive()
        await ReadOnly()
        self.sample()
        self.cycle += 1

    async def step(self, cycles: int = 1) -> None:
        """Run some cycles."""
        for _ in range(cycles):
            await FallingEdge(self.dut.clk)
            await self.cycle_from_here()

    async def until(self, done: Callable[[], bool], limit: int) -> None:
        """Run until `done`; AssertionError where that takes more than `limit` cycles."""
        for _ in range(limit):
            if done():
                return
            await self.step()
        raise AssertionError(f"not done after {limit} cycles; fed {self.steps}, waited {dict(self.waits)}")

    def sample(self) -> None:
        """Look at all outputs; none may be X, data that is not valid excepted."""
        dut = self.dut
        if known(dut.layer_ready) and self.layer is not None and self.layer_shown:
            self.layer, self.layer_shown = None, False
        if self.image_written:
            self.image_loaded += 1
            self.free_image = bool(self.images[0])
        if known(dut.image_release):
            assert self.image_loaded == self.program.image_words, "an image is released before it is whole"
            self.images.popleft()
            self.image_loaded, self.free_image = 0, True
        self.sample_frees()
        if known(dut.result_valid):
            self.results.append(known(dut.result_data))
            self.result_cycles.append(self.cycle)
            self.waiting_results += 1
            assert self.waiting_results <= RESULT_QUEUE, "a result without room for it"
        step, layer, wait = known(dut.mon_step), known(dut.mon_layer), known(dut.mon_wait)
        reads = [known(getattr(dut, buffer).read_enable) for buffer in READ]
        assert sum(reads) == step, f"{step} words are fed, {dict(zip(READ, reads, strict=True))} are read"
        if step:
            assert wait == NOTHING, f"mon_wait is {wait} while the multipliers are fed"
            self.step_cycles.setdefault(layer, []).append(self.cycle)
        self.waits[wait] += 1
        valid = known(dut.mon_valid)
        if valid:
            data = str(dut.mon_data.value)
            for s, stage in enumerate(STAGES):
                if valid >> s & 1:
                    word = data[len(data) - 128 * (s + 1) : len(data) - 128 * s]
                    if not set(word) <= {"0", "1"}:
                        raise ProtocolError(f"cycle {self.cycle}: monitor {stage} shows {word}")
                    self.shown[stage].append(int(word, 2))

    def sample_frees(self) -> None:
        """What the core has used may be overwritten from the next cycle on."""
        dut = self.dut
        freed = {
            "CHUNKS": known(dut.free_chunk),
            "WEIGHT_WORDS": known(dut.free_weight_words),
            "CONSTANT_GROUPS": known(dut.free_group),
            "TABLE_WORDS": known(dut.free_table_words),
        }
        for ring, count in freed.items():
            assert not (self.keep and count), f"{ring}: {count} freed, although parameters are kept"
            self.used[ring] -= count
            assert self.used[ring] >= 0, f"{ring}: more freed than loaded"

    @property
    def steps(self) -> int:
        """Feed cycles so far."""
        return sum(map(len, self.step_cycles.values()))

    def compare_stages(self, part: bool = False) -> None:
        """Hold what the monitors showed to the reference; `part`: as far as it goes."""
        for stage, shown in self.shown.items():
            expected = [word for pick in self.picks for word in ints(self.program.stages[stage][pick])]
            sides = (shown, expected[: len(shown)] if part else expected)
            compare(f"{self.program.name} {stage}", *(list(map(as_hex, side)) for side in sides))

    async def finish(self) -> None:
        """Run until all results are there, and compare everything."""
        one, picks = self.program, self.picks
        expected = [word for pick in picks for word in ints(one.results[pick].reshape(-1, TILE))]
        limit = 2000 + 12 * len(picks) * (len(one.words) + sum(one.steps))
        try:
            await self.until(lambda: len(self.results) >= len(expected), limit)
            # Whatever comes beyond would show, and the last tile gives free what it used.
            await self.step(80)
        finally:
            # A difference says more than the wait that it may have led to.
            self.compare_stages()
        compare(f"{one.name} results", list(map(as_hex, self.results)), list(map(as_hex, expected)))
        steps = {layer: len(picks) * count for layer, count in enumerate(one.steps)}
        assert {layer: len(cycles) for layer, cycles in self.step_cycles.items()} == steps
        assert known(self.dut.mon_wait) == NOTHING, "all images are done, yet something is waited for"
        assert not self.images, "an image was never released"
        assert not self.items, "not all parameters were taken"
        if not self.keep:
            assert not any(self.used.values()), f"never given free: {self.used}"

    async def run(self, one: Program, picks: tuple[int, ...], keep: bool = False) -> None:
        """All of it."""
        await self.begin(one, picks, keep)
        await self.finish()


def programs() -> dict[str, Program]:
    """All models by name."""
    return {one.name: one for one in Program.all(load_case())}


@cocotb.test()
async def equals_the_reference(dut):
    """Two images of each model, at a random pace of everything."""
    rng = generator("simd_core reference")
    core = await Core.started(dut, rng)
    core.pace = Pace.at_random(rng)
    for one in programs().values():
        await core.run(one, (0, 1))
        assert core.waits[PARAMETERS], "parameters come slowly, yet nothing waits for them"


@cocotb.test()
async def keeps_parameters(dut):
    """Images of parameters that are loaded once, and never given free."""
    rng = generator("simd_core keep")
    core = await Core.started(dut, rng)
    for name in KEPT:
        core.pace = Pace.at_random(rng)
        core.pace.parameters = flowing()
        await core.run(programs()[name], (2, 0, 1), keep=True)


@cocotb.test()
async def begins_anew_after_a_reset(dut):
    """A reset of one cycle, while a tile is fed or anywhere behind, leaves nothing that the next run would show."""
    core = await Core.started(dut, generator("simd_core reset"))
    one = programs()["one_tile_a_layer"]
    for number, cycle in enumerate(RESETS):
        # Each time another image: what is left of one would be right for the same again.
        await core.begin(one, (number % IMAGES,))
        await core.until(lambda: core.steps > 0, 200)
        await core.step(cycle)
        assert core.results == []
        core.compare_stages(part=True)
    await core.run(programs()["psa"], (1, 2))


@cocotb.test()
async def takes_as_long_as_it_must(dut):
    """With all parameters there, each layer of one tile starts as soon as the one before is written; and its result."""
    core = await Core.started(dut, generator("simd_core timing"))
    one = programs()["one_tile_a_layer"]
    core.pace.images = blocked()
    await core.begin(one, (0,), keep=True)
    await core.until(lambda: core.waits[IMAGE] > 0 and not core.items and not core.counts, 500)
    assert core.waits[PARAMETERS]
    assert not core.steps
    core.pace.images = flowing()
    await core.finish()
    first = core.step_cycles[0][0]
    period = TILE - 1 + TO_NEXT_LAYER
    for layer, cycles in core.step_cycles.items():
        start = first + period * layer
        assert cycles == list(range(start, start + TILE)), f"layer {layer} starts in cycle {cycles[0]}, not {start}"
    assert core.result_cycles == [core.step_cycles[len(one.steps) - 1][-1] + TO_RESULT]
    assert core.waits[RESULTS] == (len(one.steps) - 1) * (TO_NEXT_LAYER - 1)


@cocotb.test()
async def waits_for_room(dut):
    """While results cannot leave, no more of them come than there is room for; nothing is lost of those that wait."""
    core = await Core.started(dut, generator("simd_core room"))
    core.pace.results = blocked()
    await core.begin(programs()["relu"], (0, 1, 2))
    await core.until(lambda: core.waits[ROOM] > 0, 5000)
    before = core.steps
    await core.step(100)
    assert core.steps == before, "fed without room for the result"
    assert core.waiting_results > RESULT_QUEUE - RESULT_ROOM
    core.pace.results = flowing()
    await core.finish()


def test_simd_core(tmp_path: Path) -> None:
    """simd_core.v equals the reference engine at every stage, however late each of the things it needs comes."""
    case: dict[str, npt.NDArray[Any]] = {}
    for name, config in MODELS.items():
        rng = generator(f"simd_core {name}")
        x = rng.integers(-128, 128, (IMAGES, config.tokens, config.values)).astype(np.int8)
        case |= program(name, random_resmlp(config, rng), config, x, BUFFERS)
        assert bool(case[f"{name}:keeps"]) == (name in KEPT)
    sizes = BUFFERS.parameters()
    for name in ("ADDRESS_W", "BURST", "FIFO_WORDS"):
        del sizes[name]
    simulate(__name__, "simd_core", tmp_path, sizes, case)
