"""Graphs of operators, checked when they are built: names, order, tensors, and that no accumulator can overflow."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from fxsim.contract import CHANNEL, DIMENSION_MAX, TOKEN, Shape, Tensor, bits_needed
from fxsim.errors import ModelError
from fxsim.operators import OPERATORS, Operator
from fxsim.operators.base import check_input, integer

INPUT = "input"
"""Name of the graph's input."""

ALL_TAPS = "all"
"""Asks for every tap where tap names are asked for; no node may be called so."""

VALUES_MAX = 1 << 26
"""Most values that a graph may compute an image, all taps together: bounds memory where a file states the sizes."""

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*\Z")
_NAME_LENGTH_MAX = 200


@dataclass(frozen=True)
class Node:
    """One operator in a graph; `name` is also its tap's."""

    name: str
    op: Operator
    inputs: tuple[str, ...]

    def __post_init__(self) -> None:
        # A text is iterable, too: its letters would pass for names.
        inputs: Any = self.inputs
        if isinstance(inputs, str) or not isinstance(inputs, Iterable):
            raise ModelError(f"node {self.name!r} has the inputs {self.inputs!r}, expected a tuple of names")
        object.__setattr__(self, "inputs", tuple(self.inputs))
        for name in self.inputs:
            if not isinstance(name, str):
                raise ModelError(f"node {self.name!r} has the input {name!r}, expected a name")

    __hash__ = None  # type: ignore[assignment]  # arrays cannot be hashed


@dataclass(frozen=True, init=False)
class Graph:
    """Operators in the order data takes. Every node's inputs come before it; the last node is the output.

    `input`: the tensor of one image; its shape (tokens, values) may stand for it, and is then of int8. `tensors` holds
    the tensor on every edge, by name, the input included.

    Raises ModelError naming the node where a name is illegal or taken, an operator is none of `OPERATORS`, an input is
    missing, a tensor does not fit, a result is never used, an accumulator could overflow its stated width for some
    input, or an image takes more than `VALUES_MAX` values.
    """

    input: Tensor
    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor] = field(init=False, compare=False, repr=False)

    def __init__(self, input: Tensor | Sequence[int], nodes: Iterable[Node]) -> None:  # noqa: A002  # the field's name
        object.__setattr__(self, "input", _input_tensor(input))
        if not isinstance(nodes, Iterable):
            raise ModelError(f"graph nodes are {nodes!r}, expected some of Node")
        object.__setattr__(self, "nodes", tuple(nodes))
        for node in self.nodes:
            if not isinstance(node, Node):
                raise ModelError(f"graph holds {node!r}, expected nodes")
        if not self.nodes:
            raise ModelError("graph has no operators, expected at least one")
        tensors: dict[str, Tensor] = {INPUT: self.input}
        for node in self.nodes:
            tensors[node.name] = _result(node, tensors)
            _prove_accumulator(node, tensors)
        used = {name for node in self.nodes for name in node.inputs}
        for node in self.nodes[:-1]:
            if node.name not in used:
                raise ModelError(f"node '{node.name}' is computed but never used, and is not the output")
        object.__setattr__(self, "tensors", MappingProxyType(tensors))
        if self.values_per_image > VALUES_MAX:
            raise ModelError(
                f"graph computes {self.values_per_image:,} values an image, expected at most {VALUES_MAX:,}"
            )

    __hash__ = None  # type: ignore[assignment]  # arrays cannot be hashed

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor: read-only views cannot be pickled, and what is unpickled is checked again.
        return Graph, (self.input, self.nodes)

    @property
    def input_shape(self) -> Shape:
        """Shape of one image."""
        return self.input.shape

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Shapes of all tensors by name, the input included."""
        return MappingProxyType({name: tensor.shape for name, tensor in self.tensors.items()})

    @property
    def output(self) -> str:
        """Name of the last node."""
        return self.nodes[-1].name

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of all taps, in the order of the graph."""
        return tuple(node.name for node in self.nodes)

    @property
    def values_per_image(self) -> int:
        """Values of all tensors of one image together, the input included."""
        return sum(tensor.size for tensor in self.tensors.values())

    @property
    def bytes_per_image(self) -> int:
        """Bytes of all tensors of one image together as numpy arrays, the input included."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        """Nodes by name."""
        return MappingProxyType({node.name: node for node in self.nodes})

    @cached_property
    def owners(self) -> Mapping[str, str]:
        """By node, the first node that has the same operator, itself or one before: its arrays are stored once.

        Nodes share an operator where it is one object; two that are merely equal are two.
        """
        first: dict[int, str] = {}
        return MappingProxyType({node.name: first.setdefault(id(node.op), node.name) for node in self.nodes})

    def inputs_of(self, node: Node) -> tuple[Tensor, ...]:
        """The tensors that a node reads, in its order."""
        return tuple(self.tensors[name] for name in node.inputs)


def _input_tensor(given: Tensor | Sequence[int]) -> Tensor:
    """The tensor of a graph's input: as given, or int8 (tokens, values) of a shape."""
    if not isinstance(given, Tensor):
        shown: Any = given
        if isinstance(shown, str) or not isinstance(shown, Iterable):
            raise ModelError(f"graph input is {given!r}, expected a Tensor or a shape (tokens, values)")
        shape = tuple(integer(n, "graph input dimension") for n in given)
        if len(shape) != 2 or not all(1 <= n <= DIMENSION_MAX for n in shape):
            raise ModelError(f"graph input has shape {shape}, expected (tokens, values), each 1 to {DIMENSION_MAX}")
        given = Tensor((TOKEN, CHANNEL), shape)
    check_input(given, "graph", bipolar=True)
    return given


