"""Explained rules applied to other images: what a fault would do to results."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from fxsim.contract.arithmetic import Int64, Integers
from fxsim.engines import apply, run
from fxsim.errors import ComparisonError, StimulusError
from fxsim.explain.case import Change, make_cases, merged
from fxsim.explain.locate import Located
from fxsim.explain.result import Fault
from fxsim.explain.rules import Rule, compute
from fxsim.explain.search import beside, proposed
from fxsim.graph import INPUT, Model, Node

_TOGETHER = 128
"""Images that are computed at once: bounds memory."""


class Impact(Struct, frozen=True, kw_only=True):
    """The change of a model's output where explained rules are applied to images.

    `applied`: `LABEL at NODE`; `left_out`: those that are no rule for other images. `top1_changed`: images whose
    greatest output is another (the first of equal ones counts). `values_differing` of `values` outputs differ, by
    `largest` at most and `mean` on average, over all. `right`, `right_by_rule`: of `images`, where there are labels.
    """

    images: int
    applied: tuple[str, ...]
    left_out: tuple[str, ...]
    top1_changed: int
    values: int
    values_differing: int
    largest: int
    mean: float
    right: int | None = None
    right_by_rule: int | None = None


def changes_of(located: Located, fault: Fault) -> tuple[Change, ...]:
    """The changes that a fault's label stands for, found again; none where it is no rule that a node is computed by."""
    if not fault.exact:
        return ()
    pair = "+" in fault.label
    found: dict[str, Change] = {}
    for case in make_cases(located, fault.tap):
        for change in proposed(case):
            parameters = dict(change.parameters)
            name = f"{change.label} at {change.node}"
            whole = (change.label, change.node, parameters) == (fault.label, fault.node, fault.parameters)
            if whole or (pair and fault.parameters.get(name) == parameters):
                found.setdefault(name, change)
    if pair and len(found) == 1:
        # The other was fitted beside it.
        (first,) = found.values()
        own = make_cases(located, fault.tap)[0]
        for change in beside(own, first):
            name = f"{change.label} at {change.node}"
            if name not in found and fault.parameters.get(name) == dict(change.parameters):
                found[name] = change
    return tuple(found.values()) if len(found) == 1 + pair else ()


def impact(located: Located, faults: Sequence[Fault], x: Integers, labels: npt.NDArray[np.integer] | None) -> Impact:
    """The change of the output on images `x` (with `labels`, [image]) where the faults' rules are applied.

    ComparisonError where none of them can be, or where a rule makes what its tensor does not hold; StimulusError where
    there are no images, or labels are not one for each.
    """
    model = located.model
    if len(x) == 0:
        raise StimulusError("there are no images to apply rules to, expected at least one")
    if labels is not None and (labels.shape != (len(x),) or labels.dtype.kind not in "iu"):
        raise StimulusError(f"labels are {labels.dtype} {labels.shape}, expected whole numbers ({len(x)},)")
    rules: dict[str, list[Change]] = {}
    applied, left_out = [], []
    for fault in faults:
        changes = changes_of(located, fault)
        if not changes or any(change.whole for change in changes):
            left_out.append(f"{fault.label} at {fault.node}")
            continue
        applied.append(f"{fault.label} at {fault.node}")
        for change in changes:
            rules.setdefault(change.node, []).append(change)
    if not applied:
        raise ComparisonError(f"no rule can be applied to other images: {', '.join(left_out) or 'there is no fault'}")
    right, ruled = [], []
    for start in range(0, len(x), _TOGETHER):
        part = x[start : start + _TOGETHER]
        right.append(run(model, part)[model.graph.output].astype(np.int64).reshape(len(part), -1))
        ruled.append(_by_rules(model, part, rules).reshape(len(part), -1))
    one, other = np.concatenate(right), np.concatenate(ruled)
    first, second, off = one.argmax(axis=1), other.argmax(axis=1), np.abs(one - other)
    return Impact(
        images=len(x),
        applied=tuple(applied),
        left_out=tuple(left_out),
        top1_changed=int(np.count_nonzero(first != second)),
        values=one.size,
        values_differing=int(np.count_nonzero(off)),
        largest=int(off.max()),
        mean=float(off.mean()),
        right=None if labels is None else int(np.count_nonzero(first == labels)),
        right_by_rule=None if labels is None else int(np.count_nonzero(second == labels)),
    )


def _by_rules(model: Model, x: Integers, rules: Mapping[str, list[Change]]) -> Int64:
    """The output for images, with some nodes computed by other rules; wrong values are passed on."""
    values: dict[str, Int64] = {INPUT: x.astype(np.int64)}
    for node in model.graph.nodes:
        if node.name in rules:
            values[node.name] = compute_changed(model, node, rules[node.name], values)
            continue
        dtypes = (model.graph.tensors[name].number.dtype for name in node.inputs)
        narrow = (values[name].astype(dtype) for name, dtype in zip(node.inputs, dtypes, strict=True))
        values[node.name] = apply(node, *narrow).astype(np.int64)
    return values[model.graph.output]


def compute_changed(model: Model, node: Node, changes: Sequence[Change], values: Mapping[str, Integers]) -> Int64:
    """A node's result, int64 [image, ...], as changes say; of none it is the contract's. `values`: by tensor.

    ComparisonError where it is none of its tensor: what no value is cannot be passed on.
    """
    inputs = [values[name].astype(np.int64) for name in node.inputs]
    fields: dict[str, Any] = merged(changes, node.name).get(node.name, {})
    for change in changes:
        fields |= _operands(model, change, values, inputs)
    number = model.graph.tensors[node.name].number
    made = compute(node.op, Rule(**fields), *inputs)
    if made.size and not number.low <= made.min() <= made.max() <= number.high:
        raise ComparisonError(f"{node.name}: the rule makes {made.min()} to {made.max()}, which {number} does not hold")
    return made


def _operands(
    model: Model, change: Change, values: Mapping[str, Integers], inputs: Sequence[Int64]
) -> dict[str, Int64]:
    """Operands that a change puts in place of a node's own, of these images."""
    found = {}
    for field, own in zip(("operand", "other"), inputs, strict=False):
        if field in change.fields:
            affine = change.parameters.get("affine")
            before = None if affine is None else values[model.graph.by_name[str(affine)].inputs[0]]
            found[field] = np.zeros_like(own) if before is None else before.astype(np.int64)
    return found
