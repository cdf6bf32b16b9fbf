"""Measuring coverage: from images by an engine, and from a trace that was compared and equal."""

import hashlib
from collections.abc import Callable

import numpy as np

from fxsim.compare import Comparison, FloatSource, compare, engine_source, model_taps, sentence
from fxsim.compare import Source as Values
from fxsim.contract.arithmetic import Integers
from fxsim.coverage.count import Counter
from fxsim.coverage.record import FORMAT, Coverage, Source, check_consistent, make_node
from fxsim.engines import Engine, run_chunks
from fxsim.errors import ComparisonError
from fxsim.formats import model_sha256
from fxsim.graph import ALL_TAPS, INPUT, Model
from fxsim.traces import Trace

Progress = Callable[[int, int], None]

PHASES_NOT_MEASURED = (
    "stalls, gaps, back-pressure and resets by phase: values of an engine or a trace have no handshakes",
)


def images_sha256(x: Integers) -> str:
    """The SHA-256 of images: their type, shape and values."""
    digest = hashlib.sha256(f"{x.dtype.str} {x.shape}".encode())
    digest.update(np.ascontiguousarray(x).tobytes())
    return digest.hexdigest()


def count_images(
    model: Model, x: Integers, engine: Engine | str = Engine.AUTO, progress: Progress | None = None
) -> Counter:
    """The points that images hit, in values that an engine computes."""
    counter = Counter(model)
    for part, values in run_chunks(model, x, ALL_TAPS, engine):
        counter.add({INPUT: x[part]} | values)
        if progress is not None:
            progress(part.stop, len(x))
    return counter


def cover_images(
    model: Model,
    x: Integers,
    name: str = "images",
    engine: Engine | str = Engine.AUTO,
    progress: Progress | None = None,
) -> Coverage:
    """The coverage of images, [image, ...] as the model takes them."""
    x = model.check_stimulus(x)
    counter = count_images(model, x, engine, progress)
    source = Source(kind="engine", name=name, images=len(x), sha256=images_sha256(x), nodes=len(counter.nodes))
    return make_coverage(model, counter, source, ("images",))


def make_coverage(model: Model, counter: Counter, source: Source, fields: tuple[str, ...]) -> Coverage:
    """A record of what one source hit: the bits `fields` of every point."""
    nodes = []
    for node in counter.nodes.values():
        hits = node.hits()
        nodes.append(make_node(node.points, node.samples, dict.fromkeys(fields, hits)))
    return check_consistent(
        Coverage(
            format=FORMAT,
            model=model.name,
            model_sha256=model_sha256(model),
            sources=(source,),
            nodes=tuple(nodes),
            not_measured=PHASES_NOT_MEASURED,
        )
    )


def seen_nodes(model: Model, taps: set[str]) -> tuple[str, ...]:
    """The nodes of which both the result and all that they read are among some taps, or the input of the model."""
    return tuple(
        node.name
        for node in model.graph.nodes
        if node.name in taps and all(name == INPUT or name in taps for name in node.inputs)
    )


def cover_trace(
    model: Model, x: Integers, found: Values, name: str, progress: Progress | None = None
) -> tuple[Coverage, Comparison]:
    """The coverage of a trace of images `x`: of nodes whose result and inputs are in it, compared and equal.

    ComparisonError where a value differs: what another design computed covers nothing of the model.
    """
    x = model.check_stimulus(x)
    taps = tuple(tap for tap in model.graph.taps if tap in found.taps)
    if not taps:
        raise ComparisonError(f"{name} has no tap of model '{model.name}', expected at least one")
    expected: Values = engine_source(model, x)
    kept: Values = found
    if isinstance(found, Trace) and any(found.dtype(tap) != model.graph.tensors[tap].number.dtype for tap in taps):
        # Other numpy types that hold the same whole numbers.
        expected, kept = FloatSource(expected), FloatSource(found)
    result = compare(expected, kept, model_taps(model, taps), progress=progress)
    if not result.equal:
        why = "not all of it could be compared" if result.first is None else sentence(result.first)
        raise ComparisonError(f"{name} covers nothing, since it is not the model: {why}")
    return cover_equal(model, x, set(taps), "trace", name, result.compared), result


def cover_equal(
    model: Model, x: Integers, taps: set[str], kind: str, name: str, values: int, fields: tuple[str, ...] = ("images",)
) -> Coverage:
    """The coverage of values that a source of a kind showed at some taps of images `x`, so many, all the model's."""
    counter = Counter(model)
    nodes = seen_nodes(model, taps)
    for part, found in run_chunks(model, x, ALL_TAPS):
        counter.add({INPUT: x[part]} | found, nodes)
    source = Source(kind=kind, name=name, images=len(x), sha256=images_sha256(x), nodes=len(nodes), values=values)
    return make_coverage(model, counter, source, fields)
