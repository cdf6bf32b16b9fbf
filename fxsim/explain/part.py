"""Parts of a model around a fault, with the trace's own values before them, as models of their own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.compare.four_state import FourState
from fxsim.contract import CHANNEL, INT8, TOKEN, Number, Tensor, bias_number
from fxsim.contract.arithmetic import Int64, Integers
from fxsim.errors import ModelError
from fxsim.explain.locate import Located
from fxsim.explain.rules import Rule, compute
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Add, Affine, Axis, Linear, Lut, MaxPool, Operator, Pool, Relu

Index = npt.NDArray[np.int64]
Seen = Int64 | FourState
"""Values of a tap as the trace has them, int64 [image, ...]."""


_BY_ROW = (Linear, Affine, Relu, Lut, Add, Pool, MaxPool)
"""Operators of which some outputs can be left out without the others."""


def _take(values: Any, index: Index, axis: int) -> Any:
    if isinstance(values, FourState):
        return FourState(np.take(values.values, index, axis), np.take(values.unknown, index, axis), values.bits)
    return np.take(values, index, axis)


@dataclass(frozen=True)
class Part:
    """Nodes in graph order, the last of which has the fault, and the trace's values, [image, ...] each.

    `given`: tensors that the nodes read and none of them makes. `got`: what the trace has of the nodes. `predicted`:
    `got` is no longer the trace's but what the rule that explains it makes of other weights.
    """

    name: str
    nodes: tuple[Node, ...]
    given: Mapping[str, Int64]
    got: Mapping[str, Seen]
    tensors: Mapping[str, Tensor]
    predicted: bool = False

    @property
    def tap(self) -> str:
        """The faulty tap."""
        return self.nodes[-1].name

    @property
    def images(self) -> int:
        """Number of images."""
        return len(next(iter(self.given.values())))

    @property
    def tokens(self) -> int:
        """Tokens that can be left out one by one; 0 where an operator mixes them, or there are none."""
        mixed = any(
            isinstance(n.op, Pool) or (isinstance(n.op, Linear) and n.op.over is Axis.TOKENS) for n in self.nodes
        )
        axis = self.tensors[self.tap].axis(TOKEN)
        return 0 if mixed or axis is None else self._shape(self.tap)[axis]

    @property
    def rows(self) -> int:
        """Outputs of the only operator's last axis that can be left out one by one; 0 where there are several."""
        alone = len(self.nodes) == 1 and isinstance(self.nodes[0].op, _BY_ROW)
        return self._shape(self.tap)[self._row_axis] if alone else 0

    @property
    def lanes(self) -> int:
        """Channels that a linear over tokens treats alike, which can be left out; 0 of any other operator."""
        only = self.nodes[0].op if len(self.nodes) == 1 else None
        return self._shape(self.tap)[-1] if isinstance(only, Linear) and only.over is Axis.TOKENS else 0

    @property
    def columns(self) -> int:
        """Inputs that the only operator, a linear, sums; 0 of any other."""
        only = self.nodes[0].op if len(self.nodes) == 1 else None
        return int(only.weight.shape[1]) if isinstance(only, Linear) else 0

    @property
    def _row_axis(self) -> int:
        op = self.nodes[-1].op
        return -2 if isinstance(op, Linear) and op.over is Axis.TOKENS else -1

    @property
    def linear(self) -> Linear:
        """The only operator, where it is a linear."""
        op = self.nodes[0].op
        assert isinstance(op, Linear)
        return op

    @property
    def summed_axis(self) -> int:
        """The axis of its input that the only operator, a linear, sums over."""
        return self._row_axis

    def _shape(self, name: str) -> tuple[int, ...]:
        values = self.got[name] if name in self.got else self.given[name]
        whole: tuple[int, ...] = (values.values if isinstance(values, FourState) else values).shape[1:]
        return whole

    def of_images(self, index: Index) -> "Part":
        """The part with some of its images."""
        return self._taken(index, 0, 0, self.nodes)

    def of_tokens(self, index: Index) -> "Part":
        """The part with some of its tokens."""
        axis = self.tensors[self.tap].axis(TOKEN)
        assert axis is not None
        return self._taken(index, axis + 1, axis + 1, self.nodes)

    def of_lanes(self, index: Index) -> "Part":
        """The part with some of the channels that a linear over tokens treats alike."""
        return self._taken(index, -1, -1, self.nodes)

    def of_rows(self, index: Index) -> "Part":
        """The part with some of its operator's outputs."""
        node, op = self.nodes[0], self.nodes[0].op
        match op:
            case Linear() | Affine():
                fewer: Any = replace(op, weight=op.weight[index], bias=op.bias[index], shift=op.shift[index])
            case Lut():
                fewer = replace(op, table=op.table[index])
            case _:
                fewer = op
        given_axis = None if isinstance(op, Linear) else -1
        return self._taken(index, given_axis, self._row_axis, (replace(node, op=fewer),))

    def of_columns(self, index: Index) -> "Part":
        """The part with some of the inputs that its linear sums; what it gave stays as it was."""
        op = self.linear
        node = replace(self.nodes[0], op=replace(op, weight=op.weight[:, index]))
        return self._taken(index, self._row_axis, None, (node,))

    def with_weight(self, weight: Integers) -> "Part":
        """The part with other weights of its linear; what it gave stays as it was."""
        return replace(self, nodes=(replace(self.nodes[0], op=replace(self.linear, weight=weight)),))

    def by_rule(self, rule: Rule) -> "Part":
        """The part with what a rule makes of its inputs in place of what the trace has."""
        node = self.nodes[0]
        made = compute(node.op, rule, *(self.given[name] for name in node.inputs))
        return replace(self, got={node.name: made}, predicted=True)

    def _taken(self, index: Index, given: int | None, got: int | None, nodes: tuple[Node, ...]) -> "Part":
        return replace(
            self,
            nodes=nodes,
            given={n: v if given is None else _take(v, index, given) for n, v in self.given.items()},
            got={n: v if got is None else _take(v, index, got) for n, v in self.got.items()},
        )

    def build(self) -> tuple[Model, Integers, dict[str, Seen]]:
        """A model of these nodes, its images, and the trace of it.

        Where nodes read several tensors, the images hold their channels beside each other, and a linear of ones for
        each takes them apart. ModelError where their other axes differ.
        """
        names = list(self.given)
        tensors = {n: Tensor(self.tensors[n].axes, v.shape[1:], self.tensors[n].number) for n, v in self.given.items()}
        if len(names) == 1:
            (name,) = names
            nodes = [replace(n, inputs=tuple(INPUT if i == name else i for i in n.inputs)) for n in self.nodes]
            x = self.given[name].astype(tensors[name].number.dtype)
            return Model(Graph(tensors[name], nodes), self.name), x, dict(self.got)
        first = tensors[names[0]]
        if any(
            t.axes != first.axes or t.shape[:-1] != first.shape[:-1] or t.axes[-1] != CHANNEL for t in tensors.values()
        ):
            raise ModelError("the tensors that a part reads are not of the same tokens, expected to put them together")
        number = _holding([t.number for t in tensors.values()])
        widths = [t.shape[-1] for t in tensors.values()]
        whole = Tensor(first.axes, (*first.shape[:-1], sum(widths)), number)
        apart, called, start = [], {}, 0
        for i, (name, width) in enumerate(zip(names, widths, strict=True)):
            out = tensors[name].number
            called[name] = f"given_{i}"
            select = Linear(
                weight=np.eye(sum(widths), dtype=np.int8)[start : start + width],
                bias=np.zeros(width, bias_number(out).dtype),
                shift=np.zeros(width, np.uint8),
                out=out,
            )
            apart.append(Node(called[name], select, (INPUT,)))
            start += width
        nodes = [replace(n, inputs=tuple(called.get(i, i) for i in n.inputs)) for n in self.nodes]
        x = np.concatenate([self.given[name] for name in names], axis=-1).astype(number.dtype)
        trace: dict[str, Seen] = {called[name]: self.given[name] for name in names}
        return Model(Graph(whole, [*apart, *nodes]), self.name), x, trace | dict(self.got)


