"""Scenarios of the scoreboard, which test_cocotb.py has a simulator run: what signals show, and who watches them.

A scenario passes, or fails with the message that test_cocotb.py expects of it.
"""

from collections.abc import Sequence
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge
from cocotb.types import LogicArray

from fxsim import Graph, Model, Node
from fxsim.cocotb import Bus, Scoreboard, ScoreboardError
from fxsim.contract import Number, Tensor
from fxsim.errors import FxsimError
from fxsim.operators import Relu

IMAGES = np.array([[[1, -2], [3, -4]], [[5, 6], [-7, 8]]], np.int8)
RIGHT = [1, 0, 3, 0, 5, 6, 0, 8]
"""What a rectifier makes of them."""


def relu(number: str = "int8", shape: tuple[int, int] = (2, 2)) -> Model:
    """A model of one rectifier."""
    tensor = Tensor(("token", "channel"), shape, Number.parse(number))
    return Model(Graph(tensor, [Node("relu", Relu(), ("input",))]), "toy")


async def start(dut: Any, model: Model | None = None, images: Any = IMAGES, **options: Any) -> Scoreboard:
    """A clock, quiet signals, a reset that is over, and a scoreboard."""
    for name in ("w_tvalid", "w_tready", "w_tlast", "w_tkeep", "w_tdata", "plain_valid", "rst"):
        getattr(dut, name).value = 0
    Clock(dut.clk, 10, "ns").start()
    await RisingEdge(dut.clk)
    return Scoreboard(relu() if model is None else model, images, dut.clk, reset=dut.rst, seed=1, **options)


async def play(dut: Any, values: Sequence[int | str]) -> None:
    """Show one value a cycle on the plain bus; text shows bits."""
    for value in values:
        dut.plain_data.value = LogicArray(value) if isinstance(value, str) else value & 0xFF
        dut.plain_valid.value = 1
        await RisingEdge(dut.clk)
    dut.plain_valid.value = 0


async def play_words(dut: Any, beats: Sequence[tuple[int, int, int]]) -> None:
    """Show (data, last, keep) on the wide bus, one a cycle."""
    dut.w_tready.value = 1
    for data, last, keep in beats:
        dut.w_tdata.value, dut.w_tlast.value, dut.w_tkeep.value, dut.w_tvalid.value = data, last, keep, 1
        await RisingEdge(dut.clk)
    dut.w_tvalid.value = 0


async def plain(dut: Any, values: Sequence[int | str], **options: Any) -> Any:
    """Values on the plain bus against the rectifier, to the end."""
    monitor = {name: options.pop(name) for name in ("order", "frame") if name in options}
    scoreboard = await start(dut, **options)
    scoreboard.monitor("relu", Bus.at(dut, "plain"), **monitor)
    await play(dut, values)
    return await scoreboard.finished(timeout_cycles=20, settle_cycles=5)


@cocotb.test()
async def right(dut: Any) -> None:
    """Right values pass, and are all counted."""
    comparison = await plain(dut, RIGHT)
    assert comparison.equal
    assert (comparison.compared, comparison.images, comparison.taps[0].tap) == (8, 2, "relu")


@cocotb.test()
async def wrong_value(dut: Any) -> None:
    """One value is wrong."""
    await plain(dut, [*RIGHT[:6], 9, 8])


@cocotb.test()
async def right_order(dut: Any) -> None:
    """Channels slower than tokens, and said so."""
    await plain(dut, [1, 3, 0, 0, 5, 0, 6, 8], order=("channel", "token"))


@cocotb.test()
async def wrong_order(dut: Any) -> None:
    """Tokens slower, where channels should be."""
    await plain(dut, RIGHT, order=("channel", "token"))


@cocotb.test()
async def unknown_bit(dut: Any) -> None:
    """One bit is X."""
    await plain(dut, [1, "0000X000"])


@cocotb.test()
async def unknown_value(dut: Any) -> None:
    """All bits are X, of a value that reads as 0 where X is taken for 0."""
    await plain(dut, [1, "XXXXXXXX"])


@cocotb.test()
async def floating_value(dut: Any) -> None:
    """All bits are Z."""
    await plain(dut, ["ZZZZZZZZ"])


