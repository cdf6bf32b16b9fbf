"""Softmax in integers, of operators that stand: by a difference of logarithms, or by a reciprocal.

Of scores s, int8 codes of a step 2^a, a from -5 to -3, and the T places of a head. By a difference of logarithms:

    exp      e = table[s]           2^13 exp((s - 127) 2^a) to the nearest: 0 to 8192
    total    z = sum of e           over the head's T places
    log      L = #{k: z >= t_k}     - 256: ln(z / 2^13) / 2^a to the nearest, t_k the least z of k - 1/2 or more
    share    d = sat8(s - L)        127 where the place has all of the sum
    softmax  p = table[d]           2^7 exp((d - 127) 2^a) to the nearest, at most 127; its step is 2^-7

By a reciprocal, of rows of the T scores that a place has of a head (docs/arithmetic.md, rules S1 to S6):

    highest     m = max of s               over the row
    below       c = m - s                  0 to 255
    exp         e = table[c]               2^12 exp(-c 2^a) to the nearest, at most 4095: 4095 where c is 0
    total       z = floor(sum of e / 16 + 1/2)   uint(8 + log2 T), saturated
    reciprocal  r = table[z]               2^24 / z to the nearest, at most 65535; its step is 2^-16
    product     e r                        a matmul of one place, with a head a row
    weights     p = round_shift(e r, 21)   at most 127; its step is 2^-7

A row's highest score is taken off first, so that its sum has at least one entry of 4095 whatever the scores are: z is
255 or more, and its reciprocal has 16 bits, of a table of 256 T entries that every row and head shares.

Table entries and thresholds are of decimal arithmetic with 50 digits, so that they are the same on every machine.
"""

import math
from decimal import ROUND_CEILING, ROUND_HALF_UP, Context, Decimal
from functools import cache

import numpy as np
import torch
from torch import Tensor

from fxsim.contract import Division, Number, Sign, TableRule, bits_needed
from fxsim.contract.number import INT8
from fxsim.networks.ops import Log2, PowerOp, Product, Shifted, straight_through
from fxsim.networks.quantised import Kind
from fxsim.operators import Conv, Lut, MaxPool, Operator, Reshape, SumPool, Threshold, WeightedAdd

SCORE_LOG2 = (-5.0, -3.0)
"""log2 of the scores' step, at least and at most."""

_HIGHEST = 127
"""The code of a score whose exp is the table's largest entry, in the rule of logarithms."""
_EXP_BITS = 13
_BELOW_BITS = 12
"""log2 of exp(0) in the rule of a reciprocal."""
_TOTAL_SHIFT = 4
_RECIPROCAL_BITS = 16
_UINT7 = Number(7, Sign.UNSIGNED)
_DIGITS = Context(prec=50)


def _exp(code: Decimal, log2: int, bits: int) -> Decimal:
    """2^bits exp(code 2^log2)."""
    scaled = _DIGITS.multiply(code, _DIGITS.power(Decimal(2), Decimal(log2)))
    return _DIGITS.multiply(_DIGITS.exp(scaled), Decimal(1 << bits))


@cache
def exp_table(number: Number, offset: int, sign: int, log2: int, bits: int, most: int) -> tuple[int, ...]:
    """min(round(2^bits exp(sign (c - offset) 2^log2)), most) of every code c of `number`, ties up."""
    values = (_exp(Decimal(sign * (code - offset)), log2, bits) for code in range(number.low, number.high + 1))
    return tuple(min(int(value.to_integral_value(ROUND_HALF_UP)), most) for value in values)


