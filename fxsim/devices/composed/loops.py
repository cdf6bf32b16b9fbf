"""Loops of a graph whose steps share one copy of modules: what repeats, and the chain of nodes with each body once.

The steps of a loop are nodes called `NAME.stepN.REST`, as `fxsim.graph.repeat` calls them, whose operators are the same
objects. One set of modules computes them one after the other, an image each; `frame_loop` leads images through it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from fxsim.contract import Tensor
from fxsim.errors import ModelError
from fxsim.graph import INPUT, Graph, Node
from fxsim.operators import Operator

_STEP = re.compile(r"(?P<loop>.+?)\.step(?P<step>[0-9]+)\.(?P<rest>.+)\Z")


class Entrance(Operator):
    """The place where a loop begins in a chain; it stands for the body's input, and computes nothing."""

    kind: ClassVar[str] = "entrance"
    arity: ClassVar[int] = 1


@dataclass(frozen=True)
class Loop:
    """Steps of a graph that share modules: `steps`, the nodes of each, in the order of the graph, the result last.

    `source`: what the first of them takes.
    """

    name: str
    steps: tuple[tuple[Node, ...], ...]
    source: str

    @property
    def entrance(self) -> str:
        """The tensor that the last step takes; in a chain it stands for what any step takes."""
        return self.steps[-2][-1].name

    @property
    def result(self) -> str:
        """The tensor that the last step gives."""
        return self.steps[-1][-1].name


@dataclass(frozen=True)
class Chain:
    """The nodes of a design, in the order of data, and their tensors, the input's too: a graph, or one that is rolled.

    `loops`: by entrance. In place of a loop's steps the chain has an `Entrance`, and the last step's nodes behind it.
    """

    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor]
    loops: Mapping[str, Loop] = field(default_factory=dict)

    def inputs_of(self, node: Node) -> tuple[Tensor, ...]:
        """The tensors that a node reads, in its order."""
        return tuple(self.tensors[name] for name in node.inputs)

    def stood_for(self, name: str) -> tuple[str, tuple[str, ...]]:
        """The name of a node's result in the design, and the nodes of the graph whose images come there, in turn."""
        for loop in self.loops.values():
            for at, node in enumerate(loop.steps[-1]):
                if node.name == name:
                    return f"{loop.name}.{_rest(node)}", tuple(step[at].name for step in loop.steps)
        return name, (name,)

    def times(self, name: str) -> int:
        """The images that a node takes for each of the graph's; of an entrance those that it gives."""
        return len(self.loops[name].steps) if name in self.loops else len(self.stood_for(name)[1])


def rolled(graph: Graph) -> Chain:
    """A graph with the body of each of its loops once.

    The first of three steps or more may be another one, as where it takes another format; it then stays as it is,
    before the loop. ModelError, naming a node, where the graph has no loop of two alike steps or more, and where one is
    no clean one: its steps differ, their operators are not shared, a step takes more than the result of the one before,
    something else reads a result amid the loop, or the formats of steps differ.
    """
    loops = [_loop(graph, name, steps) for name, steps in _named(graph.nodes).items() if len(steps) > 1]
    if not loops:
        raise ModelError(
            "the model has no loop whose steps could share modules: expected nodes called NAME.step0.REST, "
            "NAME.step1.REST and so on, as repeat makes them"
        )
    for loop in loops:
        _refuse_readers(graph, loop)
        _refuse_entrance(graph, loop)
    nodes: list[Node] = []
    inside = {node.name: loop for loop in loops for step in loop.steps for node in step}
    for node in graph.nodes:
        found = inside.get(node.name)
        if found is not None and all(node is not own for own in found.steps[-1]):
            continue
        if found is not None and node is found.steps[-1][0]:
            nodes.append(Node(found.entrance, Entrance(), (found.source,)))
        nodes.append(node)
    kept = {INPUT, *(node.name for node in nodes)}
    tensors = {name: tensor for name, tensor in graph.tensors.items() if name in kept}
    return Chain(tuple(nodes), tensors, {loop.entrance: loop for loop in loops})


def _named(nodes: Iterable[Node]) -> dict[str, dict[int, list[Node]]]:
    """Nodes by the loop and the step that their names say."""
    found: dict[str, dict[int, list[Node]]] = {}
    for node in nodes:
        if match := _STEP.match(node.name):
            found.setdefault(match["loop"], {}).setdefault(int(match["step"]), []).append(node)
    return found


