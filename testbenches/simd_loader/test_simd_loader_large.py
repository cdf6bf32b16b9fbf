"""simd_loader.v with large buffers: layers whose words, tokens and groups are counted in many bits."""

from pathlib import Path

import cocotb

from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.simd_loader.loader_bench import BAD_DESCRIPTOR, Bench, check_limit
from testbenches.simd_loader.parameter_stream import ENDPOINT, SIZES, TABLE, Layer, Stream, numbered

LARGE = SIZES | {
    "ACTIVATION_WORDS": 16384,
    "IMAGE_WORDS": 32768,
    "RESIDUAL_WORDS": 32768,
    "WEIGHT_WORDS": 256,
    "TABLE_WORDS": 512,
    "CHUNKS": 8,
    "ACC_W": 32,
}
TABLED = {"affine": 1, "res_affine": 1, "next": TABLE, "rule": ENDPOINT, "points_log2": 8}
"""A group of 264 words."""

LIMITS = {
    # 4 chunks of 64 words fill the ring; 5 of 80 do not fit, though one would, and there are places for 8 chunks.
    "weights of all tokens": (
        [Layer(0, 64, 1, 1), Layer(0, 64, 1, 1, token_mixing=1)],
        [Layer(0, 65, 1, 1), Layer(0, 65, 1, 1, token_mixing=1)],
    ),
    "262,144 blocks of weights": ([Layer(0, 1, 16, 16384)], [Layer(0, 1, 16, 16385)]),
    "4,096 tokens": ([Layer(0, 4096, 1, 1, pool=1, pool_shift=12)], [Layer(0, 4096, 1, 5)]),
    # It is too large, and its words are as many as it says: their number is counted in all bits of its 1,024 groups.
    "16,384 tokens, mixed": (
        [Layer(0, 64, 1, 1), Layer(0, 64, 1, 1, token_mixing=1)],
        [Layer(0, 16384, 1, 1), Layer(0, 16384, 1, 1, token_mixing=1)],
    ),
    "16,384 tokens": ([Layer(0, 16384, 1, 1, pool=1, pool_shift=14)], [Layer(0, 16385, 1, 1)]),
    # The words are counted right where groups have more than 2^24 of them: what is wrong is their number.
    "groups of 264 words": ([Layer(0, 1, 1, 16384, **TABLED)], [Layer(0, 1, 1, 65535, **TABLED)]),
}


@cocotb.test()
async def refuses_what_does_not_fit(dut):
    """Each limit is kept: what just fits is loaded, one more is refused."""
    bench = await Bench.started(dut)
    for name, (fits, beyond) in LIMITS.items():
        dut._log.info("%s", name)
        await check_limit(bench, fits, beyond, generator(f"simd_loader {name}"))


@cocotb.test()
async def counts_words_beyond_32_bits(dut):
    """A layer of 2^32 words or more is a bad descriptor, where it claims the lower 32 bits of their number, too."""
    bench = await Bench.started(dut)
    rng = generator("simd_loader 2^32")
    for ins, groups in ((1 << 14, 1 << 14), (1 << 15, 1 << 14), (1 << 15, 1 << 15), (3 << 14, 3 << 14)):
        words = groups * (2 + 16 * ins)
        assert words >= 1 << 32
        layer = Layer(0, 1, ins, groups, first=1, words=words % (1 << 32))
        await bench.begin(Stream([layer], rng, bench.sizes, begun=20), words=(1 << 32) - 1)
        await bench.refused(BAD_DESCRIPTOR, 0, 0)


@cocotb.test()
async def takes_long_groups(dut):
    """A group of 264 words, 258 of them a table's, goes where it belongs, twice round the ring."""
    bench = await Bench.started(dut)
    layers = numbered([Layer(0, 1, 1, 4, **TABLED), Layer(0, 1, 4, 1)])
    await bench.begin(Stream(layers, generator("simd_loader long groups"), bench.sizes))
    await bench.finish()


def test_simd_loader_of_large_sizes(tmp_path: Path) -> None:
    """simd_loader.v counts words, tokens and groups of the largest layers."""
    simulate(__name__, "simd_loader", tmp_path, LARGE)
