"""simd_resmlp.v: registers, interrupt, every error code, stops and resets, each followed by a sound run."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cocotb
import numpy as np

from fxsim.contract import TableRule
from fxsim.devices.simd.memory_image import Buffers
from fxsim.devices.simd.registers import ACCELERATOR_ID, Control, ErrorCode, Register, Status
from fxsim.families import ResMLPConfig
from testbenches.common.axi import DECERR
from testbenches.common.axi_memory import Tamper, pause
from testbenches.common.constants import random_resmlp
from testbenches.common.seeds import generator
from testbenches.common.simulation import load_case, simulate
from testbenches.common.stalls import blocked, random
from testbenches.simd_resmlp.machine import OKAY, SLVERR, Job, Machine, Program, program

BUFFERS = Buffers(
    activation_words=128,
    image_words=64,
    residual_words=64,
    weight_words=128,
    table_words=64,
    constant_groups=16,
    chunks=16,
    layers=4,
    acc_w=22,
    burst=8,
    fifo_words=32,
)

SOUND = ResMLPConfig(2, 3, 3, 2, 1, 18, 4, TableRule.CLAMP)

MISFITS = {
    "image": (ResMLPConfig(32, 40, 1, 1, 1, 1), 0),
    "residual": (ResMLPConfig(32, 1, 33, 1, 1, 1), 0),
    "activations": (ResMLPConfig(32, 1, 2, 65, 1, 1), 2),
    "weights": (ResMLPConfig(64, 1, 1, 1, 1, 1), 1),
    "sums": (ResMLPConfig(2, 1, 65, 1, 1, 1), 2),
    "table": (ResMLPConfig(2, 1, 1, 1, 1, 1, 128, TableRule.CLAMP), 1),
}
"""Models of which one layer is beyond one buffer, and that layer."""

DESCRIPTORS = {
    "magic": (0, 0, 8, 0xD4),
    "no magic": (3, 0, 8, 0),
    "bit 15": (1, 15, 1, 1),
    "bit 28": (2, 28, 4, 1),
    "bit 31": (4, 28, 4, 8),
    "number": (2, 112, 16, 3),
    "number of the first": (0, 112, 16, 1),
    "first missing": (0, 13, 1, 0),
    "first again": (1, 13, 1, 1),
    "last of several tokens": (2, 14, 1, 1),
    "next behind the pool": (3, 16, 2, 2),
    "pool shift": (3, 24, 4, 2),
    "pool shift without pool": (2, 24, 4, 1),
    "two points": (1, 20, 4, 1),
    "512 points": (1, 20, 4, 9),
    "points without a table": (0, 20, 4, 4),
    "edge rule": (1, 18, 2, 3),
    "tokens": (2, 32, 16, 3),
    "no tokens": (0, 32, 16, 0),
    "tokens of the image": (0, 32, 16, 4),
    "input groups": (2, 48, 16, 2),
    # With the words that two groups would have, so that only the layer before speaks against it.
    "input groups and words": (2, 48, 48, 2 | 1 << 16 | (34 + 4) << 32),
    "no result groups": (2, 64, 16, 0),
    "a word more": (1, 80, 1, 1),
    "no words": (4, 80, 32, 0),
    "add in the last": (4, 10, 1, 1),
    "relu in the last": (4, 16, 2, 2),
}
"""Layer, lowest bit, width and value of a field of its descriptor that makes it illegal."""


def sound() -> Program:
    """The model that runs between the errors."""
    return Program.of(load_case(), "sound")


def with_field(of: Program, layer: int, low: int, width: int, value: int) -> Program:
    """A model with one field of one descriptor changed."""
    words = of.words.copy()
    at = of.descriptors()[layer]
    word = int.from_bytes(words[at].tobytes(), "little")
    changed = word & ~((1 << width) - 1 << low) | value << low
    assert changed != word
    words[at] = np.frombuffer(changed.to_bytes(16, "little"), np.uint8)
    return dataclasses.replace(of, words=words)


async def fails(machine: Machine, job: Job, code: ErrorCode, layer: int | None = None) -> None:
    """The job ends with this error, and a sound one behind it comes out right."""
    got, where = await machine.fails(job)
    assert got is code, f"{got!r} in layer {where}, expected {code!r}"
    assert layer is None or where == layer, f"{code!r} in layer {where}, expected {layer}"
    await machine.run(Job(sound()))


@cocotb.test()
async def refuses_illegal_registers(dut):
    """Addresses, strides and counts that make no sense end the run before the first access to the memory."""
    machine = await Machine.started(dut)
    of = sound()
    end = 0xFFFFFFFF
    size = 16 * of.image_words
    cases: list[tuple[ErrorCode, dict[Register, int]]] = [
        *((ErrorCode.BAD_COUNT, {register: 0}) for register in (
            Register.IMAGE_COUNT, Register.PARAM_WORDS, Register.IMAGE_WORDS, Register.RESULT_WORDS,
        )),
        (ErrorCode.BAD_ADDRESS, {Register.PARAM_ADDR_LO: 0x10008}),
        (ErrorCode.BAD_ADDRESS, {Register.IMAGE_ADDR_LO: 0x20001}),
        (ErrorCode.BAD_ADDRESS, {Register.RESULT_ADDR_LO: 0x30004}),
        (ErrorCode.BAD_ADDRESS, {Register.IMAGE_STRIDE: size + 8}),
        (ErrorCode.BAD_ADDRESS, {Register.IMAGE_STRIDE: size - 16}),
        (ErrorCode.BAD_ADDRESS, {Register.RESULT_STRIDE: 16 * of.result_words + 1}),
        (ErrorCode.BAD_ADDRESS, {Register.RESULT_STRIDE: 0}),
        (ErrorCode.BAD_ADDRESS, {Register.PARAM_ADDR_LO: end - 15, Register.PARAM_ADDR_HI: end}),
        (ErrorCode.BAD_ADDRESS, {Register.IMAGE_ADDR_LO: end - 15, Register.IMAGE_ADDR_HI: end}),
        (ErrorCode.BAD_ADDRESS, {Register.RESULT_ADDR_LO: end - 15, Register.RESULT_ADDR_HI: end,
                                 Register.RESULT_STRIDE: 16 * of.result_words + 16}),
        (ErrorCode.BAD_ADDRESS, {Register.PARAM_ADDR_HI: end, Register.PARAM_WORDS: end}),
    ]  # fmt: skip
    await machine.run(Job(of))
    for code, changed in cases:
        got, _ = await machine.fails(Job(of, (0, 1), changed=changed))
        assert got is code, f"{got!r} with {changed}, expected {code!r}"
        assert not machine.rules.reads
        assert not machine.rules.writes
        assert await machine.read(Register.IMAGES_DONE) == 0
        assert await machine.read(Register.CYCLES_LO) == 0
    # Where only a later image or result is beyond, the first image may be read meanwhile, but no other.
    beyond = {"images_at": (1 << 64) - 2 * size}, {"results_at": (1 << 64) - 32 * of.result_words}
    for place in beyond:
        job = Job(of, (0, 1, 2), **place)
        got, _ = await machine.fails(job)
        assert got is ErrorCode.BAD_ADDRESS
        assert {burst.address - job.images_at for burst in machine.rules.reads if burst.id == 1} <= {0}
        assert not machine.rules.writes
    # The very last words of the address space are legal.
    await machine.run(Job(of, (2, 3), results_at=(1 << 64) - 32 * of.result_words))
    await machine.run(Job(of, (1,), parameters_at=(1 << 64) - 16 * len(of.words)))
    await machine.run(Job(of, (1, 0), images_at=(1 << 64) - 2 * size - 16, image_gap=16))


@cocotb.test()
async def refuses_illegal_descriptors(dut):
    """Fields of a descriptor that are illegal or do not follow from the one before: one in four (simd_loader: all)."""
    machine = await Machine.started(dut)
    for layer, low, width, value in list(DESCRIPTORS.values())[::4]:
        await fails(machine, Job(with_field(sound(), layer, low, width, value)), ErrorCode.BAD_DESCRIPTOR, layer)
    for changed, layer in (({Register.IMAGE_WORDS: 3}, 0), ({Register.RESULT_WORDS: 3}, 4)):
        job = Job(sound(), image_gap=16, result_gap=16, changed=changed)
        await fails(machine, job, ErrorCode.BAD_DESCRIPTOR, layer)


@cocotb.test()
async def refuses_what_does_not_fit(dut):
    """A layer beyond one of the buffers, each; and parameters to be kept that are too many."""
    machine = await Machine.started(dut)
    for name, (_, layer) in MISFITS.items():
        await fails(machine, Job(Program.of(load_case(), name)), ErrorCode.DOES_NOT_FIT, layer)
    await fails(machine, Job(sound(), (0, 1), keep=True), ErrorCode.DOES_NOT_FIT)


@cocotb.test()
async def sees_parameters_end(dut):
    """Parameters that end inside a layer, between two, or go on behind the last."""
    machine = await Machine.started(dut)
    of = sound()
    ends = of.descriptors()
    for words in (1, 10, len(of.words) - 1, ends[2], ends[4] + 1, len(of.words) + 1, len(of.words) + 40):
        job = Job(of, changed={Register.PARAM_WORDS: words})
        await fails(machine, job, ErrorCode.PARAMETERS_END)


def once(identity: int, number: int, change: Callable[[Any], None]) -> Callable[[int, Any], Iterator[Any]]:
    """Change one beat of one read id."""
    seen = 0

    def tamper(_: int, beat: Any) -> Iterator[Any]:
        nonlocal seen
        if beat.rid == identity:
            if seen == number:
                change(beat)
            seen += 1
        yield beat

    return tamper


def stranger(number: int, identity: int, last: int) -> Callable[[int, Any], Iterator[Any]]:
    """Put a beat that nobody asked for behind one."""

    def tamper(count: int, beat: Any) -> Iterator[Any]:
        yield beat
        if count == number:
            more = type(beat)()
            more.rid, more.rdata, more.rresp, more.rlast = identity, 0, OKAY, last
            yield more

    return tamper


@cocotb.test()
async def sees_what_the_memory_reports(dut):
    """Answers that are not OKAY, wrong ends of bursts, and words nobody asked for."""
    machine = await Machine.started(dut)
    of = sound()

    def answering(response: int) -> Callable[[Any], None]:
        return lambda beat: setattr(beat, "rresp", response)

    def ending(value: int) -> Callable[[Any], None]:
        return lambda beat: setattr(beat, "rlast", value)

    total = len(of.words) + of.image_words
    cases: list[tuple[ErrorCode, Tamper]] = [
        (ErrorCode.READ_RESPONSE, once(0, 0, answering(SLVERR))),
        (ErrorCode.READ_RESPONSE, once(0, 13, answering(DECERR))),
        (ErrorCode.READ_RESPONSE, once(0, len(of.words) - 1, answering(SLVERR))),
        (ErrorCode.READ_RESPONSE, once(1, 1, answering(SLVERR))),
        (ErrorCode.READ_RESPONSE, once(1, 3, answering(DECERR))),
        (ErrorCode.READ_LAST, once(0, 2, ending(1))),
        (ErrorCode.READ_LAST, once(0, 15, ending(0))),
        (ErrorCode.READ_LAST, once(1, 0, ending(1))),
        (ErrorCode.READ_LAST, once(1, 1, ending(0))),
        *((ErrorCode.READ_LAST, stranger(2 * total - 20, 1, last)) for last in (0, 1)),
        *((ErrorCode.READ_LAST, stranger(2 * total - 1, 0, last)) for last in (0, 1)),
    ]
    for code, tamper in cases:
        machine.rules.memory_checked = False
        machine.memory.tamper(tamper)
        got, layer = await machine.fails(Job(of, (0, 1)))
        assert got is code, f"{got!r} in layer {layer}, expected {code!r}"
        machine.rules.memory_checked = True
        machine.memory.tamper(None)
        await machine.run(Job(of))


@cocotb.test()
async def sees_refused_results(dut):
    """An answer to a write that is not OKAY, in any image: the last, whose answer would end the run, too."""
    machine = await Machine.started(dut)
    job = Job(sound(), (0, 1, 2), result_gap=16)
    for k in range(3):
        at = job.results_at + k * job.result_stride + 16
        machine.memory.writes.refused = (at, at + 16)
        assert (await machine.fails(job))[0] is ErrorCode.WRITE_RESPONSE
        assert await machine.read(Register.IMAGES_DONE) <= 2
        machine.memory.writes.refused = (0, 0)
        await machine.run(Job(sound(), (k,)))


@cocotb.test()
async def gives_up_on_a_burst_cut_short(dut):
    """A memory that ends a burst with an early rlast and never sends the rest does not hold the run for ever."""
    machine = await Machine.started(dut)
    job = Job(sound())
    machine.rules.memory_checked = False

    def cut(count: int, beat: Any) -> Iterator[Any]:
        if beat.rid == 0 and count < 8 + job.program.image_words:
            beat.rlast = count == 5
            return iter([beat] if count <= 5 else [])
        return iter([beat])

    machine.memory.tamper(cut)
    await machine.start(job)
    await machine.until_done(2000)
    assert await machine.read(Register.ERROR) == ErrorCode.READ_LAST
    machine.rules.memory_checked = True
    machine.memory.tamper(None)
    machine.forget()
    await machine.run(job)


@cocotb.test()
async def stops_at_any_time(dut):
    """A stop in any phase ends the run once the memory has answered; the next run is sound."""
    rng = generator("simd_errors stop")
    machine = await Machine.started(dut)
    stopped = 0
    for k, cycles in enumerate([1, 6, *rng.integers(10, 500, 10).tolist()]):
        share = (0.0, 0.5)[k % 2]
        machine.memory.pause(partial(random, rng, share), partial(random, rng, share))
        machine.memory.reads.latency = (0, 40)[k % 3 == 2]
        job = Job(sound(), (1, 2))
        await machine.start(job)
        await machine.wait(cycles)
        assert await machine.write(Register.CONTROL, job.control | 1 << Control.STOP) == OKAY
        code, _ = await machine.ended(job)
        assert code in (ErrorCode.STOPPED, ErrorCode.NONE)
        stopped += code == ErrorCode.STOPPED
        machine.check_stages(job, part=True)
        assert machine.rules.written.items() <= machine.expected_writes(job).items()
        await machine.run(Job(sound(), (k % 4,)))
    assert stopped > 8
    # Round the end of a run: the stop comes just in time or just too late.
    machine.memory.pause(None, None)
    machine.memory.reads.latency = 0
    job = Job(sound())
    await machine.run(job)
    cycles = await machine.read(Register.CYCLES_LO)
    codes = set()
    for early in range(2, 10, 2):
        await machine.start(job)
        await machine.wait(cycles - early)
        assert await machine.write(Register.CONTROL, job.control | 1 << Control.STOP) == OKAY
        codes.add((await machine.ended(job))[0])
        await machine.run(Job(sound(), (3,)))
    assert codes == {ErrorCode.STOPPED, ErrorCode.NONE}


@cocotb.test()
async def waits_for_the_memory_when_stopped(dut):
    """A stopped run is over only when all that was asked has been answered; a second stop changes nothing."""
    machine = await Machine.started(dut)
    job = Job(sound())
    for channel in (machine.memory.reads.r_channel, machine.memory.reads.ar_channel):
        pause(channel, blocked())
        await machine.start(job)
        await machine.wait(60)
        for _ in range(2):
            assert await machine.write(Register.CONTROL, job.control | 1 << Control.STOP) == OKAY
            await machine.wait(60)
            assert not machine.irq
            assert await machine.read(Register.STATUS) == 1 << Status.BUSY
        pause(channel, None)
        assert (await machine.ended(job))[0] == ErrorCode.STOPPED
        await machine.run(job)


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """Whatever a reset interrupts, registers are as at first and the next run is sound."""
    rng = generator("simd_errors reset")
    machine = await Machine.started(dut)
    for k, cycles in enumerate([2, *rng.integers(10, 500, 6).tolist()]):
        machine.memory.pause(partial(random, rng, 0.3), partial(random, rng, 0.3))
        await machine.start(Job(sound(), (1, 2)))
        await machine.wait(cycles)
        await machine.reset(int(rng.integers(1, 4)))
        assert await machine.read(Register.STATUS) == 0
        assert await machine.read(Register.CONTROL) == 0
        assert await machine.read(Register.ERROR) == 0
        await machine.run(Job(sound(), (k % 4,)))


@cocotb.test()
async def answers_register_accesses(dut):
    """What may be read and written, when idle and when busy; everything else answers SLVERR and has no effect."""
    rng = generator("simd_errors registers")
    machine = await Machine.started(dut)
    sizes = BUFFERS.parameters()
    sizes["IMAGE_BUFFER_WORDS"] = sizes["IMAGE_WORDS"]
    assert await machine.read(Register.ID) == ACCELERATOR_ID
    for register in Register:
        if register >= Register.ACTIVATION_WORDS:
            assert await machine.read(register) == sizes[register.name]
    settings = [register for register in Register if Register.PARAM_ADDR_LO <= register <= Register.RESULT_STRIDE]
    values = {register: int(rng.integers(1 << 32)) for register in settings}
    for register, value in values.items():
        assert await machine.write(register, value) == OKAY
    mapped = set(Register)
    read_only = [register for register in Register if register not in settings and register > Register.STATUS]
    for offset in [0x00, *read_only, *(set(range(0, 256, 4)) - mapped)]:
        assert await machine.write(offset, 0xFFFFFFFF) == SLVERR, f"write to {offset:#x}"
        assert (await machine.read_answer(offset))[1] == (OKAY if offset in mapped else SLVERR), f"read of {offset:#x}"
    for size in (1, 2, 3):
        assert await machine.write(Register.PARAM_WORDS, 0, size) == SLVERR
        assert await machine.write(Register.CONTROL, 1, size) == SLVERR
    assert {register: await machine.read(register) for register in settings} == values
    # Nothing runs, so that there is nothing to stop.
    assert await machine.write(Register.CONTROL, 1 << Control.STOP) == OKAY
    await machine.wait(5)
    assert await machine.read(Register.STATUS) == 0

    job = Job(sound(), (0, 1, 2), irq=False)
    await machine.start(job)
    expected = job.registers()
    for register in settings:
        assert await machine.write(register, 0) == SLVERR
    assert {register: await machine.read(register) for register in settings} == expected
    assert await machine.write(Register.CONTROL, 1 << Control.START) == SLVERR
    assert await machine.write(Register.CONTROL, 1 << Control.KEEP | 1 << Control.IRQ_ENABLE) == OKAY
    assert await machine.read(Register.CONTROL) == 1 << Control.IRQ_ENABLE
    assert await machine.read(Register.STATUS) == 1 << Status.BUSY
    assert await machine.write(Register.STATUS, 0x7) == OKAY
    before = await machine.read(Register.CYCLES_LO)
    assert before < await machine.read(Register.CYCLES_LO)
    await machine.finish(job)


@cocotb.test()
async def interrupts_while_enabled_and_done(dut):
    """The interrupt is done and enable; done and error are cleared by writing ones, or by the next start."""
    machine = await Machine.started(dut)
    job = Job(sound(), irq=False)
    done, error = 1 << Status.DONE, 1 << Status.ERROR

    async def irq() -> bool:
        await machine.wait(3)
        return machine.irq

    await machine.start(job)
    while await machine.read(Register.STATUS) & 1 << Status.BUSY:
        assert not machine.irq
    assert await machine.read(Register.STATUS) == done
    assert not await irq()
    await machine.write(Register.CONTROL, 1 << Control.IRQ_ENABLE)
    assert await irq()
    await machine.write(Register.STATUS, 0)
    await machine.write(Register.STATUS, error | 1 << Status.BUSY)
    assert await irq()
    assert await machine.write(Register.STATUS, done, 1) == SLVERR
    assert await irq()
    await machine.write(Register.STATUS, done)
    assert not await irq()
    assert await machine.read(Register.STATUS) == 0

    assert (await machine.fails(Job(sound(), changed={Register.IMAGE_COUNT: 0})))[0] is ErrorCode.BAD_COUNT
    await machine.write(Register.STATUS, done)
    assert await machine.read(Register.STATUS) == error
    assert not await irq()
    assert await machine.read(Register.ERROR) == ErrorCode.BAD_COUNT
    await machine.write(Register.STATUS, error)
    assert await machine.read(Register.STATUS) == 0
    assert (await machine.fails(Job(sound(), changed={Register.IMAGE_COUNT: 0})))[0] is ErrorCode.BAD_COUNT
    # The next start clears both.
    await machine.start(dataclasses.replace(job, irq=True))
    assert await machine.read(Register.STATUS) == 1 << Status.BUSY
    assert await machine.read(Register.ERROR) == 0
    await machine.finish(job)


def test_simd_errors(tmp_path: Path) -> None:
    """simd_resmlp.v reports every error as it should, stops, resets and interrupts; and is sound afterwards."""
    case = {}
    configs = {"sound": SOUND} | {name: config for name, (config, _) in MISFITS.items()}
    for name, config in configs.items():
        rng = generator(f"simd_errors {name}")
        x = rng.integers(-128, 128, (4, config.tokens, config.values)).astype(np.int8)
        case |= program(name, random_resmlp(config, rng), config, x, BUFFERS, fits=name == "sound")
    simulate(__name__, "simd_resmlp", tmp_path, BUFFERS.parameters(), case)