def _result(node: Node, tensors: Mapping[str, Tensor]) -> Tensor:
    """The tensor that a node gives, everything about the node checked but its accumulator."""
    if not isinstance(node.name, str) or not _NAME.match(node.name) or len(node.name) > _NAME_LENGTH_MAX:
        raise ModelError(f"node name {node.name!r} is illegal, expected lower-case words joined by dots")
    if node.name == ALL_TAPS:
        raise ModelError(f"node name '{ALL_TAPS}' is taken: it asks for every tap")
    if node.name in tensors:
        raise ModelError(f"node name '{node.name}' is taken twice")
    if type(node.op) not in OPERATORS.values():
        found = getattr(node.op, "kind", type(node.op).__name__)
        raise ModelError(f"node '{node.name}' is of the kind '{found}', expected one of: {', '.join(OPERATORS)}")
    if len(node.inputs) != node.op.arity:
        raise ModelError(f"node '{node.name}' has {len(node.inputs)} inputs, a {node.op.kind} takes {node.op.arity}")
    for name in node.inputs:
        if name not in tensors:
            raise ModelError(f"node '{node.name}' reads '{name}', which no earlier node computes")
    try:
        return node.op.result(*(tensors[name] for name in node.inputs))
    except ModelError as error:
        raise ModelError(f"node '{node.name}': {error}") from None


@dataclass(frozen=True)
class AccumulatorBound:
    """The range of one operator's accumulator: `low` and `high` at output channel `channel`, where it is widest."""

    node: str
    channel: int
    low: int
    high: int
    bits_needed: int
    bits_stated: int


def accumulator_bound(graph: Graph, name: str) -> AccumulatorBound | None:
    """The proven worst case of a node's accumulator over all inputs; None for operators that do not sum."""
    node = graph.by_name[name]
    return _accumulator_bound(node, graph.tensors)


def _accumulator_bound(node: Node, tensors: Mapping[str, Tensor]) -> AccumulatorBound | None:
    reach = node.op.accumulator_range(*(tensors[name] for name in node.inputs))
    if reach is None:
        return None
    low, high = reach
    needed = [bits_needed(int(lo), int(hi)) for lo, hi in zip(low, high, strict=True)]
    channel = max(range(len(needed)), key=needed.__getitem__)
    stated: int = node.op.acc_bits  # type: ignore[attr-defined]  # every operator that sums states it
    return AccumulatorBound(node.name, channel, int(low[channel]), int(high[channel]), needed[channel], stated)


def _prove_accumulator(node: Node, tensors: Mapping[str, Tensor]) -> None:
    bound = _accumulator_bound(node, tensors)
    if bound is not None and bound.bits_needed > bound.bits_stated:
        raise ModelError(
            f"node '{bound.node}', output channel {bound.channel}: the accumulator can reach "
            f"[{bound.low}, {bound.high}], which needs {bound.bits_needed} bits, but {bound.bits_stated} are stated"
        )
