"""Inputs of one operator on which two rules differ: all sums, or all inputs of a value, are computed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from fxsim.contract import Tensor
from fxsim.contract.arithmetic import Int64
from fxsim.explain.contracts.reach import Reach
from fxsim.explain.rules import Rule, compute, requantised, rows_last
from fxsim.operators import (
    FEATURE_MAPS,
    Add,
    Affine,
    Conv,
    Linear,
    Lut,
    MaxPool,
    OperatorTable,
    Pool,
    Relu,
    Threshold,
)

SUMS_MAX = 1 << 25
"""Most sums of an operator that are computed."""
AT_ONCE = 1 << 22
"""Most sums of one output, or inputs of an operator, that are computed at once."""

_ELSEWHERE = ("instead", "weight", "operand", "other", "gather", "arrange", "only")
"""Fields of a rule that change more than what becomes of a sum or of one value."""
_BY_ROW = ("biases", "shift")


@dataclass(frozen=True)
class Solved:
    """One image of each of an operator's inputs, int64, on which two rules differ; None where `why` says there is none.

    `decided`: False where there may be one that was not found.
    """

    values: tuple[Int64, ...] | None
    why: str
    decided: bool = True


def solve(op: Any, tensors: Sequence[Tensor], one: Rule, other: Rule) -> Solved:
    """An input of an operator, of the formats of `tensors`, on which two rules differ, or why there is none."""
    if any(getattr(rule, name) is not None for rule in (one, other) for name in _ELSEWHERE):
        return Solved(None, "the rules change more than what becomes of a sum", decided=False)
    return SOLVE[type(op)](op, tensors, one, other)


def _linear(op: Linear, tensors: Sequence[Tensor], one: Rule, other: Rule) -> Solved:
    (x,) = tensors
    low, high = op.accumulator_range(x)
    tried, unreached, skipped = 0, 0, 0
    for row in range(len(op.shift)):
        count = int(high[row] - low[row]) + 1
        tried += count
        if tried > SUMS_MAX or count > AT_ONCE:
            skipped += len(op.shift) - row
            break
        sums = np.arange(low[row], high[row] + 1)
        part: Any = replace(
            op, weight=op.weight[row : row + 1], bias=op.bias[row : row + 1], shift=op.shift[row : row + 1]
        )
        results = [requantised(part, sums[:, None], _of_row(rule, row))[:, 0] for rule in (one, other)]
        differ = sums[results[0] != results[1]]
        if not len(differ):
            continue
        reach = Reach(op.weight[row], x.number)
        total = None if reach.too_many else reach.first(_runs(differ))
        if total is not None:
            values = np.zeros((1, *x.shape), np.int64)
            rows_last(op, values)[(0,) * (values.ndim - 1)] = reach.inputs(total)
            return Solved((values,), f"a sum of {total}")
        skipped += reach.too_many
        unreached += not reach.too_many
    if skipped:
        return Solved(None, f"{skipped} of {len(op.shift)} outputs have more sums than are computed", decided=False)
    rest = f", but for sums at {unreached} that their weights do not make" if unreached else ""
    return Solved(None, f"all {tried:,} sums of {len(op.shift)} outputs were computed{rest}")


def _runs(sums: Int64) -> list[tuple[int, int]]:
    """Runs of sums in a row, those nearest to zero first."""
    ends = np.flatnonzero(np.diff(sums) > 1)
    starts, stops = sums[np.append(0, ends + 1)], sums[np.append(ends, len(sums) - 1)]
    return sorted(((int(a), int(b)) for a, b in zip(starts, stops, strict=True)), key=lambda run: max(run[0], -run[1]))


def _of_row(rule: Rule, row: int) -> Rule:
    """A rule of one output of an operator."""
    by_row = {f.name: getattr(rule, f.name) for f in fields(rule) if f.name in _BY_ROW}
    return replace(rule, **{name: v[row : row + 1] for name, v in by_row.items() if v is not None and np.ndim(v)})


def _codes(tensor: Tensor) -> Int64:
    return np.arange(tensor.number.low, tensor.number.high + 1)


def _by_channel(op: Affine | Lut | Relu, tensors: Sequence[Tensor], one: Rule, other: Rule) -> Solved:
    (x,) = tensors
    codes, channels = _codes(x), x.shape[-1]
    if codes.size * channels > AT_ONCE:
        return Solved(None, f"more than {AT_ONCE:,} inputs", decided=False)
    every = np.broadcast_to(codes[:, None], (codes.size, channels))
    differ = np.argwhere(compute(op, one, every) != compute(op, other, every))
    if not len(differ):
        return Solved(None, f"each of the {codes.size:,} inputs of each of {channels} channels was computed")
    code, channel = min(differ, key=lambda at: abs(codes[at[0]]))
    values = np.zeros((1, *x.shape), np.int64)
    values[..., channel] = codes[code]
    return Solved((values,), f"an input of {codes[code]}")


def _add(op: Add, tensors: Sequence[Tensor], one: Rule, other: Rule) -> Solved:
    x, r = tensors
    codes = _codes(x), _codes(r)
    if codes[0].size * codes[1].size > AT_ONCE:
        return Solved(None, f"more than {AT_ONCE:,} inputs", decided=False)
    pairs = np.stack(np.meshgrid(*codes, indexing="ij"), axis=-1).reshape(-1, 2)
    differ = np.flatnonzero(compute(op, one, pairs[:, 0], pairs[:, 1]) != compute(op, other, pairs[:, 0], pairs[:, 1]))
    if not len(differ):
        return Solved(None, f"each of the {len(pairs):,} pairs of inputs was computed")
    pair = pairs[differ[np.abs(pairs[differ]).sum(axis=1).argmin()]]
    return Solved(tuple(np.full((1, *x.shape), v, np.int64) for v in pair), f"a sum of {pair.sum()}")


def _pool(op: Pool, tensors: Sequence[Tensor], one: Rule, other: Rule) -> Solved:
    (x,) = tensors
    sums = np.arange(op.tokens * x.number.low, op.tokens * x.number.high + 1)
    if sums.size * op.tokens > AT_ONCE:
        return Solved(None, f"more than {AT_ONCE:,} inputs", decided=False)
    every = (sums // op.tokens)[:, None] + (np.arange(op.tokens) < (sums % op.tokens)[:, None])
    differ = np.flatnonzero(compute(op, one, every[..., None])[:, 0] != compute(op, other, every[..., None])[:, 0])
    if not len(differ):
        return Solved(None, f"each of the {sums.size:,} sums was computed")
    at = min(differ, key=lambda i: abs(sums[i]))
    values = np.broadcast_to(every[at][:, None], (1, *x.shape)).astype(np.int64)
    return Solved((values,), f"a sum of {sums[at]}")


def _unsolved(*_: object) -> Solved:
    return Solved(None, "nothing is solved for such an operator", decided=False)


SOLVE: OperatorTable[Callable[..., Solved]] = OperatorTable(
    "a solver for inputs that tell apart",
    {
        Linear: _linear,
        Affine: _by_channel,
        Relu: _by_channel,
        Lut: _by_channel,
        Add: _add,
        Pool: _pool,
        **dict.fromkeys((Conv, MaxPool, Threshold, *FEATURE_MAPS), _unsolved),
    },
)
"""From an operator, its inputs' tensors and two rules: `solve`, of what becomes of sums and of single values."""
