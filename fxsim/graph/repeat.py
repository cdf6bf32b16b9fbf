"""A part of a graph that is computed several times, each time with the same operators: their arrays are stored once."""

from collections.abc import Iterable

from fxsim.errors import ModelError
from fxsim.graph.graph import INPUT, Node
from fxsim.operators.base import integer

STEPS_MAX = 4096
"""Most times that a part is repeated."""


def repeat(name: str, part: Iterable[Node], steps: int, source: str, first: int = 0) -> tuple[Node, ...]:
    """The nodes of a part computed `steps` times, each step of what the one before gave, the first of `source`.

    The part's nodes read `INPUT`, which is what the step takes, and each other; the last one is what the step gives.
    Node N of step i, counted from `first`, is called `{name}.step{i}.{N}`, and is a tap like any other. All steps have
    the same operators, not copies: model files, exports and engines hold their arrays once (`Graph.owners`). The graph
    that the nodes are put into checks all else, each step by the formats that reach it.

    ModelError where `steps` is not 1 to `STEPS_MAX`, `first` not 0 to that, the part is empty, a name is there twice,
    or a node reads what is neither of the part nor its input.
    """
    count = integer(steps, f"repeat '{name}' steps")
    if not 1 <= count <= STEPS_MAX:
        raise ModelError(f"repeat '{name}' has {count} steps, expected 1 to {STEPS_MAX}")
    if not 0 <= integer(first, f"repeat '{name}' first step") <= STEPS_MAX:
        raise ModelError(f"repeat '{name}' begins with step {first}, expected 0 to {STEPS_MAX}")
    nodes = tuple(part)
    if not nodes:
        raise ModelError(f"repeat '{name}' has no operators, expected at least one")
    known = {INPUT}
    for node in nodes:
        for read in node.inputs:
            if read not in known:
                raise ModelError(
                    f"repeat '{name}': node '{node.name}' reads '{read}', which no node before it computes"
                )
        if node.name in known:
            raise ModelError(f"repeat '{name}': node name '{node.name}' is taken twice")
        known.add(node.name)
    found: list[Node] = []
    for step in range(first, first + count):
        taken = source if step == first else found[-1].name
        names = {INPUT: taken} | {node.name: f"{name}.step{step}.{node.name}" for node in nodes}
        found += [Node(names[node.name], node.op, tuple(names[read] for read in node.inputs)) for node in nodes]
    return tuple(found)