def _mixes_tokens(op: Operator) -> bool:
    return isinstance(op, Pool) or (isinstance(op, Linear) and op.over is Axis.TOKENS)


def _holding(numbers: list[Number]) -> Number:
    """A number format that holds all values of some."""
    if len(set(numbers)) == 1:
        return numbers[0]
    low, high = min(n.low for n in numbers), max(n.high for n in numbers)
    for bits in range(INT8.bits, 17):
        if Number(bits).low <= low and high <= Number(bits).high:
            return Number(bits)
    raise ModelError("no number format of 16 bits holds the tensors that a part reads")


def isolate(located: Located, trace: Mapping[str, Seen], tap: str, levels: int) -> Part | None:
    """The nodes that may be at fault at a tap, and so many levels of nodes before them; None where there are no more.

    Of a part with more levels some tensor before it is known that is not of one with fewer.
    """
    graph = located.model.graph
    names = {node.name for node in located.chain(tap)}
    for _ in range(levels):
        before = _read(graph, names) - {INPUT}
        if not before:
            return None
        names |= {node.name for name in before for node in located.chain(name)}
    nodes = tuple(node for node in graph.nodes if node.name in names)
    given = {name: located.inputs(name) for name in (INPUT, *graph.taps) if name in _read(graph, names)}
    if any(values is None for values in given.values()):
        return None
    known = {name: values.astype(np.int64) for name, values in given.items() if values is not None}
    got = {node.name: trace[node.name] for node in nodes if node.name in trace}
    return Part(f"{located.model.name}_minimal", nodes, known, got, graph.tensors)


def _read(graph: Graph, names: set[str]) -> set[str]:
    """Tensors that some nodes read and none of them makes."""
    return {name for own in names for name in graph.by_name[own].inputs} - names
