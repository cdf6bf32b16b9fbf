"""simd_memory.v: runs from start to end, with everything that may go wrong in them."""

from copy import copy
from dataclasses import replace
from pathlib import Path

import cocotb

from testbenches.common.axi import SLVERR
from testbenches.common.axi_memory import pause
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import PAIRS, blocked, flowing, random
from testbenches.simd_loader.parameter_stream import AFFINE, SIZES, Layer, Stream, network, numbered
from testbenches.simd_memory.machine import (
    BAD_ADDRESS,
    BAD_COUNT,
    BAD_DESCRIPTOR,
    BUSY,
    CONTROL,
    CYCLES,
    DOES_NOT_FIT,
    DONE,
    ERROR,
    IMAGE_ADDR,
    IMAGE_COUNT,
    IMAGE_STRIDE,
    IMAGE_WORDS,
    IMAGES_DONE,
    IRQ_ENABLE,
    PARAM_ADDR,
    PARAM_WORDS,
    PARAMETERS_END,
    READ_LAST,
    READ_RESPONSE,
    RESULT_ADDR,
    RESULT_STRIDE,
    RESULT_WORDS,
    START,
    STATUS,
    STOP,
    STOPPED,
    WRITE_RESPONSE,
    Job,
    Machine,
    consecutive,
)


def short() -> list[Layer]:
    """Three layers; image of 8 words, result of 2. Rings of SIZES hold all of them."""
    return numbered(
        [Layer(0, 4, 2, 1, res_affine=1, next=AFFINE), Layer(0, 4, 1, 1, pool=1, pool_shift=2), Layer(0, 1, 1, 2)]
    )


def job(machine: Machine, name: str, layers: list[Layer] | None = None, images: int = 2, **options) -> Job:
    """A job of random data, its addresses cut to the module's width."""
    rng = generator(f"simd_memory {name}")
    passes = 1 if options.get("keep") else images
    top = (1 << machine.dut.ADDRESS_W.value.to_unsigned()) - 1
    places = {"param": 0x1_2345_6780, "image": 0x2_0000_0FF0, "result": 0x3_EFFF_FFF0}
    options |= {name: options.get(name, place) & top for name, place in places.items()}
    return Job(Stream(layers or short(), rng, machine.sizes, passes), images, rng, **options)


@cocotb.test()
@cocotb.parametrize(stall=list(PAIRS))
async def runs(dut, stall):
    """Several images, the parameters read for each: all words arrive, in order, and all results, whoever waits."""
    machine = await Machine.started(dut)
    rng = generator(f"simd_memory {stall}")
    machine.memory.pause(lambda: PAIRS[stall](rng)[1], lambda: PAIRS[stall](rng)[0])
    machine.core = lambda: PAIRS[stall](rng)[1]
    machine.memory.reads.latency = 7
    machine.memory.reads.shuffle = rng
    for name, layers, images in (("long", network(), 2), ("short", short(), 5)):
        await machine.play(job(machine, f"{stall} {name}", layers, images))


@cocotb.test()
@cocotb.parametrize(stall=["none", "both"])
async def keeps_parameters(dut, stall):
    """With keep the parameters are read once, for however many images; what the rings do not hold does not fit."""
    machine = await Machine.started(dut)
    rng = generator(f"simd_memory keep {stall}")
    machine.memory.pause(lambda: PAIRS[stall](rng)[1], lambda: PAIRS[stall](rng)[0])
    machine.core = lambda: PAIRS[stall](rng)[1]
    await machine.play(job(machine, f"keep {stall}", images=6, keep=True))
    await machine.begin(job(machine, "keep too much", network(), keep=True))
    await machine.done()
    assert await machine.read(ERROR) == 1 << 16 | DOES_NOT_FIT
    await machine.play(job(machine, "kept no longer", images=2))
    await machine.play(job(machine, "keep again", images=2, keep=True))


@cocotb.test()
async def first_reads_come_at_once_and_in_order(dut):
    """ARVALID is there three cycles after the start was accepted; one burst of parameters, the image, parameters."""
    machine = await Machine.started(dut)
    for turn in range(2):
        one = job(machine, f"order {turn}", network() if turn else short(), images=1)
        await machine.begin(one)
        accepted = max(machine.lite.monitors[channel].cycles[-1] for channel in ("aw", "w"))
        await machine.succeeded()
        assert machine.shown["ar"][0] == accepted + 3
        ids = [burst.id for burst in machine.rules.reads]
        images = ids.count(1)
        assert ids == [0] + [1] * images + [0] * (len(ids) - 1 - images)
        assert sum(burst.beats for burst in machine.rules.reads if burst.id) == one.image_words


