"""The function that the contract gives every value of every tap: of a weighted sum of values of the taps before it.

All operators have this form: a linear's or a pool's weights, a sum's ones, and for functions of one value the weight 1.
Values are numbered: those of the input, then each tap's in the order of the graph, each tensor by its axes in order.
"""

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fxsim.contract import Number
from fxsim.contract.arithmetic import Int64, Integers, relu, requantise, round_shift, saturate
from fxsim.contract.tables import lookup
from fxsim.graph import INPUT, Graph, Node
from fxsim.operators import (
    FEATURE_MAPS,
    Add,
    Affine,
    Axis,
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

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Requantised:
    """saturate(round_shift(sum, shift) + bias): what linears, affines, pools and sums make of their sums."""

    shift: int
    bias: int
    out: Number

    def __call__(self, sums: Int64) -> Integers:
        """The values of some sums."""
        return requantise(sums, self.shift, self.bias, self.out)


class Expected(NamedTuple):
    """The function of one value: of the sum of `weights` times the values `inputs`, none of which are 0.

    `key`: what the function of the sum is; those of one key are one function.
    """

    inputs: Numbers
    weights: Numbers
    finish: Callable[[Int64], Integers]
    key: Hashable


@dataclass(frozen=True)
class Composed:
    """A function of the value of another one: what operators of one value make of it, where no tap is between."""

    inner: Callable[[Int64], Integers]
    weight: int
    outer: Callable[[Int64], Integers]

    def __call__(self, sums: Int64) -> Integers:
        """The values of some sums."""
        return self.outer(self.weight * self.inner(sums).astype(np.int64))


class HiddenError(Exception):
    """A value is no function of one sum of the values that are shown; the text says what would have to be."""


class Functions:
    """The functions of all values of a graph, and their numbers.

    `shown`: the tensors that a design shows or is given; None: all. Values are functions of these alone.
    """

    def __init__(self, graph: Graph, shown: Collection[str] | None = None) -> None:
        self.graph = graph
        self._shown = frozenset(graph.tensors if shown is None else shown)
        self.first: dict[str, int] = {}
        total = 0
        for name, tensor in graph.tensors.items():
            self.first[name] = total
            total += tensor.size
        self.total = total

    def number(self, tap: str, token: int | None, channel: int) -> int:
        """The number of a value of a tap, or of the input."""
        shape = self.graph.shapes[tap]
        return self.first[tap] + (channel if token is None else token * shape[-1] + channel)

    def samples(self, x: Integers, values: dict[str, Integers]) -> Numbers:
        """Values of images by number, int64 [value, image], from the images and their taps."""
        tensors = {INPUT: x, **values}
        parts = [tensors[name].reshape(len(x), -1).T for name in self.graph.tensors]
        return np.ascontiguousarray(np.concatenate(parts), np.int64)

    def expected(self, tap: str, token: int | None, channel: int) -> Expected:
        """The function of a value of a tap; HiddenError where it is of none of this form."""
        node = self.graph.by_name[tap]
        found = _ROWS[type(node.op)](self, node, token, channel)
        hidden = [name for name in node.inputs if name not in self._shown]
        if not hidden or not len(found.inputs):
            return found
        if not isinstance(node.op, Affine | Lut | Relu):
            names = " and ".join(f"'{name}'" for name in dict.fromkeys(hidden))
            raise HiddenError(f"'{tap}' is computed of {names}, which is not shown: describe it as a tap")
        inner = self.expected(hidden[0], token, channel)
        composed = Composed(inner.finish, int(found.weights[0]), found.finish)
        return Expected(inner.inputs, inner.weights, composed, (inner.key, int(found.weights[0]), found.key))

    def _at(self, node: Node, token: int | None, channel: int, weight: int = 1) -> tuple[Numbers, Numbers]:
        """The value of a node's input at the same place, with a weight."""
        if weight == 0:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        return np.array([self.number(node.inputs[0], token, channel)]), np.array([weight])


def _linear(functions: Functions, node: Node, token: int | None, channel: int) -> Expected:
    op = node.op
    assert isinstance(op, Linear)
    source = node.inputs[0]
    if op.over is Axis.TOKENS:
        assert token is not None
        row = token
        inputs = functions.first[source] + np.arange(op.weight.shape[1]) * functions.graph.shapes[source][-1] + channel
    else:
        row = channel
        inputs = functions.number(source, token, 0) + np.arange(op.weight.shape[1])
    weights = op.weight[row].astype(np.int64)
    return _requantised(inputs[weights != 0], weights[weights != 0], int(op.shift[row]), int(op.bias[row]), op.out)


def _affine(functions: Functions, node: Node, token: int | None, channel: int) -> Expected:
    op = node.op
    assert isinstance(op, Affine)
    inputs, weights = functions._at(node, token, channel, int(op.weight[channel]))
    return _requantised(inputs, weights, int(op.shift[channel]), int(op.bias[channel]), op.out)


def _pool(functions: Functions, node: Node, token: int | None, channel: int) -> Expected:
    assert isinstance(node.op, Pool)
    assert token is None
    source, tokens = node.inputs[0], node.op.tokens
    inputs = functions.first[source] + np.arange(tokens) * functions.graph.shapes[source][-1] + channel
    # A mean cannot leave its format: saturating changes none.
    out = functions.graph.tensors[node.name].number
    return _requantised(inputs, np.ones(tokens, np.int64), tokens.bit_length() - 1, 0, out)


def _add(functions: Functions, node: Node, token: int | None, channel: int) -> Expected:
    assert isinstance(node.op, Add)
    inputs = np.array([functions.number(name, token, channel) for name in node.inputs])
    if inputs[0] == inputs[1]:
        return _requantised(inputs[:1], np.array([2]), 0, 0, node.op.out)
    return _requantised(inputs, np.ones(2, np.int64), 0, 0, node.op.out)


def _requantised(inputs: Numbers, weights: Numbers, shift: int, bias: int, out: Number) -> Expected:
    function = Requantised(shift, bias, out)
    return Expected(inputs, weights, function, function)


def _relu(functions: Functions, node: Node, token: int | None, channel: int) -> Expected:
    return Expected(*functions._at(node, token, channel), relu, "relu")


def _lut(functions: Functions, node: Node, token: int | None, channel: int) -> Expected:
    op = node.op
    assert isinstance(op, Lut)

    def function(x: Int64) -> Integers:
        return lookup(x[:, None], op.table[channel : channel + 1], op.rule, op.number)[:, 0]

    return Expected(*functions._at(node, token, channel), function, (node.name, channel))


_NOT_TAKEN = NotTaken("because no design of fxsim's computes it")

_ROWS: OperatorTable[Callable[[Functions, Node, int | None, int], Expected]] = OperatorTable(
    "the proof of a design",
    {
        Linear: _linear,
        Affine: _affine,
        Pool: _pool,
        Add: _add,
        Relu: _relu,
        Lut: _lut,
        Conv: _NOT_TAKEN,
        MaxPool: _NOT_TAKEN,
        Threshold: _NOT_TAKEN,
        **dict.fromkeys(FEATURE_MAPS, _NOT_TAKEN),
    },
)

__all__ = ["Expected", "Functions", "Requantised", "round_shift", "saturate"]
