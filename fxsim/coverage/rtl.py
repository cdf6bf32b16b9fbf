"""Coverage of RTL: of values that really passed there, compared with the model's and equal.

Of a whole accelerator by a co-simulation of images; of its modules alone by the stimuli that were solved for.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from fxsim.contract import CHANNEL, TOKEN, Tensor
from fxsim.contract.arithmetic import Integers
from fxsim.cosim import CosimRequest, run_cosim
from fxsim.cosim.nodes import NodesResult, run_nodes
from fxsim.cosim.result import CosimResult
from fxsim.coverage.count import Counter
from fxsim.coverage.directed import Directed
from fxsim.coverage.invert import invert
from fxsim.coverage.measure import cover_equal, images_sha256
from fxsim.coverage.record import Coverage, Source, States, check_consistent, merge, packed, unpacked
from fxsim.devices import NodeDesign
from fxsim.engines import run_chunks
from fxsim.errors import ComparisonError
from fxsim.graph import ALL_TAPS, INPUT, Graph, Model, Node
from fxsim.operators import Affine, Linear

Progress = Callable[[int, int], None]
Status = Callable[[str], None]

IMAGES_AT_MOST = 512
"""Most images that a module alone is simulated on."""


def cover_rtl(
    request: CosimRequest, name: str = "images", progress: Progress | None = None, status: Status | None = None
) -> tuple[Coverage, CosimResult]:
    """The coverage of a co-simulation that passes: of nodes whose result and inputs are compared, all equal.

    ComparisonError where it does not pass: then nothing is covered.
    """
    model, x = request.model, request.model.check_stimulus(request.x)
    result = run_cosim(request, progress=progress, status=status)
    if not result.passed:
        raise ComparisonError(f"the RTL of '{request.device}' covers nothing: {why_not(result)}; fxsim cosim says more")
    start, stop = request.images or (0, len(x))
    taps = {tap.tap for tap in result.comparison.taps if tap.equal}
    output = {result.streams.output_tap} if result.streams.output.mismatches == 0 else set()
    words = f"{request.device} {name}, stalls {result.provenance.stall}"
    shown, compared = taps | output, result.comparison.compared
    made = cover_equal(model, x[start:stop], shown, "rtl", words, compared, ("images", "rtl"))
    moments = {request.device: result.streams.moments} if result.streams.moments else {}
    left = () if moments else (f"moments: the harness of '{request.device}' counts no stalls and resets by phase",)
    design = f"{request.device} {result.build.rtl_sha256}"
    sources = tuple(msgspec.structs.replace(source, design=design) for source in made.sources)
    return msgspec.structs.replace(made, sources=sources, not_measured=left, moments=moments), result


AIMED_IMAGES = 200
"""Images of a run that aims at moments: after each reset those that have not come out are computed again."""


def aim(
    request: CosimRequest, seed: int = 1, progress: Progress | None = None, status: Status | None = None
) -> Coverage:
    """The coverage of a run that makes each moment come that the device counts, as far as one can be made to.

    The request's images, again and again where they are few. StimulusError where the device cannot be aimed at.
    """
    x = request.model.check_stimulus(request.x)
    many = np.concatenate([x] * -(-AIMED_IMAGES // len(x)))[:AIMED_IMAGES]
    return cover_rtl(replace(request, x=many, images=None, stall=f"aim:{seed}"), "aimed", progress, status)[0]


def why_not(result: CosimResult) -> str:
    """Words for why a co-simulation did not pass."""
    if result.verdict.stopped is not None:
        return result.verdict.stopped.reason
    return result.comparison.reason or "a rule of the streams was broken, or not every image came out"


def _with_input(model: Model, x: Integers) -> Iterable[tuple[slice, Mapping[str, Any]]]:
    for part, values in run_chunks(model, x, ALL_TAPS):
        yield part, {INPUT: x[part]} | values


# --- Modules alone ---------------------------------------------------------------------------------------------------


def cover_nodes(
    coverage: Coverage,
    directed: Directed,
    request: CosimRequest,
    progress: Progress | None = None,
    status: Status | None = None,
) -> tuple[Coverage, NodesResult]:
    """Drive each module of an accelerator alone with directed stimuli, and count what they hit where all was equal.

    A module of one node takes the node's stimuli as they are. One of several takes values of the tensor before it,
    from which those of its nodes are made where that can be turned around; the points hit are counted in all its nodes.
    ComparisonError where a module does not pass.
    """
    ran: dict[str, tuple[Model, Integers, Mapping[str, str]]] = {}

    def given(design: NodeDesign) -> tuple[Model, Integers] | None:
        made = stimuli_for(request.model, directed, design)
        if made is None:
            return None
        ran[design.tap] = made
        return made[:2]

    result = run_nodes(request, progress=progress, status=status, given=given)
    for node in result.nodes:
        if not node.passed:
            raise ComparisonError(
                f"the RTL of '{request.device}' covers nothing at '{node.tap}': {node.reason}; fxsim cosim --nodes"
            )
    hits: dict[str, list[Any]] = {}
    images = 0
    for part, x, names in ran.values():
        counter = Counter(part)
        images += len(x)
        for _, values in _with_input(part, x):
            counter.add(values, names)
        for own, name in names.items():
            hits[name] = counter.nodes[own].hits()
    nodes = []
    for record in coverage.nodes:
        groups = record.groups
        if record.node in hits:
            groups = tuple(
                # Only of what is covered: values of a part may lie beyond those that the whole model has there.
                msgspec.structs.replace(
                    group, rtl=packed(unpacked(group.rtl, group.points) | (own & States(group).covered))
                )
                for group, own in zip(groups, hits[record.node], strict=True)
            )
        nodes.append(msgspec.structs.replace(record, groups=groups))
    source = Source(
        kind="rtl",
        name=f"{request.device} node by node, stalls {result.stall}",
        images=images,
        sha256=images_sha256(np.concatenate([x.reshape(-1).view(np.uint8) for _, x, _ in ran.values()])),
        nodes=len(hits),
        values=sum(node.compared for node in result.nodes),
        design=next((s.design for s in coverage.sources if s.design.startswith(f"{request.device} ")), ""),
    )
    found = msgspec.structs.replace(coverage, nodes=tuple(nodes), sources=(*coverage.sources, source))
    return check_consistent(found), result


def stimuli_for(
    model: Model, directed: Directed, design: NodeDesign
) -> tuple[Model, Integers, Mapping[str, str]] | None:
    """The model that a module runs alone, images for it, and the nodes of the whole model by their names there."""
    return _alone(model, directed, design) if design.own is None else _part(model, directed, design)


def given_of(model: Model, directed: Directed) -> Callable[[NodeDesign], tuple[Model, Integers] | None]:
    """The function that gives each module its model and images, as `run_nodes` takes it."""

    def given(design: NodeDesign) -> tuple[Model, Integers] | None:
        made = stimuli_for(model, directed, design)
        return None if made is None else made[:2]

    return given


def drive(
    coverage: Coverage,
    directed: Directed,
    request: CosimRequest,
    progress: Progress | None = None,
    status: Status | None = None,
) -> Coverage:
    """The coverage with all directed stimuli run in RTL: images through all of it, the others module by module."""
    if len(directed.images):
        images = replace(request, x=directed.images, images=None)
        coverage = merge(coverage, cover_rtl(images, "solved", None, status)[0])
    return cover_nodes(coverage, directed, request, progress, status)[0]


def _alone(model: Model, directed: Directed, design: NodeDesign) -> tuple[Model, Integers, Mapping[str, str]] | None:
    """The model of one node alone, its stimuli as images, and the node's name there."""
    arrays = directed.nodes.get(design.tap)
    if arrays is None or design.part != (design.tap,):
        return None
    node = model.graph.by_name[design.tap]
    made = node_model(model, node)
    if made is None:
        return None
    x = np.concatenate([arrays[name] for name in node.inputs], axis=-1)[:IMAGES_AT_MOST]
    return made, np.ascontiguousarray(x), {node.name: node.name}


