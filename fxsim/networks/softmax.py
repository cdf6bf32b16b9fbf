"""Softmax in integers, of operators that stand: exp by a table, a sum, its logarithm by thresholds, exp by a table.

Of scores s, int8 codes of a step 2^a, a from -5 to -3, and the T places of a head:

    exp      e = table[s]           2^13 exp((s - 127) 2^a) to the nearest: 0 to 8192
    total    z = sum of e           over the head's T places
    log      L = #{k: z >= t_k}     - 256: ln(z / 2^13) / 2^a to the nearest, t_k the least z of k - 1/2 or more
    share    d = sat8(s - L)        127 where the place has all of the sum
    softmax  p = table[d]           2^7 exp((d - 127) 2^a) to the nearest, at most 127; its step is 2^-7

Division by the sum is a difference of logarithms: there is no product of two tensors place by place, and no reciprocal.
Table entries and thresholds are of decimal arithmetic with 50 digits, so that they are the same on every machine.
"""

import math
from decimal import ROUND_CEILING, ROUND_HALF_UP, Context, Decimal
from functools import cache

import numpy as np
import torch
from torch import Tensor

from fxsim.contract import Number, Sign, TableRule, bits_needed
from fxsim.contract.number import INT8
from fxsim.networks.ops import Log2, PowerOp, straight_through
from fxsim.networks.quantised import Kind
from fxsim.operators import Conv, Lut, Operator, Threshold, WeightedAdd

SCORE_LOG2 = (-5.0, -3.0)
"""log2 of the scores' step, at least and at most."""

_HIGHEST = 127
"""The code of a score whose exp is the table's largest entry."""
_EXP_BITS = 13
_DIGITS = Context(prec=50)


def _exp(code: Decimal, log2: int, bits: int) -> Decimal:
    """2^bits exp(code 2^log2)."""
    scaled = _DIGITS.multiply(code, _DIGITS.power(Decimal(2), Decimal(log2)))
    return _DIGITS.multiply(_DIGITS.exp(scaled), Decimal(1 << bits))


@cache
def exp_table(low: int, high: int, offset: int, log2: int, bits: int, most: int) -> tuple[int, ...]:
    """min(round(2^bits exp((c - offset) 2^log2)), most) of every code c from `low` to `high`, ties up."""
    values = (_exp(Decimal(code - offset), log2, bits) for code in range(low, high + 1))
    return tuple(min(int(value.to_integral_value(ROUND_HALF_UP)), most) for value in values)


@cache
def log_limits(low: int, high: int, log2: int) -> tuple[int, ...]:
    """The least whole z with ln(z / 2^13) / 2^log2 >= k - 1/2, of every k from `low` + 1 to `high`."""
    half = Decimal("0.5")
    values = (_exp(Decimal(k) - half, log2, _EXP_BITS) for k in range(low + 1, high + 1))
    return tuple(int(value.to_integral_value(ROUND_CEILING)) for value in values)


class ExpTable(PowerOp):
    """2^bits exp((x - offset) 2^a) steps of x, codes of a step 2^a of the format `number`, by a table of them all."""

    kind = Kind.TABLE
    rounds = True

    def __init__(self, channels: int, x: Log2, number: Number, offset: int, bits: int, out: Number, step: int) -> None:
        super().__init__()
        self.channels, self.x, self.number, self.offset, self.bits = channels, x, number, offset, bits
        self.out, self._step = out, step
        self.log2 = lambda: torch.tensor(float(step))

    def real(self, *x: Tensor) -> Tensor:
        """The function, in float32."""
        return torch.exp(x[0] - self.offset * torch.exp2(self.x())) * 2.0 ** (self.bits + self._step)

    def _table(self) -> tuple[int, ...]:
        number = self.number
        return exp_table(
            number.low, number.high, self.offset, round(float(self.x().detach())), self.bits, self.out.high
        )

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


def softmax_operators(heads: int, places: int, x: Log2) -> list[tuple[str, PowerOp, tuple[str, ...]]]:
    """Names, operators and what each reads, of `scores`, int8 of heads * places channels and the step 2^x."""
    several = heads * places
    exp_number = Number(_EXP_BITS + 1, Sign.UNSIGNED)
    log = LogLevels(heads, places, x)
    seven = Number(7, Sign.UNSIGNED)
    return [
        ("exp", ExpTable(several, x, INT8, _HIGHEST, _EXP_BITS, exp_number, 0), ("scores",)),
        ("total", Total(heads, places, exp_number.high), ("exp",)),
        ("log", log, ("total",)),
        ("log_there", Spread(heads, places, x, log.out), ("log",)),
        ("share", Share(several, x), ("scores", "log_there")),
        ("attention", ExpTable(several, x, INT8, _HIGHEST, 7, seven, -7), ("share",)),
    ]
