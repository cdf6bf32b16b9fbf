"""The tensors of the model that a description's streams carry: its input and output, or those of a part of it."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from fxsim.contract import Tensor
from fxsim.devices.described.description import Stream
from fxsim.devices.described.findings import among, nearest
from fxsim.devices.described.parts import CHOOSE
from fxsim.errors import FileError, ModelError
from fxsim.graph import INPUT, Model

OPERAND = "operand"
"""The last axis of a stream that carries several tensors: their values one beside the other."""


def tensors_of(stream: Stream, model: Model, where: str) -> tuple[str, ...]:
    """Names of the tensors that a stream carries; FileError, which begins with `where`, for one that there is not."""
    default = INPUT if stream.role == "input" else model.graph.output
    names = (default,) if stream.tensor is None else _listed(stream.tensor)
    known = model.graph.tensors if stream.role == "input" else model.graph.taps
    for name in names:
        if name == CHOOSE:
            raise FileError(f"{where}: choose a tensor, one of {among(name, known)}")
        if name not in known:
            raise FileError(
                f"{where}: the model has no tensor '{name}'{nearest(name, known, '; the nearest that it has: ')}"
            )
    if len(names) != 1 and stream.role == "output":
        raise FileError(f"{where}: it carries {len(names)} tensors, expected one")
    return names


def carried(names: tuple[str, ...], model: Model, where: str) -> Tensor:
    """The tensor that a stream of these tensors carries; of several, with the axis `operand` behind theirs."""
    found = [model.graph.tensors[name] for name in names]
    if any(tensor != found[0] for tensor in found):
        raise FileError(f"{where}: {' and '.join(names)} differ in shape or number, expected tensors of one kind")
    if len(found) == 1:
        return found[0]
    try:
        return Tensor((*found[0].axes, OPERAND), (*found[0].shape, len(found)), found[0].number)
    except ModelError as error:
        raise FileError(f"{where}: {error}") from None


def arrays_of(model: Model) -> Iterator[tuple[str, "np.ndarray[Any, Any]"]]:
    """The arrays of a model's operators by name, e.g. `fc1.weight`, in graph order."""
    for node in model.graph.nodes:
        for field in getattr(node.op, "__dataclass_fields__", {}):
            value = getattr(node.op, field)
            if isinstance(value, np.ndarray) and value.ndim > 0:
                yield f"{node.name}.{field}", value


def array_of(name: str, model: Model, where: str) -> "np.ndarray[Any, Any]":
    """The array of a name; where there is none, FileError, which begins with `where` and lists those that there are."""
    arrays = dict(arrays_of(model))
    if name not in arrays:
        there = among(name, arrays)
        lead = "choose an array," if name == CHOOSE else f"the model has no array '{name}', expected"
        raise FileError(f"{where}: {lead} one of {there}")
    return arrays[name]


def part_between(inputs: tuple[str, ...], output: str, model: Model, where: str) -> tuple[str, ...]:
    """The taps that a design computes from the tensors of its input up to that of its output, in graph order.

    FileError, which begins with `where`, if the output needs more than the inputs, or not all of them.
    """
    graph, found, left, used = model.graph, {output}, [output], set()
    while left:
        for name in graph.by_name[left.pop()].inputs:
            if name in inputs:
                used.add(name)
            elif name == INPUT:
                raise FileError(f"{where}: '{output}' is not computed from {' and '.join(inputs)} alone")
            elif name not in found:
                found.add(name)
                left.append(name)
    if missing := [name for name in inputs if name not in used]:
        raise FileError(f"{where}: '{output}' is not computed from '{missing[0]}'")
    return tuple(tap for tap in graph.taps if tap in found)


def _listed(tensor: str | tuple[str, ...]) -> tuple[str, ...]:
    return (tensor,) if isinstance(tensor, str) else tensor