@cocotb.test()
async def unknown_valid(dut: Any) -> None:
    """Valid is X."""
    scoreboard = await start(dut)
    scoreboard.monitor("relu", Bus.at(dut, "plain"))
    dut.plain_valid.value = LogicArray("X")[0]
    await scoreboard.finished()


@cocotb.test()
async def missing(dut: Any) -> None:
    """Two values never come."""
    await plain(dut, RIGHT[:6])


@cocotb.test()
async def missing_at_check(dut: Any) -> None:
    """A check, without waiting, demands as much."""
    scoreboard = await start(dut)
    scoreboard.monitor("relu", Bus.at(dut, "plain"))
    await play(dut, RIGHT[:1])
    scoreboard.check()


@cocotb.test()
async def surplus(dut: Any) -> None:
    """One value too many comes after all were right."""
    await plain(dut, [*RIGHT, 3])


@cocotb.test()
async def never_checked(dut: Any) -> None:
    """Nobody asks whether all came."""
    scoreboard = await start(dut)
    scoreboard.monitor("relu", Bus.at(dut, "plain"))
    await play(dut, RIGHT[:1])


@cocotb.test()
async def collected_and_never_checked(dut: Any) -> None:
    """Differences are collected, and nobody asks for them."""
    scoreboard = await start(dut, collect=10)
    scoreboard.monitor("relu", Bus.at(dut, "plain"))
    await play(dut, [2, 0, 3])
    await RisingEdge(dut.clk)


@cocotb.test()
async def own_failure(dut: Any) -> None:
    """A test that fails of itself says only that."""
    scoreboard = await start(dut)
    scoreboard.monitor("relu", Bus.at(dut, "plain"))
    raise AssertionError("of the test itself")


@cocotb.test()
async def nothing_watched(dut: Any) -> None:
    """A scoreboard without a monitor compares nothing."""
    await (await start(dut)).finished()


@cocotb.test()
async def collected(dut: Any) -> None:
    """All differences up to the third are kept."""
    await plain(dut, [2, 0, 4, 1, 9, 9], collect=3)


@cocotb.test()
async def collected_to_the_end(dut: Any) -> None:
    """Fewer differences than are collected fail the test at its end."""
    await plain(dut, [2, *RIGHT[1:6], 1, 8], collect=10)


@cocotb.test()
async def reset_between(dut: Any) -> None:
    """A reset after values have passed."""
    scoreboard = await start(dut)
    scoreboard.monitor("relu", Bus.at(dut, "plain"))
    await play(dut, RIGHT[:3])
    dut.rst.value = 1
    await scoreboard.finished()


@cocotb.test()
async def values_in_reset(dut: Any) -> None:
    """What shows in a reset does not count."""
    scoreboard = await start(dut)
    dut.rst.value = 1
    scoreboard.monitor("relu", Bus.at(dut, "plain"))
    await play(dut, [9, "XXXXXXXX", 9])
    dut.rst.value = 0
    await play(dut, RIGHT)
    await scoreboard.finished()


async def words(dut: Any, beats: Sequence[tuple[int, int, int]], **options: Any) -> None:
    """Beats on the wide bus, two lanes each, against the rectifier."""
    scoreboard = await start(dut)
    w = Bus.at(dut, "w")
    scoreboard.monitor("relu", w, **({"lanes": 2} | options))
    await play_words(dut, beats)
    await scoreboard.finished(timeout_cycles=20)


BEATS = [(0x0001, 0, 3), (0x0003, 1, 3), (0x0605, 0, 3), (0x0800, 1, 3)]


@cocotb.test()
async def right_words(dut: Any) -> None:
    """Two lanes a beat, the first one least significant; last with each image."""
    await words(dut, BEATS)


@cocotb.test()
async def right_words_most_significant_first(dut: Any) -> None:
    """The first lane most significant; last with each token."""
    await words(dut, [(0x0100, 1, 3), (0x0300, 1, 3), (0x0506, 1, 3), (0x0008, 1, 3)], first_lane="most", frame="token")


@cocotb.test()
async def lanes_the_wrong_way_round(dut: Any) -> None:
    """The first lane most significant, where it should be least."""
    await words(dut, [(0x0100, 0, 3), *BEATS[1:]])


