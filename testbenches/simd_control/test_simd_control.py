"""simd_control.v: starts what is sound, ends what fails, and says what became of it, in the very cycle it promises."""

from collections import Counter
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import cocotb
import numpy as np
import pytest
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known

NONE, BAD_ADDRESS, BAD_COUNT, READ_RESPONSE, WRITE_RESPONSE, READ_LAST, STOPPED = 0, 1, 2, 6, 7, 8, 9
LOADER_CODE, LOADER_LAYER = 0xA5, 0xBEEF
WORD = 16
QUIESCENT = {
    "rst": 0,
    "start": 0,
    "stop": 0,
    "clear_done": 0,
    "clear_error": 0,
    "images_done": 0,
    "loader_error": 0,
    "loader_code": LOADER_CODE,
    "loader_layer": LOADER_LAYER,
    "read_error": 0,
    "read_broken": 0,
    "read_beat": 0,
    "address_idle": 1,
    "reads_idle": 1,
    "write_error": 0,
    "writes_idle": 1,
}
"""Every input but the clock and the configuration, while nothing happens."""
FAILURES = {
    "read_error": (READ_RESPONSE, 0),
    "read_broken": (READ_LAST, 0),
    "write_error": (WRITE_RESPONSE, 0),
    "loader_error": (LOADER_CODE, LOADER_LAYER),
    "range": (BAD_ADDRESS, 0),
    "stop": (STOPPED, 0),
}
"""What may fail, the one that goes before the others first, and the code and layer it leaves."""
BUSY_WAITING = {"reads_idle": 0, "writes_idle": 0}


@dataclass(frozen=True)
class Configuration:
    """What the registers hold; as it stands, sound."""

    param_address: int = 0x1000
    param_words: int = 100
    image_count: int = 3
    image_address: int = 0x20000
    image_words: int = 5
    image_stride: int = 5 * WORD
    result_address: int = 0x30000
    result_words: int = 2
    result_stride: int = 2 * WORD

    def verdict(self, space: int) -> int:
        """The code with which a start is refused, 0 if it is not; `space`: bytes of the address space."""
        if 0 in (self.param_words, self.image_count, self.image_words, self.result_words):
            return BAD_COUNT
        places = (self.param_address, self.image_address, self.image_stride, self.result_address, self.result_stride)
        if any(place % WORD for place in places):
            return BAD_ADDRESS
        if self.image_stride < WORD * self.image_words or self.result_stride < WORD * self.result_words:
            return BAD_ADDRESS
        ends = (
            self.param_address + WORD * self.param_words,
            self.image_address + WORD * self.image_words,
            self.result_address + WORD * self.result_words,
        )
        return BAD_ADDRESS if max(ends) > space else NONE

    def beyond(self, space: int, bits: int) -> bool:
        """Whether an end is known to lie outside once the `bits` lowest bits of the number of strides are added."""
        steps = (self.image_count - 1) % (1 << bits)
        image_end = self.image_address + WORD * self.image_words + steps * self.image_stride
        result_end = self.result_address + WORD * self.result_words + steps * self.result_stride
        return max(image_end, result_end) > space


