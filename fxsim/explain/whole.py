"""Whole traces under one named contract: which of them make every value of every tap."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Int64
from fxsim.errors import ModelError
from fxsim.explain.contracts import CONTRACTS, Contract
from fxsim.explain.locate import Located
from fxsim.explain.rules import CONTRACT, compute, rows_last, sums
from fxsim.graph import Node
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

Images = npt.NDArray[np.int64]


def _requantised(op: Linear | Affine, contract: Contract, x: Int64) -> Int64:
    acc = sums(op, rows_last(op, x))
    flat = acc.reshape(-1, acc.shape[-1])
    for row in zip(flat.min(axis=0), flat.max(axis=0), op.shift, op.bias, strict=True):
        contract.check(*(int(v) for v in row))
    return rows_last(op, contract.requantise(acc, op.shift, op.bias, op.out))


def _added(op: Add, contract: Contract, x: Int64, r: Int64) -> Int64:
    return contract.adding.requantise(x + r, 0, 0, op.out)


def _mean(op: Pool, contract: Contract, x: Int64) -> Int64:
    total = x.sum(axis=-2)
    return contract.averaging.unlimited(total, op.tokens.bit_length() - 1, 0)


def _same(op: Operator, _contract: Contract, *inputs: Int64) -> Int64:
    return compute(op, CONTRACT, *inputs)


_NOT_TAKEN = NotTaken("because no named contract has it")

APPLY: OperatorTable[Callable[..., Int64]] = OperatorTable(
    "a named contract",
    {
        Linear: _requantised,
        Affine: _requantised,
        Relu: _same,
        Lut: _same,
        Add: _added,
        Pool: _mean,
        **dict.fromkeys(FEATURE_MAPS, _NOT_TAKEN),
        **dict.fromkeys((Conv, MaxPool, Threshold, Encode, Gate, Concat, *ORDERS, Argmax), _same),
    },
)
"""From an operator, a contract and its inputs' values, int64 [image, ...] each: its result; ModelError where the
contract cannot take it. What rounds nothing, as rectifiers and tables, is everybody's alike."""


def reproducing(located: Located) -> tuple[str, ...]:
    """Names of the contracts under which every tap of a trace is what its own inputs make.

    None where it has unknown bits, or taps behind what is no value: nothing can be said to make these.
    """
    taps = [state.tap for state in located.states]
    chains = {tap: located.chain(tap) for tap in taps}
    read = {name for chain in chains.values() for node in chain for name in node.inputs}
    shown = {name: values for name in read if (values := located.inputs(name)) is not None}
    if shown.keys() != read or any(mask.any() for mask in located.unknown.values()):
        return ()
    # Most fail on the images where the first differences are.
    first = np.unique([state.first.image for state in located.states if state.first is not None] or [0])
    alive: Iterable[Contract] = {contract.arithmetic: contract for contract in CONTRACTS.values()}.values()
    for images in (first, np.arange(len(located.x))):
        for tap in taps:
            given = {name: shown[name][images] for node in chains[tap] for name in node.inputs}
            got = located.got[tap][images]
            alive = [contract for contract in alive if _makes(contract, chains[tap], given, got)]
    left = {contract.arithmetic for contract in alive}
    return tuple(name for name, contract in CONTRACTS.items() if contract.arithmetic in left)


def _makes(contract: Contract, chain: tuple[Node, ...], given: Mapping[str, Int64], got: Int64) -> bool:
    """Whether the last of a chain of nodes has these values."""
    made: dict[str, Any] = {}
    try:
        for node in chain:
            inputs = (made[name] if name in made else given[name] for name in node.inputs)
            made[node.name] = APPLY[type(node.op)](node.op, contract, *inputs)
    except ModelError:
        return False
    return np.array_equal(made[chain[-1].name], got)
