"""Float mode: float fake-quant against the integer model, every difference attributed to a cause.

At a tap let I be the integer model's codes, F those of float fake-quant end to end, and L those of the tap's operator
in float fake-quant's arithmetic on the integer model's own inputs. A value differs where F != I.

- L == I: it is **carried over**. The operator agrees; its inputs differ already.
- L != I: it is **local**. Each rule of `Arithmetic` that the operator obeys is switched, by itself, from the contract's
  to fake-quant's. A rule explains the value if with it alone the operator gives L. The first that does, in the order
  saturation, tables, ties, sums, is its cause; that others would do too is counted (`several`). Where none does by
  itself, the smallest set of rules that does is its cause, named `first + second`.
- L != I, but F == I: the inputs' differences undo it. Counted as `cancelled`; it is no difference.

A cause is believed only if the exact value (`fxsim.bridge.exact`), computed from the integer model's parameters in
integers alone, agrees: a tie lies halfway between two codes; a saturating sum is outside int8; a value that float32
rounds differently is no further from a tie than float32's errors can add up to; a resampled table's full table has L.
Else, or where no set of rules gives L, the value is **unexplained**.

A value exactly on a tie that float32's errors push off it: where ties to even give the same code it is a tie (and also
a float32 sum, `several`), else a float32 sum, and `on_tie` counts those.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fxsim.bridge.exact import Exact, Places, exact_values, inputs_at, interpolation, requantised_row
from fxsim.bridge.record import CARRIED, UNEXPLAINED, Beginning, Example, TapDifferences
from fxsim.contract.arithmetic import Int8, Integers, round_shift
from fxsim.engines import Engine, run
from fxsim.graph import INPUT, Model, Node
from fxsim.networks.checkpoint import Quantised
from fxsim.networks.quantised import CONTRACT, FLOAT, Arithmetic, Kind, Slot
from fxsim.operators import (
    Add,
    Affine,
    Argmax,
    Concat,
    Conv,
    Encode,
    Flatten,
    Gate,
    Linear,
    Lut,
    Matmul,
    MaxPool,
    MultiplyAdd,
    NotTaken,
    OperatorTable,
    OrderedLinear,
    Pad,
    Pool,
    Position,
    Prelu,
    Relu,
    Rescale,
    Reshape,
    SumPool,
    Threshold,
    Transpose,
    WeightedAdd,
)

RULES = {"saturation": "saturation", "tables": "table resampling", "ties": "tie", "sums": "float32 sum"}
"""The fields of `Arithmetic`, and the cause that each is."""

# Which rules an operator obeys, in the order in which they explain.
_OBEYED: Mapping[Kind, tuple[str, ...]] = {Kind.TABLE: ("tables", "ties"), Kind.ADD: ("saturation", "ties", "sums")}
_OBEYED_BY_OTHERS = ("ties", "sums")

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]


def switched(arithmetic: Arithmetic, rules: Sequence[str], to: Arithmetic) -> Arithmetic:
    """`arithmetic` with some of its rules those of `to`."""
    return replace(arithmetic, **{rule: getattr(to, rule) for rule in rules})


@dataclass
class _Counts:
    """Running counts of one tap."""

    compared: int = 0
    differ: int = 0
    largest: int = 0
    carried: int = 0
    cancelled: int = 0
    several: int = 0
    on_tie: int = 0
    histogram: dict[int, int] = field(default_factory=dict)
    causes: dict[str, int] = field(default_factory=dict)


@dataclass
class _Batch:
    """One batch: the number of its first image, the integer model's values and float fake-quant's, by tap."""

    start: int
    integer: Mapping[str, Int8]
    floating: Mapping[str, Float64]


@dataclass
class _Local:
    """Values of a tap where L != I: their places, and of each the exact value and the cause."""

    places: Places
    exact: Exact
    causes: npt.NDArray[np.object_]
    several: Bool


class Attribution:
    """Counts differences and their causes, batch by batch; keeps the first `examples` of each cause."""

    def __init__(self, network: Quantised, model: Model, examples: int, engine: Engine | str) -> None:
        self._network = network
        self._model = model
        self._engine = engine
        self._wanted = examples
        self._examples: dict[str, list[Example]] = {}
        self._counts = {slot.tap: _Counts() for slot in network.slots}
        self._full: Mapping[str, Integers] = network.full_tables()
        self._begin = dict.fromkeys(network.taps, 0)
        self._unaffected = 0

    def add(self, codes: Int8, start: int) -> None:
        """Compare a batch, int8 as the model takes it, whose first image is number `start` of all."""
        integer = {INPUT: codes} | run(self._model, codes, "all", self._engine)
        floating = {INPUT: codes.astype(np.float64)}
        floating |= {
            tap: values.numpy() for tap, values in self._network.run_taps(torch.from_numpy(codes), FLOAT).items()
        }
        batch = _Batch(start, integer, floating)
        untouched = np.ones(len(codes), bool)
        for slot in self._network.slots:
            differs = self._add_tap(slot, batch)
            here = untouched & differs.reshape(len(codes), -1).any(axis=1)
            self._begin[slot.tap] += int(np.count_nonzero(here))
            untouched &= ~here
        self._unaffected += int(np.count_nonzero(untouched))

    @property
    def taps(self) -> tuple[TapDifferences, ...]:
        """The findings at every tap."""
        return tuple(
            TapDifferences(
                tap=slot.tap,
                kind=slot.kind,
                compared=counts.compared,
                differ=counts.differ,
                largest=counts.largest,
                histogram=dict(sorted(counts.histogram.items())),
                causes=dict(sorted(counts.causes.items())),
                carried=counts.carried,
                cancelled=counts.cancelled,
                several=counts.several,
                on_tie=counts.on_tie,
            )
            for slot, counts in zip(self._network.slots, self._counts.values(), strict=True)
        )

    @property
    def beginnings(self) -> tuple[Beginning, ...]:
        """The taps where images first differ, with how many; taps of no image are left out."""
        return tuple(Beginning(tap=tap, images=images) for tap, images in self._begin.items() if images)

    @property
    def unaffected(self) -> int:
        """Images without any difference."""
        return self._unaffected

    @property
    def examples(self) -> tuple[Example, ...]:
        """The first differences of each cause, those carried over last."""
        ordered = sorted(self._examples, key=lambda cause: (cause == CARRIED, cause))
        return tuple(example for cause in ordered for example in self._examples[cause])

    def _add_tap(self, slot: Slot, batch: _Batch) -> Bool:
        """Count one tap of a batch; returns where it differs."""
        counts = self._counts[slot.tap]
        integer, floating = batch.integer[slot.tap], batch.floating[slot.tap]
        distance = floating - integer
        differs: Bool = distance != 0
        counts.compared += distance.size
        inputs = tuple(torch.from_numpy(batch.integer[name].astype(np.float64)) for name in slot.inputs)
        floats = self._network.operator(slot.tap, inputs, FLOAT).numpy()
        local_mask: Bool = floats != integer
        local = self._explain(slot, batch, inputs, local_mask, floats)
        counted = differs[local.places]
        counts.cancelled += int(np.count_nonzero(~counted))
        counts.several += int(np.count_nonzero(local.several & counted))
        on_tie = local.exact.on_tie & (local.causes == RULES["sums"]) & counted
        counts.on_tie += int(np.count_nonzero(on_tie))
        _tally(counts.causes, local.causes[counted].tolist())
        carried = differs & ~local_mask
        counts.carried += int(np.count_nonzero(carried))
        if differs.any():
            counts.differ += int(np.count_nonzero(differs))
            counts.largest = max(counts.largest, int(np.abs(distance).max()))
            values, numbers = np.unique(distance[differs].astype(np.int64), return_counts=True)
            for value, number in zip(values.tolist(), numbers.tolist(), strict=True):
                counts.histogram[value] = counts.histogram.get(value, 0) + number
            self._keep_examples(slot, batch, inputs, floats, local, counted, carried)
        return differs

    def _explain(self, slot: Slot, batch: _Batch, inputs: tuple[Tensor, ...], mask: Bool, floats: Float64) -> _Local:
        node = self._model.graph.by_name[slot.tap]
        places: Places = np.nonzero(mask)
        integers = tuple(batch.integer[name] for name in slot.inputs)
        exact = exact_values(node, integers, places)
        target = floats[places]
        causes = np.full(len(target), UNEXPLAINED, object)
        agrees = self._agreement(slot, batch, places, exact, target)
        found, several = np.zeros(len(target), bool), np.zeros(len(target), bool)
        rules = _OBEYED.get(slot.kind, _OBEYED_BY_OTHERS)
        for chosen in (combination for size in range(1, len(rules) + 1) for combination in combinations(rules, size)):
            if len(chosen) > 1 and found.all():
                break
            if not len(target):
                break
            values = self._network.operator(slot.tap, inputs, switched(CONTRACT, chosen, FLOAT)).numpy()
            explains = values[places] == target
            if len(chosen) == 1:
                several |= found & explains
            new = explains & ~found
            found |= new
            believed = new & agrees["exact"]
            for rule in chosen:
                # In a set with others a tie is float32's, made by its rounding: the exact value need not be one.
                if rule != "ties" or len(chosen) == 1:
                    believed &= agrees[rule]
            causes[believed] = " + ".join(RULES[rule] for rule in chosen)
        return _Local(places, exact, causes, several)

    def _agreement(self, slot: Slot, batch: _Batch, places: Places, exact: Exact, target: Float64) -> dict[str, Bool]:
        """Whether each exact value bears each rule out; `exact`: whether it rounds to the integer model's code."""
        whole = exact.numerator >> exact.bits
        number = self._model.graph.tensors[slot.tap].number
        rounded = np.clip(round_shift(exact.numerator, exact.bits), number.low, number.high)
        agrees: dict[str, Bool] = {
            "exact": rounded == batch.integer[slot.tap][places],
            "ties": exact.on_tie,
            "sums": exact.to_tie <= exact.error,
            "saturation": ((whole < number.low) | (whole > number.high)) & (target == whole),
        }
        if slot.kind is Kind.TABLE:
            tensors, read = self._model.graph.tensors, slot.inputs[0]
            number = self._model.graph.input.number if read == INPUT else tensors[read].number
            code = batch.integer[read][places].astype(np.int64) - number.low
            agrees["tables"] = self._full[slot.tap][places[-1], code] == target
        return agrees

    def _keep_examples(
        self,
        slot: Slot,
        batch: _Batch,
        inputs: tuple[Tensor, ...],
        floats: Float64,
        local: _Local,
        counted: Bool,
        carried: Bool,
    ) -> None:
        """Keep what is still wanted of this tap's differences."""
        chosen: list[tuple[str, Places]] = []
        for cause in dict.fromkeys(local.causes[counted].tolist()):
            at = np.flatnonzero(counted & (local.causes == cause))[: self._missing(cause)]
            chosen.append((cause, tuple(index[at] for index in local.places)))
        if self._missing(CARRIED):
            chosen.append((CARRIED, tuple(index[: self._missing(CARRIED)] for index in np.nonzero(carried))))
        if not any(len(places[0]) for _, places in chosen):
            return
        node = self._model.graph.by_name[slot.tap]
        integers = tuple(batch.integer[name] for name in slot.inputs)
        unrounded = self._network.unrounded(slot.tap, inputs, FLOAT).numpy()
        for cause, places in chosen:
            exact = exact_values(node, integers, places)
            for i in range(len(places[0])):
                place = tuple(int(index[i]) for index in places)
                one: Places = tuple(index[i : i + 1] for index in places)
                value = describe_value(node, tuple(x[0] for x in inputs_at(node, integers, one)), place[1:])
                code, floating = int(batch.integer[slot.tap][place]), int(batch.floating[slot.tap][place])
                if cause == CARRIED:
                    floating_too = tuple(batch.floating[name] for name in slot.inputs)
                    pairs = zip(inputs_at(node, integers, one), inputs_at(node, floating_too, one), strict=True)
                    read = [(x[0], y[0]) for x, y in pairs]
                    unequal = sum(int(np.count_nonzero(x != y)) for x, y in read)
                    total = sum(len(x) for x, _ in read)
                    text = f"{value}, so {code}; fake-quant has others in {unequal} of {total} inputs"
                else:
                    text = f"{value}; {_reason(cause, code, int(floats[place]), float(unrounded[place]))}"
                self._examples.setdefault(cause, []).append(
                    Example(
                        cause=cause,
                        image=batch.start + place[0],
                        tap=slot.tap,
                        token=place[1] if len(place) == 3 else None,
                        channel=place[-1],
                        index=dict(zip(map(str, self._model.graph.tensors[slot.tap].axes), place[1:], strict=True)),
                        exact=str(exact.fraction(i)),
                        float32=float(unrounded[place]),
                        integer_code=code,
                        local_code=int(floats[place]),
                        float_code=floating,
                        text=text,
                    )
                )

    def _missing(self, cause: str) -> int:
        return self._wanted - len(self._examples.get(cause, ()))


