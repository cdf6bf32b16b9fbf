"""Features of networks of few bits, stated from the contract: of each operator on rows, columns and channels."""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from fxsim.contract import Division, Number, Rounding, Tensor
from fxsim.contract.arithmetic import Integers
from fxsim.graph import Graph, Node
from fxsim.operators import (
    FEATURE_MAPS,
    ORDERS,
    Add,
    Argmax,
    Concat,
    Conv,
    Encode,
    Flatten,
    Gate,
    Linear,
    Matmul,
    MaxPool,
    MultiplyAdd,
    Operator,
    OrderedLinear,
    Pad,
    Position,
    Prelu,
    Rescale,
    Reshape,
    SumPool,
    Threshold,
    Transpose,
    WeightedAdd,
)

PICTURE_OPERATORS: tuple[type[Operator], ...] = (Conv, MaxPool, Threshold, *FEATURE_MAPS)
"""Operators of networks of few bits."""

_NARROW = ("bipolar", "int1", "uint1", "signed 2-4 bits", "unsigned 2-4 bits", "signed 5-15 bits",
    "unsigned 5-15 bits", "signed 16 bits", "unsigned 16 bits")  # fmt: skip
_RANGED = _NARROW[1:]
_WIDE = "signed 17-32 bits"
_SIGNED = ("int1", "signed 2-4 bits", "signed 5-15 bits", "signed 16 bits", _WIDE)

_TAKES: dict[type[Operator], tuple[str, ...]] = {
    Conv: _NARROW,
    SumPool: _NARROW,
    OrderedLinear: _RANGED,
    Matmul: _RANGED,
    Position: _RANGED,
    **dict.fromkeys((MaxPool, Threshold, Encode, Concat, Argmax, Pad, *ORDERS), (*_NARROW, _WIDE)),
    **dict.fromkeys((MultiplyAdd, WeightedAdd, Prelu, Gate, Rescale), (*_RANGED, _WIDE)),
}
"""Classes of formats that each operator takes, as its first input."""

_GIVES: dict[type[Operator], tuple[str, ...]] = {
    Conv: _SIGNED,
    # A sum of one bit is of one product alone, or of a table of zeros: such need not be drawn.
    Matmul: _SIGNED[1:],
    Position: _SIGNED[1:],
    Threshold: _NARROW,
    Encode: _NARROW[:3],
    **dict.fromkeys((MultiplyAdd, SumPool), (*_RANGED, _WIDE)),
    **dict.fromkeys((WeightedAdd, Prelu, OrderedLinear, Rescale), _RANGED),
}
"""Classes of formats that each operator gives, whose format is its own."""

_DIVISORS = ("a divisor of 1", "a divisor of a power of two", "another divisor")

_SHIFTS = ("shift 0", "shift up to 31", "shift beyond 31")

