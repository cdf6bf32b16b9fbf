"""A faulty tap as hypotheses see it: what its nodes were given, what they should make of it, and what came."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract import Tensor
from fxsim.contract.arithmetic import Int64
from fxsim.explain.locate import Located
from fxsim.explain.rules import CONTRACT, Rule, compute, rows_last, sums
from fxsim.graph import INPUT, Node
from fxsim.operators import Affine, Linear

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Change:
    """A change of how a node is computed: a label, what it is in particular, and the fields of its `Rule`.

    `freedom`: bits of what was chosen to fit the trace; the values that it explains must say more than that. `whole`:
    it means something on all images together only. `sure`: where it makes all values, it is believed, else told as what
    may be.
    """

    label: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    freedom: float = 0.0
    node: str = ""
    whole: bool = False
    sure: bool = True


def merged(changes: Iterable[Change], node: str = "") -> dict[str, dict[str, Any]]:
    """The fields of changes by node (those of none are of `node`), one beside another; of two orders both count."""
    fields: dict[str, dict[str, Any]] = {}
    for change in changes:
        own, new = fields.setdefault(change.node or node, {}), dict(change.fields)
        # What the first did is undone before the next is looked for: of a result the next comes first.
        if "arrange" in own and "arrange" in new:
            new["arrange"] = partial(_both, new["arrange"], own["arrange"])
        if "gather" in own and "gather" in new:
            new["gather"] = partial(_both, own["gather"], new["gather"])
        own.update(new)
    return fields


def _both(one: Callable[[Int64], Int64], other: Callable[[Int64], Int64], values: Int64) -> Int64:
    return other(one(values))


@dataclass(frozen=True)
class Case:
    """A tap with a fault of its own, and one node suspected of it: the tap's, or a hidden one just before it.

    Arrays are int64 [image, ...]: `values` of every tensor that the chain of nodes reads, `got`, and `again`, what the
    contract makes of the same inputs. `hidden`: values with bits that nobody knows. `base`: fields of a `Rule` that are
    taken for granted at the suspected node: `again` is what they make, and what is fitted is fitted beside them.
    `beside_another`: the change that this is of; the order of values that it makes is undone.
    """

    tap: str
    chain: tuple[Node, ...]
    node: Node
    values: Mapping[str, Int64]
    got: Int64
    again: Int64
    hidden: Mask
    tensors: Mapping[str, Tensor]
    before: Mapping[str, Node]
    base: Mapping[str, Any] = field(default_factory=dict)
    beside_another: Change | None = None

    @cached_property
    def wrong(self) -> Mask:
        """Mask of the values that are not what the inputs make."""
        mask: Mask = (self.got != self.again) | self.hidden
        return mask

    @property
    def op(self) -> Any:
        """The suspected node's operator, of the kind that a hypothesis is for."""
        return self.node.op

    @property
    def inputs(self) -> tuple[Int64, ...]:
        """The suspected node's inputs."""
        return tuple(self.values[name] for name in self.node.inputs)

    @cached_property
    def rule(self) -> Rule:
        """The rule of what is taken for granted; the contract's, if nothing is."""
        return Rule(**self.base) if self.base else CONTRACT

    @property
    def alone(self) -> bool:
        """Whether the suspected node's result is the tap itself."""
        return self.node.name == self.tap

    @cached_property
    def accumulator(self) -> Int64:
        """The suspected linear's or affine's sums, rows last."""
        op = self.node.op
        assert isinstance(op, Linear | Affine)
        return sums(op, rows_last(op, self.inputs[0]), self.rule.weight)

    def rows(self, values: Any) -> Any:
        """A tap's values or masks with the suspected node's rows last."""
        return rows_last(self.node.op, values)

    def compute(self, *changes: Change) -> Int64:
        """The tap's values where nodes are computed as `changes` say."""
        # What lies before the changes, or beside them, is as it was.
        return self._made(merged(changes, self.node.name)).get(self.tap, self.again)

    def beside(self, change: Change) -> "Case | None":
        """The tap's own node as it is if a change is taken for granted, so that what is left can be fitted.

        None where the change is of results whose order cannot be undone.
        """
        node, fields = self.chain[-1], dict(change.fields)
        values, got, hidden = dict(self.values), self.got, self.hidden
        if change.node != node.name:
            made = self._made({change.node: fields})
            values, fields = {**values, **made}, {}
        if (arrange := fields.pop("arrange", None)) is not None:
            places = np.broadcast_to(np.arange(got[0].size).reshape(1, *got.shape[1:]), (1, *got.shape[1:]))
            moved = arrange(places.copy()).ravel()
            if moved.size != places.size or not np.array_equal(np.sort(moved), places.ravel()):
                return None
            back = np.argsort(moved)
            got = got.reshape(len(got), -1)[:, back].reshape(got.shape)
            hidden = hidden.reshape(len(hidden), -1)[:, back].reshape(hidden.shape)
        for at, name in zip(("operand", "other"), node.inputs, strict=False):
            if at in fields:
                values[name] = fields.pop(at)
        if (gather := fields.pop("gather", None)) is not None:
            values[node.inputs[0]] = gather(values[node.inputs[0]])
        again = compute(node.op, Rule(**fields), *(values[name] for name in node.inputs))
        return Case(
            self.tap, self.chain[-1:], node, values, got, again, hidden, self.tensors, self.before, fields, change
        )  # fmt: skip

    def _made(self, fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Int64]:
        """Values of the chain's nodes that fields by node change, or that lie behind them."""
        made: dict[str, Int64] = {}
        for node in self.chain:
            if node.name in fields or any(name in made for name in node.inputs):
                rule = Rule(**fields[node.name]) if node.name in fields else CONTRACT
                inputs = (made[name] if name in made else self.values[name] for name in node.inputs)
                made[node.name] = compute(node.op, rule, *inputs)
        return made

    def part(self, images: npt.NDArray[np.int64]) -> "Case":
        """The case of some of the images."""
        values = {name: array[images] for name, array in self.values.items()}
        return Case(
            self.tap, self.chain, self.node, values, self.got[images], self.again[images], self.hidden[images],
            self.tensors, self.before, self.base, self.beside_another,
        )  # fmt: skip


def make_cases(located: Located, tap: str) -> list[Case]:
    """A case for each node that may be at fault, the tap's own first."""
    chain = located.chain(tap)
    names = {name for node in chain for name in node.inputs} - {node.name for node in chain}
    names |= {node.name for node in chain[:-1]}
    before = dict(located.model.graph.by_name)
    # What a node's input was made of, where the trace has it: an operator that was left out shows itself there.
    names |= {name for made in list(names) if made != INPUT for name in before[made].inputs}
    values = {name: given for name in names if (given := located.inputs(name)) is not None}
    again = located.again(tap)
    assert again is not None
    hidden = located.unknown.get(tap, np.zeros(again.shape, bool))
    return [
        Case(tap, chain, node, values, located.got[tap], again, hidden, located.model.graph.tensors, before)
        for node in reversed(chain)
    ]
