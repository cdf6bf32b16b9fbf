"""Paths of a graph that part where a result is read several times, and join in sums: forks, FIFOs before the sums."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from fxsim.devices.composed.depth import Depth, Reach, depth, greatest_reach, linear_reach, window_reach
from fxsim.devices.composed.parts import BIPOLAR, Instance, Part, Stream
from fxsim.errors import ModelError
from fxsim.graph import INPUT, Graph, Node
from fxsim.operators import Add


class Paths:
    """The paths of a graph that part where a result is read several times, and join in sums.

    `readers`: how often each result is read. ModelError, naming the node, where paths part that do not join again, two
    by two, before others do.
    """

    def __init__(self, graph: Graph) -> None:
        self.readers = dict.fromkeys(graph.tensors, 0)
        self._inputs = {node.name: node.inputs for node in graph.nodes}
        # For each result the last that every path to it passes, itself aside: of a sum where its two paths part.
        self._before: dict[str, str] = {}
        joins = dict.fromkeys(graph.tensors, 0)
        for node in graph.nodes:
            for name in node.inputs:
                self.readers[name] += 1
            self._before[node.name] = node.inputs[0]
            if len(node.inputs) > 1:
                passed = set(self._passed(node.inputs[0]))
                fork = next(name for name in self._passed(node.inputs[1]) if name in passed)
                self._before[node.name] = fork
                joins[fork] += 1
        for name, readers in self.readers.items():
            if max(readers, 1) != joins[name] + 1:
                raise ModelError(
                    f"the composed accelerator takes paths that part at one node and join again in sums, two by two: "
                    f"'{name}' is read {readers} times, and {joins[name]} of such sums are of paths from there, "
                    f"expected {readers - 1}"
                )

    def _passed(self, name: str) -> Iterator[str]:
        """A result and those that every path to it passes, back to the input."""
        while name != INPUT:
            yield name
            name = self._before[name]
        yield INPUT

    def depths(self, node: Node, parts: Mapping[str, Part], sums: int) -> tuple[Depth, Depth]:
        """The FIFOs at the ends of a sum's two paths. `parts`: those of all nodes before it; `sums`: beats an image."""
        first, second = (self._reach(name, self._before[node.name], parts) for name in node.inputs)
        return depth(first, second, sums), depth(second, first, sums)

    def _reach(self, name: str, fork: str, parts: Mapping[str, Part]) -> Reach:
        """The modules between a fork and a result."""
        found: list[Reach] = []
        while name != fork:
            part, before = parts[name], self._before[name]
            if isinstance(part.node.op, Add):
                both = (
                    self._reach(end, before, parts).then(Reach.held(fifo.beats))
                    for end, fifo in zip(part.node.inputs, part.depths, strict=True)
                )
                found.append(Reach.joined(*both))
            else:
                found.append(Reach.chain(_REACHES[instance.module](instance) for instance in part.instances))
            name = before
        return Reach.chain(reversed(found))


def _window_reach(instance: Instance) -> Reach:
    p = {name: int(value) for name, value in instance.parameters.items()}
    span = p["DILATION_ROWS"] * (p["KERNEL_ROWS"] - 1) + 1
    places = (p["ROWS"] + p["PAD_TOP"] + p["PAD_BOTTOM"] - span) // p["STRIDE_ROWS"] + 1
    # As image_window.v says of its rows.
    last = p["STRIDE_ROWS"] * (places - 1)
    within = min(span, p["ROWS"]) + p["STRIDE_ROWS"]
    across = p["ROWS"] - max(last - p["PAD_TOP"], 0) + min(span - p["PAD_TOP"], p["ROWS"])
    return window_reach(p, max(within, across) + 1, places)


def _linear_reach(instance: Instance) -> Reach:
    p = instance.parameters
    return linear_reach(int(p["BEATS"]), int(p["OUT"]) // int(p["OUT_LANES"]), product_latency(p))


def product_latency(parameters: Mapping[str, str]) -> int:
    """The latency of the dot product inside a `few_linear`, in cycles, as few_dot_product.v states it."""
    p = {name: int(parameters[name]) for name in ("BEATS", "LANES", "X_W", "X_KIND", "W_W", "W_BIPOLAR")}
    match = p["X_KIND"] == BIPOLAR and p["W_BIPOLAR"] == 1
    group = 8 if match else 4 if p["X_W"] + p["W_W"] <= 4 else 1
    latency, nodes = 1 + match, -(-p["BEATS"] * p["LANES"] // group)
    while nodes > 1:
        latency, nodes = latency + 1, -(-nodes // 4)
    return latency


_REACHES: dict[str, Callable[[Instance], Reach]] = {
    "image_window": _window_reach,
    "few_linear": _linear_reach,
    "threshold": lambda _: Reach.held(3),
    "full_table": lambda _: Reach.held(1),
    "window_max": lambda i: greatest_reach(int(i.parameters["PLACES"]), int(i.parameters["WORDS"])),
}
"""The reach of each module that can be on a path between a fork and a sum."""


def forked(stream: Stream, readers: int, forks: list[Instance]) -> list[Stream]:
    """The streams of so many readers, each with all beats of one; appends the forks that make them."""
    ends = []
    for number in range(1, readers):
        end, rest = (replace(stream, name=f"{stream.name}_{word}{number}") for word in ("to", "rest"))
        parameters = {"DATA_W": str(stream.width)}
        forks.append(Instance("axis_fork", f"{stream.name}_fork{number}", parameters, (stream,), (end, rest)))
        ends.append(end)
        stream = rest
    return [*ends, stream]


def joined(part: Part, depths: tuple[Depth, ...]) -> Part:
    """A sum with the FIFOs at the ends of its paths."""
    (add,) = part.instances
    fifos, sources = [], []
    for number, (source, fifo) in enumerate(zip(add.sources, depths, strict=True)):
        if fifo.beats:
            held = replace(source, name=f"{part.stream.name}_held{number}")
            parameters = {"DEPTH": str(fifo.beats), "DATA_W": str(source.width)}
            note = f"{fifo.beats} beats keep the pace of the other path; less than {fifo.least} may stand still."
            name = f"{part.stream.name}_fifo{number}"
            fifos.append(Instance("axis_fifo", name, parameters, (source,), (held,), note=note))
            source = held
        sources.append(source)
    return replace(part, instances=(*fifos, replace(add, sources=tuple(sources))), depths=depths)
