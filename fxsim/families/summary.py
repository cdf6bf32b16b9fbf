"""The cost of a model and the widths it needs: the figures that `fxsim info` shows."""

from dataclasses import dataclass

from fxsim.contract import INT8
from fxsim.contract.arithmetic import Integers
from fxsim.families.registry import Family, recognise
from fxsim.graph import Model, Node, accumulator_bound
from fxsim.operators import Shape

Range = tuple[int, int]
"""Least and greatest."""


@dataclass(frozen=True)
class OperatorSummary:
    """One operator. What it does not have is None, or 0 where it is counted.

    `shape` and `number` are its result's, without images. `parameters` counts weights, biases and shifts,
    `parameter_bytes` their bytes in the numpy types that they have; `table_bytes` counts those of tables' entries.
    `macs` counts the multiply-accumulates of a linear for one image, `products` the multiplications of an affine.
    `accumulator` is what it can reach for any input, at the channel where it is widest; it needs `acc_bits_needed` bits
    and has `acc_bits`. `shares`: the earlier node whose operator it has, arrays and all: totals count these once.
    """

    tap: str
    kind: str
    over: str | None
    inputs: tuple[str, ...]
    shape: Shape
    number: str
    parameters: int
    parameter_bytes: int
    macs: int
    products: int
    table_bytes: int
    points: int | None
    rule: str | None
    weight_number: str | None
    weights: Range | None
    shifts: Range | None
    accumulator: Range | None
    acc_bits_needed: int | None
    acc_bits: int | None
    shares: str | None = None


@dataclass(frozen=True)
class ModelSummary:
    """A whole model: the family and network that it is (None where it is of none), its operators, their totals."""

    name: str
    provenance: dict[str, str]
    input_shape: Shape
    input_number: str
    input_axes: tuple[str, ...]
    family: str | None
    network: Family | None
    operators: tuple[OperatorSummary, ...]
    parameters: int
    parameter_bytes: int
    macs: int
    products: int
    table_bytes: int
    weights: Range | None
    shifts: Range | None

    @property
    def other_formats(self) -> bool:
        """Whether any tensor or weight is of another format than int8."""
        stated = {
            self.input_number,
            *(op.number for op in self.operators),
            *(op.weight_number for op in self.operators),
        }
        return bool(stated - {str(INT8), None})


def summarise(model: Model) -> ModelSummary:
    """The figures of a model."""
    recognised = recognise(model.graph)
    operators = tuple(_operator(model, node) for node in model.graph.nodes)
    return ModelSummary(
        name=model.name,
        provenance=dict(model.provenance),
        input_shape=model.graph.input_shape,
        input_number=str(model.graph.input.number),
        input_axes=model.graph.input.axes,
        family=recognised.name,
        network=recognised.network,
        operators=operators,
        parameters=sum(op.parameters for op in operators if op.shares is None),
        parameter_bytes=sum(op.parameter_bytes for op in operators if op.shares is None),
        macs=sum(op.macs for op in operators),
        products=sum(op.products for op in operators),
        table_bytes=sum(op.table_bytes for op in operators if op.shares is None),
        weights=_span([op.weights for op in operators]),
        shifts=_span([op.shifts for op in operators]),
    )


def _operator(model: Model, node: Node) -> OperatorSummary:
    op, tensor, owner = node.op, model.graph.tensors[node.name], model.graph.owners[node.name]
    bound, cost, arrays = accumulator_bound(model.graph, node.name), op.cost(tensor), dict(op.arrays())
    stated = {name: getattr(op, name) for name in op.attributes}
    return OperatorSummary(
        tap=node.name,
        kind=op.kind,
        over=_text(stated.get("over")),
        inputs=node.inputs,
        shape=tensor.shape,
        number=str(tensor.number),
        parameters=cost.parameters,
        parameter_bytes=sum(array.nbytes for array in arrays.values()) - cost.table_bytes,
        macs=cost.macs,
        products=cost.products,
        table_bytes=cost.table_bytes,
        points=stated.get("points"),
        rule=_text(stated.get("rule")),
        weight_number=_text(stated.get("weight_number")),
        weights=_range(arrays.get("weight")),
        shifts=_range(arrays.get("shift")),
        accumulator=(bound.low, bound.high) if bound else None,
        acc_bits_needed=bound.bits_needed if bound else None,
        acc_bits=bound.bits_stated if bound else None,
        shares=owner if arrays and owner != node.name else None,
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _range(array: Integers | None) -> Range | None:
    return None if array is None else (int(array.min()), int(array.max()))


def _span(ranges: list[Range | None]) -> Range | None:
    """The least and greatest of several ranges."""
    known = [r for r in ranges if r is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None