@cocotb.test()
async def last_missing(dut: Any) -> None:
    """An image ends without last."""
    await words(dut, [BEATS[0], (0x0003, 0, 3)])


@cocotb.test()
async def last_early(dut: Any) -> None:
    """Last stands where no image ends."""
    await words(dut, [(0x0001, 1, 3)])


@cocotb.test()
async def last_anywhere(dut: Any) -> None:
    """Last is not looked at without frames."""
    await words(dut, [(data, 1 - last, keep) for data, last, keep in BEATS], frame="none")


@cocotb.test()
async def keep_wrong(dut: Any) -> None:
    """Keep leaves a lane out that carries a value."""
    await words(dut, [(0x0001, 0, 1)])


@cocotb.test()
async def partial_beats(dut: Any) -> None:
    """Three values a token in beats of two, each token with a beat that keep says is half full."""
    images = np.array([[[1, -2, 3]]], np.int8)
    scoreboard = await start(dut, relu(shape=(1, 3)), images)
    scoreboard.monitor("relu", Bus.at(dut, "w"), lanes=2)
    await play_words(dut, [(0x0001, 0, 3), (0xFF03, 1, 1)])
    await scoreboard.finished()


async def show(dut: Any, *cycles: tuple[int, int, int]) -> None:
    """Show (data, valid, ready) on the wide bus, one a cycle, against the rectifier."""
    scoreboard = await start(dut)
    dut.w_tkeep.value = 3
    scoreboard.monitor("relu", Bus.at(dut, "w"), lanes=2)
    for data, valid, ready in cycles:
        dut.w_tdata.value, dut.w_tvalid.value, dut.w_tready.value = data, valid, ready
        await RisingEdge(dut.clk)
    await scoreboard.finished(timeout_cycles=5)


@cocotb.test()
async def withdrawn(dut: Any) -> None:
    """A beat goes before it was taken."""
    await show(dut, (1, 1, 0), (1, 0, 0))


@cocotb.test()
async def changed(dut: Any) -> None:
    """A beat changes before it was taken."""
    await show(dut, (1, 1, 0), (2, 1, 0))


@cocotb.test()
async def taken_once(dut: Any) -> None:
    """A beat counts in the cycle in which it is taken, and in no other."""
    await show(dut, (1, 1, 0), (1, 1, 0), (1, 1, 1), (3, 0, 1))


@cocotb.test()
async def lane_signals_and_function(dut: Any) -> None:
    """Each lane is a signal, and a function says when they are valid."""
    scoreboard = await start(dut)
    both = Bus(data=[dut.low, dut.high], valid=lambda: str(dut.plain_data.value) == "00000111", name="both")
    scoreboard.monitor("relu", both, lanes=2)
    for low, high, enable in [(1, 0, 7), (9, 9, 6), (3, 0, 7), (5, 6, 7), (0, 8, 7), (9, 9, 0)]:
        dut.low.value, dut.high.value, dut.plain_data.value = low, high, enable
        await RisingEdge(dut.clk)
    await scoreboard.finished()


@cocotb.test()
async def own_collector(dut: Any) -> None:
    """A testbench gives values that it collects itself; one is wrong."""
    scoreboard = await start(dut)
    check = scoreboard.checker("relu")
    check.add(RIGHT[:5])
    check.add([7])


async def number(dut: Any, text: str, signal: Any, shown: Sequence[int], **options: Any) -> None:
    """One image [5, -2], or [5, 9], of a number format, as codes on a signal of its own."""
    signed = not text.startswith("u")
    images = np.array([[[5, -2 if signed else 9]]], Number.parse(text).dtype)
    scoreboard = await start(dut, relu(text, (1, 2)), images)
    scoreboard.monitor("input", Bus(data=signal, valid=dut.plain_valid), **options)
    for code in shown:
        signal.value, dut.plain_valid.value = code, 1
        await RisingEdge(dut.clk)
    dut.plain_valid.value = 0
    scoreboard.check()


@cocotb.test()
async def twelve_bits(dut: Any) -> None:
    """Values of 12 bits."""
    await number(dut, "int12", dut.twelve, [0x005, 0xFFE])


