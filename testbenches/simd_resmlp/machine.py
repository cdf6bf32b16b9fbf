"""The SIMD accelerator with memory, registers' master and monitors; what a run of it must do, from the reference."""

import dataclasses
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

import cocotb
import numpy as np
import numpy.typing as npt
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge, Timer
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from fxsim import engines
from fxsim.contract import TableRule
from fxsim.devices.simd.memory_image import Buffers, build_memory_image, pack_images
from fxsim.devices.simd.registers import Control, ErrorCode, Register, Status
from fxsim.families import ResMLPConfig
from fxsim.graph import Model
from fxsim.operators import Linear
from testbenches.common.axi import WORD_BYTES, AxiLiteRules, AxiRules, Range
from testbenches.common.axi_memory import Memory, pause
from testbenches.common.checks import compare
from testbenches.common.pins import start_clock
from testbenches.common.stream import ProtocolError, known

STAGES = ("linear", "affine", "add", "res_affine", "next", "pool")
OKAY, SLVERR = 0, 2
LANES = 16

Case = dict[str, npt.NDArray[Any]]


def groups(count: int) -> int:
    """Groups of 16."""
    return -(-count // LANES)


def in_words(values: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
    """int8 [..., N] as words of 16 lanes, uint8 [..., ceil(N/16), 16], padded with zeros."""
    *shape, count = values.shape
    padded = np.zeros((*shape, groups(count) * LANES), np.uint8)
    padded[..., :count] = values.view(np.uint8)
    return padded.reshape(*shape, groups(count), LANES)


def stage_taps(config: ResMLPConfig) -> dict[str, list[str]]:
    """The taps that each stage shows, in the order of the layers."""
    taps: dict[str, list[str]] = {stage: [] for stage in STAGES}
    taps["linear"].append("embed")
    for i in range(config.blocks):
        mixer, mlp = f"blocks.{i}.token_mixer", f"blocks.{i}.mlp"
        taps["linear"] += [f"{mixer}.linear", f"{mlp}.linear_1", f"{mlp}.linear_2"]
        taps["affine"].append(f"{mixer}.affine_2")
        taps["add"] += [f"{mixer}.add", f"{mlp}.add"]
        taps["res_affine"] += [f"{mixer}.res_affine", f"{mlp}.res_affine"]
        taps["next"].append(f"{mixer}.affine_1")
        taps["next"] += [f"{mlp}.psa_1", f"{mlp}.psa_2"] if config.psa else [f"{mlp}.relu"]
    taps["linear"].append("classifier")
    taps["pool"].append("pool")
    return taps


def steps(config: ResMLPConfig) -> list[int]:
    """Cycles in which each layer feeds the multipliers with an image."""
    tokens, channels, hidden = groups(config.tokens), groups(config.channels), groups(config.hidden)
    block = [channels * tokens * tokens, hidden * tokens * channels, channels * tokens * hidden]
    slots = [channels * tokens * groups(config.values), *block * config.blocks, groups(config.classes) * channels]
    return [LANES * count for count in slots]


def kept(config: ResMLPConfig, buffers: Buffers) -> bool:
    """Whether the rings hold all parameters at once."""
    tokens, values, channels, hidden, classes = map(
        groups, (config.tokens, config.values, config.channels, config.hidden, config.classes)
    )
    points = config.points + 2 * (config.rule is TableRule.ENDPOINT)
    per_block = tokens * tokens + 2 * hidden * channels
    needs = {
        "weight_words": LANES * (channels * values + config.blocks * per_block + classes * channels),
        "table_words": config.blocks * (channels + hidden) * points,
        "constant_groups": channels + config.blocks * (2 * channels + hidden) + classes,
        "chunks": channels + config.blocks * (tokens + hidden + channels) + classes,
        "layers": 2 + 3 * config.blocks,
    }
    return all(need <= getattr(buffers, ring) for ring, need in needs.items())


def program(
    name: str,
    model: Model,
    config: ResMLPConfig,
    x: npt.NDArray[np.int8],
    buffers: Buffers,
    fits: bool = True,
) -> Case:
    """What the cocotb side needs of a model: words to be stored, and what must come of the images `x`.

    `fits` False: a model that is not for an accelerator with these buffers.
    """
    image = build_memory_image(model, buffers if fits else Buffers())
    taps = engines.run(model, x, "all", engine="reference")
    case = {
        "words": image.words,
        "images": pack_images(model, x),
        "results": in_words(taps["classifier"]).reshape(len(x), -1),
        "steps": np.array(steps(config)),
        "keeps": np.array(kept(config, buffers)),
    }
    for stage, names in stage_taps(config).items():
        shown = []
        for tap in names:
            words = in_words(taps[tap])
            if tap.endswith("token_mixer.linear"):
                # Its biases are the tokens', so that lanes without a channel show them; affine_2 makes zeros of those.
                mixer = model.graph.by_name[tap].op
                assert isinstance(mixer, Linear)
                bias = mixer.bias.view(np.uint8)
                words.reshape(*words.shape[:2], -1)[:, :, config.channels :] = bias[:, None]
            # Group by group, in each token by token; what has no tokens has a word a group.
            by_group = words.swapaxes(1, 2) if words.ndim == 4 else words
            shown.append(by_group.reshape(len(x), -1, LANES))
        case[stage] = np.concatenate(shown, 1)
    return {f"{name}:{field}": array for field, array in case.items()}


def ints(words: npt.NDArray[np.uint8]) -> list[int]:
    """Words uint8 [n, 16] as numbers, lane 0 lowest."""
    return [int.from_bytes(word.tobytes(), "little") for word in words]


def as_hex(word: int) -> str:
    """A word for the eye, lane 0 last."""
    return f"{word:032x}"


@dataclasses.dataclass(frozen=True)
class Program:
    """A model in memory, the images that it may be given, and what must come of each."""

    name: str
    words: npt.NDArray[np.uint8]
    images: npt.NDArray[np.uint8]
    results: npt.NDArray[np.uint8]
    steps: list[int]
    keeps: bool
    stages: dict[str, npt.NDArray[np.uint8]]

    @classmethod
    def of(cls, case: Mapping[str, npt.NDArray[Any]], name: str) -> "Program":
        """A model out of a case."""
        fields = ("words", "images", "results", "steps", "keeps")
        words, images, results, of, keeps = (case[f"{name}:{field}"] for field in fields)
        stages = {stage: case[f"{name}:{stage}"] for stage in STAGES}
        return cls(name, words, images, results, of.tolist(), bool(keeps), stages)

    @classmethod
    def all(cls, case: Mapping[str, npt.NDArray[Any]]) -> list["Program"]:
        """Every model of a case."""
        return [cls.of(case, name.removesuffix(":words")) for name in case if name.endswith(":words")]

    @property
    def image_words(self) -> int:
        """Words of an image."""
        return self.images.shape[1] // WORD_BYTES

    @property
    def result_words(self) -> int:
        """Words of a result."""
        return self.results.shape[1] // WORD_BYTES

    def descriptors(self) -> list[int]:
        """Index of each layer's descriptor, found from one to the next."""
        found, at = [], 0
        while at < len(self.words):
            found.append(at)
            at += 1 + int.from_bytes(self.words[at, 10:14].tobytes(), "little")
        return found


@dataclasses.dataclass(frozen=True)
class Job:
    """A run: which images, where everything lies, and registers that are to hold something else than they should."""

    program: Program
    picks: tuple[int, ...] = (0,)
    keep: bool = False
    irq: bool = True
    parameters_at: int = 0x1_0000
    images_at: int = 0x2_0000
    results_at: int = 0x3_0000
    image_gap: int = 0
    result_gap: int = 0
    changed: Mapping[Register, int] = dataclasses.field(default_factory=dict)

    @property
    def image_stride(self) -> int:
        """Bytes from an image to the next."""
        return WORD_BYTES * self.program.image_words + self.image_gap

    @property
    def result_stride(self) -> int:
        """Bytes from a result to the next."""
        return WORD_BYTES * self.program.result_words + self.result_gap

    def registers(self) -> dict[Register, int]:
        """What registers 0x10 to 0x3c are to hold, in order."""
        values = {
            Register.PARAM_ADDR_LO: self.parameters_at & 0xFFFFFFFF,
            Register.PARAM_ADDR_HI: self.parameters_at >> 32,
            Register.PARAM_WORDS: len(self.program.words),
            Register.IMAGE_COUNT: len(self.picks),
            Register.IMAGE_ADDR_LO: self.images_at & 0xFFFFFFFF,
            Register.IMAGE_ADDR_HI: self.images_at >> 32,
            Register.IMAGE_WORDS: self.program.image_words,
            Register.IMAGE_STRIDE: self.image_stride,
            Register.RESULT_ADDR_LO: self.results_at & 0xFFFFFFFF,
            Register.RESULT_ADDR_HI: self.results_at >> 32,
            Register.RESULT_WORDS: self.program.result_words,
            Register.RESULT_STRIDE: self.result_stride,
        }
        return values | dict(self.changed)

    def reads(self) -> dict[int, list[Range]]:
        """By read id, what it may read."""
        values = self.registers()
        size = WORD_BYTES * values[Register.IMAGE_WORDS]
        images = [self.images_at + k * self.image_stride for k in range(len(self.picks))]
        end = self.parameters_at + WORD_BYTES * values[Register.PARAM_WORDS]
        return {0: [(self.parameters_at, end)], 1: [(at, at + size) for at in images]}

    def writes(self) -> list[Range]:
        """What may be written."""
        results = [self.results_at + k * self.result_stride for k in range(len(self.picks))]
        return [(at, at + self.program.results.shape[1]) for at in results]

    @property
    def control(self) -> int:
        """CONTROL without its start bit."""
        return self.keep << Control.KEEP | self.irq << Control.IRQ_ENABLE

    @property
    def limit(self) -> int:
        """Cycles that it may take under the heaviest stalls."""
        words = len(self.program.words) + self.program.image_words + self.program.result_words
        return 3000 + 12 * len(self.picks) * (words + sum(self.program.steps))

    @classmethod
    def anywhere(cls, rng: np.random.Generator, of: Program, address_w: int = 64, **options: Any) -> "Job":
        """A job whose memory lies at random addresses, at page boundaries too, with gaps between images."""
        size = WORD_BYTES * (len(of.words) + 64 * (of.image_words + of.result_words)) + 0x8000
        places = []
        for k in rng.permutation(3):
            upper = int(rng.integers(0, 1 << (address_w - 24))) << 24
            offset = int(rng.choice([0, 0xFF0, 0x10, WORD_BYTES * int(rng.integers(256))]))
            places.append(upper + int(k) * (size & ~0xFFF) + offset)
        gaps = (WORD_BYTES * rng.integers(0, 3, 2)).tolist()
        return cls(of, parameters_at=places[0], images_at=places[1], results_at=places[2],
                   image_gap=gaps[0], result_gap=gaps[1], **options)  # fmt: skip


class Machine:
    """The accelerator with its memory, the master of its registers, and monitors of all its pins."""

    def __init__(self, dut: Any, burst: int) -> None:
        self.dut = dut
        self.memory = Memory(dut)
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        for side in (self.master.write_if, self.master.read_if):
            side.log.setLevel(logging.ERROR)
        self.rules = AxiRules(dut, burst=burst)
        self.registers = AxiLiteRules(dut)
        self.cycle = 0
        self.irq = False
        self.forget()

    @classmethod
    async def started(cls, dut: Any) -> "Machine":
        """An accelerator whose clock runs and which has been reset."""
        await Timer(1, "ns")
        machine = cls(dut, burst=dut.BURST.value.to_unsigned())
        dut.rst.value = 1
        start_clock(dut)
        machine.watch()
        await machine.reset()
        return machine

    def forget(self) -> None:
        """Forget what has been recorded; nothing may be under way."""
        self.rules.forget()
        self.shown: dict[str, list[int]] = {stage: [] for stage in STAGES}
        self.steps: Counter[int] = Counter()
        self.step_cycles: list[int] = []
        self.waits: Counter[int] = Counter()

    def watch(self) -> None:
        """Look at every cycle from now on."""

        async def run() -> None:
            while True:
                await FallingEdge(self.dut.clk)
                await ReadOnly()
                self.sample()

        cocotb.start_soon(run())

    def sample(self) -> None:
        """Look at all outputs, settled before a rising edge; none may be X, data that is not valid excepted."""
        self.cycle += 1
        # In the very first cycle nothing has seen the reset yet.
        before = self.rules.was_reset
        self.rules.sample(self.cycle)
        self.registers.sample(self.cycle)
        if self.rules.was_reset and not before:
            return
        dut = self.dut
        self.irq = known(dut.irq) == 1
        valid, step, wait = known(dut.mon_valid), known(dut.mon_step), known(dut.mon_wait)
        if before:
            high = [name for name, value in (("irq", self.irq), ("mon_valid", valid), ("mon_step", step)) if value]
            assert not high, f"{high} high after a clock edge with rst high"
            for ready in ("s_axil_awready", "s_axil_wready", "s_axil_arready", "m_axi_bready", "m_axi_rready"):
                known(getattr(dut, ready))
            known(dut.mon_layer)
            return
        assert wait <= 4, f"mon_wait is {wait}"
        self.waits[wait] += 1
        if step:
            assert wait == 0, f"mon_wait is {wait} while the multipliers are fed"
            self.steps[known(dut.mon_layer)] += 1
            self.step_cycles.append(self.cycle)
        if valid:
            # Bits as text, highest first: data that is not valid may be X.
            data = str(dut.mon_data.value)
            for s, stage in enumerate(STAGES):
                if valid >> s & 1:
                    word = data[len(data) - 128 * (s + 1) : len(data) - 128 * s]
                    if not set(word) <= {"0", "1"}:
                        raise ProtocolError(f"cycle {self.cycle}: monitor {stage} shows {word}")
                    self.shown[stage].append(int(word, 2))

    async def reset(self, cycles: int = 2) -> None:
        """Hold rst for some cycles, whatever goes on."""
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 1
        for _ in range(cycles):
            await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0
        await FallingEdge(self.dut.clk)
        self.forget()

    async def wait(self, cycles: int) -> None:
        """Let some cycles pass."""
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)

    async def write(self, register: int, value: int, size: int = 4) -> int:
        """Write a register; returns the response."""
        return int((await self.master.write(register, value.to_bytes(size, "little"))).resp)

    async def read(self, register: int) -> int:
        """The value of a register, which must answer OKAY."""
        value, response = await self.read_answer(register)
        assert response == OKAY, f"read of {register:#x} answers {response}"
        return value

    async def read_answer(self, register: int) -> tuple[int, int]:
        """The value of a register, and the response."""
        answer = await self.master.read(register, 4)
        return int.from_bytes(answer.data, "little"), int(answer.resp)

    def pause_registers(self, stall: Any) -> None:
        """Give each channel of the registers' master a stall pattern of its own."""
        write, read = self.master.write_if, self.master.read_if
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
            pause(channel, stall and stall())

    async def start(self, job: Job) -> None:
        """Put a job's data in memory, write all registers, and start."""
        of = job.program
        self.memory.store(job.parameters_at, of.words.tobytes())
        for k, pick in enumerate(job.picks):
            self.memory.store(job.images_at + k * job.image_stride, of.images[pick].tobytes())
        await self.wait(1)
        self.forget()
        self.rules.reads_allowed = job.reads()
        self.rules.writes_allowed = job.writes()
        values = b"".join(value.to_bytes(4, "little") for value in job.registers().values())
        answer = await self.master.write(Register.PARAM_ADDR_LO, values)
        assert answer.resp == OKAY, f"registers answer {answer.resp}"
        self.begun = self.cycle
        assert await self.write(Register.CONTROL, job.control | 1 << Control.START) == OKAY

    async def until_done(self, limit: int) -> None:
        """Wait for the interrupt."""
        for _ in range(limit):
            if self.irq:
                return
            await RisingEdge(self.dut.clk)
        seen = {stage: len(words) for stage, words in self.shown.items()}
        raise AssertionError(
            f"not done after {limit} cycles; layer {known(self.dut.mon_layer)}, waits for {known(self.dut.mon_wait)}, "
            f"fed {dict(self.steps)}, shown {seen}, {len(self.rules.read_beats)} words read, "
            f"{len(self.rules.written)} written"
        )

    async def ended(self, job: Job) -> tuple[int, int]:
        """Wait for the end of a run; returns the error code and its layer. Nothing is under way any more."""
        await self.until_done(job.limit)
        self.rules.assert_quiet()
        status, error = await self.read(Register.STATUS), await self.read(Register.ERROR)
        code, layer = error & 0xFF, error >> 16
        assert status == 1 << Status.DONE | (code != 0) << Status.ERROR, f"status {status:#x} with error {error:#x}"
        return code, layer

    async def finish(self, job: Job) -> None:
        """Wait for a run to end, and hold everything that it did to what the reference says."""
        of, count = job.program, len(job.picks)
        failed = True
        try:
            code, layer = await self.ended(job)
            assert code == 0, f"error {code} ({ErrorCode(code).text}) in layer {layer}"
            failed = False
        finally:
            # A difference says more than the wait or error that it may have led to.
            self.check_stages(job, failed)
        assert self.rules.written == self.expected_writes(job)
        assert sum(burst.beats for burst in self.rules.writes) == count * of.result_words, "a word was written twice"
        parameters = {job.parameters_at + WORD_BYTES * k: 1 if job.keep else count for k in range(len(of.words))}
        images = {
            job.images_at + k * job.image_stride + WORD_BYTES * word: 1
            for k in range(count)
            for word in range(of.image_words)
        }
        for identity, addresses in ((0, parameters), (1, images)):
            read = Counter(address for _, one, address in self.rules.read_beats if one == identity)
            assert read == addresses, f"id {identity} reads {len(read)} words, {read.total()} beats"
        assert self.steps == {n: count * one for n, one in enumerate(of.steps)}
        assert await self.read(Register.IMAGES_DONE) == count
        cycles = await self.read(Register.CYCLES_LO) | await self.read(Register.CYCLES_HI) << 32
        assert self.step_cycles[-1] - self.step_cycles[0] < cycles < self.cycle - self.begun

    def check_stages(self, job: Job, part: bool) -> None:
        """Hold what the monitors have shown to the reference; `part`: as far as it goes."""
        for stage, words in job.program.stages.items():
            expected = [word for pick in job.picks for word in ints(words[pick])]
            shown = self.shown[stage]
            name = f"{job.program.name}, {stage}"
            compare(name, list(map(as_hex, shown)), list(map(as_hex, expected[: len(shown)] if part else expected)))

    def expected_writes(self, job: Job) -> dict[int, int]:
        """The word that belongs at each address."""
        expected: dict[int, int] = {}
        for k, pick in enumerate(job.picks):
            words = ints(job.program.results[pick].reshape(-1, LANES))
            at = job.results_at + k * job.result_stride
            expected |= {at + WORD_BYTES * n: word for n, word in enumerate(words)}
        return expected

    async def run(self, job: Job) -> None:
        """A whole run, from the registers to the last check."""
        await self.start(job)
        await self.finish(job)

    async def fails(self, job: Job) -> tuple[ErrorCode, int]:
        """A run that must end with an error; returns its code and layer."""
        await self.start(job)
        code, layer = await self.ended(job)
        self.check_stages(job, part=True)
        expected = self.expected_writes(job)
        assert self.rules.written.items() <= expected.items(), "a wrong result was written"
        return ErrorCode(code), layer
