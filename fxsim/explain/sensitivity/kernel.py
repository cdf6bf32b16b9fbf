"""The loop that Numba compiles: sums of a linear or affine to results, under any rule, in one pass over memory."""

# mypy: allow-untyped-calls
# Numba's types are.

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract import Number
from fxsim.explain.rules import Rounding, Rule
from fxsim.jit import compile_function, njit, types
from fxsim.operators import Affine, Linear

_SHIFT_MAX = 62
_BIAS_SHIFT_MAX = 40
_MODES = {mode: number for number, mode in enumerate(Rounding)}
_UP, _FLOOR, _CEILING, _ZERO, _EVEN, _AWAY, _DOWN, _TO_ZERO = _MODES.values()
_PLACES = {"after": 0, "none": 1, "accumulator": 2, "before": 3}

TAKEN = frozenset(
    {
        "rounding", "first_cut", "bias", "biases", "shift", "weight", "logical", "acc_bits", "overflow", "limits",
        "relu",
    }
)  # fmt: skip
"""Fields of a rule that are computed here, or are taken before."""


@njit(inline="always")
def _cut(value: Any, shift: Any, mode: Any) -> Any:
    if shift == 0:
        return value
    half = np.int64(1) << (shift - 1)
    floor = value >> shift
    rest = value - (floor << shift)
    negative = value < 0
    if mode == _UP:
        up: Any = rest >= half
    elif mode == _FLOOR:
        up = False
    elif mode == _CEILING:
        up = rest > 0
    elif mode == _ZERO:
        up = negative and rest > 0
    elif mode == _EVEN:
        up = rest > half or (rest == half and floor & 1 == 1)
    elif mode == _AWAY:
        up = rest > half or (rest == half and not negative)
    elif mode == _DOWN:
        up = rest > half
    else:
        up = rest > half or (rest == half and negative)
    return floor + up


def requantise(
    acc: npt.NDArray[np.float64],
    shift: npt.NDArray[np.int64],
    bias: npt.NDArray[np.int64],
    how: npt.NDArray[np.int64],
    out: npt.NDArray[np.int32],
) -> None:
    """Results `out` of sums `acc`, [value, row] each, whole numbers below 2^53; `how` as `_parameters` makes it."""
    mode, first, place, width, logical = how[0], how[1], how[2], how[3], how[4]
    rectify, wrap, low, high, least, mask = how[5], how[6], how[7], how[8], how[9], how[10]
    for i in range(acc.shape[0]):
        for row in range(acc.shape[1]):
            value: Any = np.int64(acc[i, row])
            by: Any = min(shift[row], _SHIFT_MAX)
            if place == 2:
                value += bias[row]
            elif place == 3:
                value += bias[row] << min(by, _BIAS_SHIFT_MAX)
            if width:
                half = np.int64(1) << (width - 1)
                value = ((value + half) & ((half << 1) - 1)) - half
            if logical:
                value &= (np.int64(1) << logical) - 1
            if first:
                begun = min(by, first)
                value = _cut(value, begun, mode)
                by -= begun
            value = _cut(value, by, mode)
            if rectify:
                value = max(value, 0)
            if place == 0:
                value += bias[row]
            value = ((value - least) & mask) + least if wrap else min(max(value, low), high)
            out[i, row] = value


@functools.cache
def _compiled() -> Callable[..., None]:
    acc, integers, out = types.Array(types.float64, 2, "C"), types.Array(types.int64, 1, "C"), types.int32
    signature = types.void(acc, integers, integers, integers, types.Array(out, 2, "C"))
    return compile_function(requantise, signature, "the sweep's rules")


def _parameters(op: Linear | Affine, rule: Rule) -> npt.NDArray[np.int64]:
    number: Number = op.out
    low, high = (number.low, number.high) if rule.limits is None else rule.limits
    width = rule.acc_bits if rule.acc_bits <= 32 else 0
    return np.array(
        [
            _MODES[rule.rounding], rule.first_cut, _PLACES[rule.bias], width, op.acc_bits if rule.logical else 0,
            rule.relu == "before bias", rule.overflow == "wrap", low, high, number.low, number.codes - 1,
        ],
        np.int64,
    )  # fmt: skip


def requantised_fast(op: Linear | Affine, acc: npt.NDArray[np.float64], rule: Rule) -> npt.NDArray[np.int32]:
    """Results, int32, of sums [..., row], whole numbers in float64; the same values as `rules.requantised`."""
    rows = acc.shape[-1]
    shift = np.broadcast_to(op.shift if rule.shift is None else rule.shift, (rows,)).astype(np.int64)
    bias = np.broadcast_to(op.bias if rule.biases is None else rule.biases, (rows,)).astype(np.int64)
    out = np.empty(acc.shape, np.int32)
    flat = np.ascontiguousarray(acc).reshape(-1, rows)
    _compiled()(flat, shift, bias, _parameters(op, rule), out.reshape(-1, rows))
    return out