class Model:
    """The state of the module between two cycles, and what its outputs are in one."""

    def __init__(self, address_w: int, quiet: int) -> None:
        self.space = 1 << address_w
        self.quiet = quiet
        self.age = 0
        """Cycles since the start of the run."""
        self.reset()

    def reset(self) -> None:
        """As after a cycle with rst."""
        self.state = "idle"  # or run, or abort: failed, and not at its end yet
        self.done = self.error = self.code = self.layer = self.cycles = 0
        self.broken = False
        self.silence = 0

    def outputs(self, config: Configuration, inputs: dict[str, int]) -> dict[str, int]:
        """What is to be seen in a cycle with these inputs; `checked` means something in a run only."""
        running = self.state == "run"
        shown = {
            "begin_run": int(inputs["start"] and config.verdict(self.space) == NONE),
            "running": int(running),
            "core_rst": int(inputs["rst"] or not running),
            "busy": int(self.state != "idle"),
            "done": self.done,
            "error": self.error,
            "error_code": self.code,
            "error_layer": self.layer,
            "cycles": self.cycles,
        }
        if running:
            left = (config.image_count - 1) >> self.age
            shown["checked"] = int(left == 0 and not config.beyond(self.space, self.age))
        return shown

    def step(self, config: Configuration, inputs: dict[str, int]) -> None:
        """One cycle."""
        if inputs["rst"]:
            self.reset()
            return
        if inputs["start"]:
            assert self.state == "idle"
            self.cycles = self.layer = 0
            self.code = config.verdict(self.space)
            self.done = self.error = int(self.code != NONE)
            if self.code == NONE:
                self.state, self.age, self.broken, self.silence = "run", 0, False, 0
                return
        else:
            if inputs["clear_done"]:
                self.done = 0
            if inputs["clear_error"]:
                self.error = 0
        if self.state == "run":
            self._run(config, inputs)
        elif self.state == "abort":
            self._abort(inputs)
        self.silence = 0 if inputs["read_beat"] or not inputs["address_idle"] else self.silence + 1

    def _run(self, config: Configuration, inputs: dict[str, int]) -> None:
        self.cycles += 1
        happened = dict(inputs, range=int(config.beyond(self.space, self.age)))
        self.age += 1
        failure = next((name for name in FAILURES if happened[name]), None)
        if failure is None:
            if inputs["images_done"] == config.image_count:
                self.state, self.done = "idle", 1
            return
        self.state = "abort"
        self.broken = bool(inputs["read_broken"])
        self.code, self.layer = FAILURES[failure]
        if failure == "loader_error":
            self.code, self.layer = inputs["loader_code"], inputs["loader_layer"]

    def _abort(self, inputs: dict[str, int]) -> None:
        self.cycles += 1
        answered = inputs["reads_idle"] or (self.broken and self.silence >= self.quiet)
        if inputs["writes_idle"] and inputs["address_idle"] and answered:
            self.state, self.done, self.error = "idle", 1, 1
        self.broken = self.broken or bool(inputs["read_broken"])


