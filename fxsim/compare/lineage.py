"""Lineage of values: every node computed again from what a source itself has before it.

Where that gives what the source has at the node, a difference is inherited; where it does not, it is the node's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Integers
from fxsim.engines import apply
from fxsim.graph import Model

Wide = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Lineage:
    """A source's values at the taps that it shows, [image, ...] each; None where they are not known.

    `stimulus`: the tensors that it was given, by name: the model's input, or others of a part of the model.
    """

    model: Model
    stimulus: Mapping[str, Integers]
    shown: Mapping[str, Wide | None]
    _given: dict[str, Integers | None] = field(default_factory=dict)

    def given(self, tap: str) -> Integers | None:
        """The input of a node that reads this tap: as the source has it, or computed from the nearest that it shows.

        None where it is not known, or holds what is no value of the tensor's format.
        """
        if tap in self.stimulus:
            return self.stimulus[tap]
        if tap not in self._given:
            self._given[tap] = self._value(tap) if tap in self.shown else self.again(tap)
        return self._given[tap]

    def again(self, tap: str) -> Integers | None:
        """A node's result by the contract, of its inputs as they were given; None where these are not known."""
        node = self.model.graph.by_name[tap]
        inputs = [self.given(name) for name in node.inputs]
        known = [values for values in inputs if values is not None]
        return apply(node, *known) if len(known) == len(inputs) else None

    def behind(self, tap: str) -> tuple[str, ...]:
        """The nodes between a tap and the nearest before it that are shown, in graph order, and the tap's own."""
        graph, found, left = self.model.graph, {tap}, list(self.model.graph.by_name[tap].inputs)
        while left:
            name = left.pop()
            if name not in self.stimulus and name not in self.shown and name not in found:
                found.add(name)
                left += graph.by_name[name].inputs
        return tuple(name for name in graph.taps if name in found)

    def _value(self, tap: str) -> Integers | None:
        number, values = self.model.graph.tensors[tap].number, self.shown[tap]
        if values is None or not (number.low <= values.min() and values.max() <= number.high):
            return None
        return values.astype(number.dtype)