def node_model(model: Model, node: Node) -> Model | None:
    """A model that computes one node of any values of its inputs, which have their names in it.

    The image holds the values of both inputs of a sum side by side. None where that cannot be: tensors that are not
    int8 of tokens and channels, or an operand that is the model's input beside another.
    """
    graph = model.graph
    tensors = graph.inputs_of(node)
    first = tensors[0]
    if any(t.axes not in ((TOKEN, CHANNEL), (CHANNEL,)) or str(t.number) != "int8" for t in tensors):
        return None
    names = node.inputs
    if names == (INPUT,):
        return Model(Graph(first, (node,)), model.name)
    if INPUT in names or len(set(names)) < len(names):
        return None
    channels = first.shape[-1]
    ones = np.ones(channels, np.int8)
    zeros, none = np.zeros(channels, np.int8), np.zeros(channels, np.uint8)
    if len(names) == 1:
        return Model(Graph(first, (Node(names[0], Affine(ones, zeros, none), (INPUT,)), node)), model.name)
    eye = np.eye(channels, dtype=np.int8)
    blank = np.zeros_like(eye)
    whole = Tensor(first.axes, (*first.shape[:-1], channels * len(names)))
    passing = []
    for name in names:
        chosen = np.concatenate([eye if other == name else blank for other in names], axis=1)
        passing.append(Node(name, Linear(chosen, zeros, none), (INPUT,)))
    return Model(Graph(whole, (*passing, node)), model.name)


def _part(model: Model, directed: Directed, design: NodeDesign) -> tuple[Model, Integers, Mapping[str, str]] | None:
    """The device's own model of a part, its nodes, and images: stimuli of the nodes, as far as they can be inverted."""
    assert design.own is not None
    made = []
    for tap in design.part:
        node = model.graph.by_name[tap]
        arrays = directed.nodes.get(tap)
        if arrays is None or len(node.inputs) != 1:
            continue
        found = invert(model.graph, arrays[node.inputs[0]], node.inputs[0], design.own.tensor)
        if found is not None:
            made.append(found[:IMAGES_AT_MOST])
    if not made:
        return None
    x = np.ascontiguousarray(np.concatenate(made))
    return design.own.model, x, design.own.names
