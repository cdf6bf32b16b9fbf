"""Faults that an operator of a model can be given, each with the label that an explanation has for it."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from fxsim.contract import CHANNEL, TOKEN, Number, TableRule
from fxsim.contract.arithmetic import Int64
from fxsim.explain.inject.faulty import ROUNDINGS, Options
from fxsim.explain.result import UNEXPLAINED, UNKNOWN_BITS
from fxsim.graph import Model, Node
from fxsim.operators import Add, Affine, Linear, Lut, Pool, Relu


class Injection(NamedTuple):
    """A fault: the label that an explanation should give it, options of `faulty`, and the two that make it, if any.

    `where`: in which places alone, such as `a channel`; empty where it is everywhere.
    """

    label: str
    options: Options
    parts: tuple["Injection", ...] = ()
    where: str = ""

    @property
    def name(self) -> str:
        """The label, and where it is."""
        return f"{self.label} in {self.where}" if self.where else self.label


def injections(model: Model, node: Node, values: Mapping[str, Int64], rng: np.random.Generator) -> list[Injection]:
    """Every fault for a node; `values`: of the model's tensors, for an operator that is skipped. `rng`: what is hit."""
    op = node.op
    match op:
        case Linear() | Affine():
            own = _requantising(op, rng)
        case Lut():
            own = _table(op, rng)
        case Relu():
            own = iter([Injection("relu_missing", {"missing": True})])
        case Add():
            own = _add(model, op, node, values)
        case Pool():
            own = _average(op)
        case _:
            own = iter(())
    everywhere = [*own, *_order(model, node, rng), *_any(model, node, rng)]
    return [*everywhere, *_somewhere(model, node, everywhere, rng.spawn(1)[0])]


def pairs_of(single: list[Injection]) -> list[Injection]:
    """Two faults at once, wherever each is of something else and can be told of any values."""
    free = [one for one in single if not one.where and not _ALONE & {one.label}]
    found = []
    for one, other in combinations(free, 2):
        if one.label != other.label and not _things(one) & _things(other):
            label = "+".join(sorted((one.label, other.label)))
            found.append(Injection(label, {**one.options, **other.options}, (one, other)))
    return found


_ALONE = {UNEXPLAINED, UNKNOWN_BITS, "stale_value", "contract_tflite_reference"}
"""Faults that are not paired: what is no rule, and an arithmetic of its own."""
_SAME = {
    "shift_of": "shift_by", "wrap": "limits", "weight_of": "weights", "dropped": "weights", "bias_of": "bias",
    "borrowed": "bias", "end": "edge",
}  # fmt: skip
"""Options that are of the same thing as another."""


def _things(injection: Injection) -> set[str]:
    return {_SAME.get(name, name) for name in injection.options}


def _roundings() -> Iterator[Injection]:
    for rounding in ROUNDINGS:
        yield Injection(f"rounding_{rounding}", {"rounding": rounding})


