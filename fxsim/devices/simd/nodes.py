"""The SIMD accelerator part by part: jobs of one half block each, which begin with the model's tensor before it.

Its units serve all nodes, and no layer but the first reads what the host has written: so a part is run as a model of
its own. The first layer of that passes the tensor on, since its weights are the identity, and what stands before the
part in its block does so, too. Everything behind it is computed, and is not looked at.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from fxsim.devices.base import NodeDesign, OwnModel
from fxsim.devices.settings import Settings
from fxsim.families import recognise_resmlp
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Affine, Linear, Operator

_MIXER, _MLP, _ENDS = "token_mixer", "mlp", ("embed", "pool", "classifier")


def list_parts(model: Model, settings: Settings, rtl: Path | None, folder: Path) -> tuple[NodeDesign, ...]:  # noqa: ARG001  # there are no files
    """The parts in graph order: the embedding, each block's token mixer and MLP, pool and classifier.

    ModelError where the model is none for the accelerator.
    """
    config = recognise_resmlp(model.graph)
    halves = [(block, half) for block in range(config.blocks) for half in (_MIXER, _MLP)]
    found, before = [_part(model, ("embed",), INPUT, None, "", rtl)], "embed"
    for block, half in halves:
        prefix = f"blocks.{block}.{half}."
        taps = tuple(tap for tap in model.graph.taps if tap.startswith(prefix))
        found.append(_part(model, taps, before, block, half, rtl))
        before = taps[-1]
    return (*found, _part(model, _ENDS[1:], before, None, "", rtl))


def _part(
    model: Model, taps: tuple[str, ...], before: str, block: int | None, half: str, rtl: Path | None
) -> NodeDesign:
    nodes = tuple(_nodes(model, block or 0, half, keeps_embed=before == INPUT))
    names = {tap.replace(f"blocks.{block}.", "blocks.0."): tap for tap in taps}
    shape = model.graph.tensors[before].shape
    part = Model(Graph((shape[0], shape[1]), nodes), f"{model.name}_part")
    return NodeDesign(taps[-1], taps, None, rtl, OwnModel(part, before, names))


def _nodes(model: Model, block: int, half: str, *, keeps_embed: bool) -> Iterator[Node]:
    """The nodes of one block and both ends, but for those of `half` such as they pass their input on."""
    prefix = f"blocks.{block}."
    last = [node.name for node in model.graph.nodes if node.name.startswith("blocks.")][-1]
    for node in model.graph.nodes:
        if node.name not in _ENDS and not node.name.startswith(prefix):
            continue
        op = node.op
        if node.name == "embed" and not keeps_embed:
            op = _identity(op)
        elif node.name.startswith(prefix) and node.name.split(".")[2] != half:
            op = _passing(op)
        # The block is the first and the last.
        inputs = tuple(
            f"{prefix}{_MLP}.add" if name == last and node.name == "pool" else
            "embed" if node.name.startswith(prefix) and not name.startswith(prefix) else name
            for name in node.inputs
        )  # fmt: skip
        yield Node(node.name.replace(prefix, "blocks.0."), op, tuple(n.replace(prefix, "blocks.0.") for n in inputs))


def _identity(op: Operator) -> Linear:
    """A linear of as many outputs that passes its input on."""
    assert isinstance(op, Linear)
    size = len(op.weight)
    return Linear(np.eye(size, dtype=np.int8), np.zeros_like(op.bias), np.zeros_like(op.shift))


def _passing(op: Operator) -> Operator:
    """An operator with which a half of a block passes its input on: the residual alone, to which nothing is added."""
    if isinstance(op, Linear):
        return replace(op, weight=np.zeros_like(op.weight), bias=np.zeros_like(op.bias), shift=np.zeros_like(op.shift))
    if isinstance(op, Affine):
        return replace(op, weight=np.ones_like(op.weight), bias=np.zeros_like(op.bias), shift=np.zeros_like(op.shift))
    return op