def describe_value(node: Node, inputs: tuple[npt.NDArray[Any], ...], place: tuple[int, ...]) -> str:
    """The integer model's computation of one value before rounding, in words and exact numbers.

    `inputs`: what the node reads for it, [K] of each input; `place`: its index within the image.
    """
    return DESCRIBE[type(node.op)](node.op, place, *([int(v) for v in values] for values in inputs))


def _describe_requantised(op: Linear | Affine, place: tuple[int, ...], x: list[int]) -> str:
    (row,) = requantised_row(op, tuple(np.array([i]) for i in (0, *place)))
    weight = [int(w) for w in op.weight[row].reshape(-1)]
    total = sum(a * b for a, b in zip(x, weight, strict=True))
    shift, bias = int(op.shift[row]), int(op.bias[row])
    return f"accumulator {total} / 2^{shift} + bias {bias} = {_number(Fraction(total, 1 << shift) + bias)}"


def _describe_pool(op: Pool, _place: tuple[int, ...], x: list[int]) -> str:
    return f"sum {sum(x)} / {op.tokens} tokens = {_number(Fraction(sum(x), op.tokens))}"


def _describe_add(_op: Add, _place: tuple[int, ...], x: list[int], r: list[int]) -> str:
    return f"{x[0]} + {r[0]} = {x[0] + r[0]}"


