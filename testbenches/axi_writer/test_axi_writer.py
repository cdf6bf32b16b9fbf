"""axi_writer.v: results go to memory, several at a time, and images count once all their words are acknowledged."""

from pathlib import Path

import cocotb
import pytest
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import PAIRS, Stall, blocked, flowing
from testbenches.common.stream import ProtocolError, known

SLVERR = 2
SHOWN = {"aw": "awaddr", "w": "wdata"}


class Bench:
    """The module, a source of results that heeds result_ready as a core does, and a memory that answers writes."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.most = dut.OUTSTANDING.value.to_unsigned()
        self.width = dut.ADDRESS_W.value.to_unsigned()
        self.stalls: dict[str, Stall] = dict.fromkeys(("result", "aw", "w", "b", "enable"), flowing())
        self.clear()

    def clear(self) -> None:
        """Forget what went on."""
        self.cycle = 0
        self.to_come: list[int] = []
        self.promised = 0  # results that may still come, whatever result_ready says
        self.taken: dict[str, list[int]] = {"aw": [], "w": []}
        self.cycles: dict[str, list[int]] = {"aw": [], "w": []}
        self.owed: dict[str, int | None] = {"aw": None, "w": None}
        self.answers = 0
        self.errors: list[int] = []
        self.bad: set[int] = set()  # numbers of the answers that are errors
        self.words = 1

    @classmethod
    async def started(cls, dut) -> "Bench":
        """A bench whose clock runs and whose module has been reset."""
        await Timer(1, "ns")
        bench = cls(dut)
        names = ("flush", "start", "enable", "result_valid", "m_axi_awready", "m_axi_wready", "m_axi_bvalid")
        for name in (*names, "m_axi_bresp", "result_data", "address", "stride"):
            getattr(dut, name).value = 0
        dut.words.value = 1
        dut.rst.value = dut.flush.value = 1
        start_clock(dut)
        for _ in range(3):
            await FallingEdge(dut.clk)
        for name in ("m_axi_awvalid", "m_axi_wvalid", "response_error"):
            assert known(getattr(dut, name)) == 0
        assert known(dut.idle) == 1
        assert (len(dut.m_axi_awaddr), len(dut.address)) == (bench.width, bench.width - 4)
        dut.rst.value = dut.flush.value = 0
        return bench

    async def begin(self, address: int, words: int, stride: int) -> None:
        """Start; addresses in words."""
        dut = self.dut
        self.clear()
        self.words = words
        dut.address.value, dut.words.value, dut.stride.value, dut.start.value = address, words, stride, 1
        await FallingEdge(dut.clk)
        dut.start.value = 0

    async def step(self) -> None:
        """One cycle."""
        dut = self.dut
        go = {name: not next(stall) for name, stall in self.stalls.items()}
        if known(dut.result_ready):
            self.promised = 4
        result = go["result"] and bool(self.to_come) and self.promised > 0
        if result:
            self.promised -= 1
            dut.result_data.value = self.to_come.pop(0)
        complete = min(len(self.taken["aw"]), len(self.taken["w"]))
        answer = go["b"] and self.answers < complete
        dut.result_valid.value = int(result)
        dut.enable.value = int(go["enable"])
        dut.m_axi_bvalid.value = int(answer)
        dut.m_axi_bresp.value = SLVERR if self.answers in self.bad else 0
        for name in SHOWN:
            getattr(dut, f"m_axi_{name}ready").value = int(go[name])
        await ReadOnly()
        assert known(dut.m_axi_bready) == 1
        shown = max(len(self.taken[name]) + known(getattr(dut, f"m_axi_{name}valid")) for name in SHOWN)
        assert shown - self.answers <= self.most + 1, "too many writes unanswered"
        if shown > self.answers:
            assert known(dut.idle) == 0
        if known(dut.response_error):
            self.errors.append(self.cycle)
        for name, payload in SHOWN.items():
            valid, value = known(getattr(dut, f"m_axi_{name}valid")), None
            if valid:
                value = known(getattr(dut, f"m_axi_{payload}"))
            if self.owed[name] is not None and value != self.owed[name]:
                raise ProtocolError(f"{name} changed from {self.owed[name]} to {value} while it waited")
            self.owed[name] = value if valid and not go[name] else None
            if valid and go[name]:
                self.taken[name].append(value)
                self.cycles[name].append(self.cycle)
        self.answers += answer
        await FallingEdge(dut.clk)
        self.cycle += 1

    async def finish(self, count: int) -> None:
        """Run until so many writes have been answered, and a little longer."""
        for _ in range(200 * count + 200):
            if self.answers >= count:
                break
            await self.step()
        for _ in range(20):
            await self.step()
        assert self.answers == count
        assert known(self.dut.idle) == 1

    async def play(self, address: int, words: int, stride: int, results: list[int]) -> None:
        """A run of whole images: every word where it belongs."""
        await self.begin(address, words, stride)
        self.to_come = list(results)
        await self.finish(len(results))
        places = [address + n // words * stride + n % words for n in range(len(results))]
        assert self.taken["aw"] == [16 * place % (1 << self.width) for place in places]
        assert self.taken["w"] == results
        assert known(self.dut.images_done) == len(results) // words
        assert not self.errors


def results(name: str, count: int) -> list[int]:
    """Random words."""
    rng = generator(f"axi_writer {name}")
    return [int.from_bytes(rng.bytes(16), "little") for _ in range(count)]


@cocotb.test()
@cocotb.parametrize(stall=list(PAIRS))
async def results_go_to_memory(dut, stall):
    """Every word is written where it belongs, whoever waits: address before data, data before address, or neither."""
    bench = await Bench.started(dut)
    rng = generator(f"axi_writer {stall}")
    for turn, (words, stride) in enumerate(((1, 1), (1, 7), (3, 3), (5, 300))):
        for name in bench.stalls:
            bench.stalls[name] = PAIRS[stall](rng)[name != "result"]
        near = int(rng.integers(0, 5000))
        place = near if turn % 2 else (1 << (bench.width - 4)) - near - 5000
        await bench.play(place, words, stride, results(f"{stall} {words}", 12 * words))


@cocotb.test()
@cocotb.parametrize(late=["aw", "w"])
async def either_channel_may_come_first(dut, late):
    """One word's address, or its data, is taken while the other waits; the next word waits for both."""
    bench = await Bench.started(dut)
    await bench.begin(100, 2, 2)
    bench.to_come = results("late", 2)
    bench.stalls[late] = blocked()
    for _ in range(20):
        await bench.step()
    assert {name: len(taken) for name, taken in bench.taken.items()} == {"aw": late != "aw", "w": late != "w"}
    bench.stalls[late] = flowing()
    await bench.finish(2)


