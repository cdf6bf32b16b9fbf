"""A faulty tap as hypotheses see it: what its nodes were given, what they should make of it, and what came."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
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
    it means something on all images together only.
    """

    label: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    freedom: float = 0.0
    node: str = ""
    whole: bool = False


@dataclass(frozen=True)
class Case:
    """A tap with a fault of its own, and one node suspected of it: the tap's, or a hidden one just before it.

    Arrays are int64 [image, ...]: `values` of every tensor that the chain of nodes reads, `got`, and `again`, what the
    contract makes of the same inputs. `hidden`: values with bits that nobody knows.
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

    @property
    def alone(self) -> bool:
        """Whether the suspected node's result is the tap itself."""
        return self.node.name == self.tap

    @cached_property
    def accumulator(self) -> Int64:
        """The suspected linear's or affine's sums, rows last."""
        op = self.node.op
        assert isinstance(op, Linear | Affine)
        return sums(op, rows_last(op, self.inputs[0]))

    def rows(self, values: Any) -> Any:
        """A tap's values or masks with the suspected node's rows last."""
        return rows_last(self.node.op, values)

    def compute(self, *changes: Change) -> Int64:
        """The tap's values where nodes are computed as `changes` say."""
        fields: dict[str, dict[str, Any]] = {}
        for change in changes:
            fields.setdefault(change.node or self.node.name, {}).update(change.fields)
        # What lies before the changes, or beside them, is as it was.
        made: dict[str, Int64] = {}
        for node in self.chain:
            if node.name in fields or any(name in made for name in node.inputs):
                rule = Rule(**fields[node.name]) if node.name in fields else CONTRACT
                inputs = (made[name] if name in made else self.values[name] for name in node.inputs)
                made[node.name] = compute(node.op, rule, *inputs)
        return made.get(self.tap, self.again)

    def part(self, images: npt.NDArray[np.int64]) -> "Case":
        """The case of some of the images."""
        values = {name: array[images] for name, array in self.values.items()}
        return Case(
            self.tap, self.chain, self.node, values, self.got[images], self.again[images], self.hidden[images],
            self.tensors, self.before,
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