def _rest(node: Node) -> str:
    match = _STEP.match(node.name)
    assert match is not None
    return match["rest"]


def _loop(graph: Graph, name: str, found: Mapping[int, list[Node]]) -> Loop:
    """The loop of these steps; ModelError where it is none."""
    numbers = sorted(found)
    if numbers != list(range(numbers[0], numbers[-1] + 1)):
        raise ModelError(f"the loop '{name}' has the steps {', '.join(map(str, numbers))}, expected no gap")
    steps = [tuple(found[number]) for number in numbers]
    differ = [_difference(graph, step, steps[-1]) for step in steps[:-1]]
    if len(steps) > 2 and differ[0]:
        # The first step is another: it has modules of its own.
        steps, differ = steps[1:], differ[1:]
    if any(differ):
        raise ModelError(f"the loop '{name}' cannot share modules: {next(filter(None, differ))}")
    sources = [_source(name, step) for step in steps]
    for before, source, step in zip(steps, sources[1:], steps[1:], strict=False):
        if source != before[-1].name:
            raise ModelError(
                f"the loop '{name}' cannot share modules: the step of '{step[0].name}' takes '{source}', expected "
                f"'{before[-1].name}', which the step before gives"
            )
    return Loop(name, tuple(steps), sources[0])


def _difference(graph: Graph, step: tuple[Node, ...], last: tuple[Node, ...]) -> str:
    """The first thing that a step has another than the last one, in words; empty where both compute the same."""
    own, others = ({node.name: _rest(node) for node in nodes} for nodes in (step, last))
    for node, other in zip(step, last, strict=False):
        if _rest(node) != _rest(other):
            return f"where the last step has '{other.name}', another has '{node.name}'"
        if node.op is not other.op:
            return f"'{node.name}' and '{other.name}' do not share one operator"
        reads = [[names.get(name) for name in one.inputs] for names, one in ((own, node), (others, other))]
        if reads[0] != reads[1]:
            return f"'{node.name}' reads {', '.join(node.inputs)}, '{other.name}' reads {', '.join(other.inputs)}"
        if graph.tensors[node.name] != graph.tensors[other.name]:
            return (
                f"'{node.name}' is {graph.tensors[node.name]}, '{other.name}' is {graph.tensors[other.name]}: "
                "expected one format"
            )
    if len(step) != len(last):
        return f"the step of '{step[0].name}' has {len(step)} nodes, that of '{last[0].name}' has {len(last)}"
    return ""


def _source(name: str, step: tuple[Node, ...]) -> str:
    """The one tensor from outside that a step takes."""
    own = {node.name for node in step}
    sources = list(dict.fromkeys(read for node in step for read in node.inputs if read not in own))
    if len(sources) != 1:
        raise ModelError(
            f"the loop '{name}' cannot share modules: the step of '{step[0].name}' takes "
            f"{' and '.join(map(repr, sources))}, expected one result"
        )
    return sources[0]


def _refuse_readers(graph: Graph, loop: Loop) -> None:
    """ModelError where something outside reads another result of the loop than its last one."""
    amid = {node.name: number for number, step in enumerate(loop.steps) for node in step if node.name != loop.result}
    results = {step[-1].name: number for number, step in enumerate(loop.steps)}
    steps = {node.name: number for number, step in enumerate(loop.steps) for node in step}
    for node in graph.nodes:
        for name in node.inputs:
            if name not in amid or steps.get(node.name) == amid[name]:
                continue
            if name not in results or steps.get(node.name) != amid[name] + 1:
                raise ModelError(
                    f"the loop '{loop.name}' cannot share modules: '{node.name}' reads '{name}' amid it, expected "
                    f"nothing to read but '{loop.result}', its result"
                )


def _refuse_entrance(graph: Graph, loop: Loop) -> None:
    """ModelError where what enters a loop does not fit into what its steps pass on."""
    given, state = graph.tensors[loop.source], graph.tensors[loop.entrance]
    x, y = given.number, state.number
    fits = x == y if x.bipolar or y.bipolar else y.low <= x.low and x.high <= y.high
    if (given.axes, given.shape) != (state.axes, state.shape) or not fits:
        raise ModelError(
            f"the loop '{loop.name}' cannot share modules: it begins with '{loop.source}', {given}, which is no value "
            f"of '{loop.entrance}', {state}"
        )
