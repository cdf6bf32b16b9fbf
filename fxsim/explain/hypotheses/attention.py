"""Products of two tensors and tables of places: heads, the second tensor's axes, sums that wrap, tables not used."""

from collections.abc import Callable, Iterator
from functools import partial
from math import prod

import numpy as np

from fxsim import contract
from fxsim.contract import Number
from fxsim.contract.arithmetic import Int64
from fxsim.contract.number import INT32
from fxsim.explain.case import Case, Change
from fxsim.explain.rules import wrapped
from fxsim.operators import Matmul, Position


def heads_interleaved(case: Case) -> Iterator[Change]:
    """Channels of the heads beside each other in the first tensor, and in the second."""
    op: Matmul = case.op
    if op.heads > 1 and op.terms > 1:
        for which in ("both", "first", "second"):
            yield Change("heads_interleaved", {"instead": partial(_interleaved, op, which)}, {"tensor": which}, 2.0)


def _interleaved(op: Matmul, which: str, x: Int64, r: Int64) -> Int64:
    if which in ("both", "first"):
        x = _apart(x, op.heads)
    if which in ("both", "second"):
        r = _apart(r, op.heads)
    return contract.matmul(x, r, op.heads, op.transposed, INT32).astype(np.int64)


def _apart(x: Int64, heads: int) -> Int64:
    """Channel c of head h from place c * heads + h."""
    return np.ascontiguousarray(x.reshape(*x.shape[:-1], -1, heads).swapaxes(-1, -2)).reshape(x.shape)


def second_transposed(case: Case) -> Iterator[Change]:
    """The second tensor's rows read as its columns, head by head: only where a head is square."""
    op: Matmul = case.op
    other = case.tensors[case.node.inputs[1]]
    if prod(other.shape[:-1]) * op.heads == other.shape[-1] and op.terms * op.heads == other.shape[-1] > op.heads:
        yield Change("second_transposed", {"instead": partial(_turned, op)})


def _turned(op: Matmul, x: Int64, r: Int64) -> Int64:
    return contract.matmul(x, r, op.heads, not op.transposed, INT32).astype(np.int64)


def sum_wraps(case: Case) -> Iterator[Change]:
    """A sum of fewer bits than it needs."""
    op: Matmul = case.op
    for bits in range(op.out.bits - 1, max(1, op.out.bits - 9), -1):
        yield Change("accumulator_width", {"instead": partial(_wrapped, op, bits)}, {"bits": bits}, 3.0)


def _wrapped(op: Matmul, bits: int, x: Int64, r: Int64) -> Int64:
    return wrapped(contract.matmul(x, r, op.heads, op.transposed, INT32).astype(np.int64), Number(bits))


def tables(case: Case) -> Iterator[Change]:
    """A table of places that is not added, is taken away, or has rows for columns."""
    op: Position = case.op
    shape = case.tensors[case.node.name].shape
    yield Change("table_missing", {"instead": partial(_moved, np.zeros_like(op.table))})
    yield Change("table_negated", {"instead": partial(_moved, -op.table.astype(np.int64))})
    if len(shape) == 3 and min(shape[:2]) > 1:
        columns_first = op.table.reshape(shape[1], shape[0], shape[2]).swapaxes(0, 1).reshape(op.table.shape)
        yield Change("table_transposed", {"instead": partial(_moved, columns_first)})


def _moved(table: Int64, x: Int64) -> Int64:
    return contract.position(x, table, INT32).astype(np.int64)


Hypotheses = tuple[Callable[[Case], Iterator[Change]], ...]

MATMUL: Hypotheses = (heads_interleaved, second_transposed, sum_wraps)
POSITION: Hypotheses = (tables,)
