"""simd_loader.v: the parameter stream goes where it belongs, once there is room; wrong descriptors are refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cocotb

from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import PAIRS, blocked, flowing
from testbenches.common.stream import known
from testbenches.simd_loader.loader_bench import BAD_DESCRIPTOR, DOES_NOT_FIT, PARAMETERS_END, Bench, check_limit
from testbenches.simd_loader.parameter_stream import (
    AFFINE,
    CLAMP,
    ENDPOINT,
    HOLD,
    RELU,
    SIZES,
    TABLE,
    Layer,
    Stream,
    network,
    numbered,
    wide_network,
)


@cocotb.test()
@cocotb.parametrize(stall=list(PAIRS), wide=[False, True])
async def everything_goes_where_it_belongs(dut, stall, wide):
    """Three passes round the rings, whoever waits for whom: every word once, in order, never over one in use."""
    bench = await Bench.started(dut)
    rng = generator(f"simd_loader {stall} {wide}")
    stream = Stream(wide_network() if wide else network(), rng, bench.sizes, passes=3)
    await bench.begin(stream, passes=3)
    bench.sender, bench.core = PAIRS[stall](rng)
    bench.layer_stall = PAIRS[stall](rng)[1]
    await bench.finish()


@cocotb.test()
async def takes_a_word_every_cycle(dut):
    """Where there is room, a word is taken in every cycle, descriptors too; only a group without words takes one more.

    Each is written one cycle after it was taken, and a layer is shown four cycles after its descriptor was.
    """
    bench = await Bench.started(dut)
    layers = numbered(
        [
            Layer(0, 4, 1, 2, res_affine=1, next=AFFINE),
            Layer(0, 4, 2, 2, token_mixing=1, affine=1, next=TABLE, rule=HOLD, points_log2=3),
            Layer(0, 4, 2, 3, token_mixing=0, next=RELU),
            Layer(0, 4, 3, 1, pool=1, pool_shift=2),
            Layer(0, 1, 1, 1),
        ]
    )
    stream = Stream(layers, generator("simd_loader rate"), bench.sizes, passes=2)
    await bench.begin(stream, passes=2)
    await bench.finish()
    assert bench.taken_cycles == list(range(bench.taken_cycles[0], bench.taken_cycles[0] + 2 * len(stream.words)))
    descriptors = [bench.taken_cycles[base + place] for base in (0, len(stream.words)) for place in stream.places[:-1]]
    assert bench.layer_cycles == [cycle + 4 for cycle in descriptors]
    assert bench.write_cycles == [cycle + 1 for cycle in bench.taken_cycles if cycle not in descriptors]

    layers = numbered(
        [layers[0], Layer(0, 4, 2, 2, token_mixing=1), Layer(0, 4, 2, 1, pool=1, pool_shift=2), layers[-1]]
    )
    stream = Stream(layers, generator("simd_loader empty groups"), bench.sizes)
    await bench.begin(stream)
    await bench.finish()
    assert bench.taken_cycles[-1] - bench.taken_cycles[0] == len(stream.words) - 1 + 2  # the two groups of layer 1


@cocotb.test()
async def counts_groups_without_words(dut):
    """A group without constants or table is counted: with its chunk, or one a cycle behind its layer's chunks."""
    bench = await Bench.started(dut)
    layers = numbered(
        [
            Layer(0, 4, 1, 3),
            Layer(0, 4, 3, 3, token_mixing=1),
            Layer(0, 4, 3, 1, pool=1, pool_shift=2),
            Layer(0, 1, 1, 1),
        ]
    )
    stream = Stream(layers, generator("simd_loader groups"), bench.sizes)
    await bench.begin(stream)
    seen: list[Any] = []
    while len(bench.taken_cycles) < len(stream.words):
        await bench.step()
        state = (known(dut.chunks_loaded), known(dut.groups_loaded))
        if not seen or seen[-1] != state:
            seen.append(state)
    await bench.finish()
    assert seen[:8] == [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (4, 4), (4, 5), (4, 6)]


