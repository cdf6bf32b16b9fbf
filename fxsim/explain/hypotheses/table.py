"""Learnt functions as tables: what may go wrong between an input's code and its value."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import log2
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract import TableRule, stored_points
from fxsim.contract.arithmetic import Int64
from fxsim.explain.case import Case, Change
from fxsim.explain.rules import CONTRACT, Rounding, Rule, compute
from fxsim.operators import Lut

CHANNELS_MAX = 8
ENTRIES_MAX = 2
"""Most entries of a channel's table that are taken for corrupted; were there more, any function would fit."""
_CODES_TRIED = 256
_FEW = 8


def rounding(case: Case) -> Iterator[Change]:
    """Other roundings inside the interpolation."""
    if case.op.rule is not TableRule.FULL:
        for other in Rounding:
            if other is not CONTRACT.rounding:
                yield Change(f"rounding_{other}", {"rounding": other})


def interpolation(case: Case) -> Iterator[Change]:
    """No interpolation, another segment, another fraction."""
    op = case.op
    if op.rule is TableRule.FULL:
        return
    yield Change("lut_no_interpolation", {"interpolate": False})
    yield Change("lut_segment_plus_one", {"segment": 1})
    yield Change("lut_segment_minus_one", {"segment": -1})
    yield Change("lut_fraction_signed", {"fraction_signed": True})
    # It may leave the format, whose bits are then what is left of it.
    yield Change("lut_fraction_signed", {"fraction_signed": True, "overflow": "wrap"}, {"result": "wraps"})
    bits = op.number.bits - (op.points.bit_length() - 1)
    for width in range(bits - 1, 0, -1):
        yield Change("lut_fraction_width", {"fraction_bits": width}, {"bits": width, "stated": bits}, 2)


def edge(case: Case) -> Iterator[Change]:
    """Other rules of the last segment."""
    op = case.op
    if op.rule is TableRule.FULL:
        return
    for rule in (TableRule.CLAMP, TableRule.HOLD):
        if rule is not op.rule:
            table = op.table[:, : op.points].astype(np.int64)
            yield Change(f"lut_edge_{rule}", {"edge": rule, "table": table})
    if op.rule is not TableRule.ENDPOINT:
        yield Change("lut_overrun", {"overrun": True})


def end(case: Case) -> Iterator[Change]:
    """A point behind the last that is found from what came: one in each channel, or behind the last row of all."""
    op, rule = case.op, case.rule
    stated = op.rule if rule.edge is None else rule.edge
    if not case.alone or stated in (TableRule.FULL, TableRule.ENDPOINT) or rule.overrun or not case.wrong.any():
        return
    table = _table(case)
    behind = _ends(case, table, len(table) - 1)
    if len(behind) and 0 not in behind:
        parameters: dict[str, Any] = {"behind": int(behind[0])} | ({"others_fit": True} if len(behind) > 1 else {})
        fields = {"overrun": True, "behind": int(behind[0])}
        yield Change("lut_overrun", fields, parameters, float(op.out.bits))
    points, others = [], False
    for channel in range(len(table)):
        fits = _ends(case, table, channel)
        if not len(fits):
            return
        others |= len(fits) > 1
        last = int(table[channel, -1])
        points.append(last if last in fits else int(fits[0]))
    moved = int(np.count_nonzero(np.array(points) != table[:, -1]))
    if moved:  # else it is `hold`
        whole = np.concatenate([table, np.array(points)[:, None]], axis=1)
        parameters = {"points": points} | ({"others_fit": True} if others else {})
        yield Change("lut_edge_endpoint", {"edge": TableRule.ENDPOINT, "table": whole}, parameters, 8.0 * moved)


def _table(case: Case) -> Int64:
    """The table, as far as it is taken for granted."""
    whole: Int64 = (case.op.table if case.rule.table is None else case.rule.table).astype(np.int64)
    return whole


