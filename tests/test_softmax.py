"""Softmax by a reciprocal: the rules of the contract by plain loops and plain numpy, and how far it is from softmax."""

import math
from decimal import Context, Decimal

import numpy as np
import pytest
import torch

import fxsim
from fxsim.contract import CHANNEL, COLUMN, ROW, Tensor
from fxsim.contract.number import INT8
from fxsim.engines.c import run_c
from fxsim.engines.loops import run_loops
from fxsim.errors import ModelError
from fxsim.graph import Graph, Model, Node
from fxsim.networks.neural_ode import AttentionRule, OdeConfig
from fxsim.networks.softmax import by_reciprocal

pytestmark = pytest.mark.torch

STEPS = (-5, -4, -3)
CONTEXT = Context(prec=60)


def entry(c: int, log2: int) -> int:
    """Rule S2 of one code: 4096 exp(-c 2^a) to the nearest, at most 4095."""
    power = CONTEXT.exp(CONTEXT.multiply(Decimal(-c), CONTEXT.power(Decimal(2), Decimal(log2))))
    return min(math.floor(CONTEXT.multiply(power, Decimal(4096)) + Decimal("0.5")), 4095)


ENTRIES = {log2: np.array([entry(c, log2) for c in range(256)]) for log2 in STEPS}


