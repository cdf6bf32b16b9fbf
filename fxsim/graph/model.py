"""Models: a graph with a name and where it came from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract import CHANNEL, INT8, TOKEN
from fxsim.contract.arithmetic import Integers
from fxsim.errors import ModelError, StimulusError
from fxsim.graph.graph import ALL_TAPS, Graph

ACC_BITS_8 = 32
"""Widest accumulator of hardware and engines for 8-bit tensors, in bits."""

_AXES = ((TOKEN, CHANNEL), (CHANNEL,))
_CHECKED_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class Model:
    """A graph with a name and where it came from (free text by key, e.g. `source`, `trained`)."""

    graph: Graph
    name: str
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.graph, Graph):
            raise ModelError(f"model graph is {self.graph!r}, expected a Graph")
        if not isinstance(self.provenance, Mapping):
            raise ModelError(f"model provenance is {self.provenance!r}, expected texts by key")
        texts = {"name": self.name} | {f"provenance '{key}'": value for key, value in self.provenance.items()}
        texts |= {f"provenance key {key!r}": key for key in self.provenance}
        for what, text in texts.items():
            if not isinstance(text, str):
                raise ModelError(f"model {what} is {text!r}, expected text")
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))

    __hash__ = None  # type: ignore[assignment]  # arrays cannot be hashed

    def __reduce__(self) -> tuple[Any, ...]:
        return Model, (self.graph, self.name, dict(self.provenance))

    def check_stimulus(self, x: npt.NDArray[Any], what: str = "stimulus") -> Integers:
        """`x` itself if it is [image, ...] as the model takes it; else StimulusError, naming `what`.

        Its type is the numpy type of the input's format; where that holds more than the format, every value is looked
        at.
        """
        tensor = self.graph.input
        # No other subclass: a masked array hides values.
        if type(x) not in (np.ndarray, np.memmap):
            raise StimulusError(f"{what} is a {type(x).__name__}, expected a numpy array")
        if x.dtype != tensor.number.dtype:
            raise StimulusError(f"{what} has type {x.dtype}, expected {tensor.number.dtype}")
        if x.shape[1:] != tensor.shape or x.ndim != len(tensor.shape) + 1:
            shape = ", ".join(map(str, tensor.shape))
            raise StimulusError(f"{what} has shape {x.shape}, expected (images, {shape}) for model '{self.name}'")
        if tensor.number.bits < 8 * tensor.number.dtype.itemsize:
            together = max(1, _CHECKED_AT_ONCE // tensor.size)
            for start in range(0, len(x), together):
                part = x[start : start + together]
                if not tensor.number.holds(part):
                    place = np.argwhere(~tensor.number.held(part))[0]
                    value = int(part[tuple(place)])
                    where = ", ".join(map(str, (start + int(place[0]), *place[1:].tolist())))
                    number = tensor.number
                    values = f"{number.low} {'or' if number.bipolar else 'to'} {number.high}"
                    raise StimulusError(f"{what} has {value} at [{where}], expected {number}, {values}")
        return x

    def select_taps(self, taps: str | Iterable[str] | None) -> tuple[str, ...]:
        """Tap names in graph order, from names, 'all', or None for the graph's output.

        StimulusError names an unknown one and those there are.
        """
        if taps is None:
            return (self.graph.output,)
        if not isinstance(taps, Iterable):
            raise StimulusError(f"taps are {taps!r}, expected names, '{ALL_TAPS}' or None")
        names = (taps,) if isinstance(taps, str) else tuple(taps)
        for name in names:
            if not isinstance(name, str):
                raise StimulusError(f"taps hold {name!r}, expected names of taps")
        wanted = set(names)
        if ALL_TAPS in wanted:
            return self.graph.taps
        for name in sorted(wanted):
            if name not in self.graph.by_name:
                raise StimulusError(f"model '{self.name}' has no tap '{name}'; it has: {', '.join(self.graph.taps)}")
        if not wanted:
            raise StimulusError(f"no tap was named; model '{self.name}' has: {', '.join(self.graph.taps)}")
        return tuple(name for name in self.graph.taps if name in wanted)


def check_model(model: Model) -> None:
    """StimulusError unless it is a model."""
    if not isinstance(model, Model):
        raise StimulusError(f"model is a {type(model).__name__}, expected a fxsim.Model")


def refuse_beyond_int8(graph: Graph, what: str) -> None:
    """ModelError, naming the first node at fault, unless tensors are int8 of tokens and channels and sums of 32 bits.

    Channels alone will do.

    `what` computes with nothing else; it begins the message.
    """
    if graph.input.number != INT8 or graph.input.axes not in _AXES:
        raise ModelError(f"{what} takes int8 tensors of tokens and channels, the graph's input is {graph.input}")
    for node in graph.nodes:
        number, axes = graph.tensors[node.name].number, graph.tensors[node.name].axes
        if axes not in _AXES:
            raise ModelError(f"{what} takes tokens and channels, node '{node.name}' gives {', '.join(axes)}")
        if number != INT8:
            raise ModelError(f"{what} takes int8 tensors, node '{node.name}' gives {number}")
        acc_bits = getattr(node.op, "acc_bits", 0)
        if acc_bits > ACC_BITS_8:
            raise ModelError(
                f"{what} takes accumulators of up to {ACC_BITS_8} bits, node '{node.name}' states {acc_bits}"
            )
