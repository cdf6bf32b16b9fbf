"""Nodes under changes, at the speed of a sweep: tables read whole, sums requantised by compiled code."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fxsim.contract import TableRule, expand_table
from fxsim.contract.arithmetic import Integers
from fxsim.explain.applied import compute_changed
from fxsim.explain.case import Change
from fxsim.explain.rules import CONTRACT, Rule, rows_last
from fxsim.explain.sensitivity.kernel import TAKEN, requantised_fast
from fxsim.graph import Model, Node
from fxsim.operators import Affine, Linear, Lut


class Nodes:
    """A model's nodes, each computed by the contract or under a change, of narrow values to narrow values."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._tables = {
            node.name: expand_table(node.op.table, node.op.rule, node.op.number)
            for node in model.graph.nodes
            if isinstance(node.op, Lut)
        }

    def compute(self, node: Node, change: Change | None, values: Mapping[str, Integers]) -> Integers:
        """A node's result, [image, ...] of its tensor's numpy type; `values`: by tensor.

        ComparisonError where it is no value of the tensor.
        """
        op, fields = node.op, {} if change is None else change.fields
        number = self.model.graph.tensors[node.name].number
        if isinstance(op, Lut) and (change is None or fields.get("edge") is TableRule.FULL):
            table = self._tables[node.name] if change is None else fields["table"]
            if number.low <= table.min() <= table.max() <= number.high:
                code = values[node.inputs[0]].astype(np.int64) - op.number.low
                code += np.arange(table.shape[0]) * table.shape[1]
                found: Integers = table.astype(number.dtype, copy=False).ravel().take(code)
                return found
        if isinstance(op, Linear | Affine) and fields.keys() <= TAKEN:
            rule = CONTRACT if change is None else Rule(**fields)
            x = np.ascontiguousarray(rows_last(op, values[node.inputs[0]]), np.float64)
            weight = (op.weight if rule.weight is None else rule.weight).astype(np.float64)
            # Whole numbers below 2^53 are exact in float64, whatever the order of summation.
            sums = (
                x * weight
                if isinstance(op, Affine)
                else (x.reshape(-1, x.shape[-1]) @ weight.T).reshape(*x.shape[:-1], -1)
            )
            made: Any = rows_last(op, requantised_fast(op, sums, rule).astype(number.dtype))
            # Results are limited to their format, or wrapped: `limits` beyond it are refused before.
            return np.ascontiguousarray(made)
        slow: Integers = compute_changed(self.model, node, [] if change is None else [change], values)
        return slow.astype(number.dtype)