def _describe_lut(op: Lut, place: tuple[int, ...], x: list[int]) -> str:
    code = np.array([x[0]], np.int64)
    lower, upper, fraction, bits = interpolation(op, code, np.array([place[-1]]))
    t0, t1, f = int(lower[0]), int(upper[0]), int(fraction[0])
    value = _number(t0 + Fraction((t1 - t0) * f, 1 << bits))
    return f"input {x[0]} lies {f}/{1 << bits} of the way from point {t0} to point {t1} = {value}"


def _describe_relu(_op: Relu, _place: tuple[int, ...], x: list[int]) -> str:
    return f"max({x[0]}, 0) = {max(x[0], 0)}"


def _describe_conv(op: Conv, place: tuple[int, ...], x: list[int]) -> str:
    weight = op.weight[place[-1]].reshape(-1).tolist()
    return f"sum {sum(a * b for a, b in zip(x, weight, strict=True))} of {len(weight)} products"


def _describe_largest(_op: MaxPool, _place: tuple[int, ...], x: list[int]) -> str:
    return f"max({', '.join(map(str, x))}) = {max(x)}"


def _describe_mean(op: SumPool, _place: tuple[int, ...], x: list[int]) -> str:
    return f"sum {sum(x)} / {op.divisor} = {_number(Fraction(sum(x), op.divisor))}"


