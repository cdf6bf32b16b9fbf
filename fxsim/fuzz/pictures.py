"""Random networks of few bits: rows, columns and channels, and the operators on them, of formats of 1 to 32 bits."""

import math
from typing import Any

import numpy as np

from fxsim.contract import (
    ACC_BITS_MAX,
    BIPOLAR,
    CHANNEL,
    COLUMN,
    RESCALE_SHIFT_MAX,
    ROW,
    Division,
    Number,
    Rounding,
    Sign,
    Tensor,
    bias_number,
    bits_needed,
    worst_case_sums,
)
from fxsim.contract.arithmetic import Integers
from fxsim.contract.number import INT16, INT32
from fxsim.errors import ModelError
from fxsim.fuzz.generate import Drawing, one
from fxsim.graph import INPUT, Graph, Node
from fxsim.operators import (
    Argmax,
    Axis,
    Concat,
    Conv,
    Encode,
    Flatten,
    Gate,
    Matmul,
    MaxPool,
    MultiplyAdd,
    Operator,
    OrderedLinear,
    Pad,
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

_ONE_BIT = (BIPOLAR, Number(1), Number(1, Sign.UNSIGNED))
_VALUES_MAX = 1 << 11
"""Most values of a tensor that is drawn."""


class Pictures(Drawing):
    """A network of few bits while it is drawn."""

    def network(self) -> Graph:
        """Chains and branches of any of these operators, each where it fits."""
        rows, columns = (int(self.rng.integers(1, 8)) for _ in range(2))
        shape = rows, columns, int(one(self.rng, (1, 1, 2, 3, 4, 5, 8)))
        self.tensors[INPUT] = Tensor((ROW, COLUMN, CHANNEL), shape, self.number(bipolar=True))
        wanted = int(self.rng.integers(1, self.of.nodes_max + 1))
        for _ in range(8 * wanted):
            if len(self.nodes) >= wanted:
                break
            names = list(self.tensors)
            self._grow(names[-1] if self.rng.random() < 0.75 else one(self.rng, names))
        if not self.nodes:
            self._append(MaxPool((1, 1), (1, 1)), INPUT)
        return Graph(self.tensors[INPUT], self._used())

    def number(self, bipolar: bool = False) -> Number:
        """A format of a result: half of them of four bits at most."""
        if self.rng.random() < 0.3:
            number = one(self.rng, _ONE_BIT)
            return number if bipolar or not number.bipolar else one(self.rng, _ONE_BIT[1:])
        if self.rng.random() < 0.4:
            return Number(int(self.rng.integers(2, 5)), one(self.rng, (Sign.SIGNED, Sign.UNSIGNED)))
        return one(self.rng, self.numbers)

    def _grow(self, source: str) -> None:
        """One operator more on a tensor; none where the kind drawn does not fit."""
        kind, x = one(self.rng, self.of.picture_kinds), self.tensors[source]
        inputs: tuple[str, ...] = (source,)
        if kind in ("weighted_add", "gate", "concat", "add"):
            inputs = self._two(source, kind)
        elif kind == "matmul":
            fitting = [name for name, other in self.tensors.items() if _forms(x, other)]
            inputs = (source, one(self.rng, fitting) if fitting else source)
        try:
            op = self._drawn(kind, x, *(self.tensors[name] for name in inputs[1:]))
            if op is None or op.result(*(self.tensors[name] for name in inputs)).size > _VALUES_MAX:
                return
            # The sums of the whole are proved to fit.
            Graph(self.tensors[INPUT], [*self.nodes, Node("drawn", op, inputs)])
        except ModelError:
            return
        self._append(op, *inputs)

    def _two(self, source: str, kind: str) -> tuple[str, ...]:
        """A tensor and one that it is joined with, seldom itself, the first of them either."""
        x = self.tensors[source]
        same = [
            name
            for name, other in self.tensors.items()
            if name != source
            and other.axes == x.axes
            and (other.shape == x.shape if kind != "concat" else other.shape[:-1] == x.shape[:-1])
            and (kind != "concat" or other.number == x.number)
        ]
        other = one(self.rng, same) if same and self.rng.random() < 0.85 else source
        return (source, other) if self.rng.random() < 0.5 else (other, source)

    def _drawn(self, kind: str, x: Tensor, *others: Tensor) -> Operator | None:
        """An operator of a kind on these inputs. ModelError where it does not take them."""
        channels = x.shape[-1]
        match kind:
            case "conv":
                return self._conv(x) if len(x.shape) == 3 else None
            case "max_pool" | "sum_pool":
                if len(x.shape) != 3:
                    return None
                rows, columns = (int(self.rng.integers(1, min(4, size) + 1)) for size in x.shape[:2])
                kernel = rows, columns
                stride = int(self.rng.integers(1, 4)), int(self.rng.integers(1, 4))
                return MaxPool(kernel, stride) if kind == "max_pool" else self._sum_pool(x, kernel, stride)
            case "threshold":
                steps = int(one(self.rng, (1, 1, 2, 3, 5)))
                out = self.number(bipolar=True)
                rising = self.rng.integers(0, 2, channels).astype(np.uint8)
                levels = self._values(out, (steps + 1,))
                if self.rng.random() < 0.6:
                    levels = np.sort(levels)
                return Threshold(self._thresholds(x, (channels, steps)), rising, levels, out)
            case "encode":
                steps = int(self.rng.integers(1, 5))
                return Encode(self._thresholds(x, (channels, steps)), one(self.rng, _ONE_BIT))
            case "multiply_add":
                return self._multiply_add(x)
            case "weighted_add":
                weight = self._weights((2, channels))
                pairs = zip(weight, (x, *others), strict=True)
                low, high = self._ends([worst_case_sums(own[:, None], t.number) for own, t in pairs])
                out, acc_bits = self.number(), self.acc_bits(low, high, 32)
                return WeightedAdd(weight, self.shift(channels, acc_bits, out), acc_bits, out)
            case "prelu":
                weight, out = self._weights((channels,)), self.number()
                acc_bits = self.acc_bits(*self._ends([worst_case_sums(weight[:, None], x.number)]), 32)
                return Prelu(weight, self.shift(channels, acc_bits, out), acc_bits, out)
            case "gate":
                return Gate(self._thresholds(others[0], (channels,)))
            case "concat":
                return Concat()
            case "flatten":
                return Flatten(tuple(self.rng.permutation(len(x.shape)).tolist()))
            case "reshape":
                return Reshape(tuple(self.rng.permutation(len(x.shape)).tolist()), self._shape(x.size))
            case "transpose":
                return Transpose(tuple(self.rng.permutation(len(x.shape)).tolist()))
            case "ordered_linear":
                outputs, out = int(one(self.rng, (1, 2, 3, 5))), self.number()
                shift = self.shift(outputs, x.number.bits + 16, out)
                bias = self._values(out, (outputs,))
                return OrderedLinear(self._weights((outputs, channels)), bias, shift, out)
            case "rescale":
                return self._rescale(x)
            case "pad":
                return self._pad(x) if len(x.shape) == 3 else None
            case "matmul":
                return self._matmul(x, *others)
            case "position":
                return self._position(x)
            case "argmax":
                return Argmax(int(self.rng.integers(1, channels + 1)))
            case "linear":
                return self.linear(x, int(one(self.rng, (1, 2, 3, 4, 8))), Axis.CHANNELS, wide=self.rng.random() < 0.4)
            case "affine":
                return self.affine(x)
            case "add":
                return self.add(x, *others)
            case _:
                return Relu()

    @staticmethod
    def _ends(bounds: list[Any]) -> tuple[int, int]:
        """The least and the greatest sum of any channel of which each bound is a part, and 0."""
        return min(0, int(sum(low for low, _ in bounds).min())), max(0, int(sum(high for _, high in bounds).max()))

    def _values(self, number: Number, shape: tuple[int, ...]) -> Integers:
        """Values of a format, of bipolar ones too."""
        if number.bipolar:
            return self.rng.choice(np.array([-1, 1], np.int8), shape)
        return self.values(number, shape)

    def _weights(self, shape: tuple[int, ...]) -> Integers:
        """Weights of 16 bits, small ones as often as wide ones."""
        if self.rng.random() < 0.5:
            return self.rng.integers(-9, 10, shape).astype(np.int16)
        return self.values(INT16, shape)

    def _thresholds(self, x: Tensor, shape: tuple[int, ...]) -> Integers:
        """Thresholds at values that a tensor may have, one beyond, and seldom at the ends of all."""
        low, high = x.number.low, x.number.high
        if self.rng.random() < 0.5 and high - low > 40:
            low, high = max(low, -20), min(high, 20)
        found = self.rng.integers(low - 1, high + 1, shape, endpoint=True)
        ends = self.rng.choice(np.array([-(2**31), 2**31 - 1, x.number.low, x.number.high]), shape)
        chosen = np.where(self.rng.random(shape) < 0.1, ends, found)
        return np.clip(chosen, -(2**31), 2**31 - 1).astype(np.int32)

    def _conv(self, x: Tensor) -> Conv:
        """A convolution of any kernel, stride, padding, dilation and groups that fits."""
        channels = x.shape[-1]
        kernel = [int(one(self.rng, (1, 1, 2, 3, 3, 4))) for _ in range(2)]
        dilation = [int(one(self.rng, (1, 1, 1, 2, 3))) for _ in range(2)]
        spans = [dilation[i] * (kernel[i] - 1) for i in range(2)]
        padding = [0 if self.rng.random() < 0.4 else int(self.rng.integers(0, spans[i % 2] + 1)) for i in range(4)]
        for i in range(2):
            # What the kernel spans beyond the image is put around it.
            lacking = max(0, spans[i] + 1 - x.shape[i] - padding[i] - padding[2 + i])
            padding[i] = min(spans[i], padding[i] + lacking)
            padding[2 + i] = min(spans[i], max(padding[2 + i], spans[i] + 1 - x.shape[i] - padding[i]))
        stride = int(one(self.rng, (1, 1, 2, 3))), int(one(self.rng, (1, 1, 2, 3)))
        groups = int(one(self.rng, [g for g in range(1, channels + 1) if channels % g == 0]))
        outputs = groups * int(one(self.rng, (1, 2, 3)))
        number = one(self.rng, (BIPOLAR, BIPOLAR, Number(1), *self.weights))
        weight = self._values(number, (outputs, *kernel, channels // groups))
        low, high = (int(end) for end in self._ends([worst_case_sums(weight.reshape(outputs, -1), x.number)]))
        needed = bits_needed(low, high)
        bits = needed if self.rng.random() < 0.6 else min(32, needed + int(self.rng.integers(0, 9)))
        pads = padding[0], padding[1], padding[2], padding[3]
        return Conv(weight, stride, pads, (dilation[0], dilation[1]), groups, number, Number(bits))

    def _multiply_add(self, x: Tensor) -> MultiplyAdd:
        channels = x.shape[-1]
        weight = self._weights((channels,))
        bias = self.values(one(self.rng, (Number(6), Number(12), INT32)), (channels,)).astype(np.int32)
        low, high = worst_case_sums(weight[:, None], x.number)
        acc_bits = self.acc_bits(min(0, int((low + bias).min())), max(0, int((high + bias).max())), 32)
        out = self.number() if self.rng.random() < 0.8 else Number(int(self.rng.integers(17, 33)))
        return MultiplyAdd(weight, bias, self.shift(channels, acc_bits, out), acc_bits, out)

    def _sum_pool(self, x: Tensor, kernel: tuple[int, int], stride: tuple[int, int]) -> SumPool:
        count = kernel[0] * kernel[1]
        divisor = int(one(self.rng, (1, count, count, 2, 3, 4, 6, 1000, 2**31)))
        saturating = bool(self.rng.random() < 0.4)
        needed = bits_needed(count * x.number.low, count * x.number.high)
        more = int(self.rng.integers(0, 3))
        acc_bits = int(self.rng.integers(2, 17)) if saturating else min(32, max(2, needed + more))
        out = self.number() if self.rng.random() < 0.8 else Number(int(self.rng.integers(17, 33)))
        rounding = one(self.rng, tuple(Division))
        return SumPool(kernel, stride, divisor, rounding, saturating, acc_bits, out)

    def _rescale(self, x: Tensor) -> Rescale:
        """A rescale whose values stay within the result's range, of products that are half or of 31 places; and any."""
        channels, out = x.shape[-1], self.number()
        way = one(self.rng, ("few places", "31 places", "any"))
        number = one(self.rng, (Number(2), Number(8), Number(17))) if way == "any" else Number(3)
        addend = self.values(number, (channels,)).astype(np.int32)
        if way == "few places":
            multiplier = self.rng.integers(0, 8, channels)
        elif way == "31 places" and x.number.bits <= 16:
            multiplier = self.rng.integers(1 << 30, 1 << 31, channels)
        else:
            # As many bits as fit into the widest product.
            bits = min(one(self.rng, (2, 4, 9, 16, 17, 31)), ACC_BITS_MAX - 2 - max(x.number.bits, 17))
            multiplier = np.abs(self.values(Number(bits + 1), (channels,)).astype(np.int64))
        multiplier = np.minimum(multiplier, 2**31 - 1).astype(np.int32)
        ends = [(end + addend.astype(np.int64)) * multiplier for end in (x.number.low, x.number.high)]
        acc_bits = self.acc_bits(min(0, int(np.min(ends))), max(0, int(np.max(ends))), ACC_BITS_MAX)
        if self.rng.random() < 0.2:
            acc_bits = ACC_BITS_MAX
        shift = np.minimum(self.shift(channels, acc_bits, out), RESCALE_SHIFT_MAX).astype(np.uint8)
        if way != "any":
            shift = self.rng.integers(1, 5, channels).astype(np.uint8) + np.uint8(0 if way == "few places" else 30)
        bias = self.values(bias_number(out) if way == "any" else Number(2), (channels,)).astype(bias_number(out).dtype)
        return Rescale(addend, multiplier, shift, bias, one(self.rng, tuple(Rounding)), acc_bits, out)

    def _matmul(self, x: Tensor, r: Tensor) -> Matmul | None:
        """A product of any form that fits, those that are not transposed, which seldom do, where there are such."""
        forms = _forms(x, r)
        if not forms:
            return None
        apart = [form for form in forms if not form[1]]
        heads, transposed = one(self.rng, apart if apart and self.rng.random() < 0.8 else forms)
        terms = x.shape[-1] // heads
        return Matmul(heads, terms, transposed, Number(self._sum_bits(_sum_needs(terms, x, r))))

    def _position(self, x: Tensor) -> Position:
        """A table of small values, or of 16 bits."""
        number = one(self.rng, (Number(3), Number(8), INT16))
        table = self.values(number, (x.size // x.shape[-1], x.shape[-1])).astype(np.int16)
        needed = bits_needed(min(0, x.number.low + int(table.min())), max(0, x.number.high + int(table.max())))
        return Position(table, Number(self._sum_bits(needed)))

    def _sum_bits(self, needed: int) -> int:
        """Bits of a sum that is its own result: as many as needed, some more, or 16, a class of formats of its own."""
        more = min(32, needed + int(self.rng.integers(0, 9)))
        return int(one(self.rng, (needed, needed, needed, more, more, max(needed, 16))))

    def _shape(self, size: int) -> tuple[int, ...]:
        """Sizes of 1 to 3 axes, of so many values."""
        shape: tuple[int, ...] = (size,)
        for _ in range(int(self.rng.integers(0, 3))):
            first = int(one(self.rng, [n for n in range(1, shape[-1] + 1) if shape[-1] % n == 0]))
            shape = *shape[:-1], first, shape[-1] // first
        return shape

    def _pad(self, x: Tensor) -> Pad:
        """Up to three rows and columns of values of the input's format on each side."""
        pads = [int(one(self.rng, (0, 0, 1, 2, 3))) for _ in range(4)]
        value = self._values(x.number, (x.shape[-1],)).astype(np.int32)
        return Pad(value, (pads[0], pads[1], pads[2], pads[3]))


def _forms(x: Tensor, r: Tensor) -> list[tuple[int, bool]]:
    """The heads, and whether transposed, of each product of two tensors whose sums have 32 bits."""
    if min(len(x.shape), len(r.shape)) < 2:
        return []
    channels, others, places = x.shape[-1], r.shape[-1], math.prod(r.shape[:-1])
    found = [(heads, True) for heads in range(1, channels + 1) if channels == others and channels % heads == 0]
    if channels % places == 0 and others % (channels // places) == 0:
        found.append((channels // places, False))
    return [(heads, transposed) for heads, transposed in found if _sum_needs(channels // heads, x, r) <= 32]


def _sum_needs(terms: int, x: Tensor, r: Tensor) -> int:
    """Bits of a sum of products of any two values of two tensors."""
    products = [a * b for a in (x.number.low, x.number.high) for b in (r.number.low, r.number.high)]
    return bits_needed(min(0, terms * min(products)), max(0, terms * max(products)))
