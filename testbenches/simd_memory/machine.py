"""The memory side between a memory, a driver of its registers, and a core that computes nothing.

The core takes layers, gives back places in the rings, releases images and makes results in the order and under the
conditions in which a real one does; what it makes are random words. It records every word that is written to it.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence

import numpy as np
from cocotb.triggers import FallingEdge, ReadOnly, Timer
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from testbenches.common.axi import OKAY, WORD_BYTES, AxiLiteRules, AxiRules
from testbenches.common.axi_memory import Memory
from testbenches.common.pins import Pins, start_clock
from testbenches.common.stalls import Stall, flowing
from testbenches.common.stream import known
from testbenches.simd_loader.parameter_stream import SIZES, Stream, Write

ID, CONTROL, STATUS, ERROR, CYCLES, IMAGES_DONE = 0x00, 0x04, 0x08, 0x0C, 0x40, 0x48
PARAM_ADDR, PARAM_WORDS, IMAGE_COUNT, IMAGE_ADDR, IMAGE_WORDS, IMAGE_STRIDE = 0x10, 0x18, 0x1C, 0x20, 0x28, 0x2C
RESULT_ADDR, RESULT_WORDS, RESULT_STRIDE = 0x30, 0x38, 0x3C
START, STOP, KEEP, IRQ_ENABLE = 1, 2, 4, 8
BUSY, DONE, FAILED = 1, 2, 4
(
    NO_ERROR,
    BAD_ADDRESS,
    BAD_COUNT,
    BAD_DESCRIPTOR,
    DOES_NOT_FIT,
    PARAMETERS_END,
    READ_RESPONSE,
    WRITE_RESPONSE,
    READ_LAST,
    STOPPED,
) = range(10)


class Job:
    """A run: a parameter stream, images, where everything lies, and what is to come of it."""

    def __init__(
        self,
        stream: Stream,
        images: int,
        rng: np.random.Generator,
        keep: bool = False,
        param: int = 0x1_2345_6780,
        image: int = 0x2_0000_0FF0,
        result: int = 0x3_FFFF_FFF0,
        image_gap: int = 2,
        result_gap: int = 3,
    ) -> None:
        """`image_gap`, `result_gap`: words between an image or result and the next."""
        self.stream = stream
        self.images = images
        self.keep = keep
        self.passes = 1 if keep else images
        first, last = stream.layers[0], stream.layers[-1]
        self.image_words = first.tokens * first.in_groups
        self.result_words = last.groups
        self.registers = {
            PARAM_ADDR: param & 0xFFFF_FFFF,
            PARAM_ADDR + 4: param >> 32,
            PARAM_WORDS: len(stream.words),
            IMAGE_COUNT: images,
            IMAGE_ADDR: image & 0xFFFF_FFFF,
            IMAGE_ADDR + 4: image >> 32,
            IMAGE_WORDS: self.image_words,
            IMAGE_STRIDE: WORD_BYTES * (self.image_words + image_gap),
            RESULT_ADDR: result & 0xFFFF_FFFF,
            RESULT_ADDR + 4: result >> 32,
            RESULT_WORDS: self.result_words,
            RESULT_STRIDE: WORD_BYTES * (self.result_words + result_gap),
        }
        self.param = param
        self.image_at = [image + n * self.registers[IMAGE_STRIDE] for n in range(images)]
        self.result_at = [result + n * self.registers[RESULT_STRIDE] for n in range(images)]
        self.image_data = [
            [int.from_bytes(rng.bytes(16), "little") for _ in range(self.image_words)] for _ in range(images)
        ]
        self.results = [
            [int.from_bytes(rng.bytes(16), "little") for _ in range(self.result_words)] for _ in range(images)
        ]

    @property
    def written(self) -> dict[int, int]:
        """What is to lie in memory in the end, by address."""
        return {
            address + WORD_BYTES * k: word
            for address, words in zip(self.result_at, self.results, strict=True)
            for k, word in enumerate(words)
        }


class Machine:
    """The module with everything around it. One run at a time: `play`, or `begin`, `step`s and `end`."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.pins = Pins(dut)
        self.sizes = {name: getattr(dut, name).value.to_unsigned() for name in SIZES}
        self.burst = dut.BURST.value.to_unsigned()
        self.memory = Memory(dut)
        self.rules = AxiRules(dut, burst=self.burst)
        self.lite = AxiLiteRules(dut)
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        self.master.write_if.log.setLevel("ERROR")
        self.master.read_if.log.setLevel("ERROR")
        self.core: Callable[[], Stall] = flowing
        self.cycle = 0
        self.shown: dict[str, list[int]] = {"ar": [], "aw": [], "w": []}
        """By channel, the cycles in which something new was shown."""
        self.job: Job | None = None
        self.watch: Callable[[], None] | None = None
        self.clear()

    @classmethod
    async def started(cls, dut) -> "Machine":
        """A machine whose clock runs and whose module has been reset."""
        dut.rst.value = 0
        await Timer(1, "ns")
        machine = cls(dut)
        for pin in ("layer_ready", "image_release", "free_chunk", "free_group", "result_valid"):
            setattr(machine.pins, pin, 0)
        for pin in ("free_weight_words", "free_table_words", "result_data"):
            setattr(machine.pins, pin, 0)
        # The models must see rst rise, and no clock edge before.
        dut.rst.value = 1
        await Timer(1, "ns")
        start_clock(dut)
        await machine.reset()
        return machine

    async def reset(self, cycles: int = 3) -> None:
        """Hold rst for some cycles."""
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 1
        for _ in range(cycles):
            await self.step()
        self.dut.rst.value = 0
        await self.step()

    # ---- Core ----

    def clear(self) -> None:
        """The core as after core_rst."""
        self.writes: list[Write] = []
        self.write_cycles: list[int] = []
        self.layers: list[int] = []
        self.images: list[list[int]] = [[]]
        self.freed_chunks = self.freed_groups = 0
        self.released = 0
        self.release_cycles: list[int] = []
        self.made: list[int] = []
        self.stalls = {name: self.core() for name in ("layer", "chunk", "group", "release", "result")}

    def drive_core(self) -> None:
        """Set what the core puts out in the coming cycle."""
        dut, pins, job = self.dut, self.pins, self.job
        free_chunk = free_group = release = result = False
        running = job is not None and not known(dut.core_rst)
        go = {name: not next(stall) for name, stall in self.stalls.items()}
        if running:
            stream = job.stream
            # What has been loaded, of the passes that are read.
            chunks, groups = known(dut.chunks_loaded), known(dut.groups_loaded)
            if not job.keep:
                if go["chunk"] and self.freed_chunks < chunks and stream.last_groups[self.freed_chunks] < groups:
                    free_chunk = True
                    pins.free_weight_words = stream.chunk_weights[self.freed_chunks]
                if go["group"] and self.freed_groups < groups:
                    free_group = True
                    pins.free_table_words = stream.group_tables[self.freed_groups]
            n = len(self.made) // job.result_words  # the image that is computed
            per_pass = len(stream.chunks) // job.passes, len(stream.groups) // job.passes
            loaded = min(chunks // per_pass[0], groups // per_pass[1]) >= (1 if job.keep else n + 1)
            if n < job.images and self.released == n:
                release = go["release"] and known(dut.image_words_loaded) == job.image_words
            elif n < job.images and loaded and go["result"] and (known(dut.result_ready) or self.owed):
                # As many as there is said to be room for may come, whatever result_ready says meanwhile.
                self.owed = 3 if known(dut.result_ready) else self.owed - 1
                result = True
                self.made.append(job.results[n][len(self.made) % job.result_words])
                pins.result_data = self.made[-1]
        else:
            self.owed = 0
        pins.layer_ready = int(running and go["layer"])
        pins.free_chunk = int(free_chunk)
        pins.free_group = int(free_group)
        pins.image_release = int(release)
        pins.result_valid = int(result)
        self.freed_chunks += free_chunk
        self.freed_groups += free_group
        self.released += release
        if release:
            self.release_cycles.append(self.cycle)
        self.releasing = release

    def look_at_core(self) -> None:
        """Record what is written to the core, and hold it to what the job says."""
        dut, job = self.dut, self.job
        if known(dut.core_rst):
            for pin in ("weight_write", "bias_write", "shift_write", "constant_write", "table_write", "image_write"):
                assert not self.in_reset or known(getattr(dut, pin)) == 0, f"{pin} in reset"
            assert not self.in_reset or not known(dut.layer_valid)
            self.in_reset = True
            return
        if self.in_reset:
            self.in_reset = False
            self.clear()
            self.running = 0
        self.running += 1
        assert job is not None, "a run without a job"
        stream = job.stream
        shown = len(self.writes)
        chunks, groups = known(dut.chunks_loaded), known(dut.groups_loaded)
        assert chunks == bisect_right(stream.chunks, shown)
        assert groups <= bisect_right(stream.groups, shown)
        assert known(dut.image_words_loaded) == len(self.images[-1]), "image_words_loaded"
        for kind, pin, place in (
            ("weight", dut.weight_write, dut.weight_write_address),
            ("bias", dut.bias_write, dut.chunk_write_address),
            ("shift", dut.shift_write, dut.chunk_write_address),
            ("constant", dut.constant_write, dut.constant_write_address),
            ("table", dut.table_write, dut.table_write_address),
        ):
            if bits := known(pin):
                name = f"{kind} {bits}" if kind == "constant" else kind
                write = Write(name, known(place), known(dut.parameter_data))
                assert write == stream.writes[shown], f"write {shown}"
                self.writes.append(write)
                self.write_cycles.append(self.cycle)
        assert len(self.writes) <= shown + 1
        if known(dut.image_write):
            assert known(dut.image_write_address) == len(self.images[-1])
            expected = job.image_data[len(self.images) - 1][len(self.images[-1])]
            assert known(dut.image_write_data) == expected or not self.images_checked
            self.images[-1].append(known(dut.image_write_data))
        if self.releasing:
            self.images.append([])
        if known(dut.layer_valid) and known(dut.layer_ready):
            self.layers.append(known(dut.layer_data))
            assert self.layers[-1] == stream.descriptors[len(self.layers) - 1]
        assert known(dut.keep) == job.keep
        assert known(dut.image_count) == job.images

    # ---- Cycles ----

    in_reset = True
    running = 0
    """Cycles of the present or the last run."""
    images_checked = True
    """Off where answers come under wrong ids."""
    releasing = False
    owed = 0

    async def step(self, cycles: int = 1) -> None:
        """Run some clock cycles."""
        dut = self.dut
        for _ in range(cycles):
            if known(dut.rst) == 0:
                self.drive_core()
            await ReadOnly()
            was_reset = self.in_reset
            if known(dut.rst) == 0:
                self.look_at_core()
            else:
                self.in_reset = True
            before = {name: self.rules.channels[name] for name in self.shown}
            waited = {name: channel.valid and not channel.fired for name, channel in before.items()}
            self.rules.sample(self.cycle)
            self.lite.sample(self.cycle)
            if known(dut.rst) == 0:
                for name, cycles_shown in self.shown.items():
                    if self.rules.channels[name].valid and not waited[name]:
                        assert not (was_reset and self.in_reset), f"{name} shows something new outside a run"
                        cycles_shown.append(self.cycle)
            else:
                for channel in self.rules.channels.values():
                    channel.valid = channel.fired = False
            if self.watch is not None:
                self.watch()
            await FallingEdge(dut.clk)
            self.cycle += 1

    # ---- Registers ----

    async def access(self, event) -> None:
        """Run until an access of the driver's is over."""
        for _ in range(200):
            if event.is_set():
                return
            await self.step()
        raise AssertionError("a register access has no end")

    async def write(self, offset: int, value: int, expected: int = OKAY) -> None:
        """Write a register; it must answer as expected."""
        event = self.master.init_write(offset, value.to_bytes(4, "little"))
        await self.access(event)
        assert event.data.resp == expected, f"writing 0x{value:x} to 0x{offset:02x} answers {event.data.resp}"

    async def read(self, offset: int, expected: int = OKAY) -> int:
        """Read a register; it must answer as expected."""
        event = self.master.init_read(offset, 4)
        await self.access(event)
        assert event.data.resp == expected, f"reading 0x{offset:02x} answers {event.data.resp}"
        return int.from_bytes(event.data.data, "little")

    # ---- Runs ----

    async def begin(self, job: Job, control: int = 0, store: bool = True) -> None:
        """Put the job into memory and registers, and start it; returns once the start is answered."""
        self.job = job
        contents = [(job.param, job.stream.words), *zip(job.image_at, job.image_data, strict=True)]
        for address, words in contents if store else []:
            self.memory.store(address, b"".join(word.to_bytes(16, "little") for word in words))
        size = WORD_BYTES * job.image_words
        self.rules.reads_allowed = {
            0: [(job.param, job.param + WORD_BYTES * len(job.stream.words))],
            1: [(address, address + size) for address in job.image_at],
        }
        self.rules.writes_allowed = [(address, address + WORD_BYTES * job.result_words) for address in job.result_at]
        self.rules.forget()
        for shown in self.shown.values():
            shown.clear()
        for offset, value in job.registers.items():
            await self.write(offset, value)
        self.running = 0
        await self.write(CONTROL, START | (KEEP if job.keep else 0) | control)

    async def done(self, limit: int = 20000) -> None:
        """Run until core_rst is high and nothing is under way, as told by STATUS."""
        for _ in range(limit // 10):
            if not await self.read(STATUS) & BUSY:
                return
            await self.step(4)
        raise AssertionError(f"still busy after {limit} cycles")

    async def succeeded(self) -> None:
        """The job ended well: everything was read, written and counted as it should be."""
        await self.done()
        job = self.job
        assert job is not None
        assert await self.read(STATUS) == DONE
        assert await self.read(ERROR) == 0
        assert await self.read(IMAGES_DONE) == job.images
        assert await self.read(CYCLES) == self.running
        assert self.writes == job.stream.writes
        assert self.layers == job.stream.descriptors
        assert self.images == [*job.image_data, []]
        assert self.rules.written == job.written
        self.memory_holds(job)
        beats = len(job.stream.words) * (1 if job.keep else job.images), job.image_words * job.images
        assert tuple(sum(beat[1] == n for beat in self.rules.read_beats) for n in (0, 1)) == beats
        self.quiet()

    def memory_holds(self, job: Job) -> None:
        """The results lie where they belong."""
        for address, words in zip(job.result_at, job.results, strict=True):
            expected = b"".join(word.to_bytes(16, "little") for word in words)
            assert self.memory.load(address, len(expected)) == expected

    def quiet(self) -> None:
        """Nothing is under way on the bus."""
        self.rules.assert_quiet()
        self.lite.assert_quiet()
        assert known(self.dut.core_rst)

    async def failed(self, code: int, layer: int = 0) -> None:
        """The job ended, or ends, with this error, and nothing is left under way."""
        await self.done()
        assert await self.read(STATUS) == DONE | FAILED
        assert await self.read(ERROR) == layer << 16 | code, f"expected code {code}, layer {layer}"
        self.quiet()

    async def play(self, job: Job) -> None:
        """A whole run that ends well."""
        await self.begin(job)
        await self.succeeded()


def consecutive(cycles: Sequence[int]) -> bool:
    """Whether cycles follow each other without a gap."""
    return list(cycles) == list(range(cycles[0], cycles[0] + len(cycles)))