@cocotb.test()
async def waits_for_room(dut):
    """With a core that frees nothing it stops at the first ring that is full, and goes on when there is room again."""
    bench = await Bench.started(dut)
    rng = generator("simd_loader room")
    end = Layer(0, 1, 1, 1)
    # Layers, and the words taken until nothing more has room.
    cases = {
        "weights": ([Layer(0, 1, 8, 1), end, end], 1 + 2 + 128 + 1 + 2),
        "groups": ([Layer(0, 1, 1, 3, affine=1), replace(end, in_groups=3)], 1 + 2 * (18 + 3)),
        "groups of a token mixer": (
            [end, Layer(0, 1, 1, 1, token_mixing=1, affine=1), replace(end, token_mixing=1, affine=1), end],
            2 * 19 + 3 + 1 + 18,
        ),
        "groups of a token mixer with tables alone": (
            [end, *[Layer(0, 1, 1, 1, token_mixing=1, next=TABLE, points_log2=2)] * 2, end],
            2 * 19 + 4 + 1 + 18,
        ),
        "tables": ([Layer(0, 1, 1, 1, next=TABLE, points_log2=n) for n in (6, 2)] + [end], 1 + 18 + 64 + 1 + 18),
    }
    for ring, (layers, taken) in cases.items():
        await bench.begin(Stream(numbered(layers), rng, bench.sizes))
        bench.core = blocked()
        for _ in range(250):
            await bench.step()
        assert len(bench.taken_cycles) == taken, ring
        bench.core = flowing()
        await bench.finish()


@cocotb.test()
async def waits_until_a_layer_is_taken(dut):
    """While a layer is shown and not taken its words are loaded, but no further descriptor is taken."""
    bench = await Bench.started(dut)
    stream = Stream(numbered([Layer(0, 1, 1, 1)] * 3), generator("simd_loader taken"), bench.sizes)
    await bench.begin(stream)
    bench.layer_stall = iter([True] * 100 + [False] * 1000)
    for _ in range(100):
        await bench.step()
    assert len(bench.taken_cycles) == stream.places[1]
    await bench.finish()


@cocotb.test()
async def keeps_what_fits(dut):
    """With keep, what fills a ring to its last place is loaded; one word or group more does not fit."""
    bench = await Bench.started(dut)
    rng = generator("simd_loader keep")
    end = Layer(0, 1, 1, 1)
    table = Layer(0, 1, 1, 1, next=TABLE, points_log2=6)
    mixer = Layer(0, 1, 1, 1, token_mixing=1, affine=1)
    fits = {
        "weights": [Layer(0, 1, 7, 1), end],
        "groups": [replace(end, affine=1), end],
        "tables": [table, end],
    }
    # Layers, and which of them is the first that does not fit, after how many writes.
    over = {
        "weights": ([Layer(0, 1, 8, 1), end], 1, 130 + 2),
        "groups": ([end, Layer(0, 1, 1, 2, affine=1), replace(end, in_groups=2)], 1, 18 + 18 + 3),
        "groups of a token mixer": ([end, mixer, replace(mixer, number=2), end], 2, 18 + 21 + 18),
        "tables": ([replace(table, points_log2=2), table, end], 1, 18 + 4 + 18 + 60),
    }
    for layers in fits.values():
        await bench.begin(Stream(numbered(layers), rng, bench.sizes), keep=True)
        await bench.finish()
    for ring, (layers, layer, writes) in over.items():
        await bench.begin(Stream(numbered(layers), rng, bench.sizes), keep=True)
        assert len(await bench.unfit(layer)) == writes, ring
        # Without keep the same stream is no problem.
        await bench.begin(Stream(numbered(layers), rng, bench.sizes))
        await bench.finish()


