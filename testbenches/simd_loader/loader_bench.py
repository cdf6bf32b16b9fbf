"""The loader between a sender of words and a core that frees what it was given."""

from bisect import bisect_right
from collections import deque
from dataclasses import replace

import numpy as np
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from testbenches.common.pins import Pins, start_clock
from testbenches.common.stalls import Stall, flowing
from testbenches.common.stream import known
from testbenches.simd_loader.parameter_stream import SIZES, Layer, Stream, Write

BAD_DESCRIPTOR, DOES_NOT_FIT, PARAMETERS_END = 3, 4, 5


class Bench:
    """The loader with a sender of words before it and a core behind it that frees what it was given."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.pins = Pins(dut)
        self.sizes = {name: getattr(dut, name).value.to_unsigned() for name in SIZES}
        self.clear()

    @classmethod
    async def started(cls, dut) -> "Bench":
        """A bench whose clock runs and whose module has been reset."""
        bench = cls(dut)
        for pin in ("keep", "word_valid", "layer_ready", "free_chunk", "free_group", "word_data"):
            setattr(bench.pins, pin, 0)
        for pin in ("param_words", "image_words", "result_words", "free_weight_words", "free_table_words"):
            setattr(bench.pins, pin, 0)
        await Timer(1, "ns")
        start_clock(dut)
        await bench.reset()
        return bench

    def clear(self) -> None:
        """Forget what went on."""
        self.cycle = 0
        self.words: deque[int] = deque()
        self.writes: list[Write] = []
        self.write_cycles: list[int] = []
        self.taken_cycles: list[int] = []
        self.layers: list[int] = []
        self.layer_cycles: list[int] = []
        self.errors: list[tuple[int, int, int]] = []
        self.freed_chunks = self.freed_groups = 0
        self.stream: Stream | None = None
        self.sender: Stall = flowing()
        self.core: Stall = flowing()
        self.layer_stall: Stall = flowing()
        self.showing = False
        self.refusing = False
        """Whether a layer that will be refused has begun: what it does is of no consequence."""

    async def reset(self, cycles: int = 2) -> None:
        """Hold rst for some cycles; what is written or shown meanwhile is an error."""
        await FallingEdge(self.dut.clk)
        self.pins.rst = 1
        self.pins.word_valid = 0
        self.pins.layer_ready = 0
        self.pins.free_chunk = 0
        self.pins.free_group = 0
        for _ in range(cycles):
            await FallingEdge(self.dut.clk)
            await ReadOnly()
            for pin in ("weight_write", "bias_write", "shift_write", "constant_write", "table_write", "layer_valid"):
                assert known(getattr(self.dut, pin)) == 0, pin
            assert known(self.dut.error_valid) == 0
        await FallingEdge(self.dut.clk)
        self.clear()

    async def begin(
        self, stream: Stream, passes: int = 1, keep: bool = False, words: int | None = None, **config: int
    ) -> None:
        """Reset with the configuration that goes with a stream, and offer all its words. The reset ends here."""
        self.pins.keep = int(keep)
        self.pins.param_words = len(stream.words) if words is None else words
        first, last = stream.layers[0], stream.layers[-1]
        self.pins.image_words = config.get("image_words", first.tokens * first.in_groups)
        self.pins.result_words = config.get("result_words", last.groups)
        await self.reset()
        self.frees = not keep
        self.stream = stream
        self.uses = {kind: np.cumsum([write.kind == kind for write in stream.writes]) for kind in ("weight", "table")}
        self.words.extend(stream.words * passes)
        self.pins.rst = 0

    async def step(self) -> None:
        """One cycle."""
        dut, pins, stream = self.dut, self.pins, self.stream
        assert stream is not None
        if not self.showing and self.words and not next(self.sender):
            self.showing = True
            pins.word_data = self.words[0]
        pins.word_valid = int(self.showing)
        pins.layer_ready = int(not next(self.layer_stall))
        # What has been counted as loaded may be freed; a chunk of tokens only behind its layer's last group.
        chunks, groups = known(dut.chunks_loaded), known(dut.groups_loaded)
        free_chunk = free_group = False
        if self.frees and not next(self.core):
            if self.freed_chunks < chunks and stream.last_groups[self.freed_chunks] < groups:
                free_chunk = True
                pins.free_weight_words = stream.chunk_weights[self.freed_chunks]
            if self.freed_groups < groups:
                free_group = True
                pins.free_table_words = stream.group_tables[self.freed_groups]
        pins.free_chunk = int(free_chunk)
        pins.free_group = int(free_group)
        await ReadOnly()
        if not self.refusing:
            self.look_at_counts(chunks, groups)
            self.look_at_writes()
        if known(dut.layer_valid) and known(dut.layer_ready):
            self.layers.append(known(dut.layer_data))
            self.layer_cycles.append(self.cycle)
        if known(dut.error_valid):
            self.errors.append((self.cycle, known(dut.error_code), known(dut.error_layer)))
        taken = self.showing and known(dut.word_ready)
        await FallingEdge(dut.clk)
        self.cycle += 1
        self.freed_chunks += free_chunk
        self.freed_groups += free_group
        if taken:
            self.words.popleft()
            self.taken_cycles.append(self.cycle - 1)
            self.showing = False

    @staticmethod
    def count(ends: list[int], shown: int) -> int:
        """How many ends lie within the writes shown."""
        return bisect_right(ends, shown)

    def look_at_counts(self, chunks: int, groups: int) -> None:
        """Chunks and groups are counted in the cycle after the one in which the last word's write was shown."""
        stream = self.stream
        assert stream is not None
        shown = len(self.writes)
        assert chunks == self.count(stream.chunks, shown), f"{chunks} chunks after {shown} writes"
        # A group without words ends without a write, one a cycle at the earliest.
        assert groups <= self.count(stream.groups, shown), f"{groups} groups after {shown} writes"
        if shown < len(stream.writes):
            assert groups >= self.count(stream.groups, shown - 1), f"{groups} groups after {shown} writes"

    def look_at_writes(self) -> None:
        """Record a write; it must not meet a place in use."""
        dut, stream = self.dut, self.stream
        assert stream is not None
        for kind, pin, place in (
            ("weight", dut.weight_write, dut.weight_write_address),
            ("bias", dut.bias_write, dut.chunk_write_address),
            ("shift", dut.shift_write, dut.chunk_write_address),
            ("constant", dut.constant_write, dut.constant_write_address),
            ("table", dut.table_write, dut.table_write_address),
        ):
            if bits := known(pin):
                name = f"{kind} {bits}" if kind == "constant" else kind
                self.writes.append(Write(name, known(place), known(dut.parameter_data)))
                self.write_cycles.append(self.cycle)
        if self.writes:
            at = len(self.writes) - 1
            weights = int(self.uses["weight"][at]) - sum(stream.chunk_weights[: self.freed_chunks])
            tables = int(self.uses["table"][at]) - sum(stream.group_tables[: self.freed_groups])
            assert weights <= self.sizes["WEIGHT_WORDS"], "a weight in use was overwritten"
            assert tables <= self.sizes["TABLE_WORDS"], "a table in use was overwritten"
            if self.writes[-1].kind in ("bias", "shift"):
                assert self.count(stream.chunks, at) - self.freed_chunks < self.sizes["CHUNKS"], "a chunk in use"
            if self.writes[-1].kind.startswith("constant"):
                assert self.count(stream.groups, at) - self.freed_groups < self.sizes["CONSTANT_GROUPS"]

    async def finish(self, limit: int = 20000) -> None:
        """Run until everything has come; it must be what was to come, and no error."""
        stream = self.stream
        assert stream is not None
        for _ in range(limit):
            if len(self.writes) >= len(stream.writes) and len(self.layers) >= len(stream.descriptors):
                break
            assert not self.errors, f"error {self.errors}"
            await self.step()
        for _ in range(30):
            await self.step()
        for index, (got, expected) in enumerate(zip(self.writes, stream.writes, strict=False)):
            assert got == expected, f"write {index}"
        assert len(self.writes) == len(stream.writes)
        assert self.layers == stream.descriptors
        assert not self.errors
        assert known(self.dut.chunks_loaded) == len(stream.chunks)
        assert known(self.dut.groups_loaded) == len(stream.groups)

    async def refused(self, code: int, layer: int, place: int, limit: int = 4000) -> None:
        """Run until an error: this one, three cycles after word `place` was taken, and its layer is never shown."""
        for _ in range(limit):
            if self.errors:
                break
            self.refusing = len(self.taken_cycles) > place
            await self.step()
        assert self.errors, "no error"
        cycle, got, at = self.errors[0]
        assert (got, at) == (code, layer)
        assert cycle == self.taken_cycles[place] + 3
        for _ in range(5):
            await self.step()
        assert len(self.layers) <= layer

    async def unfit(self, layer: int) -> list[str]:
        """Run until the error that a layer does not fit, with keep; returns the kinds of all writes before."""
        for _ in range(2000):
            if self.errors:
                break
            await self.step()
        assert self.errors, "no error"
        assert self.errors[0][1:] == (DOES_NOT_FIT, layer)
        return [write.kind for write in self.writes]


async def check_limit(bench: Bench, fits: list[Layer], beyond: list[Layer], rng: np.random.Generator) -> None:
    """The last of some layers fits; the last of some others is refused as it is taken."""
    for layers, refused in ((fits, False), (beyond, True)):
        whole = [replace(layer, number=n, first=int(n == 0)) for n, layer in enumerate(layers)]
        number = len(layers) - 1
        stream = Stream(whole, rng, bench.sizes, begun=20)
        await bench.begin(stream, words=sum(1 + layer.following for layer in whole) + 1000)
        if refused:
            await bench.refused(DOES_NOT_FIT, number, stream.places[number])
        else:
            while len(bench.layers) <= number:
                assert not bench.errors, f"error {bench.errors}"
                await bench.step()