@cocotb.test()
async def keeps_its_limits(dut):
    """OUTSTANDING writes are shown without an answer, and no more; 16 further results are held, none is lost."""
    bench = await Bench.started(dut)
    await bench.begin(0, 50, 50)
    words = results("limits", 50)
    bench.to_come = list(words)
    bench.stalls["b"] = blocked()
    for _ in range(60):
        await bench.step()
    assert len(bench.taken["aw"]) == bench.most
    held = 50 - len(bench.to_come) - bench.most
    assert 9 <= held <= 13, "result_ready means room for 8, and lets 4 more come"
    bench.stalls["b"] = flowing()
    await bench.finish(50)
    assert bench.taken["w"] == words
    assert known(dut.images_done) == 1


@cocotb.test()
async def is_ready_while_there_is_room_for_eight(dut):
    """With nothing leaving, result_ready is high up to 8 words of the 16 there is room for, and low from the 9th on."""
    bench = await Bench.started(dut)
    await bench.begin(0, 13, 13)
    assert known(dut.result_ready) == 1
    for held, word in enumerate(results("room", 13), 1):
        dut.result_data.value, dut.result_valid.value = word, 1
        await FallingEdge(dut.clk)
        dut.result_valid.value = 0
        assert known(dut.result_ready) == int(held <= 8), held
        await FallingEdge(dut.clk)
        assert known(dut.result_ready) == int(held <= 8), held


@cocotb.test()
async def nothing_is_shown_while_not_enabled(dut):
    """While enable is low results wait, up to the room there is for them; then all are written."""
    bench = await Bench.started(dut)
    await bench.begin(0, 12, 12)
    words = results("enable", 12)
    bench.to_come = list(words)
    bench.stalls["enable"] = iter([True] * 30 + [False] * 10000)
    for _ in range(30):
        await bench.step()
        assert known(dut.m_axi_awvalid) == known(dut.m_axi_wvalid) == 0
    assert known(dut.idle) == 1
    await bench.finish(12)
    assert bench.taken["w"] == words


@cocotb.test()
async def writes_a_word_every_cycle(dut):
    """Where nobody waits a word is written in every cycle, two cycles after it came."""
    bench = await Bench.started(dut)
    if bench.most < 16:
        return
    await bench.play(0, 40, 40, results("rate", 40))
    for name in SHOWN:
        assert bench.cycles[name] == list(range(2, 42))


