"""The tensors of the model that a description's streams carry: its input and output, or those of a part of it."""

import difflib

from fxsim.contract import Tensor
from fxsim.devices.described.description import Stream
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
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.3)
            hint = f"; the nearest that it has: '{near[0]}'" if near else ""
            raise FileError(f"{where}: the model has no tensor '{name}'{hint}")
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