_PARAMETERS: dict[type[Operator], tuple[str, ...]] = {
    Conv: (
        "kernel of one value", "kernel of one row", "kernel of one column", "stride of rows", "stride of columns",
        "no padding", "padding above", "padding to the left", "padding below", "padding to the right",
        "padding that differs", "dilation of rows", "dilation of columns", "one group", "groups", "depthwise",
        "a channel multiplier", "bipolar weights", "weights of one bit", "weights of 2-4 bits", "weights of 5-8 bits",
        "weights of zero", "a sum as narrow as can be", "a window that is the image",
    ),
    MaxPool: ("windows that overlap", "windows apart", "a window of one value", "values left over"),
    Threshold: (
        "all rising", "all falling", "rising and falling", "one step", "several steps", "equal thresholds",
        "the least threshold", "the greatest threshold", "levels that do not rise",
    ),
    Encode: ("one step", "several steps", "equal thresholds"),
    MultiplyAdd: ("shift 0", "shift beyond the accumulator", "a weight of zero", "a bias beyond 16 bits"),
    WeightedAdd: ("of two formats", "of a tensor with itself", "shift 0", "a weight of zero"),
    Prelu: ("a negative slope", "a positive slope", "shift 0"),
    Gate: ("of two formats", "of a tensor with itself", "of bipolar"),
    Concat: ("of a tensor with itself", "of two tensors"),
    Flatten: ("values as they lie", "channels first", "another order"),
    Reshape: (
        "values as they lie", "channels first", "another order", "to channels", "to tokens", "to rows and columns",
        "of channels", "of tokens",
    ),
    Transpose: ("rows and columns exchanged", "tokens and channels exchanged", "channels first", "no axis exchanged"),
    SumPool: (
        *(f"{rounding} with {what}" for rounding in Division for what in _DIVISORS),
        "saturating", "not saturating", "windows that overlap", "windows apart",
    ),
    OrderedLinear: ("one input", "one output", "shift 0", "a weight of zero"),
    Argmax: ("one class", "all channels", "some of the channels"),
    Rescale: (
        *(f"{rounding}, {what}" for rounding in Rounding for what in _SHIFTS),
        "a multiplier of zero", "a multiplier beyond 16 bits", "an addend below zero", "an addend above zero",
        "a bias below zero", "a bias above zero", "a product as wide as can be", "a product of 62 bits",
    ),
    Pad: (
        "nothing", "rows above", "columns to the left", "rows below", "columns to the right", "values that differ",
        "the least value", "the greatest value", "zero",
    ),
    Matmul: (
        "one head", "several heads", "transposed", "not transposed", "one product a sum", "several products a sum",
        "of two formats", "of a tensor with itself", "a sum as narrow as can be", "a sum wider than needed",
    ),
    Position: (
        "one place", "several places", "a table beyond 8 bits", "a sum as narrow as can be", "a sum wider than needed",
    ),
}  # fmt: skip
"""Extremes of each operator's parameters."""

_TIES = tuple(
    f"rescale: {rounding}, a tie of a {sign} product"
    for rounding in Rounding
    if rounding is not Rounding.FLOOR
    for sign in ("positive", "negative")
)
_SUMS = ("an add of two formats on pictures",)
_WIDE_LINEARS = tuple(
    f"a linear of 17-32 bits {what}" for what in ("unshifted", "shifted", "with a bias beyond 16 bits")
)
_SHAPES = ("one pixel", "one row", "one column", "one channel", "no square", "values on one axis")


def picture_features() -> Iterator[str]:
    """Every feature there is."""
    for op in PICTURE_OPERATORS:
        yield from (f"{op.kind} of {what}" for what in _TAKES[op])
        yield from (f"{op.kind} giving {what}" for what in _GIVES.get(op, ()))
        yield from (f"{op.kind}: {what}" for what in _PARAMETERS[op])
        yield from (f"begins with {op.kind}", f"ends with {op.kind}")
    yield from (*_TIES, *_SUMS, *_WIDE_LINEARS)
    yield from (f"a picture of {what}" for what in _SHAPES)


def _class(number: Number) -> str:
    if number.bits == 1:
        return str(number)
    sign = "signed" if number.signed else "unsigned"
    for last, words in ((4, "2-4"), (15, "5-15"), (16, "16")):
        if number.bits <= last:
            return f"{sign} {words} bits"
    return f"{sign} 17-32 bits"


def of_picture(graph: Graph, node: Node) -> Iterator[str]:
    """The features of a node."""
    op, inputs = node.op, graph.inputs_of(node)
    x, out = inputs[0], graph.tensors[node.name]
    if len(x.shape) == 3 and str(x.axes[0]) == "row":
        rows, columns, channels = x.shape
        tests = (rows == columns == 1, rows == 1, columns == 1, channels == 1, rows != columns, len(out.shape) == 1)
        yield from (f"a picture of {what}" for what, holds in zip(_SHAPES, tests, strict=True) if holds)
        if isinstance(op, Add) and inputs[0].number != inputs[1].number:
            yield _SUMS[0]
    if isinstance(op, Linear) and out.number.bits > 16:
        held = (
            bool((op.shift == 0).any()),
            bool(op.shift.any()),
            bool((np.abs(op.bias.astype(np.int64)) >= 1 << 15).any()),
        )
        yield from (what for what, holds in zip(_WIDE_LINEARS, held, strict=True) if holds)
    if type(op) not in _TAKES:
        return
    yield f"{op.kind} of {_class(x.number)}"
    if type(op) in _GIVES:
        yield f"{op.kind} giving {_class(out.number)}"
    found = dict(zip(_PARAMETERS[type(op)], _holds(graph, node), strict=True))
    yield from (f"{op.kind}: {what}" for what, holds in found.items() if holds)


