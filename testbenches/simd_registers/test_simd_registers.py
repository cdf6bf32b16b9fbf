"""simd_registers.v: an AXI4-Lite subordinate that answers every access as its description says."""

from collections import deque
from pathlib import Path

import cocotb
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from testbenches.common.axi import OKAY, SLVERR, AxiLiteRules
from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import PAIRS, Stall, flowing
from testbenches.common.stream import known

SIZES = {
    "ACTIVATION_WORDS": 1024,
    "IMAGE_WORDS": 256,
    "RESIDUAL_WORDS": 512,
    "WEIGHT_WORDS": 4096,
    "TABLE_WORDS": 2048,
    "CONSTANT_GROUPS": 64,
    "CHUNKS": 32,
    "LAYERS": 16,
    "ACC_W": 24,
}
CONTROL, STATUS = 0x04, 0x08
START, STOP, KEEP, IRQ_ENABLE = 1, 2, 4, 8
CONFIGURATION = {
    0x10: ("param_address", 0),
    0x14: ("param_address", 32),
    0x18: ("param_words", 0),
    0x1C: ("image_count", 0),
    0x20: ("image_address", 0),
    0x24: ("image_address", 32),
    0x28: ("image_words", 0),
    0x2C: ("image_stride", 0),
    0x30: ("result_address", 0),
    0x34: ("result_address", 32),
    0x38: ("result_words", 0),
    0x3C: ("result_stride", 0),
}
"""By offset: the output that shows the register, and its lowest bit there."""
CAPABILITIES = {0x50 + 4 * n: size for n, size in enumerate(SIZES.values())}
FIXED = {0x00: 0x46580001} | CAPABILITIES
PULSES = ("start", "stop", "clear_done", "clear_error")

Access = tuple[str, int, int, int]
"""`read` or `write`, offset, data, strobes."""