def _ends(case: Case, table: Int64, channel: int) -> Int64:
    """Values of a point behind a channel's last that make all that came of its last segment."""
    op = case.op
    values = np.arange(op.out.low, op.out.high + 1)
    x, got = (a[..., channel].reshape(-1) for a in (case.inputs[0], case.got))
    offset = -op.number.low if case.rule.index_offset is None else case.rule.index_offset
    segment = ((x + offset) & (op.number.codes - 1)) >> op.number.bits - (table.shape[1].bit_length() - 1)
    here = segment + case.rule.segment >= table.shape[1] - 1
    rows = np.concatenate([np.repeat(table[channel : channel + 1], len(values), axis=0), values[:, None]], axis=1)
    left = np.arange(len(values))
    rule = replace(case.rule, edge=TableRule.ENDPOINT, overrun=False)
    # A few inputs leave next to none of all values.
    for part in (slice(0, _FEW), slice(_FEW, None)):
        some, came = x[here][part], got[here][part]
        if len(some) and len(left):
            made = compute(op, replace(rule, table=rows[left]), np.repeat(some[:, None], len(left), axis=1))
            left = left[(made == came[:, None]).all(axis=0)]
    fits: Int64 = values[left]
    return fits


def index(case: Case) -> Iterator[Change]:
    """Another number added to a value before it is an index."""
    low = -case.op.number.low
    for offset in dict.fromkeys((0, low - 1, low + 1)):
        if offset != low:
            yield Change("lut_index_offset", {"index_offset": offset}, {"offset": offset, "stated": low}, 2)


def resampled(case: Case) -> Iterator[Change]:
    """A full table read as points taken from it."""
    op = case.op
    if op.rule is not TableRule.FULL:
        return
    full = op.table.astype(np.int64)
    for rule in (TableRule.CLAMP, TableRule.HOLD, TableRule.ENDPOINT):
        for log_points in range(2, op.number.bits):
            step = op.number.codes >> log_points
            table = full[:, ::step]
            if rule is TableRule.ENDPOINT:
                table = np.concatenate([table, full[:, -1:]], axis=1)
            assert table.shape[1] == stored_points(1 << log_points, rule)
            fields = {"edge": rule, "table": table}
            yield Change("lut_resampled", fields, {"points": 1 << log_points, "rule": str(rule)}, log2(24))


def corrupted(case: Case) -> Iterator[Change]:
    """A few entries of some channels' tables, found from what came."""
    op: Lut = case.op
    wrong = case.wrong.reshape(-1, case.wrong.shape[-1])
    channels = np.flatnonzero(wrong.any(axis=0))
    if not case.alone or not 0 < len(channels) <= CHANNELS_MAX:
        return
    table, found, others = _table(case), [], False
    for channel in channels:
        fitted = _entries_that_fit(case, int(channel), table)
        if fitted is None:
            continue
        entries, more = fitted
        others |= more
        for entry, value in entries.items():
            stated = int(table[channel, entry])
            found.append({"channel": int(channel), "entry": entry, "value": value, "stated": stated})
        for entry, value in entries.items():
            table[channel, entry] = value
    if found:
        freedom = len(found) * (op.out.bits + log2(table.size))
        parameters = {"entries": found} | ({"others_fit": True} if others else {})
        yield Change("lut_corrupted", {"table": table}, parameters, freedom)