def _requantising(op: Linear | Affine, rng: np.random.Generator) -> Iterator[Injection]:
    yield from _roundings()
    for bias, label in (("none", "dropped"), ("before", "before_shift"), ("accumulator", "in_accumulator")):
        yield Injection(f"bias_{label}", {"bias": bias})
    yield Injection("shift_plus_one", {"shift_by": 1})
    if op.shift.min() > 0:
        yield Injection("shift_minus_one", {"shift_by": -1})
        yield Injection("contract_tflite_reference", {"bias": "tflite"})
    if op.shift.min() > 3:
        yield Injection("double_rounding", {"first_cut": 2})
    yield Injection("shift_logical", {"logical": True})
    yield Injection("saturation_wrap", {"wrap": True})
    yield Injection("saturation_limits", {"limits": (-op.out.high, op.out.high)})
    yield Injection("saturation_unsigned", {"limits": (0, op.out.codes - 1)})
    yield Injection("relu_added", {"limits": (0, op.out.high)})
    yield Injection("accumulator_width", {"acc_bits": 11})
    yield Injection("relu_before_bias", {"relu_before": True})
    weight = op.weight
    if weight.ndim == 2 and weight.shape[0] == weight.shape[1]:
        yield Injection("weights_transposed", {"weights": "transposed"})
    yield Injection("weights_unsigned", {"weights": "unsigned"})
    if weight.ndim == 2:
        columns = weight.shape[1]
        for column in sorted({0, columns // 2, columns - 1}):
            yield Injection("product_dropped", {"dropped": column})
    for by in (1, -1):
        yield Injection("bias_wrong_channel", {"borrowed": by})
    row = int(rng.integers(len(op.shift)))
    place = (row, int(rng.integers(weight.shape[1]))) if weight.ndim == 2 else (row,)
    yield Injection("weight_corrupted", {"weight_of": {place: -int(weight[place]) - 1}})
    yield Injection("bias_corrupted", {"bias_of": {row: int(op.bias[row]) + 5}})
    yield Injection("shift_wrong_channel", {"shift_of": {row: int(op.shift[row]) + 2}})
    yield Injection("bias_wrong_channel", {"bias_of": {row: int(op.bias[row - 1])}})


def _table(op: Lut, rng: np.random.Generator) -> Iterator[Injection]:
    channels, stored = op.table.shape
    place = (int(rng.integers(channels)), int(rng.integers(stored)))
    yield Injection("lut_corrupted", {"entries": {place: int(op.table[place]) ^ 0x15}})
    low = -op.number.low
    for offset in (0, low - 1, low + 1):
        yield Injection("lut_index_offset", {"offset": offset})
    if op.rule is TableRule.FULL:
        for points in (8, 16, 64):
            yield Injection("lut_resampled", {"resampled": points})
        return
    yield from _roundings()
    yield Injection("lut_no_interpolation", {"interpolate": False})
    yield Injection("lut_segment_plus_one", {"segment": 1})
    yield Injection("lut_segment_minus_one", {"segment": -1})
    yield Injection("lut_fraction_signed", {"fraction_signed": True})
    yield Injection("lut_fraction_width", {"fraction_bits": 1})
    for edge in ("clamp", "hold", "overrun"):
        if edge != op.rule and op.rule is not TableRule.ENDPOINT:
            label = "lut_overrun" if edge == "overrun" else f"lut_edge_{edge}"
            yield Injection(label, {"edge": edge})
    if op.rule is not TableRule.ENDPOINT:
        yield Injection("lut_edge_endpoint", {"end": rng.integers(op.out.low, op.out.high + 1, channels)})


def _add(model: Model, op: Add, node: Node, values: Mapping[str, Int64]) -> Iterator[Injection]:
    yield Injection("add_unsaturated_wrap", {"wrap": True})
    yield Injection("saturation_limits", {"limits": (-op.out.high, op.out.high)})
    yield Injection("saturation_unsigned", {"limits": (0, op.out.codes - 1)})
    yield Injection("residual_dropped", {"kept": "first"})
    yield Injection("residual_dropped", {"kept": "second"})
    made = model.graph.by_name.get(node.inputs[1])
    if made is not None and isinstance(made.op, Affine):
        yield Injection("residual_affine_skipped", {"residual": values[made.inputs[0]]})


def _average(op: Pool) -> Iterator[Injection]:
    yield from _roundings()
    yield Injection("shift_plus_one", {"shift_by": 1})
    if op.tokens > 1:
        yield Injection("shift_minus_one", {"shift_by": -1})
        yield Injection("accumulator_width", {"acc_bits": max(8, op.acc_bits - 3)})


def _order(model: Model, node: Node, rng: np.random.Generator) -> Iterator[Injection]:
    for tensor, what in ((node.name, "arrange"), (node.inputs[0], "gather")):
        of = model.graph.tensors[tensor]
        for name in (CHANNEL, TOKEN):
            axis = of.axis(name)
            size = 0 if axis is None else of.shape[axis]
            if axis is None or size < 3:
                continue
            back, every = axis - len(of.shape), np.arange(size)
            yield Injection(f"{name}s_shifted", {what: (back, np.roll(every, 1))})
            yield Injection(f"{name}s_reversed", {what: (back, every[::-1])})
            if what == "arrange":
                one, other = sorted(int(i) for i in rng.choice(size, 2, replace=False))
                swapped = every.copy()
                swapped[[one, other]] = other, one
                yield Injection(f"{name}s_swapped", {what: (back, swapped)})
            rows = next((n for n in range(2, size // 2 + 1) if size % n == 0), None)
            if rows is not None and size > 4:
                yield Injection("tile_order", {what: (back, every.reshape(rows, -1).T.ravel())})
            lanes = next((n for n in (4, 2) if size % n == 0 and n < size), None)
            if lanes is not None:
                yield Injection("lane_swapped", {what: (back, every.reshape(-1, lanes)[:, ::-1].ravel())})
    shape = model.graph.shapes[node.inputs[0]]
    if len(shape) == 2 and min(shape) > 1 and shape[0] != shape[1]:
        yield Injection("operand_transposed", {"transposed": True})


_SOMEWHERE = {
    "rounding_floor", "rounding_half_even", "bias_dropped", "bias_in_accumulator", "saturation_wrap",
    "weights_unsigned", "lut_no_interpolation", "lut_fraction_width", "relu_missing", "relu_added",
    "add_unsaturated_wrap", "residual_dropped",
}  # fmt: skip
"""Faults that are also put into some channels or tokens alone."""


def _somewhere(model: Model, node: Node, faults: list[Injection], rng: np.random.Generator) -> Iterator[Injection]:
    """Faults in one channel, in one lane of several, and in the first or last token, where all others are right."""
    of = model.graph.tensors[node.name]
    for one in faults:
        if one.label not in _SOMEWHERE:
            continue
        for name in (CHANNEL, TOKEN):
            axis = of.axis(name)
            size = 0 if axis is None else of.shape[axis]
            if axis is None or size < 3:
                continue
            back = axis - len(of.shape)
            drawn = int(rng.integers(size))
            if name == TOKEN:
                end = int(rng.choice([0, size - 1]))
                yield Injection(one.label, {**one.options, "only": (back, [end])}, where="the first or last token")
                continue
            yield Injection(one.label, {**one.options, "only": (back, [drawn])}, where="a channel")
            lanes = next((n for n in (4, 2) if size >= 3 * n), None)
            if lanes is not None:
                every = list(range(drawn % lanes, size, lanes))
                yield Injection(one.label, {**one.options, "only": (back, every)}, where="a lane")


def _any(model: Model, node: Node, rng: np.random.Generator) -> Iterator[Injection]:
    if model.graph.tensors[node.name].number == Number(16):
        yield Injection("byte_swapped", {"bytes": True})
    yield Injection("stale_value", {"late": 0.06})
    yield Injection(UNKNOWN_BITS, {"unknown": 0.02})
    yield Injection(UNEXPLAINED, {"noise": 0.02})
    yield Injection(UNEXPLAINED, {"flips": 0.01})
    if isinstance(node.op, Lut):
        yield Injection(UNEXPLAINED, {"random": _random_table(node.op, rng)})


def _random_table(op: Lut, rng: np.random.Generator) -> Any:
    return rng.integers(op.out.low, op.out.high + 1, op.number.codes)
