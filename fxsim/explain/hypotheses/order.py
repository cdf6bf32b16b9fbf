"""Values in another order, late, or of unknown bits: what may go wrong around any operator."""

from collections.abc import Callable, Iterator
from functools import partial
from math import e, log2

import numpy as np
import numpy.typing as npt

from fxsim.contract import CHANNEL, TOKEN
from fxsim.contract.arithmetic import Int64
from fxsim.explain.case import Case, Change

_LANES = (2, 4, 8, 16, 32)
_FEW = 3
_COMPARED = 256
"""Values of each channel or token by which one is told to be most like another."""

Index = npt.NDArray[np.int64]


def _take(index: Index, axis: int, values: Int64) -> Int64:
    moved: Int64 = np.take(values, index, axis=axis)
    return moved


def _axes(case: Case, tensor: str) -> Iterator[tuple[str, int, int]]:
    """Plural, axis counted from the end, and length of the axes that may be disordered."""
    of = case.tensors[tensor]
    for name in (CHANNEL, TOKEN):
        axis = of.axis(name)
        if axis is not None and of.shape[axis] > 1:
            yield f"{name}s", axis - len(of.shape), of.shape[axis]


def permuted(case: Case) -> Iterator[Change]:
    """A result's channels or tokens shifted, reversed, in tiles or in lanes."""
    for words, axis, size in _axes(case, case.node.name):
        for label, parameters, index in _orders(words, size):
            yield Change(label, {"arrange": partial(_take, index, axis)}, parameters | {"of": "result"}, log2(2 * size))
    yield from _operand_orders(case)


def _operand_orders(case: Case) -> Iterator[Change]:
    for words, axis, size in _axes(case, case.node.inputs[0]):
        for label, parameters, index in _orders(words, size):
            yield Change(label, {"gather": partial(_take, index, axis)}, parameters | {"of": "operand"}, log2(2 * size))