def _describe_threshold(op: Threshold, place: tuple[int, ...], x: list[int]) -> str:
    limits = ", ".join(map(str, sorted(op.threshold[place[-1]].tolist())))
    return f"{x[0]} against {'at least' if op.rising[place[-1]] else 'at most'} {limits}"


def _describe_encode(op: Encode, place: tuple[int, ...], x: list[int]) -> str:
    return f"{x[0]} against at least {op.threshold.reshape(-1)[place[-1]]}"


def _describe_line(op: MultiplyAdd, place: tuple[int, ...], x: list[int]) -> str:
    c = place[-1]
    total, shift = x[0] * int(op.weight[c]) + int(op.bias[c]), int(op.shift[c])
    return f"({x[0]} * {op.weight[c]} + {op.bias[c]}) / 2^{shift} = {_number(Fraction(total, 1 << shift))}"


def _describe_weighted(op: WeightedAdd, place: tuple[int, ...], x: list[int], r: list[int]) -> str:
    c = place[-1]
    first, second, shift = int(op.weight[0, c]), int(op.weight[1, c]), int(op.shift[c])
    value = _number(Fraction(x[0] * first + r[0] * second, 1 << shift))
    return f"({x[0]} * {first} + {r[0]} * {second}) / 2^{shift} = {value}"


