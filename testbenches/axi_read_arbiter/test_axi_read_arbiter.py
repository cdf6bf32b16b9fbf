"""axi_read_arbiter.v: bursts of parameters and of images on one address channel, in the right order."""

from pathlib import Path
from typing import NamedTuple

import cocotb
import numpy as np
import pytest
from cocotb.triggers import FallingEdge, ReadOnly, Timer

from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import PAIRS, blocked, bursts, flowing, random
from testbenches.common.stream import known

PARAMETERS, IMAGES = 0, 1


class Burst(NamedTuple):
    """What stands on the address channel."""

    identity: int
    address: int  # in bytes
    length: int


class Bench:
    """The module, a clock, and what the module's header promises, cycle by cycle."""

    def __init__(self, dut, rng: np.random.Generator) -> None:
        self.dut = dut
        self.rng = rng
        self.width = dut.ADDRESS_W.value.to_unsigned()
        self.clear()

    def clear(self) -> None:
        """What a reset leaves."""
        self.standing: Burst | None = None
        self.images_may_go = False
        self.accepted: list[Burst] = []

    @classmethod
    async def started(cls, dut, name: str) -> "Bench":
        """A bench whose clock runs and whose module has been reset."""
        await Timer(1, "ns")
        bench = cls(dut, generator(f"axi_read_arbiter {dut.ADDRESS_W.value} {name}"))
        dut.rst.value, dut.start.value = 1, 0
        bench.drive({}, ready=False)
        start_clock(dut)
        for _ in range(2):
            await FallingEdge(dut.clk)
        assert known(dut.m_axi_arvalid) == 0
        assert len(dut.m_axi_araddr) == bench.width
        assert len(dut.parameter_address) == len(dut.image_address) == bench.width - 4
        dut.rst.value = 0
        return bench

    def burst(self, identity: int) -> Burst:
        """Any burst, the greatest among them."""
        words, most = int(self.rng.integers(1 << (self.width - 4))), (1 << (self.width - 4)) - 1
        kind = int(self.rng.integers(8))
        if kind < 2:
            return Burst(identity, 16 * most * kind, 255 * kind)
        return Burst(identity, 16 * words, int(self.rng.integers(256)))

    def drive(self, offers: dict[int, Burst], ready: bool) -> None:
        """Offer these bursts; who has none to offer shows noise."""
        for identity, name in enumerate(("parameter", "image")):
            shown = offers.get(identity) or self.burst(identity)
            getattr(self.dut, f"{name}_valid").value = int(identity in offers)
            getattr(self.dut, f"{name}_address").value = shown.address // 16
            getattr(self.dut, f"{name}_length").value = shown.length
        self.dut.m_axi_arready.value = int(ready)

    async def step(self, offers: dict[int, Burst], ready: bool, rst: bool = False, start: bool = False) -> int | None:
        """One cycle, compared with the model; returns who was taken, if anybody was."""
        dut = self.dut
        self.drive(offers, ready)
        dut.rst.value, dut.start.value = int(rst), int(start)
        await ReadOnly()
        shown = None
        if known(dut.m_axi_arvalid):
            shown = Burst(known(dut.m_axi_arid), known(dut.m_axi_araddr), known(dut.m_axi_arlen))
        assert shown == self.standing
        free = self.standing is None or ready
        taken = None
        if free and IMAGES in offers and self.images_may_go:
            taken = IMAGES
        elif free and PARAMETERS in offers:
            taken = PARAMETERS
        # A ready without a valid takes nothing, and one in a reset means nothing.
        if not rst:
            for identity, name in enumerate(("parameter", "image")):
                if identity in offers:
                    assert known(getattr(dut, f"{name}_ready")) == (taken == identity), name
        await FallingEdge(dut.clk)
        if self.standing is not None and ready:
            self.accepted.append(self.standing)
        if rst:
            self.clear()
            return None
        if free:
            self.standing = None if taken is None else offers[taken]
        # A burst taken in the cycle of the start goes before it.
        self.images_may_go = not start and (self.images_may_go or taken == PARAMETERS)
        return taken

    async def rounds(self, offers: dict[int, Burst], count: int) -> list[int | None]:
        """So many cycles with these offers on a channel that is always ready: who was taken in each."""
        return [await self.step(offers, ready=True) for _ in range(count)]


@cocotb.test()
@cocotb.parametrize(stall=list(PAIRS))
async def every_burst_goes_once_in_order(dut, stall):
    """Offers that wait until they are taken all arrive, once, each stream in its order, whoever holds back."""
    bench = await Bench.started(dut, f"order {stall}")
    to_come = {identity: [bench.burst(identity) for _ in range(100)] for identity in (PARAMETERS, IMAGES)}
    sent = {identity: list(queue) for identity, queue in to_come.items()}
    stalls = {identity: PAIRS[stall](bench.rng)[0] for identity in to_come}
    sink = PAIRS[stall](bench.rng)[1]
    offers: dict[int, Burst] = {}
    for _ in range(5000):
        for identity, queue in to_come.items():
            if not next(stalls[identity]) and identity not in offers and queue:
                offers[identity] = queue.pop(0)
        taken = await bench.step(offers, not next(sink))
        if taken is not None:
            del offers[taken]
        if len(bench.accepted) == 200:
            break
    assert bench.accepted[0] == sent[PARAMETERS][0]
    for identity, bursts_sent in sent.items():
        assert [burst for burst in bench.accepted if burst.identity == identity] == bursts_sent


