"""Directed stimuli: made by solving for the points that a coverage lacks, kept as files, and their coverage.

A stimulus of a node is a value for each of its inputs. Those of nodes that read the model's input are whole images.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fxsim.coverage.count import NodeCounter
from fxsim.coverage.measure import count_images, images_sha256
from fxsim.coverage.record import (
    Coverage,
    GroupCoverage,
    NodeCoverage,
    Source,
    States,
    check_consistent,
    packed,
    unpacked,
)
from fxsim.coverage.solve import Closed, close_node, is_first
from fxsim.coverage.values import value_sets
from fxsim.errors import FileError
from fxsim.formats import atomic_write, model_sha256
from fxsim.formats.npy import read_archive
from fxsim.graph import Model

MANIFEST, IMAGES = "directed.json", "images.npy"
MANIFEST_BYTES_MAX = 1 << 22

Progress = Callable[[int, int], None]


class NodeFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The stimuli of one node: a file of arrays, each by the name of the tensor, and its hash."""

    node: str
    inputs: tuple[str, ...]
    images: int
    file: str
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All files of a folder of directed stimuli; `images`: whole images for the model, in `images.npy` if any."""

    format: int
    model: str
    model_sha256: str
    images: int
    nodes: tuple[NodeFile, ...]


@dataclass(frozen=True, eq=False)
class Directed:
    """Stimuli by node, each a mapping of its inputs' values [image, ...] by tensor; and whole images of the model."""

    model_sha256: str
    nodes: Mapping[str, Mapping[str, Any]]
    images: Any


def close(
    model: Model, coverage: Coverage, engine: str = "auto", progress: Progress | None = None
) -> tuple[Coverage, Directed]:
    """Close the holes of a coverage: solve for each open point, or prove that nothing reaches it.

    What is made for nodes that read the model's input is run through the whole model, and counts as images do.
    FileError where the coverage is another model's, FxsimError where a stimulus does not do what it was made for.
    """
    if model_sha256(model) != coverage.model_sha256:
        raise FileError(f"the coverage is of another model than '{model.name}': their hashes differ")
    sets = value_sets(model)
    order = sorted(model.graph.nodes, key=lambda node: not is_first(node))
    records = {node.node: node for node in coverage.nodes}
    made: dict[str, Mapping[str, Any]] = {}
    images: list[Any] = []
    sources = list(coverage.sources)
    whole_done = False
    for done, node in enumerate(order):
        if not is_first(node) and not whole_done:
            whole_done = True
            if images:
                records = _with_images(model, records, np.concatenate(images), engine)
        record = records[node.name]
        closed = close_node(model.graph, node, sets, [States(group).covered for group in record.groups])
        records[node.name] = with_closed(record, closed)
        if len(closed.stimuli[0]):
            made[node.name] = dict(zip(closed.inputs, closed.stimuli, strict=True))
            if is_first(node):
                images.append(closed.stimuli[0])
        if progress is not None:
            progress(done + 1, len(order))
    if images and not whole_done:
        records = _with_images(model, records, np.concatenate(images), engine)
    every = np.concatenate(images) if images else model.graph.input.empty(0)
    count = sum(len(next(iter(one.values()))) for one in made.values())
    digest = hashlib.sha256("".join(images_sha256(v) for one in made.values() for v in one.values()).encode())
    sources.append(
        Source(kind="directed", name="solved", images=count, sha256=digest.hexdigest(), nodes=len(made), values=0)
    )
    nodes = tuple(records[node.node] for node in coverage.nodes)
    found = msgspec.structs.replace(coverage, nodes=nodes, sources=tuple(sources))
    return check_consistent(found), Directed(coverage.model_sha256, made, every)


def with_closed(record: NodeCoverage, closed: Closed) -> NodeCoverage:
    """A node's record with what was solved and proved of it."""
    groups = []
    for group, hits, proofs in zip(record.groups, closed.hits, closed.unreachable, strict=True):
        directed = unpacked(group.directed, group.points) | hits
        unreachable = {name: packed(bits) for name, bits in proofs.items()}
        groups.append(msgspec.structs.replace(group, directed=packed(directed), unreachable=unreachable))
    return msgspec.structs.replace(record, groups=tuple(groups), domain=closed.domain, low=closed.low, high=closed.high)


