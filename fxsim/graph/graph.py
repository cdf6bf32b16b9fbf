"""A small graph of operators, checked when it is built: names, order, shapes, and that no accumulator can overflow."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract import bits_needed
from fxsim.contract.arithmetic import Int8
from fxsim.errors import ModelError, StimulusError
from fxsim.operators.kinds import Add, Affine, Linear, Operator, Pool, Shape, integer

INPUT = "input"
"""Name of the graph's input, of shape (tokens, values)."""

ALL_TAPS = "all"
"""Asks for every tap where tap names are asked for; no node may be called so."""

DIMENSION_MAX = 65_536
"""Largest number of tokens, values or channels: keeps sizes read from files bounded."""

VALUES_MAX = 1 << 26
"""Most values that a graph may compute an image, all taps together: bounds memory where a file states the sizes."""

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*\Z")
_NAME_LENGTH_MAX = 200


@dataclass(frozen=True)
class Node:
    """One operator in a graph; `name` is also its tap's: int8 `[image, token, channel]`, or `[image, channel]`."""

    name: str
    op: Operator
    inputs: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(self.inputs))


@dataclass(frozen=True)
class Graph:
    """Operators in the order data takes. Every node's inputs come before it; the last node is the output.

    Raises ModelError naming the node where a name is illegal or taken, an input is missing, a shape does not fit, a
    result is never used, an accumulator could overflow its stated width for some int8 input, or an image takes more
    than `VALUES_MAX` values.
    """

    input_shape: tuple[int, int]
    nodes: tuple[Node, ...]
    shapes: Mapping[str, Shape] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_shape", tuple(integer(n, "graph input dimension") for n in self.input_shape))
        object.__setattr__(self, "nodes", tuple(self.nodes))
        if len(self.input_shape) != 2 or not all(1 <= n <= DIMENSION_MAX for n in self.input_shape):
            raise ModelError(
                f"graph input has shape {self.input_shape}, expected (tokens, values), each 1 to {DIMENSION_MAX}"
            )
        if not self.nodes:
            raise ModelError("graph has no operators, expected at least one")
        shapes: dict[str, Shape] = {INPUT: self.input_shape}
        for node in self.nodes:
            shapes[node.name] = self._shape(node, shapes)
            _prove_accumulator(node)
        used = {name for node in self.nodes for name in node.inputs}
        for node in self.nodes[:-1]:
            if node.name not in used:
                raise ModelError(f"node '{node.name}' is computed but never used, and is not the output")
        object.__setattr__(self, "shapes", MappingProxyType(shapes))
        if self.values_per_image > VALUES_MAX:
            raise ModelError(
                f"graph computes {self.values_per_image:,} values an image, expected at most {VALUES_MAX:,}"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor: read-only views cannot be pickled, and what is unpickled is checked again.
        return Graph, (self.input_shape, self.nodes)

    @staticmethod
    def _shape(node: Node, shapes: dict[str, Shape]) -> Shape:
        if not _NAME.match(node.name) or len(node.name) > _NAME_LENGTH_MAX:
            raise ModelError(f"node name {node.name!r} is illegal, expected lower-case words joined by dots")
        if node.name == ALL_TAPS:
            raise ModelError(f"node name '{ALL_TAPS}' is taken: it asks for every tap")
        if node.name in shapes:
            raise ModelError(f"node name '{node.name}' is taken twice")
        if len(node.inputs) != node.op.arity:
            raise ModelError(
                f"node '{node.name}' has {len(node.inputs)} inputs, a {node.op.kind} takes {node.op.arity}"
            )
        for name in node.inputs:
            if name not in shapes:
                raise ModelError(f"node '{node.name}' reads '{name}', which no earlier node computes")
        try:
            return node.op.output_shape(*(shapes[name] for name in node.inputs))
        except ModelError as error:
            raise ModelError(f"node '{node.name}': {error}") from None

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
        """Values of all tensors of one image together, the input included; each takes a byte."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        """Nodes by name."""
        return MappingProxyType({node.name: node for node in self.nodes})


@dataclass(frozen=True)
class AccumulatorBound:
    """What one operator's accumulator can reach: `low` and `high` at output channel `channel`, where it is widest."""

    node: str
    channel: int
    low: int
    high: int
    bits_needed: int
    bits_stated: int


def accumulator_bound(node: Node) -> AccumulatorBound | None:
    """The proven worst case of a node's accumulator over all int8 inputs; None for operators that do not sum."""
    if not isinstance(node.op, Linear | Affine | Add | Pool):
        return None
    low, high = node.op.accumulator_range()
    needed = [bits_needed(int(lo), int(hi)) for lo, hi in zip(low, high, strict=True)]
    channel = max(range(len(needed)), key=needed.__getitem__)
    return AccumulatorBound(
        node.name, channel, int(low[channel]), int(high[channel]), needed[channel], node.op.acc_bits
    )


def _prove_accumulator(node: Node) -> None:
    bound = accumulator_bound(node)
    if bound is not None and bound.bits_needed > bound.bits_stated:
        raise ModelError(
            f"node '{node.name}', output channel {bound.channel}: the accumulator can reach "
            f"[{bound.low}, {bound.high}], which needs {bound.bits_needed} bits, but {bound.bits_stated} are stated"
        )


@dataclass(frozen=True)
class Model:
    """A graph with a name and where it came from (free text by key, e.g. `source`, `trained`)."""

    graph: Graph
    name: str
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        texts = {"name": self.name} | {f"provenance '{key}'": value for key, value in self.provenance.items()}
        texts |= {f"provenance key {key!r}": key for key in self.provenance}
        for what, text in texts.items():
            if not isinstance(text, str):
                raise ModelError(f"model {what} is {text!r}, expected text")
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))

    def __reduce__(self) -> tuple[Any, ...]:
        return Model, (self.graph, self.name, dict(self.provenance))

    def check_stimulus(self, x: npt.NDArray[Any], what: str = "stimulus") -> Int8:
        """`x` itself if it is int8 [image, token, value] as the model takes it; else StimulusError, naming `what`."""
        if not isinstance(x, np.ndarray):
            raise StimulusError(f"{what} is a {type(x).__name__}, expected a numpy array")
        if x.dtype != np.int8:
            raise StimulusError(f"{what} has type {x.dtype}, expected int8")
        if x.ndim != 3 or x.shape[1:] != self.graph.input_shape:
            tokens, values = self.graph.input_shape
            raise StimulusError(
                f"{what} has shape {x.shape}, expected (images, {tokens}, {values}) for model '{self.name}'"
            )
        return x

    def select_taps(self, taps: str | Iterable[str]) -> tuple[str, ...]:
        """Tap names in graph order, from names or 'all'. StimulusError names an unknown one and those there are."""
        wanted = {taps} if isinstance(taps, str) else set(taps)
        if ALL_TAPS in wanted:
            return self.graph.taps
        for name in sorted(wanted):
            if name not in self.graph.by_name:
                raise StimulusError(f"model '{self.name}' has no tap '{name}'; it has: {', '.join(self.graph.taps)}")
        if not wanted:
            raise StimulusError(f"no tap was named; model '{self.name}' has: {', '.join(self.graph.taps)}")
        return tuple(name for name in self.graph.taps if name in wanted)