@cache
def reciprocal_table(bits: int) -> tuple[int, ...]:
    """min(round(2^24 / z), 65535) of every z of `bits` bits, ties up; 65535 of 0, which no sum is."""
    one, most = 1 << _RECIPROCAL_BITS + _BELOW_BITS - _TOTAL_SHIFT, (1 << _RECIPROCAL_BITS) - 1
    return tuple(min((2 * one + z) // (2 * z), most) if z else most for z in range(1 << bits))


@cache
def log_limits(low: int, high: int, log2: int) -> tuple[int, ...]:
    """The least whole z with ln(z / 2^13) / 2^log2 >= k - 1/2, of every k from `low` + 1 to `high`."""
    half = Decimal("0.5")
    values = (_exp(Decimal(k) - half, log2, _EXP_BITS) for k in range(low + 1, high + 1))
    return tuple(int(value.to_integral_value(ROUND_CEILING)) for value in values)


class ExpTable(PowerOp):
    """2^bits exp(sign (x - offset) 2^a), x codes of a step 2^a of the format `number`, by a table of them all.

    `step`: log2 of the result's.
    """

    kind = Kind.TABLE
    rounds = True

    def __init__(
        self, channels: int, x: Log2, number: Number, offset: int, bits: int, out: Number, step: int, sign: int = 1
    ) -> None:
        super().__init__()
        self.channels, self.x, self.number, self.offset, self.bits = channels, x, number, offset, bits
        self.out, self._step, self.sign = out, step, sign
        self.log2 = lambda: torch.tensor(float(step))

    def real(self, *x: Tensor) -> Tensor:
        """The function, in float32."""
        return torch.exp(self.sign * (x[0] - self.offset * torch.exp2(self.x()))) * 2.0 ** (self.bits + self._step)

    def _table(self) -> tuple[int, ...]:
        log2 = round(float(self.x().detach()))
        return exp_table(self.number, self.offset, self.sign, log2, self.bits, self.out.high)

    def exact(self, *x: Tensor) -> Tensor:
        """The table's entries."""
        table = torch.tensor(self._table(), dtype=torch.float64)
        return table[(x[0] - self.number.low).long()]

    def operator(self) -> Operator:
        """A full lut, the same in every channel."""
        table = np.tile(np.array(self._table(), self.out.dtype), (self.channels, 1))
        return Lut(table, TableRule.FULL, self.number, self.out)


class Total(PowerOp):
    """The sum over the places of each head, a channel a head."""

    kind = Kind.CONV

    def __init__(self, heads: int, places: int, highest: int) -> None:
        super().__init__()
        self.heads, self.places = heads, places
        self.out = Number(bits_needed(0, places * highest))
        self.log2 = lambda: torch.tensor(0.0)

    def real(self, *x: Tensor) -> Tensor:
        """The sum."""
        return x[0].reshape(*x[0].shape[:-1], self.heads, self.places).sum(dim=-1)

    exact = real

    def operator(self) -> Operator:
        """A conv of ones, in a group a head."""
        return Conv(np.ones((self.heads, 1, 1, self.places), np.int8), groups=self.heads, out=self.out)


class LogLevels(PowerOp):
    """ln(z / 2^13) of whole numbers z, as codes of the scores' step from -256 on, by thresholds."""

    kind = Kind.THRESHOLD

    def __init__(self, heads: int, places: int, x: Log2) -> None:
        super().__init__()
        self.heads, self.log2, self.low = heads, x, -256
        # At the finest step the logarithm of T places of the highest score.
        self.high = math.ceil(math.log(places) / 2.0 ** SCORE_LOG2[0])
        self.out = Number(bits_needed(self.low, self.high))

    def _limits(self) -> tuple[int, ...]:
        return log_limits(self.low, self.high, round(float(self.log2().detach())))

    def _codes(self, z: Tensor) -> Tensor:
        limits = torch.tensor(self._limits(), dtype=z.dtype)
        return torch.searchsorted(limits, z.contiguous(), right=True).to(z.dtype) + self.low

    def real(self, *x: Tensor) -> Tensor:
        """The logarithm's code times its step, of sums that float32 holds; its gradient is the logarithm's."""
        step = self.step
        codes = self._codes(x[0].detach())
        return straight_through(self.plain(*x), codes * step.detach())

    def plain(self, *x: Tensor) -> Tensor:
        """The logarithm."""
        return torch.log(x[0].clamp(min=1e-30)) - _EXP_BITS * math.log(2)

    def exact(self, *x: Tensor) -> Tensor:
        """The code."""
        return self._codes(x[0])

    def operator(self) -> Operator:
        """A threshold."""
        limits = np.tile(np.array(self._limits(), np.int32), (self.heads, 1))
        levels = np.arange(self.low, self.high + 1).astype(self.out.dtype)
        return Threshold(limits, np.ones(self.heads, np.uint8), levels, self.out)


class Spread(PowerOp):
    """A head's value at each of its places' channels."""

    kind = Kind.CONV

    def __init__(self, heads: int, places: int, x: Log2, out: Number) -> None:
        super().__init__()
        self.heads, self.places, self.log2, self.out = heads, places, x, out

    def real(self, *x: Tensor) -> Tensor:
        """The same values, each as often as there are places."""
        return x[0].repeat_interleave(self.places, dim=-1)

    exact = real

    def operator(self) -> Operator:
        """A conv of ones, in a group a head."""
        return Conv(np.ones((self.heads * self.places, 1, 1, 1), np.int8), groups=self.heads, out=self.out)


class Share(PowerOp):
    """The difference of two tensors of one step, in 8 bits: the logarithm of a share of the sum, and 127 steps."""

    kind = Kind.WEIGHTED_ADD
    rounds = True
    out = INT8

    def __init__(self, channels: int, x: Log2) -> None:
        super().__init__()
        self.channels = channels
        # Not the scale itself: what shares there are decides nothing about the step of scores.
        self.log2 = lambda: x()

    def real(self, *x: Tensor) -> Tensor:
        """The difference."""
        return x[0] - x[1]

    exact = real

    def operator(self) -> Operator:
        """A weighted_add of 1 and -1."""
        pair = np.repeat(np.array([[1], [-1]], np.int16), self.channels, axis=1)
        return WeightedAdd(pair, np.zeros(self.channels, np.uint8), 16, self.out)


class Shaped(PowerOp):
    """The same values in another shape of rows, columns and channels, as they lie."""

    kind = Kind.RESHAPE

    def __init__(self, shape: tuple[int, int, int], x: Log2, out: Number) -> None:
        super().__init__()
        self.shape, self.log2, self.out = shape, x, out

    def real(self, *x: Tensor) -> Tensor:
        """The same values."""
        return x[0].reshape(-1, *self.shape)

    exact = real

    def operator(self) -> Operator:
        """A reshape."""
        return Reshape((0, 1, 2), self.shape)


class Highest(PowerOp):
    """The greatest value of each row's columns."""

    kind = Kind.MAX_POOL

    def __init__(self, columns: int, x: Log2, out: Number) -> None:
        super().__init__()
        self.columns, self.log2, self.out = columns, x, out

    def real(self, *x: Tensor) -> Tensor:
        """The greatest."""
        return x[0].amax(dim=2, keepdim=True)

    exact = real

    def operator(self) -> Operator:
        """A max_pool whose window is a row."""
        return MaxPool((1, self.columns), (1, self.columns))


class Below(PowerOp):
    """The distance of a value below another one, two int8 of one step of which the other is not the smaller one."""

    kind = Kind.WEIGHTED_ADD
    out = Number(8, Sign.UNSIGNED)

    def __init__(self, x: Log2) -> None:
        super().__init__()
        self.log2 = lambda: x()

    def real(self, *x: Tensor) -> Tensor:
        """The difference."""
        return x[1] - x[0]

    exact = real

    def operator(self) -> Operator:
        """A weighted_add of -1 and 1."""
        return WeightedAdd(np.array([[-1], [1]], np.int16), np.zeros(1, np.uint8), 16, self.out)


class RowTotal(PowerOp):
    """The sum of each row's columns, without its last bits."""

    kind = Kind.SUM_POOL
    rounds = True

    def __init__(self, columns: int, x: Log2, number: Number) -> None:
        super().__init__()
        self.columns, self.number = columns, number
        self.out = Number(_BELOW_BITS - _TOTAL_SHIFT + columns.bit_length() - 1, Sign.UNSIGNED)
        self.log2 = lambda: x() + _TOTAL_SHIFT

    def real(self, *x: Tensor) -> Tensor:
        """The sum."""
        return x[0].sum(dim=2, keepdim=True)

    def exact(self, *x: Tensor) -> Tensor:
        """The sum of codes over 2^4."""
        return self.real(*x) / (1 << _TOTAL_SHIFT)

    def operator(self) -> Operator:
        """A sum_pool whose window is a row."""
        window, bits = (1, self.columns), bits_needed(0, self.columns * self.number.high)
        return SumPool(window, window, 1 << _TOTAL_SHIFT, Division.HALF_UP, False, bits, self.out)


class Reciprocal(PowerOp):
    """1 / z of sums of one or more, by a table of them all; its step is 2^-16."""

    kind = Kind.TABLE
    rounds = True
    out = Number(_RECIPROCAL_BITS, Sign.UNSIGNED)

    def __init__(self, number: Number) -> None:
        super().__init__()
        self.number = number
        self.log2 = lambda: torch.tensor(float(-_RECIPROCAL_BITS))

    def real(self, *x: Tensor) -> Tensor:
        """The function, in float32."""
        return x[0].clamp(min=2.0**-_RECIPROCAL_BITS).reciprocal()

    def exact(self, *x: Tensor) -> Tensor:
        """The table's entries."""
        return torch.tensor(reciprocal_table(self.number.bits), dtype=torch.float64)[x[0].long()]

    def operator(self) -> Operator:
        """A full lut of one channel."""
        table = np.array([reciprocal_table(self.number.bits)], self.out.dtype)
        return Lut(table, TableRule.FULL, self.number, self.out)


Steps = list[tuple[str, PowerOp, tuple[str, ...]]]
"""Names of operators, what they are, and the names of what each reads."""


def by_logarithm(side: int, heads: int, x: Log2) -> Steps:
    """Softmax by a difference of logarithms, of `scores`, int8 [side, side, heads * side * side] of the step 2^x."""
    places = side * side
    several = heads * places
    exp_number = Number(_EXP_BITS + 1, Sign.UNSIGNED)
    log = LogLevels(heads, places, x)
    return [
        ("exp", ExpTable(several, x, INT8, _HIGHEST, _EXP_BITS, exp_number, 0), ("scores",)),
        ("total", Total(heads, places, exp_number.high), ("exp",)),
        ("log", log, ("total",)),
        ("log_there", Spread(heads, places, x, log.out), ("log",)),
        ("share", Share(several, x), ("scores", "log_there")),
        ("attention", ExpTable(several, x, INT8, _HIGHEST, 7, _UINT7, -7), ("share",)),
    ]


def by_reciprocal(side: int, heads: int, x: Log2) -> Steps:
    """Softmax by a reciprocal, of `scores`, int8 [side, side, heads * side * side] of the step 2^x."""
    places = side * side
    rows, count = places * heads, places * heads * places
    below, exp_number = Below(x), Number(_BELOW_BITS, Sign.UNSIGNED)
    exp = ExpTable(1, x, below.out, 0, _BELOW_BITS, exp_number, -_BELOW_BITS, sign=-1)
    total = RowTotal(places, exp.log2, exp_number)
    reciprocal = Reciprocal(total.out)
    product = Product(rows, 1, False, (reciprocal.log2, exp.log2), (reciprocal.out, exp_number))
    weights = Shifted(1, product.log2, lambda: torch.tensor(-7.0), 0, _UINT7)
    return [
        ("rows", Shaped((rows, places, 1), x, INT8), ("scores",)),
        ("highest", Highest(places, x, INT8), ("rows",)),
        ("highest_there", Spread(1, places, x, INT8), ("highest",)),
        ("highest_rows", Shaped((rows, places, 1), x, INT8), ("highest_there",)),
        ("below", below, ("rows", "highest_rows")),
        ("exp", exp, ("below",)),
        ("total", total, ("exp",)),
        ("reciprocal", reciprocal, ("total",)),
        ("reciprocals", Shaped((1, 1, rows), reciprocal.log2, reciprocal.out), ("reciprocal",)),
        ("exps", Shaped((1, 1, count), exp.log2, exp_number), ("exp",)),
        ("product", product, ("reciprocals", "exps")),
        ("product_rows", Shaped((rows, places, 1), product.log2, product.out), ("product",)),
        ("weights", weights, ("product_rows",)),
        ("attention", Shaped((side, side, heads * places), weights.log2, _UINT7), ("weights",)),
    ]
