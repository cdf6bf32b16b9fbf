"""An engine computed wrongly on purpose, as a taker of random networks; the faults are formulas of `explain.inject`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fxsim.explain.inject.faulty import faulty
from fxsim.fuzz import Subject, Taker
from fxsim.graph import INPUT

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


def faulty_taker(name: str) -> Taker:
    """The taker `copy`: an engine with one fault."""
    kinds, options = FAULTS[name]

    def compute(subject: Subject) -> Mapping[str, Any]:
        graph = subject.model.graph
        values = {INPUT: subject.x.astype(np.int64)}
        for node in graph.nodes:
            planted = options if node.op.kind in kinds else {}
            inputs = [values[name] for name in node.inputs]
            values[node.name] = faulty(node, inputs, planted, np.random.default_rng(0))
        return {tap: values[tap].astype(graph.tensors[tap].number.dtype) for tap in graph.taps}

    return Taker("copy", "copy", compute)
