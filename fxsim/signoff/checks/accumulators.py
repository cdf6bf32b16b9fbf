"""Kind `accumulators`: the proven bounds against the stated widths, and against sums of inputs made to reach them."""

import numpy as np

from fxsim.errors import FxsimError
from fxsim.graph import Node, accumulator_bound
from fxsim.operators import Affine, Linear
from fxsim.signoff.context import Context, Outcome, summarise
from fxsim.signoff.kind import Kind, Nothing
from fxsim.signoff.plan import Check, Names
from fxsim.signoff.record import Details, Figure


class AccumulatorsCheck(Check, frozen=True, tag="accumulators", kw_only=True):
    """No accumulator can overflow its stated width: worst cases proven, and reached by inputs made for it."""

    models: Names


def run(check: AccumulatorsCheck, context: Context, _seed: int) -> Outcome:
    """The proven bounds against the stated widths, and against sums of inputs made to reach them."""
    figures, problems, layers = [], [], 0
    for name in check.models:
        bounds = []
        for node in context.model(name).graph.nodes:
            bound = accumulator_bound(node)
            if bound is None:
                continue
            bounds.append(bound)
            # The stated width, and the sums that a worst-case input gives, in Python's unbounded integers.
            half = 1 << (bound.bits_stated - 1)
            for limit, sign in ((bound.low, -1), (bound.high, 1)):
                reached = _reach(node, bound.channel, sign)
                if reached != limit:
                    problems.append(f"{name}, {node.name}: the bound {limit} is stated, but an input gives {reached}")
                if not -half <= reached < half:
                    problems.append(f"{name}, {node.name}: {reached} does not fit {bound.bits_stated} bits")
        if not bounds:
            raise FxsimError(f"model '{name}' has no accumulators to check")
        layers += len(bounds)
        tightest = min(bounds, key=lambda b: b.bits_stated - b.bits_needed)
        linears = [b for b in bounds if isinstance(context.model(name).graph.by_name[b.node].op, Linear)]
        widest = max(linears, key=lambda b: b.bits_needed, default=tightest)
        where = f"{widest.node}, channel {widest.channel}"
        figures.append(Figure(f"{name}: widest linear", f"{widest.bits_needed} of {widest.bits_stated} bits ({where})"))
        spare = tightest.bits_stated - tightest.bits_needed
        figures.append(Figure(f"{name}: least spare bits", spare, f"({tightest.node})"))
    summary = f"{layers} accumulators of {len(check.models)} models cannot overflow"
    return summarise(summary, problems, Details(figures))


def _reach(node: Node, channel: int, sign: int) -> int:
    """The largest (sign 1) or smallest (-1) accumulator of one channel, summed from the input that gives it."""
    op = node.op
    if isinstance(op, Linear | Affine):
        weights = [int(w) for w in np.atleast_1d(op.weight[channel])]
        return sum(w * (127 if w * sign > 0 else -128) for w in weights)
    terms = op.tokens if hasattr(op, "tokens") else 2
    return terms * (127 if sign > 0 else -128)


KIND = Kind(
    settings=AccumulatorsCheck,
    about="for every layer the proven bounds fit the stated width, and inputs made for it reach those bounds",
    run=run,
    data=Nothing("figures name each model's widest and tightest accumulator"),
    report=Nothing("its line in the table of checks says everything"),
)