def illegal() -> list[tuple[str, list[Layer], int, dict[str, int]]]:
    """Name, layers, number of the layer that is refused, configuration, of every way to be a bad descriptor."""
    good = network()

    def changed(place: int, /, **fields: int) -> list[Layer]:
        layers = list(good)
        layers[place] = replace(layers[place], **fields)
        return layers

    cases: list[tuple[str, list[Layer], int, dict[str, int]]] = []

    def case(name: str, layers: list[Layer], number: int, **config: int) -> None:
        cases.append((name, layers, number, config))

    for bit in range(8):
        case(f"magic bit {bit}", changed(2, magic=0xD5 ^ 1 << bit), 2)
    case("bit 15", changed(2, bit_15=1), 2)
    for bit in range(4):
        case(f"bit {28 + bit}", changed(2, bits_28=1 << bit), 2)
    case("number too high", changed(2, number=3), 2)
    case("number too low", changed(2, number=1), 2)
    case("number's upper byte", changed(2, number=0x102), 2)
    case("layer 0 not first", changed(0, first=0), 0)
    case("layer 2 first", [replace(good[0], in_groups=3), good[1], replace(good[2], first=1), *good[3:]], 2)
    case("first layer has number 1", changed(0, number=1), 0)
    case("tokens above the layer before", changed(2, tokens=9), 2)
    case("tokens below the layer before", changed(2, tokens=7), 2)
    case("tokens behind the pool", [*good[:8], Layer(8, 8, 1, 2)], 8)
    case("input groups above those before", changed(2, in_groups=4), 2)
    case("input groups below those before", changed(2, in_groups=2), 2)
    case("image of other words", good, 0, image_words=15)
    case("image of many more words", good, 0, image_words=16 + (1 << 31))
    case("no tokens", changed(0, tokens=0), 0, image_words=0)
    case("no input groups", changed(0, in_groups=0), 0, image_words=0)
    case("no groups", changed(2, groups=0), 2)
    case("mixed tokens with other groups", changed(1, groups=2), 1)
    case("first layer mixes tokens", [replace(good[0], groups=2, token_mixing=1), *good[1:]], 0)
    case("last layer mixes tokens", [*good[:8], Layer(8, 1, 1, 1, last=1, token_mixing=1)], 8, result_words=1)
    case("one word too many", changed(2, words=good[2].following + 1), 2)
    case("one word too few", changed(2, words=good[2].following - 1), 2)
    case("words' upper bit", changed(2, words=good[2].following + (1 << 31)), 2)
    case("no words", changed(2, words=0), 2)
    for points in (0, 1, 9, 15):
        for stored in (0, (1 << points) & 0xFFF):
            words = good[2].chunks * (2 + good[2].weights) + good[2].groups * stored
            case(f"table of 2^{points} points, {stored} words", changed(2, points_log2=points, words=words), 2)
    case("edge rule 3", changed(2, rule=3), 2)
    case("points without a table", changed(3, points_log2=4), 3)
    case("edge rule without a table", changed(3, rule=HOLD), 3)
    case("edge rule with an affine", changed(4, rule=ENDPOINT), 4)
    for shift in (0, 2, 4, 11):
        case(f"pool of 8 tokens, shift {shift}", changed(7, pool_shift=shift), 7)
    three = numbered([Layer(0, 3, 1, 1), Layer(0, 3, 1, 1, pool=1, pool_shift=1), Layer(0, 1, 1, 1)])
    case("pool of 3 tokens", three, 1)
    for following in (AFFINE, RELU):
        case(f"pool and next {following}", changed(7, next=following), 7)
    case("pool and table", changed(7, next=TABLE, points_log2=3), 7)
    case("pool shift without a pool", changed(6, pool_shift=3), 6)
    case(
        "last of several tokens", [*good[:7], replace(good[7], last=1, pool=0, add=0, pool_shift=0)], 7, result_words=1
    )
    for following in (AFFINE, RELU):
        case(f"last and next {following}", changed(8, next=following), 8)
    case("last and table", changed(8, next=TABLE, points_log2=2), 8)
    case("last and pool", changed(8, pool=1), 8)
    for field in ("add", "res_affine", "affine"):
        case(f"last and {field}", changed(8, **{field: 1}), 8)
    case("result of other words", good, 8, result_words=3)
    case("result of many more words", good, 8, result_words=2 + (1 << 16))
    return cases


@cocotb.test()
async def refuses_bad_descriptors(dut):
    """Whatever a descriptor has wrong is refused where it stands, three cycles after it was taken."""
    bench = await Bench.started(dut)
    rng = generator("simd_loader illegal")
    await bench.begin(Stream(network(), rng, bench.sizes))
    await bench.finish()
    for name, layers, number, config in illegal():
        dut._log.info("%s", name)
        # Enough words follow, so that it is not their number that is complained of.
        stream = Stream(layers, rng, bench.sizes)
        words = None if number == len(layers) - 1 else len(stream.words) + (1 << 20)
        await bench.begin(stream, words=words, **config)
        await bench.refused(BAD_DESCRIPTOR, number, stream.places[number])