@cocotb.test()
async def parameters_first_then_images(dut):
    """After a start images wait for one burst of parameters, however long; then they go before parameters."""
    bench = await Bench.started(dut, "first")
    both = {identity: bench.burst(identity) for identity in (PARAMETERS, IMAGES)}
    image, parameter = {IMAGES: both[IMAGES]}, {PARAMETERS: both[PARAMETERS]}
    for _ in range(3):
        assert await bench.step({}, ready=True, start=True) is None
        assert await bench.rounds(image, 20) == [None] * 20
        assert await bench.rounds(both, 3) == [PARAMETERS, IMAGES, IMAGES]
        assert await bench.rounds(parameter, 3) == [PARAMETERS] * 3
        assert await bench.rounds(image, 3) == [IMAGES] * 3
        assert await bench.rounds({}, 5) == [None] * 5
        assert await bench.rounds(both, 3) == [IMAGES] * 3


@cocotb.test()
@cocotb.parametrize(again=["rst", "start"])
async def images_wait_anew(dut, again):
    """After a reset, or a start, images wait once more; what stood at a start stands until it is accepted."""
    bench = await Bench.started(dut, again)
    both = {identity: bench.burst(identity) for identity in (PARAMETERS, IMAGES)}
    assert await bench.rounds(both, 2) == [PARAMETERS, IMAGES]
    assert await bench.step(both, ready=False, **{again: True}) is None
    assert bench.standing == (both[IMAGES] if again == "start" else None)
    for _ in range(4):
        await bench.step({IMAGES: both[IMAGES]}, ready=False)
    assert await bench.rounds({IMAGES: both[IMAGES]}, 4) == [None] * 4
    assert await bench.rounds(both, 3) == [PARAMETERS, IMAGES, IMAGES]
    # Parameters taken in the very cycle of the reset or start do not open the way.
    await bench.step({PARAMETERS: both[PARAMETERS]}, ready=True, **{again: True})
    assert await bench.rounds(both, 2) == [PARAMETERS, IMAGES]


@cocotb.test()
async def a_burst_every_cycle(dut):
    """On a channel that is always ready a burst goes every cycle, one cycle after it was taken."""
    bench = await Bench.started(dut, "rate")
    for cycle in range(100):
        offers = {identity: bench.burst(identity) for identity in (PARAMETERS, IMAGES)}
        if cycle % 3 == 0:
            del offers[IMAGES]
        assert await bench.step(offers, ready=True) == (PARAMETERS if cycle % 3 == 0 else IMAGES)
        assert len(bench.accepted) == cycle
        assert bench.standing is not None


@cocotb.test()
async def what_stands_stays(dut):
    """Bursts that are not accepted stand unchanged, whatever is offered or started meanwhile."""
    bench = await Bench.started(dut, "stays")
    for _ in range(10):
        for identity in (PARAMETERS, IMAGES):
            burst = bench.burst(identity)
            assert await bench.step({identity: burst}, ready=True) == identity
            for cycle in range(10):
                noise = {other: bench.burst(other) for other in (PARAMETERS, IMAGES)}
                start = cycle == 5 and identity == IMAGES
                assert await bench.step(noise, ready=False, start=start) is None
                assert bench.standing == burst


@cocotb.test()
@cocotb.parametrize(busy=[0.2, 0.5, 0.9], slow=["none", "half", "mostly", "bursts", "blocked"])
async def anything_at_any_time(dut, busy, slow):
    """Random offers that come and go, any readiness, starts and resets at any time."""
    bench = await Bench.started(dut, f"any {busy} {slow}")
    rng = bench.rng
    sink = {
        "none": flowing(),
        "half": random(rng, 0.5),
        "mostly": random(rng, 0.85),
        "bursts": bursts(rng, 12),
        "blocked": blocked(),
    }[slow]
    for _ in range(60 if slow == "blocked" else 300):
        offers = {identity: bench.burst(identity) for identity in (PARAMETERS, IMAGES) if rng.random() < busy}
        rst, start = (rng.random(2) < (0.03, 0.08)).tolist()
        await bench.step(offers, not next(sink), rst, start)


@pytest.mark.parametrize("width", [32, 40, 64])
def test_axi_read_arbiter(width: int, tmp_path: Path) -> None:
    """axi_read_arbiter.v orders the bursts of two streams."""
    simulate(__name__, "axi_read_arbiter", tmp_path, {"ADDRESS_W": width})
