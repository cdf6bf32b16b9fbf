"""Hypotheses: for each kind of operator, functions that propose what may have been done differently at a node.

A hypothesis takes a `Case` and yields every `Change` that it can think of; `search` tries them. The fixed ones need
only the operator; the fitted ones find their parameters in the trace, also in what another change leaves. Another
package adds its own by an entry point of the group `fxsim.hypotheses`, whose name is free and whose object is such a
function.
"""

from collections.abc import Callable, Iterator
from functools import cache
from types import FunctionType

from fxsim.explain.case import Case, Change
from fxsim.explain.hypotheses import attention, few_bits, order, requantise, rescale, simple, table, weighted_add
from fxsim.operators import (
    FEATURE_MAPS,
    ORDERS,
    Add,
    Affine,
    Conv,
    Encode,
    Gate,
    Linear,
    Lut,
    Matmul,
    MaxPool,
    OperatorTable,
    Pool,
    Position,
    Relu,
    Rescale,
    SumPool,
    Threshold,
    WeightedAdd,
)
from fxsim.plugins import find_plugins, load_plugin

Hypothesis = Callable[[Case], Iterator[Change]]

_REQUANTISE = (*requantise.HYPOTHESES, *order.HYPOTHESES)


def none(_case: Case) -> Iterator[Change]:
    """No change."""
    yield from ()


HYPOTHESES: OperatorTable[tuple[Hypothesis, ...]] = OperatorTable(
    "the list of hypotheses",
    {
        Linear: _REQUANTISE,
        Affine: _REQUANTISE,
        Relu: (*simple.RELU, *order.HYPOTHESES),
        Add: (*simple.ADD, *order.HYPOTHESES),
        Pool: (*simple.POOL, *order.HYPOTHESES),
        Lut: (*table.HYPOTHESES, *order.HYPOTHESES),
        Conv: (*few_bits.CONV, *order.HYPOTHESES),
        MaxPool: (*few_bits.MAX_POOL, *order.HYPOTHESES),
        Threshold: (*few_bits.THRESHOLD, *order.HYPOTHESES),
        **dict.fromkeys(FEATURE_MAPS, order.HYPOTHESES),
        Encode: (*few_bits.ENCODE, *order.HYPOTHESES),
        Gate: (*few_bits.GATE, *order.HYPOTHESES),
        **dict.fromkeys(ORDERS, (*few_bits.ORDERS, *order.HYPOTHESES)),
        SumPool: (*few_bits.SUM_POOL, *order.HYPOTHESES),
        Rescale: (*rescale.RESCALE, *order.HYPOTHESES),
        WeightedAdd: (*weighted_add.WEIGHTED_ADD, *order.HYPOTHESES),
        Matmul: (*attention.MATMUL, *order.HYPOTHESES),
        Position: (*attention.POSITION, *order.HYPOTHESES),
    },
)
"""From an operator: its hypotheses, the simplest first."""

FITTED: OperatorTable[tuple[Hypothesis, ...]] = OperatorTable(
    "the list of fitted hypotheses",
    {
        Linear: (*requantise.FITTED, *order.FITTED),
        Affine: (*requantise.FITTED, *order.FITTED),
        Relu: order.FITTED,
        Add: order.FITTED,
        Pool: order.FITTED,
        Lut: (*table.FITTED, *order.FITTED),
        **dict.fromkeys((Conv, MaxPool, Threshold, *FEATURE_MAPS), order.FITTED),
    },
)
"""From an operator: its hypotheses that find their parameters in the trace, also beside another change."""

TRIALS: OperatorTable[Hypothesis] = OperatorTable(
    "the list of trials",
    {
        Linear: requantise.trials,
        Affine: requantise.trials,
        Relu: none,
        Add: none,
        Pool: none,
        Lut: none,
        **dict.fromkeys((Conv, MaxPool, Threshold, *FEATURE_MAPS), none),
    },
)
"""From an operator: parameters that are not seen by themselves, all of them, beside which others are fitted."""

GROUP = "fxsim.hypotheses"


@cache
def _others() -> tuple[Hypothesis, ...]:
    return tuple(load_plugin("hypothesis", entry, FunctionType) for entry in find_plugins(GROUP).values())


def hypotheses(case: Case) -> Iterator[Change]:
    """Every change proposed for a case, those of other packages last."""
    for propose in (*HYPOTHESES[type(case.op)], *_others()):
        yield from propose(case)


def fitted(case: Case) -> Iterator[Change]:
    """Changes whose parameters are found in what came, beside what the case takes for granted."""
    for propose in FITTED[type(case.op)]:
        yield from propose(case)


def trials(case: Case) -> Iterator[Change]:
    """Changes to be taken for granted one by one, although nothing that came says so by itself."""
    yield from TRIALS[type(case.op)](case)