@cocotb.test()
async def counts_whole_images(dut):
    """An image counts two cycles after the answer to its last word; of images behind an error none counts."""
    bench = await Bench.started(dut)
    for bad in (None, 0, 4, 5, 11):
        await bench.begin(0, 3, 3)
        bench.to_come = results("count", 12)
        bench.bad = set() if bad is None else {bad}
        whole = 4 if bad is None else bad // 3
        answers = 0
        while answers < 12:
            answers = bench.answers
            await bench.step()
            # Now it is two cycles after the last of these answers.
            assert known(dut.images_done) == min(answers // 3, whole)
        await bench.step()
        assert known(dut.images_done) == whole
        assert len(bench.errors) == (bad is not None)


@cocotb.test()
async def finishes_what_it_has_shown(dut):
    """With enable low and the queue flushed, what is shown stands until it is taken, and nothing follows it."""
    bench = await Bench.started(dut)
    for waits in (("aw",), ("w",), ("aw", "w"), ()):
        await bench.begin(0, 20, 20)
        words = results("flush", 12)
        bench.to_come = list(words)
        for name in waits:
            bench.stalls[name] = blocked()
        for _ in range(10):
            await bench.step()
        bench.to_come = []
        bench.stalls["enable"] = blocked()
        dut.flush.value = 1
        for _ in range(10):
            await bench.step()
        for name in waits:
            bench.stalls[name] = flowing()
        for _ in range(30):
            await bench.step()
        assert known(dut.idle) == 1
        assert len(bench.taken["aw"]) == len(bench.taken["w"]) == bench.answers
        if waits:
            assert len(bench.taken["aw"]) == 1
        dut.flush.value = 0
        bench.stalls["enable"] = flowing()
        await bench.play(1000, 2, 5, results("behind a flush", 6))


@cocotb.test()
async def an_answer_that_is_not_owed_is_swallowed(dut):
    """An answer while nothing is owed, an error even, neither counts nor complains."""
    bench = await Bench.started(dut)
    await bench.play(0, 1, 1, results("strangers", 2))
    dut.m_axi_bvalid.value, dut.m_axi_bresp.value = 1, SLVERR
    for _ in range(4):
        await ReadOnly()
        assert known(dut.response_error) == 0
        assert known(dut.idle) == 1
        await FallingEdge(dut.clk)
    dut.m_axi_bvalid.value = 0
    for _ in range(3):
        await FallingEdge(dut.clk)
        assert known(dut.response_error) == 0
    assert known(dut.images_done) == 2
    await bench.play(0, 1, 1, results("strangers", 3))


@cocotb.test()
@cocotb.parametrize(late=["aw", "w"])
async def is_not_idle_while_anything_is_shown(dut, late):
    """Even if an answer comes before its time, what is shown and not taken yet is not idle."""
    bench = await Bench.started(dut)
    await bench.begin(0, 1, 1)
    bench.to_come = results("early", 1)
    bench.stalls[late] = blocked()
    for _ in range(6):
        await bench.step()
    dut.m_axi_bvalid.value, dut.m_axi_bresp.value = 1, 0
    await FallingEdge(dut.clk)
    dut.m_axi_bvalid.value = 0
    for _ in range(4):
        assert known(getattr(dut, f"m_axi_{late}valid")) == 1
        assert known(dut.idle) == 0
        await FallingEdge(dut.clk)
    getattr(dut, f"m_axi_{late}ready").value = 1
    await FallingEdge(dut.clk)
    assert known(dut.idle) == 1


@cocotb.test()
async def a_reset_forgets(dut):
    """A reset drops what was shown, queued and owed, and the images that were done, before any start."""
    bench = await Bench.started(dut)
    assert known(dut.images_done) == 0
    rng = generator("axi_writer reset")
    for _ in range(15):
        for name in bench.stalls:
            bench.stalls[name] = PAIRS["both"](rng)[0]
        await bench.begin(0, 4, 4)
        bench.to_come = results("reset", 20)
        for _ in range(int(rng.integers(1, 40))):
            await bench.step()
        dut.rst.value = dut.flush.value = 1
        dut.result_valid.value = dut.m_axi_bvalid.value = 0
        await FallingEdge(dut.clk)
        assert known(dut.m_axi_awvalid) == known(dut.m_axi_wvalid) == 0
        assert known(dut.idle) == 1
        assert known(dut.images_done) == 0
        dut.rst.value = dut.flush.value = 0
        bench.stalls = dict.fromkeys(bench.stalls, flowing())
        await bench.play(7, 2, 3, results("behind a reset", 4))


@pytest.mark.parametrize(("outstanding", "width"), [(16, 64), (1, 32), (3, 40)])
def test_axi_writer(outstanding: int, width: int, tmp_path: Path) -> None:
    """axi_writer.v writes results and counts images."""
    simulate(__name__, "axi_writer", tmp_path, {"OUTSTANDING": outstanding, "ADDRESS_W": width})