def _with_images(
    model: Model, records: Mapping[str, NodeCoverage], images: Any, engine: str
) -> dict[str, NodeCoverage]:
    counter = count_images(model, images, engine)
    found = {}
    for name, record in records.items():
        hits = counter.nodes[name].hits()
        groups = tuple(_with_hits(group, own) for group, own in zip(record.groups, hits, strict=True))
        found[name] = msgspec.structs.replace(record, groups=groups, images=record.images + len(images))
    return found


def _with_hits(group: GroupCoverage, hits: Any) -> GroupCoverage:
    return msgspec.structs.replace(group, images=packed(unpacked(group.images, group.points) | hits))


# --- Files -----------------------------------------------------------------------------------------------------------


def write_directed(model: Model, directed: Directed, folder: Path) -> None:
    """Write stimuli into a folder: a file for each node, `images.npy` for the model, and a manifest."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot write the folder {folder}: {error.strerror or error}") from error
    files = []
    for node, arrays in directed.nodes.items():
        name = f"{node}.npz"
        with atomic_write(folder / name) as file, file.open("wb") as stream:
            np.savez(stream, **arrays)
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        count = len(next(iter(arrays.values())))
        files.append(NodeFile(node=node, inputs=tuple(arrays), images=count, file=name, sha256=digest))
    if len(directed.images):
        with atomic_write(folder / IMAGES) as file, file.open("wb") as stream:
            np.save(stream, directed.images)
    manifest = Manifest(
        format=1,
        model=model.name,
        model_sha256=directed.model_sha256,
        images=len(directed.images),
        nodes=tuple(files),
    )
    with atomic_write(folder / MANIFEST) as file:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")


def read_directed(model: Model, folder: Path) -> Directed:
    """Stimuli from a folder, each held to its hash, its tensor and the model. FileError where anything is not so."""
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MANIFEST_BYTES_MAX:
            raise FileError(f"{path}: is larger than {MANIFEST_BYTES_MAX:,} bytes")
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: is no manifest of directed stimuli: {error}") from None
    if manifest.format != 1 or manifest.model_sha256 != model_sha256(model):
        raise FileError(f"{path}: the stimuli are for another model than '{model.name}'")
    nodes: dict[str, Mapping[str, Any]] = {}
    for entry in manifest.nodes:
        node = model.graph.by_name.get(entry.node)
        if node is None or entry.inputs != tuple(dict.fromkeys(node.inputs)) or entry.file != f"{entry.node}.npz":
            raise FileError(f"{path}: states a node '{entry.node}' that the model does not have so")
        own = folder / entry.file
        arrays = read_archive(own)
        if hashlib.sha256(own.read_bytes()).hexdigest() != entry.sha256:
            raise FileError(f"{own}: is another file than {path} states")
        for name in node.inputs:
            tensor, values = model.graph.tensors[name], arrays.get(name)
            if (
                values is None
                or values.shape != (entry.images, *tensor.shape)
                or values.dtype != tensor.number.dtype
                or not tensor.number.holds(values)
            ):
                raise FileError(f"{own}: array '{name}' is not {entry.images} images of {tensor}")
        nodes[entry.node] = {name: arrays[name] for name in node.inputs}
    first = [
        next(iter(nodes[node.name].values())) for node in model.graph.nodes if is_first(node) and node.name in nodes
    ]
    images = np.concatenate(first) if first else model.graph.input.empty(0)
    return Directed(manifest.model_sha256, nodes, images)


def directed_hits(model: Model, directed: Directed) -> dict[str, list[Any]]:
    """By node, what its stimuli hit, counted anew."""
    found = {}
    for name, arrays in directed.nodes.items():
        node = model.graph.by_name[name]
        counter = NodeCounter(model.graph, node)
        counter.add(*(arrays[source] for source in node.inputs))
        found[name] = counter.hits()
    return found


def missing_hits(model: Model, coverage: Coverage, directed: Directed) -> list[str]:
    """The points that a coverage says its directed stimuli hit, and that these do not, in words."""
    found = directed_hits(model, directed)
    wrong = []
    for node in coverage.nodes:
        for at, group in enumerate(node.groups):
            hit = found[node.node][at] if node.node in found else np.zeros(group.points, np.bool_)
            lacking = int((unpacked(group.directed, group.points) & ~hit).sum())
            if lacking:
                wrong.append(f"{node.node}, {group.name}: {lacking} points are not hit by the stimuli")
    return wrong
