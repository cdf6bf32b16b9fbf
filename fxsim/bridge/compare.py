"""Contract mode: the quantised network by the contract's rules against an integer model. Equality is demanded."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch

from fxsim.bridge.record import Contract, FirstDifference, ParameterDifference, TapEquality
from fxsim.contract.arithmetic import Int8
from fxsim.engines import Engine, run
from fxsim.errors import ModelError
from fxsim.graph import Model, Node
from fxsim.networks.quantised import CONTRACT, QuantisedResMLP

LISTED = 20
"""Differing parameters that are listed one by one; all are counted."""

Report = Callable[[int], None]
"""Called with the number of images just done."""


def batches(images: int, batch: int) -> Iterator[slice]:
    """Slices of `batch` images, the last of what is left."""
    return (slice(start, min(start + batch, images)) for start in range(0, images, batch))


def compare_contract(
    network: QuantisedResMLP,
    exported: Model,
    model: Model,
    codes: Int8,
    *,
    batch: int,
    engine: Engine | str = Engine.AUTO,
    report: Report = lambda _: None,
) -> Contract:
    """Compare `model` with the network: its parameters with `exported`'s, every tap's values with `==`.

    `exported` is the network's own integer model; `codes` int8 [image, token, value]. Memory holds one batch's taps.
    ModelError where `model` has other operators, shapes or table rules than `exported`.
    """
    check_same_structure(exported, model)
    taps = exported.graph.taps
    differ, largest = dict.fromkeys(taps, 0), dict.fromkeys(taps, 0)
    compared = dict.fromkeys(taps, 0)
    first: FirstDifference | None = None
    for part in batches(len(codes), batch):
        inputs = np.array(codes[part])
        expected = run(model, inputs, "all", engine)
        found = network.run_taps(torch.from_numpy(inputs), CONTRACT)
        earliest: FirstDifference | None = None
        for tap in taps:
            # Both as float64: whatever the network computes that is no int8 differs from every int8.
            ours, theirs = found[tap].numpy(), expected[tap].astype(np.float64)
            unequal = ours != theirs
            compared[tap] += unequal.size
            if unequal.any():
                differ[tap] += int(np.count_nonzero(unequal))
                largest[tap] = max(largest[tap], int(np.abs(ours - theirs).max()))
                here = _first(tap, part.start, unequal, ours, theirs)
                # Taps come in the order of the network: of one image's the first stays.
                earliest = here if earliest is None or here.image < earliest.image else earliest
        first = first or earliest
        report(len(inputs))
    parameters, count, listed = _compare_parameters(exported, model)
    return Contract(
        parameters=parameters,
        parameters_differ=count,
        parameter_differences=listed,
        taps=tuple(
            TapEquality(tap=tap, compared=compared[tap], differ=differ[tap], largest=largest[tap]) for tap in taps
        ),
        first=first,
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


def _first(
    tap: str, start: int, unequal: npt.NDArray[np.bool_], ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]
) -> FirstDifference:
    place = tuple(int(i) for i in np.argwhere(unequal)[0])
    return FirstDifference(
        image=start + place[0],
        tap=tap,
        token=place[1] if len(place) == 3 else None,
        channel=place[-1],
        network=int(ours[place]),
        model=int(theirs[place]),
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
    """How many entries there are, how many differ, and the first `LISTED` of those."""
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