def _orders(words: str, size: int) -> Iterator[tuple[str, dict[str, object], Index]]:
    every = np.arange(size)
    for by in range(1, size):
        yield f"{words}_shifted", {"by": by}, (every - by) % size
    yield f"{words}_reversed", {}, every[::-1]
    for rows in range(2, size // 2 + 1):
        if size % rows == 0:
            yield "tile_order", {"axis": words, "tile": rows}, every.reshape(rows, -1).T.ravel()
    for lanes in _LANES:
        if size % lanes == 0 and lanes < size:
            yield "lane_swapped", {"axis": words, "lanes": lanes}, every.reshape(-1, lanes)[:, ::-1].ravel()


def written(case: Case) -> Iterator[Change]:
    """Bits of -1 and 1 written as 0 and 1."""
    if case.alone and case.tensors[case.tap].number.bipolar:
        yield Change("bipolar_as_bits", {"arrange": _as_bits})


def _as_bits(values: Int64) -> Int64:
    bits: Int64 = (values + 1) >> 1
    return bits


def ordered(case: Case) -> Iterator[Change]:
    """A result in another order beside what is taken for granted, which makes the same values elsewhere."""
    if not case.alone or case.beside_another is None or not _same_values(case):
        return
    for words, axis, size in _axes(case, case.tap):
        for label, parameters, index in _orders(words, size):
            if np.array_equal(np.take(case.again, index, axis=axis), case.got):
                fields = {"arrange": partial(_take, index, axis)}
                yield Change(label, fields, parameters | {"of": "result"}, log2(2 * size))


def reordered(case: Case) -> Iterator[Change]:
    """An operand in another order once more, beside one that is: transposed, or what was transposed in any order."""
    first = case.beside_another
    if first is None or not case.alone or "gather" not in first.fields or not case.wrong.any():
        return
    if first.label != "operand_transposed":
        yield from transposed(case)
    else:
        yield from _operand_orders(case)


def _same_values(case: Case) -> bool:
    """Whether the first image has the same values, whatever their places."""
    return bool(case.wrong.any()) and np.array_equal(np.sort(case.got[0], axis=None), np.sort(case.again[0], axis=None))


def swapped(case: Case) -> Iterator[Change]:
    """A few channels or tokens of a result in each other's places: each is most like another's."""
    if not case.alone or not case.wrong.any():
        return
    for words, axis, size in _axes(case, case.tap):
        got, again = (np.moveaxis(a, axis, -1).reshape(-1, size)[:_COMPARED] for a in (case.got, case.again))
        like = np.array([np.count_nonzero(got[:, place, None] == again, axis=0) for place in range(size)])
        own, best = np.diagonal(like), like.argmax(axis=1)
        moved = [int(place) for place in np.flatnonzero(like.max(axis=1) > own)]
        pairs = sorted({(min(place, int(best[place])), max(place, int(best[place]))) for place in moved})
        places = [place for pair in pairs for place in pair]
        if not pairs or len(pairs) > _FEW or len(set(places)) < len(places):
            continue
        index = np.arange(size)
        for one, other in pairs:
            index[one], index[other] = other, one
        parameters = {words: [list(pair) for pair in pairs] if len(pairs) > 1 else list(pairs[0])}
        arrange = partial(_take, index, axis)
        yield Change(f"{words}_swapped", {"arrange": arrange}, parameters, len(places) * log2(size))


def transposed(case: Case) -> Iterator[Change]:
    """An operand read column by column from where it was written row by row, or the other way."""
    x = case.inputs[0]
    if x.ndim == 3 and min(x.shape[1:]) > 1:
        yield Change("operand_transposed", {"gather": _by_rows}, {"read": "by rows"})
        if x.shape[1] != x.shape[2]:
            yield Change("operand_transposed", {"gather": _by_columns}, {"read": "by columns"})


def _by_rows(x: Int64) -> Int64:
    return x.reshape(len(x), x.shape[2], x.shape[1]).swapaxes(1, 2)


def _by_columns(x: Int64) -> Int64:
    return x.swapaxes(1, 2).reshape(x.shape)


def stale(case: Case) -> Iterator[Change]:
    """Values that stand where the next one should: of the previous image, token or channel."""
    wrong, count = case.wrong, int(case.wrong.sum())
    if not case.alone or not count:
        return
    for word, previous in _previous(case):
        if np.array_equal(previous[wrong], case.got[wrong]):
            late = partial(_where, wrong, previous)
            freedom = count * log2(e * wrong.size / count)
            yield Change("stale_value", {"arrange": late}, {"previous": word, "values": count}, freedom, whole=True)


def _where(mask: npt.NDArray[np.bool_], other: Int64, values: Int64) -> Int64:
    return np.where(mask, other, values)


def _previous(case: Case) -> Iterator[tuple[str, Int64]]:
    """The values that stood before each; where nothing did, what no value is."""
    again, none = case.again, np.iinfo(np.int64).min
    tensor = case.tensors[case.tap]
    before = np.full_like(again, none)
    before[1:] = again[:-1]
    yield "image", before
    if tensor.axis(TOKEN) is not None:
        # Tokens follow one another through the images.
        flat = again.reshape(-1, again.shape[-1])
        before = np.full_like(flat, none)
        before[1:] = flat[:-1]
        yield "token", before.reshape(again.shape)
    values = again.reshape(-1)
    late = np.full_like(values, none)
    late[1:] = values[:-1]
    yield "channel", late.reshape(again.shape)


def byte_order(case: Case) -> Iterator[Change]:
    """A value's bytes in the other order."""
    number = case.tensors[case.tap].number
    if case.alone and number.bits > 8:
        yield Change("byte_swapped", {"arrange": partial(_swapped_bytes, number.dtype)})


def _swapped_bytes(dtype: np.dtype[np.integer], values: Int64) -> Int64:
    swapped_values: Int64 = values.astype(dtype).byteswap().astype(np.int64)
    return swapped_values


HYPOTHESES: tuple[Callable[[Case], Iterator[Change]], ...] = (
    transposed, permuted, byte_order, written, swapped, stale,
)  # fmt: skip
"""The simplest first."""

FITTED: tuple[Callable[[Case], Iterator[Change]], ...] = (ordered, reordered, swapped, stale)
"""Hypotheses that find their parameters in the trace, beside a change that is taken for granted."""