def by_loops(scores: np.ndarray, log2: int) -> np.ndarray:
    """Rules S1 to S5 of rows of scores [n, T], one value after the other, of whole numbers."""
    found = np.zeros(scores.shape, np.int64)
    for n, row in enumerate(scores.tolist()):
        m = row[0]
        for s in row:
            m = max(m, s)
        e = [entry(m - s, log2) for s in row]
        z = min((sum(e) + 8) // 16, 256 * len(row) - 1)
        r = min((2 * 2**24 + z) // (2 * z), 65535)
        for j in range(len(row)):
            found[n, j] = min((e[j] * r + 2**20) >> 21, 127)
    return found


def by_numpy(scores: np.ndarray, log2: int) -> np.ndarray:
    """The same of whole arrays, in float64 that is exact but for the quotient, which is never near a tie."""
    below = scores.max(axis=-1, keepdims=True) - scores
    e = ENTRIES[log2][below].astype(np.float64)
    z = np.minimum(np.floor(e.sum(axis=-1, keepdims=True) / 16 + 0.5), 256 * scores.shape[-1] - 1)
    r = np.minimum(np.rint(2.0**24 / z), 65535)
    return np.minimum(np.floor(e * r / 2.0**21 + 0.5), 127).astype(np.int64)


def model_of(side: int, heads: int, log2: int) -> Model:
    """Softmax alone, of scores that are the input."""
    scores = Tensor((ROW, COLUMN, CHANNEL), (side, side, heads * side**2), INT8)
    steps = by_reciprocal(side, heads, lambda: torch.tensor(float(log2)))
    name = {"scores": "input"}
    return Model(
        Graph(scores, [Node(tap, op.operator(), tuple(name.get(n, n) for n in reads)) for tap, op, reads in steps]),
        "softmax",
    )


def rows_of(count: int, places: int, seed: int = 3) -> np.ndarray:
    """Rows of scores: near one another and far apart, all equal, the ends alone."""
    rng = np.random.default_rng(seed)
    spread = rng.choice([0, 1, 5, 20, 60, 127], (count, 1))
    rows = np.rint(rng.normal(0, 1, (count, places)) * spread + rng.integers(-128, 128, (count, 1)))
    rows[0], rows[1], rows[2] = -128, 127, -128
    rows[2, -1] = 127
    return rows.clip(-128, 127).astype(np.int8)


@pytest.mark.parametrize(("side", "heads", "log2"), [(4, 3, -5), (2, 1, -4), (1, 2, -3), (2, 4, -3)])
def test_every_engine_computes_the_rules(side: int, heads: int, log2: int) -> None:
    """All engines and C give each step of the rules, and the weights of loops and of arrays."""
    model, places = model_of(side, heads, log2), side**2
    rows = rows_of(12 * places * heads, places)
    codes = rows.reshape(12, side, side, heads * places)
    wide = rows.astype(np.int64)
    weights = by_loops(wide, log2)
    np.testing.assert_array_equal(by_numpy(wide, log2), weights)
    below = wide.max(axis=1, keepdims=True) - wide
    e = ENTRIES[log2][below]
    z = np.minimum((e.sum(axis=1) + 8) >> 4, 256 * places - 1)
    r = np.array([min((2**25 + t) // (2 * t), 65535) for t in z.tolist()])
    expected = {"below": below, "exp": e, "total": z, "reciprocal": r, "product": e * r[:, None], "attention": weights}
    runs = [fxsim.run(model, codes, "all", engine=engine) for engine in ("reference", "compiled")]
    taps = model.graph.taps
    for found in (*runs, run_loops(model, codes, taps), run_c(model, codes, taps)):
        for tap, values in expected.items():
            np.testing.assert_array_equal(found[tap].reshape(-1), values.reshape(-1), tap)
    assert z.min() >= (256 if places > 1 else 255)


def test_the_tables_are_within_half_a_unit() -> None:
    """Every entry of both tables, exactly: exp but for that of 0, reciprocals of all sums that there are."""
    for log2 in STEPS:
        for c, e in enumerate(ENTRIES[log2].tolist()):
            power = CONTEXT.exp(CONTEXT.multiply(Decimal(-c), CONTEXT.power(Decimal(2), Decimal(log2))))
            error = CONTEXT.subtract(Decimal(e), CONTEXT.multiply(power, Decimal(4096)))
            assert error == -1 if c == 0 else abs(error) <= Decimal("0.5")
    for side in (1, 2, 4, 8):
        exp, reciprocal = (node.op for node in model_of(side, 1, -4).graph.nodes if node.op.kind == "lut")
        assert exp.table.tolist() == [ENTRIES[-4].tolist()]
        (table,) = reciprocal.table.tolist()
        assert len(table) == 256 * side**2
        assert table[256 if side > 1 else 255] == 65535
        for z in range(257, len(table)):
            assert abs(2 * (table[z] * z - 2**24)) <= z


def limit(places: int) -> float:
    """Rule S6: the most that a weight is from softmax."""
    return max(1 / 128, 1 / 256 + (places / 2 + 9.5) / (4087.5 - places / 2) + 2**-16)


@pytest.mark.parametrize("places", [4, 16, 64, 256])
def test_weights_are_within_their_limit_of_softmax(places: int) -> None:
    """Rows of every kind that make errors add up, and random ones: none is beyond the limit, and some come near it."""
    kinds = []
    for highest in sorted({1, 2, places // 2, places - 1}):
        rows = np.full((256, places), 127)
        rows[:, highest:] -= np.arange(256)[:, None]
        kinds.append(rows)
    if places == 4:
        # All rows of one highest score and two others.
        c = np.indices((256, 256)).reshape(2, -1)
        kinds.append(127 - np.stack([0 * c[0], c[0], c[1], c[1]], axis=1))
    rows = np.concatenate([*kinds, rows_of(400, places).astype(np.int64)])
    worst = 0.0
    for log2 in STEPS:
        real = np.exp(rows * 2.0**log2)
        error = np.abs(by_numpy(rows, log2) / 128 - real / real.sum(axis=1, keepdims=True))
        worst = max(worst, float(error.max()))
    assert 0.5 * limit(places) < worst <= limit(places)


def test_too_many_places_are_refused_by_name() -> None:
    """By their number, where the table of sums has no format of 16 bits, and where a tensor has too many channels."""
    stated = {"size": 32, "colours": 1, "channels": (4, 4), "classes": 3, "heads": 1}
    assert OdeConfig(**stated, attention=AttentionRule.SOFTMAX_RECIPROCAL).places == 256  # type: ignore[arg-type]
    for changed, words in (({"size": 64}, "1,024 places and 1,048,576"), ({"heads": 2}, "256 places and 131,072")):
        with pytest.raises(ModelError) as caught:
            OdeConfig(**stated | changed, attention=AttentionRule.SOFTMAX_RECIPROCAL)  # type: ignore[arg-type]
        assert (
            str(caught.value) == f"attention 'softmax-reciprocal' has {words} weights, expected at most 256 and 65,536"
        )
