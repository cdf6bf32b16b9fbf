"""What a model costs and which widths it needs: the figures that `fxsim info` shows."""

import math
from dataclasses import dataclass

import numpy as np

from fxsim.errors import ModelError
from fxsim.families.resmlp import ResMLPConfig, recognise_resmlp
from fxsim.graph.graph import Model, Node, accumulator_bound
from fxsim.operators.kinds import Affine, Linear, Lut, Shape

Range = tuple[int, int]
"""Least and greatest."""


@dataclass(frozen=True)
class OperatorSummary:
    """One operator. What it does not have is None, or 0 where it is counted.

    `shape` is its result's, without images. `parameters` counts weights, biases and shifts, a byte each; `table_bytes`
    the entries of tables. `macs` counts the multiply-accumulates of a linear for one image, `products` the
    multiplications of an affine. `accumulator` is what it can reach for any int8 input, at the channel where it is
    widest; it needs `acc_bits_needed` bits and has `acc_bits`.
    """

    tap: str
    kind: str
    over: str | None
    inputs: tuple[str, ...]
    shape: Shape
    parameters: int
    macs: int
    products: int
    table_bytes: int
    points: int | None
    rule: str | None
    weights: Range | None
    shifts: Range | None
    accumulator: Range | None
    acc_bits_needed: int | None
    acc_bits: int | None


@dataclass(frozen=True)
class ModelSummary:
    """A whole model: its dimensions where it is a ResMLP (else None), its operators in order, their totals."""

    name: str
    provenance: dict[str, str]
    input_shape: tuple[int, int]
    resmlp: ResMLPConfig | None
    operators: tuple[OperatorSummary, ...]
    parameters: int
    macs: int
    products: int
    table_bytes: int
    weights: Range | None
    shifts: Range | None


def summarise(model: Model) -> ModelSummary:
    """The figures of a model."""
    try:
        resmlp = recognise_resmlp(model.graph)
    except ModelError:
        resmlp = None
    operators = tuple(_operator(model, node) for node in model.graph.nodes)
    return ModelSummary(
        name=model.name,
        provenance=dict(model.provenance),
        input_shape=model.graph.input_shape,
        resmlp=resmlp,
        operators=operators,
        parameters=sum(op.parameters for op in operators),
        macs=sum(op.macs for op in operators),
        products=sum(op.products for op in operators),
        table_bytes=sum(op.table_bytes for op in operators),
        weights=_span([op.weights for op in operators]),
        shifts=_span([op.shifts for op in operators]),
    )


def _operator(model: Model, node: Node) -> OperatorSummary:
    op, shape = node.op, model.graph.shapes[node.name]
    bound = accumulator_bound(node)
    parameters, weights, shifts = 0, None, None
    if isinstance(op, Linear | Affine):
        parameters = op.weight.size + op.bias.size + op.shift.size
        weights = int(np.min(op.weight)), int(np.max(op.weight))
        shifts = int(np.min(op.shift)), int(np.max(op.shift))
    return OperatorSummary(
        tap=node.name,
        kind=op.kind,
        over=str(op.over) if isinstance(op, Linear) else None,
        inputs=node.inputs,
        shape=shape,
        parameters=parameters,
        # Every value of the result is one sum over the inputs.
        macs=math.prod(shape) * op.weight.shape[1] if isinstance(op, Linear) else 0,
        products=math.prod(shape) if isinstance(op, Affine) else 0,
        table_bytes=op.table.size if isinstance(op, Lut) else 0,
        points=op.points if isinstance(op, Lut) else None,
        rule=str(op.rule) if isinstance(op, Lut) else None,
        weights=weights,
        shifts=shifts,
        accumulator=(bound.low, bound.high) if bound else None,
        acc_bits_needed=bound.bits_needed if bound else None,
        acc_bits=bound.bits_stated if bound else None,
    )


def _span(ranges: list[Range | None]) -> Range | None:
    """The least and greatest of several ranges."""
    known = [r for r in ranges if r is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None
