"""Widths: the bits of accumulators and memory words that change no value of any image.

An accumulator of W bits computes modulo 2^W. W is enough for a row where every sum that the row can have, cut to W bits
and extended again, is requantised to the same value: decided by a solver for the W given, and refuted for W - 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fxsim.contract import bits_needed
from fxsim.graph import INPUT, Model
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Pool
from fxsim.prove import solver, statement
from fxsim.prove.evidence import Evidence
from fxsim.prove.reach import Reach, reach, unused_entries
from fxsim.prove.solver import Answer, decide, number

_LEAST_BITS = 2
_SUM_W = 40

Row = tuple[int, int, int, int]
"""A row of a sum: its least and greatest value, shift and bias."""


@dataclass(frozen=True)
class AccumulatorWidth:
    """The accumulator of one node. `stated`, `needed`: bits; `rows`: what each row needs alone.

    `least`: whether one bit less is proved to change a value, of some image if `reached`, else of a sum within the
    bounds. `registers`: accumulators that the streaming RTL keeps of it; `saved`: bits of them. `low`, `high`: of
    all rows.
    """

    node: str
    stated: int
    needed: int
    rows: tuple[int, ...]
    low: int
    high: int
    least: bool
    reached: bool
    registers: int
    saved: int
    decided: bool


@dataclass(frozen=True)
class WordWidth:
    """The words of one memory: `tensor` of a node, `words` of `stated` bits, of which `needed` would do."""

    node: str
    tensor: str
    words: int
    unused: int
    stated: int
    needed: int
    saved: int


@dataclass(frozen=True)
class TapRange:
    """A tap's values over all images: by channel the least and greatest; `exact`: whether all in the sets are reached.

    `values`: how many values its channels have, together, of 256 each.
    """

    tap: str
    low: tuple[int, ...]
    high: tuple[int, ...]
    values: int
    exact: bool


@dataclass(frozen=True)
class Widths:
    """The widths of a model: accumulators, words of memories, ranges of taps."""

    accumulators: tuple[AccumulatorWidth, ...]
    words: tuple[WordWidth, ...]
    taps: tuple[TapRange, ...]

    @property
    def decided(self) -> bool:
        """Whether a solver decided everything."""
        return all(row.decided for row in self.accumulators)


def widths(model: Model, evidence: Evidence | None = None, status: Callable[[int, int], None] | None = None) -> Widths:
    """The widths that a model needs, each proved; ModelError where a tensor is not int8."""
    reached = reach(model)
    accumulators, words = [], []
    for done, node in enumerate(model.graph.nodes):
        if status is not None:
            status(done, len(model.graph.nodes))
        op: Any = node.op
        rows, registers = _rows(op, reached[node.name], reached[node.inputs[0]])
        if rows:
            accumulators.append(_width(node.name, op, rows, registers, reached[node.name], evidence))
        words += _words(node.name, op, reached[node.inputs[0]])
    taps = []
    for name in (INPUT, *model.graph.taps):
        low, high = reached[name].channel_range()
        values = int(reached[name].sets.any(axis=0).sum())
        taps.append(TapRange(name, tuple(low.tolist()), tuple(high.tolist()), values, reached[name].exact))
    result = Widths(tuple(accumulators), tuple(words), tuple(taps))
    if evidence is not None:
        evidence.add("widths", result)
    return result


# --- Accumulators ----------------------------------------------------------------------------------------------------


def _rows(op: Any, result: Reach, x: Reach) -> tuple[list[Row], int]:
    """The rows of a node's sum, and how many registers of the streaming RTL hold such a sum."""
    if isinstance(op, Affine):
        least, greatest = _channel_ends(x, len(op.weight))
        ends = [sorted((w * lo, w * hi)) for w, lo, hi in zip(op.weight.tolist(), least, greatest, strict=True)]
        return [(a, b, s, z) for (a, b), s, z in zip(ends, op.shift.tolist(), op.bias.tolist(), strict=True)], 1
    if result.low is None or result.high is None:
        return [], 0
    low, high = result.low, result.high
    if isinstance(op, Linear):
        axis = 1 if op.over is Axis.TOKENS else 0
        lows, highs = low.min(axis=axis).tolist(), high.max(axis=axis).tolist()
        lanes, nodes = op.weight.shape[1], op.weight.shape[1]
        while lanes > 1:
            lanes = -(-lanes // 4)
            nodes += lanes
        return list(zip(lows, highs, op.shift.tolist(), op.bias.tolist(), strict=True)), nodes
    if isinstance(op, Pool):
        shift = op.tokens.bit_length() - 1
        return [(int(low.min()), int(high.max()), shift, 0)], result.sets.shape[1] if shift else 0
    assert isinstance(op, Add)
    return [(int(low.min()), int(high.max()), 0, 0)], 0


def _channel_ends(x: Reach, channels: int) -> tuple[list[int], list[int]]:
    low, high = x.channel_range()
    return np.broadcast_to(low, (channels,)).tolist(), np.broadcast_to(high, (channels,)).tolist()


def row_bits(row: Row) -> int:
    """The fewest bits of an accumulator that change no value of a row; a single value is computed by any."""
    low, high, shift, bias = row
    first, last = statement.requantised(low, shift, bias), statement.requantised(high, shift, bias)
    bits = bits_needed(low, high)
    while bits > _LEAST_BITS:
        # With one bit less, sums from 2^(bits - 2) on lose 2^(bits - 1), those below -2^(bits - 2) gain it: the rule
        # is monotone, so that none changes only if none of all between changes.
        half = 1 << (bits - 2)
        ends = [statement.requantised(v, shift, bias) for v in (min(low, -half), max(high, half - 1))]
        if not ends[0] == ends[1] == first == last:
            break
        bits -= 1
    return bits


def _width(
    name: str, op: Any, rows: list[Row], registers: int, result: Reach, evidence: Evidence | None
) -> AccumulatorWidth:
    alone = tuple(row_bits(row) for row in rows)
    needed = max(alone)
    stated = getattr(op, "acc_bits", 16)
    decided = True
    claim = f"widths, node '{name}': {needed} bits change no value"
    for bits, expected in ((needed, Answer.UNSAT), (needed - 1, Answer.SAT)):
        if bits < _LEAST_BITS:
            continue
        text = width_question(rows, bits)
        answer = decide(text).answer
        decided &= answer is expected
        if answer is expected and evidence is not None:
            less = "" if bits == needed else ", one less does"
            evidence.ask(f"widths-{name}-{bits}", text, expected, claim + less)
    low, high = min(row[0] for row in rows), max(row[1] for row in rows)
    reached = result.ends_exact or (isinstance(op, Affine) and result.exact)
    saved = max(stated - needed, 0) * registers
    return AccumulatorWidth(
        name, stated, needed, alone, low, high, needed > _LEAST_BITS, reached, registers, saved, decided
    )


def width_question(rows: list[Row], bits: int) -> str:
    """SMT-LIB: some sum of some row that an accumulator of `bits` makes another value of."""
    cut = f"((_ sign_extend {_SUM_W - bits}) ((_ extract {bits - 1} 0) sum))"
    cases = []
    for n, (low, high, shift, bias) in enumerate(rows):
        values = [solver.saturated(*solver.requantised(total, _SUM_W, shift, bias)) for total in ("sum", "cut")]
        cases.append(
            f"(and (= row {number(n, 32)}) (bvsge sum {number(low, _SUM_W)}) (bvsle sum {number(high, _SUM_W)})\n"
            f"  (not (= {values[0]} {values[1]})))"
        )
    return "\n".join(
        [
            "(set-logic QF_BV)",
            "(declare-const row (_ BitVec 32))",
            f"(declare-const sum (_ BitVec {_SUM_W}))",
            f"(define-fun cut () (_ BitVec {_SUM_W}) {cut})",
            f"(assert (or false\n{chr(10).join(cases)}))",
            "(check-sat)",
            "",
        ]
    )


# --- Words of memories -----------------------------------------------------------------------------------------------


def _words(name: str, op: Any, x: Reach) -> list[WordWidth]:
    """The words that a node keeps, without those that no value depends on: entries never read, weights of zeros."""
    found = []
    for tensor, array in op.arrays():
        used = np.ones(array.shape, np.bool_)
        if isinstance(op, Lut):
            for c, entries in enumerate(unused_entries(op, x)):
                used[c, entries] = False
        elif tensor == "weight":
            zero = _always_zero(op, x)
            used[..., zero] = False
        values = array[used].astype(np.int64)
        if tensor == "shift":
            needed = max(1, int(values.max()).bit_length())
        else:
            needed = bits_needed(int(values.min()), int(values.max())) if values.size else 1
        stated, unused = 8 * array.dtype.itemsize, int((~used).sum())
        found.append(WordWidth(name, tensor, array.size, unused, stated, needed, array.size * (stated - needed)))
    return found


def _always_zero(op: Any, x: Reach) -> Any:
    """The inputs of a weight's row (its last axis) that are 0 for every image."""
    zero = x.sets[..., 128] & (x.sets.sum(axis=-1) == 1)
    along = zero.all(axis=1) if isinstance(op, Linear) and op.over is Axis.TOKENS else zero.all(axis=0)
    return np.broadcast_to(along, (op.weight.shape[-1],))
