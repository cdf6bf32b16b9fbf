"""Changes of a sweep: the rules that hypotheses know of each operator, sizes of its table, widths of its numbers."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from fxsim.contract import Number, TableRule, Tensor, expand_table, legal_points
from fxsim.contract.arithmetic import Int64, Integers
from fxsim.errors import ModelError
from fxsim.explain.case import Case, Change
from fxsim.explain.contracts import contract
from fxsim.explain.hypotheses import hypotheses
from fxsim.explain.rules import Rounding, Rule, compute, cut
from fxsim.graph import INPUT, Model, Node
from fxsim.operators import (
    FEATURE_MAPS,
    Add,
    Affine,
    Conv,
    Linear,
    Lut,
    MaxPool,
    NotTaken,
    OperatorTable,
    Pool,
    Relu,
    Threshold,
)

_BITS_MIN = 2
_GROUPS = (
    ("rounding", "rounding"), ("double_rounding", "rounding"), ("contract_", "rounding"), ("bias", "bias"),
    ("shift", "shift"), ("saturation", "range"), ("add_unsaturated", "range"), ("accumulator", "accumulator width"),
    ("relu", "relu"), ("residual", "residual"), ("weight_bits", "weight width"), ("weights", "weights"),
    ("product_dropped", "weights"),
    ("activation_bits", "activation width"), ("lut_resampled", "table size"), ("lut", "table"),
)  # fmt: skip
"""Beginnings of labels, and the group that they belong to."""


@dataclass(frozen=True)
class Alternative:
    """A change by label and parameters, which mean the same at every node: the nodes it applies to, and how there.

    `left_out`: nodes where it cannot be made, and why.
    """

    group: str
    label: str
    parameters: Mapping[str, Any]
    changes: dict[str, Change] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def group_of(label: str) -> str:
    """The group of a label; `other` where it is another package's own."""
    return next((group for beginning, group in _GROUPS if label.startswith(beginning)), "other")


def alternatives(model: Model, values: Mapping[str, Integers]) -> list[Alternative]:
    """Every change of a model's nodes that is a rule for any images. `values`: of each tensor, of some images.

    Values in another order, late, or of unknown bits are none, nor is what is found in a trace alone.
    """
    found: dict[tuple[str, str], Alternative] = {}
    wide = {name: array.astype(np.int64) for name, array in values.items()}
    for node in model.graph.nodes:
        inputs = [model.graph.tensors[name] for name in node.inputs]
        for change, parameters in _changes(model, node, wide):
            key = (change.label, repr(sorted(parameters.items())))
            if key not in found:
                found[key] = Alternative(group_of(change.label), change.label, parameters)
            reason = _refused(node, inputs, model.graph.tensors[node.name].number, change)
            if reason:
                found[key].left_out[node.name] = reason
            else:
                found[key].changes[node.name] = replace(_tabulated(node, change), node=node.name)
    return list(found.values())


def _tabulated(node: Node, change: Change) -> Change:
    """A change of a table as a full table of what it makes of every code, which is read far faster."""
    op = node.op
    if not isinstance(op, Lut):
        return change
    codes = np.arange(op.number.low, op.number.high + 1)
    everywhere = np.repeat(codes[:, None], op.table.shape[0], axis=1)
    table = np.ascontiguousarray(compute(op, Rule(**change.fields), everywhere).T)
    return replace(change, fields={"edge": TableRule.FULL, "table": table})


def _changes(model: Model, node: Node, values: Mapping[str, Int64]) -> Iterator[tuple[Change, dict[str, Any]]]:
    """Changes of a node, with parameters that mean the same at others."""
    # The tap of the case is not the node: nothing came of it, so that nothing is looked for in what came.
    made = values[node.name]
    case = Case(
        INPUT, (node,), node, values, made, made, np.zeros(made.shape, bool), model.graph.tensors, model.graph.by_name
    )
    for change in hypotheses(case):
        if change.whole or "gather" in change.fields or "arrange" in change.fields:
            continue
        parameters = dict(change.parameters)
        for position, name in (("operand", "first"), ("other", "second")):
            if position in change.fields:
                parameters = {"input": name}
        parameters.pop("stated", None)
        yield change, parameters
    number = model.graph.tensors[node.name].number
    for bits in range(number.bits - 1, _BITS_MIN - 1, -1):
        yield Change("activation_bits", {"arrange": partial(_coarser, number, bits)}), {"bits": bits}
    for change in SIZES[type(node.op)](node.op):
        yield change, dict(change.parameters)


def _coarser(number: Number, bits: int, values: Int64) -> Int64:
    """Values kept to `bits` bits at the same range: the nearest multiple, half up, of 2^(bits that are dropped)."""
    dropped = number.bits - bits
    kept: Int64 = np.minimum(cut(values, dropped, Rounding.HALF_UP), number.high >> dropped) << dropped
    return kept


def _weights(op: Linear | Affine) -> Iterator[Change]:
    """Weights of fewer bits, at their scale."""
    for bits in range(op.weight_number.bits - 1, _BITS_MIN - 1, -1):
        weight = _coarser(op.weight_number, bits, op.weight.astype(np.int64))
        yield Change("weight_bits", {"weight": weight}, {"bits": bits})


def _points(op: Lut) -> Iterator[Change]:
    """Fewer points, by the table's own edge rule; of a full one that is a hypothesis already."""
    if op.rule is TableRule.FULL:
        return
    full = expand_table(op.table, op.rule, op.number).astype(np.int64)
    for points in legal_points(op.rule, op.number):
        if points < op.points:
            table = full[:, :: op.number.codes // points]
            if op.rule is TableRule.ENDPOINT:
                table = np.concatenate([table, full[:, -1:]], axis=1)
            yield Change("lut_resampled", {"table": table}, {"points": points, "rule": str(op.rule)})


def _none(_op: Relu | Add | Pool) -> Iterator[Change]:
    yield from ()


_NOT_TAKEN = NotTaken("because no other size of it is tried yet")

SIZES: OperatorTable[Callable[..., Iterator[Change]]] = OperatorTable(
    "the sweep of sizes",
    {
        Linear: _weights,
        Affine: _weights,
        Lut: _points,
        Relu: _none,
        Add: _none,
        Pool: _none,
        Conv: _NOT_TAKEN,
        MaxPool: _NOT_TAKEN,
        Threshold: _NOT_TAKEN,
        **dict.fromkeys(FEATURE_MAPS, _NOT_TAKEN),
    },
)
"""From an operator: what it is with weights of fewer bits, or with fewer points."""


def _refused(node: Node, inputs: list[Tensor], number: Number, change: Change) -> str:
    """The reason why a change cannot be made at a node, for any images; empty where it can."""
    limits = change.fields.get("limits")
    if limits is not None and not number.low <= limits[0] <= limits[1] <= number.high:
        return f"results of {limits[0]} to {limits[1]} are none of {number}"
    if change.label.startswith("contract_"):
        op, reach = node.op, node.op.accumulator_range(*inputs)
        assert isinstance(op, Linear | Affine)
        assert reach is not None
        named = contract(change.label.removeprefix("contract_"))
        try:
            for row in zip(*reach, op.shift, op.bias, strict=True):
                named.check(*(int(v) for v in row))
        except ModelError as error:
            return str(error)
    return ""
