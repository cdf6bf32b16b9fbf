"""few_matmul.v: products of two images, head by head."""

from pathlib import Path

import cocotb
import pytest

from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls, gaps
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import STREAM_STALLS, flowing
from testbenches.common.stream import packed

INPUTS = ("s0_axis", "s1_axis")
NAMES = (
    "PLACES", "HEADS", "TERMS", "COLUMNS", "TRANSPOSED", "X_LANES", "R_LANES", "OUT_LANES", "X_W", "X_SIGNED", "R_W",
    "R_SIGNED", "ACC_W",
)  # fmt: skip


def sizes(dut):
    """The parameters by name."""
    return {name: getattr(dut, name).value.to_signed() for name in NAMES}


def traffic(dut, name, images=3):
    """Images of random values, ends of both ranges among them, and every sum of products, term by term."""
    p = sizes(dut)
    rng = generator(f"few_matmul {name} {p}")
    heads, terms, columns = p["HEADS"], p["TERMS"], p["COLUMNS"]
    shapes = {"X": (p["PLACES"], heads * terms), "R": (columns, heads * terms)}
    if not p["TRANSPOSED"]:
        shapes["R"] = (terms, heads * columns)
    found = {}
    for letter, shape in shapes.items():
        bits, signed = p[f"{letter}_W"], p[f"{letter}_SIGNED"]
        low = -(1 << (bits - 1)) if signed else 0
        values = rng.integers(low, low + (1 << bits), (images, *shape))
        values[1, 0], values[1, -1] = low, low + (1 << bits) - 1
        found[letter] = values
    y = []
    for x, r in zip(found["X"].tolist(), found["R"].tolist(), strict=True):
        for row in x:
            for h in range(heads):
                for n in range(columns):
                    total = 0
                    for t in range(terms):
                        total += row[h * terms + t] * (
                            r[n][h * terms + t] if p["TRANSPOSED"] else r[t][h * columns + n]
                        )
                    y += [total]
    sent = {
        "s0_axis": packed(found["X"], p["X_LANES"], p["X_W"]),
        "s1_axis": packed(found["R"], p["R_LANES"], p["R_W"]),
    }
    return rng, sent, {"m_axis": packed(y, p["OUT_LANES"], p["ACC_W"])}


@cocotb.test()
@cocotb.parametrize(stall=STREAM_STALLS)
async def equals_the_products(dut, stall):
    """Every sum has its row, its head and its image of the other under every stall pattern."""
    rng, sent, expected = traffic(dut, stall)
    await check_stalls(await Bench.started(dut, inputs=INPUTS), sent, expected, stall, rng)


@cocotb.test()
async def takes_as_many_cycles_as_its_longest_stream(dut):
    """Without stalls an image takes as many cycles as its longest stream has beats, the first two aside."""
    images, p = 6, sizes(dut)
    _, sent, expected = traffic(dut, "rate", images)
    cycles = await check_rate(await Bench.started(dut, inputs=INPUTS), sent, expected)
    longest = max(len(each) for each in (*sent.values(), *expected.values())) // images
    given = len(expected["m_axis"]) // images
    ends = cycles[given - 1 :: given]
    # From the second on, an image of r is there before its rows.
    assert gaps(ends[1:]) == [longest] * (images - 2)
    products, nodes = 1, p["TERMS"]
    group = 4 if p["X_W"] + p["R_W"] + 1 - p["R_SIGNED"] <= 4 else 1
    nodes = -(-nodes // group)
    while nodes > 1:
        products, nodes = products + 1, -(-nodes // 4)
    row = len(sent["s0_axis"]) // images // p["PLACES"]
    assert cycles[0] == max(row, len(sent["s1_axis"]) // images) - 1 + 2 + products


@cocotb.test()
@cocotb.parametrize(late=[0, 1])
async def takes_two_rows_or_two_images_before_the_partner(dut, late):
    """Alone, the streaming image is taken for two rows, the kept one twice: what depths of FIFOs count on."""
    p = sizes(dut)
    _, sent, _ = traffic(dut, f"late {late}", 4)
    name = INPUTS[1 - late]
    bench = await Bench.started(dut, inputs=INPUTS)
    bench.sources[name].send(sent[name])
    bench.stall(flowing(), flowing())
    await bench.step(len(sent[name]) + 20)
    image = len(sent[name]) // 4
    taken = min(2 * image // p["PLACES"], len(sent[name])) if late else 2 * image
    assert len(bench.monitors[name].beats) == taken


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """After a reset both images begin."""
    rng, sent, expected = traffic(dut, "reset", 2)
    await check_reset(await Bench.started(dut, inputs=INPUTS), sent, expected, rng)


@cocotb.test()
async def keeps_its_sides_apart(dut):
    """No handshake depends on another's within a cycle."""
    rng, sent, _ = traffic(dut, "paths")
    await check_paths(await Bench.started(dut, inputs=INPUTS), sent, rng, registered=True)


@pytest.mark.parametrize(
    ("places", "heads", "terms", "columns", "transposed", "lanes", "x", "r"),
    [
        (4, 2, 3, 5, 1, (1, 1, 1), (8, 1), (8, 1)),
        (3, 2, 4, 6, 1, (2, 2, 3), (8, 1), (8, 1)),
        (2, 1, 4, 4, 1, (4, 4, 4), (7, 0), (7, 0)),
        (5, 3, 4, 2, 0, (1, 1, 1), (7, 0), (8, 1)),
        (4, 2, 5, 6, 0, (5, 3, 3), (8, 1), (3, 0)),
        (1, 1, 1, 1, 1, (1, 1, 1), (1, 1), (1, 1)),
        (1, 1, 2, 3, 0, (2, 1, 1), (16, 1), (8, 1)),
        (6, 1, 1, 2, 0, (1, 2, 2), (2, 1), (2, 1)),
    ],
)
def test_few_matmul(
    places: int,
    heads: int,
    terms: int,
    columns: int,
    transposed: int,
    lanes: tuple[int, int, int],
    x: tuple[int, int],
    r: tuple[int, int],
    tmp_path: Path,
) -> None:
    """few_matmul.v gives the products of images, transposed or not, of every number of lanes and width."""
    parameters = {
        "PLACES": places, "HEADS": heads, "TERMS": terms, "COLUMNS": columns, "TRANSPOSED": transposed,
        "X_LANES": lanes[0], "R_LANES": lanes[1], "OUT_LANES": lanes[2], "X_W": x[0], "X_SIGNED": x[1],
        "R_W": r[0], "R_SIGNED": r[1], "ACC_W": x[0] + r[0] + 1 + terms.bit_length(),
    }  # fmt: skip
    simulate(__name__, "few_matmul", tmp_path, parameters)
