"""simd_sequencer.v: every tile in its turn, as soon as what it reads is there, and not a cycle earlier.

The model writes out all tiles of a run from the layers alone: which words are fed, which weights they meet, what the
tag says, and which words of the layer before the tile reads, hence behind which of its tiles it comes. A second model
says in which cycle each tile must start, given when everything arrived; so lost cycles are errors too.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cocotb
import numpy as np
import pytest
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from testbenches.common.pins import Pins, start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known

SIZE = 16
WRAP = 1 << 16
NEXT_NONE, NEXT_AFFINE, NEXT_RELU, NEXT_TABLE = range(4)
CLAMP, HOLD, ENDPOINT = range(3)
IDLE, PARAMETERS, IMAGE, RESULTS, ROOM = range(5)
"""What mon_wait says."""
PIPELINE = 46
"""Cycles from a tile's last feed to tiles_written, about as many as in the accelerator."""


@dataclass(frozen=True)
class Layer:
    """A layer's descriptor."""

    tokens: int
    in_groups: int
    groups: int
    token_mixing: bool = False
    affine: bool = False
    add: bool = False
    res: bool = False
    pool: bool = False
    next: int = NEXT_NONE
    rule: int = CLAMP
    points_log2: int = 0

    @property
    def token_groups(self) -> int:
        """Of 16 tokens each."""
        return -(-self.tokens // SIZE)

    @property
    def blocks(self) -> int:
        """Slots of a tile."""
        return self.token_groups if self.token_mixing else self.in_groups

    @property
    def tiles(self) -> int:
        """Tiles of the layer."""
        return self.groups * self.token_groups

    @property
    def chunks(self) -> int:
        """Chunks of bias, shift and weights."""
        return self.token_groups if self.token_mixing else self.groups

    @property
    def table_words(self) -> int:
        """Words of one group's table."""
        if self.next != NEXT_TABLE:
            return 0
        return 2**self.points_log2 + (2 if self.rule == ENDPOINT else 0)

    @property
    def pool_shift(self) -> int:
        """log2 of the tokens."""
        return self.tokens.bit_length() - 1 if self.pool else 0

    def descriptor(self, number: int, count: int, noise: int) -> int:
        """The word of the parameter stream; `noise` stands where the sequencer has nothing to look at."""
        fields = (
            (0, 8, 0xD5),
            (8, 1, self.token_mixing),
            (9, 1, self.affine),
            (10, 1, self.add),
            (11, 1, self.res),
            (12, 1, self.pool),
            (13, 1, number == 0),
            (14, 1, number == count - 1),
            (16, 2, self.next),
            (18, 2, self.rule),
            (20, 4, self.points_log2),
            (24, 4, self.pool_shift),
            (32, 16, self.tokens),
            (48, 16, self.in_groups),
            (64, 16, self.groups),
            (80, 32, noise),
            (112, 16, number),
        )
        assert all(0 <= value < 1 << width for _, width, value in fields)
        return sum(int(value) << at for at, _, value in fields)


@dataclass(frozen=True)
class Feed:
    """One feed cycle; address None where zeros are fed."""

    address: int | None
    weight: int


@dataclass(frozen=True)
class Tile:
    """A tile: its feeds, its tag, and what must be there before it starts."""

    image: int
    layer: int
    new_layer: bool
    first_layer: bool
    last_layer: bool
    release: bool
    bank: int
    chunks_needed: int
    groups_needed: int
    image_words_needed: int
    tiles_needed: int
    feeds: tuple[Feed, ...]
    tag: dict[str, int]


def all_tiles(
    layers: list[Layer], images: int, keep: bool, rings: dict[str, int], counts_from: int = 0
) -> Iterator[Tile]:
    """Every tile of a run, in order. `counts_from`: what the indices of chunks and groups begin with."""
    chunk = group = weights = tables = 0
    tiles_done = 0  # in all layers before this one
    layers_done = 0
    for image in range(images):
        if keep:
            chunk = group = weights = tables = 0
        # By (token, group) of the layer before: tiles up to the one that wrote it.
        written: dict[tuple[int, int], int] = {}
        for number, layer in enumerate(layers):
            words = SIZE * layer.blocks
            bank = layers_done % 2
            writes: dict[tuple[int, int], int] = {}
            for g in range(layer.groups):
                for i in range(layer.token_groups):
                    last_i, last_g = i == layer.token_groups - 1, g == layer.groups - 1
                    its_chunk = i if layer.token_mixing else g
                    reads = [
                        (SIZE * b + k, g) if layer.token_mixing else (SIZE * i + k, b)
                        for b in range(layer.blocks)
                        for k in range(SIZE)
                    ]
                    feeds = [
                        Feed(
                            token * layer.in_groups + column if token < layer.tokens else None,
                            (weights + its_chunk * words + step) % rings["WEIGHT_WORDS"],
                        )
                        for step, (token, column) in enumerate(reads)
                    ]
                    real = [(token, column) for token, column in reads if token < layer.tokens]
                    first, last = number == 0, number == len(layers) - 1
                    whole = layer.tokens * layer.in_groups
                    position = g * layer.token_groups + i
                    frees_chunk = not keep and (last_g if layer.token_mixing else last_i)
                    frees_group = not keep and last_i
                    yield Tile(
                        image=image,
                        layer=number,
                        new_layer=position == 0,
                        first_layer=first,
                        last_layer=last,
                        release=first and last_i and last_g,
                        bank=bank,
                        chunks_needed=chunk + its_chunk + 1,
                        groups_needed=group + g + 1,
                        image_words_needed=0
                        if not first
                        else whole
                        if layer.token_mixing
                        else max(token * layer.in_groups + column + 1 for token, column in real),
                        tiles_needed=0 if first else max(written[read] for read in real),
                        feeds=tuple(feeds),
                        tag={
                            "token_mixing": layer.token_mixing,
                            "affine": layer.affine,
                            "add": layer.add,
                            "res": layer.res,
                            "pool": layer.pool,
                            "last_layer": last,
                            "next": layer.next,
                            "rule": layer.rule,
                            "points_log2": layer.points_log2,
                            "table_base": (tables + g * layer.table_words) % rings["TABLE_WORDS"],
                            "pool_shift": layer.pool_shift,
                            "tokens": layer.tokens,
                            "token_base": SIZE * i,
                            "first_tokens": i == 0,
                            "last_tokens": last_i,
                            "group": g,
                            "groups": layer.groups,
                            "address": SIZE * i * layer.groups + g,
                            "chunk": (counts_from + chunk + its_chunk) % rings["CHUNKS"],
                            "constants": (counts_from + group + g) % rings["CONSTANT_GROUPS"],
                            "bank": 1 - bank,
                            "free_chunk": frees_chunk,
                            "free_weight_words": words if frees_chunk else 0,
                            "free_group": frees_group,
                            "free_table_words": layer.table_words if frees_group else 0,
                        },
                    )
                    if layer.pool:
                        # The pool's word is whole once the last tokens are in; all of the layer is waited for.
                        writes[0, g] = tiles_done + layer.tiles
                    else:
                        for token in range(SIZE * i, min(SIZE * (i + 1), layer.tokens)):
                            writes[token, g] = tiles_done + position + 1
            tiles_done += layer.tiles
            layers_done += 1
            chunk += layer.chunks
            group += layer.groups
            weights += layer.chunks * words
            tables += layer.groups * layer.table_words
            written = writes


@dataclass(frozen=True)
class Pace:
    """How fast everything else is. Shares are the cycles in which something happens; see `Run`."""

    layers: float = 1.0
    chunks: float = 1.0
    groups: float = 1.0
    image: float = 1.0
    room: float = 1.0
    tiles: float = 1.0
    pipeline: int = PIPELINE
    jitter: int = 0


class Run:
    """Everything around the sequencer in one run, and the checks of every cycle.

    Tests may set `withheld`: names of what stands still for the time being. `counts_from`: value of the counters of
    chunks, groups and tiles before the first one; the sequencer's own are set to it, so that they wrap early.
    """

    def __init__(
        self, dut, layers: list[Layer], images: int, keep: bool, pace: Pace, name: str, counts_from: int = 0
    ) -> None:
        self.dut = dut
        self.pins = Pins(dut)
        self.layers, self.images, self.keep, self.pace = layers, images, keep, pace
        self.rng = generator(f"simd_sequencer {name}")
        self.rings = {ring: getattr(dut, ring).value.to_signed() for ring in RINGS}
        self.tiles = list(all_tiles(layers, images, keep, self.rings, counts_from))
        copies = 1 if keep else images
        self.descriptors = [
            layer.descriptor(number, len(layers), int(self.rng.integers(1 << 32)))
            for _ in range(copies)
            for number, layer in enumerate(layers)
        ]
        self.total_chunks = copies * sum(layer.chunks for layer in layers)
        self.total_groups = copies * sum(layer.groups for layer in layers)
        self.image_words = layers[0].tokens * layers[0].in_groups
        self.withheld: set[str] = set()
        self.counts_from = counts_from
        self.cycle = 0
        # The other side.
        self.offered = False
        self.accepted = 0
        self.chunks = self.groups = self.words = 0
        self.image = 0
        self.releases: list[int] = []
        self.due: list[int] = []
        self.written = 0
        self.room = False
        # What the inputs were, cycle by cycle: chunks, groups, words of an image, tiles, room.
        self.history: list[tuple[int, int, tuple[int, int], int, bool]] = []
        # The sequencer, as it must be.
        self.next = 0
        self.step = 0
        self.feeding: Tile | None = None
        self.fetched = 0
        self.fetch_cycle: int | None = None
        self.may_fetch = 0
        self.accept_cycles: list[int] = []
        self.starts: list[int] = []
        self.waits: list[int] = []
        self.feeds = 0

    async def reset(self) -> None:
        """Begin with a reset."""
        dut, pins = self.dut, self.pins
        await FallingEdge(dut.clk)
        pins.rst = 1
        pins.keep, pins.image_count = int(self.keep), self.images
        pins.layer_valid, pins.result_ready = 0, 0
        for counter in ("chunks_loaded", "groups_loaded", "tiles_written"):
            setattr(pins, counter, self.counts_from)
        pins.image_words_loaded = 0
        await FallingEdge(dut.clk)
        await FallingEdge(dut.clk)
        await ReadOnly()
        assert known(dut.feed_valid) == known(dut.tile_valid) == known(dut.image_release) == known(dut.layer_ready) == 0
        self.history = [self._inputs()] * 2

    def _inputs(self) -> tuple[int, int, tuple[int, int], int, bool]:
        return self.chunks, self.groups, (self.image, self.words), self.written, self.room

    def _comes(self, name: str, share: float) -> bool:
        return name not in self.withheld and bool(self.rng.random() < share)

    def drive(self) -> None:
        """Set the inputs of this cycle."""
        pins, pace = self.pins, self.pace
        if not self.offered and self.accepted < len(self.descriptors) and self._comes("layers", pace.layers):
            self.offered = True
        pins.layer_valid = int(self.offered)
        pins.layer_data = self.descriptors[self.accepted] if self.offered else int(self.rng.integers(1 << 62))
        if self.chunks < self.total_chunks and self._comes("chunks", pace.chunks):
            self.chunks += 1
        if self.groups < self.total_groups and self._comes("groups", pace.groups):
            self.groups += 1
        if self.releases and self.cycle >= self.releases[0]:
            self.releases.pop(0)
            self.image, self.words = self.image + 1, 0
        if self.words < self.image_words and self.image < self.images and self._comes("image", pace.image):
            self.words = min(self.image_words, self.words + int(self.rng.integers(1, 1 + self.image_words)))
        if self.due and self.cycle >= self.due[0] and self._comes("tiles", pace.tiles):
            self.due.pop(0)
            self.written += 1
        self.room = self._comes("room", pace.room)
        pins.chunks_loaded = (self.counts_from + self.chunks) % WRAP
        pins.groups_loaded = (self.counts_from + self.groups) % WRAP
        pins.tiles_written = (self.counts_from + self.written) % WRAP
        pins.image_words_loaded = self.words
        pins.result_ready = int(self.room)
        self.history.append(self._inputs())

    def expected_wait(self) -> int:
        """Why nothing is fed in this cycle, IDLE if something must be: a new tile, or nothing is left."""
        if self.next == len(self.tiles):
            return IDLE
        tile = self.tiles[self.next]
        # A descriptor is worked on for four cycles before its first tile can be on offer.
        if tile.new_layer and (self.fetch_cycle is None or self.cycle < self.fetch_cycle + 5):
            return PARAMETERS
        chunks, groups, (image, words), _, room = self.history[-3]
        written = self.history[-2][3]
        if chunks < tile.chunks_needed or groups < tile.groups_needed:
            return PARAMETERS
        if tile.first_layer and (image, words) < (tile.image, tile.image_words_needed):
            return IMAGE
        if written < tile.tiles_needed:
            return RESULTS
        if tile.last_layer and not room:
            return ROOM
        return IDLE

    def track_descriptors(self) -> None:
        """When the next layer's descriptor is taken out of the queue."""
        if self.fetch_cycle is None and self.next < len(self.tiles) and self.tiles[self.next].new_layer:
            position = self.fetched % len(self.descriptors) if self.keep else self.fetched
            stored = sum(cycle < self.cycle for cycle in self.accept_cycles)
            if self.cycle >= self.may_fetch and position < stored:
                self.fetch_cycle = self.cycle
                self.fetched += 1

    async def cycles(self, count: int) -> None:
        """Run some cycles and check each."""
        dut = self.dut
        for _ in range(count):
            await FallingEdge(dut.clk)
            self.pins.rst = 0
            if self.cycle == 0 and self.counts_from:
                for counter in ("chunk_reg", "constants_reg", "tile_count_reg"):
                    getattr(dut, counter).value = self.counts_from
            self.drive()
            taken = self.fetched  # as the queue knew it in the cycle before
            self.track_descriptors()
            await ReadOnly()
            ready = known(dut.layer_ready)
            level = len(self.accept_cycles) - (0 if self.keep else taken)
            assert ready == int(self.cycle > 0 and level < self.rings["LAYERS"]), f"cycle {self.cycle}: layer_ready"
            if self.offered and ready:
                self.offered = False
                self.accepted += 1
                self.accept_cycles.append(self.cycle)
            self.check()
            self.cycle += 1

    def check(self) -> None:
        """Compare the outputs of this cycle."""
        dut, at = self.dut, f"cycle {self.cycle}, tile {self.next}"
        wait = IDLE
        if self.feeding is None:
            wait = self.expected_wait()
            if self.cycle > 0 and wait == IDLE and self.next < len(self.tiles):
                self.feeding = self.tiles[self.next]
                self.starts.append(self.cycle)
                self.next += 1
                self.step = 0
                if self.next < len(self.tiles) and self.tiles[self.next].new_layer:
                    self.fetch_cycle = None
                    self.may_fetch = self.cycle
                    self.track_descriptors()
        tile = self.feeding
        expected: dict[str, int | None] = {
            "feed_valid": tile is not None,
            "mon_step": tile is not None,
            "mon_wait": wait if self.cycle > 0 else IDLE,
        }
        if tile is None:
            waiting = self.tiles[self.next].layer if self.next < len(self.tiles) else 0
            expected |= dict.fromkeys(("step_first", "step_last", "tile_valid", "image_release"), 0)
            expected["mon_layer"] = waiting
            self.waits.append(wait)
        else:
            feed, last = tile.feeds[self.step], self.step == len(tile.feeds) - 1
            expected |= {
                "feed_image": tile.first_layer,
                "feed_bank": tile.bank,
                "feed_zero": feed.address is None,
                "feed_transpose": not tile.tag["token_mixing"],
                "step_weight_address": feed.weight,
                "step_first": self.step == 0,
                "step_last": last,
                "step_swap": tile.tag["token_mixing"],
                "tile_valid": last,
                "image_release": last and tile.release,
                "mon_layer": tile.layer,
            }
            if feed.address is not None:
                expected["feed_address"] = feed.address
            if last or self.step == 0:
                expected |= {f"tile_{field}": value for field, value in tile.tag.items()}
        for name, value in expected.items():
            got = known(getattr(dut, name))
            assert got == int(value), f"{at}, step {self.step}: {name} is {got}, expected {int(value)}"
        if tile is not None:
            self.feeds += 1
            self.step += 1
            if self.step == len(tile.feeds):
                self.feeding = None
                late = self.cycle + self.pace.pipeline + int(self.rng.integers(self.pace.jitter + 1))
                self.due.append(max(late, self.due[-1] if self.due else 0))
                if tile.release:
                    self.releases.append(self.cycle + int(self.rng.integers(1, 11)))

    async def finish(self, limit: int = 200_000) -> None:
        """Run until everything has been fed, and a while longer."""
        while (self.next < len(self.tiles) or self.feeding) and self.cycle < limit:
            await self.cycles(1)
        assert self.next == len(self.tiles), f"tile {self.next} of {len(self.tiles)} has not started"
        await self.cycles(40)
        assert self.feeds == sum(len(tile.feeds) for tile in self.tiles)


RINGS = ("WEIGHT_WORDS", "TABLE_WORDS", "CONSTANT_GROUPS", "CHUNKS", "LAYERS")


async def clocked(dut) -> None:
    """Start the clock."""
    await Timer(1, "ns")
    start_clock(dut)


def resmlp(tokens: int, values: int, channels: int, hidden: int, blocks: int, classes: int, psa: bool) -> list[Layer]:
    """The layers of a ResMLP, sizes in groups of 16 but for the tokens."""
    table = {"next": NEXT_TABLE, "rule": ENDPOINT, "points_log2": 4}
    layers = [Layer(tokens, values, channels, res=True, next=NEXT_AFFINE)]
    for block in range(blocks):
        last = block == blocks - 1
        mixer = Layer(tokens, channels, channels, token_mixing=True, affine=True, add=True, res=True)
        up, down = Layer(tokens, channels, hidden, next=NEXT_RELU), Layer(tokens, hidden, channels, add=True)
        layers += [replace(mixer, **table), replace(up, **table)] if psa else [mixer, up]
        layers.append(replace(down, pool=True) if last else replace(down, res=True, next=NEXT_AFFINE))
    return [*layers, Layer(1, channels, classes)]


def random_layers(rng: np.random.Generator, count: int) -> list[Layer]:
    """A chain of layers with anything switched on, with a pool where the tokens are a power of two."""
    tokens = int(rng.choice([1, 2, 5, 15, 16, 17, 32, 33, 40, 64]))
    poolable = tokens > 1 and tokens & (tokens - 1) == 0
    at = int(rng.integers(1, count - 1)) if poolable else None
    groups = int(rng.integers(1, 4))
    layers = []
    for number in range(count):
        mixes = 0 < number < count - 1 and bool(rng.random() < 0.4)
        outputs = groups if mixes else int(rng.integers(1, 4))
        pool = number == at
        following = NEXT_NONE if pool or number == count - 1 else int(rng.integers(4))
        layers.append(
            Layer(
                tokens,
                groups,
                outputs,
                token_mixing=mixes,
                affine=bool(rng.integers(2)),
                add=bool(rng.integers(2)),
                res=bool(rng.integers(2)),
                pool=pool,
                next=following,
                rule=int(rng.integers(3)) if following == NEXT_TABLE else CLAMP,
                points_log2=int(rng.integers(2, 6)) if following == NEXT_TABLE else 0,
            )
        )
        groups = outputs
        if pool:
            tokens = 1
    return layers


@cocotb.test()
@cocotb.parametrize(kind=[(False, True), (True, False)])
async def loses_no_cycle(dut, kind):
    """64 tokens, parameters and images at hand: the slots of all layers follow each other to the pool, exactly."""
    await clocked(dut)
    psa, keep = kind
    layers = resmlp(tokens=64, values=2, channels=3, hidden=3, blocks=1, classes=1, psa=psa)
    run = Run(dut, layers, 2, keep, Pace(), f"flow {psa} {keep}")
    await run.reset()
    # The whole first image and all parameters are there; of descriptors as many as the queue takes.
    run.chunks, run.groups, run.words = run.total_chunks, run.total_groups, run.image_words
    await run.finish()
    # Slots: token groups (4), times output groups, times blocks of the sum.
    embed, mixer, up, down, classifier = 4 * 3 * 2, 4 * 3 * 4, 4 * 3 * 3, 4 * 3 * 3, 1 * 1 * 3
    slots = embed + mixer + up + down + classifier
    assert run.feeds == 2 * slots * SIZE
    # The classifier alone waits, for the pool: the last of its words is counted PIPELINE cycles after the last feed.
    lost = run.starts[-1] + 3 * SIZE - run.starts[0] - run.feeds
    assert lost == 2 * PIPELINE
    assert run.waits[-40 - lost : -40].count(RESULTS) >= PIPELINE


@cocotb.test()
async def starts_in_the_cycle_after_the_results(dut):
    """One token group: every layer waits for the one before, and for not one cycle more than that takes."""
    await clocked(dut)
    layers = resmlp(tokens=16, values=1, channels=1, hidden=2, blocks=1, classes=2, psa=True)
    run = Run(dut, layers, 3, False, Pace(), "one token group")
    await run.reset()
    run.chunks, run.groups, run.words = run.total_chunks, run.total_groups, run.image_words
    await run.finish()
    # embed 1 slot | mixer 1 | linear_1 2 tiles of 1 | linear_2 1 tile of 2 | classifier 2 tiles of 1; four waits.
    image = (1 + 1 + 2 + 2 + 2) * SIZE + 4 * PIPELINE
    assert run.starts[-1] + SIZE - run.starts[0] == 3 * image


@cocotb.test()
@cocotb.parametrize(number=list(range(6)), keep=[False, True])
async def feeds_random_layers_in_random_time(dut, number, keep):
    """Any chain of layers, with everything as early or as late as it likes: every field of every cycle."""
    await clocked(dut)
    rng = generator(f"simd_sequencer random {number} {keep}")
    limit = dut.LAYERS.value.to_signed()
    for attempt in range(2):
        layers = random_layers(rng, min(limit, int(rng.integers(3, 7))) if keep or attempt else int(rng.integers(3, 9)))
        shares = rng.choice([1.0, 0.3, 0.1, 0.03], 4).tolist()
        room = float(rng.choice([1.0, 0.5, 0.05]))
        tiles = float(rng.choice([1.0, 0.1, 0.02]))
        pace = Pace(*shares, room, tiles, int(rng.integers(1, 60)), int(rng.choice([0, 3, 30])))
        run = Run(dut, layers, int(rng.integers(1, 4)), keep, pace, f"random {number} {keep} {attempt}")
        await run.reset()
        await run.finish()


@cocotb.test()
@cocotb.parametrize(name=["layers", "chunks", "groups", "image", "tiles", "room"])
async def waits_for_each_thing_alone(dut, name):
    """Where one thing is missing the feed stands still, says why, and goes on at once when it comes."""
    await clocked(dut)
    reason = {"image": IMAGE, "tiles": RESULTS, "room": ROOM}.get(name, PARAMETERS)
    layers = [
        Layer(32, 2, 2, res=True),
        Layer(32, 2, 2, token_mixing=True, affine=True),
        Layer(32, 2, 2, pool=True),
        Layer(1, 2, 1),
    ]
    run = Run(dut, layers, 2, False, Pace(pipeline=8), f"alone {name}")
    await run.reset()
    held = 0
    while run.next < len(run.tiles) and run.cycle < 20_000:
        run.withheld = {name}
        before = len(run.waits)
        await run.cycles(150)
        held += run.waits[before:].count(reason)
        # Let it come for a moment.
        run.withheld = set()
        await run.cycles(3)
    await run.finish()
    assert held >= 50
    # Nothing else was ever waited for, but for what takes its time anyway.
    assert set(run.waits[12:]) <= {IDLE, reason, RESULTS}


@cocotb.test()
@cocotb.parametrize(tokens=[1, 5, 15, 16, 17, 40, 47])
async def feeds_zeros_beyond_the_tokens(dut, tokens):
    """Where the tokens are no multiple of 16 the rest of the last group is fed as zeros, in both kinds of layer."""
    await clocked(dut)
    layers = [Layer(tokens, 2, 2), Layer(tokens, 2, 2, token_mixing=True), Layer(tokens, 2, 3), Layer(tokens, 3, 1)]
    # Results come so slowly that every tile waits for its own.
    run = Run(dut, layers, 2, False, Pace(tiles=0.03), f"zeros {tokens}")
    await run.reset()
    await run.finish()
    zeros = sum(feed.address is None for tile in run.tiles for feed in tile.feeds)
    assert (zeros == 0) == (tokens % SIZE == 0)


@cocotb.test()
@cocotb.parametrize(start=[WRAP - 1, WRAP - 7, WRAP - 17])
async def counts_modulo_2_to_16(dut, start):
    """The counters of chunks, groups and tiles wrap, and nothing starts early or hangs for it."""
    await clocked(dut)
    layers = resmlp(tokens=32, values=1, channels=2, hidden=2, blocks=1, classes=2, psa=True)
    pace = Pace(chunks=0.02, groups=0.02, jitter=40)
    run = Run(dut, layers, 2, False, pace, f"wrap {start}", counts_from=start)
    await run.reset()
    await run.finish()
    assert run.counts_from + run.chunks > WRAP
    assert run.counts_from + run.groups > WRAP
    assert run.counts_from + len(run.tiles) > WRAP


@cocotb.test()
@cocotb.parametrize(keep=[False, True])
async def starts_afresh_after_a_reset(dut, keep):
    """A reset at any time, and the next run is as the first one."""
    await clocked(dut)
    layers = resmlp(tokens=16, values=1, channels=2, hidden=1, blocks=1, classes=1, psa=True)
    for number, cycles in enumerate((0, 1, 7, 20, 33, 150, 300, 420)):
        broken = Run(dut, layers, 3, keep, Pace(pipeline=20), f"broken {keep} {number}")
        await broken.reset()
        await broken.cycles(cycles)
    run = Run(dut, layers, 2, keep, Pace(pipeline=20), f"after {keep}")
    await run.reset()
    await run.finish()


@cocotb.test()
async def does_nothing_without_images(dut):
    """With an image count of 0 nothing is fed, and nothing is waited for."""
    await clocked(dut)
    run = Run(dut, resmlp(16, 1, 1, 1, 1, 1, False), 0, False, Pace(), "none")
    run.descriptors = [layer.descriptor(number, 5, 0) for number, layer in enumerate(run.layers)]
    await run.reset()
    await run.cycles(200)
    assert run.feeds == 0
    assert len(run.accept_cycles) == min(5, run.rings["LAYERS"])


@cocotb.test()
async def keeps_as_many_layers_as_it_says(dut):
    """With keep, exactly LAYERS descriptors are kept, and replayed for every image."""
    await clocked(dut)
    count = dut.LAYERS.value.to_signed()
    layers = [Layer(1, 1, 1, add=bool(number % 3)) for number in range(count)]
    run = Run(dut, layers, 3, True, Pace(pipeline=2), "kept")
    await run.reset()
    await run.finish()
    assert run.fetched == 3 * count


@pytest.mark.parametrize(
    "rings",
    [
        {"WEIGHT_WORDS": 256, "TABLE_WORDS": 128, "CONSTANT_GROUPS": 8, "CHUNKS": 4, "LAYERS": 16},
        pytest.param(
            {"WEIGHT_WORDS": 64, "TABLE_WORDS": 64, "CONSTANT_GROUPS": 1, "CHUNKS": 1, "LAYERS": 8},
            marks=pytest.mark.thorough,
        ),
    ],
    ids=["small", "least"],
)
def test_simd_sequencer(rings: dict[str, int], tmp_path: Path) -> None:
    """simd_sequencer.v feeds every tile in its cycle."""
    simulate(__name__, "simd_sequencer", tmp_path, rings)