@cocotb.test()
async def three_lanes_of_four_bits(dut: Any) -> None:
    """Unsigned values of 4 bits, with room for a third beside them."""
    await number(dut, "uint4", dut.twelve, [0xA95], lanes=3, pad=True)


@cocotb.test()
async def extended(dut: Any) -> None:
    """Values of 6 bits, extended to 8."""
    await number(dut, "int6", dut.low, [0x05, 0xFE], lane_bits=8)


@cocotb.test()
async def not_extended(dut: Any) -> None:
    """A negative value of 6 bits with zeros above it is none."""
    await number(dut, "int6", dut.low, [0x05, 0x3E], lane_bits=8)


@cocotb.test()
async def upper_bits_carry_nothing(dut: Any) -> None:
    """Bits above the lanes are not looked at."""
    await number(dut, "int6", dut.low, [0x45, 0xBE], lane_bits=6)


@cocotb.test()
async def driven(dut: Any) -> None:
    """The driver shows each beat until it is taken: values, last and keep, under stalls of either side."""
    images = np.array([[[1, -2, 3]], [[4, 5, -6]]], np.int8)
    scoreboard = await start(dut, relu(shape=(1, 3)), images)
    w = Bus.at(dut, "w")
    scoreboard.drive(w, lanes=2, stall=0.4)
    scoreboard.monitor("input", w, lanes=2, stall=0.4)
    seen = []
    for _ in range(60):
        await FallingEdge(dut.clk)
        await ReadOnly()
        if str(dut.w_tvalid.value) == str(dut.w_tready.value) == "1":
            seen.append(tuple(int(h.value) for h in (dut.w_tdata, dut.w_tlast, dut.w_tkeep)))
    assert seen == [(0xFE01, 0, 3), (0x0003, 1, 1), (0x0504, 0, 3), (0x00FA, 1, 1)]
    await scoreboard.finished()


@cocotb.test()
async def never_taken(dut: Any) -> None:
    """Images that the design does not take."""
    scoreboard = await start(dut)
    scoreboard.drive(Bus.at(dut, "w"), lanes=2)
    scoreboard.monitor("relu", Bus.at(dut, "plain"))
    await play(dut, RIGHT)
    await scoreboard.finished(timeout_cycles=20)


