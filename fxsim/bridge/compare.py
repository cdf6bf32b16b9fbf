"""Contract mode: the quantised network by the contract's rules against an integer model. Equality is demanded."""

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import torch

from fxsim.bridge.record import Contract, FirstDifference, ParameterDifference, TapEquality
from fxsim.compare import (
    ComputedSource,
    Difference,
    FloatSource,
    TapComparison,
    Values,
    compare,
    engine_source,
    model_taps,
)
from fxsim.contract.arithmetic import Int8
from fxsim.engines import Engine
from fxsim.errors import ModelError
from fxsim.graph import Model, Node
from fxsim.networks.checkpoint import Quantised
from fxsim.networks.quantised import CONTRACT

LISTED = 20
"""Differing parameters that are listed one by one; all are counted."""

Report = Callable[[int], None]
"""Called with the number of images just done."""


def batches(images: int, batch: int) -> Iterator[slice]:
    """Slices of `batch` images, the last of what is left."""
    return (slice(start, min(start + batch, images)) for start in range(0, images, batch))


def compare_contract(
    network: Quantised,
    exported: Model,
    model: Model,
    codes: Int8,
    *,
    batch: int,
    engine: Engine | str = Engine.AUTO,
    report: Report = lambda _: None,
) -> Contract:
    """Compare `model` with the network: its parameters with `exported`'s, every tap's values with `==`.

    `exported` is the network's own integer model; `codes` int8, as the model takes them. Memory holds one batch's taps.
    ModelError where `model` has other operators, shapes or table rules than `exported`.
    """
    check_same_structure(exported, model)
    done = 0

    def compute(inputs: Values, taps: tuple[str, ...]) -> Mapping[str, Values]:
        found = network.run_taps(torch.from_numpy(np.array(inputs)), CONTRACT, taps)
        return {tap: values.numpy() for tap, values in found.items()}

    def tell(images: int, _total: int) -> None:
        nonlocal done
        done, before = images, done
        report(done - before)

    # Both as float64: whatever the network computes that is no integer differs from every integer.
    theirs = FloatSource(engine_source(model, codes, engine, f"model '{model.name}'"))
    ours = ComputedSource("the network", network.taps, codes, compute)
    comparison = compare(ours, theirs, model_taps(exported), chunk=batch, progress=tell)
    parameters, count, listed = _compare_parameters(exported, model)
    return Contract(
        parameters=parameters,
        parameters_differ=count,
        parameter_differences=listed,
        taps=tuple(_tap_equality(tap) for tap in comparison.taps),
        first=None if comparison.first is None else _first(comparison.first),
    )


def _tap_equality(tap: TapComparison) -> TapEquality:
    return TapEquality(
        tap=tap.tap, compared=tap.compared, differ=tap.differ, largest=math.ceil(tap.largest or 0), values=tap.values
    )


def _first(difference: Difference) -> FirstDifference:
    assert not isinstance(difference.got, str)  # both sources have numbers
    return FirstDifference(
        image=difference.image,
        tap=difference.tap,
        token=difference.token,
        channel=difference.channel,
        index=difference.index,
        network=difference.expected,
        model=difference.got,
    )


def check_same_structure(exported: Model, model: Model) -> None:
    """ModelError, naming the first node that differs, unless both have the same operators of the same shapes."""
    if exported.graph.input_shape != model.graph.input_shape:
        raise ModelError(
            f"model '{model.name}' takes an input of shape {model.graph.input_shape}, "
            f"the network {exported.graph.input_shape}; expected a model that was exported from it"
        )
    ours, theirs = exported.graph.nodes, model.graph.nodes
    for expected, found in zip(ours, theirs, strict=False):
        if _structure(expected) != _structure(found):
            raise ModelError(
                f"model '{model.name}' has {_describe(found)}, the network {_describe(expected)}; "
                "expected a model that was exported from it, tables in the same format"
            )
    if len(ours) != len(theirs):
        raise ModelError(
            f"model '{model.name}' has {len(theirs)} operators, the network {len(ours)}; "
            "expected a model that was exported from it"
        )


def _tensors(node: Node) -> Iterator[tuple[str, npt.NDArray[np.integer]]]:
    return node.op.arrays()


def _structure(node: Node) -> tuple[object, ...]:
    op = node.op
    # Stated accumulator widths change no value: the model was proven not to overflow them.
    detail = tuple(getattr(op, name) for name in op.attributes if name != "acc_bits")
    return node.name, op.kind, node.inputs, detail, tuple((name, tensor.shape) for name, tensor in _tensors(node))


def _describe(node: Node) -> str:
    shapes = ", ".join(f"{name} {tensor.shape}" for name, tensor in _tensors(node))
    rule = f", rule '{node.op.rule}'" if hasattr(node.op, "rule") else ""
    return f"'{node.name}', {node.op.kind} of {', '.join(node.inputs)} ({shapes or 'no tensors'}{rule})"


def _compare_parameters(exported: Model, model: Model) -> tuple[int, int, tuple[ParameterDifference, ...]]:
    """Number of entries, how many differ, and the first `LISTED` of those."""
    entries = count = 0
    listed: list[ParameterDifference] = []
    for ours, theirs in zip(exported.graph.nodes, model.graph.nodes, strict=True):
        for (name, expected), (_, found) in zip(_tensors(ours), _tensors(theirs), strict=True):
            places = np.argwhere(expected != found)
            entries += expected.size
            count += len(places)
            listed += [
                ParameterDifference(
                    tensor=f"{ours.name}.{name}",
                    index=tuple(int(i) for i in place),
                    expected=int(expected[tuple(place)]),
                    found=int(found[tuple(place)]),
                )
                for place in places[: LISTED - len(listed)]
            ]
    return entries, count, tuple(listed)
