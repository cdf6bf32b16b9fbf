"""`between`: an input on which two named contracts differ, or the proof that there is none."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from msgspec import Struct

from fxsim.contract import Tensor
from fxsim.contract.arithmetic import Int64, Integers
from fxsim.errors import ModelError
from fxsim.explain.contracts import Contract, contract
from fxsim.explain.contracts.reach import Reach
from fxsim.explain.contracts.runs import Runs, Setting, differing
from fxsim.explain.rules import rows_last
from fxsim.explain.whole import APPLY
from fxsim.graph import Model
from fxsim.operators import (
    FEATURE_MAPS,
    ORDERS,
    Add,
    Affine,
    Argmax,
    Concat,
    Conv,
    Encode,
    Gate,
    Linear,
    Lut,
    MaxPool,
    NotTaken,
    Operator,
    OperatorTable,
    Pool,
    Relu,
    Threshold,
)


class Between(Struct, frozen=True, kw_only=True):
    """Whether two contracts are the same for all inputs of an operator, or all accumulators of a setting.

    `equal`: proved, or an input is known on which they differ; None where neither is. `why`: the proof, or why nothing
    is known. `accumulator`, `results`: of the first contract and of the second, where they differ; `index`: where in
    the result of the operator; `files`: where the inputs are written, by tensor.
    """

    contracts: tuple[str, str]
    node: str | None
    equal: bool | None
    why: str
    accumulator: int | None = None
    results: tuple[int, int] | None = None
    index: dict[str, int] | None = None
    files: dict[str, str] = {}  # msgspec copies it


def between(first: str, second: str, setting: Setting) -> Between:
    """Two contracts, by name, over all accumulators of a setting.

    ModelError where one is not known, or cannot take it.
    """
    a, b = contract(first), contract(second)
    runs = differing(a, b, setting)
    at = runs.nearest
    if at is None:
        return Between(contracts=(first, second), node=None, equal=True if runs.decided else None, why=runs.proof)
    one, other = (int(setting.results(c, np.array([at]))[0]) for c in (a, b))
    return Between(
        contracts=(first, second), node=None, equal=False, why="an accumulator on which they differ", accumulator=at,
        results=(one, other),
    )  # fmt: skip


def between_at(model: Model, node: str, first: str, second: str) -> tuple[Between, dict[str, Integers]]:
    """Two contracts, by name, over all inputs of a model's operator, and one image of them, by tensor, that differs.

    ModelError where a contract or the node is not known, or where a contract cannot take the operator.
    """
    a, b = contract(first), contract(second)
    if node not in model.graph.by_name:
        raise ModelError(f"model '{model.name}' has no node {node!r}, expected one of: {', '.join(model.graph.taps)}")
    at = model.graph.by_name[node]
    tensors = [model.graph.tensors[name] for name in at.inputs]
    try:
        found = SEARCH[type(at.op)](at.op, tensors, a, b)
    except ModelError as error:
        raise ModelError(f"node '{node}': {error}") from None
    if found.values is None:
        equal = True if found.decided else None
        return Between(contracts=(first, second), node=node, equal=equal, why=found.why), {}
    one, other = (APPLY[type(at.op)](at.op, c, *found.values)[0] for c in (a, b))
    index = tuple(int(i) for i in np.argwhere(one != other)[0])
    result = Between(
        contracts=(first, second), node=node, equal=False, why="an input on which they differ",
        accumulator=found.accumulator, results=(int(one[index]), int(other[index])),
        index=dict(zip(model.graph.tensors[node].axes, index, strict=True)),
    )  # fmt: skip
    numbers = [tensor.number for tensor in tensors]
    return result, {
        name: values.astype(number.dtype) for name, values, number in zip(at.inputs, found.values, numbers, strict=True)
    }


def between_anywhere(model: Model, first: str, second: str) -> tuple[Between, dict[str, Integers]]:
    """Two contracts, by name, at the first node of a model where an input is known on which they differ.

    They are the same where they are proved so at every node.
    """
    names = (first, second)
    if contract(first).arithmetic == contract(second).arithmetic:
        return Between(contracts=names, node=None, equal=True, why="they are one arithmetic"), {}
    unknown = ""
    for node in model.graph.taps:
        try:
            found, inputs = between_at(model, node, first, second)
        except ModelError as error:
            unknown = str(error)
            continue
        if found.equal is False:
            return found, inputs
        if found.equal is None:
            unknown = f"node '{node}': {found.why}"
    if unknown:
        return Between(contracts=names, node=None, equal=None, why=unknown), {}
    return Between(contracts=names, node=None, equal=True, why="they are the same at every node"), {}


@dataclass(frozen=True)
class Found:
    """The end of an operator's search: one image of each of its inputs that differs, and the sum there; or why none.

    `decided`: False where there may be one all the same.
    """

    why: str
    values: tuple[Int64, ...] | None = None
    accumulator: int | None = None
    decided: bool = True


def _settings(op: Linear | Affine, x: Tensor, *contracts: Contract) -> list[Setting]:
    """The requantisation of each output; ModelError, with the output, where a contract cannot take it."""
    rows = zip(*op.accumulator_range(x), op.shift, op.bias, strict=True)
    settings = [Setting(int(low), int(high), int(shift), int(bias), op.out) for low, high, shift, bias in rows]
    for row, setting in enumerate(settings):
        for one in contracts:
            try:
                setting.check(one)
            except ModelError as error:
                raise ModelError(f"output {row}: {error}") from None
    return settings


def _linear(op: Linear, tensors: list[Tensor], a: Contract, b: Contract) -> Found:
    (x,) = tensors
    settings = _settings(op, x, a, b)
    known: dict[Setting, Runs] = {}
    unreached, unknown = 0, ""
    for row, setting in enumerate(settings):
        if setting not in known:
            known[setting] = differing(a, b, setting)
        runs = known[setting]
        if not runs.decided:
            unknown = f"output {row}: {runs.proof}"
        if not len(runs.starts):
            continue
        reach = Reach(op.weight[row], x.number)
        if reach.too_many:
            unknown = (
                f"output {row}: its weights make too many sums to enumerate, and are not known to make one that differs"
            )
            continue
        total = reach.first(sorted(runs, key=lambda run: max(run[0], -run[1])))
        if total is not None:
            values = np.zeros((1, *x.shape), np.int64)
            rows_last(op, values)[(0,) * (values.ndim - 1)] = reach.inputs(total)
            return Found("", (values,), total)
        if runs.whole:
            unreached += 1
        else:
            unknown = f"output {row}: its weights make none of the sums that differ within one period"
    if unknown:
        return Found(unknown, decided=False)
    rest = (
        f", at {unreached} only such as their weights do not make; all sums were enumerated there" if unreached else ""
    )
    return Found(
        f"at {len(settings) - unreached} of {len(settings)} outputs no sum gives different results{rest}. "
        f"At output 0 {known[settings[0]].proof}"
    )


def _affine(op: Affine, tensors: list[Tensor], a: Contract, b: Contract) -> Found:
    (x,) = tensors
    codes = np.arange(x.number.low, x.number.high + 1)
    for row, setting in enumerate(_settings(op, x, a, b)):
        acc = codes * int(op.weight[row])
        differ = codes[setting.results(a, acc) != setting.results(b, acc)]
        if len(differ):
            values = np.zeros((1, *x.shape), np.int64)
            values[..., row] = min(differ, key=abs)
            return Found("", (values,), int(values.flat[row]) * int(op.weight[row]))
    return Found(f"each of the {len(codes):,} inputs of each of the {len(op.shift)} outputs was computed")


def _add(op: Add, tensors: list[Tensor], a: Contract, b: Contract) -> Found:
    x, r = tensors
    setting = Setting(x.number.low + r.number.low, x.number.high + r.number.high, 0, 0, op.out)
    runs = differing(a.adding, b.adding, setting)
    if runs.nearest is None:
        return Found(runs.proof, decided=runs.decided)
    one = int(np.clip(runs.nearest, x.number.low, x.number.high))
    values = np.full((1, *x.shape), one, np.int64)
    return Found("", (values, np.full_like(values, runs.nearest - one)), runs.nearest)


def _pool(op: Pool, tensors: list[Tensor], a: Contract, b: Contract) -> Found:
    (x,) = tensors
    low, high = (op.tokens * end for end in (x.number.low, x.number.high))
    runs = differing(a.averaging, b.averaging, Setting(low, high, op.tokens.bit_length() - 1, 0, x.number))
    if runs.nearest is None:
        return Found(runs.proof, decided=runs.decided)
    each, more = divmod(runs.nearest, op.tokens)
    values = np.full((1, *x.shape), each, np.int64)
    values[..., :more, :] += 1
    return Found("", (values,), runs.nearest)


def _alike(_op: Operator, _tensors: list[Tensor], _a: Contract, _b: Contract) -> Found:
    return Found("it rounds nothing: it is the same in every contract")


_NOT_TAKEN = NotTaken("because no contract that is compared rounds or limits it otherwise")

SEARCH: OperatorTable[Callable[..., Found]] = OperatorTable(
    "a comparison of contracts",
    {
        Linear: _linear,
        Affine: _affine,
        Relu: _alike,
        Lut: _alike,
        Add: _add,
        Pool: _pool,
        **dict.fromkeys(FEATURE_MAPS, _NOT_TAKEN),
        **dict.fromkeys((Conv, MaxPool, Threshold, Encode, Gate, Concat, *ORDERS, Argmax), _alike),
    },
)
"""From an operator, its inputs' tensors and two contracts: an input on which they differ, or why there is none."""