BAD: dict[str, tuple[Any, str]] = {
    "tap": (lambda s, d: s.monitor("rela", Bus.at(d, "w")), "model 'toy' has no tap 'rela'; it has: relu"),
    "prefix": (
        lambda _s, d: Bus.at(d, "m_axis"),
        "wires has no bus 'm_axis', expected one of the pairs m_axis_tdata and m_axis_tvalid, m_axis_TDATA and "
        "m_axis_TVALID, m_axis_data and m_axis_valid",
    ),
    "narrow": (
        lambda s, d: s.monitor("relu", Bus.at(d, "w"), lanes=4),
        "tap 'relu': data has 16 bits, expected 32 for 4 lanes of int8",
    ),
    "wide": (
        lambda s, d: s.monitor("relu", Bus.at(d, "w")),
        "tap 'relu': data has 16 bits, 1 lane of int8 are 8: expected lane_bits=8 where the upper bits of the word "
        "carry nothing, or lane_bits=16 where each lane extends its value",
    ),
    "lanes": (
        lambda s, d: s.monitor("relu", Bus(d.twelve, d.plain_valid), lanes=3, lane_bits=4),
        "tap 'relu': lane_bits is 4, expected at least 8 for int8",
    ),
    "no lanes": (
        lambda s, d: s.monitor("relu", Bus.at(d, "w"), lanes=0),
        "tap 'relu': lanes is 0, expected a whole number from 1 on",
    ),
    "order": (
        lambda s, d: s.monitor("relu", Bus.at(d, "plain"), order=("row", "channel")),
        "tap 'relu': order is (row, channel), expected an order of (token, channel)",
    ),
    "frame": (
        lambda s, d: s.monitor("relu", Bus.at(d, "plain"), frame="row"),
        "tap 'relu': frame is 'row', expected one of: image, none, token, channel",
    ),
    "first lane": (
        lambda s, d: s.monitor("relu", Bus.at(d, "w"), lanes=2, first_lane="msb"),
        "tap 'relu': first_lane is 'msb', expected least or most",
    ),
    "option": (
        lambda s, d: s.monitor("relu", Bus.at(d, "w"), lane=2),
        "tap 'relu': there is no 'lane', expected lanes, order, lane_bits, first_lane, frame, pad",
    ),
    "fill": (
        lambda s, d: s.monitor("relu", Bus([d.low, d.high, d.plain_data], d.plain_valid), lanes=3),
        "tap 'relu': 4 values of an image do not fill beats of 3 lanes; expected lanes that do, a bus with keep, or "
        "pad=True where the rest of the last beat carries nothing",
    ),
    "keep": (
        lambda s, d: s.monitor("relu", Bus(d.twelve, d.plain_valid, keep=d.w_tkeep), lane_bits=12),
        "tap 'relu': keep has 2 bits, expected 1 for its lanes",
    ),
    "ready": (
        lambda s, d: s.monitor("relu", Bus.at(d, "plain"), stall=0.5),
        "tap 'relu': bus plain has no ready to hold back with stall",
    ),
    "stall": (
        lambda s, d: s.monitor("relu", Bus.at(d, "w"), lanes=2, stall=1),
        "stall is 1, expected a share from 0 to 0.999",
    ),
    "valid": (
        lambda _s, d: Bus(d.low, None),
        "a bus has no valid, expected a signal, or a function that says when a value passes",
    ),
    "wide valid": (lambda _s, d: Bus(d.low, d.high), "valid of a bus, high, has 8 bits, expected 1"),
    "no signal": (lambda _s, d: Bus(3, d.w_tvalid), "data of a bus is 3, expected a signal of bits"),
    "images": (
        lambda s, d: Scoreboard(s.model, IMAGES[:0], d.clk),
        "images has no images, expected at least one",
    ),
    "types": (
        lambda s, d: Scoreboard(s.model, IMAGES.astype(np.int16), d.clk),
        "images has type int16, expected int8",
    ),
    "clock": (lambda s, d: Scoreboard(s.model, IMAGES, d.low), "clock, low, has 8 bits, expected 1"),
    "collect": (
        lambda s, d: Scoreboard(s.model, IMAGES, d.clk, collect=0),
        "collect is 0, expected a whole number from 1 on",
    ),
    "resets": (
        lambda s, d: Scoreboard(s.model, IMAGES, d.clk, reset=d.rst, reset_n=d.rst),
        "reset and reset_n are both given, expected one of them at most",
    ),
    "driven function": (
        lambda s, d: s.drive(Bus(d.low, lambda: True)),
        "low: valid is a function, expected a signal to drive",
    ),
}
"""Descriptions that cannot be right, with the message for each."""


@cocotb.test()
async def bad_descriptions(dut: Any) -> None:
    """What cannot be right is refused with one message, before anything passes."""
    scoreboard = await start(dut)
    for name, (describe, message) in BAD.items():
        with pytest.raises(FxsimError) as caught:
            describe(scoreboard, dut)
        assert str(caught.value) == message, name
    scoreboard.monitor("relu", Bus.at(dut, "plain"))
    with pytest.raises(FxsimError, match="tap 'relu' is watched already, expected one monitor a tap"):
        scoreboard.monitor("relu", Bus.at(dut, "plain"))
    await play(dut, RIGHT)
    await scoreboard.finished()
    with pytest.raises(FxsimError, match="has ended already"):
        scoreboard.check()


@cocotb.test()
async def bad_tap(dut: Any) -> None:
    """A tap that is not there is all that the test says."""
    (await start(dut)).monitor("rela", Bus.at(dut, "plain"))


@cocotb.test()
async def counts_of_the_error(dut: Any) -> None:
    """The error has the counts, and the folder that was kept."""
    scoreboard = await start(dut)
    check = scoreboard.checker("relu")
    with pytest.raises(ScoreboardError) as caught:
        check.add([1, 0, 4])
    (tap,) = caught.value.comparison.taps
    assert (tap.compared, tap.differ, tap.values) == (3, 1, 8)
    assert caught.value.folder is not None
    assert sorted(path.name for path in caught.value.folder.iterdir()) == [
        "failure.json", "images.npy", "model.safetensors",
    ]  # fmt: skip
