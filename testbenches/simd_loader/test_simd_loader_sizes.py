"""simd_loader.v with other sizes: the limits that those of test_simd_loader.py hide."""

from dataclasses import replace
from pathlib import Path

import cocotb

from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import blocked, flowing
from testbenches.simd_loader.loader_bench import BAD_DESCRIPTOR, DOES_NOT_FIT, PARAMETERS_END, Bench, check_limit
from testbenches.simd_loader.parameter_stream import CLAMP, ENDPOINT, SIZES, TABLE, Layer, Stream, numbered

OTHER = SIZES | {
    "IMAGE_WORDS": 128,
    "WEIGHT_WORDS": 512,
    "TABLE_WORDS": 16,
    "CONSTANT_GROUPS": 16,
    "LAYERS": 2,
    "ACC_W": 23,
}
LIMITS = {
    "inputs of a sum": ([Layer(0, 1, 8, 1)], [Layer(0, 1, 9, 1)]),
    "chunks of all tokens": (
        [Layer(0, 64, 1, 1), Layer(0, 64, 1, 1, token_mixing=1)],
        [Layer(0, 65, 1, 1), Layer(0, 65, 1, 1, token_mixing=1)],
    ),
    "table": (
        [Layer(0, 1, 1, 1, next=TABLE, rule=CLAMP, points_log2=4)],
        [Layer(0, 1, 1, 1, next=TABLE, rule=ENDPOINT, points_log2=4)],
    ),
}


@cocotb.test()
async def refuses_what_does_not_fit(dut):
    """Inputs of a sum, chunks of tokens and tables are limited: what just fits is loaded, one more is refused."""
    bench = await Bench.started(dut)
    for name, (fits, beyond) in LIMITS.items():
        dut._log.info("%s", name)
        await check_limit(bench, fits, beyond, generator(f"simd_loader {name}"))


@cocotb.test()
async def waits_for_chunks(dut):
    """With a core that frees nothing it stops when there is no place for a chunk; with keep that is an error."""
    bench = await Bench.started(dut)
    rng = generator("simd_loader chunks")
    for chunks in (4, 5):
        stream = Stream(numbered([Layer(0, 1, 1, chunks), Layer(0, 1, chunks, 1)]), rng, bench.sizes)
        await bench.begin(stream)
        bench.core = blocked()
        for _ in range(150):
            await bench.step()
        assert len(bench.taken_cycles) == 1 + 4 * 18 + (chunks == 4)
        bench.core = flowing()
        await bench.finish()
        await bench.begin(stream, keep=True)
        assert len(await bench.unfit(int(chunks == 4))) == 4 * 18
    await bench.begin(Stream(numbered([Layer(0, 1, 1, 3), Layer(0, 1, 3, 1)]), rng, bench.sizes), keep=True)
    await bench.finish()


@cocotb.test()
async def looks_at_a_descriptor_before_room(dut):
    """With keep and a full ring what is wrong with a descriptor is told, and not that its words have no room."""
    bench = await Bench.started(dut)
    rng = generator("simd_loader full ring")
    full, behind = numbered([Layer(0, 1, 1, 4), Layer(0, 1, 4, 1)])
    for layer, words, code in (
        (replace(behind, bit_15=1), 1000, BAD_DESCRIPTOR),
        (replace(behind, last=0), full.following + 3, PARAMETERS_END),
    ):
        stream = Stream([full, layer], rng, bench.sizes)
        await bench.begin(stream, keep=True, words=words, result_words=1)
        await bench.refused(code, 1, stream.places[1])


@cocotb.test()
async def keeps_as_many_layers_as_it_has_places(dut):
    """With keep, LAYERS layers are loaded, and the one behind them is refused; without, any number is loaded."""
    bench = await Bench.started(dut)
    stream = Stream(numbered([Layer(0, 1, 1, 1)] * 3), generator("simd_loader layers"), bench.sizes)
    await bench.begin(stream)
    await bench.finish()
    await bench.begin(stream, keep=True)
    await bench.refused(DOES_NOT_FIT, 2, stream.places[2])
    await bench.begin(
        Stream(numbered([Layer(0, 1, 1, 1)] * 2), generator("simd_loader layers"), bench.sizes), keep=True
    )
    await bench.finish()


def test_simd_loader_of_other_sizes(tmp_path: Path) -> None:
    """simd_loader.v keeps to the limits of a second set of sizes."""
    simulate(__name__, "simd_loader", tmp_path, OTHER)