class Bench:
    """The module and its model, with the same inputs; any difference in any cycle is an error."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.model = Model(dut.ADDRESS_W.value.to_unsigned(), dut.QUIET.value.to_unsigned())
        self.config = Configuration()
        self.driven: dict[str, int] = {}
        self.cycle = 0
        self.shown: dict[str, int] = {}

    @classmethod
    async def started(cls, dut) -> "Bench":
        """A bench whose clock runs and whose module has been reset."""
        await Timer(1, "ns")
        bench = cls(dut)
        bench.drive(QUIESCENT | {"rst": 1} | vars(bench.config))
        start_clock(dut)
        await FallingEdge(dut.clk)
        await FallingEdge(dut.clk)
        await bench.step(rst=1)
        await bench.step()
        return bench

    def drive(self, values: dict[str, int]) -> None:
        """Set the inputs that change."""
        for name, value in values.items():
            if self.driven.get(name) != value:
                self.driven[name] = value
                getattr(self.dut, name).value = value

    async def step(self, **changes: int) -> None:
        """One cycle with the quiescent inputs but for `changes`."""
        inputs = QUIESCENT | changes
        self.drive(inputs | vars(self.config))
        await ReadOnly()
        expected = self.model.outputs(self.config, inputs)
        self.shown = {name: known(getattr(self.dut, name)) for name in expected}
        assert self.shown == expected, f"cycle {self.cycle}, {self.model.state}, {changes}, {self.config}"
        self.model.step(self.config, inputs)
        await FallingEdge(self.dut.clk)
        self.cycle += 1

    async def steps(self, count: int, **changes: int) -> None:
        """So many equal cycles."""
        for _ in range(count):
            await self.step(**changes)

    async def start(self, config: Configuration) -> int:
        """Show a configuration for one cycle, then start it; whether the run began."""
        self.config = config
        await self.step()
        await self.step(start=1)
        return self.shown["begin_run"]

    async def look(self, *names: str) -> tuple[int, ...]:
        """Outputs in a cycle in which nothing happens; nothing drains in it either."""
        await self.step(**BUSY_WAITING)
        return tuple(self.shown[name] for name in names)

    async def leave(self) -> None:
        """End the run, if there is one."""
        await self.step(stop=1)
        await self.steps(2)
        assert not self.shown["busy"]


@cocotb.test()
async def a_start_is_checked(dut):
    """Each single fault of the configuration refuses a start with its code, from the first value that is wrong."""
    bench = await Bench.started(dut)
    space, sound = bench.model.space, Configuration()
    most = (1 << 32) - 1
    cases: list[tuple[int, dict[str, int]]] = [(NONE, {})]
    cases += [(BAD_COUNT, {name: 0}) for name in ("param_words", "image_count", "image_words", "result_words")]
    for name in ("param_address", "image_address", "image_stride", "result_address", "result_stride"):
        value = vars(sound)[name] + WORD
        cases += [(BAD_ADDRESS, {name: value + (1 << bit)}) for bit in range(4)] + [(NONE, {name: value})]
    for kind, words in product(("image", "result"), (1, 7, (1 << 28) - 1)):
        counted, stride = {f"{kind}_words": words, "image_count": 1, f"{kind}_address": 0}, WORD * words
        fits = NONE if stride <= space else BAD_ADDRESS
        cases += [(fits, counted | {f"{kind}_stride": stride})]
        cases += [(BAD_ADDRESS, counted | {f"{kind}_stride": stride - WORD})]
        cases += [(BAD_ADDRESS, counted | {f"{kind}_stride": most - 15, f"{kind}_words": 1 << bit}) for bit in (28, 31)]
    for kind, words in product(("param", "image", "result"), (1, 2, 1000)):
        counted = {f"{kind}_words": words, "image_count": 1}
        if kind != "param":
            counted[f"{kind}_stride"] = WORD * words
        top = space - WORD * words
        cases += [(NONE, counted | {f"{kind}_address": top})]
        cases += [(NONE, counted | {f"{kind}_address": top - WORD})]
        if top + WORD < 1 << 64:
            cases += [(BAD_ADDRESS, counted | {f"{kind}_address": top + WORD})]
        cases += [
            (BAD_ADDRESS, counted | {f"{kind}_address": (1 << bit)}) for bit in range(60, 64) if 1 << bit >= space
        ]
        cases += [(BAD_ADDRESS, counted | {f"{kind}_address": space})] * (space < 1 << 64)
    cases += [(NONE, {"param_address": 0, "param_words": (1 << 28)}), (NONE, {"param_words": 1})]
    cases += [(NONE if space > 1 << 36 else BAD_ADDRESS, {"param_words": most})]
    for code, changes in cases:
        began = await bench.start(replace(sound, **changes))
        assert began == (code == NONE), (code, changes)
        names = ("begin_run", "running", "busy", "done", "error", "error_code", "error_layer", "cycles")
        after = (0, 0, 0, 1, 1, code, 0, 0) if code else (0, 1, 1, 0, 0, NONE, 0, 0)
        assert await bench.look(*names) == after, changes
        await bench.leave()


@cocotb.test()
async def a_bad_count_goes_first(dut):
    """Where a number of words and an address are wrong, the number is told."""
    bench = await Bench.started(dut)
    counts = ("param_words", "image_count", "image_words", "result_words")
    wrong = [{"param_address": 8}, {"image_stride": 17}, {"result_stride": 0}, {"result_address": (1 << 64) - 16}]
    for count, place in product(counts, wrong):
        assert not await bench.start(replace(Configuration(), **{count: 0}, **place))
        assert await bench.look("error_code") == (BAD_COUNT,)
        assert not await bench.start(replace(Configuration(), result_words=3, **place))
        assert await bench.look("error_code") == (BAD_ADDRESS,)


@cocotb.test()
async def a_configuration_stands_for_one_cycle(dut):
    """One cycle of the new configuration is enough, whatever stood before; refused starts may follow each other."""
    bench = await Bench.started(dut)
    for previous, code in product(({}, {"param_words": 0}, {"image_address": 1}), (NONE, BAD_COUNT, BAD_ADDRESS)):
        bench.config = replace(Configuration(), **previous)
        await bench.steps(2)
        change = {NONE: {}, BAD_COUNT: {"image_count": 0}, BAD_ADDRESS: {"result_address": 4}}[code]
        assert await bench.start(replace(Configuration(), **change)) == (code == NONE)
        if code != NONE:
            await bench.steps(3, start=1)
        assert await bench.look("error_code", "busy") == (code, int(code == NONE))
        await bench.leave()


@cocotb.test()
async def nothing_fails_before_the_run(dut):
    """What happens when idle or in the cycle of the start, a stop too, has no effect on the run that begins."""
    bench = await Bench.started(dut)
    for name in FAILURES.keys() - {"range"}:
        bench.config = Configuration()
        await bench.steps(2, **{name: 1})
        assert await bench.look("busy", "done", "error", "error_code") == (0, 0, 0, NONE)
        # Between runs it is low for whoever looks at it: nothing outside tells.
        assert known(dut.broken_reg) == 0
        await bench.step(start=1, images_done=3, **{name: 1})
        assert await bench.look("running", "busy", "error_code") == (1, 1, NONE)
        await bench.step(stop=1, reads_idle=0)
        await bench.steps(bench.model.quiet + 3, reads_idle=0)
        assert bench.shown["busy"] == 1
        await bench.step()
        await bench.step(clear_done=1, clear_error=1)
        await bench.step(rst=1)


@cocotb.test()
async def the_last_image_is_checked(dut):
    """An end beyond the address space is found within 32 cycles, one that just fits is not; `checked` tells when."""
    bench = await Bench.started(dut)
    space = bench.model.space
    for kind, count, excess in product(("image", "result"), (2, 3, 4, 6, 1 << 16, 100_000, (1 << 25) + 1), (0, WORD)):
        words = 3
        stride = WORD * words + 2 * WORD
        top = space - WORD * words - stride * (count - 1) + excess
        config = replace(
            Configuration(image_count=count, param_address=0),
            # The other kind has to fit too, in 32 bits: words of 16 bytes without gaps.
            image_address=0, image_words=1, image_stride=WORD, result_address=0, result_words=1, result_stride=WORD,
        )  # fmt: skip
        config = replace(config, **{f"{kind}_address": top, f"{kind}_words": words, f"{kind}_stride": stride})
        assert await bench.start(config)
        seen = []
        for _ in range(33):
            await bench.step(**BUSY_WAITING)
            seen.append((bench.shown["running"], bench.shown.get("checked")))
        length = (count - 1).bit_length()
        if excess:
            assert seen[: length + 1] == [(1, 0)] * (length + 1)
            assert {running for running, _ in seen[length + 1 :]} <= {0}
            assert await bench.look("busy", "error_code", "done") == (1, BAD_ADDRESS, 0)
        else:
            assert seen == [(1, int(age >= length)) for age in range(33)]
        await bench.leave()
    one = replace(Configuration(), image_count=1)
    assert await bench.start(one)
    assert await bench.look("checked") == (1,)
    await bench.leave()
    huge = replace(one, image_count=(1 << 32) - 1, image_stride=(1 << 32) - WORD, result_stride=(1 << 32) - WORD)
    assert await bench.start(huge)
    await bench.steps(33, **BUSY_WAITING)
    assert bench.shown["running"] == int(space == 1 << 64)
    await bench.leave()
    if space == 1 << 64:
        # The furthest that anything can lie: the last word of the space, and the most and longest strides behind it.
        assert await bench.start(replace(huge, result_address=space - 2 * WORD))
        await bench.steps(40, **BUSY_WAITING)
        assert bench.shown["error_code"] == BAD_ADDRESS
        await bench.leave()


@cocotb.test()
async def errors_of_one_cycle_have_an_order(dut):
    """Of any errors of the same cycle the first in the order is told, even if the results are complete."""
    bench = await Bench.started(dut)
    top = bench.model.space - 5 * WORD
    for choice, complete in product(product((0, 1), repeat=len(FAILURES)), (0, 1)):
        happened = dict(zip(FAILURES, choice, strict=True))
        # Two images, of which the second is outside: known in the run's second cycle.
        address = {"image_address": top} if happened.pop("range") else {}
        assert await bench.start(replace(Configuration(), image_count=2, **address))
        await bench.step(**BUSY_WAITING)
        await bench.step(**BUSY_WAITING, images_done=2 * complete, **happened)
        # Later ones, each alone and all together, change nothing.
        for later in (*happened, "images_done"):
            if any(choice):
                await bench.step(**BUSY_WAITING, **{later: 2 if later == "images_done" else 1})
        first = next((name for name, is_there in zip(FAILURES, choice, strict=True) if is_there), None)
        code, layer = FAILURES[first] if first else (NONE, 0)
        names = ("running", "busy", "error", "error_code", "error_layer")
        assert await bench.look(*names) == (
            int(not (first or complete)),
            int(bool(first) or not complete),
            0,
            code,
            layer,
        )
        if first:
            await bench.steps(2)
            assert await bench.look("busy", "done", "error", *names[3:]) == (0, 1, 1, code, layer)
        else:
            await bench.leave()


@cocotb.test()
async def a_failed_run_drains(dut):
    """A failed run lasts until reads, writes and the read address are idle in one cycle, in which it ends."""
    bench = await Bench.started(dut)
    for failure in ("stop", "read_error", "write_error", "loader_error"):
        assert await bench.start(Configuration())
        await bench.step(**{failure: 1})
        for reads, writes, address in product((0, 1), repeat=3):
            await bench.steps(
                2 * bench.model.quiet + 3 if not reads * writes * address else 1,
                reads_idle=reads, writes_idle=writes, address_idle=address,
            )  # fmt: skip
            assert bench.shown["busy"] == 1
        assert await bench.look("busy", "done", "error") == (0, 1, 1)


@cocotb.test()
async def a_broken_read_ends_in_silence(dut):
    """After read_broken QUIET cycles without data or a waiting address end the run, not before; writes still count."""
    bench = await Bench.started(dut)
    quiet = bench.model.quiet
    noises = ({"read_beat": 1}, {"address_idle": 0})
    for noise, late, writes in product(noises, (0, 1), (0, 1)):
        assert await bench.start(Configuration())
        await bench.step(**BUSY_WAITING, read_beat=1, **{"stop" if late else "read_broken": 1})
        await bench.steps(2, **BUSY_WAITING, **noise)
        if late:
            # Broken when it has failed already, and in a beat, as it has to be.
            await bench.step(**BUSY_WAITING, read_beat=1, read_broken=1)
        if quiet > 1:
            await bench.steps(quiet - 1, reads_idle=0)
        await bench.step(reads_idle=0, **noise)  # one cycle short of it
        await bench.steps(quiet, reads_idle=0)
        assert bench.shown["busy"] == 1
        if not writes:
            await bench.steps(2 * quiet + 2, reads_idle=0, writes_idle=0)
            await bench.step(reads_idle=0, address_idle=0)
            await bench.steps(quiet, reads_idle=0)
        await bench.step(reads_idle=0)
        assert bench.shown["busy"] == 1
        await bench.step(reads_idle=0)
        assert (bench.shown["busy"], bench.shown["done"], bench.shown["error"]) == (0, 1, 1)
        assert bench.shown["error_code"] == (STOPPED if late else READ_LAST)
        # The next run knows nothing of it.
        assert await bench.start(Configuration())
        await bench.steps(quiet + 2, reads_idle=0)
        await bench.step(stop=1, reads_idle=0)
        await bench.steps(3 * quiet + 2, reads_idle=0)
        assert bench.shown["busy"] == 1
        await bench.leave()


@cocotb.test()
async def cycles_are_counted(dut):
    """`cycles` are those with `busy`, of a finished and of a failed run; any start clears them."""
    bench = await Bench.started(dut)
    for length, drain in product((1, 2, 5, 300), (0, 1, 7)):
        assert await bench.start(Configuration())
        await bench.steps(length - 1, images_done=2, **BUSY_WAITING)
        if drain:
            await bench.step(stop=1)
            await bench.steps(drain - 1, writes_idle=0)
            await bench.step()
        else:
            await bench.step(images_done=3, **BUSY_WAITING)
        expected = (0, 1, int(drain > 0), STOPPED if drain else NONE, length + drain)
        assert await bench.look("busy", "done", "error", "error_code", "cycles") == expected
        await bench.steps(3, stop=1, read_broken=1)
        assert await bench.look("busy", "cycles", "error_code") == (0, length + drain, expected[3])
    assert not await bench.start(replace(Configuration(), param_words=0))
    assert await bench.look("cycles") == (0,)


@cocotb.test()
async def done_and_error_are_cleared(dut):
    """Each is cleared by its own input and by a start; one that rises in the same cycle stays."""
    bench = await Bench.started(dut)
    for clear_done, clear_error, coincide in product((0, 1), repeat=3):
        clear = {"clear_done": clear_done, "clear_error": clear_error}
        assert await bench.start(Configuration())
        await bench.step(stop=1)
        await bench.step(**(clear if coincide else {}))
        assert await bench.look("done", "error") == (1, 1)
        await bench.step(**clear)
        expected = (1 - clear_done, 1 - clear_error, STOPPED)
        assert await bench.look("done", "error", "error_code") == expected
        bench.config = Configuration()
        await bench.step(start=1, **clear)
        assert await bench.look("done", "error", "error_code") == (0, 0, NONE)
        await bench.step(images_done=3, **(clear if coincide else {}))
        assert await bench.look("done", "error") == (1, 0)
        bench.config = replace(Configuration(), image_words=0)
        await bench.step()
        await bench.step(start=1, **(clear if coincide else {}))
        assert await bench.look("done", "error") == (1, 1)


@cocotb.test()
async def a_reset_ends_everything(dut):
    """A reset in a run, while one fails, after it, in the cycle of a start, of an error or of the end: all is clear."""
    bench = await Bench.started(dut)
    waiting = BUSY_WAITING
    stories: list[list[dict[str, int]]] = [
        [],
        [{"start": 1}],
        [{"start": 1}, waiting, waiting],
        [{"start": 1}, waiting, {"loader_error": 1}],
        [{"start": 1}, waiting, {"images_done": 3}],
        [{"start": 1}, {"images_done": 3}, {}],
        [{"start": 1}, {"loader_error": 1}, waiting],
        [{"start": 1}, waiting | {"read_broken": 1}, waiting, waiting],
        [{"start": 1}, {"loader_error": 1}, {}],
        [{"start": 1}, {"loader_error": 1}, {}, {}],
    ]
    names = ("running", "busy", "done", "error", "error_code", "error_layer", "cycles")
    for story, length in product(stories, (1, 3)):
        bench.config = Configuration()
        await bench.step()
        for inputs in story[:-1]:
            await bench.step(**inputs)
        await bench.step(rst=1, **(story[-1] if story else {}))
        if length > 1:
            await bench.steps(length - 1, rst=1, **waiting)
        assert await bench.look(*names) == (0,) * len(names), story
        # Neither that a read was broken nor how long it was quiet outlives it.
        assert await bench.start(Configuration())
        await bench.step(stop=1, reads_idle=0)
        await bench.steps(bench.model.quiet + 3, reads_idle=0)
        assert bench.shown["busy"] == 1
        await bench.leave()
    bench.config = replace(Configuration(), param_words=0)
    await bench.step()
    await bench.step(rst=1, start=1)
    assert await bench.look(*names) == (0,) * len(names)


def _random_configuration(rng: np.random.Generator, space: int) -> Configuration:
    """Mostly sound; ends lie at random or about the end of the address space, faults are few."""

    def number(limit: int) -> int:
        return int(rng.integers(1, 1 << int(rng.integers(1, limit + 1))))

    values: dict[str, int] = {"image_count": number(33 if rng.random() < 0.5 else 4), "param_words": number(20)}
    values["image_count"] = min(values["image_count"], (1 << 32) - 1)
    for kind in ("param", "image", "result"):
        length = values["param_words"] * WORD
        if kind != "param":
            words = number(10)
            stride = WORD * (words + int(rng.integers(0, 3)))
            values |= {f"{kind}_words": words, f"{kind}_stride": stride}
            images = values["image_count"] if rng.random() < 0.8 else int(rng.integers(1, values["image_count"] + 1))
            length = WORD * words + stride * (images - 1)
        room = max(space - length, 0)
        near = room + WORD * int(rng.integers(-1, 2) if rng.random() < 0.4 else 0)
        address = near if rng.random() < 0.5 else int(rng.random() * room) // WORD * WORD
        values[f"{kind}_address"] = min(max(address, 0), (1 << 64) - WORD)
    if rng.random() < 0.3:
        name = str(rng.choice(list(values)))
        values[name] = (0, values[name] ^ 1 << int(rng.integers(0, 32)), values[name] | 1)[int(rng.integers(0, 3))]
    return Configuration(**values)


@cocotb.test()
async def anything_at_any_time(dut):
    """Random runs, errors, waits, clearing and resets; every way to begin and to end has been seen."""
    bench = await Bench.started(dut)
    model = bench.model
    rng = generator(f"simd_control {model.space.bit_length()} {model.quiet}")
    seen: Counter[str] = Counter()
    for _ in range(350):
        bench.config = _random_configuration(rng, model.space)
        error, idle, beat = (
            float(rng.choice(shares)) for shares in ((0, 0.01, 0.2), (0.02, 0.5, 0.98), (0, 0.05, 0.5))
        )
        finish = float(rng.choice([0, 0.02, 0.3]))
        stuck = rng.random() < 0.3  # a memory that owes answers
        started, wait = False, int(rng.integers(1, 4))
        for age in range(60):
            before = model.state, model.silence
            if started and before[0] == "idle" and rng.random() < 0.5:
                break
            chance = dict(zip(QUIESCENT, rng.random(len(QUIESCENT)).tolist(), strict=True))
            flags = ("read_error", "read_broken", "write_error", "loader_error", "stop")
            inputs = {name: int(chance[name] < error) for name in flags}
            if stuck and model.state == "run" and chance["read_broken"] < 0.1:
                inputs["read_broken"] = 1
            inputs |= {name: int(chance[name] < 0.2) for name in ("clear_done", "clear_error")}
            inputs |= {name: int(chance[name] < idle) for name in ("writes_idle", "reads_idle")}
            if stuck:
                inputs["reads_idle"] = 0
            inputs |= {
                "address_idle": int(chance["address_idle"] > beat / 2),
                "read_beat": int(chance["read_beat"] < beat),
            }
            inputs["loader_code"] = int(rng.integers(1, 256))
            inputs["loader_layer"] = int(rng.integers(0, 1 << 16))
            count = bench.config.image_count
            inputs["images_done"] = count if chance["images_done"] < finish else count ^ 1 << int(rng.integers(0, 32))
            inputs["rst"] = int(chance["rst"] < 0.01)
            if age >= wait and model.state == "idle" and (not started or chance["start"] < 0.2):
                inputs["start"], started = 1, True
            await bench.step(**inputs)
            if inputs["rst"]:
                seen[f"reset in {before[0]}"] += 1
            elif inputs.get("start"):
                seen[f"start {model.code}"] += 1
            elif before[0] != "idle" and model.state == "idle":
                seen["broken end" if before[0] == "abort" and not inputs["reads_idle"] else f"end of {before[0]}"] += 1
            elif before[0] == "run" and model.state == "abort":
                seen[f"error {model.code if model.code in (1, 6, 7, 8, 9) and not model.layer else 'loader'}"] += 1
        await bench.step(rst=int(model.state != "idle"))
    wanted = {f"start {code}" for code in (NONE, BAD_ADDRESS, BAD_COUNT)} | {"end of run", "end of abort", "broken end"}
    wanted |= {f"error {name}" for name in (1, 6, 7, 8, 9, "loader")}
    wanted |= {f"reset in {state}" for state in ("idle", "run", "abort")}
    dut._log.info("seen: %s, %d cycles", dict(seen), bench.cycle)
    assert wanted <= set(seen), wanted - set(seen)


@pytest.mark.parametrize(("address_w", "quiet"), [(64, 5), (32, 8), (40, 1)])
def test_simd_control(tmp_path: Path, address_w: int, quiet: int) -> None:
    """simd_control.v begins, fails, drains and ends runs as its description says, cycle by cycle."""
    simulate(__name__, "simd_control", tmp_path, {"ADDRESS_W": address_w, "QUIET": quiet})
