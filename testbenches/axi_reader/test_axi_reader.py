"""axi_reader.v: ranges become bursts, never more of them than there is room for, and their answers are counted."""

from collections import deque
from pathlib import Path

import cocotb
import pytest
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from testbenches.common.axi import PAGE_BYTES, WORD_BYTES
from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import PAIRS, Stall, blocked, flowing
from testbenches.common.stream import known


def cut(address: int, words: int, burst: int) -> list[tuple[int, int, bool]]:
    """The bursts of a range, in words: address, beats, whether it is the range's last."""
    bursts = []
    while words:
        beats = min(burst - address % burst, words)
        bursts.append((address, beats, beats == words))
        address, words = address + beats, words - beats
    return bursts


class Bench:
    """The module, someone who takes its bursts, a memory that answers them, and someone who frees the words."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.burst, self.credits = (getattr(dut, name).value.to_unsigned() for name in ("BURST", "CREDITS"))
        self.width = dut.ADDRESS_W.value.to_unsigned() - 4
        self.stalls: dict[str, Stall] = dict.fromkeys(("take", "answer", "free", "allow", "enable"), flowing())
        self.clear()

    def clear(self) -> None:
        """Forget what went on."""
        self.cycle = 0
        self.bursts: list[tuple[int, int, bool]] = []
        self.burst_cycles: list[int] = []
        self.ends: list[bool] = []
        self.expected_ends: list[bool] = []
        self.waiting: deque[bool] = deque()  # beats owed: whether each is its burst's last
        self.landed = 0  # words that came and have not been freed
        self.room = self.credits
        self.fresh = True

    @classmethod
    async def started(cls, dut) -> "Bench":
        """A bench whose clock runs and whose module has been reset."""
        await Timer(1, "ns")
        bench = cls(dut)
        for name in ("start", "enable", "range_allowed", "burst_ready", "freed", "beat"):
            getattr(dut, name).value = 0
        for name in ("address", "words", "stride", "ranges"):
            getattr(dut, name).value = 0
        dut.rst.value = 1
        start_clock(dut)
        for _ in range(3):
            await FallingEdge(dut.clk)
        assert known(dut.burst_valid) == 0
        assert known(dut.idle) == 1
        dut.rst.value = 0
        return bench

    async def begin(self, address: int, words: int, stride: int, ranges: int) -> None:
        """Start; what follows is the first cycle in which a burst may be shown."""
        dut = self.dut
        self.clear()
        dut.address.value, dut.words.value, dut.stride.value, dut.ranges.value = address, words, stride, ranges
        dut.start.value, dut.beat.value, dut.freed.value = 1, 0, 0
        await FallingEdge(dut.clk)
        dut.start.value = 0

    async def step(self) -> None:
        """One cycle."""
        dut = self.dut
        take, answer, free, allow, enable = (not next(self.stalls[name]) for name in self.stalls)
        beat = answer and bool(self.waiting)
        freed = free and self.landed > 0
        dut.burst_ready.value, dut.beat.value, dut.freed.value = int(take), int(beat), int(freed)
        dut.range_allowed.value, dut.enable.value = int(allow), int(enable)
        await ReadOnly()
        assert known(dut.idle) == (not self.waiting)
        assert known(dut.beat_asked) == bool(self.waiting)
        if self.waiting:
            assert known(dut.beat_end) == self.waiting[0], "beat_end"
        shown = known(dut.burst_valid)
        assert not shown or (enable and (allow or not self.fresh)), "a burst that is not allowed"
        if shown:
            beats = known(dut.burst_length) + 1
            assert beats <= self.room, "a burst without room"
            if take:
                self.bursts.append((known(dut.burst_address), beats, bool(known(dut.range_end))))
                self.burst_cycles.append(self.cycle)
                self.fresh = self.bursts[-1][2]
        if beat:
            self.waiting.popleft()
            self.landed += 1
        if shown and take:
            self.waiting.extend([False] * (beats - 1) + [True])
            self.room -= beats
        self.landed -= freed
        self.room += freed
        await FallingEdge(dut.clk)
        self.cycle += 1

    async def play(self, address: int, words: int, stride: int, ranges: int) -> None:
        """A whole run: the bursts of all ranges, in order, and nothing behind them."""
        await self.begin(address, words, stride, ranges)
        expected = []
        for n in range(ranges):
            expected += cut((address + n * stride) % (1 << self.width), words, self.burst)
        for _ in range(200 * (len(expected) + words * ranges)):
            if len(self.bursts) >= len(expected) and not self.waiting:
                break
            await self.step()
        for _ in range(10):
            await self.step()
        assert self.bursts == expected
        page = PAGE_BYTES // WORD_BYTES
        assert all(first % page + beats <= page for first, beats, _ in self.bursts)


@cocotb.test()
@cocotb.parametrize(stall=list(PAIRS))
async def ranges_become_bursts(dut, stall):
    """Ranges of any length and place, far apart or one behind the other: all their words are asked for, in order."""
    bench = await Bench.started(dut)
    rng = generator(f"axi_reader {stall} {bench.burst}")
    for turn in range(12):
        for name in bench.stalls:
            bench.stalls[name] = PAIRS[stall](rng)[name == "free"]
        words = int(rng.integers(1, 1 + 3 * min(bench.burst, 40)))
        near = int(rng.integers(0, 600))
        place = near if turn % 2 else (1 << bench.width) - near - 4000
        await bench.play(place, words, int(rng.choice([0, words, words + 5, 300])), int(rng.integers(1, 5)))


@cocotb.test()
async def starts_at_once_and_never_pauses(dut):
    """The first burst is shown in the cycle after the start, and one in every cycle while there is room."""
    bench = await Bench.started(dut)
    for words, ranges in ((bench.burst, 1), (1, 3), (bench.credits, 1)):
        await bench.play(5 * bench.burst, words, words, ranges)
        assert bench.burst_cycles[0] == 0
        fitting = sum(1 for n in range(len(bench.bursts)) if sum(b[1] for b in bench.bursts[: n + 1]) <= bench.credits)
        assert bench.burst_cycles[:fitting] == list(range(fitting))


@cocotb.test()
async def uses_all_its_credits(dut):
    """Without anything freed it asks for as many whole bursts as have room, and for one more when that has room."""
    bench = await Bench.started(dut)
    await bench.begin(0, 10 * bench.credits, 0, 1)
    bench.stalls["free"] = blocked()
    for _ in range(2 * bench.credits + 20):
        await bench.step()
    assert len(bench.bursts) == bench.credits // bench.burst
    missing = bench.burst - bench.credits % bench.burst
    bench.stalls["free"] = iter([False] * missing + [True] * 1000)
    for _ in range(missing):
        await bench.step()
        assert len(bench.bursts) == bench.credits // bench.burst
    await bench.step()
    assert len(bench.bursts) == bench.credits // bench.burst + 1


@cocotb.test()
async def nothing_is_asked_while_not_enabled(dut):
    """While enable is low no burst is shown, while range_allowed is low no new range begins; both go on afterwards."""
    bench = await Bench.started(dut)
    await bench.begin(0, 2 * bench.burst, 1024, 2)
    bench.stalls["enable"] = iter([True] * 20 + [False] * 10000)
    for _ in range(20):
        await bench.step()
    assert not bench.bursts
    bench.stalls["allow"] = iter([False] + [True] * (40 + 10 * bench.burst) + [False] * 10000)
    for _ in range(30 + 10 * bench.burst):
        await bench.step()
    assert [burst[2] for burst in bench.bursts] == [False, True]
    for _ in range(60 + 10 * bench.burst):
        await bench.step()
    assert [burst[2] for burst in bench.bursts] == [False, True] * 2


@cocotb.test()
async def an_answer_that_is_not_owed_counts_nothing(dut):
    """A beat while nothing is owed is told by beat_asked and leaves everything as it was."""
    bench = await Bench.started(dut)
    await bench.play(3, 2, 0, 1)
    for _ in range(3):
        dut.beat.value = 1
        await ReadOnly()
        assert known(dut.beat_asked) == 0
        await FallingEdge(dut.clk)
    dut.beat.value = 0
    await FallingEdge(dut.clk)
    assert known(dut.idle) == 1
    await bench.play(3, 5, 0, 1)


@cocotb.test()
async def starts_afresh(dut):
    """A start or a reset forgets what was owed and what was to be asked for, whenever it comes."""
    bench = await Bench.started(dut)
    rng = generator(f"axi_reader afresh {bench.burst}")
    for turn in range(20):
        for name in bench.stalls:
            bench.stalls[name] = PAIRS["both"](rng)[0]
        await bench.begin(int(rng.integers(0, 1000)), int(rng.integers(1, 200)), 7, 3)
        for _ in range(int(rng.integers(1, 60))):
            await bench.step()
        if turn % 2:
            dut.rst.value, dut.beat.value, dut.freed.value = 1, 0, 0
            await FallingEdge(dut.clk)
            dut.rst.value = 0
            bench.clear()
            for _ in range(5):
                await bench.step()
            assert not bench.bursts
        bench.stalls = dict.fromkeys(bench.stalls, flowing())
        bench.stalls["allow"] = iter([True] * 3 + [False] * 10000)
        await bench.play(int(rng.integers(0, 1000)), int(rng.integers(1, 100)), 0, 2)


@pytest.mark.parametrize(
    ("burst", "room", "width"), [(64, 256, 64), (1, 1, 32), (1, 5, 64), (4, 7, 32), (2, 8, 40), (256, 256, 64)]
)
def test_axi_reader(burst: int, room: int, width: int, tmp_path: Path) -> None:
    """axi_reader.v asks for ranges in bursts of every size."""
    parameters = {"BURST": burst, "CREDITS": room, "ADDRESS_W": width}
    simulate(__name__, "axi_reader", tmp_path, parameters)
