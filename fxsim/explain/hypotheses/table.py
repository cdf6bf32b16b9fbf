"""Learnt functions as tables: what may go wrong between an input's code and its value."""

from collections.abc import Iterator
from dataclasses import replace
from math import log2

import numpy as np

from fxsim.contract import TableRule, stored_points
from fxsim.contract.arithmetic import Int64
from fxsim.explain.case import Case, Change
from fxsim.explain.rules import CONTRACT, Rounding, compute
from fxsim.operators import Lut

CHANNELS_MAX = 8
ENTRIES_MAX = 2
"""Most entries of a channel's table that are taken for corrupted; were there more, any function would fit."""
_CODES_TRIED = 256


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
        yield from _behind(case)
        yield from _endpoint(case)


def _behind(case: Case) -> Iterator[Change]:
    """Rows read past their end, with a value behind the last that is found from what came."""
    op = case.op
    if case.alone:
        fits = _ends(case, op.table.shape[0] - 1)
        if len(fits) and 0 not in fits:
            parameters = {"behind": int(fits[0])} | ({"others_fit": True} if len(fits) > 1 else {})
            yield Change("lut_overrun", {"overrun": True, "behind": int(fits[0])}, parameters, float(op.out.bits))


def _ends(case: Case, channel: int) -> Int64:
    """Values of a point behind a channel's last that make all that came of its last segment."""
    op = case.op
    bits = op.number.bits - (op.points.bit_length() - 1)
    values = np.arange(op.out.low, op.out.high + 1)
    code = case.inputs[0][..., channel].reshape(-1) - op.number.low
    here = code >> bits == op.points - 1
    got, last = case.got[..., channel].reshape(-1)[here], int(op.table[channel, -1])
    part = (code[here] & ((1 << bits) - 1))[:, None]
    made = last + ((((values[None, :] - last) * part * 2 >> bits) + 1) >> 1)
    fits: Int64 = values[(made == got[:, None]).all(axis=0)]
    return fits


def _endpoint(case: Case) -> Iterator[Change]:
    """A point behind the last, of some value in each channel."""
    op, points, others = case.op, [], False
    if not case.alone:
        return
    for channel in range(op.table.shape[0]):
        fits = _ends(case, channel)
        if not len(fits):
            return
        others |= len(fits) > 1
        last = int(op.table[channel, -1])
        points.append(last if last in fits else int(fits[0]))
    table = np.concatenate([op.table, np.array(points)[:, None]], axis=1).astype(np.int64)
    moved = int(np.count_nonzero(np.array(points) != op.table[:, -1]))
    if moved:  # else it is `hold`
        parameters = {"points": points} | ({"others_fit": True} if others else {})
        yield Change("lut_edge_endpoint", {"edge": TableRule.ENDPOINT, "table": table}, parameters, 8.0 * moved)


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
    table, found, others = op.table.astype(np.int64), [], False
    for channel in channels:
        fitted = _entries_that_fit(case, int(channel), table)
        if fitted is None:
            return
        entries, more = fitted
        others |= more
        for entry, value in entries.items():
            stated = int(table[channel, entry])
            found.append({"channel": int(channel), "entry": entry, "value": value, "stated": stated})
        for entry, value in entries.items():
            table[channel, entry] = value
    freedom = len(found) * (op.out.bits + log2(table.size))
    parameters = {"entries": found} | ({"others_fit": True} if others else {})
    yield Change("lut_corrupted", {"table": table}, parameters, freedom)


def _entries_that_fit(case: Case, channel: int, table: Int64) -> tuple[dict[int, int], bool] | None:
    """New values of at most `ENTRIES_MAX` entries that make a channel what it is, and whether others would, too."""
    op: Lut = case.op
    x = case.inputs[0].reshape(-1, table.shape[0])[:, channel]
    got = case.got.reshape(-1, table.shape[0])[:, channel]
    row = table[channel : channel + 1].copy()
    one = replace_rows(op, row)
    changed: dict[int, int] = {}
    others = False
    while True:
        wrong = _row_values(one, row, x) != got
        if not wrong.any():
            return changed, others
        if len(changed) == ENTRIES_MAX:
            return None
        best = _best_entry(one, row, x, got, int(wrong.sum()))
        if best is None or best[0] in changed:
            return None
        entry, value, more = best
        others |= more
        changed[entry] = value
        row[0, entry] = value


def _best_entry(op: Lut, row: Int64, x: Int64, got: Int64, wrong: int) -> tuple[int, int, bool] | None:
    """The entry and its value that leave fewest values wrong, and whether others leave as few.

    None where none leaves fewer than now, and where more segments are wrong than the entries that may be can make so.
    """
    shift = op.number.bits - (op.points.bit_length() - 1) if op.rule is not TableRule.FULL else 0
    differing = _row_values(op, row, x) != got
    codes = x - op.number.low
    segments = np.unique(codes[differing] >> shift)
    if len(segments) > 2 * ENTRIES_MAX:
        return None
    entries = np.unique(np.concatenate([segments, segments + 1]))
    best, left, others = None, wrong, False
    for entry in entries[entries < row.shape[1]]:
        for value in _values_of(op, got[codes == entry << shift]):
            tried = row.copy()
            tried[0, entry] = value
            count = int(np.count_nonzero(_row_values(op, tried, x) != got))
            others = count == left if count <= left else others
            if count < left:
                best, left, others = (int(entry), int(value)), count, False
    return None if best is None else (*best, others)


def _values_of(op: Lut, there: Int64) -> Int64:
    """Values that an entry may have: all of up to 8 bits, of more those that came where its input is its very own."""
    return np.arange(op.out.low, op.out.high + 1) if op.out.codes <= _CODES_TRIED else np.unique(there)


def replace_rows(op: Lut, row: Int64) -> Lut:
    """The operator with one row for its table."""
    return replace(op, table=row.astype(op.table.dtype))


def _row_values(op: Lut, row: Int64, x: Int64) -> Int64:
    values = compute(op, replace(CONTRACT, table=row), x[:, None])
    flat: Int64 = values[:, 0]
    return flat


HYPOTHESES = (rounding, interpolation, edge, index, resampled, corrupted)
"""The simplest first."""