def _describe_prelu(op: Prelu, place: tuple[int, ...], x: list[int]) -> str:
    c = place[-1]
    if x[0] >= 0:
        return f"{x[0]}, not below 0"
    product, shift = x[0] * int(op.weight[c]), int(op.shift[c])
    return f"{x[0]} * {op.weight[c]} / 2^{shift} = {_number(Fraction(product, 1 << shift))}"


def _describe_gate(op: Gate, place: tuple[int, ...], x: list[int], g: list[int]) -> str:
    return f"{x[0]} where {g[0]} is at least {op.threshold[place[-1]]}, else 0"


def _describe_rescaled(op: Rescale, place: tuple[int, ...], x: list[int]) -> str:
    c = place[-1]
    total, shift, bias = (x[0] + int(op.addend[c])) * int(op.multiplier[c]), int(op.shift[c]), int(op.bias[c])
    return f"{total} / 2^{shift} + bias {bias} = {_number(Fraction(total, 1 << shift) + bias)}"


def _describe_there(_op: Position, place: tuple[int, ...], x: list[int]) -> str:
    return f"{x[0]} and the table's value at {', '.join(map(str, place))}"


def _describe_product(_op: Matmul, _place: tuple[int, ...], x: list[int], r: list[int]) -> str:
    return f"sum {sum(a * b for a, b in zip(x, r, strict=True))} of {len(x)} products"


def _describe_laid(_op: Flatten | Reshape, _place: tuple[int, ...], x: list[int]) -> str:
    return f"{x[0]}"


_NOT_TAKEN = NotTaken("because no float network has it")

DESCRIBE: OperatorTable[Callable[..., str]] = OperatorTable(
    "the description of a value",
    {
        Linear: _describe_requantised, Affine: _describe_requantised, Relu: _describe_relu, Lut: _describe_lut,
        Add: _describe_add, Pool: _describe_pool, Conv: _describe_conv, MaxPool: _describe_largest,
        SumPool: _describe_mean, Threshold: _describe_threshold, Encode: _describe_encode, MultiplyAdd: _describe_line,
        WeightedAdd: _describe_weighted, Prelu: _describe_prelu, Gate: _describe_gate, Flatten: _describe_laid,
        Rescale: _describe_rescaled, Matmul: _describe_product, Position: _describe_there, Reshape: _describe_laid,
        **dict.fromkeys((Transpose, Concat, OrderedLinear, Argmax, Pad), _NOT_TAKEN),
    },
)  # fmt: skip
"""From an operator, a place and what it reads of each input there: the value before rounding, in words."""


def _reason(cause: str, integer: int, floating: int, float32: float) -> str:
    """The reason why the codes differ, after `describe_value`'s text."""
    if cause == RULES["ties"]:
        return f"a tie: {integer} upwards, {floating} to even"
    if cause == RULES["saturation"]:
        return f"the integer model saturates to {integer}, fake-quant keeps {floating} for now"
    what = "the function in float32" if RULES["tables"] in cause else "float32"
    return f"{what} has {float32:.9g}; they round to {integer} and {floating}"


def _number(value: Fraction) -> str:
    """A fraction whose denominator is a power of two, in decimals: they end."""
    if value.denominator == 1:
        return str(value.numerator)
    digits = value.denominator.bit_length() - 1
    scaled = abs(value) * 10**digits
    whole, rest = divmod(scaled.numerator, 10**digits)
    return f"{'-' if value < 0 else ''}{whole}.{rest:0{digits}d}"


def _tally(counts: dict[str, int], names: Sequence[str]) -> None:
    for name in dict.fromkeys(names):
        counts[name] = counts.get(name, 0) + names.count(name)
