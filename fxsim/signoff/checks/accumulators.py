"""Kind `accumulators`: the proven bounds against the stated widths, and against sums of inputs made to reach them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fxsim.contract import Number
from fxsim.errors import FxsimError
from fxsim.graph import Graph, Node, accumulator_bound
from fxsim.operators import (
    ORDERS,
    Add,
    Affine,
    Argmax,
    Concat,
    Conv,
    Encode,
    Gate,
    Linear,
    Lut,
    Matmul,
    MaxPool,
    MultiplyAdd,
    NotTaken,
    OperatorTable,
    OrderedLinear,
    Pad,
    Pool,
    Position,
    Prelu,
    Relu,
    Rescale,
    SumPool,
    Threshold,
    WeightedAdd,
)
from fxsim.signoff.context import Context, Outcome, summarise
from fxsim.signoff.kind import Kind, Nothing
from fxsim.signoff.plan import Check, Names
from fxsim.signoff.record import Details, Figure

Term = tuple[int, "Number | _One | _Ends"]
"""One addend: a factor, and the format of the value that it multiplies."""


class AccumulatorsCheck(Check, frozen=True, tag="accumulators", kw_only=True):
    """No accumulator can overflow its stated width: worst cases proven, and reached by inputs made for it."""

    models: Names


def run(check: AccumulatorsCheck, context: Context, _seed: int) -> Outcome:
    """The proven bounds against the stated widths, and against sums of inputs made to reach them."""
    figures, problems, layers = [], [], 0
    for name in check.models:
        bounds = []
        graph = context.model(name).graph
        for node in graph.nodes:
            bound = accumulator_bound(graph, node.name)
            if bound is None:
                continue
            bounds.append(bound)
            # The stated width, and the sums that a worst-case input gives, in Python's unbounded integers.
            half = 1 << (bound.bits_stated - 1)
            for limit, sign in ((bound.low, -1), (bound.high, 1)):
                reached = _reach(graph, node, bound.channel, sign)
                if reached != limit:
                    problems.append(f"{name}, {node.name}: the bound {limit} is stated, but an input gives {reached}")
                if not -half <= reached < half:
                    problems.append(f"{name}, {node.name}: {reached} does not fit {bound.bits_stated} bits")
        if not bounds:
            raise FxsimError(f"model '{name}' has no accumulators to check")
        layers += len(bounds)
        tightest = min(bounds, key=lambda b: b.bits_stated - b.bits_needed)
        linears = [b for b in bounds if isinstance(graph.by_name[b.node].op, Linear)]
        widest = max(linears, key=lambda b: b.bits_needed, default=tightest)
        where = f"{widest.node}, channel {widest.channel}"
        figures.append(Figure(f"{name}: widest linear", f"{widest.bits_needed} of {widest.bits_stated} bits ({where})"))
        spare = tightest.bits_stated - tightest.bits_needed
        figures.append(Figure(f"{name}: least spare bits", spare, f"({tightest.node})"))
    summary = f"{layers} accumulators of {len(check.models)} models cannot overflow"
    return summarise(summary, problems, Details(figures))


def _reach(graph: Graph, node: Node, channel: int, sign: int) -> int:
    """The largest (sign 1) or smallest (-1) accumulator of one channel, summed from the input that gives it."""
    numbers = [graph.tensors[name].number for name in node.inputs]
    terms = TERMS[type(node.op)](node.op, channel, *numbers)
    return sum(w * (x.high if w * sign > 0 else x.low) for w, x in terms)


def _weighted(op: Linear | Affine | Conv | Prelu, channel: int, x: Number) -> Sequence[Term]:
    return [(int(w), x) for w in np.ravel(op.weight[channel])]


class _One:
    """A factor that is always 1: that of a constant."""

    low = high = 1


@dataclass(frozen=True)
class _Ends:
    """Least and greatest value of a factor that is no tensor."""

    low: int
    high: int


def _products(x: Number, r: Number) -> tuple[int, int]:
    found = [a * b for a in (x.low, x.high) for b in (r.low, r.high)]
    return min(found), max(found)


def _table(op: Position, channel: int) -> tuple[int, int]:
    column = op.table[:, channel].tolist()
    return min(column), max(column)


def _multiply_add(op: MultiplyAdd, channel: int, x: Number) -> Sequence[Term]:
    return [(int(op.weight[channel]), x), (int(op.bias[channel]), _One())]


def _weighted_add(op: WeightedAdd, channel: int, x: Number, r: Number) -> Sequence[Term]:
    return [(int(op.weight[0, channel]), x), (int(op.weight[1, channel]), r)]


def _rescale(op: Rescale, channel: int, x: Number) -> Sequence[Term]:
    multiplier = int(op.multiplier[channel])
    return [(multiplier, x), (multiplier * int(op.addend[channel]), _One())]


def _window(op: SumPool, _channel: int, x: Number) -> Sequence[Term]:
    return op.kernel[0] * op.kernel[1] * [(1, x)]


_NO_SUM = NotTaken("because it has no accumulator")

TERMS: OperatorTable[Callable[..., Sequence[Term]]] = OperatorTable(
    "the check of accumulators",
    {
        Linear: _weighted,
        Affine: _weighted,
        Relu: _NO_SUM,
        Lut: _NO_SUM,
        Add: lambda _op, _channel, x, r: [(1, x), (1, r)],
        Pool: lambda op, _channel, x: op.tokens * [(1, x)],
        Conv: _weighted,
        MaxPool: _NO_SUM,
        Threshold: _NO_SUM,
        Encode: _NO_SUM,
        MultiplyAdd: _multiply_add,
        WeightedAdd: _weighted_add,
        Prelu: _weighted,
        Gate: _NO_SUM,
        Concat: _NO_SUM,
        **dict.fromkeys(ORDERS, _NO_SUM),
        SumPool: _window,
        OrderedLinear: _NO_SUM,
        Argmax: _NO_SUM,
        Matmul: lambda op, _channel, x, r: op.terms * [(1, _Ends(*_products(x, r)))],
        Position: lambda op, channel, x: [(1, x), (1, _Ends(*_table(op, channel)))],
        Rescale: _rescale,
        Pad: _NO_SUM,
    },
)
"""Each operator's function that lists the terms of its sum, given an output channel and the formats of its inputs."""


KIND = Kind(
    settings=AccumulatorsCheck,
    about="for every layer the proven bounds fit the stated width, and inputs made for it reach those bounds",
    run=run,
    data=Nothing("figures name each model's widest and tightest accumulator"),
    report=Nothing("its line in the table of checks says everything"),
)