LIMITS = {
    "image": ([Layer(0, 64, 1, 1)], [Layer(0, 65, 1, 1)]),
    "image of groups": ([Layer(0, 8, 8, 1)], [Layer(0, 13, 5, 1)]),
    "result": ([Layer(0, 16, 1, 8)], [Layer(0, 43, 1, 3)]),
    "residual of add": ([Layer(0, 8, 1, 4, add=1)], [Layer(0, 11, 1, 3, add=1)]),
    "residual of res_affine": ([Layer(0, 8, 1, 4, res_affine=1)], [Layer(0, 11, 1, 3, res_affine=1)]),
    "weights": ([Layer(0, 1, 8, 1)], [Layer(0, 1, 9, 1)]),
    "weights of all tokens": (
        [Layer(0, 32, 1, 1), Layer(0, 32, 1, 1, token_mixing=1)],
        [Layer(0, 33, 1, 1), Layer(0, 33, 1, 1, token_mixing=1)],
    ),
    "table": (
        [Layer(0, 1, 1, 1, next=TABLE, rule=CLAMP, points_log2=6)],
        [Layer(0, 1, 1, 1, next=TABLE, rule=ENDPOINT, points_log2=6)],
    ),
}
"""By what is limited: layers whose last just fits SIZES, and layers whose last does not."""


@cocotb.test()
async def refuses_what_does_not_fit(dut):
    """Each limit is kept: what just fits is loaded, one more is refused."""
    bench = await Bench.started(dut)
    for name, (fits, beyond) in LIMITS.items():
        dut._log.info("%s", name)
        await check_limit(bench, fits, beyond, generator(f"simd_loader {name}"))


@cocotb.test()
async def sees_where_the_parameters_end(dut):
    """Words that end inside a layer, right behind one that is not the last, or not behind the last, are refused."""
    bench = await Bench.started(dut)
    rng = generator("simd_loader end")
    layers = network()
    stream = Stream(layers, rng, bench.sizes)
    places = stream.places
    for words, number in (
        (1, 0),
        (places[1] - 1, 0),
        (places[1], 0),
        (places[1] + 1, 1),
        (places[3] - 5, 2),
        (places[8], 7),
        (places[8] + 1, 8),
        (places[9] - 1, 8),
        (places[9] + 1, 8),
        (places[9] + (1 << 31), 8),
    ):
        await bench.begin(stream, words=words)
        await bench.refused(PARAMETERS_END, number, places[number])
    # The same in the second pass is no different: the count starts again.
    twice = Stream(layers, rng, bench.sizes, passes=2)
    await bench.begin(twice, passes=2)
    await bench.finish()


@cocotb.test()
async def lowest_code_is_reported(dut):
    """Of several things wrong with a descriptor the one with the lowest code is reported."""
    bench = await Bench.started(dut)
    rng = generator("simd_loader codes")
    beyond = Layer(0, 65, 1, 1, first=1)
    for layer, code in ((replace(beyond, bit_15=1), BAD_DESCRIPTOR), (beyond, DOES_NOT_FIT)):
        await bench.begin(Stream([layer], rng, bench.sizes), words=2)
        await bench.refused(code, 0, 0)


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """Whatever a reset interrupts, the next stream is loaded from its beginning to the beginnings of the rings."""
    bench = await Bench.started(dut)
    rng = generator("simd_loader reset")
    stream = Stream(network(), rng, bench.sizes)
    for _ in range(12):
        await bench.begin(stream)
        bench.sender, bench.core = PAIRS["both"](rng)
        for _ in range(int(rng.integers(1, 2 * len(stream.words)))):
            await bench.step()
    # A reset right behind a descriptor, while it is checked.
    for cycles in range(1, 7):
        await bench.begin(Stream([replace(network()[0], magic=0)], rng, bench.sizes))
        for _ in range(cycles):
            await bench.step()
    await bench.begin(stream)
    await bench.finish()


def test_simd_loader(tmp_path: Path) -> None:
    """simd_loader.v takes parameter streams apart and refuses the wrong ones."""
    simulate(__name__, "simd_loader", tmp_path, SIZES)