@cocotb.test()
async def reads_a_word_every_cycle(dut):
    """With 64 cycles' latency not a cycle is lost between the first word and the last, over several images."""
    machine = await Machine.started(dut)
    machine.memory.reads.latency = 64
    await machine.play(job(machine, "rate", network(), images=3))
    assert consecutive([cycle for cycle, _, _ in machine.rules.read_beats])
    # The second word is the first one that goes to a ring: three cycles after it came.
    assert machine.write_cycles[0] == machine.rules.read_beats[1][0] + 3


@cocotb.test()
async def reads_ahead(dut):
    """The next image's parameters are read long before its turn; the image, once the present one has been released."""
    machine = await Machine.started(dut)
    ahead = job(machine, "ahead", short(), images=3)
    await machine.begin(ahead)
    await machine.step(2)
    machine.stalls["release"] = blocked()
    await machine.step(600)
    # The core frees what it was given, so that parameters come to their end; but one image only.
    assert len(machine.writes) == len(ahead.stream.writes)
    assert sum(burst.beats for burst in machine.rules.reads if burst.id) == ahead.image_words
    assert machine.images == ahead.image_data[:1]
    machine.stalls["release"] = flowing()
    machine.stalls["result"] = blocked()
    await machine.step(100)
    assert machine.images == ahead.image_data[:2]
    second = next(burst for burst in machine.rules.reads if burst.address == ahead.image_at[1])
    # Released, noted, asked for, shown, accepted.
    assert second.cycle <= machine.release_cycles[0] + 4
    machine.stalls["result"] = flowing()
    await machine.succeeded()


@cocotb.test()
async def asks_for_no_more_than_it_has_room_for(dut):
    """While the rings are full as many words are asked for as the FIFO holds, in whole bursts; then all goes on."""
    machine = await Machine.started(dut)
    room = dut.FIFO_WORDS.value.to_unsigned()
    await machine.begin(job(machine, "room", network(), images=2))
    await machine.step(2)
    machine.stalls["chunk"] = machine.stalls["group"] = blocked()
    await machine.step(700)
    written = len(machine.writes)
    asked = sum(burst.beats for burst in machine.rules.reads if burst.id == 0) - written - len(machine.layers)
    # The descriptor behind a full ring may have been taken, too.
    assert room - machine.burst < asked <= room + 1
    await machine.step(50)
    assert len(machine.writes) == written
    machine.stalls["chunk"] = machine.stalls["group"] = flowing()
    await machine.succeeded()


@cocotb.test()
async def an_image_goes_before_parameters(dut):
    """While parameters wait for requests to be taken, an image that may be read is asked for next."""
    machine = await Machine.started(dut)
    machine.memory.reads.latency = 64
    rng = generator("simd_memory priority")
    machine.memory.pause(lambda: random(rng, 0.8), None)
    one = job(machine, "priority", network(), images=3)
    await machine.play(one)
    for n in (1, 2):
        released = machine.release_cycles[n - 1]
        behind = [burst for burst in machine.rules.reads if burst.cycle > released + 2]
        first = next(k for k, burst in enumerate(behind) if burst.id)
        # One burst of parameters may stand on the channel already.
        assert first <= 1, f"image {n}"


STARTS: dict[str, tuple[int, dict[int, int]]] = {
    **{f"parameters at +{1 << bit}": (BAD_ADDRESS, {PARAM_ADDR: 0x1000 + (1 << bit)}) for bit in range(4)},
    **{f"images at +{1 << bit}": (BAD_ADDRESS, {IMAGE_ADDR: 0x1000 + (1 << bit)}) for bit in range(4)},
    **{f"results at +{1 << bit}": (BAD_ADDRESS, {RESULT_ADDR: 0x1000 + (1 << bit)}) for bit in range(4)},
    **{f"images {1 << bit} further": (BAD_ADDRESS, {IMAGE_STRIDE: 256 + (1 << bit)}) for bit in range(4)},
    **{f"results {1 << bit} further": (BAD_ADDRESS, {RESULT_STRIDE: 256 + (1 << bit)}) for bit in range(4)},
    "images overlap": (BAD_ADDRESS, {IMAGE_STRIDE: 16 * 7}),
    "results overlap": (BAD_ADDRESS, {RESULT_STRIDE: 16}),
    "images do not move": (BAD_ADDRESS, {IMAGE_STRIDE: 0}),
    "huge images": (BAD_ADDRESS, {IMAGE_WORDS: 0x1000_0008}),
    "huge results": (BAD_ADDRESS, {RESULT_WORDS: 0x1000_0002}),
    "no images": (BAD_COUNT, {IMAGE_COUNT: 0}),
    "no parameters": (BAD_COUNT, {PARAM_WORDS: 0}),
    "empty images": (BAD_COUNT, {IMAGE_WORDS: 0}),
    "empty results": (BAD_COUNT, {RESULT_WORDS: 0}),
    "no images at an odd address": (BAD_COUNT, {IMAGE_COUNT: 0, IMAGE_ADDR: 1}),
}
"""By what is wrong: the code, and registers other than those of a good job of `short`."""