def of_ties(node: Node, values: Mapping[str, Integers]) -> Iterator[str]:
    """Ties that a rescale rounds, which alone tell its roundings to the nearest from each other."""
    op = node.op
    if not isinstance(op, Rescale) or op.rounding is Rounding.FLOOR:
        return
    product = (values[node.inputs[0]].astype(np.int64) + op.addend) * op.multiplier.astype(np.int64)
    half = np.where(op.shift > 0, np.int64(1) << np.maximum(op.shift, 1).astype(np.int64) - 1, 0)
    tie = (half > 0) & (product & 2 * half - 1 == half)
    for sign, signed in (("positive", product > 0), ("negative", product < 0)):
        if (tie & signed).any():
            yield f"rescale: {op.rounding}, a tie of a {sign} product"


def _holds(graph: Graph, node: Node) -> tuple[bool, ...]:
    """Whether each of `_PARAMETERS` holds, in their order."""
    op, inputs = node.op, graph.inputs_of(node)
    x = inputs[0]
    itself = len(set(node.inputs)) < len(node.inputs)
    differ = len({tensor.number for tensor in inputs}) > 1
    match op:
        case Conv():
            outputs, rows, columns, each = op.weight.shape
            bits, bipolar = op.weight_number.bits, op.weight_number.bipolar
            low, high = op.accumulator_range(x)
            needed = max(1, *((v if v >= 0 else ~v).bit_length() + 1 for v in (int(low.min()), int(high.max()))))
            alone = op.groups > 1 and each == 1
            return (
                rows == columns == 1, rows == 1 < columns, columns == 1 < rows, op.stride[0] > 1, op.stride[1] > 1,
                not any(op.padding), *(pad > 0 for pad in op.padding), len(set(op.padding)) > 1,
                op.dilation[0] > 1 < rows, op.dilation[1] > 1 < columns, op.groups == 1, op.groups > 1 and each > 1,
                alone and outputs == op.groups, alone and outputs > op.groups, bipolar, bits == 1 and not bipolar,
                2 <= bits <= 4, bits >= 5, bool((op.weight == 0).any()), needed == op.out.bits,
                graph.shapes[node.name][:2] == (1, 1),
            )  # fmt: skip
        case MaxPool():
            return *_windows(op), op.kernel == (1, 1), _left_over(op, x.shape)
        case Threshold():
            values = op.threshold
            return (
                bool(op.rising.all()), not op.rising.any(), bool(op.rising.any() and not op.rising.all()),
                values.shape[1] == 1, values.shape[1] > 1, _equal(values), bool((values == -(2**31)).any()),
                bool((values == 2**31 - 1).any()), bool((np.diff(op.levels.astype(np.int64)) < 0).any()),
            )  # fmt: skip
        case Encode():
            return op.threshold.shape[1] == 1, op.threshold.shape[1] > 1, _equal(op.threshold)
        case MultiplyAdd():
            wide = np.abs(op.bias.astype(np.int64)) >= 1 << 15
            shift = op.shift.astype(np.int64)
            return bool((shift == 0).any()), bool((shift > op.acc_bits).any()), _zero(op.weight), bool(wide.any())
        case WeightedAdd():
            return differ, itself, bool((op.shift == 0).any()), _zero(op.weight)
        case Prelu():
            return bool((op.weight < 0).any()), bool((op.weight > 0).any()), bool((op.shift == 0).any())
        case Gate():
            return differ, itself, inputs[1].number.bipolar
        case Concat():
            return itself, not itself
        case Flatten():
            order = op.order
            return order == (0, 1, 2), order == (2, 0, 1), len(order) == 3 and order not in ((0, 1, 2), (2, 0, 1))
        case Reshape():
            order, axes = op.order, len(op.order)
            as_they_lie, first = order == tuple(range(axes)), order == (2, 0, 1)
            to = tuple(len(op.shape) == n for n in (1, 2, 3))
            return as_they_lie, first, not as_they_lie and not first, *to, axes == 1, axes == 2
        case Transpose():
            return op.order == (1, 0, 2), op.order == (1, 0), op.order == (2, 0, 1), op.order in ((0, 1, 2), (0, 1))
        case SumPool():
            divisor = op.divisor
            kinds = divisor == 1, divisor > 1 and divisor & (divisor - 1) == 0, divisor & (divisor - 1) != 0
            divided = tuple(op.rounding is rounding and kind for rounding in Division for kind in kinds)
            return *divided, op.saturating, not op.saturating, *_windows(op)
        case OrderedLinear():
            outputs, size = op.weight.shape
            return size == 1, outputs == 1, bool((op.shift == 0).any()), _zero(op.weight)
        case Argmax():
            return op.classes == 1, op.classes == x.shape[-1], op.classes < x.shape[-1]
        case Rescale():
            return _rescaled(op, x)
        case Pad():
            differ, ends = len(set(op.value.tolist())) > 1, (x.number.low, x.number.high)
            held = tuple(bool((op.value == value).any()) for value in (*ends, 0))
            return not any(op.padding), *(pad > 0 for pad in op.padding), differ, *held
        case Matmul():
            products = [
                a * b for a in (x.number.low, x.number.high) for b in (inputs[1].number.low, inputs[1].number.high)
            ]
            narrow = _signed_bits(op.terms * min(products), op.terms * max(products)) == op.out.bits
            return (
                op.heads == 1, op.heads > 1, op.transposed, not op.transposed, op.terms == 1, op.terms > 1, differ,
                itself, narrow, not narrow,
            )  # fmt: skip
        case Position():
            narrow = (
                _signed_bits(x.number.low + int(op.table.min()), x.number.high + int(op.table.max())) == op.out.bits
            )
            return len(op.table) == 1, len(op.table) > 1, bool((op.table > 127).any()), narrow, not narrow
    return ()


