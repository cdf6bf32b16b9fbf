"""Hypotheses: for each kind of operator, functions that propose what may have been done differently at a node.

A hypothesis takes a `Case` and yields every `Change` that it can think of; `search` tries them. The fixed ones need
only the operator; the fitted ones find their parameters in the trace. Another package adds its own by an entry point of
the group `fxsim.hypotheses`, whose name is free and whose object is such a function.
"""

from collections.abc import Callable, Iterator
from functools import cache
from types import FunctionType

from fxsim.explain.case import Case, Change
from fxsim.explain.hypotheses import order, requantise, simple, table
from fxsim.operators import Add, Affine, Linear, Lut, OperatorTable, Pool, Relu
from fxsim.plugins import find_plugins, load_plugin

Hypothesis = Callable[[Case], Iterator[Change]]

_REQUANTISE = (*requantise.HYPOTHESES, *order.HYPOTHESES)

HYPOTHESES: OperatorTable[tuple[Hypothesis, ...]] = OperatorTable(
    "the list of hypotheses",
    {
        Linear: _REQUANTISE,
        Affine: _REQUANTISE,
        Relu: (*simple.RELU, *order.HYPOTHESES),
        Add: (*simple.ADD, *order.HYPOTHESES),
        Pool: (*simple.POOL, *order.HYPOTHESES),
        Lut: (*table.HYPOTHESES, *order.HYPOTHESES),
    },
)
"""From an operator: its hypotheses, the simplest first."""

GROUP = "fxsim.hypotheses"


@cache
def _others() -> tuple[Hypothesis, ...]:
    return tuple(load_plugin("hypothesis", entry, FunctionType) for entry in find_plugins(GROUP).values())


def hypotheses(case: Case) -> Iterator[Change]:
    """Every change proposed for a case, those of other packages last."""
    for propose in (*HYPOTHESES[type(case.op)], *_others()):
        yield from propose(case)
