"""The published PSA model beside its authors' PyTorch dump, block by block: what resampled tables make of the distance.

The dump is supposed to evaluate each function as a full table, of which the published one has every fourth entry.
Two things follow that can be measured without the full tables, which nobody published: how far a model with full tables
is from this one, and that functions differ between their points alone, by what rounding half up does there on average.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from fxsim.benchmark.distance import stages
from fxsim.contract import TableRule
from fxsim.contract.arithmetic import Int64, Integers
from fxsim.engines.reference import apply
from fxsim.formats.headers import import_headers, read_header_arrays
from fxsim.graph import Model, Node
from fxsim.operators import Linear, Lut

DRAWS = 5
_SEED = 20261129
_PLACES = 4
"""Codes of a segment: the tables have 64 points."""


class Apart(msgspec.Struct, frozen=True):
    """Two results of a block: share of values that differ; mean, mean square and greatest distance, in int8 steps."""

    differing: float
    mean: float
    square: float
    greatest: int


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One block, computed from the dump's own values before it.

    `observed`: the dump against the model; `drawn`: models with full tables against it, means over draws. `by_place`:
    the mean of what psa_2 gives in the dump less what it gives here, in steps, of inputs on a point and one, two, three
    codes behind it, by least squares, with standard `errors`; `rounding`: what a function that is rounded once would
    have there, given these inputs.
    """

    tap: str
    observed: Apart
    drawn: Apart
    by_place: tuple[float, ...]
    errors: tuple[float, ...]
    rounding: tuple[float, ...]


def measure_resampled(folder: Path) -> list[Block]:
    """The blocks of the published PSA model in a folder, beside its `quant_samples.h`."""
    model = import_headers(folder)
    samples = read_header_arrays(folder / "quant_samples.h")
    dump = {tap: samples[name].astype(np.int64) for tap, name in stages(model).items()}
    taps = [tap for tap in dump if tap != model.graph.output]
    rng = np.random.default_rng(_SEED)
    found = []
    for before, tap in pairwise(taps):
        values = _from(model, before, dump[before], tap, {})
        draws = []
        for _ in range(DRAWS):
            tables = {node.name: _full(node.op, rng) for node in model.graph.nodes if isinstance(node.op, Lut)}
            draws.append(_apart(_from(model, before, dump[before], tap, tables)[tap], values[tap]))
        differing, mean, square = np.mean([(draw.differing, draw.mean, draw.square) for draw in draws], axis=0)
        found.append(
            Block(
                tap=tap,
                observed=_apart(dump[tap], values[tap]),
                drawn=Apart(float(differing), float(mean), float(square), max(draw.greatest for draw in draws)),
                **_by_place(model, tap.removesuffix("add"), values, dump[tap] - values[tap]),
            )
        )
    return found


def _from(model: Model, tap: str, values: Int64, last: str, tables: Mapping[str, Int64]) -> dict[str, Int64]:
    """Values behind a tap, up to the last, with full tables in place of some nodes' own."""
    made: dict[str, Integers] = {tap: values.astype(model.graph.tensors[tap].number.dtype)}
    for node in model.graph.nodes:
        if node.name not in made and all(name in made for name in node.inputs):
            op = node.op
            if node.name in tables:
                assert isinstance(op, Lut)
                op = Lut(tables[node.name].astype(op.table.dtype), TableRule.FULL, op.number, op.out)
            made[node.name] = apply(Node(node.name, op, node.inputs), *(made[name] for name in node.inputs))
        if node.name == last:
            break
    return {name: array.astype(np.int64) for name, array in made.items()}


def _full(op: Lut, rng: np.random.Generator) -> Int64:
    """A full table of which a given one may have every so-many-th entry.

    Points before they were rounded are drawn, and joined by lines; every entry is rounded once.
    """
    exact = op.table + rng.uniform(-0.5, 0.5, op.table.shape)
    codes, points = np.arange(op.number.codes), np.arange(0, op.number.codes, op.number.codes // op.points)
    rows = np.stack([np.interp(codes, points, row) for row in exact])
    full: Int64 = np.clip(np.rint(rows), op.out.low, op.out.high).astype(np.int64)
    return full


def _apart(one: Int64, other: Int64) -> Apart:
    off = np.abs(one.astype(np.int64) - other)
    return Apart(float((off > 0).mean()), float(off.mean()), float((off**2).mean()), int(off.max()))


def _by_place(model: Model, block: str, values: Mapping[str, Int64], off: Int64) -> dict[str, tuple[float, ...]]:
    """The differences of a block as sums of what psa_2 gives otherwise, by the place of inputs in their segments."""
    table, linear = model.graph.by_name[f"{block}psa_2"].op, model.graph.by_name[f"{block}linear_2"].op
    assert isinstance(table, Lut)
    assert isinstance(linear, Linear)
    assert table.number.codes // table.points == _PLACES
    code = values[f"{block}linear_1"].reshape(-1, linear.weight.shape[1]) - table.number.low
    place = code % _PLACES
    weight = linear.weight / 2.0 ** linear.shift[:, None]
    columns = np.stack([(place == at) @ weight.T for at in range(_PLACES)], axis=-1).reshape(-1, _PLACES)
    wanted = off.reshape(-1).astype(np.float64)
    fitted = np.linalg.lstsq(columns, wanted, rcond=None)[0]
    spread = np.linalg.inv(columns.T @ columns) * ((wanted - columns @ fitted) ** 2).mean()
    segment, channel = np.minimum(code // _PLACES, table.points - 2), np.arange(code.shape[1])
    lower, upper = (table.table.astype(np.float64)[channel, segment + at] for at in (0, 1))
    exact = lower + (upper - lower) * place / _PLACES
    late = exact - np.floor(exact + 0.5)
    return {
        "by_place": tuple(float(v) for v in fitted),
        "errors": tuple(float(v) for v in np.sqrt(np.diag(spread))),
        "rounding": tuple(float(late[place == at].mean()) for at in range(_PLACES)),
    }