@cocotb.test()
async def refuses_to_start(dut):
    """Each wrong address and count is refused at once, and the memory is left alone; the next run is a good one."""
    machine = await Machine.started(dut)
    for name, (code, registers) in STARTS.items():
        dut._log.info("%s", name)
        bad = job(machine, "start")
        bad.registers |= registers
        await machine.begin(bad, control=IRQ_ENABLE)
        assert await machine.read(STATUS) == DONE | 4
        assert dut.irq.value == 1
        assert await machine.read(ERROR) == code
        assert await machine.read(CYCLES) == 0
        assert await machine.read(IMAGES_DONE) == 0
        assert not any(machine.shown.values())
    await machine.play(job(machine, "good start"))


@cocotb.test()
async def keeps_to_the_address_space(dut):
    """Parameters, images and results may end with the last word of the address space, and no further."""
    machine = await Machine.started(dut)
    space = 1 << dut.ADDRESS_W.value.to_unsigned()
    model = job(machine, "space", images=3)
    words = len(model.stream.words)
    image_span = 2 * model.registers[IMAGE_STRIDE] + 16 * model.image_words
    result_span = 2 * model.registers[RESULT_STRIDE] + 16 * model.result_words
    spans = {"param": 16 * words, "image": image_span, "result": result_span}
    for place, span in spans.items():
        await machine.play(job(machine, "space", images=3, **{place: space - span}))
        # At the start of the space it needs the first range, at the end of the run the last one, to go beyond.
        for beyond in (16, span - 16):
            bad = job(machine, "space", images=3, **{place: space - span + beyond})
            await machine.begin(bad, store=False)
            await machine.failed(BAD_ADDRESS)
            assert not machine.shown["aw"]
            behind = bad.image_at[0] + 16 * bad.image_words
            assert all(burst.id == 0 or burst.address < behind for burst in machine.rules.reads)
            assert machine.running < 8
            # Where the first range is beyond already, nothing is asked for at all.
            assert not machine.shown["ar"] or beyond == 16
    # A great number of images, whose last one is known to lie beyond after 32 steps: the second one is not read before.
    for place, stride in (("image", IMAGE_STRIDE), ("result", RESULT_STRIDE)):
        # One word of parameters, then the image: it is there and released long before the 32 steps are over.
        bad = job(machine, "space", images=3, **{"param": 0x2345_63F0, place: space - space // 16})
        bad.images = bad.registers[IMAGE_COUNT] = 0x8000_0001
        bad.registers[stride] = 0xFFFF_FFF0
        del bad.image_at[1:], bad.image_data[1:]
        await machine.begin(bad)
        await machine.failed(BAD_ADDRESS)
        assert not machine.shown["aw"]
        assert machine.released == 1
    if space == 1 << 32:
        for address in (PARAM_ADDR, IMAGE_ADDR, RESULT_ADDR):
            for upper in (1, 1 << 31):
                bad = job(machine, "space")
                bad.registers[address + 4] = upper
                await machine.begin(bad)
                await machine.failed(BAD_ADDRESS)
                assert not any(machine.shown.values())
    await machine.play(job(machine, "space"))


@cocotb.test()
async def reports_what_the_loader_refuses(dut):
    """A bad descriptor, a layer that does not fit, and a wrong number of words end the run with code and layer."""
    machine = await Machine.started(dut)
    layers = short()
    beyond = [*layers[:2], Layer(2, 1, 1, 2, last=1, bit_15=1)]
    wide = [layers[0], Layer(1, 4, 1, 64)]
    for name, stream, code, layer in (
        ("bad", beyond, BAD_DESCRIPTOR, 2),
        ("wide", wide, DOES_NOT_FIT, 1),
        ("first", [replace(layers[0], first=0), *layers[1:]], BAD_DESCRIPTOR, 0),
    ):
        await machine.begin(job(machine, name, stream))
        await machine.failed(code, layer)
        await machine.play(job(machine, f"good behind {name}"))
    words = len(job(machine, "words").stream.words)
    for changed, layer in ((words - 1, 2), (words + 1, 2), (1, 0), (60, 1)):
        other = job(machine, "words")
        other.registers[PARAM_WORDS] = changed
        other.stream.words = [*other.stream.words, 0][:changed]
        await machine.begin(other)
        await machine.failed(PARAMETERS_END, layer)
    await machine.play(job(machine, "good behind words"))


@cocotb.test()
async def reports_a_read_error(dut):
    """An answer other than OKAY to any word, the very last one too, ends the run; the next run is a good one."""
    machine = await Machine.started(dut)
    machine.memory.reads.latency = 5
    total = 2 * (len(job(machine, "read").stream.words) + 8)
    for number, at in enumerate((0, 1, 17, 63, 70, 100, total - 2, total - 1)):

        def spoil(n, beat, at=at, response=1 + number % 3):
            beat.rresp = response if n == at else 0
            return [beat]

        machine.memory.tamper(spoil)
        await machine.begin(job(machine, "read"))
        await machine.failed(READ_RESPONSE)
        machine.memory.tamper(None)
        await machine.play(job(machine, f"good read {at}"))


@cocotb.test()
async def reports_a_write_error(dut):
    """An answer other than OKAY to any result, the very last one too, ends the run; images before it count as done."""
    machine = await Machine.started(dut)
    one = job(machine, "write", images=3)
    for image in range(3):
        for word in range(2):
            refused = one.result_at[image] + 16 * word
            machine.memory.writes.refused = (refused, refused + 16)
            await machine.begin(one)
            await machine.failed(WRITE_RESPONSE)
            assert await machine.read(IMAGES_DONE) == image
            machine.memory.writes.refused = (0, 0)
            await machine.play(one)


@cocotb.test()
async def reports_wrong_lasts(dut):
    """RLAST too early or too late, with or without the rest of the burst, and answers nobody asked for: an error."""
    machine = await Machine.started(dut)
    machine.rules.memory_checked = False
    state = {"done": False}

    def early(n, beat):
        beat.rlast = beat.rlast or n == 1
        return [beat]

    def truncated(n, beat):
        if n >= 1 and not state["done"]:
            # The burst ends here, for the memory: what was to follow never comes.
            state["done"], dropped = beat.rlast, n > 1
            beat.rlast = 1
            return [] if dropped else [beat]
        return [beat]

    def missing(_n, beat):
        if beat.rlast and not state["done"]:
            state["done"] = True
            beat.rlast = 0
        return [beat]

    def surplus(_n, beat):
        if beat.rlast and not state["done"]:
            state["done"] = True
            beat.rlast = 0
            more = copy(beat)
            more.rlast = 1
            return [beat, more]
        return [beat]

    def stranger(n, beat):
        # The first beat of all goes to the other id, which has not been answered yet or not even asked.
        beat.rid = beat.rid ^ (n == 0)
        return [beat]

    def unasked(n, beat):
        # The only image, 8 words, has come long before: nothing is owed to its id any more.
        if n >= 75 and not beat.rlast and not state["done"]:
            assert beat.rid == 0
            state["done"] = True
            beat.rid = 1
        return [beat]

    for name, tamper in {
        "early": early, "truncated": truncated, "missing": missing, "surplus": surplus, "stranger": stranger,
        "unasked": unasked,
    }.items():  # fmt: skip
        dut._log.info("%s", name)
        state["done"] = False
        machine.memory.tamper(tamper)
        machine.images_checked = False
        await machine.begin(job(machine, f"last {name}", images=1 if tamper is unasked else 2))
        await machine.done()
        assert await machine.read(STATUS) == DONE | 4
        assert await machine.read(ERROR) == READ_LAST, name
        machine.memory.tamper(None)
        machine.images_checked = True
        await machine.step(300)
        await machine.play(job(machine, f"good behind {name}"))


@cocotb.test()
async def a_request_that_waits_is_never_given_up(dut):
    """After a wrong RLAST the run may end without all answers, but not with a request that has not been accepted."""
    machine = await Machine.started(dut)
    machine.rules.memory_checked = False
    machine.memory.reads.latency = 20

    def early(n, beat):
        beat.rlast = beat.rlast or n == 1
        return [beat]

    machine.memory.tamper(early)
    await machine.begin(job(machine, "waiting request"))
    while not machine.rules.reads:
        await machine.step()
    pause(machine.memory.reads.ar_channel, blocked())
    await machine.step(1200)
    assert machine.in_reset
    assert len(machine.rules.reads) < len(machine.shown["ar"])
    assert await machine.read(STATUS) == BUSY
    pause(machine.memory.reads.ar_channel, None)
    await machine.failed(READ_LAST)
    machine.memory.tamper(None)
    await machine.play(job(machine, "waiting request"))


@cocotb.test()
async def a_sound_memory_may_take_its_time(dut):
    """A stopped run waits for its answers, however long they take."""
    machine = await Machine.started(dut)
    machine.memory.reads.latency = 1300
    await machine.begin(job(machine, "slow"))
    await machine.write(CONTROL, STOP)
    await machine.step(1200)
    assert await machine.read(STATUS) == BUSY
    await machine.failed(STOPPED)


@cocotb.test()
async def an_answer_outside_a_run_is_swallowed(dut):
    """Read data and write responses that come while nothing is under way change nothing."""
    machine = await Machine.started(dut)
    machine.rules.memory_checked = False
    await machine.play(job(machine, "before strangers"))
    beat = machine.memory.reads.r_channel._transaction_obj()
    beat.rid, beat.rresp, beat.rlast, beat.rdata = 0, 2, 0, 0
    await machine.memory.reads.r_channel.send(beat)
    answer = machine.memory.writes.b_channel._transaction_obj()
    answer.bid, answer.bresp = 0, 2
    await machine.memory.writes.b_channel.send(answer)
    await machine.step(10)
    assert await machine.read(STATUS) == DONE
    assert await machine.read(ERROR) == 0
    await machine.play(job(machine, "behind strangers"))


@cocotb.test()
@cocotb.parametrize(stall=["none", "both"])
async def stops_in_any_phase(dut, stall):
    """A stop ends the run once everything under way has been finished; the next run is a good one."""
    machine = await Machine.started(dut)
    rng = generator(f"simd_memory stop {stall}")
    machine.memory.reads.latency = 20
    machine.memory.pause(lambda: PAIRS[stall](rng)[1], lambda: PAIRS[stall](rng)[0])
    one = job(machine, "stop", images=2)
    await machine.play(one)
    length = machine.running
    stopped = 0
    for _ in range(14):
        await machine.begin(one)
        await machine.step(int(rng.integers(0, length - 8)))
        if await machine.read(STATUS) != BUSY:
            continue
        await machine.write(CONTROL, STOP)
        await machine.done()
        if await machine.read(ERROR) == STOPPED:
            stopped += 1
            await machine.failed(STOPPED)
    assert stopped >= 8
    await machine.play(one)
    await machine.write(CONTROL, STOP)
    await machine.succeeded()
    # Together with a start it is refused, and nothing is started.
    await machine.write(CONTROL, START | STOP, SLVERR)
    await machine.step(50)
    await machine.succeeded()


@cocotb.test()
async def stops_at_the_very_end(dut):
    """A stop that comes about when the run ends anyway either stops it or comes too late, and nothing in between."""
    machine = await Machine.started(dut)
    one = job(machine, "stop end")
    outcomes = []
    for delay in range(9):
        await machine.begin(one)
        while len(machine.shown["aw"]) < 2 * one.images:
            await machine.step()
        await machine.step(delay)
        await machine.write(CONTROL, STOP)
        await machine.done()
        outcomes.append(await machine.read(ERROR))
        assert await machine.read(STATUS) == (DONE | 4 if outcomes[-1] else DONE)
    late = outcomes.index(0)
    assert late > 0
    assert outcomes == [STOPPED] * late + [0] * (9 - late)


@cocotb.test()
async def stops_without_loss_while_writes_wait(dut):
    """Results whose addresses have been shown are written and answered before a stopped run ends, and no others."""
    machine = await Machine.started(dut)
    one = job(machine, "stop writes", images=4)
    channels = (machine.memory.writes.aw_channel, machine.memory.writes.w_channel)
    for turn in range(6):
        await machine.begin(one)
        while len(machine.made) < turn:
            await machine.step()
        # What is shown waits, and a further word in the queue with it: of the address, of the data, or of both.
        for channel, held in zip(channels, (turn % 3 != 1, turn % 3 != 2), strict=True):
            pause(channel, blocked() if held else None)
        while len(machine.made) < turn + 2:
            await machine.step()
        await machine.step(8)
        await machine.write(CONTROL, STOP)
        await machine.step(20)
        assert await machine.read(STATUS) == BUSY
        for channel in channels:
            pause(channel, None)
        await machine.failed(STOPPED)
        assert len(machine.rules.writes) == len(machine.shown["aw"]) == len(machine.shown["w"])
        assert len(machine.rules.writes) < 2 * one.images
        assert machine.rules.written == dict(list(one.written.items())[: len(machine.rules.writes)])
    await machine.play(one)


@cocotb.test()
async def the_first_error_stays(dut):
    """An error or a stop while a failed run is brought to its end changes neither code nor outcome."""
    machine = await Machine.started(dut)
    machine.memory.reads.latency = 60

    def spoil(n, beat):
        beat.rresp = 2 if n == 3 else 0
        return [beat]

    machine.memory.tamper(spoil)
    await machine.begin(job(machine, "first"))
    while not machine.in_reset:
        await machine.step()
    await machine.write(CONTROL, STOP)
    assert await machine.read(STATUS) == BUSY, "the end came before the second error"
    await machine.failed(READ_RESPONSE)

    def late(_n, beat):
        beat.rresp = 2
        return [beat]

    await machine.begin(job(machine, "first"))
    machine.memory.tamper(late)
    await machine.write(CONTROL, STOP)
    assert await machine.read(STATUS) == BUSY
    assert not machine.rules.read_beats, "the first beat came before the stop"
    await machine.failed(STOPPED)
    assert machine.rules.read_beats
    machine.memory.tamper(None)
    await machine.play(job(machine, "first"))


@cocotb.test()
async def tells_when_it_is_done(dut):
    """The interrupt is `done` where enabled; done and error stay until cleared or the next start; CYCLES counts."""
    machine = await Machine.started(dut)
    one = job(machine, "done")
    await machine.begin(one, control=IRQ_ENABLE)

    def interrupts():
        assert dut.irq.value == machine.in_reset

    machine.watch = interrupts
    await machine.succeeded()
    machine.watch = None
    assert await machine.read(CYCLES + 4) == 0
    await machine.write(CONTROL, 0)
    assert dut.irq.value == 0
    await machine.write(CONTROL, IRQ_ENABLE)
    assert dut.irq.value == 1
    await machine.write(STATUS, DONE)
    assert dut.irq.value == 0
    assert await machine.read(STATUS) == 0
    await machine.begin(one)
    assert await machine.read(STATUS) == BUSY
    assert await machine.read(CYCLES) > 0
    for register in (PARAM_ADDR, IMAGE_COUNT, RESULT_STRIDE):
        await machine.write(register, 0, SLVERR)
    await machine.write(CONTROL, START | STOP, SLVERR)
    await machine.write(CONTROL, STOP | IRQ_ENABLE)
    await machine.failed(STOPPED)
    assert dut.irq.value == 1
    await machine.write(STATUS, 4)
    assert await machine.read(STATUS) == DONE
    await machine.begin(one)
    assert dut.irq.value == 0
    assert await machine.read(STATUS) == BUSY
    assert await machine.read(ERROR) == 0
    await machine.succeeded()


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """A reset in any phase, together with the memory's, leaves an idle machine whose next run is a good one."""
    machine = await Machine.started(dut)
    rng = generator("simd_memory reset")
    machine.memory.reads.latency = 20
    one = job(machine, "reset")
    await machine.play(one)
    length = machine.running
    for n in range(10):
        stall = "both" if n % 2 else "none"
        machine.memory.pause(lambda stall=stall: PAIRS[stall](rng)[1], lambda stall=stall: PAIRS[stall](rng)[0])
        await machine.begin(one)
        await machine.step(int(rng.integers(0, length + 20)))
        await machine.reset(int(rng.integers(1, 4)))
        assert await machine.read(STATUS) == 0
        assert await machine.read(PARAM_WORDS) == 0
        if n % 3 == 2:
            await machine.play(one)
    machine.memory.pause(None, None)
    await machine.play(one)


USUAL = SIZES | {"CONSTANT_GROUPS": 4, "BURST": 64, "FIFO_WORDS": 256}


def test_simd_memory(tmp_path: Path) -> None:
    """simd_memory.v plays runs to their ends, good and bad."""
    simulate(__name__, "simd_memory", tmp_path, USUAL)
