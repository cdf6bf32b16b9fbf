"""An engine computed wrongly on purpose, as a taker of random networks.

The faults are formulas of `explain.inject`; those of networks of few bits are the reference's, of other fields.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fxsim.contract import Rounding
from fxsim.engines import run_reference
from fxsim.explain.inject.faulty import faulty
from fxsim.fuzz import Subject, Taker
from fxsim.fuzz.takers import of_pictures
from fxsim.graph import INPUT, Graph, Node

FAULTS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "linear-rounds-down": (("linear",), {"rounding": "floor"}),
    "linear-shifts-one-more": (("linear",), {"shift_by": 1}),
    "linear-accumulates-in-12-bits": (("linear",), {"acc_bits": 12}),
    "linear-wraps": (("linear",), {"wrap": True}),
    "affine-rounds-to-even": (("affine",), {"rounding": "half_even"}),
    "affine-rounds-away": (("affine",), {"rounding": "half_away"}),
    "relu-is-missing": (("relu",), {"missing": True}),
    "add-wraps": (("add",), {"wrap": True}),
    "table-rounds-down": (("lut",), {"rounding": "floor"}),
    "pool-rounds-down": (("pool",), {"rounding": "floor"}),
}
"""Faults by name: the kinds of operators that have it, and its options."""


def rounded(op: Any, wanted: Rounding, given: Rounding) -> dict[str, Any]:
    """The rounding of an operator, `given` in the place of `wanted`."""
    return {"rounding": given} if op.rounding is wanted else {}


CHANGES: dict[str, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    "rescale-rounds-ties-up": ("rescale", lambda op: rounded(op, Rounding.HALF_EVEN, Rounding.HALF_UP)),
    "rescale-rounds-once": ("rescale", lambda op: rounded(op, Rounding.DOUBLE, Rounding.HALF_AWAY)),
    "rescale-adds-no-bias": ("rescale", lambda op: {"bias": np.zeros_like(op.bias)}),
    "pad-of-its-least-channel": ("pad", lambda op: {"value": np.full_like(op.value, op.value.min())}),
    "threshold-never-falls": ("threshold", lambda op: {"rising": np.ones_like(op.rising)}),
    "sum-pool-rounds-down": ("sum_pool", lambda _op: {"rounding": "floor"}),
}
"""Faults of networks of few bits: the kind of operator that is computed with other fields, and those."""


def faulty_taker(name: str) -> Taker:
    """The taker `copy`: an engine with one fault."""
    kinds, options = FAULTS.get(name, ((), {}))
    kind, change = CHANGES.get(name, ("", dict))

    def compute(subject: Subject) -> Mapping[str, Any]:
        graph = subject.model.graph
        if of_pictures(graph) or name in CHANGES:
            changed = [
                Node(n.name, dataclasses.replace(n.op, **change(n.op)), n.inputs) if n.op.kind == kind else n
                for n in graph.nodes
            ]
            return run_reference(Graph(graph.input, changed), subject.x, graph.taps)
        values = {INPUT: subject.x.astype(np.int64)}
        for node in graph.nodes:
            planted = options if node.op.kind in kinds else {}
            inputs = [values[name] for name in node.inputs]
            values[node.name] = faulty(node, inputs, planted, np.random.default_rng(0))
        return {tap: values[tap].astype(graph.tensors[tap].number.dtype) for tap in graph.taps}

    return Taker("copy", "copy", compute)
