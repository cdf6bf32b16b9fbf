"""Paths of a graph that part where a result is read several times, and join again: forks, FIFOs before the joins."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from fxsim.devices.composed.depth import (
    Depth,
    Port,
    Reach,
    concat_ports,
    depth,
    greatest_reach,
    linear_reach,
    loop_reach,
    one_by_one_ports,
    product_ports,
    window_reach,
)
from fxsim.devices.composed.loops import Chain
from fxsim.devices.composed.parts import BIPOLAR, Instance, Part, Stream
from fxsim.errors import ModelError
from fxsim.graph import INPUT


class Paths:
    """The paths of a chain that part where a result is read several times, and join where a node reads two.

    `readers`: how often each result is read. ModelError, naming the node, where paths part that do not join again, two
    by two, before others do.
    """

    def __init__(self, chain: Chain) -> None:
        self.readers = dict.fromkeys(chain.tensors, 0)
        self._sizes = {name: tensor.size for name, tensor in chain.tensors.items()}
        self._loops = {loop.result: loop for loop in chain.loops.values()}
        # For each result the last that every path to it passes, itself aside: of a join where its two paths part.
        self._before: dict[str, str] = {}
        joins = dict.fromkeys(chain.tensors, 0)
        for node in chain.nodes:
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
                    f"the composed accelerator takes paths that part at one node and join again, two by two: "
                    f"'{name}' is read {readers} times, and {joins[name]} of such joins are of paths from there, "
                    f"expected {readers - 1}"
                )

    def _passed(self, name: str) -> Iterator[str]:
        """A result and those that every path to it passes, back to the input."""
        while name != INPUT:
            yield name
            name = self._before[name]
        yield INPUT

    def depths(self, part: Part, parts: Mapping[str, Part], sums: int) -> tuple[Depth, Depth]:
        """The FIFOs at the ends of a join's two paths. `parts`: of all nodes before it; `sums`: beats an image."""
        before = self._before[part.node.name]
        ends = (self._reach(name, before, parts) for name in part.node.inputs)
        first, second = zip(ends, _ports(part), strict=True)
        return depth(first, second, sums), depth(second, first, sums)

    def _reach(self, name: str, fork: str, parts: Mapping[str, Part], within: bool = False) -> Reach:
        """The modules between a fork and a result; `within`: the result is that of the body of a loop, and not more."""
        found: list[Reach] = []
        while name != fork:
            loop = None if within else self._loops.get(name)
            within = False
            part, before = parts[name], self._before[name]
            if loop is not None:
                beats = self._sizes[name] // part.stream.lanes
                body, before = self._reach(name, loop.entrance, parts, within=True), loop.source
                found.append(loop_reach(body, len(loop.steps), beats))
            elif part.depths:
                both = (
                    self._reach(end, before, parts).then(Reach.held(fifo.beats)).then(port.reach)
                    for end, fifo, port in zip(part.node.inputs, part.depths, _ports(part), strict=True)
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


def _product_ports(instance: Instance) -> tuple[Port, Port]:
    p = {name: int(value) for name, value in instance.parameters.items()}
    columns, terms = p["HEADS"] * p["COLUMNS"], p["HEADS"] * p["TERMS"]
    size = p["COLUMNS"] * terms if p["TRANSPOSED"] else p["TERMS"] * columns
    sums = columns // p["OUT_LANES"]
    return product_ports(terms // p["X_LANES"], sums, p["PLACES"], size // p["R_LANES"], matmul_latency(p))


def matmul_latency(p: Mapping[str, int]) -> int:
    """The latency of a `few_matmul`'s products, in cycles, with that of its memories."""
    signed = {"X_KIND": 1 - p["X_SIGNED"], "W_W": p["R_W"] + 1 - p["R_SIGNED"], "W_BIPOLAR": 0}
    found = {"BEATS": p["TERMS"], "LANES": 1, "X_W": p["X_W"], **signed}
    return 1 + product_latency({name: str(value) for name, value in found.items()})


_PORTS: dict[str, Callable[[Instance], tuple[Port, Port]]] = {
    "few_add": lambda _: (Port.held(1), Port.held(1)),
    "few_weighted_add": lambda _: (Port.held(3), Port.held(3)),
    "few_matmul": _product_ports,
    "few_product": lambda i: one_by_one_ports(int(i.parameters["COLUMNS"]) // int(i.parameters["LANES"])),
    "channel_concat": lambda i: concat_ports(int(i.parameters["X_WORDS"]), int(i.parameters["R_WORDS"])),
}
"""The inputs of each module that joins two streams."""


def _ports(part: Part) -> tuple[Port, Port]:
    """The inputs of the module of a join, the last of its part."""
    join = part.instances[-1]
    return _PORTS[join.module](join)


_REACHES: dict[str, Callable[[Instance], Reach]] = {
    "channel_argmax": lambda i: greatest_reach(int(i.parameters["WORDS"]), 1),
    "image_window": _window_reach,
    "few_linear": _linear_reach,
    "threshold": lambda _: Reach.held(3),
    "full_table": lambda _: Reach.held(1),
    "few_affine": lambda _: Reach.held(3),
    "window_max": lambda i: greatest_reach(int(i.parameters["PLACES"]), int(i.parameters["WORDS"])),
    "window_sum": lambda i: greatest_reach(int(i.parameters["PLACES"]), int(i.parameters["WORDS"])),
}
"""The reach of each module that can be on a path between a fork and a join."""


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
    """A join with the FIFOs at the ends of its paths."""
    (join,) = part.instances
    fifos, sources = [], []
    for number, (source, fifo) in enumerate(zip(join.sources, depths, strict=True)):
        if fifo.beats:
            held = replace(source, name=f"{part.stream.name}_held{number}")
            parameters = {"DEPTH": str(fifo.beats), "DATA_W": str(source.width)}
            note = f"{fifo.beats} beats keep the pace of the other path; less than {fifo.least} may stand still."
            name = f"{part.stream.name}_fifo{number}"
            fifos.append(Instance("axis_fifo", name, parameters, (source,), (held,), note=note))
            source = held
        sources.append(source)
    return replace(part, instances=(*fifos, replace(join, sources=tuple(sources))), depths=depths)