def _signed_bits(*values: int) -> int:
    """Bits of the narrowest signed format of these values."""
    return max((v if v >= 0 else ~v).bit_length() + 1 for v in values)


def _rescaled(op: Rescale, x: Tensor) -> tuple[bool, ...]:
    shift, multiplier, addend = (array.astype(np.int64) for array in (op.shift, op.multiplier, op.addend))
    of_shift = (shift == 0).any(), ((shift > 0) & (shift <= 31)).any(), (shift > 31).any()
    by_rounding = tuple(op.rounding is rounding and bool(has) for rounding in Rounding for has in of_shift)
    ends = [(end + addend) * multiplier for end in (x.number.low, x.number.high)]
    needed = max((v if v >= 0 else ~v).bit_length() + 1 for row in ends for v in row.tolist())
    tests = (
        _zero(multiplier), bool((multiplier >= 1 << 16).any()), bool((addend < 0).any()), bool((addend > 0).any()),
        bool((op.bias < 0).any()), bool((op.bias > 0).any()), needed == op.acc_bits, op.acc_bits == 62,
    )  # fmt: skip
    return *by_rounding, *tests


def _windows(op: MaxPool | SumPool) -> tuple[bool, bool]:
    pairs = list(zip(op.kernel, op.stride, strict=True))
    return any(kernel > stride for kernel, stride in pairs), any(kernel < stride for kernel, stride in pairs)


def _left_over(op: MaxPool | SumPool, shape: tuple[int, ...]) -> bool:
    return any((shape[i] - op.kernel[i]) % op.stride[i] for i in range(2))


def _equal(thresholds: npt.NDArray[np.integer]) -> bool:
    return any(len(set(row)) < len(row) for row in thresholds.tolist())


def _zero(weight: npt.NDArray[np.integer]) -> bool:
    return bool((weight == 0).any())