class Bench:
    """The module, a master on each of its channels that stalls as it likes, and the rules of the bus."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.rules = AxiLiteRules(dut)
        self.cycle = 0
        self.queues: dict[str, deque[dict[str, int]]] = {name: deque() for name in ("aw", "w", "ar")}
        self.stalls: dict[str, Stall] = dict.fromkeys(("aw", "w", "ar", "b", "r"), flowing())
        self.pulses: list[tuple[int, str]] = []

    @classmethod
    async def started(cls, dut) -> "Bench":
        """A bench whose clock runs and whose module has been reset."""
        await Timer(1, "ns")
        bench = cls(dut)
        dut.rst.value = 1
        for name in ("busy", "done", "error", "error_code", "error_layer", "cycles", "images_done"):
            getattr(dut, name).value = 0
        for name in ("awvalid", "wvalid", "arvalid", "bready", "rready", "awprot", "arprot"):
            getattr(dut, f"s_axil_{name}").value = 0
        for name in ("awaddr", "wdata", "wstrb", "araddr"):
            getattr(dut, f"s_axil_{name}").value = 0
        start_clock(dut)
        await FallingEdge(dut.clk)
        for _ in range(3):
            await bench.step()
        dut.rst.value = 0
        return bench

    async def step(self) -> None:
        """One cycle."""
        dut = self.dut
        for name, queue in self.queues.items():
            channel = self.rules.channels[name]
            valid = getattr(dut, f"s_axil_{name}valid")
            showing = known(valid) and not channel.fired
            if not showing:
                showing = bool(queue) and not next(self.stalls[name])
                if showing:
                    for field, value in queue.popleft().items():
                        getattr(dut, f"s_axil_{name}{field}").value = value
            valid.value = int(showing)
        for name in ("b", "r"):
            getattr(dut, f"s_axil_{name}ready").value = int(not next(self.stalls[name]))
        await ReadOnly()
        self.rules.sample(self.cycle)
        for name in PULSES:
            if known(getattr(dut, name)):
                self.pulses.append((self.cycle, name))
        await FallingEdge(dut.clk)
        self.cycle += 1

    def ask(self, kind: str, offset: int, data: int = 0, strobes: int = 0xF) -> None:
        """Queue an access."""
        if kind == "read":
            self.queues["ar"].append({"addr": offset})
        else:
            self.queues["aw"].append({"addr": offset})
            self.queues["w"].append({"data": data, "strb": strobes})

    async def answered(self, writes: int, reads: int) -> None:
        """Run until so many answers have come in all, and a little longer."""
        monitors = self.rules.monitors
        for _ in range(4000):
            if len(monitors["b"].beats) >= writes and len(monitors["r"].beats) >= reads:
                break
            await self.step()
        for _ in range(10):
            await self.step()
        self.rules.assert_quiet()
        assert (len(monitors["b"].beats), len(monitors["r"].beats)) == (writes, reads)

    async def write(self, offset: int, data: int, strobes: int = 0xF) -> int:
        """Write, and return the response."""
        monitor = self.rules.monitors["b"]
        self.ask("write", offset, data, strobes)
        await self.answered(len(monitor.beats) + 1, len(self.rules.monitors["r"].beats))
        return monitor.beats[-1][0]

    async def read(self, offset: int) -> tuple[int, int]:
        """Read, and return data and response."""
        monitor = self.rules.monitors["r"]
        self.ask("read", offset)
        await self.answered(len(self.rules.monitors["b"].beats), len(monitor.beats) + 1)
        data, response = monitor.beats[-1]
        return data, response

    def shown(self) -> dict[int, int]:
        """The configuration as the outputs show it."""
        return {
            offset: known(getattr(self.dut, name)) >> bit & 0xFFFF_FFFF for offset, (name, bit) in CONFIGURATION.items()
        }


@cocotb.test()
async def every_offset_answers(dut):
    """After a reset every byte offset reads its value with OKAY or, where there is no register, 0 with SLVERR."""
    bench = await Bench.started(dut)
    known_zero = {CONTROL, STATUS, 0x0C, 0x40, 0x44, 0x48, *CONFIGURATION}
    for offset in range(256):
        mapped = offset in FIXED or offset in known_zero
        assert await bench.read(offset) == (FIXED.get(offset, 0), OKAY if mapped else SLVERR), hex(offset)
    assert known(dut.irq) == 0
    assert known(dut.keep) == 0
    assert set(bench.shown().values()) == {0}


@cocotb.test()
async def configuration_is_written_and_read(dut):
    """Each configuration register keeps what it was given, apart from all others, and shows it at its output."""
    bench = await Bench.started(dut)
    rng = generator("simd_registers configuration")
    expected = dict.fromkeys(CONFIGURATION, 0)
    for _ in range(2):
        for offset in rng.permutation(list(CONFIGURATION)).tolist():
            expected[offset] = int(rng.integers(0, 1 << 32))
            assert await bench.write(offset, expected[offset]) == OKAY
            assert bench.shown() == expected
    for offset, value in expected.items():
        assert await bench.read(offset) == (value, OKAY)
    assert not bench.pulses


@cocotb.test()
async def writes_without_effect(dut):
    """Part of a word, an offset without a register or inside a word, and a read-only register: SLVERR and no effect."""
    bench = await Bench.started(dut)
    expected = {}
    for offset in CONFIGURATION:
        expected[offset] = 0x1000 + offset
        await bench.write(offset, expected[offset])
    for strobes in range(15):
        for offset in (0x10, CONTROL, STATUS):
            assert await bench.write(offset, 0xFFFF_FFFF, strobes) == SLVERR
    for offset in range(256):
        if offset not in (CONTROL, STATUS, *CONFIGURATION):
            assert await bench.write(offset, 0xFFFF_FFFF) == SLVERR, hex(offset)
    assert bench.shown() == expected
    assert not bench.pulses
    assert await bench.read(CONTROL) == (0, OKAY)
    for offset, value in FIXED.items():
        assert await bench.read(offset) == (value, OKAY)


@cocotb.test()
async def control_and_status(dut):
    """Each bit of CONTROL and STATUS does its own; start, stop and clearing are pulses of one cycle and read as 0.

    Start and stop in one write contradict each other: SLVERR and no effect.
    """
    bench = await Bench.started(dut)
    written = 0
    for data in range(16):
        bench.pulses.clear()
        if data & START and data & STOP:
            assert await bench.write(CONTROL, data) == SLVERR
            assert not bench.pulses
            assert await bench.read(CONTROL) == (written, OKAY)
            continue
        written = data & (KEEP | IRQ_ENABLE)
        cycle = bench.cycle
        assert await bench.write(CONTROL, data) == OKAY
        names = {START: "start", STOP: "stop"}
        assert [name for _, name in bench.pulses] == [name for bit, name in names.items() if data & bit]
        # Accepted in the first cycle, in effect in the one behind it.
        assert all(at == cycle + 1 for at, _ in bench.pulses)
        assert await bench.read(CONTROL) == (data & (KEEP | IRQ_ENABLE), OKAY)
        assert known(dut.keep) == data >> 2 & 1
    for data in (0, 2, 4, 6, 0xFFFF_FFF9):
        bench.pulses.clear()
        assert await bench.write(STATUS, data) == OKAY
        assert {name for _, name in bench.pulses} == {
            name for bit, name in {2: "clear_done", 4: "clear_error"}.items() if data & bit
        }
    for state in range(8):
        dut.busy.value, dut.done.value, dut.error.value = state & 1, state >> 1 & 1, state >> 2
        assert await bench.read(STATUS) == (state, OKAY)
    for enable in (0, 1):
        for done in (0, 1):
            dut.busy.value, dut.done.value = 0, done
            assert await bench.write(CONTROL, IRQ_ENABLE * enable) == OKAY
            assert known(dut.irq) == (enable & done)
    dut.error_code.value, dut.error_layer.value = 0xA5, 0xBEEF
    dut.cycles.value, dut.images_done.value = 0x0123_4567_89AB_CDEF, 0xFEDC_BA98
    for offset, value in {0x0C: 0xBEEF00A5, 0x40: 0x89AB_CDEF, 0x44: 0x0123_4567, 0x48: 0xFEDC_BA98}.items():
        assert await bench.read(offset) == (value, OKAY)


@cocotb.test()
async def while_busy(dut):
    """While busy: configuration and start answer SLVERR and change nothing; stop, the interrupt and STATUS are open."""
    bench = await Bench.started(dut)
    await bench.write(CONTROL, KEEP)
    dut.busy.value = 1
    for offset in CONFIGURATION:
        assert await bench.write(offset, 0xFFFF_FFFF) == SLVERR
    assert set(bench.shown().values()) == {0}
    for data in (START, START | STOP, START | IRQ_ENABLE):
        assert await bench.write(CONTROL, data) == SLVERR
    assert not bench.pulses
    assert await bench.read(CONTROL) == (KEEP, OKAY)
    assert await bench.write(CONTROL, IRQ_ENABLE) == OKAY
    assert await bench.read(CONTROL) == (KEEP | IRQ_ENABLE, OKAY)
    assert await bench.write(CONTROL, STOP) == OKAY
    assert await bench.write(STATUS, 6) == OKAY
    assert [name for _, name in bench.pulses] == ["stop", "clear_done", "clear_error"]
    assert await bench.read(CONTROL) == (KEEP, OKAY)
    dut.busy.value = 0
    assert await bench.write(CONTROL, 0) == OKAY
    assert known(dut.keep) == 0


@cocotb.test()
async def keep_comes_with_the_start(dut):
    """In the cycle of `start`, start_keep is the bit that was written with it; `keep` shows it one cycle later."""
    bench = await Bench.started(dut)
    for keep in (1, 0):
        bench.ask("write", CONTROL, START | KEEP * keep)
        await bench.step()
        await ReadOnly()
        assert known(dut.start) == 1
        assert known(dut.start_keep) == keep
        assert known(dut.keep) == 1 - keep
        await FallingEdge(dut.clk)
        assert known(dut.keep) == keep
        await bench.answered(len(bench.rules.monitors["b"].beats) + 1, 0)


@cocotb.test()
@cocotb.parametrize(stall=list(PAIRS))
async def accesses_in_any_timing(dut, stall):
    """Address and data in either order, answers that wait: every access is answered in order, each as it should."""
    bench = await Bench.started(dut)
    rng = generator(f"simd_registers {stall}")
    for name in bench.stalls:
        bench.stalls[name] = PAIRS[stall](rng)[name in ("b", "r")]
    expected, responses = dict.fromkeys(CONFIGURATION, 0), []
    for _ in range(150):
        offset, strobes = int(rng.choice([*CONFIGURATION, 0x4C, 0x11])), int(rng.choice([15, 15, 15, 7]))
        data = int(rng.integers(0, 1 << 32))
        bench.ask("write", offset, data, strobes)
        good = offset in CONFIGURATION and strobes == 15
        responses.append(OKAY if good else SLVERR)
        if good:
            expected[offset] = data
        bench.ask("read", 0x50 + 4 * (len(responses) % 10))
    await bench.answered(150, 150)
    assert [resp for (resp,) in bench.rules.monitors["b"].beats] == responses
    assert bench.rules.monitors["r"].beats == [
        (CAPABILITIES[0x50 + 4 * (n % 10)], OKAY) if n % 10 < 9 else (0, SLVERR) for n in range(1, 151)
    ]
    assert bench.shown() == expected


@cocotb.test()
async def an_access_every_two_cycles(dut):
    """Without stalls a write and a read are answered every two cycles."""
    bench = await Bench.started(dut)
    for n in range(20):
        bench.ask("write", 0x18, n)
        bench.ask("read", 0x18)
    await bench.answered(20, 20)
    for name, first in (("b", 2), ("r", 1)):
        cycles = bench.rules.monitors[name].cycles
        assert cycles == [cycles[0] + 2 * n for n in range(20)]
        assert cycles[0] == bench.rules.monitors["a" + name.replace("b", "w")].cycles[0] + first


@cocotb.test()
async def a_reset_forgets(dut):
    """A reset drops accesses under way and clears every register."""
    bench = await Bench.started(dut)
    for cycles in range(5):
        for offset in CONFIGURATION:
            await bench.write(offset, 0xFFFF_FFFF)
        await bench.write(CONTROL, KEEP | IRQ_ENABLE)
        bench.ask("write", 0x10, 1)
        bench.ask("read", 0x10)
        bench.stalls["b"] = bench.stalls["r"] = iter([True] * 20)
        for _ in range(cycles):
            await bench.step()
        dut.rst.value = 1
        for name in ("awvalid", "wvalid", "arvalid"):
            getattr(dut, f"s_axil_{name}").value = 0
        for queue in bench.queues.values():
            queue.clear()
        await bench.step()
        await bench.step()
        dut.rst.value = 0
        bench.stalls["b"] = bench.stalls["r"] = flowing()
        assert await bench.read(CONTROL) == (0, OKAY)
        assert set(bench.shown().values()) == {0}


def test_simd_registers(tmp_path: Path) -> None:
    """simd_registers.v answers every access as its description says."""
    simulate(__name__, "simd_registers", tmp_path, SIZES)