@dataclass(frozen=True)
class _Curve:
    """A channel of a table by what was seen of it: the inputs that came, and the result of each.

    `rule`: what is taken for granted; `following`: the next channel's row, which may be read past this one's end.
    """

    op: Lut
    rule: Rule
    x: Int64
    got: Int64
    following: Int64

    def values(self, rows: Int64) -> Int64:
        """Results [input, row] of the inputs by each of some rows [row, entry] in place of the channel's."""
        pairs = np.stack([rows, np.broadcast_to(self.following, rows.shape)], axis=1).reshape(-1, rows.shape[1])
        made = compute(self.op, replace(self.rule, table=pairs), np.repeat(self.x[:, None], len(pairs), axis=1))
        every: Int64 = made[:, ::2]
        return every

    def wrong(self, row: Int64) -> npt.NDArray[np.bool_]:
        """Mask of the inputs of which a row makes anything else."""
        mask: npt.NDArray[np.bool_] = self.values(row[None])[:, 0] != self.got
        return mask

    def entries(self, inputs: Int64, stored: int) -> Int64:
        """Entries of a row that results of some inputs may be made of."""
        op, rule = self.op, self.rule
        edge = op.rule if rule.edge is None else rule.edge
        offset = -op.number.low if rule.index_offset is None else rule.index_offset
        code = (inputs + offset) & (op.number.codes - 1)
        if edge is TableRule.FULL:
            return np.unique(code)
        points = stored - (edge is TableRule.ENDPOINT)
        segment = (code >> op.number.bits - (points.bit_length() - 1)) + rule.segment
        if edge is TableRule.CLAMP and not rule.overrun:
            segment = np.minimum(segment, points - 2)
        segment = np.unique(np.clip(segment, 0, stored - 1))
        if len(segment) > 2 * ENTRIES_MAX:
            return segment[:0]
        return np.unique(np.minimum(np.concatenate([segment, segment + 1]), stored - 1))


def _curve(case: Case, channel: int, table: Int64) -> _Curve | None:
    """A channel's curve; None where an input came with two results, which no table makes."""
    x = case.inputs[0].reshape(-1, table.shape[0])[:, channel]
    got = case.got.reshape(-1, table.shape[0])[:, channel]
    inputs, first, places = np.unique(x, return_index=True, return_inverse=True)
    if not np.array_equal(got[first][places.ravel()], got):
        return None
    last = channel + 1 == len(table)
    following = np.full(table.shape[1], case.rule.behind, np.int64) if last else table[channel + 1]
    return _Curve(case.op, case.rule, inputs, got[first], following)


def _entries_that_fit(case: Case, channel: int, table: Int64) -> tuple[dict[int, int], bool] | None:
    """New values of at most `ENTRIES_MAX` entries that make a channel what it is, and whether others would, too."""
    curve = _curve(case, channel, table)
    if curve is None:
        return None
    row = table[channel].copy()
    changed: dict[int, int] = {}
    others = False
    while (wrong := curve.wrong(row)).any():
        best = None if len(changed) == ENTRIES_MAX else _best_entry(curve, row, wrong)
        if best is None or best[0] in changed:
            return None
        entry, value, more = best
        others |= more
        changed[entry] = value
        row[entry] = value
    return changed, others


def _best_entry(curve: _Curve, row: Int64, wrong: npt.NDArray[np.bool_]) -> tuple[int, int, bool] | None:
    """The entry and its value that leave fewest inputs wrong, and whether others leave as few.

    None where none leaves fewer than now, and where more segments are wrong than the entries that may be can make so.
    """
    best, left, others = None, int(wrong.sum()), False
    for entry in curve.entries(curve.x[wrong], len(row)):
        values = _values_of(curve.op, curve.got[wrong])
        tried = np.repeat(row[None], len(values), axis=0)
        tried[:, entry] = values
        counts = np.count_nonzero(curve.values(tried) != curve.got[:, None], axis=0)
        least = int(counts.min())
        if least < left:
            nearest = np.flatnonzero(counts == least)
            best, left = (int(entry), int(values[nearest[0]])), least
            others = len(nearest) > 1
        elif best is not None and least == left:
            others = True
    return None if best is None else (*best, others)


def _values_of(op: Lut, there: Int64) -> Int64:
    """Values that an entry may have: all of up to 8 bits, of more those that came."""
    return np.arange(op.out.low, op.out.high + 1) if op.out.codes <= _CODES_TRIED else np.unique(there)


FITTED = (end, corrupted)
"""Hypotheses that find their parameters in the trace, also beside a change that is taken for granted."""
HYPOTHESES = (rounding, interpolation, edge, index, resampled, *FITTED)
"""The simplest first."""
